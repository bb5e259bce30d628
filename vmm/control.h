/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control domain: the Linux that owns the hardware. It runs in guest mode with everything passed through;
 * what it must not do, and what it asks for, ends up here.
 *
 * Its other CPUs: while trapping is on, writes of the local APIC's command register and NMIs exit, so that INIT and SIPI can be
 * carried out on a CPU that stays in Keel's hands. The driver switches trapping off when all CPUs are up and on before one goes.
 */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "pagetable.h"
#include "percpu.h"

/* The second-level table, which own.c built. */
extern struct page_table control_table;

void control_init(void);
/* Sets the first CPU up to enter the kernel; 32-bit addresses. */
void control_start_linux(struct cpu *cpu, uint32_t entry, uint32_t boot_params);
/* Waits for a SIPI and sets the CPU up as it says. */
void control_park(struct cpu *cpu);
__attribute__((noreturn)) void control_run(struct cpu *cpu);
/* KEEL_HC_TRAP. */
int control_set_trap(struct cpu *cpu, bool on);

/*
 * Whether the CPU has dropped the translations that it had before this donation. One that is off line and has not is asked to;
 * look again later.
 */
bool control_flushed(struct cpu *cpu, uint64_t donation);

/* hypercall.c: carries out the call in the CPU's control registers. */
void hypercall(struct cpu *cpu);

#endif
