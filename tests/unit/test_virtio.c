// SPDX-License-Identifier: GPL-2.0
/*
 * Virtio devices by the entropy device in the machine: a guest's drivers of a few lines on one side, the
 * host's end on the other.
 */
#include "pc_rig.h"

#include <keel/macros.h>

#include "core/string.h"
#include "machine/save.h"
#include "pci/msi.h"
#include "roundtrip.h"
#include "shared/net.h"
#include "shared/pc_map.h"
#include "shared/virtio_blk.h"
#include "shared/virtio_id.h"
#include "shared/vq_device.h"
#include "suite.h"
#include "virtio/virtio.h"

#define SLOT		PC_SLOT_RNG
#define HOST_ENTRIES	16u
#define PIECE		((uint32_t)sizeof(channel->more.arena) / HOST_ENTRIES)
#define PORTS		0xc100u		/* BAR 0 */
#define VECTORS		0xc0100000u	/* BAR 1 */
#define MODERN		0xc0200000u	/* BAR 4 */

/* Where the guest's rings are, if not by the legacy interface. */
#define DESC		0x10000u
#define AVAIL		0x11000u
#define USED		0x12000u
#define BUFFER		0x20000u
#define TABLE		0x30000u
#define LEGACY_PAGE	0x40u
#define SIZE		64u

#define INDIRECT	4u
#define F_EVENT		(1u << 29)
#define F_INDIRECT	(1u << 28)
#define F_TODAY		1u		/* VERSION_1, of the upper half */

enum { FEATURES = 0x04, DRIVER_SELECT = 0x08, DRIVER = 0x0c, CONFIG_VECTOR = 0x10, STATUS = 0x14, QUEUE_SELECT = 0x16,
       QUEUE_SIZE = 0x18, QUEUE_VECTOR = 0x1a, QUEUE_ENABLE = 0x1c, QUEUE_DESC = 0x20, QUEUE_DRIVER = 0x28, QUEUE_DEVICE = 0x30,
       ISR = 0x1000, NOTIFY = 0x3000 };

static struct vq_device half;
static uint64_t desc_at, avail_at, used_at;
static uint16_t added;

static void add_row(void)
{
	struct keel_machine *m = &channel->c.machine;

	m->queue[m->queues] = (struct keel_queue){
		.ring = offsetof(struct test_channel, more.ring), .entries = HOST_ENTRIES,
		.arena = offsetof(struct test_channel, more.arena), .arena_bytes = sizeof(channel->more.arena),
	};
	m->device[m->devices++] = (struct keel_device){
		.type = KEEL_DEVICE_VIRTIO + VIRTIO_ID_RNG, .slot = SLOT, .first_queue = (uint16_t)m->queues++, .queues = 1,
	};
	vq_device_init(&half, channel, offsetof(struct test_channel, more.ring), HOST_ENTRIES,
		       offsetof(struct test_channel, more.arena), sizeof(channel->more.arena));
}

static void make_with_row(void)
{
	make();
	add_row();
}

static void plug(void)
{
	make_with_row();
	ck_assert_uint_eq(event()->action, KEEL_ACTION_RESUME);
	poll(0);
	flat(0);
	pci_put(SLOT, 0, 0x10, 4, PORTS);
	pci_put(SLOT, 0, 0x14, 4, VECTORS);
	pci_put(SLOT, 0, 0x20, 4, MODERN);
	pci_put(SLOT, 0, 0x04, 2, 7);
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	added = 0;
	channel->c.host_asleep = 1;
}

static struct virtio_device *rng(void)
{
	ck_assert_uint_eq(pc->virtio_devices, 1);
	return pc->virtio[0];
}

/* Registers */

static uint32_t get(unsigned int offset, unsigned int bytes)
{
	nobody();
	return (uint32_t)bus_read(&pc->io, MODERN + offset, bytes);
}

static void put(unsigned int offset, unsigned int bytes, uint32_t value)
{
	nobody();
	bus_write(&pc->io, MODERN + offset, bytes, value);
}

static void put_address(unsigned int offset, uint64_t value)
{
	put(offset, 4, (uint32_t)value);
	put(offset + 4, 4, (uint32_t)(value >> 32));
}

static void accept_features(uint32_t low, uint32_t high)
{
	put(DRIVER_SELECT, 4, 0);
	put(DRIVER, 4, low);
	put(DRIVER_SELECT, 4, 1);
	put(DRIVER, 4, high);
}

static void place_rings(uint64_t desc, uint64_t avail, uint64_t used)
{
	desc_at = desc;
	avail_at = avail;
	used_at = used;
}

/* What a driver of today does. */
static void start_modern(uint32_t features)
{
	place_rings(DESC, AVAIL, USED);
	put(STATUS, 1, 0);
	put(STATUS, 1, 3);
	accept_features(features, F_TODAY);
	put(STATUS, 1, 0xb);
	ck_assert_uint_eq(get(STATUS, 1), 0xb);
	put(QUEUE_SELECT, 2, 0);
	ck_assert_uint_eq(get(QUEUE_SIZE, 2), SIZE);
	put_address(QUEUE_DESC, desc_at);
	put_address(QUEUE_DRIVER, avail_at);
	put_address(QUEUE_DEVICE, used_at);
	put(QUEUE_ENABLE, 2, 1);
	put(STATUS, 1, 0xf);
	ck_assert_uint_eq(get(STATUS, 1), 0xf);
}

/* What drivers did before there was a standard. */
static void start_legacy(uint32_t features)
{
	out(PORTS + 0x12, 0);
	out(PORTS + 0x12, 3);
	out_by(0, PORTS + 4, 4, in(PORTS, 4) & features);
	out_by(0, PORTS + 0xe, 2, 0);
	ck_assert_uint_eq(in(PORTS + 0xc, 2), SIZE);
	ck_assert_uint_eq(in(PORTS + 8, 4), 0);
	out_by(0, PORTS + 8, 4, LEGACY_PAGE);
	ck_assert_uint_eq(in(PORTS + 8, 4), LEGACY_PAGE);
	out(PORTS + 0x12, 7);
	place_rings(LEGACY_PAGE * 4096, LEGACY_PAGE * 4096 + SIZE * 16, LEGACY_PAGE * 4096 + 4096);
}

