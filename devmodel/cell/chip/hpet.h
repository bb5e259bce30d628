/* SPDX-License-Identifier: GPL-2.0 */
/*
 * High precision event timer: IA-PC HPET Specification 1.0a.
 *
 * A 64-bit counter of 10 ns and three comparators, each one-shot or periodic, 64 or 32 bits. No message-signalled
 * interrupts. Interrupts leave by I/O APIC pins, or, with legacy replacement, by the paths of IRQ 0 and IRQ 8.
 */
#ifndef KEEL_CHIP_HPET_H
#define KEEL_CHIP_HPET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bus.h"
#include "core/device.h"
#include "core/line.h"
#include "core/state.h"
#include "shared/pc_map.h"

#define HPET_TIMERS	3
#define HPET_TICK_NS	10u

struct hpet_state {
	uint64_t general;			/* configuration */
	uint64_t counter;			/* at 'base' if it runs */
	uint64_t base;				/* ns */
	uint64_t asserted;			/* outputs that are high */
	uint64_t config[HPET_TIMERS];
	uint64_t comparator[HPET_TIMERS];
	uint64_t period[HPET_TIMERS];
	uint64_t deadline[HPET_TIMERS];		/* ns of the next match, or TIME_NEVER */
	uint8_t high_follows[HPET_TIMERS];	/* the low half of a direct write came, the high one may */
	uint8_t status;
};

struct hpet {
	const uint64_t *now;		/* wiring, as is what follows */
	struct line pins;		/* timer routed to I/O APIC pin n drives pin (pins.pin + n) */
	uint32_t route_cap;		/* pins that a timer may be routed to */
	struct line legacy_irq0, legacy_irq8;	/* outputs of timers 0 and 1 with legacy replacement */
	struct line legacy_active;	/* high: the 8254 and the RTC are cut off from their interrupts */
	struct hpet_state s;
};

extern const struct state_table hpet_state_table;

/*
 * The devices of these are a struct hpet. Reads of 1 to 8 bytes; aligned writes of 4 or 8, others are ignored. Writes of
 * halves keep the other half.
 */
extern const struct device_ops hpet_device;
extern const struct io_ops hpet_io;

bool hpet_legacy_active(const struct hpet *hpet);

#endif
