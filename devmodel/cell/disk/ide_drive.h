/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a disk and a CD-ROM drive have in common (ATA/ATAPI-6, T13 1410D): task file, data port, interrupt, and the transfer of
 * data between the guest (data port or bus master) and the host, which answers later.
 *
 * The bounce buffer is in chunks, one for each request that the host may have at once. Ownership of a chunk: from
 * ide_host.submit to ide_drive_complete it is the host's and is not touched here, whatever the guest does meanwhile. The
 * host is not trusted: what it leaves in the chunk is only passed on, and it may be done with the requests in any order.
 * Only transfers by the bus master have several at once. A command waits (BSY) for earlier requests that a reset has left
 * in flight.
 */
#ifndef KEEL_IDE_DRIVE_H
#define KEEL_IDE_DRIVE_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/channel.h>
#include "disk/bmide.h"
#include "core/line.h"
#include "core/state.h"
#include "core/string.h"

#define IDE_SECTOR		512u
#define IDE_BLOCK_SECTORS	16u		/* the most that SET MULTIPLE takes */
#define IDE_BUFFER_BYTES	(IDE_SECTOR * IDE_BLOCK_SECTORS)

/* Command block. Register 1 is Error when read, 7 is Status when read. */
enum ide_register {
	IDE_DATA, IDE_FEATURE, IDE_COUNT, IDE_LBA_LOW, IDE_LBA_MID, IDE_LBA_HIGH, IDE_DEVICE, IDE_COMMAND,
	IDE_REGISTERS,
};

#define IDE_STATUS_ERR		0x01u
#define IDE_STATUS_DRQ		0x08u
#define IDE_STATUS_DSC		0x10u
#define IDE_STATUS_DRDY		0x40u
#define IDE_STATUS_BSY		0x80u
#define IDE_STATUS_READY	(IDE_STATUS_DRDY | IDE_STATUS_DSC)

#define IDE_ERROR_ABRT		0x04u
#define IDE_ERROR_IDNF		0x10u
#define IDE_ERROR_WP		0x40u		/* on writes; */
#define IDE_ERROR_UNC		0x40u		/* on reads */
#define IDE_DIAGNOSTIC_PASSED	0x01u

#define IDE_DEVICE_DEV		0x10u
#define IDE_DEVICE_LBA		0x40u

/* Interrupt reason, in the count register of PACKET. */
#define IDE_REASON_CD		0x01u
#define IDE_REASON_IO		0x02u

#define IDE_PACKET_BYTES	12u

/* What goes on between command and completion. */
enum ide_flow {
	IDE_IDLE,
	IDE_PACKET,		/* the guest writes a command packet */
	IDE_REPLY,		/* bytes of the buffer to the data port */
	IDE_REPLY_DMA,		/* and by bus master */
	IDE_READ,		/* medium to data port */
	IDE_READ_DMA,
	IDE_WRITE,
	IDE_WRITE_DMA,
	IDE_VERIFY,
	IDE_FLUSH,
	IDE_FLOWS,
};

struct ide_drive_state {
	uint8_t task[IDE_REGISTERS];		/* FEATURE to LBA_HIGH and DEVICE */
	uint8_t previous[IDE_REGISTERS];	/* what they held before: the upper half of a 48-bit command */
	uint8_t status, error;
	uint8_t interrupt;			/* pending; seen on the line when selected and enabled */
	uint8_t flow;				/* enum ide_flow */
	uint8_t through;			/* this write ends with a flush */
	uint32_t cursor;			/* data port: next byte of the buffer */
	uint32_t readable, writable;		/* data port: end of the block that the guest may read or write; 0: none */
	uint32_t block;				/* most bytes of one DRQ block */
	uint64_t position;			/* on the medium, bytes */
	uint64_t left;				/* bytes still to move (IDE_READ, IDE_REPLY: beyond the block at the data port) */
	/* settings */
	uint8_t multiple;			/* sectors of a block; 0: off */
	uint8_t heads, sectors;			/* CHS translation */
	uint8_t transfer_mode;			/* as SET FEATURES takes it */
	uint8_t write_cache;
	uint8_t standby;
	/* CD-ROM */
	uint8_t packet;				/* the command is PACKET */
	uint8_t sense_key, sense_code, sense_qualifier;
	uint8_t attention;			/* medium changed: not yet reported as unit attention */
	uint8_t media_event;			/* not yet reported by GET EVENT STATUS NOTIFICATION */
	uint8_t tray_open, locked;
	uint8_t buffer[IDE_BUFFER_BYTES];
};

