// SPDX-License-Identifier: GPL-2.0
// Nested page tables (APM vol. 2, 15.25): those of the host, but that a nested walk counts as a user access (15.25.5).

#include "pt_format.h"

#include <x86/paging.h>

const struct pt_format pt_format_npt = {
	.present = PTE_PRESENT,
	.address = PTE_ADDRESS,
	.table = PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED,
	.leaf = PTE_PRESENT | PTE_USER | PTE_ACCESSED | PTE_DIRTY,
	.large = PTE_LARGE,
	.write = PTE_WRITE,
	.no_exec = PTE_NX,
	.hardware = PTE_ACCESSED | PTE_DIRTY,
	.dirty = PTE_DIRTY,
};
