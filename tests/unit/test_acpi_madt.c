/* SPDX-License-Identifier: GPL-2.0 */
/* The processors in ACPI's tables: good tables, and tables that lie about everything. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "acpi.h"
#include "memory.h"
#include "suite.h"

#define LIMIT		0x200000u
#define ROOM		8u
#define RSDP		0xf1230u
#define ROOT		0x150000u
#define MADT		0x160004u
#define OTHER		0x170000u
#define HEADER		36u
#define MADT_HEADER	44u
#define RSDP_OLD	20u
#define RSDP_NEW	36u
#define FUZZ_ROUNDS	20000u
#define CANARY		0xdeadbeefu

uint8_t *memory_test_arena;

static struct acpi_processor list[ROOM + 1];
static uint8_t rsdp[RSDP_NEW];
static bool wide;

static void setup(void)
{
	memory_test_arena = calloc(1, LIMIT);
	for (unsigned int i = 0; i <= ROOM; i++)
		list[i].apic_id = CANARY;
}

static void teardown(void)
{
	free(memory_test_arena);
}

static void put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void set_sum(uint8_t *bytes, uint32_t length, uint32_t at)
{
	uint8_t sum = 0;

	bytes[at] = 0;
	for (uint32_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + bytes[i]);
	bytes[at] = (uint8_t)-sum;
}

static void table(uint32_t pa, const char *signature, const uint8_t *body, uint32_t body_bytes)
{
	uint8_t *at = memory_test_arena + pa;

	memset(at, 0, HEADER);
	memcpy(at, signature, 4);
	put32(at + 4, HEADER + body_bytes);
	if (body_bytes)
		memcpy(at + HEADER, body, body_bytes);
	set_sum(at, HEADER + body_bytes, 9);
}

static void root(uint32_t first, uint32_t second)
{
	uint64_t entries64[2] = { first, second };
	uint32_t entries32[2] = { first, second };

	if (wide)
		table(ROOT, "XSDT", (const uint8_t *)entries64, sizeof(entries64));
	else
		table(ROOT, "RSDT", (const uint8_t *)entries32, sizeof(entries32));
	memset(rsdp, 0, sizeof(rsdp));
	memcpy(rsdp, "RSD PTR ", 8);
	rsdp[15] = wide ? 2 : 0;
	put32(rsdp + (wide ? 24 : 16), ROOT);
	set_sum(rsdp, RSDP_OLD, 8);
	set_sum(rsdp, RSDP_NEW, 32);
}

static unsigned int processors_by(const uint8_t *root_pointer, uint32_t bytes, unsigned int room)
{
	struct acpi acpi;

	return acpi_open(&acpi, root_pointer, bytes, LIMIT) ? acpi_processors(&acpi, list, room) : 0;
}

static unsigned int processors(void)
{
	unsigned int count = processors_by(rsdp, wide ? RSDP_NEW : RSDP_OLD, ROOM);

	ck_assert_uint_eq(list[ROOM].apic_id, CANARY);
	return count;
}

struct madt {
	uint8_t body[0x400];
	uint32_t bytes;
};

static void madt_begin(struct madt *m)
{
	memset(m, 0, sizeof(*m));
	m->bytes = MADT_HEADER - HEADER;
	put32(m->body, 0xfee00000);
}

static void add_lapic(struct madt *m, uint8_t id, uint32_t flags)
{
	uint8_t *at = m->body + m->bytes;

	at[0] = 0;
	at[1] = 8;
	at[2] = 0x77;
	at[3] = id;
	put32(at + 4, flags);
	m->bytes += 8;
}

static void add_x2apic(struct madt *m, uint32_t id, uint32_t flags)
{
	uint8_t *at = m->body + m->bytes;

	at[0] = 9;
	at[1] = 16;
	put32(at + 4, id);
	put32(at + 8, flags);
	m->bytes += 16;
}

static void add_other(struct madt *m, uint8_t type, uint8_t length)
{
	m->body[m->bytes] = type;
	m->body[m->bytes + 1] = length;
	m->bytes += length;
}

/* Four that are enabled, two that can be. */
static void six_processors(struct madt *m)
{
	madt_begin(m);
	add_lapic(m, 4, 1);
	add_lapic(m, 5, 0);
	add_other(m, 1, 12);		/* IO APIC */
	add_other(m, 2, 10);		/* interrupt source override */
	add_lapic(m, 2, 3);
	add_x2apic(m, 0x123456, 1);
	add_x2apic(m, 0x123457, 2);
	add_lapic(m, 0xff, 0);		/* entries for nothing */
	add_x2apic(m, 0xffffffff, 0);
	add_lapic(m, 4, 0);		/* one that is there already */
	add_other(m, 0x80, 2);
	add_lapic(m, 0, 1);
	table(MADT, "APIC", m->body, m->bytes);
}

