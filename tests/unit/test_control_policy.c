/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The processor as the control domain has it: on one that has every bit of every leaf and every MSR, what is not known to be
 * harmless is not seen and not written; what kernels use is.
 */
#include <check.h>
#include <stdarg.h>
#include <string.h>

#include <keel/macros.h>

#include "cpu.h"
#include "suite.h"

static struct cpuid processor_cpuid(uint32_t leaf, uint32_t subleaf);

#define cpuid(leaf, subleaf) processor_cpuid(leaf, subleaf)
#include "../../arch/x86/control_policy.c"
#undef cpuid

#define BITMAP_BYTES	8192u
#define READ_EXITS	1u
#define WRITE_EXITS	2u
#define MSR_VALUE	0x5a5au

const struct hv_ops *hv;

static struct cpu cpu;
static uint8_t bitmap[BITMAP_BYTES];

/* What the processor has at the MSR that is looked at, and what became of it. */
static uint64_t there, written;
static bool faults;
static unsigned int reads, writes, lines, loud;

static bool full = true;
static struct cpuid small[3];		/* leaves 0, 1 and 7 of one that is not full */

static struct cpuid processor_cpuid(uint32_t leaf, uint32_t subleaf)
{
	(void)subleaf;
	if (full)
		return (struct cpuid){ ~0u, ~0u, ~0u, ~0u };
	/* As Intel's do: above the last leaf there is what the last one says. */
	if (leaf & 0x80000000u)
		return (struct cpuid){ .eax = 0x80000008u };
	return leaf == 0 ? small[0] : leaf == 1 ? small[1] : small[2];
}

bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
	(void)msr;
	reads++;
	if (faults)
		return false;
	*value = there;
	return true;
}

static uint64_t apic_base_there;
static bool apic_locked;

uint64_t rdmsr(uint32_t msr)
{
	ck_assert_uint_eq(msr, MSR_APIC_BASE);
	return apic_base_there;
}

bool apic_set_base(uint64_t value)
{
	if (apic_locked)
		return false;
	writes++;
	written = value;
	return true;
}

bool wrmsr_safe(uint32_t msr, uint64_t value)
{
	(void)msr;
	writes++;
	if (!faults)
		written = value;
	return !faults;
}

void print(const char *format, ...)
{
	(void)format;
	lines++;
}

void console_loud(void)
{
	loud++;
}

static bool no_rdmsr(struct cpu *c, uint32_t msr, uint64_t *value)
{
	(void)c;
	(void)msr;
	(void)value;
	return false;
}

static const struct hv_ops vendors[] = {
	{ .name = "AMD", .control.msrs = &control_msrs_amd, .control.rdmsr = no_rdmsr },
	{ .name = "Intel", .control.msrs = &control_msrs_intel, .control.rdmsr = no_rdmsr },
};

static void set_up(void)
{
	full = true;
	hv = &vendors[0];
	there = MSR_VALUE;
	faults = false;
	reads = writes = lines = loud = 0;
	written = 0;
	apic_base_there = APIC_BASE_RESET | APIC_BASE_BSP | APIC_BASE_ENABLE;
	apic_locked = false;
	memset(&told_msrs, 0, sizeof(told_msrs));
	memset(&told_exits, 0, sizeof(told_exits));
}

static bool is_zero(struct cpuid r)
{
	return !(r.eax | r.ebx | r.ecx | r.edx);
}

