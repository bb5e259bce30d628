/* SPDX-License-Identifier: GPL-2.0 */
/* What fuzz targets share: checks, numbers, bytes of an input one after the other, and the rounds of a target's own main. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long fuzz_seed;		/* of the input at hand; 0: it is libFuzzer's */

static inline void require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "fuzz, seed %lu: %s\n", fuzz_seed, what);
	abort();
}

static inline uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
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

static inline uint32_t take32(struct bytes *b)
{
	uint32_t value = take8(b);

	value |= (uint32_t)take8(b) << 8;
	value |= (uint32_t)take8(b) << 16;
	return value | (uint32_t)take8(b) << 24;
}

/* Inputs from seeds: [rounds [first seed]]. make returns how many bytes of room it has filled. */
static inline int fuzz_main(int argc, char **argv, unsigned long rounds, size_t room,
			    size_t (*make)(uint8_t *input, uint64_t *state))
{
	unsigned long first = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;
	uint8_t *buffer = malloc(room);

	rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : rounds;
	require(buffer != NULL, "no memory");
	for (unsigned long i = 0; i < rounds; i++) {
		uint64_t state = (first + i) * 0x9e3779b97f4a7c15ull | 1;
		size_t size = make(buffer, &state);
		uint8_t *input = malloc(size ? size : 1);

		/* A piece of its own, at whose end the sanitizer watches. */
		require(input != NULL, "no memory");
		memcpy(input, buffer, size);
		fuzz_seed = first + i;
		LLVMFuzzerTestOneInput(input, size);
		free(input);
	}
	free(buffer);
	return rounds ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
