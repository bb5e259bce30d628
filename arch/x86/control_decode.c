// SPDX-License-Identifier: GPL-2.0
// Decodes MOV of a 32-bit register or immediate to memory, as kernels write to the local APIC (SDM vol. 2, 2.1).

#include "control_decode.h"

#include "cpu.h"
#include "hv.h"
#include "memory.h"
#include "own.h"
#include "pt_format.h"
#include "string.h"

#define INSN_MAX	15u

#define REX_FIRST	0x40u
#define REX_LAST	0x4fu
#define REX_W		(1u << 3)
#define REX_R		(1u << 2)
#define OP_MOV_REG	0x89u
#define OP_MOV_IMM	0xc7u
#define OP_MOV_LOAD	0x8bu
#define REX_X		(1u << 1)
#define REX_B		(1u << 0)

/* Memory of the control domain alone. */
static const void *control_memory(uint64_t pa)
{
	struct own_frame frame = own_query(pa);

	return frame.state == OWN_MAPPED && frame.owner == OWN_CONTROL ? phys_to_virt(pa) : NULL;
}

/* Walks the control domain's four- or five-level tables. 0: not mapped. */
static uint64_t walk(const struct hv_control_state *state, uint64_t va)
{
	const struct pt_format *format = &pt_format_x86;
	int level = state->cr4 & CR4_LA57 ? 4 : 3;
	uint64_t entry = state->cr3, mask;
	const uint64_t *table;

	if (!(state->efer & EFER_LMA))
		return 0;
	for (; level >= 0; level--) {
		table = control_memory(entry & format->address);
		if (!table)
			return 0;
		entry = table[va >> (PAGE_SHIFT + 9 * level) & 511];
		if (!pt_present(format, entry))
			return 0;
		if (level == 0 || (level <= 2 && entry & format->large))
			break;
	}
	mask = (PAGE_SIZE << 9 * level) - 1;
	return (entry & format->address & ~mask) | (va & mask);
}

const void *control_translate(const struct hv_control_state *state, uint64_t va)
{
	uint64_t pa = walk(state, va);

	return pa ? control_memory(pa) : NULL;
}

static unsigned int fetch(const struct hv_control_state *state, uint64_t rip, uint8_t bytes[INSN_MAX])
{
	unsigned int count = 0, piece;
	const void *from;

	while (count < INSN_MAX) {
		from = control_translate(state, rip + count);
		if (!from)
			break;
		piece = (unsigned int)(PAGE_SIZE - ((rip + count) & (PAGE_SIZE - 1)));
		if (piece > INSN_MAX - count)
			piece = INSN_MAX - count;
		memcpy(bytes + count, from, piece);
		count += piece;
	}
	return count;
}

/* Bytes of ModRM, SIB and displacement of a memory operand in 64-bit mode; 0: a register. */
static unsigned int operand_length(const uint8_t *modrm, unsigned int count)
{
	unsigned int mod = modrm[0] >> 6, rm = modrm[0] & 7, length = 1;

	if (mod == 3)
		return 0;
	if (rm == 4) {
		length++;
		if (mod == 0 && count > 1 && (modrm[1] & 7) == 5)
			length += 4;
	} else if (mod == 0 && rm == 5) {
		length += 4;
	}
	return length + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

/* Where the parts of a MOV between a register or an immediate and memory are in its bytes. */
struct mov {
	unsigned int rex;
	unsigned int opcode;
	/* Of the memory operand: SIB and displacement are in between. */
	unsigned int modrm;
	unsigned int end;
};

static bool decode(const uint8_t *bytes, unsigned int count, struct mov *mov)
{
	unsigned int at = 0, length;

	mov->rex = count && bytes[0] >= REX_FIRST && bytes[0] <= REX_LAST ? bytes[at++] : 0;
	if (at + 2 > count)
		return false;
	mov->opcode = bytes[at++];
	mov->modrm = at;
	length = operand_length(bytes + at, count - at);
	mov->end = at + length;
	return length && mov->end <= count;
}

bool control_decode_bytes(const uint8_t *bytes, unsigned int count, const struct keel_regs *regs,
			  struct control_store *store)
{
	unsigned int reg;
	struct mov mov;

	if (!decode(bytes, count, &mov) || mov.rex & REX_W)
		return false;
	reg = (bytes[mov.modrm] >> 3 & 7) | (mov.rex & REX_R ? 8 : 0);
	if (mov.opcode == OP_MOV_REG) {
		store->value = (uint32_t)regs->gpr[reg];
		store->next_rip = mov.end;
		return true;
	}
	if (mov.opcode != OP_MOV_IMM || reg & 7 || mov.end + sizeof(store->value) > count)
		return false;
	memcpy(&store->value, bytes + mov.end, sizeof(store->value));
	store->next_rip = mov.end + sizeof(store->value);
	return true;
}

bool control_decode_store(struct cpu *cpu, struct control_store *store)
{
	struct hv_control_state state;
	uint8_t bytes[INSN_MAX];

	hv->control.get(cpu, &state);
	if (!control_decode_bytes(bytes, fetch(&state, cpu->control.rip, bytes), &cpu->control, store))
		return false;
	store->next_rip += cpu->control.rip;
	return true;
}

bool control_decode_load_bytes(const uint8_t *bytes, unsigned int count, const struct keel_regs *regs, uint64_t *address)
{
	unsigned int mod, base, index;
	const uint8_t *at;
	struct mov mov;
	int32_t word;

	if (!decode(bytes, count, &mov) || !(mov.rex & REX_W) || mov.opcode != OP_MOV_LOAD)
		return false;
	at = bytes + mov.modrm;
	mod = *at >> 6;
	base = *at++ & 7;
	*address = 0;
	if (base == 4) {
		index = (*at >> 3 & 7) | (mov.rex & REX_X ? 8 : 0);
		if (index != 4)
			*address = regs->gpr[index] << (*at >> 6);
		base = *at++ & 7;
	}
	if (mod == 0 && base == 5)
		return false;
	*address += regs->gpr[base | (mov.rex & REX_B ? 8 : 0)];
	if (mod == 1) {
		*address += (uint64_t)(int64_t)(int8_t)*at;
	} else if (mod == 2) {
		memcpy(&word, at, sizeof(word));
		*address += (uint64_t)(int64_t)word;
	}
	return true;
}

bool control_decode_load(struct cpu *cpu, uint64_t *address)
{
	struct hv_control_state state;
	uint8_t bytes[INSN_MAX];

	hv->control.get(cpu, &state);
	return !state.cpl && control_decode_load_bytes(bytes, fetch(&state, cpu->control.rip, bytes), &cpu->control, address);
}