/* The guest's rings */

static void set16(uint64_t gpa, uint16_t value)
{
	memcpy(guest + gpa, &value, sizeof(value));
}

static uint16_t get16(uint64_t gpa)
{
	uint16_t value;

	memcpy(&value, guest + gpa, sizeof(value));
	return value;
}

static void set_desc(uint64_t table, unsigned int number, uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
	struct vq_desc desc = { address, length, flags, next };

	memcpy(guest + table + number * sizeof(desc), &desc, sizeof(desc));
}

static void make_available(uint16_t head)
{
	set16(avail_at + 4 + added % SIZE * 2u, head);
	set16(avail_at + 2, ++added);
}

static void add_buffer(uint16_t head, uint64_t address, uint32_t bytes)
{
	set_desc(desc_at, head, address, bytes, VQ_DESC_WRITE, 0);
	make_available(head);
}

static uint16_t used_count(void)
{
	return get16(used_at + 2);
}

static void expect_used(uint16_t number, uint32_t head, uint32_t bytes)
{
	struct vq_used used;

	memcpy(&used, guest + used_at + 4 + number % SIZE * sizeof(used), sizeof(used));
	ck_assert_uint_eq(used.head, head);
	ck_assert_uint_eq(used.bytes, bytes);
}

/* By the port, as an exit. */
static struct keel_answer *kick(void)
{
	return out_by(0, PORTS + 0x10, 2, 0);
}

/* The host answers one request with bytes that begin with this one, and says that it was so many. */
static void answer_with(uint8_t first, uint32_t bytes)
{
	struct vq_chain chain;

	ck_assert(vq_device_take(&half, &chain) && chain.good && chain.in == 1 && !chain.out);
	for (uint32_t i = 0; i < chain.piece[0].bytes; i++)
		((uint8_t *)channel)[chain.piece[0].offset + i] = (uint8_t)(first + i);
	vq_device_give(&half, chain.head, bytes);
}

static void answer(uint8_t first)
{
	answer_with(first, PIECE);
}

