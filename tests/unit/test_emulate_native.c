/* SPDX-License-Identifier: GPL-2.0 */
/* The emulator: random instructions against the processor this runs on. */
#include <check.h>
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <keel/macros.h>

#include "vcpu/decode.h"
#include "emulate_rig.h"

#define NATIVE_ROUNDS	150000
/* How often the processor is asked for an instruction that it refuses. */
#define NATIVE_PATIENCE	8

/*
 * Native execution: loads all registers and flags, runs the instruction in the code page, which jumps back, and
 * stores them again. Slots are globals because no register is free.
 */
struct native {
	uint64_t gpr[16], rflags;
};

void native_run(struct native *n, const void *code);
extern const uint8_t native_back[];

asm(
"	.bss\n"
"	.balign 8\n"
"native_stack: .skip 8\n"
"native_image: .skip 8\n"
"native_code: .skip 8\n"
"native_rax: .skip 8\n"
"native_rsp: .skip 8\n"
"	.text\n"
"	.globl native_run, native_back\n"
"native_run:\n"
"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
"	mov %rsp, native_stack(%rip)\n"
"	mov %rdi, native_image(%rip)\n"
"	mov %rsi, native_code(%rip)\n"
"	push 128(%rdi)\n"
"	popfq\n"
"	mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
"	mov 32(%rdi), %rsp; mov 40(%rdi), %rbp; mov 48(%rdi), %rsi\n"
"	mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n"
"	mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
"	mov 56(%rdi), %rdi\n"
"	jmp *native_code(%rip)\n"
"native_back:\n"
"	mov %rax, native_rax(%rip)\n"
"	mov %rsp, native_rsp(%rip)\n"
"	mov native_stack(%rip), %rsp\n"
"	mov native_image(%rip), %rax\n"
"	pushfq\n"
"	pop 128(%rax)\n"
"	cld\n"
"	mov %rcx, 8(%rax); mov %rdx, 16(%rax); mov %rbx, 24(%rax); mov %rbp, 40(%rax)\n"
"	mov %rsi, 48(%rax); mov %rdi, 56(%rax); mov %r8, 64(%rax); mov %r9, 72(%rax)\n"
"	mov %r10, 80(%rax); mov %r11, 88(%rax); mov %r12, 96(%rax); mov %r13, 104(%rax)\n"
"	mov %r14, 112(%rax); mov %r15, 120(%rax)\n"
"	mov native_rax(%rip), %rcx\n"
"	mov %rcx, 0(%rax)\n"
"	mov native_rsp(%rip), %rcx\n"
"	mov %rcx, 32(%rax)\n"
"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
"	ret\n");

static uint8_t *arena, *code_page;

/*
 * The processor may be virtual, and what is below it emulates an instruction that writes to a page which lately held
 * page tables; one that it does not know it refuses with #UD, and lets the page go. So it is asked again, with all
 * registers as they were. RSP is no stack here: the handler has its own.
 */
static volatile sig_atomic_t refused;

static void on_refusal(int signal)
{
	static const char digits[] = "0123456789abcdef";
	char text[] = "refused by the processor:                               \n";

	if (++refused <= NATIVE_PATIENCE)
		return;
	for (unsigned int i = 0; i < DECODE_LONGEST; i++) {
		text[25 + 2 * i] = digits[code_page[i] >> 4];
		text[26 + 2 * i] = digits[code_page[i] & 15];
	}
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(signal);
}

static void expect_refusals(void)
{
	static char stack[64 * 1024];
	struct sigaction action = { .sa_handler = on_refusal, .sa_flags = SA_ONSTACK };

	ck_assert_int_eq(sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof(stack) }, NULL), 0);
	ck_assert_int_eq(sigaction(SIGILL, &action, NULL), 0);
}

