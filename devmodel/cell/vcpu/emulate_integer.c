// SPDX-License-Identifier: GPL-2.0
/* Carries out what uses general registers or stores system registers; the list of all instructions. */
#include <cpuid.h>

#include <x86/cpuid.h>
#include <x86/registers.h>

#include "core/string.h"
#include "vcpu/emulate_internal.h"

#define ECX81_LZCNT	(1u << 5)

static uint64_t sign_extend(uint64_t value, unsigned int bytes)
{
	unsigned int shift = 64 - 8 * bytes;

	return (uint64_t)((int64_t)(value << shift) >> shift);
}

static uint64_t get_operand(const struct emulator *e)
{
	const struct insn *insn = &e->insn;

	return insn->reg_high ? e->regs.gpr[insn->reg] >> 8 & alu_mask(1) : get_gpr(e, insn->reg, insn->reg_size);
}

static void set_operand(struct emulator *e, uint64_t value)
{
	const struct insn *insn = &e->insn;
	uint64_t high = alu_mask(1) << 8;

	if (insn->reg_high)
		e->regs.gpr[insn->reg] = (e->regs.gpr[insn->reg] & ~high) | (value << 8 & high);
	else
		set_gpr(e, insn->reg, insn->reg_size, value);
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

	if (!place_operand(e, to_register ? 0 : WALK_WRITE, &place))
		return EMULATE_EXCEPTION;
	if (to_register)
		value = place_load(e, &place);
	else
		value = insn->form == INSN_MI ? insn->immediate : get_operand(e);
	if (insn->op == INSN_MOVSX)
		value = sign_extend(value, insn->size);
	if (insn->op == INSN_MOVBE)
		value = swap_bytes(value, insn->size);
	if (to_register)
		set_operand(e, value);
	else
		place_store(e, &place, value);
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

	if (!place_operand(e, 0, &place))
		return EMULATE_EXCEPTION;
	result = alu_compute(e->insn.op, get_operand(e), place_load(e, &place), e->insn.size, &flags);
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

	if (!place_operand(e, writes ? WALK_WRITE : 0, &place))
		return EMULATE_EXCEPTION;
	operand = insn->form == INSN_MI ? insn->immediate & alu_mask(insn->size) : get_operand(e);
	was = place_load(e, &place);
	result = alu_compute(insn->op, was, operand, insn->size, &flags);
	if (writes && !place_modify(e, &place, was, result))
		return EMULATE_AGAIN;
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

	if (!place_operand(e, WALK_WRITE, &place))
		return EMULATE_EXCEPTION;
	was = place_load(e, &place);
	alu_compare(get_gpr(e, KEEL_RAX, size), was, size, &flags);
	equal = flags & ALU_ZF;
	if (!place_modify(e, &place, was, equal ? get_operand(e) : was))
		return EMULATE_AGAIN;
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

	if (!place_operand(e, WALK_WRITE, &place))
		return EMULATE_EXCEPTION;
	was = place_load(e, &place);
	if (!place_modify(e, &place, was, was == compared ? new : was))
		return EMULATE_AGAIN;
	e->regs.rflags &= ~ALU_ZF;
	if (was == compared) {
		e->regs.rflags |= ALU_ZF;
	} else {
		set_gpr(e, KEEL_RAX, 4, was);
		set_gpr(e, KEEL_RDX, 4, was >> 32);
	}
	return finish(e);
}

/* Not atomic towards other vCPUs: nothing but registers of devices comes here, or memory that cannot be written. */
static enum emulate_result compare_exchange_16b(struct emulator *e)
{
	uint64_t was[2], new[2] = { e->regs.gpr[KEEL_RBX], e->regs.gpr[KEEL_RCX] };
	struct place place;
	bool equal;

	if (!place_operand(e, WALK_WRITE, &place))
		return EMULATE_EXCEPTION;
	if (place.gpa[0] % sizeof(was) != 0) {
		*e->fault = (struct emulate_fault){ .vector = EXC_GP, .has_error_code = true };
		return EMULATE_EXCEPTION;
	}
	place_read(e, &place, (uint8_t *)was, sizeof(was[0]));
	equal = was[0] == e->regs.gpr[KEEL_RAX] && was[1] == e->regs.gpr[KEEL_RDX];
	place_write(e, &place, (const uint8_t *)(equal ? new : was), sizeof(was[0]));
	e->regs.rflags &= ~ALU_ZF;
	if (equal) {
		e->regs.rflags |= ALU_ZF;
	} else {
		e->regs.gpr[KEEL_RAX] = was[0];
		e->regs.gpr[KEEL_RDX] = was[1];
	}
	return finish(e);
}

/* The accumulator's upper half is AH for bytes, else rDX. */
static void get_accumulator(const struct emulator *e, uint64_t *low, uint64_t *high)
{
	unsigned int size = e->insn.size;

	*low = get_gpr(e, KEEL_RAX, size);
	*high = size == 1 ? e->regs.gpr[KEEL_RAX] >> 8 & alu_mask(1) : get_gpr(e, KEEL_RDX, size);
}

