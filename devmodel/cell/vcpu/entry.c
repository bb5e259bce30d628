// SPDX-License-Identifier: GPL-2.0
/* Exits in, answers out. */
#include "vcpu/entry.h"

#include <keel/macros.h>
#include <x86/msr.h>
#include <x86/registers.h>

#include "core/string.h"
#include "vcpu/emulate.h"
#include "vcpu/task_switch.h"
#include "vcpu/reset.h"

/* Elements of one repeated string instruction done in one entry; the guest comes back for the rest. */
#define REPEAT_MOST		1024u

/* A chip that is behind must not keep its vCPU from the guest by one poll after the other. */
#define POLL_PAUSE_NS		10000u

#define TPR_CLASS_SHIFT		4
#define SIPI_PAGE_SHIFT		12
#define INTERRUPT_EXTERNAL	0x100

static void inject_exception(struct keel_context *ctx, const struct emulate_fault *fault)
{
	struct keel_answer *answer = &ctx->answer;

	answer->inject = KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | fault->vector;
	if (fault->has_error_code) {
		answer->inject |= KEEL_INJECT_ERROR_CODE;
		answer->error_code = fault->error_code;
	}
	if (fault->vector == EXC_PF) {
		ctx->sregs.cr2 = fault->cr2;
		answer->flags |= KEEL_ANSWER_CR2;
	}
}

static void inject_general_protection(struct keel_context *ctx)
{
	static const struct emulate_fault fault = { .vector = EXC_GP, .has_error_code = true };

	inject_exception(ctx, &fault);
}

static void finish_instruction(struct keel_context *ctx)
{
	ctx->regs.rip = ctx->exit.next_rip;
	ctx->answer.flags |= KEEL_ANSWER_RIP;
}

static void report_instruction(struct pc *pc, const struct keel_context *ctx)
{
	uint64_t rip = __builtin_bswap64(ctx->regs.rip), gpa = __builtin_bswap64(ctx->exit.gpa);

	pc_debug_bytes(pc, "\nunknown instruction at", (const uint8_t *)&rip, sizeof(rip));
	pc_debug_bytes(pc, "on device memory at", (const uint8_t *)&gpa, sizeof(gpa));
	pc_debug_bytes(pc, "its bytes:", ctx->exit.insn, sizeof(ctx->exit.insn));
}

/* Elements of a string instruction done in one entry. In a single step each iteration has its trap (SDM vol. 3, 18.3.1.4). */
static unsigned int repeat_most(const struct keel_context *ctx)
{
	return ctx->regs.rflags & RFLAGS_TF ? 1 : REPEAT_MOST;
}

/* What the emulator made of an instruction. */
static void emulated(struct pc *pc, struct keel_context *ctx, enum emulate_result result, const struct emulate_fault *fault)
{
	switch (result) {
	case EMULATE_DONE:
		/* Elements of a string that is not through yet end the shadow of STI, too, and have their trap. */
		ctx->answer.flags |= KEEL_ANSWER_REGS | KEEL_ANSWER_RFLAGS | KEEL_ANSWER_RIP;
		if (ctx->exit.flags & KEEL_EXIT_F_VECTORS && ctx->vectors.written)
			ctx->answer.flags |= KEEL_ANSWER_VECTORS;
		break;
	case EMULATE_AGAIN:
		/* It was said of the state behind the instruction. */
		ctx->exit.flags &= ~KEEL_EXIT_F_INTERRUPTIBLE;
		break;
	case EMULATE_VECTORS:
		ctx->answer.flags = KEEL_ANSWER_WANT_VECTORS;
		/* It comes once more. */
		ctx->counters.exits[ctx->exit.kind % KEEL_EXIT_KINDS]--;
		break;
	case EMULATE_EXCEPTION:
		inject_exception(ctx, fault);
		break;
	case EMULATE_UNKNOWN:
		report_instruction(pc, ctx);
		pc_end(pc, KEEL_END_CELL_REFUSED, CELL_REFUSED_INSTRUCTION);
		break;
	}
}

/*
 * Not that of a string instruction. A result of 4 bytes clears the upper half of the register, fewer leave the rest alone (SDM
 * vol. 1, 3.4.1.1).
 */
