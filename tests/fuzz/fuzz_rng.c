// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of the entropy device's back end, the resource half's end of its queue: a cell that keeps to the rules, and from
 * some time on one that writes anything anywhere.
 */
#include "fuzz.h"
#include "host/backend/backend.h"
#include "shared/vq_driver.h"

#define RING		64u
#define ARENA		1024u
#define ARENA_BYTES	4096u
#define END		(ARENA + ARENA_BYTES)
#define CHANNEL_BYTES	(END + 64)
#define ENTRIES_MOST	64u
#define PIECE_MOST	1024u		/* that one request fills */
#define INPUT_BYTES	256u
#define NOBODYS		0x5a

static uint8_t *channel;
static struct backend_plan plan;
static struct vq_driver driver;
static struct vq_device device;
static struct vq_shadow shadow[ENTRIES_MOST];
static bool honest;
static bool asked[ARENA_BYTES];			/* an honest cell has asked for bytes there */
static bool is_out[ENTRIES_MOST];
static uint32_t wanted[ENTRIES_MOST];		/* of the chain that this one heads: what comes back of it */

/* Nothing but the ring and the buffers is written, and of an honest cell's buffers no byte that it has not asked for. */
static void check_untouched(void)
{
	uint32_t ring_end = RING + (uint32_t)vq_bytes(plan.entries);

	for (uint32_t i = 0; i < CHANNEL_BYTES; i++) {
		if (i < RING || i >= END || (i >= ring_end && i < ARENA))
			require(channel[i] == NOBODYS, "what is nobody's was written");
		else if (honest && i >= ARENA && !asked[i - ARENA])
			require(channel[i] == NOBODYS, "a byte was written that was not asked for");
	}
}

static void send(struct bytes *b)
{
	unsigned int what = take8(b), out = what % 8 ? 0 : 1, in = what % 7 ? 1 : what / 64;
	struct vq_piece pieces[VQ_PIECES_MOST];
	uint16_t head;

	for (unsigned int i = 0; i < out + in; i++) {
		uint32_t offset = take16(b) % ARENA_BYTES, room = ARENA_BYTES - offset;

		pieces[i] = (struct vq_piece){ ARENA + offset, take16(b) % (room < 2048 ? room : 2048) + 1 };
	}
	if (!vq_driver_send(&driver, pieces, out, in, &head))
		return;
	require(head < plan.entries && !is_out[head], "a chain was sent twice");
	is_out[head] = true;
	wanted[head] = 0;
	if (out || !in)
		return;
	wanted[head] = pieces[0].bytes < PIECE_MOST ? pieces[0].bytes : PIECE_MOST;
	memset(&asked[pieces[0].offset - ARENA], true, wanted[head]);
}

static void receive(void)
{
	uint32_t bytes;
	uint16_t head;

	if (!vq_driver_receive(&driver, &head, &bytes))
		return;
	require(head < plan.entries && is_out[head], "a chain came back that was not out");
	is_out[head] = false;
	require(!honest || bytes == wanted[head], "another number of bytes than was asked for");
}

/* Whatever the cell does, it ends: not more than one look at each entry. */
static void serve(void *state)
{
	uint16_t before = device.used_index;
	bool answered = backend_rng.serve(state, &device);

	require(answered == (device.used_index != before), "it does not tell what it has done");
	require((uint16_t)(device.used_index - before) <= plan.entries, "too many at a time");
	require(!device.outstanding, "a chain was kept");
}

static void scribble(struct bytes *b)
{
	uint32_t ring_bytes = (uint32_t)vq_bytes(plan.entries), at = take16(b) % (ring_bytes + ARENA_BYTES);

	channel[at < ring_bytes ? RING + at : ARENA + at - ring_bytes] = take8(b);
	honest = false;
}

static void *set_up(void)
{
	static const struct manifest manifest = { .rng = true };
	struct failure failure;
	void *state = calloc(1, backend_rng.bytes);

	require(backend_rng.describe(&manifest, 0, &plan) && !backend_rng.describe(&manifest, 1, &plan), "one such device");
	require(plan.entries <= ENTRIES_MOST && RING + vq_bytes(plan.entries) <= ARENA, "the ring reaches into the arena");
	channel = malloc(CHANNEL_BYTES);
	require(state && channel, "no memory");
	require(backend_rng.open(state, &manifest, 0, &failure), "no random bytes");
	memset(channel, NOBODYS, CHANNEL_BYTES);
	memset(channel + RING, 0, vq_bytes(plan.entries));
	memset(asked, false, sizeof(asked));
	memset(is_out, false, sizeof(is_out));
	honest = true;
	vq_driver_init(&driver, channel + RING, plan.entries, shadow);
	vq_device_init(&device, channel, RING, plan.entries, ARENA, ARENA_BYTES);
	return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };
	void *state = set_up();

	while (b.left) {
		switch (take8(&b) % 16) {
		case 0:
			scribble(&b);
			break;
		case 1:
		case 2:
		case 3:
			serve(state);
			break;
		case 4:
		case 5:
		case 6:
			receive();
			break;
		default:
			send(&b);
			break;
		}
	}
	serve(state);
	check_untouched();
	backend_rng.close(state);
	free(state);
	free(channel);
	return 0;
}

static size_t make(uint8_t *input, uint64_t *state)
{
	return fuzz_make_bytes(input, INPUT_BYTES, state);
}

const struct fuzz_target fuzz_target = { .rounds = 4000, .room = INPUT_BYTES, .make = make };
