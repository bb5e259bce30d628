// SPDX-License-Identifier: GPL-2.0
/* The stand-in's entropy device. */
#include "standin.h"

#include <stdio.h>

#include "shared/virtio_id.h"
#include "shared/vq_driver.h"

static struct {
	const struct keel_queue *queue;		/* NULL: the guest has no such device */
	struct vq_driver driver;
	struct vq_shadow shadow[VQ_ENTRIES_MOST];
} entropy;

void entropy_open(void)
{
	entropy.queue = NULL;
	for (unsigned int i = 0; i < channel->machine.devices; i++)
		if (channel->machine.device[i].type == KEEL_DEVICE_VIRTIO + VIRTIO_ID_RNG)
			entropy.queue = &channel->machine.queue[channel->machine.device[i].first_queue];
	if (entropy.queue)
		vq_driver_init(&entropy.driver, (uint8_t *)channel + entropy.queue->ring, entropy.queue->entries, entropy.shadow);
}

void entropy_ask(uint32_t count)
{
	struct vq_piece piece;
	uint16_t head;

	if (!entropy.queue) {
		fprintf(stderr, "stand-in: there is no entropy device\n");
		return;
	}
	piece = (struct vq_piece){ entropy.queue->arena, count };
	if (!vq_driver_send(&entropy.driver, &piece, 0, 1, &head))
		fprintf(stderr, "stand-in: the entropy device takes no more requests\n");
	ring();
}

void entropy_take(void)
{
	const uint8_t *from = entropy.queue ? (uint8_t *)channel + entropy.queue->arena : NULL;
	uint16_t head;
	uint32_t bytes;

	while (from && vq_driver_receive(&entropy.driver, &head, &bytes)) {
		bool seen[UINT8_MAX + 1] = { false };
		unsigned int different = 0;

		for (uint32_t i = 0; i < bytes; i++) {
			different += !seen[from[i]];
			seen[from[i]] = true;
		}
		note("random %u %u", bytes, different);
	}
}
