// SPDX-License-Identifier: GPL-2.0
// What guests' CPUID says of sockets, cores and threads, and of who shares a cache (SDM vol. 3, 9.9; APM vol. 3, E.5).

#include "topology.h"

#include <stdbool.h>

#include "vcpu.h"
#include "vm.h"

#define EBX1_COUNT_SHIFT	16
#define EBX1_ID_SHIFT		24
#define ECX_CMP_LEGACY		(1u << 1)	/* 0x80000001: the count of leaf 1 is one of cores */
#define ECX_TOPOLOGY		(1u << 22)	/* leaves CPUID_AMD_CACHES and CPUID_AMD_LEVELS */
#define ECX8_SIZE_SHIFT		12

#define CACHE_TYPE		0x1fu
#define CACHE_LEVEL_SHIFT	5
#define CACHE_LEVEL		7u
#define CACHE_OWN		0x3ffu		/* EAX less what is said of sharing */
#define CACHE_SHARING_SHIFT	14
#define CACHE_CORES_SHIFT	26		/* Intel */
#define CACHE_LAST_LEVEL	3u

#define LEVEL_TYPE_SHIFT	8
#define LEVEL_THREAD		1u
#define LEVEL_CORE		2u
#define AMD_THREADS_SHIFT	8

#define VENDOR(a, b, c, d)	((uint32_t)(d) << 24 | (c) << 16 | (b) << 8 | (a))

static uint32_t apic_id(const struct vcpu *vcpu)
{
	return keel_topology_apic_id(&vcpu->vm->topology, vcpu->index);
}

/* AMD and Hygon describe caches and cores by leaves of their own. */
static bool is_amd(void)
{
	uint32_t vendor = cpuid(CPUID_VENDOR, 0).ebx;

	return vendor == VENDOR('A', 'u', 't', 'h') || vendor == VENDOR('H', 'y', 'g', 'o');
}

/* Before there were threads AMD's systems knew cores by count alone, and read on only where they are told to. */
static bool has_amd_leaves(const struct vcpu *vcpu)
{
	return is_amd() && vcpu->vm->topology.threads > 1;
}

struct cpuid topology_leaf_1(const struct vcpu *vcpu)
{
	const struct keel_topology *t = &vcpu->vm->topology;
	uint32_t count = t->cores * t->threads;

	return (struct cpuid){
		.ebx = apic_id(vcpu) << EBX1_ID_SHIFT | count << EBX1_COUNT_SHIFT, .edx = count > 1 ? EDX1_HTT : 0,
	};
}

uint32_t topology_amd_features(const struct vcpu *vcpu)
{
	const struct keel_topology *t = &vcpu->vm->topology;

	return (is_amd() && t->cores * t->threads > 1 ? ECX_CMP_LEGACY : 0) | (has_amd_leaves(vcpu) ? ECX_TOPOLOGY : 0);
}

uint32_t topology_last_extended(const struct vcpu *vcpu, uint32_t least)
{
	return has_amd_leaves(vcpu) && least < CPUID_AMD_LEVELS ? CPUID_AMD_LEVELS : least;
}

/* The processor's cache; the last level is the socket's, the others are each core's own. */
static struct cpuid cache(const struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf)
{
	const struct keel_topology *t = &vcpu->vm->topology;
	struct cpuid r = cpuid(leaf, subleaf);
	uint32_t bits = keel_topology_bits(t->threads);

	if (!(r.eax & CACHE_TYPE))
		return (struct cpuid){ 0 };
	if ((r.eax >> CACHE_LEVEL_SHIFT & CACHE_LEVEL) >= CACHE_LAST_LEVEL)
		bits = keel_topology_socket_shift(t);
	r.eax &= CACHE_OWN;
	r.eax |= ((1u << bits) - 1) << CACHE_SHARING_SHIFT;
	if (leaf == CPUID_CACHES)
		r.eax |= ((1u << keel_topology_bits(t->cores)) - 1) << CACHE_CORES_SHIFT;
	return r;
}

static struct cpuid levels(const struct vcpu *vcpu, uint32_t subleaf)
{
	const struct keel_topology *t = &vcpu->vm->topology;
	struct cpuid r = { .ecx = subleaf & 0xff, .edx = apic_id(vcpu) };

	if (subleaf == 0) {
		r.eax = keel_topology_bits(t->threads);
		r.ebx = t->threads;
		r.ecx |= LEVEL_THREAD << LEVEL_TYPE_SHIFT;
	} else if (subleaf == 1) {
		r.eax = keel_topology_socket_shift(t);
		r.ebx = t->cores * t->threads;
		r.ecx |= LEVEL_CORE << LEVEL_TYPE_SHIFT;
	}
	return r;
}

static struct cpuid amd_levels(const struct vcpu *vcpu)
{
	const struct keel_topology *t = &vcpu->vm->topology;

	return (struct cpuid){
		.eax = apic_id(vcpu),
		.ebx = vcpu->index / t->threads % t->cores | (t->threads - 1) << AMD_THREADS_SHIFT,
		.ecx = vcpu->index / (t->threads * t->cores),	/* a node each */
	};
}

/* Where the processor does not describe its caches, the guest hears of none. */
static bool describes_caches(void)
{
	return cpuid(CPUID_EXTENDED, 0).eax >= CPUID_AMD_CACHES && cpuid(CPUID_EXTENDED_FEATURES, 0).ecx & ECX_TOPOLOGY;
}

struct cpuid topology_leaf(const struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf)
{
	const struct keel_topology *t = &vcpu->vm->topology;
	bool amd = has_amd_leaves(vcpu);

	switch (leaf) {
	case CPUID_CACHES:
		return cache(vcpu, leaf, subleaf);
	case CPUID_LEVELS:
		return levels(vcpu, subleaf);
	case CPUID_ADDRESS_SIZES:
		if (!is_amd())
			return (struct cpuid){ 0 };
		return (struct cpuid){
			.ecx = (t->cores * t->threads - 1) | keel_topology_socket_shift(t) << ECX8_SIZE_SHIFT,
		};
	case CPUID_AMD_CACHES:
		return amd && describes_caches() ? cache(vcpu, leaf, subleaf) : (struct cpuid){ 0 };
	case CPUID_AMD_LEVELS:
		return amd ? amd_levels(vcpu) : (struct cpuid){ 0 };
	default:
		return (struct cpuid){ 0 };
	}
}
