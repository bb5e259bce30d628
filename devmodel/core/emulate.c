// SPDX-License-Identifier: GPL-2.0
/* Carries out one instruction on a vCPU's registers, the guest's memory and the device bus. */
#include <stddef.h>

#include "core/string.h"
#include "core/decode.h"
#include "core/emulate.h"
#include "core/walk.h"

#define FLAG_CF		(1ull << 0)
#define FLAG_PF		(1ull << 2)
#define FLAG_AF		(1ull << 4)
#define FLAG_ZF		(1ull << 6)
#define FLAG_SF		(1ull << 7)
#define FLAG_DF		(1ull << 10)
#define FLAG_OF		(1ull << 11)
#define FLAG_VM		(1ull << 17)
#define FLAGS_ARITHMETIC	(FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define CR0_PE		(1ull << 0)
#define CR4_LA57	(1ull << 12)
#define CR8_MOST	15u
#define EFER_LMA	(1ull << 10)

#define SEGMENT_CODE	(1u << 3)
#define SEGMENT_DOWN	(1u << 2)	/* of data */
#define SEGMENT_WRITE	(1u << 1)	/* of data */
#define SEGMENT_READ	(1u << 1)	/* of code */
#define SEGMENT_PRESENT	(1u << 7)
#define SEGMENT_LONG	(1u << 9)
#define SEGMENT_BIG	(1u << 10)

#define VECTOR_STACK	12
#define VECTOR_GENERAL	13

#define SHIFT_MOST	31u
#define SHIFT_MOST_64	63u
#define LARGEST_OPERAND	8u
#define RUN_BYTES	512u	/* string I/O copies at most so much at once: a disk sector */

struct emulator {
	struct keel_context *ctx;
	const struct gmem *mem;
	const struct emulate_bus *bus;
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

static uint64_t mask_of(unsigned int bytes)
{
	return UINT64_MAX >> (64 - 8 * bytes);
}

static uint64_t sign_extend(uint64_t value, unsigned int bytes)
{
	unsigned int shift = 64 - 8 * bytes;

	return (uint64_t)((int64_t)(value << shift) >> shift);
}

/* Registers */

static uint64_t get_gpr(const struct emulator *e, unsigned int reg, unsigned int bytes)
{
	return e->regs.gpr[reg] & mask_of(bytes);
}

/* 4 bytes clear the upper half, fewer leave the rest alone (SDM vol. 1, 3.4.1.1). */
static void set_gpr(struct emulator *e, unsigned int reg, unsigned int bytes, uint64_t value)
{
	uint64_t keep = bytes < 4 ? ~mask_of(bytes) : 0;

	e->regs.gpr[reg] = (e->regs.gpr[reg] & keep) | (value & mask_of(bytes));
}

static uint64_t get_operand(const struct emulator *e)
{
	const struct insn *insn = &e->insn;

	return insn->reg_high ? e->regs.gpr[insn->reg] >> 8 & mask_of(1) : get_gpr(e, insn->reg, insn->reg_size);
}

static void set_operand(struct emulator *e, uint64_t value)
{
	const struct insn *insn = &e->insn;
	uint64_t high = mask_of(1) << 8;

	if (insn->reg_high)
		e->regs.gpr[insn->reg] = (e->regs.gpr[insn->reg] & ~high) | (value << 8 & high);
	else
		set_gpr(e, insn->reg, insn->reg_size, value);
}

/* Addresses */

static bool segment_fault(struct emulator *e, unsigned int segment)
{
	*e->fault = (struct emulate_fault) {
		.vector = segment == KEEL_SEG_SS ? VECTOR_STACK : VECTOR_GENERAL, .has_error_code = true,
	};
	return false;
}

/* SDM vol. 3, 5.3 and 5.5. Real and virtual-8086 mode know limits only. */
static bool segment_allows(const struct emulator *e, const struct keel_segment_register *s, unsigned int access)
{
	if (!(e->ctx->sregs.cr0 & CR0_PE) || (e->regs.rflags & FLAG_VM))
		return true;
	if (!(s->attributes & SEGMENT_PRESENT))
		return false;
	if (s->attributes & SEGMENT_CODE)
		return !(access & WALK_WRITE) && (s->attributes & SEGMENT_READ);
	return !(access & WALK_WRITE) || (s->attributes & SEGMENT_WRITE);
}

static bool segment_holds(const struct keel_segment_register *s, uint64_t first, uint64_t last)
{
	bool down = (s->attributes & (SEGMENT_CODE | SEGMENT_DOWN)) == SEGMENT_DOWN;

	if (down)
		return first > s->limit && last <= (s->attributes & SEGMENT_BIG ? UINT32_MAX : UINT16_MAX);
	return last <= s->limit;
}

static bool is_canonical(const struct emulator *e, uint64_t linear)
{
	unsigned int unused = e->ctx->sregs.cr4 & CR4_LA57 ? 64 - 57 : 64 - 48;

	return (uint64_t)((int64_t)(linear << unused) >> unused) == linear;
}

static bool linearize(struct emulator *e, unsigned int segment, uint64_t offset, unsigned int bytes,
		      unsigned int access, uint64_t *linear)
{
	const struct keel_segment_register *s = &e->ctx->sregs.seg[segment];

	if (e->mode == DECODE_64) {
		*linear = offset + (segment == KEEL_SEG_FS || segment == KEEL_SEG_GS ? s->base : 0);
		if (!is_canonical(e, *linear) || !is_canonical(e, *linear + bytes - 1))
			return segment_fault(e, segment);
		return true;
	}
	if (!segment_allows(e, s, access) || !segment_holds(s, offset, offset + bytes - 1))
		return segment_fault(e, segment);
	*linear = (uint32_t)(s->base + offset);
	return true;
}

static bool translate(struct emulator *e, uint64_t linear, unsigned int access, uint64_t *gpa)
{
	struct translation *t = &e->last[access & WALK_WRITE ? 1 : 0];
	uint64_t offset = linear % WALK_PAGE_BYTES;

	if (!t->valid || t->linear != linear - offset) {
		t->valid = false;
		if (!walk_translate(e->ctx, e->mem, linear, access, gpa, e->fault))
			return false;
		*t = (struct translation) { true, linear - offset, *gpa - offset };
	}
	*gpa = t->gpa + offset;
	return true;
}

/* Checks all of an operand; nothing is read or written before. */
static bool locate(struct emulator *e, unsigned int segment, uint64_t offset, unsigned int bytes, unsigned int access,
		   struct place *place)
{
	uint64_t linear, next;
	unsigned int room;

