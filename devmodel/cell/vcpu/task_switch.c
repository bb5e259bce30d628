// SPDX-License-Identifier: GPL-2.0
/* Hardware task switch (Intel SDM vol. 3, 8.2 to 8.6). */
#include "vcpu/task_switch.h"

#include <x86/registers.h>

#include "core/string.h"
#include "vcpu/walk.h"

#define FLAGS_ALL	0x003f7fd5u	/* all that there are but the fixed one */

#define PDPTES		4u
#define PDPTES_MASK	0xffffffe0u	/* CR3 (4.4.1) */
#define PDPTE_PRESENT	(1ull << 0)
#define PDPTE_RESERVED	0xfff00000000001e6ull

#define SELECTOR_RPL	3u
#define SELECTOR_LDT	(1u << 2)
#define SELECTOR_INDEX	0xfff8u
#define SELECTOR_NULL	3u		/* a null selector is at most this */

#define SEGMENT_ACCESSED	(1u << 0)
#define SEGMENT_WRITE	(1u << 1)	/* of data */
#define SEGMENT_READ	(1u << 1)	/* of code */
#define SEGMENT_DOWN	(1u << 2)	/* of data */
#define SEGMENT_CONFORMING	(1u << 2)	/* of code */
#define SEGMENT_CODE	(1u << 3)
#define SEGMENT_USER	(1u << 4)	/* code or data, not a system segment */
#define SEGMENT_DPL_SHIFT	5
#define SEGMENT_DPL	3u
#define SEGMENT_PRESENT	(1u << 7)
#define SEGMENT_BIG	(1u << 10)
#define SEGMENT_PAGES	(1u << 11)	/* the limit counts pages */
#define SEGMENT_KIND	0x1fu		/* type and S */
#define KIND_LDT	2u
#define KIND_TSS_16	1u
#define KIND_TSS_BUSY	(1u << 1)
#define KIND_TSS_32	(1u << 3)
#define SEGMENT_VM86	0xf3u		/* data, writable, accessed, DPL 3, present */
#define LIMIT_16	0xffffu
#define CPL_USER	3u

#define DESCRIPTOR_BYTES	8u
#define DESCRIPTOR_RIGHTS	5u	/* the byte with type, S, DPL and P */
#define ERROR_EXTERNAL	1u

/* So often a byte that others write as well is tried. */
#define MOST_TRIES	8u

/* Offsets in a TSS (figures 8-2 and 8-10); general and segment registers in the order of enum keel_gpr and keel_segment. */
struct layout {
	unsigned int bytes, word;
	unsigned int saved;		/* what a task that is left needs: the end of the segments */
	unsigned int ip, flags, gpr, segment, segments, ldt;
};
static const struct layout tss_16 = {
	.bytes = 0x2c, .word = 2, .saved = 0x2a, .ip = 0x0e, .flags = 0x10, .gpr = 0x12, .segment = 0x22, .segments = 4,
	.ldt = 0x2a,
};
static const struct layout tss_32 = {
	.bytes = 0x68, .word = 4, .saved = 0x60, .ip = 0x20, .flags = 0x24, .gpr = 0x28, .segment = 0x48, .segments = 6,
	.ldt = 0x60,
};
#define TSS_LINK	0u
#define TSS_32_CR3	0x1cu
#define TSS_32_TRAP	0x64u
#define TSS_BYTES	0x68u		/* of the larger */
#define TSS_GPRS	8u

/* Linear memory that has been translated: in two pages if 'first' bytes are not all. */
struct span {
	uint64_t gpa[2];
	unsigned int first;
};

struct task {
	struct keel_context *ctx;
	const struct gmem *mem;
	struct emulate_fault *fault;
	uint32_t source;
	bool external;			/* due to an event that is not an instruction's: EXT of error codes */
	const struct layout *old, *new;
	struct keel_segment_register tr;	/* the new one */
	uint8_t image[TSS_BYTES];		/* of the new TSS */
	struct span old_tss, old_rights, new_link, new_rights;
};

static bool raise(const struct task *t, uint8_t vector, uint32_t selector)
{
	*t->fault = (struct emulate_fault) {
		.vector = vector, .has_error_code = true,
		.error_code = (selector & (SELECTOR_INDEX | SELECTOR_LDT)) | (t->external ? ERROR_EXTERNAL : 0),
	};
	return false;
}

