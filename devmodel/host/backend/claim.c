// SPDX-License-Identifier: GPL-2.0
/* Claims images. */
#include "host/backend/claim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "common/rundir.h"
#include "manifest/manifest.h"

#define SECTOR			512		/* of sizes in sysfs */
#define PATH_ROOM		(2 * PATH_MAX)
#define BLOCK_DEVICES		"/sys/dev/block"
#define LOOPS			"/sys/block"
#define OPEN_FILES		"/proc/self/fd"
#define ATTEMPTS		50
#define ATTEMPTS_AT_GUEST	10	/* at one that runs: its process may have been killed just now */
#define PAUSE_NS		20000000

/* Bytes of what an image lies in; count 0: to its end. */
struct range {
	off_t start, count;
};

/* First line of a file of a block device's folder in sysfs. False: there is none. */
static bool read_attribute(dev_t device, const char *name, char *line, size_t room)
{
	char path[PATH_MAX];
	bool read;
	FILE *f;

	snprintf(path, sizeof(path), BLOCK_DEVICES "/%u:%u/%s", major(device), minor(device), name);
	f = fopen(path, "re");
	read = f && fgets(line, (int)room, f);
	if (f)
		fclose(f);
	if (read)
		line[strcspn(line, "\n")] = '\0';
	return read;
}

static off_t read_number(dev_t device, const char *name)
{
	char line[32];

	return read_attribute(device, name, line, sizeof(line)) ? (off_t)strtoull(line, NULL, 10) : 0;
}

/* The disk that a partition is of, else the device itself. */
static dev_t whole_disk(dev_t device)
{
	unsigned int major_number, minor_number;
	char line[32];

	if (!read_attribute(device, "partition", line, sizeof(line)) || !read_attribute(device, "../dev", line, sizeof(line)) ||
	    sscanf(line, "%u:%u", &major_number, &minor_number) != 2)
		return device;
	return makedev(major_number, minor_number);
}

/* The node that the kernel made, which all who use the device find; locks are a node's. */
static bool find_node(dev_t device, char *node, size_t room)
{
	char path[PATH_MAX], link[PATH_MAX];
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), BLOCK_DEVICES "/%u:%u", major(device), minor(device));
	n = readlink(path, link, sizeof(link) - 1);
	if (n <= 0)
		return false;
	link[n] = '\0';
	snprintf(node, room, "/dev/%s", strrchr(link, '/') + 1);
	/* In names of nodes a slash is, in sysfs, an exclamation mark. */
	for (char *c = node; *c; c++)
		if (*c == '!')
			*c = '/';
	return !stat(node, &st) && S_ISBLK(st.st_mode) && st.st_rdev == device;
}

/* A file system that is not written to does not mind readers. */
static bool is_writable(const char *mount)
{
	const char *type = strstr(mount, " - ");
	char options[8] = "";

	return type && sscanf(type, " - %*s %*s %7s", options) == 1 && !strncmp(options, "rw", 2);
}

static bool find_mount(dev_t device, bool readonly, char *where)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	unsigned int major_number, minor_number;
	char line[PATH_ROOM];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		dev_t mounted;

		if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &major_number, &minor_number, where) != 3)
			continue;
		mounted = makedev(major_number, minor_number);
		found = (mounted == device || whole_disk(mounted) == device || mounted == whole_disk(device)) &&
			(!readonly || is_writable(line));
	}
	if (f)
		fclose(f);
	return found;
}

/* What a process that was killed had claimed is free when the kernel has taken its io_uring apart, some time behind its end. */
static bool pause_claiming(const struct claim_part *part, int *attempt)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	char owner[MANIFEST_NAME_MAX + 1];
	bool owned = rundir_find_disk_owner(part->device, part->inode, owner, sizeof(owner));

	if (++*attempt >= (owned ? ATTEMPTS_AT_GUEST : ATTEMPTS))
		return false;
	nanosleep(&pause, NULL);
	return true;
}

static bool in_use_by_guest(const struct claim_part *part, const char *file, struct failure *failure)
{
	char owner[MANIFEST_NAME_MAX + 1];

	if (!rundir_find_disk_owner(part->device, part->inode, owner, sizeof(owner)))
		return false;
	failure_set(failure, EXIT_IN_USE, "%s is in use by guest \"%s\"; destroy that guest, or use the image in "
		    "mode \"ro\" or \"snapshot\" by both", file, owner);
	return true;
}

