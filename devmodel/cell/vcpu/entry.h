/* SPDX-License-Identifier: GPL-2.0 */
/* One entry into the register half: from the exit record of a context's page to its answer (keel/cell.h). */
#ifndef KEEL_ENTRY_H
#define KEEL_ENTRY_H

#include <stdint.h>

#include <keel/cell.h>

#include "machine/pc.h"

/* What a cell is built on. */
struct entry_place {
	void *channel;
	uint8_t *guest;		/* where guest-physical address 0 is mapped */
	struct lapic_page *apics;	/* by vCPU */
	struct transfer_memory *transfer;	/* NULL: the machine cannot be saved */
	struct pc_contexts contexts;
};

/* pc is all zeros before the first entry, which must be an event. */
void entry_run(struct pc *pc, const struct entry_place *place, struct keel_context *ctx, uint64_t tsc);

#endif
