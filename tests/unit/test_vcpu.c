/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Running a vCPU on a processor that never interrupts: a stay ends all the same, and the control domain's registers are back
 * behind it. The processor's registers are variables; guest and cell are functions.
 */
#include <check.h>
#include <stdbool.h>
#include <string.h>

#include <keel/macros.h>

#include "cell_frame.h"
#include "cpu.h"
#include "hv.h"
#include "percpu.h"
#include "suite.h"
#include "xstate.h"

#define STEP		0x4000u		/* ticks between two looks at the TSC */
#define LONGEST		(1u << 25)	/* ticks: some 10 ms at 3 GHz */
#define CONTROL_CR3	0x1000u
#define GUEST_CR3	0x2000u
#define CONTROL_AUX	0x77u
#define GUEST_AUX	0x55u

static struct registers {
	uint64_t dr[4], cr0, cr3, cr8, xcr0, tsc_aux;
} processor;
static uint64_t tsc;

static uint64_t test_rdtsc(void)
{
	return tsc += STEP;
}

/* Where the processor's extended states come from. */
static const void *state_from[64];

static void save(const void *area, uint64_t mask)
{
	(void)area;
	ck_assert_uint_eq(mask & ~processor.xcr0, 0);
}

static void restore(const void *area, uint64_t mask)
{
	ck_assert_uint_eq(mask & ~processor.xcr0, 0);
	for (unsigned int i = 0; i < 64; i++)
		if (mask >> i & 1)
			state_from[i] = area;
}

#define rdtsc() test_rdtsc()
#define read_dr0() processor.dr[0]
#define read_dr1() processor.dr[1]
#define read_dr2() processor.dr[2]
#define read_dr3() processor.dr[3]
#define write_dr0(value) (processor.dr[0] = (value))
#define write_dr1(value) (processor.dr[1] = (value))
#define write_dr2(value) (processor.dr[2] = (value))
#define write_dr3(value) (processor.dr[3] = (value))
#define read_cr0() processor.cr0
#define write_cr0(value) (processor.cr0 = (value))
#define read_cr2() 0
#define write_cr3(value) (processor.cr3 = (value))
#define read_cr8() processor.cr8
#define write_cr8(value) (processor.cr8 = (value))
#define xgetbv() processor.xcr0
#define xsetbv(value) (processor.xcr0 = (value))
#define xsave(area, mask) save(area, mask)
#define xrstor(area, mask) restore(area, mask)
#include "../../vmm/vcpu.c"
#include "../../vmm/cell.c"
#include "../../arch/x86/swap.c"
#include "answer.h"

uint8_t *memory_test_arena;
const uint8_t cell_image[sizeof(struct keel_cell_header)] __attribute__((aligned(8)));

static struct cpu cpu;
static struct vm vm;
static struct vcpu vcpu;
static struct keel_context page;
static struct vm_run run;
static enum hv_exit_reason reason;	/* of every exit */
static uint64_t guest_states;
static unsigned int entries, calls, advances;
static bool moved;			/* each answer of the cell moves an aperture, which vCPU 3 is in the way of */
static bool interrupted, tsc_aux;	/* the cell is, each time; the processor has TSC_AUX */

uint64_t rdmsr(uint32_t msr)
{
	ck_assert_uint_eq(msr, MSR_TSC_AUX);
	return processor.tsc_aux;
}

void wrmsr(uint32_t msr, uint64_t value)
{
	ck_assert_uint_eq(msr, MSR_TSC_AUX);
	processor.tsc_aux = value;
}

struct cpuid cpuid_guest(struct vcpu *v, uint32_t leaf, uint32_t subleaf)
{
	(void)v;
	return (struct cpuid){ leaf, subleaf, 0, 0 };
}

uint64_t cpuid_guest_xcr0(void)
{
	return guest_states;
}

bool cpuid_guest_tsc_aux(void)
{
	return tsc_aux;
}

