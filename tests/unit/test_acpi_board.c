// SPDX-License-Identifier: GPL-2.0
/*
 * What ACPI tells an operating system of places, against the board that it is about: resources by their bytes in the DSDT
 * (ACPI 6.4, 6.4.2 and 6.4.3), ports and addresses by the ranges of the machine that the cell wires up.
 */
#include "pc_rig.h"

#include <stdio.h>

#include <keel/macros.h>

#include "shared/pc_map.h"
#include "suite.h"

#define BUFFER_OP	0x11u
#define BYTE_PREFIX	0x0au
#define SMALL_IRQ	0x04u
#define SMALL_IO	0x08u
#define SMALL_END	0x0fu
#define LARGE		0x80u
#define LARGE_MEMORY_32	0x86u
#define LARGE_DWORD	0x87u
#define LARGE_WORD	0x88u
#define SPACE_MEMORY	0u
#define SPACE_IO	1u
#define PLACES_MOST	64u

/* First and last. */
struct place {
	uint64_t first, last;
};

static struct place ports[PLACES_MOST], memory[PLACES_MOST], port_windows[PLACES_MOST], memory_windows[PLACES_MOST];
static unsigned int port_count, memory_count, port_window_count, memory_window_count;
static uint16_t irqs;		/* of devices; links have one each to choose */

static uint32_t get(const uint8_t *at, unsigned int bytes)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < bytes; i++)
		value |= (uint32_t)at[i] << (8 * i);
	return value;
}

static void add(struct place *places, unsigned int *count, uint64_t first, uint64_t bytes)
{
	ck_assert_uint_lt(*count, PLACES_MOST);
	ck_assert_uint_gt(bytes, 0);
	places[(*count)++] = (struct place){ first, first + bytes - 1 };
}

/* An address space descriptor whose five numbers have this size: granularity, first, last, translation, length. */
static void add_window(const uint8_t *at, unsigned int size)
{
	uint32_t first = get(at + 6 + size, size), last = get(at + 6 + 2 * size, size), bytes = get(at + 6 + 4 * size, size);

	if (at[3] != SPACE_IO && at[3] != SPACE_MEMORY)
		return;
	ck_assert_uint_eq((uint64_t)first + bytes, last + 1ull);
	if (at[3] == SPACE_IO)
		add(port_windows, &port_window_count, first, bytes);
	else
		add(memory_windows, &memory_window_count, first, bytes);
}

static void read_large(const uint8_t *at)
{
	if (at[0] == LARGE_MEMORY_32)
		add(memory, &memory_count, get(at + 4, 4), get(at + 8, 4));
	else if (at[0] == LARGE_DWORD)
		add_window(at, 4);
	else if (at[0] == LARGE_WORD)
		add_window(at, 2);
	else
		ck_abort_msg("descriptor %02x", at[0]);
}

static void read_small(const uint8_t *at)
{
	unsigned int bytes = at[0] & 7;

	if (at[0] >> 3 == SMALL_IRQ && bytes == 2)
		irqs |= (uint16_t)get(at + 1, 2);
	else if (at[0] >> 3 == SMALL_IO)
		add(ports, &port_count, get(at + 2, 2), at[7]);
	else if (at[0] >> 3 != SMALL_IRQ)
		ck_abort_msg("descriptor %02x", at[0]);
}

/* False: this is no list of resources. */
static bool read_resources(const uint8_t *at, const uint8_t *end)
{
	while (at < end && at[0] >> 3 != SMALL_END) {
		if (at[0] & LARGE) {
			read_large(at);
			at += 3 + get(at + 1, 2);
		} else {
			read_small(at);
			at += 1 + (at[0] & 7);
		}
	}
	return at + 2 == end;
}

/* Buffers behind a _CRS are all that a device without methods tells. */
static void read_dsdt(void)
{
	static const uint8_t name[] = { 0x08, '_', 'C', 'R', 'S', BUFFER_OP };
	static uint8_t table[16384];
	FILE *file = fopen(DSDT_AML, "rb");
	unsigned int lists = 0;
	size_t bytes;

	ck_assert_ptr_nonnull(file);
	bytes = fread(table, 1, sizeof(table), file);
	fclose(file);
	ck_assert_uint_lt(bytes, sizeof(table));
	port_count = memory_count = port_window_count = memory_window_count = irqs = 0;
	for (const uint8_t *at = table; (at = memmem(at, (size_t)(table + bytes - at), name, sizeof(name))); lists++) {
		unsigned int length;

		at += sizeof(name);
		at += 1 + (at[0] >> 6);			/* PkgLength */
		ck_assert_uint_eq(at[0], BYTE_PREFIX);
		length = at[1];
		at += 2;
		ck_assert(read_resources(at, at + length));
	}
	ck_assert_uint_ge(lists, 10);
}

static bool is_in(const struct place *places, unsigned int count, uint64_t at)
{
	for (unsigned int i = 0; i < count; i++)
		if (at >= places[i].first && at <= places[i].last)
			return true;
	return false;
}

