// SPDX-License-Identifier: GPL-2.0
// The control domain's MSRs (SDM vol. 4; APM vol. 2, appendix A; AMD's Processor Programming References).

#include "control_msr.h"

#include <stddef.h>

#define BIT(n)	(1ull << (n))
#define BOTH	MSR_FREE
#define READ	MSR_READ_FREE
#define WRITE	MSR_WRITE_FREE
#define TRIED	MSR_WRITE_TRIED

#define XSS_USERS	(BIT(10) | BIT(11) | BIT(12))	/* PASID, shadow stacks; not trace, LBR, user interrupts */
#define TEST_CTRL_LOCKS	(BIT(28) | BIT(29))		/* faults of locked accesses that are uncached or split */
#define MISC_ENABLE_SET	(BIT(0) | BIT(1) | BIT(3) | BIT(16) | BIT(18) | BIT(38))	/* strings, thermal, SpeedStep, MONITOR, turbo */
#define HWCR_SET	(BIT(6) | BIT(18) | BIT(25) | BIT(30) | BIT(35))	/* FFDIS (K8), McStatusWrEn, CpbDis, IRPerfEn, CpuidFltEn; not INVD's */
#define NB_CFG_ECS	BIT(46)				/* PCI's extended configuration by ports */

/*
 * Free is what Linux reads or writes all the time, in interrupts, at switches of tasks and of frequencies, or what the world
 * switch keeps for it, so that only the instruction in its own mode finds the right register.
 */
static const struct control_msr common[] = {
	{ 0x10, 0x10, READ, 0 },		/* TSC: guests count by it, so it is not set */
	{ 0x1b, 0x1b, READ, 0 },		/* APIC_BASE: writes are control.c's */
	{ 0x3b, 0x3b, READ | TRIED, 0 },	/* TSC_ADJUST: looked at when idle, set when a CPU comes */
	{ 0x48, 0x49, BOTH, 0 },		/* SPEC_CTRL, PRED_CMD */
	{ 0xe7, 0xe8, READ, 0 },		/* MPERF, APERF */
	{ 0x10b, 0x10b, WRITE, 0 },		/* FLUSH_CMD */
	{ 0x174, 0x176, BOTH, 0 },		/* SYSENTER */
	{ 0x17a, 0x17b, BOTH, 0 },		/* MCG_STATUS, MCG_CTL */
	{ 0x1d9, 0x1d9, BOTH, 0 },		/* DEBUGCTL: off while Keel (VMX) and guests run */
	{ 0x200, 0x21f, BOTH, 0 },		/* MTRRs: Linux makes them alike on all CPUs with its caches off */
	{ 0x250, 0x250, BOTH, 0 },
	{ 0x258, 0x259, BOTH, 0 },
	{ 0x268, 0x26f, BOTH, 0 },
	{ 0x277, 0x277, BOTH, 0 },		/* PAT */
	{ 0x2ff, 0x2ff, BOTH, 0 },
	{ 0x400, 0x47f, BOTH, 0 },		/* machine-check banks */
	{ 0x6a0, 0x6a0, BOTH, 0 },		/* U_CET, S_CET, shadow-stack pointers */
	{ 0x6a2, 0x6a2, BOTH, 0 },
	{ 0x6a4, 0x6a8, BOTH, 0 },
	{ 0x6e0, 0x6e0, BOTH, 0 },		/* TSC_DEADLINE */
	{ 0x800, 0x82f, BOTH, 0 },		/* x2APIC; writes of ICR are control.c's */
	{ 0x830, 0x830, READ, 0 },
	{ 0x831, 0x83f, BOTH, 0 },
	{ 0xc81, 0xc83, TRIED, 0 },		/* resource allocation: configuration */
	{ 0xc8d, 0xc8e, BOTH, 0 },		/* monitoring: event, count */
	{ 0xc8f, 0xc8f, BOTH, 0 },		/* PQR_ASSOC */
	{ 0xc90, 0xd8f, TRIED, 0 },		/* masks of caches and bandwidth */
	{ 0xda0, 0xda0, TRIED, XSS_USERS },
	{ 0xc0000081, 0xc0000084, BOTH, 0 },	/* STAR, LSTAR, CSTAR, SFMASK */
	{ 0xc0000100, 0xc0000103, BOTH, 0 },	/* FS, GS, kernel GS base, TSC_AUX */
};

