/* SPDX-License-Identifier: GPL-2.0 */
/* A vCPU's whole state out of Keel and into it, at its own cell's wish. The vCPU is loaded, and outside its guest. */
#ifndef VMM_VCPU_STATE_H
#define VMM_VCPU_STATE_H

#include <stdbool.h>
#include <stdint.h>

struct cpu;
struct vcpu;

/* address: of a struct keel_vcpu_state in the cell. False: there is no room for one that the cell may name. */
bool vcpu_state_out(struct cpu *cpu, struct vcpu *vcpu, uint64_t address);
/* Likewise. What was refused, if anything, is in the context's exit record; nothing has changed then. */
bool vcpu_state_in(struct cpu *cpu, struct vcpu *vcpu, uint64_t address);

#endif
