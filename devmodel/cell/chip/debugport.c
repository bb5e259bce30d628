// SPDX-License-Identifier: GPL-2.0
/* Debug port. */
#include "chip/debugport.h"

/* By which firmware tells the port from one that floats. */
#define DEBUGPORT_PRESENT	0xe9u

static uint64_t io_read(void *device, uint64_t offset, unsigned int bytes)
{
	(void)device;
	(void)offset;
	(void)bytes;
	return DEBUGPORT_PRESENT;
}

static void io_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	const struct debugport *port = device;

	(void)offset;
	(void)bytes;
	port->put(port->owner, (uint8_t)value);
}

const struct device_ops debugport_device = { .stateless = true };
const struct io_ops debugport_io = { .read = io_read, .write = io_write, .widest = 1 };
