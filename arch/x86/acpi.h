/* SPDX-License-Identifier: GPL-2.0 */
/* What Keel needs of ACPI: the local APICs, and how the machine sleeps, goes off and is reset (ACPI 6.4, 5.2, 7.4). */
#ifndef ARCH_ACPI_H
#define ARCH_ACPI_H

#include <stdbool.h>
#include <stdint.h>

struct sdt;

/* The tables of a machine; they are in the direct map, below limit. */
struct acpi {
	const struct sdt *root;		/* RSDT or XSDT */
	uint32_t entries;	/* their number, which nothing changes that is done to tables */
	uint32_t width;		/* bytes of each */
	uint64_t limit;
};

struct acpi_processor {
	uint32_t apic_id;
	bool enabled;			/* else it can be switched on, or plugged in, later */
};

/* Fields of tables; they need not be aligned. */
static inline uint16_t acpi_get16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint32_t acpi_get32(const uint8_t *bytes)
{
	return acpi_get16(bytes) | (uint32_t)acpi_get16(bytes + 2) << 16;
}

static inline uint64_t acpi_get64(const uint8_t *bytes)
{
	return acpi_get32(bytes) | (uint64_t)acpi_get32(bytes + 4) << 32;
}

/* I/O ports; 0: there is none. */
struct acpi_power {
	/* PM1a and PM1b. */
	uint16_t status[2];
	uint16_t control[2];
	uint16_t sleep;			/* the control register of machines without PM1 */
	uint16_t reset;
	uint8_t reset_value;
	int off[2];			/* what the control registers' SLP_TYP is in S5; -1: not known */
	unsigned int hidden;		/* definitions of other sleeping states that the control domain does not find any more */
};

/* rsdp: a copy of the root pointer of that size; 0: search for it. False: no usable tables. */
bool acpi_open(struct acpi *acpi, const uint8_t *rsdp, uint32_t rsdp_bytes, uint64_t limit);

/*
 * The processors, the first `room` of them, enabled ones first. Returns how many there are, which may be more; 0: no
 * usable table.
 */
unsigned int acpi_processors(const struct acpi *acpi, struct acpi_processor *list, unsigned int room);

/*
 * Reads the power management, and takes \_S1_ to \_S4_ out of the tables, in place: an operating system that finds them would
 * offer sleeping states in which processors and memory leave Keel's hands.
 */
void acpi_power(const struct acpi *acpi, struct acpi_power *power);

/*
 * The first table with this signature, four characters, whose sum is right, with its header. length: its bytes. NULL:
 * there is none.
 */
const uint8_t *acpi_table(const struct acpi *acpi, const char *signature, uint32_t *length);
/*
 * All tables with this signature get another one, in place, by which no operating system looks for them. False: one
 * lies in memory that cannot be written.
 */
bool acpi_hide(const struct acpi *acpi, const char *signature);

#endif