static inline void access_port(struct pc *pc, struct keel_context *ctx)
{
	static const uint64_t keep[] = { [1] = ~0xffull, [2] = ~0xffffull, [4] = 0 };
	const struct keel_exit *exit = &ctx->exit;
	uint64_t *rax = &ctx->regs.gpr[KEEL_RAX];

	if (exit->size != 1 && exit->size != 2 && exit->size != 4) {
		pc_end(pc, KEEL_END_CELL_REFUSED, CELL_REFUSED_EXIT);
		return;
	}
	if (exit->io & KEEL_IO_IN) {
		*rax = (*rax & keep[exit->size]) | bus_port_read(&pc->io, exit->port, exit->size);
		ctx->answer.flags |= KEEL_ANSWER_REGS;
	} else {
		bus_port_write(&pc->io, exit->port, exit->size, (uint32_t)*rax);
	}
	finish_instruction(ctx);
}

static void exit_io(struct pc *pc, struct keel_context *ctx)
{
	struct emulate_fault fault = { 0 };

	if (ctx->exit.io & KEEL_IO_STRING)
		emulated(pc, ctx, emulate_string_io(ctx, &pc->mem, &pc->io, repeat_most(ctx), &fault), &fault);
	else
		access_port(pc, ctx);
}

static void exit_mmio(struct pc *pc, struct keel_context *ctx)
{
	struct emulate_fault fault = { 0 };

	if (ctx->exit.access & (KEEL_ACCESS_FETCH | KEEL_ACCESS_WALK)) {
		pc_end(pc, KEEL_END_CELL_REFUSED, CELL_REFUSED_NO_MEMORY);
		return;
	}
	emulated(pc, ctx, emulate_mmio(ctx, &pc->mem, &pc->io, &pc->known, repeat_most(ctx), &fault), &fault);
}

static void exit_hlt(struct pc *pc, struct keel_context *ctx)
{
	pc->vcpu[pc->current].halted = true;
	finish_instruction(ctx);
}

static bool read_msr(struct pc *pc, const struct keel_exit *exit, uint64_t *value)
{
	struct lapic *lapic = &pc->vcpu[pc->current].lapic;

	switch (exit->msr) {
	case KEEL_MSR_WALL_CLOCK:
	case KEEL_MSR_SYSTEM_TIME:
		return kvmclock_read_msr(&pc->kvmclock, pc->current, exit->msr, value);
	case KEEL_MSR_PV_EOI:
		*value = lapic->s.pv_eoi;
		return !(exit->flags & KEEL_EXIT_F_APIC);
	default:
		return lapic_read_msr(lapic, exit->msr, value, pc->now);
	}
}

static bool write_msr(struct pc *pc, const struct keel_exit *exit, uint64_t value)
{
	struct lapic *lapic = &pc->vcpu[pc->current].lapic;

	switch (exit->msr) {
	case KEEL_MSR_WALL_CLOCK:
	case KEEL_MSR_SYSTEM_TIME:
		return kvmclock_write_msr(&pc->kvmclock, pc->current, exit->msr, value);
	case KEEL_MSR_PV_EOI:
		return !(exit->flags & KEEL_EXIT_F_APIC) && lapic_write_pv_eoi(lapic, value);
	default:
		return lapic_write_msr(lapic, exit->msr, value, pc->tsc + exit->tsc_offset, pc->now);
	}
}

static void exit_rdmsr(struct pc *pc, struct keel_context *ctx)
{
	uint64_t value;

	if (!read_msr(pc, &ctx->exit, &value)) {
		inject_general_protection(ctx);
		return;
	}
	ctx->regs.gpr[KEEL_RAX] = (uint32_t)value;
	ctx->regs.gpr[KEEL_RDX] = value >> 32;
	ctx->answer.flags |= KEEL_ANSWER_REGS;
	finish_instruction(ctx);
}

static void exit_wrmsr(struct pc *pc, struct keel_context *ctx)
{
	uint64_t value = (uint32_t)ctx->regs.gpr[KEEL_RAX] | ctx->regs.gpr[KEEL_RDX] << 32;

	if (write_msr(pc, &ctx->exit, value))
		finish_instruction(ctx);
	else
		inject_general_protection(ctx);
}

