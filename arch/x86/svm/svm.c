// SPDX-License-Identifier: GPL-2.0
// AMD SVM (APM vol. 2, chapter 15): the control domain's side and what both sides share. Guests: svm_vcpu.c.

#include "svm.h"

#include <keel/macros.h>

#include "apic.h"
#include "console.h"
#include "control_msr.h"
#include "cpu.h"
#include "image.h"
#include "memory.h"
#include "string.h"
#include "trap.h"
#include "xstate.h"

#define CPUID_EXT_SVM		(1u << 2)
#define CPUID_SVM_NPT		(1u << 0)
#define CPUID_SVM_NRIPS		(1u << 3)
#define CPUID_SVM_FLUSH_ASID	(1u << 6)
#define CPUID_SVM_DECODE	(1u << 7)
#define CPUID_SVM_PAUSE		(1u << 10)
#define CPUID_XSTATE_XSAVES	(1u << 3)

/* What the control domain may set where the processor has it (3.1.7). Not LMSLE: it limits Keel's segments while it is tried. */
#define EFER_CONTROL	(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR | EFER_TCE | EFER_MCOMMIT | EFER_INTWB | \
			 EFER_UAIE | EFER_AIBRSE)
/* As Keel runs with them. */
#define EFER_KEEL	(EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME)

#define CONTROL_ASID		1u
#define MSRPM_PART		(MSR_BITMAP_RANGE * 2 / 8)	/* bytes for each of three ranges */
#define INVD_LENGTH		2u

struct svm_features svm_features;

uint8_t svm_guest_msrpm[SVM_MSRPM_BYTES] __attribute__((aligned(4096)));
uint8_t svm_guest_iopm[SVM_IOPM_BYTES] __attribute__((aligned(4096)));
static uint8_t control_msrpm[SVM_MSRPM_BYTES] __attribute__((aligned(4096)));
static uint8_t control_iopm[SVM_IOPM_BYTES] __attribute__((aligned(4096)));

void svm_intercept(struct vmcb *vmcb, unsigned int bit, bool on)
{
	uint32_t mask = 1u << bit % 32;

	if (on)
		vmcb->intercept[bit / 32] |= mask;
	else
		vmcb->intercept[bit / 32] &= ~mask;
}

/* Two bits an MSR, read and write, in three ranges (15.11). */
void svm_msr_permit(uint8_t *msrpm, uint32_t msr, bool read, bool write)
{
	uint32_t bit = msr % MSR_BITMAP_RANGE * 2;
	uint8_t *byte = msrpm + bit / 8;

	if (msr >= MSR_AMD_FIRST)
		byte += 2 * MSRPM_PART;
	else if (msr >= MSR_EXTENDED_FIRST)
		byte += MSRPM_PART;
	*byte = (uint8_t)((*byte & ~(3u << bit % 8)) | (unsigned int)((read ? 0 : 1) | (write ? 0 : 2)) << bit % 8);
}

static const char *svm_probe(void)
{
	struct cpuid r;

	if (cpuid(CPUID_EXTENDED, 0).eax < CPUID_SVM || !(cpuid(CPUID_EXTENDED_FEATURES, 0).ecx & CPUID_EXT_SVM))
		return "this AMD processor shows no SVM (AMD-V). Switch SVM on in the firmware setup, or use another machine.";
	if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS)
		return "SVM (AMD-V) is disabled by the firmware. Switch it on in the firmware setup.";
	r = cpuid(CPUID_SVM, 0);
	if (!(r.edx & CPUID_SVM_NPT))
		return "this processor has SVM without nested paging (NPT), which Keel needs. Use a newer processor.";
	if (r.ebx < 4)
		return "this processor offers too few address-space identifiers (ASIDs) for guests. Use a newer processor.";
	return NULL;
}

static void svm_describe(void)
{
	print("%s%s%s%s\n", svm_features.nrips ? " NRIPS" : "", svm_features.decode ? " decode-assists" : "",
	      svm_features.flush_asid ? " flush-by-ASID" : "", svm_features.pause ? " PAUSE-filter" : "");
}

static void svm_enable(void)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
}

static void bitmaps_init(void)
{
	static const uint32_t passed[] = { HV_GUEST_MSRS };
	unsigned int i;

	memset(svm_guest_iopm, 0xff, sizeof(svm_guest_iopm));
	memset(svm_guest_msrpm, 0xff, sizeof(svm_guest_msrpm));
	for (i = 0; i < ARRAY_SIZE(passed); i++)
		svm_msr_permit(svm_guest_msrpm, passed[i], true, true);
	memset(control_msrpm, 0xff, sizeof(control_msrpm));
	control_msr_permit(&control_msrs_amd, control_msrpm, svm_msr_permit);
}

