// SPDX-License-Identifier: GPL-2.0
/* A guest's virtqueues. Section numbers are those of VIRTIO 1.2. */
#include "virtio/virtio_queue.h"

#include "core/string.h"
#include "shared/vq.h"

#define DESC_INDIRECT		4u	/* flag of a descriptor (2.7.5) */
#define AVAIL_NO_INTERRUPT	1u	/* flag of the available ring (2.7.6) */
#define LEGACY_ALIGN		4096u
#define RING_HEAD		((uint32_t)sizeof(struct vq_head))
#define EVENT_BYTES		((uint32_t)sizeof(uint16_t))

/* Where the areas are mapped. */
struct rings {
	const uint8_t *desc;
	const uint8_t *avail;
	uint8_t *used;
};

static uint32_t desc_bytes(uint32_t size)
{
	return size * (uint32_t)sizeof(struct vq_desc);
}

static uint32_t avail_bytes(uint32_t size)
{
	return RING_HEAD + size * (uint32_t)sizeof(uint16_t) + EVENT_BYTES;
}

static uint32_t used_bytes(uint32_t size)
{
	return RING_HEAD + size * (uint32_t)sizeof(struct vq_used) + EVENT_BYTES;
}

void virtio_queue_place_legacy(struct virtio_queue_state *queue)
{
	uint64_t end;

	queue->driver = queue->desc + desc_bytes(queue->size);
	end = queue->driver + avail_bytes(queue->size);
	queue->device = (end + LEGACY_ALIGN - 1) & ~(uint64_t)(LEGACY_ALIGN - 1);
}

/* Alignments: 2.7. */
static bool find_rings(const struct virtio_device *device, const struct virtio_queue_state *queue, struct rings *rings)
{
	if (!queue->enabled)
		return false;
	if (queue->desc % sizeof(struct vq_desc) || queue->driver % sizeof(uint16_t) || queue->device % sizeof(uint32_t))
		return false;
	rings->desc = gmem_at(device->mem, queue->desc, desc_bytes(queue->size), false);
	rings->avail = gmem_at(device->mem, queue->driver, avail_bytes(queue->size), false);
	rings->used = gmem_at(device->mem, queue->device, used_bytes(queue->size), true);
	return rings->desc && rings->avail && rings->used;
}

bool virtio_queue_is_placed(const struct virtio_device *device, const struct virtio_queue_state *queue)
{
	struct rings rings;

	return find_rings(device, queue, &rings);
}

static uint16_t load(const uint8_t *at)
{
	return __atomic_load_n((const uint16_t *)(const void *)at, __ATOMIC_ACQUIRE);
}

static void store(uint8_t *at, uint16_t value)
{
	__atomic_store_n((uint16_t *)(void *)at, value, __ATOMIC_RELEASE);
}

static uint16_t avail_flags(const struct rings *rings)
{
	return load(rings->avail + offsetof(struct vq_head, flags));
}

static uint16_t avail_index(const struct rings *rings)
{
	return load(rings->avail + offsetof(struct vq_head, index));
}

/* used_event is behind the available ring, avail_event behind the used one (2.7.7, 2.7.10). */
static uint16_t used_event(const struct rings *rings, uint32_t size)
{
	return load(rings->avail + avail_bytes(size) - EVENT_BYTES);
}

static void set_avail_event(const struct rings *rings, uint32_t size, uint16_t index)
{
	store(rings->used + used_bytes(size) - EVENT_BYTES, index);
}

/* Chains */

struct walk {
	const struct virtio_device *device;
	const uint8_t *table;
	uint32_t entries;	/* of the table */
	uint32_t left;		/* that may still be read of it: a chain that goes round ends there */
	uint16_t next;
	bool more, indirect;
};

enum step { STEP_PIECE, STEP_END, STEP_BAD };

static struct walk start_walk(const struct virtio_device *device, const struct virtio_queue_state *queue,
			      const struct rings *rings, uint16_t head)
{
	return (struct walk){
		.device = device, .table = rings->desc, .entries = queue->size, .left = queue->size, .next = head,
		.more = true,
	};
}

