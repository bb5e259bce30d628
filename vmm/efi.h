/* SPDX-License-Identifier: GPL-2.0 */
/* The firmware's memory map (UEFI 2.10, 7.2). */
#ifndef VMM_EFI_H
#define VMM_EFI_H

#include <stdint.h>

enum efi_memory {
	EFI_RESERVED		= 0,
	EFI_LOADER_CODE,
	EFI_LOADER_DATA,
	EFI_SERVICES_CODE,
	EFI_SERVICES_DATA,
	EFI_CONVENTIONAL	= 7,
	EFI_ACPI_RECLAIM	= 9,
};

/* 7.2.3. The firmware's may be longer. */
struct efi_descriptor {
	uint32_t type;
	uint32_t pad;
	uint64_t start;
	uint64_t virtual_start;
	uint64_t pages;
	uint64_t attribute;
};

_Static_assert(sizeof(struct efi_descriptor) == 40, "UEFI 2.10, 7.2.3");

#endif
