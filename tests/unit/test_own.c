/* SPDX-License-Identifier: GPL-2.0 */
/* Frame ownership against a reference array: short sequences exhaustively, long ones at random. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "error.h"
#include "memory.h"
#include "own.h"
#include "pt_format.h"
#include "suite.h"

#define KIB4	PAGE_SIZE
#define MIB2	(UINT64_C(1) << 21)
#define GIB	(UINT64_C(1) << 30)
#define LIMIT	(5 * GIB + MIB2)	/* rounded up to 6 GiB */
#define BLOCKS	64u
#define ATOMS	(2 * BLOCKS + 8)

uint8_t *memory_test_arena;

static const struct own_range ranges[] = { { 2 * MIB2, 6 * MIB2 }, { 4 * GIB, 5 * GIB } };
static struct own_config config;
static uint64_t reserve_pages;

/* Pages between two neighbouring block boundaries: no operation of a test tells them apart. */
struct atom {
	uint64_t start, end;
	unsigned owner;
	enum own_state state;
};

struct block {
	uint64_t hpa;
	unsigned order;
};

static struct atom atoms[ATOMS];
static unsigned atom_count;

static void start(unsigned variant)
{
	config = (struct own_config){
		.format = variant & 1 ? &pt_format_ept : &pt_format_npt,
		.largest = variant & 2 ? PT_ORDER_2M : PT_ORDER_1G,
		.limit = LIMIT,
		.ranges = ranges,
		.count = 2,
	};
	reserve_pages = own_frames_needed(&config);
	memory_test_arena = calloc(reserve_pages + 1, PAGE_SIZE);
	ck_assert_ptr_nonnull(memory_test_arena);
	ck_assert_int_eq(own_init(&config, PAGE_SIZE), 0);
}

static void finish(void)
{
	free(memory_test_arena);
}

static bool is_ram(uint64_t hpa)
{
	for (unsigned i = 0; i < config.count; i++) {
		if (hpa >= config.ranges[i].start && hpa < config.ranges[i].end)
			return true;
	}
	return false;
}

