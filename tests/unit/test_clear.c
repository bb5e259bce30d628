/* SPDX-License-Identifier: GPL-2.0 */
/* Memory cleared at boot, by several processors: everything but what is taken, and no page written that is zero already. */
#include <check.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bootmem.h"
#include "clear.h"
#include "console.h"
#include "memory.h"
#include "smp.h"
#include "suite.h"

#define MIB		(UINT64_C(1) << 20)
#define RAM		(150 * MIB)
#define DIRTY_FROM	(40 * MIB)
#define DIRTY_END	(50 * MIB)
#define OLD		0xa5
#define OTHERS		3u

uint8_t *memory_test_arena;

static struct boot_info boot;
static char told[512];

void smp_delay(uint32_t milliseconds)
{
	usleep(milliseconds * 1000);
}

/* %lu is the only number of ours that printf knows by another name. */
void print(const char *format, ...)
{
	size_t used = strlen(told);
	va_list args;

	va_start(args, format);
	vsnprintf(told + used, sizeof(told) - used, format, args);
	va_end(args);
}

static void set_up(void)
{
	memory_test_arena = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert(memory_test_arena != MAP_FAILED);
	memset(&boot, 0, sizeof(boot));
	boot.map[0] = (struct boot_range){ 0, 100 * MIB, BOOT_RAM };
	boot.map[1] = (struct boot_range){ 100 * MIB, 101 * MIB, BOOT_NVS };
	boot.map[2] = (struct boot_range){ 101 * MIB, RAM - MIB, BOOT_RAM };
	boot.map_count = 3;
	bootmem_init(&boot);
	/* A module that ends within a page, and one that begins in a piece of 64 MiB and ends in the next. */
	bootmem_take(&boot, 30 * MIB, 30 * MIB + 5);
	bootmem_take(&boot, 63 * MIB, 65 * MIB);
	memset(memory_test_arena, OLD, 2 * MIB);
	memset(memory_test_arena + 30 * MIB - PAGE_SIZE, OLD, 3 * PAGE_SIZE);
	memset(memory_test_arena + DIRTY_FROM, OLD, DIRTY_END - DIRTY_FROM);
	memset(memory_test_arena + 62 * MIB, OLD, 4 * MIB);
	memset(memory_test_arena + 98 * MIB, OLD, 4 * MIB);
	/* One byte of a page, at its end. */
	memory_test_arena[130 * MIB - 1] = OLD;
	memset(memory_test_arena + RAM - 2 * MIB, OLD, 2 * MIB);
}

static bool all(uint64_t start, uint64_t end, uint8_t value)
{
	for (uint64_t at = start; at < end; at++)
		if (memory_test_arena[at] != value)
			return false;
	return true;
}

static void *take_part(void *unused)
{
	clear_take_part();
	return unused;
}

START_TEST(all_but_what_is_taken)
{
	pthread_t other[OTHERS];

	for (unsigned i = 0; i < OTHERS; i++)
		ck_assert_int_eq(pthread_create(&other[i], NULL, take_part, NULL), 0);
	clear_memory(&boot);
	ck_assert(all(0, MIB, OLD));
	ck_assert(all(MIB, 30 * MIB, 0));
	ck_assert(all(30 * MIB, 30 * MIB + 5, OLD));
	ck_assert(all(30 * MIB + 5, 63 * MIB, 0));
	ck_assert(all(63 * MIB, 65 * MIB, OLD));
	ck_assert(all(65 * MIB, 100 * MIB, 0));
	ck_assert(all(100 * MIB, 101 * MIB, OLD));
	ck_assert(all(101 * MIB, RAM - MIB, 0));
	ck_assert(all(RAM - MIB, RAM, OLD));
	/* One that comes too late finds nothing to do. */
	memory_test_arena[DIRTY_FROM] = OLD;
	clear_take_part();
	ck_assert_uint_eq(memory_test_arena[DIRTY_FROM], OLD);
	for (unsigned i = 0; i < OTHERS; i++)
		ck_assert_int_eq(pthread_join(other[i], NULL), 0);
	ck_assert_ptr_nonnull(strstr(told, "Keel: clearing 144 MiB of memory took "));
	ck_assert_ptr_nonnull(strstr(told, " s for 100 GiB; 17 MiB were not empty; 0 MiB are the firmware's"));
}
END_TEST

/* Those that may only be read. */
START_TEST(empty_pages_are_not_written)
{
	ck_assert_int_eq(mprotect(memory_test_arena + 2 * MIB, 28 * MIB - PAGE_SIZE, PROT_READ), 0);
	ck_assert_int_eq(mprotect(memory_test_arena + 110 * MIB, 20 * MIB - PAGE_SIZE, PROT_READ), 0);
	clear_memory(&boot);
	ck_assert(all(DIRTY_FROM, DIRTY_END, 0));
	ck_assert_uint_eq(memory_test_arena[130 * MIB - 1], 0);
}
END_TEST

START_TEST(nothing_when_asked)
{
	pthread_t other;

	ck_assert_int_eq(pthread_create(&other, NULL, take_part, NULL), 0);
	clear_nothing(&boot);
	ck_assert_int_eq(pthread_join(other, NULL), 0);
	ck_assert(all(DIRTY_FROM, DIRTY_END, OLD));
	ck_assert_ptr_nonnull(strstr(told, "memory is not cleared"));
}
END_TEST

SUITE("clear", tests)
{
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, all_but_what_is_taken);
	tcase_add_test(tests, empty_pages_are_not_written);
	tcase_add_test(tests, nothing_when_asked);
}
