// SPDX-License-Identifier: GPL-2.0
// The virtual CPUID of guests: the processor's, cut to what Keel carries, with the VM's own topology.

#include "cpuid.h"

#include <stddef.h>

#include <keel/macros.h>

#include "cpu.h"
#include "hv.h"
#include "string.h"
#include "topology.h"
#include "vcpu.h"
#include "vm.h"
#include "xstate.h"

#define LAST_BASIC	CPUID_XSTATE
#define LAST_EXTENDED	CPUID_ADDRESS_SIZES
#define HYPERVISOR_BASE	0x40000000u
#define HYPERVISOR_FEATURES 0x40000001u
#define HYPERVISOR_TIMING 0x40000010u

/* Of KVM's leaves: no writes of port 0x80 for a pause, the clock by its newer MSRs, ends of interrupts by memory, ... */
#define KVM_NOP_IO_DELAY (1u << 1)
#define KVM_CLOCKSOURCE2 (1u << 3)
#define KVM_PV_EOI	(1u << 6)
#define KVM_CLOCK_STABLE (1u << 24)	/* ... and that clock can be taken on any vCPU */

#define RATIO_MOST	4294u		/* Linux multiplies it by the crystal's kHz, 1,000,000, in 32 bits */
#define RATIO_PRECISION	1000000u
#define LIMITED_BASIC	2u

#define BIT(n)		(1u << (n))
/* F, DQ, IFMA, PF, ER, CD, BW, VL */
#define EBX7_AVX512	(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31))
#define ECX7_VAES	(BIT(9) | BIT(10))	/* and VPCLMULQDQ */
/* VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ */
#define ECX7_AVX512	(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14))
#define ECXE_XOP_FMA4	(BIT(11) | BIT(16))

#define SIGNATURE	0x0fff3fffu

enum output {
	EAX,
	EBX,
	ECX,
	EDX,
};

/* Bits that guests get where the processor has them. What is not listed is 0. */
static const struct policy {
	uint32_t leaf;
	uint32_t subleaf;
	uint32_t mask[4];
} policies[] = {
	/*
	 * SSE3, PCLMULQDQ, SSSE3, FMA, CMPXCHG16B, PCID, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, XSAVE, AVX, F16C,
	 * RDRAND. Not MONITOR, DTES64, DS-CPL, VMX, SMX, EST, TM2, PDCM, DCA. What Keel or the cell brings (x2APIC,
	 * TSC deadline) is added.
	 */
	{ CPUID_FEATURES, 0, { SIGNATURE, 0, BIT(0) | BIT(1) | BIT(9) | ECX1_FMA | BIT(13) | BIT(17) | BIT(19) | BIT(20) |
		     BIT(22) | BIT(23) | BIT(25) | BIT(26) | ECX1_AVX | ECX1_F16C | BIT(30),
	    /* FPU to CMPXCHG8B, SEP to PSE-36, CLFLUSH, MMX to self-snoop. Not DS, ACPI, TM, PBE; APIC and HTT are added. */
	    0x000001ffu | 0x0003f800u | BIT(19) | 0x0f800000u } },
	{ 2, 0, { ~0u, ~0u, ~0u, ~0u } },
	/* FSGSBASE, BMI1, AVX2, SMEP, BMI2, ERMS, INVPCID, AVX-512, RDSEED, ADX, SMAP, CLFLUSHOPT, CLWB, SHA. */
	{ CPUID_FEATURES_7, 0, { 0, BIT(0) | BIT(3) | EBX7_AVX2 | BIT(7) | BIT(8) | EBX7_ERMS | BIT(10) | EBX7_AVX512 | BIT(18) |
		     BIT(19) | BIT(20) | BIT(23) | BIT(24) | BIT(29),
	    /* UMIP, PKU, GFNI, VAES, VPCLMULQDQ, AVX-512, RDPID */
	    BIT(2) | ECX7_PKU | BIT(8) | ECX7_VAES | ECX7_AVX512 | ECX7_RDPID,
	    EDX7_FSRM } },
	/* XSAVEOPT, XSAVEC, XGETBV with ECX = 1. */
	{ CPUID_XSTATE, 1, { BIT(0) | BIT(1) | BIT(2), 0, 0, 0 } },
	/* LAHF, CMP_LEGACY out, CR8 alias, ABM, SSE4A, misaligned SSE, PREFETCHW, XOP, FMA4, TBM. */
	{ CPUID_EXTENDED_FEATURES, 0, { SIGNATURE, 0,
	    BIT(0) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | ECXE_XOP_FMA4 | BIT(21),
	    /* AMD's copies of leaf 1, SYSCALL, NX, MMX, 1 GiB pages, RDTSCP, long mode, 3DNow!. Not FFXSR. */
	    0x000003ffu | 0x0003f800u | BIT(20) | BIT(22) | BIT(23) | BIT(24) | BIT(26) | EDXE_RDTSCP | BIT(29) |
	    BIT(30) | BIT(31) } },
	{ CPUID_BRAND_FIRST, 0, { ~0u, ~0u, ~0u, ~0u } },
	{ CPUID_BRAND_FIRST + 1, 0, { ~0u, ~0u, ~0u, ~0u } },
	{ CPUID_BRAND_LAST, 0, { ~0u, ~0u, ~0u, ~0u } },
	{ CPUID_AMD_L1, 0, { ~0u, ~0u, ~0u, ~0u } },
	{ CPUID_L2, 0, { ~0u, ~0u, ~0u, ~0u } },
	/* Invariant TSC. */
	{ CPUID_AMD_POWER, 0, { 0, 0, 0, BIT(8) } },
	{ CPUID_ADDRESS_SIZES, 0, { 0xffffu, 0, 0, 0 } },
};

