/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Numbers of model-specific registers, and those of their bits that more than one file knows. Of registers that
 * follow one another the first and the last have names.
 */
#ifndef X86_MSR_H
#define X86_MSR_H

/* The ranges that bitmaps of intercepts cover, from 0 and from these on (SDM vol. 3, 25.6.9; APM vol. 2, 15.11). */
#define MSR_BITMAP_RANGE		0x2000u
#define MSR_EXTENDED_FIRST		0xc0000000u
#define MSR_AMD_FIRST			0xc0010000u

/* Of both vendors, by Intel's numbers (SDM vol. 4, table 2-2; APM vol. 2, appendix A). */
#define MSR_TSC				0x10u
#define MSR_APIC_BASE			0x1bu
#define MSR_TSC_ADJUST			0x3bu
#define MSR_SPEC_CTRL			0x48u
#define MSR_PRED_CMD			0x49u
#define MSR_MPERF			0xe7u
#define MSR_APERF			0xe8u
#define MSR_MTRR_CAP			0xfeu
#define MSR_FLUSH_CMD			0x10bu
#define MSR_SYSENTER_CS			0x174u
#define MSR_SYSENTER_ESP		0x175u
#define MSR_SYSENTER_EIP		0x176u
#define MSR_MCG_CAP			0x179u
#define MSR_MCG_STATUS			0x17au
#define MSR_MCG_CTL			0x17bu
#define MSR_DEBUGCTL			0x1d9u
#define MSR_LAST_BRANCH_FROM		0x1dbu
#define MSR_LAST_INTERRUPT_TO		0x1deu
#define MSR_MTRR_PHYSBASE0		0x200u		/* and the mask behind it, in pairs */
#define MSR_MTRR_PHYSMASK7		0x20fu
#define MSR_MTRR_PHYSMASK15		0x21fu
#define MSR_MTRR_FIX64K_00000		0x250u
#define MSR_MTRR_FIX16K_80000		0x258u
#define MSR_MTRR_FIX16K_A0000		0x259u
#define MSR_MTRR_FIX4K_C0000		0x268u
#define MSR_MTRR_FIX4K_F8000		0x26fu
#define MSR_PAT				0x277u
#define MSR_MTRR_DEF_TYPE		0x2ffu
#define MSR_MC0_CTL			0x400u		/* banks of four: control, status, address, miscellaneous */
#define MSR_MC31_MISC			0x47fu
#define MSR_U_CET			0x6a0u
#define MSR_S_CET			0x6a2u
#define MSR_PL0_SSP			0x6a4u
#define MSR_INTERRUPT_SSP_TABLE		0x6a8u
#define MSR_TSC_DEADLINE		0x6e0u
#define MSR_X2APIC_FIRST		0x800u		/* registers of the local APIC: 1/16 of their offsets in its page */
#define MSR_X2APIC(reg)			(MSR_X2APIC_FIRST + (reg) / 16)
#define MSR_X2APIC_EOI			0x80bu
#define MSR_X2APIC_ICR			0x830u
#define MSR_X2APIC_SELF_IPI		0x83fu
#define MSR_X2APIC_LAST			0x8ffu		/* that there may come to be */
#define MSR_L3_QOS_CFG			0xc81u
#define MSR_IO_QOS_CFG			0xc83u
#define MSR_QM_EVTSEL			0xc8du
#define MSR_QM_CTR			0xc8eu
#define MSR_PQR_ASSOC			0xc8fu
#define MSR_L3_MASK_0			0xc90u		/* then those of the other caches, and of bandwidth */
#define MSR_QOS_MASK_LAST		0xd8fu
#define MSR_XSS				0xda0u
#define MSR_EFER			0xc0000080u
#define MSR_STAR			0xc0000081u
#define MSR_LSTAR			0xc0000082u
#define MSR_CSTAR			0xc0000083u
#define MSR_SFMASK			0xc0000084u
#define MSR_FS_BASE			0xc0000100u
#define MSR_GS_BASE			0xc0000101u
#define MSR_KERNEL_GS_BASE		0xc0000102u
#define MSR_TSC_AUX			0xc0000103u

