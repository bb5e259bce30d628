/* SPDX-License-Identifier: GPL-2.0 */
/* What memory may be written at boot, by the loader's map and by the firmware's, and the choice of places in it. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bootmem.h"
#include "efi.h"
#include "memory.h"
#include "suite.h"

#define MIB		(UINT64_C(1) << 20)
#define GIB		(UINT64_C(1) << 30)
#define ARENA		(MIB / 4)

#define DESCRIPTORS	0x1000u
#define DESCRIPTOR	48u		/* as firmware has them: longer than the structure */
#define SYSTEM_TABLE	0x8000u
#define TABLES		0x9000u
#define BOOT_SERVICES	EFI_SERVICES_DATA
#define RUNTIME_DATA	6u
#define PERSISTENT	14u

uint8_t *memory_test_arena;

static struct boot_info boot;
static unsigned int tables;

static void set_up(void)
{
	memory_test_arena = calloc(1, ARENA);
	ck_assert_ptr_nonnull(memory_test_arena);
	memset(&boot, 0, sizeof(boot));
	tables = 0;
}

static void tear_down(void)
{
	free(memory_test_arena);
}

static void map(uint64_t start, uint64_t end, uint32_t type)
{
	boot.map[boot.map_count++] = (struct boot_range){ start, end, type };
}

static void descriptor(uint32_t type, uint64_t start, uint64_t pages)
{
	struct efi_descriptor d = { .type = type, .start = start, .pages = pages };

	boot.efi.map = DESCRIPTORS;
	boot.efi.descriptor_size = DESCRIPTOR;
	memcpy(memory_test_arena + DESCRIPTORS + boot.efi.map_size, &d, sizeof(d));
	boot.efi.map_size += DESCRIPTOR;
}

static void pages(uint32_t type, uint64_t start, uint64_t end)
{
	descriptor(type, start, (end - start) / PAGE_SIZE);
}

static void put(uint64_t pa, uint64_t value)
{
	memcpy(memory_test_arena + pa, &value, sizeof(value));
}

/* The system table, with a configuration table at this address besides those that there are. */
static void table(uint64_t address)
{
	boot.efi.system_table = SYSTEM_TABLE;
	memcpy(memory_test_arena + SYSTEM_TABLE, "IBI SYST", 8);
	put(TABLES + tables * 24 + 16, address);
	put(SYSTEM_TABLE + 104, ++tables);
	put(SYSTEM_TABLE + 112, TABLES);
}

/* BOOT_RAM, BOOT_LOADER, or 0; also that the list is in order, whole pages, and above 1 MiB. */
static uint32_t type_at(uint64_t address)
{
	uint64_t last = MIB;
	uint32_t found = 0;

	for (unsigned i = 0; i < boot.memory_count; i++) {
		const struct boot_range *range = &boot.memory[i];

		ck_assert_uint_ge(range->start, last);
		ck_assert_uint_lt(range->start, range->end);
		ck_assert_uint_eq((range->start | range->end) % PAGE_SIZE, 0);
		last = range->end;
		if (address >= range->start && address < range->end)
			found = range->type;
	}
	return found;
}

START_TEST(by_the_loaders_map)
{
	map(4 * GIB, 6 * GIB, BOOT_RAM);
	map(0, 0x9fc00, BOOT_RAM);
	map(0x9fc00, 0xa0000, BOOT_RESERVED);
	map(MIB / 2, 2 * GIB, BOOT_RAM);
	map(GIB, GIB + 1, BOOT_NVS);
	map(GIB + MIB, GIB + MIB + 0x800, BOOT_RAM);		/* twice the same */
	map(3 * GIB + 1, 3 * GIB + 2 * PAGE_SIZE - 1, BOOT_RAM);	/* no whole page in it */
	map(UINT64_MAX - 10, UINT64_MAX, BOOT_RESERVED);
	bootmem_init(&boot);
	ck_assert_uint_eq(type_at(MIB - 1), 0);
	ck_assert_uint_eq(type_at(MIB), BOOT_RAM);
	ck_assert_uint_eq(type_at(GIB - 1), BOOT_RAM);
	ck_assert_uint_eq(type_at(GIB), 0);
	ck_assert_uint_eq(type_at(GIB + PAGE_SIZE - 1), 0);
	ck_assert_uint_eq(type_at(GIB + PAGE_SIZE), BOOT_RAM);
	ck_assert_uint_eq(type_at(GIB + MIB), BOOT_RAM);
	ck_assert_uint_eq(type_at(2 * GIB - 1), BOOT_RAM);
	ck_assert_uint_eq(type_at(2 * GIB), 0);
	ck_assert_uint_eq(type_at(3 * GIB + PAGE_SIZE), 0);
	ck_assert_uint_eq(type_at(6 * GIB - 1), BOOT_RAM);
	ck_assert_uint_eq(boot.memory_count, 3);
}
END_TEST

