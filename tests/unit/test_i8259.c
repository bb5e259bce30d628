/* SPDX-License-Identifier: GPL-2.0 */
/* i8259: initialisation, priorities, end of interrupt, modes, cascade. */
#include <check.h>
#include <string.h>

#include "chip/i8259.h"
#include "roundtrip.h"
#include "suite.h"

#define COMMAND 0u
#define DATA 1u

static struct i8259 master, slave;
static bool cpu_int;
static unsigned int cpu_edges;

static void cpu_set(void *sink, unsigned int pin, bool level)
{
	ck_assert_ptr_null(sink);
	ck_assert_uint_eq(pin, 5);
	cpu_edges += level && !cpu_int;
	cpu_int = level;
}

static uint8_t read_from(struct i8259 *chip, unsigned int offset)
{
	return (uint8_t)i8259_io.read(chip, offset, 1);
}

static void write_to(struct i8259 *chip, unsigned int offset, uint8_t value)
{
	i8259_io.write(chip, offset, 1, value);
}

static void program(struct i8259 *chip, uint8_t base, uint8_t icw3, uint8_t icw4, uint8_t imr)
{
	write_to(chip, COMMAND, 0x11);
	write_to(chip, DATA, base);
	write_to(chip, DATA, icw3);
	write_to(chip, DATA, icw4);
	write_to(chip, DATA, imr);
}

static void setup(void)
{
	memset(&master, 0, sizeof(master));
	memset(&slave, 0, sizeof(slave));
	cpu_int = false;
	cpu_edges = 0;
	master.out = (struct line){ cpu_set, NULL, 5 };
	master.master = true;
	master.elcr_mask = 0xf8;
	slave.out = (struct line){ i8259_set_pin, &master, I8259_CASCADE };
	slave.elcr_mask = 0xde;
	i8259_device.init(&master);
	i8259_device.init(&slave);
	program(&master, 0x20, 0x04, 0x01, 0);
	program(&slave, 0x28, 0x02, 0x01, 0);
}

static void pin(unsigned int irq, bool level)
{
	i8259_set_pin(irq < 8 ? &master : &slave, irq % 8, level);
}

static void pulse(unsigned int irq)
{
	pin(irq, true);
	pin(irq, false);
}

static uint8_t take(void)
{
	return i8259_pair_acknowledge(&master, &slave);
}

static uint8_t read_isr(struct i8259 *chip)
{
	write_to(chip, COMMAND, 0x0b);
	return read_from(chip, COMMAND);
}

static uint8_t read_irr(struct i8259 *chip)
{
	write_to(chip, COMMAND, 0x0a);
	return read_from(chip, COMMAND);
}

START_TEST(silent_before_initialisation)
{
	i8259_device.init(&master);
	pulse(1);
	ck_assert(!i8259_pending(&master));
	ck_assert(!cpu_int);
}
END_TEST

/* The sequence and the probe of Linux's init_8259A: all masked, then a mask pattern is read back. */
START_TEST(linux_initialisation)
{
	write_to(&master, DATA, 0xff);
	pulse(0);
	ck_assert(!cpu_int);
	ck_assert_uint_eq(read_from(&master, DATA), 0xff);
	write_to(&slave, DATA, 0xff);
	write_to(&master, DATA, 0xfb);
	ck_assert_uint_eq(read_from(&master, DATA), 0xfb);
	write_to(&master, COMMAND, 0x11);
	ck_assert_uint_eq(read_from(&master, DATA), 0);
	write_to(&master, DATA, 0x30);
	write_to(&master, DATA, 0x04);
	write_to(&master, DATA, 0x01);
	pulse(4);
	ck_assert(cpu_int);
	ck_assert_uint_eq(take(), 0x34);
}
END_TEST

START_TEST(icw2_ignores_low_bits)
{
	program(&master, 0x0f, 0x04, 0x01, 0);
	pulse(1);
	ck_assert_uint_eq(take(), 0x09);
}
END_TEST

START_TEST(icw1_clears_edges_masks_and_modes)
{
	write_to(&master, COMMAND, 0xc3);	/* set priority: 3 lowest */
	write_to(&master, COMMAND, 0x68);	/* special mask mode */
	pin(1, true);
	take();
	pin(3, true);
	write_to(&master, COMMAND, 0x11);
	ck_assert(!cpu_int);
	write_to(&master, DATA, 0x20);
	write_to(&master, DATA, 0x04);
	ck_assert(!cpu_int);
	write_to(&master, DATA, 0x01);
	ck_assert_uint_eq(read_from(&master, COMMAND), 0);	/* IRR selected; a held pin needs a new edge */
	ck_assert_uint_eq(read_isr(&master), 0);
	ck_assert(!cpu_int);
	pin(3, false);
	pin(3, true);
	pulse(4);
	ck_assert_uint_eq(take(), 0x23);
	ck_assert(!cpu_int);
}
END_TEST

