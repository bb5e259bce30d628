/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The end of an interrupt by memory instead of a register, as KVM's guests know it (Linux,
 * Documentation/virt/kvm/x86/msr.rst, MSR_KVM_PV_EOI_EN). When nothing would follow from the end of the interrupt in service,
 * the guest finds a bit set in a word of its memory, and clears it instead. What it did is seen at the vCPU's next entry.
 */
#include "vcpu/lapic_internal.h"

#include "core/gmem.h"

#define ENABLED		1ull
#define ALIGN_MASK	2ull		/* words of 4 bytes */
#define WORD_EOI	1u

static uint64_t place_of(const struct lapic *lapic)
{
	return lapic->s.pv_eoi & ~ENABLED;
}

void lapic_offer_eoi(struct lapic *lapic)
{
	struct lapic_state *s = &lapic->s;
	int vector;
	uint32_t word;

	/* With another request the processor would have to be told when this one ends. */
	if (!(s->pv_eoi & ENABLED) || s->requesting || s->posted)
		return;
	vector = lapic_highest(lapic, REG_ISR);
	/* The end of a level-triggered one is the IO APIC's to know. */
	if (vector < 0 || lapic_page_read(lapic, REG_TMR + (unsigned int)vector / VECTORS_EACH) >> vector % VECTORS_EACH & 1)
		return;
	if (!gmem_read(lapic->mem, place_of(lapic), &word, sizeof(word)))
		return;
	word |= WORD_EOI;
	s->eoi_offered = gmem_write(lapic->mem, place_of(lapic), &word, sizeof(word));
}

void lapic_withdraw_eoi(struct lapic *lapic)
{
	uint32_t word = 0;

	lapic->s.eoi_offered = 0;
	gmem_read(lapic->mem, place_of(lapic), &word, sizeof(word));
	if (!(word & WORD_EOI)) {
		lapic_end_of_interrupt(lapic);
		return;
	}
	word &= ~WORD_EOI;
	gmem_write(lapic->mem, place_of(lapic), &word, sizeof(word));
}

bool lapic_write_pv_eoi(struct lapic *lapic, uint64_t value)
{
	uint64_t nothing = 0;

	if (value & ALIGN_MASK)
		return false;
	if (value & ENABLED && !gmem_cmpxchg(lapic->mem, value & ~ENABLED, sizeof(uint32_t), &nothing, nothing))
		return false;
	lapic->s.pv_eoi = value;
	return true;
}

/* The guest has named memory as the place, and memory stays. */
bool lapic_pv_eoi_valid(const struct lapic *lapic, const struct lapic_state *s)
{
	if (s->pv_eoi & ALIGN_MASK || (s->eoi_offered && !(s->pv_eoi & ENABLED)))
		return false;
	return !(s->pv_eoi & ENABLED) || gmem_at(lapic->mem, s->pv_eoi & ~ENABLED, sizeof(uint32_t), true);
}
