// SPDX-License-Identifier: GPL-2.0
/* Base address registers under random writes: who answers at an address, against a model of registers and masks. */
#include <keel/macros.h>

#include "pci_rig.h"
#include "roundtrip.h"
#include "suite.h"

#define CARDS		6u
#define NUMBERS		(PCI_BARS + 1)	/* the ROM is the last */

/* What the model keeps: registers as they were written, and masks that are its own. */
struct model_bar {
	enum pci_bar_kind kind;
	uint64_t bytes;
};

struct model_card {
	unsigned int slot, number;
	struct model_bar bar[NUMBERS];
	uint8_t reg[0x40], mask[0x40];
	uint32_t tag[NUMBERS];
	struct pci_function pci;
};

static struct model_card cards[CARDS];

static const struct {
	unsigned int slot, number;
	struct model_bar bar[NUMBERS];
} shapes[CARDS] = {
	{ 2, 0, {
		{ PCI_BAR_IO, 4 }, { PCI_BAR_32, 16 }, { PCI_BAR_64, 0x1000 }, { 0 }, { PCI_BAR_64_PREFETCHABLE, 1ull << 32 },
	} },
	{ 2, 1, {
		{ PCI_BAR_64_PREFETCHABLE, 1ull << 20 }, { 0 }, { PCI_BAR_IO, 256 }, [PCI_ROM] = { PCI_BAR_ROM, 0x10000 },
	} },
	{ 3, 0, {
		{ PCI_BAR_IO, 64 }, { PCI_BAR_IO, 16 }, { PCI_BAR_32_PREFETCHABLE, 1u << 24 }, { PCI_BAR_32, 0x1000 },
	} },
	{ 3, 7, { { PCI_BAR_32, 1u << 31 }, [PCI_ROM] = { PCI_BAR_ROM, 0x800 } } },
	{ 31, 0, { [4] = { PCI_BAR_64, 1ull << 36 } } },
	{ 31, 7, { [5] = { PCI_BAR_32, 0x4000 }, [PCI_ROM] = { PCI_BAR_ROM, 1u << 24 } } },
};

static unsigned int offset_of(unsigned int bar)
{
	return bar == PCI_ROM ? 0x30 : 0x10 + 4 * bar;
}

static void model_mask(struct model_card *card, unsigned int offset, uint32_t mask)
{
	for (unsigned int i = 0; i < 4; i++)
		card->mask[offset + i] = (uint8_t)(mask >> (8 * i));
}

static void model_bar(struct model_card *card, unsigned int number)
{
	const struct model_bar *bar = &card->bar[number];
	unsigned int offset = offset_of(number);
	uint64_t size_mask = -bar->bytes;

	switch (bar->kind) {
	case PCI_BAR_NONE:
		return;
	case PCI_BAR_IO:
		card->reg[offset] = 1;
		card->mask[4] |= 1;
		model_mask(card, offset, (uint32_t)size_mask);
		return;
	case PCI_BAR_ROM:
		model_mask(card, offset, (uint32_t)size_mask | 1);
		break;
	case PCI_BAR_64:
	case PCI_BAR_64_PREFETCHABLE:
		model_mask(card, offset + 4, (uint32_t)(size_mask >> 32));
		card->reg[offset] = 4;
		/* fall through */
	case PCI_BAR_32:
	case PCI_BAR_32_PREFETCHABLE:
		model_mask(card, offset, (uint32_t)size_mask);
		break;
	}
	if (bar->kind == PCI_BAR_32_PREFETCHABLE || bar->kind == PCI_BAR_64_PREFETCHABLE)
		card->reg[offset] |= 8;
	card->mask[4] |= 2;
}

static void init_card(struct model_card *card, unsigned int i)
{
	pci_add(&pci, shapes[i].slot, shapes[i].number, &card->pci);
	pci_function_init(&card->pci, &(struct pci_identity){ .vendor = 1, .device = 2 });
	for (unsigned int number = 0; number < NUMBERS; number++)
		if (card->bar[number].kind != PCI_BAR_NONE)
			pci_function_bar(&card->pci, number, card->bar[number].kind, card->bar[number].bytes, &tag_ops,
					 &card->tag[number]);
}

static void set_up(void)
{
	rig_start();
	memset(cards, 0, sizeof(cards));
	for (unsigned int i = 0; i < CARDS; i++) {
		struct model_card *card = &cards[i];

		card->slot = shapes[i].slot;
		card->number = shapes[i].number;
		memcpy(card->bar, shapes[i].bar, sizeof(card->bar));
		for (unsigned int number = 0; number < NUMBERS; number++) {
			card->tag[number] = (i + 1) << 28 | number << 24;
			model_bar(card, number);
		}
		init_card(card, i);
	}
}

