// SPDX-License-Identifier: GPL-2.0
/*
 * Devices with back ends: what the resource half says of them in the channel, whether the cell takes that,
 * and what is served.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "host/channel.h"
#include "machine/link.h"
#include "shared/pc_map.h"
#include "shared/virtio_blk.h"
#include "shared/virtio_id.h"
#include "shared/vq_driver.h"
#include "suite.h"

#define FIRMWARE_BYTES	0x10000u
#define ENTRIES_MOST	64u
#define MARK		0xa5

static struct manifest manifest;
static struct devices devices;
static struct channel_layout layout;
static struct keel_channel *channel;
static struct board board;
static struct vq_driver cell;
static struct vq_shadow shadow[ENTRIES_MOST];
static struct vq_shadow disk_shadow[KEEL_BLOCK_ENTRIES_MOST];

/* What machine.c does before each run. */
static void start_run(void)
{
	static uint8_t bytes[FIRMWARE_BYTES];
	static struct items items;
	struct blob firmware = { .data = bytes, .bytes = sizeof(bytes) };
	struct vm_memory memory = { .low = 16 << 20, .firmware = FIRMWARE_BYTES };

	devices_describe(&devices, &manifest);
	channel_plan(&layout, &manifest, &devices, &firmware, &items);
	channel = aligned_alloc(KEEL_PAGE_SIZE, layout.bytes);
	memset(channel, 0, layout.bytes);
	channel_fill(channel, &layout, &manifest, &memory, &firmware, &items, 2000000);
	board_init(&board, channel, layout.device, layout.devices, layout.queue);
	devices_start(&devices, channel, layout.queue, &board);
}

static void start(void)
{
	struct failure failure;

	ck_assert(devices_open(&devices, &manifest, &failure));
	start_run();
}

static void start_rng(void)
{
	const struct keel_queue *queue;

	manifest = (struct manifest){ .vcpus = 1, .rng = true };
	start();
	queue = &layout.queue[0];
	ck_assert_uint_le(queue->entries, ENTRIES_MOST);
	vq_driver_init(&cell, (uint8_t *)channel + queue->ring, queue->entries, shadow);
	memset((uint8_t *)channel + queue->arena, MARK, queue->arena_bytes);
}

static void stop(void)
{
	devices_close(&devices);
	free(channel);
}

static void expect_taken(void)
{
	struct keel_machine machine;
	struct link link;

	ck_assert_uint_eq(link_init(&link, channel, &machine), 0);
	ck_assert_uint_eq(machine.devices, layout.devices);
	ck_assert_uint_eq(machine.queues, layout.queues);
}

START_TEST(nothing)
{
	manifest = (struct manifest){ .vcpus = 1 };
	start();
	expect_taken();
	ck_assert_uint_eq(layout.devices, 3);
	ck_assert_uint_eq(layout.device[0].type, KEEL_DEVICE_CONSOLE);
	ck_assert_uint_eq(layout.device[2].type, KEEL_DEVICE_PANEL);
	ck_assert(!devices_serve(&devices));
}
END_TEST

/* Drives come first; both kinds have queues of their own. */
START_TEST(all)
{
	manifest = (struct manifest){ .vcpus = 1, .rng = true };
	manifest.drives[1] = (struct manifest_drive){ .kind = MANIFEST_DRIVE_DISK, .mode = MANIFEST_RO, .bytes = 1 << 20,
						      .serial = "all of its twenty ch" };
	manifest.drives[2] = (struct manifest_drive){ .kind = MANIFEST_DRIVE_CDROM, .mode = MANIFEST_RO };
	start();
	expect_taken();
	ck_assert_uint_eq(layout.devices, 6);
	ck_assert_uint_eq(layout.queues, 10);
	ck_assert_int_eq(layout.drive[0], -1);
	ck_assert_int_eq(layout.drive[1], 0);
	ck_assert_ptr_null(channel_drive_queue(&layout, 3));
	ck_assert_ptr_eq(channel_drive_queue(&layout, 2), &layout.queue[1]);
	ck_assert_uint_eq(channel->machine.device[0].flags, KEEL_DEVICE_READONLY);
	ck_assert_uint_eq(link_block_sectors(&channel->machine.device[0]), (1 << 20) / KEEL_SECTOR);
	ck_assert_mem_eq(channel->machine.device[0].id, "all of its twenty ch", 20);
	ck_assert_str_eq(channel->machine.device[1].id, "KEEL-2");
	ck_assert_uint_eq(channel->machine.device[2].type, KEEL_DEVICE_VIRTIO + VIRTIO_ID_RNG);
	ck_assert_uint_eq(channel->machine.device[2].slot, PC_SLOT_RNG);
	ck_assert_uint_eq(channel->machine.device[0].queues, 1);
	ck_assert_uint_eq(channel->machine.device[1].queues, 3);
}
END_TEST

