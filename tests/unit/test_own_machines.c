/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ownership on machines small enough to try everything: from each state that can be reached, each operation with each argument,
 * against an array that says who has which page. Between any two stores a processor walks the tables, and a device its own.
 */
#include "small_machine.h"

#include <keel/macros.h>

#include "error.h"

/* A machine says itself how many there are. */
#undef OWN_SPARES
#define OWN_SPARES	spare_frames

static unsigned int spare_frames;

#include "../../vmm/pagetable.c"
#include "cpu.h"

static void seen_write_back(const void *start, uint64_t bytes);

/* Both files have a function of this name. */
#define block_valid own_block_valid
#define cache_write_back seen_write_back
#include "../../vmm/own.c"
#undef cache_write_back
#undef block_valid

#define ROOT		1u
#define ATOMS		14u
#define VERBS_MAX	1200u

uint8_t *memory_test_arena;

/* What the model knows of a page. */
enum code {
	NO_CODE, PLAIN, DEVICE, TRAP, HELD,
	DONATED_1, RAM_1, TABLE_1, SHARED_1,
	DONATED_2, RAM_2, TABLE_2, SHARED_2,
	BEYOND,
};

static const struct {
	unsigned int owner;
	enum own_state state;
} meaning[] = {
	[PLAIN] = { OWN_CONTROL, OWN_MAPPED }, [DEVICE] = { OWN_DEVICE, OWN_MAPPED },
	[TRAP] = { OWN_DEVICE, OWN_TRAPPED }, [HELD] = { OWN_KEEL, OWN_HELD },
	[DONATED_1] = { 1, OWN_DONATED }, [RAM_1] = { 1, OWN_RAM }, [TABLE_1] = { 1, OWN_TABLE },
	[SHARED_1] = { 1, OWN_SHARED },
	[DONATED_2] = { 2, OWN_DONATED }, [RAM_2] = { 2, OWN_RAM }, [TABLE_2] = { 2, OWN_TABLE },
	[SHARED_2] = { 2, OWN_SHARED },
	[BEYOND] = { 0, OWN_NONE },
};

#define CODES_OF_VM	(DONATED_2 - DONATED_1)
#define UNTOUCHED(verb)	((verb) == CHECK)

enum verb { DONATE, SHARE, UNSHARE, RECLAIM, ASSIGN, CHECK, KEEL, TRAP_WRITES };

struct block {
	uint64_t page;
	unsigned int order;
};

struct stretch {
	uint64_t start, end;		/* pages */
};

struct machine {
	const char *name;
	uint64_t limit;			/* pages */
	struct stretch memory[3], uncached[3];
	struct block blocks[12];	/* that operations are tried on, in addition to bad ones */
	unsigned int count;
	unsigned int vms;
	unsigned int uses;		/* of DONATED, RAM, TABLE: how many of them */
	unsigned int spares;
	bool boot;			/* Keel takes pages and traps them */
	size_t states;			/* that there are, for no operation may be out of reach */
};

struct op {
	enum verb verb;
	uint64_t hpa;
	unsigned int order, vm;
	unsigned int from, to;		/* states; of KEEL: to is the end, in pages */
};

static const struct machine *machine;
static unsigned int largest;
static unsigned int io_distance;	/* frames */
static struct own_range ranges[3];
static struct own_config config;

/* Pages between two neighbouring borders: no operation of the machine tells them apart. */
static struct stretch atoms[ATOMS];
static unsigned int atom_count;
static uint64_t limit;			/* rounded up */

static enum code before[ATOMS], after[ATOMS];

/* A table's place: it never gets another one, so whoever still walks it finds its own pages. */
static struct {
	bool known;
	uint64_t page;
	unsigned int order;
} places[64];

/* VT-d, whose walks may be past the caches, 9.8; AMD-Vi, 2.2.3. */
static const struct own_io_format io_formats[KINDS] = {
	[X86] = { .rights = 3, .large = 0x80 },
	[NPT] = { .rights = 1 | UINT64_C(3) << 61, .leaf = UINT64_C(1) << 60, .level = 0x200, .coherent = true },
	[EPT] = { .rights = 3, .leaf = 0x800, .large = 0x80, .coherent = true },
};

/* What memory has of the I/O table, where devices do not see the caches. */
static uint64_t written[4096 * 8];

static uint64_t *frame_written(unsigned int frame)
{
	return &written[(size_t)frame * PT_ENTRIES];
}

