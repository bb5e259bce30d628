// SPDX-License-Identifier: GPL-2.0
/* Vector loads and stores: every form that the decoder knows against the processor this runs on, then devices and faults. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <x86/registers.h>

#include "vcpu/decode.h"
#include "vcpu/emulate.h"
#include "suite.h"

#define PAGE		4096u
#define ARENA		0x10000000ull	/* guest-physical, linear, and where the native twin is mapped */
#define ARENA_BYTES	(3 * PAGE)
#define MMIO		0xfee00000ull
#define ROUNDS		40		/* of each encoding */

#define LMA		(1ull << 10)
#define CODE64		0x29b
#define DATA		0x493

struct vectors {
	uint8_t reg[KEEL_VECTORS][KEEL_VECTOR_BYTES];
};

static uint8_t backing[ARENA_BYTES], *arena, *code_page;
static struct gmem mem;
static struct keel_context ctx;
static struct emulate_fault fault;
static uint64_t random_state = 88172645463325252ull;

static struct {
	unsigned int count;
	struct {
		bool write;
		uint64_t gpa, value;
		unsigned int bytes;
	} access[8];
} bus_log;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void note(bool write, uint64_t gpa, unsigned int bytes, uint64_t value)
{
	ck_assert_uint_lt(bus_log.count, 8);
	bus_log.access[bus_log.count].write = write;
	bus_log.access[bus_log.count].gpa = gpa;
	bus_log.access[bus_log.count].bytes = bytes;
	bus_log.access[bus_log.count++].value = value;
}

static uint64_t device_read(void *device, uint64_t gpa, unsigned int bytes)
{
	(void)device;
	note(false, gpa, bytes, 0);
	return 0x0101010101010101ull * bus_log.count;
}

static void device_write(void *device, uint64_t gpa, unsigned int bytes, uint64_t value)
{
	(void)device;
	note(true, gpa, bytes, value);
}

static const struct io_ops device_ops = { .read = device_read, .write = device_write, .widest = 8 };
static struct io_range device = { .bytes = UINT64_MAX, .ops = &device_ops };
static struct bus bus;
static struct emulate_known known;

static void set_up(void)
{
	mem = (struct gmem){
		.base = (uint8_t *)((uintptr_t)backing - ARENA), .count = 1, .range = { { ARENA, ARENA_BYTES, false } },
	};
	memset(&ctx, 0, sizeof(ctx));
	memset(&bus_log, 0, sizeof(bus_log));
	memset(&fault, 0, sizeof(fault));
	bus_init(&bus);
	device.number = 0;
	ck_assert(bus_map(&bus, BUS_MEMORY_SPACE, &device));
	ctx.exit.flags = KEEL_EXIT_F_SREGS | KEEL_EXIT_F_VECTORS;
	ctx.regs.rflags = 2;
	ctx.regs.rip = 0x1000;
	ctx.sregs.cr0 = CR0_PE;
	ctx.sregs.cr4 = CR4_OSFXSR | CR4_OSXSAVE;
	ctx.sregs.efer = LMA;
	for (unsigned int i = KEEL_SEG_ES; i <= KEEL_SEG_GS; i++)
		ctx.sregs.seg[i] = (struct keel_segment_register){ .attributes = DATA, .limit = UINT32_MAX };
	ctx.sregs.seg[KEEL_SEG_CS].attributes = CODE64;
	ctx.vectors.xcr0 = 7;
	for (unsigned int i = 0; i < sizeof(ctx.vectors.reg); i++)
		ctx.vectors.reg[i / KEEL_VECTOR_BYTES][i % KEEL_VECTOR_BYTES] = (uint8_t)random_next();
}

static enum emulate_result emulate(const uint8_t *bytes, unsigned int length)
{
	memcpy(ctx.exit.insn, bytes, length);
	ctx.exit.insn_length = length;
	return emulate_mmio(&ctx, &mem, &bus, &known, 1000, &fault);
}

#define EMULATE(...) emulate((const uint8_t[]) { __VA_ARGS__, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90 },			\
			     sizeof((const uint8_t[]) { __VA_ARGS__ }) + 6)

/* Calls code with the vector registers and RDI as given, and takes the registers again. */
void vector_run(struct vectors *v, const void *code, uint64_t rdi);

