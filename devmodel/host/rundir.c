// SPDX-License-Identifier: GPL-2.0
/* The folder of a running guest. */
#include "host/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PID_FILE		"pid"
#define DISKS_FILE		"disks"
#define CLEANING_NS		20000000	/* longer than somebody else's rundir_clean holds a lock */

#define ATTEMPTS		10

static const char *const known_files[] = {
	"control", "console", "console.log", "console.log.1", "firmware.log", "firmware.log.1", DISKS_FILE, PID_FILE,
};

const char *rundir_parent(void)
{
	const char *parent = secure_getenv("KEEL_RUN_DIR");

	return parent && *parent ? parent : RUNDIR_PARENT;
}

void rundir_path(char *path, size_t room, const char *name, const char *file)
{
	snprintf(path, room, "%s/%s/%s", rundir_parent(), name, file);
}

static int lock_pid_file(const char *path)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat ours, there;

	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return -1;
		if (fcntl(fd, F_OFD_SETLK, &lock)) {
			close(fd);
			return -1;
		}
		/* The previous owner removes its file before it lets go of the lock. */
		if (!fstat(fd, &ours) && !stat(path, &there) && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
			return fd;
		close(fd);
	}
}

bool rundir_create(struct rundir *dir, const char *name, struct failure *failure)
{
	const struct timespec cleaning = { .tv_nsec = CLEANING_NS };
	char path[PATH_MAX];
	bool running = false;

	dir->pid_fd = -1;
	if (snprintf(dir->path, sizeof(dir->path), "%s/%s", rundir_parent(), name) >= (int)sizeof(dir->path))
		return failure_set(failure, EXIT_FAILED, "the path of %s is too long", rundir_parent());
	snprintf(path, sizeof(path), "%s/" PID_FILE, dir->path);
	for (int attempt = 0; attempt < ATTEMPTS && dir->pid_fd < 0; attempt++) {
		if ((mkdir(rundir_parent(), 0755) && errno != EEXIST) || (mkdir(dir->path, 0700) && errno != EEXIST))
			return failure_set(failure, EXIT_FAILED, "cannot create %s: %s%s", dir->path, strerror(errno),
					   errno == EACCES ? "; run this as root" : "");
		dir->pid_fd = lock_pid_file(path);
		running = dir->pid_fd < 0 && (errno == EAGAIN || errno == EACCES);
		if (running)
			nanosleep(&cleaning, NULL);
		else if (dir->pid_fd < 0 && errno != ENOENT)
			break;
	}
	if (running)
		return failure_set(failure, EXIT_IN_USE, "guest \"%s\" is running already", name);
	if (dir->pid_fd < 0)
		return failure_set(failure, EXIT_FAILED, "cannot create %s: %s", path, strerror(errno));
	/* What a killed process left behind. */
	for (size_t i = 0; i + 1 < sizeof(known_files) / sizeof(known_files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir->path, known_files[i]);
		unlink(path);
	}
	if (ftruncate(dir->pid_fd, 0) || dprintf(dir->pid_fd, "%d\n", getpid()) < 0) {
		rundir_remove(dir);
		return failure_set(failure, EXIT_FAILED, "cannot write %s/" PID_FILE ": %s", dir->path, strerror(errno));
	}
	return true;
}

void rundir_remove(struct rundir *dir)
{
	char path[PATH_MAX];

	if (dir->pid_fd < 0)
		return;
	for (size_t i = 0; i < sizeof(known_files) / sizeof(known_files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir->path, known_files[i]);
		unlink(path);
	}
	rmdir(dir->path);
	close(dir->pid_fd);
	dir->pid_fd = -1;
}

/* The lock says that nobody lives there; who makes the folder anew meanwhile tries again (rundir_create). */
bool rundir_clean(const char *name)
{
	struct rundir dir;
	char path[PATH_MAX];

	if (snprintf(dir.path, sizeof(dir.path), "%s/%s", rundir_parent(), name) >= (int)sizeof(dir.path))
		return false;
	snprintf(path, sizeof(path), "%s/" PID_FILE, dir.path);
	dir.pid_fd = lock_pid_file(path);
	if (dir.pid_fd < 0)
		return false;
	rundir_remove(&dir);
	return access(dir.path, F_OK) != 0;
}

void rundir_note_disk(const struct rundir *dir, dev_t device, ino_t inode)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/" DISKS_FILE, dir->path);
	f = fopen(path, "ae");
	if (!f)
		return;
	fprintf(f, "%llu %llu\n", (unsigned long long)device, (unsigned long long)inode);
	fclose(f);
}

static bool names_disk(const char *path, dev_t device, ino_t inode)
{
	unsigned long long d, i;
	bool found = false;
	FILE *f = fopen(path, "re");

	while (f && !found && fscanf(f, "%llu %llu", &d, &i) == 2)
		found = d == device && i == inode;
	if (f)
		fclose(f);
	return found;
}

bool rundir_find_disk_owner(dev_t device, ino_t inode, char *name, size_t room)
{
	DIR *parent = opendir(rundir_parent());
	struct dirent *entry;
	char path[PATH_MAX];
	bool found = false;

	while (parent && !found && (entry = readdir(parent))) {
		if (entry->d_name[0] == '.')
			continue;
		rundir_path(path, sizeof(path), entry->d_name, DISKS_FILE);
		found = names_disk(path, device, inode);
		if (found)
			snprintf(name, room, "%s", entry->d_name);
	}
	if (parent)
		closedir(parent);
	return found;
}