/* CR8 itself follows the APIC's register: see tell_cr8. */
static void exit_tpr(struct pc *pc, struct keel_context *ctx)
{
	struct emulate_fault fault = { 0 };
	uint64_t value;
	enum emulate_result result;

	if (!(ctx->exit.flags & KEEL_EXIT_F_CR8))
		return;
	result = emulate_cr8_write(ctx, &pc->mem, &value, &fault);
	if (result == EMULATE_DONE)
		lapic_set_tpr(&pc->vcpu[pc->current].lapic, (uint8_t)(value << TPR_CLASS_SHIFT));
	emulated(pc, ctx, result, &fault);
}

static void exit_eoi(struct pc *pc, struct keel_context *ctx)
{
	lapic_ended(&pc->vcpu[pc->current].lapic, (uint8_t)ctx->exit.apic);
}

static void exit_apic_write(struct pc *pc, struct keel_context *ctx)
{
	lapic_written(&pc->vcpu[pc->current].lapic, ctx->exit.apic, pc->now);
}

static void exit_unknown(struct pc *pc, struct keel_context *ctx)
{
	(void)ctx;
	pc_end(pc, KEEL_END_CELL_REFUSED, CELL_REFUSED_EXIT);
}

static void exit_task_switch(struct pc *pc, struct keel_context *ctx)
{
	struct emulate_fault fault = { 0 };
	enum task_switch_result result = task_switch(ctx, &pc->mem, &fault);

	ctx->answer.flags |= result == TASK_SWITCH_OLD_FAULT ? KEEL_ANSWER_CR2 : KEEL_ANSWER_SREGS;
	if (result != TASK_SWITCH_DONE)
		inject_exception(ctx, &fault);
	/* It was said of the old task. */
	ctx->exit.flags &= ~KEEL_EXIT_F_INTERRUPTIBLE;
}

/* The vCPU came only to be looked at. */
static void exit_nothing(struct pc *pc, struct keel_context *ctx)
{
	(void)pc;
	(void)ctx;
}

static void (*const exits[])(struct pc *pc, struct keel_context *ctx) = {
	[KEEL_EXIT_POLL] = exit_nothing,
	[KEEL_EXIT_IO] = exit_io,
	[KEEL_EXIT_MMIO] = exit_mmio,
	[KEEL_EXIT_HLT] = exit_hlt,
	[KEEL_EXIT_RDMSR] = exit_rdmsr,
	[KEEL_EXIT_WRMSR] = exit_wrmsr,
	[KEEL_EXIT_WINDOW] = exit_nothing,
	[KEEL_EXIT_TPR] = exit_tpr,
	[KEEL_EXIT_EVENT] = exit_unknown,
	[KEEL_EXIT_EOI] = exit_eoi,
	[KEEL_EXIT_APIC_WRITE] = exit_apic_write,
	[KEEL_EXIT_TASK_SWITCH] = exit_task_switch,
};

static void act(struct pc *pc, struct keel_context *ctx, uint32_t kind)
{
	if (kind < ARRAY_SIZE(exits))
		exits[kind](pc, ctx);
	else
		exit_unknown(pc, ctx);
}

/* INIT and SIPI (SDM vol. 3, 9.4.2 and 11.4.7). False: the vCPU has no state to run with. */
static bool start_or_stop(struct pc *pc, struct pc_vcpu *v, struct keel_context *ctx)
{
	struct lapic_state *lapic = &v->lapic.s;

	if (!(lapic->init_pending | lapic->sipi_pending | lapic->wait_sipi))
		return true;
	if (lapic->init_pending)
		kvmclock_reset(&pc->kvmclock, pc->current);
	v->halted = false;
	ctx->answer.inject = 0;
	/* It was said of the state before. */
	ctx->exit.flags &= ~KEEL_EXIT_F_INTERRUPTIBLE;
	if (lapic->sipi_pending)
		reset_to_sipi(ctx, lapic->sipi_vector);
	else if (!lapic->wait_sipi)
		reset_to_vector(ctx);
	else
		ctx->answer.action = KEEL_ACTION_WAIT;
	lapic->init_pending = 0;
	lapic->sipi_pending = 0;
	return !lapic->wait_sipi;
}

