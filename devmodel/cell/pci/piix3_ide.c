// SPDX-License-Identifier: GPL-2.0
/* PIIX3 IDE function: configuration space and the bus-master block. */
#include <keel/macros.h>

#include "pci/piix3_ide.h"

#define PROG_IF_BUS_MASTER	0x80u	/* both channels at the legacy ports, fixed */
#define PIIX3_IDETIM		0x40u	/* two of 16 bits: timing, and decode enable in bit 15 */
#define PIIX3_SIDETIM		0x44u

/* Registers are bytes. */
static uint64_t bm_read(void *device, uint64_t offset, unsigned int bytes)
{
	const struct piix3_ide *ide = device;
	uint32_t value = 0;

	for (unsigned int i = 0; i < bytes; i++) {
		unsigned int at = (unsigned int)offset + i;

		value |= (uint32_t)ide_bm_read(&ide->channel[at / BMIDE_REGISTERS], at % BMIDE_REGISTERS) << (8 * i);
	}
	return value;
}

static void bm_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct piix3_ide *ide = device;

	for (unsigned int i = 0; i < bytes; i++) {
		unsigned int at = (unsigned int)offset + i;

		ide_bm_write(&ide->channel[at / BMIDE_REGISTERS], at % BMIDE_REGISTERS, (uint8_t)(value >> (8 * i)));
	}
}

static const struct io_ops bm_ops = { .read = bm_read, .write = bm_write, .widest = sizeof(uint32_t) };

static void config_written(struct pci_function *fn, unsigned int offset, unsigned int bytes)
{
	struct piix3_ide *ide = container_of(fn, struct piix3_ide, pci);

	(void)bytes;
	if (offset != PCI_COMMAND)
		return;
	for (unsigned int i = 0; i < PIIX3_IDE_CHANNELS; i++)
		ide_bm_master(&ide->channel[i], pci_function_is_master(fn));
}

static const struct pci_ops pci_ops = { .written = config_written };

void piix3_ide_init(void *device)
{
	struct piix3_ide *ide = device;
	static const struct pci_identity identity = {
		.vendor = PCI_VENDOR_INTEL, .device = 0x7010, .class = 0x01, .subclass = 0x01,
		.prog_if = PROG_IF_BUS_MASTER,
	};
	struct pci_function *fn = &ide->pci;

	pci_function_init(fn, &identity);
	fn->ops = &pci_ops;
	pci_function_set(fn, PCI_STATUS, 2, PCI_STATUS_DEVSEL_MEDIUM | PCI_STATUS_FAST_BACK);
	pci_function_bar(fn, PIIX3_IDE_BM_BAR, PCI_BAR_IO, PIIX3_IDE_BM_PORTS, &bm_ops, ide);
	fn->writable[PCI_COMMAND] |= PCI_COMMAND_MASTER;
	fn->writable[PCI_LATENCY] = 0xf0;
	for (unsigned int i = PIIX3_IDETIM; i <= PIIX3_SIDETIM; i++)
		fn->writable[i] = 0xff;

	for (unsigned int i = 0; i < PIIX3_IDE_CHANNELS; i++) {
		ide_init(&ide->channel[i]);
		ide->channel[i].bm.master = false;
	}
}

#define CHANNEL_PARTS(n) \
	DEVICE_PART(ide_channel_state_table, n, struct piix3_ide, channel[n].s), \
	DEVICE_PART(bmide_state_table, n, struct piix3_ide, channel[n].bm.s), \
	DEVICE_PART(ide_drive_state_table, 2 * (n), struct piix3_ide, channel[n].drive[0].s), \
	DEVICE_PART(ide_drive_state_table, 2 * (n) + 1, struct piix3_ide, channel[n].drive[1].s)

static const struct device_part parts[] = {
	DEVICE_PART(pci_function_state_table, 0, struct piix3_ide, pci.s),
	CHANNEL_PARTS(0),
	CHANNEL_PARTS(1),
};

#define PARTS_OF_CHANNEL	4u

static const char *valid(const void *device, const void *const *states, uint64_t now)
{
	const struct piix3_ide *ide = device;
	const char *field = pci_function_invalid(&ide->pci, states[0]);

	(void)now;
	for (unsigned int i = 0; !field && i < PIIX3_IDE_CHANNELS; i++) {
		const void *const *s = &states[1 + PARTS_OF_CHANNEL * i];
		const struct ide_drive_state *drives[] = { s[2], s[3] };

		field = ide_invalid(&ide->channel[i], s[0], s[1], drives);
	}
	return field;
}

static void restored(void *device)
{
	struct piix3_ide *ide = device;

	pci_function_restored(&ide->pci);
	for (unsigned int i = 0; i < PIIX3_IDE_CHANNELS; i++) {
		ide->channel[i].bm.master = pci_function_is_master(&ide->pci);
		ide_restored(&ide->channel[i]);
	}
}

const struct device_ops piix3_ide_device = {
	.init = piix3_ide_init, DEVICE_PARTS(parts), .valid = valid, .restored = restored,
};
