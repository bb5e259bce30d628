// SPDX-License-Identifier: GPL-2.0
/* Limits of a disk's rate, by a clock of the test's own; and the queue that they hold up. */
#include <stdlib.h>
#include <string.h>

#include "host/backend/block_queue.h"
#include "shared/vq_driver.h"
#include "suite.h"

#define SECOND		1000000000ull
#define MIB		(1ull << 20)
#define START		(7 * SECOND)
#define REQUEST_MOST	0x20000u

static struct throttle throttle;
static uint64_t now;

static void limit(uint64_t bytes, uint64_t bytes_burst, unsigned int operations, unsigned int operations_burst)
{
	throttle_init(&throttle, &(struct manifest_disk_rate){ bytes, bytes_burst, operations, operations_burst });
	now = START;
}

static void waits(uint32_t bytes, uint64_t ns)
{
	ck_assert_uint_eq(throttle_take(&throttle, now, bytes), ns);
}

START_TEST(without_limits)
{
	limit(0, 0, 0, 0);
	for (int i = 0; i < 1000; i++)
		waits(1u << 28, 0);
}
END_TEST

/* After a rest the burst passes, then one each tenth of a second; after another rest no more than the burst. */
START_TEST(operations)
{
	limit(0, 0, 10, 3);
	for (unsigned int round = 0; round < 2; round++, now += 1000 * SECOND) {
		for (int i = 0; i < 3; i++)
			waits(REQUEST_MOST, 0);
		waits(0, SECOND / 10);
		now += SECOND / 10 - 1;
		waits(0, 1);
		now += 1;
		waits(0, 0);
		waits(0, SECOND / 10);
	}
}
END_TEST

/* What is larger than the burst passes, and is paid for afterwards. */
START_TEST(debt)
{
	limit(MIB, MIB, 0, 0);
	waits(16 * MIB, 0);
	waits(512, 15 * SECOND);
	/* What moves nothing needs no bytes. */
	waits(0, 0);
	now += 15 * SECOND - 1;
	waits(512, 1);
	now += 1;
	waits(512, 0);
}
END_TEST

/* Both limits hold, and what one of them holds up takes nothing of the other. */
START_TEST(both)
{
	limit(MIB, MIB, 2, 2);
	waits(MIB + MIB / 2, 0);
	for (int i = 0; i < 10; i++)
		waits(MIB / 2, SECOND / 2);
	waits(0, 0);
	waits(0, SECOND / 2);
	now += SECOND / 2;
	waits(MIB, 0);
	waits(1, SECOND);
	now += SECOND;
	waits(1, 0);
	waits(0, 0);
	waits(0, SECOND / 2);
}
END_TEST

/* Whoever asks as fast as may be gets the rate: the burst and one request more than that at most, and no less. */
START_TEST(greedy)
{
	static const uint64_t rates[] = { 1024, 50 * MIB + 3, 1ull << 40 };
	uint64_t rate = rates[_i % 3], burst = _i < 3 ? REQUEST_MOST : MIB, moved = 0;

	srand((unsigned int)_i);
	limit(rate, burst, 0, 0);
	for (unsigned int i = 0; i < 100000; i++) {
		uint32_t bytes = ((uint32_t)rand() % (REQUEST_MOST / 512) + 1) * 512;
		uint64_t wait = throttle_take(&throttle, now, bytes);
		uint64_t may = (uint64_t)((unsigned __int128)(now - START) * rate / SECOND) + burst;

		if (wait) {
			ck_assert_uint_ge(moved + rate / SECOND + 1, may);
			now += wait;
			continue;
		}
		moved += bytes;
		ck_assert_uint_le(moved, may + REQUEST_MOST + rate / SECOND + 1);
	}
	ck_assert_uint_gt(moved, 50000ull * REQUEST_MOST / 4);
}
END_TEST

