// SPDX-License-Identifier: GPL-2.0
/* Instruction decoder: prefixes, opcodes, ModRM and SIB, immediates (Intel SDM vol. 2, chapter 2 and appendix A). */
#include <keel/cell.h>
#include "core/string.h"
#include "vcpu/decode_internal.h"

#define PREFIX_OPERAND_SIZE	0x66
#define PREFIX_ADDRESS_SIZE	0x67
#define PREFIX_LOCK	0xf0
#define PREFIX_REPNE	0xf2
#define PREFIX_REP	0xf3
#define PREFIX_ES	0x26
#define PREFIX_CS	0x2e
#define PREFIX_SS	0x36
#define PREFIX_DS	0x3e
#define PREFIX_FS	0x64
#define PREFIX_GS	0x65
#define PREFIX_REX_MASK	0xf0

#define ESCAPE_0F	0x0f
#define ESCAPE_0F38	0x38
#define ESCAPE_0F3A	0x3a
#define OPCODE_MOV_TO_CR 0x22	/* after 0F */

#define OPCODE_CONDITION 0x0f	/* of Jcc, SETcc, CMOVcc */

#define MOD_REGISTER	3u
#define RM_SIB		4u	/* 32- and 64-bit addresses */
#define RM_DISP32	5u	/* mod 0 */
#define RM16_DISP16	6u	/* mod 0, 16-bit addresses */
#define SIB_NO_INDEX	4u
#define SIB_NO_BASE	5u	/* mod 0 */

#define CONTROL_CR0	0u
#define CONTROL_CR8	8u

/* How an opcode table entry is read. */
enum form {
	FORM_NONE, FORM_M, FORM_MR, FORM_RM, FORM_MI, FORM_STRING,
	FORM_LOAD_OFFSET,	/* accumulator, absolute address */
	FORM_STORE_OFFSET,
	FORM_GROUP,		/* op is an enum group: the reg field of ModRM selects */
};

#define F_BYTE		(1u << 0)	/* operands of one byte */
#define F_MEM8		(1u << 1)	/* memory operand of one byte, register of operand size */
#define F_MEM16		(1u << 2)
#define F_IMM		(1u << 3)	/* immediate of operand size, at most 4 bytes */
#define F_IMM8		(1u << 4)
#define F_LOCK		(1u << 5)	/* LOCK is legal */
#define F_MODE64	(1u << 6)	/* in 64-bit mode only */
#define F_NO_OPSIZE	(1u << 7)	/* the operand size prefix selects another instruction */
#define F_NO_REP	(1u << 8)	/* so do F2 and F3 */
#define F_DWORD		(1u << 9)	/* 4 bytes, 8 with REX.W */
#define F_QWORD		(1u << 10)	/* 8 bytes, no REX.W */
#define F_MEM32		(1u << 11)	/* memory operand of at most 4 bytes */
#define F_MAX32		(1u << 12)	/* at most 4 bytes: port I/O */
#define F_LEGACY	(1u << 13)	/* not in 64-bit mode */
#define F_ONE		(1u << 14)	/* the immediate is 1 and takes no byte */
#define F_CL		(1u << 15)	/* the register is CL */
#define F_SEGMENT	(1u << 16)	/* the register is a segment's */
#define F_STACK		(1u << 17)	/* 8 bytes in 64-bit mode, 2 with the prefix */
#define F_OPSIZE	(1u << 18)	/* with the operand size prefix only */
#define F_REP		(1u << 19)	/* with F3 only */
#define F_REP_OTHER	(1u << 20)	/* F3 makes BSF and BSR TZCNT and LZCNT */
#define F_TABLE		(1u << 21)	/* limit and base of a descriptor table */

enum group {
	GROUP_ARITHMETIC, GROUP_MOV, GROUP_UNARY, GROUP_INCDEC, GROUP_BIT, GROUP_CMPXCHG8B, GROUP_FLUSH, GROUP_PREFETCH,
	GROUP_PREFETCHW, GROUP_SHIFT, GROUP_INCDEC_PUSH, GROUP_POP, GROUP_SELECTOR, GROUP_SYSTEM, GROUP_COUNT,
};

struct opcode {
	uint8_t op;
	uint8_t form;
	uint32_t flags;
};