	if (!linearize(e, segment, offset, bytes, access, &linear))
		return false;
	room = WALK_PAGE_BYTES - linear % WALK_PAGE_BYTES;
	place->bytes[0] = bytes < room ? bytes : room;
	place->bytes[1] = bytes - place->bytes[0];
	if (!translate(e, linear, access, &place->gpa[0]))
		return false;
	if (place->bytes[1] == 0)
		return true;
	next = linear + room;
	return translate(e, e->mode == DECODE_64 ? next : (uint32_t)next, access, &place->gpa[1]);
}

static uint64_t effective_address(const struct emulator *e)
{
	const struct insn *insn = &e->insn;
	uint64_t address = (uint64_t)insn->displacement;

	if (insn->base == INSN_RIP)
		address += e->next_rip;
	else if (insn->base != INSN_NO_REGISTER)
		address += e->regs.gpr[insn->base];
	if (insn->index != INSN_NO_REGISTER)
		address += e->regs.gpr[insn->index] << insn->scale;
	return address & mask_of(insn->address_size);
}

static bool locate_operand(struct emulator *e, unsigned int access, struct place *place)
{
	return locate(e, e->insn.segment, effective_address(e), e->insn.size, access, place);
}

/* Memory and bus */

/* The largest naturally aligned piece at gpa. */
static unsigned int piece_of(uint64_t gpa, unsigned int bytes, unsigned int unit)
{
	unsigned int piece = unit;

	while (piece > bytes || gpa % piece)
		piece /= 2;
	return piece;
}

static void read_part(const struct emulator *e, uint64_t gpa, uint8_t *buf, unsigned int bytes, unsigned int unit)
{
	if (gmem_read(e->mem, gpa, buf, bytes))
		return;
	while (bytes > 0) {
		unsigned int piece = piece_of(gpa, bytes, unit);
		uint64_t value = e->bus->mmio_read(e->bus->owner, gpa, piece);

		memcpy(buf, &value, piece);
		gpa += piece;
		buf += piece;
		bytes -= piece;
	}
}

static void write_part(const struct emulator *e, uint64_t gpa, const uint8_t *buf, unsigned int bytes,
		       unsigned int unit)
{
	if (gmem_write(e->mem, gpa, buf, bytes))
		return;
	while (bytes > 0) {
		unsigned int piece = piece_of(gpa, bytes, unit);
		uint64_t value = 0;

		memcpy(&value, buf, piece);
		e->bus->mmio_write(e->bus->owner, gpa, piece, value);
		gpa += piece;
		buf += piece;
		bytes -= piece;
	}
}

static void read_place(const struct emulator *e, const struct place *place, uint8_t *buf, unsigned int unit)
{
	read_part(e, place->gpa[0], buf, place->bytes[0], unit);
	if (place->bytes[1] > 0)
		read_part(e, place->gpa[1], buf + place->bytes[0], place->bytes[1], unit);
}

static void write_place(const struct emulator *e, const struct place *place, const uint8_t *buf, unsigned int unit)
{
	write_part(e, place->gpa[0], buf, place->bytes[0], unit);
	if (place->bytes[1] > 0)
		write_part(e, place->gpa[1], buf + place->bytes[0], place->bytes[1], unit);
}

static uint64_t load(const struct emulator *e, const struct place *place)
{
	uint64_t value = 0;

	read_place(e, place, (uint8_t *)&value, LARGEST_OPERAND);
	return value;
}

static void store(const struct emulator *e, const struct place *place, uint64_t value)
{
	write_place(e, place, (const uint8_t *)&value, LARGEST_OPERAND);
}

/*
 * The write half of read-modify-write. False: another vCPU was faster and the instruction must start again.
 * A locked operand that is not aligned is not atomic towards other vCPUs.
 */
static bool store_modified(const struct emulator *e, const struct place *place, uint64_t was, uint64_t value)
{
	bool atomic = e->insn.lock || e->insn.op == INSN_XCHG;
	uint64_t old = was;

	if (atomic && place->gpa[0] % e->insn.size == 0 &&
	    gmem_cmpxchg(e->mem, place->gpa[0], e->insn.size, &old, value))
		return old == was;
	store(e, place, value);
	return true;
}

/* Arithmetic */

static uint64_t result_flags(uint64_t result, unsigned int bytes)
{
	uint64_t parity = result & mask_of(1), flags = 0;

	parity ^= parity >> 4;
	parity ^= parity >> 2;
	parity ^= parity >> 1;
	if (!(parity & 1))
		flags |= FLAG_PF;
	if ((result & mask_of(bytes)) == 0)
		flags |= FLAG_ZF;
	if (result >> (8 * bytes - 1) & 1)
		flags |= FLAG_SF;
	return flags;
}

/* carries: the carry or borrow out of each bit; overflow: its top bit is OF. */
static uint64_t carry_flags(uint64_t carries, uint64_t overflow, unsigned int bytes)
{
	unsigned int top = 8 * bytes - 1;
	uint64_t flags = 0;

	if (carries >> top & 1)
		flags |= FLAG_CF;
	if (carries >> 3 & 1)
		flags |= FLAG_AF;
	if (overflow >> top & 1)
		flags |= FLAG_OF;
	return flags;
}

static uint64_t add(uint64_t a, uint64_t b, uint64_t carry, unsigned int bytes, uint64_t *flags)
{
	uint64_t sum = a + b + carry;

	*flags = result_flags(sum, bytes) | carry_flags((a & b) | ((a | b) & ~sum), (a ^ sum) & (b ^ sum), bytes);
	return sum;
}

static uint64_t subtract(uint64_t a, uint64_t b, uint64_t borrow, unsigned int bytes, uint64_t *flags)
{
	uint64_t rest = a - b - borrow;

	*flags = result_flags(rest, bytes) | carry_flags((~a & b) | ((~a | b) & rest), (a ^ b) & (a ^ rest), bytes);
	return rest;
}

static uint64_t change_bit(unsigned int op, uint64_t a, uint64_t b, unsigned int bytes, uint64_t *flags)
{
	uint64_t bit = 1ull << (b & (8 * bytes - 1));

	*flags = (*flags & ~FLAG_CF) | (a & bit ? FLAG_CF : 0);
	switch (op) {
	case INSN_BTS: return a | bit;
	case INSN_BTR: return a & ~bit;
	case INSN_BTC: return a ^ bit;
	default: return a;
	}
}

/*
 * Rotates and shifts bit by bit, which gives RCL and RCR their odd periods. OF is defined for one bit only (SDM vol. 2,
 * RCL and SAL): then it is a change of sign to the left, and to the right the two upper bits that differ.
 */
static uint64_t shift(unsigned int op, uint64_t value, unsigned int count, unsigned int bytes, uint64_t *flags)
{
	unsigned int top = 8 * bytes - 1;
	bool left = op == INSN_ROL || op == INSN_RCL || op == INSN_SHL;
	bool rotates = op == INSN_ROL || op == INSN_ROR || op == INSN_RCL || op == INSN_RCR;
	uint64_t carry = *flags & FLAG_CF;

	count &= bytes == 8 ? SHIFT_MOST_64 : SHIFT_MOST;
	if (count == 0)
		return value;
	for (; count > 0; count--) {
		uint64_t out = value >> (left ? top : 0) & 1, in = 0;

		if (op == INSN_ROL || op == INSN_ROR)
			in = out;
		else if (op == INSN_RCL || op == INSN_RCR)
			in = carry;
		else if (op == INSN_SAR)
			in = value >> top & 1;
		value = left ? (value << 1 | in) & mask_of(bytes) : value >> 1 | in << top;
		carry = out;
	}
	*flags = (rotates ? *flags & ~(FLAG_CF | FLAG_OF) : result_flags(value, bytes)) | (carry ? FLAG_CF : 0);
	if ((value >> top & 1) != (left ? carry : value >> (top - 1) & 1))
		*flags |= FLAG_OF;
	return value;
}

/* SDM vol. 1, appendix B: pairs of a condition and its opposite. */
static bool holds(unsigned int condition, uint64_t flags)
{
	bool carry = flags & FLAG_CF, zero = flags & FLAG_ZF, sign = flags & FLAG_SF, overflow = flags & FLAG_OF;
	const bool conditions[] = {
		overflow, carry, zero, carry || zero, sign, flags & FLAG_PF, sign != overflow,
		zero || sign != overflow,
	};

	return conditions[condition >> 1] != (condition & 1);
}

/* The result of op on a, the first operand, and b; *flags, on entry the flags before it, are those after it. */
static uint64_t compute(unsigned int op, uint64_t a, uint64_t b, unsigned int bytes, uint64_t *flags)
{
	uint64_t carry = *flags & FLAG_CF, result;

	switch (op) {
	case INSN_ADD: case INSN_XADD: return add(a, b, 0, bytes, flags);
	case INSN_ADC: return add(a, b, carry, bytes, flags);
	case INSN_SUB: case INSN_CMP: return subtract(a, b, 0, bytes, flags);
	case INSN_SBB: return subtract(a, b, carry, bytes, flags);
	case INSN_NEG: return subtract(0, a, 0, bytes, flags);
	case INSN_INC: case INSN_DEC:
		result = op == INSN_INC ? add(a, 1, 0, bytes, flags) : subtract(a, 1, 0, bytes, flags);
		*flags = (*flags & ~FLAG_CF) | carry;
		return result;
	case INSN_NOT: return ~a;
	case INSN_XCHG: return b;
	case INSN_BT: case INSN_BTS: case INSN_BTR: case INSN_BTC: return change_bit(op, a, b, bytes, flags);
	case INSN_ROL: case INSN_ROR: case INSN_RCL: case INSN_RCR: case INSN_SHL: case INSN_SHR: case INSN_SAR:
		return shift(op, a, b & mask_of(1), bytes, flags);
	case INSN_OR: result = a | b; break;
	case INSN_XOR: result = a ^ b; break;
	default: result = a & b; break;		/* AND, TEST */
	}
	*flags = result_flags(result, bytes);
	return result;
}

static void set_flags(struct emulator *e, uint64_t flags)
{
	e->regs.rflags = (e->regs.rflags & ~FLAGS_ARITHMETIC) | (flags & FLAGS_ARITHMETIC);
}

/* Instructions. Each sets regs.rip to next_rip when it is done, or leaves it to be started again. */

static enum emulate_result finish(struct emulator *e)
{
	e->regs.rip = e->next_rip;
	return EMULATE_DONE;
}

static uint64_t swap_bytes(uint64_t value, unsigned int bytes)
{
	return __builtin_bswap64(value) >> (64 - 8 * bytes);
}

static enum emulate_result move(struct emulator *e)
{
	const struct insn *insn = &e->insn;
	bool to_register = insn->form == INSN_RM;
	struct place place;
	uint64_t value;