START_TEST(single_mode_without_icw4)
{
	write_to(&master, COMMAND, 0x12);
	write_to(&master, DATA, 0x40);
	write_to(&master, DATA, 0x02);	/* already OCW1 */
	ck_assert_uint_eq(read_from(&master, DATA), 0x02);
	pulse(0);
	ck_assert_uint_eq(i8259_acknowledge(&master), 0x40);
}
END_TEST

START_TEST(cascaded_without_icw4)
{
	write_to(&master, COMMAND, 0x10);
	write_to(&master, DATA, 0x40);
	write_to(&master, DATA, 0x04);
	write_to(&master, DATA, 0xf0);
	ck_assert_uint_eq(read_from(&master, DATA), 0xf0);
}
END_TEST

START_TEST(fixed_priority_and_nesting)
{
	pulse(5);
	pulse(3);
	ck_assert_uint_eq(read_irr(&master), 0x28);
	ck_assert_uint_eq(take(), 0x23);
	ck_assert_uint_eq(read_isr(&master), 0x08);
	ck_assert_uint_eq(read_irr(&master), 0x20);
	ck_assert(!cpu_int);		/* 5 waits for 3 */
	pulse(3);
	ck_assert(!cpu_int);		/* so does 3 itself */
	pulse(0);
	ck_assert(cpu_int);
	ck_assert_uint_eq(take(), 0x20);
	write_to(&master, COMMAND, 0x20);
	ck_assert_uint_eq(read_isr(&master), 0x08);
	write_to(&master, COMMAND, 0x20);
	ck_assert_uint_eq(take(), 0x23);
	write_to(&master, COMMAND, 0x63);	/* specific EOI of 3 */
	ck_assert_uint_eq(take(), 0x25);
	write_to(&master, COMMAND, 0x20);
	ck_assert_uint_eq(read_isr(&master), 0);
}
END_TEST

START_TEST(mask_holds_requests_back)
{
	write_to(&master, DATA, 0x02);
	pulse(1);
	ck_assert(!cpu_int);
	ck_assert_uint_eq(read_irr(&master), 0x02);
	write_to(&master, DATA, 0x00);
	ck_assert(cpu_int);
	ck_assert_uint_eq(take(), 0x21);
}
END_TEST

START_TEST(spurious_interrupt)
{
	ck_assert_uint_eq(take(), 0x27);
	ck_assert_uint_eq(read_isr(&master), 0);
	ck_assert_int_eq(i8259_acknowledge(&slave), 0x2f);
	ck_assert_uint_eq(read_isr(&slave), 0);
}
END_TEST

START_TEST(specific_eoi_out_of_order)
{
	pulse(4);
	take();
	pulse(2 - 1);
	take();
	write_to(&master, COMMAND, 0x64);
	ck_assert_uint_eq(read_isr(&master), 0x02);
	write_to(&master, COMMAND, 0x40);	/* no operation */
	ck_assert_uint_eq(read_isr(&master), 0x02);
}
END_TEST

START_TEST(rotation)
{
	pulse(3);
	take();
	write_to(&master, COMMAND, 0xa0);	/* rotate on non-specific EOI: 3 is lowest now */
	pulse(3);
	pulse(4);
	pulse(1);
	ck_assert_uint_eq(take(), 0x24);
	write_to(&master, COMMAND, 0xe4);	/* rotate on specific EOI of 4 */
	ck_assert_uint_eq(take(), 0x21);
	write_to(&master, COMMAND, 0x20);
	ck_assert_uint_eq(take(), 0x23);
	write_to(&master, COMMAND, 0x20);
	write_to(&master, COMMAND, 0xc6);	/* set priority: 7 is highest */
	pulse(0);
	pulse(7);
	ck_assert_uint_eq(take(), 0x27);
	ck_assert_uint_eq(read_isr(&master), 0x80);
}
END_TEST

START_TEST(automatic_eoi)
{
	program(&master, 0x20, 0x04, 0x03, 0);
	pulse(1);
	pulse(6);
	ck_assert_uint_eq(take(), 0x21);
	ck_assert_uint_eq(read_isr(&master), 0);
	ck_assert(cpu_int);
	ck_assert_uint_eq(take(), 0x26);
	write_to(&master, COMMAND, 0x80);	/* rotate in automatic EOI mode */
	pulse(0);
	ck_assert_uint_eq(take(), 0x20);
	pulse(0);
	pulse(7);
	ck_assert_uint_eq(take(), 0x27);
	ck_assert_uint_eq(take(), 0x20);
	write_to(&master, COMMAND, 0x00);
	pulse(3);
	take();
	pulse(3);
	pulse(1);
	ck_assert_uint_eq(take(), 0x21);	/* no rotation any more: 0 is still lowest */
}
END_TEST

