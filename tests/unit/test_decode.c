// SPDX-License-Identifier: GPL-2.0
/* The decoder against Zydis: generated encodings in the three modes, then random bytes. */
#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>
#include <keel/cell.h>
#include <keel/macros.h>
#include "vcpu/decode.h"
#include "suite.h"

#define RANDOM_ROUNDS	60000

static const struct {
	ZydisMnemonic mnemonic;
	enum insn_op op;
} known[] = {
	{ ZYDIS_MNEMONIC_ADD, INSN_ADD }, { ZYDIS_MNEMONIC_OR, INSN_OR }, { ZYDIS_MNEMONIC_ADC, INSN_ADC },
	{ ZYDIS_MNEMONIC_SBB, INSN_SBB }, { ZYDIS_MNEMONIC_AND, INSN_AND }, { ZYDIS_MNEMONIC_SUB, INSN_SUB },
	{ ZYDIS_MNEMONIC_XOR, INSN_XOR }, { ZYDIS_MNEMONIC_CMP, INSN_CMP }, { ZYDIS_MNEMONIC_TEST, INSN_TEST },
	{ ZYDIS_MNEMONIC_NOT, INSN_NOT }, { ZYDIS_MNEMONIC_NEG, INSN_NEG }, { ZYDIS_MNEMONIC_INC, INSN_INC },
	{ ZYDIS_MNEMONIC_DEC, INSN_DEC }, { ZYDIS_MNEMONIC_BT, INSN_BT }, { ZYDIS_MNEMONIC_BTS, INSN_BTS },
	{ ZYDIS_MNEMONIC_BTR, INSN_BTR }, { ZYDIS_MNEMONIC_BTC, INSN_BTC }, { ZYDIS_MNEMONIC_XCHG, INSN_XCHG },
	{ ZYDIS_MNEMONIC_XADD, INSN_XADD }, { ZYDIS_MNEMONIC_CMPXCHG, INSN_CMPXCHG },
	{ ZYDIS_MNEMONIC_CMPXCHG8B, INSN_CMPXCHG8B }, { ZYDIS_MNEMONIC_MOV, INSN_MOV },
	{ ZYDIS_MNEMONIC_MOVNTI, INSN_MOV }, { ZYDIS_MNEMONIC_MOVZX, INSN_MOVZX }, { ZYDIS_MNEMONIC_MOVSX, INSN_MOVSX },
	{ ZYDIS_MNEMONIC_MOVSXD, INSN_MOVSX }, { ZYDIS_MNEMONIC_MOVBE, INSN_MOVBE },
	{ ZYDIS_MNEMONIC_PREFETCH, INSN_NOP }, { ZYDIS_MNEMONIC_PREFETCHW, INSN_NOP },
	{ ZYDIS_MNEMONIC_PREFETCHWT1, INSN_NOP }, { ZYDIS_MNEMONIC_PREFETCHNTA, INSN_NOP },
	{ ZYDIS_MNEMONIC_PREFETCHT0, INSN_NOP }, { ZYDIS_MNEMONIC_PREFETCHT1, INSN_NOP },
	{ ZYDIS_MNEMONIC_PREFETCHT2, INSN_NOP }, { ZYDIS_MNEMONIC_CLFLUSH, INSN_NOP },
	{ ZYDIS_MNEMONIC_CLFLUSHOPT, INSN_NOP },
	{ ZYDIS_MNEMONIC_SETO, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVO, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETNO, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVNO, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETB, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVB, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETNB, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVNB, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETZ, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVZ, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETNZ, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVNZ, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETBE, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVBE, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETNBE, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVNBE, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETS, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVS, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETNS, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVNS, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETP, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVP, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETNP, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVNP, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETL, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVL, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETNL, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVNL, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETLE, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVLE, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_SETNLE, INSN_SETCC }, { ZYDIS_MNEMONIC_CMOVNLE, INSN_CMOVCC },
	{ ZYDIS_MNEMONIC_ROL, INSN_ROL }, { ZYDIS_MNEMONIC_ROR, INSN_ROR }, { ZYDIS_MNEMONIC_RCL, INSN_RCL },
	{ ZYDIS_MNEMONIC_RCR, INSN_RCR }, { ZYDIS_MNEMONIC_SHL, INSN_SHL }, { ZYDIS_MNEMONIC_SHR, INSN_SHR },
	{ ZYDIS_MNEMONIC_SAR, INSN_SAR }, { ZYDIS_MNEMONIC_PUSH, INSN_PUSH }, { ZYDIS_MNEMONIC_POP, INSN_POP },
	{ ZYDIS_MNEMONIC_CMPXCHG16B, INSN_CMPXCHG16B }, { ZYDIS_MNEMONIC_MUL, INSN_MUL }, { ZYDIS_MNEMONIC_DIV, INSN_DIV },
	{ ZYDIS_MNEMONIC_IMUL, INSN_IMUL }, { ZYDIS_MNEMONIC_IDIV, INSN_IDIV }, { ZYDIS_MNEMONIC_BSF, INSN_BSF },
	{ ZYDIS_MNEMONIC_BSR, INSN_BSR }, { ZYDIS_MNEMONIC_TZCNT, INSN_TZCNT }, { ZYDIS_MNEMONIC_LZCNT, INSN_LZCNT },
	{ ZYDIS_MNEMONIC_POPCNT, INSN_POPCNT }, { ZYDIS_MNEMONIC_SHLD, INSN_SHLD }, { ZYDIS_MNEMONIC_SHRD, INSN_SHRD },
	{ ZYDIS_MNEMONIC_SLDT, INSN_SLDT }, { ZYDIS_MNEMONIC_STR, INSN_STR }, { ZYDIS_MNEMONIC_SMSW, INSN_SMSW },
	{ ZYDIS_MNEMONIC_SGDT, INSN_SGDT }, { ZYDIS_MNEMONIC_SIDT, INSN_SIDT }, { ZYDIS_MNEMONIC_CLWB, INSN_NOP },
	{ ZYDIS_MNEMONIC_MOVUPS, INSN_VECTOR_LOAD }, { ZYDIS_MNEMONIC_MOVUPD, INSN_VECTOR_LOAD },
	{ ZYDIS_MNEMONIC_MOVSS, INSN_VECTOR_LOAD }, { ZYDIS_MNEMONIC_MOVAPS, INSN_VECTOR_LOAD },
	{ ZYDIS_MNEMONIC_MOVAPD, INSN_VECTOR_LOAD }, { ZYDIS_MNEMONIC_MOVDQA, INSN_VECTOR_LOAD },
	{ ZYDIS_MNEMONIC_MOVDQU, INSN_VECTOR_LOAD }, { ZYDIS_MNEMONIC_LDDQU, INSN_VECTOR_LOAD },
	{ ZYDIS_MNEMONIC_MOVNTDQA, INSN_VECTOR_LOAD }, { ZYDIS_MNEMONIC_MOVD, INSN_VECTOR_LOAD },
	{ ZYDIS_MNEMONIC_MOVQ, INSN_VECTOR_LOAD }, { ZYDIS_MNEMONIC_MOVNTPS, INSN_VECTOR_STORE },
	{ ZYDIS_MNEMONIC_MOVNTPD, INSN_VECTOR_STORE }, { ZYDIS_MNEMONIC_MOVNTDQ, INSN_VECTOR_STORE },
	{ ZYDIS_MNEMONIC_MOVNTSS, INSN_VECTOR_STORE }, { ZYDIS_MNEMONIC_MOVNTSD, INSN_VECTOR_STORE },
	{ ZYDIS_MNEMONIC_MOVLPS, INSN_VECTOR_INSERT }, { ZYDIS_MNEMONIC_MOVLPD, INSN_VECTOR_INSERT },
	{ ZYDIS_MNEMONIC_MOVHPS, INSN_VECTOR_INSERT }, { ZYDIS_MNEMONIC_MOVHPD, INSN_VECTOR_INSERT },
	{ ZYDIS_MNEMONIC_PINSRB, INSN_VECTOR_INSERT }, { ZYDIS_MNEMONIC_PINSRW, INSN_VECTOR_INSERT },
	{ ZYDIS_MNEMONIC_PINSRD, INSN_VECTOR_INSERT }, { ZYDIS_MNEMONIC_PINSRQ, INSN_VECTOR_INSERT },
	{ ZYDIS_MNEMONIC_PEXTRB, INSN_VECTOR_EXTRACT }, { ZYDIS_MNEMONIC_PEXTRW, INSN_VECTOR_EXTRACT },
	{ ZYDIS_MNEMONIC_PEXTRD, INSN_VECTOR_EXTRACT }, { ZYDIS_MNEMONIC_PEXTRQ, INSN_VECTOR_EXTRACT },
	{ ZYDIS_MNEMONIC_EXTRACTPS, INSN_VECTOR_EXTRACT }, { ZYDIS_MNEMONIC_MOVDDUP, INSN_MOVDDUP },
	{ ZYDIS_MNEMONIC_MOVSLDUP, INSN_MOVSLDUP }, { ZYDIS_MNEMONIC_MOVSHDUP, INSN_MOVSHDUP },
	{ ZYDIS_MNEMONIC_VMOVUPS, INSN_VECTOR_LOAD }, { ZYDIS_MNEMONIC_VMOVUPD, INSN_VECTOR_LOAD },
	{ ZYDIS_MNEMONIC_VMOVSS, INSN_VECTOR_LOAD }, { ZYDIS_MNEMONIC_VMOVSD, INSN_VECTOR_LOAD },
	{ ZYDIS_MNEMONIC_VMOVAPS, INSN_VECTOR_LOAD }, { ZYDIS_MNEMONIC_VMOVAPD, INSN_VECTOR_LOAD },
	{ ZYDIS_MNEMONIC_VMOVDQA, INSN_VECTOR_LOAD }, { ZYDIS_MNEMONIC_VMOVDQU, INSN_VECTOR_LOAD },
	{ ZYDIS_MNEMONIC_VLDDQU, INSN_VECTOR_LOAD }, { ZYDIS_MNEMONIC_VMOVNTDQA, INSN_VECTOR_LOAD },
	{ ZYDIS_MNEMONIC_VMOVD, INSN_VECTOR_LOAD }, { ZYDIS_MNEMONIC_VMOVQ, INSN_VECTOR_LOAD },
	{ ZYDIS_MNEMONIC_VMOVNTPS, INSN_VECTOR_STORE }, { ZYDIS_MNEMONIC_VMOVNTPD, INSN_VECTOR_STORE },
	{ ZYDIS_MNEMONIC_VMOVNTDQ, INSN_VECTOR_STORE }, { ZYDIS_MNEMONIC_VMOVLPS, INSN_VECTOR_INSERT },
	{ ZYDIS_MNEMONIC_VMOVLPD, INSN_VECTOR_INSERT }, { ZYDIS_MNEMONIC_VMOVHPS, INSN_VECTOR_INSERT },
	{ ZYDIS_MNEMONIC_VMOVHPD, INSN_VECTOR_INSERT }, { ZYDIS_MNEMONIC_VPINSRB, INSN_VECTOR_INSERT },
	{ ZYDIS_MNEMONIC_VPINSRW, INSN_VECTOR_INSERT }, { ZYDIS_MNEMONIC_VPINSRD, INSN_VECTOR_INSERT },
	{ ZYDIS_MNEMONIC_VPINSRQ, INSN_VECTOR_INSERT }, { ZYDIS_MNEMONIC_VINSERTF128, INSN_VECTOR_INSERT },
	{ ZYDIS_MNEMONIC_VINSERTI128, INSN_VECTOR_INSERT }, { ZYDIS_MNEMONIC_VPEXTRB, INSN_VECTOR_EXTRACT },
	{ ZYDIS_MNEMONIC_VPEXTRW, INSN_VECTOR_EXTRACT }, { ZYDIS_MNEMONIC_VPEXTRD, INSN_VECTOR_EXTRACT },
	{ ZYDIS_MNEMONIC_VPEXTRQ, INSN_VECTOR_EXTRACT }, { ZYDIS_MNEMONIC_VEXTRACTPS, INSN_VECTOR_EXTRACT },
	{ ZYDIS_MNEMONIC_VEXTRACTF128, INSN_VECTOR_EXTRACT }, { ZYDIS_MNEMONIC_VEXTRACTI128, INSN_VECTOR_EXTRACT },
	{ ZYDIS_MNEMONIC_VMOVDDUP, INSN_MOVDDUP }, { ZYDIS_MNEMONIC_VMOVSLDUP, INSN_MOVSLDUP },
	{ ZYDIS_MNEMONIC_VMOVSHDUP, INSN_MOVSHDUP }, { ZYDIS_MNEMONIC_VBROADCASTSS, INSN_VECTOR_BROADCAST },
	{ ZYDIS_MNEMONIC_VBROADCASTSD, INSN_VECTOR_BROADCAST }, { ZYDIS_MNEMONIC_VBROADCASTF128, INSN_VECTOR_BROADCAST },
	{ ZYDIS_MNEMONIC_VBROADCASTI128, INSN_VECTOR_BROADCAST }, { ZYDIS_MNEMONIC_VPBROADCASTB, INSN_VECTOR_BROADCAST },
	{ ZYDIS_MNEMONIC_VPBROADCASTW, INSN_VECTOR_BROADCAST }, { ZYDIS_MNEMONIC_VPBROADCASTD, INSN_VECTOR_BROADCAST },
	{ ZYDIS_MNEMONIC_VPBROADCASTQ, INSN_VECTOR_BROADCAST },
	{ ZYDIS_MNEMONIC_MOVSB, INSN_MOVS }, { ZYDIS_MNEMONIC_MOVSW, INSN_MOVS }, { ZYDIS_MNEMONIC_MOVSD, INSN_MOVS },
	{ ZYDIS_MNEMONIC_MOVSQ, INSN_MOVS }, { ZYDIS_MNEMONIC_STOSB, INSN_STOS }, { ZYDIS_MNEMONIC_STOSW, INSN_STOS },
	{ ZYDIS_MNEMONIC_STOSD, INSN_STOS }, { ZYDIS_MNEMONIC_STOSQ, INSN_STOS }, { ZYDIS_MNEMONIC_LODSB, INSN_LODS },
	{ ZYDIS_MNEMONIC_LODSW, INSN_LODS }, { ZYDIS_MNEMONIC_LODSD, INSN_LODS }, { ZYDIS_MNEMONIC_LODSQ, INSN_LODS },
	{ ZYDIS_MNEMONIC_CMPSB, INSN_CMPS }, { ZYDIS_MNEMONIC_CMPSW, INSN_CMPS }, { ZYDIS_MNEMONIC_CMPSD, INSN_CMPS },
	{ ZYDIS_MNEMONIC_CMPSQ, INSN_CMPS }, { ZYDIS_MNEMONIC_SCASB, INSN_SCAS }, { ZYDIS_MNEMONIC_SCASW, INSN_SCAS },
	{ ZYDIS_MNEMONIC_SCASD, INSN_SCAS }, { ZYDIS_MNEMONIC_SCASQ, INSN_SCAS }, { ZYDIS_MNEMONIC_INSB, INSN_INS },
	{ ZYDIS_MNEMONIC_INSW, INSN_INS }, { ZYDIS_MNEMONIC_INSD, INSN_INS }, { ZYDIS_MNEMONIC_OUTSB, INSN_OUTS },
	{ ZYDIS_MNEMONIC_OUTSW, INSN_OUTS }, { ZYDIS_MNEMONIC_OUTSD, INSN_OUTS },
};

