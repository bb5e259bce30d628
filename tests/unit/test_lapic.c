/* SPDX-License-Identifier: GPL-2.0 */
/* Local APIC: priorities, messages, timers, x2APIC rules, against the Intel SDM, volume 3, chapter 11. */
#include <keel/macros.h>

#include "lapic_rig.h"
#include "roundtrip.h"
#include "suite.h"

START_TEST(power_up_state)
{
	power_on();
	ck_assert_uint_eq(rdmsr(0, MSR_APIC_BASE), LAPIC_BASE_DEFAULT | ENABLE | BSP);
	ck_assert_uint_eq(rdmsr(1, MSR_APIC_BASE), LAPIC_BASE_DEFAULT | ENABLE);
	ck_assert_uint_eq(lapic_mmio_base(&cpu[1]), LAPIC_BASE_DEFAULT);
	ck_assert_uint_eq(read_reg(3, ID), 3u << 24);
	ck_assert_uint_eq(read_reg(0, VERSION), 0x00060014);
	ck_assert_uint_eq(read_reg(0, SVR), 0xff);
	ck_assert_uint_eq(read_reg(0, DFR), 0xffffffff);
	ck_assert_uint_eq(read_reg(0, LDR), 0);
	ck_assert_uint_eq(read_reg(0, TPR), 0);
	for (unsigned int offset = TIMER; offset <= LVT_ERROR; offset += 16)
		ck_assert_uint_eq(read_reg(0, offset), MASKED);
	ck_assert_uint_eq(read_reg(0, CMCI), MASKED);
	ck_assert_uint_eq(cpu[0].s.wait_sipi, 0);
	ck_assert_uint_eq(cpu[1].s.wait_sipi, 1);
	ck_assert_uint_eq(lapic_deadline(&cpu[0]), TIME_NEVER);
}
END_TEST

START_TEST(software_disabled)
{
	power_on();
	ck_assert(!fixed(0, LAPIC_PHYSICAL, 0x40));
	write_reg(0, LINT0, 0x700);
	ck_assert_uint_eq(read_reg(0, LINT0), MASKED | 0x700);
	write_reg(0, SVR, 0x1ff);
	write_reg(0, LINT0, 0x700);
	ck_assert_uint_eq(read_reg(0, LINT0), 0x700);
	ck_assert(fixed(0, LAPIC_PHYSICAL, 0x40));
	/* What was requested before is still delivered (11.4.7.2). */
	write_reg(0, SVR, 0xff);
	ck_assert_uint_eq(read_reg(0, LINT0), MASKED | 0x700);
	ck_assert_int_eq(pending(0), 0x40);
	ck_assert(lapic_deliver(&bus, 0, LAPIC_PHYSICAL, LAPIC_NMI, 0, true, LAPIC_EDGE));
}
END_TEST

START_TEST(priorities_and_nesting)
{
	fixed(0, LAPIC_PHYSICAL, 0x41);
	fixed(0, LAPIC_PHYSICAL, 0x45);
	ck_assert_int_eq(pending(0), 0x45);
	ck_assert_int_eq(acknowledge(0), 0x45);
	ck_assert_uint_eq(read_reg(0, ISR + 0x20), 1u << 5);
	ck_assert_uint_eq(read_reg(0, IRR + 0x20), 1u << 1);
	ck_assert_uint_eq(read_reg(0, PPR), 0x40);
	/* The same class waits, a higher one does not. */
	ck_assert_int_eq(pending(0), -1);
	fixed(0, LAPIC_PHYSICAL, 0x51);
	ck_assert_int_eq(acknowledge(0), 0x51);
	write_reg(0, EOI, 0);
	ck_assert_uint_eq(read_reg(0, PPR), 0x40);
	ck_assert_int_eq(pending(0), -1);
	write_reg(0, EOI, 0);
	ck_assert_int_eq(acknowledge(0), 0x41);
	write_reg(0, EOI, 0);
	write_reg(0, EOI, 0);
	ck_assert_uint_eq(eois, 0);
	ck_assert_int_eq(acknowledge(0), -1);
	ck_assert_uint_eq(read_reg(0, ISR + 0x70), 0);
}
END_TEST

START_TEST(task_priority)
{
	fixed(0, LAPIC_PHYSICAL, 0x61);
	write_reg(0, TPR, 0x60);
	ck_assert_int_eq(pending(0), -1);
	write_reg(0, TPR, 0x5f);
	ck_assert_int_eq(pending(0), 0x61);
	ck_assert_uint_eq(read_reg(0, PPR), 0x5f);
	ck_assert_int_eq(acknowledge(0), 0x61);
	ck_assert_uint_eq(read_reg(0, PPR), 0x60);
	write_reg(0, TPR, 0x6f);
	ck_assert_uint_eq(read_reg(0, PPR), 0x6f);
}
END_TEST

START_TEST(threshold_of_cr8)
{
	fixed(0, LAPIC_PHYSICAL, 0x61);
	lapic_set_tpr(at(0), 0x60);
	ck_assert_int_eq(pending(0), -1);
	ck_assert_uint_eq(lapic_tpr_threshold(at(0)), 6);
	lapic_set_tpr(at(0), 0x50);
	ck_assert_int_eq(pending(0), 0x61);
	ck_assert_uint_eq(lapic_tpr_threshold(at(0)), 0);
	/* Held back by the register with a low CR8: a notice would come at once and for ever. */
	write_reg(0, TPR, 0x70);
	ck_assert_int_eq(pending(0), -1);
	ck_assert_uint_eq(lapic_tpr_threshold(at(0)), 0);
	/* By service: not by TPR alone. */
	write_reg(0, TPR, 0);
	acknowledge(0);
	fixed(0, LAPIC_PHYSICAL, 0x62);
	lapic_set_tpr(at(0), 0xf0);
	ck_assert_uint_eq(lapic_tpr_threshold(at(0)), 0);
	fixed(0, LAPIC_PHYSICAL, 0xff);
	ck_assert_uint_eq(lapic_tpr_threshold(at(0)), 15);
}
END_TEST

START_TEST(cr8_is_brought_in)
{
	lapic_set_tpr(at(0), 0x50);
	ck_assert_uint_eq(lapic_tpr(at(0)), 0x50);
	/* The register was written by the guest: an unchanged CR8 does not undo that. */
	write_reg(0, TPR, 0x23);
	lapic_set_tpr(at(0), 0x50);
	ck_assert_uint_eq(read_reg(0, TPR), 0x23);
	lapic_set_tpr(at(0), 0x00);
	ck_assert_uint_eq(read_reg(0, TPR), 0);
}
END_TEST

