// SPDX-License-Identifier: GPL-2.0
/* The devices of a guest that have back ends. */
#include "host/devices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

static const struct backend_ops *const kinds[] = {
	&backend_virtio_blk,
	&backend_net,
	&backend_rng,
};

#define KINDS		ARRAY_SIZE(kinds)

/* What the board and as many IDE drives as a guest can have leave. */
static void measure_room(unsigned int *devices, unsigned int *queues)
{
	*devices = KEEL_DEVICES - MANIFEST_IDE_DRIVES;
	*queues = KEEL_QUEUES - MANIFEST_IDE_DRIVES * board_cdrom.queues;
	for (unsigned int i = 0; i < board_kind_count; i++) {
		*devices -= board_kinds[i]->always;
		*queues -= board_kinds[i]->always ? board_kinds[i]->queues : 0;
	}
}

static bool open_entry(struct devices *devices, const struct backend_ops *ops, const struct backend_plan *plan,
		       const struct manifest *m, unsigned int number, struct failure *failure)
{
	struct devices_entry *entry = &devices->entry[devices->count];
	unsigned int devices_most, queues_most;

	measure_room(&devices_most, &queues_most);
	if (devices->count == devices_most || plan->device.queues > queues_most - devices->queues)
		return failure_set(failure, EXIT_FAILED, "a guest has at most %u devices beside its IDE drives, with %u queues",
				   devices_most, queues_most);
	*entry = (struct devices_entry){
		.ops = ops, .number = number, .plan = *plan, .state = ops->bytes ? calloc(1, ops->bytes) : NULL,
	};
	if (ops->bytes && !entry->state)
		return failure_set(failure, EXIT_NO_MEMORY, "out of memory");
	if (ops->open && !ops->open(entry->state, m, number, failure)) {
		free(entry->state);
		return false;
	}
	devices->count++;
	devices->queues += plan->device.queues;
	return true;
}

bool devices_open(struct devices *devices, const struct manifest *m, struct failure *failure)
{
	struct backend_plan plan;

	devices->count = devices->queues = 0;
	for (size_t i = 0; i < KINDS; i++) {
		for (unsigned int number = 0; kinds[i]->describe(m, number, &plan); number++) {
			if (open_entry(devices, kinds[i], &plan, m, number, failure))
				continue;
			devices_close(devices);
			return false;
		}
	}
	return true;
}

void devices_close(struct devices *devices)
{
	for (unsigned int i = 0; i < devices->count; i++) {
		if (devices->entry[i].ops->close)
			devices->entry[i].ops->close(devices->entry[i].state);
		free(devices->entry[i].state);
	}
	devices->count = devices->queues = 0;
}

void *devices_state(const struct devices *devices, const struct backend_ops *ops, unsigned int number)
{
	for (unsigned int i = 0; i < devices->count; i++)
		if (devices->entry[i].ops == ops && devices->entry[i].number == number)
			return devices->entry[i].state;
	return NULL;
}

void devices_describe(struct devices *devices, const struct manifest *m)
{
	for (unsigned int i = 0; i < devices->count; i++)
		devices->entry[i].ops->describe(m, devices->entry[i].number, &devices->entry[i].plan);
}

bool devices_watch(const struct devices *devices, struct loop *loop, struct failure *failure)
{
	for (unsigned int i = 0; i < devices->count; i++) {
		const struct devices_entry *entry = &devices->entry[i];

		if (entry->ops->watch && !entry->ops->watch(entry->state, loop))
			return failure_set(failure, EXIT_FAILED, "cannot watch a device: %s", strerror(errno));
	}
	return true;
}

void devices_start(struct devices *devices, struct keel_channel *channel, const struct keel_queue *queues, struct board *board)
{
	for (unsigned int i = 0; i < devices->count; i++) {
		const struct keel_device *device = &devices->entry[i].plan.device;

		if (!devices->entry[i].ops->serve)
			continue;
		for (unsigned int j = device->first_queue; j < device->first_queue + device->queues; j++) {
			vq_device_init(&devices->queue[j], channel, queues[j].ring, queues[j].entries, queues[j].arena,
				       queues[j].arena_bytes);
			board_watch(board, &devices->queue[j]);
		}
		if (devices->entry[i].ops->start)
			devices->entry[i].ops->start(devices->entry[i].state);
	}
}

bool devices_serve(struct devices *devices)
{
	bool answered = false;

	for (unsigned int i = 0; i < devices->count; i++) {
		const struct devices_entry *entry = &devices->entry[i];

		if (entry->ops->serve)
			answered |= entry->ops->serve(entry->state, &devices->queue[entry->plan.device.first_queue]);
	}
	return answered;
}
