/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What serves a kind of device that has rows in the channel (keel/channel.h). Disk images have an engine
 * (disk.h), which takes the requests of virtio disks as it does those of IDE drives.
 *
 * A kind is one file here with a struct backend_ops, which is a row in the list of host/devices.c. The cell
 * is not trusted: queues are read by shared/vq_device.h alone, and what a request says is bounded before it
 * is acted on.
 */
#ifndef KEEL_BACKEND_H
#define KEEL_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keel/channel.h>

#include "common/exit.h"
#include "host/loop.h"
#include "manifest/manifest.h"
#include "shared/vq_device.h"

#define BACKEND_BOOT_ROOM	32u

struct backend_plan {
	struct keel_device device;	/* its row, but for its first queue */
	uint32_t entries;		/* of each of its queues, */
	uint32_t arena_bytes;		/* which have so much for their buffers, */
	unsigned int control;		/* but for so many at the end: these are as small as a queue can be */
	/* Of the manifest's: its one queue carries this drive's requests, which the disks' engine takes. NULL: it is no disk. */
	const struct manifest_drive *drive;
	char boot[BACKEND_BOOT_ROOM];	/* its Open Firmware name below the PCI bus, if firmware may boot from it */
};

struct backend_ops {
	size_t bytes;			/* of what it keeps for a device: its state, or NULL for 0 */
	/*
	 * The guest's device of this kind with this number, from 0 on. False: it has no such one. Asked again
	 * before each run, when all but its configuration must be as before.
	 */
	bool (*describe)(const struct manifest *m, unsigned int number, struct backend_plan *plan);
	/* In a process that is not confined yet. state is all zeros; nothing is left of a failure. These two may be NULL. */
	bool (*open)(void *state, const struct manifest *m, unsigned int number, struct failure *failure);
	void (*close)(void *state);
	/* May be NULL: it has descriptors that are waited for. */
	bool (*watch)(void *state, struct loop *loop);
	/* May be NULL: the guest starts, once more perhaps, and what was in its queues is gone. */
	void (*start)(void *state);
	/*
	 * Answers some requests of those that there are, or all: not more than takes a moment, for it is
	 * called again before the process sleeps. True: the cell has answers to look at. NULL: plan.drive says who does.
	 */
	bool (*serve)(void *state, struct vq_device *queues);
};

/* The kinds. */
extern const struct backend_ops backend_net;
extern const struct backend_ops backend_rng;
extern const struct backend_ops backend_virtio_blk;

#endif
