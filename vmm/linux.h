/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Loads a stock Linux bzImage and its initrd (Linux Documentation/arch/x86/boot.rst).
 *
 * All RAM must be in the direct map. The caller then enters `load` by the 32-bit boot protocol: protected mode
 * without paging, flat segments, CS = 0x10, the others 0x18, ESI = block, interrupts off.
 */
#ifndef VMM_LINUX_H
#define VMM_LINUX_H

#include <stdint.h>

#include "boot_info.h"

#define LINUX_HIDDEN	3u

struct linux_entry {
	/* The kernel, with what it needs to unpack itself (init_size). */
	uint64_t load;
	uint64_t load_end;
	/* Both 0: none. */
	uint64_t initrd;
	uint64_t initrd_end;
	/* boot_params, command line and tables. */
	uint64_t block;
	uint64_t block_end;
};

/*
 * The first module is the kernel, with its command line; the second one, if any, the initrd. hidden: Keel's memory,
 * whole pages, already taken: reserved in every map; type ignored, empty ones left out. NULL, or one line for the
 * screen: not a kernel for us (protocol below 2.12, 32-bit, not relocatable, damaged) or no place for it. Memory may
 * have been written by then, but only free RAM.
 */
const char *linux_load(struct boot_info *boot, const struct boot_range hidden[LINUX_HIDDEN], struct linux_entry *entry);

#endif
