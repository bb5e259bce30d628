// SPDX-License-Identifier: GPL-2.0
/* Carries out one instruction on a vCPU's registers, the guest's memory and the device bus. */
#include <cpuid.h>
#include <stddef.h>

#include <x86/cpuid.h>
#include <x86/registers.h>

#include "core/string.h"
#include "vcpu/emulate_internal.h"

#define CR8_MOST	15u

#define SEGMENT_LONG	(1u << 9)

#define EBX7_BMI1	(1u << 3)
#define ECX81_LZCNT	(1u << 5)

static uint64_t sign_extend(uint64_t value, unsigned int bytes)
{
	unsigned int shift = 64 - 8 * bytes;

	return (uint64_t)((int64_t)(value << shift) >> shift);
}

/* Registers */

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

static void set_flags(struct emulator *e, uint64_t flags)
{
	e->regs.rflags = (e->regs.rflags & ~ALU_FLAGS) | (flags & ALU_FLAGS);
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

/* Strings */

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

static enum emulate_result string(struct emulator *e)
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

/* The second page is touched only if the instruction goes on there. What was read stays in the exit record, to be told. */
static enum emulate_result fetch(struct emulator *e,
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

/* Registers and instruction are to follow. */
static void start(struct emulator *e, struct keel_context *ctx, const struct gmem *mem, struct bus *bus, unsigned int most,
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

	start(&e, ctx, mem, bus, most, fault);
	if (known) {
		e.insn = *known;
		decoded = DECODE_OK;
	} else if (ctx->exit.insn_length) {
		/* The hardware stops at the end of a page. */
		decoded = decode_insn(&e.insn, e.mode, ctx->exit.insn, ctx->exit.insn_length);
	}
	result = decoded == DECODE_OK ? EMULATE_DONE : EMULATE_UNKNOWN;
	if (decoded == DECODE_SHORT)
		result = fetch(&e, decode_insn);
	if (result != EMULATE_DONE)
		return result;
	if (!handlers[e.insn.op])
		return EMULATE_UNKNOWN;
	if (!known && move_told(ctx, mem, bus, &e.insn, e.mode))
		return EMULATE_DONE;
	e.next_rip = following(ctx, &e.insn, e.mode);
	e.regs = ctx->regs;
	result = handlers[e.insn.op](&e);
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

	start(&e, ctx, mem, NULL, 0, fault);
	e.regs = ctx->regs;
	result = fetch(&e, decode_cr8_write);
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

	start(&e, ctx, mem, bus, most, fault);
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
