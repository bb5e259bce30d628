// SPDX-License-Identifier: GPL-2.0
// Intel VMX: guests.

#include "vmx.h"

#include "answer.h"
#include "console.h"
#include "cpu.h"
#include "cpuid.h"
#include "event.h"
#include "image.h"
#include "memory.h"
#include "string.h"
#include "swap.h"
#include "trap.h"
#include "vm.h"

#define TEST_CTRL_SPLIT_LOCK (1u << 29)
#define EXCEPTION_EXITS (1u << EXC_DB | 1u << EXC_AC | 1u << EXC_MC)
#define PAUSE_GAP	128u		/* ticks between two PAUSEs of one loop */
#define PAUSE_WINDOW	4096u		/* ticks that a loop may take */
#define FIRST_VPID	2u
#define APIC_TPR	0x80u		/* in the virtual-APIC page */
#define APIC_TMR	0x180u		/* 32 vectors each 16 bytes */
#define TPR_SHIFT	4
#define EOI_EXIT_FIELDS	4u

/*
 * The longest time in a guest, in ticks of the TSC. Every interrupt ends it sooner, except under Bochs, where a guest
 * entered with interrupts masked does not see one until it unmasks them.
 */
#define LONGEST_RUN	(1u << 24)

/* What VMX does not switch. */
static const uint32_t swapped[VMX_SWAPPED_MSRS] = { MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE };

_Static_assert(sizeof(struct vcpu_vmx) <= PAGE_SIZE, "the first page of a vCPU's block");

void vmx_vcpu_init(struct vcpu *vcpu)
{
	struct cpu *cpu = this_cpu();
	struct vmx_setup setup = {
		.vmcs_pa = virt_to_phys((uint8_t *)vcpu + VCPU_PAGE_VENDOR * PAGE_SIZE),
		.eptp = vmx_eptp(vcpu->vm->guest_table.root),
		.bitmap_pa = image_to_phys(vmx_guest_bitmap),
		.host_cr3 = vcpu->vm->cell_table.root,
		.vpid = FIRST_VPID + (vcpu->vm->id - 1) * KEEL_MAX_VCPUS + vcpu->index,
		/* A guest's caches are everybody's. */
		.cr0_mask = CR0_CD | CR0_NW,
		/*
		 * A machine check is the control domain's, and must not find a guest where it would stop the machine. What is
		 * not shown to guests they cannot switch on: its registers, as those of CET, are still the control domain's.
		 */
		.cr4_mask = ~cpuid_guest_cr4() | CR4_MCE,
		.want = {
			[VMX_PIN] = PIN_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI | PIN_PREEMPTION_TIMER,
			[VMX_PRIMARY] = PRIMARY_TSC_OFFSET | PRIMARY_HLT | PRIMARY_MWAIT | PRIMARY_RDPMC |
				PRIMARY_TPR_SHADOW | PRIMARY_MOV_DR | PRIMARY_IO | PRIMARY_MONITOR,
			[VMX_SECONDARY] = SECONDARY_WBINVD | SECONDARY_PAUSE_LOOP | (vmx_features.apic ? VMX_APIC_CONTROLS : 0),
		},
	};

	vmx_of(vcpu)->context.vmcs_pa = setup.vmcs_pa;
	vmx_of(vcpu)->apic = (uint8_t *)vcpu + VCPU_PAGE_APIC * PAGE_SIZE;
	vmx_of(vcpu)->dr6 = DR6_RESET;
	vmx_vmcs_init(&setup);
	vmx_of(vcpu)->context.primary = (uint32_t)vmread(VMCS_PRIMARY_CONTROLS);
	vmwrite(VMCS_EXCEPTION_BITMAP, EXCEPTION_EXITS);
	vmwrite(VMCS_VIRTUAL_APIC, virt_to_phys(vmx_of(vcpu)->apic));
	vmwrite(VMCS_TPR_THRESHOLD, 0);
	if (vmx_features.apic) {
		vcpu->exit_flags = KEEL_EXIT_F_APIC;
		vmwrite(VMCS_APIC_ACCESS, virt_to_phys((uint8_t *)vcpu->vm->vcpu[0] + VCPU_PAGE_APIC_ACCESS * PAGE_SIZE));
		vmx_vcpu_set_apic(vcpu, KEEL_APIC_EOI_EXITS);
	}
	if (vmread(VMCS_SECONDARY_CONTROLS) & SECONDARY_PAUSE_LOOP) {
		vmwrite(VMCS_PLE_GAP, PAUSE_GAP);
		vmwrite(VMCS_PLE_WINDOW, PAUSE_WINDOW);
	}
	vmwrite(VMCS_GUEST_PAT, PAT_RESET);
	/* On no CPU; the one that runs it makes it current. */
	vmx_vmclear(setup.vmcs_pa);
	vmx_vmptrld(((struct vmx_cpu *)cpu->vendor)->control.vmcs_pa);
}

