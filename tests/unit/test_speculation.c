/* SPDX-License-Identifier: GPL-2.0 */
/* What is dropped between domains, on processors that know of it and on others. */
#include <check.h>
#include <stdbool.h>

#include <keel/macros.h>

#include "cpu.h"
#include "suite.h"

#define MAX_WRITES	4u

static struct processor {
	uint32_t leaves, edx7, extended, ebx8;
	uint64_t capabilities;
	bool may_read;
} processor;

static uint32_t written[MAX_WRITES];
static unsigned int writes;

static struct cpuid processor_cpuid(uint32_t leaf)
{
	switch (leaf) {
	case 0:
		return (struct cpuid){ processor.leaves, 0, 0, 0 };
	case 7:
		ck_assert_uint_ge(processor.leaves, 7);
		return (struct cpuid){ 0, 0, 0, processor.edx7 };
	case 0x80000000u:
		return (struct cpuid){ processor.extended, 0, 0, 0 };
	case 0x80000008u:
		ck_assert_uint_ge(processor.extended, 0x80000008u);
		return (struct cpuid){ 0, processor.ebx8, 0, 0 };
	default:
		ck_abort_msg("leaf %x", leaf);
	}
}

static uint64_t processor_rdmsr(uint32_t msr)
{
	ck_assert(processor.may_read);
	ck_assert_uint_eq(msr, 0x10a);
	return processor.capabilities;
}

static void processor_wrmsr(uint32_t msr, uint64_t value)
{
	ck_assert_uint_eq(value, 1);
	ck_assert_uint_lt(writes, MAX_WRITES);
	written[writes++] = msr;
}

#define cpuid(leaf, subleaf) processor_cpuid(leaf)
#define rdmsr(msr) processor_rdmsr(msr)
#define wrmsr(msr, value) processor_wrmsr(msr, value)
#include "../../arch/x86/speculation.c"

static const struct {
	struct processor processor;
	bool predictors, first_cache, buffers;
} cases[] = {
	/* Those that have heard of nothing, and one whose leaves end early. */
	{ { 0xd, 0, 0x8000001f, 0, 0, false }, false, false, false },
	{ { 4, ~0u, 0x80000004, ~0u, 0, false }, false, false, false },
	/* AMD. */
	{ { 0x10, 0, 0x80000021, 1u << 12, 0, false }, true, false, false },
	/* Intel before and after its mends: the flush is asked for where the first cache is not safe. */
	{ { 0x16, 1u << 26 | 1u << 28 | 1u << 10, 0x80000008, 0, 0, false }, true, true, true },
	{ { 0x16, 1u << 26 | 1u << 28 | 1u << 29, 0x80000008, 0, 0, true }, true, true, false },
	{ { 0x16, 1u << 26 | 1u << 28 | 1u << 29, 0x80000008, 0, 1, true }, true, false, false },
	{ { 0x16, 1u << 26 | 1u << 28 | 1u << 29 | 1u << 10, 0x80000008, 0, 8, true }, true, false, true },
	{ { 0x16, 1u << 28 | 1u << 29, 0x80000008, 0, 6, true }, false, true, false },
};

START_TEST(between_domains)
{
	processor = cases[_i].processor;
	speculation_init();
	ck_assert_int_eq(speculation.predictors, cases[_i].predictors);
	ck_assert_int_eq(speculation.first_cache, cases[_i].first_cache);
	ck_assert_int_eq(speculation.buffers, cases[_i].buffers);
	/* VERW with this selector is harmless here, too. */
	speculation_before_guest();
	ck_assert_uint_eq(writes, cases[_i].first_cache);
	ck_assert(!writes || written[0] == 0x10b);
	writes = 0;
	speculation_after_guest();
	ck_assert_uint_eq(writes, cases[_i].predictors);
	ck_assert(!writes || written[0] == 0x49);
}
END_TEST

SUITE("speculation", tests)
{
	tcase_add_loop_test(tests, between_domains, 0, ARRAY_SIZE(cases));
}
