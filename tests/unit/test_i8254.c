/* SPDX-License-Identifier: GPL-2.0 */
/* i8254: modes, reading back, gates, timing of OUT 0, system control port B. */
#include <check.h>
#include <string.h>

#include "chip/i8254.h"
#include "roundtrip.h"
#include "suite.h"

#define CONTROL 3u
#define STATUS_OUT 0x80
#define STATUS_NULL 0x40

static struct i8254 chip;
static uint64_t the_time;
static bool irq;
static unsigned int rises, falls;

static void irq_set(void *sink, unsigned int pin, bool level)
{
	ck_assert_ptr_eq(sink, &chip);
	ck_assert_uint_eq(pin, 0);
	rises += level && !irq;
	falls += !level && irq;
	irq = level;
}

static void setup(void)
{
	memset(&chip, 0xee, sizeof(chip));
	chip.now = &the_time;
	chip.out0 = (struct line){ irq_set, &chip, 0 };
	irq = false;
	rises = falls = 0;
	i8254_device.init(&chip);
}

static uint8_t read_at(struct i8254 *c, unsigned int offset, uint64_t time)
{
	the_time = time;
	return (uint8_t)i8254_io.read(c, offset, 1);
}

static void write_at(struct i8254 *c, unsigned int offset, uint8_t value, uint64_t time)
{
	the_time = time;
	i8254_io.write(c, offset, 1, value);
}

static void advance_to(struct i8254 *c, uint64_t time)
{
	the_time = time;
	i8254_device.advance(c);
}

static uint8_t read_port61(struct i8254 *c, uint64_t time)
{
	the_time = time;
	return (uint8_t)i8254_port61_io.read(c, 0, 1);
}

static void write_port61(struct i8254 *c, uint8_t value, uint64_t time)
{
	the_time = time;
	i8254_port61_io.write(c, 0, 1, value);
}

static void set_gate2(bool gate, uint64_t time)
{
	the_time = time;
	i8254_set_gate2(&chip, gate);
}

/* The first nanosecond of a clock. */
static uint64_t at(uint64_t tick)
{
	return (uint64_t)(((unsigned __int128)tick * NSEC_PER_SEC + I8254_HZ - 1) / I8254_HZ);
}

static void write8(unsigned int offset, uint8_t value, uint64_t tick)
{
	write_at(&chip, offset, value, at(tick));
}

static void program(unsigned int counter, unsigned int mode, uint16_t count, uint64_t tick)
{
	write8(CONTROL, (uint8_t)(counter << 6 | 3 << 4 | mode << 1), tick);
	write8(counter, (uint8_t)count, tick);
	write8(counter, (uint8_t)(count >> 8), tick);
}

static uint16_t read16(unsigned int counter, uint64_t tick)
{
	uint16_t low = read_at(&chip, counter, at(tick));

	return (uint16_t)(low | read_at(&chip, counter, at(tick)) << 8);
}

static uint16_t read_latched(unsigned int counter, uint64_t tick)
{
	write8(CONTROL, (uint8_t)(counter << 6), tick);
	return read16(counter, tick + 1000000);
}

static uint8_t status(unsigned int counter, uint64_t tick)
{
	write8(CONTROL, (uint8_t)(0xe0 | 2 << counter), tick);
	return read_at(&chip, counter, at(tick));
}

static bool out(unsigned int counter, uint64_t tick)
{
	the_time = at(tick);
	return i8254_output(&chip, counter);
}

/* Runs the chip as a punctual machine does: to each deadline up to the tick. Returns the number of advances. */
static unsigned int run(uint64_t tick)
{
	unsigned int advances = 0;
	uint64_t deadline;

	while ((deadline = i8254_device.deadline(&chip)) <= at(tick)) {
		advance_to(&chip, deadline);
		ck_assert_uint_lt(advances++, 100000);
	}
	return advances;
}

START_TEST(power_on)
{
	ck_assert_uint_eq(i8254_device.deadline(&chip), TIME_NEVER);
	advance_to(&chip, 1000000);
	ck_assert_uint_eq(rises, 0);
	ck_assert_uint_eq(read_at(&chip, CONTROL, 0), 0xff);
	ck_assert_uint_eq(chip.s.counter[2].gate, 0);
}
END_TEST

