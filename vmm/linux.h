/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Loads a stock Linux bzImage and its initrd by the 64-bit boot protocol
 * (Linux Documentation/arch/x86/boot.rst).
 *
 * All RAM must be in the direct map. The caller then enters `rip` in 64-bit mode with
 *   RSI = rsi (boot_params), interrupts off, RFLAGS.DF = 0;
 *   paging with an identity map that covers the kernel (load to load_end), the block and the initrd; the low
 *     4 GiB in 2 MiB pages and the places above them will do. Its tables must lie in memory that Linux
 *     can read;
 *   a GDT with LINUX_BOOT_CS (code, 64-bit, execute and read) and LINUX_BOOT_DS (data, read and write);
 *   CS = LINUX_BOOT_CS, DS = ES = SS = LINUX_BOOT_DS. No stack is needed.
 * `scratch` is room for those tables and the GDT: LINUX_SCRATCH bytes, zeroed, page-aligned, below 4 GiB.
 */
#ifndef VMM_LINUX_H
#define VMM_LINUX_H

#include <stdbool.h>
#include <stdint.h>

#include "multiboot2.h"

#define LINUX_BOOT_CS	0x10u
#define LINUX_BOOT_DS	0x18u
#define LINUX_SCRATCH	0x8000u

#define LINUX_HIDDEN	8u

struct linux_layout {
	struct boot_range hidden[LINUX_HIDDEN];	/* Keel's memory, whole pages: reserved in every map; type ignored */
	unsigned hidden_count;
	unsigned kernel;			/* index of the module that is the kernel */
	int initrd;				/* index of the module that is the initrd; -1: none */
	const char *cmdline;			/* NULL: the kernel module's string */
};

struct linux_entry {
	uint64_t rip;
	uint64_t rsi;
	uint64_t load, load_end;		/* the kernel, with what it needs to unpack itself (init_size) */
	uint64_t initrd, initrd_end;		/* both 0: none */
	uint64_t block, block_end;		/* boot_params, command line and tables */
	uint64_t scratch;
	const char *error;			/* set when linux_load() fails: one line for the screen */
};

/*
 * -EINVAL: not a kernel for us (protocol below 2.12, 32-bit, not relocatable, damaged) or a bad layout;
 * -ENOMEM: no place for it. Memory may have been written by then, but only free RAM.
 */
int linux_load(const struct boot_info *boot, const struct linux_layout *layout, struct linux_entry *entry);

#endif
