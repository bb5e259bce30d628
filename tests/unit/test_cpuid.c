/* SPDX-License-Identifier: GPL-2.0 */
/* The virtual CPUID on several processors: this machine's, one that has every feature there could be, and small ones. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "cpu.h"
#include "suite.h"

static struct cpuid real_cpuid(uint32_t leaf, uint32_t subleaf)
{
	return cpuid(leaf, subleaf);
}

static struct cpuid processor_cpuid(uint32_t leaf, uint32_t subleaf);

#define cpuid(leaf, subleaf) processor_cpuid(leaf, subleaf)
#include "../../arch/x86/cpuid.c"
#include "../../arch/x86/topology.c"
#undef cpuid

#define CACHE_LEVELS	4u
#define COMPONENTS	32u
#define PKRU		9u
#define AMX		(3u << 17)
#define XSAVE_LEGACY	576u
#define ALL_STATES	(0xe7u | 1u << PKRU | AMX)

const struct hv_ops *hv;

static const struct processor {
	const char *name;
	struct cpuid (*cpuid)(uint32_t leaf, uint32_t subleaf);
} *processor;

static uint64_t cr4;
static struct vm vm;
static struct vcpu vcpu;

static struct cpuid processor_cpuid(uint32_t leaf, uint32_t subleaf)
{
	return processor->cpuid(leaf, subleaf);
}

/* Components of 64 bytes and more in the places that processors use; the rest of a full house behind them. */
static struct cpuid xstate_leaf(uint32_t states, uint32_t subleaf)
{
	static const uint32_t sizes[COMPONENTS] = {
		[2] = 256, [3] = 64, [4] = 64, [5] = 64, [6] = 512, [7] = 1024, [9] = 8, [17] = 64, [18] = 8192,
	};
	static const uint32_t offsets[COMPONENTS] = {
		[2] = 576, [3] = 960, [4] = 1024, [5] = 1088, [6] = 1152, [7] = 1664, [9] = 2688, [17] = 2752, [18] = 2816,
	};
	struct cpuid r = { 0 };

	if (subleaf == 0) {
		r = (struct cpuid){ states, XSAVE_LEGACY, XSAVE_LEGACY, 0 };
		for (unsigned int i = 2; i < COMPONENTS; i++)
			if (states >> i & 1 && offsets[i] + sizes[i] > r.ecx)
				r.ecx = offsets[i] + sizes[i];
	} else if (subleaf < COMPONENTS && states >> subleaf & 1 && subleaf > 1) {
		r = (struct cpuid){ sizes[subleaf], offsets[subleaf], 0, 0 };
	}
	return r;
}

static struct cpuid cache_leaf(uint32_t subleaf)
{
	static const uint32_t types[CACHE_LEVELS] = { 1 | 1 << 5, 2 | 1 << 5, 3 | 2 << 5, 3 | 3 << 5 };

	if (subleaf >= CACHE_LEVELS)
		return (struct cpuid){ 0 };
	/* Shared by 512 threads, 64 cores of a package: not the guest's. */
	return (struct cpuid){ types[subleaf] | 1 << 8 | 511 << 14 | 63u << 26, 0x01c0003f, 63, 0 };
}

/* Every bit of every leaf. */
static struct cpuid full_cpuid(uint32_t leaf, uint32_t subleaf)
{
	switch (leaf) {
	case 4:
		return cache_leaf(subleaf);
	case CPUID_XSTATE:
		return subleaf == 1 ? (struct cpuid){ ~0u, 4096, ~0u, ~0u } : xstate_leaf(ALL_STATES, subleaf);
	default:
		return (struct cpuid){ ~0u, ~0u, ~0u, ~0u };
	}
}

/* XSAVE with SSE alone. */
static struct cpuid small_cpuid(uint32_t leaf, uint32_t subleaf)
{
	switch (leaf) {
	case 0:
		return (struct cpuid){ 0xd, 0x68747541, 0x444d4163, 0x69746e65 };
	case 1:
		return (struct cpuid){ 0x00100f00, 0x00020800, 1u << 26, 0x078bfbff };
	case CPUID_XSTATE:
		return xstate_leaf(XCR0_X87 | XCR0_SSE, subleaf);
	case 0x80000000u:
		return (struct cpuid){ 0x8000001f, 0, 0, 0 };
	case 0x80000001u:
		return (struct cpuid){ 0, 0, 4, 1u << 29 };
	case 0x80000008u:
		return (struct cpuid){ 0x3028, 0, 0, 0 };
	default:
		return (struct cpuid){ 0 };
	}
}

/* One of the three AVX-512 states is missing: they come together or not at all. */
static struct cpuid torn_cpuid(uint32_t leaf, uint32_t subleaf)
{
	return leaf == CPUID_XSTATE ? xstate_leaf(0x67, subleaf) : full_cpuid(leaf, subleaf);
}

