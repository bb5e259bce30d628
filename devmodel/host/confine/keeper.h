/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The other process of a running guest. It stays as privileged as it was started, has nothing to do with the guest, and clears the guest's
 * folder away when that ends, by whatever it ends: the process that serves the guest is confined and could not. It is believed of
 * nothing: it is ended if it lives on behind its release or a signal.
 */
#ifndef KEEL_KEEPER_H
#define KEEL_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/exit.h"
#include "common/rundir.h"

#define KEEPER_LEAVE_SECONDS	80	/* from a signal on, that the guest's process takes at most; systemd kills after 90 */

struct keeper {
	int link;		/* between the two */
	pid_t pid;		/* of the keeper, */
	pid_t guest;		/* of the process that serves the guest; 0: it is this one */
};

/* Both return from it. False: there is only one. Blocks all signals. */
bool keeper_fork(struct keeper *keeper, struct failure *failure);

/*
 * In the keeper: hands TERM, INT and HUP on, and returns when the guest's process and its folder are gone. serial: the path of a socket
 * that the guest's process makes; NULL: it makes none. Returns that process's status.
 */
enum exit_code keeper_watch(struct keeper *keeper, struct rundir *dir, const char *serial);

/* In the guest's process, before it is confined. The serial socket is made. */
bool keeper_note_socket(const struct keeper *keeper, struct failure *failure);
/* The same. The keeper holds this descriptor, whose lock is to last as long as the guest; the caller's is closed. */
bool keeper_hold(const struct keeper *keeper, int fd, struct failure *failure);
/* In the guest's process: the folder is to go now. Returns when it is gone, so that the guest's name is free. */
void keeper_release(const struct keeper *keeper);

#endif
