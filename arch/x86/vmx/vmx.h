/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by the files of the VMX side. The functions work on the current VMCS unless they say otherwise. */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/macros.h>

#include "cpu.h"
#include "hv.h"
#include "percpu.h"
#include "vcpu.h"
#include "vmcs.h"
#include "vmx_caps.h"

#define VMX_BITMAP_BYTES	4096u

/* Bits of CR4 that the control domain may set, where the processor has them; all else is hidden from it in CPUID. */
#define VMX_CONTROL_CR4	(CR4_CLASSIC | CR4_UMIP | CR4_LA57 | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP | \
			 CR4_PKE | CR4_CET | CR4_LASS | CR4_LAM_SUP)

struct vmx_features {
	bool known;
	bool timer;
	bool apic;			/* virtual-interrupt delivery and all that goes with it */
	unsigned int timer_shift;	/* the preemption timer counts every 2^shift-th tick of the TSC */
	uint64_t basic;
	uint64_t ept_vpid;
	/* Bits that are 1 in VMX operation, whatever a guest may think. */
	uint64_t cr0_fixed;
	uint64_t cr4_fixed;
	uint64_t capability[VMX_CONTROLS];
};
extern struct vmx_features vmx_features;

extern uint8_t vmx_guest_bitmap[VMX_BITMAP_BYTES], vmx_x2apic_bitmap[VMX_BITMAP_BYTES];
#define VMX_APIC_CONTROLS	(SECONDARY_APIC_REGISTERS | SECONDARY_VIRTUAL_INTERRUPTS)
#define VMX_APIC_MODES		(SECONDARY_APIC_ACCESSES | SECONDARY_X2APIC)

/* What the owner of a VMCS keeps of it outside. */
struct vmx_context {
	uint64_t vmcs_pa;
	/* For the next entry. */
	uint32_t event;
	uint32_t error_code;
	uint32_t primary;		/* controls as they are in the VMCS */
	bool launched;
	bool writes_back;		/* INVD and WBINVD do so: the control domain's */
};

#define VMX_SWAPPED_MSRS	5u		/* of SYSCALL and SWAPGS */

/* What VMX keeps of a vCPU. */
struct vcpu_vmx {
	struct vcpu vcpu;		/* first: the block begins with it */
	struct vmx_context context;
	uint8_t *apic;			/* virtual-APIC page */
	struct cpu *host;		/* whose host state the VMCS holds */
	/* CPUs that have dropped what they knew of the VM's table since last_cpu was NULL; bit mask. */
	uint64_t seen[4];
	/* Of vCPU 0, for the VM: CPUs that may know the page at KEEL_APIC_BASE as memory; bit mask. */
	uint64_t apic_plain[4];
	uint64_t msr[VMX_SWAPPED_MSRS];
	uint64_t cr2;
	uint64_t dr6;
	uint32_t tpr_threshold;
	/* An interrupt in whose delivery an exception came up: it goes in when the guest takes one. */
	uint32_t held;
	bool window;			/* the cell waits for one */
	bool tsc_offset_new;
	bool split_locks;		/* are let pass until the run ends, against the control domain's wish */
};

static inline struct vcpu_vmx *vmx_of(struct vcpu *vcpu)
{
	return container_of(vcpu, struct vcpu_vmx, vcpu);
}

/* First of the CPU's vendor pages; the others: VMXON region, control domain's VMCS. */
struct vmx_cpu {
	struct vmx_context control;
	const struct page_table *table;	/* the control domain's */
	uint64_t eptp;			/* its pointer */
	bool flush;
	bool nmi_pending;
	uint8_t again;			/* an interrupt that is to be raised again for the control domain, or 0 */
	/* The control domain's while a guest runs. */
	uint64_t msr[VMX_SWAPPED_MSRS];
	uint64_t cr2;
	uint64_t dr6;
};

