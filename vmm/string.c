/* SPDX-License-Identifier: GPL-2.0 */
/* Memory and string functions. -ffreestanding keeps their loops from becoming calls of themselves. */
#include "string.h"

#include <stdint.h>

/* In words, for processors whose string instructions take a step for each unit; emulators do, too. */
void *memcpy(void *to, const void *from, size_t size)
{
	void *at = to;
	size_t words = size / sizeof(uint64_t);

	size %= sizeof(uint64_t);
	__asm__ volatile("rep movsq" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	volatile unsigned char *target = to;	/* volatile: or this loop would become a call of memmove() */
	const unsigned char *source = from;

	if ((uintptr_t)to <= (uintptr_t)from || (uintptr_t)to - (uintptr_t)from >= size)
		return memcpy(to, from, size);
	/* Not by STD and REP: an exception in between would meet compiled code with RFLAGS.DF set. */
	while (size > 0) {
		size--;
		target[size] = source[size];
	}
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	void *at = to;
	size_t words = size / sizeof(uint64_t);
	uint64_t pattern = (unsigned char)byte * 0x0101010101010101u;

	size %= sizeof(uint64_t);
	__asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(pattern) : "memory");
	__asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(pattern) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const unsigned char *left = a;
	const unsigned char *right = b;

	for (; size > 0; left++, right++, size--) {
		if (*left != *right)
			return *left - *right;
	}
	return 0;
}

size_t strlen(const char *string)
{
	const char *end = string;

	while (*end != '\0')
		end++;
	return (size_t)(end - string);
}
