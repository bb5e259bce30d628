/* SPDX-License-Identifier: GPL-2.0 */
/* The emulator: the bus, segments, faults and strings; test_emulate_native.c has what instructions compute. */
#include <check.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include <keel/macros.h>

#include "vcpu/decode.h"
#include "emulate_rig.h"

#define LOCKED_ROUNDS	20000

START_TEST(mmio_move)
{
	ctx.regs.gpr[KEEL_RBX] = MMIO;
	ctx.regs.gpr[KEEL_RAX] = 0xffffffff12345678;
	ck_assert_int_eq(EMULATE(0x89, 0x43, 0x10), EMULATE_DONE);		/* mov %eax, 16(%rbx) */
	assert_access(0, true, MMIO + 16, 4, 0x12345678);
	ck_assert_uint_eq(ctx.regs.rip, 0x1003);
	bus_log.answer = 0xaabbccdd99887766;
	ck_assert_int_eq(EMULATE(0x8b, 0x03), EMULATE_DONE);			/* mov (%rbx), %eax */
	assert_access(1, false, MMIO, 4, 0);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RAX], 0x99887766);
	ck_assert_int_eq(EMULATE(0x8a, 0x23), EMULATE_DONE);			/* mov (%rbx), %ah */
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RAX], 0x99886666);
	ck_assert_int_eq(EMULATE(0x48, 0x0f, 0xbe, 0x03), EMULATE_DONE);	/* movsbq (%rbx), %rax */
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RAX], 0x66);
	ck_assert_uint_eq(bus_log.count, 4);
}
END_TEST

/* The operand's address is told, in a page that is not where the registers say. */
START_TEST(mmio_move_where_the_processor_went)
{
	const uint64_t told = 0xfed00000;

	bus_log.answer = 0x8899aabbccddeeff;
	ctx.regs.gpr[KEEL_RBX] = MMIO + 8;
	ctx.regs.gpr[KEEL_RAX] = UINT64_MAX;
	ctx.exit.gpa = told + 8;
	ck_assert_int_eq(EMULATE(0x8b, 0x03), EMULATE_DONE);			/* mov (%rbx), %eax */
	assert_access(0, false, told + 8, 4, 0);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RAX], 0xccddeeff);
	ck_assert_uint_eq(ctx.regs.rip, 0x1002);
	ck_assert_int_eq(EMULATE(0x4c, 0x8b, 0x0b), EMULATE_DONE);		/* mov (%rbx), %r9 */
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_R9], 0x8899aabbccddeeff);
	ctx.regs.gpr[KEEL_RAX] = UINT64_MAX;
	ck_assert_int_eq(EMULATE(0x66, 0x8b, 0x03), EMULATE_DONE);		/* mov (%rbx), %ax */
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RAX], 0xffffffffffffeeff);
	ck_assert_int_eq(EMULATE(0x0f, 0xb6, 0x03), EMULATE_DONE);		/* movzbl (%rbx), %eax */
	assert_access(3, false, told + 8, 1, 0);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RAX], 0xff);
	ctx.exit.access = KEEL_ACCESS_WRITE;
	ck_assert_int_eq(EMULATE(0x44, 0x89, 0x0b), EMULATE_DONE);		/* mov %r9d, (%rbx) */
	assert_access(4, true, told + 8, 4, 0xccddeeff);
	ck_assert_int_eq(EMULATE(0xc7, 0x03, 1, 2, 3, 0x84), EMULATE_DONE);	/* movl $..., (%rbx) */
	assert_access(5, true, told + 8, 4, 0x84030201);
	ctx.exit.gpa = told + 0x10;
	ctx.regs.gpr[KEEL_RBX] = 0;
	ctx.sregs.seg[KEEL_SEG_GS].base = MMIO;
	ck_assert_int_eq(EMULATE(0x65, 0x89, 0x43, 0x10), EMULATE_DONE);	/* mov %eax, %gs:16(%rbx) */
	assert_access(6, true, told + 0x10, 4, 0xff);
	ck_assert_uint_eq(bus_log.count, 7);
}
END_TEST

/* Each of these is none that the processor can have seen, or not as a whole. */
START_TEST(mmio_move_where_it_did_not_go)
{
	ctx.regs.gpr[KEEL_RBX] = MMIO + 8;
	ctx.exit.gpa = 0xfed00004;
	ck_assert_int_eq(EMULATE(0x8b, 0x03), EMULATE_DONE);			/* another place in the page */
	assert_access(0, false, MMIO + 8, 4, 0);
	ctx.exit.gpa = 0xfed00008;
	ck_assert_int_eq(EMULATE(0x89, 0x03), EMULATE_DONE);			/* a write, where it read */
	assert_access(1, true, MMIO + 8, 4, bus_log.access[1].value);
	ctx.exit.access = KEEL_ACCESS_WRITE;
	ck_assert_int_eq(EMULATE(0x8b, 0x03), EMULATE_DONE);			/* and the other way round */
	assert_access(2, false, MMIO + 8, 4, 0);
	ctx.exit.access = 0;
	ctx.exit.gpa = ARENA + 8;
	ck_assert_int_eq(EMULATE(0x8b, 0x03), EMULATE_DONE);			/* memory */
	assert_access(3, false, MMIO + 8, 4, 0);
	ctx.exit.gpa = 0xfed0000a;
	ctx.regs.gpr[KEEL_RBX] = MMIO + 10;
	ck_assert_int_eq(EMULATE(0x8b, 0x03), EMULATE_DONE);			/* two accesses */
	assert_access(4, false, MMIO + 10, 2, 0);
	assert_access(5, false, MMIO + 12, 2, 0);
	ctx.exit.gpa = 0xfed00008;
	ctx.regs.gpr[KEEL_RBX] = MMIO + 8;
	ck_assert_int_eq(EMULATE(0x03, 0x03), EMULATE_DONE);			/* add (%rbx), %eax */
	assert_access(6, false, MMIO + 8, 4, 0);
}
END_TEST

START_TEST(mmio_is_split_naturally)
{
	ctx.regs.gpr[KEEL_RBX] = MMIO + 1;
	ctx.regs.gpr[KEEL_RAX] = 0x8877665544332211;
	ck_assert_int_eq(EMULATE(0x48, 0x89, 0x03), EMULATE_DONE);
	assert_access(0, true, MMIO + 1, 1, 0x11);
	assert_access(1, true, MMIO + 2, 2, 0x3322);
	assert_access(2, true, MMIO + 4, 4, 0x77665544);
	assert_access(3, true, MMIO + 8, 1, 0x88);
	ck_assert_uint_eq(bus_log.count, 4);
}
END_TEST

START_TEST(mmio_modified_once)
{
	bus_log.answer = 0xf0;
	ctx.regs.gpr[KEEL_RBX] = MMIO;
	ctx.regs.gpr[KEEL_RAX] = 0x0f;
	ck_assert_int_eq(EMULATE(0x08, 0x03), EMULATE_DONE);			/* or %al, (%rbx) */
	assert_access(0, false, MMIO, 1, 0);
	assert_access(1, true, MMIO, 1, 0xff);
	ck_assert_int_eq(EMULATE(0x87, 0x03), EMULATE_DONE);			/* xchg %eax, (%rbx) */
	assert_access(3, true, MMIO, 4, 0x0f);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RAX], 0xf0);
	ck_assert_int_eq(EMULATE(0xf6, 0x03, 0x10), EMULATE_DONE);		/* test $16, (%rbx) writes nothing */
	ck_assert_uint_eq(bus_log.count, 5);
	ck_assert_uint_eq(ctx.regs.rflags & ZF, 0);
}
END_TEST