static void seen_write_back(const void *start, uint64_t bytes)
{
	size_t offset = (size_t)((const uint8_t *)start - memory_test_arena);
	size_t line = offset & ~(size_t)63, end = offset + bytes;

	require(kind == X86, "the caches are written back for devices that see them");
	for (; line < end; line += 8)
		if (line % PAGE_SIZE / 8 < PT_ENTRIES)
			memcpy(&frame_written((unsigned int)(line / PAGE_SIZE))[line % PAGE_SIZE / 8],
			       memory_test_arena + line, 8);
}

/* A device's walk, for one page. Not present: page is UINT64_MAX. */
static struct seen io_walk(uint64_t page)
{
	unsigned int order = PT_ORDER_TOP, frame = ROOT + io_distance;
	const uint64_t rights = kind == NPT ? UINT64_C(3) << 61 : 3;

	for (;;) {
		const uint64_t *entries = kind == X86 ? frame_written(frame) : frame_entries(frame);
		uint64_t entry = entries[page >> order & (PT_ENTRIES - 1)];
		uint64_t target = entry & ADDRESS_BITS, rest = entry & ~ADDRESS_BITS;
		bool points = kind == NPT ? (rest >> 9 & 7) != 0 : (rest & 0x80) == 0 && order > 0;

		if (entry == 0)
			return (struct seen){ .page = UINT64_MAX, .order = order };
		require((rest & rights) == rights && (kind != NPT || (rest & 1) != 0), "I/O entry %lx", entry);
		rest &= ~(rights | (kind == NPT ? 1 : 0));
		if (!points) {
			require((rest & io_formats[kind].leaf) == io_formats[kind].leaf, "I/O leaf %lx", entry);
			rest &= ~io_formats[kind].leaf;
			require(order <= largest && rest == (kind == NPT || order == 0 ? 0 : 0x80) &&
				target / PAGE_SIZE % (UINT64_C(1) << order) == 0, "I/O leaf %lx of order %u", entry, order);
			return (struct seen){ .present = true, .page = target / PAGE_SIZE + (page & ((UINT64_C(1) << order) - 1)),
					      .order = order };
		}
		require(rest == (kind == NPT ? (uint64_t)order / PT_ORDER_STEP << 9 : 0), "I/O table entry %lx", entry);
		frame = (unsigned int)(target / PAGE_SIZE);
		require(frame > ROOT + io_distance && frame < frames, "I/O table entry %lx leads out of the reserve", entry);
		order -= PT_ORDER_STEP;
	}
}

static bool for_devices(enum code code)
{
	return meaning[code].state == OWN_MAPPED || meaning[code].state == OWN_SHARED;
}

/* What a device finds is what it may reach if the page's code is this. */
static bool device_finds(struct seen seen, uint64_t page, enum code code)
{
	return seen.present == for_devices(code) && (!seen.present || seen.page == page);
}

static bool overlaps(struct stretch s, uint64_t start, uint64_t end)
{
	return s.start < end && s.end > start;
}

static bool is_uncached(uint64_t start, uint64_t end)
{
	bool some = false;

	for (unsigned int i = 0; kind != NPT && i < 3; i++)
		some |= overlaps(machine->uncached[i], start, end);
	return some;
}

static bool is_memory(uint64_t start, uint64_t end)
{
	bool some = false;

	for (unsigned int i = 0; i < 3; i++)
		some |= overlaps(machine->memory[i], start, end);
	return some;
}

static enum pt_caching machine_caching(uint64_t hpa, uint64_t bytes)
{
	uint64_t start = hpa / PAGE_SIZE, end = start + bytes / PAGE_SIZE, found = 0;

	for (unsigned int i = 0; i < 3; i++) {
		struct stretch s = machine->uncached[i];

		if (overlaps(s, start, end))
			found += (s.end < end ? s.end : end) - (s.start > start ? s.start : start);
	}
	return found == 0 ? PT_CACHED : found == end - start ? PT_NOT_CACHED : PT_MIXED;
}

static unsigned int atom_of(uint64_t page)
{
	unsigned int i = 0;

	while (i < atom_count && page >= atoms[i].end)
		i++;
	return i;
}

static enum code code_at(const enum code *codes, uint64_t page)
{
	return page < limit ? codes[atom_of(page)] : BEYOND;
}

/* What a walk of this page must find if its code is this. */
static bool finds(struct seen seen, uint64_t page, enum code code)
{
	bool present = meaning[code].state == OWN_MAPPED || meaning[code].state == OWN_SHARED || code == TRAP;
	bool uncached = is_uncached(page, page + 1);

	if (seen.present != present || (!present && seen.mark != meaning[code].owner))
		return false;
	if (!present)
		return seen.state == meaning[code].state;
	/* Devices may be uncached for their neighbours' sake; nothing may be cached that must not be. */
	return seen.page == page && seen.mark == meaning[code].owner && seen.write == (code != TRAP) &&
	       seen.exec == (code != TRAP) && seen.user == (kind == NPT) && seen.dirty &&
	       (seen.cached == !uncached || (code == DEVICE && !seen.cached));
}