static int compare_cut(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static void model_reset(void)
{
	for (unsigned i = 0; i < atom_count; i++) {
		atoms[i].owner = is_ram(atoms[i].start) ? OWN_CONTROL : OWN_DEVICE;
		atoms[i].state = OWN_MAPPED;
	}
}

static void model_init(const struct block *blocks, unsigned count)
{
	uint64_t cuts[ATOMS + 1] = { 0, 6 * GIB };
	unsigned cut_count = 2;

	for (unsigned i = 0; i < config.count; i++) {
		cuts[cut_count++] = config.ranges[i].start;
		cuts[cut_count++] = config.ranges[i].end;
	}
	for (unsigned i = 0; i < count; i++) {
		cuts[cut_count++] = blocks[i].hpa;
		cuts[cut_count++] = blocks[i].hpa + (KIB4 << blocks[i].order);
	}
	qsort(cuts, cut_count, sizeof(cuts[0]), compare_cut);
	atom_count = 0;
	for (unsigned i = 0; i + 1 < cut_count; i++) {
		if (cuts[i] != cuts[i + 1])
			atoms[atom_count++] = (struct atom){ .start = cuts[i], .end = cuts[i + 1] };
	}
	model_reset();
}

enum verb {
	DONATE,
	DONATE_OTHER,
	ASSIGN,
	RETURN,
	SHARE,
	UNSHARE,
	RECLAIM,
	RECLAIM_OTHER,
	VERBS,
};

static unsigned verb_vm(enum verb verb)
{
	return verb == DONATE_OTHER || verb == RECLAIM_OTHER ? OWN_VMS : 1;
}

static int act(enum verb verb, const struct block *block)
{
	unsigned vm = verb_vm(verb);

	switch (verb) {
	case DONATE:
	case DONATE_OTHER:
		return own_donate(block->hpa, block->order, vm);
	case ASSIGN:
		return own_assign(block->hpa, block->order, vm, OWN_DONATED, OWN_RAM);
	case RETURN:
		return own_assign(block->hpa, block->order, vm, OWN_RAM, OWN_DONATED);
	case SHARE:
		return own_share(block->hpa, block->order, vm);
	case UNSHARE:
		return own_unshare(block->hpa, block->order, vm);
	default:
		return own_reclaim(block->hpa, block->order, vm);
	}
}

static bool atom_accepts(const struct atom *atom, enum verb verb)
{
	bool plain = atom->owner == OWN_CONTROL && atom->state == OWN_MAPPED;
	bool mine = atom->owner == verb_vm(verb);

	switch (verb) {
	case DONATE:
	case DONATE_OTHER:
	case SHARE:
		return plain;
	case ASSIGN:
		return mine && atom->state == OWN_DONATED;
	case RETURN:
		return mine && atom->state == OWN_RAM;
	case UNSHARE:
		return mine && atom->state == OWN_SHARED;
	default:
		return mine && atom->state != OWN_SHARED;
	}
}

static int model_act(enum verb verb, const struct block *block)
{
	static const enum own_state after[VERBS] = {
		[DONATE] = OWN_DONATED, [DONATE_OTHER] = OWN_DONATED, [ASSIGN] = OWN_RAM, [RETURN] = OWN_DONATED,
		[SHARE] = OWN_SHARED, [UNSHARE] = OWN_MAPPED, [RECLAIM] = OWN_MAPPED, [RECLAIM_OTHER] = OWN_MAPPED,
	};
	uint64_t end = block->hpa + (KIB4 << block->order);

	for (unsigned i = 0; i < atom_count; i++) {
		if (atoms[i].start < end && atoms[i].end > block->hpa && !atom_accepts(&atoms[i], verb))
			return -EPERM;
	}
	for (unsigned i = 0; i < atom_count; i++) {
		if (atoms[i].start < end && atoms[i].end > block->hpa) {
			atoms[i].state = after[verb];
			atoms[i].owner = after[verb] == OWN_MAPPED ? OWN_CONTROL : verb_vm(verb);
		}
	}
	return 0;
}

/* Ends of each atom suffice: what lies between is covered by the walk of the whole table. */
static bool agrees(void)
{
	uint64_t out[2] = { 0 }, shared = 0;

	for (unsigned i = 0; i < atom_count; i++) {
		const struct atom *atom = &atoms[i];
		uint64_t pages = (atom->end - atom->start) / KIB4;
		struct own_frame first = own_query(atom->start), last = own_query(atom->end - 1);

		if (first.owner != atom->owner || first.state != atom->state ||
		    last.owner != atom->owner || last.state != atom->state)
			return false;
		if (atom->state == OWN_SHARED)
			shared += pages;
		else if (atom->owner == 1 || atom->owner == OWN_VMS)
			out[atom->owner == OWN_VMS] += pages;
	}
	return own_count(1) == out[0] && own_count(OWN_VMS) == out[1] && own_count_shared(1) == shared;
}

/* The hardware's view: every entry of the table, read without the code under test. */
struct survey {
	uint8_t *used;		/* frames of the reserve that are in the table */
	uint64_t hash;
	uint64_t leaves;
	uint64_t large;
	bool sound;
};

static void survey_entry(struct survey *survey, uint64_t entry, uint64_t hpa, unsigned order)
{
	uint64_t identity = entry & UINT64_C(0x000ffffffffff000);
	uint64_t bytes = KIB4 << order;
	bool present = (entry & (config.format == &pt_format_ept ? 7 : 1)) != 0;

	survey->hash = (survey->hash ^ entry ^ hpa ^ order) * UINT64_C(0x100000001b3);
	survey->leaves++;
	survey->large += order == 18;
	if ((entry & 7) == 0 ? identity != 0 : !present || identity != hpa)
		survey->sound = false;
	if (hpa >= 6 * GIB) {
		survey->sound &= entry == 0;
		return;
	}
	for (unsigned i = 0; i < atom_count; i++) {
		bool mapped = atoms[i].state == OWN_MAPPED || atoms[i].state == OWN_SHARED;

		if (atoms[i].start < hpa + bytes && atoms[i].end > hpa && mapped != present)
			survey->sound = false;
	}
}

static void survey_table(struct survey *survey, uint64_t table, uint64_t hpa, unsigned order)
{
	const uint64_t *entries = (const uint64_t *)(memory_test_arena + table);

	if (table / PAGE_SIZE > reserve_pages || survey->used[table / PAGE_SIZE]++ != 0) {
		survey->sound = false;
		return;
	}
	for (unsigned i = 0; i < 512; i++, hpa += KIB4 << order) {
		if (order != 0 && (entries[i] & 1) != 0 && (entries[i] & 0x80) == 0)
			survey_table(survey, entries[i] & UINT64_C(0x000ffffffffff000), hpa, order - 9);
		else
			survey_entry(survey, entries[i], hpa, order);
	}
}

static struct survey survey(void)
{
	struct survey result = { .used = calloc(reserve_pages + 1, 1), .sound = true };

	survey_table(&result, PAGE_SIZE, 0, 27);
	free(result.used);
	return result;
}

START_TEST(fresh_table)
{
	struct survey result;

	start(_i);
	model_init(NULL, 0);
	result = survey();
	ck_assert(result.sound);
	ck_assert(agrees());
	/* GiB 4 is memory, 1, 2, 3 and 5 are not; GiB 0 is mixed. */
	ck_assert_uint_eq(result.large, config.largest == PT_ORDER_1G ? 5 + 506 : 506);
	ck_assert_uint_eq(own_query(MIB2).owner, OWN_DEVICE);
	ck_assert_uint_eq(own_query(2 * MIB2).owner, OWN_CONTROL);
	ck_assert_uint_eq(own_query(2 * MIB2).order, 9);
	ck_assert_uint_eq(own_query(4 * GIB).order, config.largest);
	ck_assert_uint_eq(own_query(6 * GIB).state, OWN_NONE);
	ck_assert_uint_eq(own_query(UINT64_MAX).state, OWN_NONE);
	finish();
}
END_TEST

START_TEST(bad_arguments)
{
	static const struct block block = { 4 * GIB, 0 };
	uint8_t *before;

	start(_i);
	model_init(&block, 1);
	ck_assert_int_eq(own_donate(4 * GIB, 0, 1), 0);
	before = malloc((reserve_pages + 1) * PAGE_SIZE);
	memcpy(before, memory_test_arena, (reserve_pages + 1) * PAGE_SIZE);

	ck_assert_int_eq(own_donate(4 * MIB2, 0, 0), -EINVAL);
	ck_assert_int_eq(own_donate(4 * MIB2, 0, OWN_VMS + 1), -EINVAL);
	ck_assert_int_eq(own_donate(4 * MIB2, 19, 1), -EINVAL);
	ck_assert_int_eq(own_donate(4 * MIB2, UINT32_MAX, 1), -EINVAL);
	ck_assert_int_eq(own_donate(4 * MIB2 + 1, 0, 1), -EINVAL);
	ck_assert_int_eq(own_donate(4 * MIB2 + KIB4, 1, 1), -EINVAL);
	ck_assert_int_eq(own_share(4 * MIB2 + KIB4, 1, 1), -EINVAL);
	ck_assert_int_eq(own_unshare(4 * MIB2 + KIB4, 1, 1), -EINVAL);
	ck_assert_int_eq(own_reclaim(4 * GIB + KIB4, 1, 1), -EINVAL);
	ck_assert_int_eq(own_assign(4 * GIB, 0, 1, OWN_DONATED, OWN_MAPPED), -EINVAL);
	ck_assert_int_eq(own_assign(4 * GIB, 0, 1, OWN_DONATED, OWN_SHARED), -EINVAL);
	ck_assert_int_eq(own_assign(4 * GIB, 0, 1, OWN_DONATED, OWN_HELD), -EINVAL);
	ck_assert_int_eq(own_assign(4 * GIB, 0, 1, OWN_DONATED, OWN_STATES), -EINVAL);
	ck_assert_int_eq(own_assign(4 * GIB, 0, 1, OWN_MAPPED, OWN_RAM), -EINVAL);
	ck_assert_int_eq(own_assign(4 * GIB, 0, 2, OWN_DONATED, OWN_RAM), -EPERM);
	ck_assert_int_eq(own_assign(4 * GIB, 1, 1, OWN_DONATED, OWN_RAM), -EPERM);
	ck_assert_int_eq(own_check(4 * GIB, 0, 1, OWN_RAM), -EPERM);
	ck_assert_int_eq(own_check(4 * GIB, 0, 1, OWN_DONATED), 0);
	ck_assert_int_eq(own_donate(0, 0, 1), -EPERM);
	ck_assert_int_eq(own_donate(0, 18, 1), -EPERM);
	ck_assert_int_eq(own_donate(6 * GIB, 0, 1), -EPERM);
	ck_assert_int_eq(own_donate((UINT64_C(1) << 48) + 4 * MIB2, 0, 1), -EPERM);
	ck_assert_int_eq(own_donate(UINT64_C(0) - KIB4, 0, 1), -EPERM);
	ck_assert_int_eq(own_take_for_keel(MIB2, MIB2), -EINVAL);
	ck_assert_int_eq(own_take_for_keel(MIB2, MIB2 + 1), -EINVAL);
	ck_assert_int_eq(own_take_for_keel(4 * GIB - KIB4, 4 * GIB + KIB4), -EPERM);
	ck_assert_int_eq(own_take_for_keel(5 * GIB, 6 * GIB + KIB4), -EPERM);
	ck_assert_int_eq(own_trap_writes(4 * MIB2), -EPERM);
	ck_assert_int_eq(own_trap_writes(3 * GIB + 1), -EINVAL);

	ck_assert_int_eq(memcmp(before, memory_test_arena, (reserve_pages + 1) * PAGE_SIZE), 0);
	ck_assert_uint_eq(own_count(1), 1);
	free(before);
	finish();
}
END_TEST

START_TEST(bad_configs)
{
	static const struct own_range overlap[] = { { 0, MIB2 }, { KIB4, 2 * MIB2 } };
	static const struct own_range ragged[] = { { 0, MIB2 + 1 } };
	static const struct own_range beyond[] = { { 0, 2 * GIB } };
	static const struct own_range empty[] = { { MIB2, MIB2 } };
	struct own_config bad = { &pt_format_npt, PT_ORDER_1G, GIB, overlap, 2, NULL, NULL };

	ck_assert_uint_eq(own_frames_needed(&bad), 0);
	ck_assert_int_eq(own_init(&bad, 0), -EINVAL);
	bad.count = 1;
	bad.ranges = ragged;
	ck_assert_int_eq(own_init(&bad, 0), -EINVAL);
	bad.ranges = beyond;
	ck_assert_int_eq(own_init(&bad, 0), -EINVAL);
	bad.ranges = empty;
	ck_assert_int_eq(own_init(&bad, 0), -EINVAL);
	bad.count = 0;
	bad.limit = UINT64_C(1) << 49;
	ck_assert_int_eq(own_init(&bad, 0), -EINVAL);
}
END_TEST

static const struct block few[] = {
	{ 2 * MIB2, 0 }, { 2 * MIB2 + KIB4, 0 }, { 2 * MIB2, 1 }, { 2 * MIB2, 9 }, { 2 * MIB2, 10 },
	{ 4 * GIB, 18 }, { 4 * GIB + MIB2, 9 }, { 4 * GIB + MIB2 + KIB4, 0 }, { MIB2, 9 },
};

#define FEW	ARRAY_SIZE(few)
#define OPS	(FEW * VERBS)
#define TOUCHED	16u	/* frames of the reserve that these blocks reach: the first ones */

/* One operation in both; false on the first difference. */
static bool step(unsigned op)
{
	static uint8_t before[TOUCHED * 4096];
	const struct block *block = &few[op / VERBS];
	int error, expected;

	memcpy(before, memory_test_arena + PAGE_SIZE, sizeof(before));
	error = act(op % VERBS, block);
	expected = model_act(op % VERBS, block);
	return error == expected && agrees() &&
	       (error == 0 || memcmp(before, memory_test_arena + PAGE_SIZE, sizeof(before)) == 0);
}

static void restart(void)
{
	own_init(&config, PAGE_SIZE);
	model_reset();
}

START_TEST(short_sequences)
{
	struct survey result;

	start(_i);
	model_init(few, FEW);
	for (unsigned a = 0; a < OPS; a++) {
		restart();
		/* A first step that is refused changes nothing: then the rest is covered by the others. */
		if (act(a % VERBS, &few[a / VERBS]) != 0)
			continue;
		for (unsigned bc = 0; bc < OPS * OPS; bc++) {
			unsigned b = bc / OPS, c = bc % OPS;

			/* The third block is one that meets the second. */
			if (c / VERBS < 5 ? b / VERBS >= 5 : b / VERBS < 5)
				continue;
			restart();
			if (!step(a) || !step(b) || !step(c))
				ck_abort_msg("variant %d: operations %u, %u, %u differ from the model", _i, a, b, c);
		}
		result = survey();
		ck_assert(result.sound);
	}
	finish();
}
END_TEST

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)seed * below >> 32);
}

