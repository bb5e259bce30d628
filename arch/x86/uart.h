/* SPDX-License-Identifier: GPL-2.0 */
/* The first serial port of a PC, as the firmware has set it up. */
#ifndef ARCH_UART_H
#define ARCH_UART_H

/* Waits a while for room, and goes on without. */
void uart_put(char c);

#endif