/* AMD's, that describes its caches and cores. */
static struct cpuid amd_cpuid(uint32_t leaf, uint32_t subleaf)
{
	switch (leaf) {
	case 0:
		return (struct cpuid){ 0x10, 0x68747541, 0x444d4163, 0x69746e65 };
	case 4:
		return (struct cpuid){ 0 };
	case 0x80000000u:
		return (struct cpuid){ 0x80000026, 0x68747541, 0x444d4163, 0x69746e65 };
	case 0x8000001du:
		return cache_leaf(subleaf);
	default:
		return full_cpuid(leaf, subleaf);
	}
}

static const struct processor processors[] = {
	{ "this machine", real_cpuid }, { "full", full_cpuid }, { "small", small_cpuid }, { "torn", torn_cpuid },
	{ "amd", amd_cpuid },
};
#define PROCESSORS ((int)(ARRAY_SIZE(processors)))

static void state_out(struct vcpu *v, unsigned int parts, struct keel_sregs *sregs)
{
	ck_assert_ptr_eq(&v->state.sregs, sregs);
	ck_assert_uint_eq(parts, HV_STATE_CONTROL);
	sregs->cr4 = cr4;
}

static const struct hv_ops ops = { .vcpu.state_out = state_out };

static void start(int number, unsigned int count, unsigned int index)
{
	processor = &processors[number];
	hv = &ops;
	cr4 = 0;
	vcpu.cpuid_limited = false;
	vm.vcpu_count = count;
	vm.tsc_khz = 2400000;
	vm.topology = keel_topology(0, count);
	vcpu = (struct vcpu){ .vm = &vm };
	vcpu.index = index;
	cpuid_init();
}

static bool is_zero(struct cpuid r)
{
	return !(r.eax | r.ebx | r.ecx | r.edx);
}

static bool same(struct cpuid a, struct cpuid b)
{
	return a.eax == b.eax && a.ebx == b.ebx && a.ecx == b.ecx && a.edx == b.edx;
}

/* Features that a guest must never see: nobody carries them, or they would reach the host. SDM vol. 2 CPUID, APM vol. 3 E. */
static const struct {
	uint32_t leaf;
	enum output reg;
	uint32_t bits;
} hidden[] = {
	{ 1, ECX, BIT(2) | BIT(3) | BIT(4) },		/* DTES64, MONITOR, DS-CPL */
	{ 1, ECX, BIT(5) | BIT(6) },			/* VMX, SMX */
	{ 1, ECX, BIT(7) | BIT(8) | BIT(15) | BIT(18) },	/* EIST, TM2, PDCM, DCA */
	{ 1, EDX, BIT(21) | BIT(22) | BIT(29) | BIT(31) },	/* DS, ACPI, TM, PBE */
	{ 6, EAX, ~BIT(2) }, { 6, ECX, ~0u },		/* all but ARAT */
	{ 7, EBX, BIT(2) | BIT(4) | BIT(11) },		/* SGX, HLE, RTM */
	{ 7, EBX, BIT(12) | BIT(14) | BIT(15) | BIT(25) },	/* RDT-M, MPX, RDT-A, PT */
	{ 7, ECX, BIT(4) | BIT(5) | BIT(7) },		/* OSPKE with CR4.PKE off, WAITPKG, CET_SS */
	{ 7, ECX, BIT(13) | BIT(16) | BIT(23) | BIT(24) },	/* TME, LA57, KL, bus lock */
	{ 7, ECX, BIT(29) | BIT(30) | BIT(31) },	/* ENQCMD, SGX_LC, PKS */
	{ 7, EDX, BIT(5) | BIT(18) | BIT(19) | BIT(20) },	/* UINTR, PCONFIG, LBR, CET_IBT */
	{ 7, EDX, BIT(22) | BIT(24) | BIT(25) },		/* AMX */
	{ 7, EDX, 0xfc000000u },			/* SPEC_CTRL and its kin: their MSRs fault */
	{ 0x80000001u, ECX, BIT(2) | BIT(12) },		/* SVM, SKINIT */
	{ 0x80000001u, ECX, BIT(9) | BIT(10) | BIT(13) | BIT(15) },	/* OSVW, IBS, WDT, LWP */
	{ 0x80000001u, ECX, BIT(17) | BIT(19) | BIT(22) },	/* TCE, node ID, topology extensions */
	{ 0x80000001u, ECX, BIT(23) | BIT(24) | BIT(26) | BIT(27) | BIT(28) | BIT(29) },	/* counters, MWAITX */
	{ 0x80000007u, EDX, ~BIT(8) },			/* all but invariant TSC */
	{ LAST_EXTENDED, EBX, ~0u },
};

static uint32_t output_of(struct cpuid r, enum output reg)
{
	return reg == EAX ? r.eax : reg == EBX ? r.ebx : reg == ECX ? r.ecx : r.edx;
}

START_TEST(no_leaks)
{
	start(_i, 4, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(hidden); i++) {
		uint32_t seen = output_of(cpuid_guest(&vcpu, hidden[i].leaf, 0), hidden[i].reg) & hidden[i].bits;

		ck_assert_msg(!seen, "%s: leaf %x register %d shows %x", processor->name, hidden[i].leaf, hidden[i].reg,
			      seen);
	}
}
END_TEST

