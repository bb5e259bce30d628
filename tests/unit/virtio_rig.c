// SPDX-License-Identifier: GPL-2.0
#include "virtio_rig.h"

#include <stdlib.h>
#include <string.h>

/* BARs, and bits of the command register: ports, memory, bus master */
#define BAR_LEGACY	0x10u
#define BAR_VECTORS	0x14u
#define BAR_MODERN	0x20u
#define COMMAND_ALL	7u

/* Common configuration (virtio 1.2, 4.1.4.3) */
#define FEATURE_SELECT	0x08u
#define FEATURES	0x0cu
#define STATUS		0x14u
#define QUEUE_SELECT	0x16u
#define QUEUE_ENABLE	0x1cu
#define QUEUE_DESC	0x20u
#define QUEUE_AVAIL	0x28u
#define QUEUE_USED	0x30u

#define HAS_VERSION_1	1u		/* of the upper half of the features */
/* Device status (2.1): ACKNOWLEDGE, DRIVER; and FEATURES_OK; and DRIVER_OK, of a modern driver and of a legacy one */
#define STATUS_DRIVER	3u
#define STATUS_AGREED	0xbu
#define STATUS_READY	0xfu
#define STATUS_LEGACY	7u

struct bus bus;
struct pci pci;
struct gmem mem;
struct virtio_device *device;
struct vq_device host[NET_QUEUES];
uint8_t *memory, *channel;
bool asked;

static void lay_out_memory(const struct virtio_rig *rig)
{
	uint32_t writable = rig->readonly ? rig->readonly : rig->memory_bytes;

	mem = (struct gmem){ .base = memory, .count = 1, .range = { { 0, writable, false } } };
	if (rig->readonly) {
		mem.range[1] = (struct gmem_range){ writable, rig->memory_bytes - writable, true };
		mem.count = 2;
	}
}

static void allocate(const struct virtio_rig *rig)
{
	memory = calloc(1, rig->memory_bytes);
	channel = aligned_alloc(PAGE, rig->channel_bytes);
	device = calloc(1, rig->ops->bytes);
	if (!memory || !channel || !device)
		abort();
	memset(channel, 0, rig->channel_bytes);
}

static void configure(const struct virtio_rig *rig)
{
	const void *config = rig->config ? rig->config : rig->row ? rig->row->config : NULL;

	device->row = rig->row;
	device->config_bytes = rig->config ? rig->config_bytes : rig->row ? rig->row->config_bytes : 0;
	if (device->config_bytes)
		memcpy(device->config, config, device->config_bytes);
}

void rig_plug(const struct virtio_rig *rig)
{
	const struct keel_queue *queue = rig->queue;
	unsigned int i;

	allocate(rig);
	bus_init(&bus);
	pci = (struct pci){ .bus = &bus, .set_intx = rig->set_intx, .message = rig->message };
	lay_out_memory(rig);
	pci_init(&pci);
	pci_add(&pci, rig->slot, 0, &device->pci);
	device->ops = rig->ops;
	device->mem = &mem;
	device->channel = channel;
	device->asked = &asked;
	device->features = rig->features;
	device->queues = rig->queues;
	configure(rig);
	virtio_init(device, queue);
	for (i = 0; i < rig->queues; i++, queue++)
		vq_device_init(&host[i], channel, queue->ring, queue->entries, queue->arena, queue->arena_bytes);
}

void rig_unplug(void)
{
	free(memory);
	free(channel);
	free(device);
}

void config_write(unsigned int reg, unsigned int bytes, uint32_t value)
{
	pci_write(&pci, 0, 4, 0x80000000u | device->pci.slot << 11 | (reg & 0xfc));
	pci_write(&pci, 4 + (reg & 3), bytes, value);
}

void place_bars(void)
{
	config_write(BAR_LEGACY, 4, PORTS);
	config_write(BAR_VECTORS, 4, VECTORS);
	config_write(BAR_MODERN, 4, MODERN);
	config_write(PCI_COMMAND, 2, COMMAND_ALL);
}

void put(unsigned int offset, unsigned int bytes, uint32_t value)
{
	bus_write(&bus, MODERN + offset, bytes, value);
}

void put_legacy(unsigned int port, unsigned int bytes, uint32_t value)
{
	bus_port_write(&bus, (uint16_t)(PORTS + port), bytes, value);
}

void modern_begin(uint32_t features)
{
	put(STATUS, 1, 0);
	put(STATUS, 1, STATUS_DRIVER);
	put(FEATURE_SELECT, 4, 0);
	put(FEATURES, 4, features);
	put(FEATURE_SELECT, 4, 1);
	put(FEATURES, 4, HAS_VERSION_1);
	put(STATUS, 1, STATUS_AGREED);
}

void modern_queue(unsigned int number, uint64_t desc, uint64_t avail, uint64_t used)
{
	put(QUEUE_SELECT, 2, number);
	put(QUEUE_DESC, 4, (uint32_t)desc);
	put(QUEUE_AVAIL, 4, (uint32_t)avail);
	put(QUEUE_USED, 4, (uint32_t)used);
	put(QUEUE_ENABLE, 2, 1);
}

void modern_ready(void)
{
	put(STATUS, 1, STATUS_READY);
}

void legacy_begin(uint32_t features)
{
	put_legacy(LEGACY_STATUS, 1, 0);
	put_legacy(LEGACY_STATUS, 1, STATUS_DRIVER);
	put_legacy(LEGACY_FEATURES, 4, features);
}

void legacy_queue(unsigned int number, uint64_t desc)
{
	put_legacy(LEGACY_SELECT, 2, number);
	put_legacy(LEGACY_QUEUE, 4, (uint32_t)(desc / PAGE));
}

void legacy_ready(void)
{
	put_legacy(LEGACY_STATUS, 1, STATUS_LEGACY);
}
