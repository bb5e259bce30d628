/* SPDX-License-Identifier: GPL-2.0 */
/* The virtual machine control block (APM vol. 2, appendix B) and exit codes (appendix C). */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include <stddef.h>
#include <stdint.h>

#include <keel/cell.h>

/* An exit's code is also the number of the intercept: index of the word * 32 + bit. */
enum svm_exit_code {
	SVM_EXIT_CR8_WRITE = 0x18, SVM_EXIT_DR_FIRST = 0x20, SVM_EXIT_DR_LAST = 0x3f, SVM_EXIT_EXCEPTION = 0x40,
	SVM_EXIT_INTR = 0x60, SVM_EXIT_NMI, SVM_EXIT_SMI, SVM_EXIT_INIT, SVM_EXIT_VINTR,
	SVM_EXIT_RDPMC = 0x6f, SVM_EXIT_CPUID = 0x72, SVM_EXIT_IRET = 0x74, SVM_EXIT_INVD = 0x76, SVM_EXIT_PAUSE, SVM_EXIT_HLT,
	SVM_EXIT_INVLPGA = 0x7a, SVM_EXIT_IOIO, SVM_EXIT_MSR, SVM_EXIT_SHUTDOWN = 0x7f,
	SVM_EXIT_VMRUN, SVM_EXIT_VMMCALL, SVM_EXIT_VMLOAD, SVM_EXIT_VMSAVE, SVM_EXIT_STGI, SVM_EXIT_CLGI, SVM_EXIT_SKINIT,
	SVM_EXIT_WBINVD = 0x89, SVM_EXIT_MONITOR, SVM_EXIT_MWAIT, SVM_EXIT_MWAIT_ARMED, SVM_EXIT_XSETBV, SVM_EXIT_RDPRU,
	SVM_EXIT_EFER_WRITTEN, SVM_EXIT_CR_WRITTEN_FIRST, SVM_EXIT_CR_WRITTEN_LAST = 0x9f,
	SVM_EXIT_INVLPGB, SVM_EXIT_INVLPGB_ILLEGAL, SVM_EXIT_INVPCID, SVM_EXIT_MCOMMIT, SVM_EXIT_TLBSYNC,
	SVM_EXIT_NPF = 0x400,
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

#define SVM_SHADOW		(1ull << 0)
#define SVM_SEGMENT_LONG	(1u << 9)	/* attributes of CS (4.8.1) */

#define SVM_TLB_KEEP		0u
#define SVM_TLB_FLUSH_ALL	1u
#define SVM_TLB_FLUSH_ASID	3u

#define SVM_NESTED_PAGING	(1ull << 0)

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

/* EXITINFO1 of a nested page fault (15.25.6). */
#define SVM_NPF_WRITE		(1ull << 1)
#define SVM_NPF_FETCH		(1ull << 4)
#define SVM_NPF_WALK		(1ull << 33)

#define SVM_SEGMENTS	6u

struct vmcb {
	uint32_t intercept[6];
	uint8_t reserved0[0x3c - 0x18];
	uint16_t pause_threshold, pause_count;
	uint64_t iopm, msrpm;
	uint64_t tsc_offset;
	uint32_t asid;
	uint8_t tlb_control, reserved1[3];
	uint64_t vintr;
	uint64_t shadow;
	uint64_t exit_code, exit_info1, exit_info2, exit_int_info;
	uint64_t nested;
	uint8_t reserved2[0xa8 - 0x98];
	uint64_t event;
	uint64_t nested_cr3;
	uint64_t lbr;
	uint32_t clean, reserved3;
	uint64_t next_rip;
	uint8_t insn_length, insn[15];
	uint8_t reserved4[0x400 - 0xe0];
	/* State save area. */
	struct keel_segment_register seg[SVM_SEGMENTS], gdtr, ldtr, idtr, tr;	/* seg: ES to GS, as in enum keel_segment */
	uint8_t reserved5[0x4cb - 0x4a0];
	uint8_t cpl;
	uint32_t reserved6;
	uint64_t efer;
	uint8_t reserved7[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved8[0x5d8 - 0x580];
	uint64_t rsp, s_cet, ssp, isst;
	uint64_t rax, star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, cr2;
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
