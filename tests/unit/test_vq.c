// SPDX-License-Identifier: GPL-2.0
/* Queues between the halves: both ends against each other, each against an end that lies, and the layout of VIRTIO 1.2, 2.7. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "shared/vq_device.h"
#include "shared/vq_driver.h"
#include "suite.h"

#define ENTRIES		16u
#define RING		4096u		/* where in the channel */
#define ARENA		8192u
#define ARENA_BYTES	4096u
#define CHANNEL_BYTES	(ARENA + ARENA_BYTES)

static uint8_t *channel;
static struct vq_driver driver;
static struct vq_device device;
static struct vq_shadow shadow[ENTRIES];

static void set_up(void)
{
	channel = aligned_alloc(16, CHANNEL_BYTES);
	memset(channel, 0, CHANNEL_BYTES);
	vq_driver_init(&driver, channel + RING, ENTRIES, shadow);
	vq_device_init(&device, channel, RING, ENTRIES, ARENA, ARENA_BYTES);
}

static void tear_down(void)
{
	free(channel);
}

static struct vq_desc *desc(unsigned int number)
{
	return &vq_descs(channel + RING)[number];
}

/* Descriptor 'first' is offered without the driver. */
static void offer(uint16_t first)
{
	struct vq_head *avail = vq_avail_head(channel + RING, ENTRIES);

	vq_avail_entries(channel + RING, ENTRIES)[avail->index % ENTRIES] = first;
	avail->index++;
}

static void use(uint32_t head, uint32_t bytes)
{
	struct vq_head *used = vq_used_head(channel + RING, ENTRIES);

	vq_used_entries(channel + RING, ENTRIES)[used->index % ENTRIES] = (struct vq_used){ head, bytes };
	used->index++;
}

START_TEST(layout)
{
	/* 16 bytes a descriptor; 6 and 2 an entry; from there on 4, 6 and 8 an entry. */
	ck_assert_uint_eq(vq_avail_offset(16), 256);
	ck_assert_uint_eq(vq_used_offset(16), 256 + 40);
	ck_assert_uint_eq(vq_bytes(16), 296 + 6 + 128);
	ck_assert_uint_eq(sizeof(struct vq_desc), 16);
	ck_assert_uint_eq(sizeof(struct vq_used), 8);
	ck_assert(vq_entries_are_good(16) && vq_entries_are_good(1024));
	ck_assert(!vq_entries_are_good(0) && !vq_entries_are_good(8) && !vq_entries_are_good(48) && !vq_entries_are_good(2048));
}
END_TEST

START_TEST(one_chain)
{
	static const struct vq_piece pieces[] = { { ARENA, 16 }, { ARENA + 512, 1024 }, { ARENA + 16, 1 } };
	struct vq_chain chain;
	uint32_t bytes;
	uint16_t head, back;

	ck_assert(!vq_device_take(&device, &chain));
	ck_assert(vq_driver_send(&driver, pieces, 2, 1, &head));
	ck_assert(vq_device_has(&device) && vq_device_take(&device, &chain));
	ck_assert(!vq_device_has(&device));
	ck_assert(chain.good);
	ck_assert_uint_eq(chain.head, head);
	ck_assert_uint_eq(chain.out, 2);
	ck_assert_uint_eq(chain.in, 1);
	ck_assert_mem_eq(chain.piece, pieces, sizeof(pieces));
	ck_assert(!vq_driver_receive(&driver, &back, &bytes));
	vq_device_give(&device, chain.head, 77);
	ck_assert(vq_driver_receive(&driver, &back, &bytes));
	ck_assert_uint_eq(back, head);
	ck_assert_uint_eq(bytes, 77);
	ck_assert(!vq_driver_receive(&driver, &back, &bytes));
	ck_assert_uint_eq(driver.free_count, ENTRIES);
}
END_TEST

