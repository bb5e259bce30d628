// SPDX-License-Identifier: GPL-2.0
// The control domain's CPUID (SDM vol. 2, CPUID; APM vol. 3, appendix E) and MSRs, and its exits that nobody expects.

#include "control_policy.h"

#include <stddef.h>

#include <keel/macros.h>

#include "apic.h"
#include "console.h"
#include "control_msr.h"
#include "spinlock.h"
#include "string.h"
#include "trap.h"
#include "xstate.h"

#define BIT(n)		(1u << (n))
#define ALL		(~0u)

#define LAST_BASIC	0x24u
#define LAST_EXTENDED	0x80000026u
#define LAST_FEATURES	2u		/* subleaf of leaf 7 */
#define COUNTERS_VERSION 0xffu		/* leaf 0xa EAX */
#define COUNTERS_KNOWN	5u

/* Processors that the firmware can lock in x2APIC mode (SDM vol. 4). */
#define CAPABILITY_XAPIC_DISABLE	(1ull << 21)
#define XAPIC_DISABLED			(1ull << 0)

#define XSTATES		63u
#define XSS_CONTROL	(BIT(10) | BIT(11) | BIT(12))	/* PASID, shadow stacks */

#define TOLD_MOST	64u

enum output {
	EAX,
	EBX,
	ECX,
	EDX,
};

/*
 * What may be seen, where the processor has it; leaves, subleaves and bits that are not here read 0. Left out is what
 * goes on in Keel and in guests and writes memory or records there (debug store and PEBS, trace, LBR, hardware
 * feedback, instruction-based sampling), what has or makes other ways into Keel's modes (VMX, SMX, SVM, FRED, user
 * interrupts), what needs controls that Keel does not set (immediate and listed MSRs, key locker, PCONFIG), registers
 * that the world switch does not know (APX) and what means nothing in guest mode (encryption of memory by page).
 */
