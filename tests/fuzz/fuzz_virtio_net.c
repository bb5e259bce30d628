// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of the cell's network device: a guest with any frames, buffers and commands in its queues, and a resource half that
 * answers by the rules, plugs the cable in and out, and brings frames; or writes whatever it likes into the channel.
 */
#include "fuzz.h"

#include "../unit/virtio_rig.h"

#define SLOT		8u
#define MEMORY		0x40000u
#define READONLY	0x3c000u	/* from here on the guest's memory is not to be written */
#define ENTRIES		16u
#define RX_ARENA	(ENTRIES * PAGE)
#define TX_ARENA	0x11000u
#define GUEST_ENTRIES	16u
#define STATE_MOST	8192u
#define INPUT_MOST	800u

enum { RX_RING = 0, TX_RING = PAGE, CTRL_RING = 2 * PAGE, CTRL = 3 * PAGE, RX = 4 * PAGE, TX = RX + RX_ARENA,
       CHANNEL = TX + TX_ARENA };

#define DESC(q)		(0x1000u + (q) * 0x3000u)
#define AVAIL(q)	(DESC(q) + 0x1000u)
#define USED(q)		(DESC(q) + 0x2000u)
#define BUFFERS		0x10000u
#define COMMAND		0x30000u	/* where no buffer of others reaches, */
#define ANSWER		(COMMAND + 0x100u)
#define NOBODYS		0x5a

static const struct keel_queue queues[NET_QUEUES] = {
	{ RX_RING, ENTRIES, RX, RX_ARENA }, { TX_RING, ENTRIES, TX, TX_ARENA }, { CTRL_RING, ENTRIES, CTRL, PAGE },
};

static bool line, honest;
static bool up;			/* the link, as an honest host has it */
static struct vq_chain watch;	/* by which it tells of a change; not good: the cell has not asked */

static void take_message(void *sink, uint64_t address, uint32_t data)
{
	(void)sink;
	(void)address;
	(void)data;
	require(pci_function_is_master(&device->pci) && msix_enabled(&device->pci), "a message that may not be sent");
}

static void take_level(void *board, unsigned int slot, unsigned int pin, bool level)
{
	(void)board;
	require(slot == SLOT && pin == 0, "another pin");
	line = level;
}

static void plug(void)
{
	const struct net_config config = { .mac = { 2, 0, 0, 0, 0, 7 }, .status = NET_STATUS_LINK_UP, .queue_pairs = 1 };

	rig_plug(&(struct virtio_rig){
		.ops = &virtio_net, .slot = SLOT, .memory_bytes = MEMORY, .readonly = READONLY, .channel_bytes = CHANNEL,
		.queue = queues, .queues = NET_QUEUES, .config = &config, .config_bytes = sizeof(config),
		.features = NET_OFFLOADS | NET_GUEST_OFFLOADS | NET_F_MAC | NET_F_STATUS | NET_F_MRG_RXBUF | NET_F_CTRL_VQ |
			NET_F_CTRL_RX | NET_F_GUEST_ANNOUNCE,
		.set_intx = take_level, .message = take_message,
	});
	place_bars();
	line = false;
	honest = up = true;
	watch.good = false;
}

/* The guest */

static void start_driver(struct bytes *b)
{
	uint8_t how = take8(b);
	uint32_t features = how & 1 ? (uint32_t)device->features | 3u << 28 : take32(b);

	memset(memory + DESC(0), 0, DESC(NET_QUEUES) - DESC(0));
	if (how & 2) {
		legacy_begin(features);
		for (unsigned int q = 0; q < NET_QUEUES; q++)
			legacy_queue(q, DESC(q));
		legacy_ready();
		return;
	}
	modern_begin(features & (uint32_t)(device->features | 3u << 28));
	for (unsigned int q = 0; q < NET_QUEUES; q++) {
		put(0x16, 2, q);
		put(0x18, 2, GUEST_ENTRIES);
		modern_queue(q, DESC(q), AVAIL(q), USED(q));
	}
	modern_ready();
}

static void set_desc(unsigned int q, unsigned int number, uint64_t address, uint32_t bytes, uint16_t flags, unsigned int next)
{
	const struct vq_desc desc = { address, bytes, flags, (uint16_t)(next % GUEST_ENTRIES) };

	memcpy(memory + DESC(q) + number % GUEST_ENTRIES * sizeof(desc), &desc, sizeof(desc));
}

static uint16_t index_at(uint32_t ring)
{
	uint16_t index;

	memcpy(&index, memory + ring + 2, sizeof(index));
	return index;
}

