/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The MSRs that a guest on VMX reads and writes without an exit: those that change hands with it, and its APIC page's; and the
 * top entries of PAE paging, which Keel reads for it.
 */
#include <check.h>
#include <stdbool.h>

#include <x86/apic.h>

#include "cpu.h"
#include "suite.h"

static uint64_t cr3;
#define read_cr3() cr3
#define write_cr3(value) (cr3 = (value))
#include "percpu.h"
static struct cpu booting;
#define this_cpu() (&booting)
#include "../../arch/x86/vmx/vmx.c"
#include "../../arch/x86/vmx/vmx_state.c"

/* Nobody calls them. */
#pragma weak control_msrs_intel
#pragma weak mtrr_caching
#pragma weak mtrr_read
#pragma weak panic
#pragma weak print
#pragma weak rdmsr
#pragma weak trap_idt
#pragma weak trap_reload
#pragma weak vmx_end_instruction
#pragma weak vmx_exit
#pragma weak vmx_control_advance
#pragma weak vmx_control_enter
#pragma weak vmx_control_flush
#pragma weak vmx_control_get
#pragma weak vmx_control_hlt
#pragma weak vmx_control_init
#pragma weak vmx_control_inject
#pragma weak vmx_control_inject_nmi
#pragma weak vmx_control_rdmsr
#pragma weak vmx_control_set
#pragma weak vmx_control_set_cr2
#pragma weak vmx_control_watch_port
#pragma weak vmx_vcpu_advance
#pragma weak vmx_vcpu_enter
#pragma weak vmx_vcpu_init
#pragma weak vmx_vcpu_inject
#pragma weak vmx_vcpu_interruptible
#pragma weak vmx_vcpu_load
#pragma weak vmx_vcpu_put
#pragma weak vmx_vcpu_set_apic
#pragma weak vmx_vcpu_state_in
#pragma weak vmx_vcpu_state_out
#pragma weak vmx_vcpu_tsc_moved
#pragma weak vmx_vcpu_window
#pragma weak wrmsr

#define RANGE		0x2000u

#define TABLES		0x0u
#define GUEST_MEMORY	0x8000u		/* a page of it, at */
#define GUEST_CR3	0x12345660u

uint8_t *memory_test_arena;
static _Alignas(PAGE_SIZE) uint8_t arena[GUEST_MEMORY + PAGE_SIZE];
static uint64_t vmcs_cr3, pdpte[4], checked[4];
static bool refused;

uint64_t vmread(enum vmcs_field field)
{
	ck_assert_int_eq(field, VMCS_GUEST_CR3);
	return vmcs_cr3;
}

void vmwrite(enum vmcs_field field, uint64_t value)
{
	unsigned int i = (field - VMCS_GUEST_PDPTE0) / 2u;

	ck_assert_uint_lt(i, ARRAY_SIZE(pdpte));
	pdpte[i] = value;
}

/* The control domain's is none of this. */
void vmx_control_bitmap_init(void)
{
}

bool guest_state_pdptes_ok(const uint64_t entries[4])
{
	memcpy(checked, entries, sizeof(checked));
	return !refused;
}

/* Kept by the VMCS, or swapped by Keel. */
static bool is_guests_own(uint32_t msr)
{
	switch (msr) {
	case MSR_SYSENTER_CS ... MSR_SYSENTER_EIP:
	case MSR_PAT:
	case MSR_EFER:
	case MSR_STAR ... MSR_SFMASK:
	case MSR_FS_BASE ... MSR_KERNEL_GS_BASE:
		return true;
	default:
		return false;
	}
}

static bool exits(const uint8_t *bitmap, uint32_t msr, bool write)
{
	unsigned int byte = (msr & 0x1fff) / 8 + (msr >= 0xc0000000u ? 0x400 : 0) + (write ? 0x800 : 0);

	return bitmap[byte] >> msr % 8 & 1;
}

START_TEST(guest_msrs)
{
	for (uint32_t i = 0; i < RANGE; i++)
		for (unsigned int write = 0; write < 2; write++) {
			uint32_t msr = i + (_i ? 0xc0000000u : 0);

			ck_assert_msg(exits(vmx_guest_bitmap, msr, write) == !is_guests_own(msr), "%x %u", msr, write);
			if (msr < MSR_X2APIC_FIRST || msr > MSR_X2APIC_LAST)
				ck_assert_msg(exits(vmx_x2apic_bitmap, msr, write) == !is_guests_own(msr), "%x %u", msr, write);
		}
}
END_TEST

/* The page has no ICR, EOI's value or current count to read, and of writes the processor carries out three. */
START_TEST(x2apic_msrs)
{
	for (uint32_t msr = MSR_X2APIC_FIRST; msr <= MSR_X2APIC_LAST; msr++)
		ck_assert_int_eq(exits(vmx_x2apic_bitmap, msr, true),
				 msr != MSR_X2APIC(APIC_REG_TPR) && msr != MSR_X2APIC_EOI && msr != MSR_X2APIC_SELF_IPI);
	ck_assert(!exits(vmx_x2apic_bitmap, MSR_X2APIC(APIC_REG_ID), false));
	ck_assert(!exits(vmx_x2apic_bitmap, MSR_X2APIC(APIC_REG_IRR), false));
	ck_assert(exits(vmx_x2apic_bitmap, MSR_X2APIC_ICR, false));
	ck_assert(exits(vmx_x2apic_bitmap, MSR_X2APIC(APIC_REG_TIMER_CURRENT), false));
	ck_assert(exits(vmx_x2apic_bitmap, MSR_X2APIC_EOI, false));
	ck_assert(exits(vmx_x2apic_bitmap, MSR_X2APIC_EXT_FEATURE, false));
}
END_TEST

START_TEST(pdptes)
{
	const struct page_table memory = { .format = &pt_format_ept, .root = TABLES, .largest = PT_ORDER_2M };
	static const uint64_t entries[4] = { 0x1001, 0, 0x2001, 0x3001 };
	struct frame_pool pool = { 0 };

	memory_test_arena = arena;
	memset(arena, 0, sizeof(arena));
	for (uint64_t pa = TABLES + PAGE_SIZE; pa < GUEST_MEMORY; pa += PAGE_SIZE)
		frame_pool_put(&pool, pa);
	ck_assert_int_eq(pt_map(&memory, GUEST_CR3 & ~0xfffull, GUEST_MEMORY, 0, PT_READ | PT_WRITE, 0, &pool), 0);
	memcpy(arena + GUEST_MEMORY + (GUEST_CR3 & 0xfff), entries, sizeof(entries));
	vmcs_cr3 = GUEST_CR3;
	booting.main_cr3 = 7;
	cr3 = 9;
	refused = _i;
	memset(pdpte, 0xee, sizeof(pdpte));
	ck_assert_int_eq(vmx_load_pdptes(&memory), !_i);
	ck_assert_uint_eq(cr3, 9);
	ck_assert_mem_eq(checked, entries, sizeof(entries));
	ck_assert_int_eq(memcmp(pdpte, entries, sizeof(entries)) == 0, !_i);
	/* Where there is no memory. */
	vmcs_cr3 = GUEST_CR3 + PAGE_SIZE;
	ck_assert(!vmx_load_pdptes(&memory));
}
END_TEST

SUITE("vmx_msrs", tests)
{
	bitmaps_init();
	tcase_add_loop_test(tests, guest_msrs, 0, 2);
	tcase_add_test(tests, x2apic_msrs);
	tcase_add_loop_test(tests, pdptes, 0, 2);
}
