/* SPDX-License-Identifier: GPL-2.0 */
/* The control domain on SVM: MSRs that are not as the processor has them, NMIs, single steps. VMRUN is a model. */
#include <check.h>
#include <stdbool.h>
#include <string.h>

#include <keel/macros.h>

#include "cpu.h"
#include "suite.h"

#include "../../arch/x86/svm/svm.c"
#include "../../arch/x86/svm/svm_control.c"

/* Nobody calls them. */
#pragma weak cpu_write_back
#pragma weak print
#pragma weak svm_vcpu_advance
#pragma weak svm_vcpu_enter
#pragma weak svm_vcpu_init
#pragma weak svm_vcpu_inject
#pragma weak svm_vcpu_interruptible
#pragma weak svm_vcpu_load
#pragma weak svm_vcpu_put
#pragma weak svm_vcpu_rdmsr
#pragma weak svm_vcpu_state_in
#pragma weak svm_vcpu_state_out
#pragma weak svm_vcpu_tsc_moved
#pragma weak svm_vcpu_window
#pragma weak svm_vcpu_wrmsr

#define APIC_ID		9u
#define RIP_IRET	0x401000u
#define RIP_BACK	0x402000u
#define READ		1u
#define WRITE		2u
#define OWN_EFER	(EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME)

uint8_t *memory_test_arena;
const struct pt_format pt_format_npt;

static struct cpu cpu;
static struct svm_cpu svm;
static struct vmcb control;
static uint64_t exit_code, debugctl;
static unsigned int nmis_sent, raised_again, entered_tlb;
/* The guest: what the last entry found; what it does before it exits. */
static struct vmcb entered;
static void (*guest)(void);
static uint64_t back_rflags, hit;

/* Keel's own EFER, the bits that the processor knows, and whether it says so by a fault or drops the others. */
static uint64_t efer_now, efer_known;
static bool efer_faults;

uint64_t rdmsr(uint32_t msr)
{
	if (msr == MSR_DEBUGCTL)
		return debugctl;
	if (msr == MSR_PAT)
		return PAT_RESET;
	ck_assert_uint_eq(msr, MSR_EFER);
	return efer_now;
}

void wrmsr(uint32_t msr, uint64_t value)
{
	ck_assert_uint_eq(msr, MSR_EFER);
	efer_now = value;
}

/* Keel could not go on without these, nor with a limit on its segments. */
bool wrmsr_safe(uint32_t msr, uint64_t value)
{
	ck_assert_uint_eq(msr, MSR_EFER);
	ck_assert_uint_eq(value & OWN_EFER, OWN_EFER);
	ck_assert_uint_eq(value & 1u << 13, 0);
	if (value & ~efer_known && efer_faults)
		return false;
	efer_now = value & efer_known;
	return true;
}

void apic_send(uint32_t id, uint32_t icr)
{
	ck_assert_uint_eq(id, APIC_ID);
	ck_assert_uint_eq(icr, ICR_MODE_NMI | ICR_ASSERT);
	nmis_sent++;
}

void apic_raise_again(uint32_t self, uint8_t vector)
{
	ck_assert_uint_eq(self, APIC_ID);
	raised_again = vector;
}

void svm_enter(struct keel_regs *regs, uint64_t vmcb_pa, uint64_t host_pa, uint64_t shadow)
{
	(void)regs;
	(void)vmcb_pa;
	(void)host_pa;
	(void)shadow;
	entered_tlb = control.tlb_control;
	entered = control;
	control.exit_code = exit_code;
	if (guest)
		guest();
}

