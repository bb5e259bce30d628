// SPDX-License-Identifier: GPL-2.0
// Page tables of host address spaces (SDM vol. 3, 4.5; APM vol. 2, 5.3 and 5.4).

#include "pt_format.h"

#include <x86/paging.h>

/* Bits 52 to 58 of a leaf are software's (APM vol. 2, 5.4): PT_SOFTWARE. */
const struct pt_format pt_format_x86 = {
	.present = PTE_PRESENT,
	.address = PTE_ADDRESS,
	.table = PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED,
	.leaf = PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY,
	.large = PTE_LARGE,
	.write = PTE_WRITE,
	.no_exec = PTE_NX,
	.user = PTE_USER,
	.global = PTE_GLOBAL,
	.uncached = PTE_PCD | PTE_PWT,
	.hardware = PTE_ACCESSED | PTE_DIRTY,
	.dirty = PTE_DIRTY,
};
