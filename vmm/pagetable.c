/* SPDX-License-Identifier: GPL-2.0 */
/* Page tables of four levels, in any of their formats. */
#include "pagetable.h"

#include "error.h"
#include "memory.h"
#include "string.h"

void frame_pool_put(struct frame_pool *pool, uint64_t pa)
{
	/* A page-aligned address is an entry that is not present, should a CPU still be walking this frame. */
	pt_store(phys_to_virt(pa), pool->head);
	pool->head = pa;
	pool->count++;
}

uint64_t frame_pool_get(struct frame_pool *pool)
{
	uint64_t pa = pool->head;
	uint64_t *frame = phys_to_virt(pa);

	pool->head = *frame;
	pool->count--;
	memset(frame, 0, PAGE_SIZE);
	return pa;
}

static unsigned order_level(unsigned order)
{
	return order - order % PT_ORDER_STEP;
}

static unsigned table_index(uint64_t va, unsigned order)
{
	return (va >> (PAGE_SHIFT + order)) % PT_ENTRIES;
}

static bool block_valid(const struct pt_format *format, uint64_t address, unsigned order)
{
	return order <= PT_ORDER_MAX && address % pt_order_bytes(order) == 0 && (address & ~format->address) == 0;
}

/* Virtual addresses are sign-extended from bit 47. */
static uint64_t va_bits(uint64_t va)
{
	return va & (pt_order_bytes(PT_ORDER_TOP + PT_ORDER_STEP) - 1);
}

uint64_t pt_leaf(const struct pt_format *format, uint64_t pa, unsigned order, unsigned rights,
		 uint64_t software)
{
	uint64_t entry = pa | format->leaf | software;

	entry |= order != 0 ? format->large : 0;
	entry |= (rights & PT_WRITE) != 0 ? format->write : 0;
	entry |= (rights & PT_EXEC) != 0 ? format->exec : format->no_exec;
	entry |= (rights & PT_USER) != 0 ? format->user : 0;
	entry |= (rights & PT_GLOBAL) != 0 ? format->global : 0;
	entry |= (rights & PT_UNCACHED) != 0 ? format->uncached : format->cached;
	entry |= (rights & PT_COHERENT) != 0 ? format->coherent : 0;
	return entry;
}

uint64_t pt_leaf_address(const struct pt_format *format, const struct pt_place *place, uint64_t va)
{
	return (place->entry & format->address) + va % pt_order_bytes(place->order);
}

uint64_t *pt_table(const struct pt_format *format, uint64_t entry)
{
	return phys_to_virt(entry & format->address);
}

void pt_walk(const struct page_table *table, uint64_t va, unsigned order, struct pt_place *place)
{
	uint64_t *entries = phys_to_virt(table->root);

	place->order = PT_ORDER_TOP;
	for (;;) {
		place->slot = &entries[table_index(va, place->order)];
		place->entry = *place->slot;
		if (place->order <= order || !pt_is_table(table->format, place->entry, place->order))
			return;
		entries = pt_table(table->format, place->entry);
		place->order -= PT_ORDER_STEP;
	}
}

bool pt_lookup(const struct page_table *table, uint64_t va, struct pt_place *place)
{
	pt_walk(table, va, 0, place);
	return pt_present(table->format, place->entry);
}

unsigned pt_leaf_order(const struct page_table *table, unsigned order)
{
	unsigned level = order_level(order);

	return level < table->largest ? level : table->largest;
}

unsigned pt_frames_needed(const struct page_table *table, uint64_t va, unsigned order)
{
	unsigned leaf = pt_leaf_order(table, order);
	struct pt_place place;

	pt_walk(table, va, leaf, &place);
	return place.entry == 0 ? (place.order - leaf) / PT_ORDER_STEP : 0;
}

/* A chain of new tables below place, down to entries of order leaf; nothing points to it yet. */
static uint64_t chain_build(const struct pt_format *format, uint64_t va, struct pt_place *place,
			    unsigned leaf, struct frame_pool *pool)
{
	uint64_t first = 0;

	while (place->order > leaf) {
		uint64_t frame = frame_pool_get(pool);

		if (first == 0)
			first = frame;
		else
			*place->slot = frame | format->table;
		place->order -= PT_ORDER_STEP;
		place->slot = (uint64_t *)phys_to_virt(frame) + table_index(va, place->order);
	}
	return first;
}

static int map_check(const struct page_table *table, uint64_t va, unsigned order,
		     const struct pt_place *place, const struct frame_pool *pool)
{
	unsigned leaf = pt_leaf_order(table, order);

	if (place->order > leaf) {
		if (place->entry != 0)
			return -EBUSY;
		return pt_frames_needed(table, va, order) > pool->count ? -ENOMEM : 0;
	}
	for (unsigned i = 0; i < 1u << (order - leaf); i++) {
		if (place->slot[i] != 0)
			return -EBUSY;
	}
	return 0;
}

int pt_map(const struct page_table *table, uint64_t va, uint64_t pa, unsigned order, unsigned rights,
	   uint64_t software, struct frame_pool *pool)
{
	const struct pt_format *format = table->format;
	struct pt_place place;
	uint64_t *link, chain;
	unsigned leaf;
	int error;

	if (!block_valid(format, va_bits(va), order) || !block_valid(format, pa, order) ||
	    (software & ~PT_SOFTWARE_MASK) != 0)
		return -EINVAL;
	leaf = pt_leaf_order(table, order);
	pt_walk(table, va, leaf, &place);
	error = map_check(table, va, order, &place, pool);
	if (error != 0)
		return error;

	link = place.slot;
	chain = chain_build(format, va, &place, leaf, pool);
	for (unsigned i = 0; i < 1u << (order - leaf); i++)
		pt_store(&place.slot[i], pt_leaf(format, pa + i * pt_order_bytes(leaf), leaf, rights, software));
	if (chain != 0)
		pt_store(link, chain | format->table);
	return 0;
}

