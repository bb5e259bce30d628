/* SPDX-License-Identifier: GPL-2.0 */
/* ATA disks on a PIIX3 channel, used as firmware, boot loaders and operating systems do. test_ide_dma.c has their bus master. */
#include <keel/macros.h>

#include "ide_disk_rig.h"

START_TEST(detection)
{
	ck_assert_uint_eq(status(), READY);
	ck_assert_uint_eq(in(1), 1);
	ck_assert_uint_eq(in(2), 1);
	ck_assert_uint_eq(in(3), 1);
	ck_assert_uint_eq(in(4), 0);
	ck_assert_uint_eq(in(5), 0);
	for (unsigned int drive = 0; drive < 2; drive++) {
		select_drive(drive);
		ck_assert_uint_eq(in(6), 0xa0 | drive << 4);
		out(2, 0x55);
		out(3, 0xaa);
		ck_assert_uint_eq(in(2), 0x55);
		ck_assert_uint_eq(in(3), 0xaa);
	}
	/* Software reset, interrupts off. */
	control_write(0x0e);
	ck_assert_uint_eq(control_read(), BSY);
	out(7, 0xec);
	control_write(0x0a);
	ck_assert_uint_eq(in(6), 0);
	ck_assert_uint_eq(in(2), 1);
	ck_assert_uint_eq(in(1), 1);
	ck_assert_uint_eq(status(), READY);
	ck_assert_uint_eq(rig.edges, 0);
}
END_TEST

START_TEST(empty_channel_floats)
{
	rig.ch = &rig.ide.channel[1];
	for (unsigned int drive = 0; drive < 2; drive++) {
		out(6, 0xa0 | drive << 4);
		out(2, 0x55);
		for (unsigned int reg = 1; reg < 8; reg++)
			ck_assert_uint_eq(in(reg), 0x7f);
		ck_assert_uint_eq(control_read(), 0x7f);
		ck_assert_uint_eq(data_read(2), 0xffff);
		out(7, 0xec);
		out(7, 0x90);
		control_write(4);
		control_write(0);
	}
}
END_TEST

START_TEST(absent_slave)
{
	rig.ch->drive[1].kind = KEEL_DEVICE_NONE;
	select_drive(1);
	ck_assert_uint_eq(status(), 0);
	out(2, 0x55);
	ck_assert_uint_eq(in(2), 0x55);		/* device 0 answers */
	out(7, 0xec);
	ck_assert_uint_eq(status(), 0);
	ck_assert_uint_eq(rig.edges, 0);
	out(7, 0x90);				/* both execute diagnostics; device 0 reports */
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_uint_eq(in(1), 1);
	select_drive(0);
	identify();
}
END_TEST

START_TEST(absent_master)
{
	rig.ch->drive[0].kind = KEEL_DEVICE_NONE;
	select_drive(0);
	ck_assert_uint_eq(in(7), 0x7f);
	select_drive(1);
	identify();
}
END_TEST

