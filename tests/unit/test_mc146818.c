/* SPDX-License-Identifier: GPL-2.0 */
/* mc146818: calendar, formats, setting the time, update cycle, alarm and periodic interrupts. */
#include <check.h>
#include <string.h>
#include <time.h>

#include <keel/macros.h>

#include "chip/mc146818.h"
#include "roundtrip.h"
#include "suite.h"

enum { SEC, SEC_ALARM, MIN, MIN_ALARM, HOUR, HOUR_ALARM, WDAY, DAY, MONTH, YEAR, A, B, C, D, CENTURY = 0x32 };

#define S NSEC_PER_SEC
#define SET 0x80
#define PIE 0x40
#define AIE 0x20
#define UIE 0x10

static struct mc146818 chip;
static uint64_t the_time;
static bool irq;
static unsigned int edges;

static void irq_set(void *sink, unsigned int pin, bool level)
{
	ck_assert_ptr_eq(sink, &chip);
	ck_assert_uint_eq(pin, 0);
	edges += level && !irq;
	irq = level;
}

static void setup(void)
{
	memset(&chip, 0xee, sizeof(chip));
	chip.now = &the_time;
	chip.irq = (struct line){ irq_set, &chip, 0 };
	irq = false;
	edges = 0;
	mc146818_device.init(&chip);
}

static uint8_t read_at(struct mc146818 *c, unsigned int offset, uint64_t time)
{
	the_time = time;
	return (uint8_t)mc146818_io.read(c, offset, 1);
}

static void write_at(struct mc146818 *c, unsigned int offset, uint8_t value, uint64_t time)
{
	the_time = time;
	mc146818_io.write(c, offset, 1, value);
}

static void advance_to(struct mc146818 *c, uint64_t time)
{
	the_time = time;
	mc146818_device.advance(c);
}

static uint8_t rd(uint8_t index, uint64_t now)
{
	write_at(&chip, 0, index, now);
	return read_at(&chip, 1, now);
}

static void wr(uint8_t index, uint8_t value, uint64_t now)
{
	write_at(&chip, 0, index, now);
	write_at(&chip, 1, value, now);
}

static void set_time(int year, int month, int day, int hour, int minute, int second)
{
	struct tm tm = {
		.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day,
		.tm_hour = hour, .tm_min = minute, .tm_sec = second,
	};

	mc146818_set_wall(&chip, (int64_t)timegm(&tm) * (int64_t)S);
}

static unsigned int bcd(unsigned int value)
{
	return value / 10 << 4 | value % 10;
}

static void assert_time(time_t wall, uint64_t now)
{
	struct tm tm;

	gmtime_r(&wall, &tm);
	ck_assert_uint_eq(rd(SEC, now), bcd((unsigned int)tm.tm_sec));
	ck_assert_uint_eq(rd(MIN, now), bcd((unsigned int)tm.tm_min));
	ck_assert_uint_eq(rd(HOUR, now), bcd((unsigned int)tm.tm_hour));
	ck_assert_uint_eq(rd(WDAY, now), (unsigned int)tm.tm_wday + 1);
	ck_assert_uint_eq(rd(DAY, now), bcd((unsigned int)tm.tm_mday));
	ck_assert_uint_eq(rd(MONTH, now), bcd((unsigned int)tm.tm_mon + 1));
	ck_assert_uint_eq(rd(YEAR, now), bcd((unsigned int)tm.tm_year % 100));
	ck_assert_uint_eq(rd(CENTURY, now), bcd((unsigned int)(tm.tm_year + 1900) / 100));
}

/* Reads the whole date as one number, YYYYMMDDhhmmss in BCD. */
static uint64_t stamp(uint64_t now)
{
	static const uint8_t order[] = { CENTURY, YEAR, MONTH, DAY, HOUR, MIN, SEC };
	uint64_t value = 0;

	for (unsigned int i = 0; i < sizeof(order); i++)
		value = value << 8 | rd(order[i], now);
	return value;
}