bool msr_guest_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	*value = msr;
	return true;
}

bool msr_guest_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	(void)v;
	(void)msr;
	(void)value;
	return true;
}

/* What a cell is allowed to say of the state is the subject of guest_state's tests, how it moves of vcpu_state's. */
static bool sregs_allowed;
static unsigned int outs, ins, in_parts;
static uint64_t state_address;
static bool address_good;

bool guest_state_may_answer(const struct keel_sregs *sregs)
{
	ck_assert_ptr_eq(sregs, &vcpu.state.sregs);
	return sregs_allowed;
}

bool vcpu_state_out(struct cpu *c, struct vcpu *v, uint64_t address)
{
	ck_assert(c == &cpu && v == &vcpu);
	outs++;
	state_address = address;
	return address_good;
}

bool vcpu_state_in(struct cpu *c, struct vcpu *v, uint64_t address)
{
	ck_assert(c == &cpu && v == &vcpu);
	ins++;
	state_address = address;
	return address_good;
}

void vectors_give(struct vcpu *v)
{
	(void)v;
}

void vectors_take(struct vcpu *v)
{
	(void)v;
}

void speculation_before_guest(void)
{
}

void speculation_after_guest(void)
{
}

void vm_end(struct vm *v, enum keel_end end, uint64_t detail, uint64_t address)
{
	(void)detail;
	(void)address;
	v->end = end;
}

bool aperture_begin(struct cpu *c, struct cell_context *context, uint32_t mask)
{
	ck_assert(c == &cpu && context == &vcpu.cell && mask == 1);
	return true;
}

enum cell_result aperture_move(struct cpu *c, struct cell_context *context)
{
	ck_assert_ptr_eq(c, &cpu);
	ck_assert(context->moving);
	vm.apertures.late = moved ? 1u << 3 | 1u : 0;
	return moved ? CELL_WAITS : CELL_ANSWERED;
}

/* The cell. Its answers, one after the other, and what it saw before each. */
#define ANSWERS		3u
#define STATE_AT	0x500000u
static const uint32_t *answer_next;
static struct keel_exit seen[ANSWERS];

void cell_run(struct cell_frame *frame)
{
	calls++;
	tsc += STEP;
	ck_assert_uint_lt(tsc, LONGEST);
	frame->vector = interrupted ? EXC_NMI : KEEL_CELL_GATE;
	page.answer = (struct keel_answer){ .flags = KEEL_ANSWER_RIP, .deadline = UINT64_MAX, .apertures = moved };
	if (answer_next && calls <= ANSWERS)
		page.answer.flags = answer_next[calls - 1];
	page.answer.state = STATE_AT;
	if (calls <= ANSWERS)
		seen[calls - 1] = page.exit;
}

static void nothing(struct cpu *c, struct vcpu *v)
{
	(void)c;
	(void)v;
}

static void advance(struct vcpu *v, uint64_t next_rip)
{
	v->cell.page->regs.rip = next_rip;
	advances++;
}

static void enter(struct cpu *c, struct vcpu *v, struct hv_exit *exit)
{
	static const uint64_t guest_dr[4] = { 0x10, 0x11, 0x12, 0x13 };
	uint32_t event;

	ck_assert_uint_eq(processor.cr3, GUEST_CR3);
	if (tsc_aux)
		ck_assert_uint_eq(processor.tsc_aux, GUEST_AUX);
	if (!entries++)
		swap_debug_too(c, v);
	ck_assert_int_eq(memcmp(processor.dr, guest_dr, sizeof(guest_dr)), 0);
	tsc += STEP;
	ck_assert_uint_lt(tsc, LONGEST);
	exit->reason = reason;
	/* As a vendor's side does. */
	if ((reason == HV_EXIT_IO || reason == HV_EXIT_MEMORY) &&
	    answer_by_cell(c, v, exit, reason == HV_EXIT_IO ? KEEL_EXIT_IO : KEEL_EXIT_MMIO, KEEL_EXIT_F_INTERRUPTIBLE, &event)) {
		ck_assert_uint_eq(event, 0);
		advance(v, v->cell.page->regs.rip);
	}
}

