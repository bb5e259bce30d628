// SPDX-License-Identifier: GPL-2.0
/* Watches over the process of a guest. */
#include "host/confine/keeper.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/backend/claim.h"
#include "manifest/manifest.h"

/* What the guest's process says: a message each, with a descriptor in HOLD and CLAIM. Those from CLAIM on are answered by one. */
#define NOTE_SOCKET		's'
#define OPENED			'o'
#define HOLD			'h'
#define CLAIM			'c'
#define CHANGE			'm'
#define FORGET			'f'
#define RELEASE			'r'

#define LIVES_ON_SECONDS	10	/* behind its release, or behind the time that it has for a signal */
#define MS_PER_SECOND		1000

struct word {
	char what;
	uint8_t drive;
	char file[PATH_MAX];		/* CLAIM: what its descriptor is called */
};

struct watch {
	struct keeper *keeper;
	struct rundir *dir;
	const struct manifest *manifest;
	struct stat socket;		/* that the guest's process has made; no inode: none */
	bool noted, released;
	bool opened;			/* all that the guest needs: from here on it leaves a record */
	/* What the medium of each drive is and lies in, as far as it is to be held here. */
	struct claim held[MANIFEST_DRIVES];
	struct claim next[MANIFEST_DRIVES];	/* the one that is about to take its place */
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
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
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

/* Behind its release the record may be another guest's. */
static enum exit_code reap(struct watch *w)
{
	bool records = w->opened && !w->released;
	char reason[128];
	int status = 0;

	while (waitpid(w->keeper->guest, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFSIGNALED(status)) {
		if (records)
			rundir_end_record(w->dir, NULL);
		return (enum exit_code)WEXITSTATUS(status);
	}
	snprintf(reason, sizeof(reason), "its process was ended by signal %d (%s)", WTERMSIG(status),
		 strsignal(WTERMSIG(status)));
	fprintf(stderr, "%s: %s\n", w->manifest->name, reason);
	if (records)
		rundir_end_record(w->dir, reason);
	return EXIT_FAILED;
}

/* Only the socket that the guest's process has made: another guest's may have its path by now. */
static void clear(struct watch *w)
{
	struct stat st;

	if (w->socket.st_ino && !lstat(w->manifest->serial_path, &st) &&
	    st.st_dev == w->socket.st_dev && st.st_ino == w->socket.st_ino)
		unlink(w->manifest->serial_path);
	w->socket.st_ino = 0;
	rundir_remove(w->dir);
}

/*
 * One message, with one descriptor at most, or -1: the kernel drops any more. Its length; 0: there is nobody; below: errno tells.
 */
static ssize_t take_message(int link, void *text, size_t room, int *fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { text, room };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_LEN(sizeof(int)),
	};
	ssize_t n = recvmsg(link, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = n < 0 ? NULL : CMSG_FIRSTHDR(&message);

	*fd = -1;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	return n;
}

static bool send_message(int link, const void *text, size_t length, int fd, int flags)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { (void *)text, length };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *header;

	if (fd >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		*header = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	return sendmsg(link, &message, MSG_NOSIGNAL | flags) == (ssize_t)length;
}

/* Who does not listen, or says it again and again, gains nothing. */
static bool answer(const struct watch *w, const struct failure *failure, int fd)
{
	return send_message(w->keeper->link, failure, sizeof(*failure), fd, MSG_DONTWAIT);
}

static void claim(struct watch *w, unsigned int drive, int fd, const char *file)
{
	struct failure failure = { .code = EXIT_DONE };
	struct claim *next = &w->next[drive];

	claim_release(next);
	if (!claim_medium(next, fd, file, &failure))
		answer(w, &failure, -1);
	else if (!answer(w, &failure, next->part[0].fd))
		claim_release(next);
}

static void change(struct watch *w, unsigned int drive)
{
	struct claim *held = &w->held[drive], *next = &w->next[drive];

	for (unsigned int i = 0; i < held->count; i++)
		rundir_forget_disk(w->dir, held->part[i].device, held->part[i].inode);
	for (unsigned int i = 0; i < next->count; i++)
		rundir_note_disk(w->dir, next->part[i].device, next->part[i].inode);
	claim_release(held);
	*held = *next;
	next->count = 0;
}

static void release(struct watch *w)
{
	time_t end = now() + LIVES_ON_SECONDS;

	if (w->opened)
		rundir_end_record(w->dir, NULL);
	clear(w);
	w->released = true;
	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++) {
		claim_release(&w->held[i]);
		claim_release(&w->next[i]);
	}
	if (!w->end || end < w->end)
		w->end = end;
}

/* Of a drive. Once the folder is gone it may be another guest's. True: the descriptor is kept. */
static bool obey_drive(struct watch *w, const struct word *word, int fd)
{
	const struct failure done = { .code = EXIT_DONE };

	if (w->released || word->drive >= MANIFEST_DRIVES)
		return false;
	if (word->what == HOLD)
		return claim_add(&w->held[word->drive], fd);
	/* Disks stay what they are. */
	if (w->manifest->drives[word->drive].kind != MANIFEST_DRIVE_CDROM)
		return false;
	switch (word->what) {
	case CLAIM:
		claim(w, word->drive, fd, word->file);
		return false;
	case CHANGE:
		change(w, word->drive);
		answer(w, &done, -1);
		return false;
	case FORGET:
		claim_release(&w->next[word->drive]);
		answer(w, &done, -1);
		return false;
	}
	return false;
}

static bool is_known(const struct watch *w, char what)
{
	switch (what) {
	case NOTE_SOCKET:
		return !w->noted;
	case OPENED:
		return !w->opened;
	case RELEASE:
		return !w->released;
	case HOLD:
	case CLAIM:
	case CHANGE:
	case FORGET:
		return true;
	}
	return false;
}

static void obey(struct watch *w, const struct word *word, int fd)
{
	const struct failure done = { .code = EXIT_DONE };

	/* Once, before it is confined: later another guest's may be there. */
	if (word->what == NOTE_SOCKET && w->manifest->serial == MANIFEST_SERIAL_SOCKET && !w->noted &&
	    lstat(w->manifest->serial_path, &w->socket))
		w->socket.st_ino = 0;
	w->noted |= word->what == NOTE_SOCKET;
	w->opened |= word->what == OPENED;
	if (word->what == RELEASE) {
		release(w);
		if (!answer(w, &done, -1))
			perror("keeper");
	}
	if (!obey_drive(w, word, fd) && fd >= 0)
		close(fd);
}

/* False: there is nobody any more, or somebody else. */
static bool listen_to(struct watch *w)
{
	struct word word = { 0 };
	int fd;

	/* The name's last byte stays 0. */
	if (take_message(w->keeper->link, &word, sizeof(word) - 1, &fd) <= 0)
		return false;
	if (is_known(w, word.what)) {
		obey(w, &word, fd);
		return true;
	}
	fprintf(stderr, "the guest's process says what it never says, and is ended\n");
	if (fd >= 0)
		close(fd);
	return false;
}

static int patience(const struct watch *w)
{
	time_t left = w->end - now();

	return !w->end ? -1 : left > 0 ? (int)left * MS_PER_SECOND : 0;
}

enum exit_code keeper_watch(struct keeper *keeper, struct rundir *dir, const struct manifest *manifest)
{
	struct pollfd fds[2] = { { .fd = keeper->link, .events = POLLIN }, { .fd = watch_signals(), .events = POLLIN } };
	struct watch w = { .keeper = keeper, .dir = dir, .manifest = manifest };
	enum exit_code code;

