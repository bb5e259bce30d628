// SPDX-License-Identifier: GPL-2.0
/* PCI configuration mechanism #1, configuration spaces, base address registers and INTx. */
#include "pci/pci.h"

#include <keel/macros.h>

#include "core/string.h"
#include "pci/msi.h"

#define ADDRESS_ENABLE		0x80000000u
#define ADDRESS_WRITABLE	0x80fffffcu
#define ADDRESS_REGISTER	0xfcu
#define ADDRESS_BUS(a)		((a) >> 16 & 0xff)
#define ADDRESS_SLOT(a)		((a) >> 11 & (PCI_SLOTS - 1))
#define ADDRESS_FUNCTION(a)	((a) >> 8 & (PCI_FUNCTIONS - 1))
#define CONFIG_DATA		4u
#define CONFIG_END		8u

#define ROM_ENABLE		0x1u
#define PORTS_LAST		(BUS_PORTS - 1)
#define CAPABILITY_ALIGN	4u
#define CAPABILITY_NEXT		1u

/* 6.2.5: what of a register is not address, and what of it cannot be written. */
static const struct {
	uint8_t flags;			/* as they read */
	bool io, wide;
	uint32_t address;
} kinds[] = {
	[PCI_BAR_IO] = { .flags = 0x1, .io = true, .address = 0xfffffffc },
	[PCI_BAR_32] = { .flags = 0x0, .address = 0xfffffff0 },
	[PCI_BAR_32_PREFETCHABLE] = { .flags = 0x8, .address = 0xfffffff0 },
	[PCI_BAR_64] = { .flags = 0x4, .wide = true, .address = 0xfffffff0 },
	[PCI_BAR_64_PREFETCHABLE] = { .flags = 0xc, .wide = true, .address = 0xfffffff0 },
	[PCI_BAR_ROM] = { .address = 0xfffff800 },
};

static const struct state_field pci_fields[] = {
	STATE_FIELD(struct pci_state, address),
};

const struct state_table pci_state_table = { "pci", 1, pci_fields, ARRAY_SIZE(pci_fields) };

static const struct state_field function_fields[] = {
	STATE_ARRAY(struct pci_function_state, config),
	STATE_FIELD(struct pci_function_state, msi_pending),
};

const struct state_table pci_function_state_table = {
	"pci-function", 2, function_fields, ARRAY_SIZE(function_fields)
};

