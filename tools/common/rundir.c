// SPDX-License-Identifier: GPL-2.0
/* The folder of a running guest. */
#include "common/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <keel/macros.h>

#include "common/fd.h"

#define PID_FILE		"pid"
#define DISKS_FILE		"disks"
#define CLEANING_NS		20000000	/* longer than somebody else's rundir_clean holds a lock */
#define RECORDS			".ended"
#define RECORD_BYTES		(RUNDIR_RECORD_ROOM - 1)
#define DISKS_BYTES		4096u
#define RECORDS_MOST		256u
#define ATTEMPTS		10
#define KNOWN_FILES		ARRAY_SIZE(known_files)
#define USERS_FILE		".users"

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

/* Not what somebody has put there in its place. */
static int open_folder(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Of a folder that is open. -1: errno tells; EAGAIN: another process has it. */
static int lock_pid_file(int folder, int create)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat ours, there;

	for (;;) {
		int fd = openat(folder, PID_FILE, O_RDWR | create | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return -1;
		if (fcntl(fd, F_OFD_SETLK, &lock)) {
			int error = errno == EACCES ? EAGAIN : errno;

			close(fd);
			errno = error;
			return -1;
		}
		/* The previous owner removes its file before it lets go of the lock. */
		if (!fstat(fd, &ours) && !fstatat(folder, PID_FILE, &there, AT_SYMLINK_NOFOLLOW) && ours.st_ino == there.st_ino &&
		    ours.st_dev == there.st_dev)
			return fd;
		close(fd);
	}
}

static bool make_folder(const char *path, mode_t mode)
{
	return !mkdir(path, mode) || errno == EEXIST;
}

static void remove_files(int folder, size_t count)
{
	for (size_t i = 0; i < count; i++)
		unlinkat(folder, known_files[i], 0);
}

/* False: errno tells. */
static bool lock_folder(struct rundir *dir)
{
	const struct timespec cleaning = { .tv_nsec = CLEANING_NS };
	int folder, error;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		if (!make_folder(rundir_parent(), 0755) || !make_folder(dir->path, 0700))
			return false;
		folder = open_folder(dir->path);
		dir->pid_fd = folder < 0 ? -1 : lock_pid_file(folder, O_CREAT);
		error = errno;
		if (dir->pid_fd >= 0)
			remove_files(folder, KNOWN_FILES - 1);	/* what a killed process left behind */
		fd_close(&folder);
		errno = error;
		if (dir->pid_fd >= 0)
			return true;
		/* Its previous owner, or rundir_clean, removes the folder. */
		if (errno == EAGAIN && attempt < ATTEMPTS - 1)
			nanosleep(&cleaning, NULL);
		else if (errno != ENOENT)
			break;
	}
	return false;
}

static bool is_running(const char *name)
{
	char path[PATH_MAX];

	rundir_path(path, sizeof(path), name, PID_FILE);
	return !access(path, F_OK);
}

