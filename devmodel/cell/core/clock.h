/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Nanoseconds since the machine started from the host's TSC, and back. Both ways are a multiplication and a shift. A
 * machine that was loaded is older than the host's TSC says, so that its clock begins at the time that it had.
 */
#ifndef KEEL_CLOCK_H
#define KEEL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/abi.h>

#include "core/time.h"

/* What both fixed-point factors below have room for. */
#define CLOCK_KHZ_LEAST	((uint64_t)KEEL_TSC_KHZ_LEAST)
#define CLOCK_KHZ_MOST	((uint64_t)KEEL_TSC_KHZ_MOST)

#define CLOCK_NS_SHIFT	60		/* at most 10 ns a tick: 4 bits before the point */
#define CLOCK_TSC_SHIFT	57		/* at most 100 ticks a ns: 7 bits */

struct clock {
	uint64_t start;			/* host TSC at time 'origin' */
	uint64_t origin;
	uint64_t ns_factor;		/* ns of a tick << CLOCK_NS_SHIFT */
	uint64_t tsc_factor;		/* ticks of a ns << CLOCK_TSC_SHIFT */
};

/* khz within the limits above. */
static inline void clock_init(struct clock *clock, uint64_t start, uint64_t khz)
{
	const uint64_t khz_of_ns = NSEC_PER_SEC / 1000;

	clock->start = start;
	clock->origin = 0;
	clock->ns_factor = time_scale(khz_of_ns, 1ull << CLOCK_NS_SHIFT, khz);
	clock->tsc_factor = time_scale(khz, 1ull << CLOCK_TSC_SHIFT, khz_of_ns);
}

static inline uint64_t clock_ns(const struct clock *clock, uint64_t tsc)
{
	return clock->origin + (uint64_t)((unsigned __int128)(tsc - clock->start) * clock->ns_factor >> CLOCK_NS_SHIFT);
}

/* The first tick at or (by a tick or two) after ns; all ones when that is not in this TSC's range, or never. */
static inline uint64_t clock_tsc(const struct clock *clock, uint64_t ns)
{
	unsigned __int128 ticks;

	if (ns == TIME_NEVER)
		return UINT64_MAX;
	ns = ns > clock->origin ? ns - clock->origin : 0;
	ticks = ((unsigned __int128)(ns + 1) * clock->tsc_factor >> CLOCK_TSC_SHIFT) + 1 + clock->start;
	return ticks > UINT64_MAX ? UINT64_MAX : (uint64_t)ticks;
}

#endif