static bool needs_reset(void)
{
	return get(STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET;
}

/* Start */

static const struct {
	uint32_t type;
	uint16_t slot, queues;
	uint32_t entries, arena_bytes, config_bytes;
} refused[] = {
	{ KEEL_DEVICE_VIRTIO, SLOT, 1, 16, 4096, 0 },
	{ KEEL_DEVICE_VIRTIO + 99, SLOT, 1, 16, 4096, 0 },
	{ KEEL_DEVICE_VIRTIO + VIRTIO_ID_RNG, 1, 1, 16, 4096, 0 },
	{ KEEL_DEVICE_VIRTIO + VIRTIO_ID_RNG, 32, 1, 16, 4096, 0 },
	{ KEEL_DEVICE_VIRTIO + VIRTIO_ID_RNG, SLOT, 0, 16, 4096, 0 },
	{ KEEL_DEVICE_VIRTIO + VIRTIO_ID_RNG, SLOT, 2, 16, 4096, 0 },
	{ KEEL_DEVICE_VIRTIO + VIRTIO_ID_RNG, SLOT, 1, 128, 4096, 0 },
	{ KEEL_DEVICE_VIRTIO + VIRTIO_ID_RNG, SLOT, 1, 16, 4095, 0 },
	{ KEEL_DEVICE_VIRTIO + VIRTIO_ID_RNG, SLOT, 1, 16, 4096, 1 },
	{ KEEL_DEVICE_VIRTIO + VIRTIO_ID_RNG, SLOT, 1, 16, 4096, KEEL_DEVICE_CONFIG + 1 },
};

START_TEST(refused_rows)
{
	struct keel_machine *m = &channel->c.machine;

	m->device[RIG_DEVICES].type = refused[_i].type;
	m->device[RIG_DEVICES].slot = refused[_i].slot;
	m->device[RIG_DEVICES].queues = refused[_i].queues;
	m->device[RIG_DEVICES].config_bytes = refused[_i].config_bytes;
	m->queue[RIG_QUEUES].entries = refused[_i].entries;
	m->queue[RIG_QUEUES].arena_bytes = refused[_i].arena_bytes;
	/* One more, so that two would be there. */
	m->queue[RIG_QUEUES + 1] = m->queue[RIG_QUEUES];
	m->queues += refused[_i].queues == 2;
	ck_assert_uint_eq(event()->action, KEEL_ACTION_END);
	ck_assert_uint_eq(ctx[EVENT].answer.detail, CELL_REFUSED_DEVICE);
}
END_TEST

/* Each has its place, and there is room for some. */
START_TEST(several)
{
	struct keel_machine *m = &channel->c.machine;

	for (unsigned int i = 3; i < 5; i++) {
		struct keel_device *device = &m->device[m->devices++];

		*device = m->device[RIG_DEVICES];
		m->queue[m->queues] = m->queue[RIG_QUEUES];
		device->slot = (uint16_t)(SLOT + i);
		device->first_queue = (uint16_t)m->queues++;
	}
	ck_assert_uint_eq(event()->action, KEEL_ACTION_RESUME);
	poll(0);
	flat(0);
	ck_assert_uint_eq(pci_get(SLOT + 4, 0, 0), 0x10051af4);
	ck_assert_uint_eq(pci_get(SLOT + 5, 0, 0), UINT32_MAX);
}
END_TEST

START_TEST(same_slot)
{
	struct keel_machine *m = &channel->c.machine;

	m->device[RIG_DEVICES + 1] = m->device[RIG_DEVICES];
	m->queue[RIG_QUEUES + 1] = m->queue[RIG_QUEUES];
	m->device[RIG_DEVICES + 1].first_queue = (uint16_t)m->queues++;
	m->devices++;
	ck_assert_uint_eq(event()->action, KEEL_ACTION_END);
	ck_assert_uint_eq(ctx[EVENT].answer.detail, CELL_REFUSED_DEVICE);
}
END_TEST

START_TEST(no_memory_left)
{
	const struct virtio_blk_config config = { .blk_size = KEEL_SECTOR, .seg_max = 1 };
	struct keel_machine *m = &channel->c.machine;
	const struct keel_queue queue = m->queue[m->queues - 1];
	struct keel_device disk = {
		.type = KEEL_DEVICE_VIRTIO + VIRTIO_ID_BLOCK, .queues = 1, .config_bytes = sizeof(config),
	};
	const struct keel_device network = {
		.type = KEEL_DEVICE_VIRTIO + VIRTIO_ID_NET, .queues = NET_QUEUES, .config_bytes = sizeof(struct net_config),
	};

	memcpy(disk.config, &config, sizeof(config));
	m->devices--;
	m->queues--;
	for (unsigned int slot = PC_SLOT_FREE; slot < 32; slot++) {
		struct keel_device *device = &m->device[m->devices];

		*device = slot < PC_SLOT_FREE + PC_NETWORKS ? network : disk;
		if (m->devices == KEEL_DEVICES || m->queues + device->queues > KEEL_QUEUES)
			break;
		m->devices++;
		device->slot = (uint16_t)slot;
		device->first_queue = (uint16_t)m->queues;
		for (unsigned int i = 0; i < device->queues; i++) {
			m->queue[m->queues] = queue;
			m->queue[m->queues++].arena_bytes = 0x20000;
		}
	}
	ck_assert_uint_eq(event()->action, KEEL_ACTION_END);
	ck_assert_uint_eq(ctx[EVENT].answer.detail, CELL_REFUSED_DEVICE);
}
END_TEST

/* Configuration space */

START_TEST(identity)
{
	unsigned int seen = 0, at = pci_get(SLOT, 0, 0x34) & 0xff;

	ck_assert_uint_eq(pci_get(SLOT, 0, 0x00), 0x10051af4);
	ck_assert_uint_eq(pci_get(SLOT, 0, 0x08) & 0xff, 0);		/* transitional */
	ck_assert_uint_eq(pci_get(SLOT, 0, 0x2c), 0x00041af4);
	ck_assert_uint_eq(pci_get(SLOT, 0, 0x3c) >> 8 & 0xff, 1);
	for (unsigned int n = 0; at && n < 16; n++) {
		uint32_t head = pci_get(SLOT, 0, at), bar = pci_get(SLOT, 0, at + 4) & 0xff;
		uint32_t offset = pci_get(SLOT, 0, at + 8), bytes = pci_get(SLOT, 0, at + 12);

		if ((head & 0xff) == PCI_CAPABILITY_VENDOR) {
			unsigned int type = head >> 24;

			ck_assert_uint_eq(head >> 16 & 0xff, type == 2 || type == 5 ? 20 : 16);
			ck_assert(type >= 1 && type <= 5 && type != 4);	/* it has no configuration */
			if (type != 5)
				ck_assert_uint_le(offset + bytes, bar == 4 ? 0x4000 : 32);
			if (type == 2)
				ck_assert_uint_eq(pci_get(SLOT, 0, at + 16), 0);
			seen |= 1u << type;
		} else {
			ck_assert_uint_eq(head & 0xff, PCI_CAPABILITY_MSIX);
			ck_assert_uint_eq(head >> 16 & 0x7ff, 1);	/* two vectors */
			seen |= 1;
		}
		at = head >> 8 & 0xff;
	}
	ck_assert_uint_eq(at, 0);
	ck_assert_uint_eq(seen, 0x2f);
}
END_TEST

/* 4.1.4.9: any register, without a BAR. */
START_TEST(access_by_configuration)
{
	unsigned int at = rng()->access_capability;

	pci_put(SLOT, 0, 0x04, 2, 0);
	pci_put(SLOT, 0, at + 4, 1, 4);
	pci_put(SLOT, 0, at + 8, 4, 0x12);
	pci_put(SLOT, 0, at + 12, 4, 2);
	ck_assert_uint_eq(pci_get(SLOT, 0, at + 16), 1);		/* queues */
	pci_put(SLOT, 0, at + 8, 4, STATUS);
	pci_put(SLOT, 0, at + 12, 4, 1);
	pci_put(SLOT, 0, at + 16, 4, 3);
	ck_assert_uint_eq(pci_get(SLOT, 0, at + 16), 3);
	ck_assert_uint_eq(rng()->s.status, 3);
	/* What is no access. */
	for (unsigned int i = 0; i < 12; i++) {
		static const uint32_t strange[][3] = {
			{ 4, STATUS, 3 }, { 4, STATUS, 0 }, { 4, STATUS, UINT32_MAX }, { 4, UINT32_MAX, 4 }, { 4, 0x4000, 4 },
			{ 5, 0, 4 }, { 6, 0, 4 }, { 7, 0, 4 }, { 255, 0, 4 }, { 4, 1, 4 }, { 0, 30, 4 }, { 2, 0, 1 },
		};

		pci_put(SLOT, 0, at + 4, 1, strange[i][0]);
		pci_put(SLOT, 0, at + 8, 4, strange[i][1]);
		pci_put(SLOT, 0, at + 12, 4, strange[i][2]);
		pci_put(SLOT, 0, at + 16, 4, 0xf);
		pci_get(SLOT, 0, at + 16);
		ck_assert_uint_eq(rng()->s.status, 3);
	}
}
END_TEST

/* Features and status */

START_TEST(features)
{
	ck_assert_uint_eq(get(FEATURES, 4), F_EVENT | F_INDIRECT);
	put(0, 4, 1);
	ck_assert_uint_eq(get(FEATURES, 4), F_TODAY);
	put(0, 4, 2);
	ck_assert_uint_eq(get(FEATURES, 4), 0);
	ck_assert_uint_eq(in(PORTS, 4), F_EVENT | F_INDIRECT);

	/* Without VERSION_1, or with what was not offered. */
	for (unsigned int i = 0; i < 3; i++) {
		put(STATUS, 1, 0);
		put(STATUS, 1, 3);
		accept_features(i == 1 ? 1 : 0, i == 0 ? 0 : i == 1 ? F_TODAY : 3);
		put(STATUS, 1, 0xb);
		ck_assert_uint_eq(get(STATUS, 1), 3);
	}
	accept_features(F_EVENT, F_TODAY);
	put(STATUS, 1, 0xb);
	ck_assert_uint_eq(get(STATUS, 1), 0xb);
	/* They are agreed on now. */
	accept_features(0, 0);
	ck_assert_uint_eq(get(DRIVER, 4), F_TODAY);
	put(STATUS, 1, 0);
	ck_assert_uint_eq(get(STATUS, 1), 0);
	put(DRIVER_SELECT, 4, 1);
	ck_assert_uint_eq(get(DRIVER, 4), 0);
}
END_TEST

START_TEST(registers)
{
	ck_assert_uint_eq(get(0x12, 2), 1);
	ck_assert_uint_eq(get(CONFIG_VECTOR, 2), VIRTIO_NO_VECTOR);
	put(CONFIG_VECTOR, 2, 1);
	ck_assert_uint_eq(get(CONFIG_VECTOR, 4), 0x00010001);
	put(CONFIG_VECTOR, 2, 2);
	ck_assert_uint_eq(get(CONFIG_VECTOR, 2), VIRTIO_NO_VECTOR);
	put(CONFIG_VECTOR, 4, 1);			/* not as wide as that */
	ck_assert_uint_eq(get(CONFIG_VECTOR, 2), VIRTIO_NO_VECTOR);
	put(QUEUE_SIZE, 2, 16);
	ck_assert_uint_eq(get(QUEUE_SIZE, 2), 16);
	for (unsigned int i = 0; i < 4; i++) {
		put(QUEUE_SIZE, 2, (const uint16_t[]){ 0, 3, 128, 0xffff }[i]);
		ck_assert_uint_eq(get(QUEUE_SIZE, 2), 16);
	}
	put_address(QUEUE_DESC, 0x123456789abcdef0);
	ck_assert_uint_eq(get(QUEUE_DESC, 4), 0x9abcdef0);
	ck_assert_uint_eq(get(QUEUE_DESC + 4, 4), 0x12345678);
	ck_assert_uint_eq(get(QUEUE_DESC + 6, 2), 0x1234);
	/* A queue that is not there. */
	put(QUEUE_SELECT, 2, 1);
	ck_assert_uint_eq(get(QUEUE_SIZE, 2), 0);
	put(QUEUE_SIZE, 2, 16);
	put(QUEUE_ENABLE, 2, 1);
	put(QUEUE_SELECT, 2, 0xffff);
	ck_assert_uint_eq(get(QUEUE_DESC, 4), 0);
	ck_assert_uint_eq(in(PORTS + 0xc, 2), 0);
	out_by(0, PORTS + 8, 4, 1);
	put(NOTIFY, 2, 1);
	put(NOTIFY, 2, 0xffff);
	/* Behind the registers. */
	ck_assert_uint_eq(get(0x38, 4), 0);
	ck_assert_uint_eq(get(0xffc, 4), 0);
	ck_assert_uint_eq(get(0x2000, 4), 0);
	ck_assert_uint_eq(get(0x3ffc, 4), 0);
	put(0x38, 4, UINT32_MAX);
	put(0xffc, 4, UINT32_MAX);
	ck_assert_uint_eq(in(PORTS + 0x1c, 4), 0);
}
END_TEST

/* Entropy */

START_TEST(modern)
{
	start_modern(0);
	add_buffer(3, BUFFER, 100);
	ck_assert_uint_eq(kick()->flags & KEEL_ANSWER_DOORBELL, KEEL_ANSWER_DOORBELL);
	ck_assert_uint_eq(used_count(), 0);
	answer(0x40);
	ck_assert_uint_eq(event()->kick, 0);			/* its line leads nowhere yet */
	ck_assert_uint_eq(used_count(), 1);
	expect_used(0, 3, 100);
	for (unsigned int i = 0; i < 100; i++)
		ck_assert_uint_eq(guest[BUFFER + i], (uint8_t)(0x40 + i));
	ck_assert_uint_eq(guest[BUFFER + 100], 0);
	/* Nothing new: nobody is woken. */
	ck_assert_uint_eq(kick()->flags & KEEL_ANSWER_DOORBELL, 0);
	/* By memory, and more than a request takes. */
	add_buffer(5, BUFFER, 100000);
	put(NOTIFY, 2, 0);
	answer(0x50);
	event();
	expect_used(1, 5, PIECE);
	ck_assert(!needs_reset());
}
END_TEST

/* Slot 4, INTA: PIRQD. The line falls when ISR is read. */
START_TEST(legacy_by_line)
{
	pci_put(1, 0, 0x60, 4, 0x0b808080);
	redirect(11, 0x8071, 0);
	ctx[0].regs.rflags |= IF;
	start_legacy(UINT32_MAX);
	add_buffer(0, BUFFER, 64);
	set16(avail_at + 4 + SIZE * 2u, 0);			/* used_event */
	kick();
	answer(0x10);
	event();
	expect_used(0, 0, 64);
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x71));
	ck_assert_uint_eq(in(PORTS + 0x13, 1), VIRTIO_ISR_QUEUE);
	ck_assert_uint_eq(in(PORTS + 0x13, 1), 0);
	ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0xb0, 0)->inject, 0);
	/* The queue is taken away, and comes back as a new one. */
	out_by(0, PORTS + 8, 4, 0);
	ck_assert_uint_eq(in(PORTS + 8, 4), 0);
	add_buffer(1, BUFFER, 64);
	ck_assert_uint_eq(kick()->flags & KEEL_ANSWER_DOORBELL, 0);
	set16(avail_at + 2, 1);
	out_by(0, PORTS + 8, 4, LEGACY_PAGE);
	answer(0x20);
	event();
	ck_assert_uint_eq(used_count(), 1);
}
END_TEST

