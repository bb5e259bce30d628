/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every device of a machine can do. A chip has one struct device_ops beside its struct io_ops; the machine has a list of
 * its devices, wires them, and asks them all for the same things by that list.
 */
#ifndef KEEL_DEVICE_H
#define KEEL_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keel/macros.h>

#include "core/state.h"

#define DEVICE_PARTS_MOST	16u

/*
 * A piece of a device's state with the table of its fields; the table's name and the instance tell the pieces of one
 * device apart.
 */
struct device_part {
	const struct state_table *table;
	unsigned int instance;
	size_t place;			/* of the state in the device's struct */
};

#define DEVICE_PART(table, instance, type, member) \
	{ &(table), instance, offsetof(type, member) }
#define DEVICE_PARTS(list) \
	.parts = (list), .part_count = ARRAY_SIZE(list)

struct device_ops {
	/* Power-on: its registers. The wiring is complete. NULL: the machine does it in another way. */
	void (*init)(void *device);
	/* What is due by the time of the entry at hand; and when that will be the case next, or TIME_NEVER. Both NULL: never. */
	void (*advance)(void *device);
	uint64_t (*deadline)(const void *device);
	/* What is saved of it. A device of which nothing is to be saved says that it is stateless. */
	const struct device_part *parts;
	unsigned int part_count;
	bool stateless;
	/*
	 * NULL, or the name of a field of these states, one for each part, that this device, wired and configured as it
	 * is, cannot have had when the machine's time was 'now'. The tables' largest values hold. The device itself is as
	 * it was. May be NULL.
	 */
	const char *(*valid)(const void *device, const void *const *states, uint64_t now);
	/*
	 * The states of all devices have been loaded: what follows from its own. Lines are not driven: what they lead to
	 * was loaded, too. May be NULL.
	 */
	void (*restored)(void *device);
};

struct device {
	const struct device_ops *ops;
	const char *name;		/* at most 15 characters; with the instance it is the machine's only one */
	unsigned int instance;
	size_t place;			/* of its own struct in the machine's */
};

#endif
