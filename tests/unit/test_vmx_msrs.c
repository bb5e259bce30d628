/* SPDX-License-Identifier: GPL-2.0 */
/* The MSRs that a guest on VMX reads and writes without an exit: those that change hands with it, and its APIC page's. */
#include <check.h>
#include <stdbool.h>

#include "suite.h"

#include "../../arch/x86/vmx/vmx.c"

/* Nobody calls them. */
#pragma weak apic_raise_again
#pragma weak control_table
#pragma weak mtrr_caching
#pragma weak mtrr_read
#pragma weak panic
#pragma weak print
#pragma weak rdmsr
#pragma weak trap_idt
#pragma weak trap_reload
#pragma weak vmread
#pragma weak xsetbv_safe
#pragma weak vmwrite
#pragma weak cpu_unblock_nmi
#pragma weak cpu_write_back
#pragma weak vmx_enter
#pragma weak vmx_exit
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

uint8_t *memory_test_arena;

/* Kept by the VMCS, or swapped by Keel. */
static bool is_guests_own(uint32_t msr)
{
	switch (msr) {
	case 0x174 ... 0x176:			/* SYSENTER */
	case MSR_PAT:
	case MSR_EFER:
	case 0xc0000081 ... 0xc0000084:		/* STAR to SFMASK */
	case 0xc0000100 ... 0xc0000102:		/* FS, GS, kernel GS */
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
			if (msr < KEEL_MSR_X2APIC_FIRST || msr > KEEL_MSR_X2APIC_LAST)
				ck_assert_msg(exits(vmx_x2apic_bitmap, msr, write) == !is_guests_own(msr), "%x %u", msr, write);
		}
}
END_TEST

/* The page has no ICR, EOI's value or current count to read, and of writes the processor carries out three. */
START_TEST(x2apic_msrs)
{
	for (uint32_t msr = KEEL_MSR_X2APIC_FIRST; msr <= KEEL_MSR_X2APIC_LAST; msr++)
		ck_assert_int_eq(exits(vmx_x2apic_bitmap, msr, true), msr != 0x808 && msr != 0x80b && msr != 0x83f);
	ck_assert(!exits(vmx_x2apic_bitmap, 0x802, false) && !exits(vmx_x2apic_bitmap, 0x820, false));
	ck_assert(exits(vmx_x2apic_bitmap, 0x830, false) && exits(vmx_x2apic_bitmap, 0x839, false));
	ck_assert(exits(vmx_x2apic_bitmap, 0x80b, false) && exits(vmx_x2apic_bitmap, 0x840, false));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vmx_msrs");
	TCase *tests = tcase_create("tests");

	bitmaps_init();
	tcase_add_loop_test(tests, guest_msrs, 0, 2);
	tcase_add_test(tests, x2apic_msrs);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
