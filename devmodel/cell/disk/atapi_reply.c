// SPDX-License-Identifier: GPL-2.0
/* Replies of an ATAPI CD-ROM drive: byte layouts of SPC-3 and MMC-3. */
#include <keel/macros.h>

#include "disk/atapi_reply.h"

#define SENSE_BYTES		18u
#define SENSE_CURRENT		0x70u

#define INQUIRY_BYTES		36u
#define INQUIRY_VPD		0x01u
#define PERIPHERAL_CDROM	0x05u
#define PERIPHERAL_REMOVABLE	0x80u
#define INQUIRY_FORMAT_ATAPI	0x21u	/* response format 1, ATAPI version 2 (SFF-8020i) */

#define PAGE_CONTROL(p)		((p) >> 6)
#define PAGE_SAVED		3u
#define PAGE_CODE		0x3fu
#define PAGE_ERROR_RECOVERY	0x01u
#define PAGE_CAPABILITIES	0x2au
#define PAGE_ALL		0x3fu
#define MEDIUM_DATA		0x01u	/* medium type: 120 mm, data only */
#define MEDIUM_NONE		0x70u	/* tray closed, no disc */
#define MEDIUM_TRAY_OPEN	0x71u
#define CAPABILITY_LOCK		0x01u
#define CAPABILITY_LOCKED	0x02u
#define CAPABILITY_EJECT	0x08u
#define CAPABILITY_TRAY		0x20u
#define CAPABILITY_MULTISESSION	0x40u
#define CAPABILITY_DVD_ROM	0x08u
#define SPEED_KBYTES		5540u	/* 32 times */
#define BUFFER_KBYTES		128u

#define TOC_MSF			0x02u
#define TOC_FORMAT_TRACKS	0u
#define TOC_FORMAT_SESSIONS	1u
#define TOC_FORMAT_RAW		2u
#define TRACK_LEAD_OUT		0xaau
#define POINT_FIRST		0xa0u
#define POINT_LAST		0xa1u
#define POINT_LEAD_OUT		0xa2u
#define TRACK_DATA		0x14u	/* ADR 1, data track */
#define FRAMES_PER_SECOND	75u
#define FRAMES_LEAD_IN		150u	/* LBA 0 is at 00:02:00 */

#define PROFILE_CD_ROM		0x0008u
#define PROFILE_DVD_ROM		0x0010u
/* More than any CD holds: 90 minutes. */
#define CD_MOST_SECTORS		405000u
#define CONFIGURATION_HEADER	8u
#define CONFIGURATION_TYPE	0x03u
#define CONFIGURATION_CURRENT	1u	/* only features that are current */
#define CONFIGURATION_ONE	2u	/* only the feature that is named */
#define FEATURE_CURRENT		0x01u
#define FEATURE_PERSISTENT	0x02u
#define FEATURE_PROFILES	0x0000u

#define EVENT_POLLED		0x01u
#define EVENT_CLASS_MEDIA	0x04u	/* as a number */
#define EVENT_MEDIA_SUPPORTED	0x10u	/* as a mask: 1 << EVENT_CLASS_MEDIA */
#define EVENT_NONE		0x80u
#define EVENT_TRAY_OPEN		0x01u
#define EVENT_MEDIUM_PRESENT	0x02u

#define DISC_COMPLETE		0x0eu	/* last session complete, disc finalized */

static void be16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void be32(uint8_t *p, uint32_t value)
{
	be16(p, value >> 16);
	be16(p + 2, value);
}

/* READ CAPACITY and the table of contents have 32 bits for it. */
static uint32_t sectors32(const struct ide_drive *d)
{
	uint64_t sectors = atapi_sectors(d);

	return sectors > UINT32_MAX ? UINT32_MAX : (uint32_t)sectors;
}

uint64_t atapi_sectors(const struct ide_drive *d)
{
	return d->s.tray_open ? 0 : d->bytes / ATAPI_SECTOR;
}