static bool alike(const enum code *codes, uint64_t start, uint64_t end)
{
	unsigned int first = atom_of(start);
	bool typed = codes[first] == PLAIN || codes[first] == TRAP || meaning[codes[first]].state == OWN_SHARED;

	for (unsigned int i = first; i < atom_count && atoms[i].start < end; i++) {
		if (codes[i] != codes[first])
			return false;
	}
	return end <= limit && (!typed || machine_caching(start * PAGE_SIZE, (end - start) * PAGE_SIZE) != PT_MIXED ||
				kind == NPT);
}

/* The order of the entry for a page: the largest block around it that is all alike. */
static unsigned int best_order(const enum code *codes, uint64_t page)
{
	unsigned int order = 0;

	for (unsigned int next = PT_ORDER_STEP; next <= largest; next += PT_ORDER_STEP) {
		uint64_t start = page >> next << next;

		if (alike(codes, start, start + (UINT64_C(1) << next)))
			order = next;
	}
	return order;
}

static void check_place(unsigned int frame, uint64_t page, unsigned int order)
{
	require(!places[frame].known || (places[frame].page == page && places[frame].order == order),
		      "a table was given to another place");
	places[frame].known = true;
	places[frame].page = page;
	places[frame].order = order;
}

/* For a processor that is still in a table which is no longer in use: it finds nobody else's pages. */
static void check_stale(void)
{
	for (unsigned int frame = ROOT; frame < ROOT + io_distance; frame++) {
		for (unsigned int i = 0; places[frame].known && i < PT_ENTRIES; i++) {
			uint64_t entry = frame_entries(frame)[i];
			uint64_t page = places[frame].page + ((uint64_t)i << places[frame].order);

			if (!entry_present(entry))
				continue;
			if (entry_points(entry, places[frame].order))
				require(places[(entry & ADDRESS_BITS) / PAGE_SIZE].known &&
						places[(entry & ADDRESS_BITS) / PAGE_SIZE].page == page,
					"a table that was in use leads elsewhere");
			else
				require_equal((entry & ADDRESS_BITS) / PAGE_SIZE, page);
		}
	}
}

static bool io_points(uint64_t entry, unsigned int order)
{
	return entry != 0 && (kind == NPT ? (entry >> 9 & 7) != 0 : order > 0 && (entry & 0x80) == 0);
}

/* The I/O table's tables, as the others: in one place each, for good. */
static void io_reach(unsigned int frame, uint64_t page, unsigned int order)
{
	check_place(frame, page, order);
	for (unsigned int i = 0; order > 0 && i < PT_ENTRIES; i++) {
		uint64_t entry = frame_entries(frame)[i];

		if (io_points(entry, order))
			io_reach((unsigned int)((entry & ADDRESS_BITS) / PAGE_SIZE), page + ((uint64_t)i << order),
				 order - PT_ORDER_STEP);
	}
}

/* For an IOMMU that is still in a table which is no longer in use. */
static void io_check_stale(void)
{
	for (unsigned int frame = ROOT + io_distance; frame < frames; frame++) {
		for (unsigned int i = 0; places[frame].known && i < PT_ENTRIES; i++) {
			uint64_t entry = frame_entries(frame)[i], target = (entry & ADDRESS_BITS) / PAGE_SIZE;
			uint64_t page = places[frame].page + ((uint64_t)i << places[frame].order);

			if (io_points(entry, places[frame].order))
				require(places[target].known && places[target].page == page,
					"an I/O table that was in use leads elsewhere");
			else
				require(entry == 0 || target == page, "an I/O table that was in use leads elsewhere");
		}
	}
}

static void check_page(uint64_t page)
{
	struct seen seen = walk(ROOT, page, largest);

	if (!finds(seen, page, code_at(before, page)) && !finds(seen, page, code_at(after, page)))
		ck_abort_msg("%s: page %lu is neither as before nor as after, behind store %u", machine->name, page, stores);
	seen = io_walk(page);
	if (!device_finds(seen, page, code_at(before, page)) && !device_finds(seen, page, code_at(after, page)))
		ck_abort_msg("%s: to devices page %lu is neither as before nor as after, behind store %u", machine->name, page,
			     stores);
}

static bool watching;

