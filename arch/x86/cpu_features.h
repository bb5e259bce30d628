/* SPDX-License-Identifier: GPL-2.0 */
/* What Keel itself uses of the processor's features. After hv_choose(). */
#ifndef ARCH_CPU_FEATURES_H
#define ARCH_CPU_FEATURES_H

#include <stdbool.h>

/* Sets this CPU's control registers to what Keel runs with, in its final address space. */
void cpu_features_init(void);
/* Whether all page tables, Keel's own and second-level ones, have leaves of 1 GiB. */
bool cpu_features_1g_pages(void);
/* The width of physical addresses, without those bits that choose a key of memory's encryption. */
unsigned int cpu_features_address_bits(void);

#endif
