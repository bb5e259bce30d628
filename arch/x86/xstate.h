/* SPDX-License-Identifier: GPL-2.0 */
/* x87, SSE and what came after: saved and loaded whole when the CPU changes hands (SDM vol. 1, ch. 13). */
#ifndef ARCH_XSTATE_H
#define ARCH_XSTATE_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"

/* What the control domain is shown: no registers that Keel's world switch would not know (APX). */
#define XCR0_CONTROL	(XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_BOUNDS | XCR0_AVX512 | XCR0_PKRU | XCR0_TILES)

/* Offsets in the area (SDM vol. 1, 13.4). */
#define XSAVE_MXCSR	24u
#define XSAVE_MXCSR_MASK 28u
#define XSAVE_HEADER	512u		/* first of it is XSTATE_BV */
#define XSAVE_HEADER_END 576u

static inline void xsave(void *area, uint64_t mask)
{
	__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32)) : "memory");
}

static inline void xrstor(const void *area, uint64_t mask)
{
	__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32)) : "memory");
}

/* Bits that come together. */
static inline bool xcr0_all_or_none(uint64_t value, uint64_t bits)
{
	return !(value & bits) || (value & bits) == bits;
}

/* What XSETBV takes (SDM vol. 1, 13.3): x87 always, AVX needs SSE, the AVX-512 parts come together and need AVX. */
static inline bool xcr0_valid(uint64_t value, uint64_t supported)
{
	return value & XCR0_X87 && !(value & ~supported) && !(value & XCR0_AVX && !(value & XCR0_SSE)) &&
	       xcr0_all_or_none(value, XCR0_AVX512) && !(value & XCR0_AVX512 && !(value & XCR0_AVX)) &&
	       xcr0_all_or_none(value, XCR0_BOUNDS) && xcr0_all_or_none(value, XCR0_TILES);
}

/* Of an area for all that the processor has. */
static inline uint32_t xstate_bytes(void)
{
	return cpuid(CPUID_XSTATE, 0).ecx;
}

/* Every component the processor has. */
static inline uint64_t xstate_supported(void)
{
	struct cpuid r = cpuid(CPUID_XSTATE, 0);

	return (uint64_t)r.edx << 32 | r.eax;
}

#endif