static void store_seen(void)
{
	if (!watching)
		return;
	reach(ROOT, check_place);
	io_reach(ROOT + io_distance, 0, PT_ORDER_TOP);
	for (unsigned int i = 0; i < atom_count; i++) {
		check_page(atoms[i].start);
		check_page(atoms[i].end - 1);
	}
	if (SCALE <= 2) {
		check_stale();
		io_check_stale();
	}
}

static uint64_t pages_of(const enum code *codes, unsigned int first, unsigned int count)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < atom_count; i++) {
		if (codes[i] >= first && codes[i] < first + count)
			pages += atoms[i].end - atoms[i].start;
	}
	return pages;
}

/* None of these pages is a VM's. */
static void check_none(const enum code *codes, uint64_t start, uint64_t end)
{
	if (start >= end)
		return;
	for (unsigned int i = atom_of(start); i < atom_count && atoms[i].start < end; i++)
		require(codes[i] < DONATED_1, "%s: pages from %lu on are left out", machine->name, atoms[i].start);
}

/* Going through what is not the control domain's alone finds all that VMs have, and nothing else. */
static void check_next(const enum code *codes)
{
	struct own_frame frame;
	uint64_t page = 0, hpa;

	do {
		hpa = own_next(page * PAGE_SIZE, &frame);
		check_none(codes, page, hpa == OWN_NOWHERE ? limit : hpa / PAGE_SIZE);
		if (hpa == OWN_NOWHERE)
			return;
		require(hpa / PAGE_SIZE >= page, "%s: page %lu comes again", machine->name, hpa / PAGE_SIZE);
		page = hpa / PAGE_SIZE;
		require(frame.owner == meaning[code_at(codes, page)].owner && frame.owner <= OWN_VMS && frame.owner > 0,
			"%s: page %lu is no VM's", machine->name, page);
		page += UINT64_C(1) << frame.order;
	} while (page < limit);
}

/* The table is the one that this state has, entry by entry; queries and counts say so as well. */
static void check_state(const enum code *codes)
{
	for (unsigned int i = 0; i < 2 * atom_count; i++) {
		uint64_t page = i % 2 ? atoms[i / 2].end - 1 : atoms[i / 2].start;
		struct own_frame frame = own_query(page * PAGE_SIZE + 0x123);
		struct seen seen = walk(ROOT, page, largest);

		require(finds(seen, page, codes[i / 2]), "%s: page %lu is not what it should be", machine->name, page);
		require(seen.order == best_order(codes, page), "%s: page %lu in an entry of order %u", machine->name,
			      page, seen.order);
		require_equal(frame.owner, meaning[codes[i / 2]].owner);
		require_equal(frame.state, meaning[codes[i / 2]].state);
		require_equal(frame.order, seen.order);
		seen = io_walk(page);
		require(device_finds(seen, page, codes[i / 2]),
			"%s: page %lu is not for devices what it should be", machine->name, page);
		require_equal(seen.order, frame.order);
	}
	require_equal(own_query(limit * PAGE_SIZE).state, OWN_NONE);
	for (unsigned int vm = 1; vm <= 2; vm++) {
		unsigned int first = vm == 1 ? DONATED_1 : DONATED_2;

		require_equal(own_count(vm), pages_of(codes, first, CODES_OF_VM - 1));
		require_equal(own_count_shared(vm), pages_of(codes, first + CODES_OF_VM - 1, 1));
	}
	check_next(codes);
	require(own_count(0) == 0 && own_count(OWN_VMS) == 0, "others have pages");
	reach(ROOT, check_place);
	io_reach(ROOT + io_distance, 0, PT_ORDER_TOP);
	check_stale();
	io_check_stale();
}

/* Splits outside memory that a border there asks for, beyond those at the other border. */
static unsigned int splits(uint64_t page, uint64_t other)
{
	unsigned int count = 0;

	for (unsigned int order = PT_ORDER_2M; order <= PT_ORDER_1G; order += PT_ORDER_STEP) {
		uint64_t start = page >> order << order, end = start + (UINT64_C(1) << order);
		bool own_frame_there = is_memory(start, end) || (order == PT_ORDER_1G && largest == PT_ORDER_2M);

		if (page != start && page < limit && order <= best_order(before, page) && !own_frame_there &&
		    (other >> order << order != start || other == start))
			count++;
	}
	return count;
}

