// SPDX-License-Identifier: GPL-2.0
/* ATAPI CD-ROM: commands in registers, packets that move data, sense. What drives say of themselves is in atapi_reply.c. */
#include "disk/atapi.h"

#include <keel/macros.h>

#include "disk/ata.h"
#include "disk/ata_identify.h"
#include "disk/atapi_reply.h"

enum atapi_command {
	ATAPI_PACKET = 0xa0,
	ATAPI_IDENTIFY_PACKET = 0xa1,
	ATAPI_IDLE_IMMEDIATE = 0xe1,
	ATAPI_STANDBY_IMMEDIATE = 0xe0,
	ATAPI_CHECK_POWER = 0xe5,
	ATAPI_SLEEP = 0xe6,
	ATAPI_SET_FEATURES = 0xef,
};

/* Operation codes, MMC-3. */
enum packet_code {
	PACKET_TEST_UNIT_READY = 0x00,
	PACKET_REQUEST_SENSE = 0x03,
	PACKET_INQUIRY = 0x12,
	PACKET_MODE_SENSE_6 = 0x1a,
	PACKET_START_STOP = 0x1b,
	PACKET_PREVENT_ALLOW = 0x1e,
	PACKET_READ_CAPACITY = 0x25,
	PACKET_READ_10 = 0x28,
	PACKET_SEEK_10 = 0x2b,
	PACKET_VERIFY_10 = 0x2f,
	PACKET_SYNCHRONIZE_CACHE = 0x35,
	PACKET_READ_TOC = 0x43,
	PACKET_GET_CONFIGURATION = 0x46,
	PACKET_GET_EVENT = 0x4a,
	PACKET_READ_DISC_INFORMATION = 0x51,
	PACKET_MODE_SENSE_10 = 0x5a,
	PACKET_READ_12 = 0xa8,
	PACKET_SET_SPEED = 0xbb,
	PACKET_MECHANISM_STATUS = 0xbd,
	PACKET_READ_CD = 0xbe,
};

#define PACKET_FEATURE_DMA	0x01u
#define PACKET_FEATURE_OVERLAP	0x02u
#define BYTE_COUNT_MOST		0xfffeu

#define ERROR_SENSE_KEY		4	/* position in the error register */
#define SENSE_NONE		0x0u
#define SENSE_NOT_READY		0x2u
#define SENSE_MEDIUM_ERROR	0x3u
#define SENSE_ILLEGAL_REQUEST	0x5u
#define SENSE_UNIT_ATTENTION	0x6u
#define SENSE_ABORTED		0xbu

/* Additional sense code and qualifier. */
#define ASC_UNRECOVERED_READ	0x1100u
#define ASC_INVALID_CODE	0x2000u
#define ASC_ADDRESS_RANGE	0x2100u
#define ASC_INVALID_FIELD	0x2400u
#define ASC_MEDIUM_CHANGED	0x2800u
#define ASC_NO_MEDIUM_CLOSED	0x3a01u
#define ASC_NO_MEDIUM_OPEN	0x3a02u
#define ASC_DATA_PHASE		0x4b00u
#define ASC_REMOVAL_PREVENTED	0x5302u

#define START_STOP_START	0x01u
#define START_STOP_EJECT	0x02u
#define PREVENT			0x01u

/* READ CD (MMC-3, 6.1.15): sector type in byte 1, what to transfer in byte 9, sub-channels in byte 10. */
#define READ_CD_TYPE		0x1cu
#define READ_CD_TYPE_ANY	0x00u
#define READ_CD_TYPE_MODE1	0x08u
#define READ_CD_PARTS		0xfeu
#define READ_CD_USER_DATA	0x10u
#define READ_CD_SUBCHANNELS	0x07u

/* What a packet wants of the drive before it is looked at. */
#define NEEDS_MEDIUM		0x01u
#define ATTENTION_PASSES	0x02u	/* is answered while a unit attention waits (SPC-3, 4.5.6 and MMC-3) */

static uint32_t be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | be16(p + 1);
}

static uint32_t be32(const uint8_t *p)
{
	return be16(p) << 16 | be16(p + 2);
}

void atapi_power_on(struct ide_drive *d)
{
	d->s.heads = ATA_DEFAULT_HEADS;
	d->s.sectors = ATA_DEFAULT_SECTORS;
	d->s.transfer_mode = ATA_MODE_MWDMA | 2;
}

static bool medium(const struct ide_drive *d)
{
	return atapi_sectors(d) != 0;
}

