// SPDX-License-Identifier: GPL-2.0
// Running a vCPU: guest, Keel, cell, until the control domain is needed.

#include "vcpu.h"

#include <stddef.h>

#include "cell_call.h"
#include "cpu.h"
#include "cpuid.h"
#include "error.h"
#include "guest_state.h"
#include "hv.h"
#include "msr.h"
#include "paging.h"
#include "percpu.h"
#include "report.h"
#include "speculation.h"
#include "swap.h"
#include "vcpu_state.h"
#include "vectors.h"
#include "vm.h"
#include "xstate.h"

/*
 * The longest stay, in ticks of the TSC: some milliseconds on any processor. A physical interrupt ends it sooner, if the
 * processor sees one; the control domain gets its CPU back whether it does or not.
 */
#define SLICE	(1u << 23)

/* Of an answer's flags, those that few answers have. */
#define REPEATS	(KEEL_ANSWER_WANT_VECTORS | KEEL_ANSWER_STATE_OUT | KEEL_ANSWER_STATE_IN)
#define CHANGES	(KEEL_ANSWER_VECTORS | KEEL_ANSWER_SREGS | KEEL_ANSWER_CR2 | KEEL_ANSWER_TPR | KEEL_ANSWER_APIC)

/*
 * Physical interrupts may have vectors from 16 on: while ring 3 can run, those below 32 are held back, so that they
 * are not taken for a cell's exceptions or its answer.
 */
static void mask_low_vectors(struct cpu *cpu)
{
	cpu->control_tpr = read_cr8();
	if (!cpu->control_tpr)
		write_cr8(1);
}

static void unmask_low_vectors(struct cpu *cpu)
{
	if (!cpu->control_tpr)
		write_cr8(0);
}

static void load(struct cpu *cpu, struct vcpu *vcpu)
{
	mask_low_vectors(cpu);
	swap_in(cpu, vcpu);
	write_cr3(vcpu->vm->cell_table.root);
	hv->vcpu.load(cpu, vcpu);
	speculation_before_guest();
}

/* The vendor's put notes what of the guest is in the processor and changes without an exit, before swap_out takes it out. */
static void put(struct cpu *cpu, struct vcpu *vcpu)
{
	speculation_after_guest();
	hv->vcpu.put(cpu, vcpu);
	write_cr3(cpu->main_cr3);
	swap_out(cpu, vcpu);
	unmask_low_vectors(cpu);
}

/* Puts an exit before the cell: what the vendor's side has not filled in already. */
static void report(struct vcpu *vcpu, enum keel_exit_kind kind, uint32_t flags, bool completes)
{
	if (hv->vcpu.interruptible(vcpu, completes))
		flags |= KEEL_EXIT_F_INTERRUPTIBLE;
	if (flags & KEEL_EXIT_F_SREGS)
		hv->vcpu.state_out(vcpu, HV_STATE_SREGS | (kind == KEEL_EXIT_TASK_SWITCH ? HV_STATE_EVENTS : 0),
				   &vcpu->cell.page->sregs);
	report_exit(vcpu, kind, flags, completes);
}

/* There was no exit that would have told of CR8. */
static void report_poll(struct vcpu *vcpu, uint32_t flags)
{
	hv->vcpu.state_out(vcpu, HV_STATE_TPR, &vcpu->state.sregs);
	vcpu->cell.page->exit.tpr = vcpu->state.sregs.tpr;
	report(vcpu, KEEL_EXIT_POLL, flags, false);
	vcpu->state_moves = !flags;
}

static unsigned int end(struct vcpu *vcpu, enum keel_end reason, uint64_t detail)
{
	vm_end(vcpu->vm, reason, detail, vcpu->cell.page->regs.rip);
	return KEEL_RUN_ENDED;
}

static void inject(struct vcpu *vcpu, uint32_t event, uint32_t error_code)
{
	if (!hv->vcpu.inject(vcpu, event, error_code))
		end(vcpu, KEEL_END_TRIPLE_FAULT, vcpu->index);
}

static void inject_fault(struct vcpu *vcpu, unsigned int vector, bool error_code)
{
	inject(vcpu, KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | vector | (error_code ? KEEL_INJECT_ERROR_CODE : 0), 0);
}

