/* SPDX-License-Identifier: GPL-2.0 */
/* Entering a cell afresh and taking a plain answer, as most exits do: inside loops, which keep their registers but once. */
#ifndef VMM_CELL_CALL_H
#define VMM_CELL_CALL_H

#include "cell.h"
#include "hv.h"
#include "vm.h"

/* One context at a time; who finds the cell taken lets the control domain's scheduler sort it out. */
static inline bool cell_take(struct cell_context *context)
{
	uint32_t none = 0;

	return __atomic_compare_exchange_n(&context->vm->cell_owner, &none, context->number + 1, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static inline enum cell_result cell_release(struct cell_context *context)
{
	context->pending = false;
	__atomic_store_n(&context->vm->cell_owner, 0, __ATOMIC_RELEASE);
	return CELL_ANSWERED;
}

static inline void cell_enter(struct cpu *cpu, struct cell_context *context)
{
	uint64_t began;

	if (hv->cpu.cell_prepare)
		hv->cpu.cell_prepare(cpu);
	if (!context->measured) {
		cell_run(&context->frame);
		return;
	}
	began = rdtsc();
	cell_run(&context->frame);
	context->page->counters.cell += rdtsc() - began;
}

/* What it was left by. Most often that is an answer that moves no aperture. */
static inline enum cell_result cell_left(struct cpu *cpu, struct cell_context *context)
{
	if (context->frame.vector != KEEL_CELL_GATE || context->page->answer.apertures)
		return cell_leave(cpu, context);
	return cell_release(context);
}

/* Lets the cell see to its context's page. By far the most calls start afresh. */
static inline enum cell_result cell_call(struct cpu *cpu, struct cell_context *context)
{
	if (context->inside || context->moving)
		return cell_resume(cpu, context);
	if (!cell_take(context))
		return CELL_BUSY;
	cell_enter(cpu, context);
	return cell_left(cpu, context);
}

#endif
