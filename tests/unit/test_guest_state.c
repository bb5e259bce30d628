/* SPDX-License-Identifier: GPL-2.0 */
/* What is put into a guest from outside: of each part the values that are taken, and those that no guest could have. */
#include <check.h>
#include <string.h>

#include <keel/macros.h>

#include "cpu.h"
#include "suite.h"

#define WIDTH		40u		/* bits of physical addresses */

static struct cpuid test_cpuid(uint32_t leaf, uint32_t subleaf)
{
	ck_assert_uint_eq(leaf, CPUID_ADDRESS_SIZES);
	ck_assert_uint_eq(subleaf, 0);
	return (struct cpuid){ .eax = WIDTH | 48u << 8 };
}

#define cpuid(leaf, subleaf) test_cpuid(leaf, subleaf)
#include "../../arch/x86/guest_state.c"

#define BEYOND		0x0000800000000000ull		/* not canonical */
#define HIGH		0xffff800000000000ull
#define KEPT		0x200u				/* the MSR that Keel keeps here, with values up to 15 */
#define VALID		KEEL_INJECT_VALID

static struct keel_state state;
static uint32_t at;

uint64_t cpuid_guest_xcr0(void)
{
	return XCR0_X87 | XCR0_SSE | XCR0_AVX;
}

uint64_t cpuid_guest_cr4(void)
{
	return CR4_CLASSIC | CR4_PCIDE | CR4_OSXSAVE;
}

bool msr_pat_is_valid(uint64_t value)
{
	return value != 2;
}

bool msr_guest_may_load(uint32_t msr, uint64_t value)
{
	return msr == KEPT && value <= 15;
}

static void segment(enum keel_segment which, uint16_t selector, uint16_t attributes, uint32_t limit)
{
	state.sregs.seg[which] = (struct keel_segment_register){ selector, attributes, limit, 0 };
}

/* A program of 64 bits. */
static void set_up(void)
{
	struct keel_sregs *s = &state.sregs;

	memset(&state, 0, sizeof(state));
	for (unsigned int i = 0; i < KEEL_SEG_COUNT; i++)
		segment((enum keel_segment)i, 0x2b, 0xcf3, UINT32_MAX);
	segment(KEEL_SEG_CS, 0x33, 0xafb, UINT32_MAX);
	segment(KEEL_SEG_LDTR, 0, 0, 0);
	segment(KEEL_SEG_TR, 0x40, 0x8b, 0x206f);
	s->seg[KEEL_SEG_FS].base = 0x7f1234567000;
	s->seg[KEEL_SEG_GS].base = HIGH;
	s->gdt_base = s->idt_base = HIGH;
	s->gdt_limit = 0x7f;
	s->idt_limit = 0xfff;
	s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
	s->cr3 = (1ull << WIDTH) - 4096;
	s->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_PCIDE | CR4_OSXSAVE;
	s->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	s->dr6 = DR6_RESET;
	s->dr7 = DR7_RESET;
	s->cpl = 3;
	s->lstar = HIGH | 0x1000;
	s->sfmask = 0x47700;
	s->sysenter_cs = 0x10;
	s->pat = PAT_RESET;
	state.regs.rip = 0x401000;
	state.regs.rflags = RFLAGS_FIXED | RFLAGS_IF;
	state.xcr0 = state.xstate_bv = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	state.msrs = 1;
	state.msr[0] = (struct keel_msr){ .index = KEPT, .value = 15 };
}

/* Right after INIT, as a cell makes it. */
static void reset(void)
{
	memset(&state, 0, sizeof(state));
	for (unsigned int i = 0; i < KEEL_SEG_COUNT; i++)
		segment((enum keel_segment)i, 0, 0x93, 0xffff);
	segment(KEEL_SEG_CS, 0xf000, 0x9b, 0xffff);
	state.sregs.seg[KEEL_SEG_CS].base = 0xffff0000;
	segment(KEEL_SEG_LDTR, 0, 0x82, 0xffff);
	segment(KEEL_SEG_TR, 0, 0x8b, 0xffff);
	state.sregs.gdt_limit = state.sregs.idt_limit = 0xffff;
	state.sregs.cr0 = CR0_RESET;
	state.sregs.dr6 = DR6_RESET;
	state.sregs.dr7 = DR7_RESET;
	state.sregs.pat = PAT_RESET;
	state.regs.rip = 0xfff0;
	state.regs.rflags = RFLAGS_RESET;
	state.xcr0 = XCR0_X87;
}

