/* SPDX-License-Identifier: GPL-2.0 */
/* Bus-master transfers of a disk on a PIIX3 channel, with tables of regions as guests make them, and as they should not. */
#include <keel/macros.h>

#include "ide_disk_rig.h"

/* Regions end at 4 GiB, even where memory goes on. */
START_TEST(dma_has_32_address_lines)
{
	static uint8_t memory[0x20000];
	const uint64_t first = 0xffff0000u;
	struct gmem mem = { .count = 1, .range = { { .first = first, .bytes = sizeof(memory) } } };
	struct bmide bm = { .mem = &mem, .master = true };
	uint32_t moved;

	mem.base = (uint8_t *)((uintptr_t)memory - first);
	bmide_init(&bm);
	for (unsigned int end = 0; end < 2; end++) {
		memcpy(memory, &(uint32_t[2]){ 0xfffffe00, 0x80000200 + 2 * end }, 8);
		for (unsigned int i = 0; i < 4; i++)
			bmide_write(&bm, 4 + i, (uint8_t)(first >> (8 * i)));
		ck_assert(bmide_write(&bm, 0, 9));
		ck_assert(bmide_to_memory(&bm, data, 0x1000, &moved) == !end);
		ck_assert(!bmide_active(&bm));
		bmide_write(&bm, 0, 0);
	}
}
END_TEST

/* PRD table over scattered pieces; returns the sum. */
static uint32_t scatter(void)
{
	prd(TABLE, 0, 0x10000, 0x200, false);
	prd(TABLE, 1, 0x30002, 0x1fe, false);
	prd(TABLE, 2, 0x20000, 2, false);
	prd(TABLE, 3, 0x100000, 0, false);		/* 64 KiB */
	prd(TABLE, 4, 0x50000, 0xfc00, true);
	return 0x200 + 0x1fe + 2 + 0x10000 + 0xfc00;
}

static void gather(uint8_t *to)
{
	memcpy(to, rig.memory + 0x10000, 0x200);
	memcpy(to + 0x200, rig.memory + 0x30002, 0x1fe);
	memcpy(to + 0x3fe, rig.memory + 0x20000, 2);
	memcpy(to + 0x400, rig.memory + 0x100000, 0x10000);
	memcpy(to + 0x10400, rig.memory + 0x50000, 0xfc00);
}

START_TEST(dma_read)
{
	uint32_t bytes = scatter();

	ck_assert_uint_eq(bytes, KEEL_BOUNCE_BYTES);
	bm_write(4, 4, TABLE | 3);
	ck_assert_uint_eq(bm_read(4, 4), TABLE);
	bm_write(2, 1, 0x66);
	ck_assert_uint_eq(bm_read(2, 1), 0x60);
	bm_write(0, 1, 0x08);
	lba28(10, bytes / 512, 0xc8);			/* 256 sectors: count 0 */
	ck_assert_uint_eq(status(), READY | DRQ);
	ck_assert(!rig.disk[0].pending);
	bm_write(0, 1, 0x09);
	ck_assert_uint_eq(bm_read(2, 1), 0x61);
	ck_assert(rig.disk[0].pending);
	ck_assert(!rig.level);
	rig_answer_all();
	ck_assert_uint_eq(bm_read(2, 1), 0x64);		/* table consumed to its end: not active, interrupt */
	ck_assert_uint_eq(interrupt(), READY);
	gather(data);
	ck_assert_mem_eq(data, image(10), bytes);
	ck_assert_uint_eq(rig.memory[0x10200] | rig.memory[0x50000 + 0xfc00], 0);
	bm_write(0, 1, 0);
	bm_write(2, 1, 0x64);
	ck_assert_uint_eq(bm_read(2, 1), 0x60);
}
END_TEST