static void set_up(void)
{
	static const struct page_table table;

	memset(&cpu, 0, sizeof(cpu));
	memset(&svm, 0, sizeof(svm));
	memset(&control, 0, sizeof(control));
	memset(control_msrpm, 0, sizeof(control_msrpm));
	svm_features = (struct svm_features){ .asids = 8, .nrips = true, .flush_asid = true };
	svm.control = &control;
	cpu.vendor = &svm;
	cpu.apic_id = APIC_ID;
	control.efer = EFER_SVME | EFER_LMA | EFER_LME;
	svm_ops.control.init(&cpu, &table);
	nmis_sent = raised_again = 0;
	debugctl = hit = 0;
	guest = NULL;
	control.cr0 = CR0_PE | CR0_PG;
	efer_now = OWN_EFER;
	efer_known = OWN_EFER | EFER_SCE | EFER_FFXSR | EFER_TCE;
	efer_faults = true;
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

/* Of every MSR in the bitmap what exits is what the lists say; the vendor's own always do. */
START_TEST(bitmap)
{
	static const uint32_t ranges[] = { 0, MSR_EXTENDED_FIRST, MSR_AMD_FIRST };
	static const uint32_t own[] = { MSR_EFER, MSR_VM_CR, MSR_VM_HSAVE_PA, MSR_MMIO_CFG_BASE, MSR_SYSCFG, 0xc0011030 };

	bitmaps_init();
	for (unsigned int i = 0; i < ARRAY_SIZE(ranges); i++) {
		for (uint32_t msr = ranges[i]; msr < ranges[i] + 0x2000; msr++) {
			const struct control_msr *rule = control_msr_find(svm_ops.control.msrs, msr);
			uint32_t access = rule ? rule->access : 0;

			if (exits(msr) != ((access & MSR_READ_FREE ? 0 : READ) | (access & MSR_WRITE_FREE ? 0 : WRITE)))
				ck_abort_msg("%x", msr);
		}
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(own); i++)
		ck_assert_uint_eq(exits(own[i]), READ | WRITE);
	/* Unrelated to the guests'. */
	ck_assert_uint_eq(svm_guest_msrpm[0], 0xff);
}
END_TEST

/* A guest reads and writes no MSR without an exit but those that change hands with it (15.5.2, VMLOAD). */
START_TEST(guest_msrs)
{
	static const struct {
		uint32_t first, part;
	} ranges[] = { { 0, 0 }, { MSR_EXTENDED_FIRST, 0x800 }, { MSR_AMD_FIRST, 0x1000 } };

	bitmaps_init();
	for (uint32_t i = 0; i < 0x2000; i++) {
		uint32_t msr = ranges[_i].first + i;
		bool own = (msr >= MSR_SYSENTER_CS && msr <= MSR_SYSENTER_EIP) || (msr >= MSR_STAR && msr <= MSR_SFMASK) ||
			   (msr >= MSR_FS_BASE && msr <= MSR_KERNEL_GS_BASE);

		ck_assert_msg((svm_guest_msrpm[ranges[_i].part + i / 4] >> i % 4 * 2 & 3) == (own ? 0 : READ | WRITE), "%x", msr);
	}
}
END_TEST

/* Only what the control domain shall see otherwise than the processor has it; all else is the lists' to decide. */
START_TEST(own_msrs)
{
	uint64_t value, same = control.efer & ~(uint64_t)EFER_SVME;
	unsigned int others = 0;

	ck_assert(svm_ops.control.rdmsr(&cpu, MSR_VM_CR, &value));
	ck_assert_uint_eq(value, VM_CR_LOCK | VM_CR_SVMDIS);
	ck_assert(svm_ops.control.rdmsr(&cpu, MSR_EFER, &value) && svm_ops.control.wrmsr(&cpu, MSR_EFER, same));
	ck_assert(!svm_ops.control.wrmsr(&cpu, MSR_VM_CR, VM_CR_LOCK | VM_CR_SVMDIS));
	for (uint32_t msr = 0; msr < 0x2000; msr++)
		others += svm_ops.control.rdmsr(&cpu, msr, &value) || svm_ops.control.wrmsr(&cpu, msr, same);
	for (uint32_t msr = 0xc0000000u; msr < 0xc0012000u; msr++)
		others += msr != MSR_EFER && msr != MSR_VM_CR &&
			  (svm_ops.control.rdmsr(&cpu, msr, &value) || svm_ops.control.wrmsr(&cpu, msr, same));
	ck_assert_uint_eq(others, 0);
}
END_TEST

/* What a CPU knows of the control domain's memory is dropped by its next entry, and by no other (15.16.2). */
START_TEST(flush_of_the_control_domain)
{
	struct keel_exit record;
	struct hv_exit exit = { .record = &record };

	svm_features.flush_asid = _i;
	exit_code = SVM_EXIT_CPUID;
	control.next_rip = 2;
	svm_ops.control.enter(&cpu, &exit);
	ck_assert_uint_eq(entered_tlb, SVM_TLB_KEEP);
	svm_ops.control.flush(&cpu);
	svm_ops.control.enter(&cpu, &exit);
	ck_assert_uint_eq(entered_tlb, _i ? SVM_TLB_FLUSH_ASID : SVM_TLB_FLUSH_ALL);
	svm_ops.control.enter(&cpu, &exit);
	ck_assert_uint_eq(entered_tlb, SVM_TLB_KEEP);
}
END_TEST

/* What the processor would refuse makes VMRUN fail, so it is refused before; Keel's own EFER is as it was in any case. */
START_TEST(efer)
{
	static const struct {
		uint64_t value;
		bool taken, paging;
	} cases[] = {
		{ EFER_LME, true, true }, { EFER_LME | EFER_NXE | EFER_SCE, true, true },
		{ EFER_LME | EFER_LMA | EFER_NXE, true, true }, { EFER_LME | EFER_FFXSR, true, true },
		{ EFER_LME | EFER_SVME, false, true }, { EFER_LME | 1 << 1, false, true },
		{ EFER_LME | 1 << 13, false, true }, { EFER_LME | 1ull << 63, false, true },
		{ EFER_LME | EFER_UAIE, false, true },		/* known to Keel, not to this processor */
		{ 0, false, true }, { EFER_LMA, false, true }, { 0, true, false }, { EFER_NXE, true, false },
	};
	uint64_t value, before = control.efer;

	efer_faults = !_i;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		control.efer = before;
		control.cr0 = CR0_PE | (cases[i].paging ? CR0_PG : 0);
		control.tlb_control = SVM_TLB_KEEP;
		ck_assert_msg(svm_ops.control.wrmsr(&cpu, MSR_EFER, cases[i].value) == cases[i].taken, "case %u", i);
		ck_assert_uint_eq(efer_now, OWN_EFER);
		ck_assert_uint_eq(control.efer, cases[i].taken ? cases[i].value | EFER_LMA | EFER_SVME : before);
		/* 15.16: after a change of NXE in the VMCB its translations must go. */
		ck_assert(!cases[i].taken || control.tlb_control != SVM_TLB_KEEP);
		ck_assert(svm_ops.control.rdmsr(&cpu, MSR_EFER, &value));
		ck_assert_uint_eq(value, control.efer & ~(uint64_t)EFER_SVME);
	}
}
END_TEST

