// SPDX-License-Identifier: GPL-2.0
/* PCI configuration mechanism, writability of registers, capabilities, 440FX, PIIX3 interrupt routing, PIIX4 power management. */
#include <keel/macros.h>

#include "pci_rig.h"
#include "roundtrip.h"
#include "suite.h"

static struct pci_function card;
static struct msix card_msix;
static uint32_t tags[PCI_BARS + 1];
static unsigned int reads_seen, writes_seen, vendor_capability;

static void card_reading(struct pci_function *fn, unsigned int offset, unsigned int bytes)
{
	reads_seen++;
	if (offset < vendor_capability + 20 && offset + bytes > vendor_capability + 16)
		pci_function_set(fn, vendor_capability + 16, 4, (uint32_t)pci_bar_read(fn, 1, 0x40, 4));
}

static void card_written(struct pci_function *fn, unsigned int offset, unsigned int bytes)
{
	(void)offset;
	(void)bytes;
	ck_assert_ptr_eq(fn, &card);
	writes_seen++;
}

static const struct pci_ops card_ops = { .reading = card_reading, .written = card_written };

/* All kinds of BARs and capabilities. */
static void init_card(void)
{
	static const struct pci_identity identity = {
		.vendor = 0x1234, .device = 0x5678, .revision = 9, .class = 2, .interrupt_pin = 1,
	};

	for (unsigned int i = 0; i <= PCI_ROM; i++)
		tags[i] = (i + 1) << 28;
	pci_function_init(&card, &identity);
	card.ops = &card_ops;
	pci_function_bar(&card, 0, PCI_BAR_IO, 64, &tag_ops, &tags[0]);
	pci_function_bar(&card, 1, PCI_BAR_32, 0x10000, &tag_ops, &tags[1]);
	pci_function_bar(&card, 2, PCI_BAR_64_PREFETCHABLE, 0x4000, &tag_ops, &tags[2]);
	pci_function_bar(&card, PCI_ROM, PCI_BAR_ROM, 0x800, &tag_ops, &tags[PCI_ROM]);
	vendor_capability = pci_capability_add(&card, PCI_CAPABILITY_VENDOR, 20);
	msi_add(&card, 4, MSI_64 | MSI_MASKS);
	msix_add(&card, &card_msix, 4, 3);
}

static void set_up(void)
{
	rig_start();
	memset(&card, 0, sizeof(card));
	reads_seen = writes_seen = 0;
	pci_add(&pci, 3, 0, &card);
	init_card();
}

START_TEST(address_register)
{
	pci_write(&pci, 0, 4, UINT32_MAX);
	ck_assert_uint_eq(pci_read(&pci, 0, 4), 0x80fffffc);
	/* Smaller accesses are no configuration cycles. */
	pci_write(&pci, 0, 2, 0);
	pci_write(&pci, 1, 1, 0);
	ck_assert_uint_eq(pci_read(&pci, 0, 4), 0x80fffffc);
	ck_assert_uint_eq(pci_read(&pci, 0, 2), 0xffff);
	ck_assert_uint_eq(pci_read(&pci, 3, 1), 0xff);
}
END_TEST

START_TEST(absent_is_all_ones)
{
	ck_assert_uint_eq(get(2, 0, 0, 4), UINT32_MAX);
	ck_assert_uint_eq(get(1, 2, 0, 2), 0xffff);
	pci_write(&pci, 0, 4, ENABLE | 1u << 16);		/* bus 1 */
	ck_assert_uint_eq(pci_read(&pci, 4, 4), UINT32_MAX);
	pci_write(&pci, 0, 4, 0);				/* not enabled */
	ck_assert_uint_eq(pci_read(&pci, 4, 4), UINT32_MAX);
	point(0, 0, 0);
	ck_assert_uint_eq(pci_read(&pci, 6, 4), UINT32_MAX);	/* past the data register */
	pci_write(&pci, 6, 4, 0);
	ck_assert_uint_eq(pci_function_read(&card, 0x1000, 4), UINT32_MAX);
	pci_function_write(&card, 0xfe, 4, 0);
}
END_TEST