#define ARITHMETIC(first, operation, lock)					\
	[(first) + 0] = { operation, FORM_MR, F_BYTE | (lock) },		\
	[(first) + 1] = { operation, FORM_MR, (lock) },				\
	[(first) + 2] = { operation, FORM_RM, F_BYTE },				\
	[(first) + 3] = { operation, FORM_RM, 0 }

#define STRING(first, operation)						\
	[(first) + 0] = { operation, FORM_STRING, F_BYTE },			\
	[(first) + 1] = { operation, FORM_STRING, 0 }

static const struct opcode one_byte[256] = {
	ARITHMETIC(0x00, INSN_ADD, F_LOCK),
	ARITHMETIC(0x08, INSN_OR, F_LOCK),
	ARITHMETIC(0x10, INSN_ADC, F_LOCK),
	ARITHMETIC(0x18, INSN_SBB, F_LOCK),
	ARITHMETIC(0x20, INSN_AND, F_LOCK),
	ARITHMETIC(0x28, INSN_SUB, F_LOCK),
	ARITHMETIC(0x30, INSN_XOR, F_LOCK),
	ARITHMETIC(0x38, INSN_CMP, 0),
	[0x63] = { INSN_MOVSX, FORM_RM, F_MODE64 | F_MEM32 },
	[0x69] = { INSN_IMUL_IMMEDIATE, FORM_RM, F_IMM },
	[0x6b] = { INSN_IMUL_IMMEDIATE, FORM_RM, F_IMM8 },
	[0x6c] = { INSN_INS, FORM_STRING, F_BYTE },
	[0x6d] = { INSN_INS, FORM_STRING, F_MAX32 },
	[0x6e] = { INSN_OUTS, FORM_STRING, F_BYTE },
	[0x6f] = { INSN_OUTS, FORM_STRING, F_MAX32 },
	[0x80] = { GROUP_ARITHMETIC, FORM_GROUP, F_BYTE | F_IMM8 },
	[0x81] = { GROUP_ARITHMETIC, FORM_GROUP, F_IMM },
	[0x82] = { GROUP_ARITHMETIC, FORM_GROUP, F_BYTE | F_IMM8 | F_LEGACY },
	[0x83] = { GROUP_ARITHMETIC, FORM_GROUP, F_IMM8 },
	[0x84] = { INSN_TEST, FORM_MR, F_BYTE },
	[0x85] = { INSN_TEST, FORM_MR, 0 },
	[0x86] = { INSN_XCHG, FORM_MR, F_BYTE | F_LOCK },
	[0x87] = { INSN_XCHG, FORM_MR, F_LOCK },
	[0x88] = { INSN_MOV, FORM_MR, F_BYTE },
	[0x89] = { INSN_MOV, FORM_MR, 0 },
	[0x8a] = { INSN_MOV, FORM_RM, F_BYTE },
	[0x8b] = { INSN_MOV, FORM_RM, 0 },
	[0x8c] = { INSN_MOV_SEGMENT, FORM_MR, F_MEM16 | F_SEGMENT },
	[0x8f] = { GROUP_POP, FORM_GROUP, 0 },
	[0xa0] = { INSN_MOV, FORM_LOAD_OFFSET, F_BYTE },
	[0xa1] = { INSN_MOV, FORM_LOAD_OFFSET, 0 },
	[0xa2] = { INSN_MOV, FORM_STORE_OFFSET, F_BYTE },
	[0xa3] = { INSN_MOV, FORM_STORE_OFFSET, 0 },
	STRING(0xa4, INSN_MOVS),
	STRING(0xa6, INSN_CMPS),
	STRING(0xaa, INSN_STOS),
	STRING(0xac, INSN_LODS),
	STRING(0xae, INSN_SCAS),
	[0xc0] = { GROUP_SHIFT, FORM_GROUP, F_BYTE | F_IMM8 },
	[0xc1] = { GROUP_SHIFT, FORM_GROUP, F_IMM8 },
	[0xc6] = { GROUP_MOV, FORM_GROUP, F_BYTE | F_IMM8 },
	[0xc7] = { GROUP_MOV, FORM_GROUP, F_IMM },
	[0xd0] = { GROUP_SHIFT, FORM_GROUP, F_BYTE | F_ONE },
	[0xd1] = { GROUP_SHIFT, FORM_GROUP, F_ONE },
	[0xd2] = { GROUP_SHIFT, FORM_GROUP, F_BYTE | F_CL },
	[0xd3] = { GROUP_SHIFT, FORM_GROUP, F_CL },
	[0xf6] = { GROUP_UNARY, FORM_GROUP, F_BYTE },
	[0xf7] = { GROUP_UNARY, FORM_GROUP, 0 },
	[0xfe] = { GROUP_INCDEC, FORM_GROUP, F_BYTE },
	[0xff] = { GROUP_INCDEC_PUSH, FORM_GROUP, 0 },
};

