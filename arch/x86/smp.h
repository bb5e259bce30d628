/* SPDX-License-Identifier: GPL-2.0 */
/* The other processors: started once by Keel, then parked until the control domain starts them. */
#ifndef ARCH_SMP_H
#define ARCH_SMP_H

#include <stdbool.h>
#include <stdint.h>

#include "percpu.h"

/*
 * Starts those of cpus[1..] that the firmware calls enabled; each runs main_ap(). The others start when they are
 * plugged in and the control domain starts them. Needs 4 KiB of Keel's at trampoline, below 1 MiB, for good; 0: there
 * is none, and no CPU starts.
 */
void smp_start(uint64_t trampoline);
/* A real INIT, or else SIPI, that brings this CPU to main_ap(). */
void smp_send(struct cpu *cpu, bool init);
/* The CPU with this APIC ID, started or not, or NULL. */
struct cpu *smp_find(uint32_t apic_id);
/* Waits, at most 50 ms, which is what the counter of the 8254 holds. */
void smp_delay(uint32_t milliseconds);

#endif
