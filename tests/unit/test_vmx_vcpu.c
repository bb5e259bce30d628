/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is dropped before a vCPU enters: no translation is used that is older than it may be. INVEPT and INVVPID are a model. Then
 * what changes hands with the processor, and what a cell may put into the guest's state.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "suite.h"

/* Of the processor. */
static struct {
	uint64_t cr2, dr6;
} processor;
#define read_cr2() processor.cr2
#define write_cr2(value) (processor.cr2 = (value))
#define read_dr6() processor.dr6
#define write_dr6(value) (processor.dr6 = (value))
#include "percpu.h"
static struct cpu booting;
#define this_cpu() (&booting)
#include "../../arch/x86/vmx/vmx_vcpu.c"

/* Nobody calls them. */
#pragma weak cell_leave
#pragma weak cell_resume
#pragma weak cell_run
#pragma weak cpuid_guest
#pragma weak hv
#pragma weak msr_guest_read
#pragma weak print
#pragma weak vmx_block_nmi_again
#pragma weak vmx_decode_exit
#pragma weak vmx_deliver_nmi
#pragma weak vmx_end_instruction
#pragma weak vmx_failure
#pragma weak vmx_inject
#pragma weak vmx_io_exit
#pragma weak vmx_load_pdptes
#pragma weak vmx_segment
#pragma weak vmx_write_event

#define CPUS		3u
#define VCPUS		4u
#define STEPS		20000u
#define ROOT		0x5000u
#define VMCS_PA		0x7000u
#define CONTROL_VMCS	0x8000u

struct vmx_features vmx_features;
uint8_t vmx_guest_bitmap[VMX_BITMAP_BYTES], vmx_x2apic_bitmap[VMX_BITMAP_BYTES];
const uint8_t vmx_plain_exits[VMX_PLAIN_EXITS] = { [VMX_EXIT_HLT] = HV_EXIT_HLT };
uint8_t *memory_test_arena;

static struct cpu cpu_objects[CPUS];
static struct vm vm = { .id = 3, .guest_table.root = ROOT };
static struct vcpu_vmx guests[VCPUS];
static struct keel_context pages[VCPUS];
static uint8_t apic[4096];
/* Numbers from 1 on: which state of the VM's table a CPU knows, and of each vCPU's own tables; 0: nothing. */
static unsigned int table_state = 1, own_state[VCPUS] = { 1, 1, 1, 1 };
static unsigned int knows_table[CPUS], knows_own[CPUS][VCPUS];
static unsigned int here, kept, table_flushes, own_flushes;

/* VMCSs: the current one, and those that this processor may still have parts of. */
static uint64_t current_vmcs;
static unsigned int held_vmcs;
static uint64_t msrs[VMX_SWAPPED_MSRS], guest_dr7;
static unsigned int debug_uses;

uint64_t rdmsr(uint32_t msr)
{
	for (unsigned int i = 0; i < VMX_SWAPPED_MSRS; i++)
		if (swapped[i] == msr)
			return msrs[i];
	ck_abort_msg("MSR %x", msr);
}

void wrmsr(uint32_t msr, uint64_t value)
{
	for (unsigned int i = 0; i < VMX_SWAPPED_MSRS; i++)
		if (swapped[i] == msr)
			msrs[i] = value;
}

uint64_t cpuid_guest_cr4(void)
{
	return CR4_CLASSIC | CR4_SMEP | CR4_PCIDE;
}

static uint64_t guarded_cr4;

void vmx_vmcs_init(const struct vmx_setup *setup)
{
	guarded_cr4 = setup->cr4_mask;
}

void vmx_vmptrld(uint64_t pa)
{
	current_vmcs = pa;
	held_vmcs |= pa == VMCS_PA;
}

void vmx_vmclear(uint64_t pa)
{
	if (pa == VMCS_PA)
		held_vmcs = 0;
}

void vmx_host_init(struct cpu *c)
{
	(void)c;
}

void vmx_primary(struct vmx_context *context, uint32_t bits, bool on)
{
	context->primary = on ? context->primary | bits : context->primary & ~bits;
}

