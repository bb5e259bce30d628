// SPDX-License-Identifier: GPL-2.0
/* Debug port. */
#include "chip/debugport.h"

/* By which firmware tells the port from one that floats. */
#define DEBUGPORT_PRESENT	0xe9u

uint8_t debugport_read(const struct debugport *port)
{
	(void)port;
	return DEBUGPORT_PRESENT;
}

void debugport_write(struct debugport *port, uint8_t value)
{
	port->put(port->owner, value);
}
