// SPDX-License-Identifier: GPL-2.0
/* Watches over the process of a guest. */
#include "host/confine/keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What the guest's process says: a byte, with a descriptor behind HOLD. */
#define NOTE_SOCKET		's'
#define HOLD			'h'
#define RELEASE			'r'

#define HELD_MOST		64u
#define LIVES_ON_SECONDS	10	/* behind its release, or behind the time that it has for a signal */
#define MS_PER_SECOND		1000

struct watch {
	struct keeper *keeper;
	struct rundir *dir;
	const char *serial;
	struct stat socket;		/* that the guest's process has made; no inode: none */
	bool noted;
	unsigned int held;
	time_t end;			/* CLOCK_MONOTONIC, when the guest's process is ended; 0: it is not */
};

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

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

static void hand_on(struct watch *w, int signals)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return;
	kill(w->keeper->guest, (int)info.ssi_signo);
	if (info.ssi_signo != SIGHUP && !w->end)
		w->end = now() + KEEPER_LEAVE_SECONDS + LIVES_ON_SECONDS;
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

/* Only the socket that the guest's process has made: another guest's may have its path by now. */
static void clear(struct watch *w)
{
	struct stat st;

	if (w->socket.st_ino && !lstat(w->serial, &st) && st.st_dev == w->socket.st_dev && st.st_ino == w->socket.st_ino)
		unlink(w->serial);
	w->socket.st_ino = 0;
	rundir_remove(w->dir);
}

/* A descriptor that comes with the word stays open until this process ends. */
static char take_word(struct watch *w)
{
	char word = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { &word, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	/* As many as the images of a guest can have around them; any more are dropped by the kernel. */
	if (w->held < HELD_MOST) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
	}
	if (recvmsg(w->keeper->link, &message, MSG_CMSG_CLOEXEC) != 1)
		return 0;
	w->held += message.msg_controllen && CMSG_FIRSTHDR(&message);
	return word;
}

static void obey(struct watch *w, char word)
{
	time_t end = now() + LIVES_ON_SECONDS;

	/* Once, before it is confined: later another guest's may be there. */
	if (word == NOTE_SOCKET && w->serial && !w->noted && lstat(w->serial, &w->socket))
		w->socket.st_ino = 0;
	w->noted |= word == NOTE_SOCKET;
	if (word != RELEASE)
		return;
	clear(w);
	/* Who does not listen, or says it again and again, gains nothing. */
	if (send(w->keeper->link, &word, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
		perror("keeper");
	if (!w->end || end < w->end)
		w->end = end;
}

static int patience(const struct watch *w)
{
	time_t left = w->end - now();

	return !w->end ? -1 : left > 0 ? (int)left * MS_PER_SECOND : 0;
}

enum exit_code keeper_watch(struct keeper *keeper, struct rundir *dir, const char *serial)
{
	struct pollfd fds[2] = { { .fd = keeper->link, .events = POLLIN }, { .fd = watch_signals(), .events = POLLIN } };
	struct watch w = { .keeper = keeper, .dir = dir, .serial = serial };
	enum exit_code code;
	char word;

	for (;;) {
		if (poll(fds, 2, patience(&w)) < 0 && errno != EINTR)
			break;
		if (w.end && now() >= w.end)
			break;
		if (fds[1].revents)
			hand_on(&w, fds[1].fd);
		if (!fds[0].revents)
			continue;
		word = take_word(&w);
		if (!word)
			break;
		obey(&w, word);
	}
	/* It has ended, or it should have. Its number is not free, nor its user's, before it is reaped. */
	kill(keeper->guest, SIGKILL);
	code = reap(keeper);
	clear(&w);
	rundir_leave(dir);
	close(keeper->link);
	close(fds[1].fd);
	return code;
}

static bool say(const struct keeper *keeper, char word, int fd, struct failure *failure)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { &word, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *header;

	if (fd >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		*header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	return sendmsg(keeper->link, &message, MSG_NOSIGNAL) == 1 ||
	       failure_set(failure, EXIT_FAILED, "cannot speak to the keeper: %s", strerror(errno));
}

bool keeper_note_socket(const struct keeper *keeper, struct failure *failure)
{
	return say(keeper, NOTE_SOCKET, -1, failure);
}

bool keeper_hold(const struct keeper *keeper, int fd, struct failure *failure)
{
	bool said = say(keeper, HOLD, fd, failure);

	close(fd);
	return said;
}

void keeper_release(const struct keeper *keeper)
{
	char word = RELEASE;

	if (write(keeper->link, &word, 1) != 1)
		perror("keeper");
	while (read(keeper->link, &word, 1) < 0 && errno == EINTR)
		;
}
