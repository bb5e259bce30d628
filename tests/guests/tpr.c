// SPDX-License-Identifier: GPL-2.0
/* Interrupts held back by CR8 and by the local APIC's TPR, and let through when these fall. */
#include "apic.h"

#define VECTOR_LOW	0x50u
#define WAVES		100

GUEST("tpr")
{
	unsigned int wave;

	interrupt_hook = apic_end_hook;
	apic_write(APIC_REG_SPURIOUS, SPURIOUS_ENABLE | SPURIOUS_RESET);
	write_cr8(5);
	require(apic_read(APIC_REG_TPR) == 0x50, "CR8 does not show in TPR");
	apic_self_ipi(VECTOR_LOW);
	asm volatile("sti\n\tinb $0x80, %%al\n\tnop" : : : "memory", "rax");
	require(counts[VECTOR_LOW] == 0, "CR8 does not hold an interrupt back");
	write_cr8(4);
	asm volatile("nop\n\tinb $0x80, %%al\n\tnop\n\tcli" : : : "memory", "rax");
	require(counts[VECTOR_LOW] == 1, "an interrupt stayed behind when CR8 fell");
	apic_write(APIC_REG_TPR, 0x30);
	require(read_cr8() == 3, "TPR does not show in CR8");
	/* Up and down while an interrupt waits, without an exit of the guest's own making. */
	for (wave = 0; wave < WAVES; wave++) {
		write_cr8(6);
		apic_self_ipi(VECTOR_LOW);
		asm volatile("sti\n\tnop\n\tmov %0, %%cr8\n\tnop\n\tnop\n\tcli" : : "r"(0ull) : "memory");
	}
	require(counts[VECTOR_LOW] == 1 + WAVES, "interrupts were lost while CR8 rose and fell");
}
