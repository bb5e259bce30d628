/* SPDX-License-Identifier: GPL-2.0 */
/* MSRs of guests whose accesses exit, but for those that are the cell's. */
#ifndef ARCH_MSR_H
#define ARCH_MSR_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/cell.h>
#include <x86/msr.h>

struct vcpu;

/* Whether it is the device model's. */
static inline bool msr_is_cells(uint32_t msr)
{
	return (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST) || msr == MSR_TSC_DEADLINE ||
	       msr == MSR_APIC_BASE || msr == KEEL_MSR_WALL_CLOCK || msr == KEEL_MSR_SYSTEM_TIME ||
	       msr == KEEL_MSR_PV_EOI;
}

/* False: #GP. */
bool msr_guest_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool msr_guest_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);
bool msr_pat_is_valid(uint64_t value);

/* Those that are nothing but a value of the guest's, kept by Keel: a part of its state. */
unsigned int msr_guest_save(const struct vcpu *vcpu, struct keel_msr list[KEEL_STATE_MSRS]);
/* False: not one of these, or not a value that it can have. */
bool msr_guest_may_load(uint32_t msr, uint64_t value);
void msr_guest_load(struct vcpu *vcpu, uint32_t msr, uint64_t value);

#endif
