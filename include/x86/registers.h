/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Registers of the processor: their bits and what they hold after a reset, and the numbers of exceptions. Whoever works with a
 * processor's state has these names from here: hypervisor, cells and tests. MSRs are in msr.h.
 */
#ifndef X86_REGISTERS_H
#define X86_REGISTERS_H

/* CR0 and CR4 (SDM vol. 3, 2.5; APM vol. 2, 3.1.1 and 3.1.3). */
#define CR0_PE			(1ull << 0)
#define CR0_MP			(1ull << 1)
#define CR0_EM			(1ull << 2)
#define CR0_TS			(1ull << 3)
#define CR0_ET			(1ull << 4)
#define CR0_NE			(1ull << 5)
#define CR0_WP			(1ull << 16)
#define CR0_AM			(1ull << 18)
#define CR0_NW			(1ull << 29)
#define CR0_CD			(1ull << 30)
#define CR0_PG			(1ull << 31)
#define CR0_RESET		(CR0_CD | CR0_NW | CR0_ET)

#define CR4_CLASSIC		0x7ffull	/* VME to OSXMMEXCPT, which every processor here has */
#define CR4_PSE			(1ull << 4)
#define CR4_PAE			(1ull << 5)
#define CR4_MCE			(1ull << 6)
#define CR4_PGE			(1ull << 7)
#define CR4_OSFXSR		(1ull << 9)
#define CR4_OSXMMEXCPT		(1ull << 10)
#define CR4_UMIP		(1ull << 11)
#define CR4_LA57		(1ull << 12)
#define CR4_VMXE		(1ull << 13)
#define CR4_FSGSBASE		(1ull << 16)
#define CR4_PCIDE		(1ull << 17)
#define CR4_OSXSAVE		(1ull << 18)
#define CR4_SMEP		(1ull << 20)
#define CR4_SMAP		(1ull << 21)
#define CR4_PKE			(1ull << 22)
#define CR4_CET			(1ull << 23)
#define CR4_LASS		(1ull << 27)
#define CR4_LAM_SUP		(1ull << 28)

#define CR8_MOST		15u

/* EFER (SDM vol. 3, 2.2.1; APM vol. 2, 3.1.7). */
#define EFER_SCE		(1ull << 0)
#define EFER_LME		(1ull << 8)
#define EFER_LMA		(1ull << 10)
#define EFER_NXE		(1ull << 11)
#define EFER_SVME		(1ull << 12)
#define EFER_FFXSR		(1ull << 14)
#define EFER_TCE		(1ull << 15)
#define EFER_MCOMMIT		(1ull << 17)
#define EFER_INTWB		(1ull << 18)
#define EFER_UAIE		(1ull << 20)
#define EFER_AIBRSE		(1ull << 21)

/* RFLAGS (SDM vol. 3, 2.3; APM vol. 2, 3.1.6). */
#define RFLAGS_FIXED		(1ull << 1)
#define RFLAGS_TF		(1ull << 8)
#define RFLAGS_IF		(1ull << 9)
#define RFLAGS_DF		(1ull << 10)
#define RFLAGS_NT		(1ull << 14)
#define RFLAGS_RF		(1ull << 16)
#define RFLAGS_VM		(1ull << 17)
#define RFLAGS_AC		(1ull << 18)
#define RFLAGS_ARITHMETIC	0x8d5ull	/* CF PF AF ZF SF OF */
#define RFLAGS_RESET		RFLAGS_FIXED

/* Debug registers (SDM vol. 3, 18.2; APM vol. 2, 13.1). */
#define DR6_B0_B3		0xfull
#define DR6_BS			(1ull << 14)
#define DR6_BT			(1ull << 15)
#define DR6_RESET		0xffff0ff0ull
#define DR7_ENABLE		0xffull		/* L0 to G3 */
#define DR7_LOCAL		0x155ull	/* L0 to L3, LE */
#define DR7_GD			(1ull << 13)
#define DR7_RESET		0x400ull

/* XCR0 (SDM vol. 1, 13.3; APM vol. 2, 11.5.2). */
#define XCR0_X87		(1ull << 0)
#define XCR0_SSE		(1ull << 1)
#define XCR0_AVX		(1ull << 2)
#define XCR0_BOUNDS		(3ull << 3)
#define XCR0_AVX512		(7ull << 5)
#define XCR0_PKRU		(1ull << 9)
#define XCR0_TILES		(3ull << 17)

#define MXCSR_RESET		0x1f80u		/* SDM vol. 1, 10.2.3 */

/* SDM vol. 3, table 6-1; APM vol. 2, table 8-1. */
enum exception {
	EXC_DE = 0,
	EXC_DB = 1,
	EXC_NMI = 2,
	EXC_BP = 3,
	EXC_OF = 4,
	EXC_BR = 5,
	EXC_UD = 6,
	EXC_NM = 7,
	EXC_DF = 8,
	EXC_TS = 10,
	EXC_NP = 11,
	EXC_SS = 12,
	EXC_GP = 13,
	EXC_PF = 14,
	EXC_MF = 16,
	EXC_AC = 17,
	EXC_MC = 18,
	EXC_XM = 19,
	EXC_CP = 21,
	EXC_VC = 29,
	EXC_SX = 30,
};

#endif
