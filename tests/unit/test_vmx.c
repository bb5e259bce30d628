/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The VMX side without a processor: the VMCS is a table, and vmx_enter() plays the guest. What no emulator shows is here:
 * INITs, entries that fail, events on the way.
 */
#include <check.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <keel/macros.h>

#include "apic.h"
#include "console.h"
#include "control.h"
#include "control_msr.h"
#include "cpu.h"
#include "cpuid.h"
#include "guest_rig.h"
#include "guest_state.h"
#include "image.h"
#include "memory.h"
#include "mtrr.h"
#include "msr.h"
#include "suite.h"
#include "trap.h"
#include "vm.h"
#include "vmx.h"

#define FIELDS		0x7000u		/* every encoding is below */
#define APIC_ID		9u
#define SPLIT_LOCK	(1u << 29)
#define LENGTH		3u
#define EVENT_INT_N	(EVENT_VALID | EVENT_SOFTWARE_INT | 0x80)

struct page_table control_table;
const uint8_t vmx_exit[1];

static uint64_t vmcs[FIELDS];
static struct vmx_cpu vmx;
static struct vcpu_vmx block;
static uint32_t apic[PAGE_SIZE / sizeof(uint32_t)];
static struct keel_exit control_record;

/* The guest: what the next entry ends with; what the last one found. */
static uint32_t reason, next_reason, vectoring, vectoring_error, instruction_error;
static uint64_t qualification;
static unsigned int entries, entered_event, entered_error;
static bool entered_window;

static uint64_t test_ctrl;
static unsigned int raised_again;
static unsigned int xcr0_tried;
static bool xcr0_refused, called_off;
static unsigned int nmis_unblocked;
static jmp_buf panicked;
static const char *panic_text, *printed;

uint64_t vmread(enum vmcs_field field)
{
	ck_assert_uint_lt(field, FIELDS);
	return vmcs[field];
}

void vmwrite(enum vmcs_field field, uint64_t value)
{
	ck_assert_uint_lt(field, FIELDS);
	vmcs[field] = value;
}

bool guest_state_pdptes_ok(const uint64_t pdpte[4])
{
	return pdpte != NULL;
}

uint64_t cpuid_guest_cr4(void)
{
	return CR4_CLASSIC;
}

enum vmx_entry vmx_enter(struct keel_regs *regs, bool launched)
{
	(void)regs;
	if (called_off)
		return VMX_ENTRY_NMI;
	if (instruction_error) {
		vmcs[VMCS_INSTRUCTION_ERROR] = instruction_error;
		return VMX_ENTRY_FAILED;
	}
	ck_assert_int_eq(launched, entries != 0);
	entries++;
	entered_event = (uint32_t)vmcs[VMCS_ENTRY_EVENT];
	entered_error = (uint32_t)vmcs[VMCS_ENTRY_ERROR_CODE];
	entered_window = vmcs[VMCS_PRIMARY_CONTROLS] & PRIMARY_NMI_WINDOW;
	if (!(reason & VMX_EXIT_ENTRY_FAILED))
		vmcs[VMCS_ENTRY_EVENT] = 0;
	vmcs[VMCS_EXIT_REASON] = guest_rig_halts() ? VMX_EXIT_HLT : reason;
	vmcs[VMCS_EXIT_QUALIFICATION] = qualification;
	vmcs[VMCS_EXIT_LENGTH] = LENGTH;
	vmcs[VMCS_IDT_EVENT] = vectoring;
	vmcs[VMCS_IDT_ERROR_CODE] = vectoring_error;
	if (next_reason)
		reason = next_reason;
	next_reason = 0;
	return VMX_ENTRY_EXIT;
}

/* The guest's, which are in the processor while it is loaded. */
static const uint32_t guest_msrs[] = { MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE };
static uint64_t guest_msr[ARRAY_SIZE(guest_msrs)];

static uint64_t *msr_place(uint32_t msr)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(guest_msrs); i++)
		if (guest_msrs[i] == msr)
			return &guest_msr[i];
	ck_assert_uint_eq(msr, MSR_TEST_CTRL);
	return &test_ctrl;
}

uint64_t rdmsr(uint32_t msr)
{
	return *msr_place(msr);
}

void wrmsr(uint32_t msr, uint64_t value)
{
	*msr_place(msr) = value;
}

bool xsetbv_safe(uint64_t value)
{
	(void)value;
	xcr0_tried++;
	return !xcr0_refused;
}

void panic(const char *message)
{
	panic_text = message;
	longjmp(panicked, 1);
}

void print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (!strcmp(format, "Keel: VM %u, vCPU %u: %s\n")) {
		ck_assert_uint_eq(va_arg(arguments, unsigned int), vm.id);
		ck_assert_uint_eq(va_arg(arguments, unsigned int), block.vcpu.index);
		printed = va_arg(arguments, const char *);
	}
	va_end(arguments);
}

void mtrr_read(struct mtrr *mtrr)
{
	(void)mtrr;
}

enum pt_caching mtrr_caching(const struct mtrr *mtrr, uint64_t hpa, uint64_t bytes)
{
	(void)mtrr;
	(void)hpa;
	(void)bytes;
	return PT_CACHED;
}

uint64_t trap_idt(void)
{
	return 0;
}

void apic_raise_again(uint32_t self, uint8_t vector)
{
	ck_assert_uint_eq(self, APIC_ID);
	raised_again = vector;
}

void cpu_unblock_nmi(void)
{
	nmis_unblocked++;
}

void trap_reload(struct cpu *c)
{
	(void)c;
}

/*
 * INVEPT and INVVPID, which do not exist here: the handler notes them and goes on behind them. Their operand is on the stack, at
 * a place that a base register and a displacement give.
 */
static struct {
	unsigned int count;
	uint64_t type, context;
} invept, invvpid;

static void undefined(int signal_number, siginfo_t *info, void *context)
{
	static const int registers[] = {
		REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
		REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
	};
	greg_t *gregs = ((ucontext_t *)context)->uc_mcontext.gregs;
	const uint8_t *at = (const uint8_t *)gregs[REG_RIP];
	unsigned int rex = 0, base;
	int64_t displacement = 0;
	uint8_t opcode, modrm;

	(void)signal_number;
	(void)info;
	if (*at++ != 0x66)
		abort();
	if ((*at & 0xf0) == 0x40)
		rex = *at++;
	if (at[0] != 0x0f || at[1] != 0x38 || (at[2] != 0x80 && at[2] != 0x81))
		abort();
	opcode = at[2];
	modrm = at[3];
	at += 4;
	base = (modrm & 7) | (rex & 1) << 3;
	if ((modrm & 7) == 4)		/* SIB, without an index */
		base = (*at++ & 7) | (rex & 1) << 3;
	if (modrm >> 6 == 1) {
		displacement = (int8_t)*at++;
	} else if (modrm >> 6 == 2) {
		displacement = (int32_t)(at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24);
		at += 4;
	} else if (modrm >> 6 == 3 || (modrm & 7) == 5) {
		abort();
	}
	if (opcode == 0x80) {
		invept.count++;
		invept.type = (uint64_t)gregs[registers[(modrm >> 3 & 7) | (rex & 4) << 1]];
		memcpy(&invept.context, (const void *)(gregs[registers[base]] + displacement), sizeof(invept.context));
	} else {
		invvpid.count++;
		invvpid.type = (uint64_t)gregs[registers[(modrm >> 3 & 7) | (rex & 4) << 1]];
		memcpy(&invvpid.context, (const void *)(gregs[registers[base]] + displacement), sizeof(invvpid.context));
	}
	gregs[REG_RIP] = (greg_t)(uintptr_t)at;
	gregs[REG_EFL] &= ~(greg_t)0x41;	/* CF and ZF: it has not failed */
}

