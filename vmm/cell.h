/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ways into a guest's cell: one for each vCPU, and the event context. One of them is in the cell at a time. A context
 * belongs to the CPU that has set `running`; what is in it is that CPU's alone.
 */
#ifndef VMM_CELL_H
#define VMM_CELL_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/cell.h>
#include <keel/hypercall.h>

#include "cell_frame.h"
#include "cpu.h"

struct cpu;
struct vm;

extern const uint8_t cell_image[];

/* One way into the cell: a vCPU's, or the event context. */
struct cell_context {
	struct vm *vm;
	struct keel_context *page;
	unsigned int number;
	uint32_t running;		/* a CPU is at it */
	bool inside;			/* the cell was entered and has not answered yet */
	bool pending;			/* the page holds an exit for the cell */
	bool moving;			/* the cell has answered, and is taken until its apertures are where it wants them */
	bool measured;			/* the time of this stay is */
	struct cell_frame frame;	/* while it is not inside: of an entry that starts afresh */
};

/* All but the first are also what RUN says then. */
enum cell_result {
	CELL_ANSWERED		= 0,
	CELL_BUSY		= KEEL_RUN_BUSY,
	CELL_WAITS		= KEEL_RUN_BUSY | KEEL_RUN_KICK,	/* for vCPUs to come out of the guest: aperture_late() */
	CELL_INTERRUPTED	= KEEL_RUN_INTERRUPT,
	CELL_ENDED		= KEEL_RUN_ENDED,
};

/* The next entry starts afresh. General registers keep what the cell itself left in them. */
static inline void cell_rewind(struct cell_context *context)
{
	struct cell_frame *frame = &context->frame;

	frame->rip = ((const struct keel_cell_header *)cell_image)->entry;
	frame->rsp = KEEL_CELL_STACKS + (context->number + 1) * KEEL_CELL_STACK_STRIDE;
	frame->rdi = KEEL_CELL_CONTEXTS + context->number * KEEL_PAGE_SIZE;
	frame->rflags = RFLAGS_FIXED | RFLAGS_IF;
}

/* At the begin and the end of each stay. The cell may write the counters and its wish at any time: the wish holds for a stay. */
static inline uint64_t cell_begin_stay(struct cell_context *context)
{
	struct keel_counters *counters = &context->page->counters;

	counters->count[KEEL_COUNT_RUN]++;
	context->measured = counters->measure;
	return context->measured ? rdtsc() : 0;
}

static inline void cell_end_stay(struct cell_context *context, uint64_t began, unsigned int flags)
{
	struct keel_counters *counters = &context->page->counters;

	counters->count[KEEL_COUNT_BUSY] += flags == KEEL_RUN_BUSY;
	if (context->measured)
		counters->stays += rdtsc() - began;
}

/* cell_call.h has the way in. Its parts for a context that has the cell: it goes on; it was left, if not by a plain answer. */
enum cell_result cell_resume(struct cpu *cpu, struct cell_context *context);
enum cell_result cell_leave(struct cpu *cpu, struct cell_context *context);

#endif
