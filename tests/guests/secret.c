// SPDX-License-Identifier: GPL-2.0
/* Fills 8 MiB of its memory with a pattern that nobody outside may ever see, then sleeps until it is ended. */
#include "apic.h"

#define SECRET_FIRST	0x400000u
#define SECRET_BYTES	0x800000u
/* What is looked for is the sum, so that neither this image nor the searcher holds the pattern itself. */
#define SECRET_HALF	0x2b1e5c3a4d6f7091u
#define SECRET_OTHER	0x3141592653589793u
#define VECTOR		0x40u
#define SLEEP		100000000u	/* counts of a nanosecond */

static uint64_t secret(void)
{
	volatile uint64_t half = SECRET_HALF, other = SECRET_OTHER;

	return half + other;
}

static bool is_as_it_was(void)
{
	uint64_t *at = (uint64_t *)SECRET_FIRST, count = SECRET_BYTES / 8;
	bool same;

	asm volatile("repe scasq" : "+D"(at), "+c"(count), "=@cce"(same) : "a"(secret()) : "memory");
	return same;
}

GUEST("secret")
{
	uint64_t *at = (uint64_t *)SECRET_FIRST, count = SECRET_BYTES / 8;

	asm volatile("rep stosq" : "+D"(at), "+c"(count) : "a"(secret()) : "memory");
	print("secret: hidden\n");
	interrupt_hook = apic_end_hook;
	apic_write(APIC_REG_SPURIOUS, SPURIOUS_ENABLE | SPURIOUS_RESET);
	/* Looks now and then whether anybody has changed it. */
	while (true) {
		require(is_as_it_was(), "somebody wrote to my memory");
		apic_write(APIC_REG_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
		apic_write(APIC_REG_LVT_TIMER, VECTOR);
		apic_write(APIC_REG_TIMER_COUNT, SLEEP);
		halt_once();
	}
}
