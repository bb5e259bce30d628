/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest's processor, and its stay on one of the machine's: guest, Keel, cell, until the control domain is needed. A
 * vCPU belongs to the CPU that runs it, but for what other CPUs may set at any time: poll and last_cpu.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include "cell.h"
#include "cpu.h"

/* At the start of the vCPU's block, whose first page it shares with what the vendor's side keeps behind it. */
struct vcpu {
	struct cell_context cell;	/* first: cell.c goes from one to the other */
	struct vm *vm;
	unsigned int index;
	uint32_t poll;			/* the cell wants to see this vCPU before it enters the guest */
	uint64_t deadline;		/* host TSC */
	uint64_t due;			/* host TSC: the deadline, or the end of the stay on this CPU if that comes first */
	uint64_t armed;			/* the deadline that the driver has a timer for */
	uint64_t tsc_offset;
	uint64_t tsc_adjust;		/* what the guest has added to its TSC */
	uint64_t xcr0;
	void *xstate;
	uint32_t exit_flags;		/* KEEL_EXIT_F_APIC: the processor works with the APIC page */
	bool apic_off;			/* the local APIC is switched off in IA32_APIC_BASE, which is the cell's */
	bool debug_registers;		/* the guest uses DR0-3 */
	bool window;			/* the cell's last answer asked for one, or for a threshold */
	bool exit_completes;		/* the exit at hand ends its instruction */
	bool vectors_given;		/* the exit at hand is before the cell with the vector registers */
	bool state_moves;		/* it is a POLL for which the cell has not asked for, or given, the vCPU's state yet */
	bool nmi_pending;		/* deliver one as soon as the guest can take it */
	uint64_t dr[4];
	uint64_t tsc_aux;
	uint64_t misc[64];		/* MSRs that are storage; index by msr.c */
	bool cpuid_limited;		/* IA32_MISC_ENABLE: no basic leaves of CPUID above 2 */
	struct keel_state state;	/* Keel's own copy of what comes in or goes out */
	struct cpu *last_cpu;		/* NULL, which any CPU may set: no translation of guest memory may be used again */
};

/* Pages of a vCPU's block. */
#define VCPU_PAGE_CONTEXT	1u
#define VCPU_PAGE_VENDOR	2u	/* the virtualisation side's */
#define VCPU_PAGE_XSTATE	3u
#define VCPU_XSTATE_PAGES	3u
#define VCPU_PAGE_APIC		6u	/* the cell's too; the processor's where it delivers interrupts */
#define VCPU_PAGE_APIC_ACCESS	7u	/* of vCPU 0: what guests have at KEEL_APIC_BASE where the processor stands in for it */

/* Results of RUN and EVENT beside the flags. */
struct vm_run {
	uint64_t deadline;
	uint64_t kick;
};

/* armed: the deadline that the driver has a timer for, UINT64_MAX: none. */
int vcpu_run(struct cpu *cpu, struct vm *vm, uint64_t index, uint64_t armed, struct vm_run *result);
int vcpu_run_event(struct cpu *cpu, struct vm *vm, struct vm_run *result);

/*
 * Whether anybody but the guest has a use for this CPU now: asked between an exit that is answered at once and the next entry.
 * An end of the VM is not looked for here: it is found at the end of the stay, or when the control domain kicks the vCPU.
 */
static inline bool vcpu_is_due(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->poll, __ATOMIC_RELAXED) || rdtsc() >= vcpu->due;
}

#endif
