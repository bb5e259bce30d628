/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest on SVM: events whose delivery is broken off, NMIs, single steps, and what a cell may put into its state.
 * VMRUN is a model.
 */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "apic.h"
#include "console.h"
#include "cpu.h"
#include "cpuid.h"
#include "guest_rig.h"
#include "memory.h"
#include "msr.h"
#include "suite.h"
#include "svm.h"
#include "trap.h"
#include "vm.h"

#define INTERRUPT	(SVM_EVENT_VALID | SVM_EVENT_INTERRUPT | 0x41)
#define NMI		(SVM_EVENT_VALID | SVM_EVENT_NMI | EXC_NMI)
#define EXCEPTION(vector) (SVM_EVENT_VALID | SVM_EVENT_EXCEPTION | (vector))
#define INJECT(vector)	(KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | (vector))
#define CONTROL_DEBUGCTL 1u
#define CONTROL_XSS	0x900u

const struct pt_format pt_format_npt;

static struct svm_cpu svm;
static struct vmcb control, vmcb, entered;
static struct vcpu_svm block;
static struct keel_sregs sregs;
static uint64_t exit_code, vectoring, debugctl, xss;
static uint64_t shadow_left;		/* in the VMCB at an exit */

uint64_t rdmsr(uint32_t msr)
{
	ck_assert(msr == MSR_DEBUGCTL || msr == MSR_XSS);
	return msr == MSR_XSS ? xss : debugctl;
}

/* The control domain's alone. */
bool wrmsr_safe(uint32_t msr, uint64_t value)
{
	ck_abort_msg("MSR %x := %llx", msr, (unsigned long long)value);
}

void wrmsr(uint32_t msr, uint64_t value)
{
	ck_assert(msr == MSR_DEBUGCTL || msr == MSR_XSS);
	*(msr == MSR_XSS ? &xss : &debugctl) = value;
}

void apic_send(uint32_t id, uint32_t icr)
{
	ck_abort_msg("%x to %x", icr, id);
}

void apic_raise_again(uint32_t self, uint8_t vector)
{
	ck_abort_msg("%x at %x", vector, self);
}

void print(const char *format, ...)
{
	(void)format;
}

void svm_enter(struct keel_regs *regs, uint64_t vmcb_pa, uint64_t host_pa, uint64_t shadow)
{
	(void)regs;
	(void)vmcb_pa;
	(void)host_pa;
	(void)shadow;
	entered = vmcb;
	vmcb.exit_code = guest_rig_halts() ? SVM_EXIT_HLT : exit_code;
	vmcb.exit_int_info = vectoring;
	vmcb.shadow |= shadow_left;
}

#define SHOWN_CR4	(CR4_CLASSIC | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP)

uint64_t cpuid_guest_cr4(void)
{
	return SHOWN_CR4;
}

uint64_t cpuid_guest_xcr0(void)
{
	return XCR0_X87 | XCR0_SSE;
}

static void set_up(void)
{
	memset(&svm, 0, sizeof(svm));
	memset(&vmcb, 0, sizeof(vmcb));
	memset(&block, 0, sizeof(block));
	guest_rig_start(&block.vcpu);
	memset(&sregs, 0, sizeof(sregs));
	shadow_left = 0;
	svm_features = (struct svm_features){ .asids = 8, .nrips = true, .decode = true, .xsaves = true };
	control.asid = 1;
	svm.control = &control;
	svm.next_asid = 2;
	cpu.vendor = &svm;
	block.vmcb = &vmcb;
	page.regs.rflags = RFLAGS_FIXED | RFLAGS_IF;
	vmcb.intercept[SVM_EXIT_EXCEPTION / 32] = 1u << EXC_DB | 1u << EXC_AC | 1u << EXC_MC;
	vmcb.intercept[SVM_EXIT_DR_FIRST / 32] = 0x00ff00ff;
	vmcb.dr6 = DR6_RESET;
	vmcb.efer = EFER_SVME | EFER_LME | EFER_LMA;
	vmcb.seg[KEEL_SEG_CS].attributes = SVM_SEGMENT_LONG;
	exit_code = SVM_EXIT_HLT;
	vectoring = 0;
	debugctl = CONTROL_DEBUGCTL;
	xss = CONTROL_XSS;
}

const struct hv_ops *hv = &svm_ops;

static enum hv_exit_reason enter(uint64_t code)
{
	enum hv_exit_reason told;

