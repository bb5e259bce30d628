// SPDX-License-Identifier: GPL-2.0
/* Limits of a disk's rate. */
#include "host/backend/throttle.h"

#define NS_PER_SECOND	1000000000ull

/* Operations are counted one by one: what may come at once is as many, and no debt. */
static void set_operations(struct bucket *bucket, uint64_t rate, uint64_t burst)
{
	*bucket = (struct bucket){ .rate = rate };
	if (rate)
		bucket->deep = (burst - 1) * NS_PER_SECOND / rate;
}

void throttle_init(struct throttle *throttle, const struct manifest_disk_rate *rate)
{
	bucket_init(&throttle->bytes, rate->bytes, rate->bytes_burst);
	set_operations(&throttle->operations, rate->operations, rate->operations_burst);
}

uint64_t throttle_take(struct throttle *throttle, uint64_t now_ns, uint32_t bytes)
{
	uint64_t for_bytes = bytes ? bucket_wait(&throttle->bytes, now_ns) : 0;
	uint64_t for_operations = bucket_wait(&throttle->operations, now_ns);

	if (for_bytes || for_operations)
		return for_bytes > for_operations ? for_bytes : for_operations;
	if (bytes)
		bucket_take(&throttle->bytes, bytes, now_ns);
	bucket_take(&throttle->operations, 1, now_ns);
	return 0;
}
