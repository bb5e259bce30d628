// SPDX-License-Identifier: GPL-2.0
#include "pic.h"

#include <x86/apic.h>

#define ICW1			0x11u		/* edges, cascade, ICW4 */
#define ICW4			0x01u		/* 8086 */
#define PERIODIC_HZ		200u

static void end_of_interrupt(struct frame *frame)
{
	(void)frame;
	outb(PIC_MASTER, PIC_END);
}

void pic_init(void)
{
	mmio_write(PC_LAPIC + APIC_REG_SPURIOUS, SPURIOUS_ENABLE | SPURIOUS_RESET);
	mmio_write(PC_LAPIC + APIC_REG_LVT_LINT0, LVT_EXTINT);
	mmio_write(PC_LAPIC + APIC_REG_TPR, 0);
	outb(PIC_MASTER, ICW1);
	outb(PIC_SLAVE, ICW1);
	outb(PIC_MASTER_MASK, PIC_BASE);
	outb(PIC_SLAVE_MASK, PIC_BASE + 8);
	outb(PIC_MASTER_MASK, 1u << PC_IRQ_CASCADE);
	outb(PIC_SLAVE_MASK, PC_IRQ_CASCADE);
	outb(PIC_MASTER_MASK, ICW4);
	outb(PIC_SLAVE_MASK, ICW4);
	outb(PIC_MASTER_MASK, (uint8_t)~(1u << PC_IRQ_TIMER));
	outb(PIC_SLAVE_MASK, 0xff);
	interrupt_hook = end_of_interrupt;
}

void pit_set(uint8_t mode, uint16_t count)
{
	outb(PIT_CONTROL, mode);
	outb(PIT_DATA, (uint8_t)count);
	outb(PIT_DATA, (uint8_t)(count >> 8));
}

void pit_periodic(void)
{
	pit_set(PIT_RATE, PIT_HZ / PERIODIC_HZ);
}

/* Mode 0 counts once, and never so far without a count. */
void pit_stop(void)
{
	outb(PIC_MASTER_MASK, 0xff);
	outb(PIT_CONTROL, PIT_ONE_SHOT);
}
