/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtio device of each kind in the machine of pc_rig.h, with a driver of a few lines and the resource half of each: for those
 * who save it. Devices are numbered as in virtio_rows, queues through all of them.
 */
#ifndef KEEL_TEST_BUSY_VIRTIO_H
#define KEEL_TEST_BUSY_VIRTIO_H

#include <keel/macros.h>

#include "pc_rig.h"
#include "shared/net.h"
#include "shared/pc_map.h"
#include "shared/virtio_blk.h"
#include "shared/virtio_id.h"
#include "shared/vq_device.h"

/* The devices' queues are behind the rest of the channel. */
#define VIRTIO_QUEUES	5u
#define VIRTIO_ENTRIES	16u
#define VIRTIO_ARENA	0x11000u
#define VIRTIO_TURNS	400u
#define VIRTIO_BYTES	((uint32_t)KEEL_PAGE_SIZE + VIRTIO_ARENA)
#define VIRTIO_RING(q)	(virtio_place + (q) * VIRTIO_BYTES)
#define VIRTIO_PORTS(d)	(0xd000u + (d) * 0x100u)
#define VIRTIO_MSIX(d)	(0xc0000000u + (d) * 0x10000u)
#define VIRTIO_BAR(d)	(0xc0008000u + (d) * 0x10000u)
/* A guest's queue, of the size that it is made: table, ring and used ring. */
#define GUEST_ENTRIES	16u
#define GUEST_RING(q)	(0x8000u + (q) * 0x800u)
#define GUEST_AVAIL(q)	(GUEST_RING(q) + 0x200u)
#define GUEST_USED(q)	(GUEST_RING(q) + 0x400u)
#define GUEST_DATA	0xc000u
#define GUEST_STATUS	(GUEST_DATA + 0x800u)

enum { VIRTIO_RNG, VIRTIO_DISK, VIRTIO_NETWORK };
enum { VIRTIO_RECEIVE = 2, VIRTIO_TRANSMIT, VIRTIO_CONTROL };	/* queues of the last one */

static const struct virtio_row {
	uint16_t id, slot, first_queue, queues;
	uint64_t features;
} virtio_rows[] = {
	{ VIRTIO_ID_RNG, PC_SLOT_RNG, 0, 1, 0 },
	{ VIRTIO_ID_BLOCK, PC_SLOT_DISK, 1, 1, 0 },
	{ VIRTIO_ID_NET, PC_SLOT_NET, 2, NET_QUEUES, NET_GUEST_OFFLOADS | NET_F_MRG_RXBUF | NET_F_CTRL_VQ },
};

#define VIRTIO_DEVICES	ARRAY_SIZE(virtio_rows)

static uint32_t virtio_place;		/* of the first queue in the channel */

/* Rows */

static inline void fill_virtio_config(struct keel_device *row)
{
	static const struct virtio_blk_config disk = {
		.capacity = 64, .seg_max = VIRTIO_BLK_SEGMENTS, .blk_size = KEEL_SECTOR, .num_queues = 1,
		.max_discard_sectors = 64, .max_discard_seg = 1,
	};
	static const struct net_config net = { .status = NET_STATUS_LINK_UP, .queue_pairs = 1 };
	const void *config = row->slot == PC_SLOT_DISK ? (const void *)&disk : &net;

	row->config_bytes = row->slot == PC_SLOT_DISK ? sizeof(disk) : row->slot == PC_SLOT_NET ? sizeof(net) : 0;
	memcpy(row->config, config, row->config_bytes);
}

static inline void add_virtio_row(struct keel_machine *m, const struct virtio_row *from)
{
	struct keel_device *row = &m->device[m->devices++];

	*row = (struct keel_device){
		.type = KEEL_DEVICE_VIRTIO + from->id, .slot = from->slot, .first_queue = (uint16_t)m->queues,
		.queues = from->queues, .features = (uint32_t)from->features,
	};
	fill_virtio_config(row);
	for (unsigned int q = from->first_queue; q < from->first_queue + (unsigned int)from->queues; q++)
		m->queue[m->queues++] = (struct keel_queue){
			.ring = VIRTIO_RING(q), .entries = VIRTIO_ENTRIES,
			.arena = VIRTIO_RING(q) + (uint32_t)KEEL_PAGE_SIZE, .arena_bytes = VIRTIO_ARENA,
		};
}

/* To a channel that nobody has seen yet. */
static inline void add_virtio(void)
{
	uint8_t *without = channel_block;
	struct test_channel *with;

	virtio_place = (uint32_t)channel->c.bytes;
	with = make_room(VIRTIO_RING(VIRTIO_QUEUES));
	memcpy(with, channel, virtio_place);
	free(without);
	channel = with;
	channel->c.bytes = VIRTIO_RING(VIRTIO_QUEUES);
	for (unsigned int d = 0; d < VIRTIO_DEVICES; d++)
		add_virtio_row(&channel->c.machine, &virtio_rows[d]);
	open_host();
}