/* Of what Keel keeps. */
static void exit_wrmsr(struct vcpu *vcpu, const struct hv_exit *exit)
{
	const struct keel_regs *regs = &vcpu->cell.page->regs;
	uint64_t value = (regs->gpr[KEEL_RDX] << 32) | (uint32_t)regs->gpr[KEEL_RAX];

	if (msr_guest_write(vcpu, (uint32_t)regs->gpr[KEEL_RCX], value))
		hv->vcpu.advance(vcpu, exit->record->next_rip);
	else
		inject_fault(vcpu, EXC_GP, true);
}

static void exit_xsetbv(struct vcpu *vcpu, const struct hv_exit *exit)
{
	const struct keel_regs *regs = &vcpu->cell.page->regs;
	uint64_t value = (regs->gpr[KEEL_RDX] << 32) | (uint32_t)regs->gpr[KEEL_RAX];

	if ((uint32_t)regs->gpr[KEEL_RCX] || !xcr0_valid(value, cpuid_guest_xcr0())) {
		inject_fault(vcpu, EXC_GP, true);
		return;
	}
	if (vcpu->xcr0 != value)
		xsetbv(value);
	vcpu->xcr0 = value;
	hv->vcpu.advance(vcpu, exit->record->next_rip);
}

/* Whether the privilege check or the intercept comes first differs by instruction and by processor. */
static bool is_privileged(enum hv_exit_reason reason)
{
	return reason == HV_EXIT_RDMSR || reason == HV_EXIT_WRMSR || reason == HV_EXIT_XSETBV || reason == HV_EXIT_HLT;
}

/* Exits that are the cell's to see to, and not answered by it below the seam. */
static const struct {
	uint8_t kind;
	uint8_t flags;
	bool completes;		/* the answer ends the instruction */
} reports[HV_EXIT_UNKNOWN + 1] = {
	[HV_EXIT_HLT] = { KEEL_EXIT_HLT, 0, true },
	[HV_EXIT_WINDOW] = { KEEL_EXIT_WINDOW, 0, false },
	[HV_EXIT_TPR] = { KEEL_EXIT_TPR, 0, false },
	[HV_EXIT_EOI] = { KEEL_EXIT_EOI, 0, false },
	[HV_EXIT_APIC_WRITE] = { KEEL_EXIT_APIC_WRITE, 0, false },
	[HV_EXIT_CR8_WRITE] = { KEEL_EXIT_TPR, KEEL_EXIT_F_CR8 | KEEL_EXIT_F_SREGS, true },
	[HV_EXIT_TASK_SWITCH] = { KEEL_EXIT_TASK_SWITCH, KEEL_EXIT_F_SREGS, false },
};

static void exit_to_cell(struct vcpu *vcpu, const struct hv_exit *exit)
{
	report(vcpu, reports[exit->reason].kind, reports[exit->reason].flags, reports[exit->reason].completes);
}

/* The cell counts those that come to it: they have no place here, as 0 is no exit's. */
static void count_exit(struct vcpu *vcpu, enum hv_exit_reason reason)
{
	static const uint8_t counted[HV_EXIT_UNKNOWN + 1] = {
		[HV_EXIT_INTERRUPT] = KEEL_COUNT_INTERRUPT, [HV_EXIT_NMI] = KEEL_COUNT_INTERRUPT,
		[HV_EXIT_INIT] = KEEL_COUNT_INTERRUPT, [HV_EXIT_RDMSR] = KEEL_COUNT_RDMSR, [HV_EXIT_WRMSR] = KEEL_COUNT_WRMSR,
		[HV_EXIT_XSETBV] = KEEL_COUNT_XSETBV, [HV_EXIT_PAUSE] = KEEL_COUNT_PAUSE,
	};

	if (counted[reason])
		vcpu->cell.page->counters.count[counted[reason]]++;
}