static bool interruptible(struct vcpu *v, bool after_instruction)
{
	(void)v;
	return after_instruction;
}

static bool injects;

static bool hv_inject(struct vcpu *v, uint32_t event, uint32_t error_code)
{
	(void)v;
	(void)event;
	(void)error_code;
	return injects;
}

static unsigned int windows;		/* times that a window was asked for or taken back */
static bool window_open;

static void window(struct vcpu *v, bool open, unsigned int tpr_threshold)
{
	(void)v;
	(void)tpr_threshold;
	windows++;
	window_open = open;
}

static void state_out(struct vcpu *v, unsigned int parts, struct keel_sregs *sregs)
{
	(void)v;
	(void)parts;
	memset(sregs, 0, sizeof(*sregs));
}

static bool state_in(struct cpu *c, struct vcpu *v, unsigned int parts, const struct keel_sregs *sregs)
{
	ck_assert(c == &cpu && v == &vcpu);
	ck_assert_ptr_eq(sregs, &v->state.sregs);
	in_parts = parts;
	return true;
}

static const struct hv_ops ops = {
	.vcpu.load = nothing, .vcpu.put = nothing, .vcpu.enter = enter, .vcpu.advance = advance,
	.vcpu.interruptible = interruptible, .vcpu.inject = hv_inject, .vcpu.window = window,
	.vcpu.state_out = state_out, .vcpu.state_in = state_in,
};
const struct hv_ops *hv = &ops;

static void set_up(void)
{
	static const struct registers control = {
		.dr = { 1, 2, 3, 4 }, .cr0 = CR0_TS, .cr3 = CONTROL_CR3, .xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX,
		.tsc_aux = CONTROL_AUX,
	};

	processor = control;
	memset(&cpu, 0, sizeof(cpu));
	memset(&vm, 0, sizeof(vm));
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&page, 0, sizeof(page));
	cpu.main_cr3 = CONTROL_CR3;
	vm.state = VM_STARTED;
	vm.vcpu_count = 1;
	vm.vcpu[0] = &vcpu;
	vm.cell_table.root = GUEST_CR3;
	vcpu.vm = vcpu.cell.vm = &vm;
	vcpu.cell.page = &page;
	vcpu.deadline = UINT64_MAX;
	vcpu.xcr0 = XCR0_X87;
	vcpu.tsc_aux = GUEST_AUX;
	for (uint64_t i = 0; i < 4; i++)
		vcpu.dr[i] = 0x10 + i;
	tsc = 0;
	entries = calls = advances = 0;
	interrupted = moved = false;
	injects = true;
	answer_next = NULL;
	memset(seen, 0, sizeof(seen));
	outs = ins = in_parts = 0;
	windows = 0;
	window_open = false;
	sregs_allowed = address_good = true;
	tsc_aux = true;
	guest_states = XCR0_X87 | XCR0_SSE;
	memset(state_from, 0, sizeof(state_from));
}

static int stay(void)
{
	return vcpu_run(&cpu, &vm, 0, UINT64_MAX, &run);
}

/* Whatever the control domain has switched off for the while: when it switches that on again, nothing of the guest's is there. */
START_TEST(states_stay_apart)
{
	static const uint64_t masks[] = { 3, 7, 0xe7, 0x203, 0x207, 0x2e7 };
	unsigned int count = ARRAY_SIZE(masks);
	uint8_t theirs, ours;

	reason = HV_EXIT_INTERRUPT;
	for (unsigned int i = 0; i < count * count; i++) {
		set_up();
		cpu.control_xstate = &theirs;
		vcpu.xstate = &ours;
		processor.xcr0 = masks[i / count];
		guest_states = masks[i % count];
		stay();
		ck_assert_uint_eq(processor.xcr0, masks[i / count]);
		for (unsigned int j = 0; j < 64; j++)
			ck_assert_ptr_eq(state_from[j],
					 guest_states >> j & 1 || processor.xcr0 >> j & 1 || j < 2 ? &theirs : NULL);
	}
}
END_TEST

