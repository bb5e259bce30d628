/* SPDX-License-Identifier: GPL-2.0 */
/* Ownership of page frames, kept in the control domain's second-level table, and the I/O table beside it. */
#include "own.h"

#include "cpu.h"
#include "error.h"
#include "memory.h"
#include "string.h"

/*
 * An entry that is not present: owner in the bits that hold the mark of a present one, state above the low
 * three bits, which are zero in every format.
 */
#define STATE_SHIFT	4
#define STATE_MASK	(UINT64_C(0xf) << STATE_SHIFT)

#define STATES_VM	((1u << OWN_DONATED) | (1u << OWN_RAM) | (1u << OWN_TABLE) | (1u << OWN_CELL) | \
			 (1u << OWN_VCPU) | (1u << OWN_RECORD))

#define LIMIT_MAX	(UINT64_C(1) << 48)	/* of a table of four levels */
#define TOP_BYTES	(PAGE_SIZE << PT_ORDER_TOP)

_Static_assert(OWN_STATES <= 16, "a state has four bits");
_Static_assert(OWN_VMS < OWN_DEVICE && OWN_KEEL < 128, "an owner has seven bits");

#define SPANS	64u

/* Consecutive blocks of one order that have a frame each for the table below them. */
struct span {
	uint64_t first;		/* index of a block */
	uint64_t count;
	uint64_t frame;		/* of the first block; the others follow */
};

struct spans {
	struct span span[SPANS];
	unsigned count;
};

static struct {
	struct page_table table;
	struct own_io_format io;
	uint64_t io_distance;		/* from a frame of the table to that of the I/O table; 0: there is none */
	uint64_t limit;
	enum pt_caching (*caching)(uint64_t hpa, uint64_t bytes);
	struct spans directories;	/* for blocks of 1 GiB */
	struct spans tables;		/* for blocks of 2 MiB */
	uint64_t spare;
	unsigned spares;
	uint64_t out[OWN_VMS + 1];
	uint64_t shared[OWN_VMS + 1];
} own;

static bool config_valid(const struct own_config *config)
{
	uint64_t end = 0;

	if (config->limit == 0 || config->limit > LIMIT_MAX ||
	    (config->largest != PT_ORDER_2M && config->largest != PT_ORDER_1G))
		return false;
	for (unsigned i = 0; i < config->count; i++) {
		const struct own_range *range = &config->ranges[i];

		if (range->start < end || range->end <= range->start || range->end > config->limit ||
		    (range->start | range->end) % PAGE_SIZE != 0)
			return false;
		end = range->end;
	}
	return true;
}

/* Where there are too many spans the last one grows over the gap: that costs frames, but nothing else. */
static void spans_add(struct spans *spans, uint64_t start, uint64_t end, uint64_t unit)
{
	struct span *last = spans->count > 0 ? &spans->span[spans->count - 1] : NULL;
	uint64_t first = start / unit, behind = round_up(end, unit) / unit;

	if (last != NULL && (first <= last->first + last->count || spans->count == SPANS)) {
		if (behind > last->first + last->count)
			last->count = behind - last->first;
		return;
	}
	spans->span[spans->count++] = (struct span){ .first = first, .count = behind - first };
}

static uint64_t spans_place(struct spans *spans, uint64_t frame)
{
	for (unsigned i = 0; i < spans->count; i++) {
		spans->span[i].frame = frame;
		frame += spans->span[i].count * PAGE_SIZE;
	}
	return frame;
}

/* 0: the block has no frame of its own, for there is no memory in it. */
static uint64_t spans_frame(const struct spans *spans, uint64_t block)
{
	for (unsigned i = 0; i < spans->count; i++) {
		const struct span *span = &spans->span[i];

		if (block >= span->first && block - span->first < span->count)
			return span->frame + (block - span->first) * PAGE_SIZE;
	}
	return 0;
}

