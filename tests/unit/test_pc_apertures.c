// SPDX-License-Identifier: GPL-2.0
/* Apertures of PCI devices in the machine: what the cell asks of the hypervisor as BARs and what is in front of them move. */
#include "pc_rig.h"

#include <keel/macros.h>

#include "suite.h"

#define SLOT		6u
#define WINDOW		0xc0100000u
#define HIGH		0x2340000000ull
#define PAGES		16u
#define BYTES		(PAGES * (uint32_t)KEEL_PAGE_SIZE)
#define OFFSET		((uint32_t)offsetof(struct test_channel, queue[0].arena))
#define PAGE		(OFFSET / (uint32_t)KEEL_PAGE_SIZE)

static struct pci_function card, other;

static uint8_t *shown(void)
{
	return (uint8_t *)channel + OFFSET;
}

static void plug(void)
{
	memset(&card, 0, sizeof(card));
	memset(&other, 0, sizeof(other));
	pci_add(&pc->pci, SLOT, 0, &card);
	pci_function_init(&card, &(struct pci_identity){ .vendor = 0x1234, .device = 0x1111 });
	pci_function_bar(&card, 0, PCI_BAR_64_PREFETCHABLE, BYTES, &aperture_io, &pc->apertures.of[2]);
	aperture_show(&pc->apertures, 2, &card.bar[0].range, OFFSET, 0);
	pci_add(&pc->pci, SLOT + 1, 0, &other);
	pci_function_init(&other, &(struct pci_identity){ .vendor = 0x1234, .device = 0x1112 });
	pci_function_bar(&other, 0, PCI_BAR_32, KEEL_PAGE_SIZE, &system_ports_post_io, &pc->system_ports);
}

static void set_up(void)
{
	start();
	plug();
	ck_assert_uint_eq(poll(0)->apertures, 0);
}

static void address(uint32_t base)
{
	pci_put(SLOT, 0, 0x10, 4, base);
}

static void decode(unsigned int slot, bool on)
{
	pci_put(slot, 0, 0x04, 2, on ? 2 : 0);
}

/* The answer at hand of this context has this and nothing else; it is not given twice. */
static void answers(unsigned int context, uint64_t gpa, uint32_t pages, uint32_t flags)
{
	const struct keel_aperture *a = &ctx[context].aperture[2];

	ck_assert_uint_eq(ctx[context].answer.apertures, 1u << 2);
	ck_assert_uint_eq(a->pages, pages);
	if (pages) {
		ck_assert_uint_eq(a->gpa, gpa);
		ck_assert_uint_eq(a->page, PAGE);
		ck_assert_uint_eq(a->flags, flags);
	}
	ck_assert_uint_eq(poll(1)->apertures | event()->apertures | poll(0)->apertures, 0);
}

static void told(uint64_t gpa, uint32_t pages)
{
	answers(0, gpa, pages, 0);
}

static void put_at_window(void)
{
	address(WINDOW);
	ck_assert_uint_eq(ctx[0].answer.apertures, 0);
	decode(SLOT, true);
	told(WINDOW, PAGES);
}

START_TEST(bar)
{
	put_at_window();
	address(WINDOW + 5 * BYTES);
	told(WINDOW + 5 * BYTES, PAGES);
	decode(SLOT, false);
	told(0, 0);
	decode(SLOT, true);
	told(WINDOW + 5 * BYTES, PAGES);
	/* Sizing. */
	address(0xffffffff);
	ck_assert_uint_eq(pci_get(SLOT, 0, 0x10), (0xffffffffu & ~(BYTES - 1)) | 0xc);
	address(WINDOW);
	ck_assert_uint_eq(ctx[0].aperture[2].gpa, WINDOW);
	pci_put(SLOT, 0, 0x14, 4, HIGH >> 32);
	told((HIGH >> 32 << 32) + WINDOW, PAGES);
	/* Beyond what guests' addresses have, and at the end of that. */
	pci_put(SLOT, 0, 0x14, 4, 0x100);
	told(0, 0);
	pci_put(SLOT, 0, 0x14, 4, 0xff);
	address(0u - BYTES);
	ck_assert_uint_eq(ctx[0].aperture[2].gpa, (1ull << 40) - BYTES);
	/* The same place again is nothing new. */
	address(0u - BYTES);
	ck_assert_uint_eq(ctx[0].answer.apertures, 0);
}
END_TEST

/* Where there is something in front of a part of it, all of it is served by the bus. */
START_TEST(covered)
{
	static const uint32_t places[] = {
		IOAPIC, HPET, APIC, (uint32_t)LOW_MEMORY - BYTES, 0xfffc0000, 0x90000, 0xf0000,
	};

	put_at_window();
	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++) {
		uint32_t base = places[i] & ~(BYTES - 1);

		address(base);
		told(0, 0);
		address(WINDOW);
		told(WINDOW, PAGES);
	}
	/* Beside them. */
	address((uint32_t)LOW_MEMORY);
	told(LOW_MEMORY, PAGES);
	address(0xa0000);
	told(0xa0000, PAGES);
	address(APIC + BYTES);
	told(APIC + BYTES, PAGES);
}
END_TEST