/*
 * CR8 is the class of TPR (SDM vol. 3, 11.8.6), whichever way TPR came by it. A processor that works with the page sees
 * to that itself.
 */
static void tell_cr8(struct pc_vcpu *v, struct keel_context *ctx)
{
	uint8_t class = lapic_tpr(&v->lapic) >> TPR_CLASS_SHIFT;

	if (class == ctx->exit.tpr)
		return;
	ctx->answer.tpr = class;
	ctx->answer.flags |= KEEL_ANSWER_TPR;
	/* The next entry brings this back as the guest's CR8: it is not news then. */
	v->lapic.s.cr8 = class;
}

/* A vector of the local APIC's, if that counts, or INTERRUPT_EXTERNAL for one of the 8259 pair's, or -1. */
static int next_interrupt(const struct pc *pc, const struct pc_vcpu *v, bool local)
{
	int vector = local && v->lapic.s.requesting ? lapic_pending(&v->lapic) : -1;

	if (vector >= 0)
		return vector;
	return pc->intr && v == &pc->vcpu[0] && pc_extint_pending(pc) ? INTERRUPT_EXTERNAL : -1;
}

static void inject_interrupt(struct pc *pc, struct pc_vcpu *v, struct keel_context *ctx, int interrupt)
{
	uint8_t vector = (uint8_t)interrupt;

	if (interrupt == INTERRUPT_EXTERNAL)
		vector = pc_extint_acknowledge(pc);
	else
		lapic_acknowledge(&v->lapic, vector);
	ctx->answer.inject = KEEL_INJECT_VALID | KEEL_INJECT_INTERRUPT | vector;
}

static void deliver(struct pc *pc, struct pc_vcpu *v, struct keel_context *ctx)
{
	struct keel_answer *answer = &ctx->answer;
	/* Else the processor delivers the local APIC's, from the page; they only wake. */
	bool local = !(ctx->exit.flags & KEEL_EXIT_F_APIC);
	int next = next_interrupt(pc, v, local || v->halted);

	if (v->lapic.s.nmi_pending) {
		v->lapic.s.nmi_pending = 0;
		v->halted = false;
		answer->flags |= KEEL_ANSWER_NMI;
	}
	if (v->halted && !(next >= 0 && ctx->regs.rflags & RFLAGS_IF)) {
		answer->action = KEEL_ACTION_WAIT;
		return;
	}
	v->halted = false;
	if (!local)
		next = next_interrupt(pc, v, false);
	if (next >= 0 && ctx->exit.flags & KEEL_EXIT_F_INTERRUPTIBLE && !answer->inject &&
	    !(answer->flags & KEEL_ANSWER_NMI)) {
		inject_interrupt(pc, v, ctx, next);
		next = next_interrupt(pc, v, local);
	}
	if (next >= 0)
		answer->flags |= KEEL_ANSWER_WINDOW;
	else if (local && v->lapic.s.requesting)
		answer->tpr_threshold = lapic_tpr_threshold(&v->lapic);
}

/* The shared chips' deadline is kept by vCPU 0; it is kicked when another entry brings that forward. */
static void set_deadline(struct pc *pc, struct keel_answer *answer)
{
	uint64_t shared = pc_deadline(pc), own = TIME_NEVER;

	if (pc->current != KEEL_CONTEXT_EVENT)
		own = lapic_deadline(&pc->vcpu[pc->current].lapic);
	if (pc->current == 0) {
		pc->deadline_told = shared;
		own = shared < own ? shared : own;
	} else if (shared < pc->deadline_told) {
		pc->deadline_told = shared;
		answer->kick |= 1;
	}
	if (own <= pc->now)
		own = pc->now + POLL_PAUSE_NS;
	answer->deadline = clock_tsc(&pc->clock, own);
}

static void finish(struct pc *pc, struct keel_context *ctx)
{
	struct keel_answer *answer = &ctx->answer;

	set_deadline(pc, answer);
	answer->kick |= pc->bus.kick;
	if (pc->current != KEEL_CONTEXT_EVENT)
		answer->kick &= ~(1ull << pc->current);
	pc->bus.kick = 0;
	pc->io.moved |= pc->bus.moved;
	pc->bus.moved = false;
	apertures_answer(&pc->apertures, ctx);
	if (link_doorbell(&pc->link))
		answer->flags |= KEEL_ANSWER_DOORBELL;
	if (pc->end) {
		answer->action = KEEL_ACTION_END;
		answer->end = pc->end;
		answer->detail = pc->detail;
	}
}

