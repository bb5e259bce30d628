/* SPDX-License-Identifier: GPL-2.0 */
/* The debug port of virtual machines' firmware: one register; writes are characters, reads give a fixed value (Bochs, port 0xe9). */
#ifndef KEEL_DEBUGPORT_H
#define KEEL_DEBUGPORT_H

#include <stdint.h>

struct debugport {
	void (*put)(void *owner, uint8_t character);	/* wiring; never blocks */
	void *owner;
};

uint8_t debugport_read(const struct debugport *port);
void debugport_write(struct debugport *port, uint8_t value);

#endif
