/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between the parts of the emulator. emulate.c finds the instruction, emulate_integer.c, emulate_string.c and emulate_vector.c
 * carry it out, operands in memory are in emulate_place.c, many elements of a string at once in emulate_run.c.
 */
#ifndef KEEL_EMULATE_INTERNAL_H
#define KEEL_EMULATE_INTERNAL_H

#include <x86/registers.h>

#include "vcpu/alu.h"
#include "vcpu/decode.h"
#include "vcpu/emulate.h"
#include "vcpu/walk.h"

#define SEGMENT_BIG	(1u << 10)

struct emulator {
	struct keel_context *ctx;
	const struct gmem *mem;
	struct bus *bus;
	struct emulate_fault *fault;
	unsigned int most;
	enum decode_mode mode;
	struct insn insn;
	struct keel_regs regs;	/* become the context's when the instruction is done */
	uint64_t next_rip;
	struct translation {	/* the page last read and the page last written: elements of a string share it */
		bool valid;
		uint64_t linear, gpa;
	} last[2];
};

/* A checked memory operand. It lies in two pages if bytes[1] is not 0. */
struct place {
	uint64_t gpa[2];
	unsigned int bytes[2];
};

static inline uint64_t get_gpr(const struct emulator *e, unsigned int reg, unsigned int bytes)
{
	return e->regs.gpr[reg] & alu_mask(bytes);
}

/* 4 bytes clear the upper half, fewer leave the rest alone (SDM vol. 1, 3.4.1.1). */
static inline void set_gpr(struct emulator *e, unsigned int reg, unsigned int bytes, uint64_t value)
{
	uint64_t keep = bytes < 4 ? ~alu_mask(bytes) : 0;

	e->regs.gpr[reg] = (e->regs.gpr[reg] & keep) | (value & alu_mask(bytes));
}

static inline uint64_t effective_address(const struct insn *insn, const struct keel_regs *regs, uint64_t next_rip)
{
	uint64_t address = (uint64_t)insn->displacement;

	if (insn->base == INSN_RIP)
		address += next_rip;
	else if (insn->base != INSN_NO_REGISTER)
		address += regs->gpr[insn->base];
	if (insn->index != INSN_NO_REGISTER)
		address += regs->gpr[insn->index] << insn->scale;
	return address & alu_mask(insn->address_size);
}

static inline void set_flags(struct emulator *e, uint64_t flags)
{
	e->regs.rflags = (e->regs.rflags & ~ALU_FLAGS) | (flags & ALU_FLAGS);
}

/* An instruction sets regs.rip to next_rip when it is done, or leaves it to be started again. */
static inline enum emulate_result finish(struct emulator *e)
{
	e->regs.rip = e->next_rip;
	return EMULATE_DONE;
}

/* In emulate.c: all but the registers, the instruction and next_rip, which are to follow. */
void emulate_start(struct emulator *e, struct keel_context *ctx, const struct gmem *mem, struct bus *bus, unsigned int most,
		   struct emulate_fault *fault);
/* The instruction at CS:RIP by its bytes in memory, which stay in the exit record, to be told. */
enum emulate_result emulate_fetch(struct emulator *e,
				  enum decode_result (*decode)(struct insn *insn, enum decode_mode mode,
							       const uint8_t *bytes, unsigned int count));

/* In emulate_integer.c: what carries an instruction out, or NULL. */
extern enum emulate_result (*const emulate_handlers[INSN_OP_COUNT])(struct emulator *e);
/* In emulate_string.c: MOVS, STOS, LODS, CMPS, SCAS with all their REPs. */
enum emulate_result emulate_string(struct emulator *e);

/*
 * In emulate_run.c: up to count elements of a repeated INS, OUTS, STOS or MOVS at once, from where the registers are. Returns how
 * many were done, and the registers still are to follow; 0: nothing is done, for the next element must go on its own.
 */
unsigned int run_in(struct emulator *e, unsigned int count);
unsigned int run_out(struct emulator *e, unsigned int count);
unsigned int run_store(struct emulator *e, unsigned int count);
unsigned int run_move(struct emulator *e, unsigned int count);

/* Of instructions with a vector register, in emulate_vector.c. */
enum emulate_result emulate_vector(struct emulator *e);

/*
 * Finds and checks an operand of 'bytes' at an offset in a segment (KEEL_SEG_*), for an access (0 or WALK_WRITE); nothing is read
 * or written before. False: *e->fault is what the guest gets. place_operand: the one that the instruction's ModR/M byte names.
 */
bool place_at(struct emulator *e, unsigned int segment, uint64_t offset, unsigned int bytes, unsigned int access,
	      struct place *place);
bool place_operand(struct emulator *e, unsigned int access, struct place *place);

/* Memory, or else the bus, in naturally aligned pieces of at most 'unit' bytes. */
void place_read(const struct emulator *e, const struct place *place, uint8_t *buf, unsigned int unit);
void place_write(const struct emulator *e, const struct place *place, const uint8_t *buf, unsigned int unit);
/* Operands of up to 8 bytes. */
uint64_t place_load(const struct emulator *e, const struct place *place);
void place_store(const struct emulator *e, const struct place *place, uint64_t value);
/*
 * The write half of read-modify-write. False: another vCPU was faster and the instruction must start again.
 * A locked operand that is not aligned is not atomic towards other vCPUs.
 */
bool place_modify(const struct emulator *e, const struct place *place, uint64_t was, uint64_t value);

#endif
