/* SPDX-License-Identifier: GPL-2.0 */
/* The sandbox's parts. They return NULL, or what could not be done, with errno. */
#ifndef KEEL_SANDBOX_INTERNAL_H
#define KEEL_SANDBOX_INTERNAL_H

#include "host/confine/sandbox.h"

/* Namespaces of its own, and an empty root folder. Takes root, or a user namespace where it is not that. */
const char *sandbox_view(const char *folder);
/* Of files, threads and memory. */
const char *sandbox_limit(const struct sandbox *sandbox);
/* No file, by whatever path. On kernels without Landlock it is left out. Takes no_new_privs. */
const char *sandbox_landlock(void);
/* No system call but those that serve a guest, some of them for certain descriptors alone. */
const char *sandbox_filter(const struct sandbox *sandbox);
/* User, group, capabilities, and that it ends with its keeper. */
const char *sandbox_drop(const struct sandbox *sandbox);

#endif
