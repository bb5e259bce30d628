// SPDX-License-Identifier: GPL-2.0
/* Interrupts within interrupts, with the local APIC as xAPIC and as x2APIC: by priority and by CR8, in their order, each once. */
#include "apic.h"

#define WINDOWS		5
#define LOGGED_MOST	16u
/* What stands in the log besides vectors: a handler goes on, or main code does. */
#define MARK_END	0xe0
#define MARK_MAIN	0xe1

static volatile uint8_t list[LOGGED_MOST];
static volatile uint32_t logged;
static volatile uint32_t cr8_class;
static volatile bool wrong;
/* What the handler of vector 0x41 does, once, its end included. */
static void (*volatile action)(void);

static void note(uint8_t mark)
{
	list[logged++ % LOGGED_MOST] = mark;
}

static void hook(struct frame *frame)
{
	void (*act)(void) = action;
	uint32_t class = (uint32_t)frame->vector & 0xf0;

	if (frame->vector == EXC_NMI)
		return;
	note((uint8_t)frame->vector);
	if (apic_read(APIC_REG_PPR) != (class < cr8_class ? cr8_class : class))
		wrong = true;
	if (frame->vector == 0x41 && act) {
		action = NULL;
		act();
	} else {
		apic_end();
	}
}

static void windows(void)
{
	unsigned int i;

	for (i = 0; i < WINDOWS; i++)
		interrupt_window();
}

/* Vector 0x41 comes, and all that follows from it. */
static void begin(void (*act)(void))
{
	unsigned int i;

	action = act;
	for (i = 0; i < LOGGED_MOST; i++)
		list[i] = 0;
	logged = 0;
	apic_self_ipi(0x41);
	windows();
	note(MARK_MAIN);
}

static void check_log(const char *text, const uint8_t *expected, uint32_t length)
{
	uint32_t i;

	check(logged == length, "number of events: %s", text);
	for (i = 0; i < length && list[i] == expected[i]; i++)
		;
	check(i == length, "order: %s", text);
}

#define LOGGED(text, ...) \
	do { \
		static const uint8_t expected[] = { __VA_ARGS__ }; \
		\
		check_log(text, expected, sizeof(expected)); \
	} while (0)

static void preempt(void)
{
	apic_self_ipi(0x31);
	apic_self_ipi(0x4f);
	apic_self_ipi(0x61);
	windows();
	check(!apic_vector_bit(APIC_REG_ISR, 0x61), "an interrupt within another is in service after its end");
	check(apic_vector_bit(APIC_REG_ISR, 0x41), "an interrupt is not in service after the end of one within it");
	note(MARK_END);
	apic_end();
	windows();
}

static void priorities(void)
{
	write_cr8(6);
	cr8_class = 0x60;
	apic_self_ipi(0x61);
	apic_self_ipi(0x71);
	windows();
	note(MARK_END);
	cr8_class = 0;
	write_cr8(0);
	windows();
	apic_end();
}

/* The same vector twice while it is in service is one more. */
static void again(void)
{
	apic_self_ipi(0x41);
	apic_self_ipi(0x41);
	windows();
	note(MARK_END);
	apic_end();
}

/* Goes back without having ended it. */
static void endless(void)
{
}

static void check_late_end(void)
{
	begin(endless);
	apic_self_ipi(0x31);
	apic_self_ipi(0x4f);
	windows();
	check(apic_read(APIC_REG_PPR) == 0x40, "PPR in main code while an interrupt is in service");
	check(apic_vector_bit(APIC_REG_IRR, 0x4f), "what waits for an end is not in IRR");
	apic_self_ipi(0x61);
	windows();
	note(MARK_MAIN);
	/* A halt does not end for what waits, but for what comes over it. */
	apic_self_ipi(0x71);
	halt_once();
	note(MARK_MAIN);
	apic_end();
	windows();
	LOGGED("before an end that comes late", 0x41, MARK_MAIN, 0x61, MARK_MAIN, 0x71, MARK_MAIN, 0x4f, 0x31);
}

static void check_all(void)
{
	wrong = false;
	apic_write(APIC_REG_SPURIOUS, SPURIOUS_ENABLE | SPURIOUS_RESET);
	apic_end();					/* of nothing */
	begin(preempt);
	LOGGED("within another", 0x41, 0x61, MARK_END, 0x4f, 0x31, MARK_MAIN);
	begin(priorities);
	LOGGED("within another, by CR8", 0x41, 0x71, MARK_END, 0x61, MARK_MAIN);
	begin(again);
	LOGGED("the same once more", 0x41, MARK_END, 0x41, MARK_MAIN);
	check_late_end();
	check(apic_read(APIC_REG_PPR) == 0, "PPR after all");
	check(!wrong, "PPR in a handler");
}

GUEST("nest")
{
	interrupt_hook = hook;
	check_all();
	print("nest: xAPIC\n");
	apic_set_mode(APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	check_all();
}
