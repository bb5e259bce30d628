/* SPDX-License-Identifier: GPL-2.0 */
/* The control domain on SVM: MSRs that are kept from it, and NMIs. VMRUN is a model. */
#include <check.h>
#include <stdbool.h>
#include <string.h>

#include "cpu.h"
#include "suite.h"

static struct cpuid processor_cpuid(uint32_t leaf, uint32_t subleaf);

#define cpuid(leaf, subleaf) processor_cpuid(leaf, subleaf)
#include "../../arch/x86/svm/svm.c"
#undef cpuid

/* Nobody calls them. */
#pragma weak apic_raise_again
#pragma weak print
#pragma weak svm_vcpu_advance
#pragma weak svm_vcpu_cr4
#pragma weak svm_vcpu_enter
#pragma weak svm_vcpu_get_sregs
#pragma weak svm_vcpu_init
#pragma weak svm_vcpu_inject
#pragma weak svm_vcpu_interruptible
#pragma weak svm_vcpu_load
#pragma weak svm_vcpu_put
#pragma weak svm_vcpu_rdmsr
#pragma weak svm_vcpu_set_cr2
#pragma weak svm_vcpu_set_sregs
#pragma weak svm_vcpu_set_tpr
#pragma weak svm_vcpu_set_tsc_offset
#pragma weak svm_vcpu_tpr
#pragma weak svm_vcpu_window
#pragma weak svm_vcpu_wrmsr

#define APIC_ID		9u
#define BANK_VALUE	0x1234u
#define READ		1u
#define WRITE		2u

uint8_t *memory_test_arena;
const struct pt_format pt_format_npt;

static struct cpu cpu;
static struct svm_cpu svm;
static struct vmcb control;
static uint64_t banks, exit_code;
static bool smca;
static unsigned int nmis_sent, entered_tlb;

static struct cpuid processor_cpuid(uint32_t leaf, uint32_t subleaf)
{
	(void)subleaf;
	return (struct cpuid){ .ebx = leaf == CPUID_EXT_POWER && smca ? CPUID_SMCA : 0 };
}

uint64_t rdmsr(uint32_t msr)
{
	if (msr == MSR_MCG_CAP)
		return 0x1000100 | banks;
	/* Any other would be a fault of Keel's own. */
	ck_assert_uint_eq(msr & 3, 3);
	ck_assert_uint_lt((msr - MSR_MC0_MISC) / 4, banks);
	return BANK_VALUE;
}

void wrmsr(uint32_t msr, uint64_t value)
{
	ck_abort_msg("MSR %x := %llx", msr, (unsigned long long)value);
}

void apic_send(uint32_t id, uint32_t icr)
{
	ck_assert_uint_eq(id, APIC_ID);
	ck_assert_uint_eq(icr, ICR_MODE_NMI | ICR_ASSERT);
	nmis_sent++;
}

void svm_enter(struct keel_regs *regs, uint64_t vmcb_pa, uint64_t host_pa, uint64_t shadow)
{
	(void)regs;
	(void)vmcb_pa;
	(void)host_pa;
	(void)shadow;
	entered_tlb = control.tlb_control;
	control.exit_code = exit_code;
}

static void set_up(void)
{
	memset(&cpu, 0, sizeof(cpu));
	memset(&svm, 0, sizeof(svm));
	memset(&control, 0, sizeof(control));
	memset(control_msrpm, 0, sizeof(control_msrpm));
	svm_features = (struct svm_features){ .asids = 8, .nrips = true, .flush_asid = true };
	svm.control = &control;
	cpu.vendor = &svm;
	cpu.apic_id = APIC_ID;
	control.efer = EFER_SVME | EFER_LMA | EFER_LME;
	nmis_sent = 0;
	smca = true;
	banks = 8;
}

static unsigned int exits(uint32_t msr)
{
	uint32_t bit = (msr & 0x1fff) * 2;
	uint32_t part = msr >= 0xc0010000u ? 0x1000 : msr >= 0xc0000000u ? 0x800 : 0;

	return control_msrpm[part + bit / 8] >> bit % 8 & (READ | WRITE);
}

static bool intercepts(unsigned int bit)
{
	return control.intercept[bit / 32] >> bit % 32 & 1;
}

START_TEST(kept_msrs)
{
	static const uint32_t kept[] = {
		0xc0010010, 0xc0010016, 0xc0010019, 0xc001001a, 0xc001001d, 0xc0010020, 0xc0010111, 0xc0010112, 0xc0010113,
		0xc0011030, 0xc0011033, 0xc000010f,
	};
	static const uint32_t free[] = { 0x10, 0x277, 0x400, 0x401, 0xc0000081, 0xc0010004, 0xc0010015, 0xc001001b, 0xc0010200 };

	guest_bitmaps_init();
	for (unsigned int i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		ck_assert_msg(exits(kept[i]) == WRITE, "%x", kept[i]);
		ck_assert_int_eq(svm_ops.control_wrmsr(&cpu, kept[i], 0), kept[i] == 0xc0010020);
	}
	for (unsigned int i = 0; i < sizeof(free) / sizeof(free[0]); i++)
		ck_assert_msg(!exits(free[i]), "%x", free[i]);
	ck_assert_uint_eq(exits(MSR_EFER), READ | WRITE);
}
END_TEST