START_TEST(level_eoi_is_broadcast)
{
	lapic_deliver(&bus, 1, LAPIC_PHYSICAL, LAPIC_FIXED, 0x71, true, LAPIC_LEVEL);
	ck_assert_uint_eq(read_reg(1, TMR + 0x30), 1u << 17);
	acknowledge(1);
	write_reg(1, EOI, 0);
	ck_assert_uint_eq(eois, 1);
	ck_assert_int_eq(eoi_vector, 0x71);
	/* The same vector as an edge. */
	fixed(1, LAPIC_PHYSICAL, 0x71);
	ck_assert_uint_eq(read_reg(1, TMR + 0x30), 0);
	acknowledge(1);
	write_reg(1, EOI, 0);
	ck_assert_uint_eq(eois, 1);
}
END_TEST

START_TEST(physical_destinations)
{
	ck_assert(fixed(2, LAPIC_PHYSICAL, 0x40));
	ck_assert_uint_eq(bus.kick, 1u << 2);
	ck_assert_uint_eq(requested(0x40), 1u << 2);
	ck_assert(!fixed(9, LAPIC_PHYSICAL, 0x40));
	ck_assert(fixed(0xff, LAPIC_PHYSICAL, 0x40));
	ck_assert_uint_eq(requested(0x40), 0xf);
	/* A request that is waiting already changes nothing. */
	fixed(1, LAPIC_PHYSICAL, 0x40);
	bus.kick = 0;
	ck_assert(fixed(1, LAPIC_PHYSICAL, 0x40));
	ck_assert_uint_eq(bus.kick, 0);
}
END_TEST

START_TEST(flat_and_cluster_destinations)
{
	for (unsigned int i = 0; i < CPUS; i++)
		write_reg(i, LDR, 1u << (24 + i));
	ck_assert(fixed(0x6, LAPIC_LOGICAL, 0x40));
	ck_assert_uint_eq(requested(0x40), 0x6);
	ck_assert(!fixed(0x80, LAPIC_LOGICAL, 0x40));
	for (unsigned int i = 0; i < CPUS; i++) {
		write_reg(i, DFR, 0x0fffffff);
		write_reg(i, LDR, (i / 2) << 28 | 1u << (24 + i % 2));
	}
	ck_assert_uint_eq(read_reg(0, DFR), 0x0fffffff);
	ck_assert(fixed(0x13, LAPIC_LOGICAL, 0x40));
	ck_assert_uint_eq(requested(0x40), 0xc);
	ck_assert(fixed(0x02, LAPIC_LOGICAL, 0x40));
	ck_assert_uint_eq(requested(0x40), 0x2);
	ck_assert(!fixed(0x23, LAPIC_LOGICAL, 0x40));
	ck_assert(fixed(0xff, LAPIC_LOGICAL, 0x40));
	ck_assert_uint_eq(requested(0x40), 0xf);
	ck_assert(!fixed(0x10001, LAPIC_LOGICAL, 0x40));
}
END_TEST

START_TEST(lowest_priority)
{
	write_reg(0, TPR, 0x50);
	write_reg(1, TPR, 0x40);
	write_reg(2, TPR, 0x20);
	write_reg(3, TPR, 0x30);
	ck_assert(lapic_deliver(&bus, 0xff, LAPIC_PHYSICAL, LAPIC_LOWEST, 0x80, true, LAPIC_EDGE));
	ck_assert_uint_eq(requested(0x80), 1u << 2);
	/* An APIC that is disabled takes no part. */
	write_reg(2, SVR, 0xff);
	ck_assert(lapic_deliver(&bus, 0xff, LAPIC_PHYSICAL, LAPIC_LOWEST, 0x80, true, LAPIC_EDGE));
	ck_assert_uint_eq(requested(0x80), 1u << 3);
	/* Among equals each vector has its place, and all get some. */
	enable();
	uint64_t seen = 0;

	for (unsigned int vector = 0x80; vector < 0x88; vector++) {
		uint64_t one;

		lapic_deliver(&bus, 0xff, LAPIC_PHYSICAL, LAPIC_LOWEST, vector, true, LAPIC_EDGE);
		one = requested(vector);
		ck_assert_uint_eq(__builtin_popcountll(one), 1);
		seen |= one;
	}
	ck_assert_uint_eq(seen, 0xf);
}
END_TEST

START_TEST(interprocessor_interrupts)
{
	write_reg(0, ICR_HIGH, 2u << 24);
	write_reg(0, ICR, 0x4040);
	ck_assert_uint_eq(requested(0x40), 1u << 2);
	ck_assert_uint_eq(read_reg(0, ICR), 0x4040);
	ck_assert_uint_eq(read_reg(0, ICR_HIGH), 2u << 24);
	write_reg(1, ICR, 0x40000 | 0x4041);
	ck_assert_uint_eq(requested(0x41), 1u << 1);
	write_reg(1, ICR, 0x80000 | 0x4041);
	ck_assert_uint_eq(requested(0x41), 0xf);
	write_reg(1, ICR, 0xc0000 | 0x4041);
	ck_assert_uint_eq(requested(0x41), 0xd);
	/* Level makes no level interrupt of an IPI. */
	write_reg(1, ICR, 0x40000 | 0xc042);
	ck_assert_uint_eq(read_reg(1, TMR + 0x20), 0);
	write_reg(1, ICR, 0x80000 | 0x4400);
	for (unsigned int i = 0; i < CPUS; i++)
		ck_assert_uint_eq(cpu[i].s.nmi_pending, 0);
	write_reg(1, ICR_HIGH, 0);
	write_reg(1, ICR, 0x4400);
	ck_assert_uint_eq(cpu[0].s.nmi_pending, 1);
}
END_TEST

