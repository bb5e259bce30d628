// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of the reader of ACPI tables: any tables anywhere, over one another too, with right sums or wrong ones. Whatever
 * they say, only names of sleeping states and of tables to hide are changed.
 */
#include <keel/macros.h>

#include "acpi.h"
#include "fuzz.h"
#include "memory.h"

#define FIRST		0x400u		/* of the tables' memory, */
#define MEMORY		0x1400u		/* which ends here */
#define HEADER		36u
#define RSDP_BYTES	36u
#define TABLES		6u
#define ROOM		4u
#define BYTES		(MEMORY - FIRST)
#define INPUT_BYTES	2048u
#define SLEEP_TYPES	7

/* How the input lays the tables out; its rest is what they hold. */
struct shape {
	uint8_t rsdp[RSDP_BYTES];
	uint8_t rsdp_bytes;
	uint8_t sums;			/* a bit for each table, and the root: leave its sum as it is */
	uint8_t kind[TABLES];
	uint16_t at[TABLES];
	uint16_t length[TABLES];
	uint16_t root, entries;
};

static const char signatures[][5] = { "APIC", "FACP", "DSDT", "SSDT", "DMAR", "IVRS", "XSDT", "FACS" };

#define SIGNATURES ARRAY_SIZE(signatures)

uint8_t *memory_test_arena;

static uint8_t before[MEMORY];

static uint32_t place(uint16_t at)
{
	return FIRST + at % (BYTES - HEADER + 1);
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
	uint32_t length = acpi_get32(memory_test_arena + pa + 4);

	if (length <= MEMORY - pa)
		memory_test_arena[pa + 9] = (uint8_t)(memory_test_arena[pa + 9] - sum(memory_test_arena + pa, length));
}

static void put_table(uint32_t pa, const char *signature, uint32_t length)
{
	memcpy(memory_test_arena + pa, signature, 4);
	memcpy(memory_test_arena + pa + 4, &length, 4);
}

/* A machine whose root lists all tables, whose FADT names the third, and whose root pointer leads there if it leads nowhere. */
static void make_tables(struct shape *shape, const uint8_t *data, size_t size)
{
	uint32_t root = place(shape->root), width = shape->rsdp[15] >= 2 ? 8 : 4, entries = shape->entries % (TABLES + 1);

	memory_test_arena = malloc(MEMORY);
	require(memory_test_arena != NULL, "no memory");
	memset(memory_test_arena, 0, FIRST);
	for (uint32_t i = 0; i < BYTES; i++)
		memory_test_arena[FIRST + i] = size ? data[i % size] : 0;
	for (unsigned int i = 0; i < TABLES; i++) {
		uint32_t pa = place(shape->at[i]);

		put_table(pa, signatures[shape->kind[i] % SIGNATURES], shape->length[i]);
		if (!memcmp(memory_test_arena + pa, "FACP", 4) && pa + 44 <= MEMORY)
			memcpy(memory_test_arena + pa + 40, &(uint32_t){ place(shape->at[2]) }, 4);
	}
	for (uint32_t i = 0; i < entries && root + HEADER + (i + 1) * width <= MEMORY; i++)
		memcpy(memory_test_arena + root + HEADER + i * width, &(uint64_t){ place(shape->at[i]) }, width);
	put_table(root, width == 8 ? "XSDT" : "RSDT", HEADER + entries * width);
	for (unsigned int i = 0; i < TABLES; i++)
		if (!(shape->sums >> i & 1))
			set_sum(place(shape->at[i]));
	if (!(shape->sums >> TABLES & 1))
		set_sum(root);
	if (!acpi_get32(shape->rsdp + 16))
		memcpy(shape->rsdp + 16, &root, 4);
	if (!acpi_get32(shape->rsdp + 24))
		memcpy(shape->rsdp + 24, &(uint64_t){ root }, 8);
}

static void check_processors(const struct acpi *acpi)
{
	struct acpi_processor list[ROOM + 1] = { [ROOM] = { 0xdeadbeef, true } };
	unsigned int count = acpi_processors(acpi, list, ROOM);

	require(list[ROOM].apic_id == 0xdeadbeef, "a list that has room for less");
	for (unsigned int i = 0; i < count && i < ROOM; i++) {
		require(list[i].apic_id != UINT32_MAX, "a processor that is none");
		require(!i || list[i - 1].enabled || !list[i].enabled, "one that is off before one that is on");
		for (unsigned int j = 0; j < i; j++)
			require(list[i].apic_id != list[j].apic_id, "a processor twice");
	}
}

static void check_table(const struct acpi *acpi, const char *signature)
{
	uint32_t length;
	const uint8_t *table = acpi_table(acpi, signature, &length);

	if (!table)
		return;
	require(table > memory_test_arena && length >= HEADER && length <= (uint32_t)(memory_test_arena + MEMORY - table),
		"a table that ends elsewhere");
	require(!memcmp(table, signature, 4) && !sum(table, length), "another table, or a wrong sum");
}

/* A byte that has changed is the first of a name, or a sum. */
static void check_changes(uint8_t first)
{
	for (uint32_t i = 0; i < MEMORY; i++) {
		const uint8_t *old = before + i;

		if (*old == memory_test_arena[i] || (*old == first && memory_test_arena[i] == 'X'))
			continue;
		require(i >= FIRST + 9, "a change in front of all tables");
		/* A table's name may lie where another one's sum is. */
		require((old[-9] >= 'A' && old[-9] <= 'Z') || old[-9] != memory_test_arena[i - 9], "a change where no sum is");
	}
}