static void protected_mode(void)
{
	ctx.sregs.efer = 0;
	ctx.sregs.seg[KEEL_SEG_CS].attributes = CODE32;
}

struct rival {
	uint32_t *counter;
	uint32_t added;
	bool stop;
};

static void *count_up(void *data)
{
	struct rival *rival = data;

	while (!__atomic_load_n(&rival->stop, __ATOMIC_RELAXED)) {
		__atomic_fetch_add(rival->counter, 1, __ATOMIC_SEQ_CST);
		rival->added++;
	}
	return NULL;
}

/* Where another vCPU was faster the instruction is not done: rip stays for another start. */
START_TEST(locked_memory_is_atomic)
{
	struct rival rival = { .counter = (uint32_t *)backing };
	pthread_t thread;

	ctx.regs.gpr[KEEL_RBX] = ARENA;
	ck_assert_int_eq(pthread_create(&thread, NULL, count_up, &rival), 0);
	while (__atomic_load_n(rival.counter, __ATOMIC_RELAXED) == 0)
		;
	for (unsigned int done = 0; done < LOCKED_ROUNDS;) {
		enum emulate_result result;

		ctx.regs.rip = 0x1000;
		result = EMULATE(0xf0, 0xff, 0x03);		/* lock incl (%rbx) */
		if (result != (ctx.regs.rip == 0x1000 ? EMULATE_AGAIN : EMULATE_DONE))
			ck_abort_msg("not emulated");
		done += result == EMULATE_DONE;
	}
	__atomic_store_n(&rival.stop, true, __ATOMIC_RELAXED);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(*rival.counter, rival.added + LOCKED_ROUNDS);
}
END_TEST

START_TEST(stack_and_selectors)
{
	ctx.regs.gpr[KEEL_RSP] = ARENA + 0x100;
	ctx.regs.gpr[KEEL_RBX] = MMIO;
	bus_log.answer = 0x1122334455667788;
	ck_assert_int_eq(EMULATE(0xff, 0x33), EMULATE_DONE);			/* push (%rbx) */
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RSP], ARENA + 0xf8);
	ck_assert_mem_eq(backing + 0xf8, &bus_log.answer, 8);
	ck_assert_int_eq(EMULATE(0x8f, 0x44, 0x24, 0x08), EMULATE_DONE);	/* pop 8(%rsp): the new rsp */
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RSP], ARENA + 0x100);
	ck_assert_mem_eq(backing + 0x108, &bus_log.answer, 8);

	protected_mode();
	ctx.sregs.seg[KEEL_SEG_SS].base = ARENA;
	ctx.sregs.seg[KEEL_SEG_SS].attributes &= ~(1u << 10);			/* 16-bit stack */
	ctx.regs.gpr[KEEL_RSP] = 0x77770002;
	ctx.regs.gpr[KEEL_RBX] = MMIO;
	ck_assert_int_eq(EMULATE(0x66, 0xff, 0x33), EMULATE_DONE);		/* pushw (%ebx) */
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RSP], 0x77770000);
	ck_assert_mem_eq(backing, &bus_log.answer, 2);
	ck_assert_int_eq(EMULATE(0x66, 0xff, 0x33), EMULATE_DONE);		/* wraps to 0xfffe, which is the bus here */
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RSP], 0x7777fffe);
	assert_access(3, true, ARENA + 0xfffe, 2, 0x7788);

	ctx.sregs.seg[KEEL_SEG_GS].selector = 0x1234;
	ck_assert_int_eq(EMULATE(0x8c, 0x2b), EMULATE_DONE);			/* mov %gs, (%ebx) */
	assert_access(4, true, MMIO, 2, 0x1234);
}
END_TEST

START_TEST(rom_reads_and_writes_to_the_bus)
{
	backing[ROM - ARENA] = 0x5a;
	ctx.regs.gpr[KEEL_RBX] = ROM;
	ctx.regs.gpr[KEEL_RAX] = 0x33;
	ck_assert_int_eq(EMULATE(0x86, 0x03), EMULATE_DONE);			/* xchg %al, (%rbx) */
	assert_access(0, true, ROM, 1, 0x33);
	ck_assert_uint_eq(bus_log.count, 1);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RAX], 0x5a);
	ck_assert_uint_eq(backing[ROM - ARENA], 0x5a);
}
END_TEST

START_TEST(rip_relative_and_fs)
{
	ctx.regs.rip = MMIO - 0x1000;
	ck_assert_int_eq(EMULATE(0xc7, 0x05, 0xf6, 0x0f, 0, 0, 7, 0, 0, 0), EMULATE_DONE);	/* movl $7, 0xff6(%rip) */
	assert_access(0, true, MMIO, 4, 7);
	ctx.sregs.seg[KEEL_SEG_FS].base = MMIO;
	ctx.sregs.seg[KEEL_SEG_DS].base = 0x1000;	/* counts for nothing in 64-bit mode */
	ck_assert_int_eq(EMULATE(0x64, 0xc6, 0x00, 0x01), EMULATE_DONE);			/* movb $1, %fs:(%rax) */
	assert_access(1, true, MMIO, 1, 1);
}
END_TEST

START_TEST(string_stops_at_most)
{
	ctx.regs.gpr[KEEL_RSI] = ARENA;
	ctx.regs.gpr[KEEL_RDI] = MMIO;
	ctx.regs.gpr[KEEL_RCX] = 1005;
	for (unsigned int i = 0; i < 1005; i++)
		memcpy(backing + 4 * i, &i, 4);
	ck_assert_int_eq(EMULATE(0xf3, 0xa5), EMULATE_DONE);
	ck_assert_uint_eq(bus_log.count, 1000);
	assert_access(3, true, MMIO + 12, 4, 3);
	ck_assert_uint_eq(ctx.regs.rip, 0x1000);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RCX], 5);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RSI], ARENA + 4000);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RDI], MMIO + 4000);
	ck_assert_int_eq(EMULATE(0xf3, 0xa5), EMULATE_DONE);
	ck_assert_uint_eq(bus_log.count, 1005);
	ck_assert_uint_eq(ctx.regs.rip, 0x1002);
	ck_assert_int_eq(EMULATE(0xf3, 0xa5), EMULATE_DONE);			/* RCX is 0 */
	ck_assert_uint_eq(ctx.regs.rip, 0x1004);
	ck_assert_uint_eq(bus_log.count, 1005);
}
END_TEST

START_TEST(not_canonical)
{
	struct keel_regs before;

	ctx.regs.gpr[KEEL_RBX] = 1ull << 47;
	before = ctx.regs;
	ck_assert_int_eq(EMULATE(0x8b, 0x03), EMULATE_EXCEPTION);
	ck_assert_uint_eq(fault.vector, 13);
	ck_assert(fault.has_error_code && fault.error_code == 0);
	ck_assert_mem_eq(&before, &ctx.regs, sizeof(before));
	ctx.regs.gpr[KEEL_RBP] = (1ull << 47) - 2;
	ck_assert_int_eq(EMULATE(0x8b, 0x45, 0x00), EMULATE_EXCEPTION);	/* mov 0(%rbp), %eax reaches over the edge */
	ck_assert_uint_eq(fault.vector, 12);
	ctx.sregs.cr4 = CR4_LA57;
	ck_assert_int_eq(EMULATE(0x8b, 0x45, 0x00), EMULATE_DONE);
}
END_TEST