START_TEST(start_of_a_processor)
{
	/* The sequence of 9.4.4.1. */
	write_reg(1, TPR, 0x70);
	write_reg(1, LDR, 0x02000000);
	fixed(1, LAPIC_PHYSICAL, 0x99);
	bus.kick = 0;
	write_reg(0, ICR_HIGH, 1u << 24);
	write_reg(0, ICR, 0xc500);
	ck_assert_uint_eq(bus.kick, 1u << 1);
	ck_assert_uint_eq(cpu[1].s.init_pending, 1);
	ck_assert_uint_eq(cpu[1].s.wait_sipi, 1);
	ck_assert_uint_eq(read_reg(1, SVR), 0xff);
	ck_assert_uint_eq(read_reg(1, TPR), 0);
	ck_assert_uint_eq(read_reg(1, LDR), 0);
	ck_assert_uint_eq(read_reg(1, ID), 1u << 24);
	ck_assert_int_eq(pending(1), -1);
	ck_assert_uint_eq(rdmsr(1, MSR_APIC_BASE), LAPIC_BASE_DEFAULT | ENABLE);
	cpu[1].s.init_pending = 0;
	write_reg(0, ICR, 0x8500);
	ck_assert_uint_eq(cpu[1].s.init_pending, 0);
	/* NMIs are blocked. */
	write_reg(0, ICR, 0x4400);
	ck_assert_uint_eq(cpu[1].s.nmi_pending, 0);
	write_reg(0, ICR, 0x4600 | 0x9a);
	ck_assert_uint_eq(cpu[1].s.sipi_pending, 1);
	ck_assert_uint_eq(cpu[1].s.sipi_vector, 0x9a);
	ck_assert_uint_eq(cpu[1].s.wait_sipi, 0);
	cpu[1].s.sipi_pending = 0;
	write_reg(0, ICR, 0x4600 | 0x77);
	ck_assert_uint_eq(cpu[1].s.sipi_pending, 0);
	/* The bootstrap processor goes to its reset vector instead of waiting. */
	write_reg(1, ICR_HIGH, 0);
	write_reg(1, ICR, 0xc500);
	ck_assert_uint_eq(cpu[0].s.init_pending, 1);
	ck_assert_uint_eq(cpu[0].s.wait_sipi, 0);
}
END_TEST

START_TEST(errors)
{
	write_reg(0, LVT_ERROR, 0xe1);
	write_reg(0, ICR, 0x4005);
	ck_assert_uint_eq(read_reg(0, ESR), 0);
	ck_assert_uint_eq(requested(0xe1), 1);
	/* The interrupt is armed by a write of ESR alone. */
	fixed(0, LAPIC_PHYSICAL, 0x0f);
	ck_assert_uint_eq(requested(0xe1), 0);
	write_reg(0, ESR, 0);
	ck_assert_uint_eq(read_reg(0, ESR), 1u << 5 | 1u << 6);
	read_reg(0, 0x040);
	ck_assert_uint_eq(requested(0xe1), 1);
	write_reg(0, ESR, 0);
	ck_assert_uint_eq(read_reg(0, ESR), 1u << 7);
	write_reg(0, ESR, 0);
	ck_assert_uint_eq(read_reg(0, ESR), 0);
	/* An illegal vector in the error entry itself goes nowhere. */
	write_reg(0, LVT_ERROR, 0x03);
	write_reg(0, 0x3f0, 0);
	write_reg(0, ESR, 0);
	ck_assert_uint_eq(read_reg(0, ESR), 1u << 7);
	ck_assert_int_eq(pending(0), -1);
}
END_TEST

START_TEST(one_shot_timer)
{
	struct lapic *l = at(0);

	lapic_write(l, TIMER, 0x31, 0);
	lapic_write(l, DIVIDE, 0x3, 0);
	lapic_write(l, INITIAL, 1000, 5000);
	ck_assert_uint_eq(lapic_deadline(l), 5000 + 16000);
	ck_assert_uint_eq(lapic_read(l, CURRENT, 5000), 1000);
	ck_assert_uint_eq(lapic_read(l, CURRENT, 5000 + 1600), 900);
	ck_assert_uint_eq(lapic_read(l, CURRENT, 5000 + 15999), 1);
	lapic_advance(l, 5000 + 15999);
	ck_assert_int_eq(lapic_pending(l), -1);
	lapic_advance(l, 5000 + 16000);
	ck_assert_int_eq(acknowledge(0), 0x31);
	ck_assert_uint_eq(lapic_read(l, CURRENT, 30000), 0);
	ck_assert_uint_eq(lapic_deadline(l), TIME_NEVER);
	/* A count of 0 stops. */
	lapic_write(l, INITIAL, 1000, 40000);
	lapic_write(l, INITIAL, 0, 40000);
	ck_assert_uint_eq(lapic_deadline(l), TIME_NEVER);
}
END_TEST

START_TEST(timer_divisors)
{
	static const struct { uint32_t code, divisor; } codes[] = {
		{ 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 10, 128 }, { 11, 1 },
	};

	write_reg(0, TIMER, 0x31);
	for (unsigned int i = 0; i < ARRAY_SIZE(codes); i++) {
		write_reg(0, DIVIDE, codes[i].code);
		write_reg(0, INITIAL, 0xffffffff);
		ck_assert_uint_eq(read_reg(0, DIVIDE), codes[i].code);
		ck_assert_uint_eq(lapic_deadline(&cpu[0]), 0xffffffffull * codes[i].divisor);
	}
	/* A change on the way keeps the count. */
	write_reg(0, DIVIDE, 0);
	write_reg(0, INITIAL, 100);
	lapic_write(at(0), DIVIDE, 1, 100);
	ck_assert_uint_eq(lapic_read(at(0), CURRENT, 100), 50);
	ck_assert_uint_eq(lapic_deadline(&cpu[0]), 300);
}
END_TEST

START_TEST(periodic_timer)
{
	struct lapic *l = at(0);

	write_reg(0, TIMER, PERIODIC | 0x31);
	write_reg(0, DIVIDE, DIVIDE_BY_1);
	write_reg(0, INITIAL, 1000000);
	lapic_advance(l, 1000000);
	ck_assert_int_eq(acknowledge(0), 0x31);
	ck_assert_uint_eq(lapic_deadline(l), 2000000);
	write_reg(0, EOI, 0);
	/* Many missed periods give one interrupt, and the phase stays. */
	lapic_advance(l, 7300000);
	ck_assert_int_eq(acknowledge(0), 0x31);
	lapic_write(l, EOI, 0, 7300000);
	lapic_advance(l, 7300001);
	ck_assert_int_eq(lapic_pending(l), -1);
	ck_assert_uint_eq(lapic_deadline(l), 8000000);
	ck_assert_uint_eq(lapic_read(l, CURRENT, 7300000), 700000);
	/* Masked it runs on without asking for time, and does not catch up when unmasked. */
	lapic_write(l, TIMER, MASKED | PERIODIC | 0x31, 7400000);
	ck_assert_uint_eq(lapic_deadline(l), TIME_NEVER);
	lapic_write(l, TIMER, PERIODIC | 0x31, 9500000);
	ck_assert_int_eq(lapic_pending(l), -1);
	ck_assert_uint_eq(lapic_deadline(l), 10000000);
}
END_TEST

