/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Virtual machines: what Keel knows of a guest. Made and taken down by hypercalls under vm_lock; run by
 * vcpu.c on any CPU. Frames belong to own.c.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/abi.h>
#include <keel/cell.h>
#include <keel/hypercall.h>
#include <keel/topology.h>

#include "cell_frame.h"
#include "pagetable.h"
#include "spinlock.h"

enum vm_state {
	VM_FREE,
	VM_CREATED,	/* the record is donated */
	VM_BUILDING,	/* the record is in use */
	VM_STARTED,
	VM_KILLED,
};

struct vm;

/* One way into the cell: a vCPU's, or the event context. */
struct cell_context {
	struct vm *vm;
	struct keel_context *page;
	unsigned int number;
	uint32_t running;		/* a CPU is at it */
	bool inside;			/* the cell was entered and has not answered yet */
	bool pending;			/* the page holds an exit for the cell */
	struct cell_frame frame;
};

/* NMIs of a VMCB's owner: SVM's processor does not hold back those that are injected. */
struct svm_nmi {
	bool blocked;			/* one was delivered, and no IRET has been executed since */
	bool iret;			/* that IRET is next */
	bool step;			/* it is being executed, by itself; what it is done with and undone after: */
	uint32_t exceptions;
	uint64_t rip;
	uint64_t rflags;
	uint64_t dr6;
};

struct vcpu_svm {
	struct vmcb *vmcb;
	uint64_t vmcb_pa;
	uint64_t asid_generation;
	struct svm_nmi nmi;
	bool window;			/* the cell waits for a window or for CR8 to fall */
	bool window_later;		/* the cell wants a window behind the interrupt at hand */
};

/* What the owner of a VMCS keeps of it outside. */
struct vmx_context {
	uint64_t vmcs_pa;
	/* For the next entry. */
	uint32_t event;
	uint32_t error_code;
	uint32_t primary;		/* controls as they are in the VMCS */
	bool launched;
};

#define VCPU_VMX_MSRS	5u		/* of SYSCALL and SWAPGS */

struct vcpu_vmx {
	struct vmx_context context;
	uint8_t *apic;			/* virtual-APIC page */
	struct cpu *host;		/* whose host state the VMCS holds */
	uint64_t seen[4];		/* CPUs that have dropped what they knew of the VM's table since last_cpu was NULL; bit mask */
	uint64_t msr[VCPU_VMX_MSRS];
	uint64_t cr2;
	uint64_t dr6;
	uint32_t tpr_threshold;
	uint32_t held;			/* an interrupt in whose delivery an exception came up: it goes in when the guest takes one */
	bool window;			/* the cell waits for one */
	bool tsc_offset_new;
	bool split_locks;		/* are let pass until the run ends, against the control domain's wish */
};

/* First page of the vCPU's block. */
struct vcpu {
	struct cell_context cell;	/* first: cell.c goes from one to the other */
	struct vm *vm;
	unsigned int index;
	uint32_t poll;			/* the cell wants to see this vCPU before it enters the guest */
	uint64_t deadline;		/* host TSC */
	uint64_t armed;			/* the deadline that the driver has a timer for */
	uint64_t tsc_offset;
	uint64_t tsc_adjust;		/* what the guest has added to its TSC */
	uint64_t xcr0;
	void *xstate;
	uint32_t exit_flags;		/* KEEL_EXIT_F_APIC: the processor works with the APIC page */
	bool apic_off;			/* the local APIC is switched off in IA32_APIC_BASE, which is the cell's */
	bool debug_registers;		/* the guest uses DR0-3 */
	bool exit_completes;		/* the exit at hand ends its instruction */
	bool vectors_given;		/* the exit at hand is before the cell with the vector registers */
	bool nmi_pending;		/* deliver one as soon as the guest can take it */
	uint64_t dr[4];
	uint64_t tsc_aux;
	uint64_t misc[64];		/* MSRs that are storage; index by msr.c */
	bool cpuid_limited;		/* IA32_MISC_ENABLE: no basic leaves of CPUID above 2 */
	struct cpu *last_cpu;		/* NULL, which any CPU may set: no translation of guest memory may be used again */
	union {
		struct vcpu_svm svm;
		struct vcpu_vmx vmx;
	};
};

/* Pages of a vCPU's block. */
#define VCPU_PAGE_CONTEXT	1u
#define VCPU_PAGE_VMCB		2u	/* or VMCS */
#define VCPU_PAGE_XSTATE	3u
#define VCPU_XSTATE_PAGES	3u
#define VCPU_PAGE_APIC		6u	/* the cell's too; VMX: virtual-APIC page */
#define VCPU_PAGE_APIC_ACCESS	7u	/* of vCPU 0: what guests have at KEEL_APIC_BASE where the processor stands in for it */

