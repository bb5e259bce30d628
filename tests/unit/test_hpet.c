/* SPDX-License-Identifier: GPL-2.0 */
/* HPET: counter, comparators, routing, legacy replacement, against the IA-PC HPET Specification 1.0a. */
#include <check.h>
#include <string.h>

#include "chip/hpet.h"
#include "core/time.h"
#include "roundtrip.h"
#include "suite.h"

#define CAPABILITIES 0x000u
#define GENERAL 0x010u
#define STATUS 0x020u
#define COUNTER 0x0f0u
#define CONFIG(n) (0x100u + 0x20u * (n))
#define COMPARATOR(n) (0x108u + 0x20u * (n))
#define FSB(n) (0x110u + 0x20u * (n))

#define LEVEL 0x002u
#define ENABLE 0x004u
#define PERIODIC 0x008u
#define VALUE_SET 0x040u
#define MODE_32BIT 0x100u
#define ROUTE(pin) ((uint64_t)(pin) << 9)
#define ROUTES 0x00f00004u
#define IRQ0 100u
#define IRQ8 108u

static struct hpet hpet;
static uint64_t the_time;
static unsigned int edges[128];
static bool levels[128];
static bool legacy;

static void set_pin(void *sink, unsigned int pin, bool level)
{
	ck_assert_ptr_eq(sink, levels);
	ck_assert_uint_lt(pin, 128);
	edges[pin] += level && !levels[pin];
	levels[pin] = level;
}

static void set_legacy(void *sink, unsigned int pin, bool level)
{
	(void)pin;
	*(bool *)sink = level;
}

static uint64_t read_at(unsigned int offset, unsigned int bytes, uint64_t time)
{
	the_time = time;
	return hpet_io.read(&hpet, offset, bytes) & UINT64_MAX >> (64 - 8 * bytes);
}

static void write_at(unsigned int offset, unsigned int bytes, uint64_t value, uint64_t time)
{
	the_time = time;
	hpet_io.write(&hpet, offset, bytes, value);
}

static void advance_to(uint64_t time)
{
	the_time = time;
	hpet_device.advance(&hpet);
}

static void setup(void)
{
	memset(edges, 0, sizeof(edges));
	memset(levels, 0, sizeof(levels));
	hpet = (struct hpet){
		.now = &the_time,
		.pins = { set_pin, levels, 0 },
		.route_cap = ROUTES,
		.legacy_irq0 = { set_pin, levels, IRQ0 },
		.legacy_irq8 = { set_pin, levels, IRQ8 },
		.legacy_active = { set_legacy, &legacy, 0 },
	};
	legacy = true;
	hpet_device.init(&hpet);
	ck_assert(!legacy);
}

static void write8(unsigned int offset, uint64_t value, uint64_t now)
{
	write_at(offset, 8, value, now);
}

static void write4(unsigned int offset, uint32_t value, uint64_t now)
{
	write_at(offset, 4, value, now);
}

static uint64_t read8(unsigned int offset, uint64_t now)
{
	return read_at(offset, 8, now);
}

START_TEST(identity)
{
	ck_assert_uint_eq(read8(CAPABILITIES, 0), 10000000ull << 32 | 0x8086a201);
	ck_assert_uint_eq(read_at(CAPABILITIES + 4, 4, 0), 10000000);
	ck_assert_uint_eq(read_at(CAPABILITIES + 2, 2, 0), 0x8086);
	write8(CAPABILITIES, 0, 0);
	ck_assert_uint_eq(read_at(CAPABILITIES, 4, 0), 0x8086a201);
	ck_assert_uint_eq(read8(GENERAL, 0), 0);
	for (unsigned int n = 0; n < 3; n++) {
		ck_assert_uint_eq(read8(CONFIG(n), 0), (uint64_t)ROUTES << 32 | 0x30);
		ck_assert_uint_eq(read8(COMPARATOR(n), 0), UINT64_MAX);
		write8(FSB(n), UINT64_MAX, 0);
		ck_assert_uint_eq(read8(FSB(n), 0), 0);
	}
	ck_assert_uint_eq(read8(CONFIG(3), 0), 0);
	ck_assert_uint_eq(read8(0x3f8, 0), 0);
}
END_TEST