START_TEST(identities)
{
	ck_assert_uint_eq(get(0, 0, 0x00, 4), 0x12378086);
	ck_assert_uint_eq(get(0, 0, 0x08, 4), 0x06000002);
	ck_assert_uint_eq(get(0, 0, 0x2c, 4), 0x11001af4);
	ck_assert_uint_eq(get(1, 0, 0x00, 4), 0x70008086);
	ck_assert_uint_eq(get(1, 0, 0x0e, 1), 0x80);
	ck_assert_uint_eq(get(1, 0, 0x0a, 2), 0x0601);
	ck_assert_uint_eq(get(1, 3, 0x00, 4), 0x71138086);
	ck_assert_uint_eq(get(1, 3, 0x0a, 2), 0x0680);
	put(1, 3, 0x00, 4, 0);
	ck_assert_uint_eq(get(1, 3, 0x02, 2), 0x7113);
	ck_assert_uint_eq(get(1, 3, 0x3d, 1), 1);
	pci_function_init(&card, &(struct pci_identity){ .vendor = 1, .subsystem_vendor = 0x1af4, .subsystem = 4 });
	ck_assert_uint_eq(get(3, 0, 0x2c, 4), 0x00041af4);
}
END_TEST

START_TEST(widths_and_status)
{
	put(3, 0, 0x3c, 1, 0xab);
	ck_assert_uint_eq(get(3, 0, 0x3c, 2), 0x01ab);
	pci_function_set(&card, PCI_STATUS, 2, 0xf900 | 0x0200);
	put(3, 0, 0x04, 4, 0x80000000);
	ck_assert_uint_eq(get(3, 0, 0x06, 2), 0x7b00);
	put(3, 0, 0x06, 2, 0xffff);
	ck_assert_uint_eq(get(3, 0, 0x06, 2), 0x0200);
}
END_TEST

/* Bytes that are not in the list cannot be written. */
struct writability {
	uint8_t offset, mask;
};

static const struct writability card_writability[] = {
	{ 0x04, 0x07 }, { 0x05, 0x04 },							/* I/O, memory, master; INTx disable */
	{ 0x10, 0xc0 }, { 0x11, 0xff }, { 0x12, 0xff }, { 0x13, 0xff },			/* 64 ports */
	{ 0x16, 0xff }, { 0x17, 0xff },							/* 64 KiB */
	{ 0x19, 0xc0 }, { 0x1a, 0xff }, { 0x1b, 0xff },					/* 16 KiB, 64 bits */
	{ 0x1c, 0xff }, { 0x1d, 0xff }, { 0x1e, 0xff }, { 0x1f, 0xff },
	{ 0x21, 0xf0 }, { 0x22, 0xff }, { 0x23, 0xff },					/* MSI-X's BAR */
	{ 0x30, 0x01 }, { 0x31, 0xf8 }, { 0x32, 0xff }, { 0x33, 0xff },
	{ 0x3c, 0xff },
	{ 0x56, 0x71 },									/* MSI: control */
	{ 0x58, 0xfc }, { 0x59, 0xff }, { 0x5a, 0xff }, { 0x5b, 0xff },
	{ 0x5c, 0xff }, { 0x5d, 0xff }, { 0x5e, 0xff }, { 0x5f, 0xff },
	{ 0x60, 0xff }, { 0x61, 0xff },
	{ 0x64, 0x0f },									/* masks */
	{ 0x6f, 0xc0 },									/* MSI-X: control */
};

static const struct writability host_writability[] = {
	{ 0x0d, 0xf8 },
	{ 0x59, 0x30 }, { 0x5a, 0x33 }, { 0x5b, 0x33 }, { 0x5c, 0x33 }, { 0x5d, 0x33 }, { 0x5e, 0x33 }, { 0x5f, 0x33 },
	{ 0x72, 0x78 },
};

