/* SPDX-License-Identifier: GPL-2.0 */
/* A channel with two drives, guest memory and a host that answers when it is told to. */
#ifndef KEEL_TEST_IDE_RIG_H
#define KEEL_TEST_IDE_RIG_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "disk/ide.h"
#include "pci/piix3_ide.h"
#include "suite.h"

#define RIG_MEMORY	0x400000u
#define RIG_HOLE	0xa0000u
#define RIG_HOLE_END	0xc0000u

#define BSY		0x80u
#define DRDY		0x40u
#define DSC		0x10u
#define DRQ		0x08u
#define ERR		0x01u
#define READY		(DRDY | DSC)

struct rig_request {
	unsigned int number;			/* which one it is of the disk's; 0: there is none */
	enum keel_block_op op;
	uint64_t offset;
	uint32_t count;
	uint8_t sent[KEEL_BOUNCE_BYTES];	/* what the chunk held when it was submitted */
};

struct rig_disk {
	uint8_t *image;
	uint64_t bytes;
	uint8_t *bounce;			/* on its own: the sanitizer watches both ends */
	struct rig_request request[KEEL_BLOCK_CHUNKS];
	unsigned int submitted;
	unsigned int pending;
	/* of the last one */
	enum keel_block_op op;
	uint64_t offset;
	uint32_t count;
	unsigned int reads, writes, flushes;
	enum keel_block_op last;
};

struct rig {
	struct piix3_ide ide;
	struct ide_channel *ch;
	struct gmem mem;
	uint8_t *memory;
	struct rig_disk disk[KEEL_DRIVES];
	struct ide_host host;
	bool refuse;			/* requests are not taken */
	bool locked;			/* the door of the CD-ROM drive, as the guest has it, */
	unsigned int ejected;		/* and how often the guest has opened it with a medium in it */
	unsigned int edges;		/* of the primary channel's line */
	bool level;
	unsigned int transfers;		/* at the data port */
};

static struct rig rig;

static inline void rig_door(void *owner, unsigned int drive, bool locked, bool ejected)
{
	struct rig *r = owner;

	ck_assert_uint_lt(drive, KEEL_DRIVES);
	r->locked = locked;
	r->ejected += ejected;
}

static inline bool rig_submit(void *owner, unsigned int drive, unsigned int chunk, enum keel_block_op op, uint64_t offset,
			      uint32_t count)
{
	struct rig *r = owner;
	struct rig_disk *disk = &r->disk[drive];
	struct rig_request *request = &disk->request[chunk];

	ck_assert_uint_lt(drive, KEEL_DRIVES);
	ck_assert_uint_lt(chunk, KEEL_BLOCK_CHUNKS);
	ck_assert_uint_eq(request->number, 0);
	ck_assert_uint_le(count, KEEL_BOUNCE_BYTES);
	ck_assert(op == KEEL_BLOCK_FLUSH || count);
	ck_assert_uint_le(offset + count, disk->bytes);
	ck_assert_uint_eq(offset % 512, 0);
	ck_assert_uint_eq(count % 512, 0);
	if (r->refuse)
		return false;
	disk->pending++;
	disk->op = op;
	disk->offset = offset;
	disk->count = count;
	request->number = ++disk->submitted;
	request->op = op;
	request->offset = offset;
	request->count = count;
	memcpy(request->sent, disk->bounce + chunk * KEEL_BOUNCE_BYTES, KEEL_BOUNCE_BYTES);
	return true;
}

static inline void rig_carry_out(struct rig_disk *disk, const struct rig_request *request, uint8_t *chunk, int32_t status)
{
	switch (request->op) {
	case KEEL_BLOCK_READ:
		disk->reads++;
		if (!status)
			memcpy(chunk, disk->image + request->offset, request->count);
		break;
	case KEEL_BLOCK_WRITE:
		disk->writes++;
		if (!status)
			memcpy(disk->image + request->offset, chunk, request->count);
		break;
	case KEEL_BLOCK_FLUSH:
		disk->flushes++;
		break;
	case KEEL_BLOCK_DISCARD:
	case KEEL_BLOCK_WRITE_ZEROES:
		ck_abort_msg("an IDE drive asks for neither");
	}
}

