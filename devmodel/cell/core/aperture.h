/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Apertures (keel/cell.h): parts of the channel that the guest has at a device's addresses, as if they were memory there.
 *
 * A device ties such a part to a range of the bus, a PCI BAR's for instance; the range's ops are aperture_io, with the struct
 * aperture for their device, or the device's own. From then on the hypervisor maps the pages wherever the range answers, and
 * takes them away where it does not. Where they cannot be mapped, accesses come to the bus as those to registers do, and
 * aperture_io does the same, slowly: something else is in front of a part of the range, it is not of whole pages, or it is
 * too high.
 */
#ifndef KEEL_CORE_APERTURE_H
#define KEEL_CORE_APERTURE_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/cell.h>

#include "core/bus.h"
#include "core/gmem.h"

struct aperture {
	uint8_t *memory;		/* where the cell has the part's begin */
	uint32_t page;			/* of the channel */
	uint32_t flags;			/* KEEL_APERTURE_* */
	const struct io_range *range;	/* NULL: not in use */
	struct keel_aperture told;	/* what the hypervisor knows */
};

struct apertures {
	/* Wiring. covered: whether the processors have something of their own in front of an address of the range. */
	struct bus *bus;
	struct gmem *mem;
	uint8_t *channel;
	uint64_t limit;			/* of guest-physical addresses */
	bool (*covered)(void *owner, uint64_t first, uint64_t last);
	void *owner;

	struct aperture of[KEEL_APERTURES];
};

/*
 * Aperture 'number' shows the range what is at this offset of the channel, on a page, as far as the range goes. That must lie in
 * what the resource half has bounded. Also to change offset, flags or range, for which the device may have its reasons at any
 * time. range: NULL for none; must stay where it is, and be on the bus's memory, or not yet.
 */
void aperture_show(struct apertures *apertures, unsigned int number, const struct io_range *range, uint32_t offset,
		   uint32_t flags);
/* Behind each entry: if the bus says that something may have moved, what has is put into the answer. */
void apertures_answer(struct apertures *apertures, struct keel_context *ctx);

/* The device is a struct aperture. Writes to one that is read-only are ignored. */
extern const struct io_ops aperture_io;

#endif