static void assert_fault(const uint8_t *bytes, unsigned int length, uint8_t vector)
{
	memset(&fault, 0, sizeof(fault));
	ck_assert_int_eq(emulate(bytes, length), EMULATE_EXCEPTION);
	ck_assert_uint_eq(fault.vector, vector);
	ck_assert_uint_eq(bus_log.count, 0);
}

START_TEST(segment_limits)
{
	static const uint8_t store[] = { 0x89, 0x03 }, load[] = { 0x8b, 0x03 };		/* (%ebx), %eax */
	static const uint8_t code_store[] = { 0x2e, 0x89, 0x03 }, code_load[] = { 0x2e, 0x8b, 0x03 };
	static const uint8_t stack[] = { 0x36, 0x8b, 0x03 };
	struct keel_segment_register *ds = &ctx.sregs.seg[KEEL_SEG_DS];

	protected_mode();
	ds->base = ctx.sregs.seg[KEEL_SEG_SS].base = ctx.sregs.seg[KEEL_SEG_CS].base = ARENA;
	ds->limit = ctx.sregs.seg[KEEL_SEG_SS].limit = 0xfff;
	ctx.regs.gpr[KEEL_RBX] = 0xffc;
	ck_assert_int_eq(emulate(load, 2), EMULATE_DONE);
	ctx.regs.gpr[KEEL_RBX] = 0xffd;
	assert_fault(load, 2, 13);
	assert_fault(stack, 3, 12);

	ds->attributes |= 1u << 2;			/* expand-down */
	ck_assert_int_eq(emulate(load, 2), EMULATE_EXCEPTION);
	ctx.regs.gpr[KEEL_RBX] = 0x1000;
	ck_assert_int_eq(emulate(load, 2), EMULATE_DONE);
	ctx.regs.gpr[KEEL_RBX] = 0xfffe;
	bus_log.count = 0;
	ck_assert_int_eq(emulate(load, 2), EMULATE_DONE);
	bus_log.count = 0;
	ds->attributes &= ~(1u << 10);			/* 16-bit: ends at 0xffff */
	assert_fault(load, 2, 13);

	ds->attributes = 0x491;				/* read-only */
	ctx.regs.gpr[KEEL_RBX] = 0;
	assert_fault(store, 2, 13);
	ck_assert_int_eq(emulate(load, 2), EMULATE_DONE);
	ds->attributes = 0;				/* null selector */
	assert_fault(load, 2, 13);

	assert_fault(code_store, 3, 13);
	ck_assert_int_eq(emulate(code_load, 3), EMULATE_DONE);
	ctx.sregs.seg[KEEL_SEG_CS].attributes &= ~2u;			/* execute-only */
	assert_fault(code_load, 3, 13);
}
END_TEST

START_TEST(real_mode)
{
	static const uint8_t store[] = { 0x88, 0x07 };		/* mov %al, (%bx) */
	static const uint8_t strings[] = { 0xf3, 0xab };	/* rep stosw */

	ctx.sregs.efer = 0;
	ctx.sregs.cr0 = 0;
	for (unsigned int i = KEEL_SEG_ES; i <= KEEL_SEG_GS; i++)
		ctx.sregs.seg[i] = (struct keel_segment_register) { 0xa000, 0x93, 0xffff, 0xa0000 };
	ctx.sregs.seg[KEEL_SEG_CS] = (struct keel_segment_register) { 0xf000, 0x93, 0xffff, 0xf0000 };
	ctx.regs.gpr[KEEL_RBX] = 0xabcd1234;
	ctx.regs.gpr[KEEL_RAX] = 0x5566;
	ck_assert_int_eq(emulate(store, 2), EMULATE_DONE);
	assert_access(0, true, 0xa1234, 1, 0x66);

	ctx.regs.gpr[KEEL_RDI] = 0x7777fffc;
	ctx.regs.gpr[KEEL_RCX] = 0x88880004;
	ck_assert_int_eq(emulate(strings, 2), EMULATE_DONE);	/* wraps within the segment */
	assert_access(2, true, 0xafffe, 2, 0x5566);
	assert_access(3, true, 0xa0000, 2, 0x5566);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RDI], 0x77770004);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RCX], 0x88880000);

	bus_log.count = 0;
	ctx.regs.gpr[KEEL_RDI] = 0xffff;
	ctx.regs.gpr[KEEL_RCX] = 1;
	assert_fault(strings, 2, 13);
}
END_TEST

/* The arena's first page is the table of all four levels: linear 0 is the table itself, linear 4096 is not present. */
static void page_tables(void)
{
	uint64_t entry = ARENA | 7;

	ctx.sregs.cr0 = CR0_PE | 1ull << 31;
	ctx.sregs.cr3 = ARENA;
	memcpy(backing, &entry, sizeof(entry));
}

START_TEST(page_boundary)
{
	static const uint8_t store[] = { 0x89, 0x03 };
	struct keel_regs before;

	page_tables();
	ctx.regs.gpr[KEEL_RBX] = PAGE - 2;
	ctx.regs.gpr[KEEL_RAX] = 0x11223344;
	before = ctx.regs;
	assert_fault(store, 2, 14);
	ck_assert_uint_eq(fault.error_code, 2);
	ck_assert_uint_eq(fault.cr2, PAGE);
	ck_assert_uint_eq(backing[PAGE - 2], 0);
	ck_assert_mem_eq(&before, &ctx.regs, sizeof(before));

	memcpy(backing + 8, (const uint64_t[]) { MMIO | 7 }, 8);
	ck_assert_int_eq(emulate(store, 2), EMULATE_DONE);
	ck_assert_uint_eq(backing[PAGE - 2], 0x44);
	ck_assert_uint_eq(backing[PAGE - 1], 0x33);
	assert_access(0, true, MMIO, 2, 0x1122);
	ck_assert_uint_eq(bus_log.count, 1);
}
END_TEST

START_TEST(string_keeps_what_is_done)
{
	static const uint8_t strings[] = { 0xf3, 0xab };	/* rep stosl */

	page_tables();
	ctx.regs.gpr[KEEL_RDI] = PAGE - 8;
	ctx.regs.gpr[KEEL_RCX] = 3;
	ctx.regs.gpr[KEEL_RAX] = 0x01020304;
	ck_assert_int_eq(emulate(strings, 2), EMULATE_DONE);
	ck_assert_uint_eq(ctx.regs.rip, 0x1000);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RCX], 1);
	ck_assert_uint_eq(backing[PAGE - 1], 0x01);
	assert_fault(strings, 2, 14);
	ck_assert_uint_eq(fault.cr2, PAGE);
}
END_TEST

