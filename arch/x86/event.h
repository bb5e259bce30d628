/* SPDX-License-Identifier: GPL-2.0 */
/* Events: what becomes of one in whose delivery another comes up. */
#ifndef ARCH_EVENT_H
#define ARCH_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/cell.h>

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

/* Beside the bits of KEEL_INJECT_*, whose form EVENTINJ (APM vol. 2, 15.20) and VMX (SDM vol. 3, 25.8.3) have, too. */
#define EVENT_KIND		(7u << 8)
#define EVENT_KIND_NMI		(2u << 8)

enum event_fate {
	EVENT_GONE,		/* there was none, or its instruction raises it again */
	EVENT_INTERRUPT_WAITS,
	EVENT_NMI_WAITS,
	EVENT_SHUTS_DOWN,	/* the two shut the processor down */
};

/*
 * An exception comes up while another event is to go in again whose delivery was broken off: what becomes of the other. Of two
 * exceptions the first is raised again by its instruction, or both become a double fault, which the second then is; an interrupt
 * or an NMI has no instruction and waits.
 */
static inline enum event_fate event_displace(uint32_t event, uint32_t *exception)
{
	if (!(event & KEEL_INJECT_VALID))
		return EVENT_GONE;
	if ((event & EVENT_KIND) == KEEL_INJECT_INTERRUPT)
		return EVENT_INTERRUPT_WAITS;
	if ((event & EVENT_KIND) == EVENT_KIND_NMI)
		return EVENT_NMI_WAITS;
	switch (event_pair(event & KEEL_INJECT_VECTOR, *exception & KEEL_INJECT_VECTOR)) {
	case EVENT_SERIAL:
		break;
	case EVENT_DOUBLE_FAULT:
		*exception = KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | EXC_DF;
		break;
	case EVENT_SHUTDOWN:
		return EVENT_SHUTS_DOWN;
	}
	return EVENT_GONE;
}

/* Whether the exception pushes an error code (SDM vol. 3, table 6-1), outside real mode. */
static inline bool event_has_error_code(unsigned int vector)
{
	const uint32_t with = 1u << EXC_DF | 1u << EXC_TS | 1u << EXC_NP | 1u << EXC_SS | 1u << EXC_GP | 1u << EXC_PF |
			      1u << EXC_AC | 1u << EXC_CP;

	return vector < 32 && with >> vector & 1;
}

#endif
