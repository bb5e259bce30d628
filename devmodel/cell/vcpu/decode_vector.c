// SPDX-License-Identifier: GPL-2.0
/* Moves between memory and vector registers: SSE to SSE4 and AVX, AVX2 (Intel SDM vol. 2, 2.3 and chapters 4, 5). */
#include <stddef.h>

#include <keel/macros.h>

#include "vcpu/decode_internal.h"

#define PREFIX_VEX3	0xc4
#define PREFIX_VEX2	0xc5
#define VEX_NOT_REGISTER 0x80u		/* of both, inverted */
#define VEX_NOT_X	0x40u
#define VEX_NOT_B	0x20u
#define VEX_MAP		0x1fu
#define VEX_W		0x80u
#define VEX_L		0x04u
#define VEX_PP		0x03u
#define VEX_SECOND_SHIFT 3
#define VEX_SECOND	0xfu		/* inverted too */
#define MOD_OF_REGISTER	0xc0u		/* outside 64-bit mode, else it is LES or LDS */

enum prefix { PREFIX_NONE, PREFIX_66, PREFIX_F3, PREFIX_F2 };	/* in the order of VEX.pp */

#define V_STORE		(1u << 0)
#define V_ALIGNED	(1u << 1)
#define V_VEX		(1u << 2)	/* with VEX only */
#define V_LEGACY	(1u << 3)	/* without it */
#define V_128		(1u << 4)	/* VEX.L is 0 */
#define V_256		(1u << 5)	/* VEX.L is 1 */
#define V_SECOND	(1u << 6)	/* VEX.vvvv is a register; without VEX it is the destination */
#define V_IMMEDIATE	(1u << 7)
#define V_UPPER		(1u << 8)	/* the element is number 1 */
#define V_WIDE		(1u << 9)	/* 8 bytes with W, in 64-bit mode */
#define V_W0		(1u << 10)
#define V_HALF		(1u << 11)	/* of 16 bytes: 8; of 32: all */
#define V_ALIGNED_OLD	(1u << 12)	/* aligned without VEX */

#define FULL		0u		/* as a size: the register's */

struct vector_opcode {
	uint8_t map, opcode, prefix, op, size;
	uint16_t flags;
};

/* The packed and the double form of a move, with and without 66. */
#define PACKED(opcode, op, size, flags)							\
	{ MAP_0F, opcode, PREFIX_NONE, op, size, flags }, { MAP_0F, opcode, PREFIX_66, op, size, flags }

