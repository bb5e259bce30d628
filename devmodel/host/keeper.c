// SPDX-License-Identifier: GPL-2.0
/* Watches over the process of a guest. */
#include "host/keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAKE		't'
#define RELEASE		'r'

bool keeper_fork(struct keeper *keeper, struct failure *failure)
{
	sigset_t all;
	int ends[2];

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return failure_set(failure, EXIT_FAILED, "cannot make a pair of sockets: %s", strerror(errno));
	keeper->pid = getpid();
	keeper->guest = fork();
	if (keeper->guest < 0) {
		failure_set(failure, EXIT_FAILED, "cannot start the guest's process: %s", strerror(errno));
		close(ends[0]);
		close(ends[1]);
		return false;
	}
	keeper->link = ends[keeper->guest ? 0 : 1];
	close(ends[keeper->guest ? 1 : 0]);
	return true;
}

static int watch_signals(void)
{
	sigset_t some;

	sigemptyset(&some);
	sigaddset(&some, SIGTERM);
	sigaddset(&some, SIGINT);
	sigaddset(&some, SIGHUP);
	return signalfd(-1, &some, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void hand_on(const struct keeper *keeper, int signals)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) == sizeof(info))
		kill(keeper->guest, (int)info.ssi_signo);
}

static enum exit_code reap(const struct keeper *keeper)
{
	int status = 0;

	while (waitpid(keeper->guest, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFSIGNALED(status))
		return (enum exit_code)WEXITSTATUS(status);
	fprintf(stderr, "the guest's process was ended by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
	return EXIT_FAILED;
}

enum exit_code keeper_watch(struct keeper *keeper, struct rundir *dir, const char *serial)
{
	struct pollfd fds[2] = { { .fd = keeper->link, .events = POLLIN }, { .fd = watch_signals(), .events = POLLIN } };
	const char *socket = NULL;
	enum exit_code code;
	char word = 0;

	do {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			hand_on(keeper, fds[1].fd);
		if (!fds[0].revents)
			continue;
		if (read(keeper->link, &word, 1) != 1)
			break;
		if (word == TAKE)
			socket = serial;
	} while (word != RELEASE);
	if (word != RELEASE)
		kill(keeper->guest, SIGKILL);
	code = word == RELEASE ? EXIT_DONE : reap(keeper);
	if (socket)
		unlink(socket);
	rundir_remove(dir);
	if (word == RELEASE) {
		if (write(keeper->link, &word, 1) != 1)
			perror("keeper");
		code = reap(keeper);
	}
	close(keeper->link);
	close(fds[1].fd);
	return code;
}

static void say(const struct keeper *keeper, char word)
{
	if (write(keeper->link, &word, 1) != 1)
		perror("keeper");
}

void keeper_take(const struct keeper *keeper)
{
	say(keeper, TAKE);
}

void keeper_release(const struct keeper *keeper)
{
	char word = RELEASE;

	say(keeper, word);
	while (read(keeper->link, &word, 1) < 0 && errno == EINTR)
		;
}
