/* SPDX-License-Identifier: GPL-2.0 */
/* The virtual machine control structure (SDM vol. 3, chapter 25, appendix B) and exit reasons (appendix C). */
#ifndef VMX_VMCS_H
#define VMX_VMCS_H

#include <stdint.h>

/* Appendix B. 64-bit fields are written whole. */
enum vmcs_field {
	VMCS_VPID = 0x0000,

	VMCS_GUEST_ES_SELECTOR = 0x0800,	/* and on, in steps of 2: CS, SS, DS, FS, GS, LDTR, TR */

	VMCS_HOST_ES_SELECTOR = 0x0c00,
	VMCS_HOST_CS_SELECTOR = 0x0c02,
	VMCS_HOST_SS_SELECTOR = 0x0c04,
	VMCS_HOST_DS_SELECTOR = 0x0c06,
	VMCS_HOST_FS_SELECTOR = 0x0c08,
	VMCS_HOST_GS_SELECTOR = 0x0c0a,
	VMCS_HOST_TR_SELECTOR = 0x0c0c,

	VMCS_MSR_BITMAP = 0x2004,
	VMCS_TSC_OFFSET = 0x2010,
	VMCS_VIRTUAL_APIC = 0x2012,
	VMCS_EPT_POINTER = 0x201a,
	VMCS_XSS_EXITING = 0x202c,

	VMCS_GUEST_PHYSICAL_ADDRESS = 0x2400,

	VMCS_LINK_POINTER = 0x2800,
	VMCS_GUEST_DEBUGCTL = 0x2802,
	VMCS_GUEST_PAT = 0x2804,
	VMCS_GUEST_EFER = 0x2806,
	VMCS_GUEST_PDPTE0 = 0x280a,		/* and on, in steps of 2 */

	VMCS_HOST_PAT = 0x2c00,
	VMCS_HOST_EFER = 0x2c02,

	VMCS_PIN_CONTROLS = 0x4000,
	VMCS_PRIMARY_CONTROLS = 0x4002,
	VMCS_EXCEPTION_BITMAP = 0x4004,
	VMCS_PAGE_FAULT_MASK = 0x4006,
	VMCS_PAGE_FAULT_MATCH = 0x4008,
	VMCS_CR3_TARGETS = 0x400a,
	VMCS_EXIT_CONTROLS = 0x400c,
	VMCS_EXIT_MSR_STORES = 0x400e,
	VMCS_EXIT_MSR_LOADS = 0x4010,
	VMCS_ENTRY_CONTROLS = 0x4012,
	VMCS_ENTRY_MSR_LOADS = 0x4014,
	VMCS_ENTRY_EVENT = 0x4016,
	VMCS_ENTRY_ERROR_CODE = 0x4018,
	VMCS_TPR_THRESHOLD = 0x401c,
	VMCS_SECONDARY_CONTROLS = 0x401e,
	VMCS_PLE_GAP = 0x4020,
	VMCS_PLE_WINDOW = 0x4022,

	VMCS_INSTRUCTION_ERROR = 0x4400,
	VMCS_EXIT_REASON = 0x4402,
	VMCS_EXIT_EVENT = 0x4404,
	VMCS_EXIT_ERROR_CODE = 0x4406,
	VMCS_IDT_EVENT = 0x4408,
	VMCS_IDT_ERROR_CODE = 0x440a,
	VMCS_EXIT_LENGTH = 0x440c,
	VMCS_EXIT_INSTRUCTION = 0x440e,

	VMCS_GUEST_ES_LIMIT = 0x4800,
	VMCS_GUEST_GDTR_LIMIT = 0x4810,
	VMCS_GUEST_IDTR_LIMIT = 0x4812,
	VMCS_GUEST_ES_RIGHTS = 0x4814,
	VMCS_GUEST_SS_RIGHTS = 0x4818,
	VMCS_GUEST_INTERRUPTIBILITY = 0x4824,
	VMCS_GUEST_ACTIVITY = 0x4826,
	VMCS_GUEST_SYSENTER_CS = 0x482a,
	VMCS_PREEMPTION_TIMER = 0x482e,