static const ZydisMachineMode machine_modes[] = {
	[DECODE_16] = ZYDIS_MACHINE_MODE_LEGACY_16,
	[DECODE_32] = ZYDIS_MACHINE_MODE_LEGACY_32,
	[DECODE_64] = ZYDIS_MACHINE_MODE_LONG_64,
};

static const ZydisStackWidth stack_widths[] = {
	[DECODE_16] = ZYDIS_STACK_WIDTH_16,
	[DECODE_32] = ZYDIS_STACK_WIDTH_32,
	[DECODE_64] = ZYDIS_STACK_WIDTH_64,
};

struct oracle {
	ZydisDecoder decoder;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
	const ZydisDecodedOperand *mem, *reg, *imm;
};

static struct oracle oracles[3];
static struct decode_known learnt_insns;
static uint8_t opcode_map[ZYDIS_MNEMONIC_MAX_VALUE + 1];
static unsigned long agreed;
static uint64_t random_state = 1;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void set_up(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(known); i++)
		opcode_map[known[i].mnemonic] = known[i].op;
	for (unsigned int mode = DECODE_16; mode <= DECODE_64; mode++)
		ck_assert(ZYAN_SUCCESS(ZydisDecoderInit(&oracles[mode].decoder, machine_modes[mode], stack_widths[mode])));
}