static const struct opcode two_byte[256] = {
	[0x00] = { GROUP_SELECTOR, FORM_GROUP, F_MEM16 },
	[0x01] = { GROUP_SYSTEM, FORM_GROUP, 0 },
	[0x0d] = { GROUP_PREFETCHW, FORM_GROUP, 0 },
	[0x18] = { GROUP_PREFETCH, FORM_GROUP, 0 },
	[0x40 ... 0x4f] = { INSN_CMOVCC, FORM_RM, 0 },
	[0x90 ... 0x9f] = { INSN_SETCC, FORM_M, F_BYTE },
	[0xa3] = { INSN_BT, FORM_MR, 0 },
	[0xa4] = { INSN_SHLD, FORM_MR, F_IMM8 },
	[0xa5] = { INSN_SHLD_CL, FORM_MR, 0 },
	[0xab] = { INSN_BTS, FORM_MR, F_LOCK },
	[0xac] = { INSN_SHRD, FORM_MR, F_IMM8 },
	[0xad] = { INSN_SHRD_CL, FORM_MR, 0 },
	[0xae] = { GROUP_FLUSH, FORM_GROUP, F_NO_REP },
	[0xaf] = { INSN_IMUL_REGISTER, FORM_RM, 0 },
	[0xb0] = { INSN_CMPXCHG, FORM_MR, F_BYTE | F_LOCK },
	[0xb1] = { INSN_CMPXCHG, FORM_MR, F_LOCK },
	[0xb3] = { INSN_BTR, FORM_MR, F_LOCK },
	[0xb6] = { INSN_MOVZX, FORM_RM, F_MEM8 },
	[0xb7] = { INSN_MOVZX, FORM_RM, F_MEM16 },
	[0xb8] = { INSN_POPCNT, FORM_RM, F_REP },
	[0xba] = { GROUP_BIT, FORM_GROUP, F_IMM8 },
	[0xbb] = { INSN_BTC, FORM_MR, F_LOCK },
	[0xbc] = { INSN_BSF, FORM_RM, F_REP_OTHER },
	[0xbd] = { INSN_BSR, FORM_RM, F_REP_OTHER },
	[0xbe] = { INSN_MOVSX, FORM_RM, F_MEM8 },
	[0xbf] = { INSN_MOVSX, FORM_RM, F_MEM16 },
	[0xc0] = { INSN_XADD, FORM_MR, F_BYTE | F_LOCK },
	[0xc1] = { INSN_XADD, FORM_MR, F_LOCK },
	[0xc3] = { INSN_MOV, FORM_MR, F_DWORD | F_NO_OPSIZE | F_NO_REP },	/* MOVNTI */
	[0xc7] = { GROUP_CMPXCHG8B, FORM_GROUP, 0 },
};

static const struct opcode three_byte_38[256] = {
	[0xf0] = { INSN_MOVBE, FORM_RM, F_NO_REP },
	[0xf1] = { INSN_MOVBE, FORM_MR, F_NO_REP },
};