START_TEST(mode0_terminal_count)
{
	program(0, 0, 100, 10);
	ck_assert(!irq);
	ck_assert_uint_eq(i8254_device.deadline(&chip), at(10 + 101));	/* N + 1 clocks after the write */
	ck_assert(!out(0, 110));
	ck_assert(out(0, 111));
	ck_assert_uint_eq(read16(0, 11), 100);
	ck_assert_uint_eq(read16(0, 61), 50);
	advance_to(&chip, at(111) - 1);
	ck_assert(!irq);
	advance_to(&chip, at(111));
	ck_assert(irq);
	ck_assert_uint_eq(i8254_device.deadline(&chip), TIME_NEVER);
	ck_assert_uint_eq(read16(0, 112), 0xffff);	/* counts on */
	advance_to(&chip, at(1000000));
	ck_assert_uint_eq(rises, 1);
	write8(0, 5, 1000001);			/* the first byte sets OUT low and stops the count */
	ck_assert(!irq);
	ck_assert_uint_eq(i8254_device.deadline(&chip), TIME_NEVER);
	write8(0, 0, 1000001);
	ck_assert_uint_eq(i8254_device.deadline(&chip), at(1000007));
}
END_TEST

START_TEST(mode0_count_of_zero)
{
	program(0, 0, 0, 0);
	ck_assert_uint_eq(i8254_device.deadline(&chip), at(65537));
}
END_TEST

START_TEST(mode0_gate)
{
	program(2, 0, 100, 0);			/* gate 2 is low: loaded, not counting */
	ck_assert_uint_eq(read16(2, 50), 100);
	set_gate2(true, at(50));
	ck_assert_uint_eq(read16(2, 90), 60);
	set_gate2(false, at(90));
	ck_assert_uint_eq(read16(2, 500), 60);
	ck_assert(!out(2, 500));
	set_gate2(true, at(500));
	ck_assert(!out(2, 559));
	ck_assert(out(2, 560));
	set_gate2(false, at(600));
	ck_assert(out(2, 700));
}
END_TEST

START_TEST(mode1_one_shot)
{
	program(2, 1, 50, 0);
	ck_assert(out(2, 10));
	ck_assert_uint_eq(status(2, 10), STATUS_OUT | STATUS_NULL | 0x30 | 1 << 1);
	set_gate2(true, at(100));
	ck_assert(!out(2, 101));
	ck_assert_uint_eq(status(2, 101), 0x30 | 1 << 1);
	set_gate2(false, at(110));	/* the level does not matter */
	ck_assert(!out(2, 150));
	ck_assert(out(2, 151));
	set_gate2(true, at(200));
	set_gate2(false, at(210));
	set_gate2(true, at(220));	/* retrigger */
	ck_assert(!out(2, 270));
	ck_assert(out(2, 271));
	program(2, 1, 50, 300);
	set_gate2(false, at(300));
	set_gate2(true, at(300));
	write8(2, 10, 310);			/* a new count waits for the next trigger */
	write8(2, 0, 310);
	ck_assert(!out(2, 350));
	ck_assert(out(2, 351));
}
END_TEST

START_TEST(mode2_rate_generator)
{
	program(0, 2, 1000, 0);
	ck_assert(irq);				/* OUT is high from the control word on */
	rises = 0;
	ck_assert_uint_eq(i8254_device.deadline(&chip), at(1001));
	ck_assert(out(0, 999));
	ck_assert(!out(0, 1000));
	ck_assert(out(0, 1001));
	ck_assert_uint_eq(read16(0, 1), 1000);
	ck_assert_uint_eq(read16(0, 1000), 1);
	ck_assert_uint_eq(run(1000 * 1000 + 1), 1000);
	ck_assert_uint_eq(rises, 1000);
	ck_assert_uint_eq(falls, 1000);
	ck_assert(irq);
	/* No drift: 1193182 Hz over more than a day. */
	advance_to(&chip, at(I8254_HZ * 100000ull));
	ck_assert_uint_eq(read16(0, I8254_HZ * 100000ull), 1000 - (I8254_HZ * 100000ull - 1) % 1000);
}
END_TEST

