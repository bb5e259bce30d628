/* SPDX-License-Identifier: GPL-2.0 */
/* A virtio block device's configuration space (VIRTIO 1.2, 5.2.4), which the resource half fills and the register half shows. */
#ifndef KEEL_VIRTIO_BLK_H
#define KEEL_VIRTIO_BLK_H

#include <stdint.h>

#include <keel/channel.h>

#define VIRTIO_BLK_ENTRIES	128u			/* of the guest's queue, */
#define VIRTIO_BLK_SEGMENTS	(VIRTIO_BLK_ENTRIES - 2)	/* which are enough for a request of so many pieces of data */

struct virtio_blk_config {
	uint64_t capacity;		/* in KEEL_SECTOR */
	uint32_t size_max;
	uint32_t seg_max;
	uint16_t cylinders;
	uint8_t heads;
	uint8_t sectors;
	uint32_t blk_size;
	uint8_t physical_block_exp;
	uint8_t alignment_offset;
	uint16_t min_io_size;		/* in blocks, as the next one */
	uint32_t opt_io_size;
	uint8_t writeback;
	uint8_t unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors;	/* 0: there is no discard */
	uint32_t max_discard_seg;
	uint32_t discard_sector_alignment;
	uint32_t max_write_zeroes_sectors;	/* 0: there is no write zeroes */
	uint32_t max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
};

_Static_assert(sizeof(struct virtio_blk_config) <= KEEL_DEVICE_CONFIG, "a row has room for it");

/* The arena of a disk's queue in the channel. */
#define VIRTIO_BLK_ARENA	0x101000u	/* 1 MiB of data, and a page for the rest of the requests */

#endif
