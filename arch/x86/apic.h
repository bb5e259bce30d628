/* SPDX-License-Identifier: GPL-2.0 */
/* The physical local APIC, which belongs to the control domain; Keel only sends a few IPIs (SDM vol. 3, ch. 11). */
#ifndef ARCH_APIC_H
#define ARCH_APIC_H

#include <stdbool.h>
#include <stdint.h>

#define APIC_REG_ID		0x20u
#define APIC_REG_EOI		0xb0u
#define APIC_REG_TMR		0x180u	/* and on, 32 vectors each */
#define APIC_REG_ICR_LOW	0x300u
#define APIC_REG_ICR_HIGH	0x310u

#define APIC_REG_UNALIGNED	0xfu

#define ICR_VECTOR		0xffu
#define ICR_MODE		(7u << 8)
#define ICR_MODE_NMI		(4u << 8)
#define ICR_MODE_INIT		(5u << 8)
#define ICR_MODE_SIPI		(6u << 8)
#define ICR_LOGICAL		(1u << 11)
#define ICR_PENDING		(1u << 12)
#define ICR_ASSERT		(1u << 14)
#define ICR_LEVEL		(1u << 15)
#define ICR_SHORTHAND		(3u << 18)
#define ICR_ALL_BUT_SELF	(3u << 18)
#define ICR_WRITABLE		(ICR_VECTOR | ICR_MODE | ICR_LOGICAL | ICR_ASSERT | ICR_LEVEL | ICR_SHORTHAND)

bool apic_x2apic(void);
uint64_t apic_base(void);
uint32_t apic_id(void);
/* Registers by their xAPIC offset; needs the direct map (main address space). */
uint32_t apic_read(uint32_t reg);
void apic_write(uint32_t reg, uint32_t value);
/* An interrupt that is in service on this CPU becomes pending again. */
void apic_raise_again(uint32_t self, uint8_t vector);
/* Sends an IPI; destination is an APIC ID. */
void apic_send(uint32_t destination, uint32_t icr_low);

#endif
