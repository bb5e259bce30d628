// SPDX-License-Identifier: GPL-2.0
/*
 * The IO APIC, with the local APIC as xAPIC and as x2APIC: edges and levels, masks, remote IRR and ends of interrupts,
 * destinations, delivery modes. The HPET's timer holds the line high until its status is cleared, whatever the pin makes of it.
 */
#include "apic.h"

#define VECTOR_PIN		0x51u
#define VECTOR_OTHER		0x61u
#define VECTOR_ILLEGAL		5u
#define PIN			16u
#define LEVEL			(PIN_LEVEL | VECTOR_PIN)
#define EDGE			VECTOR_PIN
#define EVERYBODY		0xffu
#define NOBODY			5u
#define DELAY			1000u		/* ticks of the HPET */
#define PATIENCE		100000
#define WINDOWS			30
#define FOREVER			1000u
#define SPURIOUS_ON		(SPURIOUS_ENABLE | SPURIOUS_RESET)

static volatile uint32_t taken;			/* interrupts since the entry was set */
static volatile uint32_t keep;			/* ends of interrupts that the line stays high for */
static volatile bool mask_it;			/* the handler masks the pin */
static volatile bool in_tmr, in_service;	/* the vector, in the last handler */

static void set_low(uint32_t low)
{
	ioapic_write(IOAPIC_ENTRY(PIN), low);
}

static void lower(void)
{
	mmio_write(HPET_STATUS, 1);
}

static bool is_high(void)
{
	return mmio_read(HPET_STATUS) & 1;
}

static void hook(struct frame *frame)
{
	taken++;
	if (frame->vector == EXC_NMI)
		return;
	in_tmr = apic_vector_bit(APIC_REG_TMR, VECTOR_PIN);
	in_service = apic_vector_bit(APIC_REG_ISR, VECTOR_PIN);
	if (keep)
		keep--;
	else
		lower();
	if (mask_it)
		set_low(LEVEL | PIN_MASKED);
	apic_end();
}

/* Whether it is, before the counter has passed the goal. */
static bool goes_high(uint64_t goal)
{
	uint32_t patience;

	for (patience = PATIENCE; patience; patience--) {
		if (is_high())
			return true;
		if (mmio_read64(HPET_COUNTER) > goal)
			return is_high();
	}
	fail("the HPET's line does not go high");
}

/* The line goes high, and is so when this is done. A comparator that the counter has passed before it was set would wait long. */
static void raise(void)
{
	uint64_t delay = DELAY, goal;

	while (true) {
		goal = mmio_read64(HPET_COUNTER) + delay;
		mmio_write64(HPET_COMPARATOR, goal);
		if (goes_high(goal))
			return;
		delay *= 2;
	}
}

/* By way of an edge, masked, and the line low: no history is left. */
static void set_to(uint32_t low, uint32_t destination)
{
	set_low(PIN_MASKED);
	lower();
	ioapic_write(IOAPIC_ENTRY(PIN) + 1, destination << 24);
	taken = 0;
	keep = 0;
	mask_it = false;
	set_low(low);
}

static void set(uint32_t low)
{
	set_to(low, 0);
}

static void set_and_raise(uint32_t low)
{
	set(low);
	raise();
}

/* A line that is high for a moment. */
static void set_and_pulse(uint32_t low)
{
	set_and_raise(low);
	lower();
}

/* Interrupts since the entry was set, once they had time to come. */
static uint32_t all_taken(void)
{
	unsigned int i;

	for (i = 0; i < WINDOWS; i++)
		interrupt_window();
	return taken;
}

static void expect(uint32_t number, const char *text)
{
	check(all_taken() == number, "%s", text);
}

static bool remote_irr(void)
{
	return ioapic_read(IOAPIC_ENTRY(PIN)) & PIN_REMOTE_IRR;
}

static void end_at_ioapic(uint32_t vector)
{
	mmio_write(IOAPIC_EOI, vector);
}

static void check_edges(void)
{
	set_and_raise(EDGE);
	check(apic_vector_bit(APIC_REG_IRR, VECTOR_PIN), "an edge is not in IRR");
	check(!remote_irr(), "an edge sets remote IRR");
	keep = FOREVER;
	expect(1, "an edge is not one interrupt");
	check(!apic_vector_bit(APIC_REG_TMR, VECTOR_PIN), "an edge is in TMR");
	check(in_service, "an edge's vector is not in service");
	lower();
	expect(1, "an interrupt of the falling line");
	raise();
	expect(2, "a second edge is not a second interrupt");
	set_and_pulse(EDGE);
	expect(1, "an edge that is over");
	set_and_pulse(EDGE);
	raise();
	expect(1, "two edges with interrupts off are not one interrupt");
}

static void check_masked_edge(void)
{
	set_and_raise(EDGE | PIN_MASKED);
	expect(0, "a masked edge");
	set_low(EDGE);
	expect(0, "an edge that came while it was masked");
	lower();
	raise();
	expect(1, "an edge after the mask");
}

