/* SPDX-License-Identifier: GPL-2.0 */
/* This processor's local APIC in either mode, the IO APIC and the HPET. */
#ifndef GUEST_APIC_H
#define GUEST_APIC_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/apic.h>
#include <x86/msr.h>

#include "guest.h"

/* IO APIC (82093AA data sheet, 3.2) */
#define IOAPIC_WINDOW		(PC_IOAPIC + 0x10)
#define IOAPIC_EOI		(PC_IOAPIC + 0x40)
#define IOAPIC_ID		0u
#define IOAPIC_VERSION		1u
#define IOAPIC_ENTRY(pin)	(0x10u + 2 * (pin))	/* low half; the high one, with the destination, is the next */
#define PIN_LOWEST		(1u << 8)
#define PIN_NMI			(4u << 8)
#define PIN_LOGICAL		(1u << 11)
#define PIN_PENDING		(1u << 12)
#define PIN_LOW			(1u << 13)
#define PIN_REMOTE_IRR		(1u << 14)
#define PIN_LEVEL		(1u << 15)
#define PIN_MASKED		(1u << 16)

/* HPET (IA-PC HPET Specification 1.0a, 2.3), whose counter is storage while it stands. */
#define HPET_CONFIG		(PC_HPET + 0x10)
#define HPET_STATUS		(PC_HPET + 0x20)
#define HPET_COUNTER		(PC_HPET + 0xf0)
#define HPET_TIMER		(PC_HPET + 0x100)
#define HPET_COMPARATOR		(PC_HPET + 0x108)
#define HPET_COUNTS		(1u << 0)		/* HPET_CONFIG */
#define TIMER_LEVEL		(1u << 1)		/* HPET_TIMER */
#define TIMER_ON		(1u << 2)
#define TIMER_ROUTE(pin)	((pin) << 9)

/* By the mode that apic_set_mode() was last given: xAPIC mode at first. */
uint32_t apic_read(uint32_t reg);
void apic_write(uint32_t reg, uint32_t value);
/* Of APIC_BASE: none, APIC_BASE_ENABLE, or that and APIC_BASE_X2APIC. */
void apic_set_mode(uint32_t bits);
bool apic_is_x2apic(void);
/* Switched on by its software, and open to all vectors. */
void apic_enable(void);
/* Of one of the registers with 256 bits, ISR, TMR and IRR. */
bool apic_vector_bit(uint32_t reg, uint8_t vector);
void apic_self_ipi(uint8_t vector);
void apic_end(void);
/* Hook that ends what is not an NMI. */
void apic_end_hook(struct frame *frame);

uint32_t ioapic_read(uint32_t reg);
void ioapic_write(uint32_t reg, uint32_t value);

#endif
