/* SPDX-License-Identifier: GPL-2.0 */
/* What the end of a guest's run means and leads to. Pure. */
#ifndef KEEL_ENDING_H
#define KEEL_ENDING_H

#include <stdbool.h>
#include <stddef.h>

#include <keel/ioctl.h>

#include "manifest.h"

/* What the owner asked for; else the manifest decides. */
enum ending_wish { ENDING_WISH_NONE, ENDING_WISH_SHUTDOWN, ENDING_WISH_REBOOT, ENDING_WISH_DESTROY };

/* Whether the guest did not end by its own or its owner's will. */
bool ending_is_crash(const struct keel_vm_status *status);
/* What follows. Of a crash: what the manifest says, however often that was. */
enum manifest_action ending_action(const struct keel_vm_status *status, enum ending_wish wish,
				   const struct manifest *manifest);
/* A sentence's end for people: "the guest switched its machine off". */
void ending_describe(const struct keel_vm_status *status, char *text, size_t room);

#endif
