// SPDX-License-Identifier: GPL-2.0
#include "guest_rig.h"

#include <check.h>
#include <string.h>

#include "cpu.h"
#include "cpuid.h"
#include "memory.h"
#include "msr.h"

uint8_t *memory_test_arena;
struct cpu cpu;
struct vm vm;
struct keel_context page;
struct hv_exit ended;
unsigned int debug_uses;
unsigned int before_halt;
bool taken_away;

static struct vcpu *guest;

void guest_rig_start(struct vcpu *vcpu)
{
	memset(&cpu, 0, sizeof(cpu));
	memset(&vm, 0, sizeof(vm));
	memset(&page, 0, sizeof(page));
	vm.id = 1;
	vcpu->vm = &vm;
	vcpu->cell.page = &page;
	page.regs.rip = RIP;
	guest = vcpu;
	debug_uses = before_halt = 0;
	taken_away = false;
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
	enum hv_exit_reason told = access->write ? HV_EXIT_WRMSR : HV_EXIT_RDMSR;

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

/* The rest of the hypervisor */

void cpu_write_back(void)
{
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

void vcpu_use_debug_registers(struct cpu *c, struct vcpu *v)
{
	ck_assert_ptr_eq(c, &cpu);
	v->debug_registers = true;
	debug_uses++;
}

void vm_end(struct vm *v, enum keel_end end, uint64_t detail, uint64_t address)
{
	(void)detail;
	(void)address;
	v->end = end;
}