static void invalidations_are_seen(void)
{
	const struct sigaction action = { .sa_sigaction = undefined, .sa_flags = SA_SIGINFO };

	ck_assert_int_eq(sigaction(SIGILL, &action, NULL), 0);
	memset(&invept, 0, sizeof(invept));
	memset(&invvpid, 0, sizeof(invvpid));
}

static void set_up(void)
{
	memset(vmcs, 0, sizeof(vmcs));
	memset(&vmx, 0, sizeof(vmx));
	/* As vmx_control_init() leaves it. */
	vmx.table = &control_table;
	vmx.control.writes_back = true;
	memset(&block, 0, sizeof(block));
	guest_rig_start(&block.vcpu);
	memset(apic, 0, sizeof(apic));
	memset(&vmx_features, 0, sizeof(vmx_features));
	cpu.vendor = &vmx;
	cpu.apic_id = APIC_ID;
	raised_again = 0;
	block.apic = (uint8_t *)apic;
	block.vcpu.last_cpu = &cpu;
	block.vcpu.deadline = UINT64_MAX;
	vmcs[VMCS_GUEST_CR0] = CR0_PE;
	cpu.control.rip = RIP;
	reason = VMX_EXIT_HLT;
	next_reason = 0;
	vectoring = vectoring_error = instruction_error = 0;
	qualification = 0;
	entries = 0;
	panic_text = printed = NULL;
	called_off = false;
	nmis_unblocked = 0;
}

static enum hv_exit_reason control(void)
{
	ended.record = &control_record;
	vmx_ops.control.enter(&cpu, &ended);
	return ended.reason;
}

const struct hv_ops *hv = &vmx_ops;

uint64_t read_cr2(void)
{
	return 0;
}

void write_cr2(uint64_t value)
{
	ck_assert_uint_eq(value, 0);
}

static enum hv_exit_reason guest(void)
{
	return guest_rig_enter(vmx_ops.vcpu.enter);
}

START_TEST(plain_exit)
{
	/* Stale, for no event can be on its way at such an exit. */
	vectoring = EVENT_VALID | EVENT_INTERRUPT | 0x41;
	ck_assert_int_eq(guest(), HV_EXIT_HLT);
	ck_assert_uint_eq(ended.record->next_rip, RIP + LENGTH);
	ck_assert_uint_eq(page.regs.rip, RIP);
	ck_assert_int_eq(guest(), HV_EXIT_HLT);
	ck_assert_uint_eq(entered_event, 0);
	reason = VMX_EXIT_PAUSE;
	ck_assert_int_eq(guest(), HV_EXIT_PAUSE);
	ck_assert_uint_eq(ended.record->next_rip, RIP + LENGTH);
}
END_TEST

/* From hardware: what it means for this processor is decided above. */
START_TEST(init_exits)
{
	reason = VMX_EXIT_INIT;
	ck_assert_int_eq(control(), HV_EXIT_INIT);
	ck_assert_uint_eq(entries, 1);
	entries = 0;
	ck_assert_int_eq(guest(), HV_EXIT_INIT);
	ck_assert_uint_eq(entries, 1);
	ck_assert_uint_eq(cpu.request, 0);
}
END_TEST

#define EPTP		0x12345018u

/*
 * What a CPU knows of the control domain's memory is dropped before the entry, and not by INVVPID, which leaves guest-physical
 * mappings (SDM vol. 3, 29.4.3.1). Once: the next entry finds nothing to do.
 */
START_TEST(flush_of_the_control_domain)
{
	invalidations_are_seen();
	vmx_features.ept_vpid = VMX_EPT_INVEPT | VMX_VPID_INVVPID | (_i ? VMX_EPT_INVEPT_SINGLE : VMX_EPT_INVEPT_ALL);
	vmx.eptp = EPTP;
	control();
	ck_assert_uint_eq(invept.count, 0);
	vmx_ops.control.flush(&cpu);
	ck_assert_uint_eq(invept.count, 0);
	/* A guest's run in between does not count for it. */
	entries = 0;
	guest();
	ck_assert_uint_eq(invept.count, 0);
	control();
	ck_assert_uint_eq(invept.count, 1);
	ck_assert_uint_eq(invept.type, _i ? 1 : 2);
	if (_i)
		ck_assert_uint_eq(invept.context, EPTP);
	control();
	ck_assert_uint_eq(invept.count, 1);
}
END_TEST

/* The event that an exit broke off goes in again, once. */
START_TEST(event_goes_in_again)
{
	static const struct {
		uint32_t vectoring, error, cr0, event, error_in;
	} cases[] = {
		{ EVENT_VALID | EVENT_INTERRUPT | 0x41, 0, CR0_PE, EVENT_VALID | EVENT_INTERRUPT | 0x41, 0 },
		{ EVENT_VALID | EVENT_NMI | 2, 0, CR0_PE, EVENT_VALID | EVENT_NMI | 2, 0 },
		{ EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_CODE | 14, 6, CR0_PE,
		  EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_CODE | 14, 6 },
		/* In real mode there is no error code (27.2.1.3). */
		{ EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_CODE | 13, 6, 0, EVENT_VALID | EVENT_EXCEPTION | 13, 0 },
		{ EVENT_INT_N, 0, CR0_PE, 0, 0 },
		{ EVENT_VALID | EVENT_PRIVILEGED | 1, 0, CR0_PE, 0, 0 },
		{ EVENT_VALID | 6u << 8 | 3, 0, CR0_PE, 0, 0 },
		{ EVENT_INTERRUPT | 0x41, 0, CR0_PE, 0, 0 },
	};

	vmcs[VMCS_GUEST_CR0] = cases[_i].cr0;
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = SHADOW_NMI | SHADOW_STI;
	reason = VMX_EXIT_EPT_VIOLATION;
	vectoring = cases[_i].vectoring;
	vectoring_error = cases[_i].error;
	ck_assert_int_eq(guest(), HV_EXIT_NONE);
	ck_assert_uint_eq(page.exit.kind, KEEL_EXIT_MMIO);
	/* An NMI whose delivery did not come to its end blocks no other; some processors take none in the shadow of STI. */
	ck_assert_uint_eq(vmcs[VMCS_GUEST_INTERRUPTIBILITY],
			  (cases[_i].vectoring & EVENT_TYPE) == EVENT_NMI ? 0 : SHADOW_NMI | SHADOW_STI);
	reason = VMX_EXIT_HLT;
	vectoring = 0;
	guest();
	ck_assert_uint_eq(entered_event, cases[_i].event);
	if (cases[_i].event & EVENT_ERROR_CODE)
		ck_assert_uint_eq(entered_error, cases[_i].error_in);
	guest();
	ck_assert_uint_eq(entered_event, 0);
}
END_TEST

/* An NMI of the control domain's waits for the end of a shadow, of another NMI and of another event. */
START_TEST(nmi_waits)
{
	static const uint32_t shadows[] = { 0, SHADOW_STI, SHADOW_MOV_SS, SHADOW_NMI };

	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = shadows[_i % 4];
	if (_i >= 4)
		vmx_ops.control.inject(&cpu, KEEL_INJECT_VALID | KEEL_INJECT_INTERRUPT | 0x30, 0);
	vmx_ops.control.inject_nmi(&cpu);
	control();
	ck_assert_int_eq(entered_window, _i != 0);
	ck_assert_uint_eq(entered_event, _i >= 4 ? EVENT_VALID | EVENT_INTERRUPT | 0x30 :
			  _i ? 0 : EVENT_VALID | EVENT_NMI | 2);
	/* Of STI's shadow a window may take no notice. */
	ck_assert_uint_eq(vmcs[VMCS_GUEST_INTERRUPTIBILITY], _i == 1 ? SHADOW_MOV_SS : shadows[_i % 4]);
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = 0;
	control();
	ck_assert_uint_eq(entered_event, _i ? EVENT_VALID | EVENT_NMI | 2 : 0);
	ck_assert(!entered_window);
	control();
	ck_assert_uint_eq(entered_event, 0);
}
END_TEST

