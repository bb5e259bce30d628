/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Motorola MC146818A real-time clock with 128 bytes of battery-backed memory, as in the PIIX3
 * (Motorola data sheet MC146818A; 82371SB data sheet, real time clock).
 *
 * The time base is 32.768 kHz whatever the divider bits say, unless they hold the divider in reset. The century
 * is in byte 0x32 and counts on with the year. Daylight saving is not done. The square wave is not wired on a PC.
 * Periodic interrupts that come while the last one is unread are made up after register C is read, half a
 * period apart, at most MC146818_BACKLOG of them: Windows keeps its time by them.
 */
#ifndef KEEL_MC146818_H
#define KEEL_MC146818_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bus.h"
#include "core/device.h"
#include "core/line.h"
#include "core/state.h"
#include "core/time.h"

#define MC146818_BYTES		128u
#define MC146818_BACKLOG	8u
#define MC146818_PORTS		2u	/* index, data */

struct mc146818_state {
	uint64_t next_update;	/* when the seconds count next */
	uint64_t divider_start;	/* when the divider was zero; may lie before time 0 and wrap */
	uint64_t divider_seen;	/* its ticks up to which the periodic interrupt is served */
	uint64_t latest;	/* latest time seen */
	uint64_t ready;		/* when the next periodic interrupt may be made up */
	uint32_t owed;		/* periodic interrupts to make up */
	uint8_t index;
	uint8_t ram[MC146818_BYTES];	/* registers included */
};

struct mc146818 {
	const uint64_t *now;	/* wiring, as is what follows */
	struct line irq;
	struct mc146818_state s;
};

/*
 * The devices of these are a struct mc146818. Power-on is with an empty battery: all bytes zero but the modes (BCD, 24
 * hours), 1 January 1970. Bit 7 of the index port is not the chip's. There is no deadline unless an interrupt is enabled and
 * none is raised.
 */
extern const struct device_ops mc146818_device;
extern const struct io_ops mc146818_io;

/* The RESET pin: interrupts off, time and memory kept. */
void mc146818_reset(struct mc146818 *chip);
/* Nanoseconds since 1970 at time 0 of the machine. Before the machine runs. */
void mc146818_set_wall(struct mc146818 *chip, int64_t wall_ns);
/* So much time has passed while the machine did not run: the clock has gone on by its battery, if it counts. */
void mc146818_pass(struct mc146818 *chip, uint64_t seconds);
/* Writes a byte of memory: boot data. index: 0 to 127. */
void mc146818_poke(struct mc146818 *chip, unsigned int index, uint8_t value);

extern const struct state_table mc146818_state_table;

#endif
