// SPDX-License-Identifier: GPL-2.0
// The control domain's MSRs (SDM vol. 4; APM vol. 2, appendix A; AMD's Processor Programming References).

#include "control_msr.h"

#include <stddef.h>

#include <keel/macros.h>
#include <x86/msr.h>

#define ONE(msr)	(msr), (msr)
#define BIT(n)	(1ull << (n))
#define BOTH	MSR_FREE
#define READ	MSR_READ_FREE
#define WRITE	MSR_WRITE_FREE
#define TRIED	MSR_WRITE_TRIED

#define XSS_USERS	(BIT(10) | BIT(11) | BIT(12))	/* PASID, shadow stacks; not trace, LBR, user interrupts */
#define TEST_CTRL_LOCKS	(BIT(28) | BIT(29))		/* faults of locked accesses that are uncached or split */
/* Strings, thermal, SpeedStep, MONITOR, turbo. */
#define MISC_ENABLE_SET	(BIT(0) | BIT(1) | BIT(3) | BIT(16) | BIT(18) | BIT(38))
/* FFDIS (K8), McStatusWrEn, CpbDis, IRPerfEn, CpuidFltEn; not INVD's. */
#define HWCR_SET	(BIT(6) | BIT(18) | BIT(25) | BIT(30) | BIT(35))
#define NB_CFG_ECS	BIT(46)				/* PCI's extended configuration by ports */

/*
 * Free is what Linux reads or writes all the time, in interrupts, at switches of tasks and of frequencies, or what the world
 * switch keeps for it, so that only the instruction in its own mode finds the right register.
 */
static const struct control_msr common[] = {
	{ ONE(MSR_TSC), READ, 0 },					/* guests count by it, so it is not set */
	{ ONE(MSR_APIC_BASE), READ, 0 },				/* writes are control_policy.c's */
	{ ONE(MSR_TSC_ADJUST), READ | TRIED, 0 },			/* looked at when idle, set when a CPU comes */
	{ MSR_SPEC_CTRL, MSR_PRED_CMD, BOTH, 0 },
	{ MSR_MPERF, MSR_APERF, READ, 0 },
	{ ONE(MSR_FLUSH_CMD), WRITE, 0 },
	{ MSR_SYSENTER_CS, MSR_SYSENTER_EIP, BOTH, 0 },
	{ MSR_MCG_STATUS, MSR_MCG_CTL, BOTH, 0 },
	{ ONE(MSR_DEBUGCTL), BOTH, 0 },					/* off while Keel (VMX) and guests run */
	/* MTRRs: Linux makes them alike on all CPUs with its caches off. */
	{ MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSMASK15, BOTH, 0 },
	{ ONE(MSR_MTRR_FIX64K_00000), BOTH, 0 },
	{ MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000, BOTH, 0 },
	{ MSR_MTRR_FIX4K_C0000, MSR_MTRR_FIX4K_F8000, BOTH, 0 },
	{ ONE(MSR_PAT), BOTH, 0 },
	{ ONE(MSR_MTRR_DEF_TYPE), BOTH, 0 },
	{ MSR_MC0_CTL, MSR_MC31_MISC, BOTH, 0 },			/* machine-check banks */
	{ ONE(MSR_U_CET), BOTH, 0 },					/* U_CET, S_CET, shadow-stack pointers */
	{ ONE(MSR_S_CET), BOTH, 0 },
	{ MSR_PL0_SSP, MSR_INTERRUPT_SSP_TABLE, BOTH, 0 },
	{ ONE(MSR_TSC_DEADLINE), BOTH, 0 },
	{ MSR_X2APIC_FIRST, MSR_X2APIC_ICR - 1, BOTH, 0 },		/* x2APIC; writes of ICR are control_cpus.c's */
	{ ONE(MSR_X2APIC_ICR), READ, 0 },
	{ MSR_X2APIC_ICR + 1, MSR_X2APIC_SELF_IPI, BOTH, 0 },
	{ MSR_L3_QOS_CFG, MSR_IO_QOS_CFG, TRIED, 0 },			/* resource allocation: configuration */
	{ MSR_QM_EVTSEL, MSR_QM_CTR, BOTH, 0 },				/* monitoring: event, count */
	{ ONE(MSR_PQR_ASSOC), BOTH, 0 },
	{ MSR_L3_MASK_0, MSR_QOS_MASK_LAST, TRIED, 0 },			/* masks of caches and bandwidth */
	{ ONE(MSR_XSS), TRIED, XSS_USERS },
	{ MSR_STAR, MSR_SFMASK, BOTH, 0 },
	{ MSR_FS_BASE, MSR_TSC_AUX, BOTH, 0 },
};

