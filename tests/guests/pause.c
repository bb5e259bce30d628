// SPDX-License-Identifier: GPL-2.0
/*
 * Two processors hand a token to each other and wait for it in a loop: without PAUSE, and with it. On one CPU of the host the
 * second way must be much faster, for the loop's exits let the other one run.
 */
#include "cpus.h"

#define TICKS		24000000u	/* that each way is tried for */
#define FASTER		8u		/* times, at least */

static volatile uint32_t holder;
static volatile bool pausing;

static void take(uint32_t number)
{
	while (holder != number)
		if (pausing)
			asm volatile("pause");
}

void cpu_main(void)
{
	interrupts_on();
	while (true) {
		take(1);
		holder = 0;
	}
}

/* How often the token went there and came back. */
static uint64_t count_hands(void)
{
	uint64_t begin = rdtsc(), hands = 0;

	do {
		holder = 1;
		take(0);
		hands++;
	} while (rdtsc() - begin < TICKS);
	return hands;
}

GUEST("pause")
{
	uint64_t without, with;

	start_all();
	interrupts_on();
	without = count_hands();
	pausing = true;
	with = count_hands();
	interrupts_off();
	print("pause: hands without, with: %lx %lx\n", without, with);
	require(with >= without * FASTER, "loops of PAUSE do not let the other processor run");
}
