/* SPDX-License-Identifier: GPL-2.0 */
/* The sandbox's parts. They return NULL, or what could not be done, with errno. */
#ifndef KEEL_SANDBOX_INTERNAL_H
#define KEEL_SANDBOX_INTERNAL_H

/* Namespaces of its own, and an empty root folder. Takes root, or a user namespace where it is not that. */
const char *sandbox_view(const char *folder);
/* No file, by whatever path. On kernels without Landlock it is left out. Takes no_new_privs. */
const char *sandbox_landlock(void);
/* No system call but those that serve a guest. */
const char *sandbox_filter(void);

#endif
