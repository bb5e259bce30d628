// SPDX-License-Identifier: GPL-2.0
/* Moves between memory and vector registers, which the hypervisor hands over on request (struct keel_vectors). */
#include <x86/registers.h>

#include "core/string.h"
#include "vcpu/emulate_internal.h"

#define MOST_BYTES	KEEL_VECTOR_BYTES
#define BUS_BYTES	8u

/* SDM vol. 2, 2.4. The processor has seen to all of this, unless the instruction has changed since. */
static bool is_usable(struct emulator *e)
{
	const struct keel_sregs *s = &e->ctx->sregs;
	bool exists;

	if (e->insn.vex)
		exists = s->cr0 & CR0_PE && !(e->regs.rflags & RFLAGS_VM) && s->cr4 & CR4_OSXSAVE &&
			 (e->ctx->vectors.xcr0 & (XCR0_SSE | XCR0_AVX)) == (XCR0_SSE | XCR0_AVX);
	else
		exists = !(s->cr0 & CR0_EM) && s->cr4 & CR4_OSFXSR;
	if (exists && !(s->cr0 & CR0_TS))
		return true;
	*e->fault = (struct emulate_fault){ .vector = exists ? EXC_NM : EXC_UD };
	return false;
}

static bool find_operand(struct emulator *e, unsigned int access, struct place *place)
{
	if (!place_operand(e, access, place))
		return false;
	if (!e->insn.aligned || place->gpa[0] % e->insn.size == 0)
		return true;
	*e->fault = (struct emulate_fault){ .vector = EXC_GP, .has_error_code = true };
	return false;
}

/* Where the element that the instruction names begins; its number is cut to those that there are. */
static unsigned int element_offset(const struct insn *insn)
{
	return insn->immediate % (insn->reg_size / insn->size) * insn->size;
}

/* Each element comes from the one of memory whose number is its own, with the lowest bit as given. */
static void duplicate(uint8_t *to, const uint8_t *from, unsigned int bytes, unsigned int element, unsigned int lowest)
{
	for (unsigned int i = 0; i < bytes / element; i++)
		memcpy(to + i * element, from + ((i & ~1u) | lowest) * element, element);
}

static void compose(const struct emulator *e, const uint8_t *memory, uint8_t *value)
{
	const uint8_t (*reg)[KEEL_VECTOR_BYTES] = e->ctx->vectors.reg;
	const struct insn *insn = &e->insn;

	if (insn->vex)
		memset(value, 0, MOST_BYTES);
	else
		memcpy(value, reg[insn->reg], MOST_BYTES);
	switch (insn->op) {
	case INSN_VECTOR_INSERT:
		memcpy(value, reg[insn->second], insn->reg_size);
		memcpy(value + element_offset(insn), memory, insn->size);
		break;
	case INSN_VECTOR_BROADCAST:
		for (unsigned int i = 0; i < insn->reg_size; i += insn->size)
			memcpy(value + i, memory, insn->size);
		break;
	case INSN_MOVDDUP:
		duplicate(value, memory, insn->reg_size, 8, 0);
		break;
	case INSN_MOVSLDUP:
	case INSN_MOVSHDUP:
		duplicate(value, memory, insn->reg_size, 4, insn->op == INSN_MOVSHDUP);
		break;
	default:
		memset(value, 0, insn->reg_size);
		memcpy(value, memory, insn->size);
		break;
	}
}

static void load(struct emulator *e, const struct place *place)
{
	struct keel_vectors *v = &e->ctx->vectors;
	uint8_t memory[MOST_BYTES], value[MOST_BYTES];
	uint16_t bit = (uint16_t)(1u << e->insn.reg);

	place_read(e, place, memory, BUS_BYTES);
	compose(e, memory, value);
	memcpy(v->reg[e->insn.reg], value, sizeof(value));
	v->written |= bit;
	if (e->insn.vex)
		v->whole |= bit;
}

static void store(const struct emulator *e, const struct place *place)
{
	const struct insn *insn = &e->insn;
	unsigned int from = insn->op == INSN_VECTOR_EXTRACT ? element_offset(insn) : 0;

	place_write(e, place, e->ctx->vectors.reg[insn->reg] + from, BUS_BYTES);
}

enum emulate_result emulate_vector(struct emulator *e)
{
	bool writes = e->insn.form == INSN_MR;
	struct place place;

	if (!(e->ctx->exit.flags & KEEL_EXIT_F_VECTORS))
		return EMULATE_VECTORS;
	if (!is_usable(e) || !find_operand(e, writes ? WALK_WRITE : 0, &place))
		return EMULATE_EXCEPTION;
	if (writes)
		store(e, &place);
	else
		load(e, &place);
	e->regs.rip = e->next_rip;
	return EMULATE_DONE;
}
