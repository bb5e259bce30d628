/* SPDX-License-Identifier: GPL-2.0 */
/* The hypervisor's memory and string functions, under names of their own, against libc's. */
#include <check.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#define memcpy	keel_memcpy
#define memmove	keel_memmove
#define memset	keel_memset
#define memcmp	keel_memcmp
#define strlen	keel_strlen
void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *string);
#include "../../vmm/string.c"
#include "suite.h"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen

#define SIZE	96u

static uint8_t actual[SIZE], model[SIZE];

static void fill(void)
{
	for (unsigned int i = 0; i < SIZE; i++)
		actual[i] = model[i] = (uint8_t)(i * 37 + 11);
}

static int sign(int value)
{
	return (value > 0) - (value < 0);
}

START_TEST(copies)
{
	for (unsigned int to = 0; to < 32; to++)
		for (unsigned int from = 0; from < 32; from++)
			for (unsigned int size = 0; size <= SIZE - 32; size++) {
				uint8_t between[SIZE];

				fill();
				memcpy(between, model + from, size);
				memcpy(model + to, between, size);
				ck_assert_ptr_eq(keel_memmove(actual + to, actual + from, size), actual + to);
				ck_assert(!memcmp(actual, model, SIZE));
			}
	fill();
	ck_assert_ptr_eq(keel_memcpy(actual, model + 40, 17), actual);
	memcpy(model, model + 40, 17);
	ck_assert(!memcmp(actual, model, SIZE));
}
END_TEST

START_TEST(sets)
{
	static const int bytes[] = { 0, 1, 0x80, 0xff, -1, 0x1234 };

	for (unsigned int i = 0; i < ARRAY_SIZE(bytes); i++)
		for (unsigned int size = 0; size < SIZE - 3; size++) {
			fill();
			ck_assert_ptr_eq(keel_memset(actual + 3, bytes[i], size), actual + 3);
			memset(model + 3, bytes[i], size);
			ck_assert(!memcmp(actual, model, SIZE));
		}
}
END_TEST

START_TEST(comparisons)
{
	for (unsigned int size = 0; size < 20; size++)
		for (unsigned int place = 0; place < 20; place++)
			for (unsigned int byte = 0; byte < 256; byte += 15) {
				fill();
				actual[place] = (uint8_t)byte;
				ck_assert_int_eq(sign(keel_memcmp(actual, model, size)),
						 sign(memcmp(actual, model, size)));
			}
}
END_TEST

START_TEST(strings)
{
	static const char *const words[] = { "", "a", "ab", "abc", "abd", "b", "\xff", "a\xff", "ab\0c" };

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		ck_assert_uint_eq(keel_strlen(words[i]), strlen(words[i]));
}
END_TEST

SUITE("string", tests)
{
	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, copies);
	tcase_add_test(tests, sets);
	tcase_add_test(tests, comparisons);
	tcase_add_test(tests, strings);
}
