/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Block requests of one disk (keel/channel.h), from its queue to what the disk engine does, and back. Nothing in them is trusted.
 */
#ifndef KEEL_BLOCK_QUEUE_H
#define KEEL_BLOCK_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/channel.h>

#include "host/backend/disk.h"
#include "host/backend/throttle.h"
#include "shared/vq_device.h"

struct block_queue {
	struct vq_device vq;
	/* Of the requests that are out, by the heads of their chains. */
	struct {
		uint32_t status;	/* where it goes, in the channel */
		uint32_t bytes;		/* that are written when it succeeds */
	} out[KEEL_BLOCK_ENTRIES_MOST];
	/* Those that a limit holds up: a ring, in their order. More than a queue has entries never come. */
	struct disk_request waiting[KEEL_BLOCK_ENTRIES_MOST];
	unsigned int first, count;
};

void block_queue_init(struct block_queue *queue, struct keel_channel *channel, const struct keel_queue *where);
/*
 * The next request; its tag names it for block_queue_done, which must be called once. What is none is answered here. False:
 * there is none now; after a ring full of what is none the rest waits for the next call.
 */
bool block_queue_next(struct block_queue *queue, struct disk_request *request);
/*
 * The same within a limit. What must wait is kept here, and what comes later behind it; *wait_ns, which others may have set,
 * becomes no more than the time that the first of these waits.
 */
bool block_queue_next_within(struct block_queue *queue, struct throttle *throttle, uint64_t now_ns, struct disk_request *request,
			     uint64_t *wait_ns);
/* status: 0 or a negative errno. */
void block_queue_done(struct block_queue *queue, uint16_t tag, int status);

#endif