static enum keel_state_part check(void)
{
	at = 0xdead;
	return guest_state_check(&state, &at);
}

START_TEST(good_states)
{
	struct keel_sregs *s = &state.sregs;

	ck_assert_int_eq(check(), KEEL_STATE_TAKEN);
	ck_assert_uint_eq(at, 0);
	/* Compatibility mode. */
	segment(KEEL_SEG_CS, 0x23, 0xcfb, UINT32_MAX);
	ck_assert_int_eq(check(), KEEL_STATE_TAKEN);
	/* PAE paging of 32 bits, with an LDT and a task of 16 bits. */
	s->efer = 0;
	s->cr4 &= ~CR4_PCIDE;
	s->pdpte[0] = 0x1001;
	s->pdpte[1] = UINT64_MAX & ~1ull;
	segment(KEEL_SEG_LDTR, 0x50, 0x82, 0x17);
	segment(KEEL_SEG_TR, 0x48, 0x83, 0x2b);
	ck_assert_int_eq(check(), KEEL_STATE_TAKEN);
	/* Virtual-8086 mode. */
	state.regs.rflags |= RFLAGS_VM;
	ck_assert_int_eq(check(), KEEL_STATE_TAKEN);
	reset();
	ck_assert_int_eq(check(), KEEL_STATE_TAKEN);
}
END_TEST