START_TEST(dma_write_across_chunks)
{
	/* 600 sectors, 300 KiB, from one table of 64 KiB regions; engine started before the command. */
	for (unsigned int i = 0; i < 5; i++)
		prd(TABLE, i, 0x100000 + i * 0x10000, 0, i == 4);
	for (unsigned int i = 0; i < 0x50000; i++)
		rig.memory[0x100000 + i] = (uint8_t)(i * 31 + (i >> 8));
	bm_write(4, 4, TABLE);
	bm_write(0, 1, 0x01);
	lba48(1000, 600, 0x35);
	ck_assert_uint_eq(rig.disk[0].pending, 3);
	while (rig_answer(0, 0))
		ck_assert(rig.level == !rig.disk[0].pending);
	ck_assert_uint_eq(rig.disk[0].writes, 3);
	ck_assert_uint_eq(interrupt(), READY);
	/* Regions left over: still active. */
	ck_assert_uint_eq(bm_read(2, 1), 0x05);
	ck_assert_mem_eq(image(1000), rig.memory + 0x100000, 600 * 512);
	ck_assert_mem_ne(image(1600), rig.memory + 0x100000 + 600 * 512, 512);
	/* FUA: flushed. */
	bm_write(0, 1, 0);
	bm_write(0, 1, 1);
	lba48(1000, 1, 0x3d);
	rig_answer_all();
	ck_assert_uint_eq(rig.disk[0].flushes, 1);
	ck_assert_uint_eq(interrupt(), READY);
}
END_TEST

START_TEST(dma_table_too_short)
{
	prd(TABLE, 0, 0x10000, 0x300, true);
	bm_write(4, 4, TABLE);
	lba28(0, 2, 0xc8);
	bm_write(0, 1, 0x09);
	rig_answer_all();
	ck_assert_uint_eq(bm_read(2, 1), 0);		/* neither active nor an interrupt: the drive waits */
	ck_assert(!rig.level);
	ck_assert_uint_eq(status(), READY | DRQ);
	/* Another table: the drive goes on with the sector that was cut. */
	prd(TABLE, 0, 0x20000, 0x200, true);
	bm_write(0, 1, 0);
	bm_write(0, 1, 0x09);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_mem_eq(rig.memory + 0x20000, image(1), 512);
	/* A write whose table ends within a sector waits too, and a reset frees the drive. */
	prd(TABLE, 0, 0x10000, 0x100, true);
	bm_write(0, 1, 0);
	bm_write(0, 1, 1);
	lba28(0, 2, 0xca);
	ck_assert(!rig.disk[0].pending);
	control_write(4);
	control_write(0);
	identify();
}
END_TEST

#define LARGE		0x100000u	/* its data in guest memory */
#define LARGE_CHUNKS	10u		/* more than there are at once, and a sector */
#define LARGE_SECTORS	(LARGE_CHUNKS * KEEL_BOUNCE_BYTES / 512 + 1)

static void start_large(bool write)
{
	for (unsigned int i = 0; i < 21; i++)
		prd(TABLE, i, LARGE + i * 0x10000, 0, i == 20);
	for (unsigned int i = 0; i < 21 * 0x10000; i++)
		rig.memory[LARGE + i] = write ? (uint8_t)(i * 31 + (i >> 8)) : 0;
	bm_write(0, 1, 0);
	bm_write(2, 1, 0x06);
	bm_write(4, 4, TABLE);
	lba48(100, LARGE_SECTORS, write ? 0x35 : 0x25);
	bm_write(0, 1, write ? 1 : 9);
}

/* A large transfer keeps the host busy with as many requests as there can be. It may be done with them in any order. */
START_TEST(dma_in_flight)
{
	bool write = _i & 1, backwards = _i & 2;
	unsigned int answers = 0;

	start_large(write);
	while (rig.disk[0].pending) {
		unsigned int left = LARGE_CHUNKS + 1 - answers;

		ck_assert_uint_eq(rig.disk[0].pending, backwards && answers < KEEL_BLOCK_CHUNKS ? KEEL_BLOCK_CHUNKS - answers :
				  left < KEEL_BLOCK_CHUNKS ? left : KEEL_BLOCK_CHUNKS);
		ck_assert(!rig.level);
		ck_assert_uint_eq(control_read(), BSY | DRDY);
		if (!backwards)
			rig_answer(0, 0);
		else
			for (unsigned int chunk = KEEL_BLOCK_CHUNKS; chunk-- && !rig_answer_chunk(0, chunk, 0); )
				;
		answers++;
	}
	ck_assert_uint_eq(answers, LARGE_CHUNKS + 1);
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_mem_eq(rig.memory + LARGE, image(100), LARGE_SECTORS * 512);
}
END_TEST

