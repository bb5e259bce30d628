// SPDX-License-Identifier: GPL-2.0
/* Interrupts of the mainboard: from the devices' lines to the 8259 pair, the I/O APIC and the local APICs. */
#include "machine/pc.h"

void pc_set_irq(void *owner, unsigned int pin, bool level)
{
	struct pc *pc = owner;
	unsigned int irq = pin & (PC_ISA_IRQS - 1);
	uint16_t bit = (uint16_t)(1u << irq), *source = &pc->isa_level[pin / PC_ISA_IRQS];

	if (((*source & bit) != 0) == level)
		return;
	*source ^= bit;
	for (unsigned int i = 0; i < PC_IRQ_SOURCES; i++)
		level |= (pc->isa_level[i] & bit) != 0;
	if (irq < I8259_PINS)
		i8259_set_pin(&pc->pic_master, irq, level);
	else
		i8259_set_pin(&pc->pic_slave, irq - I8259_PINS, level);
	ioapic_set_pin(&pc->ioapic, irq == PC_IRQ_TIMER ? PC_GSI_TIMER : irq, level);
}

/* The 8254 and the RTC lose their lines to the HPET while it replaces them (IA-PC HPET specification 1.0a, 2.4.6). */
void pc_set_replaceable_irq(void *owner, unsigned int pin, bool level)
{
	struct pc *pc = owner;

	if (!hpet_legacy_active(&pc->hpet))
		pc_set_irq(pc, pin, level);
}

void pc_set_hpet_legacy(void *owner, unsigned int pin, bool level)
{
	(void)pin;
	if (!level)
		return;
	pc_set_irq(owner, PC_IRQ_PIN(PC_IRQ_ISA, PC_IRQ_TIMER), false);
	pc_set_irq(owner, PC_IRQ_PIN(PC_IRQ_ISA, PC_IRQ_RTC), false);
}

void pc_set_intr(void *owner, unsigned int pin, bool level)
{
	struct pc *pc = owner;

	pc->intr = level;
	lapic_set_lint(&pc->vcpu[0].lapic, pin, level);
	if (level)
		pc->bus.kick |= 1;
}

void pc_lapic_eoi(void *owner, uint8_t vector)
{
	ioapic_eoi(&((struct pc *)owner)->ioapic, vector);
}

bool pc_extint_pending(const struct pc *pc)
{
	return pc->intr && lapic_accepts_extint(&pc->vcpu[0].lapic);
}

uint8_t pc_extint_acknowledge(struct pc *pc)
{
	return i8259_pair_acknowledge(&pc->pic_master, &pc->pic_slave);
}
