// SPDX-License-Identifier: GPL-2.0
// What is dropped between domains, for processors that would give it away.

#include "speculation.h"

#include "cell_frame.h"
#include "cpu.h"

#define CAPABILITIES_NO_L1TF	(1u << 0 | 1u << 3)	/* RDCL_NO, SKIP_L1DFL_VMENTRY */

struct speculation speculation;

void speculation_init(void)
{
	uint32_t edx = cpuid(CPUID_VENDOR, 0).eax >= CPUID_FEATURES_7 ? cpuid(CPUID_FEATURES_7, 0).edx : 0;
	uint32_t ebx = cpuid(CPUID_EXTENDED, 0).eax >= CPUID_ADDRESS_SIZES ? cpuid(CPUID_ADDRESS_SIZES, 0).ebx : 0;
	bool safe = edx & EDX7_CAPABILITIES && rdmsr(MSR_ARCH_CAPABILITIES) & CAPABILITIES_NO_L1TF;

	speculation.predictors = edx & EDX7_IBPB || ebx & EBX8_IBPB;
	speculation.first_cache = edx & EDX7_L1D_FLUSH && !safe;
	speculation.buffers = edx & EDX7_MD_CLEAR;
}

void speculation_before_guest(void)
{
	uint16_t selector = SEL_KERNEL_DATA;

	if (speculation.first_cache)
		wrmsr(MSR_FLUSH_CMD, 1);
	if (speculation.buffers)
		__asm__ volatile("verw %0" : : "m"(selector) : "cc");
}

void speculation_after_guest(void)
{
	if (speculation.predictors)
		wrmsr(MSR_PRED_CMD, 1);
}