/* One of them fails: the command does, where that one is, and the next one waits until the host has let go of the rest. */
START_TEST(dma_fails_in_flight)
{
	bool write = _i;

	start_large(write);
	rig_answer_chunk(0, 2, -5);
	rig_answer_chunk(0, 1, 0);
	ck_assert(!rig.level);
	rig_answer_chunk(0, 0, 0);
	ck_assert_uint_eq(interrupt(), READY | ERR);
	ck_assert_uint_eq(rig.disk[0].pending, 5 + (write ? 2 : 2));
	lba28(7, 1, 0x20);
	ck_assert_uint_eq(status(), BSY | DRDY);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY | DRQ);
	read_data(data, 512);
	ck_assert_mem_eq(data, image(7), 512);
	if (!write)
		ck_assert_uint_eq(rig.memory[LARGE + 2 * KEEL_BOUNCE_BYTES], 0);
}
END_TEST

/* A table that ends before the command: another one goes on where it ended, whatever was asked of the host beyond. */
START_TEST(dma_table_ends_in_flight)
{
	start_large(false);
	prd(TABLE, 3, LARGE + 0x30000, 0x4000, true);
	bm_write(0, 1, 0);
	bm_write(0, 1, 9);
	rig_answer_all();
	ck_assert(!rig.level);
	ck_assert_uint_eq(status(), READY | DRQ);
	ck_assert_uint_eq(bm_read(2, 1), 0);
	prd(TABLE, 0, LARGE + 0x34000, 0xc000, false);
	for (unsigned int i = 1; i < 18; i++)
		prd(TABLE, i, LARGE + (i + 3) * 0x10000, 0, i == 17);
	bm_write(0, 1, 0);
	bm_write(0, 1, 9);
	ck_assert_uint_eq(rig.disk[0].pending, KEEL_BLOCK_CHUNKS);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_mem_eq(rig.memory + LARGE, image(100), LARGE_SECTORS * 512);
}
END_TEST

