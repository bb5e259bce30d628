// SPDX-License-Identifier: GPL-2.0
/* The network device: a guest's driver of a few lines on one side, the host's end of its three queues on the other. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "roundtrip.h"
#include "suite.h"
#include "virtio_rig.h"

#define SLOT		16u
#define MEMORY		0x80000u
#define ENTRIES		16u		/* of the channel's queues */
#define RX_ARENA	(ENTRIES * PAGE)
#define TX_ARENA	0x11000u
#define SIZE		256u		/* of the guest's */

/* In the guest: the rings of each queue, then buffers. */
#define DESC(q)		(0x1000u + (q) * 0x4000u)
#define AVAIL(q)	(0x2000u + (q) * 0x4000u)
#define USED(q)		(0x3000u + (q) * 0x4000u)
#define BUFFERS		0x10000u
#define DATA		0x40000u

enum { RX_RING = 0, TX_RING = 0x1000, CTRL_RING = 0x2000, CTRL_ARENA = 0x3000, RX = 0x4000, TX = RX + RX_ARENA,
       CHANNEL = TX + TX_ARENA };

static const struct keel_queue queues[NET_QUEUES] = {
	{ RX_RING, ENTRIES, RX, RX_ARENA }, { TX_RING, ENTRIES, TX, TX_ARENA }, { CTRL_RING, ENTRIES, CTRL_ARENA, PAGE },
};

static uint16_t added[NET_QUEUES];
static bool line;

static void take_message(void *sink, uint64_t address, uint32_t data)
{
	(void)sink;
	(void)address;
	(void)data;
}

static void take_level(void *board, unsigned int slot, unsigned int pin, bool level)
{
	(void)board;
	(void)slot;
	(void)pin;
	line = level;
}

static void plug(void)
{
	const struct net_config config = { .mac = { 2, 0, 0, 0, 0, 7 }, .status = NET_STATUS_LINK_UP, .queue_pairs = 1 };

	rig_plug(&(struct virtio_rig){
		.ops = &virtio_net, .slot = SLOT, .memory_bytes = MEMORY, .channel_bytes = CHANNEL,
		.queue = queues, .queues = NET_QUEUES, .config = &config, .config_bytes = sizeof(config),
		.features = NET_OFFLOADS | NET_GUEST_OFFLOADS | NET_F_MAC | NET_F_STATUS | NET_F_MRG_RXBUF | NET_F_CTRL_VQ |
			NET_F_CTRL_RX | NET_F_GUEST_ANNOUNCE,
		.set_intx = take_level, .message = take_message,
	});
	place_bars();
	line = asked = false;
}

static void start_driver(uint32_t features)
{
	memset(memory, 0, BUFFERS);
	memset(added, 0, sizeof(added));
	modern_begin(features);
	ck_assert_uint_eq(bus_read(&bus, MODERN + 0x14, 1), 0xb);
	for (unsigned int q = 0; q < NET_QUEUES; q++)
		modern_queue(q, DESC(q), AVAIL(q), USED(q));
	modern_ready();
}

static struct vq_chain watch;

/* By which the host is to tell that the link is otherwise. */
static void take_watch(bool up)
{
	struct net_control_link command;

	ck_assert(vq_device_take(&host[2], &watch) && watch.good && watch.out == 1 && watch.in == 1);
	ck_assert_uint_eq(watch.piece[0].bytes, sizeof(command));
	memcpy(&command, channel + watch.piece[0].offset, sizeof(command));
	ck_assert_uint_eq(command.class, NET_CONTROL_LINK);
	ck_assert_uint_eq(command.up, up);
}

static void answer_watch(uint8_t answer)
{
	channel[watch.piece[1].offset] = answer;
	vq_device_give(&host[2], watch.head, 1);
	virtio_event(device);
}

static void start_all(void)
{
	plug();
	take_watch(true);
	start_driver((uint32_t)device->features);
}

static unsigned int status(void)
{
	return (unsigned int)bus_read(&bus, MODERN + 0x2006, 2);
}

static bool is_broken(void)
{
	return device->s.status & VIRTIO_STATUS_NEEDS_RESET;
}

