/* SPDX-License-Identifier: GPL-2.0 */
/* A guest's vector registers for its cell. They are in the processor while the vCPU is loaded. */
#ifndef ARCH_VECTORS_H
#define ARCH_VECTORS_H

struct vcpu;

/* Puts them into the vCPU's context page. */
void vectors_give(struct vcpu *vcpu);
/* Takes those that the page says have changed. */
void vectors_take(struct vcpu *vcpu);

#endif
