// SPDX-License-Identifier: GPL-2.0
/* Task switches: both sizes of TSS by all four sources, each check of SDM vol. 3, table 8-1, and memory that is not there. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>
#include <x86/registers.h>

#include "vcpu/task_switch.h"
#include "vcpu/walk.h"
#include "suite.h"

#define MEMORY		0x20000u
#define GDT		0x1000u
#define GDT_LIMIT	0x7fu
#define LDT		0x1800u
#define LDT_LIMIT	0x17u
#define OLD_TSS		0x2000u
#define NEW_TSS		0x3000u
#define DIRECTORY	0x4000u		/* of the old task */
#define TABLE		0x5000u
#define NEW_DIRECTORY	0x6000u
#define NEW_TABLE	0x7000u
#define STACK		0x9000u
#define PAE_DIRECTORY	0x10000u	/* of both tasks */
#define PAE_TABLE	0x11000u

#define SEL_CODE	0x08u
#define SEL_DATA	0x10u
#define SEL_OLD		0x18u
#define SEL_NEW		0x20u
#define SEL_LDT		0x28u
#define SEL_TEST	0x30u
#define SEL_USER_CODE	0x3bu
#define SEL_USER_DATA	0x43u
#define SEL_CODE_16	0x48u
#define SEL_DATA_16	0x50u

#define CODE		0x00cf9b000000ffffull
#define CODE_16		0x00009b000000ffffull
#define CONFORMING	0x00cf9f000000ffffull
#define DATA		0x00cf93000000ffffull
#define DATA_16		0x000093000000ffffull
#define PRESENT		(1ull << 47)
#define DPL(n)		((uint64_t)(n) << 45)
#define RIGHTS(n)	((uint64_t)(n) << 40)
#define TSS_FREE_16	0x81ull
#define TSS_BUSY_16	0x83ull
#define TSS_FREE_32	0x89ull
#define TSS_BUSY_32	0x8bull
#define LDT_RIGHTS	0x82ull

#define NT		(1u << 14)
#define RF		(1u << 16)
#define VM		(1u << 17)
#define P		1u
#define W		2u
#define U		4u
#define A		0x20u
#define D		0x40u

#define EXCEPTION(vector, error) (KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | (vector) | ((error) ? KEEL_INJECT_ERROR_CODE : 0))
#define NONE		0xff

static uint8_t memory[MEMORY], before[MEMORY];
static const struct gmem mem = { .base = memory, .count = 1, .range = { { 0, MEMORY, false } } };
static struct keel_context ctx;
static struct emulate_fault fault;

static void put16(uint32_t at, uint16_t value)
{
	memcpy(memory + at, &value, sizeof(value));
}

static void put32(uint32_t at, uint32_t value)
{
	memcpy(memory + at, &value, sizeof(value));
}

static uint16_t get16(uint32_t at)
{
	uint16_t value;

	memcpy(&value, memory + at, sizeof(value));
	return value;
}

static uint32_t get32(uint32_t at)
{
	uint32_t value;

	memcpy(&value, memory + at, sizeof(value));
	return value;
}

static void descriptor(unsigned int selector, uint64_t value)
{
	memcpy(memory + (selector & 4 ? LDT : GDT) + (selector & ~7u), &value, sizeof(value));
}

static uint64_t system_segment(uint32_t base, uint32_t limit, uint64_t rights)
{
	return limit | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)(base >> 24) << 56 | RIGHTS(rights);
}

static unsigned int rights(unsigned int selector)
{
	return memory[GDT + (selector & ~7u) + 5];
}

static void new_tss_32(void)
{
	descriptor(SEL_NEW, system_segment(NEW_TSS, 0x67, TSS_FREE_32));
	memset(memory + NEW_TSS, 0, 0x68);
	put32(NEW_TSS + 0x1c, NEW_DIRECTORY);
	put32(NEW_TSS + 0x20, 0x12345678);
	put32(NEW_TSS + 0x24, 0x203);
	for (unsigned int i = 0; i < 8; i++)
		put32(NEW_TSS + 0x28 + 4 * i, 0x11111111 * (i + 1));
	put32(NEW_TSS + 0x38, STACK);
	for (unsigned int i = 0; i < 6; i++)
		put16(NEW_TSS + 0x48 + 4 * i, i == KEEL_SEG_CS ? SEL_CODE : SEL_DATA);
}

static void new_tss_16(void)
{
	descriptor(SEL_NEW, system_segment(NEW_TSS, 0x2b, TSS_FREE_16));
	memset(memory + NEW_TSS, 0, 0x68);
	put16(NEW_TSS + 0x0e, 0x5678);
	put16(NEW_TSS + 0x10, 0x203);
	for (unsigned int i = 0; i < 8; i++)
		put16(NEW_TSS + 0x12 + 2 * i, (uint16_t)(0x1111 * (i + 1)));
	put16(NEW_TSS + 0x1a, STACK);
	for (unsigned int i = 0; i < 4; i++)
		put16(NEW_TSS + 0x22 + 2 * i, i == KEEL_SEG_CS ? SEL_CODE_16 : SEL_DATA_16);
}

static void source(enum keel_task_source by)
{
	unsigned int at = GDT + SEL_NEW + 5;

	ctx.exit.task_source = by;
	memory[at] = (uint8_t)(by == KEEL_TASK_IRET ? memory[at] | 2 : memory[at] & ~2);
}