static uint64_t all_ones(unsigned int bytes)
{
	return UINT64_MAX >> (64 - 8 * bytes);
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

static void make_writable(struct pci_function *fn, unsigned int offset, uint32_t mask)
{
	for (unsigned int i = 0; i < sizeof(mask); i++)
		fn->writable[offset + i] = (uint8_t)(mask >> (8 * i));
}

bool pci_function_is_master(const struct pci_function *fn)
{
	return pci_function_get(fn, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;
}

/* INTx */

static bool asserts_intx(const struct pci_function *fn)
{
	if (pci_function_get(fn, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE)
		return false;
	return (pci_function_get(fn, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT) && !msi_enabled(fn) && !msix_enabled(fn);
}

/* Functions of a slot that have the same pin share its wire. */
static void drive_intx(struct pci_function *fn)
{
	unsigned int pin = fn->s.config[PCI_INTERRUPT_PIN];
	bool level = false;

	if (!pin || pin > PCI_PINS || !fn->pci || !fn->pci->set_intx)
		return;
	for (unsigned int i = 0; i < PCI_FUNCTIONS; i++) {
		const struct pci_function *other = fn->pci->function[fn->slot][i];

		if (other && other->s.config[PCI_INTERRUPT_PIN] == pin)
			level |= asserts_intx(other);
	}
	fn->pci->set_intx(fn->pci->board, fn->slot, pin - 1, level);
}

void pci_set_intx(struct pci_function *fn, bool level)
{
	uint8_t *status = &fn->s.config[PCI_STATUS];

	if (!fn->s.config[PCI_INTERRUPT_PIN])
		return;
	*status = (uint8_t)((*status & ~PCI_STATUS_INTERRUPT) | (level ? PCI_STATUS_INTERRUPT : 0));
	drive_intx(fn);
}

void pci_signal(struct pci_function *fn, unsigned int vector)
{
	if (msix_enabled(fn))
		msix_signal(fn, vector);
	else if (msi_enabled(fn))
		msi_signal(fn, vector);
	else
		pci_set_intx(fn, true);
}

void pci_retract(struct pci_function *fn)
{
	pci_set_intx(fn, false);
	msi_retract(fn);
}

/* Base address registers */

static unsigned int bar_offset(unsigned int bar)
{
	return bar == PCI_ROM ? PCI_ROM_BAR : PCI_BAR0 + 4 * bar;
}

static enum bus_space bar_space(const struct pci_bar *bar)
{
	return kinds[bar->kind].io ? BUS_PORT_SPACE : BUS_MEMORY_SPACE;
}

static uint64_t bar_base(const struct pci_function *fn, unsigned int bar)
{
	enum pci_bar_kind kind = fn->bar[bar].kind;
	uint64_t base = pci_function_get(fn, bar_offset(bar), 4) & kinds[kind].address;

	if (kinds[kind].wide)
		base |= (uint64_t)pci_function_get(fn, bar_offset(bar) + 4, 4) << 32;
	return base & ~(fn->bar[bar].range.bytes - 1);
}

static bool bar_enabled(const struct pci_function *fn, unsigned int bar)
{
	enum pci_bar_kind kind = fn->bar[bar].kind;
	uint32_t command = pci_function_get(fn, PCI_COMMAND, 2);

	if (kind == PCI_BAR_NONE || !(command & (kinds[kind].io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		return false;
	return kind != PCI_BAR_ROM || (pci_function_get(fn, PCI_ROM_BAR, 4) & ROM_ENABLE);
}

/* Bases are multiples of the size, so that nothing wraps. */
static bool is_place(const struct pci_bar *bar, uint64_t base)
{
	uint64_t last = base + bar->range.bytes - 1;

	if (kinds[bar->kind].io)
		return base && last <= PORTS_LAST;
	return base && last != UINT32_MAX && last != UINT64_MAX;
}

static void unmap_bar(struct pci_function *fn, struct pci_bar *bar)
{
	if (bar->mapped)
		bus_unmap(fn->pci->bus, bar_space(bar), &bar->range);
	bar->mapped = false;
}

static void map_bar(struct pci_function *fn, struct pci_bar *bar, uint64_t base)
{
	bar->range.base = base;
	if (fn->pci && fn->pci->bus)
		bar->mapped = bus_map(fn->pci->bus, bar_space(bar), &bar->range);
}

static void update_bar(struct pci_function *fn, unsigned int number)
{
	struct pci_bar *bar = &fn->bar[number];
	uint64_t base = bar_base(fn, number);
	bool wanted = bar_enabled(fn, number) && is_place(bar, base);

	if (bar->mapped && wanted && bar->range.base == base)
		return;
	unmap_bar(fn, bar);
	if (wanted)
		map_bar(fn, bar, base);
}

static void update_bars(struct pci_function *fn)
{
	for (unsigned int i = 0; i <= PCI_ROM; i++)
		if (fn->bar[i].kind != PCI_BAR_NONE)
			update_bar(fn, i);
}

_Static_assert(PCI_SLOTS * PCI_FUNCTIONS * PCI_RANKS <= BUS_RANK_FIXED, "BARs are behind what cannot be moved");

uint16_t pci_rank(const struct pci_function *fn, unsigned int bar)
{
	return (uint16_t)((fn->slot * PCI_FUNCTIONS + fn->number) * PCI_RANKS + bar);
}

void pci_function_bar(struct pci_function *fn, unsigned int bar, enum pci_bar_kind kind, uint64_t bytes,
		      const struct io_ops *ops, void *device)
{
	unsigned int offset = bar_offset(bar);
	uint64_t address = ~(bytes - 1);

	fn->bar[bar].kind = kind;
	fn->bar[bar].range = (struct io_range){
		.bytes = bytes, .ops = ops, .device = device, .rank = pci_rank(fn, bar),
	};
	pci_function_set(fn, offset, 4, kinds[kind].flags);
	make_writable(fn, offset, ((uint32_t)address & kinds[kind].address) | (kind == PCI_BAR_ROM ? ROM_ENABLE : 0));
	if (kinds[kind].wide)
		make_writable(fn, offset + 4, (uint32_t)(address >> 32));
	fn->writable[PCI_COMMAND] |= kinds[kind].io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
}

bool pci_function_decodes(const struct pci_function *fn, unsigned int bar, uint64_t *base)
{
	*base = fn->bar[bar].range.base;
	return fn->bar[bar].mapped;
}

static bool bar_takes(const struct pci_function *fn, unsigned int bar, uint64_t offset, unsigned int bytes)
{
	const struct io_range *range;

	if (bar > PCI_ROM || fn->bar[bar].kind == PCI_BAR_NONE)
		return false;
	range = &fn->bar[bar].range;
	if (bytes > range->ops->widest || offset % bytes != 0)
		return false;
	return offset < range->bytes && bytes <= range->bytes - offset;
}

uint64_t pci_bar_read(struct pci_function *fn, unsigned int bar, uint64_t offset, unsigned int bytes)
{
	const struct io_range *range;

	if (!bar_takes(fn, bar, offset, bytes))
		return all_ones(bytes);
	range = &fn->bar[bar].range;
	return range->ops->read(range->device, offset, bytes) & all_ones(bytes);
}

void pci_bar_write(struct pci_function *fn, unsigned int bar, uint64_t offset, unsigned int bytes, uint64_t value)
{
	const struct io_range *range;

	if (!bar_takes(fn, bar, offset, bytes))
		return;
	range = &fn->bar[bar].range;
	range->ops->write(range->device, offset, bytes, value & all_ones(bytes));
}

/* Configuration space */

static void withdraw(struct pci_function *fn)
{
	for (unsigned int i = 0; i <= PCI_ROM; i++)
		unmap_bar(fn, &fn->bar[i]);
	pci_set_intx(fn, false);
}

static void identify(struct pci_function *fn, const struct pci_identity *identity)
{
	uint16_t vendor = identity->subsystem_vendor ? identity->subsystem_vendor : PCI_SUBSYSTEM_VENDOR_VIRTUAL;
	uint16_t subsystem = identity->subsystem ? identity->subsystem : PCI_SUBSYSTEM_VIRTUAL;

	pci_function_set(fn, PCI_VENDOR, 2, identity->vendor);
	pci_function_set(fn, PCI_DEVICE, 2, identity->device);
	pci_function_set(fn, PCI_REVISION, 1, identity->revision);
	pci_function_set(fn, PCI_PROG_IF, 1, identity->prog_if);
	pci_function_set(fn, PCI_SUBCLASS, 1, identity->subclass);
	pci_function_set(fn, PCI_CLASS, 1, identity->class);
	pci_function_set(fn, PCI_HEADER_TYPE, 1, identity->multifunction ? PCI_HEADER_MULTIFUNCTION : 0);
	pci_function_set(fn, PCI_SUBSYSTEM_VENDOR, 2, vendor);
	pci_function_set(fn, PCI_SUBSYSTEM, 2, subsystem);
	pci_function_set(fn, PCI_INTERRUPT_PIN, 1, identity->interrupt_pin);
}

void pci_function_init(struct pci_function *fn, const struct pci_identity *identity)
{
	struct pci *pci = fn->pci;
	uint8_t slot = fn->slot, number = fn->number;

	withdraw(fn);
	memset(fn, 0, sizeof(*fn));
	fn->pci = pci;
	fn->slot = slot;
	fn->number = number;
	fn->capabilities_end = PCI_HEADER_END;
	identify(fn, identity);
	if (identity->interrupt_pin) {
		fn->writable[PCI_INTERRUPT_LINE] = 0xff;
		fn->writable[PCI_COMMAND + 1] = PCI_COMMAND_INTX_DISABLE >> 8;
	}
	fn->clearable[PCI_STATUS + 1] = PCI_STATUS_ERRORS >> 8;
}

unsigned int pci_capability_add(struct pci_function *fn, enum pci_capability id, unsigned int bytes)
{
	unsigned int at = fn->capabilities_end, room = (bytes + CAPABILITY_ALIGN - 1) / CAPABILITY_ALIGN * CAPABILITY_ALIGN;

	if (at == 0 || at + room > PCI_CONFIG_BYTES)
		return 0;
	pci_function_set(fn, at, 1, id);
	if (fn->last_capability)
		pci_function_set(fn, fn->last_capability + CAPABILITY_NEXT, 1, at);
	else
		pci_function_set(fn, PCI_CAPABILITIES, 1, at);
	fn->s.config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
	fn->last_capability = (uint8_t)at;
	fn->capabilities_end = (uint8_t)(at + room);	/* 0: the space is full */
	return at;
}

uint32_t pci_function_read(struct pci_function *fn, unsigned int offset, unsigned int bytes)
{
	if (offset > PCI_CONFIG_BYTES - bytes)
		return (uint32_t)all_ones(bytes);
	if (fn->ops && fn->ops->reading)
		fn->ops->reading(fn, offset, bytes);
	return pci_function_get(fn, offset, bytes);
}

void pci_function_write(struct pci_function *fn, unsigned int offset, unsigned int bytes, uint32_t value)
{
	if (offset > PCI_CONFIG_BYTES - bytes)
		return;
	for (unsigned int i = 0; i < bytes; i++) {
		uint8_t *reg = &fn->s.config[offset + i], byte = (uint8_t)(value >> (8 * i));
		uint8_t mask = fn->writable[offset + i];

		*reg = (uint8_t)((*reg & ~mask) | (byte & mask)) & (uint8_t)~(byte & fn->clearable[offset + i]);
	}
	update_bars(fn);
	drive_intx(fn);
	msi_flush(fn);
	if (fn->ops && fn->ops->written)
		fn->ops->written(fn, offset, bytes);
}

void pci_function_restored(struct pci_function *fn)
{
	update_bars(fn);
}

const char *pci_function_invalid(const struct pci_function *fn, const struct pci_function_state *s)
{
	for (unsigned int i = 0; i < PCI_CONFIG_BYTES; i++) {
		uint8_t may = fn->writable[i] | msi_own_bits(fn, i);

		if (i == PCI_STATUS && fn->s.config[PCI_INTERRUPT_PIN])
			may |= PCI_STATUS_INTERRUPT;
		if ((s->config[i] ^ fn->s.config[i]) & ~may)
			return "config";
	}
	return msi_valid(fn, s) ? NULL : "msi_pending";
}

/* The bus */

void pci_init(void *device)
{
	struct pci *pci = device;

	pci->s.address = 0;
}

void pci_add(struct pci *pci, unsigned int slot, unsigned int number, struct pci_function *fn)
{
	pci->function[slot][number] = fn;
	fn->pci = pci;
	fn->slot = (uint8_t)slot;
	fn->number = (uint8_t)number;
}

static struct pci_function *addressed(const struct pci *pci)
{
	uint32_t address = pci->s.address;

	if (!(address & ADDRESS_ENABLE) || ADDRESS_BUS(address))
		return NULL;
	return pci->function[ADDRESS_SLOT(address)][ADDRESS_FUNCTION(address)];
}

uint32_t pci_read(struct pci *pci, unsigned int offset, unsigned int bytes)
{
	struct pci_function *fn;

	if (offset == 0 && bytes == 4)
		return pci->s.address;
	fn = addressed(pci);
	if (!fn || offset < CONFIG_DATA || offset + bytes > CONFIG_END)
		return (uint32_t)all_ones(bytes);
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
static const char *valid(const void *device, const void *const *states, uint64_t now)
{
	const struct pci_state *s = states[0];

	(void)device;
	(void)now;
	return s->address & ~ADDRESS_WRITABLE ? "address" : NULL;
}

static const struct device_part parts[] = {
	DEVICE_PART(pci_state_table, 0, struct pci, s),
};

const struct device_ops pci_device = { .init = pci_init, DEVICE_PARTS(parts), .valid = valid };
