// SPDX-License-Identifier: GPL-2.0
/* Guest page walk: each paging mode, rights, reserved bits, accessed and dirty bits, error codes. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>
#include <x86/registers.h>

#include "vcpu/walk.h"
#include "suite.h"

#define PAGES		16u
#define TABLE(i)	((uint64_t)(i) * WALK_PAGE_BYTES)
#define ROM_PAGE	15u

#define P	(1ull << 0)
#define W	(1ull << 1)
#define U	(1ull << 2)
#define A	(1ull << 5)
#define D	(1ull << 6)
#define PS	(1ull << 7)
#define NX	(1ull << 63)

#define PF_P	1u
#define PF_W	2u
#define PF_U	4u
#define PF_R	8u
#define PF_I	16u

static uint8_t memory[PAGES * WALK_PAGE_BYTES];
static const struct gmem mem = {
	.base = memory, .count = 2,
	.range = { { 0, ROM_PAGE * WALK_PAGE_BYTES, false }, { ROM_PAGE * WALK_PAGE_BYTES, WALK_PAGE_BYTES, true } },
};
static struct keel_context ctx;
static struct emulate_fault fault;

static void put64(unsigned int table, unsigned int index, uint64_t entry)
{
	memcpy(memory + TABLE(table) + 8 * index, &entry, 8);
}

static uint64_t get64(unsigned int table, unsigned int index)
{
	uint64_t entry;

	memcpy(&entry, memory + TABLE(table) + 8 * index, 8);
	return entry;
}

static void put32(unsigned int table, unsigned int index, uint32_t entry)
{
	memcpy(memory + TABLE(table) + 4 * index, &entry, 4);
}

static uint32_t get32(unsigned int table, unsigned int index)
{
	uint32_t entry;

	memcpy(&entry, memory + TABLE(table) + 4 * index, 4);
	return entry;
}

static void set_up(void)
{
	memset(memory, 0, sizeof(memory));
	memset(&ctx, 0, sizeof(ctx));
	ctx.sregs.cr0 = CR0_PE | CR0_PG | CR0_WP;
	ctx.sregs.cr3 = TABLE(1);
}

static void assert_walk(uint64_t linear, unsigned int access, uint64_t expected)
{
	uint64_t gpa = ~expected;

	ck_assert_msg(walk_translate(&ctx, &mem, linear, access, &gpa, &fault), "%llx faults with %x",
		      (unsigned long long)linear, fault.error_code);
	ck_assert_uint_eq(gpa, expected);
}

static void assert_fault(uint64_t linear, unsigned int access, uint32_t code)
{
	uint64_t gpa;

	memset(&fault, 0, sizeof(fault));
	ck_assert(!walk_translate(&ctx, &mem, linear, access, &gpa, &fault));
	ck_assert_uint_eq(fault.vector, 14);
	ck_assert(fault.has_error_code);
	ck_assert_uint_eq(fault.error_code, code);
	ck_assert_uint_eq(fault.cr2, linear);
}

START_TEST(no_paging)
{
	ctx.sregs.cr0 = CR0_PE;
	assert_walk(0xfee00123, WALK_WRITE, 0xfee00123);
}
END_TEST

START_TEST(legacy_32)
{
	uint64_t linear = (5ull << 22) | (7ull << 12) | 0x123;

	put32(1, 5, TABLE(2) | P | W | U);
	assert_fault(linear, 0, 0);
	put32(2, 7, 0xfedcb000 | P | W | U);
	assert_walk(linear, 0, 0xfedcb123);
	ck_assert_uint_eq(get32(1, 5), TABLE(2) | P | W | U | A);
	ck_assert_uint_eq(get32(2, 7), 0xfedcb000 | P | W | U | A);
	assert_walk(linear, WALK_WRITE, 0xfedcb123);
	ck_assert_uint_eq(get32(2, 7), 0xfedcb000 | P | W | U | A | D);
	ck_assert_uint_eq(get32(1, 5) & D, 0);
	ck_assert_uint_eq(get32(2, 8), 0);
}
END_TEST

START_TEST(legacy_large)
{
	put32(1, 3, 0x04c00000 | PS | P | W | (0x12 << 13));
	ctx.sregs.cr4 = CR4_PSE;
	assert_walk((3ull << 22) | 0x3abcde, WALK_WRITE, 0x1204fabcde);
	ck_assert_uint_eq(get32(1, 3) & (A | D), A | D);
	put32(1, 3, 0x04c00000 | PS | P | W | (1u << 21));
	assert_fault(3ull << 22, WALK_WRITE, PF_P | PF_R | PF_W);
	/* Without CR4.PSE bit 7 says nothing and the entry is a table outside memory: all ones, page 0xfffff000. */
	ctx.sregs.cr4 = 0;
	assert_walk((3ull << 22) | 0x45, 0, 0xfffff045);
}
END_TEST