static void check_power(const struct acpi *acpi)
{
	struct acpi_power power;

	memcpy(before, memory_test_arena, MEMORY);
	acpi_power(acpi, &power);
	for (unsigned int i = 0; i < 2; i++)
		require(power.off[i] >= -1 && power.off[i] <= SLEEP_TYPES, "a sleeping state that there is none of");
	check_changes('_');
}

/* How many tables of this kind the root lists; one that is listed twice counts twice. */
static unsigned int count_tables(const struct acpi *acpi, const char *signature)
{
	unsigned int count = 0;

	for (uint32_t i = 0; i < acpi->entries; i++) {
		uint64_t pa = 0;

		memcpy(&pa, (const uint8_t *)acpi->root + HEADER + i * acpi->width, acpi->width);
		count += pa <= MEMORY - HEADER && !memcmp(memory_test_arena + pa, signature, 4);
	}
	return count;
}

static void check_hiding(const struct acpi *acpi)
{
	unsigned int count = count_tables(acpi, "DMAR");
	uint32_t length;
	bool sound = acpi_table(acpi, "DMAR", &length);

	memcpy(before, memory_test_arena, MEMORY);
	require(acpi_hide(acpi, "DMAR"), "memory that cannot be written");
	check_changes('D');
	/* Of several, one may lie over another one's sum. */
	if (count == 1 && sound)
		require(!acpi_table(acpi, "DMAR", &length) && acpi_table(acpi, "XMAR", &length),
			"a table that is not hidden well");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct shape shape;
	struct acpi acpi;

	if (size < sizeof(shape))
		return 0;
	memcpy(&shape, data, sizeof(shape));
	make_tables(&shape, data + sizeof(shape), size - sizeof(shape));
	/* Without a root pointer it is searched, in memory that is not there. */
	if (acpi_open(&acpi, shape.rsdp, shape.rsdp_bytes % RSDP_BYTES + 1, MEMORY)) {
		check_processors(&acpi);
		for (unsigned int i = 0; i < SIGNATURES; i++)
			check_table(&acpi, signatures[i]);
		check_power(&acpi);
		check_hiding(&acpi);
	}
	free(memory_test_arena);
	return 0;
}

/* Entries of processors, or byte code with sleeping states, one behind the other. */
static void make_contents(uint8_t *to, size_t room, bool processors, uint64_t *state)
{
	static const struct {
		uint8_t bytes, text[16];
	} pieces[2][4] = {
		{ { 12, { 0x08, '_', 'S', '3', '_', 0x12, 0x07, 0x04, 0x0a, 0x05, 0x0a, 0x05 } },
		  { 13, { 0x08, 0x5c, '_', 'S', '5', '_', 0x12, 0x0a, 0x04, 0x0a, 0x05, 0x0a, 0x06 } },
		  { 7, { 0x08, 0x5c, '_', 'S', '1', '_', 0x12 } }, { 6, { 0x08, 0x5c, '_', 'S', '4', '_' } } },
		{ { 8, { 0, 8, 1, 2, 1 } }, { 8, { 0, 8, 1, 3 } }, { 16, { 9, 16, 0, 0, 44, 1, 0, 0, 1 } }, { 6, { 1, 6 } } },
	};
	unsigned int piece;

	for (size_t at = 0; at + 16 < room && next(state) % 16; at += pieces[processors][piece].bytes) {
		piece = next(state) % 4;
		memcpy(to + at, pieces[processors][piece].text, pieces[processors][piece].bytes);
		if (processors)
			to[at + 3 + next(state) % 2] = (uint8_t)next(state) % 16;
	}
}

static size_t make_input(uint8_t *input, uint64_t *state)
{
	size_t size = INPUT_BYTES - sizeof(struct shape);
	struct shape *shape = (struct shape *)input;

	for (size_t i = 0; i < INPUT_BYTES; i++)
		input[i] = next(state) % 2 ? 0 : (uint8_t)(next(state) >> 24);
	memset(shape->rsdp + 16, 0, 20);
	shape->rsdp[15] = next(state) % 4;
	shape->rsdp_bytes = next(state) % 4 ? RSDP_BYTES - 1 : (uint8_t)next(state);
	shape->sums &= next(state) % 4 ? 0 : 0xff;
	shape->entries = next(state) % 4 ? TABLES : (uint16_t)next(state);
	shape->root = (uint16_t)(next(state) % 4 ? TABLES * 0x200 : next(state) % BYTES);
	for (unsigned int i = 0; i < TABLES; i++) {
		size_t contents;

		shape->kind[i] = (uint8_t)(next(state) % 4 ? i : next(state));
		shape->length[i] = (uint16_t)(next(state) % 8 ? HEADER + next(state) % 300 : next(state));
		shape->at[i] = (uint16_t)(next(state) % 8 ? i * 0x200 + next(state) % 16 : BYTES - shape->length[i]);
		contents = (shape->at[i] + HEADER + (shape->kind[i] ? 0 : 8)) % size;
		make_contents(input + sizeof(*shape) + contents, size - contents, !shape->kind[i], state);
		/* A name at the end. */
		contents = (shape->at[i] + shape->length[i] - 6u) % size;
		if (next(state) % 4 == 0 && contents + 6 <= size)
			memcpy(input + sizeof(*shape) + contents, "\x08\\_S3_", 6);
	}
	return INPUT_BYTES;
}

const struct fuzz_target fuzz_target = { 8000, INPUT_BYTES, make_input };
