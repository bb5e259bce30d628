// SPDX-License-Identifier: GPL-2.0
/* Guest page walk in the four paging modes (Intel SDM vol. 3, 4.3 to 4.8). */
#include "vcpu/walk.h"

#include <x86/paging.h>
#include <x86/registers.h>

/* The width of physical addresses is the hypervisor's to say; the check here is for the architecture's most. */
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

struct format {
	unsigned int levels, entry_bytes, index_bits;
	bool pae_top;			/* level 3 is a PDPTE of PAE paging: no rights, no accessed bit */
};

struct walk {
	const struct keel_context *ctx;
	const struct gmem *mem;
	uint64_t linear;
	unsigned int access;
	bool user;
	const struct format *format;
	uint64_t reserved;		/* bits of every entry */

	uint64_t rights;		/* PTE_WRITE, PTE_USER and PTE_ACCESSED set in every level, PTE_NX clear in every one */
	unsigned int leaf;		/* level that ended the walk */
	uint64_t gpa;
	struct {
		uint64_t gpa, value;
	} entry[MOST_LEVELS + 1];	/* by level */
};

static const struct format four_levels = { .levels = 4, .entry_bytes = 8, .index_bits = 9 };
static const struct format five_levels = { .levels = 5, .entry_bytes = 8, .index_bits = 9 };
static const struct format pae = { .levels = PAE_TOP, .entry_bytes = 8, .index_bits = 9, .pae_top = true };
static const struct format two_levels = { .levels = 2, .entry_bytes = 4, .index_bits = 10 };

static bool has_nx(const struct walk *w)
{
	return w->format->entry_bytes == 8 && (w->ctx->sregs.efer & EFER_NXE);
}

static const struct format *format_of(const struct keel_sregs *sregs)
{
	if (sregs->efer & EFER_LMA)
		return sregs->cr4 & CR4_LA57 ? &five_levels : &four_levels;
	return sregs->cr4 & CR4_PAE ? &pae : &two_levels;
}

static uint64_t root_of(const struct walk *w, const struct format *format)
{
	uint64_t cr3 = w->ctx->sregs.cr3;

	if (format->pae_top)
		return cr3 & CR3_PAE_MASK;
	return cr3 & (format->entry_bytes == 4 ? CR3_32_MASK : PTE_ADDRESS);
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
static inline uint64_t load_entry(const struct walk *w, const struct format *format, uint64_t gpa)
{
	unsigned int offset = format->entry_bytes == sizeof(uint64_t) ? 0 : gpa % sizeof(uint64_t);
	const void *at = gmem_in_page(w->mem, gpa - offset);
	uint64_t value = at ? __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED) : UINT64_MAX;

	return format->entry_bytes == sizeof(value) ? value : (uint32_t)(value >> (8 * offset));
}

static inline bool is_large(const struct walk *w, const struct format *format, unsigned int level, uint64_t entry)
{
	if (level == 1 || level > PAE_TOP || (format->pae_top && level == PAE_TOP) || !(entry & PTE_LARGE))
		return false;
	return format->entry_bytes == 8 || w->ctx->sregs.cr4 & CR4_PSE;
}

static inline bool has_reserved(const struct walk *w, const struct format *format, unsigned int level, unsigned int shift,
				uint64_t entry)
{
	uint64_t reserved = w->reserved;

	if (format->pae_top && level == PAE_TOP)
		reserved |= PTE_NX;
	if (level > PAE_TOP)
		reserved |= PTE_LARGE;
	if (is_large(w, format, level, entry))
		reserved |= format->entry_bytes == 4 ? LARGE_32_RESERVED : ((1ull << shift) - 1) & PTE_ADDRESS & ~LARGE_PAT;
	return entry & reserved;
}

static inline uint64_t leaf_address(const struct walk *w, const struct format *format, unsigned int level, unsigned int shift,
				    uint64_t entry)
{
	uint64_t within = (1ull << shift) - 1, offset = w->linear & within;

	if (format->entry_bytes == 4 && level == 2)
		return (entry & LARGE_32_MASK) | offset |
		       (entry >> LARGE_32_HIGH_SHIFT & LARGE_32_HIGH_MASK) << 32;
	return (entry & PTE_ADDRESS & ~within) | offset;
}

/*
 * Goes down the tables and changes nothing. False: *code holds the part of the page fault's code that is theirs. It is compiled
 * once for the format that most guests have, with all levels in a row, and once for any.
 */
static inline __attribute__((always_inline)) bool descend(struct walk *w, const struct format *format, uint32_t *code)
{
	uint64_t table = root_of(w, format), rights = PTE_WRITE | PTE_USER | PTE_ACCESSED | PTE_NX;

#pragma GCC unroll 4
	for (unsigned int level = format->levels; level > 0; level--) {
		unsigned int shift = PAGE_SHIFT + format->index_bits * (level - 1);
		uint64_t index = w->linear >> shift & ((1u << format->index_bits) - 1);
		uint64_t gpa = table + index * format->entry_bytes, entry = load_entry(w, format, gpa);

		w->entry[level].gpa = gpa;
		w->entry[level].value = entry;
		*code = 0;
		if (!(entry & PTE_PRESENT))
			return false;
		*code = PF_PRESENT | PF_RESERVED;
		if (has_reserved(w, format, level, shift, entry))
			return false;
		if (!format->pae_top || level != PAE_TOP)
			rights &= entry ^ PTE_NX;
		if (level == 1 || is_large(w, format, level, entry)) {
			w->rights = rights;
			w->leaf = level;
			w->gpa = leaf_address(w, format, level, shift, entry);
			return true;
		}
		table = entry & PTE_ADDRESS;
	}
	return false;
}