	if (!locate_operand(e, to_register ? 0 : WALK_WRITE, &place))
		return EMULATE_EXCEPTION;
	if (to_register)
		value = load(e, &place);
	else
		value = insn->form == INSN_MI ? insn->immediate : get_operand(e);
	if (insn->op == INSN_MOVSX)
		value = sign_extend(value, insn->size);
	if (insn->op == INSN_MOVBE)
		value = swap_bytes(value, insn->size);
	if (to_register)
		set_operand(e, value);
	else
		store(e, &place, value);
	return finish(e);
}

static enum emulate_result touch(struct emulator *e)
{
	return finish(e);
}

static enum emulate_result compute_to_register(struct emulator *e)
{
	uint64_t flags = e->regs.rflags, result;
	struct place place;

	if (!locate_operand(e, 0, &place))
		return EMULATE_EXCEPTION;
	result = compute(e->insn.op, get_operand(e), load(e, &place), e->insn.size, &flags);
	if (e->insn.op != INSN_CMP)
		set_operand(e, result);
	set_flags(e, flags);
	return finish(e);
}

static enum emulate_result compute_to_memory(struct emulator *e)
{
	const struct insn *insn = &e->insn;
	bool writes = insn->op != INSN_CMP && insn->op != INSN_TEST && insn->op != INSN_BT;
	uint64_t flags = e->regs.rflags, operand, was, result;
	struct place place;

