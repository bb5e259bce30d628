/* SPDX-License-Identifier: GPL-2.0 */
/* Registers of the local APIC and their bits (SDM vol. 3, chapter 11): hypervisor and tests have these names from here. */
#ifndef X86_APIC_H
#define X86_APIC_H

/* Offsets in the page of xAPIC mode; in x2APIC mode MSR_X2APIC() of them. */
#define APIC_REG_ID		0x20u
#define APIC_REG_VERSION	0x30u
#define APIC_REG_TPR		0x80u
#define APIC_REG_PPR		0xa0u
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
#define APIC_REG_TIMER_CURRENT	0x390u
#define APIC_REG_TIMER_DIVIDE	0x3e0u
#define APIC_REG_SELF_IPI	0x3f0u	/* of x2APIC mode alone */

#define APIC_REG_UNALIGNED	0xfu

#define XAPIC_ID_MOST		254u		/* 255 reaches all */

#define APIC_VERSION_NO_BROADCAST (1u << 24)	/* SPURIOUS_NO_BROADCAST is there */

/* Local vector table */
#define LVT_NMI			(4u << 8)
#define LVT_EXTINT		(7u << 8)
#define LVT_REMOTE_IRR		(1u << 14)
#define LVT_LEVEL		(1u << 15)
#define LVT_MASKED		(1u << 16)
#define LVT_TIMER_PERIODIC	(1u << 17)
#define LVT_TIMER_DEADLINE	(2u << 17)
#define TIMER_DIVIDE_BY_1	0xbu

#define SPURIOUS_RESET		0xffu	/* the register's value after INIT */
#define SPURIOUS_ENABLE		(1u << 8)
#define SPURIOUS_NO_BROADCAST	(1u << 12)	/* ends of interrupts are not told to the I/O APIC */

#define DFR_FLAT		0xffffffffu
#define DFR_CLUSTER		0x0fffffffu

#define ERROR_SEND_VECTOR	(1u << 5)	/* an illegal vector was sent */
#define ERROR_RECEIVE_VECTOR	(1u << 6)	/* or came */

#define ICR_VECTOR		0xffu
#define ICR_MODE		(7u << 8)
#define ICR_MODE_LOWEST		(1u << 8)
#define ICR_MODE_NMI		(4u << 8)
#define ICR_MODE_INIT		(5u << 8)
#define ICR_MODE_SIPI		(6u << 8)
#define ICR_LOGICAL		(1u << 11)
#define ICR_PENDING		(1u << 12)
#define ICR_ASSERT		(1u << 14)
#define ICR_LEVEL		(1u << 15)
#define ICR_SHORTHAND		(3u << 18)
#define ICR_SELF		(1u << 18)
#define ICR_ALL			(2u << 18)
#define ICR_ALL_BUT_SELF	(3u << 18)
#define ICR_WRITABLE		(ICR_VECTOR | ICR_MODE | ICR_LOGICAL | ICR_ASSERT | ICR_LEVEL | ICR_SHORTHAND)

#endif