START_TEST(identify_words)
{
	uint8_t sum = 0;

	identify();
	ck_assert_uint_eq(word(0), 0x0040);
	ck_assert_uint_eq(word(1), DISK_SECTORS / 1008);
	ck_assert_uint_eq(word(3), 16);
	ck_assert_uint_eq(word(6), 63);
	ck_assert_mem_eq(data + 20, "NS0000000000000000", 18);
	ck_assert_uint_eq(data[54], 'E');
	ck_assert_uint_eq(data[55], 'K');
	ck_assert_uint_eq(word(47), 0x8010);
	ck_assert_uint_eq(word(49) & 0x0b00, 0x0b00);
	ck_assert_uint_eq(word(53), 7);
	ck_assert_uint_eq(word(60) | word(61) << 16, DISK_SECTORS);
	ck_assert_uint_eq(word(63), 0x0407);
	ck_assert_uint_eq(word(88), 0x003f);
	ck_assert_uint_eq(word(83) & 0x7400, 0x7400);
	ck_assert_uint_eq(word(100), DISK_SECTORS);
	ck_assert_uint_eq(word(103), 0);
	ck_assert_uint_eq(word(255) & 0xff, 0xa5);
	for (unsigned int i = 0; i < 512; i++)
		sum += data[i];
	ck_assert_uint_eq(sum, 0);
	/* Set UDMA 5, multiple 16, cache off, other translation: all seen. */
	out(1, 3);
	out(2, 0x45);
	out(7, 0xef);
	ck_assert_uint_eq(interrupt(), READY);
	out(2, 16);
	out(7, 0xc6);
	ck_assert_uint_eq(interrupt(), READY);
	out(1, 0x82);
	out(7, 0xef);
	ck_assert_uint_eq(status(), BSY | DRDY);	/* flushed before it is off */
	rig_answer_all();
	ck_assert_uint_eq(rig.disk[0].flushes, 1);
	ck_assert_uint_eq(interrupt(), READY);
	out(2, 32);
	out(6, 0xa7);
	out(7, 0x91);
	ck_assert_uint_eq(interrupt(), READY);
	identify();
	ck_assert_uint_eq(word(63), 0x0007);
	ck_assert_uint_eq(word(88), 0x203f);
	ck_assert_uint_eq(word(59), 0x0110);
	ck_assert_uint_eq(word(85) & 0x20, 0);
	ck_assert_uint_eq(word(54), DISK_SECTORS / 256);
	ck_assert_uint_eq(word(55), 8);
	ck_assert_uint_eq(word(56), 32);
	ck_assert_uint_eq(word(57) | word(58) << 16, DISK_SECTORS);
}
END_TEST

/* Firmware takes no cylinders for a disk that it cannot read. */
START_TEST(tiny_disks)
{
	static const struct {
		uint32_t sectors, cylinders;
	} disks[] = { { 1, 2 }, { 63, 2 }, { 300, 2 }, { 1007, 2 }, { 1008, 2 }, { 2015, 2 }, { 2016, 2 }, { 3024, 3 } };

	for (unsigned int i = 0; i < ARRAY_SIZE(disks); i++) {
		rig.ch->drive[0].bytes = disks[i].sectors * 512ull;
		identify();
		ck_assert_uint_eq(word(1), disks[i].cylinders);
		ck_assert_uint_eq(word(54), disks[i].cylinders);
		ck_assert_uint_eq(word(57) | (uint32_t)word(58) << 16,
				  disks[i].sectors < disks[i].cylinders * 1008 ? disks[i].sectors : disks[i].cylinders * 1008);
		ck_assert_uint_eq(word(60), disks[i].sectors);
	}
	/* The first sector is there by its CHS address; one of the geometry's, but behind the end, is not found. */
	rig.ch->drive[0].bytes = 512;
	out(2, 1);
	out(3, 1);
	out(4, 0);
	out(5, 0);
	out(6, 0xa0);
	out(7, 0x20);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY | DRQ);
	read_data(data, 512);
	ck_assert_mem_eq(data, image(0), 512);
	out(3, 2);
	out(7, 0x20);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	ck_assert_uint_eq(in(1), 0x10);
}
END_TEST

START_TEST(huge_disk)
{
	rig.ch->drive[0].bytes = 3ull << 40;
	identify();
	ck_assert_uint_eq(word(1), 16383);
	ck_assert_uint_eq(word(60) | (uint32_t)word(61) << 16, 0x0fffffff);
	ck_assert_uint_eq(word(102), 1);
	ck_assert_uint_eq(word(101), 0x8000);
	lba48(0, 0, 0x27);
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_uint_eq(in(3) | in(4) << 8 | in(5) << 16, 0xffffff);
	control_write(0x80);		/* HOB */
	ck_assert_uint_eq(in(3), 0x7f);
	ck_assert_uint_eq(in(4), 1);
	ck_assert_uint_eq(in(5), 0);
	out(6, 0xe0);					/* a write clears HOB */
	ck_assert_uint_eq(in(3), 0xff);
	out(7, 0xf8);
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_uint_eq(in(6), 0xef);
}
END_TEST

