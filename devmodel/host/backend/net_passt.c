// SPDX-License-Identifier: GPL-2.0
/*
 * A network in user mode, by passt(1): a program of its own, which has no right that the user who starts the guest has not. It
 * is connected by a stream socket, in which frames without headers stand behind their lengths, of four bytes, the highest first.
 * It ends when the socket is closed, which is when the guest's process ends.
 */
#include "host/backend/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM			"passt"
#define SOCKET			3		/* the program's end, in the program */
#define LENGTH_BYTES		sizeof(uint32_t)
#define BUFFER_BYTES		(128u << 10)	/* more than a frame takes */
#define WORDS_MOST		(16u + 2 * MANIFEST_FORWARDS)
#define WORD_ROOM		80u

struct passt {
	uint8_t in[BUFFER_BYTES];	/* what was read, from in_first to in_end */
	size_t in_first, in_end;
	uint8_t out[LENGTH_BYTES + NET_FRAME_MOST];	/* the rest of a frame that was sent in part */
	size_t out_first, out_end;
};

struct words {
	char *list[WORDS_MOST];
	char room[WORDS_MOST][WORD_ROOM];
	unsigned int count;
};

__attribute__((format(printf, 2, 3)))
static void add_word(struct words *words, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(words->room[words->count], WORD_ROOM, format, args);
	va_end(args);
	words->list[words->count] = words->room[words->count];
	words->count++;
}

/* The address of the host's gateway would be the host's own loopback, with whatever listens there. */
static void make_words(struct words *words, const struct manifest_network *network)
{
	add_word(words, PROGRAM);
	add_word(words, "--quiet");
	add_word(words, "--stderr");
	add_word(words, "--no-map-gw");
	add_word(words, "--fd");
	add_word(words, "%d", SOCKET);
	if (network->mtu) {
		add_word(words, "--mtu");
		add_word(words, "%u", network->mtu);
	}
	for (unsigned int i = 0; i < network->forwards; i++) {
		const struct manifest_forward *forward = &network->forward[i];

		add_word(words, forward->udp ? "-u" : "-t");
		add_word(words, "%s/%u:%u", forward->address, forward->host, forward->guest);
	}
}

/* It gets nothing of this process but the socket and the log. An errno, or 0. */
static int spawn(pid_t *pid, char **words, int fd)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, pipes;
	int error;

	sigemptyset(&none);
	sigemptyset(&pipes);
	sigaddset(&pipes, SIGPIPE);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &pipes);
	posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, fd, SOCKET);
	error = posix_spawnp(pid, PROGRAM, &files, &attributes, words, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return error;
}

/* It goes into the background once all that it needs is there: a first process, which ends then, says so. */
static bool start_program(const struct manifest_network *network, int fd, struct failure *failure)
{
	struct words words = { .count = 0 };
	int error, status;
	pid_t pid;

	make_words(&words, network);
	error = spawn(&pid, words.list, fd);
	if (error == ENOENT)
		return failure_set(failure, EXIT_FAILED, "there is no program " PROGRAM ", which networks in user mode take: "
				   "Debian's package " PROGRAM " has it");
	if (error)
		return failure_set(failure, EXIT_FAILED, "cannot start " PROGRAM ": %s", strerror(error));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return failure_set(failure, EXIT_FAILED, "cannot wait for " PROGRAM ": %s", strerror(errno));
	return (WIFEXITED(status) && !WEXITSTATUS(status)) ||
	       failure_set(failure, EXIT_FAILED, PROGRAM " does not start, for reasons that are in the guest's log; is a port "
			   "that is forwarded in use, or has this host no route to others?");
}

static bool open_passt(struct net *net, const struct manifest *m, const struct manifest_network *network, unsigned int number,
		       struct failure *failure)
{
	int ends[2];
	bool started;

	(void)m;
	(void)number;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return failure_set(failure, EXIT_FAILED, "cannot make a pair of sockets: %s", strerror(errno));
	started = start_program(network, ends[1], failure);
	close(ends[1]);
	net->passt = started ? calloc(1, sizeof(*net->passt)) : NULL;
	if (net->passt && !fcntl(ends[0], F_SETFL, O_NONBLOCK)) {
		net->source = (struct loop_source){ .fd = ends[0], .events = EPOLLIN };
		return true;
	}
	if (started)
		failure_set(failure, EXIT_NO_MEMORY, "out of memory");
	close(ends[0]);
	return false;
}