static void map_native(void)
{
	arena = mmap((void *)ARENA, ARENA_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ck_assert_ptr_eq(arena, (void *)ARENA);
	code_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(code_page, MAP_FAILED);
}

static void run_native(struct native *n, const uint8_t *bytes, unsigned int length)
{
	static const uint8_t jump[] = { 0xff, 0x25, 0, 0, 0, 0 };	/* jmp *0(%rip) */
	const void *back = native_back;

	memcpy(code_page, bytes, length);
	memcpy(code_page + length, jump, sizeof(jump));
	memcpy(code_page + length + sizeof(jump), &back, sizeof(back));
	refused = 0;
	native_run(n, code_page);
}

static const uint16_t native_opcodes[] = {
	0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x18, 0x19, 0x1a, 0x1b,
	0x20, 0x21, 0x22, 0x23, 0x28, 0x29, 0x2a, 0x2b, 0x30, 0x31, 0x32, 0x33, 0x38, 0x39, 0x3a, 0x3b,
	0x63, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff,
	0x1a3, 0x1ab, 0x1b3, 0x1bb, 0x1ba, 0x1b0, 0x1b1, 0x1b6, 0x1b7, 0x1be, 0x1bf, 0x1c0, 0x1c1, 0x1c3, 0x1c7,
	0x2f0, 0x2f1, 0x8f, 0xc0, 0xc1, 0xd0, 0xd1, 0xd2, 0xd3,
	0x140, 0x141, 0x142, 0x143, 0x144, 0x145, 0x146, 0x147, 0x148, 0x149, 0x14a, 0x14b, 0x14c, 0x14d, 0x14e, 0x14f,
	0x190, 0x191, 0x192, 0x193, 0x194, 0x195, 0x196, 0x197, 0x198, 0x199, 0x19a, 0x19b, 0x19c, 0x19d, 0x19e, 0x19f,
	0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
	0x69, 0x6b, 0x1a4, 0x1a5, 0x1ac, 0x1ad, 0x1af, 0x1b8, 0x1bc, 0x1bd,
};

#define NATIVE_OPCODES ARRAY_SIZE(native_opcodes)

static void compose(uint8_t *bytes, uint16_t opcode)
{
	uint64_t dice = random_next(), tail[2] = { random_next(), random_next() };
	unsigned int at = 0;

	if ((dice & 7) == 0)
		bytes[at++] = 0x66;
	if ((dice >> 3 & 7) == 0)
		bytes[at++] = 0x67;
	if ((dice >> 6 & 7) == 0)
		bytes[at++] = 0xf0;
	if ((dice >> 9 & 3) == 0 || opcode == 0xa6)
		bytes[at++] = dice >> 11 & 1 ? 0xf2 : 0xf3;
	if (dice >> 12 & 1)
		bytes[at++] = 0x40 | (dice >> 13 & 15);
	if (opcode >= 0x100)
		bytes[at++] = 0x0f;
	if (opcode >= 0x200)
		bytes[at++] = 0x38;
	bytes[at++] = opcode;
	memcpy(bytes + at, tail, DECODE_LONGEST - at);
}

static bool is_bit(unsigned int op)
{
	return op >= INSN_BT && op <= INSN_BTC;
}

/* Points the operands of the instruction into the arena. False: this one cannot be. */
static bool aim(const struct insn *insn, uint64_t *gpr)
{
	uint64_t middle = ARENA + PAGE + random_next() % PAGE, index = 0;

	if (insn->op == INSN_CMPXCHG16B)
		middle &= ~15ull;
	/* Quotients that fit are rare. */
	if ((insn->op == INSN_DIV || insn->op == INSN_IDIV) && insn->base != KEEL_RDX && insn->index != KEEL_RDX)
		gpr[KEEL_RDX] = random_next() & 1 ? gpr[KEEL_RDX] >> random_next() % 64 : -(random_next() & 1);
	if (insn->form == INSN_STRING) {
		gpr[KEEL_RSI] = middle;
		gpr[KEEL_RDI] = ARENA + PAGE + random_next() % PAGE;
		gpr[KEEL_RCX] = random_next() % 20 + 1;
		if (random_next() & 1)
			gpr[KEEL_RDI] = gpr[KEEL_RSI];
		return true;
	}
	if (insn->base == INSN_NO_REGISTER || insn->base == INSN_RIP || insn->base == insn->index)
		return false;
	if (insn->op == INSN_PUSH || insn->op == INSN_POP) {
		if (insn->base == KEEL_RSP)
			return false;
		gpr[KEEL_RSP] = ARENA + PAGE + random_next() % PAGE;
	}
	if (is_bit(insn->op) && insn->form == INSN_MR) {
		if (insn->reg == insn->base || insn->reg == insn->index)
			return false;
		gpr[insn->reg] = (uint64_t)(int64_t)((int)(random_next() % 8192) - 4096);
	}
	if (insn->index != INSN_NO_REGISTER)
		index = gpr[insn->index] << insn->scale;
	gpr[insn->base] = middle - index - (uint64_t)insn->displacement;
	return true;
}

/* Half of the compared values are equal, or nearly. */
static void make_equal(const struct insn *insn, uint64_t *gpr)
{
	if ((insn->op != INSN_CMPXCHG && insn->op != INSN_CMPXCHG8B && insn->op != INSN_CMPXCHG16B) ||
	    !(random_next() & 1))
		return;
	if (insn->base == KEEL_RAX || insn->index == KEEL_RAX || insn->base == KEEL_RDX || insn->index == KEEL_RDX)
		return;
	/* All of the arena is one byte value then. */
	memset(arena, (int)random_next(), ARENA_BYTES);
	memcpy(&gpr[KEEL_RAX], arena, 8);
	memcpy(&gpr[KEEL_RDX], arena, 8);
}

/* count: of a shift. */
static uint64_t defined_flags(const struct insn *insn, unsigned int count)
{
	uint64_t flags = ARITHMETIC;

	if (insn->op >= INSN_ROL && insn->op <= INSN_SAR) {
		count &= insn->size == 8 ? 63 : 31;
		if (count > 1)
			flags &= ~OF;
		if (count > 0 && insn->op >= INSN_SHL)
			flags &= ~AF;
		if (count >= 8u * insn->size && (insn->op == INSN_SHL || insn->op == INSN_SHR))
			flags &= ~CF;
		return flags;
	}
	if (insn->op >= INSN_SHLD && insn->op <= INSN_SHRD_CL) {
		count &= insn->size == 8 ? 63 : 31;
		if (count == 0)
			return ARITHMETIC;
		return count == 1 ? ARITHMETIC & ~AF : ARITHMETIC & ~(AF | OF);
	}
	switch (insn->op) {
	case INSN_MUL: case INSN_IMUL: case INSN_IMUL_REGISTER: case INSN_IMUL_IMMEDIATE:
		return CF | OF;
	case INSN_DIV: case INSN_IDIV:
		return 0;
	case INSN_BSF: case INSN_BSR:
		return ZF;
	case INSN_TZCNT: case INSN_LZCNT:
		return CF | ZF;
	case INSN_BT: case INSN_BTS: case INSN_BTR: case INSN_BTC:
		return ARITHMETIC & ~(OF | SF | AF | PF);
	case INSN_AND: case INSN_OR: case INSN_XOR: case INSN_TEST:
		return ARITHMETIC & ~AF;
	default:
		return ARITHMETIC;
	}
}

static void compare_with_native(const struct insn *insn, const struct native *n, unsigned int count)
{
	const uint8_t *b = ctx.exit.insn;
	uint64_t flags = defined_flags(insn, count);

	for (unsigned int i = 0; i < 16; i++) {
		if (ctx.regs.gpr[i] != n->gpr[i])
			ck_abort_msg("%02x %02x %02x %02x %02x %02x: gpr %u is %llx, native %llx", b[0], b[1], b[2], b[3],
				     b[4], b[5], i, (unsigned long long)ctx.regs.gpr[i], (unsigned long long)n->gpr[i]);
	}
	if ((ctx.regs.rflags ^ n->rflags) & flags)
		ck_abort_msg("%02x %02x %02x %02x %02x %02x: flags %llx, native %llx", b[0], b[1], b[2], b[3], b[4], b[5],
			     (unsigned long long)(ctx.regs.rflags & flags), (unsigned long long)(n->rflags & flags));
	if (memcmp(arena, backing, ARENA_BYTES))
		ck_abort_msg("%02x %02x %02x %02x %02x %02x: memory differs", b[0], b[1], b[2], b[3], b[4], b[5]);
	if (ctx.regs.rip != 0x1000u + insn->length)
		ck_abort_msg("rip %llx after %u bytes", (unsigned long long)ctx.regs.rip, insn->length);
}

static bool has_movbe(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_MOVBE);
}

