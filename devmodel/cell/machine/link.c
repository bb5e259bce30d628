// SPDX-License-Identifier: GPL-2.0
/* The register half's end of the channel: checks and rings. */
#include "machine/link.h"

#include <keel/cell.h>
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
#define STORE(p, value)		__atomic_store_n(&(p), value, __ATOMIC_RELEASE)

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

	return drive->slot < KEEL_DRIVES && drive->queues == 1 && queue->entries == KEEL_BLOCK_ENTRIES &&
	       queue->arena_bytes == KEEL_BLOCK_ARENA && drive->config_bytes == sizeof(struct keel_block_config) &&
	       has % sectors == 0 && has <= INT64_MAX / KEEL_SECTOR;
}

/* Whether there is such a device, and what its fields mean to it, is looked at when it is made. */
static bool virtio_is_good(const struct keel_device *device)
{
	return device->slot >= PC_SLOT_FREE && device->slot < PCI_SLOTS && device->config_bytes <= KEEL_DEVICE_CONFIG;
}

static bool is_drive(const struct keel_device *device)
{
	return device->type == KEEL_DEVICE_IDE_DISK || device->type == KEEL_DEVICE_IDE_CDROM;
}

/* *places: a bit for each that is taken. */
static bool device_is_good(const struct keel_machine *machine, const struct keel_device *device, uint64_t *places)
{
	uint64_t place;

	if (is_drive(device) ? !drive_is_good(device, &machine->queue[device->first_queue]) :
			       device->type < KEEL_DEVICE_VIRTIO || !virtio_is_good(device))
		return false;
	place = 1ull << (is_drive(device) ? PCI_SLOTS + device->slot : device->slot);
	if (*places & place)
		return false;
	*places |= place;
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

/* Entries between a consumer and its producer; an index that cannot be is taken as a full ring. */
static uint32_t in_ring(uint32_t head, uint32_t tail, uint32_t size)
{
	return head - tail > size ? size : head - tail;
}

bool link_output_room(const struct link *link)
{
	return in_ring(link->output_head, LOAD(link->channel->output_tail), KEEL_RING_BYTES) < KEEL_RING_BYTES;
}

bool link_output(struct link *link, uint8_t character)
{
	struct keel_channel *c = link->channel;

	if (!link_output_room(link))
		return false;
	c->output[link->output_head % KEEL_RING_BYTES] = character;
	STORE(c->output_head, ++link->output_head);
	link->produced = true;
	return true;
}

int link_input(struct link *link)
{
	struct keel_channel *c = link->channel;
	uint8_t character;

	if (LOAD(c->input_head) == link->input_tail)
		return -1;
	character = c->input[link->input_tail % KEEL_RING_BYTES];
	STORE(c->input_tail, ++link->input_tail);
	return character;
}

/* Log lines are not urgent: the other end is woken for whole lines, or when the ring fills. */
void link_debug(struct link *link, uint8_t character)
{
	struct keel_channel *c = link->channel;
	uint32_t used = in_ring(link->debug_head, LOAD(c->debug_tail), KEEL_RING_BYTES);

	if (used == KEEL_RING_BYTES)
		return;
	c->debug[link->debug_head % KEEL_RING_BYTES] = character;
	STORE(c->debug_head, ++link->debug_head);
	if (character == '\n' || used > KEEL_RING_BYTES / 2)
		link->produced = true;
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

uint32_t link_commands(struct link *link, uint32_t which)
{
	if (!(LOAD(link->channel->commands) & which))
		return 0;
	return __atomic_fetch_and(&link->channel->commands, ~which, __ATOMIC_ACQ_REL) & which;
}

void link_button_taken(struct link *link)
{
	STORE(link->channel->buttons_taken, ++link->buttons_taken);
}

void link_door(struct link *link, unsigned int drive, bool locked, bool ejected)
{
	uint32_t door = KEEL_DOOR(link->doors, drive);

	door = ((door + ejected) & KEEL_DOOR_EJECTED) | (locked ? KEEL_DOOR_LOCKED : 0);
	link->doors = (link->doors & ~(0xffu << 8 * drive)) | door << 8 * drive;
	STORE(link->channel->doors, link->doors);
	link->produced |= ejected;
}

bool link_doorbell(struct link *link)
{
	if (!link->produced)
		return false;
	link->produced = false;
	/* What was produced must be visible before the flag is read: the other end sets the flag, then looks at the rings. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return LOAD(link->channel->host_asleep);
}