	exit_code = code;
	told = guest_rig_enter(svm_ops.vcpu.enter);
	vectoring = 0;
	return told;
}

static bool intercepts(unsigned int bit)
{
	return vmcb.intercept[bit / 32] >> bit % 32 & 1;
}

/* An exception exits while an event is on its way in: both come, or the architecture's double fault. */
static const struct {
	uint64_t vectoring;
	unsigned int vector;
	uint64_t event;
} exits[] = {
	{ 0, EXC_DB, EXCEPTION(EXC_DB) },
	{ INTERRUPT, EXC_DB, EXCEPTION(EXC_DB) },
	{ INTERRUPT, EXC_AC, EXCEPTION(EXC_AC) | SVM_EVENT_ERROR_CODE },
	{ NMI, EXC_AC, EXCEPTION(EXC_AC) | SVM_EVENT_ERROR_CODE },
	{ NMI, EXC_DB, EXCEPTION(EXC_DB) },
	{ EXCEPTION(EXC_PF) | SVM_EVENT_ERROR_CODE, EXC_AC, EXCEPTION(EXC_AC) | SVM_EVENT_ERROR_CODE },
	{ EXCEPTION(EXC_DF) | SVM_EVENT_ERROR_CODE, EXC_DB, EXCEPTION(EXC_DB) },
};

START_TEST(event_in_delivery)
{
	bool interrupt = exits[_i].vectoring == INTERRUPT, nmi = exits[_i].vectoring == NMI;

	if (nmi) {
		block.vcpu.nmi_pending = true;
		enter(SVM_EXIT_HLT);
	}
	if (interrupt)
		svm_ops.vcpu.inject(&block.vcpu, KEEL_INJECT_VALID | 0x41, 0);
	vectoring = exits[_i].vectoring;
	ck_assert_int_eq(enter(SVM_EXIT_EXCEPTION + exits[_i].vector), HV_EXIT_INTERRUPT);
	ck_assert(!svm_ops.vcpu.interruptible(&block.vcpu, false));
	/* The cell may want to hear of the next window all the same. */
	svm_ops.vcpu.window(&block.vcpu, true, 0);
	enter(SVM_EXIT_HLT);
	ck_assert_uint_eq(entered.event, exits[_i].event);
	ck_assert_int_eq(!!(entered.vintr & SVM_VINTR_IRQ), true);
	if (interrupt) {
		/* The processor takes it by itself, when it can. */
		ck_assert_uint_eq(entered.vintr >> SVM_VINTR_VECTOR_SHIFT & 0xff, 0x41);
		ck_assert(!(entered.intercept[SVM_EXIT_VINTR / 32] & 1u << SVM_EXIT_VINTR % 32));
		ck_assert_uint_eq(block.vcpu.poll, 0);
		vmcb.vintr &= ~SVM_VINTR_IRQ;
		enter(SVM_EXIT_HLT);
		ck_assert_uint_eq(block.vcpu.poll, 1);
	} else {
		ck_assert(intercepts(SVM_EXIT_VINTR));
		enter(SVM_EXIT_HLT);
	}
	ck_assert_uint_eq(entered.event, nmi ? NMI : 0);
}
END_TEST

/* A window that the cell waits for is not forgotten for the interrupt. */
START_TEST(window_waits)
{
	svm_ops.vcpu.window(&block.vcpu, true, 0);
	vectoring = INTERRUPT;
	enter(SVM_EXIT_EXCEPTION + EXC_DB);
	enter(SVM_EXIT_HLT);
	ck_assert_uint_eq(block.vcpu.poll, 0);
	vmcb.vintr &= ~SVM_VINTR_IRQ;
	enter(SVM_EXIT_HLT);
	ck_assert_uint_eq(block.vcpu.poll, 1);
}
END_TEST

