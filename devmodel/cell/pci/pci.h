/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI configuration mechanism #1 and bus 0 (PCI Local Bus Specification 2.1, 3.2.2.3.2, and 3.0, chapter 6).
 *
 * A function is a configuration space with masks that say which bits a guest can write and which it clears by writing 1.
 * The functions are owned by their chips; struct pci only points to them. What is absent reads as all ones.
 * Nothing here keeps time or locks.
 *
 * A device is one struct with a struct pci_function in it, and a list of what it has: pci_add by the machine, then
 * pci_function_init, pci_function_bar, msi_add or msix_add, pci_capability_add, and its masks of what can be written. An
 * interrupt is pci_signal, which pci_set_intx(fn, false) ends where it was a line; a reset of the device by its driver is
 * pci_retract. piix3_ide.c is a small one, virtio/virtio_pci.c one with everything.
 *
 * To be saved: pci_function_state_table, msix_state_table where there is a struct msix, and what the device adds. After a
 * load of all of it, pci_function_restored.
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
#define PCI_ROM			PCI_BARS	/* the expansion ROM's number among the BARs */
#define PCI_SLOTS		32u
#define PCI_FUNCTIONS		8u
#define PCI_PORTS		8u		/* CONFIG_ADDRESS, CONFIG_DATA */
#define PCI_PINS		4u
#define PCI_MSI_MOST		32u		/* vectors (6.8.1.3) */

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
	PCI_ROM_BAR = 0x30,
	PCI_CAPABILITIES = 0x34,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
	PCI_HEADER_END = 0x40,
};

#define PCI_COMMAND_IO		0x0001u
#define PCI_COMMAND_MEMORY	0x0002u
#define PCI_COMMAND_MASTER	0x0004u
#define PCI_COMMAND_INTX_DISABLE 0x0400u
#define PCI_STATUS_INTERRUPT	0x0008u
#define PCI_STATUS_CAPABILITIES	0x0010u
#define PCI_STATUS_FAST_BACK	0x0080u
#define PCI_STATUS_DEVSEL_MEDIUM 0x0200u
#define PCI_STATUS_ERRORS	0xf900u		/* the bits that are cleared by writing 1 */
#define PCI_HEADER_MULTIFUNCTION 0x80u

/* Appendix H. The first two bytes of a capability are its identity and where the next one is. */
enum pci_capability {
	PCI_CAPABILITY_MSI = 0x05,
	PCI_CAPABILITY_VENDOR = 0x09,
	PCI_CAPABILITY_MSIX = 0x11,
};

#define PCI_VENDOR_INTEL	0x8086u
/* What SeaBIOS takes as the sign of a machine with fw_cfg. */
#define PCI_SUBSYSTEM_VENDOR_VIRTUAL 0x1af4u
#define PCI_SUBSYSTEM_VIRTUAL	0x1100u

struct pci;
struct pci_function;
struct msix;

struct pci_ops {
	/* A guest is about to read, or has written and the masks are applied. Both may be NULL. */
	void (*reading)(struct pci_function *fn, unsigned int offset, unsigned int bytes);
	void (*written)(struct pci_function *fn, unsigned int offset, unsigned int bytes);
};

/* Table 6-4; a 64-bit BAR takes two registers. */
enum pci_bar_kind {
	PCI_BAR_NONE,
	PCI_BAR_IO,
	PCI_BAR_32,
	PCI_BAR_32_PREFETCHABLE,
	PCI_BAR_64,
	PCI_BAR_64_PREFETCHABLE,
	PCI_BAR_ROM,			/* PCI_ROM is one, and no other */
};

struct pci_bar {
	enum pci_bar_kind kind;
	bool mapped;
	struct io_range range;
};

struct pci_function_state {
	uint8_t config[PCI_CONFIG_BYTES];	/* STATUS.INTERRUPT is the level of INTx that the device wants */
	uint32_t msi_pending;
};

struct pci_function {
	/* pci_add's. NULL: on no bus, and nothing is mapped or driven. */
	struct pci *pci;
	uint8_t slot, number;

	/* Its chip's, but for what pci_function_init, pci_function_bar, pci_capability_add, msi_add and msix_add set. */
	const struct pci_ops *ops;
	struct pci_bar bar[PCI_BARS + 1];
	struct msix *msix;
	uint8_t msi_capability, msix_capability;	/* where it is; 0: there is none */
	uint8_t last_capability, capabilities_end;
	uint8_t writable[PCI_CONFIG_BYTES];
	uint8_t clearable[PCI_CONFIG_BYTES];	/* write 1 to clear */
	struct pci_function_state s;
};

struct pci_identity {
	uint16_t vendor, device;
	uint16_t subsystem_vendor, subsystem;	/* 0: the machine's */
	uint8_t revision, class, subclass, prog_if;
	bool multifunction;
	uint8_t interrupt_pin;			/* 1 to 4: INTA to INTD; 0: none */
};

/*
 * An empty function with this identity, in a struct that is all zeros or was initialized before; its place on the bus is
 * kept, BARs that answered are withdrawn. Registers, masks and BARs beyond the identity are then the chip's to set.
 */
