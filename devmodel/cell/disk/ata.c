// SPDX-License-Identifier: GPL-2.0
/* ATA disk: commands, addressing and identification. */
#include "disk/ata.h"

#include <keel/macros.h>

#include "disk/ata_identify.h"

enum ata_command {
	ATA_RECALIBRATE = 0x10,			/* to 0x1f */
	ATA_READ_SECTORS = 0x20,
	ATA_READ_SECTORS_NO_RETRY = 0x21,
	ATA_READ_SECTORS_EXT = 0x24,
	ATA_READ_DMA_EXT = 0x25,
	ATA_READ_NATIVE_MAX_EXT = 0x27,
	ATA_READ_MULTIPLE_EXT = 0x29,
	ATA_WRITE_SECTORS = 0x30,
	ATA_WRITE_SECTORS_NO_RETRY = 0x31,
	ATA_WRITE_SECTORS_EXT = 0x34,
	ATA_WRITE_DMA_EXT = 0x35,
	ATA_WRITE_MULTIPLE_EXT = 0x39,
	ATA_WRITE_DMA_FUA_EXT = 0x3d,
	ATA_READ_VERIFY = 0x40,
	ATA_READ_VERIFY_NO_RETRY = 0x41,
	ATA_READ_VERIFY_EXT = 0x42,
	ATA_SEEK = 0x70,			/* to 0x7f */
	ATA_INITIALIZE_PARAMETERS = 0x91,
	ATA_STANDBY_IMMEDIATE_OLD = 0x94,
	ATA_IDLE_IMMEDIATE_OLD = 0x95,
	ATA_STANDBY_OLD = 0x96,
	ATA_IDLE_OLD = 0x97,
	ATA_CHECK_POWER_OLD = 0x98,
	ATA_SLEEP_OLD = 0x99,
	ATA_READ_MULTIPLE = 0xc4,
	ATA_WRITE_MULTIPLE = 0xc5,
	ATA_SET_MULTIPLE = 0xc6,
	ATA_READ_DMA = 0xc8,
	ATA_READ_DMA_NO_RETRY = 0xc9,
	ATA_WRITE_DMA = 0xca,
	ATA_WRITE_DMA_NO_RETRY = 0xcb,
	ATA_WRITE_MULTIPLE_FUA_EXT = 0xce,
	ATA_STANDBY_IMMEDIATE = 0xe0,
	ATA_IDLE_IMMEDIATE = 0xe1,
	ATA_STANDBY = 0xe2,
	ATA_IDLE = 0xe3,
	ATA_CHECK_POWER = 0xe5,
	ATA_SLEEP = 0xe6,
	ATA_FLUSH_CACHE = 0xe7,
	ATA_FLUSH_CACHE_EXT = 0xea,
	ATA_IDENTIFY = 0xec,
	ATA_SET_FEATURES = 0xef,
	ATA_READ_NATIVE_MAX = 0xf8,
};

enum ata_feature {
	FEATURE_WRITE_CACHE_ON = 0x02,
	FEATURE_TRANSFER_MODE = 0x03,
	FEATURE_READ_AHEAD_OFF = 0x55,
	FEATURE_KEEP_SETTINGS = 0x66,
	FEATURE_WRITE_CACHE_OFF = 0x82,
	FEATURE_READ_AHEAD_ON = 0xaa,
	FEATURE_DEFAULT_SETTINGS = 0xcc,
};

#define POWER_STANDBY		0x00u
#define POWER_ACTIVE		0xffu
#define LBA28_SECTORS		0x10000000ull
#define COUNT28_FULL		0x100u
#define COUNT48_FULL		0x10000u

/* The commands that move sectors. */
#define MOVE_EXT		0x01u	/* 48-bit address and count */
#define MOVE_MULTIPLE		0x02u	/* blocks as SET MULTIPLE says */
#define MOVE_THROUGH		0x04u	/* forced unit access */