static bool op_is_valid(const struct op *op)
{
	unsigned int states = 1u << OWN_DONATED | 1u << OWN_RAM | 1u << OWN_TABLE | 1u << OWN_CELL | 1u << OWN_VCPU |
			      1u << OWN_RECORD;

	switch (op->verb) {
	case KEEL:
		return op->hpa < op->to * PAGE_SIZE && op->hpa % PAGE_SIZE == 0;
	case TRAP_WRITES:
		return op->hpa % PAGE_SIZE == 0;
	case ASSIGN:
	case CHECK:
		if (op->from >= OWN_STATES || (states >> op->from & 1) == 0)
			return false;
		if (op->verb == ASSIGN && (op->to >= OWN_STATES || (states >> op->to & 1) == 0))
			return false;
		break;
	default:
		break;
	}
	return op->order <= PT_ORDER_1G && op->hpa % (PAGE_SIZE << op->order) == 0 && op->vm >= 1 && op->vm <= 64;
}

static bool accepts(const struct op *op, enum code code)
{
	bool its = meaning[code].owner == op->vm && code >= DONATED_1 && code != BEYOND;

	switch (op->verb) {
	case DONATE:
	case SHARE:
		return code == PLAIN;
	case UNSHARE:
		return its && meaning[code].state == OWN_SHARED;
	case RECLAIM:
		return its && meaning[code].state != OWN_SHARED;
	case ASSIGN:
	case CHECK:
		return its && meaning[code].state == op->from;
	case KEEL:
		return code == PLAIN || code == DEVICE;
	case TRAP_WRITES:
		return code == DEVICE;
	}
	return false;
}

static enum code code_of(unsigned int vm, enum own_state state)
{
	unsigned int code = PLAIN;

	while (meaning[code].owner != vm || meaning[code].state != state)
		code++;
	return code;
}

static enum code result_code(const struct op *op, enum code code)
{
	switch (op->verb) {
	case DONATE:
		return code_of(op->vm, OWN_DONATED);
	case SHARE:
		return code_of(op->vm, OWN_SHARED);
	case ASSIGN:
		return code_of(op->vm, op->to);
	case CHECK:
		return code;
	case KEEL:
		return HELD;
	case TRAP_WRITES:
		return TRAP;
	default:
		return PLAIN;
	}
}

/* The model: fills after, and says what the call must answer. */
static int model(const struct op *op)
{
	uint64_t start = op->hpa / PAGE_SIZE;
	uint64_t end = op->verb == KEEL ? op->to : start + (UINT64_C(1) << (op->order <= PT_ORDER_1G ? op->order : 0));

	memcpy(after, before, sizeof(after));
	if (!op_is_valid(op))
		return -EINVAL;
	if (start >= limit || end > limit)
		return -EPERM;
	for (unsigned int i = 0; i < atom_count; i++) {
		if (!overlaps(atoms[i], start, end))
			continue;
		if (!accepts(op, before[i]))
			return -EPERM;
		require(atoms[i].start >= start && atoms[i].end <= end, "%s: an operation within an atom", machine->name);
		after[i] = result_code(op, before[i]);
	}
	return 0;
}

static int act(const struct op *op)
{
	switch (op->verb) {
	case DONATE:
		return own_donate(op->hpa, op->order, op->vm);
	case SHARE:
		return own_share(op->hpa, op->order, op->vm);
	case UNSHARE:
		return own_unshare(op->hpa, op->order, op->vm);
	case RECLAIM:
		return own_reclaim(op->hpa, op->order, op->vm);
	case ASSIGN:
		return own_assign(op->hpa, op->order, op->vm, op->from, op->to);
	case CHECK:
		return own_check(op->hpa, op->order, op->vm, op->from);
	case KEEL:
		return own_take_for_keel(op->hpa, op->to * PAGE_SIZE);
	case TRAP_WRITES:
		return own_trap_writes(op->hpa);
	}
	return 1;
}

static struct op ops[VERBS_MAX];
static unsigned int op_count;

static void add_op(struct op op)
{
	require(op_count < VERBS_MAX, "too many operations");
	ops[op_count++] = op;
}

static void add_block_ops(uint64_t hpa, unsigned int order)
{
	for (unsigned int vm = 1; vm <= machine->vms; vm++) {
		for (enum verb verb = DONATE; verb <= RECLAIM; verb++)
			add_op((struct op){ .verb = verb, .hpa = hpa, .order = order, .vm = vm });
		for (unsigned int from = 0; from < machine->uses; from++) {
			add_op((struct op){ CHECK, hpa, order, vm, OWN_DONATED + from, 0 });
			for (unsigned int to = 0; to < machine->uses; to++)
				add_op((struct op){ ASSIGN, hpa, order, vm, OWN_DONATED + from, OWN_DONATED + to });
		}
	}
}