/* One part is another: what no guest has there, and what the answer is. */
enum { U32, U64 };
static const struct {
	void *field;
	unsigned int width;
	uint64_t value;
	enum keel_state_part part;
} bad[] = {
	{ &state.regs.rip, U64, BEYOND, KEEL_STATE_RIP },
	{ &state.regs.rip, U64, HIGH - 1, KEEL_STATE_RIP },
	{ &state.regs.rflags, U64, RFLAGS_FIXED | 1ull << 22, KEEL_STATE_RFLAGS },
	{ &state.regs.rflags, U64, RFLAGS_FIXED | 1ull << 63, KEEL_STATE_RFLAGS },
	{ &state.regs.rflags, U64, RFLAGS_FIXED | 1u << 15, KEEL_STATE_RFLAGS },
	{ &state.regs.rflags, U64, RFLAGS_FIXED | 1u << 5, KEEL_STATE_RFLAGS },
	{ &state.regs.rflags, U64, RFLAGS_FIXED | 1u << 3, KEEL_STATE_RFLAGS },
	{ &state.regs.rflags, U64, RFLAGS_FIXED | RFLAGS_VM, KEEL_STATE_RFLAGS },
	{ &state.sregs.cr0, U64, CR0_PE | CR0_PG | 1ull << 32, KEEL_STATE_CR0 },
	{ &state.sregs.cr0, U64, CR0_PE | CR0_PG | 1u << 17, KEEL_STATE_CR0 },
	{ &state.sregs.cr0, U64, CR0_PG, KEEL_STATE_CR0 },
	{ &state.sregs.cr0, U64, CR0_PE | CR0_PG | CR0_NW, KEEL_STATE_CR0 },
	{ &state.sregs.cr0, U64, CR0_PE, KEEL_STATE_EFER },		/* no paging, and yet in long mode */
	{ &state.sregs.cr3, U64, 1ull << WIDTH, KEEL_STATE_CR3 },
	{ &state.sregs.cr3, U64, 1ull << 63, KEEL_STATE_CR3 },
	{ &state.sregs.cr4, U64, CR4_PAE | CR4_VMXE, KEEL_STATE_CR4 },
	{ &state.sregs.cr4, U64, CR4_PAE | CR4_SMEP, KEEL_STATE_CR4 },
	{ &state.sregs.cr4, U64, CR4_PAE | CR4_LA57, KEEL_STATE_CR4 },
	{ &state.sregs.cr4, U64, CR4_PAE | CR4_CET, KEEL_STATE_CR4 },
	{ &state.sregs.cr4, U64, CR4_PAE | 1ull << 32, KEEL_STATE_CR4 },
	{ &state.sregs.cr4, U64, 0, KEEL_STATE_EFER },			/* long mode without PAE */
	{ &state.sregs.efer, U64, EFER_LME | EFER_LMA | EFER_SVME, KEEL_STATE_EFER },
	{ &state.sregs.efer, U64, EFER_LME | EFER_LMA | EFER_FFXSR, KEEL_STATE_EFER },
	{ &state.sregs.efer, U64, EFER_LME | EFER_LMA | 1u << 1, KEEL_STATE_EFER },
	{ &state.sregs.efer, U64, EFER_LME | EFER_LMA | 1ull << 63, KEEL_STATE_EFER },
	{ &state.sregs.efer, U64, EFER_LME, KEEL_STATE_EFER },
	{ &state.sregs.efer, U64, EFER_LMA, KEEL_STATE_EFER },
	{ &state.sregs.dr6, U64, 1ull << 32, KEEL_STATE_DEBUG },
	{ &state.sregs.dr7, U64, 1ull << 63, KEEL_STATE_DEBUG },
	{ &state.sregs.pending_debug, U64, 1u << 4, KEEL_STATE_DEBUG },
	{ &state.sregs.pending_debug, U64, 1u << 16, KEEL_STATE_DEBUG },
	{ &state.sregs.pending_debug, U64, 1ull << 63, KEEL_STATE_DEBUG },
	{ &state.sregs.cpl, U32, 4, KEEL_STATE_CPL },
	{ &state.sregs.tpr, U32, 16, KEEL_STATE_CR8 },
	{ &state.sregs.gdt_base, U64, BEYOND, KEEL_STATE_TABLES },
	{ &state.sregs.idt_base, U64, BEYOND, KEEL_STATE_TABLES },
	{ &state.sregs.gdt_limit, U32, 0x10000, KEEL_STATE_TABLES },
	{ &state.sregs.idt_limit, U32, 0x10000, KEEL_STATE_TABLES },
	{ &state.sregs.pdpte[3], U64, 0x1003, KEEL_STATE_PDPTE },
	{ &state.sregs.pdpte[2], U64, 1ull << WIDTH | 1, KEEL_STATE_PDPTE },
	{ &state.sregs.nmi_blocked, U32, 2, KEEL_STATE_EVENT },
	{ &state.nmi_pending, U32, 2, KEEL_STATE_EVENT },
	{ &state.sregs.shadow, U32, KEEL_SHADOW_STI | KEEL_SHADOW_MOV_SS, KEEL_STATE_EVENT },
	{ &state.sregs.shadow, U32, 4, KEEL_STATE_EVENT },
	{ &state.sregs.held, U32, 0x41, KEEL_STATE_EVENT },
	{ &state.sregs.held, U32, VALID | KEEL_INJECT_EXCEPTION | EXC_GP, KEEL_STATE_EVENT },
	{ &state.sregs.held, U32, VALID | KEEL_EVENT_NMI | EXC_NMI, KEEL_STATE_EVENT },
	{ &state.sregs.event, U32, 0x41, KEEL_STATE_EVENT },
	{ &state.sregs.event, U32, VALID | 1u << 12 | 0x41, KEEL_STATE_EVENT },
	{ &state.sregs.event, U32, VALID | 1u << 30 | 0x41, KEEL_STATE_EVENT },
	{ &state.sregs.event, U32, VALID | KEEL_INJECT_ERROR_CODE | 0x41, KEEL_STATE_EVENT },
	{ &state.sregs.event, U32, VALID | 1u << 8 | 0x41, KEEL_STATE_EVENT },
	{ &state.sregs.event, U32, VALID | KEEL_EVENT_INT_N | 0x80, KEEL_STATE_EVENT },
	{ &state.sregs.event, U32, VALID | 5u << 8 | 1, KEEL_STATE_EVENT },
	{ &state.sregs.event, U32, VALID | KEEL_EVENT_INT3 | 3, KEEL_STATE_EVENT },
	{ &state.sregs.event, U32, VALID | 7u << 8, KEEL_STATE_EVENT },
	{ &state.sregs.event, U32, VALID | KEEL_EVENT_NMI | 3, KEEL_STATE_EVENT },
	{ &state.sregs.event, U32, VALID | KEEL_INJECT_EXCEPTION | EXC_NMI, KEEL_STATE_EVENT },
	{ &state.sregs.event, U32, VALID | KEEL_INJECT_EXCEPTION | 32, KEEL_STATE_EVENT },
	{ &state.sregs.event, U32, VALID | KEEL_INJECT_EXCEPTION | EXC_GP, KEEL_STATE_EVENT },
	{ &state.sregs.event, U32, VALID | KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | EXC_UD, KEEL_STATE_EVENT },
	{ &state.sregs.event_code, U32, 1, KEEL_STATE_EVENT },
	{ &state.xcr0, U64, XCR0_SSE, KEEL_STATE_XCR0 },
	{ &state.xcr0, U64, XCR0_X87 | XCR0_AVX, KEEL_STATE_XCR0 },
	{ &state.xcr0, U64, XCR0_X87 | XCR0_SSE | XCR0_PKRU, KEEL_STATE_XCR0 },
	{ &state.xstate_bv, U64, XCR0_PKRU, KEEL_STATE_XSTATE },
	{ &state.xstate_bv, U64, 1ull << 63, KEEL_STATE_XSTATE },
	{ &state.sregs.reserved, U32, 1, KEEL_STATE_RESERVED },
	{ &state.msr[0].reserved, U32, 1, KEEL_STATE_RESERVED },
	{ &state.msrs, U32, KEEL_STATE_MSRS + 1, KEEL_STATE_RESERVED },
	{ &state.msrs, U32, UINT32_MAX, KEEL_STATE_RESERVED },
};