/* Runs to each deadline as a punctual machine and guest do. Returns the number of interrupts. */
static unsigned int run(uint64_t until)
{
	unsigned int interrupts = 0;
	uint64_t deadline;

	while ((deadline = mc146818_device.deadline(&chip)) <= until) {
		advance_to(&chip, deadline);
		if (!irq || interrupts++ == 100000)
			ck_abort_msg("deadline without an interrupt, or without an end");
		rd(C, deadline);
	}
	return interrupts;
}

START_TEST(power_on)
{
	ck_assert_uint_eq(rd(A, 0), 0x26);
	ck_assert_uint_eq(rd(B, 0), 0x02);
	ck_assert_uint_eq(rd(C, 0), 0x00);
	ck_assert_uint_eq(rd(D, 0), 0x80);
	ck_assert_uint_eq(read_at(&chip, 0, 0), 0xff);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), TIME_NEVER);
	assert_time(0, 0);
	assert_time(3, 3 * S);
}
END_TEST

START_TEST(calendar)
{
	static const int64_t starts[] = {
		0, 951782399, 951868799, 978307199, 1709164799, 1709251199, 1735689599, 4107542399, 1798761599,
		4102444799, 1614556799,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(starts); i++) {
		static const uint64_t steps[] = { 0, 1, 2, 60, 3600, 86399, 86400, 86401, 86400 * 31, 86400 * 366,
						  86400ull * 365 * 60 };

		for (unsigned int k = 0; k < ARRAY_SIZE(steps); k++) {
			mc146818_device.init(&chip);
			mc146818_set_wall(&chip, starts[i] * (int64_t)S);
			assert_time((time_t)(starts[i] + (int64_t)steps[k]), steps[k] * S);
		}
	}
}
END_TEST

START_TEST(day_by_day)
{
	time_t wall = 1704067200 + 86399;	/* the last second of 1 January 2024 */

	mc146818_set_wall(&chip, wall * (int64_t)S);
	for (uint64_t day = 0; day < 800; day++)
		assert_time(wall + (time_t)day * 86400 + 1, (day * 86400 + 1) * S);
}
END_TEST

START_TEST(four_centuries)
{
	set_time(2000, 2, 29, 12, 0, 0);
	ck_assert_uint_eq(stamp(146097ull * 86400 * S), 0x24000229120000);
}
END_TEST

START_TEST(fraction_of_the_wall)
{
	mc146818_set_wall(&chip, 10 * (int64_t)S + 750000000);
	ck_assert_uint_eq(rd(SEC, 249999999), 0x10);
	ck_assert_uint_eq(rd(SEC, 250000000), 0x11);
	ck_assert_uint_eq(rd(SEC, 1249999999), 0x11);
	ck_assert_uint_eq(rd(SEC, 1250000000), 0x12);
}
END_TEST

START_TEST(formats)
{
	uint64_t now = 0;

	set_time(2026, 11, 21, 23, 59, 58);
	wr(B, 0x82, now);
	wr(B, SET | 0x04, now);		/* binary, 12 hours: the registers do not convert themselves */
	ck_assert_uint_eq(rd(HOUR, now), 0x23);
	wr(HOUR, 11 | 0x80, now);
	wr(MIN, 59, now);
	wr(SEC, 59, now);
	wr(DAY, 31, now);
	wr(MONTH, 12, now);
	wr(YEAR, 99, now);
	wr(CENTURY, 20, now);
	wr(B, 0x04, now);
	now += S;
	ck_assert_uint_eq(rd(HOUR, now), 12);	/* midnight is 12 AM */
	ck_assert_uint_eq(rd(MIN, now), 0);
	ck_assert_uint_eq(rd(DAY, now), 1);
	ck_assert_uint_eq(rd(MONTH, now), 1);
	ck_assert_uint_eq(rd(YEAR, now), 0);
	ck_assert_uint_eq(rd(CENTURY, now), 21);
	ck_assert_uint_eq(rd(HOUR, now + 3600 * S), 1);
	ck_assert_uint_eq(rd(HOUR, now + 12 * 3600 * S), 12 | 0x80);
	ck_assert_uint_eq(rd(HOUR, now + 13 * 3600 * S), 1 | 0x80);
	now += 24 * 3600 * S;
	wr(B, 0x00, now);			/* BCD, 12 hours */
	wr(HOUR, 0x12 | 0x80, now);
	wr(MIN, 0x59, now);
	wr(SEC, 0x59, now);
	ck_assert_uint_eq(rd(HOUR, now + S), 0x01 | 0x80);
}
END_TEST

