/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A bare guest: a firmware image of 64 KiB that brings itself to 64-bit mode, with interrupts off, and runs GUEST()'s body. What
 * it prints is judged by tests/integration: a line "NAME: FAIL why" for each check that is not met, "NAME: ok" if all were, and
 * then it switches the machine off.
 */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keel/macros.h>
#include <shared/pc_map.h>
#include <x86/registers.h>

#include "cpu.h"
#include "map.h"

/* What stands before a guest's body, in braces; it may return. */
#define GUEST(name) \
	const char guest_name[] = name; \
	void guest_main(void)

extern const char guest_name[];
void guest_main(void);

/* On the serial port and the debug port. %s text, %lx 16 hexadecimal digits of 64 bits, %u decimal ones of 32. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints the failure, which the rest of the line tells as print() does, and switches the machine off. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Prints it and goes on; the guest is not ok in the end. */
void report_failure(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define require(condition, ...) \
	do { \
		if (!(condition)) \
			fail(__VA_ARGS__); \
	} while (0)

#define check(condition, ...) \
	do { \
		if (!(condition)) \
			report_failure(__VA_ARGS__); \
	} while (0)

extern volatile uint32_t failures;	/* that were reported */

/* What an interrupt or exception has interrupted; a handler may change it (start.asm). */
struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;		/* 0 for vectors without an error code */
	uint64_t rip, cs, rflags, rsp, ss;
};

/*
 * Interrupts and NMIs are counted by their vectors, and then the hook is called, if there is one; it ends them at the local APIC.
 * So are exceptions while count_faults is set and outside of TRY(). Others end the guest.
 */
extern void (*volatile interrupt_hook)(struct frame *frame);
extern volatile bool count_faults;

static volatile uint64_t *const counts = (volatile uint64_t *)COUNTS;
static uint8_t *const scratch = (uint8_t *)SCRATCH;

/* Of the last exception in TRY(): its vector or NO_FAULT, error code, CR2 and RIP. */
extern volatile uint8_t fault_vector;
extern volatile uint64_t fault_code, fault_address, fault_rip;
extern uint64_t recover_rip, recover_rsp;

/*
 * TRY("instructions", outputs : inputs): an asm statement whose exception ends it, with the registers as they are then and flags
 * cleared. fault_vector has the outcome.
 */
#define TRY(instructions, ...) \
	do { \
		fault_vector = NO_FAULT; \
		asm volatile("movq $1f, recover_rip\n\tmovq %%rsp, recover_rsp\n\t" instructions "\n1:\tmovq $0, recover_rip" \
			__VA_ARGS__ : "memory", "cc"); \
	} while (0)

/* A pseudo-random number, and the next state. */
uint64_t random_next(uint64_t *state);

/* Writes a register of PCI configuration space; the address as the port takes it. */
void pci_write(uint32_t address, uint32_t value);

/* On QEMU, some of whose processors' properties are other than a processor's: no exception to what it runs. */
bool on_qemu(void);

void power_off(void);

#endif