START_TEST(short_period_does_not_storm)
{
	struct lapic *l = at(0);
	uint64_t now = 0;
	unsigned int steps = 0;

	write_reg(0, TIMER, PERIODIC | 0x31);
	write_reg(0, DIVIDE, DIVIDE_BY_1);
	write_reg(0, INITIAL, 1);
	while (now < 1000000) {
		uint64_t next = lapic_deadline(l);

		ck_assert_uint_gt(next, now);
		now = next;
		lapic_advance(l, now);
		ck_assert_uint_eq(lapic_read(l, CURRENT, now), 1);
		steps++;
	}
	ck_assert_uint_lt(steps, 60);
	ck_assert_int_eq(lapic_pending(l), 0x31);
}
END_TEST

START_TEST(tsc_deadline_timer)
{
	struct lapic *l = at(0);

	/* In another mode writes are ignored. */
	ck_assert(lapic_write_msr(l, MSR_TSC_DEADLINE, 9000, 1000, 0));
	ck_assert_uint_eq(rdmsr(0, MSR_TSC_DEADLINE), 0);
	write_reg(0, TIMER, TSC_DEADLINE | 0x31);
	ck_assert(lapic_write_msr(l, MSR_TSC_DEADLINE, 9000, 1000, 500));
	ck_assert_uint_eq(rdmsr(0, MSR_TSC_DEADLINE), 9000);
	/* 8000 ticks at 2 GHz, never early. */
	ck_assert_uint_ge(lapic_deadline(l), 4500);
	ck_assert_uint_le(lapic_deadline(l), 4501);
	lapic_write(l, INITIAL, 77, 600);
	ck_assert_uint_eq(lapic_read(l, INITIAL, 600), 0);
	ck_assert_uint_eq(lapic_read(l, CURRENT, 600), 0);
	lapic_advance(l, 4501);
	ck_assert_int_eq(acknowledge(0), 0x31);
	ck_assert_uint_eq(rdmsr(0, MSR_TSC_DEADLINE), 0);
	lapic_write(l, EOI, 0, 4501);
	/* A deadline in the past fires at once, one of 0 disarms. */
	lapic_write_tsc_deadline(l, 5, 10000, 5000);
	ck_assert_int_eq(acknowledge(0), 0x31);
	lapic_write(l, EOI, 0, 5000);
	lapic_write_tsc_deadline(l, 20000, 10000, 5000);
	lapic_write_tsc_deadline(l, 0, 10000, 5000);
	ck_assert_uint_eq(lapic_deadline(l), TIME_NEVER);
	lapic_write_tsc_deadline(l, UINT64_MAX, 0, 5000);
	ck_assert_uint_eq(lapic_deadline(l), TIME_NEVER);
	ck_assert_uint_eq(rdmsr(0, MSR_TSC_DEADLINE), UINT64_MAX);
	/* A change of the mode disarms. */
	lapic_write_tsc_deadline(l, 20000, 10000, 5000);
	lapic_write(l, TIMER, 0x31, 5000);
	ck_assert_uint_eq(lapic_deadline(l), TIME_NEVER);
	ck_assert_uint_eq(rdmsr(0, MSR_TSC_DEADLINE), 0);
}
END_TEST

START_TEST(local_pins)
{
	ck_assert(!lapic_accepts_extint(&cpu[0]));
	write_reg(0, LINT0, 0x8700);
	ck_assert(lapic_accepts_extint(&cpu[0]));
	write_reg(0, LINT0, MASKED | 0x8700);
	ck_assert(!lapic_accepts_extint(&cpu[0]));
	/* LINT1 as NMI: on the edge. */
	write_reg(0, LINT1, 0x400);
	lapic_set_lint(&cpu[0], 1, true);
	ck_assert_uint_eq(cpu[0].s.nmi_pending, 1);
	cpu[0].s.nmi_pending = 0;
	lapic_set_lint(&cpu[0], 1, true);
	ck_assert_uint_eq(cpu[0].s.nmi_pending, 0);
	/* LINT0 as a level interrupt: again and again while it is high. */
	write_reg(0, LINT0, 0x8000 | 0x55);
	lapic_set_lint(&cpu[0], 0, true);
	ck_assert_uint_eq(read_reg(0, LINT0), 0xc000 | 0x55);
	ck_assert_int_eq(acknowledge(0), 0x55);
	write_reg(0, EOI, 0);
	ck_assert_int_eq(acknowledge(0), 0x55);
	lapic_set_lint(&cpu[0], 0, false);
	write_reg(0, EOI, 0);
	ck_assert_int_eq(pending(0), -1);
	ck_assert_uint_eq(read_reg(0, LINT0), 0x8000 | 0x55);
	/* As an edge. */
	write_reg(0, LINT0, 0x56);
	lapic_set_lint(&cpu[0], 0, true);
	ck_assert_int_eq(acknowledge(0), 0x56);
	write_reg(0, EOI, 0);
	ck_assert_int_eq(pending(0), -1);
}
END_TEST

/* The pins are outside: INIT does not change their levels, and what was high has no edge when it is opened. */
START_TEST(pins_over_init)
{
	write_reg(0, LINT0, 0x8055);
	write_reg(0, LINT1, 0x400);
	nobody();
	lapic_set_lint(&cpu[0], 0, true);
	lapic_set_lint(&cpu[0], 1, true);
	ck_assert(lapic_deliver(&bus, 0, LAPIC_PHYSICAL, LAPIC_INIT, 0, true, LAPIC_EDGE));
	ck_assert_int_eq(pending(0), -1);
	ck_assert_uint_eq(read_reg(0, LINT0), MASKED);
	write_reg(0, SVR, 0x1ff);
	write_reg(0, LINT1, 0x400);
	nobody();
	lapic_set_lint(&cpu[0], 1, true);
	ck_assert_uint_eq(cpu[0].s.nmi_pending, 0);
	write_reg(0, LINT0, 0x8055);
	ck_assert_int_eq(acknowledge(0), 0x55);
	ck_assert_uint_eq(read_reg(0, LINT0), 0xc055);
}
END_TEST