static void swap_msrs(uint64_t *out, const uint64_t *in)
{
	unsigned int i;

	for (i = 0; i < VMX_SWAPPED_MSRS; i++) {
		out[i] = rdmsr(swapped[i]);
		if (in[i] != out[i])
			wrmsr(swapped[i], in[i]);
	}
}

static void swap_dr6(uint64_t *out, uint64_t in)
{
	*out = read_dr6();
	write_dr6(in);
}

/*
 * vCPUs of a VM share its EPT pointer, and what one without the control has translated would lead another, with it, past
 * the page of APIC accesses (30.4.5).
 */
static void keep_apart(struct cpu *cpu, struct vcpu *vcpu)
{
	uint64_t *plain = &vmx_of(vcpu->vm->vcpu[0])->apic_plain[cpu->index / 64], bit = 1ull << cpu->index % 64;

	if (!(vmread(VMCS_SECONDARY_CONTROLS) & SECONDARY_APIC_ACCESSES))
		__atomic_fetch_or(plain, bit, __ATOMIC_RELAXED);
	else if (__atomic_fetch_and(plain, ~bit, __ATOMIC_RELAXED) & bit)
		vcpu->last_cpu = NULL;
}

void vmx_vcpu_load(struct cpu *cpu, struct vcpu *vcpu)
{
	struct vmx_cpu *vmx = cpu->vendor;

	vmx->cr2 = read_cr2();
	write_cr2(vmx_of(vcpu)->cr2);
	swap_msrs(vmx->msr, vmx_of(vcpu)->msr);
	if (vcpu->debug_registers)
		swap_dr6(&vmx->dr6, vmx_of(vcpu)->dr6);
	vmx_vmptrld(vmx_of(vcpu)->context.vmcs_pa);
	vmx_of(vcpu)->context.launched = false;
	if (vmx_of(vcpu)->host != cpu)
		vmx_host_init(cpu);
	vmx_of(vcpu)->host = cpu;
	if (vcpu->exit_flags)
		keep_apart(cpu, vcpu);
}

/* The VMCS goes back to memory whole: the next CPU may be another one, or the memory may be reclaimed. */
void vmx_vcpu_put(struct cpu *cpu, struct vcpu *vcpu)
{
	struct vmx_cpu *vmx = cpu->vendor;

	vmx_vmclear(vmx_of(vcpu)->context.vmcs_pa);
	vmx_vmptrld(vmx->control.vmcs_pa);
	if (vmx_of(vcpu)->split_locks)
		wrmsr(MSR_TEST_CTRL, rdmsr(MSR_TEST_CTRL) | TEST_CTRL_SPLIT_LOCK);
	vmx_of(vcpu)->split_locks = false;
	if (vcpu->debug_registers)
		swap_dr6(&vmx_of(vcpu)->dr6, vmx->dr6);
	swap_msrs(vmx_of(vcpu)->msr, vmx->msr);
	vmx_of(vcpu)->cr2 = read_cr2();
	write_cr2(vmx->cr2);
}

/*
 * VPIDs are the vCPUs' own for good, EPT translations are tagged by the table's top frame. A CPU that has not dropped the
 * table's once may know them from another VM's, or from before last_cpu became NULL. One where the vCPU was before may have
 * its own, and the guest may have changed its tables elsewhere. For the order see SVM's choose_asid().
 */
static void flush(struct cpu *cpu, struct vcpu *vcpu)
{
	uint64_t *seen = &vmx_of(vcpu)->seen[cpu->index / 64], bit = 1ull << cpu->index % 64;

	if (!__atomic_exchange_n(&vcpu->last_cpu, cpu, __ATOMIC_SEQ_CST))
		memset(vmx_of(vcpu)->seen, 0, sizeof(vmx_of(vcpu)->seen));
	if (*seen & bit)
		vmx_invvpid(FIRST_VPID + (vcpu->vm->id - 1) * KEEL_MAX_VCPUS + vcpu->index);
	else
		vmx_invept(vmx_eptp(vcpu->vm->guest_table.root));
	*seen |= bit;
}

/*
 * The guest comes back when its cell wants to see it. The deadline was not there yet a moment ago; if it has passed meanwhile,
 * the control domain's timer, which is set for it as well, ends the run.
 */
