/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Hypercalls of the control domain: VMMCALL or VMCALL from its ring 0, in 64-bit mode.
 *
 * RAX = number, arguments in RDI, RSI, RDX, R10, R8. The result is in RAX: zero or more, or a negative
 * errno (Linux values). Further results in RDI, RSI, RDX, R8. All other registers are kept.
 * A call that fails has changed nothing. From any other ring a call raises #UD.
 */
#ifndef KEEL_HYPERCALL_H
#define KEEL_HYPERCALL_H

#include "abi.h"

enum keel_hypercall {
	/*
	 * () -> RAX = ABI revision, RDI = pages of the cell image, RSI = physical CPUs that run, RDX = free VM slots,
	 * R8 = exits of the control domain so far, over all CPUs, but for CPUID and hypercalls.
	 */
	KEEL_HC_INFO = 0,

	/*
	 * (pos) -> RAX = number of bytes (0 to 24), RDI, RSI, RDX = the bytes, R8 = next position.
	 * Reads the log. A position that the ring has overwritten moves on to the oldest byte kept.
	 */
	KEEL_HC_LOG,

	/*
	 * (hpa, vcpus, channel_pages, topology) -> RAX = VM identifier. topology: KEEL_TOPOLOGY of topology.h, or 0.
	 * hpa: KEEL_VM_PAGES contiguous pages, which change hands as by DONATE and become the VM's record. The record
	 * is filled by the first ASSIGN, MAP or SHARE, which is when the pages are known to be out of every TLB.
	 * -EINVAL bad argument, -EPERM frames that are not the control domain's, or no ATTACH before, -ENOSPC no VM slot.
	 */
	KEEL_HC_VM_CREATE,

	/*
	 * (vm, hpa, order): the block leaves the control domain. hpa is aligned to the block.
	 * The block cannot be put to use before every CPU has executed FLUSH after this call.
	 * -EPERM a frame of the block is not the control domain's plain memory, -ESHUTDOWN the VM is dying.
	 */
	KEEL_HC_DONATE,

	/* (): empties this CPU's TLB of the control domain's translations. */
	KEEL_HC_FLUSH,

	/*
	 * (vm, hpa, order, use, arg): puts donated pages to a use of the hypervisor, which clears them first. order <= 9.
	 * use KEEL_USE_TABLE: page tables of the VM; arg ignored.
	 * use KEEL_USE_CELL: arg = virtual address in the cell: image or stack.
	 * use KEEL_USE_VCPU: arg = index of the vCPU; order = KEEL_VCPU_ORDER.
	 * -EAGAIN: some CPU has not flushed since the donation; -EPERM: not this VM's or already in use;
	 * -ENOMEM: the VM has too few table pages; give it more and call again. -EBUSY: the place is taken.
	 */
	KEEL_HC_ASSIGN,

	/*
	 * (vm, hpa, order, gpa, flags): maps donated pages, contents kept, as guest memory at gpa (aligned to the block).
	 * flags: KEEL_MAP_*. Errors as ASSIGN.
	 */
	KEEL_HC_MAP,

	/*
	 * (vm, hpa, order, index): the block becomes pages index.. of the channel; it stays mapped in the
	 * control domain and cannot be donated meanwhile. Errors as ASSIGN, but for -EAGAIN.
	 */
	KEEL_HC_SHARE,

	/*
	 * (vm, tsc_khz): the machine is complete: image, stacks, channel and all vCPUs are there. tsc_khz: the frequency of the
	 * TSC, KEEL_TSC_KHZ_LEAST to _MOST, which guests are told. -EINVAL if something is missing or the frequency is none.
	 */
	KEEL_HC_START,

	/*
	 * (vm, vcpu, armed) -> RAX = flags KEEL_RUN_*, RDI = deadline, RSI = vCPUs to kick (bit mask).
	 * armed: the deadline that the caller has a timer for. Deadlines are of the host's TSC; all ones: none.
	 * Runs a vCPU until the control domain is needed. Needs RFLAGS.IF = 1 (-EINVAL otherwise).
	 * -EBUSY the vCPU runs elsewhere, -ESHUTDOWN the VM has ended.
	 */
	KEEL_HC_RUN,

	/* (vm) -> as RUN: lets the cell look at the channel, on the VM's event context. */
	KEEL_HC_EVENT,

	/* (vm) -> RAX = enum keel_end, RDI = detail, RSI = address. */
	KEEL_HC_STATUS,

