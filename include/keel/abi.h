/* SPDX-License-Identifier: GPL-2.0 */
/* What every side of Keel agrees on: revision, limits, end reasons. */
#ifndef KEEL_ABI_H
#define KEEL_ABI_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

/* Changes with every incompatible change of a header in this folder; docs/abi.md keeps the log. */
#define KEEL_ABI_REVISION	5u

#define KEEL_PAGE_SHIFT		12
#define KEEL_PAGE_SIZE		4096ull
#define KEEL_MAX_VMS		64u	/* VM identifiers run from 1 to KEEL_MAX_VMS */
#define KEEL_MAX_VCPUS		64u	/* of one VM */
#define KEEL_APERTURES		8u	/* of one VM: channel pages that its guest has at an address */
#define KEEL_MAX_ORDER		18u	/* donated blocks: 2^order pages, order 0 to 18 (1 GiB) */
#define KEEL_TSC_KHZ_LEAST	100000u	/* frequencies of the TSC that guests can run with: 100 MHz to ... */
#define KEEL_TSC_KHZ_MOST	100000000u	/* ... 100 GHz */

/*
 * CPUID leaves of Keel, seen by the control domain alone.
 * KEEL_CPUID_BASE: EAX = highest leaf, EBX:ECX:EDX = KEEL_CPUID_SIGNATURE.
 * KEEL_CPUID_BASE + 1: EAX = KEEL_ABI_REVISION.
 * They are at KEEL_CPUID_SECOND as well, where they have to be looked for when another signature is at the first place.
 */
#define KEEL_CPUID_BASE		0x40000000u
#define KEEL_CPUID_SECOND	0x40000100u
#define KEEL_CPUID_SIGNATURE	"KeelKeelKeel"

/* Why a VM ended. Sticky: the first reason of a VM stays. */
enum keel_end {
	KEEL_END_NONE = 0,
	KEEL_END_POWEROFF,	/* the guest switched its machine off */
	KEEL_END_RESET,		/* the guest reset its machine */
	KEEL_END_TRIPLE_FAULT,	/* shutdown cycle of a vCPU: detail = its number, address = RIP. On a PC it resets the machine. */
	KEEL_END_CELL_FAULT,	/* the cell took an exception: detail = vector << 32 | error code, address = CR2 or RIP */
	KEEL_END_CELL_ANSWER,	/* the cell gave an answer that is not allowed */
	KEEL_END_CELL_REFUSED,	/* the cell gave up: detail = its own code */
	KEEL_END_ENTRY_FAILED,	/* the processor refused the guest's state: detail = vendor's code */
	KEEL_END_UNHANDLED,	/* an exit that Keel has no answer for: detail = vendor's exit code */
	KEEL_END_DESTROYED,	/* destroyed by its owner */
};

#endif
