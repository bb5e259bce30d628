/* SPDX-License-Identifier: GPL-2.0 */
/* MSRs of guests whose accesses exit, but for those that are the cell's. */
#ifndef ARCH_MSR_H
#define ARCH_MSR_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;

/* False: #GP. */
bool msr_guest_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool msr_guest_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);

#endif