	if (!locate_operand(e, writes ? WALK_WRITE : 0, &place))
		return EMULATE_EXCEPTION;
	operand = insn->form == INSN_MI ? insn->immediate & mask_of(insn->size) : get_operand(e);
	was = load(e, &place);
	result = compute(insn->op, was, operand, insn->size, &flags);
	if (writes && !store_modified(e, &place, was, result))
		return EMULATE_DONE;
	if (insn->op == INSN_XCHG || insn->op == INSN_XADD)
		set_operand(e, was);
	set_flags(e, flags);
	return finish(e);
}

static enum emulate_result arithmetic(struct emulator *e)
{
	return e->insn.form == INSN_RM ? compute_to_register(e) : compute_to_memory(e);
}

/* A bit number in a register reaches any bit around the address (SDM vol. 2, BT); an immediate does not. */
static enum emulate_result bit_string(struct emulator *e)
{
	struct insn *insn = &e->insn;

	if (insn->form == INSN_MR) {
		int64_t number = (int64_t)sign_extend(get_operand(e), insn->size);

		insn->displacement += (number >> 3) & -(int64_t)insn->size;
	}
	return compute_to_memory(e);
}

/* The memory is written in any case (SDM vol. 2, CMPXCHG). */
static enum emulate_result compare_exchange(struct emulator *e)
{
	unsigned int size = e->insn.size;
	uint64_t flags, was;
	struct place place;
	bool equal;

