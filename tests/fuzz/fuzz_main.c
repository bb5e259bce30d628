// SPDX-License-Identifier: GPL-2.0
/* What makes a program of a fuzz target. */
#include "fuzz.h"

#include <unistd.h>

#define EXIT_SKIPPED	77

static unsigned long seed;		/* of the input at hand; 0: it is libFuzzer's */

void require(bool holds, const char *what)
{
	if (holds)
		return;
	if (seed)
		fprintf(stderr, "fuzz, seed %lu: %s\n", seed, what);
	else
		fprintf(stderr, "fuzz: %s\n", what);
	abort();
}

void fuzz_skip(const char *why)
{
	fprintf(stderr, "fuzz: skipped: %s\n", why);
	/* libFuzzer takes exit() for a finding. */
	_exit(EXIT_SKIPPED);
}

static size_t make(uint8_t *input, unsigned long from)
{
	uint64_t state = from * 0x9e3779b97f4a7c15ull | 1;

	return fuzz_target.make(input, &state);
}

#ifdef KEEL_LIBFUZZER
#define MADE_ONE_IN	32u

int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int from);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

/* Inputs have the room that the target says, unless the command line, which comes behind this, says something else. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char most[40];
	char **words = calloc((size_t)*argc + 2, sizeof(*words));

	require(words != NULL, "no memory");
	snprintf(most, sizeof(most), "-max_len=%zu", fuzz_target.room);
	words[0] = (*argv)[0];
	words[1] = most;
	memcpy(words + 2, *argv + 1, (size_t)(*argc - 1) * sizeof(*words));
	*argv = words;
	++*argc;
	return 0;
}

/* Now and then an input comes from the target, which knows what good ones look like; libFuzzer changes them further. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int from)
{
	uint8_t *input;

	if (from % MADE_ONE_IN)
		return LLVMFuzzerMutate(data, size, most);
	input = malloc(fuzz_target.room);
	require(input != NULL, "no memory");
	size = make(input, from);
	size = size < most ? size : most;
	memcpy(data, input, size);
	free(input);
	return size;
}
#else
/* Inputs from seeds: [rounds [first seed]]. */
int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : fuzz_target.rounds;
	unsigned long first = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;
	uint8_t *buffer = malloc(fuzz_target.room);

	require(buffer != NULL, "no memory");
	for (seed = first; seed - first < rounds; seed++) {
		size_t size = make(buffer, seed);
		uint8_t *input = malloc(size ? size : 1);

		/* A piece of its own, at whose end the sanitizer watches. */
		require(input != NULL, "no memory");
		memcpy(input, buffer, size);
		LLVMFuzzerTestOneInput(input, size);
		free(input);
	}
	free(buffer);
	return rounds ? EXIT_SUCCESS : EXIT_FAILURE;
}
#endif
