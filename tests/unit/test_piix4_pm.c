/* SPDX-License-Identifier: GPL-2.0 */
/* PIIX4 power management and the PIIX3 reset control register. */
#include <check.h>
#include <string.h>

#include "chip/piix4_pm.h"
#include "chip/reset_control.h"
#include "core/time.h"
#include "roundtrip.h"
#include "suite.h"

#define STATUS 0x00u
#define ENABLE 0x02u
#define CONTROL 0x04u
#define TIMER 0x08u
#define GPE_STATUS 0x0cu
#define GPE_ENABLE 0x0eu

#define SCI_EN 0x0001u
#define SLP_EN 0x2000u
#define TMR 0x0001u
#define BUTTON 0x0100u

/* The first tick of the PM timer with bit 23 set, in nanoseconds: 2^23 / 3579545 Hz, rounded up. */
#define HALF_24 2343484438ull

static struct piix4_pm chip;
static uint64_t the_time;
static bool sci;
static unsigned int poweroffs, buttons, resets;

static void set_sci(void *sink, unsigned int pin, bool level)
{
	ck_assert_ptr_eq(sink, &sci);
	ck_assert_uint_eq(pin, 9);
	sci = level;
}

static void count_rises(void *sink, unsigned int pin, bool level)
{
	(void)pin;
	*(unsigned int *)sink += level;
}

static void setup(void)
{
	chip = (struct piix4_pm){ .now = &the_time, .sci = { set_sci, &sci, 9 }, .poweroff = { count_rises, &poweroffs, 0 },
				  .button_taken = { count_rises, &buttons, 0 } };
	poweroffs = buttons = 0;
	resets = 0;
	sci = true;
	piix4_pm_device.init(&chip);
	ck_assert(!sci);
}

static uint32_t read_at(unsigned int offset, unsigned int bytes, uint64_t time)
{
	the_time = time;
	return (uint32_t)(piix4_pm_io.read(&chip, offset, bytes) & ((1ull << 8 * bytes) - 1));
}

static void write_at(unsigned int offset, unsigned int bytes, uint32_t value, uint64_t time)
{
	the_time = time;
	piix4_pm_io.write(&chip, offset, bytes, value);
}

static uint8_t read_apm(unsigned int offset)
{
	return (uint8_t)piix4_apm_io.read(&chip, offset, 1);
}

static void write_apm(unsigned int offset, uint8_t value)
{
	piix4_apm_io.write(&chip, offset, 1, value);
}

static void advance_to(uint64_t time)
{
	the_time = time;
	piix4_pm_device.advance(&chip);
}

static void outw(unsigned int offset, uint16_t value)
{
	write_at(offset, 2, value, 0);
}

static uint16_t inw(unsigned int offset)
{
	return read_at(offset, 2, 0);
}

START_TEST(acpi_mode)
{
	ck_assert_uint_eq(inw(CONTROL), 0);
	write_apm(0, PC_PM_ACPI_ENABLE);
	ck_assert_uint_eq(inw(CONTROL), SCI_EN);
	ck_assert_uint_eq(read_apm(0), 0xf1);
	write_apm(1, 0x5a);
	ck_assert_uint_eq(read_apm(1), 0x5a);
	write_apm(0, 0x12);
	ck_assert_uint_eq(inw(CONTROL), SCI_EN);
	write_apm(0, PC_PM_ACPI_DISABLE);
	ck_assert_uint_eq(inw(CONTROL), 0);
}
END_TEST

START_TEST(power_button)
{
	write_apm(0, PC_PM_ACPI_ENABLE);
	piix4_pm_power_button(&chip);
	ck_assert(!sci);
	ck_assert_uint_eq(inw(STATUS), BUTTON);
	outw(ENABLE, BUTTON);
	ck_assert(sci);
	/* Writing ones clears, others stay. */
	outw(STATUS, (uint16_t)~BUTTON);
	ck_assert(sci);
	write_at(STATUS + 1, 1, BUTTON >> 8, 0);
	ck_assert(!sci);
	ck_assert_uint_eq(inw(STATUS), 0);
	/* In legacy mode there is no SCI. */
	piix4_pm_power_button(&chip);
	ck_assert(sci);
	write_apm(0, PC_PM_ACPI_DISABLE);
	ck_assert(!sci);
}
END_TEST

