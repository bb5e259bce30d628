// SPDX-License-Identifier: GPL-2.0
// Messages of Keel: log ring, serial port, text screen.

#include "console.h"

#include <stdarg.h>
#include <stdbool.h>

#include "screen.h"
#include "spinlock.h"
#include "uart.h"

#define LOG_BYTES	16384u

static uint8_t log_ring[LOG_BYTES];
static uint64_t log_end;
static struct spinlock console_lock;
static bool loud;

static void put(char c)
{
	log_ring[log_end % LOG_BYTES] = (uint8_t)c;
	__atomic_store_n(&log_end, log_end + 1, __ATOMIC_RELEASE);
	if (!loud)
		return;
	if (c == '\n')
		uart_put('\r');
	uart_put(c);
	screen_put(c);
}

static void put_number(uint64_t value, unsigned int base, unsigned int width)
{
	char digits[20];
	unsigned int count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (width > count) {
		put('0');
		width--;
	}
	while (count)
		put(digits[--count]);
}

void print(const char *format, ...)
{
	va_list args;
	const char *text;

	va_start(args, format);
	spin_lock(&console_lock);
	for (; *format; format++) {
		unsigned int width = 0;
		bool is_long = false;

		if (*format != '%') {
			put(*format);
			continue;
		}
		while (format[1] >= '0' && format[1] <= '9')
			width = width * 10 + (unsigned int)(*++format - '0');
		if (format[1] == 'l') {
			is_long = true;
			format++;
		}
		switch (*++format) {
		case 's':
			for (text = va_arg(args, const char *); *text; text++)
				put(*text);
			break;
		case 'u':
			put_number(is_long ? va_arg(args, uint64_t) : va_arg(args, unsigned int), 10, width);
			break;
		case 'x':
			put_number(is_long ? va_arg(args, uint64_t) : va_arg(args, unsigned int), 16, width);
			break;
		default:
			put('%');
			break;
		}
	}
	spin_unlock(&console_lock);
	va_end(args);
}

unsigned int log_read(uint64_t *position, uint8_t bytes[24])
{
	uint64_t end = __atomic_load_n(&log_end, __ATOMIC_ACQUIRE);
	unsigned int count;

	if (*position > end)
		*position = end;
	if (end - *position > LOG_BYTES)
		*position = end - LOG_BYTES;
	for (count = 0; count < 24 && *position < end; count++)
		bytes[count] = log_ring[(*position)++ % LOG_BYTES];
	return count;
}

void console_init(void)
{
	screen_init_text();
	loud = true;
}

void console_quiet(void)
{
	loud = false;
}

void console_loud(void)
{
	console_lock.taken = 0;
	loud = true;
}
