/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page tables of four levels: those of host address spaces and of second levels.
 *
 * The layout is the same for all; struct pt_format holds the bits in which they differ. Blocks are
 * given as an address and an order: 2^order pages, aligned to their size, order <= PT_ORDER_MAX. A block is
 * mapped by the largest leaves that its order and the CPU allow. All of its entries lie in one table.
 *
 * Locking: the caller keeps every other writer out. The CPUs may walk the tables at any time: each change is
 * made by one aligned store per entry, and a new table is complete before anything points to it.
 * TLBs are the caller's business. A frame that goes back to a pool may still be in a paging-structure cache:
 * flush before that pool is used for another page table.
 *
 * Errors are negative Linux numbers ("error.h"); a call that fails has changed nothing.
 */
#ifndef VMM_PAGETABLE_H
#define VMM_PAGETABLE_H

#include <stdbool.h>
#include <stdint.h>

#define PT_ENTRIES	512u
#define PT_ORDER_4K	0u
#define PT_ORDER_2M	9u
#define PT_ORDER_1G	18u
#define PT_ORDER_MAX	18u
#define PT_ORDER_TOP	27u	/* of the entries of the top table */
#define PT_ORDER_STEP	9u	/* from one level to the next */
#define PT_WINDOW	256u	/* pages that pt_take_dirty() looks at */

/* Rights of a mapping. PT_READ is implied always, PT_USER in second-level tables. */
#define PT_READ		(1u << 0)
#define PT_WRITE	(1u << 1)
#define PT_EXEC		(1u << 2)
#define PT_USER		(1u << 3)
#define PT_UNCACHED	(1u << 4)	/* where the format has a word in it; else it is up to the MTRRs */
#define PT_GLOBAL	(1u << 5)	/* host tables only */
#define PT_COHERENT	(1u << 6)	/* cached, whatever the guest's PAT says, where the processor does not see to it */

/* How a block of addresses may be cached. */
enum pt_caching {
	PT_CACHED,
	PT_NOT_CACHED,
	PT_MIXED,		/* some of it one way, some the other */
};

/* Software bits that all formats leave alone in present leaves. */
#define PT_SOFTWARE_SHIFT	52
#define PT_SOFTWARE_MASK	(UINT64_C(0x7f) << PT_SOFTWARE_SHIFT)
/* Marks in guests' tables, each of which says that a page is not the guest's memory. */
#define PT_MARK_DEVICE		(UINT64_C(1) << PT_SOFTWARE_SHIFT)
#define PT_MARK_APERTURE	(UINT64_C(2) << PT_SOFTWARE_SHIFT)	/* the control domain's, of the channel */

struct pt_format {
	uint64_t present;	/* an entry with none of these bits is not present, and the rest of it is software's */
	uint64_t address;
	uint64_t table;		/* bits of an entry that points to a table */
	uint64_t leaf;		/* bits of every leaf: accessed and dirty are set beforehand, so CPUs do not write */
	uint64_t large;		/* bit that makes an entry above the last level a leaf */
	uint64_t write;
	uint64_t exec;
	uint64_t no_exec;
	uint64_t user;
	uint64_t global;
	uint64_t cached;
	uint64_t uncached;
	uint64_t coherent;
	uint64_t hardware;	/* accessed and dirty bits: no difference when leaves are compared */
	uint64_t dirty;
};

struct page_table {
	const struct pt_format *format;
	uint64_t root;		/* physical address of the top table */
	unsigned largest;	/* order of the CPU's largest leaf: PT_ORDER_2M or PT_ORDER_1G */
};

/* Free frames; the first eight bytes of each hold the physical address of the next. */
struct frame_pool {
	uint64_t head;
	unsigned count;
};

struct pt_place {
	uint64_t *slot;		/* after pt_lookup(): the entry that decides, a leaf or not present */
	uint64_t entry;
	unsigned order;		/* what the entry covers: 0, 9, 18, or 27 for an empty entry of the top table */
};

static inline uint64_t pt_order_bytes(unsigned order)
{
	return UINT64_C(4096) << order;
}

/* The order of the leaves that a block of this order is mapped by. */
unsigned pt_leaf_order(const struct page_table *table, unsigned order);

