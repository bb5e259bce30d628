// SPDX-License-Identifier: GPL-2.0
/* The bus: who answers, how accesses are split, and all of it at random against a plain reference. */
#include "core/bus.h"

#include <stdlib.h>
#include <string.h>

#include "suite.h"

#define ACCESSES	4096u
#define CARDS		24u
#define ROUNDS		4000u

/* What the cards saw; the reference writes what they should have seen. */
struct access {
	unsigned int card, bytes;
	uint64_t offset, value;
	bool write;
};

struct record {
	unsigned int count;
	struct access access[ACCESSES];
};

struct card {
	struct io_range range;
	struct io_ops ops;
	unsigned int number;
	bool mapped;
	uint64_t order;
	enum bus_space space;
};

static struct bus bus;
static struct card card[CARDS], local;
static struct record seen, expected;
static uint64_t order;

static void note(struct record *record, unsigned int number, uint64_t offset, unsigned int bytes, uint64_t value, bool write)
{
	if (record->count == ACCESSES)
		ck_abort_msg("too many accesses");
	record->access[record->count++] = (struct access){ number, bytes, offset, value, write };
}

static uint64_t mask(unsigned int bytes)
{
	return UINT64_MAX >> (64 - 8 * bytes);
}

/* Every card and place has another value; the upper bytes are not the reader's business. */
static uint64_t contents(unsigned int number, uint64_t offset)
{
	return (offset + 1) * 0x9e3779b97f4a7c15ull + number * 0x0101010101010101ull;
}

static void check_size(const struct card *c, uint64_t offset, unsigned int bytes)
{
	if (bytes > c->ops.widest || offset + bytes > c->range.bytes)
		ck_abort_msg("%u bytes at %llx", bytes, (unsigned long long)offset);
}

static uint64_t card_read(void *device, uint64_t offset, unsigned int bytes)
{
	struct card *c = device;

	check_size(c, offset, bytes);
	note(&seen, c->number, offset, bytes, 0, false);
	return contents(c->number, offset);
}

static void card_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct card *c = device;

	check_size(c, offset, bytes);
	note(&seen, c->number, offset, bytes, value, true);
}

static unsigned int some(unsigned int count)
{
	return (unsigned int)random() % (count + 1);
}

static uint64_t step(const struct card *c, unsigned int bytes)
{
	return c->space == BUS_PORT_SPACE ? 0 : bytes;
}

static unsigned int card_read_many(void *device, uint64_t offset, unsigned int bytes, unsigned int count, uint8_t *data)
{
	struct card *c = device;

	count = some(count);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t value = card_read(c, offset + i * step(c, bytes), bytes);

		memcpy(data + i * bytes, &value, bytes);
	}
	return count;
}

static unsigned int card_write_many(void *device, uint64_t offset, unsigned int bytes, unsigned int count, const uint8_t *data)
{
	struct card *c = device;

	count = some(count);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t value = 0;

		memcpy(&value, data + i * bytes, bytes);
		card_write(c, offset + i * step(c, bytes), bytes, value);
	}
	return count;
}

static unsigned int card_fill(void *device, uint64_t offset, unsigned int bytes, unsigned int count, uint64_t value)
{
	struct card *c = device;

	count = some(count);
	for (unsigned int i = 0; i < count; i++)
		card_write(c, offset + i * bytes, bytes, value);
	return count;
}

static void set_card(struct card *c, unsigned int number, uint64_t base, uint64_t bytes, unsigned int rank)
{
	*c = (struct card){
		.number = number,
		.ops = { .read = card_read, .write = card_write, .widest = 4 },
		.range = { .base = base, .bytes = bytes, .rank = (uint16_t)rank },
	};
	c->range.ops = &c->ops;
	c->range.device = c;
}

static bool map(struct card *c, enum bus_space space)
{
	c->space = space;
	if (!bus_map(&bus, space, &c->range))
		return false;
	c->mapped = true;
	c->order = ++order;
	return true;
}

static void unmap(struct card *c)
{
	bus_unmap(&bus, c->space, &c->range);
	c->mapped = false;
}

static void begin(void)
{
	bus_init(&bus);
	memset(card, 0, sizeof(card));
	memset(&local, 0, sizeof(local));
	order = 0;
	seen.count = 0;
	expected.count = 0;
}

/* Who of the cards has noted the one access that there was. */
static unsigned int who(void)
{
	unsigned int number = seen.count == 1 ? seen.access[0].card : CARDS;

	seen.count = 0;
	return number;
}

static void reads_port(uint16_t port)
{
	ck_assert_uint_eq(bus_port_read(&bus, port, 1) & ~0xffu, 0);
}

