/* SPDX-License-Identifier: GPL-2.0 */
/* The share of the host's processors that a guest's processes have. */
#ifndef KEEL_SCHEDULE_H
#define KEEL_SCHEDULE_H

#include <stdbool.h>

#include "common/exit.h"
#include "manifest/manifest.h"

/* Gives the calling thread, and those that it starts from here on, the CPUs and the weight of the manifest. */
bool schedule_set(const struct manifest *manifest, struct failure *failure);

#endif
