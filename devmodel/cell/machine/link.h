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

struct link {
	struct keel_channel *channel;
	uint32_t output_head, input_tail;
	uint32_t debug_head;
	uint32_t buttons_taken;
	uint32_t doors;
	bool produced;			/* something that the other end should look at soon */
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

/* What a drive's configuration says; it may be a copy, or the channel's own. */
static inline uint64_t link_block_sectors(const struct keel_device *drive)
{
	return __atomic_load_n((const uint64_t *)(const void *)drive->config, __ATOMIC_ACQUIRE);
}

/* The guest's serial console. */
bool link_output_room(const struct link *link);
bool link_output(struct link *link, uint8_t character);		/* false: no room, and it is lost */
int link_input(struct link *link);				/* -1: nothing there */

/* The debug ring; what does not fit is dropped. */
void link_debug(struct link *link, uint8_t character);
void link_debug_bytes(struct link *link, const char *text, const uint8_t *bytes, unsigned int count);

/* Takes those of the KEEL_COMMAND_* bits. */
uint32_t link_commands(struct link *link, uint32_t which);
/* The guest has taken a press of the power button. */
void link_button_taken(struct link *link);
/* The guest has locked the door of a CD-ROM drive, or unlocked it, or has opened it with a medium in it. */
void link_door(struct link *link, unsigned int drive, bool locked, bool ejected);

/* Whether the other end sleeps and has something to look at; asked once before each answer. */
bool link_doorbell(struct link *link);

#endif
