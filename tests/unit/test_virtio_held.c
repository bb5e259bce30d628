// SPDX-License-Identifier: GPL-2.0
/*
 * Virtio devices of all kinds whose host holds a request, while the guest takes something away from the device: a queue, the
 * bus, its registers, its messages. What the host is done with then goes where the guest still has it, or nowhere.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "shared/virtio_blk.h"
#include "suite.h"
#include "virtio_rig.h"

#define SLOT		16u
#define MEMORY		0x80000u
#define ENTRIES		16u		/* of the channel's queues */
#define ARENA		0x11000u
#define CHANNEL		(NET_QUEUES * (PAGE + ARENA))
#define SECTORS		64u
#define HELD		0xa5u		/* what the host has for the guest */
#define MESSAGE		0x4041u
#define F_FLUSH		(1u << 9)	/* of a disk: else there is one behind each write */

/* In the guest. */
#define RINGS(place, q)	(0x10000u + ((place) * NET_QUEUES + (q)) * 0x4000u)
enum { HEADER = 0x50000, STATUS_BYTE = 0x51000, DATA = 0x52000, VICTIM = 0x60000 };

struct buffer {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags;
};

static const struct kind {
	const char *name;
	const struct virtio_ops *ops;
	unsigned int queues;
	unsigned int number;		/* of the queue that has the request */
	uint32_t type;			/* of a disk's request */
	unsigned int buffers;
	struct buffer buffer[3];
	uint64_t fills;			/* where the host's bytes come to; 0: nowhere */
	bool at_once;			/* the guest has its buffers back before the host is done with them */
} kinds[] = {
	{ "entropy", &virtio_rng, 1, 0, 0, 1, { { DATA, 64, VQ_DESC_WRITE } }, DATA, false },
	{ "disk, read", &virtio_blk, 1, 0, KEEL_BLOCK_READ, 3,
	  { { HEADER, 16, 0 }, { DATA, 512, VQ_DESC_WRITE }, { STATUS_BYTE, 1, VQ_DESC_WRITE } }, DATA, false },
	{ "disk, write", &virtio_blk, 1, 0, KEEL_BLOCK_WRITE, 3,
	  { { HEADER, 16, 0 }, { DATA, 512, 0 }, { STATUS_BYTE, 1, VQ_DESC_WRITE } }, 0, false },
	{ "network, in", &virtio_net, NET_QUEUES, NET_QUEUE_RECEIVE, 0, 1, { { DATA, 2048, VQ_DESC_WRITE } }, DATA + 20, false },
	{ "network, out", &virtio_net, NET_QUEUES, NET_QUEUE_TRANSMIT, 0, 1, { { DATA, 80, 0 } }, 0, true },
};

static const struct kind *kind;
static struct keel_device row;
static uint8_t *before;
static bool line;
static unsigned int messages;
static unsigned int place;		/* of the rings */
static uint16_t added;

static void take_message(void *sink, uint64_t address, uint32_t data)
{
	(void)sink;
	(void)address;
	ck_assert_uint_eq(data, MESSAGE);
	messages++;
}

static void take_level(void *board, unsigned int slot, unsigned int pin, bool level)
{
	(void)board;
	(void)slot;
	(void)pin;
	line = level;
}

/* What a queue at page 0 would be taken for: a ring whose buffers are somebody else's. */
static void lay_trap(void)
{
	for (uint16_t i = 0; i < 16; i++) {
		struct vq_desc desc = { VICTIM, PAGE, VQ_DESC_WRITE | (i < 15 ? VQ_DESC_NEXT : 0), (uint16_t)(i + 1) };

		memcpy(memory + i * sizeof(desc), &desc, sizeof(desc));
	}
}

static void describe(struct keel_queue *queues)
{
	const struct virtio_blk_config disk = {
		.capacity = SECTORS, .seg_max = VIRTIO_BLK_SEGMENTS, .blk_size = KEEL_SECTOR, .num_queues = 1,
	};
	const struct net_config net = { .status = NET_STATUS_LINK_UP, .queue_pairs = 1 };

	row = (struct keel_device){ .slot = SLOT, .queues = (uint16_t)kind->queues };
	if (kind->ops == &virtio_blk) {
		row.config_bytes = sizeof(disk);
		memcpy(row.config, &disk, sizeof(disk));
	} else if (kind->ops == &virtio_net) {
		row.config_bytes = sizeof(net);
		memcpy(row.config, &net, sizeof(net));
	}
	for (unsigned int i = 0; i < kind->queues; i++)
		queues[i] = (struct keel_queue){ i * (PAGE + ARENA), ENTRIES, i * (PAGE + ARENA) + PAGE, ARENA };
	ck_assert(kind->ops->accepts(&row, queues));
}

