// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of what the channel says of the machine: that of a good one, with a virtio device of each kind, of which some bytes
 * are others, and rows more than it has. Either it is refused, or it keeps to the rules of keel/channel.h; then it is used by a
 * guest, while the resource half writes anything anywhere.
 */
#define RIG_APICS	KEEL_MAX_VCPUS
#include "fuzz_check.h"

#include "../unit/busy_virtio.h"

#define INPUT_MOST	300u
#define CHANGES_MOST	6u
#define ROWS_MOST	40u		/* that are added at once */
#define LOW_BYTES	0x10000u	/* of guest memory, that an input may find as another one has left it */
#define DEVICES		(RIG_DEVICES + VIRTIO_DEVICES)
#define QUEUES		(RIG_QUEUES + VIRTIO_QUEUES)

/* Where changes go: what is in use of the description, and a little more. */
static const struct part {
	size_t at, bytes;
} parts[] = {
	{ 0, offsetof(struct keel_machine, device) },
	{ offsetof(struct keel_machine, device), (DEVICES + 1) * sizeof(struct keel_device) },
	{ offsetof(struct keel_machine, queue), (QUEUES + 1) * sizeof(struct keel_queue) },
	{ offsetof(struct keel_machine, aperture), KEEL_APERTURES * sizeof(struct keel_aperture_bound) },
	{ offsetof(struct keel_machine, item), 3 * sizeof(struct keel_item) },
};

static uint8_t *good;			/* the channel of a good machine, all of it */

