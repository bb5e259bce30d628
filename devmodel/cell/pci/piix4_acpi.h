/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Configuration space of the power management function of Intel 82371AB (PIIX4), 8086:7113, function 3 beside the ISA bridge
 * (data sheet 290562, chapter 7). The registers behind PMBASE are another chip's; this one maps them.
 *
 * DEVACTB.APMC_EN reads as set from reset on: firmware takes it that SMM is set up already and leaves it alone.
 * The SMBus host is absent: its enable bit stays 0.
 */
#ifndef KEEL_PIIX4_ACPI_H
#define KEEL_PIIX4_ACPI_H

#include "pci/pci.h"

#define PIIX4_ACPI_PM_PORTS	64u

struct piix4_acpi {
	struct io_range block;		/* the PM block: ops and device are wiring, the rest follows from the state */
	struct pci_function pci;	/* saved by pci_function_state_table */
};

/* On a bus: pci_add has been called. */
void piix4_acpi_init(void *acpi);
extern const struct device_ops piix4_acpi_device;
/* After a load: maps the PM block where it answers. */
void piix4_acpi_restored(struct piix4_acpi *acpi);

#endif