static void add(unsigned int q, uint16_t number, uint64_t address, uint32_t bytes, uint16_t flags, uint16_t next)
{
	struct vq_desc desc = { address, bytes, flags, next };

	memcpy(memory + DESC(q) + number * sizeof(desc), &desc, sizeof(desc));
}

static void make_available(unsigned int q, uint16_t head)
{
	memcpy(memory + AVAIL(q) + 4 + added[q]++ % SIZE * 2u, &head, sizeof(head));
	memcpy(memory + AVAIL(q) + 2, &added[q], sizeof(added[q]));
}

static void kick(void)
{
	put(0x3000, 2, 0);
}

static uint16_t used_count(unsigned int q)
{
	uint16_t count;

	memcpy(&count, memory + USED(q) + 2, sizeof(count));
	return count;
}

static struct vq_used used(unsigned int q, unsigned int number)
{
	struct vq_used one;

	memcpy(&one, memory + USED(q) + 4 + number % SIZE * sizeof(one), sizeof(one));
	return one;
}

/* A frame of the guest's with this header, in two pieces, and a pattern from this byte on. */
static void send(uint16_t number, struct net_header header, uint32_t bytes, uint8_t first)
{
	memcpy(memory + DATA, &header, sizeof(header));
	for (uint32_t i = 0; i < bytes; i++)
		memory[DATA + PAGE + i] = (uint8_t)(first + i);
	add(1, number, DATA, NET_HEADER_BYTES, VQ_DESC_NEXT, (uint16_t)(number + 1));
	add(1, (uint16_t)(number + 1), DATA + PAGE, bytes, 0, 0);
	make_available(1, number);
	kick();
}

static void expect_sent(uint32_t bytes, uint8_t first, struct net_header *header)
{
	struct vq_chain chain;
	const uint8_t *frame;

	ck_assert(vq_device_take(&host[1], &chain) && chain.good && chain.out == 1 && !chain.in);
	ck_assert_uint_eq(chain.piece[0].bytes, NET_HEADER_BYTES + bytes);
	frame = channel + chain.piece[0].offset;
	memcpy(header, frame, sizeof(*header));
	for (uint32_t i = 0; i < bytes; i++)
		ck_assert_uint_eq(frame[NET_HEADER_BYTES + i], (uint8_t)(first + i));
	vq_device_give(&host[1], chain.head, 0);
}

/* A frame of the host's, in as many buffers as it takes; 'buffers': what its header says, or 0 for the truth. */
static void bring(struct net_header header, uint32_t bytes, uint8_t first, uint16_t buffers)
{
	uint32_t left = NET_HEADER_BYTES + bytes, at = 0;
	struct vq_chain chain;

	header.buffers = buffers ? buffers : (uint16_t)((left + PAGE - 1) / PAGE);
	for (unsigned int i = 0; left; i++) {
		uint32_t part = left < PAGE ? left : PAGE;

		ck_assert(vq_device_take(&host[0], &chain) && chain.good && chain.in == 1 && chain.piece[0].bytes == PAGE);
		for (uint32_t j = 0; j < part; j++, at++)
			channel[chain.piece[0].offset + j] =
				at < NET_HEADER_BYTES ? ((uint8_t *)&header)[at] : (uint8_t)(first + at - NET_HEADER_BYTES);
		vq_device_give(&host[0], chain.head, part);
		left -= part;
	}
	virtio_work(device);
}

static void add_buffer(uint16_t number, uint32_t bytes)
{
	add(0, number, BUFFERS + number * PAGE, bytes, VQ_DESC_WRITE, 0);
	make_available(0, number);
	kick();
}

static unsigned int posted(void)
{
	struct vq_device copy = host[0];
	struct vq_chain chain;
	unsigned int count = 0;

	while (vq_device_take(&copy, &chain))
		count++;
	return count;
}

START_TEST(configuration)
{
	ck_assert_uint_eq(bus_read(&bus, MODERN + 0x2000, 4), 0x00000002);
	ck_assert_uint_eq(bus_read(&bus, MODERN + 0x2004, 4), 0x00010700);
	ck_assert_uint_eq(posted(), ENTRIES);
}
END_TEST

