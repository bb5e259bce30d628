/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest page walk: linear to guest-physical address with the rights of the access (Intel SDM vol. 3, chapter 4).
 * Reads CR0, CR3, CR4, EFER, CPL and RFLAGS.AC of the context; sets accessed and dirty bits in guest memory.
 */
#ifndef KEEL_WALK_H
#define KEEL_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/cell.h>

#include "core/gmem.h"
#include "vcpu/fault.h"

#define WALK_PAGE_BYTES	4096u

#define WALK_WRITE	(1u << 0)
#define WALK_FETCH	(1u << 1)
#define WALK_SYSTEM	(1u << 2)	/* a supervisor's whatever CPL is: descriptor tables, TSSs (SDM vol. 3, 4.6) */

/* False: *fault holds the page fault. The translation is good up to the end of the 4 KiB page. */
bool walk_translate(const struct keel_context *ctx, const struct gmem *mem, uint64_t linear, unsigned int access,
		    uint64_t *gpa, struct emulate_fault *fault);

/*
 * Walks to code that were made, of four levels. One is found again if it starts from the same registers and each entry on its way
 * is still what it was: then it would come to the same page, and has no accessed bit to set. So none ever has to be dropped.
 * All zeros: none.
 */
#define WALK_KNOWN	16u
#define WALK_KNOWN_LEVELS 4u

struct walk_known {
	struct walked {
		uint64_t linear;	/* of the page */
		uint64_t gpa;
		uint64_t cr3;		/* what the walk went by */
		uint64_t cr4;
		uint64_t efer;
		uint64_t cpl;
		/* In memory whose addresses never change; the last one again where the page is large. NULL: the walk is empty. */
		const uint64_t *at[WALK_KNOWN_LEVELS];
		uint64_t value[WALK_KNOWN_LEVELS];
	} page[WALK_KNOWN];
};

/* walk_translate() for WALK_FETCH alone. */
bool walk_fetch(struct walk_known *known, const struct keel_context *ctx, const struct gmem *mem, uint64_t linear, uint64_t *gpa,
		struct emulate_fault *fault);

#endif