/* memtest86+ and SeaBIOS let it run with 65536; DOS expects 18.2 Hz. */
START_TEST(mode2_full_count)
{
	program(0, 2, 0, 0);
	rises = 0;
	run(I8254_HZ);
	ck_assert_uint_eq(rises, 18);
	ck_assert_uint_eq(read16(0, 65537 * 1), 0);
}
END_TEST

START_TEST(mode2_new_count_waits_for_the_period)
{
	program(0, 2, 1000, 0);
	rises = 0;
	write8(0, 200, 301);
	write8(0, 0, 301);
	ck_assert_uint_eq(status(0, 301) & STATUS_NULL, STATUS_NULL);
	ck_assert_uint_eq(read16(0, 401), 600);
	run(1001);
	ck_assert_uint_eq(rises, 1);
	ck_assert_uint_eq(status(0, 1001) & STATUS_NULL, 0);
	ck_assert_uint_eq(read16(0, 1001), 200);
	ck_assert_uint_eq(i8254_device.deadline(&chip), at(1201));
	run(2001);
	ck_assert_uint_eq(rises, 6);
}
END_TEST

START_TEST(mode2_gate)
{
	set_gate2(true, 0);
	program(2, 2, 100, 0);
	ck_assert(!out(2, 100));
	set_gate2(false, at(100));
	ck_assert(out(2, 100));
	ck_assert(out(2, 300));
	set_gate2(true, at(400));	/* starts afresh */
	ck_assert_uint_eq(read16(2, 401), 100);
	ck_assert(!out(2, 500));
}
END_TEST

START_TEST(mode3_even)
{
	program(0, 3, 1000, 0);
	rises = 0;
	ck_assert(out(0, 500));
	ck_assert(!out(0, 501));
	ck_assert(!out(0, 1000));
	ck_assert(out(0, 1001));
	ck_assert_uint_eq(read16(0, 1), 1000);
	ck_assert_uint_eq(read16(0, 11), 980);
	ck_assert_uint_eq(read16(0, 501), 1000);
	ck_assert_uint_eq(read16(0, 1000), 2);
	run(10001);
	ck_assert_uint_eq(rises, 10);
}
END_TEST

START_TEST(mode3_odd)
{
	static const uint8_t counts[] = { 4, 2, 0, 4, 2 };	/* data sheet, figure of mode 3 */

	program(0, 3, 5, 0);
	for (unsigned int i = 0; i < 20; i++) {
		ck_assert_uint_eq(read16(0, 1 + i), counts[i % 5]);
		ck_assert_int_eq(out(0, 1 + i), i % 5 < 3);
	}
}
END_TEST

START_TEST(mode3_new_count_waits_for_the_half)
{
	program(0, 3, 1000, 0);
	rises = 0;
	write8(0, 100, 101);
	write8(0, 0, 101);
	ck_assert(out(0, 500));
	ck_assert(!out(0, 501));
	ck_assert(!out(0, 550));
	ck_assert(out(0, 551));
	run(551);
	ck_assert_uint_eq(rises, 1);
	write8(0, 200, 620);			/* now in the low half */
	write8(0, 0, 620);
	ck_assert(!out(0, 650));
	ck_assert(out(0, 651));
	ck_assert(out(0, 750));
	ck_assert(!out(0, 751));
}
END_TEST

START_TEST(mode4_software_strobe)
{
	program(0, 4, 100, 0);			/* Linux's one-shot clock event */
	ck_assert(irq);
	rises = 0;
	ck_assert(out(0, 100));
	ck_assert(!out(0, 101));		/* low for one clock, N + 1 after the write */
	ck_assert(out(0, 102));
	ck_assert_uint_eq(run(1000000), 1);
	ck_assert_uint_eq(rises, 1);
	write8(0, 50, 1000000);
	write8(0, 0, 1000000);
	ck_assert_uint_eq(i8254_device.deadline(&chip), at(1000052));
	run(1000052);
	ck_assert_uint_eq(rises, 2);
	ck_assert_uint_eq(i8254_device.deadline(&chip), TIME_NEVER);
}
END_TEST

START_TEST(mode5_hardware_strobe)
{
	program(2, 5, 20, 0);
	ck_assert(out(2, 100));
	set_gate2(true, at(100));
	ck_assert(out(2, 120));
	ck_assert(!out(2, 121));
	ck_assert(out(2, 122));
}
END_TEST

