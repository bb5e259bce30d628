// SPDX-License-Identifier: GPL-2.0
/* The channel's queues, seen from the resource half. */
#include "host/rings.h"

#define STORE(p, value)		__atomic_store_n(&(p), value, __ATOMIC_RELEASE)

static void open_messages(struct rings *rings, struct rings_messages *messages, const struct keel_queue *queues)
{
	stream_sink_init(&messages->to, rings->channel, &queues[0]);
	stream_source_init(&messages->from, rings->channel, &queues[1]);
	rings_watch(rings, &messages->from.vq);
}

static void open_device(struct rings *rings, const struct keel_device *device, const struct keel_queue *queues)
{
	switch (device->type) {
	case KEEL_DEVICE_IDE_CDROM:
		open_messages(rings, &rings->drive[device->slot], queues + 1);
		break;
	case KEEL_DEVICE_CONSOLE:
		stream_sink_init(&rings->input, rings->channel, &queues[0]);
		stream_source_init(&rings->output, rings->channel, &queues[1]);
		break;
	case KEEL_DEVICE_DEBUG:
		stream_source_init(&rings->debug, rings->channel, &queues[0]);
		break;
	case KEEL_DEVICE_PANEL:
		open_messages(rings, &rings->panel, queues);
		break;
	default:
		break;
	}
}

void rings_init(struct rings *rings, struct keel_channel *channel, const struct keel_device *devices, unsigned int count,
		const struct keel_queue *queues)
{
	*rings = (struct rings){ .channel = channel };
	for (unsigned int i = 0; i < count; i++)
		open_device(rings, &devices[i], &queues[devices[i].first_queue]);
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

/* Characters */

size_t rings_take_output(struct rings *rings, uint8_t *to, size_t room)
{
	return stream_source_take(&rings->output, to, room, &rings->awaited);
}

size_t rings_take_debug(struct rings *rings, uint8_t *to, size_t room)
{
	bool awaited = false;

	/* What the cell has no room for is lost: it does not wait. */
	return stream_source_take(&rings->debug, to, room, &awaited);
}

size_t rings_input_room(struct rings *rings)
{
	return stream_sink_room(&rings->input);
}

void rings_put_input(struct rings *rings, const uint8_t *from, size_t count)
{
	stream_sink_put(&rings->input, from, count);
}

/* Messages */

static void send_pending(struct rings_messages *messages)
{
	for (uint32_t kind = 0; messages->pending >> kind; kind++) {
		struct keel_message message = {
			.kind = kind, .number = kind == KEEL_MESSAGE_MEDIUM ? messages->sectors : 0,
		};

		if (!(messages->pending >> kind & 1))
			continue;
		if (!stream_sink_put_message(&messages->to, &message))
			return;
		messages->pending &= ~(1u << kind);
	}
}

static void send(struct rings_messages *messages, enum keel_message_kind kind)
{
	messages->pending |= 1u << kind;
	send_pending(messages);
}

void rings_press(struct rings *rings, enum keel_message_kind button)
{
	send(&rings->panel, button);
}

void rings_set_medium(struct rings *rings, unsigned int drive, uint64_t bytes)
{
	rings->drive[drive].sectors = bytes / KEEL_SECTOR;
	send(&rings->drive[drive], KEEL_MESSAGE_MEDIUM);
}

void rings_press_eject(struct rings *rings)
{
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		send(&rings->drive[i], KEEL_MESSAGE_EJECT_BUTTON);
}

/* Each says all that those before it did. No more of them than there are entries, however many the cell makes up. */
static void take_messages(struct rings *rings, struct rings_messages *messages, enum keel_message_kind kind)
{
	struct keel_message message;

	for (unsigned int i = 0; i < messages->from.vq.entries; i++) {
		if (!stream_source_take_message(&messages->from, &message, &rings->awaited))
			return;
		if (message.kind == kind)
			messages->last = message;
	}
}

struct rings_door rings_door(struct rings *rings, unsigned int drive)
{
	struct rings_messages *messages = &rings->drive[drive];

	take_messages(rings, messages, KEEL_MESSAGE_DOOR);
	return (struct rings_door){ messages->last.flags & KEEL_MESSAGE_LOCKED, messages->last.number };
}

uint64_t rings_buttons_taken(struct rings *rings)
{
	take_messages(rings, &rings->panel, KEEL_MESSAGE_TAKEN);
	return rings->panel.last.number;
}

void rings_serve(struct rings *rings)
{
	rings_buttons_taken(rings);
	send_pending(&rings->panel);
	for (unsigned int i = 0; i < KEEL_DRIVES; i++) {
		rings_door(rings, i);
		send_pending(&rings->drive[i]);
	}
}

bool rings_event_wanted(struct rings *rings)
{
	bool awaited = rings->awaited;

	rings->awaited = false;
	return awaited;
}

/* Sleep */

bool rings_sleep(struct rings *rings, bool output_wanted)
{
	STORE(rings->channel->host_asleep, 1);
	/* The cell writes its entry, then looks at the flag; here the flag goes first, then the look at the queues. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (has_request(rings) || stream_source_has(&rings->debug) || (output_wanted && stream_source_has(&rings->output))) {
		rings_awake(rings);
		return false;
	}
	return true;
}

void rings_awake(struct rings *rings)
{
	STORE(rings->channel->host_asleep, 0);
}
