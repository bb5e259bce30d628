// SPDX-License-Identifier: GPL-2.0
/* PCI configuration mechanism #1, configuration spaces and base address registers. */
#include "pci/pci.h"

#include "core/string.h"

#define ADDRESS_ENABLE		0x80000000u
#define ADDRESS_WRITABLE	0x80fffffcu
#define ADDRESS_REGISTER	0xfcu
#define ADDRESS_BUS(a)		((a) >> 16 & 0xff)
#define ADDRESS_SLOT(a)		((a) >> 11 & (PCI_SLOTS - 1))
#define ADDRESS_FUNCTION(a)	((a) >> 8 & (PCI_FUNCTIONS - 1))
#define CONFIG_DATA		4u
#define CONFIG_END		8u

#define BAR_FLAGS(io)		((io) ? 0x3u : 0xfu)
#define PORTS_END		0x10000u

static const struct state_field pci_fields[] = {
	STATE_FIELD(struct pci_state, address),
};

const struct state_table pci_state_table = { "pci", 1, pci_fields, sizeof(pci_fields) / sizeof(pci_fields[0]) };

static const struct state_field function_fields[] = {
	STATE_ARRAY(struct pci_function_state, config),
};

const struct state_table pci_function_state_table = {
	"pci-function", 1, function_fields, sizeof(function_fields) / sizeof(function_fields[0])
};

static uint32_t all_ones(unsigned int bytes)
{
	return bytes >= 4 ? UINT32_MAX : (1u << (8 * bytes)) - 1;
}

uint32_t pci_function_get(const struct pci_function *fn, unsigned int offset, unsigned int bytes)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < bytes; i++)
		value |= (uint32_t)fn->s.config[offset + i] << (8 * i);
	return value;
}

void pci_function_set(struct pci_function *fn, unsigned int offset, unsigned int bytes, uint32_t value)
{
	for (unsigned int i = 0; i < bytes; i++)
		fn->s.config[offset + i] = (uint8_t)(value >> (8 * i));
}

static void tell(const struct pci_function *fn, unsigned int bar, uint32_t base, bool on)
{
	if (fn->decode)
		fn->decode(fn->decode_owner, bar, base, fn->bar[bar].bytes, on);
}

void pci_function_init(struct pci_function *fn, const struct pci_identity *identity)
{
	uint32_t base;

	for (unsigned int i = 0; i < PCI_BARS; i++)
		if (pci_function_decodes(fn, i, &base))
			tell(fn, i, base, false);
	memset(fn->bar, 0, sizeof(fn->bar));
	memset(fn->writable, 0, sizeof(fn->writable));
	memset(fn->clearable, 0, sizeof(fn->clearable));
	memset(&fn->s, 0, sizeof(fn->s));
	fn->ops = NULL;

	pci_function_set(fn, PCI_VENDOR, 2, identity->vendor);
	pci_function_set(fn, PCI_DEVICE, 2, identity->device);
	pci_function_set(fn, PCI_REVISION, 1, identity->revision);
	pci_function_set(fn, PCI_PROG_IF, 1, identity->prog_if);
	pci_function_set(fn, PCI_SUBCLASS, 1, identity->subclass);
	pci_function_set(fn, PCI_CLASS, 1, identity->class);
	pci_function_set(fn, PCI_HEADER_TYPE, 1, identity->multifunction ? PCI_HEADER_MULTIFUNCTION : 0);
	pci_function_set(fn, PCI_SUBSYSTEM_VENDOR, 2, PCI_SUBSYSTEM_VENDOR_VIRTUAL);
	pci_function_set(fn, PCI_SUBSYSTEM, 2, PCI_SUBSYSTEM_VIRTUAL);
	pci_function_set(fn, PCI_INTERRUPT_PIN, 1, identity->interrupt_pin);
	if (identity->interrupt_pin)
		fn->writable[PCI_INTERRUPT_LINE] = 0xff;
	fn->clearable[PCI_STATUS + 1] = PCI_STATUS_ERRORS >> 8;
}

void pci_function_bar(struct pci_function *fn, unsigned int bar, uint32_t bytes, bool io)
{
	uint32_t mask = ~(bytes - 1) & ~BAR_FLAGS(io);
	unsigned int offset = PCI_BAR0 + 4 * bar;

	fn->bar[bar].bytes = bytes;
	fn->bar[bar].io = io;
	pci_function_set(fn, offset, 4, io ? PCI_BAR_IO : 0);
	for (unsigned int i = 0; i < 4; i++)
		fn->writable[offset + i] = (uint8_t)(mask >> (8 * i));
	fn->writable[PCI_COMMAND] |= io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
}

