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
		PC_IOAPIC, PC_HPET, PC_LAPIC, (uint32_t)LOW_MEMORY - BYTES, 0xfffc0000, 0x90000, 0xf0000,
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
	address(PC_LAPIC + BYTES);
	told(PC_LAPIC + BYTES, PAGES);
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
	wrmsr(1, MSR_APIC_BASE, (WINDOW + 0x3000) | APIC_BASE_ENABLE);
	answers(1, 0, 0, 0);
	wrmsr(1, MSR_APIC_BASE, (WINDOW + BYTES) | APIC_BASE_ENABLE);
	answers(1, WINDOW, PAGES, 0);
	wrmsr(1, MSR_APIC_BASE, (WINDOW - 0x1000) | APIC_BASE_ENABLE);
	ck_assert_uint_eq(ctx[1].answer.apertures, 0);
	/* Where it was before, nothing can be mapped all the same. */
	wrmsr(1, MSR_APIC_BASE, WINDOW | APIC_BASE_ENABLE);
	answers(1, 0, 0, 0);
	wrmsr(1, MSR_APIC_BASE, PC_LAPIC);
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
	address(PC_IOAPIC);
	ck_assert_uint_eq(mmio_read(0, PC_IOAPIC + 0x3000), *(uint32_t *)(void *)(shown() + 0x3000));
}
END_TEST

#define FLAT_WINDOW	(WINDOW + 0x1000)
#define PDE_PAGE	0x83u		/* present, writable, 4 MiB */
#define PDE_ACCESSED	0x20u
#define PDE_SHIFT	22
#define OPCODE_BYTES	5u

static uint32_t *shown_word(uint32_t offset)
{
	return (uint32_t *)(void *)(shown() + offset);
}

/* The processor has told where it was and no bytes: a MOV of EAX to the HPET's configuration, wherever it lies. */
static struct keel_answer *store_from(uint32_t rip, uint32_t value)
{
	ctx[0].regs.gpr[KEEL_RAX] = value;
	ctx[0].regs.rip = rip;
	mmio_record(0, 0xa3, PC_HPET + 0x10);
	memset(ctx[0].exit.insn, 0, sizeof(ctx[0].exit.insn));
	ctx[0].exit.insn_length = 0;
	return enter(0, KEEL_EXIT_MMIO);
}

static const uint8_t store[OPCODE_BYTES] = { 0xa3, (PC_HPET + 0x10) & 0xff, (PC_HPET + 0x10) >> 8 & 0xff, 0xd0, 0xfe };

static void expect_store(uint32_t rip)
{
	ck_assert_uint_eq(store_from(rip, 1)->action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(ctx[0].regs.rip, rip + OPCODE_BYTES);
	ck_assert_uint_eq(mmio_read(0, PC_HPET + 0x10) & 1, 1);
	ctx[0].regs.rip = 0x100000;
	mmio_write(0, PC_HPET + 0x10, 0);
}

/* In the middle of a page, at its end, and over the end of it. */
START_TEST(instructions)
{
	static const uint32_t offsets[] = { 0x1234, 0x2000 - OPCODE_BYTES, 0x2000 - 2 };

	put_at_window();
	memcpy(shown() + offsets[_i], store, sizeof(store));
	expect_store(WINDOW + offsets[_i]);
	/* Elsewhere, and not where it was. */
	address(WINDOW + 5 * BYTES);
	expect_store(WINDOW + 5 * BYTES + offsets[_i]);
	ck_assert_uint_eq(store_from(WINDOW + offsets[_i], 1)->action, KEEL_ACTION_END);
}
END_TEST

/* Page tables in it: the accessed bits are set there, but not where the guest cannot write. */
START_TEST(page_tables)
{
	uint32_t tables = FLAT_WINDOW, code = 0x100000, flags = _i ? KEEL_APERTURE_READONLY : 0;

	put_at_window();
	if (flags) {
		aperture_show(&pc->apertures, 2, &card.bar[0].range, OFFSET, flags);
		poll(0);
	}
	*shown_word(0x1000) = PDE_PAGE;
	*shown_word(0x1000 + 4 * (PC_HPET >> PDE_SHIFT)) = (PC_HPET >> PDE_SHIFT << PDE_SHIFT) | PDE_PAGE;
	memcpy(guest + code, store, sizeof(store));
	ctx[0].sregs.cr3 = tables;
	ctx[0].sregs.cr4 = CR4_PSE;
	ctx[0].sregs.cr0 |= CR0_PG;
	expect_store(code);
	ck_assert_uint_eq(*shown_word(0x1000) & PDE_ACCESSED, _i ? 0 : PDE_ACCESSED);
	/* The host may write there, too: what it writes is what a guest could have written. */
	*shown_word(0x1000) = 0;
	store_from(code, 1);
	ck_assert_uint_eq(ctx[0].answer.inject, KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | 14);
}
END_TEST

/* A device's DMA is to memory, and an aperture is none. */
START_TEST(no_dma)
{
	uint8_t byte = 0x5a;

	put_at_window();
	ck_assert(!gmem_write(&pc->mem, WINDOW, &byte, 1));
	ck_assert(!gmem_read(&pc->mem, WINDOW, &byte, 1));
	ck_assert_ptr_eq(gmem_at(&pc->mem, WINDOW, 1, false), NULL);
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
	wrmsr(0, MSR_APIC_BASE, PC_LAPIC | APIC_BASE_BSP | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	wrmsr(0, MSR_X2APIC(APIC_REG_SPURIOUS), SPURIOUS_ENABLE | SPURIOUS_RESET);
	wrmsr(0, MSR_X2APIC_SELF_IPI, 0x61);
	put_at_window();
	decode(SLOT, false);
	ck_assert_uint_eq(ctx[0].answer.apertures, 1u << 2);
	ck_assert_uint_eq(wrmsr(0, MSR_X2APIC_EOI, 0)->apertures, 0);
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

SUITE("pc_apertures", tc)
{
	tcase_add_checked_fixture(tc, set_up, destroy);
	tcase_add_test(tc, bar);
	tcase_add_test(tc, covered);
	tcase_add_test(tc, another_device_in_front);
	tcase_add_test(tc, local_apic_in_front);
	tcase_add_test(tc, served_by_the_bus);
	tcase_add_loop_test(tc, instructions, 0, 3);
	tcase_add_loop_test(tc, page_tables, 0, 2);
	tcase_add_test(tc, no_dma);
	tcase_add_test(tc, read_only);
	tcase_add_test(tc, end_of_interrupt);
	tcase_add_test(tc, small_range);
}
