/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two registers of a byte each that every PC has beside its chips: system control port A (IBM PS/2 Hardware Interface Technical
 * Reference), which resets and is told of A20, and the one that power-on tests show their progress on.
 * A20 is always on, whatever is written.
 */
#ifndef KEEL_SYSTEM_PORTS_H
#define KEEL_SYSTEM_PORTS_H

#include <stdint.h>

#include "core/bus.h"
#include "core/device.h"
#include "core/line.h"
#include "core/state.h"

struct system_ports_state {
	uint8_t control_a, post_code;
};

struct system_ports {
	struct line reset;	/* raised once for each reset that the guest asks for */
	struct system_ports_state s;
};

/* The devices of these are a struct system_ports. */
extern const struct device_ops system_ports_device;
extern const struct io_ops system_ports_control_io, system_ports_post_io;

extern const struct state_table system_ports_state_table;

#endif
