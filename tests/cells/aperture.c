// SPDX-License-Identifier: GPL-2.0
/* The product's cell with one more device: a card whose BARs are apertures, for guests/aperture.c. */
#include <keel/cell.h>

#include "vcpu/entry.h"

#define SLOT		7u
#define CARD_VENDOR	0x1af4u
#define CARD_DEVICE	0x10f0u
#define READONLY_BYTES	(4u * (uint32_t)KEEL_PAGE_SIZE)

void cell_main(struct keel_context *ctx);

static struct pc pc;
static struct pci_function card;

static uint64_t host_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static void add_bar(unsigned int bar, uint64_t bytes, unsigned int aperture, uint32_t flags)
{
	pci_function_bar(&card, bar, PCI_BAR_32, bytes, &aperture_io, &pc.apertures.of[aperture]);
	aperture_show(&pc.apertures, aperture, &card.bar[bar].range, pc.machine.aperture[aperture].offset, flags);
}

static void plug(void)
{
	static const struct pci_identity identity = { .vendor = CARD_VENDOR, .device = CARD_DEVICE, .class = 5 };

	pci_add(&pc.pci, SLOT, 0, &card);
	pci_function_init(&card, &identity);
	add_bar(0, pc.machine.aperture[0].bytes, 0, 0);
	add_bar(2, READONLY_BYTES, 1, KEEL_APERTURE_READONLY);
}

void cell_main(struct keel_context *ctx)
{
	static const struct entry_place place = {
		.channel = (void *)KEEL_CELL_CHANNEL,
		.guest = (uint8_t *)KEEL_CELL_GUEST,
		.apics = (struct lapic_page *)KEEL_CELL_APICS,
	};
	bool ready = pc.ready;

	entry_run(&pc, &place, ctx, host_tsc());
	if (pc.ready && !ready)
		plug();
}