START_TEST(mode_aliases)
{
	write8(CONTROL, 0x3c, 0);		/* x10 */
	ck_assert_uint_eq(status(0, 0) & 0x0e, 2 << 1);
	write8(CONTROL, 0x3e, 0);
	ck_assert_uint_eq(status(0, 0) & 0x0e, 3 << 1);
}
END_TEST

START_TEST(one_byte_access)
{
	write8(CONTROL, 0x14, 0);		/* low byte, mode 2 */
	write8(0, 100, 0);
	ck_assert_uint_eq(i8254_device.deadline(&chip), at(101));
	ck_assert_uint_eq(read_at(&chip, 0, at(1)), 100);
	ck_assert_uint_eq(read_at(&chip, 0, at(2)), 99);
	write8(CONTROL, 0x24, 10);		/* high byte */
	write8(0, 1, 10);
	ck_assert_uint_eq(i8254_device.deadline(&chip), at(267));
	ck_assert_uint_eq(read_at(&chip, 0, at(11)), 1);
	ck_assert_uint_eq(read_at(&chip, 0, at(12)), 0);
}
END_TEST

START_TEST(bcd)
{
	write8(CONTROL, 0x35, 0);
	write8(0, 0x34, 0);
	write8(0, 0x12, 0);
	ck_assert_uint_eq(i8254_device.deadline(&chip), at(1235));
	ck_assert_uint_eq(read16(0, 1), 0x1234);
	ck_assert_uint_eq(read16(0, 36), 0x1199);
	write8(CONTROL, 0x31, 2000);
	write8(0, 0, 2000);
	write8(0, 0, 2000);
	ck_assert_uint_eq(i8254_device.deadline(&chip), at(12001));
	ck_assert_uint_eq(read16(0, 2002), 0x9999);
	ck_assert_uint_eq(status(0, 2002) & 1, 1);
}
END_TEST

START_TEST(invalid_bcd_is_harmless)
{
	for (unsigned int mode = 0; mode < 6; mode++) {
		write8(CONTROL, (uint8_t)(0x31 | mode << 1), mode * 100000);
		write8(0, 0xff, mode * 100000);
		write8(0, 0xff, mode * 100000);
		read16(0, mode * 100000 + 12345);
		run((mode + 1) * 100000 - 1);
	}
}
END_TEST

START_TEST(counter_latch)
{
	program(0, 2, 50000, 0);
	ck_assert_uint_eq(read_latched(0, 10001), 40000);
	/* A second latch command before the first was read is ignored. */
	write8(CONTROL, 0x00, 2000001);
	write8(CONTROL, 0x00, 2000101);
	ck_assert_uint_eq(read16(0, 2000201), 50000);
	ck_assert_uint_eq(read16(0, 2000201), 49800);
	/* Programming the counter drops the latch. */
	write8(CONTROL, 0x00, 2000301);
	program(0, 2, 1000, 2000400);
	ck_assert_uint_eq(read16(0, 2000401), 1000);
}
END_TEST

START_TEST(read_back_command)
{
	set_gate2(true, 0);
	program(0, 2, 1000, 0);
	program(2, 3, 2000, 0);
	write8(CONTROL, 0xc0 | 0x0a, 101);	/* count and status of 0 and 2 */
	ck_assert_uint_eq(read_at(&chip, 0, at(5000)), STATUS_OUT | 0x34);	/* status first */
	ck_assert_uint_eq(read16(0, 5000), 900);
	ck_assert_uint_eq(read_at(&chip, 2, at(5000)), STATUS_OUT | 0x36);
	ck_assert_uint_eq(read16(2, 5000), 1800);
	write8(CONTROL, 0xd0 | 0x02, 6001);	/* count alone */
	ck_assert_uint_eq(read16(0, 6500), 1000);
	write8(CONTROL, 0xe0 | 0x08, 7501);	/* status alone; OUT 2 is low in its second half */
	ck_assert_uint_eq(read_at(&chip, 2, at(9000)), 0x36);
	write8(CONTROL, 0xf0 | 0x02, 9001);	/* neither */
	ck_assert_uint_eq(read16(0, 9001), 1000);
}
END_TEST