static const struct {
	uint32_t leaf;
	/* Subleaves; 0 to ALL where ECX means nothing or every one is plain data. */
	uint32_t first;
	uint32_t last;
	uint32_t mask[4];
} shown[] = {
	{ CPUID_VENDOR, 0, ALL, { ALL, ALL, ALL, ALL } },
	/* All but DTES64, DS-CPL, VMX, SMX, SDBG, OSXSAVE (ours); PSN, DS. */
	{ CPUID_FEATURES, 0, ALL, { ALL, ALL, ~(BIT(2) | BIT(4) | BIT(5) | BIT(6) | BIT(11) | BIT(16) | ECX1_OSXSAVE),
		       ~(BIT(10) | BIT(18) | BIT(20) | BIT(21) | BIT(30)) } },
	{ 2, 0, ALL, { ALL, ALL, ALL, ALL } },
	{ CPUID_CACHES, 0, ALL, { ALL, ALL, ALL, ALL } },			/* caches */
	{ CPUID_MONITOR, 0, ALL, { 0xffff, 0xffff, BIT(0) | BIT(1), ALL } },	/* MONITOR */
	/* Thermal and power: all but hardware feedback and thread director. */
	{ CPUID_POWER, 0, ALL, {
		BIT(0) | BIT(1) | BIT(2) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(11) |
		BIT(13) | BIT(14) | BIT(15) | BIT(16) | BIT(17) | BIT(18) | BIT(20) | BIT(22) | BIT(24),
		       0xf, BIT(0) | BIT(3), 0 } },
	/* EBX: all but processor trace. ECX: all but OSPKE (ours), key locker, PKS. */
	{ CPUID_FEATURES_7, 0, 0, { ALL, ~(BIT(22) | BIT(25)),
		~(ECX7_OSPKE | BIT(15) | BIT(23) | BIT(26) | BIT(31)),
		/* SGX keys, 4VNNIW, 4FMAPS, FSRM, VP2INTERSECT, SRBDS, MD_CLEAR, RTM aborts, SERIALIZE, hybrid, TSXLDTRK, */
		BIT(1) | BIT(2) | BIT(3) | EDX7_FSRM | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(13) | BIT(14) | BIT(15) |
		/* IBT, AMX, AVX512-FP16, SPEC_CTRL and its kin */
		BIT(16) | BIT(20) | BIT(22) | BIT(23) | BIT(24) | BIT(25) | 0xfc000000u } },
	/* SHA512, SM3, SM4, RAO-INT, AVX-VNNI, BF16, LASS, CMPCCXADD, fast strings, LKGS, WRMSRNS, AMX-FP16, AVX-IFMA, LAM, */
	{ CPUID_FEATURES_7, 1, 1, { BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(10) | BIT(11) |
				 BIT(12) | BIT(18) | BIT(19) | BIT(21) | BIT(23) | BIT(26) | BIT(30) | BIT(31),
		/* INVD off, MOVRS; PPIN; AVX-VNNI-INT8, AVX-NE-CONVERT, AMX-COMPLEX, AVX-VNNI-INT16, PREFETCHI, CET_SSS, AVX10 */
		BIT(0) | BIT(3), 0, BIT(4) | BIT(5) | BIT(8) | BIT(10) | BIT(14) | BIT(18) | BIT(19) } },
	{ CPUID_FEATURES_7, 2, LAST_FEATURES, { 0, 0, 0, 0xff } },	/* more of SPEC_CTRL */
	{ 9, 0, ALL, { ALL, 0, 0, 0 } },			/* DCA */
	{ CPUID_COUNTERS, 0, ALL, { ALL, ALL, ALL, ALL } },
	{ CPUID_LEVELS, 0, ALL, { ALL, ALL, ALL, ALL } },		/* topology */
	{ CPUID_XSTATE, 0, 0, { XCR0_CONTROL, ALL, ALL, 0 } },
	{ CPUID_XSTATE, 1, 1, { 0x1f, ALL, XSS_CONTROL, 0 } },
	{ CPUID_XSTATE, 2, XSTATES, { ALL, ALL, ALL, 0 } },	/* cut further by component */
	{ 0xf, 0, 1, { ALL, ALL, ALL, ALL } },			/* monitoring and allocation of caches and bandwidth */
	{ 0x10, 0, 3, { ALL, ALL, ALL, ALL } },
	{ 0x12, 0, ALL, { ALL, ALL, ALL, ALL } },		/* SGX */
	{ CPUID_TSC, 0, ALL, { ALL, ALL, ALL, 0 } },			/* clocks */
	{ 0x16, 0, ALL, { ALL, ALL, ALL, 0 } },
	{ 0x17, 0, 3, { ALL, ALL, ALL, ALL } },			/* vendor's name */
	{ 0x18, 0, ALL, { ALL, ALL, ALL, ALL } },		/* TLBs */
	{ 0x1a, 0, ALL, { ALL, 0, 0, 0 } },			/* kind of core */
	{ 0x1d, 0, ALL, { ALL, ALL, ALL, ALL } },		/* tiles */
	{ 0x1e, 0, 1, { ALL, ALL, 0, 0 } },
	{ 0x1f, 0, ALL, { ALL, ALL, ALL, ALL } },		/* topology */
	{ 0x24, 0, 0, { ALL, ALL, 0, 0 } },			/* AVX10 */
	{ CPUID_EXTENDED, 0, ALL, { ALL, ALL, ALL, ALL } },
	/*
	 * LAHF, legacy and 3DNow's bits, ABM, SSE4A, OSVW, XOP, FMA4, TCE, node ID, TBM, topology, counters,
	 * breakpoints, MWAITX.
	 */
	{ CPUID_EXTENDED_FEATURES, 0, ALL, { ALL, ALL,
		BIT(0) | BIT(1) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) |
		BIT(11) | BIT(16) | BIT(17) | BIT(19) | BIT(21) | BIT(22) | BIT(23) | BIT(24) | BIT(26) | BIT(27) | BIT(28) |
		BIT(29) | BIT(30), ~(BIT(10) | BIT(18) | BIT(21) | BIT(28)) } },
	{ CPUID_BRAND_FIRST, 0, ALL, { ALL, ALL, ALL, ALL } },
	{ CPUID_BRAND_FIRST + 1, 0, ALL, { ALL, ALL, ALL, ALL } },
	{ CPUID_BRAND_LAST, 0, ALL, { ALL, ALL, ALL, ALL } },
	{ CPUID_AMD_L1, 0, ALL, { ALL, ALL, ALL, ALL } },
	{ CPUID_L2, 0, ALL, { ALL, ALL, ALL, ALL } },
	{ CPUID_AMD_POWER, 0, ALL, { ALL, BIT(0) | BIT(1) | BIT(2) | BIT(3), ALL, 0xffff } },	/* machine checks, power */
	/* All but INVLPGB and branch sampling. */
	{ CPUID_ADDRESS_SIZES, 0, ALL, { ALL, BIT(0) | BIT(1) | BIT(2) | BIT(4) | BIT(6) | BIT(8) | BIT(9) | BIT(12) | BIT(13) |
		BIT(14) | BIT(15) | BIT(16) | BIT(17) | BIT(18) | BIT(19) | BIT(20) | BIT(23) | BIT(24) | BIT(25) | BIT(26) |
		BIT(27) | BIT(28) | BIT(29) | BIT(30), ALL, 0xffff0000u } },
	{ 0x80000019u, 0, ALL, { ALL, ALL, 0, 0 } },		/* TLBs of 1 GiB */
	{ 0x8000001au, 0, ALL, { ALL, 0, 0, 0 } },		/* widths */
	{ CPUID_AMD_CACHES, 0, ALL, { ALL, ALL, ALL, ALL } },	/* caches */
	{ CPUID_AMD_LEVELS, 0, ALL, { ALL, ALL, ALL, 0 } },		/* node and core */
	{ 0x80000020u, 0, 5, { ALL, ALL, ALL, ALL } },		/* bandwidth */
	/* Stores and segment bases, UAI, automatic IBRS, fast strings, prefetchers, CPUID faulting, SRSO and its kin; TSA's. */
	{ 0x80000021u, 0, ALL, { BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(10) |
		BIT(11) | BIT(13) | BIT(17) | BIT(18) | BIT(20) | BIT(24) | BIT(27) | BIT(28) | BIT(29) | BIT(30) | BIT(31),
		ALL, BIT(1) | BIT(2), 0 } },
	/* Counters without the LBR stack and its size. */
	{ 0x80000022u, 0, ALL, { BIT(0) | BIT(2), ~0x3f0u, ALL, 0 } },
	{ 0x80000026u, 0, ALL, { ALL, ALL, ALL, ALL } },	/* topology */
};