static void draw_blocks(struct block *blocks, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned high = draw(2), order = draw(high ? 19 : 12);
		uint64_t span = high ? GIB : 4 * MIB2, base = high ? 4 * GIB : 2 * MIB2;
		uint64_t page = draw(3) == 0 ? draw(16) : draw(span / KIB4);

		blocks[i] = (struct block){ (base + page * KIB4) & ~((KIB4 << order) - 1), order };
	}
}

/* Everybody gives everything back. */
static void give_back(void)
{
	for (unsigned i = 0; i < atom_count; i++) {
		for (uint64_t hpa = atoms[i].start; hpa < atoms[i].end; hpa += KIB4) {
			if (atoms[i].state == OWN_MAPPED)
				break;
			if (atoms[i].state == OWN_SHARED)
				own_unshare(hpa, 0, atoms[i].owner);
			else
				own_reclaim(hpa, 0, atoms[i].owner);
		}
	}
	model_reset();
}

START_TEST(long_sequences)
{
	struct block blocks[24];
	struct survey fresh, result;
	uint8_t *before;

	start(_i % 4);
	seed = 77 + _i;
	draw_blocks(blocks, 24);
	model_init(blocks, 24);
	fresh = survey();
	before = malloc((reserve_pages + 1) * PAGE_SIZE);
	for (unsigned round = 0; round < 800; round++) {
		const struct block *block = &blocks[draw(24)];
		enum verb verb = draw(VERBS);
		bool compare = round % 16 == 0;
		int error, expected;

		if (compare)
			memcpy(before, memory_test_arena, (reserve_pages + 1) * PAGE_SIZE);
		error = act(verb, block);
		expected = model_act(verb, block);
		if (error != expected || !agrees())
			ck_abort_msg("round %u differs from the model", round);
		if (compare && error != 0)
			ck_assert_int_eq(memcmp(before, memory_test_arena, (reserve_pages + 1) * PAGE_SIZE), 0);
		if (round % 256 == 0)
			ck_assert(survey().sound);
	}
	give_back();
	result = survey();
	ck_assert(result.sound && agrees());
	ck_assert_uint_eq(result.hash, fresh.hash);
	free(before);
	finish();
}
END_TEST