START_TEST(main_counter)
{
	ck_assert_uint_eq(read8(COUNTER, 1000), 0);
	write8(GENERAL, 1, 1005);
	ck_assert_uint_eq(read8(COUNTER, 1014), 0);
	ck_assert_uint_eq(read8(COUNTER, 1015), 1);
	ck_assert_uint_eq(read8(COUNTER, 1005 + NSEC_PER_SEC), 100000000);
	/* Halted it keeps its value, and takes another, also by halves. */
	write8(GENERAL, 0, 1005 + 1000);
	ck_assert_uint_eq(read8(COUNTER, 999999), 100);
	write4(COUNTER, 0xfffffff0, 999999);
	write4(COUNTER + 4, 0x12, 999999);
	ck_assert_uint_eq(read8(COUNTER, 999999), 0x12fffffff0);
	write8(GENERAL, 1, 1000000);
	ck_assert_uint_eq(read_at(COUNTER + 4, 4, 1000000 + 160), 0x13);
	ck_assert_uint_eq(read_at(COUNTER, 4, 1000000 + 160), 0);
}
END_TEST

START_TEST(one_shot)
{
	write8(CONFIG(0), ROUTE(20) | ENABLE, 0);
	write8(COMPARATOR(0), 100, 0);
	ck_assert_uint_eq(hpet_device.deadline(&hpet), TIME_NEVER);
	write8(GENERAL, 1, 500);
	ck_assert_uint_eq(hpet_device.deadline(&hpet), 1500);
	advance_to(1499);
	ck_assert_uint_eq(edges[20], 0);
	advance_to(1500);
	ck_assert_uint_eq(edges[20], 1);
	ck_assert(!levels[20]);
	ck_assert_uint_eq(read8(STATUS, 1500), 0);
	ck_assert_uint_eq(hpet_device.deadline(&hpet), TIME_NEVER);
	/* A value that has gone by does not match. */
	write8(COMPARATOR(0), 50, 2000);
	ck_assert_uint_eq(hpet_device.deadline(&hpet), TIME_NEVER);
	/* Without its enable bit there is no interrupt, and no need for time. */
	write8(CONFIG(0), ROUTE(20), 2000);
	write8(COMPARATOR(0), 300, 2000);
	ck_assert_uint_eq(hpet_device.deadline(&hpet), TIME_NEVER);
	advance_to(10000);
	ck_assert_uint_eq(edges[20], 1);
}
END_TEST

START_TEST(one_shot_32bit_matches_at_each_wrap)
{
	const uint64_t wrap = 10ull << 32;

	write8(GENERAL, 1, 0);
	write8(CONFIG(1), ROUTE(21) | ENABLE | MODE_32BIT, 0);
	write4(COMPARATOR(1), 100, 2000);
	ck_assert_uint_eq(read8(COMPARATOR(1), 2000), 100);
	ck_assert_uint_eq(hpet_device.deadline(&hpet), wrap + 1000);
	advance_to(wrap + 1000);
	ck_assert_uint_eq(edges[21], 1);
	ck_assert_uint_eq(hpet_device.deadline(&hpet), 2 * wrap + 1000);
	advance_to(9 * wrap);
	ck_assert_uint_eq(edges[21], 2);
	ck_assert_uint_eq(hpet_device.deadline(&hpet), 9 * wrap + 1000);
	/* The high half is not there. */
	write4(COMPARATOR(1) + 4, 7, 9 * wrap);
	ck_assert_uint_eq(read8(COMPARATOR(1), 9 * wrap), 100);
}
END_TEST

/* As Linux programs it: VALUE_SET, first match, then the period. */
START_TEST(periodic)
{
	write8(GENERAL, 3, 0);
	write4(CONFIG(0), ENABLE | PERIODIC | VALUE_SET | MODE_32BIT, 0);
	write4(COMPARATOR(0), 1000000, 0);
	ck_assert_uint_eq(read_at(CONFIG(0), 4, 0) & VALUE_SET, 0);
	write4(COMPARATOR(0), 400000, 1000);
	ck_assert_uint_eq(hpet_device.deadline(&hpet), 10000000);
	advance_to(10000000);
	ck_assert_uint_eq(edges[IRQ0], 1);
	ck_assert_uint_eq(hpet_device.deadline(&hpet), 14000000);
	ck_assert_uint_eq(read_at(COMPARATOR(0), 4, 10000000), 1400000);
	/* Missed periods give one interrupt, and the phase stays. */
	advance_to(31000000);
	ck_assert_uint_eq(edges[IRQ0], 2);
	ck_assert_uint_eq(hpet_device.deadline(&hpet), 34000000);
	/* Over the wrap of 32 bits. */
	advance_to((10ull << 32) - 1);
	ck_assert_uint_eq(edges[IRQ0], 3);
	ck_assert_uint_gt(hpet_device.deadline(&hpet), 10ull << 32);
	ck_assert_uint_le(hpet_device.deadline(&hpet), (10ull << 32) + 4000000);
	ck_assert_uint_eq(hpet_device.deadline(&hpet) % 4000000, 2000000);
}
END_TEST

