// SPDX-License-Identifier: GPL-2.0
// AMD SVM: events that go in, NMIs, and the traps of instructions that Keel or a cell completes.

#include "svm.h"

#include "event.h"

/*
 * QEMU, whose processor lacks NRIPS, delivers an injected external interrupt a second time when its own main loop breaks in,
 * whatever RFLAGS.IF says by then: there it goes in as a virtual interrupt (15.21.4), which is taken before the first
 * instruction as RFLAGS.IF is set. Bochs in turn does not look at virtual interrupts until the guest sets RFLAGS.IF.
 */
static void inject_interrupt(struct vmcb *vmcb, uint64_t vector)
{
	if (svm_features.nrips)
		vmcb->event = SVM_EVENT_VALID | SVM_EVENT_INTERRUPT | vector;
	else
		svm_request(vmcb, vector);
}

void svm_request(struct vmcb *vmcb, uint64_t vector)
{
	vmcb->vintr = (vmcb->vintr & ~SVM_VINTR_REQUEST) | SVM_VINTR_IRQ | SVM_VINTR_IGNORE_TPR | SVM_VINTR_PRIORITY |
		      vector << SVM_VINTR_VECTOR_SHIFT;
	svm_intercept(vmcb, SVM_EXIT_VINTR, false);
}

uint64_t svm_exception(uint32_t inject, uint32_t error_code)
{
	uint64_t event = SVM_EVENT_VALID | SVM_EVENT_EXCEPTION | (inject & KEEL_INJECT_VECTOR);

	if (inject & KEEL_INJECT_ERROR_CODE)
		event |= SVM_EVENT_ERROR_CODE | (uint64_t)error_code << SVM_EVENT_ERROR_SHIFT;
	return event;
}

void svm_inject(struct vmcb *vmcb, uint32_t inject, uint32_t error_code)
{
	if (inject & KEEL_INJECT_EXCEPTION)
		vmcb->event = svm_exception(inject, error_code);
	else
		inject_interrupt(vmcb, inject & KEEL_INJECT_VECTOR);
}

/* What was being delivered at the exit goes in again; INT n, INT3 and INTO are simply executed again. */
void svm_requeue(struct vmcb *vmcb)
{
	uint64_t event = vmcb->exit_int_info;
	uint64_t type = event & SVM_EVENT_TYPE, vector = event & SVM_EVENT_VECTOR;

	vmcb->event = 0;
	if (!(event & SVM_EVENT_VALID) || type == SVM_EVENT_SOFTWARE ||
	    (type == SVM_EVENT_EXCEPTION && (vector == EXC_BP || vector == EXC_OF)))
		return;
	/* Its delivery has ended the shadow in which an NMI may have come. */
	if (type == SVM_EVENT_NMI)
		vmcb->shadow &= ~SVM_SHADOW;
	if (type == SVM_EVENT_INTERRUPT)
		inject_interrupt(vmcb, vector);
	else
		vmcb->event = event;
}

/* The trap of a single step (APM vol. 2, 13.1.4), which no instruction raises that was not executed. */
void svm_single_step_trap(struct vmcb *vmcb)
{
	if (rdmsr(MSR_DEBUGCTL) & DEBUGCTL_BTF)		/* of branches alone, and none is completed here */
		return;
	vmcb->dr6 |= DR6_BS;
	vmcb->dr7 &= ~DR7_GD;
	vmcb->event = SVM_EVENT_VALID | SVM_EVENT_EXCEPTION | EXC_DB;
}

/*
 * The shadow of MOV SS keeps events from a stack that is half switched. In 64-bit mode there is none such: SS has no base. That
 * of STI need not hold NMIs back (SDM vol. 3, 6.8.3).
 */
static bool in_shadow(const struct vmcb *vmcb)
{
	return vmcb->shadow & SVM_SHADOW &&
	       !(vmcb->efer & EFER_LMA && vmcb->seg[KEEL_SEG_CS].attributes & SVM_SEGMENT_LONG);
}

static void deliver(struct vmcb *vmcb, struct svm_nmi *nmi)
{
	nmi->blocked = true;
	svm_intercept(vmcb, SVM_EXIT_IRET, true);
	vmcb->shadow &= ~SVM_SHADOW;
	vmcb->event = SVM_EVENT_VALID | SVM_EVENT_NMI | EXC_NMI;
}

/* Back to another task: the flags of the one that it leaves go to memory (APM vol. 2, 12.3). */
static bool switches_task(const struct vmcb *vmcb)
{
	return vmcb->rflags & RFLAGS_NT && vmcb->cr0 & CR0_PE && !(vmcb->efer & EFER_LMA) && !(vmcb->rflags & RFLAGS_VM);
}

