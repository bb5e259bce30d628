/* SPDX-License-Identifier: GPL-2.0 */
/* i8042: controller commands, keyboard and mouse protocols, translation, interrupts, reset. */
#include <check.h>
#include <string.h>

#include "chip/i8042.h"
#include "roundtrip.h"
#include "suite.h"

#define DATA 0u
#define COMMAND 4u
#define OBF 0x01
#define AUX 0x20

enum { IRQ1, IRQ12, RESET, LINES };

static struct i8042 chip;
static bool level[LINES];
static unsigned int edges[LINES];

static void line_changed(void *sink, unsigned int pin, bool now)
{
	ck_assert_ptr_eq(sink, level);
	edges[pin] += now && !level[pin];
	level[pin] = now;
}

static void setup(void)
{
	memset(&chip, 0xee, sizeof(chip));
	memset(level, 0, sizeof(level));
	memset(edges, 0, sizeof(edges));
	chip.irq1 = (struct line){ line_changed, level, IRQ1 };
	chip.irq12 = (struct line){ line_changed, level, IRQ12 };
	chip.reset = (struct line){ line_changed, level, RESET };
	i8042_device.init(&chip);
}

static uint8_t status(void)
{
	return (uint8_t)i8042_command_io.read(&chip, 0, 1);
}

static void command(uint8_t value)
{
	i8042_command_io.write(&chip, 0, 1, value);
	ck_assert_uint_eq(status() & 0x0a, 0x08);
}

static void data(uint8_t value)
{
	i8042_data_io.write(&chip, 0, 1, value);
	ck_assert_uint_eq(status() & 0x0a, 0);
}

static void command_byte(uint8_t value)
{
	command(0x60);
	data(value);
}

/* Reads bytes of the keyboard or controller (aux 0) or the mouse (AUX) and wants no more after them. */
static void expect(uint8_t aux, const char *bytes, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		ck_assert_uint_eq(status() & (OBF | AUX), OBF | aux);
		ck_assert_uint_eq(i8042_data_io.read(&chip, 0, 1), (uint8_t)bytes[i]);
	}
	ck_assert_uint_eq(status() & OBF, 0);
}

#define EXPECT(bytes) expect(0, bytes, sizeof(bytes) - 1)
#define EXPECT_AUX(bytes) expect(AUX, bytes, sizeof(bytes) - 1)

static void keys(const char *bytes, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		i8042_key(&chip, (uint8_t)bytes[i]);
}

#define KEYS(bytes) keys(bytes, sizeof(bytes) - 1)

static void mouse(uint8_t value)
{
	command(0xd4);
	data(value);
}

START_TEST(power_on)
{
	ck_assert_uint_eq(status(), 0x10);
	ck_assert(!level[RESET]);
	KEYS("\x1c");
	ck_assert_uint_eq(status() & OBF, 0);
	command(0x20);
	EXPECT("\x70");
}
END_TEST

/* The order of SeaBIOS: flush, tests, command byte, keyboard reset. */
START_TEST(firmware_sequence)
{
	command(0xad);
	command(0xa7);
	command(0xaa);
	EXPECT("\x55");
	ck_assert_uint_eq(status() & 0x04, 0x04);
	command(0xab);
	EXPECT("\0");
	command(0xa9);
	EXPECT("\0");
	command_byte(0x30);
	ck_assert_uint_eq(status() & 0x04, 0);
	command(0x20);
	EXPECT("\x30");
	data(0xff);
	EXPECT("\xfa\xaa");
	data(0xf5);
	EXPECT("\xfa");
	data(0xf0);
	EXPECT("\xfa");
	data(0x02);
	EXPECT("\xfa");
	command_byte(0x61);
	data(0xf4);
	ck_assert(level[IRQ1]);
	EXPECT("\xfa");
	ck_assert(!level[IRQ1]);
}
END_TEST

START_TEST(interface_switches)
{
	command_byte(0x00);
	command(0xad);
	command(0x20);
	EXPECT("\x10");
	command(0xa7);
	command(0x20);
	EXPECT("\x30");
	command(0xa8);
	command(0xae);
	command(0x20);
	EXPECT("\0");
	command(0xad);
	KEYS("\x1c");
	ck_assert_uint_eq(status() & OBF, 0);
	command(0xae);
	EXPECT("\x1c");
	command(0xad);
	data(0xee);			/* sending to the keyboard enables its interface */
	EXPECT("\xee");
	command(0x20);
	EXPECT("\0");
}
END_TEST

START_TEST(controller_ram)
{
	command(0x7f);
	data(0xa5);
	command(0x3f);
	EXPECT("\xa5");
	command(0x20);
	EXPECT("\x70");
}
END_TEST

