// SPDX-License-Identifier: GPL-2.0
// A guest's vector registers for its cell, by way of the vCPU's area for extended state, which is free while it is loaded.

#include "vectors.h"

#include <stddef.h>

#include "cpu.h"
#include "cpuid.h"
#include "string.h"
#include "trap.h"
#include "vcpu.h"
#include "xstate.h"

#define XMM_OFFSET	160u		/* in the legacy region (SDM vol. 1, 13.4.1) */
#define XMM_BYTES	16u
#define COMPONENT_YMM	2u		/* the upper halves of the first 32 bytes */
#define COMPONENT_ZMM	6u		/* what is above those, of registers 0 to 15 */
#define ZMM_BYTES	32u

/* Where a component lies in an area of the standard form; NULL: guests have none. */
static uint8_t *component(struct vcpu *vcpu, unsigned int number)
{
	if (!(cpuid_guest_xcr0() >> number & 1))
		return NULL;
	return (uint8_t *)vcpu->xstate + cpuid(CPUID_XSTATE, number).ebx;
}

/* XSAVE and XRSTOR reach what XCR0 has on: all that guests may use. Returns what it was, for close_state. */
static uint64_t open_state(void)
{
	uint64_t xcr0 = xgetbv();

	write_cr0(read_cr0() & ~CR0_TS);
	if (xcr0 != cpuid_guest_xcr0())
		xsetbv(cpuid_guest_xcr0());
	return xcr0;
}

static void close_state(uint64_t xcr0)
{
	if (xcr0 != cpuid_guest_xcr0())
		xsetbv(xcr0);
	write_cr0(read_cr0() | CR0_TS);
}

/* Components in their initial state are written too (SDM vol. 1, 13.7). */
void vectors_give(struct vcpu *vcpu)
{
	struct keel_vectors *v = &vcpu->cell.page->vectors;
	uint8_t *ymm = component(vcpu, COMPONENT_YMM);
	uint64_t xcr0 = open_state();
	unsigned int i;

	xsave(vcpu->xstate, cpuid_guest_xcr0());
	close_state(xcr0);
	memset(v, 0, sizeof(*v));
	v->xcr0 = xcr0;
	for (i = 0; i < KEEL_VECTORS; i++) {
		memcpy(v->reg[i], (uint8_t *)vcpu->xstate + XMM_OFFSET + i * XMM_BYTES, XMM_BYTES);
		if (ymm)
			memcpy(v->reg[i] + XMM_BYTES, ymm + i * XMM_BYTES, XMM_BYTES);
	}
}

void vectors_take(struct vcpu *vcpu)
{
	const struct keel_vectors *v = &vcpu->cell.page->vectors;
	uint8_t *ymm = component(vcpu, COMPONENT_YMM), *zmm = component(vcpu, COMPONENT_ZMM);
	uint64_t xcr0 = open_state(), *in_use = (uint64_t *)((uint8_t *)vcpu->xstate + XSAVE_HEADER);
	unsigned int i;

	/* Once more: this CPU may be another one than gave them, and the page is the cell's. */
	xsave(vcpu->xstate, cpuid_guest_xcr0());
	*in_use |= cpuid_guest_xcr0() & (XCR0_SSE | XCR0_AVX);
	for (i = 0; i < KEEL_VECTORS; i++) {
		if (!(v->written >> i & 1))
			continue;
		memcpy((uint8_t *)vcpu->xstate + XMM_OFFSET + i * XMM_BYTES, v->reg[i], XMM_BYTES);
		if (ymm)
			memcpy(ymm + i * XMM_BYTES, v->reg[i] + XMM_BYTES, XMM_BYTES);
		if (zmm && v->whole >> i & 1)
			memset(zmm + i * ZMM_BYTES, 0, ZMM_BYTES);
	}
	xrstor(vcpu->xstate, cpuid_guest_xcr0());
	close_state(xcr0);
}

void vectors_out(struct vcpu *vcpu, struct keel_state *state)
{
	uint64_t *header = (uint64_t *)((uint8_t *)vcpu->xstate + XSAVE_HEADER), xcr0 = open_state();

	xsave(vcpu->xstate, cpuid_guest_xcr0());
	close_state(xcr0);
	state->xcr0 = xcr0 & cpuid_guest_xcr0();
	state->xstate_bv = *header & cpuid_guest_xcr0();
}

void *vectors_staged(struct vcpu *vcpu)
{
	return (uint8_t *)vcpu->xstate + KEEL_XSTATE_BYTES;
}

/* What else there may be to refuse, as bits of MXCSR, the processor knows. */
bool vectors_in(struct vcpu *vcpu, const struct keel_state *state)
{
	uint8_t *area = vectors_staged(vcpu);
	uint64_t *header = (uint64_t *)(area + XSAVE_HEADER), xcr0 = open_state();
	bool taken;

	memset(header, 0, XSAVE_HEADER_END - XSAVE_HEADER);
	*header = state->xstate_bv;
	xsave(vcpu->xstate, cpuid_guest_xcr0());
	taken = xrstor_safe(area, cpuid_guest_xcr0());
	if (!taken)
		xrstor(vcpu->xstate, cpuid_guest_xcr0());
	close_state(xcr0);
	if (taken && state->xcr0 != xcr0)
		xsetbv(state->xcr0);
	if (taken)
		vcpu->xcr0 = state->xcr0;
	return taken;
}
