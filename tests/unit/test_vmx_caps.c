/* SPDX-License-Identifier: GPL-2.0 */
/* VMX without a processor: what its capabilities are taken for, and its errors in words. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <x86/msr.h>

#include "suite.h"
#include "vmcs.h"
#include "vmx_caps.h"

#define ANYTHING	0xffffffff00000000ull	/* every bit may be 0 or 1 */

static uint64_t without(uint32_t bit)
{
	return ANYTHING & ~((uint64_t)bit << 32);
}

START_TEST(adjusts)
{
	ck_assert_uint_eq(vmx_adjust(ANYTHING, 0), 0);
	ck_assert_uint_eq(vmx_adjust(ANYTHING, 0x1234), 0x1234);
	ck_assert_uint_eq(vmx_adjust(0x000000ff00000016ull, 0x108), 0x1e);	/* 2, 4, 16 forced; 256 not to be had */
}
END_TEST

START_TEST(picks_msrs)
{
	static const uint32_t expected[VMX_CONTROLS][2] = {
		[VMX_PIN] = { 0x481, 0x48d }, [VMX_PRIMARY] = { 0x482, 0x48e }, [VMX_SECONDARY] = { 0x48b, 0x48b },
		[VMX_EXIT] = { 0x483, 0x48f }, [VMX_ENTRY] = { 0x484, 0x490 },
	};

	for (unsigned int group = 0; group < VMX_CONTROLS; group++) {
		ck_assert_uint_eq(vmx_control_msr(group, 0), expected[group][0]);
		ck_assert_uint_eq(vmx_control_msr(group, VMX_BASIC_TRUE), expected[group][1]);
	}
}
END_TEST

START_TEST(finds_what_is_missing)
{
	for (unsigned int group = 0; group < VMX_CONTROLS; group++)
		ck_assert_ptr_null(vmx_missing(group, ANYTHING));
	ck_assert_ptr_nonnull(vmx_missing(VMX_PIN, without(PIN_VIRTUAL_NMI)));
	ck_assert_ptr_null(vmx_missing(VMX_PIN, without(PIN_PREEMPTION_TIMER)));
	ck_assert_ptr_nonnull(vmx_missing(VMX_PRIMARY, without(PRIMARY_SECONDARY)));
	ck_assert_ptr_nonnull(vmx_missing(VMX_PRIMARY, without(PRIMARY_TPR_SHADOW)));
	ck_assert_ptr_nonnull(vmx_missing(VMX_PRIMARY, ANYTHING | PRIMARY_CR3_LOAD));
	ck_assert_ptr_nonnull(strstr(vmx_missing(VMX_SECONDARY, without(SECONDARY_EPT)), "EPT"));
	ck_assert_ptr_nonnull(strstr(vmx_missing(VMX_SECONDARY, without(SECONDARY_UNRESTRICTED)), "unrestricted"));
	ck_assert_ptr_null(vmx_missing(VMX_SECONDARY, without(SECONDARY_VPID | SECONDARY_PAUSE_LOOP | SECONDARY_XSAVES)));
	ck_assert_ptr_nonnull(vmx_missing(VMX_EXIT, without(EXIT_LOAD_EFER)));
	ck_assert_ptr_nonnull(vmx_missing(VMX_ENTRY, without(ENTRY_LOAD_PAT)));
}
END_TEST

START_TEST(ept)
{
	const uint64_t least = VMX_EPT_FOUR_LEVELS | VMX_EPT_WB | VMX_EPT_2M | VMX_EPT_INVEPT;

	ck_assert_ptr_null(vmx_ept_missing(least | VMX_EPT_INVEPT_SINGLE));
	ck_assert_ptr_null(vmx_ept_missing(least | VMX_EPT_INVEPT_ALL));
	ck_assert_ptr_nonnull(vmx_ept_missing(least));
	ck_assert_ptr_nonnull(vmx_ept_missing(least & ~(uint64_t)VMX_EPT_2M));
	ck_assert_ptr_nonnull(vmx_ept_missing(0));
}
END_TEST

START_TEST(failures_in_words)
{
	for (uint64_t detail = 0; detail < 64; detail++)
		ck_assert_uint_gt(strlen(vmx_failure(VMX_DETAIL_INSTRUCTION | detail)), 10);
	ck_assert_str_eq(vmx_failure(VMX_DETAIL_INSTRUCTION | 7), "VM entry with invalid control fields");
	ck_assert_str_eq(vmx_failure(VMX_DETAIL_INSTRUCTION | 8), "VM entry with invalid host-state fields");
	ck_assert_str_eq(vmx_failure(VMX_EXIT_ENTRY_FAILED | VMX_EXIT_BAD_STATE), "VM entry with invalid guest state");
	for (uint64_t qualification = 0; qualification < 8; qualification++)
		ck_assert_uint_gt(strlen(vmx_failure(qualification << VMX_DETAIL_QUALIFICATION_SHIFT |
						     VMX_EXIT_ENTRY_FAILED | VMX_EXIT_BAD_STATE)), 10);
	ck_assert_ptr_nonnull(strstr(vmx_failure(4ull << VMX_DETAIL_QUALIFICATION_SHIFT | VMX_EXIT_ENTRY_FAILED |
						 VMX_EXIT_BAD_STATE), "link pointer"));
	ck_assert_str_eq(vmx_failure(VMX_EXIT_ENTRY_FAILED | VMX_EXIT_ENTRY_MCE), "machine check during VM entry");
	ck_assert_uint_gt(strlen(vmx_failure(VMX_EXIT_ENTRY_FAILED | 63)), 10);
}
END_TEST

/* Off and locked: the firmware's word. Off and open: switched on and locked. Else as it is. */
START_TEST(feature_control)
{
	const uint64_t lock = FEATURE_CONTROL_LOCK, vmx = FEATURE_CONTROL_VMX, smx = FEATURE_CONTROL_VMX_SMX;

	ck_assert_ptr_nonnull(strstr(vmx_locked_off(lock), "firmware setup"));
	ck_assert_ptr_nonnull(vmx_locked_off(lock | smx));
	ck_assert_ptr_null(vmx_locked_off(0));
	ck_assert_ptr_null(vmx_locked_off(vmx));
	ck_assert_ptr_null(vmx_locked_off(lock | vmx));
	ck_assert_uint_eq(vmx_switched_on(0), lock | vmx);
	ck_assert_uint_eq(vmx_switched_on(smx), lock | vmx | smx);
	ck_assert_uint_eq(vmx_switched_on(lock | vmx | smx), lock | vmx | smx);
	ck_assert_uint_eq(vmx_switched_on(lock), lock);
}
END_TEST

SUITE("vmx_caps", tests)
{
	tcase_add_test(tests, adjusts);
	tcase_add_test(tests, picks_msrs);
	tcase_add_test(tests, finds_what_is_missing);
	tcase_add_test(tests, ept);
	tcase_add_test(tests, failures_in_words);
	tcase_add_test(tests, feature_control);
}
