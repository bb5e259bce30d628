/* SPDX-License-Identifier: GPL-2.0 */
/* What the end of a guest's run means and leads to. Pure. */
#ifndef KEEL_ENDING_H
#define KEEL_ENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keel/ioctl.h>

#include "manifest/manifest.h"

/* Beside enum keel_end, from this host: a vCPU could not be run. detail: its number << 32 and errno. */
#define ENDING_VCPU_FAILED	0x10000u

/* What the owner asked for; else the manifest decides. */
enum ending_wish {
	ENDING_WISH_NONE,
	ENDING_WISH_SHUTDOWN,
	ENDING_WISH_REBOOT,
	ENDING_WISH_DESTROY,
};

/* Whether the guest did not end by its own or its owner's will. */
bool ending_is_crash(const struct keel_vm_status *status);
/* What follows. Of a crash: what the manifest says, however often that was. */
enum manifest_action ending_action(const struct keel_vm_status *status, enum ending_wish wish,
				   const struct manifest *manifest);
/*
 * The same behind a run of so many seconds, but that a guest which fails at its start again and again is not restarted for ever:
 * *short_failures counts on from run to run, and *given_up says that this was the last.
 */
enum manifest_action ending_next(const struct keel_vm_status *status, enum ending_wish wish, const struct manifest *manifest,
				 uint64_t seconds, unsigned int *short_failures, bool *given_up);
/* A sentence's end for people: "the guest switched its machine off". */
void ending_describe(const struct keel_vm_status *status, char *text, size_t room);

#endif