/* As many as there is room for, and given back in another order, over and over. */
START_TEST(many_chains)
{
	bool out[ENTRIES] = { false };
	uint16_t queue[ENTRIES], head;
	unsigned int sent = 0, taken = 0, waiting = 0;
	uint32_t bytes;

	srand(1);
	for (unsigned int round = 0; round < 20000; round++) {
		unsigned int in = (unsigned int)rand() % 3, count = in + 1 + (unsigned int)rand() % 3;
		struct vq_piece pieces[VQ_PIECES_MOST];
		struct vq_chain chain;

		for (unsigned int i = 0; i < count; i++)
			pieces[i] = (struct vq_piece){ ARENA + round % 64 + i, 1 + i };
		if (rand() % 2 && vq_driver_send(&driver, pieces, count - in, in, &head)) {
			ck_assert(!out[head]);
			out[head] = true;
			sent++;
		}
		if (rand() % 2 && vq_device_take(&device, &chain)) {
			ck_assert(chain.good && out[chain.head]);
			queue[waiting++] = chain.head;
		}
		if (waiting && rand() % 2) {
			unsigned int which = (unsigned int)rand() % waiting;

			vq_device_give(&device, queue[which], queue[which] * 3u);
			queue[which] = queue[--waiting];
		}
		if (rand() % 2 && vq_driver_receive(&driver, &head, &bytes)) {
			ck_assert(out[head]);
			ck_assert_uint_eq(bytes, head * 3u);
			out[head] = false;
			taken++;
		}
		ck_assert(vq_driver_is_done(&driver) == (!waiting && !vq_device_has(&device)));
	}
	ck_assert_uint_gt(sent, 4000);
	ck_assert_uint_ge(taken + ENTRIES, sent);
}
END_TEST

START_TEST(no_room)
{
	static const struct vq_piece pieces[VQ_PIECES_MOST] = {
		{ ARENA, 1 }, { ARENA, 1 }, { ARENA, 1 }, { ARENA, 1 }, { ARENA, 1 },
	};
	uint16_t head;

	ck_assert(!vq_driver_send(&driver, pieces, 0, 0, &head));
	ck_assert(vq_driver_send(&driver, pieces, 5, 0, &head));
	ck_assert(vq_driver_send(&driver, pieces, 0, 5, &head));
	ck_assert(vq_driver_send(&driver, pieces, 2, 3, &head));
	ck_assert(!vq_driver_send(&driver, pieces, 1, 1, &head));
	ck_assert(vq_driver_send(&driver, pieces, 1, 0, &head));
	ck_assert(!vq_driver_send(&driver, pieces, 1, 0, &head));
}
END_TEST

static const struct {
	struct vq_desc desc[3];
	uint16_t first;
} bad_chains[] = {
	{ .first = ENTRIES },
	{ .first = UINT16_MAX },
	{ .desc = { { ARENA, 16, VQ_DESC_NEXT, ENTRIES } } },
	{ .desc = { { ARENA, 16, VQ_DESC_NEXT, 0 } } },				/* a ring */
	{ .desc = { { ARENA, 16, VQ_DESC_NEXT, 1 }, { ARENA, 16, VQ_DESC_NEXT, 0 } } },
	{ .desc = { { ARENA, 0, 0, 0 } } },
	{ .desc = { { ARENA - 1, 2, 0, 0 } } },
	{ .desc = { { 0, 16, 0, 0 } } },
	{ .desc = { { ARENA + ARENA_BYTES, 1, 0, 0 } } },
	{ .desc = { { ARENA + ARENA_BYTES - 1, 2, 0, 0 } } },
	{ .desc = { { ARENA + 1, ARENA_BYTES, 0, 0 } } },
	{ .desc = { { ARENA + 16, UINT32_MAX - 8, 0, 0 } } },
	{ .desc = { { UINT64_MAX - 7, 16, 0, 0 } } },
	{ .desc = { { 0x100000000ull + ARENA, 16, 0, 0 } } },
	{ .desc = { { ARENA, 16, 4, 0 } } },					/* indirect */
	{ .desc = { { ARENA, 16, 0x8000, 0 } } },
	{ .desc = { { ARENA, 16, VQ_DESC_NEXT | VQ_DESC_WRITE, 1 }, { ARENA, 16, 0, 0 } } },	/* read behind written */
};