/* Linux: SET, divider in reset, registers, release. The next second comes half a second later. */
START_TEST(set_the_linux_way)
{
	uint64_t now = 5 * S + 123456789;

	wr(B, 0x82, now);
	wr(A, 0x76, now);
	wr(YEAR, 0x31, now);
	wr(MONTH, 0x02, now);
	wr(DAY, 0x28, now);
	wr(HOUR, 0x23, now);
	wr(MIN, 0x59, now);
	wr(SEC, 0x59, now);
	wr(CENTURY, 0x20, now);
	now += 7 * S;
	ck_assert_uint_eq(rd(SEC, now), 0x59);
	wr(B, 0x02, now);
	wr(A, 0x26, now);
	ck_assert_uint_eq(rd(SEC, now + S / 2 - 1), 0x59);
	ck_assert_uint_eq(stamp(now + S / 2), 0x20310301000000);
	ck_assert_uint_eq(rd(SEC, now + S + S / 2), 0x01);
}
END_TEST

START_TEST(set_bit_freezes_the_time)
{
	set_time(2026, 1, 1, 0, 0, 0);
	wr(B, 0x82, S / 4);
	ck_assert_uint_eq(stamp(100 * S), 0x20260101000000);
	ck_assert_uint_eq(rd(C, 100 * S) & 0x30, 0);
	wr(B, 0x02, 100 * S + S / 4);
	ck_assert_uint_eq(rd(SEC, 101 * S), 0x01);	/* the divider kept its phase */
}
END_TEST

/* Windows writes the running clock, and the date is for moments one that does not exist. */
START_TEST(set_without_halting)
{
	uint64_t now = S / 2;

	set_time(2026, 2, 28, 12, 30, 0);
	wr(DAY, 0x31, now);
	ck_assert_uint_eq(rd(DAY, now + 2 * S), 0x31);
	wr(MONTH, 0x03, now + 2 * S);
	wr(YEAR, 0x27, now + 2 * S);
	ck_assert_uint_eq(stamp(now + 3 * S), 0x20270331123003);
	wr(HOUR, 0x23, now + 3 * S);
	wr(MIN, 0x59, now + 3 * S);
	wr(SEC, 0x58, now + 3 * S);
	ck_assert_uint_eq(stamp(now + 5 * S), 0x20270401000000);
}
END_TEST

START_TEST(nonsense_in_the_registers)
{
	for (unsigned int value = 0; value < 256; value++) {
		for (uint8_t index = SEC; index <= YEAR; index++)
			wr(index, (uint8_t)value, value * S);
		wr(B, (uint8_t)((value & 6) | AIE), value * S);
		rd(SEC, value * S + 100000 * S);
		mc146818_device.deadline(&chip);
		mc146818_device.init(&chip);
	}
}
END_TEST

START_TEST(update_in_progress)
{
	ck_assert_uint_eq(rd(A, S - 2228001) & 0x80, 0);
	ck_assert_uint_eq(rd(A, S - 2228000) & 0x80, 0x80);
	ck_assert_uint_eq(rd(SEC, S - 1), 0);
	ck_assert_uint_eq(rd(A, S - 1) & 0x80, 0x80);
	ck_assert_uint_eq(rd(A, S) & 0x80, 0);
	ck_assert_uint_eq(rd(SEC, S), 1);
	wr(B, 0x82, S);
	ck_assert_uint_eq(rd(A, 2 * S - 1) & 0x80, 0);
	wr(A, 0xa6, 2 * S);
	ck_assert_uint_eq(rd(A, 2 * S), 0x26);		/* the bit is read-only */
}
END_TEST

START_TEST(flags_without_enables)
{
	ck_assert_uint_eq(rd(C, S / 2), 0x40);
	ck_assert_uint_eq(rd(C, S / 2), 0x00);
	wr(A, 0x20, S / 2);
	ck_assert_uint_eq(rd(C, S), 0x10 | 0x00);
	ck_assert_uint_eq(edges, 0);
	wr(C, 0xff, S);
	wr(D, 0x00, S);
	ck_assert_uint_eq(rd(C, S), 0);
	ck_assert_uint_eq(rd(D, S), 0x80);
}
END_TEST