static uint32_t model_get(const struct model_card *card, unsigned int offset)
{
	uint32_t value;

	memcpy(&value, &card->reg[offset], sizeof(value));
	return value;
}

/* Whether it answers, and at which offset. */
static bool model_answers(const struct model_card *card, unsigned int number, bool io, uint64_t address, uint64_t *offset)
{
	const struct model_bar *bar = &card->bar[number];
	uint64_t base = model_get(card, offset_of(number)) & (bar->kind == PCI_BAR_ROM ? 0xfffff800 : 0xfffffff0);
	bool enabled = card->reg[4] & (io ? 1 : 2);

	if (bar->kind == PCI_BAR_NONE || (bar->kind == PCI_BAR_IO) != io || !enabled)
		return false;
	if (io)
		base = model_get(card, offset_of(number)) & 0xfffffffc;
	if (bar->kind == PCI_BAR_64 || bar->kind == PCI_BAR_64_PREFETCHABLE)
		base |= (uint64_t)model_get(card, offset_of(number) + 4) << 32;
	if (bar->kind == PCI_BAR_ROM && !(card->reg[0x30] & 1))
		return false;
	if (base == 0 || (io && base > 0xffff) || base + bar->bytes == 1ull << 32 || base + bar->bytes == 0)
		return false;
	*offset = address - base;
	return address >= base && *offset < bar->bytes;
}

static uint32_t expected(bool io, uint64_t address)
{
	uint32_t value = UINT32_MAX;
	uint64_t offset;

	/* The highest slot, function and number is the last. */
	for (unsigned int i = 0; i < CARDS; i++)
		for (unsigned int number = 0; number < NUMBERS; number++)
			if (model_answers(&cards[i], number, io, address, &offset))
				value = (uint32_t)(cards[i].tag[number] | offset);
	return value;
}

static void check_at(bool io, uint64_t address)
{
	if (io) {
		address &= 0xfffc;
		ck_assert_uint_eq(bus_port_read(&bus, (uint16_t)address, 4), expected(true, address));
	} else {
		address &= ~3ull;
		ck_assert_uint_eq(bus_read(&bus, address, 4), expected(false, address));
	}
}

static uint64_t some_base(const struct model_card *card, unsigned int number)
{
	return (uint64_t)model_get(card, number == 6 || number == 5 ? 0x14 : offset_of(number) + 4) << 32 |
	       model_get(card, offset_of(number));
}

/* Near bases, as they are and without their upper half, and anywhere. */
static void check_all(uint64_t *seed)
{
	for (unsigned int i = 0; i < CARDS; i++) {
		for (unsigned int number = 0; number < NUMBERS; number++) {
			uint64_t base = some_base(&cards[i], number) & ~15ull, bytes = cards[i].bar[number].bytes;

			check_at(true, base);
			check_at(true, base + bytes);
			check_at(true, base - 4);
			check_at(false, base);
			check_at(false, (uint32_t)base);
			check_at(false, base + bytes - 4);
			check_at(false, base + bytes);
			check_at(false, (uint32_t)base - 4);
			check_at(false, base + next_random(seed) % (bytes ? bytes : 1));
		}
	}
	check_at(false, (uint64_t)next_random(seed) << 32 | next_random(seed));
	check_at(false, next_random(seed));
	check_at(true, next_random(seed));
}

static void model_write(struct model_card *card, unsigned int offset, unsigned int bytes, uint32_t value)
{
	for (unsigned int i = 0; i < bytes; i++) {
		uint8_t mask = card->mask[offset + i];

		card->reg[offset + i] = (uint8_t)((card->reg[offset + i] & ~mask) | (value >> (8 * i) & mask));
	}
}

static uint32_t some_value(uint64_t *seed)
{
	static const uint32_t values[] = {
		0, UINT32_MAX, 0xc000, 0xc040, 0x1000, 0x10000, 0xfebf0000, 0xfebf0001, 0xfe000000, 0xc0000001, 0x80000000,
		1, 2, 0xfffff801,
	};
	unsigned int dice = next_random(seed) % 24;

	return dice < ARRAY_SIZE(values) ? values[dice] : next_random(seed);
}

