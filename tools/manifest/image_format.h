/* SPDX-License-Identifier: GPL-2.0 */
/* What an image has to be for a drive, and images that are not raw, or compressed, told by their marks. */
#ifndef KEEL_IMAGE_FORMAT_H
#define KEEL_IMAGE_FORMAT_H

#include <stdint.h>

#define IMAGE_SECTOR		512u
#define IMAGE_CD_SECTOR		2048u
#define IMAGE_SECTORS_MOST	(1ull << 48)	/* as ATA counts them */

struct image_format {
	const char *name;	/* as people say it */
	const char *qemu;	/* as qemu-img(1) says it; NULL: it is compressed */
	const char *unpack;	/* the command for one that is compressed; it takes a file's name, */
	_Bool is_filter;	/* or reads that from its standard input */
};

/* The format of an open image of this size; NULL: nothing says that it is not raw. */
const struct image_format *image_format_find(int fd, uint64_t bytes);

/*
 * Whether an open image of this size is what a drive takes: raw, and whole sectors. False: *fault says what is wrong and what to
 * do, or is NULL for want of memory; the caller's to free. True: it is NULL.
 */
_Bool image_is_good(int fd, const char *file, uint64_t bytes, unsigned int sector, char **fault);

#endif