/* Arguments that nothing accepts, in no state. */
static void add_bad_ops(uint64_t good)
{
	static const unsigned int vms[] = { 0, OWN_VMS + 1, OWN_DEVICE, OWN_KEEL, UINT32_MAX };
	static const unsigned int states[] = { OWN_NONE, OWN_MAPPED, OWN_SHARED, OWN_HELD, OWN_TRAPPED, OWN_STATES, 64 };
	const struct block blocks[] = {
		{ good, PT_ORDER_1G + 1 }, { 0, 63 }, { 0, UINT32_MAX }, { limit, 0 }, { limit, PT_ORDER_1G }, { limit * 3, 1 },
	};

	for (enum verb verb = DONATE; verb <= CHECK; verb++) {
		struct op op = { verb, good * PAGE_SIZE, 0, 1, OWN_DONATED, OWN_DONATED };

		for (unsigned int i = 0; i < ARRAY_SIZE(vms); i++) {
			op.vm = vms[i];
			add_op(op);
		}
		op.vm = 1;
		for (unsigned int i = 0; i < ARRAY_SIZE(blocks); i++) {
			op.hpa = blocks[i].page * PAGE_SIZE;
			op.order = blocks[i].order;
			add_op(op);
		}
		/* Not aligned to a page; to a block. */
		op.hpa = good * PAGE_SIZE + 8;
		op.order = 0;
		add_op(op);
		op.hpa = (good + 1) * PAGE_SIZE;
		op.order = 1;
		add_op(op);
		for (unsigned int i = 0; verb >= ASSIGN && i < ARRAY_SIZE(states); i++) {
			add_op((struct op){ verb, good * PAGE_SIZE, 0, 1, states[i], OWN_DONATED });
			if (verb == ASSIGN)
				add_op((struct op){ verb, good * PAGE_SIZE, 0, 1, OWN_DONATED, states[i] });
		}
	}
}

static void add_boot_ops(void)
{
	for (uint64_t start = 0; start <= limit; start++) {
		for (uint64_t end = start; end <= limit + 1; end++)
			add_op((struct op){ .verb = KEEL, .hpa = start * PAGE_SIZE, .to = (unsigned int)end });
		add_op((struct op){ .verb = TRAP_WRITES, .hpa = start * PAGE_SIZE });
	}
	add_op((struct op){ .verb = KEEL, .hpa = 8, .to = 1 });
	add_op((struct op){ .verb = TRAP_WRITES, .hpa = 8 });
}

/* A state, with all that is needed to go on from it. */
struct record {
	uint64_t key;
	enum code codes[ATOMS];
	unsigned char kept[sizeof(own)];
	unsigned char known[sizeof(places)];
	uint64_t entries[];
};

static size_t record_bytes;
static struct record **queue;
static size_t queue_room;

static void take_record(struct record *record, const enum code *codes)
{
	memcpy(record->codes, codes, sizeof(record->codes));
	memcpy(record->kept, &own, sizeof(own));
	memcpy(record->known, places, sizeof(places));
	for (unsigned int frame = 0; frame < frames; frame++)
		memcpy(&record->entries[(size_t)frame * PT_ENTRIES], frame_entries(frame), PT_ENTRIES * sizeof(uint64_t));
}

static void put_record(const struct record *record)
{
	memcpy(&own, record->kept, sizeof(own));
	memcpy(places, record->known, sizeof(places));
	for (unsigned int frame = 0; frame < frames; frame++) {
		memcpy(frame_entries(frame), &record->entries[(size_t)frame * PT_ENTRIES], PT_ENTRIES * sizeof(uint64_t));
		memcpy(frame_written(frame), frame_entries(frame), PT_ENTRIES * sizeof(uint64_t));
	}
	shadow_take();
}

static bool is_record(const struct record *record)
{
	bool same = !memcmp(&own, record->kept, sizeof(own));

	for (unsigned int frame = 0; frame < frames; frame++)
		same &= !memcmp(frame_entries(frame), &record->entries[(size_t)frame * PT_ENTRIES],
				PT_ENTRIES * sizeof(uint64_t));
	return same;
}

static uint64_t state_key(const enum code *codes)
{
	uint64_t key = own.spares;

	for (unsigned int i = 0; i < atom_count; i++)
		key = key << 4 | codes[i];
	return key;
}

static void queue_add(struct state_set *set, const enum code *codes)
{
	struct record *record;
	uint64_t key = state_key(codes);

	if (!set_add(set, key))
		return;
	if (set->count > queue_room) {
		queue_room = queue_room * 2 + 1024;
		queue = realloc(queue, queue_room * sizeof(*queue));
	}
	record = malloc(record_bytes);
	take_record(record, codes);
	record->key = key;
	queue[set->count - 1] = record;
}

