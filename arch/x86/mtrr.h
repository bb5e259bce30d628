/* SPDX-License-Identifier: GPL-2.0 */
/* The memory types that the firmware has set (SDM vol. 3, 12.11): what counts below EPT, which knows no MTRRs. */
#ifndef ARCH_MTRR_H
#define ARCH_MTRR_H

#include <stdbool.h>
#include <stdint.h>

#include "pagetable.h"

#define MTRR_TYPE_WB	6u

#define MTRR_VARIABLE	32u	/* most that are looked at */
#define MTRR_FIXED	88u	/* 8 of 64 KiB, 16 of 16 KiB, 64 of 4 KiB */

struct mtrr {
	bool read;		/* all that follows is valid */
	bool enabled;
	bool fixed_enabled;
	uint8_t default_type;
	uint8_t fixed[MTRR_FIXED];
	unsigned int count;
	struct {
		uint64_t base;
		uint64_t mask;
		uint8_t type;
	} variable[MTRR_VARIABLE];
};

void mtrr_read(struct mtrr *mtrr);
/*
 * Of an aligned block whose size is a power of two. All types but write-back count as not cached, which is what the two
 * that matter (UC, WC) are under UC in EPT: the guest's PAT makes WC of it.
 */
enum pt_caching mtrr_caching(const struct mtrr *mtrr, uint64_t start, uint64_t bytes);

#endif
