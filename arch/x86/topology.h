/* SPDX-License-Identifier: GPL-2.0 */
/* What guests' CPUID says of sockets, cores and threads, and of who shares a cache. */
#ifndef ARCH_TOPOLOGY_H
#define ARCH_TOPOLOGY_H

#include <stdint.h>

#include "cpu.h"

struct vcpu;

/* Leaf 1: EBX's identifier and count of logical processors, EDX's HTT. The rest of both is 0. */
struct cpuid topology_leaf_1(const struct vcpu *vcpu);
/* Leaf 0x80000001: ECX's bits of AMD's that belong to the topology. */
uint32_t topology_amd_features(const struct vcpu *vcpu);
/* The highest extended leaf, where the topology needs more than 'least'. */
uint32_t topology_last_extended(const struct vcpu *vcpu, uint32_t least);
/* One of the leaves above; of CPUID_ADDRESS_SIZES it is ECX alone. */
struct cpuid topology_leaf(const struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf);

#endif
