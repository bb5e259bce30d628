/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The seam between Keel and the processor's virtualisation: AMD SVM or Intel VMX. One instance is chosen at
 * boot; nothing above knows which. All functions run with physical interrupts and NMIs held off.
 */
#ifndef ARCH_HV_H
#define ARCH_HV_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/cell.h>
#include <x86/msr.h>

#include "pagetable.h"

struct control_msrs;
struct cpu;
struct vcpu;

enum hv_exit_reason {
	HV_EXIT_NONE,		/* dealt with below the seam, or before the cell: go on */
	HV_EXIT_CELL,		/* the cell has been entered for it and left: by an answer that asks for more, or by none */
	HV_EXIT_INTERRUPT,	/* a physical interrupt is pending for the control domain */
	HV_EXIT_NMI,		/* so is an NMI: taken where Keel does not hold it off, else pending still */
	HV_EXIT_MACHINE_CHECK,
	HV_EXIT_CPUID,
	HV_EXIT_RDMSR,
	HV_EXIT_WRMSR,
	HV_EXIT_XSETBV,
	HV_EXIT_HYPERCALL,
	HV_EXIT_IO,
	HV_EXIT_MEMORY,		/* second-level fault */
	HV_EXIT_HLT,
	HV_EXIT_PAUSE,
	HV_EXIT_WINDOW,
	HV_EXIT_TPR,
	HV_EXIT_EOI,		/* of a vector whose end the cell wants to see */
	HV_EXIT_APIC_WRITE,	/* the value is in the APIC page */
	HV_EXIT_CR8_WRITE,	/* a MOV to CR8 that has not been executed */
	HV_EXIT_TASK_SWITCH,	/* likewise; next_rip: where the old task goes on */
	HV_EXIT_INIT,		/* from hardware, which has had its effect on nothing yet */
	HV_EXIT_UNDEFINED,	/* an instruction that does not exist here: #UD */
	HV_EXIT_TRIPLE_FAULT,
	HV_EXIT_ENTRY_FAILED,	/* detail = vendor's code */
	HV_EXIT_UNKNOWN,	/* detail = vendor's code */
};

/*
 * What Keel goes by, and the one record of what the exit was. A guest's record is in its context's page, where its cell finds
 * it and may write at any time: nothing in it is worth more than the guest itself. Before enter the caller sets record.
 */
struct hv_exit {
	enum hv_exit_reason reason;
	unsigned int cpl;	/* guests */
	uint64_t detail;
	/*
	 * next_rip of instruction exits; port, size and io of IO, gpa and access of MEMORY. Guests: also tpr, always, and what
	 * else cell.h has of an exit.
	 */
	struct keel_exit *record;
};

/* Parts of struct keel_sregs, for state_out and state_in. */
enum hv_state {
	HV_STATE_SEGMENTS	= 1u << 0,	/* and GDT, IDT */
	HV_STATE_CONTROL	= 1u << 1,	/* CR0, CR3, CR4, EFER, CPL */
	HV_STATE_CR2		= 1u << 2,
	HV_STATE_DEBUG		= 1u << 3,	/* DR6, DR7 */
	HV_STATE_SREGS		= HV_STATE_SEGMENTS | HV_STATE_CONTROL | HV_STATE_CR2 | HV_STATE_DEBUG,
	HV_STATE_EVENTS		= 1u << 4,	/* nmi_blocked, pending_debug, shadow, event, held */
	HV_STATE_MSRS		= 1u << 5,	/* star to pat */
	HV_STATE_PDPTES		= 1u << 6,	/* in, without this: what memory has, where the processor keeps them */
	HV_STATE_TPR		= 1u << 7,
	HV_STATE_ALL		= HV_STATE_SREGS | HV_STATE_EVENTS | HV_STATE_MSRS | HV_STATE_PDPTES | HV_STATE_TPR,
};

/* State of the control domain that exits need. */
struct hv_control_state {
	uint64_t cr3;
	uint64_t cr4;
	uint64_t efer;
	uint64_t rflags;
	unsigned int cpl;
};

/* MSRs that every guest has for itself, beyond those that belong to one vendor: SYSENTER, STAR and on, FS, GS, kernel GS base. */
#define HV_GUEST_MSRS \
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, \
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, \
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE

/* The processor and its tables. */
struct hv_cpu_ops {
	/* Whether second-level tables have leaves of 1 GiB; NULL: if Keel's own tables have. */
	bool (*has_1g)(void);
	/* Whether CPUs mark the second-level leaves through which something was written; NULL: they do. */
	bool (*has_dirty)(void);
	/* The memory type of an aligned block in the control domain's table; NULL: the processor sees to it itself. */
	enum pt_caching (*caching)(uint64_t hpa, uint64_t bytes);