/* Features of no use, or worse, without a state in XCR0. */
static const struct state_need {
	uint64_t states;
	uint32_t leaf;
	uint32_t mask[4];
} state_needs[] = {
	{ XCR0_AVX, CPUID_FEATURES, { 0, 0, ECX1_FMA | ECX1_AVX | ECX1_F16C, 0 } },
	{ XCR0_AVX, CPUID_FEATURES_7, { 0, EBX7_AVX2, ECX7_VAES, 0 } },
	{ XCR0_AVX, CPUID_EXTENDED_FEATURES, { 0, 0, ECXE_XOP_FMA4, 0 } },
	{ XCR0_AVX512, CPUID_FEATURES_7, { 0, EBX7_AVX512, ECX7_AVX512, 0 } },
	{ XCR0_PKRU, CPUID_FEATURES_7, { 0, 0, ECX7_PKU, 0 } },
};

static uint64_t guest_xcr0;
static bool tsc_aux;
/* Asked of the processor once: executed in a guest's stead a CPUID is dear, and below another VMM an exit of Keel's. */
static struct cpuid first_leaf;
static struct cpuid shown[ARRAY_SIZE(policies)];

static struct cpuid without(struct cpuid r, const uint32_t mask[4])
{
	return (struct cpuid){ r.eax & ~mask[EAX], r.ebx & ~mask[EBX], r.ecx & ~mask[ECX], r.edx & ~mask[EDX] };
}

static struct cpuid cut(const struct policy *p)
{
	struct cpuid real = cpuid(p->leaf, p->subleaf);
	struct cpuid r = { real.eax & p->mask[EAX], real.ebx & p->mask[EBX], real.ecx & p->mask[ECX], real.edx & p->mask[EDX] };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(state_needs); i++)
		if (state_needs[i].leaf == p->leaf && (guest_xcr0 & state_needs[i].states) != state_needs[i].states)
			r = without(r, state_needs[i].mask);
	return r;
}

void cpuid_init(void)
{
	size_t i;

	guest_xcr0 = xstate_supported() & (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU);
	if ((guest_xcr0 & XCR0_AVX512) != XCR0_AVX512)
		guest_xcr0 &= ~XCR0_AVX512;
	tsc_aux = cpuid(CPUID_EXTENDED_FEATURES, 0).edx & EDXE_RDTSCP || cpuid(CPUID_FEATURES_7, 0).ecx & ECX7_RDPID;
	first_leaf = cpuid(CPUID_VENDOR, 0);
	for (i = 0; i < ARRAY_SIZE(policies); i++)
		shown[i] = cut(&policies[i]);
}

uint64_t cpuid_guest_xcr0(void)
{
	return guest_xcr0;
}

bool cpuid_guest_tsc_aux(void)
{
	return tsc_aux;
}

static struct cpuid masked(uint32_t leaf, uint32_t subleaf)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(policies); i++)
		if (policies[i].leaf == leaf && policies[i].subleaf == subleaf)
			return shown[i];
	return (struct cpuid){ 0 };
}

static struct cpuid leaf_0(const struct vcpu *vcpu)
{
	struct cpuid r = first_leaf;

	if (vcpu->cpuid_limited)
		r.eax = LIMITED_BASIC;
	else
		r.eax = r.eax < CPUID_TSC ? LAST_BASIC : CPUID_TSC;
	return r;
}

