// SPDX-License-Identifier: GPL-2.0
// Intel VMX: capabilities and error texts (SDM vol. 3, appendix A; 31.4; 27.8).

#include "vmx_caps.h"

#include <stddef.h>

#include <keel/macros.h>
#include <x86/msr.h>

#include "vmcs.h"

/* What Keel cannot do without, and bits it cannot live with where the processor insists on them. */
static const struct {
	uint32_t msr;
	uint32_t true_msr;
	uint32_t need;
	uint32_t refuse;
	const char *missing;
} groups[VMX_CONTROLS] = {
	[VMX_PIN] = {
		.msr = MSR_VMX_PIN,
		.true_msr = MSR_VMX_TRUE_PIN,
		.need = PIN_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI,
		.missing = "this processor's VMX lacks virtual NMIs, which Keel needs. Use a newer processor.",
	},
	[VMX_PRIMARY] = {
		.msr = MSR_VMX_PRIMARY,
		.true_msr = MSR_VMX_TRUE_PRIMARY,
		.need = PRIMARY_INTERRUPT_WINDOW | PRIMARY_TSC_OFFSET | PRIMARY_HLT | PRIMARY_MWAIT | PRIMARY_RDPMC |
			PRIMARY_TPR_SHADOW | PRIMARY_NMI_WINDOW | PRIMARY_MOV_DR | PRIMARY_IO | PRIMARY_MSR_BITMAP |
			PRIMARY_MONITOR | PRIMARY_SECONDARY,
		.refuse = PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE | PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE | PRIMARY_INVLPG,
		.missing = "this processor's VMX lacks execution controls that Keel needs. Use a newer processor.",
	},
	[VMX_SECONDARY] = {
		.msr = MSR_VMX_SECONDARY,
		.true_msr = MSR_VMX_SECONDARY,
		.need = SECONDARY_EPT | SECONDARY_UNRESTRICTED,
		.missing = "this processor has VMX without EPT and unrestricted guests, which Keel needs. Use a newer processor.",
	},
	[VMX_EXIT] = {
		.msr = MSR_VMX_EXIT,
		.true_msr = MSR_VMX_TRUE_EXIT,
		.need = EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER,
		.missing = "this processor's VMX does not switch PAT and EFER, which Keel needs. Use a newer processor.",
	},
	[VMX_ENTRY] = {
		.msr = MSR_VMX_ENTRY,
		.true_msr = MSR_VMX_TRUE_ENTRY,
		.need = ENTRY_LOAD_DEBUG | ENTRY_LONG_MODE | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER,
		.missing = "this processor's VMX does not switch PAT and EFER, which Keel needs. Use a newer processor.",
	},
};

/* SDM vol. 3, table 31-1, without what belongs to system-management mode. */
static const char *const instruction_errors[] = {
	[1] = "VMCALL in VMX root operation",
	[2] = "VMCLEAR with invalid physical address",
	[3] = "VMCLEAR with VMXON pointer",
	[4] = "VMLAUNCH with non-clear VMCS",
	[5] = "VMRESUME with non-launched VMCS",
	[6] = "VMRESUME after VMXOFF",
	[7] = "VM entry with invalid control fields",
	[8] = "VM entry with invalid host-state fields",
	[9] = "VMPTRLD with invalid physical address",
	[11] = "VMPTRLD with incorrect VMCS revision",
	[12] = "VMREAD or VMWRITE of an unsupported VMCS field",
	[13] = "VMWRITE to a read-only VMCS field",
	[15] = "VMXON in VMX root operation",
	[26] = "VM entry with events blocked by MOV SS",
	[28] = "invalid operand to INVEPT or INVVPID",
};

/* Exit qualifications of invalid guest state (27.8). */
static const char *const bad_states[] = {
	[0] = "VM entry with invalid guest state",
	[2] = "VM entry with invalid page-directory-pointer-table entries",
	[3] = "VM entry with an NMI in the shadow of STI or MOV SS",
	[4] = "VM entry with an invalid VMCS link pointer",
};

uint32_t vmx_control_msr(enum vmx_control group, uint64_t basic)
{
	return basic & VMX_BASIC_TRUE ? groups[group].true_msr : groups[group].msr;
}

uint32_t vmx_adjust(uint64_t capability, uint32_t want)
{
	return (want | (uint32_t)capability) & (uint32_t)(capability >> 32);
}

const char *vmx_missing(enum vmx_control group, uint64_t capability)
{
	uint32_t need = groups[group].need, forced = vmx_adjust(capability, 0);

	return (vmx_adjust(capability, need) & need) == need && !(forced & groups[group].refuse) ? NULL :
										    groups[group].missing;
}

const char *vmx_ept_missing(uint64_t ept_vpid)
{
	const uint64_t need = VMX_EPT_FOUR_LEVELS | VMX_EPT_WB | VMX_EPT_2M | VMX_EPT_INVEPT;

	return (ept_vpid & need) == need && ept_vpid & (VMX_EPT_INVEPT_SINGLE | VMX_EPT_INVEPT_ALL) ? NULL :
	       "this processor's EPT lacks write-back tables of four levels with 2 MiB pages. Use a newer processor.";
}

const char *vmx_locked_off(uint64_t feature_control)
{
	return feature_control & FEATURE_CONTROL_LOCK && !(feature_control & FEATURE_CONTROL_VMX) ?
	       "VMX (VT-x) is disabled by the firmware. Switch VT-x on in the firmware setup and power-cycle the machine." :
	       NULL;
}

/* A write under the lock is a fault. */
uint64_t vmx_switched_on(uint64_t feature_control)
{
	return feature_control & FEATURE_CONTROL_LOCK ? feature_control :
							feature_control | FEATURE_CONTROL_VMX | FEATURE_CONTROL_LOCK;
}

const char *vmx_failure(uint64_t detail)
{
	const size_t count = ARRAY_SIZE(instruction_errors);
	const size_t states = ARRAY_SIZE(bad_states);
	uint32_t code = (uint32_t)detail, reason = code & VMX_EXIT_REASON;
	uint64_t qualification = detail >> VMX_DETAIL_QUALIFICATION_SHIFT;

	if (detail & VMX_DETAIL_INSTRUCTION)
		return code < count && instruction_errors[code] ? instruction_errors[code] : "no current VMCS";
	if (reason == VMX_EXIT_BAD_STATE)
		return bad_states[qualification < states && bad_states[qualification] ? qualification : 0];
	return reason == VMX_EXIT_BAD_MSR ? "VM entry could not load an MSR" :
	       reason == VMX_EXIT_ENTRY_MCE ? "machine check during VM entry" :
					      "VM entry failed for an unknown reason";
}
