/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ACPI tables that lie: a root pointer, root tables, MADT, FADT and byte code that random damage, overlaps and loops have been
 * put into, at the end of memory, where the sanitizer watches. Whatever they say, only names of sleeping states are changed.
 */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "acpi.h"
#include "memory.h"
#include "suite.h"

#define LIMIT		0x108000u	/* the root pointer is searched below 1 MiB; tables are above */
#define TABLES		0x104000u
#define BYTES		0x3000u		/* of memory for them, to the end */
#define ROOM		8u
#define HEADER		36u
#define RSDP_BYTES	36u
#define ROUNDS		30000u
#define COUNT		8u

uint8_t *memory_test_arena;

static uint8_t before[LIMIT];
static uint8_t rsdp[RSDP_BYTES];
static uint32_t places[COUNT];		/* XSDT, RSDT, MADT, FADT, DSDT, SSDT, SSDT, FACS */
static const char signatures[COUNT][5] = { "XSDT", "RSDT", "APIC", "FACP", "DSDT", "SSDT", "SSDT", "FACS" };

/* Name (\_S5_, Package (4) { 5, 0, 0, 0 }), and others. */
static const uint8_t sleep_code[] = {
	0x10, 0x20, 0x08, '_', 'S', '3', '_', 0x12, 0x07, 0x04, 0x0a, 0x05, 0x0a, 0x05, 0x00, 0x00,
	0x08, 0x5c, '_', 'S', '5', '_', 0x12, 0x0a, 0x04, 0x0a, 0x05, 0x0a, 0x06, 0x00, 0x00,
	0x08, '_', 'S', '1', '_', 0x12, 0x06, 0x04, 0x01, 0x01, 0x00, 0x00,
	0x08, '_', 'S', '4', '_', 0x12, 0x46, 0x00, 0x04, 0x0a, 0x06, 0x0a, 0x06,
};

static uint32_t draw(uint32_t below)
{
	return (uint32_t)random() % below;
}

static void put(uint32_t pa, uint64_t value, unsigned int bytes)
{
	memcpy(memory_test_arena + pa, &value, bytes);
}

static uint32_t get32(uint32_t pa)
{
	uint32_t value;

	memcpy(&value, memory_test_arena + pa, sizeof(value));
	return value;
}

static uint8_t sum(const uint8_t *bytes, uint32_t count)
{
	uint8_t total = 0;

	while (count--)
		total = (uint8_t)(total + *bytes++);
	return total;
}

static void set_sum(uint32_t pa)
{
	uint32_t length = get32(pa + 4);

	if (length >= HEADER && length <= LIMIT - pa)
		memory_test_arena[pa + 9] = (uint8_t)(memory_test_arena[pa + 9] - sum(memory_test_arena + pa, length));
}

static void make_table(unsigned int number, uint32_t length)
{
	uint32_t pa = places[number];

	memset(memory_test_arena + pa, 0, length);
	memcpy(memory_test_arena + pa, signatures[number], 4);
	put(pa + 4, length, 4);
}

/* A machine with all there is. Tables may lie anywhere, the last one at the very end of memory. */
static void make_tables(bool wide, bool tight)
{
	uint32_t at = TABLES;

	memset(memory_test_arena + TABLES, 0x55, LIMIT - TABLES);
	for (unsigned int i = 0; i < COUNT; i++, at += 0x200)
		places[i] = at + draw(16);
	if (tight)
		places[4] = LIMIT - HEADER - sizeof(sleep_code);
	make_table(0, HEADER + 6 * 8);
	make_table(1, HEADER + 6 * 4);
	for (unsigned int i = 0; i < 6; i++) {
		put(places[0] + HEADER + 8 * i, places[i + 2], 8);
		put(places[1] + HEADER + 4 * i, places[i + 2], 4);
	}
	make_table(2, 44 + 8 + 16);
	put(places[2] + 44, 0x0000000104000800, 8);
	put(places[2] + 52, 0x1009, 2);
	put(places[2] + 56, 300, 4);
	put(places[2] + 60, 1, 4);
	make_table(3, 268);
	put(places[3] + 40, places[4], 4);
	put(places[3] + 56, 0xb000, 4);
	put(places[3] + 64, 0xb004, 4);
	put(places[3] + 112, 1u << 10, 4);
	put(places[3] + 116, 0x801, 2);
	put(places[3] + 120, 0xcf9, 8);
	put(places[3] + 128, 6, 1);
	put(places[3] + 140, places[4], 8);
	for (unsigned int i = 4; i < 7; i++) {
		make_table(i, HEADER + sizeof(sleep_code));
		memcpy(memory_test_arena + places[i] + HEADER, sleep_code, sizeof(sleep_code));
	}
	make_table(7, 64);
	for (unsigned int i = 0; i < COUNT; i++)
		set_sum(places[i]);
	memset(rsdp, 0, sizeof(rsdp));
	memcpy(rsdp, "RSD PTR ", 8);
	rsdp[15] = wide ? 2 : 0;
	memcpy(rsdp + 16, &places[1], 4);
	memcpy(rsdp + 24, &places[0], 4);
}

static struct acpi_power power;
static unsigned int count;
static bool opened;

static void read_all(const uint8_t *root, uint32_t bytes)
{
	struct acpi_processor list[ROOM + 1] = { [ROOM] = { 0xdeadbeef, true } };
	struct acpi acpi;

	memcpy(before + TABLES, memory_test_arena + TABLES, LIMIT - TABLES);
	opened = acpi_open(&acpi, root, bytes, LIMIT);
	if (!opened)
		return;
	count = acpi_processors(&acpi, list, ROOM);
	acpi_power(&acpi, &power);
	ck_assert_msg(list[ROOM].apic_id == 0xdeadbeef, "a list that has room for less");
}

