// SPDX-License-Identifier: GPL-2.0
// The physical local APIC, in either mode.

#include "apic.h"

#include "cpu.h"
#include "memory.h"

#define X2APIC_MSR		0x800u
#define XAPIC_ID_SHIFT		24
#define ICR_TRIES		1000000u

bool apic_x2apic(void)
{
	return rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC;
}

uint64_t apic_base(void)
{
	return rdmsr(MSR_APIC_BASE) & APIC_BASE_ADDRESS;
}

static volatile uint32_t *reg_address(uint32_t reg)
{
	return phys_to_virt(apic_base() + reg);
}

uint32_t apic_read(uint32_t reg)
{
	return apic_x2apic() ? (uint32_t)rdmsr(X2APIC_MSR + (reg >> 4)) : *reg_address(reg);
}

void apic_write(uint32_t reg, uint32_t value)
{
	if (apic_x2apic())
		wrmsr(X2APIC_MSR + (reg >> 4), value);
	else
		*reg_address(reg) = value;
}

uint32_t apic_id(void)
{
	uint32_t id = apic_read(APIC_REG_ID);

	return apic_x2apic() ? id : id >> XAPIC_ID_SHIFT;
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
