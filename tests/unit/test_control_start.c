/* SPDX-License-Identifier: GPL-2.0 */
/* What is told of a control domain that ends, and until when. */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "console.h"
#include "control.h"
#include "cpu.h"
#include "hv.h"
#include "suite.h"

#define RIP	0x1234u
#define GPA	0x200000u

static struct cpu first = { .index = 0 }, other = { .index = 1 };
static uint64_t rflags;
static bool exits, loud;
static char told[1024];

uint8_t *memory_test_arena;

static void get(struct cpu *cpu, struct hv_control_state *state)
{
	(void)cpu;
	*state = (struct hv_control_state){ .rflags = rflags };
}

static void hlt(struct cpu *cpu, bool on)
{
	ck_assert_ptr_eq(cpu, &first);
	exits = on;
}

static const struct hv_ops ops = { .control.get = get, .control.hlt = hlt };
const struct hv_ops *hv = &ops;

void console_loud(void)
{
	loud = true;
}

void console_quiet(void)
{
	loud = false;
}

void print(const char *format, ...)
{
	size_t used = strlen(told);
	va_list args;

	ck_assert(loud);
	va_start(args, format);
	vsnprintf(told + used, sizeof(told) - used, format, args);
	va_end(args);
}

static void set_up(void)
{
	first.control.rip = other.control.rip = RIP;
	control_watch_start(&first);
	ck_assert(exits);
}

START_TEST(halt_with_interrupts)
{
	rflags = RFLAGS_IF;
	control_take_hlt(&first);
	ck_assert(!exits);
	ck_assert(!control_failed_to_start(&first));
	ck_assert_str_eq(told, "");
}
END_TEST

START_TEST(halt_for_good)
{
	control_take_hlt(&first);
	ck_assert(!exits);
	ck_assert_ptr_nonnull(strstr(told, "halted for good at RIP 1234 before it was up."));
	ck_assert_ptr_nonnull(strstr(told, "earlyprintk="));
	ck_assert_ptr_null(strstr(told, "refused"));
	ck_assert(!loud);
}
END_TEST

START_TEST(shutdown)
{
	control_note_refusal(&first, GPA);
	first.control.rip++;
	ck_assert(!control_failed_to_start(&other));
	ck_assert(control_failed_to_start(&first));
	ck_assert_ptr_nonnull(strstr(told, "triple fault at RIP 1235 before it was up."));
	ck_assert_ptr_nonnull(strstr(told, "at RIP 1234 it was refused memory that is not its own, at 200000."));
}
END_TEST

/* Whatever the other processors do shows nothing; one hypercall of the first one does. */
START_TEST(up)
{
	control_is_up(&other);
	ck_assert(exits);
	control_is_up(&first);
	ck_assert(!exits);
	control_note_refusal(&first, GPA);
	control_take_hlt(&first);
	ck_assert(!control_failed_to_start(&first));
	ck_assert_str_eq(told, "");
}
END_TEST

SUITE("control_start", tests)
{
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, halt_with_interrupts);
	tcase_add_test(tests, halt_for_good);
	tcase_add_test(tests, shutdown);
	tcase_add_test(tests, up);
}