START_TEST(address_of_48_bits)
{
	const uint64_t lba = 0x123456789abull;

	rig.ch->drive[0].bytes = 1ull << 53;
	rig.disk[0].bytes = 1ull << 53;
	lba48(lba, 0, 0x24);
	ck_assert_uint_eq(rig.disk[0].offset, lba * 512);
	ck_assert_uint_eq(rig.ch->drive[0].s.left, 65536 * 512);
	rig_answer(0, -5);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	ck_assert_uint_eq(in(3) | in(4) << 8 | in(5) << 16, 0x6789ab);
	control_write(0x80);
	ck_assert_uint_eq(in(3) | in(4) << 8 | in(5) << 16, 0x012345);
	lba28(0x9abcdef, 1, 0x40);
	ck_assert_uint_eq(rig.disk[0].offset, 0x9abcdefull * 512);
}
END_TEST

START_TEST(pio_read)
{
	lba28(5, 3, 0x20);
	ck_assert_uint_eq(control_read(), BSY | DRDY);
	ck_assert(!rig.level);
	ck_assert_uint_eq(data_read(2), 0xffff);
	rig_answer_all();
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_uint_eq(interrupt(), READY | DRQ);
		read_data(data, 512);
		ck_assert_mem_eq(data, image(5 + i), 512);
	}
	ck_assert_uint_eq(status(), READY);
	ck_assert_uint_eq(rig.edges, 3);
	ck_assert_uint_eq(rig.disk[0].reads, 1);	/* one request for the whole command */
	/* 256 sectors by count 0; 32-bit cycles; more than the data is refused. */
	lba28(1000, 0, 0x20);
	for (unsigned int i = 0; i < 256; i++) {
		rig_answer_all();
		ck_assert_uint_eq(interrupt(), READY | DRQ);
		for (unsigned int at = 0; at < 512; at += 4) {
			uint32_t value = data_read(4);

			memcpy(data + at, &value, 4);
		}
		ck_assert_mem_eq(data, image(1000 + i), 512);
	}
	ck_assert_uint_eq(data_read(2), 0xffff);
	ck_assert_uint_eq(status(), READY);
}
END_TEST

START_TEST(pio_read_across_chunks_ext_multiple)
{
	out(2, 16);
	out(7, 0xc6);
	ck_assert_uint_eq(interrupt(), READY);
	lba48(3, 700, 0x29);
	for (unsigned int left = 700; left;) {
		unsigned int n = left < 16 ? left : 16;

		rig_answer_all();
		ck_assert_uint_eq(interrupt(), READY | DRQ);
		read_data(data, n * 512);
		ck_assert_mem_eq(data, image(3 + 700 - left), n * 512);
		left -= n;
	}
	ck_assert_uint_eq(status(), READY);
	ck_assert_uint_eq(rig.disk[0].reads, 3);
	out(2, 3);					/* not a power of two */
	out(7, 0xc6);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	out(2, 0);
	out(7, 0xc6);
	ck_assert_uint_eq(interrupt(), READY);
	lba28(0, 1, 0xc4);				/* multiple mode is off */
	ck_assert_uint_eq(interrupt(), READY | ERR);
	ck_assert_uint_eq(in(1), 4);
}
END_TEST

START_TEST(pio_write)
{
	uint8_t before[512];

	memset(data, 0x5c, 1024);
	memcpy(before, image(9), 512);
	lba28(7, 2, 0x30);
	ck_assert_uint_eq(status(), READY | DRQ);
	ck_assert_uint_eq(rig.edges, 0);		/* none before the first block */
	write_data(data, 512);
	ck_assert_uint_eq(status(), BSY | DRDY);
	rig_answer_all();
	ck_assert_mem_eq(image(7), data, 512);
	ck_assert_uint_eq(interrupt(), READY | DRQ);
	write_data(data + 512, 512);
	ck_assert(!rig.level);				/* not before the host has it */
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_mem_eq(image(7), data, 1024);
	ck_assert_mem_eq(image(9), before, 512);
	ck_assert_uint_eq(rig.disk[0].flushes, 0);
	data_write(2, 1);			/* nobody asked */
	/* Write-through when the cache is off, and for FUA. */
	out(1, 0x82);
	out(7, 0xef);
	rig_answer_all();
	status();
	lba28(7, 1, 0x30);
	write_data(data, 512);
	ck_assert(rig_answer(0, 0));
	ck_assert(!rig.level);
	ck_assert(rig_answer(0, 0));
	ck_assert_uint_eq(rig.disk[0].last, KEEL_BLOCK_FLUSH);
	ck_assert_uint_eq(interrupt(), READY);
}
END_TEST

