// SPDX-License-Identifier: GPL-2.0
// Checks of a guest's state: it gets none that its own instructions could not make (SDM vol. 3, 27.3.1; APM vol. 2, 15.5).

#include "guest_state.h"

#include <stddef.h>

#include <keel/macros.h>

#include "cpu.h"
#include "cpuid.h"
#include "event.h"
#include "msr.h"
#include "xstate.h"

#define CR0_DEFINED	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define RFLAGS_RESERVED	(~0x3fffffull | 1ull << 15 | 1ull << 5 | 1ull << 3)
#define PENDING_DEFINED	(0xfull | 1ull << 12 | 1ull << 14)	/* breakpoints, enabled one, single step (25.4.2) */
#define PDPTE_PRESENT	1ull
#define PDPTE_RESERVED	0x1e6ull
#define PRIVILEGE_MOST	3u
#define CODE_MOST	0x7fffu		/* of error codes (27.2.1.3) */

/* Attributes in SVM's form. */
#define SEGMENT_DEFINED	0xfffu
#define SEGMENT_TYPE	0xfu
#define SEGMENT_BUSY	2u
#define SEGMENT_S	(1u << 4)
#define SEGMENT_P	(1u << 7)
#define SEGMENT_L	(1u << 9)
#define SEGMENT_D	(1u << 10)
#define TYPE_LDT	2u
/* With or without the busy bit, which processors set in memory and need not here. */
#define TYPE_TSS16	1u
#define TYPE_TSS	9u
#define TABLE_LIMIT_MOST 0xffffu

static bool in_long_mode(const struct keel_sregs *s)
{
	return s->efer & EFER_LMA;
}

static bool in_64bit_code(const struct keel_sregs *s)
{
	return in_long_mode(s) && s->seg[KEEL_SEG_CS].attributes & SEGMENT_L;
}

/* Bits of a guest's physical addresses that do not exist. */
static uint64_t beyond_memory(void)
{
	unsigned int width = cpuid(CPUID_ADDRESS_SIZES, 0).eax & 0xff;

	return width < 64 ? ~0ull << width : 0;
}

static bool rip_ok(const struct keel_state *state)
{
	return in_64bit_code(&state->sregs) ? is_canonical(state->regs.rip) : !(state->regs.rip >> 32);
}

static bool rflags_ok(const struct keel_state *state)
{
	const struct keel_sregs *s = &state->sregs;

	return !(state->regs.rflags & RFLAGS_RESERVED) &&
	       (!(state->regs.rflags & RFLAGS_VM) || (s->cr0 & CR0_PE && !in_long_mode(s)));
}

static bool cr0_ok(const struct keel_state *state)
{
	uint64_t cr0 = state->sregs.cr0;

	return !(cr0 & ~CR0_DEFINED) && (!(cr0 & CR0_PG) || cr0 & CR0_PE) && (!(cr0 & CR0_NW) || cr0 & CR0_CD);
}

static bool cr3_ok(const struct keel_state *state)
{
	return !(state->sregs.cr3 & beyond_memory());
}

static bool cr4_ok(const struct keel_state *state)
{
	const struct keel_sregs *s = &state->sregs;

	return !(s->cr4 & ~cpuid_guest_cr4()) && (!(s->cr4 & CR4_PCIDE) || in_long_mode(s));
}

static bool efer_ok(const struct keel_state *state)
{
	const struct keel_sregs *s = &state->sregs;
	bool lma = s->efer & EFER_LME && s->cr0 & CR0_PG;

	return !(s->efer & ~(EFER_GUEST | EFER_LMA)) && in_long_mode(s) == lma && (!lma || s->cr4 & CR4_PAE);
}

static bool debug_ok(const struct keel_state *state)
{
	const struct keel_sregs *s = &state->sregs;

	return !((s->dr6 | s->dr7) >> 32) && !(s->pending_debug & ~PENDING_DEFINED);
}

static bool cpl_ok(const struct keel_state *state)
{
	const struct keel_sregs *s = &state->sregs;

	if (!(s->cr0 & CR0_PE))
		return !s->cpl;
	return state->regs.rflags & RFLAGS_VM ? s->cpl == PRIVILEGE_MOST : s->cpl <= PRIVILEGE_MOST;
}

static bool cr8_ok(const struct keel_state *state)
{
	return state->sregs.tpr <= CR8_MOST;
}

