/* SPDX-License-Identifier: GPL-2.0 */
/* The control domain's stores to its local APIC: every encoding against Zydis, and the fetch through its page tables. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include <keel/macros.h>

#include "control_decode.h"
#include "cpu.h"
#include "hv.h"
#include "memory.h"
#include "own.h"
#include "suite.h"

#define LONGEST		15u
#define OP_MOV_REG	0x89u
#define OP_MOV_IMM	0xc7u
#define RANDOM_ROUNDS	300000u

#define ARENA_PAGES	64u
#define PTE_TABLE	0x67ull		/* present, writable, user, accessed, dirty */
#define PTE_LARGE	0x80ull
#define PTE_NX		(1ull << 63)
#define CR3_PCID	0x123ull
#define CR3_NO_FLUSH	(1ull << 63)

uint8_t *memory_test_arena;
const struct hv_ops *hv;

static ZydisDecoder oracle;
static struct keel_regs regs;
static struct hv_control_state control;
static bool foreign[ARENA_PAGES];	/* not the control domain's */
static bool is_shared[ARENA_PAGES];

struct own_frame own_query(uint64_t hpa)
{
	uint64_t page = hpa / PAGE_SIZE;
	struct own_frame frame = { .state = OWN_NONE };

	if (page < ARENA_PAGES) {
		frame.state = foreign[page] ? OWN_RAM : is_shared[page] ? OWN_SHARED : OWN_MAPPED;
		frame.owner = foreign[page] || is_shared[page] ? 1 : OWN_CONTROL;
	}
	return frame;
}

static void get(struct cpu *cpu, struct hv_control_state *state)
{
	(void)cpu;
	*state = control;
}

static const struct hv_ops ops = { .control.get = get };

static void setup(void)
{
	ck_assert(ZYAN_SUCCESS(ZydisDecoderInit(&oracle, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)));
	for (unsigned int i = 0; i < 16; i++)
		regs.gpr[i] = 0x1111111111111111ull * i + 0xfedcba9800000000ull;
	hv = &ops;
}