static const struct opcode groups[GROUP_COUNT][8] = {
	[GROUP_ARITHMETIC] = {
		{ INSN_ADD, FORM_MI, F_LOCK }, { INSN_OR, FORM_MI, F_LOCK },
		{ INSN_ADC, FORM_MI, F_LOCK }, { INSN_SBB, FORM_MI, F_LOCK },
		{ INSN_AND, FORM_MI, F_LOCK }, { INSN_SUB, FORM_MI, F_LOCK },
		{ INSN_XOR, FORM_MI, F_LOCK }, { INSN_CMP, FORM_MI, 0 },
	},
	[GROUP_MOV] = { { INSN_MOV, FORM_MI, 0 } },
	/* /1 is /0 once more, on every processor there is. */
	[GROUP_UNARY] = {
		{ INSN_TEST, FORM_MI, F_IMM }, { INSN_TEST, FORM_MI, F_IMM },
		{ INSN_NOT, FORM_M, F_LOCK }, { INSN_NEG, FORM_M, F_LOCK },
		{ INSN_MUL, FORM_M, 0 }, { INSN_IMUL, FORM_M, 0 }, { INSN_DIV, FORM_M, 0 }, { INSN_IDIV, FORM_M, 0 },
	},
	[GROUP_INCDEC] = { { INSN_INC, FORM_M, F_LOCK }, { INSN_DEC, FORM_M, F_LOCK } },
	[GROUP_INCDEC_PUSH] = {
		{ INSN_INC, FORM_M, F_LOCK }, { INSN_DEC, FORM_M, F_LOCK }, [6] = { INSN_PUSH, FORM_M, F_STACK },
	},
	[GROUP_POP] = { { INSN_POP, FORM_M, F_STACK } },
	/* /6 is /4 once more. */
	[GROUP_SHIFT] = {
		{ INSN_ROL, FORM_MI, 0 }, { INSN_ROR, FORM_MI, 0 }, { INSN_RCL, FORM_MI, 0 }, { INSN_RCR, FORM_MI, 0 },
		{ INSN_SHL, FORM_MI, 0 }, { INSN_SHR, FORM_MI, 0 }, { INSN_SHL, FORM_MI, 0 }, { INSN_SAR, FORM_MI, 0 },
	},
	[GROUP_BIT] = {
		[4] = { INSN_BT, FORM_MI, 0 }, { INSN_BTS, FORM_MI, F_LOCK },
		{ INSN_BTR, FORM_MI, F_LOCK }, { INSN_BTC, FORM_MI, F_LOCK },
	},
	[GROUP_CMPXCHG8B] = { [1] = { INSN_CMPXCHG8B, FORM_M, F_QWORD | F_LOCK } },
	[GROUP_FLUSH] = { [6] = { INSN_NOP, FORM_M, F_MEM8 | F_OPSIZE }, { INSN_NOP, FORM_M, F_MEM8 } },
	[GROUP_PREFETCH] = { [0 ... 3] = { INSN_NOP, FORM_M, F_MEM8 } },
	[GROUP_PREFETCHW] = { [0 ... 7] = { INSN_NOP, FORM_M, F_MEM8 } },
	[GROUP_SELECTOR] = { { INSN_SLDT, FORM_M, 0 }, { INSN_STR, FORM_M, 0 } },
	[GROUP_SYSTEM] = {
		{ INSN_SGDT, FORM_M, F_TABLE }, { INSN_SIDT, FORM_M, F_TABLE }, [4] = { INSN_SMSW, FORM_M, F_MEM16 },
	},
};

static unsigned int modrm_mod(const struct decoder *d)
{
	return d->modrm >> 6;
}

static unsigned int modrm_reg(const struct decoder *d)
{
	return d->modrm >> 3 & 7;
}

static unsigned int modrm_rm(const struct decoder *d)
{
	return d->modrm & 7;
}

bool decode_peek(const struct decoder *d, unsigned int ahead, uint8_t *byte)
{
	if (d->count - d->at <= ahead)
		return false;
	*byte = d->bytes[d->at + ahead];
	return true;
}

bool decode_take(struct decoder *d, uint8_t *byte)
{
	if (!decode_peek(d, 0, byte))
		return false;
	d->at++;
	return true;
}

/* Little-endian and sign-extended. */
static bool take_signed(struct decoder *d, unsigned int bytes, int64_t *value)
{
	uint64_t raw = 0;

	if (d->count - d->at < bytes)
		return false;
	for (unsigned int i = 0; i < bytes; i++)
		raw |= (uint64_t)d->bytes[d->at + i] << (8 * i);
	d->at += bytes;
	*value = (int64_t)(raw << (64 - 8 * bytes)) >> (64 - 8 * bytes);
	return true;
}

/* In 64-bit mode the prefixes of ES, CS, SS and DS count for nothing (SDM vol. 1, 3.3.7.1). */
static void set_segment(struct decoder *d, enum keel_segment segment)
{
	if (d->mode != DECODE_64 || segment == KEEL_SEG_FS || segment == KEEL_SEG_GS)
		d->segment = segment;
}

