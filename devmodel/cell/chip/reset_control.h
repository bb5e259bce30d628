/* SPDX-License-Identifier: GPL-2.0 */
/* Reset control register of the PIIX3 (Intel 290550-002, 2.5.12), port 0xCF9: one byte. */
#ifndef KEEL_CHIP_RESET_CONTROL_H
#define KEEL_CHIP_RESET_CONTROL_H

#include <stdint.h>

#include "core/bus.h"
#include "core/device.h"
#include "core/line.h"
#include "core/state.h"

struct reset_control_state {
	uint8_t value;
};

struct reset_control {
	struct line reset;	/* raised once for each reset that the guest asks for */
	struct reset_control_state s;
};

extern const struct state_table reset_control_state_table;

extern const struct device_ops reset_control_device;
extern const struct io_ops reset_control_io;

#endif
