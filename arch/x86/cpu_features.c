// SPDX-License-Identifier: GPL-2.0
// What Keel itself uses of the processor's features.

#include "cpu_features.h"

#include "cpu.h"
#include "hv.h"

#define SYSCFG_ENCRYPTION	(1u << 23)
#define TME_ON			3u		/* locked, enabled */
#define TME_KEY_BITS_SHIFT	32
#define TME_KEY_BITS		0xfu
#define ENCRYPTION_SME		(1u << 0)	/* EAX */
#define ENCRYPTION_REDUCTION_SHIFT 6	/* EBX */
#define ENCRYPTION_REDUCTION	0x3fu

void cpu_features_init(void)
{
	uint64_t cr4 = CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	struct cpuid r = cpuid(CPUID_FEATURES_7, 0);

	cr4 |= r.ebx & EBX7_SMEP ? CR4_SMEP : 0;
	cr4 |= r.ebx & EBX7_SMAP ? CR4_SMAP : 0;
	cr4 |= r.ecx & ECX7_UMIP ? CR4_UMIP : 0;
	write_cr4(cr4);
	/* TS is set whenever a guest or a cell could run: FPU state in the registers is never Keel's. */
	write_cr0(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE | CR0_TS);
}

bool cpu_features_1g_pages(void)
{
	return cpuid(CPUID_EXTENDED_FEATURES, 0).edx & EDXE_1G_PAGES && (!hv->cpu.has_1g || hv->cpu.has_1g());
}

unsigned int cpu_features_address_bits(void)
{
	unsigned int bits = cpuid(CPUID_ADDRESS_SIZES, 0).eax & 0xff;

	/* Encrypted aliases of memory are not address space (APM vol. 2, 15.34.6; SDM vol. 4, IA32_TME_ACTIVATE). */
	if (cpuid(CPUID_FEATURES_7, 0).ecx & ECX7_TME && (rdmsr(MSR_TME_ACTIVATE) & TME_ON) == TME_ON)
		bits -= rdmsr(MSR_TME_ACTIVATE) >> TME_KEY_BITS_SHIFT & TME_KEY_BITS;
	if (cpuid(CPUID_EXTENDED, 0).eax >= CPUID_ENCRYPTION && cpuid(CPUID_ENCRYPTION, 0).eax & ENCRYPTION_SME &&
	    rdmsr(MSR_SYSCFG) & SYSCFG_ENCRYPTION)
		bits -= cpuid(CPUID_ENCRYPTION, 0).ebx >> ENCRYPTION_REDUCTION_SHIFT & ENCRYPTION_REDUCTION;
	return bits;
}