static void set_timer(const struct vcpu *vcpu)
{
	uint64_t left = vcpu->deadline - rdtsc();

	if (vmx_features.timer)
		vmwrite(VMCS_PREEMPTION_TIMER,
			((left < LONGEST_RUN ? left : LONGEST_RUN) >> vmx_features.timer_shift) + 1);
}

static void io_exit(struct hv_exit *exit)
{
	struct keel_exit *record = exit->record;
	uint32_t insn;

	vmx_io_exit(exit);
	record->address_size = 0;
	record->segment = KEEL_SEG_NONE;
	if (record->io & KEEL_IO_STRING && vmx_features.basic & VMX_BASIC_INSN_INFO) {
		insn = (uint32_t)vmread(VMCS_EXIT_INSTRUCTION);
		record->address_size = (uint8_t)(2u << (insn >> INSN_ADDRESS_SHIFT & INSN_ADDRESS));
		record->segment = record->io & KEEL_IO_IN ? KEEL_SEG_ES :
							(uint8_t)(insn >> INSN_SEGMENT_SHIFT & INSN_SEGMENT);
	}
}

/* What the processor would have told in the debug registers (28.2.1, 18.2). */
static void set_dr6(struct vcpu *vcpu)
{
	uint64_t bits = vmread(VMCS_EXIT_QUALIFICATION) & QUAL_DB_BITS;
	uint64_t dr6 = vcpu->debug_registers ? read_dr6() : vmx_of(vcpu)->dr6;

	dr6 = (dr6 & ~DR6_B0_B3) | bits;
	if (vcpu->debug_registers)
		write_dr6(dr6);
	else
		vmx_of(vcpu)->dr6 = dr6;
	vmwrite(VMCS_GUEST_DR7, vmread(VMCS_GUEST_DR7) & ~DR7_GD);
}

static bool may_check_alignment(void)
{
	return vmx_cpl() == 3 && vmx_cr0() & CR0_AM && vmread(VMCS_GUEST_RFLAGS) & RFLAGS_AC;
}

/* exception: KEEL_INJECT_*. False: it shuts the processor down. */
static bool raise(struct vcpu *vcpu, uint32_t exception, uint32_t error_code)
{
	struct vmx_context *context = &vmx_of(vcpu)->context;
	enum event_fate fate = event_displace(context->event, &exception);

	if (fate == EVENT_INTERRUPT_WAITS)
		vmx_of(vcpu)->held = context->event;
	else if (fate == EVENT_NMI_WAITS)
		vcpu->nmi_pending = true;
	vmx_inject(context, exception, (exception & KEEL_INJECT_VECTOR) == EXC_DF ? 0 : error_code);
	return fate != EVENT_SHUTS_DOWN;
}

/* The fault is the guest's own: #DB and #AC exit only because a guest can raise them without end inside one instruction. */
static void exception_exit(struct vcpu *vcpu, struct hv_exit *exit)
{
	uint32_t info = (uint32_t)vmread(VMCS_EXIT_EVENT), vector = info & EVENT_VECTOR;

	if ((info & EVENT_TYPE) == EVENT_NMI) {
		exit->reason = HV_EXIT_NMI;
		cpu_unblock_nmi();
		return;
	}
	if (info & EVENT_NMI_UNBLOCKED && !(vmread(VMCS_IDT_EVENT) & EVENT_VALID))
		vmx_block_nmi_again();
	/* To the control domain and back: such a loop never comes to where interrupts are taken. */
	exit->reason = HV_EXIT_INTERRUPT;
	if (vector == EXC_MC) {
		exit->reason = HV_EXIT_MACHINE_CHECK;
		return;
	}
	if (vector == EXC_DB) {
		set_dr6(vcpu);
		if ((info & EVENT_TYPE) == EVENT_PRIVILEGED)	/* INT1, a trap */
			vmx_skip(&vcpu->cell.page->regs, vmx_next_rip());
		/* In a shadow the entry wants to see what is held back there (27.3.1.5). */
		if (vmread(VMCS_GUEST_INTERRUPTIBILITY) & SHADOW_INSTRUCTION && vmread(VMCS_GUEST_RFLAGS) & RFLAGS_TF)
			vmwrite(VMCS_GUEST_PENDING_DEBUG, PENDING_SINGLE_STEP);
	}
	if (vector == EXC_AC && !may_check_alignment()) {
		/* A split lock, which the control domain has itself told of (MSR TEST_CTRL): its wish is not for guests. */
		vmx_of(vcpu)->split_locks = true;
		wrmsr(MSR_TEST_CTRL, rdmsr(MSR_TEST_CTRL) & ~(uint64_t)TEST_CTRL_SPLIT_LOCK);
		exit->reason = HV_EXIT_NONE;
		return;
	}
	if (!raise(vcpu, KEEL_INJECT_EXCEPTION | (info & EVENT_ERROR_CODE) | vector,
		   info & EVENT_ERROR_CODE ? (uint32_t)vmread(VMCS_EXIT_ERROR_CODE) : 0))
		exit->reason = HV_EXIT_TRIPLE_FAULT;
}

