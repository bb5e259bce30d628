// SPDX-License-Identifier: GPL-2.0
/* The arithmetic of instructions. */
#include "vcpu/alu.h"
#include "vcpu/decode.h"

#define SHIFT_MOST	31u
#define SHIFT_MOST_64	63u

static uint64_t result_flags(uint64_t result, unsigned int bytes)
{
	uint64_t parity = result & alu_mask(1), flags = 0;

	parity ^= parity >> 4;
	parity ^= parity >> 2;
	parity ^= parity >> 1;
	if (!(parity & 1))
		flags |= ALU_PF;
	if ((result & alu_mask(bytes)) == 0)
		flags |= ALU_ZF;
	if (result >> (8 * bytes - 1) & 1)
		flags |= ALU_SF;
	return flags;
}

/* carries: the carry or borrow out of each bit; overflow: its top bit is OF. */
static uint64_t carry_flags(uint64_t carries, uint64_t overflow, unsigned int bytes)
{
	unsigned int top = 8 * bytes - 1;
	uint64_t flags = 0;

	if (carries >> top & 1)
		flags |= ALU_CF;
	if (carries >> 3 & 1)
		flags |= ALU_AF;
	if (overflow >> top & 1)
		flags |= ALU_OF;
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

	*flags = (*flags & ~ALU_CF) | (a & bit ? ALU_CF : 0);
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
	uint64_t carry = *flags & ALU_CF;

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
		value = left ? (value << 1 | in) & alu_mask(bytes) : value >> 1 | in << top;
		carry = out;
	}
	*flags = (rotates ? *flags & ~(ALU_CF | ALU_OF) : result_flags(value, bytes)) | (carry ? ALU_CF : 0);
	if ((value >> top & 1) != (left ? carry : value >> (top - 1) & 1))
		*flags |= ALU_OF;
	return value;
}

/* Pairs of a condition and its opposite. */
bool alu_holds(unsigned int condition, uint64_t flags)
{
	bool carry = flags & ALU_CF, zero = flags & ALU_ZF, sign = flags & ALU_SF, overflow = flags & ALU_OF;
	const bool conditions[] = {
		overflow, carry, zero, carry || zero, sign, flags & ALU_PF, sign != overflow,
		zero || sign != overflow,
	};

	return conditions[condition >> 1] != (condition & 1);
}

void alu_compare(uint64_t a, uint64_t b, unsigned int bytes, uint64_t *flags)
{
	subtract(a, b, 0, bytes, flags);
}

uint64_t alu_compute(unsigned int op, uint64_t a, uint64_t b, unsigned int bytes, uint64_t *flags)
{
	uint64_t carry = *flags & ALU_CF, result;

	switch (op) {
	case INSN_ADD: case INSN_XADD: return add(a, b, 0, bytes, flags);
	case INSN_ADC: return add(a, b, carry, bytes, flags);
	case INSN_SUB: case INSN_CMP: return subtract(a, b, 0, bytes, flags);
	case INSN_SBB: return subtract(a, b, carry, bytes, flags);
	case INSN_NEG: return subtract(0, a, 0, bytes, flags);
	case INSN_INC: case INSN_DEC:
		result = op == INSN_INC ? add(a, 1, 0, bytes, flags) : subtract(a, 1, 0, bytes, flags);
		*flags = (*flags & ~ALU_CF) | carry;
		return result;
	case INSN_NOT: return ~a;
	case INSN_XCHG: return b;
	case INSN_BT: case INSN_BTS: case INSN_BTR: case INSN_BTC: return change_bit(op, a, b, bytes, flags);
	case INSN_ROL: case INSN_ROR: case INSN_RCL: case INSN_RCR: case INSN_SHL: case INSN_SHR: case INSN_SAR:
		return shift(op, a, b & alu_mask(1), bytes, flags);
	case INSN_OR: result = a | b; break;
	case INSN_XOR: result = a ^ b; break;
	default: result = a & b; break;		/* AND, TEST */
	}
	*flags = result_flags(result, bytes);
	return result;
}

static int64_t sign_extended(uint64_t value, unsigned int bytes)
{
	unsigned int shift = 64 - 8 * bytes;

	return (int64_t)(value << shift) >> shift;
}