START_TEST(special_mask_mode)
{
	pulse(3);
	take();
	write_to(&master, DATA, 0x08);
	pulse(6);
	ck_assert(!cpu_int);
	write_to(&master, COMMAND, 0x68);
	ck_assert(cpu_int);
	ck_assert_uint_eq(take(), 0x26);
	write_to(&master, COMMAND, 0x20);	/* leaves the masked level in service */
	ck_assert_uint_eq(read_isr(&master), 0x08);
	pulse(5);
	ck_assert(cpu_int);
	write_to(&master, COMMAND, 0x08);	/* ESMM clear: no change */
	ck_assert(cpu_int);
	write_to(&master, COMMAND, 0x48);
	ck_assert(!cpu_int);
	write_to(&master, COMMAND, 0x20);
	ck_assert_uint_eq(take(), 0x25);
}
END_TEST

START_TEST(poll_command)
{
	write_to(&master, COMMAND, 0x0c);
	ck_assert_uint_eq(read_from(&master, COMMAND), 0);
	pulse(4);
	write_to(&master, COMMAND, 0x0c);
	ck_assert_uint_eq(read_from(&master, COMMAND), 0x84);
	ck_assert(!cpu_int);
	ck_assert_uint_eq(read_isr(&master), 0x10);
	ck_assert_uint_eq(read_from(&master, COMMAND), 0x10);	/* one read a command, selection kept */
	write_to(&master, COMMAND, 0x0f);	/* poll wins over register read */
	ck_assert_uint_eq(read_from(&master, COMMAND), 0);
}
END_TEST

START_TEST(level_triggered)
{
	i8259_elcr_io.write(&master, 0, 1, 0xff);
	ck_assert_uint_eq(i8259_elcr_io.read(&master, 0, 1), 0xf8);
	i8259_elcr_io.write(&slave, 0, 1, 0xff);
	ck_assert_uint_eq(i8259_elcr_io.read(&slave, 0, 1), 0xde);
	pin(5, true);
	ck_assert_uint_eq(take(), 0x25);
	ck_assert_uint_eq(read_irr(&master), 0x20);
	ck_assert(!cpu_int);
	write_to(&master, COMMAND, 0x20);
	ck_assert(cpu_int);		/* still asserted: again */
	ck_assert_uint_eq(take(), 0x25);
	pin(5, false);
	write_to(&master, COMMAND, 0x20);
	ck_assert(!cpu_int);
	pulse(5);
	ck_assert(!cpu_int);		/* not latched */
}
END_TEST

START_TEST(edge_triggered)
{
	pin(1, true);
	ck_assert_uint_eq(take(), 0x21);
	write_to(&master, COMMAND, 0x20);
	ck_assert(!cpu_int);
	pin(1, true);
	ck_assert(!cpu_int);		/* held, no edge */
	pulse(1);
	ck_assert(!cpu_int);
	pulse(1);
	ck_assert(cpu_int);
}
END_TEST

START_TEST(cascade)
{
	pulse(12);
	pulse(10);
	ck_assert(cpu_int);
	ck_assert_uint_eq(take(), 0x2a);
	ck_assert_uint_eq(read_isr(&master), 0x04);
	ck_assert_uint_eq(read_isr(&slave), 0x04);
	ck_assert(!cpu_int);
	pulse(8);			/* higher, but the master does not nest its cascade pin */
	ck_assert(!cpu_int);
	pulse(1);
	ck_assert(cpu_int);
	ck_assert_uint_eq(take(), 0x21);
	write_to(&master, COMMAND, 0x20);
	write_to(&slave, COMMAND, 0x20);
	write_to(&master, COMMAND, 0x62);
	ck_assert_uint_eq(take(), 0x28);
	write_to(&slave, COMMAND, 0x20);
	write_to(&master, COMMAND, 0x20);
	ck_assert_uint_eq(take(), 0x2c);
	write_to(&slave, COMMAND, 0x20);
	write_to(&master, COMMAND, 0x20);
	ck_assert(!cpu_int);
	ck_assert_uint_eq(read_isr(&master) | read_isr(&slave), 0);
}
END_TEST

START_TEST(slave_takes_request_back)
{
	pin(14, true);
	ck_assert(cpu_int);
	write_to(&slave, DATA, 0x40);
	ck_assert(!cpu_int);
	write_to(&slave, DATA, 0x00);
	ck_assert(cpu_int);
}
END_TEST

