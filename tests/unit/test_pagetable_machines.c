/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page tables with a pool of frames, on machines small enough to try everything: from each state that can be reached, each map,
 * unmap, split and merge, against an array that says what each page is mapped to. Between any two stores a processor walks.
 */
#include "small_machine.h"

#include <keel/macros.h>

#include "error.h"

#include "../../vmm/pagetable.c"

#define ROOT		1u
#define PAGES		(SCALE == 1 ? 8u : 32u)	/* of virtual addresses, from 0; in the upper half there is one more */
#define LAST		PAGES
#define FAR		(UINT64_C(1) << (PT_ORDER_TOP + SCALE - 1))
#define OPS_MAX		400u
#define DELTAS		3u

uint8_t *memory_test_arena;

/* Physical pages lie that much above the virtual ones; by the last one no larger leaf can be made of pages. */
static const uint64_t deltas[DELTAS] = { 64, 128, 193 };

struct page {
	uint8_t mapped;		/* 1 + delta + DELTAS * writable; 0: nothing */
	uint8_t order;		/* of the leaf */
};

struct state {
	struct page page[PAGES + 1];
};

static struct state before, after;
static struct page_table table;
static struct frame_pool pool;
static unsigned int pool_size;
static bool watching;

enum verb { MAP, UNMAP, SPLIT, MERGE };

struct op {
	enum verb verb;
	uint64_t page;
	unsigned int order, mapped;
};

static uint64_t number(unsigned int index)
{
	return index == LAST ? FAR : index;
}

static bool finds(struct seen seen, uint64_t page, struct page expected)
{
	unsigned int mapped = expected.mapped - 1u;

	if (expected.mapped == 0)
		return !seen.present && seen.state == 0 && seen.mark == 0;
	return seen.present && seen.page == page + deltas[mapped % DELTAS] && seen.write == (mapped >= DELTAS) && !seen.exec &&
	       seen.user == (kind != EPT) && seen.cached && seen.dirty && seen.mark == 0;
}

static void store_seen(void)
{
	if (!watching)
		return;
	reach(ROOT, NULL);
	for (unsigned int i = 0; i <= LAST; i++) {
		struct seen seen = walk(ROOT, number(i), table.largest);

		if (!finds(seen, number(i), before.page[i]) && !finds(seen, number(i), after.page[i]))
			ck_abort_msg("page %u is neither as before nor as after, behind store %u", i, stores);
	}
}

/* Whether there is a table whose entries have this order, for that page: something in it is mapped by them or below. */
static bool has_table(const struct state *state, unsigned int index, unsigned int order)
{
	unsigned int span = 1u << (order + PT_ORDER_STEP), first = index == LAST ? LAST : index / span * span;
	unsigned int behind = index == LAST ? LAST + 1 : first + span < PAGES ? first + span : PAGES;
	bool some = false;

	for (unsigned int i = first; i < behind; i++)
		some |= state->page[i].mapped != 0 && state->page[i].order <= order;
	return some;
}

static unsigned int tables(const struct state *state)
{
	unsigned int count = 0;

	for (unsigned int order = 0; order < PT_ORDER_TOP; order += PT_ORDER_STEP) {
		for (unsigned int i = 0; i < PAGES; i += 1u << (order + PT_ORDER_STEP))
			count += has_table(state, i, order);
		count += has_table(state, LAST, order);
	}
	return count;
}

static unsigned int missing(const struct state *state, unsigned int index, unsigned int leaf)
{
	unsigned int count = 0;

	for (unsigned int order = leaf; order < PT_ORDER_TOP; order += PT_ORDER_STEP)
		count += !has_table(state, index, order);
	return count;
}

static int model_map(const struct op *op, unsigned int index)
{
	unsigned int level = op->order / PT_ORDER_STEP * PT_ORDER_STEP;
	unsigned int leaf = level < table.largest ? level : table.largest;

	if (deltas[(op->mapped - 1) % DELTAS] % (1u << op->order) != 0)
		return -EINVAL;
	for (unsigned int i = index; i < index + (1u << op->order); i++) {
		if (before.page[i].mapped != 0)
			return -EBUSY;
	}
	if (missing(&before, index, leaf) > pool.count)
		return -ENOMEM;
	for (unsigned int i = index; i < index + (1u << op->order); i++)
		after.page[i] = (struct page){ (uint8_t)op->mapped, (uint8_t)leaf };
	return 0;
}

static int model_unmap(const struct op *op, unsigned int index)
{
	unsigned int level = op->order / PT_ORDER_STEP * PT_ORDER_STEP;

	if (before.page[index].mapped != 0 && before.page[index].order > level)
		return -EBUSY;
	for (unsigned int i = index; i < index + (1u << op->order); i++) {
		if (before.page[i].mapped == 0)
			return -ENOENT;
		after.page[i] = (struct page){ 0 };
	}
	return 0;
}

