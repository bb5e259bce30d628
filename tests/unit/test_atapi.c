// SPDX-License-Identifier: GPL-2.0
/* ATAPI CD-ROM drive: packets by PIO and bus master, media, sense. */
#include <keel/macros.h>

#include "ide_rig.h"

#define CD_SECTORS	700u
#define CD		1u	/* primary slave */
#define TABLE		0x2000u

static uint8_t data[0x200000];

static void set_up(void)
{
	rig_begin();
	rig_drive(0, KEEL_DEVICE_IDE_DISK, 64 * 512);
	rig_drive(CD, KEEL_DEVICE_IDE_CDROM, CD_SECTORS * 2048ull);
	rig_power_on();
	select_drive(1);
}

/* Sends a packet; limit is the byte count limit. */
static void packet(const uint8_t *bytes, uint16_t limit, bool dma)
{
	out(1, dma);
	out(4, limit & 0xff);
	out(5, limit >> 8);
	out(7, 0xa0);
	ck_assert_uint_eq(status(), READY | DRQ);
	ck_assert_uint_eq(in(2) & 3, 1);		/* CD, from the host */
	ck_assert(!rig.level);
	write_data(bytes, 12);
}

/* Reads a whole reply in the blocks that the drive announces; returns its length. */
static uint32_t receive(uint16_t limit)
{
	uint32_t got = 0, n;

	for (;;) {
		rig_answer_all();
		if (interrupt() != (READY | DRQ))
			break;
		ck_assert_uint_eq(in(2) & 3, 2);	/* IO */
		n = in(4) | in(5) << 8;
		ck_assert_uint_ne(n, 0);
		ck_assert_uint_le(n, limit);
		read_data(data + got, (n + 1) & ~1u);
		got += n;
	}
	ck_assert_uint_eq(in(2) & 3, 3);
	return got;
}

static uint32_t reply(const uint8_t *bytes)
{
	packet(bytes, 0xfffe, false);
	return receive(0xfffe);
}

#define REPLY(...) reply((const uint8_t[12]){ __VA_ARGS__ })

/* A packet without data: true if it succeeded. */
static bool command(const uint8_t *bytes)
{
	packet(bytes, 0xfffe, false);
	rig_answer_all();
	return interrupt() == READY;
}

#define COMMAND(...) command((const uint8_t[12]){ __VA_ARGS__ })

static void expect_sense(unsigned int key, unsigned int code)
{
	ck_assert_uint_eq(in(1) >> 4, key);
	ck_assert_uint_eq(REPLY(0x03, 0, 0, 0, 18), 18);
	ck_assert_uint_eq(data[0], 0x70);
	ck_assert_uint_eq(data[2], key);
	ck_assert_uint_eq(data[12] << 8 | data[13], code);
	ck_assert_uint_eq(REPLY(0x03, 0, 0, 0, 18), 18);	/* told once */
	ck_assert_uint_eq(data[2], 0);
}

static const uint8_t *image(uint32_t lba)
{
	return rig.disk[CD].image + lba * 2048;
}

