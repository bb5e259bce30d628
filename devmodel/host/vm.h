/* SPDX-License-Identifier: GPL-2.0 */
/* A VM as the driver gives it (keel/ioctl.h): descriptors, memory, the channel's mapping, a thread for each vCPU. */
#ifndef KEEL_VM_H
#define KEEL_VM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keel/channel.h>
#include <keel/ioctl.h>

#include "common/exit.h"

struct vm_vcpu {
	struct vm *vm;
	pthread_t thread;
	unsigned int index;
	int fd;
	int error;		/* why its thread gave up; 0: the VM ended */
	uint64_t cpu_ns;	/* processor time of its thread, which has ended; 0: it has not */
};

struct vm {
	int device;		/* /dev/keel, */
	int meminfo;		/* /proc/meminfo: the caller's */
	int fd;
	int doorbell;		/* eventfd: the cell rang */
	int ended;		/* eventfd: a vCPU's thread is done */
	struct keel_channel *channel;
	size_t channel_bytes;
	struct vm_vcpu vcpu[KEEL_MAX_VCPUS];
	unsigned int vcpus;	/* with a descriptor */
	unsigned int threads;	/* running, or not yet joined */
	uint64_t cpu_ns[KEEL_MAX_VCPUS];	/* processor time of the threads of VMs before this one */
};

struct vm_memory {
	uint64_t low;		/* bytes from 0 */
	uint64_t high;		/* bytes from 4 GiB */
	uint32_t firmware;	/* bytes below 4 GiB */
};

/*
 * Creates the VM up to its vCPUs and maps its channel, which is still empty. topology as keel/topology.h has it. On failure
 * nothing is left.
 */
bool vm_create(struct vm *vm, unsigned int vcpus, uint32_t topology, size_t channel_bytes,
	       const struct vm_memory *memory, struct failure *failure);
/* The channel is filled: starts the cell, then the vCPUs. */
bool vm_start(struct vm *vm, struct failure *failure);
/* The cell looks at the channel. */
void vm_event(struct vm *vm);
/*
 * Ends the VM and waits for its threads; *status says why it ended, a vCPU that could not run included
 * (ENDING_VCPU_FAILED). Descriptors and channel stay.
 */
void vm_stop(struct vm *vm, struct keel_vm_status *status);
void vm_destroy(struct vm *vm);
/*
 * Processor time of a vCPU's threads, those of VMs before included: of the guest, its cell and Keel, and of the driver's work for
 * them. It never falls.
 */
uint64_t vm_cpu_ns(const struct vm *vm, unsigned int vcpu);

#endif