START_TEST(nobody_reads_as_ones)
{
	begin();
	ck_assert_uint_eq(bus_port_read(&bus, 0x80, 1), 0xff);
	ck_assert_uint_eq(bus_port_read(&bus, 0xffff, 2), 0xffff);
	ck_assert_uint_eq(bus_port_read(&bus, 0xfffd, 4), UINT32_MAX);
	ck_assert_uint_eq(bus_read(&bus, 0, 8), UINT64_MAX);
	ck_assert_uint_eq(bus_read(&bus, UINT64_MAX, 1), 0xff);
	bus_port_write(&bus, 0x80, 4, 0);
	bus_write(&bus, 0xfee00000, 8, 0);
	ck_assert(!bus.timed);
}
END_TEST

START_TEST(ranges_must_be_possible)
{
	begin();
	set_card(&card[0], 0, BUS_PORTS, 1, 0);
	ck_assert(!map(&card[0], BUS_PORT_SPACE));
	ck_assert(map(&card[0], BUS_MEMORY_SPACE));
	ck_assert(!map(&card[0], BUS_MEMORY_SPACE));
	set_card(&card[1], 1, 0xffff, 2, 0);
	ck_assert(!map(&card[1], BUS_PORT_SPACE));
	set_card(&card[1], 1, 0x10, 0, 0);
	ck_assert(!map(&card[1], BUS_PORT_SPACE));
	ck_assert(!map(&card[1], BUS_MEMORY_SPACE));
	set_card(&card[1], 1, UINT64_MAX - 15, 17, 0);
	ck_assert(!map(&card[1], BUS_MEMORY_SPACE));
	set_card(&card[1], 1, 0, BUS_PORTS, 0);
	ck_assert(map(&card[1], BUS_PORT_SPACE));
	unmap(&card[1]);
	unmap(&card[1]);
	reads_port(0xffff);
	ck_assert_uint_eq(seen.count, 0);
}
END_TEST

START_TEST(only_so_many_ranges)
{
	static struct card many[BUS_RANGES];

	for (unsigned int space = BUS_PORT_SPACE; space <= BUS_MEMORY_SPACE; space++) {
		begin();
		for (unsigned int i = 0; i < BUS_RANGES - 1; i++) {
			set_card(&many[i], i, 16 * i, 16, 0);
			ck_assert(map(&many[i], space));
		}
		set_card(&many[BUS_RANGES - 1], 0, 0x8000, 16, 0);
		ck_assert(!map(&many[BUS_RANGES - 1], space));
		unmap(&many[7]);
		ck_assert(map(&many[BUS_RANGES - 1], space));
	}
}
END_TEST

START_TEST(what_moves_does_not_cover_what_is_fixed)
{
	begin();
	set_card(&card[0], 0, 0x1f0, 8, BUS_RANK_FIXED);
	set_card(&card[1], 1, 0x1e0, 64, 9);
	set_card(&card[2], 2, 0x1e8, 4, 8);
	for (unsigned int space = BUS_PORT_SPACE; space <= BUS_MEMORY_SPACE; space++) {
		for (unsigned int i = 0; i < 3; i++)
			ck_assert(map(&card[i], space));
		for (unsigned int at = 0x1d0; at < 0x230; at++) {
			unsigned int answers = at >= 0x1f0 && at < 0x1f8 ? 0 : at >= 0x1e0 && at < 0x220 ? 1 : CARDS;

			if (space == BUS_PORT_SPACE)
				bus_port_read(&bus, (uint16_t)at, 1);
			else
				bus_read(&bus, at, 1);
			ck_assert_uint_eq(who(), answers);
		}
		unmap(&card[1]);
		if (space == BUS_PORT_SPACE)
			bus_port_read(&bus, 0x1e8, 1);
		else
			bus_read(&bus, 0x1e8, 1);
		ck_assert_uint_eq(who(), 2);
		unmap(&card[0]);
		unmap(&card[2]);
	}
}
END_TEST

START_TEST(the_first_byte_decides)
{
	begin();
	set_card(&card[0], 0, 0xcf8, 8, BUS_RANK_FIXED);
	set_card(&card[1], 1, 0xcf9, 1, BUS_RANK_FIXED);
	ck_assert(map(&card[0], BUS_PORT_SPACE) && map(&card[1], BUS_PORT_SPACE));
	bus_port_write(&bus, 0xcf8, 4, 0x80001234);
	ck_assert_uint_eq(seen.count, 1);
	ck_assert_uint_eq(seen.access[0].bytes, 4);
	ck_assert_uint_eq(seen.access[0].value, 0x80001234);
	seen.count = 0;
	/* Wider than the register: its own byte, and its neighbour's. */
	bus_port_write(&bus, 0xcf9, 2, 0xaabb);
	ck_assert_uint_eq(seen.count, 2);
	ck_assert_uint_eq(seen.access[0].card, 1);
	ck_assert_uint_eq(seen.access[0].value, 0xbb);
	ck_assert_uint_eq(seen.access[1].card, 0);
	ck_assert_uint_eq(seen.access[1].offset, 2);
	ck_assert_uint_eq(seen.access[1].value, 0xaa);
}
END_TEST

