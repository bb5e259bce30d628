/* SPDX-License-Identifier: GPL-2.0 */
/* Starts a guest's process. It gets nothing from whoever calls but what is listed here. */
#ifndef KEEL_PROCESS_H
#define KEEL_PROCESS_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/exit.h"
#include "manifest/manifest.h"

#define PROCESS_START_SECONDS	600	/* within which the memory of a large guest is ready */

/* Ends of sockets that the guest's process has had from before its guest's start. */
struct process {
	pid_t pid;
	int console;	/* as of the request "console" */
	int events;	/* as of the request "wait" */
};

/* Where the messages of a guest's process go. */
void process_log_path(char path[PATH_MAX], const char *name);
/* True: the guest runs, *answer is what its process said (a new reference), and the sockets are the caller's to close. */
bool process_start(const struct manifest *m, struct process *process, json_t **answer, struct failure *failure);

#endif
