// SPDX-License-Identifier: GPL-2.0
/* Entropy (VIRTIO 1.2, 5.4): random bytes of the control domain's kernel. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "host/backend/backend.h"
#include "shared/pc_map.h"
#include "shared/virtio_id.h"

#define ENTRIES			16u
#define PIECE			1024u		/* of the arena, for each entry */
#define SERVED_MOST		(16u << 10)	/* bytes at a time: a guest that asks all the time does not keep the loop */

struct rng {
	bool failed;			/* and told so */
};

static bool describe(const struct manifest *m, unsigned int number, struct backend_plan *plan)
{
	if (!m->rng || number)
		return false;
	*plan = (struct backend_plan){
		.device = { .type = KEEL_DEVICE_VIRTIO + VIRTIO_ID_RNG, .slot = PC_SLOT_RNG, .queues = 1 },
		.entries = ENTRIES, .arena_bytes = ENTRIES * PIECE,
	};
	return true;
}

/* Early after boot this waits until the kernel has bytes to give, and later nothing has to. */
static bool open_source(void *state, const struct manifest *m, unsigned int number, struct failure *failure)
{
	uint8_t byte;

	(void)state;
	(void)m;
	(void)number;
	while (getrandom(&byte, sizeof(byte), 0) != sizeof(byte))
		if (errno != EINTR)
			return failure_set(failure, EXIT_FAILED, "the kernel gives no random bytes (%s), which \"rng\" in "
					   "the manifest asks for", strerror(errno));
	return true;
}

static void close_source(void *state)
{
	(void)state;
}

/* Returns how many bytes the piece has now; fewer than it takes are as good. */
static uint32_t fill(struct rng *rng, uint8_t *to, uint32_t bytes)
{
	ssize_t n = getrandom(to, bytes < PIECE ? bytes : PIECE, GRND_NONBLOCK);

	if (n < 0 && !rng->failed)
		perror("rng: no random bytes for the guest");
	rng->failed = n < 0;
	return n < 0 ? 0 : (uint32_t)n;
}

/* What is no request is given back as it came. */
static uint32_t answer(struct rng *rng, const struct vq_device *queue, const struct vq_chain *chain)
{
	if (!chain->good || chain->out || !chain->in)
		return 0;
	return fill(rng, queue->channel + chain->piece[0].offset, chain->piece[0].bytes);
}

static bool serve(void *state, struct vq_device *queue)
{
	uint32_t served = 0;
	struct vq_chain chain;
	bool answered = false;

	for (unsigned int i = 0; i < queue->entries && served < SERVED_MOST && vq_device_take(queue, &chain); i++) {
		uint32_t bytes = answer(state, queue, &chain);

		vq_device_give(queue, chain.head, bytes);
		served += bytes;
		answered = true;
	}
	return answered;
}

const struct backend_ops backend_rng = {
	.bytes = sizeof(struct rng), .describe = describe, .open = open_source, .close = close_source, .serve = serve,
};
