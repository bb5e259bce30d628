// SPDX-License-Identifier: GPL-2.0
/* The serial console's readers and writers. */
#include "host/backend/console.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <keel/macros.h>

#include "common/clock.h"
#include "common/fd.h"

#define CHUNK			4096u
#define PATIENCE_SECONDS	5	/* for a reader that does not read */
#define PENDING_MOST		(CONSOLE_SCROLLBACK - CHUNK)
#define CLIENTS_MOST		32u
#define LISTEN_QUEUE		4
#define OPEN_FILES		"/proc/self/fd"
#define TERMINALS		"/proc/tty/drivers"

struct console_client {
	struct loop_source source;
	struct console *console;
	struct console_client *next;
	uint64_t position;	/* the next character it gets */
	time_t progress;	/* when it last took one */
	bool patient;		/* a reader that the guest's output waits for */
	bool leaving;		/* ends when it has everything */
};

static void detach(struct console_client *client)
{
	struct console_client **link = &client->console->clients;

	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	loop_remove(client->console->loop, &client->source);
	close(client->source.fd);
	free(client);
}

static uint64_t oldest(const struct console *console)
{
	return console->written > CONSOLE_SCROLLBACK ? console->written - CONSOLE_SCROLLBACK : 0;
}

static ssize_t send_some(struct console_client *client)
{
	const struct console *console = client->console;
	size_t start = client->position % CONSOLE_SCROLLBACK;
	uint64_t count = console->written - client->position;

	if (count > CONSOLE_SCROLLBACK - start)
		count = CONSOLE_SCROLLBACK - start;
	return write(client->source.fd, console->scrollback + start, (size_t)count);
}

/* False: the client is gone. */
static bool flush(struct console_client *client)
{
	struct console *console = client->console;
	uint32_t events = client->source.events;

	if (client->position < oldest(console))
		client->position = oldest(console);
	while (client->position < console->written) {
		ssize_t n = send_some(client);

		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			detach(client);
			return false;
		}
		if (n <= 0)
			break;
		client->position += (uint64_t)n;
		client->progress = clock_seconds();
	}
	if (client->leaving && client->position == console->written) {
		detach(client);
		return false;
	}
	loop_change(console->loop, &client->source,
		    client->position < console->written ? events | EPOLLOUT : events & ~(uint32_t)EPOLLOUT);
	return true;
}

/* False: the client is gone. */
static bool take_input(struct console_client *client)
{
	struct console *console = client->console;
	uint8_t bytes[CHUNK];
	size_t room = console->room(console->owner);
	ssize_t n;

	if (!room) {
		console->input_blocked = true;
		loop_change(console->loop, &client->source, client->source.events & ~(uint32_t)EPOLLIN);
		return true;
	}
	n = read(client->source.fd, bytes, room < sizeof(bytes) ? room : sizeof(bytes));
	if (n > 0)
		console->put(console->owner, bytes, (size_t)n);
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return true;
	detach(client);
	return false;
}

static void on_client(struct loop_source *source, uint32_t events)
{
	struct console_client *client = (struct console_client *)source;

	if (events & EPOLLIN && !take_input(client))
		return;
	if (events & EPOLLOUT && !flush(client))
		return;
	if (events & (EPOLLHUP | EPOLLERR) && !(events & EPOLLIN))
		detach(client);
}

bool console_has_room(const struct console *console)
{
	unsigned int count = 0;

	for (struct console_client *c = console->clients; c; c = c->next)
		count++;
	return count < CLIENTS_MOST;
}

static struct console_client *add_client(struct console *console, int fd, uint32_t events)
{
	struct console_client *client = calloc(1, sizeof(*client));

	if (!client || !console_has_room(console))
		goto failed;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	client->source = (struct loop_source){ .fd = fd, .events = events, .ready = on_client };
	client->console = console;
	client->position = oldest(console);
	client->progress = clock_seconds();
	if (!loop_add(console->loop, &client->source))
		goto failed;
	client->next = console->clients;
	console->clients = client;
	return client;
failed:
	free(client);
	close(fd);
	return NULL;
}

bool console_attach(struct console *console, int fd, bool replay_only)
{
	struct console_client *client = add_client(console, fd, replay_only ? 0 : EPOLLIN);

	if (!client)
		return false;
	client->patient = !replay_only;
	client->leaving = replay_only;
	flush(client);
	return true;
}