static void pick_operands(struct oracle *o)
{
	o->mem = o->reg = o->imm = NULL;
	for (unsigned int i = 0; i < o->insn.operand_count; i++) {
		const ZydisDecodedOperand *op = &o->operand[i];

		/* Of a string's two operands the one at rSI takes the segment prefix. */
		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (!o->mem || ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, op->mem.base) ==
		     ZYDIS_REGISTER_RSI))
			o->mem = op;
		if (op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
			continue;
		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && !o->reg)
			o->reg = op;
		if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			o->imm = op;
	}
}

static bool is_vector(enum insn_op op)
{
	return op >= INSN_VECTOR_LOAD && op <= INSN_MOVSHDUP;
}

/* What the operands make of a vector instruction: those of one name load and store. */
static enum insn_op vector_form(const struct oracle *o, enum insn_op op)
{
	/* Loads of a half and stores of the upper one name the whole register; MMX is not known. */
	if (!o->mem || !o->reg || ZydisRegisterGetClass(o->reg->reg.value) == ZYDIS_REGCLASS_MMX)
		return INSN_NONE;
	if (o->mem->id > 0)
		return op == INSN_VECTOR_STORE ? INSN_NONE : op;
	if (op == INSN_VECTOR_LOAD)
		return INSN_VECTOR_STORE;
	if (op != INSN_VECTOR_INSERT)
		return op;
	return o->insn.opcode == 0x17 ? INSN_VECTOR_EXTRACT : INSN_VECTOR_STORE;
}

