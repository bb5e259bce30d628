/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Donations of memory, and who may still have the control domain's old translations of it. Each donation has a
 * number; a processor and the IOMMUs note the newest one there was when they dropped their translations.
 */
#ifndef VMM_DONATION_H
#define VMM_DONATION_H

#include <stdbool.h>
#include <stdint.h>

#include "spinlock.h"

struct cpu;

/* Of VMs, and of all that is donated to them. */
extern struct spinlock vm_lock;

/* Under vm_lock: the number of one that has been made just now. */
uint64_t donation_count(void);
/* This CPU drops what it knows of the control domain's memory, and counts as having done so. */
void donation_flush(struct cpu *cpu);
/*
 * Under vm_lock: whether all CPUs and all devices have dropped the translations that they had before this donation. A
 * CPU that is off line and has not is asked to; look again later.
 */
bool donation_flushed(uint64_t donation);

#endif