/* The length and value of a plain 32-bit MOV to memory, as the oracle sees it; 0: it is something else. */
static unsigned int expected(const uint8_t *bytes, unsigned int count, uint32_t *value)
{
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&oracle, bytes, count, &insn, operand)) ||
	    insn.mnemonic != ZYDIS_MNEMONIC_MOV || (insn.opcode != OP_MOV_REG && insn.opcode != OP_MOV_IMM) ||
	    insn.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT || operand[0].type != ZYDIS_OPERAND_TYPE_MEMORY ||
	    operand[0].size != 32 || insn.raw.prefix_count != (insn.attributes & ZYDIS_ATTRIB_HAS_REX ? 1 : 0))
		return 0;
	if (operand[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		*value = (uint32_t)operand[1].imm.value.u;
	else
		*value = (uint32_t)regs.gpr[ZydisRegisterGetId(operand[1].reg.value)];
	return insn.length;
}

static bool agrees(const uint8_t *bytes, unsigned int count)
{
	struct control_store store = { 0 };
	uint8_t exact[LONGEST];
	uint32_t value = 0;
	unsigned int length = expected(bytes, count, &value);
	bool decoded;

	/* A copy of its own: the sanitizer sees a read behind it. */
	memcpy(exact + LONGEST - count, bytes, count);
	decoded = control_decode_bytes(exact + LONGEST - count, count, &regs, &store);
	if (decoded != (length != 0))
		return false;
	return !decoded || (store.next_rip == length && store.value == value);
}

static bool agrees_cut(const uint8_t *bytes, unsigned int length)
{
	bool good = true;

	for (unsigned int count = 0; count <= length; count++) {
		struct control_store store;
		uint8_t *exact = malloc(count ? count : 1);

		memcpy(exact, bytes, count);
		good &= control_decode_bytes(exact, count, &regs, &store) == (count == length);
		free(exact);
	}
	return good;
}

static void encode(uint8_t *bytes, unsigned int rex, unsigned int op, unsigned int modrm, unsigned int sib)
{
	unsigned int at = 0;

	if (rex)
		bytes[at++] = (uint8_t)rex;
	bytes[at++] = (uint8_t)op;
	bytes[at++] = (uint8_t)modrm;
	bytes[at++] = (uint8_t)sib;
	for (; at < LONGEST; at++)
		bytes[at] = (uint8_t)(0x21 * at + 7);
}

/* All ModRM, all SIB where there is one, with each REX prefix and without. */
START_TEST(every_operand)
{
	unsigned int rex = _i ? 0x3fu + (unsigned int)_i : 0, wrong = 0, decoded = 0;
	uint8_t bytes[LONGEST];
	uint32_t value;

	for (unsigned int op = OP_MOV_REG; op <= OP_MOV_IMM; op += OP_MOV_IMM - OP_MOV_REG)
		for (unsigned int modrm = 0; modrm < 256; modrm++)
			for (unsigned int sib = 0; sib < ((modrm & 7) == 4 ? 256 : 2); sib++) {
				encode(bytes, rex, op, modrm, sib);
				wrong += !agrees(bytes, LONGEST);
				decoded += expected(bytes, LONGEST, &value) != 0;
			}
	ck_assert_uint_eq(wrong, 0);
	/* REX.W makes the store one of 64 bits. */
	ck_assert_int_eq(decoded != 0, !(rex & 8));
}
END_TEST

START_TEST(truncated)
{
	static const unsigned int operands[][2] = {
		{ 0x00, 0 }, { 0x05, 0 }, { 0x40, 0 }, { 0x80, 0 }, { 0x04, 0x25 }, { 0x04, 0x20 }, { 0x44, 0x24 },
		{ 0x84, 0x24 }, { 0x38, 0 },
	};
	static const unsigned int prefixes[] = { 0, 0x41, 0x44 };
	uint8_t bytes[LONGEST];
	unsigned int length;
	uint32_t value;

	for (unsigned int i = 0; i < ARRAY_SIZE(operands); i++)
		for (unsigned int p = 0; p < 3; p++)
			for (unsigned int op = OP_MOV_REG; op <= OP_MOV_IMM; op += OP_MOV_IMM - OP_MOV_REG) {
				encode(bytes, prefixes[p], op, operands[i][0], operands[i][1]);
				length = expected(bytes, LONGEST, &value);
				ck_assert(length != 0 || (op == OP_MOV_IMM && operands[i][0] == 0x38));
				if (length)
					ck_assert(agrees_cut(bytes, length));
			}
}
END_TEST

START_TEST(every_opcode)
{
	struct control_store store;
	uint8_t bytes[LONGEST];

	for (unsigned int op = 0; op < 256; op++) {
		encode(bytes, 0, op, 0x04, 0x25);
		if (op < 0x40 || op > 0x4f)
			ck_assert_int_eq(control_decode_bytes(bytes, LONGEST, &regs, &store),
					 op == OP_MOV_REG || op == OP_MOV_IMM);
		ck_assert(agrees(bytes, LONGEST));
		/* After a prefix that changes what the instruction does. */
		encode(bytes, 0x66, OP_MOV_REG, 0x04, op);
		ck_assert(!control_decode_bytes(bytes, LONGEST, &regs, &store));
	}
}
END_TEST

START_TEST(random_bytes)
{
	uint8_t bytes[LONGEST];
	unsigned int wrong = 0;

	srandom((unsigned int)_i + 1);
	for (unsigned int round = 0; round < RANDOM_ROUNDS; round++) {
		unsigned int count = (unsigned int)random() % (LONGEST + 1);

		for (unsigned int i = 0; i < LONGEST; i++)
			bytes[i] = (uint8_t)random();
		if (round & 1)
			bytes[0] = round & 2 ? OP_MOV_REG : OP_MOV_IMM;
		wrong += !agrees(bytes, count);
	}
	ck_assert_uint_eq(wrong, 0);
}
END_TEST

/* What Linux compiles a write of the local APIC's registers to. */
START_TEST(forms_of_linux)
{
	static const struct {
		uint8_t bytes[LONGEST];
		uint64_t length;
		uint32_t value;
	} forms[] = {
		{ { 0x89, 0x04, 0x25, 0x00, 0xb3, 0x5f, 0xff }, 7, 0x00000000 },	/* mov %eax, fixed address */
		{ { 0x89, 0xb7, 0x00, 0xd0, 0x5f, 0xff }, 6, 0x66666666 },		/* mov %esi, disp32(%rdi) */
		{ { 0x44, 0x89, 0xb8, 0x00, 0xd0, 0x5f, 0xff }, 7, 0xffffffff },	/* mov %r15d, disp32(%rax) */
		{ { 0xc7, 0x04, 0x25, 0xb0, 0xb0, 0x5f, 0xff, 0, 0, 0, 0 }, 11, 0 },	/* movl $0, fixed address */
		{ { 0x41, 0xc7, 0x45, 0x00, 0xf0, 0x01, 0, 0 }, 8, 0x1f0 },		/* movl $0x1f0, 0(%r13) */
		{ { 0x89, 0x0d, 0x10, 0, 0, 0 }, 6, 0x11111111 },			/* mov %ecx, 0x10(%rip) */
	};
	struct control_store store;

	for (unsigned int i = 0; i < ARRAY_SIZE(forms); i++) {
		ck_assert(control_decode_bytes(forms[i].bytes, LONGEST, &regs, &store));
		ck_assert_uint_eq(store.next_rip, forms[i].length);
		ck_assert_uint_eq(store.value, forms[i].value);
	}
}
END_TEST

/* The loads by which Linux reads words of names, and what is none. */
START_TEST(word_loads)
{
	static const struct {
		uint8_t bytes[10];
		unsigned int length;
		bool load;
		uint64_t address;
	} forms[] = {
		{ { 0x48, 0x8b, 0x00 }, 3, true, 0x1000 },			/* (%rax) */
		{ { 0x48, 0x8b, 0x48, 0xf8 }, 4, true, 0xff8 },			/* -8(%rax) */
		{ { 0x49, 0x8b, 0x11 }, 3, true, 0x9000 },			/* (%r9) */
		{ { 0x4c, 0x8b, 0x80, 0x00, 0x01, 0x00, 0x00 }, 7, true, 0x1100 },
		{ { 0x48, 0x8b, 0x0c, 0x18 }, 4, true, 0x5000 },		/* (%rax,%rbx) */
		{ { 0x4a, 0x8b, 0x44, 0x88, 0x10 }, 5, true, 0x1010 + 4 * 0x9000 },	/* 0x10(%rax,%r9,4) */
		{ { 0x48, 0x8b, 0x04, 0x24 }, 4, true, 0x7000 },		/* (%rsp) */
		{ { 0x8b, 0x00 }, 2, false, 0 },				/* 32 bits */
		{ { 0x48, 0x89, 0x00 }, 3, false, 0 },				/* a store */
		{ { 0x48, 0x8b, 0xc0 }, 3, false, 0 },				/* a register */
		{ { 0x48, 0x8b, 0x05, 0, 0, 0, 0 }, 7, false, 0 },		/* relative to RIP */
		{ { 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0 }, 8, false, 0 },	/* absolute */
		{ { 0x48, 0x8b, 0x80, 0x00, 0x01 }, 5, false, 0 },		/* cut short */
	};
	uint64_t address;

	regs.gpr[KEEL_RAX] = 0x1000;
	regs.gpr[KEEL_RBX] = 0x4000;
	regs.gpr[KEEL_RSP] = 0x7000;
	regs.gpr[KEEL_R9] = 0x9000;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		ck_assert_msg(control_decode_load_bytes(forms[i].bytes, forms[i].length, &regs, &address) == forms[i].load,
			      "form %zu", i);
		if (forms[i].load)
			ck_assert_uint_eq(address, forms[i].address);
	}
}
END_TEST

