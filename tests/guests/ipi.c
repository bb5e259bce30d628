// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts between four processors: physical and logical destinations in the flat, the cluster and the x2APIC model, lowest
 * priority, shorthands; and the IO APIC's, edge and level, to processors by either kind of destination. Who must take it takes it
 * once, nobody else.
 */
#include "cpus.h"

#define CPUS		4u
#define VECTOR_TEST	0x71u
#define VECTOR_MODE	0x72u			/* come and change the mode */
#define VECTOR_PIN	0x73u
#define VECTOR_ILLEGAL	15u
#define FIXED		(VECTOR_TEST | ICR_ASSERT)
#define NMI		(ICR_MODE_NMI | ICR_ASSERT)
#define LOWEST		(FIXED | ICR_LOGICAL | ICR_MODE_LOWEST)
#define LOGICAL		(FIXED | ICR_LOGICAL)
#define PIN		16u
#define DELAY		100000u			/* ticks of the HPET */
#define PATIENCE	(MANY / 64)
#define SPURIOUS_ON	(SPURIOUS_ENABLE | SPURIOUS_RESET)

enum mode { MODE_FLAT, MODE_CLUSTER, MODE_X2APIC };

/* Something sent, and the mask of the processors that take it: each of them, or any one. */
struct sent {
	const char *text;
	uint32_t command, destination, takers;
	bool any;
};

/* Logical identifiers of xAPIC mode, by model and processor. */
static const uint8_t logical_ids[][CPUS] = {
	[MODE_FLAT] = { 0x01, 0x02, 0x04, 0x08 },
	[MODE_CLUSTER] = { 0x01, 0x02, 0x11, 0x12 },
};

static volatile uint32_t hits[CPUS];
static volatile uint32_t total, ready;
static volatile enum mode mode;

static void count(volatile uint32_t *counter)
{
	asm volatile("lock incl %0" : "+m"(*counter) : : "memory");
}

void cpu_main(void)
{
	while (true)
		halt_once();
}

/* By this processor's mode, which is not always that of the others. */
static void end_interrupt(void)
{
	if (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC)
		wrmsr(MSR_X2APIC_EOI, 0);
	else
		mmio_write(PC_LAPIC + APIC_REG_EOI, 0);
}

/* Puts this processor's local APIC into the mode. The way from x2APIC mode back is by way of the APIC off. */
static void enter_mode(void)
{
	enum mode model = mode;

	if (model == MODE_X2APIC) {
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
	} else {
		mmio_write(PC_LAPIC + APIC_REG_DFR, model == MODE_FLAT ? DFR_FLAT : DFR_CLUSTER);
		mmio_write(PC_LAPIC + APIC_REG_LDR, (uint32_t)logical_ids[model][this_cpu()] << 24);
	}
	count(&ready);
}

static void hook(struct frame *frame)
{
	if (frame->vector == VECTOR_MODE) {
		end_interrupt();
		enter_mode();
		return;
	}
	count(&hits[this_cpu()]);
	count(&total);
	if (frame->vector == EXC_NMI)
		return;
	if (frame->vector == VECTOR_PIN)
		mmio_write(HPET_STATUS, 1);	/* the line of a level goes low */
	end_interrupt();
}

/* All processors go there; not out of x2APIC mode. */
static void set_mode_of_all(enum mode goal)
{
	mode = goal;
	ready = 0;
	send(VECTOR_MODE | ICR_ASSERT | ICR_ALL_BUT_SELF, 0);
	await(&ready, CPUS - 1, "a processor does not change its local APIC's mode");
	enter_mode();
}

static void clear_hits(void)
{
	uint32_t i;

	total = 0;
	for (i = 0; i < CPUS; i++)
		hits[i] = 0;
}

static void send_any(uint32_t command, uint32_t destination)
{
	if (mode == MODE_X2APIC)
		wrmsr(MSR_X2APIC_ICR, (uint64_t)destination << 32 | command);
	else
		send(command, destination);
}