START_TEST(fetched_over_a_page_boundary)
{
	static const uint8_t store[] = { 0xc7, 0x03, 0x78, 0x56, 0x34, 0x12 };

	ctx.exit.insn_length = 0;
	ctx.regs.gpr[KEEL_RBX] = MMIO;
	ctx.regs.rip = ARENA + PAGE - 3;
	memcpy(backing + PAGE - 3, store, sizeof(store));
	ck_assert_int_eq(emulate_mmio(&ctx, &mem, &bus, &known, 1, &fault), EMULATE_DONE);
	assert_access(0, true, MMIO, 4, 0x12345678);
	ck_assert_uint_eq(ctx.regs.rip, ARENA + PAGE + 3);
	/* They are there to be told. */
	ck_assert_mem_eq(ctx.exit.insn, store, sizeof(store));

	/* What the hardware gave ends too early: the rest is fetched. */
	ctx.regs.rip = ARENA + PAGE - 3;
	memcpy(ctx.exit.insn, store, 3);
	ctx.exit.insn_length = 3;
	ck_assert_int_eq(emulate_mmio(&ctx, &mem, &bus, &known, 1, &fault), EMULATE_DONE);
	assert_access(1, true, MMIO, 4, 0x12345678);

	page_tables();
	ctx.exit.insn_length = 0;
	ctx.regs.rip = PAGE - 3;
	ck_assert_int_eq(emulate_mmio(&ctx, &mem, &bus, &known, 1, &fault), EMULATE_EXCEPTION);
	ck_assert_uint_eq(fault.vector, 14);
	ck_assert_uint_eq(fault.cr2, PAGE);
	ctx.regs.rip = MMIO;
	ctx.sregs.cr0 = CR0_PE;
	ck_assert_int_eq(emulate_mmio(&ctx, &mem, &bus, &known, 1, &fault), EMULATE_UNKNOWN);
}
END_TEST

static enum emulate_result write_cr8(unsigned int attributes, const uint8_t *bytes, unsigned int length,
				     uint64_t *value)
{
	memset(backing + PAGE, 0x90, 2 * DECODE_LONGEST);
	memcpy(backing + PAGE, bytes, length);
	ctx.sregs.seg[KEEL_SEG_CS].attributes = attributes;
	ctx.regs.rip = ARENA + PAGE;
	return emulate_cr8_write(&ctx, &mem, value, &fault);
}

#define WRITE_CR8(attributes, value, ...) \
	write_cr8(attributes, (const uint8_t[]) { __VA_ARGS__ }, sizeof((const uint8_t[]) { __VA_ARGS__ }), value)

static void assert_cr8_from(unsigned int reg, unsigned int attributes, const uint8_t *bytes, unsigned int length)
{
	struct keel_regs before;
	uint64_t value = 99;

	for (unsigned int i = 0; i < 16; i++)
		ctx.regs.gpr[i] = i;
	before = ctx.regs;
	before.rip = ARENA + PAGE + length;
	ck_assert_int_eq(write_cr8(attributes, bytes, length, &value), EMULATE_DONE);
	ck_assert_uint_eq(value, reg);
	ck_assert_mem_eq(&before, &ctx.regs, sizeof(before));
}

#define ASSERT_CR8_FROM(reg, attributes, ...) \
	assert_cr8_from(reg, attributes, (const uint8_t[]) { __VA_ARGS__ }, sizeof((const uint8_t[]) { __VA_ARGS__ }))

START_TEST(cr8_write_forms)
{
	for (uint8_t reg = 0; reg < 8; reg++) {
		ASSERT_CR8_FROM(reg, CODE64, 0x44, 0x0f, 0x22, 0xc0 | reg);
		ASSERT_CR8_FROM(reg + 8u, CODE64, 0x45, 0x0f, 0x22, 0xc0 | reg);
		ASSERT_CR8_FROM(reg, CODE64, 0xf0, 0x0f, 0x22, 0xc0 | reg);
		ASSERT_CR8_FROM(reg + 8u, CODE64, 0xf0, 0x41, 0x0f, 0x22, 0xc0 | reg);
		ASSERT_CR8_FROM(reg, CODE32, 0xf0, 0x0f, 0x22, 0xc0 | reg);
	}
	/* mod does not count, nor do W, X and the other prefixes; a REX prefix does right before the opcode alone. */
	ASSERT_CR8_FROM(4, CODE64, 0x44, 0x0f, 0x22, 0x04);
	ASSERT_CR8_FROM(5, CODE64, 0x44, 0x0f, 0x22, 0x45);
	ASSERT_CR8_FROM(3, CODE64, 0x66, 0x67, 0x2e, 0x65, 0x4e, 0x0f, 0x22, 0xc3);
	ASSERT_CR8_FROM(3, CODE64, 0x45, 0x66, 0x44, 0x0f, 0x22, 0xc3);
	ASSERT_CR8_FROM(7, CODE32, 0x3e, 0xf0, 0x66, 0x0f, 0x22, 0xc7);
	ctx.sregs.cr0 = 0;
	ctx.sregs.efer = 0;
	ASSERT_CR8_FROM(6, DATA & ~0x400u, 0xf0, 0x0f, 0x22, 0xc6);
}
END_TEST

START_TEST(cr8_write_refused)
{
	uint64_t value = 99;

	ck_assert_int_eq(WRITE_CR8(CODE64, &value, 0x0f, 0x22, 0xc0), EMULATE_UNKNOWN);		/* CR0 */
	ck_assert_int_eq(WRITE_CR8(CODE64, &value, 0x44, 0x66, 0x0f, 0x22, 0xc0), EMULATE_UNKNOWN);
	ck_assert_int_eq(WRITE_CR8(CODE64, &value, 0xf0, 0x0f, 0x22, 0xd8), EMULATE_UNKNOWN);		/* CR3 */
	ck_assert_int_eq(WRITE_CR8(CODE64, &value, 0x44, 0x0f, 0x20, 0xc0), EMULATE_UNKNOWN);		/* read */
	ck_assert_int_eq(WRITE_CR8(CODE64, &value, 0x44, 0x89, 0xc0), EMULATE_UNKNOWN);
	ck_assert_int_eq(WRITE_CR8(CODE32, &value, 0x44, 0x0f, 0x22, 0xc0), EMULATE_UNKNOWN);		/* INC ESP */
	ck_assert_int_eq(WRITE_CR8(CODE64, &value, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
				   0x66, 0x44, 0x0f, 0x22, 0xc0), EMULATE_UNKNOWN);			/* 16 bytes */
	ck_assert_uint_eq(value, 99);
	ck_assert_uint_eq(ctx.regs.rip, ARENA + PAGE);
}
END_TEST

static void assert_cr8_fault(enum emulate_result result)
{
	ck_assert_int_eq(result, EMULATE_EXCEPTION);
	ck_assert_uint_eq(fault.vector, 13);
	ck_assert(fault.has_error_code && fault.error_code == 0);
	ck_assert_uint_eq(ctx.regs.rip, ARENA + PAGE);
	memset(&fault, 0, sizeof(fault));
}