static const struct move {
	uint8_t command, flow, flags;
} moves[] = {
	{ ATA_READ_SECTORS, IDE_READ, 0 },
	{ ATA_READ_SECTORS_NO_RETRY, IDE_READ, 0 },
	{ ATA_READ_SECTORS_EXT, IDE_READ, MOVE_EXT },
	{ ATA_READ_MULTIPLE, IDE_READ, MOVE_MULTIPLE },
	{ ATA_READ_MULTIPLE_EXT, IDE_READ, MOVE_MULTIPLE | MOVE_EXT },
	{ ATA_READ_DMA, IDE_READ_DMA, 0 },
	{ ATA_READ_DMA_NO_RETRY, IDE_READ_DMA, 0 },
	{ ATA_READ_DMA_EXT, IDE_READ_DMA, MOVE_EXT },
	{ ATA_WRITE_SECTORS, IDE_WRITE, 0 },
	{ ATA_WRITE_SECTORS_NO_RETRY, IDE_WRITE, 0 },
	{ ATA_WRITE_SECTORS_EXT, IDE_WRITE, MOVE_EXT },
	{ ATA_WRITE_MULTIPLE, IDE_WRITE, MOVE_MULTIPLE },
	{ ATA_WRITE_MULTIPLE_EXT, IDE_WRITE, MOVE_MULTIPLE | MOVE_EXT },
	{ ATA_WRITE_MULTIPLE_FUA_EXT, IDE_WRITE, MOVE_MULTIPLE | MOVE_EXT | MOVE_THROUGH },
	{ ATA_WRITE_DMA, IDE_WRITE_DMA, 0 },
	{ ATA_WRITE_DMA_NO_RETRY, IDE_WRITE_DMA, 0 },
	{ ATA_WRITE_DMA_EXT, IDE_WRITE_DMA, MOVE_EXT },
	{ ATA_WRITE_DMA_FUA_EXT, IDE_WRITE_DMA, MOVE_EXT | MOVE_THROUGH },
	{ ATA_READ_VERIFY, IDE_VERIFY, 0 },
	{ ATA_READ_VERIFY_NO_RETRY, IDE_VERIFY, 0 },
	{ ATA_READ_VERIFY_EXT, IDE_VERIFY, MOVE_EXT },
};

void ata_power_on(struct ide_drive *d)
{
	d->s.heads = ATA_DEFAULT_HEADS;
	d->s.sectors = ATA_DEFAULT_SECTORS;
	d->s.transfer_mode = ATA_MODE_MWDMA | 2;
}

static uint64_t capacity(const struct ide_drive *d)
{
	return d->bytes / IDE_SECTOR;
}

static uint32_t cylinder(const struct ide_drive_state *s)
{
	return (uint32_t)s->task[IDE_LBA_HIGH] << 8 | s->task[IDE_LBA_MID];
}

static uint32_t low_bytes(const uint8_t *task)
{
	return task[IDE_LBA_LOW] | (uint32_t)task[IDE_LBA_MID] << 8 | (uint32_t)task[IDE_LBA_HIGH] << 16;
}

/* False: no such cylinder, head or sector in the current translation. */
static bool address(const struct ide_drive_state *s, bool ext, uint64_t *lba)
{
	uint8_t head = s->task[IDE_DEVICE] & 0x0f, sector = s->task[IDE_LBA_LOW];

	if (ext) {
		*lba = (uint64_t)low_bytes(s->previous) << 24 | low_bytes(s->task);
		return true;
	}
	if (s->task[IDE_DEVICE] & IDE_DEVICE_LBA) {
		*lba = (uint32_t)head << 24 | low_bytes(s->task);
		return true;
	}
	*lba = ((uint64_t)cylinder(s) * s->heads + head) * s->sectors + sector - 1;
	return sector && sector <= s->sectors && head < s->heads;
}

static void set_low_bytes(uint8_t *task, uint32_t value)
{
	task[IDE_LBA_LOW] = (uint8_t)value;
	task[IDE_LBA_MID] = (uint8_t)(value >> 8);
	task[IDE_LBA_HIGH] = (uint8_t)(value >> 16);
}

