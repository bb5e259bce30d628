/* SPDX-License-Identifier: GPL-2.0 */
/* The formats of page tables that there are; those of a second level are each one vendor's. */
#ifndef ARCH_PT_FORMAT_H
#define ARCH_PT_FORMAT_H

#include "pagetable.h"

extern const struct pt_format pt_format_x86;
extern const struct pt_format pt_format_npt;
extern const struct pt_format pt_format_ept;

#endif