static void set_up(void)
{
	make();
	add_virtio();
	/* A description may ask for as much as there can be; what is not touched costs nothing. */
	munmap(guest, GUEST_BYTES);
	guest = mmap(NULL, KEEL_CELL_GUEST_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	require(guest != MAP_FAILED, "no memory");
	good = malloc(channel->c.bytes);
	require(good != NULL, "no memory");
	memcpy(good, channel, channel->c.bytes);
}

/* A machine that was never entered. */
static void start_again(void)
{
	memcpy(channel, good, ((const struct keel_channel *)good)->bytes);
	memset(pc, 0, sizeof(*pc));
	memset(ctx, 0, sizeof(ctx));
	memset(apics, 0, sizeof(apics));
	memset(guest, 0, LOW_BYTES);
	tsc = TSC_START;
}

/* The description */

/* Rows like one that there is, with queues like its own, somewhere. */
static void add_rows(struct bytes *b, struct keel_machine *m)
{
	unsigned int from = take8(b) % DEVICES, count = take8(b) % ROWS_MOST;
	uint8_t slot = take8(b), first = (uint8_t)(m->device[from].first_queue % QUEUES);
	unsigned int queues = m->device[from].queues % (VIRTIO_QUEUES + 1);

	for (unsigned int i = 0; i < count && m->devices < KEEL_DEVICES && m->queues + queues <= KEEL_QUEUES; i++) {
		struct keel_device *row = &m->device[m->devices++];

		*row = m->device[from];
		row->slot = (uint16_t)(slot + i) % 40;
		row->first_queue = (uint16_t)m->queues;
		for (unsigned int q = 0; q < queues; q++)
			m->queue[m->queues++] = m->queue[first + q];
	}
}

/* A row or a queue becomes what another one is. */
static void copy_element(struct bytes *b, struct keel_machine *m)
{
	unsigned int to = take8(b), from = take8(b);

	if (to & 0x80)
		m->queue[to % QUEUES] = m->queue[from % QUEUES];
	else
		m->device[to % DEVICES] = m->device[from % DEVICES];
}

/* What fields are compared with, and what is beside it. */
static uint32_t take_value(struct bytes *b)
{
	static const uint32_t values[] = {
		0, 0x100, KEEL_SECTOR, KEEL_DEVICE_CONFIG, KEEL_PAGE_SIZE, KEEL_BLOCK_ENTRIES, KEEL_BLOCK_ENTRIES_MOST,
		KEEL_BLOCK_ARENA, KEEL_STREAM_ENTRIES_MOST, KEEL_MESSAGE_ENTRIES, KEEL_BLOCK_RANGE_MOST,
		KEEL_TRANSFER_RING_LEAST + (uint32_t)KEEL_PAGE_SIZE,
		PC_LOW_MEMORY_LEAST, (uint32_t)PC_LOW_MEMORY_MOST, PC_FIRMWARE_MOST, 1u << 31, UINT32_MAX,
	};
	uint8_t how = take8(b);

	if (how < 0x80)
		return values[how % ARRAY_SIZE(values)] + take8(b) % 5 - 2;
	if (how < 0xc0)
		return take32(b) % (uint32_t)channel->c.bytes & ~(uint32_t)(KEEL_PAGE_SIZE - 1);
	return take32(b);
}

static void change_field(struct bytes *b, uint8_t *place)
{
	uint32_t value;

	memcpy(&value, place, sizeof(value));
	value = take8(b) % 4 ? take_value(b) : value + take8(b) % 5 - 2;
	memcpy(place, &value, sizeof(value));
}

static void change(struct bytes *b)
{
	struct keel_machine *m = &channel->c.machine;
	uint8_t how = take8(b);
	const struct part *part = &parts[how / 8 % ARRAY_SIZE(parts)];
	size_t at = part->at + take16(b) % part->bytes;

	switch (how % 8) {
	case 0:
		add_rows(b, m);
		break;
	case 1:
		copy_element(b, m);
		break;
	case 2:
	case 3:
		((uint8_t *)m)[at] ^= (uint8_t)(1u << take8(b) % 8);
		break;
	case 4:
		((uint8_t *)m)[at] = take8(b);
		break;
	default:
		change_field(b, (uint8_t *)m + at - at % sizeof(uint32_t));
		break;
	}
}

/* The rules, once more */

static void check_place(uint64_t offset, uint64_t bytes)
{
	require(offset >= sizeof(struct keel_channel) && offset + bytes <= channel->c.bytes,
		"what is not in the channel is taken");
}

static void check_places(const struct keel_machine *m)
{
	require(m->queues <= KEEL_QUEUES && m->devices <= KEEL_DEVICES && m->items <= KEEL_ITEMS,
		"more than there can be is taken");
	for (unsigned int i = 0; i < m->queues; i++) {
		require(vq_entries_are_good(m->queue[i].entries) && m->queue[i].arena_bytes, "a queue is taken that is none");
		check_place(m->queue[i].ring, vq_bytes(m->queue[i].entries));
		check_place(m->queue[i].arena, m->queue[i].arena_bytes);
	}
	for (unsigned int i = 0; i < m->items; i++)
		check_place(m->item[i].offset, m->item[i].size);
	for (unsigned int i = 0; i < KEEL_APERTURES; i++)
		if (m->aperture[i].bytes)
			check_place(m->aperture[i].offset, m->aperture[i].bytes);
	check_place(m->firmware, m->firmware_bytes);
	if (m->transfer_bytes)
		check_place(m->transfer, m->transfer_bytes);
}

static bool is_same_place(const struct keel_device *one, const struct keel_device *other)
{
	bool pci = one->type >= KEEL_DEVICE_VIRTIO, ide = one->type <= KEEL_DEVICE_IDE_CDROM;

	if (pci || ide)
		return one->slot == other->slot && pci == (other->type >= KEEL_DEVICE_VIRTIO) &&
		       ide == (other->type <= KEEL_DEVICE_IDE_CDROM);
	return one->type == other->type;
}

static void check_rows(const struct keel_machine *m)
{
	unsigned int queues = 0;

	for (unsigned int i = 0; i < m->devices; i++) {
		const struct keel_device *row = &m->device[i];

		require(row->type != KEEL_DEVICE_NONE && row->config_bytes <= KEEL_DEVICE_CONFIG, "a row is taken that is none");
		require(row->first_queue == queues, "a queue of two devices, or of none");
		queues += row->queues;
		for (unsigned int j = 0; j < i; j++)
			require(!is_same_place(row, &m->device[j]), "two devices in one place");
	}
	require(queues == m->queues, "a queue of no device");
}

static void check_accepted(const struct keel_machine *m)
{
	require(m->vcpus && m->vcpus <= KEEL_MAX_VCPUS, "vCPUs that there cannot be");
	require(m->low_memory <= PC_LOW_MEMORY_MOST && m->high_memory <= KEEL_CELL_GUEST_MAX - PC_HIGH_MEMORY,
		"memory that there cannot be");
	check_places(m);
	check_rows(m);
	require(!memcmp(&pc->machine, m, sizeof(*m)), "another machine than the one described");
}

/* Its use */

static void answer(struct bytes *b)
{
	const struct keel_queue *queue = &pc->machine.queue[take8(b) % pc->machine.queues];
	struct vq_device device;
	struct vq_chain chain;
	uint8_t fill = take8(b);

	vq_device_init(&device, channel, queue->ring, queue->entries, queue->arena, queue->arena_bytes);
	device.avail_index = device.used_index = vq_used_head((uint8_t *)channel + queue->ring, queue->entries)->index;
	for (unsigned int i = 0; i < 4 && vq_device_take(&device, &chain); i++) {
		for (unsigned int j = chain.out; j < chain.out + chain.in; j++)
			memset((uint8_t *)channel + chain.piece[j].offset, fill & 1 ? take8(b) : 0, chain.piece[j].bytes);
		vq_device_give(&device, chain.head, fill & 2 ? take32(b) : 64);
	}
	event();
}

static void write_anywhere(struct bytes *b)
{
	size_t room = channel->c.bytes - sizeof(channel->c);

	((uint8_t *)channel)[sizeof(channel->c) + take32(b) % room] = take8(b);
}

static void access_port(struct bytes *b)
{
	static const uint16_t ports[] = {
		0x1f2, 0x1f3, 0x1f4, 0x1f6, 0x1f7, 0x1f0, 0x172, 0x173, 0x174, 0x176, 0x177, 0x170, 0x3f8, 0x3f9, 0x402,
		0x510, 0x511, 0x514, 0x518, 0x70, 0x71, 0xb000, 0xb004, 0xc000, 0xc002,
	};
	unsigned int what = take8(b);
	uint16_t port = ports[take8(b) % ARRAY_SIZE(ports)];
	uint8_t size = port == 0x510 ? 2 : port == 0x514 || port == 0x518 ? 4 : port == 0x1f0 || port == 0x170 ? 2 : 1;

	if (what & 0x80)
		in(port, size);
	else
		out_by(0, port, size, size == 1 ? take8(b) : take32(b));
}

static void access_pci(struct bytes *b)
{
	unsigned int what = take8(b), slot = take8(b) % 32;

	if (what & 0x80)
		pci_get(slot, 0, what & 0x7c);
	else
		pci_put(slot, 0, what & 0x7c, 4, take32(b));
}

/* One of the first ones, whose kind is what the row says. */
static void start_driver(struct bytes *b, unsigned int d)
{
	unsigned int slot = pc->virtio[d]->row->slot;

	pci_put(slot, 0, 0x14, 4, VIRTIO_MSIX(d));
	pci_put(slot, 0, 0x20, 4, VIRTIO_BAR(d));
	pci_put(slot, 0, 0x04, 2, 7);
	start_virtio(d, take32(b));
}

static void access_virtio(struct bytes *b)
{
	unsigned int what = take8(b), d = what % VIRTIO_DEVICES;
	unsigned int q = virtio_rows[d].first_queue + what / 4 % virtio_rows[d].queues;
	uint16_t head = what / 16 % 4 * 4;

	if (d >= pc->virtio_devices)
		return;
	if (what >= 0xc0) {
		start_driver(b, d);
	} else if (what >= 0x80) {
		/* A request, or parts of one. */
		for (unsigned int i = 0; i < 3; i++)
			set_virtio_desc(q, head + i, &(struct vq_desc){
				GUEST_DATA + i * 0x400u, i == 1 ? take16(b) : i ? 1 : 16,
				(uint16_t)((take8(b) & VQ_DESC_WRITE) | (i < 2 ? VQ_DESC_NEXT : 0)), (uint16_t)(head + i + 1),
			});
		guest[GUEST_DATA] = take8(b) & 15;
		make_available(d, q, head);
	} else if (what & 0x40) {
		virtio_get(d, 0x2000u + (take8(b) & 0x3cu), 4);
	} else {
		ask_virtio(d, head);
	}
}

static void use(struct bytes *b)
{
	unsigned int vcpu;

	switch (take8(b) % 8) {
	case 0:
		event();
		break;
	case 1:
		answer(b);
		break;
	case 2:
		write_anywhere(b);
		break;
	case 3:
		access_pci(b);
		break;
	case 4:
	case 5:
		access_virtio(b);
		break;
	case 6:
		vcpu = take8(b) % pc->machine.vcpus;
		mmio(vcpu, 0xa1, PC_LAPIC + (take8(b) & 0x3fu) * 0x10u);
		poll(vcpu);
		break;
	default:
		access_port(b);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct keel_machine described;
	struct bytes b = { data, size };
	unsigned int changes = take8(&b) % CHANGES_MOST;
	const struct keel_answer *first;

	if (!good)
		set_up();
	start_again();
	for (unsigned int i = 0; i < changes; i++)
		change(&b);
	described = channel->c.machine;
	first = event();
	if (first->action == KEEL_ACTION_END) {
		require(changes, "a good machine is refused");
		require(first->end == KEEL_END_CELL_REFUSED && first->detail && first->detail <= CELL_REFUSED_STATISTICS,
			"a machine is refused without a reason");
		require(poll(0)->action == KEEL_ACTION_END, "a machine runs that was refused");
		return 0;
	}
	check_accepted(&described);
	/* Nobody looks at it again. */
	memset(&channel->c.machine, take8(&b), sizeof(channel->c.machine));
	require(poll(0)->flags & KEEL_ANSWER_SREGS, "no vCPU");
	for (unsigned int i = 0; i < pc->machine.vcpus; i++)
		flat(i);
	while (b.left && !pc->end)
		use(&b);
	return 0;
}

static size_t make_input(uint8_t *input, uint64_t *state)
{
	return fuzz_make_bytes(input, INPUT_MOST, state);
}

const struct fuzz_target fuzz_target = { 2000, INPUT_MOST, make_input };
