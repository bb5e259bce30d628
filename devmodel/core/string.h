/* SPDX-License-Identifier: GPL-2.0 */
/* The four memory functions that a freestanding compiler asks for; where there is a C library, they are its own. */
#ifndef KEEL_STRING_H
#define KEEL_STRING_H

#if __STDC_HOSTED__
#include <string.h>
#else
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
#endif

#endif
