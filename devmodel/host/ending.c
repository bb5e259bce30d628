// SPDX-License-Identifier: GPL-2.0
/* What the end of a guest's run means and leads to. */
#include "host/ending.h"

#include <stdio.h>
#include <string.h>

#include <keel/channel.h>
#include <keel/macros.h>

#define SHORT_RUN_SECONDS	2
#define SHORT_FAILURES_MOST	5

static const char *const end_names[] = {
	[KEEL_END_NONE] = "it is still running",
	[KEEL_END_POWEROFF] = "the guest switched its machine off",
	[KEEL_END_RESET] = "the guest reset its machine",
	[KEEL_END_TRIPLE_FAULT] = "triple fault: a processor of the guest shut down, which resets the machine",
	[KEEL_END_CELL_FAULT] = "the device model took an exception",
	[KEEL_END_CELL_ANSWER] = "the device model gave an answer that is not allowed",
	[KEEL_END_CELL_REFUSED] = "the device model gave up",
	[KEEL_END_ENTRY_FAILED] = "the processor refused the guest's state",
	[KEEL_END_UNHANDLED] = "the guest did something that the hypervisor has no answer for",
	[KEEL_END_DESTROYED] = "destroyed by its owner",
};

/* What the cell's own code means (enum cell_refusal). */
static const char *const refusals[] = {
	[CELL_REFUSED_CHANNEL] = "the channel is not what it expects",
	[CELL_REFUSED_VCPUS] = "a number of vCPUs, or of their sockets and cores, that it cannot give the guest",
	[CELL_REFUSED_MEMORY] = "an amount of memory that it cannot give the guest",
	[CELL_REFUSED_CLOCK] = "a frequency of the TSC that it cannot use",
	[CELL_REFUSED_FIRMWARE] = "the firmware image has a wrong size",
	[CELL_REFUSED_DEVICE] = "a device that it cannot offer",
	[CELL_REFUSED_ITEM] = "a firmware item that it cannot offer",
	[CELL_REFUSED_CONTEXT] = "an entry for a vCPU that is not there",
	[CELL_REFUSED_EXIT] = "an exit that makes no sense",
	[CELL_REFUSED_NO_MEMORY] = "the guest has instructions or page tables where there is no memory",
	[CELL_REFUSED_INSTRUCTION] = "an instruction on device memory that it does not know; see firmware.log",
	[CELL_REFUSED_APERTURE] = "a part of the channel that it cannot show the guest",
	[CELL_REFUSED_TRANSFER] = "a part of the channel that a saved machine cannot go through",
	[CELL_REFUSED_STATISTICS] = "a part of the channel that statistics cannot be in",
};

void ending_describe(const struct keel_vm_status *status, char *text, size_t room)
{
	const char *name = status->end < ARRAY_SIZE(end_names) ? end_names[status->end] : NULL;

	if (status->end == ENDING_VCPU_FAILED)
		snprintf(text, room, "vCPU %u cannot run: %s", (unsigned int)(status->detail >> 32),
			 strerror((int)(uint32_t)status->detail));
	else if (!name)
		snprintf(text, room, "unknown reason %u", status->end);
	else if (status->end == KEEL_END_CELL_FAULT)
		snprintf(text, room, "%s (vector %u, error code 0x%x, address 0x%llx)", name,
			 (unsigned int)(status->detail >> 32), (unsigned int)status->detail,
			 (unsigned long long)status->address);
	else if (status->end == KEEL_END_TRIPLE_FAULT)
		snprintf(text, room, "%s (vCPU %llu at 0x%llx)", name, (unsigned long long)status->detail,
			 (unsigned long long)status->address);
	else if (status->end == KEEL_END_CELL_REFUSED && status->detail < ARRAY_SIZE(refusals) &&
		 refusals[status->detail])
		snprintf(text, room, "%s: %s", name, refusals[status->detail]);
	else if (status->detail)
		snprintf(text, room, "%s (code 0x%llx, address 0x%llx)", name, (unsigned long long)status->detail,
			 (unsigned long long)status->address);
	else
		snprintf(text, room, "%s", name);
}

/* A processor that shuts down makes the board reset it, and everything else (SDM vol. 3, 6.15; 82371SB data sheet: INIT). */
static bool is_reset(const struct keel_vm_status *status)
{
	return status->end == KEEL_END_RESET || status->end == KEEL_END_TRIPLE_FAULT;
}

bool ending_is_crash(const struct keel_vm_status *status)
{
	return status->end != KEEL_END_POWEROFF && status->end != KEEL_END_DESTROYED && !is_reset(status);
}

enum manifest_action ending_action(const struct keel_vm_status *status, enum ending_wish wish,
				   const struct manifest *manifest)
{
	if (wish == ENDING_WISH_DESTROY)
		return MANIFEST_DESTROY;
	/* However this run ended; its owner may have had to end it. */
	if (wish == ENDING_WISH_REBOOT)
		return MANIFEST_RESTART;
	if (status->end == KEEL_END_DESTROYED)
		return MANIFEST_DESTROY;
	if (status->end == KEEL_END_POWEROFF)
		return wish == ENDING_WISH_SHUTDOWN && manifest->on_poweroff == MANIFEST_RESTART ? MANIFEST_DESTROY :
		       manifest->on_poweroff;
	return is_reset(status) ? manifest->on_reboot : manifest->on_crash;
}

/* Few kernels reset by a triple fault what they have only just started. */
static bool is_failure(const struct keel_vm_status *status)
{
	return ending_is_crash(status) || status->end == KEEL_END_TRIPLE_FAULT;
}

enum manifest_action ending_next(const struct keel_vm_status *status, enum ending_wish wish, const struct manifest *manifest,
				 uint64_t seconds, unsigned int *short_failures, bool *given_up)
{
	enum manifest_action action = ending_action(status, wish, manifest);

	*given_up = false;
	if (wish != ENDING_WISH_NONE || seconds >= SHORT_RUN_SECONDS)
		*short_failures = 0;
	else if (is_failure(status))
		++*short_failures;
	if (action != MANIFEST_RESTART || *short_failures < SHORT_FAILURES_MOST)
		return action;
	*given_up = true;
	return manifest->on_crash == MANIFEST_PRESERVE ? MANIFEST_PRESERVE : MANIFEST_DESTROY;
}
