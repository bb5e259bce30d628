/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Disk images and the engine that reads and writes them: raw files and block devices by io_uring, through the page cache
 * or without it (host/backend/direct.h).
 * A write is complete when the page cache or the disk has it; a flush is complete when the disk has everything completed before.
 *
 * Images are claimed (host/backend/claim.h). How long one is, is looked at when it is opened and at each start of the VM.
 * Media that can change, which are read-only, have an engine of their own: the files of the other one are what they were at the
 * start. Snapshot mode keeps what the guest writes in an unlinked temporary file, which ends with the process. What exceeds its
 * limit fails as on a full file system.
 */
#ifndef KEEL_DISK_H
#define KEEL_DISK_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <keel/channel.h>

#include "common/exit.h"
#include "host/backend/claim.h"
#include "host/backend/direct.h"
#include "host/loop.h"
#include "manifest/manifest.h"

#define DISK_BLOCK		4096u	/* of the overlay */
#define DISK_FILES		3u	/* of each drive: image, the same without the page cache, overlay */
#define DISK_JOBS		(MANIFEST_DRIVES * KEEL_BLOCK_ENTRIES_MOST)

/* What was asked of a disk, with an answer: sums since it was opened. */
enum disk_operation {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH,
	DISK_DISCARD,
	DISK_WRITE_ZEROES,
	DISK_OPERATIONS,
};

struct disk_statistics {
	uint64_t done;		/* without an error, */
	uint64_t bytes;		/* of these, */
	uint64_t failed;	/* and with one that the guest was told */
	uint64_t ns;		/* from the request to the answer, of both; requests under way at once each count whole */
};

struct disk {
	int fd;			/* -1: no medium */
	bool readonly;
	bool removable;		/* the medium can change */
	bool no_discard;	/* nothing of it is given back to the host */
	uint64_t bytes;		/* whole sectors of the drive */
	struct claim claim;
	struct direct direct;
	struct disk_job *jobs;	/* with direct I/O: under way, held, or waiting for each other; in their order */
	int overlay;		/* snapshot mode, else -1 */
	uint8_t *overlaid;	/* bit n: block n is in the overlay */
	uint64_t overlay_used;	/* blocks in it, */
	uint64_t overlay_most;	/* and how many there may be */
	struct disk_statistics statistics[DISK_OPERATIONS];
};

struct disk_request {
	uint32_t op;		/* enum keel_block_op */
	uint32_t tag;		/* the owner's */
	uint64_t offset;	/* bytes, as 'count' */
	uint32_t count;
	uint8_t *data;		/* until it is done */
	bool unmap;		/* of zeroes: they need no room */
};

struct disk_job {
	struct disk_job *next;	/* of those that are free, or of the disk's */
	bool busy;
	bool held;		/* failed, and waits for disk_retry; */
	bool retried;		/* is under way once more */
	bool cached;		/* of a disk with direct I/O: it takes the page cache nevertheless, */
	bool waits;		/* and is not begun before others have ended, or these before it */
	bool cut;		/* the image ends before the bytes that were asked for */
	struct disk *disk;
	uint32_t op;		/* these and those behind are the request's */
	uint32_t tag;
	uint64_t offset;
	uint32_t count;
	uint8_t *data;
	bool unmap;
	unsigned int parts;	/* under way */
	int status;
	uint64_t began_ns;	/* CLOCK_MONOTONIC */
};

struct disk_engine {
	bool media;		/* it is for disks that are removable, else for all others */
	struct loop *loop;
	struct loop_source source;	/* completions */
	struct io_uring ring;
	int files[DISK_FILES * MANIFEST_DRIVES];	/* as they are registered */
	struct disk_job jobs[DISK_JOBS];
	struct disk_job *free;	/* the first of those that are */
	unsigned int busy;	/* jobs, those that are held among them */
	unsigned int held;
	unsigned int retried;	/* under way once more */
	bool waiting;		/* requests have come since disk_start */
	/* Told once for each request, status 0 or a negative errno. */
	void (*done)(void *owner, uint32_t tag, int status);
	/* A request failed by the host's doing. True: it is held, and done is told later. May be NULL. */
	bool (*failed)(void *owner, const struct disk_job *job);
	void *owner;
};

/* Opens and locks. A disk in use: EXIT_IN_USE, and the text says by what it can. */
bool disk_open(struct disk *disk, const struct manifest_drive *drive, struct failure *failure);
/* A read-only disk of a file that is open, and nobody else's to claim; its descriptor is the disk's then. */
bool disk_take(struct disk *disk, int fd, struct failure *failure);
void disk_close(struct disk *disk);
/*
 * Looks at the image's size again, for a guest that is about to start. Bytes behind the last whole sector are not seen. On
 * failure nothing has changed.
 */
bool disk_measure(struct disk *disk, const struct manifest_drive *drive, struct failure *failure);
/* How many bytes its image has now, whole sectors of the drive or not. */
bool disk_image_bytes(const struct disk *disk, const struct manifest_drive *drive, uint64_t *bytes, struct failure *failure);
/* Makes the image, a regular file that is written to, as long as this; the disk is told by disk_measure. */
bool disk_set_image_bytes(const struct disk *disk, const struct manifest_drive *drive, uint64_t bytes, struct failure *failure);

/* What is told of a medium that may come into a removable disk, or the failure. */
bool disk_examine_medium(int fd, const char *file, uint64_t *bytes, struct failure *failure);
/*
 * A removable disk gets this medium, whose descriptor is the disk's then; -1: none. Requests under way end with the former one.
 */
void disk_change(struct disk *disk, int fd, uint64_t bytes);

bool disk_engine_init(struct disk_engine *engine, struct loop *loop, struct failure *failure);
/*
 * The disks, at most MANIFEST_DRIVES, are open: from now on requests are taken, for those that are this engine's
 * and for no other file.
 */
bool disk_engine_start(struct disk_engine *engine, const struct disk *disks, unsigned int count, struct failure *failure);
/* The same once more, for other media. Takes an engine of media, of which nothing is under way. */
bool disk_engine_restart(struct disk_engine *engine, const struct disk *disks, unsigned int count, struct failure *failure);
void disk_engine_close(struct disk_engine *engine);
/*
 * Takes a request, which may come from anywhere: what is wrong with it is told to done.
 * At most DISK_JOBS at once.
 */
void disk_submit(struct disk_engine *engine, struct disk *disk, const struct disk_request *request);
/* Has the kernel start what was taken, with one call for all; of those that it is through with at once done is told. */
void disk_start(struct disk_engine *engine);
/* Starts all that is held once more. */
void disk_retry(struct disk_engine *engine);
/* For people: "write of 4096 bytes at 8192: No space left on device". */
void disk_describe(const struct disk_job *job, char *text, size_t room);
/* Whether a request of this disk that reaches behind these bytes is under way, or held. */
bool disk_is_used_behind(const struct disk_engine *engine, const struct disk *disk, uint64_t bytes);
/* Waits until nothing is under way, and gives up what is held; completions are still told. */
void disk_drain(struct disk_engine *engine);

#endif