/* What differs between VMCSs. */
struct vmx_setup {
	uint64_t vmcs_pa;
	uint64_t eptp;
	uint64_t bitmap_pa;
	uint64_t host_cr3;
	uint64_t io_bitmap_pa[2];	/* where PRIMARY_IO_BITMAPS is wanted */
	uint32_t vpid;
	/* Beyond the bits that VMX fixes; of CR4's MCE is on whatever the guest sees, others are off. */
	uint64_t cr0_mask;
	uint64_t cr4_mask;
	uint32_t want[VMX_CONTROLS];	/* controls beyond those of all, where the processor has them */
};

__attribute__((noreturn)) void vmx_instruction_failed(const char *instruction, uint64_t error);

/* Unit tests have a VMCS of their own. */
#ifdef KEEL_HOST_TEST
uint64_t vmread(enum vmcs_field field);
void vmwrite(enum vmcs_field field, uint64_t value);
#else
static inline uint64_t vmread(enum vmcs_field field)
{
	uint64_t value;

	__asm__ volatile("vmread %1, %0" : "=r"(value) : "r"((uint64_t)field) : "cc");
	return value;
}

static inline void vmwrite(enum vmcs_field field, uint64_t value)
{
	bool failed;

	__asm__ volatile("vmwrite %2, %1" : "=@ccna"(failed) : "r"((uint64_t)field), "r"(value));
	if (failed)
		vmx_instruction_failed("vmwrite", vmread(VMCS_INSTRUCTION_ERROR));
}
#endif

/* The control registers as their owner sees them. */
static inline uint64_t vmx_cr0(void)
{
	uint64_t mask = vmread(VMCS_CR0_MASK);

	return (vmread(VMCS_GUEST_CR0) & ~mask) | (vmread(VMCS_CR0_SHADOW) & mask);
}

static inline uint64_t vmx_cr4(void)
{
	uint64_t mask = vmread(VMCS_CR4_MASK);

	return (vmread(VMCS_GUEST_CR4) & ~mask) | (vmread(VMCS_CR4_SHADOW) & mask);
}

static inline unsigned int vmx_cpl(void)
{
	return (unsigned int)vmread(VMCS_GUEST_SS_RIGHTS) >> RIGHTS_DPL_SHIFT & RIGHTS_DPL;
}

/* A field of the segments' arrays: selector, base, limit or rights. */
static inline enum vmcs_field vmx_segment_field(enum vmcs_field first, enum keel_segment segment)
{
	return (enum vmcs_field)(first + VMCS_SEGMENT_STEP * segment);
}

static inline enum vmcs_field vmx_pdpte_field(unsigned int i)
{
	return (enum vmcs_field)(VMCS_GUEST_PDPTE0 + 2 * i);
}

static inline uint64_t vmx_next_rip(void)
{
	return vmread(VMCS_GUEST_RIP) + vmread(VMCS_EXIT_LENGTH);
}

static inline void vmx_skip(struct keel_regs *regs, uint64_t next_rip)
{
	uint64_t state = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	regs->rip = next_rip;
	if (state & SHADOW_INSTRUCTION)
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, state & ~(uint64_t)SHADOW_INSTRUCTION);
}

/* The rare part of vmx_advance(): RF ends with the instruction, and a single step's trap comes behind it. */
void vmx_end_instruction(struct keel_regs *regs, uint64_t rflags);

/* The instruction is done: its shadow ends, and a trap that follows it is taken. */
static inline void vmx_advance(struct keel_regs *regs, uint64_t next_rip)
{
	uint64_t rflags = vmread(VMCS_GUEST_RFLAGS);

	vmx_skip(regs, next_rip);
	if (rflags & (RFLAGS_TF | RFLAGS_RF))
		vmx_end_instruction(regs, rflags);
}

/* A trap is taken first thing at the next entry, which may not inject anything then: that would do away with it (27.7.3). */
static inline bool vmx_trap_pending(void)
{
	return vmread(VMCS_GUEST_RFLAGS) & RFLAGS_TF && vmread(VMCS_GUEST_PENDING_DEBUG) & PENDING_SINGLE_STEP;
}

