/* SPDX-License-Identifier: GPL-2.0 */
/* What a cell may put into its guest's state. */
#include <check.h>

#include "cpu.h"
#include "guest_state.h"
#include "suite.h"

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
		{ 0, CR4_VMXE, 0, false }, { 0, 0, 4, false },
	};
	struct keel_sregs sregs = { .efer = values[_i].efer, .cr4 = values[_i].cr4, .cpl = values[_i].cpl };

	ck_assert_int_eq(guest_state_may_answer(&sregs), values[_i].good);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guest_state");
	TCase *tests = tcase_create("tests");

	tcase_add_loop_test(tests, answers, 0, 9);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
