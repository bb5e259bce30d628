/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Says on a terminal, as standard error, what a command waits for and since when: a line that is written anew each second,
 * and gone at the end. Elsewhere, and with --json, nothing is said.
 */
#ifndef KEEL_PROGRESS_H
#define KEEL_PROGRESS_H

#include <stddef.h>

#include "commands.h"

/* name: of the first of count guests. most: seconds that it may take; 0: any. */
void progress_begin(const struct options *options, const char *verb, const char *name, size_t count, int most);
/* Before anything else is said. */
void progress_end(void);

#endif
