// SPDX-License-Identifier: GPL-2.0
/* The 256 words that a drive tells about itself. */
#include "disk/ata_identify.h"

#define IDENTIFY_WORDS		256u
#define FEWEST_CYLINDERS	2u	/* firmware takes 0 for a disk that cannot be read, and may keep the last one to itself */
#define MOST_CYLINDERS		16383u
#define MOST_CYLINDERS_NOW	65535u
#define LBA28_MOST		0x0fffffffull

#define PIO_MODES		4u	/* highest */
#define MWDMA_MODES		2u
#define UDMA_MODES		5u
#define MODES_MASK(highest)	((1u << ((highest) + 1)) - 1)
#define CYCLE_TIME_NS		120u

#define GENERAL_FIXED		0x0040u	/* word 0 */
#define GENERAL_CDROM		0x8580u	/* ATAPI, CD-ROM, removable */
#define GENERAL_DRQ_50US	0x0040u	/* DRQ within 50 us of PACKET; packets of 12 bytes */
#define CAPABILITIES		0x0f00u	/* word 49: IORDY, LBA, DMA */
#define CAPABILITIES_2		0x4000u	/* word 50 */
#define FIELDS_VALID		0x0007u	/* word 53: 54-58, 64-70, 88 */
#define MULTIPLE_FIXED		0x8000u	/* word 47 */
#define MULTIPLE_VALID		0x0100u	/* word 59 */
#define VERSIONS		0x007eu	/* word 80: ATA-1 to ATA/ATAPI-6 */
#define VERSIONS_PACKET		0x0070u	/* ATA/ATAPI-4 to -6 */
#define WORD_VALID		0x4000u	/* words 83, 84, 87, 93 */
#define FEATURE_POWER		0x0008u	/* words 82, 85 */
#define FEATURE_PACKET		0x0010u
#define FEATURE_WRITE_CACHE	0x0020u
#define FEATURE_READ_AHEAD	0x0040u
#define FEATURE_RESET		0x0200u	/* DEVICE RESET */
#define FEATURE_LBA48		0x0400u	/* words 83, 86 */
#define FEATURE_FLUSH		0x1000u
#define FEATURE_FLUSH_EXT	0x2000u
#define FEATURE_FUA		0x0040u	/* words 84, 87 */
#define CABLE_80		0x2000u	/* word 93 */
#define RESET_DEVICE0		0x000bu	/* device 0 passed its tests, jumpered */
#define RESET_DEVICE1		0x0b00u
#define INTEGRITY		0x00a5u	/* word 255: a checksum follows */

static void set(struct ide_drive *d, unsigned int word, uint32_t value)
{
	d->s.buffer[2 * word] = (uint8_t)value;
	d->s.buffer[2 * word + 1] = (uint8_t)(value >> 8);
}

/* Strings have their first character in the upper half of a word, and are padded with blanks. */
static void set_string(struct ide_drive *d, unsigned int word, unsigned int words, const char *text, unsigned int most)
{
	bool ended = false;

	for (unsigned int i = 0; i < 2 * words; i++) {
		char c = ' ';

		ended = ended || i >= most || !text[i];
		if (!ended)
			c = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
		d->s.buffer[2 * word + (i ^ 1)] = (uint8_t)c;
	}
}

bool ata_mode_supported(uint8_t mode)
{
	uint8_t number = mode & (uint8_t)~ATA_MODE_KIND;

	switch (mode & ATA_MODE_KIND) {
	case ATA_MODE_PIO_DEFAULT:
		return number <= 1;
	case ATA_MODE_PIO:
		return number <= PIO_MODES;
	case ATA_MODE_MWDMA:
		return number <= MWDMA_MODES;
	case ATA_MODE_UDMA:
		return number <= UDMA_MODES;
	}
	return false;
}

static uint32_t dma_modes(const struct ide_drive *d, uint8_t kind, uint32_t highest)
{
	uint32_t modes = MODES_MASK(highest);

	if ((d->s.transfer_mode & ATA_MODE_KIND) == kind)
		modes |= 1u << (8 + (d->s.transfer_mode & ~ATA_MODE_KIND));
	return modes;
}

static void set_modes(struct ide_drive *d)
{
	set(d, 49, CAPABILITIES);
	set(d, 51, 0x0200);				/* PIO mode 2 without flow control */
	set(d, 53, FIELDS_VALID);
	set(d, 63, dma_modes(d, ATA_MODE_MWDMA, MWDMA_MODES));
	set(d, 64, 0x0003);				/* PIO modes 3 and 4 */
	for (unsigned int word = 65; word <= 68; word++)
		set(d, word, CYCLE_TIME_NS);
	set(d, 88, dma_modes(d, ATA_MODE_UDMA, UDMA_MODES));
	set(d, 93, WORD_VALID | CABLE_80 | (d->number & 1 ? RESET_DEVICE1 : RESET_DEVICE0));
}