START_TEST(the_last_port_is_followed_by_the_first)
{
	begin();
	set_card(&card[0], 0, 0xffff, 1, 0);
	set_card(&card[1], 1, 0, 2, 0);
	ck_assert(map(&card[0], BUS_PORT_SPACE) && map(&card[1], BUS_PORT_SPACE));
	bus_port_write(&bus, 0xffff, 4, 0x04030201);
	ck_assert_uint_eq(seen.count, 3);
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_uint_eq(seen.access[i].value, i + 1);
	ck_assert_uint_eq(seen.access[2].offset, 1);
}
END_TEST

START_TEST(the_processors_own_range_is_in_front)
{
	uint8_t data[64];

	begin();
	set_card(&card[0], 0, 0xfee00000, 0x2000, BUS_RANK_FIXED);
	set_card(&local, 5, 0xfee00000, 0x1000, 0);
	ck_assert(map(&card[0], BUS_MEMORY_SPACE));
	bus_read(&bus, 0xfee00ffc, 4);
	ck_assert_uint_eq(who(), 0);
	bus.local = &local.range;
	bus_read(&bus, 0xfee00ffc, 4);
	ck_assert_uint_eq(who(), 5);
	bus_read(&bus, 0xfee01000, 4);
	ck_assert_uint_eq(who(), 0);
	local.range.base = 0xfee01010;
	card[0].ops.read_many = card_read_many;
	bus_read_many(&bus, 0xfee01000, 4, 8, data);
	ck_assert_uint_eq(seen.count, 8);
	for (unsigned int i = 0; i < 8; i++)
		ck_assert_uint_eq(seen.access[i].card, i < 4 ? 0 : 5);
	seen.count = 0;
	local.range.bytes = 0;
	bus_read(&bus, 0xfee01010, 4);
	ck_assert_uint_eq(who(), 0);
}
END_TEST

START_TEST(timed_ranges_are_told)
{
	uint8_t data[4] = { 0 };

	begin();
	set_card(&card[0], 0, 0x40, 4, BUS_RANK_FIXED);
	card[0].ops.timed = card[0].ops.timed_reads = true;
	card[0].ops.write_many = card_write_many;
	set_card(&card[1], 1, 0x60, 1, BUS_RANK_FIXED);
	ck_assert(map(&card[0], BUS_PORT_SPACE) && map(&card[1], BUS_PORT_SPACE));
	bus_port_read(&bus, 0x60, 1);
	bus_port_write(&bus, 0x60, 1, 0);
	bus_port_read(&bus, 0x3c, 4);
	ck_assert(!bus.timed);
	bus_port_read(&bus, 0x3d, 4);
	ck_assert(bus.timed);
	bus.timed = false;
	bus_port_write_many(&bus, 0x41, 1, 4, data);
	ck_assert(bus.timed);
	bus.timed = card[0].ops.timed_reads = false;
	bus_port_read(&bus, 0x41, 1);
	ck_assert(!bus.timed);
}
END_TEST

/* The reference */

static const struct card *answering(enum bus_space space, uint64_t at)
{
	const struct card *found = NULL;

	for (unsigned int i = 0; i < CARDS; i++) {
		const struct card *c = &card[i];

		if (!c->mapped || c->space != space || at < c->range.base || at - c->range.base >= c->range.bytes)
			continue;
		if (!found || c->range.rank > found->range.rank ||
		    (c->range.rank == found->range.rank && c->order > found->order))
			found = c;
	}
	if (space == BUS_MEMORY_SPACE && at >= local.range.base && at - local.range.base < local.range.bytes)
		found = &local;
	return found;
}

static uint64_t expect_part(const struct card *c, uint64_t at, unsigned int bytes, bool write, uint64_t value)
{
	if (!c)
		return mask(bytes);
	note(&expected, c->number, at - c->range.base, bytes, write ? value : 0, write);
	return contents(c->number, at - c->range.base) & mask(bytes);
}