/* One that is forgotten while it waits, by INIT, leaves no window that would end every entry. */
START_TEST(nmi_forgotten)
{
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = SHADOW_NMI;
	if (_i) {
		block.vcpu.nmi_pending = true;
		guest();
	} else {
		vmx_ops.control.inject_nmi(&cpu);
		control();
	}
	ck_assert(entered_window);
	block.vcpu.nmi_pending = vmx.nmi_pending = false;
	if (_i)
		guest();
	else
		control();
	ck_assert(!entered_window && !entered_event);
}
END_TEST

/* An NMI that was taken in Keel on the way calls an entry off; what was to go in goes in later, once. */
START_TEST(nmi_before_entry)
{
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = 0;
	if (_i)
		vmx_ops.vcpu.inject(&block.vcpu, KEEL_INJECT_VALID | KEEL_INJECT_INTERRUPT | 0x41, 0);
	else
		vmx_ops.control.inject(&cpu, KEEL_INJECT_VALID | KEEL_INJECT_INTERRUPT | 0x41, 0);
	called_off = true;
	ck_assert_int_eq(_i ? guest() : control(), HV_EXIT_NMI);
	ck_assert_uint_eq(entries, 0);
	ck_assert_uint_eq(vmcs[VMCS_ENTRY_EVENT], 0);
	called_off = false;
	ck_assert_int_eq(_i ? guest() : control(), HV_EXIT_HLT);
	ck_assert_uint_eq(entered_event, EVENT_VALID | EVENT_INTERRUPT | 0x41);
	ck_assert_int_eq(_i ? guest() : control(), HV_EXIT_HLT);
	ck_assert_uint_eq(entered_event, 0);
}
END_TEST

/* The exit by an NMI blocks the next one (28.3.3), whether or not the entry behind it changes that. */
START_TEST(nmi_exits)
{
	reason = VMX_EXIT_EXCEPTION;
	vmcs[VMCS_EXIT_EVENT] = EVENT_VALID | EVENT_NMI | 2;
	ck_assert_int_eq(_i ? guest() : control(), HV_EXIT_NMI);
	ck_assert_uint_eq(nmis_unblocked, 1);
}
END_TEST

/* An IRET that faulted has unblocked NMIs, which it must not. */
START_TEST(iret_that_faults)
{
	reason = VMX_EXIT_EPT_VIOLATION;
	qualification = QUAL_EPT_NMI_UNBLOCKED;
	vectoring = _i ? EVENT_VALID | EVENT_INTERRUPT | 0x41 : 0;
	guest();
	ck_assert_uint_eq(vmcs[VMCS_GUEST_INTERRUPTIBILITY], _i ? 0 : SHADOW_NMI);
}
END_TEST

/* 27.3.1.5: with TF in a shadow, the entry fails if no single step is pending. INT1 ends the shadow like any instruction. */
START_TEST(debug_in_a_shadow)
{
	static const struct {
		uint32_t type, shadow, rflags, shadow_after, pending;
	} cases[] = {
		{ EVENT_PRIVILEGED, SHADOW_MOV_SS, RFLAGS_TF, 0, 0 },
		{ EVENT_PRIVILEGED, SHADOW_STI | SHADOW_NMI, RFLAGS_TF, SHADOW_NMI, 0 },
		{ EVENT_EXCEPTION, SHADOW_MOV_SS, RFLAGS_TF, SHADOW_MOV_SS, PENDING_SINGLE_STEP },
		{ EVENT_EXCEPTION, SHADOW_STI, RFLAGS_TF, SHADOW_STI, PENDING_SINGLE_STEP },
		{ EVENT_EXCEPTION, SHADOW_STI, 0, SHADOW_STI, 0 },
		{ EVENT_EXCEPTION, 0, RFLAGS_TF, 0, 0 },
	};

	reason = VMX_EXIT_EXCEPTION;
	vmcs[VMCS_EXIT_EVENT] = EVENT_VALID | cases[_i].type | EXC_DB;
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = cases[_i].shadow;
	page.regs.rflags = cases[_i].rflags;
	ck_assert_int_eq(guest(), HV_EXIT_INTERRUPT);
	ck_assert_uint_eq(vmcs[VMCS_GUEST_INTERRUPTIBILITY], cases[_i].shadow_after);
	ck_assert_uint_eq(vmcs[VMCS_GUEST_PENDING_DEBUG], cases[_i].pending);
	ck_assert_uint_eq(page.regs.rip, cases[_i].type == EVENT_PRIVILEGED ? RIP + LENGTH : RIP);
	reason = VMX_EXIT_HLT;
	guest();
	ck_assert_uint_eq(entered_event, EVENT_VALID | EVENT_EXCEPTION | EXC_DB);
}
END_TEST

/* An exception exits while an event is on its way in: both come. */
START_TEST(event_in_delivery)
{
	static const uint32_t events[] = {
		EVENT_VALID | EVENT_INTERRUPT | 0x41, EVENT_VALID | EVENT_NMI | 2,
		EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_CODE | EXC_PF,
	};
	bool interrupt = _i == 0;

	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = _i == 1 ? SHADOW_NMI : 0;
	page.regs.rflags = RFLAGS_IF;
	reason = VMX_EXIT_EXCEPTION;
	vmcs[VMCS_EXIT_EVENT] = EVENT_VALID | EVENT_EXCEPTION | EXC_DB;
	vectoring = events[_i];
	ck_assert_int_eq(guest(), HV_EXIT_INTERRUPT);
	ck_assert(!vmx_ops.vcpu.interruptible(&block.vcpu, false));
	vectoring = 0;
	/* Its handler runs with interrupts off. */
	page.regs.rflags = 0;
	reason = VMX_EXIT_HLT;
	guest();
	ck_assert_uint_eq(entered_event, EVENT_VALID | EVENT_EXCEPTION | EXC_DB);
	ck_assert_int_eq(!!(vmcs[VMCS_PRIMARY_CONTROLS] & PRIMARY_INTERRUPT_WINDOW), interrupt);
	if (_i == 1) {
		guest();
		ck_assert_uint_eq(entered_event, events[_i]);
		return;
	}
	guest();
	ck_assert_uint_eq(entered_event, 0);
	/* At its end the interrupt goes in; the cell has not asked for that window. */
	reason = VMX_EXIT_INTERRUPT_WINDOW;
	page.regs.rflags = RFLAGS_IF;
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = interrupt ? SHADOW_STI : 0;
	ck_assert_int_eq(guest(), interrupt ? HV_EXIT_NONE : HV_EXIT_WINDOW);
	ck_assert_uint_eq(entered_event, 0);
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = 0;
	reason = VMX_EXIT_HLT;
	guest();
	ck_assert_uint_eq(entered_event, interrupt ? events[_i] : 0);
	ck_assert(!(vmcs[VMCS_PRIMARY_CONTROLS] & PRIMARY_INTERRUPT_WINDOW));
	guest();
	ck_assert_uint_eq(entered_event, 0);
	ck_assert(vmx_ops.vcpu.interruptible(&block.vcpu, false));
}
END_TEST

/* One that the cell has asked for stays open behind the interrupt. */
START_TEST(window_waits)
{
	vmx_ops.vcpu.window(&block.vcpu, true, 0);
	page.regs.rflags = RFLAGS_IF;
	reason = VMX_EXIT_EXCEPTION;
	vmcs[VMCS_EXIT_EVENT] = EVENT_VALID | EVENT_EXCEPTION | EXC_DB;
	vectoring = EVENT_VALID | EVENT_INTERRUPT | 0x41;
	guest();
	reason = VMX_EXIT_HLT;
	vectoring = 0;
	guest();
	guest();
	ck_assert_uint_eq(entered_event, EVENT_VALID | EVENT_INTERRUPT | 0x41);
	ck_assert(vmcs[VMCS_PRIMARY_CONTROLS] & PRIMARY_INTERRUPT_WINDOW);
	reason = VMX_EXIT_INTERRUPT_WINDOW;
	ck_assert_int_eq(guest(), HV_EXIT_WINDOW);
}
END_TEST