START_TEST(another_device_in_front)
{
	put_at_window();
	decode(SLOT + 1, true);
	ck_assert_uint_eq(ctx[0].answer.apertures, 0);
	pci_put(SLOT + 1, 0, 0x10, 4, WINDOW + BYTES);
	ck_assert_uint_eq(ctx[0].answer.apertures, 0);
	pci_put(SLOT + 1, 0, 0x10, 4, WINDOW + BYTES - 0x1000);
	told(0, 0);
	pci_put(SLOT + 1, 0, 0x10, 4, WINDOW);
	ck_assert_uint_eq(ctx[0].answer.apertures, 0);
	decode(SLOT + 1, false);
	told(WINDOW, PAGES);
}
END_TEST

/* Each processor's local APIC is in front of everything, wherever its guest puts it. */
START_TEST(local_apic_in_front)
{
	put_at_window();
	wrmsr(1, 0x1b, (WINDOW + 0x3000) | 0x800);
	answers(1, 0, 0, 0);
	wrmsr(1, 0x1b, (WINDOW + BYTES) | 0x800);
	answers(1, WINDOW, PAGES, 0);
	wrmsr(1, 0x1b, (WINDOW - 0x1000) | 0x800);
	ck_assert_uint_eq(ctx[1].answer.apertures, 0);
	/* Where it was before, nothing can be mapped all the same. */
	wrmsr(1, 0x1b, WINDOW | 0x800);
	answers(1, 0, 0, 0);
	wrmsr(1, 0x1b, APIC);
	answers(1, WINDOW, PAGES, 0);
}
END_TEST

START_TEST(served_by_the_bus)
{
	uint32_t value;

	put_at_window();
	for (unsigned int i = 0; i < BYTES; i++)
		shown()[i] = (uint8_t)(i * 5 + i / 256);
	memcpy(&value, shown() + 0x1234, 4);
	ck_assert_uint_eq(mmio_read(0, WINDOW + 0x1234), value);
	mmio_write(0, WINDOW + BYTES - 4, 0x12345678);
	memcpy(&value, shown() + BYTES - 4, 4);
	ck_assert_uint_eq(value, 0x12345678);
	bus_fill(&pc->io, WINDOW + 0x2001, 2, 3, 0xbbaa);
	ck_assert_mem_eq(shown() + 0x2001, "\xaa\xbb\xaa\xbb\xaa\xbb", 6);
	bus_write_many(&pc->io, WINDOW + 0x3000, 4, 2, (const uint8_t *)"abcdefgh");
	ck_assert_mem_eq(shown() + 0x3000, "abcdefgh", 8);
	bus_read_many(&pc->io, WINDOW + 0x2000, 1, 8, shown() + 0x3000);
	ck_assert_mem_eq(shown() + 0x3000, shown() + 0x2000, 8);
	/* Beside what it can be mapped by, likewise. */
	address(IOAPIC);
	ck_assert_uint_eq(mmio_read(0, IOAPIC + 0x3000), *(uint32_t *)(void *)(shown() + 0x3000));
}
END_TEST

START_TEST(read_only)
{
	put_at_window();
	aperture_show(&pc->apertures, 2, &card.bar[0].range, OFFSET, KEEL_APERTURE_READONLY);
	event();
	answers(EVENT, WINDOW, PAGES, KEEL_APERTURE_READONLY);
	mmio_write(0, WINDOW + 8, 0x12345678);
	bus_fill(&pc->io, WINDOW + 8, 4, 2, 0x55);
	bus_write_many(&pc->io, WINDOW + 8, 4, 2, (const uint8_t *)"abcdefgh");
	ck_assert_uint_eq(mmio_read(0, WINDOW + 8), 0);
	/* Not shown for a while, for reasons of the device's. */
	aperture_show(&pc->apertures, 2, NULL, OFFSET, 0);
	poll(0);
	told(0, 0);
	aperture_show(&pc->apertures, 2, &card.bar[0].range, OFFSET, 0);
	poll(0);
	told(WINDOW, PAGES);
}
END_TEST

/* Of the shortest way through the cell the answer before stands, but for what it has moved. */
START_TEST(end_of_interrupt)
{
	wrmsr(0, 0x1b, APIC | 0xd00);
	wrmsr(0, 0x80f, 0x1ff);
	wrmsr(0, 0x83f, 0x61);
	put_at_window();
	decode(SLOT, false);
	ck_assert_uint_eq(ctx[0].answer.apertures, 1u << 2);
	ck_assert_uint_eq(wrmsr(0, 0x80b, 0)->apertures, 0);
}
END_TEST

/* A range that is not of whole pages. */
START_TEST(small_range)
{
	pci_function_bar(&card, 2, PCI_BAR_32, 0x800, &aperture_io, &pc->apertures.of[3]);
	aperture_show(&pc->apertures, 3, &card.bar[2].range, OFFSET, 0);
	pci_put(SLOT, 0, 0x18, 4, WINDOW);
	decode(SLOT, true);
	ck_assert_uint_eq(ctx[0].answer.apertures & 1u << 3, 0);
	mmio_write(0, WINDOW + 4, 0x12345678);
	ck_assert_uint_eq(mmio_read(0, WINDOW + 4), 0x12345678);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pc_apertures");
	TCase *tc = tcase_create("pc_apertures");

	tcase_add_checked_fixture(tc, set_up, destroy);
	tcase_add_test(tc, bar);
	tcase_add_test(tc, covered);
	tcase_add_test(tc, another_device_in_front);
	tcase_add_test(tc, local_apic_in_front);
	tcase_add_test(tc, served_by_the_bus);
	tcase_add_test(tc, read_only);
	tcase_add_test(tc, end_of_interrupt);
	tcase_add_test(tc, small_range);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