struct ide_host {
	void *owner;
	/*
	 * At most KEEL_BOUNCE_BYTES, to or from this chunk, which no other request of the drive has. False: could not be taken,
	 * which the guest sees as an error. Must not complete the request before it returns.
	 */
	bool (*submit)(void *owner, unsigned int drive, unsigned int chunk, enum keel_block_op op, uint64_t offset,
		       uint32_t count);
	/* The guest has locked or unlocked a CD-ROM drive's door, or has opened it with a medium in it. */
	void (*door)(void *owner, unsigned int drive, bool locked, bool ejected);
};

/* What the host has, or is done with before an earlier one. */
struct ide_request {
	uint32_t bytes;
	bool over;
	int32_t status;
};

struct ide_drive {
	/* The machine's, set before ide_init. */
	const struct ide_host *host;
	unsigned int number;			/* what the host calls it: odd for device 1 of a channel */
	uint32_t kind;				/* enum keel_device_type */
	uint32_t flags;				/* KEEL_DEVICE_READONLY */
	uint64_t bytes;				/* of the medium; 0: none */
	char serial[20];			/* padded with zeros */
	uint8_t *bounce;			/* KEEL_BLOCK_CHUNKS of KEEL_BOUNCE_BYTES */
	/* The channel's. */
	struct bmide *bm;
	struct line irq;
	/* Not saved: a machine is saved when nothing is in flight, and the read-ahead window is only a cache. */
	struct ide_request request[KEEL_BLOCK_CHUNKS];
	unsigned int first, requests;		/* chunks in use, in the order of the medium: the oldest one, and how many */
	uint32_t ahead;				/* bytes of them all, from position on */
	bool stale;				/* they are of no use to the command at hand, which waits for them */
	uint64_t window;			/* IDE_READ: the first chunk holds window_bytes from here on the medium */
	uint32_t window_bytes;
	struct ide_drive_state s;
};

void ide_drive_init(struct ide_drive *d);
/* Ends whatever goes on and shows the signature. */
void ide_drive_reset(struct ide_drive *d);
void ide_drive_signature(struct ide_drive *d);
/* Goes on with the command if it is the drive's turn. */
void ide_drive_step(struct ide_drive *d);
/* The guest has read or written the whole block at the data port. */
void ide_drive_block_done(struct ide_drive *d);
/* Of a chunk that the host does not have this is ignored. */
void ide_drive_complete(struct ide_drive *d, unsigned int chunk, int32_t status);
/* NULL, or the name of a field of a state that this drive cannot be in while nothing is in flight; in_reset: SRST is set. */
const char *ide_drive_invalid(const struct ide_drive *d, const struct ide_drive_state *s, bool in_reset);

/* For the command sets. Each ends or carries on the current command. */
void ide_drive_done(struct ide_drive *d);			/* success, with interrupt */
void ide_drive_fail(struct ide_drive *d, uint8_t error);	/* ERR, with interrupt */
void ide_drive_interrupt(struct ide_drive *d, bool level);
/* 'bytes' bytes of the buffer to the guest, in blocks of at most 'block' bytes at the data port. */
void ide_drive_reply(struct ide_drive *d, enum ide_flow flow, uint32_t bytes, uint32_t block);
/* bytes is not 0, in whole sectors of the medium, and lies on it; block <= IDE_BUFFER_BYTES. */
void ide_drive_transfer(struct ide_drive *d, enum ide_flow flow, uint64_t position, uint64_t bytes, uint32_t block);
void ide_drive_flush(struct ide_drive *d);

extern const struct state_table ide_drive_state_table;

/* The data port, one 16-bit cycle. */
static inline uint16_t ide_drive_data_read(struct ide_drive *d)
{
	struct ide_drive_state *s = &d->s;
	uint16_t value;

	if (!s->readable)
		return UINT16_MAX;
	memcpy(&value, &s->buffer[s->cursor], sizeof(value));
	s->cursor += sizeof(value);
	if (s->cursor == s->readable)
		ide_drive_block_done(d);
	return value;
}

/* 16-bit cycles for up to count elements of an even number of bytes, as far as the block goes: returns how many. */
unsigned int ide_drive_data_read_many(struct ide_drive *d, unsigned int bytes, unsigned int count, uint8_t *data);
unsigned int ide_drive_data_write_many(struct ide_drive *d, unsigned int bytes, unsigned int count, const uint8_t *data);

static inline void ide_drive_data_write(struct ide_drive *d, uint16_t value)
{
	struct ide_drive_state *s = &d->s;

	if (!s->writable)
		return;
	memcpy(&s->buffer[s->cursor], &value, sizeof(value));
	s->cursor += sizeof(value);
	if (s->cursor == s->writable)
		ide_drive_block_done(d);
}

#endif
