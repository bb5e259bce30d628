// SPDX-License-Identifier: GPL-2.0
// Entering a cell and coming back from it.

#include "cell_call.h"

#include "aperture.h"
#include "cpu.h"
#include "image.h"
#include "percpu.h"
#include "vm.h"

#define FIRST_INTERRUPT	32u
#define CELL_RFLAGS	(RFLAGS_ARITHMETIC | RFLAGS_DF | RFLAGS_AC)

/*
 * An answer that moves apertures keeps the cell until that is done. So there is one move at a time, in the order of the answers,
 * and whoever enters the cell later finds the guest's addresses as the cell has them.
 */
static enum cell_result move(struct cpu *cpu, struct cell_context *context)
{
	enum cell_result result = aperture_move(cpu, context);

	if (result != CELL_ANSWERED)
		return result;
	context->moving = false;
	return cell_release(context);
}

static enum cell_result answered(struct cpu *cpu, struct cell_context *context)
{
	uint32_t apertures = __atomic_load_n(&context->page->answer.apertures, __ATOMIC_RELAXED);

	if (context->inside)
		cell_rewind(context);
	context->inside = false;
	if (!apertures)
		return cell_release(context);
	if (!aperture_begin(cpu, context, apertures)) {
		vm_end(context->vm, KEEL_END_CELL_ANSWER, apertures, context->page->regs.rip);
		return CELL_ENDED;
	}
	context->moving = true;
	return move(cpu, context);
}

enum cell_result cell_leave(struct cpu *cpu, struct cell_context *context)
{
	struct cell_frame *frame = &context->frame;

	if (frame->vector == KEEL_CELL_GATE)
		return answered(cpu, context);
	context->inside = true;
	context->page->counters.count[KEEL_COUNT_SUSPENDED]++;
	switch (frame->vector) {
	case EXC_NMI:
		cpu->nmi_seen = 1;
		return CELL_INTERRUPTED;
	case EXC_MC:
		/* Its memory's or the processor's, and the control domain's to see to, as one in a guest. */
		hv->control.inject(cpu, KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | EXC_MC, 0);
		return CELL_INTERRUPTED;
	case EXC_SX:
		if (hv->holds_nmis) {
			cpu->init_seen = 1;
			return CELL_INTERRUPTED;
		}
		__attribute__((fallthrough));
	default:
		if (frame->vector >= FIRST_INTERRUPT) {
			/* Taken from the interrupt controller: the control domain gets the same vector. */
			hv->control.inject(cpu, KEEL_INJECT_VALID | (uint32_t)frame->vector, 0);
			return CELL_INTERRUPTED;
		}
		vm_end(context->vm, KEEL_END_CELL_FAULT, frame->vector << 32 | (uint32_t)frame->error_code,
		       frame->vector == EXC_PF ? read_cr2() : frame->rip);
		return CELL_ENDED;
	}
}

/*
 * IRETQ to any other address faults in ring 0 (SDM vol. 2, IRET). Where a jump does not check it, an interrupt may
 * come before the fault at the target. The rest of the frame is as ring 3 cannot change it: CS, SS and the flags.
 */
static bool may_go_on(struct cell_context *context)
{
	if (!is_canonical(context->frame.rip)) {
		vm_end(context->vm, KEEL_END_CELL_FAULT, (uint64_t)EXC_GP << 32, context->frame.rip);
		return false;
	}
	context->frame.rflags = (context->frame.rflags & CELL_RFLAGS) | RFLAGS_FIXED | RFLAGS_IF;
	return true;
}

enum cell_result cell_resume(struct cpu *cpu, struct cell_context *context)
{
	if (context->moving)
		return move(cpu, context);
	if (!may_go_on(context))
		return CELL_ENDED;
	cell_enter(cpu, context);
	return cell_leave(cpu, context);
}
