/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest's virtqueues: split (VIRTIO 1.2, 2.7), with indirect descriptors and event indices if the guest
 * wants them. All of it is guest memory, which other vCPUs change at any time: descriptors are copied
 * before they are looked at, chains are bounded, and what they point to is looked for anew whenever it is
 * accessed. What cannot be breaks the device (virtio_break).
 */
#ifndef KEEL_VIRTIO_QUEUE_H
#define KEEL_VIRTIO_QUEUE_H

#include "shared/vq.h"
#include "virtio/virtio.h"

#define VIRTIO_PIECES_MOST	1024u	/* of a chain with an indirect table */

struct virtio_chain {
	uint16_t head;
	uint32_t out, in;	/* bytes that the device may read, and that it may write; all of them were memory just now */
};

static inline bool virtio_queue_has_size(const struct virtio_device *device, uint32_t size)
{
	return size && !(size & (size - 1)) && size <= device->ops->entries;
}

/* From a queue's desc, which is a multiple of 4096: where the areas are by the legacy interface (2.7.2). */
void virtio_queue_place_legacy(struct virtio_queue_state *queue);
/* Whether its areas are where a queue can be. */
bool virtio_queue_is_placed(const struct virtio_device *device, const struct virtio_queue_state *queue);

/*
 * The next chain, which stays the next one until virtio_queue_take. False: there is none, and the guest
 * will tell when there is, or the device is broken now.
 */
bool virtio_queue_peek(struct virtio_device *device, unsigned int number, struct virtio_chain *chain);
void virtio_queue_take(struct virtio_device *device, unsigned int number);
/* The last 'count' that were taken are the next ones again. */
void virtio_queue_untake(struct virtio_device *device, unsigned int number, unsigned int count);
/*
 * Copies from, or to, what the device may read, or write, of a chain that was taken, or is the next one, behind the first
 * 'skip' bytes of it. False: as below.
 */
bool virtio_queue_read_at(struct virtio_device *device, unsigned int number, uint16_t head, uint32_t skip, void *to,
			  uint32_t bytes);
bool virtio_queue_write_at(struct virtio_device *device, unsigned int number, uint16_t head, uint32_t skip, const void *from,
			   uint32_t bytes);
/*
 * Copies to the start of what the device may write of a chain that was taken. False: it does not fit any
 * more, and the device is broken.
 */
bool virtio_queue_write(struct virtio_device *device, unsigned int number, uint16_t head, const void *from, uint32_t bytes);
/* Gives a chain back; bytes: written to it. */
void virtio_queue_give(struct virtio_device *device, unsigned int number, uint16_t head, uint32_t bytes);
/* The same of several, which the guest finds all at once. */
void virtio_queue_give_all(struct virtio_device *device, unsigned int number, const struct vq_used *used, unsigned int count);
/* After some that were given back: an interrupt, if the guest wants one. */
void virtio_queue_tell(struct virtio_device *device, unsigned int number);

#endif