/* Only at linear addresses does the processor say more than that it was an access (28.2.1). */
static void apic_access_exit(struct hv_exit *exit)
{
	struct keel_exit *record = exit->record;
	uint64_t info = vmread(VMCS_EXIT_QUALIFICATION), type = info & QUAL_APIC_TYPE;

	exit->reason = HV_EXIT_MEMORY;
	record->gpa = KEEL_APIC_BASE | (info & QUAL_APIC_OFFSET);
	record->access = type == QUAL_APIC_READ ? 0 : type == QUAL_APIC_WRITE ? KEEL_ACCESS_WRITE :
			 type == QUAL_APIC_FETCH ? KEEL_ACCESS_FETCH : KEEL_ACCESS_WALK;
	record->insn_length = 0;
}

static void apic_exit(struct hv_exit *exit, enum hv_exit_reason reason)
{
	exit->record->apic = (uint32_t)vmread(VMCS_EXIT_QUALIFICATION) & QUAL_APIC_OFFSET;
	exit->reason = reason;
}

/* Not allowed in a guest (26.4.2). */
static void task_switch_exit(struct vcpu *vcpu, struct hv_exit *exit)
{
	uint32_t info = (uint32_t)vmread(VMCS_EXIT_QUALIFICATION), event = (uint32_t)vmread(VMCS_IDT_EVENT);
	struct keel_exit *record = exit->record;
	bool external = event & EVENT_VALID && (event & EVENT_TYPE) < EVENT_SOFTWARE_INT;

	exit->reason = HV_EXIT_TASK_SWITCH;
	record->next_rip = external ? vcpu->cell.page->regs.rip : vmx_next_rip();
	record->tss = info & QUAL_TASK_TSS;
	record->task_source = info >> QUAL_TASK_SOURCE_SHIFT;
	record->event = event;
	record->error_code = (uint32_t)vmread(VMCS_IDT_ERROR_CODE);
}

static void use_debug_registers(struct cpu *cpu, struct vcpu *vcpu)
{
	if (vcpu->debug_registers)
		return;
	vmx_primary(&vmx_of(vcpu)->context, PRIMARY_MOV_DR, false);
	swap_dr6(&((struct vmx_cpu *)cpu->vendor)->dr6, vmx_of(vcpu)->dr6);
	swap_debug_too(cpu, vcpu);
}

static void window_exit(struct vcpu *vcpu, struct hv_exit *exit, enum hv_exit_reason reason)
{
	vmx_vcpu_window(vcpu, false, 0);
	exit->reason = reason;
}

/* What only guests have. */
static void decode_exit(struct cpu *cpu, struct vcpu *vcpu, uint32_t reason, struct hv_exit *exit)
{
	switch (reason) {
	case VMX_EXIT_EXCEPTION:
		exception_exit(vcpu, exit);
		break;
	case VMX_EXIT_IO:
		io_exit(exit);
		break;
	case VMX_EXIT_EPT_VIOLATION:
		exit->record->insn_length = 0;
		break;
	case VMX_EXIT_TASK_SWITCH:
		task_switch_exit(vcpu, exit);
		break;
	case VMX_EXIT_INTERRUPT_WINDOW:
		if (vmx_of(vcpu)->held)
			exit->reason = HV_EXIT_NONE;
		else
			window_exit(vcpu, exit, HV_EXIT_WINDOW);
		break;
	case VMX_EXIT_TPR:
		window_exit(vcpu, exit, HV_EXIT_TPR);
		break;
	case VMX_EXIT_APIC_ACCESS:
		apic_access_exit(exit);
		break;
	case VMX_EXIT_APIC_WRITE:
		apic_exit(exit, HV_EXIT_APIC_WRITE);
		break;
	case VMX_EXIT_EOI:
		apic_exit(exit, HV_EXIT_EOI);
		break;
	case VMX_EXIT_PREEMPTION_TIMER:
		/* At the deadline the cell has its turn. Before it the control domain sees what is pending. */
		exit->reason = rdtsc() < vcpu->deadline ? HV_EXIT_INTERRUPT : HV_EXIT_NONE;
		break;
	case VMX_EXIT_DR:
		use_debug_registers(cpu, vcpu);
		exit->reason = HV_EXIT_NONE;
		break;
	}
}

