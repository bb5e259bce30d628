// SPDX-License-Identifier: GPL-2.0
/* Carries out string instructions, of memory and of ports. Elements that can be done together are emulate_run.c's. */
#include <x86/registers.h>

#include "vcpu/emulate_internal.h"

static void advance(struct emulator *e, unsigned int reg, unsigned int bytes)
{
	unsigned int size = e->insn.address_size;
	uint64_t step = e->regs.rflags & RFLAGS_DF ? -(uint64_t)bytes : bytes;

	set_gpr(e, reg, size, get_gpr(e, reg, size) + step);
}

static bool locate_source(struct emulator *e, unsigned int bytes, struct place *place)
{
	return place_at(e, e->insn.segment, get_gpr(e, KEEL_RSI, e->insn.address_size), bytes, 0, place);
}

static bool locate_target(struct emulator *e, unsigned int bytes, unsigned int access, struct place *place)
{
	return place_at(e, KEEL_SEG_ES, get_gpr(e, KEEL_RDI, e->insn.address_size), bytes, access, place);
}

static bool move_element(struct emulator *e)
{
	struct place source, target;

	if (!locate_source(e, e->insn.size, &source) || !locate_target(e, e->insn.size, WALK_WRITE, &target))
		return false;
	place_store(e, &target, place_load(e, &source));
	advance(e, KEEL_RSI, e->insn.size);
	advance(e, KEEL_RDI, e->insn.size);
	return true;
}

static bool store_element(struct emulator *e)
{
	struct place target;

	if (!locate_target(e, e->insn.size, WALK_WRITE, &target))
		return false;
	place_store(e, &target, e->regs.gpr[KEEL_RAX]);
	advance(e, KEEL_RDI, e->insn.size);
	return true;
}

static bool load_element(struct emulator *e)
{
	struct place source;

	if (!locate_source(e, e->insn.size, &source))
		return false;
	set_gpr(e, KEEL_RAX, e->insn.size, place_load(e, &source));
	advance(e, KEEL_RSI, e->insn.size);
	return true;
}

static bool compare_elements(struct emulator *e)
{
	struct place source, target;
	uint64_t flags, first;

	if (!locate_source(e, e->insn.size, &source) || !locate_target(e, e->insn.size, 0, &target))
		return false;
	first = place_load(e, &source);
	alu_compare(first, place_load(e, &target), e->insn.size, &flags);
	set_flags(e, flags);
	advance(e, KEEL_RSI, e->insn.size);
	advance(e, KEEL_RDI, e->insn.size);
	return true;
}

static bool scan_element(struct emulator *e)
{
	struct place target;
	uint64_t flags;

	if (!locate_target(e, e->insn.size, 0, &target))
		return false;
	alu_compare(get_gpr(e, KEEL_RAX, e->insn.size), place_load(e, &target), e->insn.size, &flags);
	set_flags(e, flags);
	advance(e, KEEL_RDI, e->insn.size);
	return true;
}

static bool (*const elements[INSN_OP_COUNT])(struct emulator *e) = {
	[INSN_MOVS] = move_element,
	[INSN_STOS] = store_element,
	[INSN_LODS] = load_element,
	[INSN_CMPS] = compare_elements,
	[INSN_SCAS] = scan_element,
};

static bool is_found(const struct emulator *e)
{
	bool compares = e->insn.op == INSN_CMPS || e->insn.op == INSN_SCAS;
	bool zero = e->regs.rflags & ALU_ZF;

	return compares && zero == (e->insn.repeat == INSN_REPNE);
}

static unsigned int least(uint64_t a, unsigned int b)
{
	return a < b ? (unsigned int)a : b;
}

/* Elements that can be done together, at most count; 0: the next one is on its own. */
static unsigned int do_run(struct emulator *e, unsigned int count)
{
	unsigned int done = 0;

	if (e->insn.op == INSN_STOS)
		done = run_store(e, count);
	else if (e->insn.op == INSN_MOVS)
		done = run_move(e, count);
	if (done == 0)
		return 0;
	advance(e, KEEL_RDI, done * e->insn.size);
	if (e->insn.op == INSN_MOVS)
		advance(e, KEEL_RSI, done * e->insn.size);
	return done;
}

