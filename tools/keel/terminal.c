// SPDX-License-Identifier: GPL-2.0
/* keel console: characters between a terminal and a guest. */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <keel/macros.h>

#include "client.h"
#include "status.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/member.h"
#include "common/text.h"

#define ESCAPE			0x1d	/* Ctrl-] */
#define CHUNK			4096
#define LAST_WORD_SECONDS	30
#define LEAVE_MS		1000	/* in which what was typed before the escape is to be sent */
#define TELL_MS			1000
#define MS_PER_SECOND		1000
#define NS_PER_MS		1000000
#define REPLAY_MOST		(1u << 20)	/* more than a console keeps */
/*
 * A terminal as one that was just opened: out of the alternate screen, and all of the screen scrolls (both move the cursor, which
 * is saved before); colours, character sets, cursor; lines wrap, nothing is inserted; keys, mouse and pasting.
 */
#define TERMINAL_DEFAULTS	"\0337\033[?1049l\0337\033[r\0338\033[0m\033(B\033)0\017\033[?25h\033[?7h\033[4l\033[?1l\033>" \
				"\033[?1000l\033[?1002l\033[?1003l\033[?1006l\033[?2004l"

enum step {
	STEP_ON,
	STEP_DETACHED,
	STEP_ENDED,		/* the waiter has told */
	STEP_FAILED,		/* the failure tells */
};

enum end { END_TYPED, END_CONSOLE, END_SHOWN, END_WAITER, ENDS };

struct session {
	const char *name;
	int console, waiter;
	int shown_fd, told_fd;	/* standard output and error; terminals so that a write never waits */
	bool typing;		/* standard input is not at its end */
	bool terminal;
	bool gone;		/* the console is closed; why, the waiter tells */
	uint64_t word_by;	/* until then, if the console is closed */
	uint64_t leave_by;	/* the user typed the escape; 0: no */
	char typed[CHUNK];	/* read from standard input, not yet sent */
	size_t sent, unsent;
	char shown[CHUNK];	/* read from the console, not yet written */
	size_t written, unwritten;
	char word[CHUNK];	/* of the waiter, as far as it has come */
	size_t heard;
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
	for (size_t i = 0; i < ARRAY_SIZE(watched); i++) {
		sigaction(watched[i], &action, NULL);
		sigaddset(&blocked, watched[i]);
	}
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &blocked, &while_waiting);
	for (size_t i = 0; i < ARRAY_SIZE(watched); i++)
		sigdelset(&while_waiting, watched[i]);
}

static void leave_signals(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(watched); i++)
		signal(watched[i], SIG_DFL);
	sigprocmask(SIG_SETMASK, &while_waiting, NULL);
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

/* Those that came while this end did not wait, as it never does where there is always something to do. */
static void let_signals_in(void)
{
	sigset_t blocked;

	sigprocmask(SIG_SETMASK, &while_waiting, &blocked);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
}

/*
 * A terminal that shows nothing any more must not keep this end from being left. Others have room for a chunk where poll says so.
 */
static int open_again(int fd)
{
	char path[32];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = isatty(fd) ? open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
	return again < 0 ? fd : again;
}

/* What there is no room for within the time is lost. */
static void tell(int fd, const char *text, size_t length)
{
	uint64_t end = clock_ms() + TELL_MS, now;

	while (length && (now = clock_ms()) < end) {
		struct pollfd ready = { .fd = fd, .events = POLLOUT };
		ssize_t n = poll(&ready, 1, (int)(end - now)) > 0 ? write(fd, text, length < CHUNK ? length : CHUNK) : 0;

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return;
		text += n > 0 ? n : 0;
		length -= n > 0 ? (size_t)n : 0;
	}
}

static void name_failure(const char *name, struct failure *failure)
{
	struct client_call call = { .name = name, .failure = *failure };

	client_name_failure(&call);
	*failure = call.failure;
}

static int open_console(const char *name, bool replay, struct failure *failure)
{
	int fd = client_connect(name, failure);
	json_t *answer = NULL;

	if (fd >= 0 && client_send(fd, json_pack("{s:s, s:b}", "command", "console", "replay", replay), failure))
		answer = client_receive(fd, client_deadline(LAST_WORD_SECONDS), failure);
	if (fd >= 0 && !answer) {
		name_failure(name, failure);
		fd_close(&fd);
	}
	json_decref(answer);
	return fd;
}

