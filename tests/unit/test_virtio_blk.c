// SPDX-License-Identifier: GPL-2.0
/* The virtio block device: a guest's driver of a few lines on one side, the host's end of the channel's queue on the other. */
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "roundtrip.h"
#include "shared/virtio_blk.h"
#include "suite.h"
#include "virtio_rig.h"

#define SLOT		16u
#define MEMORY		0x400000u
#define SIZE		VIRTIO_BLK_ENTRIES
#define SECTORS		8192u		/* 4 MiB */
#define CHANNEL_BYTES	(2 * PAGE + VIRTIO_BLK_ARENA)

/* In the guest. */
enum { DESC = 0x10000, AVAIL = 0x11000, USED = 0x12000, HEADERS = 0x14000, STATUSES = 0x16000, TABLE = 0x18000, DATA = 0x100000 };

#define INDIRECT	4u
#define F_RO		(1u << 5)
#define F_FLUSH		(1u << 9)
#define F_DISCARD	(1u << 13)
#define F_ZEROES	(1u << 14)
#define F_INDIRECT	(1u << 28)
#define F_EVENT		(1u << 29)
#define GET_ID		8u
#define UNTOUCHED	0xeeu

static struct keel_device row;
static uint8_t disk[SECTORS * KEEL_SECTOR];
static unsigned int interrupts, next_head, flushes;
static uint16_t added;
static struct keel_queue queue;

static void take_level(void *board, unsigned int slot, unsigned int pin, bool level)
{
	(void)board;
	ck_assert(slot == SLOT && pin == 0);
	interrupts += level;
}

static void take_message(void *sink, uint64_t address, uint32_t data)
{
	(void)sink;
	(void)address;
	(void)data;
}

static uint32_t get(unsigned int offset, unsigned int bytes)
{
	return (uint32_t)bus_read(&bus, MODERN + offset, bytes);
}

static struct virtio_blk_config make_config(void)
{
	return (struct virtio_blk_config){
		.capacity = SECTORS, .seg_max = VIRTIO_BLK_SEGMENTS, .blk_size = KEEL_SECTOR, .physical_block_exp = 3,
		.num_queues = 1, .max_discard_sectors = 4096, .max_discard_seg = 1,
		.max_write_zeroes_sectors = 2048, .max_write_zeroes_seg = 1,
	};
}

static void plug_with(uint16_t flags, const struct virtio_blk_config *config, uint32_t entries, uint32_t arena_bytes)
{
	queue = (struct keel_queue){ 0, entries, 2 * PAGE, arena_bytes };
	row = (struct keel_device){
		.type = KEEL_DEVICE_VIRTIO + 2, .slot = SLOT, .queues = 1, .flags = flags, .config_bytes = sizeof(*config),
		.id = "0123456789abcdefghij",
	};
	memcpy(row.config, config, sizeof(*config));
	ck_assert(virtio_blk.accepts(&row, &queue));
	rig_plug(&(struct virtio_rig){
		.ops = &virtio_blk, .slot = SLOT, .memory_bytes = MEMORY, .channel_bytes = CHANNEL_BYTES,
		.queue = &queue, .queues = 1, .row = &row, .set_intx = take_level, .message = take_message,
	});
	place_bars();
	for (unsigned int i = 0; i < sizeof(disk); i++)
		disk[i] = (uint8_t)(i / KEEL_SECTOR * 7 + i);
	interrupts = next_head = flushes = 0;
}

static void plug(void)
{
	struct virtio_blk_config config = make_config();

	plug_with(0, &config, KEEL_BLOCK_ENTRIES_MOST, VIRTIO_BLK_ARENA);
}

/* What a driver of today does. Of the kind's and the common features these. */
static void start_driver(uint32_t features)
{
	added = 0;
	memset(memory + AVAIL, 0, PAGE);
	memset(memory + USED, 0, PAGE);
	modern_begin(features);
	ck_assert_uint_eq(get(0x14, 1), 0xb);
	modern_queue(0, DESC, AVAIL, USED);
	modern_ready();
}

static void kick(void)
{
	bus_port_write(&bus, PORTS + 0x10, 2, 0);
}

static void set_desc(unsigned int at, unsigned int number, uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
	struct vq_desc desc = { address, length, flags, next };

	memcpy(memory + at + number * sizeof(desc), &desc, sizeof(desc));
}

static void make_available(uint16_t head)
{
	memcpy(memory + AVAIL + 4 + added % SIZE * 2u, &head, sizeof(head));
	added++;
	memcpy(memory + AVAIL + 2, &added, sizeof(added));
}

static void set_header(unsigned int number, uint32_t type, uint64_t sector)
{
	struct keel_block_header header = { .op = type, .sector = sector };

	memcpy(memory + HEADERS + number * sizeof(header), &header, sizeof(header));
	memory[STATUSES + number] = UNTOUCHED;
}

static uint8_t status_of(unsigned int number)
{
	return memory[STATUSES + number];
}

