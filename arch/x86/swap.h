/* SPDX-License-Identifier: GPL-2.0 */
/* State that the world switch leaves alone on both vendors (APM vol. 2, 15.5; SDM vol. 3, 28.1), and that guests have too. */
#ifndef ARCH_SWAP_H
#define ARCH_SWAP_H

struct cpu;
struct vcpu;

/* The control domain's goes out, and the guest's comes in; and the other way round. */
void swap_in(struct cpu *cpu, struct vcpu *vcpu);
void swap_out(struct cpu *cpu, struct vcpu *vcpu);
/* The guest touches debug registers 0 to 3: from now on they change hands, too. */
void swap_debug_too(struct cpu *cpu, struct vcpu *vcpu);

#endif
