/* SPDX-License-Identifier: GPL-2.0 */
/* What C lacks: the length of an array, and a structure by one of its members. */
#ifndef KEEL_MACROS_H
#define KEEL_MACROS_H

#include <stddef.h>

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

/* member: a pointer to the member of this name in a structure of this type. */
#define container_of(member, type, name)	((type *)((char *)(member) - offsetof(type, name)))

#endif
