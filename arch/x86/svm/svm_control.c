// SPDX-License-Identifier: GPL-2.0
// AMD SVM: the control domain.

#include "svm.h"

#include <keel/macros.h>

#include "apic.h"
#include "control_msr.h"
#include "cpu.h"
#include "image.h"
#include "string.h"
#include "trap.h"
#include "xstate.h"

/* What the control domain may set where the processor has it (3.1.7). Not LMSLE: it limits Keel's segments while it is tried. */
#define EFER_CONTROL	(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR | EFER_TCE | EFER_MCOMMIT | EFER_INTWB | \
			 EFER_UAIE | EFER_AIBRSE)
/* As Keel runs with them. */
#define EFER_KEEL	(EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME)

#define INVD_LENGTH	2u

static uint8_t control_msrpm[SVM_MSRPM_BYTES] __attribute__((aligned(4096)));
static uint8_t control_iopm[SVM_IOPM_BYTES] __attribute__((aligned(4096)));

/* All that the lists do not pass exits. */
void svm_control_bitmap_init(void)
{
	memset(control_msrpm, 0xff, sizeof(control_msrpm));
	control_msr_permit(&control_msrs_amd, control_msrpm, svm_msr_permit);
}

void svm_control_init(struct cpu *cpu, const struct page_table *table)
{
	static const uint16_t intercepts[] = {
		SVM_EXIT_NMI,
		SVM_EXIT_INIT,
		SVM_EXIT_CPUID,
		SVM_EXIT_INVD,
		SVM_EXIT_IOIO,
		SVM_EXIT_MSR,
		SVM_EXIT_SHUTDOWN,
		SVM_EXIT_INVLPGA,
		SVM_EXIT_VMRUN,
		SVM_EXIT_VMMCALL,
		SVM_EXIT_VMLOAD,
		SVM_EXIT_VMSAVE,
		SVM_EXIT_STGI,
		SVM_EXIT_CLGI,
		SVM_EXIT_SKINIT,
	};
	struct svm_cpu *svm = cpu->vendor;
	struct vmcb *vmcb = svm->control;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(intercepts); i++)
		svm_intercept(vmcb, intercepts[i], true);
	vmcb->msrpm = image_to_phys(control_msrpm);
	vmcb->iopm = image_to_phys(control_iopm);
	vmcb->asid = SVM_CONTROL_ASID;
	vmcb->nested = SVM_NESTED_PAGING;
	vmcb->nested_cr3 = table->root;
	vmcb->pat = rdmsr(MSR_PAT);
}

/* The control domain's translations alone, where the processor can tell them from others (15.16.2). */
static uint8_t flush_own(void)
{
	return svm_features.flush_asid ? SVM_TLB_FLUSH_ASID : SVM_TLB_FLUSH_ALL;
}

void svm_control_set(struct cpu *cpu, const struct keel_sregs *sregs)
{
	struct svm_cpu *svm = cpu->vendor;
	struct vmcb *vmcb = svm->control;

	svm_set_segments(vmcb, sregs);
	svm_set_control(vmcb, sregs);
	svm_set_debug(vmcb, sregs);
	vmcb->cr2 = sregs->cr2;
	vmcb->rip = cpu->control.rip;
	vmcb->rflags = RFLAGS_FIXED;
	vmcb->rsp = vmcb->vintr = 0;
	vmcb->event = vmcb->shadow = 0;
	svm_intercept(vmcb, SVM_EXIT_IRET, false);
	svm->nmi = (struct svm_nmi){ 0 };
	svm->nmi_pending = false;
}

void svm_control_get(struct cpu *cpu, struct hv_control_state *state)
{
	const struct vmcb *vmcb = ((struct svm_cpu *)cpu->vendor)->control;

	*state = (struct hv_control_state){
		.cr3 = vmcb->cr3,
		.cr4 = vmcb->cr4,
		.efer = vmcb->efer & ~EFER_SVME,
		.rflags = vmcb->rflags,
		.cpl = vmcb->cpl,
	};
}

void svm_control_advance(struct cpu *cpu, uint64_t next_rip)
{
	struct vmcb *vmcb = ((struct svm_cpu *)cpu->vendor)->control;

	vmcb->rip = cpu->control.rip = next_rip;
	svm_advance(vmcb, &vmcb->rflags);
}

void svm_control_inject(struct cpu *cpu, uint32_t inject, uint32_t error_code)
{
	struct svm_cpu *svm = cpu->vendor;

	/*
	 * QEMU would forget a virtual interrupt if another one came in before it was taken. The trap of the call may
	 * be in before.
	 */
	if (inject & KEEL_INJECT_EXCEPTION || (svm_features.nrips && !svm->control->event))
		svm_inject(svm->control, inject, error_code);
	else
		svm->again = (uint8_t)inject;
}