/* Leaves an address in the registers as the command that is running took its own. */
static void set_address(struct ide_drive_state *s, bool ext, uint64_t lba)
{
	uint8_t high = s->task[IDE_DEVICE] & 0xf0;
	uint32_t track;

	if (ext) {
		set_low_bytes(s->task, (uint32_t)lba & 0xffffff);
		set_low_bytes(s->previous, (uint32_t)(lba >> 24));
	} else if (s->task[IDE_DEVICE] & IDE_DEVICE_LBA) {
		set_low_bytes(s->task, (uint32_t)lba & 0xffffff);
		s->task[IDE_DEVICE] = (uint8_t)(high | (lba >> 24 & 0x0f));
	} else {
		track = (uint32_t)(lba / s->sectors);
		s->task[IDE_LBA_LOW] = (uint8_t)(lba % s->sectors + 1);
		s->task[IDE_LBA_MID] = (uint8_t)(track / s->heads);
		s->task[IDE_LBA_HIGH] = (uint8_t)(track / s->heads >> 8);
		s->task[IDE_DEVICE] = (uint8_t)(high | track % s->heads);
	}
}

static const struct move *find_move(uint8_t command)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(moves); i++)
		if (moves[i].command == command)
			return &moves[i];
	return NULL;
}

static uint32_t sector_count(const struct ide_drive_state *s, bool ext)
{
	uint32_t count = s->task[IDE_COUNT];

	if (!ext)
		return count ? count : COUNT28_FULL;
	count |= (uint32_t)s->previous[IDE_COUNT] << 8;
	return count ? count : COUNT48_FULL;
}

static void move_sectors(struct ide_drive *d, const struct move *move)
{
	struct ide_drive_state *s = &d->s;
	bool write = move->flow == IDE_WRITE || move->flow == IDE_WRITE_DMA;
	bool ext = move->flags & MOVE_EXT;
	uint32_t count = sector_count(s, ext);
	uint64_t lba;

	if ((move->flags & MOVE_MULTIPLE) && !s->multiple) {
		ide_drive_fail(d, IDE_ERROR_ABRT);
		return;
	}
	if (!address(s, ext, &lba) || lba >= capacity(d) || count > capacity(d) - lba) {
		ide_drive_fail(d, IDE_ERROR_IDNF);
		return;
	}
	if (write && (d->flags & KEEL_DEVICE_READONLY)) {
		ide_drive_fail(d, IDE_ERROR_ABRT | IDE_ERROR_WP);
		return;
	}
	s->through = write && ((move->flags & MOVE_THROUGH) || !s->write_cache);
	ide_drive_transfer(d, move->flow, lba * IDE_SECTOR, (uint64_t)count * IDE_SECTOR,
			   move->flags & MOVE_MULTIPLE ? s->multiple * IDE_SECTOR : IDE_SECTOR);
}

void ata_host_failed(struct ide_drive *d)
{
	struct ide_drive_state *s = &d->s;
	const struct move *move = find_move(s->task[IDE_COMMAND]);
	bool read = s->flow == IDE_READ || s->flow == IDE_READ_DMA || s->flow == IDE_VERIFY;

	/* The first sector that may not have been moved. */
	if (move)
		set_address(s, move->flags & MOVE_EXT, s->position / IDE_SECTOR);
	ide_drive_fail(d, read ? IDE_ERROR_UNC : IDE_ERROR_ABRT);
}

static void native_max(struct ide_drive *d, bool ext)
{
	uint64_t last = capacity(d) - 1;

	if (!ext && last >= LBA28_SECTORS)
		last = LBA28_SECTORS - 1;
	d->s.task[IDE_DEVICE] |= IDE_DEVICE_LBA;
	set_address(&d->s, ext, last);
	ide_drive_done(d);
}

static void initialize_parameters(struct ide_drive *d)
{
	uint8_t sectors = d->s.task[IDE_COUNT];

	if (!sectors) {
		ide_drive_fail(d, IDE_ERROR_ABRT);
		return;
	}
	d->s.sectors = sectors;
	d->s.heads = (uint8_t)((d->s.task[IDE_DEVICE] & 0x0f) + 1);
	ide_drive_done(d);
}