	/* NULL if this CPU and its firmware allow virtualisation, else one line that says what is missing and what to do. */
	const char *(*probe)(void);
	/* Makes the instructions usable that trap_patch() puts in; on each CPU before its traps can be taken. NULL: none. */
	void (*enable)(void);
	/* Names in the log, on the line that was begun, what is used and not every processor has. After init. */
	void (*describe)(void);
	/* Switches virtualisation on; cpu->vendor points to zeroed pages. */
	void (*init)(struct cpu *cpu);
	/* What ring 3 needs and an exit has left otherwise; NULL: there is nothing. */
	void (*cell_prepare)(struct cpu *cpu);
};

/* The control domain on this CPU. */
struct hv_control_ops {
	/* table: the second level, which stays there. */
	void (*init)(struct cpu *cpu, const struct page_table *table);
	/* The state from which it starts; the general registers are in cpu->control, RSP and flags are as after INIT. */
	void (*set)(struct cpu *cpu, const struct keel_sregs *sregs);
	void (*get)(struct cpu *cpu, struct hv_control_state *state);
	void (*advance)(struct cpu *cpu, uint64_t next_rip);
	void (*inject)(struct cpu *cpu, uint32_t inject, uint32_t error_code);
	void (*inject_nmi)(struct cpu *cpu);
	void (*set_cr2)(struct cpu *cpu, uint64_t cr2);
	/* All that this CPU knows of the control domain's memory is gone before it enters the control domain again. */
	void (*flush)(struct cpu *cpu);
	/* Accesses to this I/O port exit, on all CPUs. */
	void (*watch_port)(uint16_t port);
	/* Whether HLT exits instead of being executed. */
	void (*hlt)(struct cpu *cpu, bool on);
	/* What is said of its MSRs that belong to one vendor. */
	const struct control_msrs *msrs;
	/* MSRs that are not as the processor has them. False: not one of these, or not with this value; the lists decide. */
	bool (*rdmsr)(struct cpu *cpu, uint32_t msr, uint64_t *value);
	/* NULL: there are none. */
	bool (*wrmsr)(struct cpu *cpu, uint32_t msr, uint64_t value);
	void (*enter)(struct cpu *cpu, struct hv_exit *exit);
};

/*
 * Guests; struct vcpu is in vcpu.h. Between load and put on one CPU, but for init and tsc_moved, which are called
 * outside, too.
 */
struct hv_vcpu_ops {
	void (*init)(struct vcpu *vcpu);
	/* The processor's state changes hands: from the control domain, and back. */
	void (*load)(struct cpu *cpu, struct vcpu *vcpu);
	void (*put)(struct cpu *cpu, struct vcpu *vcpu);
	/*
	 * Answers CPUID, and RDMSR of what Keel keeps, has the cell answer IO, MEMORY and the MSRs that are its own, and enters
	 * again, until vcpu_is_due(): these exits are not told.
	 */
	void (*enter)(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit);
	void (*advance)(struct vcpu *vcpu, uint64_t next_rip);
	bool (*interruptible)(struct vcpu *vcpu, bool after_instruction);
	/* False: an exception that shuts the processor down. */
	bool (*inject)(struct vcpu *vcpu, uint32_t inject, uint32_t error_code);
	/* Exit WINDOW when an interrupt can be taken, or, with a threshold, when CR8 has fallen below it; 0, 0: neither. */
	void (*window)(struct vcpu *vcpu, bool open, unsigned int tpr_threshold);
	/* KEEL_APIC_*; only for vCPUs that the processor delivers interrupts to, else NULL. */
	void (*set_apic)(struct vcpu *vcpu, uint32_t apic);
	/* One masked transfer, parts: HV_STATE_*. In: of values that guest_state.h has found good, in memory of Keel's own. */
	void (*state_out)(struct vcpu *vcpu, unsigned int parts, struct keel_sregs *sregs);
	/* False: there are no valid entries of PAE paging where CR3 says. With CONTROL all translations go. */
	bool (*state_in)(struct cpu *cpu, struct vcpu *vcpu, unsigned int parts, const struct keel_sregs *sregs);
	/* vcpu->tsc_offset is new. */
	void (*tsc_moved)(struct vcpu *vcpu);
	/* MSRs of the vendor's that exit; NULL: there are none. */
	bool (*rdmsr)(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
	bool (*wrmsr)(struct vcpu *vcpu, uint32_t msr, uint64_t value);
};

/* A vendor's instance is its whole contract. The tables are in it by value: a call costs one load. */
struct hv_ops {
	const char *name;
	const struct pt_format *second_level;
	/*
	 * In Keel all events are held off, and stay pending: by STGI and CLGI, which trap_patch() puts in. INIT comes as #SX
	 * then. Else RFLAGS.IF holds interrupts off, and NMIs come at any time.
	 */
	bool holds_nmis;
	struct hv_cpu_ops cpu;
	struct hv_control_ops control;
	struct hv_vcpu_ops vcpu;
};

extern const struct hv_ops svm_ops;
extern const struct hv_ops vmx_ops;
extern const struct hv_ops *hv;

/* At boot. NULL, or one line that says what this processor lacks and what to do. */
const char *hv_choose(void);

#endif