/* A request of its own three descriptors; returns its number. flags: of the data. bytes: 0, there is none. */
static unsigned int add(uint32_t type, uint64_t sector, uint64_t at, uint32_t bytes, uint16_t flags)
{
	unsigned int number = next_head++ % (SIZE / 3), head = 3 * number;

	set_header(number, type, sector);
	set_desc(DESC, head, HEADERS + number * 16, 16, VQ_DESC_NEXT, (uint16_t)(bytes ? head + 1 : head + 2));
	if (bytes)
		set_desc(DESC, head + 1, at, bytes, (uint16_t)(flags | VQ_DESC_NEXT), (uint16_t)(head + 2));
	set_desc(DESC, head + 2, STATUSES + number, 1, VQ_DESC_WRITE, 0);
	make_available((uint16_t)head);
	return number;
}

static unsigned int add_read(uint64_t sector, uint64_t at, uint32_t bytes)
{
	return add(KEEL_BLOCK_READ, sector, at, bytes, VQ_DESC_WRITE);
}

static unsigned int add_write(uint64_t sector, uint64_t at, uint32_t bytes)
{
	return add(KEEL_BLOCK_WRITE, sector, at, bytes, 0);
}

static uint16_t used_count(void)
{
	uint16_t count;

	memcpy(&count, memory + USED + 2, sizeof(count));
	return count;
}

static struct vq_used used_entry(uint16_t number)
{
	struct vq_used used;

	memcpy(&used, memory + USED + 4 + number % SIZE * sizeof(used), sizeof(used));
	return used;
}

/* The host's end */

static struct keel_block_header header_of(const struct vq_chain *chain)
{
	struct keel_block_header header;

	ck_assert(chain->good && chain->out && chain->in && chain->piece[0].bytes == sizeof(header));
	ck_assert_uint_eq(chain->piece[chain->out + chain->in - 1].bytes, 1);
	memcpy(&header, channel + chain->piece[0].offset, sizeof(header));
	return header;
}

static bool take_chain(struct vq_chain *chain)
{
	return vq_device_take(host, chain);
}

static void zero(const struct vq_piece *piece)
{
	struct keel_block_range range;

	ck_assert_uint_eq(piece->bytes, sizeof(range));
	memcpy(&range, channel + piece->offset, sizeof(range));
	ck_assert_uint_le(range.sector + range.sectors, SECTORS);
	memset(disk + range.sector * KEEL_SECTOR, 0, range.sectors * KEEL_SECTOR);
}

static void carry_out(const struct vq_chain *chain, uint8_t status)
{
	struct keel_block_header header = header_of(chain);
	const struct vq_piece *data = &chain->piece[1];

	if (header.op == KEEL_BLOCK_READ || header.op == KEEL_BLOCK_WRITE) {
		ck_assert_uint_le(header.sector * KEEL_SECTOR + data->bytes, sizeof(disk));
		ck_assert_uint_le(data->bytes, KEEL_BOUNCE_BYTES);
	}
	if (status)
		;
	else if (header.op == KEEL_BLOCK_READ)
		memcpy(channel + data->offset, disk + header.sector * KEEL_SECTOR, data->bytes);
	else if (header.op == KEEL_BLOCK_WRITE)
		memcpy(disk + header.sector * KEEL_SECTOR, channel + data->offset, data->bytes);
	else if (header.op == KEEL_BLOCK_FLUSH)
		flushes++;
	else
		zero(data);
	channel[chain->piece[chain->out + chain->in - 1].offset] = status;
	vq_device_give(host, chain->head, 1);
}

/* Answers all that there is, until there is nothing more; the order of each round is that of the coin. */
static unsigned int serve(void)
{
	static struct vq_chain chains[KEEL_BLOCK_ENTRIES_MOST];
	unsigned int served = 0, count;

	do {
		for (count = 0; take_chain(&chains[count]); count++)
			;
		served += count;
		while (count) {
			unsigned int one = (unsigned int)rand() % count;

			carry_out(&chains[one], KEEL_BLOCK_OK);
			chains[one] = chains[--count];
			if (rand() % 2)
				virtio_work(device);
		}
		virtio_work(device);
	} while (vq_device_has(host));
	return served;
}

static bool needs_reset(void)
{
	return get(0x14, 1) & VIRTIO_STATUS_NEEDS_RESET;
}

static void fill(uint64_t at, uint32_t bytes, uint8_t seed)
{
	for (uint32_t i = 0; i < bytes; i++)
		memory[at + i] = (uint8_t)(seed + i * 13 + i / 509);
}

/* Registers */

START_TEST(configuration)
{
	struct virtio_blk_config config = make_config();

	for (unsigned int i = 0; i < sizeof(config); i++)
		ck_assert_uint_eq(get(0x2000 + i, 1), ((uint8_t *)&config)[i]);
	put(0x00, 4, 0);
	ck_assert_uint_eq(get(0x04, 4) & 0xffffff, 1u << 2 | 1u << 6 | F_FLUSH | 1u << 10 | F_DISCARD | F_ZEROES);
	ck_assert_uint_eq(get(0x18, 2), SIZE);
}
END_TEST

START_TEST(read_only)
{
	struct virtio_blk_config config = make_config();
	unsigned int number;

	rig_unplug();
	config.max_discard_sectors = config.max_discard_seg = config.max_write_zeroes_sectors = config.max_write_zeroes_seg = 0;
	plug_with(KEEL_DEVICE_READONLY, &config, KEEL_BLOCK_ENTRIES_MOST, VIRTIO_BLK_ARENA);
	put(0x00, 4, 0);
	ck_assert_uint_eq(get(0x04, 4) & (F_RO | F_DISCARD | F_ZEROES), F_RO);
	start_driver(F_FLUSH);		/* whether the driver knows of it or not */
	number = add_write(0, DATA, 512);
	kick();
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_FAILED);
	number = add_read(0, DATA, 512);
	kick();
	serve();
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_OK);
}
END_TEST

