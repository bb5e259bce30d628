// SPDX-License-Identifier: GPL-2.0
// AMD SVM: guests.

#include "svm.h"

#include <keel/macros.h>

#include "answer.h"
#include "cpu.h"
#include "cpuid.h"
#include "event.h"
#include "image.h"
#include "memory.h"
#include "string.h"
#include "swap.h"
#include "vm.h"

#define LENGTH_2	2u	/* CPUID, INVD, RDMSR, WBINVD, WRMSR */
#define LENGTH_3	3u	/* MOV to CRx */
#define CR3_PCID	0xfffull
#define DR_INTERCEPTS	0x00ff00ffu	/* reads and writes of DR0-7 */
#define EXCEPTION_INTERCEPTS (1u << EXC_DB | 1u << EXC_AC | 1u << EXC_MC)
#define PAUSE_COUNT	3000u
#define PRIORITY_HIGHEST 15u

_Static_assert(sizeof(struct vcpu_svm) <= PAGE_SIZE, "the first page of a vCPU's block");

void svm_vcpu_init(struct vcpu *vcpu)
{
	static const uint16_t intercepts[] = {
		SVM_EXIT_INTR,
		SVM_EXIT_NMI,
		SVM_EXIT_INIT,
		SVM_EXIT_RDPMC,
		SVM_EXIT_CPUID,
		SVM_EXIT_INVD,
		SVM_EXIT_HLT,
		SVM_EXIT_INVLPGA,
		SVM_EXIT_IOIO,
		SVM_EXIT_MSR,
		SVM_EXIT_SHUTDOWN,
		SVM_EXIT_VMRUN,
		SVM_EXIT_VMMCALL,
		SVM_EXIT_VMLOAD,
		SVM_EXIT_VMSAVE,
		SVM_EXIT_STGI,
		SVM_EXIT_CLGI,
		SVM_EXIT_SKINIT,
		SVM_EXIT_WBINVD,
		SVM_EXIT_MONITOR,
		SVM_EXIT_MWAIT,
		SVM_EXIT_MWAIT_ARMED,
		SVM_EXIT_XSETBV,
		SVM_EXIT_RDPRU,
	};
	struct vmcb *vmcb = (struct vmcb *)((uint8_t *)vcpu + VCPU_PAGE_VENDOR * PAGE_SIZE);
	unsigned int i;

	svm_of(vcpu)->vmcb = vmcb;
	svm_of(vcpu)->vmcb_pa = virt_to_phys(vmcb);
	svm_of(vcpu)->cr4 = cpuid_guest_cr4();
	for (i = 0; i < ARRAY_SIZE(intercepts); i++)
		svm_intercept(vmcb, intercepts[i], true);
	if (svm_features.pause) {
		svm_intercept(vmcb, SVM_EXIT_PAUSE, true);
		vmcb->pause_count = PAUSE_COUNT;
	}
	/* From where only decode assists tell. Of processors without them just emulators have more in CR4 than is shown. */
	svm_intercept(vmcb, SVM_EXIT_CR4_WRITE, svm_features.decode);
	vmcb->intercept[SVM_EXIT_DR_FIRST / 32] = DR_INTERCEPTS;
	vmcb->intercept[SVM_EXIT_EXCEPTION / 32] = EXCEPTION_INTERCEPTS;
	vmcb->iopm = image_to_phys(svm_guest_iopm);
	vmcb->msrpm = image_to_phys(svm_guest_msrpm);
	vmcb->vintr = SVM_VINTR_MASKING;
	vmcb->nested = SVM_NESTED_PAGING;
	vmcb->nested_cr3 = vcpu->vm->guest_table.root;
	vmcb->efer = EFER_SVME;
	vmcb->cr0 = CR0_ET;
	vmcb->rflags = RFLAGS_FIXED;
	vmcb->dr6 = DR6_RESET;
	vmcb->dr7 = DR7_RESET;
	vmcb->pat = PAT_RESET;
}

