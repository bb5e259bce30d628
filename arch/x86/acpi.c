// SPDX-License-Identifier: GPL-2.0
// What Keel reads of the ACPI tables, which are the firmware's and may say anything.

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
#define ROOT_ENTRIES	36u
#define MADT_ENTRIES	44u
#define MADT_LAPIC	0u
#define MADT_X2APIC	9u
#define MADT_ENABLED	1u
#define LAPIC_NONE	0xffu	/* identifiers of entries that are for nothing */
#define X2APIC_NONE	0xffffffffu

/* The fixed description table (ACPI 6.4, 5.2.9): offsets. */
#define FADT_DSDT	40u
#define FADT_PM1A_STATUS 56u
#define FADT_PM1B_STATUS 60u
#define FADT_PM1A_CONTROL 64u
#define FADT_PM1B_CONTROL 68u
#define FADT_FLAGS	112u
#define FADT_RESET	116u
#define FADT_RESET_VALUE 128u
#define FADT_X_DSDT	140u
#define FADT_X_PM1A_STATUS 148u
#define FADT_X_PM1B_STATUS 160u
#define FADT_X_PM1A_CONTROL 172u
#define FADT_X_PM1B_CONTROL 184u
#define FADT_SLEEP	244u
#define FADT_HAS_RESET	(1u << 10)
#define GAS_BYTES	12u		/* a generic address: space, width, offset, access, address */
#define GAS_IO		1u

/* AML (ACPI 6.4, 20.2). */
#define AML_NAME	0x08u
#define AML_ROOT	0x5cu
#define AML_PACKAGE	0x12u
#define AML_ZERO	0x00u
#define AML_ONE		0x01u
#define AML_BYTE	0x0au
#define AML_NAME_BYTES	4u
#define AML_LENGTH_MORE_SHIFT 6		/* of a length's first byte: how many follow */
#define SLEEP_TYPES	7u

struct sdt {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	uint8_t rest[26];
} __attribute__((packed));

static bool sum_is_zero(const uint8_t *bytes, uint32_t count)
{
	uint8_t sum = 0;

	while (count--)
		sum = (uint8_t)(sum + *bytes++);
	return !sum;
}

/* The table at this address, with nothing of it but its length looked at. */
static struct sdt *table_at(uint64_t pa, uint64_t limit)
{
	struct sdt *table = phys_to_virt(pa);

	if (!pa || pa >= limit || limit - pa < sizeof(*table) || table->length < sizeof(*table) ||
	    table->length > TABLE_MAX || table->length > limit - pa)
		return NULL;
	return table;
}

static bool is_sound(const struct sdt *table)
{
	return sum_is_zero((const uint8_t *)table, table->length);
}

static const uint8_t *search(void)
{
	const uint8_t *at = phys_to_virt(BIOS_AREA), *end = phys_to_virt(BIOS_AREA_END - RSDP_BYTES);

	for (; at <= end; at += 16)
		if (!memcmp(at, "RSD PTR ", 8) && sum_is_zero(at, RSDP_BYTES))
			return at;
	return NULL;
}

bool acpi_open(struct acpi *acpi, const uint8_t *rsdp, uint32_t rsdp_bytes, uint64_t limit)
{
	uint64_t address = 0;

	if (!rsdp_bytes) {
		rsdp = search();
		rsdp_bytes = RSDP2_BYTES;
	}
	if (!rsdp || rsdp_bytes < RSDP_BYTES)
		return false;
	acpi->limit = limit;
	acpi->width = rsdp[RSDP_REVISION] >= 2 && rsdp_bytes >= RSDP2_BYTES ? 8 : 4;
	if (acpi->width == 8)
		memcpy(&address, rsdp + RSDP_XSDT, 8);
	if (!address) {
		acpi->width = 4;
		memcpy(&address, rsdp + RSDP_RSDT, 4);
	}
	acpi->root = table_at(address, limit);
	if (!acpi->root || !is_sound(acpi->root))
		return false;
	acpi->entries = (acpi->root->length - ROOT_ENTRIES) / acpi->width;
	return true;
}

