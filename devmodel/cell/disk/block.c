// SPDX-License-Identifier: GPL-2.0
/* A drive's requests to the resource half. */
#include "disk/block.h"

/* Behind the data in the arena: what else a request has, by its chunk. */
#define HEADERS_AT	(KEEL_BLOCK_CHUNKS * KEEL_BOUNCE_BYTES)
#define STATUSES_AT	(HEADERS_AT + KEEL_BLOCK_CHUNKS * sizeof(struct keel_block_header))

_Static_assert(STATUSES_AT + KEEL_BLOCK_CHUNKS <= KEEL_BLOCK_ARENA, "the arena has room for all of the requests");
_Static_assert(3 * KEEL_BLOCK_CHUNKS <= KEEL_BLOCK_ENTRIES, "and the queue for their pieces");

void block_init(struct block *block, uint8_t *channel, const struct keel_queue *queue)
{
	block->channel = channel;
	block->arena = queue->arena;
	for (unsigned int i = 0; i < KEEL_BLOCK_CHUNKS; i++)
		block->chunk[i].in_flight = false;
	vq_driver_init(&block->queue, channel + queue->ring, KEEL_BLOCK_ENTRIES, block->shadow);
}

static struct keel_block_header *header_of(const struct block *block, unsigned int chunk)
{
	return (struct keel_block_header *)(block_data(block) + HEADERS_AT) + chunk;
}

static uint8_t *status_of(const struct block *block, unsigned int chunk)
{
	return block_data(block) + STATUSES_AT + chunk;
}

static uint32_t offset_of(const struct block *block, const void *place)
{
	return (uint32_t)((const uint8_t *)place - block->channel);
}

bool block_submit(struct block *block, unsigned int chunk, enum keel_block_op op, uint64_t offset, uint32_t count)
{
	struct vq_piece pieces[3] = { { offset_of(block, header_of(block, chunk)), sizeof(struct keel_block_header) } };
	unsigned int used = 1, out = op == KEEL_BLOCK_WRITE ? 2 : 1;

	if (block->chunk[chunk].in_flight)
		return false;
	*header_of(block, chunk) = (struct keel_block_header){ .op = op, .sector = offset / KEEL_SECTOR };
	*status_of(block, chunk) = KEEL_BLOCK_FAILED;
	if (op != KEEL_BLOCK_FLUSH)
		pieces[used++] = (struct vq_piece){ block->arena + chunk * KEEL_BOUNCE_BYTES, count };
	pieces[used++] = (struct vq_piece){ offset_of(block, status_of(block, chunk)), 1 };
	block->chunk[chunk].in_flight = vq_driver_send(&block->queue, pieces, out, used - out, &block->chunk[chunk].head);
	return block->chunk[chunk].in_flight;
}

bool block_completed(struct block *block, unsigned int *chunk, int32_t *status)
{
	uint32_t bytes;
	uint16_t head;

	/* Of what is not in flight the other end gives back nothing. */
	if (!vq_driver_receive(&block->queue, &head, &bytes))
		return false;
	for (*chunk = 0; !block->chunk[*chunk].in_flight || block->chunk[*chunk].head != head; )
		++*chunk;
	block->chunk[*chunk].in_flight = false;
	*status = VQ_LOAD(*status_of(block, *chunk));
	return true;
}
