/* SPDX-License-Identifier: GPL-2.0 */
/* A guest's vector registers for its cell. They are in the processor while the vCPU is loaded. */
#ifndef ARCH_VECTORS_H
#define ARCH_VECTORS_H

#include <stdbool.h>

struct keel_state;
struct vcpu;

/* Puts them into the vCPU's context page. */
void vectors_give(struct vcpu *vcpu);
/* Takes those that the page says have changed. */
void vectors_take(struct vcpu *vcpu);

/* All of the extended state: xcr0 and xstate_bv, and in vcpu->xstate the area. */
void vectors_out(struct vcpu *vcpu, struct keel_state *state);
/* Where KEEL_XSTATE_BYTES of an area are put for vectors_in, which makes the header. */
void *vectors_staged(struct vcpu *vcpu);
/* False: the processor refuses it, and nothing has changed. guest_state.h has found xcr0 and xstate_bv good. */
bool vectors_in(struct vcpu *vcpu, const struct keel_state *state);

#endif
