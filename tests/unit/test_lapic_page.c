/* SPDX-License-Identifier: GPL-2.0 */
/* The APIC page: what others post, the copies that a guest reads, what a processor that works with it leaves to do. */
#include <keel/macros.h>

#include "lapic_rig.h"
#include "suite.h"

#define PAGE_END 0x400u
#define SELF_IPI 0x3f0u

/* An entry of one whose processor works with the page. */
static struct lapic *processor(unsigned int i)
{
	lapic_begin(&cpu[i], 0, true);
	return &cpu[i];
}

static uint32_t *word(unsigned int i, unsigned int offset)
{
	return &pages[i].reg[offset / 16].value;
}

static bool in(unsigned int i, unsigned int offset, uint8_t vector)
{
	return *word(i, offset + vector / 32 * 16) >> vector % 32 & 1;
}

static void set(unsigned int i, unsigned int offset, uint8_t vector, bool on)
{
	uint32_t bit = 1u << vector % 32, *at_word = word(i, offset + vector / 32 * 16);

	*at_word = on ? *at_word | bit : *at_word & ~bit;
}

/* What the guest's write leaves behind. */
static void written(unsigned int i, unsigned int offset, uint32_t value)
{
	*word(i, offset) = value;
	lapic_written(processor(i), offset, 0);
}

static uint32_t told(unsigned int i)
{
	uint32_t apic = 0;

	ck_assert(lapic_tell(&cpu[i], true, &apic));
	return apic;
}

static bool silent(unsigned int i)
{
	uint32_t apic;

	return !lapic_tell(&cpu[i], true, &apic);
}

static void settle(void)
{
	for (unsigned int i = 0; i < CPUS; i++) {
		processor(i);
		told(i);
	}
	bus.kick = 0;
}

START_TEST(others_post)
{
	struct lapic_page before = pages[1];

	settle();
	write_reg(0, ICR_HIGH, 1u << 24);
	write_reg(0, ICR, 0x4041);
	ck_assert_mem_eq(&pages[1], &before, sizeof(before));
	ck_assert_uint_eq(bus.kick, 2);
	nobody();
	lapic_deliver(&bus, 1, LAPIC_PHYSICAL, LAPIC_FIXED, 0x72, true, LAPIC_LEVEL);
	lapic_deliver(&bus, 1, LAPIC_PHYSICAL, LAPIC_FIXED, 0x73, true, LAPIC_LEVEL);
	lapic_deliver(&bus, 1, LAPIC_PHYSICAL, LAPIC_FIXED, 0x73, true, LAPIC_EDGE);
	ck_assert_mem_eq(&pages[1], &before, sizeof(before));
	processor(1);
	ck_assert(in(1, IRR, 0x41) && in(1, IRR, 0x72) && in(1, IRR, 0x73));
	ck_assert(in(1, TMR, 0x72) && !in(1, TMR, 0x41) && !in(1, TMR, 0x73));
	ck_assert_uint_eq(told(1), 0x73 | KEEL_APIC_PAGE | KEEL_APIC_EOI_EXITS);
	/* The processor takes one, and it comes as an edge this time. */
	set(1, IRR, 0x72, false);
	fixed(1, LAPIC_PHYSICAL, 0x72);
	ck_assert(!in(1, IRR, 0x72) && in(1, TMR, 0x72));
	processor(1);
	ck_assert(in(1, IRR, 0x72) && !in(1, TMR, 0x72));
	ck_assert_uint_eq(told(1), 0x73 | KEEL_APIC_PAGE | KEEL_APIC_EOI_EXITS);
	processor(1);
	ck_assert(silent(1));
}
END_TEST

/* What the page requests already may be delivered before the target comes: it is posted and kicked for again. */
START_TEST(posted_again)
{
	settle();
	fixed(1, LAPIC_PHYSICAL, 0x41);
	processor(1);
	bus.kick = 0;
	fixed(1, LAPIC_PHYSICAL, 0x41);
	ck_assert_uint_eq(bus.kick, 2);
	bus.kick = 0;
	fixed(1, LAPIC_PHYSICAL, 0x41);
	ck_assert_uint_eq(bus.kick, 0);
}
END_TEST

START_TEST(own_is_direct)
{
	settle();
	write_reg(1, ICR, 0x40000 | 0x4041);
	ck_assert(in(1, IRR, 0x41));
	ck_assert_uint_eq(cpu[1].s.posted, 0);
	ck_assert_uint_eq(bus.kick, 0);
	ck_assert_uint_eq(told(1), 0x41 | KEEL_APIC_PAGE);
	/* To all: itself at once, the others when they come. */
	write_reg(1, ICR, 0x80000 | 0x4042);
	ck_assert(in(1, IRR, 0x42) && !in(0, IRR, 0x42) && !in(2, IRR, 0x42));
	ck_assert_uint_eq(bus.kick, 0xd);
	ck_assert_uint_eq(requested(0x42), 0xf);
}
END_TEST