/* Intel's (SDM vol. 4). */
#define MSR_PLATFORM_ID			0x17u
#define MSR_EBL_CR_POWERON		0x2au
#define MSR_EBC_FREQUENCY_ID		0x2cu
#define MSR_TEST_CTRL			0x33u
#define MSR_SMI_COUNT			0x34u
#define MSR_CORE_THREAD_COUNT		0x35u
#define MSR_FEATURE_CONTROL		0x3au
#define MSR_PPIN_CTL			0x4eu
#define MSR_UCODE_WRITE			0x79u		/* BIOS_UPDT_TRIG */
#define MSR_UCODE_REVISION		0x8bu		/* BIOS_SIGN_ID */
#define MSR_SGX_LE_PUBKEY_HASH0		0x8cu
#define MSR_SGX_LE_PUBKEY_HASH3		0x8fu
#define MSR_XAPIC_DISABLE_STATUS	0xbdu
#define MSR_PMC0			0xc1u
#define MSR_PMC7			0xc8u
#define MSR_PLATFORM_INFO		0xceu
#define MSR_UMWAIT_CONTROL		0xe1u
#define MSR_PKG_CST_CONFIG		0xe2u
#define MSR_ARCH_CAPABILITIES		0x10au
#define MSR_TSX_FORCE_ABORT		0x10fu
#define MSR_BBL_CR_CTL3			0x11eu
#define MSR_TSX_CTRL			0x122u
#define MSR_MCU_OPT_CTRL		0x123u
#define MSR_MISC_FEATURES_ENABLES	0x140u
#define MSR_ERROR_CONTROL		0x17fu
#define MSR_PERFEVTSEL0			0x186u
#define MSR_PERFEVTSEL1			0x187u
#define MSR_PERFEVTSEL7			0x18du
#define MSR_PERF_STATUS			0x198u
#define MSR_PERF_CTL			0x199u
#define MSR_CLOCK_MODULATION		0x19au
#define MSR_THERM_STATUS		0x19cu
#define MSR_MISC_ENABLE			0x1a0u
#define MSR_TEMPERATURE_TARGET		0x1a2u
#define MSR_PREFETCH_CONTROL		0x1a4u		/* MISC_FEATURE_CONTROL */
#define MSR_OFFCORE_RSP_0		0x1a6u
#define MSR_OFFCORE_RSP_1		0x1a7u
#define MSR_ENERGY_PERF_BIAS		0x1b0u
#define MSR_PACKAGE_THERM_INTERRUPT	0x1b2u
#define MSR_XFD				0x1c4u
#define MSR_XFD_ERR			0x1c5u
#define MSR_POWER_CTL			0x1fcu
#define MSR_MC0_CTL2			0x280u
#define MSR_MC31_CTL2			0x29fu
#define MSR_FIXED_CTR0			0x309u
#define MSR_FIXED_CTR15			0x318u
#define MSR_PERF_METRICS		0x329u
#define MSR_FIXED_CTR_CTRL		0x38du
#define MSR_PERF_GLOBAL_STATUS_SET	0x391u
#define MSR_PERF_GLOBAL_INUSE		0x392u
#define MSR_UNCORE_FIXED_CTR		0x395u
#define MSR_PEBS_LD_LAT			0x3f6u
#define MSR_PEBS_FRONTEND		0x3f7u
#define MSR_VMX_BASIC			0x480u
#define MSR_VMX_PIN			0x481u
#define MSR_VMX_PRIMARY			0x482u
#define MSR_VMX_EXIT			0x483u
#define MSR_VMX_ENTRY			0x484u
#define MSR_VMX_MISC			0x485u
#define MSR_VMX_CR0_FIXED0		0x486u
#define MSR_VMX_CR0_FIXED1		0x487u
#define MSR_VMX_CR4_FIXED0		0x488u
#define MSR_VMX_CR4_FIXED1		0x489u
#define MSR_VMX_SECONDARY		0x48bu
#define MSR_VMX_EPT_VPID		0x48cu
#define MSR_VMX_TRUE_PIN		0x48du
#define MSR_VMX_TRUE_PRIMARY		0x48eu
#define MSR_VMX_TRUE_EXIT		0x48fu
#define MSR_VMX_TRUE_ENTRY		0x490u
#define MSR_VMX_LAST			0x4bfu		/* all that capabilities may come to have */
#define MSR_A_PMC0			0x4c1u
#define MSR_A_PMC7			0x4c8u
#define MSR_MCG_EXT_CTL			0x4d0u
#define MSR_VR_CURRENT_CONFIG		0x601u
#define MSR_RAPL_POWER_UNIT		0x606u
#define MSR_PKG_POWER_LIMIT		0x610u
#define MSR_DRAM_POWER_LIMIT		0x618u
#define MSR_UNCORE_RATIO_LIMIT		0x620u
#define MSR_PP0_POWER_LIMIT		0x638u
#define MSR_PP0_POLICY			0x63au
#define MSR_PP1_POWER_LIMIT		0x640u
#define MSR_PP1_POLICY			0x642u
#define MSR_PLATFORM_POWER_LIMIT	0x65cu
#define MSR_CC6_DEMOTION_POLICY		0x668u
#define MSR_MC6_DEMOTION_POLICY		0x669u
#define MSR_UNCORE_700_FIRST		0x700u		/* counters of the uncore, in three places */
#define MSR_UNCORE_700_LAST		0x76fu
#define MSR_PM_ENABLE			0x770u		/* HWP, from here on */
#define MSR_HWP_STATUS			0x777u
#define MSR_TME_ACTIVATE		0x982u
#define MSR_UNCORE_A40_FIRST		0xa40u
#define MSR_UNCORE_A40_LAST		0xaffu
#define MSR_PASID			0xd93u
#define MSR_UNCORE_E00_FIRST		0xe00u
#define MSR_UNCORE_E00_LAST		0xfffu

