/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Carries out a hardware task switch for KEEL_EXIT_TASK_SWITCH (Intel SDM vol. 3, chapter 8) on a vCPU's register image and
 * the guest's memory. The processor has checked the new TSS and that the program may go there. The descriptor is checked
 * again, since memory may have changed; the privilege is not.
 */
#ifndef KEEL_TASK_SWITCH_H
#define KEEL_TASK_SWITCH_H

#include "vcpu/emulate.h"

enum task_switch_result {
	TASK_SWITCH_DONE,	/* ctx is the new task */
	TASK_SWITCH_OLD_FAULT,	/* ctx is as it was, but for CR2; *fault is what the old task gets */
	/* ctx is new: the task that gets *fault before its first instruction, or one that shuts down by it */
	TASK_SWITCH_NEW_FAULT,
};

/* ctx: regs and sregs of a vCPU in protected mode without long mode. Addresses without memory read as all ones. */
enum task_switch_result task_switch(struct keel_context *ctx, const struct gmem *mem, struct emulate_fault *fault);

#endif