static int compare_cut(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static void cut_atoms(void)
{
	uint64_t cuts[64] = { 0, limit };
	unsigned int count = 2;

	for (unsigned int i = 0; i < 3; i++) {
		cuts[count++] = machine->memory[i].start;
		cuts[count++] = machine->memory[i].end;
		cuts[count++] = machine->uncached[i].start;
		cuts[count++] = machine->uncached[i].end;
	}
	for (unsigned int i = 0; i < machine->count; i++) {
		cuts[count++] = machine->blocks[i].page;
		cuts[count++] = machine->blocks[i].page + (UINT64_C(1) << machine->blocks[i].order);
	}
	for (uint64_t page = 0; machine->boot && page < limit; page++)
		cuts[count++] = page;
	qsort(cuts, count, sizeof(cuts[0]), compare_cut);
	atom_count = 0;
	for (unsigned int i = 0; i + 1 < count; i++) {
		if (cuts[i] == cuts[i + 1])
			continue;
		require(atom_count < ATOMS, "too many atoms");
		atoms[atom_count++] = (struct stretch){ cuts[i], cuts[i + 1] };
	}
}

static void machine_init(void)
{
	unsigned int i;

	for (i = 0; i < 3 && machine->memory[i].end != 0; i++)
		ranges[i] = (struct own_range){ machine->memory[i].start * PAGE_SIZE, machine->memory[i].end * PAGE_SIZE };
	config = (struct own_config){ kind_format(), largest, machine->limit * PAGE_SIZE, ranges, i,
				      kind == NPT ? NULL : machine_caching, &io_formats[kind] };
	spare_frames = machine->spares;
	limit = round_up(machine->limit, UINT64_C(1) << PT_ORDER_1G);
	io_distance = (unsigned int)own_frames_needed(&config) / 2;
	frames = 2 * io_distance + ROOT;
	ck_assert_uint_le(frames, ARRAY_SIZE(places));
	ck_assert_uint_le((size_t)frames * PT_ENTRIES, ARRAY_SIZE(shadow));
	memory_test_arena = aligned_alloc(PAGE_SIZE, frames * PAGE_SIZE);
	ck_assert_ptr_nonnull(memory_test_arena);
	/* The reserve is not zeroed before. */
	memset(memory_test_arena, 0x5a, frames * PAGE_SIZE);
	memset(written, 0x5a, sizeof(written));
	memset(places, 0, sizeof(places));
	watching = false;
	reached_count = 0;
	ck_assert_int_eq(own_init(&config, ROOT * PAGE_SIZE), 0);
	ck_assert_uint_eq(own_io_root(4), (ROOT + io_distance) * PAGE_SIZE);
	ck_assert_uint_eq(own_io_root(3), (ROOT + io_distance + 1) * PAGE_SIZE);
	shadow_take();
	cut_atoms();
	for (i = 0; i < atom_count; i++)
		before[i] = after[i] = is_memory(atoms[i].start, atoms[i].end) ? PLAIN : DEVICE;
	check_state(before);
	watching = true;

	op_count = 0;
	for (i = 0; i < machine->count; i++)
		add_block_ops(machine->blocks[i].page * PAGE_SIZE, machine->blocks[i].order);
	if (machine->boot)
		add_boot_ops();
	else
		add_bad_ops(machine->memory[0].start);
}

/* One operation on the state of the record. True: it was carried out, and the tables have another state. */
static bool try(const struct record *record, const struct op *op)
{
	int expected = model(op), error;
	unsigned int spares_before = own.spares, exact = 0;

	if (expected == 0 && op->verb == KEEL)
		exact = splits(op->hpa / PAGE_SIZE, 0) + splits(op->to, op->hpa / PAGE_SIZE);
	if (expected == 0 && op->verb == TRAP_WRITES)
		exact = splits(op->hpa / PAGE_SIZE, 0) + splits(op->hpa / PAGE_SIZE + 1, op->hpa / PAGE_SIZE);
	stores = 0;
	error = act(op);
	shadow_check();
	if (error == -ENOSPC) {
		/* Borders in one block may be counted twice. */
		require(2 * exact > spares_before, "%s: no spare frames where there are enough", machine->name);
		expected = -ENOSPC;
	}
	if (error != expected)
		ck_abort_msg("%s: verb %u, %lx, order %u, VM %u, %u, %u: %d instead of %d", machine->name, op->verb, op->hpa,
			     op->order, op->vm, op->from, op->to, error, expected);
	if (error != 0 || UNTOUCHED(op->verb)) {
		require(stores == 0 && is_record(record), "%s: a call that failed has changed something", machine->name);
		return false;
	}
	require_equal(spares_before - own.spares, exact);
	check_state(after);
	return true;
}

static const struct machine machines[] = {
#if SCALE == 1
	/* A GiB of memory, everything with everything. */
	{ "gib", .limit = 4, .memory = { { 0, 4 } }, .vms = 2, .uses = 2, .spares = 2, .states = 2401,
	  .count = 7, .blocks = { { 0, 2 }, { 0, 1 }, { 2, 1 }, { 0, 0 }, { 1, 0 }, { 2, 0 }, { 3, 0 } } },
	/* Memory in part of two GiB, and devices. */
	{ "parts", .limit = 12, .memory = { { 2, 4 }, { 6, 8 } }, .vms = 1, .uses = 3, .spares = 2, .states = 625,
	  .count = 10,
	  .blocks = { { 2, 1 }, { 2, 0 }, { 3, 0 }, { 6, 1 }, { 6, 0 }, { 7, 0 }, { 4, 2 }, { 4, 1 }, { 1, 0 }, { 11, 0 } } },
	/* Some of a GiB is not cached. */
	{ "types", .limit = 8, .memory = { { 0, 8 } }, .uncached = { { 3, 4 } }, .vms = 1, .uses = 2, .spares = 2,
	  .states = 4096, .count = 9,
	  .blocks = { { 0, 2 }, { 0, 1 }, { 2, 1 }, { 0, 0 }, { 1, 0 }, { 2, 0 }, { 3, 0 }, { 4, 2 }, { 4, 1 } } },
	/* The start: Keel takes what it needs, and register pages are trapped. */
	{ "boot", .limit = 8, .memory = { { 0, 2 } }, .vms = 1, .uses = 1, .spares = 3, .boot = true,
	  .count = 1, .blocks = { { 0, 1 } } },
	{ "boot types", .limit = 8, .memory = { { 0, 2 } }, .uncached = { { 1, 3 }, { 5, 6 } }, .vms = 1, .uses = 1,
	  .spares = 4, .boot = true, .count = 1, .blocks = { { 0, 1 } } },
#elif SCALE == 2
	/* Blocks that are no leaves: halves of a table. */
	{ "halves", .limit = 16, .memory = { { 4, 8 } }, .vms = 2, .uses = 2, .spares = 2, .states = 2401,
	  .count = 8, .blocks = { { 4, 2 }, { 4, 1 }, { 6, 1 }, { 4, 0 }, { 5, 0 }, { 6, 0 }, { 7, 0 }, { 0, 4 } } },
	{ "gib", .limit = 32, .memory = { { 0, 16 } }, .uncached = { { 10, 11 } }, .vms = 1, .uses = 2, .spares = 2,
	  .count = 7, .blocks = { { 0, 4 }, { 0, 3 }, { 8, 3 }, { 4, 2 }, { 8, 2 }, { 0, 1 }, { 0, 0 } } },
#else
	/* The real sizes, with a few places. Tables for a whole GiB of memory would be too much here. */
	{ "real", .limit = 2u << 18, .memory = { { 0x200, 0x600 } }, .uncached = { { 0x3fe, 0x400 } },
	  .vms = 1, .uses = 1, .spares = 2, .states = 243,
	  .count = 5, .blocks = { { 0x400, 9 }, { 0x400, 8 }, { 0x400, 0 }, { 0x200, 9 }, { 0x3fe, 1 } } },
#endif
};

#define MACHINES	ARRAY_SIZE(machines)

START_TEST(every_state)
{
	struct state_set set;
	uint64_t done = 0;

	machine = &machines[_i / 6];
	kind = _i % 3;
	largest = _i / 3 % 2 ? PT_ORDER_2M : PT_ORDER_1G;
	machine_init();
	record_bytes = sizeof(struct record) + (size_t)frames * PT_ENTRIES * sizeof(uint64_t);
	set_init(&set, 1u << 18);
	queue_add(&set, before);
	for (size_t at = 0; at < set.count; at++) {
		const struct record *record = queue[at];

		memcpy(before, record->codes, sizeof(before));
		put_record(record);
		for (unsigned int i = 0; i < op_count; i++) {
			if (!try(record, &ops[i]))
				continue;
			done++;
			queue_add(&set, after);
			put_record(record);
		}
	}
	require(done > set.count, "%s: hardly anything was carried out", machine->name);
	if (machine->states != 0)
		require(set.count == machine->states, "%s: %zu states", machine->name, set.count);
	while (set.count > 0)
		free(queue[--set.count]);
	free(queue);
	free(set.keys);
	free(memory_test_arena);
}
END_TEST

SUITE("own_machines", tests)
{
	tcase_set_timeout(tests, 300);
	tcase_add_loop_test(tests, every_state, 0, 6 * MACHINES);
}
