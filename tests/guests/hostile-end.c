// SPDX-License-Identifier: GPL-2.0
/*
 * Misuse of the processor that ends this guest's machine and no other. Built once for each END:
 *   walk   a page table that lies in a hole      fetch  a jump to device memory
 *   table  an interrupt table in a hole          stack  a fault whose stack is device memory
 *   cr3    a random CR3                          real   garbage state on the way back to real mode
 */
#include "guest.h"

#define HOLE		PC_VGA_HOLE
#define WALKED		0xd0000000u			/* in the fourth GiB */
#define VECTOR_SOFT	0x80
#define CR3_BITS	0xfffffff000u

enum end { walk, fetch, table, stack, cr3, real };

struct descriptor_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

/* Device memory as page table: all reads are ones, which are reserved bits, if the machine goes on at all. */
static void end_walk(void)
{
	uint64_t value;

	((volatile uint64_t *)PDPT)[WALKED >> 30] = HOLE | PAGE_PRESENT | PAGE_WRITE;
	write_cr3(read_cr3());
	TRY("mov (%1), %0", : "=r"(value) : "r"((uint64_t)WALKED));
	require(fault_vector == EXC_PF, "a walk through a hole gave no page fault");
}

static void end_fetch(void)
{
	TRY("call *%0", : : "r"((uint64_t)HOLE));
	TRY("call *%0", : : "r"((uint64_t)PC_LAPIC));
}

static void end_table(void)
{
	const struct descriptor_pointer hole = { 0xfff, HOLE };

	load_idt(&hole);
	asm volatile("int %0" : : "i"(VECTOR_SOFT) : "memory");
	fail("still running");
}

static void end_stack(void)
{
	asm volatile("mov %0, %%rsp\n\tud2" : : "r"((uint64_t)PC_LAPIC + 0x800) : "memory");
	fail("still running");
}

static void end_cr3(void)
{
	uint64_t state = 0x6b65656c63723333u;

	write_cr3(random_next(&state) & CR3_BITS);
	fail("still running");
}

/* Paging off in compatibility mode with a stack and tables that are not there. */
static void end_real(void)
{
	const struct descriptor_pointer none = { 0, 0 };

	load_idt(&none);
	asm volatile("pushq	%0\n\t"
		"pushq	$1f\n\t"
		"lretq\n\t"
		".code32\n"
		"1:\tmovl	%%cr0, %%eax\n\t"
		"andl	$0x7fffffff, %%eax\n\t"		/* PG */
		"movl	%%eax, %%cr0\n\t"
		"movl	$0xfffffffe, %%esp\n\t"
		"movl	%%cr0, %%eax\n\t"
		"andl	$~1, %%eax\n\t"			/* PE */
		"movl	%%eax, %%cr0\n\t"
		"int3\n\t"
		"ljmp	$0xffff, $0xffff\n\t"
		".code64" : : "i"(SEL_CODE32) : "memory", "rax");
	__builtin_unreachable();
}

#define TEXT_OF(word)	#word
#define TEXT(macro)	TEXT_OF(macro)

GUEST("hostile-" TEXT(END))
{
	switch (END) {
	case walk:
		end_walk();
		break;
	case fetch:
		end_fetch();
		break;
	case table:
		end_table();
		break;
	case stack:
		end_stack();
		break;
	case cr3:
		end_cr3();
		break;
	case real:
		end_real();
		break;
	}
}