static void set_up(void)
{
	struct keel_sregs *s = &ctx.sregs;

	memset(memory, 0, sizeof(memory));
	memset(&ctx, 0, sizeof(ctx));
	descriptor(SEL_CODE, CODE);
	descriptor(SEL_DATA, DATA);
	descriptor(SEL_OLD, system_segment(OLD_TSS, 0x67, TSS_BUSY_32));
	descriptor(SEL_LDT, system_segment(LDT, LDT_LIMIT, LDT_RIGHTS));
	descriptor(SEL_USER_CODE, CODE | DPL(3));
	descriptor(SEL_USER_DATA, DATA | DPL(3));
	descriptor(SEL_CODE_16, CODE_16);
	descriptor(SEL_DATA_16, DATA_16);
	new_tss_32();
	s->cr0 = CR0_PE;
	s->gdt_base = GDT;
	s->gdt_limit = GDT_LIMIT;
	s->idt_limit = 0x7ff;
	s->dr6 = 0xffff0ff0;
	s->dr7 = 0x7ff;
	for (unsigned int i = 0; i < 6; i++)
		s->seg[i].selector = (uint16_t)(0x100 + 8 * i);
	s->seg[KEEL_SEG_TR] = (struct keel_segment_register) {
		.selector = SEL_OLD, .attributes = TSS_BUSY_32, .limit = 0x67, .base = OLD_TSS,
	};
	s->nmi_blocked = 1;
	for (unsigned int i = 0; i < 8; i++)
		ctx.regs.gpr[i] = 0xa0000000 + i;
	ctx.regs.rip = 0x1000;
	ctx.regs.rflags = RF | NT | 0x46;
	ctx.exit.kind = KEEL_EXIT_TASK_SWITCH;
	ctx.exit.next_rip = 0x1007;
	ctx.exit.tss = SEL_NEW;
	source(KEEL_TASK_JMP);
}

static enum task_switch_result run(void)
{
	memset(&fault, 0, sizeof(fault));
	fault.vector = NONE;
	memcpy(before, memory, sizeof(before));
	return task_switch(&ctx, &mem, &fault);
}

static void assert_done(void)
{
	ck_assert_msg(run() == TASK_SWITCH_DONE, "fault %u, code %x", fault.vector, fault.error_code);
	ck_assert_uint_eq(fault.vector, NONE);
}

static void assert_vector(unsigned int vector, uint32_t code)
{
	ck_assert_uint_eq(fault.vector, vector);
	ck_assert(fault.has_error_code);
	ck_assert_uint_eq(fault.error_code, code);
}

/* Bytes of the old task's page tables have changed by accessed and dirty bits, the rest not at all. */
static void assert_memory_kept(void)
{
	bool paged = ctx.sregs.cr0 & CR0_PG, pae = ctx.sregs.cr4 & CR4_PAE;
	uint32_t first = pae ? PAE_DIRECTORY : DIRECTORY, end = first + 2 * WALK_PAGE_BYTES;

	for (uint32_t at = 0; at < MEMORY; at++) {
		uint8_t changed = before[at] ^ memory[at];

		if (paged && at >= first && at < end)
			changed &= (uint8_t)~(A | D);
		if (changed)
			ck_abort_msg("memory has changed at %x", at);
	}
}

/* Nothing has changed but CR2. */
static void assert_old_fault(unsigned int vector, uint32_t code)
{
	struct keel_context was = ctx;

	ck_assert_int_eq(run(), TASK_SWITCH_OLD_FAULT);
	assert_vector(vector, code);
	ck_assert(!memcmp(&was.regs, &ctx.regs, sizeof(was.regs)));
	was.sregs.cr2 = ctx.sregs.cr2;
	ck_assert(!memcmp(&was.sregs, &ctx.sregs, sizeof(was.sregs)));
	assert_memory_kept();
}

/* The new task is there, as far as a processor can enter it. */
static void assert_new_fault(unsigned int vector, uint32_t code)
{
	const struct keel_sregs *s = &ctx.sregs;

	ck_assert_int_eq(run(), TASK_SWITCH_NEW_FAULT);
	assert_vector(vector, code);
	ck_assert_uint_eq(s->seg[KEEL_SEG_TR].selector, ctx.exit.tss);
	ck_assert_uint_eq(s->seg[KEEL_SEG_CS].attributes & 0x99, 0x99);
	ck_assert_uint_eq(s->seg[KEEL_SEG_CS].selector, get16(NEW_TSS + 0x4c));
	ck_assert_uint_eq(s->seg[KEEL_SEG_SS].selector, get16(NEW_TSS + 0x50));
	ck_assert_uint_eq(s->cpl, s->seg[KEEL_SEG_CS].selector & 3);
	ck_assert_uint_eq(s->seg[KEEL_SEG_SS].attributes >> 5 & 3, s->cpl);
}

static void assert_saved_32(uint32_t flags)
{
	ck_assert_uint_eq(get32(OLD_TSS + 0x20), 0x1007);
	ck_assert_uint_eq(get32(OLD_TSS + 0x24), flags);
	for (unsigned int i = 0; i < 8; i++)
		ck_assert_uint_eq(get32(OLD_TSS + 0x28 + 4 * i), 0xa0000000 + i);
	for (unsigned int i = 0; i < 6; i++)
		ck_assert_uint_eq(get32(OLD_TSS + 0x48 + 4 * i), 0x100 + 8 * i);
	ck_assert_uint_eq(get32(OLD_TSS + 0x60), 0);
	ck_assert_uint_eq(get32(OLD_TSS + 0x1c), 0);
}

static void assert_loaded_32(uint32_t flags)
{
	const struct keel_sregs *s = &ctx.sregs;

	ck_assert_uint_eq(ctx.regs.rip, 0x12345678);
	ck_assert_uint_eq(ctx.regs.rflags, flags);
	for (unsigned int i = 0; i < 8; i++)
		ck_assert_uint_eq(ctx.regs.gpr[i], i == KEEL_RSP ? STACK : 0x11111111 * (i + 1));
	for (unsigned int i = 0; i < 6; i++) {
		ck_assert_uint_eq(s->seg[i].selector, i == KEEL_SEG_CS ? SEL_CODE : SEL_DATA);
		ck_assert_uint_eq(s->seg[i].attributes, i == KEEL_SEG_CS ? 0xc9b : 0xc93);
		ck_assert_uint_eq(s->seg[i].limit, 0xffffffff);
		ck_assert_uint_eq(s->seg[i].base, 0);
	}
	ck_assert_uint_eq(s->seg[KEEL_SEG_TR].selector, SEL_NEW);
	ck_assert_uint_eq(s->seg[KEEL_SEG_TR].attributes, TSS_BUSY_32);
	ck_assert_uint_eq(s->seg[KEEL_SEG_TR].base, NEW_TSS);
	ck_assert_uint_eq(s->seg[KEEL_SEG_TR].limit, 0x67);
	ck_assert_uint_eq(s->seg[KEEL_SEG_LDTR].attributes & 0x80, 0);
	ck_assert_uint_eq(s->cr0, CR0_PE | CR0_TS);
	ck_assert_uint_eq(s->cr3, 0);
	ck_assert_uint_eq(s->dr7, 0x6aa);
	ck_assert_uint_eq(s->dr6, 0xffff0ff0);
	ck_assert_uint_eq(s->cpl, 0);
}

