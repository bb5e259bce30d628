/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by the files of the SVM side. */
#ifndef SVM_SVM_H
#define SVM_SVM_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"
#include "hv.h"
#include "percpu.h"
#include "vm.h"
#include "vmcb.h"

#define SVM_MSRPM_BYTES	8192u
#define SVM_IOPM_BYTES	12288u

struct svm_features {
	uint32_t asids;		/* 0: not known yet */
	bool nrips, decode, flush_asid, pause, xsaves;
};
extern struct svm_features svm_features;

extern uint8_t svm_guest_msrpm[SVM_MSRPM_BYTES];
extern uint8_t svm_guest_iopm[SVM_IOPM_BYTES];

/* First of the CPU's vendor pages; the others: host save area, control domain's VMCB, image of Keel's own VMSAVE state. */
struct svm_cpu {
	uint64_t hsave_pa, control_pa, host_pa;
	struct vmcb *control;
	uint64_t asid_generation;
	uint32_t next_asid;
	uint64_t debugctl, xss;	/* the control domain's while a guest runs; 0: nothing to restore */
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

void svm_enter(struct keel_regs *regs, uint64_t vmcb_pa, uint64_t host_pa, uint64_t shadow);
void svm_intercept(struct vmcb *vmcb, unsigned int bit, bool on);
void svm_msr_permit(uint8_t *msrpm, uint32_t msr, bool read, bool write);
/* All but EFER and the CPL. */
void svm_set_sregs(struct vmcb *vmcb, const struct keel_sregs *sregs);
void svm_inject(struct vmcb *vmcb, uint32_t inject, uint32_t error_code);
void svm_requeue(struct vmcb *vmcb);
void svm_memory_exit(const struct vmcb *vmcb, struct hv_exit *exit);
void svm_io_exit(const struct vmcb *vmcb, struct hv_exit *exit);
void svm_plain_exit(const struct vmcb *vmcb, struct hv_exit *exit);

/* svm_vcpu.c */
HV_VCPU_FUNCTIONS(svm);
bool svm_vcpu_rdmsr(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool svm_vcpu_wrmsr(struct vcpu *vcpu, uint32_t msr, uint64_t value);

#endif
