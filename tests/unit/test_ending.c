// SPDX-License-Identifier: GPL-2.0
/* The end of a guest's run: what follows from each reason, and how it is told. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <keel/macros.h>

#include "host/ending.h"
#include "machine/link.h"
#include "suite.h"

/* Three actions that tell the manifest's three keys apart. */
static const struct manifest manifest = {
	.on_poweroff = MANIFEST_DESTROY, .on_reboot = MANIFEST_RESTART, .on_crash = MANIFEST_PRESERVE,
};

static const struct {
	enum keel_end end;
	bool crash;
	enum manifest_action action;
} ends[] = {
	{ KEEL_END_POWEROFF, false, MANIFEST_DESTROY },
	{ KEEL_END_RESET, false, MANIFEST_RESTART },
	{ KEEL_END_TRIPLE_FAULT, false, MANIFEST_RESTART },
	{ KEEL_END_CELL_FAULT, true, MANIFEST_PRESERVE },
	{ KEEL_END_CELL_ANSWER, true, MANIFEST_PRESERVE },
	{ KEEL_END_CELL_REFUSED, true, MANIFEST_PRESERVE },
	{ KEEL_END_ENTRY_FAILED, true, MANIFEST_PRESERVE },
	{ KEEL_END_UNHANDLED, true, MANIFEST_PRESERVE },
	{ KEEL_END_DESTROYED, false, MANIFEST_DESTROY },
};
#define ENDS ARRAY_SIZE(ends)

START_TEST(vcpu_that_cannot_run_is_a_crash)
{
	struct keel_vm_status status = { .end = ENDING_VCPU_FAILED, .detail = 3ull << 32 | EIO };
	char text[128];

	ck_assert(ending_is_crash(&status));
	ck_assert_uint_eq(ending_action(&status, ENDING_WISH_NONE, &manifest), MANIFEST_PRESERVE);
	ck_assert_uint_eq(ending_action(&status, ENDING_WISH_DESTROY, &manifest), MANIFEST_DESTROY);
	ending_describe(&status, text, sizeof(text));
	ck_assert_str_eq(text, "vCPU 3 cannot run: Input/output error");
}
END_TEST

START_TEST(manifest_decides)
{
	for (unsigned int i = 0; i < ENDS; i++) {
		struct keel_vm_status status = { .end = ends[i].end };

		ck_assert_uint_eq(ending_is_crash(&status), ends[i].crash);
		ck_assert_uint_eq(ending_action(&status, ENDING_WISH_NONE, &manifest), ends[i].action);
	}
}
END_TEST

/* A triple fault is a reset whatever that leads to. */
START_TEST(triple_fault_is_a_reset)
{
	static const enum manifest_action actions[] = { MANIFEST_DESTROY, MANIFEST_RESTART, MANIFEST_PRESERVE };
	struct keel_vm_status reset = { .end = KEEL_END_RESET }, triple = { .end = KEEL_END_TRIPLE_FAULT };

	for (unsigned int i = 0; i < 3; i++)
		for (enum ending_wish wish = ENDING_WISH_NONE; wish <= ENDING_WISH_DESTROY; wish++) {
			struct manifest m = { .on_reboot = actions[i], .on_crash = actions[(i + 1) % 3] };

			ck_assert_uint_eq(ending_action(&triple, wish, &m), ending_action(&reset, wish, &m));
		}
}
END_TEST

static enum manifest_action ends_short(enum keel_end end, const struct manifest *m, unsigned int *count, bool *given_up)
{
	struct keel_vm_status status = { .end = end };

	return ending_next(&status, ENDING_WISH_NONE, m, 1, count, given_up);
}

