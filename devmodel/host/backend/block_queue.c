// SPDX-License-Identifier: GPL-2.0
/* Block requests of one disk. */
#include "host/backend/block_queue.h"

#include <errno.h>
#include <string.h>

void block_queue_init(struct block_queue *queue, struct keel_channel *channel, const struct keel_queue *where)
{
	*queue = (struct block_queue){ 0 };
	vq_device_init(&queue->vq, channel, where->ring, where->entries, where->arena, where->arena_bytes);
}

static uint8_t *bytes_at(const struct block_queue *queue, uint32_t offset)
{
	return queue->vq.channel + offset;
}

static void answer(struct block_queue *queue, const struct vq_chain *chain, enum keel_block_status status)
{
	bool has_status = chain->in && chain->piece[chain->out + chain->in - 1].bytes == 1;

	if (has_status)
		VQ_STORE(*bytes_at(queue, chain->piece[chain->out + chain->in - 1].offset), (uint8_t)status);
	vq_device_give(&queue->vq, chain->head, has_status);
}

static bool is_range(uint32_t op)
{
	return op == KEEL_BLOCK_DISCARD || op == KEEL_BLOCK_WRITE_ZEROES;
}

/* How many pieces of data there must be that the device reads, and that it writes. False: it is no operation. */
static bool data_pieces(uint32_t op, unsigned int *out, unsigned int *in)
{
	*out = op == KEEL_BLOCK_WRITE || is_range(op);
	*in = op == KEEL_BLOCK_READ;
	return *out || *in || op == KEEL_BLOCK_FLUSH;
}

/* The cell may change what it has written at any time: what is looked at is a copy. */
static void copy_piece(const struct block_queue *queue, const struct vq_piece *piece, void *to, size_t bytes)
{
	memcpy(to, bytes_at(queue, piece->offset), bytes);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static bool has_shape(const struct vq_chain *chain, unsigned int out, unsigned int in)
{
	return chain->out == 1 + out && chain->in == in + 1 && chain->piece[chain->out + chain->in - 1].bytes == 1;
}

/* Its data is not the guest's, but what is to be done. */
static enum keel_block_status read_range(struct block_queue *queue, const struct vq_piece *piece, struct disk_request *request)
{
	struct keel_block_range range;

	if (piece->bytes != sizeof(range))
		return KEEL_BLOCK_FAILED;
	copy_piece(queue, piece, &range, sizeof(range));
	if (range.flags & ~KEEL_BLOCK_UNMAP)
		return KEEL_BLOCK_UNSUPPORTED;
	if (range.sector > INT64_MAX / KEEL_SECTOR || range.sectors > KEEL_BLOCK_RANGE_MOST)
		return KEEL_BLOCK_FAILED;
	request->offset = range.sector * KEEL_SECTOR;
	request->count = range.sectors * KEEL_SECTOR;
	request->unmap = range.flags & KEEL_BLOCK_UNMAP;
	return KEEL_BLOCK_OK;
}

static enum keel_block_status read_request(struct block_queue *queue, const struct vq_chain *chain, struct disk_request *request)
{
	struct keel_block_header header;
	unsigned int out, in;

	if (!chain->out || chain->piece[0].bytes != sizeof(header))
		return KEEL_BLOCK_FAILED;
	copy_piece(queue, &chain->piece[0], &header, sizeof(header));
	if (!data_pieces(header.op, &out, &in))
		return KEEL_BLOCK_UNSUPPORTED;
	if (!has_shape(chain, out, in) || header.sector > INT64_MAX / KEEL_SECTOR)
		return KEEL_BLOCK_FAILED;
	*request = (struct disk_request){ .op = header.op, .tag = chain->head, .offset = header.sector * KEEL_SECTOR };
	if (is_range(header.op)) {
		enum keel_block_status status = read_range(queue, &chain->piece[1], request);

		if (status)
			return status;
	} else if (out || in) {
		request->count = chain->piece[1].bytes;
		request->data = bytes_at(queue, chain->piece[1].offset);
	}
	queue->out[chain->head].status = chain->piece[chain->out + chain->in - 1].offset;
	queue->out[chain->head].bytes = in ? request->count + 1 : 1;
	return KEEL_BLOCK_OK;
}

bool block_queue_next(struct block_queue *queue, struct disk_request *request)
{
	struct vq_chain chain;

	for (unsigned int i = 0; i < queue->vq.entries && vq_device_take(&queue->vq, &chain); i++) {
		enum keel_block_status status = read_request(queue, &chain, request);

		if (status == KEEL_BLOCK_OK)
			return true;
		answer(queue, &chain, status);
	}
	return false;
}

/* A flush moves nothing, and neither does a discard; zeroes are written where a file system or a device has nothing better. */
static uint32_t bytes_of(const struct disk_request *request)
{
	return request->op == KEEL_BLOCK_FLUSH || request->op == KEEL_BLOCK_DISCARD ? 0 : request->count;
}

bool block_queue_next_within(struct block_queue *queue, struct throttle *throttle, uint64_t now_ns, struct disk_request *request,
			     uint64_t *wait_ns)
{
	uint64_t wait;

	/* All that there are, so that a queue in which something waits is no work. */
	while (queue->count < KEEL_BLOCK_ENTRIES_MOST && block_queue_next(queue, request))
		queue->waiting[(queue->first + queue->count++) % KEEL_BLOCK_ENTRIES_MOST] = *request;
	if (!queue->count)
		return false;
	*request = queue->waiting[queue->first];
	wait = throttle_take(throttle, now_ns, bytes_of(request));
	if (wait) {
		*wait_ns = wait < *wait_ns ? wait : *wait_ns;
		return false;
	}
	queue->first = (queue->first + 1) % KEEL_BLOCK_ENTRIES_MOST;
	queue->count--;
	return true;
}

static enum keel_block_status status_of(int status)
{
	if (!status)
		return KEEL_BLOCK_OK;
	return status == -EOPNOTSUPP ? KEEL_BLOCK_UNSUPPORTED : KEEL_BLOCK_FAILED;
}

void block_queue_done(struct block_queue *queue, uint16_t tag, int status)
{
	VQ_STORE(*bytes_at(queue, queue->out[tag].status), (uint8_t)status_of(status));
	vq_device_give(&queue->vq, tag, status ? 1 : queue->out[tag].bytes);
}