START_TEST(periodic_64bit_in_halves)
{
	write8(GENERAL, 1, 0);
	write8(CONFIG(2), ROUTE(2) | ENABLE | PERIODIC | VALUE_SET, 0);
	write4(COMPARATOR(2), 5, 0);
	write4(COMPARATOR(2) + 4, 1, 0);
	ck_assert_uint_eq(read8(COMPARATOR(2), 0), 0x100000005);
	write4(COMPARATOR(2), 3, 0);
	write4(COMPARATOR(2) + 4, 0, 0);
	ck_assert_uint_eq(read8(COMPARATOR(2), 0), 0x100000005);
	ck_assert_uint_eq(hpet.s.period[2], 3);
	/* One write of 64 bits does both, too. */
	write8(CONFIG(2), ROUTE(2) | ENABLE | PERIODIC | VALUE_SET, 0);
	write8(COMPARATOR(2), 50000, 0);
	advance_to(500000);
	advance_to(1000000);
	ck_assert_uint_eq(edges[2], 2);
	ck_assert_uint_eq(hpet_device.deadline(&hpet), 1500000);
}
END_TEST

START_TEST(period_of_zero_and_of_one)
{
	uint64_t now = 0;
	unsigned int steps = 0;

	write8(GENERAL, 1, 0);
	write8(CONFIG(0), ROUTE(20) | ENABLE | PERIODIC | VALUE_SET, 0);
	write8(COMPARATOR(0), 0, 0);
	advance_to(0);
	ck_assert_uint_eq(edges[20], 1);
	ck_assert_uint_eq(hpet_device.deadline(&hpet), TIME_NEVER);
	write8(CONFIG(0), ROUTE(20) | ENABLE | PERIODIC | VALUE_SET, 0);
	write8(COMPARATOR(0), 1, 0);
	while (now < 1000000) {
		ck_assert_uint_gt(hpet_device.deadline(&hpet), now);
		now = hpet_device.deadline(&hpet);
		advance_to(now);
		steps++;
	}
	ck_assert_uint_lt(steps, 60);
	ck_assert_uint_eq(edges[20], steps + 1);
}
END_TEST

START_TEST(level_triggered)
{
	write8(GENERAL, 1, 0);
	write8(CONFIG(0), ROUTE(22) | ENABLE | LEVEL, 0);
	write8(CONFIG(1), ROUTE(22) | ENABLE | LEVEL, 0);
	write8(COMPARATOR(0), 10, 0);
	write8(COMPARATOR(1), 20, 0);
	advance_to(100);
	ck_assert(levels[22]);
	ck_assert_uint_eq(read8(STATUS, 100), 1);
	advance_to(200);
	ck_assert_uint_eq(read8(STATUS, 200), 3);
	write8(STATUS, 1, 200);
	ck_assert(levels[22]);
	write4(STATUS, 2, 200);
	ck_assert(!levels[22]);
	ck_assert_uint_eq(edges[22], 1);
	/* The line follows the route and the enable bits. */
	write8(COMPARATOR(0), 30, 200);
	advance_to(300);
	ck_assert(levels[22]);
	write8(CONFIG(0), ROUTE(23) | ENABLE | LEVEL, 300);
	ck_assert(!levels[22] && levels[23]);
	write8(CONFIG(0), ROUTE(23) | LEVEL, 300);
	ck_assert(!levels[23]);
	write8(CONFIG(0), ROUTE(23) | LEVEL | ENABLE, 300);
	ck_assert(levels[23]);
	write8(GENERAL, 0, 300);
	ck_assert(!levels[23]);
	write8(CONFIG(0), ROUTE(23) | ENABLE, 300);
	ck_assert_uint_eq(read8(STATUS, 300), 0);
}
END_TEST

START_TEST(routes_that_are_not_there)
{
	write8(CONFIG(0), ROUTE(20) | ENABLE, 0);
	write8(CONFIG(0), ROUTE(5) | ENABLE, 0);
	ck_assert_uint_eq(read8(CONFIG(0), 0) & 0x3e00, ROUTE(20));
	write8(CONFIG(1), ROUTE(31) | ENABLE | LEVEL, 0);
	ck_assert_uint_eq(read8(CONFIG(1), 0) & 0x3e00, 0);
	write8(GENERAL, 1, 0);
	write8(COMPARATOR(1), 1, 0);
	advance_to(10);
	ck_assert_uint_eq(edges[0], 0);
	ck_assert_uint_eq(read8(STATUS, 10), 2);
}
END_TEST

