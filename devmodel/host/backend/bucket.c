// SPDX-License-Identifier: GPL-2.0
/* A limit of a rate: the generic cell rate algorithm (ITU-T I.371, annex A), of bytes. */
#include "host/backend/bucket.h"

#define SECOND		1000000000ull
#define BURST_LEAST	65536ull	/* of those that are not told: a frame with segments that were left out */
#define BURST_PART	8u

_Static_assert(BUCKET_BURST_MOST <= UINT64_MAX / SECOND && BUCKET_BYTES_MOST <= UINT64_MAX / SECOND, "times fit");

void bucket_init(struct bucket *bucket, uint64_t rate, uint64_t burst)
{
	uint64_t usual = rate / BURST_PART > BURST_LEAST ? rate / BURST_PART : BURST_LEAST;

	*bucket = (struct bucket){ .rate = rate };
	if (burst || usual > BUCKET_BURST_MOST)
		usual = burst && burst < BUCKET_BURST_MOST ? burst : BUCKET_BURST_MOST;
	if (rate)
		bucket->deep = usual * SECOND / rate;
}

uint64_t bucket_wait(const struct bucket *bucket, uint64_t now)
{
	if (!bucket->rate || bucket->full <= now || bucket->full - now <= bucket->deep)
		return 0;
	return bucket->full - now - bucket->deep;
}

void bucket_take(struct bucket *bucket, uint64_t bytes, uint64_t now)
{
	uint64_t time = bytes * SECOND + bucket->rest;

	if (!bucket->rate)
		return;
	if (bucket->full < now)
		bucket->full = now;
	bucket->full += time / bucket->rate;
	bucket->rest = time % bucket->rate;
}
