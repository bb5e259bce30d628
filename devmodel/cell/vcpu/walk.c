// SPDX-License-Identifier: GPL-2.0
/* Guest page walk in the four paging modes (Intel SDM vol. 3, 4.3 to 4.8). */
#include "vcpu/walk.h"

#include <x86/registers.h>

#define PTE_PRESENT	(1ull << 0)
#define PTE_WRITE	(1ull << 1)
#define PTE_USER	(1ull << 2)
#define PTE_ACCESSED	(1ull << 5)
#define PTE_DIRTY	(1ull << 6)
#define PTE_LARGE	(1ull << 7)
#define PTE_NX		(1ull << 63)

/* The width of physical addresses is the hypervisor's to say; the check here is for the architecture's most. */
#define ADDRESS_MASK	0x000ffffffffff000ull
#define PAE_RESERVED	0x7ff0000000000000ull	/* not in long mode, where software may use these bits */
#define CR3_PAE_MASK	0xffffffe0ull
#define CR3_32_MASK	0xfffff000ull
#define LARGE_32_MASK	0xffc00000ull
#define LARGE_32_RESERVED	(1ull << 21)
#define LARGE_32_HIGH_SHIFT	13		/* PSE-36: bits 13 to 20 are address bits 32 to 39 */
#define LARGE_32_HIGH_MASK	0xffull
#define LARGE_PAT	(1ull << 12)

#define PF_PRESENT	(1u << 0)
#define PF_WRITE	(1u << 1)
#define PF_USER		(1u << 2)
#define PF_RESERVED	(1u << 3)
#define PF_FETCH	(1u << 4)

#define CPL_USER	3
#define MOST_LEVELS	5
#define PAE_TOP		3
#define PAGE_SHIFT	12

/* So often the walk starts again when another vCPU changes the tables under it; then it leaves the bits alone. */
#define MOST_TRIES	8

struct walk {
	const struct keel_context *ctx;
	const struct gmem *mem;
	uint64_t linear;
	unsigned int access;
	bool user;
	unsigned int levels, entry_bytes, index_bits;
	bool pae_top;			/* level 3 is a PDPTE of PAE paging: no rights, no accessed bit */
	uint64_t reserved;		/* bits of every entry */

	uint64_t rights;		/* PTE_WRITE, PTE_USER and PTE_ACCESSED set in every level, PTE_NX set in any */
	unsigned int leaf;		/* level that ended the walk */
	uint64_t gpa;
	struct {
		uint64_t gpa, value;
	} entry[MOST_LEVELS + 1];	/* by level */
};

static bool has_nx(const struct walk *w)
{
	return w->entry_bytes == 8 && (w->ctx->sregs.efer & EFER_NXE);
}

static void choose_format(struct walk *w)
{
	const struct keel_sregs *sregs = &w->ctx->sregs;

	w->entry_bytes = 8;
	w->index_bits = 9;
	w->pae_top = false;
	w->reserved = 0;
	if (sregs->efer & EFER_LMA) {
		w->levels = sregs->cr4 & CR4_LA57 ? 5 : 4;
	} else if (sregs->cr4 & CR4_PAE) {
		w->levels = PAE_TOP;
		w->pae_top = true;
		w->reserved = PAE_RESERVED;
	} else {
		w->levels = 2;
		w->entry_bytes = 4;
		w->index_bits = 10;
	}
	if (!has_nx(w))
		w->reserved |= PTE_NX;
}

static uint64_t root_of(const struct walk *w)
{
	uint64_t cr3 = w->ctx->sregs.cr3;

	if (w->pae_top)
		return cr3 & CR3_PAE_MASK;
	return cr3 & (w->entry_bytes == 4 ? CR3_32_MASK : ADDRESS_MASK);
}

static bool page_fault(const struct walk *w, uint32_t code, struct emulate_fault *fault)
{
	if (w->access & WALK_WRITE)
		code |= PF_WRITE;
	if (w->user)
		code |= PF_USER;
	if ((w->access & WALK_FETCH) && (has_nx(w) || (w->ctx->sregs.cr4 & CR4_SMEP)))
		code |= PF_FETCH;
	*fault = (struct emulate_fault) {
		.vector = EXC_PF, .has_error_code = true, .error_code = code, .cr2 = w->linear,
	};
	return false;
}

/*
 * Always 8 aligned bytes, which arrive in one piece: another vCPU may be writing the entry. Tables outside memory read
 * as all ones, like any address where nothing answers.
 */
static uint64_t load_entry(const struct walk *w, uint64_t gpa)
{
	unsigned int offset = gpa % sizeof(uint64_t);
	const void *at = gmem_at(w->mem, gpa - offset, sizeof(uint64_t), false);
	uint64_t value = at ? __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED) : UINT64_MAX;

	return w->entry_bytes == sizeof(value) ? value : (uint32_t)(value >> (8 * offset));
}

static bool is_large(const struct walk *w, unsigned int level, uint64_t entry)
{
	if (!(entry & PTE_LARGE))
		return false;
	if (w->entry_bytes == 4)
		return level == 2 && (w->ctx->sregs.cr4 & CR4_PSE);
	return level == 2 || (level == 3 && !w->pae_top);
}

