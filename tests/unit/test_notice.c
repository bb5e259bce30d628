// SPDX-License-Identifier: GPL-2.0
/* Messages that a guest can provoke: what reaches the log of a flood of them. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/backend/notice.h"
#include "suite.h"

static FILE *log_file;

static void set_up(void)
{
	log_file = tmpfile();
	ck_assert_ptr_nonnull(log_file);
	ck_assert_int_ge(dup2(fileno(log_file), STDERR_FILENO), 0);
}

/* What the log has. */
static const char *told(void)
{
	static char text[4096];
	ssize_t n = pread(fileno(log_file), text, sizeof(text) - 1, 0);

	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	return text;
}

START_TEST(flood)
{
	struct notice notice = { 0 };

	for (int i = 0; i < 1000; i++)
		notice_add(&notice, 5, "error %d", i);
	ck_assert_str_eq(told(), "error 0\n");
	ck_assert_uint_eq(notice.count, 1000);
	ck_assert_str_eq(notice.text, "error 999");
	notice_flush(&notice, 5 + NOTICE_QUIET_SECONDS - 1);
	ck_assert_str_eq(told(), "error 0\n");
	notice_flush(&notice, 5 + NOTICE_QUIET_SECONDS);
	ck_assert_str_eq(told(), "error 0\nerror 999 (999 like this were not told)\n");
	/* Who goes on like that is told once a minute. */
	notice_add(&notice, 5 + NOTICE_QUIET_SECONDS, "another");
	notice_end(&notice);
	notice_end(&notice);
	ck_assert_str_eq(told(), "error 0\nerror 999 (999 like this were not told)\nanother (1 like this were not told)\n");
}
END_TEST

START_TEST(seldom)
{
	struct notice notice = { 0 };

	notice_flush(&notice, 1);
	notice_add(&notice, 1, "one");
	notice_add(&notice, 1 + NOTICE_QUIET_SECONDS, "two");
	notice_end(&notice);
	ck_assert_str_eq(told(), "one\ntwo\n");
}
END_TEST

SUITE("notice", tcase)
{
	tcase_add_checked_fixture(tcase, set_up, NULL);
	tcase_add_test(tcase, flood);
	tcase_add_test(tcase, seldom);
}