/* Linear memory */

static bool translate(const struct task *t, uint64_t linear, unsigned int bytes, unsigned int access, struct span *span)
{
	uint32_t at = (uint32_t)linear;
	unsigned int left = WALK_PAGE_BYTES - at % WALK_PAGE_BYTES;

	span->first = bytes < left ? bytes : left;
	return walk_translate(t->ctx, t->mem, at, access, &span->gpa[0], t->fault) &&
	       (bytes <= left || walk_translate(t->ctx, t->mem, at + left, access, &span->gpa[1], t->fault));
}

static uint64_t gpa_of(const struct span *span, unsigned int offset)
{
	return offset < span->first ? span->gpa[0] + offset : span->gpa[1] + (offset - span->first);
}

static unsigned int run_of(const struct span *span, unsigned int offset, unsigned int bytes)
{
	return offset < span->first && bytes > span->first - offset ? span->first - offset : bytes;
}

/* What is no memory, or read-only, does not keep it. */
static void span_write(const struct task *t, const struct span *span, unsigned int offset, const void *from,
		       unsigned int bytes)
{
	unsigned int run = run_of(span, offset, bytes);

	(void)gmem_write(t->mem, gpa_of(span, offset), from, run);
	if (run < bytes)
		(void)gmem_write(t->mem, gpa_of(span, offset + run), (const uint8_t *)from + run, bytes - run);
}

static bool read_linear(const struct task *t, uint64_t linear, void *to, unsigned int bytes)
{
	struct span span;
	unsigned int run;

	if (!translate(t, linear, bytes, WALK_SYSTEM, &span))
		return false;
	memset(to, UINT8_MAX, bytes);
	run = run_of(&span, 0, bytes);
	(void)gmem_read(t->mem, gpa_of(&span, 0), to, run);
	if (run < bytes)
		(void)gmem_read(t->mem, gpa_of(&span, run), (uint8_t *)to + run, bytes - run);
	return true;
}

/* Bits of the byte with a descriptor's type, which other processors may be changing. */
static void change_rights(const struct task *t, const struct span *span, uint8_t clear, uint8_t set)
{
	uint8_t byte;

	for (unsigned int i = 0; i < MOST_TRIES && gmem_read(t->mem, span->gpa[0], &byte, 1); i++) {
		uint64_t old = byte, new = (byte & (unsigned int)~clear) | set;

		if (new == old || !gmem_cmpxchg(t->mem, span->gpa[0], 1, &old, new) || old == byte)
			return;
	}
}

/* Descriptors */

static uint64_t descriptor_at(const struct task *t, uint16_t selector)
{
	const struct keel_sregs *s = &t->ctx->sregs;

	return (selector & SELECTOR_LDT ? s->seg[KEEL_SEG_LDTR].base : s->gdt_base) + (selector & SELECTOR_INDEX);
}

static bool is_in_table(const struct task *t, uint16_t selector)
{
	const struct keel_sregs *s = &t->ctx->sregs;
	const struct keel_segment_register *ldt = &s->seg[KEEL_SEG_LDTR];
	uint32_t last = (selector & SELECTOR_INDEX) + DESCRIPTOR_BYTES - 1;

	if (selector & SELECTOR_LDT)
		return ldt->attributes & SEGMENT_PRESENT && last <= ldt->limit;
	return last <= s->gdt_limit;
}

static bool read_descriptor(const struct task *t, uint16_t selector, struct keel_segment_register *s)
{
	uint32_t word[2], limit;

	if (!read_linear(t, descriptor_at(t, selector), word, sizeof(word)))
		return false;
	limit = (word[0] & 0xffff) | (word[1] & 0xf0000);
	*s = (struct keel_segment_register) {
		.selector = selector,
		.attributes = (uint16_t)((word[1] >> 8 & 0xff) | (word[1] >> 12 & 0xf00)),
		.base = word[0] >> 16 | (word[1] & 0xff) << 16 | (word[1] & 0xff000000),
	};
	s->limit = s->attributes & SEGMENT_PAGES ? limit << 12 | 0xfff : limit;
	return true;
}

static unsigned int dpl_of(const struct keel_segment_register *s)
{
	return s->attributes >> SEGMENT_DPL_SHIFT & SEGMENT_DPL;
}

