// SPDX-License-Identifier: GPL-2.0
/* PCI devices in the machine: their BARs beside memory and fixed registers, their messages and their lines up to the vCPUs. */
#include "pc_rig.h"

#include "pci/msi.h"
#include "suite.h"

#define SLOT		6u
#define WINDOW		0xc0100000u
#define VECTORS		4u

static struct pci_function card;
static struct msix msix;
static uint64_t written;
static unsigned int writes;

static uint64_t window_read(void *device, uint64_t offset, unsigned int bytes)
{
	(void)device;
	(void)bytes;
	return 0xd0000000 | offset;
}

static void window_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	(void)device;
	(void)offset;
	(void)bytes;
	written = value;
	writes++;
}

static const struct io_ops window_ops = { .read = window_read, .write = window_write, .widest = 4 };

static void plug(uint8_t pin)
{
	memset(&card, 0, sizeof(card));
	writes = 0;
	pci_add(&pc->pci, SLOT, 0, &card);
	pci_function_init(&card, &(struct pci_identity){ .vendor = 0x1af4, .device = 0x1005, .interrupt_pin = pin });
	pci_function_bar(&card, 0, PCI_BAR_64, 0x100000, &window_ops, NULL);
	pci_function_bar(&card, 2, PCI_BAR_IO, 64, &window_ops, NULL);
	msix_add(&card, &msix, 4, VECTORS);
	pci_put(SLOT, 0, 0x10, 4, WINDOW);
	pci_put(SLOT, 0, 0x18, 4, 0xc100);
	pci_put(SLOT, 0, 0x20, 4, WINDOW + 0x100000);
	pci_put(SLOT, 0, 0x04, 2, 7);
}

static void set_up(void)
{
	start();
	plug(1);
}

START_TEST(bars)
{
	ck_assert_uint_eq(mmio_read(0, WINDOW + 0x1234), 0xd0001234);
	mmio_write(0, WINDOW + 8, 0x87654321);
	ck_assert_uint_eq(written, 0x87654321);
	ck_assert_uint_eq(in(0xc104, 4), 0xd0000004);
	ck_assert_uint_eq(mmio_read(0, WINDOW + 0x200000), UINT32_MAX);
	/* Fixed registers are in front. */
	pci_put(SLOT, 0, 0x10, 4, PC_IOAPIC);
	mmio_write(0, PC_IOAPIC, 1);
	ck_assert_uint_eq(mmio_read(0, PC_IOAPIC + 0x10) & 0xff, 0x20);
	ck_assert_uint_eq(mmio_read(0, PC_IOAPIC + 0x2000), 0xd0002000);
	pci_put(SLOT, 0, 0x10, 4, PC_LAPIC);
	ck_assert_uint_ne(mmio_read(0, PC_LAPIC + 0x30), 0xd0000030);
	pci_put(SLOT, 0, 0x18, 4, 0xcc0);
	ck_assert_uint_eq(in(0xcfc, 4), pci_get(SLOT, 0, 0x18));
	ck_assert_uint_eq(in(0xcf0, 4), 0xd0000030);
}
END_TEST

/* Memory is in front of all: exits come for what is none, and emulation looks there first. */
START_TEST(memory_first)
{
	uint32_t value = 0x11223344;

	pci_put(SLOT, 0, 0x10, 4, 0x100000);
	memcpy(guest + 0x180000, &value, 4);
	ck_assert_uint_eq(mmio_read(0, 0x180000), value);
	mmio_write(0, 0x180000, 0x55667788);
	memcpy(&value, guest + 0x180000, 4);
	ck_assert_uint_eq(value, 0x55667788);
	ck_assert_uint_eq(writes, 0);
	/* Half of it is memory. */
	pci_put(SLOT, 0, 0x10, 4, (uint32_t)LOW_MEMORY);
	ck_assert_uint_eq(mmio_read(0, (uint32_t)LOW_MEMORY), 0xd0000000);
	mmio_write(0, (uint32_t)LOW_MEMORY - 4, 1);
	ck_assert_uint_eq(writes, 0);
}
END_TEST

