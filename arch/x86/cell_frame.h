/* SPDX-License-Identifier: GPL-2.0 */
/* Entry into ring 3 and the way back. */
#ifndef ARCH_CELL_FRAME_H
#define ARCH_CELL_FRAME_H

#include <stdint.h>

/* Registers of a cell's context; offsets are known to trap.asm. */
struct cell_frame {
	uint64_t r15;
	uint64_t r14;
	uint64_t r13;
	uint64_t r12;
	uint64_t r11;
	uint64_t r10;
	uint64_t r9;
	uint64_t r8;
	uint64_t rbp;
	uint64_t rdi;
	uint64_t rsi;
	uint64_t rdx;
	uint64_t rcx;
	uint64_t rbx;
	uint64_t rax;
	uint64_t vector;	/* why ring 3 was left */
	uint64_t error_code;
	uint64_t rip;
	uint64_t cs;
	uint64_t rflags;
	uint64_t rsp;
	uint64_t ss;
};

#define SEL_KERNEL_CODE	0x08u
#define SEL_KERNEL_DATA	0x10u
#define SEL_USER_DATA	(0x18u | 3)
#define SEL_USER_CODE	(0x20u | 3)
#define SEL_TSS		0x28u

/* Runs ring 3 from frame until an interrupt or exception; frame then holds where it was and why, behind an answer but why. */
#ifdef KEEL_HOST_TEST
void cell_run(struct cell_frame *frame);
#else
static inline void cell_run(struct cell_frame *frame)
{
	__asm__ volatile("call cell_switch"
			 :
			 : "D"(frame)
			 : "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory");
}
#endif

#endif