/* The guest's buffer is free at once; headers arrive as they are. */
START_TEST(frames_out)
{
	struct net_header header;

	send(0, (struct net_header){ 0 }, 60, 0x30);
	ck_assert_uint_eq(used_count(1), 1);
	ck_assert(asked);
	expect_sent(60, 0x30, &header);
	ck_assert_uint_eq(header.flags | header.gso_type, 0);
	send(2, (struct net_header){ NET_FLAG_NEEDS_CSUM, NET_GSO_TCPV4, 54, 1448, 34, 16, 0 }, 5000, 1);
	expect_sent(5000, 1, &header);
	ck_assert_uint_eq(header.gso_bytes, 1448);
	ck_assert_uint_eq(header.checksum_start, 34);
	ck_assert(!is_broken());
}
END_TEST

static const struct {
	struct net_header header;
	uint32_t bytes;
} dropped[] = {
	{ { 0 }, 13 },
	{ { .flags = 4 }, 60 },
	{ { .flags = 1, .checksum_start = 50, .checksum_offset = 9 }, 60 },
	{ { .flags = 1, .checksum_start = 0xffff, .checksum_offset = 0xffff }, 60 },
	{ { .flags = 1, .checksum_start = 13, .checksum_offset = 2 }, 60 },
	{ { .gso_type = 1, .gso_bytes = 1448, .header_bytes = 54 }, 60 },
	{ { .flags = 1, .gso_type = 1, .gso_bytes = 0, .checksum_start = 34, .checksum_offset = 16 }, 60 },
	{ { .flags = 1, .gso_type = 1, .gso_bytes = 47, .checksum_start = 34, .checksum_offset = 16 }, 60 },
	{ { .flags = 1, .gso_type = 1, .gso_bytes = 1448, .header_bytes = 61, .checksum_start = 34, .checksum_offset = 16 }, 60 },
	{ { .flags = 1, .gso_type = 3, .gso_bytes = 1448, .checksum_start = 34, .checksum_offset = 16 }, 60 },
	{ { .flags = 1, .gso_type = 0x81, .gso_bytes = 1448, .checksum_start = 34, .checksum_offset = 16 }, 60 },
};

START_TEST(dropped_headers)
{
	send(0, dropped[_i].header, dropped[_i].bytes, 0);
	ck_assert_uint_eq(used_count(1), 1);
	ck_assert(!vq_device_has(&host[1]));
	ck_assert(!is_broken());
}
END_TEST

START_TEST(not_agreed)
{
	struct net_header header;

	start_driver(0);
	send(0, (struct net_header){ .flags = 1, .checksum_start = 34, .checksum_offset = 16 }, 60, 0);
	ck_assert(!vq_device_has(&host[1]));
	send(2, (struct net_header){ 0 }, 60, 9);
	expect_sent(60, 9, &header);
	/* Nor does it get what it has not agreed to. */
	add_buffer(0, PAGE);
	bring((struct net_header){ .flags = 1, .checksum_start = 34, .checksum_offset = 16 }, 60, 0, 0);
	ck_assert_uint_eq(used_count(0), 0);
	bring((struct net_header){ 0 }, 60, 5, 0);
	ck_assert_uint_eq(used_count(0), 1);
	ck_assert_uint_eq(used(0, 0).bytes, NET_HEADER_BYTES + 60);
}
END_TEST

/* More than the arena has room for waits in the guest's ring, in its order. */
START_TEST(full_arena)
{
	struct net_header header;

	for (uint16_t i = 0; i < 40; i++)
		send((uint16_t)(2 * i), (struct net_header){ 0 }, 9000, (uint8_t)i);
	ck_assert_uint_eq(used_count(1), TX_ARENA / 9024);
	/* All have the one buffer of the guest's, whose contents are of the last one. */
	for (unsigned int i = 0; i < 40; i++) {
		expect_sent(9000, i < TX_ARENA / 9024 ? (uint8_t)i : 39, &header);
		virtio_work(device);
	}
	ck_assert_uint_eq(used_count(1), 40);
	ck_assert(!vq_device_has(&host[1]) && !is_broken());
}
END_TEST

/* The entries run out before the arena does. */
START_TEST(full_queue)
{
	struct net_header header;

	for (uint16_t i = 0; i < 30; i++)
		send((uint16_t)(2 * i), (struct net_header){ 0 }, 60, 7);
	ck_assert_uint_eq(used_count(1), ENTRIES);
	ck_assert(!virtio_is_quiet(device));
	for (unsigned int i = 0; i < 30; i++) {
		expect_sent(60, 7, &header);
		virtio_work(device);
	}
	ck_assert_uint_eq(used_count(1), 30);
}
END_TEST