START_TEST(null_count)
{
	write8(CONTROL, 0x34, 0);
	ck_assert_uint_eq(status(0, 0) & STATUS_NULL, STATUS_NULL);
	write8(0, 10, 0);
	ck_assert_uint_eq(status(0, 0) & STATUS_NULL, STATUS_NULL);
	write8(0, 0, 0);
	ck_assert_uint_eq(status(0, 0) & STATUS_NULL, STATUS_NULL);
	ck_assert_uint_eq(status(0, 1) & STATUS_NULL, 0);
}
END_TEST

START_TEST(late_advance_keeps_phase)
{
	program(0, 2, 1000, 0);
	rises = 0;
	advance_to(&chip, at(1301));		/* late by 300 ticks */
	ck_assert_uint_eq(rises, 1);
	ck_assert_uint_eq(i8254_device.deadline(&chip), at(2001));
	advance_to(&chip, at(1400));
	ck_assert_uint_eq(rises, 1);
}
END_TEST

START_TEST(missed_edges_are_made_up)
{
	program(0, 2, 1000, 0);
	rises = 0;
	advance_to(&chip, at(4001));		/* four edges, one at once */
	ck_assert_uint_eq(rises, 1);
	ck_assert_uint_eq(i8254_device.deadline(&chip), at(4501));
	run(10001);
	ck_assert_uint_eq(rises, 10);
	ck_assert_uint_eq(i8254_device.deadline(&chip), at(11001));
}
END_TEST

START_TEST(backlog_is_bounded)
{
	program(0, 2, 1000, 0);
	rises = 0;
	advance_to(&chip, at(100 * 1000 * 1000 + 1));
	ck_assert_uint_eq(rises, 1);
	run(100 * 1000 * 1000 + 1 + 20000);
	ck_assert_uint_eq(rises, I8254_BACKLOG + 20);
	advance_to(&chip, at(200 * 1000 * 1000 + 1));
	program(0, 2, 1000, 200 * 1000 * 1000 + 2);
	rises = 0;
	run(200 * 1000 * 1000 + 2 + 1001);
	ck_assert_uint_eq(rises, 1);		/* a new control word forgets it */
}
END_TEST

START_TEST(tiny_counts_do_not_storm)
{
	program(0, 2, 1, 0);
	rises = 0;
	ck_assert_uint_le(run(60 * 100), 101);
	ck_assert_uint_ge(rises, 99);
	program(0, 3, 2, 60 * 101);
	ck_assert_uint_le(run(60 * 200), 101);
}
END_TEST

START_TEST(edge_waits_for_advance)
{
	program(0, 0, 100, 0);
	read16(0, 500);				/* a read moves the counter past its end, the edge is not lost */
	ck_assert_uint_eq(rises, 0);
	ck_assert_uint_le(i8254_device.deadline(&chip), at(500));
	advance_to(&chip, at(500));
	ck_assert_uint_eq(rises, 1);
}
END_TEST

START_TEST(time_never_runs_backwards)
{
	program(0, 2, 1000, 500);
	ck_assert_uint_eq(read16(0, 601), 900);
	ck_assert_uint_eq(read16(0, 551), 900);
	advance_to(&chip, 0);
	ck_assert_uint_eq(i8254_device.deadline(&chip), at(1501));
}
END_TEST

/* Linux's calibration of the TSC: counter 2 in mode 0, gate and OUT in port B. */
START_TEST(port61_calibration)
{
	uint16_t latch = 59659;			/* 50 ms */

	write_port61(&chip, (uint8_t)((read_port61(&chip, 0) & ~2) | 1), 0);
	write8(CONTROL, 0xb0, 1);
	write8(2, (uint8_t)latch, 1);
	write8(2, (uint8_t)(latch >> 8), 1);
	ck_assert_uint_eq(read_port61(&chip, at(2)) & 0x2f, 0x01);
	ck_assert_uint_eq(read_port61(&chip, 50000000) & 0x20, 0);
	ck_assert_uint_eq(read_port61(&chip, 50003000) & 0x20, 0x20);
}
END_TEST

START_TEST(port61_bits)
{
	unsigned int toggles = 0;
	uint8_t last = read_port61(&chip, 0) & 0x10;

	write_port61(&chip, 0xff, 0);
	ck_assert_uint_eq(read_port61(&chip, 0) & 0xcf, 0x0f);
	write_port61(&chip, 0x02, 0);
	ck_assert_uint_eq(read_port61(&chip, 0) & 0xcf, 0x02);
	ck_assert(!chip.s.counter[2].gate);
	for (uint64_t now = 0; now < 1000000; now += 1000) {
		uint8_t bit = read_port61(&chip, now) & 0x10;

		toggles += bit != last;
		last = bit;
	}
	ck_assert_uint_eq(toggles, 66);		/* every 15.09 us of a millisecond */
}
END_TEST

