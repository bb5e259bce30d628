/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One IDE channel: two drives behind one set of registers (ATA/ATAPI-6, T13 1410D), and its half of the bus master.
 *
 * Offsets: command block 0 to 7, control block one register (Alternate Status / Device Control).
 * The machine completes a request, outside of the accesses that made it, by ide_complete.
 */
#ifndef KEEL_IDE_H
#define KEEL_IDE_H

#include "disk/bmide.h"
#include "disk/ide_drive.h"
#include "core/line.h"
#include "core/state.h"

#define IDE_CHANNEL_DRIVES	2u

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
uint8_t ide_read(struct ide_channel *ch, unsigned int offset);
void ide_write(struct ide_channel *ch, unsigned int offset, uint8_t value);
uint8_t ide_control_read(const struct ide_channel *ch);
void ide_control_write(struct ide_channel *ch, uint8_t value);
uint8_t ide_bm_read(const struct ide_channel *ch, unsigned int offset);
void ide_bm_write(struct ide_channel *ch, unsigned int offset, uint8_t value);
/* The request of this drive is done: 0 or a negative errno. One that nobody waits for is ignored. */
void ide_complete(struct ide_channel *ch, unsigned int drive, int32_t status);
/* The button of a CD-ROM drive is pressed. */
void ide_eject_request(struct ide_channel *ch, unsigned int drive);
/* The medium of a CD-ROM drive was changed; bytes = 0: taken out. */
void ide_medium_changed(struct ide_channel *ch, unsigned int drive, uint64_t bytes);
/* A request is in flight: the machine saves its state only when this is false for all channels. */
bool ide_in_flight(const struct ide_channel *ch);
/* After a load of all parts (channel, bm.s, both drives): false if they make no sense, and the machine must not run. */
bool ide_restored(struct ide_channel *ch);

/* The data port, 16-bit and 32-bit: two 16-bit cycles. */
static inline uint16_t ide_data_read16(struct ide_channel *ch)
{
	return ide_drive_data_read(&ch->drive[ch->s.selected]);
}

static inline void ide_data_write16(struct ide_channel *ch, uint16_t value)
{
	ide_drive_data_write(&ch->drive[ch->s.selected], value);
}

static inline uint32_t ide_data_read32(struct ide_channel *ch)
{
	uint32_t low = ide_data_read16(ch);

	return low | (uint32_t)ide_data_read16(ch) << 16;
}

static inline void ide_data_write32(struct ide_channel *ch, uint32_t value)
{
	ide_data_write16(ch, (uint16_t)value);
	ide_data_write16(ch, (uint16_t)(value >> 16));
}

/* The drives are saved by ide_drive_state_table, the bus master by bmide_state_table. */
extern const struct state_table ide_channel_state_table;

#endif
