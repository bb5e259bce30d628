// SPDX-License-Identifier: GPL-2.0
/* Fuzz target of the queues between the halves: both ends at work while somebody writes anything into the ring. */
#include "fuzz.h"
#include "shared/vq_device.h"
#include "shared/vq_driver.h"

#define ENTRIES		16u
#define RING		64u
#define ARENA		640u
#define ARENA_BYTES	256u
#define CHANNEL_BYTES	(ARENA + ARENA_BYTES)
#define INPUT_BYTES	512u

static uint8_t *channel;
static struct vq_driver driver;
static struct vq_device device;
static struct vq_shadow shadow[ENTRIES];
static unsigned int count_of[ENTRIES];		/* descriptors of the chain that this one heads and the driver has sent */
static uint16_t taken[ENTRIES];
static unsigned int taken_count;

static void check_driver(void)
{
	unsigned int out = driver.free_count;

	for (unsigned int i = 0; i < ENTRIES; i++)
		out += count_of[i];
	require(out == ENTRIES, "a descriptor was lost or is there twice");
}

static void send(struct bytes *b)
{
	struct vq_piece pieces[VQ_PIECES_MOST];
	unsigned int out = take8(b) % 4, in = take8(b) % 4;
	uint16_t head;

	for (unsigned int i = 0; i < out + in; i++)
		pieces[i] = (struct vq_piece){ ARENA + take8(b) % ARENA_BYTES, 1 };
	if (!vq_driver_send(&driver, pieces, out, in, &head))
		return;
	require(head < ENTRIES && !count_of[head], "a chain was sent twice");
	count_of[head] = out + in;
}

static void receive(void)
{
	uint32_t bytes;
	uint16_t head;

	if (!vq_driver_receive(&driver, &head, &bytes))
		return;
	require(head < ENTRIES && count_of[head], "a chain came back that was not out");
	count_of[head] = 0;
}

static void take(void)
{
	struct vq_chain chain;

	if (!vq_device_take(&device, &chain))
		return;
	require(taken_count < ENTRIES, "more chains than entries are out");
	taken[taken_count++] = chain.head;
	require(chain.out + chain.in <= VQ_PIECES_MOST && (chain.good || !(chain.out + chain.in)), "too many pieces");
	for (unsigned int i = 0; i < chain.out + chain.in; i++)
		require(chain.piece[i].bytes && chain.piece[i].offset >= ARENA &&
			(uint64_t)chain.piece[i].offset + chain.piece[i].bytes <= CHANNEL_BYTES,
			"a piece is outside of the arena");
}

static void give(struct bytes *b)
{
	unsigned int which;

	if (!taken_count)
		return;
	which = take8(b) % taken_count;
	vq_device_give(&device, taken[which], take32(b));
	taken[which] = taken[--taken_count];
}

static void set_up(void)
{
	require(RING + vq_bytes(ENTRIES) <= ARENA, "the ring reaches into the arena");
	/* As large as it is: the sanitizer watches its ends. */
	channel = malloc(CHANNEL_BYTES);
	require(channel != NULL, "no memory");
	memset(channel, 0, CHANNEL_BYTES);
	memset(count_of, 0, sizeof(count_of));
	taken_count = 0;
	vq_driver_init(&driver, channel + RING, ENTRIES, shadow);
	vq_device_init(&device, channel, RING, ENTRIES, ARENA, ARENA_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };

	set_up();
	while (b.left) {
		switch (take8(&b) % 8) {
		case 0:
		case 1:
			send(&b);
			break;
		case 2:
			receive();
			break;
		case 3:
		case 4:
			take();
			break;
		case 5:
			give(&b);
			break;
		default:
			channel[RING + take16(&b) % (CHANNEL_BYTES - RING)] = take8(&b);
			break;
		}
		check_driver();
	}
	free(channel);
	return 0;
}

static size_t make(uint8_t *input, uint64_t *state)
{
	return fuzz_make_bytes(input, INPUT_BYTES, state);
}

const struct fuzz_target fuzz_target = { .rounds = 20000, .room = INPUT_BYTES, .make = make };
