/* SPDX-License-Identifier: GPL-2.0 */
/*
 * When the power button is pressed: again and again while somebody waits, for firmware and boot loaders do not look at it, but
 * never twice within BUTTON_GAP_MS, which some systems take for more than one press. Pure; times are CLOCK_MONOTONIC.
 */
#ifndef KEEL_BUTTON_H
#define KEEL_BUTTON_H

#include <stdbool.h>
#include <stdint.h>

#define BUTTON_GAP_MS		2000u
#define BUTTON_AGAIN_MS		4000u	/* nobody took it */
#define BUTTON_TAKEN_MS		30000u	/* a kernel took it, but may have had nobody to tell yet */

struct button {
	uint64_t pressed_ms;	/* 0: never */
	uint64_t taken;		/* the guest's count at that time */
};

/* Whether a new command may press it now. */
bool button_is_free(const struct button *button, uint64_t now_ms);
/* For those who wait: how long until it is to be pressed; 0: now. taken: the guest's count. */
uint64_t button_due_ms(const struct button *button, uint64_t now_ms, uint64_t taken);

#endif
