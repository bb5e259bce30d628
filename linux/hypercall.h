/* SPDX-License-Identifier: GPL-2.0 */
/* Calling the hypervisor: VMMCALL on processors with SVM, VMCALL on those with VMX. See keel/hypercall.h. */
#ifndef KEEL_LINUX_HYPERCALL_H
#define KEEL_LINUX_HYPERCALL_H

#include <linux/types.h>
#include <keel/hypercall.h>

/* Arguments, then results, in the order RDI, RSI, RDX, R10 (argument alone), R8. */
struct keel_args {
	u64 rdi;
	u64 rsi;
	u64 rdx;
	u64 r10;
	u64 r8;
};

extern bool keel_uses_vmcall;

#define KEEL_CALL(instruction, rax, args)						\
do {											\
	register u64 r10 asm("r10") = (args)->r10;					\
	register u64 r8 asm("r8") = (args)->r8;						\
											\
	asm volatile(instruction							\
		     : "+a" (rax), "+D" ((args)->rdi), "+S" ((args)->rsi), "+d" ((args)->rdx), "+r" (r8)	\
		     : "r" (r10) : "memory", "cc");					\
	(args)->r8 = r8;								\
} while (0)

static inline s64 keel_call(u64 number, struct keel_args *args)
{
	u64 rax = number;

	if (keel_uses_vmcall)
		KEEL_CALL("vmcall", rax, args);
	else
		KEEL_CALL("vmmcall", rax, args);
	return rax;
}

/*
 * The same from a section with interrupts disabled, which ends here: STI's shadow covers the call, so that an interrupt
 * which came in meanwhile is seen by the hypervisor and ends the call at once.
 */
static inline s64 keel_call_irqs_on(u64 number, struct keel_args *args)
{
	u64 rax = number;

	if (keel_uses_vmcall)
		KEEL_CALL("sti\n\tvmcall", rax, args);
	else
		KEEL_CALL("sti\n\tvmmcall", rax, args);
	return rax;
}

#endif
