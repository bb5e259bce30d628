/* SPDX-License-Identifier: GPL-2.0 */
/* Descriptor tables, traps of Keel's own, and the events that it lets in. */
#ifndef ARCH_TRAP_H
#define ARCH_TRAP_H

#include <stdbool.h>
#include <stdint.h>

#include "percpu.h"

/* Turns the NOPs of vendor.inc into what the processor needs. Before the image is write-protected. */
void trap_patch(void);
/* The interrupt table, once. */
void trap_init(void);
/* GDT, TSS and IDT of this CPU. */
void trap_init_cpu(struct cpu *cpu);
/* GDT and IDT registers and TR anew: VM exits of VMX leave their limits wide open. */
void trap_reload(struct cpu *cpu);
/* The interrupt table's address. */
uint64_t trap_idt(void);

/* Takes a pending NMI; cpu->nmi_seen tells. */
void cpu_open_window(void);
/* Lets NMIs in again behind an exit by one of them (VMX). */
void cpu_unblock_nmi(void);
/* Takes, and ends without another thought, the interrupts that this CPU's local APIC has pending: see apic_reset(). */
void trap_drain(void);
void trap_drain_window(void);	/* its core, in trap.asm */
/*
 * Stops this CPU for good while the machine goes on, to its reset or its end: a system-management interrupt, at which
 * firmware waits for all CPUs, is taken still.
 */
__attribute__((noreturn)) void cpu_rest(void);
/* Halts until *request is not 0; the one who sets it sends an NMI. */
void cpu_park_wait(const uint32_t *request);

/*
 * For values that are not Keel's own to answer for. False: the processor raised #GP, and nothing has changed. Usable wherever
 * traps are, whatever else is held off.
 */
bool rdmsr_safe(uint32_t msr, uint64_t *value);
bool wrmsr_safe(uint32_t msr, uint64_t value);
bool xsetbv_safe(uint64_t value);		/* XCR0 */
bool xrstor_safe(const void *area, uint64_t mask);

/* Ends everything, with a backtrace. */
__attribute__((noreturn)) void panic(const char *message);

#endif