/* The next table with this signature, from the root's entry *at on, which is 0 at first; NULL: there is none. */
static struct sdt *next_table(const struct acpi *acpi, const char *signature, uint32_t *at)
{
	struct sdt *table;
	uint64_t address;

	while (*at < acpi->entries) {
		address = 0;
		memcpy(&address, (const uint8_t *)acpi->root + ROOT_ENTRIES + (*at)++ * acpi->width, acpi->width);
		table = table_at(address, acpi->limit);
		if (table && !memcmp(table->signature, signature, sizeof(table->signature)))
			return table;
	}
	return NULL;
}

/* Those that there is no room for are counted, even twice. */
static unsigned int add(struct acpi_processor *list, unsigned int count, unsigned int room, struct acpi_processor new)
{
	unsigned int i;

	for (i = 0; i < count && i < room; i++)
		if (list[i].apic_id == new.apic_id)
			return count;
	if (count < room)
		list[count] = new;
	return count + 1;
}

static unsigned int read_madt(const struct sdt *madt, struct acpi_processor *list, unsigned int count, unsigned int room,
			      bool enabled)
{
	const uint8_t *at = (const uint8_t *)madt + MADT_ENTRIES, *end = (const uint8_t *)madt + madt->length;
	uint32_t id, flags;

	for (; end - at >= 2 && at[1] >= 2 && at[1] <= end - at; at += at[1]) {
		if (at[0] == MADT_LAPIC && at[1] >= 8) {
			id = at[3] == LAPIC_NONE ? X2APIC_NONE : at[3];
			flags = acpi_get32(at + 4);
		} else if (at[0] == MADT_X2APIC && at[1] >= 16) {
			id = acpi_get32(at + 4);
			flags = acpi_get32(at + 8);
		} else {
			continue;
		}
		if (id != X2APIC_NONE && (flags & MADT_ENABLED) == enabled)
			count = add(list, count, room, (struct acpi_processor){ id, enabled });
	}
	return count;
}

unsigned int acpi_processors(const struct acpi *acpi, struct acpi_processor *list, unsigned int room)
{
	const struct sdt *madt;
	unsigned int count;
	uint32_t at = 0;

	do {
		madt = next_table(acpi, "APIC", &at);
	} while (madt && (madt->length < MADT_ENTRIES || !is_sound(madt)));
	if (!madt)
		return 0;
	count = read_madt(madt, list, 0, room, true);
	return read_madt(madt, list, count, room, false);
}

/* An I/O port by its extended address, or else by the old one. 0: none. */
static uint16_t port(const struct sdt *fadt, uint32_t old, uint32_t extended)
{
	const uint8_t *bytes = (const uint8_t *)fadt;
	uint64_t address = 0;

	if (fadt->length >= extended + GAS_BYTES && bytes[extended] == GAS_IO)
		memcpy(&address, bytes + extended + 4, sizeof(address));
	if (!address && old && fadt->length >= old + 4)
		address = acpi_get32(bytes + old);
	return address <= UINT16_MAX ? (uint16_t)address : 0;
}

/* The number at *at, as it stands in a package; -1: something else. */
static int aml_integer(const uint8_t *aml, uint32_t bytes, uint32_t *at)
{
	if (*at < bytes && (aml[*at] == AML_ZERO || aml[*at] == AML_ONE))
		return aml[(*at)++];
	if (*at + 1 < bytes && aml[*at] == AML_BYTE) {
		*at += 2;
		return aml[*at - 1];
	}
	return -1;
}