uint32_t pci_function_read(const struct pci_function *fn, unsigned int offset, unsigned int bytes)
{
	if (offset > PCI_CONFIG_BYTES - bytes)
		return all_ones(bytes);
	return pci_function_get(fn, offset, bytes);
}

bool pci_function_decodes(const struct pci_function *fn, unsigned int bar, uint32_t *base)
{
	const struct pci_bar *b = &fn->bar[bar];
	uint32_t command = pci_function_get(fn, PCI_COMMAND, 2);
	uint32_t value;

	if (!b->bytes || !(command & (b->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		return false;
	value = pci_function_get(fn, PCI_BAR0 + 4 * bar, 4) & ~BAR_FLAGS(b->io);
	/* A sizing probe leaves addresses at the top, reset leaves 0: neither is a place to answer at. */
	if (!value || value > (b->io ? PORTS_END : UINT32_MAX) - b->bytes)
		return false;
	*base = value;
	return true;
}

void pci_function_write(struct pci_function *fn, unsigned int offset, unsigned int bytes, uint32_t value)
{
	uint32_t old[PCI_BARS] = { 0 }, base;
	bool was[PCI_BARS], is;

	if (offset > PCI_CONFIG_BYTES - bytes)
		return;
	for (unsigned int i = 0; i < PCI_BARS; i++)
		was[i] = pci_function_decodes(fn, i, &old[i]);

	for (unsigned int i = 0; i < bytes; i++) {
		uint8_t *reg = &fn->s.config[offset + i], byte = (uint8_t)(value >> (8 * i));
		uint8_t mask = fn->writable[offset + i];

		*reg = (uint8_t)((*reg & ~mask) | (byte & mask)) & (uint8_t)~(byte & fn->clearable[offset + i]);
	}

	for (unsigned int i = 0; i < PCI_BARS; i++) {
		base = 0;
		is = pci_function_decodes(fn, i, &base);
		if (was[i] == is && old[i] == base)
			continue;
		if (was[i])
			tell(fn, i, old[i], false);
		if (is)
			tell(fn, i, base, true);
	}
	if (fn->ops && fn->ops->written)
		fn->ops->written(fn, offset, bytes);
}

void pci_function_restored(struct pci_function *fn)
{
	uint32_t base;

	for (unsigned int i = 0; i < PCI_BARS; i++)
		if (pci_function_decodes(fn, i, &base))
			tell(fn, i, base, true);
}

void pci_init(void *device)
{
	struct pci *pci = device;

	pci->s.address = 0;
}

static struct pci_function *addressed(const struct pci *pci)
{
	uint32_t address = pci->s.address;

	if (!(address & ADDRESS_ENABLE) || ADDRESS_BUS(address))
		return NULL;
	return pci->function[ADDRESS_SLOT(address)][ADDRESS_FUNCTION(address)];
}

uint32_t pci_read(const struct pci *pci, unsigned int offset, unsigned int bytes)
{
	const struct pci_function *fn;

	if (offset == 0 && bytes == 4)
		return pci->s.address;
	fn = addressed(pci);
	if (!fn || offset < CONFIG_DATA || offset + bytes > CONFIG_END)
		return all_ones(bytes);
	return pci_function_read(fn, (pci->s.address & ADDRESS_REGISTER) + offset - CONFIG_DATA, bytes);
}

void pci_write(struct pci *pci, unsigned int offset, unsigned int bytes, uint32_t value)
{
	struct pci_function *fn;

	if (offset == 0 && bytes == 4) {
		pci->s.address = value & ADDRESS_WRITABLE;
		return;
	}
	fn = addressed(pci);
	if (fn && offset >= CONFIG_DATA && offset + bytes <= CONFIG_END)
		pci_function_write(fn, (pci->s.address & ADDRESS_REGISTER) + offset - CONFIG_DATA, bytes, value);
}

static uint64_t io_read(void *device, uint64_t offset, unsigned int bytes)
{
	return pci_read(device, (unsigned int)offset, bytes);
}

static void io_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	pci_write(device, (unsigned int)offset, bytes, (uint32_t)value);
}

const struct io_ops pci_io = { .read = io_read, .write = io_write, .widest = sizeof(uint32_t) };
const struct device_ops pci_device = { .init = pci_init };