	VMCS_HOST_SYSENTER_CS = 0x4c00,

	VMCS_CR0_MASK = 0x6000,
	VMCS_CR4_MASK = 0x6002,
	VMCS_CR0_SHADOW = 0x6004,
	VMCS_CR4_SHADOW = 0x6006,

	VMCS_EXIT_QUALIFICATION = 0x6400,

	VMCS_GUEST_CR0 = 0x6800,
	VMCS_GUEST_CR3 = 0x6802,
	VMCS_GUEST_CR4 = 0x6804,
	VMCS_GUEST_ES_BASE = 0x6806,
	VMCS_GUEST_GDTR_BASE = 0x6816,
	VMCS_GUEST_IDTR_BASE = 0x6818,
	VMCS_GUEST_DR7 = 0x681a,
	VMCS_GUEST_RSP = 0x681c,
	VMCS_GUEST_RIP = 0x681e,
	VMCS_GUEST_RFLAGS = 0x6820,
	VMCS_GUEST_PENDING_DEBUG = 0x6822,
	VMCS_GUEST_SYSENTER_ESP = 0x6824,
	VMCS_GUEST_SYSENTER_EIP = 0x6826,

	VMCS_HOST_CR0 = 0x6c00,
	VMCS_HOST_CR3 = 0x6c02,
	VMCS_HOST_CR4 = 0x6c04,
	VMCS_HOST_FS_BASE = 0x6c06,
	VMCS_HOST_GS_BASE = 0x6c08,
	VMCS_HOST_TR_BASE = 0x6c0a,
	VMCS_HOST_GDTR_BASE = 0x6c0c,
	VMCS_HOST_IDTR_BASE = 0x6c0e,
	VMCS_HOST_SYSENTER_ESP = 0x6c10,
	VMCS_HOST_SYSENTER_EIP = 0x6c12,
	VMCS_HOST_RSP = 0x6c14,			/* enter.asm */
	VMCS_HOST_RIP = 0x6c16,
};
#define VMCS_SEGMENT_STEP	2u		/* in the order of enum keel_segment */

#define VMCS_NO_LINK		UINT64_MAX

/* Pin-based controls (25.6.1). */
#define PIN_INTERRUPT		(1u << 0)
#define PIN_NMI			(1u << 3)
#define PIN_VIRTUAL_NMI		(1u << 5)
#define PIN_PREEMPTION_TIMER	(1u << 6)

/* Primary processor-based controls (25.6.2). */
#define PRIMARY_INTERRUPT_WINDOW (1u << 2)
#define PRIMARY_TSC_OFFSET	(1u << 3)
#define PRIMARY_HLT		(1u << 7)
#define PRIMARY_INVLPG		(1u << 9)
#define PRIMARY_MWAIT		(1u << 10)
#define PRIMARY_RDPMC		(1u << 11)
#define PRIMARY_CR3_LOAD	(1u << 15)
#define PRIMARY_CR3_STORE	(1u << 16)
#define PRIMARY_CR8_LOAD	(1u << 19)
#define PRIMARY_CR8_STORE	(1u << 20)
#define PRIMARY_TPR_SHADOW	(1u << 21)
#define PRIMARY_NMI_WINDOW	(1u << 22)
#define PRIMARY_MOV_DR		(1u << 23)
#define PRIMARY_IO		(1u << 24)
#define PRIMARY_MSR_BITMAP	(1u << 28)
#define PRIMARY_MONITOR		(1u << 29)
#define PRIMARY_SECONDARY	(1u << 31)

/* Secondary processor-based controls. */
#define SECONDARY_EPT		(1u << 1)
#define SECONDARY_RDTSCP	(1u << 3)
#define SECONDARY_VPID		(1u << 5)
#define SECONDARY_UNRESTRICTED	(1u << 7)
#define SECONDARY_PAUSE_LOOP	(1u << 10)
#define SECONDARY_INVPCID	(1u << 12)
#define SECONDARY_XSAVES	(1u << 20)
#define SECONDARY_USER_WAIT	(1u << 26)

