/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Intel 8259A interrupt controller, as in the PIIX3 (data sheets 231468 and 82371SB).
 *
 * One controller; a PC has two, the slave's out on pin I8259_CASCADE of the master. Only the 8086 mode exists.
 * Trigger modes come from the edge/level register, not from ICW1, as in the PIIX3. Two departures from the
 * discrete part: a request latched from an edge stays when the pin falls before it was acknowledged, so a source
 * may pulse its line; and the master senses its cascade pin by level, so a request that the slave takes back
 * leaves no trace.
 */
#ifndef KEEL_I8259_H
#define KEEL_I8259_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bus.h"
#include "core/device.h"
#include "core/line.h"
#include "core/state.h"

#define I8259_CASCADE	2u
#define I8259_PINS	8u
#define I8259_PORTS	2u	/* by A0 */

struct i8259_state {
	uint8_t lines;		/* levels on the pins */
	uint8_t latch;		/* edges not yet acknowledged */
	uint8_t isr;
	uint8_t imr;
	uint8_t elcr;
	uint8_t vector_base;
	uint8_t lowest;		/* pin of lowest priority */
	uint8_t init_step;	/* the ICW that is expected next, 2 to 4; 0: operational */
	uint8_t icw1;
	uint8_t icw4;
	uint8_t read_isr;
	uint8_t poll;
	uint8_t special_mask;
	uint8_t rotate_on_aeoi;
};

struct i8259 {
	struct line out;	/* INT */
	bool master;		/* SP/EN */
	uint8_t elcr_mask;	/* pins whose trigger mode can be chosen */
	struct i8259_state s;
};

/* The devices of these are a struct i8259. */
extern const struct device_ops i8259_device;
extern const struct io_ops i8259_io, i8259_elcr_io;

/* struct line's set, with a struct i8259 as sink. */
void i8259_set_pin(void *chip, unsigned int pin, bool level);
/* The level of out. */
bool i8259_pending(const struct i8259 *chip);
/* The INTA cycles: returns the vector, that of pin 7 without effect on the ISR if there is no request. */
int i8259_acknowledge(struct i8259 *chip);
/* INTA cycles seen by a master with a slave on its cascade pin. */
uint8_t i8259_pair_acknowledge(struct i8259 *master, struct i8259 *slave);

extern const struct state_table i8259_state_table;

#endif