uint32_t atapi_reply_sense(struct ide_drive *d)
{
	uint8_t *p = d->s.buffer;

	memset(p, 0, SENSE_BYTES);
	p[0] = SENSE_CURRENT;
	p[2] = d->s.sense_key;
	p[7] = SENSE_BYTES - 8;
	p[12] = d->s.sense_code;
	p[13] = d->s.sense_qualifier;
	return SENSE_BYTES;
}

uint32_t atapi_reply_inquiry(struct ide_drive *d, const uint8_t *packet)
{
	uint8_t *p = d->s.buffer;

	if ((packet[1] & INQUIRY_VPD) || packet[2])
		return 0;
	memset(p, 0, INQUIRY_BYTES);
	p[0] = PERIPHERAL_CDROM;
	p[1] = PERIPHERAL_REMOVABLE;
	p[3] = INQUIRY_FORMAT_ATAPI;
	p[4] = INQUIRY_BYTES - 5;
	memcpy(p + 8, "KEEL    CD-ROM          1.0 ", INQUIRY_BYTES - 8);
	return INQUIRY_BYTES;
}

uint32_t atapi_reply_capacity(struct ide_drive *d)
{
	be32(d->s.buffer, sectors32(d) - 1);
	be32(d->s.buffer + 4, ATAPI_SECTOR);
	return 8;
}

static uint32_t error_recovery_page(uint8_t *p)
{
	memset(p, 0, 8);
	p[0] = PAGE_ERROR_RECOVERY;
	p[1] = 6;
	p[3] = 5;	/* retries */
	return 8;
}

static uint32_t capabilities_page(const struct ide_drive *d, uint8_t *p)
{
	memset(p, 0, 20);
	p[0] = PAGE_CAPABILITIES;
	p[1] = 18;
	p[2] = CAPABILITY_DVD_ROM;
	p[4] = CAPABILITY_MULTISESSION;
	p[6] = CAPABILITY_LOCK | CAPABILITY_EJECT | CAPABILITY_TRAY | (d->s.locked ? CAPABILITY_LOCKED : 0);
	be16(p + 8, SPEED_KBYTES);
	be16(p + 12, BUFFER_KBYTES);
	be16(p + 14, SPEED_KBYTES);
	return 20;
}

static uint8_t medium_type(const struct ide_drive *d)
{
	if (d->s.tray_open)
		return MEDIUM_TRAY_OPEN;
	return d->bytes ? MEDIUM_DATA : MEDIUM_NONE;
}

uint32_t atapi_reply_mode_sense(struct ide_drive *d, const uint8_t *packet, bool ten)
{
	uint8_t *p = d->s.buffer, page = packet[2] & PAGE_CODE;
	uint32_t header = ten ? 8 : 4, bytes = header;

	if (PAGE_CONTROL(packet[2]) == PAGE_SAVED)
		return 0;
	memset(p, 0, header);
	if (page == PAGE_ERROR_RECOVERY || page == PAGE_ALL)
		bytes += error_recovery_page(p + bytes);
	if (page == PAGE_CAPABILITIES || page == PAGE_ALL)
		bytes += capabilities_page(d, p + bytes);
	if (bytes == header)
		return 0;
	if (ten) {
		be16(p, bytes - 2);
		p[2] = medium_type(d);
	} else {
		p[0] = (uint8_t)(bytes - 1);
		p[1] = medium_type(d);
	}
	return bytes;
}

/* Minute, second and frame from the start of the lead-in on; minutes end at 255. */
static void put_msf(uint8_t *p, uint32_t lba)
{
	uint64_t frames = (uint64_t)lba + FRAMES_LEAD_IN;
	uint64_t minutes = frames / (FRAMES_PER_SECOND * 60);

	p[0] = (uint8_t)(minutes > UINT8_MAX ? UINT8_MAX : minutes);
	p[1] = (uint8_t)(frames / FRAMES_PER_SECOND % 60);
	p[2] = (uint8_t)(frames % FRAMES_PER_SECOND);
}