/* Nothing but what is meant to be there: MONITOR, PMU, RDT, SGX, PT, AMX tiles, SVM, SEV and all that is yet to come. */
START_TEST(other_leaves_are_empty)
{
	static const struct {
		uint32_t first, last;
	} empty[] = {
		{ 3, 3 }, { 5, 5 }, { 8, 0xa }, { 0xc, 0xc }, { 0xe, 0x14 }, { 0x16, 0x100 },
		{ 0x3ffffff0, 0x3fffffff }, { 0x40000002, 0x4000000f }, { 0x40000011, 0x40000200 },
		{ 0x80000009, 0x80000100 }, { 0xc0000000, 0xc0000010 }, { 0xfffffff0, 0xfffffffe },
	};

	start(_i, 4, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(empty); i++)
		for (uint32_t leaf = empty[i].first; leaf <= empty[i].last; leaf++)
			for (uint32_t subleaf = 0; subleaf < 4; subleaf++)
				ck_assert_msg(is_zero(cpuid_guest(&vcpu, leaf, subleaf)), "%s: leaf %x.%u",
					      processor->name, leaf, subleaf);
	for (uint32_t subleaf = 1; subleaf; subleaf *= 2)
		ck_assert(is_zero(cpuid_guest(&vcpu, 7, subleaf)));
	ck_assert(is_zero(cpuid_guest(&vcpu, 4, 100)));
}
END_TEST

/* What the processor lacks is not made up, but for what Keel and the cell bring themselves. */
START_TEST(no_inventions)
{
	static const struct {
		uint32_t leaf;
		struct cpuid brought;
	} leaves[] = {
		{ 1, { .ebx = ~0u, .ecx = ECX1_X2APIC | ECX1_TSC_DEADLINE | ECX1_HYPERVISOR | ECX1_OSXSAVE,
		       .edx = EDX1_APIC | EDX1_HTT } },
		{ 2, { 0 } }, { 7, { .ebx = BIT(1) } }, { 0x80000001u, { .ecx = BIT(1) } }, { 0x80000007u, { 0 } },
		{ LAST_EXTENDED, { .ecx = ~0u } },
	};

	start(_i, 4, 1);
	cr4 = CR4_OSXSAVE;
	for (unsigned int i = 0; i < ARRAY_SIZE(leaves); i++) {
		struct cpuid has = processor_cpuid(leaves[i].leaf, 0), b = leaves[i].brought;
		struct cpuid r = cpuid_guest(&vcpu, leaves[i].leaf, 0);

		ck_assert_msg(!((r.eax & ~(has.eax | b.eax)) | (r.ebx & ~(has.ebx | b.ebx)) |
				(r.ecx & ~(has.ecx | b.ecx)) | (r.edx & ~(has.edx | b.edx))),
			      "%s: leaf %x", processor->name, leaves[i].leaf);
	}
}
END_TEST

/* What systems insist on, where the processor has it. */
START_TEST(essentials)
{
	const uint32_t edx_extended = BIT(11) | BIT(20) | BIT(29);	/* SYSCALL, NX, long mode */
	struct cpuid r, has;

	start(_i, 2, 1);
	r = cpuid_guest(&vcpu, 0, 0);
	has = processor_cpuid(0, 0);
	ck_assert_uint_eq(r.eax, has.eax < 0x15 ? 0xd : 0x15);
	ck_assert(r.ebx == has.ebx && r.ecx == has.ecx && r.edx == has.edx);
	ck_assert_uint_eq(cpuid_guest(&vcpu, 0x80000000u, 0).eax, 0x80000008u);
	r = cpuid_guest(&vcpu, 1, 0);
	has = processor_cpuid(1, 0);
	ck_assert_uint_eq(r.eax, has.eax & 0x0fff3fff);
	ck_assert(r.ecx & ECX1_X2APIC && r.ecx & ECX1_TSC_DEADLINE && r.ecx & ECX1_HYPERVISOR && r.edx & EDX1_APIC);
	ck_assert_uint_eq(r.ecx & BIT(26), has.ecx & BIT(26));
	ck_assert_uint_eq(r.edx & 0x07001bff, (has.edx | EDX1_APIC) & 0x07001bff);
	ck_assert_uint_eq(r.ebx >> 8 & 0xff, has.ebx >> 8 & 0xff);
	r = cpuid_guest(&vcpu, 0x80000001u, 0);
	ck_assert_uint_eq(r.edx & edx_extended, processor_cpuid(0x80000001u, 0).edx & edx_extended);
	ck_assert_uint_eq(cpuid_guest(&vcpu, 0x80000008u, 0).eax, processor_cpuid(0x80000008u, 0).eax & 0xffff);
	ck_assert_uint_eq(cpuid_guest(&vcpu, 6, 0).eax, BIT(2));
	ck_assert_int_eq(cpuid_guest_tsc_aux(), (processor_cpuid(0x80000001u, 0).edx & BIT(27)) ||
			 (processor_cpuid(7, 0).ecx & BIT(22)));
}
END_TEST