static void check_six(void)
{
	static const uint32_t ids[6] = { 4, 2, 0x123456, 0, 5, 0x123457 };

	ck_assert_uint_eq(processors(), 6);
	for (unsigned int i = 0; i < 6; i++) {
		ck_assert_uint_eq(list[i].apic_id, ids[i]);
		ck_assert_int_eq(list[i].enabled, i < 4);
	}
}

START_TEST(good_tables)
{
	struct madt m;

	wide = _i;
	six_processors(&m);
	table(OTHER, "FACP", m.body, 0x40);
	root(OTHER, MADT);
	check_six();
	root(MADT, OTHER);
	check_six();
}
END_TEST

START_TEST(root_pointer_searched)
{
	struct madt m;
	static const uint32_t places[] = { 0xe0000, 0xe0010, RSDP, 0xfffc0 };

	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++) {
		wide = i & 1;
		memset(memory_test_arena, 0, LIMIT);
		six_processors(&m);
		root(MADT, OTHER);
		/* A signature with a wrong sum comes first. */
		memcpy(memory_test_arena + 0xe0000, rsdp, sizeof(rsdp));
		memory_test_arena[0xe0000 + 10]++;
		memcpy(memory_test_arena + places[i], rsdp, sizeof(rsdp));
		ck_assert_uint_eq(processors_by(NULL, 0, ROOM), 6);
		memory_test_arena[places[i] + 8]++;
		ck_assert_uint_eq(processors_by(NULL, 0, ROOM), 0);
	}
}
END_TEST

START_TEST(more_than_room)
{
	struct madt m;

	wide = _i;
	madt_begin(&m);
	for (uint8_t id = 0; id < 40; id++)
		add_lapic(&m, id, 1);
	table(MADT, "APIC", m.body, m.bytes);
	root(MADT, OTHER);
	ck_assert_uint_eq(processors(), 40);
	for (uint32_t i = 0; i < ROOM; i++)
		ck_assert_uint_eq(list[i].apic_id, i);
	ck_assert_uint_eq(processors_by(rsdp, wide ? RSDP_NEW : RSDP_OLD, 0), 40);
}
END_TEST

/* The list ends at an entry that cannot be; what came before it counts. */
START_TEST(bad_entries)
{
	static const uint8_t lengths[] = { 0, 1, 255 };
	struct madt m;

	wide = _i;
	for (unsigned int i = 0; i < sizeof(lengths); i++) {
		madt_begin(&m);
		add_lapic(&m, 3, 1);
		m.body[m.bytes + 1] = lengths[i];
		m.bytes += 2;
		add_lapic(&m, 4, 1);
		table(MADT, "APIC", m.body, m.bytes);
		root(MADT, OTHER);
		ck_assert_uint_eq(processors(), 1);
	}
	/* Too short for what they claim to be: the IDs would be the neighbour's bytes. */
	madt_begin(&m);
	add_other(&m, 0, 7);
	add_other(&m, 9, 15);
	add_other(&m, 0, 2);
	add_lapic(&m, 6, 1);
	m.body[m.bytes++] = 0;
	table(MADT, "APIC", m.body, m.bytes);
	ck_assert_uint_eq(processors(), 1);
	ck_assert_uint_eq(list[0].apic_id, 6);
}
END_TEST

static void set_length(uint32_t pa, uint32_t length, uint32_t summed)
{
	put32(memory_test_arena + pa + 4, length);
	set_sum(memory_test_arena + pa, summed, 9);
}