static void close_passt(struct net *net)
{
	close(net->source.fd);
	free(net->passt);
}

static enum net_sent flush(struct net *net)
{
	struct passt *passt = net->passt;

	while (passt->out_first < passt->out_end) {
		ssize_t n = write(net->source.fd, passt->out + passt->out_first, passt->out_end - passt->out_first);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? NET_WAITS : NET_GONE;
		passt->out_first += (size_t)n;
	}
	return NET_SENT;
}

/* What the socket does not take of a frame is kept, for the frame in the channel is the cell's again. */
static enum net_sent send_frame(struct net *net, const struct net_header *header, const uint8_t *frame, uint32_t bytes)
{
	uint32_t length = htonl(bytes);
	const struct iovec parts[] = { { &length, sizeof(length) }, { (void *)frame, bytes } };
	struct passt *passt = net->passt;
	size_t sent, sent_of_frame;
	ssize_t n;

	(void)header;
	if (passt->out_first < passt->out_end)
		return NET_WAITS;
	n = writev(net->source.fd, parts, 2);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? NET_WAITS : NET_GONE;
	sent = (size_t)n;
	if (sent == LENGTH_BYTES + bytes)
		return NET_SENT;
	sent_of_frame = sent < LENGTH_BYTES ? 0 : sent - LENGTH_BYTES;
	memcpy(passt->out, &length, sizeof(length));
	memcpy(passt->out + LENGTH_BYTES + sent_of_frame, frame + sent_of_frame, bytes - sent_of_frame);
	passt->out_first = sent;
	passt->out_end = LENGTH_BYTES + bytes;
	return NET_SENT;
}

/* Of the frame at the front; 0: its length is not here yet. */
static uint32_t frame_bytes(const struct passt *passt)
{
	uint32_t length;

	if (passt->in_end - passt->in_first < LENGTH_BYTES)
		return 0;
	memcpy(&length, passt->in + passt->in_first, sizeof(length));
	return ntohl(length);
}

static bool has_frame(const struct passt *passt)
{
	size_t left = passt->in_end - passt->in_first;

	return left > LENGTH_BYTES && left - LENGTH_BYTES >= frame_bytes(passt);
}

/* 0: nothing is there; below 0: nothing will be. */
static ssize_t read_more(struct net *net)
{
	struct passt *passt = net->passt;
	ssize_t n;

	memmove(passt->in, passt->in + passt->in_first, passt->in_end - passt->in_first);
	passt->in_end -= passt->in_first;
	passt->in_first = 0;
	n = read(net->source.fd, passt->in + passt->in_end, BUFFER_BYTES - passt->in_end);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	passt->in_end += (size_t)n;
	return n ? n : -1;
}

static void copy_out(const struct iovec *pieces, int count, size_t skip, const uint8_t *from, size_t bytes)
{
	for (int i = 0; i < count && bytes; i++, skip = 0) {
		size_t room = pieces[i].iov_len - skip, part = bytes < room ? bytes : room;

		memcpy((uint8_t *)pieces[i].iov_base + skip, from, part);
		from += part;
		bytes -= part;
	}
}

static ssize_t receive(struct net *net, const struct iovec *pieces, int count, bool may_read)
{
	struct passt *passt = net->passt;
	uint32_t bytes;
	ssize_t n;

	if (!has_frame(passt)) {
		n = may_read ? read_more(net) : 0;
		if (n <= 0)
			return n;
	}
	bytes = frame_bytes(passt);
	/* One that says such things cannot be understood any more. */
	if (passt->in_end - passt->in_first >= LENGTH_BYTES && (bytes < NET_ETHERNET_BYTES || bytes > NET_FRAME_MOST))
		return -1;
	if (!has_frame(passt))
		return 0;
	memset(pieces[0].iov_base, 0, NET_HEADER_BYTES);
	copy_out(pieces, count, NET_HEADER_BYTES, passt->in + passt->in_first + LENGTH_BYTES, bytes);
	passt->in_first += LENGTH_BYTES + bytes;
	return (ssize_t)(NET_HEADER_BYTES + bytes);
}

const struct net_link_ops net_passt = {
	.open = open_passt, .close = close_passt, .send = send_frame, .flush = flush, .receive = receive,
};