static void on_connection(struct loop_source *source, uint32_t events)
{
	struct console *console = container_of(source, struct console, listener);
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0)
		console_attach(console, fd, false);
}

void console_init(struct console *console, struct loop *loop)
{
	memset(console, 0, sizeof(*console));
	console->loop = loop;
	console->listener.fd = console->pty_slave = console->file = console->log.fd = console->log.old = -1;
}

bool console_open_pty(struct console *console, const char *link, struct failure *failure)
{
	struct termios raw;
	char name[64];
	int master;

	memset(&raw, 0, sizeof(raw));
	cfmakeraw(&raw);
	raw.c_cflag |= CREAD | CLOCAL;
	if (openpty(&master, &console->pty_slave, name, &raw, NULL))
		return failure_set(failure, EXIT_FAILED, "cannot open a pty: %s", strerror(errno));
	fcntl(master, F_SETFD, FD_CLOEXEC);
	fcntl(console->pty_slave, F_SETFD, FD_CLOEXEC);
	unlink(link);
	if (symlink(name, link) || !add_client(console, master, EPOLLIN))
		return failure_set(failure, EXIT_FAILED, "cannot set up the pty as %s: %s", link, strerror(errno));
	return true;
}

/* Whether nobody listens there any more. A listener with a full queue is one. */
static bool is_stale(int folder, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int there = openat(folder, name, O_PATH | O_CLOEXEC);
	struct stat st;
	bool stale;

	snprintf(address.sun_path, sizeof(address.sun_path), OPEN_FILES "/%d", there);
	stale = fd >= 0 && !fstat(there, &st) && S_ISSOCK(st.st_mode) &&
		connect(fd, (const struct sockaddr *)&address, sizeof(address)) && errno == ECONNREFUSED;
	fd_close(&there);
	fd_close(&fd);
	return stale;
}

/* Under another name it is nobody else's to take for stale: one that has come there since is put back. */
static void remove_stale_socket(int folder, const char *name)
{
	char aside[32];

	snprintf(aside, sizeof(aside), ".keel-stale-%d", (int)getpid());
	if (!is_stale(folder, name) || renameat(folder, name, folder, aside))
		return;
	if (!is_stale(folder, aside) && linkat(folder, aside, folder, name, 0))
		perror(name);
	unlinkat(folder, aside, 0);
}

/* Its name leads to it only once it listens. -1: errno tells. */
static int listen_as(int folder, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error;
	char first[32];
	bool done;

	snprintf(first, sizeof(first), ".keel-serial-%d", (int)getpid());
	/* By way of the folder, so that it is short enough. */
	snprintf(address.sun_path, sizeof(address.sun_path), OPEN_FILES "/%d/%s", folder, first);
	unlinkat(folder, first, 0);
	done = fd >= 0 && !bind(fd, (const struct sockaddr *)&address, sizeof(address)) &&
	       !listen(fd, LISTEN_QUEUE) && !linkat(folder, first, folder, name, 0);
	error = errno;
	unlinkat(folder, first, 0);
	if (!done)
		fd_close(&fd);
	errno = error;
	return fd;
}

/* The folder, and the name in it. */
static int open_parent(const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];

	*name = slash ? slash + 1 : path;
	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool console_open_socket(struct console *console, const char *path, struct failure *failure)
{
	const char *name;
	int folder, fd = -1, error;

	if (strlen(path) >= sizeof(console->listener_path))
		return failure_set(failure, EXIT_FAILED, "the path of the serial socket is longer than %zu characters: %s",
				   sizeof(console->listener_path) - 1, path);
	folder = open_parent(path, &name);
	if (folder >= 0) {
		remove_stale_socket(folder, name);
		fd = listen_as(folder, name);
	}
	error = errno;
	fd_close(&folder);
	if (fd < 0)
		return failure_set(failure, error == EEXIST ? EXIT_IN_USE : EXIT_FAILED, "cannot make the serial socket %s: %s",
				   path, strerror(error == EEXIST ? EADDRINUSE : error));
	strcpy(console->listener_path, path);
	console->listener = (struct loop_source){ .fd = fd, .events = EPOLLIN, .ready = on_connection };
	if (!loop_add(console->loop, &console->listener))
		return failure_set(failure, EXIT_FAILED, "cannot listen on %s: %s", path, strerror(errno));
	return true;
}

