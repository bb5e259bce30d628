// SPDX-License-Identifier: GPL-2.0
/* Block requests of one drive. */
#include "host/backend/block_queue.h"

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

/* How many pieces of data there must be that the device reads, and that it writes. False: it is no operation. */
static bool data_pieces(uint32_t op, unsigned int *out, unsigned int *in)
{
	*out = op == KEEL_BLOCK_WRITE;
	*in = op == KEEL_BLOCK_READ;
	return *out || *in || op == KEEL_BLOCK_FLUSH;
}

/* The cell may change the header at any time: what is looked at is a copy. */
static struct keel_block_header copy_header(const struct block_queue *queue, const struct vq_chain *chain)
{
	struct keel_block_header header;

	memcpy(&header, bytes_at(queue, chain->piece[0].offset), sizeof(header));
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return header;
}

static bool has_shape(const struct vq_chain *chain, unsigned int out, unsigned int in)
{
	return chain->out == 1 + out && chain->in == in + 1 && chain->piece[chain->out + chain->in - 1].bytes == 1;
}

static enum keel_block_status read_request(struct block_queue *queue, const struct vq_chain *chain, struct disk_request *request)
{
	struct keel_block_header header;
	unsigned int out, in;

	if (!chain->out || chain->piece[0].bytes != sizeof(header))
		return KEEL_BLOCK_FAILED;
	header = copy_header(queue, chain);
	if (!data_pieces(header.op, &out, &in))
		return KEEL_BLOCK_UNSUPPORTED;
	if (!has_shape(chain, out, in) || header.sector > INT64_MAX / KEEL_SECTOR)
		return KEEL_BLOCK_FAILED;
	*request = (struct disk_request){ .op = header.op, .tag = chain->head, .offset = header.sector * KEEL_SECTOR };
	if (out || in) {
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

void block_queue_done(struct block_queue *queue, uint16_t tag, int status)
{
	VQ_STORE(*bytes_at(queue, queue->out[tag].status), (uint8_t)(status ? KEEL_BLOCK_FAILED : KEEL_BLOCK_OK));
	vq_device_give(&queue->vq, tag, status ? 1 : queue->out[tag].bytes);
}
