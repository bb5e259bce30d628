/* SPDX-License-Identifier: GPL-2.0 */
/* Entries of vCPUs whose processor delivers interrupts from the APIC page (KEEL_EXIT_F_APIC). */
#include "pc_rig.h"
#include "suite.h"

#define IRR		0x200u
#define ISR		0x100u
#define TMR		0x180u
#define NOT_INJECTED	(KEEL_ANSWER_WINDOW | KEEL_ANSWER_TPR)

static uint32_t *word(unsigned int vcpu, unsigned int offset)
{
	return &apics[vcpu].reg[offset / 16].value;
}

static void set(unsigned int vcpu, unsigned int offset, uint8_t vector, bool on)
{
	uint32_t bit = 1u << vector % 32, *at = word(vcpu, offset + vector / 32 * 16);

	*at = on ? *at | bit : *at & ~bit;
}

static bool has(unsigned int vcpu, unsigned int offset, uint8_t vector)
{
	return *word(vcpu, offset + vector / 32 * 16) >> vector % 32 & 1;
}

/* What the processor does between two entries. */
static void take(unsigned int vcpu, uint8_t vector)
{
	ck_assert(has(vcpu, IRR, vector));
	set(vcpu, IRR, vector, false);
	set(vcpu, ISR, vector, true);
}

static struct keel_answer *written(unsigned int vcpu, unsigned int offset, uint32_t value)
{
	*word(vcpu, offset) = value;
	ctx[vcpu].exit.apic = offset;
	return enter(vcpu, KEEL_EXIT_APIC_WRITE);
}

/* The guest's EOI: the processor has done its part. */
static struct keel_answer *ended(unsigned int vcpu, uint8_t vector)
{
	set(vcpu, ISR, vector, false);
	ctx[vcpu].exit.apic = vector;
	return enter(vcpu, KEEL_EXIT_EOI);
}

static void start_apic(void)
{
	make();
	for (unsigned int i = 0; i < VCPUS; i++) {
		ctx[i].exit.flags = KEEL_EXIT_F_APIC;
		flat(i);
	}
	event();
	poll(0);
	flat(0);
	written(0, 0xf0, 0x1ff);
}

/* All but vCPU 0 are started as firmware does it. */
static void start_others(void)
{
	written(0, 0x300, 0xc4500);
	written(0, 0x300, 0xc4610);
	for (unsigned int i = 1; i < VCPUS; i++) {
		ck_assert_uint_eq(poll(i)->action, KEEL_ACTION_RESUME);
		flat(i);
		written(i, 0xf0, 0x1ff);
	}
}

