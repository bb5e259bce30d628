/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The page tables of machines that are small enough to try everything: tables of 2^SCALE entries, so that with SCALE 1 a
 * "2 MiB" leaf covers two pages and a "1 GiB" leaf four. The file under test is the real one, with its constants scaled.
 * Every store into a table is seen before and after, and a processor walks the tables in between: this walk is written down
 * here from the manuals once more, and shares nothing with the code under test.
 */
#ifndef TESTS_SMALL_MACHINE_H
#define TESTS_SMALL_MACHINE_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "memory.h"
#include "own.h"
#include "pagetable.h"
#include "pt_format.h"
#include "suite.h"

#undef PT_ENTRIES
#define PT_ENTRIES	(1u << SCALE)
#undef PT_ORDER_2M
#define PT_ORDER_2M	(1u * SCALE)
#undef PT_ORDER_1G
#define PT_ORDER_1G	(2u * SCALE)
#undef PT_ORDER_MAX
#define PT_ORDER_MAX	(2u * SCALE)
#undef PT_ORDER_TOP
#define PT_ORDER_TOP	(3u * SCALE)
#undef PT_ORDER_STEP
#define PT_ORDER_STEP	(1u * SCALE)
#undef OWN_ORDER_MAX
#define OWN_ORDER_MAX	(2u * SCALE)
#undef SIZE_2M
#define SIZE_2M		(PAGE_SIZE << PT_ORDER_2M)
#undef SIZE_1G
#define SIZE_1G		(PAGE_SIZE << PT_ORDER_1G)

/* As ck_assert_msg(), which is too slow for what is asked millions of times: it notes each place that it passes. */
#define require(condition, ...) \
	do { \
		if (!(condition)) \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)
#define require_equal(left, right) require((left) == (right), "%s is %lu, not %s", #left, (unsigned long)(left), #right)

/* What the test looks at between two stores. */
static void store_seen(void);

static unsigned int stores;	/* since the test last set it to 0 */
static unsigned int frames;	/* of the arena; frame 0 is never used */

/* Entries that the tables had at the last store: another store would be one that went past pt_store(). */
static uint64_t shadow[4096 * 8];
static unsigned int reached[64];
static unsigned int reached_count;

static uint64_t *frame_entries(unsigned int frame)
{
	return (uint64_t *)(void *)(memory_test_arena + frame * PAGE_SIZE);
}

static uint64_t *frame_shadow(unsigned int frame)
{
	return &shadow[(size_t)frame * PT_ENTRIES];
}

static void shadow_take(void)
{
	for (unsigned int frame = 1; frame < frames; frame++)
		memcpy(frame_shadow(frame), frame_entries(frame), PT_ENTRIES * sizeof(uint64_t));
}

/* Nothing that a processor can reach has changed but by stores that were seen. */
static void shadow_check(void)
{
	for (unsigned int i = 0; i < reached_count; i++)
		require(!memcmp(frame_shadow(reached[i]), frame_entries(reached[i]), PT_ENTRIES * sizeof(uint64_t)),
			      "a table in use was changed by other than one store an entry");
}

static void observed_store(uint64_t *slot, uint64_t entry)
{
	size_t offset = (size_t)((uint8_t *)slot - memory_test_arena);

	require(offset % 8 == 0 && offset / PAGE_SIZE < frames, "a store outside the tables");
	shadow_check();
	*slot = entry;
	if (offset % PAGE_SIZE / 8 < PT_ENTRIES)
		frame_shadow((unsigned int)(offset / PAGE_SIZE))[offset % PAGE_SIZE / 8] = entry;
	stores++;
	store_seen();
}

#define pt_store observed_store

/* APM vol. 2, 5.3, 5.4 and 15.25; SDM vol. 3, 4.5 and 29.3. */
enum kind { X86, NPT, EPT, KINDS };

static enum kind kind;

static const struct pt_format *kind_format(void)
{
	return kind == X86 ? &pt_format_x86 : kind == NPT ? &pt_format_npt : &pt_format_ept;
}

/* What a walk finds: a leaf, or an entry that is not present. */
struct seen {
	bool present, write, exec, user, cached, dirty;
	unsigned int mark;		/* bits 52 to 58 */
	unsigned int state;		/* not present: bits 4 to 7 */
	uint64_t page;			/* present: number of the page */
	unsigned int order;
};

#define ADDRESS_BITS	UINT64_C(0x000ffffffffff000)
#define NOTE_BITS	(UINT64_C(0x7f) << 52)

static bool entry_present(uint64_t entry)
{
	return (entry & (kind == EPT ? 7 : 1)) != 0;
}

static bool entry_points(uint64_t entry, unsigned int order)
{
	return order > 0 && entry_present(entry) && (entry & 0x80) == 0;
}

/* A table's entry leaves all rights to the leaf, and has no reserved bit set. */
static void check_pointer(uint64_t entry)
{
	uint64_t target = entry & ADDRESS_BITS;

	require((entry & ~ADDRESS_BITS) == (kind == EPT ? 0x107 : 0x27), "table entry %lx", entry);
	require(target >= PAGE_SIZE && target / PAGE_SIZE < frames, "table entry %lx leads out of the reserve", entry);
}

