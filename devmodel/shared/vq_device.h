/* SPDX-License-Identifier: GPL-2.0 */
/* The device's end of a queue between the halves (vq.h): takes chains of buffers, looks where they are, and gives them back. */
#ifndef KEEL_VQ_DEVICE_H
#define KEEL_VQ_DEVICE_H

#include "shared/vq.h"

struct vq_device {
	uint8_t *channel;
	uint32_t ring;			/* offset in the channel */
	uint32_t arena;			/* buffers are in here; offset in the channel */
	uint32_t arena_bytes;
	uint16_t entries;
	uint16_t avail_index;		/* of the next entry to be taken, as it runs on over the ring's end */
	uint16_t used_index;		/* of the next one to be given back */
	uint16_t outstanding;		/* chains taken and not given back */
};

struct vq_chain {
	uint16_t head;
	bool good;			/* else the driver's word makes no sense, and there are no pieces */
	unsigned int out;		/* pieces that are read, */
	unsigned int in;		/* and then those that are written */
	struct vq_piece piece[VQ_PIECES_MOST];
};

/* Ring and arena lie in the channel, and entries is a good number of them. */
void vq_device_init(struct vq_device *vq, void *channel, uint32_t ring, uint32_t entries, uint32_t arena, uint32_t arena_bytes);
bool vq_device_has(const struct vq_device *vq);
/*
 * False: there is none, or as many are out as there are entries. Each one taken is given back once, one that is not good, too. A
 * piece is in the arena and not empty; pieces may overlap, and the driver may send what is still out once more.
 */
bool vq_device_take(struct vq_device *vq, struct vq_chain *chain);
/* bytes: written to the chain's pieces. */
void vq_device_give(struct vq_device *vq, uint16_t head, uint32_t bytes);
/* After something was given back: whether the driver waits for it. */
bool vq_device_is_awaited(const struct vq_device *vq);

#endif