START_TEST(largest)
{
	limit(MIB, 1ull << 30, 1, 10000000);
	for (int i = 0; i < 4; i++)
		waits(1u << 28, 0);
	limit(1ull << 40, MIB, 10000000, 1);
	waits(1u << 28, 0);
	ck_assert_uint_lt(throttle_take(&throttle, now, 1), SECOND);
	/* A clock that stands, and one that has gone on for years. */
	limit(MIB, MIB, 1, 1);
	waits(2 * MIB, 0);
	now += 100ull * 365 * 86400 * SECOND;
	waits(2 * MIB, 0);
	ck_assert_uint_gt(throttle_take(&throttle, now, 1), 0);
}
END_TEST

/* The queue */

#define ENTRIES		32u
#define DESCRIPTORS	3u

static struct {
	struct keel_channel c;
	_Alignas(KEEL_PAGE_SIZE) uint8_t ring[KEEL_PAGE_SIZE];
	_Alignas(KEEL_PAGE_SIZE) uint8_t arena[KEEL_PAGE_SIZE];
} peer;
static const struct keel_queue where = {
	.ring = sizeof(peer.c) + (KEEL_PAGE_SIZE - sizeof(peer.c) % KEEL_PAGE_SIZE) % KEEL_PAGE_SIZE, .entries = ENTRIES,
	.arena = sizeof(peer) - KEEL_PAGE_SIZE, .arena_bytes = KEEL_PAGE_SIZE,
};
static struct block_queue queue;
static struct vq_driver cell;
static struct vq_shadow shadow[ENTRIES];

/* Reads of a sector, by their numbers. */
static void ask(unsigned int number)
{
	const struct vq_piece pieces[DESCRIPTORS] = {
		{ where.arena + number * 32, sizeof(struct keel_block_header) }, { where.arena + 2048, KEEL_SECTOR },
		{ where.arena + number * 32 + 16, 1 },
	};
	uint16_t head;

	*(struct keel_block_header *)(void *)&peer.arena[number * 32] = (struct keel_block_header){ .sector = number };
	ck_assert(vq_driver_send(&cell, pieces, 1, 2, &head));
}

static bool next(struct disk_request *request, uint64_t *wait_ns)
{
	*wait_ns = UINT64_MAX;
	return block_queue_next_within(&queue, &throttle, now, request, wait_ns);
}

/* In their order, none is lost; what waits is no work that keeps the process awake. */
START_TEST(queued)
{
	struct disk_request request;
	uint64_t wait_ns;

	vq_driver_init(&cell, peer.ring, ENTRIES, shadow);
	block_queue_init(&queue, &peer.c, &where);
	ck_assert_ptr_eq((uint8_t *)&peer + where.ring, peer.ring);
	limit(0, 0, 10, 2);
	for (unsigned int i = 0; i < ENTRIES / DESCRIPTORS; i++)
		ask(i);
	for (unsigned int i = 0; i < ENTRIES / DESCRIPTORS; i++) {
		if (i >= 2) {
			ck_assert(!next(&request, &wait_ns));
			ck_assert(!vq_device_has(&queue.vq));
			ck_assert(wait_ns && wait_ns <= SECOND / 10);
			now += wait_ns;
		}
		ck_assert(next(&request, &wait_ns));
		ck_assert_uint_eq(request.offset, i * KEEL_SECTOR);
		block_queue_done(&queue, (uint16_t)request.tag, 0);
	}
	ck_assert(!next(&request, &wait_ns));
	ck_assert_uint_eq(wait_ns, UINT64_MAX);
	/* A queue that begins anew has forgotten what waited. */
	for (unsigned int i = 0; i < ENTRIES / DESCRIPTORS; i++) {
		uint32_t bytes;
		uint16_t head;

		ck_assert(vq_driver_receive(&cell, &head, &bytes));
		ask(i);
	}
	ck_assert(!next(&request, &wait_ns));
	memset(peer.ring, 0, sizeof(peer.ring));
	block_queue_init(&queue, &peer.c, &where);
	now += 10 * SECOND;
	ck_assert(!next(&request, &wait_ns));
}
END_TEST

SUITE("throttle", tests)
{
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, without_limits);
	tcase_add_test(tests, operations);
	tcase_add_test(tests, debt);
	tcase_add_test(tests, both);
	tcase_add_loop_test(tests, greedy, 0, 6);
	tcase_add_test(tests, largest);
	tcase_add_test(tests, queued);
}
