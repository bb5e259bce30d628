/* SPDX-License-Identifier: GPL-2.0 */
/* The end of a unit test's main(). */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <check.h>

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

#endif
