// SPDX-License-Identifier: GPL-2.0
/* What ACPI tells of PCI interrupts, against the board: _PRT by its bytes, the link devices by acpiexec, which executes them. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pci/piix3.h"
#include "suite.h"

#define PACKAGE_OP	0x12u
#define BYTE_PREFIX	0x0au
#define WORD_PREFIX	0x0bu
#define DWORD_PREFIX	0x0cu
#define ONES_OP		0xffu
#define ENTRIES		(PCI_SLOTS * PCI_PINS)

/* AML (ACPI 6.4, 20.2): what is left of the table. */
static const uint8_t *aml, *aml_end;

static uint8_t take(void)
{
	ck_assert(aml < aml_end);
	return *aml++;
}

static uint32_t take_bytes(unsigned int count)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < count; i++)
		value |= (uint32_t)take() << (8 * i);
	return value;
}

static uint32_t take_integer(void)
{
	uint8_t op = take();

	switch (op) {
	case BYTE_PREFIX:
		return take_bytes(1);
	case WORD_PREFIX:
		return take_bytes(2);
	case DWORD_PREFIX:
		return take_bytes(4);
	case ONES_OP:
		return UINT32_MAX;
	default:
		ck_assert_uint_le(op, 1);		/* ZeroOp, OneOp */
		return op;
	}
}

/* Returns how many elements follow. */
static unsigned int take_package(void)
{
	uint8_t lead;

	ck_assert_uint_eq(take(), PACKAGE_OP);
	lead = take();
	take_bytes(lead >> 6);
	return take();
}

static void find_prt(void)
{
	static const uint8_t name[] = { 0x08, '_', 'P', 'R', 'T' };
	static uint8_t table[16384];
	FILE *file = fopen(DSDT_AML, "rb");
	size_t bytes;

	ck_assert_ptr_nonnull(file);
	bytes = fread(table, 1, sizeof(table), file);
	fclose(file);
	aml = memmem(table, bytes, name, sizeof(name));
	ck_assert_ptr_nonnull(aml);
	aml += sizeof(name);
	aml_end = table + bytes;
}

START_TEST(every_pin_has_its_link)
{
	bool told[ENTRIES] = { false };
	unsigned int entries;

	find_prt();
	entries = take_package();
	ck_assert_uint_eq(entries, ENTRIES);
	for (unsigned int i = 0; i < entries; i++) {
		char link[5] = "";
		uint32_t address, pin;

		ck_assert_uint_eq(take_package(), 4);
		address = take_integer();
		pin = take_integer();
		for (unsigned int n = 0; n < 4; n++)
			link[n] = (char)take();
		ck_assert_uint_eq(take_integer(), 0);
		ck_assert_uint_eq(address & 0xffff, 0xffff);
		ck_assert_uint_lt(address >> 16, PCI_SLOTS);
		ck_assert_uint_lt(pin, PCI_PINS);
		ck_assert_int_eq(strncmp(link, "LNK", 3), 0);
		ck_assert_int_eq(link[3], (char)('A' + piix3_pirq(address >> 16, pin)));
		ck_assert(!told[(address >> 16) * PCI_PINS + pin]);
		told[(address >> 16) * PCI_PINS + pin] = true;
	}
}
END_TEST

/* What acpiexec prints for these commands; the registers that they set are its own memory. */
static const char *execute(const char *commands)
{
	static char text[65536];
	char file[] = "/tmp/keel-acpi-XXXXXX", line[512];
	int fd = mkstemp(file);
	FILE *input, *output;
	size_t n;

	ck_assert_int_ge(fd, 0);
	input = fdopen(fd, "w");
	fprintf(input, "%squit\n", commands);
	fclose(input);
	snprintf(line, sizeof(line), "%s %s <%s 2>&1", ACPIEXEC, DSDT_AML, file);
	output = popen(line, "r");
	ck_assert_ptr_nonnull(output);
	n = fread(text, 1, sizeof(text) - 1, output);
	text[n] = '\0';
	pclose(output);
	remove(file);
	return text;
}

/* Answers in turn, each behind the one before. */
static void expect(const char **text, const char *wanted)
{
	const char *found = strstr(*text, wanted);

	ck_assert_msg(found != NULL, "no %s in\n%s", wanted, *text);
	*text = found + strlen(wanted);
}

START_TEST(links)
{
	char commands[1024], link = (char)('A' + _i);
	const char *text;

	snprintf(commands, sizeof(commands),
		 "execute \\_SB.LNK%c._PRS\n"
		 "execute \\_SB.LNK%c._DIS\nexecute \\_SB.LNK%c._STA\nexecute \\_SB.LNK%c._CRS\n"
		 "execute \\_SB.LNK%c._SRS (23 00 08 19 79 00)\nexecute \\_SB.LNK%c._STA\nexecute \\_SB.LNK%c._CRS\n"
		 "execute \\_SB.LNK%c._SRS (23 20 00 19 79 00)\nexecute \\_SB.LNK%c._CRS\n"
		 "execute \\_SB.LNK%c._CRS\n"
		 "execute \\_SB.PCI0.ISA.PRQ%c\n",
		 link, link, link, link, link, link, link, link, link, (char)('A' + (_i + 1) % 4), link);
	text = execute(commands);
	expect(&text, "_PRS returned");
	expect(&text, "23 20 0C");		/* 5, 10 and 11 */
	expect(&text, "_STA returned");
	expect(&text, "0000000000000009");	/* there, not enabled */
	expect(&text, "_CRS returned");
	expect(&text, "23 00 00");
	expect(&text, "_STA returned");
	expect(&text, "000000000000000B");
	expect(&text, "_CRS returned");
	expect(&text, "23 00 08");		/* 11 */
	expect(&text, "_CRS returned");
	expect(&text, "23 20 00");		/* 5 */
	expect(&text, "_CRS returned");
	expect(&text, "23 01 00");		/* another one: as it was */
	expect(&text, "0000000000000005");
}
END_TEST

SUITE("acpi_pci", tc)
{
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, every_pin_has_its_link);
	tcase_add_loop_test(tc, links, 0, 4);
}
