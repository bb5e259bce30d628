// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC as xAPIC, as x2APIC and as xAPIC again: level-triggered interrupts of the HPET through the IO APIC, which come
 * again while the line is high; TPR, priorities, errors. Which of it exits is the processor's affair and must make no difference.
 */
#include "apic.h"

#include <x86/cpuid.h>

#define VECTOR_LEVEL		0x51u
#define VECTOR_LOW		0x41u
#define VECTOR_HIGH		0x61u
#define VECTOR_ILLEGAL		5u
#define PIN			16u
#define ROUNDS			20
#define DELAY			100000u		/* ticks of the HPET, more than it takes to set it as a rule */
#define PATIENCE		1000000
#define CPUID_APIC		9		/* in EDX of leaf 1 */
#define LOGGED_MOST		8

static volatile uint8_t log[LOGGED_MOST];
static volatile uint32_t logged;
static volatile uint32_t keep;			/* ends of interrupts that the line stays high for */
static const char *volatile wrong;		/* what a handler saw, which cannot stop the guest well */

static void look(void)
{
	if (!apic_vector_bit(APIC_REG_ISR, VECTOR_LEVEL))
		wrong = "a vector was delivered and is not in service";
	if (!apic_vector_bit(APIC_REG_TMR, VECTOR_LEVEL))
		wrong = "a level-triggered vector is not in TMR";
	if (apic_read(APIC_REG_PPR) != (VECTOR_LEVEL & 0xf0))
		wrong = "PPR is not the vector's class";
	if (keep)
		keep--;
	else
		mmio_write(HPET_STATUS, 1);
}

static void hook(struct frame *frame)
{
	if (frame->vector == EXC_NMI)
		return;
	log[logged++ % LOGGED_MOST] = (uint8_t)frame->vector;
	if (frame->vector == VECTOR_LEVEL)
		look();
	apic_end();
}

/*
 * The line goes high after a while. A comparator that the counter has passed before it was set would wait for the counter's wrap:
 * a guest that shares its CPU may have been off it that long.
 */
static void arm(void)
{
	uint64_t delay, goal;

	for (delay = DELAY;; delay *= 2) {
		goal = mmio_read64(HPET_COUNTER) + delay;
		mmio_write64(HPET_COMPARATOR, goal);
		if (mmio_read64(HPET_COUNTER) < goal || mmio_read(HPET_STATUS) & 1)
			return;
	}
}

/* Sleeps until the level-triggered vector has come that often. */
static void wait_level(uint64_t goal)
{
	interrupts_off();
	while (counts[VECTOR_LEVEL] < goal)
		halt_once();
}

static void check_level(void)
{
	uint64_t goal = counts[VECTOR_LEVEL];
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		keep = 1;				/* twice each time */
		goal += 2;
		arm();
		wait_level(goal);
	}
	interrupt_window();
	require(counts[VECTOR_LEVEL] == goal, "a level-triggered interrupt came once too often");
	require(!(ioapic_read(IOAPIC_ENTRY(PIN)) & PIN_REMOTE_IRR), "the IO APIC has not heard of the end of the interrupt");
	require(!wrong, "%s", wrong);
}

static bool is_requested(void)
{
	return apic_vector_bit(APIC_REG_IRR, VECTOR_LEVEL);
}

/* TPR in all its bits; what it holds back waits in IRR and comes when CR8 falls. */
static void check_tpr(void)
{
	uint64_t before = counts[VECTOR_LEVEL];
	uint32_t patience = PATIENCE;

	apic_write(APIC_REG_TPR, 0x63);
	require(apic_read(APIC_REG_TPR) == 0x63, "TPR has lost bits");
	require(read_cr8() == 6, "TPR does not show in CR8");
	require(apic_read(APIC_REG_PPR) == 0x63, "PPR is not TPR");
	keep = 0;
	arm();
	interrupts_on();
	while (!is_requested())
		require(--patience, "an interrupt that TPR holds back is not in IRR");
	require(counts[VECTOR_LEVEL] == before, "TPR does not hold an interrupt back");
	write_cr8(0);
	wait_level(before + 1);
	require(!is_requested(), "a delivered vector is still in IRR");
}

