/* SPDX-License-Identifier: GPL-2.0 */
/* Layout of a guest's channel: struct keel_channel, then queues with their arenas, firmware and items, each on its own pages. */
#ifndef KEEL_CHANNEL_LAYOUT_H
#define KEEL_CHANNEL_LAYOUT_H

#include <keel/channel.h>

#include "host/devices.h"
#include "host/firmware/blob.h"
#include "host/firmware/items.h"
#include "host/vm.h"
#include "manifest/manifest.h"

struct channel_layout {
	size_t bytes;
	unsigned int devices;		/* in use, as the channel's */
	unsigned int queues;
	struct keel_device device[KEEL_DEVICES];
	struct keel_queue queue[KEEL_QUEUES];
	int drive[MANIFEST_DRIVES];	/* the device that a drive is; below 0: there is none */
	uint32_t firmware;		/* offset in the channel, as the next ones */
	uint32_t statistics;
	uint32_t items;			/* one after the other */
};

/*
 * For a run: as long as the manifest says that its images are now. Tells the devices, which are open and
 * described, where their queues are. Only configurations differ from one run to the next.
 */
void channel_plan(struct channel_layout *layout, const struct manifest *m, struct devices *devices, const struct blob *firmware,
		  const struct items *items);
static inline const struct keel_queue *channel_drive_queue(const struct channel_layout *layout, unsigned int drive)
{
	return layout->drive[drive] < 0 ? NULL : &layout->queue[layout->device[layout->drive[drive]].first_queue];
}

/* Fills a new channel, all zeros. */
void channel_fill(struct keel_channel *channel, const struct channel_layout *layout, const struct manifest *m,
		  const struct vm_memory *memory, const struct blob *firmware, const struct items *items, uint64_t tsc_khz);

#endif
