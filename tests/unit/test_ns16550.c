/* SPDX-License-Identifier: GPL-2.0 */
/* ns16550: registers, interrupts as drivers expect them, FIFOs, loopback, back pressure. */
#include <check.h>
#include <string.h>

#include "chip/ns16550.h"
#include "roundtrip.h"
#include "suite.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define FCR IIR

static struct ns16550 chip;
static bool irq;
static unsigned int edges;
static uint8_t sent[256];
static unsigned int sent_count, room;

static void irq_set(void *sink, unsigned int pin, bool level)
{
	(void)sink;
	(void)pin;
	edges += level && !irq;
	irq = level;
}

static bool transmit(void *owner, uint8_t byte)
{
	ck_assert_ptr_eq(owner, sent);
	if (sent_count == room)
		return false;
	sent[sent_count++] = byte;
	return true;
}

static void setup(void)
{
	memset(&chip, 0xee, sizeof(chip));
	chip.irq = (struct line){ irq_set, NULL, 0 };
	chip.transmit = transmit;
	chip.receive = NULL;
	chip.owner = sent;
	irq = false;
	edges = sent_count = 0;
	room = sizeof(sent);
	ns16550_device.init(&chip);
}

static uint8_t rd(unsigned int offset)
{
	return (uint8_t)ns16550_io.read(&chip, offset, 1);
}

static void wr(unsigned int offset, uint8_t value)
{
	ns16550_io.write(&chip, offset, 1, value);
}

static void receive_string(const char *text)
{
	while (*text)
		ns16550_receive(&chip, (uint8_t)*text++);
}

/* Data sheet, table I: reset. */
START_TEST(reset_values)
{
	ck_assert_uint_eq(rd(IER), 0);
	ck_assert_uint_eq(rd(IIR), 0x01);
	ck_assert_uint_eq(rd(LCR), 0);
	ck_assert_uint_eq(rd(MCR), 0);
	ck_assert_uint_eq(rd(LSR), 0x60);
	ck_assert_uint_eq(rd(MSR), 0xb0);
	ck_assert(!irq);
}
END_TEST

START_TEST(plain_registers)
{
	wr(SCR, 0x5a);
	ck_assert_uint_eq(rd(SCR), 0x5a);
	wr(LCR, 0x83);
	wr(DATA, 0x0c);
	wr(IER, 0x34);
	ck_assert_uint_eq(rd(DATA), 0x0c);
	ck_assert_uint_eq(rd(IER), 0x34);
	wr(LCR, 0x03);
	ck_assert_uint_eq(rd(LCR), 0x03);
	ck_assert_uint_eq(rd(IER), 0);
	ck_assert_uint_eq(sent_count, 0);
	wr(IER, 0xff);			/* the high half reads as zero: autoconfig tests it */
	ck_assert_uint_eq(rd(IER), 0x0f);
	wr(MCR, 0xff);
	ck_assert_uint_eq(rd(MCR), 0x1f);
	wr(LSR, 0xff);
	wr(MSR, 0xff);
	ck_assert_uint_eq(rd(LSR), 0x60);
	ck_assert_uint_eq(rd(8 + SCR), 0x5a);
}
END_TEST

START_TEST(linux_finds_a_16550a)
{
	wr(MCR, 0x1a);			/* autoconfig's loopback test */
	ck_assert_uint_eq(rd(MSR) & 0xf0, 0x90);
	wr(MCR, 0);
	wr(FCR, 0x01);
	ck_assert_uint_eq(rd(IIR) >> 6, 3);
	wr(FCR, 0x00);
	ck_assert_uint_eq(rd(IIR) >> 6, 0);
	wr(FCR, 0xe1);			/* bit 5 is the 16750's: not here */
	ck_assert_uint_eq(rd(IIR) >> 5, 6);
}
END_TEST

START_TEST(transmit_at_once)
{
	for (const char *text = "hello"; *text; text++) {
		ck_assert_uint_eq(rd(LSR) & 0x60, 0x60);
		wr(DATA, (uint8_t)*text);
	}
	ck_assert_uint_eq(sent_count, 5);
	ck_assert_mem_eq(sent, "hello", 5);
	ck_assert(!irq);
}
END_TEST

/* serial8250's test for a broken THRE interrupt: each enabling must raise it again. */
START_TEST(thre_interrupt_is_raised_by_enabling)
{
	wr(MCR, 0x08);
	wr(IER, 0x02);
	ck_assert(irq);
	ck_assert_uint_eq(rd(IIR), 0x02);
	ck_assert(!irq);
	ck_assert_uint_eq(rd(IIR), 0x01);
	wr(IER, 0x02);			/* no rising bit: nothing */
	ck_assert_uint_eq(rd(IIR), 0x01);
	wr(IER, 0x00);
	wr(IER, 0x02);
	ck_assert_uint_eq(rd(IIR), 0x02);
}
END_TEST