START_TEST(jmp_32)
{
	assert_done();
	assert_saved_32(NT | 0x46);
	assert_loaded_32(0x203);
	ck_assert_uint_eq(rights(SEL_OLD), TSS_FREE_32);
	ck_assert_uint_eq(rights(SEL_NEW), TSS_BUSY_32);
	ck_assert_uint_eq(get16(NEW_TSS), 0);
	ck_assert_uint_eq(ctx.sregs.nmi_blocked, 1);
}
END_TEST

START_TEST(call_32)
{
	put32(NEW_TSS, 0xabcd0000);
	source(KEEL_TASK_CALL);
	assert_done();
	assert_saved_32(NT | 0x46);
	assert_loaded_32(NT | 0x203);
	ck_assert_uint_eq(rights(SEL_OLD), TSS_BUSY_32);
	ck_assert_uint_eq(rights(SEL_NEW), TSS_BUSY_32);
	ck_assert_uint_eq(get32(NEW_TSS), 0xabcd0000 | SEL_OLD);
	ck_assert_uint_eq(ctx.sregs.nmi_blocked, 1);
}
END_TEST

START_TEST(iret_32)
{
	put32(NEW_TSS + 0x24, NT | 0x203);
	source(KEEL_TASK_IRET);
	assert_done();
	assert_saved_32(0x46);
	assert_loaded_32(NT | 0x203);
	ck_assert_uint_eq(rights(SEL_OLD), TSS_FREE_32);
	ck_assert_uint_eq(rights(SEL_NEW), TSS_BUSY_32);
	ck_assert_uint_eq(ctx.sregs.nmi_blocked, 0);
}
END_TEST

START_TEST(gate_32)
{
	source(KEEL_TASK_GATE);
	ctx.exit.event = EXCEPTION(14, true);
	ctx.exit.error_code = 0x1234;
	assert_done();
	assert_saved_32(RF | NT | 0x46);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RSP], STACK - 4);
	ck_assert_uint_eq(get32(STACK - 4), 0x1234);
	ctx.regs.gpr[KEEL_RSP] = STACK;
	assert_loaded_32(NT | 0x203);
	ck_assert_uint_eq(get16(NEW_TSS), SEL_OLD);

	set_up();
	source(KEEL_TASK_GATE);
	ctx.exit.event = KEEL_INJECT_VALID | KEEL_EVENT_INT_N | 14;
	assert_done();
	assert_saved_32(NT | 0x46);
	assert_loaded_32(NT | 0x203);
}
END_TEST

/* What is not an event has no error code. */
START_TEST(no_event)
{
	ctx.exit.event = EXCEPTION(14, true);
	assert_done();
	assert_loaded_32(0x203);
	set_up();
	source(KEEL_TASK_GATE);
	ctx.exit.event = EXCEPTION(14, true) & ~KEEL_INJECT_VALID;
	assert_done();
	assert_loaded_32(NT | 0x203);
}
END_TEST

static void assert_16(enum keel_task_source by)
{
	bool nested = by == KEEL_TASK_CALL || by == KEEL_TASK_GATE;

	set_up();
	new_tss_16();
	descriptor(SEL_OLD, system_segment(OLD_TSS, 0x2b, TSS_BUSY_16));
	ctx.sregs.seg[KEEL_SEG_TR].attributes = TSS_BUSY_16;
	ctx.sregs.seg[KEEL_SEG_TR].limit = 0x2b;
	source(by);
	if (by == KEEL_TASK_GATE) {
		ctx.exit.event = EXCEPTION(13, true);
		ctx.exit.error_code = 0x56789;
	}
	assert_done();
	ck_assert_uint_eq(get16(OLD_TSS + 0x0e), 0x1007);
	ck_assert_uint_eq(get16(OLD_TSS + 0x10), by == KEEL_TASK_IRET ? 0x46 : NT | 0x46);
	for (unsigned int i = 0; i < 8; i++)
		ck_assert_uint_eq(get16(OLD_TSS + 0x12 + 2 * i), i);
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_eq(get16(OLD_TSS + 0x22 + 2 * i), 0x100 + 8 * i);
	ck_assert_uint_eq(get16(OLD_TSS + 0x2a), 0);
	ck_assert_uint_eq(ctx.regs.rip, 0x5678);
	ck_assert_uint_eq(ctx.regs.rflags, 0x203 | (nested ? NT : 0));
	for (unsigned int i = 0; i < 8; i++)
		if (i != KEEL_RSP)
			ck_assert_uint_eq((uint16_t)ctx.regs.gpr[i], 0x1111 * (i + 1));
	ck_assert_uint_eq((uint16_t)ctx.regs.gpr[KEEL_RSP], by == KEEL_TASK_GATE ? STACK - 2 : STACK);
	if (by == KEEL_TASK_GATE)
		ck_assert_uint_eq(get32(STACK - 2), 0x6789);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_DS].selector, SEL_DATA_16);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_CS].attributes, 0x9b);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_FS].selector, 0);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_GS].attributes & 0x80, 0);
	ck_assert_uint_eq(rights(SEL_OLD), nested ? TSS_BUSY_16 : TSS_FREE_16);
	ck_assert_uint_eq(rights(SEL_NEW), TSS_BUSY_16);
	ck_assert_uint_eq(get16(NEW_TSS), nested ? SEL_OLD : 0);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_TR].attributes, TSS_BUSY_16);
}

START_TEST(all_16)
{
	for (unsigned int by = KEEL_TASK_CALL; by <= KEEL_TASK_GATE; by++)
		assert_16(by);
}
END_TEST

