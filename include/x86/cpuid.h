/* SPDX-License-Identifier: GPL-2.0 */
/* Leaves of CPUID (SDM vol. 2, CPUID; APM vol. 3, appendix E). Their bits are named where they are looked at. */
#ifndef X86_CPUID_H
#define X86_CPUID_H

#define CPUID_VENDOR			0u		/* and the highest basic leaf */
#define CPUID_FEATURES			1u
#define CPUID_CACHES			4u
#define CPUID_MONITOR			5u
#define CPUID_POWER			6u
#define CPUID_FEATURES_7		7u
#define CPUID_COUNTERS			0xau
#define CPUID_LEVELS			0xbu
#define CPUID_XSTATE			0xdu		/* subleaf 0, ECX: bytes of an area for all that the processor has */
#define CPUID_TSC			0x15u
#define CPUID_EXTENDED			0x80000000u	/* the highest extended leaf */
#define CPUID_EXTENDED_FEATURES		0x80000001u
#define CPUID_BRAND_FIRST		0x80000002u
#define CPUID_BRAND_LAST		0x80000004u
#define CPUID_AMD_L1			0x80000005u
#define CPUID_L2			0x80000006u
#define CPUID_AMD_POWER			0x80000007u
#define CPUID_ADDRESS_SIZES		0x80000008u
#define CPUID_SVM			0x8000000au
#define CPUID_AMD_CACHES		0x8000001du
#define CPUID_AMD_LEVELS		0x8000001eu
#define CPUID_ENCRYPTION		0x8000001fu

#endif
