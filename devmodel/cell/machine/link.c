// SPDX-License-Identifier: GPL-2.0
/* The register half's end of the channel: checks, characters, messages. */
#include "machine/link.h"

#include <keel/cell.h>
#include <keel/macros.h>
#include <keel/topology.h>

#include "core/clock.h"
#include "core/string.h"
#include "pci/pci.h"
#include "shared/pc_map.h"
#include "shared/vq.h"

#define LOW_MEMORY_LEAST	0x100000ull
#define FIRMWARE_LEAST		0x10000u
#define FIRMWARE_MOST		0x100000u
#define CDROM_SECTOR		2048u

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

static bool drive_is_good(const struct keel_device *drive, const struct keel_queue *queue)
{
	uint32_t sectors = drive->type == KEEL_DEVICE_IDE_CDROM ? CDROM_SECTOR / KEEL_SECTOR : 1;
	uint64_t has = link_block_sectors(drive);

	return queue->entries == KEEL_BLOCK_ENTRIES && queue->arena_bytes == KEEL_BLOCK_ARENA &&
	       drive->config_bytes == sizeof(struct keel_block_config) && has % sectors == 0 && has <= INT64_MAX / KEEL_SECTOR;
}

/* What has no slot of the PCI bus; the places of those are in front of all others. Queues of messages are a row's last. */
static const struct {
	uint32_t type;
	unsigned int place, slots, queues, message_queues;
	bool (*is_good)(const struct keel_device *device, const struct keel_queue *queues);
} kinds[] = {
	{ KEEL_DEVICE_IDE_DISK, PCI_SLOTS, KEEL_DRIVES, 1, 0, drive_is_good },
	{ KEEL_DEVICE_IDE_CDROM, PCI_SLOTS, KEEL_DRIVES, 3, 2, drive_is_good },
	{ KEEL_DEVICE_CONSOLE, PCI_SLOTS + KEEL_DRIVES, 1, 2, 0, NULL },
	{ KEEL_DEVICE_DEBUG, PCI_SLOTS + KEEL_DRIVES + 1, 1, 1, 0, NULL },
	{ KEEL_DEVICE_PANEL, PCI_SLOTS + KEEL_DRIVES + 2, 1, 2, 2, NULL },
};

static bool takes_messages(const struct keel_queue *queues, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (queues[i].entries > KEEL_MESSAGE_ENTRIES)
			return false;
	return true;
}

/* *place: among all. */
static bool board_device_is_good(const struct keel_device *device, const struct keel_queue *queues, unsigned int *place)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].type != device->type)
			continue;
		*place = kinds[i].place + device->slot;
		return device->slot < kinds[i].slots && device->queues == kinds[i].queues &&
		       takes_messages(queues + kinds[i].queues - kinds[i].message_queues, kinds[i].message_queues) &&
		       (!kinds[i].is_good || kinds[i].is_good(device, queues));
	}
	return false;
}

/* Whether there is such a device, and what its fields mean to it, is looked at when it is made. */
static bool virtio_is_good(const struct keel_device *device, unsigned int *place)
{
	*place = device->slot;
	return device->slot >= PC_SLOT_FREE && device->slot < PCI_SLOTS && device->config_bytes <= KEEL_DEVICE_CONFIG;
}

/* *places: a bit for each that is taken. */
static bool device_is_good(const struct keel_machine *machine, const struct keel_device *device, uint64_t *places)
{
	const struct keel_queue *queues = &machine->queue[device->first_queue];
	unsigned int place;

	if (device->type >= KEEL_DEVICE_VIRTIO ? !virtio_is_good(device, &place) : !board_device_is_good(device, queues, &place))
		return false;
	if (*places >> place & 1)
		return false;
	*places |= 1ull << place;
	return true;
}

/* Each queue is one device's. */
static bool devices_are_good(const struct keel_machine *machine)
{
	unsigned int queues = 0;
	uint64_t places = 0;

	if (machine->devices > KEEL_DEVICES)
		return false;
	for (unsigned int i = 0; i < machine->devices; i++) {
		const struct keel_device *device = &machine->device[i];

		if (device->first_queue != queues || device->queues > machine->queues - queues || !device->queues ||
		    !device_is_good(machine, device, &places))
			return false;
		queues += device->queues;
	}
	return queues == machine->queues;
}

static bool memory_is_good(const struct keel_machine *machine)
{
	return machine->low_memory >= LOW_MEMORY_LEAST && machine->low_memory <= PC_LOW_MEMORY_MOST &&
	       machine->high_memory <= KEEL_CELL_GUEST_MAX - PC_HIGH_MEMORY &&
	       machine->low_memory % KEEL_PAGE_SIZE == 0 && machine->high_memory % KEEL_PAGE_SIZE == 0;
}

static bool firmware_is_good(const struct keel_machine *machine, uint64_t channel_bytes)
{
	return machine->firmware_bytes >= FIRMWARE_LEAST && machine->firmware_bytes <= FIRMWARE_MOST &&
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
	if (machine->items > KEEL_ITEMS)
		return CELL_REFUSED_ITEM;
	for (unsigned int i = 0; i < machine->items; i++)
		if (!inside(channel_bytes, machine->item[i].offset, machine->item[i].size))
			return CELL_REFUSED_ITEM;
	return 0;
}

