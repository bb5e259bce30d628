/* SPDX-License-Identifier: GPL-2.0 */
/* Four local APICs on a bus, with entries of each, or of nobody, as a test says. */
#ifndef KEEL_TEST_LAPIC_RIG_H
#define KEEL_TEST_LAPIC_RIG_H

#include <check.h>
#include <string.h>

#include <keel/cell.h>
#include <x86/msr.h>

#include "vcpu/lapic.h"
#include "apic_offsets.h"
#include "core/time.h"

#define CPUS 4u

#define MASKED 0x10000u
#define PERIODIC 0x20000u
#define TSC_DEADLINE 0x40000u
#define DIVIDE_BY_1 0xbu
#define ENABLE 0x800u
#define EXTD 0x400u
#define BSP 0x100u

/* Where the guest ends interrupts instead of by a register. */
#define PV_EOI_PLACE	0x208u

static uint8_t pv_memory[0x1000];
static const struct gmem pv_gmem = { .base = pv_memory, .count = 1, .range = { { 0, sizeof(pv_memory), false } } };

static struct lapic cpu[CPUS];
static struct lapic_page pages[CPUS];
static struct lapic_bus bus;
static unsigned int eois;
static int eoi_vector;

static inline void note_eoi(void *owner, uint8_t vector)
{
	ck_assert_ptr_eq(owner, &eois);
	eois++;
	eoi_vector = vector;
}

static inline void power_on(void)
{
	memset(cpu, 0, sizeof(cpu));
	memset(pages, 0xa5, sizeof(pages));
	bus = (struct lapic_bus){ .count = CPUS, .eoi = note_eoi, .owner = &eois };
	for (unsigned int i = 0; i < CPUS; i++) {
		cpu[i] = (struct lapic){
			.bus = &bus, .index = i, .id = i, .bsp = i == 0, .address_bits = 40, .tsc_khz = 2000000,
			.page = &pages[i],
		};
		bus.cpu[i] = &cpu[i];
		lapic_init(&cpu[i]);
	}
	eois = 0;
	eoi_vector = -1;
}

/* An entry of this one's. */
static inline struct lapic *at(unsigned int i)
{
	lapic_begin(&cpu[i], cpu[i].s.cr8, false);
	return &cpu[i];
}

static inline void nobody(void)
{
	bus.current = NULL;
}

static inline void write_reg(unsigned int i, unsigned int offset, uint32_t value)
{
	lapic_write(at(i), offset, value, 0);
}

static inline uint32_t read_reg(unsigned int i, unsigned int offset)
{
	return lapic_read(at(i), offset, 0);
}

static inline bool wrmsr(unsigned int i, uint32_t msr, uint64_t value)
{
	return lapic_write_msr(at(i), msr, value, 0, 0);
}

static inline uint64_t rdmsr(unsigned int i, uint32_t msr)
{
	uint64_t value;

	ck_assert(lapic_read_msr(at(i), msr, &value, 0));
	return value;
}

static inline bool rdmsr_faults(unsigned int i, uint32_t msr)
{
	uint64_t value;

	return !lapic_read_msr(at(i), msr, &value, 0);
}

static inline void enable(void)
{
	power_on();
	for (unsigned int i = 0; i < CPUS; i++)
		write_reg(i, SVR, 0x1ff);
}

static inline void enable_x2(void)
{
	enable();
	for (unsigned int i = 0; i < CPUS; i++)
		ck_assert(wrmsr(i, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | ENABLE | EXTD | (i ? 0 : BSP)));
}

static inline bool fixed(uint32_t dest, unsigned int dest_mode, uint8_t vector)
{
	nobody();
	return lapic_deliver(&bus, dest, dest_mode, LAPIC_FIXED, vector, true, LAPIC_EDGE);
}

static inline int pending(unsigned int i)
{
	return lapic_pending(at(i));
}

/* What it takes into service, or -1. */
static inline int acknowledge(unsigned int i)
{
	int vector = pending(i);

	if (vector >= 0)
		lapic_acknowledge(&cpu[i], (uint8_t)vector);
	return vector;
}

/* The processors that hold a request of the vector, as a mask; takes it back. */
static inline uint64_t requested(uint8_t vector)
{
	uint64_t mask = 0;

	for (unsigned int i = 0; i < CPUS; i++) {
		uint32_t *word = &at(i)->page->reg[IRR / 16 + vector / 32].value;
		uint32_t bit = 1u << vector % 32;

		mask |= *word & bit ? 1u << i : 0;
		*word &= ~bit;
		if (!*word)
			cpu[i].s.requesting &= ~(1u << vector / 32);
	}
	return mask;
}

static inline uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

#endif
