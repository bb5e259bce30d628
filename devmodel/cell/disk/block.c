// SPDX-License-Identifier: GPL-2.0
/* A drive's requests to the resource half. */
#include "disk/block.h"

/* Behind the data in the arena. */
#define HEADER_AT	KEEL_BOUNCE_BYTES
#define STATUS_AT	(HEADER_AT + sizeof(struct keel_block_header))

_Static_assert(STATUS_AT < KEEL_BLOCK_ARENA, "the arena has room for all of a request");

void block_init(struct block *block, uint8_t *channel, const struct keel_queue *queue)
{
	block->channel = channel;
	block->arena = queue->arena;
	block->in_flight = false;
	vq_driver_init(&block->queue, channel + queue->ring, KEEL_BLOCK_ENTRIES, block->shadow);
}

bool block_submit(struct block *block, enum keel_block_op op, uint64_t offset, uint32_t count)
{
	struct keel_block_header *header = (struct keel_block_header *)(block_data(block) + HEADER_AT);
	struct vq_piece pieces[3] = { { block->arena + HEADER_AT, sizeof(*header) } };
	unsigned int used = 1;

	if (block->in_flight)
		return false;
	*header = (struct keel_block_header){ .op = op, .sector = offset / KEEL_SECTOR };
	block_data(block)[STATUS_AT] = KEEL_BLOCK_FAILED;
	if (op != KEEL_BLOCK_FLUSH)
		pieces[used++] = (struct vq_piece){ block->arena, count };
	pieces[used++] = (struct vq_piece){ (uint32_t)(block->arena + STATUS_AT), 1 };
	block->in_flight = vq_driver_send(&block->queue, pieces, op == KEEL_BLOCK_WRITE ? 2 : 1,
					  used - (op == KEEL_BLOCK_WRITE ? 2 : 1), &block->head);
	return block->in_flight;
}

bool block_completed(struct block *block, int32_t *status)
{
	uint32_t bytes;
	uint16_t head;

	/* One is in flight at most: of what else the other end gives back there is nothing. */
	if (!vq_driver_receive(&block->queue, &head, &bytes))
		return false;
	block->in_flight = false;
	*status = VQ_LOAD(block_data(block)[STATUS_AT]);
	return true;
}
