/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Exits that are answered where they come up, below the seam, so that the guest is entered again at once: by Keel, where what the
 * instruction gives depends on nothing but what Keel keeps of the vCPU, and by the cell, where its answer asks for nothing beyond
 * the instruction, as nearly all do.
 */
#ifndef ARCH_ANSWER_H
#define ARCH_ANSWER_H

#include <keel/macros.h>

#include "cell_call.h"
#include "cpuid.h"
#include "hv.h"
#include "msr.h"
#include "report.h"
#include "vcpu.h"

/* regs: of the vCPU's context. */
static inline void answer_count(struct keel_regs *regs, enum keel_count what)
{
	container_of(regs, struct keel_context, regs)->counters.count[what]++;
}

static inline void answer_cpuid(struct vcpu *vcpu, struct keel_regs *regs)
{
	struct cpuid r = cpuid_guest(vcpu, (uint32_t)regs->gpr[KEEL_RAX], (uint32_t)regs->gpr[KEEL_RCX]);

	answer_count(regs, KEEL_COUNT_CPUID);
	regs->gpr[KEEL_RAX] = r.eax;
	regs->gpr[KEEL_RBX] = r.ebx;
	regs->gpr[KEEL_RCX] = r.ecx;
	regs->gpr[KEEL_RDX] = r.edx;
}

/* Of ring 0. False: it is the cell's, or #GP. */
static inline bool answer_rdmsr(struct vcpu *vcpu, struct keel_regs *regs)
{
	uint32_t msr = (uint32_t)regs->gpr[KEEL_RCX];
	uint64_t value;

	if (msr_is_cells(msr) || !msr_guest_read(vcpu, msr, &value))
		return false;
	answer_count(regs, KEEL_COUNT_RDMSR);
	regs->gpr[KEEL_RAX] = (uint32_t)value;
	regs->gpr[KEEL_RDX] = value >> 32;
	return true;
}

/* What an answer of the cell's asks for beyond the end of the instruction. 0: nothing. */
static inline uint64_t answer_wishes(const struct vcpu *vcpu, const struct keel_answer *answer)
{
	uint32_t flags = __atomic_load_n(&answer->flags, __ATOMIC_RELAXED) & ~(KEEL_ANSWER_REGS | KEEL_ANSWER_RFLAGS);

	return (flags ^ KEEL_ANSWER_RIP) | answer->action | answer->tpr_threshold | answer->apertures | vcpu->window |
	       answer->kick | (answer->deadline ^ vcpu->deadline);
}

/* An interrupt, where one may be. */
static inline bool answer_may_inject(uint32_t inject, uint32_t flags)
{
	return flags & KEEL_EXIT_F_INTERRUPTIBLE &&
	       (inject & (KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION)) == KEEL_INJECT_VALID;
}

/*
 * Has the cell carry out an instruction, of which the record tells what kind needs. flags: KEEL_EXIT_F_*, beyond those of all
 * exits. True: it is done, regs are as behind it, and *inject is an interrupt that goes in now, or 0. False: what has come of it,
 * exit tells.
 */
static inline bool answer_by_cell(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit, enum keel_exit_kind kind,
				  uint32_t flags, uint32_t *inject)
{
	struct cell_context *context = &vcpu->cell;
	const struct keel_answer *answer = &context->page->answer;

	report_exit(vcpu, kind, flags, true);
	exit->reason = HV_EXIT_NONE;
	/* Who has the cell now is the run loop's to wait for. */
	if (!cell_take(context))
		return false;
	cell_enter(cpu, context);
	*inject = __atomic_load_n(&answer->inject, __ATOMIC_RELAXED);
	if (context->frame.vector != KEEL_CELL_GATE || answer_wishes(vcpu, answer) ||
	    (*inject && !answer_may_inject(*inject, flags))) {
		exit->reason = HV_EXIT_CELL;
		return false;
	}
	cell_release(context);
	return true;
}

#endif