/* Page tables of the control domain: the table of level i is page i, the instruction's pages are 10 and 20. */

#define RIP_PAGE	10u
#define NEXT_PAGE	20u
#define TOP		5u

static uint64_t *table(unsigned int page)
{
	return (uint64_t *)(void *)(memory_test_arena + page * PAGE_SIZE);
}

static unsigned int slot(uint64_t va, unsigned int level)
{
	return va >> (PAGE_SHIFT + 9 * (level - 1)) & 511;
}

static void map(uint64_t va, uint64_t page)
{
	for (unsigned int level = TOP; level > 1; level--)
		table(level)[slot(va, level)] = (level - 1) * PAGE_SIZE | PTE_TABLE;
	table(1)[slot(va, 1)] = page * PAGE_SIZE | PTE_TABLE;
}

static const uint8_t store_insn[] = { 0xc7, 0x04, 0x25, 0x00, 0xb3, 0x5f, 0xff, 0x78, 0x56, 0x34, 0x12 };

static void put_code(uint64_t rip)
{
	for (unsigned int i = 0; i < sizeof(store_insn); i++) {
		uint64_t offset = (rip & (PAGE_SIZE - 1)) + i;

		memory_test_arena[(offset < PAGE_SIZE ? RIP_PAGE : NEXT_PAGE) * PAGE_SIZE + offset % PAGE_SIZE] =
			store_insn[i];
	}
}