static const struct {
	uint32_t entries, arena_bytes, config_bytes, blk_size, seg_max, discard, zeroes, segments;
	uint64_t capacity;
} refused[] = {
	{ 256, VIRTIO_BLK_ARENA, sizeof(struct virtio_blk_config), 512, 126, 1, 1, 1, 1 },
	{ 128, PAGE, sizeof(struct virtio_blk_config), 512, 126, 1, 1, 1, 1 },
	{ 128, VIRTIO_BLK_ARENA, 8, 512, 126, 1, 1, 1, 1 },
	{ 128, VIRTIO_BLK_ARENA, sizeof(struct virtio_blk_config), 4096, 126, 1, 1, 1, 1 },
	{ 128, VIRTIO_BLK_ARENA, sizeof(struct virtio_blk_config), 512, 127, 1, 1, 1, 1 },
	{ 128, VIRTIO_BLK_ARENA, sizeof(struct virtio_blk_config), 512, 0, 1, 1, 1, 1 },
	{ 128, VIRTIO_BLK_ARENA, sizeof(struct virtio_blk_config), 512, 126, KEEL_BLOCK_RANGE_MOST + 1, 1, 1, 1 },
	{ 128, VIRTIO_BLK_ARENA, sizeof(struct virtio_blk_config), 512, 126, 1, KEEL_BLOCK_RANGE_MOST + 1, 1, 1 },
	{ 128, VIRTIO_BLK_ARENA, sizeof(struct virtio_blk_config), 512, 126, 1, 1, 2, 1 },
	{ 128, VIRTIO_BLK_ARENA, sizeof(struct virtio_blk_config), 512, 126, 1, 1, 0, 1 },
	{ 128, VIRTIO_BLK_ARENA, sizeof(struct virtio_blk_config), 512, 126, 1, 1, 1, INT64_MAX / 512 + 1 },
};

START_TEST(refused_rows)
{
	struct virtio_blk_config config = {
		.capacity = refused[_i].capacity, .seg_max = refused[_i].seg_max, .blk_size = refused[_i].blk_size,
		.max_discard_sectors = refused[_i].discard, .max_discard_seg = refused[_i].segments,
		.max_write_zeroes_sectors = refused[_i].zeroes, .max_write_zeroes_seg = 1,
	};
	struct keel_queue where = { 0, refused[_i].entries, 2 * PAGE, refused[_i].arena_bytes };

	row.config_bytes = refused[_i].config_bytes;
	memcpy(row.config, &config, sizeof(config));
	ck_assert(!virtio_blk.accepts(&row, &where));
}
END_TEST

/* Requests */

START_TEST(reads_and_writes)
{
	unsigned int number;

	start_driver(F_FLUSH);
	number = add_read(100, DATA, 4096);
	kick();
	ck_assert(asked && status_of(number) == UNTOUCHED);
	ck_assert_uint_eq(serve(), 1);
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_OK);
	ck_assert_mem_eq(memory + DATA, disk + 100 * 512, 4096);
	ck_assert_uint_eq(used_entry(0).bytes, 4097);
	ck_assert_uint_eq(interrupts, 1);
	fill(DATA, 8192, 3);
	number = add_write(200, DATA, 8192);
	kick();
	ck_assert_uint_eq(serve(), 1);
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_OK);
	ck_assert_uint_eq(used_entry(1).bytes, 1);
	ck_assert_mem_eq(memory + DATA, disk + 200 * 512, 8192);
	ck_assert_uint_eq(flushes, 0);
	number = add(KEEL_BLOCK_FLUSH, 0, 0, 0, 0);
	kick();
	ck_assert_uint_eq(serve(), 1);
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_OK);
	ck_assert_uint_eq(flushes, 1);
	ck_assert_uint_eq(used_count(), 3);
}
END_TEST

START_TEST(first_and_last_sector)
{
	unsigned int first, last, behind, across;

	start_driver(F_FLUSH);
	first = add_read(0, DATA, 512);
	last = add_read(SECTORS - 1, DATA + 512, 512);
	behind = add_read(SECTORS, DATA + 1024, 512);
	across = add_read(SECTORS - 1, DATA + 2048, 1024);
	add_read(UINT64_MAX, DATA + 4096, 512);
	add_read(1ull << 55, DATA + 4096, 512);
	kick();
	ck_assert_uint_eq(status_of(behind), KEEL_BLOCK_FAILED);
	ck_assert_uint_eq(status_of(across), KEEL_BLOCK_FAILED);
	ck_assert_uint_eq(status_of(4), KEEL_BLOCK_FAILED);
	ck_assert_uint_eq(status_of(5), KEEL_BLOCK_FAILED);
	ck_assert_uint_eq(serve(), 2);
	ck_assert_uint_eq(status_of(first), KEEL_BLOCK_OK);
	ck_assert_uint_eq(status_of(last), KEEL_BLOCK_OK);
	ck_assert_mem_eq(memory + DATA + 512, disk + (SECTORS - 1) * 512, 512);
}
END_TEST