static struct virtio_blk_config disk_config(unsigned int device)
{
	struct virtio_blk_config config;

	memcpy(&config, channel->machine.device[device].config, sizeof(config));
	return config;
}

/* As many as there can be, in all modes: behind the IDE drives, and before what else has a back end. */
START_TEST(virtio_disks)
{
	manifest = (struct manifest){ .vcpus = 1, .rng = true };
	for (unsigned int i = 0; i < MANIFEST_IDE_DRIVES; i++)
		manifest.drives[i] = (struct manifest_drive){ .kind = MANIFEST_DRIVE_CDROM, .mode = MANIFEST_RO };
	for (unsigned int i = 0; i < MANIFEST_VIRTIO_DISKS; i++)
		manifest.drives[MANIFEST_IDE_DRIVES + i] = (struct manifest_drive){
			.kind = MANIFEST_DRIVE_DISK, .bus = MANIFEST_BUS_VIRTIO, .mode = i % 3, .bytes = (i + 1) << 20,
			.no_discard = i == 3,
		};
	memcpy(manifest.drives[MANIFEST_IDE_DRIVES].serial, "all of its twenty ch", 20);
	start();
	expect_taken();
	ck_assert_uint_eq(layout.devices, 4 + 16 + 1 + 3);
	ck_assert_uint_eq(layout.queues, 4 * 3 + 16 + 1 + 5);
	for (unsigned int i = 0; i < MANIFEST_VIRTIO_DISKS; i++) {
		const struct keel_device *row = &channel->machine.device[4 + i];
		struct virtio_blk_config config = disk_config(4 + i);

		ck_assert_int_eq(layout.drive[4 + i], (int)(4 + i));
		ck_assert_ptr_eq(channel_drive_queue(&layout, 4 + i), &layout.queue[12 + i]);
		ck_assert_uint_eq(layout.queue[12 + i].entries, KEEL_BLOCK_ENTRIES_MOST);
		ck_assert_uint_eq(layout.queue[12 + i].arena_bytes, VIRTIO_BLK_ARENA);
		ck_assert_uint_eq(row->type, KEEL_DEVICE_VIRTIO + VIRTIO_ID_BLOCK);
		ck_assert_uint_eq(row->slot, PC_SLOT_DISK + i);
		ck_assert_uint_eq(row->first_queue, 12 + i);
		ck_assert_uint_eq(row->flags, i % 3 == MANIFEST_RO ? KEEL_DEVICE_READONLY : 0);
		ck_assert_uint_eq(config.capacity, (i + 1) << 20 >> 9);
		ck_assert_uint_eq(config.max_discard_seg, i % 3 == MANIFEST_RW && i != 3);
		ck_assert_uint_eq(config.write_zeroes_may_unmap, i % 3 != MANIFEST_RO && i != 3);
		ck_assert_uint_eq(config.max_write_zeroes_seg, i % 3 != MANIFEST_RO);
	}
	ck_assert_mem_eq(channel->machine.device[4].id, "all of its twenty ch", 20);
	ck_assert_str_eq(channel->machine.device[19].id, "KEEL-V15");
	ck_assert_uint_eq(channel->machine.device[20].slot, PC_SLOT_RNG);
}
END_TEST

