/* SPDX-License-Identifier: GPL-2.0 */
/* Local APIC: interrupts that the guest ends by memory. */
#include "lapic_rig.h"
#include "suite.h"

static uint8_t pv_firmware[0x1000];
static const struct gmem pv_readonly = { .base = pv_firmware, .count = 1, .range = { { 0, sizeof(pv_firmware), true } } };

static uint32_t *pv_word(void)
{
	return (uint32_t *)(pv_memory + PV_EOI_PLACE);
}

/* An entry that takes the vector into service and goes back to the guest. */
static struct lapic *served(unsigned int i, uint8_t vector, unsigned int trigger)
{
	nobody();
	lapic_deliver(&bus, i, LAPIC_PHYSICAL, LAPIC_FIXED, vector, true, trigger);
	ck_assert_int_eq(acknowledge(i), vector);
	lapic_offer_eoi(&cpu[i]);
	return &cpu[i];
}

static bool in_service_bit(unsigned int i, uint8_t vector)
{
	return pages[i].reg[ISR / 16 + vector / 32].value >> vector % 32 & 1;
}

static void enable_pv_eoi(void)
{
	enable_x2();
	memset(pv_memory, 0, sizeof(pv_memory));
	for (unsigned int i = 0; i < CPUS; i++) {
		cpu[i].s.wait_sipi = 0;
		cpu[i].mem = &pv_gmem;
	}
	ck_assert(lapic_write_pv_eoi(at(1), PV_EOI_PLACE | 1));
}

START_TEST(end_by_memory)
{
	enable_pv_eoi();
	*pv_word() = 0xabcd0000;
	served(1, 0x45, LAPIC_EDGE);
	ck_assert_uint_eq(*pv_word(), 0xabcd0001);
	/* Another vCPU's is its own affair. */
	at(0);
	ck_assert_uint_eq(*pv_word(), 0xabcd0001);
	/* The guest has not come to its end: it keeps to the register. */
	at(1);
	ck_assert_uint_eq(*pv_word(), 0xabcd0000);
	ck_assert(in_service_bit(1, 0x45));
	at(1);
	ck_assert(in_service_bit(1, 0x45));
	/* Offered again, and taken: ended at the next entry, and once. */
	lapic_offer_eoi(&cpu[1]);
	*pv_word() &= ~1u;
	ck_assert(in_service_bit(1, 0x45));
	at(1);
	ck_assert(!in_service_bit(1, 0x45));
	/* With nothing in service there is nothing to offer. */
	lapic_offer_eoi(&cpu[1]);
	ck_assert_uint_eq(*pv_word(), 0xabcd0000);
	at(1);
	/* The register ends an interrupt that is offered, too: the bit is taken back before. */
	served(1, 0x46, LAPIC_EDGE);
	ck_assert(!lapic_eoi_alone(&cpu[1], 0, 0));
	ck_assert(wrmsr(1, MSR_X2APIC(EOI), 0));
	ck_assert(!in_service_bit(1, 0x46) && *pv_word() == 0xabcd0000);
}
END_TEST

START_TEST(end_by_memory_of_nested)
{
	enable_pv_eoi();
	served(1, 0x45, LAPIC_EDGE);
	served(1, 0x66, LAPIC_EDGE);		/* what was offered for the first is taken back, and offered for this one */
	*pv_word() = 0;
	at(1);
	ck_assert(!in_service_bit(1, 0x66) && in_service_bit(1, 0x45));
	ck_assert(wrmsr(1, MSR_X2APIC(EOI), 0));
	ck_assert(!in_service_bit(1, 0x45));
}
END_TEST

