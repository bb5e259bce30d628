// SPDX-License-Identifier: GPL-2.0
/* Talks to the process of a guest. */
#include "client.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "host/rundir.h"

#define LINE_ROOM		8192
#define MS_PER_SECOND		1000

int client_connect(const char *name, struct failure *failure)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char path[PATH_MAX];
	int fd, error;

	rundir_path(path, sizeof(path), name, "control");
	if (strchr(name, '/') || name[0] == '.' || !name[0] || strlen(path) >= sizeof(address.sun_path)) {
		failure_set(failure, EXIT_NO_GUEST, "\"%.80s\" is not the name of a guest; keel list shows those that run", name);
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return fd;
	error = errno;
	if (fd >= 0)
		close(fd);
	if (error == ENOENT || error == ECONNREFUSED || error == ENOTDIR)
		failure_set(failure, EXIT_NO_GUEST, "no guest \"%s\" is running; keel list shows those that are", name);
	else
		failure_set(failure, EXIT_FAILED, "cannot reach guest \"%s\": %s%s", name, strerror(error),
			    error == EACCES ? "; run this as root" : "");
	return -1;
}

bool client_send(int fd, json_t *request, struct failure *failure)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t length = text ? strlen(text) : 0;
	bool sent;

	json_decref(request);
	if (text)
		text[length++] = '\n';	/* in the place of the final zero */
	sent = text && send(fd, text, length, MSG_NOSIGNAL) == (ssize_t)length;
	free(text);
	return sent || failure_set(failure, EXIT_FAILED, "cannot ask the guest's process: %s", strerror(errno));
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * (long long)MS_PER_SECOND + now.tv_nsec / 1000000;
}

/* A line, byte by byte: what follows it may be a console's characters, which are another reader's. */
static bool read_line(int fd, int seconds, char *line, struct failure *failure)
{
	long long end = now_ms() + seconds * (long long)MS_PER_SECOND;
	size_t used = 0;

	while (used < LINE_ROOM - 1) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		long long left = end - now_ms();
		ssize_t n;

		if (seconds >= 0 && (left <= 0 || poll(&ready, 1, (int)left) == 0))
			return failure_set(failure, EXIT_TIMEOUT, "no answer within %d s", seconds);
		n = read(fd, line + used, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return failure_set(failure, EXIT_FAILED, "the guest's process is gone");
		if (line[used] == '\n') {
			line[used] = '\0';
			return true;
		}
		used++;
	}
	return failure_set(failure, EXIT_FAILED, "the guest's process gave too long an answer");
}

json_t *client_receive(int fd, int seconds, struct failure *failure)
{
	char line[LINE_ROOM];
	json_t *answer;

	if (!read_line(fd, seconds, line, failure))
		return NULL;
	answer = json_loads(line, 0, NULL);
	if (json_is_true(json_object_get(answer, "ok")))
		return answer;
	failure_set(failure, EXIT_FAILED, "%s", json_is_string(json_object_get(answer, "error")) ?
		    json_string_value(json_object_get(answer, "error")) : "the guest's process gave a strange answer");
	json_decref(answer);
	return NULL;
}

json_t *client_ask(const char *name, json_t *request, int seconds, struct failure *failure)
{
	int fd = client_connect(name, failure);
	json_t *answer = NULL;

	if (fd < 0) {
		json_decref(request);
		return NULL;
	}
	if (client_send(fd, request, failure))
		answer = client_receive(fd, seconds, failure);
	close(fd);
	return answer;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t client_guests(char ***names)
{
	DIR *parent = opendir(rundir_parent());
	struct dirent *entry;
	size_t count = 0;

	*names = NULL;
	while (parent && (entry = readdir(parent))) {
		char **grown;

		if (entry->d_name[0] == '.')
			continue;
		grown = realloc(*names, (count + 1) * sizeof(*grown));
		if (!grown)
			break;
		*names = grown;
		grown[count++] = strdup(entry->d_name);
	}
	if (parent)
		closedir(parent);
	if (count)
		qsort(*names, count, sizeof(**names), by_name);
	return count;
}
