// SPDX-License-Identifier: GPL-2.0
/* Finds the instruction and has it carried out, on a vCPU's registers, the guest's memory and the device bus. */
#include <stddef.h>

#include <x86/registers.h>

#include "core/string.h"
#include "vcpu/emulate_internal.h"

#define SEGMENT_LONG	(1u << 9)

static enum decode_mode mode_of(const struct keel_sregs *sregs)
{
	uint16_t attributes = sregs->seg[KEEL_SEG_CS].attributes;

	if ((sregs->efer & EFER_LMA) && (attributes & SEGMENT_LONG))
		return DECODE_64;
	return attributes & SEGMENT_BIG ? DECODE_32 : DECODE_16;
}

/* Takes bytes up to the end of a page, after the *count that are there. */
static enum emulate_result fetch_page(struct emulator *e, uint8_t *bytes, unsigned int *count)
{
	bool wide = e->mode == DECODE_64;
	uint64_t base = wide ? 0 : e->ctx->sregs.seg[KEEL_SEG_CS].base, linear = base + e->ctx->regs.rip + *count, gpa;
	unsigned int room = WALK_PAGE_BYTES - linear % WALK_PAGE_BYTES, left = DECODE_LONGEST - *count;
	const uint8_t *from;

	if (!walk_translate(e->ctx, e->mem, wide ? linear : (uint32_t)linear, WALK_FETCH, &gpa, e->fault))
		return EMULATE_EXCEPTION;
	if (left > room)
		left = room;
	from = gmem_in_page(e->mem, gpa);
	if (!from)
		return EMULATE_UNKNOWN;
	memcpy(bytes + *count, from, left);
	*count += left;
	/* The copy is what is decoded; the compiler must not look at the original again. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return EMULATE_DONE;
}

/* The second page is touched only if the instruction goes on there. */
enum emulate_result emulate_fetch(struct emulator *e,
				  enum decode_result (*decode)(struct insn *insn, enum decode_mode mode,
							       const uint8_t *bytes, unsigned int count))
{
	uint8_t bytes[sizeof(e->ctx->exit.insn)] = { 0 };
	enum decode_result decoded = DECODE_SHORT;
	unsigned int count = 0;

	while (decoded == DECODE_SHORT) {
		enum emulate_result result = fetch_page(e, bytes, &count);

		if (result != EMULATE_DONE)
			return result;
		decoded = decode(&e->insn, e->mode, bytes, count);
	}
	memcpy(e->ctx->exit.insn, bytes, sizeof(bytes));
	return decoded == DECODE_OK ? EMULATE_DONE : EMULATE_UNKNOWN;
}

static uint64_t following(const struct keel_context *ctx, const struct insn *insn, enum decode_mode mode)
{
	uint64_t rip = ctx->regs.rip + insn->length;

	return mode == DECODE_64 ? rip : (uint32_t)rip;
}

void emulate_start(struct emulator *e, struct keel_context *ctx, const struct gmem *mem, struct bus *bus, unsigned int most,
		   struct emulate_fault *fault)
{
	e->ctx = ctx;
	e->mem = mem;
	e->bus = bus;
	e->fault = fault;
	e->most = most;
	e->mode = mode_of(&ctx->sregs);
	e->last[0].valid = false;
	e->last[1].valid = false;
}

/*
 * The bytes at RIP come into the exit record, unless they are there. False: not as many as an instruction may have, for the page
 * ends before, or they cannot be had.
 */
static bool take_bytes(struct keel_context *ctx, const struct gmem *mem, struct walk_known *known, enum decode_mode mode,
		       struct emulate_fault *fault)
{
	struct keel_exit *exit = &ctx->exit;
	uint64_t linear = ctx->regs.rip, gpa;
	const uint8_t *from;