/* No branches of a guest's are recorded, and its XSAVES, which cannot be refused, reaches no supervisor state. */
static uint64_t stop(uint32_t msr)
{
	uint64_t value = rdmsr(msr);

	if (value)
		wrmsr(msr, 0);
	return value;
}

void svm_vcpu_load(struct cpu *cpu, struct vcpu *vcpu)
{
	struct svm_cpu *svm = cpu->vendor;

	(void)vcpu;
	svm->debugctl = stop(MSR_DEBUGCTL);
	svm->xss = svm_features.xsaves ? stop(MSR_XSS) : 0;
	svm_remind();
}

void svm_vcpu_put(struct cpu *cpu, struct vcpu *vcpu)
{
	struct svm_cpu *svm = cpu->vendor;

	/* QEMU lets the guest's XSETBV through, whatever the intercept says. */
	vcpu->xcr0 = xgetbv() & cpuid_guest_xcr0();
	if (svm->xss)
		wrmsr(MSR_XSS, svm->xss);
	if (svm->debugctl)
		wrmsr(MSR_DEBUGCTL, svm->debugctl);
}

/*
 * ASIDs are a CPU's own and are handed out in order; when they are used up all are flushed and a new generation
 * begins. A vCPU that comes to another CPU, or back after a flush, gets a new one, so no stale translation can serve
 * it.
 *
 * last_cpu changes before translations are made under the new ASID: if another CPU takes it away meanwhile, either they
 * came after what that CPU did to the tables, or the next entry finds NULL.
 */
static void choose_asid(struct svm_cpu *svm, struct cpu *cpu, struct vcpu *vcpu)
{
	struct vmcb *vmcb = svm_of(vcpu)->vmcb;

	if (__atomic_load_n(&vcpu->last_cpu, __ATOMIC_RELAXED) == cpu && svm_of(vcpu)->asid_generation == svm->asid_generation)
		return;
	if (svm->next_asid >= svm_features.asids) {
		svm->asid_generation++;
		svm->next_asid = svm->control->asid + 1;
		vmcb->tlb_control = SVM_TLB_FLUSH_ALL;
	}
	__atomic_store_n(&vcpu->last_cpu, cpu, __ATOMIC_SEQ_CST);
	svm_of(vcpu)->asid_generation = svm->asid_generation;
	vmcb->asid = svm->next_asid++;
	vmcb->clean = 0;
}

static void io_exit(const struct vmcb *vmcb, struct hv_exit *exit)
{
	uint32_t info = (uint32_t)vmcb->exit_info1;

	svm_io_exit(vmcb, exit);
	if (!(info & SVM_IO_STRING))
		return;
	exit->record->address_size = (uint8_t)(((info & SVM_IO_ADDRESS) >> SVM_IO_ADDRESS_SHIFT) << 1);
	exit->record->segment = svm_features.decode ? (uint8_t)((info & SVM_IO_SEGMENT) >> SVM_IO_SEGMENT_SHIFT) :
						      KEEL_SEG_NONE;
}

static void fault_exit(const struct vmcb *vmcb, struct hv_exit *exit)
{
	struct keel_exit *record = exit->record;

	svm_memory_exit(vmcb, exit);
	record->insn_length = 0;
	if (svm_features.decode && vmcb->insn_length <= sizeof(vmcb->insn)) {
		record->insn_length = vmcb->insn_length;
		memcpy(record->insn, vmcb->insn, sizeof(vmcb->insn));
	}
}

/* exception: KEEL_INJECT_*. False: it shuts the processor down. */
static bool raise(struct vcpu *vcpu, uint32_t exception, uint32_t error_code)
{
	struct vmcb *vmcb = svm_of(vcpu)->vmcb;
	enum event_fate fate = event_displace((uint32_t)vmcb->event, &exception);

	if (fate == EVENT_INTERRUPT_WAITS) {
		svm_request(vmcb, vmcb->event & SVM_EVENT_VECTOR);
		svm_of(vcpu)->window_later |= svm_of(vcpu)->window;
	} else if (fate == EVENT_NMI_WAITS) {
		vcpu->nmi_pending = true;
		svm_of(vcpu)->nmi = (struct svm_nmi){ 0 };
		svm_intercept(vmcb, SVM_EXIT_IRET, false);
	}
	vmcb->event = svm_exception(exception, (exception & KEEL_INJECT_VECTOR) == EXC_DF ? 0 : error_code);
	return fate != EVENT_SHUTS_DOWN;
}

