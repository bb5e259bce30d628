/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory before the control domain has it: what of it may be written, and places in it.
 *
 * Booted by UEFI, that is conventional memory alone (UEFI 2.10, 7.2.1: EfiConventionalMemory). To a loader, boot
 * services' memory is free as well, but firmware keeps tables there that kernels read later: memory attributes, ESRT,
 * TPM log, random seed. What the loader itself had is only cleared. Else it is what the loader's map has as RAM. In
 * either case it is above 1 MiB, below which firmware, video and trampolines are.
 */
#ifndef VMM_BOOTMEM_H
#define VMM_BOOTMEM_H

#include <stdbool.h>
#include <stdint.h>

#include "boot_info.h"

/* Works it out from the maps. Firmware's tables are read where they are below 4 GiB, through the direct map. */
void bootmem_init(struct boot_info *boot);

/* What follows keeps clear of [start, end). There is room for a handful of them, and for the regions of IOMMUs. */
void bootmem_take(struct boot_info *boot, uint64_t start, uint64_t end);

/* All of [start, end) is memory that may be used, in one stretch and clear of what is taken. */
bool bootmem_is_free(const struct boot_info *boot, uint64_t start, uint64_t end);

/*
 * Room of this many bytes, clear of all that is taken: the highest that ends at or below `below`, but under 4 GiB where that is
 * possible. The address is a multiple of align (a power of two, at least a page). 0: no room. It is not taken by this.
 */
uint64_t bootmem_choose(const struct boot_info *boot, uint64_t bytes, uint64_t align, uint64_t below);

/*
 * The highest page below 512 KiB that is not taken, of conventional memory or the loader's own, for processors that
 * start in real mode. 0: there is none.
 */
uint64_t bootmem_low_page(const struct boot_info *boot);

/* The first stretch at or above `at` that may be cleared: the loader's own memory, too, but nothing that is taken. */
bool bootmem_next(const struct boot_info *boot, uint64_t at, struct boot_range *next);

#endif
