/* SPDX-License-Identifier: GPL-2.0 */
/* The other processors: started once by Keel, then parked until the control domain starts them. */
#ifndef ARCH_SMP_H
#define ARCH_SMP_H

#include <stdint.h>

#include "percpu.h"

/* Starts the CPUs of cpus[1..]; each runs main_ap(). Needs the boot page tables' identity map and 4 KiB at trampoline (below 1 MiB). */
void smp_start(uint64_t trampoline);
/* The CPU with this APIC ID, or NULL. */
struct cpu *smp_find(uint32_t apic_id);

#endif
