/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by the files of the SVM side. */
#ifndef SVM_SVM_H
#define SVM_SVM_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/macros.h>

#include "cpu.h"
#include "hv.h"
#include "percpu.h"
#include "vcpu.h"
#include "vmcb.h"

#define SVM_MSRPM_BYTES	8192u
#define SVM_IOPM_BYTES	12288u
#define SVM_CONTROL_ASID	1u		/* guests have those that follow */

struct svm_features {
	uint32_t asids;		/* 0: not known yet */
	bool nrips;
	bool decode;
	bool flush_asid;
	bool pause;
	bool xsaves;
};
extern struct svm_features svm_features;

extern uint8_t svm_guest_msrpm[SVM_MSRPM_BYTES];
extern uint8_t svm_guest_iopm[SVM_IOPM_BYTES];

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

/* What SVM keeps of a vCPU. */
struct vcpu_svm {
	struct vcpu vcpu;		/* first: the block begins with it */
	struct vmcb *vmcb;
	uint64_t vmcb_pa;
	uint64_t asid_generation;
	uint64_t cr4;			/* what the guest may set in it */
	struct svm_nmi nmi;
	bool window;			/* the cell waits for a window or for CR8 to fall */
	bool window_later;		/* the cell wants a window behind the interrupt at hand */
};

static inline struct vcpu_svm *svm_of(struct vcpu *vcpu)
{
	return container_of(vcpu, struct vcpu_svm, vcpu);
}

/* First of the CPU's vendor pages; the others: host save area, control domain's VMCB, image of Keel's own VMSAVE state. */
struct svm_cpu {
	uint64_t hsave_pa;
	uint64_t control_pa;
	uint64_t host_pa;
	struct vmcb *control;
	uint64_t asid_generation;
	uint32_t next_asid;
	/* The control domain's while a guest runs; 0: nothing to restore. */
	uint64_t debugctl;
	uint64_t xss;
	struct svm_nmi nmi;	/* the control domain's */
	bool nmi_pending;
	uint8_t again;		/* an interrupt that is to be raised again for the control domain, or 0 */
};

/*
 * Where guests run, QEMU's local APIC now and then has a request of which its processor knows nothing, so that a halted
 * control domain sleeps on. A write of the priority makes it tell.
 */
static inline void svm_remind(void)
{
	if (!svm_features.nrips)
		write_cr8(read_cr8());
}

/* The instruction's end: as the processor says, else its fixed length. */
static inline uint64_t svm_next_rip(const struct vmcb *vmcb, unsigned int length)
{
	return svm_features.nrips && vmcb->next_rip ? vmcb->next_rip : vmcb->rip + length;
}

