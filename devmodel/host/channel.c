// SPDX-License-Identifier: GPL-2.0
/* Builds a guest's channel from its manifest. */
#include "host/channel.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "host/board.h"
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

static void place_queue(struct channel_layout *layout, size_t *end, uint32_t entries, uint32_t arena_bytes)
{
	uint32_t ring = place(end, vq_bytes(entries));

	layout->queue[layout->queues++] = (struct keel_queue){
		.ring = ring, .entries = entries, .arena = place(end, arena_bytes), .arena_bytes = arena_bytes,
	};
}

static void place_board_queues(struct channel_layout *layout, size_t *end, const struct board_kind *kind)
{
	for (unsigned int i = 0; i < kind->queues; i++)
		place_queue(layout, end, kind->queue[i].entries, kind->queue[i].arena_bytes);
}

static void plan_ide_drive(struct channel_layout *layout, size_t *end, unsigned int number, const struct manifest_drive *drive)
{
	const struct board_kind *kind = drive->kind == MANIFEST_DRIVE_CDROM ? &board_cdrom : &board_disk;
	struct keel_block_config config = { .sectors = drive->bytes / KEEL_SECTOR };
	struct keel_device *device = &layout->device[layout->devices];

	layout->drive[number] = (int)layout->devices++;
	*device = (struct keel_device){
		.type = kind->type, .flags = drive->mode == MANIFEST_RO ? KEEL_DEVICE_READONLY : 0, .slot = (uint16_t)number,
		.first_queue = (uint16_t)layout->queues, .queues = (uint16_t)kind->queues, .config_bytes = sizeof(config),
	};
	memcpy(device->config, &config, sizeof(config));
	/* Systems tell drives apart by their serial numbers. */
	if (drive->serial[0])
		memcpy(device->id, drive->serial, sizeof(device->id));
	else
		snprintf(device->id, sizeof(device->id), "KEEL-%u", number);
	place_board_queues(layout, end, kind);
}

/* What every machine has. */
static void plan_board(struct channel_layout *layout, size_t *end)
{
	for (unsigned int i = 0; i < board_kind_count; i++) {
		const struct board_kind *kind = board_kinds[i];

		if (!kind->always)
			continue;
		layout->device[layout->devices++] = (struct keel_device){
			.type = kind->type, .first_queue = (uint16_t)layout->queues, .queues = (uint16_t)kind->queues,
		};
		place_board_queues(layout, end, kind);
	}
}

static void plan_device(struct channel_layout *layout, size_t *end, const struct manifest *m, struct backend_plan *plan)
{
	if (plan->drive)
		layout->drive[plan->drive - m->drives] = (int)layout->devices;
	plan->device.first_queue = (uint16_t)layout->queues;
	layout->device[layout->devices++] = plan->device;
	for (unsigned int i = 0; i < plan->device.queues; i++) {
		bool control = i + plan->control >= plan->device.queues;

		place_queue(layout, end, control ? VQ_ENTRIES_LEAST : plan->entries,
			    control ? (uint32_t)KEEL_PAGE_SIZE : plan->arena_bytes);
	}
}

void channel_plan(struct channel_layout *layout, const struct manifest *m, struct devices *devices, const struct blob *firmware,
		  const struct items *items)
{
	size_t end = sizeof(struct keel_channel), item_bytes = 0;

	layout->devices = layout->queues = 0;
	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++)
		layout->drive[i] = -1;
	for (unsigned int i = 0; i < MANIFEST_IDE_DRIVES; i++)
		if (m->drives[i].kind != MANIFEST_DRIVE_NONE)
			plan_ide_drive(layout, &end, i, &m->drives[i]);
	for (unsigned int i = 0; i < devices->count; i++)
		plan_device(layout, &end, m, &devices->entry[i].plan);
	plan_board(layout, &end);
	layout->statistics = place(&end, sizeof(struct keel_statistics));
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

static void fill_devices(struct keel_machine *machine, const struct channel_layout *layout)
{
	machine->devices = layout->devices;
	machine->queues = layout->queues;
	memcpy(machine->device, layout->device, sizeof(machine->device));
	memcpy(machine->queue, layout->queue, sizeof(machine->queue));
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
	machine->statistics = layout->statistics;
	machine->firmware = layout->firmware;
	machine->firmware_bytes = (uint32_t)firmware->bytes;
	memcpy((uint8_t *)channel + layout->firmware, firmware->data, firmware->bytes);
	fill_devices(machine, layout);
	fill_items(channel, layout->items, items);
}
