// SPDX-License-Identifier: GPL-2.0
// The first serial port of a PC, as the firmware has set it up.

#include "uart.h"

#include "cpu.h"

#define UART_PORT	0x3f8u
#define UART_LSR	5u
#define UART_LSR_THRE	(1u << 5)
#define UART_TRIES	100000u

void uart_put(char c)
{
	unsigned int tries;

	for (tries = 0; tries < UART_TRIES && !(inb(UART_PORT + UART_LSR) & UART_LSR_THRE); tries++)
		cpu_pause();
	outb(UART_PORT, (uint8_t)c);
}
