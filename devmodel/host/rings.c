// SPDX-License-Identifier: GPL-2.0
/* Rings of the channel, seen from the resource half. */
#include "host/rings.h"

#include <string.h>

#define LOAD(p)			__atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define STORE(p, value)		__atomic_store_n(&(p), value, __ATOMIC_RELEASE)

/* Entries between a consumer and its producer; an index that cannot be is taken as a full ring. */
static uint32_t used(uint32_t head, uint32_t tail, uint32_t size)
{
	return head - tail > size ? size : head - tail;
}

void rings_init(struct rings *rings, struct keel_channel *channel)
{
	*rings = (struct rings){ .channel = channel };
}

void rings_watch(struct rings *rings, const struct vq_device *queue)
{
	rings->queue[rings->queues++] = queue;
}

static bool has_request(const struct rings *rings)
{
	for (unsigned int i = 0; i < rings->queues; i++)
		if (vq_device_has(rings->queue[i]))
			return true;
	return false;
}

static size_t take(const uint8_t *ring, uint32_t head, uint32_t *tail, uint8_t *to, size_t room)
{
	uint32_t count = used(head, *tail, KEEL_RING_BYTES);

	if (count > room)
		count = (uint32_t)room;
	for (uint32_t i = 0; i < count; i++)
		to[i] = ring[(*tail + i) % KEEL_RING_BYTES];
	*tail += count;
	return count;
}

size_t rings_take_output(struct rings *rings, uint8_t *to, size_t room, bool *was_full)
{
	struct keel_channel *c = rings->channel;
	uint32_t head = LOAD(c->output_head);
	size_t count;

	*was_full = used(head, rings->output_tail, KEEL_RING_BYTES) == KEEL_RING_BYTES;
	count = take(c->output, head, &rings->output_tail, to, room);
	STORE(c->output_tail, rings->output_tail);
	return count;
}

size_t rings_take_debug(struct rings *rings, uint8_t *to, size_t room)
{
	struct keel_channel *c = rings->channel;
	size_t count = take(c->debug, LOAD(c->debug_head), &rings->debug_tail, to, room);

	STORE(c->debug_tail, rings->debug_tail);
	return count;
}

size_t rings_input_room(const struct rings *rings)
{
	return KEEL_RING_BYTES - used(rings->input_head, LOAD(rings->channel->input_tail), KEEL_RING_BYTES);
}

void rings_put_input(struct rings *rings, const uint8_t *from, size_t count)
{
	struct keel_channel *c = rings->channel;

	for (size_t i = 0; i < count; i++)
		c->input[(rings->input_head + i) % KEEL_RING_BYTES] = from[i];
	rings->input_head += (uint32_t)count;
	STORE(c->input_head, rings->input_head);
}

void rings_command(struct rings *rings, uint32_t bits)
{
	__atomic_fetch_or(&rings->channel->commands, bits, __ATOMIC_RELEASE);
}

void rings_set_medium(struct rings *rings, unsigned int device, uint64_t bytes)
{
	STORE(*(uint64_t *)(void *)rings->channel->machine.device[device].config, bytes / KEEL_SECTOR);
	rings_command(rings, KEEL_COMMAND_MEDIUM_CHANGED);
}

uint32_t rings_door(const struct rings *rings, unsigned int drive)
{
	return KEEL_DOOR(LOAD(rings->channel->doors), drive);
}

uint32_t rings_buttons_taken(const struct rings *rings)
{
	return LOAD(rings->channel->buttons_taken);
}

bool rings_sleep(struct rings *rings, bool output_wanted)
{
	struct keel_channel *c = rings->channel;

	STORE(c->host_asleep, 1);
	/* The cell writes its entry, then looks at the flag; here the flag goes first, then the look at the rings. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (has_request(rings) || LOAD(c->debug_head) != rings->debug_tail ||
	    (output_wanted && LOAD(c->output_head) != rings->output_tail)) {
		rings_awake(rings);
		return false;
	}
	return true;
}

void rings_awake(struct rings *rings)
{
	STORE(rings->channel->host_asleep, 0);
}