START_TEST(cr8_write_values)
{
	uint64_t value;

	ctx.regs.gpr[KEEL_RAX] = 15;
	ck_assert_int_eq(WRITE_CR8(CODE64, &value, 0x44, 0x0f, 0x22, 0xc0), EMULATE_DONE);
	ck_assert_uint_eq(value, 15);
	ctx.regs.gpr[KEEL_RAX] = 16;
	assert_cr8_fault(WRITE_CR8(CODE64, &value, 0x44, 0x0f, 0x22, 0xc0));
	/* All 64 bits count in 64-bit mode, whatever REX.W says, and 32 elsewhere. */
	ctx.regs.gpr[KEEL_RAX] = 1ull << 32 | 2;
	assert_cr8_fault(WRITE_CR8(CODE64, &value, 0x44, 0x0f, 0x22, 0xc0));
	ck_assert_int_eq(WRITE_CR8(CODE32, &value, 0xf0, 0x0f, 0x22, 0xc0), EMULATE_DONE);
	ck_assert_uint_eq(value, 2);
	ctx.regs.gpr[KEEL_RAX] = 1u << 16;
	assert_cr8_fault(WRITE_CR8(DATA & ~0x400u, &value, 0xf0, 0x0f, 0x22, 0xc0));
	ctx.regs.gpr[KEEL_RAX] = 2;
	ctx.sregs.cpl = 3;
	assert_cr8_fault(WRITE_CR8(CODE64, &value, 0x44, 0x0f, 0x22, 0xc0));
}
END_TEST

START_TEST(cr8_write_over_a_page_boundary)
{
	static const uint8_t move[] = { 0x44, 0x0f, 0x22, 0xc1 };
	uint64_t value;

	ctx.regs.gpr[KEEL_RCX] = 9;
	memcpy(backing + PAGE - 2, move, sizeof(move));
	ctx.regs.rip = ARENA + PAGE - 2;
	ck_assert_int_eq(emulate_cr8_write(&ctx, &mem, &value, &fault), EMULATE_DONE);
	ck_assert_uint_eq(value, 9);
	ck_assert_uint_eq(ctx.regs.rip, ARENA + PAGE + 2);
	/* The page that follows is not there: it faults if the instruction goes on in it, and only then. */
	page_tables();
	ctx.regs.rip = PAGE - 2;
	ck_assert_int_eq(emulate_cr8_write(&ctx, &mem, &value, &fault), EMULATE_EXCEPTION);
	ck_assert_uint_eq(fault.vector, 14);
	ck_assert_uint_eq(fault.cr2, PAGE);
	memcpy(backing + PAGE - 4, move, sizeof(move));
	ctx.regs.rip = PAGE - 4;
	ck_assert_int_eq(emulate_cr8_write(&ctx, &mem, &value, &fault), EMULATE_DONE);
	ck_assert_uint_eq(ctx.regs.rip, PAGE);
}
END_TEST

START_TEST(divisions)
{
	static const struct {
		uint8_t modrm;		/* of F6 and F7 */
		uint8_t opcode;
		uint64_t rax, rdx, divisor, quotient, rest;
		bool fits;
	} d[] = {
		{ 0x33, 0xf7, 7, 0, 0, 0, 0, false },
		{ 0x33, 0xf7, 0, 5, 5, 0, 0, false },
		{ 0x33, 0xf7, 0xffffffff, 4, 5, 0xffffffff, 4, true },
		{ 0x3b, 0xf7, 0x80000000, 0xffffffff, 0xffffffff, 0, 0, false },	/* -2^31 / -1 */
		{ 0x3b, 0xf7, 0x80000000, 0xffffffff, 1, 0x80000000, 0, true },
		{ 0x3b, 0xf7, 0x80000000, 0, 1, 0, 0, false },
		{ 0x3b, 0xf7, 0x80000000, 0, 0xffffffff, 0x80000000, 0, true },
		{ 0x3b, 0xf7, (uint32_t)-7, 0xffffffff, 2, (uint32_t)-3, (uint32_t)-1, true },
		{ 0x33, 0xf6, 0x0500, 9, 5, 0, 0, false },
		{ 0x33, 0xf6, 0x04ff, 9, 5, 0x04ff, 9, true },				/* AH:AL */
		{ 0x3b, 0xf6, 0xff80, 9, 1, 0x0080, 9, true },
		{ 0x3b, 0xf6, 0xff7f, 9, 1, 0, 0, false },
	};

	ctx.regs.gpr[KEEL_RBX] = MMIO;
	for (unsigned int i = 0; i < ARRAY_SIZE(d); i++) {
		uint64_t rip = ctx.regs.rip;

		ctx.regs.gpr[KEEL_RAX] = d[i].rax;
		ctx.regs.gpr[KEEL_RDX] = d[i].rdx;
		bus_log.answer = d[i].divisor;
		if (!d[i].fits) {
			ck_assert_int_eq(EMULATE(d[i].opcode, d[i].modrm), EMULATE_EXCEPTION);
			ck_assert_uint_eq(fault.vector, 0);
			ck_assert(!fault.has_error_code);
			ck_assert_uint_eq(ctx.regs.rip, rip);
			continue;
		}
		ck_assert_int_eq(EMULATE(d[i].opcode, d[i].modrm), EMULATE_DONE);
		ck_assert_uint_eq(ctx.regs.gpr[KEEL_RAX], d[i].quotient);
		ck_assert_uint_eq(ctx.regs.gpr[KEEL_RDX], d[i].rest);
	}
}
END_TEST

START_TEST(sixteen_bytes)
{
	ctx.regs.gpr[KEEL_RBX] = MMIO + 0x10;
	ctx.regs.gpr[KEEL_RCX] = 0x1122;
	ctx.regs.gpr[KEEL_RAX] = ctx.regs.gpr[KEEL_RDX] = bus_log.answer = 0x5566;
	ck_assert_int_eq(EMULATE(0xf0, 0x48, 0x0f, 0xc7, 0x0b), EMULATE_DONE);	/* lock cmpxchg16b [rbx] */
	ck_assert_uint_eq(bus_log.count, 4);
	assert_access(0, false, MMIO + 0x10, 8, 0);
	assert_access(1, false, MMIO + 0x18, 8, 0);
	assert_access(2, true, MMIO + 0x10, 8, MMIO + 0x10);
	assert_access(3, true, MMIO + 0x18, 8, 0x1122);
	ck_assert_uint_eq(ctx.regs.rflags & ZF, ZF);
	ctx.regs.gpr[KEEL_RBX] += 8;
	ck_assert_int_eq(EMULATE(0x48, 0x0f, 0xc7, 0x0b), EMULATE_EXCEPTION);
	ck_assert_uint_eq(fault.vector, 13);
	ck_assert_uint_eq(bus_log.count, 4);
}
END_TEST

