/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every device of a machine can do. A chip has one struct device_ops beside its struct io_ops; the machine has a list of
 * its devices, wires them, and asks them all for the same things by that list.
 */
#ifndef KEEL_DEVICE_H
#define KEEL_DEVICE_H

#include <stddef.h>
#include <stdint.h>

struct device_ops {
	/* Power-on: its registers. The wiring is complete. */
	void (*init)(void *device);
	/* What is due by the time of the entry at hand; and when that will be the case next, or TIME_NEVER. Both NULL: never. */
	void (*advance)(void *device);
	uint64_t (*deadline)(const void *device);
};

struct device {
	const struct device_ops *ops;
	size_t place;			/* of its own struct in the machine's */
};

#endif
