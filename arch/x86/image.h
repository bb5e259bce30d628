/* SPDX-License-Identifier: GPL-2.0 */
/* Where the image lies; symbols of keel.ld. */
#ifndef ARCH_IMAGE_H
#define ARCH_IMAGE_H

#include <stdint.h>

#define IMAGE_VIRTUAL	0xffffffff80000000ull

extern const uint8_t image_start[], image_end[];	/* physical */
extern const uint8_t text_start[], text_end[], rodata_start[], rodata_end[], data_start[], data_end[];

static inline uint64_t image_to_phys(const void *address)
{
	return (uint64_t)(uintptr_t)address - IMAGE_VIRTUAL;
}

#endif