/* VM-exit controls (25.7.1). */
#define EXIT_SAVE_DEBUG		(1u << 2)
#define EXIT_HOST_64		(1u << 9)
#define EXIT_SAVE_PAT		(1u << 18)
#define EXIT_LOAD_PAT		(1u << 19)
#define EXIT_SAVE_EFER		(1u << 20)
#define EXIT_LOAD_EFER		(1u << 21)

/* VM-entry controls (25.8.1). */
#define ENTRY_LOAD_DEBUG	(1u << 2)
#define ENTRY_LONG_MODE		(1u << 9)
#define ENTRY_LOAD_PAT		(1u << 14)
#define ENTRY_LOAD_EFER		(1u << 15)

/* Events: entry, exit and IDT-vectoring information (25.8.3, 25.9.2, 25.9.3). */
#define EVENT_VECTOR		0xffu
#define EVENT_TYPE		(7u << 8)
#define EVENT_INTERRUPT		(0u << 8)
#define EVENT_NMI		(2u << 8)
#define EVENT_EXCEPTION		(3u << 8)
#define EVENT_SOFTWARE_INT	(4u << 8)
#define EVENT_PRIVILEGED	(5u << 8)
#define EVENT_SOFTWARE		(6u << 8)
#define EVENT_ERROR_CODE	(1u << 11)
#define EVENT_NMI_UNBLOCKED	(1u << 12)	/* by IRET: exit information alone */
#define EVENT_VALID		(1u << 31)

/* Interruptibility state (25.4.2). */
#define SHADOW_STI		(1u << 0)
#define SHADOW_MOV_SS		(1u << 1)
#define SHADOW_NMI		(1u << 3)

/* Access rights of a segment (25.4.1). */
#define RIGHTS_TYPE_AND_P	0xffu
#define RIGHTS_P		(1u << 7)
#define RIGHTS_DPL_SHIFT	5
#define RIGHTS_DPL		3u
#define RIGHTS_HIGH		0xf000u		/* AVL, L, D/B, G: four bits higher than in struct keel_segment_register */
#define RIGHTS_HIGH_SHIFT	4
#define RIGHTS_UNUSABLE		(1u << 16)

enum vmx_exit_reason {
	VMX_EXIT_EXCEPTION = 0,
	VMX_EXIT_INTERRUPT = 1,
	VMX_EXIT_TRIPLE_FAULT = 2,
	VMX_EXIT_INIT = 3,
	VMX_EXIT_SIPI = 4,
	VMX_EXIT_INTERRUPT_WINDOW = 7,
	VMX_EXIT_NMI_WINDOW = 8,
	VMX_EXIT_CPUID = 10,
	VMX_EXIT_GETSEC = 11,
	VMX_EXIT_HLT = 12,
	VMX_EXIT_INVD = 13,
	VMX_EXIT_RDPMC = 15,
	VMX_EXIT_VMCALL = 18,
	VMX_EXIT_VMCLEAR = 19,
	VMX_EXIT_VMXON = 27,
	VMX_EXIT_CR = 28,
	VMX_EXIT_DR = 29,
	VMX_EXIT_IO = 30,
	VMX_EXIT_RDMSR = 31,
	VMX_EXIT_WRMSR = 32,
	VMX_EXIT_BAD_STATE = 33,
	VMX_EXIT_BAD_MSR = 34,
	VMX_EXIT_MWAIT = 36,
	VMX_EXIT_MONITOR = 39,
	VMX_EXIT_PAUSE = 40,
	VMX_EXIT_ENTRY_MCE = 41,
	VMX_EXIT_TPR = 43,
	VMX_EXIT_EPT_VIOLATION = 48,
	VMX_EXIT_INVEPT = 50,
	VMX_EXIT_PREEMPTION_TIMER = 52,
	VMX_EXIT_INVVPID = 53,
	VMX_EXIT_XSETBV = 55,
	VMX_EXIT_VMFUNC = 59,
};
#define VMX_EXIT_REASON		0xffffu
#define VMX_EXIT_ENTRY_FAILED	(1u << 31)