static const struct writability isa_writability[] = {
	{ 0x4c, 0xff }, { 0x4e, 0xff }, { 0x4f, 0x01 },
	{ 0x60, 0x8f }, { 0x61, 0x8f }, { 0x62, 0x8f }, { 0x63, 0x8f },
	{ 0x69, 0xfe }, { 0x70, 0xef }, { 0x71, 0xef }, { 0x76, 0x8f }, { 0x77, 0x8f }, { 0x78, 0xff },
	{ 0xa0, 0xff }, { 0xa8, 0xff },
};

static const struct writability pm_writability[] = {
	{ 0x04, 0x01 }, { 0x3c, 0xff }, { 0x40, 0xc0 }, { 0x41, 0xff }, { 0x80, 0x01 },
};

static uint8_t expected_mask(const struct writability *list, unsigned int count, unsigned int offset)
{
	for (unsigned int i = 0; i < count; i++)
		if (list[i].offset == offset)
			return list[i].mask;
	return 0;
}

static void check_writability(unsigned int slot, unsigned int fn, const struct writability *list, unsigned int count)
{
	for (unsigned int offset = 0; offset < PCI_CONFIG_BYTES; offset++) {
		uint8_t before = (uint8_t)get(slot, fn, offset, 1), mask = expected_mask(list, count, offset);

		put(slot, fn, offset, 1, 0xff);
		ck_assert_msg(get(slot, fn, offset, 1) == (before | mask), "%u.%u, ones to %#x", slot, fn, offset);
		put(slot, fn, offset, 1, 0);
		ck_assert_msg(get(slot, fn, offset, 1) == (before & ~mask), "%u.%u, zeros to %#x", slot, fn, offset);
		put(slot, fn, offset, 1, before);
	}
}

#define CHECK_WRITABILITY(slot, fn, list)	check_writability(slot, fn, list, ARRAY_SIZE(list))

START_TEST(every_register)
{
	CHECK_WRITABILITY(3, 0, card_writability);
	CHECK_WRITABILITY(0, 0, host_writability);
	CHECK_WRITABILITY(1, 0, isa_writability);
	CHECK_WRITABILITY(1, 3, pm_writability);
}
END_TEST

