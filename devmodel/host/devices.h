/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The devices of a guest that have back ends (host/backend/backend.h): which there are, and their queues in
 * each run.
 */
#ifndef KEEL_DEVICES_H
#define KEEL_DEVICES_H

#include <keel/channel.h>

#include "common/exit.h"
#include "host/backend/backend.h"
#include "host/board.h"
#include "manifest/manifest.h"

struct devices_entry {
	const struct backend_ops *ops;
	unsigned int number;		/* of its kind */
	void *state;
	struct backend_plan plan;	/* with its queues, once channel_plan has placed them */
};

struct devices {
	unsigned int count;
	unsigned int queues;		/* of all of them */
	struct devices_entry entry[KEEL_DEVICES];
	struct vq_device queue[KEEL_QUEUES];	/* by their numbers in the channel */
};

/* Those that the manifest asks for. On failure none is open. */
bool devices_open(struct devices *devices, const struct manifest *m, struct failure *failure);
void devices_close(struct devices *devices);
/* What such a kind keeps for its device of this number; NULL: there is none. */
void *devices_state(const struct devices *devices, const struct backend_ops *ops, unsigned int number);
/* For the next run, when images may have grown. Planned once more (host/channel.h), they have their queues again. */
void devices_describe(struct devices *devices, const struct manifest *m);
/* Those that wait for something of the host's do it in this loop. */
bool devices_watch(const struct devices *devices, struct loop *loop, struct failure *failure);
/* A channel that is new: its queues are looked at before a sleep, too. Those of disks are their engine's to start and serve. */
void devices_start(struct devices *devices, struct keel_channel *channel, const struct keel_queue *queues, struct board *board);
/* True: the cell must look at the channel. */
bool devices_serve(struct devices *devices);

#endif