/* What the exit needs the control domain for; 0: nothing. */
static unsigned int handle_exit(struct cpu *cpu, struct vcpu *vcpu, const struct hv_exit *exit)
{
	count_exit(vcpu, exit->reason);
	if (exit->cpl && is_privileged(exit->reason)) {
		inject_fault(vcpu, EXC_GP, true);
		return 0;
	}
	switch (exit->reason) {
	case HV_EXIT_NONE:
		return 0;
	case HV_EXIT_INTERRUPT:
		return KEEL_RUN_INTERRUPT;
	case HV_EXIT_NMI:
		cpu->nmi_seen = 1;
		return KEEL_RUN_INTERRUPT;
	case HV_EXIT_INIT:
		cpu->init_seen = 1;
		return KEEL_RUN_INTERRUPT;
	case HV_EXIT_RDMSR:
		inject_fault(vcpu, EXC_GP, true);
		return 0;
	case HV_EXIT_WRMSR:
		exit_wrmsr(vcpu, exit);
		return 0;
	case HV_EXIT_XSETBV:
		exit_xsetbv(vcpu, exit);
		return 0;
	case HV_EXIT_PAUSE:
		hv->vcpu.advance(vcpu, exit->record->next_rip);
		return KEEL_RUN_YIELD;
	case HV_EXIT_UNDEFINED:
	case HV_EXIT_HYPERCALL:
		inject_fault(vcpu, EXC_UD, false);
		return 0;
	case HV_EXIT_HLT:
		/* The trap of a single step ends the halt at once. */
		if (vcpu->cell.page->regs.rflags & RFLAGS_TF)
			hv->vcpu.advance(vcpu, exit->record->next_rip);
		else
			exit_to_cell(vcpu, exit);
		return 0;
	case HV_EXIT_MACHINE_CHECK:
		hv->control.inject(cpu, KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | EXC_MC, 0);
		return KEEL_RUN_INTERRUPT;
	case HV_EXIT_TRIPLE_FAULT:
		return end(vcpu, KEEL_END_TRIPLE_FAULT, vcpu->index);
	case HV_EXIT_ENTRY_FAILED:
		return end(vcpu, KEEL_END_ENTRY_FAILED, exit->detail);
	case HV_EXIT_UNKNOWN:
		return end(vcpu, KEEL_END_UNHANDLED, exit->detail);
	default:
		exit_to_cell(vcpu, exit);
		return 0;
	}
}

static void kick(struct vm *vm, uint64_t mask)
{
	unsigned int i;

	for (i = 0; mask; i++, mask >>= 1)
		if (mask & 1)
			__atomic_store_n(&vm->vcpu[i]->poll, 1, __ATOMIC_RELEASE);
}

/* What both kinds of context may ask for. The mask of vCPUs is cut to those that exist. */
static unsigned int common_answer(struct vm *vm, const struct keel_answer *answer, struct vm_run *run)
{
	uint64_t mask = __atomic_load_n(&answer->kick, __ATOMIC_RELAXED);
	unsigned int flags = 0;
	uint32_t end;

	if (mask) {
		if (vm->vcpu_count < 64)
			mask &= (1ull << vm->vcpu_count) - 1;
		kick(vm, mask);
		run->kick |= mask;
		flags |= KEEL_RUN_KICK;
	}
	if (answer->flags & KEEL_ANSWER_DOORBELL)
		flags |= KEEL_RUN_DOORBELL;
	if (answer->action == KEEL_ACTION_END) {
		end = __atomic_load_n(&answer->end, __ATOMIC_RELAXED);
		if (end != KEEL_END_POWEROFF && end != KEEL_END_RESET)
			end = KEEL_END_CELL_REFUSED;
		vm_end(vm, end, answer->detail, 0);
		flags |= KEEL_RUN_ENDED;
	}
	return flags;
}

static void apply_apic(struct vcpu *vcpu, uint32_t apic)
{
	vcpu->apic_off = apic & KEEL_APIC_OFF;
	if (vcpu->exit_flags)
		hv->vcpu.set_apic(vcpu, apic);
}

