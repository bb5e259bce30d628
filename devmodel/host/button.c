// SPDX-License-Identifier: GPL-2.0
/* The times of presses of the power button. */
#include "host/button.h"

static uint64_t left(const struct button *button, uint64_t now_ms, uint64_t interval_ms)
{
	uint64_t passed = now_ms - button->pressed_ms;

	return !button->pressed_ms || passed >= interval_ms ? 0 : interval_ms - passed;
}

bool button_is_free(const struct button *button, uint64_t now_ms)
{
	return !left(button, now_ms, BUTTON_GAP_MS);
}

uint64_t button_due_ms(const struct button *button, uint64_t now_ms, uint64_t taken)
{
	return left(button, now_ms, taken == button->taken ? BUTTON_AGAIN_MS : BUTTON_TAKEN_MS);
}