enum vmx_entry {			/* enter.asm */
	VMX_ENTRY_FAILED,		/* VMLAUNCH or VMRESUME failed at once, and nothing has changed */
	VMX_ENTRY_EXIT,
	VMX_ENTRY_NMI,			/* an NMI was taken in Keel before, and nothing has changed */
};

/* Unit tests are the guest. */
#ifdef KEEL_HOST_TEST
enum vmx_entry vmx_enter(struct keel_regs *regs, bool launched);
#else
/* Most of Keel's registers are the compiler's to keep: who enters again and again keeps them once. */
static inline enum vmx_entry vmx_enter(struct keel_regs *regs, uint64_t launched)
{
	enum vmx_entry entry;

	__asm__ volatile("call vmx_switch"
			 : "=a"(entry), "+S"(launched)
			 : "D"(regs)
			 : "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory");
	return entry;
}
#endif
extern const uint8_t vmx_exit[];

void vmx_vmxon(uint64_t pa);
void vmx_vmclear(uint64_t pa);
void vmx_vmptrld(uint64_t pa);
void vmx_invept(uint64_t context);
void vmx_invvpid(uint64_t context);
uint64_t vmx_eptp(uint64_t table_root);
/* What the current VMCS's owner has of translations on this CPU. */
void vmx_drop_own(void);
/* Makes the VMCS current and fills in all but the guest's registers. */
void vmx_vmcs_init(const struct vmx_setup *setup);
/* The part of the host's state that differs between CPUs. */
void vmx_host_init(struct cpu *cpu);
void vmx_msr_permit(uint8_t *bitmap, uint32_t msr, bool read, bool write);
void vmx_primary(struct vmx_context *context, uint32_t bits, bool on);

/* vmx_state.c */
struct keel_segment_register vmx_segment(enum keel_segment segment);
/* HV_STATE_SREGS, but for DR6. */
void vmx_set_segments(const struct keel_sregs *sregs);
void vmx_set_control(const struct keel_sregs *sregs);
void vmx_set_debug(const struct keel_sregs *sregs);
/* Table entries of PAE paging, which are part of the VMCS; memory: what holds them. False: not there, or not valid. */
bool vmx_load_pdptes(const struct page_table *memory);
/* The exit of a write of a control register. False: #GP. */
bool vmx_write_cr(struct keel_regs *regs, const struct page_table *memory);

/* vmx_event.c */
void vmx_inject(struct vmx_context *context, uint32_t inject, uint32_t error_code);
/* The event that was being delivered at the exit, in the form of VMCS_IDT_EVENT, goes in again. */
void vmx_requeue(struct vmx_context *context, uint32_t info);
/* After the exit: an IRET that did not complete has ended the blocking of NMIs, which must not be. */
void vmx_block_nmi_again(void);
/* The rare parts of vmx_run(): an NMI is pending, or was while a window was opened for it; an event is to be injected. */
void vmx_deliver_nmi(struct vmx_context *context, bool *pending);
void vmx_write_event(struct vmx_context *context);

/* vmx_exit.c */
void vmx_io_exit(struct hv_exit *exit);
/* Exits that say all by their reason: enum hv_exit_reason, 0 for the others. */
#define VMX_PLAIN_EXITS		(VMX_EXIT_WRMSR_IMMEDIATE + 1)
extern const uint8_t vmx_plain_exits[VMX_PLAIN_EXITS];
/* The others as far as they are the same for all; what is left has HV_EXIT_UNKNOWN. */
void vmx_decode_exit(struct vmx_context *context, struct keel_regs *regs, const struct page_table *memory,
		     uint32_t reason, struct hv_exit *exit);

/*
 * Enters, and decodes the exit so far. An NMI that is pending is injected, or waited for by a window. Returns the exit
 * reason.
 */