void vmx_set_segments(const struct keel_sregs *sregs)
{
	(void)sregs;
}

void vmx_set_control(const struct keel_sregs *sregs)
{
	(void)sregs;
}

void vmx_set_debug(const struct keel_sregs *sregs)
{
	guest_dr7 = sregs->dr7;
}

void vmx_drop_own(void)
{
}

void swap_debug_too(struct cpu *c, struct vcpu *v)
{
	(void)c;
	v->debug_registers = true;
	debug_uses++;
}

uint64_t vmread(enum vmcs_field field)
{
	if (field == VMCS_GUEST_DR7)
		return guest_dr7;
	return field == VMCS_EXIT_REASON ? VMX_EXIT_HLT : 0;
}

void vmwrite(enum vmcs_field field, uint64_t value)
{
	(void)field;
	(void)value;
}

uint64_t vmx_eptp(uint64_t table_root)
{
	return table_root;
}

void vmx_invept(uint64_t context)
{
	ck_assert_uint_eq(context, ROOT);
	knows_table[here] = 0;
	memset(knows_own[here], 0, sizeof(knows_own[here]));
	table_flushes++;
}

void vmx_invvpid(uint64_t context)
{
	uint64_t vcpu = context - FIRST_VPID - (vm.id - 1) * KEEL_MAX_VCPUS;

	ck_assert_uint_lt(vcpu, VCPUS);
	knows_own[here][vcpu] = 0;
	own_flushes++;
}

/* As a hypercall does that has changed the VM's table. */
static void change_table(void)
{
	table_state++;
	for (unsigned int i = 0; i < VCPUS; i++)
		__atomic_store_n(&guests[i].vcpu.last_cpu, NULL, __ATOMIC_SEQ_CST);
}

void cpu_unblock_nmi(void)
{
}

void cpu_write_back(void)
{
}

/* The guest runs: whatever it has left of its translations, it uses. */
enum vmx_entry vmx_enter(struct keel_regs *regs, bool launched)
{
	unsigned int v = 0;

	(void)launched;
	while (regs != &pages[v].regs)
		v++;
	ck_assert(!knows_table[here] || knows_table[here] == table_state);
	ck_assert(!knows_own[here][v] || knows_own[here][v] == own_state[v]);
	kept += knows_own[here][v] != 0;
	knows_table[here] = table_state;
	knows_own[here][v] = own_state[v];
	return VMX_ENTRY_EXIT;
}

static void enter_guest(unsigned int v)
{
	struct keel_exit record;
	struct hv_exit exit = { .record = &record };

	vmx_vcpu_enter(&cpu_objects[here], &guests[v].vcpu, &exit);
	ck_assert_int_eq(exit.reason, HV_EXIT_HLT);
}

START_TEST(flushes)
{
	static unsigned int where[VCPUS];

	for (unsigned int i = 0; i < CPUS; i++) {
		cpu_objects[i].index = i * 100;		/* in different words of the mask */
		knows_table[i] = 1000000;		/* another VM's table had its top in the same frame */
	}
	for (unsigned int i = 0; i < VCPUS; i++) {
		guests[i].vcpu.vm = &vm;
		vm.vcpu[i] = &guests[i].vcpu;
		guests[i].vcpu.cell.page = &pages[i];
		guests[i].vcpu.index = i;
		guests[i].apic = apic;
	}
	srandom((unsigned int)_i + 1);
	for (unsigned int i = 0; i < STEPS; i++) {
		unsigned int v = (unsigned int)random() % VCPUS;

		here = random() % 8 ? where[v] : (unsigned int)random() % CPUS;
		own_state[v] += here != where[v];
		where[v] = here;
		if (random() % 100 == 0)
			change_table();
		enter_guest(v);
		if (random() % 100 == 0)		/* while it runs */
			change_table();
	}
	ck_assert_uint_gt(kept, STEPS / 4);
	ck_assert_uint_gt(table_flushes, STEPS / 100);
	ck_assert_uint_gt(own_flushes, STEPS / 100);
}
END_TEST

/*
 * Behind a guest the control domain finds its own registers, and nothing of the VMCS is left in the processor: another one may go
 * on with it, or its frame be given back.
 */