START_TEST(message_signalled)
{
	ck_assert(lapic_deliver_msi(&bus, 0xfee02000, 0x4051));
	ck_assert_uint_eq(requested(0x51), 1u << 2);
	for (unsigned int i = 0; i < CPUS; i++)
		write_reg(i, LDR, 1u << (24 + i));
	ck_assert(lapic_deliver_msi(&bus, 0xfee0a00c, 0x0152));
	ck_assert_uint_eq(__builtin_popcountll(requested(0x52)), 1);
	/* Fixed: to all of them, but with the redirection hint to one. */
	ck_assert(lapic_deliver_msi(&bus, 0xfee0a004, 0x53));
	ck_assert_uint_eq(requested(0x53), 1u << 1 | 1u << 3);
	ck_assert(lapic_deliver_msi(&bus, 0xfee0a00c, 0x53));
	ck_assert_uint_eq(__builtin_popcountll(requested(0x53)), 1);
	ck_assert(!lapic_deliver_msi(&bus, 0xfed02000, 0x51));
	ck_assert(!lapic_deliver_msi(&bus, 0x1fee02000, 0x51));
	ck_assert_uint_eq(requested(0x51), 0);
}
END_TEST

START_TEST(base_transitions)
{
	static const uint64_t mode[] = { 0, ENABLE, ENABLE | EXTD };
	static const bool allowed[3][3] = {	/* 11.12.5 */
		[0] = { true, true, false },
		[1] = { true, true, true },
		[2] = { true, false, true },
	};

	for (unsigned int from = 0; from < 3; from++) {
		for (unsigned int to = 0; to < 3; to++) {
			power_on();
			if (from == 0)
				ck_assert(wrmsr(1, MSR_APIC_BASE, LAPIC_BASE_DEFAULT));
			if (from == 2)
				ck_assert(wrmsr(1, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | mode[2]));
			ck_assert(!wrmsr(1, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | EXTD));
			ck_assert_int_eq(wrmsr(1, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | mode[to]), allowed[from][to]);
			ck_assert_uint_eq(rdmsr(1, MSR_APIC_BASE),
					  LAPIC_BASE_DEFAULT | mode[allowed[from][to] ? to : from]);
		}
	}
	/* Reserved bits, and addresses that the processor does not have. */
	ck_assert(!wrmsr(1, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | ENABLE | 1));
	ck_assert(!wrmsr(1, MSR_APIC_BASE, 1ull << 40 | ENABLE));
	power_on();
	ck_assert(wrmsr(1, MSR_APIC_BASE, 0xd0000000 | ENABLE));
	ck_assert_uint_eq(lapic_mmio_base(&cpu[1]), 0xd0000000);
}
END_TEST

START_TEST(switched_off)
{
	write_reg(1, TPR, 0x30);
	fixed(1, LAPIC_PHYSICAL, 0x99);
	ck_assert(wrmsr(1, MSR_APIC_BASE, LAPIC_BASE_DEFAULT));
	ck_assert_uint_eq(lapic_mmio_base(&cpu[1]), UINT64_MAX);
	ck_assert(!fixed(1, LAPIC_PHYSICAL, 0x40));
	ck_assert(!lapic_deliver(&bus, 1, LAPIC_PHYSICAL, LAPIC_NMI, 0, true, LAPIC_EDGE));
	ck_assert_int_eq(pending(1), -1);
	ck_assert_uint_eq(lapic_tpr_threshold(at(1)), 0);
	ck_assert(lapic_accepts_extint(&cpu[1]));
	write_reg(1, SVR, 0x1ff);
	ck_assert(wrmsr(1, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | ENABLE));
	ck_assert_uint_eq(read_reg(1, SVR), 0xff);
	ck_assert_uint_eq(read_reg(1, TPR), 0);
	ck_assert_int_eq(pending(1), -1);
}
END_TEST

START_TEST(x2apic_registers)
{
	enable_x2();
	ck_assert_uint_eq(lapic_mmio_base(&cpu[0]), UINT64_MAX);
	ck_assert_uint_eq(rdmsr(3, MSR_X2APIC(ID)), 3);
	ck_assert_uint_eq(rdmsr(3, MSR_X2APIC(LDR)), 1u << 3);
	ck_assert_uint_eq(rdmsr(3, MSR_X2APIC(SVR)), 0x1ff);
	cpu[3].id = 0x25;
	ck_assert_uint_eq(rdmsr(3, MSR_X2APIC(LDR)), 2u << 16 | 1u << 5);
	/* Gone: DFR, the arbitration priority, the upper half of ICR. Read-only and write-only ones fault. */
	ck_assert(rdmsr_faults(0, MSR_X2APIC(DFR)) && rdmsr_faults(0, MSR_X2APIC(0x90)) && rdmsr_faults(0, MSR_X2APIC(ICR_HIGH)));
	ck_assert(rdmsr_faults(0, MSR_X2APIC(EOI)) && rdmsr_faults(0, MSR_X2APIC_SELF_IPI) && rdmsr_faults(0, MSR_X2APIC_LAST));
	ck_assert(!wrmsr(0, MSR_X2APIC(ID), 0) && !wrmsr(0, MSR_X2APIC(VERSION), 0) && !wrmsr(0, MSR_X2APIC(LDR), 0));
	ck_assert(!wrmsr(0, MSR_X2APIC(PPR), 0) && !wrmsr(0, MSR_X2APIC(IRR), 0) && !wrmsr(0, MSR_X2APIC(CURRENT), 0));
	/* Reserved bits fault. */
	ck_assert(!wrmsr(0, MSR_X2APIC(TPR), 0x100) && !wrmsr(0, MSR_X2APIC(TPR), 1ull << 32) && wrmsr(0, MSR_X2APIC(TPR), 0xff));
	ck_assert(!wrmsr(0, MSR_X2APIC(EOI), 1) && wrmsr(0, MSR_X2APIC(EOI), 0));
	ck_assert(!wrmsr(0, MSR_X2APIC(ESR), 1) && wrmsr(0, MSR_X2APIC(ESR), 0));
	ck_assert(!wrmsr(0, MSR_X2APIC(TIMER), 0x100) && wrmsr(0, MSR_X2APIC(TIMER), TSC_DEADLINE | 0x31));
	ck_assert(!wrmsr(0, MSR_X2APIC(DIVIDE), 4) && !wrmsr(0, MSR_X2APIC(ICR), 1u << 20));
	ck_assert_uint_eq(rdmsr(0, MSR_X2APIC(TPR)), 0xff);
	/* Without x2APIC mode there are no such MSRs. */
	power_on();
	ck_assert(rdmsr_faults(0, MSR_X2APIC(ID)) && !wrmsr(0, MSR_X2APIC(TPR), 0));
}
END_TEST