static void open_messages(struct link *link, struct link_messages *messages, const struct keel_queue *queues)
{
	stream_in_init(&messages->in, (uint8_t *)link->channel, &queues[0], messages->shadow[0]);
	stream_out_init(&messages->out, (uint8_t *)link->channel, &queues[1], messages->shadow[1]);
}

static void open_device(struct link *link, const struct keel_device *device, const struct keel_queue *queues)
{
	uint8_t *channel = (uint8_t *)link->channel;

	switch (device->type) {
	case KEEL_DEVICE_IDE_CDROM:
		open_messages(link, &link->drive[device->slot], queues + 1);
		link->talking |= 1u << device->slot;
		break;
	case KEEL_DEVICE_CONSOLE:
		stream_in_init(&link->input, channel, &queues[0], link->input_shadow);
		stream_out_init(&link->output, channel, &queues[1], link->output_shadow);
		break;
	case KEEL_DEVICE_DEBUG:
		stream_out_init(&link->debug, channel, &queues[0], link->debug_shadow);
		break;
	case KEEL_DEVICE_PANEL:
		open_messages(link, &link->panel, queues);
		break;
	default:
		/* Queues of block requests and of virtio devices are opened by who has them. */
		break;
	}
}

unsigned int link_init(struct link *link, void *channel, struct keel_machine *machine)
{
	struct keel_channel *c = channel;
	uint64_t bytes = LOAD(c->bytes);
	unsigned int refusal;

	memset(link, 0, sizeof(*link));
	link->channel = c;
	if (LOAD(c->magic) != KEEL_CHANNEL_MAGIC || LOAD(c->version) != KEEL_CHANNEL_VERSION ||
	    bytes < sizeof(*c) || bytes > KEEL_CELL_CHANNEL_MAX)
		return CELL_REFUSED_CHANNEL;
	memcpy(machine, &c->machine, sizeof(*machine));
	/* What follows is decided on the copy: the compiler must not go back to the original. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	refusal = check_machine(machine, bytes);
	for (unsigned int i = 0; !refusal && i < machine->devices; i++)
		open_device(link, &machine->device[i], &machine->queue[machine->device[i].first_queue]);
	return refusal;
}

bool link_output(struct link *link, uint8_t character)
{
	bool taken = stream_put(&link->output, character);

	link->produced |= taken;
	return taken;
}

bool link_input(struct link *link, uint8_t *character)
{
	return stream_get(&link->input, character);
}

/* Log lines are not urgent: the other end is woken for whole lines, or when the queue fills. */
void link_debug(struct link *link, uint8_t character)
{
	if (!stream_put(&link->debug, character))
		return;
	if (character == '\n' || stream_under_way(&link->debug) > link->debug.queue.entries / 2u)
		link->produced = true;
	/* Without anything else to be told nobody comes by before the guest goes on. */
	else
		stream_flush(&link->debug);
}

void link_debug_bytes(struct link *link, const char *text, const uint8_t *bytes, unsigned int count)
{
	static const char digits[] = "0123456789abcdef";

	while (*text)
		link_debug(link, (uint8_t)*text++);
	for (unsigned int i = 0; i < count; i++) {
		link_debug(link, ' ');
		link_debug(link, (uint8_t)digits[bytes[i] / 16]);
		link_debug(link, (uint8_t)digits[bytes[i] % 16]);
	}
	link_debug(link, '\n');
}

bool link_panel_message(struct link *link, struct keel_message *message)
{
	return stream_receive(&link->panel.in, message);
}

bool link_drive_message(struct link *link, unsigned int drive, struct keel_message *message)
{
	return stream_receive(&link->drive[drive].in, message);
}

static void tell(struct link *link, struct link_messages *messages)
{
	messages->untold = !stream_send(&messages->out, &messages->last);
	link->untold |= messages->untold;
	link->produced = true;
}

void link_button_taken(struct link *link)
{
	link->panel.last.kind = KEEL_MESSAGE_TAKEN;
	link->panel.last.number++;
	tell(link, &link->panel);
}

void link_door(struct link *link, unsigned int drive, bool locked, bool ejected)
{
	struct keel_message *last = &link->drive[drive].last;

	last->kind = KEEL_MESSAGE_DOOR;
	last->flags = locked ? KEEL_MESSAGE_LOCKED : 0;
	last->number += ejected;
	tell(link, &link->drive[drive]);
}

void link_tell(struct link *link)
{
	if (!link->untold)
		return;
	link->untold = false;
	if (link->panel.untold)
		tell(link, &link->panel);
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		if (link->drive[i].untold)
			tell(link, &link->drive[i]);
}

bool link_doorbell(struct link *link)
{
	if (!link->produced)
		return false;
	link->produced = false;
	stream_flush(&link->output);
	stream_flush(&link->debug);
	/* What was produced must be visible before the flag is read: the other end sets the flag, then looks at the queues. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return LOAD(link->channel->host_asleep);
}
