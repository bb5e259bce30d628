/* SPDX-License-Identifier: GPL-2.0 */
/* The paravirtual clock: what guests compute from it, when it is written, and what they can name as its place. */
#include <check.h>
#include <string.h>

#include <keel/cell.h>
#include <keel/macros.h>

#include "chip/kvmclock.h"
#include "core/clock.h"
#include "roundtrip.h"
#include "suite.h"

#define BYTES		0x2000u
#define CPUS		3u
#define START_TSC	777000000000ull
#define START_NS	1700000000123456789ll
#define PLACE(i)	(0x100u + 0x40u * (i))
#define STABLE		1u

static uint8_t memory[2 * BYTES];
/* Memory, and behind it what the guest can read only. */
static const struct gmem mem = { .base = memory, .count = 2, .range = { { 0, BYTES, false }, { BYTES, BYTES, true } } };
static struct kvmclock clock_;

static uint64_t read_bytes(unsigned int place, unsigned int bytes)
{
	uint64_t value = 0;

	memcpy(&value, memory + place, bytes);
	return value;
}

static uint32_t version(unsigned int i)
{
	return (uint32_t)read_bytes(PLACE(i), 4);
}

static unsigned int flags(unsigned int i)
{
	return memory[PLACE(i) + 29];
}

/* As Linux computes it (arch/x86/include/asm/pvclock.h): nanoseconds at a TSC of the guest's. */
static uint64_t guest_ns(unsigned int i, uint64_t guest_tsc)
{
	uint64_t delta = guest_tsc - read_bytes(PLACE(i) + 8, 8);
	int8_t shift = (int8_t)memory[PLACE(i) + 28];

	delta = shift < 0 ? delta >> -shift : delta << shift;
	return read_bytes(PLACE(i) + 16, 8) +
	       (uint64_t)((unsigned __int128)delta * (uint32_t)read_bytes(PLACE(i) + 24, 4) >> 32);
}

static void make(uint64_t khz)
{
	memset(memory, 0xa5, sizeof(memory));
	clock_ = (struct kvmclock){ .mem = &mem, .count = CPUS, .start_tsc = START_TSC, .start_ns = START_NS };
	kvmclock_init(&clock_, khz);
}

static void setup(void)
{
	make(2400000);
	for (unsigned int i = 0; i < CPUS; i++)
		ck_assert(kvmclock_begin(&clock_, i, 0 - START_TSC));
}

static bool name(unsigned int i)
{
	return kvmclock_write_msr(&clock_, i, KEEL_MSR_SYSTEM_TIME, PLACE(i) | 1);
}

START_TEST(time_is_right)
{
	static const uint64_t rates[] = {
		CLOCK_KHZ_LEAST, 499999, 500000, 999999, 1000000, 1000001, 1999999, 2000000, 2399998, 2592003, 3700123,
		CLOCK_KHZ_MOST,
	};
	const uint64_t hours = 1000ull * 3600 * 1000000000;

	for (unsigned int n = 0; n < ARRAY_SIZE(rates); n++) {
		make(rates[n]);
		kvmclock_begin(&clock_, 0, 12345 - START_TSC);
		ck_assert(name(0));
		ck_assert_uint_ge(clock_.multiplier, 1u << 31);
		ck_assert_uint_eq(guest_ns(0, 12345), 0);
		for (uint64_t ns = 1000; ns < hours; ns = ns * 3 + 1) {
			uint64_t ticks = (uint64_t)((unsigned __int128)ns * rates[n] / 1000000);
			uint64_t told = guest_ns(0, 12345 + ticks), error = told > ns ? told - ns : ns - told;

			/* A part in 2^31, and what is lost of the last ticks. */
			ck_assert_msg(error <= (ns >> 31) + 15, "%lu kHz: %lu ns is told as %lu", rates[n], ns, told);
		}
	}
}
END_TEST

START_TEST(written_when_named)
{
	uint64_t value = 0;

	setup();
	for (unsigned int i = 0; i < CPUS; i++) {
		ck_assert(name(i));
		ck_assert_uint_eq(version(i) & 1, 0);
		ck_assert_uint_ne(version(i), 0);
		ck_assert_uint_eq(flags(i), STABLE);
		ck_assert(kvmclock_read_msr(&clock_, i, KEEL_MSR_SYSTEM_TIME, &value) && value == (PLACE(i) | 1));
		/* 32 bytes and no more. */
		ck_assert_uint_eq(memory[PLACE(i) - 1], 0xa5);
		ck_assert_uint_eq(memory[PLACE(i) + 32], 0xa5);
	}
	/* All the same but for the version: so one vCPU's does for all. */
	ck_assert_mem_eq(memory + PLACE(0) + 4, memory + PLACE(1) + 4, 28);
	value = version(0);
	ck_assert(!kvmclock_begin(&clock_, 0, 0 - START_TSC));
	ck_assert_uint_eq(version(0), value);
	/* Switched off, it is not written any more. */
	ck_assert(kvmclock_write_msr(&clock_, 0, KEEL_MSR_SYSTEM_TIME, PLACE(0)));
	ck_assert(kvmclock_begin(&clock_, 0, 5));
	ck_assert_uint_eq(version(0), value);
}
END_TEST

