/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bytes and messages between the cell and the resource half, on queues of the channel (keel/channel.h): the driver's end. A
 * queue's arena is divided into a buffer for each entry, so that a chain's head says which buffer is its.
 *
 * A stream that is all zeros is of a device that there is not: it takes everything, and nothing comes from it.
 */
#ifndef KEEL_STREAM_H
#define KEEL_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/channel.h>

#include "shared/vq_driver.h"

/* To the resource half. */
struct stream_out {
	struct vq_driver queue;
	uint8_t *arena;
	uint32_t arena_at;	/* offset in the channel */
	uint32_t buffer;	/* bytes of each */
	uint32_t filled;	/* of the one that is next, whose bytes have not been sent */
	bool waits;		/* for room */
};

/* From it. */
struct stream_in {
	struct vq_driver queue;
	uint8_t *arena;
	uint32_t arena_at;
	uint32_t buffer;
	uint16_t head;		/* of the buffer that is being read; */
	uint32_t bytes;		/* how many are in it, */
	uint32_t read;		/* and were read; as many: there is none */
};

/* A queue that link_init has checked, which takes buffers of a byte at least, and shadows for its entries. */
void stream_out_init(struct stream_out *stream, uint8_t *channel, const struct keel_queue *queue, struct vq_shadow *shadow);
void stream_in_init(struct stream_in *stream, uint8_t *channel, const struct keel_queue *queue, struct vq_shadow *shadow);

/*
 * False: there is no room, and the resource half brings an event when there is. What was put is there for it when it is
 * flushed.
 */
bool stream_put(struct stream_out *stream, uint8_t byte);
void stream_flush(struct stream_out *stream);
/* Buffers that the resource half has not given back, as far as it was looked. */
static inline unsigned int stream_under_way(const struct stream_out *stream)
{
	return stream->queue.entries - stream->queue.free_count;
}
/* A message, in one buffer, on a stream that takes nothing else. False as of stream_put. */
bool stream_send(struct stream_out *stream, const struct keel_message *message);

/* False: there is none. */
bool stream_get(struct stream_in *stream, uint8_t *byte);
/* A copy of the next message; what is none is passed over. */
bool stream_receive(struct stream_in *stream, struct keel_message *message);

#endif
