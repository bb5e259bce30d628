// SPDX-License-Identifier: GPL-2.0
/* The times of presses of the power button: a minute of every kind of guest, in steps of a millisecond. */
#include <check.h>

#include "host/button.h"
#include "suite.h"

#define START_MS		123456u
#define MINUTE_MS		60000u

/*
 * Presses within a minute while somebody waits, of a guest that takes all behind deaf_ms. The least time between two is left in
 * *least.
 */
static unsigned int presses(unsigned int deaf_ms, uint64_t *least)
{
	struct button button = { 0 };
	uint32_t taken = 0;
	unsigned int count = 0;

	*least = UINT64_MAX;
	for (uint64_t now = START_MS; now < START_MS + MINUTE_MS; now++) {
		if (button_due_ms(&button, now, taken))
			continue;
		if (count++ && now - button.pressed_ms < *least)
			*least = now - button.pressed_ms;
		button = (struct button){ now, taken };
		if (now - START_MS >= deaf_ms)
			taken++;
	}
	return count;
}

START_TEST(again_until_taken)
{
	uint64_t least;

	ck_assert_uint_eq(presses(0, &least), MINUTE_MS / BUTTON_TAKEN_MS);
	ck_assert_uint_eq(least, BUTTON_TAKEN_MS);
	ck_assert_uint_eq(presses(MINUTE_MS, &least), MINUTE_MS / BUTTON_AGAIN_MS);
	ck_assert_uint_eq(least, BUTTON_AGAIN_MS);
	ck_assert_uint_ge(least, BUTTON_GAP_MS);
	/* Firmware for five seconds: at 0, 4 and 8 s, which the kernel takes, and half a minute later. */
	ck_assert_uint_eq(presses(5000, &least), 4);
}
END_TEST

START_TEST(commands_do_not_add_up)
{
	struct button button = { 0 };

	ck_assert(button_is_free(&button, 1));
	button.pressed_ms = START_MS;
	ck_assert(!button_is_free(&button, START_MS));
	ck_assert(!button_is_free(&button, START_MS + BUTTON_GAP_MS - 1));
	ck_assert(button_is_free(&button, START_MS + BUTTON_GAP_MS));
}
END_TEST

SUITE("button", tcase)
{
	tcase_add_test(tcase, again_until_taken);
	tcase_add_test(tcase, commands_do_not_add_up);
}