/* Every second page out: all tables that can exist do. The arena ends with the reserve, which ASan watches. */
START_TEST(worst_case)
{
	struct survey fresh, result;
	bool good = true;

	start(_i);
	model_init(NULL, 0);
	fresh = survey();
	for (unsigned i = 0; i < config.count; i++) {
		for (uint64_t hpa = ranges[i].start; hpa < ranges[i].end; hpa += 2 * KIB4)
			good &= own_donate(hpa, 0, 1 + hpa / KIB4 / 2 % OWN_VMS) == 0;
	}
	ck_assert(good);
	atom_count = 0;
	result = survey();
	ck_assert(result.sound);
	for (unsigned i = 0; i < config.count; i++) {
		for (uint64_t hpa = ranges[i].start; hpa < ranges[i].end; hpa += 2 * KIB4)
			good &= own_reclaim(hpa, 0, 1 + hpa / KIB4 / 2 % OWN_VMS) == 0;
	}
	ck_assert(good);
	result = survey();
	ck_assert_uint_eq(result.hash, fresh.hash);
	finish();
}
END_TEST

START_TEST(keel_and_traps)
{
	const uint64_t apic = UINT64_C(0xfee00000);
	struct own_frame frame;
	uint64_t used = 0;

	start(_i);
	ck_assert_int_eq(own_take_for_keel(2 * MIB2 + KIB4, 4 * MIB2), 0);
	ck_assert_int_eq(own_take_for_keel(2 * MIB2 + KIB4, 4 * MIB2), -EPERM);
	frame = own_query(3 * MIB2);
	ck_assert(frame.owner == OWN_KEEL && frame.state == OWN_HELD && frame.order == 9);
	ck_assert_int_eq(own_donate(3 * MIB2, 0, 1), -EPERM);
	ck_assert_int_eq(own_share(2 * MIB2, 9, 1), -EPERM);
	ck_assert_int_eq(own_donate(2 * MIB2, 0, 1), 0);

	ck_assert_int_eq(own_trap_writes(apic), 0);
	frame = own_query(apic + 0x300);
	ck_assert(frame.owner == OWN_DEVICE && frame.state == OWN_TRAPPED && frame.order == 0);
	frame = own_query(apic + KIB4);
	ck_assert(frame.owner == OWN_DEVICE && frame.state == OWN_MAPPED && frame.order == 0);
	ck_assert_int_eq(own_trap_writes(apic), -EPERM);
	/* The spares bound how many splits there may be outside memory: no more, and no accident. */
	for (uint64_t hpa = GIB; hpa < 2 * GIB; hpa += MIB2) {
		int error = own_trap_writes(hpa);

		if (error != 0) {
			ck_assert_int_eq(error, -ENOSPC);
			break;
		}
		used++;
	}
	ck_assert_uint_ge(used, OWN_SPARES - 5);
	ck_assert_uint_le(used, OWN_SPARES);
	atom_count = 0;
	ck_assert(survey().sound);
	finish();
}
END_TEST