/* The package of a sleeping state, whose first elements are what the two control registers want (ACPI 6.4, 7.4.2). */
static void read_types(const uint8_t *aml, uint32_t bytes, uint32_t at, int types[2])
{
	int value;

	if (at >= bytes)
		return;
	at += 2u + (aml[at] >> AML_LENGTH_MORE_SHIFT);	/* length, number of elements */
	for (unsigned int i = 0; i < 2; i++) {
		value = aml_integer(aml, bytes, &at);
		if (value < 0 || value > (int)SLEEP_TYPES)
			return;
		types[i] = value;
	}
}

/*
 * The definitions of \_S1_ to \_S5_ in a table's byte code, wherever they are: what S5 is, is read; the others get another name.
 */
static void read_sleep(struct sdt *table, struct acpi_power *power)
{
	uint8_t *aml = (uint8_t *)table;
	uint32_t bytes = table->length, at, name;

	for (at = sizeof(*table); at + 1 + AML_NAME_BYTES < bytes; at++) {
		name = at + (aml[at + 1] == AML_ROOT ? 2 : 1);
		if (aml[at] != AML_NAME || name + AML_NAME_BYTES >= bytes || aml[name] != '_' || aml[name + 1] != 'S' ||
		    aml[name + 2] < '1' || aml[name + 2] > '5' || aml[name + 3] != '_' || aml[name + 4] != AML_PACKAGE)
			continue;
		if (aml[name + 2] == '5') {
			read_types(aml, bytes, name + 5, power->off);
			continue;
		}
		aml[name] = 'X';
		if (aml[name] != 'X')		/* read-only memory */
			continue;
		table->checksum = (uint8_t)(table->checksum + '_' - 'X');
		power->hidden++;
	}
}

void acpi_power(const struct acpi *acpi, struct acpi_power *power)
{
	uint64_t dsdt = 0;
	struct sdt *table;
	uint32_t at = 0;

	*power = (struct acpi_power){ .off = { -1, -1 } };
	table = next_table(acpi, "FACP", &at);
	if (!table || table->length < FADT_FLAGS + 4)
		return;
	power->status[0] = port(table, FADT_PM1A_STATUS, FADT_X_PM1A_STATUS);
	power->status[1] = port(table, FADT_PM1B_STATUS, FADT_X_PM1B_STATUS);
	power->control[0] = port(table, FADT_PM1A_CONTROL, FADT_X_PM1A_CONTROL);
	power->control[1] = port(table, FADT_PM1B_CONTROL, FADT_X_PM1B_CONTROL);
	power->sleep = port(table, 0, FADT_SLEEP);
	if (acpi_get32((const uint8_t *)table + FADT_FLAGS) & FADT_HAS_RESET && table->length > FADT_RESET_VALUE) {
		power->reset = port(table, 0, FADT_RESET);
		power->reset_value = ((const uint8_t *)table)[FADT_RESET_VALUE];
	}
	if (table->length >= FADT_X_DSDT + 8)
		memcpy(&dsdt, (const uint8_t *)table + FADT_X_DSDT, sizeof(dsdt));
	table = table_at(dsdt ? dsdt : acpi_get32((const uint8_t *)table + FADT_DSDT), acpi->limit);
	/* It is going to be written to. */
	if (table && !memcmp(table->signature, "DSDT", sizeof(table->signature)))
		read_sleep(table, power);
	for (at = 0; (table = next_table(acpi, "SSDT", &at));)
		read_sleep(table, power);
}

const uint8_t *acpi_table(const struct acpi *acpi, const char *signature, uint32_t *length)
{
	const struct sdt *table;
	uint32_t at = 0;

	do {
		table = next_table(acpi, signature, &at);
	} while (table && !is_sound(table));
	*length = table ? table->length : 0;
	return (const uint8_t *)table;
}

bool acpi_hide(const struct acpi *acpi, const char *signature)
{
	struct sdt *table;
	uint32_t at = 0;

	while ((table = next_table(acpi, signature, &at))) {
		table->signature[0] = 'X';
		if (*(volatile char *)table->signature != 'X')
			return false;
		table->checksum = (uint8_t)(table->checksum + signature[0] - 'X');
	}
	return true;
}