static bool take_prefix(struct decoder *d, uint8_t byte)
{
	switch (byte) {
	case PREFIX_OPERAND_SIZE: d->operand_prefix = true; return true;
	case PREFIX_ADDRESS_SIZE: d->address_prefix = true; return true;
	case PREFIX_LOCK: d->lock = true; return true;
	case PREFIX_REPNE: d->repeat = INSN_REPNE; return true;
	case PREFIX_REP: d->repeat = INSN_REPE; return true;
	case PREFIX_ES: set_segment(d, KEEL_SEG_ES); return true;
	case PREFIX_CS: set_segment(d, KEEL_SEG_CS); return true;
	case PREFIX_SS: set_segment(d, KEEL_SEG_SS); return true;
	case PREFIX_DS: set_segment(d, KEEL_SEG_DS); return true;
	case PREFIX_FS: set_segment(d, KEEL_SEG_FS); return true;
	case PREFIX_GS: set_segment(d, KEEL_SEG_GS); return true;
	default: return false;
	}
}

/* A REX prefix counts only right before the opcode (SDM vol. 2, 2.2.1). */
static bool take_prefixes(struct decoder *d)
{
	uint8_t byte;

	for (; decode_peek(d, 0, &byte); d->at++) {
		if (take_prefix(d, byte))
			d->rex = 0;
		else if (d->mode == DECODE_64 && (byte & PREFIX_REX_MASK) == PREFIX_REX)
			d->rex = byte;
		else
			return true;
	}
	return false;
}

static bool take_opcode(struct decoder *d)
{
	d->map = MAP_ONE_BYTE;
	if (!decode_take(d, &d->opcode))
		return false;
	if (d->opcode != ESCAPE_0F)
		return true;
	d->map = MAP_0F;
	if (!decode_take(d, &d->opcode))
		return false;
	if (d->opcode != ESCAPE_0F38 && d->opcode != ESCAPE_0F3A)
		return true;
	d->map = d->opcode == ESCAPE_0F38 ? MAP_0F38 : MAP_0F3A;
	return decode_take(d, &d->opcode);
}

/* One that has vector registers, or none that is known, has no form. */
static struct opcode find_opcode(const struct decoder *d)
{
	switch ((enum opcode_map)d->map) {
	case MAP_ONE_BYTE:
		return one_byte[d->opcode];
	case MAP_0F:
		return two_byte[d->opcode];
	case MAP_0F38:
		return three_byte_38[d->opcode];
	case MAP_0F3A:
		break;
	}
	return (struct opcode){ 0 };
}

static unsigned int operand_size(const struct decoder *d, unsigned int flags)
{
	unsigned int small = 2, large = 4;

	if (flags & F_BYTE)
		return 1;
	if (flags & F_QWORD)
		return 8;
	if (d->rex & REX_W)
		return flags & F_MAX32 ? 4 : 8;
	if (flags & F_DWORD)
		return 4;
	if ((flags & F_STACK) && d->mode == DECODE_64)
		return d->operand_prefix ? 2 : 8;
	return (d->mode == DECODE_16) != d->operand_prefix ? small : large;
}

static void set_sizes(struct decoder *d, unsigned int flags)
{
	struct insn *insn = d->insn;

	insn->reg_size = operand_size(d, flags);
	insn->size = insn->reg_size;
	if (flags & F_MEM8)
		insn->size = 1;
	else if (flags & F_MEM16)
		insn->size = 2;
	else if ((flags & F_MEM32) && insn->size > 4)
		insn->size = 4;
	else if (flags & F_TABLE)
		insn->size = d->mode == DECODE_64 ? 10 : 6;
	else if ((flags & F_QWORD) && (d->rex & REX_W))
		insn->size = 16;
}

static unsigned int address_size(const struct decoder *d)
{
	switch (d->mode) {
	case DECODE_16: return d->address_prefix ? 4 : 2;
	case DECODE_32: return d->address_prefix ? 2 : 4;
	case DECODE_64: break;
	}
	return d->address_prefix ? 4 : 8;
}

/* Byte registers 4 to 7 are AH, CH, DH, BH unless there is a REX prefix (SDM vol. 2, table 3-1). */
static void set_register(struct decoder *d, unsigned int flags)
{
	struct insn *insn = d->insn;

	if (flags & F_CL) {
		insn->form = INSN_MR;
		insn->reg = KEEL_RCX;
		insn->reg_size = 1;
		return;
	}
	if (flags & F_SEGMENT) {
		insn->reg = modrm_reg(d);
		return;
	}
	insn->reg = modrm_reg(d) | (d->rex & REX_R ? 8 : 0);
	if (insn->reg_size == 1 && !d->rex && insn->reg >= 4) {
		insn->reg -= 4;
		insn->reg_high = true;
	}
}