	if (!locate_operand(e, WALK_WRITE, &place))
		return EMULATE_EXCEPTION;
	was = load(e, &place);
	subtract(get_gpr(e, KEEL_RAX, size), was, 0, size, &flags);
	equal = flags & FLAG_ZF;
	if (!store_modified(e, &place, was, equal ? get_operand(e) : was))
		return EMULATE_DONE;
	if (!equal)
		set_gpr(e, KEEL_RAX, size, was);
	set_flags(e, flags);
	return finish(e);
}

static enum emulate_result compare_exchange_8b(struct emulator *e)
{
	uint64_t compared = get_gpr(e, KEEL_RDX, 4) << 32 | get_gpr(e, KEEL_RAX, 4);
	uint64_t new = get_gpr(e, KEEL_RCX, 4) << 32 | get_gpr(e, KEEL_RBX, 4);
	struct place place;
	uint64_t was;

	if (!locate_operand(e, WALK_WRITE, &place))
		return EMULATE_EXCEPTION;
	was = load(e, &place);
	if (!store_modified(e, &place, was, was == compared ? new : was))
		return EMULATE_DONE;
	e->regs.rflags &= ~FLAG_ZF;
	if (was == compared) {
		e->regs.rflags |= FLAG_ZF;
	} else {
		set_gpr(e, KEEL_RAX, 4, was);
		set_gpr(e, KEEL_RDX, 4, was >> 32);
	}
	return finish(e);
}

static enum emulate_result store_segment(struct emulator *e)
{
	struct place place;

	if (!locate_operand(e, WALK_WRITE, &place))
		return EMULATE_EXCEPTION;
	store(e, &place, e->ctx->sregs.seg[e->insn.reg].selector);
	return finish(e);
}

static enum emulate_result store_condition(struct emulator *e)
{
	struct place place;

	if (!locate_operand(e, WALK_WRITE, &place))
		return EMULATE_EXCEPTION;
	store(e, &place, holds(e->insn.condition, e->regs.rflags));
	return finish(e);
}

/* Reads in any case, and a 32-bit register loses its upper half in any case (SDM vol. 2, CMOVcc). */
static enum emulate_result move_on_condition(struct emulator *e)
{
	struct place place;
	uint64_t value;