static uint64_t guest_cr4(struct vcpu *vcpu)
{
	hv->vcpu.state_out(vcpu, HV_STATE_CONTROL, &vcpu->state.sregs);
	return vcpu->state.sregs.cr4;
}

static struct cpuid leaf_1(struct vcpu *vcpu)
{
	struct cpuid r = masked(1, 0), topology = topology_leaf_1(vcpu);

	r.ebx = (cpuid(CPUID_FEATURES, 0).ebx & 0xff00) | topology.ebx;
	r.ecx |= ECX1_X2APIC | ECX1_TSC_DEADLINE | ECX1_HYPERVISOR;
	if (guest_cr4(vcpu) & CR4_OSXSAVE)
		r.ecx |= ECX1_OSXSAVE;
	if (!vcpu->apic_off)
		r.edx |= EDX1_APIC;
	r.edx |= topology.edx;
	return r;
}

/* Of an XSAVE area for these components, or of an XSAVEC area, where they are packed (SDM vol. 1, 13.4.2, 13.4.3). */
static uint32_t area_bytes(uint64_t components, bool packed)
{
	uint32_t bytes = XSAVE_HEADER_END;
	struct cpuid part;
	unsigned int i;

	for (i = 2; i < 32; i++) {
		if (!(components >> i & 1))
			continue;
		part = cpuid(CPUID_XSTATE, i);
		if (packed)
			part.ebx = part.ecx & BIT(1) ? (bytes + 63) & ~63u : bytes;
		if (part.ebx + part.eax > bytes)
			bytes = part.ebx + part.eax;
	}
	return bytes;
}

uint32_t cpuid_guest_xstate_bytes(void)
{
	return area_bytes(guest_xcr0, false);
}

uint64_t cpuid_guest_cr4(void)
{
	static const struct {
		uint64_t bit;
		uint32_t leaf;
		struct cpuid shown;
	} bits[] = {
		{ CR4_PCIDE, CPUID_FEATURES, { .ecx = ECX1_PCID } },
		{ CR4_OSXSAVE, CPUID_FEATURES, { .ecx = ECX1_XSAVE } },
		{ CR4_FSGSBASE, CPUID_FEATURES_7, { .ebx = EBX7_FSGSBASE } },
		{ CR4_SMEP, CPUID_FEATURES_7, { .ebx = EBX7_SMEP } },
		{ CR4_SMAP, CPUID_FEATURES_7, { .ebx = EBX7_SMAP } },
		{ CR4_UMIP, CPUID_FEATURES_7, { .ecx = ECX7_UMIP } },
		{ CR4_PKE, CPUID_FEATURES_7, { .ecx = ECX7_PKU } },
	};
	uint64_t cr4 = CR4_CLASSIC;
	struct cpuid r;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bits); i++) {
		r = masked(bits[i].leaf, 0);
		if (r.ebx & bits[i].shown.ebx || r.ecx & bits[i].shown.ecx)
			cr4 |= bits[i].bit;
	}
	return cr4;
}

static struct cpuid leaf_7(struct vcpu *vcpu, uint32_t subleaf)
{
	struct cpuid r = masked(7, subleaf);

	if (subleaf)
		return r;
	r.ebx |= EBX7_TSC_ADJUST;
	if (r.ecx & ECX7_PKU && guest_cr4(vcpu) & CR4_PKE)
		r.ecx |= ECX7_OSPKE;
	/* Kernels take the second alone for a REP MOVSB that is fast for all lengths. */
	if (!(r.ebx & EBX7_ERMS))
		r.edx &= ~EDX7_FSRM;
	return r;
}

/* While Keel handles its exit, XCR0 is the guest's. */
static struct cpuid leaf_d(uint32_t subleaf)
{
	struct cpuid r = { 0 };

	if (subleaf == 0) {
		r = cpuid(CPUID_XSTATE, 0);	/* EBX follows XCR0 */
		r.eax = (uint32_t)guest_xcr0;
		r.ecx = area_bytes(guest_xcr0, false);
		r.edx = 0;
	} else if (subleaf == 1) {
		r = masked(CPUID_XSTATE, 1);
		r.ebx = area_bytes(xgetbv() & guest_xcr0, true);
	} else if (subleaf < 32 && guest_xcr0 >> subleaf & 1) {
		r = cpuid(CPUID_XSTATE, subleaf);
	}
	return r;
}

struct ratio {
	uint64_t n;
	uint64_t d;
};

/*
 * numerator / denominator, as near to it as a numerator of at most RATIO_MOST comes: the last convergent of its continued
 * fraction that has room. On the way from there to the next one, what is farther than half is nearer.
 */