/* One that does not say that it is ready, as there were. */
START_TEST(legacy_in_a_hurry)
{
	start_legacy(0);
	out(PORTS + 0x12, 3);
	add_buffer(0, BUFFER, 64);
	kick();
	answer(0x10);
	event();
	ck_assert_uint_eq(used_count(), 1);
}
END_TEST

static void enable_messages(void)
{
	pci_put(SLOT, 0, rng()->pci.msix_capability, 4, 0x80000000);
	for (unsigned int i = 0; i < 2; i++) {
		mmio_write(0, VECTORS + 16 * i, PC_LAPIC);
		mmio_write(0, VECTORS + 16 * i + 8, 0x61 + i);
		mmio_write(0, VECTORS + 16 * i + 12, 0);
	}
	ctx[0].regs.rflags |= IF;
}

START_TEST(messages)
{
	enable_messages();
	start_modern(0);
	put(QUEUE_VECTOR, 2, 1);
	ck_assert_uint_eq(get(QUEUE_VECTOR, 2), 1);
	add_buffer(0, BUFFER, 64);
	kick();
	answer(0x10);
	ck_assert_uint_eq(event()->kick, 1);
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x62));
	ck_assert_uint_eq(get(ISR, 1), 0);
	mmio_write(0, PC_LAPIC + 0xb0, 0);
	/* One interrupt for several, none if the guest wants none, and none without a vector. */
	for (uint16_t i = 0; i < 4; i++)
		add_buffer(i, BUFFER, 64);
	kick();
	for (unsigned int i = 0; i < 4; i++)
		answer(0x10);
	ck_assert_uint_eq(event()->kick, 1);
	ck_assert_uint_eq(used_count(), 5);
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x62));
	ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0xb0, 0)->inject, 0);
	set16(avail_at, 1);
	add_buffer(0, BUFFER, 64);
	kick();
	answer(0x10);
	ck_assert_uint_eq(event()->kick, 0);
	set16(avail_at, 0);
	put(QUEUE_VECTOR, 2, VIRTIO_NO_VECTOR);
	add_buffer(0, BUFFER, 64);
	kick();
	answer(0x10);
	ck_assert_uint_eq(event()->kick, 0);
	ck_assert_uint_eq(used_count(), 7);
}
END_TEST

