// SPDX-License-Identifier: GPL-2.0
/* The virtio devices of the machine, by their kinds. */
#include "machine/pc.h"

#include <keel/macros.h>

#include "core/string.h"

static const struct virtio_ops *const kinds[] = {
	&virtio_blk,
	&virtio_net,
	&virtio_rng,
};

#define KINDS		ARRAY_SIZE(kinds)
#define MEMORY_ALIGN	16u

static const struct virtio_ops *find_kind(uint32_t type)
{
	for (unsigned int i = 0; i < KINDS; i++)
		if (type == (uint32_t)KEEL_DEVICE_VIRTIO + kinds[i]->id)
			return kinds[i];
	return NULL;
}

/* Part of the machine, all zeros; NULL: it has no more. */
static struct virtio_device *take_memory(struct pc *pc, size_t bytes)
{
	size_t at = (pc->virtio_used + MEMORY_ALIGN - 1) & ~(size_t)(MEMORY_ALIGN - 1);

	if (bytes > sizeof(pc->virtio_memory) - at)
		return NULL;
	pc->virtio_used = at + bytes;
	return (struct virtio_device *)(void *)&pc->virtio_memory[at];
}

static bool accepts(const struct keel_device *row, const struct keel_queue *queues)
{
	const struct virtio_ops *ops = find_kind(row->type);

	return ops && row->queues <= ops->queues && ops->accepts(row, queues);
}

static bool open_device(struct pc *pc, const struct keel_device *row, const struct keel_queue *queues)
{
	const struct virtio_ops *ops = find_kind(row->type);
	struct virtio_device *device = take_memory(pc, ops->bytes);

	if (!device)
		return false;
	device->ops = ops;
	device->mem = &pc->mem;
	device->channel = link_bytes(&pc->link, 0);
	device->asked = &pc->link.produced;
	device->row = row;
	device->features = row->features;
	device->queues = row->queues;
	device->config_bytes = row->config_bytes;
	memcpy(device->config, row->config, row->config_bytes);
	pci_add(&pc->pci, row->slot, 0, &device->pci);
	virtio_init(device, queues);
	pc->virtio[pc->virtio_devices++] = device;
	return true;
}

static void event(struct pc *pc, const struct keel_device *row)
{
	virtio_event(container_of(pc->pci.function[row->slot][0], struct virtio_device, pci));
}

void pc_virtio_message(struct pc *pc, uint32_t slot, const struct keel_message *message)
{
	for (unsigned int i = 0; i < pc->virtio_devices; i++)
		if (pc->virtio[i]->row->slot == slot && pc->virtio[i]->ops->message)
			pc->virtio[i]->ops->message(pc->virtio[i], message);
}

const struct link_kind pc_virtio_kind = {
	.type = KEEL_DEVICE_VIRTIO, .place = LINK_PLACE_PCI, .accepts = accepts, .open = open_device, .event = event,
};
