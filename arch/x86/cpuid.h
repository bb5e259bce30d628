/* SPDX-License-Identifier: GPL-2.0 */
/* The CPUID of guests. */
#ifndef ARCH_CPUID_H
#define ARCH_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"

struct vcpu;

/* At boot, on the first CPU. */
void cpuid_init(void);
struct cpuid cpuid_guest(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf);
/* XCR0 bits that guests may set. */
uint64_t cpuid_guest_xcr0(void);
/* The width of their physical addresses. */
unsigned int cpuid_guest_address_bits(void);
/* Bytes of an XSAVE area of the standard form with all of them. */
uint32_t cpuid_guest_xstate_bytes(void);
/* CR4 bits of what is shown to guests. */
uint64_t cpuid_guest_cr4(void);
/* Whether TSC_AUX exists, by RDTSCP or RDPID. */
bool cpuid_guest_tsc_aux(void);

#endif