static void set_multiple(struct ide_drive *d)
{
	uint8_t count = d->s.task[IDE_COUNT];

	if (count > IDE_BLOCK_SECTORS || (count & (count - 1))) {
		ide_drive_fail(d, IDE_ERROR_ABRT);
		return;
	}
	d->s.multiple = count;
	ide_drive_done(d);
}

void ata_set_features(struct ide_drive *d)
{
	struct ide_drive_state *s = &d->s;

	switch (s->task[IDE_FEATURE]) {
	case FEATURE_TRANSFER_MODE:
		if (!ata_mode_supported(s->task[IDE_COUNT]))
			break;
		s->transfer_mode = s->task[IDE_COUNT];
		ide_drive_done(d);
		return;
	case FEATURE_WRITE_CACHE_ON:
		s->write_cache = true;
		ide_drive_done(d);
		return;
	case FEATURE_WRITE_CACHE_OFF:
		/* What has been acknowledged so far goes to stable storage first. */
		s->write_cache = false;
		ide_drive_flush(d);
		return;
	case FEATURE_READ_AHEAD_ON:
	case FEATURE_READ_AHEAD_OFF:
	case FEATURE_KEEP_SETTINGS:
	case FEATURE_DEFAULT_SETTINGS:
		ide_drive_done(d);
		return;
	}
	ide_drive_fail(d, IDE_ERROR_ABRT);
}

static void power(struct ide_drive *d, uint8_t command)
{
	switch (command) {
	case ATA_CHECK_POWER:
	case ATA_CHECK_POWER_OLD:
		d->s.task[IDE_COUNT] = d->s.standby ? POWER_STANDBY : POWER_ACTIVE;
		ide_drive_done(d);
		return;
	case ATA_IDLE:
	case ATA_IDLE_OLD:
	case ATA_IDLE_IMMEDIATE:
	case ATA_IDLE_IMMEDIATE_OLD:
		d->s.standby = false;
		ide_drive_done(d);
		return;
	}
	/* The timer of STANDBY is not kept: only the immediate commands stop the disk, after its cache is written. */
	d->s.standby = command != ATA_STANDBY && command != ATA_STANDBY_OLD;
	ide_drive_flush(d);
}

void ata_command(struct ide_drive *d, uint8_t command)
{
	const struct move *move = find_move(command);

	if (move) {
		move_sectors(d, move);
		return;
	}
	switch (command) {
	case ATA_RECALIBRATE ... ATA_RECALIBRATE + 0xf:
	case ATA_SEEK ... ATA_SEEK + 0xf:
		ide_drive_done(d);
		return;
	case ATA_IDENTIFY:
		ata_identify(d);
		ide_drive_reply(d, IDE_REPLY, IDE_SECTOR, IDE_SECTOR);
		return;
	case ATA_INITIALIZE_PARAMETERS:
		initialize_parameters(d);
		return;
	case ATA_SET_MULTIPLE:
		set_multiple(d);
		return;
	case ATA_SET_FEATURES:
		ata_set_features(d);
		return;
	case ATA_FLUSH_CACHE:
	case ATA_FLUSH_CACHE_EXT:
		ide_drive_flush(d);
		return;
	case ATA_READ_NATIVE_MAX:
	case ATA_READ_NATIVE_MAX_EXT:
		native_max(d, command == ATA_READ_NATIVE_MAX_EXT);
		return;
	case ATA_STANDBY_IMMEDIATE_OLD ... ATA_SLEEP_OLD:
	case ATA_STANDBY_IMMEDIATE ... ATA_IDLE:
	case ATA_CHECK_POWER:
	case ATA_SLEEP:
		power(d, command);
		return;
	}
	/* SMART, security, device configuration and the rest are not there. */
	ide_drive_fail(d, IDE_ERROR_ABRT);
}