START_TEST(chs)
{
	out(2, 1);
	out(3, 5);		/* sector 5 */
	out(4, 1);		/* cylinder 1 */
	out(5, 0);
	out(6, 0xa2);		/* head 2 */
	out(7, 0x20);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY | DRQ);
	read_data(data, 512);
	ck_assert_mem_eq(data, image((1 * 16 + 2) * 63 + 4), 512);
	out(3, 0);
	out(7, 0x20);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	ck_assert_uint_eq(in(1), 0x10);
	out(3, 64);
	out(7, 0x20);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	/* Host error: the address in the registers is CHS again. */
	out(2, 2);
	out(3, 63);
	out(6, 0xaf);
	out(7, 0x20);
	rig_answer(0, -5);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	ck_assert_uint_eq(in(1), 0x40);
	ck_assert_uint_eq(in(3), 63);
	ck_assert_uint_eq(in(4), 1);
	ck_assert_uint_eq(in(6), 0xaf);
}
END_TEST

START_TEST(bounds)
{
	static const uint8_t commands[] = { 0x20, 0x30, 0xc8, 0xca, 0x40 };
	static const uint8_t ext[] = { 0x24, 0x34, 0x25, 0x35, 0x42 };

	for (unsigned int i = 0; i < sizeof(commands); i++) {
		lba28(DISK_SECTORS - 1, 2, commands[i]);
		ck_assert_uint_eq(interrupt(), READY | ERR);
		ck_assert_uint_eq(in(1), 0x10);
		lba48(0xffffffffffffull, 0, ext[i]);
		ck_assert_uint_eq(interrupt(), READY | ERR);
		lba48(DISK_SECTORS, 1, ext[i]);
		ck_assert_uint_eq(interrupt(), READY | ERR);
	}
	lba28(DISK_SECTORS - 1, 1, 0x40);
	ck_assert_uint_eq(status(), BSY | DRDY);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY);
}
END_TEST

START_TEST(unknown_commands_abort)
{
	static const uint8_t commands[] = { 0x00, 0x08, 0xa0, 0xa1, 0xb0, 0xb1, 0xf1, 0xf5, 0xff, 0x22, 0x26, 0xde };

	for (unsigned int i = 0; i < sizeof(commands); i++) {
		out(7, commands[i]);
		ck_assert_uint_eq(interrupt(), READY | ERR);
		ck_assert_uint_eq(in(1), 4);
	}
	out(7, 0x10);
	ck_assert_uint_eq(interrupt(), READY);
	out(7, 0x70);
	ck_assert_uint_eq(interrupt(), READY);
	out(7, 0xe5);
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_uint_eq(in(2), 0xff);
	out(7, 0xe0);
	rig_answer_all();
	ck_assert_uint_eq(rig.disk[0].flushes, 1);
	ck_assert_uint_eq(interrupt(), READY);
	out(7, 0xe5);
	status();
	ck_assert_uint_eq(in(2), 0);
	lba28(0, 1, 0x40);				/* wakes up */
	rig_answer_all();
	status();
	out(7, 0xe5);
	status();
	ck_assert_uint_eq(in(2), 0xff);
	out(1, 3);
	out(2, 0x46);					/* UDMA 6 */
	out(7, 0xef);
	ck_assert_uint_eq(interrupt(), READY | ERR);
}
END_TEST

START_TEST(read_only_disk)
{
	select_drive(1);
	lba28(0, 1, 0x30);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	ck_assert_uint_eq(in(1), 0x44);
	lba28(0, 1, 0xca);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	lba28(1, 1, 0x20);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY | DRQ);
	read_data(data, 512);
	ck_assert_mem_eq(data, rig.disk[1].image + 512, 512);
}
END_TEST

