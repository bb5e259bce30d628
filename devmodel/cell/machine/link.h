/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The register half's end of the channel (keel/channel.h). The other end is not trusted: what is decided on is copied
 * first, indices that are this end's are kept here and never read back, and counts are clamped.
 *
 * The bytes of firmware, items and bounce buffers stay in the channel and are only passed on.
 */
#ifndef KEEL_LINK_H
#define KEEL_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/channel.h>

#include "core/stream.h"

/* A device's messages, there and back. */
struct link_messages {
	struct stream_in in;
	struct stream_out out;
	struct vq_shadow shadow[2][KEEL_MESSAGE_ENTRIES];
	struct keel_message last;	/* that is to be told, or was: */
	bool untold;			/* there was no room for it yet */
};

struct link {
	struct keel_channel *channel;
	bool produced;			/* something that the other end should look at soon */
	struct stream_in input;		/* the serial console's */
	struct stream_out output, debug;
	struct vq_shadow input_shadow[KEEL_STREAM_ENTRIES_MOST], output_shadow[KEEL_STREAM_ENTRIES_MOST],
		debug_shadow[KEEL_STREAM_ENTRIES_MOST];
	struct link_messages panel, drive[KEEL_DRIVES];
	uint32_t talking;		/* a bit for each drive that has messages */
	bool untold;			/* there is something that could not be told */
};

/*
 * Takes the channel and a copy of its machine, which is good afterwards: every offset and size lies within the channel.
 * 0, or an enum cell_refusal.
 */
unsigned int link_init(struct link *link, void *channel, struct keel_machine *machine);

/* The bytes at an offset that link_init has checked. */
static inline uint8_t *link_bytes(const struct link *link, uint32_t offset)
{
	return (uint8_t *)link->channel + offset;
}

static inline bool link_is_drive(const struct keel_device *device)
{
	return device->type == KEEL_DEVICE_IDE_DISK || device->type == KEEL_DEVICE_IDE_CDROM;
}

/* What a drive's configuration says. */
static inline uint64_t link_block_sectors(const struct keel_device *drive)
{
	return *(const uint64_t *)(const void *)drive->config;
}

/* The guest's serial console. */
bool link_output(struct link *link, uint8_t character);		/* false: no room, and it is lost */
bool link_input(struct link *link, uint8_t *character);		/* false: nothing there */

/* The debug port; what does not fit is dropped. */
void link_debug(struct link *link, uint8_t character);
void link_debug_bytes(struct link *link, const char *text, const uint8_t *bytes, unsigned int count);

/* The next message to the panel, or to a drive. False: there is none. */
bool link_panel_message(struct link *link, struct keel_message *message);
bool link_drive_message(struct link *link, unsigned int drive, struct keel_message *message);
/* The guest has taken a press of the power button. */
void link_button_taken(struct link *link);
/* The guest has locked the door of a CD-ROM drive, or unlocked it, or has opened it with a medium in it. */
void link_door(struct link *link, unsigned int drive, bool locked, bool ejected);
/* An event: there may be room for what could not be told. */
void link_tell(struct link *link);

/* Sends what was put out; whether the other end sleeps and has something to look at. Asked once before each answer. */
bool link_doorbell(struct link *link);

#endif
