// SPDX-License-Identifier: GPL-2.0
/* keel cd-insert: opens a medium, which the guest's process could not, and hands it over. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "common/fd.h"
#include "manifest/image_format.h"
#include "output.h"
#include "progress.h"

#define QUICK_SECONDS		10

/* Its process looks at the same once more, which takes no time then: what it reads has been read here. */
static bool check_medium(int fd, const struct stat *st, const char *file, struct failure *failure)
{
	uint64_t bytes = (uint64_t)st->st_size;
	char *fault;

	if (S_ISBLK(st->st_mode) && ioctl(fd, BLKGETSIZE64, &bytes))
		return failure_set(failure, EXIT_FAILED, "cannot examine %s: %s", file, strerror(errno));
	if (image_is_good(fd, file, bytes, IMAGE_CD_SECTOR, &fault))
		return true;
	failure_set(failure, EXIT_FAILED, "%s", fault ? fault : "out of memory");
	free(fault);
	return false;
}

/* Below 0: the failure tells. */
static int open_medium(const char *file, struct failure *failure)
{
	int found = open(file, O_PATH | O_CLOEXEC), fd = -1;
	struct stat st = { 0 };
	bool fit = found < 0 || fstat(found, &st) || S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);

	if (found >= 0 && fit)
		fd = fd_reopen(found, O_RDONLY);
	if (!fit)
		failure_set(failure, EXIT_FAILED, "%s is neither a regular file nor a block device", file);
	else if (fd < 0)
		failure_set(failure, EXIT_FAILED, "cannot open %s: %s", file, strerror(errno));
	else if (!check_medium(fd, &st, file, failure))
		fd_close(&fd);
	fd_close(&found);
	return fd;
}

/* The names of guests are checked before the medium is: who mistypes one is told so. */
static json_t *insert(const char *name, const char *file, const struct options *options, struct failure *failure)
{
	int socket = client_connect(name, failure), fd = socket < 0 ? -1 : open_medium(file, failure);
	json_t *request = json_pack("{s:s, s:o, s:b}", "command", "cd-insert", "file", output_string(file),
				    "force", (int)options->force);
	struct failure refusal;
	json_t *answer = NULL;

	if (fd < 0) {
		json_decref(request);
	} else if (client_send_with(socket, request, fd, failure)) {
		progress_begin(options, "cd-insert", name, 1, QUICK_SECONDS);
		answer = client_receive(socket, client_deadline(QUICK_SECONDS), &refusal);
		progress_end();
		if (!answer)
			failure_set(failure, refusal.code, "guest \"%s\": %s%s", name, refusal.text,
				    refusal.code == EXIT_TIMEOUT ? "; a read of the former medium may not have ended yet, "
				    "and the other comes behind it" : "");
	}
	if (fd >= 0)
		close(fd);
	if (socket >= 0)
		close(socket);
	return answer;
}

enum exit_code command_cd_insert(const struct options *options, int count, char **operands)
{
	char path[PATH_MAX];
	const char *file = realpath(operands[1], path) ? path : operands[1];
	struct failure failure = { 0 };
	json_t *answer = insert(operands[0], file, options, &failure);

	(void)count;
	if (!answer)
		return output_fail(options->json, &failure);
	json_decref(answer);
	if (options->json)
		return output_json(json_pack("{s:b, s:o, s:o}", "ok", 1, "name", output_string(operands[0]), "file",
					     output_string(file)));
	output_text(operands[0]);
	fputs(": ", stdout);
	output_text(file);
	puts(" is in its CD-ROM drive");
	return EXIT_DONE;
}