START_TEST(swap)
{
	static struct vmx_cpu vmx;
	struct cpu *cpu = &cpu_objects[0];
	struct vcpu *vcpu = &guests[0].vcpu;

	cpu->vendor = &vmx;
	vmx.control.vmcs_pa = CONTROL_VMCS;
	vcpu->vm = &vm;
	vcpu->cell.page = &pages[0];
	vmx_of(vcpu)->context.vmcs_pa = VMCS_PA;
	vcpu->debug_registers = _i;
	for (unsigned int i = 0; i < VMX_SWAPPED_MSRS; i++) {
		msrs[i] = 100 + i;
		vmx_of(vcpu)->msr[i] = 200 + i;
	}
	processor.cr2 = 1;
	processor.dr6 = 2;
	vmx_of(vcpu)->cr2 = 11;
	vmx_of(vcpu)->dr6 = 12;
	for (unsigned int round = 0; round < 2; round++) {
		vmx_vcpu_load(cpu, vcpu);
		ck_assert_uint_eq(current_vmcs, VMCS_PA);
		ck_assert(!vmx_of(vcpu)->context.launched);
		ck_assert(processor.cr2 == 11 && processor.dr6 == (_i ? 12 : 2) && msrs[4] == 204);
		vmx_vcpu_put(cpu, vcpu);
		ck_assert_uint_eq(current_vmcs, CONTROL_VMCS);
		ck_assert_uint_eq(held_vmcs, 0);
		ck_assert(processor.cr2 == 1 && processor.dr6 == 2);
		for (unsigned int i = 0; i < VMX_SWAPPED_MSRS; i++)
			ck_assert(msrs[i] == 100 + i && vmx_of(vcpu)->msr[i] == 200 + i);
	}
}
END_TEST

/* DR7 arms the guest's own addresses, and then DR6 is the guest's too. */
START_TEST(breakpoints_of_a_cell)
{
	static struct vmx_cpu vmx;
	struct keel_sregs sregs = { .dr7 = DR7_RESET, .dr6 = DR6_RESET | 1 };

	cpu_objects[0].vendor = &vmx;
	guests[0].vcpu.cell.page = &pages[0];
	guests[0].context.primary = PRIMARY_MOV_DR;
	processor.dr6 = 2;
	ck_assert(vmx_vcpu_state_in(&cpu_objects[0], &guests[0].vcpu, HV_STATE_SREGS | HV_STATE_EVENTS, &sregs));
	ck_assert_uint_eq(debug_uses, 0);
	ck_assert_uint_eq(guests[0].context.primary, PRIMARY_MOV_DR);
	ck_assert_uint_eq(processor.dr6, 2);
	sregs.dr7 |= 1ull << _i;
	for (unsigned int round = 0; round < 2; round++) {
		ck_assert(vmx_vcpu_state_in(&cpu_objects[0], &guests[0].vcpu, HV_STATE_SREGS | HV_STATE_EVENTS, &sregs));
		ck_assert_uint_eq(debug_uses, 1);
		ck_assert_uint_eq(guests[0].context.primary, 0);
		ck_assert(vmx.dr6 == 2 && processor.dr6 == (DR6_RESET | 1));
	}
}
END_TEST

/* Nor can a guest switch on what it is not shown, as CET, whose registers it would share. */
START_TEST(hidden_cr4)
{
	static struct vmx_cpu vmx;
	static struct vm own = { .id = 1 };

	booting.vendor = &vmx;
	guests[0].vcpu.vm = &own;
	own.vcpu[0] = &guests[0].vcpu;
	vmx_vcpu_init(&guests[0].vcpu);
	ck_assert_uint_eq(guarded_cr4, ~((CR4_CLASSIC & ~CR4_MCE) | CR4_SMEP | CR4_PCIDE));
}
END_TEST

SUITE("vmx_vcpu", tests)
{
	tcase_add_loop_test(tests, flushes, 0, 4);
	tcase_add_loop_test(tests, swap, 0, 2);
	tcase_add_loop_test(tests, breakpoints_of_a_cell, 0, 8);
	tcase_add_test(tests, hidden_cr4);
}