/* Exit qualifications (28.2.1): control registers, I/O, EPT violations. */
#define QUAL_CR_NUMBER		0xfu
#define QUAL_CR_ACCESS_SHIFT	4
#define QUAL_CR_ACCESS		3u		/* 0: MOV to CR */
#define QUAL_CR_GPR_SHIFT	8
#define QUAL_CR_GPR		0xfu
#define QUAL_IO_SIZE		7u		/* bytes less one */
#define QUAL_IO_IN		(1u << 3)
#define QUAL_IO_STRING		(1u << 4)
#define QUAL_IO_REP		(1u << 5)
#define QUAL_IO_PORT_SHIFT	16
#define QUAL_EPT_WRITE		(1u << 1)
#define QUAL_EPT_FETCH		(1u << 2)
#define QUAL_EPT_LINEAR		(1u << 7)	/* the linear address is valid ... */
#define QUAL_EPT_TRANSLATED	(1u << 8)	/* ... and it was its translation, not a walk to it, that faulted */
#define QUAL_EPT_NMI_UNBLOCKED	(1u << 12)
#define QUAL_DB_BITS		0x600fu		/* B0-3, BD, BS: as in DR6 */

/* Instruction information of INS and OUTS (28.2.5). */
#define INSN_ADDRESS_SHIFT	7
#define INSN_ADDRESS		7u		/* 0: 16 bits, 1: 32, 2: 64 */
#define INSN_SEGMENT_SHIFT	15
#define INSN_SEGMENT		7u

/* EPT pointer (25.6.11). */
#define EPTP_WB			6u
#define EPTP_FOUR_LEVELS	(3u << 3)
#define EPTP_ACCESSED_DIRTY	(1u << 6)

/* Capabilities (appendix A). */
#define MSR_FEATURE_CONTROL	0x3au
#define FEATURE_CONTROL_LOCK	(1u << 0)
#define FEATURE_CONTROL_VMX_SMX	(1u << 1)
#define FEATURE_CONTROL_VMX	(1u << 2)
#define MSR_VMX_FIRST		0x480u
#define MSR_VMX_LAST		0x493u
#define MSR_VMX_BASIC		0x480u
#define VMX_BASIC_REVISION	0x7fffffffu
#define VMX_BASIC_INSN_INFO	(1ull << 54)
#define VMX_BASIC_TRUE		(1ull << 55)
#define MSR_VMX_MISC		0x485u
#define VMX_MISC_TIMER_SHIFT	0x1fu
#define MSR_VMX_CR0_FIXED0	0x486u
#define MSR_VMX_CR0_FIXED1	0x487u
#define MSR_VMX_CR4_FIXED0	0x488u
#define MSR_VMX_CR4_FIXED1	0x489u
#define MSR_VMX_SECONDARY	0x48bu
#define MSR_VMX_EPT_VPID	0x48cu
#define VMX_EPT_FOUR_LEVELS	(1ull << 6)
#define VMX_EPT_WB		(1ull << 14)
#define VMX_EPT_2M		(1ull << 16)
#define VMX_EPT_1G		(1ull << 17)
#define VMX_EPT_INVEPT		(1ull << 20)
#define VMX_EPT_ACCESSED_DIRTY	(1ull << 21)
#define VMX_EPT_INVEPT_SINGLE	(1ull << 25)
#define VMX_EPT_INVEPT_ALL	(1ull << 26)
#define VMX_VPID_INVVPID	(1ull << 32)
#define VMX_VPID_SINGLE		(1ull << 41)
#define VMX_VPID_ALL		(1ull << 42)

/* INVEPT and INVVPID (31.3). */
#define INVALIDATE_SINGLE	1u
#define INVALIDATE_ALL		2u

#endif