static unsigned int tpr(struct vcpu *vcpu)
{
	return vmx_of(vcpu)->apic[APIC_TPR] >> TPR_SHIFT;
}

static void deliver_held(struct vcpu *vcpu)
{
	struct vcpu_vmx *vmx = vmx_of(vcpu);
	bool taken = vmread(VMCS_GUEST_RFLAGS) & RFLAGS_IF && !vmx->context.event && !vmx_trap_pending() &&
		     !(vmread(VMCS_GUEST_INTERRUPTIBILITY) & SHADOW_INSTRUCTION);

	if (taken) {
		vmx->context.event = vmx->held;
		vmx->held = 0;
	}
	vmx_primary(&vmx->context, PRIMARY_INTERRUPT_WINDOW, vmx->window || !taken);
}

static uint32_t enter_once(struct vcpu *vcpu, struct keel_regs *regs, struct hv_exit *exit)
{
	if (vmx_of(vcpu)->held)
		deliver_held(vcpu);
	set_timer(vcpu);
	return vmx_run(&vmx_of(vcpu)->context, regs, &vcpu->nmi_pending, &vcpu->vm->guest_table, exit);
}

/* While it does RFLAGS and RSP stay in the VMCS. */
static bool answer(struct vcpu *vcpu, struct keel_regs *regs, struct hv_exit *exit)
{
	if (exit->reason == HV_EXIT_CPUID)
		answer_cpuid(vcpu, regs);
	else if (exit->reason != HV_EXIT_RDMSR || !answer_rdmsr(vcpu, regs))
		return false;
	vmx_advance(regs, exit->record->next_rip);
	exit->reason = HV_EXIT_NONE;
	return true;
}

static void segments_out(struct keel_sregs *sregs)
{
	unsigned int i;

	for (i = 0; i < KEEL_SEG_COUNT; i++)
		sregs->seg[i] = vmx_segment(i);
	sregs->gdt_base = vmread(VMCS_GUEST_GDTR_BASE);
	sregs->gdt_limit = (uint32_t)vmread(VMCS_GUEST_GDTR_LIMIT);
	sregs->idt_base = vmread(VMCS_GUEST_IDTR_BASE);
	sregs->idt_limit = (uint32_t)vmread(VMCS_GUEST_IDTR_LIMIT);
}

static void control_out(struct keel_sregs *sregs)
{
	sregs->cr0 = vmx_cr0();
	sregs->cr3 = vmread(VMCS_GUEST_CR3);
	sregs->cr4 = vmx_cr4();
	sregs->efer = vmread(VMCS_GUEST_EFER);
	sregs->cpl = vmx_cpl();
}

static void events_out(const struct vcpu_vmx *vmx, struct keel_sregs *sregs)
{
	uint64_t state = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	sregs->nmi_blocked = (bool)(state & SHADOW_NMI);
	sregs->pending_debug = vmread(VMCS_GUEST_PENDING_DEBUG);
	sregs->shadow = (state & SHADOW_STI ? KEEL_SHADOW_STI : 0) | (state & SHADOW_MOV_SS ? KEEL_SHADOW_MOV_SS : 0);
	sregs->event = vmx->context.event;
	sregs->event_code = sregs->event & KEEL_INJECT_ERROR_CODE ? vmx->context.error_code : 0;
	sregs->held = vmx->held;
}

static void msrs_out(struct keel_sregs *sregs)
{
	sregs->star = rdmsr(MSR_STAR);
	sregs->lstar = rdmsr(MSR_LSTAR);
	sregs->cstar = rdmsr(MSR_CSTAR);
	sregs->sfmask = rdmsr(MSR_SFMASK);
	sregs->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
	sregs->sysenter_cs = vmread(VMCS_GUEST_SYSENTER_CS);
	sregs->sysenter_esp = vmread(VMCS_GUEST_SYSENTER_ESP);
	sregs->sysenter_eip = vmread(VMCS_GUEST_SYSENTER_EIP);
	sregs->pat = vmread(VMCS_GUEST_PAT);
}

static bool has_pdptes(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA);
}