/* Lays the frames out from reserve on: the upper two levels, directories, tables, spares. Returns the end. */
static uint64_t plan(const struct own_config *config, uint64_t reserve)
{
	uint64_t frame = reserve + PAGE_SIZE;

	memset(&own, 0, sizeof(own));
	own.table = (struct page_table){ config->format, reserve, config->largest };
	own.limit = round_up(config->limit, SIZE_1G);
	own.caching = config->caching;
	if (config->largest == PT_ORDER_2M)
		spans_add(&own.directories, 0, own.limit, SIZE_1G);
	for (unsigned i = 0; i < config->count; i++) {
		const struct own_range *range = &config->ranges[i];

		if (config->largest == PT_ORDER_1G)
			spans_add(&own.directories, range->start, range->end, SIZE_1G);
		spans_add(&own.tables, range->start, range->end, SIZE_2M);
	}
	frame += round_up(own.limit, TOP_BYTES) / TOP_BYTES * PAGE_SIZE;
	frame = spans_place(&own.directories, frame);
	frame = spans_place(&own.tables, frame);
	own.spare = frame;
	own.spares = OWN_SPARES;
	frame += OWN_SPARES * PAGE_SIZE;
	if (config->io == NULL)
		return frame;
	own.io = *config->io;
	own.io_distance = frame - reserve;
	return frame + own.io_distance;
}

uint64_t own_frames_needed(const struct own_config *config)
{
	return config_valid(config) ? plan(config, 0) / PAGE_SIZE : 0;
}

static uint64_t frame_below(uint64_t hpa, unsigned order)
{
	const struct spans *spans = order == PT_ORDER_1G ? &own.directories : &own.tables;

	return spans_frame(spans, hpa / pt_order_bytes(order));
}

static struct own_frame decode(uint64_t entry)
{
	const struct pt_format *format = own.table.format;
	struct own_frame frame = { .owner = (entry & PT_SOFTWARE_MASK) >> PT_SOFTWARE_SHIFT };

	if (!pt_present(format, entry))
		frame.state = (entry & STATE_MASK) >> STATE_SHIFT;
	else if (frame.owner == OWN_DEVICE)
		frame.state = (entry & format->write) != 0 ? OWN_MAPPED : OWN_TRAPPED;
	else
		frame.state = frame.owner == OWN_CONTROL ? OWN_MAPPED : OWN_SHARED;
	return frame;
}

static enum pt_caching caching(uint64_t hpa, unsigned order)
{
	return own.caching != NULL ? own.caching(hpa, pt_order_bytes(order)) : PT_CACHED;
}

/* A leaf over memory of several types is not cached: slow, but right for all of it. */
static uint64_t encode(unsigned owner, enum own_state state, uint64_t hpa, unsigned order)
{
	uint64_t mark = (uint64_t)owner << PT_SOFTWARE_SHIFT;
	unsigned cached = caching(hpa, order) != PT_CACHED ? PT_UNCACHED : 0;

	switch (state) {
	case OWN_MAPPED:
	case OWN_SHARED:
		return pt_leaf(own.table.format, hpa, order, PT_READ | PT_WRITE | PT_EXEC | cached, mark);
	case OWN_TRAPPED:
		return pt_leaf(own.table.format, hpa, order, PT_READ | cached, mark);
	default:
		return mark | (uint64_t)state << STATE_SHIFT;
	}
}

/* The entry of the I/O table in the place of one of the other table. */
static uint64_t *io_slot(uint64_t *slot)
{
	return (uint64_t *)(void *)((uint8_t *)slot + own.io_distance);
}

static uint64_t io_leaf(enum own_state state, uint64_t hpa, unsigned order)
{
	if (state != OWN_MAPPED && state != OWN_SHARED)
		return 0;
	return hpa | own.io.rights | own.io.leaf | (order != 0 ? own.io.large : 0);
}

static void io_written(const void *entries, uint64_t bytes)
{
	if (own.io_distance != 0 && !own.io.coherent)
		cache_write_back(entries, bytes);
}

/* The I/O table's half of a change of the entry at slot, which is one of the other table. */
static void io_store(uint64_t *slot, uint64_t entry)
{
	if (own.io_distance == 0)
		return;
	pt_store(io_slot(slot), entry);
	io_written(io_slot(slot), sizeof(*slot));
}