START_TEST(driver_lies)
{
	struct vq_chain chain;

	for (unsigned int i = 0; i < 3; i++)
		*desc(i) = bad_chains[_i].desc[i];
	offer(bad_chains[_i].first);
	ck_assert(vq_device_take(&device, &chain));
	ck_assert(!chain.good);
	ck_assert_uint_eq(chain.out + chain.in, 0);
	vq_device_give(&device, chain.head, 0);
	/* And goes on. */
	*desc(3) = (struct vq_desc){ ARENA, ARENA_BYTES, VQ_DESC_WRITE, 0 };
	offer(3);
	ck_assert(vq_device_take(&device, &chain));
	ck_assert(chain.good && chain.in == 1 && chain.piece[0].bytes == ARENA_BYTES);
}
END_TEST

START_TEST(driver_offers_all_the_time)
{
	struct vq_chain chain;
	unsigned int taken = 0;

	*desc(0) = (struct vq_desc){ ARENA, 1, 0, 0 };
	vq_avail_head(channel + RING, ENTRIES)->index = 0x8000;
	while (vq_device_take(&device, &chain))
		taken++;
	ck_assert_uint_eq(taken, ENTRIES);
	ck_assert(!vq_device_has(&device));
	vq_device_give(&device, chain.head, 0);
	ck_assert(vq_device_has(&device));
}
END_TEST

START_TEST(device_lies)
{
	static const struct vq_piece pieces[] = { { ARENA, 16 }, { ARENA + 512, 1024 } };
	uint16_t head, back;
	uint32_t bytes;

	ck_assert(vq_driver_send(&driver, pieces, 1, 1, &head));
	use(ENTRIES, 1);
	use(UINT32_MAX, 1);
	use(0x10000u + head, 1);
	use(shadow[head].next, 1);		/* in the middle of a chain */
	use((head + 5u) % ENTRIES, 1);		/* was never sent */
	ck_assert(!vq_driver_receive(&driver, &back, &bytes));
	use(head, UINT32_MAX);
	use(head, 1);				/* twice */
	ck_assert(vq_driver_receive(&driver, &back, &bytes));
	ck_assert_uint_eq(back, head);
	ck_assert(!vq_driver_receive(&driver, &back, &bytes));
	ck_assert_uint_eq(driver.free_count, ENTRIES);
	/* An index that cannot be. */
	ck_assert(vq_driver_send(&driver, pieces, 1, 1, &head));
	vq_used_head(channel + RING, ENTRIES)->index = (uint16_t)(driver.used_index + ENTRIES + 1);
	ck_assert(!vq_driver_receive(&driver, &back, &bytes));
	ck_assert_uint_eq(driver.free_count, ENTRIES - 2);
}
END_TEST

/* The other end changes descriptors while the chain is out: the driver frees what it has made. */
START_TEST(ring_is_rewritten)
{
	static const struct vq_piece pieces[] = { { ARENA, 16 }, { ARENA + 512, 1024 }, { ARENA, 1 } };
	uint16_t head, back;
	uint32_t bytes;

	ck_assert(vq_driver_send(&driver, pieces, 1, 2, &head));
	memset(channel + RING, 0xff, vq_avail_offset(ENTRIES));
	use(head, 0);
	ck_assert(vq_driver_receive(&driver, &back, &bytes));
	ck_assert_uint_eq(driver.free_count, ENTRIES);
	for (unsigned int i = 0; i < ENTRIES / 2; i++)
		ck_assert(vq_driver_send(&driver, pieces, 1, 1, &head));
	ck_assert(!vq_driver_send(&driver, pieces, 1, 0, &head));
}
END_TEST

SUITE("vq", tcase)
{
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, layout);
	tcase_add_test(tcase, one_chain);
	tcase_add_test(tcase, many_chains);
	tcase_add_test(tcase, no_room);
	tcase_add_loop_test(tcase, driver_lies, 0, (int)ARRAY_SIZE(bad_chains));
	tcase_add_test(tcase, driver_offers_all_the_time);
	tcase_add_test(tcase, device_lies);
	tcase_add_test(tcase, ring_is_rewritten);
}