/* SDM vol. 3, table 6-5, by what a cell or Keel raises. */
START_TEST(double_faults)
{
	static const struct {
		unsigned int first, second, result;	/* 0: shutdown */
	} pairs[] = {
		{ EXC_GP, EXC_GP, EXC_DF }, { EXC_GP, EXC_PF, EXC_PF }, { EXC_PF, EXC_GP, EXC_DF }, { EXC_PF, EXC_PF, EXC_DF },
		{ EXC_UD, EXC_GP, EXC_GP }, { EXC_GP, EXC_UD, EXC_UD }, { EXC_DF, EXC_GP, 0 }, { EXC_DF, EXC_UD, EXC_UD },
	};

	reason = VMX_EXIT_EPT_VIOLATION;
	vectoring = EVENT_VALID | EVENT_EXCEPTION | pairs[_i].first;
	guest();
	ck_assert(vmx_ops.vcpu.inject(&block.vcpu, KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | pairs[_i].second, 0) ==
		  !!pairs[_i].result);
	if (!pairs[_i].result)
		return;
	reason = VMX_EXIT_HLT;
	vectoring = 0;
	guest();
	ck_assert_uint_eq(entered_event, EVENT_VALID | EVENT_EXCEPTION | pairs[_i].result |
			  (pairs[_i].result == EXC_DF ? EVENT_ERROR_CODE : 0));
}
END_TEST

/*
 * An instruction that Keel or the cell completes ends its shadow, its RF, and has its trap, before an interrupt or an NMI comes.
 */
START_TEST(single_step)
{
	bool trap = _i == 1;

	vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_IF | RFLAGS_RF | (_i ? RFLAGS_TF : 0);
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = SHADOW_STI;
	vmcs[VMCS_GUEST_DEBUGCTL] = _i == 2 ? DEBUGCTL_BTF : 0;
	page.regs.rflags = vmcs[VMCS_GUEST_RFLAGS];
	ck_assert_int_eq(vmx_ops.vcpu.interruptible(&block.vcpu, true), !_i);
	vmx_ops.vcpu.advance(&block.vcpu, RIP + LENGTH);
	ck_assert_uint_eq(page.regs.rip, RIP + LENGTH);
	ck_assert_uint_eq(vmcs[VMCS_GUEST_INTERRUPTIBILITY], 0);
	ck_assert_uint_eq(page.regs.rflags, RFLAGS_IF | (_i ? RFLAGS_TF : 0));
	ck_assert_uint_eq(vmcs[VMCS_GUEST_RFLAGS], page.regs.rflags);
	ck_assert_uint_eq(vmcs[VMCS_GUEST_PENDING_DEBUG], trap ? PENDING_SINGLE_STEP : 0);
	ck_assert_int_eq(vmx_ops.vcpu.interruptible(&block.vcpu, false), !trap);
	block.vcpu.nmi_pending = true;
	guest();
	ck_assert_uint_eq(entered_event, trap ? 0 : EVENT_VALID | EVENT_NMI | 2);
	ck_assert_int_eq(entered_window, trap);
}
END_TEST

/* The control domain's hypercall: the interrupt in which it ended comes behind the trap, by the local APIC. */
START_TEST(single_step_of_a_call)
{
	vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_IF | (_i ? RFLAGS_TF : 0);
	vmx_ops.control.advance(&cpu, RIP + LENGTH);
	vmx_ops.control.inject(&cpu, KEEL_INJECT_VALID | 0x41, 0);
	control();
	ck_assert_uint_eq(entered_event, _i ? 0 : EVENT_VALID | EVENT_INTERRUPT | 0x41);
	ck_assert_uint_eq(raised_again, _i ? 0x41 : 0);
	raised_again = 0;
	control();
	ck_assert_uint_eq(raised_again, 0);
}
END_TEST

/* Instructions that are not offered and exit whatever the controls say. */
START_TEST(exits_without_a_name)
{
	static const uint32_t undefined[] = {
		11, 19, 27, 50, 53, 59, 60, 63, 64, 65, 67, 68, 69, 70, 72, 73, 76, 77, 78, 79, 84, 85,
	};
	static const uint32_t unknown[] = { 4, 17, 37, 57, 62, 66, 71, 74, 75, 80, 83, 86, 99 };

	for (unsigned int i = 0; i < ARRAY_SIZE(undefined); i++) {
		reason = undefined[i];
		ck_assert_int_eq(guest(), HV_EXIT_UNDEFINED);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(unknown); i++) {
		reason = unknown[i];
		ck_assert_int_eq(guest(), HV_EXIT_UNKNOWN);
		ck_assert_uint_eq(ended.detail, unknown[i]);
	}
}
END_TEST

/* A split lock is let pass from then on; a guest's own alignment check is the guest's. */
START_TEST(alignment_check)
{
	static const struct {
		uint32_t cpl, cr0, rflags;
		bool guests;
	} cases[] = {
		{ 0, CR0_PE | CR0_AM, RFLAGS_AC, false }, { 3, CR0_PE | CR0_AM, 0, false }, { 3, CR0_PE, RFLAGS_AC, false },
		{ 3, CR0_PE | CR0_AM, RFLAGS_AC, true },
	};

	test_ctrl = SPLIT_LOCK | 1;
	vmcs[VMCS_GUEST_CR0] = cases[_i].cr0;
	vmcs[VMCS_GUEST_SS_RIGHTS] = cases[_i].cpl << RIGHTS_DPL_SHIFT;
	page.regs.rflags = cases[_i].rflags;
	reason = VMX_EXIT_EXCEPTION;
	vmcs[VMCS_EXIT_EVENT] = EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_CODE | EXC_AC;
	/* The instruction is started again at once. */
	ck_assert_int_eq(guest(), cases[_i].guests ? HV_EXIT_INTERRUPT : HV_EXIT_NONE);
	ck_assert_uint_eq(test_ctrl, cases[_i].guests ? SPLIT_LOCK | 1 : 1);
	ck_assert_int_eq(block.split_locks, !cases[_i].guests);
	ck_assert_uint_eq(page.regs.rip, RIP);
	reason = VMX_EXIT_HLT;
	guest();
	ck_assert_uint_eq(entered_event, cases[_i].guests ? EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_CODE | EXC_AC : 0);
}
END_TEST

START_TEST(guests_empty_no_cache)
{
	reason = _i ? VMX_EXIT_WBINVD : VMX_EXIT_INVD;
	guest();
	ck_assert_uint_eq(page.regs.rip, RIP + LENGTH);
	ck_assert_uint_eq(write_backs, 0);
}
END_TEST

/* Whichever it asks for. */
START_TEST(control_domain_writes_back)
{
	reason = _i ? VMX_EXIT_WBINVD : VMX_EXIT_INVD;
	next_reason = VMX_EXIT_HLT;
	control();
	ck_assert_uint_eq(cpu.control.rip, RIP + LENGTH);
	ck_assert_uint_eq(write_backs, 1);
}
END_TEST

/* Of state that the control domain does not have. */
START_TEST(xsaves_of_a_trace)
{
	reason = _i ? VMX_EXIT_XSAVES : VMX_EXIT_XRSTORS;
	ck_assert_int_eq(control(), HV_EXIT_UNDEFINED);
}
END_TEST