/* One that is alone in the last place: the seed of cloud-init, which is read-only and behind all that come later. */
START_TEST(virtio_disks_apart)
{
	manifest = (struct manifest){ .vcpus = 1 };
	manifest.drives[MANIFEST_IDE_DRIVES] = (struct manifest_drive){
		.kind = MANIFEST_DRIVE_DISK, .bus = MANIFEST_BUS_VIRTIO, .bytes = 1 << 20,
	};
	manifest.drives[MANIFEST_SEED_VIRTIO] = (struct manifest_drive){
		.kind = MANIFEST_DRIVE_DISK, .bus = MANIFEST_BUS_VIRTIO, .mode = MANIFEST_RO, .bytes = 4096, .serial = "cidata",
		.seed = true,
	};
	start();
	expect_taken();
	ck_assert_uint_eq(layout.devices, 2 + 3);
	ck_assert_uint_eq(channel->machine.device[0].slot, PC_SLOT_DISK);
	ck_assert_str_eq(channel->machine.device[0].id, "KEEL-V0");
	ck_assert_uint_eq(channel->machine.device[1].slot, PC_SLOT_LAST);
	ck_assert_uint_eq(channel->machine.device[1].flags, KEEL_DEVICE_READONLY);
	ck_assert_str_eq(channel->machine.device[1].id, "cidata");
	ck_assert_uint_eq(disk_config(1).capacity, 8);
	ck_assert_int_eq(layout.drive[MANIFEST_IDE_DRIVES], 0);
	ck_assert_int_eq(layout.drive[MANIFEST_SEED_VIRTIO], 1);
	ck_assert_int_eq(layout.drive[MANIFEST_IDE_DRIVES + 1], -1);
}
END_TEST

/* A queue of a disk's is neither watched nor served here, whatever is in it. */
START_TEST(disks_are_not_served)
{
	const struct keel_queue *queue;
	struct vq_piece piece;
	uint16_t head;

	manifest = (struct manifest){ .vcpus = 1 };
	manifest.drives[MANIFEST_IDE_DRIVES] = (struct manifest_drive){
		.kind = MANIFEST_DRIVE_DISK, .bus = MANIFEST_BUS_VIRTIO, .bytes = 1 << 20,
	};
	start();
	queue = channel_drive_queue(&layout, MANIFEST_IDE_DRIVES);
	ck_assert_uint_eq(queue->entries, KEEL_BLOCK_ENTRIES_MOST);
	vq_driver_init(&cell, (uint8_t *)channel + queue->ring, queue->entries, disk_shadow);
	piece = (struct vq_piece){ queue->arena, 64 };
	ck_assert(vq_driver_send(&cell, &piece, 0, 1, &head));
	ck_assert(!devices_serve(&devices));
	ck_assert(board_sleep(&board, false));
}
END_TEST

/* Of the next run only what a guest may find changed is another: how long the images are. */
START_TEST(images_that_grow)
{
	struct channel_layout before;

	manifest = (struct manifest){ .vcpus = 1, .rng = true };
	manifest.drives[0] = (struct manifest_drive){ .kind = MANIFEST_DRIVE_DISK, .bytes = 1 << 20 };
	manifest.drives[MANIFEST_IDE_DRIVES] = (struct manifest_drive){
		.kind = MANIFEST_DRIVE_DISK, .bus = MANIFEST_BUS_VIRTIO, .bytes = 1 << 20,
	};
	start();
	before = layout;
	manifest.drives[0].bytes = 3 << 20;
	manifest.drives[MANIFEST_IDE_DRIVES].bytes = 5 << 20;
	free(channel);
	start_run();
	expect_taken();
	ck_assert_uint_eq(link_block_sectors(&channel->machine.device[0]), (3 << 20) / KEEL_SECTOR);
	ck_assert_uint_eq(disk_config(1).capacity, (5 << 20) / KEEL_SECTOR);
	for (unsigned int i = 0; i < 2; i++)
		memcpy(layout.device[i].config, before.device[i].config, KEEL_DEVICE_CONFIG);
	ck_assert_mem_eq(layout.device, before.device, sizeof(before.device[0]) * before.devices);
	ck_assert_mem_eq(layout.queue, before.queue, sizeof(before.queue[0]) * before.queues);
	ck_assert_uint_eq(layout.bytes, before.bytes);
}
END_TEST

/* Entropy */

static uint16_t ask(uint32_t offset, uint32_t bytes)
{
	struct vq_piece piece = { layout.queue[0].arena + offset, bytes };
	uint16_t head;

	ck_assert(vq_driver_send(&cell, &piece, 0, 1, &head));
	return head;
}

static void expect_answer(uint16_t head, uint32_t least, uint32_t most)
{
	uint32_t bytes;
	uint16_t got;

	ck_assert(vq_driver_receive(&cell, &got, &bytes));
	ck_assert_uint_eq(got, head);
	ck_assert(bytes >= least && bytes <= most);
}