/* While MSI-X is enabled, vectors are in front of a legacy device's configuration. */
START_TEST(legacy_vectors)
{
	ck_assert_uint_eq(in(PORTS + 0x14, 4), 0);
	out_by(0, PORTS + 0x16, 2, 1);
	enable_messages();
	ck_assert_uint_eq(in(PORTS + 0x14, 4), UINT32_MAX);
	start_legacy(0);
	out_by(0, PORTS + 0x16, 2, 1);
	out_by(0, PORTS + 0x14, 2, 7);
	ck_assert_uint_eq(in(PORTS + 0x16, 2), 1);
	ck_assert_uint_eq(in(PORTS + 0x14, 2), VIRTIO_NO_VECTOR);
	add_buffer(0, BUFFER, 64);
	kick();
	answer(0x10);
	ck_assert_uint_eq(event()->kick, 1);
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x62));
}
END_TEST

/*
 * The guest says at which index it wants an interrupt, and is told at which one the device wants to be
 * notified.
 */
START_TEST(event_indices)
{
	uint64_t used_event = AVAIL + 4 + SIZE * 2u, avail_event = USED + 4 + SIZE * 8u;

	enable_messages();
	start_modern(F_EVENT);
	put(QUEUE_VECTOR, 2, 0);
	set16(used_event, 1);
	set16(AVAIL, 1);					/* has no meaning now */
	for (unsigned int i = 0; i < 3; i++) {
		add_buffer(0, BUFFER, 64);
		kick();
		ck_assert_uint_eq(get16(avail_event), added);
		answer(0x10);
		ck_assert_uint_eq(event()->kick, i == 1);
		poll(0);
	}
	ck_assert_uint_eq(used_count(), 3);
	/* Over the end of an index. */
	put(STATUS, 1, 0);
	start_modern(F_EVENT);
	put(QUEUE_VECTOR, 2, 0);
	rng()->s.queue[0].avail_index = rng()->s.queue[0].used_index = rng()->s.queue[0].told_index = 0xffff;
	added = 0xffff;
	set16(used_event, 0xffff);
	add_buffer(0, BUFFER, 64);
	kick();
	answer(0x10);
	mmio_write(0, PC_LAPIC + 0xb0, 0);
	event();
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x61));
	ck_assert_uint_eq(used_count(), 0);
	ck_assert(!needs_reset());
}
END_TEST

/* Chains of several pieces, by their own links, by a table, and by both. */
START_TEST(chains)
{
	start_modern(F_INDIRECT);
	set_desc(DESC, 0, BUFFER, 10, VQ_DESC_WRITE | VQ_DESC_NEXT, 9);
	set_desc(DESC, 9, BUFFER + 100, 0, VQ_DESC_WRITE | VQ_DESC_NEXT, 4);
	set_desc(DESC, 4, BUFFER + 200, 20, VQ_DESC_WRITE, 0);
	make_available(0);
	set_desc(DESC, 1, BUFFER + 300, 5, VQ_DESC_WRITE | VQ_DESC_NEXT, 2);
	set_desc(DESC, 2, TABLE, 3 * 16, INDIRECT | VQ_DESC_WRITE, 77);
	set_desc(TABLE, 0, BUFFER + 400, 7, VQ_DESC_WRITE | VQ_DESC_NEXT, 2);
	set_desc(TABLE, 2, BUFFER + 500, 9, VQ_DESC_WRITE, 0);
	make_available(1);
	kick();
	answer(0);
	answer(100);
	event();
	expect_used(0, 0, 30);
	expect_used(1, 1, 21);
	ck_assert_uint_eq(guest[BUFFER + 9], 9);
	ck_assert_uint_eq(guest[BUFFER + 10], 0);
	ck_assert_uint_eq(guest[BUFFER + 200], 10);
	ck_assert_uint_eq(guest[BUFFER + 219], 29);
	ck_assert_uint_eq(guest[BUFFER + 304], 104);
	ck_assert_uint_eq(guest[BUFFER + 400], 105);
	ck_assert_uint_eq(guest[BUFFER + 508], 120);
	/* Nothing to write to: it comes back as it is. */
	set_desc(DESC, 0, BUFFER, 10, 0, 0);
	make_available(0);
	kick();
	ck_assert_uint_eq(used_count(), 3);
	expect_used(2, 0, 0);
	ck_assert(!needs_reset());
}
END_TEST

