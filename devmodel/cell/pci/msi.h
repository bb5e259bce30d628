/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Message signalled interrupts of PCI functions: MSI and MSI-X (PCI Local Bus Specification 3.0, 6.8; MSI-X ECN).
 * They are raised by pci_signal and taken back by pci_retract (pci/pci.h).
 *
 * A message that must not go out, because its vector or its function is masked or the function is no bus master, is
 * pending and goes out as soon as it may.
 */
#ifndef KEEL_PCI_MSI_H
#define KEEL_PCI_MSI_H

#include <stdbool.h>
#include <stdint.h>

#include "core/state.h"
#include "pci/pci.h"

#define MSIX_MOST		17u	/* vectors of a function: each device has memory for so many, in its saved state, too */
#define MSIX_PENDING_WORDS	((MSIX_MOST + 31) / 32)
#define MSIX_ENTRY_WORDS	4u
#define MSIX_BAR_BYTES		0x1000u
#define MSIX_PBA		0x800u	/* the pending bits in the BAR, behind the table */

/* MSI of 1, 2, 4, ... 32 vectors. */
#define MSI_64			0x0080u	/* addresses of 64 bits */
#define MSI_MASKS		0x0100u	/* a mask for each vector */
void msi_add(struct pci_function *fn, unsigned int vectors, unsigned int features);
bool msi_enabled(const struct pci_function *fn);

struct msix_state {
	uint32_t table[MSIX_MOST * MSIX_ENTRY_WORDS];
	uint32_t pending[MSIX_PENDING_WORDS];
};

struct msix {
	unsigned int vectors;
	struct msix_state s;
};

/* MSI-X of 1 to MSIX_MOST vectors, with a memory BAR of its own. */
void msix_add(struct pci_function *fn, struct msix *msix, unsigned int bar, unsigned int vectors);
bool msix_enabled(const struct pci_function *fn);

/* For pci.c. */
void msi_signal(struct pci_function *fn, unsigned int vector);
void msix_signal(struct pci_function *fn, unsigned int vector);
/* What is pending goes out, if it may by now. */
void msi_flush(struct pci_function *fn);
void msi_retract(struct pci_function *fn);
/* Bits of a byte of configuration space that no guest writes and that change all the same: MSI's pending bits. */
uint8_t msi_own_bits(const struct pci_function *fn, unsigned int offset);
/* What is pending in a state of this function is among its vectors, and shown where it is shown. */
bool msi_valid(const struct pci_function *fn, const struct pci_function_state *s);

extern const struct state_table msix_state_table;
/* NULL, or the name of a field of a state that MSI-X with so many vectors cannot have. */
const char *msix_invalid(const struct msix *msix, const struct msix_state *s);

#endif
