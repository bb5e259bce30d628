// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of a virtio device, the entropy device: a guest that writes registers of both kinds,
 * configuration space and its rings, and a host that answers, or writes whatever it likes into the
 * channel's queue.
 */
#include "fuzz.h"

#include "shared/virtio_id.h"
#include "../unit/virtio_rig.h"

#define SLOT		4u
#define MODERN_BYTES	0x4000u
#define MEMORY		0x4000u		/* of the guest: ... */
#define READONLY	0x3000u		/* ... from here on not to be written */
#define ENTRIES		16u
#define CHANNEL_BYTES	(2 * PAGE)
#define STATE_MOST	8192u

enum { RING_DESC = 0x1000, RING_AVAIL = 0x1400, RING_USED = 0x2000, BUFFERS = 0x2400, TABLE = 0x2800 };

static bool line;
static unsigned long messages;

static void take_message(void *sink, uint64_t address, uint32_t data)
{
	(void)sink;
	(void)address;
	(void)data;
	require(pci_function_is_master(&device->pci) && msix_enabled(&device->pci), "a message that may not be sent");
	messages++;
}

static void take_level(void *board, unsigned int slot, unsigned int pin, bool level)
{
	(void)board;
	require(slot == SLOT && pin == 0, "another pin");
	require(!level || !msix_enabled(&device->pci), "a line beside messages");
	line = level;
}

static void plug(void)
{
	static const struct keel_queue queue = { 0, ENTRIES, PAGE, PAGE };

	rig_plug(&(struct virtio_rig){
		.ops = &virtio_rng, .slot = SLOT, .memory_bytes = MEMORY, .readonly = READONLY, .channel_bytes = CHANNEL_BYTES,
		.queue = &queue, .queues = 1, .features = virtio_rng.features,
		.set_intx = take_level, .message = take_message,
	});
}

static void config_read(unsigned int reg, unsigned int bytes)
{
	pci_write(&pci, 0, 4, 0x80000000u | SLOT << 11 | (reg & 0xfc));
	pci_read(&pci, 4 + (reg & 3), bytes);
}

static void start_modern(uint32_t features)
{
	place_bars();
	modern_begin(features);
	modern_queue(0, RING_DESC, RING_AVAIL, RING_USED);
	modern_ready();
}

static void start_legacy(uint32_t features)
{
	place_bars();
	legacy_begin(features);
	legacy_queue(0, RING_DESC);
	legacy_ready();
}

static void start_driver(struct bytes *b)
{
	uint8_t how = take8(b);
	uint32_t features = (uint32_t)(how >> 4 & 3) << 28;

	if (how & 1)
		start_legacy(features);
	else
		start_modern(features);
	if (how & 2) {
		memset(memory + RING_AVAIL, 0, 256);
		memset(memory + RING_USED, 0, 1024);
	}
	if (how & 4) {
		config_write(device->pci.msix_capability, 4, 0x80000000u);
		bus_write(&bus, VECTORS + 12, 4, how & 8 ? 1 : 0);
		put(0x1a, 2, 0);
	}
}

/* A descriptor, somewhere in the ring or a table, and perhaps one more chain. */
static void add_chain(struct bytes *b)
{
	static const uint64_t addresses[] = {
		BUFFERS, BUFFERS + 64, TABLE, RING_USED, RING_DESC, READONLY - 32, READONLY, MEMORY - 16, UINT64_MAX - 15, 0,
	};
	uint8_t what = take8(b), number = take8(b);
	uint64_t table = what & 1 ? TABLE : RING_DESC;
	struct vq_desc desc = {
		.address = addresses[take8(b) % 10], .length = take8(b) * (what & 2 ? 16u : 1u), .flags = take8(b) & 7,
		.next = take8(b) & 0x4f,
	};
	uint16_t index;

	memcpy(memory + table + (number & 63) * sizeof(desc), &desc, sizeof(desc));
	if (what & 0x10)
		return;
	memcpy(&index, memory + RING_AVAIL + 2, sizeof(index));
	memcpy(memory + RING_AVAIL + 4 + index % 64 * 2u, &(uint16_t){ what & 0x20 ? number : number & 63 }, sizeof(uint16_t));
	index++;
	memcpy(memory + RING_AVAIL + 2, &index, sizeof(index));
}

static void write_memory(struct bytes *b)
{
	static const uint16_t places[] = {
		RING_AVAIL, RING_AVAIL + 2, RING_USED, RING_DESC, TABLE, RING_AVAIL + 132, RING_USED + 516,
	};
	unsigned int at = places[take8(b) % 7] + take8(b) % 32u;

	memory[at] = take8(b);
}

static void access_modern(struct bytes *b)
{
	static const uint16_t pages[] = { 0, 0, 0, 0x1000, 0x2000, 0x3000 };
	uint8_t what = take8(b);
	unsigned int bytes = 1u << what % 4, offset = pages[take8(b) % 6] + (take8(b) & (0x3fu & ~(bytes - 1)));

	if (what & 0x80)
		bus_read(&bus, MODERN + offset, bytes);
	else
		bus_write(&bus, MODERN + offset, bytes, what & 0x40 ? take8(b) : take32(b));
}