static void io_link(uint64_t *slot, unsigned order, uint64_t frame)
{
	io_store(slot, (frame + own.io_distance) | own.io.rights | own.io.level * (order / PT_ORDER_STEP));
}

static void store(uint64_t *slot, unsigned owner, enum own_state state, uint64_t hpa, unsigned order)
{
	pt_store(slot, encode(owner, state, hpa, order));
	io_store(slot, io_leaf(state, hpa, order));
}

/* pt_split() in both tables of an entry of this order, for a block in which hpa lies; frame: the table that comes below it. */
static void split(uint64_t *slot, unsigned order, uint64_t hpa, uint64_t frame)
{
	uint64_t *entries = io_slot(phys_to_virt(frame));
	enum own_state state = decode(*slot).state;
	unsigned below = order - PT_ORDER_STEP;

	hpa -= hpa % pt_order_bytes(order);
	for (unsigned i = 0; own.io_distance != 0 && i < PT_ENTRIES; i++)
		pt_store(&entries[i], io_leaf(state, hpa + i * pt_order_bytes(below), below));
	io_written(entries, PAGE_SIZE);
	io_link(slot, order, frame);
	pt_split(own.table.format, slot, order, frame);
}

uint64_t own_io_root(unsigned levels)
{
	if (own.io_distance == 0)
		return 0;
	return own.table.root + own.io_distance + (levels == 3 ? PAGE_SIZE : 0);
}

struct own_frame own_query(uint64_t hpa)
{
	struct own_frame frame = { .state = OWN_NONE, .order = PT_ORDER_TOP };
	struct pt_place place;

	if (hpa >= own.limit)
		return frame;
	pt_lookup(&own.table, hpa, &place);
	frame = decode(place.entry);
	frame.order = place.order;
	return frame;
}

/* All of the block is owner's, in one of the states (a bit mask). */
static bool block_matches(uint64_t hpa, unsigned order, unsigned owner, unsigned states)
{
	uint64_t end = hpa + pt_order_bytes(order);
	struct own_frame frame;

	if (hpa >= own.limit)
		return false;
	for (; hpa < end; hpa += pt_order_bytes(frame.order)) {
		frame = own_query(hpa);
		if (frame.owner != owner || (states & 1u << frame.state) == 0)
			return false;
	}
	return true;
}

static uint64_t frame_take(uint64_t hpa, unsigned order)
{
	uint64_t frame = frame_below(hpa, order);

	if (frame == 0) {
		frame = own.spare;
		own.spare += PAGE_SIZE;
		own.spares--;
	}
	return frame;
}

static void merge(uint64_t hpa, unsigned order)
{
	struct pt_place place;

	for (order += PT_ORDER_STEP; order <= own.table.largest; order += PT_ORDER_STEP) {
		pt_walk(&own.table, hpa, order, &place);
		if (place.order != order || pt_merge(own.table.format, place.slot, order) == 0)
			return;
		io_store(place.slot, io_leaf(decode(*place.slot).state, hpa - hpa % pt_order_bytes(order), order));
	}
}

/* Cannot fail once the block is known to lie below the limit. Tables that the block covers drop out. */
static void block_set(uint64_t hpa, unsigned order, unsigned owner, enum own_state state)
{
	unsigned leaf = pt_leaf_order(&own.table, order);
	struct pt_place place;

	pt_walk(&own.table, hpa, leaf, &place);
	while (place.order > leaf) {
		split(place.slot, place.order, hpa, frame_take(hpa, place.order));
		pt_walk(&own.table, hpa, leaf, &place);
	}
	for (unsigned i = 0; i < 1u << (order - leaf); i++)
		store(&place.slot[i], owner, state, hpa + i * pt_order_bytes(leaf), leaf);
	merge(hpa, leaf);
}

/* The largest block that starts at start and ends at or before end; if it has a memory type, of one type. */
static unsigned block_order(uint64_t start, uint64_t end, bool typed)
{
	unsigned order = OWN_ORDER_MAX;

	while (order > 0 && (start % pt_order_bytes(order) != 0 || end - start < pt_order_bytes(order) ||
			     (typed && caching(start, order) == PT_MIXED)))
		order--;
	return order;
}