static void step(uint64_t *seed)
{
	struct model_card *card = &cards[next_random(seed) % CARDS];
	unsigned int bytes = 1u << next_random(seed) % 3;
	unsigned int offset = (0x10 + next_random(seed) % 0x24) & ~(bytes - 1);
	uint32_t value = some_value(seed);

	if (next_random(seed) % 6 == 0) {
		offset = 4;
		value = next_random(seed) % 4 ? 3 : next_random(seed);
	}
	model_write(card, offset, bytes, value);
	put(card->slot, card->number, offset, bytes, value);
	ck_assert_uint_eq(get(card->slot, card->number, offset & ~3u, 4) & (offset == 4 ? UINT16_MAX : UINT32_MAX),
			  offset >= 0x28 && offset < 0x30 ? 0x11001af4 * (offset >= 0x2c) : model_get(card, offset & ~3u));
}

/* All goes on in another machine, whose BARs are where reset leaves them. */
static void move(void)
{
	static struct pci_function_state saved[CARDS];

	for (unsigned int i = 0; i < CARDS; i++)
		saved[i] = cards[i].pci.s;
	rig_start();
	/* The order in which functions come back must not matter. */
	for (unsigned int i = CARDS; i > 0; i--) {
		unsigned int last = i - 1;
		struct model_card *card = &cards[last];

		memset(&card->pci, 0, sizeof(card->pci));
		init_card(card, last);
		roundtrip(&pci_function_state_table, last, &saved[last], &card->pci.s);
		pci_function_restored(&card->pci);
	}
}

START_TEST(random_moves)
{
	uint64_t seed = 0xfeedface12345ull + 1000003ull * (uint64_t)_i;

	for (unsigned int i = 0; i < 2000; i++) {
		step(&seed);
		if (i % 8 == 0)
			check_all(&seed);
		if (i % 300 == 299)
			move();
	}
}
END_TEST

/* One BAR on another: the later function is in front, and the other one is there when it goes. */
START_TEST(overlap)
{
	put(3, 0, 0x10, 4, 0xc000);
	put(2, 1, 0x18, 4, 0xc000);
	put(3, 0, 4, 2, 1);
	put(2, 1, 4, 2, 1);
	ck_assert_uint_eq(bus_port_read(&bus, 0xc004, 4) >> 28, 3);
	ck_assert_uint_eq(bus_port_read(&bus, 0xc044, 4) >> 28, 2);
	put(3, 0, 0x10, 4, 0xd000);
	ck_assert_uint_eq(bus_port_read(&bus, 0xc004, 4) >> 28, 2);
	ck_assert_uint_eq(bus_port_read(&bus, 0xd004, 4) >> 28, 3);
}
END_TEST

/* What cannot be moved is in front. */
START_TEST(fixed_range)
{
	static uint32_t tag = 0xf0000000;
	struct io_range fixed = { .base = 0xc010, .bytes = 8, .ops = &tag_ops, .device = &tag, .rank = BUS_RANK_FIXED };

	ck_assert(bus_map(&bus, BUS_PORT_SPACE, &fixed));
	put(3, 0, 0x10, 4, 0xc000);
	put(3, 0, 4, 2, 1);
	ck_assert_uint_eq(bus_port_read(&bus, 0xc00c, 4) >> 28, 3);
	ck_assert_uint_eq(bus_port_read(&bus, 0xc010, 4) >> 28, 0xf);
	ck_assert_uint_eq(bus_port_read(&bus, 0xc018, 4) >> 28, 3);
	bus_unmap(&bus, BUS_PORT_SPACE, &fixed);
}
END_TEST

/* State that no guest can make: bases that are no multiples of the size. */
START_TEST(odd_state)
{
	uint64_t base;

	memset(&cards[3].pci.s.config[0x10], 0xff, 4);
	memset(&cards[4].pci.s.config[0x20], 0xff, 8);
	cards[3].pci.s.config[4] = cards[4].pci.s.config[4] = 2;
	pci_function_restored(&cards[3].pci);
	pci_function_restored(&cards[4].pci);
	ck_assert(!pci_function_decodes(&cards[3].pci, 0, &base));
	ck_assert(!pci_function_decodes(&cards[4].pci, 4, &base));
	cards[3].pci.s.config[0x13] = 0x7f;
	cards[4].pci.s.config[0x27] = 0x7f;
	pci_function_restored(&cards[3].pci);
	pci_function_restored(&cards[4].pci);
	ck_assert(!pci_function_decodes(&cards[3].pci, 0, &base));
	ck_assert(pci_function_decodes(&cards[4].pci, 4, &base));
	ck_assert_uint_eq(base, 0x7ffffff000000000ull);
}
END_TEST

SUITE("pci_bars", tc)
{
	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_loop_test(tc, random_moves, 0, 10);
	tcase_add_test(tc, overlap);
	tcase_add_test(tc, fixed_range);
	tcase_add_test(tc, odd_state);
}