START_TEST(update_ended_interrupt)
{
	wr(A, 0x20, 0);
	wr(B, 0x02 | UIE, 0);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), S);
	advance_to(&chip, S);
	ck_assert(irq);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), TIME_NEVER);
	advance_to(&chip, 3 * S);
	ck_assert_uint_eq(rd(C, 3 * S), 0x90);
	ck_assert(!irq);
	ck_assert_uint_eq(edges, 1);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), 4 * S);
	wr(B, 0x82 | UIE, 3 * S);			/* SET clears the enable */
	ck_assert_uint_eq(rd(B, 3 * S), 0x82);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), TIME_NEVER);
}
END_TEST

START_TEST(enabling_with_the_flag_set)
{
	wr(A, 0x20, 0);
	advance_to(&chip, S);
	ck_assert(!irq);
	wr(B, 0x02 | UIE, S);
	ck_assert(irq);
	wr(B, 0x02, S);
	ck_assert(!irq);
}
END_TEST

START_TEST(alarm)
{
	set_time(2026, 5, 5, 7, 0, 0);
	wr(A, 0x20, 0);
	wr(SEC_ALARM, 0x30, 0);
	wr(MIN_ALARM, 0x15, 0);
	wr(HOUR_ALARM, 0x08, 0);
	wr(B, 0x02 | AIE, 0);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), (3600 + 15 * 60 + 30) * S);
	advance_to(&chip, (3600 + 15 * 60 + 30) * S - 1);
	ck_assert(!irq);
	advance_to(&chip, (3600 + 15 * 60 + 30) * S);
	ck_assert(irq);
	ck_assert_uint_eq(rd(C, 4530 * S), 0xb0);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), (86400 + 4530) * S);
}
END_TEST

START_TEST(alarm_dont_care)
{
	set_time(2026, 5, 5, 23, 59, 50);
	wr(A, 0x20, 0);
	wr(SEC_ALARM, 0xff, 0);
	wr(MIN_ALARM, 0xc0, 0);
	wr(HOUR_ALARM, 0xff, 0);
	wr(B, 0x02 | AIE, 0);
	ck_assert_uint_eq(run(10 * S), 10);		/* each second */
	wr(SEC_ALARM, 0x05, 10 * S);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), 15 * S);	/* each minute, across midnight */
	ck_assert_uint_eq(run(10 * S + 600 * S), 10);
	wr(MIN_ALARM, 0x00, 610 * S);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), (10 + 3605) * S);	/* each hour */
}
END_TEST

START_TEST(alarm_that_never_comes)
{
	wr(SEC_ALARM, 0x77, 0);
	wr(B, 0x02 | AIE, 0);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), TIME_NEVER);
	ck_assert_uint_eq(rd(C, 1000000 * S) & 0x20, 0);
}
END_TEST

START_TEST(alarm_flag_over_a_long_gap)
{
	set_time(2026, 5, 5, 12, 0, 0);
	wr(HOUR_ALARM, 0x12, 0);
	wr(MIN_ALARM, 0x01, 0);
	ck_assert_uint_eq(rd(C, 59 * S) & 0x20, 0);
	ck_assert_uint_eq(rd(C, 61 * S) & 0x20, 0x20);
	ck_assert_uint_eq(rd(C, 86000 * S) & 0x20, 0);
	ck_assert_uint_eq(rd(C, 10 * 86400 * S) & 0x20, 0x20);
}
END_TEST

START_TEST(alarm_12_hours)
{
	wr(B, SET, 0);
	wr(A, 0x20, 0);
	wr(HOUR, 0x11, 0);
	wr(MIN, 0x59, 0);
	wr(SEC, 0x00, 0);
	wr(HOUR_ALARM, 0x92, 0);		/* 12 PM: noon */
	wr(MIN_ALARM, 0x00, 0);
	wr(SEC_ALARM, 0x00, 0);
	wr(B, AIE, 0);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), 60 * S);
}
END_TEST

