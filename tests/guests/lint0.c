// SPDX-License-Identifier: GPL-2.0
/*
 * NMIs by the local APIC's pin LINT0, which the 8254 pulls by way of the 8259, end the HLT of a processor with interrupts off;
 * masked ones do not come, and an edge that was masked is lost. The same pin as ExtINT and with a vector of its own.
 */
#include "apic.h"
#include "pic.h"

#define VECTOR_FIXED		0x61u
#define OCW3_POLL		0x0cu
#define OCW3_READ_IRR		0x0au
#define POLLED_TIMER		(0x80u | PC_IRQ_TIMER)	/* the 8259's answer: a request, and which */
#define READ_BACK_STATUS	0xe2u			/* of counter 0: */
#define STATUS_OUTPUT		0x80u
#define PATIENCE		1000000
#define SLEEPS			10
#define COUNTED			5000u			/* of the 8254, 4 ms */
#define CR8_ALL			15u

static volatile uint32_t keep;		/* ends of interrupts that the line stays high for */
static volatile uint8_t polled;
volatile bool woken;			/* halt_unless_woken() has its name */

/* An NMI that comes right before the HLT ends it too: the hook goes on behind it. */
extern const char halt_begin[], halt_end[];
void halt_unless_woken(void);
asm(".pushsection .text\n"
	"halt_unless_woken:\n"
	"halt_begin:\n\t"
	"cmpb	$0, woken\n\t"
	"jne	halt_end\n\t"
	"hlt\n"
	"halt_end:\n\t"
	"ret\n\t"
	".popsection");

/* The 8259 lets go of its own output. */
static void acknowledge(void)
{
	outb(PIC_MASTER, OCW3_POLL);
	polled = inb(PIC_MASTER);
	outb(PIC_MASTER, PIC_END);
}

static void hook(struct frame *frame)
{
	switch (frame->vector) {
	case VECTOR_FIXED:
		if (keep)
			keep--;
		else
			acknowledge();
		apic_end();
		break;
	case EXC_NMI:
		woken = true;
		if (frame->rip >= (uintptr_t)halt_begin && frame->rip <= (uintptr_t)halt_end)
			frame->rip = (uintptr_t)halt_end;
	}
}

/* The 8254 raises its output once, after a while. */
static void pull(void)
{
	pit_set(PIT_ONE_SHOT, COUNTED);
}

/* Of the request that the processor has acknowledged. */
static void end(void)
{
	outb(PIC_MASTER, PIC_END);
}

static void sleep(void)
{
	woken = false;
	pull();
	halt_unless_woken();
}

static bool output_is_high(void)
{
	outb(PIT_CONTROL, READ_BACK_STATUS);
	return inb(PIT_DATA) & STATUS_OUTPUT;
}

/* Pulls, until the 8254's output is high, and with it the 8259's. */
static void request(void)
{
	uint32_t patience = PATIENCE;

	pull();
	while (!output_is_high())
		require(--patience, "the 8254 does not raise its output");
	outb(PIC_MASTER, OCW3_READ_IRR);
	check(bit_of(inb(PIC_MASTER), PC_IRQ_TIMER), "the 8259 has no request");
}

static void set_lint0(uint32_t entry)
{
	apic_write(APIC_REG_LVT_LINT0, entry);
}

static void check_nmi(void)
{
	uint32_t i;

	set_lint0(LVT_NMI | LVT_MASKED);
	request();
	check(counts[EXC_NMI] == 0, "an NMI by a masked pin");
	set_lint0(LVT_NMI);
	check(counts[EXC_NMI] == 0, "an NMI by an edge that was masked");
	acknowledge();
	check(polled == POLLED_TIMER, "what the 8259 says when it is polled");
	for (i = 1; i <= SLEEPS; i++) {
		sleep();
		check(counts[EXC_NMI] == i, "HLT ended without an NMI, or with two");
		acknowledge();
	}
	/* The line stays high until the request is acknowledged: no second edge. */
	sleep();
	request();
	check(counts[EXC_NMI] == SLEEPS + 1, "an NMI without an edge");
	acknowledge();
	check(counts[PIC_BASE] == 0, "an interrupt with interrupts off");
}

/* Priorities of the local APIC are none of the 8259's. */
static void check_extint_cr8(void)
{
	write_cr8(CR8_ALL);
	request();
	interrupt_window();
	check(counts[PIC_BASE] == 2, "CR8 holds an interrupt of the 8259 back");
	end();
	request();
	halt_once();
	check(counts[PIC_BASE] == 3, "CR8 holds an interrupt of the 8259 back from HLT");
	end();
	write_cr8(0);
}

static void check_extint(void)
{
	set_lint0(LVT_EXTINT);
	request();
	interrupt_window();
	check(counts[PIC_BASE] == 1, "an interrupt of the 8259 by way of LINT0");
	check(counts[EXC_NMI] == SLEEPS + 1, "an NMI by a pin that is ExtINT");
	end();
	check_extint_cr8();
}

/* A pin that is masked lets none through, and what waits comes when it no longer is. */
static void check_extint_masked(void)
{
	set_lint0(LVT_EXTINT | LVT_MASKED);
	request();
	interrupt_window();
	check(counts[PIC_BASE] == 3, "an interrupt of the 8259 by a masked pin");
	set_lint0(LVT_EXTINT);
	interrupt_window();
	check(counts[PIC_BASE] == 4, "an interrupt of the 8259 by a pin that was masked");
	end();
}

static bool remote_irr(void)
{
	return apic_read(APIC_REG_LVT_LINT0) & LVT_REMOTE_IRR;
}

/* Interrupts of the local APIC's own: of an edge; of a level, which comes again until the 8259 is asked. */
static void check_fixed(void)
{
	set_lint0(VECTOR_FIXED);
	request();
	interrupt_window();
	check(counts[VECTOR_FIXED] == 1, "a vector of LINT0's");
	keep = 2;
	set_lint0(VECTOR_FIXED | LVT_LEVEL);
	request();
	check(remote_irr(), "a level does not set LINT0's remote IRR");
	interrupt_window();
	interrupt_window();
	check(counts[VECTOR_FIXED] == 4, "a level of LINT0's that stays high over two ends");
	check(!remote_irr(), "the end of a level leaves LINT0's remote IRR");
	check(counts[PIC_BASE] == 4, "an interrupt of the 8259 by a pin that is not ExtINT");
}

/* The 8259's line is the processor's then. */
static void check_without_apic(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~(uint64_t)APIC_BASE_ENABLE);
	request();
	interrupt_window();
	check(counts[PIC_BASE] == 5, "an interrupt of the 8259 without a local APIC");
}

GUEST("lint0")
{
	pic_init();
	interrupt_hook = hook;
	check_nmi();
	print("lint0: NMI\n");
	check_extint();
	print("lint0: ExtINT\n");
	check_extint_masked();
	check_fixed();
	print("lint0: fixed\n");
	check_without_apic();
}
