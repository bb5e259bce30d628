// SPDX-License-Identifier: GPL-2.0
/*
 * What a machine that is saved and loaded must keep: a count in memory and in a register, vector registers, a periodic interrupt,
 * a TSC that goes on. It counts until something is typed. Then the timer must still go off, here or wherever it goes on.
 */
#include "apic.h"
#include "avx.h"
#include "serial.h"

#define VECTOR		0x50u
#define PERIOD		2000000u	/* counts of a nanosecond */
#define MORE		20		/* interrupts after something was typed */
#define MARK		0x5566778899aabbccu

static volatile uint64_t *const count = (volatile uint64_t *)SCRATCH;	/* the host looks at it, too */
static uint8_t *const pattern = (uint8_t *)SCRATCH + 0x1000;
static uint8_t *const found = (uint8_t *)SCRATCH + 0x2000;

static void start_timer(void)
{
	interrupt_hook = apic_end_hook;
	apic_write(APIC_REG_SPURIOUS, SPURIOUS_ENABLE | SPURIOUS_RESET);
	apic_write(APIC_REG_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	apic_write(APIC_REG_LVT_TIMER, VECTOR | LVT_TIMER_PERIODIC);
	apic_write(APIC_REG_TIMER_COUNT, PERIOD);
}

static uint64_t check_time(uint64_t before)
{
	uint64_t now = rdtsc();

	require(now > before, "the TSC has gone back");
	return now;
}

GUEST("saved")
{
	register uint64_t mark asm("r15") = MARK;	/* stays there, being what an asm statement changes */
	register uint64_t own asm("r14") = 0;
	uint64_t time = 0, goal;

	avx_enable();
	avx_fill(pattern);
	start_timer();
	*count = 0;
	interrupts_on();
	print("saved: counting\n");
	do {
		own++;
		asm volatile("" : "+r"(own), "+r"(mark));
		*count = *count + 1;
		require(*count == own, "the counts in memory and in a register differ");
		time = check_time(time);
		require(avx_holds(pattern, found), "a vector register changed");
	} while (!serial_has_input());
	require(mark == MARK, "a register changed");
	goal = counts[VECTOR];
	require(goal, "the timer never went off");
	interrupts_off();
	while (counts[VECTOR] < goal + MORE)
		halt_once();
	print("saved: typed at %lx\n", own);
}