static bool takes(const struct card *c, uint64_t at, unsigned int bytes)
{
	return c && bytes <= c->ops.widest && at - c->range.base + bytes <= c->range.bytes;
}

static uint64_t expect_ports(uint64_t at, unsigned int bytes, bool write, uint64_t value)
{
	const struct card *c = answering(BUS_PORT_SPACE, at);
	uint64_t result = 0;

	if (takes(c, at, bytes))
		return expect_part(c, at, bytes, write, value);
	for (unsigned int i = 0; i < bytes; i++) {
		uint64_t byte = (at + i) % BUS_PORTS;

		result |= expect_part(answering(BUS_PORT_SPACE, byte), byte, 1, write, value >> (8 * i) & 0xff) << (8 * i);
	}
	return result;
}

static uint64_t expect_memory(uint64_t at, unsigned int bytes, bool write, uint64_t value)
{
	uint64_t result = 0;

	for (unsigned int i = 0, part; i < bytes; i += part) {
		const struct card *c = answering(BUS_MEMORY_SPACE, at + i);

		part = bytes - i;
		if (!takes(c, at + i, part))
			for (part = 8; part > 1; part /= 2)
				if (part <= bytes - i && takes(c, at + i, part) && (at + i - c->range.base) % part == 0)
					break;
		result |= expect_part(c, at + i, part, write, value >> (8 * i) & mask(part)) << (8 * i);
	}
	return result;
}

static uint64_t expect(enum bus_space space, uint64_t at, unsigned int bytes, bool write, uint64_t value)
{
	value &= mask(bytes);
	return space == BUS_PORT_SPACE ? expect_ports(at, bytes, write, value) : expect_memory(at, bytes, write, value);
}

static bool is_same(const struct access *a, const struct access *b)
{
	return a->card == b->card && a->offset == b->offset && a->bytes == b->bytes && a->value == b->value &&
	       a->write == b->write;
}

static void compare(void)
{
	bool same = seen.count == expected.count;

	for (unsigned int i = 0; same && i < seen.count; i++)
		same = is_same(&seen.access[i], &expected.access[i]);
	ck_assert(same);
	seen.count = 0;
	expected.count = 0;
}

/* Small spaces, so that much overlaps. */
static uint64_t any_place(enum bus_space space, unsigned int alignment)
{
	uint64_t at = (uint64_t)random() % 0x120;

	if (space == BUS_PORT_SPACE && random() % 8 == 0)
		at = BUS_PORTS - 1 - at;
	if (space == BUS_MEMORY_SPACE)
		at += 0xfebfff00;
	return at & ~(uint64_t)(alignment - 1);
}

static void change_card(void)
{
	struct card *c = &card[(unsigned int)random() % CARDS];
	static const unsigned int ranks[] = { 0, 1, 2, BUS_RANK_FIXED };
	unsigned int number = (unsigned int)(c - card), size = 1u << random() % 7;
	enum bus_space space = random() % 2 ? BUS_PORT_SPACE : BUS_MEMORY_SPACE;

	if (c->mapped) {
		unmap(c);
		return;
	}
	set_card(c, number, any_place(space, random() % 4 ? 16 : 1), size, ranks[random() % 4]);
	c->ops.widest = (uint8_t)(1u << random() % (space == BUS_PORT_SPACE ? 3 : 4));
	c->ops.read_many = random() % 2 ? card_read_many : NULL;
	c->ops.write_many = random() % 2 ? card_write_many : NULL;
	c->ops.fill = random() % 2 ? card_fill : NULL;
	map(c, space);
}

static void move_local(void)
{
	set_card(&local, CARDS, any_place(BUS_MEMORY_SPACE, 32), random() % 3 ? 32 : 0, 0);
	bus.local = random() % 4 ? &local.range : NULL;
	if (!bus.local)
		local.range.bytes = 0;
}

static void one_access(enum bus_space space)
{
	unsigned int bytes = 1u << random() % (space == BUS_PORT_SPACE ? 3 : 4);
	uint64_t at = any_place(space, space == BUS_PORT_SPACE ? 1 : bytes), value = (uint64_t)random() * 0x123456789ull;

	if (random() % 2) {
		uint64_t got = space == BUS_PORT_SPACE ? bus_port_read(&bus, (uint16_t)at, bytes) : bus_read(&bus, at, bytes);

		ck_assert_uint_eq(got, expect(space, at, bytes, false, 0));
		return;
	}
	if (space == BUS_PORT_SPACE)
		bus_port_write(&bus, (uint16_t)at, bytes, (uint32_t)value);
	else
		bus_write(&bus, at, bytes, value);
	expect(space, at, bytes, true, value);
}

