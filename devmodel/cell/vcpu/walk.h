/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest page walk: linear to guest-physical address with the rights of the access (Intel SDM vol. 3, chapter 4).
 * Reads CR0, CR3, CR4, EFER, CPL and RFLAGS.AC of the context; sets accessed and dirty bits in guest memory.
 */
#ifndef KEEL_WALK_H
#define KEEL_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "vcpu/emulate.h"

#define WALK_PAGE_BYTES	4096u

#define WALK_WRITE	(1u << 0)
#define WALK_FETCH	(1u << 1)
#define WALK_SYSTEM	(1u << 2)	/* a supervisor's whatever CPL is: descriptor tables, TSSs (SDM vol. 3, 4.6) */

/* False: *fault holds the page fault. The translation is good up to the end of the 4 KiB page. */
bool walk_translate(const struct keel_context *ctx, const struct gmem *mem, uint64_t linear, unsigned int access,
		    uint64_t *gpa, struct emulate_fault *fault);

#endif
