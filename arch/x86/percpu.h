/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One CPU's own memory: stacks with guard pages below them and struct cpu, in an aligned area in the high half
 * that is mapped alike in every host address space.
 */
#ifndef ARCH_PERCPU_H
#define ARCH_PERCPU_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/cell.h>

#define MAX_CPUS	256u

#define PERCPU_BASE	0xffffffffc0000000ull
#define PERCPU_STRIDE	0x10000ull
/* Offsets in the area; pages not named are guards. */
#define PERCPU_STACK	0x1000u
#define PERCPU_STACK_END 0x7000u
#define PERCPU_FAULT	0x8000u		/* stack of #DF */
#define PERCPU_FAULT_END 0x9000u
#define PERCPU_VENDOR	0xa000u		/* the virtualisation side's pages */
#define PERCPU_DATA	0xe000u		/* struct cpu */
#define PERCPU_VENDOR_PAGES 4u
#define PERCPU_DATA_PAGES 2u
#define PERCPU_PAGES	(6u + 1u + PERCPU_VENDOR_PAGES + PERCPU_DATA_PAGES)

/* 64-bit task-state segment (SDM vol. 3, 8.7). */
struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_map;
} __attribute__((packed));

#define GDT_ENTRIES 7

/* What the other CPUs ask of this one, by the control domain's INIT and SIPI. */
#define CPU_REQUEST_INIT	(1u << 31)
#define CPU_REQUEST_SIPI	(1u << 30)	/* vector in bits 0-7 */
#define CPU_REQUEST_FLUSH	(1u << 29)	/* drop old translations: of a CPU that the control domain has put off line */
#define CPU_REQUEST_STOP	(1u << 28)	/* run nothing more: the machine is about to be reset */
#define CPU_REQUEST_NMI	(CPU_REQUEST_INIT | CPU_REQUEST_FLUSH | CPU_REQUEST_STOP)	/* what an NMI may have come for */

struct cpu {
	uint32_t nmi_seen;		/* an NMI was taken in Keel and is to be looked at; this and the TSS: percpu.inc */
	uint32_t init_seen;		/* so is an INIT from hardware */
	unsigned int index;
	uint32_t apic_id;
	uint64_t apic_base;		/* MSR, or 0: not read yet; apic.c */
	struct tss tss;			/* rsp[0]: where cell_switch left the stack when ring 3 was last entered */
	uint64_t gdt[GDT_ENTRIES];
	uint64_t main_cr3;

	bool enabled;			/* by the firmware: else it may be plugged in later */
	uint32_t online;		/* set by the CPU itself once it serves */
	uint32_t parked;		/* waits for a SIPI; runs nothing of the control domain's */
	uint32_t request;		/* CPU_REQUEST_* */
	uint64_t flushed;		/* donations whose translations this CPU has dropped */

	uint64_t exits;			/* of the control domain, but for CPUID and hypercalls */
	struct keel_regs control;	/* the control domain's general registers */
	void *control_xstate;
	uint64_t control_xcr0;
	uint64_t control_dr[4];
	uint64_t control_tsc_aux;
	uint64_t control_tpr;

	void *vendor;			/* PERCPU_VENDOR_PAGES pages, contiguous, of the virtualisation side */
	uint64_t vendor_pa;
};

static inline struct cpu *this_cpu(void)
{
	uint64_t rsp;

	__asm__("mov %%rsp, %0" : "=r"(rsp));
	return (struct cpu *)((rsp & ~(PERCPU_STRIDE - 1)) + PERCPU_DATA);
}

extern struct cpu *cpus[MAX_CPUS];
extern unsigned int cpu_count;

#endif
