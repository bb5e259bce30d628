// SPDX-License-Identifier: GPL-2.0
/*
 * What a machine of several processors must keep when it is saved: each counts in memory and in a register, or halts, and has a
 * timer of its own; interrupts go round all of them, so that some are under way at any time. One that is lost breaks its ring.
 */
#include "cpus.h"
#include "serial.h"

#define VECTOR_TIMER	0x50u
#define VECTOR_RING	0x60u		/* and following: one a ring */
#define RINGS		4u
#define PERIOD		5000000u	/* counts of a nanosecond */
#define MORE		20		/* of everything, after something was typed */
#define CPUS_MOST	16u

/* One a processor, or a ring; the host looks at the first one, too. */
static struct {
	volatile uint64_t count[CPU_STACKS_MOST], timers[CPU_STACKS_MOST], laps[RINGS];
} *const all = (void *)SCRATCH;

/* What a processor has in registers. */
struct own {
	uint32_t number;
	uint64_t count, time;
};

static void hook(struct frame *frame)
{
	uint32_t number = apic_read(APIC_REG_ID) >> 24;

	if (frame->vector == VECTOR_TIMER) {
		all->timers[number]++;
	} else {
		if (++number >= cpus) {
			number = 0;
			all->laps[frame->vector - VECTOR_RING]++;
		}
		send((uint32_t)frame->vector | ICR_ASSERT, number);
	}
	apic_end();
}

static inline struct own begin(void)
{
	struct own own = { .number = apic_read(APIC_REG_ID) >> 24 };

	apic_write(APIC_REG_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	apic_write(APIC_REG_LVT_TIMER, VECTOR_TIMER | LVT_TIMER_PERIODIC);
	apic_write(APIC_REG_TIMER_COUNT, PERIOD);
	return own;
}

static inline void count_one(struct own *own)
{
	uint64_t time;

	own->count++;
	asm volatile("" : "+r"(own->count));
	all->count[own->number]++;
	require(all->count[own->number] == own->count, "the counts in memory and in a register differ");
	time = rdtsc();
	require(time > own->time, "the TSC has gone back");
	own->time = time;
}

/* Those with an odd number halt from interrupt to interrupt. */
void cpu_main(void)
{
	struct own own = begin();

	while (true) {
		if (own.number & 1)
			halt_once();
		else
			short_window();
		count_one(&own);
	}
}

/* Waits until all of them are as far on as they are to be. */
static void await_more(const volatile uint64_t *word, uint32_t words, const char *text)
{
	uint32_t i, patience;
	uint64_t goal;

	for (i = 0; i < words; i++) {
		goal = word[i] + MORE;
		for (patience = MANY; word[i] < goal; patience--) {
			require(patience, "%s", text);
			pause_window();
		}
	}
}

GUEST("saved")
{
	struct own own;
	uint32_t ring, i;

	for (i = 0; i < sizeof(*all); i++)
		scratch[i] = 0;
	interrupt_hook = hook;
	start_all();
	require(cpus <= CPUS_MOST, "too many processors");
	own = begin();
	for (ring = 0; ring < RINGS; ring++)
		send((VECTOR_RING + ring) | ICR_ASSERT, 1);
	print("saved: counting\n");
	do {
		short_window();
		count_one(&own);
	} while (!serial_has_input());
	await_more(all->laps, RINGS, "an interrupt was lost on its way round");
	await_more(all->timers, cpus, "a timer goes off no more");
	await_more(all->count + 1, cpus - 1, "a processor counts no more");
	print("saved: typed at %lx\n", own.count);
}
