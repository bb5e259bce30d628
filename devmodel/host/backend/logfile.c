// SPDX-License-Identifier: GPL-2.0
/* Bounded logs. */
#include "host/backend/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define CHUNK			65536u

static int open_file(const char *path)
{
	return open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

bool logfile_open(struct logfile *log, const char *path, size_t limit)
{
	char old[PATH_MAX];

	*log = (struct logfile){ .fd = open_file(path), .old = -1, .limit = limit };
	if (log->fd >= 0 && snprintf(old, sizeof(old), "%s.1", path) < (int)sizeof(old))
		log->old = open_file(old);
	if (log->old < 0)
		logfile_close(log);
	return log->fd >= 0;
}

/* By copying: names are out of reach once the process is confined. */
static bool start_anew(struct logfile *log)
{
	static uint8_t chunk[CHUNK];
	size_t at = 0;
	ssize_t n;

	if (ftruncate(log->old, 0))
		return false;
	/* A disk that is full may not have room for both. */
	while ((n = pread(log->fd, chunk, sizeof(chunk), (off_t)at)) > 0 && write(log->old, chunk, (size_t)n) == n)
		at += (size_t)n;
	if (ftruncate(log->fd, 0))
		return false;
	log->bytes = 0;
	return true;
}

int logfile_write(struct logfile *log, const void *data, size_t bytes)
{
	ssize_t n;

	if (log->fd < 0 || !bytes)
		return 0;
	if (log->bytes + bytes > log->limit && !start_anew(log))
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
	if (log->old >= 0)
		close(log->old);
	log->fd = log->old = -1;
}