START_TEST(pae)
{
	uint64_t linear = (3ull << 30) | (4ull << 21) | (5ull << 12) | 0xabc;

	ctx.sregs.cr4 = CR4_PAE;
	ctx.sregs.cr3 = TABLE(1) + 0x20;
	put64(1, 4 + 3, TABLE(2) | P);		/* a PDPTE has neither rights nor an accessed bit */
	put64(2, 4, TABLE(3) | P | W | U);
	put64(3, 5, 0x9876543000 | P | W | U);
	ctx.sregs.cpl = 3;
	assert_walk(linear, WALK_WRITE, 0x9876543abc);
	ck_assert_uint_eq(get64(1, 7), TABLE(2) | P);
	ck_assert_uint_eq(get64(3, 5), 0x9876543000 | P | W | U | A | D);

	put64(3, 5, 0x9876543000 | P | W | U | NX);
	assert_fault(linear, 0, PF_P | PF_U | PF_R);
	ctx.sregs.efer = EFER_NXE;
	assert_walk(linear, 0, 0x9876543abc);
	assert_fault(linear, WALK_FETCH, PF_P | PF_U | PF_I);
	put64(3, 5, 0x9876543000 | P | W | U | 1ull << 52);
	assert_fault(linear, 0, PF_P | PF_U | PF_R);

	put64(2, 4, 0x80200000 | P | PS);
	ctx.sregs.cpl = 0;
	assert_walk(linear, 0, 0x80205abc);
	put64(2, 4, 0x80200000 | P | PS | 1ull << 13);
	assert_fault(linear, 0, PF_P | PF_R);
}
END_TEST

static uint64_t linear_of(unsigned int l5, unsigned int l4, unsigned int l3, unsigned int l2, unsigned int l1)
{
	return (uint64_t)l5 << 48 | (uint64_t)l4 << 39 | (uint64_t)l3 << 30 | (uint64_t)l2 << 21 | (uint64_t)l1 << 12;
}

static void long_mode(uint64_t rights)
{
	ctx.sregs.efer = EFER_LMA | EFER_NXE;
	ctx.sregs.cr4 |= CR4_PAE;
	put64(1, 256, TABLE(2) | P | W | U);
	put64(2, 1, TABLE(3) | P | W | U);
	put64(3, 2, TABLE(4) | P | W | U);
	put64(4, 3, 0xfee00000 | rights);
}

#define LINEAR	(0xffff000000000000ull | linear_of(0, 256, 1, 2, 3) | 0xf0)

START_TEST(long_4_levels)
{
	long_mode(P | W);
	ctx.sregs.cr3 |= 0xfff;			/* a PCID is no address */
	assert_walk(LINEAR, 0, 0xfee000f0);
	for (unsigned int table = 1; table <= 4; table++)
		ck_assert_uint_eq(get64(table, table == 1 ? 256 : table - 1) & (A | D), A);
	assert_walk(LINEAR, WALK_WRITE, 0xfee000f0);
	ck_assert_uint_eq(get64(4, 3) & (A | D), A | D);
	put64(4, 3, 0xfee00000 | P | W | 1ull << 52 | 1ull << 9);	/* ignored bits */
	assert_walk(LINEAR, 0, 0xfee000f0);
}
END_TEST

START_TEST(long_large)
{
	long_mode(0);
	put64(3, 2, 0x40000000 | P | W | PS);
	assert_walk(LINEAR + 0x12345, WALK_WRITE, 0x40000000 + 0x3000 + 0xf0 + 0x12345);
	put64(3, 2, 0x40000000 | P | W | PS | 1ull << 12);		/* PAT, not address */
	assert_walk(LINEAR, 0, 0x400030f0);
	put64(3, 2, 0x40000000 | P | W | PS | 1ull << 20);
	assert_fault(LINEAR, 0, PF_P | PF_R);
	put64(2, 1, 0x1c0000000 | P | W | PS);
	assert_walk(LINEAR, 0, 0x1c0000000 + 0x403000 + 0xf0);
	put64(2, 1, 0x1c0000000 | P | W | PS | 1ull << 29);
	assert_fault(LINEAR, 0, PF_P | PF_R);
	put64(1, 256, TABLE(2) | P | W | PS);
	assert_fault(LINEAR, WALK_WRITE, PF_P | PF_R | PF_W);
}
END_TEST