/* Firmware's tables are in what the loader calls free. */
START_TEST(by_the_firmwares_map)
{
	map(0, 2 * GIB, BOOT_RAM);
	map(4 * GIB, 5 * GIB, BOOT_RAM);
	pages(EFI_CONVENTIONAL, 0, 16 * MIB);
	pages(BOOT_SERVICES, 16 * MIB, 32 * MIB);
	pages(EFI_SERVICES_CODE, 32 * MIB, 33 * MIB);
	pages(EFI_LOADER_CODE, 33 * MIB, 34 * MIB);
	pages(EFI_LOADER_DATA, 34 * MIB, 64 * MIB);
	pages(EFI_CONVENTIONAL, 64 * MIB, GIB);
	pages(RUNTIME_DATA, GIB, GIB + MIB);
	pages(EFI_ACPI_RECLAIM, GIB + MIB, GIB + 2 * MIB);
	pages(PERSISTENT, GIB + 2 * MIB, GIB + 3 * MIB);
	pages(99, GIB + 3 * MIB, GIB + 4 * MIB);
	/* Nothing at all about the next 12 MiB. */
	pages(EFI_CONVENTIONAL, GIB + 16 * MIB, 3 * GIB);	/* further than the loader's RAM */
	pages(EFI_CONVENTIONAL, 4 * GIB, 5 * GIB);
	table(20 * MIB);
	bootmem_init(&boot);
	ck_assert_uint_eq(type_at(MIB), BOOT_RAM);
	ck_assert_uint_eq(type_at(16 * MIB - 1), BOOT_RAM);
	ck_assert_uint_eq(type_at(16 * MIB), 0);
	ck_assert_uint_eq(type_at(32 * MIB), 0);
	ck_assert_uint_eq(type_at(33 * MIB), BOOT_LOADER);
	ck_assert_uint_eq(type_at(64 * MIB - 1), BOOT_LOADER);
	ck_assert_uint_eq(type_at(64 * MIB), BOOT_RAM);
	for (unsigned i = 0; i < 16; i++)
		ck_assert_uint_eq(type_at(GIB + i * MIB), 0);
	ck_assert_uint_eq(type_at(GIB + 16 * MIB), BOOT_RAM);
	ck_assert_uint_eq(type_at(2 * GIB), 0);
	ck_assert_uint_eq(type_at(5 * GIB - 1), BOOT_RAM);
	ck_assert_uint_eq(boot.memory_kept, (16 + 1 + 16) * MIB);

	/* Places are in conventional memory alone. */
	ck_assert(bootmem_is_free(&boot, 64 * MIB, GIB));
	ck_assert(!bootmem_is_free(&boot, 16 * MIB, 17 * MIB));
	ck_assert(!bootmem_is_free(&boot, 40 * MIB, 41 * MIB));
	ck_assert(!bootmem_is_free(&boot, 63 * MIB, 65 * MIB));
	ck_assert_uint_eq(bootmem_choose(&boot, 10 * MIB, PAGE_SIZE, 64 * MIB), 6 * MIB);
	ck_assert_uint_eq(bootmem_choose(&boot, 16 * MIB, PAGE_SIZE, 64 * MIB), 0);
}
END_TEST

