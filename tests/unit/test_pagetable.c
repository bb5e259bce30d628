/* SPDX-License-Identifier: GPL-2.0 */
/* Page tables against a small model of what was mapped. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <keel/macros.h>

#include "error.h"
#include "memory.h"
#include "pagetable.h"
#include "pt_format.h"
#include "suite.h"

#define ARENA_PAGES	96u
#define ROOT		PAGE_SIZE
#define POOL_PAGES	(ARENA_PAGES - 2)
#define GIB		(UINT64_C(1) << 30)
#define MIB2		(UINT64_C(1) << 21)

uint8_t *memory_test_arena;

static struct frame_pool pool;

static void setup(void)
{
	memory_test_arena = aligned_alloc(PAGE_SIZE, ARENA_PAGES * PAGE_SIZE);
	ck_assert_ptr_nonnull(memory_test_arena);
	memset(memory_test_arena, 0, ARENA_PAGES * PAGE_SIZE);
	pool = (struct frame_pool){ 0 };
	for (uint64_t i = 2; i < ARENA_PAGES; i++)
		frame_pool_put(&pool, i * PAGE_SIZE);
}

static void teardown(void)
{
	free(memory_test_arena);
}

static const struct pt_format *const formats[] = { &pt_format_x86, &pt_format_npt, &pt_format_ept };

static struct page_table make(int format, unsigned largest)
{
	return (struct page_table){ .format = formats[format], .root = ROOT, .largest = largest };
}

START_TEST(entry_bits)
{
	const uint64_t no_exec = UINT64_C(1) << 63;

	/* APM 2 5.4: P, R/W, U/S, PWT, PCD, A, D, PS, G from bit 0 on; NX in bit 63. */
	ck_assert_uint_eq(pt_leaf(&pt_format_x86, 0x5000, 0, PT_READ, 0), no_exec | 0x5061);
	ck_assert_uint_eq(pt_leaf(&pt_format_x86, 0x5000, 0, PT_WRITE | PT_EXEC | PT_USER | PT_GLOBAL, 0), 0x5167);
	ck_assert_uint_eq(pt_leaf(&pt_format_x86, MIB2, 9, PT_WRITE | PT_UNCACHED, 0), no_exec | MIB2 | 0xfb);
	ck_assert_uint_eq(pt_leaf(&pt_format_npt, GIB, 18, PT_WRITE | PT_EXEC, 0), GIB | 0xe7);
	ck_assert_uint_eq(pt_leaf(&pt_format_npt, 0, 0, PT_UNCACHED, UINT64_C(5) << 52),
			  no_exec | UINT64_C(5) << 52 | 0x65);
	/* SDM 3 29.3.2: R, W, X, type in bits 5:3, large in bit 7, A and D in bits 8 and 9. */
	ck_assert_uint_eq(pt_leaf(&pt_format_ept, MIB2, 9, PT_WRITE | PT_EXEC, 0), MIB2 | 0x3b7);
	ck_assert_uint_eq(pt_leaf(&pt_format_ept, 0x7000, 0, PT_READ | PT_UNCACHED, 0), 0x7301);
	/* Bit 6: whatever the guest's PAT says. The others have no such bit. */
	ck_assert_uint_eq(pt_leaf(&pt_format_ept, MIB2, 9, PT_WRITE | PT_EXEC | PT_COHERENT, 0), MIB2 | 0x3f7);
	ck_assert_uint_eq(pt_leaf(&pt_format_npt, GIB, 18, PT_WRITE | PT_EXEC | PT_COHERENT, 0), GIB | 0xe7);
	ck_assert_uint_eq(pt_format_ept.table, 0x107);
}
END_TEST

