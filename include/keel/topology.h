/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a VM's vCPUs are spread over sockets, cores and threads, and the APIC identifiers that follow from it. Hypervisor,
 * cell and resource half reckon by these functions, so that CPUID, the local APICs and the firmware's tables agree.
 */
#ifndef KEEL_TOPOLOGY_H
#define KEEL_TOPOLOGY_H

#include "abi.h"

/*
 * One number: cores of a socket and threads of a core. There are as many sockets as the vCPUs fill; vCPU 0 is the first thread of
 * the first core, vCPU 1 its next thread. 0 is one socket with a core for each vCPU.
 */
#define KEEL_TOPOLOGY(cores, threads)	((uint32_t)(cores) << 8 | (threads))

struct keel_topology {
	uint32_t sockets;
	uint32_t cores;
	uint32_t threads;
};

/* Zeros if the number is none for so many vCPUs: sockets are full, and the threads of a core are a power of two. */
static inline struct keel_topology keel_topology(uint32_t packed, uint32_t vcpus)
{
	uint32_t cores = packed ? packed >> 8 : vcpus, threads = packed ? packed & 0xff : 1;
	struct keel_topology none = { 0, 0, 0 }, t;

	if (cores == 0 || cores > KEEL_MAX_VCPUS || threads == 0 || threads > KEEL_MAX_VCPUS ||
	    (threads & (threads - 1)) != 0 || vcpus == 0 || vcpus > KEEL_MAX_VCPUS || vcpus % (cores * threads) != 0)
		return none;
	t.sockets = vcpus / (cores * threads);
	t.cores = cores;
	t.threads = threads;
	return t;
}

/* Bits that tell so many apart. */
static inline uint32_t keel_topology_bits(uint32_t count)
{
	uint32_t bits = 0;

	while (1u << bits < count)
		bits++;
	return bits;
}

/* Bits of an APIC identifier below the socket's number (SDM vol. 3, 9.9.1). */
static inline uint32_t keel_topology_socket_shift(const struct keel_topology *t)
{
	return keel_topology_bits(t->threads) + keel_topology_bits(t->cores);
}

static inline uint32_t keel_topology_apic_id(const struct keel_topology *t, uint32_t vcpu)
{
	uint32_t thread = vcpu % t->threads, core = vcpu / t->threads % t->cores, socket = vcpu / (t->threads * t->cores);

	return socket << keel_topology_socket_shift(t) | core << keel_topology_bits(t->threads) | thread;
}

#endif