/*
 * The hypervisor leaves: KVM's signature, its clock, and ends of interrupts by memory where the processor does not see to them.
 */
START_TEST(hypervisor_leaves)
{
	char signature[12];
	struct cpuid r;

	start(_i, 2, 1);
	r = cpuid_guest(&vcpu, 0x40000000u, 0);
	memcpy(signature, &r.ebx, 4);
	memcpy(signature + 4, &r.ecx, 4);
	memcpy(signature + 8, &r.edx, 4);
	ck_assert_mem_eq(signature, "KVMKVMKVM\0\0\0", 12);
	ck_assert_uint_eq(r.eax, 0x40000010u);
	ck_assert(same(cpuid_guest(&vcpu, 0x40000001u, 0), (struct cpuid){ .eax = BIT(1) | BIT(3) | BIT(6) | BIT(24) }));
	vcpu.exit_flags = KEEL_EXIT_F_APIC;
	ck_assert(same(cpuid_guest(&vcpu, 0x40000001u, 0), (struct cpuid){ .eax = BIT(1) | BIT(3) | BIT(24) }));
	ck_assert(memcmp(KEEL_CPUID_SIGNATURE, signature, 12) != 0);
}
END_TEST

START_TEST(osxsave_mirrors_cr4)
{
	start(_i, 2, 1);
	ck_assert_uint_eq(cpuid_guest(&vcpu, 1, 0).ecx & ECX1_OSXSAVE, 0);
	cr4 = CR4_OSXSAVE;
	ck_assert_uint_eq(cpuid_guest(&vcpu, 1, 0).ecx & ECX1_OSXSAVE, ECX1_OSXSAVE);
	cr4 = ~(uint64_t)CR4_OSXSAVE;
	ck_assert_uint_eq(cpuid_guest(&vcpu, 1, 0).ecx & ECX1_OSXSAVE, 0);
}
END_TEST

START_TEST(ospke_mirrors_cr4)
{
	bool has;

	start(_i, 2, 1);
	has = processor_cpuid(7, 0).ecx & BIT(3) && processor_cpuid(CPUID_XSTATE, 0).eax >> PKRU & 1;
	ck_assert_int_eq((cpuid_guest(&vcpu, 7, 0).ecx & BIT(3)) != 0, has);
	ck_assert_int_eq((cpuid_guest_xcr0() >> PKRU & 1) != 0, processor_cpuid(CPUID_XSTATE, 0).eax >> PKRU & 1);
	cr4 = CR4_PKE;
	ck_assert_int_eq((cpuid_guest(&vcpu, 7, 0).ecx & BIT(4)) != 0, has);
}
END_TEST

/* IA32_APIC_BASE's enable bit, by what the cell has answered; on AMD the copy too, and nothing else changes. */
START_TEST(apic_is_off)
{
	struct cpuid on, off;

	start(_i, 2, 1);
	on = cpuid_guest(&vcpu, 1, 0);
	ck_assert(on.edx & BIT(9));
	vcpu.apic_off = true;
	off = cpuid_guest(&vcpu, 1, 0);
	ck_assert(!(off.edx & BIT(9)) && off.edx == (on.edx & ~BIT(9)) && off.ecx == on.ecx && off.ebx == on.ebx);
	ck_assert_uint_eq(cpuid_guest(&vcpu, 0x80000001u, 0).edx & BIT(9), 0);
	vcpu.apic_off = false;
	ck_assert_uint_eq(cpuid_guest(&vcpu, 0x80000001u, 0).edx & BIT(9), processor_cpuid(0x80000001u, 0).edx & BIT(9));
}
END_TEST

/* SDM vol. 4, IA32_MISC_ENABLE bit 22. */
START_TEST(limited_leaves)
{
	struct cpuid before, r;

	start(_i, 2, 1);
	before = cpuid_guest(&vcpu, 0, 0);
	vcpu.cpuid_limited = true;
	r = cpuid_guest(&vcpu, 0, 0);
	ck_assert_uint_eq(r.eax, 2);
	ck_assert(r.ebx == before.ebx && r.ecx == before.ecx && r.edx == before.edx);
	ck_assert_uint_eq(cpuid_guest(&vcpu, 0x80000000u, 0).eax, 0x80000008u);
}
END_TEST

/*
 * In kHz to the hypervisor's leaf; as a ratio to the crystal, which Linux multiplies in 32 bits, where processors have that leaf.
 */