/*
 * Not here, so not written: what writes memory at physical or anybody's addresses or records in all modes (debug store, PEBS,
 * processor trace, LBR, hardware feedback), memory encryption's keys, user interrupts, key locker, FRED, mailboxes.
 */
static const struct control_msr intel[] = {
	{ 0x33, 0x33, TRIED, TEST_CTRL_LOCKS },
	{ 0x4e, 0x4e, TRIED, 0 },		/* PPIN_CTL */
	{ 0x79, 0x79, MSR_WRITE_IGNORED, 0 },	/* microcode: as if it had been taken for no newer one */
	{ 0x8b, 0x8b, BOTH, 0 },		/* its revision: 0 is written before CPUID tells it, also where no fault can be taken */
	{ 0x8c, 0x8f, TRIED, 0 },		/* SGX launch key's hash */
	{ 0xc1, 0xc8, BOTH, 0 },		/* counters */
	{ 0xe1, 0xe2, TRIED, 0 },		/* UMWAIT_CONTROL, C-states */
	{ 0x10f, 0x10f, TRIED, 0 },		/* TSX_FORCE_ABORT */
	{ 0x122, 0x123, TRIED, 0 },		/* TSX_CTRL, MCU_OPT_CTRL */
	{ 0x140, 0x140, TRIED, 0 },		/* MISC_FEATURES_ENABLES: CPUID faulting, MWAIT in ring 3 */
	{ 0x17f, 0x17f, TRIED, BIT(1) },	/* ERROR_CONTROL: more of memory's errors in the banks */
	{ 0x186, 0x18d, BOTH, 0 },		/* events of the counters */
	{ 0x198, 0x198, READ, 0 },		/* PERF_STATUS */
	{ 0x199, 0x199, BOTH, 0 },		/* PERF_CTL */
	{ 0x19a, 0x19c, TRIED, 0 },		/* clock modulation, thermal interrupt and status */
	{ 0x1a0, 0x1a0, TRIED, MISC_ENABLE_SET },
	{ 0x1a2, 0x1a2, TRIED, 0 },		/* temperature target */
	{ 0x1a4, 0x1a4, TRIED, 0 },		/* prefetchers */
	{ 0x1a6, 0x1a7, BOTH, 0 },		/* OFFCORE_RSP */
	{ 0x1b0, 0x1b2, TRIED, 0 },		/* energy bias, the package's thermal status and interrupt */
	{ 0x1c4, 0x1c5, BOTH, 0 },		/* XFD, XFD_ERR */
	{ 0x1fc, 0x1fc, TRIED, 0 },		/* POWER_CTL */
	{ 0x280, 0x29f, TRIED, 0 },		/* MCi_CTL2: CMCI */
	{ 0x309, 0x318, BOTH, 0 },		/* fixed counters */
	{ 0x329, 0x329, BOTH, 0 },		/* PERF_METRICS */
	{ 0x38d, 0x391, BOTH, 0 },		/* control and status of all counters */
	{ 0x392, 0x395, TRIED, 0 },		/* in-use marks; fixed counters of the uncore */
	{ 0x3f6, 0x3f7, BOTH, 0 },		/* load latency, front end: filters of events */
	{ 0x4c1, 0x4c8, BOTH, 0 },		/* counters, by their full width */
	{ 0x4d0, 0x4d0, TRIED, 0 },		/* MCG_EXT_CTL: local machine checks */
	{ 0x601, 0x601, TRIED, 0 },		/* RAPL: limits and policies */
	{ 0x610, 0x610, TRIED, 0 },
	{ 0x618, 0x618, TRIED, 0 },
	{ 0x620, 0x620, TRIED, 0 },		/* uncore ratio */
	{ 0x638, 0x638, TRIED, 0 },
	{ 0x63a, 0x63a, TRIED, 0 },
	{ 0x640, 0x640, TRIED, 0 },
	{ 0x642, 0x642, TRIED, 0 },
	{ 0x65c, 0x65c, TRIED, 0 },
	{ 0x668, 0x669, TRIED, 0 },		/* C6 demotion */
	{ 0x700, 0x76f, TRIED, 0 },		/* counters of the uncore */
	{ 0x770, 0x777, BOTH, 0 },		/* HWP */
	{ 0xa40, 0xaff, TRIED, 0 },		/* counters of the uncore */
	{ 0xd93, 0xd93, TRIED, 0 },		/* PASID */
	{ 0xe00, 0xfff, TRIED, 0 },		/* counters of the uncore */
	{ 0x480, 0x4bf, MSR_READ_REFUSED, 0 },	/* VMX, which is not there */
	{ 0xc0000080, 0xc0000080, BOTH, 0 },	/* EFER: in the VMCS */
};

