/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Intel 82371SB (PIIX3) PCI-to-ISA bridge, 8086:7000, function 0 of a multi-function device (data sheet 290550):
 * routes the four PCI interrupts to ISA interrupt lines by PIRQRC[A:D]. The edge/level registers belong to the 8259 pair.
 */
#ifndef KEEL_PIIX3_H
#define KEEL_PIIX3_H

#include "core/line.h"
#include "pci/pci.h"

#define PIIX3_PIRQS		4u
#define PIIX3_ISA_LINES		16u

struct piix3_state {
	uint32_t sources[PIIX3_PIRQS];	/* bit n: slot n pulls this PIRQ */
};

struct piix3 {
	struct line irq[PIIX3_ISA_LINES];	/* wiring; driven only when a PIRQ routed there changes it */
	struct pci_function pci;		/* saved by pci_function_state_table */
	uint16_t driven;			/* ISA lines that are high now: follows from the state */
	struct piix3_state s;
};

void piix3_init(void *piix);
extern const struct device_ops piix3_device;
/* The level of a slot's pin, 0 = INTA; for struct pci's set_intx. The level of a PIRQ is the OR over the pins that lead to it. */
void piix3_set_intx(void *piix, unsigned int slot, unsigned int pin, bool level);
/* The PIRQ that the board wires a slot's pin to: as 440FX boards do, and as bios/dsdt.asl says. */
unsigned int piix3_pirq(unsigned int slot, unsigned int pin);
/* After a load of both states: which lines are high. The lines themselves are not driven: their chips were loaded too. */
void piix3_restored(struct piix3 *piix);

extern const struct state_table piix3_state_table;

#endif