START_TEST(selection_and_interrupts)
{
	/* Drive 0 completes while drive 1 is selected: its interrupt is seen when it is selected again. */
	out(7, 0xe7);
	ck_assert_uint_eq(status(), BSY | DRDY);
	select_drive(1);
	ck_assert_uint_eq(status(), READY);
	rig_answer_all();
	ck_assert(!rig.level);
	select_drive(0);
	ck_assert(rig.level);
	/* nIEN hides it. */
	control_write(0x02);
	ck_assert(!rig.level);
	control_write(0x00);
	ck_assert(rig.level);
	/* Alternate status does not acknowledge, a command does. */
	control_read();
	ck_assert(rig.level);
	out(7, 0xe7);
	ck_assert(!rig.level);
	/* A busy drive takes neither commands nor registers. */
	out(2, 0x12);
	out(7, 0xec);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_uint_ne(in(2), 0x12);
	ck_assert_uint_eq(rig.disk[0].flushes, 2);
}
END_TEST

START_TEST(host_errors)
{
	lba28(0x123, 4, 0x20);
	rig_answer(0, -5);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	ck_assert_uint_eq(in(1), 0x40);
	ck_assert_uint_eq(in(3), 0x23);
	ck_assert_uint_eq(in(4), 0x01);
	/* In the second block of a write. */
	lba48(0x200, 2, 0x34);
	write_data(data, 512);
	rig_answer(0, 0);
	status();
	write_data(data, 512);
	rig_answer(0, -28);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	ck_assert_uint_eq(in(1), 4);
	ck_assert_uint_eq(in(3), 0x01);
	ck_assert_uint_eq(in(4), 0x02);
	out(7, 0xe7);
	rig_answer(0, -5);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	/* A host that takes nothing. */
	rig.refuse = true;
	lba28(0, 1, 0x20);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	rig.refuse = false;
	lba28(0, 1, 0x20);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY | DRQ);
	/* Completions of nothing. */
	ide_complete(rig.ch, 0, 0, 0);
	ide_complete(rig.ch, 0, KEEL_BLOCK_CHUNKS, 0);
	ide_complete(rig.ch, 1, 0, -5);
	ide_complete(rig.ch, 7, 0, 0);
	ck_assert_uint_eq(status(), READY | DRQ);
}
END_TEST

static void soft_reset(void)
{
	control_write(4);
	control_write(0);
}

START_TEST(reset_with_request_in_flight)
{
	uint8_t old[512];

	memcpy(old, image(9), 512);
	/* A read is under way; after the reset another command must wait for it and see none of it. */
	lba28(0, 1, 0x20);
	soft_reset();
	ck_assert_uint_eq(status(), READY);
	lba28(8, 1, 0x20);
	ck_assert_uint_eq(status(), BSY | DRDY);
	ck_assert_uint_eq(rig.disk[0].offset, 0);
	soft_reset();					/* and once more */
	lba28(9, 1, 0x30);
	memset(data, 0x77, 512);
	write_data(data, 512);				/* the bounce buffer is still the host's (the rig checks) */
	ck_assert_uint_eq(status(), BSY | DRDY);
	ck_assert_mem_eq(image(9), old, 512);
	rig_answer(0, -5);				/* the error of a dead command is nobody's */
	ck_assert(!rig.level);
	ck_assert_uint_eq(rig.disk[0].op, KEEL_BLOCK_WRITE);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_mem_eq(image(9), data, 512);
	/* IDENTIFY straight after a reset: answered once the old request is back. */
	lba28(0, 1, 0xc8);
	bm_write(4, 4, TABLE);
	prd(TABLE, 0, 0x10000, 0x200, true);
	bm_write(0, 1, 9);
	soft_reset();
	out(7, 0xec);
	ck_assert_uint_eq(status(), BSY | DRDY);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY | DRQ);
	ck_assert_uint_eq(rig.memory[0x10001], 0);
	/* A power-on reset too. */
	soft_reset();
	lba28(0, 1, 0x20);
	rig_power_on();
	rig_answer_all();
	ck_assert(!rig.level);
	identify();
}
END_TEST

