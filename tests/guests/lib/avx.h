/* SPDX-License-Identifier: GPL-2.0 */
/* All YMM registers, which the compiler does not use: what is put there stays until a guest changes it. */
#ifndef GUEST_AVX_H
#define GUEST_AVX_H

#include <stdint.h>

#include "guest.h"

#define YMM_REGISTERS		16
#define YMM_BYTES		32
#define YMM_ALL			(YMM_REGISTERS * YMM_BYTES)

#define YMM_EACH(MOVE) \
	MOVE(0) MOVE(1) MOVE(2) MOVE(3) MOVE(4) MOVE(5) MOVE(6) MOVE(7) \
	MOVE(8) MOVE(9) MOVE(10) MOVE(11) MOVE(12) MOVE(13) MOVE(14) MOVE(15)
#define YMM_LOAD(i)		"vmovdqu " #i "*32(%0), %%ymm" #i "\n\t"
#define YMM_STORE(i)		"vmovdqu %%ymm" #i ", " #i "*32(%0)\n\t"

/* XCR0 as it must be for them. CPUID has shown AVX. */
static inline void avx_enable(void)
{
	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(0, XCR0_X87 | XCR0_SSE | XCR0_AVX);
}

/* Loads them with a pattern, which YMM_ALL bytes at the pointer keep. */
static inline void avx_fill(void *pattern)
{
	uint64_t state = 0x123456789abcdef1u, *word = pattern;
	unsigned int i;

	for (i = 0; i < YMM_ALL / 8; i++)
		word[i] = random_next(&state);
	asm volatile(YMM_EACH(YMM_LOAD) : : "r"(pattern) : "memory");
}

/* Whether they hold the pattern; "found" is room for YMM_ALL bytes. */
static inline bool avx_holds(const void *pattern, void *found)
{
	const uint64_t *word = pattern, *other = found;
	unsigned int i;

	asm volatile(YMM_EACH(YMM_STORE) : : "r"(found) : "memory");
	for (i = 0; i < YMM_ALL / 8 && word[i] == other[i]; i++)
		;
	return i == YMM_ALL / 8;
}

#endif