/* AMD's (APM vol. 2, appendix A; Processor Programming References). */
#define MSR_X2APIC_EXT_FEATURE		0x840u
#define MSR_X2APIC_EXT_LVT3		0x853u
#define MSR_MPERF_READONLY		0xc00000e7u
#define MSR_APERF_READONLY		0xc00000e8u
#define MSR_IRPERF			0xc00000e9u
#define MSR_TSC_RATIO			0xc0000104u
#define MSR_AMD_PREFETCH_CONTROL	0xc0000108u
#define MSR_QOS_BANDWIDTH_FIRST		0xc0000200u
#define MSR_QOS_BANDWIDTH_LAST		0xc000020fu
#define MSR_QOS_SLOW_BANDWIDTH_FIRST	0xc0000280u
#define MSR_QOS_SLOW_BANDWIDTH_LAST	0xc000028fu
#define MSR_AMD_PERF_GLOBAL_STATUS	0xc0000300u
#define MSR_AMD_PERF_GLOBAL_STATUS_SET	0xc0000303u
#define MSR_QOS_MONITORING_FIRST	0xc00003fdu
#define MSR_QOS_MONITORING_LAST		0xc0000407u
#define MSR_MC4_MISC1			0xc0000408u
#define MSR_MCA_INTERRUPT_CONFIG	0xc0000410u
#define MSR_SMCA_FIRST			0xc0002000u	/* scalable banks of sixteen registers */
#define MSR_SMCA_LAST			0xc00023ffu
#define MSR_K7_PERFEVTSEL0		0xc0010000u
#define MSR_K7_PERFCTR3			0xc0010007u
#define MSR_SYSCFG			0xc0010010u
#define MSR_HWCR			0xc0010015u
#define MSR_TOP_MEM			0xc001001au
#define MSR_CLK_CTL			0xc001001bu
#define MSR_TOP_MEM2			0xc001001du
#define MSR_NB_CFG			0xc001001fu
#define MSR_PATCH_LOADER		0xc0010020u
#define MSR_MC0_CTL_MASK		0xc0010044u
#define MSR_MC6_CTL_MASK		0xc001004au
#define MSR_INT_PENDING			0xc0010055u
#define MSR_MMIO_CFG_BASE		0xc0010058u
#define MSR_PSTATE_LIMIT		0xc0010061u
#define MSR_PSTATE_CTL			0xc0010062u
#define MSR_PSTATE_DEF4			0xc0010068u
#define MSR_SMM_ADDR			0xc0010112u
#define MSR_SMM_MASK			0xc0010113u
#define MSR_VM_CR			0xc0010114u
#define MSR_VM_HSAVE_PA			0xc0010117u
#define MSR_VIRT_SPEC_CTRL		0xc001011fu
#define MSR_OSVW_ID_LENGTH		0xc0010140u
#define MSR_OSVW_STATUS			0xc0010141u
#define MSR_F15_PERF_CTL0		0xc0010200u
#define MSR_F15_PERF_CTR5		0xc001020bu
#define MSR_CACHE_PERF_FIRST		0xc0010230u	/* of the last cache and of the data fabric */
#define MSR_FABRIC_PERF_LAST		0xc001025fu
#define MSR_CPPC_CAPABILITY_1		0xc00102b0u
#define MSR_CPPC_STATUS			0xc00102b4u
#define MSR_AMD_PPIN_CTL		0xc00102f0u
#define MSR_SMCA_CTL_MASK_FIRST		0xc0010400u
#define MSR_SMCA_CTL_MASK_LAST		0xc001043fu
#define MSR_UMC_PERF_FIRST		0xc0010800u
#define MSR_UMC_PERF_LAST		0xc001083fu
#define MSR_DR1_ADDR_MASK		0xc0011019u
#define MSR_DR3_ADDR_MASK		0xc001101bu
#define MSR_LS_CFG			0xc0011020u
#define MSR_IC_CFG			0xc0011021u
#define MSR_TW_CFG			0xc0011023u
#define MSR_DR0_ADDR_MASK		0xc0011027u
#define MSR_FP_CFG			0xc0011028u
#define MSR_BU_CFG2			0xc001102au
#define MSR_LS_CFG2			0xc001102du
#define MSR_BP_CFG			0xc001102eu
#define MSR_CORE_CFG_LAST		0xc001102fu
#define MSR_DE_CFG2			0xc00110e3u

/* APIC_BASE (SDM vol. 3, 11.4.4 and 11.12.1). */
#define APIC_BASE_BSP			(1u << 8)
#define APIC_BASE_X2APIC		(1u << 10)
#define APIC_BASE_ENABLE		(1u << 11)
#define APIC_BASE_ADDRESS		0x000ffffffffff000ull
#define APIC_BASE_RESET			0xfee00000u	/* of it, the address (11.4.1) */

#define DEBUGCTL_BTF			(1u << 1)	/* SDM vol. 3, 18.4.1 */

#define PAT_RESET			0x0007040600070406ull	/* SDM vol. 3, 12.12.4 */

/* FEATURE_CONTROL (SDM vol. 3, 24.7). */
#define FEATURE_CONTROL_LOCK		(1u << 0)
#define FEATURE_CONTROL_VMX_SMX		(1u << 1)
#define FEATURE_CONTROL_VMX		(1u << 2)

/* VM_CR (APM vol. 2, 15.30.1). R_INIT: an INIT from hardware becomes a security exception (15.28). */
#define VM_CR_R_INIT			(1u << 1)
#define VM_CR_LOCK			(1u << 3)
#define VM_CR_SVMDIS			(1u << 4)

#endif
