// SPDX-License-Identifier: GPL-2.0
// Saving a vCPU and putting it in again.

#include "vcpu_state.h"

#include <stddef.h>

#include "cpu.h"
#include "cpuid.h"
#include "guest_state.h"
#include "hv.h"
#include "memory.h"
#include "msr.h"
#include "percpu.h"
#include "string.h"
#include "vcpu.h"
#include "vectors.h"
#include "vm.h"
#include "xstate.h"

_Static_assert(offsetof(struct keel_vcpu_state, xstate) == KEEL_PAGE_SIZE, "a page each");
_Static_assert(2 * KEEL_XSTATE_BYTES <= VCPU_XSTATE_PAGES * KEEL_PAGE_SIZE, "the area at hand, and one that comes in");

/*
 * The structure's two pages, in the main address space: a cell's memory is nowhere else in Keel's reach. The processor keeps
 * ring 0 from what is ring 3's (SMAP).
 */
struct place {
	struct keel_state *state;
	uint8_t *xstate;
};

static bool find(const struct vm *vm, uint64_t address, struct place *place)
{
	uint64_t state = vm_cell_data_page(vm, address);
	uint64_t xstate = vm_cell_data_page(vm, address + offsetof(struct keel_vcpu_state, xstate));

	if (!state || !xstate)
		return false;
	place->state = phys_to_virt(state);
	place->xstate = phys_to_virt(xstate);
	return true;
}

static void debug_out(const struct vcpu *vcpu, uint64_t dr[4])
{
	memcpy(dr, vcpu->dr, sizeof(vcpu->dr));
	if (!vcpu->debug_registers)
		return;
	dr[0] = read_dr0();
	dr[1] = read_dr1();
	dr[2] = read_dr2();
	dr[3] = read_dr3();
}

static void debug_in(struct vcpu *vcpu, const uint64_t dr[4])
{
	memcpy(vcpu->dr, dr, sizeof(vcpu->dr));
	if (!vcpu->debug_registers)
		return;
	write_dr0(dr[0]);
	write_dr1(dr[1]);
	write_dr2(dr[2]);
	write_dr3(dr[3]);
}

static void gather(struct vcpu *vcpu)
{
	struct keel_state *state = &vcpu->state;

	memset(state, 0, sizeof(*state));
	state->regs = vcpu->cell.page->regs;
	hv->vcpu.state_out(vcpu, HV_STATE_ALL, &state->sregs);
	debug_out(vcpu, state->dr);
	state->tsc_offset = vcpu->tsc_offset;
	state->nmi_pending = vcpu->nmi_pending;
	state->msrs = msr_guest_save(vcpu, state->msr);
	vectors_out(vcpu, state);
}

bool vcpu_state_out(struct cpu *cpu, struct vcpu *vcpu, uint64_t address)
{
	uint32_t bytes = cpuid_guest_xstate_bytes();
	struct place place;
	bool found;

	gather(vcpu);
	write_cr3(cpu->main_cr3);
	found = find(vcpu->vm, address, &place);
	if (found) {
		*place.state = vcpu->state;
		memcpy(place.xstate, vcpu->xstate, bytes);
		memset(place.xstate + bytes, 0, KEEL_XSTATE_BYTES - bytes);
		memset(place.xstate + XSAVE_HEADER, 0, XSAVE_HEADER_END - XSAVE_HEADER);
	}
	write_cr3(vcpu->vm->cell_table.root);
	vcpu->cell.page->exit.refused = KEEL_STATE_TAKEN;
	return found;
}

/* Other contexts of the cell can write the memory, so it is looked at in a copy. */
static bool copy_in(struct cpu *cpu, struct vcpu *vcpu, uint64_t address)
{
	struct place place;
	bool found;

	write_cr3(cpu->main_cr3);
	found = find(vcpu->vm, address, &place);
	if (found) {
		vcpu->state = *place.state;
		memcpy(vectors_staged(vcpu), place.xstate, KEEL_XSTATE_BYTES);
	}
	write_cr3(vcpu->vm->cell_table.root);
	return found;
}

/* Nothing here can fail any more. */
static void replace(struct cpu *cpu, struct vcpu *vcpu, const struct keel_state *state)
{
	unsigned int i;

	vcpu->cell.page->regs = state->regs;
	debug_in(vcpu, state->dr);
	hv->vcpu.state_in(cpu, vcpu, HV_STATE_ALL, &state->sregs);
	for (i = 0; i < state->msrs; i++)
		msr_guest_load(vcpu, state->msr[i].index, state->msr[i].value);
	vcpu->tsc_offset = state->tsc_offset;
	hv->vcpu.tsc_moved(vcpu);
	vcpu->nmi_pending = state->nmi_pending;
}

bool vcpu_state_in(struct cpu *cpu, struct vcpu *vcpu, uint64_t address)
{
	struct keel_exit *record = &vcpu->cell.page->exit;
	enum keel_state_part refused;
	uint32_t at;

	if (!copy_in(cpu, vcpu, address))
		return false;
	refused = guest_state_check(&vcpu->state, &at);
	if (!refused && !vectors_in(vcpu, &vcpu->state))
		refused = KEEL_STATE_XSTATE;
	if (!refused)
		replace(cpu, vcpu, &vcpu->state);
	record->refused = refused;
	record->refused_at = at;
	return true;
}