/* Everything that is seen of a processor with all bits, written down once more, by hand: leaf, subleaves, registers. */
static const struct {
	uint32_t leaf, first, last;
	struct cpuid seen;
} seen[] = {
	{ 0x0, 0, 8, { 0x24, ~0u, ~0u, ~0u } },
	{ 0x1, 0, 8, { ~0u, ~0u, 0xf7fef78b, 0xbfcbfbff } },
	{ 0x2, 0, 8, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x4, 0, 8, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x5, 0, 8, { 0xffff, 0xffff, 3, ~0u } },
	{ 0x6, 0, 8, { 0x0157eff7, 0xf, 0x9, 0 } },
	{ 0x7, 0, 0, { 2, 0xfdbfffff, 0x7b7f7fef, 0xffd1ef1e } },
	{ 0x7, 1, 1, { 0xc4ac1cff, 0x9, 0, 0x000c4530 } },
	{ 0x7, 2, 2, { 0, 0, 0, 0xff } },
	{ 0x9, 0, 8, { ~0u, 0, 0, 0 } },
	{ 0xa, 0, 8, { 0xffffff05, ~0u, ~0u, ~0u } },
	{ 0xb, 0, 8, { ~0u, ~0u, ~0u, ~0u } },
	{ 0xd, 0, 0, { 0x602ff, ~0u, ~0u, 0 } },
	{ 0xd, 1, 1, { 0x1f, ~0u, 0x1c00, 0 } },
	{ 0xd, 2, 7, { ~0u, ~0u, ~0u, 0 } },
	{ 0xf, 0, 1, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x10, 0, 3, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x12, 0, 8, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x15, 0, 8, { ~0u, ~0u, ~0u, 0 } },
	{ 0x16, 0, 8, { ~0u, ~0u, ~0u, 0 } },
	{ 0x17, 0, 3, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x18, 0, 8, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x1a, 0, 8, { ~0u, 0, 0, 0 } },
	{ 0x1d, 0, 8, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x1e, 0, 1, { ~0u, ~0u, 0, 0 } },
	{ 0x1f, 0, 8, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x24, 0, 0, { ~0u, ~0u, 0, 0 } },
	{ 0x80000000, 0, 8, { 0x80000026, ~0u, ~0u, ~0u } },
	{ 0x80000001, 0, 8, { ~0u, ~0u, 0x7deb0bfb, 0xefdbfbff } },
	{ 0x80000002, 0, 8, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x80000003, 0, 8, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x80000004, 0, 8, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x80000005, 0, 8, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x80000006, 0, 8, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x80000007, 0, 8, { ~0u, 0xf, ~0u, 0xffff } },
	{ 0x80000008, 0, 8, { ~0u, 0x7f9ff357, ~0u, 0xffff0000 } },
	{ 0x80000019, 0, 8, { ~0u, ~0u, 0, 0 } },
	{ 0x8000001a, 0, 8, { ~0u, 0, 0, 0 } },
	{ 0x8000001d, 0, 8, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x8000001e, 0, 8, { ~0u, ~0u, ~0u, 0 } },
	{ 0x80000020, 0, 5, { ~0u, ~0u, ~0u, ~0u } },
	{ 0x80000021, 0, 8, { 0xf9162fef, ~0u, 0x6, 0 } },
	{ 0x80000022, 0, 8, { 0x5, 0xfffffc0f, ~0u, 0 } },
	{ 0x80000026, 0, 8, { ~0u, ~0u, ~0u, ~0u } },
};

static void check_leaf(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid want = { 0 }, got = control_cpuid(leaf, subleaf, 0);

	for (unsigned int i = 0; i < ARRAY_SIZE(seen); i++)
		if (seen[i].leaf == leaf && subleaf >= seen[i].first && subleaf <= seen[i].last)
			want = seen[i].seen;
	ck_assert_msg(!memcmp(&want, &got, sizeof(got)), "leaf %x.%u: %x %x %x %x", leaf, subleaf, got.eax, got.ebx, got.ecx,
		      got.edx);
}

START_TEST(every_leaf)
{
	for (uint32_t leaf = 0; leaf <= 0x40; leaf++)
		for (uint32_t subleaf = 0; subleaf <= 8; subleaf++)
			check_leaf(leaf, subleaf);
	for (uint32_t leaf = 0x80000000u; leaf <= 0x80000040u; leaf++)
		for (uint32_t subleaf = 0; subleaf <= 8; subleaf++)
			check_leaf(leaf, subleaf);
	for (uint32_t leaf = 0x40000002; leaf < 0x40000200; leaf++)
		ck_assert(is_zero(control_cpuid(leaf, 0, 0)) != (leaf / 2 == KEEL_CPUID_SECOND / 2));
	ck_assert(is_zero(control_cpuid(0xc0000000u, 0, 0)) && is_zero(control_cpuid(0x8fffffffu, 0, 0)));
}
END_TEST

/* Vectors, keys of pages, tiles, process IDs and shadow stacks; neither trace, LBR, user interrupts nor APX. */
START_TEST(extended_state)
{
	const uint64_t components = 0x602fcu | 0x1c00u;

	for (uint32_t subleaf = 2; subleaf < 100; subleaf++)
		ck_assert_int_eq(!is_zero(control_cpuid(0xd, subleaf, 0)), subleaf < 64 && components >> subleaf & 1);
}
END_TEST