/* The fault is the guest's own: #DB and #AC exit only because a guest can raise them without end inside one instruction. */
static void exception_exit(struct vcpu *vcpu, unsigned int vector, struct hv_exit *exit)
{
	uint32_t error_code = (uint32_t)svm_of(vcpu)->vmcb->exit_info1;

	/* To the control domain and back: such a loop never comes to where interrupts are taken. */
	exit->reason = HV_EXIT_INTERRUPT;
	if (vector == EXC_MC) {
		exit->reason = HV_EXIT_MACHINE_CHECK;
		return;
	}
	if (!raise(vcpu, KEEL_INJECT_EXCEPTION | (vector == EXC_AC ? KEEL_INJECT_ERROR_CODE : 0) | vector, error_code))
		exit->reason = HV_EXIT_TRIPLE_FAULT;
}

/*
 * CR8 writes exit only under a threshold on a processor without decode assists. The cell carries the instruction out and
 * asks for what it still wants.
 */
static void cr8_exit(struct vcpu *vcpu, struct hv_exit *exit)
{
	svm_vcpu_window(vcpu, false, 0);
	exit->reason = HV_EXIT_CR8_WRITE;
}

/* What the processor would refuse (APM vol. 2, 3.1.3, 5.5.1), where it knows no more bits than the guest is shown. */
static bool cr4_is_valid(const struct vcpu_svm *svm, uint64_t value)
{
	const struct vmcb *vmcb = svm->vmcb;
	bool long_mode = vmcb->efer & EFER_LMA, pcids = value & ~vmcb->cr4 & CR4_PCIDE;

	return !(value & ~svm->cr4) && (!long_mode || value & CR4_PAE) &&
	       (!pcids || (long_mode && !(vmcb->cr3 & CR3_PCID)));
}

/* Translations are dropped if any bit changes: of few bits they need not be. */
static void cr4_exit(struct vcpu *vcpu, struct hv_exit *exit)
{
	struct vmcb *vmcb = svm_of(vcpu)->vmcb;
	bool code64 = vmcb->efer & EFER_LMA && vmcb->seg[KEEL_SEG_CS].attributes & SVM_SEGMENT_LONG;
	uint64_t value = vcpu->cell.page->regs.gpr[vmcb->exit_info1 & SVM_CR_GPR];

	exit->reason = HV_EXIT_NONE;
	value = code64 ? value : (uint32_t)value;
	if (!cr4_is_valid(svm_of(vcpu), value)) {
		if (!raise(vcpu, KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | EXC_GP, 0))
			exit->reason = HV_EXIT_TRIPLE_FAULT;
		return;
	}
	if (value != vmcb->cr4)
		vcpu->last_cpu = NULL;
	vmcb->cr4 = value;
	svm_vcpu_advance(vcpu, svm_next_rip(vmcb, LENGTH_3));
}

static void use_debug_registers(struct cpu *cpu, struct vcpu *vcpu)
{
	svm_of(vcpu)->vmcb->intercept[SVM_EXIT_DR_FIRST / 32] = 0;
	swap_debug_too(cpu, vcpu);
}

static void window_exit(struct vcpu *vcpu, struct hv_exit *exit)
{
	exit->reason = svm_of(vcpu)->vmcb->vintr & SVM_VINTR_IGNORE_TPR ? HV_EXIT_WINDOW : HV_EXIT_TPR;
	svm_vcpu_window(vcpu, false, 0);
}