/* Waits for the right number, and then long enough for one too many to come. */
static void await_total(uint32_t number)
{
	uint32_t patience;

	for (patience = PATIENCE; patience; patience--) {
		pause_window();
		if (total >= number)
			break;
	}
	interrupts_on();
	delay();
	interrupts_off();
}

static uint32_t who_took(void)
{
	uint32_t i, mask = 0;

	for (i = 0; i < CPUS; i++)
		if (hits[i])
			mask |= 1u << i;
	return mask;
}

static uint32_t bits_in(uint32_t mask)
{
	uint32_t number = 0;

	for (; mask; mask &= mask - 1)
		number++;
	return number;
}

static void check_hits(const struct sent *s)
{
	uint32_t number = s->any ? 1 : bits_in(s->takers), mask;

	await_total(number);
	mask = who_took();
	if (total == number && (s->any ? (mask & s->takers) != 0 : mask == s->takers))
		return;
	report_failure("%s", s->text);
	print("ipi: taken by (mask): %lx\n",
		(uint64_t)(hits[0] << 24 | hits[1] << 16 | hits[2] << 8 | hits[3]));
}

static void check_sent(const struct sent *list, uint32_t length)
{
	const struct sent *s;

	for (s = list; s < list + length; s++) {
		clear_hits();
		send_any(s->command, s->destination);
		check_hits(s);
	}
}

#define CHECK_SENT(...) \
	do { \
		static const struct sent list[] = { __VA_ARGS__ }; \
		\
		check_sent(list, ARRAY_SIZE(list)); \
	} while (0)

static void check_everywhere(void)
{
	CHECK_SENT(
		{ "physical: 0", FIXED, 0, 1, false },
		{ "physical: 1", FIXED, 1, 2, false },
		{ "physical: 2", FIXED, 2, 4, false },
		{ "physical: 3", FIXED, 3, 8, false },
		{ "physical: nobody", FIXED, 9, 0, false },
		{ "self", FIXED | ICR_SELF, 0, 1, false },
		{ "self, with a destination", FIXED | ICR_SELF, 3, 1, false },
		{ "all", FIXED | ICR_ALL, 0, 15, false },
		{ "all others", FIXED | ICR_ALL_BUT_SELF, 0, 14, false },
		{ "an NMI to all others", NMI | ICR_ALL_BUT_SELF, 0, 14, false },
		{ "an NMI to 2", NMI, 2, 4, false },
		{ "an illegal vector", VECTOR_ILLEGAL | ICR_ASSERT, 1, 0, false },
		/* What is nothing to a processor that runs. */
		{ "a SIPI to one that runs", ICR_MODE_SIPI | ICR_ASSERT | SIPI_VECTOR, 1, 0, false },
		{ "the end of an INIT", ICR_MODE_INIT | ICR_LEVEL | ICR_ALL, 0, 0, false });
	check(started == CPUS - 1, "a processor has started again");
	CHECK_SENT({ "all others after that", FIXED | ICR_ALL_BUT_SELF, 0, 14, false });
}

static void check_flat(void)
{
	CHECK_SENT(
		{ "physical: all", FIXED, 0xff, 15, false },
		{ "flat: 1", LOGICAL, 2, 2, false },
		{ "flat: 0 and 3", LOGICAL, 9, 9, false },
		{ "flat: all", LOGICAL, 0xff, 15, false },
		{ "flat: nobody", LOGICAL, 0x30, 0, false },
		{ "flat: others beside 2", LOGICAL, 0xf4, 4, false },
		{ "flat: an NMI to 1 and 2", NMI | ICR_LOGICAL, 6, 6, false },
		{ "flat: one of all", LOWEST, 0xf, 15, true },
		{ "flat: one of 2 and 3", LOWEST, 0xc, 12, true },
		{ "flat: one of 1", LOWEST, 2, 2, true });
}

static void check_cluster(void)
{
	CHECK_SENT(
		{ "cluster: 0", LOGICAL, 0x01, 1, false },
		{ "cluster: 0 and 1", LOGICAL, 0x03, 3, false },
		{ "cluster: 2 and 3", LOGICAL, 0x13, 12, false },
		{ "cluster: 3", LOGICAL, 0x12, 8, false },
		{ "cluster: nobody in it", LOGICAL, 0x1c, 0, false },
		{ "cluster: an empty one", LOGICAL, 0x23, 0, false },
		{ "cluster: all", LOGICAL, 0xff, 15, false },
		{ "cluster: one of 2 and 3", LOWEST, 0x13, 12, true });
}

