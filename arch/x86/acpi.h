/* SPDX-License-Identifier: GPL-2.0 */
/* What Keel needs of ACPI: the local APICs (ACPI 6.4, 5.2.12). */
#ifndef ARCH_ACPI_H
#define ARCH_ACPI_H

#include <stdint.h>

/*
 * The APIC IDs of the usable processors, the first `room` of them, from the tables that rsdp (a copy of the root pointer of that
 * size; 0: search for it) leads to. Returns how many there are, which may be more; 0: no usable table. Tables must be in the
 * direct map, below limit.
 */
unsigned int acpi_processors(const uint8_t *rsdp, uint32_t rsdp_bytes, uint64_t limit, uint32_t *ids, unsigned int room);

#endif
