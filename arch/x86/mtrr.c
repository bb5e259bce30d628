// SPDX-License-Identifier: GPL-2.0
// Memory type range registers (SDM vol. 3, 12.11).

#include "mtrr.h"

#include "cpu.h"

#define CPUID_MTRR		(1u << 12)	/* leaf 1 EDX */
#define MSR_MTRR_CAP		0xfeu
#define CAP_COUNT		0xffu
#define CAP_FIXED		(1u << 8)
#define MSR_MTRR_DEFAULT	0x2ffu
#define DEFAULT_TYPE		0xffu
#define DEFAULT_FIXED		(1u << 10)
#define DEFAULT_ENABLED		(1u << 11)
#define MSR_MTRR_BASE		0x200u		/* and the mask behind it, in pairs */
#define BASE_TYPE		0xffu
#define MASK_VALID		(1u << 11)
#define MTRR_ADDRESS		0x000ffffffffff000ull

#define FIXED_PER_MSR		8u
#define FIXED_END		0x100000u

/* The fixed ranges, in the order of their registers. */
static const struct {
	uint32_t msr, msrs;
	uint32_t start, bytes;
} fixed_ranges[] = {
	{ 0x250, 1, 0x00000, 0x10000 },
	{ 0x258, 2, 0x80000, 0x04000 },
	{ 0x268, 8, 0xc0000, 0x01000 },
};

#define FIXED_RANGES	(sizeof(fixed_ranges) / sizeof(fixed_ranges[0]))

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
	if (!(cpuid(1, 0).edx & CPUID_MTRR))
		return;
	capability = rdmsr(MSR_MTRR_CAP);
	value = rdmsr(MSR_MTRR_DEFAULT);
	mtrr->enabled = value & DEFAULT_ENABLED;
	mtrr->default_type = value & DEFAULT_TYPE;
	mtrr->fixed_enabled = capability & CAP_FIXED && value & DEFAULT_FIXED;
	if (mtrr->fixed_enabled)
		read_fixed(mtrr);
	for (i = 0; i < (capability & CAP_COUNT) && mtrr->count < MTRR_VARIABLE; i++) {
		value = rdmsr(MSR_MTRR_BASE + 2 * i);
		mask = rdmsr(MSR_MTRR_BASE + 2 * i + 1);
		if (!(mask & MASK_VALID))
			continue;
		mtrr->variable[mtrr->count].base = value & MTRR_ADDRESS;
		mtrr->variable[mtrr->count].mask = mask & MTRR_ADDRESS;
		mtrr->variable[mtrr->count++].type = value & BASE_TYPE;
	}
}

static enum pt_caching caching(bool cached)
{
	return cached ? PT_CACHED : PT_NOT_CACHED;
}

/* Where ranges overlap, UC wins, and WT over WB; all other mixtures are undefined (12.11.4.1). */
static enum pt_caching by_variable(const struct mtrr *mtrr, uint64_t start, uint64_t bytes)
{
	bool covered = false, cached = true, part_cached = false, part_uncached = false;
	unsigned int i;

	for (i = 0; i < mtrr->count; i++) {
		uint64_t mask = mtrr->variable[i].mask;
		bool write_back = mtrr->variable[i].type == MTRR_TYPE_WB;

		if ((start ^ mtrr->variable[i].base) & mask & ~(bytes - 1))
			continue;
		if (mask & (bytes - 1)) {
			part_cached |= write_back;
			part_uncached |= !write_back;
		} else {
			covered = true;
			cached &= write_back;
		}
	}
	if (!covered)
		cached = mtrr->default_type == MTRR_TYPE_WB;
	if (cached ? part_uncached : part_cached && !covered)
		return PT_MIXED;
	return caching(cached);
}

static enum pt_caching by_fixed(const struct mtrr *mtrr, uint64_t start, uint64_t end)
{
	bool some_cached = false, some_uncached = false;
	unsigned int i, j, n = 0;

	for (i = 0; i < FIXED_RANGES; i++) {
		for (j = 0; j < fixed_ranges[i].msrs * FIXED_PER_MSR; j++, n++) {
			uint64_t from = fixed_ranges[i].start + j * fixed_ranges[i].bytes;

			if (from >= end || from + fixed_ranges[i].bytes <= start)
				continue;
			some_cached |= mtrr->fixed[n] == MTRR_TYPE_WB;
			some_uncached |= mtrr->fixed[n] != MTRR_TYPE_WB;
		}
	}
	return some_cached && some_uncached ? PT_MIXED : caching(some_cached);
}

enum pt_caching mtrr_caching(const struct mtrr *mtrr, uint64_t start, uint64_t bytes)
{
	enum pt_caching fixed, variable;

	if (!mtrr->enabled)
		return PT_NOT_CACHED;
	if (!mtrr->fixed_enabled || start >= FIXED_END)
		return by_variable(mtrr, start, bytes);
	fixed = by_fixed(mtrr, start, start + bytes);
	if (start + bytes <= FIXED_END)
		return fixed;
	variable = by_variable(mtrr, start, bytes);
	return fixed == variable ? fixed : PT_MIXED;
}
