/* SPDX-License-Identifier: GPL-2.0 */
/* What the processor's VMX can do, and what its refusals mean. No instruction of VMX is used here. */
#ifndef VMX_CAPS_H
#define VMX_CAPS_H

#include <stdbool.h>
#include <stdint.h>

/* The five groups of controls (SDM vol. 3, A.3 to A.5). */
enum vmx_control {
	VMX_PIN,
	VMX_PRIMARY,
	VMX_SECONDARY,
	VMX_EXIT,
	VMX_ENTRY,
	VMX_CONTROLS,
};

/* The MSR that tells of a group: the TRUE one where there is one, for it lets more bits be 0. */
uint32_t vmx_control_msr(enum vmx_control group, uint64_t basic);
/* Bits that must be 1 are added, bits that must be 0 drop out. */
uint32_t vmx_adjust(uint64_t capability, uint32_t want);
/* NULL: the group can do all that Keel needs, else what is missing. */
const char *vmx_missing(enum vmx_control group, uint64_t capability);
const char *vmx_ept_missing(uint64_t ept_vpid);
/* The firmware has locked IA32_FEATURE_CONTROL without VMX, or not; what Keel makes of it otherwise (24.7). */
const char *vmx_locked_off(uint64_t feature_control);
uint64_t vmx_switched_on(uint64_t feature_control);

/*
 * The detail of an entry that failed: the exit reason with the exit qualification above it, or, if the processor did not get
 * that far, the error's number.
 */
#define VMX_DETAIL_INSTRUCTION	(1ull << 32)
#define VMX_DETAIL_QUALIFICATION_SHIFT 40
const char *vmx_failure(uint64_t detail);

#endif
