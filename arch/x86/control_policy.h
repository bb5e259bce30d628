/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The processor as the control domain has it: CPUID and MSRs are the machine's own as far as Keel knows that they do
 * not reach past it, and exits that nobody expects are no end of the machine.
 */
#ifndef ARCH_CONTROL_POLICY_H
#define ARCH_CONTROL_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"
#include "hv.h"
#include "percpu.h"

/*
 * At boot, on the first processor. no_remapping: the control domain cannot have its interrupts remapped. Where
 * processors are locked in x2APIC mode, Linux then needs to be told that it may stay there: by KVM's signature, in
 * the place of Keel's.
 */
void control_policy_init(bool no_remapping);
struct cpuid control_cpuid(uint32_t leaf, uint32_t subleaf, uint64_t cr4);
/* Of an MSR whose access exits. False: #GP. */
bool control_rdmsr(struct cpu *cpu, uint32_t msr, uint64_t *value);
bool control_wrmsr(struct cpu *cpu, uint32_t msr, uint64_t value);
/* Says in the log, once for each code, that there was an exit that Keel does not know. */
void control_tell_exit(const struct cpu *cpu, const struct hv_exit *exit);
/* Says on the console that the processor refuses the state that the control domain has got itself into. */
void control_entry_failed(const struct cpu *cpu, const struct hv_exit *exit);

#endif
