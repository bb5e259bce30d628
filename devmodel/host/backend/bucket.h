/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A limit of a rate, by a token bucket: so many bytes a second in the long run, and a burst of some at once after a rest. What is
 * larger than the burst goes as a whole, and what follows waits longer. Kept as the time at which the bucket would be full again,
 * in nanoseconds of CLOCK_MONOTONIC, which the caller says.
 */
#ifndef KEEL_BUCKET_H
#define KEEL_BUCKET_H

#include <stdint.h>

#define BUCKET_RATE_LEAST	1024ull		/* bytes a second */
#define BUCKET_RATE_MOST	(1ull << 40)
#define BUCKET_BURST_MOST	(1ull << 30)	/* bytes */
#define BUCKET_BYTES_MOST	(1ull << 28)	/* that are taken at once */

struct bucket {
	uint64_t rate;			/* 0: there is no limit */
	uint64_t deep;			/* nanoseconds in which an empty one is full */
	uint64_t full;			/* when it is, */
	uint64_t rest;			/* and what of a nanosecond is left, by the rate */
};

/* burst 0: an eighth of a second's, or 64 KiB, whichever is more. */
void bucket_init(struct bucket *bucket, uint64_t rate, uint64_t burst);
/* Nanoseconds until something may go; 0: now. */
uint64_t bucket_wait(const struct bucket *bucket, uint64_t now);
void bucket_take(struct bucket *bucket, uint64_t bytes, uint64_t now);

#endif
