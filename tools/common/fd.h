/* SPDX-License-Identifier: GPL-2.0 */
/* File descriptors of which -1 is none. */
#ifndef KEEL_FD_H
#define KEEL_FD_H

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static inline void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/*
 * Opens what another descriptor, which may be a name alone (O_PATH), leads to: the same file, and none that has come to have
 * its name. To open a device may do something, such as arming a watchdog; so what something is comes first. -1: errno tells.
 */
static inline int fd_reopen(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

#endif