/* No interrupt ever comes: neither exits that ring 0 answers nor those that the cell answers keep the CPU. */
START_TEST(stay_ends)
{
	static const enum hv_exit_reason reasons[] = {
		HV_EXIT_NONE, HV_EXIT_WRMSR, HV_EXIT_RDMSR, HV_EXIT_UNDEFINED, HV_EXIT_IO, HV_EXIT_MEMORY, HV_EXIT_HLT,
		HV_EXIT_WINDOW,
	};

	reason = reasons[_i];
	for (unsigned int i = 1; i <= 3; i++) {
		unsigned int before = entries;

		tsc = 0;
		ck_assert_int_eq(stay(), KEEL_RUN_INTERRUPT);
		ck_assert_uint_gt(tsc, SLICE);
		ck_assert_uint_gt(entries, before);
	}
	ck_assert_int_eq(calls > 0, reason >= HV_EXIT_IO && reason != HV_EXIT_UNDEFINED);
	ck_assert_uint_eq(vm.end, 0);
}
END_TEST

/* An exception that the vendor's side cannot put in: the processor has shut down. */
START_TEST(triple_fault)
{
	reason = HV_EXIT_UNDEFINED;
	injects = false;
	ck_assert_int_eq(stay(), KEEL_RUN_ENDED);
	ck_assert_uint_eq(entries, 1);
	ck_assert_uint_eq(vm.end, KEEL_END_TRIPLE_FAULT);
}
END_TEST

/* A window is taken back by the next answer that does not ask for it; one that asks for nothing is not passed on. */
START_TEST(window_of_an_answer)
{
	static const uint32_t answers[ANSWERS] = { KEEL_ANSWER_RIP | KEEL_ANSWER_WINDOW, KEEL_ANSWER_RIP, KEEL_ANSWER_RIP };

	answer_next = answers;
	reason = HV_EXIT_IO;
	ck_assert_int_eq(stay(), KEEL_RUN_INTERRUPT);
	ck_assert_uint_gt(calls, ANSWERS);
	ck_assert_uint_eq(windows, 2);
	ck_assert(!window_open && !vcpu.window);
	ck_assert_uint_eq(advances, calls);
}
END_TEST

/* It is due to look at its vCPU at once, for ever. */
START_TEST(cell_that_asks_for_itself)
{
	reason = HV_EXIT_NONE;
	vcpu.deadline = 0;
	vcpu.poll = 1;
	ck_assert_int_eq(stay(), KEEL_RUN_INTERRUPT);
	/* A cell that is interrupted each time gives the CPU back each time, and goes on where it was. */
	interrupted = true;
	vcpu.poll = 1;
	for (unsigned int i = 1; i <= 3; i++) {
		calls = 0;
		cpu.nmi_seen = 0;
		ck_assert_int_eq(stay(), KEEL_RUN_INTERRUPT);
		ck_assert_uint_eq(calls, 1);
		ck_assert_uint_eq(cpu.nmi_seen, 1);
		ck_assert(vcpu.cell.inside);
	}
}
END_TEST

/* The control domain is asked to fetch who is in the way, and the guest waits; then the answer counts, once. */
START_TEST(cell_that_moves_an_aperture)
{
	reason = HV_EXIT_IO;
	moved = true;
	for (unsigned int i = 1; i <= 3; i++) {
		run.kick = 0;
		ck_assert_int_eq(stay(), KEEL_RUN_BUSY | KEEL_RUN_KICK);
		ck_assert_uint_eq(run.kick, 1u << 3 | 1u);
		/* Whoever comes back from a stay is out of the guest. */
		ck_assert_uint_eq(vm.apertures.late, 1u << 3);
		ck_assert(calls == 1 && entries == 1 && advances == 0 && vm.cell_owner);
	}
	moved = false;
	run.kick = 0;
	ck_assert_int_eq(stay(), KEEL_RUN_INTERRUPT);
	ck_assert(calls > 1 && entries > 1 && advances == calls && !run.kick);
}
END_TEST

