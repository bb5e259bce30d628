// SPDX-License-Identifier: GPL-2.0
// Clears memory at boot, by all processors.

#include "clear.h"

#include <stddef.h>

#include "bootmem.h"
#include "console.h"
#include "cpu.h"
#include "memory.h"
#include "smp.h"
#include "spinlock.h"
#include "string.h"

#define PIECE		(UINT64_C(64) << 20)
#define MIB_SHIFT	20u
#define SCALE_GIB	100u		/* what the time is told for */
#define UNROLLED	16u
#define SAMPLE		10u		/* milliseconds in which the clock is measured */

static struct {
	const struct boot_info *boot;	/* NULL: not begun */
	struct spinlock lock;
	uint64_t next;			/* under the lock: up to here all has been given out */
	uint64_t done;			/* bytes that were cleared */
	uint64_t dirty;			/* those of them that had to be written */
} work;

static bool take_piece(struct boot_range *piece)
{
	bool found;

	spin_lock(&work.lock);
	found = bootmem_next(work.boot, work.next, piece);
	if (found) {
		if (piece->end > round_up(piece->start + 1, PIECE))
			piece->end = round_up(piece->start + 1, PIECE);
		work.next = piece->end;
	}
	spin_unlock(&work.lock);
	return found;
}

static bool is_zero(const uint64_t *page)
{
	const uint64_t *end = page + PAGE_SIZE / sizeof(*page);

	for (; page < end; page += UNROLLED)
		if (page[0] | page[1] | page[2] | page[3] | page[4] | page[5] | page[6] | page[7] | page[8] | page[9] |
		    page[10] | page[11] | page[12] | page[13] | page[14] | page[15])
			return false;
	return true;
}

/* Returns the bytes that had to be written. Pages at the ends may be parts of pages. */
static uint64_t clear_piece(const struct boot_range *piece)
{
	uint64_t at, end, dirty = 0;

	for (at = piece->start; at < piece->end; at = end) {
		end = round_up(at + 1, PAGE_SIZE);
		if (end > piece->end)
			end = piece->end;
		if (end - at == PAGE_SIZE && is_zero(phys_to_virt(at)))
			continue;
		memset(phys_to_virt(at), 0, end - at);
		/* A device may read memory past the caches. */
		cache_write_back(phys_to_virt(at), end - at);
		dirty += end - at;
	}
	return dirty;
}

static void clear_pieces(void)
{
	struct boot_range piece;

	while (take_piece(&piece)) {
		__atomic_add_fetch(&work.dirty, clear_piece(&piece), __ATOMIC_RELAXED);
		__atomic_add_fetch(&work.done, piece.end - piece.start, __ATOMIC_RELEASE);
	}
}

void clear_take_part(void)
{
	while (!__atomic_load_n(&work.boot, __ATOMIC_ACQUIRE))
		cpu_pause();
	clear_pieces();
}

static uint64_t bytes_to_clear(const struct boot_info *boot)
{
	struct boot_range range = { 0 };
	uint64_t bytes = 0;

	while (bootmem_next(boot, range.end, &range))
		bytes += range.end - range.start;
	return bytes;
}

static uint64_t tsc_khz(void)
{
	uint64_t start = rdtsc();

	smp_delay(SAMPLE);
	return (rdtsc() - start) / SAMPLE;
}

void clear_memory(const struct boot_info *boot)
{
	uint64_t bytes = bytes_to_clear(boot), khz = tsc_khz(), start = rdtsc(), ms;

	print("Keel: clearing %lu MiB of memory", bytes >> MIB_SHIFT);
	__atomic_store_n(&work.boot, boot, __ATOMIC_RELEASE);
	clear_pieces();
	while (__atomic_load_n(&work.done, __ATOMIC_ACQUIRE) < bytes)
		cpu_pause();
	ms = (rdtsc() - start) / (khz ? khz : 1);
	print(" took %lu ms, %lu s for %u GiB; %lu MiB were not empty; %lu MiB are the firmware's and stay\n", ms,
	      ms * SCALE_GIB * (SIZE_1G >> MIB_SHIFT) / ((bytes >> MIB_SHIFT) + 1) / 1000, SCALE_GIB, work.dirty >> MIB_SHIFT,
	      boot->memory_kept >> MIB_SHIFT);
}

void clear_nothing(const struct boot_info *boot)
{
	work.next = UINT64_MAX;
	__atomic_store_n(&work.boot, boot, __ATOMIC_RELEASE);
	print("Keel: memory is not cleared, as its command line has it\n");
}