/* Before the switch: nothing changes but accessed and dirty bits of pages */

static bool find_tss(struct task *t)
{
	uint16_t selector = (uint16_t)t->ctx->exit.tss;
	bool iret = t->source == KEEL_TASK_IRET;
	unsigned int kind = KIND_TSS_16 | (iret ? KIND_TSS_BUSY : 0);
	uint8_t vector = iret ? EXC_TS : EXC_GP;

	if (selector <= SELECTOR_NULL || selector & SELECTOR_LDT || !is_in_table(t, selector))
		return raise(t, vector, selector);
	if (!read_descriptor(t, selector, &t->tr))
		return false;
	if ((t->tr.attributes & SEGMENT_KIND & ~KIND_TSS_32) != kind)
		return raise(t, vector, selector);
	if (!(t->tr.attributes & SEGMENT_PRESENT))
		return raise(t, EXC_NP, selector);
	t->new = t->tr.attributes & KIND_TSS_32 ? &tss_32 : &tss_16;
	return t->tr.limit >= t->new->bytes - 1 || raise(t, EXC_TS, selector);
}

/* Who calls is left busy and becomes the link. */
static bool is_nested(const struct task *t)
{
	return t->source == KEEL_TASK_CALL || t->source == KEEL_TASK_GATE;
}

static bool reach_rights(const struct task *t, uint16_t selector, struct span *span)
{
	return translate(t, t->ctx->sregs.gdt_base + (selector & SELECTOR_INDEX) + DESCRIPTOR_RIGHTS, 1,
			 WALK_SYSTEM | WALK_WRITE, span);
}

/* Step 5 of 8.3: what will be written must not fault any more. */
static bool reach_memory(struct task *t)
{
	const struct keel_segment_register *old = &t->ctx->sregs.seg[KEEL_SEG_TR];

	t->old = old->attributes & KIND_TSS_32 ? &tss_32 : &tss_16;
	if (old->limit < t->old->saved - 1)
		return raise(t, EXC_TS, old->selector);
	return translate(t, old->base, t->old->saved, WALK_SYSTEM | WALK_WRITE, &t->old_tss) &&
	       (is_nested(t) || reach_rights(t, old->selector, &t->old_rights)) &&
	       (t->source == KEEL_TASK_IRET || reach_rights(t, t->tr.selector, &t->new_rights)) &&
	       (!is_nested(t) || translate(t, t->tr.base, sizeof(uint16_t), WALK_SYSTEM | WALK_WRITE, &t->new_link)) &&
	       read_linear(t, t->tr.base, t->image, t->new->bytes);
}

static uint32_t field(const struct task *t, unsigned int offset, unsigned int bytes)
{
	uint32_t value = 0;

	memcpy(&value, t->image + offset, bytes);
	return value;
}

static uint64_t new_cr3(const struct task *t)
{
	const struct keel_sregs *s = &t->ctx->sregs;

	return t->new == &tss_32 && s->cr0 & CR0_PG ? field(t, TSS_32_CR3, sizeof(uint32_t)) : s->cr3;
}

/* PAE paging's top entries are loaded with CR3: bad ones fault as in MOV to CR3. */
static bool check_pdptes(const struct task *t)
{
	const struct keel_sregs *s = &t->ctx->sregs;
	uint64_t entry[PDPTES];

	if (!(s->cr0 & CR0_PG) || !(s->cr4 & CR4_PAE))
		return true;
	if (!gmem_read(t->mem, new_cr3(t) & PDPTES_MASK, entry, sizeof(entry)))
		return raise(t, EXC_GP, 0);
	for (unsigned int i = 0; i < PDPTES; i++)
		if (entry[i] & PDPTE_PRESENT && entry[i] & PDPTE_RESERVED)
			return raise(t, EXC_GP, 0);
	return true;
}

/* The switch itself: nothing faults */

static void put(uint8_t *image, unsigned int offset, unsigned int bytes, uint64_t value)
{
	memcpy(image + offset, &value, bytes);
}