/* SDM vol. 2, table 2-1. */
static const struct {
	uint8_t base, index;
} address_16[8] = {
	{ KEEL_RBX, KEEL_RSI }, { KEEL_RBX, KEEL_RDI }, { KEEL_RBP, KEEL_RSI }, { KEEL_RBP, KEEL_RDI },
	{ KEEL_RSI, INSN_NO_REGISTER }, { KEEL_RDI, INSN_NO_REGISTER },
	{ KEEL_RBP, INSN_NO_REGISTER }, { KEEL_RBX, INSN_NO_REGISTER },
};

static bool take_address_16(struct decoder *d)
{
	static const uint8_t displacement_bytes[MOD_REGISTER] = { 0, 1, 2 };
	struct insn *insn = d->insn;
	unsigned int bytes = displacement_bytes[modrm_mod(d)];

	insn->base = address_16[modrm_rm(d)].base;
	insn->index = address_16[modrm_rm(d)].index;
	if (modrm_mod(d) == 0 && modrm_rm(d) == RM16_DISP16) {
		insn->base = INSN_NO_REGISTER;
		bytes = 2;
	}
	return bytes == 0 || take_signed(d, bytes, &insn->displacement);
}

/* True in *absolute: there is no base, 4 bytes of displacement follow. */
static bool take_sib(struct decoder *d, bool *absolute)
{
	struct insn *insn = d->insn;
	unsigned int index;
	uint8_t sib;

	if (!decode_take(d, &sib))
		return false;
	insn->base = (sib & 7) | (d->rex & REX_B ? 8 : 0);
	index = (sib >> 3 & 7) | (d->rex & REX_X ? 8 : 0);
	if (index != SIB_NO_INDEX) {
		insn->index = index;
		insn->scale = sib >> 6;
	}
	*absolute = modrm_mod(d) == 0 && (sib & 7) == SIB_NO_BASE;
	if (*absolute)
		insn->base = INSN_NO_REGISTER;
	return true;
}

/* SDM vol. 2, tables 2-2 and 2-3, section 2.2.1.6. */
static bool take_address_32(struct decoder *d)
{
	static const uint8_t displacement_bytes[MOD_REGISTER] = { 0, 1, 4 };
	struct insn *insn = d->insn;
	unsigned int bytes = displacement_bytes[modrm_mod(d)];
	bool absolute = false;

	if (modrm_rm(d) == RM_SIB) {
		if (!take_sib(d, &absolute))
			return false;
	} else if (modrm_mod(d) == 0 && modrm_rm(d) == RM_DISP32) {
		insn->base = d->mode == DECODE_64 ? INSN_RIP : INSN_NO_REGISTER;
		absolute = true;
	} else {
		insn->base = modrm_rm(d) | (d->rex & REX_B ? 8 : 0);
	}
	if (absolute)
		bytes = 4;
	return bytes == 0 || take_signed(d, bytes, &insn->displacement);
}

static bool take_address(struct decoder *d)
{
	return d->insn->address_size == 2 ? take_address_16(d) : take_address_32(d);
}

static bool take_offset(struct decoder *d, enum insn_form form)
{
	d->insn->form = form;
	d->insn->reg = KEEL_RAX;
	return take_signed(d, d->insn->address_size, &d->insn->displacement);
}

static bool take_immediate(struct decoder *d, unsigned int flags)
{
	unsigned int bytes = d->insn->reg_size > 4 ? 4 : d->insn->reg_size;
	int64_t value;

	if (flags & F_ONE)
		d->insn->immediate = 1;
	if (!(flags & (F_IMM | F_IMM8)))
		return true;
	if (!take_signed(d, flags & F_IMM8 ? 1 : bytes, &value))
		return false;
	d->insn->immediate = (uint64_t)value;
	return true;
}

