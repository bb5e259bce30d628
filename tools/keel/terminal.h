/* SPDX-License-Identifier: GPL-2.0 */
/* Joins this terminal to a guest's serial console. */
#ifndef KEEL_TERMINAL_H
#define KEEL_TERMINAL_H

#include "common/exit.h"

/*
 * Until the guest ends or the user types Ctrl-] on a terminal. EXIT_FAILED when the guest crashed or on an error,
 * which is then in *failure (else its text is empty).
 */
enum exit_code terminal_join(const char *name, struct failure *failure);
/* The same over sockets that are there (process.h), which stay the caller's. */
enum exit_code terminal_take(const char *name, int console, int events, struct failure *failure);
/* Prints what is kept of the console's output. */
enum exit_code terminal_replay(const char *name, struct failure *failure);

#endif
