// SPDX-License-Identifier: GPL-2.0
/* The stand-in's characters and messages: consoles, the machine's buttons, the doors of CD-ROM drives. */
#include "standin.h"

#include <stdio.h>
#include <string.h>

#include "core/stream.h"
#include "shared/pc_map.h"

#define INPUT_ROOM		4096	/* at a time */

static struct {
	struct stream_in console_in;
	struct stream_in panel_in;
	struct stream_in drive_in[KEEL_DRIVES];
	struct stream_out console_out;
	struct stream_out debug;
	struct stream_out panel_out;
	struct stream_out drive_out[KEEL_DRIVES];
	struct vq_shadow shadow[KEEL_QUEUES][KEEL_STREAM_ENTRIES_MOST];
	struct keel_message door[KEEL_DRIVES];
	struct keel_message taken;
} streams;

static struct stream_in stream_in_of(const struct keel_device *row, unsigned int number)
{
	struct stream_in stream;

	stream_in_init(&stream, (uint8_t *)channel, &channel->machine.queue[row->first_queue + number],
		       streams.shadow[row->first_queue + number]);
	return stream;
}

static struct stream_out stream_out_of(const struct keel_device *row, unsigned int number)
{
	struct stream_out stream;

	stream_out_init(&stream, (uint8_t *)channel, &channel->machine.queue[row->first_queue + number],
			streams.shadow[row->first_queue + number]);
	return stream;
}

void streams_open(void)
{
	memset(&streams, 0, sizeof(streams));
	for (unsigned int i = 0; i < channel->machine.devices; i++) {
		const struct keel_device *row = &channel->machine.device[i];

		if (row->type == KEEL_DEVICE_CONSOLE) {
			streams.console_in = stream_in_of(row, 0);
			streams.console_out = stream_out_of(row, 1);
		} else if (row->type == KEEL_DEVICE_DEBUG) {
			streams.debug = stream_out_of(row, 0);
		} else if (row->type == KEEL_DEVICE_PANEL) {
			streams.panel_in = stream_in_of(row, 0);
			streams.panel_out = stream_out_of(row, 1);
		} else if (row->type == KEEL_DEVICE_IDE_CDROM) {
			streams.drive_in[row->slot] = stream_in_of(row, 1);
			streams.drive_out[row->slot] = stream_out_of(row, 2);
		}
	}
}

/* Waits for room, as a guest's serial port does. What has been put out is there before the next byte, for the guest may end. */
static void put_bytes(struct stream_out *to, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count && !killed; i++) {
		while (!stream_put(to, (uint8_t)bytes[i]) && !killed) {
			ring();
			nap();
		}
		stream_flush(to);
	}
	ring();
}

void streams_say(const char *bytes, size_t count)
{
	put_bytes(&streams.console_out, bytes, count);
}

void streams_debug(const char *bytes, size_t count)
{
	put_bytes(&streams.debug, bytes, count);
}

void streams_flood(void)
{
	struct stream_out *out[] = { &streams.console_out, &streams.debug };

	for (unsigned int i = 0; i < 2; i++) {
		stream_put(out[i], 'f');
		stream_flush(out[i]);
	}
}

void streams_door(unsigned int drive, bool locked, bool ejected)
{
	struct keel_message *door = &streams.door[drive % KEEL_DRIVES];

	door->kind = KEEL_MESSAGE_DOOR;
	door->flags = locked ? KEEL_MESSAGE_LOCKED : 0;
	door->number += ejected;
	if (!stream_send(&streams.drive_out[drive % KEEL_DRIVES], door))
		fprintf(stderr, "stand-in: drive %u takes no more messages\n", drive);
	ring();
}

void streams_take_button(void)
{
	streams.taken.kind = KEEL_MESSAGE_TAKEN;
	streams.taken.number++;
	if (!stream_send(&streams.panel_out, &streams.taken))
		fprintf(stderr, "stand-in: the panel takes no more messages\n");
	ring();
}

static void take_messages(void)
{
	struct keel_message message;

	while (stream_receive(&streams.panel_in, &message))
		if (message.kind == KEEL_MESSAGE_CAPACITY)
			note("capacity %u %llu", KEEL_DRIVES + message.flags - PC_SLOT_DISK,
			     (unsigned long long)message.number * KEEL_SECTOR);
		else
			note("%s", message.kind == KEEL_MESSAGE_POWER_BUTTON ? "power button" : "nmi");
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		while (stream_receive(&streams.drive_in[i], &message))
			if (message.kind == KEEL_MESSAGE_MEDIUM)
				note("medium %u %llu", i, (unsigned long long)message.number * KEEL_SECTOR);
			else
				note("eject button");
}

static void take_input(void)
{
	char text[INPUT_ROOM + 1];
	size_t n = 0;

	while (n < INPUT_ROOM && stream_get(&streams.console_in, (uint8_t *)&text[n]))
		n++;
	text[n] = '\0';
	if (n)
		note("input %s", text);
}

void streams_take(void)
{
	take_messages();
	take_input();
}
