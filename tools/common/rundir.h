/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A running guest's folder /run/keel/NAME (KEEL_RUN_DIR names another parent): pid (locked while the guest's process lives),
 * control (socket), disks (who has which image), console (link to the pty), console.log, firmware.log.
 * /run/keel/.ended/NAME is its record: it stays when the guest is gone, until it starts again or there are too many.
 */
#ifndef KEEL_RUNDIR_H
#define KEEL_RUNDIR_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/exit.h"

#define RUNDIR_PARENT		"/run/keel"

#define RUNDIR_RECORD_ROOM	2049u

struct rundir {
	char path[PATH_MAX / 2];
	int pid_fd;
	int record_fd;		/* what is told of it when it is gone */
	int user_fd;		/* whose lock keeps its user for it */
};

/* Users of guests' processes, which nobody else has. */
#define RUNDIR_USER_FIRST	1880096768u
#define RUNDIR_USERS		65536u

const char *rundir_parent(void);
/* path of a file in the folder of a guest. */
void rundir_path(char *path, size_t room, const char *name, const char *file);

/* Makes the folder and takes its lock. EXIT_IN_USE: a guest of this name runs. */
bool rundir_create(struct rundir *dir, const char *name, struct failure *failure);
/* The number of the process that serves the guest. */
bool rundir_note_pid(struct rundir *dir, pid_t pid, struct failure *failure);
/*
 * A user for this guest's process: another one for each guest that runs, as long as its rundir is there; without root the
 * caller's own.
 */
bool rundir_take_user(struct rundir *dir, uid_t *user, struct failure *failure);
/* Lets go of the folder and the user. Of two processes that have been forked, both do so before they are free. */
void rundir_leave(struct rundir *dir);
/* Removes the folder and what is known to be in it. The user is kept. */
void rundir_remove(struct rundir *dir);

/*
 * The process that serves the guest of this name, or is about to; 0: there is none. It stays this one's number as long as that is
 * so.
 */
pid_t rundir_process(const char *name);
/* Removes the folder of this name if the process that made it is gone without having done so. True: it was removed. */
bool rundir_clean(const char *name);
/* Writes the guest's record, an object. */
bool rundir_note_state(const struct rundir *dir, const json_t *record);
/*
 * The record's text, if it was written since the guest's process that lives was started; false: it was not. *age: of the record,
 * or else of the process, in seconds.
 */
bool rundir_read_record(const char *name, char text[RUNDIR_RECORD_ROOM], long long *age);
/*
 * Puts what the record says in a file that whoever has the former one open does not reach, while the folder is still
 * locked. reason: that the guest was lost, and why; NULL: the record as its process left it, if it is one.
 */
void rundir_end_record(struct rundir *dir, const char *reason);
/* Calls each with the name and text of each record, until that is false: out of memory. */
bool rundir_each_record(bool (*each)(void *owner, const char *name, const char *text), void *owner, struct failure *failure);

/* Notes that the guest uses an image. */
void rundir_note_disk(const struct rundir *dir, dev_t device, ino_t inode);
/* Takes one such note back. */
void rundir_forget_disk(const struct rundir *dir, dev_t device, ino_t inode);
/* Which guest that runs noted this image; false: none. */
bool rundir_find_disk_owner(dev_t device, ino_t inode, char *name, size_t room);

#endif