	for (;;) {
		if (poll(fds, 2, patience(&w)) < 0 && errno != EINTR)
			break;
		if (w.end && now() >= w.end)
			break;
		if (fds[1].revents)
			hand_on(&w, fds[1].fd);
		if (fds[0].revents && !listen_to(&w))
			break;
	}
	/* It has ended, or it should have. Its number is not free, nor its user's, before it is reaped. */
	kill(keeper->guest, SIGKILL);
	code = reap(&w);
	clear(&w);
	rundir_leave(dir);
	close(keeper->link);
	close(fds[1].fd);
	return code;
}

static bool say(const struct keeper *keeper, const struct word *word, int fd, struct failure *failure)
{
	size_t length = offsetof(struct word, file) + strlen(word->file);

	return send_message(keeper->link, word, length, fd, 0) ||
	       failure_set(failure, EXIT_FAILED, "cannot speak to the keeper: %s", strerror(errno));
}

/* Waits for the answer to what was said. */
static bool hear(const struct keeper *keeper, int *fd, struct failure *failure)
{
	ssize_t n;

	do
		n = take_message(keeper->link, failure, sizeof(*failure), fd);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*failure))
		return failure_set(failure, EXIT_FAILED, "the keeper does not answer");
	failure->text[sizeof(failure->text) - 1] = '\0';
	return failure->code == EXIT_DONE;
}

bool keeper_note_socket(const struct keeper *keeper, struct failure *failure)
{
	return say(keeper, &(struct word){ .what = NOTE_SOCKET }, -1, failure);
}

bool keeper_note_opened(const struct keeper *keeper, struct failure *failure)
{
	return say(keeper, &(struct word){ .what = OPENED }, -1, failure);
}

bool keeper_hold(const struct keeper *keeper, unsigned int drive, int fd, struct failure *failure)
{
	return say(keeper, &(struct word){ .what = HOLD, .drive = (uint8_t)drive }, fd, failure);
}

int keeper_claim(const struct keeper *keeper, unsigned int drive, int fd, const char *file, struct failure *failure)
{
	struct word word = { .what = CLAIM, .drive = (uint8_t)drive };
	int claimed = -1;

	if (strlen(file) >= sizeof(word.file)) {
		failure_set(failure, EXIT_FAILED, "the name of %s is too long", file);
		return -1;
	}
	strcpy(word.file, file);
	if (say(keeper, &word, fd, failure) && hear(keeper, &claimed, failure) && claimed < 0)
		failure_set(failure, EXIT_FAILED, "%s is one file more than can be open", file);
	return claimed;
}

static void tell(const struct keeper *keeper, const struct word *word)
{
	struct failure failure;
	int fd;

	if (!say(keeper, word, -1, &failure) || !hear(keeper, &fd, &failure))
		fprintf(stderr, "%s\n", failure.text);
}

void keeper_change(const struct keeper *keeper, unsigned int drive)
{
	tell(keeper, &(struct word){ .what = CHANGE, .drive = (uint8_t)drive });
}

void keeper_forget(const struct keeper *keeper, unsigned int drive)
{
	tell(keeper, &(struct word){ .what = FORGET, .drive = (uint8_t)drive });
}

void keeper_release(const struct keeper *keeper)
{
	tell(keeper, &(struct word){ .what = RELEASE });
}