START_TEST(map_lookup_unmap)
{
	static const unsigned orders[] = { 0, 1, 5, 8, 9, 10, 17, 18 };

	for (unsigned l = 0; l < 2; l++) {
		struct page_table table = make(_i, l == 0 ? PT_ORDER_2M : PT_ORDER_1G);

		for (unsigned o = 0; o < ARRAY_SIZE(orders); o++) {
			unsigned order = orders[o], leaf = order < 9 ? 0 : order < 18 || l == 0 ? 9 : 18;
			uint64_t bytes = PAGE_SIZE << order, va = 7 * GIB, pa = 3 * GIB;
			unsigned needed = pt_frames_needed(&table, va, order);
			struct pt_place place;

			ck_assert_uint_eq(needed, (27 - leaf) / 9);
			ck_assert_int_eq(pt_map(&table, va, pa, order, PT_READ | PT_WRITE, 0, &pool), 0);
			ck_assert_uint_eq(pool.count, POOL_PAGES - needed);
			ck_assert_uint_eq(pt_frames_needed(&table, va, order), 0);
			for (uint64_t at = 0; at < bytes; at += bytes < 16 * PAGE_SIZE ? PAGE_SIZE : bytes / 16) {
				ck_assert(pt_lookup(&table, va + at, &place));
				ck_assert_uint_eq(place.order, leaf);
				ck_assert_uint_eq(pt_leaf_address(table.format, &place, va + at + 5), pa + at + 5);
			}
			ck_assert(!pt_lookup(&table, va + bytes, &place));
			ck_assert(!pt_lookup(&table, va - 1, &place));
			ck_assert_int_eq(pt_map(&table, va, pa, order, PT_READ, 0, &pool), -EBUSY);
			ck_assert_int_eq(pt_unmap(&table, va, order, &pool), 0);
			ck_assert_uint_eq(pool.count, POOL_PAGES);
			ck_assert_int_eq(pt_unmap(&table, va, order, &pool), -ENOENT);
		}
	}
}
END_TEST

START_TEST(refusals_change_nothing)
{
	struct page_table table = make(_i, PT_ORDER_1G);
	struct frame_pool small = { 0 };
	uint8_t *before = malloc(ARENA_PAGES * PAGE_SIZE);

	ck_assert_int_eq(pt_map(&table, MIB2, MIB2, 9, PT_WRITE, 0, &pool), 0);
	frame_pool_put(&small, frame_pool_get(&pool));
	memcpy(before, memory_test_arena, ARENA_PAGES * PAGE_SIZE);

	ck_assert_int_eq(pt_map(&table, 4 * GIB, 0, 19, PT_READ, 0, &pool), -EINVAL);
	ck_assert_int_eq(pt_map(&table, PAGE_SIZE, 0, 1, PT_READ, 0, &pool), -EINVAL);
	ck_assert_int_eq(pt_map(&table, 0, PAGE_SIZE, 1, PT_READ, 0, &pool), -EINVAL);
	ck_assert_int_eq(pt_map(&table, 0, UINT64_C(1) << 52, 0, PT_READ, 0, &pool), -EINVAL);
	ck_assert_int_eq(pt_map(&table, 0, 0, 0, PT_READ, 1 << 9, &pool), -EINVAL);
	ck_assert_int_eq(pt_map(&table, 0, 0, 18, PT_READ, 0, &pool), -EBUSY);
	ck_assert_int_eq(pt_map(&table, 0, 0, 10, PT_READ, 0, &pool), -EBUSY);
	ck_assert_int_eq(pt_map(&table, MIB2 + PAGE_SIZE, 0, 0, PT_READ, 0, &pool), -EBUSY);
	ck_assert_int_eq(pt_map(&table, 600 * GIB, 0, 0, PT_READ, 0, &small), -ENOMEM);
	ck_assert_int_eq(pt_map(&table, 2 * GIB, 0, 0, PT_READ, 0, &small), -ENOMEM);
	ck_assert_int_eq(pt_unmap(&table, MIB2, 0, &pool), -EBUSY);
	ck_assert_int_eq(pt_unmap(&table, 0, 10, &pool), -ENOENT);
	ck_assert_int_eq(pt_unmap(&table, PAGE_SIZE, 3, &pool), -EINVAL);
	ck_assert_int_eq(pt_split_to(&table, 0, 0, &pool), -ENOENT);
	ck_assert_int_eq(pt_split_to(&table, MIB2, 0, &(struct frame_pool){ 0 }), -ENOMEM);
	ck_assert_int_eq(memcmp(before, memory_test_arena, ARENA_PAGES * PAGE_SIZE), 0);

	/* One frame is enough for a mapping next to the first. */
	ck_assert_int_eq(pt_map(&table, 0, 0, 0, PT_READ, 0, &small), 0);
	ck_assert_uint_eq(small.count, 0);
	free(before);
}
END_TEST

