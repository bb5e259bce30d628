// SPDX-License-Identifier: GPL-2.0
/* Bytes and messages on queues of the channel. */
#include "core/stream.h"

#include "core/string.h"

/* To the resource half */

void stream_out_init(struct stream_out *stream, uint8_t *channel, const struct keel_queue *queue, struct vq_shadow *shadow)
{
	*stream = (struct stream_out){
		.arena = channel + queue->arena, .arena_at = queue->arena, .buffer = queue->arena_bytes / queue->entries,
	};
	vq_driver_init(&stream->queue, channel + queue->ring, queue->entries, shadow);
	vq_driver_wait(&stream->queue, false);
}

static void take_back(struct stream_out *stream)
{
	uint32_t bytes;
	uint16_t head;

	while (vq_driver_receive(&stream->queue, &head, &bytes))
		;
}

static void set_waits(struct stream_out *stream, bool waits)
{
	if (stream->waits == waits)
		return;
	stream->waits = waits;
	vq_driver_wait(&stream->queue, waits);
}

/* The buffer that is being filled has a descriptor that is free: it must stay the next one. */
static bool has_room(struct stream_out *stream)
{
	if (stream->filled)
		return true;
	take_back(stream);
	if (!stream->queue.free_count) {
		set_waits(stream, true);
		take_back(stream);
	}
	if (stream->queue.free_count)
		set_waits(stream, false);
	return stream->queue.free_count;
}

void stream_flush(struct stream_out *stream)
{
	struct vq_piece piece = { stream->arena_at + stream->queue.free * stream->buffer, stream->filled };
	uint16_t head;

	if (stream->filled)
		vq_driver_send(&stream->queue, &piece, 1, 0, &head);
	stream->filled = 0;
}

bool stream_put(struct stream_out *stream, uint8_t byte)
{
	if (!stream->buffer)
		return true;
	if (!has_room(stream))
		return false;
	stream->arena[stream->queue.free * stream->buffer + stream->filled++] = byte;
	if (stream->filled == stream->buffer)
		stream_flush(stream);
	return true;
}

bool stream_send(struct stream_out *stream, const struct keel_message *message)
{
	if (!stream->buffer)
		return true;
	if (!has_room(stream))
		return false;
	memcpy(stream->arena + stream->queue.free * stream->buffer, message, sizeof(*message));
	stream->filled = sizeof(*message);
	stream_flush(stream);
	return true;
}

/* From it */

/* All other buffers are with the resource half: the free descriptor is the one of this. */
static void offer(struct stream_in *stream)
{
	struct vq_piece piece = { stream->arena_at + stream->queue.free * stream->buffer, stream->buffer };
	uint16_t head;

	vq_driver_send(&stream->queue, &piece, 0, 1, &head);
}

void stream_in_init(struct stream_in *stream, uint8_t *channel, const struct keel_queue *queue, struct vq_shadow *shadow)
{
	*stream = (struct stream_in){
		.arena = channel + queue->arena, .arena_at = queue->arena, .buffer = queue->arena_bytes / queue->entries,
	};
	vq_driver_init(&stream->queue, channel + queue->ring, queue->entries, shadow);
	for (unsigned int i = 0; i < queue->entries; i++)
		offer(stream);
}

/* Buffers that come back empty are offered again, as many as there are: one that gives no others cannot keep this from ending. */
static bool next_buffer(struct stream_in *stream)
{
	for (unsigned int i = 0; i < stream->queue.entries; i++) {
		if (!vq_driver_receive(&stream->queue, &stream->head, &stream->bytes))
			break;
		if (stream->bytes > stream->buffer)
			stream->bytes = stream->buffer;
		if (stream->bytes)
			return true;
		offer(stream);
	}
	stream->bytes = 0;
	return false;
}

bool stream_get(struct stream_in *stream, uint8_t *byte)
{
	if (stream->read == stream->bytes) {
		stream->read = 0;
		if (!next_buffer(stream))
			return false;
	}
	*byte = stream->arena[stream->head * stream->buffer + stream->read++];
	if (stream->read == stream->bytes)
		offer(stream);
	return true;
}

bool stream_receive(struct stream_in *stream, struct keel_message *message)
{
	for (unsigned int i = 0; i < stream->queue.entries && next_buffer(stream); i++) {
		bool whole = stream->bytes == sizeof(*message);

		memcpy(message, stream->arena + stream->head * stream->buffer, sizeof(*message));
		/* What it says is looked at in the copy. */
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		offer(stream);
		if (whole)
			return true;
	}
	return false;
}
