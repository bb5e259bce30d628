/* SPDX-License-Identifier: GPL-2.0 */
/* What is told of a guest. */
#ifndef KEEL_LIST_H
#define KEEL_LIST_H

#include "commands.h"

/* Describes one guest. */
enum exit_code list_info(const struct options *options, const char *name);

#endif
