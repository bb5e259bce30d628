/* SPDX-License-Identifier: GPL-2.0 */
/* The physical local APIC, which belongs to the control domain; Keel only sends a few IPIs (SDM vol. 3, ch. 11). */
#ifndef ARCH_APIC_H
#define ARCH_APIC_H

#include <stdbool.h>
#include <stdint.h>

#define APIC_REG_ID		0x20u
#define APIC_REG_VERSION	0x30u
#define APIC_REG_EOI		0xb0u
#define APIC_REG_LDR		0xd0u
#define APIC_REG_DFR		0xe0u
#define APIC_REG_SPURIOUS	0xf0u
#define APIC_REG_ISR		0x100u	/* and on, 32 vectors each, as are the next two */
#define APIC_REG_TMR		0x180u
#define APIC_REG_IRR		0x200u
#define APIC_REG_ERROR		0x280u
#define APIC_REG_LVT_CMCI	0x2f0u
#define APIC_REG_ICR_LOW	0x300u
#define APIC_REG_ICR_HIGH	0x310u
#define APIC_REG_LVT_TIMER	0x320u
#define APIC_REG_LVT_THERMAL	0x330u
#define APIC_REG_LVT_PERFORMANCE 0x340u
#define APIC_REG_LVT_LINT0	0x350u
#define APIC_REG_LVT_LINT1	0x360u
#define APIC_REG_LVT_ERROR	0x370u
#define APIC_REG_TIMER_COUNT	0x380u
#define APIC_REG_TIMER_DIVIDE	0x3e0u

#define APIC_REG_UNALIGNED	0xfu

#define LVT_MASKED		(1u << 16)
#define SPURIOUS_RESET		0xffu	/* the register's value after INIT */
#define SPURIOUS_ENABLE		(1u << 8)

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

#endif