/* 0, or an errno; EAGAIN: somebody else has a lock. */
static int take_lock(const struct claim_part *part, const struct flock *lock)
{
	int attempt = 0, error;

	do {
		error = !fcntl(part->fd, F_OFD_SETLK, lock) ? 0 : errno == EACCES ? EAGAIN : errno;
	} while (error == EAGAIN && pause_claiming(part, &attempt));
	return error;
}

static bool lock(const struct claim_part *part, bool readonly, const struct range *range, const char *file,
		 struct failure *failure)
{
	struct flock lock = {
		.l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET, .l_start = range->start, .l_len = range->count,
	};
	int error = take_lock(part, &lock);

	if (!error)
		return true;
	if (error != EAGAIN)
		return failure_set(failure, EXIT_FAILED, "cannot lock %s: %s", file, strerror(error));
	if (in_use_by_guest(part, file, failure))
		return false;
	return failure_set(failure, EXIT_IN_USE, "%s is locked by another program", file);
}

static struct claim_part *add_part(struct claim *claim, int fd, const struct stat *st)
{
	bool block = S_ISBLK(st->st_mode);

	claim->part[claim->count] = (struct claim_part){
		.fd = fd, .device = block ? st->st_rdev : st->st_dev, .inode = block ? 0 : st->st_ino,
	};
	return &claim->part[claim->count++];
}

/*
 * What the image lies in is locked where it can be found. If it cannot, because it was removed or is in another mount namespace,
 * nobody here reaches it by that name either.
 */
static bool lock_around(struct claim *claim, const char *outer, bool readonly, const struct range *range, const char *file,
			struct failure *failure)
{
	char what[PATH_ROOM];
	struct stat st;
	int fd = open(outer, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) || claim->count == CLAIM_MOST) {
		fprintf(stderr, "%s, which %s lies in, is not locked\n", outer, file);
		if (fd >= 0)
			close(fd);
		return true;
	}
	snprintf(what, sizeof(what), "%s, which %s lies in,", outer, file);
	return lock(add_part(claim, fd, &st), readonly, range, what, failure);
}

/* The disk around a partition, the file under a loop device. */
static bool claim_around(struct claim *claim, dev_t device, bool readonly, const char *file, struct failure *failure)
{
	struct range range = { 0 };
	char outer[PATH_MAX];
	dev_t disk = whole_disk(device);

	if (disk != device) {
		range.start = read_number(device, "start") * SECTOR;
		range.count = read_number(device, "size") * SECTOR;
		if (find_node(disk, outer, sizeof(outer)) && !lock_around(claim, outer, readonly, &range, file, failure))
			return false;
	}
	if (!read_attribute(disk, "loop/backing_file", outer, sizeof(outer)))
		return true;
	if (disk == device)
		range.count = read_number(disk, "loop/sizelimit");
	range.start += read_number(disk, "loop/offset");
	return lock_around(claim, outer, readonly, &range, file, failure);
}

static bool busy(const struct stat *st, const char *file, struct failure *failure)
{
	struct claim_part part = { .device = st->st_rdev };
	char where[PATH_MAX];

	if (in_use_by_guest(&part, file, failure))
		return false;
	if (find_mount(st->st_rdev, false, where))
		return failure_set(failure, EXIT_IN_USE, "%s, or a part of it, is mounted on %s; unmount it first", file, where);
	return failure_set(failure, EXIT_IN_USE,
			   "%s is in use by this host, as swap space, a part of a RAID, of a volume group or of another device, "
			   "or by another program; lsblk %s may tell", file, file);
}

/* -1: errno tells. What is mounted stays so. */
static int open_device(const char *node, dev_t device, bool readonly)
{
	const struct claim_part part = { .device = device };
	int fd, attempt = 0, error;
	char where[PATH_MAX];

	do {
		fd = open(node, (readonly ? O_RDONLY : O_RDWR | O_EXCL) | O_CLOEXEC);
		error = errno;
	} while (fd < 0 && error == EBUSY && !find_mount(device, false, where) && pause_claiming(&part, &attempt));
	errno = error;
	return fd;
}

static bool claim_device(struct claim *claim, const struct stat *st, const char *path, const char *file, bool readonly,
			 struct failure *failure)
{
	const struct range all = { 0 };
	char node[PATH_MAX];
	char where[PATH_MAX];
	struct stat there;
	int fd;

