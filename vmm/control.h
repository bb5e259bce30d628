/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control domain: the Linux that owns the hardware. It runs in guest mode with everything passed through;
 * what it must not do, and what it asks for, ends up here.
 *
 * control.c has its exits, control_cpus.c its processors, control_power.c its sleep and reset, control_start.c its early end.
 */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "pagetable.h"
#include "percpu.h"

/* The second-level table, which own.c built. */
extern struct page_table control_table;

__attribute__((noreturn)) void control_run(struct cpu *cpu);

/* control_cpus.c. Writes of the local APIC's registers, of all of which it looks at one, come to Keel from here on. */
void control_cpus_init(void);
/* Sets the first CPU up to enter the kernel; 32-bit addresses. */
void control_start_linux(struct cpu *cpu, uint32_t entry, uint32_t boot_params);
/* Waits for a SIPI and sets the CPU up as it says. */
void control_park(struct cpu *cpu);
/* A store of the control domain's to its local APIC's page, at this offset, is carried out. False: #GP. */
bool control_apic_store(struct cpu *cpu, uint32_t reg);
/* So is one to the interrupt command register of x2APIC mode. */
bool control_write_icr(struct cpu *cpu, uint64_t value);
/* An NMI that may have come for Keel, for the control domain, or for both. */
void control_take_nmi(struct cpu *cpu);
/* An INIT from hardware. */
void control_take_init(struct cpu *cpu);

/* control_power.c. An access to a port that is watched. False: #GP. */
struct keel_exit;
bool control_io(struct cpu *cpu, const struct keel_exit *exit);
/* Ends all guests, scrubs their memory, and resets the machine. why: for the log, "by ..." */
__attribute__((noreturn)) void control_reset(const char *why);

/* control_start.c. From now on an end of the control domain's is told, until control_is_up() or a halt with interrupts on. */
void control_watch_start(struct cpu *cpu);
void control_is_up(struct cpu *cpu);
/* An access to memory that is not the control domain's has been refused. */
void control_note_refusal(const struct cpu *cpu, uint64_t gpa);
/* HLT exited. */
void control_take_hlt(struct cpu *cpu);
/* A triple fault. True: it came before the control domain was up, and has been told. */
bool control_failed_to_start(struct cpu *cpu);

/* hypercall.c: carries out the call in the CPU's control registers. */
void hypercall(struct cpu *cpu);

#endif