START_TEST(firmwares_map_without_sense)
{
	map(0, 2 * GIB, BOOT_RAM);
	pages(EFI_CONVENTIONAL, 0, 64 * MIB);
	pages(EFI_CONVENTIONAL, 8 * MIB, 32 * MIB);			/* twice the same is no harm */
	pages(BOOT_SERVICES, 16 * MIB, 17 * MIB);			/* two that contradict each other */
	pages(EFI_LOADER_DATA, 32 * MIB, 33 * MIB);
	descriptor(EFI_CONVENTIONAL, 64 * MIB, 0);
	table(GIB);
	bootmem_init(&boot);
	ck_assert_uint_eq(type_at(16 * MIB - 1), BOOT_RAM);
	ck_assert_uint_eq(type_at(16 * MIB), 0);
	ck_assert_uint_eq(type_at(17 * MIB), BOOT_RAM);
	ck_assert_uint_eq(type_at(32 * MIB), BOOT_LOADER);
	ck_assert_uint_eq(type_at(33 * MIB), BOOT_RAM);
	ck_assert_uint_eq(type_at(64 * MIB), 0);

	/* From where one begins whose end cannot be, or that begins within a page, all is left alone. */
	descriptor(EFI_CONVENTIONAL, 48 * MIB, UINT64_MAX / PAGE_SIZE);
	bootmem_init(&boot);
	ck_assert_uint_eq(type_at(48 * MIB - 1), BOOT_RAM);
	ck_assert_uint_eq(type_at(48 * MIB), 0);
	descriptor(EFI_CONVENTIONAL, 40 * MIB + 8, 1);
	bootmem_init(&boot);
	ck_assert_uint_eq(type_at(40 * MIB - 1), BOOT_RAM);
	ck_assert_uint_eq(type_at(40 * MIB), 0);
	ck_assert_uint_eq(type_at(41 * MIB), 0);
}
END_TEST

/* No page begins behind it, and none at 0 either. */
START_TEST(within_the_last_page)
{
	map(UINT64_MAX - 0xff, UINT64_MAX - 0xdb, BOOT_RAM);
	bootmem_init(&boot);
	ck_assert_uint_eq(boot.memory_count, 0);
}
END_TEST

/* The list has an end; what does not fit is not used. */
START_TEST(more_than_there_is_room_for)
{
	map(0, 2 * GIB, BOOT_RAM);
	for (unsigned i = 0; i < 2 * BOOT_RANGES; i++)
		pages(EFI_CONVENTIONAL, 2 * MIB + 2 * i * PAGE_SIZE, 2 * MIB + (2 * i + 1) * PAGE_SIZE);
	bootmem_init(&boot);
	ck_assert_uint_eq(boot.memory_count, BOOT_RANGES);
	ck_assert_uint_eq(type_at(2 * MIB), BOOT_RAM);
	ck_assert_uint_eq(type_at(2 * MIB + 2 * BOOT_RANGES * PAGE_SIZE), 0);
}
END_TEST

/* Where the firmware knows something in the loader's memory by its name, or that cannot be told, that memory is left alone. */
START_TEST(tables_in_the_loaders_memory)
{
	map(0, 2 * GIB, BOOT_RAM);
	pages(EFI_LOADER_DATA, 16 * MIB, 32 * MIB);
	pages(EFI_CONVENTIONAL, 32 * MIB, 48 * MIB);
	pages(EFI_LOADER_CODE, 48 * MIB, 64 * MIB);
	bootmem_init(&boot);
	ck_assert_uint_eq(type_at(16 * MIB), 0);	/* no system table */
	ck_assert_uint_eq(type_at(32 * MIB), BOOT_RAM);
	table(16 * MIB - 1);
	table(32 * MIB);
	bootmem_init(&boot);
	ck_assert_uint_eq(type_at(16 * MIB), BOOT_LOADER);
	ck_assert_uint_eq(type_at(48 * MIB), BOOT_LOADER);
	table(32 * MIB - 1);
	bootmem_init(&boot);
	ck_assert_uint_eq(type_at(16 * MIB), 0);
	ck_assert_uint_eq(type_at(48 * MIB), BOOT_LOADER);
	boot.efi.system_table = 5 * GIB;		/* not in reach */
	bootmem_init(&boot);
	ck_assert_uint_eq(type_at(48 * MIB), 0);
	boot.efi.system_table = SYSTEM_TABLE;
	put(SYSTEM_TABLE + 112, UINT64_MAX - 8);
	bootmem_init(&boot);
	ck_assert_uint_eq(type_at(48 * MIB), 0);
	put(SYSTEM_TABLE + 112, TABLES);
	put(SYSTEM_TABLE + 104, UINT64_MAX);
	bootmem_init(&boot);
	ck_assert_uint_eq(type_at(48 * MIB), 0);
	put(SYSTEM_TABLE + 104, tables);
	put(SYSTEM_TABLE, 0);
	bootmem_init(&boot);
	ck_assert_uint_eq(type_at(48 * MIB), 0);
}
END_TEST

static void memory(void)
{
	map(0, 0x9f000, BOOT_RAM);
	map(MIB, 512 * MIB, BOOT_RAM);
	map(4 * GIB, 6 * GIB, BOOT_RAM);
	map(500 * MIB, 501 * MIB, BOOT_NVS);
	bootmem_init(&boot);
	bootmem_take(&boot, 0x9000, 0xa000);
	bootmem_take(&boot, 510 * MIB + 1, 511 * MIB);
}