/* Only a handler that listens takes a press: what clears the status otherwise has not told anybody. */
START_TEST(button_taken)
{
	piix4_pm_power_button(&chip);
	outw(STATUS, BUTTON);
	write_apm(0, PC_PM_ACPI_ENABLE);
	piix4_pm_power_button(&chip);
	outw(STATUS, BUTTON);
	ck_assert_uint_eq(buttons, 0);
	outw(ENABLE, BUTTON);
	outw(STATUS, BUTTON);
	ck_assert_uint_eq(buttons, 0);
	piix4_pm_power_button(&chip);
	outw(STATUS, (uint16_t)~BUTTON);
	ck_assert_uint_eq(buttons, 0);
	outw(STATUS, UINT16_MAX);
	ck_assert_uint_eq(buttons, 1);
	outw(STATUS, BUTTON);
	ck_assert_uint_eq(buttons, 1);
	piix4_pm_power_button(&chip);
	write_apm(0, PC_PM_ACPI_DISABLE);
	outw(STATUS, BUTTON);
	ck_assert_uint_eq(buttons, 1);
}
END_TEST

START_TEST(soft_off)
{
	outw(CONTROL, SCI_EN | SLP_EN | 1u << 10);
	ck_assert_uint_eq(poweroffs, 0);
	ck_assert_uint_eq(inw(CONTROL), SCI_EN | 1u << 10);
	outw(CONTROL, SCI_EN);
	ck_assert_uint_eq(poweroffs, 0);
	outw(CONTROL, SCI_EN | SLP_EN);
	ck_assert_uint_eq(poweroffs, 1);
	ck_assert_uint_eq(inw(CONTROL), SCI_EN);
	write_at(CONTROL + 1, 1, SLP_EN >> 8, 0);
	ck_assert_uint_eq(poweroffs, 2);
}
END_TEST

START_TEST(timer_counts)
{
	ck_assert_uint_eq(read_at(TIMER, 4, 0), 0);
	ck_assert_uint_eq(read_at(TIMER, 4, NSEC_PER_SEC), 3579545);
	ck_assert_uint_eq(read_at(TIMER, 4, 5 * NSEC_PER_SEC), 5 * 3579545 - (1u << 24));
	ck_assert_uint_eq(read_at(TIMER + 1, 1, NSEC_PER_SEC), 3579545 >> 8 & 0xff);
	/* An access across two registers. */
	ck_assert_uint_eq(read_at(TIMER - 2, 4, NSEC_PER_SEC), (uint32_t)3579545 << 16);
	write_at(TIMER, 4, 77, NSEC_PER_SEC);
	ck_assert_uint_eq(read_at(TIMER, 4, NSEC_PER_SEC), 3579545);
	chip.timer_32bit = true;
	ck_assert_uint_eq(read_at(TIMER, 4, 5 * NSEC_PER_SEC), 5 * 3579545);
	/* A hundred years on. */
	ck_assert_uint_eq(read_at(TIMER, 4, 3155760000ull * NSEC_PER_SEC),
			  (uint32_t)(3155760000ull * 3579545));
}
END_TEST

START_TEST(timer_overflow)
{
	ck_assert_uint_eq(piix4_pm_device.deadline(&chip), TIME_NEVER);
	write_apm(0, PC_PM_ACPI_ENABLE);
	outw(ENABLE, TMR);
	ck_assert_uint_ge(piix4_pm_device.deadline(&chip), HALF_24);
	ck_assert_uint_le(piix4_pm_device.deadline(&chip), HALF_24 + 1);
	advance_to(HALF_24 - 300);
	ck_assert(!sci);
	advance_to(piix4_pm_device.deadline(&chip));
	ck_assert(sci);
	ck_assert_uint_eq(piix4_pm_device.deadline(&chip), TIME_NEVER);
	ck_assert_uint_eq(read_at(TIMER, 4, HALF_24 + 1), 1u << 23);
	write_at(STATUS, 2, TMR, HALF_24 + 1);
	ck_assert(!sci);
	/* The fall of the bit counts as well. */
	ck_assert_uint_ge(piix4_pm_device.deadline(&chip), 2 * HALF_24 - 1);
	ck_assert_uint_le(piix4_pm_device.deadline(&chip), 2 * HALF_24 + 1);
	advance_to(piix4_pm_device.deadline(&chip));
	ck_assert(sci);
}
END_TEST

START_TEST(unwatched_overflow_sets_status)
{
	ck_assert_uint_eq(read_at(STATUS, 2, HALF_24 + 1), TMR);
	ck_assert(!sci);
}
END_TEST

START_TEST(general_purpose_events)
{
	write_apm(0, PC_PM_ACPI_ENABLE);
	outw(GPE_ENABLE, 0x0202);
	ck_assert_uint_eq(inw(GPE_ENABLE), 0x0202);
	piix4_pm_set_gpe(&chip, 3, true);
	ck_assert(!sci);
	piix4_pm_set_gpe(&chip, 9, true);
	ck_assert(sci);
	piix4_pm_set_gpe(&chip, 9, false);
	piix4_pm_set_gpe(&chip, 16, true);
	ck_assert_uint_eq(inw(GPE_STATUS), 0x0208);
	write_at(GPE_STATUS, 4, 0x02020200, 0);
	ck_assert(!sci);
	ck_assert_uint_eq(read_at(GPE_STATUS, 4, 0), 0x02020008);
}
END_TEST