/*
 * Not here, so not written: what writes memory at physical or anybody's addresses or records in all modes (debug store, PEBS,
 * processor trace, LBR, hardware feedback), memory encryption's keys, user interrupts, key locker, FRED, mailboxes.
 */
static const struct control_msr intel[] = {
	{ ONE(MSR_TEST_CTRL), TRIED, TEST_CTRL_LOCKS },
	{ ONE(MSR_PPIN_CTL), TRIED, 0 },
	{ ONE(MSR_UCODE_WRITE), MSR_WRITE_IGNORED, 0 },			/* microcode: as if it had been taken for no newer one */
	/* 0 is written before CPUID tells it, also where no fault can be taken. */
	{ ONE(MSR_UCODE_REVISION), BOTH, 0 },
	{ MSR_SGX_LE_PUBKEY_HASH0, MSR_SGX_LE_PUBKEY_HASH3, TRIED, 0 },	/* SGX launch key's hash */
	{ MSR_PMC0, MSR_PMC7, BOTH, 0 },				/* counters */
	{ MSR_UMWAIT_CONTROL, MSR_PKG_CST_CONFIG, TRIED, 0 },
	{ ONE(MSR_TSX_FORCE_ABORT), TRIED, 0 },
	{ MSR_TSX_CTRL, MSR_MCU_OPT_CTRL, TRIED, 0 },
	{ ONE(MSR_MISC_FEATURES_ENABLES), TRIED, 0 },			/* CPUID faulting, MWAIT in ring 3 */
	{ ONE(MSR_ERROR_CONTROL), TRIED, BIT(1) },			/* more of memory's errors in the banks */
	{ MSR_PERFEVTSEL0, MSR_PERFEVTSEL7, BOTH, 0 },			/* events of the counters */
	{ ONE(MSR_PERF_STATUS), READ, 0 },
	{ ONE(MSR_PERF_CTL), BOTH, 0 },
	{ MSR_CLOCK_MODULATION, MSR_THERM_STATUS, TRIED, 0 },		/* clock modulation, thermal interrupt and status */
	{ ONE(MSR_MISC_ENABLE), TRIED, MISC_ENABLE_SET },
	{ ONE(MSR_TEMPERATURE_TARGET), TRIED, 0 },
	{ ONE(MSR_PREFETCH_CONTROL), TRIED, 0 },
	{ MSR_OFFCORE_RSP_0, MSR_OFFCORE_RSP_1, BOTH, 0 },
	{ MSR_ENERGY_PERF_BIAS, MSR_PACKAGE_THERM_INTERRUPT, TRIED, 0 },
	{ MSR_XFD, MSR_XFD_ERR, BOTH, 0 },
	{ ONE(MSR_POWER_CTL), TRIED, 0 },
	{ MSR_MC0_CTL2, MSR_MC31_CTL2, TRIED, 0 },			/* MCi_CTL2: CMCI */
	{ MSR_FIXED_CTR0, MSR_FIXED_CTR15, BOTH, 0 },
	{ ONE(MSR_PERF_METRICS), BOTH, 0 },
	{ MSR_FIXED_CTR_CTRL, MSR_PERF_GLOBAL_STATUS_SET, BOTH, 0 },	/* control and status of all counters */
	{ MSR_PERF_GLOBAL_INUSE, MSR_UNCORE_FIXED_CTR, TRIED, 0 },	/* in-use marks; fixed counters of the uncore */
	{ MSR_PEBS_LD_LAT, MSR_PEBS_FRONTEND, BOTH, 0 },		/* load latency, front end: filters of events */
	{ MSR_A_PMC0, MSR_A_PMC7, BOTH, 0 },				/* counters, by their full width */
	{ ONE(MSR_MCG_EXT_CTL), TRIED, 0 },				/* local machine checks */
	{ ONE(MSR_VR_CURRENT_CONFIG), TRIED, 0 },			/* RAPL: limits and policies */
	{ ONE(MSR_PKG_POWER_LIMIT), TRIED, 0 },
	{ ONE(MSR_DRAM_POWER_LIMIT), TRIED, 0 },
	{ ONE(MSR_UNCORE_RATIO_LIMIT), TRIED, 0 },
	{ ONE(MSR_PP0_POWER_LIMIT), TRIED, 0 },
	{ ONE(MSR_PP0_POLICY), TRIED, 0 },
	{ ONE(MSR_PP1_POWER_LIMIT), TRIED, 0 },
	{ ONE(MSR_PP1_POLICY), TRIED, 0 },
	{ ONE(MSR_PLATFORM_POWER_LIMIT), TRIED, 0 },
	{ MSR_CC6_DEMOTION_POLICY, MSR_MC6_DEMOTION_POLICY, TRIED, 0 },
	{ MSR_UNCORE_700_FIRST, MSR_UNCORE_700_LAST, TRIED, 0 },
	{ MSR_PM_ENABLE, MSR_HWP_STATUS, BOTH, 0 },			/* HWP */
	{ MSR_UNCORE_A40_FIRST, MSR_UNCORE_A40_LAST, TRIED, 0 },
	{ ONE(MSR_PASID), TRIED, 0 },
	{ MSR_UNCORE_E00_FIRST, MSR_UNCORE_E00_LAST, TRIED, 0 },
	{ MSR_VMX_BASIC, MSR_VMX_LAST, MSR_READ_REFUSED, 0 },		/* VMX, which is not there */
	{ ONE(MSR_EFER), BOTH, 0 },					/* in the VMCS */
};