bool guest_state_pdptes_ok(const uint64_t pdpte[4])
{
	uint64_t reserved = beyond_memory() | PDPTE_RESERVED;
	size_t i;

	for (i = 0; i < 4; i++)
		if (pdpte[i] & PDPTE_PRESENT && pdpte[i] & reserved)
			return false;
	return true;
}

static bool pdptes_ok(const struct keel_state *state)
{
	return guest_state_pdptes_ok(state->sregs.pdpte);
}

static bool tables_ok(const struct keel_state *state)
{
	const struct keel_sregs *s = &state->sregs;

	return is_canonical(s->gdt_base) && is_canonical(s->idt_base) && s->gdt_limit <= TABLE_LIMIT_MOST &&
	       s->idt_limit <= TABLE_LIMIT_MOST;
}

/* Outside real mode, where none is pushed, an exception has its error code. */
static bool exception_ok(const struct keel_sregs *s)
{
	unsigned int vector = s->event & KEEL_INJECT_VECTOR;
	bool code = s->event & KEEL_INJECT_ERROR_CODE;

	return vector < 32 && vector != EXC_NMI && s->event_code <= CODE_MOST &&
	       (!(s->cr0 & CR0_PE) || code == event_has_error_code(vector));
}

/*
 * In a shadow no NMI goes in: not in that of MOV SS, and with some processors not in that of STI either (SDM vol. 3, 27.3.1.5).
 * AMD's take both (APM vol. 2, 15.20), but the handler would begin in a shadow. One whose delivery was broken off has ended it.
 */
static bool event_ok(const struct keel_state *state)
{
	const struct keel_sregs *s = &state->sregs;
	uint32_t form = KEEL_INJECT_VALID | KEEL_EVENT_TYPE | KEEL_INJECT_VECTOR;

	if (!s->event)
		return !s->event_code;
	if (!(s->event & KEEL_INJECT_VALID) || s->event & ~(form | KEEL_INJECT_ERROR_CODE))
		return false;
	if ((s->event & KEEL_EVENT_TYPE) == KEEL_INJECT_EXCEPTION)
		return exception_ok(s);
	if (s->event & KEEL_INJECT_ERROR_CODE || s->event_code)
		return false;
	if ((s->event & KEEL_EVENT_TYPE) == KEEL_EVENT_NMI)
		return (s->event & KEEL_INJECT_VECTOR) == EXC_NMI && !s->nmi_blocked && !s->shadow;
	return (s->event & KEEL_EVENT_TYPE) == KEEL_INJECT_INTERRUPT && state->regs.rflags & RFLAGS_IF && !s->shadow;
}

/* The shadow of STI is one of an instruction behind which interrupts are on. */
static bool waiting_ok(const struct keel_state *state)
{
	const struct keel_sregs *s = &state->sregs;

	return (!s->held || (s->held & ~KEEL_INJECT_VECTOR) == (KEEL_INJECT_VALID | KEEL_INJECT_INTERRUPT)) &&
	       s->nmi_blocked <= 1 && state->nmi_pending <= 1 && s->shadow <= KEEL_SHADOW_MOV_SS &&
	       (s->shadow != KEEL_SHADOW_STI || state->regs.rflags & RFLAGS_IF);
}

static bool events_ok(const struct keel_state *state)
{
	return waiting_ok(state) && event_ok(state);
}

static bool xcr0_ok(const struct keel_state *state)
{
	return xcr0_valid(state->xcr0, cpuid_guest_xcr0());
}

static bool xstate_ok(const struct keel_state *state)
{
	return !(state->xstate_bv & ~cpuid_guest_xcr0());
}

static bool reserved_ok(const struct keel_state *state)
{
	unsigned int i;

	if (state->sregs.reserved || state->msrs > KEEL_STATE_MSRS)
		return false;
	for (i = 0; i < state->msrs; i++)
		if (state->msr[i].reserved)
			return false;
	return true;
}

static bool code_or_data_ok(const struct keel_state *state, enum keel_segment segment)
{
	const struct keel_segment_register *seg = &state->sregs.seg[segment];
	const uint16_t both = SEGMENT_L | SEGMENT_D;

	if (segment == KEEL_SEG_FS || segment == KEEL_SEG_GS) {
		if (!is_canonical(seg->base))
			return false;
	} else if (seg->attributes & SEGMENT_P && seg->base >> 32) {
		return false;
	}
	if (segment == KEEL_SEG_CS && in_long_mode(&state->sregs) && (seg->attributes & both) == both)
		return false;
	return !(seg->attributes & SEGMENT_P) || seg->attributes & SEGMENT_S;
}

