// SPDX-License-Identifier: GPL-2.0
/* The virtio devices of the machine: those that the channel has rows for. */
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

static unsigned int add_device(struct pc *pc, const struct keel_device *row)
{
	const struct keel_queue *queues = &pc->machine.queue[row->first_queue];
	const struct virtio_ops *ops = find_kind(row->type);
	struct virtio_device *device;

	if (!ops || row->queues > ops->queues || !ops->accepts(row, queues))
		return CELL_REFUSED_DEVICE;
	device = take_memory(pc, ops->bytes);
	if (!device)
		return CELL_REFUSED_DEVICE;
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
	return 0;
}

unsigned int pc_virtio_init(struct pc *pc)
{
	unsigned int refusal = 0;

	for (unsigned int i = 0; i < pc->machine.devices && !refusal; i++)
		if (pc->machine.device[i].type >= KEEL_DEVICE_VIRTIO)
			refusal = add_device(pc, &pc->machine.device[i]);
	return refusal;
}

void pc_virtio_event(struct pc *pc)
{
	for (unsigned int i = 0; i < pc->virtio_devices; i++)
		virtio_work(pc->virtio[i]);
}
