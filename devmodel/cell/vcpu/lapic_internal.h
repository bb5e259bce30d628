/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between the parts of the local APIC: registers and priorities in lapic.c, what comes from outside in lapic_bus.c, and
 * lapic_timer.c. Section numbers are those of the Intel SDM, volume 3.
 */
#ifndef KEEL_CHIP_LAPIC_INTERNAL_H
#define KEEL_CHIP_LAPIC_INTERNAL_H

#include "vcpu/lapic.h"

/* IA32_APIC_BASE (11.4.4, 11.12.1) */
#define BASE_BSP		(1ull << 8)
#define BASE_EXTD		(1ull << 10)
#define BASE_ENABLE		(1ull << 11)
#define BASE_MODE		(BASE_ENABLE | BASE_EXTD)

#define SVR_ENABLE		(1u << 8)
#define VECTOR_MASK		0xffu
#define VECTOR_FIRST		16	/* lower ones are illegal in a message (11.5.2) */
#define VECTORS_EACH		32u	/* in one register of ISR, TMR and IRR */

#define LVT_MODE_SHIFT		8
#define LVT_MODE_MASK		(7u << LVT_MODE_SHIFT)
#define LVT_REMOTE_IRR		(1u << 14)
#define LVT_LEVEL		(1u << 15)
#define LVT_MASKED		(1u << 16)
#define LVT_TIMER_MODE		(3u << 17)

#define ESR_SEND_ILLEGAL	(1u << 5)
#define ESR_RECEIVE_ILLEGAL	(1u << 6)
#define ESR_ILLEGAL_REGISTER	(1u << 7)

/* ICR (11.6.1) */
#define ICR_MODE_SHIFT		8
#define ICR_MODE_MASK		7u
#define ICR_LOGICAL		(1u << 11)
#define ICR_STATUS		(1u << 12)
#define ICR_ASSERT		(1u << 14)
#define ICR_LEVEL		(1u << 15)
#define ICR_SHORTHAND		(3u << 18)
#define XAPIC_DEST_SHIFT	24
#define XAPIC_DEST		0xffu

#define DIVIDE_LOW		0x3u
#define DIVIDE_HIGH		0x8u
#define CLASS_SHIFT		4

/* Registers by number: offset / 16 of the page, or MSR - 0x800 (table 11-6). */
#define REGISTER_SHIFT		4
enum {
	REG_ID = 0x02,
	REG_VERSION,
	REG_TPR = 0x08,
	REG_APR,
	REG_PPR,
	REG_EOI,
	REG_RRD,
	REG_LDR,
	REG_DFR,
	REG_SVR,
	REG_ISR = 0x10,
	REG_TMR = 0x18,
	REG_IRR = 0x20,
	REG_ESR = 0x28,
	REG_LVT_CMCI = 0x2f,
	REG_ICR,
	REG_ICR_HIGH,
	REG_LVT_TIMER,
	REG_LVT_THERMAL,
	REG_LVT_PERF,
	REG_LVT_LINT0,
	REG_LVT_LINT1,
	REG_LVT_ERROR,
	REG_INITIAL_COUNT,
	REG_CURRENT_COUNT,
	REG_DIVIDE = 0x3e,
	REG_SELF_IPI,
	REG_COUNT,
};

/* What news holds. */
#define NEWS_STATE		(1u << 0)	/* IRR, ISR or the mode */
#define NEWS_TMR		(1u << 1)
#define NEWS_MODE		(1u << 2)	/* IA32_APIC_BASE */

static inline bool lapic_enabled(const struct lapic *lapic)
{
	return lapic->s.base & BASE_ENABLE;
}

static inline bool lapic_x2apic(const struct lapic *lapic)
{
	return (lapic->s.base & BASE_MODE) == BASE_MODE;
}

/* The page of another vCPU may change as it is read. */
static inline uint32_t lapic_page_read(const struct lapic *lapic, unsigned int reg)
{
	return __atomic_load_n(&lapic->page->reg[reg].value, __ATOMIC_RELAXED);
}

/* Of ISR, TMR or IRR, by the number of its first register; -1: none. */
static inline int lapic_highest(const struct lapic *lapic, unsigned int set)
{
#pragma GCC unroll 8
	for (int word = LAPIC_VECTOR_WORDS - 1; word >= 0; word--) {
		uint32_t bits = lapic_page_read(lapic, set + (unsigned int)word);

		if (bits)
			return word * (int)VECTORS_EACH + 31 - __builtin_clz(bits);
	}
	return -1;
}

static inline unsigned int lapic_class_of(int vector)
{
	return vector < 0 ? 0 : (unsigned int)vector >> CLASS_SHIFT;
}

/* lapic.c */
uint8_t lapic_processor_priority(const struct lapic *lapic);
/* INIT and power-up; the page follows when the vCPU comes round. */
void lapic_reset(struct lapic *lapic);
void lapic_reset_page(struct lapic *lapic);
/* One register that the state holds, from there into the page, and all of them. */
void lapic_publish_register(struct lapic *lapic, unsigned int reg);
void lapic_publish_registers(struct lapic *lapic);
/* Of the highest one in service. */
void lapic_end_of_interrupt(struct lapic *lapic);

/* lapic_pv_eoi.c */
bool lapic_pv_eoi_valid(const struct lapic *lapic, const struct lapic_state *s);

/* lapic_bus.c */
void lapic_take_up(struct lapic *lapic);
uint32_t lapic_logical_id(const struct lapic *lapic);
bool lapic_accept_vector(struct lapic *lapic, uint8_t vector, unsigned int trigger);
void lapic_raise_error(struct lapic *lapic, uint32_t error);
/* The low half of ICR and a destination. */
void lapic_send_ipi(struct lapic *lapic, uint32_t low, uint32_t dest);
void lapic_evaluate_lint(struct lapic *lapic, unsigned int pin, bool rising);

/* lapic_timer.c */
uint32_t lapic_timer_count(const struct lapic *lapic, uint64_t now);
void lapic_timer_start(struct lapic *lapic, uint32_t count, uint64_t now);
void lapic_timer_set_divide(struct lapic *lapic, uint32_t divide, uint64_t now);
void lapic_timer_set_lvt(struct lapic *lapic, uint32_t lvt);

#endif
