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

/* A freestanding compiler takes the plain names for strangers; by these it makes a load and a store of a small copy. */
#define memcpy	__builtin_memcpy
#define memmove	__builtin_memmove
#define memset	__builtin_memset
#define memcmp	__builtin_memcmp
#endif

#endif
