// SPDX-License-Identifier: GPL-2.0
/* The control socket: lines of JSON. */
#include "host/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <keel/macros.h>

#define CONNECTIONS_MOST	64u

static void put_descriptor_away(struct control_connection *c)
{
	if (c->descriptor >= 0)
		close(c->descriptor);
	c->descriptor = -1;
}

static void drop(struct control_connection *connection, bool keep_fd)
{
	struct control *control = connection->control;
	struct control_connection **link = &control->connections;
	bool waiting = connection->waiting;

	while (*link != connection)
		link = &(*link)->next;
	*link = connection->next;
	loop_remove(control->loop, &connection->source);
	if (!keep_fd)
		close(connection->source.fd);
	put_descriptor_away(connection);
	free(connection);
	if (waiting && control->gone)
		control->gone(control->owner);
}

/* Answers are small: one that does not fit the socket's buffer belongs to a client that does not read. */
static bool send_answer(int fd, json_t *answer)
{
	static const char no_memory[] = "{\"ok\":false,\"error\":\"its process is out of memory\"}\n";
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	size_t length = text ? strlen(text) : strlen(no_memory);
	bool sent;

	json_decref(answer);
	if (text)
		text[length++] = '\n';	/* in the place of the final zero */
	sent = send(fd, text ? text : no_memory, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
	free(text);
	return sent;
}

json_t *control_refuse_crowd(void)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", "too many wait for an answer of its process");
}

/* False: the connection is gone. */
static bool handle_line(struct control_connection *connection, size_t length)
{
	struct control *control = connection->control;
	json_error_t error;
	json_t *request = json_loadb(connection->line, length, 0, &error), *answer;
	struct control_connection *c;

	if (!json_is_object(request))
		answer = json_pack("{s:b, s:s}", "ok", 0, "error", "expected a JSON object");
	else
		answer = control->handle(control->owner, connection, request);
	json_decref(request);
	for (c = control->connections; c && c != connection; c = c->next)
		;
	if (!c)
		return false;
	put_descriptor_away(connection);
	connection->excess = false;
	if (answer && !send_answer(connection->source.fd, answer)) {
		drop(connection, false);
		return false;
	}
	return true;
}

/* All that came, lest one stays open that nobody knows of. */
static void take_descriptors(struct control_connection *c, struct msghdr *message)
{
	c->excess |= (message->msg_flags & MSG_CTRUNC) != 0;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			c->excess |= c->descriptor >= 0;
			put_descriptor_away(c);
			memcpy(&c->descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
		}
	}
	if (c->excess)
		put_descriptor_away(c);
}

/* The kernel hands out one descriptor at most where there is room for one; the rest is closed, and MSG_CTRUNC says so. */
static ssize_t take(struct control_connection *c, char *to, size_t count)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { to, count };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_LEN(sizeof(int)),
	};
	ssize_t n = recvmsg(c->source.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n >= 0)
		take_descriptors(c, &message);
	return n;
}

/*
 * Takes what has come, but nothing behind the end of a line: that stays in the socket until the line is answered, or is for
 * whom the connection is handed to. False: there is no more to come.
 */
static bool receive(struct control_connection *c, bool *whole)
{
	char *to = c->line + c->used, *end;
	ssize_t n = recv(c->source.fd, to, sizeof(c->line) - c->used, MSG_DONTWAIT | MSG_PEEK);

	*whole = false;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	end = memchr(to, '\n', (size_t)n);
	n = take(c, to, end ? (size_t)(end + 1 - to) : (size_t)n);
	*whole = n > 0 && to[n - 1] == '\n';
	c->used += n > 0 ? (size_t)n : 0;
	return n > 0 && (*whole || c->used < sizeof(c->line));
}

static void on_connection(struct loop_source *source, uint32_t events)
{
	struct control_connection *c = (struct control_connection *)source;
	bool whole;

	(void)events;
	/* Of one that waits nothing is told but that its client is gone. */
	if (c->waiting || !receive(c, &whole))
		drop(c, false);
	else if (whole && handle_line(c, c->used - 1))
		c->used = 0;
}

static unsigned int count_connections(const struct control *control, bool reserved)
{
	unsigned int count = 0;

	for (const struct control_connection *c = control->connections; c; c = c->next)
		count += c->reserved == reserved;
	return count;
}

/* NULL: it is told, and closed. */
static struct control_connection *connect_fd(struct control *control, int fd)
{
	bool full = count_connections(control, false) >= CONNECTIONS_MOST;
	struct control_connection *connection = NULL;

	if (!full || !count_connections(control, true))
		connection = calloc(1, sizeof(*connection));
	if (!connection) {
		send_answer(fd, control_refuse_crowd());
		close(fd);
		return NULL;
	}
	connection->source = (struct loop_source){ .fd = fd, .events = EPOLLIN, .ready = on_connection };
	connection->control = control;
	connection->reserved = full;
	connection->descriptor = -1;
	connection->next = control->connections;
	control->connections = connection;
	if (loop_add(control->loop, &connection->source))
		return connection;
	drop(connection, false);
	return NULL;
}

static void on_listener(struct loop_source *source, uint32_t events)
{
	struct control *control = container_of(source, struct control, listener);
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0)
		connect_fd(control, fd);
}

bool control_adopt(struct control *control, int fd)
{
	struct control_connection *connection = connect_fd(control, fd);

	if (connection)
		control_defer(connection, 0);
	return connection;
}

bool control_open(struct control *control, struct loop *loop, const char *path, struct failure *failure)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	control->loop = loop;
	control->connections = NULL;
	if (strlen(path) >= sizeof(address.sun_path))
		return failure_set(failure, EXIT_FAILED, "the path of the control socket is too long: %s", path);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	control->listener = (struct loop_source){ .fd = fd, .events = EPOLLIN, .ready = on_listener };
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, 16) ||
	    !loop_add(loop, &control->listener))
		return failure_set(failure, EXIT_FAILED, "cannot make the control socket %s: %s", path, strerror(errno));
	return true;
}

void control_stop_listening(struct control *control)
{
	if (control->listener.fd < 0)
		return;
	loop_remove(control->loop, &control->listener);
	close(control->listener.fd);
	control->listener.fd = -1;
}

void control_close(struct control *control)
{
	control_stop_listening(control);
	while (control->connections)
		drop(control->connections, false);
}

void control_defer(struct control_connection *connection, unsigned int purpose)
{
	connection->waiting = true;
	connection->purpose = purpose;
	loop_change(connection->control->loop, &connection->source, 0);
}

bool control_is_awaited(const struct control *control, unsigned int purpose)
{
	for (const struct control_connection *c = control->connections; c; c = c->next)
		if (c->waiting && c->purpose == purpose)
			return true;
	return false;
}

int control_take_descriptor(struct control_connection *connection)
{
	int fd = connection->descriptor;

	connection->descriptor = -1;
	return fd;
}

int control_take(struct control_connection *connection, json_t *answer)
{
	int fd = connection->source.fd;

	if (send_answer(connection->source.fd, answer)) {
		drop(connection, true);
		return fd;
	}
	drop(connection, false);
	return -1;
}

void control_answer_waiting(struct control *control, unsigned int purposes, json_t *answer)
{
	struct control_connection *next;

	for (struct control_connection *c = control->connections; c; c = next) {
		next = c->next;
		if (!c->waiting || !(purposes & 1u << c->purpose))
			continue;
		c->waiting = false;
		loop_change(control->loop, &c->source, EPOLLIN);
		if (!send_answer(c->source.fd, json_incref(answer)))
			drop(c, false);
	}
	json_decref(answer);
}