/*
 * Not here, so not written: where memory is (SYSCFG, IORRs, TOP_MEM, MMIO_CFG_BASE), SMM's, SEV's, SVM's own, and what records in
 * all modes (instruction-based sampling, LBR).
 */
static const struct control_msr amd[] = {
	{ MSR_X2APIC_EXT_FEATURE, MSR_X2APIC_EXT_LVT3, BOTH, 0 },	/* AMD's registers of the x2APIC */
	{ MSR_MPERF_READONLY, MSR_APERF_READONLY, READ, 0 },
	{ ONE(MSR_IRPERF), BOTH, 0 },
	{ ONE(MSR_TSC_RATIO), MSR_READ_REFUSED, 0 },			/* would scale the guests' TSC */
	{ ONE(MSR_AMD_PREFETCH_CONTROL), TRIED, 0 },
	{ MSR_QOS_BANDWIDTH_FIRST, MSR_QOS_BANDWIDTH_LAST, TRIED, 0 },	/* bandwidth, of memory and of slow memory */
	{ MSR_QOS_SLOW_BANDWIDTH_FIRST, MSR_QOS_SLOW_BANDWIDTH_LAST, TRIED, 0 },
	{ MSR_AMD_PERF_GLOBAL_STATUS, MSR_AMD_PERF_GLOBAL_STATUS_SET, BOTH, 0 },	/* control and status of all counters */
	{ MSR_QOS_MONITORING_FIRST, MSR_QOS_MONITORING_LAST, TRIED, 0 },	/* monitoring: counters and their events */
	{ MSR_MC4_MISC1, MSR_MCA_INTERRUPT_CONFIG, TRIED, 0 },		/* machine-check thresholds and interrupts */
	{ MSR_SMCA_FIRST, MSR_SMCA_LAST, TRIED, 0 },			/* in no part of the bitmap, so that all exit (15.11) */
	{ MSR_K7_PERFEVTSEL0, MSR_K7_PERFCTR3, BOTH, 0 },		/* counters and their events */
	{ ONE(MSR_HWCR), TRIED, HWCR_SET },
	{ ONE(MSR_NB_CFG), TRIED, NB_CFG_ECS },
	{ ONE(MSR_PATCH_LOADER), MSR_WRITE_IGNORED, 0 },		/* microcode: as if it had been taken for no newer one */
	{ MSR_MC0_CTL_MASK, MSR_MC6_CTL_MASK, TRIED, 0 },		/* machine-check masks */
	{ ONE(MSR_PSTATE_CTL), BOTH, 0 },
	{ ONE(MSR_VM_HSAVE_PA), MSR_READ_REFUSED, 0 },
	{ ONE(MSR_VIRT_SPEC_CTRL), BOTH, 0 },
	{ MSR_F15_PERF_CTL0, MSR_F15_PERF_CTR5, BOTH, 0 },		/* counters and their events */
	{ MSR_CACHE_PERF_FIRST, MSR_FABRIC_PERF_LAST, TRIED, 0 },	/* those of the last cache and of the data fabric */
	{ MSR_CPPC_CAPABILITY_1, MSR_CPPC_STATUS, BOTH, 0 },
	{ ONE(MSR_AMD_PPIN_CTL), TRIED, 0 },
	{ MSR_SMCA_CTL_MASK_FIRST, MSR_SMCA_CTL_MASK_LAST, TRIED, 0 },	/* machine-check masks */
	{ MSR_UMC_PERF_FIRST, MSR_UMC_PERF_LAST, TRIED, 0 },		/* counters of the memory controllers */
	{ MSR_DR1_ADDR_MASK, MSR_DR3_ADDR_MASK, BOTH, 0 },		/* address masks of breakpoints */
	{ ONE(MSR_LS_CFG), BOTH, 0 },					/* store bypass, at switches of tasks */
	{ MSR_IC_CFG, MSR_TW_CFG, TRIED, 0 },				/* remedies of errata: caches, table walker */
	{ ONE(MSR_DR0_ADDR_MASK), BOTH, 0 },				/* address mask of a breakpoint */
	{ MSR_FP_CFG, MSR_BU_CFG2, TRIED, 0 },				/* remedies: floating point, decoder */
	{ MSR_LS_CFG2, MSR_BP_CFG, TRIED, 0 },				/* remedies: load-store, branches */
	{ ONE(MSR_DE_CFG2), TRIED, 0 },
};

