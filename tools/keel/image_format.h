/* SPDX-License-Identifier: GPL-2.0 */
/* Disk images that are not raw, told by their marks. */
#ifndef KEEL_IMAGE_FORMAT_H
#define KEEL_IMAGE_FORMAT_H

#include <stdint.h>

struct image_format {
	const char *name;	/* as people say it */
	const char *qemu;	/* as qemu-img(1) says it */
};

/* The format of an open image of this size; NULL: nothing says that it is not raw. */
const struct image_format *image_format_find(int fd, uint64_t bytes);

#endif
