// SPDX-License-Identifier: GPL-2.0
/* IDE channel: drive selection, registers, resets, interrupt line. */
#include "disk/ide.h"

#include <keel/macros.h>

#include "disk/ata.h"
#include "disk/atapi.h"

#define CONTROL_NIEN		0x02u
#define CONTROL_SRST		0x04u
#define CONTROL_HOB		0x80u

#define COMMAND_DIAGNOSTIC	0x90u

/* A channel without drives: the bus floats, DD7 is pulled down (ATA/ATAPI-6, 9.16.1 and annex E). */
#define FLOATING		0x7fu

static const struct state_field channel_fields[] = {
	STATE_FIELD_MOST(struct ide_channel_state, selected, IDE_CHANNEL_DRIVES - 1),
	STATE_FIELD(struct ide_channel_state, control),
	STATE_FLAG(struct ide_channel_state, line),
};

const struct state_table ide_channel_state_table = {
	"ide-channel", 1, channel_fields, ARRAY_SIZE(channel_fields)
};

static bool present(const struct ide_drive *d)
{
	return d->kind != KEEL_DEVICE_NONE;
}

static bool line_level(const struct ide_channel *ch)
{
	return ch->drive[ch->s.selected].s.interrupt && !(ch->s.control & CONTROL_NIEN);
}

static void update_line(struct ide_channel *ch)
{
	bool level = line_level(ch);

	if (level == ch->s.line)
		return;
	ch->s.line = level;
	if (level)
		bmide_interrupt(&ch->bm);
	line_set(&ch->irq, level);
}

static void drive_interrupt(void *sink, unsigned int pin, bool level)
{
	(void)pin;
	(void)level;
	update_line(sink);
}

void ide_init(struct ide_channel *ch)
{
	ch->s.selected = 0;
	ch->s.control = 0;
	bmide_init(&ch->bm);
	for (unsigned int i = 0; i < IDE_CHANNEL_DRIVES; i++) {
		struct ide_drive *d = &ch->drive[i];

		d->bm = &ch->bm;
		d->irq = (struct line){ drive_interrupt, ch, i };
		ide_drive_init(d);
	}
	update_line(ch);
}

/*
 * The drive that answers a read, NULL if none. Device 0 answers for an absent device 1 (ATA/ATAPI-6, 9.16.1); device 1
 * does not answer for device 0.
 */
static struct ide_drive *answering(struct ide_channel *ch)
{
	if (present(&ch->drive[ch->s.selected]))
		return &ch->drive[ch->s.selected];
	return present(&ch->drive[0]) ? &ch->drive[0] : NULL;
}

static uint8_t alternate_status(const struct ide_channel *ch)
{
	if (present(&ch->drive[ch->s.selected]))
		return ch->drive[ch->s.selected].s.status;
	return present(&ch->drive[0]) ? 0 : FLOATING;
}

static uint8_t read_register(struct ide_channel *ch, unsigned int offset)
{
	struct ide_drive *d = answering(ch);

	if (!d)
		return FLOATING;
	switch (offset) {
	case IDE_FEATURE:
		return ch->s.control & CONTROL_HOB ? d->s.previous[IDE_FEATURE] : d->s.error;
	case IDE_COUNT ... IDE_LBA_HIGH:
		return ch->s.control & CONTROL_HOB ? d->s.previous[offset] : d->s.task[offset];
	case IDE_DEVICE:
		return (uint8_t)((d->s.task[IDE_DEVICE] & ~IDE_DEVICE_DEV) | (ch->s.selected ? IDE_DEVICE_DEV : 0));
	case IDE_COMMAND:
		if (present(&ch->drive[ch->s.selected]))
			ide_drive_interrupt(d, false);
		return alternate_status(ch);
	}
	return FLOATING;
}

/* The data port has cycles of 16 bits: two of them for 32 bits, and one for a byte, too. */
static uint32_t read_data(struct ide_channel *ch, unsigned int bytes)
{
	uint32_t low = ide_drive_data_read(&ch->drive[ch->s.selected]);

	if (bytes < sizeof(uint32_t))
		return low;
	return low | (uint32_t)ide_drive_data_read(&ch->drive[ch->s.selected]) << 16;
}