asm(
"	.text\n"
"	.globl vector_run\n"
"vector_run:\n"
"	push %rbx\n"
"	mov %rdi, %rbx\n"
"	mov %rdx, %rdi\n"
"	vmovups 0(%rbx), %ymm0\n"
"	vmovups 32(%rbx), %ymm1\n"
"	vmovups 64(%rbx), %ymm2\n"
"	vmovups 96(%rbx), %ymm3\n"
"	vmovups 128(%rbx), %ymm4\n"
"	vmovups 160(%rbx), %ymm5\n"
"	vmovups 192(%rbx), %ymm6\n"
"	vmovups 224(%rbx), %ymm7\n"
"	vmovups 256(%rbx), %ymm8\n"
"	vmovups 288(%rbx), %ymm9\n"
"	vmovups 320(%rbx), %ymm10\n"
"	vmovups 352(%rbx), %ymm11\n"
"	vmovups 384(%rbx), %ymm12\n"
"	vmovups 416(%rbx), %ymm13\n"
"	vmovups 448(%rbx), %ymm14\n"
"	vmovups 480(%rbx), %ymm15\n"
"	call *%rsi\n"
"	vmovups %ymm0, 0(%rbx)\n"
"	vmovups %ymm1, 32(%rbx)\n"
"	vmovups %ymm2, 64(%rbx)\n"
"	vmovups %ymm3, 96(%rbx)\n"
"	vmovups %ymm4, 128(%rbx)\n"
"	vmovups %ymm5, 160(%rbx)\n"
"	vmovups %ymm6, 192(%rbx)\n"
"	vmovups %ymm7, 224(%rbx)\n"
"	vmovups %ymm8, 256(%rbx)\n"
"	vmovups %ymm9, 288(%rbx)\n"
"	vmovups %ymm10, 320(%rbx)\n"
"	vmovups %ymm11, 352(%rbx)\n"
"	vmovups %ymm12, 384(%rbx)\n"
"	vmovups %ymm13, 416(%rbx)\n"
"	vmovups %ymm14, 448(%rbx)\n"
"	vmovups %ymm15, 480(%rbx)\n"
"	vzeroupper\n"
"	pop %rbx\n"
"	ret\n");

