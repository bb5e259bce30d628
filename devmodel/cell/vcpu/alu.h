/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The arithmetic of instructions, on operands of 1, 2, 4 or 8 bytes. Bits above these are 0 in an operand and mean nothing in
 * a result. Pure.
 */
#ifndef KEEL_ALU_H
#define KEEL_ALU_H

#include <stdbool.h>
#include <stdint.h>

/* In RFLAGS. */
#define ALU_CF		(1ull << 0)
#define ALU_PF		(1ull << 2)
#define ALU_AF		(1ull << 4)
#define ALU_ZF		(1ull << 6)
#define ALU_SF		(1ull << 7)
#define ALU_OF		(1ull << 11)
#define ALU_FLAGS	(ALU_CF | ALU_PF | ALU_AF | ALU_ZF | ALU_SF | ALU_OF)

static inline uint64_t alu_mask(unsigned int bytes)
{
	return UINT64_MAX >> (64 - 8 * bytes);
}

/*
 * The result of op, an INSN_* of decode.h, on a, the first operand, and b. *flags, on entry the flags before it, are those after
 * it; only ALU_FLAGS are of use.
 */
uint64_t alu_compute(unsigned int op, uint64_t a, uint64_t b, unsigned int bytes, uint64_t *flags);
/* The flags of a - b. */
void alu_compare(uint64_t a, uint64_t b, unsigned int bytes, uint64_t *flags);
/* a * b in two halves; CF and OF of the flags tell whether the upper one matters. */
void alu_multiply(bool with_sign, uint64_t a, uint64_t b, unsigned int bytes, uint64_t *low, uint64_t *high, uint64_t *flags);
/* The dividend is high:low; the quotient becomes low and the rest high. False: it does not fit, or the divisor is 0. */
bool alu_divide(bool with_sign, uint64_t divisor, unsigned int bytes, uint64_t *low, uint64_t *high);
/* BSF, BSR, TZCNT, LZCNT, POPCNT. False: BSF and BSR of 0, which leave the destination alone. */
bool alu_count(unsigned int op, uint64_t value, unsigned int bytes, uint64_t *result, uint64_t *flags);
/* SHLD (left) and SHRD: the bits that come in are b's. A count of more than the operand has leaves it alone. */
uint64_t alu_shift_double(bool left, uint64_t a, uint64_t b, unsigned int count, unsigned int bytes, uint64_t *flags);
/* Whether a condition, as it is encoded in Jcc and SETcc, holds (SDM vol. 1, appendix B). */
bool alu_holds(unsigned int condition, uint64_t flags);

#endif