static struct seen read_leaf(uint64_t entry, unsigned int order, unsigned int largest)
{
	struct seen seen = { .order = order, .mark = (unsigned int)(entry >> 52 & 0x7f) };
	uint64_t fixed = order > 0 ? 0x80 : 0;

	if (!entry_present(entry)) {
		seen.state = (unsigned int)(entry >> 4 & 0xf);
		require((entry & ~(NOTE_BITS | 0xf0)) == 0, "not present: %lx", entry);
		return seen;
	}
	seen.present = true;
	seen.page = (entry & ADDRESS_BITS) / PAGE_SIZE;
	seen.write = (entry & 2) != 0;
	require(order <= largest && seen.page % (UINT64_C(1) << order) == 0, "leaf %lx of order %u", entry, order);
	if (kind == EPT) {
		seen.exec = (entry & 4) != 0;
		seen.cached = (entry & 0x38) == 6 << 3;
		seen.dirty = (entry & 0x200) != 0;
		require((entry & 1) != 0 && (seen.cached || (entry & 0x38) == 0), "EPT misconfiguration %lx", entry);
		require((entry & 0x1c0 & ~UINT64_C(0x100)) == fixed && (entry & 0x100) != 0 && (entry >> 59) == 0 &&
			      (entry & 0xc00) == 0, "leaf %lx", entry);
	} else {
		seen.exec = entry >> 63 == 0;
		seen.user = (entry & 4) != 0;
		seen.cached = (entry & 0x18) == 0;
		seen.dirty = (entry & 0x40) != 0;
		require((entry & 0xfa0) == (fixed | 0x20) && (entry >> 59 & 0xf) == 0, "leaf %lx", entry);
		require(seen.cached || (kind == X86 && (entry & 0x18) == 0x18), "leaf %lx", entry);
	}
	return seen;
}

/* The processor's walk from the root, for one page. */
static struct seen walk(unsigned int root, uint64_t page, unsigned int largest)
{
	unsigned int order = PT_ORDER_TOP, frame = root;

	for (;;) {
		uint64_t entry = frame_entries(frame)[page >> order & (PT_ENTRIES - 1)];

		if (!entry_points(entry, order)) {
			struct seen seen = read_leaf(entry, order, largest);

			if (seen.present)
				seen.page += page & ((UINT64_C(1) << order) - 1);
			return seen;
		}
		check_pointer(entry);
		frame = (unsigned int)((entry & ADDRESS_BITS) / PAGE_SIZE);
		order -= PT_ORDER_STEP;
	}
}

/* visit sees each table that a walk can come to. No table is there twice. */
static void reach_table(unsigned int frame, uint64_t page, unsigned int order,
			void (*visit)(unsigned int, uint64_t, unsigned int))
{
	for (unsigned int i = 0; i < reached_count; i++)
		require(reached[i] != frame, "a table is in two places");
	require(reached_count < ARRAY_SIZE(reached), "more tables than there are");
	reached[reached_count++] = frame;
	if (visit != NULL)
		visit(frame, page, order);
	for (unsigned int i = 0; order > 0 && i < PT_ENTRIES; i++) {
		uint64_t entry = frame_entries(frame)[i];

		if (!entry_points(entry, order))
			continue;
		check_pointer(entry);
		reach_table((unsigned int)((entry & ADDRESS_BITS) / PAGE_SIZE), page + ((uint64_t)i << order),
			    order - PT_ORDER_STEP, visit);
	}
}

/* A table is filled in whatever way before it is in use: it counts from the moment on at which a walk can come to it. */
static void reach(unsigned int root, void (*visit)(unsigned int, uint64_t, unsigned int))
{
	bool was[ARRAY_SIZE(reached)] = { false };

	for (unsigned int i = 0; i < reached_count; i++)
		was[reached[i]] = true;
	reached_count = 0;
	reach_table(root, 0, PT_ORDER_TOP, visit);
	for (unsigned int i = 0; i < reached_count; i++) {
		if (!was[reached[i]])
			memcpy(frame_shadow(reached[i]), frame_entries(reached[i]), PT_ENTRIES * sizeof(uint64_t));
	}
}

/* Sets of states that have been reached: open addressing, keys of eight bytes, 0 is no key. */
struct state_set {
	uint64_t *keys;
	size_t size, count;
};

static void set_init(struct state_set *set, size_t size)
{
	*set = (struct state_set){ .keys = calloc(size, sizeof(uint64_t)), .size = size };
	ck_assert_ptr_nonnull(set->keys);
}

/* True: the key is new. */
static bool set_add(struct state_set *set, uint64_t key)
{
	size_t at = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 20) % set->size;

	for (; set->keys[at] != 0; at = (at + 1) % set->size) {
		if (set->keys[at] == key)
			return false;
	}
	require(++set->count < set->size, "more states than expected");
	set->keys[at] = key;
	return true;
}

#endif
