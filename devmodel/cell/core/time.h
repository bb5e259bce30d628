/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Time as chips see it: nanoseconds since the machine started, handed in with every access that depends on it.
 * A chip never reads a clock. It tells when it next wants to be advanced.
 */
#ifndef KEEL_TIME_H
#define KEEL_TIME_H

#include <stdint.h>

#define TIME_NEVER	UINT64_MAX
#define NSEC_PER_SEC	1000000000ull

/* value * mul / div without overflow in between; the quotient must fit 64 bits (a divisor of 0 is a bug of the caller). */
static inline uint64_t time_scale(uint64_t value, uint64_t mul, uint64_t div)
{
	uint64_t quotient, remainder;

	__asm__("mulq %3\n\tdivq %4"
		: "=&a"(quotient), "=&d"(remainder)
		: "0"(value), "r"(mul), "r"(div)
		: "cc");
	return quotient;
}

#endif