START_TEST(bad_fields)
{
	if (bad[_i].width == U32)
		*(uint32_t *)bad[_i].field = (uint32_t)bad[_i].value;
	else
		*(uint64_t *)bad[_i].field = bad[_i].value;
	ck_assert_int_eq(check(), bad[_i].part);
}
END_TEST

static const struct {
	enum keel_segment which;
	uint16_t attributes;
	uint64_t base;
} bad_segments[] = {
	{ KEEL_SEG_ES, 0x1cf3, 0 }, { KEEL_SEG_GS, 0x80f3, 0 },		/* bits that there are not */
	{ KEEL_SEG_SS, 0xce3, 0 }, { KEEL_SEG_CS, 0xaeb, 0 },		/* no segments of memory */
	{ KEEL_SEG_CS, 0xefb, 0 },					/* L and D */
	{ KEEL_SEG_DS, 0xcf3, 1ull << 32 }, { KEEL_SEG_SS, 0xcf3, HIGH }, { KEEL_SEG_CS, 0xafb, 1ull << 32 },
	{ KEEL_SEG_FS, 0xcf3, BEYOND }, { KEEL_SEG_GS, 0, BEYOND }, { KEEL_SEG_LDTR, 0, BEYOND }, { KEEL_SEG_TR, 0x8b, BEYOND },
	{ KEEL_SEG_TR, 0x0b, 0 }, { KEEL_SEG_TR, 0x9b, 0 }, { KEEL_SEG_TR, 0x82, 0 }, { KEEL_SEG_TR, 0x8e, 0 },
	{ KEEL_SEG_LDTR, 0x8b, 0 }, { KEEL_SEG_LDTR, 0x92, 0 },
};

