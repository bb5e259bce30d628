/* SPDX-License-Identifier: GPL-2.0 */
/* The physical local APIC, which belongs to the control domain; Keel only sends a few IPIs (SDM vol. 3, ch. 11). */
#ifndef ARCH_APIC_H
#define ARCH_APIC_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/apic.h>

#include "cpu.h"
#include "trap.h"

/* Of this CPU, at any time. The other functions need its own stack. */
uint32_t apic_id(void);
bool apic_x2apic(void);
uint64_t apic_base(void);
/* Sets the MSR of mode and address. False: the processor refuses the value. */
bool apic_set_base(uint64_t value);
/* Registers by their xAPIC offset, in the main address space, whose direct map it takes. */
uint32_t apic_read(uint32_t reg);
void apic_write(uint32_t reg, uint32_t value);
void apic_end_of_interrupt(void);
/* An interrupt that is in service on this CPU becomes pending again. */
void apic_raise_again(uint32_t self, uint8_t vector);
/*
 * Puts this CPU's local APIC into the state after INIT (SDM vol. 3, 11.4.7.3, 11.12.5.1): the mode and the identifier stay, what
 * was requested or in service is gone. In Keel's own address space, and with the CPU's own stack.
 */
void apic_reset(void);
/* Sends an IPI; destination is an APIC ID. */
void apic_send(uint32_t destination, uint32_t icr_low);

/* These at any time, too. */

/* Whether this MSR is the interrupt command register of x2APIC mode. */
static inline bool apic_is_command(uint32_t msr)
{
	return msr == MSR_X2APIC_ICR;
}

/* A write of it. False: the processor refuses the value. */
static inline bool apic_command(uint64_t value)
{
	return wrmsr_safe(MSR_X2APIC_ICR, value);
}

/* Whether this CPU is the one that the firmware started. */
static inline bool apic_is_first(void)
{
	return rdmsr(MSR_APIC_BASE) & APIC_BASE_BSP;
}

#endif
