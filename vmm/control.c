// SPDX-License-Identifier: GPL-2.0
// The control domain's exits.

#include "control.h"

#include "apic.h"
#include "console.h"
#include "control_decode.h"
#include "control_policy.h"
#include "cpu.h"
#include "hv.h"
#include "own.h"
#include "takeover.h"
#include "trap.h"

#define WORD			8u

struct page_table control_table;

static void inject_fault(struct cpu *cpu, unsigned int vector, bool error_code)
{
	hv->control.inject(cpu, KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | vector |
			   (error_code ? KEEL_INJECT_ERROR_CODE : 0), 0);
}

static void exit_cpuid(struct cpu *cpu, const struct hv_exit *exit)
{
	struct keel_regs *regs = &cpu->control;
	struct hv_control_state state;
	struct cpuid r;

	hv->control.get(cpu, &state);
	r = control_cpuid((uint32_t)regs->gpr[KEEL_RAX], (uint32_t)regs->gpr[KEEL_RCX], state.cr4);
	regs->gpr[KEEL_RAX] = r.eax;
	regs->gpr[KEEL_RBX] = r.ebx;
	regs->gpr[KEEL_RCX] = r.ecx;
	regs->gpr[KEEL_RDX] = r.edx;
	hv->control.advance(cpu, exit->record->next_rip);
}

static void exit_rdmsr(struct cpu *cpu, const struct hv_exit *exit)
{
	uint64_t value;

	if (!control_rdmsr(cpu, (uint32_t)cpu->control.gpr[KEEL_RCX], &value)) {
		inject_fault(cpu, EXC_GP, true);
		return;
	}
	cpu->control.gpr[KEEL_RAX] = (uint32_t)value;
	cpu->control.gpr[KEEL_RDX] = value >> 32;
	hv->control.advance(cpu, exit->record->next_rip);
}

static void exit_wrmsr(struct cpu *cpu, const struct hv_exit *exit)
{
	uint32_t msr = (uint32_t)cpu->control.gpr[KEEL_RCX];
	uint64_t value = cpu->control.gpr[KEEL_RDX] << 32 | (uint32_t)cpu->control.gpr[KEEL_RAX];

	if (apic_is_command(msr) ? control_write_icr(cpu, value) : control_wrmsr(cpu, msr, value))
		hv->control.advance(cpu, exit->record->next_rip);
	else
		inject_fault(cpu, EXC_GP, true);
}

/*
 * A word that runs over the end of the control domain's memory is how Linux reads names (load_unaligned_zeropad): it is ready for
 * a page fault there, but not for #GP.
 */
static bool is_word_over_the_end(struct cpu *cpu, const struct keel_exit *exit, uint64_t *va)
{
	return !exit->access && control_decode_load(cpu, va) && *va % KEEL_PAGE_SIZE > KEEL_PAGE_SIZE - WORD;
}

/*
 * Another processor may have given the memory back since, or this one went by a table that is not in use any more (own.h). The
 * fault has dropped what it knew of that address (SDM vol. 3, 29.4.3.1; APM vol. 2, 5.5).
 */
static bool is_its_own(uint64_t gpa)
{
	enum own_state state = own_query(gpa).state;

	return state == OWN_MAPPED || state == OWN_SHARED;
}

/* A write of the local APIC, which is passed on, or memory that is not the control domain's, which faults. */
static void exit_memory(struct cpu *cpu, const struct keel_exit *exit)
{
	uint64_t va;

	if ((exit->gpa & ~(KEEL_PAGE_SIZE - 1)) == apic_base() && exit->access == KEEL_ACCESS_WRITE &&
	    control_apic_store(cpu, (uint32_t)(exit->gpa & (KEEL_PAGE_SIZE - 1))))
		return;
	if (is_its_own(exit->gpa) || takeover_fault(cpu, exit->gpa))
		return;
	if (is_word_over_the_end(cpu, exit, &va)) {
		hv->control.set_cr2(cpu, (va | (WORD - 1)) + 1);
		inject_fault(cpu, EXC_PF, true);
		return;
	}
	control_note_refusal(cpu, exit->gpa);
	inject_fault(cpu, EXC_GP, true);
}

static void exit_hypercall(struct cpu *cpu, const struct hv_exit *exit)
{
	struct hv_control_state state;

	hv->control.get(cpu, &state);
	if (state.cpl || !(state.efer & EFER_LMA)) {
		inject_fault(cpu, EXC_UD, false);
		return;
	}
	hv->control.advance(cpu, exit->record->next_rip);
	control_is_up(cpu);
	hypercall(cpu);
}

void control_run(struct cpu *cpu)
{
	struct keel_exit record;
	struct hv_exit exit = { .record = &record };

	for (;;) {
		if (cpu->init_seen)
			control_take_init(cpu);
		/* Taken while a guest, its cell or Keel ran. */
		if (cpu->nmi_seen)
			control_take_nmi(cpu);
		hv->control.enter(cpu, &exit);
		if (exit.reason != HV_EXIT_CPUID && exit.reason != HV_EXIT_HYPERCALL)
			cpu->exits++;
		switch (exit.reason) {
		case HV_EXIT_CPUID:
			exit_cpuid(cpu, &exit);
			break;
		case HV_EXIT_HYPERCALL:
			exit_hypercall(cpu, &exit);
			break;
		case HV_EXIT_RDMSR:
			exit_rdmsr(cpu, &exit);
			break;
		case HV_EXIT_WRMSR:
			exit_wrmsr(cpu, &exit);
			break;
		case HV_EXIT_MEMORY:
			exit_memory(cpu, exit.record);
			break;
		case HV_EXIT_IO:
			if (!control_io(cpu, exit.record))
				inject_fault(cpu, EXC_GP, true);
			break;
		case HV_EXIT_NMI:
			control_take_nmi(cpu);
			break;
		case HV_EXIT_INIT:
			cpu->init_seen = 1;
			break;
		case HV_EXIT_HLT:
			control_take_hlt(cpu);
			break;
		case HV_EXIT_NONE:
			break;
		case HV_EXIT_UNDEFINED:
			inject_fault(cpu, EXC_UD, false);
			break;
		case HV_EXIT_MACHINE_CHECK:
			inject_fault(cpu, EXC_MC, false);
			break;
		case HV_EXIT_ENTRY_FAILED:
			control_entry_failed(cpu, &exit);
			control_reset("by a state that the processor refuses");
		case HV_EXIT_TRIPLE_FAULT:
			/* A reset would wipe the message off and repeat all that. */
			if (control_failed_to_start(cpu))
				cpu_stop();
			control_reset("by a triple fault");
		default:
			control_tell_exit(cpu, &exit);
			inject_fault(cpu, EXC_UD, false);
			break;
		}
	}
}