static const struct vector_opcode vector_opcodes[] = {
	PACKED(0x10, INSN_VECTOR_LOAD, FULL, 0),
	{ MAP_0F, 0x10, PREFIX_F3, INSN_VECTOR_LOAD, 4, 0 },
	{ MAP_0F, 0x10, PREFIX_F2, INSN_VECTOR_LOAD, 8, 0 },
	PACKED(0x11, INSN_VECTOR_STORE, FULL, V_STORE),
	{ MAP_0F, 0x11, PREFIX_F3, INSN_VECTOR_STORE, 4, V_STORE },
	{ MAP_0F, 0x11, PREFIX_F2, INSN_VECTOR_STORE, 8, V_STORE },
	PACKED(0x12, INSN_VECTOR_INSERT, 8, V_SECOND | V_128),
	{ MAP_0F, 0x12, PREFIX_F3, INSN_MOVSLDUP, FULL, V_ALIGNED_OLD },
	{ MAP_0F, 0x12, PREFIX_F2, INSN_MOVDDUP, FULL, V_HALF },
	PACKED(0x13, INSN_VECTOR_STORE, 8, V_STORE | V_128),
	PACKED(0x16, INSN_VECTOR_INSERT, 8, V_SECOND | V_128 | V_UPPER),
	{ MAP_0F, 0x16, PREFIX_F3, INSN_MOVSHDUP, FULL, V_ALIGNED_OLD },
	PACKED(0x17, INSN_VECTOR_EXTRACT, 8, V_STORE | V_128 | V_UPPER),
	PACKED(0x28, INSN_VECTOR_LOAD, FULL, V_ALIGNED),
	PACKED(0x29, INSN_VECTOR_STORE, FULL, V_STORE | V_ALIGNED),
	PACKED(0x2b, INSN_VECTOR_STORE, FULL, V_STORE | V_ALIGNED),
	{ MAP_0F, 0x2b, PREFIX_F3, INSN_VECTOR_STORE, 4, V_STORE | V_LEGACY },	/* SSE4A */
	{ MAP_0F, 0x2b, PREFIX_F2, INSN_VECTOR_STORE, 8, V_STORE | V_LEGACY },
	{ MAP_0F, 0x6e, PREFIX_66, INSN_VECTOR_LOAD, 4, V_WIDE | V_128 },
	{ MAP_0F, 0x6f, PREFIX_66, INSN_VECTOR_LOAD, FULL, V_ALIGNED },
	{ MAP_0F, 0x6f, PREFIX_F3, INSN_VECTOR_LOAD, FULL, 0 },
	{ MAP_0F, 0x7e, PREFIX_66, INSN_VECTOR_STORE, 4, V_STORE | V_WIDE | V_128 },
	{ MAP_0F, 0x7e, PREFIX_F3, INSN_VECTOR_LOAD, 8, V_128 },
	{ MAP_0F, 0x7f, PREFIX_66, INSN_VECTOR_STORE, FULL, V_STORE | V_ALIGNED },
	{ MAP_0F, 0x7f, PREFIX_F3, INSN_VECTOR_STORE, FULL, V_STORE },
	{ MAP_0F, 0xc4, PREFIX_66, INSN_VECTOR_INSERT, 2, V_SECOND | V_128 | V_IMMEDIATE },
	{ MAP_0F, 0xd6, PREFIX_66, INSN_VECTOR_STORE, 8, V_STORE | V_128 },
	{ MAP_0F, 0xe7, PREFIX_66, INSN_VECTOR_STORE, FULL, V_STORE | V_ALIGNED },
	{ MAP_0F, 0xf0, PREFIX_F2, INSN_VECTOR_LOAD, FULL, 0 },
	{ MAP_0F38, 0x18, PREFIX_66, INSN_VECTOR_BROADCAST, 4, V_VEX | V_W0 },
	{ MAP_0F38, 0x19, PREFIX_66, INSN_VECTOR_BROADCAST, 8, V_VEX | V_W0 | V_256 },
	{ MAP_0F38, 0x1a, PREFIX_66, INSN_VECTOR_BROADCAST, 16, V_VEX | V_W0 | V_256 },
	{ MAP_0F38, 0x2a, PREFIX_66, INSN_VECTOR_LOAD, FULL, V_ALIGNED },
	{ MAP_0F38, 0x58, PREFIX_66, INSN_VECTOR_BROADCAST, 4, V_VEX | V_W0 },
	{ MAP_0F38, 0x59, PREFIX_66, INSN_VECTOR_BROADCAST, 8, V_VEX | V_W0 },
	{ MAP_0F38, 0x5a, PREFIX_66, INSN_VECTOR_BROADCAST, 16, V_VEX | V_W0 | V_256 },
	{ MAP_0F38, 0x78, PREFIX_66, INSN_VECTOR_BROADCAST, 1, V_VEX | V_W0 },
	{ MAP_0F38, 0x79, PREFIX_66, INSN_VECTOR_BROADCAST, 2, V_VEX | V_W0 },
	{ MAP_0F3A, 0x14, PREFIX_66, INSN_VECTOR_EXTRACT, 1, V_STORE | V_128 | V_IMMEDIATE },
	{ MAP_0F3A, 0x15, PREFIX_66, INSN_VECTOR_EXTRACT, 2, V_STORE | V_128 | V_IMMEDIATE },
	{ MAP_0F3A, 0x16, PREFIX_66, INSN_VECTOR_EXTRACT, 4, V_STORE | V_128 | V_IMMEDIATE | V_WIDE },
	{ MAP_0F3A, 0x17, PREFIX_66, INSN_VECTOR_EXTRACT, 4, V_STORE | V_128 | V_IMMEDIATE },
	{ MAP_0F3A, 0x18, PREFIX_66, INSN_VECTOR_INSERT, 16, V_VEX | V_W0 | V_256 | V_SECOND | V_IMMEDIATE },
	{ MAP_0F3A, 0x19, PREFIX_66, INSN_VECTOR_EXTRACT, 16, V_VEX | V_W0 | V_256 | V_STORE | V_IMMEDIATE },
	{ MAP_0F3A, 0x20, PREFIX_66, INSN_VECTOR_INSERT, 1, V_SECOND | V_128 | V_IMMEDIATE },
	{ MAP_0F3A, 0x22, PREFIX_66, INSN_VECTOR_INSERT, 4, V_SECOND | V_128 | V_IMMEDIATE | V_WIDE },
	{ MAP_0F3A, 0x38, PREFIX_66, INSN_VECTOR_INSERT, 16, V_VEX | V_W0 | V_256 | V_SECOND | V_IMMEDIATE },
	{ MAP_0F3A, 0x39, PREFIX_66, INSN_VECTOR_EXTRACT, 16, V_VEX | V_W0 | V_256 | V_STORE | V_IMMEDIATE },
};

