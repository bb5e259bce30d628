// SPDX-License-Identifier: GPL-2.0
#include "guest_rig.h"

#include <check.h>
#include <string.h>

#include "cpu.h"
#include "cell.h"
#include "cpuid.h"
#include "swap.h"
#include "memory.h"
#include "msr.h"

uint8_t *memory_test_arena;
struct cpu cpu;
struct vm vm;
struct keel_context page;
struct hv_exit ended;
unsigned int debug_uses, write_backs;
unsigned int before_halt;
bool taken_away;
bool cell_is_free;
struct keel_answer cell_answers;
uint64_t cell_vector;
unsigned int cell_entries;
struct keel_exit cell_saw;

static struct vcpu *guest;
static unsigned int cell_insn;		/* bytes of the instruction that the cell carries out */

#define OWNER	9u	/* another context of the cell */
#define FAR	UINT64_MAX

void guest_rig_start(struct vcpu *vcpu)
{
	memset(&cpu, 0, sizeof(cpu));
	memset(&vm, 0, sizeof(vm));
	memset(&page, 0, sizeof(page));
	vm.id = 1;
	vcpu->vm = &vm;
	vm.vcpu[0] = vcpu;
	vcpu->cell.page = &page;
	page.regs.rip = RIP;
	guest = vcpu;
	debug_uses = write_backs = before_halt = 0;
	taken_away = cell_is_free = false;
	vcpu->cell.vm = &vm;
	vcpu->deadline = FAR;
	cell_entries = 0;
	cell_vector = KEEL_CELL_GATE;
}

bool guest_rig_halts(void)
{
	bool halts = before_halt == 1;

	before_halt -= before_halt != 0;
	if (taken_away)
		__atomic_store_n(&guest->last_cpu, NULL, __ATOMIC_SEQ_CST);
	return halts;
}

enum hv_exit_reason guest_rig_enter(void (*enter)(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit))
{
	ended.record = &page.exit;
	vm.cell_owner = cell_is_free ? 0 : OWNER;
	enter(&cpu, guest, &ended);
	return ended.reason;
}

void at_once_begin(const struct at_once *access, unsigned int entries)
{
	page.regs.gpr[KEEL_RAX] = access->rax;
	page.regs.gpr[KEEL_RCX] = access->rcx;
	before_halt = entries;
}

void at_once_check(const struct at_once *access, enum hv_exit_reason reason, unsigned int bytes)
{
	bool cells = access->msr && access->rcx == MSR_X2APIC_FIRST;
	enum hv_exit_reason told = cells ? HV_EXIT_NONE : access->write ? HV_EXIT_WRMSR : HV_EXIT_RDMSR;

	ck_assert_int_eq(guest->cell.pending, cells);
	ck_assert_int_eq(reason, access->answered ? HV_EXIT_HLT : told);
	ck_assert_uint_eq(before_halt, access->answered ? 0 : 2);
	ck_assert_uint_eq(page.regs.rip, access->answered ? RIP + 2 * bytes : RIP);
	ck_assert_uint_eq(page.regs.rflags & RFLAGS_RF, access->answered ? 0 : RFLAGS_RF);
	if (access->answered) {
		ck_assert_uint_eq(page.regs.gpr[KEEL_RAX], access->msr ? 6 : LEAF + 2);
		ck_assert_uint_eq(page.regs.gpr[KEEL_RDX], access->msr ? 5 : 4);
		ck_assert_uint_eq(page.regs.gpr[KEEL_RBX], access->msr ? 0 : 2);
	}
}

void at_once_check_asked(enum hv_exit_reason reason, unsigned int bytes)
{
	ck_assert_int_eq(reason, HV_EXIT_NONE);
	ck_assert_uint_eq(before_halt, 2);
	ck_assert_uint_eq(page.regs.rip, RIP + bytes);
	ck_assert_uint_eq(page.regs.gpr[KEEL_RAX], LEAF + 1);
}

#define DONE	.flags = KEEL_ANSWER_REGS | KEEL_ANSWER_RIP, .deadline = FAR
#define VECTOR	(KEEL_INJECT_VALID | KEEL_INJECT_INTERRUPT | 0x41)