	if (exit->insn_length)
		return exit->insn_length >= DECODE_LONGEST;
	if (mode != DECODE_64)
		linear = (uint32_t)(linear + ctx->sregs.seg[KEEL_SEG_CS].base);
	if (linear % WALK_PAGE_BYTES > WALK_PAGE_BYTES - DECODE_LONGEST ||
	    !walk_fetch(known, ctx, mem, linear, &gpa, fault))
		return false;
	/* The rest of the page is like its first byte. */
	from = gmem_in_page(mem, gpa);
	if (!from)
		return false;
	memcpy(exit->insn, from, DECODE_LONGEST);
	/* The copy is what is decoded; the compiler must not look at the original again. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return true;
}

static uint64_t segment_base(const struct keel_sregs *sregs, enum decode_mode mode, unsigned int segment)
{
	bool flat = mode == DECODE_64 && segment != KEEL_SEG_FS && segment != KEEL_SEG_GS;

	return flat ? 0 : sregs->seg[segment].base;
}

/*
 * A plain move has one operand in memory. The processor has checked it and found its address, which is no memory; so it need
 * not be walked to again. Not so if the operand that the instruction has now would be elsewhere in its page, or written and not
 * read, or if it needs more than one access: then it is none that the processor has seen, or not as a whole.
 */
static bool move_told(struct keel_context *ctx, const struct gmem *mem, struct bus *bus, const struct insn *insn,
		      enum decode_mode mode)
{
	const struct keel_exit *exit = &ctx->exit;
	uint64_t *reg = &ctx->regs.gpr[insn->reg];
	uint64_t next_rip = following(ctx, insn, mode);
	uint64_t linear = segment_base(&ctx->sregs, mode, insn->segment) + effective_address(insn, &ctx->regs, next_rip);
	bool write = insn->form != INSN_RM;

	if ((insn->op != INSN_MOV && insn->op != INSN_MOVZX) || insn->reg_high || (linear ^ exit->gpa) % WALK_PAGE_BYTES != 0 ||
	    exit->gpa & (insn->size - 1u) || write != !!(exit->access & KEEL_ACCESS_WRITE) || gmem_has(mem, exit->gpa, write))
		return false;
	ctx->regs.rip = next_rip;
	if (write) {
		bus_write(bus, exit->gpa, insn->size, insn->form == INSN_MI ? insn->immediate : *reg);
	} else {
		uint64_t keep = insn->reg_size < 4 ? ~alu_mask(insn->reg_size) : 0;

		*reg = (*reg & keep) | bus_read(bus, exit->gpa, insn->size);
	}
	return true;
}

/* known: the instruction, or NULL if it has to be looked at more closely. */
static __attribute__((noinline)) enum emulate_result carry_out(struct keel_context *ctx, const struct gmem *mem, struct bus *bus,
							       const struct insn *known, unsigned int most,
							       struct emulate_fault *fault)
{
	struct emulator e;
	enum decode_result decoded = DECODE_SHORT;
	enum emulate_result result;

	emulate_start(&e, ctx, mem, bus, most, fault);
	if (known) {
		e.insn = *known;
		decoded = DECODE_OK;
	} else if (ctx->exit.insn_length) {
		/* The hardware stops at the end of a page. */
		decoded = decode_insn(&e.insn, e.mode, ctx->exit.insn, ctx->exit.insn_length);
	}
	result = decoded == DECODE_OK ? EMULATE_DONE : EMULATE_UNKNOWN;
	if (decoded == DECODE_SHORT)
		result = emulate_fetch(&e, decode_insn);
	if (result != EMULATE_DONE)
		return result;
	if (!emulate_handlers[e.insn.op])
		return EMULATE_UNKNOWN;
	if (!known && move_told(ctx, mem, bus, &e.insn, e.mode))
		return EMULATE_DONE;
	e.next_rip = following(ctx, &e.insn, e.mode);
	e.regs = ctx->regs;
	result = emulate_handlers[e.insn.op](&e);
	if (result == EMULATE_DONE)
		ctx->regs = e.regs;
	return result;
}

enum emulate_result emulate_mmio(struct keel_context *ctx, const struct gmem *mem, struct bus *bus,
				 struct emulate_known *known, unsigned int most, struct emulate_fault *fault)
{
	enum decode_mode mode = mode_of(&ctx->sregs);
	const struct insn *insn = NULL;

	if (take_bytes(ctx, mem, &known->fetches, mode, fault))
		insn = decode_again(&known->insns, mode, ctx->exit.insn, ctx->regs.rip);
	if (insn && move_told(ctx, mem, bus, insn, mode))
		return EMULATE_DONE;
	return carry_out(ctx, mem, bus, insn, most, fault);
}

enum emulate_result emulate_cr8_write(struct keel_context *ctx, const struct gmem *mem, uint64_t *value,
				      struct emulate_fault *fault)
{
	struct emulator e;
	enum emulate_result result;

	emulate_start(&e, ctx, mem, NULL, 0, fault);
	e.regs = ctx->regs;
	result = emulate_fetch(&e, decode_cr8_write);
	if (result != EMULATE_DONE)
		return result;
	*value = get_gpr(&e, e.insn.reg, e.insn.reg_size);
	if (ctx->sregs.cpl > 0 || *value > CR8_MOST) {
		*fault = (struct emulate_fault) { .vector = EXC_GP, .has_error_code = true };
		return EMULATE_EXCEPTION;
	}
	ctx->regs.rip = following(ctx, &e.insn, e.mode);
	return EMULATE_DONE;
}
