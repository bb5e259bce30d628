/* SPDX-License-Identifier: GPL-2.0 */
/* The direct map: every physical address that Keel uses is mapped once, at a fixed offset. */
#ifndef ARCH_MEMORY_H
#define ARCH_MEMORY_H

#include <stdint.h>

#define PAGE_SHIFT	12u
#define PAGE_SIZE	(UINT64_C(1) << PAGE_SHIFT)
#define SIZE_2M		(UINT64_C(1) << 21)
#define SIZE_1G		(UINT64_C(1) << 30)
#define SIZE_4G		(UINT64_C(1) << 32)

/* Unit tests compile the real sources and stand an arena of theirs in for physical memory. */
#ifdef KEEL_HOST_TEST
extern uint8_t *memory_test_arena;
#define DIRECT_MAP_BASE	((uint64_t)(uintptr_t)memory_test_arena)
#else
#define DIRECT_MAP_BASE	UINT64_C(0xffff800000000000)
#endif

static inline uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

static inline void *phys_to_virt(uint64_t pa)
{
	return (void *)(uintptr_t)(DIRECT_MAP_BASE + pa);
}

/* Only for addresses in the direct map; the image of Keel is mapped elsewhere as well. */
static inline uint64_t virt_to_phys(const void *virt)
{
	return (uint64_t)(uintptr_t)virt - DIRECT_MAP_BASE;
}

#endif