START_TEST(frames_in)
{
	struct net_header header;

	add_buffer(0, PAGE);
	bring((struct net_header){ .flags = NET_FLAG_DATA_VALID }, 1000, 0x11, 0);
	ck_assert_uint_eq(used_count(0), 1);
	ck_assert_uint_eq(used(0, 0).bytes, NET_HEADER_BYTES + 1000);
	memcpy(&header, memory + BUFFERS, sizeof(header));
	ck_assert_uint_eq(header.buffers, 1);
	ck_assert_uint_eq(header.flags, NET_FLAG_DATA_VALID);
	for (unsigned int i = 0; i < 1000; i++)
		ck_assert_uint_eq(memory[BUFFERS + NET_HEADER_BYTES + i], (uint8_t)(0x11 + i));
	ck_assert_uint_eq(posted(), ENTRIES);
	ck_assert(line);
}
END_TEST

/* 10000 bytes of three of the host's buffers into seven of the guest's, all of which it finds at once. */
START_TEST(merged)
{
	struct net_header header;
	uint32_t at = 0;

	for (uint16_t i = 0; i < 6; i++)
		add_buffer(i, 1526);
	bring((struct net_header){ 1, NET_GSO_TCPV6, 74, 1428, 54, 16, 0 }, 10000, 3, 0);
	ck_assert_uint_eq(used_count(0), 0);
	add_buffer(6, 1526);
	ck_assert_uint_eq(used_count(0), 7);
	memcpy(&header, memory + BUFFERS, sizeof(header));
	ck_assert_uint_eq(header.buffers, 7);
	ck_assert_uint_eq(header.gso_bytes, 1428);
	for (unsigned int i = 0; i < 7; i++) {
		ck_assert_uint_eq(used(0, i).head, i);
		for (uint32_t j = i ? 0 : NET_HEADER_BYTES; j < used(0, i).bytes; j++, at++)
			ck_assert_uint_eq(memory[BUFFERS + i * PAGE + j], (uint8_t)(3 + at));
	}
	ck_assert_uint_eq(at, 10000);
}
END_TEST

/* Without buffers of the guest's the host has none left either, and all comes when there are some. */
START_TEST(no_buffers)
{
	for (unsigned int i = 0; i < ENTRIES; i++)
		bring((struct net_header){ 0 }, 60, (uint8_t)i, 0);
	ck_assert_uint_eq(posted(), 0);
	asked = false;
	for (uint16_t i = 0; i < ENTRIES; i++)
		add_buffer(i, PAGE);
	ck_assert_uint_eq(used_count(0), ENTRIES);
	ck_assert_uint_eq(posted(), ENTRIES);
	ck_assert(asked);
	for (unsigned int i = 0; i < ENTRIES; i++)
		ck_assert_uint_eq(memory[BUFFERS + i * PAGE + NET_HEADER_BYTES], i);
}
END_TEST

/* What the host says of its buffers makes no sense: it is dropped, and the buffers go on. */
START_TEST(bad_host)
{
	struct vq_chain chain;

	add_buffer(0, PAGE);
	bring((struct net_header){ 0 }, 60, 0, 18);
	bring((struct net_header){ 0 }, 60, 0, UINT16_MAX);
	ck_assert(vq_device_take(&host[0], &chain));
	memset(channel + chain.piece[0].offset, 1, PAGE);
	vq_device_give(&host[0], chain.head, 3);
	virtio_work(device);
	ck_assert(vq_device_take(&host[0], &chain));
	memset(channel + chain.piece[0].offset, 0, PAGE);
	channel[chain.piece[0].offset + 10] = 1;
	vq_device_give(&host[0], chain.head, UINT32_MAX);
	virtio_work(device);
	ck_assert_uint_eq(used_count(0), 1);
	ck_assert_uint_eq(used(0, 0).bytes, PAGE);
	ck_assert_uint_eq(posted(), ENTRIES);
}
END_TEST