START_TEST(save_load_save)
{
	static struct i8254 copy;

	program(0, 3, 1000, 0);
	write8(0, 77, 300);
	write8(CONTROL, 0xc4, 400);
	program(2, 1, 500, 450);
	write_port61(&chip, 3, at(460));
	write8(2, 9, 470);
	advance_to(&chip, at(5000));
	copy.now = &the_time;
	i8254_device.init(&copy);
	roundtrip(&i8254_state_table, 0, &chip.s, &copy.s);
	ck_assert_uint_eq(i8254_device.deadline(&copy), i8254_device.deadline(&chip));
	ck_assert_uint_eq(read_port61(&copy, at(6000)), read_port61(&chip, at(6000)));
	ck_assert_uint_eq(read_at(&copy, 0, at(6100)), read_at(&chip, 0, at(6100)));
}
END_TEST

START_TEST(any_state_is_survived)
{
	static uint8_t wire[1024];
	size_t bytes = state_save(&i8254_state_table, 0, &chip.s, wire, sizeof(wire));

	for (unsigned int fill = 0; fill < 256; fill += 5) {
		memset(wire + 28, (int)fill, bytes - 28);
		state_load(&i8254_state_table, 0, &chip.s, wire, bytes);
		advance_to(&chip, at(1000));
		i8254_device.deadline(&chip);
		read16(0, 2000);
		status(1, 3000);
		read_port61(&chip, at(4000));
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
		now += seed >> 8 & 0x3ffff;
		if (seed >> 30 == 3)
			write_port61(&chip, (uint8_t)(seed >> 20), now);
		else if (seed >> 29 & 1)
			read_at(&chip, seed >> 26 & 3, now);
		else
			write_at(&chip, seed >> 26 & 3, (uint8_t)(seed >> 16), now);
		read_port61(&chip, now);
		advance_to(&chip, now);
		if (i8254_device.deadline(&chip) <= now)
			ck_abort_msg("deadline in the past after %u writes", i);
	}
	ck_assert_uint_gt(rises, 100);
}
END_TEST

SUITE("i8254", tcase)
{
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, power_on);
	tcase_add_test(tcase, mode0_terminal_count);
	tcase_add_test(tcase, mode0_count_of_zero);
	tcase_add_test(tcase, mode0_gate);
	tcase_add_test(tcase, mode1_one_shot);
	tcase_add_test(tcase, mode2_rate_generator);
	tcase_add_test(tcase, mode2_full_count);
	tcase_add_test(tcase, mode2_new_count_waits_for_the_period);
	tcase_add_test(tcase, mode2_gate);
	tcase_add_test(tcase, mode3_even);
	tcase_add_test(tcase, mode3_odd);
	tcase_add_test(tcase, mode3_new_count_waits_for_the_half);
	tcase_add_test(tcase, mode4_software_strobe);
	tcase_add_test(tcase, mode5_hardware_strobe);
	tcase_add_test(tcase, mode_aliases);
	tcase_add_test(tcase, one_byte_access);
	tcase_add_test(tcase, bcd);
	tcase_add_test(tcase, invalid_bcd_is_harmless);
	tcase_add_test(tcase, counter_latch);
	tcase_add_test(tcase, read_back_command);
	tcase_add_test(tcase, null_count);
	tcase_add_test(tcase, late_advance_keeps_phase);
	tcase_add_test(tcase, missed_edges_are_made_up);
	tcase_add_test(tcase, backlog_is_bounded);
	tcase_add_test(tcase, tiny_counts_do_not_storm);
	tcase_add_test(tcase, edge_waits_for_advance);
	tcase_add_test(tcase, time_never_runs_backwards);
	tcase_add_test(tcase, port61_calibration);
	tcase_add_test(tcase, port61_bits);
	tcase_add_test(tcase, save_load_save);
	tcase_add_test(tcase, any_state_is_survived);
	tcase_add_test(tcase, random_writes_always_progress);
}