static void pdptes_out(struct keel_sregs *sregs)
{
	bool there = has_pdptes(vmx_cr0(), vmx_cr4(), vmread(VMCS_GUEST_EFER));
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sregs->pdpte); i++)
		sregs->pdpte[i] = there ? vmread(vmx_pdpte_field(i)) : 0;
}

/* An entry with the threshold above the priority would fail (27.2.1.1). */
static bool is_below_threshold(struct vcpu *vcpu)
{
	return vmx_of(vcpu)->tpr_threshold && tpr(vcpu) < vmx_of(vcpu)->tpr_threshold;
}

/* Nobody else has taken the translations away, or has a use for this CPU. */
static bool goes_on(const struct cpu *cpu, struct vcpu *vcpu)
{
	return !vmx_of(vcpu)->tpr_threshold && __atomic_load_n(&vcpu->last_cpu, __ATOMIC_RELAXED) == cpu && !vcpu_is_due(vcpu);
}

/* Until something comes that is not answered at once. */
static void enter(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit)
{
	struct keel_regs *regs = &vcpu->cell.page->regs;
	uint32_t reason;

	vmwrite(VMCS_GUEST_RSP, regs->gpr[KEEL_RSP]);
	vmwrite(VMCS_GUEST_RFLAGS, regs->rflags | RFLAGS_FIXED);
	do
		reason = enter_once(vcpu, regs, exit);
	while (answer(vcpu, regs, exit) && goes_on(cpu, vcpu));
	if (exit->reason == HV_EXIT_ENTRY_FAILED) {
		print("Keel: VM %u, vCPU %u: %s\n", vcpu->vm->id, vcpu->index, vmx_failure(exit->detail));
		return;
	}
	regs->rflags = vmread(VMCS_GUEST_RFLAGS);
	exit->record->tpr = tpr(vcpu);
	if (exit->reason == HV_EXIT_UNKNOWN || exit->reason == HV_EXIT_MEMORY)
		decode_exit(cpu, vcpu, reason, exit);
}

/* True: the cell has carried the instruction out. Else exit tells. */
static bool by_cell(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit, enum keel_exit_kind kind, bool with_state)
{
	struct keel_regs *regs = &vcpu->cell.page->regs;
	uint32_t flags = vmx_vcpu_interruptible(vcpu, true) ? KEEL_EXIT_F_INTERRUPTIBLE : 0, inject;

	if (with_state) {
		vmx_vcpu_state_out(vcpu, HV_STATE_SREGS, &vcpu->cell.page->sregs);
		flags |= KEEL_EXIT_F_SREGS;
	}
	if (!answer_by_cell(cpu, vcpu, exit, kind, flags, &inject))
		return false;
	vmx_advance(regs, regs->rip);
	if (inject)
		vmx_inject(&vmx_of(vcpu)->context, inject, 0);
	return true;
}

static bool msr_by_cell(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit)
{
	uint32_t msr = (uint32_t)vcpu->cell.page->regs.gpr[KEEL_RCX];

	exit->record->msr = msr;
	return !exit->cpl && msr_is_cells(msr) &&
	       by_cell(cpu, vcpu, exit, exit->reason == HV_EXIT_WRMSR ? KEEL_EXIT_WRMSR : KEEL_EXIT_RDMSR, false);
}

static bool handle_exit(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit)
{
	switch (exit->reason) {
	case HV_EXIT_RDMSR:
	case HV_EXIT_WRMSR:
		return msr_by_cell(cpu, vcpu, exit);
	case HV_EXIT_IO:
		return by_cell(cpu, vcpu, exit, KEEL_EXIT_IO, exit->record->io & KEEL_IO_STRING);
	case HV_EXIT_MEMORY:
		return by_cell(cpu, vcpu, exit, KEEL_EXIT_MMIO, true);
	default:
		return false;
	}
}

void vmx_vcpu_enter(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit)
{
	struct vcpu_vmx *vmx = vmx_of(vcpu);

	if (is_below_threshold(vcpu)) {
		exit->cpl = 0;
		exit->record->tpr = tpr(vcpu);
		window_exit(vcpu, exit, HV_EXIT_TPR);
		return;
	}
	if (__atomic_load_n(&vcpu->last_cpu, __ATOMIC_RELAXED) != cpu)
		flush(cpu, vcpu);
	if (vmx->tsc_offset_new) {
		vmwrite(VMCS_TSC_OFFSET, vcpu->tsc_offset);
		vmx->tsc_offset_new = false;
	}
	do
		enter(cpu, vcpu, exit);
	while (handle_exit(cpu, vcpu, exit) && goes_on(cpu, vcpu));
}

