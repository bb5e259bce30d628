/* SPDX-License-Identifier: GPL-2.0 */
/* Guest memory: what is refused, and that nothing moves then. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "core/gmem.h"
#include "suite.h"

#define PAGE	4096u
#define HOLE	(2 * PAGE)	/* pages 2 and 3 are no memory */
#define HIGH	(4 * PAGE)
#define ROM	(6 * PAGE)
#define END	(7 * PAGE)

static struct gmem mem;

static void setup(void)
{
	mem = (struct gmem){ .base = malloc(END), .count = 3 };
	ck_assert_ptr_nonnull(mem.base);
	for (unsigned int i = 0; i < END; i++)
		mem.base[i] = (uint8_t)(i * 31 + i / PAGE);
	mem.range[0] = (struct gmem_range){ 0, HOLE, false };
	mem.range[1] = (struct gmem_range){ HIGH, ROM - HIGH, false };
	mem.range[2] = (struct gmem_range){ ROM, END - ROM, true };
}

static void teardown(void)
{
	free(mem.base);
}

/* first, bytes, memory?, writable? */
static const struct {
	uint64_t gpa;
	size_t bytes;
	bool readable, writable;
} cases[] = {
	{ 0, 1, true, true },
	{ 0, HOLE, true, true },
	{ 0, HOLE + 1, false, false },
	{ HOLE - 1, 1, true, true },
	{ HOLE - 1, 2, false, false },
	{ HOLE, 1, false, false },
	{ HIGH - 1, 1, false, false },
	{ HIGH - 1, 2, false, false },
	{ HIGH, ROM - HIGH, true, true },
	{ ROM - 8, 8, true, true },
	{ ROM - 4, 8, false, false },
	{ ROM, 4, true, false },
	{ END - 4, 4, true, false },
	{ END - 4, 5, false, false },
	{ END, 1, false, false },
	{ UINT64_MAX, 1, false, false },
	{ UINT64_MAX, 2, false, false },
	{ UINT64_MAX - 3, 8, false, false },
	{ 16, SIZE_MAX, false, false },
	{ 16, SIZE_MAX - 15, false, false },
	{ HIGH + 16, SIZE_MAX - 15, false, false },
};

START_TEST(bounds)
{
	uint8_t *before = malloc(END), *buf = calloc(1, END);

	memcpy(before, mem.base, END);
	ck_assert_int_eq(gmem_read(&mem, cases[_i].gpa, buf, cases[_i].bytes), cases[_i].readable);
	if (cases[_i].readable) {
		ck_assert_int_eq(memcmp(buf, before + cases[_i].gpa, cases[_i].bytes), 0);
		for (size_t i = 0; i < cases[_i].bytes; i++)
			buf[i] = (uint8_t)~buf[i];
	}
	ck_assert_int_eq(gmem_write(&mem, cases[_i].gpa, buf, cases[_i].bytes), cases[_i].writable);
	if (cases[_i].writable)
		memcpy(before + cases[_i].gpa, buf, cases[_i].bytes);
	ck_assert_int_eq(memcmp(before, mem.base, END), 0);
	ck_assert_int_eq(gmem_load(&mem, cases[_i].gpa, buf, cases[_i].bytes), cases[_i].readable);
	free(buf);
	free(before);
}
END_TEST

START_TEST(load_reaches_rom)
{
	uint8_t data[4] = { 1, 2, 3, 4 };

	ck_assert(gmem_load(&mem, ROM + 8, data, sizeof(data)));
	ck_assert_int_eq(memcmp(mem.base + ROM + 8, data, sizeof(data)), 0);
}
END_TEST

START_TEST(compare_and_exchange)
{
	for (unsigned int bytes = 1; bytes <= 8; bytes *= 2) {
		uint64_t mask = bytes == 8 ? UINT64_MAX : (1ull << (8 * bytes)) - 1;
		uint64_t value = 0x1122334455667788ull, now = 0, old;

		memcpy(mem.base + 64, &value, sizeof(value));
		old = value & mask;
		ck_assert(gmem_cmpxchg(&mem, 64, bytes, &old, 0xa5a5a5a5a5a5a5a5ull));
		ck_assert_uint_eq(old, value & mask);
		memcpy(&now, mem.base + 64, sizeof(now));
		ck_assert_uint_eq(now, (value & ~mask) | (0xa5a5a5a5a5a5a5a5ull & mask));

		old = value & mask;
		ck_assert(gmem_cmpxchg(&mem, 64, bytes, &old, 0));
		ck_assert_uint_eq(old, 0xa5a5a5a5a5a5a5a5ull & mask);
		memcpy(&value, mem.base + 64, sizeof(value));
		ck_assert_uint_eq(value, now);
	}
}
END_TEST

START_TEST(compare_and_exchange_refuses)
{
	uint64_t old = 0;

	ck_assert(!gmem_cmpxchg(&mem, HOLE, 4, &old, 1));
	ck_assert(!gmem_cmpxchg(&mem, ROM, 4, &old, 1));
	ck_assert(!gmem_cmpxchg(&mem, 2, 4, &old, 1));
	ck_assert(!gmem_cmpxchg(&mem, 1, 2, &old, 1));
	ck_assert(!gmem_cmpxchg(&mem, 0, 3, &old, 1));
	ck_assert(!gmem_cmpxchg(&mem, 0, 16, &old, 1));
	ck_assert(!gmem_cmpxchg(&mem, END - 4, 8, &old, 1));
}
END_TEST

START_TEST(gaps)
{
	ck_assert_uint_eq(gmem_gap(&mem, 0, false), 0);
	ck_assert_uint_eq(gmem_gap(&mem, HOLE - 1, true), 0);
	ck_assert_uint_eq(gmem_gap(&mem, HOLE, false), HIGH - HOLE);
	ck_assert_uint_eq(gmem_gap(&mem, HIGH - 1, true), 1);
	ck_assert_uint_eq(gmem_gap(&mem, ROM, false), 0);
	ck_assert_uint_eq(gmem_gap(&mem, ROM, true), UINT64_MAX - ROM);
	ck_assert_uint_eq(gmem_gap(&mem, END, false), UINT64_MAX - END);
	ck_assert_uint_eq(gmem_gap(&mem, UINT64_MAX, false), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		ck_assert_int_eq(gmem_at(&mem, cases[i].gpa, cases[i].bytes, false) != NULL, cases[i].readable);
		ck_assert_int_eq(gmem_at(&mem, cases[i].gpa, cases[i].bytes, true) != NULL, cases[i].writable);
	}
	ck_assert_ptr_eq(gmem_at(&mem, ROM - 8, 8, true), mem.base + ROM - 8);
}
END_TEST

SUITE("gmem", tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, bounds, 0, ARRAY_SIZE(cases));
	tcase_add_test(tests, load_reaches_rom);
	tcase_add_test(tests, gaps);
	tcase_add_test(tests, compare_and_exchange);
	tcase_add_test(tests, compare_and_exchange_refuses);
}
