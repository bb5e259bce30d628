/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A drive's requests to the resource half: block requests (VIRTIO 1.2, 5.2.6) on a queue of the channel (shared/vq.h). There are
 * KEEL_BLOCK_CHUNKS at once, each with a chunk of its own: KEEL_BOUNCE_BYTES of the queue's arena for its data.
 */
#ifndef KEEL_BLOCK_H
#define KEEL_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/channel.h>

#include "shared/vq_driver.h"

struct block_chunk {
	bool in_flight;
	uint16_t head;			/* of its request */
};

struct block {
	uint8_t *channel;
	uint32_t arena;			/* offset in the channel */
	struct block_chunk chunk[KEEL_BLOCK_CHUNKS];
	struct vq_driver queue;
	struct vq_shadow shadow[KEEL_BLOCK_ENTRIES];
};

/* The queue is one that link_init has checked, with KEEL_BLOCK_ENTRIES entries. */
void block_init(struct block *block, uint8_t *channel, const struct keel_queue *queue);
/* The chunks, one after the other. */
static inline uint8_t *block_data(const struct block *block)
{
	return block->channel + block->arena;
}
/* op on count bytes at offset of the medium, both in whole sectors of 512. False: this chunk's last request is in flight. */
bool block_submit(struct block *block, unsigned int chunk, enum keel_block_op op, uint64_t offset, uint32_t count);
/* One of those in flight is over: *chunk's. *status: 0, or else it failed. */
bool block_completed(struct block *block, unsigned int *chunk, int32_t *status);

#endif