void vmx_vcpu_advance(struct vcpu *vcpu, uint64_t next_rip)
{
	vmx_advance(&vcpu->cell.page->regs, next_rip);
}

bool vmx_vcpu_interruptible(struct vcpu *vcpu, bool after_instruction)
{
	uint64_t rflags = vmread(VMCS_GUEST_RFLAGS);

	if (!(rflags & RFLAGS_IF) || vmx_of(vcpu)->context.event || vmx_of(vcpu)->held)
		return false;
	/* An NMI that waits goes in first. */
	if (vcpu->nmi_pending && !(vmread(VMCS_GUEST_INTERRUPTIBILITY) & SHADOW_NMI))
		return false;
	/* The trap of a single step comes behind the instruction, before an interrupt. */
	return after_instruction ? !(rflags & RFLAGS_TF) :
				   !(vmread(VMCS_GUEST_INTERRUPTIBILITY) & SHADOW_INSTRUCTION) && !vmx_trap_pending();
}

bool vmx_vcpu_inject(struct vcpu *vcpu, uint32_t inject, uint32_t error_code)
{
	if (inject & KEEL_INJECT_EXCEPTION)
		return raise(vcpu, inject, error_code);
	vmx_inject(&vmx_of(vcpu)->context, inject, error_code);
	return true;
}

void vmx_vcpu_window(struct vcpu *vcpu, bool open, unsigned int tpr_threshold)
{
	vmx_of(vcpu)->window = open;
	vmx_primary(&vmx_of(vcpu)->context, PRIMARY_INTERRUPT_WINDOW, open || vmx_of(vcpu)->held);
	if (vmx_of(vcpu)->tpr_threshold != tpr_threshold)
		vmwrite(VMCS_TPR_THRESHOLD, tpr_threshold);
	vmx_of(vcpu)->tpr_threshold = tpr_threshold;
}

/* The state of a virtual APIC that is not in its page (30.1 to 30.5, 25.4.2). */
void vmx_vcpu_set_apic(struct vcpu *vcpu, uint32_t apic)
{
	uint64_t controls = vmread(VMCS_SECONDARY_CONTROLS), mode = controls & ~(uint64_t)VMX_APIC_MODES;
	const uint32_t *tmr = (const uint32_t *)(vmx_of(vcpu)->apic + APIC_TMR);
	unsigned int i;

	mode |= apic & KEEL_APIC_X2 ? SECONDARY_X2APIC : apic & KEEL_APIC_PAGE ? SECONDARY_APIC_ACCESSES : 0;
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, (uint16_t)apic);
	if (mode != controls) {
		vmwrite(VMCS_SECONDARY_CONTROLS, mode);
		vmwrite(VMCS_MSR_BITMAP, image_to_phys(apic & KEEL_APIC_X2 ? vmx_x2apic_bitmap : vmx_guest_bitmap));
		vcpu->last_cpu = NULL;
		if (vmx_of(vcpu)->host)
			keep_apart(vmx_of(vcpu)->host, vcpu);
	}
	for (i = 0; apic & KEEL_APIC_EOI_EXITS && i < EOI_EXIT_FIELDS; i++)
		vmwrite((enum vmcs_field)(VMCS_EOI_EXITS + 2 * i), (uint64_t)tmr[8 * i + 4] << 32 | tmr[8 * i]);
}

void vmx_vcpu_state_out(struct vcpu *vcpu, unsigned int parts, struct keel_sregs *sregs)
{
	if (parts & HV_STATE_SEGMENTS)
		segments_out(sregs);
	if (parts & HV_STATE_CONTROL)
		control_out(sregs);
	if (parts & HV_STATE_CR2)
		sregs->cr2 = read_cr2();
	if (parts & HV_STATE_DEBUG) {
		sregs->dr6 = vcpu->debug_registers ? read_dr6() : vmx_of(vcpu)->dr6;
		sregs->dr7 = vmread(VMCS_GUEST_DR7);
	}
	if (parts & HV_STATE_EVENTS)
		events_out(vmx_of(vcpu), sregs);
	if (parts & HV_STATE_MSRS)
		msrs_out(sregs);
	if (parts & HV_STATE_PDPTES)
		pdptes_out(sregs);
	if (parts & HV_STATE_TPR)
		sregs->tpr = tpr(vcpu);
}

static void control_in(struct vcpu *vcpu, const struct keel_sregs *sregs)
{
	vmx_set_control(sregs);
	vmwrite(VMCS_GUEST_RFLAGS, vcpu->cell.page->regs.rflags | RFLAGS_FIXED);
	/* A vCPU that starts anew keeps no translation of its former life; on other CPUs it drops them when it comes there. */
	vmx_drop_own();
}