void alu_multiply(bool with_sign, uint64_t a, uint64_t b, unsigned int bytes, uint64_t *low, uint64_t *high, uint64_t *flags)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	bool matters;

	if (with_sign)
		product = (unsigned __int128)((__int128)sign_extended(a, bytes) * sign_extended(b, bytes));
	*low = (uint64_t)product & alu_mask(bytes);
	*high = (uint64_t)(product >> (8 * bytes)) & alu_mask(bytes);
	matters = with_sign ? (__int128)product != sign_extended(*low, bytes) : *high != 0;
	*flags = result_flags(*low, bytes) | (matters ? ALU_CF | ALU_OF : 0);
}

/* The processor's instruction: a division of 128 bits in C is a library's. False: it would fault. */
static bool divide(unsigned __int128 dividend, uint64_t divisor, uint64_t *quotient, uint64_t *rest)
{
	uint64_t high = (uint64_t)(dividend >> 64), low = (uint64_t)dividend;

	if (high >= divisor)
		return false;
	__asm__("divq %4" : "=a"(*quotient), "=d"(*rest) : "0"(low), "1"(high), "r"(divisor) : "cc");
	return true;
}

/* The rest has the dividend's sign. */
static bool divide_signed(__int128 dividend, int64_t divisor, unsigned int bytes, uint64_t *quotient, uint64_t *rest)
{
	bool negative = (dividend < 0) != (divisor < 0);
	uint64_t most = (alu_mask(bytes) >> 1) + negative;

	if (!divide(dividend < 0 ? -(unsigned __int128)dividend : (unsigned __int128)dividend,
		    divisor < 0 ? -(uint64_t)divisor : (uint64_t)divisor, quotient, rest) || *quotient > most)
		return false;
	if (negative)
		*quotient = -*quotient;
	if (dividend < 0)
		*rest = -*rest;
	return true;
}

bool alu_divide(bool with_sign, uint64_t divisor, unsigned int bytes, uint64_t *low, uint64_t *high)
{
	unsigned __int128 dividend = (unsigned __int128)*high << (8 * bytes) | *low;
	unsigned int unused = 128 - 16 * bytes;
	uint64_t quotient, rest;

	if (with_sign) {
		if (!divide_signed((__int128)(dividend << unused) >> unused, sign_extended(divisor, bytes), bytes, &quotient,
				   &rest))
			return false;
	} else if (!divide(dividend, divisor, &quotient, &rest) || quotient > alu_mask(bytes)) {
		return false;
	}
	*low = quotient & alu_mask(bytes);
	*high = rest & alu_mask(bytes);
	return true;
}

static unsigned int bits_set(uint64_t value)
{
	unsigned int count = 0;

	for (; value != 0; value &= value - 1)
		count++;
	return count;
}

bool alu_count(unsigned int op, uint64_t value, unsigned int bytes, uint64_t *result, uint64_t *flags)
{
	unsigned int bits = 8 * bytes;
	unsigned int lowest = value ? (unsigned int)__builtin_ctzll(value) : bits;
	unsigned int above = value ? (unsigned int)__builtin_clzll(value) - (64 - bits) : bits;

	switch (op) {
	case INSN_BSF: case INSN_BSR:
		*result = op == INSN_BSF ? lowest : bits - 1 - above;
		*flags = value ? 0 : ALU_ZF;
		return value != 0;
	case INSN_POPCNT:
		*result = bits_set(value);
		*flags = value ? 0 : ALU_ZF;
		return true;
	default:			/* TZCNT, LZCNT */
		*result = op == INSN_TZCNT ? lowest : above;
		*flags = (value ? 0 : ALU_CF) | (*result ? 0 : ALU_ZF);
		return true;
	}
}

uint64_t alu_shift_double(bool left, uint64_t a, uint64_t b, unsigned int count, unsigned int bytes, uint64_t *flags)
{
	unsigned int bits = 8 * bytes, top = bits - 1;
	uint64_t result, out;

	count &= bytes == 8 ? SHIFT_MOST_64 : SHIFT_MOST;
	if (count == 0 || count > bits)
		return a;
	if (count == bits)
		result = b;
	else
		result = left ? a << count | b >> (bits - count) : a >> count | b << (bits - count);
	out = a >> (left ? bits - count : count - 1) & 1;
	*flags = result_flags(result, bytes) | (out ? ALU_CF : 0) | ((a ^ result) >> top & 1 ? ALU_OF : 0);
	return result;
}