/* More than the host is asked for at once: they wait in the guest's ring, and none fails. */
START_TEST(full)
{
	start_modern(0);
	for (uint16_t i = 0; i < SIZE; i++)
		add_buffer(i, BUFFER + i * 64u, 64);
	kick();
	ck_assert_uint_eq(rng()->s.queue[0].avail_index, HOST_ENTRIES);
	for (unsigned int i = 0; i < SIZE; i++) {
		answer((uint8_t)i);
		event();
		ck_assert_uint_eq(used_count(), i + 1);
	}
	ck_assert(!vq_device_has(&half));
	for (unsigned int i = 0; i < SIZE; i++)
		ck_assert_uint_eq(guest[BUFFER + i * 64], (uint8_t)i);
	ck_assert(!needs_reset());
}
END_TEST

/* What was asked for before a reset changes nothing behind it. */
START_TEST(reset_in_flight)
{
	enable_messages();
	start_modern(0);
	for (uint16_t i = 0; i < HOST_ENTRIES; i++)
		add_buffer(i, BUFFER, 64);
	kick();
	put(STATUS, 1, 0);
	answer(0x77);
	event();
	memset(guest + AVAIL, 0, 4096);
	memset(guest + USED, 0, 4096);
	added = 0;
	start_modern(0);
	add_buffer(0, BUFFER + 64, 64);
	kick();
	for (unsigned int i = 1; i < HOST_ENTRIES; i++)
		answer(0x77);
	event();
	ck_assert_uint_eq(guest[BUFFER], 0);
	ck_assert_uint_eq(used_count(), 0);
	answer(0x33);
	event();
	ck_assert_uint_eq(used_count(), 1);
	ck_assert_uint_eq(guest[BUFFER + 64], 0x33);
}
END_TEST

/* A function that may not reach memory does not, and goes on when it may. */
START_TEST(no_master)
{
	start_modern(0);
	pci_put(SLOT, 0, 0x04, 2, 3);
	add_buffer(0, BUFFER, 64);
	ck_assert_uint_eq(kick()->flags & KEEL_ANSWER_DOORBELL, 0);
	pci_put(SLOT, 0, 0x04, 2, 7);
	ck_assert(vq_device_has(&half));
	pci_put(SLOT, 0, 0x04, 2, 3);
	answer(0x10);
	event();
	ck_assert_uint_eq(used_count(), 0);
	ck_assert_uint_eq(guest[BUFFER], 0);
	pci_put(SLOT, 0, 0x04, 2, 7);
	ck_assert_uint_eq(used_count(), 1);
	ck_assert_uint_eq(guest[BUFFER], 0x10);
}
END_TEST

/* What a driver has told while its registers were being moved is found when they are there again. */
START_TEST(told_while_moved)
{
	start_modern(0);
	pci_put(SLOT, 0, 0x20, 4, MODERN + 0x10000);
	add_buffer(0, BUFFER, 64);
	put(NOTIFY, 2, 0);
	ck_assert(!vq_device_has(&half));
	pci_put(SLOT, 0, 0x20, 4, MODERN);
	ck_assert(vq_device_has(&half));
}
END_TEST

/* What the other half says is not believed. */
START_TEST(host_lies)
{
	start_modern(0);
	add_buffer(0, BUFFER, 64);
	kick();
	answer_with(0x10, UINT32_MAX);
	event();
	expect_used(0, 0, 64);
	ck_assert_uint_eq(guest[BUFFER + 64], 0);
	add_buffer(0, BUFFER, 64);
	kick();
	vq_device_give(&half, 99, 64);
	vq_device_give(&half, 5, 64);
	half.outstanding = 0;
	event();
	ck_assert_uint_eq(used_count(), 1);
	ck_assert(!needs_reset());
	answer_with(0x10, 0);
	event();
	ck_assert(needs_reset());
	ck_assert_uint_eq(used_count(), 1);
}
END_TEST

/* Broken queues */

struct breach {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
	bool indirect;		/* in a table */
};

#define NOWHERE		(LOW_MEMORY + 0x1000)

static const struct breach breaches[] = {
	{ NOWHERE, 64, VQ_DESC_WRITE, 0, false },
	{ LOW_MEMORY - 32, 64, VQ_DESC_WRITE, 0, false },
	{ UINT64_MAX - 31, 64, VQ_DESC_WRITE, 0, false },
	{ BUFFER, UINT32_MAX, VQ_DESC_WRITE, 0, false },
	{ 0xfffffff0 - 4096, 64, VQ_DESC_WRITE, 0, false },	/* firmware */
	{ 0x9fff0, 64, VQ_DESC_WRITE, 0, false },
	{ BUFFER, 64, VQ_DESC_WRITE | VQ_DESC_NEXT, 0, false },	/* round and round */
	{ BUFFER, 64, VQ_DESC_WRITE | VQ_DESC_NEXT, SIZE, false },
	{ BUFFER, 64, VQ_DESC_WRITE | VQ_DESC_NEXT, 0xffff, false },
	{ BUFFER, 64, VQ_DESC_WRITE | VQ_DESC_NEXT, 1, false },	/* a piece to read behind it */
	{ TABLE, 0, INDIRECT, 0, false },
	{ TABLE, 15, INDIRECT, 0, false },
	{ TABLE, 16, INDIRECT | VQ_DESC_NEXT, 1, false },
	{ NOWHERE, 16, INDIRECT, 0, false },
	{ UINT64_MAX - 15, 16, INDIRECT, 0, false },
	{ NOWHERE, 64, VQ_DESC_WRITE, 0, true },
	{ TABLE, 32, INDIRECT, 0, true },
	{ BUFFER, 64, VQ_DESC_WRITE | VQ_DESC_NEXT, 0, true },
	{ BUFFER, 64, VQ_DESC_WRITE | VQ_DESC_NEXT, 2, true },
	{ BUFFER, 64, VQ_DESC_WRITE | VQ_DESC_NEXT, 1, true },
};