void frame_pool_put(struct frame_pool *pool, uint64_t pa);
/* The frame comes back zeroed. The pool must not be empty. */
uint64_t frame_pool_get(struct frame_pool *pool);

static inline bool pt_present(const struct pt_format *format, uint64_t entry)
{
	return (entry & format->present) != 0;
}

/* The leaf of this order (0, 9 or 18); software: bits within PT_SOFTWARE_MASK. */
uint64_t pt_leaf(const struct pt_format *format, uint64_t pa, unsigned order, unsigned rights,
		 uint64_t software);

/* The physical address to which a present leaf of this order maps va. */
uint64_t pt_leaf_address(const struct pt_format *format, const struct pt_place *place, uint64_t va);

/* An entry of this order that points to a table. */
static inline bool pt_is_table(const struct pt_format *format, uint64_t entry, unsigned order)
{
	return order != 0 && pt_present(format, entry) && (entry & format->large) == 0;
}

/* The table to which such an entry points. */
uint64_t *pt_table(const struct pt_format *format, uint64_t entry);

/* Walks towards va to an entry of this order (0, 9, 18, 27), which may be a table, or as far as it can. */
void pt_walk(const struct page_table *table, uint64_t va, unsigned order, struct pt_place *place);

/* Walks to the last entry for va; true if it is a present leaf. place is filled in either case. */
bool pt_lookup(const struct page_table *table, uint64_t va, struct pt_place *place);

/* Changes an entry that CPUs may be reading. */
static inline void pt_store(uint64_t *slot, uint64_t entry)
{
	__atomic_store_n(slot, entry, __ATOMIC_RELEASE);
}

/* Frames that pt_map() of this block would take; 0 also where pt_map() would fail for another reason. */
unsigned pt_frames_needed(const struct page_table *table, uint64_t va, unsigned order);

/*
 * Maps a block. -EINVAL: order, alignment or software bits; -EBUSY: an entry of the block is in use, be it
 * a leaf, a table or software's note in an entry that is not present; -ENOMEM: the pool has too few frames.
 */
int pt_map(const struct page_table *table, uint64_t va, uint64_t pa, unsigned order, unsigned rights,
	   uint64_t software, struct frame_pool *pool);

/*
 * Clears a block whose entries are leaves of at most its order; larger leaves must be split first. Tables
 * that become empty go back to the pool. -EINVAL: order or alignment; -ENOENT: not wholly mapped;
 * -EBUSY: a leaf reaches beyond the block.
 */
int pt_unmap(const struct page_table *table, uint64_t va, unsigned order, struct frame_pool *pool);

/*
 * Puts a table of 512 leaves, in frame, in the place of a terminal entry of order 9 or 18. An entry that is
 * not present is copied 512 times. No translation changes.
 */
void pt_split(const struct pt_format *format, uint64_t *slot, unsigned order, uint64_t frame);

/*
 * Undoes pt_split(): if the 512 entries of the table below are alike (contiguous leaves with the same bits,
 * or the same note of software), one entry of this order (9 or 18) replaces them and the table's frame is
 * returned; otherwise 0.
 */
uint64_t pt_merge(const struct pt_format *format, uint64_t *slot, unsigned order);

/* Splits leaves until va is mapped by one of at most this order. -ENOENT: not mapped, -ENOMEM. */
int pt_split_to(const struct page_table *table, uint64_t va, unsigned order, struct frame_pool *pool);

/*
 * Sets the bits of those of the PT_WINDOW pages from va on (aligned to that many) that were written, if they have no mark, and
 * clears the leaves' dirty bits, which CPUs may be setting. A CPU that has the old leaf in its TLB does not set the bit
 * again. -EBUSY: they are mapped by a larger leaf, whose bit stays set for good, so that splitting it loses nothing.
 */
int pt_take_dirty(const struct page_table *table, uint64_t va, uint64_t bits[PT_WINDOW / 64]);

/* Merges upwards around va as far as possible, up to table->largest; frames go back to the pool. */
void pt_merge_up(const struct page_table *table, uint64_t va, struct frame_pool *pool);

#endif