	if (readonly && find_mount(st->st_rdev, true, where))
		return failure_set(failure, EXIT_IN_USE,
				   "%s, or a part of it, is mounted on %s, which this host writes to; "
				   "unmount it first, or mount it read-only", file, where);
	if (!find_node(st->st_rdev, node, sizeof(node)))
		snprintf(node, sizeof(node), "%s", path);
	fd = open_device(node, st->st_rdev, readonly);
	if (fd < 0 && errno == EBUSY)
		return busy(st, file, failure);
	if (fd < 0 || fstat(fd, &there)) {
		failure_set(failure, EXIT_FAILED, "cannot open %s: %s", file, strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	return lock(add_part(claim, fd, &there), readonly, &all, file, failure) &&
	       claim_around(claim, st->st_rdev, readonly, file, failure);
}

/* The loop device that has a file under it. */
static bool find_loop(const struct stat *file, char *name, size_t room, bool *writable)
{
	DIR *devices = opendir(LOOPS);
	struct dirent *entry;
	bool found = false;

	while (devices && !found && (entry = readdir(devices))) {
		char node[PATH_MAX], under[PATH_MAX];
		struct stat st;

		snprintf(node, sizeof(node), "/dev/%s", entry->d_name);
		if (strncmp(entry->d_name, "loop", 4) || stat(node, &st) || !S_ISBLK(st.st_mode) ||
		    !read_attribute(st.st_rdev, "loop/backing_file", under, sizeof(under)))
			continue;
		*writable = !read_number(st.st_rdev, "ro");
		found = !stat(under, &st) && st.st_dev == file->st_dev && st.st_ino == file->st_ino;
		snprintf(name, room, "%s", node);
	}
	if (devices)
		closedir(devices);
	return found;
}

static bool claim_file(struct claim *claim, int fd, const struct stat *st, const char *file, bool readonly,
		       struct failure *failure)
{
	const struct range all = { 0 };
	char loop[PATH_MAX];
	bool writable;

	if (!lock(add_part(claim, fd, st), readonly, &all, file, failure))
		return false;
	if (find_loop(st, loop, sizeof(loop), &writable) && (writable || !readonly))
		return failure_set(failure, EXIT_IN_USE, "%s is attached to %s; losetup -d %s detaches it", file, loop, loop);
	return true;
}

bool claim_is_apart(int fd, const char *file, struct failure *failure)
{
	char loop[PATH_MAX];
	struct stat st;
	bool writable;

	if (fstat(fd, &st) || !find_loop(&st, loop, sizeof(loop), &writable))
		return true;
	return failure_set(failure, EXIT_IN_USE, "%s is attached to %s; losetup -d %s detaches it", file, loop, loop);
}

/* path leads to it; file is what people call it. */
static bool claim_at(struct claim *claim, const char *path, const char *file, bool readonly, struct failure *failure)
{
	struct stat st;
	bool claimed;
	int fd;

	claim->count = 0;
	fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		failure_set(failure, errno == EBUSY ? EXIT_IN_USE : EXIT_FAILED, "cannot open %s: %s", file, strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	if (S_ISBLK(st.st_mode)) {
		close(fd);
		claimed = claim_device(claim, &st, path, file, readonly, failure);
	} else {
		claimed = claim_file(claim, fd, &st, file, readonly, failure);
	}
	if (!claimed)
		claim_release(claim);
	return claimed;
}

bool claim_image(struct claim *claim, const char *file, bool readonly, struct failure *failure)
{
	return claim_at(claim, file, file, readonly, failure);
}

/* One that is written to, or is no file but a name of one (O_PATH), would come back with rights that its owner has not. */
static bool is_for_reading(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) == O_RDONLY && !(flags & O_PATH);
}

bool claim_medium(struct claim *claim, int fd, const char *file, struct failure *failure)
{
	char path[32];
	struct stat st;

	claim->count = 0;
	if (fstat(fd, &st) || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		return failure_set(failure, EXIT_FAILED, "%s is neither a regular file nor a block device", file);
	if (!is_for_reading(fd))
		return failure_set(failure, EXIT_FAILED, "%s is not open for reading alone", file);
	/* Who sent it has this one open as well, with its locks and flags. */
	snprintf(path, sizeof(path), OPEN_FILES "/%d", fd);
	return claim_at(claim, path, file, true, failure);
}

bool claim_add(struct claim *claim, int fd)
{
	struct stat st;

	if (claim->count == CLAIM_MOST || fstat(fd, &st))
		return false;
	add_part(claim, fd, &st);
	return true;
}

void claim_release(struct claim *claim)
{
	for (unsigned int i = 0; i < claim->count; i++)
		close(claim->part[i].fd);
	claim->count = 0;
}