START_TEST(signature_and_identify)
{
	ck_assert_uint_eq(status(), 0);
	ck_assert_uint_eq(in(2), 1);
	ck_assert_uint_eq(in(3), 1);
	ck_assert_uint_eq(in(4), 0x14);
	ck_assert_uint_eq(in(5), 0xeb);
	/* IDENTIFY DEVICE and READ SECTORS abort and leave the signature. */
	out(4, 0);
	out(5, 0);
	out(7, 0xec);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	ck_assert_uint_eq(in(1), 4);
	ck_assert_uint_eq(in(4), 0x14);
	ck_assert_uint_eq(in(5), 0xeb);
	out(7, 0xa1);
	ck_assert_uint_eq(interrupt(), READY | DRQ);
	read_data(data, 512);
	ck_assert_uint_eq(status(), READY);
	ck_assert_uint_eq(data[0] | data[1] << 8, 0x85c0);
	ck_assert_uint_eq(data[99] & 0x0b, 0x0b);
	ck_assert_uint_eq(data[54], 'E');
	out(1, 3);
	out(2, 0x22);
	out(7, 0xef);
	ck_assert_uint_eq(interrupt(), READY);
	/* Overlap is not offered. */
	out(7, 0xa0);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	/* DEVICE RESET gets through in the middle of a packet. */
	out(1, 0);
	out(7, 0xa0);
	ck_assert_uint_eq(status(), READY | DRQ);
	out(7, 0xec);
	ck_assert_uint_eq(status(), READY | DRQ);
	out(7, 0x08);
	ck_assert_uint_eq(status(), 0);
	ck_assert_uint_eq(in(4), 0x14);
	ck_assert(COMMAND(0));
}
END_TEST

START_TEST(inquiry_and_capacity)
{
	ck_assert_uint_eq(REPLY(0x12, 0, 0, 0, 36), 36);
	ck_assert_uint_eq(data[0], 5);
	ck_assert_uint_eq(data[1], 0x80);
	ck_assert_mem_eq(data + 8, "KEEL    CD-ROM          1.0 ", 28);
	/* An odd allocation length: 5 bytes announced, 6 cross the port. */
	ck_assert_uint_eq(REPLY(0x12, 0, 0, 0, 5), 5);
	ck_assert_uint_eq(REPLY(0x12, 0, 0, 0, 0), 0);
	ck_assert(!COMMAND(0x12, 1, 0x80, 0, 36));
	expect_sense(5, 0x2400);
	ck_assert_uint_eq(REPLY(0x25), 8);
	ck_assert_mem_eq(data, ((uint8_t[]){ 0, 0, 2, 0xbb, 0, 0, 8, 0 }), 8);
	ck_assert(!COMMAND(0xde));
	expect_sense(5, 0x2000);
}
END_TEST