/* The record that was written first, of those of guests that do not run; returns how many records there are. */
static unsigned int find_oldest(DIR *records, char oldest[NAME_MAX + 1])
{
	struct timespec first = { 0 };
	unsigned int count = 0;
	struct dirent *entry;
	struct stat st;

	for (oldest[0] = '\0'; (entry = readdir(records));) {
		if (entry->d_name[0] == '.' || fstatat(dirfd(records), entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		count++;
		if (is_running(entry->d_name) || (oldest[0] && (st.st_mtim.tv_sec > first.tv_sec ||
		    (st.st_mtim.tv_sec == first.tv_sec && st.st_mtim.tv_nsec >= first.tv_nsec))))
			continue;
		first = st.st_mtim;
		strcpy(oldest, entry->d_name);
	}
	return count;
}

static void prune_records(const char *folder)
{
	DIR *records = opendir(folder);
	char oldest[NAME_MAX + 1];

	while (records && find_oldest(records, oldest) > RECORDS_MOST && oldest[0] && !unlinkat(dirfd(records), oldest, 0))
		rewinddir(records);
	if (records)
		closedir(records);
}

static bool open_record(struct rundir *dir, const char *name, struct failure *failure)
{
	char path[PATH_MAX];
	int error;

	rundir_path(path, sizeof(path), RECORDS, "");
	if (make_folder(path, 0700)) {
		prune_records(path);
		rundir_path(path, sizeof(path), RECORDS, name);
		dir->record_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	if (dir->record_fd < 0)
		return failure_set(failure, EXIT_FAILED, "cannot make %s: %s", path, strerror(errno));
	/* The end of the guest must find room; what is there stays until it runs. */
	error = posix_fallocate(dir->record_fd, 0, RECORD_BYTES);
	return !error || failure_set(failure, EXIT_FAILED, "cannot write %s: %s", path, strerror(error));
}

bool rundir_note_pid(struct rundir *dir, pid_t pid, struct failure *failure)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%d\n", (int)pid);

	if (!ftruncate(dir->pid_fd, 0) && pwrite(dir->pid_fd, text, (size_t)length, 0) == length)
		return true;
	return failure_set(failure, EXIT_FAILED, "cannot write %s/" PID_FILE ": %s", dir->path, strerror(errno));
}

bool rundir_create(struct rundir *dir, const char *name, struct failure *failure)
{
	int error;

	dir->pid_fd = dir->record_fd = dir->user_fd = -1;
	if (snprintf(dir->path, sizeof(dir->path), "%s/%s", rundir_parent(), name) >= (int)sizeof(dir->path))
		return failure_set(failure, EXIT_FAILED, "the path of %s is too long", rundir_parent());
	if (!lock_folder(dir)) {
		error = errno;
		/* Does nothing to one that is another's: that is not empty. */
		rmdir(dir->path);
		if (error == EAGAIN)
			return failure_set(failure, EXIT_IN_USE, "guest \"%s\" is running already", name);
		return failure_set(failure, EXIT_FAILED, "cannot create %s and the file " PID_FILE " in it: %s%s", dir->path,
				   strerror(error), error == EACCES ? "; run this as root" : "");
	}
	if (rundir_note_pid(dir, getpid(), failure) && open_record(dir, name, failure))
		return true;
	rundir_remove(dir);
	return false;
}

bool rundir_take_user(struct rundir *dir, uid_t *user, struct failure *failure)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	char path[PATH_MAX];

	*user = geteuid();
	if (*user)
		return true;
	/* One file for all, whatever folder their guests are in. */
	mkdir(RUNDIR_PARENT, 0755);
	snprintf(path, sizeof(path), RUNDIR_PARENT "/" USERS_FILE);
	dir->user_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (dir->user_fd < 0)
		return failure_set(failure, EXIT_FAILED, "cannot open %s: %s", path, strerror(errno));
	/* A byte of the file for each user. */
	while (fcntl(dir->user_fd, F_OFD_SETLK, &lock))
		if ((errno != EAGAIN && errno != EACCES) || ++lock.l_start == RUNDIR_USERS)
			return failure_set(failure, EXIT_FAILED, "cannot lock a user of %s: %s", path, strerror(errno));
	*user = RUNDIR_USER_FIRST + (uid_t)lock.l_start;
	return true;
}

void rundir_leave(struct rundir *dir)
{
	fd_close(&dir->pid_fd);
	fd_close(&dir->user_fd);
}

void rundir_remove(struct rundir *dir)
{
	int folder;

	if (dir->pid_fd < 0)
		return;
	folder = open_folder(dir->path);
	remove_files(folder, KNOWN_FILES);
	rmdir(dir->path);
	fd_close(&folder);
	fd_close(&dir->pid_fd);
}

/* All of it at once, in place: what reads it meanwhile sees one or the other. */
bool rundir_note_state(const struct rundir *dir, const json_t *record)
{
	char text[RECORD_BYTES];
	size_t length = record ? json_dumpb(record, text, sizeof(text), JSON_COMPACT) : 0;

	if (!length || length >= sizeof(text))
		return false;
	memset(text + length, ' ', sizeof(text) - length);
	text[sizeof(text) - 1] = '\n';
	return pwrite(dir->record_fd, text, sizeof(text), 0) == (ssize_t)sizeof(text);
}

/* Whether there is one; what the process of the guest wrote may be anything. */
static bool is_record(const char *text, size_t length)
{
	json_t *record = json_loadb(text, length, 0, NULL);
	bool good = json_string_length(json_object_get(record, "state"));

	json_decref(record);
	return good;
}

static json_t *lost_record(const char *name, const char *reason)
{
	char stamp[32] = "";
	time_t now = time(NULL);
	struct tm tm;

	if (gmtime_r(&now, &tm))
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_pack("{s:s, s:s, s:s, s:s, s:b}", "name", name, "state", "lost", "since", stamp, "reason", reason,
			 "crashed", 1);
}

/* Without room for another file the former one has to do. */
static void put_record(struct rundir *dir, const char *name, const json_t *record)
{
	struct rundir next = *dir;
	char path[PATH_MAX], place[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" RECORDS "/.%s", rundir_parent(), name);
	rundir_path(place, sizeof(place), RECORDS, name);
	unlink(path);
	next.record_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if ((next.record_fd < 0 || !rundir_note_state(&next, record) || rename(path, place)) && !rundir_note_state(dir, record))
		fprintf(stderr, "%s: cannot write its record\n", name);
	unlink(path);
	fd_close(&next.record_fd);
}

void rundir_end_record(struct rundir *dir, const char *reason)
{
	const char *name = strrchr(dir->path, '/') + 1;
	char text[RECORD_BYTES];
	ssize_t n = ftruncate(dir->record_fd, RECORD_BYTES) ? -1 : pread(dir->record_fd, text, sizeof(text), 0);
	json_t *record;

	if (!reason && (n < 0 || !is_record(text, (size_t)n)))
		reason = "its process left no record; see keel log";
	record = reason ? lost_record(name, reason) : json_loadb(text, (size_t)n, 0, NULL);
	put_record(dir, name, record);
	json_decref(record);
}

static bool read_record(int folder, const char *name, char text[RECORD_BYTES + 1])
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, text, RECORD_BYTES);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static bool is_earlier(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

bool rundir_read_record(const char *name, char text[RUNDIR_RECORD_ROOM], long long *age)
{
	char path[PATH_MAX];
	struct stat process = { 0 }, record;
	bool good;
	int folder;

	rundir_path(path, sizeof(path), name, PID_FILE);
	stat(path, &process);
	rundir_path(path, sizeof(path), RECORDS, "");
	folder = open_folder(path);
	good = folder >= 0 && !fstatat(folder, name, &record, AT_SYMLINK_NOFOLLOW) &&
	       !is_earlier(&record.st_mtim, &process.st_mtim) && read_record(folder, name, text);
	fd_close(&folder);
	*age = (long long)(time(NULL) - (good ? record.st_mtim.tv_sec : process.st_mtim.tv_sec));
	return good;
}

bool rundir_each_record(bool (*each)(void *owner, const char *name, const char *text), void *owner, struct failure *failure)
{
	char path[PATH_MAX], text[RECORD_BYTES + 1];
	struct dirent *entry;
	bool good = true;
	DIR *records;

	rundir_path(path, sizeof(path), RECORDS, "");
	records = opendir(path);
	if (!records)
		return errno == ENOENT || failure_set(failure, EXIT_FAILED, "cannot read %s: %s", path, strerror(errno));
	while (good && (entry = readdir(records)))
		if (entry->d_name[0] != '.' && read_record(dirfd(records), entry->d_name, text))
			good = each(owner, entry->d_name, text);
	closedir(records);
	return good || failure_set(failure, EXIT_FAILED, "out of memory");
}

pid_t rundir_process(const char *name)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[PATH_MAX], text[16] = "";
	long pid = 0;
	int fd;

	rundir_path(path, sizeof(path), name, PID_FILE);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK && read(fd, text, sizeof(text) - 1) > 0)
		pid = strtol(text, NULL, 10);
	fd_close(&fd);
	return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

/*
 * The lock says that nobody lives there; who makes the folder anew meanwhile tries again (rundir_create). What has no number of a
 * process is not Keel's, but for a folder in which nothing is yet.
 */
bool rundir_clean(const char *name)
{
	char path[PATH_MAX];
	int folder, pid_fd;
	bool mine;

	rundir_path(path, sizeof(path), name, "");
	path[strlen(path) - 1] = '\0';
	folder = open_folder(path);
	pid_fd = folder < 0 ? -1 : lock_pid_file(folder, 0);
	mine = pid_fd >= 0 || (folder >= 0 && errno == ENOENT);
	if (pid_fd >= 0)
		remove_files(folder, KNOWN_FILES);
	mine = mine && !rmdir(path);
	fd_close(&pid_fd);
	fd_close(&folder);
	return mine;
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

/* A guest notes a few images, with a line each. */
void rundir_forget_disk(const struct rundir *dir, dev_t device, ino_t inode)
{
	char path[PATH_MAX], text[DISKS_BYTES], line[64];
	size_t length =
		(size_t)snprintf(line, sizeof(line), "%llu %llu\n", (unsigned long long)device, (unsigned long long)inode);
	ssize_t n;
	char *at;
	int fd;

	snprintf(path, sizeof(path), "%s/" DISKS_FILE, dir->path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	for (at = strstr(text, line); at && at > text && at[-1] != '\n'; at = strstr(at + 1, line))
		;
	if (at) {
		memmove(at, at + length, strlen(at + length) + 1);
		n = (ssize_t)strlen(text);
		if (pwrite(fd, text, (size_t)n, 0) != n || ftruncate(fd, n))
			fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
	}
	fd_close(&fd);
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
		found = names_disk(path, device, inode) && rundir_process(entry->d_name);
		if (found)
			snprintf(name, room, "%s", entry->d_name);
	}
	if (parent)
		closedir(parent);
	return found;
}
