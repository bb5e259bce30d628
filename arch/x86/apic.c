// SPDX-License-Identifier: GPL-2.0
// The physical local APIC, in either mode.

#include "apic.h"

#include <keel/macros.h>

#include "cpu.h"
#include "memory.h"
#include "percpu.h"
#include "trap.h"

#define XAPIC_ID_SHIFT		24
#define ICR_TRIES		1000000u
#define DRAIN_TRIES		16u
#define VECTOR_WORDS		8u		/* ISR, IRR: 32 vectors each */
#define FIRST_VECTOR_CLASS	1u		/* task priority that holds the vectors of exceptions back */

/* Every access wants to know the mode, and reading the MSR costs more than most of them. */
static uint64_t base_msr(void)
{
	struct cpu *cpu = this_cpu();

	if (!cpu->apic_base)
		cpu->apic_base = rdmsr(MSR_APIC_BASE);
	return cpu->apic_base;
}

bool apic_set_base(uint64_t value)
{
	bool done = wrmsr_safe(MSR_APIC_BASE, value);

	this_cpu()->apic_base = 0;
	return done;
}

bool apic_x2apic(void)
{
	return base_msr() & APIC_BASE_X2APIC;
}

uint64_t apic_base(void)
{
	return base_msr() & APIC_BASE_ADDRESS;
}

static volatile uint32_t *reg_address(uint32_t reg)
{
	return phys_to_virt(apic_base() + reg);
}

uint32_t apic_read(uint32_t reg)
{
	return apic_x2apic() ? (uint32_t)rdmsr(MSR_X2APIC(reg)) : *reg_address(reg);
}

void apic_write(uint32_t reg, uint32_t value)
{
	if (apic_x2apic())
		wrmsr(MSR_X2APIC(reg), value);
	else
		*reg_address(reg) = value;
}

uint32_t apic_id(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);
	const volatile uint32_t *id = phys_to_virt((base & APIC_BASE_ADDRESS) + APIC_REG_ID);

	return base & APIC_BASE_X2APIC ? (uint32_t)rdmsr(MSR_X2APIC(APIC_REG_ID)) : *id >> XAPIC_ID_SHIFT;
}

void apic_send(uint32_t destination, uint32_t icr_low)
{
	uint32_t high, tries;

	if (apic_x2apic()) {
		wrmsr(MSR_X2APIC_ICR, (uint64_t)destination << 32 | icr_low);
		return;
	}
	/* The control domain may be between its writes of the two halves: leave the upper one as it was. */
	high = apic_read(APIC_REG_ICR_HIGH);
	apic_write(APIC_REG_ICR_HIGH, destination << XAPIC_ID_SHIFT);
	apic_write(APIC_REG_ICR_LOW, icr_low);
	for (tries = 0; tries < ICR_TRIES && apic_read(APIC_REG_ICR_LOW) & ICR_PENDING; tries++)
		cpu_pause();
	apic_write(APIC_REG_ICR_HIGH, high);
}

/* After the end of a level-triggered one the I/O APIC sends it again by itself, as long as its line is asserted. */
void apic_raise_again(uint32_t self, uint8_t vector)
{
	bool level = apic_read(APIC_REG_TMR + vector / 32 * 0x10u) >> vector % 32 & 1;

	apic_write(APIC_REG_EOI, 0);
	if (!level)
		apic_send(self, ICR_ASSERT | vector);
}

void apic_end_of_interrupt(void)
{
	apic_write(APIC_REG_EOI, 0);
}

static bool any_vector(uint32_t reg)
{
	uint32_t bits = 0;
	unsigned int i;

	for (i = 0; i < VECTOR_WORDS; i++)
		bits |= apic_read(reg + i * 0x10u);
	return bits;
}

static void mask_entries(void)
{
	/* The local vector table, by the number of its last entry where that is there (SDM vol. 3, 11.5.1, 11.4.8). */
	static const struct {
		uint32_t reg;
		unsigned int entry;
	} entries[] = {
		{ APIC_REG_LVT_TIMER, 0 }, { APIC_REG_LVT_LINT0, 1 }, { APIC_REG_LVT_LINT1, 2 }, { APIC_REG_LVT_ERROR, 3 },
		{ APIC_REG_LVT_PERFORMANCE, 4 }, { APIC_REG_LVT_THERMAL, 5 }, { APIC_REG_LVT_CMCI, 6 },
	};
	unsigned int last = apic_read(APIC_REG_VERSION) >> 16 & 0xff, i;

	for (i = 0; i < ARRAY_SIZE(entries); i++)
		if (entries[i].entry <= last)
			apic_write(entries[i].reg, LVT_MASKED);
}

/*
 * Requests cannot be taken back but by taking them: Keel lets them in, and ends them unheard, as an INIT would have dropped them.
 * An APIC that is switched off by software delivers none.
 */
static void drain(void)
{
	unsigned int tries;

	for (tries = 0; tries < DRAIN_TRIES; tries++) {
		apic_write(APIC_REG_SPURIOUS, SPURIOUS_RESET | SPURIOUS_ENABLE);
		while (any_vector(APIC_REG_ISR) && tries++ < VECTOR_WORDS * 32)
			apic_write(APIC_REG_EOI, 0);
		trap_drain();
		apic_write(APIC_REG_SPURIOUS, SPURIOUS_RESET);
		if (!any_vector(APIC_REG_IRR))
			return;
	}
}

void apic_reset(void)
{
	/* One that is off altogether has nothing to forget: it comes back as after a reset. */
	if (!(base_msr() & APIC_BASE_ENABLE))
		return;
	mask_entries();
	write_cr8(FIRST_VECTOR_CLASS);
	drain();
	write_cr8(0);
	apic_write(APIC_REG_TIMER_COUNT, 0);
	apic_write(APIC_REG_TIMER_DIVIDE, 0);
	if (!apic_x2apic()) {
		apic_write(APIC_REG_LDR, 0);
		apic_write(APIC_REG_DFR, UINT32_MAX);
	}
	apic_write(APIC_REG_ERROR, 0);
	if (!apic_x2apic())
		apic_write(APIC_REG_ICR_HIGH, 0);
}
