/* SPDX-License-Identifier: GPL-2.0 */
/* Events: what becomes of one in whose delivery another comes up. */
#ifndef ARCH_EVENT_H
#define ARCH_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"

enum event_pair {
	EVENT_SERIAL,
	EVENT_DOUBLE_FAULT,
	EVENT_SHUTDOWN,
};

/* Two exceptions, the second in the delivery of the first (SDM vol. 3, table 6-5; APM vol. 2, 8.2.9). */
static inline enum event_pair event_pair(unsigned int first, unsigned int second)
{
	const uint32_t contributory = 1u << EXC_DE | 1u << EXC_TS | 1u << EXC_NP | 1u << EXC_SS | 1u << EXC_GP | 1u << EXC_CP;
	const uint32_t serious = contributory | 1u << EXC_PF;
	bool first_contributes = first < 32 && contributory >> first & 1;
	bool second_contributes = second < 32 && contributory >> second & 1;
	bool second_serious = second < 32 && serious >> second & 1;

	if (first == EXC_DF && second_serious)
		return EVENT_SHUTDOWN;
	if (first == EXC_PF ? second_serious : first_contributes && second_contributes)
		return EVENT_DOUBLE_FAULT;
	return EVENT_SERIAL;
}

/* Whether the exception pushes an error code (SDM vol. 3, table 6-1), outside real mode. */
static inline bool event_has_error_code(unsigned int vector)
{
	const uint32_t with = 1u << EXC_DF | 1u << EXC_TS | 1u << EXC_NP | 1u << EXC_SS | 1u << EXC_GP | 1u << EXC_PF |
			      1u << EXC_AC | 1u << EXC_CP;

	return vector < 32 && with >> vector & 1;
}

#endif
