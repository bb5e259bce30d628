/* SPDX-License-Identifier: GPL-2.0 */
/* Ports of a PC's mainboard, and their bits, by which it is reset and time is measured (data sheets of 8042, 8254, PIIX3). */
#ifndef X86_PORTS_H
#define X86_PORTS_H

#define PORT_PIT_CHANNEL2	0x42u
#define PORT_PIT_COMMAND	0x43u
#define PIT_CHANNEL2_ONE_SHOT	0xb0u	/* low then high byte, mode 0 */
#define PIT_HZ			1193182u

#define PORT_B			0x61u
#define PORT_B_GATE		(1u << 0)	/* of channel 2 */
#define PORT_B_SPEAKER		(1u << 1)
#define PORT_B_OUT		(1u << 5)

#define PORT_KEYBOARD		0x64u	/* commands of the keyboard controller; F0 to FF pulse its outputs, bit 0 the reset */
#define KEYBOARD_PULSE		0xf0u
#define KEYBOARD_NO_RESET	(1u << 0)

#define PORT_FAST_INIT		0x92u
#define FAST_INIT		(1u << 0)

#define PORT_PCI_ADDRESS	0xcf8u
#define PORT_RESET		0xcf9u	/* of chipsets */
#define RESET_SYSTEM		(1u << 1)	/* the kind that the next reset will be */
#define RESET_CPU		(1u << 2)	/* its rise resets */

#endif
