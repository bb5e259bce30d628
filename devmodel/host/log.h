/* SPDX-License-Identifier: GPL-2.0 */
/* The log of this process: its standard error. */
#ifndef KEEL_LOG_H
#define KEEL_LOG_H

/* From here on each line on stderr begins with its time, in UTC. */
void log_start(void);

#endif