static void expect_break(void)
{
	const struct keel_answer *answer = kick();

	/* By the vector of the configuration, and once. */
	ck_assert_uint_eq(answer->inject, INJECTED(0x61));
	ck_assert_uint_eq(answer->flags & KEEL_ANSWER_DOORBELL, 0);
	ck_assert(needs_reset());
	ck_assert_uint_eq(used_count(), 0);
	mmio_write(0, PC_LAPIC + 0xb0, 0);
	ck_assert_uint_eq(kick()->inject, 0);
}

/* As good as new. */
static void expect_mended(void)
{
	memset(guest + AVAIL, 0, 4096);
	memset(guest + USED, 0, 4096);
	added = 0;
	start_modern(0);
	add_buffer(0, BUFFER, 64);
	kick();
	answer(0x10);
	event();
	ck_assert_uint_eq(used_count(), 1);
}

START_TEST(broken_chain)
{
	const struct breach *b = &breaches[_i];

	enable_messages();
	start_modern(F_INDIRECT);
	put(CONFIG_VECTOR, 2, 0);
	set_desc(DESC, 0, TABLE, 32, INDIRECT, 0);
	set_desc(b->indirect ? TABLE : DESC, 0, b->address, b->length, b->flags, b->next);
	set_desc(b->indirect ? TABLE : DESC, 1, BUFFER, 64, 0, 0);
	make_available(0);
	expect_break();
	expect_mended();
}
END_TEST

START_TEST(broken_ring)
{
	enable_messages();
	start_modern(0);
	put(CONFIG_VECTOR, 2, 0);
	set_desc(DESC, 0, BUFFER, 64, VQ_DESC_WRITE, 0);
	make_available(0);
	switch (_i) {
	case 0:
		set16(AVAIL + 2, SIZE + 1);		/* more than there are */
		break;
	case 1:
		set16(AVAIL + 4, SIZE);			/* a head that is none */
		break;
	case 2:
		set_desc(DESC, 0, TABLE, 16, INDIRECT, 0);	/* which was not agreed on */
		set_desc(TABLE, 0, BUFFER, 64, VQ_DESC_WRITE, 0);
		break;
	}
	expect_break();
	expect_mended();
}
END_TEST

/* Changed while the host fills it. */
START_TEST(broken_in_flight)
{
	start_modern(0);
	add_buffer(0, BUFFER, 64);
	add_buffer(1, BUFFER + 64, 64);
	kick();
	if (_i == 0)
		set_desc(DESC, 0, NOWHERE, 64, VQ_DESC_WRITE, 0);
	else if (_i == 1)
		set_desc(DESC, 0, BUFFER, 32, VQ_DESC_WRITE, 0);
	else
		set_desc(DESC, 0, BUFFER, 64, 0, 0);
	answer(0x10);
	answer(0x20);
	event();
	ck_assert(needs_reset());
	ck_assert_uint_eq(used_count(), 0);
	ck_assert_uint_eq(guest[BUFFER + 64], 0);
	expect_mended();
}
END_TEST

/* A queue that is nowhere, or crooked. */
START_TEST(broken_place)
{
	static const uint64_t places[][3] = {
		{ NOWHERE, AVAIL, USED }, { DESC, NOWHERE, USED }, { DESC, AVAIL, NOWHERE }, { DESC + 8, AVAIL, USED },
		{ DESC, AVAIL + 1, USED }, { DESC, AVAIL, USED + 2 }, { LOW_MEMORY - 16, AVAIL, USED },
		{ UINT64_MAX - 15, AVAIL, USED }, { DESC, UINT64_MAX - 1, USED }, { DESC, AVAIL, 0xffff0000 },
	};

	put(STATUS, 1, 3);
	accept_features(0, F_TODAY);
	put(STATUS, 1, 0xb);
	put_address(QUEUE_DESC, places[_i][0]);
	put_address(QUEUE_DRIVER, places[_i][1]);
	put_address(QUEUE_DEVICE, places[_i][2]);
	put(QUEUE_ENABLE, 2, 1);
	ck_assert(needs_reset());
	place_rings(DESC, AVAIL, USED);
	expect_mended();
}
END_TEST

START_TEST(broken_legacy_place)
{
	out(PORTS + 0x12, 3);
	out_by(0, PORTS + 8, 4, UINT32_MAX);
	ck_assert(in(PORTS + 0x12, 1) & VIRTIO_STATUS_NEEDS_RESET);
	kick();
	out(PORTS + 0x12, 0);
	start_legacy(0);
	add_buffer(0, BUFFER, 64);
	kick();
	answer(0x10);
	event();
	ck_assert_uint_eq(used_count(), 1);
}
END_TEST

/* Saved state */

START_TEST(saved)
{
	static struct virtio_state other;
	struct virtio_device *device = rng();
	struct virtio_state was;

	enable_messages();
	start_modern(F_EVENT | F_INDIRECT);
	put(QUEUE_VECTOR, 2, 1);
	add_buffer(0, BUFFER, 64);
	kick();
	answer(0x10);
	event();
	was = device->s;
	roundtrip(&virtio_state_table, SLOT, &device->s, &other);
	ck_assert_uint_eq(other.queue[0].avail_index, 1);
	ck_assert_uint_eq(other.queue[0].used_index, 1);

	/* Into one that has just been switched on, with the guest's memory as it is. */
	put(STATUS, 1, 0);
	ck_assert_uint_eq(device->s.queue[0].avail_index, 0);
	device->s = other;
	ck_assert(virtio_restored(device));
	ck_assert_int_eq(memcmp(&device->s.queue, &was.queue, sizeof(was.queue)), 0);
	set16(AVAIL + 4 + SIZE * 2u, 1);
	add_buffer(1, BUFFER, 64);
	kick();
	answer(0x20);
	event();
	ck_assert_uint_eq(used_count(), 2);

	for (unsigned int i = 0; i < 3; i++) {
		device->s = other;
		device->s.queue[0].size = (const uint16_t[]){ 0, 3, 2 * SIZE }[i];
		ck_assert(!virtio_restored(device));
	}
}
END_TEST

