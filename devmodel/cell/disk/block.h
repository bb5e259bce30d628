/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A drive's requests to the resource half: block requests (VIRTIO 1.2, 5.2.6) on a queue of the channel (shared/vq.h). One at a
 * time; its data is at the start of the queue's arena, KEEL_BOUNCE_BYTES of it.
 */
#ifndef KEEL_BLOCK_H
#define KEEL_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/channel.h>

#include "shared/vq_driver.h"

struct block {
	uint8_t *channel;
	uint32_t arena;			/* offset in the channel */
	bool in_flight;
	uint16_t head;			/* of what is in flight */
	struct vq_driver queue;
	struct vq_shadow shadow[KEEL_BLOCK_ENTRIES];
};

/* The queue is one that link_init has checked, with KEEL_BLOCK_ENTRIES entries. */
void block_init(struct block *block, uint8_t *channel, const struct keel_queue *queue);
static inline uint8_t *block_data(const struct block *block)
{
	return block->channel + block->arena;
}
/* op on count bytes at offset of the medium, both in whole sectors of 512. False: one is in flight. */
bool block_submit(struct block *block, enum keel_block_op op, uint64_t offset, uint32_t count);
/* What was in flight is over. *status: 0, or else it failed. */
bool block_completed(struct block *block, int32_t *status);

#endif