static void refuse(struct keel_answer *answer, enum cell_refusal why)
{
	answer->action = KEEL_ACTION_END;
	answer->end = KEEL_END_CELL_REFUSED;
	answer->detail = why;
}

/* The last answer of a quiet vCPU, but for what came with it once. */
static void stand(struct keel_answer *answer)
{
	answer->flags = 0;
	answer->inject = 0;
	answer->kick = 0;
	answer->apertures = 0;
}

/* Whose accesses and interrupts are meant from here on. */
static void set_vcpu(struct pc *pc, struct pc_vcpu *v)
{
	if (pc->bus.current == &v->lapic)
		return;
	pc->bus.current = &v->lapic;
	pc->io.local = &v->lapic.range;
}

/*
 * Most exits find nothing new and leave nothing behind. Before: the answer at hand let the guest run and asked for nothing,
 * and since then nobody has had anything for this vCPU and no time has come.
 */
static bool is_quiet(const struct pc *pc, const struct pc_vcpu *v, const struct keel_exit *exit)
{
	return v->quiet && pc->now < pc->deadline && pc->now < v->lapic.s.deadline &&
	       lapic_is_quiet(&v->lapic, exit->tpr, exit->flags & KEEL_EXIT_F_APIC);
}

/* Behind: of what several vCPUs share nothing is to be delivered or told, and its deadline is what it was. */
static bool stays_quiet(const struct pc *pc)
{
	return !(pc->io.timed | pc->io.moved | pc->link.produced | pc->intr | pc->bus.kick | pc->end);
}

/* The exits that an instruction makes which goes on when it is carried out. */
static bool is_plain(uint32_t kind)
{
	const uint32_t plain = 1u << KEEL_EXIT_IO | 1u << KEEL_EXIT_MMIO | 1u << KEEL_EXIT_RDMSR | 1u << KEEL_EXIT_WRMSR;

	return kind < 32 && plain >> kind & 1;
}

static void begin(struct pc *pc, struct pc_vcpu *v, struct keel_context *ctx)
{
	uint64_t guest_tsc = pc->tsc + ctx->exit.tsc_offset;

	pc->transfer.entered = true;
	lapic_begin(&v->lapic, ctx->exit.tpr, ctx->exit.flags & KEEL_EXIT_F_APIC);
	pc_advance(pc);
	/* One that executes instructions does not sleep. */
	if (ctx->exit.kind != KEEL_EXIT_POLL)
		v->halted = false;
	if (kvmclock_begin(&pc->kvmclock, ctx->exit.context, ctx->exit.tsc_offset))
		lapic_tsc_moved(&v->lapic, guest_tsc, pc->now);
	lapic_advance(&v->lapic, pc->now);
	ctx->answer = (struct keel_answer){ .action = KEEL_ACTION_RESUME };
}

/* Not for the quiet ones to make room on the stack for, as run_whole is not. */
static __attribute__((noinline)) void end(struct pc *pc, struct pc_vcpu *v, struct keel_context *ctx)
{
	struct keel_answer *answer = &ctx->answer;
	bool by_processor = ctx->exit.flags & KEEL_EXIT_F_APIC;

	/* The exit comes once more, and everything else with it. */
	v->quiet = false;
	if (answer->flags & KEEL_ANSWER_WANT_VECTORS)
		return;
	if (!by_processor)
		tell_cr8(v, ctx);
	if (start_or_stop(pc, v, ctx))
		deliver(pc, v, ctx);
	if (lapic_tell(&v->lapic, by_processor, &answer->apic))
		answer->flags |= KEEL_ANSWER_APIC;
	if (!by_processor && answer->action == KEEL_ACTION_RESUME)
		lapic_offer_eoi(&v->lapic);
	finish(pc, ctx);
	v->deadline = lapic_deadline(&v->lapic);
	v->quiet = answer->action == KEEL_ACTION_RESUME && !(answer->flags & KEEL_ANSWER_WINDOW) && !answer->tpr_threshold;
}