/* It can be interrupted between a jump that goes astray and the fault at the target: the way back would fault in ring 0. */
START_TEST(cell_that_is_nowhere)
{
	static const uint64_t rips[] = {
		0x800000000000, 0xffff7fffffffffff, 0x8000000000000000, 0x7fffffffffff, 0xffff800000000000,
	};

	reason = HV_EXIT_IO;
	interrupted = true;
	ck_assert_int_eq(stay(), KEEL_RUN_INTERRUPT);
	vcpu.cell.frame.rip = rips[_i];
	calls = 0;
	ck_assert_int_eq(stay(), _i < 3 ? KEEL_RUN_ENDED : KEEL_RUN_INTERRUPT);
	ck_assert_uint_eq(calls, _i < 3 ? 0 : 1);
	ck_assert_uint_eq(vm.end, _i < 3 ? KEEL_END_CELL_FAULT : 0);
}
END_TEST

/* HLT in a single step is no halt, and does not come to the cell. */
START_TEST(step_over_hlt)
{
	reason = HV_EXIT_HLT;
	page.regs.rflags = RFLAGS_TF;
	ck_assert_int_eq(stay(), KEEL_RUN_INTERRUPT);
	ck_assert_uint_eq(calls, 0);
	ck_assert_uint_gt(advances, 1);
}
END_TEST

/*
 * Whatever the guest had of registers that the world switch leaves alone, the control domain finds its own,
 * and the guest's are kept.
 */
START_TEST(registers_come_back)
{
	struct registers before = processor;

	tsc_aux = _i;
	reason = HV_EXIT_INTERRUPT;
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_int_eq(stay(), KEEL_RUN_INTERRUPT);
		ck_assert_int_eq(memcmp(&processor, &before, sizeof(before)), 0);
		for (uint64_t d = 0; d < 4; d++)
			ck_assert_uint_eq(vcpu.dr[d], 0x10 + d);
	}
	ck_assert_uint_eq(entries, 3);
}
END_TEST

/* A POLL, and only a POLL, can be answered so, and only once. */
static const struct {
	uint32_t answers[ANSWERS];
	bool poll, refused;
	unsigned int outs, ins;
} moves[] = {
	{ { KEEL_ANSWER_STATE_OUT }, true, false, 1, 0 },
	{ { KEEL_ANSWER_STATE_IN }, true, false, 0, 1 },
	{ { KEEL_ANSWER_STATE_OUT, KEEL_ANSWER_STATE_OUT }, true, true, 1, 0 },
	{ { KEEL_ANSWER_STATE_OUT, KEEL_ANSWER_STATE_IN }, true, true, 1, 0 },
	{ { KEEL_ANSWER_STATE_OUT }, false, true, 0, 0 },
	{ { KEEL_ANSWER_STATE_IN }, false, true, 0, 0 },
	{ { KEEL_ANSWER_STATE_IN | KEEL_ANSWER_STATE_OUT }, true, true, 0, 0 },
	{ { KEEL_ANSWER_STATE_IN | KEEL_ANSWER_SREGS }, true, true, 0, 0 },
	{ { KEEL_ANSWER_STATE_OUT | KEEL_ANSWER_REGS }, true, true, 0, 0 },
};

