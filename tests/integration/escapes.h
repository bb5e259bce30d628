/* SPDX-License-Identifier: GPL-2.0 */
/* What is tried from within the sandbox of keel-dm, by subject; what there is to find. */
#ifndef ESCAPES_H
#define ESCAPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "host/backend/disk.h"
#include "host/confine/sandbox_internal.h"

#define ESCAPES_FOLDER	"/run/keel/escapes"
#define ESCAPES_THREADS	4u
#define ESCAPES_DATA	(64ull << 20)

struct attempt {
	const char *what;
	bool (*make)(void);
	bool by_root;		/* others may not do it anyway */
	bool layered;		/* as another user and without a filter it must fail as well */
};

struct attempts {
	const struct attempt *list;
	size_t count;
};

extern const struct attempts escapes_files, escapes_ring, escapes_memory, escapes_processes, escapes_limits;

/* The same inside as outside, but for the engines, which are in the sandbox alone. */
struct surroundings {
	int folder;		/* in which the guest's own is */
	int others_end;		/* of a pair of sockets */
	int pty_master, pty_slave;
	int image, log_file;
	pid_t others_process;
	struct disk_engine engine, media;
};
extern struct surroundings around;

/* Another guest's control socket. */
struct sockaddr_un others_address(void);
/* What a disk's request is, but for file and flags. */
bool ring_reads(int fd, uint8_t flags);

#endif