START_TEST(read_by_pio)
{
	static const uint16_t limits[] = { 2048, 0xfffe, 512, 2046, 4097, 1, 0, 0xffff };

	for (unsigned int i = 0; i < ARRAY_SIZE(limits); i++) {
		uint16_t limit = limits[i] == 0 ? 0xffff : limits[i] < 2 ? 0xfffe : limits[i];

		memset(data, 0, sizeof(data));
		packet((const uint8_t[12]){ 0x28, 0, 0, 0, 0, 100, 0, 0, 70 }, limits[i], false);
		ck_assert_uint_eq(control_read(), BSY | DRDY);
		ck_assert_uint_eq(receive(limit), 70 * 2048);
		ck_assert_mem_eq(data, image(100), 70 * 2048);
	}
	ck_assert_uint_eq(REPLY(0xa8, 0, 0, 0, 2, 0xbb, 0, 0, 0, 1), 2048);	/* the last sector */
	ck_assert_mem_eq(data, image(CD_SECTORS - 1), 2048);
	ck_assert_uint_eq(REPLY(0xbe, 0, 0, 0, 0, 3, 0, 0, 2, 0x10), 4096);
	ck_assert_mem_eq(data, image(3), 4096);
	ck_assert(COMMAND(0x28, 0, 0, 0, 0, 5));				/* no sectors */
	ck_assert(!COMMAND(0x28, 0, 0, 0, 2, 0xbb, 0, 0, 2));
	expect_sense(5, 0x2100);
	ck_assert(!COMMAND(0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
	expect_sense(5, 0x2100);
	ck_assert(!COMMAND(0xbe, 0, 0, 0, 0, 3, 0, 0, 2, 0xf8));		/* raw sectors */
	expect_sense(5, 0x2400);
}
END_TEST

/* Blocks of the guest's that are no part of a window's size: one that lies across its end ends there. */
START_TEST(read_in_blocks_across_the_window)
{
	static const uint16_t limits[] = { 1000, 2046, 2050, 6000, 0xfffe };
	static const uint32_t counts[] = { KEEL_BOUNCE_BYTES / 2048, KEEL_BOUNCE_BYTES / 2048 + 1, 150 };

	for (unsigned int i = 0; i < ARRAY_SIZE(limits); i++)
		for (unsigned int j = 0; j < ARRAY_SIZE(counts); j++) {
			memset(data, 0, sizeof(data));
			packet((const uint8_t[12]){ 0xa8, 0, 0, 0, 0, 3, 0, 0, 0, (uint8_t)counts[j] }, limits[i], false);
			ck_assert_uint_eq(receive(limits[i]), counts[j] * 2048);
			ck_assert_mem_eq(data, image(3), counts[j] * 2048);
		}
}
END_TEST

START_TEST(read_by_dma)
{
	prd(TABLE, 0, 0x100000, 0x8000, false);
	prd(TABLE, 1, 0x200000, 0x8000, false);
	prd(TABLE, 2, 0x208000, 0, false);
	prd(TABLE, 3, 0x218000, 0, true);
	bm_write(4, 4, TABLE);
	packet((const uint8_t[12]){ 0xa8, 0, 0, 0, 0, 7, 0, 0, 0, 96 }, 0, true);
	ck_assert(!rig.disk[CD].pending);
	bm_write(0, 1, 9);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_uint_eq(in(2) & 3, 3);
	ck_assert_uint_eq(bm_read(2, 1), 4);
	ck_assert_uint_eq(rig.disk[CD].reads, 2);
	ck_assert_mem_eq(rig.memory + 0x100000, image(7), 0x8000);
	ck_assert_mem_eq(rig.memory + 0x200000, image(7) + 0x8000, 0x28000);
	/* A reply out of the buffer; the table is longer. */
	bm_write(0, 1, 0);
	bm_write(2, 1, 6);
	packet((const uint8_t[12]){ 0x12, 0, 0, 0, 36 }, 0, true);
	bm_write(0, 1, 9);
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_uint_eq(bm_read(2, 1), 5);
	ck_assert_mem_eq(rig.memory + 0x100008, "KEEL", 4);
	/* Not memory. */
	bm_write(0, 1, 0);
	prd(TABLE, 0, 0xfee00000, 0x800, true);
	packet((const uint8_t[12]){ 0x28, 0, 0, 0, 0, 0, 0, 0, 1 }, 0, true);
	bm_write(0, 1, 9);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY | ERR);
	expect_sense(0xb, 0x4b00);
}
END_TEST

START_TEST(medium_taken_out_while_reading)
{
	packet((const uint8_t[12]){ 0x28, 0, 0, 0, 0, 5, 0, 0, 100 }, 0xfffe, false);
	ide_medium_changed(rig.ch, CD, 0);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	ck_assert_uint_eq(in(1), 0x20);
	ide_medium_changed(rig.ch, CD, CD_SECTORS * 2048);
	ck_assert(rig.disk[CD].pending);
	rig_answer_all();				/* of the old one */
	ck_assert(!rig.level);
	ck_assert(!COMMAND(0));
	expect_sense(6, 0x2800);
	ck_assert_uint_eq(REPLY(0x28, 0, 0, 0, 0, 9, 0, 0, 1), 2048);
	ck_assert_mem_eq(data, image(9), 2048);
}
END_TEST

START_TEST(no_medium)
{
	ide_medium_changed(rig.ch, CD, 0);
	ck_assert(!COMMAND(0));
	expect_sense(2, 0x3a01);
	ck_assert(!COMMAND(0x25));
	expect_sense(2, 0x3a01);
	ck_assert(!COMMAND(0x28, 0, 0, 0, 0, 0, 0, 0, 1));
	expect_sense(2, 0x3a01);
	ck_assert(!COMMAND(0x43, 0, 0, 0, 0, 0, 0, 0, 12));
	expect_sense(2, 0x3a01);
	ck_assert_uint_eq(REPLY(0x12, 0, 0, 0, 36), 36);
	/* A new one: unit attention once, but not for INQUIRY. */
	ide_medium_changed(rig.ch, CD, 300 * 2048 + 5);
	ck_assert_uint_eq(REPLY(0x12, 0, 0, 0, 36), 36);
	ck_assert_uint_eq(REPLY(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
	ck_assert_uint_eq(data[2], 4);
	ck_assert_uint_eq(data[4], 2);
	ck_assert_uint_eq(data[5], 2);
	ck_assert_uint_eq(REPLY(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
	ck_assert_uint_eq(data[4], 0);
	ck_assert(!COMMAND(0x28, 0, 0, 0, 0, 0, 0, 0, 1));
	expect_sense(6, 0x2800);
	ck_assert_uint_eq(REPLY(0x25), 8);
	ck_assert_uint_eq(data[2] << 8 | data[3], 299);
	/* REQUEST SENSE takes the attention too. */
	ide_medium_changed(rig.ch, CD, 300 * 2048);
	ck_assert_uint_eq(REPLY(0x03, 0, 0, 0, 18), 18);
	ck_assert_uint_eq(data[2], 6);
	ck_assert(COMMAND(0));
}
END_TEST

START_TEST(tray)
{
	ck_assert(COMMAND(0x1e, 0, 0, 0, 1));
	ck_assert(rig.locked);
	ck_assert(!COMMAND(0x1b, 0, 0, 0, 2));
	expect_sense(5, 0x5302);
	ck_assert(COMMAND(0x1e, 0, 0, 0, 0));
	ck_assert(!rig.locked);
	ck_assert_uint_eq(rig.ejected, 0);
	ck_assert(COMMAND(0x1b, 0, 0, 0, 2));
	ck_assert_uint_eq(rig.ejected, 1);
	ck_assert(!COMMAND(0));
	expect_sense(2, 0x3a02);
	ck_assert_uint_eq(REPLY(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), 8);
	ck_assert_uint_eq(data[1], 0x10);
	ck_assert_uint_eq(REPLY(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
	ck_assert_uint_eq(data[4], 3);
	ck_assert_uint_eq(data[5], 1);
	ck_assert(COMMAND(0x1b, 0, 0, 0, 3));
	ck_assert(!COMMAND(0));
	expect_sense(6, 0x2800);
	ck_assert(COMMAND(0));
	ck_assert(COMMAND(0x1b, 0, 0, 0, 1));
}
END_TEST

/* What the guest has put out the host takes away; then a tray that comes in has nothing in it, until something is put in. */
START_TEST(ejected_medium_is_taken)
{
	ck_assert(COMMAND(0x1b, 0, 0, 0, 2));
	ck_assert(COMMAND(0x1b, 0, 0, 0, 2));
	ck_assert_uint_eq(rig.ejected, 1);
	ck_assert_uint_eq(REPLY(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
	ide_medium_changed(rig.ch, CD, 0);
	/* The tray stays out, and that is no news. */
	ck_assert_uint_eq(REPLY(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
	ck_assert_uint_eq(data[4], 0);
	ck_assert_uint_eq(data[5], 1);
	ck_assert(!COMMAND(0));
	expect_sense(2, 0x3a02);
	ck_assert(COMMAND(0x1b, 0, 0, 0, 3));
	ck_assert(!COMMAND(0));
	expect_sense(2, 0x3a01);
	ck_assert(COMMAND(0x1b, 0, 0, 0, 2));
	ck_assert_uint_eq(rig.ejected, 1);
	ide_medium_changed(rig.ch, CD, CD_SECTORS * 2048);
	ck_assert_uint_eq(REPLY(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
	ck_assert_uint_eq(data[4], 2);
	ck_assert_uint_eq(data[5], 2);
	ck_assert(!COMMAND(0));
	expect_sense(6, 0x2800);
	ck_assert(COMMAND(0));
}
END_TEST

/* MMC-3, table 97: a request is an event that is told once, and nothing of a drive that has no medium. */
START_TEST(eject_request)
{
	ck_assert(COMMAND(0x1e, 0, 0, 0, 1));
	ide_eject_request(rig.ch, CD);
	ide_eject_request(rig.ch, 0);
	ck_assert_uint_eq(REPLY(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
	ck_assert_uint_eq(data[4], 1);
	ck_assert_uint_eq(data[5], 2);
	ck_assert_uint_eq(REPLY(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
	ck_assert_uint_eq(data[4], 0);
	ck_assert(COMMAND(0));
	/* A change that was not told is more than a request. */
	ide_medium_changed(rig.ch, CD, 300 * 2048);
	ide_eject_request(rig.ch, CD);
	ck_assert_uint_eq(REPLY(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
	ck_assert_uint_eq(data[4], 2);
	ide_medium_changed(rig.ch, CD, 0);
	REPLY(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
	ide_eject_request(rig.ch, CD);
	ck_assert_uint_eq(REPLY(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
	ck_assert_uint_eq(data[4], 0);
}
END_TEST

START_TEST(table_of_contents)
{
	ck_assert_uint_eq(REPLY(0x43, 0, 0, 0, 0, 0, 0, 0, 12), 12);
	ck_assert_mem_eq(data, ((uint8_t[]){ 0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0 }), 12);
	ck_assert_uint_eq(REPLY(0x43, 0, 0, 0, 0, 0, 0, 3, 0x24), 20);
	ck_assert_mem_eq(data + 12, ((uint8_t[]){ 0, 0x14, 0xaa, 0, 0, 0, 2, 0xbc }), 8);
	ck_assert_uint_eq(REPLY(0x43, 2, 0, 0, 0, 0, 0xaa, 3, 0x24), 12);
	ck_assert_mem_eq(data + 4, ((uint8_t[]){ 0, 0x14, 0xaa, 0, 0, 0, 11, 25 }), 8);	/* 850 frames */
	ck_assert_uint_eq(REPLY(0x43, 0, 1, 0, 0, 0, 0, 3, 0x24), 12);
	ck_assert_uint_eq(REPLY(0x43, 0, 0, 0, 0, 0, 0, 3, 0x24, 0x40), 12);
	ck_assert_uint_eq(REPLY(0x43, 2, 2, 0, 0, 0, 0, 3, 0x24), 48);
	ck_assert(!COMMAND(0x43, 0, 0, 0, 0, 0, 5, 0, 12));
	expect_sense(5, 0x2400);
	ck_assert(!COMMAND(0x43, 0, 5, 0, 0, 0, 0, 0, 12));
	expect_sense(5, 0x2400);
}
END_TEST

START_TEST(mode_pages_and_features)
{
	ck_assert_uint_eq(REPLY(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 0xff), 28);
	ck_assert_uint_eq(data[1], 26);
	ck_assert_uint_eq(data[8], 0x2a);
	ck_assert_uint_eq(data[9], 18);
	ck_assert_uint_eq(data[14] & 0x0b, 0x09);
	ck_assert(COMMAND(0x1e, 0, 0, 0, 1));
	ck_assert_uint_eq(REPLY(0x1a, 0, 0x3f, 0, 0xff), 4 + 8 + 20);
	ck_assert_uint_eq(data[0], 31);
	ck_assert_uint_eq(data[4], 0x01);
	ck_assert_uint_eq(data[12 + 6] & 0x02, 0x02);
	ck_assert(!COMMAND(0x5a, 0, 0x05, 0, 0, 0, 0, 0, 0xff));
	expect_sense(5, 0x2400);

	ck_assert_uint_eq(REPLY(0x46, 2, 0, 0, 0, 0, 0, 0, 0xff), 8 + 12);
	ck_assert_uint_eq(data[3], 16);
	ck_assert_uint_eq(data[7], 0x08);			/* CD-ROM is current */
	ck_assert_mem_eq(data + 12, ((uint8_t[]){ 0, 0x10, 0, 0, 0, 0x08, 1, 0 }), 8);
	ck_assert_uint_gt(REPLY(0x46, 0, 0, 0, 0, 0, 0, 0, 0xff), 40);
	ck_assert(!COMMAND(0x46, 3, 0, 0, 0, 0, 0, 0, 0xff));
	expect_sense(5, 0x2400);
	ide_medium_changed(rig.ch, CD, 4ull << 30);		/* no CD: a DVD */
	ck_assert_uint_eq(REPLY(0x46, 2, 0, 0, 0, 0, 0, 0, 0xff), 20);
	ck_assert_uint_eq(data[7], 0x10);
	ck_assert(!COMMAND(0));
	ck_assert_uint_eq(REPLY(0x51, 0, 0, 0, 0, 0, 0, 0, 34), 34);
	ck_assert_uint_eq(data[2], 0x0e);
	ck_assert_uint_eq(REPLY(0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8), 4);
	ck_assert_uint_eq(data[2], 0x80);
	ck_assert(!COMMAND(0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8));
	expect_sense(5, 0x2400);
}
END_TEST

START_TEST(host_error_and_resets)
{
	packet((const uint8_t[12]){ 0x28, 0, 0, 0, 0, 0, 0, 0, 100 }, 0xfffe, false);
	rig_answer(CD, 0);
	for (unsigned int i = 0; i < 16; i++) {
		ck_assert_uint_eq(interrupt(), READY | DRQ);
		read_data(data, 8192);
	}
	rig_answer(CD, -5);					/* the second chunk */
	ck_assert_uint_eq(interrupt(), READY | ERR);
	expect_sense(3, 0x1100);
	/* DEVICE RESET with a request in flight. */
	packet((const uint8_t[12]){ 0x28, 0, 0, 0, 0, 0, 0, 0, 1 }, 0xfffe, false);
	out(7, 0x08);
	ck_assert_uint_eq(status(), 0);
	packet((const uint8_t[12]){ 0x28, 0, 0, 0, 0, 9, 0, 0, 1 }, 0xfffe, false);
	ck_assert_uint_eq(rig.disk[CD].offset, 0);
	ck_assert_uint_eq(receive(0xfffe), 2048);
	ck_assert_mem_eq(data, image(9), 2048);
	/* The other drive is not disturbed by what goes on here. */
	packet((const uint8_t[12]){ 0x28, 0, 0, 0, 0, 9, 0, 0, 1 }, 0xfffe, false);
	select_drive(0);
	out(7, 0xec);
	ck_assert_uint_eq(interrupt(), READY | DRQ);
	read_data(data, 512);
	rig_answer_all();
	ck_assert(!rig.level);
	select_drive(1);
	ck_assert_uint_eq(receive(0xfffe), 2048);
	ck_assert_mem_eq(data, image(9), 2048);
}
END_TEST

START_TEST(save_and_load_in_mid_block)
{
	static uint8_t one[RIG_STATE_ROOM], two[RIG_STATE_ROOM];
	size_t n;

	packet((const uint8_t[12]){ 0x28, 0, 0, 0, 0, 40, 0, 0, 3 }, 3000, false);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY | DRQ);
	read_data(data, 1000);
	n = rig_save(rig.ch, one, sizeof(one));
	rig_power_on();
	ck_assert(rig_load(rig.ch, one, n));
	ck_assert_uint_eq(rig_save(rig.ch, two, sizeof(two)), n);
	ck_assert_mem_eq(one, two, n);
	read_data(data + 1000, 2000);
	rig_answer_all();					/* from the middle of a sector on */
	ck_assert_uint_eq(interrupt(), READY | DRQ);
	read_data(data + 3000, 3000);
	ck_assert_uint_eq(interrupt(), READY | DRQ);
	ck_assert_uint_eq(in(4) | in(5) << 8, 144);
	read_data(data + 6000, 144);
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_mem_eq(data, image(40), 6144);
}
END_TEST

static uint64_t seed;

static uint32_t dice(uint32_t sides)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % sides;
}

START_TEST(random_packets)
{
	static const uint8_t codes[] = {
		0x00, 0x03, 0x12, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2b, 0x43, 0x46, 0x4a, 0x51, 0x5a, 0xa8, 0xbd, 0xbe,
	};
	static uint8_t one[RIG_STATE_ROOM], two[RIG_STATE_ROOM];
	uint8_t bytes[12];
	size_t n;

	seed = 977;
	for (unsigned int i = 0; i < 4000; i++) {
		for (unsigned int at = 0; at < 12; at++)
			bytes[at] = (uint8_t)(dice(3) ? dice(4) : dice(256));
		bytes[0] = dice(20) ? codes[dice(sizeof(codes))] : (uint8_t)dice(256);
		for (unsigned int table = 0; table < 4; table++)
			prd(TABLE, table, dice(8) ? dice(RIG_MEMORY) : UINT32_MAX - dice(0x10000), dice(0x10000), dice(2));
		bm_write(4, 4, TABLE);
		select_drive(1);
		out(1, dice(3));
		out(4, dice(256));
		out(5, dice(256));
		out(7, dice(50) ? 0xa0 : dice(256));
		write_data(bytes, 12);
		bm_write(0, 1, dice(2));
		if (!dice(100))
			ide_medium_changed(rig.ch, CD, dice(2) ? dice(CD_SECTORS) * 2048 : 0);
		for (unsigned int k = dice(6); k; k--) {
			rig_answer(CD, dice(20) ? 0 : -5);
			for (unsigned int words = dice(5000); words; words--)
				data_read(2);
		}
		if (!ide_in_flight(rig.ch)) {
			n = rig_save(rig.ch, one, sizeof(one));
			ck_assert(rig_load(rig.ch, one, n));
			ck_assert_uint_eq(rig_save(rig.ch, two, sizeof(two)), n);
			ck_assert_mem_eq(one, two, n);
		}
		if (dice(2))
			out(7, 0x08);
	}
	select_drive(1);
	out(7, 0x08);
	rig_answer_all();
	ide_medium_changed(rig.ch, CD, CD_SECTORS * 2048);
	COMMAND(0);
	COMMAND(0x1e);
	COMMAND(0x1b, 0, 0, 0, 3);
	COMMAND(0);
	ck_assert_uint_eq(REPLY(0x28, 0, 0, 0, 0, 9, 0, 0, 1), 2048);
	ck_assert_mem_eq(data, image(9), 2048);
}
END_TEST

SUITE("atapi", tests)
{
	tcase_add_checked_fixture(tests, set_up, rig_end);
	tcase_add_test(tests, signature_and_identify);
	tcase_add_test(tests, inquiry_and_capacity);
	tcase_add_test(tests, read_by_pio);
	tcase_add_test(tests, read_in_blocks_across_the_window);
	tcase_add_test(tests, read_by_dma);
	tcase_add_test(tests, no_medium);
	tcase_add_test(tests, medium_taken_out_while_reading);
	tcase_add_test(tests, tray);
	tcase_add_test(tests, ejected_medium_is_taken);
	tcase_add_test(tests, eject_request);
	tcase_add_test(tests, table_of_contents);
	tcase_add_test(tests, mode_pages_and_features);
	tcase_add_test(tests, host_error_and_resets);
	tcase_add_test(tests, save_and_load_in_mid_block);
	tcase_add_test(tests, random_packets);
}