static void write_data(struct ide_channel *ch, unsigned int bytes, uint32_t value)
{
	ide_drive_data_write(&ch->drive[ch->s.selected], (uint16_t)value);
	if (bytes == sizeof(uint32_t))
		ide_drive_data_write(&ch->drive[ch->s.selected], (uint16_t)(value >> 16));
}

static uint64_t command_block_read(void *device, uint64_t offset, unsigned int bytes)
{
	if (offset == IDE_DATA)
		return read_data(device, bytes);
	return bytes == 1 ? read_register(device, (unsigned int)offset) : UINT64_MAX;
}

static bool occupied(const struct ide_drive *d)
{
	return d->s.status & (IDE_STATUS_BSY | IDE_STATUS_DRQ);
}

/* Both drives test themselves and device 0 reports (ATA/ATAPI-6, 9.10). */
static void diagnose(struct ide_channel *ch)
{
	ch->s.selected = 0;
	for (unsigned int i = 0; i < IDE_CHANNEL_DRIVES; i++)
		if (present(&ch->drive[i]))
			ide_drive_reset(&ch->drive[i]);
	if (present(&ch->drive[0]))
		ide_drive_interrupt(&ch->drive[0], true);
	update_line(ch);
}

static void command(struct ide_channel *ch, uint8_t value)
{
	struct ide_drive *d = &ch->drive[ch->s.selected];

	if (value == COMMAND_DIAGNOSTIC && !occupied(d)) {
		diagnose(ch);
		return;
	}
	if (!present(d))
		return;
	if (d->kind == KEEL_DEVICE_IDE_CDROM && value == ATAPI_DEVICE_RESET) {
		ide_drive_reset(d);
		return;
	}
	if (occupied(d))
		return;
	ide_drive_interrupt(d, false);
	d->s.task[IDE_COMMAND] = value;
	d->s.status = IDE_STATUS_BSY | IDE_STATUS_DRDY;
	d->s.error = 0;
	if (d->kind == KEEL_DEVICE_IDE_CDROM)
		atapi_command(d, value);
	else
		ata_command(d, value);
}

/* Both drives take what is written; one that is occupied does not. */
static void write_task(struct ide_channel *ch, unsigned int offset, uint8_t value)
{
	for (unsigned int i = 0; i < IDE_CHANNEL_DRIVES; i++) {
		struct ide_drive_state *s = &ch->drive[i].s;

		if (!present(&ch->drive[i]) || occupied(&ch->drive[i]))
			continue;
		s->previous[offset] = s->task[offset];
		s->task[offset] = value;
	}
}

static void write_register(struct ide_channel *ch, unsigned int offset, uint8_t value)
{
	ch->s.control &= (uint8_t)~CONTROL_HOB;
	if (ch->s.control & CONTROL_SRST)
		return;
	switch (offset) {
	case IDE_FEATURE ... IDE_LBA_HIGH:
		write_task(ch, offset, value);
		return;
	case IDE_DEVICE:
		write_task(ch, offset, value);
		ch->s.selected = (value & IDE_DEVICE_DEV) != 0;
		update_line(ch);
		return;
	case IDE_COMMAND:
		command(ch, value);
		return;
	}
}

static void command_block_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	if (offset == IDE_DATA)
		write_data(device, bytes, (uint32_t)value);
	else if (bytes == 1)
		write_register(device, (unsigned int)offset, (uint8_t)value);
}

/* The rest of a block at once; not of bytes, for each takes a cycle of 16 bits. */
static unsigned int command_block_read_many(void *device, uint64_t offset, unsigned int bytes, unsigned int count,
					    uint8_t *data)
{
	struct ide_channel *ch = device;

	if (offset != IDE_DATA || bytes == 1)
		return 0;
	return ide_drive_data_read_many(&ch->drive[ch->s.selected], bytes, count, data);
}

static unsigned int command_block_write_many(void *device, uint64_t offset, unsigned int bytes, unsigned int count,
					     const uint8_t *data)
{
	struct ide_channel *ch = device;

	if (offset != IDE_DATA || bytes == 1)
		return 0;
	return ide_drive_data_write_many(&ch->drive[ch->s.selected], bytes, count, data);
}