/* SMSW and its like, with the operand in a device. */
START_TEST(system_registers)
{
	ctx.regs.gpr[KEEL_RBX] = MMIO;
	ctx.sregs.cr0 = 0x50033;
	ctx.sregs.seg[KEEL_SEG_LDTR].selector = 0x48;
	ctx.sregs.seg[KEEL_SEG_TR].selector = 0x50;
	ctx.sregs.gdt_limit = 0x7f;
	ctx.sregs.gdt_base = 0xffff800012345678;
	ctx.sregs.idt_limit = 0xfff;
	ctx.sregs.idt_base = 0xfedcba98;
	ck_assert_int_eq(EMULATE(0x0f, 0x01, 0x23), EMULATE_DONE);
	assert_access(0, true, MMIO, 2, 0x33);
	ck_assert_int_eq(EMULATE(0x0f, 0x00, 0x03), EMULATE_DONE);
	assert_access(1, true, MMIO, 2, 0x48);
	ck_assert_int_eq(EMULATE(0x0f, 0x00, 0x0b), EMULATE_DONE);
	assert_access(2, true, MMIO, 2, 0x50);
	ck_assert_int_eq(EMULATE(0x0f, 0x01, 0x03), EMULATE_DONE);
	assert_access(3, true, MMIO, 8, 0xffff800012345678ull << 16 | 0x7f);
	assert_access(4, true, MMIO + 8, 2, 0xffff);
	ctx.sregs.seg[KEEL_SEG_CS].attributes = CODE32;
	ck_assert_int_eq(EMULATE(0x0f, 0x01, 0x0b), EMULATE_DONE);
	assert_access(5, true, MMIO, 4, 0xba980fff);
	assert_access(6, true, MMIO + 4, 2, 0xfedc);
	/* With UMIP they are the kernel's, and two of them do not exist in real mode. */
	ctx.sregs.cr4 = CR4_UMIP;
	ctx.sregs.cpl = 3;
	ck_assert_int_eq(EMULATE(0x0f, 0x01, 0x23), EMULATE_EXCEPTION);
	ck_assert_uint_eq(fault.vector, 13);
	ctx.sregs.cpl = 0;
	ctx.sregs.cr0 &= ~CR0_PE;
	ck_assert_int_eq(EMULATE(0x0f, 0x00, 0x03), EMULATE_EXCEPTION);
	ck_assert_uint_eq(fault.vector, 6);
	ck_assert(!fault.has_error_code);
	ck_assert_int_eq(EMULATE(0x0f, 0x01, 0x23), EMULATE_DONE);
	assert_access(7, true, MMIO, 2, 0x32);
	ck_assert_uint_eq(bus_log.count, 8);
}
END_TEST

START_TEST(unknown)
{
	struct keel_regs before;

	ctx.regs.gpr[KEEL_RBX] = MMIO;
	before = ctx.regs;
	ck_assert_int_eq(EMULATE(0x0f, 0x58, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), EMULATE_UNKNOWN);
	memcpy(backing + PAGE, (const uint8_t[]) { 0x0f, 0x58, 0x03 }, 3);
	before.rip = ctx.regs.rip = ARENA + PAGE;
	ck_assert_int_eq(EMULATE(0x0f, 0x58, 0x03), EMULATE_UNKNOWN);		/* addps */
	memcpy(backing + PAGE, (const uint8_t[]) { 0x6c }, 1);
	ck_assert_int_eq(EMULATE(0x6c), EMULATE_UNKNOWN);			/* insb is no MMIO exit */
	ck_assert_mem_eq(&before, &ctx.regs, sizeof(before));
	ck_assert_uint_eq(bus_log.count, 0);
}
END_TEST

static void string_io(uint8_t io, uint8_t size)
{
	ctx.exit.kind = KEEL_EXIT_IO;
	ctx.exit.io = KEEL_IO_STRING | io;
	ctx.exit.port = 0x1f0;
	ctx.exit.size = size;
	ctx.exit.next_rip = 0x1003;
	ctx.exit.address_size = 8;
	ctx.exit.segment = io & KEEL_IO_IN ? KEEL_SEG_ES : KEEL_SEG_DS;
}

START_TEST(disk_sector_in)
{
	string_io(KEEL_IO_IN | KEEL_IO_REP, 2);
	ctx.regs.gpr[KEEL_RDI] = ARENA + PAGE - 255;		/* an element lies over the page boundary */
	ctx.regs.gpr[KEEL_RCX] = 256;
	ck_assert_int_eq(emulate_string_io(&ctx, &mem, &bus, 1000, &fault), EMULATE_DONE);
	ck_assert_uint_eq(bus_log.count, 256);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RCX], 0);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RDI], ARENA + PAGE + 257);
	ck_assert_uint_eq(ctx.regs.rip, 0x1003);
	for (unsigned int i = 0; i < 256; i++)
		ck_assert_uint_eq(backing[PAGE - 255 + 2 * i], (i + 1) & 0xff);
	ck_assert_uint_eq(backing[PAGE - 256], 0);
	ck_assert_uint_eq(backing[PAGE + 257], 0);
}
END_TEST

START_TEST(string_out)
{
	string_io(KEEL_IO_REP, 4);
	for (unsigned int i = 0; i < 100; i++)
		memcpy(backing + 4 * i, &i, 4);
	ctx.regs.gpr[KEEL_RSI] = ARENA + 4 * 99;
	ctx.regs.gpr[KEEL_RCX] = 10;
	ctx.regs.rflags |= DF;
	ck_assert_int_eq(emulate_string_io(&ctx, &mem, &bus, 8, &fault), EMULATE_DONE);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RCX], 2);
	ck_assert_uint_eq(ctx.regs.rip, 0x1000);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RSI], ARENA + 4 * 91);
	assert_access(0, true, 0x1f0, 4, 99);
	assert_access(7, true, 0x1f0, 4, 92);
	ctx.regs.rflags &= ~(uint64_t)DF;
	ck_assert_int_eq(emulate_string_io(&ctx, &mem, &bus, 8, &fault), EMULATE_DONE);
	assert_access(9, true, 0x1f0, 4, 92);
	ck_assert_uint_eq(ctx.regs.rip, 0x1003);
	ck_assert_uint_eq(bus_log.count, 10);
}
END_TEST

START_TEST(string_io_asks_the_instruction)
{
	string_io(0, 1);
	ctx.exit.address_size = 0;
	ctx.exit.segment = KEEL_SEG_NONE;
	memcpy(backing, (const uint8_t[]) { 0x64, 0x67, 0x6e }, 3);	/* outsb %fs:(%esi) */
	ctx.regs.rip = ARENA;
	ctx.exit.next_rip = ARENA + 3;
	ctx.sregs.seg[KEEL_SEG_FS].base = 0x100;
	ctx.regs.gpr[KEEL_RSI] = 0xffffffff00000000 | ARENA;
	backing[0x100] = 0x77;
	ck_assert_int_eq(emulate_string_io(&ctx, &mem, &bus, 8, &fault), EMULATE_DONE);
	assert_access(0, true, 0x1f0, 1, 0x77);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RSI], ARENA + 1);
	ck_assert_uint_eq(ctx.regs.rip, ARENA + 3);
	backing[2] = 0x6c;						/* insb: not what the exit says */
	ctx.regs.rip = ARENA;
	ck_assert_int_eq(emulate_string_io(&ctx, &mem, &bus, 8, &fault), EMULATE_UNKNOWN);
}
END_TEST

START_TEST(string_io_faults_before_the_port)
{
	page_tables();
	string_io(KEEL_IO_IN | KEEL_IO_REP, 2);
	ctx.regs.gpr[KEEL_RDI] = PAGE - 4;
	ctx.regs.gpr[KEEL_RCX] = 4;
	ck_assert_int_eq(emulate_string_io(&ctx, &mem, &bus, 100, &fault), EMULATE_DONE);
	ck_assert_uint_eq(bus_log.count, 2);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RCX], 2);
	ck_assert_uint_eq(ctx.regs.rip, 0x1000);
	ck_assert_int_eq(emulate_string_io(&ctx, &mem, &bus, 100, &fault), EMULATE_EXCEPTION);
	ck_assert_uint_eq(fault.vector, 14);
	ck_assert_uint_eq(fault.error_code, 2);
	ck_assert_uint_eq(fault.cr2, PAGE);
	ck_assert_uint_eq(bus_log.count, 2);
}
END_TEST

/* Elements that are done together, against the same ones done one by one. */