static void save_old(const struct task *t)
{
	const struct keel_context *ctx = t->ctx;
	const struct layout *tss = t->old;
	uint64_t flags = ctx->regs.rflags;
	uint8_t image[TSS_BYTES];

	if (t->source == KEEL_TASK_IRET)
		flags &= ~RFLAGS_NT;
	if (!t->external)
		flags &= ~RFLAGS_RF;
	put(image, tss->ip, tss->word, ctx->exit.next_rip);
	put(image, tss->flags, tss->word, flags);
	for (unsigned int i = 0; i < TSS_GPRS; i++)
		put(image, tss->gpr + i * tss->word, tss->word, ctx->regs.gpr[i]);
	span_write(t, &t->old_tss, tss->ip, image + tss->ip, tss->segment - tss->ip);
	/* The upper halves of these fields are reserved. */
	for (unsigned int i = 0; i < tss->segments; i++)
		span_write(t, &t->old_tss, tss->segment + i * tss->word, &ctx->sregs.seg[i].selector, sizeof(uint16_t));
}

static void change_tasks(struct task *t)
{
	struct keel_sregs *s = &t->ctx->sregs;

	if (is_nested(t))
		span_write(t, &t->new_link, TSS_LINK, &s->seg[KEEL_SEG_TR].selector, sizeof(uint16_t));
	else
		change_rights(t, &t->old_rights, KIND_TSS_BUSY, 0);
	if (t->source != KEEL_TASK_IRET)
		change_rights(t, &t->new_rights, 0, KIND_TSS_BUSY);
	t->tr.attributes |= KIND_TSS_BUSY;
	s->seg[KEEL_SEG_TR] = t->tr;
	s->cr3 = new_cr3(t);
	s->cr0 |= CR0_TS;
	s->dr7 &= ~DR7_LOCAL;
	if (t->source == KEEL_TASK_IRET)
		s->nmi_blocked = 0;
}

/*
 * Selectors alone, before a descriptor is looked at: a fault then finds what can be entered. Nothing is usable but CS, of
 * which a fault's delivery needs no more than the privilege.
 */
static void load_selectors(struct task *t)
{
	struct keel_sregs *s = &t->ctx->sregs;
	bool vm86 = t->ctx->regs.rflags & RFLAGS_VM;
	unsigned int cpl, i;

	for (i = 0; i <= KEEL_SEG_GS; i++) {
		uint16_t selector = 0;

		if (i < t->new->segments)
			selector = (uint16_t)field(t, t->new->segment + i * t->new->word, sizeof(selector));
		s->seg[i] = (struct keel_segment_register) { .selector = selector };
		if (vm86)
			s->seg[i] = (struct keel_segment_register) {
				.selector = selector, .attributes = SEGMENT_VM86, .limit = LIMIT_16,
				.base = (uint32_t)selector << 4,
			};
	}
	s->seg[KEEL_SEG_LDTR] = (struct keel_segment_register) {
		.selector = (uint16_t)field(t, t->new->ldt, sizeof(uint16_t)),
	};
	cpl = vm86 ? CPL_USER : s->seg[KEEL_SEG_CS].selector & SELECTOR_RPL;
	s->cpl = cpl;
	if (vm86)
		return;
	s->seg[KEEL_SEG_CS].attributes = (uint16_t)(SEGMENT_PRESENT | SEGMENT_USER | SEGMENT_CODE | SEGMENT_READ |
						     SEGMENT_ACCESSED | cpl << SEGMENT_DPL_SHIFT);
	s->seg[KEEL_SEG_CS].limit = LIMIT_16;
	s->seg[KEEL_SEG_SS].attributes = (uint16_t)(SEGMENT_USER | SEGMENT_WRITE | SEGMENT_ACCESSED |
						     cpl << SEGMENT_DPL_SHIFT);
}

static void load_registers(struct task *t)
{
	struct keel_regs *regs = &t->ctx->regs;
	const struct layout *tss = t->new;

	regs->rip = field(t, tss->ip, tss->word);
	regs->rflags = (field(t, tss->flags, tss->word) & FLAGS_ALL) | RFLAGS_FIXED | (is_nested(t) ? RFLAGS_NT : 0);
	for (unsigned int i = 0; i < TSS_GPRS; i++)
		regs->gpr[i] = field(t, tss->gpr + i * tss->word, tss->word);
	load_selectors(t);
}

/* In the new task */

/* Reads what a selector of the new task names. */
static bool find_segment(const struct task *t, uint16_t selector, struct keel_segment_register *s)
{
	if (!is_in_table(t, selector))
		return raise(t, EXC_TS, selector);
	return read_descriptor(t, selector, s);
}

