/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What keel-dm may do once it serves a guest: use what it has opened, and nothing else. It has a user of its own, no capability,
 * an empty root folder, no network, limits, and a short list of system calls.
 */
#ifndef KEEL_SANDBOX_H
#define KEEL_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/exit.h"
#include "manifest/manifest.h"

#define SANDBOX_LOGS		4u

struct sandbox {
	const char *folder;	/* any folder: the empty root is put there, out of the sight of others */
	uid_t user;		/* whom the process runs as, and the group's number; the user that it has: only names change */
	pid_t keeper;		/* the parent, with which it ends */
	unsigned int threads;	/* most that it starts at a time */
	uint64_t data;		/* bytes of memory that it has or takes later */
	uint64_t space;		/* bytes of its address space, which grows by no more than data */
	int logs[SANDBOX_LOGS];	/* descriptors that it may cut off; -1: none */
	unsigned int images;	/* that it may make longer or shorter, */
	int image[MANIFEST_DRIVES];	/* and their descriptors */
	int link;		/* over which it sends descriptors to its keeper; -1: none */
	int media;		/* the io_uring whose files it may replace; -1: none */
};

#define SANDBOX_WORKERS		8u	/* threads of io_uring, of each of two kinds */

/* What this process's address space has now; 0: unknown. Before it is confined. */
uint64_t sandbox_space(void);

/* While the process has one thread. It is for good, also for threads that are started later. What cannot be done is a failure. */
bool sandbox_enter(const struct sandbox *sandbox, struct failure *failure);

#endif
