/* SPDX-License-Identifier: GPL-2.0 */
/* What is dropped before a vCPU enters: no translation is used that is older than it may be. INVEPT and INVVPID are a model. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../../arch/x86/vmx/vmx_vcpu.c"
#include "suite.h"

/* Nobody calls them. */
#pragma weak print
#pragma weak rdmsr
#pragma weak wrmsr
#pragma weak vcpu_use_debug_registers
#pragma weak vmx_block_nmi_again
#pragma weak vmx_cpl
#pragma weak vmx_cr0
#pragma weak vmx_cr4
#pragma weak vmx_decode_exit
#pragma weak vmx_deliver_nmi
#pragma weak vmx_drop_own
#pragma weak vmx_failure
#pragma weak vmx_host_init
#pragma weak vmx_inject
#pragma weak vmx_load_pdptes
#pragma weak vmx_primary
#pragma weak vmx_segment
#pragma weak vmx_set_sregs
#pragma weak vmx_vmclear
#pragma weak vmx_vmcs_init
#pragma weak vmx_vmptrld
#pragma weak vmx_write_event

#define CPUS		3u
#define VCPUS		4u
#define STEPS		20000u
#define ROOT		0x5000u

struct vmx_features vmx_features;
uint8_t vmx_guest_bitmap[VMX_BITMAP_BYTES], vmx_x2apic_bitmap[VMX_BITMAP_BYTES];
const uint8_t vmx_plain_exits[VMX_PLAIN_EXITS] = { [VMX_EXIT_CPUID] = HV_EXIT_CPUID };
uint8_t *memory_test_arena;

static struct cpu cpu_objects[CPUS];
static struct vm vm = { .id = 3, .guest_table.root = ROOT };
static struct vcpu vcpus[VCPUS];
static struct keel_context pages[VCPUS];
/* Numbers from 1 on: which state of the VM's table a CPU knows, and of each vCPU's own tables; 0: nothing. */
static unsigned int table_state = 1, own_state[VCPUS] = { 1, 1, 1, 1 };
static unsigned int knows_table[CPUS], knows_own[CPUS][VCPUS];
static unsigned int here, kept, table_flushes, own_flushes;

uint64_t vmread(enum vmcs_field field)
{
	return field == VMCS_EXIT_REASON ? VMX_EXIT_CPUID : 0;
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
		__atomic_store_n(&vcpus[i].last_cpu, NULL, __ATOMIC_SEQ_CST);
}

/* The guest runs: whatever it has left of its translations, it uses. */
bool vmx_enter(struct keel_regs *regs, bool launched)
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
	return true;
}

static void enter(unsigned int v)
{
	struct hv_exit exit;

	vmx_vcpu_enter(&cpu_objects[here], &vcpus[v], &exit);
	ck_assert_int_eq(exit.reason, HV_EXIT_CPUID);
}

START_TEST(flushes)
{
	static unsigned int where[VCPUS];

	for (unsigned int i = 0; i < CPUS; i++) {
		cpu_objects[i].index = i * 100;		/* in different words of the mask */
		knows_table[i] = 1000000;		/* another VM's table had its top in the same frame */
	}
	for (unsigned int i = 0; i < VCPUS; i++) {
		vcpus[i].vm = &vm;
		vcpus[i].cell.page = &pages[i];
		vcpus[i].index = i;
	}
	srandom((unsigned int)_i + 1);
	for (unsigned int i = 0; i < STEPS; i++) {
		unsigned int v = (unsigned int)random() % VCPUS;

		here = random() % 8 ? where[v] : (unsigned int)random() % CPUS;
		own_state[v] += here != where[v];
		where[v] = here;
		if (random() % 100 == 0)
			change_table();
		enter(v);
		if (random() % 100 == 0)		/* while it runs */
			change_table();
	}
	ck_assert_uint_gt(kept, STEPS / 4);
	ck_assert_uint_gt(table_flushes, STEPS / 100);
	ck_assert_uint_gt(own_flushes, STEPS / 100);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vmx_vcpu");
	TCase *tests = tcase_create("vmx_vcpu");

	tcase_add_loop_test(tests, flushes, 0, 4);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