START_TEST(segments)
{
	struct keel_segment_register *seg = &state.sregs.seg[bad_segments[_i].which];

	seg->attributes = bad_segments[_i].attributes;
	seg->base = bad_segments[_i].base;
	ck_assert_int_eq(check(), KEEL_STATE_SEGMENT);
	ck_assert_uint_eq(at, bad_segments[_i].which);
}
END_TEST

/* What Keel would write to the processor itself: a fault in ring 0. */
START_TEST(msrs)
{
	static const struct {
		uint64_t *field, value;
		uint32_t msr;
	} values[] = {
		{ &state.sregs.lstar, BEYOND, MSR_LSTAR }, { &state.sregs.cstar, BEYOND, MSR_CSTAR },
		{ &state.sregs.kernel_gs_base, HIGH - 1, MSR_KERNEL_GS_BASE }, { &state.sregs.sfmask, 1ull << 32, MSR_SFMASK },
		{ &state.sregs.sysenter_cs, 1ull << 32, MSR_SYSENTER_CS },
		{ &state.sregs.sysenter_esp, BEYOND, MSR_SYSENTER_ESP },
		{ &state.sregs.sysenter_eip, BEYOND, MSR_SYSENTER_EIP }, { &state.sregs.pat, 2, MSR_PAT },
		{ &state.msr[0].value, 16, KEPT },
	};

	*values[_i].field = values[_i].value;
	ck_assert_int_eq(check(), KEEL_STATE_MSR);
	ck_assert_uint_eq(at, values[_i].msr);
}
END_TEST

START_TEST(unknown_msrs)
{
	static const uint32_t unknown[] = { MSR_EFER, MSR_TSC, MSR_VM_HSAVE_PA, MSR_APIC_BASE, KEPT + 1, UINT32_MAX };

	state.msrs = 2;
	state.msr[1].index = unknown[_i];
	ck_assert_int_eq(check(), KEEL_STATE_MSR);
	ck_assert_uint_eq(at, unknown[_i]);
	/* Of one that is not counted nothing is read. */
	state.msrs = 1;
	ck_assert_int_eq(check(), KEEL_STATE_TAKEN);
}
END_TEST

/* An event goes in as the processor takes it: the entry would fail else. */
START_TEST(events)
{
	static const struct {
		uint32_t event, code, shadow, nmi_blocked;
		uint64_t rflags;
		bool good;
	} cases[] = {
		{ VALID | 0x41, 0, 0, 0, RFLAGS_IF, true },
		{ VALID | 0x41, 0, 0, 0, 0, false },
		{ VALID | 0x41, 0, KEEL_SHADOW_STI, 0, RFLAGS_IF, false },
		{ VALID | 0x41, 0, KEEL_SHADOW_MOV_SS, 0, RFLAGS_IF, false },
		{ VALID | 0x41, 3, 0, 0, RFLAGS_IF, false },
		{ VALID | KEEL_EVENT_NMI | EXC_NMI, 0, 0, 0, 0, true },
		{ VALID | KEEL_EVENT_NMI | EXC_NMI, 0, KEEL_SHADOW_STI, 0, RFLAGS_IF, false },
		{ VALID | KEEL_EVENT_NMI | EXC_NMI, 0, KEEL_SHADOW_MOV_SS, 0, RFLAGS_IF, false },
		{ VALID | KEEL_EVENT_NMI | EXC_NMI, 0, 0, 1, 0, false },
		{ VALID | KEEL_INJECT_EXCEPTION | EXC_UD, 0, KEEL_SHADOW_MOV_SS, 1, 0, true },
		{ VALID | KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | EXC_PF, 7, 0, 0, 0, true },
		{ VALID | KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | EXC_PF, 0x8000, 0, 0, 0, false },
		{ 0, 0, KEEL_SHADOW_STI, 0, RFLAGS_IF, true },
		{ 0, 0, KEEL_SHADOW_STI, 0, 0, false },
		{ 0, 0, KEEL_SHADOW_MOV_SS, 1, 0, true },
	};

	state.sregs.event = cases[_i].event;
	state.sregs.event_code = cases[_i].code;
	state.sregs.shadow = cases[_i].shadow;
	state.sregs.nmi_blocked = cases[_i].nmi_blocked;
	state.regs.rflags = RFLAGS_FIXED | cases[_i].rflags;
	state.sregs.held = VALID | 0xff;
	ck_assert_int_eq(check(), cases[_i].good ? KEEL_STATE_TAKEN : KEEL_STATE_EVENT);
}
END_TEST