/* The leaf around a page falls apart, down to entries of this order on the way to the page. */
static void model_split(unsigned int index, unsigned int order)
{
	while (after.page[index].order > order) {
		unsigned int whole = after.page[index].order, first = index >> whole << whole;

		for (unsigned int i = first; i < first + (1u << whole); i++)
			after.page[i].order = (uint8_t)(whole - PT_ORDER_STEP);
	}
}

static bool mergeable(unsigned int first, unsigned int order)
{
	for (unsigned int i = first; i < first + (1u << order); i++) {
		if (i >= PAGES || after.page[i].mapped == 0 || after.page[i].mapped != after.page[first].mapped ||
		    after.page[i].order != order - PT_ORDER_STEP)
			return false;
	}
	return deltas[(after.page[first].mapped - 1u) % DELTAS] % (1u << order) == 0;
}

static void model_merge(unsigned int index)
{
	for (unsigned int order = PT_ORDER_STEP; order <= table.largest; order += PT_ORDER_STEP) {
		unsigned int first = index >> order << order;

		if (index == LAST || (after.page[index].mapped != 0 && after.page[index].order >= order))
			continue;
		if (!mergeable(first, order))
			return;
		for (unsigned int i = first; i < first + (1u << order); i++)
			after.page[i].order = (uint8_t)order;
	}
}

static int model(const struct op *op)
{
	unsigned int index = op->page == FAR ? LAST : (unsigned int)op->page;
	unsigned int level = op->order / PT_ORDER_STEP * PT_ORDER_STEP;

	after = before;
	if (op->order > PT_ORDER_MAX || op->page % (UINT64_C(1) << op->order) != 0)
		return -EINVAL;
	switch (op->verb) {
	case MAP:
		return model_map(op, index);
	case UNMAP:
		return model_unmap(op, index);
	case SPLIT:
		if (before.page[index].mapped == 0)
			return -ENOENT;
		if (before.page[index].order > level && (before.page[index].order - level) / PT_ORDER_STEP > pool.count)
			return -ENOMEM;
		model_split(index, op->order);
		return 0;
	case MERGE:
		model_merge(index);
		return 0;
	}
	return 1;
}

static int act(const struct op *op)
{
	uint64_t va = op->page * PAGE_SIZE;
	unsigned int mapped = op->mapped - 1;

	/* The upper half of the addresses is sign-extended. */
	if (op->page == FAR)
		va |= ~(FAR * PAGE_SIZE - 1);
	switch (op->verb) {
	case MAP:
		return pt_map(&table, va, (op->page + deltas[mapped % DELTAS]) * PAGE_SIZE, op->order,
			      PT_READ | PT_USER | (mapped >= DELTAS ? PT_WRITE : 0), 0, &pool);
	case UNMAP:
		return pt_unmap(&table, va, op->order, &pool);
	case SPLIT:
		return pt_split_to(&table, va, op->order, &pool);
	case MERGE:
		pt_merge_up(&table, va, &pool);
		return 0;
	}
	return 1;
}

static void check_state(const struct state *state)
{
	uint64_t frame = pool.head;
	bool in_use[64] = { false };

	reach(ROOT, NULL);
	for (unsigned int i = 0; i <= LAST; i++) {
		struct seen seen = walk(ROOT, number(i), table.largest);

		require(finds(seen, number(i), state->page[i]), "page %u is not what it should be", i);
		require(!seen.present || seen.order == state->page[i].order, "page %u by a leaf of order %u", i, seen.order);
	}
	require(reached_count == tables(state) + 1, "%u tables instead of %u", reached_count - 1, tables(state));
	require(pool.count + reached_count - 1 == pool_size, "frames are lost, or there are more");
	for (unsigned int i = 0; i < reached_count; i++)
		in_use[reached[i]] = true;
	for (unsigned int i = 0; i < pool.count; i++) {
		unsigned int index = (unsigned int)(frame / PAGE_SIZE);

		require(frame % PAGE_SIZE == 0 && index > ROOT && index < frames && !in_use[index], "a frame twice");
		in_use[index] = true;
		frame = *frame_entries(index);
	}
}

static struct op ops[OPS_MAX];
static unsigned int op_count;

static void add_op(enum verb verb, uint64_t page, unsigned int order, unsigned int mapped)
{
	require(op_count < OPS_MAX, "too many operations");
	ops[op_count++] = (struct op){ verb, page, order, mapped };
}

static void add_ops(void)
{
	static const struct {
		uint64_t page;
		unsigned int order;
	} blocks[] = {
#if SCALE == 1
		{ 0, 2 }, { 0, 1 }, { 2, 1 }, { 0, 0 }, { 1, 0 }, { 3, 0 }, { FAR, 0 }, { 1, 1 }, { 0, 3 },
#else
		{ 0, 4 }, { 0, 3 }, { 0, 2 }, { 4, 2 }, { 0, 1 }, { 0, 0 }, { 8, 3 }, { 2, 2 }, { 0, 5 }, { FAR, 0 },
#endif
	};

	op_count = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(blocks); i++) {
		for (unsigned int mapped = 1; mapped <= (SCALE == 1 ? 2 * DELTAS : DELTAS); mapped += SCALE == 1 ? 1 : 2)
			add_op(MAP, blocks[i].page, blocks[i].order, mapped);
		add_op(UNMAP, blocks[i].page, blocks[i].order, 1);
	}
	for (unsigned int i = 0; i < 4; i++) {
		for (unsigned int order = 0; order <= PT_ORDER_2M; order++)
			add_op(SPLIT, i << SCALE & ~((1u << order) - 1), order, 1);
		add_op(MERGE, i << SCALE, 0, 1);
	}
	add_op(SPLIT, FAR, 0, 1);
	add_op(MERGE, FAR, 0, 1);
}

