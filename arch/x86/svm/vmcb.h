/* SPDX-License-Identifier: GPL-2.0 */
/* The virtual machine control block (APM vol. 2, appendix B) and exit codes (appendix C). */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include <stddef.h>
#include <stdint.h>

#include <keel/cell.h>

/* Appendix C. An exit's code is also the number of the intercept: index of the word * 32 + bit. */
enum svm_exit_code {
	SVM_EXIT_CR4_WRITE		= 0x14,
	SVM_EXIT_CR8_WRITE		= 0x18,
	SVM_EXIT_DR_FIRST		= 0x20,
	SVM_EXIT_DR_LAST		= 0x3f,
	SVM_EXIT_EXCEPTION		= 0x40,
	SVM_EXIT_INTR			= 0x60,
	SVM_EXIT_NMI			= 0x61,
	SVM_EXIT_SMI			= 0x62,
	SVM_EXIT_INIT			= 0x63,
	SVM_EXIT_VINTR			= 0x64,
	SVM_EXIT_RDPMC			= 0x6f,
	SVM_EXIT_CPUID			= 0x72,
	SVM_EXIT_IRET			= 0x74,
	SVM_EXIT_INVD			= 0x76,
	SVM_EXIT_PAUSE			= 0x77,
	SVM_EXIT_HLT			= 0x78,
	SVM_EXIT_INVLPGA		= 0x7a,
	SVM_EXIT_IOIO			= 0x7b,
	SVM_EXIT_MSR			= 0x7c,
	SVM_EXIT_SHUTDOWN		= 0x7f,
	SVM_EXIT_VMRUN			= 0x80,
	SVM_EXIT_VMMCALL		= 0x81,
	SVM_EXIT_VMLOAD			= 0x82,
	SVM_EXIT_VMSAVE			= 0x83,
	SVM_EXIT_STGI			= 0x84,
	SVM_EXIT_CLGI			= 0x85,
	SVM_EXIT_SKINIT			= 0x86,
	SVM_EXIT_WBINVD			= 0x89,
	SVM_EXIT_MONITOR		= 0x8a,
	SVM_EXIT_MWAIT			= 0x8b,
	SVM_EXIT_MWAIT_ARMED		= 0x8c,
	SVM_EXIT_XSETBV			= 0x8d,
	SVM_EXIT_RDPRU			= 0x8e,
	SVM_EXIT_EFER_WRITTEN		= 0x8f,
	SVM_EXIT_CR_WRITTEN_FIRST	= 0x90,
	SVM_EXIT_CR_WRITTEN_LAST	= 0x9f,
	SVM_EXIT_INVLPGB		= 0xa0,
	SVM_EXIT_INVLPGB_ILLEGAL	= 0xa1,
	SVM_EXIT_INVPCID		= 0xa2,
	SVM_EXIT_MCOMMIT		= 0xa3,
	SVM_EXIT_TLBSYNC		= 0xa4,
	SVM_EXIT_NPF			= 0x400,
};

/* EVENTINJ and EXITINTINFO (15.20). */
#define SVM_EVENT_VECTOR	0xffull
#define SVM_EVENT_TYPE		(7ull << 8)
#define SVM_EVENT_INTERRUPT	(0ull << 8)
#define SVM_EVENT_NMI		(2ull << 8)
#define SVM_EVENT_EXCEPTION	(3ull << 8)
#define SVM_EVENT_SOFTWARE	(4ull << 8)
#define SVM_EVENT_ERROR_CODE	(1ull << 11)
#define SVM_EVENT_VALID		(1ull << 31)
#define SVM_EVENT_ERROR_SHIFT	32

/* Virtual interrupt control, offset 0x60. */
#define SVM_VINTR_TPR		0xfull
#define SVM_VINTR_IRQ		(1ull << 8)
#define SVM_VINTR_PRIORITY_SHIFT 16
#define SVM_VINTR_PRIORITY	(0xfull << 16)
#define SVM_VINTR_IGNORE_TPR	(1ull << 20)
#define SVM_VINTR_MASKING	(1ull << 24)
#define SVM_VINTR_VECTOR_SHIFT	32
#define SVM_VINTR_VECTOR	(0xffull << 32)
#define SVM_VINTR_REQUEST	(SVM_VINTR_IRQ | SVM_VINTR_PRIORITY | SVM_VINTR_IGNORE_TPR | SVM_VINTR_VECTOR)