/* Sends what the socket takes. A full socket must not keep this end from reading: the guest may wait for that. */
static void send_typed(struct session *s)
{
	while (s->unsent) {
		ssize_t n = send(s->console, s->typed + s->sent, s->unsent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		/* Who reads no more may have said more. */
		s->unsent -= n < 0 ? s->unsent : (size_t)n;
		s->sent += n < 0 ? 0 : (size_t)n;
	}
}

/* What there is no room for is lost, as with a keyboard. */
static void keep_typed(struct session *s, const char *bytes, size_t count)
{
	size_t room = sizeof(s->typed) - s->unsent;

	memmove(s->typed, s->typed + s->sent, s->unsent);
	s->sent = 0;
	memcpy(s->typed + s->unsent, bytes, count < room ? count : room);
	s->unsent += count < room ? count : room;
}

/* A terminal's input is always looked at: the escape must be found. Other input waits until there is room. */
static bool wants_typed(const struct session *s)
{
	return s->typing && (s->terminal || (!s->unsent && !s->gone));
}

static enum step take_typed(struct session *s)
{
	char bytes[CHUNK];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
	const char *escape = s->terminal && n > 0 ? memchr(bytes, ESCAPE, (size_t)n) : NULL;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return STEP_ON;
	if (n <= 0) {
		s->typing = false;
		return s->terminal ? STEP_DETACHED : STEP_ON;
	}
	if (s->leave_by)
		return escape ? STEP_DETACHED : STEP_ON;
	if (!s->gone)
		keep_typed(s, bytes, escape ? (size_t)(escape - bytes) : (size_t)n);
	if (escape)
		s->leave_by = clock_ms() + LEAVE_MS;
	return STEP_ON;
}

/* False: it is at its end. */
static bool take_shown(struct session *s)
{
	ssize_t n = recv(s->console, s->shown, sizeof(s->shown), MSG_DONTWAIT);

	s->written = 0;
	s->unwritten = n > 0 ? (size_t)n : 0;
	return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

static enum step write_shown(struct session *s, struct failure *failure)
{
	ssize_t n = write(s->shown_fd, s->shown + s->written, s->unwritten);

	if (n < 0 && errno != EINTR && errno != EAGAIN) {
		failure_set(failure, EXIT_FAILED, "cannot write the guest's output: %s", strerror(errno));
		return STEP_FAILED;
	}
	s->written += n > 0 ? (size_t)n : 0;
	s->unwritten -= n > 0 ? (size_t)n : 0;
	return STEP_ON;
}

static void set_terminal(struct session *s, bool raw)
{
	struct termios mode = s->before;

	if (!s->terminal)
		return;
	if (raw)
		cfmakeraw(&mode);
	tcsetattr(STDIN_FILENO, TCSANOW, &mode);
	if (!raw && isatty(s->shown_fd))
		tell(s->shown_fd, TERMINAL_DEFAULTS, strlen(TERMINAL_DEFAULTS));
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

static void show_word(const struct session *s, const json_t *word)
{
	char *event = text_show(member_text(word, "event"), strlen(member_text(word, "event")));
	char *reason = text_show(member_text(word, "reason"), strlen(member_text(word, "reason")));
	char text[CHUNK];
	int length = snprintf(text, sizeof(text), "\n[keel] %s: %s (%s)\n", s->name, event ? event : "", reason ? reason : "");

	tell(s->told_fd, text, length < (int)sizeof(text) ? (size_t)length : sizeof(text) - 1);
	free(event);
	free(reason);
}

/* The guest's process says how a run ended; after a restart it is asked again. */
static enum step take_word(struct session *s, const char *line, size_t length, enum exit_code *code, struct failure *failure)
{
	json_t *word = client_answer(line, length, failure);
	bool restarted;

	if (word)
		word = status_take(status_of_end, s->name, word, failure);
	if (!word)
		return STEP_FAILED;
	restarted = !strcmp(member_text(word, "event"), "restarted");
	set_terminal(s, false);
	show_word(s, word);
	if (restarted)
		set_terminal(s, true);
	*code = json_is_true(json_object_get(word, "crashed")) ? EXIT_FAILED : EXIT_DONE;
	json_decref(word);
	if (restarted && !client_send(s->waiter, json_pack("{s:s}", "command", "wait"), failure))
		return STEP_FAILED;
	return restarted ? STEP_ON : STEP_ENDED;
}

static enum step fail(const struct session *s, struct failure *failure, enum exit_code code, const char *what)
{
	failure_set(failure, code, "guest \"%s\": %s", s->name, what);
	return STEP_FAILED;
}

/* One at most: signals and the user have their turn between them. */
static enum step take_words(struct session *s, enum exit_code *code, struct failure *failure)
{
	char *to = s->word + s->heard;
	ssize_t n = recv(s->waiter, to, sizeof(s->word) - s->heard, MSG_DONTWAIT | MSG_PEEK);
	const char *end = n > 0 ? memchr(to, '\n', (size_t)n) : NULL;
	size_t length;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return STEP_ON;
	if (n > 0)
		n = recv(s->waiter, to, end ? (size_t)(end + 1 - to) : (size_t)n, MSG_DONTWAIT);
	if (n <= 0)
		return fail(s, failure, EXIT_FAILED, "its process is gone");
	length = s->heard + (size_t)n;
	s->heard = end ? 0 : length;
	if (end)
		return take_word(s, s->word, length - 1, code, failure);
	return length < sizeof(s->word) ? STEP_ON : fail(s, failure, EXIT_FAILED, "its process gave too long an answer");
}

/* What the clock says, when all else is done. */
static enum step look_at_clock(const struct session *s, struct failure *failure)
{
	uint64_t now = clock_ms();

	if (s->leave_by && (!s->unsent || now >= s->leave_by))
		return STEP_DETACHED;
	return s->gone && now >= s->word_by ? fail(s, failure, EXIT_TIMEOUT, "its process does not say how it ended") : STEP_ON;
}

/* False: a signal came, or nothing within the time. */
static bool wait_for_ends(const struct session *s, struct pollfd ready[ENDS])
{
	short console = (short)((s->unwritten ? 0 : POLLIN) | (s->unsent ? POLLOUT : 0));
	uint64_t end = s->leave_by ? s->leave_by : s->word_by, now = clock_ms(), left = end > now ? end - now : 0;
	const struct timespec time = {
		.tv_sec = (time_t)(left / MS_PER_SECOND), .tv_nsec = (long)(left % MS_PER_SECOND * NS_PER_MS),
	};

	ready[END_TYPED] = (struct pollfd){ .fd = wants_typed(s) ? STDIN_FILENO : -1, .events = POLLIN };
	ready[END_CONSOLE] = (struct pollfd){ .fd = console && !s->gone ? s->console : -1, .events = console };
	ready[END_SHOWN] = (struct pollfd){ .fd = s->unwritten ? s->shown_fd : -1, .events = POLLOUT };
	/* How it ended comes behind all that it said. */
	ready[END_WAITER] = (struct pollfd){ .fd = s->unwritten ? -1 : s->waiter, .events = POLLIN };
	return ppoll(ready, ENDS, end ? &time : NULL, &while_waiting) > 0;
}

/* Every end that is ready has its turn, so that none keeps another from it; what is typed comes first. */
static enum step take_turn(struct session *s, enum exit_code *code, struct failure *failure)
{
	struct pollfd ready[ENDS];
	enum step step = STEP_ON;

	if (!wait_for_ends(s, ready))
		return look_at_clock(s, failure);
	let_signals_in();
	if (ready[END_TYPED].revents)
		step = take_typed(s);
	send_typed(s);
	if (step == STEP_ON && ready[END_SHOWN].revents)
		step = write_shown(s, failure);
	if (ready[END_CONSOLE].revents & ~POLLOUT && !s->unwritten && !take_shown(s)) {
		s->gone = true;
		s->unsent = 0;
		s->word_by = clock_ms() + LAST_WORD_SECONDS * MS_PER_SECOND;
	}
	if (step == STEP_ON && ready[END_WAITER].revents && !(ready[END_CONSOLE].revents & ~POLLOUT))
		step = take_words(s, code, failure);
	return step == STEP_ON ? look_at_clock(s, failure) : step;
}

static void run_session(struct session *s, enum exit_code *code, struct failure *failure)
{
	enum step step = STEP_ON;

	while (step == STEP_ON && (!interrupted || interrupted == SIGTSTP)) {
		if (interrupted)
			stop(s);
		step = take_turn(s, code, failure);
	}
	if (step == STEP_FAILED)
		*code = failure->code;
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
	s->shown_fd = open_again(STDOUT_FILENO);
	s->told_fd = open_again(STDERR_FILENO);
	watch_signals();
	if (s->terminal)
		fprintf(stderr, "[keel] console of %s; Ctrl-] leaves\n", s->name);
	set_terminal(s, true);
	run_session(s, &code, failure);
	set_terminal(s, false);
	if (interrupted)
		deliver(interrupted);
	leave_signals();
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

/* No more than a console keeps, nor for longer than it takes to say it: a process need not close its end. */
static enum step replay(struct session *s, struct failure *failure)
{
	struct pollfd ready = { .fd = s->console, .events = POLLIN };
	uint64_t end = clock_ms() + LAST_WORD_SECONDS * MS_PER_SECOND, now;
	enum step step = STEP_ON;
	size_t total = 0;

	while (step == STEP_ON && total <= REPLAY_MOST && (now = clock_ms()) < end) {
		if (poll(&ready, 1, (int)(end - now)) <= 0)
			continue;
		if (!take_shown(s))
			return STEP_ENDED;
		for (total += s->unwritten; step == STEP_ON && s->unwritten;)
			step = write_shown(s, failure);
	}
	return step == STEP_ON ? fail(s, failure, EXIT_TIMEOUT, "its process does not come to an end with its console") : step;
}

enum exit_code terminal_replay(const char *name, struct failure *failure)
{
	struct session s = { .name = name, .shown_fd = STDOUT_FILENO, .console = open_console(name, true, failure) };
	enum step step;

	if (s.console < 0)
		return failure->code;
	failure->text[0] = '\0';
	step = replay(&s, failure);
	close(s.console);
	return step == STEP_FAILED ? failure->code : EXIT_DONE;
}