START_TEST(legacy_replacement)
{
	write8(CONFIG(0), ROUTE(20) | ENABLE, 0);
	write8(CONFIG(1), ROUTE(21) | ENABLE, 0);
	write8(CONFIG(2), ROUTE(22) | ENABLE, 0);
	write8(COMPARATOR(0), 10, 0);
	write8(COMPARATOR(1), 10, 0);
	write8(COMPARATOR(2), 10, 0);
	write8(GENERAL, 2, 0);
	ck_assert(!legacy);
	write8(GENERAL, 3, 0);
	ck_assert(legacy);
	ck_assert(hpet_legacy_active(&hpet));
	advance_to(100);
	ck_assert_uint_eq(edges[IRQ0], 1);
	ck_assert_uint_eq(edges[IRQ8], 1);
	ck_assert_uint_eq(edges[20] + edges[21], 0);
	ck_assert_uint_eq(edges[22], 1);
	write8(GENERAL, 1, 100);
	ck_assert(!legacy);
}
END_TEST

START_TEST(odd_accesses)
{
	write8(CONFIG(0), ROUTE(20), 0);
	write_at(GENERAL, 1, 1, 0);
	write_at(GENERAL, 2, 1, 0);
	write_at(GENERAL + 2, 4, 0xffffffff, 0);
	write_at(GENERAL + 4, 8, UINT64_MAX, 0);
	ck_assert_uint_eq(read8(GENERAL, 0), 0);
	ck_assert_uint_eq(read_at(CONFIG(0) + 1, 1, 0), 20 << 1);
	ck_assert_uint_eq(read_at(0xfffffff8, 8, 0), 0);
}
END_TEST

START_TEST(save_load_save)
{
	struct hpet copy = { .now = &the_time, .route_cap = ROUTES };
	uint64_t count;

	write8(GENERAL, 3, 70);
	write8(CONFIG(0), ENABLE | PERIODIC | VALUE_SET, 100);
	write4(COMPARATOR(0), 100000, 100);
	write8(CONFIG(1), ROUTE(20) | ENABLE | LEVEL, 100);
	write8(COMPARATOR(1), 30, 100);
	advance_to(400);
	roundtrip(&hpet_state_table, 0, &hpet.s, &copy.s);
	ck_assert_uint_eq(hpet_device.deadline(&copy), hpet_device.deadline(&hpet));
	count = read8(COUNTER, 5000);
	ck_assert_uint_eq(hpet_io.read(&copy, COUNTER, 8), count);
	ck_assert_uint_eq(hpet_io.read(&copy, STATUS, 8), 2);
	ck_assert(hpet_legacy_active(&copy));
	ck_assert_uint_eq(copy.s.high_follows[0], 1);
}
END_TEST

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

START_TEST(random_accesses)
{
	uint64_t seed = 0x68706574, now = 0;
	static const unsigned int sizes[] = { 1, 2, 4, 8, 4, 8, 4, 8 };

	for (unsigned int step = 0; step < 100000; step++) {
		uint64_t value = next_random(&seed) >> next_random(&seed) % 64;
		unsigned int offset = next_random(&seed) % 0x180;
		unsigned int bytes = sizes[next_random(&seed) % 8];
		bool ok;

		if (step % 4)
			offset &= ~(bytes - 1);
		if (offset == GENERAL && value % 4)
			value |= 1;
		read_at(offset ^ 8, bytes, now);
		write_at(offset, bytes, value, now);
		now += next_random(&seed) >> next_random(&seed) % 64 >> 24;
		advance_to(now);
		ok = hpet_device.deadline(&hpet) > now && legacy == hpet_legacy_active(&hpet);
		for (unsigned int pin = 0; pin < 32; pin++)
			ok &= levels[pin] == (hpet.s.asserted >> pin & 1);
		ck_assert(ok);
	}
}
END_TEST

SUITE("hpet", tcase)
{
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, identity);
	tcase_add_test(tcase, main_counter);
	tcase_add_test(tcase, one_shot);
	tcase_add_test(tcase, one_shot_32bit_matches_at_each_wrap);
	tcase_add_test(tcase, periodic);
	tcase_add_test(tcase, periodic_64bit_in_halves);
	tcase_add_test(tcase, period_of_zero_and_of_one);
	tcase_add_test(tcase, level_triggered);
	tcase_add_test(tcase, routes_that_are_not_there);
	tcase_add_test(tcase, legacy_replacement);
	tcase_add_test(tcase, odd_accesses);
	tcase_add_test(tcase, save_load_save);
	tcase_add_test(tcase, random_accesses);
}