/* Sleeping states' names, and sums of tables that this makes right, are all that has changed. */
static bool only_names_changed(void)
{
	unsigned int names = 0;

	for (uint32_t i = TABLES; i + 5 < LIMIT; i++) {
		const uint8_t *old = before + i, *new = memory_test_arena + i;

		if (*old == *new)
			continue;
		if (*old == '_' && *new == 'X' && old[1] == 'S' && old[2] >= '1' && old[2] <= '4' &&
		    old[3] == '_' && old[4] == 0x12) {
			names++;
			continue;
		}
		/* The sum of a table of byte code. */
		if (memcmp(old - 9, "DSDT", 4) != 0 && memcmp(old - 9, "SSDT", 4) != 0)
			return false;
	}
	return !opened || names == power.hidden;
}

static bool sane(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		if (power.off[i] < -1 || power.off[i] > 7)
			return false;
	}
	return true;
}

static void set_up(void)
{
	memory_test_arena = calloc(1, LIMIT);
	srandom(11);
}

static void tear_down(void)
{
	free(memory_test_arena);
}

START_TEST(whole)
{
	for (unsigned int tight = 0; tight < 2; tight++) {
		make_tables(_i, tight);
		read_all(rsdp, _i ? RSDP_BYTES : 20);
		ck_assert(opened && count == 2);
		ck_assert(power.status[0] == 0xb000 && power.control[0] == 0xb004 && power.control[1] == 0);
		ck_assert(power.reset == 0xcf9 && power.reset_value == 6);
		ck_assert(power.off[0] == 5 && power.off[1] == 6);
		ck_assert_uint_eq(power.hidden, 9);
		ck_assert(only_names_changed());
		for (unsigned int i = 4; i < 7; i++)
			ck_assert_uint_eq(sum(memory_test_arena + places[i], get32(places[i] + 4)), 0);
	}
}
END_TEST

/* A FADT's table of byte code that is none is left alone, wherever it points. */
START_TEST(foreign_byte_code)
{
	make_tables(true, false);
	memcpy(memory_test_arena + places[4], "DATA", 4);
	read_all(rsdp, RSDP_BYTES);
	ck_assert_uint_eq(power.hidden, 6);
	ck_assert(only_names_changed());
	ck_assert(!memcmp(before + places[4], memory_test_arena + places[4], HEADER + sizeof(sleep_code)));
}
END_TEST

static uint32_t bad_length(void)
{
	static const uint32_t lengths[] = {
		0, 1, HEADER - 1, HEADER, HEADER + 1, 44, 116, 117, 129, 148, 0x100000, 0x100001, 0x7fffffff, 0xffffffff, LIMIT,
	};

	return draw(3) ? lengths[draw(ARRAY_SIZE(lengths))] : draw(BYTES);
}

/* One lie in a place where it counts. */
static void damage(void)
{
	unsigned int number = draw(COUNT);
	uint32_t pa = places[number], length = get32(pa + 4), end = LIMIT - pa;

	switch (draw(8)) {
	case 0:		/* a length, up to the end of memory and beyond */
		put(pa + 4, draw(4) ? bad_length() : end - draw(3) + 1, 4);
		break;
	case 1:		/* an entry of the root that leads to a root, a table's middle, the end, or out of memory */
		put(places[0] + HEADER + 8 * draw(6), draw(2) ? places[draw(COUNT)] + draw(64) : LIMIT - draw(64), 8);
		break;
	case 2:
		put(places[1] + HEADER + 4 * draw(6), draw(2) ? places[draw(COUNT)] + draw(64) : (uint32_t)random(), 4);
		break;
	case 3:		/* byte code that lies over another table, the root above all */
		put(places[3] + 140, places[draw(COUNT)] - draw(40), 8);
		break;
	case 4:		/* a table that lies over another one */
		memmove(memory_test_arena + places[draw(2)] - draw(40), memory_test_arena + pa, HEADER + sizeof(sleep_code));
		break;
	case 5:		/* what is in byte code, anywhere */
		memcpy(memory_test_arena + LIMIT - sizeof(sleep_code) - draw(BYTES - 0x200), sleep_code,
		       draw(sizeof(sleep_code)) + 1);
		break;
	case 6:
		memcpy(memory_test_arena + pa, signatures[draw(COUNT)], 4);
		break;
	default:
		for (unsigned int i = draw(4) + 1; i > 0; i--)
			memory_test_arena[pa + draw(length != 0 && length < end ? length : HEADER)] = (uint8_t)random();
		break;
	}
}

START_TEST(hostile)
{
	for (unsigned int round = 0; round < ROUNDS; round++) {
		make_tables(_i, draw(2));
		for (unsigned int i = draw(4); i > 0; i--)
			damage();
		if (draw(8) == 0)
			rsdp[draw(RSDP_BYTES)] = (uint8_t)random();
		for (unsigned int i = 0; i < COUNT; i++)
			set_sum(places[i]);
		read_all(rsdp, draw(16) ? RSDP_BYTES : draw(RSDP_BYTES + 1));
		if (round % 16 == 0 && !only_names_changed())
			ck_abort_msg("round %u: something else was changed", round);
		if (opened && !sane())
			ck_abort_msg("round %u: sleeping states that there are none of", round);
	}
}
END_TEST

SUITE("acpi_hostile", tests)
{
	tcase_set_timeout(tests, 110);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, whole, 0, 2);
	tcase_add_test(tests, foreign_byte_code);
	tcase_add_loop_test(tests, hostile, 0, 2);
}