/* What the cell does not answer. */
static __attribute__((noinline)) void decode_exit(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit)
{
	struct vmcb *vmcb = svm_of(vcpu)->vmcb;
	uint32_t code = (uint32_t)vmcb->exit_code;

	switch (code) {
	case SVM_EXIT_VINTR:
		window_exit(vcpu, exit);
		break;
	case SVM_EXIT_CR4_WRITE:
		cr4_exit(vcpu, exit);
		break;
	case SVM_EXIT_CR8_WRITE:
		cr8_exit(vcpu, exit);
		break;
	case SVM_EXIT_DR_FIRST ... SVM_EXIT_DR_LAST:
		use_debug_registers(cpu, vcpu);
		exit->reason = HV_EXIT_NONE;
		break;
	case SVM_EXIT_EXCEPTION + EXC_DB:
	case SVM_EXIT_EXCEPTION + EXC_AC:
	case SVM_EXIT_EXCEPTION + EXC_MC:
		exception_exit(vcpu, code - SVM_EXIT_EXCEPTION, exit);
		break;
	case SVM_EXIT_WBINVD:
	case SVM_EXIT_INVD:
		/* What a guest can reach is coherent, and it may not empty caches that it shares. */
		svm_vcpu_advance(vcpu, svm_next_rip(vmcb, LENGTH_2));
		exit->reason = HV_EXIT_NONE;
		break;
	default:
		svm_plain_exit(vmcb, exit);
		break;
	}
}

/* An interrupt that has been requested and not been taken. */
static bool interrupt_requested(const struct vmcb *vmcb)
{
	return vmcb->vintr & SVM_VINTR_IRQ && !(vmcb->intercept[SVM_EXIT_VINTR / 32] & 1u << SVM_EXIT_VINTR % 32);
}

static bool is_interruptible(struct vcpu *vcpu, const struct vmcb *vmcb, bool after_instruction)
{
	/* An NMI that waits goes in first. The trap of a single step comes behind the instruction, before an interrupt. */
	return vmcb->rflags & RFLAGS_IF && !vmcb->event && !interrupt_requested(vmcb) &&
	       (!vcpu->nmi_pending || svm_of(vcpu)->nmi.blocked) &&
	       (after_instruction ? !(vmcb->rflags & RFLAGS_TF) : !(vmcb->shadow & SVM_SHADOW));
}

/* True: that is what the exit was for. */
static bool enter_once(struct svm_cpu *svm, struct vcpu *vcpu, struct vmcb *vmcb, struct keel_regs *regs)
{
	if (vcpu->nmi_pending || svm_of(vcpu)->nmi.iret)
		svm_nmi_enter(vmcb, &svm_of(vcpu)->nmi, &vcpu->nmi_pending);
	svm_enter(regs, svm_of(vcpu)->vmcb_pa, svm->host_pa, vmcb->shadow);
	vmcb->tlb_control = SVM_TLB_KEEP;
	if (vmcb->exit_int_info & SVM_EVENT_VALID)
		svm_requeue(vmcb);
	else
		vmcb->event = 0;
	if (svm_of(vcpu)->window_later && !interrupt_requested(vmcb)) {
		svm_of(vcpu)->window_later = false;
		vcpu->poll = 1;
	}
	return svm_nmi_exit(vmcb, &svm_of(vcpu)->nmi);
}

/* While it does RIP, RFLAGS and RSP stay in the VMCB. */
static bool answer(struct vcpu *vcpu, struct vmcb *vmcb, struct keel_regs *regs)
{
	bool read = vmcb->exit_code == SVM_EXIT_MSR && !vmcb->exit_info1 && !vmcb->cpl;

	if (vmcb->exit_code != SVM_EXIT_CPUID && !read)
		return false;
	if (!read) {
		regs->gpr[KEEL_RAX] = vmcb->rax;
		answer_cpuid(vcpu, regs);
	} else if (!answer_rdmsr(vcpu, regs)) {
		return false;
	}
	vmcb->rax = regs->gpr[KEEL_RAX];
	vmcb->rip = svm_next_rip(vmcb, LENGTH_2);
	svm_advance(vmcb, &vmcb->rflags);
	return true;
}

