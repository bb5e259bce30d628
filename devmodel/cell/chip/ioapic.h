/* SPDX-License-Identifier: GPL-2.0 */
/*
 * I/O APIC: Intel 82093AA with the EOI register of its successors (version 0x20), 24 pins.
 *
 * A pin's level says whether the interrupt is asserted, whatever the polarity: the polarity bit is kept for the guest
 * and has no effect, so that tables and drivers that disagree about active-low PCI lines both work. ExtINT entries
 * deliver nothing: the 8259 is wired to LINT0 of the processors.
 */
#ifndef KEEL_CHIP_IOAPIC_H
#define KEEL_CHIP_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bus.h"
#include "core/device.h"
#include "core/state.h"
#include "vcpu/lapic.h"

#define IOAPIC_PINS	24

struct ioapic_state {
	uint64_t entry[IOAPIC_PINS];
	uint32_t pins;		/* levels, one bit each */
	uint32_t id;
	uint8_t select;
};

struct ioapic {
	struct lapic_bus *bus;
	struct ioapic_state s;
};

extern const struct state_table ioapic_state_table;

/*
 * The devices of these are a struct ioapic. Registers are of 32 bits: smaller reads get their part of one, smaller writes
 * are ignored, and of larger accesses the lower half counts. Other offsets read 0 and ignore writes.
 */
extern const struct device_ops ioapic_device;
extern const struct io_ops ioapic_io;

/* An input; sink is a struct ioapic. Pins that do not exist are ignored. */
void ioapic_set_pin(void *sink, unsigned int pin, bool level);

/* A local APIC ended a level-triggered interrupt. A pin that is still asserted is delivered again. */
void ioapic_eoi(struct ioapic *chip, uint8_t vector);

#endif
