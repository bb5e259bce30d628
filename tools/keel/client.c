// SPDX-License-Identifier: GPL-2.0
/* Talks to the processes of guests. */
#include "client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/rundir.h"

#define LINE_CHUNK		4096u
#define LINE_MOST		(256u << 10)
#define MS_PER_SECOND		1000
#define CONNECT_TRIES		20
#define CONNECT_PAUSE_NS	20000000

/* Without waiting: a process that does not take connections has many that wait (EAGAIN). */
static int connect_now(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error;

	if (fd < 0)
		return -1;
	if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)) &&
	    !fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK))
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static void pause_connecting(void)
{
	const struct timespec pause = { .tv_nsec = CONNECT_PAUSE_NS };

	nanosleep(&pause, NULL);
}

/* EXIT_TIMEOUT: there is no room now. */
static int try_connecting(const char *name, struct failure *failure)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char path[PATH_MAX];
	int fd, error;

	rundir_path(path, sizeof(path), name, "control");
	if (strchr(name, '/') || name[0] == '.' || !name[0] || strlen(path) >= sizeof(address.sun_path)) {
		failure_set(failure, EXIT_NO_GUEST, "\"%s\" is not the name of a guest; keel list shows those that run", name);
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = connect_now(&address);
	error = errno;
	if (fd >= 0)
		return fd;
	if ((error == ENOENT || error == ECONNREFUSED) && rundir_process(name))
		failure_set(failure, EXIT_NO_GUEST, "guest \"%s\" is about to start or to end, and takes no requests; "
			    "keel list shows what becomes of it", name);
	else if (error == ENOENT || error == ECONNREFUSED || error == ENOTDIR)
		failure_set(failure, EXIT_NO_GUEST, "no guest \"%s\" is running; keel list shows those that are, and "
			    "keel list --all why others ended", name);
	else if (error == EAGAIN)
		failure_set(failure, EXIT_TIMEOUT, "the process of guest \"%s\" takes no requests", name);
	else
		failure_set(failure, EXIT_FAILED, "cannot reach guest \"%s\": %s%s", name, strerror(error),
			    error == EACCES ? "; run this as root" : "");
	errno = error;
	return -1;
}

int client_connect(const char *name, struct failure *failure)
{
	int fd = try_connecting(name, failure);

	for (int i = 0; i < CONNECT_TRIES && fd < 0 && failure->code == EXIT_TIMEOUT; i++) {
		pause_connecting();
		fd = try_connecting(name, failure);
	}
	return fd;
}

static ssize_t send_text(int fd, char *text, size_t length, int descriptor)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { text, length };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *header;

	if (descriptor >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		*header = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(header), &descriptor, sizeof(descriptor));
	}
	return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool client_send_with(int fd, json_t *request, int descriptor, struct failure *failure)
{
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	size_t length = text ? strlen(text) : 0;
	ssize_t sent = -1;
	int error = ENOMEM;

	json_decref(request);
	if (text) {
		text[length++] = '\n';	/* in the place of the final zero */
		sent = send_text(fd, text, length, descriptor);
		error = sent < 0 ? errno : EMSGSIZE;
	}
	free(text);
	/* There is room for many requests. */
	if (sent < 0 && error == EAGAIN)
		return failure_set(failure, EXIT_TIMEOUT, "its process takes no requests");
	/* Who closed its end has told why, for client_receive. */
	return sent == (ssize_t)length || (sent < 0 && error == EPIPE) ||
	       failure_set(failure, EXIT_FAILED, "cannot ask the guest's process: %s", strerror(error));
}

bool client_send(int fd, json_t *request, struct failure *failure)
{
	return client_send_with(fd, request, -1, failure);
}

long long client_deadline(int seconds)
{
	return seconds < 0 ? CLIENT_NO_TIMEOUT : (long long)clock_ms() + seconds * (long long)MS_PER_SECOND;
}

int client_ms_left(long long deadline)
{
	long long left = deadline - (long long)clock_ms();

	return deadline < 0 ? -1 : left < 0 ? 0 : (int)left;
}

/* False: not within the time. */
static bool wait_readable(int fd, long long deadline)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	int n;

	do {
		n = poll(&ready, 1, client_ms_left(deadline));
	} while (n < 0 && errno == EINTR);
	return n;
}

/* A line, byte by byte: what follows it may be a console's characters, which are another reader's. The caller's to free. */
static char *read_line(int fd, long long deadline, bool *closed, struct failure *failure)
{
	char *line = NULL, *grown;
	ssize_t n;

	for (size_t used = 0; used < LINE_MOST; used += n > 0 ? (size_t)n : 0) {
		if (used % LINE_CHUNK == 0) {
			grown = realloc(line, used + LINE_CHUNK);
			if (!grown) {
				failure_set(failure, EXIT_FAILED, "out of memory");
				goto failed;
			}
			line = grown;
		}
		if (!wait_readable(fd, deadline)) {
			failure_set(failure, EXIT_TIMEOUT, "its process does not answer");
			goto failed;
		}
		n = read(fd, line + used, 1);
		if ((n < 0 && errno != EINTR) || !n) {
			*closed = true;
			failure_set(failure, EXIT_FAILED, "its process is gone");
			goto failed;
		}
		if (n > 0 && line[used] == '\n') {
			line[used] = '\0';
			return line;
		}
	}
	failure_set(failure, EXIT_FAILED, "its process gave too long an answer");
failed:
	free(line);
	return NULL;
}

