/* SPDX-License-Identifier: GPL-2.0 */
/* ASIDs: no vCPU enters with translations that are not its own, or older than it may use. VMRUN is a model of the TLB. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../../arch/x86/svm/svm_vcpu.c"
#include "suite.h"

/* Nobody calls them. */
#pragma weak cpuid_guest
#pragma weak cpuid_guest_cr4
#pragma weak msr_guest_read
#pragma weak cell_leave
#pragma weak cell_resume
#pragma weak cell_run
#pragma weak hv
#pragma weak rdmsr
#pragma weak wrmsr
#pragma weak svm_exception
#pragma weak svm_inject
#pragma weak svm_intercept
#pragma weak svm_nmi_end
#pragma weak svm_nmi_enter
#pragma weak svm_request
#pragma weak svm_requeue
#pragma weak svm_set_control
#pragma weak svm_set_debug
#pragma weak svm_set_segments
#pragma weak svm_single_step_trap
#pragma weak swap_debug_too

#define CPUS		3u
#define VCPUS		4u
#define ASIDS		8u
#define CONTROL_ASID	1u
#define STEPS		20000u

struct svm_features svm_features = { .asids = ASIDS };
uint8_t svm_guest_msrpm[SVM_MSRPM_BYTES], svm_guest_iopm[SVM_IOPM_BYTES];
uint8_t *memory_test_arena;

static struct cpu cpu_objects[CPUS], *current;
static struct svm_cpu svm_cpus[CPUS];
static struct vmcb control, vmcbs[VCPUS];
static struct keel_context pages[VCPUS];
static struct vcpu_svm guests[VCPUS];
/* Whose translations each CPU has under an ASID, and of which of its lives; 0: none's. */
static struct { unsigned int vcpu, life; } tlb[CPUS][ASIDS];
static unsigned int life[VCPUS];
static uint64_t guest_states;
static bool taken_inside;	/* while the guest runs, another CPU makes it drop everything */
static bool refused;		/* VMRUN fails its checks, and may then not have flushed anything */
static unsigned int kept, flushes;

uint64_t cpuid_guest_xcr0(void)
{
	return guest_states;
}

void svm_enter(struct keel_regs *regs, uint64_t vmcb_pa, uint64_t host_pa, uint64_t shadow)
{
	struct vmcb *vmcb = (struct vmcb *)(uintptr_t)vmcb_pa;
	unsigned int vcpu = (unsigned int)(vmcb - vmcbs);

	(void)regs;
	(void)host_pa;
	(void)shadow;
	vmcb->exit_code = refused ? UINT64_MAX : SVM_EXIT_HLT;
	if (refused)
		return;
	if (vmcb->tlb_control == SVM_TLB_FLUSH_ALL) {
		memset(tlb[current->index], 0, sizeof(tlb[0]));
		flushes++;
	}
	ck_assert_uint_lt(vmcb->asid, ASIDS);
	ck_assert_uint_gt(vmcb->asid, CONTROL_ASID);
	if (tlb[current->index][vmcb->asid].vcpu) {
		ck_assert_uint_eq(tlb[current->index][vmcb->asid].vcpu, vcpu + 1);
		ck_assert_uint_eq(tlb[current->index][vmcb->asid].life, life[vcpu]);
		kept++;
	}
	tlb[current->index][vmcb->asid].vcpu = vcpu + 1;
	tlb[current->index][vmcb->asid].life = life[vcpu];
	if (taken_inside) {
		__atomic_store_n(&guests[vcpu].vcpu.last_cpu, NULL, __ATOMIC_SEQ_CST);
		life[vcpu]++;
	}
}

void svm_plain_exit(const struct vmcb *vmcb, struct hv_exit *exit)
{
	exit->reason = vmcb->exit_code == UINT64_MAX ? HV_EXIT_ENTRY_FAILED : HV_EXIT_INTERRUPT;
}

static void begin(void)
{
	control.asid = CONTROL_ASID;
	for (unsigned int i = 0; i < CPUS; i++) {
		cpu_objects[i].index = i;
		cpu_objects[i].vendor = &svm_cpus[i];
		svm_cpus[i] = (struct svm_cpu){ .control = &control, .asid_generation = 1, .next_asid = CONTROL_ASID + 1 };
	}
	for (unsigned int i = 0; i < VCPUS; i++) {
		guests[i].vmcb = &vmcbs[i];
		guests[i].vmcb_pa = (uint64_t)(uintptr_t)&vmcbs[i];
		guests[i].vcpu.cell.page = &pages[i];
		vmcbs[i].exit_code = SVM_EXIT_HLT;
	}
}

START_TEST(asids)
{
	static unsigned int where[VCPUS];
	struct keel_exit record;
	struct hv_exit exit = { .record = &record };

	begin();
	srandom((unsigned int)_i + 1);
	for (unsigned int i = 0; i < STEPS; i++) {
		unsigned int v = (unsigned int)random() % VCPUS, c = random() % 8 ? where[v] : (unsigned int)random() % CPUS;

		/* Elsewhere the guest may have changed its own tables. */
		life[v] += c != where[v];
		where[v] = c;
		if (random() % 8 == 0) {
			guests[v].vcpu.last_cpu = NULL;
			life[v]++;
		}
		taken_inside = random() % 8 == 0;
		refused = random() % 8 == 0;
		current = &cpu_objects[c];
		svm_vcpu_enter(current, &guests[v].vcpu, &exit);
		if (refused) {		/* that one has ended; another takes its place */
			guests[v].vcpu.last_cpu = NULL;
			life[v]++;
		}
	}
	ck_assert_uint_gt(kept, STEPS / 4);
	ck_assert_uint_gt(flushes, STEPS / 100);
}
END_TEST

/* XCR0 as the guest left it, however it came to be so, is what it has the next time; no more of it than it may have. */
START_TEST(xcr0)
{
	static struct svm_cpu mine;
	struct cpu cpu = { .vendor = &mine };
	struct vcpu vcpu = { .xcr0 = XCR0_X87 };

	guest_states = XCR0_X87 | XCR0_SSE;
	ck_assert_uint_eq(xgetbv() & guest_states, guest_states);
	svm_vcpu_put(&cpu, &vcpu);
	ck_assert_uint_eq(vcpu.xcr0, guest_states);
	guest_states = XCR0_X87;
	svm_vcpu_put(&cpu, &vcpu);
	ck_assert_uint_eq(vcpu.xcr0, XCR0_X87);
}
END_TEST

SUITE("svm_vcpu", tests)
{
	tcase_add_test(tests, xcr0);
	tcase_add_loop_test(tests, asids, 0, 4);
}
