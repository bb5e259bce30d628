/* SPDX-License-Identifier: GPL-2.0 */
/*
 * National Semiconductor PC16550D serial port (data sheet TL/C/8652).
 *
 * A character takes no time on the wire: what is written goes to transmit at once, and the receive time-out is
 * due as soon as a character waits below the trigger level. A terminal is always attached; CTS, DSR, DCD are on.
 * irq follows INTR. A PC's card has a gate there that OUT2 opens; other emulators leave it out, and guests that were written
 * on those never set OUT2.
 */
#ifndef KEEL_NS16550_H
#define KEEL_NS16550_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bus.h"
#include "core/device.h"
#include "core/line.h"
#include "core/state.h"

#define NS16550_FIFO	16u
#define NS16550_PORTS	8u

struct ns16550_state {
	uint8_t rx[NS16550_FIFO];
	uint8_t rx_first, rx_count;
	uint8_t tx[NS16550_FIFO];
	uint8_t tx_first, tx_count;
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	uint8_t lsr_errors;	/* bits of the LSR that a read of it clears */
	uint8_t msr;
	uint8_t thre_pending;	/* the THRE interrupt waits */
};

struct ns16550 {
	struct line irq;
	/*
	 * Takes a character, or returns false when there is no room: the chip keeps it and shows a
	 * busy transmitter until ns16550_drain. Unwired, characters vanish.
	 */
	bool (*transmit)(void *owner, uint8_t byte);
	/* There may be room for characters again: ns16550_receive. May be NULL. */
	void (*receive)(void *owner);
	void *owner;
	struct ns16550_state s;
};

/* The devices of these are a struct ns16550. */
extern const struct device_ops ns16550_device;
extern const struct io_ops ns16550_io;

/* The owner has room again. */
void ns16550_drain(struct ns16550 *chip);
/* Characters that ns16550_receive can take without an overrun; none in loopback, where the input is cut off. */
unsigned int ns16550_receive_room(const struct ns16550 *chip);
void ns16550_receive(struct ns16550 *chip, uint8_t byte);

extern const struct state_table ns16550_state_table;

#endif