#define SVM_SHADOW		(1ull << 0)	/* interrupt shadow (15.21.5) */
#define SVM_SEGMENT_LONG	(1u << 9)	/* attributes of CS (4.8.1) */

/* TLB_CONTROL (15.16.2). */
#define SVM_TLB_KEEP		0u
#define SVM_TLB_FLUSH_ALL	1u
#define SVM_TLB_FLUSH_ASID	3u

#define SVM_NESTED_PAGING	(1ull << 0)	/* NP_ENABLE (15.25.3) */

/* EXITINFO1 of an I/O exit (15.10.2). */
#define SVM_IO_IN		(1u << 0)
#define SVM_IO_STRING		(1u << 2)
#define SVM_IO_REP		(1u << 3)
#define SVM_IO_SIZE_SHIFT	4
#define SVM_IO_SIZE		(7u << 4)
#define SVM_IO_ADDRESS_SHIFT	7
#define SVM_IO_ADDRESS		(7u << 7)
#define SVM_IO_SEGMENT_SHIFT	10
#define SVM_IO_SEGMENT		(7u << 10)
#define SVM_IO_PORT_SHIFT	16

#define SVM_CR_GPR		0xfull		/* EXITINFO1 of a MOV to or from CRx, with decode assists (15.8.1) */

/* EXITINFO1 of a nested page fault (15.25.6). */
#define SVM_NPF_WRITE		(1ull << 1)
#define SVM_NPF_FETCH		(1ull << 4)
#define SVM_NPF_WALK		(1ull << 33)

#define SVM_SEGMENTS	6u

struct vmcb {
	uint32_t intercept[6];
	uint8_t reserved0[0x3c - 0x18];
	uint16_t pause_threshold;
	uint16_t pause_count;
	uint64_t iopm;
	uint64_t msrpm;
	uint64_t tsc_offset;
	uint32_t asid;
	uint8_t tlb_control;
	uint8_t reserved1[3];
	uint64_t vintr;
	uint64_t shadow;
	uint64_t exit_code;
	uint64_t exit_info1;
	uint64_t exit_info2;
	uint64_t exit_int_info;
	uint64_t nested;
	uint8_t reserved2[0xa8 - 0x98];
	uint64_t event;
	uint64_t nested_cr3;
	uint64_t lbr;
	uint32_t clean;
	uint32_t reserved3;
	uint64_t next_rip;
	uint8_t insn_length;
	uint8_t insn[15];
	uint8_t reserved4[0x400 - 0xe0];
	/* State save area. */
	struct keel_segment_register seg[SVM_SEGMENTS];		/* ES to GS, as in enum keel_segment */
	struct keel_segment_register gdtr;
	struct keel_segment_register ldtr;
	struct keel_segment_register idtr;
	struct keel_segment_register tr;
	uint8_t reserved5[0x4cb - 0x4a0];
	uint8_t cpl;
	uint32_t reserved6;
	uint64_t efer;
	uint8_t reserved7[0x548 - 0x4d8];
	uint64_t cr4;
	uint64_t cr3;
	uint64_t cr0;
	uint64_t dr7;
	uint64_t dr6;
	uint64_t rflags;
	uint64_t rip;
	uint8_t reserved8[0x5d8 - 0x580];
	uint64_t rsp;
	uint64_t s_cet;
	uint64_t ssp;
	uint64_t isst;
	uint64_t rax;
	uint64_t star;
	uint64_t lstar;
	uint64_t cstar;
	uint64_t sfmask;
	uint64_t kernel_gs_base;
	uint64_t sysenter_cs;
	uint64_t sysenter_esp;
	uint64_t sysenter_eip;
	uint64_t cr2;
	uint8_t reserved9[0x668 - 0x648];
	uint64_t pat;
	uint8_t reserved10[0x1000 - 0x670];
} __attribute__((packed, aligned(4096)));

_Static_assert(offsetof(struct vmcb, iopm) == 0x40, "VMCB");
_Static_assert(offsetof(struct vmcb, nested) == 0x90, "VMCB");
_Static_assert(offsetof(struct vmcb, event) == 0xa8, "VMCB");
_Static_assert(offsetof(struct vmcb, insn_length) == 0xd0, "VMCB");
_Static_assert(offsetof(struct vmcb, cpl) == 0x4cb, "VMCB");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "VMCB");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "VMCB");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "VMCB");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "VMCB");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "VMCB");
_Static_assert(offsetof(struct vmcb, pat) == 0x668, "VMCB");
_Static_assert(sizeof(struct vmcb) == 4096, "VMCB");

#endif