static void segments_out(const struct vmcb *vmcb, struct keel_sregs *sregs)
{
	unsigned int i;

#pragma GCC unroll 6
	for (i = 0; i < SVM_SEGMENTS; i++)
		sregs->seg[i] = vmcb->seg[i];
	sregs->seg[KEEL_SEG_LDTR] = vmcb->ldtr;
	sregs->seg[KEEL_SEG_TR] = vmcb->tr;
	sregs->gdt_base = vmcb->gdtr.base;
	sregs->gdt_limit = vmcb->gdtr.limit;
	sregs->idt_base = vmcb->idtr.base;
	sregs->idt_limit = vmcb->idtr.limit;
}

static void control_out(const struct vmcb *vmcb, struct keel_sregs *sregs)
{
	sregs->cr0 = vmcb->cr0;
	sregs->cr3 = vmcb->cr3;
	sregs->cr4 = vmcb->cr4;
	sregs->efer = vmcb->efer & ~EFER_SVME;
	sregs->cpl = vmcb->cpl;
}

static bool is_nmi(uint32_t event)
{
	return event & KEEL_INJECT_VALID && (event & KEEL_EVENT_TYPE) == KEEL_EVENT_NMI;
}

static void events_out(const struct vcpu_svm *svm, struct keel_sregs *sregs)
{
	const struct vmcb *vmcb = svm->vmcb;

	/* By one that is still to go in they are not yet. */
	sregs->nmi_blocked = svm->nmi.blocked && !is_nmi((uint32_t)vmcb->event);
	sregs->pending_debug = 0;
	sregs->shadow = !(vmcb->shadow & SVM_SHADOW) ? 0 : vmcb->rflags & RFLAGS_IF ? KEEL_SHADOW_STI : KEEL_SHADOW_MOV_SS;
	sregs->event = (uint32_t)vmcb->event &
		       (KEEL_INJECT_VALID | KEEL_INJECT_ERROR_CODE | KEEL_EVENT_TYPE | KEEL_INJECT_VECTOR);
	/* Without a code the processor may have left anything there (15.20). */
	sregs->event_code = vmcb->event & SVM_EVENT_ERROR_CODE ? (uint32_t)(vmcb->event >> SVM_EVENT_ERROR_SHIFT) : 0;
	sregs->held = 0;
	if (interrupt_requested(vmcb))
		sregs->held = KEEL_INJECT_VALID |
			      (uint32_t)((vmcb->vintr & SVM_VINTR_VECTOR) >> SVM_VINTR_VECTOR_SHIFT);
}

static void msrs_out(const struct vmcb *vmcb, struct keel_sregs *sregs)
{
	sregs->star = vmcb->star;
	sregs->lstar = vmcb->lstar;
	sregs->cstar = vmcb->cstar;
	sregs->sfmask = vmcb->sfmask;
	sregs->kernel_gs_base = vmcb->kernel_gs_base;
	sregs->sysenter_cs = vmcb->sysenter_cs;
	sregs->sysenter_esp = vmcb->sysenter_esp;
	sregs->sysenter_eip = vmcb->sysenter_eip;
	sregs->pat = vmcb->pat;
}

/* Of exits of which there are many the parts are known here. */
static inline __attribute__((always_inline)) void state_out(struct vcpu *vcpu, unsigned int parts, struct keel_sregs *sregs)
{
	const struct vmcb *vmcb = svm_of(vcpu)->vmcb;

	if (parts & HV_STATE_SEGMENTS)
		segments_out(vmcb, sregs);
	if (parts & HV_STATE_CONTROL)
		control_out(vmcb, sregs);
	if (parts & HV_STATE_CR2)
		sregs->cr2 = vmcb->cr2;
	if (parts & HV_STATE_DEBUG) {
		sregs->dr6 = vmcb->dr6;
		sregs->dr7 = vmcb->dr7;
	}
	if (parts & HV_STATE_EVENTS)
		events_out(svm_of(vcpu), sregs);
	if (parts & HV_STATE_MSRS)
		msrs_out(vmcb, sregs);
	/* The processor reads them in memory (15.25.10). */
	if (parts & HV_STATE_PDPTES)
		memset(sregs->pdpte, 0, sizeof(sregs->pdpte));
	if (parts & HV_STATE_TPR)
		sregs->tpr = vmcb->vintr & SVM_VINTR_TPR;
}

