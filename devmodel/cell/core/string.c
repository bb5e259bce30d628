// SPDX-License-Identifier: GPL-2.0
/* Memory functions for a cell: string instructions. */
#include "core/string.h"

#include <stdint.h>

#undef memcpy
#undef memmove
#undef memset
#undef memcmp

/* The bulk in words: what counts instructions, such as an emulator of this processor, counts every step of a REP. */
void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	void *start = to;
	size_t words = bytes / sizeof(uint64_t);

	bytes %= sizeof(uint64_t);
	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return start;
}

static void copy_down(uint8_t *to, const uint8_t *from, size_t bytes)
{
	to += bytes - 1;
	from += bytes - 1;
	__asm__ volatile("std\n\trep movsb\n\tcld" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory", "cc");
}

void *memmove(void *to, const void *from, size_t bytes)
{
	if ((uintptr_t)to - (uintptr_t)from >= bytes)
		return memcpy(to, from, bytes);
	copy_down(to, from, bytes);
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	void *start = to;
	size_t words = bytes / sizeof(uint64_t);
	uint64_t pattern = (uint8_t)value * 0x0101010101010101ull;

	bytes %= sizeof(uint64_t);
	__asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(pattern) : "memory");
	return start;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < bytes; i++)
		if (x[i] != y[i])
			return x[i] - y[i];
	return 0;
}