#define STREAM_ROOM	0x20000u

static uint8_t stream[STREAM_ROOM], again[STREAM_ROOM];
static uint64_t memory[STREAM_ROOM / 8];

static bool load(size_t bytes, struct machine_error *error)
{
	uint64_t shift;

	return machine_load(pc, stream, bytes, tsc, (uint8_t *)memory, sizeof(memory), &shift, error);
}

/* With the machine: not while it waits for the host; then as it was, wherever its BARs have got to since. */
START_TEST(saved_with_the_machine)
{
	struct machine_error error;
	uint64_t then;
	size_t bytes;

	enable_messages();
	start_modern(F_EVENT | F_INDIRECT);
	put(QUEUE_VECTOR, 2, 1);
	add_buffer(0, BUFFER, 64);
	kick();
	ck_assert_uint_eq(machine_save(pc, stream, STREAM_ROOM, &error), 0);
	ck_assert_uint_eq(error.why, MACHINE_BUSY);
	answer(0x10);
	event();
	bytes = machine_save(pc, stream, STREAM_ROOM, &error);
	ck_assert_uint_ne(bytes, 0);
	then = tsc;

	put(STATUS, 1, 0);
	pci_put(SLOT, 0, 0x20, 4, MODERN + 0x100000);
	pci_put(SLOT, 0, 0x04, 2, 3);
	tsc = then;
	ck_assert(load(bytes, &error));
	ck_assert_uint_eq(machine_save(pc, again, STREAM_ROOM, &error), bytes);
	ck_assert_mem_eq(again, stream, bytes);
	ck_assert_uint_eq(get(QUEUE_VECTOR, 2), 1);
	ck_assert_uint_eq(rng()->s.queue[0].avail_index, 1);
	add_buffer(1, BUFFER, 64);
	kick();
	answer(0x20);
	event();
	ck_assert_uint_eq(used_count(), 2);
}
END_TEST

static const struct {
	size_t offset, bytes;		/* in the device */
	uint64_t value;
	const char *field;
} wrong_states[] = {
	{ offsetof(struct virtio_device, s.queue[0].size), 2, 3, "size" },
	{ offsetof(struct virtio_device, s.queue[0].vector), 2, 2, "vector" },
	{ offsetof(struct virtio_device, s.queue[0].desc), 8, 1, "desc" },
	{ offsetof(struct virtio_device, s.queue[1].enabled), 2, 1, "enabled" },
	{ offsetof(struct virtio_device, s.config_vector), 2, 9, "config_vector" },
	{ offsetof(struct virtio_device, s.driver_features), 8, 1ull << 40, "driver_features" },
	{ offsetof(struct virtio_device, s.isr), 1, 4, "isr" },
	{ offsetof(struct virtio_device, msix.s.table[3]), 4, 2, "table" },
	{ offsetof(struct virtio_device, msix.s.pending[0]), 4, 4, "pending" },
	{ offsetof(struct virtio_device, pci.s.config[0]), 1, 1, "config" },
	{ offsetof(struct virtio_device, pci.s.msi_pending), 4, 1, "msi_pending" },
	{ offsetof(struct virtio_device, config[1]), 1, 1, "config" },
};

/* A device cannot have been there in a state like this, nor one with another configuration. */
START_TEST(wrong_states_are_refused)
{
	uint8_t *device = (uint8_t *)rng(), right[8];
	struct machine_error error;
	size_t bytes;

	enable_messages();
	start_modern(F_EVENT);
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong_states); i++) {
		uint8_t *at = device + wrong_states[i].offset;

		memcpy(right, at, wrong_states[i].bytes);
		memcpy(at, &wrong_states[i].value, wrong_states[i].bytes);
		bytes = machine_save(pc, stream, STREAM_ROOM, &error);
		memcpy(at, right, wrong_states[i].bytes);
		ck_assert_msg(!load(bytes, &error), "%s", wrong_states[i].field);
		ck_assert_uint_eq(error.why, MACHINE_WRONG_VALUE);
		ck_assert_str_eq(error.section, "virtio-rng");
		ck_assert_uint_eq(error.instance, SLOT);
		ck_assert_str_eq(error.field, wrong_states[i].field);
	}
}
END_TEST

static void add_broken(TCase *tests)
{
	tcase_add_loop_test(tests, broken_chain, 0, (int)ARRAY_SIZE(breaches));
	tcase_add_loop_test(tests, broken_ring, 0, 3);
	tcase_add_loop_test(tests, broken_in_flight, 0, 3);
	tcase_add_loop_test(tests, broken_place, 0, 10);
	tcase_add_test(tests, broken_legacy_place);
}

SUITE_OF_CASES("virtio", suite)
{
	TCase *made = add_case(suite, "made"), *plugged = add_case(suite, "plugged");

	tcase_add_checked_fixture(made, make_with_row, destroy);
	tcase_add_loop_test(made, refused_rows, 0, (int)ARRAY_SIZE(refused));
	tcase_add_test(made, several);
	tcase_add_test(made, same_slot);
	tcase_add_test(made, no_memory_left);
	tcase_add_checked_fixture(plugged, plug, destroy);
	tcase_add_test(plugged, identity);
	tcase_add_test(plugged, access_by_configuration);
	tcase_add_test(plugged, features);
	tcase_add_test(plugged, registers);
	tcase_add_test(plugged, modern);
	tcase_add_test(plugged, legacy_by_line);
	tcase_add_test(plugged, legacy_in_a_hurry);
	tcase_add_test(plugged, messages);
	tcase_add_test(plugged, legacy_vectors);
	tcase_add_test(plugged, event_indices);
	tcase_add_test(plugged, chains);
	tcase_add_test(plugged, full);
	tcase_add_test(plugged, reset_in_flight);
	tcase_add_test(plugged, no_master);
	tcase_add_test(plugged, told_while_moved);
	tcase_add_test(plugged, host_lies);
	add_broken(plugged);
	tcase_add_test(plugged, saved);
	tcase_add_test(plugged, saved_with_the_machine);
	tcase_add_test(plugged, wrong_states_are_refused);
}