/* A checked descriptor becomes a register, and accessed. */
static bool load_segment(const struct task *t, enum keel_segment number, struct keel_segment_register *s)
{
	struct span rights;

	if (!(s->attributes & SEGMENT_ACCESSED)) {
		if (!translate(t, descriptor_at(t, s->selector) + DESCRIPTOR_RIGHTS, 1, WALK_SYSTEM | WALK_WRITE, &rights))
			return false;
		change_rights(t, &rights, 0, SEGMENT_ACCESSED);
	}
	s->attributes |= SEGMENT_ACCESSED;
	t->ctx->sregs.seg[number] = *s;
	return true;
}

static bool load_ldt(const struct task *t)
{
	struct keel_segment_register *ldt = &t->ctx->sregs.seg[KEEL_SEG_LDTR], s;

	if (ldt->selector <= SELECTOR_NULL)
		return true;
	if (ldt->selector & SELECTOR_LDT)
		return raise(t, EXC_TS, ldt->selector);
	if (!find_segment(t, ldt->selector, &s))
		return false;
	if ((s.attributes & SEGMENT_KIND) != KIND_LDT || !(s.attributes & SEGMENT_PRESENT))
		return raise(t, EXC_TS, ldt->selector);
	*ldt = s;
	return true;
}

static bool load_cs(const struct task *t)
{
	uint16_t selector = t->ctx->sregs.seg[KEEL_SEG_CS].selector;
	struct keel_segment_register s;

	if (selector <= SELECTOR_NULL)
		return raise(t, EXC_TS, selector);
	if (!find_segment(t, selector, &s))
		return false;
	if (!(s.attributes & SEGMENT_USER) || !(s.attributes & SEGMENT_CODE))
		return raise(t, EXC_TS, selector);
	if (s.attributes & SEGMENT_CONFORMING ? dpl_of(&s) > t->ctx->sregs.cpl : dpl_of(&s) != t->ctx->sregs.cpl)
		return raise(t, EXC_TS, selector);
	if (!(s.attributes & SEGMENT_PRESENT))
		return raise(t, EXC_NP, selector);
	return load_segment(t, KEEL_SEG_CS, &s);
}

static bool load_ss(const struct task *t)
{
	uint16_t selector = t->ctx->sregs.seg[KEEL_SEG_SS].selector;
	struct keel_segment_register s;

	if (selector <= SELECTOR_NULL)
		return raise(t, EXC_TS, selector);
	if (!find_segment(t, selector, &s))
		return false;
	if (!(s.attributes & SEGMENT_USER) || s.attributes & SEGMENT_CODE || !(s.attributes & SEGMENT_WRITE))
		return raise(t, EXC_TS, selector);
	if (dpl_of(&s) != t->ctx->sregs.cpl || (selector & SELECTOR_RPL) != t->ctx->sregs.cpl)
		return raise(t, EXC_TS, selector);
	if (!(s.attributes & SEGMENT_PRESENT))
		return raise(t, EXC_SS, selector);
	return load_segment(t, KEEL_SEG_SS, &s);
}

static bool load_data(const struct task *t, enum keel_segment number)
{
	uint16_t selector = t->ctx->sregs.seg[number].selector;
	struct keel_segment_register s;

	if (selector <= SELECTOR_NULL)
		return true;
	if (!find_segment(t, selector, &s))
		return false;
	if (!(s.attributes & SEGMENT_USER) || (s.attributes & SEGMENT_CODE && !(s.attributes & SEGMENT_READ)))
		return raise(t, EXC_TS, selector);
	if (!(s.attributes & SEGMENT_CODE) || !(s.attributes & SEGMENT_CONFORMING))
		if (dpl_of(&s) < t->ctx->sregs.cpl || dpl_of(&s) < (selector & SELECTOR_RPL))
			return raise(t, EXC_TS, selector);
	if (!(s.attributes & SEGMENT_PRESENT))
		return raise(t, EXC_NP, selector);
	return load_segment(t, number, &s);
}