struct vm {
	enum vm_state state;
	uint32_t running;		/* contexts that are in RUN or EVENT */
	/* All that follows starts from zero. */
	uint32_t cell_owner;		/* context number + 1 of the one in the cell, 0: none */
	unsigned int id;
	uint64_t record;		/* physical address */
	uint64_t donated;		/* number of the newest donation */
	struct page_table cell_table;	/* host address space of the VM */
	struct page_table guest_table;	/* second level */
	struct frame_pool tables;
	unsigned int vcpu_count;
	unsigned int vcpus_made;
	struct keel_topology topology;
	uint32_t tsc_khz;		/* since the start */
	unsigned int channel_pages;
	unsigned int channel_mapped;
	unsigned int cell_pages;
	uint64_t apic_plain[4];	/* VMX: CPUs that may know the page at KEEL_APIC_BASE as memory; bit mask */
	struct cell_context event;
	struct vcpu *vcpu[KEEL_MAX_VCPUS];
	bool orphan;			/* its kernel is gone: frames go back without being asked for one by one */
	uint32_t ending;		/* somebody is writing the reason */
	uint32_t end;			/* enum keel_end */
	uint64_t end_detail;
	uint64_t end_address;
};

extern struct spinlock vm_lock;

void vm_init(void);
/* NULL: no such VM. */
struct vm *vm_get(uint64_t id);
/* The first reason stays. */
void vm_end(struct vm *vm, enum keel_end end, uint64_t detail, uint64_t address);

int vm_create(uint64_t hpa, uint64_t vcpus, uint64_t channel_pages, uint64_t topology);
int vm_donate(struct vm *vm, uint64_t hpa, uint64_t order);
int vm_assign(struct vm *vm, uint64_t hpa, uint64_t order, uint64_t use, uint64_t arg);
int vm_map(struct vm *vm, uint64_t hpa, uint64_t order, uint64_t gpa, uint64_t flags);
int vm_share(struct vm *vm, uint64_t hpa, uint64_t order, uint64_t index);
int vm_start(struct vm *vm, uint64_t tsc_khz);
int vm_take_dirty(struct vm *vm, uint64_t gpa, uint64_t flags, uint64_t bits[4]);
int vm_kill(struct vm *vm);
int vm_reclaim(struct vm *vm, uint64_t hpa, uint64_t order);
/* What there is of VMs ends, for their kernel is gone. False: there were none. */
bool vm_disown(void);
/* The block of such a VM that has this frame, or any block of theirs, is scrubbed and given back. False: there is none. */
bool vm_take_back(uint64_t hpa);
bool vm_take_back_next(void);
/* The machine is about to be reset: all VMs end. False: there are none. */
bool vm_end_all(void);
/* Clears all memory of VMs, and nothing else. Nothing may run any more. */
void vm_scrub_all(void);
unsigned int vm_free_slots(void);
unsigned int vm_cell_image_pages(void);
/* Number of the newest donation of all. */
uint64_t vm_donations(void);
/* What devices were refused goes to the log. */
void vm_tell_faults(void);

/* Results of RUN and EVENT beside the flags. */
struct vm_run {
	uint64_t deadline;
	uint64_t kick;
};

struct cpu;
/* armed: the deadline that the driver has a timer for, UINT64_MAX: none. */
int vcpu_run(struct cpu *cpu, struct vm *vm, uint64_t index, uint64_t armed, struct vm_run *result);
int vm_event(struct cpu *cpu, struct vm *vm, struct vm_run *result);

/* All but the first are also what RUN says then. */
enum cell_result {
	CELL_ANSWERED		= 0,
	CELL_BUSY		= KEEL_RUN_BUSY,
	CELL_INTERRUPTED	= KEEL_RUN_INTERRUPT,
	CELL_ENDED		= KEEL_RUN_ENDED,
};

/* Lets the cell see to its context's page. */
enum cell_result cell_call(struct cpu *cpu, struct cell_context *context);

/* The virtual CPUID and MSRs of guests. False: #GP. */
struct cpuid cpuid_guest(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf);
/* XCR0 bits that guests may set. */
uint64_t cpuid_guest_xcr0(void);
/* Whether TSC_AUX exists, by RDTSCP or RDPID. */
bool cpuid_guest_tsc_aux(void);
void cpuid_init(void);
/* IA32_MISC_ENABLE says that CPUID has no leaves above 2. */
bool msr_guest_limits_cpuid(const struct vcpu *vcpu);
bool msr_guest_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool msr_guest_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);

#endif
