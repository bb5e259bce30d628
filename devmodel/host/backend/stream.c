// SPDX-License-Identifier: GPL-2.0
/* Bytes and messages on queues of the channel. */
#include "host/backend/stream.h"

#include <string.h>

static void init_queue(struct vq_device *vq, struct keel_channel *channel, const struct keel_queue *queue)
{
	vq_device_init(vq, channel, queue->ring, queue->entries, queue->arena, queue->arena_bytes);
}

/* From the cell */

void stream_source_init(struct stream_source *stream, struct keel_channel *channel, const struct keel_queue *queue)
{
	*stream = (struct stream_source){ 0 };
	init_queue(&stream->vq, channel, queue);
}

bool stream_source_has(const struct stream_source *stream)
{
	return stream->held || (stream->vq.entries && vq_device_has(&stream->vq));
}

/* A buffer that is not one has no bytes. */
static bool hold(struct stream_source *stream)
{
	struct vq_chain chain;

	if (stream->held)
		return true;
	if (!stream_source_has(stream) || !vq_device_take(&stream->vq, &chain))
		return false;
	stream->held = true;
	stream->head = chain.head;
	stream->left = chain.out == 1 && !chain.in ? chain.piece[0] : (struct vq_piece){ 0 };
	return true;
}

static size_t take_bytes(struct stream_source *stream, uint8_t *to, size_t room)
{
	uint32_t count = stream->left.bytes < room ? stream->left.bytes : (uint32_t)room;

	memcpy(to, stream->vq.channel + stream->left.offset, count);
	/* What is decided on is the copy. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	stream->left.offset += count;
	stream->left.bytes -= count;
	return count;
}

static void release(struct stream_source *stream, bool *awaited)
{
	vq_device_give(&stream->vq, stream->head, 0);
	stream->held = false;
	*awaited |= vq_device_is_awaited(&stream->vq);
}

size_t stream_source_take(struct stream_source *stream, uint8_t *to, size_t room, bool *awaited)
{
	size_t count = 0;

	if (room > stream->vq.arena_bytes)
		room = stream->vq.arena_bytes;
	for (unsigned int i = 0; i < stream->vq.entries && count < room && hold(stream); i++) {
		count += take_bytes(stream, to + count, room - count);
		if (!stream->left.bytes)
			release(stream, awaited);
	}
	return count;
}

bool stream_source_take_message(struct stream_source *stream, struct keel_message *message, bool *awaited)
{
	for (unsigned int i = 0; i < stream->vq.entries && hold(stream); i++) {
		bool whole = stream->left.bytes == sizeof(*message);

		if (whole)
			take_bytes(stream, (uint8_t *)message, sizeof(*message));
		release(stream, awaited);
		if (whole)
			return true;
	}
	return false;
}

/* To it */

void stream_sink_init(struct stream_sink *stream, struct keel_channel *channel, const struct keel_queue *queue)
{
	*stream = (struct stream_sink){ 0 };
	init_queue(&stream->vq, channel, queue);
}

static void add_buffer(struct stream_sink *stream, const struct vq_chain *chain)
{
	unsigned int at = (stream->first + stream->count++) % STREAM_BUFFERS;

	stream->buffer[at].head = chain->head;
	stream->buffer[at].piece = chain->piece[0];
	stream->room += chain->piece[0].bytes;
}

/* What the cell has offered. */
static void gather(struct stream_sink *stream)
{
	struct vq_chain chain;

	for (unsigned int i = 0; i < stream->vq.entries && stream->count < STREAM_BUFFERS; i++) {
		if (!vq_device_take(&stream->vq, &chain))
			break;
		if (chain.in == 1 && !chain.out)
			add_buffer(stream, &chain);
		else
			vq_device_give(&stream->vq, chain.head, 0);
	}
}

size_t stream_sink_room(struct stream_sink *stream)
{
	gather(stream);
	return stream->room;
}

/* Gives the first buffer back with as much as fits; returns how much that is. */
static size_t fill_first(struct stream_sink *stream, const void *from, size_t count)
{
	struct vq_piece piece = stream->buffer[stream->first].piece;

	if (count > piece.bytes)
		count = piece.bytes;
	memcpy(stream->vq.channel + piece.offset, from, count);
	vq_device_give(&stream->vq, stream->buffer[stream->first].head, (uint32_t)count);
	stream->room -= piece.bytes;
	stream->first = (stream->first + 1) % STREAM_BUFFERS;
	stream->count--;
	return count;
}

void stream_sink_put(struct stream_sink *stream, const uint8_t *from, size_t count)
{
	while (count && stream->count) {
		size_t done = fill_first(stream, from, count);

		from += done;
		count -= done;
	}
}

/* One that is too small is given back with a part, which the cell passes over. */
bool stream_sink_put_message(struct stream_sink *stream, const struct keel_message *message)
{
	gather(stream);
	while (stream->count)
		if (fill_first(stream, message, sizeof(*message)) == sizeof(*message))
			return true;
	return false;
}
