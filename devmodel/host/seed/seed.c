// SPDX-License-Identifier: GPL-2.0
/* Has the disk of cloud-init written. */
#include "host/seed/seed.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/seed/seed_files.h"
#include "manifest/image_format.h"

#define PROGRAM			"keel-seed"
#define WORDS_MOST		(2u + 2u * SEED_FILES_MOST)
#define NUMBER_ROOM		24u
#define SEALS			(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Beside this one. */
static bool find_program(char path[PATH_MAX], struct failure *failure)
{
	char self[PATH_MAX] = "";

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return failure_set(failure, EXIT_FAILED, "cannot find this program's folder: %s", strerror(errno));
	dirname(self);
	return snprintf(path, PATH_MAX, "%s/" PROGRAM, self) < PATH_MAX ||
	       failure_set(failure, EXIT_FAILED, "the name of %s is too long for " PROGRAM " in it", self);
}

/* The contents of the files, one behind the other. -1: errno tells. */
static int open_contents(const struct seed_files *files)
{
	int fd = memfd_create("cloud-init-files", MFD_CLOEXEC);
	bool written = fd >= 0;

	for (unsigned int i = 0; i < files->count && written; i++)
		for (size_t done = 0; done < files->file[i].count && written;) {
			ssize_t n = write(fd, files->file[i].bytes + done, files->file[i].count - done);

			written = n > 0;
			done += written ? (size_t)n : 0;
		}
	if (written && !lseek(fd, 0, SEEK_SET))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* It gets nothing of this process but the two files and the log. An errno, or 0. */
static int spawn(pid_t *pid, const char *program, char **words, int contents, int image)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	char *none[] = { NULL };
	sigset_t signals;
	int error;

	sigemptyset(&signals);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &signals);
	sigaddset(&signals, SIGPIPE);
	posix_spawnattr_setsigdefault(&attributes, &signals);
	posix_spawn_file_actions_adddup2(&files, contents, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, image, STDOUT_FILENO);
	error = posix_spawn(pid, program, &files, &attributes, words, none);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return error;
}

static bool run_program(const struct seed_files *files, int contents, int image, struct failure *failure)
{
	char path[PATH_MAX], number[SEED_FILES_MOST][NUMBER_ROOM], *words[WORDS_MOST] = { (char[]){ PROGRAM } };
	unsigned int count = 1;
	int error, status;
	pid_t pid;

	if (!find_program(path, failure))
		return false;
	for (unsigned int i = 0; i < files->count; i++) {
		snprintf(number[i], NUMBER_ROOM, "%zu", files->file[i].count);
		words[count++] = (char *)files->file[i].name;
		words[count++] = number[i];
	}
	error = spawn(&pid, path, words, contents, image);
	if (error)
		return failure_set(failure, EXIT_FAILED, "cannot start %s, which writes the disk of cloud-init: %s", path,
				   strerror(error));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return failure_set(failure, EXIT_FAILED, "cannot wait for %s: %s", path, strerror(errno));
	return (WIFEXITED(status) && !WEXITSTATUS(status)) ||
	       failure_set(failure, EXIT_FAILED, "%s cannot write the disk of cloud-init; the guest's log has the reason", path);
}

/* Of the same shape for whoever wrote it, and for good. */
static bool seal(int image, struct failure *failure)
{
	struct stat st;

	if (fcntl(image, F_ADD_SEALS, SEALS) || fstat(image, &st))
		return failure_set(failure, EXIT_FAILED, "cannot seal the disk of cloud-init: %s", strerror(errno));
	return (st.st_size && st.st_size % IMAGE_CD_SECTOR == 0) ||
	       failure_set(failure, EXIT_FAILED, "the disk of cloud-init has %lld bytes, which is no image",
			   (long long)st.st_size);
}

int seed_make(const struct manifest *m, struct failure *failure)
{
	struct seed_files files;
	bool made = seed_files_make(&files, m);
	int contents = made ? open_contents(&files) : -1;
	int image = contents >= 0 ? memfd_create("cloud-init", MFD_CLOEXEC | MFD_ALLOW_SEALING) : -1;
	bool good = image >= 0;

	if (!made)
		failure_set(failure, EXIT_NO_MEMORY, "out of memory");
	else if (!good)
		failure_set(failure, EXIT_FAILED, "cannot make the disk of cloud-init: %s", strerror(errno));
	else
		good = run_program(&files, contents, image, failure) && seal(image, failure);
	seed_files_free(&files);
	if (contents >= 0)
		close(contents);
	if (!good && image >= 0) {
		close(image);
		image = -1;
	}
	return image;
}