/* More than the arena has at once: in pieces, in any order, and all of it is there afterwards. */
START_TEST(larger_than_the_arena)
{
	unsigned int number;

	start_driver(F_FLUSH);
	number = add_read(8, DATA, 5 << 19);
	kick();
	ck_assert_uint_ge(serve(), 20);
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_OK);
	ck_assert_mem_eq(memory + DATA, disk + 8 * 512, 5 << 19);
	ck_assert_uint_eq(used_entry(0).bytes, (5u << 19) + 1);
	fill(DATA, 5 << 19, 77);
	number = add_write(64, DATA, 5 << 19);
	kick();
	serve();
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_OK);
	ck_assert_mem_eq(memory + DATA, disk + 64 * 512, 5 << 19);
	ck_assert_uint_eq(used_count(), 2);
}
END_TEST

/* Of an arena that is full nothing fails: what does not fit waits in the ring. */
START_TEST(full_arena)
{
	unsigned int round = 0;

	start_driver(F_FLUSH);
	for (unsigned int i = 0; i < SIZE / 3; i++)
		add_read(i * 160, DATA + i * 0x10000, 0xf000);
	kick();
	for (unsigned int i = 0; i < SIZE / 3; i++)
		ck_assert_uint_eq(status_of(i), UNTOUCHED);
	ck_assert_uint_lt(device->s.queue[0].avail_index, SIZE / 3);
	serve();
	for (unsigned int i = 0; i < SIZE / 3; i++) {
		ck_assert_uint_eq(status_of(i), KEEL_BLOCK_OK);
		ck_assert_mem_eq(memory + DATA + i * 0x10000, disk + i * 160 * 512, 0xf000);
	}
	ck_assert_uint_eq(used_count(), SIZE / 3);
	/* And all of the arena is there again. */
	for (; round < 20; round++) {
		for (unsigned int i = 0; i < 40; i++)
			add_read((uint64_t)rand() % 4000, DATA, 512u << rand() % 10);
		kick();
		serve();
	}
	ck_assert_uint_eq(used_count(), SIZE / 3 + 40 * round);
	ck_assert(!needs_reset());
}
END_TEST

/* An arena of a single page for data, and a queue for five requests. */
START_TEST(least_arena)
{
	struct virtio_blk_config config = make_config();

	rig_unplug();
	plug_with(0, &config, VQ_ENTRIES_LEAST, 2 * PAGE);
	start_driver(F_FLUSH);
	for (unsigned int i = 0; i < 8; i++)
		add_read(i * 64, DATA + i * 0x8000, 0x7a00);
	add(KEEL_BLOCK_FLUSH, 0, 0, 0, 0);
	kick();
	serve();
	for (unsigned int i = 0; i < 8; i++)
		ck_assert_mem_eq(memory + DATA + i * 0x8000, disk + i * 64 * 512, 0x7a00);
	ck_assert_uint_eq(used_count(), 9);
	ck_assert_uint_eq(flushes, 1);
}
END_TEST

/* Data in many pieces of guest memory, by an indirect table. */
START_TEST(scattered)
{
	start_driver(F_FLUSH | F_INDIRECT | F_EVENT);
	set_header(0, KEEL_BLOCK_READ, 16);
	set_desc(TABLE, 0, HEADERS, 7, VQ_DESC_NEXT, 1);		/* the header, too */
	set_desc(TABLE, 1, HEADERS + 7, 9, VQ_DESC_NEXT, 2);
	for (unsigned int i = 0; i < 126; i++)
		set_desc(TABLE, 2 + i, DATA + i * 5000, 1024 + (i % 2 ? 100 : -100), VQ_DESC_NEXT | VQ_DESC_WRITE,
			 (uint16_t)(3 + i));
	set_desc(TABLE, 128, STATUSES, 1, VQ_DESC_WRITE, 0);
	set_desc(DESC, 0, TABLE, 129 * 16, INDIRECT, 0);
	make_available(0);
	kick();
	serve();
	ck_assert_uint_eq(status_of(0), KEEL_BLOCK_OK);
	for (unsigned int i = 0, at = 16 * 512; i < 126; i++) {
		unsigned int bytes = i % 2 ? 1124 : 924;

		ck_assert_mem_eq(memory + DATA + i * 5000, disk + at, bytes);
		ck_assert_uint_eq(memory[DATA + i * 5000 + bytes], 0);
		at += bytes;
	}
	ck_assert_uint_eq(used_entry(0).bytes, 126 * 1024 + 1);
}
END_TEST

START_TEST(identifies)
{
	unsigned int number;

	start_driver(F_FLUSH);
	number = add(GET_ID, 0, DATA, 20, VQ_DESC_WRITE);
	kick();
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_OK);
	ck_assert_mem_eq(memory + DATA, "0123456789abcdefghij", 20);
	ck_assert_uint_eq(used_entry(0).bytes, 21);
	memset(memory + DATA, 0, 64);
	add(GET_ID, 0, DATA, 5, VQ_DESC_WRITE);
	kick();
	ck_assert_mem_eq(memory + DATA, "01234\0", 6);
	add(GET_ID, 0, DATA, 40, VQ_DESC_WRITE);
	kick();
	ck_assert_mem_eq(memory + DATA, "0123456789abcdefghij\0", 21);
	ck_assert_uint_eq(used_entry(2).bytes, 20);
	ck_assert(!vq_device_has(host));
}
END_TEST

