/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bytes and messages between the cell and the resource half, on queues of the channel (keel/channel.h): the device's end. The
 * cell is not trusted: chains are read by shared/vq_device.h alone, those that are not one buffer are given back as they came,
 * and what is kept of them is bounded by the entries of a queue.
 *
 * A stream that is all zeros is of a device that there is not: nothing comes from it, and it has no room.
 */
#ifndef KEEL_HOST_STREAM_H
#define KEEL_HOST_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keel/channel.h>

#include "shared/vq_device.h"

#define STREAM_BUFFERS	256u		/* that are offered by the cell, at most; it may have more of them */

/* From the cell. */
struct stream_source {
	struct vq_device vq;
	bool held;			/* a buffer is read, but not to its end: */
	uint16_t head;
	struct vq_piece left;
};

/* To it. */
struct stream_sink {
	struct vq_device vq;
	unsigned int first;		/* of buffer[], as a ring: the oldest one's place */
	unsigned int count;
	size_t room;			/* bytes in all of them */
	struct {
		uint16_t head;
		struct vq_piece piece;
	} buffer[STREAM_BUFFERS];
};

void stream_source_init(struct stream_source *stream, struct keel_channel *channel, const struct keel_queue *queue);
void stream_sink_init(struct stream_sink *stream, struct keel_channel *channel, const struct keel_queue *queue);

bool stream_source_has(const struct stream_source *stream);
/*
 * Up to 'room' bytes, and no more than a cell that keeps to the rules can have in the queue. *awaited becomes true if the cell
 * waits for the room that this has made.
 */
size_t stream_source_take(struct stream_source *stream, uint8_t *to, size_t room, bool *awaited);
/* A copy of the next message; what is none is passed over. */
bool stream_source_take_message(struct stream_source *stream, struct keel_message *message, bool *awaited);

size_t stream_sink_room(struct stream_sink *stream);
/* count is at most stream_sink_room. */
void stream_sink_put(struct stream_sink *stream, const uint8_t *from, size_t count);
/* False: there is no buffer. */
bool stream_sink_put_message(struct stream_sink *stream, const struct keel_message *message);

#endif
