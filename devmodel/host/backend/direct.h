/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An image without the page cache ("cache": "none"): a second descriptor of it, open for direct I/O, and which requests that can
 * carry out. Others take the first one, by the page cache. Linux keeps the two coherent, but for a write by the one while the
 * other writes into the same page: what the page cache has read before then comes to the disk later. Such writes are not started
 * at the same time.
 */
#ifndef KEEL_DIRECT_H
#define KEEL_DIRECT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/exit.h"

struct direct {
	int fd;
	uint32_t offset_align;	/* of places in the image and lengths: powers of two; 0: there is none, and no descriptor, */
	uint32_t memory_align;	/* and of buffers */
};

/* Opens what is open as fd once more. A file system or device that has no direct I/O: the failure says so. */
bool direct_open(struct direct *direct, int fd, bool readonly, const char *file, struct failure *failure);
void direct_close(struct direct *direct);
static inline bool direct_is_open(const struct direct *direct)
{
	return direct->offset_align != 0;
}
/* Of one that is open. Whether these bytes can be moved. */
bool direct_fits(const struct direct *direct, const void *buffer, uint64_t offset, uint32_t count);
/* Whether two ranges have a page, or a block of the disk, in common. */
bool direct_overlaps(const struct direct *direct, uint64_t a, uint32_t a_count, uint64_t b, uint32_t b_count);

#endif