START_TEST(split_and_merge)
{
	struct page_table table = make(_i, PT_ORDER_1G);
	const uint64_t mark = UINT64_C(0x2a) << PT_SOFTWARE_SHIFT, va = 5 * GIB;
	struct pt_place place;
	uint64_t whole;

	ck_assert_int_eq(pt_map(&table, va, 9 * GIB, 18, PT_WRITE | PT_EXEC, mark, &pool), 0);
	pt_lookup(&table, va, &place);
	whole = place.entry;
	ck_assert_int_eq(pt_split_to(&table, va + 3 * MIB2 + PAGE_SIZE, 0, &pool), 0);
	ck_assert_uint_eq(pool.count, POOL_PAGES - 3);
	for (uint64_t at = 0; at < GIB; at += PAGE_SIZE * 3701) {
		ck_assert(pt_lookup(&table, va + at, &place));
		ck_assert_uint_eq(place.order, at / MIB2 == 3 ? 0 : 9);
		ck_assert_uint_eq(pt_leaf_address(table.format, &place, va + at), 9 * GIB + at);
		ck_assert_uint_eq(place.entry & PT_SOFTWARE_MASK, mark);
	}
	pt_lookup(&table, va + 3 * MIB2, &place);
	ck_assert_uint_eq(place.entry, pt_leaf(table.format, 9 * GIB + 3 * MIB2, 0, PT_WRITE | PT_EXEC, mark));

	/* A page that differs keeps its table; so does the one above. */
	*place.slot ^= UINT64_C(1) << PT_SOFTWARE_SHIFT;
	pt_merge_up(&table, va + 3 * MIB2, &pool);
	ck_assert_uint_eq(pool.count, POOL_PAGES - 3);
	/* Accessed and dirty bits do not count as a difference. */
	*place.slot ^= (UINT64_C(1) << PT_SOFTWARE_SHIFT) | table.format->hardware;
	pt_merge_up(&table, va + 3 * MIB2, &pool);
	ck_assert_uint_eq(pool.count, POOL_PAGES - 1);
	ck_assert(pt_lookup(&table, va, &place));
	ck_assert_uint_eq(place.entry, whole);

	/* A hole, and unmapping of a block made of pieces. */
	ck_assert_int_eq(pt_split_to(&table, va, 0, &pool), 0);
	ck_assert_int_eq(pt_unmap(&table, va + PAGE_SIZE, 0, &pool), 0);
	pt_merge_up(&table, va, &pool);
	ck_assert_uint_eq(pool.count, POOL_PAGES - 3);
	ck_assert_int_eq(pt_unmap(&table, va, 18, &pool), -ENOENT);
	ck_assert_int_eq(pt_map(&table, va + PAGE_SIZE, 0, 0, PT_READ, 0, &pool), 0);
	ck_assert_int_eq(pt_unmap(&table, va, 18, &pool), 0);
	ck_assert_uint_eq(pool.count, POOL_PAGES);
}
END_TEST