static bool is_legal(const struct decoder *d, const struct opcode *entry)
{
	if (entry->form == FORM_NONE)
		return false;
	if ((entry->flags & F_MODE64) && d->mode != DECODE_64)
		return false;
	if ((entry->flags & F_LEGACY) && d->mode == DECODE_64)
		return false;
	if ((entry->flags & F_NO_OPSIZE) && d->operand_prefix)
		return false;
	if ((entry->flags & F_NO_REP) && d->repeat != INSN_ONCE)
		return false;
	if ((entry->flags & F_OPSIZE) && !d->operand_prefix)
		return false;
	if ((entry->flags & F_REP) && d->repeat != INSN_REPE)
		return false;
	if ((entry->flags & F_SEGMENT) && modrm_reg(d) > KEEL_SEG_GS)
		return false;
	return !d->lock || (entry->flags & F_LOCK);
}

/* SS is the default of the addresses that start from the stack or frame pointer. */
static uint8_t segment_of(const struct decoder *d)
{
	if (d->segment != KEEL_SEG_NONE)
		return d->segment;
	return d->insn->base == KEEL_RSP || d->insn->base == KEEL_RBP ? KEEL_SEG_SS : KEEL_SEG_DS;
}

static const uint8_t forms[] = {
	[FORM_M] = INSN_M, [FORM_MR] = INSN_MR, [FORM_RM] = INSN_RM, [FORM_MI] = INSN_MI, [FORM_STRING] = INSN_STRING,
};

static bool take_operands(struct decoder *d, const struct opcode *entry)
{
	struct insn *insn = d->insn;

	switch (entry->form) {
	case FORM_STRING:
		insn->form = INSN_STRING;
		insn->repeat = d->repeat;
		return true;
	case FORM_LOAD_OFFSET:
		return take_offset(d, INSN_RM);
	case FORM_STORE_OFFSET:
		return take_offset(d, INSN_MR);
	default:
		insn->form = forms[entry->form];
		set_register(d, entry->flags);
		return take_address(d) && take_immediate(d, entry->flags);
	}
}

static bool has_modrm(const struct opcode *entry)
{
	return entry->form != FORM_STRING && entry->form != FORM_LOAD_OFFSET && entry->form != FORM_STORE_OFFSET;
}

/* REX.W and F3 make other instructions of some. */
static uint8_t operation(const struct decoder *d, const struct opcode *entry)
{
	if (entry->op == INSN_CMPXCHG8B && d->rex & REX_W)
		return INSN_CMPXCHG16B;
	if (entry->flags & F_REP_OTHER && d->repeat == INSN_REPE)
		return entry->op == INSN_BSF ? INSN_TZCNT : INSN_LZCNT;
	return entry->op;
}

static enum decode_result take_modrm(struct decoder *d)
{
	if (!decode_take(d, &d->modrm))
		return DECODE_SHORT;
	return modrm_mod(d) == MOD_REGISTER ? DECODE_UNKNOWN : DECODE_OK;
}

static enum decode_result finish(struct decoder *d)
{
	d->insn->segment = segment_of(d);
	d->insn->length = d->at;
	return DECODE_OK;
}

static enum decode_result decode_vector(struct decoder *d)
{
	struct insn *insn = d->insn;
	enum decode_result result;
	bool immediate;
	int64_t value;

	if (!decode_vector_form(d, &immediate))
		return DECODE_UNKNOWN;
	result = take_modrm(d);
	if (result != DECODE_OK)
		return result;
	insn->reg = modrm_reg(d) | (d->rex & REX_R ? 8 : 0);
	insn->second = d->vex ? d->second & (d->mode == DECODE_64 ? 15 : 7) : insn->reg;
	insn->address_size = address_size(d);
	if (!take_address(d))
		return DECODE_SHORT;
	if (immediate) {
		if (!take_signed(d, 1, &value))
			return DECODE_SHORT;
		insn->immediate = (uint64_t)value;
	}
	return finish(d);
}

static enum decode_result decode_general(struct decoder *d, struct opcode chosen)
{
	if (has_modrm(&chosen)) {
		enum decode_result result = take_modrm(d);

		if (result != DECODE_OK)
			return result;
	}
	if (chosen.form == FORM_GROUP) {
		uint32_t flags = chosen.flags;

		chosen = groups[chosen.op][modrm_reg(d)];
		chosen.flags |= flags;
	}
	if (!is_legal(d, &chosen))
		return DECODE_UNKNOWN;

