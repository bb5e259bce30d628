/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Exits that are answered where they come up, below the seam, so that the guest is entered again at once: what the instruction
 * gives depends on nothing but what Keel keeps of the vCPU.
 */
#ifndef ARCH_ANSWER_H
#define ARCH_ANSWER_H

#include "cpuid.h"
#include "msr.h"
#include "vcpu.h"

static inline void answer_cpuid(struct vcpu *vcpu, struct keel_regs *regs)
{
	struct cpuid r = cpuid_guest(vcpu, (uint32_t)regs->gpr[KEEL_RAX], (uint32_t)regs->gpr[KEEL_RCX]);

	regs->gpr[KEEL_RAX] = r.eax;
	regs->gpr[KEEL_RBX] = r.ebx;
	regs->gpr[KEEL_RCX] = r.ecx;
	regs->gpr[KEEL_RDX] = r.edx;
}

/* Of ring 0. False: it is the cell's, or #GP. */
static inline bool answer_rdmsr(struct vcpu *vcpu, struct keel_regs *regs)
{
	uint32_t msr = (uint32_t)regs->gpr[KEEL_RCX];
	uint64_t value;

	if (msr_is_cells(msr) || !msr_guest_read(vcpu, msr, &value))
		return false;
	regs->gpr[KEEL_RAX] = (uint32_t)value;
	regs->gpr[KEEL_RDX] = value >> 32;
	return true;
}

#endif