enum decode_result decode_vex_follows(const struct decoder *d, bool *follows)
{
	uint8_t first, second;

	*follows = decode_peek(d, 0, &first) && (first == PREFIX_VEX2 || first == PREFIX_VEX3);
	if (!*follows || d->mode == DECODE_64)
		return DECODE_OK;
	if (!decode_peek(d, 1, &second))
		return DECODE_SHORT;
	*follows = (second & MOD_OF_REGISTER) == MOD_OF_REGISTER;
	return DECODE_OK;
}

static void take_register_bits(struct decoder *d, uint8_t byte)
{
	d->rex = PREFIX_REX;
	if (d->mode != DECODE_64)
		return;
	d->rex |= byte & VEX_NOT_REGISTER ? 0 : REX_R;
	d->rex |= byte & VEX_NOT_X ? 0 : REX_X;
	d->rex |= byte & VEX_NOT_B ? 0 : REX_B;
}

static void take_last_byte(struct decoder *d, uint8_t byte)
{
	static const uint8_t repeats[] = { INSN_ONCE, INSN_ONCE, INSN_REPE, INSN_REPNE };

	d->wide = byte & VEX_L;
	d->second = ~byte >> VEX_SECOND_SHIFT & VEX_SECOND;
	d->operand_prefix = (byte & VEX_PP) == PREFIX_66;
	d->repeat = repeats[byte & VEX_PP];
}

enum decode_result decode_take_vex(struct decoder *d)
{
	bool plain = !d->operand_prefix && d->repeat == INSN_ONCE && !d->lock && !d->rex;
	uint8_t kind, byte;

	if (!decode_take(d, &kind) || !decode_take(d, &byte))
		return DECODE_SHORT;
	d->vex = true;
	d->map = MAP_0F;
	/* The short form has no X and no B. */
	take_register_bits(d, kind == PREFIX_VEX2 ? byte | VEX_NOT_X | VEX_NOT_B : byte);
	if (kind == PREFIX_VEX3) {
		d->map = byte & VEX_MAP;
		if (!decode_take(d, &byte))
			return DECODE_SHORT;
		d->rex |= byte & VEX_W ? REX_W : 0;
	}
	take_last_byte(d, byte);
	if (!decode_take(d, &d->opcode))
		return DECODE_SHORT;
	return plain ? DECODE_OK : DECODE_UNKNOWN;
}

static enum prefix prefix_of(const struct decoder *d)
{
	if (d->repeat != INSN_ONCE)
		return d->repeat == INSN_REPE ? PREFIX_F3 : PREFIX_F2;
	return d->operand_prefix ? PREFIX_66 : PREFIX_NONE;
}

static bool is_legal(const struct decoder *d, unsigned int flags)
{
	if (d->lock)
		return false;
	if (!d->vex)
		return !(flags & V_VEX);
	if (flags & V_LEGACY || (d->second != 0 && !(flags & V_SECOND)))
		return false;
	return !(flags & V_128 && d->wide) && !(flags & V_256 && !d->wide) && !(flags & V_W0 && d->rex & REX_W);
}

static const struct vector_opcode *find(const struct decoder *d)
{
	enum prefix prefix = prefix_of(d);

	for (unsigned int i = 0; i < ARRAY_SIZE(vector_opcodes); i++) {
		const struct vector_opcode *v = &vector_opcodes[i];

		if (v->opcode == d->opcode && v->map == d->map && v->prefix == prefix)
			return is_legal(d, v->flags) ? v : NULL;
	}
	return NULL;
}

static uint8_t size_of(const struct decoder *d, const struct vector_opcode *v)
{
	uint8_t full = d->wide ? 32 : 16;

	if (v->flags & V_HALF)
		return d->wide ? full : full / 2;
	if (v->flags & V_WIDE && d->rex & REX_W && d->mode == DECODE_64)
		return 2 * v->size;
	return v->size == FULL ? full : v->size;
}

bool decode_vector_form(struct decoder *d, bool *immediate)
{
	const struct vector_opcode *v = find(d);
	struct insn *insn = d->insn;

	if (!v)
		return false;
	insn->op = v->op;
	insn->form = v->flags & V_STORE ? INSN_MR : INSN_RM;
	insn->size = size_of(d, v);
	insn->reg_size = d->wide ? 32 : 16;
	insn->vex = d->vex;
	insn->aligned = v->flags & V_ALIGNED || (v->flags & V_ALIGNED_OLD && !d->vex);
	insn->immediate = v->flags & V_UPPER ? 1 : 0;
	*immediate = v->flags & V_IMMEDIATE;
	return true;
}
