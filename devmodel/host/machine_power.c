// SPDX-License-Identifier: GPL-2.0
/* The power button, as long as somebody waits for what follows; and the time that a signal leaves the guest. */
#include <limits.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "common/clock.h"
#include "host/machine.h"

#define SIGNAL_APART_MS		1000u	/* nearer to each other two are one */
#define LEAVE_MS		(KEEPER_LEAVE_SECONDS * 1000u)

static void press(struct machine *m)
{
	m->button = (struct button){ clock_ms(), board_buttons_taken(&m->board) };
	board_press(&m->board, KEEL_MESSAGE_POWER_BUTTON);
	m->event_needed = true;
}

void machine_press_button(struct machine *m)
{
	if (button_is_free(&m->button, clock_ms()))
		press(m);
}

void machine_leave(struct machine *m, const struct signalfd_siginfo *signal)
{
	if (m->leave_by_ms) {
		/* Who signals all processes of a service is heard twice: the keeper hands its signal on. */
		if (clock_ms() >= m->leave_by_ms - LEAVE_MS + SIGNAL_APART_MS)
			machine_abandon(m);
		return;
	}
	fprintf(stderr,
		"%s: signal %u from process %u: pressing the power button; "
		"the guest is destroyed in %u s if it is not off by then, or at once by another signal\n",
		m->manifest.name, signal->ssi_signo, signal->ssi_pid, LEAVE_MS / 1000);
	m->leave_by_ms = clock_ms() + LEAVE_MS;
	m->wish = ENDING_WISH_DESTROY;
	if (m->engine.held)
		disk_retry(&m->engine);
	machine_press_button(m);
}

static bool is_awaited(const struct machine *m)
{
	return m->state == MACHINE_RUNNING && !m->run_over && m->wish != ENDING_WISH_NONE;
}

void machine_keep_power(struct machine *m)
{
	if (!is_awaited(m))
		return;
	if (m->leave_by_ms && clock_ms() >= m->leave_by_ms) {
		fprintf(stderr, "%s: not off after %u s\n", m->manifest.name, LEAVE_MS / 1000);
		machine_abandon(m);
	} else if (!button_due_ms(&m->button, clock_ms(), board_buttons_taken(&m->board))) {
		press(m);
	}
}

int machine_power_due(struct machine *m)
{
	uint64_t now = clock_ms(), due;

	if (!is_awaited(m))
		return -1;
	due = button_due_ms(&m->button, now, board_buttons_taken(&m->board));
	if (m->leave_by_ms && m->leave_by_ms < now + due)
		due = m->leave_by_ms > now ? m->leave_by_ms - now : 0;
	return due < INT_MAX ? (int)due : INT_MAX;
}
