/* SPDX-License-Identifier: GPL-2.0 */
/* How ring 3 is left: what ends the cell's VM, what is the control domain's, and what is the answer. */
#include <check.h>
#include <string.h>

#include "cpu.h"
#include "suite.h"

#define read_cr2() 0x1234567890ull
#include "../../vmm/cell.c"
#undef read_cr2

const struct hv_ops *hv;
const uint8_t cell_image[KEEL_PAGE_SIZE];

static struct cpu cpu;
static struct vm vm;
static struct cell_context context;
static uint32_t injected;
static uint64_t vector, end_detail, end_address;
static unsigned int injections, ends, runs;
static enum keel_end end_reason;
static struct keel_context page;
static enum cell_result move_result;
static unsigned int begins, moves;
static bool move_allowed;

void cell_run(struct cell_frame *frame)
{
	runs++;
	frame->vector = vector;
	frame->error_code = 6;
	frame->rip = 0x400123;
}

void vm_end(struct vm *v, enum keel_end end, uint64_t detail, uint64_t address)
{
	ck_assert_ptr_eq(v, &vm);
	ends++;
	end_reason = end;
	end_detail = detail;
	end_address = address;
}

bool aperture_begin(struct cpu *c, struct cell_context *asking, uint32_t mask)
{
	ck_assert(c == &cpu && asking == &context && vm.cell_owner);
	ck_assert_uint_eq(mask, page.answer.apertures);
	begins++;
	return move_allowed;
}

enum cell_result aperture_move(struct cpu *c, struct cell_context *asking)
{
	ck_assert(c == &cpu && asking == &context && vm.cell_owner);
	moves++;
	return move_result;
}

static void control_inject(struct cpu *c, uint32_t inject, uint32_t error_code)
{
	ck_assert_ptr_eq(c, &cpu);
	ck_assert_uint_eq(error_code, 0);
	injected = inject;
	injections++;
}

static void prepare(struct cpu *c)
{
	(void)c;
}

static struct hv_ops ops = { .control.inject = control_inject, .cpu.cell_prepare = prepare };

static void set_up(void)
{
	hv = &ops;
	ops.holds_nmis = false;
	memset(&cpu, 0, sizeof(cpu));
	memset(&vm, 0, sizeof(vm));
	memset(&context, 0, sizeof(context));
	context.vm = &vm;
	context.page = &page;
	context.pending = true;
	page.answer.apertures = 0;
	page.regs.rip = 0x123;
	begins = moves = 0;
	injected = 0;
	injections = ends = runs = 0;
}

/* It stays inside, and keeps the others out until it goes on. */
static void check_inside(enum cell_result result)
{
	ck_assert_int_eq(result, CELL_INTERRUPTED);
	ck_assert(context.inside && context.pending && vm.cell_owner == 1 && !ends);
}

START_TEST(interrupts)
{
	vector = (uint64_t)_i;
	check_inside(cell_call(&cpu, &context));
	ck_assert_uint_eq(injected, KEEL_INJECT_VALID | (uint32_t)_i);
	vector = EXC_NMI;
	check_inside(cell_call(&cpu, &context));
	ck_assert_uint_eq(injections, 1);
	ck_assert_uint_eq(cpu.nmi_seen, 1);
}
END_TEST

/* No fault of the hypervisor's, so no panic: the control domain is told as of one in a guest. */
START_TEST(machine_check)
{
	vector = EXC_MC;
	check_inside(cell_call(&cpu, &context));
	ck_assert_uint_eq(injected, KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | EXC_MC);
}
END_TEST

START_TEST(faults)
{
	if (_i == EXC_NMI || _i == EXC_MC || _i == KEEL_CELL_GATE)
		return;
	vector = (uint64_t)_i;
	ck_assert_int_eq(cell_call(&cpu, &context), CELL_ENDED);
	ck_assert_uint_eq(ends, 1);
	ck_assert_int_eq(end_reason, KEEL_END_CELL_FAULT);
	ck_assert_uint_eq(end_detail, (uint64_t)_i << 32 | 6);
	ck_assert_uint_eq(end_address, _i == EXC_PF ? 0x1234567890ull : 0x400123);
	ck_assert_uint_eq(injections, 0);
}
END_TEST

/* An INIT from hardware, where the processor tells of it so. */
START_TEST(hardware_init)
{
	ops.holds_nmis = true;
	vector = EXC_SX;
	check_inside(cell_call(&cpu, &context));
	ck_assert(cpu.init_seen && !injections);
}
END_TEST

START_TEST(answer)
{
	vector = KEEL_CELL_GATE;
	ck_assert_int_eq(cell_call(&cpu, &context), CELL_ANSWERED);
	ck_assert(!context.inside && !context.pending && !vm.cell_owner);
	/* One context at a time. */
	vm.cell_owner = 2;
	ck_assert_int_eq(cell_call(&cpu, &context), CELL_BUSY);
	ck_assert_uint_eq(runs, 1);
}
END_TEST

/* It keeps the cell, which is not entered again, until that is done. */
START_TEST(answer_with_apertures)
{
	static const enum cell_result later[] = { CELL_WAITS, CELL_WAITS, CELL_INTERRUPTED, CELL_ANSWERED };

	vector = KEEL_CELL_GATE;
	page.answer.apertures = 5;
	move_allowed = true;
	for (unsigned int i = 0; i < 4; i++) {
		move_result = later[i];
		ck_assert_int_eq(cell_call(&cpu, &context), later[i]);
		ck_assert(!context.inside && runs == 1 && begins == 1 && moves == i + 1);
		ck_assert_int_eq(context.pending, i < 3);
		ck_assert_uint_eq(vm.cell_owner, i < 3);
	}
	ck_assert(!ends);
	/* Another one is another matter. */
	context.pending = true;
	page.answer.apertures = 0;
	ck_assert_int_eq(cell_call(&cpu, &context), CELL_ANSWERED);
	ck_assert(runs == 2 && begins == 1 && moves == 4 && !vm.cell_owner);
}
END_TEST

START_TEST(answer_with_wrong_apertures)
{
	vector = KEEL_CELL_GATE;
	page.answer.apertures = 0x100;
	move_allowed = false;
	ck_assert_int_eq(cell_call(&cpu, &context), CELL_ENDED);
	ck_assert(ends == 1 && end_reason == KEEL_END_CELL_ANSWER && !moves);
	ck_assert(end_detail == 0x100 && end_address == 0x123);
}
END_TEST

SUITE("cell", tests)
{
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_loop_test(tests, interrupts, FIRST_INTERRUPT, 256);
	tcase_add_test(tests, machine_check);
	tcase_add_loop_test(tests, faults, 0, FIRST_INTERRUPT);
	tcase_add_test(tests, hardware_init);
	tcase_add_test(tests, answer);
	tcase_add_test(tests, answer_with_apertures);
	tcase_add_test(tests, answer_with_wrong_apertures);
}