/* SDM vol. 3, table 6-5, by what a cell or Keel raises. */
START_TEST(double_faults)
{
	static const struct {
		unsigned int first, second, result;	/* 0: shutdown */
	} pairs[] = {
		{ EXC_GP, EXC_GP, EXC_DF }, { EXC_GP, EXC_PF, EXC_PF }, { EXC_PF, EXC_GP, EXC_DF }, { EXC_PF, EXC_PF, EXC_DF },
		{ EXC_DE, EXC_NP, EXC_DF }, { EXC_TS, EXC_SS, EXC_DF }, { EXC_UD, EXC_GP, EXC_GP }, { EXC_GP, EXC_UD, EXC_UD },
		{ EXC_DB, EXC_PF, EXC_PF }, { EXC_DF, EXC_GP, 0 }, { EXC_DF, EXC_PF, 0 }, { EXC_DF, EXC_UD, EXC_UD },
	};

	vectoring = EXCEPTION(pairs[_i].first);
	enter(SVM_EXIT_NPF);
	ck_assert(svm_ops.vcpu.inject(&block.vcpu, INJECT(pairs[_i].second), 0) == !!pairs[_i].result);
	if (!pairs[_i].result)
		return;
	enter(SVM_EXIT_HLT);
	ck_assert_uint_eq(entered.event, EXCEPTION(pairs[_i].result) |
			  (pairs[_i].result == EXC_DF ? SVM_EVENT_ERROR_CODE : 0));
}
END_TEST

/* The handler's IRET is executed by itself. An interrupt of the host's before it finds the guest's own flags. */
START_TEST(nmi_behind_an_iret)
{
	block.vcpu.nmi_pending = true;
	enter(SVM_EXIT_HLT);
	ck_assert_uint_eq(entered.event, NMI);
	block.vcpu.nmi_pending = true;
	enter(SVM_EXIT_HLT);
	ck_assert_uint_eq(entered.event, 0);
	ck_assert_int_eq(enter(SVM_EXIT_IRET), HV_EXIT_NONE);
	ck_assert_int_eq(enter(SVM_EXIT_INTR), HV_EXIT_INTERRUPT);
	ck_assert(entered.rflags & RFLAGS_TF && !(entered.rflags & RFLAGS_IF));
	ck_assert_uint_eq(page.regs.rflags, RFLAGS_FIXED | RFLAGS_IF);
	ck_assert_int_eq(enter(SVM_EXIT_EXCEPTION + EXC_DB), HV_EXIT_NONE);
	ck_assert(entered.rflags & RFLAGS_TF && !(entered.rflags & RFLAGS_IF));
	ck_assert_uint_eq(vmcb.intercept[SVM_EXIT_EXCEPTION / 32], 1u << EXC_DB | 1u << EXC_AC | 1u << EXC_MC);
	ck_assert_uint_eq(vmcb.event, 0);
	enter(SVM_EXIT_HLT);
	ck_assert_uint_eq(entered.event, NMI);
	ck_assert(!block.vcpu.nmi_pending);
}
END_TEST

/*
 * An exception goes in before an NMI, and the processor has no window for that: it comes with the next exit, or when the
 * exception's handler ends at the latest. The IRET there is like any other instruction: NMIs were not blocked.
 */
START_TEST(nmi_behind_an_exception)
{
	svm_ops.vcpu.inject(&block.vcpu, INJECT(EXC_DB), 0);
	block.vcpu.nmi_pending = true;
	ck_assert_int_eq(enter(_i ? SVM_EXIT_IRET : SVM_EXIT_INTR), _i ? HV_EXIT_NONE : HV_EXIT_INTERRUPT);
	ck_assert_uint_eq(entered.event, EXCEPTION(EXC_DB));
	ck_assert(entered.intercept[SVM_EXIT_IRET / 32] >> SVM_EXIT_IRET % 32 & 1);
	ck_assert(block.vcpu.nmi_pending);
	enter(SVM_EXIT_HLT);
	ck_assert_uint_eq(entered.event, NMI);
	ck_assert(!(entered.rflags & RFLAGS_TF));
	ck_assert(!block.vcpu.nmi_pending);
	/* From here on they are. */
	ck_assert(intercepts(SVM_EXIT_IRET));
	ck_assert_int_eq(enter(SVM_EXIT_IRET), HV_EXIT_NONE);
	ck_assert_int_eq(enter(SVM_EXIT_EXCEPTION + EXC_DB), HV_EXIT_NONE);
	ck_assert(entered.rflags & RFLAGS_TF);
	ck_assert(!intercepts(SVM_EXIT_IRET));
}
END_TEST

