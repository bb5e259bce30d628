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
	HV_EXIT_NONE,		/* dealt with below the seam: enter again */
	HV_EXIT_INTERRUPT,	/* a physical interrupt is pending for the control domain */
	HV_EXIT_NMI,		/* so is an NMI: taken where the processor has no global interrupt flag, else pending still */
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

struct hv_exit {
	enum hv_exit_reason reason;
	uint64_t next_rip;	/* of instruction exits */
	unsigned int cpl;	/* guests */
	uint64_t gpa;		/* MEMORY */
	uint32_t access;	/* MEMORY: KEEL_ACCESS_* */
	uint64_t detail;
	/* IO of the control domain; guests have it in their context's record. */
	uint16_t port;
	uint8_t size;		/* 1, 2, 4 */
	uint8_t io;		/* KEEL_IO_* */
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

/* Fields of a vendor's instance are its whole contract; struct vcpu is in vm.h. */
struct hv_ops {
	const char *name;
	const struct pt_format *second_level;
	/* STGI and CLGI hold all events off in Keel. Without them RFLAGS.IF holds interrupts off, and NMIs come at any time. */
	bool has_gif;

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
	/* Names in the log, on the line that was begun, what is used and not every processor has. After cpu_init. */
	void (*describe)(void);
	/* Switches virtualisation on; cpu->vendor points to zeroed pages. */
	void (*cpu_init)(struct cpu *cpu);

	/* The control domain. */
	void (*control_init)(struct cpu *cpu, uint64_t table_root);
	/* The state from which it starts; the general registers are in cpu->control, RSP and flags are as after INIT. */
	void (*control_set)(struct cpu *cpu, const struct keel_sregs *sregs);
	void (*control_enter)(struct cpu *cpu, struct hv_exit *exit);
	void (*control_get)(struct cpu *cpu, struct hv_control_state *state);
	void (*control_advance)(struct cpu *cpu, uint64_t next_rip);
	void (*control_inject)(struct cpu *cpu, uint32_t inject, uint32_t error_code);
	void (*control_inject_nmi)(struct cpu *cpu);
	void (*control_set_cr2)(struct cpu *cpu, uint64_t cr2);
	/* All that this CPU knows of the control domain's memory is gone before it enters the control domain again. */
	void (*control_flush)(struct cpu *cpu);
	/* Accesses to this I/O port exit, on all CPUs. */
	void (*control_watch_port)(uint16_t port);
	/* Whether HLT exits instead of being executed. */
	void (*control_hlt)(struct cpu *cpu, bool on);
	/* What is said of the control domain's MSRs that belong to one vendor. */
	const struct control_msrs *control_msrs;
	/* MSRs that are not as the processor has them. False: not one of these, or not with this value; the lists decide. */
	bool (*control_rdmsr)(struct cpu *cpu, uint32_t msr, uint64_t *value);
	/* NULL: there are none. */
	bool (*control_wrmsr)(struct cpu *cpu, uint32_t msr, uint64_t value);