START_TEST(bar_sizing_and_decode)
{
	uint64_t base;

	put(3, 0, 0x10, 4, UINT32_MAX);
	ck_assert_uint_eq(get(3, 0, 0x10, 4), 0xffffffc1);
	put(3, 0, 0x14, 4, UINT32_MAX);
	ck_assert_uint_eq(get(3, 0, 0x14, 4), 0xffff0000);
	/* Half by half. */
	put(3, 0, 0x18, 4, UINT32_MAX);
	ck_assert_uint_eq(get(3, 0, 0x18, 4), 0xffffc00c);
	ck_assert_uint_eq(get(3, 0, 0x1c, 4), 0);
	put(3, 0, 0x1c, 4, UINT32_MAX);
	ck_assert_uint_eq(get(3, 0, 0x1c, 4), UINT32_MAX);
	put(3, 0, 0x24, 4, UINT32_MAX);			/* there is none */
	ck_assert_uint_eq(get(3, 0, 0x24, 4), 0);
	put(3, 0, 0x30, 4, 0xfffff800);
	ck_assert_uint_eq(get(3, 0, 0x30, 4), 0xfffff800);

	put(3, 0, 0x04, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	for (unsigned int i = 0; i <= PCI_ROM; i++)
		ck_assert(!pci_function_decodes(&card, i, &base));	/* the top is no place */
	put(3, 0, 0x10, 2, 0xc040);
	put(3, 0, 0x12, 1, 0);
	ck_assert_uint_eq(bus_port_read(&bus, 0xc044, 4), UINT32_MAX);	/* beyond the port space */
	put(3, 0, 0x13, 1, 0);
	ck_assert_uint_eq(bus_port_read(&bus, 0xc044, 4), 0x10000004);
	put(3, 0, 0x10, 4, 0xc080);
	ck_assert_uint_eq(bus_port_read(&bus, 0xc044, 4), UINT32_MAX);
	ck_assert_uint_eq(bus_port_read(&bus, 0xc0bc, 4), 0x1000003c);
	put(3, 0, 0x14, 4, 0xfebf0000);
	ck_assert(pci_function_decodes(&card, 1, &base));
	ck_assert_uint_eq(base, 0xfebf0000);
	put(3, 0, 0x18, 4, 0xc0004000);
	ck_assert_uint_eq(bus_read(&bus, 0xffffffffc0004010, 4), 0x30000010);
	put(3, 0, 0x1c, 4, 0x12);
	ck_assert_uint_eq(bus_read(&bus, 0x12c0004010, 4), 0x30000010);
	put(3, 0, 0x1c, 4, 0);
	ck_assert_uint_eq(bus_read(&bus, 0xc0004010, 4), 0x30000010);
	/* The ROM wants its own bit, too. */
	put(3, 0, 0x30, 4, 0xd0000000);
	ck_assert_uint_eq(bus_read(&bus, 0xd0000008, 4), UINT32_MAX);
	put(3, 0, 0x30, 1, 1);
	ck_assert_uint_eq(bus_read(&bus, 0xd0000008, 4), 0x70000008);

	put(3, 0, 0x04, 2, PCI_COMMAND_MEMORY);
	ck_assert(!pci_function_decodes(&card, 0, &base) && pci_function_decodes(&card, 1, &base));
	ck_assert_uint_eq(bus_port_read(&bus, 0xc0bc, 4), UINT32_MAX);
	put(3, 0, 0x14, 4, 0);
	ck_assert(!pci_function_decodes(&card, 1, &base));
	/* A reset withdraws what answered. */
	pci_function_init(&card, &(struct pci_identity){ .vendor = 1 });
	ck_assert_uint_eq(bus_read(&bus, 0xc0004010, 4), UINT32_MAX);
	ck_assert_uint_eq(bus_read(&bus, 0xd0000008, 4), UINT32_MAX);
}
END_TEST

START_TEST(capabilities)
{
	unsigned int at = get(3, 0, 0x34, 1);

	ck_assert_uint_eq(get(3, 0, 0x06, 2) & PCI_STATUS_CAPABILITIES, PCI_STATUS_CAPABILITIES);
	ck_assert_uint_eq(at, 0x40);
	ck_assert_uint_eq(get(3, 0, at, 1), PCI_CAPABILITY_VENDOR);
	at = get(3, 0, at + 1, 1);
	ck_assert_uint_eq(at, 0x54);
	ck_assert_uint_eq(get(3, 0, at, 1), PCI_CAPABILITY_MSI);
	ck_assert_uint_eq(get(3, 0, at + 2, 2), 0x0184);
	at = get(3, 0, at + 1, 1);
	ck_assert_uint_eq(at, 0x6c);
	ck_assert_uint_eq(get(3, 0, at, 4), 0x00020011);
	ck_assert_uint_eq(get(3, 0, at + 4, 4), 4);
	ck_assert_uint_eq(get(3, 0, at + 8, 4), 0x804);

	ck_assert_uint_eq(pci_capability_add(&card, PCI_CAPABILITY_VENDOR, 0x89), 0);
	ck_assert_uint_eq(get(3, 0, at + 1, 1), 0);
	ck_assert_uint_eq(pci_capability_add(&card, PCI_CAPABILITY_VENDOR, 0x88), 0x78);
	ck_assert_uint_eq(get(3, 0, at + 1, 1), 0x78);
	ck_assert_uint_eq(pci_capability_add(&card, PCI_CAPABILITY_VENDOR, 2), 0);
	ck_assert_uint_eq(get(1, 0, 0x06, 2) & PCI_STATUS_CAPABILITIES, 0);
}
END_TEST

/* As virtio's window into the BARs in configuration space works. */
START_TEST(hooks_and_window)
{
	ck_assert_uint_eq(get(3, 0, vendor_capability + 16, 4), 0x20000040);
	ck_assert_uint_eq(get(3, 0, vendor_capability + 18, 2), 0x2000);
	ck_assert_uint_eq(reads_seen, 2);
	put(3, 0, 0x00, 4, 0);
	ck_assert_uint_eq(writes_seen, 1);
	ck_assert_uint_eq(pci_bar_read(&card, 1, 0x42, 4), UINT32_MAX);	/* not aligned */
	ck_assert_uint_eq(pci_bar_read(&card, 1, 0x40, 8), UINT64_MAX);	/* too wide */
	ck_assert_uint_eq(pci_bar_read(&card, 1, 0x10000, 4), UINT32_MAX);
	ck_assert_uint_eq(pci_bar_read(&card, 3, 0, 1), 0xff);		/* the upper half of one */
	ck_assert_uint_eq(pci_bar_read(&card, 200, 0, 1), 0xff);
	pci_bar_write(&card, 200, 0, 4, 0);
	pci_bar_write(&card, 4, 8, 4, 0x4031);
	ck_assert_uint_eq(pci_bar_read(&card, 4, 8, 8), 0x100004031);
}
END_TEST

START_TEST(host_bridge_keeps_pam)
{
	ck_assert_uint_eq(get(0, 0, 0x59, 1), 0);
	for (unsigned int reg = 0x59; reg <= 0x5f; reg++)
		put(0, 0, reg, 1, 0xff);
	ck_assert_uint_eq(get(0, 0, 0x59, 1), 0x30);
	ck_assert_uint_eq(get(0, 0, 0x5c, 4), 0x33333333);
	ck_assert_uint_eq(get(0, 0, 0x72, 1), 0x02);
	put(0, 0, 0x72, 1, 0x4a);
	ck_assert_uint_eq(get(0, 0, 0x72, 1), 0x4a);
}
END_TEST

START_TEST(pirq_routing)
{
	ck_assert_uint_eq(get(1, 0, 0x60, 4), 0x80808080);
	piix3_set_intx(&isa, 3, 0, true);		/* PIRQC */
	ck_assert_uint_eq(isa_changes, 0);
	put(1, 0, 0x60, 4, 0x0b0b0a0a);		/* as SeaBIOS does: 10, 10, 11, 11 */
	ck_assert(isa_level[11] && !isa_level[10]);
	piix3_set_intx(&isa, 4, 0, true);		/* another card on another PIRQ, same ISA line */
	piix3_set_intx(&isa, 3, 0, false);
	ck_assert(isa_level[11]);
	ck_assert_uint_eq(isa_changes, 1);
	piix3_set_intx(&isa, 8, 0, true);		/* shared PIRQ: OR */
	piix3_set_intx(&isa, 4, 0, false);
	ck_assert(isa_level[11]);
	put(1, 0, 0x63, 1, 0x05);
	ck_assert(!isa_level[11] && isa_level[5]);
	put(1, 0, 0x63, 1, 0x08);		/* reserved: nowhere */
	ck_assert(!isa_level[5] && !isa_level[8]);
	put(1, 0, 0x63, 1, 0x05);
	piix3_init(&isa);
	ck_assert(!isa_level[5]);
}
END_TEST

START_TEST(swizzle)
{
	ck_assert_uint_eq(piix3_pirq(1, 0), 0);
	ck_assert_uint_eq(piix3_pirq(1, 3), 3);
	ck_assert_uint_eq(piix3_pirq(3, 0), 2);
	ck_assert_uint_eq(piix3_pirq(4, 1), 0);
	ck_assert_uint_eq(piix3_pirq(0, 0), 3);
}
END_TEST

START_TEST(pm_block)
{
	/* SeaBIOS takes SMM for set up. */
	ck_assert_uint_eq(get(1, 3, 0x58, 4) & 1u << 25, 1u << 25);
	ck_assert_uint_eq(get(1, 3, 0x40, 4), 1);
	put(1, 3, 0x40, 4, 0xb001);
	ck_assert_uint_eq(bus_port_read(&bus, 0xb004, 4), UINT32_MAX);
	put(1, 3, 0x80, 1, 1);
	ck_assert_uint_eq(bus_port_read(&bus, 0xb004, 4), 0xa5000004);
	ck_assert_uint_eq(bus_port_read(&bus, 0xb03c, 4), 0xa500003c);
	ck_assert_uint_eq(bus_port_read(&bus, 0xb040, 4), UINT32_MAX);
	put(1, 3, 0x40, 4, 0x1ffff);
	ck_assert_uint_eq(get(1, 3, 0x40, 4), 0xffc1);
	ck_assert_uint_eq(bus_port_read(&bus, 0xb004, 4), UINT32_MAX);
	ck_assert_uint_eq(bus_port_read(&bus, 0xffc4, 4), 0xa5000004);
	put(1, 3, 0xd2, 1, 9);
	ck_assert_uint_eq(get(1, 3, 0xd2, 1), 0);
	piix4_acpi_init(&pm);
	ck_assert_uint_eq(bus_port_read(&bus, 0xffc4, 4), UINT32_MAX);
}
END_TEST

START_TEST(save_load_save)
{
	struct pci_function_state before;

	put(3, 0, 0x04, 2, PCI_COMMAND_IO);
	put(3, 0, 0x10, 4, 0xc040);
	before = card.s;
	init_card();
	roundtrip(&pci_function_state_table, 3, &before, &card.s);
	ck_assert_uint_eq(bus_port_read(&bus, 0xc048, 4), UINT32_MAX);
	pci_function_restored(&card);
	ck_assert_uint_eq(bus_port_read(&bus, 0xc048, 4), 0x10000008);

	put(1, 3, 0x40, 4, 0xb001);
	put(1, 3, 0x80, 1, 1);
	before = pm.pci.s;
	piix4_acpi_init(&pm);
	roundtrip(&pci_function_state_table, 0, &before, &pm.pci.s);
	piix4_acpi_restored(&pm);
	ck_assert_uint_eq(bus_port_read(&bus, 0xb004, 4), 0xa5000004);
	ck_assert_uint_ne(state_size(&pci_state_table), 0);
}
END_TEST

START_TEST(save_load_save_routing)
{
	struct piix3_state before;

	put(1, 0, 0x60, 4, 0x0b0b0a0a);
	piix3_set_intx(&isa, 2, 0, true);
	ck_assert(isa_level[10]);
	before = isa.s;
	piix3_set_intx(&isa, 2, 0, false);
	roundtrip(&piix3_state_table, 0, &before, &isa.s);
	isa_changes = 0;
	isa_level[10] = true;			/* by whoever is at its other end */
	piix3_restored(&isa);
	ck_assert_uint_eq(isa_changes, 0);
	piix3_set_intx(&isa, 2, 0, false);
	ck_assert_uint_eq(isa_changes, 1);
	ck_assert(!isa_level[10]);
}
END_TEST

SUITE("pci", tc)
{
	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, address_register);
	tcase_add_test(tc, absent_is_all_ones);
	tcase_add_test(tc, identities);
	tcase_add_test(tc, widths_and_status);
	tcase_add_test(tc, every_register);
	tcase_add_test(tc, bar_sizing_and_decode);
	tcase_add_test(tc, capabilities);
	tcase_add_test(tc, hooks_and_window);
	tcase_add_test(tc, host_bridge_keeps_pam);
	tcase_add_test(tc, pirq_routing);
	tcase_add_test(tc, swizzle);
	tcase_add_test(tc, pm_block);
	tcase_add_test(tc, save_load_save);
	tcase_add_test(tc, save_load_save_routing);
}
