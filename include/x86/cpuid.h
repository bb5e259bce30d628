/* SPDX-License-Identifier: GPL-2.0 */
/* Leaves of CPUID (SDM vol. 2, CPUID; APM vol. 3, appendix E), and bits of theirs that more than one file may look at. */
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

/* Of leaves 1, 6 and 7, and 0x80000001 (E) and 0x80000008 (8), by register. */
#define ECX1_VMX		(1u << 5)
#define ECX1_FMA		(1u << 12)
#define ECX1_PCID		(1u << 17)
#define ECX1_X2APIC		(1u << 21)
#define ECX1_TSC_DEADLINE	(1u << 24)
#define ECX1_XSAVE		(1u << 26)
#define ECX1_OSXSAVE		(1u << 27)
#define ECX1_AVX		(1u << 28)
#define ECX1_F16C		(1u << 29)
#define ECX1_HYPERVISOR		(1u << 31)
#define EDX1_APIC		(1u << 9)
#define EDX1_MTRR		(1u << 12)
#define EDX1_HTT		(1u << 28)
#define EAX6_ARAT		(1u << 2)
#define EBX7_FSGSBASE		(1u << 0)
#define EBX7_TSC_ADJUST		(1u << 1)
#define EBX7_BMI1		(1u << 3)
#define EBX7_AVX2		(1u << 5)
#define EBX7_SMEP		(1u << 7)
#define EBX7_ERMS		(1u << 9)
#define EBX7_SMAP		(1u << 20)
#define ECX7_UMIP		(1u << 2)
#define ECX7_PKU		(1u << 3)
#define ECX7_OSPKE		(1u << 4)
#define ECX7_TME		(1u << 13)
#define ECX7_RDPID		(1u << 22)
#define EDX7_FSRM		(1u << 4)
#define EDX7_MD_CLEAR		(1u << 10)
#define EDX7_IBPB		(1u << 26)
#define EDX7_L1D_FLUSH		(1u << 28)
#define EDX7_CAPABILITIES	(1u << 29)
#define ECXE_SVM		(1u << 2)
#define EDXE_1G_PAGES		(1u << 26)
#define EDXE_RDTSCP		(1u << 27)
#define EBX8_IBPB		(1u << 12)

#endif
