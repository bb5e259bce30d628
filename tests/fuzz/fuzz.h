/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What fuzz targets share. A target is one file with LLVMFuzzerTestOneInput and fuzz_target; fuzz_main.c makes a program of it: a
 * unit test with inputs from seeds, or, built with KEEL_LIBFUZZER, one that looks for inputs by itself.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fuzz_target {
	unsigned long rounds;	/* of the unit test */
	size_t room;		/* bytes of the longest input */
	/* Fills the input from the random state. Returns how many bytes it has. */
	size_t (*make)(uint8_t *input, uint64_t *state);
};

extern const struct fuzz_target fuzz_target;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program, which tells what does not hold. */
void require(bool holds, const char *what);
/* Ends the program, whose test is skipped then: this machine lacks something. */
void fuzz_skip(const char *why) __attribute__((noreturn));

/* For checks that go through much: their comparisons tell libFuzzer nothing, and its note of each takes longer than they do. */
#ifdef __clang__
#define FUZZ_UNOBSERVED __attribute__((noinline, no_sanitize("coverage", "address", "undefined")))
#else
#define FUZZ_UNOBSERVED
#endif

static inline uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Fewer than `most` bytes, and any. */
static inline size_t fuzz_make_bytes(uint8_t *input, size_t most, uint64_t *state)
{
	size_t size = next(state) % most;

	for (size_t i = 0; i < size; i++)
		input[i] = (uint8_t)(next(state) >> 24);
	return size;
}

/* What is left of an input; behind its end are zeros. */
struct bytes {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t take8(struct bytes *b)
{
	if (!b->left)
		return 0;
	b->left--;
	return *b->at++;
}

static inline uint16_t take16(struct bytes *b)
{
	uint16_t value = take8(b);

	return (uint16_t)(value | take8(b) << 8);
}

static inline uint32_t take32(struct bytes *b)
{
	uint32_t value = take16(b);

	return value | (uint32_t)take16(b) << 16;
}

static inline uint64_t take64(struct bytes *b)
{
	uint64_t value = take32(b);

	return value | (uint64_t)take32(b) << 32;
}

#endif