START_TEST(first_answers_tell)
{
	make();
	event();
	ck_assert_uint_eq(*word(0, 0xf0), 0);	/* not by the event context */
	for (unsigned int i = 0; i < VCPUS; i++) {
		ctx[i].exit.flags = KEEL_EXIT_F_APIC;
		ck_assert(poll(i)->flags & KEEL_ANSWER_APIC);
		ck_assert_uint_eq(ctx[i].answer.apic, KEEL_APIC_PAGE | KEEL_APIC_EOI_EXITS);
		ck_assert_uint_eq(*word(i, 0x20), i << 24);
		ck_assert_uint_eq(*word(i, 0xf0), 0xff);
	}
	ck_assert_uint_eq(poll(0)->flags, 0);
	wrmsr(0, MSR_APIC_BASE, PC_LAPIC | APIC_BASE_BSP | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	ck_assert_uint_eq(ctx[0].answer.flags, KEEL_ANSWER_RIP | KEEL_ANSWER_APIC);
	ck_assert_uint_eq(ctx[0].answer.apic, KEEL_APIC_X2);
	/* For a vCPU of a processor that cannot do this the mode is told alone. */
	ctx[1].exit.flags = 0;
	wrmsr(1, MSR_APIC_BASE, PC_LAPIC | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	ck_assert(ctx[1].answer.flags & KEEL_ANSWER_APIC && !(ctx[1].answer.apic & KEEL_APIC_OFF));
	wrmsr(1, MSR_X2APIC_SELF_IPI, 0x41);
	ck_assert(!(ctx[1].answer.flags & KEEL_ANSWER_APIC));
	wrmsr(1, MSR_APIC_BASE, PC_LAPIC);
	ck_assert(ctx[1].answer.flags & KEEL_ANSWER_APIC && ctx[1].answer.apic & KEEL_APIC_OFF);
	ck_assert(!(poll(1)->flags & KEEL_ANSWER_APIC));
	wrmsr(1, MSR_APIC_BASE, PC_LAPIC | APIC_BASE_ENABLE);
	ck_assert(ctx[1].answer.flags & KEEL_ANSWER_APIC && !(ctx[1].answer.apic & KEEL_APIC_OFF));
}
END_TEST

START_TEST(requested_not_injected)
{
	struct keel_answer *answer;

	start_others();
	*word(0, 0x310) = 2u << 24;
	ck_assert_uint_eq(written(0, 0x300, 0x4051)->kick, 1 << 2);
	ck_assert(!has(2, IRR, 0x51));
	ctx[2].exit.tpr = 6;			/* counts for nothing */
	ctx[2].regs.rflags |= IF;
	answer = poll(2);
	ck_assert_uint_eq(answer->inject, 0);
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_APIC);
	ck_assert_uint_eq(answer->tpr_threshold, 0);
	ck_assert_uint_eq(answer->apic, 0x51 | KEEL_APIC_PAGE);
	ck_assert(has(2, IRR, 0x51));
	/* Held back by TPR, or by IF: the processor sees to it. */
	*word(2, 0x80) = 0x63;
	ctx[2].regs.rflags &= ~(uint64_t)IF;
	ck_assert_uint_eq(poll(2)->flags, 0);
	ck_assert_uint_eq(ctx[2].answer.tpr_threshold, 0);
	ck_assert_uint_eq(mmio_read(2, PC_LAPIC + 0x80), 0x63);
	ck_assert(!(ctx[2].answer.flags & NOT_INJECTED));
	/* The lower half of TPR stays whatever CR8 is said to be. */
	ctx[2].exit.tpr = 0;
	ck_assert_uint_eq(mmio_read(2, PC_LAPIC + 0x80), 0x63);
}
END_TEST

START_TEST(halted_is_woken)
{
	start_others();
	ctx[1].regs.rflags |= IF;
	*word(1, 0x80) = 0x50;
	ck_assert_uint_eq(enter(1, KEEL_EXIT_HLT)->action, KEEL_ACTION_WAIT);
	*word(0, 0x310) = 1u << 24;
	written(0, 0x300, 0x4041);
	ck_assert_uint_eq(poll(1)->action, KEEL_ACTION_WAIT);	/* too low */
	ck_assert_uint_eq(ctx[1].answer.apic, 0x41 | KEEL_APIC_PAGE);
	written(0, 0x300, 0x4061);
	ctx[1].regs.rflags &= ~(uint64_t)IF;
	ck_assert_uint_eq(poll(1)->action, KEEL_ACTION_WAIT);
	ck_assert_uint_eq(ctx[1].answer.apic, 0x61 | KEEL_APIC_PAGE);
	ctx[1].regs.rflags |= IF;
	ck_assert_uint_eq(poll(1)->action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(ctx[1].answer.inject, 0);
	ck_assert(has(1, IRR, 0x61));
	/* HLT with a request that the processor is about to deliver does not sleep. */
	ck_assert_uint_eq(enter(1, KEEL_EXIT_HLT)->action, KEEL_ACTION_RESUME);
	take(1, 0x61);
	ck_assert_uint_eq(enter(1, KEEL_EXIT_HLT)->action, KEEL_ACTION_WAIT);
}
END_TEST

START_TEST(level_through_ioapic)
{
	struct keel_answer *answer;

	out(0x4d1, 0x08);	/* line 11, which the PCI bridge gets */
	redirect(11, 0x8045, 0);
	ioapic_set_pin(&pc->ioapic, 11, true);	/* by nobody's entry or another's */
	ck_assert(has(0, IRR, 0x45) || pc->vcpu[0].lapic.s.posted);
	answer = poll(0);
	ck_assert(answer->flags & KEEL_ANSWER_APIC);
	ck_assert_uint_eq(answer->apic, 0x45 | KEEL_APIC_PAGE | KEEL_APIC_EOI_EXITS);
	ck_assert(has(0, TMR, 0x45));
	take(0, 0x45);
	ck_assert_uint_eq(poll(0)->flags, 0);
	/* Still asserted: it comes again. */
	answer = ended(0, 0x45);
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_APIC);
	ck_assert_uint_eq(answer->apic, 0x45 | KEEL_APIC_PAGE);
	take(0, 0x45);
	ioapic_set_pin(&pc->ioapic, 11, false);
	ck_assert_uint_eq(ended(0, 0x45)->flags, 0);
	ck_assert(!has(0, IRR, 0x45));
	mmio_write(0, PC_IOAPIC, 0x10 + 2 * 11);
	ck_assert_uint_eq(mmio_read(0, PC_IOAPIC + 0x10), 0x8045);
	/* More than a vector in the record is not looked at. */
	ctx[0].exit.apic = 0xffffff45;
	enter(0, KEEL_EXIT_EOI);
}
END_TEST

/* Lines whose interrupt is vCPU 0's rise in entries that are not: vCPU 0's processor may be at work on its page. */
static void assert_posted(const struct lapic_page *before, const struct keel_answer *answer, uint8_t vector)
{
	ck_assert_mem_eq(&apics[0], before, sizeof(*before));
	ck_assert_uint_eq(answer->kick & 1, 1);
	poll(0);
	ck_assert(has(0, IRR, vector));
}

START_TEST(event_leaves_pages_alone)
{
	struct lapic_page before;

	redirect(4, 0x45, 0);
	out(0x3fb, 3);
	out(0x3f9, 1);
	out(0x3fc, 0x0b);
	poll(0);
	before = apics[0];
	type_in("x");
	event();
	assert_posted(&before, &ctx[EVENT].answer, 0x45);
}
END_TEST

START_TEST(timer_leaves_pages_alone)
{
	struct lapic_page before;

	start_others();
	pit_rate(1193);
	redirect(2, 0x45, 0);
	poll(0);
	before = apics[0];
	tsc += 2100000;
	poll(1);
	assert_posted(&before, &ctx[1].answer, 0x45);
	ck_assert(!has(1, IRR, 0x45));
}
END_TEST

START_TEST(eoi_as_an_exit)
{
	struct keel_answer *answer;

	wrmsr(0, MSR_APIC_BASE, PC_LAPIC | APIC_BASE_BSP | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	wrmsr(0, MSR_X2APIC_SELF_IPI, 0x51);
	ck_assert_uint_eq(ctx[0].answer.apic, 0x51 | KEEL_APIC_X2);
	take(0, 0x51);
	set(0, ISR, 0x41, true);
	poll(0);
	answer = wrmsr(0, MSR_X2APIC_EOI, 0);
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_RIP | KEEL_ANSWER_APIC);
	ck_assert_uint_eq(answer->apic, 0x41 << KEEL_APIC_IN_SERVICE_SHIFT | KEEL_APIC_X2);
	ck_assert(!has(0, ISR, 0x51));
}
END_TEST

START_TEST(extint_is_injected)
{
	struct keel_answer *answer;

	pics(1);
	pit_rate(1193);
	tsc += 2100000;
	/* In spite of a request of the local APIC's. */
	written(0, 0x300, 0x00040051);
	answer = poll(0);
	ck_assert_uint_eq(answer->inject, 0);
	ck_assert_uint_eq(answer->flags & ~KEEL_ANSWER_APIC, KEEL_ANSWER_WINDOW);
	ctx[0].regs.rflags |= IF;
	answer = enter(0, KEEL_EXIT_WINDOW);
	ck_assert_uint_eq(answer->inject, INJECTED(0x20));
	ck_assert_uint_eq(answer->flags & KEEL_ANSWER_WINDOW, 0);
	ck_assert(has(0, IRR, 0x51) && !has(0, ISR, 0x20));
	take(0, 0x51);
	ck_assert_uint_eq(poll(0)->inject, 0);
	/* It wakes as well. */
	out(0x20, 0x20);
	ck_assert_uint_eq(enter(0, KEEL_EXIT_HLT)->action, KEEL_ACTION_WAIT);
	tsc += 2100000;
	answer = poll(0);
	ck_assert_uint_eq(answer->action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(answer->inject, INJECTED(0x20));
}
END_TEST

START_TEST(disabled_delivers_nothing)
{
	written(0, 0x300, 0x00040051);
	wrmsr(0, MSR_APIC_BASE, PC_LAPIC | APIC_BASE_BSP);
	ck_assert_uint_eq(ctx[0].answer.flags, KEEL_ANSWER_RIP | KEEL_ANSWER_APIC);
	ck_assert_uint_eq(ctx[0].answer.apic, KEEL_APIC_EOI_EXITS | KEEL_APIC_OFF);
	set(0, IRR, 0x52, true);
	ctx[0].regs.rflags |= IF;
	ck_assert_uint_eq(enter(0, KEEL_EXIT_HLT)->action, KEEL_ACTION_WAIT);
	wrmsr(0, MSR_APIC_BASE, PC_LAPIC | APIC_BASE_BSP | APIC_BASE_ENABLE);
	ck_assert_uint_eq(ctx[0].answer.apic & (KEEL_APIC_PAGE | KEEL_APIC_X2), KEEL_APIC_PAGE);
}
END_TEST

START_TEST(init_and_start)
{
	struct keel_answer *answer;

	start_others();
	written(1, 0x80, 0x33);
	set(1, ISR, 0x51, true);
	*word(0, 0x310) = 1u << 24;
	written(0, 0x300, 0x4041);
	written(0, 0x300, 0x4500);
	ck_assert(has(1, ISR, 0x51) && *word(1, 0x80) == 0x33);
	/* It was about to send an IPI to all; that is lost, and no error. */
	answer = written(1, 0x300, 0x84061);
	ck_assert_uint_eq(answer->action, KEEL_ACTION_WAIT);
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_APIC);
	ck_assert_uint_eq(answer->apic, KEEL_APIC_PAGE | KEEL_APIC_EOI_EXITS);
	ck_assert_uint_eq(answer->kick, 0);
	ck_assert(!has(1, ISR, 0x51) && !has(1, IRR, 0x41) && *word(1, 0x80) == 0 && *word(1, 0xf0) == 0xff);
	written(0, 0x300, 0x4610);
	ck_assert_uint_eq(poll(1)->flags, KEEL_ANSWER_SREGS);
	ck_assert_uint_eq(ctx[1].sregs.seg[KEEL_SEG_CS].base, 0x10000);
	/* To itself: all at once. */
	written(0, 0x310, 0);
	*word(0, 0x80) = 0x40;
	answer = written(0, 0x300, 0x4500);
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_SREGS | KEEL_ANSWER_APIC);
	ck_assert_uint_eq(*word(0, 0x80), 0);
}
END_TEST

