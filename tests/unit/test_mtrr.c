/* SPDX-License-Identifier: GPL-2.0 */
/* Memory types of blocks, against a look at every page of theirs. */
#include <check.h>
#include <stdlib.h>

#include "cpu.h"
#include "suite.h"

static uint64_t processor_rdmsr(uint32_t msr);
static struct cpuid processor_cpuid(uint32_t leaf, uint32_t subleaf);

#define rdmsr(msr) processor_rdmsr(msr)
#define cpuid(leaf, subleaf) processor_cpuid(leaf, subleaf)
#include "../../arch/x86/mtrr.c"
#undef rdmsr
#undef cpuid

#define MIB	0x100000ull
#define GIB	0x40000000ull
#define PHYSICAL 0x0000007ffffff000ull	/* 39 bits */
#define MTRR_TYPE_UC 0u
#define TYPE_WC	1u
#define TYPE_WT	4u

uint8_t *memory_test_arena;

static uint32_t features;
static uint64_t msrs[0x400];

static uint64_t processor_rdmsr(uint32_t msr)
{
	ck_assert_uint_lt(msr, 0x400);
	return msrs[msr];
}

static struct cpuid processor_cpuid(uint32_t leaf, uint32_t subleaf)
{
	ck_assert_uint_eq(leaf, 1);
	ck_assert_uint_eq(subleaf, 0);
	return (struct cpuid){ .edx = features };
}

static void range(struct mtrr *m, uint64_t base, uint64_t bytes, uint8_t type)
{
	m->variable[m->count].base = base;
	m->variable[m->count].mask = PHYSICAL & ~(bytes - 1);
	m->variable[m->count++].type = type;
}

/* What one page is, by the letter of the SDM. */
static bool page_cached(const struct mtrr *m, uint64_t page)
{
	bool covered = false, cached = true;

	if (!m->enabled)
		return false;
	if (m->fixed_enabled && page < 0x80000)
		return m->fixed[page >> 16] == MTRR_TYPE_WB;
	if (m->fixed_enabled && page < 0xc0000)
		return m->fixed[8 + ((page - 0x80000) >> 14)] == MTRR_TYPE_WB;
	if (m->fixed_enabled && page < 0x100000)
		return m->fixed[24 + ((page - 0xc0000) >> 12)] == MTRR_TYPE_WB;
	for (unsigned int i = 0; i < m->count; i++) {
		if ((page & m->variable[i].mask) != (m->variable[i].base & m->variable[i].mask))
			continue;
		covered = true;
		cached &= m->variable[i].type == MTRR_TYPE_WB;
	}
	return covered ? cached : m->default_type == MTRR_TYPE_WB;
}

static enum pt_caching by_pages(const struct mtrr *m, uint64_t start, uint64_t bytes)
{
	bool first = page_cached(m, start);

	for (uint64_t page = start; page < start + bytes; page += PAGE_SIZE)
		if (page_cached(m, page) != first)
			return PT_MIXED;
	return first ? PT_CACHED : PT_NOT_CACHED;
}

START_TEST(disabled)
{
	struct mtrr m = { .default_type = MTRR_TYPE_WB };

	ck_assert_int_eq(mtrr_caching(&m, 0, GIB), PT_NOT_CACHED);
}
END_TEST

/* A server as firmware sets it up: memory to 3 GiB and from 4 GiB on, the rest for devices. */
START_TEST(server)
{
	struct mtrr m = { .enabled = true, .default_type = MTRR_TYPE_UC };

	range(&m, 0, 2 * GIB, MTRR_TYPE_WB);
	range(&m, 2 * GIB, GIB, MTRR_TYPE_WB);
	range(&m, 2 * GIB + 1016 * MIB, 8 * MIB, MTRR_TYPE_UC);
	range(&m, 4 * GIB, 4 * GIB, MTRR_TYPE_WB);
	ck_assert_int_eq(mtrr_caching(&m, 0, GIB), PT_CACHED);
	ck_assert_int_eq(mtrr_caching(&m, 2 * GIB, GIB), PT_MIXED);
	ck_assert_int_eq(mtrr_caching(&m, 2 * GIB, 512 * MIB), PT_CACHED);
	ck_assert_int_eq(mtrr_caching(&m, 2 * GIB + 1016 * MIB, 2 * MIB), PT_NOT_CACHED);
	ck_assert_int_eq(mtrr_caching(&m, 3 * GIB, GIB), PT_NOT_CACHED);
	ck_assert_int_eq(mtrr_caching(&m, 4 * GIB, GIB), PT_CACHED);
	ck_assert_int_eq(mtrr_caching(&m, 64 * GIB, GIB), PT_NOT_CACHED);
}
END_TEST

/* Two ranges side by side make one block of one type. */
START_TEST(halves)
{
	struct mtrr m = { .enabled = true, .default_type = MTRR_TYPE_UC };

	range(&m, 0, 512 * MIB, MTRR_TYPE_WB);
	range(&m, 512 * MIB, 512 * MIB, MTRR_TYPE_WB);
	ck_assert_int_eq(mtrr_caching(&m, 0, GIB), PT_CACHED);
}
END_TEST