/* The fifth short run in a row that fails is the last, and one that lasts makes the count begin anew. */
START_TEST(failing_at_once)
{
	static const enum keel_end failures[] = { KEEL_END_TRIPLE_FAULT, KEEL_END_CELL_FAULT, KEEL_END_UNHANDLED };
	static const struct manifest restarts = { .on_reboot = MANIFEST_RESTART, .on_crash = MANIFEST_RESTART };
	struct keel_vm_status status = { .end = KEEL_END_RESET };
	unsigned int count = 0;
	bool given_up;

	for (unsigned int i = 0; i < 3; i++, count = 0) {
		for (unsigned int run = 1; run <= 4; run++) {
			ck_assert_uint_eq(ends_short(failures[i], &restarts, &count, &given_up), MANIFEST_RESTART);
			ck_assert(!given_up);
		}
		ck_assert_uint_eq(ends_short(failures[i], &restarts, &count, &given_up), MANIFEST_DESTROY);
		ck_assert(given_up);
		count = 4;
		ck_assert_uint_eq(ending_next(&status, ENDING_WISH_NONE, &restarts, 2, &count, &given_up), MANIFEST_RESTART);
		ck_assert_uint_eq(ends_short(failures[i], &restarts, &count, &given_up), MANIFEST_RESTART);
		count = 4;
		ck_assert_uint_eq(ending_next(&status, ENDING_WISH_REBOOT, &restarts, 0, &count, &given_up), MANIFEST_RESTART);
		ck_assert_uint_eq(ends_short(failures[i], &restarts, &count, &given_up), MANIFEST_RESTART);
	}
	/* A guest that resets itself as often as it likes has not failed. */
	for (unsigned int run = 0; run < 20; run++)
		ck_assert_uint_eq(ends_short(KEEL_END_RESET, &restarts, &count, &given_up), MANIFEST_RESTART);
	/* What is to be preserved after a crash is so after triple faults without end. */
	count = 4;
	ck_assert_uint_eq(ends_short(KEEL_END_TRIPLE_FAULT, &manifest, &count, &given_up), MANIFEST_PRESERVE);
	ck_assert(given_up);
	ck_assert_uint_eq(ends_short(KEEL_END_POWEROFF, &manifest, &count, &given_up), MANIFEST_DESTROY);
	ck_assert(!given_up);
}
END_TEST

START_TEST(owner_decides)
{
	struct manifest restarts = { .on_poweroff = MANIFEST_RESTART }, preserves = { .on_poweroff = MANIFEST_PRESERVE };
	struct keel_vm_status status = { .end = KEEL_END_POWEROFF };

	ck_assert_uint_eq(ending_action(&status, ENDING_WISH_NONE, &restarts), MANIFEST_RESTART);
	ck_assert_uint_eq(ending_action(&status, ENDING_WISH_SHUTDOWN, &restarts), MANIFEST_DESTROY);
	ck_assert_uint_eq(ending_action(&status, ENDING_WISH_SHUTDOWN, &preserves), MANIFEST_PRESERVE);
	ck_assert_uint_eq(ending_action(&status, ENDING_WISH_SHUTDOWN, &manifest), MANIFEST_DESTROY);
	for (unsigned int i = 0; i < ENDS; i++) {
		status.end = ends[i].end;
		ck_assert_uint_eq(ending_action(&status, ENDING_WISH_DESTROY, &manifest), MANIFEST_DESTROY);
		ck_assert_uint_eq(ending_action(&status, ENDING_WISH_REBOOT, &manifest), MANIFEST_RESTART);
	}
}
END_TEST

static const char *text_of(enum keel_end end, uint64_t detail, uint64_t address)
{
	static char text[256];
	struct keel_vm_status status = { .end = end, .detail = detail, .address = address };

	ending_describe(&status, text, sizeof(text));
	return text;
}

START_TEST(descriptions)
{
	char all[ENDS][256];

	for (unsigned int i = 0; i < ENDS; i++) {
		snprintf(all[i], sizeof(all[i]), "%s", text_of(ends[i].end, 0, 0));
		ck_assert(!strstr(all[i], "unknown"));
		for (unsigned int j = 0; j < i; j++)
			ck_assert_str_ne(all[i], all[j]);
	}
	ck_assert_str_eq(text_of(KEEL_END_TRIPLE_FAULT, 3, 0x7c10),
			 "triple fault: a processor of the guest shut down, which resets the machine (vCPU 3 at 0x7c10)");
	ck_assert(strstr(text_of(KEEL_END_CELL_FAULT, 14ull << 32 | 6, 0x1234), "vector 14, error code 0x6, address 0x1234"));
	for (unsigned int why = CELL_REFUSED_CHANNEL; why <= CELL_REFUSED_STATISTICS; why++)
		ck_assert(strstr(text_of(KEEL_END_CELL_REFUSED, why, 0), "gave up: "));
	ck_assert(strstr(text_of(KEEL_END_CELL_REFUSED, 0xabc, 0), "code 0xabc"));
	ck_assert_str_eq(text_of(99, 0, 0), "unknown reason 99");
}
END_TEST

SUITE("ending", tcase)
{
	tcase_add_test(tcase, vcpu_that_cannot_run_is_a_crash);
	tcase_add_test(tcase, manifest_decides);
	tcase_add_test(tcase, triple_fault_is_a_reset);
	tcase_add_test(tcase, failing_at_once);
	tcase_add_test(tcase, owner_decides);
	tcase_add_test(tcase, descriptions);
}