static bool wholly_mapped(const struct pt_format *format, const uint64_t *slot, unsigned order,
			  unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (!pt_present(format, slot[i]))
			return false;
		if (pt_is_table(format, slot[i], order) &&
		    !wholly_mapped(format, pt_table(format, slot[i]), order - PT_ORDER_STEP, PT_ENTRIES))
			return false;
	}
	return true;
}

static void clear_entries(const struct pt_format *format, uint64_t *slot, unsigned order, unsigned count,
			  struct frame_pool *pool)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t entry = slot[i];

		pt_store(&slot[i], 0);
		if (pt_is_table(format, entry, order)) {
			clear_entries(format, pt_table(format, entry), order - PT_ORDER_STEP, PT_ENTRIES, pool);
			frame_pool_put(pool, entry & format->address);
		}
	}
}

static bool table_empty(const uint64_t *entries)
{
	for (unsigned i = 0; i < PT_ENTRIES; i++) {
		if (entries[i] != 0)
			return false;
	}
	return true;
}

/* Takes out the tables on the way to va that have nothing left in them, lowest first. */
static void prune(const struct page_table *table, uint64_t va, unsigned order, struct frame_pool *pool)
{
	struct pt_place place;

	for (order += PT_ORDER_STEP; order <= PT_ORDER_TOP; order += PT_ORDER_STEP) {
		pt_walk(table, va, order, &place);
		if (place.order != order || !table_empty(pt_table(table->format, place.entry)))
			return;
		pt_store(place.slot, 0);
		frame_pool_put(pool, place.entry & table->format->address);
	}
}

int pt_unmap(const struct page_table *table, uint64_t va, unsigned order, struct frame_pool *pool)
{
	unsigned level = order_level(order);
	struct pt_place place;
	unsigned count;

	if (!block_valid(table->format, va_bits(va), order))
		return -EINVAL;
	count = 1u << (order - level);
	pt_walk(table, va, level, &place);
	if (place.order > level)
		return pt_present(table->format, place.entry) ? -EBUSY : -ENOENT;
	if (!wholly_mapped(table->format, place.slot, level, count))
		return -ENOENT;
	clear_entries(table->format, place.slot, level, count, pool);
	prune(table, va, level, pool);
	return 0;
}

void pt_split(const struct pt_format *format, uint64_t *slot, unsigned order, uint64_t frame)
{
	unsigned below = order - PT_ORDER_STEP;
	uint64_t *entries = phys_to_virt(frame);
	uint64_t entry = *slot, step = 0;

	if (pt_present(format, entry)) {
		step = pt_order_bytes(below);
		if (below == 0)
			entry &= ~format->large;
	}
	for (unsigned i = 0; i < PT_ENTRIES; i++)
		pt_store(&entries[i], entry + i * step);
	pt_store(slot, frame | format->table);
}

uint64_t pt_merge(const struct pt_format *format, uint64_t *slot, unsigned order)
{
	const uint64_t *entries = pt_table(format, *slot);
	unsigned below = order - PT_ORDER_STEP;
	uint64_t frame = *slot & format->address;
	uint64_t merged = entries[0], step = 0, ignored = 0;

	if (pt_present(format, merged)) {
		if (pt_is_table(format, merged, below) || (merged & format->address) % pt_order_bytes(order) != 0)
			return 0;
		step = pt_order_bytes(below);
		ignored = format->hardware;
	}
	for (unsigned i = 1; i < PT_ENTRIES; i++) {
		if (((entries[i] ^ (entries[0] + i * step)) & ~ignored) != 0)
			return 0;
		merged |= entries[i] & ignored;
	}
	pt_store(slot, step != 0 ? merged | format->large : merged);
	return frame;
}

int pt_split_to(const struct page_table *table, uint64_t va, unsigned order, struct frame_pool *pool)
{
	struct pt_place place;

	if (!pt_lookup(table, va, &place))
		return -ENOENT;
	if (place.order > order_level(order) && (place.order - order_level(order)) / PT_ORDER_STEP > pool->count)
		return -ENOMEM;
	while (place.order > order) {
		pt_split(table->format, place.slot, place.order, frame_pool_get(pool));
		pt_lookup(table, va, &place);
	}
	return 0;
}

int pt_take_dirty(const struct page_table *table, uint64_t va, uint64_t bits[PT_WINDOW / 64])
{
	const uint64_t dirty = table->format->dirty;
	struct pt_place place;

	pt_walk(table, va, 0, &place);
	if (place.order != 0)
		return pt_present(table->format, place.entry) ? -EBUSY : 0;
	for (unsigned i = 0; i < PT_WINDOW; i++) {
		if (!pt_present(table->format, place.slot[i]) || (place.slot[i] & (dirty | PT_SOFTWARE_MASK)) != dirty)
			continue;
		__atomic_fetch_and(&place.slot[i], ~dirty, __ATOMIC_SEQ_CST);
		bits[i / 64] |= UINT64_C(1) << i % 64;
	}
	return 0;
}

void pt_merge_up(const struct page_table *table, uint64_t va, struct frame_pool *pool)
{
	struct pt_place place;
	uint64_t frame;

	for (unsigned order = PT_ORDER_2M; order <= table->largest; order += PT_ORDER_STEP) {
		pt_walk(table, va, order, &place);
		if (place.order != order)
			return;
		if (!pt_is_table(table->format, place.entry, order))
			continue;
		frame = pt_merge(table->format, place.slot, order);
		if (frame == 0)
			return;
		frame_pool_put(pool, frame);
	}
}