static __attribute__((noinline)) void run_whole(struct pc *pc, struct pc_vcpu *v, struct keel_context *ctx)
{
	begin(pc, v, ctx);
	/* INIT comes before the instruction that waits; but an interrupt that has been ended is, for the IO APIC. */
	if (!v->lapic.s.init_pending || ctx->exit.kind == KEEL_EXIT_EOI)
		act(pc, ctx, ctx->exit.kind);
	end(pc, v, ctx);
}

/* No port is the local APIC's; but what a string instruction reads or writes beside its port may be. */
static bool is_port_alone(const struct keel_exit *exit)
{
	return exit->kind == KEEL_EXIT_IO && !(exit->io & KEEL_IO_STRING);
}

/* What was offered to the guest may stand meanwhile. */
static void run_port(struct pc *pc, struct pc_vcpu *v, struct keel_context *ctx)
{
	stand(&ctx->answer);
	access_port(pc, ctx);
	if (stays_quiet(pc) && (!v->lapic.s.attention ||
				lapic_stays_quiet(&v->lapic, ctx->exit.tpr, ctx->exit.flags & KEEL_EXIT_F_APIC)))
		return;
	if (v->lapic.s.eoi_offered)
		lapic_withdraw_eoi(&v->lapic);
	end(pc, v, ctx);
}

/*
 * All that is new is one request of the vCPU's own local APIC, and the guest takes it now: an interrupt that a processor has sent
 * to itself. False: there is more to see to.
 */
static bool deliver_at_once(struct pc *pc, struct pc_vcpu *v, struct keel_context *ctx)
{
	int vector;

	if ((ctx->exit.flags & (KEEL_EXIT_F_INTERRUPTIBLE | KEEL_EXIT_F_APIC)) != KEEL_EXIT_F_INTERRUPTIBLE ||
	    !lapic_only_requests(&v->lapic, ctx->exit.tpr) || ctx->answer.inject || ctx->answer.flags & KEEL_ANSWER_WANT_VECTORS)
		return false;
	vector = lapic_pending(&v->lapic);
	if (vector < 0)
		return false;
	inject_interrupt(pc, v, ctx, vector);
	if (v->lapic.s.requesting)
		return false;
	lapic_offer_eoi(&v->lapic);
	return true;
}

static void run_plain(struct pc *pc, struct pc_vcpu *v, struct keel_context *ctx)
{
	stand(&ctx->answer);
	exits[ctx->exit.kind](pc, ctx);
	if (lapic_deadline(&v->lapic) == v->deadline && stays_quiet(pc) &&
	    (lapic_stays_quiet(&v->lapic, ctx->exit.tpr, ctx->exit.flags & KEEL_EXIT_F_APIC) || deliver_at_once(pc, v, ctx)))
		return;
	end(pc, v, ctx);
}

static void run_vcpu(struct pc *pc, struct pc_vcpu *v, struct keel_context *ctx, uint64_t tsc)
{
	bool quiet;

	set_vcpu(pc, v);
	pc_set_time(pc, ctx->exit.context, tsc);
	quiet = is_quiet(pc, v, &ctx->exit);
	if (quiet && is_port_alone(&ctx->exit))
		run_port(pc, v, ctx);
	else if (quiet && is_plain(ctx->exit.kind) && !v->lapic.s.eoi_offered)
		run_plain(pc, v, ctx);
	else
		run_whole(pc, v, ctx);
}

/* The machine is to stand still, or does already. What the vCPU was at is brought to its end first. */
static void run_held(struct pc *pc, struct keel_context *ctx, uint64_t tsc)
{
	struct pc_vcpu *v = &pc->vcpu[ctx->exit.context];

	if (ctx->exit.kind != KEEL_EXIT_POLL) {
		run_vcpu(pc, v, ctx, tsc);
		return;
	}
	if (transfer_holds(pc, ctx))
		return;
	set_vcpu(pc, v);
	pc_set_time(pc, ctx->exit.context, tsc);
	begin(pc, v, ctx);
	transfer_stopped(pc, ctx);
	finish(pc, ctx);
}