/* The control domain's NMIs exit whatever it is at, its own ones go in as events. */
static void inject_nmi(void)
{
	svm_ops.control.inject_nmi(&cpu);
}

static enum hv_exit_reason enter(uint64_t code)
{
	struct keel_exit record;
	struct hv_exit exit = { .record = &record };

	exit_code = code;
	svm_ops.control.enter(&cpu, &exit);
	return exit.reason;
}

/* The IRET of a handler is executed by itself: with the flags of Keel's, and every exception exits. */
static void expect_step(void)
{
	ck_assert_uint_eq(entered.rflags & (RFLAGS_TF | RFLAGS_IF), RFLAGS_TF);
	ck_assert_uint_eq(entered.intercept[SVM_EXIT_EXCEPTION / 32], UINT32_MAX);
	ck_assert_uint_eq(entered.dr6 & (DR6_B0_B3 | DR6_BS), 0);
	ck_assert(!(entered.event & SVM_EVENT_VALID));
	ck_assert_uint_eq(control.intercept[SVM_EXIT_EXCEPTION / 32], 0);
}

/* Up to the handler's IRET, with another NMI that waits for it. */
static void reach_iret(void)
{
	inject_nmi();
	ck_assert_int_eq(enter(SVM_EXIT_CPUID), HV_EXIT_CPUID);
	ck_assert_uint_eq(entered.event, SVM_EVENT_VALID | SVM_EVENT_NMI | EXC_NMI);
	inject_nmi();
	ck_assert_int_eq(enter(SVM_EXIT_NMI), HV_EXIT_NMI);
	ck_assert_uint_eq(entered.event, 0);
	ck_assert(intercepts(SVM_EXIT_NMI) && intercepts(SVM_EXIT_IRET));
	ck_assert_int_eq(enter(SVM_EXIT_IRET), HV_EXIT_NONE);
	ck_assert(!intercepts(SVM_EXIT_IRET));
	control.rip = RIP_IRET;
	control.rflags = RFLAGS_FIXED | RFLAGS_IF;
	control.dr6 = DR6_RESET | DR6_BS | 2;
}