/* Linux's i8042_check_aux and its search for a multiplexer. */
START_TEST(loops)
{
	command_byte(0x03);
	command(0xd3);
	data(0x5a);
	ck_assert(level[IRQ12]);
	ck_assert(!level[IRQ1]);
	EXPECT_AUX("\x5a");
	ck_assert(!level[IRQ12]);
	command(0xd3);
	data(0xa4);
	EXPECT_AUX("\xa4");
	command(0xd2);
	data(0x77);
	ck_assert(level[IRQ1]);
	EXPECT("\x77");
}
END_TEST

START_TEST(output_port_and_a20)
{
	command(0xd0);
	EXPECT("\xc3");
	command(0xd1);
	data(0xdd);			/* A20 off, by the sequence of old loaders */
	command(0xd0);
	EXPECT("\xcd");
	command(0xdf);
	command(0xd0);
	EXPECT("\xcf");
	command(0xdd);
	command(0xd0);
	EXPECT("\xcd");
	ck_assert_uint_eq(edges[RESET], 0);
	command(0xd2);
	data(0);
	command(0xd0);			/* the byte that waits shows as its interrupt */
	EXPECT("\xdd");
	command(0xc0);
	EXPECT("\xb0");
}
END_TEST

START_TEST(reset)
{
	command(0xff);
	command(0xf1);
	ck_assert_uint_eq(edges[RESET], 0);
	command(0xfe);
	ck_assert_uint_eq(edges[RESET], 1);
	ck_assert(!level[RESET]);
	command(0xf0);
	ck_assert_uint_eq(edges[RESET], 2);
	command(0xd1);
	data(0x02);
	ck_assert(level[RESET]);
	command(0xd1);
	data(0x03);
	ck_assert(!level[RESET]);
}
END_TEST

START_TEST(unknown_commands)
{
	command_byte(0);
	command(0x00);
	command(0xaf);
	command(0xc5);
	ck_assert_uint_eq(status() & OBF, 0);
	command(0x60);
	command(0xaa);			/* a command in the place of an argument */
	EXPECT("\x55");
	data(0xee);
	EXPECT("\xee");
}
END_TEST

START_TEST(interrupts)
{
	command_byte(0x00);
	KEYS("\x1c");
	ck_assert(!level[IRQ1]);
	command_byte(0x01);
	ck_assert(level[IRQ1]);
	KEYS("\x32\x21");
	ck_assert_uint_eq(edges[IRQ1], 1);
	EXPECT("\x1c\x32\x21");
	ck_assert_uint_eq(edges[IRQ1], 3);	/* an edge for each byte */
	ck_assert(!level[IRQ1]);
	mouse(0xf4);
	ck_assert(!level[IRQ12]);
	command_byte(0x02);
	ck_assert(level[IRQ12]);
	ck_assert(!level[IRQ1]);
	EXPECT_AUX("\xfa");
}
END_TEST

START_TEST(keyboard_identifies)
{
	command_byte(0x00);
	data(0xf2);
	EXPECT("\xfa\xab\x83");
	command_byte(0x40);
	data(0xf2);
	EXPECT("\xfa\xab\x41");
}
END_TEST

START_TEST(keyboard_commands)
{
	command_byte(0x00);
	data(0xed);
	EXPECT("\xfa");
	data(0x07);
	EXPECT("\xfa");
	ck_assert_uint_eq(chip.s.leds, 7);
	data(0xf3);
	EXPECT("\xfa");
	data(0x20);
	EXPECT("\xfa");
	ck_assert_uint_eq(chip.s.typematic, 0x20);
	data(0xfe);
	EXPECT("\xfa");
	data(0xf6);
	EXPECT("\xfa");
	ck_assert_uint_eq(chip.s.typematic, 0x2b);
	data(0xf9);
	EXPECT("\xfa");
	data(0xfb);
	EXPECT("\xfa");
	data(0x1c);
	EXPECT("\xfa");
	data(0xef);
	EXPECT("\xfe");
	data(0x01);
	EXPECT("\xfe");
	data(0xed);
	EXPECT("\xfa");
	data(0xf4);			/* a command in the place of the argument */
	EXPECT("\xfa");
	ck_assert_uint_eq(chip.s.leds, 7);
	data(0x00);
	EXPECT("\xfe");
}
END_TEST