/*
 * The most frequent exit of all: the end of an interrupt from which nothing follows. Who brings a deadline forward makes the
 * vCPU poll.
 */
static bool end_of_interrupt(struct pc_vcpu *v, struct keel_context *ctx)
{
	uint64_t value = (uint32_t)(ctx->regs.gpr[KEEL_RAX] | ctx->regs.gpr[KEEL_RDX]);

	if (!v->quiet || !lapic_eoi_alone(&v->lapic, value, ctx->exit.tpr))
		return false;
	stand(&ctx->answer);
	finish_instruction(ctx);
	return true;
}

static void run_event(struct pc *pc, const struct entry_place *place, struct keel_context *ctx, uint64_t tsc)
{
	unsigned int refusal;

	if (!pc->ready) {
		refusal = pc_init(pc, place->channel, place->guest, place->apics, tsc);
		if (refusal) {
			refuse(&ctx->answer, refusal);
			return;
		}
		transfer_init(pc, place->transfer);
	}
	pc->bus.current = NULL;
	pc->io.local = NULL;
	pc->current = KEEL_CONTEXT_EVENT;
	if (!pc->transfer.still) {
		pc_set_time(pc, KEEL_CONTEXT_EVENT, tsc);
		pc_advance(pc);
		pc_event(pc);
	}
	transfer_event(pc, tsc);
	pc_statistics(pc, &place->contexts);
	finish(pc, ctx);
}

/* Events, and what is not to run. */
static __attribute__((noinline)) void run_other(struct pc *pc, const struct entry_place *place, struct keel_context *ctx,
						uint64_t tsc)
{
	uint32_t context = ctx->exit.context;

	ctx->answer = (struct keel_answer){ .action = KEEL_ACTION_RESUME };
	if (context == KEEL_CONTEXT_EVENT)
		run_event(pc, place, ctx, tsc);
	else if (pc->ready && context < pc->machine.vcpus)
		run_held(pc, ctx, tsc);
	else
		refuse(&ctx->answer, CELL_REFUSED_CONTEXT);
}

/* What a processor sends to itself, and takes behind the instruction. */
static bool self_ipi(struct pc *pc, struct pc_vcpu *v, struct keel_context *ctx)
{
	uint64_t value = (uint32_t)ctx->regs.gpr[KEEL_RAX] | ctx->regs.gpr[KEEL_RDX] << 32;

	if (!v->quiet || !(ctx->exit.flags & KEEL_EXIT_F_INTERRUPTIBLE) || pc->intr ||
	    !lapic_self_ipi_alone(&v->lapic, value, ctx->exit.tpr))
		return false;
	stand(&ctx->answer);
	finish_instruction(ctx);
	ctx->answer.inject = KEEL_INJECT_VALID | KEEL_INJECT_INTERRUPT | (uint8_t)value;
	lapic_offer_eoi(&v->lapic);
	return true;
}

/* Not for the other exits to make room on the stack for. */
static __attribute__((noinline)) void run_self_ipi(struct pc *pc, struct pc_vcpu *v, struct keel_context *ctx, uint64_t tsc)
{
	if (!self_ipi(pc, v, ctx))
		run_vcpu(pc, v, ctx, tsc);
}

static bool writes_x2apic(const struct keel_exit *exit, uint32_t msr)
{
	return exit->kind == KEEL_EXIT_WRMSR && exit->msr == msr && !(exit->flags & KEEL_EXIT_F_APIC);
}

void entry_run(struct pc *pc, const struct entry_place *place, struct keel_context *ctx, uint64_t tsc)
{
	uint32_t context = ctx->exit.context;

	ctx->counters.exits[ctx->exit.kind % KEEL_EXIT_KINDS]++;
	if (context >= pc->running)
		run_other(pc, place, ctx, tsc);
	else if (writes_x2apic(&ctx->exit, MSR_X2APIC_SELF_IPI))
		run_self_ipi(pc, &pc->vcpu[context], ctx, tsc);
	else if (!writes_x2apic(&ctx->exit, MSR_X2APIC_EOI) || !end_of_interrupt(&pc->vcpu[context], ctx))
		run_vcpu(pc, &pc->vcpu[context], ctx, tsc);
}