/* By the largest entries there can be. What is mapped has leaves of one memory type, whatever it was mapped by before. */
static void range_set(uint64_t start, uint64_t end, unsigned owner, enum own_state state)
{
	bool typed = state == OWN_MAPPED || state == OWN_SHARED;
	unsigned order;

	for (; start < end; start += pt_order_bytes(order)) {
		order = block_order(start, end, typed);
		block_set(start, order, owner, state);
	}
}

static void table_clear(uint64_t *entries)
{
	memset(entries, 0, PAGE_SIZE);
	if (own.io_distance != 0) {
		memset(io_slot(entries), 0, PAGE_SIZE);
		io_written(io_slot(entries), PAGE_SIZE);
	}
}

/* Everything below the limit as not memory, by the largest leaves. */
static void build(void)
{
	const struct pt_format *format = own.table.format;
	uint64_t *top = phys_to_virt(own.table.root);
	uint64_t next = own.table.root + PAGE_SIZE;

	table_clear(top);
	for (uint64_t hpa = 0; hpa < own.limit; hpa += SIZE_1G) {
		uint64_t *entries = phys_to_virt(next + hpa / TOP_BYTES * PAGE_SIZE);
		uint64_t *slot = &entries[hpa / SIZE_1G % PT_ENTRIES];

		if (slot == entries) {
			table_clear(entries);
			top[hpa / TOP_BYTES] = virt_to_phys(entries) | format->table;
			io_link(&top[hpa / TOP_BYTES], PT_ORDER_TOP, virt_to_phys(entries));
		}
		store(slot, OWN_DEVICE, OWN_MAPPED, hpa, PT_ORDER_1G);
		if (own.table.largest == PT_ORDER_2M)
			split(slot, PT_ORDER_1G, hpa, frame_below(hpa, PT_ORDER_1G));
	}
}

/* Leaves that came about by splitting have the type of the larger one: each gets its own. */
static void set_types(uint64_t *entries, unsigned order, uint64_t hpa)
{
	const struct pt_format *format = own.table.format;

	for (unsigned i = 0; i < PT_ENTRIES; i++, hpa += pt_order_bytes(order)) {
		struct own_frame frame = decode(entries[i]);

		if (pt_is_table(format, entries[i], order))
			set_types(pt_table(format, entries[i]), order - PT_ORDER_STEP, hpa);
		else if (pt_present(format, entries[i]))
			pt_store(&entries[i], encode(frame.owner, frame.state, hpa, order));
	}
}

int own_init(const struct own_config *config, uint64_t reserve)
{
	if (!config_valid(config) || reserve % PAGE_SIZE != 0)
		return -EINVAL;
	plan(config, reserve);
	build();
	for (unsigned i = 0; i < config->count; i++)
		range_set(config->ranges[i].start, config->ranges[i].end, OWN_CONTROL, OWN_MAPPED);
	if (config->caching != NULL)
		set_types(phys_to_virt(reserve), PT_ORDER_TOP, 0);
	return 0;
}

/* Spare frames that a split at this address, down to single pages, would take. */
static unsigned spares_needed(uint64_t hpa)
{
	struct pt_place place;
	unsigned needed = 0;

	pt_walk(&own.table, hpa, 0, &place);
	for (unsigned order = PT_ORDER_2M; order <= PT_ORDER_1G && order <= place.order; order += PT_ORDER_STEP) {
		if (hpa % pt_order_bytes(order) != 0 && frame_below(hpa, order) == 0)
			needed++;
	}
	return needed;
}

static bool range_is_free(uint64_t start, uint64_t end)
{
	struct own_frame frame;

	for (; start < end; start = round_up(start + 1, pt_order_bytes(frame.order))) {
		frame = own_query(start);
		if (frame.state != OWN_MAPPED)
			return false;
	}
	return true;
}