START_TEST(mirrors_of_cr4)
{
	ck_assert_uint_eq(control_cpuid(1, 0, 0).ecx & BIT(27), 0);
	ck_assert_uint_eq(control_cpuid(1, 0, CR4_OSXSAVE).ecx & BIT(27), BIT(27));
	ck_assert_uint_eq(control_cpuid(7, 0, 0).ecx & BIT(4), 0);
	ck_assert_uint_eq(control_cpuid(7, 0, CR4_PKE).ecx & BIT(4), BIT(4));
	ck_assert_uint_eq(control_cpuid(7, 1, CR4_PKE).ecx, 0);
}
END_TEST

START_TEST(own_leaves)
{
	struct cpuid r = control_cpuid(KEEL_CPUID_BASE, 0, 0);

	ck_assert_uint_eq(r.eax, KEEL_CPUID_BASE + 1);
	ck_assert_mem_eq(&r.ebx, KEEL_CPUID_SIGNATURE, 12);
	r = control_cpuid(KEEL_CPUID_BASE + 1, 0, 0);
	ck_assert(r.eax == KEEL_ABI_REVISION && !(r.ebx | r.ecx | r.edx));
	r = control_cpuid(KEEL_CPUID_SECOND, 0, 0);
	ck_assert_mem_eq(&r.ebx, KEEL_CPUID_SIGNATURE, 12);
}
END_TEST

/*
 * Linux stays in x2APIC mode without remapping of interrupts only on what it takes for KVM;
 * that is shown only where it must stay there.
 */
START_TEST(locked_in_x2apic)
{
	struct cpuid r;

	full = false;
	faults = false;
	small[0] = (struct cpuid){ 0x7, 1, 2, 3 };
	small[1] = small[2] = (struct cpuid){ 0 };
	there = 1ull << 21 | 1;
	control_policy_init(true);
	ck_assert_uint_eq(control_cpuid(1, 0, 0).ecx, 0);
	small[2].edx = BIT(29);
	control_policy_init(false);
	ck_assert_uint_eq(control_cpuid(1, 0, 0).ecx, 0);
	there = 1ull << 21;
	control_policy_init(true);
	ck_assert_uint_eq(control_cpuid(1, 0, 0).ecx, 0);
	there = 1ull << 21 | 1;
	control_policy_init(true);
	ck_assert_uint_eq(control_cpuid(1, 0, 0).ecx, BIT(31));
	r = control_cpuid(0x40000000, 0, 0);
	ck_assert_uint_eq(r.eax, 0x40000001);
	ck_assert_mem_eq(&r.ebx, "KVMKVMKVM\0\0", 12);
	r = control_cpuid(0x40000001, 0, 0);
	ck_assert(!(r.eax | r.ebx | r.ecx | r.edx));
	r = control_cpuid(KEEL_CPUID_SECOND, 0, 0);
	ck_assert_uint_eq(r.eax, KEEL_CPUID_SECOND + 1);
	ck_assert_mem_eq(&r.ebx, KEEL_CPUID_SIGNATURE, 12);
	ck_assert_uint_eq(control_cpuid(KEEL_CPUID_SECOND + 1, 0, 0).eax, KEEL_ABI_REVISION);
	control_policy_init(false);
	full = true;
}
END_TEST

/* What the processor lacks stays away, also where it answers for leaves that it has not; FSRM goes with ERMS. */
START_TEST(smaller_processor)
{
	full = false;
	small[0] = (struct cpuid){ 0x7, 1, 2, 3 };
	small[1] = (struct cpuid){ 0x1234, 5, BIT(0) | BIT(2), 7 };
	small[2] = (struct cpuid){ 0, 0, 0, EDX7_FSRM };
	ck_assert_uint_eq(control_cpuid(0, 0, 0).eax, 7);
	ck_assert_uint_eq(control_cpuid(1, 0, 0).ecx, BIT(0));
	ck_assert_uint_eq(control_cpuid(7, 0, 0).edx, 0);
	small[2].ebx = EBX7_ERMS;
	ck_assert_uint_eq(control_cpuid(7, 0, 0).edx, EDX7_FSRM);
	for (uint32_t leaf = 8; leaf <= 0x40; leaf++)
		ck_assert(is_zero(control_cpuid(leaf, 0, 0)));
	ck_assert_uint_eq(control_cpuid(0x80000000u, 0, 0).eax, 0x80000008u);
	ck_assert(is_zero(control_cpuid(0x80000026u, 0, 0)));
}
END_TEST

