/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Clears memory at boot: after a warm reset it still holds what the guests of before had in theirs, which the control domain may
 * not read. Each page is read first and written only if it is not zero, so that an emulator's untouched memory stays so.
 */
#ifndef VMM_CLEAR_H
#define VMM_CLEAR_H

#include "boot_info.h"

/*
 * On the first CPU, with all memory in the direct map: clears what bootmem_next() names, together with the CPUs that
 * take part, and tells how long it took.
 */
void clear_memory(const struct boot_info *boot);
/* Instead: lets the others go without. */
void clear_nothing(const struct boot_info *boot);
/* On the others: waits for that, and comes back when there is nothing left to begin with. */
void clear_take_part(void);

#endif
