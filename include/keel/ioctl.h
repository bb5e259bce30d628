/* SPDX-License-Identifier: GPL-2.0 */
/*
 * /dev/keel, its VM and vCPU file descriptors. Every structure has spare room that must be zero.
 *
 * A VM lives as long as its file descriptor and those of its vCPUs; the last close, by whatever cause, ends it and takes
 * every page back scrubbed. mmap(fd of the VM, offset 0, channel_bytes, MAP_SHARED) maps the channel.
 */
#ifndef KEEL_IOCTL_H
#define KEEL_IOCTL_H

#include "abi.h"
#ifdef __KERNEL__
#include <linux/ioctl.h>
#else
#include <sys/ioctl.h>
#endif

struct keel_info {
	uint32_t abi_revision;
	uint32_t vm_slots;		/* free */
	uint32_t cpus;			/* physical, as the hypervisor counts them */
	uint32_t max_vcpus;
	uint64_t tsc_khz;
	uint64_t pages_out;		/* pages that are donated or shared now, over all VMs */
	uint64_t control_exits;		/* exits of the control domain so far, but for CPUID and hypercalls */
	uint64_t dma_refused;		/* accesses of devices that were refused so far, as far as IOMMUs have told of them */
	uint32_t dma;			/* KEEL_DMA_* of hypercall.h */
	uint32_t spare;
	uint64_t reserved[1];
};

struct keel_log {
	uint64_t position;		/* in: where to read from; out: where to go on */
	uint64_t buffer;		/* user address */
	uint32_t bytes;			/* in: room; out: read */
	uint32_t reserved;
};

struct keel_vm_create {
	uint32_t vcpus;			/* 1 to KEEL_MAX_VCPUS */
	uint32_t flags;			/* 0 */
	uint64_t channel_bytes;		/* whole pages */
	uint32_t topology;		/* KEEL_TOPOLOGY of topology.h, or 0 */
	uint32_t spare;
	uint64_t reserved[3];
};

struct keel_vm_memory {
	uint64_t gpa;			/* where it begins; whole pages, both */
	uint64_t bytes;
	uint32_t flags;			/* KEEL_MAP_* of hypercall.h */
	uint32_t reserved;
};

struct keel_vm_status {
	uint32_t end;			/* enum keel_end */
	uint32_t reserved;
	uint64_t detail;		/* what these two are: enum keel_end */
	uint64_t address;
	uint64_t pages_4k;		/* blocks of guest memory, by their size */
	uint64_t pages_2m;
	uint64_t pages_1g;
	uint64_t spare[4];
};

/*
 * Which pages were written since the call before, by the guest or by its device model. All memory counts as written until a
 * first call with KEEL_DIRTY_SPLIT, which begins the log. When the call has returned, the pages that it reports can be
 * looked at: what is written from then on is the next call's. After an error, some of what the range's log held is lost, and
 * all its pages must be taken for written; the log goes on.
 */
struct keel_vm_dirty {
	uint64_t gpa;			/* where the range begins; multiples of KEEL_DIRTY_BYTES, both */
	uint64_t bytes;
	uint64_t bitmap;		/* user address of bytes / 4096 bits, in words of 64; aligned to 8 */
	uint32_t flags;			/* KEEL_DIRTY_* of hypercall.h */
	uint32_t reserved;
	uint64_t spare[2];
};

/* An aperture (cell.h): pages of the channel that the guest may see at an address which its device model chooses. */
struct keel_vm_aperture {
	uint32_t number;		/* of KEEL_APERTURES */
	uint32_t page;			/* the first one, of the channel's */
	uint32_t pages;			/* 0: none */
	uint32_t reserved;
	uint64_t spare[2];
};

#define KEEL_IOC		0xae
/* On /dev/keel. */
#define KEEL_GET_INFO		_IOR(KEEL_IOC, 0xe0, struct keel_info)
#define KEEL_READ_LOG		_IOWR(KEEL_IOC, 0xe1, struct keel_log)
#define KEEL_VM_CREATE		_IOW(KEEL_IOC, 0xe2, struct keel_vm_create)	/* returns the VM's fd, close-on-exec */
/* On a VM. */
#define KEEL_VM_MEMORY		_IOW(KEEL_IOC, 0xe3, struct keel_vm_memory)	/* before START; zeroed memory; -ENOMEM */
#define KEEL_VM_VCPU		_IO(KEEL_IOC, 0xe4)	/* arg = index; returns the vCPU's fd; all before START */
#define KEEL_VM_START		_IO(KEEL_IOC, 0xe5)
#define KEEL_VM_EVENT		_IO(KEEL_IOC, 0xe6)	/* the cell looks at the channel before this returns */
#define KEEL_VM_DOORBELL	_IO(KEEL_IOC, 0xe7)	/* arg = eventfd, signalled when the cell rings */
#define KEEL_VM_STATUS		_IOR(KEEL_IOC, 0xe8, struct keel_vm_status)
#define KEEL_VM_KILL		_IO(KEEL_IOC, 0xe9)	/* ends the VM; every KEEL_RUN returns */
#define KEEL_VM_DIRTY		_IOW(KEEL_IOC, 0xeb, struct keel_vm_dirty)	/* after START; errors as KEEL_HC_DIRTY */
#define KEEL_VM_APERTURE	_IOW(KEEL_IOC, 0xec, struct keel_vm_aperture)	/* before START */
/* On a vCPU. Returns 0 when the VM has ended, -EINTR on a signal, and never for another reason. */
#define KEEL_RUN		_IO(KEEL_IOC, 0xea)

#endif
