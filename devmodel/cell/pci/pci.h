/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI configuration mechanism #1 and bus 0 (PCI Local Bus Specification 2.1, 3.2.2.3.2 and chapter 6).
 *
 * A function is a configuration space with masks that say which bits a guest can write and which it clears by writing 1.
 * The functions are owned by their chips; the bus only points to them. What is absent reads as all ones.
 * Nothing here keeps time or locks.
 */
#ifndef KEEL_PCI_H
#define KEEL_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bus.h"
#include "core/device.h"
#include "core/state.h"

#define PCI_CONFIG_BYTES	256u
#define PCI_BARS		6u
#define PCI_SLOTS		32u
#define PCI_FUNCTIONS		8u
#define PCI_PORTS		8u		/* CONFIG_ADDRESS, CONFIG_DATA */

/* Configuration header, type 0. */
enum pci_register {
	PCI_VENDOR = 0x00,
	PCI_DEVICE = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_PROG_IF = 0x09,
	PCI_SUBCLASS = 0x0a,
	PCI_CLASS = 0x0b,
	PCI_LATENCY = 0x0d,
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_SUBSYSTEM_VENDOR = 0x2c,
	PCI_SUBSYSTEM = 0x2e,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
};

#define PCI_COMMAND_IO		0x0001u
#define PCI_COMMAND_MEMORY	0x0002u
#define PCI_COMMAND_MASTER	0x0004u
#define PCI_STATUS_FAST_BACK	0x0080u
#define PCI_STATUS_DEVSEL_MEDIUM 0x0200u
#define PCI_STATUS_ERRORS	0xf900u		/* the bits that are cleared by writing 1 */
#define PCI_HEADER_MULTIFUNCTION 0x80u
#define PCI_BAR_IO		0x1u

#define PCI_VENDOR_INTEL	0x8086u
/* What SeaBIOS takes as the sign of a machine with fw_cfg. */
#define PCI_SUBSYSTEM_VENDOR_VIRTUAL 0x1af4u
#define PCI_SUBSYSTEM_VIRTUAL	0x1100u

struct pci_function;

struct pci_ops {
	/* A guest has written 'bytes' bytes at offset; the masks are applied. May be NULL. */
	void (*written)(struct pci_function *fn, unsigned int offset, unsigned int bytes);
};

struct pci_function_state {
	uint8_t config[PCI_CONFIG_BYTES];
};

struct pci_function {
	/* The machine's, set before pci_function_init: a BAR starts, moves (both calls) or stops to answer. May be NULL. */
	void (*decode)(void *owner, unsigned int bar, uint32_t base, uint32_t bytes, bool on);
	void *decode_owner;

	/* Its chip's. */
	const struct pci_ops *ops;
	struct pci_bar {
		uint32_t bytes;			/* a power of two; 0: no such BAR */
		bool io;
	} bar[PCI_BARS];
	uint8_t writable[PCI_CONFIG_BYTES];
	uint8_t clearable[PCI_CONFIG_BYTES];	/* write 1 to clear */
	struct pci_function_state s;
};

struct pci_identity {
	uint16_t vendor, device;
	uint8_t revision, class, subclass, prog_if;
	bool multifunction;
	uint8_t interrupt_pin;			/* 1 to 4: INTA to INTD; 0: none */
};

/*
 * An empty function with this identity, in a struct that is all zeros or was initialized before; wiring is kept, BARs that
 * answered are withdrawn. Registers, masks and BARs beyond the identity are then the chip's to set.
 */
void pci_function_init(struct pci_function *fn, const struct pci_identity *identity);
void pci_function_bar(struct pci_function *fn, unsigned int bar, uint32_t bytes, bool io);
/* A little-endian register. */
uint32_t pci_function_get(const struct pci_function *fn, unsigned int offset, unsigned int bytes);
void pci_function_set(struct pci_function *fn, unsigned int offset, unsigned int bytes, uint32_t value);
/* The guest's accesses: 1, 2 or 4 bytes, anywhere; what lies outside the space reads as ones. */
uint32_t pci_function_read(const struct pci_function *fn, unsigned int offset, unsigned int bytes);
void pci_function_write(struct pci_function *fn, unsigned int offset, unsigned int bytes, uint32_t value);
/* Where a BAR answers now. False: nowhere. */
bool pci_function_decodes(const struct pci_function *fn, unsigned int bar, uint32_t *base);
/* Tells the machine all BARs that answer: after a load. */
void pci_function_restored(struct pci_function *fn);

struct pci_state {
	uint32_t address;			/* CONFIG_ADDRESS */
};

struct pci {
	struct pci_function *function[PCI_SLOTS][PCI_FUNCTIONS];	/* wiring */
	struct pci_state s;
};

void pci_init(void *pci);
extern const struct device_ops pci_device;
/*
 * offset 0 to 3: CONFIG_ADDRESS, for accesses of 4 bytes at 0 alone; 4 to 7: CONFIG_DATA. bytes: 1, 2, 4.
 * The reset control register, a byte at offset 1 on PIIX3, is another chip's.
 */
uint32_t pci_read(const struct pci *pci, unsigned int offset, unsigned int bytes);
void pci_write(struct pci *pci, unsigned int offset, unsigned int bytes, uint32_t value);
/* The same for the bus; the device is a struct pci. */
extern const struct io_ops pci_io;

extern const struct state_table pci_state_table;
extern const struct state_table pci_function_state_table;

#endif