/*
 * Not here, so not written: where memory is (SYSCFG, IORRs, TOP_MEM, MMIO_CFG_BASE), SMM's, SEV's, SVM's own, and what records in
 * all modes (instruction-based sampling, LBR).
 */
static const struct control_msr amd[] = {
	{ 0x840, 0x853, BOTH, 0 },		/* AMD's registers of the x2APIC */
	{ 0xc00000e7, 0xc00000e8, READ, 0 },	/* MPERF, APERF */
	{ 0xc00000e9, 0xc00000e9, BOTH, 0 },	/* IRPERF */
	{ 0xc0000104, 0xc0000104, MSR_READ_REFUSED, 0 },	/* TSC_RATIO: would scale the guests' TSC */
	{ 0xc0000108, 0xc0000108, TRIED, 0 },	/* prefetchers */
	{ 0xc0000200, 0xc000020f, TRIED, 0 },	/* bandwidth, of memory and of slow memory */
	{ 0xc0000280, 0xc000028f, TRIED, 0 },
	{ 0xc0000300, 0xc0000303, BOTH, 0 },	/* control and status of all counters */
	{ 0xc00003fd, 0xc0000407, TRIED, 0 },	/* monitoring: counters and their events */
	{ 0xc0000408, 0xc0000410, TRIED, 0 },	/* machine-check thresholds and interrupts */
	{ 0xc0002000, 0xc00023ff, TRIED, 0 },	/* scalable machine-check banks: in no part of the bitmap, so that all exit (15.11) */
	{ 0xc0010000, 0xc0010007, BOTH, 0 },	/* counters and their events */
	{ 0xc0010015, 0xc0010015, TRIED, HWCR_SET },
	{ 0xc001001f, 0xc001001f, TRIED, NB_CFG_ECS },
	{ 0xc0010020, 0xc0010020, MSR_WRITE_IGNORED, 0 },	/* microcode: as if it had been taken for no newer one */
	{ 0xc0010044, 0xc001004a, TRIED, 0 },	/* machine-check masks */
	{ 0xc0010062, 0xc0010062, BOTH, 0 },	/* P-state */
	{ 0xc0010117, 0xc0010117, MSR_READ_REFUSED, 0 },	/* VM_HSAVE_PA */
	{ 0xc001011f, 0xc001011f, BOTH, 0 },	/* VIRT_SPEC_CTRL */
	{ 0xc0010200, 0xc001020b, BOTH, 0 },	/* counters and their events */
	{ 0xc0010230, 0xc001025f, TRIED, 0 },	/* those of the last cache and of the data fabric */
	{ 0xc00102b0, 0xc00102b4, BOTH, 0 },	/* CPPC */
	{ 0xc00102f0, 0xc00102f0, TRIED, 0 },	/* PPIN_CTL */
	{ 0xc0010400, 0xc001043f, TRIED, 0 },	/* machine-check masks */
	{ 0xc0010800, 0xc001083f, TRIED, 0 },	/* counters of the memory controllers */
	{ 0xc0011019, 0xc001101b, BOTH, 0 },	/* address masks of breakpoints */
	{ 0xc0011020, 0xc0011020, BOTH, 0 },	/* LS_CFG: store bypass, at switches of tasks */
	{ 0xc0011021, 0xc0011023, TRIED, 0 },	/* remedies of errata: caches, table walker */
	{ 0xc0011027, 0xc0011027, BOTH, 0 },	/* address mask of a breakpoint */
	{ 0xc0011028, 0xc001102a, TRIED, 0 },	/* remedies: floating point, decoder */
	{ 0xc001102d, 0xc001102e, TRIED, 0 },	/* remedies: load-store, branches */
	{ 0xc00110e3, 0xc00110e3, TRIED, 0 },
};

#define COUNT(list)	(sizeof(list) / sizeof((list)[0]))

const struct control_msrs control_msrs_amd = { amd, COUNT(amd) };
const struct control_msrs control_msrs_intel = { intel, COUNT(intel) };
static const struct control_msrs both = { common, COUNT(common) };

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