/* The IRET's #AC and a machine check at it are seen to as ever, and NMIs stay blocked. */
START_TEST(iret_that_faults)
{
	unsigned int vector = _i ? EXC_MC : EXC_AC;

	block.vcpu.nmi_pending = true;
	enter(SVM_EXIT_HLT);
	block.vcpu.nmi_pending = true;
	enter(SVM_EXIT_IRET);
	ck_assert_int_eq(enter(SVM_EXIT_EXCEPTION + vector), _i ? HV_EXIT_MACHINE_CHECK : HV_EXIT_INTERRUPT);
	ck_assert_uint_eq(page.regs.rflags, RFLAGS_FIXED | RFLAGS_IF);
	enter(SVM_EXIT_HLT);
	ck_assert_uint_eq(entered.event, _i ? 0 : EXCEPTION(EXC_AC) | SVM_EVENT_ERROR_CODE);
	ck_assert(intercepts(SVM_EXIT_IRET) && block.vcpu.nmi_pending);
}
END_TEST

START_TEST(single_step)
{
	page.regs.rflags |= _i ? RFLAGS_TF | RFLAGS_RF : RFLAGS_RF;
	debugctl = 0;		/* as while a guest runs */
	enter(SVM_EXIT_HLT);
	vmcb.shadow = SVM_SHADOW;
	/* The trap comes before an interrupt does. */
	ck_assert_int_eq(svm_ops.vcpu.interruptible(&block.vcpu, true), !_i);
	svm_ops.vcpu.advance(&block.vcpu, RIP + 2);
	ck_assert_uint_eq(page.regs.rip, RIP + 2);
	ck_assert_uint_eq(page.regs.rflags, RFLAGS_FIXED | RFLAGS_IF | (_i ? RFLAGS_TF : 0));
	ck_assert_int_eq(svm_ops.vcpu.interruptible(&block.vcpu, false), !_i);
	/* Nor does an NMI. */
	block.vcpu.nmi_pending = true;
	enter(SVM_EXIT_WBINVD);
	ck_assert_uint_eq(entered.event, _i ? EXCEPTION(EXC_DB) : NMI);
	ck_assert_uint_eq(entered.dr6, DR6_RESET | (_i ? DR6_BS : 0));
	/* One of those that are completed below the seam. */
	enter(SVM_EXIT_HLT);
	ck_assert_uint_eq(entered.event, _i ? EXCEPTION(EXC_DB) : 0);
}
END_TEST

/* DR7 arms the guest's own addresses. */
START_TEST(breakpoints_of_a_cell)
{
	sregs.dr7 = DR7_RESET;
	ck_assert(svm_ops.vcpu.state_in(&cpu, &block.vcpu, HV_STATE_SREGS | HV_STATE_EVENTS, &sregs));
	ck_assert_uint_eq(debug_uses, 0);
	ck_assert_uint_eq(vmcb.intercept[SVM_EXIT_DR_FIRST / 32], 0x00ff00ff);
	sregs.dr7 = DR7_RESET | 1ull << _i;
	ck_assert(svm_ops.vcpu.state_in(&cpu, &block.vcpu, HV_STATE_SREGS | HV_STATE_EVENTS, &sregs));
	ck_assert_uint_eq(debug_uses, 1);
	ck_assert_uint_eq(vmcb.intercept[SVM_EXIT_DR_FIRST / 32], 0);
}
END_TEST

