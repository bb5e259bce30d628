// SPDX-License-Identifier: GPL-2.0
/* Fuzz target of the emulator: any instruction in any register state on any page tables. */
#include <x86/registers.h>

#include "fuzz.h"
#include "vcpu/emulate.h"

#define MEMORY_BYTES	0x10000u
#define ROM_FIRST	0xe000u
#define MOST		64u
#define CR0_NO_VECTORS	(CR0_EM | CR0_TS)
#define CR4_VECTORS	(CR4_OSFXSR | CR4_OSXSAVE)
#define XCR0_VECTORS	(XCR0_SSE | XCR0_AVX)
#define SEGMENT_LONG	(1u << 9)

struct shape {
	struct keel_regs regs;
	struct keel_sregs sregs;
	uint8_t insn[16];
	uint64_t near;		/* a bit for each register: point it into memory */
	uint8_t insn_length, io, size, address_size, segment, string, flat, tables;
	uint8_t vectors[sizeof(struct keel_vectors)];
};

#define INPUT_BYTES	(sizeof(struct shape) + 256)

struct traffic {
	unsigned int ports;
};

static uint8_t *memory;
static const struct gmem *current;

static bool is_natural(uint64_t gpa, unsigned int bytes)
{
	return (bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8) && gpa % bytes == 0;
}

static uint64_t mmio_read(void *device, uint64_t gpa, unsigned int bytes)
{
	uint64_t value;

	(void)device;
	require(is_natural(gpa, bytes), "a read is not split naturally");
	require(!gmem_read(current, gpa, &value, bytes), "memory is read as a device");
	return gpa * 0x9e3779b97f4a7c15ull;
}

static void mmio_write(void *device, uint64_t gpa, unsigned int bytes, uint64_t value)
{
	(void)device;
	(void)value;
	require(is_natural(gpa, bytes), "a write is not split naturally");
	require(gpa >= ROM_FIRST, "memory is written as a device");
}

static uint64_t port_read(void *device, uint64_t port, unsigned int bytes)
{
	struct traffic *traffic = device;

	traffic->ports++;
	return port * bytes;
}

static void port_write(void *device, uint64_t port, unsigned int bytes, uint64_t value)
{
	struct traffic *traffic = device;

	(void)port;
	require(value >> (8 * bytes) == 0, "more is written to a port than its size");
	traffic->ports++;
}

/* The exit record is the hypervisor's and sound; everything else is the guest's. */
static void shape_context(struct keel_context *ctx, const struct shape *shape)
{
	static const uint8_t sizes[] = { 1, 2, 4, 4 }, address_sizes[] = { 0, 2, 4, 8 };

	memset(ctx, 0, sizeof(*ctx));
	ctx->regs = shape->regs;
	ctx->sregs = shape->sregs;
	memcpy(ctx->exit.insn, shape->insn, sizeof(shape->insn));
	ctx->exit.flags = KEEL_EXIT_F_SREGS;
	memcpy(&ctx->vectors, shape->vectors, sizeof(ctx->vectors));
	ctx->vectors.written = ctx->vectors.whole = 0;
	if (shape->flat & 8)
		ctx->exit.flags |= KEEL_EXIT_F_VECTORS;
	if (shape->flat & 16) {
		ctx->sregs.cr0 &= ~CR0_NO_VECTORS;
		ctx->sregs.cr4 |= CR4_VECTORS;
		ctx->vectors.xcr0 |= XCR0_VECTORS;
	}
	ctx->exit.insn_length = shape->insn_length % 17;
	ctx->exit.io = KEEL_IO_STRING | (shape->io & (KEEL_IO_IN | KEEL_IO_REP));
	ctx->exit.size = sizes[shape->size % 4];
	ctx->exit.address_size = address_sizes[shape->address_size % 4];
	ctx->exit.segment = shape->segment % 8 < KEEL_SEG_LDTR ? shape->segment % 8 : KEEL_SEG_NONE;
	ctx->exit.next_rip = ctx->regs.rip + 2;
	ctx->sregs.cpl &= 3;
	if (shape->flat & 1)
		ctx->sregs.cr0 &= ~CR0_PG;
	if (shape->flat & 2) {
		ctx->sregs.efer |= EFER_LMA;
		ctx->sregs.seg[KEEL_SEG_CS].attributes |= SEGMENT_LONG;
	}
	for (unsigned int i = KEEL_SEG_ES; i <= KEEL_SEG_GS; i++) {
		if (shape->flat & 4)
			ctx->sregs.seg[i].base &= MEMORY_BYTES - 1;
	}
	for (unsigned int i = 0; i < 16; i++) {
		if (shape->near >> i & 1)
			ctx->regs.gpr[i] &= 2 * MEMORY_BYTES - 1;
	}
	if (shape->near >> 16 & 1)
		ctx->regs.rip &= MEMORY_BYTES - 1;
	if (shape->near >> 17 & 1)
		ctx->sregs.cr3 &= MEMORY_BYTES - 1;
}