static void set_sense(struct ide_drive *d, uint8_t key, uint32_t code)
{
	d->s.sense_key = key;
	d->s.sense_code = (uint8_t)(code >> 8);
	d->s.sense_qualifier = (uint8_t)code;
}

/* CHECK CONDITION: the sense key is in the error register too. */
static void check(struct ide_drive *d, uint8_t key, uint32_t code)
{
	set_sense(d, key, code);
	ide_drive_fail(d, (uint8_t)(key << ERROR_SENSE_KEY));
}

static void invalid_field(struct ide_drive *d)
{
	check(d, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
}

static void no_medium(struct ide_drive *d)
{
	check(d, SENSE_NOT_READY, d->s.tray_open ? ASC_NO_MEDIUM_OPEN : ASC_NO_MEDIUM_CLOSED);
}

void atapi_host_failed(struct ide_drive *d)
{
	check(d, SENSE_MEDIUM_ERROR, ASC_UNRECOVERED_READ);
}

void atapi_bus_failed(struct ide_drive *d)
{
	check(d, SENSE_ABORTED, ASC_DATA_PHASE);
}

void atapi_medium_changed(struct ide_drive *d, uint64_t bytes)
{
	if (d->s.flow == IDE_READ || d->s.flow == IDE_READ_DMA)
		no_medium(d);
	d->bytes = bytes - bytes % ATAPI_SECTOR;
	/* Out of a tray that the guest has opened: it knows that there is none. */
	if (d->s.tray_open && !d->bytes)
		return;
	d->s.tray_open = false;
	d->s.attention = d->bytes != 0;
	d->s.media_event = d->bytes ? ATAPI_EVENT_NEW_MEDIUM : ATAPI_EVENT_REMOVED;
}

void atapi_eject_request(struct ide_drive *d)
{
	if (medium(d) && !d->s.media_event)
		d->s.media_event = ATAPI_EVENT_EJECT_REQUEST;
}

static bool dma(const struct ide_drive *d)
{
	return d->s.task[IDE_FEATURE] & PACKET_FEATURE_DMA;
}

/* The guest's byte count limit. Blocks but the last are even; 0 stands for the most. */
static uint32_t byte_count_limit(const struct ide_drive *d)
{
	uint32_t limit = (uint32_t)d->s.task[IDE_LBA_HIGH] << 8 | d->s.task[IDE_LBA_MID];

	limit = (limit > BYTE_COUNT_MOST ? BYTE_COUNT_MOST : limit) & ~1u;
	if (!limit || limit > IDE_BUFFER_BYTES)
		limit = IDE_BUFFER_BYTES;
	return limit;
}

/* Sends what was put together in the buffer, cut to the allocation length of the packet. */
static void reply(struct ide_drive *d, uint32_t bytes, uint32_t allocated)
{
	if (bytes > allocated)
		bytes = allocated;
	if (!bytes)
		ide_drive_done(d);
	else
		ide_drive_reply(d, dma(d) ? IDE_REPLY_DMA : IDE_REPLY, bytes, byte_count_limit(d));
}

static void read_sectors(struct ide_drive *d, uint32_t lba, uint32_t count)
{
	uint64_t sectors = atapi_sectors(d);

	if (lba > sectors || count > sectors - lba) {
		check(d, SENSE_ILLEGAL_REQUEST, ASC_ADDRESS_RANGE);
		return;
	}
	if (!count) {
		ide_drive_done(d);
		return;
	}
	ide_drive_transfer(d, dma(d) ? IDE_READ_DMA : IDE_READ, (uint64_t)lba * ATAPI_SECTOR,
			   (uint64_t)count * ATAPI_SECTOR, byte_count_limit(d));
}

static void tell_door(const struct ide_drive *d, bool ejected)
{
	d->host->door(d->host->owner, d->number, d->s.locked, ejected);
}

static void test_unit_ready(struct ide_drive *d, const uint8_t *packet)
{
	(void)packet;
	ide_drive_done(d);
}

static void request_sense(struct ide_drive *d, const uint8_t *packet)
{
	if (d->s.attention) {
		d->s.attention = false;
		set_sense(d, SENSE_UNIT_ATTENTION, ASC_MEDIUM_CHANGED);
	}
	reply(d, atapi_reply_sense(d), packet[4]);
	set_sense(d, SENSE_NONE, 0);
}

static void inquiry(struct ide_drive *d, const uint8_t *packet)
{
	uint32_t bytes = atapi_reply_inquiry(d, packet);

	if (bytes)
		reply(d, bytes, be16(packet + 3));
	else
		invalid_field(d);
}

static void mode_sense_6(struct ide_drive *d, const uint8_t *packet)
{
	uint32_t bytes = atapi_reply_mode_sense(d, packet, false);

	if (bytes)
		reply(d, bytes, packet[4]);
	else
		invalid_field(d);
}

static void mode_sense_10(struct ide_drive *d, const uint8_t *packet)
{
	uint32_t bytes = atapi_reply_mode_sense(d, packet, true);

	if (bytes)
		reply(d, bytes, be16(packet + 7));
	else
		invalid_field(d);
}

/* The tray moves on LoEj; a medium in an open tray is not there. */
static void start_stop(struct ide_drive *d, const uint8_t *packet)
{
	bool open = !(packet[4] & START_STOP_START);

	if (!(packet[4] & START_STOP_EJECT)) {
		if (!open && !medium(d))
			no_medium(d);
		else
			ide_drive_done(d);
		return;
	}
	if (open && d->s.locked) {
		check(d, SENSE_ILLEGAL_REQUEST, ASC_REMOVAL_PREVENTED);
		return;
	}
	if (open != d->s.tray_open && d->bytes) {
		d->s.attention = !open;
		d->s.media_event = open ? ATAPI_EVENT_REMOVED : ATAPI_EVENT_NEW_MEDIUM;
		tell_door(d, open);
	}
	d->s.tray_open = open;
	ide_drive_done(d);
}

static void prevent_allow(struct ide_drive *d, const uint8_t *packet)
{
	d->s.locked = packet[4] & PREVENT;
	tell_door(d, false);
	ide_drive_done(d);
}

static void read_capacity(struct ide_drive *d, const uint8_t *packet)
{
	(void)packet;
	reply(d, atapi_reply_capacity(d), UINT32_MAX);
}

static void read_10(struct ide_drive *d, const uint8_t *packet)
{
	read_sectors(d, be32(packet + 2), be16(packet + 7));
}

static void read_12(struct ide_drive *d, const uint8_t *packet)
{
	read_sectors(d, be32(packet + 2), be32(packet + 6));
}

/* User data of mode 1 sectors, which is all that an image holds; a request for no part at all moves nothing. */
static void read_cd(struct ide_drive *d, const uint8_t *packet)
{
	uint8_t type = packet[1] & READ_CD_TYPE, parts = packet[9] & READ_CD_PARTS;

	if ((type != READ_CD_TYPE_ANY && type != READ_CD_TYPE_MODE1) || (packet[10] & READ_CD_SUBCHANNELS) ||
	    (parts && parts != READ_CD_USER_DATA)) {
		invalid_field(d);
		return;
	}
	read_sectors(d, be32(packet + 2), parts ? be24(packet + 6) : 0);
}

static void seek_10(struct ide_drive *d, const uint8_t *packet)
{
	if (be32(packet + 2) >= atapi_sectors(d))
		check(d, SENSE_ILLEGAL_REQUEST, ASC_ADDRESS_RANGE);
	else
		ide_drive_done(d);
}

static void read_toc(struct ide_drive *d, const uint8_t *packet)
{
	uint32_t bytes = atapi_reply_toc(d, packet);

	if (bytes)
		reply(d, bytes, be16(packet + 7));
	else
		invalid_field(d);
}

static void get_configuration(struct ide_drive *d, const uint8_t *packet)
{
	uint32_t bytes = atapi_reply_configuration(d, packet);

	if (bytes)
		reply(d, bytes, be16(packet + 7));
	else
		invalid_field(d);
}

static void get_event(struct ide_drive *d, const uint8_t *packet)
{
	uint32_t bytes = atapi_reply_event(d, packet);

	if (!bytes) {
		invalid_field(d);
		return;
	}
	if (be16(packet + 7) > ATAPI_EVENT_HEADER)
		d->s.media_event = 0;
	reply(d, bytes, be16(packet + 7));
}

static void read_disc_information(struct ide_drive *d, const uint8_t *packet)
{
	reply(d, atapi_reply_disc_information(d), be16(packet + 7));
}

static void mechanism_status(struct ide_drive *d, const uint8_t *packet)
{
	reply(d, atapi_reply_mechanism(d), be16(packet + 8));
}

static const struct packet_entry {
	uint8_t code, flags;
	void (*run)(struct ide_drive *d, const uint8_t *packet);
} packets[] = {
	{ PACKET_TEST_UNIT_READY, NEEDS_MEDIUM, test_unit_ready },
	{ PACKET_REQUEST_SENSE, ATTENTION_PASSES, request_sense },
	{ PACKET_INQUIRY, ATTENTION_PASSES, inquiry },
	{ PACKET_MODE_SENSE_6, 0, mode_sense_6 },
	{ PACKET_START_STOP, 0, start_stop },
	{ PACKET_PREVENT_ALLOW, 0, prevent_allow },
	{ PACKET_READ_CAPACITY, NEEDS_MEDIUM, read_capacity },
	{ PACKET_READ_10, NEEDS_MEDIUM, read_10 },
	{ PACKET_SEEK_10, NEEDS_MEDIUM, seek_10 },
	{ PACKET_VERIFY_10, NEEDS_MEDIUM, seek_10 },
	{ PACKET_SYNCHRONIZE_CACHE, 0, test_unit_ready },
	{ PACKET_READ_TOC, NEEDS_MEDIUM, read_toc },
	{ PACKET_GET_CONFIGURATION, ATTENTION_PASSES, get_configuration },
	{ PACKET_GET_EVENT, ATTENTION_PASSES, get_event },
	{ PACKET_READ_DISC_INFORMATION, NEEDS_MEDIUM, read_disc_information },
	{ PACKET_MODE_SENSE_10, 0, mode_sense_10 },
	{ PACKET_READ_12, NEEDS_MEDIUM, read_12 },
	{ PACKET_SET_SPEED, 0, test_unit_ready },
	{ PACKET_MECHANISM_STATUS, 0, mechanism_status },
	{ PACKET_READ_CD, NEEDS_MEDIUM, read_cd },
};

static const struct packet_entry *find_packet(uint8_t code)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(packets); i++)
		if (packets[i].code == code)
			return &packets[i];
	return NULL;
}