/* A write to firmware is an exit, but no device's. */
START_TEST(firmware_first)
{
	uint64_t base;

	pci_put(SLOT, 0, 0x20, 4, 0xfffc0000);
	ck_assert(pci_function_decodes(&card, 4, &base));
	ck_assert_uint_eq(base, 0xfffc0000);
	memcpy(&written, guest + 0xfffc0004ull, 4);
	ck_assert_uint_eq(mmio_read(0, 0xfffc0004), (uint32_t)written);
	mmio_write(0, 0xfffc0004, 0x12345678);
	ck_assert_uint_eq(mmio_read(0, 0xfffc0004), (uint32_t)written);
	ck_assert_uint_eq(pci_bar_read(&card, 4, 4, 4), 0);
}
END_TEST

START_TEST(messages)
{
	uint32_t entry = WINDOW + 0x100000;

	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	pci_put(SLOT, 0, card.msix_capability, 4, 0x80000000);
	mmio_write(0, entry, PC_LAPIC);
	mmio_write(0, entry + 8, 0x61);
	ctx[0].regs.rflags |= IF;
	nobody();
	pci_signal(&card, 0);
	ck_assert_uint_eq(poll(0)->inject, 0);		/* masked */
	ck_assert_uint_eq(mmio_write(0, entry + 12, 0)->inject, INJECTED(0x61));
}
END_TEST

START_TEST(messages_of_an_event)
{
	uint32_t entry = WINDOW + 0x100000, value = 0;

	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	pci_put(SLOT, 0, card.msix_capability, 4, 0x80000000);
	for (unsigned int i = 0; i < 2; i++) {
		mmio_write(0, entry + 16 * i, i ? 0x3000 : PC_LAPIC);
		mmio_write(0, entry + 16 * i + 8, i ? 0xabcd1234 : 0x61);
		mmio_write(0, entry + 16 * i + 12, 0);
	}
	ctx[0].regs.rflags |= IF;
	nobody();
	pci_signal(&card, 0);
	pci_signal(&card, 1);
	ck_assert_uint_eq(event()->kick, 1);
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x61));
	/* A message that is not for local APICs is a write like any other. */
	memcpy(&value, guest + 0x3000, 4);
	ck_assert_uint_eq(value, 0xabcd1234);
}
END_TEST

/* Slot 6, INTA: PIRQB. By the 8259 pair first, then by the I/O APIC's pin of the same number. */
START_TEST(line_by_8259)
{
	pci_put(1, 0, 0x60, 4, 0x80800a80);
	pics(1 << 10 | 1 << 2);
	out(0x4d1, 0x04);
	ctx[0].regs.rflags |= IF;
	nobody();
	pci_signal(&card, 0);
	ck_assert_uint_eq(event()->kick, 1);
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x2a));
	out(0xa0, 0x20);
	ck_assert_uint_eq(out(0x20, 0x20)->inject, INJECTED(0x2a));	/* a level: again */
	pci_set_intx(&card, false);
	out(0xa0, 0x20);
	ck_assert_uint_eq(out(0x20, 0x20)->inject, 0);
}
END_TEST

START_TEST(line_by_ioapic)
{
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	pci_put(1, 0, 0x60, 4, 0x80800b80);
	redirect(11, 0x8071, 0);
	ctx[0].regs.rflags |= IF;
	nobody();
	pci_signal(&card, 0);
	event();
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x71));
	ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0xb0, 0)->inject, INJECTED(0x71));
	pci_set_intx(&card, false);
	ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0xb0, 0)->inject, 0);
}
END_TEST

SUITE("pc_pci", tc)
{
	tcase_add_checked_fixture(tc, set_up, destroy);
	tcase_add_test(tc, bars);
	tcase_add_test(tc, memory_first);
	tcase_add_test(tc, firmware_first);
	tcase_add_test(tc, messages);
	tcase_add_test(tc, messages_of_an_event);
	tcase_add_test(tc, line_by_8259);
	tcase_add_test(tc, line_by_ioapic);
}
