// SPDX-License-Identifier: GPL-2.0
/* MSI, MSI-X and INTx of PCI functions: masks, what is pending, and who gets a signal. Random guests against models. */
#include "pci_rig.h"
#include "roundtrip.h"
#include "suite.h"

#define SLOT		5u
#define MSIX_BAR	1u
#define MSIX_BASE	0xc0010000ull
#define VECTORS		MSIX_MOST
#define LAST		(VECTORS - 1)
#define FEE		0xfee00000u

static struct pci_function fn;
static struct msix msix;

static void start(void)
{
	static const struct pci_identity identity = { .vendor = 0x1af4, .device = 0x1005, .interrupt_pin = 1 };

	rig_start();
	memset(&fn, 0, sizeof(fn));
	pci_add(&pci, SLOT, 0, &fn);
	pci_function_init(&fn, &identity);
	put(1, 0, 0x60, 4, 0x0b0b0a0a);			/* slot 5, INTA: PIRQA, ISA line 10 */
}

static void start_msix(void)
{
	start();
	msix_add(&fn, &msix, MSIX_BAR, VECTORS);
	put(SLOT, 0, PCI_BAR0 + 4 * MSIX_BAR, 4, (uint32_t)MSIX_BASE);
	put(SLOT, 0, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void control(uint16_t value)
{
	put(SLOT, 0, fn.msix_capability + 2u, 2, value);
}

static void put_entry(unsigned int vector, uint64_t address, uint32_t data, uint32_t vector_control)
{
	bus_write(&bus, MSIX_BASE + 16 * vector, 8, address);
	bus_write(&bus, MSIX_BASE + 16 * vector + 8, 8, data | (uint64_t)vector_control << 32);
}

static uint64_t pending_bits(unsigned int quad)
{
	return bus_read(&bus, MSIX_BASE + MSIX_PBA + 8 * quad, 8);
}

START_TEST(table_of_msix)
{
	ck_assert_uint_eq(get(SLOT, 0, fn.msix_capability + 2u, 2), VECTORS - 1);
	for (unsigned int i = 0; i < VECTORS; i++) {
		ck_assert_uint_eq(bus_read(&bus, MSIX_BASE + 16 * i, 8), 0);
		ck_assert_uint_eq(bus_read(&bus, MSIX_BASE + 16 * i + 8, 8), 1ull << 32);	/* masked */
	}
	put_entry(3, UINT64_MAX, UINT32_MAX, UINT32_MAX);
	ck_assert_uint_eq(bus_read(&bus, MSIX_BASE + 48, 8), 0xfffffffffffffffcull);
	ck_assert_uint_eq(bus_read(&bus, MSIX_BASE + 56, 8), 0x1ffffffffull);
	bus_write(&bus, MSIX_BASE + 56, 4, 0x12345678);
	ck_assert_uint_eq(bus_read(&bus, MSIX_BASE + 56, 4), 0x12345678);
	/* Narrow writes do nothing, narrow reads get their part. */
	bus_write(&bus, MSIX_BASE + 56, 1, 0);
	bus_write(&bus, MSIX_BASE + 58, 2, 0);
	ck_assert_uint_eq(bus_read(&bus, MSIX_BASE + 57, 1), 0x56);
	ck_assert_uint_eq(bus_read(&bus, MSIX_BASE + 58, 2), 0x1234);
	/* Behind the table, and pending bits, cannot be written. */
	bus_write(&bus, MSIX_BASE + 16 * VECTORS, 8, UINT64_MAX);
	bus_write(&bus, MSIX_BASE + MSIX_PBA, 8, UINT64_MAX);
	ck_assert_uint_eq(bus_read(&bus, MSIX_BASE + 16 * VECTORS, 8), 0);
	for (unsigned int i = 0; i < (MSIX_BAR_BYTES - MSIX_PBA) / 8; i++)
		ck_assert_uint_eq(pending_bits(i), 0);
}
END_TEST

START_TEST(masks_of_msix)
{
	pci_signal(&fn, 2);
	ck_assert(isa_level[10]);			/* not enabled: INTx */
	pci_set_intx(&fn, false);
	ck_assert(!isa_level[10]);
	control(0x8000);
	put_entry(2, FEE | 0x3000, 0x41, 0);
	put_entry(LAST, 0x123456789cull, 0xabcdef01, 0);
	pci_signal(&fn, 2);
	pci_signal(&fn, LAST);
	ck_assert_uint_eq(messages, 2);
	ck_assert_uint_eq(message[0].address, FEE | 0x3000);
	ck_assert_uint_eq(message[0].data, 0x41);
	ck_assert_uint_eq(message[1].address, 0x123456789cull);
	ck_assert_uint_eq(message[1].data, 0xabcdef01);
	pci_signal(&fn, VECTORS);			/* no such vector, as virtio's "no vector" */
	pci_signal(&fn, 0xffff);
	ck_assert_uint_eq(messages, 2);

	put_entry(LAST, FEE, 0x51, 1);
	pci_signal(&fn, LAST);
	pci_signal(&fn, LAST);
	ck_assert_uint_eq(messages, 2);
	ck_assert_uint_eq(pending_bits(LAST / 64), 1ull << LAST % 64);
	control(0xc000);
	bus_write(&bus, MSIX_BASE + 16 * LAST + 12, 4, 0);
	ck_assert_uint_eq(messages, 2);			/* the function's mask */
	control(0x8000);
	ck_assert_uint_eq(messages, 3);			/* once */
	ck_assert_uint_eq(message[2].data, 0x51);
	ck_assert_uint_eq(pending_bits(1), 0);

	put(SLOT, 0, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	pci_signal(&fn, 2);
	ck_assert_uint_eq(messages, 3);
	put(SLOT, 0, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	ck_assert_uint_eq(messages, 4);
	ck_assert_uint_eq(message[3].data, 0x41);

	control(0xc000);
	pci_signal(&fn, 2);
	pci_retract(&fn);
	control(0x8000);
	ck_assert_uint_eq(messages, 4);
	ck_assert(!isa_level[10]);
}
END_TEST

struct msix_model {
	bool enabled, function_mask, master, pending[VECTORS], masked[VECTORS];
	unsigned int sent;
};

static void model_send(struct msix_model *m, unsigned int vector)
{
	ck_assert_uint_lt(m->sent, messages);
	ck_assert_uint_eq(message[m->sent].address, FEE | vector << 12);
	ck_assert_uint_eq(message[m->sent].data, vector);
	m->sent++;
}

static void model_flush(struct msix_model *m)
{
	for (unsigned int i = 0; i < VECTORS; i++) {
		if (!m->pending[i] || m->masked[i] || !m->enabled || m->function_mask || !m->master)
			continue;
		m->pending[i] = false;
		model_send(m, i);
	}
}

static void compare_pending(const struct msix_model *m)
{
	for (unsigned int i = 0; i < VECTORS; i++)
		ck_assert_uint_eq(pending_bits(i / 64) >> (i % 64) & 1, m->pending[i]);
}

static void step_msix(struct msix_model *m, uint64_t *seed)
{
	unsigned int vector = next_random(seed) % VECTORS;

	switch (next_random(seed) % 8) {
	case 0:
		m->enabled = next_random(seed) % 4 != 0;
		m->function_mask = next_random(seed) % 2;
		control((uint16_t)((m->enabled ? 0x8000 : 0) | (m->function_mask ? 0x4000 : 0)));
		break;
	case 1:
		m->master = next_random(seed) % 4 != 0;
		put(SLOT, 0, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | (m->master ? PCI_COMMAND_MASTER : 0));
		break;
	case 2:
	case 3:
		m->masked[vector] = next_random(seed) % 2;
		put_entry(vector, FEE | vector << 12, vector, m->masked[vector]);
		break;
	case 4:
		m->masked[vector] = next_random(seed) % 2;
		put_entry(vector, FEE | vector << 12, vector, 1);
		bus_write(&bus, MSIX_BASE + 16 * vector + 12, 4, m->masked[vector]);
		break;
	default:
		if (m->enabled)
			m->pending[vector] = true;
		pci_signal(&fn, vector);
		pci_set_intx(&fn, false);
		break;
	}
	model_flush(m);
}

/* Now and then the device goes on in another machine. */
static void move_msix(void)
{
	struct pci_function_state function = fn.s;
	struct msix_state vectors = msix.s;

	start_msix();
	fn.s = function;
	roundtrip(&msix_state_table, 1, &vectors, &msix.s);
	pci_function_restored(&fn);
}

START_TEST(random_msix)
{
	static struct msix_model m;
	uint64_t seed = 0x1234567890abcdefull + (uint64_t)_i;
	unsigned long sent = 0;

	memset(&m, 0, sizeof(m));
	m.master = true;
	for (unsigned int i = 0; i < VECTORS; i++)
		m.masked[i] = true;
	for (unsigned int i = 0; i < 3000; i++) {
		messages = m.sent = 0;
		step_msix(&m, &seed);
		ck_assert_uint_eq(messages, m.sent);
		sent += m.sent;
		compare_pending(&m);
		if (next_random(&seed) % 200 == 0)
			move_msix();
	}
	ck_assert_uint_gt(sent, 100);
}
END_TEST

/* MSI in all its layouts. */

struct layout {
	unsigned int features, data, mask, bytes;
};

static const struct layout layouts[] = {
	{ 0, 8, 0, 10 },
	{ MSI_64, 12, 0, 14 },
	{ MSI_MASKS, 8, 12, 20 },
	{ MSI_64 | MSI_MASKS, 12, 16, 24 },
};

static const struct layout *layout;
static unsigned int log_vectors;

static void start_msi(int variant)
{
	layout = &layouts[variant % 4];
	log_vectors = (unsigned int)variant / 4;
	start();
	msi_add(&fn, 1u << log_vectors, layout->features);
	put(SLOT, 0, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
}

static void put_msi(unsigned int offset, unsigned int bytes, uint32_t value)
{
	put(SLOT, 0, fn.msi_capability + offset, bytes, value);
}

static uint32_t get_msi(unsigned int offset, unsigned int bytes)
{
	return get(SLOT, 0, fn.msi_capability + offset, bytes);
}

static void enable_msi(unsigned int log)
{
	put_msi(2, 2, 1 | log << 4);
}

START_TEST(layout_of_msi)
{
	uint32_t all = UINT32_MAX;

	start_msi(_i);
	if (log_vectors < 5)
		all = (1u << (1u << log_vectors)) - 1;
	ck_assert_uint_eq(pci_capability_add(&fn, PCI_CAPABILITY_VENDOR, 4), 0x40 + (layout->bytes + 3) / 4 * 4);
	ck_assert_uint_eq(get_msi(2, 2), layout->features | log_vectors << 1);
	put_msi(4, 4, UINT32_MAX);
	ck_assert_uint_eq(get_msi(4, 4), 0xfffffffc);
	if (layout->features & MSI_64) {
		put_msi(8, 4, 0x89abcdef);
		ck_assert_uint_eq(get_msi(8, 4), 0x89abcdef);
	}
	put_msi(layout->data, 4, UINT32_MAX);
	ck_assert_uint_eq(get_msi(layout->data, 4), 0xffff);
	if (layout->mask) {
		put_msi(layout->mask, 4, UINT32_MAX);
		ck_assert_uint_eq(get_msi(layout->mask, 4), all);
		put_msi(layout->mask + 4, 4, UINT32_MAX);
		ck_assert_uint_eq(get_msi(layout->mask + 4, 4), 0);
	}
	put_msi(2, 2, 0xffff);
	ck_assert_uint_eq(get_msi(2, 2), layout->features | log_vectors << 1 | 0x71);
	/* More granted than there are: no more than there are. */
	put_msi(layout->data, 2, 0);
	if (layout->mask)
		put_msi(layout->mask, 4, 0);
	for (unsigned int i = 0; i < 40; i++)
		pci_signal(&fn, i);
	ck_assert_uint_eq(messages, 40);
	for (unsigned int i = 0; i < messages; i++)
		ck_assert_uint_eq(message[i].data, i % (1u << log_vectors));
}
END_TEST

START_TEST(masks_of_msi)
{
	unsigned int vectors, last;
	uint64_t high;

	start_msi(_i);
	vectors = 1u << log_vectors;
	last = vectors - 1;
	high = layout->features & MSI_64 ? 0x77ull << 32 : 0;
	put_msi(4, 4, FEE | 0x2000);
	if (high)
		put_msi(8, 4, 0x77);
	put_msi(layout->data, 2, 0x40ff);
	pci_signal(&fn, 0);
	ck_assert(isa_level[10] && !messages);
	enable_msi(log_vectors);
	ck_assert(!isa_level[10]);			/* the pin is silent while messages are enabled */
	pci_signal(&fn, last);
	ck_assert_uint_eq(messages, 1);
	ck_assert_uint_eq(message[0].address, high | FEE | 0x2000);
	ck_assert_uint_eq(message[0].data, (0x40ff & ~(vectors - 1)) | last);
	enable_msi(0);					/* one vector granted: the data as it is */
	pci_signal(&fn, last);
	ck_assert_uint_eq(message[1].data, 0x40ff);
	enable_msi(log_vectors);

	put(SLOT, 0, PCI_COMMAND, 2, 0);
	pci_signal(&fn, last);
	ck_assert_uint_eq(messages, 2);
	put(SLOT, 0, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	ck_assert_uint_eq(messages, 3);

	put_msi(2, 2, 0);
	ck_assert(isa_level[10]);			/* nobody has taken INTx back */
	pci_retract(&fn);
	ck_assert(!isa_level[10]);
	if (!layout->mask)
		return;
	enable_msi(log_vectors);
	put_msi(layout->mask, 4, 1u << last);
	pci_signal(&fn, last);
	pci_signal(&fn, last);
	ck_assert_uint_eq(messages, 3);
	ck_assert_uint_eq(get_msi(layout->mask + 4, 4), 1u << last);
	put_msi(layout->mask, 4, 0);
	ck_assert_uint_eq(messages, 4);
	ck_assert_uint_eq(get_msi(layout->mask + 4, 4), 0);
	put_msi(layout->mask, 4, 1u << last);
	pci_signal(&fn, last);
	pci_retract(&fn);
	ck_assert_uint_eq(get_msi(layout->mask + 4, 4), 0);
	put_msi(layout->mask, 4, 0);
	ck_assert_uint_eq(messages, 4);
}
END_TEST

/* INTx */

START_TEST(intx_registers)
{
	start();
	pci_set_intx(&fn, true);
	ck_assert(isa_level[10]);
	ck_assert_uint_eq(get(SLOT, 0, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
	put(SLOT, 0, PCI_STATUS, 2, UINT16_MAX);		/* cannot be written */
	ck_assert(isa_level[10]);
	put(SLOT, 0, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	ck_assert(!isa_level[10]);
	ck_assert_uint_eq(get(SLOT, 0, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
	put(SLOT, 0, PCI_COMMAND, 2, 0);
	ck_assert(isa_level[10]);
	pci_set_intx(&fn, false);
	ck_assert(!isa_level[10]);
	ck_assert_uint_eq(get(SLOT, 0, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, 0);
	/* A function without a pin has no interrupt. */
	pci_function_init(&fn, &(struct pci_identity){ .vendor = 1 });
	pci_signal(&fn, 0);
	ck_assert_uint_eq(get(SLOT, 0, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, 0);
	/* A reset drops the line. */
	pci_function_init(&fn, &(struct pci_identity){ .vendor = 1, .interrupt_pin = 1 });
	pci_signal(&fn, 0);
	ck_assert(isa_level[10]);
	pci_function_init(&fn, &(struct pci_identity){ .vendor = 1, .interrupt_pin = 2 });
	ck_assert(!isa_level[10]);
}
END_TEST

#define CARDS	24u

static struct {
	struct pci_function pci;
	unsigned int slot, number, pin;
	bool level, disabled;
} cards[CARDS];

static uint8_t routes[4];

static uint16_t expected_lines(void)
{
	uint16_t lines = 0;

	for (unsigned int i = 0; i < CARDS; i++) {
		uint8_t route = routes[(cards[i].slot + cards[i].pin + 2) % 4];

		if (cards[i].level && !cards[i].disabled && !(route & 0x80))
			lines |= (uint16_t)(1u << (route & 15));
	}
	return lines & 0xdef8;
}

static void add_cards(uint64_t *seed)
{
	for (unsigned int i = 0; i < CARDS; i++) {
		cards[i].slot = 2 + i / 3;			/* three functions in each slot */
		cards[i].number = i % 3;
		cards[i].pin = 1 + next_random(seed) % 4;
		pci_add(&pci, cards[i].slot, cards[i].number, &cards[i].pci);
		pci_function_init(&cards[i].pci, &(struct pci_identity){ .vendor = 1, .interrupt_pin = (uint8_t)cards[i].pin });
	}
}

START_TEST(intx_of_many)
{
	uint64_t seed = 77 + (uint64_t)_i;

	rig_start();
	memset(cards, 0, sizeof(cards));
	memset(routes, 0x80, sizeof(routes));
	add_cards(&seed);
	for (unsigned int i = 0; i < 3000; i++) {
		unsigned int c = next_random(&seed) % CARDS, pirq = next_random(&seed) % 4;

		switch (next_random(&seed) % 4) {
		case 0:
			routes[pirq] = next_random(&seed) & 0x8f;
			put(1, 0, 0x60 + pirq, 1, routes[pirq]);
			break;
		case 1:
			cards[c].disabled = next_random(&seed) % 2;
			put(cards[c].slot, cards[c].number, PCI_COMMAND, 2, cards[c].disabled ? 0x400 : 0);
			break;
		default:
			cards[c].level = next_random(&seed) % 2;
			pci_set_intx(&cards[c].pci, cards[c].level);
			break;
		}
		for (unsigned int line = 0; line < PIIX3_ISA_LINES; line++)
			ck_assert_uint_eq(isa_level[line], expected_lines() >> line & 1);
	}
}
END_TEST

SUITE_OF_CASES("pci_msi", suite)
{
	TCase *tc = add_case(suite, "msix"), *others = add_case(suite, "msi and intx");

	tcase_add_checked_fixture(tc, start_msix, NULL);
	tcase_add_test(tc, table_of_msix);
	tcase_add_test(tc, masks_of_msix);
	tcase_add_loop_test(tc, random_msix, 0, 10);
	tcase_add_loop_test(others, layout_of_msi, 0, 24);
	tcase_add_loop_test(others, masks_of_msi, 0, 24);
	tcase_add_test(others, intx_registers);
	tcase_add_loop_test(others, intx_of_many, 0, 5);
}