	d->insn->op = operation(d, &chosen);
	d->insn->condition = d->opcode & OPCODE_CONDITION;
	d->insn->lock = d->lock;
	d->insn->address_size = address_size(d);
	set_sizes(d, chosen.flags);
	return take_operands(d, &chosen) ? finish(d) : DECODE_SHORT;
}

static enum decode_result decode(struct decoder *d)
{
	struct opcode entry;
	bool vex;

	if (!take_prefixes(d) || decode_vex_follows(d, &vex) != DECODE_OK)
		return DECODE_SHORT;
	if (vex) {
		enum decode_result result = decode_take_vex(d);

		return result == DECODE_OK ? decode_vector(d) : result;
	}
	if (!take_opcode(d))
		return DECODE_SHORT;
	entry = find_opcode(d);
	return entry.form == FORM_NONE ? decode_vector(d) : decode_general(d, entry);
}

/*
 * The mod field counts for nothing. With LOCK, CR0 means CR8: outside 64-bit mode there is no other way
 * (APM vol. 3, MOV CRn).
 */
static enum decode_result decode_control(struct decoder *d)
{
	struct insn *insn = d->insn;
	unsigned int control;
	uint8_t byte;

	if (!take_prefixes(d) || !decode_take(d, &byte))
		return DECODE_SHORT;
	if (byte != ESCAPE_0F)
		return DECODE_UNKNOWN;
	if (!decode_take(d, &byte))
		return DECODE_SHORT;
	if (byte != OPCODE_MOV_TO_CR)
		return DECODE_UNKNOWN;
	if (!decode_take(d, &d->modrm))
		return DECODE_SHORT;
	control = modrm_reg(d) | (d->rex & REX_R ? 8 : 0);
	if (control != CONTROL_CR8 && !(d->lock && control == CONTROL_CR0))
		return DECODE_UNKNOWN;
	insn->op = INSN_MOV;
	insn->lock = d->lock;
	insn->reg = modrm_rm(d) | (d->rex & REX_B ? 8 : 0);
	insn->reg_size = d->mode == DECODE_64 ? 8 : 4;
	insn->length = d->at;
	return DECODE_OK;
}

static enum decode_result decode_by(enum decode_result (*function)(struct decoder *d), struct insn *insn,
				    enum decode_mode mode, const uint8_t *bytes, unsigned int count)
{
	struct decoder d = {
		.bytes = bytes,
		.count = count < DECODE_LONGEST ? count : DECODE_LONGEST,
		.mode = mode,
		.segment = KEEL_SEG_NONE,
		.insn = insn,
	};
	enum decode_result result;

	*insn = (struct insn){ .base = INSN_NO_REGISTER, .index = INSN_NO_REGISTER };
	result = function(&d);
	return result == DECODE_SHORT && count >= DECODE_LONGEST ? DECODE_UNKNOWN : result;
}

enum decode_result decode_insn(struct insn *insn, enum decode_mode mode, const uint8_t *bytes, unsigned int count)
{
	return decode_by(decode, insn, mode, bytes, count);
}

static __attribute__((noinline)) const struct insn *learn(struct decoded *decoded, enum decode_mode mode, const uint8_t *bytes)
{
	decoded->mode = 0;
	if (decode_insn(&decoded->insn, mode, bytes, DECODE_LONGEST) != DECODE_OK)
		return NULL;
	memcpy(&decoded->first, bytes, sizeof(decoded->first));
	memcpy(&decoded->last, bytes + DECODE_LONGEST - sizeof(decoded->last), sizeof(decoded->last));
	decoded->mode = mode + 1u;
	return &decoded->insn;
}

const struct insn *decode_again(struct decode_known *known, enum decode_mode mode, const uint8_t *bytes, uint64_t rip)
{
	struct decoded *decoded = &known->entry[(rip ^ rip / DECODE_KNOWN) % DECODE_KNOWN];
	uint64_t first, last;

	memcpy(&first, bytes, sizeof(first));
	memcpy(&last, bytes + DECODE_LONGEST - sizeof(last), sizeof(last));
	if (decoded->first != first || decoded->last != last || decoded->mode != mode + 1u)
		return learn(decoded, mode, bytes);
	return &decoded->insn;
}

enum decode_result decode_cr8_write(struct insn *insn, enum decode_mode mode, const uint8_t *bytes,
				    unsigned int count)
{
	return decode_by(decode_control, insn, mode, bytes, count);
}
