// SPDX-License-Identifier: GPL-2.0
/* The limit of a rate, by a clock of the test's own. */
#include <check.h>

#include "host/backend/bucket.h"
#include "suite.h"

#define SECOND		1000000000ull

static struct bucket bucket;
static uint64_t now;

/* Sends pieces of this size for as long, as soon as each may; bytes that went. */
static uint64_t send_for(uint64_t time, uint64_t piece)
{
	uint64_t end = now + time, sent = 0, wait;

	for (;;) {
		wait = bucket_wait(&bucket, now);
		if (now + wait >= end)
			break;
		now += wait;
		/* Not sooner, and then at once. */
		ck_assert(!wait || bucket_wait(&bucket, now - 1));
		ck_assert_uint_eq(bucket_wait(&bucket, now), 0);
		bucket_take(&bucket, piece, now);
		sent += piece;
	}
	now = end;
	return sent;
}

START_TEST(no_limit)
{
	bucket_init(&bucket, 0, 0);
	for (unsigned int i = 0; i < 1000; i++) {
		ck_assert_uint_eq(bucket_wait(&bucket, 5), 0);
		bucket_take(&bucket, BUCKET_BYTES_MOST, 5);
	}
}
END_TEST

static const struct { uint64_t rate, burst, piece; } limits[] = {
	{ 1 << 20, 1 << 16, 1500 }, { 1 << 20, 1 << 16, 65550 }, { BUCKET_RATE_LEAST, 1, 60 },
	{ BUCKET_RATE_LEAST, 65536, 65550 },
	{ 125000000, 1 << 20, 1500 }, { 1 << 30, 1 << 30, 65550 }, { 3, 1, 1 },
};

/* In the long run the rate; the burst once, and again after a rest. */
START_TEST(rates)
{
	const uint64_t rate = limits[_i].rate, burst = limits[_i].burst, piece = limits[_i].piece;
	uint64_t seconds = 20 + 40 * piece / rate, sent;

	now = 1234567;
	bucket_init(&bucket, rate, burst);
	for (unsigned int round = 0; round < 2; round++) {
		sent = send_for(seconds * SECOND, piece);
		ck_assert_uint_le(sent, rate * seconds + burst + piece + rate / 1000 + 1);
		ck_assert_uint_ge(sent + 2 * piece, rate * seconds);
		now += (burst + 2 * piece) * SECOND / rate + SECOND;
	}
}
END_TEST

START_TEST(burst_at_once)
{
	uint64_t sent = 0;

	now = 77;
	bucket_init(&bucket, 1000000, 100000);
	for (; !bucket_wait(&bucket, now); sent += 1000)
		bucket_take(&bucket, 1000, now);
	ck_assert_uint_ge(sent, 100000);
	ck_assert_uint_le(sent, 102000);
	/* A part of the time is a part of the bytes. */
	now += SECOND / 20;
	for (sent = 0; !bucket_wait(&bucket, now); sent += 1000)
		bucket_take(&bucket, 1000, now);
	ck_assert_uint_ge(sent, 49000);
	ck_assert_uint_le(sent, 51000);
}
END_TEST

/* What is more than all of it goes, and is paid for. */
START_TEST(more_than_the_burst)
{
	now = 5;
	bucket_init(&bucket, 1000, 10);
	ck_assert_uint_eq(bucket_wait(&bucket, now), 0);
	bucket_take(&bucket, 5000, now);
	ck_assert_uint_eq(bucket_wait(&bucket, now), 5 * SECOND - SECOND / 100);
}
END_TEST

/* Not told: an eighth of a second, or a large frame. */
START_TEST(usual_burst)
{
	bucket_init(&bucket, 8 << 20, 0);
	ck_assert_uint_eq(bucket.deep, SECOND / 8);
	bucket_init(&bucket, 65536, 0);
	ck_assert_uint_eq(bucket.deep, SECOND);
	bucket_init(&bucket, BUCKET_RATE_MOST, 0);
	ck_assert_uint_eq(bucket.deep, BUCKET_BURST_MOST * SECOND / BUCKET_RATE_MOST);
}
END_TEST

SUITE("bucket", running)
{
	tcase_add_test(running, no_limit);
	tcase_add_loop_test(running, rates, 0, (int)(sizeof(limits) / sizeof(limits[0])));
	tcase_add_test(running, burst_at_once);
	tcase_add_test(running, more_than_the_burst);
	tcase_add_test(running, usual_burst);
}