/* Of two requests the higher one comes first, and both come once. */
static void check_order(void)
{
	logged = 0;
	apic_self_ipi(VECTOR_LOW);
	apic_self_ipi(VECTOR_HIGH);
	apic_self_ipi(VECTOR_LOW);			/* merges with the first */
	interrupt_window();
	require(logged == 2, "two requests did not make two interrupts");
	require(log[0] == VECTOR_HIGH && log[1] == VECTOR_LOW, "the lower vector came first");
	/* The error's interrupt is masked, so its status is all. */
	apic_write(APIC_REG_ERROR, 0);
	apic_self_ipi(VECTOR_ILLEGAL);
	apic_write(APIC_REG_ERROR, 0);
	require(apic_read(APIC_REG_ERROR) == ERROR_SEND_VECTOR, "an illegal vector was sent");
}

static void refuse_write(uint32_t reg, uint32_t value)
{
	TRY("wrmsr", : : "c"(MSR_X2APIC(reg)), "a"(value), "d"(0));
	require(fault_vector == EXC_GP, "WRMSR of x2APIC register %lx: no #GP", (uint64_t)reg);
}

static void refuse_read(uint32_t reg)
{
	uint32_t low, high;

	TRY("rdmsr", : "=a"(low), "=d"(high) : "c"(MSR_X2APIC(reg)));
	require(fault_vector == EXC_GP, "RDMSR of x2APIC register %lx: no #GP", (uint64_t)reg);
}

/* Registers that are not there, cannot be written, or not so; and those that only look different. */
static void check_x2apic(void)
{
	refuse_write(APIC_REG_EOI, 1);
	refuse_read(APIC_REG_EOI);
	refuse_read(APIC_REG_DFR);
	refuse_write(APIC_REG_ID, 1);
	refuse_write(APIC_REG_PPR, 1);
	refuse_read(APIC_REG_SELF_IPI);
	refuse_read(APIC_REG_ICR_HIGH);
	refuse_read(APIC_REG_LVT_ERROR + 0x100);
	refuse_write(APIC_REG_TPR, 0x100);
	refuse_write(APIC_REG_SELF_IPI, 0x100);
	require(rdmsr(MSR_X2APIC(APIC_REG_ID)) == 0, "x2APIC ID");
	require(apic_read(APIC_REG_LDR) == 1, "x2APIC logical ID");
}

static void check_all(void)
{
	apic_write(APIC_REG_SPURIOUS, SPURIOUS_ENABLE | SPURIOUS_RESET);
	check_level();
	check_tpr();
	check_order();
}

static bool is_shown(void)
{
	return bit_of(cpuid(CPUID_FEATURES, 0).edx, CPUID_APIC);
}

GUEST("apic")
{
	interrupt_hook = hook;
	ioapic_write(IOAPIC_ENTRY(PIN) + 1, 0);
	ioapic_write(IOAPIC_ENTRY(PIN), PIN_LEVEL | VECTOR_LEVEL);
	mmio_write(HPET_TIMER, TIMER_LEVEL | TIMER_ON | TIMER_ROUTE(PIN));
	mmio_write(HPET_CONFIG, HPET_COUNTS);
	check_all();
	print("apic: xAPIC\n");
	apic_set_mode(APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	require(apic_read(APIC_REG_SPURIOUS) == (SPURIOUS_ENABLE | SPURIOUS_RESET),
		"a register changed on the way to x2APIC mode");
	check_all();
	check_x2apic();
	print("apic: x2APIC\n");
	apic_set_mode(0);
	require(!is_shown(), "CPUID shows a local APIC that is off");
	apic_set_mode(APIC_BASE_ENABLE);
	require(is_shown(), "CPUID does not show a local APIC that is on");
	require(apic_read(APIC_REG_SPURIOUS) == SPURIOUS_RESET, "the local APIC was off and is not as after power-on");
	check_all();
}