static struct ratio approximate(uint64_t numerator, uint64_t denominator)
{
	struct ratio before = { 0, 1 }, last = { 1, 0 }, next;
	uint64_t part, room, rest;

	while (denominator) {
		part = numerator / denominator;
		room = last.n ? (RATIO_MOST - before.n) / last.n : part;
		if (part > room && part > 2 * room)
			break;
		rest = part > room ? 0 : numerator % denominator;
		part = part > room ? room : part;
		next = (struct ratio){ before.n + part * last.n, before.d + part * last.d };
		before = last;
		last = next;
		numerator = denominator;
		denominator = rest;
	}
	return last;
}

/*
 * The crystal is what the local APIC's timer counts (SDM vol. 3, 11.5.4). Near a whole ratio there may be no fraction that is
 * small and right to a millionth: then none is told, for systems do not measure again what they are told here.
 */
static struct cpuid leaf_tsc(const struct vm *vm)
{
	struct ratio ratio = approximate(vm->tsc_khz, KEEL_APIC_TIMER_KHZ);
	uint64_t told = ratio.n * KEEL_APIC_TIMER_KHZ, right = ratio.d * vm->tsc_khz;

	if ((told > right ? told - right : right - told) > right / RATIO_PRECISION)
		return (struct cpuid){ 0 };
	return (struct cpuid){ (uint32_t)ratio.d, (uint32_t)ratio.n, KEEL_APIC_TIMER_KHZ * 1000, 0 };
}

static struct cpuid leaf_features(const struct vcpu *vcpu)
{
	struct cpuid r = { .eax = KVM_NOP_IO_DELAY | KVM_CLOCKSOURCE2 | KVM_CLOCK_STABLE };

	/* A processor that ends interrupts by itself needs no help. */
	if (!(vcpu->exit_flags & KEEL_EXIT_F_APIC))
		r.eax |= KVM_PV_EOI;
	return r;
}

static struct cpuid leaf_extended(const struct vcpu *vcpu)
{
	struct cpuid r = masked(CPUID_EXTENDED_FEATURES, 0);

	r.ecx |= topology_amd_features(vcpu);
	/* Of AMD's copies this one goes with the original (APM vol. 3, E.4.2); Intel has none. */
	if (vcpu->apic_off)
		r.edx &= ~EDX1_APIC;
	return r;
}

unsigned int cpuid_guest_address_bits(void)
{
	return (uint8_t)masked(CPUID_ADDRESS_SIZES, 0).eax;
}

static struct cpuid leaf_address(const struct vcpu *vcpu)
{
	struct cpuid r = masked(LAST_EXTENDED, 0);

	r.ecx = topology_leaf(vcpu, LAST_EXTENDED, 0).ecx;
	return r;
}

struct cpuid cpuid_guest(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r = { 0 };

	switch (leaf) {
	case CPUID_VENDOR:
		return leaf_0(vcpu);
	case CPUID_FEATURES:
		return leaf_1(vcpu);
	case CPUID_POWER:
		r.eax = EAX6_ARAT;
		return r;
	case CPUID_FEATURES_7:
		return leaf_7(vcpu, subleaf);
	case CPUID_CACHES:
	case CPUID_LEVELS:
	case CPUID_AMD_CACHES:
	case CPUID_AMD_LEVELS:
		return topology_leaf(vcpu, leaf, subleaf);
	case CPUID_XSTATE:
		return leaf_d(subleaf);
	case CPUID_TSC:
		return first_leaf.eax < CPUID_TSC ? r : leaf_tsc(vcpu->vm);
	case HYPERVISOR_BASE:
		/* The leaves that stock kernels know; only features that are there are shown. */
		r.eax = HYPERVISOR_TIMING;
		memcpy(&r.ebx, "KVMK", 4);
		memcpy(&r.ecx, "VMKV", 4);
		memcpy(&r.edx, "M\0\0\0", 4);
		return r;
	case HYPERVISOR_FEATURES:
		return leaf_features(vcpu);
	case HYPERVISOR_TIMING:
		return (struct cpuid){ .eax = vcpu->vm->tsc_khz, .ebx = KEEL_APIC_TIMER_KHZ };
	case CPUID_EXTENDED:
		r = cpuid(leaf, 0);
		r.eax = topology_last_extended(vcpu, LAST_EXTENDED);
		return r;
	case CPUID_EXTENDED_FEATURES:
		return leaf_extended(vcpu);
	case CPUID_ADDRESS_SIZES:
		return leaf_address(vcpu);
	default:
		return masked(leaf, 0);
	}
}