static inline uint32_t vmx_run(struct vmx_context *context, struct keel_regs *regs, bool *nmi_pending,
			       const struct page_table *memory, struct hv_exit *exit)
{
	enum vmx_entry entry;
	uint32_t reason;

	vmwrite(VMCS_GUEST_RIP, regs->rip);
	if (*nmi_pending || context->primary & PRIMARY_NMI_WINDOW)
		vmx_deliver_nmi(context, nmi_pending);
	/* Every exit clears the field's valid bit (25.8.3). */
	if (context->event)
		vmx_write_event(context);
	entry = vmx_enter(regs, context->launched);
	if (entry == VMX_ENTRY_NMI) {
		vmwrite(VMCS_ENTRY_EVENT, 0);
		exit->reason = HV_EXIT_NMI;
		return VMX_EXIT_EXCEPTION;
	}
	if (entry == VMX_ENTRY_FAILED) {
		exit->reason = HV_EXIT_ENTRY_FAILED;
		exit->detail = VMX_DETAIL_INSTRUCTION | vmread(VMCS_INSTRUCTION_ERROR);
		return 0;
	}
	exit->detail = reason = (uint32_t)vmread(VMCS_EXIT_REASON);
	context->launched = true;
	context->event = 0;
	regs->rip = vmread(VMCS_GUEST_RIP);
	regs->gpr[KEEL_RSP] = vmread(VMCS_GUEST_RSP);
	exit->cpl = 0;
	if (reason < VMX_PLAIN_EXITS && vmx_plain_exits[reason]) {
		/* Valid where it is an instruction's exit. */
		exit->record->next_rip = regs->rip + vmread(VMCS_EXIT_LENGTH);
		exit->reason = vmx_plain_exits[reason];
	} else {
		vmx_decode_exit(context, regs, memory, reason, exit);
	}
	return reason;
}

/* vmx_control.c */
void vmx_control_bitmap_init(void);
void vmx_control_init(struct cpu *cpu, const struct page_table *table);
void vmx_control_set(struct cpu *cpu, const struct keel_sregs *sregs);
void vmx_control_get(struct cpu *cpu, struct hv_control_state *state);
void vmx_control_advance(struct cpu *cpu, uint64_t next_rip);
void vmx_control_inject(struct cpu *cpu, uint32_t inject, uint32_t error_code);
void vmx_control_inject_nmi(struct cpu *cpu);
void vmx_control_set_cr2(struct cpu *cpu, uint64_t cr2);
void vmx_control_flush(struct cpu *cpu);
void vmx_control_watch_port(uint16_t port);
void vmx_control_hlt(struct cpu *cpu, bool on);
bool vmx_control_rdmsr(struct cpu *cpu, uint32_t msr, uint64_t *value);
void vmx_control_enter(struct cpu *cpu, struct hv_exit *exit);

/* vmx_vcpu.c */
void vmx_vcpu_init(struct vcpu *vcpu);
void vmx_vcpu_load(struct cpu *cpu, struct vcpu *vcpu);
void vmx_vcpu_put(struct cpu *cpu, struct vcpu *vcpu);
void vmx_vcpu_enter(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit);
void vmx_vcpu_advance(struct vcpu *vcpu, uint64_t next_rip);
bool vmx_vcpu_interruptible(struct vcpu *vcpu, bool after_instruction);
bool vmx_vcpu_inject(struct vcpu *vcpu, uint32_t inject, uint32_t error_code);
void vmx_vcpu_window(struct vcpu *vcpu, bool open, unsigned int tpr_threshold);
void vmx_vcpu_set_apic(struct vcpu *vcpu, uint32_t apic);
void vmx_vcpu_state_out(struct vcpu *vcpu, unsigned int parts, struct keel_sregs *sregs);
bool vmx_vcpu_state_in(struct cpu *cpu, struct vcpu *vcpu, unsigned int parts, const struct keel_sregs *sregs);
void vmx_vcpu_tsc_moved(struct vcpu *vcpu);

#endif
