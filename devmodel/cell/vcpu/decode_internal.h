/* SPDX-License-Identifier: GPL-2.0 */
/* Between the parts of the decoder: instructions in decode.c, the forms of those with vector registers in decode_vector.c. */
#ifndef KEEL_DECODE_INTERNAL_H
#define KEEL_DECODE_INTERNAL_H

#include "vcpu/decode.h"

#define REX_B		(1u << 0)
#define REX_X		(1u << 1)
#define REX_R		(1u << 2)
#define REX_W		(1u << 3)
#define PREFIX_REX	0x40

enum opcode_map { MAP_ONE_BYTE, MAP_0F, MAP_0F38, MAP_0F3A };

struct decoder {
	const uint8_t *bytes;
	unsigned int count;
	unsigned int at;
	enum decode_mode mode;
	bool operand_prefix, address_prefix, lock;
	uint8_t repeat;			/* enum insn_repeat */
	uint8_t segment;		/* enum keel_segment, KEEL_SEG_NONE without a prefix */
	uint8_t rex;			/* 0: none; with VEX, what its bits stand for */
	uint8_t map, opcode;		/* enum opcode_map */
	uint8_t modrm;
	bool vex, wide;			/* VEX.L: 32 bytes */
	uint8_t second;			/* VEX.vvvv */
	struct insn *insn;
};

/* False: there are no more bytes. peek: the next byte stays where it is. */
bool decode_peek(const struct decoder *d, unsigned int ahead, uint8_t *byte);
bool decode_take(struct decoder *d, uint8_t *byte);

/*
 * Whether a VEX prefix follows: DECODE_SHORT if the next byte does not tell. In 64-bit mode there is no LES and no LDS; elsewhere
 * these have no register as second operand.
 */
enum decode_result decode_vex_follows(const struct decoder *d, bool *follows);
/* Takes it, and the opcode: DECODE_UNKNOWN if no instruction has it. */
enum decode_result decode_take_vex(struct decoder *d);

/* What the map and the opcode are, with the prefixes: sets all of the instruction but its operands' places. */
bool decode_vector_form(struct decoder *d, bool *immediate);

#endif
