/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The debug port of virtual machines' firmware: one register; writes are characters, reads give a fixed value (Bochs, port 0xe9).
 */
#ifndef KEEL_DEBUGPORT_H
#define KEEL_DEBUGPORT_H

#include <stdint.h>

#include "core/bus.h"
#include "core/device.h"

struct debugport {
	void (*put)(void *owner, uint8_t character);	/* wiring; never blocks */
	void *owner;
};

extern const struct device_ops debugport_device;
extern const struct io_ops debugport_io;

#endif
