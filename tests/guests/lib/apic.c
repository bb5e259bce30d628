// SPDX-License-Identifier: GPL-2.0
#include "apic.h"

static volatile bool x2apic;

uint32_t apic_read(uint32_t reg)
{
	return x2apic ? (uint32_t)rdmsr(MSR_X2APIC(reg)) : mmio_read(PC_LAPIC + reg);
}

void apic_write(uint32_t reg, uint32_t value)
{
	if (x2apic)
		wrmsr(MSR_X2APIC(reg), value);
	else
		mmio_write(PC_LAPIC + reg, value);
}

void apic_set_mode(uint32_t bits)
{
	x2apic = bits & APIC_BASE_X2APIC;
	wrmsr(MSR_APIC_BASE, PC_LAPIC | APIC_BASE_BSP | bits);
}

bool apic_is_x2apic(void)
{
	return x2apic;
}

void apic_enable(void)
{
	apic_write(APIC_REG_SPURIOUS, SPURIOUS_ENABLE | SPURIOUS_RESET);
	apic_write(APIC_REG_TPR, 0);
}

bool apic_vector_bit(uint32_t reg, uint8_t vector)
{
	return bit_of(apic_read(reg + vector / 32u * 16), vector % 32u);
}

void apic_self_ipi(uint8_t vector)
{
	if (x2apic)
		apic_write(APIC_REG_SELF_IPI, vector);
	else
		apic_write(APIC_REG_ICR_LOW, ICR_SELF | vector);
}

void apic_end(void)
{
	apic_write(APIC_REG_EOI, 0);
}

void apic_end_hook(struct frame *frame)
{
	if (frame->vector != EXC_NMI)
		apic_end();
}

uint32_t ioapic_read(uint32_t reg)
{
	mmio_write(PC_IOAPIC, reg);
	return mmio_read(IOAPIC_WINDOW);
}

void ioapic_write(uint32_t reg, uint32_t value)
{
	mmio_write(PC_IOAPIC, reg);
	mmio_write(IOAPIC_WINDOW, value);
}