START_TEST(special_fully_nested_mode)
{
	program(&master, 0x20, 0x04, 0x11, 0);
	pulse(12);
	ck_assert_uint_eq(take(), 0x2c);
	pulse(3);
	ck_assert(!cpu_int);		/* lower than the slave */
	pulse(8);
	ck_assert(cpu_int);
	ck_assert_uint_eq(take(), 0x28);
	ck_assert_uint_eq(read_isr(&slave), 0x11);
	write_to(&slave, COMMAND, 0x20);
	write_to(&slave, COMMAND, 0x20);
	write_to(&master, COMMAND, 0x20);
	ck_assert_uint_eq(take(), 0x23);
}
END_TEST

START_TEST(int_falls_between_requests)
{
	program(&master, 0x20, 0x04, 0x03, 0);
	pulse(1);
	pulse(2 + 1);
	ck_assert_uint_eq(cpu_edges, 1);
	take();
	ck_assert_uint_eq(cpu_edges, 2);
}
END_TEST

START_TEST(every_pair_of_priorities)
{
	for (unsigned int lowest = 0; lowest < 8; lowest++) {
		for (unsigned int i = 0; i < 64; i++) {
			unsigned int first = i / 8, second = i % 8;
			bool nests = (second + 7 - lowest) % 8 < (first + 7 - lowest) % 8;

			if (first == second || first == I8259_CASCADE || second == I8259_CASCADE)
				continue;
			program(&master, 0x20, 0x04, 0x01, 0);
			write_to(&master, COMMAND, (uint8_t)(0xc0 | lowest));
			pulse(first);
			ck_assert_uint_eq(take(), 0x20 + first);
			pulse(second);
			ck_assert_int_eq(cpu_int, nests);
		}
	}
	program(&master, 0x20, 0x04, 0x01, 0);	/* ICW1 makes 7 the lowest again */
	pulse(1);
	pulse(0);
	ck_assert_uint_eq(take(), 0x20);
}
END_TEST

START_TEST(specific_rotation_makes_the_pin_lowest)
{
	pulse(4);
	take();
	write_to(&master, COMMAND, 0xe4);
	ck_assert_uint_eq(read_isr(&master), 0);
	pulse(4);
	pulse(3);
	pulse(5);
	ck_assert_uint_eq(take(), 0x25);
	write_to(&master, COMMAND, 0x20);
	ck_assert_uint_eq(take(), 0x23);
}
END_TEST

START_TEST(save_load_save)
{
	struct i8259 copy = { .master = true, .elcr_mask = 0xf8 };

	i8259_elcr_io.write(&master, 0, 1, 0x20);
	write_to(&master, DATA, 0x41);
	write_to(&master, COMMAND, 0xc1);
	write_to(&master, COMMAND, 0x0b);
	pin(5, true);
	pulse(3);
	pulse(4);
	take();
	i8259_device.init(&copy);
	roundtrip(&i8259_state_table, 0, &master.s, &copy.s);
	ck_assert_mem_eq(&copy.s, &master.s, sizeof(copy.s));
	write_to(&copy, COMMAND, 0x20);
	ck_assert(i8259_pending(&copy));
	ck_assert_int_eq(i8259_acknowledge(&copy), 0x24);
}
END_TEST

SUITE("i8259", tcase)
{
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, silent_before_initialisation);
	tcase_add_test(tcase, linux_initialisation);
	tcase_add_test(tcase, icw2_ignores_low_bits);
	tcase_add_test(tcase, icw1_clears_edges_masks_and_modes);
	tcase_add_test(tcase, single_mode_without_icw4);
	tcase_add_test(tcase, cascaded_without_icw4);
	tcase_add_test(tcase, fixed_priority_and_nesting);
	tcase_add_test(tcase, mask_holds_requests_back);
	tcase_add_test(tcase, spurious_interrupt);
	tcase_add_test(tcase, specific_eoi_out_of_order);
	tcase_add_test(tcase, rotation);
	tcase_add_test(tcase, automatic_eoi);
	tcase_add_test(tcase, special_mask_mode);
	tcase_add_test(tcase, poll_command);
	tcase_add_test(tcase, level_triggered);
	tcase_add_test(tcase, edge_triggered);
	tcase_add_test(tcase, cascade);
	tcase_add_test(tcase, slave_takes_request_back);
	tcase_add_test(tcase, special_fully_nested_mode);
	tcase_add_test(tcase, int_falls_between_requests);
	tcase_add_test(tcase, every_pair_of_priorities);
	tcase_add_test(tcase, specific_rotation_makes_the_pin_lowest);
	tcase_add_test(tcase, save_load_save);
}
