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
#include "common/text.h"

#define ESCAPE			0x1d	/* Ctrl-] */
#define CHUNK			4096
#define LAST_WORD_SECONDS	30
/*
 * A terminal as one that was just opened: out of the alternate screen, and all of the screen scrolls (both move the cursor, which
 * is saved before); colours, character sets, cursor; lines wrap, nothing is inserted; keys, mouse and pasting.
 */
#define TERMINAL_DEFAULTS	"\0337\033[?1049l\0337\033[r\0338\033[0m\033(B\033)0\017\033[?25h\033[?7h\033[4l\033[?1l\033>" \
				"\033[?1000l\033[?1002l\033[?1003l\033[?1006l\033[?2004l"

enum step {
	STEP_ON,
	STEP_DETACHED,
	STEP_GUEST_GONE,	/* the console closed; why, the waiter tells */
	STEP_ENDED,		/* the waiter has told */
	STEP_FAILED,		/* the failure tells */
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

/* Signals come while this end waits, and at no other time. */
static const int watched[] = { SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2 };
static volatile sig_atomic_t interrupted;
static sigset_t while_waiting;

static void on_signal(int signal)
{
	interrupted = signal;
}

static void watch_signals(void)
{
	const struct sigaction action = { .sa_handler = on_signal };
	sigset_t blocked;

	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++) {
		sigaction(watched[i], &action, NULL);
		sigaddset(&blocked, watched[i]);
	}
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &blocked, &while_waiting);
	for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
		sigdelset(&while_waiting, watched[i]);
}

/* What it does by itself, with the terminal as it was. */
static void deliver(int number)
{
	sigset_t this;

	signal(number, SIG_DFL);
	sigemptyset(&this);
	sigaddset(&this, number);
	raise(number);
	sigprocmask(SIG_UNBLOCK, &this, NULL);
}

static bool write_all(int fd, const char *bytes, size_t count)
{
	while (count && !interrupted) {
		ssize_t n = write(fd, bytes, count);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd ready = { .fd = fd, .events = POLLOUT };

			ppoll(&ready, 1, NULL, &while_waiting);
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
		answer = client_receive(fd, client_deadline(LAST_WORD_SECONDS), failure);
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

static enum step take_shown(struct session *s, struct failure *failure)
{
	char bytes[CHUNK];
	ssize_t n = read(s->console, bytes, sizeof(bytes));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return STEP_ON;
	if (n <= 0)
		return STEP_GUEST_GONE;
	if (write_all(STDOUT_FILENO, bytes, (size_t)n))
		return STEP_ON;
	failure_set(failure, EXIT_FAILED, "cannot write the guest's output: %s", strerror(errno));
	return STEP_FAILED;
}

static void set_terminal(struct session *s, bool raw)
{
	struct termios mode = s->before;

	if (!s->terminal)
		return;
	if (raw)
		cfmakeraw(&mode);
	tcsetattr(STDIN_FILENO, raw ? TCSADRAIN : TCSANOW, &mode);
	if (!raw && isatty(STDOUT_FILENO) && write(STDOUT_FILENO, TERMINAL_DEFAULTS, strlen(TERMINAL_DEFAULTS)) < 0)
		s->terminal = isatty(STDIN_FILENO);	/* it may have gone */
}

/* Stopped, it leaves the terminal to the shell. */
static void stop(struct session *s)
{
	interrupted = 0;
	set_terminal(s, false);
	deliver(SIGTSTP);
	watch_signals();
	set_terminal(s, true);
}

static void show_word(const char *name, const json_t *word)
{
	const char *event = json_string_value(json_object_get(word, "event"));
	const char *reason = json_string_value(json_object_get(word, "reason"));

	fprintf(stderr, "\n[keel] %s: ", name);
	text_print(stderr, event ? event : "?", strlen(event ? event : "?"));
	fputs(" (", stderr);
	text_print(stderr, reason ? reason : "?", strlen(reason ? reason : "?"));
	fputs(")\n", stderr);
}

/* The guest's process says how a run ended; after a restart it is asked again. */
static enum step take_word(struct session *s, enum exit_code *code, struct failure *failure)
{
	json_t *word = client_receive(s->waiter, client_deadline(LAST_WORD_SECONDS), failure);
	const char *event = json_string_value(json_object_get(word, "event"));
	enum step step = STEP_ENDED;

	if (!word) {
		*code = failure->code;
		return step;
	}
	set_terminal(s, false);
	show_word(s->name, word);
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

	while (step == STEP_ON && (!interrupted || interrupted == SIGTSTP)) {
		struct pollfd ready[] = {
			{ .fd = s->console, .events = (short)(s->unsent ? POLLIN | POLLOUT : POLLIN) },
			{ .fd = s->waiter, .events = POLLIN },
			{ .fd = s->typing && !s->unsent ? STDIN_FILENO : -1, .events = POLLIN },
		};

		if (interrupted)
			stop(s);
		if (ppoll(ready, 3, NULL, &while_waiting) < 0)
			continue;
		if (ready[0].revents & ~POLLOUT)
			step = take_shown(s, failure);
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
	if (step == STEP_FAILED)
		*code = EXIT_FAILED;
}

static bool open_session(struct session *s, struct failure *failure)
{
	s->console = open_console(s->name, false, failure);
	if (s->console < 0)
		return false;
	s->waiter = client_connect(s->name, failure);
	if (s->waiter >= 0 && client_send(s->waiter, json_pack("{s:s}", "command", "wait"), failure))
		return true;
	if (s->waiter >= 0)
		close(s->waiter);
	close(s->console);
	return false;
}

static enum exit_code join(struct session *s, struct failure *failure)
{
	enum exit_code code = EXIT_DONE;

	fflush(stdout);
	s->typing = true;
	s->terminal = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &s->before);
	watch_signals();
	if (s->terminal)
		fprintf(stderr, "[keel] console of %s; Ctrl-] leaves\n", s->name);
	set_terminal(s, true);
	run_session(s, &code, failure);
	set_terminal(s, false);
	if (interrupted)
		deliver(interrupted);
	return code;
}

enum exit_code terminal_join(const char *name, struct failure *failure)
{
	struct session s = { .name = name };
	enum exit_code code;

	failure->text[0] = '\0';
	if (!open_session(&s, failure))
		return failure->code;
	code = join(&s, failure);
	close(s.console);
	close(s.waiter);
	return code;
}

enum exit_code terminal_take(const char *name, int console, int events, struct failure *failure)
{
	struct session s = { .name = name, .console = console, .waiter = events };

	failure->text[0] = '\0';
	return join(&s, failure);
}

enum exit_code terminal_replay(const char *name, struct failure *failure)
{
	struct session s = { .console = open_console(name, true, failure) };
	enum step step;

	if (s.console < 0)
		return failure->code;
	do
		step = take_shown(&s, failure);
	while (step == STEP_ON);
	close(s.console);
	return step == STEP_FAILED ? EXIT_FAILED : EXIT_DONE;
}
