/* SPDX-License-Identifier: GPL-2.0 */
/* x87, SSE and what came after: saved and loaded whole when the CPU changes hands (SDM vol. 1, ch. 13). */
#ifndef ARCH_XSTATE_H
#define ARCH_XSTATE_H

#include <stdint.h>

#include "cpu.h"

#define XCR0_X87	(1u << 0)
#define XCR0_SSE	(1u << 1)
#define XCR0_AVX	(1u << 2)
#define XCR0_AVX512	(7u << 5)

#define CPUID_XSTATE	0xdu
#define MXCSR_RESET	0x1f80u
#define XSAVE_MXCSR	24u		/* offset in the area */
#define XSAVE_HEADER_END 576u

static inline void xsave(void *area, uint64_t mask)
{
	__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32)) : "memory");
}

static inline void xrstor(const void *area, uint64_t mask)
{
	__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32)) : "memory");
}

/* Every component the processor has, and the bytes that an area for all of them takes. */
static inline uint64_t xstate_supported(void)
{
	struct cpuid r = cpuid(CPUID_XSTATE, 0);

	return (uint64_t)r.edx << 32 | r.eax;
}

static inline uint32_t xstate_bytes(void)
{
	return cpuid(CPUID_XSTATE, 0).ecx;
}

#endif