/* One byte for each MSR of the three ranges that bitmaps have. */
static unsigned int place_of(uint32_t msr)
{
	unsigned int base = msr >= 0xc0010000u ? 0x4000 : msr >= 0xc0000000u ? 0x2000 : 0;

	ck_assert_msg((msr & ~0x1fffu) == 0 || (msr & ~0x1fffu) == 0xc0000000u || (msr & ~0x1fffu) == 0xc0010000u,
		      "MSR %x is in no bitmap", msr);
	return base + (msr & 0x1fff);
}

static uint8_t exits[0x6000];

static void note(uint8_t *map, uint32_t msr, bool read, bool write)
{
	ck_assert_ptr_eq(map, bitmap);
	exits[place_of(msr)] = (uint8_t)((read ? 0 : READ_EXITS) | (write ? 0 : WRITE_EXITS));
}

/* What goes on without exits and may be written by one, vendor by vendor, as first and last of runs. */
struct run {
	uint32_t first, last;
};

static bool in(const struct run *runs, uint32_t msr)
{
	for (; runs->last; runs++)
		if (msr >= runs->first && msr <= runs->last)
			return true;
	return false;
}

static const struct run free_reads[2][64] = {
	{
		{ MSR_TSC, MSR_TSC }, { MSR_APIC_BASE, MSR_APIC_BASE }, { MSR_TSC_ADJUST, MSR_TSC_ADJUST },
		{ MSR_SPEC_CTRL, MSR_PRED_CMD }, { MSR_MPERF, MSR_APERF }, { MSR_SYSENTER_CS, MSR_SYSENTER_EIP },
		{ MSR_MCG_STATUS, MSR_MCG_CTL }, { MSR_DEBUGCTL, MSR_DEBUGCTL }, { MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSMASK15 },
		{ MSR_MTRR_FIX64K_00000, MSR_MTRR_FIX64K_00000 }, { MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000 },
		{ MSR_MTRR_FIX4K_C0000, MSR_MTRR_FIX4K_F8000 }, { MSR_PAT, MSR_PAT },
		{ MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE }, { MSR_MC0_CTL, MSR_MC31_MISC }, { MSR_U_CET, MSR_U_CET },
		{ MSR_S_CET, MSR_S_CET }, { MSR_PL0_SSP, MSR_INTERRUPT_SSP_TABLE }, { MSR_TSC_DEADLINE, MSR_TSC_DEADLINE },
		{ MSR_X2APIC_FIRST, MSR_X2APIC_EXT_LVT3 }, { MSR_QM_EVTSEL, MSR_PQR_ASSOC }, { MSR_STAR, MSR_SFMASK },
		{ MSR_MPERF_READONLY, MSR_IRPERF }, { MSR_FS_BASE, MSR_TSC_AUX },
		{ MSR_AMD_PERF_GLOBAL_STATUS, MSR_AMD_PERF_GLOBAL_STATUS_SET }, { MSR_K7_PERFEVTSEL0, MSR_K7_PERFCTR3 },
		{ MSR_PSTATE_CTL, MSR_PSTATE_CTL }, { MSR_VIRT_SPEC_CTRL, MSR_VIRT_SPEC_CTRL },
		{ MSR_F15_PERF_CTL0, MSR_F15_PERF_CTR5 }, { MSR_CPPC_CAPABILITY_1, MSR_CPPC_STATUS },
		{ MSR_DR1_ADDR_MASK, MSR_DR3_ADDR_MASK }, { MSR_LS_CFG, MSR_LS_CFG },
		{ MSR_DR0_ADDR_MASK, MSR_DR0_ADDR_MASK },
	},
	{
		{ MSR_TSC, MSR_TSC }, { MSR_APIC_BASE, MSR_APIC_BASE }, { MSR_TSC_ADJUST, MSR_TSC_ADJUST },
		{ MSR_SPEC_CTRL, MSR_PRED_CMD }, { MSR_UCODE_REVISION, MSR_UCODE_REVISION }, { MSR_PMC0, MSR_PMC7 },
		{ MSR_MPERF, MSR_APERF }, { MSR_SYSENTER_CS, MSR_SYSENTER_EIP }, { MSR_MCG_STATUS, MSR_MCG_CTL },
		{ MSR_PERFEVTSEL0, MSR_PERFEVTSEL7 }, { MSR_PERF_STATUS, MSR_PERF_CTL },
		{ MSR_OFFCORE_RSP_0, MSR_OFFCORE_RSP_1 }, { MSR_XFD, MSR_XFD_ERR }, { MSR_DEBUGCTL, MSR_DEBUGCTL },
		{ MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSMASK15 }, { MSR_MTRR_FIX64K_00000, MSR_MTRR_FIX64K_00000 },
		{ MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000 }, { MSR_MTRR_FIX4K_C0000, MSR_MTRR_FIX4K_F8000 },
		{ MSR_PAT, MSR_PAT }, { MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE }, { MSR_FIXED_CTR0, MSR_FIXED_CTR15 },
		{ MSR_PERF_METRICS, MSR_PERF_METRICS }, { MSR_FIXED_CTR_CTRL, MSR_PERF_GLOBAL_STATUS_SET },
		{ MSR_PEBS_LD_LAT, MSR_PEBS_FRONTEND }, { MSR_MC0_CTL, MSR_MC31_MISC }, { MSR_A_PMC0, MSR_A_PMC7 },
		{ MSR_U_CET, MSR_U_CET }, { MSR_S_CET, MSR_S_CET }, { MSR_PL0_SSP, MSR_INTERRUPT_SSP_TABLE },
		{ MSR_TSC_DEADLINE, MSR_TSC_DEADLINE }, { MSR_PM_ENABLE, MSR_HWP_STATUS },
		{ MSR_X2APIC_FIRST, MSR_X2APIC_SELF_IPI }, { MSR_QM_EVTSEL, MSR_PQR_ASSOC }, { MSR_EFER, MSR_SFMASK },
		{ MSR_FS_BASE, MSR_TSC_AUX },
	},
};