static void set_features(struct ide_drive *d)
{
	uint32_t cache = d->s.write_cache ? FEATURE_WRITE_CACHE : 0;

	set(d, 80, VERSIONS);
	set(d, 82, FEATURE_POWER | FEATURE_WRITE_CACHE | FEATURE_READ_AHEAD);
	set(d, 83, WORD_VALID | FEATURE_LBA48 | FEATURE_FLUSH | FEATURE_FLUSH_EXT);
	set(d, 84, WORD_VALID | FEATURE_FUA);
	set(d, 85, FEATURE_POWER | FEATURE_READ_AHEAD | cache);
	set(d, 86, FEATURE_LBA48 | FEATURE_FLUSH | FEATURE_FLUSH_EXT);
	set(d, 87, WORD_VALID | FEATURE_FUA);
}

static uint32_t cylinders_of(uint64_t sectors, uint32_t cylinder_sectors, uint32_t most)
{
	uint64_t cylinders = sectors / cylinder_sectors;

	if (cylinders < FEWEST_CYLINDERS)
		return FEWEST_CYLINDERS;
	return cylinders < most ? (uint32_t)cylinders : most;
}

uint32_t ata_default_cylinders(uint64_t bytes)
{
	return cylinders_of(bytes / IDE_SECTOR, ATA_DEFAULT_HEADS * ATA_DEFAULT_SECTORS, MOST_CYLINDERS);
}

/* A disk of less than two cylinders ends within its geometry: what lies beyond is not found. */
static void set_geometry(struct ide_drive *d, uint64_t sectors)
{
	uint32_t cylinder_sectors = (uint32_t)d->s.heads * d->s.sectors;
	uint32_t now = cylinders_of(sectors, cylinder_sectors, MOST_CYLINDERS_NOW);
	uint32_t reached = now * cylinder_sectors;

	if (reached > sectors)
		reached = (uint32_t)sectors;
	set(d, 1, ata_default_cylinders(d->bytes));
	set(d, 3, ATA_DEFAULT_HEADS);
	set(d, 6, ATA_DEFAULT_SECTORS);
	set(d, 54, now);
	set(d, 55, d->s.heads);
	set(d, 56, d->s.sectors);
	set(d, 57, reached);
	set(d, 58, reached >> 16);
}

static void set_checksum(struct ide_drive *d)
{
	uint8_t sum = 0;

	set(d, IDENTIFY_WORDS - 1, INTEGRITY);
	for (unsigned int i = 0; i < 2 * IDENTIFY_WORDS - 1; i++)
		sum += d->s.buffer[i];
	d->s.buffer[2 * IDENTIFY_WORDS - 1] = (uint8_t)-sum;
}

static void set_names(struct ide_drive *d, const char *model, unsigned int length)
{
	set_string(d, 10, 10, d->serial, sizeof(d->serial));
	set_string(d, 23, 4, "1.0", 3);
	set_string(d, 27, 20, model, length);
}

void ata_identify(struct ide_drive *d)
{
	static const char model[] = "KEEL DISK";
	uint64_t sectors = d->bytes / IDE_SECTOR;
	uint64_t sectors28 = sectors < LBA28_MOST ? sectors : LBA28_MOST;

	memset(d->s.buffer, 0, 2 * IDENTIFY_WORDS);
	set(d, 0, GENERAL_FIXED);
	set_names(d, model, sizeof(model) - 1);
	set_geometry(d, sectors);
	set(d, 47, MULTIPLE_FIXED | IDE_BLOCK_SECTORS);
	set(d, 48, 1);					/* 32-bit data port cycles */
	set(d, 50, CAPABILITIES_2);
	if (d->s.multiple)
		set(d, 59, MULTIPLE_VALID | d->s.multiple);
	set(d, 60, (uint32_t)sectors28);
	set(d, 61, (uint32_t)(sectors28 >> 16));
	set_modes(d);
	set_features(d);
	for (unsigned int i = 0; i < 4; i++)
		set(d, 100 + i, (uint32_t)(sectors >> (16 * i)) & 0xffff);
	set_checksum(d);
}

void ata_identify_packet(struct ide_drive *d)
{
	static const char model[] = "KEEL CD-ROM";

	memset(d->s.buffer, 0, 2 * IDENTIFY_WORDS);
	set(d, 0, GENERAL_CDROM | GENERAL_DRQ_50US);
	set_names(d, model, sizeof(model) - 1);
	set_modes(d);
	set(d, 80, VERSIONS_PACKET);
	set(d, 82, FEATURE_POWER | FEATURE_PACKET | FEATURE_RESET);
	set(d, 83, WORD_VALID);
	set(d, 84, WORD_VALID);
	set(d, 85, FEATURE_POWER | FEATURE_PACKET | FEATURE_RESET);
	set(d, 87, WORD_VALID);
	set_checksum(d);
}