static void iret_done(void)
{
	control.rip = RIP_BACK;
	control.rflags = back_rflags;
	control.dr6 |= DR6_BS | hit;
}

START_TEST(nmi_behind_an_iret)
{
	/* The flags that come back are the stack's, TF among them. */
	back_rflags = RFLAGS_FIXED | (_i ? RFLAGS_TF : RFLAGS_IF);
	reach_iret();
	guest = iret_done;
	ck_assert_int_eq(enter(SVM_EXIT_EXCEPTION + EXC_DB), HV_EXIT_NONE);
	expect_step();
	ck_assert_uint_eq(control.rflags, back_rflags);
	ck_assert_uint_eq(control.dr6, DR6_RESET | DR6_BS | 2);
	ck_assert_uint_eq(control.event, 0);
	guest = NULL;
	ck_assert_int_eq(enter(SVM_EXIT_CPUID), HV_EXIT_CPUID);
	ck_assert_uint_eq(entered.event, SVM_EVENT_VALID | SVM_EVENT_NMI | EXC_NMI);
	ck_assert_uint_eq(entered.rflags, back_rflags);
	ck_assert(intercepts(SVM_EXIT_IRET));
	/* There was one. */
	ck_assert_int_eq(enter(SVM_EXIT_CPUID), HV_EXIT_CPUID);
	ck_assert_uint_eq(entered.event, 0);
	ck_assert_uint_eq(nmis_sent, 0);
}
END_TEST

/* What comes before the IRET finds everything as it was; then it is executed. */
START_TEST(step_that_is_put_off)
{
	static const uint16_t codes[] = { SVM_EXIT_NMI, SVM_EXIT_NPF };

	back_rflags = RFLAGS_FIXED;
	reach_iret();
	for (unsigned int i = 0; i < 2; i++) {
		enter(codes[i]);
		expect_step();
		ck_assert_uint_eq(control.rflags, RFLAGS_FIXED | RFLAGS_IF);
		ck_assert_uint_eq(control.dr6, DR6_RESET | DR6_BS | 2);
		ck_assert(intercepts(SVM_EXIT_NMI));
	}
	guest = iret_done;
	ck_assert_int_eq(enter(SVM_EXIT_EXCEPTION + EXC_DB), HV_EXIT_NONE);
	expect_step();
	guest = NULL;
	enter(SVM_EXIT_CPUID);
	ck_assert_uint_eq(entered.event, SVM_EVENT_VALID | SVM_EVENT_NMI | EXC_NMI);
}
END_TEST

/* The fault has the flags of before, and NMIs stay blocked until an IRET is executed. */
START_TEST(iret_that_faults)
{
	static const struct {
		unsigned int vector;
		bool error_code;
	} faults[] = { { EXC_GP, true }, { EXC_PF, true }, { EXC_NP, true }, { EXC_SS, true }, { EXC_UD, false } };
	uint64_t event = SVM_EVENT_VALID | SVM_EVENT_EXCEPTION | faults[_i].vector;

	reach_iret();
	control.exit_info1 = 0x18;
	control.exit_info2 = 0x7000;
	ck_assert_int_eq(enter(SVM_EXIT_EXCEPTION + faults[_i].vector), HV_EXIT_NONE);
	expect_step();
	ck_assert_uint_eq(control.rflags, RFLAGS_FIXED | RFLAGS_IF);
	ck_assert_uint_eq(control.dr6, DR6_RESET | DR6_BS | 2);
	ck_assert_uint_eq(control.cr2, faults[_i].vector == EXC_PF ? 0x7000 : 0);
	ck_assert(intercepts(SVM_EXIT_IRET));
	enter(SVM_EXIT_CPUID);
	ck_assert_uint_eq(entered.event, faults[_i].error_code ? event | SVM_EVENT_ERROR_CODE | 0x18ull << 32 : event);
	ck_assert_uint_eq(entered.rflags, RFLAGS_FIXED | RFLAGS_IF);
	enter(SVM_EXIT_IRET);
	guest = iret_done;
	back_rflags = RFLAGS_FIXED;
	enter(SVM_EXIT_EXCEPTION + EXC_DB);
	guest = NULL;
	enter(SVM_EXIT_CPUID);
	ck_assert_uint_eq(entered.event, SVM_EVENT_VALID | SVM_EVENT_NMI | EXC_NMI);
}
END_TEST

