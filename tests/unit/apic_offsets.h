/* SPDX-License-Identifier: GPL-2.0 */
/* Registers of a local APIC (SDM vol. 3, table 11-1). */
#ifndef KEEL_TEST_APIC_OFFSETS_H
#define KEEL_TEST_APIC_OFFSETS_H

/* Offsets in the page. */
#define ID		0x20u
#define VERSION		0x30u
#define TPR		0x80u
#define PPR		0xa0u
#define EOI		0xb0u
#define LDR		0xd0u
#define DFR		0xe0u
#define SVR		0xf0u
#define ISR		0x100u
#define TMR		0x180u
#define IRR		0x200u
#define ESR		0x280u
#define CMCI		0x2f0u
#define ICR		0x300u
#define ICR_HIGH	0x310u
#define TIMER		0x320u
#define LINT0		0x350u
#define LINT1		0x360u
#define LVT_ERROR	0x370u
#define INITIAL		0x380u
#define CURRENT		0x390u
#define DIVIDE		0x3e0u

#endif