static void put_address(uint8_t *p, uint32_t lba, bool msf)
{
	memset(p, 0, 4);
	if (msf)
		put_msf(p + 1, lba);
	else
		be32(p, lba);
}

static uint8_t *put_track(uint8_t *p, uint8_t track, uint32_t lba, bool msf)
{
	p[0] = 0;
	p[1] = TRACK_DATA;
	p[2] = track;
	p[3] = 0;
	put_address(p + 4, lba, msf);
	return p + 8;
}

/* Raw entries (format 2) are in MSF always. */
static uint8_t *put_point(uint8_t *p, uint8_t point, uint8_t minute, uint8_t second, uint8_t frame)
{
	memset(p, 0, 11);
	p[0] = 1;
	p[1] = TRACK_DATA;
	p[3] = point;
	p[8] = minute;
	p[9] = second;
	p[10] = frame;
	return p + 11;
}

static uint8_t *put_raw(const struct ide_drive *d, uint8_t *p)
{
	uint8_t end[3], start[3];

	put_msf(end, sectors32(d));
	put_msf(start, 0);
	p = put_point(p, POINT_FIRST, 1, 0, 0);
	p = put_point(p, POINT_LAST, 1, 0, 0);
	p = put_point(p, POINT_LEAD_OUT, end[0], end[1], end[2]);
	return put_point(p, 1, start[0], start[1], start[2]);
}

uint32_t atapi_reply_toc(struct ide_drive *d, const uint8_t *packet)
{
	uint8_t format = packet[2] & 0x0f, first = packet[6];
	uint8_t *head = d->s.buffer, *p = head + 4;
	bool msf = packet[1] & TOC_MSF;

	/* SFF-8020i has the format in the last byte. */
	if (!format)
		format = packet[9] >> 6;
	switch (format) {
	case TOC_FORMAT_TRACKS:
		if (first > 1 && first != TRACK_LEAD_OUT)
			return 0;
		if (first <= 1)
			p = put_track(p, 1, 0, msf);
		p = put_track(p, TRACK_LEAD_OUT, sectors32(d), msf);
		break;
	case TOC_FORMAT_SESSIONS:
		p = put_track(p, 1, 0, msf);
		break;
	case TOC_FORMAT_RAW:
		p = put_raw(d, p);
		break;
	default:
		return 0;
	}
	be16(head, (uint32_t)(p - head) - 2);
	head[2] = 1;
	head[3] = 1;
	return (uint32_t)(p - head);
}

static bool medium_is_dvd(const struct ide_drive *d)
{
	return atapi_sectors(d) > CD_MOST_SECTORS;
}

static uint16_t current_profile(const struct ide_drive *d)
{
	if (!atapi_sectors(d))
		return 0;
	return medium_is_dvd(d) ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
}

static uint8_t *put_profile(const struct ide_drive *d, uint8_t *p, uint16_t profile)
{
	be16(p, profile);
	p[2] = current_profile(d) == profile ? FEATURE_CURRENT : 0;
	p[3] = 0;
	return p + 4;
}

/* Features (MMC-3, 5.3), in ascending order. When they are current: */
enum feature_when { ALWAYS, WITH_MEDIUM, WITH_CD, WITH_DVD };

static const struct feature {
	uint16_t code;
	uint8_t version, when, length;
	uint8_t data[8];
} features[] = {
	{ FEATURE_PROFILES, 0, ALWAYS, 8, { 0 } },
	{ 0x0001, 0, ALWAYS, 4, { 0, 0, 0, 2 } },		/* core; interface: ATAPI */
	{ 0x0003, 0, ALWAYS, 4, { 0x29 } },			/* removable medium: tray, eject, lock */
	{ 0x0010, 0, WITH_MEDIUM, 8, { 0, 0, 8, 0, 0, 1 } },	/* random readable: 2048 bytes, blocks of 1 */
	{ 0x001e, 0, WITH_CD, 0, { 0 } },			/* CD read */
	{ 0x001f, 0, WITH_DVD, 0, { 0 } },			/* DVD read */
	{ 0x0100, 0, ALWAYS, 0, { 0 } },			/* power management */
};