START_TEST(periodic_rates)
{
	static const unsigned int hertz[] = {
		0, 256, 128, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2,
	};

	for (uint8_t rate = 0; rate < 16; rate++) {
		mc146818_device.init(&chip);
		wr(A, 0x20 | rate, 0);
		wr(B, 0x02 | PIE, 0);
		ck_assert_uint_eq(run(S), hertz[rate]);
		ck_assert_uint_eq(rd(SEC, S), 1);
	}
}
END_TEST

START_TEST(periodic_phase_and_late_reading)
{
	wr(A, 0x2a, 0);					/* 64 Hz */
	wr(B, 0x02 | PIE, 0);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), S / 64);
	advance_to(&chip, S / 64);
	ck_assert_uint_eq(rd(C, S / 64 + 1000000), 0xc0);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), 2 * (S / 64));
	wr(B, 0x02, S / 64 + 1000000);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), TIME_NEVER);
}
END_TEST

START_TEST(periodic_backlog)
{
	uint64_t late = 5 * (S / 64) + 1000;
	unsigned int made_up;

	wr(A, 0x2a, 0);
	wr(B, 0x02 | PIE, 0);
	advance_to(&chip, S / 64);
	ck_assert_uint_eq(edges, 1);
	ck_assert_uint_eq(rd(C, late) & 0xc0, 0xc0);	/* four more came meanwhile */
	ck_assert_uint_eq(mc146818_device.deadline(&chip), late + S / 128);
	made_up = run(15 * (S / 64));
	ck_assert_uint_eq(made_up, 14);			/* none lost of 15 */
	advance_to(&chip, 1000 * S);
	rd(C, 1000 * S);
	ck_assert_uint_eq(run(1001 * S), 64 + MC146818_BACKLOG - 1);
	advance_to(&chip, 2000 * S);
	rd(C, 2000 * S);
	wr(A, 0x2b, 2000 * S);				/* a new rate forgets it */
	ck_assert_uint_eq(run(2001 * S), 32);
}
END_TEST

START_TEST(divider_reset_stops_all)
{
	wr(A, 0x66, S / 2);
	wr(B, 0x02 | PIE | UIE, S / 2);
	rd(C, S / 2);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), TIME_NEVER);
	ck_assert_uint_eq(rd(C, 100 * S), 0);
	ck_assert_uint_eq(rd(SEC, 100 * S), 0);
	ck_assert_uint_eq(rd(A, 100 * S), 0x66);
	wr(A, 0x20, 100 * S);
	ck_assert_uint_eq(mc146818_device.deadline(&chip), 100 * S + S / 2);
}
END_TEST

START_TEST(memory)
{
	for (uint8_t i = 0x0e; i < 0x80; i++)
		wr(i, (uint8_t)(i * 3), 0);
	for (uint8_t i = 0x0e; i < 0x80; i++)
		ck_assert_uint_eq(rd(i | 0x80, 10), (uint8_t)(i * 3));	/* bit 7 masks NMI, elsewhere */
	mc146818_poke(&chip, 0x34, 0x5a);
	ck_assert_uint_eq(rd(0x34, 10), 0x5a);
}
END_TEST

START_TEST(reset_pin)
{
	set_time(2026, 5, 5, 12, 0, 0);
	mc146818_poke(&chip, 0x40, 0x11);
	wr(B, 0x02 | PIE | AIE | UIE | 0x08, 0);
	advance_to(&chip, 2 * S);
	ck_assert(irq);
	mc146818_reset(&chip);
	ck_assert(!irq);
	ck_assert_uint_eq(rd(C, 2 * S), 0);
	ck_assert_uint_eq(rd(B, 2 * S), 0x02);
	ck_assert_uint_eq(rd(0x40, 2 * S), 0x11);
	ck_assert_uint_eq(stamp(3 * S), 0x20260505120003);
}
END_TEST

START_TEST(time_never_runs_backwards)
{
	ck_assert_uint_eq(rd(SEC, 5 * S), 5);
	ck_assert_uint_eq(rd(SEC, 3 * S), 5);
	ck_assert_uint_eq(rd(SEC, 6 * S), 6);
}
END_TEST