static void begin(struct cpu *cpu, uint64_t rip, bool la57)
{
	memset(memory_test_arena, 0, ARENA_PAGES * PAGE_SIZE);
	memset(foreign, 0, sizeof(foreign));
	memset(is_shared, 0, sizeof(is_shared));
	memset(cpu, 0, sizeof(*cpu));
	control = (struct hv_control_state){
		.cr3 = (la57 ? TOP : TOP - 1) * PAGE_SIZE | CR3_PCID,
		.cr4 = la57 ? CR4_LA57 : 0, .efer = EFER_LMA | EFER_LME,
	};
	map(rip & ~(PAGE_SIZE - 1), RIP_PAGE);
	map((rip & ~(PAGE_SIZE - 1)) + PAGE_SIZE, NEXT_PAGE);
	put_code(rip);
	cpu->control.rip = rip;
}

static void arena_setup(void)
{
	setup();
	memory_test_arena = aligned_alloc(PAGE_SIZE, ARENA_PAGES * PAGE_SIZE);
}

static void arena_teardown(void)
{
	free(memory_test_arena);
}

static bool stores(struct cpu *cpu)
{
	struct control_store store = { 0 };

	if (!control_decode_store(cpu, &store))
		return false;
	ck_assert_uint_eq(store.value, 0x12345678);
	ck_assert_uint_eq(store.next_rip, cpu->control.rip + sizeof(store_insn));
	return true;
}

START_TEST(fetch_over_pages)
{
	static struct cpu cpu;
	uint64_t page = 0xffffffff81000000ull;

	for (unsigned int la57 = 0; la57 < 2; la57++)
		for (uint64_t offset = PAGE_SIZE - 20; offset <= PAGE_SIZE; offset++) {
			begin(&cpu, page + offset % PAGE_SIZE, la57);
			ck_assert(stores(&cpu));
		}
	begin(&cpu, page, false);
	control.cr3 |= CR3_NO_FLUSH;
	ck_assert(stores(&cpu));
}
END_TEST

START_TEST(fetch_large_pages)
{
	static struct cpu cpu;
	uint64_t rip = 0xffff888000000000ull + RIP_PAGE * PAGE_SIZE + 0x20;

	/* The physical pages are found at the same offset in the large page. */
	begin(&cpu, rip, false);
	table(2)[slot(rip, 2)] = PTE_TABLE | PTE_LARGE | PTE_NX;
	ck_assert(stores(&cpu));
	begin(&cpu, rip, false);
	table(3)[slot(rip, 3)] = PTE_TABLE | PTE_LARGE;
	ck_assert(stores(&cpu));
}
END_TEST

/* Nothing but the control domain's own memory is looked at, whatever its page tables say. */
START_TEST(fetch_refused)
{
	static struct cpu cpu;
	uint64_t page = 0xffffffff81000000ull, rip = page + PAGE_SIZE - 4;

	for (unsigned int level = 1; level <= TOP; level++) {
		begin(&cpu, page, true);
		foreign[level] = true;
		ck_assert(!stores(&cpu));
		begin(&cpu, page, true);
		is_shared[level] = true;
		ck_assert(!stores(&cpu));
		begin(&cpu, page, true);
		table(level)[slot(page, level)] &= ~1ull;
		ck_assert(!stores(&cpu));
		begin(&cpu, page, true);
		table(level)[slot(page, level)] = 0x000ffffffffff000ull | PTE_TABLE;
		ck_assert(!stores(&cpu));
	}
	begin(&cpu, page, false);
	foreign[RIP_PAGE] = true;
	ck_assert(!stores(&cpu));
	begin(&cpu, rip, false);
	foreign[NEXT_PAGE] = true;
	ck_assert(!stores(&cpu));
	begin(&cpu, rip, false);
	table(1)[slot(page + PAGE_SIZE, 1)] = 0;
	ck_assert(!stores(&cpu));
	begin(&cpu, page, false);
	control.efer = 0;
	ck_assert(!stores(&cpu));
}
END_TEST

SUITE_OF_CASES("control_decode", suite)
{
	TCase *bytes = add_case(suite, "bytes"), *fetch = add_case(suite, "fetch");

	tcase_add_checked_fixture(bytes, setup, NULL);
	tcase_set_timeout(bytes, 30);
	tcase_add_loop_test(bytes, every_operand, 0, 17);
	tcase_add_test(bytes, truncated);
	tcase_add_test(bytes, every_opcode);
	tcase_add_loop_test(bytes, random_bytes, 0, 1);
	tcase_add_test(bytes, forms_of_linux);
	tcase_add_test(bytes, word_loads);
	tcase_add_checked_fixture(fetch, arena_setup, arena_teardown);
	tcase_add_test(fetch, fetch_over_pages);
	tcase_add_test(fetch, fetch_large_pages);
	tcase_add_test(fetch, fetch_refused);
}
