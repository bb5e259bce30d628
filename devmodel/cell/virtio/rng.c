// SPDX-License-Identifier: GPL-2.0
/*
 * Entropy device (VIRTIO 1.2, 5.4): the host fills pieces of the channel, from where the guest's buffers
 * are filled.
 */
#include "virtio/virtio.h"

#include "shared/vq_driver.h"
#include "shared/virtio_id.h"
#include "virtio/virtio_queue.h"

#define GUEST_ENTRIES		64u
#define HOST_ENTRIES		64u	/* at most */
#define ANSWER_MOST		4096u

/* What was asked of the host, by its head in the channel's queue. */
struct asked {
	uint32_t bytes;
	uint16_t head;			/* of the guest's chain */
	bool forgotten;			/* the guest has reset the device since */
};

struct rng {
	struct virtio_device virtio;
	uint32_t arena;			/* in the channel; each entry has a piece of it */
	uint32_t piece;
	struct vq_driver host;
	struct vq_shadow shadow[HOST_ENTRIES];
	struct asked asked[HOST_ENTRIES];
};

static bool accepts(const struct keel_device *row, const struct keel_queue *queues)
{
	return row->queues == 1 && !row->config_bytes && !row->features && queues[0].entries <= HOST_ENTRIES;
}

static void start(struct virtio_device *device, const struct keel_queue *queues)
{
	struct rng *rng = (struct rng *)device;
	uint32_t piece = queues[0].arena_bytes / queues[0].entries;

	rng->arena = queues[0].arena;
	rng->piece = piece < ANSWER_MOST ? piece : ANSWER_MOST;
	vq_driver_init(&rng->host, device->channel + queues[0].ring, queues[0].entries, rng->shadow);
}

static void reset(struct virtio_device *device)
{
	struct rng *rng = (struct rng *)device;

	for (unsigned int i = 0; i < HOST_ENTRIES; i++)
		rng->asked[i].forgotten = true;
}

/*
 * The device may use less than all of a buffer (5.4.6.2). False: all that can be asked for at once is; the
 * chain waits.
 */
static bool ask(struct rng *rng, const struct virtio_chain *chain)
{
	uint16_t head = rng->host.free;
	struct vq_piece piece = {
		.offset = rng->arena + head * rng->piece, .bytes = chain->in < rng->piece ? chain->in : rng->piece,
	};

	if (!vq_driver_send(&rng->host, &piece, 0, 1, &head))
		return false;
	rng->asked[head] = (struct asked){ .bytes = piece.bytes, .head = chain->head };
	*rng->virtio.asked = true;
	return true;
}

static void answer(struct rng *rng, uint16_t head, uint32_t bytes)
{
	const struct asked *asked = &rng->asked[head];
	const uint8_t *from = rng->virtio.channel + rng->arena + head * rng->piece;

	if (asked->forgotten)
		return;
	if (bytes > asked->bytes)
		bytes = asked->bytes;
	/* A buffer without a byte would be taken for one that was filled. */
	if (!bytes)
		virtio_break(&rng->virtio);
	else if (virtio_queue_write(&rng->virtio, 0, asked->head, from, bytes))
		virtio_queue_give(&rng->virtio, 0, asked->head, bytes);
}

static void work(struct virtio_device *device)
{
	struct rng *rng = (struct rng *)device;
	struct virtio_chain chain;
	uint32_t bytes;
	uint16_t head;

	while (virtio_runs(device) && vq_driver_receive(&rng->host, &head, &bytes))
		answer(rng, head, bytes);
	/* As many as a queue has: a guest that adds to it all the time cannot keep this from ending. */
	for (unsigned int i = 0; i < GUEST_ENTRIES && virtio_queue_peek(device, 0, &chain); i++) {
		if (chain.in && !ask(rng, &chain))
			break;
		virtio_queue_take(device, 0);
		if (!chain.in)
			virtio_queue_give(device, 0, chain.head, 0);
	}
	virtio_queue_tell(device, 0);
}

static bool awaited(const struct virtio_device *device)
{
	const struct rng *rng = (const struct rng *)device;

	for (unsigned int i = 0; i < rng->host.entries; i++)
		if (rng->shadow[i].count && !rng->asked[i].forgotten)
			return true;
	return false;
}

static bool quiet(const struct virtio_device *device)
{
	return !virtio_runs(device) || !awaited(device);
}

const struct virtio_ops virtio_rng = {
	.name = "virtio-rng",
	.id = VIRTIO_ID_RNG, .pci_device = 0x1005, .class = 0xff, .queues = 1, .entries = GUEST_ENTRIES,
	.bytes = sizeof(struct rng),
	.accepts = accepts, .start = start, .reset = reset, .work = work, .quiet = quiet, .awaited = awaited,
};