struct told {
	struct spinlock lock;
	unsigned int count;
	uint64_t what[TOLD_MOST];
};
static struct told told_exits, told_msrs;

static bool locked_x2apic;

static struct cpuid masked(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(shown); i++) {
		const uint32_t *mask = shown[i].mask;

		if (shown[i].leaf != leaf || subleaf < shown[i].first || subleaf > shown[i].last)
			continue;
		r = cpuid(leaf, subleaf);
		r.eax &= mask[EAX];
		r.ebx &= mask[EBX];
		r.ecx &= mask[ECX];
		r.edx &= mask[EDX];
	}
	return r;
}

static uint32_t at_most(uint32_t value, uint32_t limit)
{
	return value < limit ? value : limit;
}

static struct cpuid features(uint32_t subleaf, uint64_t cr4)
{
	struct cpuid r = masked(CPUID_FEATURES_7, subleaf);

	if (subleaf)
		return r;
	r.eax = at_most(r.eax, LAST_FEATURES);
	r.ecx |= cr4 & CR4_PKE ? ECX7_OSPKE : 0;
	/* Linux's memmove() leaves its own check of short lengths out for FSRM, and then relies on ERMS. */
	if (!(r.ebx & EBX7_ERMS))
		r.edx &= ~EDX7_FSRM;
	return r;
}

static struct cpuid xstate(uint32_t subleaf)
{
	if (subleaf > 1 && (subleaf > 31 || !((XCR0_CONTROL | XSS_CONTROL) >> subleaf & 1)))
		return (struct cpuid){ 0 };
	return masked(CPUID_XSTATE, subleaf);
}

static struct cpuid signature(uint32_t base, const char *text)
{
	struct cpuid r = { .eax = base + 1 };

	memcpy(&r.ebx, text, 4);
	memcpy(&r.ecx, &text[4], 4);
	memcpy(&r.edx, &text[8], 4);
	return r;
}

/* KVM's second leaf, of features, has none. */
static bool own_leaf(uint32_t leaf, struct cpuid *r)
{
	switch (leaf) {
	case KEEL_CPUID_BASE:
		*r = signature(leaf, locked_x2apic ? "KVMKVMKVM\0\0" : KEEL_CPUID_SIGNATURE);
		return true;
	case KEEL_CPUID_SECOND:
		*r = signature(leaf, KEEL_CPUID_SIGNATURE);
		return true;
	case KEEL_CPUID_BASE + 1:
	case KEEL_CPUID_SECOND + 1:
		*r = (struct cpuid){ .eax = locked_x2apic && leaf == KEEL_CPUID_BASE + 1 ? 0 : KEEL_ABI_REVISION };
		return true;
	}
	return false;
}

void control_policy_init(bool no_remapping)
{
	uint64_t capabilities, status;

	locked_x2apic = no_remapping && cpuid(CPUID_FEATURES_7, 0).edx & EDX7_CAPABILITIES &&
			rdmsr_safe(MSR_ARCH_CAPABILITIES, &capabilities) && capabilities & CAPABILITY_XAPIC_DISABLE &&
			rdmsr_safe(MSR_XAPIC_DISABLE_STATUS, &status) && status & XAPIC_DISABLED;
}