/* All that is out goes in again; of the VMCB what is Keel's stays. */
START_TEST(state_out_and_in)
{
	static struct keel_sregs first, second;
	static struct vmcb other;
	uint8_t *byte = (uint8_t *)&vmcb;

	srandom((unsigned int)_i + 1);
	for (unsigned int i = 0x400; i < sizeof(vmcb); i++)
		byte[i] = (uint8_t)random();
	vmcb.efer |= EFER_SVME;
	vmcb.rflags = _i & 1 ? RFLAGS_FIXED | RFLAGS_IF : RFLAGS_FIXED;
	vmcb.dr7 &= ~DR7_ENABLE;
	vmcb.shadow = _i >> 1 & 1;
	vmcb.event = _i & 4 ? EXCEPTION(EXC_PF) | SVM_EVENT_ERROR_CODE | 7ull << 32 : 0;
	vmcb.vintr = SVM_VINTR_MASKING | 5;
	if (_i & 8)
		svm_request(&vmcb, 0x41);
	block.nmi.blocked = _i & 1;
	page.regs.rflags = vmcb.rflags;
	svm_ops.vcpu.state_out(&block.vcpu, HV_STATE_ALL, &first);
	ck_assert_uint_eq(first.efer & EFER_SVME, 0);
	ck_assert_uint_eq(first.shadow, !(_i & 2) ? 0 : _i & 1 ? KEEL_SHADOW_STI : KEEL_SHADOW_MOV_SS);
	ck_assert_uint_eq(first.held, _i & 8 ? KEEL_INJECT_VALID | 0x41 : 0);
	ck_assert_uint_eq(first.tpr, 5);
	other = vmcb;
	memset((uint8_t *)&vmcb + 0x400, 0x77, 0x668 - 0x400);
	block.nmi.blocked = !block.nmi.blocked;
	vmcb.event = vmcb.shadow = 0;
	vmcb.vintr = SVM_VINTR_MASKING | SVM_VINTR_REQUEST;
	block.vcpu.last_cpu = &cpu;
	ck_assert(svm_ops.vcpu.state_in(&cpu, &block.vcpu, HV_STATE_ALL, &first));
	ck_assert_ptr_null(block.vcpu.last_cpu);
	ck_assert_uint_eq(vmcb.efer, other.efer);
	ck_assert_uint_eq(vmcb.event, other.event);
	ck_assert_uint_eq(vmcb.vintr, other.vintr);
	ck_assert_uint_eq(vmcb.shadow, other.shadow);
	ck_assert_uint_eq(vmcb.rflags, other.rflags);
	ck_assert_mem_eq(&vmcb.star, &other.star, offsetof(struct vmcb, reserved9) - offsetof(struct vmcb, star));
	ck_assert_int_eq(intercepts(SVM_EXIT_IRET), _i & 1);
	svm_ops.vcpu.state_out(&block.vcpu, HV_STATE_ALL, &second);
	ck_assert_mem_eq(&first, &second, sizeof(first));
}
END_TEST

/* An NMI whose delivery was broken off is one that is still to come, and blocks others when it goes in. */
START_TEST(state_with_an_nmi)
{
	block.vcpu.nmi_pending = true;
	vectoring = NMI | 7ull << 32;
	shadow_left = SVM_SHADOW;
	enter(SVM_EXIT_NPF);
	shadow_left = 0;
	ck_assert(block.nmi.blocked);
	ck_assert_uint_eq(vmcb.shadow, 0);
	svm_ops.vcpu.state_out(&block.vcpu, HV_STATE_EVENTS, &sregs);
	ck_assert_uint_eq(sregs.event, KEEL_INJECT_VALID | KEEL_EVENT_NMI | EXC_NMI);
	ck_assert_uint_eq(sregs.event_code, 0);
	ck_assert_uint_eq(sregs.nmi_blocked, 0);
	block.nmi.blocked = false;
	svm_intercept(&vmcb, SVM_EXIT_IRET, false);
	vmcb.event = 0;
	ck_assert(svm_ops.vcpu.state_in(&cpu, &block.vcpu, HV_STATE_EVENTS, &sregs));
	enter(SVM_EXIT_HLT);
	ck_assert_uint_eq(entered.event, NMI);
	ck_assert(block.nmi.blocked && intercepts(SVM_EXIT_IRET));
	svm_ops.vcpu.state_out(&block.vcpu, HV_STATE_EVENTS, &sregs);
	ck_assert(!sregs.event && sregs.nmi_blocked);
}
END_TEST

/*
 * While the guest runs no branches are recorded, and its XSAVES reaches no supervisor state.
 * Then they are the control domain's again.
 */
START_TEST(registers_come_back)
{
	svm_features.xsaves = _i;
	for (unsigned int i = 0; i < 2; i++) {
		svm_ops.vcpu.load(&cpu, &block.vcpu);
		ck_assert_uint_eq(debugctl, 0);
		ck_assert_uint_eq(xss, _i ? 0 : CONTROL_XSS);
		svm_ops.vcpu.put(&cpu, &block.vcpu);
		ck_assert_uint_eq(debugctl, CONTROL_DEBUGCTL);
		ck_assert_uint_eq(xss, CONTROL_XSS);
	}
}
END_TEST

/*
 * CPUID, and MSRs that Keel keeps, end nothing while nobody has a use for the CPU;
 * what is the cell's, another ring's or nobody's is told.
 */
static const struct {
	struct at_once access;
	uint8_t cpl;
} at_once[] = {
	{ { LEAF, 3, false, false, true }, 0 },
	{ { LEAF, 3, false, false, true }, 3 },
	{ { 0, KEPT_MSR, true, false, true }, 0 },
	{ { 0, KEPT_MSR, true, false, false }, 3 },
	{ { 0, KEPT_MSR, true, true, false }, 0 },
	{ { 0, KEPT_MSR + 1, true, false, false }, 0 },
	{ { 0, MSR_X2APIC_FIRST, true, false, false }, 0 },
};

