/* SPDX-License-Identifier: GPL-2.0 */
/* The serial port: what was typed there (NS16550 data sheet). */
#ifndef GUEST_SERIAL_H
#define GUEST_SERIAL_H

#include <stdbool.h>

#include "guest.h"

#define SERIAL_INTERRUPTS	(PC_PORT_SERIAL + 1)
#define SERIAL_CONTROL		(PC_PORT_SERIAL + 4)
#define SERIAL_STATUS		(PC_PORT_SERIAL + 5)
#define SERIAL_RECEIVED		0x01u		/* SERIAL_STATUS; and SERIAL_INTERRUPTS, of that */
#define SERIAL_EMPTY		0x20u		/* SERIAL_STATUS */
#define SERIAL_READY		0x03u		/* SERIAL_CONTROL: the terminal is there; */
#define SERIAL_OUT2		0x08u		/* its interrupts leave the chip */

static inline bool serial_has_input(void)
{
	return inb(SERIAL_STATUS) & SERIAL_RECEIVED;
}

#endif