START_TEST(save_and_load_in_mid_transfer)
{
	static uint8_t one[RIG_STATE_ROOM], two[RIG_STATE_ROOM];
	size_t n;

	lba28(20, 4, 0x20);
	ck_assert_uint_eq(rig_save(rig.ch, one, sizeof(one)), 0);
	rig_answer_all();
	interrupt();
	read_data(data, 700);
	n = rig_save(rig.ch, one, sizeof(one));
	ck_assert_uint_gt(n, 2 * IDE_BUFFER_BYTES);
	rig_power_on();
	ck_assert(rig_load(rig.ch, one, n));
	ck_assert_uint_eq(rig_save(rig.ch, two, sizeof(two)), n);
	ck_assert_mem_eq(one, two, n);
	/* Goes on where it was; the read-ahead is fetched again. */
	read_data(data + 700, 1024 - 700);
	rig_answer_all();
	read_data(data + 1024, 512);
	read_data(data + 1536, 512);
	ck_assert_mem_eq(data, image(20), 2048);
	ck_assert_uint_eq(status(), READY);
	ck_assert_uint_eq(rig.disk[0].reads, 2);
}
END_TEST

static uint64_t seed;

static uint32_t dice(uint32_t sides)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % sides;
}

START_TEST(bad_states_are_refused)
{
	static uint8_t one[RIG_STATE_ROOM];
	size_t n;

	seed = 7;
	lba28(20, 4, 0x20);
	rig_answer_all();
	n = rig_save(rig.ch, one, sizeof(one));
	rig.ch->drive[0].s.cursor = IDE_BUFFER_BYTES;
	ck_assert(!ide_restored(rig.ch));
	ck_assert(rig_load(rig.ch, one, n));
	rig.ch->drive[0].s.position = UINT64_MAX - 511;
	ck_assert(!ide_restored(rig.ch));
	ck_assert(rig_load(rig.ch, one, n));
	rig.ch->s.selected = 2;
	ck_assert(!ide_restored(rig.ch));
	/* A line that is not where its drive has it would never move again, or twice the same way. */
	ck_assert(rig_load(rig.ch, one, n));
	rig.ch->s.line = !rig.ch->s.line;
	ck_assert(!ide_restored(rig.ch));
	ck_assert(rig_load(rig.ch, one, n));
	rig.ch->s.line = 2;
	ck_assert(!ide_restored(rig.ch));
	/* Whatever is accepted must be harmless. */
	for (unsigned int round = 0; round < 3000; round++) {
		uint8_t *s = (uint8_t *)&rig.ch->drive[0].s;

		ck_assert(rig_load(rig.ch, one, n));
		for (unsigned int i = 0; i < 3; i++)
			s[dice(offsetof(struct ide_drive_state, buffer))] = (uint8_t)dice(256);
		if (ide_restored(rig.ch)) {
			for (unsigned int i = 0; i < 5000; i++)
				data_read(2);
			for (unsigned int i = 0; i < 5000; i++)
				data_write(2, 0xffff);
			bm_write(0, 1, 1);
		}
		rig_power_on();
		rig_answer_all();
	}
}
END_TEST

static void random_table(void)
{
	for (unsigned int i = 0; i < 8; i++)
		prd(TABLE, i, dice(4) ? dice(RIG_MEMORY) : (uint32_t)(seed >> 20), dice(3) ? dice(0x10000) : dice(8), !dice(4));
}

static void random_access(void)
{
	static const uint8_t commands[] = {
		0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0x40, 0x42, 0x91, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xce, 0x3d,
		0xe7, 0xec, 0xef, 0x08, 0x90, 0xa0, 0xa1, 0xf8,
	};

	unsigned int drive, chunk;

	switch (dice(12)) {
	case 0:
		out(7, dice(8) ? commands[dice(sizeof(commands))] : dice(256));
		break;
	case 1:
		out(1 + dice(5), dice(2) ? dice(4) : dice(256));
		break;
	case 2:
		out(6, dice(4) ? 0xe0 : dice(256));
		break;
	case 3:
		control_write(dice(4) ? 0 : (uint8_t)dice(256));
		break;
	case 4:
		bm_write(dice(8), 1 << dice(3), dice(2) ? 1 : dice(256));
		bm_write(4, 4, TABLE);
		break;
	case 5:
		random_table();
		break;
	case 6:
		rig_answer_chunk(dice(2), dice(2) ? 0 : dice(KEEL_BLOCK_CHUNKS), dice(10) ? 0 : -5);
		break;
	case 7:
		for (unsigned int i = dice(3) ? dice(8) : dice(5000); i; i--)
			data_read(2);
		break;
	case 8:
		for (unsigned int i = dice(3) ? dice(8) : dice(5000); i; i--)
			data_write(4, dice(1u << 31));
		break;
	case 9:
		in(dice(9));
		bm_read(dice(16), 1);
		break;
	case 10:
		/* The host answers too early, or what was not asked. */
		drive = dice(3);
		chunk = dice(KEEL_BLOCK_CHUNKS + 1);
		if (drive < 2 && chunk < KEEL_BLOCK_CHUNKS)
			rig.disk[drive].request[chunk].number = 0;
		ide_complete(rig.ch, drive, chunk, 0);
		break;
	case 11:
		rig.refuse = !dice(20);
		break;
	}
}

