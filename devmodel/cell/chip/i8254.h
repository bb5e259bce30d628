/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Intel 8254 interval timer (data sheet 231164) and the PC's system control port B, which goes with it.
 *
 * Clock 1193182 Hz on all counters. Gates 0 and 1 are tied high; gate 2 is bit 0 of port B. OUT 0 is a line;
 * OUT 2 is read by i8254_output and in port B. Time that runs backwards counts as no progress.
 *
 * Only rising edges of OUT 0 have a deadline, for it drives edge-triggered inputs: a falling edge shows at the
 * next write or advance. Edges that an advance missed are delivered one at a time, half a period apart, at most
 * I8254_BACKLOG of them, so a guest that counts ticks catches up after a short stall and is not flooded after a
 * long one. Edges are never closer than 50 us, whatever the count.
 */
#ifndef KEEL_I8254_H
#define KEEL_I8254_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/ports.h>

#include "core/bus.h"
#include "core/device.h"
#include "core/line.h"
#include "core/state.h"
#include "core/time.h"

#define I8254_HZ	PIT_HZ
#define I8254_COUNTERS	3u
#define I8254_PORTS	4u	/* three counters, control word */
#define I8254_BACKLOG	8u

struct i8254_counter {
	uint64_t start;		/* tick at which the counting element held base */
	uint64_t reload_at;	/* tick at which a pending count is loaded */
	uint32_t count;		/* programmed, in ticks: 1 to 65536 */
	uint32_t base;		/* in use */
	uint32_t edges;		/* rising edges of OUT not yet collected */
	uint16_t held;		/* contents while stopped */
	uint16_t latch;
	uint8_t latched;	/* bytes of latch not yet read */
	uint8_t status;
	uint8_t status_latched;
	uint8_t mode;		/* 0 to 5 */
	uint8_t bcd;
	uint8_t access;		/* RW1:RW0 */
	uint8_t write_low;	/* low byte of a count, waiting for the high byte */
	uint8_t write_high;	/* the high byte is next */
	uint8_t read_high;
	uint8_t gate;
	uint8_t loaded;		/* a count has been written since the control word */
	uint8_t running;
	uint8_t done;		/* modes 0, 1, 4, 5: terminal count has passed */
	uint8_t pending;	/* count is not yet base */
};

struct i8254_state {
	struct i8254_counter counter[I8254_COUNTERS];
	uint64_t ready;		/* tick before which OUT 0 shows no further edge */
	uint64_t tick;		/* latest time seen */
	uint32_t owed;		/* rising edges of OUT 0 to deliver */
	uint8_t out0;		/* level shown */
	uint8_t port61;		/* stored bits of port B */
};

struct i8254 {
	const uint64_t *now;	/* wiring, as is what follows */
	struct line out0;
	struct i8254_state s;
};

/* The devices of these are a struct i8254. */
extern const struct device_ops i8254_device;
extern const struct io_ops i8254_io;
/* System control port B (82371SB data sheet, NMI status and control register). No parity or channel checks. */
extern const struct io_ops i8254_port61_io;

/* channel: below I8254_COUNTERS */
bool i8254_output(const struct i8254 *chip, unsigned int channel);
void i8254_set_gate2(struct i8254 *chip, bool gate);

extern const struct state_table i8254_state_table;

#endif
