// SPDX-License-Identifier: GPL-2.0
/* The register half's end of the channel: checks, and what is told. */
#include "machine/link.h"

#include <keel/cell.h>
#include <keel/macros.h>
#include <keel/topology.h>

#include "core/clock.h"
#include "core/string.h"
#include "pci/pci.h"
#include "shared/pc_map.h"
#include "shared/vq.h"

#define LOAD(p)			__atomic_load_n(&(p), __ATOMIC_ACQUIRE)

static bool inside(uint64_t channel_bytes, uint32_t offset, uint32_t bytes)
{
	return offset >= sizeof(struct keel_channel) && offset <= channel_bytes && bytes <= channel_bytes - offset;
}

static bool queue_is_good(const struct keel_queue *queue, uint64_t channel_bytes)
{
	return vq_entries_are_good(queue->entries) && queue->ring % sizeof(struct vq_desc) == 0 &&
	       queue->arena % KEEL_PAGE_SIZE == 0 && queue->arena_bytes && queue->arena_bytes % KEEL_PAGE_SIZE == 0 &&
	       inside(channel_bytes, queue->ring, (uint32_t)vq_bytes(queue->entries)) &&
	       inside(channel_bytes, queue->arena, queue->arena_bytes);
}

static bool queues_are_good(const struct keel_machine *machine, uint64_t channel_bytes)
{
	if (machine->queues > KEEL_QUEUES)
		return false;
	for (unsigned int i = 0; i < machine->queues; i++)
		if (!queue_is_good(&machine->queue[i], channel_bytes))
			return false;
	return true;
}

const struct link_kind *link_find_kind(const struct keel_device *row)
{
	uint32_t type = row->type < KEEL_DEVICE_VIRTIO ? row->type : KEEL_DEVICE_VIRTIO;

	for (unsigned int i = 0; i < link_kind_count; i++)
		if (link_kinds[i]->type == type)
			return link_kinds[i];
	return NULL;
}

static bool has_place(const struct link_kind *kind, const struct keel_device *row)
{
	switch (kind->place) {
	case LINK_PLACE_PCI:
		return row->slot >= PC_SLOT_FREE && row->slot < PCI_SLOTS;
	case LINK_PLACE_IDE:
		return row->slot < KEEL_DRIVES;
	case LINK_PLACE_ALONE:
		return row->slot == 0;
	}
	return false;
}

/* None of the rows before it, which are good ones, is of a device in the same place. */
static bool place_is_free(const struct keel_machine *machine, unsigned int number, const struct link_kind *kind)
{
	const struct keel_device *row = &machine->device[number];

	for (unsigned int i = 0; i < number; i++) {
		const struct keel_device *other = &machine->device[i];

		if (other->slot == row->slot && link_find_kind(other)->place == kind->place &&
		    (kind->place != LINK_PLACE_ALONE || other->type == row->type))
			return false;
	}
	return true;
}

static bool takes_messages(const struct keel_queue *queues, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (queues[i].entries > KEEL_MESSAGE_ENTRIES)
			return false;
	return true;
}

static bool device_is_good(const struct keel_machine *machine, unsigned int number)
{
	const struct keel_device *row = &machine->device[number];
	const struct keel_queue *queues = &machine->queue[row->first_queue];
	const struct link_kind *kind = link_find_kind(row);

	return kind && has_place(kind, row) && place_is_free(machine, number, kind) &&
	       (!kind->queues || row->queues == kind->queues) && row->config_bytes <= KEEL_DEVICE_CONFIG &&
	       takes_messages(queues + row->queues - kind->messages, kind->messages) &&
	       (!kind->accepts || kind->accepts(row, queues));
}

/* Each queue is one device's. */
static bool devices_are_good(const struct keel_machine *machine)
{
	unsigned int queues = 0;

	if (machine->devices > KEEL_DEVICES)
		return false;
	for (unsigned int i = 0; i < machine->devices; i++) {
		const struct keel_device *device = &machine->device[i];

		if (device->first_queue != queues || device->queues > machine->queues - queues || !device->queues ||
		    !device_is_good(machine, i))
			return false;
		queues += device->queues;
	}
	return queues == machine->queues;
}

static bool memory_is_good(const struct keel_machine *machine)
{
	return machine->low_memory >= PC_LOW_MEMORY_LEAST && machine->low_memory <= PC_LOW_MEMORY_MOST &&
	       machine->high_memory <= KEEL_CELL_GUEST_MAX - PC_HIGH_MEMORY &&
	       machine->low_memory % KEEL_PAGE_SIZE == 0 && machine->high_memory % KEEL_PAGE_SIZE == 0;
}

static bool firmware_is_good(const struct keel_machine *machine, uint64_t channel_bytes)
{
	return machine->firmware_bytes >= PC_FIRMWARE_LEAST && machine->firmware_bytes <= PC_FIRMWARE_MOST &&
	       machine->firmware_bytes % KEEL_PAGE_SIZE == 0 &&
	       inside(channel_bytes, machine->firmware, machine->firmware_bytes);
}

