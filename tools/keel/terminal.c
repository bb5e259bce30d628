// SPDX-License-Identifier: GPL-2.0
/* keel console: characters between a terminal and a guest. */
#include "terminal.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "client.h"

#define ESCAPE			0x1d	/* Ctrl-] */
#define CHUNK			4096
#define LAST_WORD_SECONDS	30

enum step {
	STEP_ON,
	STEP_DETACHED,
	STEP_GUEST_GONE,	/* the console closed; why, the waiter tells */
	STEP_ENDED,		/* the waiter has told */
};

struct session {
	const char *name;
	int console, waiter;
	bool typing;		/* standard input is not at its end */
	bool leaving;		/* the user typed the escape */
	bool terminal;
	char typed[CHUNK];	/* read from standard input, not yet sent */
	size_t sent, unsent;
	struct termios before;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
	(void)signal;
	interrupted = 1;
}

static bool write_all(int fd, const char *bytes, size_t count)
{
	while (count) {
		ssize_t n = write(fd, bytes, count);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd ready = { .fd = fd, .events = POLLOUT };

			poll(&ready, 1, -1);
			continue;
		}
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			bytes += n;
			count -= (size_t)n;
		}
	}
	return true;
}

static int open_console(const char *name, bool replay, struct failure *failure)
{
	int fd = client_connect(name, failure);
	json_t *answer = NULL;

	if (fd >= 0 && client_send(fd, json_pack("{s:s, s:b}", "command", "console", "replay", replay), failure))
		answer = client_receive(fd, LAST_WORD_SECONDS, failure);
	if (fd >= 0 && !answer) {
		close(fd);
		fd = -1;
	}
	json_decref(answer);
	return fd;
}

/* Sends what the socket takes. A full socket must not keep this end from reading: the guest may wait for that. */
static enum step send_typed(struct session *s)
{
	while (s->unsent) {
		ssize_t n = send(s->console, s->typed + s->sent, s->unsent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return STEP_ON;
		if (n < 0)
			return STEP_GUEST_GONE;
		s->sent += (size_t)n;
		s->unsent -= (size_t)n;
	}
	return s->leaving ? STEP_DETACHED : STEP_ON;
}

static enum step take_typed(struct session *s)
{
	ssize_t n = read(STDIN_FILENO, s->typed, sizeof(s->typed));
	char *escape;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return STEP_ON;
	if (n <= 0) {
		s->typing = false;
		return s->terminal ? STEP_DETACHED : STEP_ON;
	}
	escape = s->terminal ? memchr(s->typed, ESCAPE, (size_t)n) : NULL;
	s->leaving = escape;
	s->sent = 0;
	s->unsent = escape ? (size_t)(escape - s->typed) : (size_t)n;
	return send_typed(s);
}

static enum step take_shown(struct session *s)
{
	char bytes[CHUNK];
	ssize_t n = read(s->console, bytes, sizeof(bytes));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return STEP_ON;
	if (n <= 0)
		return STEP_GUEST_GONE;
	return write_all(STDOUT_FILENO, bytes, (size_t)n) ? STEP_ON : STEP_DETACHED;
}

static void set_terminal(struct session *s, bool raw)
{
	struct termios mode = s->before;

	if (!s->terminal)
		return;
	if (raw)
		cfmakeraw(&mode);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &mode);
}

/* The guest's process says how a run ended; after a restart it is asked again. */
static enum step take_word(struct session *s, enum exit_code *code, struct failure *failure)
{
	json_t *word = client_receive(s->waiter, LAST_WORD_SECONDS, failure);
	const char *event = json_string_value(json_object_get(word, "event"));
	enum step step = STEP_ENDED;

	if (!word) {
		*code = failure->code;
		return step;
	}
	set_terminal(s, false);
	fprintf(stderr, "\n[keel] %s: %s (%s)\n", s->name, event ? event : "?",
		json_string_value(json_object_get(word, "reason")));
	if (event && !strcmp(event, "restarted")) {
		set_terminal(s, true);
		if (client_send(s->waiter, json_pack("{s:s}", "command", "wait"), failure))
			step = STEP_ON;
	}
	*code = json_is_true(json_object_get(word, "crashed")) ? EXIT_FAILED : EXIT_DONE;
	json_decref(word);
	return step;
}

static void run_session(struct session *s, enum exit_code *code, struct failure *failure)
{
	enum step step = STEP_ON;

	while (step == STEP_ON && !interrupted) {
		struct pollfd ready[] = {
			{ .fd = s->console, .events = (short)(s->unsent ? POLLIN | POLLOUT : POLLIN) },
			{ .fd = s->waiter, .events = POLLIN },
			{ .fd = s->typing && !s->unsent ? STDIN_FILENO : -1, .events = POLLIN },
		};

		if (poll(ready, 3, -1) < 0)
			continue;
		if (ready[0].revents & ~POLLOUT)
			step = take_shown(s);
		else if (ready[0].revents)
			step = send_typed(s);
		else if (ready[1].revents)
			step = take_word(s, code, failure);
		else if (ready[2].revents)
			step = take_typed(s);
	}
	if (step == STEP_GUEST_GONE)
		while (take_word(s, code, failure) == STEP_ON)
			;
}

static bool open_session(struct session *s, struct failure *failure)
{
	s->console = open_console(s->name, false, failure);
	if (s->console < 0)
		return false;
	s->waiter = client_connect(s->name, failure);
	if (s->waiter >= 0 && client_send(s->waiter, json_pack("{s:s}", "command", "wait"), failure))
		return true;
	close(s->console);
	return false;
}

enum exit_code terminal_join(const char *name, struct failure *failure)
{
	struct session s = { .name = name, .typing = true };
	struct sigaction action = { .sa_handler = on_signal };
	enum exit_code code = EXIT_DONE;

	failure->text[0] = '\0';
	if (!open_session(&s, failure))
		return failure->code;
	s.terminal = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &s.before);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (s.terminal)
		fprintf(stderr, "[keel] console of %s; Ctrl-] leaves\n", name);
	set_terminal(&s, true);
	run_session(&s, &code, failure);
	set_terminal(&s, false);
	close(s.console);
	close(s.waiter);
	return code;
}

enum exit_code terminal_replay(const char *name, struct failure *failure)
{
	struct session s = { .console = open_console(name, true, failure) };

	if (s.console < 0)
		return failure->code;
	while (take_shown(&s) == STEP_ON)
		;
	close(s.console);
	return EXIT_DONE;
}
