// SPDX-License-Identifier: GPL-2.0
// Extended states, debug registers 0 to 3 and TSC_AUX change hands.

#include "swap.h"

#include "cpuid.h"
#include "percpu.h"
#include "vcpu.h"
#include "xstate.h"

static void set_xcr0(uint64_t *current, uint64_t value)
{
	if (*current != value)
		xsetbv(value);
	*current = value;
}

/*
 * SSE state and PKRU exist whatever XCR0 says, so each side is saved with them at least; the guest's with all that it may
 * ever use. In between PKRU is the guest's: cells are not subject to it, for Keel's CR4 has PKE off.
 */
static void xstate_swap(void *out, uint64_t out_mask, const void *in, uint64_t in_mask, uint64_t xcr0)
{
	uint64_t now = xgetbv();

	write_cr0(read_cr0() & ~CR0_TS);
	set_xcr0(&now, out_mask);
	xsave(out, out_mask);
	set_xcr0(&now, in_mask);
	xrstor(in, in_mask);
	set_xcr0(&now, xcr0);
	write_cr0(read_cr0() | CR0_TS);
}

/* With what the control domain has switched off, so that it finds nothing of the guest's there when it switches that on. */
static uint64_t control_states(const struct cpu *cpu)
{
	return cpu->control_xcr0 | XCR0_X87 | XCR0_SSE | cpuid_guest_xcr0();
}

static void debug_swap(uint64_t out[4], const uint64_t in[4])
{
	out[0] = read_dr0();
	out[1] = read_dr1();
	out[2] = read_dr2();
	out[3] = read_dr3();
	write_dr0(in[0]);
	write_dr1(in[1]);
	write_dr2(in[2]);
	write_dr3(in[3]);
}

void swap_in(struct cpu *cpu, struct vcpu *vcpu)
{
	cpu->control_xcr0 = xgetbv();
	xstate_swap(cpu->control_xstate, control_states(cpu), vcpu->xstate, cpuid_guest_xcr0(), vcpu->xcr0);
	if (vcpu->debug_registers)
		debug_swap(cpu->control_dr, vcpu->dr);
	if (cpuid_guest_tsc_aux()) {
		cpu->control_tsc_aux = rdmsr(MSR_TSC_AUX);
		wrmsr(MSR_TSC_AUX, vcpu->tsc_aux);
	}
}

void swap_out(struct cpu *cpu, struct vcpu *vcpu)
{
	if (cpuid_guest_tsc_aux())
		wrmsr(MSR_TSC_AUX, cpu->control_tsc_aux);
	if (vcpu->debug_registers)
		debug_swap(vcpu->dr, cpu->control_dr);
	xstate_swap(vcpu->xstate, cpuid_guest_xcr0(), cpu->control_xstate, control_states(cpu), cpu->control_xcr0);
}

void swap_debug_too(struct cpu *cpu, struct vcpu *vcpu)
{
	if (vcpu->debug_registers)
		return;
	vcpu->debug_registers = true;
	debug_swap(cpu->control_dr, vcpu->dr);
}