START_TEST(entry_fails)
{
	if (_i)
		instruction_error = 7;
	else
		reason = VMX_EXIT_ENTRY_FAILED | VMX_EXIT_BAD_STATE;
	qualification = 4;
	ck_assert_int_eq(guest(), HV_EXIT_ENTRY_FAILED);
	ck_assert_ptr_nonnull(printed);
	ck_assert_ptr_nonnull(strstr(printed, _i ? "control fields" : "link pointer"));
	ck_assert_str_eq(printed, vmx_failure(ended.detail));
	/* Of the control domain it is its own state, and no fault of Keel's; what Keel itself has set up is one. */
	entries = 0;
	if (!setjmp(panicked)) {
		ck_assert_int_eq(control(), HV_EXIT_ENTRY_FAILED);
		ck_assert_int_eq(_i, 0);
	} else {
		ck_assert_int_eq(_i, 1);
		ck_assert_str_eq(panic_text, printed);
	}
}
END_TEST

/* A reason that nobody knows is handed on; a table that the processor cannot read is Keel's own. */
START_TEST(unknown_exits)
{
	static const uint32_t unknown[] = { VMX_EXIT_TASK_SWITCH, 66, 71, 74, 75, 80, 86, 200 };

	for (unsigned int i = 0; i < ARRAY_SIZE(unknown); i++) {
		reason = unknown[i];
		ck_assert_int_eq(control(), HV_EXIT_UNKNOWN);
		ck_assert_uint_eq(ended.detail, unknown[i]);
	}
	reason = VMX_EXIT_EPT_MISCONFIGURATION;
	if (!setjmp(panicked)) {
		control();
		ck_abort_msg("the control domain went on");
	}
}
END_TEST