static void debug_in(struct cpu *cpu, struct vcpu *vcpu, const struct keel_sregs *sregs)
{
	vmx_set_debug(sregs);
	/* The addresses that it arms are the guest's, not those that are there. */
	if (vmread(VMCS_GUEST_DR7) & DR7_ENABLE)
		use_debug_registers(cpu, vcpu);
	vmx_of(vcpu)->dr6 = DR6_RESET | (sregs->dr6 & QUAL_DB_BITS);
	if (vcpu->debug_registers)
		write_dr6(vmx_of(vcpu)->dr6);
}

static void events_in(struct vcpu *vcpu, const struct keel_sregs *sregs)
{
	uint64_t traps = sregs->pending_debug & ~(uint64_t)PENDING_SINGLE_STEP;
	struct vcpu_vmx *vmx = vmx_of(vcpu);

	/* In a shadow a single step's trap is still to come, and the entry wants to see it (27.3.1.5). */
	if (sregs->shadow ? vcpu->cell.page->regs.rflags & RFLAGS_TF : sregs->pending_debug & PENDING_SINGLE_STEP)
		traps |= PENDING_SINGLE_STEP;
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, (sregs->nmi_blocked ? SHADOW_NMI : 0) |
					     (sregs->shadow & KEEL_SHADOW_STI ? SHADOW_STI : 0) |
					     (sregs->shadow & KEEL_SHADOW_MOV_SS ? SHADOW_MOV_SS : 0));
	vmwrite(VMCS_GUEST_PENDING_DEBUG, traps);
	vmx->context.event = sregs->event;
	vmx->context.error_code = sregs->event_code;
	vmx->held = sregs->held;
	vmx_vcpu_window(vcpu, false, 0);
}

static void msrs_in(const struct keel_sregs *sregs)
{
	wrmsr(MSR_STAR, sregs->star);
	wrmsr(MSR_LSTAR, sregs->lstar);
	wrmsr(MSR_CSTAR, sregs->cstar);
	wrmsr(MSR_SFMASK, sregs->sfmask);
	wrmsr(MSR_KERNEL_GS_BASE, sregs->kernel_gs_base);
	vmwrite(VMCS_GUEST_SYSENTER_CS, sregs->sysenter_cs);
	vmwrite(VMCS_GUEST_SYSENTER_ESP, sregs->sysenter_esp);
	vmwrite(VMCS_GUEST_SYSENTER_EIP, sregs->sysenter_eip);
	vmwrite(VMCS_GUEST_PAT, sregs->pat);
}

/* Top entries of PAE paging are state of their own. */
static bool pdptes_in(struct vcpu *vcpu, unsigned int parts, const struct keel_sregs *sregs)
{
	unsigned int i;

	if (!has_pdptes(sregs->cr0, sregs->cr4, sregs->efer))
		return true;
	if (!(parts & HV_STATE_PDPTES))
		return vmx_load_pdptes(&vcpu->vm->guest_table);
	for (i = 0; i < ARRAY_SIZE(sregs->pdpte); i++)
		vmwrite(vmx_pdpte_field(i), sregs->pdpte[i]);
	return true;
}

bool vmx_vcpu_state_in(struct cpu *cpu, struct vcpu *vcpu, unsigned int parts, const struct keel_sregs *sregs)
{
	if (parts & HV_STATE_SEGMENTS)
		vmx_set_segments(sregs);
	if (parts & HV_STATE_CONTROL)
		control_in(vcpu, sregs);
	if (parts & HV_STATE_CR2)
		write_cr2(sregs->cr2);
	if (parts & HV_STATE_DEBUG)
		debug_in(cpu, vcpu, sregs);
	if (parts & HV_STATE_EVENTS)
		events_in(vcpu, sregs);
	if (parts & HV_STATE_MSRS)
		msrs_in(sregs);
	/* The lower half of the local APIC's register is the cell's. */
	if (parts & HV_STATE_TPR && tpr(vcpu) != sregs->tpr)
		vmx_of(vcpu)->apic[APIC_TPR] = (uint8_t)(sregs->tpr << TPR_SHIFT);
	return !(parts & HV_STATE_CONTROL) || pdptes_in(vcpu, parts, sregs);
}

/* Also called while the VMCS is not current. */
void vmx_vcpu_tsc_moved(struct vcpu *vcpu)
{
	vmx_of(vcpu)->tsc_offset_new = true;
}
