/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who in the control domain owns the VMs. A kernel that is replaced by another one (kexec), or that a crash kernel
 * stands in for, cannot take its VMs apart any more. Keel knows the kernel by a word in its memory, at an address at
 * which no other kernel has it: when an access to a VM's memory comes from one that has not, the VMs are ended, and
 * their memory goes back scrubbed, block by block, as the new kernel touches it or its driver asks.
 */
#ifndef VMM_TAKEOVER_H
#define VMM_TAKEOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "percpu.h"

/*
 * KEEL_HC_ATTACH: the kernel whose word is at this linear address makes the VMs from now on, and VMs of another
 * kernel end. -EINVAL: the address is not aligned, not mapped, or the word is 0; -EAGAIN: memory of those VMs is
 * still to be scrubbed: call again.
 */
int takeover_attach(struct cpu *cpu, uint64_t address);
/* Whether a kernel has attached. */
bool takeover_attached(void);
/* The control domain has reached for memory that is not its own. True: now it is; it can try again. */
bool takeover_fault(struct cpu *cpu, uint64_t hpa);

#endif