static void set_accumulator(struct emulator *e, uint64_t low, uint64_t high)
{
	unsigned int size = e->insn.size;

	if (size == 1) {
		set_gpr(e, KEEL_RAX, 2, high << 8 | low);
		return;
	}
	set_gpr(e, KEEL_RAX, size, low);
	set_gpr(e, KEEL_RDX, size, high);
}

static enum emulate_result multiply(struct emulator *e)
{
	uint64_t low, high, flags;
	struct place place;

	if (!place_operand(e, 0, &place))
		return EMULATE_EXCEPTION;
	get_accumulator(e, &low, &high);
	alu_multiply(e->insn.op == INSN_IMUL, low, place_load(e, &place), e->insn.size, &low, &high, &flags);
	set_accumulator(e, low, high);
	set_flags(e, flags);
	return finish(e);
}

static enum emulate_result divide(struct emulator *e)
{
	struct place place;
	uint64_t low, high;

	if (!place_operand(e, 0, &place))
		return EMULATE_EXCEPTION;
	get_accumulator(e, &low, &high);
	if (!alu_divide(e->insn.op == INSN_IDIV, place_load(e, &place), e->insn.size, &low, &high)) {
		*e->fault = (struct emulate_fault){ .vector = EXC_DE };
		return EMULATE_EXCEPTION;
	}
	set_accumulator(e, low, high);
	return finish(e);
}

static enum emulate_result multiply_register(struct emulator *e)
{
	uint64_t factor = e->insn.op == INSN_IMUL_IMMEDIATE ? e->insn.immediate & alu_mask(e->insn.size) : get_operand(e);
	uint64_t low, high, flags;
	struct place place;

	if (!place_operand(e, 0, &place))
		return EMULATE_EXCEPTION;
	alu_multiply(true, place_load(e, &place), factor, e->insn.size, &low, &high, &flags);
	set_operand(e, low);
	set_flags(e, flags);
	return finish(e);
}

/* A processor without TZCNT or LZCNT ignores the prefix (SDM vol. 2, TZCNT and LZCNT). */
static unsigned int counting_op(unsigned int op)
{
	unsigned int eax, ebx, ecx, edx;

	if (op == INSN_TZCNT && !(__get_cpuid_count(CPUID_FEATURES_7, 0, &eax, &ebx, &ecx, &edx) && ebx & EBX7_BMI1))
		return INSN_BSF;
	if (op == INSN_LZCNT && !(__get_cpuid(CPUID_EXTENDED_FEATURES, &eax, &ebx, &ecx, &edx) && ecx & ECX81_LZCNT))
		return INSN_BSR;
	return op;
}

static enum emulate_result count_bits(struct emulator *e)
{
	uint64_t result, flags;
	struct place place;

	if (!place_operand(e, 0, &place))
		return EMULATE_EXCEPTION;
	if (alu_count(counting_op(e->insn.op), place_load(e, &place), e->insn.size, &result, &flags))
		set_operand(e, result);
	set_flags(e, flags);
	return finish(e);
}

static enum emulate_result shift_double(struct emulator *e)
{
	const struct insn *insn = &e->insn;
	bool by_cl = insn->op == INSN_SHLD_CL || insn->op == INSN_SHRD_CL;
	bool left = insn->op == INSN_SHLD || insn->op == INSN_SHLD_CL;
	uint64_t count = by_cl ? get_gpr(e, KEEL_RCX, 1) : insn->immediate & alu_mask(1);
	uint64_t flags = e->regs.rflags, was, result;
	struct place place;

	if (!place_operand(e, WALK_WRITE, &place))
		return EMULATE_EXCEPTION;
	was = place_load(e, &place);
	result = alu_shift_double(left, was, get_operand(e), (unsigned int)count, insn->size, &flags);
	place_store(e, &place, result);
	set_flags(e, flags);
	return finish(e);
}

/* What stores a system register exists in protected mode only, or is the kernel's with UMIP (SDM vol. 2, each of them). */
static bool may_store(struct emulator *e, bool in_real_mode)
{
	const struct keel_sregs *s = &e->ctx->sregs;

	if (!in_real_mode && (!(s->cr0 & CR0_PE) || e->regs.rflags & RFLAGS_VM)) {
		*e->fault = (struct emulate_fault){ .vector = EXC_UD };
		return false;
	}
	if (s->cr4 & CR4_UMIP && s->cpl > 0) {
		*e->fault = (struct emulate_fault){ .vector = EXC_GP, .has_error_code = true };
		return false;
	}
	return true;
}

static enum emulate_result store_system(struct emulator *e)
{
	const struct keel_sregs *s = &e->ctx->sregs;
	struct place place;

	if (!may_store(e, e->insn.op == INSN_SMSW) || !place_operand(e, WALK_WRITE, &place))
		return EMULATE_EXCEPTION;
	if (e->insn.op == INSN_SMSW)
		place_store(e, &place, s->cr0);
	else
		place_store(e, &place, s->seg[e->insn.op == INSN_STR ? KEEL_SEG_TR : KEEL_SEG_LDTR].selector);
	return finish(e);
}

