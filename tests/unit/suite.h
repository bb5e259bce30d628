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

/* A case of the suite's own, which goes with it. */
static inline TCase *add_case(Suite *suite, const char *name)
{
	TCase *tests = tcase_create(name);

	suite_add_tcase(suite, tests);
	return tests;
}

static inline int run_filled(const char *name, void (*fill)(Suite *suite))
{
	Suite *suite = suite_create(name);

	fill(suite);
	return run_suite(suite);
}

/* main() of a suite of several cases: what follows in braces gives it them by add_case(), and fills them. */
#define SUITE_OF_CASES(name, suite) \
	static void fill_suite(Suite *suite); \
	\
	int main(void) \
	{ \
		return run_filled(name, fill_suite); \
	} \
	\
	static void fill_suite(Suite *suite)

/* Of a suite of one case, which has its name: what follows in braces fills it. */
#define SUITE(name, tests) \
	static void fill_case(TCase *tests); \
	\
	SUITE_OF_CASES(name, suite) \
	{ \
		fill_case(add_case(suite, name)); \
	} \
	\
	static void fill_case(TCase *tests)

#endif
