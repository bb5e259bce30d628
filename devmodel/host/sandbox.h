/* SPDX-License-Identifier: GPL-2.0 */
/* What keel-dm may do once its guest runs: few capabilities, and a list of system calls; any other fails with EPERM. */
#ifndef KEEL_SANDBOX_H
#define KEEL_SANDBOX_H

#include <stdbool.h>

/*
 * Keeps no capability but the one for scheduling priorities, in this thread and those it starts from now on. All that needs
 * more has been opened. False: it could not.
 */
bool sandbox_drop_capabilities(void);
/* For all threads of the process. False: there is no filter. */
bool sandbox_enter(void);

#endif