static enum hv_exit_reason enter_at_once(int i)
{
	const struct at_once *access = &at_once[i].access;

	vmcb.cpl = at_once[i].cpl;
	vmcb.exit_info1 = access->write;
	at_once_begin(access, 3);
	return enter(access->msr ? SVM_EXIT_MSR : SVM_EXIT_CPUID);
}

START_TEST(answers_at_once)
{
	svm_features.nrips = false;
	block.vcpu.due = UINT64_MAX;
	page.regs.rflags |= RFLAGS_RF;
	at_once_check(&at_once[_i].access, enter_at_once(_i), 2);
}
END_TEST

/* The cell, a deadline or the end of the stay, or another CPU that has changed the guest's table. */
START_TEST(answers_until_asked)
{
	block.vcpu.due = _i == 1 ? 0 : UINT64_MAX;
	block.vcpu.poll = _i == 0;
	taken_away = _i == 2;
	at_once_check_asked(enter_at_once(0), 2);
}
END_TEST

/* An NMI that waits goes in before an interrupt, unless another one blocks it. */
START_TEST(nmi_before_an_interrupt)
{
	vmcb.rflags = RFLAGS_FIXED | RFLAGS_IF;
	for (unsigned int after = 0; after < 2; after++) {
		block.vcpu.nmi_pending = block.nmi.blocked = false;
		ck_assert(svm_ops.vcpu.interruptible(&block.vcpu, after));
		block.vcpu.nmi_pending = true;
		ck_assert(!svm_ops.vcpu.interruptible(&block.vcpu, after));
		block.nmi.blocked = true;
		ck_assert(svm_ops.vcpu.interruptible(&block.vcpu, after));
	}
}
END_TEST

/* An instruction that the cell carries out ends nothing, if its answer asks for nothing that is to be seen to above. */
static const struct {
	uint64_t code;
	enum keel_exit_kind kind;
} cells_exits[] = {
	{ SVM_EXIT_IOIO, KEEL_EXIT_IO }, { SVM_EXIT_NPF, KEEL_EXIT_MMIO }, { SVM_EXIT_MSR, KEEL_EXIT_RDMSR },
};

START_TEST(answers_by_cell)
{
	const struct by_cell *by = &by_cell[_i / ARRAY_SIZE(cells_exits)];
	unsigned int kind = _i % ARRAY_SIZE(cells_exits);
	enum hv_exit_reason told;

	by_cell_begin(by, 2);
	told = enter(cells_exits[kind].code);
	by_cell_check(by, told, cells_exits[kind].kind, 2);
	ck_assert_uint_eq(entered.event, by->goes_on && by->answer.inject ? INTERRUPT : 0);
}
END_TEST

/* A write of CR4 exits where decode assists say from where: what the guest is not shown it cannot set. */
static const struct {
	uint64_t efer, cr3, before, value;
	bool code64, good;
} cr4_writes[] = {
	{ EFER_LMA, 0, CR4_PAE, CR4_PAE | CR4_PGE | CR4_SMEP, true, true },
	{ EFER_LMA, 0, CR4_PAE | CR4_PGE, CR4_PAE, true, true },
	{ EFER_LMA, 0, CR4_PAE, CR4_PAE, true, true },
	{ EFER_LMA, 0, CR4_PAE, CR4_PAE | CR4_CET, true, false },
	{ EFER_LMA, 0, CR4_PAE, CR4_PAE | CR4_LA57, true, false },
	{ EFER_LMA, 0, CR4_PAE, CR4_PAE | CR4_VMXE, true, false },
	{ EFER_LMA, 0, CR4_PAE, CR4_PAE | CR4_SMAP, true, false },	/* a processor without it */
	{ EFER_LMA, 0, CR4_PAE, CR4_PAE | 1ull << 32, true, false },
	{ EFER_LMA, 0, CR4_PAE, CR4_PAE | 1ull << 32, false, true },	/* compatibility mode: 32 bits are read */
	{ 0, 0, 0, CR4_PSE | 1ull << 40, false, true },
	{ EFER_LMA, 0, CR4_PAE, 0, true, false },
	{ 0, 0, CR4_PAE, 0, false, true },
	{ EFER_LMA, 0x1000, CR4_PAE, CR4_PAE | CR4_PCIDE, true, true },
	{ EFER_LMA, 0x1001, CR4_PAE, CR4_PAE | CR4_PCIDE, true, false },
	{ EFER_LMA, 0x1001, CR4_PAE | CR4_PCIDE, CR4_PAE | CR4_PCIDE | CR4_PGE, true, true },
	{ EFER_LMA, 0x1001, CR4_PAE | CR4_PCIDE, CR4_PAE, true, true },
	{ 0, 0, CR4_PAE, CR4_PAE | CR4_PCIDE, false, false },
};