/* The new TSS: table 8-1, first part. */
START_TEST(bad_tss)
{
	static const struct {
		unsigned int selector;
		uint64_t free, busy;		/* rights for switches to a free and to a busy TSS */
		unsigned int limit, vector, iret_vector;
	} cases[] = {
		{ 0, TSS_FREE_32, TSS_BUSY_32, 0x67, 13, 10 },
		{ 3, TSS_FREE_32, TSS_BUSY_32, 0x67, 13, 10 },
		{ SEL_NEW | 4, TSS_FREE_32, TSS_BUSY_32, 0x67, 13, 10 },
		{ GDT_LIMIT + 1, TSS_FREE_32, TSS_BUSY_32, 0x67, 13, 10 },
		{ 0xfff8, TSS_FREE_32, TSS_BUSY_32, 0x67, 13, 10 },
		{ SEL_DATA, TSS_FREE_32, TSS_BUSY_32, 0x67, 13, 10 },
		{ SEL_LDT, TSS_FREE_32, TSS_BUSY_32, 0x67, 13, 10 },
		{ SEL_NEW, TSS_BUSY_32, TSS_FREE_32, 0x67, 13, 10 },
		{ SEL_NEW, TSS_BUSY_16, TSS_FREE_16, 0x2b, 13, 10 },
		{ SEL_NEW, TSS_FREE_32 & 0x7f, TSS_BUSY_32 & 0x7f, 0x67, 11, 11 },
		{ SEL_NEW, TSS_BUSY_32 & 0x7f, TSS_FREE_32 & 0x7f, 0x67, 13, 10 },
		{ SEL_NEW, TSS_FREE_32, TSS_BUSY_32, 0x66, 10, 10 },
		{ SEL_NEW, TSS_FREE_16, TSS_BUSY_16, 0x2a, 10, 10 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned int by = KEEL_TASK_CALL; by <= KEEL_TASK_GATE; by++) {
			bool iret = by == KEEL_TASK_IRET;

			set_up();
			source(by);
			descriptor(SEL_NEW, system_segment(NEW_TSS, cases[i].limit, iret ? cases[i].busy : cases[i].free));
			ctx.exit.tss = cases[i].selector;
			if (by == KEEL_TASK_GATE)
				ctx.exit.event = KEEL_INJECT_VALID | KEEL_INJECT_INTERRUPT | 0x40;
			assert_old_fault(iret ? cases[i].iret_vector : cases[i].vector,
					 (cases[i].selector & ~3u) | (by == KEEL_TASK_GATE));
		}
	}
}
END_TEST

START_TEST(bad_old_tss)
{
	ctx.sregs.seg[KEEL_SEG_TR].limit = 0x5e;
	assert_old_fault(10, SEL_OLD);
	ctx.sregs.seg[KEEL_SEG_TR].limit = 0x5f;
	assert_done();
	set_up();
	ctx.sregs.seg[KEEL_SEG_TR].attributes = TSS_BUSY_16;
	ctx.sregs.seg[KEEL_SEG_TR].limit = 0x28;
	assert_old_fault(10, SEL_OLD);
	ctx.sregs.seg[KEEL_SEG_TR].limit = 0x29;
	assert_done();
}
END_TEST

/* The program's own events are not external to it. */
START_TEST(external)
{
	static const struct {
		uint32_t event, bit;
	} cases[] = {
		{ KEEL_INJECT_INTERRUPT | 0x20, 1 },
		{ 2u << 8 | 2, 1 },
		{ KEEL_INJECT_EXCEPTION | 1, 1 },
		{ 5u << 8 | 1, 1 },
		{ KEEL_EVENT_INT_N | 0x20, 0 },
		{ KEEL_EVENT_INT3 | 3, 0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		set_up();
		source(KEEL_TASK_GATE);
		ctx.exit.event = KEEL_INJECT_VALID | cases[i].event;
		put16(NEW_TSS + 0x4c, SEL_DATA);
		assert_new_fault(10, SEL_DATA | cases[i].bit);
	}
}
END_TEST

/* Table 8-1, second part. */
START_TEST(bad_segment)
{
	static const struct {
		unsigned int offset, selector;	/* in the new TSS */
		uint64_t test;			/* descriptor of SEL_TEST */
		unsigned int vector, code;
	} cases[] = {
		{ 0x60, SEL_LDT | 4, 0, 10, SEL_LDT | 4 },
		{ 0x60, GDT_LIMIT + 1, 0, 10, GDT_LIMIT + 1 },
		{ 0x60, SEL_DATA | 3, 0, 10, SEL_DATA },
		{ 0x60, SEL_TEST, LDT_RIGHTS << 40 & ~PRESENT, 10, SEL_TEST },
		{ 0x4c, 0, 0, 10, 0 },
		{ 0x4c, 3, 0, 10, 0 },
		{ 0x4c, GDT_LIMIT + 1, 0, 10, GDT_LIMIT + 1 },
		{ 0x4c, 0x0c, 0, 10, 0x0c },
		{ 0x4c, SEL_DATA, 0, 10, SEL_DATA },
		{ 0x4c, SEL_OLD, 0, 10, SEL_OLD },
		{ 0x4c, SEL_CODE | 3, 0, 10, SEL_CODE },
		{ 0x4c, SEL_TEST, CODE | DPL(3), 10, SEL_TEST },
		{ 0x4c, SEL_TEST, CONFORMING | DPL(1), 10, SEL_TEST },
		{ 0x4c, SEL_TEST, CODE & ~PRESENT, 11, SEL_TEST },
		{ 0x50, 0, 0, 10, 0 },
		{ 0x50, GDT_LIMIT + 1, 0, 10, GDT_LIMIT + 1 },
		{ 0x50, 0x14, 0, 10, 0x14 },
		{ 0x50, SEL_CODE, 0, 10, SEL_CODE },
		{ 0x50, SEL_TEST, DATA & ~RIGHTS(2), 10, SEL_TEST },
		{ 0x50, SEL_TEST, DATA & ~RIGHTS(0x10), 10, SEL_TEST },
		{ 0x50, SEL_TEST, DATA | DPL(3), 10, SEL_TEST },
		{ 0x50, SEL_DATA | 1, 0, 10, SEL_DATA },
		{ 0x50, SEL_TEST, DATA & ~PRESENT, 12, SEL_TEST },
		{ 0x48, GDT_LIMIT + 1, 0, 10, GDT_LIMIT + 1 },
		{ 0x48, 0x14, 0, 10, 0x14 },
		{ 0x54, SEL_LDT, 0, 10, SEL_LDT },
		{ 0x58, SEL_TEST, CODE & ~RIGHTS(2), 10, SEL_TEST },
		{ 0x58, SEL_TEST | 3, DATA | DPL(2), 10, SEL_TEST },
		{ 0x58, SEL_TEST | 3, CODE, 10, SEL_TEST },
		{ 0x5c, SEL_TEST, DATA & ~PRESENT, 11, SEL_TEST },
		{ 0x5c, SEL_TEST, CODE & ~PRESENT, 11, SEL_TEST },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		set_up();
		descriptor(SEL_TEST, cases[i].test);
		put16(NEW_TSS + cases[i].offset, (uint16_t)cases[i].selector);
		assert_new_fault(cases[i].vector, cases[i].code);
		assert_saved_32(NT | 0x46);
	}
}
END_TEST

START_TEST(good_segment)
{
	static const struct {
		unsigned int offset, selector;
		uint64_t test;
		enum keel_segment segment;
	} cases[] = {
		{ 0x4c, SEL_TEST, CONFORMING, KEEL_SEG_CS },
		{ 0x4c, SEL_TEST, CODE & ~RIGHTS(3), KEEL_SEG_CS },
		{ 0x50, SEL_TEST, DATA & ~RIGHTS(1), KEEL_SEG_SS },
		{ 0x48, 0, 0, KEEL_SEG_ES },
		{ 0x48, 3, 0, KEEL_SEG_ES },
		{ 0x54, SEL_TEST, CODE, KEEL_SEG_DS },
		{ 0x58, SEL_TEST | 3, CONFORMING, KEEL_SEG_FS },
		{ 0x5c, SEL_TEST | 2, (DATA & ~RIGHTS(3)) | DPL(2), KEEL_SEG_GS },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		set_up();
		descriptor(SEL_TEST, cases[i].test);
		put16(NEW_TSS + cases[i].offset, (uint16_t)cases[i].selector);
		assert_done();
		ck_assert_uint_eq(ctx.sregs.seg[cases[i].segment].selector, cases[i].selector);
		if (!cases[i].test)
			continue;
		ck_assert_uint_eq(rights(SEL_TEST), (cases[i].test >> 40 & 0xff) | 1);
		ck_assert_uint_eq(ctx.sregs.seg[cases[i].segment].attributes & 0xff, rights(SEL_TEST));
	}
}
END_TEST

START_TEST(local_table)
{
	put16(NEW_TSS + 0x60, SEL_LDT);
	put16(NEW_TSS + 0x50, 0x0c);
	put16(NEW_TSS + 0x54, 0x14);
	descriptor(0x0c, DATA & ~RIGHTS(1));
	descriptor(0x14, 0x0040f2123456789aull | 0x78ull << 56);
	assert_done();
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_LDTR].base, LDT);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_LDTR].limit, LDT_LIMIT);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_LDTR].attributes, LDT_RIGHTS);
	ck_assert_uint_eq(memory[LDT + 8 + 5], 0x93);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_DS].base, 0x78123456);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_DS].limit, 0x789a);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_DS].attributes, 0x4f3);

	set_up();
	put16(NEW_TSS + 0x60, SEL_LDT);
	put16(NEW_TSS + 0x54, 0x1c);
	assert_new_fault(10, 0x1c);
}
END_TEST