	/* (vm): no entry from now on. -EBUSY while a context runs: kick it and call again. */
	KEEL_HC_KILL,

	/*
	 * (vm, hpa, order): scrubs a block of a killed VM and gives it back; order <= 9. A part of a donated block will do.
	 * The record of the VM comes last. -EBUSY: the VM is not killed, or frames other than the record are still out.
	 */
	KEEL_HC_RECLAIM,

	/*
	 * (address): the caller's kernel makes the VMs from now on. address: linear address, aligned, of a struct
	 * keel_identity in its memory, which stays there as long as that kernel runs. VMs of another kernel, which is
	 * gone, end. Must come before VM_CREATE. -EAGAIN: memory of theirs is still to be scrubbed and given back:
	 * call again. -EINVAL: bad address.
	 */
	KEEL_HC_ATTACH,

	/*
	 * (vm, gpa, flags) -> RDI, RSI, RDX, R8: a bit for each of the KEEL_DIRTY_PAGES pages from gpa on (a multiple of as
	 * many): it was written, by the guest or by its cell, since the call before. All memory counts as written at the
	 * start; where there is none the bit is 0. What is written through a translation that a CPU still has from before
	 * this call is not reported again: it belongs to what this call reports until every CPU has taken an interrupt.
	 * KEEL_DIRTY_SPLIT: first splits what is mapped there in blocks of more than a page.
	 * -EBUSY: something is, and was not split; -ENOMEM: too few table pages, as for ASSIGN; -EINVAL the VM is not started,
	 * -ESHUTDOWN it is killed; -EOPNOTSUPP: this processor does not keep track of writes.
	 */
	KEEL_HC_DIRTY,

	/*
	 * () -> RAX = KEEL_DMA_*, RDI = accesses of devices that were refused so far, as far as IOMMUs have told of them.
	 */
	KEEL_HC_DMA,

	/*
	 * (vm, aperture, page, pages): the cell may map these pages of the channel, and no others, in its guest by this aperture
	 * (cell.h), of KEEL_APERTURES. It replaces what an earlier call said of it; 0 pages: there is none.
	 * -EINVAL: no such aperture, or not of the channel; -EBUSY the VM is started; -ESHUTDOWN it is killed. START wants table
	 * pages for all that the cell may then do.
	 */
	KEEL_HC_APERTURE,
	KEEL_HC_COUNT,
};

/* Random bits, made anew whenever a driver is loaded; not 0. Keel takes a kernel for gone when they are not there any more. */
struct keel_identity {
	uint64_t words[2];
};

#define KEEL_VM_PAGES		2u	/* pages of a VM's record; aligned to their size */
#define KEEL_VCPU_ORDER		3u	/* a vCPU: 8 pages */

enum keel_use {
	KEEL_USE_TABLE = 1,
	KEEL_USE_CELL,
	KEEL_USE_VCPU,
};

#define KEEL_MAP_READONLY	1u	/* guest writes reach the cell as MMIO */

#define KEEL_DIRTY_PAGES	256u
#define KEEL_DIRTY_BYTES	(KEEL_DIRTY_PAGES * KEEL_PAGE_SIZE)
#define KEEL_DIRTY_SPLIT	1u	/* the log begins */

#define KEEL_DMA_PROTECTED	1u	/* no device of the control domain reaches what is not the control domain's */

/* Flags of RUN and EVENT; several may be set. None but INTERRUPT and BUSY: run again whenever convenient. */
#define KEEL_RUN_INTERRUPT	(1u << 0)	/* a physical interrupt, or a long stay: run again */
#define KEEL_RUN_WAIT		(1u << 1)	/* halted: run again after a kick or at the deadline */
#define KEEL_RUN_DOORBELL	(1u << 2)	/* wake the resource half */
#define KEEL_RUN_KICK		(1u << 3)	/* RSI: vCPUs that must come round to their cell */
#define KEEL_RUN_DEADLINE	(1u << 4)	/* RDI is not what the caller has a timer for */
#define KEEL_RUN_BUSY		(1u << 5)	/* another context is in the cell: yield and run again */
#define KEEL_RUN_ENDED		(1u << 6)	/* the VM has ended: STATUS tells why */
#define KEEL_RUN_YIELD		(1u << 7)	/* the guest spins (PAUSE): let another thread run, then run again */
#define KEEL_RUN_DONE		(1u << 8)	/* EVENT only: the event was taken */

#endif