static void many_reads(enum bus_space space, uint64_t at, unsigned int bytes, unsigned int count)
{
	uint8_t data[8 * 64];

	if (space == BUS_PORT_SPACE)
		bus_port_read_many(&bus, (uint16_t)at, bytes, count, data);
	else
		bus_read_many(&bus, at, bytes, count, data);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t value = expect(space, at, bytes, false, 0);

		ck_assert_mem_eq(data + i * bytes, &value, bytes);
		at += space == BUS_PORT_SPACE ? 0 : bytes;
	}
}

static void many_writes(enum bus_space space, uint64_t at, unsigned int bytes, unsigned int count)
{
	uint8_t data[8 * 64];

	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)random();
	if (space == BUS_PORT_SPACE)
		bus_port_write_many(&bus, (uint16_t)at, bytes, count, data);
	else
		bus_write_many(&bus, at, bytes, count, data);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t value = 0;

		memcpy(&value, data + i * bytes, bytes);
		expect(space, at, bytes, true, value);
		at += space == BUS_PORT_SPACE ? 0 : bytes;
	}
}

static void fill(uint64_t at, unsigned int bytes, unsigned int count)
{
	uint64_t value = (uint64_t)random() * 0x987654321ull;

	bus_fill(&bus, at, bytes, count, value);
	for (unsigned int i = 0; i < count; i++)
		expect(BUS_MEMORY_SPACE, at + i * bytes, bytes, true, value);
}

static void many_accesses(enum bus_space space)
{
	unsigned int bytes = 1u << random() % (space == BUS_PORT_SPACE ? 3 : 4), count = (unsigned int)random() % 64;
	uint64_t at = any_place(space, space == BUS_PORT_SPACE ? 1 : bytes);

	if (random() % 2)
		many_reads(space, at, bytes, count);
	else if (space == BUS_PORT_SPACE || random() % 2)
		many_writes(space, at, bytes, count);
	else
		fill(at, bytes, count);
}

START_TEST(as_the_reference_does)
{
	begin();
	srandom((unsigned int)_i);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		enum bus_space space = random() % 2 ? BUS_PORT_SPACE : BUS_MEMORY_SPACE;

		switch (random() % 8) {
		case 0:
			change_card();
			break;
		case 1:
			move_local();
			break;
		case 2:
			many_accesses(space);
			break;
		default:
			one_access(space);
			break;
		}
		compare();
	}
}
END_TEST

/* Each by the range that it gets to; what is split counts by its parts, what is done at once is one. */
START_TEST(accesses_are_counted)
{
	uint8_t data[16];

	begin();
	set_card(&card[0], 0, 0x100, 8, 0);
	ck_assert(map(&card[0], BUS_PORT_SPACE));
	bus_port_read(&bus, 0x100, 4);
	bus_port_write(&bus, 0x104, 1, 0);
	ck_assert_uint_eq(card[0].range.accesses, 2);
	/* Its last port, and one of nobody's. */
	bus_port_read(&bus, 0x107, 2);
	ck_assert_uint_eq(card[0].range.accesses, 3);
	ck_assert_uint_eq(bus.nothing.accesses, 1);
	bus_port_read_many(&bus, 0x100, 2, 4, data);
	ck_assert_uint_eq(card[0].range.accesses, 7);
	set_card(&card[1], 1, 0x1000, 0x100, 0);
	ck_assert(map(&card[1], BUS_MEMORY_SPACE));
	bus_read(&bus, 0x1000, 8);
	ck_assert_uint_eq(card[1].range.accesses, 2);
	bus_write(&bus, 0x1010, 4, 0);
	ck_assert_uint_eq(card[1].range.accesses, 3);
	unmap(&card[1]);
	bus_fill(&bus, 0x1000, 1, 100, 0);
	ck_assert_uint_eq(card[1].range.accesses, 3);
	ck_assert_uint_eq(bus.nothing.accesses, 2);
}
END_TEST

SUITE("bus", cases)
{
	tcase_add_test(cases, nobody_reads_as_ones);
	tcase_add_test(cases, ranges_must_be_possible);
	tcase_add_test(cases, only_so_many_ranges);
	tcase_add_test(cases, what_moves_does_not_cover_what_is_fixed);
	tcase_add_test(cases, the_first_byte_decides);
	tcase_add_test(cases, the_last_port_is_followed_by_the_first);
	tcase_add_test(cases, the_processors_own_range_is_in_front);
	tcase_add_test(cases, timed_ranges_are_told);
	tcase_add_test(cases, accesses_are_counted);
	tcase_add_loop_test(cases, as_the_reference_does, 0, 4);
}