START_TEST(merge_needs_alignment_and_order)
{
	struct page_table table = make(_i, PT_ORDER_1G);
	struct pt_place place;

	/* Contiguous, but off by one page, so no larger leaf can say it. */
	for (uint64_t i = 0; i < PT_ENTRIES; i++)
		ck_assert_int_eq(pt_map(&table, i * PAGE_SIZE, (i + 1) * PAGE_SIZE, 0, PT_READ, 0, &pool), 0);
	pt_merge_up(&table, 0, &pool);
	ck_assert(pt_lookup(&table, 0, &place));
	ck_assert_uint_eq(place.order, 0);
	for (uint64_t i = 0; i < PT_ENTRIES; i++) {
		ck_assert_int_eq(pt_unmap(&table, i * PAGE_SIZE, 0, &pool), 0);
		ck_assert_int_eq(pt_map(&table, i * PAGE_SIZE, MIB2 + i * PAGE_SIZE, 0, PT_READ, 0, &pool), 0);
	}
	pt_merge_up(&table, 0, &pool);
	ck_assert(pt_lookup(&table, 0, &place));
	ck_assert_uint_eq(place.order, 9);
	ck_assert_uint_eq(pt_leaf_address(table.format, &place, 0x1234), MIB2 + 0x1234);
}
END_TEST

/* The CPU's part: it writes through these pages' leaves. */
static void write_pages(const struct page_table *table, uint64_t va, const unsigned *pages, unsigned count)
{
	struct pt_place place;

	for (unsigned i = 0; i < count; i++) {
		ck_assert(pt_lookup(table, va + pages[i] * PAGE_SIZE, &place));
		*place.slot |= table->format->dirty;
	}
}

static bool all_are(const uint64_t bits[4], uint64_t word)
{
	return bits[0] == word && bits[1] == word && bits[2] == word && bits[3] == word;
}

START_TEST(dirty_pages)
{
	static const unsigned some[] = { 0, 1, 63, 64, 200, 255 }, other[] = { 256, 511 };
	struct page_table table = make(_i, PT_ORDER_1G);
	const uint64_t va = 5 * GIB + 4 * MIB2, half = PT_WINDOW * PAGE_SIZE;
	const uint64_t leaf = pt_leaf(table.format, 9 * GIB, 0, PT_WRITE | PT_USER, 0);
	uint64_t bits[4] = { 0 };
	struct pt_place place;

	/* Nothing there, at any level. */
	ck_assert_int_eq(pt_take_dirty(&table, va, bits), 0);
	ck_assert_int_eq(pt_map(&table, va + MIB2, 0, 9, PT_READ, 0, &pool), 0);
	ck_assert_int_eq(pt_take_dirty(&table, va, bits), 0);
	ck_assert(all_are(bits, 0));
	/* A larger leaf is not touched. */
	ck_assert_int_eq(pt_map(&table, va, 9 * GIB, 9, PT_WRITE | PT_USER, 0, &pool), 0);
	ck_assert_int_eq(pt_take_dirty(&table, va, bits), -EBUSY);
	ck_assert(pt_lookup(&table, va, &place) && place.entry & table.format->dirty && all_are(bits, 0));
	/* From it all pages are dirty, and then none, one half and the other. */
	ck_assert_int_eq(pt_split_to(&table, va, 0, &pool), 0);
	ck_assert_int_eq(pt_take_dirty(&table, va, bits), 0);
	ck_assert(all_are(bits, UINT64_MAX));
	memset(bits, 0, sizeof(bits));
	ck_assert_int_eq(pt_take_dirty(&table, va, bits), 0);
	ck_assert(all_are(bits, 0));
	ck_assert(pt_lookup(&table, va, &place) && place.entry == (leaf & ~table.format->dirty));
	ck_assert(pt_lookup(&table, va + half, &place) && place.entry == leaf + half);
	ck_assert_int_eq(pt_take_dirty(&table, va + half, bits), 0);
	ck_assert(all_are(bits, UINT64_MAX));
	/* What is written, and no more; what is there already stays. */
	write_pages(&table, va, some, 6);
	write_pages(&table, va, other, 2);
	bits[0] = bits[1] = bits[3] = 0;
	bits[2] = 2;
	ck_assert_int_eq(pt_take_dirty(&table, va, bits), 0);
	ck_assert_uint_eq(bits[0], 1ull << 63 | 3);
	ck_assert_uint_eq(bits[1], 1);
	ck_assert_uint_eq(bits[2], 2);
	ck_assert_uint_eq(bits[3], 1ull << 63 | 1ull << 8);
	/* A page that is not mapped is not dirty, whatever software keeps in its entry. */
	ck_assert(pt_lookup(&table, va + 255 * PAGE_SIZE, &place));
	*place.slot = ~table.format->present;
	memset(bits, 0, sizeof(bits));
	ck_assert_int_eq(pt_take_dirty(&table, va, bits), 0);
	ck_assert(all_are(bits, 0) && *place.slot == ~table.format->present);
	ck_assert_int_eq(pt_take_dirty(&table, va + half, bits), 0);
	ck_assert_uint_eq(bits[0], 1);
	ck_assert_uint_eq(bits[3], 1ull << 63);
}
END_TEST

