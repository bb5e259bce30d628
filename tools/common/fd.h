/* SPDX-License-Identifier: GPL-2.0 */
/* File descriptors of which -1 is none. */
#ifndef KEEL_FD_H
#define KEEL_FD_H

#include <unistd.h>

static inline void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

#endif