/* One of its own may come with a refusal. */
static enum exit_code code_of(const json_t *answer)
{
	json_int_t code = json_integer_value(json_object_get(answer, "code"));

	return code > EXIT_DONE && code <= EXIT_NO_MEMORY ? (enum exit_code)code : EXIT_FAILED;
}

json_t *client_answer(const char *line, size_t length, struct failure *failure)
{
	json_t *answer = json_loadb(line, length, 0, NULL);
	const char *error;

	if (json_is_true(json_object_get(answer, "ok")))
		return answer;
	error = json_string_value(json_object_get(answer, "error"));
	failure_set(failure, code_of(answer), "%s", error && *error ? error : "its process gave a strange answer");
	json_decref(answer);
	return NULL;
}

static json_t *receive(int fd, long long deadline, bool *closed, struct failure *failure)
{
	char *line = read_line(fd, deadline, closed, failure);
	json_t *answer = line ? client_answer(line, strlen(line), failure) : NULL;

	free(line);
	return answer;
}

json_t *client_receive(int fd, long long deadline, struct failure *failure)
{
	bool closed;

	return receive(fd, deadline, &closed, failure);
}

void client_name_failure(struct client_call *call)
{
	struct failure failure = call->failure;

	failure_set(&call->failure, failure.code, "guest \"%s\": %s", call->name, failure.text);
}

/* False: there is no room for it now. */
static bool ask(struct client_call *c, json_t *request)
{
	c->answer = NULL;
	c->closed = false;
	c->fd = try_connecting(c->name, &c->failure);
	c->refused = c->fd < 0 && errno == ECONNREFUSED;
	if (c->fd < 0)
		return c->failure.code != EXIT_TIMEOUT;
	if (!client_send(c->fd, json_incref(request), &c->failure)) {
		client_name_failure(c);
		fd_close(&c->fd);
	}
	return true;
}

static void ask_while_time(struct client_call *calls, size_t count, json_t *request, long long deadline)
{
	bool *asked = calloc(count ? count : 1, sizeof(*asked));
	size_t left = count;

	for (size_t i = 0; i < count; i++)
		calls[i].fd = -1;
	while (left) {
		left = 0;
		for (size_t i = 0; i < count; i++) {
			bool done = calls[i].settled || (asked && asked[i]) || ask(&calls[i], request);

			if (asked)
				asked[i] = done;
			left += !done;
		}
		if (!asked || !client_ms_left(deadline))
			break;
		if (left)
			pause_connecting();
	}
	free(asked);
}

void client_ask_all(struct client_call *calls, size_t count, json_t *request, int seconds)
{
	long long deadline = client_deadline(seconds);

	ask_while_time(calls, count, request, deadline);
	for (size_t i = 0; i < count; i++) {
		struct client_call *c = &calls[i];

		if (c->settled || c->fd < 0)
			continue;
		c->answer = receive(c->fd, deadline, &c->closed, &c->failure);
		fd_close(&c->fd);
		if (!c->answer)
			client_name_failure(c);
	}
	json_decref(request);
}

json_t *client_ask(const char *name, json_t *request, int seconds, struct failure *failure)
{
	struct client_call call = { .name = name };

	client_ask_all(&call, 1, request, seconds);
	if (!call.answer)
		*failure = call.failure;
	return call.answer;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_name(char ***names, size_t *count, const char *name)
{
	char **grown = realloc(*names, (*count + 1) * sizeof(*grown));

	if (!grown)
		return false;
	*names = grown;
	grown[*count] = strdup(name);
	return grown[*count] && ++*count;
}

bool client_guests(char ***names, size_t *count, struct failure *failure)
{
	DIR *parent = opendir(rundir_parent());
	struct dirent *entry;
	int error = errno;

	*names = NULL;
	*count = 0;
	if (!parent)
		return error == ENOENT ||
		       failure_set(failure, EXIT_FAILED, "cannot read %s: %s", rundir_parent(), strerror(error));
	for (errno = 0; (entry = readdir(parent)); errno = 0)
		if (entry->d_name[0] != '.' && !add_name(names, count, entry->d_name)) {
			errno = ENOMEM;
			break;
		}
	error = errno;
	closedir(parent);
	if (*count)
		qsort(*names, *count, sizeof(**names), by_name);
	if (!error)
		return true;
	client_free_names(*names, *count);
	return failure_set(failure, EXIT_FAILED, "cannot read %s: %s", rundir_parent(), strerror(error));
}

void client_free_names(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}
