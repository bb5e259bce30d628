/* SPDX-License-Identifier: GPL-2.0 */
/* IOMMUs without a machine: memory with ACPI tables, the record with its I/O table, and the start as main.c does it. */
#ifndef TESTS_IOMMU_RIG_H
#define TESTS_IOMMU_RIG_H

#include <check.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "acpi.h"
#include "console.h"
#include "cpu.h"
#include "iommu.h"
#include "memory.h"
#include "own.h"
#include "pt_format.h"
#include "suite.h"

#define LIMIT		0x2000000u
#define RSDP_BYTES	36u
#define XSDT		0x1000u
#define TABLE_ACPI	0x2000u
#define TABLE		0x100000u	/* the record, the I/O table behind it */
#define MEMORY		0x800000u	/* what units are given */
#define FIRMWARE	0xc00000u	/* the firmware's own */

uint8_t *memory_test_arena;

/* Each look at the clock is a while, so that a unit that does not answer takes no time. */
#define RIG_PATIENCE	1000u		/* looks */

static uint64_t rig_tsc(void);

#define rdtsc rig_tsc
#include "../../arch/x86/iommu.c"
#undef rdtsc

static uint64_t rig_tsc(void)
{
	static uint64_t now;

	return now += WAIT_CYCLES / RIG_PATIENCE;
}

static char said[8192];		/* what went to the log */

void print(const char *format, ...)
{
	size_t length = strlen(said);
	va_list args;

	va_start(args, format);
	vsnprintf(said + length, sizeof(said) - length, format, args);
	va_end(args);
}

static uint64_t memory64(uint64_t pa)
{
	uint64_t value;

	ck_assert_uint_le(pa, LIMIT - 8);
	memcpy(&value, memory_test_arena + pa, 8);
	return value;
}

static void put(uint32_t pa, uint64_t value, unsigned int bytes)
{
	memcpy(memory_test_arena + pa, &value, bytes);
}

static void close_table(uint32_t pa, const char *signature, uint32_t length)
{
	uint8_t sum = 0;

	memcpy(memory_test_arena + pa, signature, 4);
	put(pa + 4, length, 4);
	put(pa + 9, 0, 1);
	for (uint32_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + memory_test_arena[pa + i]);
	put(pa + 9, (uint8_t)-sum, 1);
}

static struct acpi acpi;
static uint32_t acpi_end;

static void open_acpi(const char *signature)
{
	uint8_t rsdp[RSDP_BYTES] = { [15] = 2, [24] = XSDT & 0xff, XSDT >> 8 };

	put(XSDT + 36, TABLE_ACPI, 8);
	close_table(XSDT, "XSDT", 44);
	close_table(TABLE_ACPI, signature, acpi_end - TABLE_ACPI);
	ck_assert(acpi_open(&acpi, rsdp, RSDP_BYTES, LIMIT));
}

static const struct own_range memory[] = { { 0, 0x1000000 }, { 0x1800000, LIMIT } };

/* As main.c does it. */
static void begin(const char *signature)
{
	const struct iommu_machine *machine;
	struct own_config config = { &pt_format_npt, PT_ORDER_2M, LIMIT, memory, 2, NULL, NULL };
	uint64_t pages;

	open_acpi(signature);
	machine = iommu_find(&acpi, LIMIT);
	ck_assert_msg(machine, "%s", said);
	config.io = &machine->format;
	pages = own_frames_needed(&config);
	ck_assert_uint_le(TABLE + pages * PAGE_SIZE, MEMORY);
	ck_assert_uint_le(MEMORY + iommu_pages() * PAGE_SIZE, FIRMWARE);
	ck_assert_int_eq(own_init(&config, TABLE), 0);
	ck_assert_int_eq(own_take_for_keel(TABLE, TABLE + pages * PAGE_SIZE), 0);
	ck_assert_int_eq(own_take_for_keel(MEMORY, FIRMWARE), 0);
	iommu_start(&acpi, MEMORY);
}

/*
 * Memory of the machine, with a page before and behind that may not be touched. Its pages are mapped, not allocated: most are
 * never touched, and to tell the address sanitizer of them takes longer than most tests do.
 */
static void rig_setup(uint32_t header)
{
	uint8_t *place = mmap(NULL, LIMIT + 2 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ck_assert_ptr_ne(place, MAP_FAILED);
	memory_test_arena = place + PAGE_SIZE;
	ck_assert_int_eq(mprotect(memory_test_arena, LIMIT, PROT_READ | PROT_WRITE), 0);
	said[0] = 0;
	acpi_end = TABLE_ACPI + header;
}

static void rig_teardown(void)
{
	munmap(memory_test_arena - PAGE_SIZE, LIMIT + 2 * PAGE_SIZE);
}

#endif
