// SPDX-License-Identifier: GPL-2.0
/* Elements of string instructions that go together: those in one page, between memory and one device. */
#include "vcpu/emulate_internal.h"

/* Where elements lie that rise from a register's offset in a segment. */
struct run {
	uint64_t gpa;
	unsigned int count;
};

/*
 * As many as are in the page of the first one, wholly and without a fault. False: not even two, and the element on its own
 * will show why.
 */
static bool find_run(struct emulator *e, unsigned int segment, unsigned int reg, unsigned int access, struct run *run)
{
	unsigned int size = e->insn.size;
	uint64_t offset = get_gpr(e, reg, e->insn.address_size), before_wrap = alu_mask(e->insn.address_size) - offset;
	struct place place;

	if (e->regs.rflags & RFLAGS_DF || run->count < 2 || !place_at(e, segment, offset, size, access, &place))
		return false;
	if (run->count > before_wrap / size)
		run->count = (unsigned int)(before_wrap / size);
	if (run->count > (WALK_PAGE_BYTES - place.gpa[0] % WALK_PAGE_BYTES) / size)
		run->count = (unsigned int)((WALK_PAGE_BYTES - place.gpa[0] % WALK_PAGE_BYTES) / size);
	run->gpa = place.gpa[0];
	return run->count >= 2 && place_at(e, segment, offset, run->count * size, access, &place);
}

/* Only so many of them are registers: aligned, for the others are accessed in pieces, and clear of memory. */
static bool is_device(const struct emulator *e, struct run *run, bool write)
{
	uint64_t gap = gmem_gap(e->mem, run->gpa, write);

	if (run->gpa % e->insn.size != 0)
		return false;
	if (run->count > gap / e->insn.size)
		run->count = (unsigned int)(gap / e->insn.size);
	return run->count >= 2;
}

unsigned int run_in(struct emulator *e, unsigned int count)
{
	struct run run = { .count = count };
	uint8_t *to;

	if (!find_run(e, KEEL_SEG_ES, KEEL_RDI, WALK_WRITE, &run))
		return 0;
	to = gmem_at(e->mem, run.gpa, run.count * e->insn.size, true);
	if (!to)
		return 0;
	bus_port_read_many(e->bus, e->ctx->exit.port, e->insn.size, run.count, to);
	return run.count;
}

unsigned int run_out(struct emulator *e, unsigned int count)
{
	struct run run = { .count = count };
	const uint8_t *from;

	if (!find_run(e, e->insn.segment, KEEL_RSI, 0, &run))
		return 0;
	from = gmem_at(e->mem, run.gpa, run.count * e->insn.size, false);
	if (!from)
		return 0;
	bus_port_write_many(e->bus, e->ctx->exit.port, e->insn.size, run.count, from);
	return run.count;
}

unsigned int run_store(struct emulator *e, unsigned int count)
{
	struct run target = { .count = count };

	if (!find_run(e, KEEL_SEG_ES, KEEL_RDI, WALK_WRITE, &target) || !is_device(e, &target, true))
		return 0;
	bus_fill(e->bus, target.gpa, e->insn.size, target.count, e->regs.gpr[KEEL_RAX]);
	return target.count;
}

unsigned int run_move(struct emulator *e, unsigned int count)
{
	struct run source = { .count = count }, target;
	unsigned int size = e->insn.size;
	uint8_t *memory;

	if (!find_run(e, e->insn.segment, KEEL_RSI, 0, &source))
		return 0;
	target.count = source.count;
	if (!find_run(e, KEEL_SEG_ES, KEEL_RDI, WALK_WRITE, &target))
		return 0;
	source.count = target.count;
	memory = gmem_at(e->mem, source.gpa, source.count * size, false);
	if (memory && is_device(e, &target, true)) {
		bus_write_many(e->bus, target.gpa, size, target.count, memory);
		return target.count;
	}
	memory = gmem_at(e->mem, target.gpa, target.count * size, true);
	if (memory && is_device(e, &source, false)) {
		bus_read_many(e->bus, source.gpa, size, source.count, memory);
		return source.count;
	}
	return 0;
}
