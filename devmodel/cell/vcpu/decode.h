/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Decoder of the instructions that move or change memory with general registers, of those that move it to or from vector
 * registers, and of those that store system registers (Intel SDM vol. 2). Only forms with a memory operand are known, and
 * MOV to CR8, which has a function to itself. docs/processors.md lists what is not.
 */
#ifndef KEEL_DECODE_H
#define KEEL_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#define DECODE_LONGEST 15u	/* bytes of the longest legal instruction */

#define INSN_NO_REGISTER 0xffu
#define INSN_RIP	0x10u	/* as a base: the address of the next instruction */

enum decode_mode {
	DECODE_16,
	DECODE_32,
	DECODE_64,
};

enum decode_result {
	DECODE_OK,
	DECODE_SHORT,		/* the instruction goes on after the bytes given */
	DECODE_UNKNOWN,
};

enum insn_op {
	INSN_NONE,
	INSN_ADD,
	INSN_OR,
	INSN_ADC,
	INSN_SBB,
	INSN_AND,
	INSN_SUB,
	INSN_XOR,
	INSN_CMP,
	INSN_TEST,
	INSN_NOT,
	INSN_NEG,
	INSN_INC,
	INSN_DEC,
	INSN_BT,
	INSN_BTS,
	INSN_BTR,
	INSN_BTC,
	INSN_ROL,
	INSN_ROR,
	INSN_RCL,
	INSN_RCR,
	INSN_SHL,
	INSN_SHR,
	INSN_SAR,
	INSN_XCHG,
	INSN_XADD,
	INSN_CMPXCHG,
	INSN_CMPXCHG8B,
	INSN_CMPXCHG16B,
	/* Of the accumulator. */
	INSN_MUL,
	INSN_IMUL,
	INSN_DIV,
	INSN_IDIV,
	/* IMUL of two operands, and of three. */
	INSN_IMUL_REGISTER,
	INSN_IMUL_IMMEDIATE,
	INSN_BSF,
	INSN_BSR,
	INSN_TZCNT,
	INSN_LZCNT,
	INSN_POPCNT,
	INSN_SHLD,
	INSN_SHRD,
	INSN_SHLD_CL,
	INSN_SHRD_CL,
	INSN_MOV,
	INSN_MOVZX,
	INSN_MOVSX,
	INSN_MOVBE,
	INSN_NOP,
	INSN_MOV_SEGMENT,
	INSN_SETCC,
	INSN_CMOVCC,
	INSN_PUSH,
	INSN_POP,
	INSN_SLDT,
	INSN_STR,
	INSN_SMSW,
	INSN_SGDT,
	INSN_SIDT,
	/* Vector registers. Elements of 'size' bytes; INSERT and EXTRACT: the immediate is the element's number. */
	INSN_VECTOR_LOAD,	/* the rest of the register's first 16 bytes becomes 0 */
	INSN_VECTOR_STORE,
	INSN_VECTOR_INSERT,
	INSN_VECTOR_EXTRACT,
	INSN_VECTOR_BROADCAST,
	INSN_MOVDDUP,
	INSN_MOVSLDUP,
	INSN_MOVSHDUP,
	/* Strings. */
	INSN_MOVS,
	INSN_STOS,
	INSN_LODS,
	INSN_CMPS,
	INSN_SCAS,
	INSN_INS,
	INSN_OUTS,
	INSN_OP_COUNT,
};

enum insn_form {
	INSN_M,			/* memory only */
	INSN_MR,		/* memory is the first operand, a register the second */
	INSN_RM,		/* the other way round */
	INSN_MI,		/* memory and an immediate */
	INSN_STRING,		/* memory at rSI, rDI or both */
};

enum insn_repeat {
	INSN_ONCE,
	INSN_REPE,		/* REP too */
	INSN_REPNE,
};

struct insn {
	uint8_t op;		/* enum insn_op */
	uint8_t form;		/* enum insn_form */
	uint8_t length;
	uint8_t size;		/* bytes of the memory operand, at most 32; of one element of a string */
	uint8_t address_size;	/* 2, 4 or 8 */
	uint8_t segment;	/* enum keel_segment of the memory operand; of the source of a string */
	uint8_t repeat;		/* enum insn_repeat; INSN_ONCE if not a string instruction */
	bool lock;
	uint8_t condition;	/* SETCC, CMOVCC: as encoded (SDM vol. 1, appendix B) */
	uint8_t reg;		/* enum keel_gpr of the register operand; MOV_SEGMENT: enum keel_segment */
	uint8_t reg_size;	/* in bytes */
	bool reg_high;		/* AH, CH, DH, BH: bits 8 to 15 of reg */
	uint8_t base;		/* enum keel_gpr, INSN_RIP or INSN_NO_REGISTER */
	uint8_t index;		/* enum keel_gpr or INSN_NO_REGISTER */
	uint8_t scale;		/* shift of index */
	int64_t displacement;
	uint64_t immediate;	/* sign-extended */
	/* Vector instructions: reg is a vector register, reg_size 16 or 32. */
	bool vex;		/* bits above reg_size become 0 */
	bool aligned;		/* the memory operand must be */
	uint8_t second;		/* INSERT: the register that the rest comes from */
};

/*
 * Instructions that were decoded. All zeros: none. What is found here is what decode_insn makes of the same bytes, so that it
 * never has to be dropped.
 */
#define DECODE_KNOWN	64u

struct decode_known {
	struct decoded {
		uint64_t first;		/* the first 8 bytes of the longest instruction, */
		uint64_t last;		/* and the last 8 */
		uint32_t mode;		/* enum decode_mode + 1; 0: the entry is empty */
		struct insn insn;
	} entry[DECODE_KNOWN];
};

/* DECODE_LONGEST bytes at this RIP, which says where they may be found again. NULL: DECODE_UNKNOWN. */
const struct insn *decode_again(struct decode_known *known, enum decode_mode mode, const uint8_t *bytes, uint64_t rip);

enum decode_result decode_insn(struct insn *insn, enum decode_mode mode, const uint8_t *bytes, unsigned int count);
/* MOV to CR8 and nothing else: op MOV, reg and reg_size tell the source. No other operand is set. */
enum decode_result decode_cr8_write(struct insn *insn, enum decode_mode mode, const uint8_t *bytes,
				    unsigned int count);

#endif