	if (!locate_operand(e, 0, &place))
		return EMULATE_EXCEPTION;
	value = load(e, &place);
	set_operand(e, holds(e->insn.condition, e->regs.rflags) ? value : get_operand(e));
	return finish(e);
}

static unsigned int stack_size(const struct emulator *e)
{
	if (e->mode == DECODE_64)
		return 8;
	return e->ctx->sregs.seg[KEEL_SEG_SS].attributes & SEGMENT_BIG ? 4 : 2;
}

static enum emulate_result push(struct emulator *e)
{
	uint64_t pointer = (e->regs.gpr[KEEL_RSP] - e->insn.size) & mask_of(stack_size(e));
	struct place source, target;

	if (!locate_operand(e, 0, &source) ||
	    !locate(e, KEEL_SEG_SS, pointer, e->insn.size, WALK_WRITE, &target))
		return EMULATE_EXCEPTION;
	store(e, &target, load(e, &source));
	set_gpr(e, KEEL_RSP, stack_size(e), pointer);
	return finish(e);
}

/* An address that starts from rSP uses the new one (SDM vol. 2, POP). */
static enum emulate_result pop(struct emulator *e)
{
	uint64_t pointer = get_gpr(e, KEEL_RSP, stack_size(e));
	struct place source, target;

	set_gpr(e, KEEL_RSP, stack_size(e), pointer + e->insn.size);
	if (!locate(e, KEEL_SEG_SS, pointer, e->insn.size, 0, &source) || !locate_operand(e, WALK_WRITE, &target))
		return EMULATE_EXCEPTION;
	store(e, &target, load(e, &source));
	return finish(e);
}

/* Strings */

static void advance(struct emulator *e, unsigned int reg, unsigned int bytes)
{
	unsigned int size = e->insn.address_size;
	uint64_t step = e->regs.rflags & FLAG_DF ? -(uint64_t)bytes : bytes;

	set_gpr(e, reg, size, get_gpr(e, reg, size) + step);
}

static bool locate_source(struct emulator *e, unsigned int bytes, struct place *place)
{
	return locate(e, e->insn.segment, get_gpr(e, KEEL_RSI, e->insn.address_size), bytes, 0, place);
}

static bool locate_target(struct emulator *e, unsigned int bytes, unsigned int access, struct place *place)
{
	return locate(e, KEEL_SEG_ES, get_gpr(e, KEEL_RDI, e->insn.address_size), bytes, access, place);
}

static bool move_element(struct emulator *e)
{
	struct place source, target;

	if (!locate_source(e, e->insn.size, &source) || !locate_target(e, e->insn.size, WALK_WRITE, &target))
		return false;
	store(e, &target, load(e, &source));
	advance(e, KEEL_RSI, e->insn.size);
	advance(e, KEEL_RDI, e->insn.size);
	return true;
}

static bool store_element(struct emulator *e)
{
	struct place target;

	if (!locate_target(e, e->insn.size, WALK_WRITE, &target))
		return false;
	store(e, &target, e->regs.gpr[KEEL_RAX]);
	advance(e, KEEL_RDI, e->insn.size);
	return true;
}

static bool load_element(struct emulator *e)
{
	struct place source;

	if (!locate_source(e, e->insn.size, &source))
		return false;
	set_gpr(e, KEEL_RAX, e->insn.size, load(e, &source));
	advance(e, KEEL_RSI, e->insn.size);
	return true;
}

static bool compare_elements(struct emulator *e)
{
	struct place source, target;
	uint64_t flags, first;

	if (!locate_source(e, e->insn.size, &source) || !locate_target(e, e->insn.size, 0, &target))
		return false;
	first = load(e, &source);
	subtract(first, load(e, &target), 0, e->insn.size, &flags);
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
	subtract(get_gpr(e, KEEL_RAX, e->insn.size), load(e, &target), 0, e->insn.size, &flags);
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
	bool zero = e->regs.rflags & FLAG_ZF;

	return compares && zero == (e->insn.repeat == INSN_REPNE);
}

static enum emulate_result string(struct emulator *e)
{
	unsigned int size = e->insn.address_size;

