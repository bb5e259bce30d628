/* SPDX-License-Identifier: GPL-2.0 */
/* Keel's own address spaces. */
#ifndef ARCH_PAGING_H
#define ARCH_PAGING_H

#include <stdint.h>

#include "pagetable.h"

/* The main address space: image, CPU areas, direct map of everything below limit but for the image. */
extern struct page_table paging_main;

/* Frames that paging_init() takes at most. */
uint64_t paging_frames(uint64_t limit, unsigned int largest);
/* Builds it from the pool; not in CR3 yet. */
void paging_init(struct frame_pool *pool, uint64_t limit, unsigned int largest);
/* Maps the area of a CPU; pages: PERCPU_PAGES frames. */
void paging_map_cpu(unsigned int index, uint64_t pages, struct frame_pool *pool);
/* PML4 entry of the upper half that all host address spaces share. */
uint64_t paging_shared_entry(void);

#define PAGING_SHARED_SLOT	511u

#endif
