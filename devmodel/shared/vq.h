/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The queues between the two halves of a device model: split virtqueues (VIRTIO 1.2, 2.7) in the channel. The register half is
 * the driver (vq_driver.h), the resource half the device (vq_device.h).
 *
 * A descriptor's address is an offset into the channel. Buffers lie in the queue's arena, of which the driver disposes. There
 * are no indirect descriptors and no event indices; who sleeps says so in the channel, and a driver of which a device only
 * takes says by the flag of its area whether it waits. Neither end trusts the other: each keeps its own
 * indices to itself, and copies what it reads before it looks at it.
 */
#ifndef KEEL_VQ_H
#define KEEL_VQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VQ_ENTRIES_LEAST	16u
#define VQ_ENTRIES_MOST		1024u
#define VQ_PIECES_MOST		8u		/* of one chain */

#define VQ_DESC_NEXT		1u
#define VQ_DESC_WRITE		2u		/* for the device to write */

/* A flag of the driver area: the driver does not wait for what the device gives back. */
#define VQ_AVAIL_NO_INTERRUPT	1u

struct vq_desc {
	uint64_t address;
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};

/* The part of the driver area before its entries, and that of the device area. */
struct vq_head {
	uint16_t flags;
	uint16_t index;
};

struct vq_used {
	uint32_t head;
	uint32_t bytes;		/* that the device has written */
};

/* A buffer in the channel. */
struct vq_piece {
	uint32_t offset;
	uint32_t bytes;
};

static inline bool vq_entries_are_good(uint32_t entries)
{
	return entries >= VQ_ENTRIES_LEAST && entries <= VQ_ENTRIES_MOST && !(entries & (entries - 1));
}

/* Where the areas of a queue begin, from the start of its descriptors, and where it ends. */
static inline size_t vq_avail_offset(unsigned int entries)
{
	return entries * sizeof(struct vq_desc);
}

static inline size_t vq_used_offset(unsigned int entries)
{
	size_t end = vq_avail_offset(entries) + sizeof(struct vq_head) + (entries + 1) * sizeof(uint16_t);

	return (end + sizeof(uint32_t) - 1) & ~(sizeof(uint32_t) - 1);
}

static inline size_t vq_bytes(unsigned int entries)
{
	return vq_used_offset(entries) + sizeof(struct vq_head) + entries * sizeof(struct vq_used) + sizeof(uint16_t);
}

static inline struct vq_desc *vq_descs(uint8_t *ring)
{
	return (struct vq_desc *)ring;
}

static inline struct vq_head *vq_avail_head(uint8_t *ring, unsigned int entries)
{
	return (struct vq_head *)(ring + vq_avail_offset(entries));
}

static inline uint16_t *vq_avail_entries(uint8_t *ring, unsigned int entries)
{
	return (uint16_t *)(vq_avail_head(ring, entries) + 1);
}

static inline struct vq_head *vq_used_head(uint8_t *ring, unsigned int entries)
{
	return (struct vq_head *)(ring + vq_used_offset(entries));
}

static inline struct vq_used *vq_used_entries(uint8_t *ring, unsigned int entries)
{
	return (struct vq_used *)(vq_used_head(ring, entries) + 1);
}

#define VQ_LOAD(place)		__atomic_load_n(&(place), __ATOMIC_ACQUIRE)
#define VQ_STORE(place, value)	__atomic_store_n(&(place), value, __ATOMIC_RELEASE)

#endif