START_TEST(reserved_bits_and_offsets)
{
	outw(ENABLE, 0xffff);
	ck_assert_uint_eq(inw(ENABLE), 0x0521);
	outw(CONTROL, 0xd3ff);
	ck_assert_uint_eq(inw(CONTROL), 0x1003);
	for (unsigned int offset = 0x10; offset < PC_PM_BYTES; offset++) {
		write_at(offset, 4, 0xffffffff, 0);
		ck_assert_uint_eq(read_at(offset, 4, 0), 0);
	}
	ck_assert_uint_eq(inw(ENABLE), 0x0521);
}
END_TEST

START_TEST(save_load_save)
{
	struct piix4_pm copy = { .poweroff = { NULL, NULL, 0 } };

	write_apm(0, PC_PM_ACPI_ENABLE);
	write_apm(1, 0x77);
	outw(ENABLE, TMR | BUTTON);
	outw(GPE_ENABLE, 0x1234);
	piix4_pm_set_gpe(&chip, 0, true);
	advance_to(HALF_24 + 1);
	roundtrip(&piix4_pm_state_table, 0, &chip.s, &copy.s);
	ck_assert_uint_eq(copy.s.toggles, 1);
	ck_assert_uint_eq(copy.s.status, TMR);
	ck_assert_uint_eq(copy.s.gpe_enable, 0x1234);
	ck_assert_uint_eq(copy.s.apm_status, 0x77);
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
	uint64_t seed = 0x7069697834, now = 0;

	for (unsigned int step = 0; step < 50000; step++) {
		uint64_t value = next_random(&seed);
		unsigned int bytes = 1u << (value >> 62) % 3;
		const struct piix4_pm_state *s = &chip.s;
		bool event;

		now += value >> 32 & 0xfffffff;
		read_at(value >> 8 & 0x7f, bytes, now);
		if (value & 1)
			write_at(value >> 8 & 0x1f, bytes, next_random(&seed), now);
		else if (value & 2)
			write_apm(value >> 8 & 1, 0xf0 | (value >> 9 & 1));
		else
			piix4_pm_set_gpe(&chip, value >> 8 & 0x1f, value & 4);
		advance_to(now);
		event = s->status & s->enable || s->gpe_status & s->gpe_enable;
		ck_assert_int_eq(sci, event && s->control & SCI_EN);
		ck_assert_uint_gt(piix4_pm_device.deadline(&chip), now);
	}
}
END_TEST

START_TEST(reset_control)
{
	struct reset_control reset = { .reset = { count_rises, &resets, 0 } };
	struct reset_control_state before;

	reset_control_device.init(&reset);
	ck_assert_uint_eq(reset_control_io.read(&reset, 0, 1), 0);
	/* The kind is written first, then the rise of bit 2 resets. */
	reset_control_io.write(&reset, 0, 1, 0xf2);
	ck_assert_uint_eq(resets, 0);
	reset_control_io.write(&reset, 0, 1, 0x06);
	ck_assert_uint_eq(resets, 1);
	ck_assert_uint_eq(reset_control_io.read(&reset, 0, 1), 0x06);
	reset_control_io.write(&reset, 0, 1, 0x06);
	ck_assert_uint_eq(resets, 1);
	before = reset.s;
	reset_control_device.init(&reset);
	roundtrip(&reset_control_state_table, 0, &before, &reset.s);
	ck_assert_uint_eq(reset_control_io.read(&reset, 0, 1), 0x06);
	reset_control_io.write(&reset, 0, 1, 0x00);
	reset_control_io.write(&reset, 0, 1, 0x04);
	ck_assert_uint_eq(resets, 2);
}
END_TEST

SUITE("piix4_pm", tcase)
{
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, acpi_mode);
	tcase_add_test(tcase, power_button);
	tcase_add_test(tcase, button_taken);
	tcase_add_test(tcase, soft_off);
	tcase_add_test(tcase, timer_counts);
	tcase_add_test(tcase, timer_overflow);
	tcase_add_test(tcase, unwatched_overflow_sets_status);
	tcase_add_test(tcase, general_purpose_events);
	tcase_add_test(tcase, reserved_bits_and_offsets);
	tcase_add_test(tcase, save_load_save);
	tcase_add_test(tcase, random_accesses);
	tcase_add_test(tcase, reset_control);
}
