/* SPDX-License-Identifier: GPL-2.0 */
/* The driver's end of a queue between the halves (vq.h): makes chains of buffers, and takes back what the device has used. */
#ifndef KEEL_VQ_DRIVER_H
#define KEEL_VQ_DRIVER_H

#include "shared/vq.h"

/* What the driver knows of a descriptor: the ring has a copy, which the other end may have changed. */
struct vq_shadow {
	uint16_t next;		/* in its chain, or of those that are free */
	uint16_t count;		/* of the descriptors of the chain that it heads and the device has; else 0 */
};

struct vq_driver {
	uint8_t *ring;
	struct vq_shadow *shadow;	/* one for each entry */
	uint16_t entries;
	uint16_t free;			/* the first descriptor that no chain has, */
	uint16_t free_count;		/* and how many there are */
	uint16_t avail_index;		/* of the next chain to be sent, as it runs on over the ring's end */
	uint16_t used_index;		/* of the next one to come back */
};

/* ring: vq_bytes(entries) bytes of zeros on 16; entries: a good number of them. */
void vq_driver_init(struct vq_driver *vq, uint8_t *ring, unsigned int entries, struct vq_shadow *shadow);
/*
 * Gives the device a chain: 'out' pieces that it reads, then 'in' pieces that it writes. *head names the chain until it
 * comes back. False: there are not as many descriptors.
 */
bool vq_driver_send(struct vq_driver *vq, const struct vq_piece *pieces, unsigned int out, unsigned int in, uint16_t *head);
/*
 * The next chain that the device has used, one of those that it had; *bytes: how many it says it has written, which may be any
 * number. False: there is none. What the device makes up is passed over.
 */
bool vq_driver_receive(struct vq_driver *vq, uint16_t *head, uint32_t *bytes);

/* The device has nothing any more: all that it had is back, and may still be received. */
bool vq_driver_is_done(const struct vq_driver *vq);

/*
 * Whether the device has to tell when it gives something back, which it has until told otherwise. Who begins to wait looks at
 * what there is once more.
 */
void vq_driver_wait(struct vq_driver *vq, bool waits);

#endif