START_TEST(init_of_another)
{
	struct lapic_page before;

	settle();
	write_reg(1, TPR, 0x30);
	write_reg(1, LDR, 0x02000000);
	set(1, ISR, 0x55, true);
	fixed(1, LAPIC_PHYSICAL, 0x41);
	before = pages[1];
	write_reg(0, ICR_HIGH, 1u << 24);
	write_reg(0, ICR, 0x4500);
	ck_assert(cpu[1].s.init_pending && cpu[1].s.wait_sipi);
	/* It is off, so nothing more can come; a request for one that is on stays. */
	ck_assert(!fixed(1, LAPIC_PHYSICAL, 0x42));
	cpu[1].s.svr = 0x1ff;
	ck_assert(fixed(1, LAPIC_PHYSICAL, 0x43));
	ck_assert_mem_eq(&pages[1], &before, sizeof(before));
	*word(1, ICR) = 0x4000;
	processor(1);
	ck_assert_uint_eq(*word(1, TPR) | *word(1, LDR) | *word(1, ICR), 0);
	ck_assert(!in(1, ISR, 0x55) && !in(1, IRR, 0x41) && !in(1, IRR, 0x42) && in(1, IRR, 0x43));
	ck_assert_uint_eq(told(1), 0x43 | KEEL_APIC_PAGE | KEEL_APIC_EOI_EXITS);
}
END_TEST

START_TEST(error_of_another)
{
	write_reg(1, LVT_ERROR, 0xe1);
	settle();
	fixed(1, LAPIC_PHYSICAL, 0x05);
	ck_assert(!in(1, IRR, 0xe1));
	processor(1);
	ck_assert(in(1, IRR, 0xe1));
	written(1, ESR, 0xffffffff);
	ck_assert_uint_eq(*word(1, ESR), 1u << 6);
}
END_TEST

START_TEST(pin_of_another)
{
	write_reg(0, LINT0, 0x8000 | 0x55);
	settle();
	nobody();
	lapic_set_lint(&cpu[0], 0, true);
	ck_assert_uint_eq(*word(0, LINT0), 0x8000 | 0x55);
	ck_assert(!in(0, IRR, 0x55));
	processor(0);
	ck_assert_uint_eq(*word(0, LINT0), 0xc000 | 0x55);
	ck_assert(in(0, IRR, 0x55) && in(0, TMR, 0x55));
	ck_assert_uint_eq(told(0), 0x55 | KEEL_APIC_PAGE | KEEL_APIC_EOI_EXITS);
	/* The processor delivers and ends it, and the pin is still high. */
	set(0, IRR, 0x55, false);
	lapic_ended(processor(0), 0x55);
	ck_assert(in(0, IRR, 0x55));
	ck_assert_uint_eq(*word(0, LINT0), 0xc000 | 0x55);
	set(0, IRR, 0x55, false);
	nobody();
	lapic_set_lint(&cpu[0], 0, false);
	lapic_ended(processor(0), 0x55);
	ck_assert(!in(0, IRR, 0x55));
	ck_assert_uint_eq(*word(0, LINT0), 0x8000 | 0x55);
	/* Not its vector: remote IRR stays. */
	lapic_set_lint(&cpu[0], 0, true);
	lapic_ended(processor(0), 0x56);
	ck_assert_uint_eq(*word(0, LINT0), 0xc000 | 0x55);
}
END_TEST

/* After a load: the copies come when the vCPU does, or at once, and the processor is told all. */
START_TEST(loaded_is_published)
{
	const uint32_t all = 0x71 | KEEL_APIC_PAGE | KEEL_APIC_EOI_EXITS;

	write_reg(1, LVT_ERROR, 0xe1);
	settle();
	memset(&pages[1], 0, sizeof(pages[1]));
	set(1, IRR, 0x71, true);
	set(1, TMR, 0x71, true);
	nobody();
	lapic_publish(&cpu[1]);
	ck_assert_uint_eq(*word(1, SVR), 0);
	processor(1);
	ck_assert_uint_eq(*word(1, SVR), 0x1ff);
	ck_assert_uint_eq(*word(1, LVT_ERROR), 0xe1);
	ck_assert_uint_eq(*word(1, ID), 1u << 24);
	ck_assert_uint_eq(told(1), all);
	lapic_publish(processor(1));
	ck_assert_uint_eq(told(1), all);
	processor(1);
	ck_assert(silent(1));
}
END_TEST