/* Answers one of the drive's requests: that of this chunk, if there is one. */
static inline bool rig_answer_chunk(unsigned int drive, unsigned int chunk, int32_t status)
{
	struct rig_disk *disk = &rig.disk[drive];
	struct rig_request *request = &disk->request[chunk];
	uint8_t *data = disk->bounce + chunk * KEEL_BOUNCE_BYTES;

	if (!request->number)
		return false;
	/* Until here the chunk was the host's. */
	ck_assert_mem_eq(data, request->sent, sizeof(request->sent));
	request->number = 0;
	disk->pending--;
	disk->last = request->op;
	rig_carry_out(disk, request, data, status);
	ide_complete(&rig.ide.channel[drive / 2], drive % 2, chunk, status);
	return true;
}

/* The request that has waited longest. */
static inline bool rig_answer(unsigned int drive, int32_t status)
{
	struct rig_disk *disk = &rig.disk[drive];
	unsigned int oldest = 0;

	for (unsigned int i = 1; i < KEEL_BLOCK_CHUNKS; i++)
		if (disk->request[i].number - 1 < disk->request[oldest].number - 1)
			oldest = i;
	return rig_answer_chunk(drive, oldest, status);
}

static inline void rig_answer_all(void)
{
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		while (rig_answer(i, 0))
			;
}

static inline void rig_line(void *sink, unsigned int pin, bool level)
{
	(void)sink;
	(void)pin;
	ck_assert(level != rig.level);
	rig.level = level;
	rig.edges += level;
}

static inline void rig_drive(unsigned int i, uint32_t kind, uint64_t bytes)
{
	struct ide_drive *d = &rig.ide.channel[i / 2].drive[i % 2];
	struct rig_disk *disk = &rig.disk[i];

	d->kind = kind;
	d->bytes = bytes;
	disk->bytes = bytes;
	disk->image = malloc(bytes ? bytes : 1);
	for (uint64_t at = 0; at < bytes; at++)
		disk->image[at] = (uint8_t)((at + i) * 0x9e3779b97f4a7c15ull >> 56);	/* no two windows alike */
}

static inline void rig_begin(void)
{
	memset(&rig, 0, sizeof(rig));
	rig.memory = calloc(1, RIG_MEMORY);
	rig.mem.base = rig.memory;
	rig.mem.count = 2;
	rig.mem.range[0].bytes = RIG_HOLE;
	rig.mem.range[1].first = RIG_HOLE_END;
	rig.mem.range[1].bytes = RIG_MEMORY - RIG_HOLE_END;
	rig.host.owner = &rig;
	rig.host.submit = rig_submit;
	rig.host.door = rig_door;
	rig.ch = &rig.ide.channel[0];
	rig.ch->irq = (struct line){ rig_line, NULL, 14 };
	for (unsigned int i = 0; i < KEEL_DRIVES; i++) {
		struct ide_drive *d = &rig.ide.channel[i / 2].drive[i % 2];

		d->host = &rig.host;
		d->number = i;
		d->bounce = rig.disk[i].bounce = calloc(KEEL_BLOCK_CHUNKS, KEEL_BOUNCE_BYTES);
		memcpy(d->serial, "SN0000000000000000A", 19);
		d->serial[18] = (char)('A' + i);
	}
	for (unsigned int i = 0; i < PIIX3_IDE_CHANNELS; i++)
		rig.ide.channel[i].bm.mem = &rig.mem;
}

static inline void rig_end(void)
{
	for (unsigned int i = 0; i < KEEL_DRIVES; i++) {
		free(rig.disk[i].image);
		free(rig.disk[i].bounce);
	}
	free(rig.memory);
}