START_TEST(tsc_frequency)
{
	/* The last ones have no good fraction. */
	static const uint32_t rates[] = {
		KEEL_TSC_KHZ_LEAST, 1000000, 1000001, 2399998, 2400000, 2592003, 2995200, 2999999, 3000001,
		3700123, 4294000, 4999999, 6000001, KEEL_TSC_KHZ_MOST,
		999999, 100001, 2999651,
	};
	const unsigned int good = ARRAY_SIZE(rates) - 3;
	struct cpuid r;

	start(_i, 1, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(rates); i++) {
		vm.tsc_khz = rates[i];
		ck_assert(same(cpuid_guest(&vcpu, 0x40000010, 0), (struct cpuid){ .eax = rates[i], .ebx = 1000000 }));
		r = cpuid_guest(&vcpu, 0x15, 0);
		if (processor_cpuid(0, 0).eax < 0x15 || i >= good) {
			ck_assert(is_zero(r));
			continue;
		}
		ck_assert_uint_eq(r.ecx, 1000000000);
		ck_assert(r.eax && r.ebx && !r.edx && r.ebx <= 4294);
		/* In millionths, times a thousand. */
		double error = ((double)r.ebx / r.eax * 1e6 - rates[i]) / rates[i] * 1e9;

		ck_assert_msg(error >= -1000 && error <= 1000, "%u kHz: %u / %u is off by %f", rates[i], r.ebx, r.eax, error);
	}
	vm.tsc_khz = 2995200;
	r = cpuid_guest(&vcpu, 0x15, 0);
	ck_assert(is_zero(r) || (r.ebx == 1872 && r.eax == 625));
}
END_TEST

/* What stands on something that is not there is not shown either. */
START_TEST(features_that_need_others)
{
	struct cpuid one, seven, extended;
	uint64_t xcr0;

	start(_i, 2, 1);
	xcr0 = cpuid_guest_xcr0();
	one = cpuid_guest(&vcpu, 1, 0);
	seven = cpuid_guest(&vcpu, 7, 0);
	extended = cpuid_guest(&vcpu, 0x80000001u, 0);
	if (!(xcr0 & XCR0_AVX))		/* FMA, AVX, F16C, AVX2, VAES, VPCLMULQDQ, XOP, FMA4 */
		ck_assert(!(one.ecx & 0x30001000 || seven.ebx & 0x20 || seven.ecx & 0x600 || extended.ecx & 0x10800));
	if (!(xcr0 & XCR0_AVX512))
		ck_assert(!(seven.ebx & 0xdc230000 || seven.ecx & 0x5842));
	else
		ck_assert(seven.ebx & 0x10000);
	if (!(seven.ebx & BIT(9)))	/* ERMS; FSRM */
		ck_assert_uint_eq(seven.edx & BIT(4), 0);
	else
		ck_assert_uint_eq(seven.edx & BIT(4), processor_cpuid(7, 0).edx & BIT(4));
}
END_TEST

/* Every bit of a processor that has all there are, and those yet to come: only what is written down here may pass. */
START_TEST(allow_list)
{
	static const struct known {
		uint32_t first, last;
		uint32_t subleaves;
		struct cpuid bits;
	} known[] = {
		{ 0, 0, 32, { ~0u, ~0u, ~0u, ~0u } },
		{ 1, 1, 32, { 0x0fff3fff, ~0u, 0xfffa3203, 0x1f8bfbff } },
		{ 2, 2, 32, { ~0u, ~0u, ~0u, ~0u } },
		{ 4, 4, 32, { ~0u, ~0u, ~0u, ~0u } },
		{ 6, 6, 32, { 4, 0, 0, 0 } },
		{ 7, 7, 1, { 0, 0xfdbf07ab, 0x00405f5e, 0x00000010 } },
		{ 0xb, 0xb, 32, { 7, 0xff, 0x3ff, 0xff } },
		{ 0xd, 0xd, 1, { 0x2e7, ~0u, ~0u, 0 } },
		{ 0xd, 0xd, 2, { 7, ~0u, 0, 0 } },
		{ 0xd, 0xd, 32, { ~0u, ~0u, ~0u, 0 } },
		{ 0x15, 0x15, 32, { ~0u, ~0u, ~0u, 0 } },
		{ 0x40000000, 0x40000000, 32, { ~0u, ~0u, ~0u, ~0u } },
		{ 0x40000001, 0x40000001, 32, { 0x0100004a, 0, 0, 0 } },
		{ 0x40000010, 0x40000010, 32, { ~0u, ~0u, 0, 0 } },
		{ 0x80000000, 0x80000000, 32, { ~0u, ~0u, ~0u, ~0u } },
		{ 0x80000001, 0x80000001, 32, { 0x0fff3fff, 0, 0x006109f3, 0xedd3fbff } },
		{ 0x80000002, 0x80000006, 32, { ~0u, ~0u, ~0u, ~0u } },
		{ 0x80000007, 0x80000007, 32, { 0, 0, 0, 0x100 } },
		{ 0x80000008, 0x80000008, 32, { 0xffff, 0, 0xf0ff, 0 } },
		{ 0x8000001d, 0x8000001e, 32, { ~0u, ~0u, ~0u, ~0u } },
	};
	static const uint32_t spaces[][2] = {
		{ 0, 0x40 }, { 0x40000000, 0x400000ff }, { 0x80000000, 0x800000ff }, { 0x8fffff00, 0x8fffffff },
		{ 0xc0000000, 0xc000000f },
	};

	start(_i, KEEL_MAX_VCPUS, 1);
	cr4 = CR4_OSXSAVE | CR4_PKE;
	for (unsigned int s = 0; s < ARRAY_SIZE(spaces); s++)
		for (uint32_t leaf = spaces[s][0]; leaf <= spaces[s][1]; leaf++)
			for (uint32_t subleaf = 0; subleaf < 32; subleaf++) {
				struct cpuid bits = { 0 }, r = cpuid_guest(&vcpu, leaf, subleaf);

				for (size_t i = ARRAY_SIZE(known); i-- > 0;)
					if (leaf >= known[i].first && leaf <= known[i].last && subleaf < known[i].subleaves)
						bits = known[i].bits;
				ck_assert_msg(!(r.eax & ~bits.eax || r.ebx & ~bits.ebx || r.ecx & ~bits.ecx ||
						r.edx & ~bits.edx),
					      "%s: leaf %x.%u shows %x %x %x %x", processor->name, leaf, subleaf, r.eax, r.ebx,
					      r.ecx, r.edx);
			}
}
END_TEST

