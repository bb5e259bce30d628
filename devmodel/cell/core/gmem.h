/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest memory: the only way to it. Other vCPUs change it at any time, so what is checked is copied first.
 * A range that is not wholly memory (or wraps) is refused and nothing is copied.
 */
#ifndef KEEL_GMEM_H
#define KEEL_GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GMEM_RANGES 5
#define GMEM_WINDOWS 8

struct gmem {
	uint8_t *base;			/* where guest-physical address 0 is mapped */
	unsigned int count;
	struct gmem_range {
		uint64_t first;		/* guest-physical */
		uint64_t bytes;
		bool readonly;		/* for the guest; the device model too, but for gmem_load */
	} range[GMEM_RANGES];
	/*
	 * What else the guest has of pages, at addresses that change (core/aperture.h): its code and page tables may be there,
	 * devices do not get there. The resource half has them, too. bytes: whole pages, or 0.
	 */
	struct gmem_window {
		uint64_t first;		/* guest-physical */
		uint64_t bytes;
		uint8_t *memory;
		bool readonly;
	} window[GMEM_WINDOWS];
};

bool gmem_read(const struct gmem *mem, uint64_t gpa, void *buf, size_t bytes);
bool gmem_write(const struct gmem *mem, uint64_t gpa, const void *buf, size_t bytes);
/*
 * Where a range is mapped, for what is copied and not looked at; NULL if it is not wholly memory. To write, it must be writable.
 */
uint8_t *gmem_at(const struct gmem *mem, uint64_t gpa, size_t bytes, bool write);
/* The same for one byte, of windows, too. */
uint8_t *gmem_of_guest(const struct gmem *mem, uint64_t gpa, bool write);
/*
 * What the processor reads by itself, code and page tables, and does not go over the end of a page. Ranges and windows are whole
 * pages, so that it is in one or in none; most of memory is in the first one.
 */
static inline const uint8_t *gmem_in_page(const struct gmem *mem, uint64_t gpa)
{
	if (gpa - mem->range[0].first < mem->range[0].bytes)
		return mem->base + gpa;
	return gmem_of_guest(mem, gpa, false);
}
/* Whether it is memory, or memory that can be written: likewise. */
static inline bool gmem_has(const struct gmem *mem, uint64_t gpa, bool write)
{
#pragma GCC unroll 5
	for (unsigned int i = 0; i < GMEM_RANGES; i++)
		if (gpa - mem->range[i].first < mem->range[i].bytes)
			return !write || !mem->range[i].readonly;
	return false;
}
/* Bytes from an address on that are not memory, or not to be written. */
uint64_t gmem_gap(const struct gmem *mem, uint64_t gpa, bool write);
/* Fills read-only memory too: firmware. */
bool gmem_load(const struct gmem *mem, uint64_t gpa, const void *buf, size_t bytes);
/* Atomic compare and exchange of 1, 2, 4 or 8 bytes, aligned. *old receives what was there. False: not memory. */
bool gmem_cmpxchg(const struct gmem *mem, uint64_t gpa, unsigned int bytes, uint64_t *old, uint64_t new);
/* The same of a page table's entry, which may be in a window. */
bool gmem_cmpxchg_entry(const struct gmem *mem, uint64_t gpa, unsigned int bytes, uint64_t *old, uint64_t new);

#endif
