// SPDX-License-Identifier: GPL-2.0
// Finds the processors in the ACPI tables.

#include "acpi.h"

#include <stdbool.h>
#include <stddef.h>

#include "memory.h"
#include "string.h"

#define BIOS_AREA	0xe0000u
#define BIOS_AREA_END	0x100000u
#define RSDP_BYTES	20u
#define RSDP_REVISION	15u
#define RSDP_RSDT	16u
#define RSDP_XSDT	24u
#define RSDP2_BYTES	36u
#define TABLE_MAX	0x100000u
#define MADT_ENTRIES	44u
#define MADT_LAPIC	0u
#define MADT_X2APIC	9u
#define MADT_ENABLED	1u

struct sdt {
	char signature[4];
	uint32_t length;
	uint8_t rest[28];
} __attribute__((packed));

static uint32_t get32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static bool sum_is_zero(const uint8_t *bytes, uint32_t count)
{
	uint8_t sum = 0;

	while (count--)
		sum = (uint8_t)(sum + *bytes++);
	return !sum;
}

static const struct sdt *table_at(uint64_t pa, uint64_t limit)
{
	const struct sdt *table = phys_to_virt(pa);

	if (!pa || pa >= limit || limit - pa < sizeof(*table) || table->length < sizeof(*table) ||
	    table->length > TABLE_MAX || table->length > limit - pa)
		return NULL;
	return sum_is_zero((const uint8_t *)table, table->length) ? table : NULL;
}

static const uint8_t *search(void)
{
	const uint8_t *at = phys_to_virt(BIOS_AREA), *end = phys_to_virt(BIOS_AREA_END - RSDP_BYTES);

	for (; at <= end; at += 16)
		if (!memcmp(at, "RSD PTR ", 8) && sum_is_zero(at, RSDP_BYTES))
			return at;
	return NULL;
}

/* Those that there is no room for are counted, even twice. */
static unsigned int add_id(uint32_t *ids, unsigned int count, unsigned int room, uint32_t id)
{
	unsigned int i;

	for (i = 0; i < count && i < room; i++)
		if (ids[i] == id)
			return count;
	if (count < room)
		ids[count] = id;
	return count + 1;
}

static unsigned int read_madt(const struct sdt *madt, uint32_t *ids, unsigned int room)
{
	const uint8_t *at = (const uint8_t *)madt + MADT_ENTRIES, *end = (const uint8_t *)madt + madt->length;
	unsigned int count = 0;

	for (; end - at >= 2 && at[1] >= 2 && at[1] <= end - at; at += at[1]) {
		bool is_lapic = at[0] == MADT_LAPIC && at[1] >= 8 && get32(at + 4) & MADT_ENABLED;
		bool is_x2apic = at[0] == MADT_X2APIC && at[1] >= 16 && get32(at + 8) & MADT_ENABLED;

		if (is_lapic || is_x2apic)
			count = add_id(ids, count, room, is_lapic ? at[3] : get32(at + 4));
	}
	return count;
}

unsigned int acpi_processors(const uint8_t *rsdp, uint32_t rsdp_bytes, uint64_t limit, uint32_t *ids, unsigned int room)
{
	const struct sdt *root, *table;
	uint64_t address = 0;
	uint32_t at, width;

	if (!rsdp_bytes) {
		rsdp = search();
		rsdp_bytes = RSDP2_BYTES;
	}
	if (!rsdp || rsdp_bytes < RSDP_BYTES)
		return 0;
	width = rsdp[RSDP_REVISION] >= 2 && rsdp_bytes >= RSDP2_BYTES ? 8 : 4;
	if (width == 8)
		memcpy(&address, rsdp + RSDP_XSDT, 8);
	if (!address) {
		width = 4;
		memcpy(&address, rsdp + RSDP_RSDT, 4);
	}
	root = table_at(address, limit);
	if (!root)
		return 0;
	for (at = 36; at + width <= root->length; at += width) {
		address = 0;
		memcpy(&address, (const uint8_t *)root + at, width);
		table = table_at(address, limit);
		if (table && !memcmp(table->signature, "APIC", 4) && table->length >= MADT_ENTRIES)
			return read_madt(table, ids, room);
	}
	return 0;
}