/* Of an edge: an illegal vector, lowest priority, an NMI. */
static void check_delivery(void)
{
	uint64_t nmis;

	apic_write(APIC_REG_ERROR, 0);
	set_and_raise(VECTOR_ILLEGAL);
	expect(0, "an illegal vector");
	apic_write(APIC_REG_ERROR, 0);
	check(apic_read(APIC_REG_ERROR) == ERROR_RECEIVE_VECTOR, "ESR after an illegal vector");
	set_and_raise(EDGE | PIN_LOWEST);
	expect(1, "an edge by lowest priority");
	set(PIN_NMI);
	nmis = counts[EXC_NMI];
	raise();
	lower();
	asm volatile("nop");
	check(counts[EXC_NMI] == nmis + 1, "a pin that brings an NMI");
}

static void check_levels(void)
{
	set(LEVEL);
	expect(0, "an interrupt of a low line");
	raise();
	check(remote_irr(), "a level does not set remote IRR");
	check(apic_vector_bit(APIC_REG_IRR, VECTOR_PIN), "a level is not in IRR");
	expect(1, "a level is not one interrupt");
	check(in_tmr, "a level is not in TMR");
	check(!remote_irr(), "the end of a level leaves remote IRR");
	check(!apic_vector_bit(APIC_REG_ISR, VECTOR_PIN), "an interrupt is still in service after its end");
	set(LEVEL);
	keep = 5;
	raise();
	expect(6, "a line that stays high over five ends");
	check(!remote_irr(), "remote IRR after five ends");
	/* A level that falls before it is taken is taken all the same. */
	set_and_pulse(LEVEL);
	check(remote_irr(), "remote IRR falls with the line");
	expect(1, "a level that fell before it was taken");
	check(!remote_irr(), "remote IRR after a level that fell");
	set_and_pulse(LEVEL);
	raise();
	expect(1, "a level that fell and rose");
}

/* Polarity is not looked at: the line that is asserted is high here. */
static void check_masked_level(void)
{
	set_and_raise(LEVEL | PIN_MASKED);
	check(!remote_irr(), "a masked level sets remote IRR");
	expect(0, "a masked level");
	set_low(LEVEL);
	expect(1, "a level after the mask");
	/* Masked by its handler, as drivers do it that cannot clear the cause there. */
	set(LEVEL);
	keep = FOREVER;
	mask_it = true;
	raise();
	expect(1, "a level that its handler masks");
	check(!remote_irr(), "remote IRR of a level that its handler masked");
	mask_it = false;
	keep = 1;
	set_low(LEVEL);
	expect(3, "a level that its handler had masked");
	set_and_pulse(LEVEL | PIN_MASKED);
	set_low(LEVEL);
	expect(0, "a level that was over before the mask was");
}

static void check_level_delivery(void)
{
	set_and_raise(LEVEL | PIN_LOWEST);
	expect(1, "a level by lowest priority");
	check(!remote_irr(), "remote IRR of a level by lowest priority");
	/* The same vector as an edge is none of TMR's. */
	set_and_raise(EDGE);
	expect(1, "an edge after levels");
	check(!in_tmr, "an edge after levels is in TMR");
}

/* Remote IRR waits for the end of its own vector. */
static void check_ends(void)
{
	set_and_pulse(LEVEL);
	end_at_ioapic(VECTOR_OTHER);
	check(remote_irr(), "the end of another vector clears remote IRR");
	apic_self_ipi(VECTOR_OTHER);
	expect(2, "a level and an interrupt of another vector");
	/* The IO APIC's own EOI register. */
	set_and_pulse(LEVEL);
	end_at_ioapic(VECTOR_PIN);
	check(!remote_irr(), "the EOI register leaves remote IRR");
	expect(1, "a level that the EOI register ended");
	/* An entry that becomes an edge loses it too. */
	set_and_pulse(LEVEL);
	set_low(EDGE | PIN_MASKED);
	set_low(LEVEL);
	check(!remote_irr(), "remote IRR of an entry that was an edge");
	expect(1, "a level whose entry was an edge");
}

/* Ends that are not told to the IO APIC, where the local APIC can do that. */
static void check_untold_ends(void)
{
	if (!(apic_read(APIC_REG_VERSION) & APIC_VERSION_NO_BROADCAST))
		return;
	apic_write(APIC_REG_SPURIOUS, SPURIOUS_ON | SPURIOUS_NO_BROADCAST);
	set(LEVEL);
	keep = FOREVER;
	raise();
	expect(1, "a level whose end is not told");
	check(remote_irr(), "an end that is not to be told");
	end_at_ioapic(VECTOR_PIN);
	expect(2, "a level whose end the EOI register tells");
	lower();
	end_at_ioapic(VECTOR_PIN);
	check(!remote_irr(), "the EOI register leaves remote IRR, the line being low");
	expect(2, "a level after its last end");
	apic_write(APIC_REG_SPURIOUS, SPURIOUS_ON);
}

struct destination {
	uint32_t low, destination, taken;
	const char *text;
};

static const struct destination physical[] = {
	{ EDGE, 0, 1, "this one" },
	{ EDGE, EVERYBODY, 1, "all" },
	{ EDGE, NOBODY, 0, "nobody" },
	{ LEVEL, 0, 1, "this one, level" },
	{ LEVEL, EVERYBODY, 1, "all, level" },
	{ LEVEL, NOBODY, 0, "nobody, level" },
};