/* Fixed places of the board; those of memory are all above the ports. */
static bool answers(bool is_memory, uint64_t at)
{
	const struct io_range *local = &pc->vcpu[0].lapic.range;

	for (unsigned int i = 0; i < PC_RANGES; i++) {
		const struct io_range *range = &pc->range[i];

		if ((range->base > PC_PORT_LAST) == is_memory && at >= range->base && at < range->base + range->bytes)
			return true;
	}
	return is_memory && at >= local->base && at < local->base + local->bytes;
}

/* Behind a register of the chip, which firmware sets to where ACPI says. */
static bool is_power_management(uint64_t port)
{
	return port >= PC_PORT_PM && port < PC_PORT_PM + PC_PM_BYTES;
}

/* Of fw_cfg's block, between its registers. */
static bool is_spare(uint64_t port)
{
	return port >= PC_PORT_FW_CFG + FW_CFG_PORTS && port < PC_PORT_FW_CFG_DMA;
}

START_TEST(what_is_told_is_there)
{
	for (unsigned int i = 0; i < port_count; i++)
		for (uint64_t port = ports[i].first; port <= ports[i].last; port++)
			ck_assert_msg(answers(false, port) || is_power_management(port) || is_spare(port), "port %#lx", port);
	ck_assert_uint_eq(memory_count, 3);
	for (unsigned int i = 0; i < memory_count; i++) {
		ck_assert_msg(answers(true, memory[i].first), "address %#lx", memory[i].first);
		ck_assert_msg(answers(true, memory[i].last), "address %#lx", memory[i].last);
	}
}
END_TEST

/* Ports that the fixed table has, that a PCI function has by its class, or that no driver asks for. */
static bool is_told_elsewhere(uint64_t port)
{
	static const struct place others[] = {
		{ PC_PORT_POST, PC_PORT_POST },
		{ PC_PORT_CONTROL_A, PC_PORT_CONTROL_A },
		{ PC_PORT_APM, PC_PORT_APM + PIIX4_APM_PORTS - 1 },
		{ PC_PORT_IDE_PRIMARY, PC_PORT_IDE_PRIMARY + IDE_COMMAND_PORTS - 1 },
		{ PC_PORT_IDE_SECONDARY, PC_PORT_IDE_SECONDARY + IDE_COMMAND_PORTS - 1 },
		{ PC_PORT_IDE_PRIMARY_CONTROL, PC_PORT_IDE_PRIMARY_CONTROL },
		{ PC_PORT_IDE_SECONDARY_CONTROL, PC_PORT_IDE_SECONDARY_CONTROL },
	};

	return is_in(others, ARRAY_SIZE(others), port);
}

START_TEST(what_is_there_is_told)
{
	for (uint64_t port = 0; port <= PC_PORT_LAST; port++)
		ck_assert_msg(!answers(false, port) || is_in(ports, port_count, port) || is_told_elsewhere(port),
			      "port %#lx", port);
	for (unsigned int i = 0; i < PC_RANGES; i++) {
		const struct io_range *range = &pc->range[i];

		if (range->base > PC_PORT_LAST)
			ck_assert_msg(is_in(memory, memory_count, range->base) &&
				      is_in(memory, memory_count, range->base + range->bytes - 1), "address %#lx", range->base);
	}
}
END_TEST

/* Where an operating system may put BARs: nothing of the board's is there that a BAR would be hidden by. */
START_TEST(bars_have_room)
{
	uint64_t low = PC_LOW_MEMORY_MOST;

	ck_assert_uint_eq(port_window_count, 2);
	ck_assert_uint_eq(memory_window_count, 2);
	for (uint64_t port = 0; port <= PC_PORT_LAST; port++)
		ck_assert_msg(is_in(port_windows, port_window_count, port) !=
			      (port >= PC_PORT_PCI && port < PC_PORT_PCI + PCI_PORTS), "port %#lx", port);
	for (unsigned int i = 0; i < memory_window_count; i++) {
		const struct place *window = &memory_windows[i];

		if (window->first < low) {
			ck_assert(window->first == PC_VGA_HOLE && window->last == PC_VGA_HOLE_END - 1);
			continue;
		}
		ck_assert_uint_eq(window->first, low);
		ck_assert_uint_lt(window->last, PC_HIGH_MEMORY - PC_FIRMWARE_MOST);
		for (unsigned int n = 0; n < memory_count; n++)
			ck_assert(memory[n].last < window->first || memory[n].first > window->last);
	}
}
END_TEST

START_TEST(interrupts)
{
	ck_assert_uint_eq(irqs, 1u << PC_IRQ_TIMER | 1u << PC_IRQ_KEYBOARD | 1u << PC_IRQ_CASCADE | 1u << PC_IRQ_SERIAL |
			  1u << PC_IRQ_RTC | 1u << PC_IRQ_MOUSE);
}
END_TEST

static void set_up(void)
{
	start();
	read_dsdt();
}

SUITE("acpi_board", tc)
{
	tcase_add_checked_fixture(tc, set_up, destroy);
	tcase_add_test(tc, what_is_told_is_there);
	tcase_add_test(tc, what_is_there_is_told);
	tcase_add_test(tc, bars_have_room);
	tcase_add_test(tc, interrupts);
}