/* More stretches of memory than there are spans: frames are wasted, but nothing else. */
START_TEST(many_ranges)
{
	static struct own_range many[100];
	struct own_config wide = { &pt_format_npt, PT_ORDER_1G, 128 * GIB, many, 100, NULL, NULL };
	bool good = true;

	for (unsigned i = 0; i < 100; i++)
		many[i] = (struct own_range){ i * 8 * MIB2 + KIB4, i * 8 * MIB2 + 2 * MIB2 };
	config = wide;
	reserve_pages = own_frames_needed(&config);
	memory_test_arena = calloc(reserve_pages + 1, PAGE_SIZE);
	ck_assert_int_eq(own_init(&config, PAGE_SIZE), 0);
	for (unsigned i = 0; i < 100; i++)
		good &= own_donate(many[i].start, 0, 3) == 0 &&
			own_donate(many[i].start - KIB4, 0, 3) == -EPERM;
	ck_assert(good);
	ck_assert_uint_eq(own_count(3), 100);
	finish();
}
END_TEST

/* All that four levels reach: a little more than 2 MiB of tables, and devices up to the top. */
START_TEST(all_addresses)
{
	const uint64_t limit = UINT64_C(1) << 48, places[] = { 5 * GIB, limit / 2, limit - GIB, limit - KIB4 };
	struct page_table table;
	struct pt_place place;

	config = (struct own_config){ _i ? &pt_format_ept : &pt_format_npt, PT_ORDER_1G, limit, ranges, 2, NULL, NULL };
	reserve_pages = own_frames_needed(&config);
	ck_assert_uint_ge(reserve_pages, 512);
	ck_assert_uint_le(reserve_pages, 512 + 584 + OWN_SPARES);
	memory_test_arena = calloc(reserve_pages + 1, PAGE_SIZE);
	ck_assert_int_eq(own_init(&config, PAGE_SIZE), 0);
	table = (struct page_table){ config.format, PAGE_SIZE, config.largest };
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		ck_assert_uint_eq(own_query(places[i]).state, OWN_MAPPED);
		ck_assert_uint_eq(own_query(places[i]).owner, OWN_DEVICE);
		ck_assert(pt_lookup(&table, places[i], &place));
		ck_assert_uint_eq(place.order, PT_ORDER_1G);
		ck_assert_uint_eq(pt_leaf_address(config.format, &place, places[i]), places[i]);
	}
	ck_assert_int_eq(own_donate(ranges[0].start, 0, 3), 0);
	finish();
	config.limit = limit + GIB;
	ck_assert_uint_eq(own_frames_needed(&config), 0);
}
END_TEST