static void check_x2apic(void)
{
	static const struct sent self = { "x2APIC: the self-IPI register", 0, 0, 1, false };

	CHECK_SENT(
		{ "x2APIC: all", FIXED, 0xffffffff, 15, false },
		{ "x2APIC: 255 is nobody", FIXED, 0xff, 0, false },
		{ "x2APIC: nobody far away", FIXED, 0x10001, 0, false },
		{ "x2APIC logical: 2", LOGICAL, 4, 4, false },
		{ "x2APIC logical: 1 and 3", LOGICAL, 10, 10, false },
		{ "x2APIC logical: all of the cluster", LOGICAL, 0xffff, 15, false },
		{ "x2APIC logical: another cluster", LOGICAL, 0x1000f, 0, false },
		{ "x2APIC logical: all", LOGICAL, 0xffffffff, 15, false },
		{ "x2APIC logical: one of all", LOWEST, 0xf, 15, true },
		{ "x2APIC logical: one of 1 and 2", LOWEST, 6, 6, true });
	clear_hits();
	wrmsr(MSR_X2APIC_SELF_IPI, VECTOR_TEST);
	check_hits(&self);
}

/* A local APIC that its software has switched off takes no interrupts but NMIs. */
static void check_disabled(void)
{
	mmio_write(PC_LAPIC + APIC_REG_SPURIOUS, SPURIOUS_RESET);
	CHECK_SENT(
		{ "to a local APIC that is off", FIXED, 0, 0, false },
		{ "an NMI to a local APIC that is off", NMI, 0, 1, false });
	mmio_write(PC_LAPIC + APIC_REG_SPURIOUS, SPURIOUS_ON);
}

/* Sets the entry of the pin. The line goes high once. */
static void pull_pin(uint32_t entry, uint32_t destination)
{
	ioapic_write(IOAPIC_ENTRY(PIN), PIN_MASKED);
	ioapic_write(IOAPIC_ENTRY(PIN) + 1, destination << 24);
	ioapic_write(IOAPIC_ENTRY(PIN), entry);
	mmio_write(HPET_STATUS, 1);
	mmio_write(HPET_TIMER, (entry & PIN_LEVEL ? TIMER_LEVEL : 0) | TIMER_ON | TIMER_ROUTE(PIN));
	/* The counter stands still meanwhile: a comparator that it has passed waits for its wrap. */
	mmio_write(HPET_CONFIG, mmio_read(HPET_CONFIG) & ~HPET_COUNTS);
	mmio_write64(HPET_COMPARATOR, mmio_read64(HPET_COUNTER) + DELAY);
	mmio_write(HPET_CONFIG, mmio_read(HPET_CONFIG) | HPET_COUNTS);
}

/* By the pin; the command is its entry. */
static void check_pulled(const struct sent *list, uint32_t length)
{
	const struct sent *s;

	for (s = list; s < list + length; s++) {
		clear_hits();
		pull_pin(s->command, s->destination);
		check_hits(s);
	}
}

static void check_pin_physical(void)
{
	static const struct sent list[] = {
		{ "a pin, edge: 0", VECTOR_PIN, 0, 1, false },
		{ "a pin, edge: 2", VECTOR_PIN, 2, 4, false },
		{ "a pin, edge: 3", VECTOR_PIN, 3, 8, false },
		{ "a pin, level: 1", VECTOR_PIN | PIN_LEVEL, 1, 2, false },
		{ "a pin, level: 3", VECTOR_PIN | PIN_LEVEL, 3, 8, false },
	};

	check_pulled(list, ARRAY_SIZE(list));
	check(!(ioapic_read(IOAPIC_ENTRY(PIN)) & PIN_REMOTE_IRR),
		"a pin, level: its end at another processor is not heard of");
}

