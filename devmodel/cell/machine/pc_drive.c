// SPDX-License-Identifier: GPL-2.0
/* IDE drives: their requests, their media and doors. */
#include "machine/pc.h"

#include "core/string.h"

static bool accepts(const struct keel_device *row, const struct keel_queue *queues)
{
	uint32_t sectors = row->type == KEEL_DEVICE_IDE_CDROM ? PC_CDROM_SECTOR / KEEL_SECTOR : 1;
	uint64_t has = link_block_sectors(row);

	return queues[0].entries == KEEL_BLOCK_ENTRIES && queues[0].arena_bytes == KEEL_BLOCK_ARENA &&
	       row->config_bytes == sizeof(struct keel_block_config) && has % sectors == 0 && has <= INT64_MAX / KEEL_SECTOR;
}

static struct ide_channel *channel_of(struct pc *pc, unsigned int drive)
{
	return &pc->ide.channel[drive / IDE_CHANNEL_DRIVES];
}

static bool open_disk(struct pc *pc, const struct keel_device *row, const struct keel_queue *queues)
{
	struct ide_drive *drive = &channel_of(pc, row->slot)->drive[row->slot % IDE_CHANNEL_DRIVES];
	struct block *block = &pc->block[row->slot];

	drive->host = &pc->ide_host;
	drive->number = row->slot;
	drive->kind = row->type;
	drive->flags = row->flags;
	drive->bytes = link_block_sectors(row) * KEEL_SECTOR;
	memcpy(drive->serial, row->id, sizeof(drive->serial));
	pc->drive[row->slot] = row;
	block_init(block, link_bytes(&pc->link, 0), &queues[0]);
	drive->bounce = block_data(block);
	return true;
}

static bool open_cdrom(struct pc *pc, const struct keel_device *row, const struct keel_queue *queues)
{
	link_open_messages(&pc->link, &pc->door[row->slot], queues + 1);
	return open_disk(pc, row, queues);
}

bool pc_submit(void *owner, unsigned int drive, unsigned int chunk, enum keel_block_op op, uint64_t offset, uint32_t count)
{
	struct pc *pc = owner;
	bool taken = block_submit(&pc->block[drive], chunk, op, offset, count);

	pc->link.produced |= taken;
	return taken;
}

void pc_door(void *owner, unsigned int drive, bool locked, bool ejected)
{
	struct pc *pc = owner;
	struct keel_message *last = &pc->door[drive].last;

	last->kind = KEEL_MESSAGE_DOOR;
	last->flags = locked ? KEEL_MESSAGE_LOCKED : 0;
	last->number += ejected;
	link_send(&pc->link, &pc->door[drive]);
}

/* As many as there can be at once: a producer that never stops cannot keep this from ending. */
static void complete(struct pc *pc, const struct keel_device *row)
{
	unsigned int chunk;
	int32_t status;

	for (unsigned int i = 0; i < KEEL_BLOCK_CHUNKS && block_completed(&pc->block[row->slot], &chunk, &status); i++)
		ide_complete(channel_of(pc, row->slot), row->slot % IDE_CHANNEL_DRIVES, chunk, status);
}

static void take_message(struct pc *pc, const struct keel_device *row, const struct keel_message *message)
{
	struct ide_channel *channel = channel_of(pc, row->slot);
	unsigned int drive = row->slot % IDE_CHANNEL_DRIVES;

	if (message->kind == KEEL_MESSAGE_EJECT_BUTTON)
		ide_eject_request(channel, drive);
	else if (message->kind == KEEL_MESSAGE_MEDIUM && message->number <= INT64_MAX / KEEL_SECTOR)
		ide_medium_changed(channel, drive, message->number * KEEL_SECTOR / PC_CDROM_SECTOR * PC_CDROM_SECTOR);
}

static void cdrom_event(struct pc *pc, const struct keel_device *row)
{
	pc_take_messages(pc, &pc->door[row->slot], row, take_message);
	complete(pc, row);
}

const struct link_kind pc_disk_kind = {
	.type = KEEL_DEVICE_IDE_DISK, .place = LINK_PLACE_IDE, .queues = 1,
	.accepts = accepts, .open = open_disk, .event = complete,
};

const struct link_kind pc_cdrom_kind = {
	.type = KEEL_DEVICE_IDE_CDROM, .place = LINK_PLACE_IDE, .queues = 3, .messages = 2,
	.accepts = accepts, .open = open_cdrom, .event = cdrom_event,
};
