/* SPDX-License-Identifier: GPL-2.0 */
/* Several processors, by way of their local APICs' pages (xAPIC mode). */
#ifndef GUEST_CPUS_H
#define GUEST_CPUS_H

#include <stdint.h>

#include "apic.h"
#include "guest.h"

#define SIPI_VECTOR		(TRAMPOLINE >> 12)
#define MANY			(1u << 28)

extern volatile uint32_t cpus;		/* of the machine, once start_all() was called */
extern volatile uint32_t started;	/* processors that came up, over all times */

/*
 * The guest's: where a processor comes out that was started, counted in "started", with interrupts off, a stack of its own
 * (CPU_STACK_BYTES), and its local APIC enabled. It must not return.
 */
void cpu_main(void);
void cpu_start(void);

/* The number of the processor that runs this, by its stack. */
uint32_t this_cpu(void);

/* Destination: an APIC ID, which is a processor's number. */
void send(uint32_t icr, uint32_t destination);
void start_cpu(uint32_t number);
/* Starts all the others; the caller has seen to the interrupts that they send. */
void start_all(void);
/* Some time, by reads of a port. */
void delay(void);

/*
 * Interrupts on for a moment, around a PAUSE. The shadow of STI covers the next instruction, and under QEMU, if that is PAUSE,
 * the one after it too.
 */
static inline void pause_window(void)
{
	asm volatile("sti\n\tnop\n\tpause\n\tcli" : : : "memory");
}

/* Waits until this is the word, with interrupts on, for a long time. Fails with the text otherwise. */
void await(const volatile uint32_t *word, uint32_t value, const char *text);

#endif
