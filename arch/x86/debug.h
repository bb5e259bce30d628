/* SPDX-License-Identifier: GPL-2.0 */
/* Debug registers 0 to 3, which the world switch leaves alone on both vendors (APM vol. 2, 15.5; SDM vol. 3, 28.1). */
#ifndef ARCH_DEBUG_H
#define ARCH_DEBUG_H

#include <stdint.h>

struct cpu;
struct vcpu;

/* What is in them goes out, and in comes what they are to have. */
void debug_swap(uint64_t out[4], const uint64_t in[4]);
/* The guest touches them: from now on they change hands with the vCPU. */
void debug_use(struct cpu *cpu, struct vcpu *vcpu);

#endif