START_TEST(long_5_levels)
{
	uint64_t linear = linear_of(3, 256, 1, 2, 3) | 0xf0;

	long_mode(P | W | U);
	ctx.sregs.cr4 |= CR4_LA57;
	ctx.sregs.cr3 = TABLE(5);
	assert_fault(linear, 0, 0);
	put64(5, 3, TABLE(1) | P | U);
	assert_walk(linear, 0, 0xfee000f0);
	ck_assert_uint_eq(get64(5, 3), TABLE(1) | P | U | A);
	assert_fault(linear, WALK_WRITE, PF_P | PF_W);
	ctx.sregs.cr0 &= ~CR0_WP;
	assert_walk(linear, WALK_WRITE, 0xfee000f0);
	put64(5, 3, TABLE(1) | P | W | U | PS);
	assert_fault(linear, 0, PF_P | PF_R);
}
END_TEST

/* SDM vol. 3, 4.6: what each leaf allows, with all else open. code is -1 where the access is good. */
static const struct {
	uint64_t leaf, cr4, rflags;
	bool user, wp;
	unsigned int access;
	int code;
} rights[] = {
	{ P | W | U, 0, 0, true, true, 0, -1 },
	{ P | W | U, 0, 0, true, true, WALK_WRITE, -1 },
	{ P | W | U, 0, 0, true, true, WALK_FETCH, -1 },
	{ P | W, 0, 0, true, true, 0, PF_P | PF_U },
	{ P | W, 0, 0, true, false, WALK_WRITE, PF_P | PF_U | PF_W },
	{ P | W, 0, 0, true, true, WALK_FETCH, PF_P | PF_U | PF_I },
	{ P | U, 0, 0, true, false, WALK_WRITE, PF_P | PF_U | PF_W },
	{ P | U, 0, 0, false, true, WALK_WRITE, PF_P | PF_W },
	{ P | U, 0, 0, false, false, WALK_WRITE, -1 },
	{ P, 0, 0, false, true, WALK_WRITE, PF_P | PF_W },
	{ P, 0, 0, false, true, 0, -1 },
	{ P | U | NX, 0, 0, true, true, WALK_FETCH, PF_P | PF_U | PF_I },
	{ P | NX, 0, 0, false, true, WALK_FETCH, PF_P | PF_I },
	{ P | W | U | NX, 0, 0, true, true, WALK_WRITE, -1 },
	{ P | U, CR4_SMEP, 0, false, true, WALK_FETCH, PF_P | PF_I },
	{ P | U, CR4_SMEP, 0, true, true, WALK_FETCH, -1 },
	{ P, CR4_SMEP, 0, false, true, WALK_FETCH, -1 },
	{ P | U, CR4_SMEP, 0, false, true, 0, -1 },
	{ P | W | U, CR4_SMAP, 0, false, true, 0, PF_P },
	{ P | W | U, CR4_SMAP, 0, false, true, WALK_WRITE, PF_P | PF_W },
	{ P | W | U, CR4_SMAP, RFLAGS_AC, false, true, WALK_WRITE, -1 },
	{ P | W | U, CR4_SMAP, 0, true, true, WALK_WRITE, -1 },
	{ P | W, CR4_SMAP, 0, false, true, WALK_WRITE, -1 },
	{ P | U, CR4_SMAP, 0, false, true, WALK_FETCH, -1 },
	{ 0, CR4_SMAP, 0, true, true, WALK_FETCH, PF_U | PF_I },
};

START_TEST(rights_of_the_leaf)
{
	long_mode(rights[_i].leaf);
	ctx.sregs.cr4 |= rights[_i].cr4;
	ctx.regs.rflags = rights[_i].rflags;
	ctx.sregs.cpl = rights[_i].user ? 3 : 0;
	if (!rights[_i].wp)
		ctx.sregs.cr0 &= ~CR0_WP;
	if (rights[_i].code < 0) {
		assert_walk(LINEAR, rights[_i].access, 0xfee000f0);
		return;
	}
	assert_fault(LINEAR, rights[_i].access, rights[_i].code);
	ck_assert_uint_eq(get64(4, 3), 0xfee00000 | rights[_i].leaf);	/* a refused access leaves no mark */
}
END_TEST

START_TEST(upper_levels_restrict)
{
	long_mode(P | W | U);
	ctx.sregs.cpl = 3;
	put64(2, 1, TABLE(3) | P | U);
	assert_fault(LINEAR, WALK_WRITE, PF_P | PF_U | PF_W);
	put64(2, 1, TABLE(3) | P | W);
	assert_fault(LINEAR, 0, PF_P | PF_U);
	put64(2, 1, TABLE(3) | P | W | U | NX);
	assert_fault(LINEAR, WALK_FETCH, PF_P | PF_U | PF_I);
	assert_walk(LINEAR, WALK_WRITE, 0xfee000f0);
	/* A supervisor-only level makes it a supervisor page: SMAP has nothing to say. */
	ctx.sregs.cpl = 0;
	ctx.sregs.cr4 |= CR4_SMAP;
	assert_fault(LINEAR, 0, PF_P);
	put64(1, 256, TABLE(2) | P | W);
	assert_walk(LINEAR, 0, 0xfee000f0);
}
END_TEST

