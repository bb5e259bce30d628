/* SPDX-License-Identifier: GPL-2.0 */
/* What one domain leaves behind in a processor and another could make use of, or find out. */
#ifndef ARCH_SPECULATION_H
#define ARCH_SPECULATION_H

#include <stdbool.h>

/* What this processor knows and needs. */
struct speculation {
	bool predictors;	/* IBPB (APM vol. 2, 3.2.9; SDM vol. 4, IA32_PRED_CMD) */
	bool first_cache;	/* L1D flush, where a guest may read that cache (SDM vol. 4, IA32_FLUSH_CMD) */
	bool buffers;		/* VERW as MD_CLEAR has it */
};
extern struct speculation speculation;

void speculation_init(void);
/*
 * Before a guest or a cell runs behind the control domain: nothing that others left in the first cache and in buffers
 * is there.
 */
void speculation_before_guest(void);
/* Behind a guest or a cell, before all memory is in reach again: where it jumped leads nobody else; returns may still be led. */
void speculation_after_guest(void);

#endif
