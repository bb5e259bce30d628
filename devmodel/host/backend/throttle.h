/* SPDX-License-Identifier: GPL-2.0 */
/* Limits of a disk's rate: bytes and operations a second, each by a bucket (bucket.h). A request passes when neither is empty. */
#ifndef KEEL_THROTTLE_H
#define KEEL_THROTTLE_H

#include <stdint.h>

#include "host/backend/bucket.h"
#include "manifest/manifest.h"

struct throttle {
	struct bucket bytes, operations;
};

/* Both are full. */
void throttle_init(struct throttle *throttle, const struct manifest_disk_rate *rate);
/*
 * 0: a request may pass, and has taken what it takes: one operation, and these bytes. Else how many nanoseconds it must wait at
 * least.
 */
uint64_t throttle_take(struct throttle *throttle, uint64_t now_ns, uint32_t bytes);

#endif
