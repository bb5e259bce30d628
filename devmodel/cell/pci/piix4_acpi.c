// SPDX-License-Identifier: GPL-2.0
/* PIIX4 power management function: where its I/O block answers, which is a matter of its own registers alone. */
#include <keel/macros.h>

#include "pci/piix4_acpi.h"

#define PIIX4_PMBASE		0x40u
#define PIIX4_DEVACTB		0x58u
#define PIIX4_PMREGMISC		0x80u

#define PMBASE_IO		0x01u
#define PMBASE_WRITABLE		0xffc0u
#define PMREGMISC_ENABLE	0x01u
#define DEVACTB_APMC_EN		(1u << 25)

/* Base 0 is nowhere. */
static void update_block(struct piix4_acpi *acpi)
{
	uint32_t base = pci_function_get(&acpi->pci, PIIX4_PMBASE, 2) & PMBASE_WRITABLE;
	struct bus *bus = acpi->pci.pci->bus;

	if (!(acpi->pci.s.config[PIIX4_PMREGMISC] & PMREGMISC_ENABLE))
		base = 0;
	if (acpi->block.base == base)
		return;
	bus_unmap(bus, BUS_PORT_SPACE, &acpi->block);
	acpi->block.base = base;
	if (base)
		bus_map(bus, BUS_PORT_SPACE, &acpi->block);
}

static void config_written(struct pci_function *fn, unsigned int offset, unsigned int bytes)
{
	(void)offset;
	(void)bytes;
	update_block(container_of(fn, struct piix4_acpi, pci));
}

static const struct pci_ops piix4_acpi_ops = { .written = config_written };

void piix4_acpi_init(void *device)
{
	struct piix4_acpi *acpi = device;
	static const struct pci_identity identity = {
		.vendor = PCI_VENDOR_INTEL, .device = 0x7113, .revision = 3, .class = 0x06, .subclass = 0x80,
		.interrupt_pin = 1,
	};
	struct pci_function *fn = &acpi->pci;

	pci_function_init(fn, &identity);
	acpi->block.bytes = PIIX4_ACPI_PM_PORTS;
	acpi->block.rank = pci_rank(fn, PCI_RANK_OTHER);
	fn->ops = &piix4_acpi_ops;
	pci_function_set(fn, PCI_STATUS, 2, PCI_STATUS_DEVSEL_MEDIUM | PCI_STATUS_FAST_BACK);
	fn->writable[PCI_COMMAND] = PCI_COMMAND_IO;
	fn->writable[PCI_COMMAND + 1] = 0;	/* PCI 2.1: its interrupt cannot be disabled here */
	pci_function_set(fn, PIIX4_PMBASE, 4, PMBASE_IO);
	fn->writable[PIIX4_PMBASE] = PMBASE_WRITABLE & 0xff;
	fn->writable[PIIX4_PMBASE + 1] = PMBASE_WRITABLE >> 8;
	fn->writable[PIIX4_PMREGMISC] = PMREGMISC_ENABLE;
	pci_function_set(fn, PIIX4_DEVACTB, 4, DEVACTB_APMC_EN);
	update_block(acpi);
}

void piix4_acpi_restored(struct piix4_acpi *acpi)
{
	update_block(acpi);
}

static const char *valid(const void *device, const void *const *states, uint64_t now)
{
	const struct piix4_acpi *acpi = device;

	(void)now;
	return pci_function_invalid(&acpi->pci, states[0]);
}

static void restored(void *device)
{
	piix4_acpi_restored(device);
}

static const struct device_part parts[] = {
	DEVICE_PART(pci_function_state_table, 0, struct piix4_acpi, pci.s),
};

const struct device_ops piix4_acpi_device = {
	.init = piix4_acpi_init, DEVICE_PARTS(parts), .valid = valid, .restored = restored,
};
