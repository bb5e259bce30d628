// SPDX-License-Identifier: GPL-2.0
/*
 * STI; HLT: an interrupt that comes at any moment around them ends the halt. One that slips in between the two, in the shadow
 * of STI, would be lost to it.
 */
#include "apic.h"

#define ROUNDS		3000
#define VECTOR		0x50u
#define LEAST		2000u		/* counts of the timer */
#define SPREAD		0x3ffffu

static void spin(uint32_t turns)
{
	while (turns--)
		asm volatile("");
}

GUEST("halt")
{
	uint32_t random = 12345, round;

	interrupt_hook = apic_end_hook;
	apic_write(APIC_REG_SPURIOUS, SPURIOUS_ENABLE | SPURIOUS_RESET);
	apic_write(APIC_REG_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	apic_write(APIC_REG_LVT_TIMER, VECTOR);
	for (round = 1; round <= ROUNDS; round++) {
		random = random * 1103515245u + 12345u;
		apic_write(APIC_REG_TIMER_COUNT, (random >> 8 & SPREAD) + LEAST);
		spin(random >> 20);		/* some part of the time */
		do
			halt_once();
		while (counts[VECTOR] < round);
		require(counts[VECTOR] == round, "more interrupts than were asked for");
	}
}