static void map_native(void)
{
	arena = mmap((void *)ARENA, ARENA_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ck_assert_ptr_eq(arena, (void *)ARENA);
	code_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(code_page, MAP_FAILED);
}

/* One encoding of map and opcode with [RDI]; bit 0, 1 of variant: prefix, 2: VEX, 3: L, 4: W. */
static void compose(uint8_t *bytes, unsigned int opcode, unsigned int variant)
{
	static const uint8_t prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
	unsigned int at = 0, pp = variant & 3;
	uint64_t dice = random_next();

	memset(bytes, 0, DECODE_LONGEST);
	if (variant & 4) {
		bytes[at++] = 0xc4;
		bytes[at++] = (dice & 0x80) | 0x60 | opcode >> 8;
		bytes[at++] = (variant & 16 ? 0x80 : 0) | (dice & 1 << 9 ? 0x78 : dice >> 13 & 0x78) | (variant & 8 ? 4 : 0) | pp;
	} else {
		if (pp)
			bytes[at++] = prefixes[pp];
		bytes[at++] = 0x40 | (variant & 16 ? 8 : 0) | (dice & 4);
		bytes[at++] = 0x0f;
		if (opcode >= 0x200)
			bytes[at++] = opcode >= 0x300 ? 0x3a : 0x38;
	}
	bytes[at++] = (uint8_t)opcode;
	bytes[at++] = 7 | (dice >> 20 & 0x38);
	bytes[at] = (uint8_t)(dice >> 32);
}

static void compare(const uint8_t *b, const struct insn *insn, const struct vectors *native)
{
	bool loads = insn->form == INSN_RM;

	if (memcmp(native->reg, ctx.vectors.reg, sizeof(native->reg)))
		ck_abort_msg("%02x %02x %02x %02x %02x %02x: a register differs", b[0], b[1], b[2], b[3], b[4], b[5]);
	if (memcmp(arena, backing, ARENA_BYTES))
		ck_abort_msg("%02x %02x %02x %02x %02x %02x: memory differs", b[0], b[1], b[2], b[3], b[4], b[5]);
	if (ctx.vectors.written != (loads ? 1u << insn->reg : 0) ||
	    ctx.vectors.whole != (loads && insn->vex ? 1u << insn->reg : 0))
		ck_abort_msg("%02x %02x %02x %02x %02x %02x: told of %x, %x", b[0], b[1], b[2], b[3], b[4], b[5],
			     ctx.vectors.written, ctx.vectors.whole);
	ck_assert_uint_eq(ctx.regs.rip, 0x1000u + insn->length);
}

static bool try_native(unsigned int opcode, unsigned int variant, unsigned int *tried)
{
	uint8_t bytes[DECODE_LONGEST + 1];
	struct vectors native;
	struct insn insn;

	compose(bytes, opcode, variant);
	if (decode_insn(&insn, DECODE_64, bytes, DECODE_LONGEST) != DECODE_OK || insn.op < INSN_VECTOR_LOAD ||
	    insn.op > INSN_MOVSHDUP)
		return false;
	/* MOVNTSS and MOVNTSD are some processors' only. */
	if (opcode == 0x12b && (variant & 3) >= 2 && !__builtin_cpu_supports("sse4a"))
		return false;
	set_up();
	ctx.regs.gpr[KEEL_RDI] = ARENA + PAGE + random_next() % PAGE;
	if (insn.aligned)
		ctx.regs.gpr[KEEL_RDI] &= ~31ull;
	for (unsigned int i = 0; i < ARENA_BYTES; i += 8) {
		uint64_t value = random_next();

		memcpy(arena + i, &value, 8);
	}
	memcpy(backing, arena, ARENA_BYTES);
	memcpy(native.reg, ctx.vectors.reg, sizeof(native.reg));
	bytes[insn.length] = 0xc3;
	memcpy(code_page, bytes, sizeof(bytes));
	vector_run(&native, code_page, ctx.regs.gpr[KEEL_RDI]);
	if (emulate(bytes, insn.length) != EMULATE_DONE)
		ck_abort_msg("opcode %x, variant %x: vector %u", opcode, variant, fault.vector);
	compare(bytes, &insn, &native);
	tried[insn.op]++;
	return true;
}

/* A processor without AVX2 cannot be asked; those that build this have it. */
START_TEST(as_the_processor)
{
	unsigned int tried[INSN_OP_COUNT] = { 0 }, encodings = 0;

	if (!__builtin_cpu_supports("avx2"))
		return;
	map_native();
	for (unsigned int opcode = 0x100; opcode < 0x400; opcode++)
		for (unsigned int variant = 0; variant < 32; variant++) {
			unsigned int done = 0;

			/* Without VEX there is no L, and two opcodes lead to further maps. */
			if (!(variant & 4) && (variant & 8 || opcode == 0x138 || opcode == 0x13a))
				continue;
			for (unsigned int i = 0; i < ROUNDS; i++)
				done += try_native(opcode, variant, tried);
			encodings += done > 0;
		}
	ck_assert_uint_gt(encodings, 130);
	for (unsigned int op = INSN_VECTOR_LOAD; op <= INSN_MOVSHDUP; op++)
		ck_assert_msg(tried[op] > 50, "operation %u: %u tries", op, tried[op]);
	ck_assert_uint_eq(bus_log.count, 0);
}
END_TEST

static void assert_access(unsigned int i, bool write, uint64_t gpa, unsigned int bytes, uint64_t value)
{
	ck_assert_uint_gt(bus_log.count, i);
	ck_assert_int_eq(bus_log.access[i].write, write);
	ck_assert_uint_eq(bus_log.access[i].gpa, gpa);
	ck_assert_uint_eq(bus_log.access[i].bytes, bytes);
	ck_assert_uint_eq(bus_log.access[i].value, value);
}

START_TEST(devices_see_eight_bytes_at_most)
{
	struct keel_vectors before = ctx.vectors;
	uint64_t word[4];

	ctx.regs.gpr[KEEL_RBX] = MMIO;
	ck_assert_int_eq(EMULATE(0x0f, 0x28, 0x1b), EMULATE_DONE);		/* movaps xmm3, [rbx] */
	assert_access(0, false, MMIO, 8, 0);
	assert_access(1, false, MMIO + 8, 8, 0);
	for (unsigned int i = 0; i < 16; i++)
		ck_assert_uint_eq(ctx.vectors.reg[3][i], i < 8 ? 1 : 2);
	ck_assert_mem_eq(ctx.vectors.reg[3] + 16, before.reg[3] + 16, 16);
	ck_assert_uint_eq(ctx.vectors.written, 1u << 3);
	ck_assert_uint_eq(ctx.vectors.whole, 0);
	ck_assert_int_eq(EMULATE(0xc5, 0xfe, 0x7f, 0x2b), EMULATE_DONE);	/* vmovdqu [rbx], ymm5 */
	memcpy(word, before.reg[5], sizeof(word));
	ck_assert_uint_eq(bus_log.count, 6);
	for (unsigned int i = 0; i < 4; i++)
		assert_access(2 + i, true, MMIO + 8 * i, 8, word[i]);
	ck_assert_uint_eq(ctx.vectors.written, 1u << 3);
	ck_assert_int_eq(EMULATE(0x66, 0x0f, 0x6e, 0x43, 0x04), EMULATE_DONE);	/* movd xmm0, [rbx + 4] */
	assert_access(6, false, MMIO + 4, 4, 0);
	memcpy(word, ctx.vectors.reg[0], sizeof(word));
	ck_assert_uint_eq(word[0], 0x07070707);
	ck_assert_uint_eq(word[1], 0);
}
END_TEST

START_TEST(asked_for_first)
{
	struct keel_context before;

	ctx.exit.flags &= ~KEEL_EXIT_F_VECTORS;
	ctx.regs.gpr[KEEL_RBX] = MMIO;
	memcpy(ctx.exit.insn, (const uint8_t[]){ 0x0f, 0x10, 0x03 }, 3);
	ctx.exit.insn_length = 3;
	before = ctx;
	ck_assert_int_eq(emulate_mmio(&ctx, &mem, &bus, &known, 1, &fault), EMULATE_VECTORS);
	ck_assert_mem_eq(&before, &ctx, sizeof(ctx));
	ck_assert_uint_eq(bus_log.count, 0);
}
END_TEST

static void refused(unsigned int vector, bool legacy)
{
	struct keel_context before = ctx;

	ck_assert_int_eq(legacy ? EMULATE(0x0f, 0x11, 0x03) : EMULATE(0xc5, 0xf8, 0x11, 0x03), EMULATE_EXCEPTION);
	ck_assert_uint_eq(fault.vector, vector);
	ck_assert(!fault.has_error_code);
	ck_assert_mem_eq(&before.regs, &ctx.regs, sizeof(ctx.regs));
	ck_assert_mem_eq(&before.vectors, &ctx.vectors, sizeof(ctx.vectors));
	ck_assert_uint_eq(bus_log.count, 0);
}

START_TEST(not_usable)
{
	ctx.regs.gpr[KEEL_RBX] = MMIO;
	ctx.sregs.cr0 |= CR0_TS;
	refused(7, true);
	refused(7, false);
	ctx.sregs.cr0 |= CR0_EM;
	refused(6, true);
	ctx.sregs.cr0 = CR0_PE;
	ctx.sregs.cr4 = CR4_OSXSAVE;
	refused(6, true);
	ctx.sregs.cr4 = CR4_OSFXSR;
	refused(6, false);
	ctx.sregs.cr4 = CR4_OSXSAVE;
	ctx.vectors.xcr0 = 3;
	refused(6, false);
	ctx.vectors.xcr0 = 7;
	ck_assert_int_eq(EMULATE(0xc5, 0xf8, 0x11, 0x03), EMULATE_DONE);	/* needs no OSFXSR */
}
END_TEST

START_TEST(alignment)
{
	ctx.regs.gpr[KEEL_RBX] = MMIO + 8;
	ck_assert_int_eq(EMULATE(0x0f, 0x29, 0x03), EMULATE_EXCEPTION);		/* movaps */
	ck_assert_uint_eq(fault.vector, 13);
	ck_assert(fault.has_error_code);
	ck_assert_uint_eq(fault.error_code, 0);
	ctx.regs.gpr[KEEL_RBX] = MMIO + 16;
	ck_assert_int_eq(EMULATE(0xc5, 0xfd, 0xe7, 0x03), EMULATE_EXCEPTION);	/* vmovntdq ymm: 32 bytes */
	ck_assert_uint_eq(bus_log.count, 0);
	ck_assert_int_eq(EMULATE(0xc5, 0xf9, 0xe7, 0x03), EMULATE_DONE);	/* xmm */
	ck_assert_uint_eq(bus_log.count, 2);
	ctx.regs.gpr[KEEL_RBX] = MMIO + 12;
	ck_assert_int_eq(EMULATE(0x0f, 0x10, 0x03), EMULATE_DONE);		/* movups, split naturally */
	assert_access(2, false, MMIO + 12, 4, 0);
	assert_access(3, false, MMIO + 16, 8, 0);
	assert_access(4, false, MMIO + 24, 4, 0);
}
END_TEST

SUITE("emulate_vector", tests)
{
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, as_the_processor);
	tcase_add_test(tests, devices_see_eight_bytes_at_most);
	tcase_add_test(tests, asked_for_first);
	tcase_add_test(tests, not_usable);
	tcase_add_test(tests, alignment);
}
