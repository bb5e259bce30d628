// SPDX-License-Identifier: GPL-2.0
// Keel's own address spaces: no page is both writable and executable.

#include "paging.h"

#include "image.h"
#include "memory.h"
#include "percpu.h"
#include "pt_format.h"
#include "trap.h"

#define FIXED_FRAMES	68u	/* image, carved-out stretch of the direct map, first 4 GiB of it, upper levels */
#define FRAMES_PER_CPU	2u

struct page_table paging_main;

uint64_t paging_frames(uint64_t limit, unsigned int largest)
{
	uint64_t directories = largest == PT_ORDER_1G ? 0 : limit / SIZE_1G + 1;

	return FIXED_FRAMES + directories + MAX_CPUS * FRAMES_PER_CPU + limit / (SIZE_1G * PT_ENTRIES);
}

static void map(uint64_t va, uint64_t pa, unsigned int order, unsigned int rights, struct frame_pool *pool)
{
	if (pt_map(&paging_main, va, pa, order, rights, 0, pool))
		panic("the address space of Keel cannot be built");
}

static void map_section(const uint8_t *start, const uint8_t *end, unsigned int rights, struct frame_pool *pool)
{
	for (; start < end; start += PAGE_SIZE)
		map((uint64_t)(uintptr_t)start, image_to_phys(start), PT_ORDER_4K, rights, pool);
}

/* The 2 MiB of the image: the start-up part, which is data by now, and what lies behind the image. */
static void map_around_image(uint64_t image, struct frame_pool *pool)
{
	uint64_t pa, text = image_to_phys(text_start), end = (uint64_t)(uintptr_t)image_end;

	for (pa = image; pa < image + SIZE_2M; pa += PAGE_SIZE)
		if (pa < text || pa >= end)
			map(DIRECT_MAP_BASE + pa, pa, PT_ORDER_4K, PT_READ | PT_WRITE, pool);
}

void paging_init(struct frame_pool *pool, uint64_t limit, unsigned int largest)
{
	uint64_t pa, image = (uint64_t)(uintptr_t)image_start;

	paging_main = (struct page_table){ &pt_format_x86, frame_pool_get(pool), largest };
	map_section(text_start, text_end, PT_READ | PT_EXEC, pool);
	map_section(rodata_start, rodata_end, PT_READ, pool);
	map_section(data_start, data_end, PT_READ | PT_WRITE, pool);
	/* Below 4 GiB devices are next to memory: a leaf over both would have no type that is defined (SDM vol. 3, 12.11.9). */
	for (pa = 0; pa < SIZE_4G; pa += SIZE_2M) {
		if (pa == image)
			map_around_image(image, pool);
		else
			map(DIRECT_MAP_BASE + pa, pa, PT_ORDER_2M, PT_READ | PT_WRITE, pool);
	}
	for (; pa < limit; pa += SIZE_1G)
		map(DIRECT_MAP_BASE + pa, pa, PT_ORDER_1G, PT_READ | PT_WRITE, pool);
}

void paging_map_cpu(unsigned int index, uint64_t pages, struct frame_pool *pool)
{
	uint64_t area = PERCPU_BASE + index * PERCPU_STRIDE, offset;

	for (offset = 0; offset < PERCPU_STRIDE; offset += PAGE_SIZE) {
		if (!((offset >= PERCPU_STACK && offset < PERCPU_STACK_END) ||
		      (offset >= PERCPU_FAULT && offset < PERCPU_FAULT_END) || offset >= PERCPU_VENDOR))
			continue;
		map(area + offset, pages, PT_ORDER_4K, PT_READ | PT_WRITE, pool);
		pages += PAGE_SIZE;
	}
}

uint64_t paging_shared_entry(void)
{
	return ((const uint64_t *)phys_to_virt(paging_main.root))[PAGING_SHARED_SLOT];
}