/* Software reset (ATA/ATAPI-6, 9.2): busy while SRST is set, signature and device 0 selected after it. */
static void reset(struct ide_channel *ch, bool end)
{
	ch->s.selected = 0;
	for (unsigned int i = 0; i < IDE_CHANNEL_DRIVES; i++) {
		struct ide_drive *d = &ch->drive[i];

		if (!present(d))
			continue;
		ide_drive_reset(d);
		if (!end)
			d->s.status = IDE_STATUS_BSY;
	}
}

static uint64_t control_read(void *device, uint64_t offset, unsigned int bytes)
{
	(void)offset;
	(void)bytes;
	return alternate_status(device);
}

static void control_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct ide_channel *ch = device;
	uint8_t changed = ch->s.control ^ (uint8_t)value;

	(void)offset;
	(void)bytes;
	ch->s.control = value & (CONTROL_NIEN | CONTROL_SRST | CONTROL_HOB);
	if (changed & CONTROL_SRST)
		reset(ch, !(value & CONTROL_SRST));
	update_line(ch);
}

uint8_t ide_bm_read(const struct ide_channel *ch, unsigned int offset)
{
	return bmide_read(&ch->bm, offset);
}

static void step_drives(struct ide_channel *ch)
{
	for (unsigned int i = 0; i < IDE_CHANNEL_DRIVES; i++)
		ide_drive_step(&ch->drive[i]);
}

void ide_bm_write(struct ide_channel *ch, unsigned int offset, uint8_t value)
{
	if (bmide_write(&ch->bm, offset, value))
		step_drives(ch);
}

void ide_bm_master(struct ide_channel *ch, bool master)
{
	bool begins = master && !ch->bm.master;

	ch->bm.master = master;
	if (begins)
		step_drives(ch);
}

void ide_complete(struct ide_channel *ch, unsigned int drive, unsigned int chunk, int32_t status)
{
	if (drive < IDE_CHANNEL_DRIVES)
		ide_drive_complete(&ch->drive[drive], chunk, status);
}

void ide_medium_changed(struct ide_channel *ch, unsigned int drive, uint64_t bytes)
{
	if (drive < IDE_CHANNEL_DRIVES && ch->drive[drive].kind == KEEL_DEVICE_IDE_CDROM)
		atapi_medium_changed(&ch->drive[drive], bytes);
}

void ide_eject_request(struct ide_channel *ch, unsigned int drive)
{
	if (drive < IDE_CHANNEL_DRIVES && ch->drive[drive].kind == KEEL_DEVICE_IDE_CDROM)
		atapi_eject_request(&ch->drive[drive]);
}

bool ide_in_flight(const struct ide_channel *ch)
{
	return ch->drive[0].requests || ch->drive[1].requests;
}

const char *ide_invalid(const struct ide_channel *ch, const struct ide_channel_state *s, const struct bmide_state *bm,
			const struct ide_drive_state *const drives[IDE_CHANNEL_DRIVES])
{
	const char *field = bmide_invalid(bm);

	if (s->control & ~(CONTROL_NIEN | CONTROL_SRST | CONTROL_HOB))
		return "control";
	if (s->selected >= IDE_CHANNEL_DRIVES)
		return "selected";
	if (s->line != (drives[s->selected]->interrupt && !(s->control & CONTROL_NIEN)))
		return "line";
	for (unsigned int i = 0; !field && i < IDE_CHANNEL_DRIVES; i++)
		field = ide_drive_invalid(&ch->drive[i], drives[i], s->control & CONTROL_SRST);
	return field;
}

bool ide_restored(struct ide_channel *ch)
{
	const struct ide_drive_state *drives[IDE_CHANNEL_DRIVES] = { &ch->drive[0].s, &ch->drive[1].s };

	for (unsigned int i = 0; i < IDE_CHANNEL_DRIVES; i++)
		ch->drive[i].window_bytes = 0;
	return !ide_invalid(ch, &ch->s, &ch->bm.s, drives);
}

const struct io_ops ide_command_io = {
	.read = command_block_read, .write = command_block_write,
	.read_many = command_block_read_many, .write_many = command_block_write_many, .widest = sizeof(uint32_t),
};
const struct io_ops ide_control_io = { .read = control_read, .write = control_write, .widest = 1 };