/* Nobody else has taken the translations away, or has a use for this CPU. */
static bool goes_on(const struct cpu *cpu, const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->last_cpu, __ATOMIC_RELAXED) == cpu && !vcpu_is_due(vcpu);
}

/* True: the exit that ended it has been answered. */
static bool enter(struct cpu *cpu, struct vcpu *vcpu, struct vmcb *vmcb, struct hv_exit *exit)
{
	struct keel_regs *regs = &vcpu->cell.page->regs;
	bool done;

	vmcb->rip = regs->rip;
	vmcb->rflags = regs->rflags | RFLAGS_FIXED;
	vmcb->rax = regs->gpr[KEEL_RAX];
	vmcb->rsp = regs->gpr[KEEL_RSP];
	do
		done = enter_once(cpu->vendor, vcpu, vmcb, regs) || answer(vcpu, vmcb, regs);
	while (done && goes_on(cpu, vcpu));
	regs->gpr[KEEL_RAX] = vmcb->rax;
	regs->gpr[KEEL_RSP] = vmcb->rsp;
	regs->rip = vmcb->rip;
	regs->rflags = vmcb->rflags;
	exit->cpl = vmcb->cpl;
	exit->record->tpr = vmcb->vintr & SVM_VINTR_TPR;
	return done;
}

/* Whether it is an instruction for the cell, and then what kind it is. */
static bool is_cells(const struct vcpu *vcpu, const struct vmcb *vmcb, struct hv_exit *exit, enum keel_exit_kind *kind)
{
	switch (vmcb->exit_code) {
	case SVM_EXIT_IOIO:
		io_exit(vmcb, exit);
		*kind = KEEL_EXIT_IO;
		return true;
	case SVM_EXIT_NPF:
		fault_exit(vmcb, exit);
		*kind = KEEL_EXIT_MMIO;
		return true;
	case SVM_EXIT_MSR:
		exit->reason = vmcb->exit_info1 ? HV_EXIT_WRMSR : HV_EXIT_RDMSR;
		exit->record->next_rip = svm_next_rip(vmcb, LENGTH_2);
		exit->record->msr = (uint32_t)vcpu->cell.page->regs.gpr[KEEL_RCX];
		*kind = vmcb->exit_info1 ? KEEL_EXIT_WRMSR : KEEL_EXIT_RDMSR;
		return !exit->cpl && msr_is_cells((uint32_t)vcpu->cell.page->regs.gpr[KEEL_RCX]);
	default:
		return false;
	}
}

/* True: the cell has carried the instruction out. Else exit tells. */
static bool by_cell(struct cpu *cpu, struct vcpu *vcpu, struct vmcb *vmcb, struct hv_exit *exit, enum keel_exit_kind kind)
{
	uint32_t flags = is_interruptible(vcpu, vmcb, true) ? KEEL_EXIT_F_INTERRUPTIBLE : 0, inject;

	if (kind == KEEL_EXIT_MMIO || (kind == KEEL_EXIT_IO && vmcb->exit_info1 & SVM_IO_STRING)) {
		state_out(vcpu, HV_STATE_SREGS, &vcpu->cell.page->sregs);
		flags |= KEEL_EXIT_F_SREGS;
	}
	if (!answer_by_cell(cpu, vcpu, exit, kind, flags, &inject))
		return false;
	svm_advance(vmcb, &vcpu->cell.page->regs.rflags);
	if (inject)
		svm_inject(vmcb, inject, 0);
	return true;
}