enum emulate_result emulate_string(struct emulator *e)
{
	unsigned int size = e->insn.address_size, done = 0, run;
	uint64_t left;

	if (e->insn.repeat == INSN_ONCE)
		return elements[e->insn.op](e) ? finish(e) : EMULATE_EXCEPTION;
	for (left = get_gpr(e, KEEL_RCX, size); left != 0; done += run) {
		if (done == e->most)
			return EMULATE_DONE;
		run = do_run(e, least(left, e->most - done));
		/* What was done stays done; the guest meets the fault when it goes on. */
		if (run == 0 && !elements[e->insn.op](e))
			return done > 0 ? EMULATE_DONE : EMULATE_EXCEPTION;
		if (run == 0)
			run = 1;
		left -= run;
		set_gpr(e, KEEL_RCX, size, left);
		if (is_found(e))
			break;
	}
	return finish(e);
}

/* Ports */

/* Takes what the exit record tells, and asks the instruction for the rest. */
static enum emulate_result describe_io(struct emulator *e)
{
	const struct keel_exit *exit = &e->ctx->exit;
	bool in = exit->io & KEEL_IO_IN;

	if (exit->address_size == 0 || (!in && exit->segment >= KEEL_SEG_LDTR)) {
		enum emulate_result result = emulate_fetch(e, decode_insn);

		if (result != EMULATE_DONE)
			return result;
		if (e->insn.op != (in ? INSN_INS : INSN_OUTS))
			return EMULATE_UNKNOWN;
	}
	if (exit->address_size != 0)
		e->insn.address_size = exit->address_size;
	if (exit->segment < KEEL_SEG_LDTR)
		e->insn.segment = exit->segment;
	e->insn.size = exit->size;
	e->next_rip = exit->next_rip;
	return EMULATE_DONE;
}

static bool in_element(struct emulator *e)
{
	uint32_t value;
	struct place target;

	if (!locate_target(e, e->insn.size, WALK_WRITE, &target))
		return false;
	value = bus_port_read(e->bus, e->ctx->exit.port, e->insn.size);
	place_store(e, &target, value);
	advance(e, KEEL_RDI, e->insn.size);
	return true;
}

static bool out_element(struct emulator *e)
{
	struct place source;

	if (!locate_source(e, e->insn.size, &source))
		return false;
	bus_port_write(e->bus, e->ctx->exit.port, e->insn.size, (uint32_t)place_load(e, &source));
	advance(e, KEEL_RSI, e->insn.size);
	return true;
}

/* Does up to count elements; 0: the first one faults. */
static unsigned int io_run(struct emulator *e, unsigned int count)
{
	bool in = e->ctx->exit.io & KEEL_IO_IN;
	unsigned int done = in ? run_in(e, count) : run_out(e, count);

	if (done == 0)
		return (in ? in_element(e) : out_element(e)) ? 1 : 0;
	advance(e, in ? KEEL_RDI : KEEL_RSI, done * e->insn.size);
	return done;
}

static enum emulate_result io_repeat(struct emulator *e)
{
	unsigned int size = e->insn.address_size, done = 0;
	uint64_t left = get_gpr(e, KEEL_RCX, size);

	while (left != 0 && done < e->most) {
		unsigned int run = io_run(e, least(left, e->most - done));

		if (run == 0)
			return done > 0 ? EMULATE_DONE : EMULATE_EXCEPTION;
		done += run;
		left -= run;
		set_gpr(e, KEEL_RCX, size, left);
	}
	return left == 0 ? finish(e) : EMULATE_DONE;
}

enum emulate_result emulate_string_io(struct keel_context *ctx, const struct gmem *mem, struct bus *bus,
				      unsigned int most, struct emulate_fault *fault)
{
	struct emulator e;
	enum emulate_result result;

	emulate_start(&e, ctx, mem, bus, most, fault);
	e.regs = ctx->regs;
	e.insn = (struct insn){ 0 };
	result = describe_io(&e);
	if (result != EMULATE_DONE)
		return result;
	if (ctx->exit.io & KEEL_IO_REP)
		result = io_repeat(&e);
	else
		result = io_run(&e, 1) > 0 ? finish(&e) : EMULATE_EXCEPTION;
	if (result == EMULATE_DONE)
		ctx->regs = e.regs;
	return result;
}