static unsigned int add_range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	struct keel_block_range range = { sector, sectors, flags };
	uint64_t at = DATA + next_head % (SIZE / 3) * 64;

	memcpy(memory + at, &range, sizeof(range));
	return add(type, 0, at, sizeof(range), 0);
}

START_TEST(ranges)
{
	static const uint8_t none[2048 * 512];
	unsigned int number;

	start_driver(F_FLUSH | F_DISCARD | F_ZEROES);
	number = add_range(KEEL_BLOCK_WRITE_ZEROES, 100, 2048, KEEL_BLOCK_UNMAP);
	kick();
	ck_assert_uint_eq(serve(), 1);
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_OK);
	ck_assert_mem_eq(disk + 100 * 512, none, sizeof(none));
	number = add_range(KEEL_BLOCK_DISCARD, SECTORS - 10, 10, 0);
	kick();
	ck_assert_uint_eq(serve(), 1);
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_OK);
	ck_assert_mem_eq(disk + (SECTORS - 10) * 512, none, 10 * 512);
}
END_TEST

static const struct {
	uint32_t type, sectors, flags;
	uint64_t sector;
	uint8_t status;
} bad_ranges[] = {
	{ KEEL_BLOCK_DISCARD, 1, KEEL_BLOCK_UNMAP, 0, KEEL_BLOCK_UNSUPPORTED },
	{ KEEL_BLOCK_DISCARD, 1, 2, 0, KEEL_BLOCK_UNSUPPORTED },
	{ KEEL_BLOCK_WRITE_ZEROES, 1, 2, 0, KEEL_BLOCK_UNSUPPORTED },
	{ KEEL_BLOCK_WRITE_ZEROES, 1, UINT32_MAX, 0, KEEL_BLOCK_UNSUPPORTED },
	{ KEEL_BLOCK_DISCARD, 4097, 0, 0, KEEL_BLOCK_FAILED },
	{ KEEL_BLOCK_WRITE_ZEROES, 2049, 0, 0, KEEL_BLOCK_FAILED },
	{ KEEL_BLOCK_WRITE_ZEROES, 0, 0, 0, KEEL_BLOCK_FAILED },
	{ KEEL_BLOCK_DISCARD, 2, 0, SECTORS - 1, KEEL_BLOCK_FAILED },
	{ KEEL_BLOCK_DISCARD, 1, 0, SECTORS, KEEL_BLOCK_FAILED },
	{ KEEL_BLOCK_WRITE_ZEROES, 1, 0, UINT64_MAX, KEEL_BLOCK_FAILED },
};

START_TEST(bad_range)
{
	unsigned int number;

	start_driver(F_FLUSH | F_DISCARD | F_ZEROES);
	number = add_range(bad_ranges[_i].type, bad_ranges[_i].sector, bad_ranges[_i].sectors, bad_ranges[_i].flags);
	kick();
	ck_assert_uint_eq(status_of(number), bad_ranges[_i].status);
	ck_assert(!vq_device_has(host) && !needs_reset());
}
END_TEST

START_TEST(ranges_not_agreed_on)
{
	start_driver(F_FLUSH);
	add_range(KEEL_BLOCK_DISCARD, 0, 1, 0);
	add_range(KEEL_BLOCK_WRITE_ZEROES, 0, 1, 0);
	kick();
	ck_assert_uint_eq(status_of(0), KEEL_BLOCK_UNSUPPORTED);
	ck_assert_uint_eq(status_of(1), KEEL_BLOCK_UNSUPPORTED);
}
END_TEST

START_TEST(range_of_a_wrong_length)
{
	start_driver(F_FLUSH | F_DISCARD);
	add(KEEL_BLOCK_DISCARD, 0, DATA, 15, 0);
	add(KEEL_BLOCK_DISCARD, 0, DATA, 32, 0);
	add(KEEL_BLOCK_DISCARD, 0, DATA, 0, 0);
	add(KEEL_BLOCK_DISCARD, 0, DATA, 16, VQ_DESC_WRITE);
	kick();
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_eq(status_of(i), KEEL_BLOCK_FAILED);
	ck_assert(!vq_device_has(host) && !needs_reset());
}
END_TEST

/* A driver that cannot flush has what it wrote on the disk when it is told so (5.2.6.2). */
START_TEST(without_flush)
{
	unsigned int number;
	struct vq_chain chain;

	start_driver(F_ZEROES);
	number = add_write(0, DATA, 3 * KEEL_BOUNCE_BYTES);
	kick();
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert(take_chain(&chain));
		carry_out(&chain, KEEL_BLOCK_OK);
		virtio_work(device);
		ck_assert_uint_eq(status_of(number), UNTOUCHED);
	}
	ck_assert(take_chain(&chain));
	ck_assert_uint_eq(header_of(&chain).op, KEEL_BLOCK_FLUSH);
	ck_assert(!vq_device_has(host));
	carry_out(&chain, KEEL_BLOCK_OK);
	virtio_work(device);
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_OK);
	ck_assert_uint_eq(used_entry(0).bytes, 1);
	add_range(KEEL_BLOCK_WRITE_ZEROES, 0, 1, 0);
	add_read(0, DATA, 512);
	kick();
	ck_assert_uint_eq(serve(), 3);
	ck_assert_uint_eq(flushes, 2);
	ck_assert_uint_eq(used_count(), 3);
}
END_TEST