static bool load_segments(const struct task *t)
{
	if (!load_ldt(t))
		return false;
	if (t->ctx->regs.rflags & RFLAGS_VM)
		return true;
	return load_cs(t) && load_ss(t) && load_data(t, KEEL_SEG_ES) && load_data(t, KEEL_SEG_DS) &&
	       load_data(t, KEEL_SEG_FS) && load_data(t, KEEL_SEG_GS);
}

static bool stack_holds(const struct keel_segment_register *ss, uint32_t at, unsigned int bytes)
{
	uint64_t last = (uint64_t)at + bytes - 1;

	if (ss->attributes & SEGMENT_DOWN)
		return at > ss->limit && last <= (ss->attributes & SEGMENT_BIG ? UINT32_MAX : LIMIT_16);
	return last <= ss->limit;
}

static bool push_error_code(const struct task *t)
{
	const struct keel_segment_register *ss = &t->ctx->sregs.seg[KEEL_SEG_SS];
	uint64_t *rsp = &t->ctx->regs.gpr[KEEL_RSP];
	uint32_t code = t->ctx->exit.error_code, mask = ss->attributes & SEGMENT_BIG ? UINT32_MAX : LIMIT_16, at;
	struct span span;

	if (!(t->ctx->exit.event & KEEL_INJECT_ERROR_CODE))
		return true;
	at = (uint32_t)(*rsp - t->new->word) & mask;
	if (!stack_holds(ss, at, t->new->word))
		return raise(t, EXC_SS, 0);
	if (!translate(t, ss->base + at, t->new->word, WALK_WRITE, &span))
		return false;
	span_write(t, &span, 0, &code, t->new->word);
	*rsp = (*rsp & ~(uint64_t)mask) | at;
	return true;
}

static bool debug_trap(const struct task *t)
{
	if (t->new != &tss_32 || !(t->image[TSS_32_TRAP] & 1))
		return true;
	t->ctx->sregs.dr6 |= DR6_BT;
	*t->fault = (struct emulate_fault) { .vector = EXC_DB };
	return false;
}

/* Faults on faults */

static bool is_contributory(unsigned int vector)
{
	return vector == EXC_DE || (vector >= EXC_TS && vector <= EXC_GP);
}

/*
 * If the fault came while an exception was delivered (SDM vol. 3, table 6-5). That of a double fault shuts the processor down,
 * which it does when nothing can be delivered through the IDT. True: this has been seen to.
 */
static bool combine(const struct task *t)
{
	bool exception = (t->ctx->exit.event & KEEL_EVENT_TYPE) == KEEL_INJECT_EXCEPTION;
	unsigned int first = t->ctx->exit.event & KEEL_INJECT_VECTOR, second = t->fault->vector;
	bool page_fault = second == EXC_PF;

	if (page_fault)
		t->ctx->sregs.cr2 = t->fault->cr2;
	if (!exception || !(page_fault || is_contributory(second)) || (is_contributory(first) && page_fault) ||
	    !(is_contributory(first) || first == EXC_PF || first == EXC_DF))
		return false;
	*t->fault = (struct emulate_fault) { .vector = EXC_DF, .has_error_code = true };
	if (first == EXC_DF)
		t->ctx->sregs.idt_limit = 0;
	return first == EXC_DF;
}

enum task_switch_result task_switch(struct keel_context *ctx, const struct gmem *mem, struct emulate_fault *fault)
{
	struct task t = { .ctx = ctx, .mem = mem, .fault = fault, .source = ctx->exit.task_source };
	uint32_t type;

	/* Without one the rest of the field says nothing. */
	if (t.source != KEEL_TASK_GATE || !(ctx->exit.event & KEEL_INJECT_VALID))
		ctx->exit.event = 0;
	type = ctx->exit.event & KEEL_EVENT_TYPE;
	t.external = ctx->exit.event && type != KEEL_EVENT_INT_N && type != KEEL_EVENT_INT3;
	if (!find_tss(&t) || !reach_memory(&t) || !check_pdptes(&t))
		return combine(&t) ? TASK_SWITCH_NEW_FAULT : TASK_SWITCH_OLD_FAULT;
	save_old(&t);
	change_tasks(&t);
	load_registers(&t);
	if (!load_segments(&t) || !push_error_code(&t) || !debug_trap(&t)) {
		(void)combine(&t);
		return TASK_SWITCH_NEW_FAULT;
	}
	return TASK_SWITCH_DONE;
}