const struct by_cell by_cell[BY_CELL_CASES] = {
	{ { DONE }, KEEL_CELL_GATE, false, false, true },
	{ { .flags = KEEL_ANSWER_RIP, .deadline = FAR }, KEEL_CELL_GATE, false, false, true },
	{ { .flags = KEEL_ANSWER_RIP | KEEL_ANSWER_RFLAGS, .deadline = FAR }, KEEL_CELL_GATE, false, false, true },
	/* What the run loop has to see to. */
	{ { .flags = KEEL_ANSWER_REGS, .deadline = FAR }, KEEL_CELL_GATE, false, false, false },
	{ { .flags = KEEL_ANSWER_RIP | KEEL_ANSWER_DOORBELL, .deadline = FAR }, KEEL_CELL_GATE, false, false, false },
	{ { DONE, .action = KEEL_ACTION_WAIT }, KEEL_CELL_GATE, false, false, false },
	{ { DONE, .tpr_threshold = 1 }, KEEL_CELL_GATE, false, false, false },
	{ { DONE, .kick = 1ull << 40 }, KEEL_CELL_GATE, false, false, false },
	{ { DONE, .apertures = 1 }, KEEL_CELL_GATE, false, false, false },
	{ { .flags = KEEL_ANSWER_RIP, .deadline = FAR - 1 }, KEEL_CELL_GATE, false, false, false },
	{ { DONE }, KEEL_CELL_GATE, false, true, false },
	{ { DONE }, 32, false, false, false },
	/* What it may not be left with. */
	{ { DONE, .inject = VECTOR }, KEEL_CELL_GATE, true, false, false },
	{ { DONE, .inject = KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | EXC_GP }, KEEL_CELL_GATE, false, false, false },
	{ { DONE, .inject = VECTOR }, KEEL_CELL_GATE, false, false, true },
};

void by_cell_begin(const struct by_cell *by, unsigned int bytes)
{
	cell_is_free = true;
	cell_answers = by->answer;
	cell_vector = by->vector;
	cell_insn = bytes;
	guest->window = by->window;
	guest->due = FAR;
	page.regs.rflags = RFLAGS_RF | (by->masked ? 0 : RFLAGS_IF);
	page.regs.gpr[KEEL_RCX] = MSR_X2APIC_FIRST;
	before_halt = by->answer.inject ? 2 : 3;
}

void by_cell_check(const struct by_cell *by, enum hv_exit_reason reason, enum keel_exit_kind kind, unsigned int bytes)
{
	unsigned int done = by->answer.inject ? 1 : 2;

	ck_assert_int_eq(cell_saw.kind, kind);
	ck_assert_uint_eq(cell_saw.flags & KEEL_EXIT_F_INTERRUPTIBLE, by->masked ? 0 : KEEL_EXIT_F_INTERRUPTIBLE);
	ck_assert_uint_eq(cell_saw.flags & KEEL_EXIT_F_SREGS, kind == KEEL_EXIT_MMIO ? KEEL_EXIT_F_SREGS : 0);
	ck_assert_int_eq(reason, by->goes_on ? HV_EXIT_HLT : HV_EXIT_CELL);
	ck_assert_uint_eq(cell_entries, by->goes_on ? done : 1);
	ck_assert_uint_eq(before_halt, by->goes_on ? 0 : done);
	/* The cell is free again, or still to be looked at. */
	ck_assert_uint_eq(vm.cell_owner, by->goes_on ? 0 : guest->cell.number + 1);
	ck_assert_int_eq(guest->cell.pending, !by->goes_on);
	if (!by->goes_on)
		return;
	ck_assert_uint_eq(page.regs.rip, RIP + done * bytes);
	ck_assert_uint_eq(page.regs.gpr[KEEL_RAX], LEAF + done);
	ck_assert_uint_eq(page.regs.rflags & RFLAGS_RF, 0);
}

/* The rest of the hypervisor */

void cell_run(struct cell_frame *frame)
{
	ck_assert_ptr_eq(frame, &guest->cell.frame);
	cell_saw = page.exit;
	page.answer = cell_answers;
	page.regs.rip += cell_insn;
	page.regs.gpr[KEEL_RAX] = LEAF + ++cell_entries;
	frame->vector = cell_vector;
}

enum cell_result cell_leave(struct cpu *c, struct cell_context *context)
{
	ck_abort_msg("%p, %p", (void *)c, (void *)context);
}

enum cell_result cell_resume(struct cpu *c, struct cell_context *context)
{
	ck_abort_msg("%p, %p", (void *)c, (void *)context);
}

void cpu_write_back(void)
{
	write_backs++;
}

struct cpuid cpuid_guest(struct vcpu *v, uint32_t leaf, uint32_t subleaf)
{
	ck_assert_ptr_eq(v, guest);
	return (struct cpuid){ leaf + 1, 2, subleaf, 4 };
}

bool msr_guest_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	ck_assert_ptr_eq(v, guest);
	*value = 0x500000006;
	return msr == KEPT_MSR;
}

void swap_debug_too(struct cpu *c, struct vcpu *v)
{
	ck_assert_ptr_eq(c, &cpu);
	v->debug_registers = true;
	debug_uses++;
}