void atapi_packet(struct ide_drive *d)
{
	const struct packet_entry *entry = find_packet(d->s.buffer[0]);
	uint8_t packet[IDE_PACKET_BYTES];

	/* Replies are put together where the packet is. */
	memcpy(packet, d->s.buffer, sizeof(packet));
	d->s.flow = IDE_IDLE;
	if (!entry) {
		check(d, SENSE_ILLEGAL_REQUEST, ASC_INVALID_CODE);
	} else if (d->s.attention && !(entry->flags & ATTENTION_PASSES)) {
		d->s.attention = false;
		check(d, SENSE_UNIT_ATTENTION, ASC_MEDIUM_CHANGED);
	} else if ((entry->flags & NEEDS_MEDIUM) && !medium(d)) {
		no_medium(d);
	} else {
		if (packet[0] != PACKET_REQUEST_SENSE)
			set_sense(d, SENSE_NONE, 0);
		entry->run(d, packet);
	}
}

static void begin_packet(struct ide_drive *d)
{
	struct ide_drive_state *s = &d->s;

	if (s->task[IDE_FEATURE] & PACKET_FEATURE_OVERLAP) {
		ide_drive_fail(d, IDE_ERROR_ABRT);
		return;
	}
	s->packet = true;
	s->flow = IDE_PACKET;
	s->cursor = 0;
	s->writable = IDE_PACKET_BYTES;
	s->task[IDE_COUNT] = IDE_REASON_CD;
	s->status = IDE_STATUS_READY | IDE_STATUS_DRQ;
}

void atapi_command(struct ide_drive *d, uint8_t command)
{
	d->s.packet = false;
	switch ((enum atapi_command)command) {
	case ATAPI_PACKET:
		begin_packet(d);
		return;
	case ATAPI_IDENTIFY_PACKET:
		ata_identify_packet(d);
		ide_drive_reply(d, IDE_REPLY, IDE_SECTOR, IDE_SECTOR);
		return;
	case ATAPI_SET_FEATURES:
		ata_set_features(d);
		return;
	case ATAPI_CHECK_POWER:
		d->s.task[IDE_COUNT] = UINT8_MAX;
		ide_drive_done(d);
		return;
	case ATAPI_IDLE_IMMEDIATE:
	case ATAPI_STANDBY_IMMEDIATE:
	case ATAPI_SLEEP:
		ide_drive_done(d);
		return;
	}
	/* IDENTIFY DEVICE and READ SECTORS tell by the signature that this is no disk (ATA/ATAPI-6, 8.15.5.2 and 8.27.5.2). */
	ide_drive_signature(d);
	ide_drive_fail(d, IDE_ERROR_ABRT);
}