START_TEST(choosing)
{
	memory();
	ck_assert_uint_eq(bootmem_choose(&boot, MIB, PAGE_SIZE, UINT64_MAX), 511 * MIB);
	ck_assert_uint_eq(bootmem_choose(&boot, 2 * MIB, PAGE_SIZE, UINT64_MAX), 508 * MIB);
	ck_assert_uint_eq(bootmem_choose(&boot, 16 * MIB, PAGE_SIZE, UINT64_MAX), 484 * MIB);
	ck_assert_uint_eq(bootmem_choose(&boot, GIB, PAGE_SIZE, UINT64_MAX), 5 * GIB);
	ck_assert_uint_eq(bootmem_choose(&boot, GIB, PAGE_SIZE, 4 * GIB), 0);
	ck_assert_uint_eq(bootmem_choose(&boot, 499 * MIB, PAGE_SIZE, 4 * GIB), MIB);
	ck_assert_uint_eq(bootmem_choose(&boot, 3 * GIB, PAGE_SIZE, UINT64_MAX), 0);
	ck_assert_uint_eq(bootmem_choose(&boot, PAGE_SIZE, PAGE_SIZE, MIB), 0);
	ck_assert_uint_eq(bootmem_choose(&boot, UINT64_MAX, PAGE_SIZE, UINT64_MAX), 0);
	ck_assert_uint_eq(bootmem_choose(&boot, 0, PAGE_SIZE, UINT64_MAX), 0);

	ck_assert(bootmem_is_free(&boot, MIB, 2 * MIB));
	ck_assert(!bootmem_is_free(&boot, MIB - 1, 2 * MIB));
	ck_assert(!bootmem_is_free(&boot, 499 * MIB, 500 * MIB + 1));
	ck_assert(!bootmem_is_free(&boot, 511 * MIB - 1, 512 * MIB));
	ck_assert(!bootmem_is_free(&boot, 511 * MIB, 513 * MIB));

	bootmem_take(&boot, 508 * MIB, 509 * MIB);
	ck_assert_uint_eq(bootmem_choose(&boot, 2 * MIB, PAGE_SIZE, UINT64_MAX), 506 * MIB);
	ck_assert_uint_eq(bootmem_choose(&boot, MIB + 1, 2 * MIB, UINT64_MAX), 506 * MIB);
	ck_assert(!bootmem_is_free(&boot, 508 * MIB, 508 * MIB + 1));
}
END_TEST

static void expect_next(uint64_t *at, uint64_t start, uint64_t end)
{
	struct boot_range next;

	ck_assert(bootmem_next(&boot, *at, &next));
	ck_assert_uint_eq(next.start, start);
	ck_assert_uint_eq(next.end, end);
	*at = end;
}

/* Everything is walked that is not taken, to the byte. */
START_TEST(walking)
{
	struct boot_range next;
	uint64_t at = 0;

	memory();
	bootmem_take(&boot, 510 * MIB, 510 * MIB + 7);
	bootmem_take(&boot, 2 * MIB, 4 * MIB);
	bootmem_take(&boot, 3 * MIB, 5 * MIB);			/* overlapping */
	bootmem_take(&boot, 4 * GIB - 1, 4 * GIB + 1);
	bootmem_take(&boot, 6 * GIB - MIB, 7 * GIB);
	expect_next(&at, MIB, 2 * MIB);
	expect_next(&at, 5 * MIB, 500 * MIB);
	expect_next(&at, 501 * MIB, 510 * MIB);
	expect_next(&at, 511 * MIB, 512 * MIB);
	expect_next(&at, 4 * GIB + 1, 6 * GIB - MIB);
	ck_assert(!bootmem_next(&boot, at, &next));
	at = 100 * MIB + 5;
	expect_next(&at, 100 * MIB + 5, 500 * MIB);
}
END_TEST

SUITE("bootmem", tests)
{
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, by_the_loaders_map);
	tcase_add_test(tests, by_the_firmwares_map);
	tcase_add_test(tests, firmwares_map_without_sense);
	tcase_add_test(tests, within_the_last_page);
	tcase_add_test(tests, more_than_there_is_room_for);
	tcase_add_test(tests, tables_in_the_loaders_memory);
	tcase_add_test(tests, choosing);
	tcase_add_test(tests, walking);
}