/*
 * The IRET takes all flags from the stack, so nobody sees that it was executed with others: TF, for the trap behind
 * it, and without IF, lest an interrupt come before it and put them on a stack. If it faults they are taken back
 * first, for which all faults exit. RF stays: a breakpoint on the instruction was hit on the way to its intercept, or
 * RF is set.
 */
static void begin_step(struct vmcb *vmcb, struct svm_nmi *nmi)
{
	nmi->step = true;
	nmi->rip = vmcb->rip;
	nmi->rflags = vmcb->rflags;
	nmi->dr6 = vmcb->dr6;
	nmi->exceptions = vmcb->intercept[SVM_EXIT_EXCEPTION / 32];
	if (switches_task(vmcb))
		return;
	vmcb->rflags = (vmcb->rflags & ~RFLAGS_IF) | RFLAGS_TF;
	vmcb->dr6 &= ~(DR6_B0_B3 | DR6_BS);
	vmcb->intercept[SVM_EXIT_EXCEPTION / 32] = UINT32_MAX;
}

/* Until an IRET exits again. */
static void await_iret(struct vmcb *vmcb, struct svm_nmi *nmi)
{
	nmi->iret = false;
	svm_intercept(vmcb, SVM_EXIT_IRET, true);
}

void svm_nmi_enter(struct vmcb *vmcb, struct svm_nmi *nmi, bool *pending)
{
	if (nmi->iret && vmcb->event & SVM_EVENT_VALID) {
		/* Its handler comes first, with an IRET of its own. */
		await_iret(vmcb, nmi);
	} else if (nmi->iret) {
		begin_step(vmcb, nmi);
	} else if (*pending && !nmi->blocked && !(vmcb->event & SVM_EVENT_VALID) && !in_shadow(vmcb)) {
		*pending = false;
		deliver(vmcb, nmi);
	} else if (*pending && !nmi->blocked) {
		/* Nothing exits behind what comes first. It waits for the next exit, but not beyond the end of a handler. */
		svm_intercept(vmcb, SVM_EXIT_IRET, true);
	}
}

/* The fault that the IRET raised goes to its owner after all. NMIs stay blocked: it will be executed again. */
static void pass_fault(struct vmcb *vmcb, unsigned int vector)
{
	vmcb->event = SVM_EVENT_VALID | SVM_EVENT_EXCEPTION | vector;
	if (event_has_error_code(vector))
		vmcb->event |= SVM_EVENT_ERROR_CODE | vmcb->exit_info1 << SVM_EVENT_ERROR_SHIFT;
	if (vector == EXC_PF)
		vmcb->cr2 = vmcb->exit_info2;
}

/* What of the trap is the owner's own: a step of its, and breakpoints on the stack. */
static void pass_trap(struct vmcb *vmcb, const struct svm_nmi *nmi)
{
	uint64_t hit = vmcb->dr6 & DR6_B0_B3;
	bool stepped = nmi->rflags & RFLAGS_TF;

	vmcb->dr6 = nmi->dr6;
	if (!hit && !stepped)
		return;
	vmcb->dr6 = (nmi->dr6 & ~DR6_B0_B3) | hit | (stepped ? DR6_BS : 0);
	vmcb->event = SVM_EVENT_VALID | SVM_EVENT_EXCEPTION | EXC_DB;
}

static bool end_step(struct vmcb *vmcb, struct svm_nmi *nmi)
{
	uint32_t vector = (uint32_t)vmcb->exit_code - SVM_EXIT_EXCEPTION;
	bool trapped = vmcb->intercept[SVM_EXIT_EXCEPTION / 32] == UINT32_MAX && vector == EXC_DB;

	nmi->step = false;
	vmcb->intercept[SVM_EXIT_EXCEPTION / 32] = nmi->exceptions;
	if (trapped || vmcb->rip != nmi->rip)
		nmi->blocked = nmi->iret = false;
	if (trapped)
		pass_trap(vmcb, nmi);
	if (!nmi->iret)
		return trapped;
	vmcb->rflags = nmi->rflags;
	vmcb->dr6 = nmi->dr6;
	if (vector >= 32)		/* something else came first */
		return false;
	await_iret(vmcb, nmi);
	if (nmi->exceptions >> vector & 1)
		return false;
	pass_fault(vmcb, vector);
	return true;
}

bool svm_nmi_end(struct vmcb *vmcb, struct svm_nmi *nmi)
{
	if (nmi->step)
		return end_step(vmcb, nmi);
	svm_intercept(vmcb, SVM_EXIT_IRET, false);
	nmi->iret = nmi->blocked;
	return true;
}
