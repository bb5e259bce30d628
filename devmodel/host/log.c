// SPDX-License-Identifier: GPL-2.0
/* Puts the time before the lines of the log. */
#include "host/log.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static ssize_t write_line(const char *line, size_t bytes)
{
	static bool within;	/* a line that is not at its end */
	char stamp[32];
	struct iovec parts[] = { { stamp, 0 }, { (char *)line, bytes } };
	time_t now = time(NULL);
	struct tm tm;

	if (!within && gmtime_r(&now, &tm))
		parts[0].iov_len = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ ", &tm);
	within = line[bytes - 1] != '\n';
	return writev(STDERR_FILENO, parts, 2);
}

static ssize_t write_lines(void *cookie, const char *bytes, size_t count)
{
	const char *line = bytes;

	(void)cookie;
	while (line < bytes + count) {
		const char *end = memchr(line, '\n', (size_t)(bytes + count - line));
		size_t length = end ? (size_t)(end - line) + 1 : (size_t)(bytes + count - line);

		if (write_line(line, length) < 0)
			return 0;
		line += length;
	}
	return (ssize_t)count;
}

void log_start(void)
{
	FILE *log = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = write_lines });

	tzset();	/* reads files, which a sandbox may not */
	if (!log) {
		perror("log");
		return;
	}
	setvbuf(log, NULL, _IOLBF, 0);
	stderr = log;
}