const struct control_msrs control_msrs_amd = { amd, ARRAY_SIZE(amd) };
const struct control_msrs control_msrs_intel = { intel, ARRAY_SIZE(intel) };
static const struct control_msrs both = { common, ARRAY_SIZE(common) };

static const struct control_msr *find(const struct control_msrs *msrs, uint32_t msr)
{
	unsigned int i;

	for (i = 0; i < msrs->count; i++)
		if (msr >= msrs->list[i].first && msr <= msrs->list[i].last)
			return &msrs->list[i];
	return NULL;
}

const struct control_msr *control_msr_find(const struct control_msrs *vendor, uint32_t msr)
{
	const struct control_msr *found = find(&both, msr);

	return found ? found : find(vendor, msr);
}

static void permit_all(const struct control_msrs *msrs, uint8_t *bitmap,
		       void (*permit)(uint8_t *bitmap, uint32_t msr, bool read, bool write))
{
	const struct control_msr *m;
	uint32_t msr;
	unsigned int i;

	for (i = 0; i < msrs->count; i++) {
		m = &msrs->list[i];
		for (msr = m->first; m->access & MSR_FREE && msr <= m->last; msr++)
			permit(bitmap, msr, m->access & MSR_READ_FREE, m->access & MSR_WRITE_FREE);
	}
}

void control_msr_permit(const struct control_msrs *vendor, uint8_t *bitmap,
			void (*permit)(uint8_t *bitmap, uint32_t msr, bool read, bool write))
{
	permit_all(&both, bitmap, permit);
	permit_all(vendor, bitmap, permit);
}
