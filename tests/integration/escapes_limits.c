// SPDX-License-Identifier: GPL-2.0
// Escapes from the sandbox of keel-dm: limits: what takes all that there is, so last.
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <keel/macros.h>

#include "escapes.h"

static bool lifts_limits(void)
{
	struct rlimit limit;

	return !getrlimit(RLIMIT_NOFILE, &limit) && !setrlimit(RLIMIT_NOFILE, &limit);
}

static bool more_memory(void)
{
	return mmap(NULL, 2 * ESCAPES_DATA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) !=
	       MAP_FAILED;
}

/* Memory that is not to be written to any more is no data: it keeps what is in it, and its page tables. */
static bool sealed_memory(void)
{
	void *part[64];
	unsigned int count = 0;

	for (; count < 64; count++) {
		part[count] = mmap(NULL, ESCAPES_DATA / 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				   -1, 0);
		if (part[count] == MAP_FAILED || mprotect(part[count], ESCAPES_DATA / 4, PROT_READ))
			break;
	}
	for (unsigned int i = 0; i < count; i++)
		munmap(part[i], ESCAPES_DATA / 4);
	return count == 64;
}

static bool more_files(void)
{
	for (int i = 0; i < 600; i++)
		if (eventfd(0, EFD_CLOEXEC) < 0)
			return false;
	return true;
}

static void *idle(void *argument)
{
	(void)argument;
	for (;;)
		syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_sec = 100 }, NULL);
	return NULL;
}

static bool more_threads(void)
{
	pthread_attr_t small;
	pthread_t thread;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	for (unsigned int i = 0; i < ESCAPES_THREADS + 2 * SANDBOX_WORKERS + 1; i++)
		if (pthread_create(&thread, &small, idle, NULL))
			return false;
	return true;
}

static const struct attempt list[] = {
	{ "change limits", lifts_limits, false, false },
	{ "take more memory than it may", more_memory, false, true },
	{ "take more and seal it", sealed_memory, false, true },
	{ "open more files than it may", more_files, false, true },
	{ "start more threads than it may", more_threads, false, true },
};

const struct attempts escapes_limits = { list, ARRAY_SIZE(list) };