START_TEST(keyboard_enable_and_disable)
{
	command_byte(0x00);
	data(0xf5);
	EXPECT("\xfa");
	KEYS("\x1c");
	ck_assert_uint_eq(status() & OBF, 0);
	data(0xf4);
	EXPECT("\xfa");
	KEYS("\x1c");
	EXPECT("\x1c");
	data(0xf5);
	data(0xff);			/* reset enables, and drops the answer that nobody read... */
	i8042_data_io.read(&chip, 0, 1);	/* ...but for what is in the output buffer */
	EXPECT("\xfa\xaa");
	KEYS("\x1c");
	EXPECT("\x1c");
}
END_TEST

START_TEST(scan_sets)
{
	command_byte(0x00);
	data(0xf0);
	EXPECT("\xfa");
	data(0x00);
	EXPECT("\xfa\x02");
	data(0xf0);
	EXPECT("\xfa");
	data(0x03);
	EXPECT("\xfe");
	KEYS("\x1c\xf0\x1c");
	EXPECT("\x1c\xf0\x1c");
	data(0xf0);
	EXPECT("\xfa");
	data(0x01);
	EXPECT("\xfa");
	KEYS("\x1c\xf0\x1c\xe0\x75\xe0\xf0\x75");
	EXPECT("\x1e\x9e\xe0\x48\xe0\xc8");
}
END_TEST

START_TEST(translation)
{
	command_byte(0x40);
	KEYS("\x1c\xf0\x1c");				/* A */
	EXPECT("\x1e\x9e");
	KEYS("\xe0\x75\xe0\xf0\x75");			/* cursor up */
	EXPECT("\xe0\x48\xe0\xc8");
	KEYS("\x76\x5a\x29\x66\x0d\x12\x59\x14\x11\x58");	/* Esc to Caps Lock */
	EXPECT("\x01\x1c\x39\x0e\x0f\x2a\x36\x1d\x38\x3a");
	KEYS("\x05\x06\x04\x0c\x03\x0b\x83\x0a\x01\x09\x78\x07");	/* F1 to F12 */
	EXPECT("\x3b\x3c\x3d\x3e\x3f\x40\x41\x42\x43\x44\x57\x58");
	KEYS("\x16\x1e\x26\x25\x2e\x36\x3d\x3e\x46\x45");	/* 1 to 0 */
	EXPECT("\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b");
	KEYS("\x15\x1d\x24\x2d\x2c\x35\x3c\x43\x44\x4d");	/* Q to P */
	EXPECT("\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19");
	KEYS("\x1a\x22\x21\x2a\x32\x31\x3a\x41\x49\x4a");	/* Z to / */
	EXPECT("\x2c\x2d\x2e\x2f\x30\x31\x32\x33\x34\x35");
	KEYS("\xe1\x14\x77\xe1\xf0\x14\xf0\x77");		/* Pause */
	EXPECT("\xe1\x1d\x45\xe1\x9d\xc5");
}
END_TEST

/* A full buffer waits for the break code's second half. */
START_TEST(break_prefix_across_reads)
{
	command_byte(0x40);
	KEYS("\x1c\xf0");
	ck_assert_uint_eq(i8042_data_io.read(&chip, 0, 1), 0x1e);
	ck_assert_uint_eq(status() & OBF, 0);
	KEYS("\x1c");
	EXPECT("\x9e");
}
END_TEST

START_TEST(key_overrun)
{
	command_byte(0x00);
	for (unsigned int i = 0; i < 30; i++)
		i8042_key(&chip, (uint8_t)(0x10 + i));
	for (unsigned int i = 0; i < 16; i++)		/* the output buffer and 15 of the keyboard's */
		ck_assert_uint_eq(i8042_data_io.read(&chip, 0, 1), 0x10 + i);
	EXPECT("\0");
}
END_TEST

START_TEST(answers_go_before_keys)
{
	command_byte(0x00);
	command(0xd2);
	data(0x55);
	KEYS("\x1c");
	data(0xed);
	EXPECT("\x55\xfa\x1c");
}
END_TEST

START_TEST(mouse_reset_and_identify)
{
	command_byte(0x00);
	mouse(0xff);
	EXPECT_AUX("\xfa\xaa\0");
	mouse(0xf2);
	EXPECT_AUX("\xfa\0");
	mouse(0xe9);
	EXPECT_AUX("\xfa\0\x02\x64");
}
END_TEST

