/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The other process of a running guest. It stays as privileged as it was started, has nothing to do with the guest, and clears
 * the guest's folder away when that ends, by whatever it ends: the process that serves the guest is confined and could not. It is
 * believed of nothing: it is ended if it lives on behind its release or a signal.
 */
#ifndef KEEL_KEEPER_H
#define KEEL_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/exit.h"
#include "common/rundir.h"
#include "manifest/manifest.h"

#define KEEPER_LEAVE_SECONDS	80	/* from a signal on, that the guest's process takes at most; systemd kills after 90 */

struct keeper {
	int link;		/* between the two */
	pid_t pid;		/* of the keeper, */
	pid_t guest;		/* of the process that serves the guest; 0: it is this one */
};

/* Both return from it. False: there is only one. Blocks all signals. */
bool keeper_fork(struct keeper *keeper, struct failure *failure);

/*
 * In the keeper: hands TERM, INT and HUP on, and returns when the guest's process and its folder are gone. The manifest says
 * which socket that process makes, and what may have other media. Returns its status.
 */
enum exit_code keeper_watch(struct keeper *keeper, struct rundir *dir, const struct manifest *manifest);

/* In the guest's process, before it is confined. The serial socket is made. */
bool keeper_note_socket(const struct keeper *keeper, struct failure *failure);
/* The same. From here on the end of the process, however it comes, is told by the guest's record. */
bool keeper_note_opened(const struct keeper *keeper, struct failure *failure);
/*
 * The same. The keeper holds this descriptor, one of the claim on a drive's image: its lock is to last until the drive has
 * another medium, or as long as the guest. The caller's stays.
 */
bool keeper_hold(const struct keeper *keeper, unsigned int drive, int fd, struct failure *failure);

/*
 * In the guest's process, also when it is confined. Claims a medium that somebody has sent and calls by this name, as one for
 * this drive would be claimed at the start, and returns a descriptor of it, opened anew; -1: refused. fd stays the caller's. Then
 * keeper_change puts it into the drive, whose former one, if any, is let go of; without a claim there is none then. Or
 * keeper_forget lets go of it.
 */
int keeper_claim(const struct keeper *keeper, unsigned int drive, int fd, const char *file, struct failure *failure);
void keeper_change(const struct keeper *keeper, unsigned int drive);
void keeper_forget(const struct keeper *keeper, unsigned int drive);

/* In the guest's process: the folder is to go now. Returns when it is gone, so that the guest's name is free. */
void keeper_release(const struct keeper *keeper);

#endif