/* The guest */

static inline uint64_t virtio_get(unsigned int d, unsigned int offset, unsigned int bytes)
{
	nobody();
	return bus_read(&pc->io, VIRTIO_BAR(d) + offset, bytes);
}

static inline void virtio_put(unsigned int d, unsigned int offset, unsigned int bytes, uint32_t value)
{
	nobody();
	bus_write(&pc->io, VIRTIO_BAR(d) + offset, bytes, value);
}

/* What a driver of today does; the rings are empty. */
static inline void start_virtio(unsigned int d, uint32_t features)
{
	const struct virtio_row *row = &virtio_rows[d];

	virtio_put(d, 0x14, 1, 0);
	virtio_put(d, 0x14, 1, 3);
	virtio_put(d, 0x08, 4, 0);
	virtio_put(d, 0x0c, 4, (uint32_t)(virtio_get(d, 0x04, 4) & features));
	virtio_put(d, 0x08, 4, 1);
	virtio_put(d, 0x0c, 4, 1);
	virtio_put(d, 0x14, 1, 0xb);
	for (unsigned int q = 0; q < row->queues; q++) {
		memset(guest + GUEST_RING(row->first_queue + q), 0, 0x800);
		virtio_put(d, 0x16, 2, q);
		virtio_put(d, 0x18, 2, GUEST_ENTRIES);
		virtio_put(d, 0x20, 4, GUEST_RING(row->first_queue + q));
		virtio_put(d, 0x28, 4, GUEST_AVAIL(row->first_queue + q));
		virtio_put(d, 0x30, 4, GUEST_USED(row->first_queue + q));
		virtio_put(d, 0x1c, 2, 1);
	}
	virtio_put(d, 0x14, 1, 0xf);
}

static inline void set_virtio_master(unsigned int d, bool master)
{
	pci_put(virtio_rows[d].slot, 0, 0x04, 2, master ? 7 : 3);
}

static inline void plug_virtio(uint32_t features)
{
	for (unsigned int d = 0; d < VIRTIO_DEVICES; d++) {
		pci_put(virtio_rows[d].slot, 0, 0x10, 4, VIRTIO_PORTS(d));
		pci_put(virtio_rows[d].slot, 0, 0x14, 4, VIRTIO_MSIX(d));
		pci_put(virtio_rows[d].slot, 0, 0x20, 4, VIRTIO_BAR(d));
		set_virtio_master(d, true);
		start_virtio(d, features);
	}
}

static inline void set_virtio_desc(unsigned int q, unsigned int number, const struct vq_desc *desc)
{
	memcpy(guest + GUEST_RING(q) + number % GUEST_ENTRIES * sizeof(*desc), desc, sizeof(*desc));
}

/* Of a device, as the next of its queue. */
static inline void make_available(unsigned int d, unsigned int q, uint16_t head)
{
	uint16_t index;

	memcpy(&index, guest + GUEST_AVAIL(q) + 2, sizeof(index));
	memcpy(guest + GUEST_AVAIL(q) + 4 + index % GUEST_ENTRIES * 2u, &head, sizeof(head));
	index++;
	memcpy(guest + GUEST_AVAIL(q) + 2, &index, sizeof(index));
	virtio_put(d, 0x3000, 2, q - virtio_rows[d].first_queue);
}

static inline uint16_t virtio_used(unsigned int q)
{
	uint16_t index;

	memcpy(&index, guest + GUEST_USED(q) + 2, sizeof(index));
	return index;
}

/* The resource half */

/* This resource half knows no links that change. */
static inline bool tells_link(unsigned int q, const struct vq_chain *chain)
{
	return q == VIRTIO_CONTROL && chain->out && chain->piece[0].bytes == sizeof(struct net_control_link);
}