/*
 * A single step of the control domain's own over its IRET, and a breakpoint on its stack: the trap first,
 * and the NMI exits again.
 */
START_TEST(traps_behind_an_iret)
{
	back_rflags = RFLAGS_FIXED;
	hit = _i & 1;
	reach_iret();
	control.rflags |= _i & 2 ? RFLAGS_TF : 0;
	guest = iret_done;
	ck_assert_int_eq(enter(SVM_EXIT_EXCEPTION + EXC_DB), HV_EXIT_NONE);
	expect_step();
	ck_assert_uint_eq(control.dr6, (DR6_RESET | DR6_BS | hit) | (_i ? 0 : 2));
	guest = NULL;
	enter(SVM_EXIT_CPUID);
	ck_assert_uint_eq(entered.event, SVM_EVENT_VALID | (_i ? SVM_EVENT_EXCEPTION | EXC_DB : SVM_EVENT_NMI | EXC_NMI));
	ck_assert_uint_eq(nmis_sent, _i ? 1 : 0);
}
END_TEST

/* An event that goes in first has an IRET of its own; one back to another task puts its flags into memory. */
START_TEST(iret_that_is_not_stepped)
{
	reach_iret();
	if (_i) {
		control.rflags |= RFLAGS_NT;
		control.cr0 = CR0_PE;
		control.efer = EFER_SVME;
	} else {
		control.event = SVM_EVENT_VALID | SVM_EVENT_EXCEPTION | EXC_GP;
	}
	enter(SVM_EXIT_CPUID);
	ck_assert_uint_eq(entered.rflags, RFLAGS_FIXED | RFLAGS_IF | (_i ? RFLAGS_NT : 0));
	ck_assert_uint_eq(entered.intercept[SVM_EXIT_EXCEPTION / 32], 0);
	ck_assert_int_eq(intercepts(SVM_EXIT_IRET), !_i);
	if (!_i)
		return;
	guest = iret_done;
	back_rflags = RFLAGS_FIXED;
	hit = 0;
	enter(SVM_EXIT_CPUID);
	guest = NULL;
	enter(SVM_EXIT_CPUID);
	ck_assert_uint_eq(entered.event, SVM_EVENT_VALID | SVM_EVENT_NMI | EXC_NMI);
}
END_TEST

/* In 64-bit mode no shadow holds an NMI back: the control domain may halt behind STI, and would not exit for long. */
START_TEST(nmi_in_a_shadow)
{
	control.shadow = SVM_SHADOW;
	control.seg[KEEL_SEG_CS].attributes = _i ? SVM_SEGMENT_LONG : 0;
	inject_nmi();
	enter(SVM_EXIT_CPUID);
	ck_assert_uint_eq(entered.event, _i ? SVM_EVENT_VALID | SVM_EVENT_NMI | EXC_NMI : 0);
	ck_assert_uint_eq(entered.shadow, _i ? 0 : SVM_SHADOW);
}
END_TEST

/* A processor that starts anew has no NMI of its former life, and its NMIs exit. */
START_TEST(start)
{
	static const struct keel_sregs sregs;

	reach_iret();
	svm_ops.control.set(&cpu, &sregs);
	ck_assert(intercepts(SVM_EXIT_NMI) && !intercepts(SVM_EXIT_IRET));
	enter(SVM_EXIT_CPUID);
	ck_assert_uint_eq(entered.event, 0);
	ck_assert_uint_eq(entered.rflags, RFLAGS_FIXED);
	inject_nmi();
	enter(SVM_EXIT_CPUID);
	ck_assert_uint_eq(entered.event, SVM_EVENT_VALID | SVM_EVENT_NMI | EXC_NMI);
}
END_TEST