void pci_function_init(struct pci_function *fn, const struct pci_identity *identity);
/*
 * 'bytes' is a power of two: 4 to 256 of I/O, from 16 of memory, from 2 KiB of ROM. pci.c maps, moves and unmaps the range
 * as COMMAND, the address and a ROM's enable bit say. Nothing answers at address 0, nor at the top of what 32 or 64 bits
 * reach: that is what reset and sizing leave. Where BARs overlap the one of the higher slot, function and number answers;
 * what the guest cannot move, and memory, is in front of all of them.
 */
void pci_function_bar(struct pci_function *fn, unsigned int bar, enum pci_bar_kind kind, uint64_t bytes,
		      const struct io_ops *ops, void *device);
/*
 * The rank of a function's range on the bus, by the number of a BAR, or PCI_RANK_OTHER for one that is none. It is by
 * its place alone, so that where ranges overlap the same one answers after a load.
 */
#define PCI_RANK_OTHER		(PCI_ROM + 1)
#define PCI_RANKS		(PCI_ROM + 2)	/* of a function */
uint16_t pci_rank(const struct pci_function *fn, unsigned int bar);
/*
 * A capability of so many bytes, its two first ones included, behind those that were added before. Returns where it is; what
 * follows the two is zeros and cannot be written yet. 0: there is no room.
 */
unsigned int pci_capability_add(struct pci_function *fn, enum pci_capability id, unsigned int bytes);
/* A little-endian register. */
uint32_t pci_function_get(const struct pci_function *fn, unsigned int offset, unsigned int bytes);
void pci_function_set(struct pci_function *fn, unsigned int offset, unsigned int bytes, uint32_t value);
/* May it reach memory on its own? */
bool pci_function_is_master(const struct pci_function *fn);
/* The guest's accesses: 1, 2 or 4 bytes, anywhere; what lies outside the space reads as ones. */
uint32_t pci_function_read(struct pci_function *fn, unsigned int offset, unsigned int bytes);
void pci_function_write(struct pci_function *fn, unsigned int offset, unsigned int bytes, uint32_t value);
/* Where a BAR answers, if it is mapped. False: nowhere. */
bool pci_function_decodes(const struct pci_function *fn, unsigned int bar, uint64_t *base);
/*
 * What is behind a BAR, wherever it answers: 1, 2, 4 or 8 bytes, but no more than it takes, aligned. What the BAR does not
 * have reads as ones, and writes to it are ignored.
 */
uint64_t pci_bar_read(struct pci_function *fn, unsigned int bar, uint64_t offset, unsigned int bytes);
void pci_bar_write(struct pci_function *fn, unsigned int bar, uint64_t offset, unsigned int bytes, uint64_t value);
/*
 * After a load: maps what answers now and nothing else. Interrupts are where they were: whoever is at the other end of
 * them was loaded too, and what is pending goes on to wait for its mask.
 */
void pci_function_restored(struct pci_function *fn);

/*
 * An interrupt: MSI-X if a guest has enabled it, else MSI, else INTx, which stays asserted until pci_set_intx(fn, false). A
 * vector that MSI-X does not have goes nowhere. Messages wait for their mask, and for COMMAND.MASTER.
 */
void pci_signal(struct pci_function *fn, unsigned int vector);
/* The level of INTx, which gets to the board unless the guest has disabled it or enabled messages (PCI 3.0, 6.2.2, 6.8). */
void pci_set_intx(struct pci_function *fn, bool level);
/* The device was reset: INTx falls and no message waits any more. */
void pci_retract(struct pci_function *fn);

/*
 * NULL, or the name of a field of a state that this function cannot have: it differs from what it has in a bit that nobody can
 * change.
 */
const char *pci_function_invalid(const struct pci_function *fn, const struct pci_function_state *s);

struct pci_state {
	uint32_t address;			/* CONFIG_ADDRESS */
};

struct pci {
	/* Wiring. set_intx gets pins from 0 = INTA on, the OR over a slot's functions, and may get the same level again. */
	struct bus *bus;
	void (*set_intx)(void *board, unsigned int slot, unsigned int pin, bool level);
	void *board;
	/* A message is a write of 4 bytes. */
	void (*message)(void *sink, uint64_t address, uint32_t data);
	void *sink;

	struct pci_function *function[PCI_SLOTS][PCI_FUNCTIONS];
	struct pci_state s;
};

void pci_init(void *pci);
extern const struct device_ops pci_device;
/* Before pci_function_init, at a place that is free. */
void pci_add(struct pci *pci, unsigned int slot, unsigned int number, struct pci_function *fn);
/*
 * offset 0 to 3: CONFIG_ADDRESS, for accesses of 4 bytes at 0 alone; 4 to 7: CONFIG_DATA. bytes: 1, 2, 4.
 * The reset control register, a byte at offset 1 on PIIX3, is another chip's.
 */
uint32_t pci_read(struct pci *pci, unsigned int offset, unsigned int bytes);
void pci_write(struct pci *pci, unsigned int offset, unsigned int bytes, uint32_t value);
/* The same for the bus; the device is a struct pci. */
extern const struct io_ops pci_io;

extern const struct state_table pci_state_table;
extern const struct state_table pci_function_state_table;

#endif