/* INSN_NONE where it is not one of ours. */
static enum insn_op ask_oracle(struct oracle *o, const uint8_t *bytes)
{
	enum insn_op op;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&o->decoder, bytes, DECODE_LONGEST, &o->insn, o->operand)))
		return INSN_NONE;
	op = opcode_map[o->insn.mnemonic];
	/* The scalar moves and compares of SSE2 share the names of strings. */
	if (o->insn.mnemonic == ZYDIS_MNEMONIC_MOVSD && o->insn.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		op = INSN_VECTOR_LOAD;
	if (op == INSN_NONE || (o->insn.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
				!(is_vector(op) && o->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)))
		return INSN_NONE;
	if (op >= INSN_MOVS && o->insn.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return INSN_NONE;
	pick_operands(o);
	if (is_vector(op))
		return vector_form(o, op);
	if (op == INSN_IMUL && o->reg && o->reg->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
		op = o->imm ? INSN_IMUL_IMMEDIATE : INSN_IMUL_REGISTER;
	if ((op == INSN_SHLD || op == INSN_SHRD) && !o->imm)
		op = op == INSN_SHLD ? INSN_SHLD_CL : INSN_SHRD_CL;
	if (!o->mem || (op >= INSN_PUSH && op <= INSN_POP && o->mem->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN))
		return INSN_NONE;
	if (o->reg && ZydisRegisterGetClass(o->reg->reg.value) == ZYDIS_REGCLASS_SEGMENT)
		return op == INSN_MOV && o->mem->id == 0 ? INSN_MOV_SEGMENT : INSN_NONE;
	return op;
}

static unsigned int number_of(ZydisRegister reg)
{
	if (reg == ZYDIS_REGISTER_NONE)
		return INSN_NO_REGISTER;
	if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return INSN_RIP;
	return ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg) - ZYDIS_REGISTER_RAX;
}

static unsigned int segment_of(ZydisRegister reg)
{
	switch (reg) {
	case ZYDIS_REGISTER_ES: return KEEL_SEG_ES;
	case ZYDIS_REGISTER_CS: return KEEL_SEG_CS;
	case ZYDIS_REGISTER_SS: return KEEL_SEG_SS;
	case ZYDIS_REGISTER_DS: return KEEL_SEG_DS;
	case ZYDIS_REGISTER_FS: return KEEL_SEG_FS;
	case ZYDIS_REGISTER_GS: return KEEL_SEG_GS;
	default: return KEEL_SEG_NONE;
	}
}

static const char *hex(enum decode_mode mode, const uint8_t *bytes)
{
	static char text[64];
	int at = snprintf(text, sizeof(text), "mode %d:", mode);

	for (unsigned int i = 0; i < DECODE_LONGEST; i++)
		at += snprintf(text + at, sizeof(text) - at, " %02x", bytes[i]);
	return text;
}

/* A passed ck_assert is a message to the runner: millions of them would take most of the time. */
#define AGREE(ours, theirs)									\
	do {											\
		if ((uint64_t)(ours) != (uint64_t)(theirs))					\
			ck_abort_msg("%s: %s %llx, Zydis %llx", hex(mode, bytes), #ours,	\
				     (unsigned long long)(ours), (unsigned long long)(theirs));	\
	} while (0)

static void compare_address(enum decode_mode mode, const uint8_t *bytes, const struct insn *insn,
			    const struct oracle *o)
{
	const ZydisDecodedOperandMem *mem = &o->mem->mem;
	unsigned int shift = 64 - 8 * insn->address_size;

	AGREE(insn->index, number_of(mem->index));
	if (mem->index != ZYDIS_REGISTER_NONE)
		AGREE(1u << insn->scale, mem->scale ? mem->scale : 1);
	/* Zydis 4.0 lets REX.B turn "no base" into R13; processors do not look at it (SDM vol. 2, table 2-5). */
	if (insn->base == INSN_NO_REGISTER && number_of(mem->base) == KEEL_R13) {
		AGREE(o->insn.raw.modrm.mod == 0 && o->insn.raw.sib.base == 5, 1);
		AGREE((uint64_t)insn->displacement << shift, (uint64_t)o->insn.raw.disp.value << shift);
		return;
	}
	AGREE(insn->base, number_of(mem->base));
	AGREE((uint64_t)insn->displacement << shift, (uint64_t)mem->disp.value << shift);
}

static void compare_register(enum decode_mode mode, const uint8_t *bytes, const struct insn *insn,
			     const struct oracle *o)
{
	ZydisRegister reg = o->reg ? o->reg->reg.value : ZYDIS_REGISTER_NONE;

	AGREE(o->reg != NULL, 1);
	AGREE(insn->reg, number_of(reg));
	AGREE(insn->reg_size * 8, o->reg->size);
	AGREE(insn->reg_high, reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH);
	AGREE(insn->form == INSN_RM, o->reg->id < o->mem->id);
}

static void compare_prefixes(enum decode_mode mode, const uint8_t *bytes, const struct insn *insn,
			     const struct oracle *o)
{
	ZyanU64 repeats = ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE;

	AGREE(insn->lock, (o->insn.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0);
	if (insn->op == INSN_CMPS || insn->op == INSN_SCAS) {
		AGREE(insn->repeat == INSN_REPE, (o->insn.attributes & ZYDIS_ATTRIB_HAS_REPE) != 0);
		AGREE(insn->repeat == INSN_REPNE, (o->insn.attributes & ZYDIS_ATTRIB_HAS_REPNE) != 0);
	} else if (insn->form == INSN_STRING && insn->repeat != INSN_REPNE) {
		AGREE(insn->repeat != INSN_ONCE, (o->insn.attributes & repeats) != 0);
	} else if (insn->form != INSN_STRING) {
		AGREE(insn->repeat, INSN_ONCE);
	}
}

static unsigned int vector_number(ZydisRegister reg)
{
	return reg >= ZYDIS_REGISTER_YMM0 && reg <= ZYDIS_REGISTER_YMM31 ? reg - ZYDIS_REGISTER_YMM0 :
									     reg - ZYDIS_REGISTER_XMM0;
}

static void compare_vector(enum decode_mode mode, const uint8_t *bytes, const struct insn *insn,
			   const struct oracle *o)
{
	const ZydisDecodedOperand *second = &o->operand[1];

	AGREE(insn->reg, vector_number(o->reg->reg.value));
	AGREE(insn->vex, o->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX);
	AGREE(insn->form == INSN_RM, o->reg->id < o->mem->id);
	AGREE(insn->reg_size * 8, insn->vex ? 128u << o->insn.raw.vex.L : 128);
	if (insn->op == INSN_VECTOR_INSERT && insn->vex)
		AGREE(insn->second, vector_number(second->reg.value));
	else
		AGREE(insn->second == insn->reg || insn->op != INSN_VECTOR_INSERT, 1);
	if (o->imm)
		AGREE(insn->immediate & 0xff, o->imm->imm.value.u & 0xff);
	/* The manual's exception classes 1 are the ones with alignment (SDM vol. 2, 2.4). */
	if (insn->op == INSN_VECTOR_LOAD || insn->op == INSN_VECTOR_STORE)
		AGREE(insn->aligned, o->insn.meta.exception_class == ZYDIS_EXCEPTION_CLASS_SSE1 ||
				     o->insn.meta.exception_class == ZYDIS_EXCEPTION_CLASS_AVX1);
}

/* What was decoded before at the same place was another instruction, or this one. */
static void check(enum decode_mode mode, const uint8_t *bytes)
{
	struct oracle *o = &oracles[mode];
	enum insn_op op = ask_oracle(o, bytes);
	const struct insn *learnt = decode_again(&learnt_insns, mode, bytes, bytes[1] % 2), *found;
	struct insn insn;

	AGREE(learnt != NULL, op != INSN_NONE);
	found = decode_again(&learnt_insns, mode, bytes, bytes[1] % 2);
	AGREE(found == learnt, true);
	if (!found)
		return;
	insn = *found;
	AGREE(insn.op, op);
	AGREE(insn.length, o->insn.length);
	AGREE(insn.address_size * 8, o->insn.address_width);
	/* Zydis has MOVSXD with a 16-bit register read 4 bytes, the SDM 2. The size of a prefetch is anyone's. */
	if (op != INSN_NOP && !(op == INSN_MOVSX && insn.size == 2 && o->mem->size == 32))
		AGREE(insn.size * 8, o->mem->size);
	compare_prefixes(mode, bytes, &insn, o);
	/* The rDI side has no choice of segment. */
	if (op != INSN_STOS && op != INSN_SCAS && op != INSN_INS)
		AGREE(insn.segment, segment_of(o->mem->mem.segment));
	if (insn.form != INSN_STRING)
		compare_address(mode, bytes, &insn, o);
	if (is_vector(op))
		compare_vector(mode, bytes, &insn, o);
	else if (op == INSN_MOV_SEGMENT)
		AGREE(insn.reg, segment_of(o->reg->reg.value));
	else if (insn.form == INSN_MR || insn.form == INSN_RM)
		compare_register(mode, bytes, &insn, o);
	if (insn.form == INSN_MI) {
		unsigned int shift = 64 - 8 * (op >= INSN_BT && op <= INSN_SAR ? 1 : insn.size);

		AGREE(o->imm != NULL, 1);
		AGREE(insn.immediate << shift, o->imm->imm.value.u << shift);
	}
	agreed++;
}

static void check_all_modes(const uint8_t *bytes)
{
	for (unsigned int mode = DECODE_16; mode <= DECODE_64; mode++)
		check(mode, bytes);
}

/* Prefixes, opcode (maps 0 to 3), then a fixed tail with something to recognise in each byte. */
static unsigned int compose(uint8_t *bytes, const uint8_t *prefix, unsigned int prefixes, unsigned int opcode)
{
	static const uint8_t tail[DECODE_LONGEST] = {
		0x24, 0x8c, 0x91, 0xa2, 0x33, 0xc4, 0x55, 0x66, 0x77, 0x18, 0x29, 0x3a, 0x4b, 0x5c, 0x6d,
	};
	unsigned int at = prefixes;

	memmove(bytes, prefix, prefixes);
	if (opcode >= 0x100)
		bytes[at++] = 0x0f;
	if (opcode >= 0x200)
		bytes[at++] = opcode >= 0x300 ? 0x3a : 0x38;
	bytes[at++] = opcode;
	memcpy(bytes + at, tail, DECODE_LONGEST - at);
	return at;
}

static bool is_prefix(uint8_t byte)
{
	switch (byte) {
	case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x66: case 0x67:
	case 0xf0: case 0xf2: case 0xf3:
		return true;
	default:
		return (byte & 0xf0) == 0x40;
	}
}

START_TEST(every_opcode_and_modrm)
{
	uint8_t bytes[DECODE_LONGEST + 3];

	for (unsigned int opcode = 0; opcode < 0x400; opcode++) {
		if (opcode < 0x100 && (is_prefix(opcode) || opcode == 0x0f))
			continue;
		if (opcode == 0x138 || opcode == 0x13a)
			continue;
		for (unsigned int modrm = 0; modrm < 0x100; modrm++) {
			bytes[compose(bytes, bytes, 0, opcode)] = modrm;
			check_all_modes(bytes);
		}
	}
	ck_assert_uint_gt(agreed, 10000);
}
END_TEST

static const uint8_t prefix_sets[][4] = {	/* count first */
	{ 1, 0x66 }, { 1, 0x67 }, { 1, 0xf0 }, { 1, 0xf2 }, { 1, 0xf3 }, { 1, 0x26 }, { 1, 0x2e }, { 1, 0x36 },
	{ 1, 0x3e }, { 1, 0x64 }, { 1, 0x65 }, { 1, 0x40 }, { 1, 0x41 }, { 1, 0x42 }, { 1, 0x44 }, { 1, 0x48 },
	{ 1, 0x4f }, { 2, 0x66, 0x67 }, { 2, 0x66, 0x48 }, { 2, 0x67, 0x48 }, { 2, 0x67, 0x4d }, { 2, 0x48, 0x66 },
	{ 2, 0x66, 0x41 }, { 2, 0xf0, 0x66 }, { 2, 0xf0, 0x48 }, { 2, 0xf3, 0x66 }, { 2, 0xf3, 0x48 },
	{ 2, 0xf2, 0xf3 }, { 2, 0xf3, 0xf2 }, { 2, 0x64, 0x3e }, { 2, 0x65, 0x64 }, { 2, 0x64, 0x48 },
	{ 3, 0x66, 0x67, 0xf3 }, { 3, 0x67, 0x65, 0x4c }, { 3, 0x66, 0xf2, 0x45 }, { 3, 0xf0, 0x67, 0x4b },
};

START_TEST(every_opcode_and_prefix)
{
	uint8_t bytes[DECODE_LONGEST + 3];

	for (unsigned int opcode = 0; opcode < 0x400; opcode++) {
		if (opcode < 0x100 && (is_prefix(opcode) || opcode == 0x0f))
			continue;
		if (opcode == 0x138 || opcode == 0x13a)
			continue;
		for (unsigned int i = 0; i < ARRAY_SIZE(prefix_sets); i++) {
			unsigned int at = compose(bytes, prefix_sets[i] + 1, prefix_sets[i][0], opcode);

			for (unsigned int reg = 0; reg < 8; reg++) {
				bytes[at] = reg << 3 | (opcode & 1 ? 0x05 : 0x44);
				check_all_modes(bytes);
			}
		}
	}
}
END_TEST

/* Every last byte of a VEX prefix with every opcode of its maps; those before it, and registers, by turns. */
START_TEST(every_vex)
{
	uint8_t bytes[DECODE_LONGEST + 3];
	unsigned long before = agreed;

	for (unsigned int opcode = 0; opcode < 0x400; opcode++)
		for (unsigned int round = 0; round < 0x200; round++) {
			/* Half of them with no second register, as most instructions want it. */
			unsigned int last = (uint8_t)round | (round & 0x100 ? 0x78 : 0), at = 0;
			uint64_t dice = random_next();

			if (dice >> 60 == 0)
				bytes[at++] = (const uint8_t[]){ 0x66, 0xf2, 0xf3, 0xf0, 0x48, 0x67, 0x65, 0x2e }[dice >> 56 & 7];
			if (opcode < 0x100) {
				bytes[at++] = 0xc5;
				bytes[at++] = last;
			} else {
				bytes[at++] = 0xc4;
				bytes[at++] = (dice & 0xe0) | opcode >> 8;
				bytes[at++] = last;
			}
			bytes[at++] = (uint8_t)opcode;
			dice >>= 8;
			memcpy(bytes + at, &dice, 8);
			memset(bytes + at + 7, 0x5a, DECODE_LONGEST - at - 7);
			if (dice & 1 << 10)
				bytes[at] &= 0xbf;			/* mostly memory */
			check_all_modes(bytes);
		}
	ck_assert_uint_gt(agreed - before, 2000);
}
END_TEST

/* MOV and MOVSX with every ModRM and SIB of a memory operand, with and without REX and address size. */
START_TEST(every_address)
{
	static const uint8_t sets[][4] = {
		{ 0 }, { 1, 0x67 }, { 1, 0x4f }, { 1, 0x42 }, { 1, 0x41 }, { 2, 0x67, 0x4b }, { 1, 0x64 },
	};
	uint8_t bytes[DECODE_LONGEST + 3];

	for (unsigned int i = 0; i < ARRAY_SIZE(sets); i++) {
		for (unsigned int modrm = 0; modrm < 0xc0; modrm++) {
			unsigned int sibs = (modrm & 7) == 4 ? 256 : 1;

			for (unsigned int sib = 0; sib < sibs; sib++) {
				unsigned int at = compose(bytes, sets[i] + 1, sets[i][0], sib & 1 ? 0x1be : 0x8b);

				bytes[at] = modrm;
				bytes[at + 1] = sib;
				check_all_modes(bytes);
			}
		}
	}
}
END_TEST

START_TEST(random_bytes)
{
	uint8_t bytes[DECODE_LONGEST];

	for (unsigned int i = 0; i < RANDOM_ROUNDS; i++) {
		uint64_t value[2] = { random_next(), random_next() };

		memcpy(bytes, value, sizeof(bytes));
		if (i & 1)
			bytes[random_next() % 3] = 0x0f;
		if (i & 2)
			bytes[0] = prefix_sets[random_next() % 17][1];
		check_all_modes(bytes);
	}
}
END_TEST

/* All shorter pieces of an instruction are short, none is another instruction and none is read past its end. */
START_TEST(cut_short)
{
	static const uint8_t samples[][DECODE_LONGEST] = {
		{ 0x66, 0x65, 0x48, 0xc7, 0x84, 0x91, 1, 2, 3, 4, 5, 6, 7, 8 },
		{ 0x48, 0xa1, 1, 2, 3, 4, 5, 6, 7, 8 },
		{ 0xf0, 0x0f, 0xba, 0x6c, 0x24, 0x10, 0x03 },
		{ 0x66, 0x0f, 0x38, 0xf0, 0x45, 0x08 },
		{ 0xf3, 0x48, 0xa5 },
		{ 0x66, 0x0f, 0x3a, 0x22, 0x44, 0x24, 0x10, 0x03 },
		{ 0xc5, 0xfe, 0x6f, 0x80, 1, 2, 3, 4 },
		{ 0xc4, 0xe3, 0x7d, 0x18, 0x44, 0x24, 0x10, 0x01 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(samples); i++) {
		struct insn insn;
		unsigned int length;

		ck_assert_int_eq(decode_insn(&insn, DECODE_64, samples[i], DECODE_LONGEST), DECODE_OK);
		length = insn.length;
		for (unsigned int count = 0; count < length; count++) {
			uint8_t *piece = malloc(count);

			memcpy(piece, samples[i], count);
			ck_assert_int_eq(decode_insn(&insn, DECODE_64, piece, count), DECODE_SHORT);
			free(piece);
		}
		ck_assert_int_eq(decode_insn(&insn, DECODE_64, samples[i], length), DECODE_OK);
	}
}
END_TEST

/* Outside 64-bit mode the first byte of VEX may be LES or LDS: the next one tells. */
START_TEST(cut_behind_the_first_byte)
{
	static const uint8_t vex[] = { 0xc5, 0xf8, 0x10, 0x07 }, vex3[] = { 0xc4, 0xe1, 0x78, 0x10, 0x07 };
	static const uint8_t les[] = { 0xc4, 0x07 };
	struct insn insn;

	for (enum decode_mode mode = DECODE_16; mode <= DECODE_64; mode++) {
		for (unsigned int count = 0; count < sizeof(vex); count++)
			ck_assert_int_eq(decode_insn(&insn, mode, vex, count), DECODE_SHORT);
		for (unsigned int count = 0; count < sizeof(vex3); count++)
			ck_assert_int_eq(decode_insn(&insn, mode, vex3, count), DECODE_SHORT);
		ck_assert_int_eq(decode_insn(&insn, mode, vex, sizeof(vex)), DECODE_OK);
		ck_assert_int_eq(decode_insn(&insn, mode, vex3, sizeof(vex3)), DECODE_OK);
	}
	ck_assert_int_eq(decode_insn(&insn, DECODE_32, les, 1), DECODE_SHORT);
	ck_assert_int_eq(decode_insn(&insn, DECODE_32, les, 2), DECODE_UNKNOWN);
}
END_TEST

static void agree_again(enum decode_mode mode, const uint8_t *bytes)
{
	const struct insn *found = decode_again(&learnt_insns, mode, bytes, 0);
	struct insn insn;

	ck_assert_int_eq(found != NULL, decode_insn(&insn, mode, bytes, DECODE_LONGEST) == DECODE_OK);
	if (!found)
		return;
	ck_assert_uint_eq(found->op, insn.op);
	ck_assert_uint_eq(found->length, insn.length);
	ck_assert_uint_eq(found->size, insn.size);
	ck_assert_uint_eq(found->base, insn.base);
	ck_assert_int_eq(found->displacement, insn.displacement);
	ck_assert_uint_eq(found->immediate, insn.immediate);
}

/* An instruction of 15 bytes: none of them can change, nor the mode, without being seen. */
START_TEST(another_one_at_the_same_place)
{
	static const uint8_t insn[DECODE_LONGEST] = { 0x2e, 0x66, 0x67, 0x48, 0xc7, 0x84, 0x81, 1, 2, 3, 4, 5, 6, 7, 8 };

	for (unsigned int i = 0; i < DECODE_LONGEST * 8; i++) {
		uint8_t bytes[DECODE_LONGEST];

		memcpy(bytes, insn, sizeof(bytes));
		agree_again(DECODE_64, bytes);
		bytes[i / 8] ^= 1u << i % 8;
		agree_again(DECODE_64, bytes);
	}
	for (enum decode_mode mode = DECODE_16; mode <= DECODE_64; mode++)
		agree_again(mode, insn);
}
END_TEST

/* The decoder does not know it, whatever the entry was left as. */
START_TEST(unknown_after_a_known_one)
{
	static const uint8_t mov[DECODE_LONGEST] = { 0x8b, 0x02 }, hlt[DECODE_LONGEST] = { 0xf4 };

	agree_again(DECODE_64, mov);
	agree_again(DECODE_64, hlt);
	agree_again(DECODE_64, mov);
	ck_assert_ptr_null(decode_again(&(struct decode_known){ 0 }, DECODE_64, hlt, 0));
}
END_TEST

START_TEST(too_long)
{
	uint8_t bytes[DECODE_LONGEST + 1];
	struct insn insn;

	memset(bytes, 0x66, sizeof(bytes));
	ck_assert_int_eq(decode_insn(&insn, DECODE_64, bytes, sizeof(bytes)), DECODE_UNKNOWN);
	bytes[DECODE_LONGEST - 1] = 0x89;
	bytes[DECODE_LONGEST] = 0x00;
	ck_assert_int_eq(decode_insn(&insn, DECODE_64, bytes, sizeof(bytes)), DECODE_UNKNOWN);
	bytes[DECODE_LONGEST - 2] = 0x89;
	bytes[DECODE_LONGEST - 1] = 0x00;
	ck_assert_int_eq(decode_insn(&insn, DECODE_64, bytes, sizeof(bytes)), DECODE_OK);
	ck_assert_uint_eq(insn.length, DECODE_LONGEST);
}
END_TEST

SUITE("decode", tests)
{
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, every_opcode_and_modrm);
	tcase_add_test(tests, every_opcode_and_prefix);
	tcase_add_test(tests, every_vex);
	tcase_add_test(tests, every_address);
	tcase_add_test(tests, random_bytes);
	tcase_add_test(tests, cut_short);
	tcase_add_test(tests, cut_behind_the_first_byte);
	tcase_add_test(tests, too_long);
	tcase_add_test(tests, another_one_at_the_same_place);
	tcase_add_test(tests, unknown_after_a_known_one);
}