static bool feature_current(const struct ide_drive *d, const struct feature *f)
{
	switch ((enum feature_when)f->when) {
	case ALWAYS:
		return true;
	case WITH_MEDIUM:
		return atapi_sectors(d) != 0;
	case WITH_CD:
		return current_profile(d) == PROFILE_CD_ROM;
	case WITH_DVD:
		return current_profile(d) == PROFILE_DVD_ROM;
	}
	return false;
}

static uint8_t *put_feature(const struct ide_drive *d, uint8_t *p, const struct feature *f)
{
	be16(p, f->code);
	p[2] = (uint8_t)(f->version << 2) | (f->when == ALWAYS ? FEATURE_PERSISTENT : 0) |
	       (feature_current(d, f) ? FEATURE_CURRENT : 0);
	p[3] = f->length;
	memcpy(p + 4, f->data, f->length);
	if (f->code == FEATURE_PROFILES)
		put_profile(d, put_profile(d, p + 4, PROFILE_DVD_ROM), PROFILE_CD_ROM);
	return p + 4 + f->length;
}

uint32_t atapi_reply_configuration(struct ide_drive *d, const uint8_t *packet)
{
	uint8_t type = packet[1] & CONFIGURATION_TYPE;
	uint16_t first = (uint16_t)(packet[2] << 8 | packet[3]);
	uint8_t *head = d->s.buffer, *p = head + CONFIGURATION_HEADER;

	if (type > CONFIGURATION_ONE)
		return 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++) {
		const struct feature *f = &features[i];

		if (f->code < first || (type == CONFIGURATION_ONE && f->code != first) ||
		    (type == CONFIGURATION_CURRENT && !feature_current(d, f)))
			continue;
		p = put_feature(d, p, f);
	}
	memset(head, 0, CONFIGURATION_HEADER);
	be32(head, (uint32_t)(p - head) - 4);
	be16(head + 6, current_profile(d));
	return (uint32_t)(p - head);
}

uint32_t atapi_reply_event(struct ide_drive *d, const uint8_t *packet)
{
	uint8_t *p = d->s.buffer;

	/* Only polling: there are no queues to wait in. */
	if (!(packet[1] & EVENT_POLLED))
		return 0;
	memset(p, 0, 8);
	p[3] = EVENT_MEDIA_SUPPORTED;
	if (!(packet[4] & EVENT_MEDIA_SUPPORTED)) {
		be16(p, 2);
		p[2] = EVENT_NONE;
		return ATAPI_EVENT_HEADER;
	}
	be16(p, 6);
	p[2] = EVENT_CLASS_MEDIA;
	p[4] = d->s.media_event;
	p[5] = (d->s.tray_open ? EVENT_TRAY_OPEN : 0) | (atapi_sectors(d) ? EVENT_MEDIUM_PRESENT : 0);
	return 8;
}

uint32_t atapi_reply_disc_information(struct ide_drive *d)
{
	uint8_t *p = d->s.buffer;

	memset(p, 0, 34);
	be16(p, 32);
	p[2] = DISC_COMPLETE;
	p[3] = 1;	/* first track */
	p[4] = 1;	/* sessions */
	p[5] = 1;	/* first and last track of the last session */
	p[6] = 1;
	p[7] = 0x20;	/* unrestricted use */
	be32(p + 16, UINT32_MAX);	/* no further lead-in nor lead-out */
	be32(p + 20, UINT32_MAX);
	return 34;
}

uint32_t atapi_reply_mechanism(struct ide_drive *d)
{
	memset(d->s.buffer, 0, 8);
	d->s.buffer[1] = d->s.tray_open ? 0x10 : 0;	/* door open */
	d->s.buffer[5] = 1;				/* one slot; its table is empty */
	return 8;
}