/* Memory repeats the rest of the input; if wanted every 8 bytes become a table entry that is present and near. */
static void fill_memory(const struct shape *shape, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < MEMORY_BYTES; i++)
		memory[i] = size > 0 ? data[i % size] : 0;
	if (!(shape->tables & 1))
		return;
	for (size_t i = 0; i < MEMORY_BYTES; i += 8) {
		uint64_t entry;

		memcpy(&entry, memory + i, 8);
		entry = (entry & 0x1ffffull) | 1 | (entry & ((uint64_t)shape->tables >> 1) << 1);
		memcpy(memory + i, &entry, 8);
	}
}

static void check_result(enum emulate_result result, const struct keel_context *ctx, const struct keel_regs *before,
			 const struct emulate_fault *fault)
{
	if (result != EMULATE_DONE)
		require(memcmp(&ctx->regs, before, sizeof(*before)) == 0, "registers changed without success");
	if (result == EMULATE_EXCEPTION && fault->has_error_code)
		require(fault->vector >= 12 && fault->vector <= 14, "an odd exception with an error code");
	else if (result == EMULATE_EXCEPTION)
		require(fault->vector == 0 || fault->vector == 6 || fault->vector == 7, "an odd exception");
	require(result == EMULATE_DONE || ctx->vectors.written == 0, "vector registers changed without success");
	require((ctx->vectors.whole & ~ctx->vectors.written) == 0, "a part of a vector register that was not written");
	require(result != EMULATE_VECTORS || !(ctx->exit.flags & KEEL_EXIT_F_VECTORS), "vector registers wanted twice");
	require(((ctx->regs.rflags ^ before->rflags) & ~RFLAGS_ARITHMETIC) == 0, "a flag changed that is not arithmetic");
}

static const struct io_ops mmio_ops = { .read = mmio_read, .write = mmio_write, .widest = 8 };
static const struct io_ops port_ops = { .read = port_read, .write = port_write, .widest = 4 };
static struct bus bus;
static struct emulate_known known;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct traffic traffic = { 0 };
	struct io_range registers = { .bytes = UINT64_MAX, .ops = &mmio_ops };
	struct io_range ports = { .bytes = BUS_PORTS, .ops = &port_ops, .device = &traffic };
	struct emulate_fault fault = { 0 };
	enum emulate_result result;
	struct keel_context ctx;
	struct keel_regs before;
	struct shape shape;

	if (size < sizeof(shape))
		return 0;
	memcpy(&shape, data, sizeof(shape));
	memory = malloc(MEMORY_BYTES);
	require(memory != NULL, "no memory");
	fill_memory(&shape, data + sizeof(shape), size - sizeof(shape));
	current = &(const struct gmem) {
		.base = memory, .count = 2,
		.range = { { 0, ROM_FIRST, false }, { ROM_FIRST, MEMORY_BYTES - ROM_FIRST, true } },
	};
	bus_init(&bus);
	require(bus_map(&bus, BUS_MEMORY_SPACE, &registers) && bus_map(&bus, BUS_PORT_SPACE, &ports), "no bus");
	shape_context(&ctx, &shape);
	before = ctx.regs;
	result = shape.string & 1 ? emulate_string_io(&ctx, current, &bus, MOST, &fault) :
				    emulate_mmio(&ctx, current, &bus, &known, MOST, &fault);
	free(memory);
	require(traffic.ports <= MOST, "more elements than allowed");
	check_result(result, &ctx, &before, &fault);
	return 0;
}

/* Opcodes that the emulator knows stand out among the random bytes. */
static size_t make_input(uint8_t *input, uint64_t *state)
{
	static const uint8_t starts[][2] = {
		{ 0x89, 0x03 }, { 0xf3, 0xa5 }, { 0xf3, 0xab }, { 0xf0, 0x0f }, { 0x0f, 0xab }, { 0x0f, 0xb1 },
		{ 0x0f, 0xc7 }, { 0xf2, 0xae }, { 0xf3, 0xa6 }, { 0x66, 0x87 }, { 0x67, 0x01 }, { 0x48, 0x13 },
		{ 0x0f, 0x10 }, { 0x0f, 0x29 }, { 0xc5, 0xfe }, { 0xc5, 0xfd }, { 0xc4, 0xe2 }, { 0xc4, 0xe3 }, { 0x66, 0x0f },
		{ 0xf3, 0x0f }, { 0x0f, 0x01 }, { 0x0f, 0x00 }, { 0x48, 0xf7 }, { 0xf6, 0x3b }, { 0x0f, 0xad }, { 0x0f, 0xbc },
	};
	struct shape *shape = (struct shape *)input;

	for (size_t i = 0; i < INPUT_BYTES; i++)
		input[i] = next(state) >> 24;
	if (next(state) & 1)
		memcpy(shape->insn, starts[next(state) % (sizeof(starts) / 2)], 2);
	return INPUT_BYTES;
}

const struct fuzz_target fuzz_target = { 3000, INPUT_BYTES, make_input };