START_TEST(x2apic_messages)
{
	enable_x2();
	ck_assert(wrmsr(0, MSR_X2APIC(ICR), 2ull << 32 | 0x4040));
	ck_assert_uint_eq(requested(0x40), 1u << 2);
	ck_assert_uint_eq(rdmsr(0, MSR_X2APIC(ICR)), 2ull << 32 | 0x4040);
	ck_assert(wrmsr(0, MSR_X2APIC(ICR), 0xaull << 32 | 0x4840));
	ck_assert_uint_eq(requested(0x40), 0xa);
	ck_assert(wrmsr(0, MSR_X2APIC(ICR), 0x1000aull << 32 | 0x4840));
	ck_assert_uint_eq(requested(0x40), 0);
	ck_assert(wrmsr(0, MSR_X2APIC(ICR), 0xffffffffull << 32 | 0x4040));
	ck_assert_uint_eq(requested(0x40), 0xf);
	ck_assert(wrmsr(0, MSR_X2APIC(ICR), 0xffffffffull << 32 | 0x4840));
	ck_assert_uint_eq(requested(0x40), 0xf);
	/* 255 is an ID like others. */
	ck_assert(wrmsr(0, MSR_X2APIC(ICR), 0xffull << 32 | 0x4040));
	ck_assert_uint_eq(requested(0x40), 0);
	ck_assert(wrmsr(1, MSR_X2APIC_SELF_IPI, 0x41));
	ck_assert_uint_eq(requested(0x41), 2);
	ck_assert(wrmsr(1, MSR_X2APIC_SELF_IPI, 0x01));
	ck_assert(wrmsr(1, MSR_X2APIC(ESR), 0));
	ck_assert_uint_eq(rdmsr(1, MSR_X2APIC(ESR)), 1u << 5);
	/* INIT keeps the mode. */
	ck_assert(wrmsr(0, MSR_X2APIC(ICR), 1ull << 32 | 0x4500));
	ck_assert_uint_eq(rdmsr(1, MSR_APIC_BASE), LAPIC_BASE_DEFAULT | ENABLE | EXTD);
	ck_assert_uint_eq(rdmsr(1, MSR_X2APIC(SVR)), 0xff);
	/* The IO APIC's eight bits reach the first eight processors. */
	ck_assert(fixed(0x5, LAPIC_LOGICAL, 0x42));
	ck_assert_uint_eq(requested(0x42), 0x5);
	ck_assert(fixed(0xff, LAPIC_PHYSICAL, 0x42));
	ck_assert_uint_eq(requested(0x42), 0xd);
}
END_TEST

/* Messages go by the identifier; who must look at its APIC is told by the vCPU's number. */
START_TEST(identifiers_with_gaps)
{
	enable_x2();
	for (unsigned int i = 0; i < CPUS; i++)
		cpu[i].id = 0x0e + 3 * i;			/* 0xe, 0x11, 0x14, 0x17 */
	bus.kick = 0;
	ck_assert(fixed(0x14, LAPIC_PHYSICAL, 0x40));
	ck_assert_uint_eq(bus.kick, 1u << 2);
	ck_assert_uint_eq(requested(0x40), 1u << 2);
	ck_assert(!fixed(2, LAPIC_PHYSICAL, 0x40));
	ck_assert(wrmsr(0, MSR_X2APIC(ICR), (1ull << 16 | 1u << 1 | 1u << 7) << 32 | 0x4841));
	ck_assert_uint_eq(requested(0x41), 1u << 1 | 1u << 3);
	ck_assert_uint_eq(rdmsr(3, MSR_X2APIC(ID)), 0x17);
}
END_TEST

/* The short way ends what the ordinary one would end, and leaves everything else to it. */
START_TEST(short_end_of_interrupt)
{
	enable_x2();
	cpu[1].s.wait_sipi = 0;
	ck_assert(!lapic_eoi_alone(at(1), 0, 0));
	fixed(1, LAPIC_PHYSICAL, 0x45);
	ck_assert(!lapic_eoi_alone(at(1), 0, 0));	/* requested, not in service */
	acknowledge(1);
	ck_assert(!lapic_eoi_alone(at(1), 1, 0));	/* #GP */
	ck_assert(!lapic_eoi_alone(at(1), 0, 3));	/* CR8 has changed */
	fixed(1, LAPIC_PHYSICAL, 0x23);
	ck_assert(!lapic_eoi_alone(at(1), 0, 0));	/* another one waits for it */
	ck_assert_uint_eq(requested(0x23), 2);
	cpu[1].s.nmi_pending = 1;
	ck_assert(!lapic_eoi_alone(at(1), 0, 0));
	cpu[1].s.nmi_pending = 0;
	ck_assert_uint_eq(rdmsr(1, MSR_X2APIC(ISR + 0x20)), 1u << 5);
	ck_assert(lapic_eoi_alone(at(1), 0, 0));
	ck_assert_uint_eq(rdmsr(1, MSR_X2APIC(ISR + 0x20)), 0);
	lapic_deliver(&bus, 1, LAPIC_PHYSICAL, LAPIC_FIXED, 0x71, true, LAPIC_LEVEL);
	acknowledge(1);
	ck_assert(!lapic_eoi_alone(at(1), 0, 0));	/* the IO APIC must hear of it */
	ck_assert(wrmsr(1, MSR_X2APIC(EOI), 0));
	ck_assert_uint_eq(eois, 1);
	/* Not for the page of an APIC in the older mode. */
	enable();
	cpu[1].s.wait_sipi = 0;
	fixed(1, LAPIC_PHYSICAL, 0x45);
	acknowledge(1);
	ck_assert(!lapic_eoi_alone(at(1), 0, 0));
}
END_TEST