/* It has done all that a queue asks for; of a network's reception nothing, or a frame, each fourth rubbish. True: it had to. */
static inline bool answer_virtio(unsigned int q, bool frame)
{
	/* Random bytes, good statuses. */
	static const uint8_t written[VIRTIO_QUEUES] = { 0xa5, 0, 1, 0, 0 };
	static const struct net_header header = { .buffers = 1 };
	struct vq_head *used = vq_used_head((uint8_t *)channel + VIRTIO_RING(q), VIRTIO_ENTRIES);
	struct vq_device device;
	struct vq_chain chain;
	bool any = false;

	vq_device_init(&device, channel, VIRTIO_RING(q), VIRTIO_ENTRIES, VIRTIO_RING(q) + (uint32_t)KEEL_PAGE_SIZE, VIRTIO_ARENA);
	device.avail_index = device.used_index = used->index;
	while (vq_device_has(&device) && (q != VIRTIO_RECEIVE || (frame && !any)) && vq_device_take(&device, &chain)) {
		ck_assert(chain.good);
		for (unsigned int i = chain.out; i < chain.out + chain.in; i++)
			memset((uint8_t *)channel + chain.piece[i].offset, tells_link(q, &chain) ? NET_CONTROL_ERROR : written[q],
			       chain.piece[i].bytes);
		if (q == VIRTIO_RECEIVE && used->index % 4 != 3)
			memcpy((uint8_t *)channel + chain.piece[0].offset, &header, sizeof(header));
		vq_device_give(&device, chain.head, 64);
		any = true;
	}
	return any;
}

/* All that they ask for, again and again. False: they ask for more without an end. */
static inline bool answer_all_virtio(void)
{
	bool any = true;

	for (unsigned int i = 0; i < VIRTIO_TURNS && any; i++) {
		any = false;
		for (unsigned int q = 0; q < VIRTIO_QUEUES; q++)
			any |= answer_virtio(q, false);
		event();
	}
	return !any;
}

/* Requests */

/* Chains begin at this head: entropy, a sector, a frame to be sent. */
static inline void ask_virtio(unsigned int d, uint16_t head)
{
	static const struct keel_block_header read_first = { .op = KEEL_BLOCK_READ };
	const struct vq_desc data = { GUEST_DATA + 0x100, KEEL_SECTOR, VQ_DESC_WRITE | VQ_DESC_NEXT, (uint16_t)(head + 2) };

	switch (d) {
	case VIRTIO_RNG:
		set_virtio_desc(0, head, &(struct vq_desc){ GUEST_DATA + 0x400, 64, VQ_DESC_WRITE, 0 });
		make_available(d, 0, head);
		break;
	case VIRTIO_DISK:
		memcpy(guest + GUEST_DATA, &read_first, sizeof(read_first));
		set_virtio_desc(1, head, &(struct vq_desc){ GUEST_DATA, sizeof(read_first), VQ_DESC_NEXT, (uint16_t)(head + 1) });
		set_virtio_desc(1, head + 1u, &data);
		set_virtio_desc(1, head + 2u, &(struct vq_desc){ GUEST_STATUS, 1, VQ_DESC_WRITE, 0 });
		make_available(d, 1, head);
		break;
	case VIRTIO_NETWORK:
		memset(guest + GUEST_DATA + 0x500, 0, 80);
		set_virtio_desc(VIRTIO_TRANSMIT, head, &(struct vq_desc){ GUEST_DATA + 0x500, 80, 0, 0 });
		make_available(d, VIRTIO_TRANSMIT, head);
		break;
	}
}

/* The guest offers buffers for four frames; and it sends a command. */
static inline void fill_network(void)
{
	for (uint16_t i = 0; i < 4; i++) {
		set_virtio_desc(VIRTIO_RECEIVE, i, &(struct vq_desc){ GUEST_DATA + 0x600, 0x100, VQ_DESC_WRITE, 0 });
		make_available(VIRTIO_NETWORK, VIRTIO_RECEIVE, i);
	}
	set_virtio_desc(VIRTIO_CONTROL, 0, &(struct vq_desc){ GUEST_DATA + 0x700, 2, VQ_DESC_NEXT, 1 });
	set_virtio_desc(VIRTIO_CONTROL, 1, &(struct vq_desc){ GUEST_DATA + 0x710, 1, VQ_DESC_WRITE, 0 });
	make_available(VIRTIO_NETWORK, VIRTIO_CONTROL, 0);
}

/* By messages, which are masked. */
static inline void enable_virtio_messages(unsigned int d)
{
	pci_put(virtio_rows[d].slot, 0, pc->virtio[d]->pci.msix_capability, 4, 0x80000000u);
	nobody();
	bus_write(&pc->io, VIRTIO_MSIX(d), 4, 0xfee00000u);
	bus_write(&pc->io, VIRTIO_MSIX(d) + 8, 4, 0x41);
	virtio_put(d, 0x16, 2, 0);
	virtio_put(d, 0x1a, 2, 0);
}

/* Each queue has been used once, buffers are left in one, a message of the first device is pending, the others pull a line. */
static inline void busy_virtio(void)
{
	plug_virtio(UINT32_MAX);
	enable_virtio_messages(VIRTIO_RNG);
	fill_network();
	for (unsigned int d = 0; d < VIRTIO_DEVICES; d++)
		ask_virtio(d, 0);
	for (unsigned int q = 0; q < VIRTIO_QUEUES; q++)
		answer_virtio(q, true);
	event();
}

#endif
