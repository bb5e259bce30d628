// SPDX-License-Identifier: GPL-2.0
/* PCI configuration mechanism, BARs, 440FX, PIIX3 interrupt routing, PIIX4 power management function. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "pci/i440fx.h"
#include "pci/pci.h"
#include "pci/piix3.h"
#include "pci/piix4_acpi.h"
#include "suite.h"

#define ENABLE 0x80000000u

static struct pci pci;
static struct i440fx host;
static struct piix3 isa;
static struct piix4_acpi pm;
static struct pci_function card;

static bool isa_level[PIIX3_ISA_LINES];
static unsigned int isa_changes;
static uint16_t pm_base;
static bool pm_on;
static struct { uint32_t base, bytes; bool on; unsigned int calls; } bar[PCI_BARS];

static void set_isa(void *sink, unsigned int pin, bool level)
{
	(void)sink;
	isa_level[pin] = level;
	isa_changes++;
}

static void set_pm(void *owner, uint16_t base, bool on)
{
	(void)owner;
	ck_assert(on != pm_on);
	pm_base = base;
	pm_on = on;
}

static void set_bar(void *owner, unsigned int i, uint32_t base, uint32_t bytes, bool on)
{
	(void)owner;
	ck_assert(on != bar[i].on);
	if (!on)
		ck_assert_uint_eq(base, bar[i].base);
	bar[i].base = base;
	bar[i].bytes = bytes;
	bar[i].on = on;
	bar[i].calls++;
}

static void set_up(void)
{
	static const struct pci_identity identity = {
		.vendor = 0x1234, .device = 0x5678, .revision = 9, .class = 2, .interrupt_pin = 1,
	};

	memset(&pci, 0, sizeof(pci));
	memset(&host, 0, sizeof(host));
	memset(&isa, 0, sizeof(isa));
	memset(&pm, 0, sizeof(pm));
	memset(&card, 0, sizeof(card));
	memset(bar, 0, sizeof(bar));
	memset(isa_level, 0, sizeof(isa_level));
	isa_changes = 0;
	pm_on = false;
	for (unsigned int i = 0; i < PIIX3_ISA_LINES; i++)
		isa.irq[i] = (struct line){ set_isa, NULL, i };
	pm.pm_decode = set_pm;
	card.decode = set_bar;
	pci.function[0][0] = &host.pci;
	pci.function[1][0] = &isa.pci;
	pci.function[1][3] = &pm.pci;
	pci.function[3][0] = &card;
	pci_init(&pci);
	i440fx_init(&host);
	piix3_init(&isa);
	piix4_acpi_init(&pm);
	pci_function_init(&card, &identity);
	pci_function_bar(&card, 0, 64, true);
	pci_function_bar(&card, 1, 0x10000, false);
}

static void point(unsigned int slot, unsigned int fn, unsigned int reg)
{
	pci_write(&pci, 0, 4, ENABLE | slot << 11 | fn << 8 | reg);
}

static uint32_t get(unsigned int slot, unsigned int fn, unsigned int reg, unsigned int bytes)
{
	point(slot, fn, reg & ~3u);
	return pci_read(&pci, 4 + (reg & 3), bytes);
}

static void put(unsigned int slot, unsigned int fn, unsigned int reg, unsigned int bytes, uint32_t value)
{
	point(slot, fn, reg & ~3u);
	pci_write(&pci, 4 + (reg & 3), bytes, value);
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

START_TEST(bar_sizing_and_decode)
{
	uint32_t base;

	put(3, 0, 0x10, 4, UINT32_MAX);
	ck_assert_uint_eq(get(3, 0, 0x10, 4), 0xffffffc1);
	put(3, 0, 0x14, 4, UINT32_MAX);
	ck_assert_uint_eq(get(3, 0, 0x14, 4), 0xffff0000);
	put(3, 0, 0x18, 4, UINT32_MAX);
	ck_assert_uint_eq(get(3, 0, 0x18, 4), 0);
	put(3, 0, 0x30, 4, UINT32_MAX);
	ck_assert_uint_eq(get(3, 0, 0x30, 4), 0);

	put(3, 0, 0x04, 2, 0xffff);
	ck_assert_uint_eq(get(3, 0, 0x04, 2), PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	ck_assert_uint_eq(bar[0].calls, 0);		/* beyond the port space */
	put(3, 0, 0x10, 4, 0xc040);
	ck_assert(bar[0].on);
	ck_assert_uint_eq(bar[0].base, 0xc040);
	ck_assert_uint_eq(bar[0].bytes, 64);
	put(3, 0, 0x10, 4, 0xc080);			/* moves: off, on */
	ck_assert_uint_eq(bar[0].calls, 3);
	ck_assert_uint_eq(bar[0].base, 0xc080);
	put(3, 0, 0x10, 4, 0xc080);			/* the same again: nothing */
	ck_assert_uint_eq(bar[0].calls, 3);
	put(3, 0, 0x14, 4, 0xfebf0000);
	ck_assert(pci_function_decodes(&card, 1, &base));
	ck_assert_uint_eq(base, 0xfebf0000);
	put(3, 0, 0x04, 2, PCI_COMMAND_MEMORY);
	ck_assert(!bar[0].on && bar[1].on);
	/* A reset withdraws what answered. */
	pci_function_init(&card, &(struct pci_identity){ .vendor = 1 });
	ck_assert(!bar[1].on);
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
	piix3_set_pirq(&isa, 2, true);
	ck_assert_uint_eq(isa_changes, 0);
	put(1, 0, 0x60, 4, 0x0b0b0a0a);		/* as SeaBIOS does: 10, 10, 11, 11 */
	ck_assert(isa_level[11] && !isa_level[10]);
	piix3_set_pirq(&isa, 3 + 4 * 5, true);	/* another card on another PIRQ, same ISA line */
	piix3_set_pirq(&isa, 2, false);
	ck_assert(isa_level[11]);
	ck_assert_uint_eq(isa_changes, 1);
	piix3_set_pirq(&isa, 3 + 4 * 6, true);	/* shared PIRQ: OR */
	piix3_set_pirq(&isa, 3 + 4 * 5, false);
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
	ck_assert_uint_eq(piix3_pirq_pin(1, 0) % 4, 0);
	ck_assert_uint_eq(piix3_pirq_pin(1, 3) % 4, 3);
	ck_assert_uint_eq(piix3_pirq_pin(3, 0) % 4, 2);
	ck_assert_uint_eq(piix3_pirq_pin(4, 1) % 4, 0);
	ck_assert_uint_eq(piix3_pirq_pin(0, 0) % 4, 3);
	ck_assert_uint_ne(piix3_pirq_pin(1, 0), piix3_pirq_pin(5, 0));
}
END_TEST