/* Not cached: half of a block of memory in the first GiB, a page of memory above 4 GiB, and devices from 1 GiB on. */
static bool page_cached(uint64_t hpa)
{
	return (hpa < 3 * MIB2 + MIB2 / 2 || hpa >= 4 * MIB2) && (hpa < GIB || hpa >= 4 * GIB) && hpa != 4 * GIB + 5 * KIB4;
}

static enum pt_caching caching(uint64_t hpa, uint64_t bytes)
{
	static const uint64_t edges[] = { 3 * MIB2 + MIB2 / 2, 4 * MIB2, GIB, 4 * GIB, 4 * GIB + 5 * KIB4, 4 * GIB + 6 * KIB4 };

	for (unsigned i = 0; i < ARRAY_SIZE(edges); i++) {
		if (edges[i] > hpa && edges[i] < hpa + bytes)
			return PT_MIXED;
	}
	return page_cached(hpa) ? PT_CACHED : PT_NOT_CACHED;
}

/* Leaves are cached where all of their memory is, and memory is mapped by leaves of one type. */
static void check_types(void)
{
	static const uint64_t places[] = { 0, MIB2, 2 * MIB2, 3 * MIB2, 3 * MIB2 + MIB2 / 2, 4 * MIB2, 6 * MIB2, 7 * MIB2,
					   GIB, 3 * GIB, 4 * GIB, 4 * GIB + 5 * KIB4, 4 * GIB + 6 * KIB4, 4 * GIB + MIB2 };
	const struct page_table table = { config.format, PAGE_SIZE, config.largest };
	const uint64_t mask = config.format->cached;
	struct pt_place place;

	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		ck_assert(pt_lookup(&table, places[i], &place));
		ck_assert_uint_eq(place.entry & mask, page_cached(places[i]) ? mask : 0);
	}
}