static bool has_reserved(const struct walk *w, unsigned int level, unsigned int shift, uint64_t entry)
{
	uint64_t reserved = w->reserved;

	if (w->pae_top && level == PAE_TOP)
		reserved |= PTE_NX;
	if (level > PAE_TOP)
		reserved |= PTE_LARGE;
	if (is_large(w, level, entry))
		reserved |= w->entry_bytes == 4 ? LARGE_32_RESERVED : ((1ull << shift) - 1) & ADDRESS_MASK & ~LARGE_PAT;
	return entry & reserved;
}

static uint64_t leaf_address(const struct walk *w, unsigned int level, unsigned int shift, uint64_t entry)
{
	uint64_t within = (1ull << shift) - 1, offset = w->linear & within;

	if (w->entry_bytes == 4 && level == 2)
		return (entry & LARGE_32_MASK) | offset |
		       (entry >> LARGE_32_HIGH_SHIFT & LARGE_32_HIGH_MASK) << 32;
	return (entry & ADDRESS_MASK & ~within) | offset;
}

/* Goes down the tables and changes nothing. False: *code holds the part of the page fault's code that is theirs. */
static bool descend(struct walk *w, uint32_t *code)
{
	unsigned int level = w->levels, shift = PAGE_SHIFT + w->index_bits * (level - 1);
	uint64_t table = root_of(w), entry;

	w->rights = PTE_WRITE | PTE_USER | PTE_ACCESSED;
	for (;; level--, shift -= w->index_bits) {
		uint64_t index = w->linear >> shift & ((1u << w->index_bits) - 1);

		w->entry[level].gpa = table + index * w->entry_bytes;
		entry = w->entry[level].value = load_entry(w, w->entry[level].gpa);
		*code = 0;
		if (!(entry & PTE_PRESENT))
			return false;
		*code = PF_PRESENT | PF_RESERVED;
		if (has_reserved(w, level, shift, entry))
			return false;
		if (!w->pae_top || level != PAE_TOP)
			w->rights = (w->rights & (entry | PTE_NX)) | (entry & PTE_NX);
		if (level == 1 || is_large(w, level, entry))
			break;
		table = entry & ADDRESS_MASK;
	}
	w->leaf = level;
	w->gpa = leaf_address(w, level, shift, entry);
	return true;
}

/* SDM vol. 3, 4.6.1. */
static bool is_allowed(const struct walk *w)
{
	const struct keel_context *ctx = w->ctx;
	bool user_page = w->rights & PTE_USER;

	if (w->user && !user_page)
		return false;
	if ((w->access & WALK_WRITE) && !(w->rights & PTE_WRITE) && (w->user || (ctx->sregs.cr0 & CR0_WP)))
		return false;
	if (w->access & WALK_FETCH)
		return !(w->rights & PTE_NX) && (w->user || !user_page || !(ctx->sregs.cr4 & CR4_SMEP));
	if (w->user || !user_page || !(ctx->sregs.cr4 & CR4_SMAP))
		return true;
	return !(w->access & WALK_SYSTEM) && (ctx->regs.rflags & RFLAGS_AC);
}

/* False: an entry changed since it was read. Tables in read-only memory stay as they are. */
static bool mark_used(const struct walk *w)
{
	if (w->rights & PTE_ACCESSED && (!(w->access & WALK_WRITE) || w->entry[w->leaf].value & PTE_DIRTY))
		return true;
	for (unsigned int level = w->levels; level >= w->leaf; level--) {
		uint64_t bits = PTE_ACCESSED, value = w->entry[level].value, old = value;

		if (w->pae_top && level == PAE_TOP)
			continue;
		if (level == w->leaf && (w->access & WALK_WRITE))
			bits |= PTE_DIRTY;
		if ((value & bits) == bits)
			continue;
		if (gmem_cmpxchg(w->mem, w->entry[level].gpa, w->entry_bytes, &old, value | bits) && old != value)
			return false;
	}
	return true;
}

bool walk_translate(const struct keel_context *ctx, const struct gmem *mem, uint64_t linear, unsigned int access,
		    uint64_t *gpa, struct emulate_fault *fault)
{
	struct walk w;

	if (!(ctx->sregs.cr0 & CR0_PG)) {
		*gpa = linear;
		return true;
	}
	/* The rest is set as the walk comes to it. */
	w.ctx = ctx;
	w.mem = mem;
	w.linear = linear;
	w.access = access;
	w.user = ctx->sregs.cpl == CPL_USER && !(access & WALK_SYSTEM);
	choose_format(&w);
	for (unsigned int i = 0; i < MOST_TRIES; i++) {
		uint32_t code;

		if (!descend(&w, &code))
			return page_fault(&w, code, fault);
		if (!is_allowed(&w))
			return page_fault(&w, PF_PRESENT, fault);
		if (mark_used(&w))
			break;
	}
	*gpa = w.gpa;
	return true;
}