/* Outside 64-bit code there is no RIP of more than 32 bits; in real mode there are no rings. */
START_TEST(modes)
{
	segment(KEEL_SEG_CS, 0x23, 0xcfb, UINT32_MAX);
	state.regs.rip = 1ull << 32;
	ck_assert_int_eq(check(), KEEL_STATE_RIP);
	reset();
	state.sregs.cpl = 1;
	ck_assert_int_eq(check(), KEEL_STATE_CPL);
	reset();
	state.sregs.event = VALID | KEEL_INJECT_EXCEPTION | EXC_GP;
	ck_assert_int_eq(check(), KEEL_STATE_TAKEN);
	state.sregs.cr4 = CR4_PCIDE;
	ck_assert_int_eq(check(), KEEL_STATE_CR4);
	set_up();
	state.sregs.efer = 0;
	state.sregs.cr4 &= ~CR4_PCIDE;
	state.regs.rflags |= RFLAGS_VM;
	state.sregs.cpl = 0;
	ck_assert_int_eq(check(), KEEL_STATE_CPL);
}
END_TEST

/* Any one bit of a good state may be another: never is more taken than the tables here would say. */
START_TEST(flipped_bits)
{
	uint8_t *bytes = (uint8_t *)&state.sregs;
	enum keel_state_part part;

	for (unsigned int bit = 0; bit < sizeof(state.sregs) * 8; bit++) {
		set_up();
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		part = check();
		if (part == KEEL_STATE_TAKEN) {
			ck_assert_uint_eq(state.sregs.efer & ~(EFER_GUEST | EFER_LMA), 0);
			ck_assert_uint_eq(state.sregs.cr4 & ~cpuid_guest_cr4(), 0);
			ck_assert_uint_eq((state.sregs.cr0 | state.sregs.dr6 | state.sregs.dr7) >> 32, 0);
			ck_assert(is_canonical(state.sregs.lstar) && is_canonical(state.sregs.kernel_gs_base));
		}
		ck_assert_int_lt(part, KEEL_STATE_RESERVED + 1);
	}
}
END_TEST

/* A cell's answer is the entry's to check, but for what is Keel's. */
START_TEST(answers)
{
	static const struct {
		uint64_t efer, cr4;
		uint32_t cpl;
		bool good;
	} values[] = {
		{ 0, 0, 0, true }, { EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE, CR4_PAE, 3, true }, { 1u << 1, 0, 0, false },
		{ EFER_SVME, 0, 0, false }, { 1u << 13, 0, 0, false }, { 1u << 14, 0, 0, false }, { 1ull << 63, 0, 0, false },
		{ 0, CR4_VMXE, 0, false }, { 0, CR4_CET, 0, false }, { 0, CR4_LA57, 0, false }, { 0, 0, 4, false },
	};
	struct keel_sregs sregs = { .efer = values[_i].efer, .cr4 = values[_i].cr4, .cpl = values[_i].cpl };

	ck_assert_int_eq(guest_state_may_answer(&sregs), values[_i].good);
}
END_TEST

SUITE("guest_state", tests)
{
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, good_states);
	tcase_add_loop_test(tests, bad_fields, 0, ARRAY_SIZE(bad));
	tcase_add_loop_test(tests, segments, 0, ARRAY_SIZE(bad_segments));
	tcase_add_loop_test(tests, msrs, 0, 9);
	tcase_add_loop_test(tests, unknown_msrs, 0, 6);
	tcase_add_loop_test(tests, events, 0, 15);
	tcase_add_test(tests, modes);
	tcase_add_test(tests, flipped_bits);
	tcase_add_loop_test(tests, answers, 0, 11);
}