START_TEST(bad_lengths)
{
	static const uint32_t tables[] = { ROOT, MADT };
	static const uint32_t lengths[] = { 0, 1, HEADER - 1, LIMIT - MADT + 1, 0x100001, 0x7fffffff, 0xffffffff };
	struct madt m;

	wide = _i;
	for (unsigned int t = 0; t < 2; t++)
		for (unsigned int i = 0; i < ARRAY_SIZE(lengths); i++) {
			six_processors(&m);
			root(MADT, OTHER);
			set_length(tables[t], lengths[i], HEADER);
			ck_assert_uint_eq(processors(), 0);
		}
	/* A header without entries, and one that ends within the MADT's own fields. */
	for (uint32_t length = HEADER; length <= MADT_HEADER + 1; length++) {
		six_processors(&m);
		root(MADT, OTHER);
		set_length(MADT, length, length);
		ck_assert_uint_eq(processors(), 0);
	}
	for (uint32_t length = HEADER; length < HEADER + (wide ? 8 : 4); length++) {
		six_processors(&m);
		root(MADT, OTHER);
		set_length(ROOT, length, length);
		ck_assert_uint_eq(processors(), 0);
	}
}
END_TEST

START_TEST(bad_places)
{
	static const uint32_t places[] = {
		0, LIMIT, LIMIT - 4, LIMIT - HEADER + 4, LIMIT + 4, 0x80000000, 0xfffffffc,
	};
	struct madt m;

	wide = _i;
	six_processors(&m);
	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++) {
		root(places[i], places[i]);
		ck_assert_uint_eq(processors(), 0);
		root(places[i], MADT);
		ck_assert_uint_eq(processors(), 6);
		put32(rsdp + (wide ? 24 : 16), places[i]);
		ck_assert_uint_eq(processors(), 0);
	}
	if (wide) {
		root(MADT, OTHER);
		put32(rsdp + 28, 1);	/* above 4 GiB */
		ck_assert_uint_eq(processors(), 0);
	}
	root(MADT, OTHER);
	ck_assert_uint_eq(processors_by(rsdp, RSDP_OLD - 1, ROOM), 0);
	ck_assert_uint_eq(processors_by(rsdp, 1, ROOM), 0);
}
END_TEST

START_TEST(bad_sums)
{
	struct madt m;

	wide = _i;
	six_processors(&m);
	root(MADT, OTHER);
	memory_test_arena[MADT + MADT_HEADER + 3]++;
	ck_assert_uint_eq(processors(), 0);
	six_processors(&m);
	memory_test_arena[ROOT + 10]++;
	ck_assert_uint_eq(processors(), 0);
}
END_TEST

/* A table at the very end of memory: the sanitizer watches. Table and entries where no 32-bit word is aligned. */
START_TEST(edges)
{
	struct madt m;
	uint32_t place;

	wide = _i;
	six_processors(&m);
	place = LIMIT - HEADER - m.bytes;
	table(place, "APIC", m.body, m.bytes);
	root(place, OTHER);
	ck_assert_uint_eq(processors(), 6);
	place = MADT + 1;
	table(place, "APIC", m.body, m.bytes);
	root(place, OTHER);
	ck_assert_uint_eq(processors(), 6);
}
END_TEST

/* Random damage with the sums put right again. */
START_TEST(fuzz)
{
	struct madt m;

	srandom(7);
	wide = _i;
	for (unsigned int round = 0; round < FUZZ_ROUNDS; round++) {
		uint32_t places[] = { ROOT, MADT };
		uint32_t length;

		six_processors(&m);
		root(MADT, OTHER);
		for (unsigned int i = (unsigned int)random() % 4 + 1; i > 0; i--)
			memory_test_arena[places[random() & 1] + (uint32_t)random() % (HEADER + m.bytes)] =
				(uint8_t)random();
		for (unsigned int t = 0; t < 2; t++) {
			memcpy(&length, memory_test_arena + places[t] + 4, sizeof(length));
			if (length >= HEADER && length < LIMIT - places[t])
				set_sum(memory_test_arena + places[t], length, 9);
		}
		processors();
	}
}
END_TEST

SUITE("acpi_madt", tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 30);
	tcase_add_loop_test(tests, good_tables, 0, 2);
	tcase_add_test(tests, root_pointer_searched);
	tcase_add_loop_test(tests, more_than_room, 0, 2);
	tcase_add_loop_test(tests, bad_entries, 0, 2);
	tcase_add_loop_test(tests, bad_lengths, 0, 2);
	tcase_add_loop_test(tests, bad_places, 0, 2);
	tcase_add_loop_test(tests, bad_sums, 0, 2);
	tcase_add_loop_test(tests, edges, 0, 2);
	tcase_add_loop_test(tests, fuzz, 0, 2);
}