/* Random maps and unmaps of 4 MiB at the top of the lower half and at its own place in the upper half. */
#define MODEL_PAGES	1024u
START_TEST(random_against_model)
{
	struct page_table table = make(_i, PT_ORDER_1G);
	const uint64_t base = UINT64_C(0xffff900000000000);
	uint64_t model[MODEL_PAGES] = { 0 };	/* physical address, with bit 0 set when mapped */
	uint32_t seed = 0x1234567;

	for (unsigned round = 0; round < 4000; round++) {
		unsigned order, page, in_use = 0;
		uint64_t pa, bytes;
		bool map;

		seed = seed * 1664525 + 1013904223;
		order = (seed >> 28) % 11;
		page = (seed >> 8) % MODEL_PAGES & ~((1u << order) - 1);
		map = (seed >> 19 & 1) != 0;
		bytes = PAGE_SIZE << order;
		pa = (seed >> 3) % 4096 * MIB2 * 2;
		for (unsigned i = page; i < page + (1u << order); i++)
			in_use += model[i] & 1;
		if (map) {
			int error = pt_map(&table, base + page * PAGE_SIZE, pa, order, PT_WRITE, 0, &pool);

			ck_assert_int_eq(error, in_use != 0 ? -EBUSY : 0);
			for (unsigned i = 0; error == 0 && i < 1u << order; i++)
				model[page + i] = (pa + i * PAGE_SIZE) | 1;
		} else {
			int error = pt_unmap(&table, base + page * PAGE_SIZE, order, &pool);

			if (error == -EBUSY) {
				struct pt_place place;

				ck_assert(pt_lookup(&table, base + page * PAGE_SIZE, &place));
				ck_assert_uint_gt(place.order, order);
			} else {
				ck_assert_int_eq(error, in_use == bytes / PAGE_SIZE ? 0 : -ENOENT);
			}
			for (unsigned i = 0; error == 0 && i < 1u << order; i++)
				model[page + i] = 0;
		}
		for (unsigned i = 0; i < MODEL_PAGES; i += 1 + round % 7) {
			struct pt_place place;
			uint64_t va = base + i * PAGE_SIZE;
			bool found = pt_lookup(&table, va, &place);

			if (found != (model[i] & 1) ||
			    (found && pt_leaf_address(table.format, &place, va) + 1 != model[i]))
				ck_abort_msg("round %u: page %u differs from the model", round, i);
		}
	}
	for (unsigned i = 0; i < MODEL_PAGES; i++) {
		if ((model[i] & 1) != 0) {
			pt_split_to(&table, base + i * PAGE_SIZE, 0, &pool);
			ck_assert_int_eq(pt_unmap(&table, base + i * PAGE_SIZE, 0, &pool), 0);
		}
	}
	ck_assert_uint_eq(pool.count, POOL_PAGES);
}
END_TEST

SUITE("pagetable", tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, entry_bits);
	tcase_add_loop_test(tests, map_lookup_unmap, 0, 3);
	tcase_add_loop_test(tests, refusals_change_nothing, 0, 3);
	tcase_add_loop_test(tests, split_and_merge, 0, 3);
	tcase_add_loop_test(tests, merge_needs_alignment_and_order, 0, 3);
	tcase_add_loop_test(tests, dirty_pages, 0, 3);
	tcase_add_loop_test(tests, random_against_model, 0, 3);
}
