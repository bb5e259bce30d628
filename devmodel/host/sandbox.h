/* SPDX-License-Identifier: GPL-2.0 */
/* What keel-dm may ask of the kernel once its guest runs: a list of system calls; any other fails with EPERM. */
#ifndef KEEL_SANDBOX_H
#define KEEL_SANDBOX_H

#include <stdbool.h>

/* For all threads of the process. False: there is no filter. */
bool sandbox_enter(void);

#endif