START_TEST(malformed)
{
	switch (_i) {
	case 0:		/* shorter than a header */
		add(1, 0, DATA, NET_HEADER_BYTES - 1, 0, 0);
		make_available(1, 0);
		break;
	case 1:		/* to be written */
		add(1, 0, DATA, 60, VQ_DESC_NEXT, 1);
		add(1, 1, DATA, 60, VQ_DESC_WRITE, 0);
		make_available(1, 0);
		break;
	case 2:		/* no memory */
		add(1, 0, MEMORY - 4, 60, 0, 0);
		make_available(1, 0);
		break;
	case 3:		/* a circle */
		add(1, 0, DATA, 60, VQ_DESC_NEXT, 0);
		make_available(1, 0);
		break;
	case 4:		/* a buffer to be read */
		add(0, 0, DATA, 60, 0, 0);
		make_available(0, 0);
		bring((struct net_header){ 0 }, 60, 0, 0);
		break;
	case 5:		/* one shorter than a header */
		add(0, 0, DATA, 11, VQ_DESC_WRITE, 0);
		make_available(0, 0);
		bring((struct net_header){ 0 }, 60, 0, 0);
		break;
	case 6:		/* a command without room for the answer */
		add(2, 0, DATA, 2, 0, 0);
		make_available(2, 0);
		break;
	}
	kick();
	ck_assert(is_broken());
	/* A reset mends it. */
	start_driver((uint32_t)device->features);
	add_buffer(0, PAGE);
	bring((struct net_header){ 0 }, 60, 0x44, 0);
	ck_assert_uint_eq(used_count(0), 1);
	ck_assert(!is_broken());
}
END_TEST

/* Frames are under way in both directions. What came before the driver ran again is not the new one's. */
START_TEST(reset_under_load)
{
	struct net_header header;

	for (uint16_t i = 0; i < 8; i++)
		send((uint16_t)(2 * i), (struct net_header){ 0 }, 60, (uint8_t)i);
	for (unsigned int i = 0; i < 8; i++)
		bring((struct net_header){ 0 }, 60, 0xaa, 0);
	put(0x14, 1, 0);
	ck_assert(virtio_is_quiet(device));
	start_driver((uint32_t)device->features);
	for (uint16_t i = 0; i < 4; i++)
		add_buffer(i, PAGE);
	ck_assert_uint_eq(used_count(0), 0);
	ck_assert_uint_eq(posted(), ENTRIES);
	for (unsigned int i = 0; i < 8; i++)
		expect_sent(60, (uint8_t)i, &header);
	send(0, (struct net_header){ 0 }, 60, 0x77);
	expect_sent(60, 0x77, &header);
	bring((struct net_header){ 0 }, 60, 0xbb, 0);
	ck_assert_uint_eq(memory[BUFFERS + NET_HEADER_BYTES], 0xbb);
}
END_TEST

/* The host hears once what the guest has agreed to, and again when that is something else. */
static uint64_t told(void)
{
	struct net_control_offloads command;
	struct vq_chain chain;
	uint64_t offloads;

	ck_assert(vq_device_take(&host[2], &chain) && chain.good && chain.out == 1 && chain.in == 1);
	memcpy(&command, channel + chain.piece[0].offset, sizeof(command));
	ck_assert_uint_eq(command.class, NET_CONTROL_OFFLOADS);
	memcpy(&offloads, command.offloads, sizeof(offloads));
	channel[chain.piece[1].offset] = NET_CONTROL_OK;
	vq_device_give(&host[2], chain.head, 1);
	virtio_work(device);
	return offloads;
}

START_TEST(offloads)
{
	ck_assert_uint_eq(told(), NET_GUEST_OFFLOADS);
	kick();
	ck_assert(!vq_device_has(&host[2]));
	/* Before it has agreed to VERSION_1 it could be a legacy driver, which runs already. */
	start_driver(NET_F_GUEST_CSUM);
	ck_assert_uint_eq(told(), 0);
	ck_assert_uint_eq(told(), NET_F_GUEST_CSUM);
	start_driver(0);
	ck_assert_uint_eq(told(), 0);
	ck_assert(!vq_device_has(&host[2]));
}
END_TEST