static __attribute__((noinline)) bool descend_any(struct walk *w, uint32_t *code)
{
	return descend(w, w->format, code);
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
		return w->rights & PTE_NX && (w->user || !user_page || !(ctx->sregs.cr4 & CR4_SMEP));
	if (w->user || !user_page || !(ctx->sregs.cr4 & CR4_SMAP))
		return true;
	return !(w->access & WALK_SYSTEM) && (ctx->regs.rflags & RFLAGS_AC);
}

static bool is_marked(const struct walk *w)
{
	return w->rights & PTE_ACCESSED && (!(w->access & WALK_WRITE) || w->entry[w->leaf].value & PTE_DIRTY);
}

/* False: an entry changed since it was read. Tables in read-only memory stay as they are. */
static __attribute__((noinline)) bool mark_used(const struct walk *w)
{
	for (unsigned int level = w->format->levels; level >= w->leaf; level--) {
		uint64_t bits = PTE_ACCESSED, value = w->entry[level].value, old = value;

		if (w->format->pae_top && level == PAE_TOP)
			continue;
		if (level == w->leaf && (w->access & WALK_WRITE))
			bits |= PTE_DIRTY;
		if ((value & bits) == bits)
			continue;
		if (gmem_cmpxchg_entry(w->mem, w->entry[level].gpa, w->format->entry_bytes, &old, value | bits) && old != value)
			return false;
	}
	return true;
}

/* False: *fault is set. */
static bool walk(struct walk *w, const struct keel_context *ctx, const struct gmem *mem, uint64_t linear, unsigned int access,
		 struct emulate_fault *fault)
{
	/* The rest is set as the walk comes to it. */
	w->ctx = ctx;
	w->mem = mem;
	w->linear = linear;
	w->access = access;
	w->user = ctx->sregs.cpl == CPL_USER && !(access & WALK_SYSTEM);
	w->format = format_of(&ctx->sregs);
	w->reserved = w->format->pae_top ? PAE_RESERVED : 0;
	if (!has_nx(w))
		w->reserved |= PTE_NX;
	for (unsigned int i = 0; i < MOST_TRIES; i++) {
		uint32_t code;

		if (!(w->format == &four_levels ? descend(w, &four_levels, &code) : descend_any(w, &code)))
			return page_fault(w, code, fault);
		if (!is_allowed(w))
			return page_fault(w, PF_PRESENT, fault);
		if (is_marked(w) || mark_used(w))
			break;
	}
	return true;
}

bool walk_translate(const struct keel_context *ctx, const struct gmem *mem, uint64_t linear, unsigned int access,
		    uint64_t *gpa, struct emulate_fault *fault)
{
	struct walk w;

	*gpa = linear;
	if (!(ctx->sregs.cr0 & CR0_PG))
		return true;
	if (!walk(&w, ctx, mem, linear, access, fault))
		return false;
	*gpa = w.gpa;
	return true;
}

/* EFER.LMA stands for CR0.PG: these walks are long mode's. */
static inline bool is_again(const struct walked *known, const struct keel_context *ctx, uint64_t linear)
{
	const struct keel_sregs *sregs = &ctx->sregs;
	uint64_t differs = ((known->linear ^ linear) & -(uint64_t)WALK_PAGE_BYTES) | (known->cr3 ^ sregs->cr3) |
			   (known->cr4 ^ sregs->cr4) | (known->efer ^ sregs->efer) | (known->cpl ^ sregs->cpl);

	if (differs || !known->at[0])
		return false;
#pragma GCC unroll 4
	for (unsigned int i = 0; i < WALK_KNOWN_LEVELS; i++)
		differs |= __atomic_load_n(known->at[i], __ATOMIC_RELAXED) ^ known->value[i];
	return !differs;
}

static void learn(struct walked *known, const struct walk *w)
{
	const struct keel_sregs *sregs = &w->ctx->sregs;
	const uint64_t *at = NULL;
	uint64_t value = 0;

	known->at[0] = NULL;
	if (w->format != &four_levels || !is_marked(w))
		return;
	for (unsigned int i = WALK_KNOWN_LEVELS; i > 0; i--) {
		if (i >= w->leaf) {
			at = (const uint64_t *)gmem_at(w->mem, w->entry[i].gpa, sizeof(*at), false);
			value = w->entry[i].value;
		}
		if (!at)
			return;
		known->at[i - 1] = at;
		known->value[i - 1] = value;
	}
	known->linear = w->linear & -(uint64_t)WALK_PAGE_BYTES;
	known->gpa = w->gpa & -(uint64_t)WALK_PAGE_BYTES;
	known->cr3 = sregs->cr3;
	known->cr4 = sregs->cr4;
	known->efer = sregs->efer;
	known->cpl = sregs->cpl;
}

/* Not for what is found again to make room on the stack for. */
static __attribute__((noinline)) bool fetch_anew(struct walked *known, const struct keel_context *ctx, const struct gmem *mem,
						 uint64_t linear, uint64_t *gpa, struct emulate_fault *fault)
{
	struct walk w;

	*gpa = linear;
	if (!(ctx->sregs.cr0 & CR0_PG))
		return true;
	if (!walk(&w, ctx, mem, linear, WALK_FETCH, fault))
		return false;
	learn(known, &w);
	*gpa = w.gpa;
	return true;
}

bool walk_fetch(struct walk_known *known, const struct keel_context *ctx, const struct gmem *mem, uint64_t linear, uint64_t *gpa,
		struct emulate_fault *fault)
{
	struct walked *page = &known->page[linear / WALK_PAGE_BYTES % WALK_KNOWN];

	if (!is_again(page, ctx, linear))
		return fetch_anew(page, ctx, mem, linear, gpa, fault);
	*gpa = page->gpa | linear % WALK_PAGE_BYTES;
	return true;
}