/* The banks' counters are locked, and there are no more banks than have room. Without SMCA there is nothing to hide. */
START_TEST(machine_check_banks)
{
	static const unsigned int counts[] = { 0, 7, 32, 64 };
	uint64_t value;

	banks = counts[_i % 4];
	smca = _i < 4;
	guest_bitmaps_init();
	for (uint32_t bank = 0; bank < MCE_BANKS; bank++)
		ck_assert_uint_eq(exits(MSR_MC0_MISC + 4 * bank), smca ? READ : 0);
	ck_assert_uint_eq(exits(MSR_MCG_CAP), smca ? READ | WRITE : 0);
	ck_assert(svm_ops.control_rdmsr(&cpu, MSR_MCG_CAP, &value));
	ck_assert_uint_eq(value, 0x1000100 | (banks < MCE_BANKS ? banks : MCE_BANKS));
	for (uint32_t msr = 0; msr < 0x600; msr++) {
		bool there = msr >= MSR_MC0_MISC && (msr & 3) == 3 && (msr - MSR_MC0_MISC) / 4 < banks;

		if (msr == MSR_MCG_CAP)
			continue;
		ck_assert_int_eq(svm_ops.control_rdmsr(&cpu, msr, &value), there);
		if (there)
			ck_assert_uint_eq(value, BANK_VALUE | 1ull << 61);
	}
	ck_assert(!svm_ops.control_rdmsr(&cpu, 0xc0002003, &value) && !svm_ops.control_rdmsr(&cpu, MSR_HSAVE_PA, &value));
}
END_TEST

/* What a CPU knows of the control domain's memory is dropped by its next entry, and by no other (15.16.2). */
START_TEST(flush_of_the_control_domain)
{
	struct hv_exit exit;

	svm_features.flush_asid = _i;
	exit_code = SVM_EXIT_CPUID;
	control.next_rip = 2;
	svm_ops.control_enter(&cpu, &exit);
	ck_assert_uint_eq(entered_tlb, SVM_TLB_KEEP);
	svm_ops.control_flush(&cpu);
	svm_ops.control_enter(&cpu, &exit);
	ck_assert_uint_eq(entered_tlb, _i ? SVM_TLB_FLUSH_ASID : SVM_TLB_FLUSH_ALL);
	svm_ops.control_enter(&cpu, &exit);
	ck_assert_uint_eq(entered_tlb, SVM_TLB_KEEP);
}
END_TEST

/* 15.16: after a change of NXE in the VMCB its translations must go. */
START_TEST(efer)
{
	uint64_t value;

	ck_assert(!svm_ops.control_wrmsr(&cpu, MSR_EFER, EFER_SVME | EFER_LME));
	ck_assert(svm_ops.control_wrmsr(&cpu, MSR_EFER, EFER_NXE | EFER_LME));
	ck_assert_uint_eq(control.efer, EFER_SVME | EFER_LMA | EFER_LME | EFER_NXE);
	ck_assert_uint_ne(control.tlb_control, SVM_TLB_KEEP);
	ck_assert(svm_ops.control_rdmsr(&cpu, MSR_EFER, &value));
	ck_assert_uint_eq(value, EFER_LMA | EFER_LME | EFER_NXE);
}
END_TEST

/* An NMI exits. The control domain's own is taken natively, and until its IRET no other exits or is taken. */
START_TEST(nmis_do_not_nest)
{
	struct hv_exit exit;

	svm_intercept(&control, SVM_EXIT_NMI, true);
	exit_code = SVM_EXIT_NMI;
	svm_ops.control_enter(&cpu, &exit);
	ck_assert_int_eq(exit.reason, HV_EXIT_NMI);
	svm_ops.control_inject_nmi(&cpu);
	ck_assert(!intercepts(SVM_EXIT_NMI) && intercepts(SVM_EXIT_IRET));
	ck_assert(!(control.event & SVM_EVENT_VALID));
	/* 0: nothing was asked for; 1: something, by an NMI that may have become one with that one. */
	cpu.request = _i ? CPU_REQUEST_FLUSH : CPU_REQUEST_SIPI;
	exit_code = SVM_EXIT_IRET;
	svm_ops.control_enter(&cpu, &exit);
	ck_assert_int_eq(exit.reason, HV_EXIT_NONE);
	ck_assert(intercepts(SVM_EXIT_NMI) && !intercepts(SVM_EXIT_IRET));
	ck_assert_uint_eq(nmis_sent, _i ? 1 : 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("svm");
	TCase *tests = tcase_create("tests");

	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, kept_msrs);
	tcase_add_loop_test(tests, machine_check_banks, 0, 8);
	tcase_add_loop_test(tests, flush_of_the_control_domain, 0, 2);
	tcase_add_test(tests, efer);
	tcase_add_loop_test(tests, nmis_do_not_nest, 0, 2);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
