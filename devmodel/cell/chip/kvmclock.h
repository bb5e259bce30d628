/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The clock of KVM's guests (Linux, Documentation/virt/kvm/x86/msr.rst and cpuid.rst): each vCPU names a place in guest
 * memory where it finds nanoseconds since the machine started as a function of its TSC, and the machine one place where
 * it is told what time that start was. The TSC's frequency never changes, so a place is written when it is named and when a
 * vCPU's TSC is moved, and at no other time.
 *
 * A chip that reads and writes guest memory, at the guest's own wish. Kept by struct pc; entries of any vCPU come here.
 */
#ifndef KEEL_CHIP_KVMCLOCK_H
#define KEEL_CHIP_KVMCLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/abi.h>

#include "core/device.h"
#include "core/gmem.h"
#include "core/state.h"

struct kvmclock_state {
	uint64_t wall_clock;		/* MSRs as they were written */
	uint64_t system_time[KEEL_MAX_VCPUS];
	uint32_t version[KEEL_MAX_VCPUS];	/* of what is in memory; even */
};

struct kvmclock {
	const struct gmem *mem;
	unsigned int count;		/* vCPUs */
	uint64_t start_tsc;		/* host TSC at system time start_time */
	uint64_t start_time;
	int64_t start_ns;		/* nanoseconds since 1970 at system time 0 */
	uint32_t multiplier;		/* ns = (ticks << shift) * multiplier >> 32 */
	int8_t shift;			/* negative: the other way */
	/* Guest TSC less host TSC, of the vCPUs that have had an entry. */
	uint64_t offset[KEEL_MAX_VCPUS];
	bool known[KEEL_MAX_VCPUS];
	struct kvmclock_state s;
};

/* A load is followed by entries of all vCPUs, which bring what is in memory up to date: known is false till then. */
extern const struct state_table kvmclock_state_table;
/* The device is a struct kvmclock. Power-on is kvmclock_init. */
extern const struct device_ops kvmclock_device;

/* Members up to start_ns are set. khz: CLOCK_KHZ_LEAST to _MOST. */
void kvmclock_init(struct kvmclock *clock, uint64_t khz);
/* Begins each entry of a vCPU. True: its TSC has been moved since the last one. */
bool kvmclock_begin(struct kvmclock *clock, unsigned int vcpu, uint64_t tsc_offset);
/* INIT: the vCPU's place is its own no longer. */
void kvmclock_reset(struct kvmclock *clock, unsigned int vcpu);
/* KEEL_MSR_WALL_CLOCK and KEEL_MSR_SYSTEM_TIME. False: #GP, and nothing has changed. */
bool kvmclock_read_msr(const struct kvmclock *clock, unsigned int vcpu, uint32_t msr, uint64_t *value);
bool kvmclock_write_msr(struct kvmclock *clock, unsigned int vcpu, uint32_t msr, uint64_t value);

#endif