/* The guest's command, of so many bytes; its answer. */
static uint8_t command(const uint8_t *bytes, uint32_t count)
{
	uint16_t before = used_count(2);

	memcpy(memory + DATA, bytes, count);
	memory[DATA + 64] = 0xff;
	add(2, 0, DATA, count, VQ_DESC_NEXT, 1);
	add(2, 1, DATA + 64, 1, VQ_DESC_WRITE, 0);
	make_available(2, 0);
	kick();
	ck_assert_uint_eq(used_count(2), before + 1u);
	return memory[DATA + 64];
}

/* Promiscuous and multicast frames, and tables of addresses (5.1.6.5.2), which are good ones of their length. */
static const struct {
	uint8_t bytes[32];
	uint32_t count;
	bool good;
} asked_for[] = {
	{ { 0, 0, 1 }, 3, true },
	{ { 0, 1, 0 }, 3, true },
	{ { 0, 2, 1 }, 3, false },
	{ { 0, 5, 1 }, 3, false },
	{ { 1, 0 }, 10, true },
	{ { 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0 }, 16, true },
	{ { 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1 }, 22, true },
	{ { 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1 }, 21, false },
	{ { 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0 }, 17, false },
	{ { 1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0 }, 10, false },
	{ { 1, 0, 0x56, 0x55, 0x55, 0x55, 0, 0, 0, 0, 0, 0 }, 12, false },
	{ { 1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff }, 10, false },
	{ { 1, 0, 1, 0, 0, 0 }, 6, false },
	{ { 1, 0, 1, 0, 0 }, 5, false },
	{ { 1, 0 }, 2, false },
	{ { 1, 1, 2, 0, 0, 0, 0, 1 }, 8, false },
	{ { 2, 0, 1, 0 }, 4, false },
	{ { 3, 0 }, 2, false },
	{ { 4, 0, 1, 0 }, 4, false },
	{ { 5, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, 10, false },
	{ { 0x80, 0 }, 2, false },
};

START_TEST(commands)
{
	ck_assert_uint_eq(command(asked_for[_i].bytes, asked_for[_i].count),
			  asked_for[_i].good ? NET_CONTROL_OK : NET_CONTROL_ERROR);
	ck_assert(!is_broken());
	/* Without the feature there is none of them. */
	start_driver((uint32_t)device->features & ~(uint32_t)NET_F_CTRL_RX);
	ck_assert_uint_eq(command(asked_for[_i].bytes, asked_for[_i].count), NET_CONTROL_ERROR);
}
END_TEST

/* The driver is told of it, and of its other way. */
START_TEST(link_changes)
{
	for (unsigned int i = 1; i <= 4; i++) {
		ck_assert(!line);
		ck_assert(virtio_is_quiet(device) || i == 1);
		asked = false;
		answer_watch(NET_CONTROL_OK);
		ck_assert_uint_eq(status(), i % 2 ? 0 : NET_STATUS_LINK_UP);
		ck_assert_uint_eq(bus_read(&bus, MODERN + 0x15, 1), i);
		ck_assert(line);
		ck_assert_uint_eq(bus_read(&bus, MODERN + 0x1000, 1), VIRTIO_ISR_CONFIG);
		ck_assert(asked);
		if (i == 1)
			told();
		take_watch(i % 2 == 0);
	}
	virtio_event(device);
	ck_assert(!line && !vq_device_has(&host[2]));
}
END_TEST

/* Whoever looks finds the link as it is, without having been told. */
START_TEST(link_without_driver)
{
	put(0x14, 1, 0);
	answer_watch(NET_CONTROL_OK);
	ck_assert(!line);
	ck_assert_uint_eq(status(), 0);
	start_driver((uint32_t)device->features);
	ck_assert(!line);
	ck_assert_uint_eq(status(), 0);
}
END_TEST

/* One that does not understand the question is not asked again; one that answers what nobody asked changes nothing. */
START_TEST(link_of_a_bad_host)
{
	told();
	answer_watch(NET_CONTROL_ERROR);
	ck_assert_uint_eq(status(), NET_STATUS_LINK_UP);
	ck_assert(!vq_device_has(&host[2]) && !line);
	for (unsigned int i = 0; i < 3 * ENTRIES; i++)
		vq_device_give(&host[2], watch.head, 1);
	channel[watch.piece[1].offset] = NET_CONTROL_OK;
	virtio_event(device);
	ck_assert_uint_eq(status(), NET_STATUS_LINK_UP);
	ck_assert(!line && !is_broken());
}
END_TEST

static const char *invalid_with(const uint8_t *config)
{
	const void *const states[] = { &device->pci.s, &device->msix.s, &device->s, config };

	return virtio_device_ops.valid(device, states, 0);
}

/* A saved machine knows another link; this one tells its guest how it is here. */
START_TEST(link_of_a_loaded_machine)
{
	uint8_t config[KEEL_DEVICE_CONFIG];

	told();
	memcpy(config, device->config, sizeof(config));
	ck_assert_ptr_null(invalid_with(config));
	config[0] ^= 4;
	ck_assert_str_eq(invalid_with(config), "config");
	config[0] ^= 4;
	config[7] = 0x80;
	ck_assert_str_eq(invalid_with(config), "config");
	config[7] = 0;
	config[6] = 0;
	ck_assert_ptr_null(invalid_with(config));
	memcpy(device->config, config, sizeof(config));
	ck_assert(virtio_restored(device));
	ck_assert_uint_eq(status(), 0);
	ck_assert(!line);
	virtio_event(device);
	ck_assert_uint_eq(status(), NET_STATUS_LINK_UP | NET_STATUS_ANNOUNCE);
	ck_assert(line);
}
END_TEST

static const uint8_t announced[2] = { NET_CONTROL_ANNOUNCE, 0 };

/* A guest that was loaded is to make itself known, once and as soon as it can. */
START_TEST(announce)
{
	ck_assert_uint_eq(command(announced, 2), NET_CONTROL_ERROR);
	ck_assert_uint_eq(bus_read(&bus, MODERN + 0x1000, 1), VIRTIO_ISR_QUEUE);
	ck_assert(virtio_restored(device));
	ck_assert_uint_eq(status(), NET_STATUS_LINK_UP);
	ck_assert(!line);
	virtio_event(device);
	ck_assert_uint_eq(status(), NET_STATUS_LINK_UP | NET_STATUS_ANNOUNCE);
	ck_assert_uint_eq(bus_read(&bus, MODERN + 0x1000, 1), VIRTIO_ISR_CONFIG);
	/* Loaded once more before it has done so: it is asked again. */
	ck_assert_ptr_null(invalid_with(device->config));
	ck_assert(virtio_restored(device));
	ck_assert(!line);
	virtio_event(device);
	ck_assert_uint_eq(status(), NET_STATUS_LINK_UP | NET_STATUS_ANNOUNCE);
	ck_assert(bus_read(&bus, MODERN + 0x1000, 1) & VIRTIO_ISR_CONFIG);
	ck_assert_uint_eq(command((const uint8_t[]){ NET_CONTROL_ANNOUNCE, 1 }, 2), NET_CONTROL_ERROR);
	ck_assert_uint_eq(command(announced, 2), NET_CONTROL_OK);
	ck_assert_uint_eq(status(), NET_STATUS_LINK_UP);
	ck_assert_uint_eq(command(announced, 2), NET_CONTROL_ERROR);
	virtio_event(device);
	ck_assert_uint_eq(status(), NET_STATUS_LINK_UP);
}
END_TEST

/* Not while the cable is out. */
START_TEST(announce_later)
{
	told();
	answer_watch(NET_CONTROL_OK);
	take_watch(false);
	ck_assert(virtio_restored(device));
	virtio_event(device);
	ck_assert_uint_eq(status(), 0);
	answer_watch(NET_CONTROL_OK);
	ck_assert_uint_eq(status(), NET_STATUS_LINK_UP | NET_STATUS_ANNOUNCE);
}
END_TEST

/* Nor a driver that does not know how, or is none; and one's word is not another's. */
START_TEST(announce_never)
{
	ck_assert(virtio_restored(device));
	virtio_event(device);
	ck_assert_uint_eq(status(), NET_STATUS_LINK_UP | NET_STATUS_ANNOUNCE);
	start_driver((uint32_t)device->features & ~(uint32_t)NET_F_GUEST_ANNOUNCE);
	virtio_event(device);
	ck_assert_uint_eq(status(), NET_STATUS_LINK_UP);
	ck_assert_uint_eq(command(announced, 2), NET_CONTROL_ERROR);
	ck_assert(virtio_restored(device));
	virtio_event(device);
	ck_assert_uint_eq(status(), NET_STATUS_LINK_UP);
	put(0x14, 1, 0);
	ck_assert(virtio_restored(device));
	virtio_event(device);
	ck_assert_uint_eq(status(), NET_STATUS_LINK_UP);
}
END_TEST

START_TEST(save_load_save)
{
	struct net_header header;
	struct virtio_state to;

	send(0, (struct net_header){ 0 }, 60, 1);
	expect_sent(60, 1, &header);
	told();
	virtio_work(device);
	ck_assert(virtio_is_quiet(device));
	roundtrip(&virtio_state_table, SLOT, &device->s, &to);
	device->s = to;
	ck_assert(virtio_restored(device));
	send(2, (struct net_header){ 0 }, 60, 2);
	expect_sent(60, 2, &header);
	ck_assert_uint_eq(used_count(1), 2);
}
END_TEST

/* Without VERSION_1 and mergeable buffers the header is two bytes shorter. */
START_TEST(legacy)
{
	struct net_header header;

	put(0x14, 1, 0);
	memset(memory, 0, BUFFERS);
	memset(added, 0, sizeof(added));
	bus_port_write(&bus, PORTS + 0x12, 1, 3);
	for (unsigned int q = 0; q < 2; q++) {
		bus_port_write(&bus, PORTS + 0x0e, 2, q);
		bus_port_write(&bus, PORTS + 0x08, 4, DESC(q) / PAGE);
	}
	bus_port_write(&bus, PORTS + 0x12, 1, 7);
	ck_assert_uint_eq(DESC(0) + SIZE * sizeof(struct vq_desc), AVAIL(0));
	for (uint32_t i = 0; i < 60; i++)
		memory[DATA + 10 + i] = (uint8_t)(0x20 + i);
	add(1, 0, DATA, 70, 0, 0);
	make_available(1, 0);
	bus_port_write(&bus, PORTS + 0x10, 2, 1);
	expect_sent(60, 0x20, &header);
	add(0, 0, BUFFERS, 2000, VQ_DESC_WRITE, 0);
	make_available(0, 0);
	bring((struct net_header){ 0 }, 60, 0x60, 0);
	ck_assert_uint_eq(used(0, 0).bytes, 70);
	ck_assert_uint_eq(memory[BUFFERS + 10], 0x60);
	/* One that does not fit is lost, and its buffer is not. */
	add(0, 1, BUFFERS, 100, VQ_DESC_WRITE, 0);
	make_available(0, 1);
	bring((struct net_header){ 0 }, 600, 0, 0);
	ck_assert_uint_eq(used_count(0), 1);
	bring((struct net_header){ 0 }, 60, 0, 0);
	ck_assert_uint_eq(used_count(0), 2);
	ck_assert(!is_broken());
}
END_TEST

SUITE("virtio_net", running)
{
	tcase_add_checked_fixture(running, start_all, rig_unplug);
	tcase_add_test(running, configuration);
	tcase_add_test(running, frames_out);
	tcase_add_loop_test(running, dropped_headers, 0, (int)ARRAY_SIZE(dropped));
	tcase_add_test(running, not_agreed);
	tcase_add_test(running, full_arena);
	tcase_add_test(running, full_queue);
	tcase_add_test(running, frames_in);
	tcase_add_test(running, merged);
	tcase_add_test(running, no_buffers);
	tcase_add_test(running, bad_host);
	tcase_add_loop_test(running, malformed, 0, 7);
	tcase_add_test(running, reset_under_load);
	tcase_add_test(running, offloads);
	tcase_add_loop_test(running, commands, 0, (int)ARRAY_SIZE(asked_for));
	tcase_add_test(running, link_changes);
	tcase_add_test(running, link_without_driver);
	tcase_add_test(running, link_of_a_bad_host);
	tcase_add_test(running, link_of_a_loaded_machine);
	tcase_add_test(running, announce);
	tcase_add_test(running, announce_later);
	tcase_add_test(running, announce_never);
	tcase_add_test(running, save_load_save);
	tcase_add_test(running, legacy);
}