static bool shows_amd(void)
{
	return processor_cpuid(0, 0).ebx == 0x68747541;
}

static void check_legacy_topology(unsigned int count, unsigned int index)
{
	struct cpuid r = cpuid_guest(&vcpu, 1, 0);

	ck_assert_uint_eq(r.ebx >> 24, index);
	ck_assert_uint_eq(r.ebx >> 16 & 0xff, count);
	ck_assert_int_eq((r.edx & EDX1_HTT) != 0, count > 1);
	r = cpuid_guest(&vcpu, 0x80000008u, 0);
	if (!shows_amd()) {
		ck_assert_uint_eq(r.ecx, 0);
		return;
	}
	ck_assert_uint_eq((r.ecx & 0xff) + 1, count);
	ck_assert_uint_ge(1u << (r.ecx >> 12 & 0xf), count);
	ck_assert_uint_lt(1u << (r.ecx >> 12 & 0xf), 2 * count);
}

static unsigned int check_extended_topology(unsigned int count, unsigned int index)
{
	struct cpuid thread = cpuid_guest(&vcpu, 0xb, 0), core = cpuid_guest(&vcpu, 0xb, 1);
	struct cpuid end = cpuid_guest(&vcpu, 0xb, 2);

	ck_assert(same(thread, (struct cpuid){ 0, 1, 1 << 8, index }));
	ck_assert_uint_eq(core.ebx, count);
	ck_assert_uint_eq(core.ecx, 2 << 8 | 1);
	ck_assert_uint_eq(core.edx, index);
	ck_assert_uint_ge(1u << core.eax, count);
	ck_assert_uint_lt(1u << core.eax, 2 * count);
	ck_assert_uint_eq(index >> core.eax, 0);	/* one package */
	ck_assert(same(end, (struct cpuid){ 0, 0, 2, index }));
	return core.eax;
}

static void check_caches(unsigned int count, unsigned int bits)
{
	for (uint32_t level = 0; level < 8; level++) {
		struct cpuid has = processor_cpuid(4, level), r = cpuid_guest(&vcpu, 4, level);
		unsigned int shared = r.eax >> 14 & 0xfff;

		if (!(has.eax & 0x1f)) {
			ck_assert(is_zero(r));
			return;
		}
		ck_assert_uint_eq(r.eax & 0xff, has.eax & 0xff);
		ck_assert(r.ebx == has.ebx && r.ecx == has.ecx && r.edx == has.edx);
		ck_assert_uint_eq(r.eax >> 26, (1u << bits) - 1);
		ck_assert_uint_ge((r.eax >> 26) + 1, count);
		ck_assert_uint_eq(shared, (r.eax >> 5 & 7) >= 3 ? (1u << bits) - 1 : 0);
	}
}

START_TEST(topology)
{
	for (unsigned int count = 1; count <= KEEL_MAX_VCPUS; count++)
		for (unsigned int index = 0; index < count; index++) {
			start(_i, count, index);
			check_legacy_topology(count, index);
			check_caches(count, check_extended_topology(count, index));
		}
}
END_TEST

/* What a system makes of an APIC identifier by the leaves: who is who, and how many there are. */
static void check_place(const struct keel_topology *t, unsigned int index)
{
	struct cpuid r = cpuid_guest(&vcpu, 1, 0), thread = cpuid_guest(&vcpu, 0xb, 0), core = cpuid_guest(&vcpu, 0xb, 1);
	uint32_t id = r.ebx >> 24, reserved = 1;

	ck_assert_uint_eq(id, keel_topology_apic_id(t, index));
	ck_assert_uint_eq(thread.edx, id);
	ck_assert_uint_eq(core.edx, id);
	ck_assert_uint_eq(thread.ebx, t->threads);
	ck_assert_uint_eq(core.ebx, t->cores * t->threads);
	ck_assert_uint_eq(id & ((1u << thread.eax) - 1), index % t->threads);
	ck_assert_uint_eq((id & ((1u << core.eax) - 1)) >> thread.eax, index / t->threads % t->cores);
	ck_assert_uint_eq(id >> core.eax, index / t->threads / t->cores);
	/* By leaf 1, the package is as many identifiers as the next power of two of its count. */
	while (reserved < (r.ebx >> 16 & 0xff))
		reserved *= 2;
	ck_assert_uint_eq(reserved, 1u << core.eax);
	ck_assert_int_eq((r.edx & EDX1_HTT) != 0, t->cores * t->threads > 1);
	r = cpuid_guest(&vcpu, 0x80000008u, 0);
	ck_assert_uint_eq(r.ecx, shows_amd() ? core.eax << 12 | (t->cores * t->threads - 1) : 0);
}