static bool handle_exit(struct cpu *cpu, struct vcpu *vcpu, struct vmcb *vmcb, struct hv_exit *exit)
{
	enum keel_exit_kind kind;

	if (is_cells(vcpu, vmcb, exit, &kind))
		return by_cell(cpu, vcpu, vmcb, exit, kind);
	if (vmcb->exit_code != SVM_EXIT_MSR)
		decode_exit(cpu, vcpu, exit);
	return false;
}

void svm_vcpu_enter(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit)
{
	struct vmcb *vmcb = svm_of(vcpu)->vmcb;

	choose_asid(cpu->vendor, cpu, vcpu);
	do {
		if (enter(cpu, vcpu, vmcb, exit)) {
			exit->reason = HV_EXIT_NONE;
			return;
		}
	} while (handle_exit(cpu, vcpu, vmcb, exit) && goes_on(cpu, vcpu));
	/* If that entry was to flush all, it may not have: the next one does. */
	if (exit->reason == HV_EXIT_ENTRY_FAILED)
		((struct svm_cpu *)cpu->vendor)->next_asid = svm_features.asids;
}

void svm_vcpu_advance(struct vcpu *vcpu, uint64_t next_rip)
{
	vcpu->cell.page->regs.rip = next_rip;
	svm_advance(svm_of(vcpu)->vmcb, &vcpu->cell.page->regs.rflags);
}

bool svm_vcpu_interruptible(struct vcpu *vcpu, bool after_instruction)
{
	return is_interruptible(vcpu, svm_of(vcpu)->vmcb, after_instruction);
}

bool svm_vcpu_inject(struct vcpu *vcpu, uint32_t inject, uint32_t error_code)
{
	if (inject & KEEL_INJECT_EXCEPTION)
		return raise(vcpu, inject, error_code);
	svm_inject(svm_of(vcpu)->vmcb, inject, error_code);
	return true;
}

static __attribute__((noinline)) void change_window(struct vcpu *vcpu, bool open, unsigned int tpr_threshold)
{
	struct vmcb *vmcb = svm_of(vcpu)->vmcb;
	uint64_t vintr = vmcb->vintr & ~SVM_VINTR_REQUEST;
	bool on = open || tpr_threshold;

	svm_of(vcpu)->window = on;
	/*
	 * QEMU, which has no decode assists, takes a virtual interrupt of CR8's own priority too: a threshold would exit
	 * for ever. There the CR8 writes themselves exit.
	 */
	if (!svm_features.decode) {
		svm_intercept(vmcb, SVM_EXIT_CR8_WRITE, tpr_threshold);
		tpr_threshold = 0;
	}
	on = open || tpr_threshold;
	/* One virtual interrupt at a time: the cell is asked again when this one has been taken. */
	if (interrupt_requested(vmcb)) {
		svm_of(vcpu)->window_later = on;
		return;
	}
	/* A virtual interrupt that exits where it would be taken. Its vector is never seen. */
	if (open)
		vintr |= SVM_VINTR_IRQ | SVM_VINTR_IGNORE_TPR | SVM_VINTR_PRIORITY;
	else if (tpr_threshold)
		vintr |= SVM_VINTR_IRQ | (uint64_t)(tpr_threshold & PRIORITY_HIGHEST) << SVM_VINTR_PRIORITY_SHIFT;
	vmcb->vintr = vintr;
	svm_intercept(vmcb, SVM_EXIT_VINTR, on);
}

/* By far the most frequent case: nothing is asked for, and nothing to be taken back. */
void svm_vcpu_window(struct vcpu *vcpu, bool open, unsigned int tpr_threshold)
{
	if (open || tpr_threshold || svm_of(vcpu)->window)
		change_window(vcpu, open, tpr_threshold);
}

void svm_vcpu_state_out(struct vcpu *vcpu, unsigned int parts, struct keel_sregs *sregs)
{
	state_out(vcpu, parts, sregs);
}

static void control_in(struct vcpu *vcpu, const struct keel_sregs *sregs)
{
	struct vmcb *vmcb = svm_of(vcpu)->vmcb;

	svm_set_control(vmcb, sregs);
	vmcb->rflags = vcpu->cell.page->regs.rflags | RFLAGS_FIXED;
	/* A vCPU that starts anew keeps no translation of its former life. */
	vcpu->last_cpu = NULL;
}