static enum emulate_result store_table(struct emulator *e)
{
	const struct keel_sregs *s = &e->ctx->sregs;
	bool gdt = e->insn.op == INSN_SGDT;
	uint16_t limit = (uint16_t)(gdt ? s->gdt_limit : s->idt_limit);
	uint64_t base = gdt ? s->gdt_base : s->idt_base;
	uint8_t bytes[sizeof(limit) + sizeof(base)];
	struct place place;

	if (!may_store(e, true) || !place_operand(e, WALK_WRITE, &place))
		return EMULATE_EXCEPTION;
	memcpy(bytes, &limit, sizeof(limit));
	memcpy(bytes + sizeof(limit), &base, sizeof(base));
	place_write(e, &place, bytes, sizeof(base));
	return finish(e);
}

static enum emulate_result store_segment(struct emulator *e)
{
	struct place place;

	if (!place_operand(e, WALK_WRITE, &place))
		return EMULATE_EXCEPTION;
	place_store(e, &place, e->ctx->sregs.seg[e->insn.reg].selector);
	return finish(e);
}

static enum emulate_result store_condition(struct emulator *e)
{
	struct place place;

	if (!place_operand(e, WALK_WRITE, &place))
		return EMULATE_EXCEPTION;
	place_store(e, &place, alu_holds(e->insn.condition, e->regs.rflags));
	return finish(e);
}

/* Reads in any case, and a 32-bit register loses its upper half in any case (SDM vol. 2, CMOVcc). */
static enum emulate_result move_on_condition(struct emulator *e)
{
	struct place place;
	uint64_t value;

	if (!place_operand(e, 0, &place))
		return EMULATE_EXCEPTION;
	value = place_load(e, &place);
	set_operand(e, alu_holds(e->insn.condition, e->regs.rflags) ? value : get_operand(e));
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
	uint64_t pointer = (e->regs.gpr[KEEL_RSP] - e->insn.size) & alu_mask(stack_size(e));
	struct place source, target;

	if (!place_operand(e, 0, &source) ||
	    !place_at(e, KEEL_SEG_SS, pointer, e->insn.size, WALK_WRITE, &target))
		return EMULATE_EXCEPTION;
	place_store(e, &target, place_load(e, &source));
	set_gpr(e, KEEL_RSP, stack_size(e), pointer);
	return finish(e);
}

/* An address that starts from rSP uses the new one (SDM vol. 2, POP). */
static enum emulate_result pop(struct emulator *e)
{
	uint64_t pointer = get_gpr(e, KEEL_RSP, stack_size(e));
	struct place source, target;

	set_gpr(e, KEEL_RSP, stack_size(e), pointer + e->insn.size);
	if (!place_at(e, KEEL_SEG_SS, pointer, e->insn.size, 0, &source) || !place_operand(e, WALK_WRITE, &target))
		return EMULATE_EXCEPTION;
	place_store(e, &target, place_load(e, &source));
	return finish(e);
}

enum emulate_result (*const emulate_handlers[INSN_OP_COUNT])(struct emulator *e) = {
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
	[INSN_CMPXCHG16B] = compare_exchange_16b,
	[INSN_MUL] = multiply, [INSN_IMUL] = multiply, [INSN_DIV] = divide, [INSN_IDIV] = divide,
	[INSN_IMUL_REGISTER] = multiply_register, [INSN_IMUL_IMMEDIATE] = multiply_register,
	[INSN_BSF] = count_bits, [INSN_BSR] = count_bits, [INSN_TZCNT] = count_bits, [INSN_LZCNT] = count_bits,
	[INSN_POPCNT] = count_bits,
	[INSN_SHLD] = shift_double, [INSN_SHRD] = shift_double, [INSN_SHLD_CL] = shift_double, [INSN_SHRD_CL] = shift_double,
	[INSN_SLDT] = store_system, [INSN_STR] = store_system, [INSN_SMSW] = store_system,
	[INSN_SGDT] = store_table, [INSN_SIDT] = store_table,
	[INSN_VECTOR_LOAD] = emulate_vector, [INSN_VECTOR_STORE] = emulate_vector, [INSN_VECTOR_INSERT] = emulate_vector,
	[INSN_VECTOR_EXTRACT] = emulate_vector, [INSN_VECTOR_BROADCAST] = emulate_vector,
	[INSN_MOVDDUP] = emulate_vector, [INSN_MOVSLDUP] = emulate_vector, [INSN_MOVSHDUP] = emulate_vector,
	[INSN_MOV] = move, [INSN_MOVZX] = move, [INSN_MOVSX] = move, [INSN_MOVBE] = move, [INSN_NOP] = touch,
	[INSN_MOVS] = emulate_string, [INSN_STOS] = emulate_string, [INSN_LODS] = emulate_string,
	[INSN_CMPS] = emulate_string, [INSN_SCAS] = emulate_string,
};