	if (e->insn.repeat == INSN_ONCE)
		return elements[e->insn.op](e) ? finish(e) : EMULATE_EXCEPTION;
	for (unsigned int done = 0; get_gpr(e, KEEL_RCX, size) != 0; done++) {
		if (done == e->most)
			return EMULATE_DONE;
		/* What was done stays done; the guest meets the fault when it goes on. */
		if (!elements[e->insn.op](e))
			return done > 0 ? EMULATE_DONE : EMULATE_EXCEPTION;
		set_gpr(e, KEEL_RCX, size, get_gpr(e, KEEL_RCX, size) - 1);
		if (is_found(e))
			break;
	}
	return finish(e);
}

static enum emulate_result (*const handlers[INSN_OP_COUNT])(struct emulator *e) = {
	[INSN_ADD] = arithmetic, [INSN_OR] = arithmetic, [INSN_ADC] = arithmetic, [INSN_SBB] = arithmetic,
	[INSN_AND] = arithmetic, [INSN_SUB] = arithmetic, [INSN_XOR] = arithmetic, [INSN_CMP] = arithmetic,
	[INSN_TEST] = arithmetic, [INSN_NOT] = arithmetic, [INSN_NEG] = arithmetic,
	[INSN_INC] = arithmetic, [INSN_DEC] = arithmetic,
	[INSN_BT] = bit_string, [INSN_BTS] = bit_string, [INSN_BTR] = bit_string, [INSN_BTC] = bit_string,
	[INSN_ROL] = arithmetic, [INSN_ROR] = arithmetic, [INSN_RCL] = arithmetic, [INSN_RCR] = arithmetic,
	[INSN_SHL] = arithmetic, [INSN_SHR] = arithmetic, [INSN_SAR] = arithmetic,
	[INSN_MOV_SEGMENT] = store_segment, [INSN_SETCC] = store_condition, [INSN_CMOVCC] = move_on_condition,
	[INSN_PUSH] = push, [INSN_POP] = pop,
	[INSN_XCHG] = arithmetic, [INSN_XADD] = arithmetic,
	[INSN_CMPXCHG] = compare_exchange, [INSN_CMPXCHG8B] = compare_exchange_8b,
	[INSN_MOV] = move, [INSN_MOVZX] = move, [INSN_MOVSX] = move, [INSN_MOVBE] = move, [INSN_NOP] = touch,
	[INSN_MOVS] = string, [INSN_STOS] = string, [INSN_LODS] = string,
	[INSN_CMPS] = string, [INSN_SCAS] = string,
};

/* Fetching */

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
	uint64_t base = wide ? 0 : e->ctx->sregs.seg[KEEL_SEG_CS].base, linear = base + e->regs.rip + *count, gpa;
	unsigned int room = WALK_PAGE_BYTES - linear % WALK_PAGE_BYTES, left = DECODE_LONGEST - *count;

	if (!walk_translate(e->ctx, e->mem, wide ? linear : (uint32_t)linear, WALK_FETCH, &gpa, e->fault))
		return EMULATE_EXCEPTION;
	if (left > room)
		left = room;
	if (!gmem_read(e->mem, gpa, bytes + *count, left))
		return EMULATE_UNKNOWN;
	*count += left;
	return EMULATE_DONE;
}

/* The second page is touched only if the instruction goes on there. */
static enum emulate_result fetch(struct emulator *e,
				 enum decode_result (*decode)(struct insn *insn, enum decode_mode mode,
							      const uint8_t *bytes, unsigned int count))
{
	enum decode_result decoded = DECODE_SHORT;
	uint8_t bytes[DECODE_LONGEST];
	unsigned int count = 0;

	while (decoded == DECODE_SHORT) {
		enum emulate_result result = fetch_page(e, bytes, &count);

		if (result != EMULATE_DONE)
			return result;
		decoded = decode(&e->insn, e->mode, bytes, count);
	}
	return decoded == DECODE_OK ? EMULATE_DONE : EMULATE_UNKNOWN;
}

static uint64_t following(const struct emulator *e)
{
	uint64_t rip = e->regs.rip + e->insn.length;

	return e->mode == DECODE_64 ? rip : (uint32_t)rip;
}

static struct emulator start(struct keel_context *ctx, const struct gmem *mem, const struct emulate_bus *bus,
			     unsigned int most, struct emulate_fault *fault)
{
	return (struct emulator) {
		.ctx = ctx, .mem = mem, .bus = bus, .fault = fault, .most = most,
		.mode = mode_of(&ctx->sregs), .regs = ctx->regs,
	};
}

enum emulate_result emulate_mmio(struct keel_context *ctx, const struct gmem *mem, const struct emulate_bus *bus,
				 unsigned int most, struct emulate_fault *fault)
{
	struct emulator e = start(ctx, mem, bus, most, fault);
	enum emulate_result result = EMULATE_DONE;

	/* The hardware stops at the end of a page: what it gave may be too short. */
	if (ctx->exit.insn_length == 0 ||
	    decode_insn(&e.insn, e.mode, ctx->exit.insn, ctx->exit.insn_length) != DECODE_OK)
		result = fetch(&e, decode_insn);
	if (result != EMULATE_DONE)
		return result;
	if (!handlers[e.insn.op])
		return EMULATE_UNKNOWN;
	e.next_rip = following(&e);
	result = handlers[e.insn.op](&e);
	if (result == EMULATE_DONE)
		ctx->regs = e.regs;
	return result;
}