static void check_sharing(const struct keel_topology *t, uint32_t leaf)
{
	unsigned int thread_bits = cpuid_guest(&vcpu, 0xb, 0).eax, core_bits = cpuid_guest(&vcpu, 0xb, 1).eax, level = 0;
	struct cpuid r;

	for (; !is_zero(r = cpuid_guest(&vcpu, leaf, level)); level++) {
		ck_assert_uint_eq((r.eax >> 14 & 0xfff) + 1, 1u << ((r.eax >> 5 & 7) == 3 ? core_bits : thread_bits));
		if (leaf == 4)
			ck_assert_uint_eq((r.eax >> 26) + 1, 1u << (core_bits - thread_bits));
		else
			ck_assert_uint_eq(r.eax >> 26, 0);
	}
	if (processor->cpuid == amd_cpuid && leaf != 4)
		ck_assert_uint_eq(level, t->threads > 1 ? CACHE_LEVELS : 0);
	if (processor->cpuid == full_cpuid && leaf == 4)
		ck_assert_uint_eq(level, CACHE_LEVELS);
}

/* AMD's leaves are there where threads cannot be told otherwise. */
static void check_amd(const struct keel_topology *t, unsigned int index)
{
	bool amd = shows_amd(), told = amd && t->threads > 1;
	struct cpuid r = cpuid_guest(&vcpu, 0x80000001u, 0);

	ck_assert_int_eq((r.ecx & BIT(22)) != 0, told);
	ck_assert_int_eq((r.ecx & BIT(1)) != 0, amd && t->cores * t->threads > 1);
	ck_assert_uint_eq(cpuid_guest(&vcpu, 0x80000000u, 0).eax, told ? 0x8000001eu : 0x80000008u);
	r = cpuid_guest(&vcpu, 0x8000001eu, 0);
	if (!told) {
		ck_assert(is_zero(r) && is_zero(cpuid_guest(&vcpu, 0x8000001du, 0)));
		return;
	}
	ck_assert_uint_eq(r.eax, cpuid_guest(&vcpu, 0xb, 0).edx);
	ck_assert_uint_eq(r.ebx, (t->threads - 1) << 8 | index / t->threads % t->cores);
	ck_assert_uint_eq(r.ecx, index / t->threads / t->cores);
	ck_assert_uint_eq(r.edx, 0);
}

START_TEST(sockets_cores_and_threads)
{
	unsigned int topologies = 0;

	for (unsigned int count = 1; count <= KEEL_MAX_VCPUS; count++)
		for (unsigned int cores = 1; cores <= count; cores++)
			for (unsigned int threads = 1; threads <= count; threads++) {
				struct keel_topology t = keel_topology(KEEL_TOPOLOGY(cores, threads), count);

				if (!t.sockets)
					continue;
				topologies++;
				for (unsigned int index = 0; index < count; index += 1 + count / 7) {
					start(_i, count, index);
					vm.topology = t;
					check_place(&t, index);
					check_sharing(&t, 4);
					check_sharing(&t, 0x8000001du);
					check_amd(&t, index);
				}
			}
	ck_assert_uint_gt(topologies, 300);
}
END_TEST

START_TEST(topology_numbers)
{
	for (unsigned int count = 0; count <= KEEL_MAX_VCPUS + 1; count++)
		for (uint32_t packed = 0; packed < 0x4200; packed++) {
			struct keel_topology t = keel_topology(packed, count);
			uint64_t seen[4] = { 0 };

			if (!t.sockets) {
				/* A passed ck_assert is a message to the runner, a million of them take a minute. */
				if (t.cores || t.threads)
					ck_abort_msg("%x for %u is half of one", packed, count);
				continue;
			}
			if (t.sockets * t.cores * t.threads != count || (t.threads & (t.threads - 1)))
				ck_abort_msg("%x for %u", packed, count);
			if (packed ? packed != KEEL_TOPOLOGY(t.cores, t.threads) : t.sockets != 1 || t.threads != 1)
				ck_abort_msg("%x for %u is another", packed, count);
			/* All different, and none is the broadcast. */
			for (unsigned int i = 0; i < count; i++) {
				uint32_t id = keel_topology_apic_id(&t, i);

				if (id >= 0xff || seen[id / 64] >> id % 64 & 1)
					ck_abort_msg("%x for %u: identifier %u of vCPU %u", packed, count, id, i);
				seen[id / 64] |= 1ull << id % 64;
			}
		}
	ck_assert_uint_eq(keel_topology(0, 4).cores, 4);
	ck_assert_uint_eq(keel_topology(KEEL_TOPOLOGY(2, 2), 8).sockets, 2);
	ck_assert_uint_eq(keel_topology(KEEL_TOPOLOGY(1, 3), 3).sockets, 0);
	ck_assert_uint_eq(keel_topology(KEEL_TOPOLOGY(256, 1), 64).sockets, 0);
	ck_assert_uint_eq(keel_topology(UINT32_MAX, 64).sockets, 0);
}
END_TEST