START_TEST(dma_not_memory)
{
	static const struct { uint32_t address, count, table; } bad[] = {
		{ RIG_HOLE - 0x100, 0x200, TABLE },
		{ RIG_HOLE, 0x200, TABLE },
		{ 0xfffffffe, 0x200, TABLE },
		{ 0xffffff00, 0x200, TABLE },
		{ RIG_MEMORY - 2, 4, TABLE },
		{ 0x10000, 0x200, RIG_MEMORY },
		{ 0x10000, 0x200, 0xfffffffc },
		{ 0x10000, 0x200, RIG_HOLE - 4 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		for (unsigned int write = 0; write < 2; write++) {
			prd(TABLE, 0, bad[i].address, bad[i].count, true);
			bm_write(2, 1, 0x06);
			bm_write(4, 4, bad[i].table);
			lba28(0, 1, write ? 0xca : 0xc8);
			bm_write(0, 1, write ? 0x01 : 0x09);
			rig_answer_all();
			ck_assert_uint_eq(interrupt(), READY | ERR);
			ck_assert_uint_eq(in(1), 4);
			ck_assert_uint_eq(bm_read(2, 1), 0x06);
			bm_write(0, 1, 0);
		}
	ck_assert_uint_eq(rig.disk[0].writes, 0);
	/* The error bit stays until cleared and does not harm the next transfer. */
	prd(TABLE, 0, 0x10000, 0x200, true);
	bm_write(4, 4, TABLE);
	bm_write(2, 1, 0x04);
	lba28(4, 1, 0xc8);
	bm_write(0, 1, 0x09);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_uint_eq(bm_read(2, 1), 0x06);
	ck_assert_mem_eq(rig.memory + 0x10000, image(4), 512);
}
END_TEST

START_TEST(dma_table_without_end)
{
	/* Regions of one word each that name the table itself over and over; the transfer ends it. */
	for (unsigned int i = 0; i < 0x8000; i++)
		prd(0x100000, i, 0x200000, 2, false);
	bm_write(4, 4, 0x100000);
	lba28(0, 16, 0xc8);
	bm_write(0, 1, 0x09);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_mem_eq(rig.memory + 0x200000, image(16) - 2, 2);
	ck_assert_uint_eq(bm_read(2, 1) & 1, 1);
}
END_TEST

START_TEST(dma_stopped_midway)
{
	prd(TABLE, 0, 0x10000, 0x200, true);
	bm_write(4, 4, TABLE);
	lba28(0, 1, 0xc8);
	bm_write(0, 1, 0x09);
	bm_write(0, 1, 0x08);
	rig_answer_all();
	ck_assert(!rig.level);
	ck_assert_uint_eq(rig.memory[0x10001], 0);
	bm_write(0, 1, 0x09);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_mem_eq(rig.memory + 0x10000, image(0), 512);
}
END_TEST

static void set_master(bool master)
{
	pci_function_write(&rig.ide.pci, PCI_COMMAND, 2, PCI_COMMAND_IO | (master ? PCI_COMMAND_MASTER : 0));
}

/* A function that may not reach memory does not, whatever the host is done with meanwhile, and goes on when it may. */
START_TEST(dma_without_master)
{
	bool write = _i & 1, in_flight = _i & 2;

	set_master(in_flight);
	start_large(write);
	ck_assert_uint_eq(rig.disk[0].pending, in_flight ? KEEL_BLOCK_CHUNKS : 0);
	set_master(false);
	if (in_flight)
		rig_answer_chunk(0, 0, 0);
	rig_answer_all();
	ck_assert(!rig.level);
	ck_assert_uint_eq(bm_read(2, 1) & 1, 1);
	ck_assert_uint_eq(rig.disk[0].writes, write && in_flight ? KEEL_BLOCK_CHUNKS : 0);
	for (uint32_t i = 0; !write && i < LARGE_SECTORS * 512; i++)
		ck_assert_uint_eq(rig.memory[LARGE + i], 0);
	set_master(true);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_mem_eq(rig.memory + LARGE, image(100), LARGE_SECTORS * 512);
}
END_TEST

/* Registers that are elsewhere, or nowhere, change nothing for what has been started. */
START_TEST(dma_registers_away)
{
	start_large(false);
	pci_function_write(&rig.ide.pci, PCI_BAR0 + 4 * PIIX3_IDE_BM_BAR, 4, 0xd000);
	pci_function_write(&rig.ide.pci, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	rig_answer_all();
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_mem_eq(rig.memory + LARGE, image(100), LARGE_SECTORS * 512);
}
END_TEST

/* The channel is reset while the host holds requests: they come to nothing, and the next command waits for them. */
START_TEST(dma_reset_in_flight)
{
	unsigned int submitted;

	start_large(_i);
	submitted = rig.disk[0].submitted;
	control_write(4);
	control_write(0);
	rig_answer_chunk(0, 0, 0);
	memset(rig.memory + LARGE, 0x5a, LARGE_SECTORS * 512);
	prd(TABLE, 0, 0x10000, 0x200, true);
	bm_write(0, 1, 0);
	lba28(4, 1, 0xc8);
	bm_write(0, 1, 0x09);
	while (rig.disk[0].pending > 1) {
		ck_assert(!rig.level);
		ck_assert_uint_eq(rig.disk[0].submitted, submitted);
		rig_answer(0, 0);
	}
	rig_answer_all();
	ck_assert_uint_eq(rig.disk[0].submitted, submitted + 1);
	ck_assert_uint_eq(interrupt(), READY);
	ck_assert_mem_eq(rig.memory + 0x10000, image(4), 512);
	for (uint32_t i = 0; i < LARGE_SECTORS * 512; i++)
		ck_assert_uint_eq(rig.memory[LARGE + i], 0x5a);
}
END_TEST

SUITE("ide_dma", tests)
{
	tcase_add_checked_fixture(tests, set_up, rig_end);
	tcase_add_test(tests, dma_has_32_address_lines);
	tcase_add_test(tests, dma_read);
	tcase_add_test(tests, dma_write_across_chunks);
	tcase_add_test(tests, dma_table_too_short);
	tcase_add_loop_test(tests, dma_in_flight, 0, 4);
	tcase_add_loop_test(tests, dma_fails_in_flight, 0, 2);
	tcase_add_test(tests, dma_table_ends_in_flight);
	tcase_add_test(tests, dma_not_memory);
	tcase_add_test(tests, dma_table_without_end);
	tcase_add_test(tests, dma_stopped_midway);
	tcase_add_loop_test(tests, dma_without_master, 0, 4);
	tcase_add_test(tests, dma_registers_away);
	tcase_add_loop_test(tests, dma_reset_in_flight, 0, 2);
}
