/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control domain's MSRs: which are passed through without an exit, which are written for it, which it is refused. What is
 * listed nowhere is read for it, so that the processor's own fault is its fault too, and not written.
 */
#ifndef ARCH_CONTROL_MSR_H
#define ARCH_CONTROL_MSR_H

#include <stdbool.h>
#include <stdint.h>

enum {
	MSR_READ_FREE = 1u << 0,	/* without an exit */
	MSR_WRITE_FREE = 1u << 1,
	MSR_WRITE_TRIED = 1u << 2,	/* by Keel, and the processor judges the value */
	MSR_WRITE_IGNORED = 1u << 3,
	MSR_READ_REFUSED = 1u << 4,
};
#define MSR_FREE	(MSR_READ_FREE | MSR_WRITE_FREE)

struct control_msr {
	uint32_t first;
	uint32_t last;
	uint32_t access;
	uint64_t changeable;		/* WRITE_TRIED: bits that may differ from what is there; 0: all */
};

/* The vendor's own, beside those of both. */
struct control_msrs {
	const struct control_msr *list;
	unsigned int count;
};
extern const struct control_msrs control_msrs_amd, control_msrs_intel;

/* What is said of an MSR. NULL: nothing. */
const struct control_msr *control_msr_find(const struct control_msrs *vendor, uint32_t msr);
/* Takes the exits of all that is free out of a bitmap in which everything exits. */
void control_msr_permit(const struct control_msrs *vendor, uint8_t *bitmap,
			void (*permit)(uint8_t *bitmap, uint32_t msr, bool read, bool write));

#endif