START_TEST(writes_of_cr4)
{
	uint64_t value = cr4_writes[_i].code64 ? cr4_writes[_i].value : (uint32_t)cr4_writes[_i].value;

	block.cr4 = SHOWN_CR4;
	vmcb.efer = EFER_SVME | cr4_writes[_i].efer;
	vmcb.seg[KEEL_SEG_CS].attributes = cr4_writes[_i].code64 ? SVM_SEGMENT_LONG : 0;
	vmcb.cr3 = cr4_writes[_i].cr3;
	vmcb.cr4 = cr4_writes[_i].before;
	vmcb.shadow = SVM_SHADOW;
	vmcb.exit_info1 = 1ull << 63 | KEEL_R9;
	vmcb.next_rip = RIP + 4;
	page.regs.gpr[KEEL_R9] = cr4_writes[_i].value;
	block.vcpu.last_cpu = &cpu;
	block.asid_generation = svm.asid_generation;
	ck_assert_int_eq(enter(SVM_EXIT_CR4_WRITE), HV_EXIT_NONE);
	if (!cr4_writes[_i].good) {
		ck_assert_uint_eq(vmcb.cr4, cr4_writes[_i].before);
		ck_assert_uint_eq(page.regs.rip, RIP);
		ck_assert_uint_eq(vmcb.event, EXCEPTION(EXC_GP) | SVM_EVENT_ERROR_CODE);
		return;
	}
	ck_assert_uint_eq(vmcb.cr4, value);
	ck_assert_uint_eq(page.regs.rip, RIP + 4);
	ck_assert_uint_eq(vmcb.shadow, 0);
	ck_assert_uint_eq(vmcb.event, 0);
	/* Translations of before are used no more. */
	ck_assert_int_eq(block.vcpu.last_cpu == NULL, value != cr4_writes[_i].before);
}
END_TEST

static _Alignas(4096) uint8_t arena[16 * 4096];

START_TEST(cr4_exits)
{
	struct vcpu_svm *made = (struct vcpu_svm *)(void *)(arena + 4096);

	memory_test_arena = arena;
	made->vcpu.vm = &vm;
	svm_features.decode = _i;
	svm_ops.vcpu.init(&made->vcpu);
	ck_assert_int_eq(made->vmcb->intercept[0] >> SVM_EXIT_CR4_WRITE & 1, _i);
	ck_assert_uint_eq(made->cr4, SHOWN_CR4);
}
END_TEST

SUITE("svm_guest", tests)
{
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_loop_test(tests, event_in_delivery, 0, 7);
	tcase_add_test(tests, window_waits);
	tcase_add_loop_test(tests, double_faults, 0, 12);
	tcase_add_test(tests, nmi_behind_an_iret);
	tcase_add_loop_test(tests, nmi_behind_an_exception, 0, 2);
	tcase_add_loop_test(tests, iret_that_faults, 0, 2);
	tcase_add_loop_test(tests, single_step, 0, 2);
	tcase_add_loop_test(tests, breakpoints_of_a_cell, 0, 8);
	tcase_add_loop_test(tests, state_out_and_in, 0, 16);
	tcase_add_test(tests, state_with_an_nmi);
	tcase_add_loop_test(tests, registers_come_back, 0, 2);
	tcase_add_loop_test(tests, answers_at_once, 0, ARRAY_SIZE(at_once));
	tcase_add_loop_test(tests, answers_until_asked, 0, 3);
	tcase_add_test(tests, nmi_before_an_interrupt);
	tcase_add_loop_test(tests, answers_by_cell, 0, BY_CELL_CASES * ARRAY_SIZE(cells_exits));
	tcase_add_loop_test(tests, writes_of_cr4, 0, ARRAY_SIZE(cr4_writes));
	tcase_add_loop_test(tests, cr4_exits, 0, 2);
}