START_TEST(save_load_save)
{
	struct mc146818 copy = { .now = &the_time };

	mc146818_set_wall(&chip, 1795239549123456789);
	wr(0x40, 9, 0);
	wr(A, 0x2a, 0);
	wr(B, 0x02 | PIE | AIE, 0);
	advance_to(&chip, 5 * S);
	write_at(&chip, 0, MIN, 5 * S);
	mc146818_device.init(&copy);
	roundtrip(&mc146818_state_table, 0, &chip.s, &copy.s);
	ck_assert_uint_eq(read_at(&copy, 1, 400 * S), read_at(&chip, 1, 400 * S));
	ck_assert_uint_eq(mc146818_device.deadline(&copy), mc146818_device.deadline(&chip));
}
END_TEST

START_TEST(any_state_is_survived)
{
	uint8_t wire[512];
	size_t bytes = state_save(&mc146818_state_table, 0, &chip.s, wire, sizeof(wire));

	for (unsigned int fill = 0; fill < 256; fill++) {
		memset(wire + 28, (int)fill, bytes - 28);
		state_load(&mc146818_state_table, 0, &chip.s, wire, bytes);
		mc146818_device.deadline(&chip);
		advance_to(&chip, 1000 * S);
		stamp(2000 * S);
		rd(A, 3000 * S);
		rd(C, 3000 * S);
		mc146818_device.deadline(&chip);
	}
}
END_TEST

/* Whatever a guest writes, a machine that advances the chip at its deadline gets a later one. */
START_TEST(random_writes_always_progress)
{
	uint32_t seed = 1;
	uint64_t now = 0;

	for (unsigned int i = 0; i < 20000; i++) {
		seed = seed * 1664525 + 1013904223;
		now += (uint64_t)(seed >> 8 & 0xff) << (seed >> 16 & 31);
		write_at(&chip, 0, seed >> 28, now);
		if (seed >> 27 & 1)
			read_at(&chip, 1, now);
		else
			write_at(&chip, 1, (uint8_t)(seed >> 19), now);
		for (unsigned int k = 0; k < 3 && mc146818_device.deadline(&chip) != TIME_NEVER; k++) {
			if (mc146818_device.deadline(&chip) > now)
				now = mc146818_device.deadline(&chip);
			advance_to(&chip, now);
			if (mc146818_device.deadline(&chip) <= now)
				ck_abort_msg("deadline in the past after %u writes", i);
		}
	}
	ck_assert_uint_gt(edges, 100);
}
END_TEST

SUITE("mc146818", tcase)
{
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, power_on);
	tcase_add_test(tcase, calendar);
	tcase_add_test(tcase, day_by_day);
	tcase_add_test(tcase, four_centuries);
	tcase_add_test(tcase, fraction_of_the_wall);
	tcase_add_test(tcase, formats);
	tcase_add_test(tcase, set_the_linux_way);
	tcase_add_test(tcase, set_bit_freezes_the_time);
	tcase_add_test(tcase, set_without_halting);
	tcase_add_test(tcase, nonsense_in_the_registers);
	tcase_add_test(tcase, update_in_progress);
	tcase_add_test(tcase, flags_without_enables);
	tcase_add_test(tcase, update_ended_interrupt);
	tcase_add_test(tcase, enabling_with_the_flag_set);
	tcase_add_test(tcase, alarm);
	tcase_add_test(tcase, alarm_dont_care);
	tcase_add_test(tcase, alarm_that_never_comes);
	tcase_add_test(tcase, alarm_flag_over_a_long_gap);
	tcase_add_test(tcase, alarm_12_hours);
	tcase_add_test(tcase, periodic_rates);
	tcase_add_test(tcase, periodic_phase_and_late_reading);
	tcase_add_test(tcase, periodic_backlog);
	tcase_add_test(tcase, divider_reset_stops_all);
	tcase_add_test(tcase, memory);
	tcase_add_test(tcase, reset_pin);
	tcase_add_test(tcase, time_never_runs_backwards);
	tcase_add_test(tcase, save_load_save);
	tcase_add_test(tcase, any_state_is_survived);
	tcase_add_test(tcase, random_writes_always_progress);
}
