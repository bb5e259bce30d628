// SPDX-License-Identifier: GPL-2.0
#include "cpus.h"

#include <x86/cpuid.h>

#define DELAY_READS		200

extern const uint8_t trampoline[], trampoline_end[];

volatile uint32_t cpus;
volatile uint32_t started;

uint32_t this_cpu(void)
{
	uint64_t stack, number;

	/* The first processor's stack is above those of the others. */
	asm volatile("mov %%rsp, %0" : "=r"(stack));
	number = (stack - CPU_STACKS) / CPU_STACK_BYTES;
	return number < CPU_STACKS_MOST ? (uint32_t)number : 0;
}

void cpu_start(void)
{
	apic_enable();
	asm volatile("lock incl %0" : "+m"(started) : : "memory");
	cpu_main();
	stop();
}

void send(uint32_t icr, uint32_t destination)
{
	mmio_write(PC_LAPIC + APIC_REG_ICR_HIGH, destination << 24);
	mmio_write(PC_LAPIC + APIC_REG_ICR_LOW, icr);
}

void delay(void)
{
	unsigned int i;

	for (i = 0; i < DELAY_READS; i++)
		inb(PC_PORT_POST);
}

void start_cpu(uint32_t number)
{
	send(ICR_MODE_INIT | ICR_ASSERT, number);
	delay();
	send(ICR_MODE_SIPI | ICR_ASSERT | SIPI_VECTOR, number);
	delay();
	send(ICR_MODE_SIPI | ICR_ASSERT | SIPI_VECTOR, number);
}

void await(const volatile uint32_t *word, uint32_t value, const char *text)
{
	uint32_t patience;

	for (patience = MANY; patience; patience--) {
		pause_window();
		if (*word == value)
			return;
	}
	fail("%s", text);
}

void start_all(void)
{
	uint8_t *to = (uint8_t *)TRAMPOLINE;
	const uint8_t *from;
	uint32_t number;

	cpus = cpuid(CPUID_FEATURES, 0).ebx >> 16 & 0xff;
	require(cpus >= 2, "one processor only");
	apic_enable();
	for (from = trampoline; from < trampoline_end; from++)
		*to++ = *from;
	for (number = 1; number < cpus; number++) {
		start_cpu(number);
		await(&started, number, "a processor did not start");
	}
}
