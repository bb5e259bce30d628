/* SPDX-License-Identifier: GPL-2.0 */
/* A log that a guest writes to and that therefore stays small: at its limit it goes to FILE.1 and begins anew. */
#ifndef KEEL_LOGFILE_H
#define KEEL_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct logfile {
	int fd;			/* -1: no log is kept */
	int old;		/* FILE.1 */
	size_t bytes;		/* in it, */
	size_t limit;		/* and how many there may be */
};

bool logfile_open(struct logfile *log, const char *path, size_t limit);
/* 0, or the errno of what could not be kept. A log that cannot begin anew is given up. */
int logfile_write(struct logfile *log, const void *data, size_t bytes);
void logfile_close(struct logfile *log);

#endif