START_TEST(thre_interrupt_after_each_write)
{
	wr(MCR, 0x08);
	wr(IER, 0x02);
	rd(IIR);
	edges = 0;
	wr(DATA, 'a');
	ck_assert(irq);
	ck_assert_uint_eq(edges, 1);
	wr(DATA, 'b');			/* an edge even if nobody asked for the last one */
	ck_assert_uint_eq(edges, 2);
	ck_assert_uint_eq(rd(IIR), 0x02);
	ck_assert(!irq);
	wr(IER, 0);
	wr(DATA, 'c');
	ck_assert(!irq);
}
END_TEST

START_TEST(the_line_does_not_wait_for_out2)
{
	wr(IER, 0x03);
	ck_assert(irq);
	ck_assert_uint_eq(rd(IIR), 0x02);
	ck_assert(!irq);
	receive_string("x");
	ck_assert(irq);
	for (unsigned int mcr = 0; mcr < 0x10; mcr++) {
		edges = 0;
		wr(MCR, mcr);
		ck_assert(irq);
		ck_assert_uint_eq(edges, 0);
	}
	ck_assert_uint_eq(rd(DATA), 'x');
	ck_assert(!irq);
}
END_TEST

START_TEST(receive_without_fifo)
{
	wr(MCR, 0x08);
	wr(IER, 0x01);
	ck_assert_uint_eq(ns16550_receive_room(&chip), 1);
	ns16550_receive(&chip, 'x');
	ck_assert_uint_eq(ns16550_receive_room(&chip), 0);
	ck_assert(irq);
	ck_assert_uint_eq(rd(IIR), 0x04);
	ck_assert_uint_eq(rd(LSR), 0x61);
	ck_assert_uint_eq(rd(DATA), 'x');
	ck_assert(!irq);
	ck_assert_uint_eq(rd(LSR), 0x60);
	ck_assert_uint_eq(rd(DATA), 'x');
	receive_string("yz");		/* overrun: the new character takes the place */
	ck_assert_uint_eq(rd(LSR), 0x63);
	ck_assert_uint_eq(rd(LSR), 0x61);
	ck_assert_uint_eq(rd(DATA), 'z');
}
END_TEST

START_TEST(receive_fifo_trigger_and_timeout)
{
	static const struct { uint8_t fcr, level; } triggers[] = {
		{ 0x01, 1 }, { 0x41, 4 }, { 0x81, 8 }, { 0xc1, 14 },
	};

	wr(MCR, 0x08);
	wr(IER, 0x01);
	for (unsigned int t = 0; t < 4; t++) {
		wr(FCR, triggers[t].fcr | 0x06);
		for (unsigned int i = 1; i <= 16; i++) {
			ck_assert_uint_eq(ns16550_receive_room(&chip), 17 - i);
			ns16550_receive(&chip, (uint8_t)i);
			ck_assert(irq);
			ck_assert_uint_eq(rd(IIR), i >= triggers[t].level ? 0xc4 : 0xcc);
		}
		for (unsigned int i = 1; i <= 16; i++) {
			ck_assert_uint_eq(rd(LSR) & 1, 1);
			ck_assert_uint_eq(rd(DATA), i);
		}
		ck_assert_uint_eq(rd(IIR), 0xc1);
		ck_assert(!irq);
	}
}
END_TEST

START_TEST(receive_fifo_overrun_keeps_the_old)
{
	wr(FCR, 0x01);
	receive_string("0123456789abcdefX");
	ck_assert_uint_eq(rd(LSR), 0x63);
	for (const char *text = "0123456789abcdef"; *text; text++)
		ck_assert_uint_eq(rd(DATA), *text);
	ck_assert_uint_eq(rd(LSR), 0x60);
}
END_TEST

START_TEST(fifo_resets)
{
	wr(FCR, 0x01);
	receive_string("abc");
	wr(FCR, 0x03);
	ck_assert_uint_eq(rd(LSR), 0x60);
	receive_string("abc");
	wr(FCR, 0x00);			/* switching clears */
	ck_assert_uint_eq(rd(LSR), 0x60);
	wr(FCR, 0x01);
	room = 0;
	wr(DATA, 'q');
	ck_assert_uint_eq(rd(LSR), 0);
	wr(FCR, 0x05);
	ck_assert_uint_eq(rd(LSR), 0x60);
	room = 1;
	ns16550_drain(&chip);
	ck_assert_uint_eq(sent_count, 0);
}
END_TEST

