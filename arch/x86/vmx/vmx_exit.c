// SPDX-License-Identifier: GPL-2.0
// Intel VMX: what exits are, as far as it is the same for all (SDM vol. 3, 28.2 and appendix C).

#include "vmx.h"

#include "cpu.h"

static void memory_exit(struct hv_exit *exit)
{
	struct keel_exit *record = exit->record;
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);
	bool walk = qualification & QUAL_EPT_LINEAR && !(qualification & QUAL_EPT_TRANSLATED);

	exit->reason = HV_EXIT_MEMORY;
	record->gpa = vmread(VMCS_GUEST_PHYSICAL_ADDRESS);
	record->access = (uint8_t)((qualification & QUAL_EPT_WRITE ? KEEL_ACCESS_WRITE : 0) |
				   (qualification & QUAL_EPT_FETCH ? KEEL_ACCESS_FETCH : 0) |
				   (walk ? KEEL_ACCESS_WALK : 0));
	if (qualification & QUAL_EPT_NMI_UNBLOCKED && !(vmread(VMCS_IDT_EVENT) & EVENT_VALID))
		vmx_block_nmi_again();
}

void vmx_io_exit(struct hv_exit *exit)
{
	uint32_t info = (uint32_t)vmread(VMCS_EXIT_QUALIFICATION);
	struct keel_exit *record = exit->record;

	exit->reason = HV_EXIT_IO;
	record->next_rip = vmx_next_rip();
	record->port = (uint16_t)(info >> QUAL_IO_PORT_SHIFT);
	record->size = (uint8_t)((info & QUAL_IO_SIZE) + 1);
	record->io = (uint8_t)((info & QUAL_IO_IN ? KEEL_IO_IN : 0) | (info & QUAL_IO_STRING ? KEEL_IO_STRING : 0) |
			       (info & QUAL_IO_REP ? KEEL_IO_REP : 0));
}

/* Where one of them comes while an event is being delivered, as a triple fault may, the event is of no interest any more. */
const uint8_t vmx_plain_exits[VMX_PLAIN_EXITS] = {
	[VMX_EXIT_INTERRUPT] = HV_EXIT_INTERRUPT,
	[VMX_EXIT_TRIPLE_FAULT] = HV_EXIT_TRIPLE_FAULT,
	[VMX_EXIT_INIT] = HV_EXIT_INIT,
	[VMX_EXIT_CPUID] = HV_EXIT_CPUID,
	[VMX_EXIT_GETSEC] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_HLT] = HV_EXIT_HLT,
	[VMX_EXIT_RDPMC] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_VMCALL] = HV_EXIT_HYPERCALL,
	[VMX_EXIT_VMCLEAR ... VMX_EXIT_VMXON] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_RDMSR] = HV_EXIT_RDMSR,
	[VMX_EXIT_WRMSR] = HV_EXIT_WRMSR,
	[VMX_EXIT_MWAIT] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_MONITOR] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_PAUSE] = HV_EXIT_PAUSE,
	[VMX_EXIT_INVEPT] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_INVVPID] = HV_EXIT_UNDEFINED,
	/* Instructions that no CPUID here shows, some of which exit whatever the controls say. */
	[VMX_EXIT_VMFUNC] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_ENCLS] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_XSAVES ... VMX_EXIT_PCONFIG] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_UMWAIT ... VMX_EXIT_ENCLV] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_ENQCMD ... VMX_EXIT_ENQCMDS] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_SEAMCALL ... VMX_EXIT_WRMSRLIST] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_RDMSR_IMMEDIATE ... VMX_EXIT_WRMSR_IMMEDIATE] = HV_EXIT_UNDEFINED,
};

void vmx_decode_exit(struct vmx_context *context, struct keel_regs *regs, const struct page_table *memory,
		     uint32_t reason, struct hv_exit *exit)
{
	uint32_t info;

	exit->reason = (reason & VMX_EXIT_REASON) == VMX_EXIT_ENTRY_MCE ? HV_EXIT_MACHINE_CHECK : HV_EXIT_ENTRY_FAILED;
	if (reason & VMX_EXIT_ENTRY_FAILED) {
		/* Which then does not clear the field (27.8): the event is still to come. */
		info = (uint32_t)vmread(VMCS_ENTRY_EVENT);
		context->event = info & EVENT_VALID ? info : 0;
		vmwrite(VMCS_ENTRY_EVENT, 0);
		exit->detail |= vmread(VMCS_EXIT_QUALIFICATION) << VMX_DETAIL_QUALIFICATION_SHIFT;
		return;
	}
	info = (uint32_t)vmread(VMCS_IDT_EVENT);
	/* What came to a task gate is delivered by the switch. */
	if (info & EVENT_VALID && reason != VMX_EXIT_TASK_SWITCH)
		vmx_requeue(context, info);
	exit->reason = HV_EXIT_NONE;
	switch (reason) {
	case VMX_EXIT_EPT_VIOLATION:
		memory_exit(exit);
		break;
	case VMX_EXIT_NMI_WINDOW:
		break;
	case VMX_EXIT_CR:
		if (!vmx_write_cr(regs, memory))
			vmx_inject(context, KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | EXC_GP, 0);
		break;
	case VMX_EXIT_WBINVD:
	case VMX_EXIT_INVD:
		/*
		 * Writing back is a legal way to invalidate, and nobody may throw other people's lines away. What a
		 * guest can reach is coherent, and it may not empty caches that it shares.
		 */
		if (context->writes_back)
			cpu_write_back();
		vmx_advance(regs, vmx_next_rip());
		break;
	case VMX_EXIT_XSETBV:
		/*
		 * All other instructions whose exit asks for it fault first (26.1.1), and so does this one, but not
		 * under Bochs.
		 */
		exit->cpl = vmx_cpl();
		exit->record->next_rip = vmx_next_rip();
		exit->reason = HV_EXIT_XSETBV;
		break;
	default:
		exit->reason = HV_EXIT_UNKNOWN;
		break;
	}
}