START_TEST(user_task)
{
	put16(NEW_TSS + 0x4c, SEL_USER_CODE);
	for (unsigned int i = 0x48; i <= 0x5c; i += 4)
		if (i != 0x4c)
			put16(NEW_TSS + i, SEL_USER_DATA);
	assert_done();
	ck_assert_uint_eq(ctx.sregs.cpl, 3);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_SS].attributes, 0xcf3);
	set_up();
	put16(NEW_TSS + 0x4c, SEL_USER_CODE);
	put16(NEW_TSS + 0x50, SEL_USER_DATA);
	assert_new_fault(10, SEL_DATA);		/* ES of privilege 0 */
}
END_TEST

START_TEST(vm86_task)
{
	put32(NEW_TSS + 0x24, VM | 2);
	put16(NEW_TSS + 0x4c, 0xf000);
	put16(NEW_TSS + 0x50, 0x0001);
	source(KEEL_TASK_GATE);
	ctx.exit.event = EXCEPTION(12, true);
	put32(NEW_TSS + 0x38, 0x12340000 | STACK);
	ctx.exit.error_code = 0x77;
	assert_done();
	ck_assert_uint_eq(ctx.regs.rflags, VM | NT | 2);
	ck_assert_uint_eq(ctx.sregs.cpl, 3);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_CS].base, 0xf0000);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_CS].limit, 0xffff);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_CS].attributes, 0xf3);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RSP], 0x12340000 | (STACK - 4));
	ck_assert_uint_eq(get32(STACK - 4 + 0x10), 0x77);

	/* A TSS of 16 bits has no VM. */
	set_up();
	new_tss_16();
	put16(NEW_TSS + 0x12, 0xffff);
	assert_done();
	ck_assert_uint_eq(ctx.sregs.cpl, 0);
}
END_TEST

static void push_case(uint64_t stack, uint32_t esp)
{
	set_up();
	descriptor(SEL_TEST, stack);
	put16(NEW_TSS + 0x50, SEL_TEST);
	put32(NEW_TSS + 0x38, esp);
	source(KEEL_TASK_GATE);
	ctx.exit.event = EXCEPTION(17, true);
	ctx.exit.error_code = 0x99;
}

START_TEST(push)
{
	const uint64_t big = 1ull << 54, down = RIGHTS(4);

	push_case(DATA_16, 0x56780000 | STACK);
	assert_done();
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RSP], 0x56780000 | (STACK - 4));
	push_case(DATA_16, 0);			/* wraps */
	assert_done();
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RSP], 0xfffc);
	ck_assert_uint_eq(get32(0xfffc), 0x99);
	push_case(DATA_16, 2);
	assert_new_fault(12, 1);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RSP], 2);
	push_case(DATA_16 | big, 0x10000);
	assert_done();
	push_case(DATA_16 | big, 0x10001);
	assert_new_fault(12, 1);
	push_case(DATA_16 | big, 0);
	assert_new_fault(12, 1);
	/* Expand-down: above the limit. */
	push_case((DATA_16 & ~0xffffull) | down | 0x8fff, STACK + 4);
	assert_done();
	push_case((DATA_16 & ~0xffffull) | down | 0x8fff, STACK + 3);
	assert_new_fault(12, 1);
	push_case((DATA_16 & ~0xffffull) | down | 0x8fff, 2);
	assert_new_fault(12, 1);
	push_case((DATA_16 & ~0xffffull) | down | big | 0x8fff, 0x12000);
	assert_done();
}
END_TEST