START_TEST(host_fails)
{
	struct vq_chain chain[3];
	unsigned int number;

	start_driver(F_FLUSH);
	number = add_read(0, DATA, 3 * KEEL_BOUNCE_BYTES);
	kick();
	for (unsigned int i = 0; i < 3; i++)
		ck_assert(take_chain(&chain[i]));
	carry_out(&chain[1], KEEL_BLOCK_FAILED);
	virtio_work(device);
	ck_assert_uint_eq(status_of(number), UNTOUCHED);
	carry_out(&chain[2], KEEL_BLOCK_OK);
	carry_out(&chain[0], 99);
	virtio_work(device);
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_FAILED);
	ck_assert_uint_eq(used_entry(0).bytes, 0);
	/* What the host cannot do, and what it makes up. */
	number = add_write(0, DATA, 512);
	kick();
	ck_assert(take_chain(&chain[0]));
	carry_out(&chain[0], KEEL_BLOCK_UNSUPPORTED);
	vq_device_give(host, 77, 1);
	vq_device_give(host, chain[0].head, 1);
	virtio_work(device);
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_UNSUPPORTED);
	ck_assert_uint_eq(used_count(), 2);
}
END_TEST

/* After the first error of a request nothing more of it is asked for. */
START_TEST(error_ends_a_large_one)
{
	struct vq_chain chain;
	unsigned int number, count = 0;

	start_driver(F_FLUSH);
	number = add_write(0, DATA, 5 << 19);
	kick();
	while (take_chain(&chain)) {
		carry_out(&chain, KEEL_BLOCK_FAILED);
		count++;
		virtio_work(device);
	}
	ck_assert_uint_eq(count, 8);
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_FAILED);
	number = add_read(0, DATA, 512);
	kick();
	serve();
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_OK);
}
END_TEST

/* Malformed ones */

static const struct {
	uint32_t type, bytes;
	uint16_t flags;
	uint8_t status;
} malformed[] = {
	{ KEEL_BLOCK_READ, 0, 0, KEEL_BLOCK_FAILED },
	{ KEEL_BLOCK_READ, 512, 0, KEEL_BLOCK_FAILED },			/* the wrong direction */
	{ KEEL_BLOCK_READ, 511, VQ_DESC_WRITE, KEEL_BLOCK_FAILED },
	{ KEEL_BLOCK_WRITE, 0, 0, KEEL_BLOCK_FAILED },
	{ KEEL_BLOCK_WRITE, 512, VQ_DESC_WRITE, KEEL_BLOCK_FAILED },
	{ KEEL_BLOCK_WRITE, 513, 0, KEEL_BLOCK_FAILED },
	{ 2, 512, VQ_DESC_WRITE, KEEL_BLOCK_UNSUPPORTED },		/* SCSI commands */
	{ 10, 512, VQ_DESC_WRITE, KEEL_BLOCK_UNSUPPORTED },
	{ 14, 16, 0, KEEL_BLOCK_UNSUPPORTED },
	{ 0x100, 512, VQ_DESC_WRITE, KEEL_BLOCK_UNSUPPORTED },
	{ UINT32_MAX, 512, 0, KEEL_BLOCK_UNSUPPORTED },
};

START_TEST(malformed_request)
{
	unsigned int number;

	start_driver(F_FLUSH);
	number = add(malformed[_i].type, 0, DATA, malformed[_i].bytes, malformed[_i].flags);
	kick();
	ck_assert_uint_eq(status_of(number), malformed[_i].status);
	ck_assert_uint_eq(used_count(), 1);
	ck_assert(!vq_device_has(host) && !needs_reset());
}
END_TEST

START_TEST(short_header)
{
	start_driver(F_FLUSH);
	set_header(0, KEEL_BLOCK_FLUSH, 0);
	set_desc(DESC, 0, HEADERS, 15, VQ_DESC_NEXT, 1);
	set_desc(DESC, 1, STATUSES, 1, VQ_DESC_WRITE, 0);
	make_available(0);
	kick();
	ck_assert(needs_reset());
	ck_assert_uint_eq(used_count(), 0);
	start_driver(F_FLUSH);
	ck_assert(!needs_reset());
	set_desc(DESC, 0, HEADERS, 16, 0, 0);				/* no place for a status */
	make_available(0);
	kick();
	ck_assert(needs_reset());
	start_driver(F_FLUSH);
	set_desc(DESC, 0, STATUSES, 1, VQ_DESC_WRITE, 0);		/* no header */
	make_available(0);
	kick();
	ck_assert(needs_reset());
	start_driver(F_FLUSH);
	add_read(0, MEMORY - 256, 512);					/* no memory there */
	kick();
	ck_assert(needs_reset());
	ck_assert(!vq_device_has(host));
}
END_TEST

/* Data, header, status and rings on top of each other: the guest has what it gets. */
START_TEST(overlaps)
{
	start_driver(F_FLUSH);
	add_read(0, HEADERS, 512);
	add_read(0, USED, 4096);
	add_read(0, DESC, 4096);
	kick();
	serve();
	start_driver(F_FLUSH);
	add_read(0, DATA, 512);
	kick();
	serve();
	ck_assert_mem_eq(memory + DATA, disk, 512);
}
END_TEST