void svm_control_inject_nmi(struct cpu *cpu)
{
	((struct svm_cpu *)cpu->vendor)->nmi_pending = true;
}

void svm_control_set_cr2(struct cpu *cpu, uint64_t cr2)
{
	((struct svm_cpu *)cpu->vendor)->control->cr2 = cr2;
}

void svm_control_flush(struct cpu *cpu)
{
	((struct svm_cpu *)cpu->vendor)->control->tlb_control = flush_own();
}

void svm_control_watch_port(uint16_t port)
{
	control_iopm[port / 8] |= (uint8_t)(1u << port % 8);
}

void svm_control_hlt(struct cpu *cpu, bool on)
{
	svm_intercept(((struct svm_cpu *)cpu->vendor)->control, SVM_EXIT_HLT, on);
}

bool svm_control_rdmsr(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	struct vmcb *vmcb = ((struct svm_cpu *)cpu->vendor)->control;

	switch (msr) {
	case MSR_EFER:
		*value = vmcb->efer & ~EFER_SVME;
		return true;
	case MSR_VM_CR:
		*value = VM_CR_LOCK | VM_CR_SVMDIS;
		return true;
	default:
		return false;
	}
}

/*
 * A value that the processor would refuse makes the entry fail, so it is shown to the processor first, but for what Keel needs
 * itself. An emulator may drop bits without a fault.
 */
static bool efer_is_valid(uint64_t value)
{
	uint64_t own = rdmsr(MSR_EFER), trial = (value & ~EFER_KEEL) | (own & EFER_KEEL);
	bool taken;

	if (value & ~EFER_CONTROL)
		return false;
	taken = wrmsr_safe(MSR_EFER, trial) && rdmsr(MSR_EFER) == trial;
	wrmsr(MSR_EFER, own);
	return taken;
}

bool svm_control_wrmsr(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	struct vmcb *vmcb = ((struct svm_cpu *)cpu->vendor)->control;

	if (msr != MSR_EFER || !efer_is_valid(value))
		return false;
	/* Long mode is chosen while paging is off (14.6). */
	if ((value ^ vmcb->efer) & EFER_LME && vmcb->cr0 & CR0_PG)
		return false;
	/* Translations that a change of NXE makes wrong are not dropped by the processor here (15.16). */
	svm_control_flush(cpu);
	/* LMA is the processor's. */
	vmcb->efer = (value & ~EFER_LMA) | (vmcb->efer & EFER_LMA) | EFER_SVME;
	return true;
}

/* Writing back is a legal way to invalidate, and nobody may throw other people's lines away. */
static void invd_exit(struct cpu *cpu, const struct vmcb *vmcb, struct hv_exit *exit)
{
	cpu_write_back();
	svm_control_advance(cpu, svm_next_rip(vmcb, INVD_LENGTH));
	exit->reason = HV_EXIT_NONE;
}

void svm_control_enter(struct cpu *cpu, struct hv_exit *exit)
{
	struct svm_cpu *svm = cpu->vendor;
	struct vmcb *vmcb = svm->control;

	if (svm->again)
		apic_raise_again(cpu->apic_id, svm->again);
	svm->again = 0;
	/* Behind the event that goes in first it exits again. */
	if (svm->nmi_pending && !svm->nmi.blocked && vmcb->event) {
		svm->nmi_pending = false;
		apic_send(cpu->apic_id, ICR_MODE_NMI | ICR_ASSERT);
	}
	svm_nmi_enter(vmcb, &svm->nmi, &svm->nmi_pending);
	svm_remind();
	vmcb->rax = cpu->control.gpr[KEEL_RAX];
	svm_enter(&cpu->control, svm->control_pa, svm->host_pa, vmcb->shadow);
	cpu->control.gpr[KEEL_RAX] = vmcb->rax;
	cpu->control.gpr[KEEL_RSP] = vmcb->rsp;
	cpu->control.rip = vmcb->rip;
	vmcb->tlb_control = SVM_TLB_KEEP;
	svm_requeue(vmcb);
	if (svm_nmi_exit(vmcb, &svm->nmi))
		exit->reason = HV_EXIT_NONE;
	else if ((uint32_t)vmcb->exit_code == SVM_EXIT_NPF)
		svm_memory_exit(vmcb, exit);
	else if (vmcb->exit_code == SVM_EXIT_IOIO)
		svm_io_exit(vmcb, exit);
	else if (vmcb->exit_code == SVM_EXIT_INVD)
		invd_exit(cpu, vmcb, exit);
	else
		svm_plain_exit(vmcb, exit);
}