START_TEST(priorities)
{
	wr(MCR, 0x08);
	wr(IER, 0x0f);
	wr(MCR, 0x18);
	wr(MCR, 0x08);			/* modem lines moved */
	receive_string("ab");		/* data and overrun */
	ck_assert_uint_eq(rd(IIR), 0x06);
	rd(LSR);
	ck_assert_uint_eq(rd(IIR), 0x04);
	rd(DATA);
	ck_assert_uint_eq(rd(IIR), 0x02);
	ck_assert_uint_eq(rd(IIR), 0x00);
	ck_assert(irq);
	ck_assert_uint_eq(rd(MSR) & 0x0f, 0x03);
	ck_assert_uint_eq(rd(IIR), 0x01);
	ck_assert(!irq);
}
END_TEST

START_TEST(reading_iir_spares_thre_behind_others)
{
	wr(IER, 0x03);
	ns16550_receive(&chip, 'a');
	ck_assert_uint_eq(rd(IIR), 0x04);
	rd(DATA);
	ck_assert_uint_eq(rd(IIR), 0x02);
}
END_TEST

START_TEST(loopback)
{
	wr(FCR, 0x01);
	wr(MCR, 0x10);
	ck_assert_uint_eq(ns16550_receive_room(&chip), 0);
	ns16550_receive(&chip, 'n');
	ck_assert_uint_eq(rd(LSR) & 1, 0);
	wr(DATA, 'l');
	ck_assert_uint_eq(sent_count, 0);
	ck_assert_uint_eq(rd(LSR), 0x61);
	ck_assert_uint_eq(rd(DATA), 'l');
	rd(MSR);
	wr(MCR, 0x11);
	ck_assert_uint_eq(rd(MSR), 0x22);
	ck_assert_uint_eq(rd(MSR), 0x20);
	wr(MCR, 0x12);
	ck_assert_uint_eq(rd(MSR), 0x13);
	wr(MCR, 0x14);
	ck_assert_uint_eq(rd(MSR), 0x41);	/* RI: only its falling edge counts */
	wr(MCR, 0x10);
	ck_assert_uint_eq(rd(MSR), 0x04);
	wr(MCR, 0x18);
	ck_assert_uint_eq(rd(MSR), 0x88);
	wr(MCR, 0x00);
	ck_assert_uint_eq(rd(MSR), 0xb3);
}
END_TEST

START_TEST(back_pressure)
{
	wr(MCR, 0x08);
	wr(FCR, 0x01);
	wr(IER, 0x02);
	rd(IIR);
	room = 2;
	for (char c = 'a'; c < 'a' + 18; c++)
		wr(DATA, (uint8_t)c);
	ck_assert_uint_eq(sent_count, 2);
	ck_assert_uint_eq(rd(LSR) & 0x60, 0);
	ck_assert_uint_eq(rd(IIR), 0xc1);
	wr(DATA, '!');				/* THR full: lost */
	room = 10;
	ns16550_drain(&chip);
	ck_assert_uint_eq(sent_count, 10);
	ck_assert(!irq);
	room = sizeof(sent);
	ns16550_drain(&chip);
	ck_assert_uint_eq(sent_count, 18);
	ck_assert_mem_eq(sent, "abcdefghijklmnopqr", 18);
	ck_assert(irq);
	ck_assert_uint_eq(rd(LSR) & 0x60, 0x60);
	ck_assert_uint_eq(rd(IIR), 0xc2);
	ns16550_drain(&chip);
	ck_assert_uint_eq(rd(IIR), 0xc1);
}
END_TEST

START_TEST(no_thre_interrupt_while_full)
{
	room = 0;
	wr(DATA, 'a');
	wr(IER, 0x02);
	ck_assert_uint_eq(rd(IIR), 0x01);
}
END_TEST

START_TEST(nobody_attached)
{
	chip.transmit = NULL;
	wr(DATA, 'a');
	ck_assert_uint_eq(rd(LSR), 0x60);
}
END_TEST

START_TEST(each_source_has_its_enable)
{
	static const uint8_t causes[] = { 0xcc, 0xc2, 0xc6, 0xc0 };	/* by bit of the IER */

	wr(MCR, 0x08);
	for (unsigned int cause = 0; cause < 4; cause++) {
		for (uint8_t ier = 0; ier < 16; ier++) {
			ns16550_device.init(&chip);
			wr(FCR, 0xc1);
			wr(IER, ier);
			rd(IIR);
			if (cause == 0)
				receive_string("a");
			if (cause == 1)
				wr(DATA, 'a');
			if (cause == 2)
				chip.s.lsr_errors = 0x10;
			if (cause == 3) {
				wr(MCR, 0x10);
				wr(MCR, 0x00);
			}
			ck_assert_uint_eq(rd(IIR), ier & 1u << cause ? causes[cause] : 0xc1);
		}
	}
}
END_TEST