START_TEST(debug_trap)
{
	put16(NEW_TSS + 0x64, 1);
	ck_assert_int_eq(run(), TASK_SWITCH_NEW_FAULT);
	ck_assert_uint_eq(fault.vector, 1);
	ck_assert(!fault.has_error_code);
	ck_assert_uint_eq(ctx.sregs.dr6, 0xffff0ff0 | DR6_BT);
	ctx.sregs.dr6 = 0xffff0ff0;
	assert_loaded_32(0x203);
}
END_TEST

/* Pages one to one, the new task's likewise. */
static void paging(void)
{
	set_up();
	put32(DIRECTORY, TABLE | P | W | U);
	put32(NEW_DIRECTORY, NEW_TABLE | P | W | U);
	for (unsigned int i = 0; i < MEMORY / WALK_PAGE_BYTES; i++) {
		put32(TABLE + 4 * i, i * WALK_PAGE_BYTES | P | W);
		put32(NEW_TABLE + 4 * i, i * WALK_PAGE_BYTES | P | W);
	}
	ctx.sregs.cr0 |= CR0_PG | CR0_WP;
	ctx.sregs.cr3 = DIRECTORY;
}

static void map(uint32_t table, uint32_t linear, uint32_t entry)
{
	put32(table + 4 * (linear / WALK_PAGE_BYTES), entry);
}

START_TEST(new_cr3)
{
	paging();
	/* The old tables have the TSS, the new ones the descriptors. */
	map(NEW_TABLE, NEW_TSS, 0);
	map(NEW_TABLE, GDT, 0x10000 | P | W);
	memcpy(memory + 0x10000, memory + GDT, WALK_PAGE_BYTES);
	memory[0x10000 + SEL_DATA + 2] = 0x77;
	assert_done();
	ck_assert_uint_eq(ctx.sregs.cr3, NEW_DIRECTORY);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_SS].base, 0x77);
	/* A TSS of 16 bits keeps CR3. */
	paging();
	new_tss_16();
	assert_done();
	ck_assert_uint_eq(ctx.sregs.cr3, DIRECTORY);
}
END_TEST

START_TEST(page_faults)
{
	static const struct {
		uint32_t linear, entry, cr2, code;
		enum keel_task_source by;
	} cases[] = {
		{ GDT, 0, GDT + SEL_NEW, 0, KEEL_TASK_JMP },
		{ GDT, GDT | P, GDT + SEL_OLD + 5, 3, KEEL_TASK_JMP },
		{ GDT, GDT | P, GDT + SEL_NEW + 5, 3, KEEL_TASK_CALL },
		{ OLD_TSS, 0, OLD_TSS, 2, KEEL_TASK_JMP },
		{ OLD_TSS, OLD_TSS | P, OLD_TSS, 3, KEEL_TASK_JMP },
		{ NEW_TSS, 0, NEW_TSS, 0, KEEL_TASK_JMP },
		{ NEW_TSS, NEW_TSS | P, NEW_TSS, 3, KEEL_TASK_CALL },
		{ NEW_TSS, NEW_TSS | P, NEW_TSS, 3, KEEL_TASK_GATE },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		paging();
		source(cases[i].by);
		ctx.sregs.cpl = 3;		/* makes no difference to the processor's own accesses */
		map(TABLE, cases[i].linear, cases[i].entry);
		assert_old_fault(14, cases[i].code);
		ck_assert_uint_eq(fault.cr2, cases[i].cr2);
		ck_assert_uint_eq(ctx.sregs.cr2, cases[i].cr2);
	}
	/* A read-only TSS can be left for good, and come back to. */
	paging();
	map(TABLE, NEW_TSS, NEW_TSS | P);
	assert_done();
	/* SMAP holds for the processor's own accesses, AC or not. */
	paging();
	ctx.sregs.cr4 = CR4_SMAP;
	ctx.regs.rflags |= 1u << 18;
	map(TABLE, NEW_TSS, NEW_TSS | P | W | U);
	assert_old_fault(14, 1);
}
END_TEST

START_TEST(new_page_faults)
{
	paging();
	map(NEW_TABLE, GDT, 0);
	assert_new_fault(14, 0);
	ck_assert_uint_eq(ctx.sregs.cr2, GDT + SEL_CODE);
	paging();
	descriptor(SEL_DATA, DATA & ~RIGHTS(1));
	map(NEW_TABLE, GDT, GDT | P);
	assert_new_fault(14, 3);
	ck_assert_uint_eq(ctx.sregs.cr2, GDT + SEL_DATA + 5);
	/* The stack is the task's own to reach. */
	paging();
	source(KEEL_TASK_GATE);
	ctx.exit.event = EXCEPTION(17, true);
	put16(NEW_TSS + 0x4c, SEL_USER_CODE);
	for (unsigned int i = 0x48; i <= 0x5c; i += 4)
		if (i != 0x4c)
			put16(NEW_TSS + i, SEL_USER_DATA);
	assert_new_fault(14, 7);
	ck_assert_uint_eq(ctx.sregs.cr2, STACK - 4);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RSP], STACK);
}
END_TEST

/* An IRET leaves the new TSS busy as it is, and does not write to its descriptor. */
START_TEST(iret_reads_descriptor)
{
	for (unsigned int by = KEEL_TASK_IRET; by <= KEEL_TASK_JMP; by++) {
		paging();
		source(by);
		/* The descriptors of data and the old TSS end a page, that of the new one begins another. */
		memcpy(memory + 0x9000 - SEL_NEW, memory + GDT, GDT_LIMIT + 1);
		ctx.sregs.gdt_base = 0x9000 - SEL_NEW;
		map(TABLE, 0x9000, 0x9000 | P);
		if (by == KEEL_TASK_IRET) {
			assert_done();
		} else {
			assert_old_fault(14, 3);
			ck_assert_uint_eq(ctx.sregs.cr2, 0x9005);
		}
	}
}
END_TEST