/* So does that of a self-IPI: the vector is in service as if it had been requested and taken. */
START_TEST(short_self_ipi)
{
	enable_x2();
	cpu[1].s.wait_sipi = 0;
	ck_assert(!lapic_self_ipi_alone(at(1), 0x0f, 0));	/* an error */
	ck_assert(!lapic_self_ipi_alone(at(1), 0x145, 0));	/* #GP */
	ck_assert(!lapic_self_ipi_alone(at(1), 1ull << 32 | 0x45, 0));
	ck_assert(!lapic_self_ipi_alone(at(1), 0x45, 3));	/* CR8 has changed */
	cpu[1].s.eoi_offered = 1;
	ck_assert(!lapic_self_ipi_alone(&cpu[1], 0x45, 0));
	cpu[1].s.eoi_offered = 0;
	cpu[1].s.nmi_pending = 1;
	ck_assert(!lapic_self_ipi_alone(at(1), 0x45, 0));
	cpu[1].s.nmi_pending = 0;
	ck_assert(wrmsr(1, MSR_X2APIC(TPR), 0x40));
	ck_assert(!lapic_self_ipi_alone(at(1), 0x45, 0));	/* held back */
	ck_assert(wrmsr(1, MSR_X2APIC(TPR), 0));
	ck_assert_uint_eq(rdmsr(1, MSR_X2APIC(ISR + 0x20)), 0);
	ck_assert(lapic_self_ipi_alone(at(1), 0x45, 0));
	ck_assert_uint_eq(rdmsr(1, MSR_X2APIC(ISR + 0x20)), 1u << 5);
	ck_assert_uint_eq(requested(0x45), 0);
	ck_assert(!lapic_self_ipi_alone(at(1), 0x4f, 0));	/* of the class in service */
	ck_assert(lapic_self_ipi_alone(at(1), 0x50, 0));
	ck_assert(lapic_eoi_alone(at(1), 0, 0));
	ck_assert_uint_eq(rdmsr(1, MSR_X2APIC(ISR + 0x20)), 1u << 5);
	ck_assert(lapic_eoi_alone(at(1), 0, 0));
	fixed(1, LAPIC_PHYSICAL, 0x23);
	ck_assert(!lapic_self_ipi_alone(at(1), 0x45, 0));	/* another one waits */
	acknowledge(1);
	/* The trigger mode is to be changed. */
	lapic_deliver(&bus, 1, LAPIC_PHYSICAL, LAPIC_FIXED, 0x71, true, LAPIC_LEVEL);
	acknowledge(1);
	ck_assert(wrmsr(1, MSR_X2APIC(EOI), 0));
	ck_assert(!lapic_self_ipi_alone(at(1), 0x71, 0));
	ck_assert(lapic_self_ipi_alone(at(1), 0x72, 0));
	ck_assert(lapic_eoi_alone(at(1), 0, 0));
	/* Switched off by software, and in the older mode. */
	ck_assert(wrmsr(1, MSR_X2APIC(SVR), 0xff));
	ck_assert(!lapic_self_ipi_alone(at(1), 0x72, 0));
	enable();
	cpu[1].s.wait_sipi = 0;
	ck_assert(!lapic_self_ipi_alone(at(1), 0x45, 0));
}
END_TEST

/* The TSC is moved under a deadline that is set by it. */
START_TEST(tsc_is_moved)
{
	write_reg(0, TIMER, TSC_DEADLINE | 0x31);
	lapic_write_tsc_deadline(at(0), 10000000, 2000000, 0);	/* 4 ms at 2 GHz */
	ck_assert_uint_eq(lapic_deadline(&cpu[0]), 4000001);
	lapic_tsc_moved(at(0), 6000000, 1000000);
	ck_assert_uint_eq(lapic_deadline(&cpu[0]), 3000001);
	lapic_tsc_moved(at(0), 20000000, 1000000);
	ck_assert_uint_eq(lapic_deadline(&cpu[0]), 1000000);
	lapic_advance(&cpu[0], 1000000);
	ck_assert_int_eq(pending(0), 0x31);
	/* One that has passed, and was not looked at yet. */
	ck_assert_int_eq(acknowledge(0), 0x31);
	lapic_write(at(0), EOI, 0, 1000000);
	lapic_write_tsc_deadline(at(0), 10000000, 9000000, 1000000);
	lapic_tsc_moved(at(0), 5, 2000000);
	ck_assert_int_eq(pending(0), 0x31);
	/* Not armed, and other modes. */
	lapic_tsc_moved(at(0), 5, 1000000);
	ck_assert_uint_eq(lapic_deadline(&cpu[0]), TIME_NEVER);
	write_reg(0, TIMER, 0x31);
	lapic_write(at(0), INITIAL, 5000, 1000000);
	lapic_tsc_moved(at(0), 7, 1000000);
	ck_assert_uint_eq(lapic_deadline(&cpu[0]), 1000000 + 5000 * 2);
}
END_TEST

START_TEST(save_load_save)
{
	static struct lapic_page copied;
	struct lapic copy = cpu[1];

	write_reg(1, TIMER, PERIODIC | 0x31);
	write_reg(1, INITIAL, 1000);
	write_reg(1, ICR_HIGH, 2u << 24);
	fixed(1, LAPIC_PHYSICAL, 0x99);
	acknowledge(1);
	lapic_deliver(&bus, 1, LAPIC_PHYSICAL, LAPIC_FIXED, 0xa0, true, LAPIC_LEVEL);
	write_reg(1, TPR, 0x23);
	cpu[1].mem = &pv_gmem;
	ck_assert(lapic_write_pv_eoi(at(1), PV_EOI_PLACE | 1));
	fixed(1, LAPIC_PHYSICAL, 0xa1);		/* posted, and not taken up */
	copy.mem = &pv_gmem;
	copy.page = &copied;
	roundtrip(&lapic_state_table, 1, &cpu[1].s, &copy.s);
	roundtrip(&lapic_page_table, 1, &pages[1], &copied);

	bus.current = &copy;
	lapic_publish(&copy);
	for (unsigned int offset = 0; offset < 0x400; offset += 16)
		if (offset != 0x3f0)
			ck_assert_uint_eq(copied.reg[offset / 16].value, pages[1].reg[offset / 16].value);
	ck_assert_uint_eq(lapic_deadline(&copy), 2000);
	ck_assert_int_eq(lapic_pending(&copy), 0xa0);
	lapic_begin(&copy, 0, false);
	ck_assert_int_eq(lapic_pending(&copy), 0xa1);
	/* Every byte of the state is in the table, but for padding and what follows from IRR. */
	memset(&copy.s, 0xa5, sizeof(copy.s));
	roundtrip(&lapic_state_table, 1, &cpu[1].s, &copy.s);
	copy.s.requesting = cpu[1].s.requesting;
	ck_assert_mem_eq(&copy.s, &cpu[1].s, offsetof(struct lapic_state, sipi_vector) + 1);
}
END_TEST