static void access_legacy(struct bytes *b)
{
	uint8_t what = take8(b), port = take8(b) & 0x1f;
	unsigned int bytes = 1u << what % 3;

	if (what & 0x80)
		bus_port_read(&bus, (uint16_t)(PORTS + port), bytes);
	else
		bus_port_write(&bus, (uint16_t)(PORTS + port), bytes, what & 0x40 ? take8(b) : take32(b));
}

static void access_config(struct bytes *b)
{
	uint8_t what = take8(b), reg = take8(b);
	unsigned int bytes = 1u << what % 3;

	if (what & 0x20)
		reg = (uint8_t)(device->access_capability + reg % 20);
	if (what & 0x80)
		config_read(reg, bytes);
	else
		config_write(reg, bytes, what & 0x40 ? take8(b) : take32(b));
}

static void be_host(struct bytes *b)
{
	uint8_t what = take8(b);
	struct vq_chain chain;

	if (what & 0x80) {
		channel[take16(b) % CHANNEL_BYTES] = take8(b);
	} else if (vq_device_take(host, &chain)) {
		require(!chain.good || (chain.in == 1 && !chain.out && chain.piece[0].bytes <= PAGE), "a request that is none");
		if (chain.good)
			memset(channel + chain.piece[0].offset, 0xa5, chain.piece[0].bytes);
		vq_device_give(host, chain.head, what & 0x40 ? take32(b) : PAGE);
	}
	virtio_work(device);
}

/* Saved and loaded into itself, switched off and on in between. */
static void move(void)
{
	static uint8_t one[STATE_MOST], two[STATE_MOST];
	const struct state_table *table = &virtio_state_table;
	size_t used = state_save(table, SLOT, &device->s, one, sizeof(one));

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
	case 3:
		add_chain(b);
		return;
	case 4:
		write_memory(b);
		return;
	case 5:
	case 6:
		access_modern(b);
		return;
	case 7:
		access_legacy(b);
		return;
	case 8:
		access_config(b);
		return;
	case 9:
	case 10:
	case 11:
		bus_port_write(&bus, PORTS + 0x10, 2, 0);
		return;
	case 12:
		move();
		return;
	default:
		be_host(b);
		return;
	}
}

static bool is_guests_own(unsigned int what)
{
	return what <= 4;
}

static void check_state(void)
{
	const struct virtio_queue_state *queue = &device->s.queue[0];
	bool pending = pci_function_get(&device->pci, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT;
	bool disabled = pci_function_get(&device->pci, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE;

	require(queue->size && !(queue->size & (queue->size - 1)) && queue->size <= virtio_rng.entries, "a size that cannot be");
	require(queue->vector < 2 || queue->vector == VIRTIO_NO_VECTOR, "a vector that is not there");
	require(line == (pending && !disabled && !msix_enabled(&device->pci)), "a line that is not the function's");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t before[MEMORY];
	struct bytes b = { data, size };

	line = false;
	plug();
	while (b.left) {
		unsigned int what = take8(&b) % 16;
		bool ran = virtio_runs(device);

		memcpy(before, memory, MEMORY);
		act(&b, what);
		require(!memcmp(before + READONLY, memory + READONLY, MEMORY - READONLY), "read-only memory was written");
		require(ran || virtio_runs(device) || device->s.status & VIRTIO_STATUS_NEEDS_RESET || is_guests_own(what) ||
			!memcmp(before, memory, MEMORY), "a device that may not has written to memory");
		check_state();
	}
	rig_unplug();
	return 0;
}

#define INPUT_MOST	800u

/* Random bytes, in which a driver that means well is found often. */
static size_t make_input(uint8_t *input, uint64_t *state)
{
	size_t used = 0;

	while (used + 16 < INPUT_MOST) {
		uint64_t r = next(state);

		if (r % 64 == 0 || !used) {
			input[used] = 0;
			input[used + 1] = (uint8_t)((r >> 8 & 0x3f) | 2);
			used += 2;
		} else if (r % 4 == 0) {
			/* A buffer, a notification, an answer. */
			const uint8_t chain[] = {
				1, 0, (uint8_t)(r >> 8 & 63), (uint8_t)(r >> 16 & 1), (uint8_t)(r >> 24), 2, 0, 9, 13, 0,
			};

			memcpy(input + used, chain, sizeof(chain));
			used += sizeof(chain);
		} else {
			for (unsigned int i = 0; i < 8; i++)
				input[used + i] = (uint8_t)(next(state) >> 24);
			used += 1 + r / 4 % 8;
		}
	}
	return used;
}

const struct fuzz_target fuzz_target = { 2000, INPUT_MOST, make_input };