START_TEST(first_mib)
{
	struct mtrr m = { .enabled = true, .fixed_enabled = true, .default_type = MTRR_TYPE_WB };

	for (unsigned int i = 0; i < MTRR_FIXED; i++)
		m.fixed[i] = i >= 16 && i < 24 ? MTRR_TYPE_UC : MTRR_TYPE_WB;	/* the VGA window */
	ck_assert_int_eq(mtrr_caching(&m, 0, 2 * MIB), PT_MIXED);
	ck_assert_int_eq(mtrr_caching(&m, 0x9f000, PAGE_SIZE), PT_CACHED);
	ck_assert_int_eq(mtrr_caching(&m, 0xa0000, PAGE_SIZE), PT_NOT_CACHED);
	ck_assert_int_eq(mtrr_caching(&m, 0xbf000, PAGE_SIZE), PT_NOT_CACHED);
	ck_assert_int_eq(mtrr_caching(&m, 0xc0000, PAGE_SIZE), PT_CACHED);
	ck_assert_int_eq(mtrr_caching(&m, 0xff000, PAGE_SIZE), PT_CACHED);
	m.fixed_enabled = false;
	ck_assert_int_eq(mtrr_caching(&m, 0, 2 * MIB), PT_CACHED);
}
END_TEST

START_TEST(any)
{
	static const uint8_t types[] = { MTRR_TYPE_UC, TYPE_WC, TYPE_WT, MTRR_TYPE_WB, MTRR_TYPE_WB };

	srandom(1);
	for (unsigned int round = 0; round < 300; round++) {
		struct mtrr m = { .enabled = true, .fixed_enabled = random() % 2, .default_type = types[random() % 5] };

		for (unsigned int i = 0; i < MTRR_FIXED; i++)
			m.fixed[i] = random() % 8 ? MTRR_TYPE_WB : MTRR_TYPE_UC;
		for (unsigned int i = random() % 6; i > 0; i--) {
			uint64_t bytes = PAGE_SIZE << random() % 14;

			range(&m, ((uint64_t)random() % (64 * MIB)) & ~(bytes - 1), bytes, types[random() % 5]);
		}
		for (unsigned int order = 0; order < 14; order++) {
			uint64_t bytes = PAGE_SIZE << order, start = ((uint64_t)random() % (64 * MIB)) & ~(bytes - 1);

			ck_assert_int_eq(mtrr_caching(&m, start, bytes), by_pages(&m, start, bytes));
			ck_assert_int_eq(mtrr_caching(&m, 0, bytes), by_pages(&m, 0, bytes));
		}
	}
}
END_TEST

START_TEST(registers)
{
	struct mtrr m;

	mtrr_read(&m);
	ck_assert(m.read);
	ck_assert(!m.enabled);
	features = EDX1_MTRR;
	msrs[MSR_MTRR_CAP] = 3 | CAP_FIXED;
	msrs[MSR_MTRR_DEF_TYPE] = DEFAULT_ENABLED | DEFAULT_FIXED | MTRR_TYPE_WB;
	msrs[MSR_MTRR_FIX64K_00000] = 0x0606060606060600;
	msrs[MSR_MTRR_FIX16K_A0000] = 0x0600000000000000;
	msrs[MSR_MTRR_FIX4K_C0000] = 0x0000000000000006;
	msrs[MSR_MTRR_FIX4K_F8000] = 0x0600000000000000;
	msrs[MSR_MTRR_PHYSBASE0] = 0x80000000 | TYPE_WC;
	msrs[MSR_MTRR_PHYSBASE0 + 1] = 0x7f80000000 | MASK_VALID;
	msrs[MSR_MTRR_PHYSBASE0 + 3] = 0x7f80000000;		/* not valid */
	msrs[MSR_MTRR_PHYSBASE0 + 4] = 0x40000000;
	msrs[MSR_MTRR_PHYSBASE0 + 5] = 0x7fc0000000 | MASK_VALID;
	mtrr_read(&m);
	ck_assert(m.enabled && m.fixed_enabled);
	ck_assert_uint_eq(m.default_type, MTRR_TYPE_WB);
	ck_assert_uint_eq(m.fixed[0], MTRR_TYPE_UC);
	ck_assert_uint_eq(m.fixed[1], MTRR_TYPE_WB);
	ck_assert_uint_eq(m.fixed[22], MTRR_TYPE_UC);
	ck_assert_uint_eq(m.fixed[23], MTRR_TYPE_WB);
	ck_assert_uint_eq(m.fixed[24], MTRR_TYPE_WB);
	ck_assert_uint_eq(m.fixed[25], MTRR_TYPE_UC);
	ck_assert_uint_eq(m.fixed[87], MTRR_TYPE_WB);
	ck_assert_uint_eq(m.count, 2);
	ck_assert_uint_eq(m.variable[0].type, TYPE_WC);
	ck_assert_uint_eq(m.variable[1].base, 0x40000000);
	ck_assert_int_eq(mtrr_caching(&m, GIB, GIB), PT_NOT_CACHED);
}
END_TEST

SUITE("mtrr", tests)
{
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, disabled);
	tcase_add_test(tests, server);
	tcase_add_test(tests, halves);
	tcase_add_test(tests, first_mib);
	tcase_add_test(tests, any);
	tcase_add_test(tests, registers);
}