/* Linear addresses have 32 bits. */
START_TEST(wrap_around)
{
	/* Descriptors: the table begins below 4 GiB, and these are beyond. */
	const uint32_t past = 0x2000;

	ctx.sregs.gdt_base = (uint32_t)(GDT - past);
	ctx.sregs.gdt_limit = past + GDT_LIMIT;
	ctx.exit.tss += past;
	ctx.sregs.seg[KEEL_SEG_TR].selector += past;
	for (unsigned int i = 0; i < 6; i++)
		put16(NEW_TSS + 0x48 + 4 * i, (uint16_t)(past + (i == KEEL_SEG_CS ? SEL_CODE : SEL_DATA)));
	assert_done();
	ck_assert_uint_eq(rights(SEL_OLD), TSS_FREE_32);
	ck_assert_uint_eq(rights(SEL_NEW), TSS_BUSY_32);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_SS].attributes, 0xc93);

	/* Both TSSs, from EIP on. */
	set_up();
	ctx.sregs.seg[KEEL_SEG_TR].base = 0xffffffe0;
	assert_done();
	ck_assert_uint_eq(get32(0), 0x1007);
	ck_assert_uint_eq(get16(0x5c - 0x20), 0x100 + 8 * KEEL_SEG_GS);
	set_up();
	memcpy(memory, memory + NEW_TSS + 0x20, 0x48);
	descriptor(SEL_NEW, system_segment(0xffffffe0, 0x67, TSS_FREE_32));
	assert_done();
	ck_assert_uint_eq(ctx.regs.rip, 0x12345678);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RSP], STACK);

	/* The stack. */
	push_case(DATA | 0xffull << 56 | 0xff0000ull << 16, 0x10000 + STACK);
	assert_done();
	ck_assert_uint_eq(get32(STACK - 4), 0x99);
}
END_TEST

/* Both TSSs and a descriptor over the boundary of pages that are not neighbours. */
START_TEST(across_pages)
{
	const uint32_t old = OLD_TSS + 0xfc6, new = 0x8fe0;

	paging();
	memcpy(memory + 0x10fe0, memory + NEW_TSS, 0x20);
	memcpy(memory + 0x12000, memory + NEW_TSS + 0x20, 0x48);
	map(TABLE, 0x8000, 0x10000 | P | W);
	map(TABLE, 0x9000, 0x12000 | P | W);
	map(TABLE, OLD_TSS, 0x14000 | P | W);
	map(TABLE, OLD_TSS + 0x1000, 0x16000 | P | W);
	descriptor(SEL_NEW, system_segment(new, 0x67, TSS_FREE_32));
	ctx.sregs.seg[KEEL_SEG_TR].base = old;
	source(KEEL_TASK_CALL);
	assert_done();
	ck_assert_uint_eq(ctx.regs.rip, 0x12345678);
	ck_assert_uint_eq(get16(0x10fe0), SEL_OLD);
	ck_assert_uint_eq(get32(0x14fc6 + 0x20), 0x1007);
	ck_assert_uint_eq(get32(0x14fc6 + 0x34), 0xa0000003);
	ck_assert_uint_eq(get16(0x14fc6 + 0x38), 4);
	ck_assert_uint_eq(get16(0x16000), 0xa000);
	ck_assert_uint_eq(get32(0x16002), 0xa0000005);
	ck_assert_uint_eq(get16(0x16002 + 0x20), 0x100 + 8 * KEEL_SEG_GS);

	paging();
	map(TABLE, 0x9000, 0);
	descriptor(SEL_NEW, system_segment(new, 0x67, TSS_FREE_32));
	assert_old_fault(14, 0);
	ck_assert_uint_eq(fault.cr2, 0x9000);

	/* What the old task does not need is not asked for. */
	paging();
	ctx.sregs.seg[KEEL_SEG_TR].base = OLD_TSS + 0xfa0;
	map(TABLE, OLD_TSS + 0x1000, 0);
	descriptor(SEL_NEW, system_segment(0x8000, 0x67, TSS_FREE_32));
	memcpy(memory + 0x8000, memory + NEW_TSS, 0x68);
	assert_done();
}
END_TEST

static void put64(uint32_t at, uint64_t value)
{
	memcpy(memory + at, &value, sizeof(value));
}

/* Pages one to one for both tasks. */
static void pae_paging(void)
{
	set_up();
	ctx.sregs.cr0 |= CR0_PG;
	ctx.sregs.cr4 = CR4_PAE;
	ctx.sregs.cr3 = DIRECTORY;
	put64(DIRECTORY, PAE_DIRECTORY | P);
	put64(NEW_DIRECTORY, PAE_DIRECTORY | P);
	put64(PAE_DIRECTORY, PAE_TABLE | P | W);
	for (unsigned int i = 0; i < MEMORY / WALK_PAGE_BYTES; i++)
		put64(PAE_TABLE + 8 * i, i * WALK_PAGE_BYTES | P | W);
}

/* SDM vol. 3, table 4-8. */
START_TEST(pae_entries)
{
	const uint64_t reserved = 0xfff00000000001e6;

	for (unsigned int i = 0; i < 4; i++) {
		for (unsigned int bit = 1; bit < 64; bit++) {
			uint64_t entry = PAE_DIRECTORY | 1ull << bit;
			uint32_t at = NEW_DIRECTORY + 8 * i;

			pae_paging();
			put64(at, entry | P);
			if (reserved >> bit & 1)
				assert_old_fault(13, 0);
			else if (i || bit < 12)		/* others lead somewhere else */
				assert_done();
			if (!i)
				continue;
			/* One that is not present has none. */
			pae_paging();
			put64(at, entry & ~(uint64_t)P);
			assert_done();
		}
	}
	/* Without paging nothing is loaded. */
	pae_paging();
	ctx.sregs.cr0 = CR0_PE;
	put64(DIRECTORY, reserved | P);
	put64(NEW_DIRECTORY, reserved | P);
	assert_done();
	ck_assert_uint_eq(ctx.sregs.cr3, DIRECTORY);
}
END_TEST

