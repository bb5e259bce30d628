/* SPDX-License-Identifier: GPL-2.0 */
/* Device IDs of virtio (VIRTIO 1.2, clause 5) that both halves know. */
#ifndef KEEL_VIRTIO_ID_H
#define KEEL_VIRTIO_ID_H

enum virtio_id {
	VIRTIO_ID_NET = 1,
	VIRTIO_ID_BLOCK = 2,
	VIRTIO_ID_RNG = 4,
};

#endif