START_TEST(random_guest)
{
	static uint8_t one[RIG_STATE_ROOM], two[RIG_STATE_ROOM];
	size_t n;

	seed = 20240607;
	for (unsigned int i = 0; i < 40000; i++) {
		random_access();
		if (!ide_in_flight(rig.ch) && !(i % 16)) {
			n = rig_save(rig.ch, one, sizeof(one));
			ck_assert(rig_load(rig.ch, one, n));
			ck_assert_uint_eq(rig_save(rig.ch, two, sizeof(two)), n);
			ck_assert_mem_eq(one, two, n);
		}
	}
	ck_assert_uint_gt(rig.disk[0].reads, 10);
	ck_assert_uint_gt(rig.disk[0].writes, 10);
	/* And it is a disk again after a reset. */
	rig.refuse = false;
	soft_reset();
	rig_answer_all();
	ck_assert(!rig.level);
	lba28(2, 1, 0x20);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY | DRQ);
	read_data(data, 512);
	ck_assert_mem_eq(data, image(2), 512);
}
END_TEST

START_TEST(pci_function)
{
	ck_assert_uint_eq(pci_function_read(&rig.ide.pci, 0, 4), 0x70108086);
	ck_assert_uint_eq(pci_function_read(&rig.ide.pci, 8, 4), 0x01018000);
	pci_function_write(&rig.ide.pci, 0x20, 4, UINT32_MAX);
	ck_assert_uint_eq(pci_function_read(&rig.ide.pci, 0x20, 4), 0xfffffff1);
	pci_function_write(&rig.ide.pci, 0x40, 4, 0x80008000);
	ck_assert_uint_eq(pci_function_read(&rig.ide.pci, 0x40, 4), 0x80008000);
	pci_function_write(&rig.ide.pci, 0x04, 2, 0xffff);
	ck_assert_uint_eq(pci_function_read(&rig.ide.pci, 0x04, 2), 0x0005);
	/* The second channel is behind offset 8. */
	bm_write(12, 4, 0x12345678);
	ck_assert_uint_eq(rig.ide.channel[1].bm.s.table, 0x12345678);
	ck_assert_uint_eq(bm_read(4, 4), 0);
}
END_TEST

SUITE("ide", tests)
{
	tcase_add_checked_fixture(tests, set_up, rig_end);
	tcase_add_test(tests, detection);
	tcase_add_test(tests, empty_channel_floats);
	tcase_add_test(tests, absent_slave);
	tcase_add_test(tests, absent_master);
	tcase_add_test(tests, identify_words);
	tcase_add_test(tests, tiny_disks);
	tcase_add_test(tests, huge_disk);
	tcase_add_test(tests, address_of_48_bits);
	tcase_add_test(tests, pio_read);
	tcase_add_test(tests, pio_read_across_chunks_ext_multiple);
	tcase_add_test(tests, pio_write);
	tcase_add_test(tests, chs);
	tcase_add_test(tests, bounds);
	tcase_add_test(tests, unknown_commands_abort);
	tcase_add_test(tests, read_only_disk);
	tcase_add_test(tests, selection_and_interrupts);
	tcase_add_test(tests, host_errors);
	tcase_add_test(tests, reset_with_request_in_flight);
	tcase_add_test(tests, save_and_load_in_mid_transfer);
	tcase_add_test(tests, bad_states_are_refused);
	tcase_add_test(tests, random_guest);
	tcase_add_test(tests, pci_function);
}