/* Free to be read and not to be written; and the reverse. */
static const struct run read_only[] = {
	{ MSR_TSC, MSR_TSC }, { MSR_APIC_BASE, MSR_APIC_BASE }, { MSR_TSC_ADJUST, MSR_TSC_ADJUST }, { MSR_MPERF, MSR_APERF },
	{ MSR_PERF_STATUS, MSR_PERF_STATUS }, { MSR_X2APIC_ICR, MSR_X2APIC_ICR }, { MSR_MPERF_READONLY, MSR_APERF_READONLY },
	{ 0, 0 },
};
static const struct run write_only[] = { { MSR_FLUSH_CMD, MSR_FLUSH_CMD }, { 0, 0 } };

static const struct run tried[2][64] = {
	{
		{ MSR_TSC_ADJUST, MSR_TSC_ADJUST }, { MSR_L3_QOS_CFG, MSR_IO_QOS_CFG }, { MSR_L3_MASK_0, MSR_QOS_MASK_LAST },
		{ MSR_XSS, MSR_XSS }, { MSR_AMD_PREFETCH_CONTROL, MSR_AMD_PREFETCH_CONTROL },
		{ MSR_QOS_BANDWIDTH_FIRST, MSR_QOS_BANDWIDTH_LAST },
		{ MSR_QOS_SLOW_BANDWIDTH_FIRST, MSR_QOS_SLOW_BANDWIDTH_LAST },
		{ MSR_QOS_MONITORING_FIRST, MSR_MCA_INTERRUPT_CONFIG }, { MSR_SMCA_FIRST, MSR_SMCA_LAST },
		{ MSR_HWCR, MSR_HWCR }, { MSR_NB_CFG, MSR_NB_CFG }, { MSR_MC0_CTL_MASK, MSR_MC6_CTL_MASK },
		{ MSR_CACHE_PERF_FIRST, MSR_FABRIC_PERF_LAST }, { MSR_AMD_PPIN_CTL, MSR_AMD_PPIN_CTL },
		{ MSR_SMCA_CTL_MASK_FIRST, MSR_SMCA_CTL_MASK_LAST }, { MSR_UMC_PERF_FIRST, MSR_UMC_PERF_LAST },
		{ MSR_IC_CFG, MSR_TW_CFG }, { MSR_FP_CFG, MSR_BU_CFG2 }, { MSR_LS_CFG2, MSR_BP_CFG },
		{ MSR_DE_CFG2, MSR_DE_CFG2 },
	},
	{
		{ MSR_TEST_CTRL, MSR_TEST_CTRL }, { MSR_TSC_ADJUST, MSR_TSC_ADJUST }, { MSR_PPIN_CTL, MSR_PPIN_CTL },
		{ MSR_SGX_LE_PUBKEY_HASH0, MSR_SGX_LE_PUBKEY_HASH3 }, { MSR_UMWAIT_CONTROL, MSR_PKG_CST_CONFIG },
		{ MSR_TSX_FORCE_ABORT, MSR_TSX_FORCE_ABORT }, { MSR_TSX_CTRL, MSR_MCU_OPT_CTRL },
		{ MSR_MISC_FEATURES_ENABLES, MSR_MISC_FEATURES_ENABLES }, { MSR_ERROR_CONTROL, MSR_ERROR_CONTROL },
		{ MSR_CLOCK_MODULATION, MSR_THERM_STATUS }, { MSR_MISC_ENABLE, MSR_MISC_ENABLE },
		{ MSR_TEMPERATURE_TARGET, MSR_TEMPERATURE_TARGET }, { MSR_PREFETCH_CONTROL, MSR_PREFETCH_CONTROL },
		{ MSR_ENERGY_PERF_BIAS, MSR_PACKAGE_THERM_INTERRUPT }, { MSR_POWER_CTL, MSR_POWER_CTL },
		{ MSR_MC0_CTL2, MSR_MC31_CTL2 }, { MSR_PERF_GLOBAL_INUSE, MSR_UNCORE_FIXED_CTR },
		{ MSR_MCG_EXT_CTL, MSR_MCG_EXT_CTL }, { MSR_VR_CURRENT_CONFIG, MSR_VR_CURRENT_CONFIG },
		{ MSR_PKG_POWER_LIMIT, MSR_PKG_POWER_LIMIT }, { MSR_DRAM_POWER_LIMIT, MSR_DRAM_POWER_LIMIT },
		{ MSR_UNCORE_RATIO_LIMIT, MSR_UNCORE_RATIO_LIMIT }, { MSR_PP0_POWER_LIMIT, MSR_PP0_POWER_LIMIT },
		{ MSR_PP0_POLICY, MSR_PP0_POLICY }, { MSR_PP1_POWER_LIMIT, MSR_PP1_POWER_LIMIT },
		{ MSR_PP1_POLICY, MSR_PP1_POLICY }, { MSR_PLATFORM_POWER_LIMIT, MSR_PLATFORM_POWER_LIMIT },
		{ MSR_CC6_DEMOTION_POLICY, MSR_MC6_DEMOTION_POLICY }, { MSR_UNCORE_700_FIRST, MSR_UNCORE_700_LAST },
		{ MSR_UNCORE_A40_FIRST, MSR_UNCORE_A40_LAST }, { MSR_L3_QOS_CFG, MSR_IO_QOS_CFG },
		{ MSR_L3_MASK_0, MSR_QOS_MASK_LAST }, { MSR_PASID, MSR_PASID }, { MSR_XSS, MSR_XSS },
		{ MSR_UNCORE_E00_FIRST, MSR_UNCORE_E00_LAST },
	},
};
static const uint32_t ignored[2] = { MSR_PATCH_LOADER, MSR_UCODE_WRITE };
static const struct run unread[2][4] = {
	{
		{ MSR_TSC_RATIO, MSR_TSC_RATIO }, { MSR_VM_HSAVE_PA, MSR_VM_HSAVE_PA },
	},
	{
		{ MSR_VMX_BASIC, MSR_VMX_LAST },
	},
};

