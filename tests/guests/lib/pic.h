/* SPDX-License-Identifier: GPL-2.0 */
/* The 8259 pair behind LINT0, and the 8254's channel 0. */
#ifndef GUEST_PIC_H
#define GUEST_PIC_H

#include <stdint.h>

#include <x86/ports.h>

#include "guest.h"

#define PIC_BASE		0x20u		/* vectors */
#define PIC_MASTER		PC_PORT_PIC_MASTER
#define PIC_MASTER_MASK		(PIC_MASTER + 1)
#define PIC_SLAVE		PC_PORT_PIC_SLAVE
#define PIC_SLAVE_MASK		(PIC_SLAVE + 1)
#define PIC_END			0x20u		/* OCW2 */
#define PIT_DATA		PC_PORT_PIT
#define PIT_CONTROL		(PC_PORT_PIT + 3)
#define PIT_ONE_SHOT		0x30u		/* mode 0, counts of 16 bits */
#define PIT_RATE		0x34u		/* mode 2 */

/*
 * Virtual wire: the local APIC on, LINT0 as ExtINT; all requests masked but the timer's. The hook is one that ends the 8259's
 * interrupts then.
 */
void pic_init(void);

void pit_set(uint8_t mode, uint16_t count);
/* 200 interrupts a second. */
void pit_periodic(void);
/* No more of them. */
void pit_stop(void);

#endif
