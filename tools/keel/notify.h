/* SPDX-License-Identifier: GPL-2.0 */
/* What a service manager is told: sd_notify(3)'s protocol, of which one message is needed. */
#ifndef KEEL_NOTIFY_H
#define KEEL_NOTIFY_H

#include <sys/types.h>

/* The service is up, and this is its main process; 0: it has ended already. Where nobody asks, nobody is told. */
void notify_started(pid_t pid);

#endif