static void check_msr(unsigned int vendor, uint32_t msr)
{
	bool read_exits = !in(free_reads[vendor], msr);
	bool write_exits = read_exits ? !in(write_only, msr) : in(read_only, msr);
	bool may_write = in(tried[vendor], msr), may_read = !in(unread[vendor], msr);
	uint64_t value = 0;

	if ((msr & 0x1fff) == msr || msr >> 13 == 0xc0000000u >> 13 || msr >> 13 == 0xc0010000u >> 13)
		ck_assert_msg(exits[place_of(msr)] == ((read_exits ? READ_EXITS : 0) | (write_exits ? WRITE_EXITS : 0)),
			      "%s: MSR %x: exits %u", vendors[vendor].name, msr, exits[place_of(msr)]);
	writes = lines = 0;
	memset(&told_msrs, 0, sizeof(told_msrs));
	ck_assert_msg(control_rdmsr(&cpu, msr, &value) == may_read, "%s: MSR %x is read", vendors[vendor].name, msr);
	ck_assert_uint_eq(value, may_read ? MSR_VALUE : 0);
	/* What is there may be written again whatever bits may change. */
	ck_assert_msg(control_wrmsr(&cpu, msr, MSR_VALUE) == (may_write || msr == ignored[vendor]), "%s: MSR %x is written",
		      vendors[vendor].name, msr);
	ck_assert_uint_eq(writes, may_write);
	/* The local APIC's mode has rules of its own. */
	ck_assert_uint_eq(lines, !may_write && msr != ignored[vendor] && msr != MSR_APIC_BASE);
}