/* This one is 0x04, */
static const struct destination flat[] = {
	{ EDGE | PIN_LOGICAL, 0x04, 1, "flat" },
	{ EDGE | PIN_LOGICAL, 0x06, 1, "flat, one of two" },
	{ EDGE | PIN_LOGICAL, 0xff, 1, "flat, all" },
	{ EDGE | PIN_LOGICAL, 0xfb, 0, "flat, all others" },
	{ LEVEL | PIN_LOGICAL, 0x04, 1, "flat, level" },
	{ LEVEL | PIN_LOGICAL | PIN_LOWEST, 0x0c, 1, "flat, level, lowest priority" },
};

/* 0x24, */
static const struct destination cluster[] = {
	{ EDGE | PIN_LOGICAL, 0x24, 1, "cluster" },
	{ EDGE | PIN_LOGICAL, 0x2f, 1, "cluster, one of four" },
	{ EDGE | PIN_LOGICAL, 0x2b, 0, "cluster, all others" },
	{ EDGE | PIN_LOGICAL, 0x34, 0, "another cluster" },
	{ EDGE | PIN_LOGICAL, 0xff, 1, "cluster, all" },
	{ LEVEL | PIN_LOGICAL, 0x24, 1, "cluster, level" },
};

/* and 0x01. */
static const struct destination x2apic[] = {
	{ EDGE | PIN_LOGICAL, 1, 1, "x2APIC, logical" },
	{ EDGE | PIN_LOGICAL, 3, 1, "x2APIC, logical, one of two" },
	{ EDGE | PIN_LOGICAL, 2, 0, "x2APIC, logical, another" },
	{ LEVEL | PIN_LOGICAL, 1, 1, "x2APIC, logical, level" },
};

static void check_list(const struct destination *list, uint32_t length)
{
	const struct destination *d;

	for (d = list; d < list + length; d++) {
		set_to(d->low, d->destination);
		raise();
		check(all_taken() == d->taken, "destination: %s", d->text);
	}
}

static void check_destinations(void)
{
	check_list(physical, ARRAY_SIZE(physical));
	if (apic_is_x2apic()) {
		check_list(x2apic, ARRAY_SIZE(x2apic));
		return;
	}
	apic_write(APIC_REG_DFR, DFR_FLAT);
	apic_write(APIC_REG_LDR, 0x04u << 24);
	check_list(flat, ARRAY_SIZE(flat));
	apic_write(APIC_REG_DFR, DFR_CLUSTER);
	apic_write(APIC_REG_LDR, 0x24u << 24);
	check_list(cluster, ARRAY_SIZE(cluster));
	apic_write(APIC_REG_DFR, DFR_FLAT);
}

static const struct {
	uint32_t reg, written, read;
	const char *text;
} registers[] = {
	{ IOAPIC_ID, 0xffffffff, 0x0f000000, "identifier" },
	{ IOAPIC_ID, 0, 0, "identifier of zero" },
	{ IOAPIC_ENTRY(PIN), PIN_MASKED | PIN_PENDING | PIN_REMOTE_IRR, PIN_MASKED, "what is only read" },
	{ IOAPIC_ENTRY(PIN), 0xffff0000 | PIN_LOW | 0x41, PIN_MASKED | PIN_LOW | 0x41, "reserved bits" },
	{ IOAPIC_ENTRY(PIN) + 1, 0x5a000000, 0x5a000000, "destination" },
	{ IOAPIC_ENTRY(24), 0x41, 0, "behind the last pin" },
	{ IOAPIC_ENTRY(0) - 1, 0x41, 0, "before the first pin" },
};

static void check_registers(void)
{
	uint32_t i;

	check((ioapic_read(IOAPIC_VERSION) & 0xff00ff) == (23 << 16 | 0x20), "register: version");
	for (i = 0; i < ARRAY_SIZE(registers); i++) {
		ioapic_write(registers[i].reg, registers[i].written);
		check(mmio_read(IOAPIC_WINDOW) == registers[i].read, "register: %s", registers[i].text);
	}
	mmio_write(PC_IOAPIC, IOAPIC_ENTRY(PIN));
	check(mmio_read(PC_IOAPIC) == IOAPIC_ENTRY(PIN), "register: the selector");
}

static void check_all(void)
{
	apic_write(APIC_REG_SPURIOUS, SPURIOUS_ON);
	check_edges();
	check_masked_edge();
	check_delivery();
	check_levels();
	check_masked_level();
	check_level_delivery();
	check_ends();
	check_untold_ends();
	check_destinations();
	set(PIN_MASKED);
}

GUEST("ioapic")
{
	interrupt_hook = hook;
	check_registers();
	mmio_write(HPET_TIMER, TIMER_LEVEL | TIMER_ON | TIMER_ROUTE(PIN));
	mmio_write(HPET_CONFIG, HPET_COUNTS);
	check_all();
	print("ioapic: xAPIC\n");
	apic_set_mode(APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	check_all();
}
