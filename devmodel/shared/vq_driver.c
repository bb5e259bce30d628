// SPDX-License-Identifier: GPL-2.0
/* The driver's end of a queue between the halves. */
#include "shared/vq_driver.h"

void vq_driver_init(struct vq_driver *vq, uint8_t *ring, unsigned int entries, struct vq_shadow *shadow)
{
	*vq = (struct vq_driver){
		.ring = ring, .shadow = shadow, .entries = (uint16_t)entries, .free_count = (uint16_t)entries,
	};
	for (unsigned int i = 0; i < entries; i++)
		shadow[i] = (struct vq_shadow){ .next = (uint16_t)((i + 1) % entries) };
}

static void store_desc(struct vq_driver *vq, uint16_t at, const struct vq_piece *piece, uint16_t flags)
{
	vq_descs(vq->ring)[at] = (struct vq_desc){ piece->offset, piece->bytes, flags, vq->shadow[at].next };
}

bool vq_driver_send(struct vq_driver *vq, const struct vq_piece *pieces, unsigned int out, unsigned int in, uint16_t *head)
{
	unsigned int count = out + in;
	uint16_t at = vq->free;

	if (!count || count > vq->free_count)
		return false;
	*head = at;
	for (unsigned int i = 0; i < count; i++) {
		store_desc(vq, at, &pieces[i],
			   (uint16_t)((i + 1 < count ? VQ_DESC_NEXT : 0) | (i >= out ? VQ_DESC_WRITE : 0)));
		at = vq->shadow[at].next;
	}
	vq->free = at;
	vq->free_count -= (uint16_t)count;
	vq->shadow[*head].count = (uint16_t)count;
	vq_avail_entries(vq->ring, vq->entries)[vq->avail_index % vq->entries] = *head;
	VQ_STORE(vq_avail_head(vq->ring, vq->entries)->index, ++vq->avail_index);
	return true;
}

static void free_chain(struct vq_driver *vq, uint16_t head)
{
	uint16_t last = head;

	for (unsigned int i = 1; i < vq->shadow[head].count; i++)
		last = vq->shadow[last].next;
	vq->shadow[last].next = vq->free;
	vq->free = head;
	vq->free_count += vq->shadow[head].count;
	vq->shadow[head].count = 0;
}

bool vq_driver_receive(struct vq_driver *vq, uint16_t *head, uint32_t *bytes)
{
	uint16_t index = VQ_LOAD(vq_used_head(vq->ring, vq->entries)->index);

	/* More than there are entries: the ring is broken, and nothing in it can be told from what was there before. */
	if ((uint16_t)(index - vq->used_index) > vq->entries)
		return false;
	while (vq->used_index != index) {
		struct vq_used *used = &vq_used_entries(vq->ring, vq->entries)[vq->used_index++ % vq->entries];
		uint32_t number = VQ_LOAD(used->head);

		if (number >= vq->entries || !vq->shadow[number].count)
			continue;
		*bytes = VQ_LOAD(used->bytes);
		*head = (uint16_t)number;
		free_chain(vq, *head);
		return true;
	}
	return false;
}

bool vq_driver_is_done(const struct vq_driver *vq)
{
	uint16_t back = (uint16_t)(VQ_LOAD(vq_used_head(vq->ring, vq->entries)->index) - vq->used_index);
	unsigned int out = 0;

	for (unsigned int i = 0; i < vq->entries; i++)
		out += vq->shadow[i].count != 0;
	return back >= out && back <= vq->entries;
}

void vq_driver_wait(struct vq_driver *vq, bool waits)
{
	VQ_STORE(vq_avail_head(vq->ring, vq->entries)->flags, waits ? 0 : VQ_AVAIL_NO_INTERRUPT);
	/* The device gives, then looks at the flag. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}