START_TEST(xstate)
{
	const uint64_t all = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU;
	uint32_t bytes = XSAVE_LEGACY;
	struct cpuid r, part;
	uint64_t xcr0;

	start(_i, 2, 1);
	xcr0 = cpuid_guest_xcr0();
	ck_assert_uint_eq(xcr0 & ~all, 0);
	ck_assert_uint_eq(xcr0 & ~(uint64_t)processor_cpuid(CPUID_XSTATE, 0).eax, 0);
	ck_assert((xcr0 & XCR0_AVX512) == 0 || (xcr0 & XCR0_AVX512) == XCR0_AVX512);
	for (uint32_t i = 2; i < 64; i++) {
		part = cpuid_guest(&vcpu, CPUID_XSTATE, i);
		if (i >= COMPONENTS || !(xcr0 >> i & 1)) {
			ck_assert_msg(is_zero(part), "%s: state %u", processor->name, i);
			continue;
		}
		ck_assert(same(part, processor_cpuid(CPUID_XSTATE, i)));
		ck_assert_uint_ne(part.eax, 0);
		if (part.ebx + part.eax > bytes)
			bytes = part.ebx + part.eax;
	}
	r = cpuid_guest(&vcpu, CPUID_XSTATE, 0);
	ck_assert_uint_eq(r.eax, xcr0);
	ck_assert_uint_eq(r.edx, 0);
	ck_assert_uint_eq(r.ecx, bytes);
	/* A vCPU's block has three pages for it. */
	ck_assert_uint_le(bytes, VCPU_XSTATE_PAGES * KEEL_PAGE_SIZE);
	r = cpuid_guest(&vcpu, CPUID_XSTATE, 1);
	ck_assert_uint_eq(r.eax & ~7u, 0);	/* no XSAVES */
	ck_assert_uint_eq(r.ecx | r.edx, 0);	/* nor any state of its kind */
	ck_assert(is_zero(cpuid_guest(&vcpu, CPUID_XSTATE, UINT32_MAX)));
}
END_TEST

START_TEST(chosen_states)
{
	static const uint64_t states[] = { 0, 0x2e7, 0x3, 0x7, 0x2e7 };

	start(_i, 1, 0);
	ck_assert_uint_eq(cpuid_guest_xcr0(), states[_i]);
}
END_TEST

/* Leaves without subleaves pay no regard to ECX. */
START_TEST(subleaf_ignored)
{
	static const uint32_t leaves[] = { 0, 1, 2, 6, 0x40000000, 0x40000001, 0x80000000, 0x80000001, 0x80000008 };

	start(_i, 4, 3);
	for (unsigned int i = 0; i < ARRAY_SIZE(leaves); i++)
		for (uint32_t subleaf = 1; subleaf; subleaf <<= 3)
			ck_assert(same(cpuid_guest(&vcpu, leaves[i], subleaf), cpuid_guest(&vcpu, leaves[i], 0)));
}
END_TEST

SUITE("cpuid", tests)
{
	tcase_set_timeout(tests, 30);
	tcase_add_loop_test(tests, no_leaks, 0, PROCESSORS);
	tcase_add_loop_test(tests, other_leaves_are_empty, 0, PROCESSORS);
	tcase_add_loop_test(tests, no_inventions, 0, PROCESSORS);
	tcase_add_loop_test(tests, essentials, 0, PROCESSORS);
	tcase_add_loop_test(tests, hypervisor_leaves, 0, PROCESSORS);
	tcase_add_loop_test(tests, osxsave_mirrors_cr4, 0, PROCESSORS);
	tcase_add_loop_test(tests, ospke_mirrors_cr4, 0, PROCESSORS);
	tcase_add_loop_test(tests, apic_is_off, 0, PROCESSORS);
	tcase_add_loop_test(tests, limited_leaves, 0, PROCESSORS);
	tcase_add_loop_test(tests, tsc_frequency, 0, PROCESSORS);
	tcase_add_loop_test(tests, features_that_need_others, 0, PROCESSORS);
	tcase_add_loop_test(tests, allow_list, 0, PROCESSORS);
	tcase_add_loop_test(tests, topology, 0, PROCESSORS);
	tcase_add_loop_test(tests, sockets_cores_and_threads, 0, PROCESSORS);
	tcase_add_test(tests, topology_numbers);
	tcase_add_loop_test(tests, xstate, 0, PROCESSORS);
	tcase_add_loop_test(tests, chosen_states, 1, PROCESSORS);
	tcase_add_loop_test(tests, subleaf_ignored, 0, PROCESSORS);
}
