/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Intel 8042 keyboard controller as in the IBM PS/2, with its keyboard and a mouse that never moves
 * (IBM PS/2 Hardware Interface Technical Reference: keyboard and auxiliary device controller, keyboards, mouse).
 *
 * Bytes take no time. The keyboard speaks scan code sets 1 and 2; it refuses set 3. Keys are fed as set 2.
 * reset is high while the guest holds output port bit 0 low, and for an instant when it pulses that bit.
 * The A20 bit is stored and read back; it masks no address.
 */
#ifndef KEEL_I8042_H
#define KEEL_I8042_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bus.h"
#include "core/device.h"
#include "core/line.h"
#include "core/state.h"

#define I8042_KEYS	16u	/* of a PS/2 keyboard */
#define I8042_ANSWER	4u

/* A device on one of the two ports. Answers to commands go before keys. */
struct i8042_device {
	uint8_t answer[I8042_ANSWER];
	uint8_t answer_count;
	uint8_t argument_of;	/* the command that waits for its argument, or 0 */
	uint8_t last;		/* byte sent last, for "resend" */
	uint8_t enabled;	/* sends keys, or would report motion */
};

struct i8042_state {
	struct i8042_device keyboard, mouse;
	uint8_t keys[I8042_KEYS];
	uint8_t keys_first, keys_count;
	uint8_t scan_set, leds, typematic;
	uint8_t mouse_resolution, mouse_rate, mouse_mode;	/* mode: as in the status report */
	uint8_t mouse_wrap;
	uint8_t key_prefix;	/* the keyboard's translation: the byte before was the break code */
	uint8_t break_prefix;	/* the controller's */
	uint8_t ram[32];	/* byte 0: command byte */
	uint8_t status;
	uint8_t output_port;
	uint8_t data;		/* output buffer */
	uint8_t argument_of;	/* the controller's command that waits for a byte at the data port, or 0 */
};

struct i8042 {
	struct line irq1, irq12;
	struct line reset;
	struct i8042_state s;
};

/* The devices of these are a struct i8042. The data port, and the port of status and commands: one byte each. */
extern const struct device_ops i8042_device;
extern const struct io_ops i8042_data_io, i8042_command_io;

/* The keyboard sends a byte of a set 2 scan code. It is lost while the keyboard is disabled. */
void i8042_key(struct i8042 *chip, uint8_t scancode);

extern const struct state_table i8042_state_table;

#endif
