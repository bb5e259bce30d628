/* SPDX-License-Identifier: GPL-2.0 */
/* A bare guest's memory and its descriptor table: nothing but numbers, which NASM has by way of names.sh. */
#ifndef GUEST_MAP_H
#define GUEST_MAP_H

/* The image is the end of what is below 1 MiB, where it is memory. The processor comes out of reset 16 bytes before its end. */
#define ORIGIN			0xf0000
#define ORIGIN_BYTES		0x10000
#define RESET_VECTOR		0xffff0

#define REAL_STACK_TOP		0x7000		/* in real mode, before all else */
#define TRAMPOLINE		0x8000		/* where other processors start */
#define TABLES			0x10000		/* the first 4 GiB one to one: */
#define PML4			TABLES
#define PDPT			(TABLES + 0x1000)
#define DIRECTORY		(TABLES + 0x2000)	/* and three more, in pages of 2 MiB */
#define TABLES_BYTES		0x6000
#define IDT			0x20000
#define TSS			0x21000
#define COUNTS			0x22000		/* interrupts taken, 8 bytes a vector */
#define SCRATCH			0x30000		/* the guest's own */
#define CPU_STACKS		0x40000		/* of the other processors, by number */
#define CPU_STACK_BYTES		0x1000
#define CPU_STACKS_MOST		64
#define STACK_TOP		0x90000
#define FAULT_STACK_TOP		0x98000		/* of #DF */

#define PAGE_PRESENT		1
#define PAGE_WRITE		2
#define PAGE_USER		4
#define PAGE_LARGE		0x80

#define SEL_CODE32		0x08
#define SEL_DATA		0x10
#define SEL_CODE64		0x18
#define SEL_TSS			0x20

#define IST_FAULT		1		/* of the TSS: FAULT_STACK_TOP */
#define NO_FAULT		0xff		/* where a vector is looked for */

#endif