/* Even if an edge of the same vector has come up since: the IO APIC waits for it. */
START_TEST(end_is_passed_on)
{
	settle();
	lapic_deliver(&bus, 1, LAPIC_PHYSICAL, LAPIC_FIXED, 0x71, true, LAPIC_LEVEL);
	processor(1);
	ck_assert_uint_eq(told(1), 0x71 | KEEL_APIC_PAGE | KEEL_APIC_EOI_EXITS);
	set(1, IRR, 0x71, false);
	fixed(1, LAPIC_PHYSICAL, 0x71);
	lapic_ended(processor(1), 0x71);
	ck_assert_uint_eq(eois, 1);
	ck_assert_int_eq(eoi_vector, 0x71);
	ck_assert_uint_eq(told(1), 0x71 | KEEL_APIC_PAGE | KEEL_APIC_EOI_EXITS);
	/* By a write that came as an exit all the same. */
	set(1, IRR, 0x71, false);
	set(1, ISR, 0x71, true);
	set(1, ISR, 0x33, true);
	processor(1);
	lapic_write(&cpu[1], EOI, 0, 0);
	ck_assert(!in(1, ISR, 0x71));
	ck_assert_uint_eq(told(1), 0x33 << KEEL_APIC_IN_SERVICE_SHIFT | KEEL_APIC_PAGE);
	ck_assert_uint_eq(eois, 1);
}
END_TEST

START_TEST(modes_are_told)
{
	power_on();
	processor(1);
	ck_assert_uint_eq(told(1), KEEL_APIC_PAGE | KEEL_APIC_EOI_EXITS);
	ck_assert(wrmsr(1, MSR_APIC_BASE, 0xd0000000 | ENABLE));
	ck_assert_uint_eq(told(1), 0);
	ck_assert(wrmsr(1, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | ENABLE));
	ck_assert_uint_eq(told(1), KEEL_APIC_PAGE);
	write_reg(1, SVR, 0x1ff);
	fixed(1, LAPIC_PHYSICAL, 0x99);
	ck_assert(wrmsr(1, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | ENABLE | EXTD));
	ck_assert_uint_eq(told(1), 0x99 | KEEL_APIC_X2);
	/* Switched off it has nothing to deliver, whatever the page may say. */
	ck_assert(wrmsr(1, MSR_APIC_BASE, LAPIC_BASE_DEFAULT));
	set(1, IRR, 0x77, true);
	processor(1);
	ck_assert_uint_eq(told(1), KEEL_APIC_EOI_EXITS | KEEL_APIC_OFF);
	ck_assert_int_eq(lapic_pending(&cpu[1]), -1);
}
END_TEST

START_TEST(copies_of_xapic)
{
	static const struct { unsigned int offset; uint32_t value, read; } writes[] = {
		{ ID, 0xffffffff, 3u << 24 }, { VERSION, 0, 0x00060014 }, { LDR, 0xffffffff, 0xff000000 },
		{ DFR, 0, 0x0fffffff }, { ESR, 0xffffffff, 0 }, { CMCI, 0x1ffff, 0x107ff }, { ICR, 0xfff12341, 0x341 },
		{ TIMER, 0xffffffff, 0x700ff }, { TIMER + 0x10, 0x142, 0x142 }, { TIMER + 0x20, 0xffffffff, 0x107ff },
		{ LINT0, 0xffffffff, 0x1a7ff }, { LINT1, 0x400, 0x400 }, { LVT_ERROR, 0xffe1, 0xe1 },
		{ DIVIDE, 0xff, 0xb },
		{ TIMER, 0x31, 0x31 }, { INITIAL, 12345, 12345 }, { SVR, 0xffff1eff, 0x2ff },
	};

	settle();
	for (unsigned int i = 0; i < ARRAY_SIZE(writes); i++) {
		written(3, writes[i].offset, writes[i].value);
		ck_assert_uint_eq(*word(3, writes[i].offset), writes[i].read);
		ck_assert_uint_eq(lapic_read(&cpu[3], writes[i].offset, 0), writes[i].read);
	}
	/* Off by software: all entries are masked now. */
	ck_assert_uint_eq(*word(3, TIMER), MASKED | 0x31);
	ck_assert_uint_eq(*word(3, LVT_ERROR), MASKED | 0xe1);
	ck_assert_uint_eq(*word(3, CMCI), 0x107ff);
	ck_assert_uint_eq(lapic_read(&cpu[3], ICR_HIGH, 0), 0);
	for (unsigned int reg = 0; reg < PAGE_END / 16; reg++)
		ck_assert_uint_eq(pages[3].reg[reg].high, 0);
}
END_TEST