START_TEST(tables_in_rom_and_nowhere)
{
	long_mode(0);
	put64(3, 2, TABLE(ROM_PAGE) | P | W);
	put64(ROM_PAGE, 3, 0xfee00000 | P | W);
	assert_walk(LINEAR, WALK_WRITE, 0xfee000f0);
	ck_assert_uint_eq(get64(ROM_PAGE, 3), 0xfee00000 | P | W);
	put64(3, 2, TABLE(PAGES + 100) | P | W);
	assert_walk(LINEAR, WALK_WRITE, 0x000ffffffffff0f0);	/* all ones: a page at the top that no fetch may use */
	assert_fault(LINEAR, WALK_FETCH, PF_P | PF_I);
}
END_TEST

/*
 * A walk that is found again comes to what a walk that is made comes to, and leaves the tables alike, whatever guest or vCPU have
 * changed in between.
 */
#define STEPS	30000u

/* Of the entries on the way to LINEAR, in TABLE(1) to TABLE(4). */
static const unsigned int known_index[] = { 256, 1, 2, 3 };

static void change(unsigned int what)
{
	static const uint64_t bits[] = { P, W, U, A, D, PS, NX, 1ull << 13, 1ull << 9 };
	static const uint64_t addresses[] = { TABLE(2), TABLE(3), TABLE(4), 0x200000 };
	unsigned int level = what / 16 % 4;

	switch (what % 16) {
	case 0:
		ctx.sregs.cpl ^= 3;
		break;
	case 1:
		ctx.sregs.cr4 ^= CR4_SMEP;
		break;
	case 2:
		ctx.sregs.efer ^= EFER_NXE;
		break;
	case 3:
		ctx.sregs.cr3 ^= TABLE(1) ^ TABLE(5);
		break;
	case 4:
		ctx.sregs.cr0 ^= CR0_PG;
		ctx.sregs.efer ^= EFER_LMA;
		break;
	case 5 ... 8:
		put64(1 + level, known_index[level], addresses[level] | P | W | U | (level == 3 ? 0 : A));
		break;
	case 9:
	case 10:
		put64(1 + level, known_index[level], get64(1 + level, known_index[level]) ^ bits[what / 64 % ARRAY_SIZE(bits)]);
		break;
	}
}

START_TEST(walks_known)
{
	static struct walk_known known;
	static uint8_t before[sizeof(memory)], after[sizeof(memory)];
	unsigned int good = 0, again = 0;

	srand(1);
	memset(&known, 0, sizeof(known));
	long_mode(P | W | U);
	memcpy(memory + TABLE(5), memory + TABLE(1), WALK_PAGE_BYTES);
	for (unsigned int i = 0; i < STEPS; i++) {
		uint64_t linear = LINEAR + (uint64_t)rand() % 3 * 0x345, gpa = 1, made = 1;
		struct emulate_fault by_known = { 0 }, by_walk = { 0 };
		bool found, walked;

		change((unsigned int)rand());
		memcpy(before, memory, sizeof(memory));
		found = walk_fetch(&known, &ctx, &mem, linear, &gpa, &by_known);
		memcpy(after, memory, sizeof(memory));
		memcpy(memory, before, sizeof(memory));
		walked = walk_translate(&ctx, &mem, linear, WALK_FETCH, &made, &by_walk);
		ck_assert_mem_eq(memory, after, sizeof(memory));
		ck_assert_int_eq(found, walked);
		if (walked)
			ck_assert_uint_eq(gpa, made);
		else
			ck_assert_uint_eq(by_known.error_code, by_walk.error_code);
		good += walked;
		again += walked && !memcmp(before, memory, sizeof(memory));
	}
	ck_assert_uint_gt(again, STEPS / 8);
	ck_assert_uint_lt(good, STEPS - STEPS / 8);
}
END_TEST

SUITE("walk", tests)
{
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, no_paging);
	tcase_add_test(tests, legacy_32);
	tcase_add_test(tests, legacy_large);
	tcase_add_test(tests, pae);
	tcase_add_test(tests, long_4_levels);
	tcase_add_test(tests, long_large);
	tcase_add_test(tests, long_5_levels);
	tcase_add_loop_test(tests, rights_of_the_leaf, 0, ARRAY_SIZE(rights));
	tcase_add_test(tests, upper_levels_restrict);
	tcase_add_test(tests, tables_in_rom_and_nowhere);
	tcase_add_test(tests, walks_known);
}