struct cpuid control_cpuid(uint32_t leaf, uint32_t subleaf, uint64_t cr4)
{
	struct cpuid r;

	if (own_leaf(leaf, &r))
		return r;
	/* Above the last leaf processors tell what has no meaning. */
	if (leaf > cpuid(leaf & CPUID_EXTENDED, 0).eax)
		return (struct cpuid){ 0 };
	switch (leaf) {
	case CPUID_FEATURES_7:
		return features(subleaf, cr4);
	case CPUID_XSTATE:
		return xstate(subleaf);
	}
	r = masked(leaf, subleaf);
	switch (leaf) {
	case CPUID_VENDOR:
		r.eax = at_most(r.eax, LAST_BASIC);
		break;
	case CPUID_FEATURES:
		r.ecx |= (cr4 & CR4_OSXSAVE ? ECX1_OSXSAVE : 0) | (locked_x2apic ? ECX1_HYPERVISOR : 0);
		break;
	case CPUID_COUNTERS:
		r.eax = (r.eax & ~COUNTERS_VERSION) | at_most(r.eax & COUNTERS_VERSION, COUNTERS_KNOWN);
		break;
	case CPUID_EXTENDED:
		r.eax = at_most(r.eax, LAST_EXTENDED);
		break;
	}
	return r;
}

/* True the first time. Who brings up more than there is room for is not told of any more. */
static bool is_new(struct told *told, uint64_t what)
{
	unsigned int i;
	bool found;

	spin_lock(&told->lock);
	for (i = 0; i < told->count && told->what[i] != what; i++)
		;
	found = i < told->count || i == TOLD_MOST;
	if (!found)
		told->what[told->count++] = what;
	spin_unlock(&told->lock);
	return !found;
}

bool control_rdmsr(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	const struct control_msr *rule = control_msr_find(hv->control.msrs, msr);

	if (hv->control.rdmsr(cpu, msr, value))
		return true;
	return !(rule && rule->access & MSR_READ_REFUSED) && rdmsr_safe(msr, value);
}

static bool write_tried(const struct control_msr *rule, uint32_t msr, uint64_t value)
{
	uint64_t now;

	if (rule->changeable && (!rdmsr_safe(msr, &now) || (value ^ now) & ~rule->changeable))
		return false;
	return wrmsr_safe(msr, value);
}

/*
 * What the processor would take (SDM vol. 3, 11.12.5), at the place where writes of the registers are watched. It may
 * also be locked in x2APIC mode, which only the attempt shows.
 */
static bool apic_base_ok(uint64_t value)
{
	uint64_t old = rdmsr(MSR_APIC_BASE), modes = APIC_BASE_ENABLE | APIC_BASE_X2APIC;

	if ((value ^ old) & ~modes || (value & modes) == APIC_BASE_X2APIC)
		return false;
	if (value & APIC_BASE_X2APIC)
		return old & APIC_BASE_ENABLE && cpuid(CPUID_FEATURES, 0).ecx & ECX1_X2APIC;
	return !(old & APIC_BASE_X2APIC) || !(value & APIC_BASE_ENABLE);
}

bool control_wrmsr(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	const struct control_msr *rule = control_msr_find(hv->control.msrs, msr);

	if (msr == MSR_APIC_BASE)
		return apic_base_ok(value) && apic_set_base(value);
	if (hv->control.wrmsr && hv->control.wrmsr(cpu, msr, value))
		return true;
	if (rule && rule->access & MSR_WRITE_IGNORED)
		return true;
	if (rule && rule->access & MSR_WRITE_TRIED && write_tried(rule, msr, value))
		return true;
	if (is_new(&told_msrs, msr))
		print("Keel: the control domain's write of MSR 0x%x is refused\n", msr);
	return false;
}

void control_tell_exit(const struct cpu *cpu, const struct hv_exit *exit)
{
	if (is_new(&told_exits, (uint64_t)exit->reason << 32 | (uint32_t)exit->detail))
		print("Keel: the control domain: exit %u, code 0x%lx, at %lx, is answered by #UD\n", exit->reason, exit->detail,
		      cpu->control.rip);
}

void control_entry_failed(const struct cpu *cpu, const struct hv_exit *exit)
{
	console_loud();
	print("\nKeel: the processor refuses the control domain's state on CPU %u: code 0x%lx, at %lx. The machine is reset.\n",
	      cpu->index, exit->detail, cpu->control.rip);
}