START_TEST(copies_of_x2apic)
{
	static const unsigned int offsets[] = {
		ID, VERSION, TPR, LDR, SVR, ISR, TMR, IRR, ESR, CMCI, TIMER, LINT0, LINT1, LVT_ERROR, INITIAL, DIVIDE,
	};

	enable_x2();
	ck_assert(wrmsr(2, MSR_X2APIC(LINT1), 0x400) && wrmsr(2, MSR_X2APIC(INITIAL), 77) && wrmsr(2, MSR_X2APIC(TPR), 0x21));
	ck_assert(wrmsr(2, MSR_X2APIC(ICR), 0x1234500000000ull | 0x4841));
	for (unsigned int i = 0; i < ARRAY_SIZE(offsets); i++) {
		ck_assert_uint_eq(*word(2, offsets[i]), rdmsr(2, MSR_X2APIC(offsets[i])));
		ck_assert_uint_eq(pages[2].reg[offsets[i] / 16].high, 0);
	}
	ck_assert_uint_eq(*word(2, ID), 2);
	ck_assert_uint_eq(*word(2, LDR), 4);
	ck_assert_uint_eq(*word(2, ICR), 0x4841);
	ck_assert_uint_eq(pages[2].reg[ICR / 16].high, 0x12345);
	/* Back by way of off. */
	ck_assert(wrmsr(2, MSR_APIC_BASE, LAPIC_BASE_DEFAULT));
	ck_assert(wrmsr(2, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | ENABLE));
	ck_assert_uint_eq(*word(2, ID), 2u << 24);
	ck_assert_uint_eq(*word(2, LDR) | *word(2, ICR) | pages[2].reg[ICR / 16].high | *word(2, TPR), 0);
}
END_TEST

START_TEST(command_register_is_written)
{
	settle();
	/* No exit for the upper half. */
	*word(0, ICR_HIGH) = 0x02ffffff;
	written(0, ICR, 0x4041);
	ck_assert_uint_eq(bus.kick, 4);
	ck_assert_uint_eq(requested(0x41), 4);
	ck_assert_uint_eq(*word(0, ICR), 0x4041);
	/* An interrupt to itself is the processor's to send; nothing brings the older command back. */
	*word(0, ICR) = 0x40042;
	written(0, SVR, 0xff);
	written(0, SVR, 0x1ff);
	ck_assert_uint_eq(*word(0, ICR), 0x40042);
	written(0, ICR, 0x4005);
	ck_assert_uint_eq(cpu[0].s.errors, 1u << 5);
	ck_assert_uint_eq(lapic_read(processor(0), ICR_HIGH, 0), 2u << 24);
}
END_TEST

START_TEST(timer_is_written)
{
	struct lapic *l;

	settle();
	written(0, DIVIDE, DIVIDE_BY_1);
	written(0, TIMER, PERIODIC | 0x31);
	*word(0, INITIAL) = 1000;
	lapic_written(processor(0), INITIAL, 500);
	ck_assert_uint_eq(lapic_deadline(&cpu[0]), 1500);
	l = processor(0);
	lapic_advance(l, 1500);
	ck_assert(in(0, IRR, 0x31));
	/* The old mode counts, and the count goes with it. */
	written(0, TIMER, TSC_DEADLINE | 0x31);
	ck_assert_uint_eq(lapic_deadline(&cpu[0]), TIME_NEVER);
	ck_assert_uint_eq(*word(0, INITIAL), 0);
	written(0, INITIAL, 99);
	ck_assert_uint_eq(*word(0, INITIAL), 0);
}
END_TEST

START_TEST(self_interrupt_is_written)
{
	enable_x2();
	settle();
	written(0, SELF_IPI, 0x05);
	ck_assert_uint_eq(cpu[0].s.errors, 1u << 5);
	ck_assert(silent(0));
	written(0, SELF_IPI, 0x12345643);
	ck_assert_uint_eq(told(0), 0x43 | KEEL_APIC_X2);
	/* Nothing else is written this way, and the copies stay what they are. */
	written(0, SVR, 0x0f);
	ck_assert_uint_eq(*word(0, SVR), 0x1ff);
	for (unsigned int offset = 0; offset < 2 * LAPIC_PAGE_BYTES; offset += 12)
		lapic_written(processor(0), offset, 0);
	lapic_written(processor(0), UINT32_MAX, 0);
	ck_assert_uint_eq(told(0), 0x43 | KEEL_APIC_X2);
}
END_TEST