START_TEST(state_moves)
{
	reason = moves[_i].poll ? HV_EXIT_INTERRUPT : HV_EXIT_IO;
	vcpu.poll = moves[_i].poll;
	answer_next = moves[_i].answers;
	ck_assert_int_eq(!!(stay() & KEEL_RUN_ENDED), moves[_i].refused);
	ck_assert_uint_eq(vm.end, moves[_i].refused ? KEEL_END_CELL_ANSWER : 0);
	ck_assert_uint_eq(outs, moves[_i].outs);
	ck_assert_uint_eq(ins, moves[_i].ins);
	if (!outs && !ins)
		return;
	ck_assert_uint_eq(state_address, STATE_AT);
	ck_assert_uint_eq(seen[0].kind, KEEL_EXIT_POLL);
	ck_assert_uint_eq(seen[0].flags & KEEL_EXIT_F_STATE, 0);
	ck_assert_uint_eq(seen[1].kind, KEEL_EXIT_POLL);
	ck_assert_uint_eq(seen[1].flags & KEEL_EXIT_F_STATE, KEEL_EXIT_F_STATE);
}
END_TEST

START_TEST(state_without_a_place)
{
	static const uint32_t out[ANSWERS] = { KEEL_ANSWER_STATE_OUT }, in[ANSWERS] = { KEEL_ANSWER_STATE_IN };

	address_good = false;
	vcpu.poll = 1;
	answer_next = _i ? out : in;
	ck_assert_int_eq(stay(), KEEL_RUN_ENDED);
	ck_assert_uint_eq(vm.end, KEEL_END_CELL_ANSWER);
}
END_TEST

/* A whole state is looked at in a copy, and brings no event with it, whatever is in the page. */
START_TEST(state_of_an_answer)
{
	static const uint32_t flags[ANSWERS] = { KEEL_ANSWER_SREGS };

	reason = HV_EXIT_INTERRUPT;
	vcpu.poll = 1;
	vcpu.nmi_pending = true;
	memset(&page.sregs, 0xff, sizeof(page.sregs));
	answer_next = flags;
	sregs_allowed = _i;
	ck_assert_int_eq(stay(), _i ? KEEL_RUN_INTERRUPT : KEEL_RUN_ENDED);
	ck_assert_uint_eq(in_parts, _i ? HV_STATE_SREGS | HV_STATE_EVENTS : 0);
	if (!_i)
		return;
	ck_assert(!vcpu.nmi_pending);
	ck_assert_uint_eq(vcpu.state.sregs.cr0, UINT64_MAX);
	ck_assert_uint_eq(vcpu.state.sregs.event | vcpu.state.sregs.held | vcpu.state.sregs.shadow, 0);
	ck_assert_uint_eq(vcpu.state.sregs.pending_debug, 0);
}
END_TEST

START_TEST(registers_of_an_answer)
{
	static const uint32_t flags[][ANSWERS] = {
		{ KEEL_ANSWER_CR2 }, { KEEL_ANSWER_TPR }, { KEEL_ANSWER_CR2 | KEEL_ANSWER_TPR },
	};
	static const unsigned int parts[] = { HV_STATE_CR2, HV_STATE_TPR, HV_STATE_CR2 | HV_STATE_TPR };

	reason = HV_EXIT_INTERRUPT;
	vcpu.poll = 1;
	page.sregs.cr2 = 0x1234;
	answer_next = flags[_i];
	ck_assert_int_eq(stay(), KEEL_RUN_INTERRUPT);
	ck_assert_uint_eq(in_parts, parts[_i]);
	ck_assert_uint_eq(vcpu.state.sregs.cr2, 0x1234);
	ck_assert_uint_le(vcpu.state.sregs.tpr, 15);
}
END_TEST