/* All that bitmaps have, and what is beyond: every MSR that is free, tried, ignored or not read is meant to be. */
START_TEST(every_msr)
{
	static const struct run ranges[] = {
		{ 0, 0x3fff }, { 0xc0000000, 0xc0002fff }, { 0xc0010000, 0xc0012fff }, { 0xfffffff0, 0xfffffffe },
	};
	unsigned int vendor = (unsigned int)_i;

	hv = &vendors[vendor];
	memset(exits, READ_EXITS | WRITE_EXITS, sizeof(exits));
	control_msr_permit(hv->control.msrs, bitmap, note);
	for (unsigned int i = 0; i < ARRAY_SIZE(ranges); i++)
		for (uint32_t msr = ranges[i].first; msr <= ranges[i].last; msr++)
			check_msr(vendor, msr);
}
END_TEST

/* SDM vol. 3, 11.12.5: xAPIC to x2APIC, x2APIC to off, xAPIC to off and back; the address stays. */
START_TEST(apic_modes)
{
	static const struct {
		uint64_t from, to;
		bool x2apic;	/* the processor has that mode */
	} bad[] = {
		{ APIC_BASE_ENABLE, APIC_BASE_X2APIC, true }, { 0, APIC_BASE_ENABLE | APIC_BASE_X2APIC, true },
		{ APIC_BASE_ENABLE, APIC_BASE_ENABLE | APIC_BASE_X2APIC, false },
		{ APIC_BASE_ENABLE | APIC_BASE_X2APIC, APIC_BASE_ENABLE, true },
		{ APIC_BASE_ENABLE, APIC_BASE_ENABLE | 0x1000, true }, { APIC_BASE_ENABLE, APIC_BASE_ENABLE | 1, true },
		{ APIC_BASE_ENABLE, APIC_BASE_ENABLE | 1ull << 40, true },
	}, good[] = {
		{ APIC_BASE_ENABLE, 0, false }, { 0, APIC_BASE_ENABLE, false },
		{ APIC_BASE_ENABLE, APIC_BASE_ENABLE | APIC_BASE_X2APIC, true }, { APIC_BASE_ENABLE | APIC_BASE_X2APIC, 0, true },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		full = bad[i].x2apic;
		apic_base_there = APIC_BASE_RESET | APIC_BASE_BSP | bad[i].from;
		ck_assert_msg(!control_wrmsr(&cpu, MSR_APIC_BASE, APIC_BASE_RESET | APIC_BASE_BSP | bad[i].to), "case %u", i);
	}
	ck_assert_uint_eq(writes, 0);
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		full = good[i].x2apic;
		apic_base_there = APIC_BASE_RESET | APIC_BASE_BSP | good[i].from;
		ck_assert_msg(control_wrmsr(&cpu, MSR_APIC_BASE, APIC_BASE_RESET | APIC_BASE_BSP | good[i].to), "case %u", i);
		ck_assert_uint_eq(written, APIC_BASE_RESET | APIC_BASE_BSP | good[i].to);
	}
	ck_assert_uint_eq(writes, i);
	/* On some processors it is locked in x2APIC mode, and the write that would leave it faults. */
	apic_locked = true;
	ck_assert(!control_wrmsr(&cpu, MSR_APIC_BASE, APIC_BASE_RESET | APIC_BASE_BSP));
	ck_assert_uint_eq(writes, i);
	ck_assert_uint_eq(lines, 0);
}
END_TEST