static void plug(const struct kind *one)
{
	struct keel_queue queues[NET_QUEUES];

	kind = one;
	describe(queues);
	before = malloc(MEMORY);
	ck_assert(before);
	rig_plug(&(struct virtio_rig){
		.ops = kind->ops, .slot = SLOT, .memory_bytes = MEMORY, .channel_bytes = CHANNEL,
		.queue = queues, .queues = kind->queues, .row = &row, .set_intx = take_level, .message = take_message,
	});
	place_bars();
	lay_trap();
	line = false;
	messages = place = 0;
}

static void unplug(void)
{
	rig_unplug();
	free(before);
}

/* The guest */

static uint32_t size(void)
{
	return kind->ops->entries;
}

static uint64_t desc_at(void)
{
	return RINGS(place, kind->number);
}

static uint64_t avail_at(void)
{
	return desc_at() + size() * sizeof(struct vq_desc);
}

static uint64_t used_at(void)
{
	return (avail_at() + 6 + 2 * size() + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static uint32_t features(void)
{
	return kind->ops == &virtio_blk ? F_FLUSH : 0;
}

static void start_modern(void)
{
	added = 0;
	memset(memory + desc_at(), 0, 0x4000);
	modern_begin(features());
	modern_queue(kind->number, desc_at(), avail_at(), used_at());
	modern_ready();
}

static void place_legacy_queue(void)
{
	added = 0;
	memset(memory + desc_at(), 0, 0x4000);
	legacy_queue(kind->number, desc_at());
}

static void start_legacy(void)
{
	legacy_begin(features());
	place_legacy_queue();
	legacy_ready();
}

static void enable_messages(void)
{
	config_write(device->pci.msix_capability, 4, 0x80000000u);
	bus_write(&bus, VECTORS + 0, 4, 0xfee00000u);
	bus_write(&bus, VECTORS + 8, 4, MESSAGE);
	bus_write(&bus, VECTORS + 12, 4, 0);
	put(0x16, 2, kind->number);
	put(0x1a, 2, 0);
}

static void request(void)
{
	struct keel_block_header header = { .op = kind->type, .sector = 1 };

	memcpy(memory + HEADER, &header, sizeof(header));
	memset(memory + DATA, 0, PAGE);
	for (uint16_t i = 0; i < kind->buffers; i++) {
		bool last = i + 1u == kind->buffers;
		struct vq_desc desc = {
			kind->buffer[i].address, kind->buffer[i].bytes,
			(uint16_t)(kind->buffer[i].flags | (last ? 0 : VQ_DESC_NEXT)), last ? 0 : (uint16_t)(i + 1),
		};

		memcpy(memory + desc_at() + i * sizeof(desc), &desc, sizeof(desc));
	}
	memset(memory + avail_at() + 4 + added % size() * 2, 0, 2);
	added++;
	memcpy(memory + avail_at() + 2, &added, sizeof(added));
	put_legacy(0x10, 2, kind->number);
}

static uint16_t used_count(void)
{
	uint16_t count;

	memcpy(&count, memory + used_at() + 2, sizeof(count));
	return count;
}

/* The host */

static struct vq_chain taken;

static void take(void)
{
	ck_assert_msg(vq_device_take(&host[kind->number], &taken) && taken.good, "%s: nothing is asked for", kind->name);
}

static void fill(void)
{
	const struct net_header header = { .buffers = 1 };

	for (unsigned int i = taken.out; i < taken.out + taken.in; i++)
		memset(channel + taken.piece[i].offset, HELD, taken.piece[i].bytes);
	if (kind->ops == &virtio_blk)
		channel[taken.piece[taken.out + taken.in - 1].offset] = KEEL_BLOCK_OK;
	else if (taken.in && kind->ops == &virtio_net)
		memcpy(channel + taken.piece[0].offset, &header, sizeof(header));
}

static void give(void)
{
	fill();
	vq_device_give(&host[kind->number], taken.head, kind->ops == &virtio_net ? 80 : 64);
	virtio_work(device);
}

/* What the test asks */

static void hold(void)
{
	request();
	take();
	memcpy(before, memory, MEMORY);
}

static void expect_nothing(const char *when)
{
	for (uint32_t i = 0; i < MEMORY; i++)
		ck_assert_msg(memory[i] == before[i], "%s, %s: %#x was written", kind->name, when, i);
	ck_assert(!(device->s.status & VIRTIO_STATUS_NEEDS_RESET));
}

static void expect_done(const char *when, uint16_t count)
{
	ck_assert_msg(used_count() == count, "%s, %s: %u are done, not %u", kind->name, when, used_count(), count);
	if (kind->fills)
		ck_assert_msg(memory[kind->fills] == HELD, "%s, %s: the buffer is empty", kind->name, when);
	ck_assert(!(device->s.status & VIRTIO_STATUS_NEEDS_RESET));
}

/* The device is as good as it was: one more request goes the whole way. */
static void expect_works(const char *when, uint16_t count)
{
	request();
	take();
	give();
	expect_done(when, count);
}

/* The guest resets the device, which forgets; the host's answer comes before the driver starts again, or after. */
START_TEST(reset)
{
	for (unsigned int late = 0; late < 2; late++) {
		plug(&kinds[_i]);
		start_modern();
		hold();
		put(0x14, 1, 0);
		if (!late)
			give();
		expect_nothing("reset");
		place = 1;
		start_modern();
		if (late) {
			memcpy(before, memory, MEMORY);
			give();
			expect_nothing("started again");
		}
		expect_works("reset", 1);
		unplug();
	}
}
END_TEST

/* A legacy driver takes the queue away, and gives the device another one. */
START_TEST(queue_taken_away)
{
	plug(&kinds[_i]);
	start_legacy();
	hold();
	put_legacy(0x08, 4, 0);
	give();
	expect_nothing("taken away");
	place = 1;
	place_legacy_queue();
	virtio_work(device);
	ck_assert_uint_eq(used_count(), 0);
	expect_works("placed anew", 1);
	unplug();
}
END_TEST

/* The same, and the host is done when the other one is there: it is not the request that it was asked for. */
START_TEST(queue_replaced)
{
	plug(&kinds[_i]);
	start_legacy();
	hold();
	put_legacy(0x08, 4, 0);
	place = 1;
	place_legacy_queue();
	memcpy(before, memory, MEMORY);
	give();
	expect_nothing("replaced");
	expect_works("replaced", 1);
	unplug();
}
END_TEST

static void nothing(void)
{
}

static void master_off(void)
{
	config_write(0x04, 2, 3);
}

static void master_on(void)
{
	config_write(0x04, 2, 7);
}

static void failed(void)
{
	put(0x14, 1, 0x8f);
}

static void not_failed(void)
{
	put(0x14, 1, 0x0f);
}

static void not_ready(void)
{
	put(0x14, 1, 0x0b);
}

static void ready(void)
{
	put(0x14, 1, 0x0f);
}

static void registers_off(void)
{
	config_write(0x04, 2, 4);
}

static void registers_moved(void)
{
	config_write(0x20, 4, MODERN + 0x10000);
	config_write(0x10, 4, PORTS + 0x1000);
}

static void registers_back(void)
{
	config_write(0x20, 4, MODERN);
	config_write(0x10, 4, PORTS);
}

static void queue_changed(void)
{
	put(0x16, 2, kind->number);
	put(0x18, 2, 2);
	put(0x20, 4, VICTIM);
	put(0x28, 4, VICTIM);
	put(0x30, 4, VICTIM);
	put(0x1c, 2, 0);
}

static void other_selected(void)
{
	put(0x16, 2, 0xffff);
	put(0x18, 2, 2);
	put(0x1c, 2, 0);
}

static void messages_off(void)
{
	config_write(device->pci.msix_capability, 4, 0);
}

static void messages_masked(void)
{
	config_write(device->pci.msix_capability, 4, 0xc0000000u);
}

static void messages_on(void)
{
	config_write(device->pci.msix_capability, 4, 0x80000000u);
}

static void no_vector(void)
{
	put(0x16, 2, kind->number);
	put(0x1a, 2, VIRTIO_NO_VECTOR);
}

/* What is taken away and may come back, and when the guest has what the host is done with. */
static const struct {
	const char *what;
	void (*take_away)(void), (*bring_back)(void);
	bool waits;			/* until it is back */
	bool by_message, by_line;	/* the guest is told so, in the end */
} changes[] = {
	{ "nothing", nothing, nothing, false, true, false },
	{ "bus master off", master_off, master_on, true, true, false },
	{ "FAILED", failed, not_failed, true, true, false },
	{ "DRIVER_OK off", not_ready, ready, true, true, false },
	{ "registers off", registers_off, master_on, false, true, false },
	{ "registers moved", registers_moved, registers_back, false, true, false },
	{ "queue changed", queue_changed, nothing, false, true, false },
	{ "no queue changed", other_selected, nothing, false, true, false },
	{ "MSI-X off", messages_off, nothing, false, false, true },
	{ "MSI-X off and on", messages_off, messages_on, false, false, false },
	{ "MSI-X masked", messages_masked, messages_on, false, true, false },
	{ "no vector", no_vector, nothing, false, false, false },
};

static void expect_told(unsigned int change)
{
	ck_assert_msg(messages == changes[change].by_message, "%s, %s: %u messages", kind->name, changes[change].what, messages);
	ck_assert_msg(line == changes[change].by_line, "%s, %s: the line is %d", kind->name, changes[change].what, line);
}

START_TEST(changed)
{
	const char *what = changes[_i].what;

	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		plug(&kinds[i]);
		start_modern();
		enable_messages();
		hold();
		messages = 0;
		changes[_i].take_away();
		give();
		if (changes[_i].waits)
			expect_nothing(what);
		else
			expect_done(what, 1);
		changes[_i].bring_back();
		expect_done(what, 1);
		if (!kind->at_once)
			expect_told(_i);
		ck_assert_uint_eq(device->s.queue[kind->number].size, size());
		unplug();
	}
}
END_TEST

/*
 * A machine in which the guest has taken away what it waits for is saved, too: as soon as the host is done. A driver hears that
 * what it waits for does not come; of a disk nothing may be under way, whatever has become of its requests.
 */
START_TEST(given_up)
{
	const char *what = changes[_i].what;

	for (unsigned int i = 0; i < ARRAY_SIZE(kinds) && changes[_i].waits; i++) {
		bool lost;

		plug(&kinds[i]);
		lost = kind->ops != &virtio_net;
		start_modern();
		hold();
		ck_assert_msg(virtio_is_quiet(device) == (kind->fills && !lost), "%s", kind->name);
		changes[_i].take_away();
		ck_assert_msg(virtio_is_quiet(device) == (kind->ops != &virtio_blk), "%s, %s: not done", kind->name, what);
		give();
		ck_assert_msg(virtio_is_quiet(device), "%s, %s: done", kind->name, what);
		ck_assert_msg(virtio_is_awaited(device) == lost, "%s, %s", kind->name, what);
		expect_nothing(what);
		virtio_give_up(device);
		ck_assert(virtio_is_quiet(device) && !virtio_is_awaited(device));
		changes[_i].bring_back();
		ck_assert_msg(!(device->s.status & VIRTIO_STATUS_NEEDS_RESET) != lost, "%s, %s", kind->name, what);
		ck_assert_uint_eq(used_count(), !lost);
		place = 1;
		start_modern();
		expect_works(what, 1);
		unplug();
	}
}
END_TEST

/* A reset forgets what was asked, and a disk's may still be under way. */
START_TEST(forgotten)
{
	plug(&kinds[_i]);
	start_modern();
	hold();
	put(0x14, 1, 0);
	ck_assert(virtio_is_quiet(device) == (kind->ops != &virtio_blk));
	give();
	ck_assert(virtio_is_quiet(device));
	ck_assert(!virtio_is_awaited(device));
	unplug();
}
END_TEST

SUITE("virtio_held", tests)
{
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, reset, 0, ARRAY_SIZE(kinds));
	tcase_add_loop_test(tests, queue_taken_away, 0, ARRAY_SIZE(kinds));
	tcase_add_loop_test(tests, queue_replaced, 0, ARRAY_SIZE(kinds));
	tcase_add_loop_test(tests, changed, 0, ARRAY_SIZE(changes));
	tcase_add_loop_test(tests, given_up, 0, ARRAY_SIZE(changes));
	tcase_add_loop_test(tests, forgotten, 0, ARRAY_SIZE(kinds));
}
