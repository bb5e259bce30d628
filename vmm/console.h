/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Messages: to the first serial port and the text screen while Keel starts, to the log ring always. Once
 * the control domain runs the port and the screen are its own, and only a panic writes to them.
 */
#ifndef VMM_CONSOLE_H
#define VMM_CONSOLE_H

#include <stdint.h>

void console_init(void);
/* From now on: log ring only. */
void console_quiet(void);
/* The opposite, for a panic. */
void console_loud(void);

/* %s %u %x %lx %lu; x may have a width with leading zeros, as in %016lx. */
__attribute__((format(printf, 1, 2))) void print(const char *format, ...);

/* Copies up to 24 bytes of the log from *position on, moves it; returns their number. */
unsigned int log_read(uint64_t *position, uint8_t bytes[24]);

#endif
