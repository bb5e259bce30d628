// SPDX-License-Identifier: GPL-2.0
/* Builds a guest's channel from its manifest. */
#include "host/channel.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "shared/vq.h"

#define ITEM_ALIGN		8u
#define NS_PER_SECOND		1000000000ll

static uint32_t place(size_t *end, size_t bytes)
{
	size_t start = (*end + KEEL_PAGE_SIZE - 1) & ~(size_t)(KEEL_PAGE_SIZE - 1);

	*end = start + bytes;
	return (uint32_t)start;
}

static size_t padded(size_t bytes)
{
	return (bytes + ITEM_ALIGN - 1) & ~(size_t)(ITEM_ALIGN - 1);
}

static struct keel_queue place_queue(size_t *end)
{
	uint32_t ring = place(end, vq_bytes(KEEL_BLOCK_ENTRIES));

	return (struct keel_queue){
		.ring = ring, .entries = KEEL_BLOCK_ENTRIES,
		.arena = place(end, KEEL_BLOCK_ARENA), .arena_bytes = KEEL_BLOCK_ARENA,
	};
}

void channel_plan(struct channel_layout *layout, const struct manifest *m, const struct blob *firmware,
		  const struct items *items)
{
	size_t end = sizeof(struct keel_channel), item_bytes = 0;

	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		layout->queue[i] = m->drives[i].kind ? place_queue(&end) : (struct keel_queue){ 0 };
	layout->firmware = place(&end, firmware->bytes);
	for (unsigned int i = 0; i < items->count; i++)
		item_bytes += padded(items->entry[i].data.bytes);
	layout->items = place(&end, item_bytes);
	layout->bytes = (end + KEEL_PAGE_SIZE - 1) & ~(size_t)(KEEL_PAGE_SIZE - 1);
}

/* Host TSC and wall clock of one moment: the reading of the clock that took the least time. */
static void read_clocks(struct keel_machine *machine)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = __rdtsc(), after;
		struct timespec now;

		clock_gettime(CLOCK_REALTIME, &now);
		after = __rdtsc();
		if (after - before >= best)
			continue;
		best = after - before;
		machine->wall_tsc = before + best / 2;
		machine->wall_ns = now.tv_sec * NS_PER_SECOND + now.tv_nsec;
	}
}

static void fill_drive(struct keel_drive *to, unsigned int number, const struct manifest_drive *from, const struct keel_queue *queue)
{
	char serial[sizeof(to->serial) + 1] = "";

	/* Systems tell drives apart by their serial numbers. */
	if (from->serial[0])
		memcpy(serial, from->serial, sizeof(to->serial));
	else
		snprintf(serial, sizeof(serial), "KEEL-%u", number);
	to->kind = from->kind == MANIFEST_DRIVE_DISK ? KEEL_DRIVE_DISK :
		   from->kind == MANIFEST_DRIVE_CDROM ? KEEL_DRIVE_CDROM : KEEL_DRIVE_NONE;
	to->flags = from->mode == MANIFEST_RO ? KEEL_DRIVE_READONLY : 0;
	to->bytes = from->bytes;
	memcpy(to->serial, serial, sizeof(to->serial));
	to->queue = *queue;
}

static void fill_items(struct keel_channel *channel, uint32_t at, const struct items *items)
{
	struct keel_machine *machine = &channel->machine;

	machine->items = items->count;
	for (unsigned int i = 0; i < items->count; i++) {
		const struct items_entry *from = &items->entry[i];
		struct keel_item *to = &machine->item[i];

		memcpy(to->name, from->name, sizeof(to->name));
		to->key = from->key;
		to->size = (uint32_t)from->data.bytes;
		to->offset = at;
		memcpy((uint8_t *)channel + at, from->data.data, from->data.bytes);
		at += (uint32_t)padded(from->data.bytes);
	}
}

void channel_fill(struct keel_channel *channel, const struct channel_layout *layout, const struct manifest *m,
		  const struct vm_memory *memory, const struct blob *firmware, const struct items *items, uint64_t tsc_khz)
{
	struct keel_machine *machine = &channel->machine;

	channel->magic = KEEL_CHANNEL_MAGIC;
	channel->version = KEEL_CHANNEL_VERSION;
	channel->bytes = layout->bytes;
	machine->vcpus = m->vcpus;
	machine->topology = m->topology;
	machine->low_memory = memory->low;
	machine->high_memory = memory->high;
	machine->tsc_khz = tsc_khz;
	read_clocks(machine);
	machine->firmware = layout->firmware;
	machine->firmware_bytes = (uint32_t)firmware->bytes;
	memcpy((uint8_t *)channel + layout->firmware, firmware->data, firmware->bytes);
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		fill_drive(&machine->drives[i], i, &m->drives[i], &layout->queue[i]);
	fill_items(channel, layout->items, items);
}