	/* Guests. */
	void (*vcpu_init)(struct vcpu *vcpu);
	/* The processor's state changes hands: from the control domain, and back. */
	void (*vcpu_load)(struct cpu *cpu, struct vcpu *vcpu);
	void (*vcpu_put)(struct cpu *cpu, struct vcpu *vcpu);
	/* Enters the guest; for IO, MEMORY, EOI, APIC_WRITE and TASK_SWITCH exits also fills the exit record of the vCPU's context. */
	void (*vcpu_enter)(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit);
	void (*vcpu_advance)(struct vcpu *vcpu, uint64_t next_rip);
	bool (*vcpu_interruptible)(struct vcpu *vcpu, bool after_instruction);
	void (*vcpu_inject)(struct vcpu *vcpu, uint32_t inject, uint32_t error_code);
	/* Exit WINDOW when an interrupt can be taken, or, with a threshold, when CR8 has fallen below it; 0, 0: neither. */
	void (*vcpu_window)(struct vcpu *vcpu, bool open, unsigned int tpr_threshold);
	unsigned int (*vcpu_tpr)(struct vcpu *vcpu);
	void (*vcpu_set_tpr)(struct vcpu *vcpu, unsigned int tpr);
	/* KEEL_APIC_*; only for vCPUs that the processor delivers interrupts to. */
	void (*vcpu_set_apic)(struct vcpu *vcpu, uint32_t apic);
	uint64_t (*vcpu_cr4)(struct vcpu *vcpu);
	void (*vcpu_get_sregs)(struct vcpu *vcpu, struct keel_sregs *sregs);
	bool (*vcpu_set_sregs)(struct cpu *cpu, struct vcpu *vcpu, const struct keel_sregs *sregs);
	void (*vcpu_set_cr2)(struct vcpu *vcpu, uint64_t cr2);
	void (*vcpu_set_tsc_offset)(struct vcpu *vcpu, uint64_t offset);
	/* MSRs of the vendor's that exit; NULL: there are none. */
	bool (*vcpu_rdmsr)(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
	bool (*vcpu_wrmsr)(struct vcpu *vcpu, uint32_t msr, uint64_t value);

	/* What ring 3 needs and an exit has left otherwise; NULL: there is nothing. */
	void (*cell_prepare)(struct cpu *cpu);
};

/* Both instances name their functions after the fields. */
#define HV_OPS(v) \
	.probe = v##_probe, .describe = v##_describe, .cpu_init = v##_cpu_init, .control_init = v##_control_init, \
	.control_set = v##_control_set, .control_enter = v##_control_enter, .control_get = v##_control_get, .control_advance = v##_control_advance, \
	.control_inject = v##_control_inject, .control_inject_nmi = v##_control_inject_nmi, \
	.control_set_cr2 = v##_control_set_cr2, .control_flush = v##_control_flush, .control_watch_port = v##_control_watch_port, \
	.control_hlt = v##_control_hlt, .control_rdmsr = v##_control_rdmsr, .vcpu_init = v##_vcpu_init, .vcpu_load = v##_vcpu_load, \
	.vcpu_put = v##_vcpu_put, .vcpu_enter = v##_vcpu_enter, .vcpu_advance = v##_vcpu_advance, \
	.vcpu_interruptible = v##_vcpu_interruptible, .vcpu_inject = v##_vcpu_inject, \
	.vcpu_window = v##_vcpu_window, .vcpu_tpr = v##_vcpu_tpr, \
	.vcpu_set_tpr = v##_vcpu_set_tpr, .vcpu_cr4 = v##_vcpu_cr4, .vcpu_get_sregs = v##_vcpu_get_sregs, \
	.vcpu_set_sregs = v##_vcpu_set_sregs, .vcpu_set_cr2 = v##_vcpu_set_cr2, \
	.vcpu_set_tsc_offset = v##_vcpu_set_tsc_offset

/* Those of the vendor's second file, by the types of the fields. */
#define HV_FUNCTION(v, name) extern __typeof__(*((const struct hv_ops *)0)->name) v##_##name
#define HV_VCPU_FUNCTIONS(v) \
	HV_FUNCTION(v, vcpu_init); HV_FUNCTION(v, vcpu_load); HV_FUNCTION(v, vcpu_put); HV_FUNCTION(v, vcpu_enter); \
	HV_FUNCTION(v, vcpu_advance); HV_FUNCTION(v, vcpu_interruptible); HV_FUNCTION(v, vcpu_inject); \
	HV_FUNCTION(v, vcpu_window); HV_FUNCTION(v, vcpu_tpr); HV_FUNCTION(v, vcpu_set_tpr); HV_FUNCTION(v, vcpu_cr4); \
	HV_FUNCTION(v, vcpu_set_cr2); HV_FUNCTION(v, vcpu_get_sregs); HV_FUNCTION(v, vcpu_set_sregs); \
	HV_FUNCTION(v, vcpu_set_tsc_offset)

extern const struct hv_ops svm_ops;
extern const struct hv_ops vmx_ops;
extern const struct hv_ops *hv;

/* At boot. NULL, or one line that says what this processor lacks and what to do. */
const char *hv_choose(void);

#endif