/* The drivers of terminals are listed with their numbers. */
static bool is_terminal(dev_t device)
{
	FILE *f = fopen(TERMINALS, "re");
	unsigned int number, first, last;
	bool found = false;
	char line[256];

	while (f && !found && fgets(line, sizeof(line), f)) {
		int n = sscanf(line, "%*s %*s %u %u-%u", &number, &first, &last);

		found = n >= 2 && number == major(device) && minor(device) >= first && minor(device) <= (n == 3 ? last : first);
	}
	if (f)
		fclose(f);
	return found;
}

/* /dev/null and /dev/full (Documentation/admin-guide/devices.txt of Linux). */
static bool is_sink(dev_t device)
{
	return major(device) == 1 && (minor(device) == 3 || minor(device) == 7);
}

static bool takes_output(const struct stat *st)
{
	return S_ISREG(st->st_mode) || (S_ISCHR(st->st_mode) && (is_terminal(st->st_rdev) || is_sink(st->st_rdev)));
}

/* -1: errno tells, or it is not fit. */
static int open_output(const char *path, bool *fit)
{
	int found = open(path, O_PATH | O_CLOEXEC), fd = -1, error;
	struct stat st;

	if (found < 0)
		return errno == ENOENT ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
	*fit = !fstat(found, &st) && takes_output(&st);
	if (*fit)
		fd = fd_reopen(found, O_WRONLY | O_APPEND);
	error = errno;
	close(found);
	errno = error;
	return fd;
}

bool console_open_file(struct console *console, const char *path, struct failure *failure)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	bool fit = true;

	console->file = open_output(path, &fit);
	if (!fit)
		return failure_set(failure, EXIT_FAILED,
				   "%s, for what the serial port says, is neither a file nor a terminal", path);
	if (console->file < 0)
		return failure_set(failure, EXIT_FAILED, "cannot open %s: %s", path, strerror(errno));
	/* Images are locked like this. */
	if (fcntl(console->file, F_OFD_SETLK, &lock) && (errno == EAGAIN || errno == EACCES))
		return failure_set(failure, EXIT_IN_USE,
				   "%s, the file of the serial port, is in use by a guest or another program", path);
	return true;
}

void console_close(struct console *console)
{
	while (console->clients) {
		flush(console->clients);
		if (console->clients)
			detach(console->clients);
	}
	if (console->listener.fd >= 0) {
		loop_remove(console->loop, &console->listener);
		close(console->listener.fd);
		unlink(console->listener_path);
	}
	if (console->pty_slave >= 0)
		close(console->pty_slave);
	if (console->file >= 0)
		close(console->file);
	logfile_close(&console->log);
	console->listener.fd = console->pty_slave = console->file = -1;
}

size_t console_wants(const struct console *console)
{
	time_t now = clock_seconds();
	size_t wants = CHUNK;

	for (const struct console_client *c = console->clients; c; c = c->next)
		if (c->patient && console->written - c->position > PENDING_MOST && now - c->progress < PATIENCE_SECONDS)
			wants = 0;
	return wants;
}

/* 0, or an errno. */
static int write_file(const struct console *console, const uint8_t *bytes, size_t count)
{
	struct stat st;
	ssize_t n;

	if (console->file < 0)
		return 0;
	if (!fstat(console->file, &st) && S_ISREG(st.st_mode) && st.st_size + (off_t)count > CONSOLE_FILE_LIMIT)
		return EFBIG;
	n = write(console->file, bytes, count);
	return n < 0 ? errno : (size_t)n < count ? ENOSPC : 0;
}

static void keep(struct console *console, const uint8_t *bytes, size_t count)
{
	int error = logfile_write(&console->log, bytes, count);

	if (error)
		console->failed(console->owner, CONSOLE_FILE_LOG, error);
	error = write_file(console, bytes, count);
	if (error)
		console->failed(console->owner, CONSOLE_FILE_SERIAL, error);
}

void console_write(struct console *console, const uint8_t *bytes, size_t count)
{
	struct console_client *next;

	for (size_t i = 0; i < count; i++)
		console->scrollback[console->written++ % CONSOLE_SCROLLBACK] = bytes[i];
	keep(console, bytes, count);
	for (struct console_client *c = console->clients; c; c = next) {
		next = c->next;
		flush(c);
	}
}

void console_resume(struct console *console)
{
	if (!console->input_blocked || !console->room(console->owner))
		return;
	console->input_blocked = false;
	for (struct console_client *c = console->clients; c; c = c->next)
		if (!c->leaving)
			loop_change(console->loop, &c->source, c->source.events | EPOLLIN);
}