START_TEST(pae)
{
	const uint64_t entry = 0x1f000 | P | W;		/* not one of four */

	pae_paging();
	assert_done();
	ck_assert_uint_eq(ctx.sregs.cr3, NEW_DIRECTORY);

	/* Back, to tables that are none. */
	source(KEEL_TASK_JMP);
	ctx.exit.tss = SEL_OLD;
	put32(OLD_TSS + 0x1c, DIRECTORY + 0x20);
	memcpy(memory + DIRECTORY + 0x20, &entry, sizeof(entry));
	assert_old_fault(13, 0);
	put32(OLD_TSS + 0x1c, MEMORY);
	assert_old_fault(13, 0);
}
END_TEST

START_TEST(no_memory)
{
	/* All ones: a TSS whose registers are that. */
	descriptor(SEL_NEW, system_segment(0x80000000, 0x67, TSS_FREE_32));
	ck_assert_int_eq(run(), TASK_SWITCH_NEW_FAULT);
	assert_vector(10, 0xfffc);
	ck_assert_uint_eq(ctx.regs.rip, 0xffffffff);
	ck_assert_uint_eq(ctx.sregs.cpl, 3);
	/* A GDT out there has no TSS. */
	set_up();
	ctx.sregs.gdt_base = 0xfffffff0;
	assert_old_fault(13, SEL_NEW);
	/* What is saved out there is lost. */
	set_up();
	ctx.sregs.seg[KEEL_SEG_TR].base = 0x7ffffff0;
	assert_done();
}
END_TEST

START_TEST(double_faults)
{
	static const struct {
		unsigned int first, second;	/* 10: by CS, 14: by the new task's GDT */
		unsigned int vector;
		bool shutdown;
	} cases[] = {
		{ 0, 10, 8, false }, { 13, 10, 8, false }, { 14, 10, 8, false }, { 14, 14, 8, false },
		{ 13, 14, 14, false }, { 1, 10, 10, false }, { 6, 14, 14, false }, { 8, 10, 8, true },
		{ 8, 14, 8, true }, { 17, 10, 10, false },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		paging();
		source(KEEL_TASK_GATE);
		ctx.exit.event = EXCEPTION(cases[i].first, false);
		if (cases[i].second == 14)
			map(NEW_TABLE, GDT, 0);
		else
			put16(NEW_TSS + 0x4c, SEL_DATA);
		ck_assert_int_eq(run(), TASK_SWITCH_NEW_FAULT);
		ck_assert_uint_eq(fault.vector, cases[i].vector);
		ck_assert_uint_eq(ctx.sregs.idt_limit, cases[i].shutdown ? 0 : 0x7ff);
		if (cases[i].vector == 8)
			assert_vector(8, 0);
		if (cases[i].second == 14)
			ck_assert_uint_eq(ctx.sregs.cr2, GDT + SEL_CODE);
	}
	/* In the old task, and by an instruction of that number. */
	paging();
	source(KEEL_TASK_GATE);
	ctx.exit.event = EXCEPTION(14, true);
	ctx.exit.tss = SEL_DATA;
	assert_old_fault(8, 0);
	ctx.exit.event = KEEL_INJECT_VALID | KEEL_EVENT_INT_N | 14;
	assert_old_fault(13, SEL_DATA);
	ctx.exit.event = EXCEPTION(8, true);
	ck_assert_int_eq(run(), TASK_SWITCH_NEW_FAULT);
	assert_vector(8, 0);
	ck_assert_uint_eq(ctx.sregs.idt_limit, 0);
	ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_TR].selector, SEL_OLD);
}
END_TEST

static uint32_t noise(void)
{
	static uint32_t state = 2463534242u;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

/* Anything goes: what comes out can be entered, or is a fault. */
START_TEST(noise_everywhere)
{
	for (unsigned int round = 0; round < 50000; round++) {
		if (round & 1)
			paging();
		else
			set_up();
		source(noise() & 3);
		for (unsigned int i = noise() % 4; i; i--)
			memory[GDT + noise() % 0x80] = (uint8_t)noise();
		for (unsigned int i = noise() % 4; i; i--)
			memory[NEW_TSS + noise() % 0x68] = (uint8_t)noise();
		if (!(noise() & 7))
			memory[TABLE + noise() % 0x80] = (uint8_t)noise();
		if (!(noise() & 7))
			memory[NEW_TABLE + noise() % 0x80] = (uint8_t)noise();
		if (!(noise() & 7))
			ctx.sregs.seg[KEEL_SEG_TR].base = noise();
		if (!(noise() & 7))
			ctx.exit.tss = noise() & 0xffff;
		ctx.exit.event = noise();
		if (run() == TASK_SWITCH_OLD_FAULT || !ctx.sregs.idt_limit)
			continue;
		ck_assert_uint_le(ctx.sregs.cpl, 3);
		ck_assert_uint_eq(ctx.regs.rflags & ~0x003f7fd5ull, 2);
		ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_TR].attributes & 0x97, 0x83);
		if (ctx.regs.rflags & VM)
			continue;
		ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_CS].attributes & 0x99, 0x99);
		ck_assert_uint_eq(ctx.sregs.seg[KEEL_SEG_SS].attributes >> 5 & 3, ctx.sregs.cpl);
	}
}
END_TEST

SUITE("task_switch", tc)
{
	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, jmp_32);
	tcase_add_test(tc, call_32);
	tcase_add_test(tc, iret_32);
	tcase_add_test(tc, gate_32);
	tcase_add_test(tc, no_event);
	tcase_add_test(tc, all_16);
	tcase_add_test(tc, bad_tss);
	tcase_add_test(tc, bad_old_tss);
	tcase_add_test(tc, external);
	tcase_add_test(tc, bad_segment);
	tcase_add_test(tc, good_segment);
	tcase_add_test(tc, local_table);
	tcase_add_test(tc, user_task);
	tcase_add_test(tc, vm86_task);
	tcase_add_test(tc, push);
	tcase_add_test(tc, debug_trap);
	tcase_add_test(tc, new_cr3);
	tcase_add_test(tc, page_faults);
	tcase_add_test(tc, new_page_faults);
	tcase_add_test(tc, iret_reads_descriptor);
	tcase_add_test(tc, wrap_around);
	tcase_add_test(tc, across_pages);
	tcase_add_test(tc, pae_entries);
	tcase_add_test(tc, pae);
	tcase_add_test(tc, no_memory);
	tcase_add_test(tc, double_faults);
	tcase_add_test(tc, noise_everywhere);
}