START_TEST(tpr_is_in_the_page)
{
	settle();
	write_reg(0, TPR, 0x53);
	lapic_begin(&cpu[0], 0, true);
	ck_assert_uint_eq(lapic_tpr(&cpu[0]), 0x53);
	ck_assert_uint_eq(cpu[0].s.cr8, 5);
	*word(0, TPR) = 0xabcdef67;
	processor(0);
	ck_assert_uint_eq(lapic_tpr(&cpu[0]), 0x67);
	ck_assert_uint_eq(lapic_read(&cpu[0], TPR, 0), 0x67);
	fixed(0, LAPIC_PHYSICAL, 0x61);
	ck_assert_int_eq(lapic_pending(processor(0)), -1);
	*word(0, TPR) = 0x50;
	ck_assert_int_eq(lapic_pending(processor(0)), 0x61);
}
END_TEST

/* Requests that the processor adds (self IPIs) and takes away are seen. */
START_TEST(processor_changes_requests)
{
	settle();
	set(0, IRR, 0x41, true);
	ck_assert_int_eq(lapic_pending(processor(0)), 0x41);
	set(0, IRR, 0x41, false);
	ck_assert_int_eq(lapic_pending(processor(0)), -1);
	ck_assert(!lapic_eoi_alone(&cpu[0], 0, 0));
	set(0, IRR, 0x05, true);
	ck_assert_int_eq(lapic_pending(processor(0)), -1);
}
END_TEST

START_TEST(any_page)
{
	uint64_t seed = 0x706167, got;

	for (unsigned int step = 0; step < 20000; step++) {
		unsigned int i = next_random(&seed) % CPUS;
		uint64_t value = next_random(&seed) >> next_random(&seed) % 64;
		struct lapic *l;
		uint32_t apic = 0;

		for (unsigned int n = 0; n < 8; n++)
			*word(i, next_random(&seed) % (PAGE_END / 16) * 16) = (uint32_t)next_random(&seed);
		l = processor(i);
		switch (value >> 3 & 7) {
		case 0: lapic_written(l, value >> 6 & 0xff0, step); break;
		case 1: lapic_ended(l, (uint8_t)(value >> 6)); break;
		case 2: lapic_write(l, value >> 6 & 0x3f0, (uint32_t)next_random(&seed), step); break;
		case 3: lapic_read(l, value >> 6 & 0x3f0, step); break;
		case 4: lapic_write_msr(l, 0x800 + (value >> 6 & 0x3f), value >> 12, 0, step); break;
		case 5: lapic_read_msr(l, 0x800 + (value >> 6 & 0x3f), &got, step); break;
		case 6: lapic_write_msr(l, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | (value & 0xc00), 0, step); break;
		default:
			lapic_deliver(&bus, value >> 6 & 0xff, value & 1, (enum lapic_delivery)(value >> 14 & 1),
				      (uint8_t)(value >> 16), true, value >> 1 & 1);
			break;
		}
		ck_assert_int_lt(lapic_pending(l), 256);
		ck_assert_uint_le(lapic_tpr_threshold(l), 15);
		lapic_tell(l, true, &apic);
		ck_assert_uint_eq(apic & ~(0xffffu | KEEL_APIC_X2 | KEEL_APIC_PAGE | KEEL_APIC_EOI_EXITS |
					  KEEL_APIC_OFF), 0);
		ck_assert((apic & (KEEL_APIC_X2 | KEEL_APIC_PAGE)) != (KEEL_APIC_X2 | KEEL_APIC_PAGE));
	}
}
END_TEST

SUITE("lapic_page", tcase)
{
	tcase_add_checked_fixture(tcase, enable, NULL);
	tcase_add_test(tcase, others_post);
	tcase_add_test(tcase, posted_again);
	tcase_add_test(tcase, own_is_direct);
	tcase_add_test(tcase, init_of_another);
	tcase_add_test(tcase, error_of_another);
	tcase_add_test(tcase, pin_of_another);
	tcase_add_test(tcase, loaded_is_published);
	tcase_add_test(tcase, end_is_passed_on);
	tcase_add_test(tcase, modes_are_told);
	tcase_add_test(tcase, copies_of_xapic);
	tcase_add_test(tcase, copies_of_x2apic);
	tcase_add_test(tcase, command_register_is_written);
	tcase_add_test(tcase, timer_is_written);
	tcase_add_test(tcase, self_interrupt_is_written);
	tcase_add_test(tcase, tpr_is_in_the_page);
	tcase_add_test(tcase, processor_changes_requests);
	tcase_add_test(tcase, any_page);
}