START_TEST(start_with_nmi)
{
	start_others();
	*word(0, 0x310) = 1u << 24;
	written(0, 0x300, 0x4500);
	written(0, 0x300, 0x4610);
	written(0, 0x300, 0x4400);
	ck_assert_uint_eq(poll(1)->flags, KEEL_ANSWER_SREGS | KEEL_ANSWER_NMI | KEEL_ANSWER_APIC);
	ck_assert_uint_eq(poll(1)->flags, 0);
}
END_TEST

/* An end of interrupt that came before INIT reaches the IO APIC. */
START_TEST(init_after_the_end)
{
	start_others();
	out(0x4d1, 0x08);
	redirect(11, 0x8045, 1u << 24);
	nobody();
	ioapic_set_pin(&pc->ioapic, 11, true);
	poll(1);
	take(1, 0x45);
	nobody();
	ioapic_set_pin(&pc->ioapic, 11, false);
	*word(0, 0x310) = 1u << 24;
	written(0, 0x300, 0x4500);
	ck_assert_uint_eq(ended(1, 0x45)->action, KEEL_ACTION_WAIT);
	mmio_write(0, PC_IOAPIC, 0x10 + 2 * 11);
	ck_assert_uint_eq(mmio_read(0, PC_IOAPIC + 0x10), 0x8045);
}
END_TEST