static void svm_cpu_init(struct cpu *cpu)
{
	struct svm_cpu *svm = cpu->vendor;
	struct cpuid r = cpuid(CPUID_SVM, 0);

	if (!svm_features.asids) {
		svm_features.asids = r.ebx;
		svm_features.nrips = r.edx & CPUID_SVM_NRIPS;
		svm_features.decode = r.edx & CPUID_SVM_DECODE;
		svm_features.flush_asid = r.edx & CPUID_SVM_FLUSH_ASID;
		svm_features.pause = r.edx & CPUID_SVM_PAUSE;
		svm_features.xsaves = cpuid(CPUID_XSTATE, 1).eax & CPUID_XSTATE_XSAVES;
		bitmaps_init();
	}
	svm->hsave_pa = cpu->vendor_pa + PAGE_SIZE;
	svm->control = (struct vmcb *)((uint8_t *)svm + 2 * PAGE_SIZE);
	svm->control_pa = cpu->vendor_pa + 2 * PAGE_SIZE;
	svm->host_pa = cpu->vendor_pa + 3 * PAGE_SIZE;
	svm->asid_generation = 1;
	svm->next_asid = CONTROL_ASID + 1;
	wrmsr(MSR_VM_HSAVE_PA, svm->hsave_pa);
	wrmsr(MSR_VM_CR, rdmsr(MSR_VM_CR) | VM_CR_R_INIT);
	__asm__ volatile("clgi" : : : "memory");
	__asm__ volatile("sti" : : : "memory");
	__asm__ volatile("vmsave" : : "a"(svm->host_pa) : "memory");
}

static void svm_control_init(struct cpu *cpu, uint64_t table_root)
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
	vmcb->asid = CONTROL_ASID;
	vmcb->nested = SVM_NESTED_PAGING;
	vmcb->nested_cr3 = table_root;
	vmcb->pat = rdmsr(MSR_PAT);
}

/* The control domain's translations alone, where the processor can tell them from others (15.16.2). */
static uint8_t flush_own(void)
{
	return svm_features.flush_asid ? SVM_TLB_FLUSH_ASID : SVM_TLB_FLUSH_ALL;
}

void svm_set_segments(struct vmcb *vmcb, const struct keel_sregs *sregs)
{
	unsigned int i;

	for (i = 0; i < SVM_SEGMENTS; i++)
		vmcb->seg[i] = sregs->seg[i];
	vmcb->ldtr = sregs->seg[KEEL_SEG_LDTR];
	vmcb->tr = sregs->seg[KEEL_SEG_TR];
	vmcb->gdtr = (struct keel_segment_register){ 0, 0, sregs->gdt_limit, sregs->gdt_base };
	vmcb->idtr = (struct keel_segment_register){ 0, 0, sregs->idt_limit, sregs->idt_base };
}

void svm_set_control(struct vmcb *vmcb, const struct keel_sregs *sregs)
{
	vmcb->cr0 = sregs->cr0;
	vmcb->cr3 = sregs->cr3;
	vmcb->cr4 = sregs->cr4;
	vmcb->efer = sregs->efer | EFER_SVME;
	vmcb->cpl = (uint8_t)sregs->cpl;
}

void svm_set_debug(struct vmcb *vmcb, const struct keel_sregs *sregs)
{
	vmcb->dr6 = sregs->dr6;
	vmcb->dr7 = sregs->dr7;
}

static void svm_control_set(struct cpu *cpu, const struct keel_sregs *sregs)
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

static void svm_control_get(struct cpu *cpu, struct hv_control_state *state)
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

static void svm_control_advance(struct cpu *cpu, uint64_t next_rip)
{
	struct vmcb *vmcb = ((struct svm_cpu *)cpu->vendor)->control;

	vmcb->rip = cpu->control.rip = next_rip;
	svm_advance(vmcb, &vmcb->rflags);
}

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

void svm_memory_exit(const struct vmcb *vmcb, struct hv_exit *exit)
{
	uint64_t info = vmcb->exit_info1;

	exit->reason = HV_EXIT_MEMORY;
	exit->record->gpa = vmcb->exit_info2;
	exit->record->access = (uint8_t)((info & SVM_NPF_WRITE ? KEEL_ACCESS_WRITE : 0) |
					 (info & SVM_NPF_FETCH ? KEEL_ACCESS_FETCH : 0) |
					 (info & SVM_NPF_WALK ? KEEL_ACCESS_WALK : 0));
}