#define RUN_PAGES	8u		/* page directory, page table, six of data; the last one is read-only */
#define RUN_DEVICE	0x20000000ull	/* two pages, page-aligned and no memory */
#define RUN_CASES	1500
#define RUN_ELEMENTS	1500u
#define PG		(1ull << 31)

struct run_device {
	uint8_t registers[2 * PAGE];
	uint64_t hash;			/* of every access, in order */
	uint32_t count;			/* of accesses to the port */
	unsigned int calls;		/* for many at once */
	unsigned int most;		/* that it does at once */
};

static _Alignas(4096) uint8_t run_memory[RUN_PAGES * PAGE];
static struct run_device run_device;

static void run_note(uint64_t what)
{
	run_device.hash = (run_device.hash ^ what) * 0x100000001b3ull;
}

static uint64_t run_read(void *owner, uint64_t offset, unsigned int bytes)
{
	uint64_t value = 0;

	(void)owner;
	run_note(offset << 8 | bytes);
	memcpy(&value, run_device.registers + offset, bytes);
	return value;
}

static void run_write(void *owner, uint64_t offset, unsigned int bytes, uint64_t value)
{
	(void)owner;
	run_note(offset << 8 | bytes | 0x80);
	run_note(value);
	memcpy(run_device.registers + offset, &value, bytes);
}

static unsigned int run_some(unsigned int count)
{
	run_device.calls++;
	return count < run_device.most ? count : run_device.most;
}

static unsigned int run_read_many(void *owner, uint64_t offset, unsigned int bytes, unsigned int count, uint8_t *data)
{
	count = run_some(count);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t value = run_read(owner, offset + i * bytes, bytes);

		memcpy(data + i * bytes, &value, bytes);
	}
	return count;
}

static unsigned int run_write_many(void *owner, uint64_t offset, unsigned int bytes, unsigned int count, const uint8_t *data)
{
	count = run_some(count);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t value = 0;

		memcpy(&value, data + i * bytes, bytes);
		run_write(owner, offset + i * bytes, bytes, value);
	}
	return count;
}

static unsigned int run_fill(void *owner, uint64_t offset, unsigned int bytes, unsigned int count, uint64_t value)
{
	count = run_some(count);
	for (unsigned int i = 0; i < count; i++)
		run_write(owner, offset + i * bytes, bytes, value);
	return count;
}

static uint64_t run_port_read(void *owner, uint64_t port, unsigned int bytes)
{
	(void)owner;
	run_note(port << 8 | bytes);
	return ++run_device.count * 0x9e3779b97f4a7c15ull;
}

static void run_port_write(void *owner, uint64_t port, unsigned int bytes, uint64_t value)
{
	(void)owner;
	run_note(port << 8 | bytes | 0x80);
	run_note(value);
}

static unsigned int run_port_read_many(void *owner, uint64_t port, unsigned int bytes, unsigned int count, uint8_t *data)
{
	count = run_some(count);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t value = run_port_read(owner, port, bytes);

		memcpy(data + i * bytes, &value, bytes);
	}
	return count;
}

static unsigned int run_port_write_many(void *owner, uint64_t port, unsigned int bytes, unsigned int count,
					const uint8_t *data)
{
	count = run_some(count);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t value = 0;

		memcpy(&value, data + i * bytes, bytes);
		run_port_write(owner, port, bytes, value);
	}
	return count;
}

static const struct io_ops run_ops = {
	.read = run_read, .write = run_write, .widest = 8,
	.read_many = run_read_many, .write_many = run_write_many, .fill = run_fill,
};
static const struct io_ops run_port_ops = {
	.read = run_port_read, .write = run_port_write, .widest = 4,
	.read_many = run_port_read_many, .write_many = run_port_write_many,
};

static void set_up_runs(void)
{
	static struct io_range registers, port;

	registers = (struct io_range){ .base = RUN_DEVICE, .bytes = 2 * PAGE, .ops = &run_ops };
	port = (struct io_range){ .base = 0x1f0, .bytes = 8, .ops = &run_port_ops };
	set_up();
	bus_init(&bus);
	ck_assert(bus_map(&bus, BUS_MEMORY_SPACE, &registers) && bus_map(&bus, BUS_PORT_SPACE, &port));
	mem = (struct gmem) {
		.base = (uint8_t *)((uintptr_t)run_memory - ARENA),
		.count = 2,
		.range = { { ARENA, (RUN_PAGES - 1) * PAGE, false }, { ARENA + (RUN_PAGES - 1) * PAGE, PAGE, true } },
	};
	memset(&run_device, 0, sizeof(run_device));
	run_device.most = (unsigned int[]) { 0, 1, 7, 128, 4096 }[random_next() % 5];
	for (unsigned int i = 0; i < sizeof(run_memory); i++)
		run_memory[i] = (uint8_t)random_next();
	for (unsigned int i = 0; i < sizeof(run_device.registers); i++)
		run_device.registers[i] = (uint8_t)random_next();
}

/* Linear pages 0 to 16: data, device, or not there; some are read-only. The processor has set accessed and dirty bits. */
static void set_up_tables(void)
{
	uint32_t *directory = (uint32_t *)run_memory, *table = (uint32_t *)(run_memory + PAGE);

	memset(run_memory, 0, 2 * PAGE);
	directory[0] = (uint32_t)(ARENA + PAGE) | 0x67;
	for (unsigned int i = 0; i < 17; i++) {
		uint32_t to = (uint32_t)(random_next() % 3 ? ARENA + (2 + random_next() % (RUN_PAGES - 2)) * PAGE
							   : RUN_DEVICE + random_next() % 2 * PAGE);

		table[i] = to | (random_next() % 8 ? 0x67 : random_next() % 2 ? 0x65 : 0);
	}
	ctx.sregs.cr0 |= PG | 1ull << 16;
	ctx.sregs.cr3 = ARENA;
	ctx.sregs.efer = 0;
}

/* Near the ends of pages, segments and the device. */
static uint64_t run_offset(bool paged)
{
	uint64_t near = random_next() % 3 ? random_next() % PAGE : PAGE - random_next() % 64;

	if (paged)
		return random_next() % 16 * PAGE + near;
	return random_next() % 2 ? RUN_DEVICE + random_next() % 2 * PAGE + near
				 : ARENA + (2 + random_next() % (RUN_PAGES - 2)) * PAGE + near;
}

