// SPDX-License-Identifier: GPL-2.0
// Memory type range registers (SDM vol. 3, 12.11).

#include "mtrr.h"

#include <keel/macros.h>

#include "cpu.h"
#include "memory.h"

#define CAP_COUNT		0xffu
#define CAP_FIXED		(1u << 8)
#define DEFAULT_TYPE		0xffu
#define DEFAULT_FIXED		(1u << 10)
#define DEFAULT_ENABLED		(1u << 11)
#define BASE_TYPE		0xffu
#define MASK_VALID		(1u << 11)
#define MTRR_ADDRESS		0x000ffffffffff000ull

#define FIXED_PER_MSR		8u
#define FIXED_END		0x100000u

/* The fixed ranges, in the order of their registers. */
static const struct {
	uint32_t msr;
	uint32_t msrs;
	uint32_t start;
	uint32_t bytes;
} fixed_ranges[] = {
	{ MSR_MTRR_FIX64K_00000, 1, 0x00000, 0x10000 },
	{ MSR_MTRR_FIX16K_80000, 2, 0x80000, 0x04000 },
	{ MSR_MTRR_FIX4K_C0000, 8, 0xc0000, 0x01000 },
};

#define FIXED_RANGES	ARRAY_SIZE(fixed_ranges)

static void read_fixed(struct mtrr *mtrr)
{
	unsigned int i, j, n = 0;
	uint64_t value;

	for (i = 0; i < FIXED_RANGES; i++) {
		for (j = 0; j < fixed_ranges[i].msrs * FIXED_PER_MSR; j++) {
			value = rdmsr(fixed_ranges[i].msr + j / FIXED_PER_MSR);
			mtrr->fixed[n++] = (uint8_t)(value >> j % FIXED_PER_MSR * 8);
		}
	}
}

void mtrr_read(struct mtrr *mtrr)
{
	uint64_t capability, value, mask;
	unsigned int i;

	*mtrr = (struct mtrr){ .read = true };
	if (!(cpuid(CPUID_FEATURES, 0).edx & EDX1_MTRR))
		return;
	capability = rdmsr(MSR_MTRR_CAP);
	value = rdmsr(MSR_MTRR_DEF_TYPE);
	mtrr->enabled = value & DEFAULT_ENABLED;
	mtrr->default_type = value & DEFAULT_TYPE;
	mtrr->fixed_enabled = capability & CAP_FIXED && value & DEFAULT_FIXED;
	if (mtrr->fixed_enabled)
		read_fixed(mtrr);
	for (i = 0; i < (capability & CAP_COUNT) && mtrr->count < MTRR_VARIABLE; i++) {
		value = rdmsr(MSR_MTRR_PHYSBASE0 + 2 * i);
		mask = rdmsr(MSR_MTRR_PHYSBASE0 + 2 * i + 1);
		if (!(mask & MASK_VALID))
			continue;
		mtrr->variable[mtrr->count].base = value & MTRR_ADDRESS;
		mtrr->variable[mtrr->count].mask = mask & MTRR_ADDRESS;
		mtrr->variable[mtrr->count++].type = value & BASE_TYPE;
	}
}

static bool fixed_is_cached(const struct mtrr *mtrr, uint64_t address)
{
	unsigned int i, n = 0;

	for (i = 0; i < FIXED_RANGES - 1 && address >= fixed_ranges[i + 1].start; i++)
		n += fixed_ranges[i].msrs * FIXED_PER_MSR;
	return mtrr->fixed[n + (address - fixed_ranges[i].start) / fixed_ranges[i].bytes] == MTRR_TYPE_WB;
}

/* Where ranges overlap, UC wins, and WT over WB; all other mixtures are undefined (12.11.4.1). */
enum pt_caching mtrr_caching(const struct mtrr *mtrr, uint64_t start, uint64_t bytes)
{
	bool fixed = mtrr->fixed_enabled && start < FIXED_END, part = fixed && bytes > PAGE_SIZE, covered = false, cached = true;
	enum pt_caching low, high;
	unsigned int i;

	for (i = 0; i < mtrr->count; i++) {
		if ((start ^ mtrr->variable[i].base) & mtrr->variable[i].mask & ~(bytes - 1))
			continue;
		part |= (mtrr->variable[i].mask & (bytes - 1)) != 0;
		covered = true;
		cached &= mtrr->variable[i].type == MTRR_TYPE_WB;
	}
	if (part && mtrr->enabled) {
		low = mtrr_caching(mtrr, start, bytes / 2);
		high = mtrr_caching(mtrr, start + bytes / 2, bytes / 2);
		return low == high ? low : PT_MIXED;
	}
	if (fixed)
		cached = fixed_is_cached(mtrr, start);
	else if (!covered)
		cached = mtrr->default_type == MTRR_TYPE_WB;
	return mtrr->enabled && cached ? PT_CACHED : PT_NOT_CACHED;
}