/* Whether the processor takes the value it says itself; what it would take and Keel does not know is not tried. */
START_TEST(extended_control_register)
{
	static const struct {
		uint64_t rcx, value;
		uint32_t cpl;
		bool refused;
		unsigned int tried, fault;
	} cases[] = {
		{ 0, 7, 0, false, 1, 0 }, { 0, 6, 0, true, 1, 1 }, { 1ull << 32, 7, 0, false, 1, 0 }, { 1, 7, 0, false, 0, 1 },
		{ 0, 7, 3, false, 0, 1 }, { 0, 7 | 1 << 19, 0, false, 0, 1 }, { 0, 7 | 1ull << 62, 0, false, 0, 1 },
		{ 0, 0x602ff, 0, false, 1, 0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		set_up();
		xcr0_refused = cases[i].refused;
		xcr0_tried = 0;
		vmcs[VMCS_GUEST_SS_RIGHTS] = cases[i].cpl << RIGHTS_DPL_SHIFT;
		cpu.control.gpr[KEEL_RCX] = cases[i].rcx;
		cpu.control.gpr[KEEL_RAX] = (uint32_t)cases[i].value;
		cpu.control.gpr[KEEL_RDX] = cases[i].value >> 32;
		next_reason = VMX_EXIT_HLT;
		reason = VMX_EXIT_XSETBV;
		ck_assert_int_eq(control(), HV_EXIT_HLT);
		ck_assert_msg(xcr0_tried == cases[i].tried, "case %u", i);
		ck_assert_msg(!!(entered_event & EVENT_VALID) == cases[i].fault, "case %u", i);
		ck_assert_uint_eq(cpu.control.rip, cases[i].fault ? RIP : RIP + LENGTH);
	}
}
END_TEST

/* Every MSR that has a bit exits as the lists say. */
START_TEST(control_bitmap_is_the_lists)
{
	static uint8_t map[VMX_BITMAP_BYTES];

	memset(map, 0xff, sizeof(map));
	control_msr_permit(vmx_ops.control.msrs, map, vmx_msr_permit);
	for (unsigned int i = 0; i < 0x4000; i++) {
		uint32_t msr = i & 0x2000 ? 0xc0000000u | (i & 0x1fff) : i;
		const struct control_msr *rule = control_msr_find(vmx_ops.control.msrs, msr);
		uint32_t access = rule ? rule->access : 0;
		const uint8_t *byte = map + (msr & 0x1fff) / 8 + (msr >> 31) * 0x400;

		if ((byte[0] >> msr % 8 & 1) != !(access & MSR_READ_FREE) ||
		    (byte[0x800] >> msr % 8 & 1) != !(access & MSR_WRITE_FREE))
			ck_abort_msg("%x", msr);
	}
}
END_TEST

/* It is the control domain's, as any other machine check. */
START_TEST(machine_check_at_the_entry)
{
	vmx_ops.vcpu.inject(&block.vcpu, KEEL_INJECT_VALID | KEEL_INJECT_INTERRUPT | 0x41, 0);
	reason = VMX_EXIT_ENTRY_FAILED | VMX_EXIT_ENTRY_MCE;
	ck_assert_int_eq(guest(), HV_EXIT_MACHINE_CHECK);
	entries = 0;
	ck_assert_int_eq(control(), HV_EXIT_MACHINE_CHECK);
	ck_assert_ptr_null(printed);
	/* What was to be injected still is. */
	reason = VMX_EXIT_HLT;
	entries = 0;
	block.context.launched = false;
	guest();
	ck_assert_uint_eq(entered_event, EVENT_VALID | EVENT_INTERRUPT | 0x41);
	guest();
	ck_assert_uint_eq(entered_event, 0);
}
END_TEST

/* The event that came to a task gate is the cell's to deliver. */
START_TEST(task_switch)
{
	static const uint32_t events[] = {
		0, EVENT_INT_N, EVENT_VALID | EVENT_NMI | 2, EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_CODE | 14,
	};

	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = SHADOW_NMI;
	reason = VMX_EXIT_TASK_SWITCH;
	qualification = (uint64_t)KEEL_TASK_GATE << QUAL_TASK_SOURCE_SHIFT | 0x28;
	vectoring = events[_i];
	vectoring_error = 6;
	ck_assert_int_eq(guest(), HV_EXIT_TASK_SWITCH);
	ck_assert_uint_eq(page.exit.tss, 0x28);
	ck_assert_uint_eq(page.exit.task_source, KEEL_TASK_GATE);
	ck_assert_uint_eq(page.exit.event, events[_i]);
	if (events[_i] & EVENT_ERROR_CODE)
		ck_assert_uint_eq(page.exit.error_code, 6);
	/* An instruction is left behind, a fault's is not. */
	ck_assert_uint_eq(ended.record->next_rip, _i < 2 ? RIP + LENGTH : RIP);
	ck_assert_uint_eq(vmcs[VMCS_GUEST_INTERRUPTIBILITY], SHADOW_NMI);
	reason = VMX_EXIT_HLT;
	vectoring = 0;
	guest();
	ck_assert_uint_eq(entered_event, 0);
}
END_TEST

START_TEST(ports)
{
	reason = VMX_EXIT_IO;
	qualification = 0x1f0u << QUAL_IO_PORT_SHIFT | QUAL_IO_STRING | QUAL_IO_REP | 1;
	vmcs[VMCS_EXIT_INSTRUCTION] = 1u << INSN_ADDRESS_SHIFT | KEEL_SEG_FS << INSN_SEGMENT_SHIFT;
	vmx_features.basic = _i ? VMX_BASIC_INSN_INFO : 0;
	ck_assert_int_eq(guest(), HV_EXIT_NONE);
	ck_assert_uint_eq(page.exit.kind, KEEL_EXIT_IO);
	ck_assert(page.exit.port == 0x1f0 && page.exit.size == 2 && page.exit.io == (KEEL_IO_STRING | KEEL_IO_REP));
	ck_assert_uint_eq(page.exit.segment, _i ? KEEL_SEG_FS : KEEL_SEG_NONE);
	ck_assert_uint_eq(page.exit.address_size, _i ? 4 : 0);
	qualification |= QUAL_IO_IN;
	guest();
	ck_assert_uint_eq(page.exit.segment, _i ? KEEL_SEG_ES : KEEL_SEG_NONE);
	qualification = 0x80u << QUAL_IO_PORT_SHIFT | QUAL_IO_IN | 3;
	guest();
	ck_assert(page.exit.port == 0x80 && page.exit.size == 4 && page.exit.io == KEEL_IO_IN);
}
END_TEST

/* A bit of Keel's own in CR4, and values that CR0 cannot have. */
START_TEST(control_registers)
{
	static const struct {
		uint64_t qualification, value;
	} bad[] = { { 4, 1u << 13 }, { 0, CR0_PE | CR0_NW }, { 0, CR0_PG }, { 0, 1ull << 32 | CR0_PE }, { 3, 0 } };

	vmx_features.cr4_fixed = CR4_VMXE;
	reason = VMX_EXIT_CR;
	vmcs[VMCS_GUEST_ES_RIGHTS + VMCS_SEGMENT_STEP] = 1u << 13;
	vmcs[VMCS_GUEST_EFER] = EFER_LMA;
	qualification = bad[_i].qualification | KEEL_RCX << QUAL_CR_GPR_SHIFT;
	page.regs.gpr[KEEL_RCX] = bad[_i].value;
	ck_assert_int_eq(guest(), HV_EXIT_NONE);
	ck_assert_uint_eq(page.regs.rip, RIP);
	guest();
	ck_assert_uint_eq(entered_event, EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_CODE | EXC_GP);
}
END_TEST

/* The control domain sets what is shown to it; of the rest, as user interrupts, key locker or FRED, each bit is a fault. */
START_TEST(control_cr4)
{
	const uint64_t known = 0x18f71fff;

	ck_assert_uint_eq(VMX_CONTROL_CR4, known);
	vmx_features.cr4_fixed = CR4_VMXE;
	vmcs[VMCS_CR4_MASK] = ~(uint64_t)VMX_CONTROL_CR4;
	vmcs[VMCS_CR4_SHADOW] = known;
	vmcs[VMCS_GUEST_CR4] = known | CR4_VMXE;
	qualification = 4 | KEEL_RCX << QUAL_CR_GPR_SHIFT;
	for (unsigned int bit = 0; bit < 64; bit++) {
		if (known >> bit & 1)
			continue;
		cpu.control.gpr[KEEL_RCX] = known | 1ull << bit;
		reason = VMX_EXIT_CR;
		next_reason = VMX_EXIT_HLT;
		ck_assert_int_eq(control(), HV_EXIT_HLT);
		ck_assert_uint_eq(entered_event, EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_CODE | EXC_GP);
		ck_assert_uint_eq(vmx_cr4(), known);
	}
}
END_TEST

/* A guest sees the MCE bit that it wrote, and machine checks are on for it all the same. */
START_TEST(machine_checks_stay_on)
{
	vmx_features.cr4_fixed = CR4_VMXE;
	vmcs[VMCS_CR4_MASK] = CR4_VMXE | CR4_MCE;
	vmcs[VMCS_GUEST_CR4] = CR4_VMXE | CR4_MCE | CR4_PAE;
	vmcs[VMCS_CR4_SHADOW] = _i ? CR4_MCE : 0;
	vmx_ops.vcpu.state_out(&block.vcpu, HV_STATE_CONTROL, &page.sregs);
	ck_assert_uint_eq(page.sregs.cr4, CR4_PAE | (_i ? CR4_MCE : 0));
	reason = VMX_EXIT_CR;
	qualification = 4 | KEEL_RCX << QUAL_CR_GPR_SHIFT;
	page.regs.gpr[KEEL_RCX] = CR4_PAE | CR4_PGE | (_i ? 0 : CR4_MCE);
	ck_assert_int_eq(guest(), HV_EXIT_NONE);
	/* Executed again: the rest of it is the processor's. */
	ck_assert_uint_eq(page.regs.rip, RIP);
	vmx_ops.vcpu.state_out(&block.vcpu, HV_STATE_CONTROL, &page.sregs);
	ck_assert_uint_eq(page.sregs.cr4, CR4_PAE | (_i ? 0 : CR4_MCE));
	ck_assert_uint_eq(vmcs[VMCS_GUEST_CR4], CR4_VMXE | CR4_MCE | CR4_PAE);
	guest();
	ck_assert_uint_eq(entered_event, 0);
}
END_TEST

static const uint16_t state_fields[] = {
	VMCS_GUEST_GDTR_BASE, VMCS_GUEST_IDTR_BASE, VMCS_GUEST_CR3, VMCS_GUEST_SYSENTER_ESP, VMCS_GUEST_SYSENTER_EIP,
	VMCS_GUEST_PAT, VMCS_GUEST_PDPTE0, VMCS_GUEST_PDPTE0 + 6,
};

/* All but CR2 and DR6, which are in the processor. */
START_TEST(state_out_and_in)
{
	static struct keel_sregs first, second;
	const unsigned int parts = HV_STATE_ALL & ~(unsigned int)HV_STATE_CR2;
	uint64_t before[ARRAY_SIZE(state_fields)];

	vmx_features.cr0_fixed = CR0_NE;
	vmx_features.cr4_fixed = CR4_VMXE;
	vmcs[VMCS_CR0_MASK] = CR0_NE | CR0_CD | CR0_NW;
	vmcs[VMCS_CR4_MASK] = CR4_VMXE | CR4_MCE;
	vmcs[VMCS_GUEST_CR0] = CR0_NE | CR0_PE | CR0_PG;
	vmcs[VMCS_CR0_SHADOW] = _i & 1 ? CR0_NE : 0;
	vmcs[VMCS_GUEST_CR4] = CR4_VMXE | CR4_MCE | CR4_PAE;
	vmcs[VMCS_CR4_SHADOW] = _i & 2 ? CR4_MCE : 0;
	vmcs[VMCS_GUEST_EFER] = _i & 4 ? EFER_LME | EFER_LMA : 0;
	for (unsigned int i = 0; i < KEEL_SEG_COUNT; i++) {
		vmcs[vmx_segment_field(VMCS_GUEST_ES_SELECTOR, i)] = 8 * i;
		vmcs[vmx_segment_field(VMCS_GUEST_ES_RIGHTS, i)] = i == KEEL_SEG_LDTR ? 1u << 16 : 0xc093;
		vmcs[vmx_segment_field(VMCS_GUEST_ES_LIMIT, i)] = 0xfffff + i;
		vmcs[vmx_segment_field(VMCS_GUEST_ES_BASE, i)] = 0x1000 * i;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(state_fields); i++)
		vmcs[state_fields[i]] = before[i] = 0x1234567000 + i;
	for (unsigned int i = 0; i < ARRAY_SIZE(guest_msr); i++)
		guest_msr[i] = 0x4711 + i;
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = (_i & 1 ? SHADOW_NMI : 0) | (_i & 2 ? SHADOW_STI : SHADOW_MOV_SS);
	vmcs[VMCS_GUEST_RFLAGS] = page.regs.rflags = RFLAGS_FIXED | RFLAGS_IF | (_i & 8 ? RFLAGS_TF : 0);
	vmcs[VMCS_GUEST_PENDING_DEBUG] = _i & 8 ? PENDING_SINGLE_STEP | 1 : 1;
	vmcs[VMCS_GUEST_DR7] = DR7_RESET;
	block.context.event = EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_CODE | EXC_PF;
	block.context.error_code = 7;
	block.held = EVENT_VALID | 0x41;
	block.dr6 = DR6_RESET | 1;
	apic[0x80 / 4] = 0x5f;
	vmx_ops.vcpu.state_out(&block.vcpu, parts, &first);
	ck_assert_uint_eq(first.nmi_blocked, _i & 1);
	ck_assert_uint_eq(first.shadow, _i & 2 ? KEEL_SHADOW_STI : KEEL_SHADOW_MOV_SS);
	ck_assert_uint_eq(first.pdpte[3], _i & 4 ? 0 : before[7]);
	ck_assert_uint_eq(first.sysenter_eip, before[4]);
	ck_assert_uint_eq(first.kernel_gs_base, 0x4715);
	ck_assert(first.event == block.context.event && first.event_code == 7 && first.held == block.held && first.tpr == 5);
	for (unsigned int i = 0; i < ARRAY_SIZE(state_fields); i++)
		vmcs[state_fields[i]] = 0;
	memset(guest_msr, 0, sizeof(guest_msr));
	for (unsigned int i = 0; i < KEEL_SEG_COUNT; i++)
		vmcs[vmx_segment_field(VMCS_GUEST_ES_RIGHTS, i)] = vmcs[vmx_segment_field(VMCS_GUEST_ES_LIMIT, i)] = 0;
	vmcs[VMCS_GUEST_CR0] = vmcs[VMCS_GUEST_CR4] = vmcs[VMCS_CR0_SHADOW] = vmcs[VMCS_CR4_SHADOW] = vmcs[VMCS_GUEST_EFER] = 0;
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = vmcs[VMCS_GUEST_PENDING_DEBUG] = 0;
	block.context.event = block.held = 0;
	block.dr6 = DR6_RESET;
	apic[0x80 / 4] = 0;
	ck_assert(vmx_ops.vcpu.state_in(&cpu, &block.vcpu, parts, &first));
	ck_assert_uint_eq(vmcs[VMCS_GUEST_CR4], CR4_VMXE | CR4_MCE | CR4_PAE);
	ck_assert_uint_eq(vmcs[VMCS_GUEST_CR0], CR0_NE | CR0_PE | CR0_PG);
	ck_assert_int_eq(!!(vmcs[VMCS_ENTRY_CONTROLS] & ENTRY_LONG_MODE), !!(_i & 4));
	ck_assert_uint_eq(vmcs[VMCS_PRIMARY_CONTROLS] & PRIMARY_INTERRUPT_WINDOW, PRIMARY_INTERRUPT_WINDOW);
	vmx_ops.vcpu.state_out(&block.vcpu, parts, &second);
	ck_assert_mem_eq(&first, &second, sizeof(first));
}
END_TEST

/* In a shadow a single step's trap is still to come, whatever the state says: the entry would fail without (27.3.1.5). */
START_TEST(trap_in_a_shadow)
{
	struct keel_sregs sregs = {
		.shadow = _i & 1 ? KEEL_SHADOW_STI : 0,
		.pending_debug = _i & 2 ? PENDING_SINGLE_STEP | 2 : 2,
	};
	bool stepped = _i & 4, expected = sregs.shadow ? stepped : _i & 2;

	page.regs.rflags = RFLAGS_FIXED | RFLAGS_IF | (stepped ? RFLAGS_TF : 0);
	ck_assert(vmx_ops.vcpu.state_in(&cpu, &block.vcpu, HV_STATE_EVENTS, &sregs));
	ck_assert_uint_eq(vmcs[VMCS_GUEST_PENDING_DEBUG], 2 | (expected ? PENDING_SINGLE_STEP : 0));
}
END_TEST

START_TEST(apic_page)
{
	uint64_t plain = image_to_phys(vmx_guest_bitmap), x2apic = image_to_phys(vmx_x2apic_bitmap);

	vmcs[VMCS_SECONDARY_CONTROLS] = SECONDARY_EPT | VMX_APIC_CONTROLS;
	vmcs[VMCS_MSR_BITMAP] = plain;
	apic[(0x180 + 0x10 * 2) / 4] = 0x80000001;	/* vectors 64 and 95 */
	apic[(0x180 + 0x10 * 7) / 4] = 0x00000002;	/* vector 225 */
	vmx_ops.vcpu.set_apic(&block.vcpu, 0x5130);
	ck_assert_uint_eq(vmcs[VMCS_GUEST_INTERRUPT_STATUS], 0x5130);
	ck_assert_ptr_eq(block.vcpu.last_cpu, &cpu);
	ck_assert_uint_eq(vmcs[VMCS_EOI_EXITS + 2], 0);
	vmx_ops.vcpu.set_apic(&block.vcpu, KEEL_APIC_X2 | KEEL_APIC_PAGE | KEEL_APIC_EOI_EXITS);
	ck_assert_uint_eq(vmcs[VMCS_GUEST_INTERRUPT_STATUS], 0);
	/* Both at once would be refused. */
	ck_assert_uint_eq(vmcs[VMCS_SECONDARY_CONTROLS], SECONDARY_EPT | VMX_APIC_CONTROLS | SECONDARY_X2APIC);
	ck_assert_uint_eq(vmcs[VMCS_MSR_BITMAP], x2apic);
	ck_assert_ptr_null(block.vcpu.last_cpu);
	ck_assert_uint_eq(vmcs[VMCS_EOI_EXITS], 0);
	ck_assert_uint_eq(vmcs[VMCS_EOI_EXITS + 2], 0x80000001);
	ck_assert_uint_eq(vmcs[VMCS_EOI_EXITS + 4], 0);
	ck_assert_uint_eq(vmcs[VMCS_EOI_EXITS + 6], 2ull << 32);
	vmx_ops.vcpu.set_apic(&block.vcpu, KEEL_APIC_PAGE);
	ck_assert_uint_eq(vmcs[VMCS_SECONDARY_CONTROLS], SECONDARY_EPT | VMX_APIC_CONTROLS | SECONDARY_APIC_ACCESSES);
	ck_assert_uint_eq(vmcs[VMCS_MSR_BITMAP], plain);
	vmx_ops.vcpu.set_apic(&block.vcpu, 0);
	ck_assert_uint_eq(vmcs[VMCS_SECONDARY_CONTROLS], SECONDARY_EPT | VMX_APIC_CONTROLS);
	ck_assert_uint_eq(vmcs[VMCS_MSR_BITMAP], plain);
}
END_TEST

START_TEST(apic_exits)
{
	block.vcpu.last_cpu = &cpu;
	reason = VMX_EXIT_APIC_ACCESS;
	qualification = 0x390;
	ck_assert_int_eq(guest(), HV_EXIT_NONE);
	ck_assert_uint_eq(page.exit.kind, KEEL_EXIT_MMIO);
	ck_assert(page.exit.gpa == KEEL_APIC_BASE + 0x390 && !page.exit.access);
	qualification = QUAL_APIC_WRITE | 0x300;
	guest();
	ck_assert(page.exit.gpa == KEEL_APIC_BASE + 0x300 && page.exit.access == KEEL_ACCESS_WRITE);
	qualification = QUAL_APIC_FETCH | 0x123;
	guest();
	ck_assert_uint_eq(page.exit.access, KEEL_ACCESS_FETCH);
	/* A stack or a table there. */
	for (uint64_t type = 3; type < 16; type++) {
		qualification = type << 12;
		guest();
		ck_assert_uint_eq(page.exit.access, KEEL_ACCESS_WALK);
	}
	reason = VMX_EXIT_EOI;
	qualification = 0x51;
	ck_assert_int_eq(guest(), HV_EXIT_EOI);
	ck_assert_uint_eq(page.exit.apic, 0x51);
	reason = VMX_EXIT_APIC_WRITE;
	qualification = 0x320;
	ck_assert_int_eq(guest(), HV_EXIT_APIC_WRITE);
	ck_assert_uint_eq(page.exit.apic, 0x320);
}
END_TEST

/* Below the threshold the processor would refuse the entry. The cell hears of it instead. */
START_TEST(tpr_threshold)
{
	apic[0x80 / 4] = 0x3f;
	guest();
	ck_assert_uint_eq(page.exit.tpr, 3);
	page.sregs.tpr = 3;
	vmx_ops.vcpu.state_in(&cpu, &block.vcpu, HV_STATE_TPR, &page.sregs);
	ck_assert_uint_eq(apic[0x80 / 4], 0x3f);
	page.sregs.tpr = 4;
	vmx_ops.vcpu.state_in(&cpu, &block.vcpu, HV_STATE_TPR, &page.sregs);
	vmx_ops.vcpu.state_out(&block.vcpu, HV_STATE_TPR, &page.sregs);
	ck_assert_uint_eq(page.sregs.tpr, 4);
	ck_assert_uint_eq(apic[0x80 / 4], 0x40);
	vmx_ops.vcpu.window(&block.vcpu, false, 5);
	ck_assert_int_eq(guest(), HV_EXIT_TPR);
	ck_assert_uint_eq(page.exit.tpr, 4);
	ck_assert_uint_eq(entries, 1);
	vmx_ops.vcpu.window(&block.vcpu, false, 4);
	ck_assert_uint_eq(vmcs[VMCS_TPR_THRESHOLD], 4);
	ck_assert_int_eq(guest(), HV_EXIT_HLT);
	reason = VMX_EXIT_TPR;
	ck_assert_int_eq(guest(), HV_EXIT_TPR);
	ck_assert_uint_eq(vmcs[VMCS_TPR_THRESHOLD], 0);
}
END_TEST

START_TEST(halts)
{
	vmx_ops.control.hlt(&cpu, true);
	ck_assert_uint_ne(vmcs[VMCS_PRIMARY_CONTROLS] & PRIMARY_HLT, 0);
	reason = VMX_EXIT_HLT;
	ck_assert_int_eq(control(), HV_EXIT_HLT);
	vmx_ops.control.hlt(&cpu, false);
	ck_assert_uint_eq(vmcs[VMCS_PRIMARY_CONTROLS] & PRIMARY_HLT, 0);
}
END_TEST

/*
 * CPUID, and MSRs that Keel keeps, end nothing while nobody has a use for the CPU; what is the cell's, or nobody's is told.
 */
static const struct at_once at_once[] = {
	{ LEAF, 3, false, false, true },
	{ 0, KEPT_MSR, true, false, true },
	{ 0, KEPT_MSR, true, true, false },
	{ 0, KEPT_MSR + 1, true, false, false },
	{ 0, MSR_X2APIC_FIRST, true, false, false },
};

static enum hv_exit_reason guest_at_once(const struct at_once *access)
{
	at_once_begin(access, 3);
	reason = !access->msr ? VMX_EXIT_CPUID : access->write ? VMX_EXIT_WRMSR : VMX_EXIT_RDMSR;
	return guest();
}

START_TEST(answers_at_once)
{
	block.vcpu.due = UINT64_MAX;
	page.regs.rflags = RFLAGS_RF;
	at_once_check(&at_once[_i], guest_at_once(&at_once[_i]), LENGTH);
}
END_TEST

/*
 * The cell, a deadline or the end of the stay, another CPU that has changed the guest's table,
 * or a threshold that is looked at anew.
 */
START_TEST(answers_until_asked)
{
	block.vcpu.due = _i == 1 ? 0 : UINT64_MAX;
	block.vcpu.poll = _i == 0;
	taken_away = _i == 2;
	apic[0x80 / 4] = 0x50;
	vmx_ops.vcpu.window(&block.vcpu, false, _i == 3 ? 5 : 0);
	at_once_check_asked(guest_at_once(&at_once[0]), LENGTH);
}
END_TEST

/* An NMI that waits goes in before an interrupt, unless another one blocks it. */
START_TEST(nmi_before_an_interrupt)
{
	vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
	for (unsigned int after = 0; after < 2; after++) {
		block.vcpu.nmi_pending = false;
		vmcs[VMCS_GUEST_INTERRUPTIBILITY] = 0;
		ck_assert(vmx_ops.vcpu.interruptible(&block.vcpu, after));
		block.vcpu.nmi_pending = true;
		ck_assert(!vmx_ops.vcpu.interruptible(&block.vcpu, after));
		vmcs[VMCS_GUEST_INTERRUPTIBILITY] = SHADOW_NMI;
		ck_assert(vmx_ops.vcpu.interruptible(&block.vcpu, after));
	}
}
END_TEST

/* An instruction that the cell carries out ends nothing, if its answer asks for nothing that is to be seen to above. */
static const struct {
	uint32_t reason;
	enum keel_exit_kind kind;
} cells_exits[] = {
	{ VMX_EXIT_IO, KEEL_EXIT_IO }, { VMX_EXIT_EPT_VIOLATION, KEEL_EXIT_MMIO }, { VMX_EXIT_RDMSR, KEEL_EXIT_RDMSR },
	{ VMX_EXIT_WRMSR, KEEL_EXIT_WRMSR },
};

START_TEST(answers_by_cell)
{
	const struct by_cell *by = &by_cell[_i / ARRAY_SIZE(cells_exits)];
	unsigned int kind = _i % ARRAY_SIZE(cells_exits);
	enum hv_exit_reason told;

	by_cell_begin(by, LENGTH);
	reason = cells_exits[kind].reason;
	told = guest();
	by_cell_check(by, told, cells_exits[kind].kind, LENGTH);
	if (by->goes_on)
		ck_assert_uint_eq(entered_event, by->answer.inject ? EVENT_VALID | EVENT_INTERRUPT | 0x41 : 0);
}
END_TEST

SUITE("vmx", tests)
{
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, plain_exit);
	tcase_add_test(tests, init_exits);
	tcase_add_loop_test(tests, flush_of_the_control_domain, 0, 2);
	tcase_add_loop_test(tests, event_goes_in_again, 0, 8);
	tcase_add_loop_test(tests, nmi_waits, 0, 5);
	tcase_add_loop_test(tests, nmi_forgotten, 0, 2);
	tcase_add_loop_test(tests, nmi_before_entry, 0, 2);
	tcase_add_loop_test(tests, nmi_exits, 0, 2);
	tcase_add_loop_test(tests, iret_that_faults, 0, 2);
	tcase_add_loop_test(tests, debug_in_a_shadow, 0, 6);
	tcase_add_loop_test(tests, event_in_delivery, 0, 3);
	tcase_add_test(tests, window_waits);
	tcase_add_loop_test(tests, double_faults, 0, 8);
	tcase_add_loop_test(tests, single_step, 0, 3);
	tcase_add_loop_test(tests, single_step_of_a_call, 0, 2);
	tcase_add_test(tests, exits_without_a_name);
	tcase_add_loop_test(tests, alignment_check, 0, 4);
	tcase_add_loop_test(tests, guests_empty_no_cache, 0, 2);
	tcase_add_loop_test(tests, control_domain_writes_back, 0, 2);
	tcase_add_loop_test(tests, xsaves_of_a_trace, 0, 2);
	tcase_add_loop_test(tests, entry_fails, 0, 2);
	tcase_add_test(tests, unknown_exits);
	tcase_add_test(tests, extended_control_register);
	tcase_add_test(tests, control_bitmap_is_the_lists);
	tcase_add_test(tests, machine_check_at_the_entry);
	tcase_add_loop_test(tests, state_out_and_in, 0, 16);
	tcase_add_loop_test(tests, trap_in_a_shadow, 0, 8);
	tcase_add_loop_test(tests, task_switch, 0, 4);
	tcase_add_loop_test(tests, ports, 0, 2);
	tcase_add_loop_test(tests, control_registers, 0, 5);
	tcase_add_test(tests, control_cr4);
	tcase_add_loop_test(tests, machine_checks_stay_on, 0, 2);
	tcase_add_test(tests, apic_page);
	tcase_add_test(tests, apic_exits);
	tcase_add_test(tests, tpr_threshold);
	tcase_add_test(tests, halts);
	tcase_add_loop_test(tests, answers_at_once, 0, ARRAY_SIZE(at_once));
	tcase_add_loop_test(tests, answers_until_asked, 0, 4);
	tcase_add_test(tests, nmi_before_an_interrupt);
	tcase_add_loop_test(tests, answers_by_cell, 0, BY_CELL_CASES * ARRAY_SIZE(cells_exits));
}