/* The guest changes a chain while the host reads for it. */
START_TEST(chain_changes)
{
	struct vq_chain chain;

	start_driver(F_FLUSH);
	add_read(0, DATA, 4096);
	kick();
	set_desc(DESC, 1, DATA, 512, VQ_DESC_NEXT | VQ_DESC_WRITE, 2);
	ck_assert(take_chain(&chain));
	carry_out(&chain, KEEL_BLOCK_OK);
	virtio_work(device);
	ck_assert(needs_reset());
	start_driver(F_FLUSH);
	add_read(0, DATA, 512);
	kick();
	serve();
	ck_assert(!needs_reset());
	ck_assert_uint_eq(used_count(), 1);
}
END_TEST

/* Resets */

START_TEST(reset_under_load)
{
	struct vq_chain chain[KEEL_BLOCK_ENTRIES_MOST];
	unsigned int count = 0, number;

	start_driver(F_FLUSH);
	for (unsigned int i = 0; i < 30; i++)
		add_read(i * 8, DATA + i * 4096, 4096);
	kick();
	while (take_chain(&chain[count]))
		count++;
	ck_assert_uint_eq(count, 30);
	ck_assert(!virtio_is_quiet(device));
	put(0x14, 1, 0);
	ck_assert_uint_eq(get(0x14, 1), 0);
	ck_assert(!virtio_is_awaited(device));
	memset(memory + DATA, UNTOUCHED, 30 * 4096);
	memset(memory + STATUSES, UNTOUCHED, 64);
	for (unsigned int i = 0; i < 10; i++)
		carry_out(&chain[i], KEEL_BLOCK_OK);
	virtio_work(device);
	start_driver(F_FLUSH);
	/* What is written from before may still come to the disk, so that new requests wait for it. */
	number = add_write(0, DATA, 512);
	kick();
	ck_assert(!vq_device_has(host));
	for (unsigned int i = 10; i < 30; i++) {
		ck_assert_uint_eq(status_of(number), UNTOUCHED);
		ck_assert(!vq_device_has(host));
		carry_out(&chain[i], KEEL_BLOCK_OK);
		virtio_work(device);
	}
	for (unsigned int i = 0; i < 30 * 4096; i++)
		ck_assert_uint_eq(memory[DATA + i], UNTOUCHED);
	ck_assert_uint_eq(used_count(), 0);
	ck_assert_uint_eq(serve(), 1);
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_OK);
}
END_TEST

/* Again and again, with answers that come at any time: the arena loses nothing. */
START_TEST(resets)
{
	struct vq_chain out[KEEL_BLOCK_ENTRIES_MOST];
	unsigned int count = 0;

	for (unsigned int round = 0; round < 500; round++) {
		start_driver(rand() % 2 ? F_FLUSH : 0);
		for (int i = rand() % 40; i; i--)
			add(rand() % 3 ? KEEL_BLOCK_READ : KEEL_BLOCK_WRITE, (uint64_t)rand() % 4096, DATA,
			    512u << rand() % 12, rand() % 3 ? VQ_DESC_WRITE : 0);
		kick();
		while (count < KEEL_BLOCK_ENTRIES_MOST && take_chain(&out[count]))
			count++;
		for (int i = rand() % 50; i && count; i--) {
			carry_out(&out[--count], KEEL_BLOCK_OK);
			virtio_work(device);
		}
		ck_assert(!needs_reset());
	}
	while (count)
		carry_out(&out[--count], KEEL_BLOCK_OK);
	start_driver(F_FLUSH);
	virtio_work(device);
	add_read(0, DATA, 1 << 20);
	kick();
	while (take_chain(&out[count]))
		count++;
	ck_assert_uint_eq(count, 8);
	while (count)
		carry_out(&out[--count], KEEL_BLOCK_OK);
	virtio_work(device);
	ck_assert_mem_eq(memory + DATA, disk, 1 << 20);
}
END_TEST

/* Saved state: a machine that is quiet goes on elsewhere. */
START_TEST(saved)
{
	struct virtio_state to;
	struct vq_chain chain;

	start_driver(F_FLUSH | F_EVENT);
	add_read(0, DATA, 4096);
	kick();
	ck_assert(!virtio_is_quiet(device));
	ck_assert(take_chain(&chain));
	carry_out(&chain, KEEL_BLOCK_OK);
	virtio_work(device);
	ck_assert(virtio_is_quiet(device));
	roundtrip(&virtio_state_table, SLOT, &device->s, &to);
	device->s = to;
	ck_assert(virtio_restored(device));
	add_write(16, DATA, 4096);
	kick();
	serve();
	ck_assert_mem_eq(disk + 16 * 512, disk, 4096);
	ck_assert_uint_eq(used_count(), 2);
}
END_TEST

static void tell_capacity(uint64_t sectors)
{
	virtio_blk.message(device, &(struct keel_message){ .kind = KEEL_MESSAGE_CAPACITY, .flags = SLOT, .number = sectors });
}

static uint64_t shown_capacity(void)
{
	return get(0x2000, 4) | (uint64_t)get(0x2004, 4) << 32;
}

