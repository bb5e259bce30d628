// SPDX-License-Identifier: GPL-2.0
// Debug registers 0 to 3 change hands.

#include "debug.h"

#include "cpu.h"
#include "percpu.h"
#include "vcpu.h"

void debug_swap(uint64_t out[4], const uint64_t in[4])
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

void debug_use(struct cpu *cpu, struct vcpu *vcpu)
{
	if (vcpu->debug_registers)
		return;
	vcpu->debug_registers = true;
	debug_swap(cpu->control_dr, vcpu->dr);
}
