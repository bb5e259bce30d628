// SPDX-License-Identifier: GPL-2.0
/* Virtio disks of a guest (VIRTIO 1.2, 5.2): what one is. Requests are the disks' engine's (disk.h), as those of IDE drives. */
#include <stdio.h>
#include <string.h>

#include "host/backend/backend.h"
#include "shared/pc_map.h"
#include "shared/virtio_blk.h"
#include "shared/virtio_id.h"

/* What is written to a snapshot is forgotten soon anyway: there is no discard. Pages of the page cache are its blocks. */
static struct virtio_blk_config make_config(const struct manifest_drive *drive)
{
	struct virtio_blk_config config = {
		.capacity = drive->bytes / KEEL_SECTOR, .seg_max = VIRTIO_BLK_SEGMENTS, .blk_size = KEEL_SECTOR,
		.physical_block_exp = 3, .min_io_size = 8, .num_queues = 1,
	};

	if (drive->mode == MANIFEST_RW && !drive->no_discard) {
		config.max_discard_sectors = KEEL_BLOCK_RANGE_MOST;
		config.max_discard_seg = 1;
		config.discard_sector_alignment = 8;
	}
	if (drive->mode != MANIFEST_RO) {
		config.max_write_zeroes_sectors = KEEL_BLOCK_RANGE_MOST;
		config.max_write_zeroes_seg = 1;
		config.write_zeroes_may_unmap = !drive->no_discard;
	}
	return config;
}

/* Systems tell disks apart by their serial numbers. */
static void make_serial(struct keel_device *device, const struct manifest_drive *drive, unsigned int place)
{
	if (drive->serial[0])
		memcpy(device->id, drive->serial, sizeof(device->id));
	else
		snprintf(device->id, sizeof(device->id), "KEEL-V%u", place);
}

/* The place of one of them, in their order: not all places before it need be taken. */
static unsigned int find_place(const struct manifest *m, unsigned int number)
{
	unsigned int place;

	for (place = 0; place < MANIFEST_VIRTIO_DISKS; place++)
		if (m->drives[MANIFEST_IDE_DRIVES + place].kind != MANIFEST_DRIVE_NONE && !number--)
			break;
	return place;
}

static bool describe(const struct manifest *m, unsigned int number, struct backend_plan *plan)
{
	unsigned int place = find_place(m, number);
	const struct manifest_drive *drive = &m->drives[MANIFEST_IDE_DRIVES + place];
	struct virtio_blk_config config;

	if (place == MANIFEST_VIRTIO_DISKS)
		return false;
	config = make_config(drive);
	*plan = (struct backend_plan){
		.device = {
			.type = KEEL_DEVICE_VIRTIO + VIRTIO_ID_BLOCK, .slot = (uint16_t)(PC_SLOT_DISK + place), .queues = 1,
			.flags = drive->mode == MANIFEST_RO ? KEEL_DEVICE_READONLY : 0, .config_bytes = sizeof(config),
		},
		.entries = KEEL_BLOCK_ENTRIES_MOST, .arena_bytes = VIRTIO_BLK_ARENA, .drive = drive,
	};
	memcpy(plan->device.config, &config, sizeof(config));
	make_serial(&plan->device, drive, place);
	snprintf(plan->boot, sizeof(plan->boot), "scsi@%x/disk@0,0", plan->device.slot);
	return true;
}

const struct backend_ops backend_virtio_blk = { .describe = describe };