/* What is the same exit whoever runs, and the length of its instruction. */
void svm_plain_exit(const struct vmcb *vmcb, struct hv_exit *exit)
{
	static const struct {
		uint8_t reason;
		uint8_t length;
	} exits[] = {
		[SVM_EXIT_INTR] = { HV_EXIT_INTERRUPT, 0 },
		[SVM_EXIT_NMI] = { HV_EXIT_NMI, 0 },
		[SVM_EXIT_INIT] = { HV_EXIT_INIT, 0 },
		[SVM_EXIT_RDPMC] = { HV_EXIT_UNDEFINED, 0 },
		[SVM_EXIT_CPUID] = { HV_EXIT_CPUID, 2 },
		[SVM_EXIT_PAUSE] = { HV_EXIT_PAUSE, 2 },
		[SVM_EXIT_HLT] = { HV_EXIT_HLT, 1 },
		[SVM_EXIT_INVLPGA] = { HV_EXIT_UNDEFINED, 0 },
		[SVM_EXIT_MSR] = { HV_EXIT_RDMSR, 2 },
		[SVM_EXIT_SHUTDOWN] = { HV_EXIT_TRIPLE_FAULT, 0 },
		[SVM_EXIT_VMRUN] = { HV_EXIT_UNDEFINED, 0 },
		[SVM_EXIT_VMMCALL] = { HV_EXIT_HYPERCALL, 3 },
		[SVM_EXIT_VMLOAD ... SVM_EXIT_SKINIT] = { HV_EXIT_UNDEFINED, 0 },
		[SVM_EXIT_MONITOR ... SVM_EXIT_MWAIT_ARMED] = { HV_EXIT_UNDEFINED, 0 },
		[SVM_EXIT_XSETBV] = { HV_EXIT_XSETBV, 3 },
		[SVM_EXIT_RDPRU] = { HV_EXIT_UNDEFINED, 0 },
		[SVM_EXIT_INVLPGB ... SVM_EXIT_TLBSYNC] = { HV_EXIT_UNDEFINED, 0 },
	};
	uint32_t code = (uint32_t)vmcb->exit_code;

	exit->detail = vmcb->exit_code;
	/* These are traps: it has been written. */
	if (code >= SVM_EXIT_EFER_WRITTEN && code <= SVM_EXIT_CR_WRITTEN_LAST) {
		exit->reason = HV_EXIT_NONE;
		return;
	}
	if (code >= ARRAY_SIZE(exits) || !exits[code].reason) {
		exit->reason = code == UINT32_MAX ? HV_EXIT_ENTRY_FAILED : HV_EXIT_UNKNOWN;
		return;
	}
	exit->reason = code == SVM_EXIT_MSR && vmcb->exit_info1 ? HV_EXIT_WRMSR : exits[code].reason;
	exit->record->next_rip = svm_next_rip(vmcb, exits[code].length);
}

static void svm_control_inject(struct cpu *cpu, uint32_t inject, uint32_t error_code)
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

static void svm_control_inject_nmi(struct cpu *cpu)
{
	((struct svm_cpu *)cpu->vendor)->nmi_pending = true;
}

static void svm_control_set_cr2(struct cpu *cpu, uint64_t cr2)
{
	((struct svm_cpu *)cpu->vendor)->control->cr2 = cr2;
}

static void svm_control_flush(struct cpu *cpu)
{
	((struct svm_cpu *)cpu->vendor)->control->tlb_control = flush_own();
}

static void svm_control_watch_port(uint16_t port)
{
	control_iopm[port / 8] |= (uint8_t)(1u << port % 8);
}

static void svm_control_hlt(struct cpu *cpu, bool on)
{
	svm_intercept(((struct svm_cpu *)cpu->vendor)->control, SVM_EXIT_HLT, on);
}

static bool svm_control_rdmsr(struct cpu *cpu, uint32_t msr, uint64_t *value)
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

static bool svm_control_wrmsr(struct cpu *cpu, uint32_t msr, uint64_t value)
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

static void svm_control_enter(struct cpu *cpu, struct hv_exit *exit)
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

const struct hv_ops svm_ops = {
	.name = "AMD SVM",
	.second_level = &pt_format_npt,
	.has_gif = true,
	.cpu = {
		.probe = svm_probe,
		.enable = svm_enable,
		.describe = svm_describe,
		.init = svm_cpu_init,
	},
	.control = {
		.init = svm_control_init,
		.set = svm_control_set,
		.enter = svm_control_enter,
		.get = svm_control_get,
		.advance = svm_control_advance,
		.inject = svm_control_inject,
		.inject_nmi = svm_control_inject_nmi,
		.set_cr2 = svm_control_set_cr2,
		.flush = svm_control_flush,
		.watch_port = svm_control_watch_port,
		.hlt = svm_control_hlt,
		.msrs = &control_msrs_amd,
		.rdmsr = svm_control_rdmsr,
		.wrmsr = svm_control_wrmsr,
	},
	.vcpu = {
		.init = svm_vcpu_init,
		.load = svm_vcpu_load,
		.put = svm_vcpu_put,
		.enter = svm_vcpu_enter,
		.advance = svm_vcpu_advance,
		.interruptible = svm_vcpu_interruptible,
		.inject = svm_vcpu_inject,
		.window = svm_vcpu_window,
		.state_out = svm_vcpu_state_out,
		.state_in = svm_vcpu_state_in,
		.tsc_moved = svm_vcpu_tsc_moved,
		.rdmsr = svm_vcpu_rdmsr,
		.wrmsr = svm_vcpu_wrmsr,
	},
};
