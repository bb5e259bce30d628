/* SPDX-License-Identifier: GPL-2.0 */
/* What the firmware is told through fw_cfg: the machine's memory, tables and boot order, from its manifest. */
#ifndef KEEL_ITEMS_H
#define KEEL_ITEMS_H

#include <keel/channel.h>

#include "host/devices.h"
#include "host/firmware/blob.h"
#include "manifest/manifest.h"

struct items_entry {
	char name[sizeof(((struct keel_item *)0)->name)];
	uint32_t key;		/* of an entry without a name */
	struct blob data;
};

struct items {
	struct items_entry entry[KEEL_ITEMS];
	unsigned int count;
};

/* devices: those of the manifest, open. */
void items_build(struct items *items, const struct manifest *m, const struct devices *devices, uint64_t low_memory,
		 uint64_t high_memory);
void items_free(struct items *items);

#endif