/* Unit tests are the guest. */
#ifdef KEEL_HOST_TEST
void svm_enter(struct keel_regs *regs, uint64_t vmcb_pa, uint64_t host_pa, uint64_t shadow);
#else
/* Most of Keel's registers are the compiler's to keep: who enters again and again keeps them once. */
static inline void svm_enter(struct keel_regs *regs, uint64_t vmcb_pa, uint64_t host_pa, uint64_t shadow)
{
	__asm__ volatile("call svm_switch"
			 : "+S"(vmcb_pa), "+d"(host_pa), "+c"(shadow)
			 : "D"(regs)
			 : "rax", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory");
}
#endif
void svm_intercept(struct vmcb *vmcb, unsigned int bit, bool on);
void svm_msr_permit(uint8_t *msrpm, uint32_t msr, bool read, bool write);
/* HV_STATE_SREGS; EFER.SVME is Keel's. */
void svm_set_segments(struct vmcb *vmcb, const struct keel_sregs *sregs);
void svm_set_control(struct vmcb *vmcb, const struct keel_sregs *sregs);
void svm_set_debug(struct vmcb *vmcb, const struct keel_sregs *sregs);

/* svm_exit.c */
void svm_plain_exit(const struct vmcb *vmcb, struct hv_exit *exit);

static inline void svm_memory_exit(const struct vmcb *vmcb, struct hv_exit *exit)
{
	uint64_t info = vmcb->exit_info1;

	exit->reason = HV_EXIT_MEMORY;
	exit->record->gpa = vmcb->exit_info2;
	exit->record->access = (uint8_t)((info & SVM_NPF_WRITE ? KEEL_ACCESS_WRITE : 0) |
					 (info & SVM_NPF_FETCH ? KEEL_ACCESS_FETCH : 0) |
					 (info & SVM_NPF_WALK ? KEEL_ACCESS_WALK : 0));
}

static inline void svm_io_exit(const struct vmcb *vmcb, struct hv_exit *exit)
{
	struct keel_exit *record = exit->record;
	uint32_t info = (uint32_t)vmcb->exit_info1;

	exit->reason = HV_EXIT_IO;
	record->next_rip = vmcb->exit_info2;
	record->port = (uint16_t)(info >> SVM_IO_PORT_SHIFT);
	record->size = (uint8_t)((info & SVM_IO_SIZE) >> SVM_IO_SIZE_SHIFT);
	record->io = (uint8_t)((info & SVM_IO_IN ? KEEL_IO_IN : 0) | (info & SVM_IO_STRING ? KEEL_IO_STRING : 0) |
			       (info & SVM_IO_REP ? KEEL_IO_REP : 0));
}

/* svm_event.c */
/* KEEL_INJECT_EXCEPTION in the VMCB's form. */
uint64_t svm_exception(uint32_t inject, uint32_t error_code);
void svm_inject(struct vmcb *vmcb, uint32_t inject, uint32_t error_code);
void svm_requeue(struct vmcb *vmcb);
/* An interrupt that is taken as soon as the VMCB's owner takes one. */
void svm_request(struct vmcb *vmcb, uint64_t vector);
void svm_single_step_trap(struct vmcb *vmcb);
/* Before an entry, with RIP and RFLAGS in the VMCB: an NMI that is pending goes in, or the IRET that it waits for is executed. */
void svm_nmi_enter(struct vmcb *vmcb, struct svm_nmi *nmi, bool *pending);
bool svm_nmi_end(struct vmcb *vmcb, struct svm_nmi *nmi);

/* After it. True: that is what the exit was for. */
static inline bool svm_nmi_exit(struct vmcb *vmcb, struct svm_nmi *nmi)
{
	return (nmi->step || vmcb->exit_code == SVM_EXIT_IRET) && svm_nmi_end(vmcb, nmi);
}

/* The instruction is done: its shadow ends, and a trap that follows it is taken. rflags: the owner's, where they are kept. */
static inline void svm_advance(struct vmcb *vmcb, uint64_t *rflags)
{
	vmcb->shadow &= ~SVM_SHADOW;
	*rflags &= ~RFLAGS_RF;
	if (*rflags & RFLAGS_TF)
		svm_single_step_trap(vmcb);
}

/* svm_control.c */
void svm_control_bitmap_init(void);
void svm_control_init(struct cpu *cpu, const struct page_table *table);
void svm_control_set(struct cpu *cpu, const struct keel_sregs *sregs);
void svm_control_get(struct cpu *cpu, struct hv_control_state *state);
void svm_control_advance(struct cpu *cpu, uint64_t next_rip);
void svm_control_inject(struct cpu *cpu, uint32_t inject, uint32_t error_code);
void svm_control_inject_nmi(struct cpu *cpu);
void svm_control_set_cr2(struct cpu *cpu, uint64_t cr2);
void svm_control_flush(struct cpu *cpu);
void svm_control_watch_port(uint16_t port);
void svm_control_hlt(struct cpu *cpu, bool on);
bool svm_control_rdmsr(struct cpu *cpu, uint32_t msr, uint64_t *value);
bool svm_control_wrmsr(struct cpu *cpu, uint32_t msr, uint64_t value);
void svm_control_enter(struct cpu *cpu, struct hv_exit *exit);

/* svm_vcpu.c */
void svm_vcpu_init(struct vcpu *vcpu);
void svm_vcpu_load(struct cpu *cpu, struct vcpu *vcpu);
void svm_vcpu_put(struct cpu *cpu, struct vcpu *vcpu);
void svm_vcpu_enter(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit);
void svm_vcpu_advance(struct vcpu *vcpu, uint64_t next_rip);
bool svm_vcpu_interruptible(struct vcpu *vcpu, bool after_instruction);
bool svm_vcpu_inject(struct vcpu *vcpu, uint32_t inject, uint32_t error_code);
void svm_vcpu_window(struct vcpu *vcpu, bool open, unsigned int tpr_threshold);
void svm_vcpu_state_out(struct vcpu *vcpu, unsigned int parts, struct keel_sregs *sregs);
bool svm_vcpu_state_in(struct cpu *cpu, struct vcpu *vcpu, unsigned int parts, const struct keel_sregs *sregs);
void svm_vcpu_tsc_moved(struct vcpu *vcpu);
bool svm_vcpu_rdmsr(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool svm_vcpu_wrmsr(struct vcpu *vcpu, uint32_t msr, uint64_t value);

#endif
