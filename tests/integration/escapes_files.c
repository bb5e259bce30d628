// SPDX-License-Identifier: GPL-2.0
// Escapes from the sandbox of keel-dm: files, sockets and descriptors.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <keel/macros.h>

#include "escapes.h"

static bool opens(const char *path, int flags)
{
	return open(path, flags | O_CLOEXEC, 0600) >= 0;
}

static bool shadow(void)
{
	return opens("/etc/shadow", O_RDONLY);
}

static bool core_pattern(void)
{
	return opens("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static bool sysrq(void)
{
	return opens("/proc/sysrq-trigger", O_WRONLY);
}

static bool keel_device(void)
{
	return opens("/dev/keel", O_RDWR);
}

static bool hosts_disk(void)
{
	return opens("/dev/vda", O_RDWR);
}

static bool new_file(void)
{
	return opens(ESCAPES_FOLDER "/new", O_WRONLY | O_CREAT);
}

static bool here(void)
{
	return opens(".", O_RDONLY | O_DIRECTORY);
}

static bool by_openat2(void)
{
	const struct { uint64_t flags, mode, resolve; } how = { O_RDONLY, 0, 0 };

	return syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how)) >= 0;
}

static bool looks(void)
{
	struct stat st;

	return !stat("/etc/passwd", &st);
}

/* A around.folder that somebody has handed over. */
static bool beneath(void)
{
	return openat(around.folder, "escapes", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0;
}

/* To somebody who is not its keeper. */
static bool hands_on(void)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	*header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(header), &around.image, sizeof(around.image));
	return sendmsg(around.others_end, &message, MSG_NOSIGNAL) == 1;
}

static bool hears_otherwise(void)
{
	char byte;
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	return recvmsg(around.others_end, &message, MSG_DONTWAIT | MSG_PEEK) >= 0 || errno == EAGAIN;
}

static bool links(void)
{
	return !symlink("/etc/passwd", ESCAPES_FOLDER "/link");
}

static bool others_guest(void)
{
	struct sockaddr_un address = others_address();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address));
}

static bool network(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static bool pair(void)
{
	int fds[2];

	return !socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
}

static bool types_for_others(void)
{
	/* TIOCSTI of its own terminal, or what a terminal allows at any time. */
	struct winsize size = { 1, 1, 0, 0 };

	return !ioctl(around.pty_slave, TIOCSTI, "x") || !ioctl(around.pty_master, TIOCSWINSZ, &size);
}

static bool owns_signals_of_files(void)
{
	return !fcntl(around.pty_master, F_SETOWN, around.others_process);
}

static bool changes_open_files(void)
{
	return !fcntl(around.pty_master, F_SETFL, O_NONBLOCK);
}

static bool cuts_files(void)
{
	return !ftruncate(around.image, 4096);
}

/* By the number of a log, which may be cut off. */
static bool cuts_files_as_log(void)
{
	close(around.log_file);
	return fcntl(around.image, F_DUPFD_CLOEXEC, around.log_file) == around.log_file && !ftruncate(around.log_file, 4096);
}

static bool duplicates(void)
{
	return fcntl(around.image, F_DUPFD, 0) >= 0 || dup(around.image) >= 0 || dup2(around.image, around.log_file) >= 0 ||
	       dup3(around.image, around.log_file, O_CLOEXEC) >= 0;
}

static const struct attempt list[] = {
	{ "open /etc/shadow", shadow, true, true },
	{ "open core_pattern to write", core_pattern, true, true },
	{ "open sysrq-trigger to write", sysrq, true, true },
	{ "open /dev/keel", keel_device, true, true },
	{ "open the host's disk to write", hosts_disk, true, true },
	{ "make a file", new_file, false, true },
	{ "open its own folder", here, false, false },
	{ "open beneath a folder that is open", beneath, false, true },
	{ "hand a descriptor on", hands_on, false, false },
	{ "receive with other flags", hears_otherwise, false, false },
	{ "openat2", by_openat2, false, false },
	{ "stat", looks, false, true },
	{ "symlink", links, false, true },
	{ "reach another guest's socket", others_guest, false, true },
	{ "make an internet socket", network, false, false },
	{ "make a pair of sockets", pair, false, false },
	{ "use a terminal's ioctls", types_for_others, false, false },
	{ "send a file's signals to others", owns_signals_of_files, false, false },
	{ "take away O_APPEND", changes_open_files, false, false },
	{ "cut a file off", cuts_files, false, false },
	{ "cut a file off as a log", cuts_files_as_log, false, false },
	{ "duplicate a file", duplicates, false, false },
};

const struct attempts escapes_files = { list, ARRAY_SIZE(list) };
