/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An image as one guest's own, by what it is and not by its name: a file, a block device by whatever node, the disk around a
 * partition, the file under a loop device.
 *
 * Among guests, and programs that lock alike, open file descriptions are locked: shared for reading, exclusively for writing; of
 * what a partition or a loop device lies in, its range. Block devices that are written to are claimed in the kernel (O_EXCL),
 * which refuses those that are mounted or part of another device.
 */
#ifndef KEEL_CLAIM_H
#define KEEL_CLAIM_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/exit.h"

#define CLAIM_MOST		4u	/* a partition, its disk, and the file under that */

struct claim_part {
	int fd;
	dev_t device;
	ino_t inode;		/* 0: a block device, and device is its own number */
};

struct claim {
	struct claim_part part[CLAIM_MOST];	/* the first is the image itself */
	unsigned int count;
};

/* Opens and claims. In use: EXIT_IN_USE, and the text says by what it can. On failure nothing is left. */
bool claim_image(struct claim *claim, const char *file, bool readonly, struct failure *failure);
/*
 * The same, for reading, of a file that somebody else has opened for reading and calls by this name: what is claimed is opened
 * anew, so that nothing is shared with whom it came from. The descriptor stays the caller's.
 */
bool claim_medium(struct claim *claim, int fd, const char *file, struct failure *failure);
/* Takes a descriptor that was claimed already. False: it is none, or one too many, and stays the caller's. */
bool claim_add(struct claim *claim, int fd);
/* A file that is open is under no loop device, where others have it. */
bool claim_is_apart(int fd, const char *file, struct failure *failure);
void claim_release(struct claim *claim);

#endif