/* Other contexts of the cell can write its pages: what is new is looked at in a copy. False: the answer breaks the contract. */
static bool apply_sregs(struct cpu *cpu, struct vcpu *vcpu)
{
	const struct keel_context *page = vcpu->cell.page;
	struct keel_sregs *sregs = &vcpu->state.sregs;

	*sregs = page->sregs;
	if (!guest_state_may_answer(sregs))
		return false;
	sregs->pending_debug = 0;
	sregs->shadow = sregs->event = sregs->event_code = sregs->held = 0;
	/* INIT forgets an NMI that waits; a task switch does not. */
	vcpu->nmi_pending &= page->exit.kind == KEEL_EXIT_TASK_SWITCH;
	return hv->vcpu.state_in(cpu, vcpu, HV_STATE_SREGS | HV_STATE_EVENTS, sregs);
}

/* CR2 and CR8 alone. */
static void apply_registers(struct cpu *cpu, struct vcpu *vcpu, uint32_t flags)
{
	const struct keel_context *page = vcpu->cell.page;
	unsigned int parts = (flags & KEEL_ANSWER_CR2 ? HV_STATE_CR2 : 0) | (flags & KEEL_ANSWER_TPR ? HV_STATE_TPR : 0);

	vcpu->state.sregs.cr2 = page->sregs.cr2;
	vcpu->state.sregs.tpr = page->answer.tpr & CR8_MOST;
	hv->vcpu.state_in(cpu, vcpu, parts, &vcpu->state.sregs);
}

/* What few answers have: CHANGES. False: the answer breaks the contract. */
static bool apply_changes(struct cpu *cpu, struct vcpu *vcpu, const struct keel_answer *answer, uint32_t flags)
{
	if (flags & KEEL_ANSWER_VECTORS) {
		if (!vcpu->vectors_given)
			return false;
		vectors_take(vcpu);
	}
	if (flags & KEEL_ANSWER_SREGS && !apply_sregs(cpu, vcpu))
		return false;
	if (flags & (KEEL_ANSWER_CR2 | KEEL_ANSWER_TPR))
		apply_registers(cpu, vcpu, flags);
	if (flags & KEEL_ANSWER_APIC)
		apply_apic(vcpu, __atomic_load_n(&answer->apic, __ATOMIC_RELAXED));
	return true;
}

/* Likewise. An interrupt goes in only where the guest takes it. */
static bool apply_event(struct vcpu *vcpu, uint32_t event, uint32_t error_code)
{
	unsigned int vector = event & KEEL_INJECT_VECTOR;

	if (event & KEEL_INJECT_EXCEPTION ? vector >= 32 || vector == EXC_NMI :
					    !hv->vcpu.interruptible(vcpu, vcpu->exit_completes))
		return false;
	inject(vcpu, event, error_code);
	return true;
}

/* The exit once more, with the vector registers. False: the cell has them, or wants other things too. */
static bool repeat_with_vectors(struct vcpu *vcpu, uint32_t flags)
{
	if (vcpu->vectors_given || flags != KEEL_ANSWER_WANT_VECTORS)
		return false;
	vectors_give(vcpu);
	vcpu->vectors_given = true;
	vcpu->cell.page->exit.flags |= KEEL_EXIT_F_VECTORS;
	vcpu->cell.pending = true;
	return true;
}

/* The POLL once more, when the state has gone where it was to go. False: there was no such POLL, or it wants other things too. */
static bool move_state(struct cpu *cpu, struct vcpu *vcpu, uint32_t flags)
{
	uint64_t address = __atomic_load_n(&vcpu->cell.page->answer.state, __ATOMIC_RELAXED);
	bool moved = false;

	if (!vcpu->state_moves)
		return false;
	if (flags == KEEL_ANSWER_STATE_OUT)
		moved = vcpu_state_out(cpu, vcpu, address);
	else if (flags == KEEL_ANSWER_STATE_IN)
		moved = vcpu_state_in(cpu, vcpu, address);
	report_poll(vcpu, KEEL_EXIT_F_STATE);
	return moved;
}

/* REPEATS: the exit comes once more. */
static bool repeat(struct cpu *cpu, struct vcpu *vcpu, uint32_t flags)
{
	return flags & KEEL_ANSWER_WANT_VECTORS ? repeat_with_vectors(vcpu, flags) : move_state(cpu, vcpu, flags);
}