START_TEST(mouse_commands)
{
	command_byte(0x00);
	mouse(0xe8);
	EXPECT_AUX("\xfa");
	mouse(0x03);
	EXPECT_AUX("\xfa");
	mouse(0xf3);
	EXPECT_AUX("\xfa");
	mouse(0xc8);
	EXPECT_AUX("\xfa");
	mouse(0xe7);
	EXPECT_AUX("\xfa");
	mouse(0xf4);
	EXPECT_AUX("\xfa");
	mouse(0xe9);
	EXPECT_AUX("\xfa\x30\x03\xc8");
	mouse(0xf0);
	EXPECT_AUX("\xfa");
	mouse(0xeb);
	EXPECT_AUX("\xfa\x08\0\0");
	mouse(0xe6);
	EXPECT_AUX("\xfa");
	mouse(0xf5);
	EXPECT_AUX("\xfa");
	mouse(0xe9);
	EXPECT_AUX("\xfa\x40\x03\xc8");
	mouse(0xea);
	EXPECT_AUX("\xfa");
	mouse(0xe1);
	EXPECT_AUX("\xfe");
	mouse(0xfe);
	EXPECT_AUX("\xfe");
	mouse(0xf6);
	EXPECT_AUX("\xfa");
	mouse(0xe9);
	EXPECT_AUX("\xfa\0\x02\x64");
}
END_TEST

START_TEST(mouse_wrap)
{
	command_byte(0x00);
	mouse(0xee);
	EXPECT_AUX("\xfa");
	mouse(0xf2);
	EXPECT_AUX("\xf2");
	mouse(0x12);
	EXPECT_AUX("\x12");
	mouse(0xec);
	EXPECT_AUX("\xfa");
	mouse(0x12);
	EXPECT_AUX("\xfe");
}
END_TEST

START_TEST(mouse_is_not_translated)
{
	command_byte(0x40);
	mouse(0xee);
	mouse(0x1c);			/* the first answer is in the output buffer */
	EXPECT_AUX("\xfa\x1c");
}
END_TEST

START_TEST(save_load_save)
{
	struct i8042 copy = { 0 };

	command_byte(0x47);
	data(0xed);
	mouse(0xe9);
	KEYS("\x1c\xf0\x1c");
	command(0xd1);
	i8042_device.init(&copy);
	roundtrip(&i8042_state_table, 0, &chip.s, &copy.s);
	ck_assert_uint_eq(i8042_data_io.read(&copy, 0, 1), 0xfa);
	ck_assert_uint_eq(i8042_data_io.read(&copy, 0, 1), 0x1e);
	ck_assert_uint_eq(i8042_data_io.read(&copy, 0, 1), 0x9e);
	ck_assert_uint_eq(i8042_data_io.read(&copy, 0, 1), 0xfa);
	ck_assert_uint_eq(i8042_data_io.read(&copy, 0, 1), 0x00);
}
END_TEST

START_TEST(any_state_is_survived)
{
	uint8_t wire[256];
	size_t bytes = state_save(&i8042_state_table, 0, &chip.s, wire, sizeof(wire));

	for (unsigned int fill = 0; fill < 256; fill += 15) {
		memset(wire + 28, (int)fill, bytes - 28);
		state_load(&i8042_state_table, 0, &chip.s, wire, bytes);
		for (unsigned int i = 0; i < 600; i++)
			i8042_data_io.read(&chip, 0, 1);
		for (unsigned int i = 0; i < 256; i++) {
			i8042_command_io.write(&chip, 0, 1, (uint8_t)i);
			i8042_data_io.write(&chip, 0, 1, (uint8_t)(i * 7));
			i8042_key(&chip, (uint8_t)i);
		}
	}
}
END_TEST

SUITE("i8042", tcase)
{
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, power_on);
	tcase_add_test(tcase, firmware_sequence);
	tcase_add_test(tcase, interface_switches);
	tcase_add_test(tcase, controller_ram);
	tcase_add_test(tcase, loops);
	tcase_add_test(tcase, output_port_and_a20);
	tcase_add_test(tcase, reset);
	tcase_add_test(tcase, unknown_commands);
	tcase_add_test(tcase, interrupts);
	tcase_add_test(tcase, keyboard_identifies);
	tcase_add_test(tcase, keyboard_commands);
	tcase_add_test(tcase, keyboard_enable_and_disable);
	tcase_add_test(tcase, scan_sets);
	tcase_add_test(tcase, translation);
	tcase_add_test(tcase, break_prefix_across_reads);
	tcase_add_test(tcase, key_overrun);
	tcase_add_test(tcase, answers_go_before_keys);
	tcase_add_test(tcase, mouse_reset_and_identify);
	tcase_add_test(tcase, mouse_commands);
	tcase_add_test(tcase, mouse_wrap);
	tcase_add_test(tcase, mouse_is_not_translated);
	tcase_add_test(tcase, save_load_save);
	tcase_add_test(tcase, any_state_is_survived);
}
