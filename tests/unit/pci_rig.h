/* SPDX-License-Identifier: GPL-2.0 */
/* A bus with the chip set of the machine, and what gets out of it: ISA lines and messages. */
#ifndef KEEL_TEST_PCI_RIG_H
#define KEEL_TEST_PCI_RIG_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "pci/i440fx.h"
#include "pci/msi.h"
#include "pci/pci.h"
#include "pci/piix3.h"
#include "pci/piix4_acpi.h"

#define ENABLE		0x80000000u
#define MESSAGES_MOST	256u

static struct bus bus;
static struct pci pci;
static struct i440fx host;
static struct piix3 isa;
static struct piix4_acpi pm;

static bool isa_level[PIIX3_ISA_LINES];
static unsigned int isa_changes;
static struct { uint64_t address; uint32_t data; } message[MESSAGES_MOST];
static unsigned int messages;

static inline void set_isa(void *sink, unsigned int pin, bool level)
{
	(void)sink;
	ck_assert(level != isa_level[pin]);
	isa_level[pin] = level;
	isa_changes++;
}

static inline void note_message(void *sink, uint64_t address, uint32_t data)
{
	ck_assert_ptr_eq(sink, &messages);
	ck_assert_uint_lt(messages, MESSAGES_MOST);
	message[messages].address = address;
	message[messages].data = data;
	messages++;
}

/* A device whose registers read as what it is and where. */
static inline uint64_t tag_read(void *device, uint64_t offset, unsigned int bytes)
{
	(void)bytes;
	return *(const uint32_t *)device | offset;
}

static inline void tag_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	(void)device;
	(void)offset;
	(void)bytes;
	(void)value;
}

static const struct io_ops tag_ops = { .read = tag_read, .write = tag_write, .widest = 4 };
static uint32_t pm_tag = 0xa5000000;

static inline void rig_start(void)
{
	bus_init(&bus);
	memset(&pci, 0, sizeof(pci));
	memset(&host, 0, sizeof(host));
	memset(&isa, 0, sizeof(isa));
	memset(&pm, 0, sizeof(pm));
	memset(isa_level, 0, sizeof(isa_level));
	isa_changes = messages = 0;
	pci.bus = &bus;
	pci.set_intx = piix3_set_intx;
	pci.board = &isa;
	pci.message = note_message;
	pci.sink = &messages;
	for (unsigned int i = 0; i < PIIX3_ISA_LINES; i++)
		isa.irq[i] = (struct line){ set_isa, NULL, i };
	pm.block.ops = &tag_ops;
	pm.block.device = &pm_tag;
	pci_init(&pci);
	pci_add(&pci, 0, 0, &host.pci);
	pci_add(&pci, 1, 0, &isa.pci);
	pci_add(&pci, 1, 3, &pm.pci);
	i440fx_init(&host);
	piix3_init(&isa);
	piix4_acpi_init(&pm);
}

static inline void point(unsigned int slot, unsigned int fn, unsigned int reg)
{
	pci_write(&pci, 0, 4, ENABLE | slot << 11 | fn << 8 | reg);
}

static inline uint32_t get(unsigned int slot, unsigned int fn, unsigned int reg, unsigned int bytes)
{
	point(slot, fn, reg & ~3u);
	return pci_read(&pci, 4 + (reg & 3), bytes);
}

static inline void put(unsigned int slot, unsigned int fn, unsigned int reg, unsigned int bytes, uint32_t value)
{
	point(slot, fn, reg & ~3u);
	pci_write(&pci, 4 + (reg & 3), bytes, value);
}

static inline uint32_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 16);
}

#endif
