/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One IDE channel: two drives behind one set of registers (ATA/ATAPI-6, T13 1410D), and its half of the bus master.
 *
 * The machine completes a request, outside of the accesses that made it, by ide_complete.
 */
#ifndef KEEL_IDE_H
#define KEEL_IDE_H

#include "core/bus.h"
#include "disk/bmide.h"
#include "disk/ide_drive.h"
#include "core/line.h"
#include "core/state.h"

#define IDE_CHANNEL_DRIVES	2u
#define IDE_COMMAND_PORTS	IDE_REGISTERS
#define IDE_CONTROL_PORTS	1u

struct ide_channel_state {
	uint8_t selected;		/* drive */
	uint8_t control;		/* Device Control as written */
	uint8_t line;			/* INTRQ */
};

struct ide_channel {
	struct line irq;		/* wiring */
	struct bmide bm;		/* wiring: bm.mem */
	struct ide_drive drive[IDE_CHANNEL_DRIVES];
	struct ide_channel_state s;
};

/* Power-on state. Also a machine reset: what is in flight then is dropped when it comes back. */
void ide_init(struct ide_channel *ch);
/* The devices of these are a struct ide_channel: the command block, and the one register of the control block. */
extern const struct io_ops ide_command_io, ide_control_io;
uint8_t ide_bm_read(const struct ide_channel *ch, unsigned int offset);
void ide_bm_write(struct ide_channel *ch, unsigned int offset, uint8_t value);
/* Whether the function may reach memory. What the engine has been started for waits until it may. */
void ide_bm_master(struct ide_channel *ch, bool master);
/* The request of this drive with this chunk is done: 0, or it failed. One that nobody waits for is ignored. */
void ide_complete(struct ide_channel *ch, unsigned int drive, unsigned int chunk, int32_t status);
/* The button of a CD-ROM drive is pressed. */
void ide_eject_request(struct ide_channel *ch, unsigned int drive);
/* The medium of a CD-ROM drive was changed; bytes = 0: taken out. */
void ide_medium_changed(struct ide_channel *ch, unsigned int drive, uint64_t bytes);
/* A request is in flight: the machine saves its state only when this is false for all channels. */
bool ide_in_flight(const struct ide_channel *ch);
/*
 * NULL, or the name of a field of these states that the channel, with the drives that it has, cannot be in while
 * nothing is in flight.
 */
const char *ide_invalid(const struct ide_channel *ch, const struct ide_channel_state *s, const struct bmide_state *bm,
			const struct ide_drive_state *const drives[IDE_CHANNEL_DRIVES]);
/* After a load of all parts (channel, bm.s, both drives): false if they make no sense, and the machine must not run. */
bool ide_restored(struct ide_channel *ch);

/* The drives are saved by ide_drive_state_table, the bus master by bmide_state_table. */
extern const struct state_table ide_channel_state_table;

#endif