static void random_run(bool paged, bool io, uint8_t *code)
{
	static const uint8_t sizes[] = { 1, 2, 4, 8 };

	set_up_runs();
	ctx.sregs.seg[KEEL_SEG_CS].attributes = CODE32;
	if (!paged && random_next() % 2)
		ctx.sregs.seg[KEEL_SEG_CS].attributes = CODE64;
	if (paged)
		set_up_tables();
	if (random_next() % 4 == 0)
		ctx.sregs.seg[random_next() % 2 ? KEEL_SEG_ES : KEEL_SEG_DS].limit = (uint32_t)run_offset(paged);
	if (random_next() % 4 == 0)
		ctx.sregs.seg[KEEL_SEG_ES].base = ctx.sregs.seg[KEEL_SEG_DS].base = random_next() % PAGE;
	ctx.regs.gpr[KEEL_RSI] = run_offset(paged);
	ctx.regs.gpr[KEEL_RDI] = run_offset(paged);
	if (random_next() % 2) {
		ctx.regs.gpr[KEEL_RSI] &= ~7ull;
		ctx.regs.gpr[KEEL_RDI] &= ~7ull;
	}
	ctx.regs.gpr[KEEL_RCX] = random_next() % RUN_ELEMENTS;
	ctx.regs.gpr[KEEL_RAX] = random_next();
	if (random_next() % 8 == 0)
		ctx.regs.rflags |= DF;
	ctx.exit.next_rip = ctx.regs.rip + 3;
	ctx.exit.port = 0x1f0;
	ctx.exit.size = sizes[random_next() % 3];
	ctx.exit.address_size = random_next() % 8 ? 4 : 2;
	ctx.exit.segment = KEEL_SEG_DS;
	ctx.exit.io = (uint8_t)(KEEL_IO_STRING | KEEL_IO_REP | (random_next() % 2 ? KEEL_IO_IN : 0));
	memset(code, 0x90, 3);
	if (!io) {
		code[0] = random_next() % 4 ? 0x90 : 0x66;
		code[1] = 0xf3;
		code[2] = (uint8_t)((random_next() % 2 ? 0xa4 : 0xaa) | random_next() % 2);
		if (ctx.sregs.seg[KEEL_SEG_CS].attributes == CODE64 && code[0] == 0x90)
			code[0] = 0xf3;
	}
}

static enum emulate_result go_on(bool io, const uint8_t *code, unsigned int most)
{
	if (io)
		return emulate_string_io(&ctx, &mem, &bus, most, &fault);
	ctx.exit.insn_length = code[0] == 0x90 ? 2 : 3;
	memcpy(ctx.exit.insn, code + 3 - ctx.exit.insn_length, ctx.exit.insn_length);
	return emulate_mmio(&ctx, &mem, &bus, &known, most, &fault);
}

/* Up to the end, a fault, or as many elements as there may be. */
static enum emulate_result go_through(bool io, const uint8_t *code, unsigned int most)
{
	uint64_t rip = ctx.regs.rip;
	enum emulate_result result = EMULATE_DONE;

	for (unsigned int i = 0; result == EMULATE_DONE && ctx.regs.rip == rip && i <= RUN_ELEMENTS; i++)
		result = go_on(io, code, most);
	return result;
}

static void compare_run(bool paged, bool io)
{
	static uint8_t start[sizeof(run_memory)], end[sizeof(run_memory)];
	struct keel_context before, after;
	struct run_device device_before, device_after;
	struct emulate_fault fault_after;
	enum emulate_result result;
	uint8_t code[3];

	random_run(paged, io, code);
	before = ctx;
	device_before = run_device;
	memcpy(start, run_memory, sizeof(start));
	result = go_through(io, code, 1 + (unsigned int)(random_next() % RUN_ELEMENTS));
	after = ctx;
	fault_after = fault;
	device_after = run_device;
	memcpy(end, run_memory, sizeof(end));

	ctx = before;
	run_device = device_before;
	memcpy(run_memory, start, sizeof(start));
	ck_assert_int_eq(go_through(io, code, 1), result);
	ck_assert_mem_eq(&ctx.regs, &after.regs, sizeof(ctx.regs));
	ck_assert_mem_eq(run_memory, end, sizeof(end));
	ck_assert_uint_eq(run_device.hash, device_after.hash);
	ck_assert_mem_eq(run_device.registers, device_after.registers, sizeof(run_device.registers));
	if (result == EMULATE_EXCEPTION) {
		ck_assert_uint_eq(fault.vector, fault_after.vector);
		ck_assert_uint_eq(fault.error_code, fault_after.error_code);
		ck_assert_uint_eq(fault.cr2, fault_after.cr2);
	}
}

START_TEST(runs_are_the_elements)
{
	random_state += (uint64_t)_i * 0x9e3779b97f4a7c15ull;
	for (unsigned int i = 0; i < RUN_CASES; i++)
		compare_run(_i & 1, _i & 2);
}
END_TEST

/* The device is called once for what is in a page. */
START_TEST(a_page_is_one_call)
{
	static const uint8_t stosb[] = { 0xf3, 0xaa };

	set_up_runs();
	run_device.most = RUN_ELEMENTS;
	ctx.regs.gpr[KEEL_RDI] = RUN_DEVICE + PAGE - 1000;
	ctx.regs.gpr[KEEL_RCX] = 1200;
	ctx.regs.gpr[KEEL_RAX] = 0x5a;
	memcpy(ctx.exit.insn, stosb, sizeof(stosb));
	ctx.exit.insn_length = sizeof(stosb);
	ck_assert_int_eq(emulate_mmio(&ctx, &mem, &bus, &known, RUN_ELEMENTS, &fault), EMULATE_DONE);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RCX], 0);
	ck_assert_uint_eq(ctx.regs.gpr[KEEL_RDI], RUN_DEVICE + PAGE + 200);
	ck_assert_uint_eq(run_device.calls, 2);

	set_up_runs();
	run_device.most = RUN_ELEMENTS;
	ctx.regs.gpr[KEEL_RDI] = ARENA + 3 * PAGE - 512;
	ctx.regs.gpr[KEEL_RCX] = 512;
	ctx.exit.port = 0x1f0;
	ctx.exit.size = 2;
	ctx.exit.address_size = 8;
	ctx.exit.io = KEEL_IO_STRING | KEEL_IO_REP | KEEL_IO_IN;
	ctx.exit.next_rip = 0x1234;
	ck_assert_int_eq(emulate_string_io(&ctx, &mem, &bus, RUN_ELEMENTS, &fault), EMULATE_DONE);
	ck_assert_uint_eq(ctx.regs.rip, 0x1234);
	ck_assert_uint_eq(run_device.calls, 2);
	ck_assert_uint_eq(run_device.count, 512);
}
END_TEST

SUITE("emulate", tests)
{
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, mmio_move);
	tcase_add_test(tests, mmio_move_where_the_processor_went);
	tcase_add_test(tests, mmio_move_where_it_did_not_go);
	tcase_add_test(tests, mmio_is_split_naturally);
	tcase_add_test(tests, mmio_modified_once);
	tcase_add_test(tests, locked_memory_is_atomic);
	tcase_add_test(tests, stack_and_selectors);
	tcase_add_test(tests, rom_reads_and_writes_to_the_bus);
	tcase_add_test(tests, rip_relative_and_fs);
	tcase_add_test(tests, string_stops_at_most);
	tcase_add_test(tests, not_canonical);
	tcase_add_test(tests, segment_limits);
	tcase_add_test(tests, real_mode);
	tcase_add_test(tests, page_boundary);
	tcase_add_test(tests, string_keeps_what_is_done);
	tcase_add_test(tests, fetched_over_a_page_boundary);
	tcase_add_test(tests, cr8_write_forms);
	tcase_add_test(tests, cr8_write_refused);
	tcase_add_test(tests, cr8_write_values);
	tcase_add_test(tests, cr8_write_over_a_page_boundary);
	tcase_add_test(tests, divisions);
	tcase_add_test(tests, sixteen_bytes);
	tcase_add_test(tests, system_registers);
	tcase_add_test(tests, unknown);
	tcase_add_test(tests, disk_sector_in);
	tcase_add_test(tests, string_out);
	tcase_add_test(tests, string_io_asks_the_instruction);
	tcase_add_test(tests, string_io_faults_before_the_port);
	tcase_add_test(tests, a_page_is_one_call);
	tcase_add_loop_test(tests, runs_are_the_elements, 0, 4);
}