START_TEST(pm_block)
{
	/* SeaBIOS takes SMM for set up. */
	ck_assert_uint_eq(get(1, 3, 0x58, 4) & 1u << 25, 1u << 25);
	ck_assert_uint_eq(get(1, 3, 0x40, 4), 1);
	put(1, 3, 0x40, 4, 0xb001);
	ck_assert(!pm_on);
	put(1, 3, 0x80, 1, 1);
	ck_assert(pm_on);
	ck_assert_uint_eq(pm_base, 0xb000);
	put(1, 3, 0x40, 4, 0x1ffff);
	ck_assert_uint_eq(get(1, 3, 0x40, 4), 0xffc1);
	ck_assert_uint_eq(pm_base, 0xffc0);
	put(1, 3, 0xd2, 1, 9);
	ck_assert_uint_eq(get(1, 3, 0xd2, 1), 0);
	piix4_acpi_init(&pm);
	ck_assert(!pm_on);
}
END_TEST

START_TEST(save_load_save)
{
	uint8_t one[600], two[600];
	size_t n;

	put(3, 0, 0x04, 2, PCI_COMMAND_IO);
	put(3, 0, 0x10, 4, 0xc040);
	put(1, 0, 0x60, 4, 0x0b0b0a0a);
	piix3_set_pirq(&isa, 1, true);
	n = state_save(&pci_function_state_table, 3, &card.s, one, sizeof(one));
	ck_assert_uint_eq(n, state_size(&pci_function_state_table));
	pci_function_init(&card, &(struct pci_identity){ .vendor = 1 });
	pci_function_bar(&card, 0, 64, true);
	ck_assert_uint_eq(state_load(&pci_function_state_table, 3, &card.s, one, n), n);
	ck_assert(!bar[0].on);
	pci_function_restored(&card);
	ck_assert(bar[0].on && bar[0].base == 0xc040);
	ck_assert_uint_eq(state_save(&pci_function_state_table, 3, &card.s, two, sizeof(two)), n);
	ck_assert_mem_eq(one, two, n);

	n = state_save(&piix3_state_table, 0, &isa.s, one, sizeof(one));
	piix3_set_pirq(&isa, 1, false);
	ck_assert_uint_eq(state_load(&piix3_state_table, 0, &isa.s, one, n), n);
	isa_changes = 0;
	piix3_restored(&isa);
	ck_assert_uint_eq(isa_changes, 0);
	piix3_set_pirq(&isa, 1, false);
	ck_assert_uint_eq(isa_changes, 1);
	ck_assert(!isa_level[10]);
	ck_assert_uint_ne(state_size(&pci_state_table), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pci");
	TCase *tc = tcase_create("pci");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, address_register);
	tcase_add_test(tc, absent_is_all_ones);
	tcase_add_test(tc, identities);
	tcase_add_test(tc, widths_and_status);
	tcase_add_test(tc, bar_sizing_and_decode);
	tcase_add_test(tc, host_bridge_keeps_pam);
	tcase_add_test(tc, pirq_routing);
	tcase_add_test(tc, swizzle);
	tcase_add_test(tc, pm_block);
	tcase_add_test(tc, save_load_save);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