enum emulate_result emulate_cr8_write(struct keel_context *ctx, const struct gmem *mem, uint64_t *value,
				      struct emulate_fault *fault)
{
	struct emulator e = start(ctx, mem, NULL, 0, fault);
	enum emulate_result result = fetch(&e, decode_cr8_write);

	if (result != EMULATE_DONE)
		return result;
	*value = get_gpr(&e, e.insn.reg, e.insn.reg_size);
	if (ctx->sregs.cpl > 0 || *value > CR8_MOST) {
		*fault = (struct emulate_fault) { .vector = VECTOR_GENERAL, .has_error_code = true };
		return EMULATE_EXCEPTION;
	}
	ctx->regs.rip = following(&e);
	return EMULATE_DONE;
}

/* String I/O */

/* Takes what the exit record tells, and asks the instruction for the rest. */
static enum emulate_result describe_io(struct emulator *e)
{
	const struct keel_exit *exit = &e->ctx->exit;
	bool in = exit->io & KEEL_IO_IN;

	if (exit->address_size == 0 || (!in && exit->segment >= KEEL_SEG_LDTR)) {
		enum emulate_result result = fetch(e, decode_insn);

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

/* How many elements from the offset on, at most count, are done at once: they lie in two pages at most. */
static unsigned int run_of(const struct emulator *e, uint64_t offset, uint64_t count)
{
	uint64_t room = mask_of(e->insn.address_size) - offset;

	if (e->regs.rflags & FLAG_DF)
		return 1;
	if (room > RUN_BYTES)
		room = RUN_BYTES;
	if (count > room / e->insn.size)
		count = room / e->insn.size;
	return count > 0 ? count : 1;
}

static void in_run(const struct emulator *e, const struct place *place, unsigned int count)
{
	const struct keel_exit *exit = &e->ctx->exit;
	uint8_t buf[RUN_BYTES];

	for (unsigned int i = 0; i < count; i++) {
		uint32_t value = e->bus->port_read(e->bus->owner, exit->port, e->insn.size);

		memcpy(buf + i * e->insn.size, &value, e->insn.size);
	}
	write_place(e, place, buf, e->insn.size);
}

static void out_run(const struct emulator *e, const struct place *place, unsigned int count)
{
	const struct keel_exit *exit = &e->ctx->exit;
	uint8_t buf[RUN_BYTES];

	read_place(e, place, buf, e->insn.size);
	for (unsigned int i = 0; i < count; i++) {
		uint32_t value = 0;

		memcpy(&value, buf + i * e->insn.size, e->insn.size);
		e->bus->port_write(e->bus->owner, exit->port, e->insn.size, value);
	}
}

/* Does up to count elements; 0: the first one faults. A run that is not good as a whole shrinks to one element. */
static unsigned int io_run(struct emulator *e, uint64_t count)
{
	bool in = e->ctx->exit.io & KEEL_IO_IN;
	unsigned int reg = in ? KEEL_RDI : KEEL_RSI, segment = in ? KEEL_SEG_ES : e->insn.segment;
	unsigned int access = in ? WALK_WRITE : 0, run;
	uint64_t offset = get_gpr(e, reg, e->insn.address_size);
	struct place place;

	run = run_of(e, offset, count);
	if (!locate(e, segment, offset, run * e->insn.size, access, &place)) {
		if (run == 1 || !locate(e, segment, offset, e->insn.size, access, &place))
			return 0;
		run = 1;
	}
	if (in)
		in_run(e, &place, run);
	else
		out_run(e, &place, run);
	advance(e, reg, run * e->insn.size);
	return run;
}

static enum emulate_result io_repeat(struct emulator *e)
{
	unsigned int size = e->insn.address_size, done = 0;
	uint64_t left = get_gpr(e, KEEL_RCX, size);

	while (left != 0 && done < e->most) {
		unsigned int room = e->most - done, run = io_run(e, left < room ? left : room);

		if (run == 0)
			return done > 0 ? EMULATE_DONE : EMULATE_EXCEPTION;
		done += run;
		left -= run;
		set_gpr(e, KEEL_RCX, size, left);
	}
	return left == 0 ? finish(e) : EMULATE_DONE;
}

enum emulate_result emulate_string_io(struct keel_context *ctx, const struct gmem *mem, const struct emulate_bus *bus,
				      unsigned int most, struct emulate_fault *fault)
{
	struct emulator e = start(ctx, mem, bus, most, fault);
	enum emulate_result result = describe_io(&e);

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
