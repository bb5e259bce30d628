/* SPDX-License-Identifier: GPL-2.0 */
/* /dev/keel, and what to tell people where it is not. */
#ifndef KEEL_DEVICE_H
#define KEEL_DEVICE_H

#include <stdbool.h>

#include <keel/ioctl.h>

#include "common/exit.h"

/* Opens the device and checks that both ends speak the same revision. */
bool device_open(int *device, struct keel_info *info, struct failure *failure);

#endif