/* flags and event are looked at in a copy. */
static unsigned int apply_answer(struct cpu *cpu, struct vcpu *vcpu, struct vm_run *run)
{
	struct keel_context *page = vcpu->cell.page;
	const struct keel_answer *answer = &page->answer;
	uint32_t flags = __atomic_load_n(&answer->flags, __ATOMIC_RELAXED);
	uint32_t event = __atomic_load_n(&answer->inject, __ATOMIC_RELAXED);
	uint32_t threshold = __atomic_load_n(&answer->tpr_threshold, __ATOMIC_RELAXED) & CR8_MOST;
	unsigned int result = common_answer(vcpu->vm, answer, run);

	if (result & KEEL_RUN_ENDED)
		return result;
	if (flags & REPEATS) {
		if (!repeat(cpu, vcpu, flags))
			goto refuse;
		return result;
	}
	if ((flags & (KEEL_ANSWER_RIP | KEEL_ANSWER_SREGS)) == KEEL_ANSWER_RIP)
		hv->vcpu.advance(vcpu, page->regs.rip);
	if (flags & CHANGES && !apply_changes(cpu, vcpu, answer, flags))
		goto refuse;
	if (event & KEEL_INJECT_VALID && !apply_event(vcpu, event, answer->error_code))
		goto refuse;
	/* Of an interrupt the exit has said that the guest takes it now: it goes in before this. */
	if (flags & KEEL_ANSWER_NMI)
		vcpu->nmi_pending = true;
	hv->vcpu.window(vcpu, flags & KEEL_ANSWER_WINDOW, threshold);
	vcpu->window = flags & KEEL_ANSWER_WINDOW || threshold;
	vcpu->deadline = answer->deadline;
	if (answer->action == KEEL_ACTION_WAIT) {
		/* Whatever ends the wait, the cell decides whether it is over. */
		__atomic_store_n(&vcpu->poll, 1, __ATOMIC_RELAXED);
		result |= KEEL_RUN_WAIT;
	}
	if (vcpu->deadline < vcpu->armed)
		result |= KEEL_RUN_DEADLINE;
	return result;

refuse:
	return result | end(vcpu, KEEL_END_CELL_ANSWER, flags);
}

static unsigned int take_result(struct cpu *cpu, struct vcpu *vcpu, enum cell_result result, struct vm_run *run)
{
	return result == CELL_ANSWERED ? apply_answer(cpu, vcpu, run) : result;
}

/* Each exit comes back here, so that what the cell has taken of the time is the only other part of it. */
static void enter_measured(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit)
{
	struct keel_counters *counters = &vcpu->cell.page->counters;
	uint64_t cell = counters->cell, began = rdtsc();

	vcpu->due = 0;
	hv->vcpu.enter(cpu, vcpu, exit);
	counters->guest += rdtsc() - began - (counters->cell - cell);
}

static unsigned int loop(struct cpu *cpu, struct vcpu *vcpu, struct vm_run *run)
{
	struct vm *vm = vcpu->vm;
	struct hv_exit exit = { .record = &vcpu->cell.page->exit };
	uint64_t end = rdtsc() + SLICE;
	unsigned int flags;

	for (;;) {
		if (__atomic_load_n(&vm->end, __ATOMIC_ACQUIRE))
			return KEEL_RUN_ENDED;
		if (vcpu->cell.pending) {
			flags = take_result(cpu, vcpu, cell_call(cpu, &vcpu->cell), run);
			if (flags)
				return flags;
			continue;
		}
		/* Behind every answer of the cell and every exit, so neither can keep the CPU. */
		vcpu->due = vcpu->deadline < end ? vcpu->deadline : end;
		if (vcpu_is_due(vcpu)) {
			if (rdtsc() >= end)
				return KEEL_RUN_INTERRUPT;
			/* Taken first: what comes from now on is asked for anew. */
			__atomic_exchange_n(&vcpu->poll, 0, __ATOMIC_ACQ_REL);
			report_poll(vcpu, 0);
			continue;
		}
		if (vcpu->cell.measured)
			enter_measured(cpu, vcpu, &exit);
		else
			hv->vcpu.enter(cpu, vcpu, &exit);
		if (exit.reason == HV_EXIT_CELL)
			flags = take_result(cpu, vcpu, cell_left(cpu, &vcpu->cell), run);
		else
			flags = handle_exit(cpu, vcpu, &exit);
		if (flags)
			return flags;
	}
}