static void make_available(unsigned int q, unsigned int head)
{
	const uint16_t entry = (uint16_t)(head % GUEST_ENTRIES), next_index = (uint16_t)(index_at(AVAIL(q)) + 1);

	memcpy(memory + AVAIL(q) + 4 + index_at(AVAIL(q)) % device->s.queue[q].size * 2u, &entry, sizeof(entry));
	memcpy(memory + AVAIL(q) + 2, &next_index, sizeof(next_index));
}

/* Anything, nearly anywhere: the rings are not written to, nor is what commands have. */
static void add_chain(struct bytes *b)
{
	static const uint64_t addresses[] = {
		BUFFERS, BUFFERS + 0x8000, READONLY - 32, READONLY, MEMORY - 16, UINT64_MAX - UINT8_MAX, DESC(0),
	};
	unsigned int q = take8(b) % NET_QUEUES, head = take8(b);

	for (unsigned int i = 0; i < 3; i++) {
		unsigned int where = take8(b) % 7;
		uint16_t flags = take8(b) & (where == 6 ? 7 & ~VQ_DESC_WRITE : 7);

		set_desc(q, head + i, addresses[where] + take8(b), take16(b), flags, take8(b) % 4 ? head + i + 1 : head);
	}
	make_available(q, head);
	put(0x3000, 2, q);
}

/* The rules once more, of commands that depend on nothing else. */
static uint8_t expected(const uint8_t *text, uint32_t bytes)
{
	uint32_t at = 2, count;

	if (!virtio_has(device, NET_F_CTRL_RX) || text[0] > NET_CONTROL_MAC)
		return NET_CONTROL_ERROR;
	if (text[0] == NET_CONTROL_RX)
		return text[1] <= 1 ? NET_CONTROL_OK : NET_CONTROL_ERROR;
	for (unsigned int i = 0; i < 2 && !text[1] && at + 4 <= bytes; i++) {
		memcpy(&count, text + at, sizeof(count));
		at += 4;
		if (count > 64)
			return NET_CONTROL_ERROR;
		at += 6 * count;
		if (i && at == bytes)
			return NET_CONTROL_OK;
	}
	return NET_CONTROL_ERROR;
}

