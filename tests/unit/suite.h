/* SPDX-License-Identifier: GPL-2.0 */
/* What unit tests share: main() at the end of the file, and assertions that can be asked often. */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <check.h>

/*
 * Check sends its parent each place that passes, a system call or two: many times what most conditions cost. It helps after a
 * crash alone, of which the sanitizers tell more. One that fails says where by itself.
 */
#define _mark_point(file, line)	((void)0)

/* Runs the suite, which is gone then. Returns main()'s status: 0 if a test ran and none failed. */
static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int bad;

	srunner_run_all(runner, CK_ENV);
	bad = srunner_ntests_failed(runner) != 0 || srunner_ntests_run(runner) == 0;
	srunner_free(runner);
	return bad;
}

static inline int run_case(const char *name, void (*fill)(TCase *tests))
{
	Suite *suite = suite_create(name);
	TCase *tests = tcase_create(name);

	fill(tests);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}

/* main() of a suite of one case: what follows in braces fills it. */
#define SUITE(name, tests) \
	static void fill_suite(TCase *tests); \
	\
	int main(void) \
	{ \
		return run_case(name, fill_suite); \
	} \
	\
	static void fill_suite(TCase *tests)

#endif