/* A vCPU whose TSC is moved has the time of before, and no guest takes one vCPU's place for another's while they differ. */
START_TEST(moved_tsc)
{
	uint32_t before[CPUS];
	uint64_t ns;

	setup();
	for (unsigned int i = 0; i < CPUS; i++) {
		ck_assert(name(i));
		before[i] = version(i);
	}
	ns = guest_ns(1, 4800000);
	ck_assert(kvmclock_begin(&clock_, 1, 1000000 - START_TSC));
	ck_assert_uint_eq(guest_ns(1, 5800000), ns);
	ck_assert_uint_eq(guest_ns(0, 4800000), ns);
	for (unsigned int i = 0; i < CPUS; i++) {
		ck_assert_uint_eq(flags(i), 0);
		ck_assert_uint_eq(version(i), before[i] + 2);
	}
	ck_assert(kvmclock_begin(&clock_, 1, 0 - START_TSC));
	for (unsigned int i = 0; i < CPUS; i++)
		ck_assert_uint_eq(flags(i), STABLE);
	/* One that has not been here yet counts for nothing. */
	make(2400000);
	ck_assert(kvmclock_begin(&clock_, 2, 77) && name(2));
	ck_assert_uint_eq(flags(2), STABLE);
	ck_assert(kvmclock_begin(&clock_, 0, 78));
	ck_assert_uint_eq(flags(2), 0);
}
END_TEST

START_TEST(init_forgets_the_place)
{
	uint64_t value = 1;

	setup();
	ck_assert(name(0) && name(1));
	kvmclock_reset(&clock_, 1);
	ck_assert(kvmclock_read_msr(&clock_, 1, KEEL_MSR_SYSTEM_TIME, &value) && !value);
	memset(memory, 0, sizeof(memory));
	ck_assert(kvmclock_begin(&clock_, 1, 4711));
	ck_assert_uint_eq(version(1), 0);
	ck_assert_uint_ne(version(0), 0);
}
END_TEST

START_TEST(wall_clock)
{
	uint64_t value = 0;

	setup();
	memset(memory + 0x800, 0, 12);
	for (unsigned int round = 1; round < 4; round++) {
		ck_assert(kvmclock_write_msr(&clock_, 0, KEEL_MSR_WALL_CLOCK, 0x800));
		ck_assert_uint_eq(read_bytes(0x800, 4), 2 * round);
		ck_assert_uint_eq(read_bytes(0x804, 4), START_NS / 1000000000);
		ck_assert_uint_eq(read_bytes(0x808, 4), START_NS % 1000000000);
		ck_assert_uint_eq(memory[0x80c], 0xa5);
	}
	ck_assert(kvmclock_read_msr(&clock_, 2, KEEL_MSR_WALL_CLOCK, &value) && value == 0x800);
	/* The guest had left it odd. */
	memory[0x800] = 9;
	ck_assert(kvmclock_write_msr(&clock_, 0, KEEL_MSR_WALL_CLOCK, 0x800));
	ck_assert_uint_eq(read_bytes(0x800, 4), 10);
	/* None: nothing is written, least of all at 0. */
	memset(memory, 0xa5, 16);
	ck_assert(kvmclock_write_msr(&clock_, 0, KEEL_MSR_WALL_CLOCK, 0));
	for (unsigned int i = 0; i < 16; i++)
		ck_assert_uint_eq(memory[i], 0xa5);
	ck_assert(kvmclock_read_msr(&clock_, 2, KEEL_MSR_WALL_CLOCK, &value) && value == 0);
}
END_TEST

START_TEST(places_that_are_none)
{
	static const uint64_t places[] = {
		BYTES - 12, BYTES - 4, BYTES, BYTES + 0x100, 2 * BYTES, 1ull << 40, ~3ull, 0x102,
	};
	static uint8_t before[sizeof(memory)];

	setup();
	ck_assert(name(0));
	memcpy(before, memory, sizeof(memory));
	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++) {
		ck_assert_msg(!kvmclock_write_msr(&clock_, 0, KEEL_MSR_SYSTEM_TIME, places[i] | 1), "%lx", places[i]);
		ck_assert(i == 0 || !kvmclock_write_msr(&clock_, 0, KEEL_MSR_WALL_CLOCK, places[i]));
		ck_assert_mem_eq(memory, before, sizeof(memory));
	}
	ck_assert_uint_eq(clock_.s.system_time[0], PLACE(0) | 1);
	ck_assert_uint_eq(clock_.s.wall_clock, 0);
	/* The last places that are some. */
	ck_assert(kvmclock_write_msr(&clock_, 0, KEEL_MSR_SYSTEM_TIME, (BYTES - 32) | 1));
	ck_assert(kvmclock_write_msr(&clock_, 0, KEEL_MSR_WALL_CLOCK, BYTES - 12));
}
END_TEST

START_TEST(save_load_save)
{
	static struct kvmclock copy;

	setup();
	ck_assert(name(0) && name(2) && kvmclock_write_msr(&clock_, 0, KEEL_MSR_WALL_CLOCK, 0x800));
	memset(&copy.s, 0xa5, sizeof(copy.s));
	roundtrip(&kvmclock_state_table, 0, &clock_.s, &copy.s);
	ck_assert_mem_eq(&copy.s, &clock_.s, offsetof(struct kvmclock_state, version) + sizeof(copy.s.version));
}
END_TEST

SUITE("kvmclock", tcase)
{
	tcase_add_test(tcase, time_is_right);
	tcase_add_test(tcase, written_when_named);
	tcase_add_test(tcase, moved_tsc);
	tcase_add_test(tcase, init_forgets_the_place);
	tcase_add_test(tcase, wall_clock);
	tcase_add_test(tcase, places_that_are_none);
	tcase_add_test(tcase, save_load_save);
}
