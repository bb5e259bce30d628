// SPDX-License-Identifier: GPL-2.0
/* The cell: the one place with file-scope state, on the addresses that the hypervisor gives it (keel/cell.h). */
#include <keel/cell.h>

#include "vcpu/entry.h"

/* cell_entry.asm has them too. */
_Static_assert(KEEL_CELL_GATE == 31, "the gate that cell_entry answers by");
_Static_assert(KEEL_CELL_MAGIC == 0x6c6c65634c45454bull, "the header's magic");
_Static_assert(sizeof(struct keel_cell_header) == 32, "the header that cell_entry.asm lays out");
_Static_assert(sizeof(struct keel_context) <= KEEL_PAGE_SIZE, "a context is one page");
_Static_assert(sizeof(struct lapic_page) == KEEL_PAGE_SIZE, "an APIC page is one page");

void cell_main(struct keel_context *ctx);

static struct pc pc;
static struct transfer_memory transfer_memory;

static uint64_t host_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

void cell_main(struct keel_context *ctx)
{
	static const struct entry_place place = {
		.channel = (void *)KEEL_CELL_CHANNEL,
		.guest = (uint8_t *)KEEL_CELL_GUEST,
		.apics = (struct lapic_page *)KEEL_CELL_APICS,
		.transfer = &transfer_memory,
		.contexts = { (uint8_t *)KEEL_CELL_CONTEXTS, KEEL_PAGE_SIZE },
	};

	entry_run(&pc, &place, ctx, host_tsc());
}
