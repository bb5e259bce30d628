/* SPDX-License-Identifier: GPL-2.0 */
/* The local APIC's timer (Intel SDM volume 3, 11.5.4). */
#include "vcpu/lapic_internal.h"

#include <keel/cell.h>

#include "core/time.h"

_Static_assert(KEEL_APIC_TIMER_KHZ * 1000 == NSEC_PER_SEC, "the timer counts nanoseconds");

#define TIMER_PERIODIC		(1u << 17)
#define TIMER_TSC_DEADLINE	(2u << 17)

/* A periodic timer asks to be advanced no more often than this, whatever its period. */
#define PERIOD_MIN		20000u
#define USEC_PER_SEC		1000000ull
/* A TSC deadline farther away never comes: 292 years. */
#define TSC_HORIZON_MS		(INT64_MAX / USEC_PER_SEC)

/* The divisor as a shift: codes 0 to 6 are 2 to 128, code 7 is 1 (11.5.4). */
static unsigned int divide_shift(const struct lapic *lapic)
{
	uint32_t code = (lapic->s.divide & DIVIDE_HIGH) >> 1 | (lapic->s.divide & DIVIDE_LOW);

	return (code + 1) & 7;
}

static uint32_t timer_mode(const struct lapic *lapic)
{
	return lapic->s.lvt[LAPIC_LVT_TIMER] & LVT_TIMER_MODE;
}

static uint64_t timer_period(const struct lapic *lapic)
{
	return (uint64_t)lapic->s.initial_count << divide_shift(lapic);
}

uint32_t lapic_timer_count(const struct lapic *lapic, uint64_t now)
{
	const struct lapic_state *s = &lapic->s;
	uint64_t left, period = timer_period(lapic);

	if (timer_mode(lapic) == TIMER_TSC_DEADLINE || s->deadline == TIME_NEVER || s->deadline <= now || !period)
		return 0;
	left = s->deadline - now;
	/* Short periods are passed over several at a time. */
	if (left > period)
		left = (left - 1) % period + 1;
	return (left + (1ull << divide_shift(lapic)) - 1) >> divide_shift(lapic);
}

static void timer_disarm(struct lapic *lapic)
{
	lapic->s.deadline = TIME_NEVER;
	lapic->s.tsc_deadline = 0;
}

void lapic_timer_start(struct lapic *lapic, uint32_t count, uint64_t now)
{
	if (timer_mode(lapic) == TIMER_TSC_DEADLINE)
		return;
	lapic->s.initial_count = count;
	lapic->s.deadline = count ? now + timer_period(lapic) : TIME_NEVER;
}

void lapic_timer_set_divide(struct lapic *lapic, uint32_t divide, uint64_t now)
{
	uint64_t left = lapic_timer_count(lapic, now);

	lapic->s.divide = divide;
	if (left)
		lapic->s.deadline = now + (left << divide_shift(lapic));
}

/* 11.5.4.1: a change to or from TSC-deadline mode disarms. */
void lapic_timer_set_lvt(struct lapic *lapic, uint32_t lvt)
{
	bool was_tsc = timer_mode(lapic) == TIMER_TSC_DEADLINE;

	lapic->s.lvt[LAPIC_LVT_TIMER] = lvt;
	if (was_tsc != (timer_mode(lapic) == TIMER_TSC_DEADLINE)) {
		timer_disarm(lapic);
		lapic->s.initial_count = 0;
		lapic_publish_register(lapic, REG_INITIAL_COUNT);
	}
}

static void timer_next_period(struct lapic *lapic, uint64_t now)
{
	struct lapic_state *s = &lapic->s;
	uint64_t period = timer_period(lapic);
	uint64_t until = period < PERIOD_MIN ? now + PERIOD_MIN : now;

	if (!period) {
		s->deadline = TIME_NEVER;
		return;
	}
	s->deadline += ((until - s->deadline) / period + 1) * period;
}

/* However many periods have passed, the guest gets one interrupt: requests of one vector merge anyway. */
void lapic_advance(struct lapic *lapic, uint64_t now)
{
	struct lapic_state *s = &lapic->s;
	uint32_t lvt = s->lvt[LAPIC_LVT_TIMER];

	if (now < s->deadline || s->deadline == TIME_NEVER)
		return;
	if (timer_mode(lapic) == TIMER_PERIODIC)
		timer_next_period(lapic, now);
	else
		timer_disarm(lapic);
	if (!(lvt & LVT_MASKED))
		lapic_accept_vector(lapic, lvt & VECTOR_MASK, LAPIC_EDGE);
}

uint64_t lapic_deadline(const struct lapic *lapic)
{
	return lapic->s.lvt[LAPIC_LVT_TIMER] & LVT_MASKED ? TIME_NEVER : lapic->s.deadline;
}

static void timer_set_tsc_deadline(struct lapic *lapic, uint64_t guest_tsc, uint64_t now)
{
	struct lapic_state *s = &lapic->s;
	uint64_t ticks = s->tsc_deadline > guest_tsc ? s->tsc_deadline - guest_tsc : 0;

	if (!s->tsc_deadline || !lapic->tsc_khz || ticks / lapic->tsc_khz >= TSC_HORIZON_MS)
		s->deadline = TIME_NEVER;
	else
		s->deadline = now + time_scale(ticks, USEC_PER_SEC, lapic->tsc_khz) + (ticks ? 1 : 0);
}

void lapic_write_tsc_deadline(struct lapic *lapic, uint64_t deadline_tsc, uint64_t guest_tsc, uint64_t now)
{
	lapic_advance(lapic, now);
	if (timer_mode(lapic) != TIMER_TSC_DEADLINE)
		return;
	lapic->s.tsc_deadline = deadline_tsc;
	timer_set_tsc_deadline(lapic, guest_tsc, now);
	lapic_advance(lapic, now);
}

void lapic_tsc_moved(struct lapic *lapic, uint64_t guest_tsc, uint64_t now)
{
	/* A deadline that has passed stays passed. */
	lapic_advance(lapic, now);
	if (timer_mode(lapic) == TIMER_TSC_DEADLINE)
		timer_set_tsc_deadline(lapic, guest_tsc, now);
}