struct record {
	struct state state;
	struct frame_pool pool;
	uint64_t entries[];
};

static struct record **queue;
static size_t queue_room;

static uint64_t state_key(const struct state *state)
{
	uint64_t key = UINT64_C(0xcbf29ce484222325);

	/* Of a GiB of 16 pages there are more bits than a key has: the chance that two states have one key is 2^-40. */
	for (unsigned int i = 0; i <= LAST; i++)
		key = (key ^ (state->page[i].mapped << 3 | state->page[i].order)) * UINT64_C(0x100000001b3);
	return key | 1;
}

static void put_record(const struct record *record)
{
	pool = record->pool;
	for (unsigned int frame = 0; frame < frames; frame++)
		memcpy(frame_entries(frame), &record->entries[(size_t)frame * PT_ENTRIES], PT_ENTRIES * sizeof(uint64_t));
	shadow_take();
	reach(ROOT, NULL);
}

static bool is_record(const struct record *record)
{
	bool same = !memcmp(&pool, &record->pool, sizeof(pool));

	for (unsigned int frame = 0; frame < frames; frame++)
		same &= !memcmp(frame_entries(frame), &record->entries[(size_t)frame * PT_ENTRIES],
				PT_ENTRIES * sizeof(uint64_t));
	return same;
}

static void queue_add(struct state_set *set, const struct state *state)
{
	struct record *record;

	if (!set_add(set, state_key(state)))
		return;
	if (set->count > queue_room) {
		queue_room = queue_room * 2 + 1024;
		queue = realloc(queue, queue_room * sizeof(*queue));
	}
	record = malloc(sizeof(*record) + (size_t)frames * PT_ENTRIES * sizeof(uint64_t));
	record->state = *state;
	record->pool = pool;
	for (unsigned int frame = 0; frame < frames; frame++)
		memcpy(&record->entries[(size_t)frame * PT_ENTRIES], frame_entries(frame), PT_ENTRIES * sizeof(uint64_t));
	queue[set->count - 1] = record;
}

static bool try(const struct record *record, const struct op *op)
{
	int expected = model(op), error;

	stores = 0;
	if (op->verb == MAP && expected != -EINVAL && expected != -EBUSY) {
		unsigned int leaf = pt_leaf_order(&table, op->order);

		require(pt_frames_needed(&table, op->page * PAGE_SIZE, op->order) ==
			missing(&before, op->page == FAR ? LAST : (unsigned int)op->page, leaf), "frames needed");
	}
	error = act(op);
	shadow_check();
	if (error != expected)
		ck_abort_msg("verb %u, page %lu, order %u, mapping %u: %d instead of %d", op->verb, op->page, op->order,
			     op->mapped, error, expected);
	if (error != 0) {
		require(stores == 0 && is_record(record), "a call that failed has changed something");
		return false;
	}
	check_state(&after);
	return true;
}

START_TEST(every_state)
{
	struct state_set set;
	uint64_t done = 0;

	kind = _i % 3;
	table = (struct page_table){ kind_format(), ROOT * PAGE_SIZE, _i / 3 % 2 ? PT_ORDER_2M : PT_ORDER_1G };
	pool_size = _i / 6 ? 3 : 10;
	frames = pool_size + ROOT + 1;
	memory_test_arena = aligned_alloc(PAGE_SIZE, frames * PAGE_SIZE);
	ck_assert_ptr_nonnull(memory_test_arena);
	memset(memory_test_arena, 0x5a, frames * PAGE_SIZE);
	memset(frame_entries(ROOT), 0, PAGE_SIZE);
	for (unsigned int frame = ROOT + 1; frame < frames; frame++)
		frame_pool_put(&pool, frame * PAGE_SIZE);
	watching = true;
	add_ops();
	set_init(&set, 1u << 18);
	queue_add(&set, &before);
	for (size_t at = 0; at < set.count; at++) {
		const struct record *record = queue[at];

		before = record->state;
		put_record(record);
		for (unsigned int i = 0; i < op_count; i++) {
			if (!try(record, &ops[i]))
				continue;
			done++;
			queue_add(&set, &after);
			put_record(record);
		}
	}
	require(done > set.count, "hardly anything was carried out");
	while (set.count > 0)
		free(queue[--set.count]);
	free(queue);
	free(set.keys);
	free(memory_test_arena);
}
END_TEST

SUITE("pagetable_machines", tests)
{
	tcase_set_timeout(tests, 300);
	tcase_add_loop_test(tests, every_state, 0, 12);
}
