// SPDX-License-Identifier: GPL-2.0
// AMD SVM: what exits are, as far as it is the same for all (APM vol. 2, appendix C). Those that say more are in svm.h.

#include "svm.h"

#include <keel/macros.h>

/* What is the same exit whoever runs, and the length of its instruction. */
void svm_plain_exit(const struct vmcb *vmcb, struct hv_exit *exit)
{
	static const struct {
		uint8_t reason;
		uint8_t length;
	} exits[] = {
		[SVM_EXIT_INTR] = { HV_EXIT_INTERRUPT, 0 },
		[SVM_EXIT_NMI] = { HV_EXIT_NMI, 0 },
		[SVM_EXIT_INIT] = { HV_EXIT_INIT, 0 },
		[SVM_EXIT_RDPMC] = { HV_EXIT_UNDEFINED, 0 },
		[SVM_EXIT_CPUID] = { HV_EXIT_CPUID, 2 },
		[SVM_EXIT_PAUSE] = { HV_EXIT_PAUSE, 2 },
		[SVM_EXIT_HLT] = { HV_EXIT_HLT, 1 },
		[SVM_EXIT_INVLPGA] = { HV_EXIT_UNDEFINED, 0 },
		[SVM_EXIT_MSR] = { HV_EXIT_RDMSR, 2 },
		[SVM_EXIT_SHUTDOWN] = { HV_EXIT_TRIPLE_FAULT, 0 },
		[SVM_EXIT_VMRUN] = { HV_EXIT_UNDEFINED, 0 },
		[SVM_EXIT_VMMCALL] = { HV_EXIT_HYPERCALL, 3 },
		[SVM_EXIT_VMLOAD ... SVM_EXIT_SKINIT] = { HV_EXIT_UNDEFINED, 0 },
		[SVM_EXIT_MONITOR ... SVM_EXIT_MWAIT_ARMED] = { HV_EXIT_UNDEFINED, 0 },
		[SVM_EXIT_XSETBV] = { HV_EXIT_XSETBV, 3 },
		[SVM_EXIT_RDPRU] = { HV_EXIT_UNDEFINED, 0 },
		[SVM_EXIT_INVLPGB ... SVM_EXIT_TLBSYNC] = { HV_EXIT_UNDEFINED, 0 },
	};
	uint32_t code = (uint32_t)vmcb->exit_code;

	exit->detail = vmcb->exit_code;
	/* These are traps: it has been written. */
	if (code >= SVM_EXIT_EFER_WRITTEN && code <= SVM_EXIT_CR_WRITTEN_LAST) {
		exit->reason = HV_EXIT_NONE;
		return;
	}
	if (code >= ARRAY_SIZE(exits) || !exits[code].reason) {
		exit->reason = code == UINT32_MAX ? HV_EXIT_ENTRY_FAILED : HV_EXIT_UNKNOWN;
		return;
	}
	exit->reason = code == SVM_EXIT_MSR && vmcb->exit_info1 ? HV_EXIT_WRMSR : exits[code].reason;
	exit->record->next_rip = svm_next_rip(vmcb, exits[code].length);
}