static void assert_valid(void)
{
	for (unsigned int i = 0; i < CPUS; i++)
		ck_assert_ptr_null(lapic_invalid(&cpu[i], &cpu[i].s, 0));
}

/* A guest may have another processor than the first one as its bootstrap processor (SDM vol. 4, 2.1), or any number of them. */
START_TEST(other_bootstrap_processor)
{
	lapic_deliver(&bus, 1, LAPIC_PHYSICAL, LAPIC_SIPI, 0x10, true, LAPIC_EDGE);
	cpu[1].s.sipi_pending = 0;
	ck_assert(wrmsr(0, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | ENABLE));
	ck_assert(wrmsr(1, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | ENABLE | BSP));
	ck_assert_uint_eq(rdmsr(0, MSR_APIC_BASE), LAPIC_BASE_DEFAULT | ENABLE);
	ck_assert_uint_eq(rdmsr(1, MSR_APIC_BASE), LAPIC_BASE_DEFAULT | ENABLE | BSP);
	assert_valid();
	lapic_deliver(&bus, 0, LAPIC_PHYSICAL, LAPIC_INIT, 0, true, LAPIC_EDGE);
	lapic_deliver(&bus, 1, LAPIC_PHYSICAL, LAPIC_INIT, 0, true, LAPIC_EDGE);
	ck_assert_uint_eq(cpu[0].s.wait_sipi, 1);
	ck_assert_uint_eq(cpu[1].s.wait_sipi, 0);
	assert_valid();
	/* The write of one that was at it when INIT came. */
	ck_assert(wrmsr(0, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | ENABLE | BSP));
	assert_valid();
	lapic_deliver(&bus, 0, LAPIC_PHYSICAL, LAPIC_SIPI, 0x10, true, LAPIC_EDGE);
	ck_assert_uint_eq(cpu[0].s.sipi_pending, 1);
	assert_valid();
	cpu[0].s.wait_sipi = 1;
	ck_assert_str_eq(lapic_invalid(&cpu[0], &cpu[0].s, 0), "wait_sipi");
}
END_TEST

static void random_step(uint64_t *seed, uint64_t now)
{
	struct lapic *l = at(next_random(seed) % CPUS);
	uint64_t value = next_random(seed) >> next_random(seed) % 64;
	uint64_t got;

	switch (next_random(seed) % 8) {
	case 0:
		lapic_read(l, next_random(seed) % 0x1004, now);
		break;
	case 1:
	case 2:
		lapic_write(l, next_random(seed) % 0x40 * 16, value, now);
		break;
	case 3:
		lapic_read_msr(l, 0x800 + next_random(seed) % 0x100, &got, now);
		lapic_write_msr(l, 0x800 + next_random(seed) % 0x40, value, next_random(seed), now);
		break;
	case 4:
		lapic_write_msr(l, MSR_TSC_DEADLINE, value, next_random(seed), now);
		break;
	case 5:
		lapic_deliver(&bus, value % 300, value & 1, (enum lapic_delivery)(value >> 8 & 7), value >> 16,
			      value & 2, value >> 2 & 1);
		break;
	case 6:
		lapic_set_lint(l, value & 1, value & 2);
		lapic_set_tpr(l, value & 0xf0);
		break;
	default:
		if (value % 16 == 0)
			lapic_write_msr(l, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | (next_random(seed) & 0xc00), 0, now);
		lapic_advance(l, now);
		break;
	}
}

START_TEST(random_accesses)
{
	uint64_t seed = 0x4b65656c, now = 0;

	for (unsigned int step = 0; step < 50000; step++) {
		struct lapic *l;
		int vector;

		random_step(&seed, now);
		l = at(step % CPUS);
		now += next_random(&seed) >> next_random(&seed) % 64 >> 24;
		lapic_advance(l, now);
		ck_assert_uint_gt(lapic_deadline(l), now);
		ck_assert_uint_le(lapic_tpr_threshold(l), 15);
		vector = lapic_pending(l);
		ck_assert_int_lt(vector, 256);
		if (vector >= 0)
			lapic_acknowledge(l, (uint8_t)vector);
	}
}
END_TEST

SUITE("lapic", tests)
{
	tcase_add_checked_fixture(tests, enable, NULL);
	tcase_add_test(tests, power_up_state);
	tcase_add_test(tests, software_disabled);
	tcase_add_test(tests, priorities_and_nesting);
	tcase_add_test(tests, task_priority);
	tcase_add_test(tests, threshold_of_cr8);
	tcase_add_test(tests, cr8_is_brought_in);
	tcase_add_test(tests, level_eoi_is_broadcast);
	tcase_add_test(tests, physical_destinations);
	tcase_add_test(tests, flat_and_cluster_destinations);
	tcase_add_test(tests, lowest_priority);
	tcase_add_test(tests, interprocessor_interrupts);
	tcase_add_test(tests, start_of_a_processor);
	tcase_add_test(tests, errors);
	tcase_add_test(tests, one_shot_timer);
	tcase_add_test(tests, timer_divisors);
	tcase_add_test(tests, periodic_timer);
	tcase_add_test(tests, short_period_does_not_storm);
	tcase_add_test(tests, tsc_deadline_timer);
	tcase_add_test(tests, local_pins);
	tcase_add_test(tests, pins_over_init);
	tcase_add_test(tests, message_signalled);
	tcase_add_test(tests, base_transitions);
	tcase_add_test(tests, switched_off);
	tcase_add_test(tests, x2apic_registers);
	tcase_add_test(tests, x2apic_messages);
	tcase_add_test(tests, identifiers_with_gaps);
	tcase_add_test(tests, short_end_of_interrupt);
	tcase_add_test(tests, short_self_ipi);
	tcase_add_test(tests, tsc_is_moved);
	tcase_add_test(tests, save_load_save);
	tcase_add_test(tests, other_bootstrap_processor);
	tcase_add_test(tests, random_accesses);
}