static bool has_lzcnt(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_ABM);
}

/* Whether an interrupt can return to a stack there: on a virtual processor it was seen to fault. */
static bool is_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* Results that the manuals leave open, and instructions that this processor may lack. */
static bool is_open(const struct insn *insn, unsigned int count)
{
	switch (insn->op) {
	case INSN_SHLD: case INSN_SHRD:
		count = insn->immediate;
		/* fall through */
	case INSN_SHLD_CL: case INSN_SHRD_CL:
		return insn->size == 2 && (count & 31) > 16;
	case INSN_LZCNT:
		return !has_lzcnt();
	case INSN_TZCNT:
		return !__builtin_cpu_supports("bmi");
	default:
		return false;
	}
}

static bool try_native(uint16_t opcode)
{
	uint8_t bytes[DECODE_LONGEST];
	enum emulate_result result;
	unsigned int count;
	struct insn insn;
	struct native n;
	bool immediate;

	compose(bytes, opcode);
	if (decode_insn(&insn, DECODE_64, bytes, sizeof(bytes)) != DECODE_OK || insn.segment >= KEEL_SEG_FS)
		return false;
	/* The processors disagree on this one, see the decoder's test. */
	if (opcode == 0x63 && insn.reg_size == 2)
		return false;
	for (unsigned int i = 0; i < 16; i++)
		n.gpr[i] = random_next() & 1 ? random_next() : random_next() % 3 - 1;
	n.gpr[KEEL_RSP] = (uint64_t)((int64_t)(n.gpr[KEEL_RSP] << 16) >> 16);
	if (!aim(&insn, n.gpr) || !is_canonical(n.gpr[KEEL_RSP]))
		return false;
	make_equal(&insn, n.gpr);
	n.rflags = FIXED | (random_next() & (ARITHMETIC | (insn.form == INSN_STRING ? DF : 0)));
	count = n.gpr[KEEL_RCX] & 0xff;
	memcpy(backing, arena, ARENA_BYTES);
	memcpy(ctx.regs.gpr, n.gpr, sizeof(n.gpr));
	ctx.regs.rflags = n.rflags;
	ctx.regs.rip = 0x1000;
	if (is_open(&insn, count))
		return false;
	result = emulate(bytes, insn.length);
	/* Where it does not divide, the processor must not be asked. */
	if (result == EMULATE_EXCEPTION && fault.vector == 0 && (insn.op == INSN_DIV || insn.op == INSN_IDIV))
		return false;
	if (result != EMULATE_DONE)
		ck_abort_msg("opcode %x is not emulated, vector %u", opcode, fault.vector);
	if (!is_canonical(ctx.regs.gpr[KEEL_RSP]))
		return false;
	run_native(&n, bytes, insn.length);
	/* Of zero there is no first bit: the register is left open. */
	if ((insn.op == INSN_BSF || insn.op == INSN_BSR) && n.rflags & ZF)
		n.gpr[insn.reg] = ctx.regs.gpr[insn.reg];
	immediate = insn.form == INSN_MI || insn.op == INSN_SHLD || insn.op == INSN_SHRD;
	compare_with_native(&insn, &n, immediate ? insn.immediate : count);
	return true;
}

START_TEST(as_the_processor)
{
	unsigned int tried[NATIVE_OPCODES] = { 0 };
	bool movbe = has_movbe();

	map_native();
	expect_refusals();
	for (unsigned int i = 0; i < ARENA_BYTES; i++)
		arena[i] = random_next() & 1 ? random_next() : random_next() % 3 - 1;
	for (unsigned int i = 0; i < NATIVE_ROUNDS; i++) {
		unsigned int which = i % NATIVE_OPCODES;

		if (native_opcodes[which] >= 0x200 && !movbe)
			continue;
		if (i % 500 == 0)
			for (unsigned int k = 0; k < ARENA_BYTES; k++)
				arena[k] = random_next();
		tried[which] += try_native(native_opcodes[which]);
	}
	for (unsigned int i = 0; i < NATIVE_OPCODES; i++) {
		if (native_opcodes[i] < 0x200 || movbe)
			ck_assert_msg(tried[i] > 10, "opcode %x: %u tries", native_opcodes[i], tried[i]);
	}
	ck_assert_uint_eq(bus_log.count, 0);
}
END_TEST

SUITE("emulate_native", tests)
{
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, as_the_processor);
}