/* By what the control domain or Keel sees to; the cell counts the others. */
START_TEST(exits_are_counted)
{
	static const struct { enum hv_exit_reason reason; enum keel_count count; } counted[] = {
		{ HV_EXIT_INTERRUPT, KEEL_COUNT_INTERRUPT }, { HV_EXIT_NMI, KEEL_COUNT_INTERRUPT },
		{ HV_EXIT_RDMSR, KEEL_COUNT_RDMSR }, { HV_EXIT_WRMSR, KEEL_COUNT_WRMSR },
		{ HV_EXIT_XSETBV, KEEL_COUNT_XSETBV }, { HV_EXIT_PAUSE, KEEL_COUNT_PAUSE },
	};
	uint64_t sum = 0;

	reason = _i < (int)ARRAY_SIZE(counted) ? counted[_i].reason : HV_EXIT_HLT;
	stay();
	for (unsigned int i = KEEL_COUNT_INTERRUPT; i < KEEL_COUNTS; i++)
		sum += page.counters.count[i];
	ck_assert_uint_eq(page.counters.count[KEEL_COUNT_RUN], 1);
	ck_assert_uint_eq(sum, _i < (int)ARRAY_SIZE(counted) ? entries : 0);
	if (_i < (int)ARRAY_SIZE(counted))
		ck_assert_uint_eq(page.counters.count[counted[_i].count], entries);
	ck_assert_uint_eq(page.counters.stays | page.counters.guest | page.counters.cell, 0);
}
END_TEST

START_TEST(ends_of_stays_are_counted)
{
	reason = HV_EXIT_IO;
	vm.cell_owner = 9;
	ck_assert_int_eq(stay(), KEEL_RUN_BUSY);
	ck_assert_uint_eq(page.counters.count[KEEL_COUNT_BUSY], 1);
	ck_assert_uint_eq(page.counters.count[KEEL_COUNT_SUSPENDED], 0);
	vm.cell_owner = 0;
	interrupted = true;
	stay();
	ck_assert_uint_eq(page.counters.count[KEEL_COUNT_BUSY], 1);
	ck_assert_uint_eq(page.counters.count[KEEL_COUNT_SUSPENDED], 1);
	ck_assert_uint_eq(page.counters.count[KEEL_COUNT_RUN], 2);
}
END_TEST

/* All parts of the time are there, and none twice. The wish holds for whole stays: the cell's changes during one do not count. */
START_TEST(time_is_measured)
{
	struct keel_counters *c = &page.counters;
	uint64_t stays;

	reason = _i ? HV_EXIT_IO : HV_EXIT_HLT;
	stay();
	ck_assert_uint_eq(c->stays | c->guest | c->cell, 0);
	c->measure = 0xffffff00;
	tsc = 0;
	calls = 0;
	stay();
	ck_assert_uint_gt(c->guest, 0);
	ck_assert_uint_ge(c->cell, calls * (uint64_t)STEP);
	ck_assert_uint_gt(c->stays, c->guest + c->cell);
	ck_assert_uint_le(c->stays, tsc);
	stays = c->stays;
	c->measure = 0;
	tsc = 0;
	stay();
	ck_assert_uint_eq(c->stays, stays);
}
END_TEST

SUITE("vcpu", tests)
{
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_loop_test(tests, stay_ends, 0, 8);
	tcase_add_test(tests, triple_fault);
	tcase_add_test(tests, window_of_an_answer);
	tcase_add_test(tests, states_stay_apart);
	tcase_add_test(tests, cell_that_asks_for_itself);
	tcase_add_test(tests, cell_that_moves_an_aperture);
	tcase_add_loop_test(tests, cell_that_is_nowhere, 0, 5);
	tcase_add_test(tests, step_over_hlt);
	tcase_add_loop_test(tests, registers_come_back, 0, 2);
	tcase_add_loop_test(tests, state_moves, 0, ARRAY_SIZE(moves));
	tcase_add_loop_test(tests, state_without_a_place, 0, 2);
	tcase_add_loop_test(tests, state_of_an_answer, 0, 2);
	tcase_add_loop_test(tests, registers_of_an_answer, 0, 3);
	tcase_add_loop_test(tests, exits_are_counted, 0, 7);
	tcase_add_test(tests, ends_of_stays_are_counted);
	tcase_add_loop_test(tests, time_is_measured, 0, 2);
}