static void events_in(struct vcpu_svm *svm, const struct keel_sregs *sregs)
{
	bool blocked = sregs->nmi_blocked || is_nmi(sregs->event);
	struct vmcb *vmcb = svm->vmcb;

	svm->nmi = (struct svm_nmi){ .blocked = blocked };
	svm_intercept(vmcb, SVM_EXIT_IRET, blocked);
	vmcb->shadow = sregs->shadow ? SVM_SHADOW : 0;
	vmcb->event = sregs->event | (uint64_t)sregs->event_code << SVM_EVENT_ERROR_SHIFT;
	vmcb->vintr &= ~SVM_VINTR_REQUEST;
	if (sregs->held)
		svm_request(vmcb, sregs->held & KEEL_INJECT_VECTOR);
}

static void msrs_in(struct vmcb *vmcb, const struct keel_sregs *sregs)
{
	vmcb->star = sregs->star;
	vmcb->lstar = sregs->lstar;
	vmcb->cstar = sregs->cstar;
	vmcb->sfmask = sregs->sfmask;
	vmcb->kernel_gs_base = sregs->kernel_gs_base;
	vmcb->sysenter_cs = sregs->sysenter_cs;
	vmcb->sysenter_esp = sregs->sysenter_esp;
	vmcb->sysenter_eip = sregs->sysenter_eip;
	vmcb->pat = sregs->pat;
}

bool svm_vcpu_state_in(struct cpu *cpu, struct vcpu *vcpu, unsigned int parts, const struct keel_sregs *sregs)
{
	struct vmcb *vmcb = svm_of(vcpu)->vmcb;

	if (parts & HV_STATE_SEGMENTS)
		svm_set_segments(vmcb, sregs);
	if (parts & HV_STATE_CONTROL)
		control_in(vcpu, sregs);
	if (parts & HV_STATE_CR2)
		vmcb->cr2 = sregs->cr2;
	if (parts & HV_STATE_DEBUG) {
		svm_set_debug(vmcb, sregs);
		/* The addresses that it arms are the guest's, not those that are there. */
		if (vmcb->dr7 & DR7_ENABLE)
			use_debug_registers(cpu, vcpu);
	}
	if (parts & HV_STATE_EVENTS)
		events_in(svm_of(vcpu), sregs);
	if (parts & HV_STATE_MSRS)
		msrs_in(vmcb, sregs);
	if (parts & HV_STATE_TPR)
		vmcb->vintr = (vmcb->vintr & ~SVM_VINTR_TPR) | sregs->tpr;
	return true;
}

void svm_vcpu_tsc_moved(struct vcpu *vcpu)
{
	svm_of(vcpu)->vmcb->tsc_offset = vcpu->tsc_offset;
}

bool svm_vcpu_rdmsr(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	const struct vmcb *vmcb = svm_of(vcpu)->vmcb;

	switch (msr) {
	case MSR_EFER:
		*value = vmcb->efer & ~EFER_SVME;
		return true;
	case MSR_PAT:
		*value = vmcb->pat;
		return true;
	default:
		return false;
	}
}

bool svm_vcpu_wrmsr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	struct vmcb *vmcb = svm_of(vcpu)->vmcb;

	switch (msr) {
	case MSR_EFER:
		if (value & ~(EFER_GUEST | EFER_LMA) ||
		    (vmcb->cr0 & CR0_PG && (value ^ vmcb->efer) & EFER_LME))
			return false;
		/* Translations that a change of NXE makes wrong are not dropped by the processor here (15.16). */
		if ((value ^ vmcb->efer) & EFER_NXE)
			vcpu->last_cpu = NULL;
		vmcb->efer = (value & EFER_GUEST) | (vmcb->efer & EFER_LMA) | EFER_SVME;
		return true;
	case MSR_PAT:
		vmcb->pat = value;
		return true;
	default:
		return false;
	}
}
