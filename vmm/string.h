/* SPDX-License-Identifier: GPL-2.0 */
/* Memory and string functions; those that the compiler calls on its own accord are among them. */
#if __STDC_HOSTED__
/* Unit tests mean libc's. Unguarded: the file may be found twice, beside its includer and by the path. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Winclude-next-absolute-path"
#endif
#include_next <string.h>
#elif !defined(VMM_STRING_H)
#define VMM_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *string);

#endif