static bool read_desc(struct walk *w, struct vq_desc *desc)
{
	if (w->next >= w->entries || !w->left)
		return false;
	w->left--;
	memcpy(desc, w->table + (size_t)w->next * sizeof(*desc), sizeof(*desc));
	/* The guest may change it at any time: what is decided on is the copy. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	w->more = desc->flags & VQ_DESC_NEXT;
	w->next = desc->next;
	return true;
}

/* 2.7.5.3: the last one of a chain, and there is none in the table. */
static bool enter_table(struct walk *w, const struct vq_desc *desc)
{
	if (!virtio_has(w->device, VIRTIO_F_INDIRECT_DESC) || w->indirect || w->more || !desc->length ||
	    desc->length % sizeof(*desc))
		return false;
	w->table = gmem_at(w->device->mem, desc->address, desc->length, false);
	w->entries = desc->length / (uint32_t)sizeof(*desc);
	w->left = w->entries < VIRTIO_PIECES_MOST ? w->entries : VIRTIO_PIECES_MOST;
	w->next = 0;
	w->indirect = true;
	return w->table;
}

static enum step next_piece(struct walk *w, struct vq_desc *desc)
{
	if (!w->more)
		return STEP_END;
	if (!read_desc(w, desc))
		return STEP_BAD;
	if (desc->flags & DESC_INDIRECT && (!enter_table(w, desc) || !read_desc(w, desc) || desc->flags & DESC_INDIRECT))
		return STEP_BAD;
	return STEP_PIECE;
}

/* What is written comes behind what is read (2.7.4.2), and all of it is memory. */
static bool add_piece(const struct virtio_device *device, struct virtio_chain *chain, const struct vq_desc *desc)
{
	bool write = desc->flags & VQ_DESC_WRITE;
	uint32_t *sum = write ? &chain->in : &chain->out;

	if (!write && chain->in)
		return false;
	if (desc->length && !gmem_at(device->mem, desc->address, desc->length, write))
		return false;
	return !__builtin_add_overflow(*sum, desc->length, sum);
}

static bool measure(const struct virtio_device *device, struct walk w, struct virtio_chain *chain)
{
	struct vq_desc desc;
	enum step step;

	while ((step = next_piece(&w, &desc)) == STEP_PIECE)
		if (!add_piece(device, chain, &desc))
			return false;
	return step == STEP_END;
}

/* The guest tells of what it adds from now on; what it has added just before is seen. */
static bool is_empty(struct virtio_device *device, const struct virtio_queue_state *queue, const struct rings *rings)
{
	if (avail_index(rings) != queue->avail_index)
		return false;
	if (!virtio_has(device, VIRTIO_F_EVENT_IDX))
		return true;
	set_avail_event(rings, queue->size, queue->avail_index);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return avail_index(rings) == queue->avail_index;
}

static bool read_chain(struct virtio_device *device, const struct virtio_queue_state *queue, const struct rings *rings,
		       struct virtio_chain *chain)
{
	uint32_t place = queue->avail_index % queue->size;

	if ((uint16_t)(avail_index(rings) - queue->avail_index) > queue->size)
		return false;
	*chain = (struct virtio_chain){ .head = load(rings->avail + RING_HEAD + place * sizeof(uint16_t)) };
	return measure(device, start_walk(device, queue, rings, chain->head), chain);
}

bool virtio_queue_peek(struct virtio_device *device, unsigned int number, struct virtio_chain *chain)
{
	const struct virtio_queue_state *queue = &device->s.queue[number];
	struct rings rings;

	if (!queue->enabled || !virtio_runs(device))
		return false;
	if (!find_rings(device, queue, &rings)) {
		virtio_break(device);
		return false;
	}
	if (is_empty(device, queue, &rings))
		return false;
	if (read_chain(device, queue, &rings, chain))
		return true;
	virtio_break(device);
	return false;
}

void virtio_queue_take(struct virtio_device *device, unsigned int number)
{
	device->s.queue[number].avail_index++;
}

void virtio_queue_untake(struct virtio_device *device, unsigned int number, unsigned int count)
{
	device->s.queue[number].avail_index -= (uint16_t)count;
}

/* What is copied of a chain, and where it is in this program. */
struct copy {
	uint8_t *to;		/* or */
	const uint8_t *from;	/* for what is written */
	uint32_t skip, bytes;
};

static bool copy_part(const struct virtio_device *device, struct copy *copy, const struct vq_desc *desc)
{
	uint32_t skipped = desc->length < copy->skip ? desc->length : copy->skip;
	uint32_t part = desc->length - skipped < copy->bytes ? desc->length - skipped : copy->bytes;

	copy->skip -= skipped;
	copy->bytes -= part;
	if (!part)
		return true;
	if (copy->from) {
		copy->from += part;
		return gmem_write(device->mem, desc->address + skipped, copy->from - part, part);
	}
	copy->to += part;
	return gmem_read(device->mem, desc->address + skipped, copy->to - part, part);
}

static bool copy_pieces(const struct virtio_device *device, struct walk w, struct copy copy)
{
	struct vq_desc desc;

	while (copy.bytes && next_piece(&w, &desc) == STEP_PIECE)
		if (!!(desc.flags & VQ_DESC_WRITE) == !!copy.from && !copy_part(device, &copy, &desc))
			return false;
	return !copy.bytes;
}

static bool copy_chain(struct virtio_device *device, unsigned int number, uint16_t head, struct copy copy)
{
	const struct virtio_queue_state *queue = &device->s.queue[number];
	struct rings rings;

	if (find_rings(device, queue, &rings) && copy_pieces(device, start_walk(device, queue, &rings, head), copy))
		return true;
	virtio_break(device);
	return false;
}

bool virtio_queue_read_at(struct virtio_device *device, unsigned int number, uint16_t head, uint32_t skip, void *to,
			  uint32_t bytes)
{
	return copy_chain(device, number, head, (struct copy){ .to = to, .skip = skip, .bytes = bytes });
}

bool virtio_queue_write_at(struct virtio_device *device, unsigned int number, uint16_t head, uint32_t skip, const void *from,
			   uint32_t bytes)
{
	return copy_chain(device, number, head, (struct copy){ .from = from, .skip = skip, .bytes = bytes });
}

bool virtio_queue_write(struct virtio_device *device, unsigned int number, uint16_t head, const void *from, uint32_t bytes)
{
	return virtio_queue_write_at(device, number, head, 0, from, bytes);
}

void virtio_queue_give_all(struct virtio_device *device, unsigned int number, const struct vq_used *used, unsigned int count)
{
	struct virtio_queue_state *queue = &device->s.queue[number];
	struct rings rings;

	if (!find_rings(device, queue, &rings)) {
		virtio_break(device);
		return;
	}
	for (unsigned int i = 0; i < count; i++, queue->used_index++)
		memcpy(rings.used + RING_HEAD + queue->used_index % queue->size * sizeof(used[i]), &used[i], sizeof(used[i]));
	store(rings.used + offsetof(struct vq_head, index), queue->used_index);
}

void virtio_queue_give(struct virtio_device *device, unsigned int number, uint16_t head, uint32_t bytes)
{
	virtio_queue_give_all(device, number, &(struct vq_used){ head, bytes }, 1);
}

/* 2.7.7.2 */
static bool wants_to_know(const struct virtio_device *device, const struct virtio_queue_state *queue, const struct rings *rings)
{
	uint16_t given = (uint16_t)(queue->used_index - queue->told_index);

	if (!given)
		return false;
	if (!virtio_has(device, VIRTIO_F_EVENT_IDX))
		return !(avail_flags(rings) & AVAIL_NO_INTERRUPT);
	return (uint16_t)(queue->used_index - used_event(rings, queue->size) - 1) < given;
}

void virtio_queue_tell(struct virtio_device *device, unsigned int number)
{
	struct virtio_queue_state *queue = &device->s.queue[number];
	struct rings rings;
	bool tell;

	if (!find_rings(device, queue, &rings))
		return;
	/*
	 * The guest says what it wants and then looks for what was given; here it is the other way round.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	tell = wants_to_know(device, queue, &rings);
	queue->told_index = queue->used_index;
	if (tell)
		virtio_interrupt(device, VIRTIO_ISR_QUEUE, queue->vector);
}