static bool aperture_is_good(const struct keel_aperture_bound *bound, uint64_t channel_bytes)
{
	return bound->bytes == 0 || ((bound->offset | bound->bytes) % KEEL_PAGE_SIZE == 0 &&
				     inside(channel_bytes, bound->offset, bound->bytes));
}

static bool transfer_is_good(const struct keel_machine *machine, uint64_t channel_bytes)
{
	uint32_t ring = machine->transfer_bytes - (uint32_t)KEEL_PAGE_SIZE;

	return machine->transfer_bytes == 0 ||
	       (machine->transfer % KEEL_PAGE_SIZE == 0 && ring >= KEEL_TRANSFER_RING_LEAST &&
		ring <= KEEL_TRANSFER_RING_MOST && (ring & (ring - 1)) == 0 &&
		inside(channel_bytes, machine->transfer, machine->transfer_bytes));
}

static bool statistics_are_good(const struct keel_machine *machine, uint64_t channel_bytes)
{
	return machine->statistics == 0 || (machine->statistics % KEEL_PAGE_SIZE == 0 &&
					    inside(channel_bytes, machine->statistics, sizeof(struct keel_statistics)));
}

static unsigned int check_machine(const struct keel_machine *machine, uint64_t channel_bytes)
{
	if (keel_topology(machine->topology, machine->vcpus).sockets == 0)
		return CELL_REFUSED_VCPUS;
	if (!memory_is_good(machine))
		return CELL_REFUSED_MEMORY;
	if (machine->tsc_khz < CLOCK_KHZ_LEAST || machine->tsc_khz > CLOCK_KHZ_MOST)
		return CELL_REFUSED_CLOCK;
	if (!firmware_is_good(machine, channel_bytes))
		return CELL_REFUSED_FIRMWARE;
	if (!queues_are_good(machine, channel_bytes) || !devices_are_good(machine))
		return CELL_REFUSED_DEVICE;
	for (unsigned int i = 0; i < KEEL_APERTURES; i++)
		if (!aperture_is_good(&machine->aperture[i], channel_bytes))
			return CELL_REFUSED_APERTURE;
	if (!transfer_is_good(machine, channel_bytes))
		return CELL_REFUSED_TRANSFER;
	if (!statistics_are_good(machine, channel_bytes))
		return CELL_REFUSED_STATISTICS;
	if (machine->items > KEEL_ITEMS)
		return CELL_REFUSED_ITEM;
	for (unsigned int i = 0; i < machine->items; i++)
		if (!inside(channel_bytes, machine->item[i].offset, machine->item[i].size))
			return CELL_REFUSED_ITEM;
	return 0;
}

unsigned int link_init(struct link *link, void *channel, struct keel_machine *machine)
{
	struct keel_channel *c = channel;
	uint64_t bytes = LOAD(c->bytes);

	memset(link, 0, sizeof(*link));
	link->channel = c;
	if (LOAD(c->magic) != KEEL_CHANNEL_MAGIC || LOAD(c->version) != KEEL_CHANNEL_VERSION ||
	    bytes < sizeof(*c) || bytes > KEEL_CELL_CHANNEL_MAX)
		return CELL_REFUSED_CHANNEL;
	memcpy(machine, &c->machine, sizeof(*machine));
	/* What follows is decided on the copy: the compiler must not go back to the original. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return check_machine(machine, bytes);
}

void link_add_stream(struct link *link, struct stream_out *stream)
{
	link->stream[link->streams++] = stream;
}

void link_open_messages(struct link *link, struct link_messages *messages, const struct keel_queue *queues)
{
	stream_in_init(&messages->in, (uint8_t *)link->channel, &queues[0], messages->shadow[0]);
	stream_out_init(&messages->out, (uint8_t *)link->channel, &queues[1], messages->shadow[1]);
	link->talker[link->talkers++] = messages;
}

void link_send(struct link *link, struct link_messages *messages)
{
	messages->untold = !stream_send(&messages->out, &messages->last);
	link->untold |= messages->untold;
	link->produced = true;
}

void link_tell(struct link *link)
{
	if (!link->untold)
		return;
	link->untold = false;
	for (unsigned int i = 0; i < link->talkers; i++)
		if (link->talker[i]->untold)
			link_send(link, link->talker[i]);
}

bool link_doorbell(struct link *link)
{
	if (!link->produced)
		return false;
	link->produced = false;
	for (unsigned int i = 0; i < link->streams; i++)
		if (link->stream[i]->filled)
			stream_flush(link->stream[i]);
	/* What was produced must be visible before the flag is read: the other end sets the flag, then looks at the queues. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return LOAD(link->channel->host_asleep);
}