START_TEST(instruction_is_done)
{
	uint64_t rip = ctx[0].regs.rip;

	ck_assert_uint_eq(written(0, 0x350, 0x700)->flags, 0);
	ck_assert_uint_eq(ended(0, 0x31)->flags, 0);
	ck_assert_uint_eq(ctx[0].regs.rip, rip);
	ck_assert_uint_eq(written(0, 0x330, 0xffffffff)->flags, 0);
	ck_assert_uint_eq(*word(0, 0x330), 0x107ff);
	ck_assert_uint_eq(mmio_read(0, PC_LAPIC + 0x330), 0x107ff);
}
END_TEST

SUITE_OF_CASES("pc_apic", suite)
{
	TCase *made = add_case(suite, "made"), *started = add_case(suite, "started");

	tcase_add_checked_fixture(made, NULL, destroy);
	tcase_add_test(made, first_answers_tell);
	tcase_add_checked_fixture(started, start_apic, destroy);
	tcase_add_test(started, requested_not_injected);
	tcase_add_test(started, halted_is_woken);
	tcase_add_test(started, level_through_ioapic);
	tcase_add_test(started, event_leaves_pages_alone);
	tcase_add_test(started, timer_leaves_pages_alone);
	tcase_add_test(started, eoi_as_an_exit);
	tcase_add_test(started, extint_is_injected);
	tcase_add_test(started, disabled_delivers_nothing);
	tcase_add_test(started, init_and_start);
	tcase_add_test(started, start_with_nmi);
	tcase_add_test(started, init_after_the_end);
	tcase_add_test(started, instruction_is_done);
}