START_TEST(trigger_change_keeps_the_data)
{
	wr(FCR, 0xc1);
	wr(IER, 0x01);
	receive_string("abcd");
	ck_assert_uint_eq(rd(IIR), 0xcc);
	wr(FCR, 0x41);
	ck_assert_uint_eq(rd(IIR), 0xc4);
	ck_assert_uint_eq(rd(DATA), 'a');
}
END_TEST

START_TEST(clearing_the_transmitter_interrupts)
{
	room = 0;
	wr(FCR, 0x01);
	wr(DATA, 'a');
	wr(IER, 0x02);
	ck_assert_uint_eq(rd(IIR), 0xc1);
	wr(FCR, 0x05);
	ck_assert_uint_eq(rd(IIR), 0xc2);
}
END_TEST

START_TEST(save_load_save)
{
	struct ns16550 copy = { 0 };

	wr(LCR, 0x83);
	wr(DATA, 1);
	wr(LCR, 0x03);
	wr(FCR, 0x81);
	wr(IER, 0x0f);
	wr(MCR, 0x0b);
	wr(SCR, 0x77);
	room = 1;
	wr(DATA, 'a');
	wr(DATA, 'b');
	wr(DATA, 'c');
	receive_string("0123456789abcdefg");
	rd(DATA);
	ns16550_device.init(&copy);
	roundtrip(&ns16550_state_table, 0, &chip.s, &copy.s);
	ck_assert_uint_eq(ns16550_io.read(&copy, IIR, 1), 0xc6);
	ck_assert_uint_eq(ns16550_io.read(&copy, DATA, 1), '1');
}
END_TEST

static unsigned int asked;

static void count_asking(void *owner)
{
	(void)owner;
	asked++;
}

/* What may have made room for a character has the owner asked for one; what cannot does not. */
START_TEST(asks_for_characters)
{
	chip.receive = count_asking;
	rd(DATA);
	ck_assert_uint_eq(asked, 1);
	wr(IIR, 0x07);
	ck_assert_uint_eq(asked, 2);
	wr(DATA, 'a');
	rd(LSR);
	ck_assert_uint_eq(asked, 2);
}
END_TEST

START_TEST(any_state_is_survived)
{
	uint8_t wire[256];
	size_t bytes = state_save(&ns16550_state_table, 0, &chip.s, wire, sizeof(wire));

	for (unsigned int fill = 0; fill < 256; fill++) {
		memset(wire + 28, (int)fill, bytes - 28);
		state_load(&ns16550_state_table, 0, &chip.s, wire, bytes);
		sent_count = 0;
		for (unsigned int i = 0; i < 8; i++)
			rd(i);
		ns16550_receive_room(&chip);
		ns16550_receive(&chip, 1);
		ns16550_drain(&chip);
	}
}
END_TEST

SUITE("ns16550", tcase)
{
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, reset_values);
	tcase_add_test(tcase, plain_registers);
	tcase_add_test(tcase, linux_finds_a_16550a);
	tcase_add_test(tcase, transmit_at_once);
	tcase_add_test(tcase, thre_interrupt_is_raised_by_enabling);
	tcase_add_test(tcase, thre_interrupt_after_each_write);
	tcase_add_test(tcase, the_line_does_not_wait_for_out2);
	tcase_add_test(tcase, receive_without_fifo);
	tcase_add_test(tcase, receive_fifo_trigger_and_timeout);
	tcase_add_test(tcase, receive_fifo_overrun_keeps_the_old);
	tcase_add_test(tcase, fifo_resets);
	tcase_add_test(tcase, priorities);
	tcase_add_test(tcase, reading_iir_spares_thre_behind_others);
	tcase_add_test(tcase, loopback);
	tcase_add_test(tcase, back_pressure);
	tcase_add_test(tcase, no_thre_interrupt_while_full);
	tcase_add_test(tcase, nobody_attached);
	tcase_add_test(tcase, each_source_has_its_enable);
	tcase_add_test(tcase, trigger_change_keeps_the_data);
	tcase_add_test(tcase, clearing_the_transmitter_interrupts);
	tcase_add_test(tcase, save_load_save);
	tcase_add_test(tcase, asks_for_characters);
	tcase_add_test(tcase, any_state_is_survived);
}