/* The processor's own fault is the control domain's. */
START_TEST(faults_stay_faults)
{
	uint64_t value;

	hv = &vendors[_i];
	faults = true;
	ck_assert(!control_rdmsr(&cpu, MSR_TSC_ADJUST, &value) && !control_rdmsr(&cpu, 0x1234, &value));
	ck_assert(!control_wrmsr(&cpu, MSR_TSC_ADJUST, 0) && !control_wrmsr(&cpu, MSR_XSS, 0));
	ck_assert_uint_eq(written, 0);
}
END_TEST

/* Only some bits of a register are the control domain's to change. */
START_TEST(bits_of_a_register)
{
	static const struct {
		unsigned int vendor;
		uint32_t msr;
		uint64_t there, write;
		bool taken;
	} cases[] = {
		{ 0, MSR_HWCR, 0x10, 0x10 | 1ull << 30, true },	/* IRPERF */
		{ 0, MSR_HWCR, 0x10, 0, false },			/* INVD would throw lines away */
		{ 0, MSR_HWCR, 0, 1, false },				/* SMM's lock */
		{ 0, MSR_NB_CFG, 0x77, 0x77 | 1ull << 46, true }, { 0, MSR_NB_CFG, 0x77, 0x76, false },
		{ 0, MSR_XSS, 0, 0x1800, true }, { 1, MSR_XSS, 0, 1 << 8, false }, { 1, MSR_XSS, 0, 1 << 15, false },
		{ 1, MSR_XSS, 0, 1 << 10, true },
		{ 1, MSR_TEST_CTRL, 0, 1 << 29, true }, { 1, MSR_TEST_CTRL, 0, 1u << 31, false },
		{ 1, MSR_ERROR_CONTROL, 0, 2, true }, { 1, MSR_ERROR_CONTROL, 0, 1, false },
		{ 1, MSR_MISC_ENABLE, 1, 0, true }, { 1, MSR_MISC_ENABLE, 0, 1ull << 34, false },
		{ 1, MSR_MISC_ENABLE, 1ull << 22, 1ull << 22 | 1, true },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		hv = &vendors[cases[i].vendor];
		there = cases[i].there;
		written = ~0ull;
		ck_assert_msg(control_wrmsr(&cpu, cases[i].msr, cases[i].write) == cases[i].taken, "case %u", i);
		ck_assert_uint_eq(written, cases[i].taken ? cases[i].write : ~0ull);
	}
}
END_TEST

/* The log is not to be filled by who tries again and again, with one MSR or with all. */
START_TEST(told_once)
{
	struct hv_exit exit = { .reason = HV_EXIT_UNKNOWN, .detail = 76 };

	for (unsigned int i = 0; i < 10; i++)
		control_wrmsr(&cpu, MSR_MMIO_CFG_BASE, 0);
	ck_assert_uint_eq(lines, 1);
	control_wrmsr(&cpu, MSR_SYSCFG, 0);
	ck_assert_uint_eq(lines, 2);
	for (uint32_t msr = 0x4000; msr < 0x5000; msr++)
		control_wrmsr(&cpu, msr, 0);
	ck_assert_uint_eq(lines, TOLD_MOST);
	lines = 0;
	for (unsigned int i = 0; i < 10; i++)
		control_tell_exit(&cpu, &exit);
	ck_assert_uint_eq(lines, 1);
	exit.detail = 77;
	control_tell_exit(&cpu, &exit);
	exit.reason = HV_EXIT_HLT;
	control_tell_exit(&cpu, &exit);
	ck_assert_uint_eq(lines, 3);
	ck_assert_uint_eq(loud, 0);
	control_entry_failed(&cpu, &exit);
	ck_assert_uint_eq(loud, 1);
}
END_TEST

SUITE("control_policy", tests)
{
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, every_leaf);
	tcase_add_test(tests, extended_state);
	tcase_add_test(tests, mirrors_of_cr4);
	tcase_add_test(tests, own_leaves);
	tcase_add_test(tests, locked_in_x2apic);
	tcase_add_test(tests, smaller_processor);
	tcase_add_test(tests, apic_modes);
	tcase_add_loop_test(tests, every_msr, 0, 2);
	tcase_add_loop_test(tests, faults_stay_faults, 0, 2);
	tcase_add_test(tests, bits_of_a_register);
	tcase_add_test(tests, told_once);
}
