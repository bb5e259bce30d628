// SPDX-License-Identifier: GPL-2.0
/* Bounded logs. */
#include "host/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static bool reopen(struct logfile *log)
{
	log->bytes = 0;
	log->fd = open(log->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	return log->fd >= 0;
}

bool logfile_open(struct logfile *log, const char *path, size_t limit)
{
	log->limit = limit;
	snprintf(log->path, sizeof(log->path), "%s", path);
	return reopen(log);
}

static void start_anew(struct logfile *log)
{
	char old[PATH_MAX + 2];

	snprintf(old, sizeof(old), "%s.1", log->path);
	logfile_close(log);
	if (!rename(log->path, old))
		reopen(log);
}

int logfile_write(struct logfile *log, const void *data, size_t bytes)
{
	ssize_t n;

	if (log->fd < 0 || !bytes)
		return 0;
	if (log->bytes + bytes > log->limit)
		start_anew(log);
	if (log->fd < 0)
		return errno;
	n = write(log->fd, data, bytes);
	if (n < 0)
		return errno;
	log->bytes += (size_t)n;
	return (size_t)n < bytes ? ENOSPC : 0;
}

void logfile_close(struct logfile *log)
{
	if (log->fd >= 0)
		close(log->fd);
	log->fd = -1;
}