static void check_pin_logical(void)
{
	static const struct sent list[] = {
		{ "a pin, flat: 1", VECTOR_PIN | PIN_LOGICAL, 2, 2, false },
		{ "a pin, flat: 1 and 2", VECTOR_PIN | PIN_LOGICAL, 6, 6, false },
		{ "a pin, flat: one of 2 and 3", VECTOR_PIN | PIN_LOGICAL | PIN_LOWEST, 12, 12, true },
		{ "a pin, flat, level: 2", VECTOR_PIN | PIN_LOGICAL | PIN_LEVEL, 4, 4, false },
	};

	check_pulled(list, ARRAY_SIZE(list));
}

static uint8_t fault_of_wrmsr(uint32_t msr, uint64_t value)
{
	TRY("wrmsr", : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
	return fault_vector;
}

static uint8_t fault_of_rdmsr(uint32_t msr)
{
	uint32_t low, high;

	TRY("rdmsr", : "=a"(low), "=d"(high) : "c"(msr));
	return fault_vector;
}

/*
 * What IA32_APIC_BASE takes (SDM vol. 3, 10.12.5): x2APIC mode is left by way of the APIC off alone, which takes it back to what
 * it was at power-on, and begins in xAPIC mode alone.
 */
static void check_mode_changes(void)
{
	const uint32_t bits = APIC_BASE_ENABLE | APIC_BASE_X2APIC, id = MSR_X2APIC(APIC_REG_ID);
	uint64_t base = rdmsr(MSR_APIC_BASE) & ~(uint64_t)bits;

	check(fault_of_wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE) == EXC_GP, "from x2APIC to xAPIC mode: no #GP");
	check(fault_of_wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC) == EXC_GP, "x2APIC mode of an APIC that is off: no #GP");
	check((rdmsr(MSR_APIC_BASE) & bits) == bits, "the mode after two faults");
	apic_set_mode(0);
	check(fault_of_rdmsr(MSR_APIC_BASE) == NO_FAULT, "IA32_APIC_BASE of an APIC that is off");
	check(fault_of_rdmsr(id) == EXC_GP, "an x2APIC register of an APIC that is off: no #GP");
	apic_set_mode(APIC_BASE_ENABLE);
	check(fault_of_rdmsr(id) == EXC_GP, "an x2APIC register in xAPIC mode: no #GP");
	check(apic_read(APIC_REG_SPURIOUS) == SPURIOUS_RESET, "SVR of an APIC that was off");
	check(apic_read(APIC_REG_DFR) == DFR_FLAT, "DFR of an APIC that was off");
	check(apic_read(APIC_REG_LDR) == 0, "LDR of an APIC that was off");
	apic_write(APIC_REG_SPURIOUS, SPURIOUS_ON);
}

/* This processor is in xAPIC mode again, the others are not. */
static void check_mixed_modes(void)
{
	mode = MODE_FLAT;
	CHECK_SENT(
		{ "self, in xAPIC mode again", FIXED | ICR_SELF, 0, 1, false },
		{ "xAPIC to x2APIC: 2", FIXED, 2, 4, false },
		{ "xAPIC to x2APIC: all others", FIXED | ICR_ALL_BUT_SELF, 0, 14, false });
	apic_set_mode(APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	mode = MODE_X2APIC;
	CHECK_SENT({ "x2APIC again: all", FIXED, 0xffffffff, 15, false });
}

GUEST("ipi")
{
	interrupt_hook = hook;
	mmio_write(HPET_CONFIG, HPET_COUNTS);
	start_all();
	require(cpus == CPUS, "not four processors");
	set_mode_of_all(MODE_FLAT);
	check_everywhere();
	check_flat();
	check_disabled();
	print("ipi: flat\n");
	check_pin_physical();
	check_pin_logical();
	print("ipi: IO APIC\n");
	set_mode_of_all(MODE_CLUSTER);
	check_everywhere();
	check_cluster();
	print("ipi: cluster\n");
	set_mode_of_all(MODE_X2APIC);
	check_everywhere();
	check_x2apic();
	check_pin_physical();
	print("ipi: x2APIC\n");
	check_mode_changes();
	check_mixed_modes();
}
