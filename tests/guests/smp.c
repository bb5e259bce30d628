// SPDX-License-Identifier: GPL-2.0
/* Several processors: INIT and SIPI, interrupts between all of them, shared memory, a processor that is started again. */
#include "cpus.h"

#define VECTOR_PING	0x60u
#define VECTOR_PONG	0x61u
#define VECTOR_RING	0x62u
#define VECTOR_ALL	0x63u
#define ROUNDS		100
#define LAPS		50u
#define ADDS		20000u

static volatile uint32_t adders;	/* processors that have added */
static volatile uint32_t go;
static volatile uint32_t pongs, laps, calls;
static volatile uint64_t sum;

static void count(volatile uint32_t *counter)
{
	asm volatile("lock incl %0" : "+m"(*counter) : : "memory");
}

static void add_many(void)
{
	unsigned int i;

	for (i = 0; i < ADDS; i++)
		asm volatile("lock incq %0" : "+m"(sum));
	count(&adders);
}

void cpu_main(void)
{
	bool added = false;

	while (true) {
		halt_once();
		if (!go || added)
			continue;
		added = true;
		add_many();
	}
}

static void pass_on(void)
{
	uint32_t next = (apic_read(APIC_REG_ID) >> 24) + 1;

	if (next < cpus)
		send(VECTOR_RING | ICR_ASSERT, next);
	else
		count(&laps);
}

static void hook(struct frame *frame)
{
	switch (frame->vector) {
	case VECTOR_PING:
		send(VECTOR_PONG | ICR_ASSERT, 0);
		break;
	case VECTOR_PONG:
		count(&pongs);
		break;
	case VECTOR_RING:
		pass_on();
		break;
	default:
		count(&calls);
	}
	apic_end();
}

static uint32_t ping_all(void)
{
	uint32_t round, number, expected = 0;

	for (round = 0; round < ROUNDS; round++) {
		for (number = 1; number < cpus; number++) {
			send(VECTOR_PING | ICR_ASSERT, number);
			await(&pongs, ++expected, "no answer to an interrupt");
		}
	}
	return expected;
}

GUEST("smp")
{
	uint32_t expected, lap;

	interrupt_hook = hook;
	start_all();
	print("smp: all started\n");

	expected = ping_all();
	print("smp: ping\n");

	for (lap = 1; lap <= LAPS; lap++) {
		send(VECTOR_RING | ICR_ASSERT, 1);
		await(&laps, lap, "a ring of interrupts broke");
	}

	go = 1;
	send(VECTOR_ALL | ICR_ASSERT | ICR_ALL_BUT_SELF, 0);
	add_many();
	await(&adders, cpus, "a processor did not add");
	await(&calls, cpus - 1, "an interrupt to all others did not reach all");
	require(sum == (uint64_t)cpus * ADDS, "the sum is wrong");

	/* The last one starts again. */
	go = 0;
	start_cpu(cpus - 1);
	await(&started, cpus, "a processor did not start a second time");
	send(VECTOR_PING | ICR_ASSERT, cpus - 1);
	await(&pongs, expected + 1, "a processor that started again does not answer");
}
