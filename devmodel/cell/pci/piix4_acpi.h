/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Configuration space of the power management function of Intel 82371AB (PIIX4), 8086:7113, function 3 beside the ISA bridge
 * (data sheet 290562, chapter 7). The registers behind PMBASE are another chip's; this one says where they answer.
 *
 * DEVACTB.APMC_EN reads as set from reset on: firmware takes it that SMM is set up already and leaves it alone.
 * The SMBus host is absent: its enable bit stays 0.
 */
#ifndef KEEL_PIIX4_ACPI_H
#define KEEL_PIIX4_ACPI_H

#include "pci/pci.h"

#define PIIX4_ACPI_PM_PORTS	64u

struct piix4_acpi {
	/* Wiring: the PM block answers at the PIIX4_ACPI_PM_PORTS ports from base on, or (on = false) no longer does. May be NULL. */
	void (*pm_decode)(void *owner, uint16_t base, bool on);
	void *pm_owner;
	struct pci_function pci;	/* saved by pci_function_state_table */
	bool decoding;			/* what the machine was told last: follows from the state */
	uint16_t base;
};

void piix4_acpi_init(void *acpi);
extern const struct device_ops piix4_acpi_device;
/* After a load: tells the machine where the PM block answers. */
void piix4_acpi_restored(struct piix4_acpi *acpi);

#endif