/* A command, as long as it says mostly. */
static void command(struct bytes *b)
{
	const bool alone = index_at(AVAIL(NET_QUEUE_CONTROL)) == index_at(USED(NET_QUEUE_CONTROL));
	uint8_t text[64], what = take8(b), head = take8(b);
	uint32_t first = take8(b) % 4, second = take8(b) % 4, bytes = 10 + 6 * (first + second), cut;

	for (unsigned int i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(what * i);
	text[0] = what % 8;
	text[1] = what >> 3 & 3;
	memcpy(text + 2, &first, sizeof(first));
	memcpy(text + 6 + 6 * first, &second, sizeof(second));
	if (what & 0x80)
		text[2 + take8(b) % 8] = take8(b);
	if (what & 0x40)
		bytes = 2 + take8(b) % (sizeof(text) - 2);
	cut = 1 + take8(b) % (bytes - 1);
	memcpy(memory + COMMAND, text, sizeof(text));
	/* In two pieces, so that numbers lie across them. */
	set_desc(NET_QUEUE_CONTROL, head, COMMAND, cut, VQ_DESC_NEXT, head + 1u);
	set_desc(NET_QUEUE_CONTROL, head + 1u, COMMAND + cut, bytes - cut, VQ_DESC_NEXT, head + 2u);
	set_desc(NET_QUEUE_CONTROL, head + 2u, ANSWER, 1, VQ_DESC_WRITE, 0);
	memory[ANSWER] = NOBODYS;
	make_available(NET_QUEUE_CONTROL, head);
	put(0x3000, 2, NET_QUEUE_CONTROL);
	require(!alone || memory[ANSWER] == NOBODYS || text[0] == NET_CONTROL_ANNOUNCE ||
		memory[ANSWER] == expected(text, bytes), "another answer");
}

/* The resource half */

static void answer(const struct vq_chain *chain, uint8_t with)
{
	channel[chain->piece[chain->out].offset] = with;
	vq_device_give(&host[NET_QUEUE_CONTROL], chain->head, 1);
}

static void take_commands(void)
{
	struct vq_chain chain;

	while (vq_device_take(&host[NET_QUEUE_CONTROL], &chain)) {
		require(!honest || (chain.good && chain.out == 1 && chain.in == 1), "a command that is none");
		if (!honest && (!chain.good || !chain.in)) {
			vq_device_give(&host[NET_QUEUE_CONTROL], chain.head, 0);
		} else if (chain.piece[0].bytes == sizeof(struct net_control_link)) {
			require(!honest || (!watch.good && channel[chain.piece[0].offset + 1] == up),
				"it knows the link otherwise");
			watch = chain;
		} else {
			answer(&chain, NET_CONTROL_OK);
		}
	}
}

static void change_link(void)
{
	take_commands();
	if (!watch.good)
		return;
	up = !up;
	watch.good = false;
	answer(&watch, NET_CONTROL_OK);
	virtio_event(device);
	take_commands();
	require(!honest || watch.good, "it does not ask for the next change");
}

static void take_frames(void)
{
	struct vq_chain chain;

	while (vq_device_take(&host[NET_QUEUE_TRANSMIT], &chain)) {
		require(!honest || (chain.good && chain.out == 1 && !chain.in && chain.piece[0].bytes > NET_HEADER_BYTES),
			"a frame that is none");
		vq_device_give(&host[NET_QUEUE_TRANSMIT], chain.head, 0);
	}
	virtio_event(device);
}

static void bring_frame(struct bytes *b)
{
	struct net_header header = { .flags = take8(b) & 3, .gso_type = take8(b) & 0x85, .buffers = take8(b) % 4 };
	struct vq_chain chain;

	if (!vq_device_take(&host[NET_QUEUE_RECEIVE], &chain))
		return;
	require(!honest || (chain.good && chain.in == 1 && chain.piece[0].bytes == NET_BUFFER_BYTES), "a buffer that is none");
	if (chain.good && chain.in)
		memcpy(channel + chain.piece[0].offset, &header, sizeof(header));
	vq_device_give(&host[NET_QUEUE_RECEIVE], chain.head, take16(b));
	virtio_event(device);
}

static void scribble(struct bytes *b)
{
	honest = false;
	for (unsigned int i = take8(b) % 8; i; i--)
		channel[take32(b) % CHANNEL] = take8(b);
	virtio_event(device);
}

/* Saved and loaded into itself; its configuration is what it may be. */
static void move(void)
{
	static uint8_t one[STATE_MOST], two[STATE_MOST];
	const struct state_table *table = &virtio_state_table;
	const void *const states[] = { &device->pci.s, &device->msix.s, &device->s, device->config };
	size_t used = state_save(table, SLOT, &device->s, one, sizeof(one));

	require(!virtio_device_ops.valid(device, states, 0), "a state of its own that cannot be");
	require(used && state_load(table, SLOT, &device->s, one, used) == used, "not saved or loaded");
	require(virtio_restored(device), "a state that cannot be");
	require(state_save(table, SLOT, &device->s, two, sizeof(two)) == used && !memcmp(one, two, used), "another state");
}

static void act(struct bytes *b, unsigned int what)
{
	switch (what) {
	case 0:
		start_driver(b);
		return;
	case 1:
	case 2:
		add_chain(b);
		return;
	case 3:
	case 4:
	case 5:
		command(b);
		return;
	case 6:
		put(0x14, 1, take8(b));
		return;
	case 7:
	case 8:
		change_link();
		return;
	case 9:
	case 10:
		take_frames();
		return;
	case 11:
	case 12:
		bring_frame(b);
		return;
	case 13:
		move();
		return;
	case 14:
		if (take8(b) % 4 == 0)
			scribble(b);
		return;
	default:
		take_commands();
		virtio_event(device);
		return;
	}
}

static void check_config(uint8_t generation, const uint8_t *before)
{
	uint16_t status;

	memcpy(&status, device->config + offsetof(struct net_config, status), sizeof(status));
	require(!(status & ~(NET_STATUS_LINK_UP | NET_STATUS_ANNOUNCE)), "a status that is none");
	require(!honest || !(status & NET_STATUS_LINK_UP) == !up, "another link");
	require(!memcmp(before, device->config, KEEL_DEVICE_CONFIG) || generation != device->s.generation ||
		!virtio_runs(device), "another configuration of the same generation");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t readonly[MEMORY - READONLY];
	uint8_t config[KEEL_DEVICE_CONFIG];
	struct bytes b = { data, size };

	plug();
	memcpy(readonly, memory + READONLY, sizeof(readonly));
	while (b.left) {
		unsigned int what = take8(&b) % 16;
		uint8_t generation = device->s.generation;

		memcpy(config, device->config, sizeof(config));
		act(&b, what);
		require(!memcmp(readonly, memory + READONLY, sizeof(readonly)), "read-only memory was written");
		check_config(generation, config);
	}
	rig_unplug();
	return 0;
}

/* A driver that means well first, and now and then. */
static size_t make_input(uint8_t *input, uint64_t *state)
{
	size_t used = 0;

	while (used + 16 < INPUT_MOST) {
		uint64_t r = next(state);

		if (!used || r % 64 == 0) {
			input[used++] = 0;
			input[used++] = 1;
		}
		for (unsigned int i = 0; i < 6; i++)
			input[used++] = (uint8_t)(next(state) >> 24);
	}
	return used;
}

const struct fuzz_target fuzz_target = { 1500, INPUT_MOST, make_input };