/* An instruction that Keel completes ends its shadow, its RF, and has its trap. */
START_TEST(single_step)
{
	control.rflags = RFLAGS_FIXED | RFLAGS_RF | (_i ? RFLAGS_TF : 0);
	control.shadow = SVM_SHADOW;
	control.dr6 = DR6_RESET;
	control.dr7 = DR7_RESET | DR7_GD;
	debugctl = _i == 2 ? DEBUGCTL_BTF : 0;
	svm_ops.control.advance(&cpu, RIP_BACK);
	ck_assert_uint_eq(cpu.control.rip, RIP_BACK);
	ck_assert_uint_eq(control.shadow, 0);
	ck_assert_uint_eq(control.rflags, RFLAGS_FIXED | (_i ? RFLAGS_TF : 0));
	ck_assert_uint_eq(control.event, _i == 1 ? SVM_EVENT_VALID | SVM_EVENT_EXCEPTION | EXC_DB : 0);
	ck_assert_uint_eq(control.dr6, DR6_RESET | (_i == 1 ? DR6_BS : 0));
	ck_assert_uint_eq(control.dr7, DR7_RESET | (_i == 1 ? 0 : DR7_GD));
	/* The interrupt in which the call ended comes behind the trap, by the local APIC. */
	svm_ops.control.inject(&cpu, KEEL_INJECT_VALID | 0x41, 0);
	enter(SVM_EXIT_CPUID);
	ck_assert_uint_eq(entered.event, SVM_EVENT_VALID | (_i == 1 ? SVM_EVENT_EXCEPTION | EXC_DB : 0x41));
	ck_assert_uint_eq(raised_again, _i == 1 ? 0x41 : 0);
}
END_TEST

/* Of exits that are an instruction's which is not offered comes #UD; traps of writes are done; only the rest is unknown. */
START_TEST(exits_without_a_name)
{
	static const uint16_t undefined[] = { 0x6f, 0x7a, 0x80, 0x82, 0x8a, 0x8e, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4 };

	for (unsigned int i = 0; i < ARRAY_SIZE(undefined); i++)
		ck_assert_int_eq(enter(undefined[i]), HV_EXIT_UNDEFINED);
	for (unsigned int code = 0x8f; code <= 0x9f; code++)
		ck_assert_int_eq(enter(code), HV_EXIT_NONE);
	ck_assert_int_eq(enter(0xa5), HV_EXIT_UNKNOWN);
	ck_assert_int_eq(enter(0x402), HV_EXIT_UNKNOWN);
	ck_assert_int_eq(enter(UINT64_MAX), HV_EXIT_ENTRY_FAILED);
}
END_TEST

START_TEST(halts)
{
	ck_assert(!intercepts(SVM_EXIT_HLT));
	svm_ops.control.hlt(&cpu, true);
	ck_assert(intercepts(SVM_EXIT_HLT));
	ck_assert_int_eq(enter(SVM_EXIT_HLT), HV_EXIT_HLT);
	svm_ops.control.hlt(&cpu, false);
	ck_assert(!intercepts(SVM_EXIT_HLT));
}
END_TEST

SUITE("svm", tests)
{
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, bitmap);
	tcase_add_test(tests, own_msrs);
	tcase_add_loop_test(tests, guest_msrs, 0, 3);
	tcase_add_loop_test(tests, flush_of_the_control_domain, 0, 2);
	tcase_add_loop_test(tests, efer, 0, 2);
	tcase_add_loop_test(tests, nmi_behind_an_iret, 0, 2);
	tcase_add_test(tests, step_that_is_put_off);
	tcase_add_loop_test(tests, iret_that_faults, 0, 5);
	tcase_add_loop_test(tests, traps_behind_an_iret, 0, 4);
	tcase_add_loop_test(tests, iret_that_is_not_stepped, 0, 2);
	tcase_add_loop_test(tests, nmi_in_a_shadow, 0, 2);
	tcase_add_test(tests, start);
	tcase_add_loop_test(tests, single_step, 0, 3);
	tcase_add_test(tests, exits_without_a_name);
	tcase_add_test(tests, halts);
}