/* LDTR may be without a table, TR may not. */
static bool system_segment_ok(const struct keel_segment_register *seg, bool ldt)
{
	unsigned int type = seg->attributes & SEGMENT_TYPE;

	if (!is_canonical(seg->base))
		return false;
	if (!(seg->attributes & SEGMENT_P))
		return ldt;
	if (seg->attributes & SEGMENT_S)
		return false;
	return ldt ? type == TYPE_LDT : (type & ~SEGMENT_BUSY) == TYPE_TSS16 || (type & ~SEGMENT_BUSY) == TYPE_TSS;
}

static bool segment_ok(const struct keel_state *state, enum keel_segment segment)
{
	const struct keel_segment_register *seg = &state->sregs.seg[segment];

	if (seg->attributes & ~SEGMENT_DEFINED)
		return false;
	if (segment == KEEL_SEG_LDTR || segment == KEEL_SEG_TR)
		return system_segment_ok(seg, segment == KEEL_SEG_LDTR);
	return code_or_data_ok(state, segment);
}

static bool segments_ok(const struct keel_state *state, uint32_t *at)
{
	for (*at = 0; *at < KEEL_SEG_COUNT; (*at)++)
		if (!segment_ok(state, (enum keel_segment)*at))
			return false;
	*at = 0;
	return true;
}

/* What WRMSR refuses on one processor or the other. False: *at is the MSR. */
static bool switched_msrs_ok(const struct keel_sregs *s, uint32_t *at)
{
	const struct {
		uint32_t msr;
		bool good;
	} checks[] = {
		{ MSR_LSTAR, is_canonical(s->lstar) },
		{ MSR_CSTAR, is_canonical(s->cstar) },
		{ MSR_SFMASK, !(s->sfmask >> 32) },
		{ MSR_KERNEL_GS_BASE, is_canonical(s->kernel_gs_base) },
		{ MSR_SYSENTER_CS, !(s->sysenter_cs >> 32) },
		{ MSR_SYSENTER_ESP, is_canonical(s->sysenter_esp) },
		{ MSR_SYSENTER_EIP, is_canonical(s->sysenter_eip) },
		{ MSR_PAT, msr_pat_is_valid(s->pat) },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(checks); i++) {
		*at = checks[i].msr;
		if (!checks[i].good)
			return false;
	}
	*at = 0;
	return true;
}

static bool kept_msrs_ok(const struct keel_state *state, uint32_t *at)
{
	unsigned int i;

	for (i = 0; i < state->msrs; i++) {
		*at = state->msr[i].index;
		if (!msr_guest_may_load(state->msr[i].index, state->msr[i].value))
			return false;
	}
	*at = 0;
	return true;
}

bool guest_state_may_answer(const struct keel_sregs *sregs)
{
	return sregs->cpl <= PRIVILEGE_MOST && !(sregs->efer & ~(EFER_GUEST | EFER_LMA)) &&
	       !(sregs->cr4 & ~cpuid_guest_cr4());
}

enum keel_state_part guest_state_check(const struct keel_state *state, uint32_t *at)
{
	static const struct {
		enum keel_state_part part;
		bool (*good)(const struct keel_state *state);
	} checks[] = {
		{ KEEL_STATE_RESERVED, reserved_ok },
		{ KEEL_STATE_CR0, cr0_ok },
		{ KEEL_STATE_EFER, efer_ok },
		{ KEEL_STATE_CR4, cr4_ok },
		{ KEEL_STATE_CR3, cr3_ok },
		{ KEEL_STATE_RFLAGS, rflags_ok },
		{ KEEL_STATE_CPL, cpl_ok },
		{ KEEL_STATE_RIP, rip_ok },
		{ KEEL_STATE_TABLES, tables_ok },
		{ KEEL_STATE_DEBUG, debug_ok },
		{ KEEL_STATE_CR8, cr8_ok },
		{ KEEL_STATE_PDPTE, pdptes_ok },
		{ KEEL_STATE_EVENT, events_ok },
		{ KEEL_STATE_XCR0, xcr0_ok },
		{ KEEL_STATE_XSTATE, xstate_ok },
	};
	size_t i;

	*at = 0;
	for (i = 0; i < ARRAY_SIZE(checks); i++)
		if (!checks[i].good(state))
			return checks[i].part;
	if (!segments_ok(state, at))
		return KEEL_STATE_SEGMENT;
	if (!switched_msrs_ok(&state->sregs, at) || !kept_msrs_ok(state, at))
		return KEEL_STATE_MSR;
	return KEEL_STATE_TAKEN;
}