/*
 * Takes a context for this CPU. Counted first, looked at then: a VM that is counted as running is not taken down, so its
 * contexts stay. -EINVAL: not started, or no such vCPU; -EBUSY: it runs elsewhere; -ESHUTDOWN: the VM has ended.
 */
static int enter_context(struct vm *vm, uint64_t number, struct cell_context **context)
{
	enum vm_state state;
	uint32_t idle = 0;
	int error = 0;

	__atomic_add_fetch(&vm->running, 1, __ATOMIC_SEQ_CST);
	state = __atomic_load_n(&vm->state, __ATOMIC_SEQ_CST);
	if (state < VM_STARTED || (number != KEEL_CONTEXT_EVENT && number >= vm->vcpu_count)) {
		error = -EINVAL;
	} else if (state != VM_STARTED || __atomic_load_n(&vm->end, __ATOMIC_ACQUIRE)) {
		error = -ESHUTDOWN;
	} else {
		*context = number == KEEL_CONTEXT_EVENT ? &vm->event : &vm->vcpu[number]->cell;
		if (!__atomic_compare_exchange_n(&(*context)->running, &idle, 1, false, __ATOMIC_ACQUIRE,
						 __ATOMIC_RELAXED))
			error = -EBUSY;
	}
	if (error)
		__atomic_sub_fetch(&vm->running, 1, __ATOMIC_SEQ_CST);
	return error;
}

static void leave_context(struct vm *vm, struct cell_context *context)
{
	__atomic_store_n(&context->running, 0, __ATOMIC_RELEASE);
	__atomic_sub_fetch(&vm->running, 1, __ATOMIC_SEQ_CST);
}

int vcpu_run(struct cpu *cpu, struct vm *vm, uint64_t index, uint64_t armed, struct vm_run *run)
{
	struct cell_context *context;
	struct vcpu *vcpu;
	uint64_t began;
	int flags = index < KEEL_MAX_VCPUS ? enter_context(vm, index, &context) : -EINVAL;

	if (flags)
		return flags;
	began = cell_begin_stay(context);
	vcpu = vm->vcpu[index];
	vcpu->armed = armed;
	load(cpu, vcpu);
	flags = (int)loop(cpu, vcpu, run);
	put(cpu, vcpu);
	run->deadline = vcpu->deadline;
	if (context->moving)
		run->kick |= aperture_late(&vm->apertures);
	/*
	 * While the cell is at work on it the next deadline is not known, and a timer for the last one would only interrupt the
	 * cell.
	 */
	if (!vcpu->cell.pending && vcpu->deadline != vcpu->armed)
		flags |= KEEL_RUN_DEADLINE;
	aperture_left(&vm->apertures, vcpu->index);
	cell_end_stay(context, began, (unsigned int)flags);
	leave_context(vm, context);
	return flags;
}

int vcpu_run_event(struct cpu *cpu, struct vm *vm, struct vm_run *run)
{
	struct cell_context *context;
	enum cell_result result;
	uint64_t began;
	int flags = enter_context(vm, KEEL_CONTEXT_EVENT, &context);

	if (flags)
		return flags;
	began = cell_begin_stay(context);
	mask_low_vectors(cpu);
	write_cr3(vm->cell_table.root);
	speculation_before_guest();
	if (!context->inside)
		context->page->exit = (struct keel_exit){ .kind = KEEL_EXIT_EVENT, .context = KEEL_CONTEXT_EVENT };
	result = cell_call(cpu, context);
	flags = (int)result;
	if (result == CELL_ANSWERED)
		flags = (int)(common_answer(vm, &context->page->answer, run) | KEEL_RUN_DONE);
	if (result == CELL_WAITS)
		run->kick |= aperture_late(&vm->apertures);
	speculation_after_guest();
	write_cr3(cpu->main_cr3);
	unmask_low_vectors(cpu);
	cell_end_stay(context, began, (unsigned int)flags);
	leave_context(vm, context);
	return flags;
}