int own_take_for_keel(uint64_t start, uint64_t end)
{
	if (start >= end || (start | end) % PAGE_SIZE != 0)
		return -EINVAL;
	if (end > own.limit || !range_is_free(start, end))
		return -EPERM;
	if (spares_needed(start) + spares_needed(end) > own.spares)
		return -ENOSPC;
	range_set(start, end, OWN_KEEL, OWN_HELD);
	return 0;
}

int own_trap_writes(uint64_t hpa)
{
	if (hpa % PAGE_SIZE != 0)
		return -EINVAL;
	if (!block_matches(hpa, 0, OWN_DEVICE, 1u << OWN_MAPPED))
		return -EPERM;
	if (spares_needed(hpa) + spares_needed(hpa + PAGE_SIZE) > own.spares)
		return -ENOSPC;
	block_set(hpa, 0, OWN_DEVICE, OWN_TRAPPED);
	return 0;
}

static bool block_valid(uint64_t hpa, unsigned order, unsigned vm)
{
	return order <= OWN_ORDER_MAX && hpa % pt_order_bytes(order) == 0 && vm >= 1 && vm <= OWN_VMS;
}

static bool state_of_vm(enum own_state state)
{
	return state < OWN_STATES && (STATES_VM & 1u << state) != 0;
}

static int take(uint64_t hpa, unsigned order, unsigned vm, enum own_state state, uint64_t *count)
{
	if (!block_valid(hpa, order, vm))
		return -EINVAL;
	if (!block_matches(hpa, order, OWN_CONTROL, 1u << OWN_MAPPED))
		return -EPERM;
	range_set(hpa, hpa + pt_order_bytes(order), vm, state);
	count[vm] += 1u << order;
	return 0;
}

static int give_back(uint64_t hpa, unsigned order, unsigned vm, unsigned states, uint64_t *count)
{
	if (!block_valid(hpa, order, vm))
		return -EINVAL;
	if (!block_matches(hpa, order, vm, states))
		return -EPERM;
	range_set(hpa, hpa + pt_order_bytes(order), OWN_CONTROL, OWN_MAPPED);
	count[vm] -= 1u << order;
	return 0;
}

int own_donate(uint64_t hpa, unsigned order, unsigned vm)
{
	return take(hpa, order, vm, OWN_DONATED, own.out);
}

int own_check(uint64_t hpa, unsigned order, unsigned vm, enum own_state state)
{
	if (!block_valid(hpa, order, vm) || !state_of_vm(state))
		return -EINVAL;
	return block_matches(hpa, order, vm, 1u << state) ? 0 : -EPERM;
}

int own_assign(uint64_t hpa, unsigned order, unsigned vm, enum own_state from, enum own_state to)
{
	int error = state_of_vm(to) ? own_check(hpa, order, vm, from) : -EINVAL;

	if (error == 0)
		block_set(hpa, order, vm, to);
	return error;
}

int own_share(uint64_t hpa, unsigned order, unsigned vm)
{
	return take(hpa, order, vm, OWN_SHARED, own.shared);
}

int own_unshare(uint64_t hpa, unsigned order, unsigned vm)
{
	return give_back(hpa, order, vm, 1u << OWN_SHARED, own.shared);
}

int own_reclaim(uint64_t hpa, unsigned order, unsigned vm)
{
	return give_back(hpa, order, vm, STATES_VM, own.out);
}

uint64_t own_count(unsigned vm)
{
	return vm <= OWN_VMS ? own.out[vm] : 0;
}

uint64_t own_count_shared(unsigned vm)
{
	return vm <= OWN_VMS ? own.shared[vm] : 0;
}

/* Behind the last block that has memory there is nothing to be found. */
uint64_t own_next(uint64_t hpa, struct own_frame *frame)
{
	uint64_t end = 0;

	if (own.tables.count > 0) {
		const struct span *last = &own.tables.span[own.tables.count - 1];

		end = (last->first + last->count) * SIZE_2M;
	}
	for (; hpa < end; hpa = round_up(hpa + 1, pt_order_bytes(frame->order))) {
		*frame = own_query(hpa);
		if (frame->owner >= 1 && frame->owner <= OWN_VMS)
			return hpa;
	}
	return OWN_NOWHERE;
}
