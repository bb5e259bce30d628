// SPDX-License-Identifier: GPL-2.0
// Escapes from the sandbox of keel-dm: memory, executable or that no limit counts.
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <keel/macros.h>

#include "escapes.h"

static bool maps(int protection, int flags, size_t bytes)
{
	return mmap(NULL, bytes, protection, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static bool executable(void)
{
	return maps(PROT_READ | PROT_EXEC, MAP_PRIVATE, 4096);
}

static bool made_executable(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page != MAP_FAILED && !mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static bool made_executable_by_key(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page != MAP_FAILED && !syscall(SYS_pkey_mprotect, page, 4096, PROT_READ | PROT_EXEC, -1);
}

static bool executable_for_all(void)
{
	return personality(READ_IMPLIES_EXEC) >= 0;
}

static bool file_in_memory(void)
{
	return memfd_create("escape", 0) >= 0;
}

/* Which no limit of data counts. */
static bool shared_memory(void)
{
	return maps(PROT_READ | PROT_WRITE, MAP_SHARED, 4096);
}

static bool stack_memory(void)
{
	return maps(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_GROWSDOWN, 4096);
}

static bool merged_memory(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page != MAP_FAILED && !madvise(page, 4096, MADV_WILLNEED);
}

static const struct attempt list[] = {
	{ "map executable memory", executable, false, false },
	{ "make memory executable", made_executable, false, false },
	{ "the same by pkey_mprotect", made_executable_by_key, false, false },
	{ "the same by personality", executable_for_all, false, false },
	{ "make a file in memory", file_in_memory, false, false },
	{ "map shared memory", shared_memory, false, false },
	{ "map memory that grows", stack_memory, false, false },
	{ "advise on memory", merged_memory, false, false },
};

const struct attempts escapes_memory = { list, ARRAY_SIZE(list) };