/* How many bytes are no longer what they were; of random ones a few are again. */
static unsigned int changed(uint32_t offset, uint32_t bytes)
{
	const uint8_t *at = (uint8_t *)channel + layout.queue[0].arena + offset;
	unsigned int count = 0;

	for (uint32_t i = 0; i < bytes; i++)
		count += at[i] != MARK;
	return count;
}

START_TEST(entropy)
{
	uint16_t head = ask(100, 256);

	expect_taken();
	ck_assert(!board_sleep(&board, false));
	ck_assert(devices_serve(&devices));
	expect_answer(head, 256, 256);
	ck_assert_uint_ge(changed(100, 256), 200);
	ck_assert_uint_eq(changed(0, 100), 0);
	ck_assert_uint_eq(changed(356, 1000), 0);
	ck_assert(!devices_serve(&devices));
	ck_assert(board_sleep(&board, false));
	/* A piece as large as the arena is filled in part. */
	head = ask(0, layout.queue[0].arena_bytes);
	ck_assert(devices_serve(&devices));
	expect_answer(head, 1, 1024);
	ck_assert_uint_eq(changed(1024, layout.queue[0].arena_bytes - 1024), 0);
}
END_TEST

/* One that asks all the time gets some at a time, and the rest keeps the process awake. */
START_TEST(no_end)
{
	unsigned int answers = 0;
	uint32_t bytes;
	uint16_t head;

	for (unsigned int i = 0; i < layout.queue[0].entries; i++)
		ask(i * 1024, 1024);
	/* Whatever the driver's index says, there are no more than entries. */
	vq_avail_head((uint8_t *)channel + layout.queue[0].ring, layout.queue[0].entries)->index = 0x7fff;
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int before = answers;

		ck_assert(devices_serve(&devices));
		while (vq_driver_receive(&cell, &head, &bytes))
			answers++;
		ck_assert_uint_le(answers - before, layout.queue[0].entries);
		ck_assert(!board_sleep(&board, false));
	}
	ck_assert_uint_ge(answers, layout.queue[0].entries);
}
END_TEST

/* What is no request gets no byte, and changes none. */
START_TEST(bad_requests)
{
	uint32_t arena = layout.queue[0].arena, ring = layout.queue[0].ring;
	static const struct vq_piece outside[] = { { 0, 64 }, { UINT32_MAX - 8, 64 }, { 0, 0 } };
	struct vq_piece pieces[2] = { { arena, 64 }, { arena + 64, 64 } };
	uint16_t head;

	ck_assert(vq_driver_send(&cell, pieces, 1, 1, &head));
	ck_assert(devices_serve(&devices));
	expect_answer(head, 0, 0);
	ck_assert(vq_driver_send(&cell, pieces, 2, 0, &head));
	ck_assert(devices_serve(&devices));
	expect_answer(head, 0, 0);
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert(vq_driver_send(&cell, &outside[i], 0, 1, &head));
		ck_assert(devices_serve(&devices));
		expect_answer(head, 0, 0);
	}
	/* The ring itself. */
	pieces[0] = (struct vq_piece){ ring, 64 };
	ck_assert(vq_driver_send(&cell, pieces, 0, 1, &head));
	ck_assert(devices_serve(&devices));
	expect_answer(head, 0, 0);
	ck_assert_uint_eq(changed(0, layout.queue[0].arena_bytes), 0);
	head = ask(0, 32);
	ck_assert(devices_serve(&devices));
	expect_answer(head, 32, 32);
}
END_TEST

SUITE_OF_CASES("devices", suite)
{
	TCase *planned = add_case(suite, "planned"), *rng = add_case(suite, "rng");

	tcase_add_checked_fixture(planned, NULL, stop);
	tcase_add_test(planned, nothing);
	tcase_add_test(planned, all);
	tcase_add_test(planned, virtio_disks);
	tcase_add_test(planned, virtio_disks_apart);
	tcase_add_test(planned, disks_are_not_served);
	tcase_add_test(planned, images_that_grow);
	tcase_add_checked_fixture(rng, start_rng, stop);
	tcase_add_test(rng, entropy);
	tcase_add_test(rng, no_end);
	tcase_add_test(rng, bad_requests);
}
