/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reads the multiboot2 information (Multiboot2 Specification 2.0, 3.6).
 *
 * Nothing of the loader's is trusted for its lengths: a tag that is cut off or malformed is left out, a
 * table that is too long is cut. Strings point into the loader's memory, where they are known to end before
 * the tag does.
 */
#ifndef VMM_MULTIBOOT2_H
#define VMM_MULTIBOOT2_H

#include <stdbool.h>
#include <stdint.h>

#include "boot_info.h"

/* Reads the information at pa through phys_to_virt(). -EINVAL: no well-formed total size or no memory map. */
int multiboot2_parse(uint64_t pa, struct boot_info *boot);

/* Whether the command line has this word. */
bool multiboot2_option(const struct boot_info *boot, const char *word);

#endif
