// SPDX-License-Identifier: GPL-2.0
/* The device's end of a queue between the halves. */
#include "shared/vq_device.h"

#include <string.h>

void vq_device_init(struct vq_device *vq, void *channel, uint32_t ring, uint32_t entries, uint32_t arena, uint32_t arena_bytes)
{
	*vq = (struct vq_device){
		.channel = channel, .ring = ring, .entries = (uint16_t)entries, .arena = arena, .arena_bytes = arena_bytes,
	};
}

static uint8_t *ring_of(const struct vq_device *vq)
{
	return vq->channel + vq->ring;
}

bool vq_device_has(const struct vq_device *vq)
{
	return VQ_LOAD(vq_avail_head(ring_of(vq), vq->entries)->index) != vq->avail_index && vq->outstanding < vq->entries;
}

static bool in_arena(const struct vq_device *vq, const struct vq_desc *desc)
{
	return desc->length && desc->address >= vq->arena && desc->address - vq->arena < vq->arena_bytes &&
	       desc->length <= vq->arena_bytes - (desc->address - vq->arena);
}

/* The driver may change a descriptor at any time: what is looked at is a copy. */
static struct vq_desc copy_desc(const struct vq_device *vq, uint16_t number)
{
	struct vq_desc desc;

	memcpy(&desc, &vq_descs(ring_of(vq))[number], sizeof(desc));
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return desc;
}

static bool add_piece(struct vq_chain *chain, const struct vq_desc *desc)
{
	if (chain->out + chain->in == VQ_PIECES_MOST)
		return false;
	chain->piece[chain->out + chain->in] = (struct vq_piece){ (uint32_t)desc->address, desc->length };
	if (desc->flags & VQ_DESC_WRITE)
		chain->in++;
	else if (chain->in)
		return false;
	else
		chain->out++;
	return true;
}

static bool read_chain(const struct vq_device *vq, struct vq_chain *chain)
{
	struct vq_desc desc = { .next = chain->head, .flags = VQ_DESC_NEXT };

	while (desc.flags & VQ_DESC_NEXT) {
		if (desc.next >= vq->entries)
			return false;
		desc = copy_desc(vq, desc.next);
		if (desc.flags & ~(VQ_DESC_NEXT | VQ_DESC_WRITE) || !in_arena(vq, &desc) || !add_piece(chain, &desc))
			return false;
	}
	return true;
}

bool vq_device_take(struct vq_device *vq, struct vq_chain *chain)
{
	if (!vq_device_has(vq))
		return false;
	*chain = (struct vq_chain){ .head = VQ_LOAD(vq_avail_entries(ring_of(vq), vq->entries)[vq->avail_index % vq->entries]) };
	vq->avail_index++;
	vq->outstanding++;
	chain->good = read_chain(vq, chain);
	if (!chain->good)
		chain->out = chain->in = 0;
	return true;
}

void vq_device_give(struct vq_device *vq, uint16_t head, uint32_t bytes)
{
	vq_used_entries(ring_of(vq), vq->entries)[vq->used_index % vq->entries] = (struct vq_used){ head, bytes };
	VQ_STORE(vq_used_head(ring_of(vq), vq->entries)->index, ++vq->used_index);
	vq->outstanding--;
}

bool vq_device_is_awaited(const struct vq_device *vq)
{
	/* The driver sets its flag, then looks at what was given. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !(VQ_LOAD(vq_avail_head(ring_of(vq), vq->entries)->flags) & VQ_AVAIL_NO_INTERRUPT);
}