/* 5.2.4 and 4.1.4.3.1: a driver is told, once for each size, and has what is new. */
START_TEST(grows)
{
	const uint64_t sectors = SECTORS + (1ull << 32);
	unsigned int number;

	start_driver(F_FLUSH);
	number = add_read(SECTORS, DATA, 512);
	kick();
	ck_assert_uint_eq(status_of(number), KEEL_BLOCK_FAILED);
	get(0x1000, 1);
	interrupts = 0;
	tell_capacity(sectors);
	ck_assert_uint_eq(interrupts, 1);
	ck_assert_uint_eq(get(0x1000, 1), VIRTIO_ISR_CONFIG);
	ck_assert_uint_eq(get(0x15, 1), 1);
	ck_assert_uint_eq(shown_capacity(), sectors);
	number = add_read(SECTORS, DATA, 512);
	kick();
	ck_assert(vq_device_has(host));
	ck_assert_uint_eq(status_of(number), UNTOUCHED);
	tell_capacity(sectors);
	ck_assert_uint_eq(interrupts, 1);
	ck_assert_uint_eq(get(0x15, 1), 1);
	/* What says nothing of this kind changes nothing, and neither does a reset. */
	tell_capacity(INT64_MAX / 512 + 1ull);
	virtio_blk.message(device, &(struct keel_message){ .kind = KEEL_MESSAGE_MEDIUM, .number = 1 });
	ck_assert_uint_eq(get(0x15, 1), 1);
	put(0x14, 1, 0);
	ck_assert_uint_eq(shown_capacity(), sectors);
}
END_TEST

/* What is behind the new end is refused, whether it was asked for before or not; and a driver that is not ready is not told. */
START_TEST(shrinks)
{
	unsigned int before, behind;
	struct vq_chain chain;

	tell_capacity(SECTORS / 2);
	ck_assert_uint_eq(interrupts, 0);
	ck_assert_uint_eq(shown_capacity(), SECTORS / 2);
	tell_capacity(SECTORS);
	start_driver(F_FLUSH);
	before = add_read(SECTORS / 2, DATA, 512);
	kick();
	ck_assert(take_chain(&chain));
	tell_capacity(SECTORS / 2);
	behind = add_write(SECTORS / 2 - 1, DATA, 1024);
	kick();
	ck_assert_uint_eq(status_of(behind), KEEL_BLOCK_FAILED);
	ck_assert_uint_eq(status_of(before), UNTOUCHED);
	carry_out(&chain, KEEL_BLOCK_FAILED);
	virtio_work(device);
	ck_assert_uint_eq(status_of(before), KEEL_BLOCK_FAILED);
	tell_capacity(0);
	behind = add_read(0, DATA, 512);
	kick();
	ck_assert_uint_eq(status_of(behind), KEEL_BLOCK_FAILED);
	ck_assert(!needs_reset());
}
END_TEST

/* A machine that was loaded shows what it knew, until the next event. */
START_TEST(grown_while_it_was_saved)
{
	struct virtio_blk_config config = make_config(), shown;

	start_driver(F_FLUSH);
	config.capacity = SECTORS / 2;
	ck_assert(virtio_blk.takes_config(device, (uint8_t *)&config));
	config.capacity = SECTORS + 1;
	ck_assert(!virtio_blk.takes_config(device, (uint8_t *)&config));
	config.capacity = SECTORS / 2;
	config.blk_size = 4096;
	ck_assert(!virtio_blk.takes_config(device, (uint8_t *)&config));
	config.blk_size = KEEL_SECTOR;
	memcpy(device->config, &config, sizeof(config));
	ck_assert(virtio_restored(device));
	interrupts = 0;
	ck_assert_uint_eq(shown_capacity(), SECTORS / 2);
	virtio_blk.event(device);
	virtio_blk.event(device);
	memcpy(&shown, device->config, sizeof(shown));
	ck_assert_uint_eq(shown.capacity, SECTORS);
	ck_assert_uint_eq(interrupts, 1);
	ck_assert_uint_eq(get(0x15, 1), 1);
}
END_TEST

SUITE("virtio_blk", tests)
{
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, plug, rig_unplug);
	tcase_add_test(tests, configuration);
	tcase_add_test(tests, read_only);
	tcase_add_loop_test(tests, refused_rows, 0, ARRAY_SIZE(refused));
	tcase_add_test(tests, reads_and_writes);
	tcase_add_test(tests, first_and_last_sector);
	tcase_add_test(tests, larger_than_the_arena);
	tcase_add_test(tests, full_arena);
	tcase_add_test(tests, least_arena);
	tcase_add_test(tests, scattered);
	tcase_add_test(tests, identifies);
	tcase_add_test(tests, ranges);
	tcase_add_loop_test(tests, bad_range, 0, ARRAY_SIZE(bad_ranges));
	tcase_add_test(tests, ranges_not_agreed_on);
	tcase_add_test(tests, range_of_a_wrong_length);
	tcase_add_test(tests, without_flush);
	tcase_add_test(tests, host_fails);
	tcase_add_test(tests, error_ends_a_large_one);
	tcase_add_loop_test(tests, malformed_request, 0, ARRAY_SIZE(malformed));
	tcase_add_test(tests, short_header);
	tcase_add_test(tests, overlaps);
	tcase_add_test(tests, chain_changes);
	tcase_add_test(tests, reset_under_load);
	tcase_add_test(tests, resets);
	tcase_add_test(tests, saved);
	tcase_add_test(tests, grows);
	tcase_add_test(tests, shrinks);
	tcase_add_test(tests, grown_while_it_was_saved);
}
