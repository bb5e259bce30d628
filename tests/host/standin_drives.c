// SPDX-License-Identifier: GPL-2.0
/* The stand-in's drives: requests of the guest, and their answers. */
#include "standin.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/pc_map.h"
#include "shared/virtio_id.h"
#include "shared/vq_driver.h"

#define DATA_SHOWN		8
#define DRIVES			(KEEL_DRIVES + PC_VIRTIO_DISKS)	/* the virtio disks behind the IDE drives */
#define HEADERS_AT		KEEL_BOUNCE_BYTES	/* in a drive's arena, one for each head; then the status bytes */
#define STATUSES_AT		(HEADERS_AT + KEEL_BLOCK_ENTRIES_MOST * sizeof(struct keel_block_header))

static struct {
	struct vq_driver driver;
	struct vq_shadow shadow[KEEL_BLOCK_ENTRIES_MOST];
	uint32_t number[KEEL_BLOCK_ENTRIES_MOST];	/* of requests, by their heads */
	struct {
		uint64_t offset;
		uint32_t count;	/* 0: not to be kept */
	} keep[KEEL_BLOCK_ENTRIES_MOST];		/* the same */
} drives[DRIVES];
static uint32_t requests_made;

static const struct keel_device *device_of(unsigned int drive)
{
	for (unsigned int i = 0; i < channel->machine.devices; i++) {
		const struct keel_device *row = &channel->machine.device[i];

		if (drive < KEEL_DRIVES ? row->type <= KEEL_DEVICE_IDE_CDROM && row->slot == drive :
					  row->type == KEEL_DEVICE_VIRTIO + VIRTIO_ID_BLOCK &&
					  row->slot == PC_SLOT_DISK + drive - KEEL_DRIVES)
			return row;
	}
	return NULL;
}

/* NULL: there is no such drive. */
static const struct keel_queue *queue_of(unsigned int drive)
{
	const struct keel_device *row = device_of(drive);

	return row ? &channel->machine.queue[row->first_queue] : NULL;
}

static unsigned long long bytes_of(unsigned int drive)
{
	struct keel_block_config config;

	memcpy(&config, device_of(drive)->config, sizeof(config));
	return config.sectors * KEEL_SECTOR;
}

static uint8_t *arena_of(unsigned int drive)
{
	return (uint8_t *)channel + queue_of(drive)->arena;
}

void drives_open(void)
{
	for (unsigned int i = 0; i < DRIVES; i++)
		if (queue_of(i))
			vq_driver_init(&drives[i].driver, (uint8_t *)channel + queue_of(i)->ring, queue_of(i)->entries,
				       drives[i].shadow);
}

void drives_note(void)
{
	for (unsigned int i = 0; i < DRIVES; i++)
		if (device_of(i))
			note("drive %u %llu", i, bytes_of(i));
}

/* byte: that a write writes; of a range its flags; of a read whether it is kept. */
void drives_request(unsigned int drive, enum keel_block_op op, uint64_t offset, uint32_t count, unsigned int byte)
{
	bool range = op == KEEL_BLOCK_DISCARD || op == KEEL_BLOCK_WRITE_ZEROES, writes = op == KEEL_BLOCK_WRITE || range;
	uint16_t head;
	uint32_t arena;
	struct vq_piece pieces[3];
	unsigned int used = 1;

	if (drive >= DRIVES || !queue_of(drive)) {
		fprintf(stderr, "stand-in: there is no drive %u\n", drive);
		return;
	}
	head = drives[drive].driver.free;
	arena = queue_of(drive)->arena;
	pieces[0] = (struct vq_piece){ arena + HEADERS_AT + head * (uint32_t)sizeof(struct keel_block_header), 16 };
	*(struct keel_block_header *)((uint8_t *)channel + pieces[0].offset) =
		(struct keel_block_header){ .op = op, .sector = offset / KEEL_SECTOR };
	if (range)
		*(struct keel_block_range *)arena_of(drive) =
			(struct keel_block_range){ offset / KEEL_SECTOR, count / KEEL_SECTOR, byte };
	else if (writes)
		memset(arena_of(drive), (int)byte, count < KEEL_BOUNCE_BYTES ? count : KEEL_BOUNCE_BYTES);
	if (op != KEEL_BLOCK_FLUSH)
		pieces[used++] = (struct vq_piece){ arena, range ? (uint32_t)sizeof(struct keel_block_range) : count };
	pieces[used++] = (struct vq_piece){ (uint32_t)(arena + STATUSES_AT) + head, 1 };
	if (!vq_driver_send(&drives[drive].driver, pieces, writes ? 2 : 1, used - (writes ? 2 : 1), &head)) {
		fprintf(stderr, "stand-in: drive %u takes no more requests\n", drive);
		return;
	}
	drives[drive].number[head] = requests_made++;
	drives[drive].keep[head].offset = offset;
	drives[drive].keep[head].count = op == KEEL_BLOCK_READ && byte ? count : 0;
	ring();
}

void drives_flood(void)
{
	uint8_t *queue = queue_of(0) ? (uint8_t *)channel + queue_of(0)->ring : NULL;

	if (queue)
		VQ_STORE(vq_avail_head(queue, KEEL_BLOCK_ENTRIES)->index,
			 (uint16_t)(VQ_LOAD(vq_used_head(queue, KEEL_BLOCK_ENTRIES)->index) + 1));
}

static void take_answers(unsigned int drive)
{
	char data[2 * DATA_SHOWN + 1] = "";
	uint16_t head;
	uint32_t bytes;

	while (vq_driver_receive(&drives[drive].driver, &head, &bytes)) {
		if (drives[drive].keep[head].count && pwrite(kept, arena_of(drive), drives[drive].keep[head].count,
							     (off_t)drives[drive].keep[head].offset) < 0)
			perror("stand-in: kept");
		for (unsigned int i = 0; i < DATA_SHOWN; i++)
			sprintf(data + 2 * i, "%02x", arena_of(drive)[i]);
		note("done %u %u %s", drives[drive].number[head], arena_of(drive)[STATUSES_AT + head], data);
	}
}

void drives_take(void)
{
	for (unsigned int i = 0; i < DRIVES; i++)
		if (queue_of(i))
			take_answers(i);
}
