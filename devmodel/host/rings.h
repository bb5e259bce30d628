/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The resource half's end of the channel (keel/channel.h). The cell's end is not trusted: entries are copied before they are
 * looked at, this end's indices are kept here and never read back, and counts are clamped.
 */
#ifndef KEEL_RINGS_H
#define KEEL_RINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keel/channel.h>

#include "shared/vq_device.h"

struct rings {
	struct keel_channel *channel;
	uint32_t output_tail, input_head, debug_tail;
	const struct vq_device *queue[KEEL_QUEUES];	/* that must be empty before a sleep */
	unsigned int queues;
};

void rings_init(struct rings *rings, struct keel_channel *channel);

/* A queue of the channel's, which lives as long. */
void rings_watch(struct rings *rings, const struct vq_device *queue);

/* Up to 'room' characters; *was_full: the cell may wait for room. */
size_t rings_take_output(struct rings *rings, uint8_t *to, size_t room, bool *was_full);
size_t rings_take_debug(struct rings *rings, uint8_t *to, size_t room);

size_t rings_input_room(const struct rings *rings);
/* count is at most rings_input_room. */
void rings_put_input(struct rings *rings, const uint8_t *from, size_t count);

/* KEEL_COMMAND_* */
void rings_command(struct rings *rings, uint32_t bits);

/* A drive, by the number of its device, has another medium of so many bytes, or none (0). */
void rings_set_medium(struct rings *rings, unsigned int device, uint64_t bytes);

/* KEEL_DOOR_* of a drive, the cell's word. */
uint32_t rings_door(const struct rings *rings, unsigned int drive);

/* How many presses of the power button the guest has taken since its start; the cell's word. */
uint32_t rings_buttons_taken(const struct rings *rings);

/* Before sleeping: announces it; false: there is work, do not sleep. After it: rings_awake. */
bool rings_sleep(struct rings *rings, bool output_wanted);
void rings_awake(struct rings *rings);

#endif
