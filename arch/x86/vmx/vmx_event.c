// SPDX-License-Identifier: GPL-2.0
// Intel VMX: events that go in, NMIs, and the traps of instructions that Keel or a cell completes.

#include "vmx.h"

/* The forms agree but for the reserved bits, which are another's to write. */
void vmx_inject(struct vmx_context *context, uint32_t inject, uint32_t error_code)
{
	context->event = EVENT_VALID | (inject & KEEL_INJECT_VECTOR) |
			 (inject & KEEL_INJECT_EXCEPTION ? EVENT_EXCEPTION : EVENT_INTERRUPT);
	if (inject & KEEL_INJECT_EXCEPTION && inject & KEEL_INJECT_ERROR_CODE)
		context->event |= EVENT_ERROR_CODE;
	context->error_code = error_code;
}

/* INT n, INT1, INT3 and INTO are simply executed again. */
void vmx_requeue(struct vmx_context *context, uint32_t info)
{
	uint32_t type = info & EVENT_TYPE;

	if (type >= EVENT_SOFTWARE_INT)
		return;
	context->event = info & (EVENT_VALID | EVENT_ERROR_CODE | EVENT_TYPE | EVENT_VECTOR);
	if (info & EVENT_ERROR_CODE)
		context->error_code = (uint32_t)vmread(VMCS_IDT_ERROR_CODE);
	/* The delivery that was broken off has blocked NMIs; in a shadow, which it has ended, the entry would fail (27.3.1.5). */
	if (type == EVENT_NMI)
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			vmread(VMCS_GUEST_INTERRUPTIBILITY) & ~(uint64_t)(SHADOW_NMI | SHADOW_INSTRUCTION));
}

void vmx_end_instruction(struct keel_regs *regs, uint64_t rflags)
{
	if (rflags & RFLAGS_RF) {
		regs->rflags &= ~RFLAGS_RF;
		vmwrite(VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
	}
	/* With BTF only branches have traps, and none is completed here. */
	if (rflags & RFLAGS_TF && !(vmread(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF))
		vmwrite(VMCS_GUEST_PENDING_DEBUG, vmread(VMCS_GUEST_PENDING_DEBUG) | PENDING_SINGLE_STEP);
}

void vmx_deliver_nmi(struct vmx_context *context, bool *pending)
{
	uint64_t state = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if (*pending && !context->event && !(state & (SHADOW_INSTRUCTION | SHADOW_NMI)) && !vmx_trap_pending()) {
		*pending = false;
		context->event = EVENT_VALID | EVENT_NMI | EXC_NMI;
	} else if (*pending && !context->event && state & SHADOW_STI) {
		/* Some processors' windows do not wait for the end of STI's shadow (26.2), all wait for that of MOV SS. */
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, state ^ SHADOW_INSTRUCTION);
	}
	vmx_primary(context, PRIMARY_NMI_WINDOW, *pending);
}

/* In real mode exceptions have no error code (27.2.1.3). */
void vmx_write_event(struct vmx_context *context)
{
	if (context->event & EVENT_ERROR_CODE && !(vmread(VMCS_GUEST_CR0) & CR0_PE))
		context->event &= ~EVENT_ERROR_CODE;
	if (context->event & EVENT_ERROR_CODE)
		vmwrite(VMCS_ENTRY_ERROR_CODE, context->error_code);
	vmwrite(VMCS_ENTRY_EVENT, context->event);
}

void vmx_block_nmi_again(void)
{
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, vmread(VMCS_GUEST_INTERRUPTIBILITY) | SHADOW_NMI);
}
