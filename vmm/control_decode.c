// SPDX-License-Identifier: GPL-2.0
// Decodes MOV of a 32-bit register or immediate to memory, as kernels write to the local APIC (SDM vol. 2, 2.1).

#include "control_decode.h"

#include "cpu.h"
#include "hv.h"
#include "memory.h"
#include "own.h"
#include "string.h"

#define INSN_MAX	15u
#define LEVELS		4u
#define PTE_PRESENT	1u
#define PTE_LARGE	(1u << 7)
#define PTE_ADDRESS	0x000ffffffffff000ull

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
static uint64_t translate(const struct hv_control_state *state, uint64_t va)
{
	int level = state->cr4 & CR4_LA57 ? 4 : 3;
	uint64_t entry = state->cr3, mask;
	const uint64_t *table;

	if (!(state->efer & EFER_LMA))
		return 0;
	for (; level >= 0; level--) {
		table = control_memory(entry & PTE_ADDRESS);
		if (!table)
			return 0;
		entry = table[va >> (PAGE_SHIFT + 9 * level) & 511];
		if (!(entry & PTE_PRESENT))
			return 0;
		if (level == 0 || (level <= 2 && entry & PTE_LARGE))
			break;
	}
	mask = (PAGE_SIZE << 9 * level) - 1;
	return (entry & PTE_ADDRESS & ~mask) | (va & mask);
}

static unsigned int fetch(const struct hv_control_state *state, uint64_t rip, uint8_t bytes[INSN_MAX])
{
	unsigned int count = 0, piece;
	const void *from;
	uint64_t pa;

	while (count < INSN_MAX) {
		pa = translate(state, rip + count);
		from = pa ? control_memory(pa) : NULL;
		if (!from)
			break;
		piece = (unsigned int)(PAGE_SIZE - (pa & (PAGE_SIZE - 1)));
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

bool control_decode_bytes(const uint8_t *bytes, unsigned int count, const struct keel_regs *regs,
			  struct control_store *store)
{
	unsigned int at = 0, rex = 0, length, reg;

	if (at < count && bytes[at] >= REX_FIRST && bytes[at] <= REX_LAST)
		rex = bytes[at++];
	if (at + 2 > count || rex & REX_W || (bytes[at] != OP_MOV_REG && bytes[at] != OP_MOV_IMM))
		return false;
	length = operand_length(bytes + at + 1, count - at - 1);
	reg = (bytes[at + 1] >> 3 & 7) | (rex & REX_R ? 8 : 0);
	if (!length)
		return false;
	if (bytes[at] == OP_MOV_REG) {
		store->value = (uint32_t)regs->gpr[reg];
	} else {
		if (reg & 7 || at + 1 + length + 4 > count)
			return false;
		memcpy(&store->value, bytes + at + 1 + length, 4);
		length += 4;
	}
	store->next_rip = at + 1 + length;
	return store->next_rip <= count;
}

bool control_decode_store(struct cpu *cpu, struct control_store *store)
{
	struct hv_control_state state;
	uint8_t bytes[INSN_MAX];
	unsigned int count;

	hv->control_get(cpu, &state);
	count = fetch(&state, cpu->control.rip, bytes);
	if (!control_decode_bytes(bytes, count, &cpu->control, store))
		return false;
	store->next_rip += cpu->control.rip;
	return true;
}

bool control_decode_load_bytes(const uint8_t *bytes, unsigned int count, const struct keel_regs *regs, uint64_t *address)
{
	unsigned int rex, mod, rm, length, at = 3, index;
	int8_t byte;
	int32_t word;

	if (count < 3 || bytes[0] < (REX_FIRST | REX_W) || bytes[0] > REX_LAST || bytes[1] != OP_MOV_LOAD)
		return false;
	rex = bytes[0];
	mod = bytes[2] >> 6;
	rm = bytes[2] & 7;
	length = operand_length(bytes + 2, count - 2);
	if (!length || 2 + length > count || (mod == 0 && rm == 5))
		return false;
	*address = 0;
	if (rm == 4) {
		index = (bytes[3] >> 3 & 7) | (rex & REX_X ? 8 : 0);
		if (index != 4)
			*address = regs->gpr[index] << (bytes[3] >> 6);
		rm = bytes[3] & 7;
		if (mod == 0 && rm == 5)
			return false;
		at++;
	}
	*address += regs->gpr[rm | (rex & REX_B ? 8 : 0)];
	if (mod == 1) {
		memcpy(&byte, bytes + at, sizeof(byte));
		*address += (uint64_t)(int64_t)byte;
	} else if (mod == 2) {
		memcpy(&word, bytes + at, sizeof(word));
		*address += (uint64_t)(int64_t)word;
	}
	return true;
}

bool control_decode_load(struct cpu *cpu, uint64_t *address)
{
	struct hv_control_state state;
	uint8_t bytes[INSN_MAX];

	hv->control_get(cpu, &state);
	return !state.cpl && control_decode_load_bytes(bytes, fetch(&state, cpu->control.rip, bytes), &cpu->control, address);
}