/* As firmware leaves it. */
static inline void rig_power_on(void)
{
	piix3_ide_init(&rig.ide);
	pci_function_write(&rig.ide.pci, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static inline uint8_t in(unsigned int reg)
{
	return (uint8_t)ide_command_io.read(rig.ch, reg, 1);
}

static inline void out(unsigned int reg, unsigned int value)
{
	ide_command_io.write(rig.ch, reg, 1, (uint8_t)value);
}

static inline uint8_t control_read(void)
{
	return (uint8_t)ide_control_io.read(rig.ch, 0, 1);
}

static inline void control_write(uint8_t value)
{
	ide_control_io.write(rig.ch, 0, 1, value);
}

static inline uint32_t data_read(unsigned int bytes)
{
	return (uint32_t)ide_command_io.read(rig.ch, IDE_DATA, bytes);
}

static inline void data_write(unsigned int bytes, uint32_t value)
{
	ide_command_io.write(rig.ch, IDE_DATA, bytes, value);
}

/* Status, acknowledged, as an interrupt handler reads it. */
static inline uint8_t status(void)
{
	uint8_t alternate = control_read(), value = in(7);

	ck_assert_uint_eq(alternate, value);
	ck_assert(!rig.level);
	return value;
}

/* An interrupt has come; its status. */
static inline uint8_t interrupt(void)
{
	ck_assert(rig.level);
	return status();
}

static inline void select_drive(unsigned int drive)
{
	out(6, 0xa0 | drive << 4);
}

static inline void lba28(uint32_t lba, uint8_t count, uint8_t command)
{
	out(2, count);
	out(3, lba & 0xff);
	out(4, lba >> 8 & 0xff);
	out(5, lba >> 16 & 0xff);
	out(6, 0xe0 | (rig.ch->s.selected << 4) | lba >> 24);
	out(7, command);
}

static inline void lba48(uint64_t lba, uint16_t count, uint8_t command)
{
	out(2, count >> 8);
	out(3, lba >> 24 & 0xff);
	out(4, lba >> 32 & 0xff);
	out(5, lba >> 40 & 0xff);
	out(2, count & 0xff);
	out(3, lba & 0xff);
	out(4, lba >> 8 & 0xff);
	out(5, lba >> 16 & 0xff);
	out(6, 0x40 | (rig.ch->s.selected << 4));
	out(7, command);
}

/* As string instructions do: pieces of some elements, and by one what is not taken. Every fourth time, by words alone. */
static inline void read_data(void *to, uint32_t bytes)
{
	uint32_t some = (rig.transfers++ % 4) * 100, done;

	for (uint32_t i = 0; i < bytes; i += 2 * done) {
		uint32_t left = (bytes - i) / 2;
		uint16_t value;

		done = some ? ide_command_io.read_many(rig.ch, IDE_DATA, 2, left < some ? left : some, (uint8_t *)to + i) : 0;
		if (done)
			continue;
		value = (uint16_t)data_read(2);
		memcpy((uint8_t *)to + i, &value, 2);
		done = 1;
	}
}

static inline void write_data(const void *from, uint32_t bytes)
{
	uint32_t some = (rig.transfers++ % 4) * 100, done;

	for (uint32_t i = 0; i < bytes; i += 2 * done) {
		const uint8_t *at = (const uint8_t *)from + i;
		uint32_t left = (bytes - i) / 2;
		uint16_t value;

		done = some ? ide_command_io.write_many(rig.ch, IDE_DATA, 2, left < some ? left : some, at) : 0;
		if (done)
			continue;
		memcpy(&value, at, 2);
		data_write(2, value);
		done = 1;
	}
}

static inline void put32(uint32_t gpa, uint32_t value)
{
	memcpy(rig.memory + gpa, &value, 4);
}

static inline void prd(uint32_t table, unsigned int entry, uint32_t address, uint32_t count, bool last)
{
	put32(table + 8 * entry, address);
	put32(table + 8 * entry + 4, (count & 0xffff) | (last ? 0x80000000u : 0));
}

static inline uint32_t bm_read(unsigned int offset, unsigned int bytes)
{
	return (uint32_t)pci_bar_read(&rig.ide.pci, PIIX3_IDE_BM_BAR, offset, bytes);
}

static inline void bm_write(unsigned int offset, unsigned int bytes, uint32_t value)
{
	pci_bar_write(&rig.ide.pci, PIIX3_IDE_BM_BAR, offset, bytes, value);
}

/* Saves the whole primary channel; 0 if something is in flight. */
static inline size_t rig_save(struct ide_channel *ch, uint8_t *buf, size_t room)
{
	size_t n = 0;

	if (ide_in_flight(ch))
		return 0;
	n += state_save(&ide_channel_state_table, 0, &ch->s, buf + n, room - n);
	n += state_save(&bmide_state_table, 0, &ch->bm.s, buf + n, room - n);
	n += state_save(&ide_drive_state_table, 0, &ch->drive[0].s, buf + n, room - n);
	n += state_save(&ide_drive_state_table, 1, &ch->drive[1].s, buf + n, room - n);
	return n;
}

static inline bool rig_load(struct ide_channel *ch, const uint8_t *buf, size_t bytes)
{
	size_t n = 0;

	n += state_load(&ide_channel_state_table, 0, &ch->s, buf + n, bytes - n);
	n += state_load(&bmide_state_table, 0, &ch->bm.s, buf + n, bytes - n);
	n += state_load(&ide_drive_state_table, 0, &ch->drive[0].s, buf + n, bytes - n);
	n += state_load(&ide_drive_state_table, 1, &ch->drive[1].s, buf + n, bytes - n);
	rig.level = ch->s.line;
	return n == bytes && ide_restored(ch);
}

#define RIG_STATE_ROOM	(3 * IDE_BUFFER_BYTES)

#endif