START_TEST(memory_types)
{
	for (unsigned variant = 1; variant < 4; variant += 2) {
		start(variant);
		config.caching = caching;
		ck_assert_int_eq(own_init(&config, PAGE_SIZE), 0);
		check_types();
		ck_assert_int_eq(own_donate(2 * MIB2, PT_ORDER_2M, 1), 0);
		ck_assert_int_eq(own_reclaim(2 * MIB2, PT_ORDER_2M, 1), 0);
		ck_assert_int_eq(own_donate(4 * GIB + 5 * KIB4, 0, 1), 0);
		ck_assert_int_eq(own_reclaim(4 * GIB + 5 * KIB4, 0, 1), 0);
		ck_assert_int_eq(own_trap_writes(3 * GIB), 0);
		check_types();
		finish();
	}
}
END_TEST

SUITE("own", tests)
{
	tcase_set_timeout(tests, 30);
	tcase_add_loop_test(tests, fresh_table, 0, 4);
	tcase_add_loop_test(tests, bad_arguments, 0, 4);
	tcase_add_test(tests, bad_configs);
	tcase_add_loop_test(tests, short_sequences, 0, 4);
	tcase_add_loop_test(tests, long_sequences, 0, 8);
	tcase_add_loop_test(tests, worst_case, 0, 4);
	tcase_add_loop_test(tests, keel_and_traps, 0, 4);
	tcase_add_test(tests, many_ranges);
	tcase_add_loop_test(tests, all_addresses, 0, 2);
	tcase_add_test(tests, memory_types);
}