/* Something follows from its end: another request, here or posted, or the IO APIC has to know. */
START_TEST(end_by_memory_not_offered)
{
	enable_pv_eoi();
	served(1, 0x71, LAPIC_LEVEL);
	ck_assert_uint_eq(*pv_word(), 0);
	ck_assert(wrmsr(1, MSR_X2APIC(EOI), 0));
	ck_assert_uint_eq(eois, 1);
	fixed(1, LAPIC_PHYSICAL, 0x31);
	served(1, 0x72, LAPIC_EDGE);
	ck_assert_uint_eq(*pv_word(), 0);
	ck_assert(wrmsr(1, MSR_X2APIC(EOI), 0));
	ck_assert_int_eq(acknowledge(1), 0x31);
	nobody();
	lapic_deliver(&bus, 1, LAPIC_PHYSICAL, LAPIC_FIXED, 0x22, true, LAPIC_EDGE);
	lapic_offer_eoi(&cpu[1]);		/* posted and not taken up */
	ck_assert_uint_eq(*pv_word(), 0);
	ck_assert(lapic_write_pv_eoi(at(1), PV_EOI_PLACE));
	requested(0x22);
	lapic_offer_eoi(&cpu[1]);
	ck_assert_uint_eq(*pv_word(), 0);
	/* Places that are none. */
	ck_assert(!lapic_write_pv_eoi(at(1), PV_EOI_PLACE | 3));
	ck_assert(!lapic_write_pv_eoi(at(1), sizeof(pv_memory) | 1));
	ck_assert(!lapic_write_pv_eoi(at(1), ~3ull | 1));
	ck_assert_uint_eq(cpu[1].s.pv_eoi, PV_EOI_PLACE);
	cpu[1].mem = &pv_readonly;
	ck_assert(!lapic_write_pv_eoi(at(1), PV_EOI_PLACE | 1));
}
END_TEST

/* INIT takes the place away; switching the APIC off does not, but no offer outlasts the interrupt in service. */
START_TEST(end_by_memory_and_reset)
{
	enable_pv_eoi();
	served(1, 0x45, LAPIC_EDGE);
	nobody();
	lapic_deliver(&bus, 1, LAPIC_PHYSICAL, LAPIC_INIT, 0, true, LAPIC_EDGE);
	*pv_word() = 0;
	at(1);
	ck_assert_uint_eq(cpu[1].s.pv_eoi, 0);
	ck_assert_uint_eq(*pv_word(), 0);
	enable_pv_eoi();
	served(1, 0x45, LAPIC_EDGE);
	ck_assert(wrmsr(1, MSR_APIC_BASE, LAPIC_BASE_DEFAULT));
	ck_assert(wrmsr(1, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | ENABLE));
	ck_assert_uint_eq(*pv_word(), 0);
	ck_assert_uint_eq(cpu[1].s.pv_eoi, PV_EOI_PLACE | 1);
	write_reg(1, SVR, 0x1ff);
	served(1, 0x46, LAPIC_EDGE);
	ck_assert_uint_eq(*pv_word(), 1);
}
END_TEST

/*
 * Whatever comes when, a guest that ends interrupts by memory where it may, and else by the register, ends those that a guest
 * ends which has the register alone.
 */
START_TEST(end_by_memory_at_random)
{
	uint64_t seed = 0x656f69;
	unsigned int depth = 0, skipped = 0;

	enable_pv_eoi();
	for (unsigned int step = 0; step < 20000; step++) {
		uint64_t value = next_random(&seed);
		int vector;

		if (!(value & 3)) {
			nobody();
			lapic_deliver(&bus, 1, LAPIC_PHYSICAL, LAPIC_FIXED, (uint8_t)(0x20 + (value >> 8) % 0xd0), true,
				      value >> 4 & 1);
			vector = acknowledge(1);
			depth += vector >= 0;
			lapic_offer_eoi(&cpu[1]);
		} else if (depth && value & 2) {
			depth--;
			if (*pv_word() & 1) {
				*pv_word() = 0;
				skipped++;
			} else if (!lapic_eoi_alone(&cpu[1], 0, cpu[1].s.cr8)) {
				ck_assert(wrmsr(1, MSR_X2APIC(EOI), 0));
			}
			vector = acknowledge(1);
			depth += vector >= 0;
		}
		if (step % 7 == 0) {
			unsigned int count = 0;

			at(1);
			for (unsigned int n = 0; n < 256; n++)
				count += in_service_bit(1, (uint8_t)n);
			ck_assert_uint_eq(count, depth);
		}
	}
	ck_assert_uint_gt(skipped, 100);
}
END_TEST

SUITE("lapic_pv_eoi", tests)
{
	tcase_add_checked_fixture(tests, enable, NULL);
	tcase_add_test(tests, end_by_memory);
	tcase_add_test(tests, end_by_memory_of_nested);
	tcase_add_test(tests, end_by_memory_not_offered);
	tcase_add_test(tests, end_by_memory_and_reset);
	tcase_add_test(tests, end_by_memory_at_random);
}
