/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The contract between the hypervisor and a cell, the register half of a guest's device model.
 *
 * A cell is entered at its image's entry point, in ring 3 and 64-bit mode, on the stack of its context, with
 * RDI = address of the context's page (struct keel_context). It answers by KEEL_CELL_GATE and keeps nothing on its stack:
 * the next entry starts afresh. There is one context for each vCPU and one for events; the hypervisor lets
 * one context at a time into a cell, so a cell needs no locks. A context may be interrupted at any
 * instruction and goes on later, perhaps on another CPU. SSE and x87 are out of bounds (#NM).
 * RDTSC is native and counts the host's TSC. An exception ends the VM.
 */
#ifndef KEEL_CELL_H
#define KEEL_CELL_H

#include "abi.h"

#define KEEL_CELL_GATE		31		/* INT 31 answers */

/* Virtual addresses in a cell. What is not listed is not mapped. */
#define KEEL_CELL_IMAGE		0x400000ull	/* flat image, first struct keel_cell_header */
#define KEEL_CELL_IMAGE_MAX	0x200000ull
#define KEEL_CELL_STACKS	0x800000ull	/* context i: KEEL_CELL_STACK_PAGES that end at STACKS + (i + 1) * STRIDE */
#define KEEL_CELL_STACK_PAGES	4u
#define KEEL_CELL_STACK_STRIDE	0x8000ull	/* the rest of the stride is a guard */
#define KEEL_CELL_CONTEXTS	0x1000000ull	/* context i: one page, struct keel_context */
#define KEEL_CELL_APICS		0x1080000ull	/* vCPU i: one page, its APIC page */
#define KEEL_CELL_CHANNEL	0x40000000ull	/* struct keel_channel; shared with the resource half */
#define KEEL_CELL_CHANNEL_MAX	0x10000000ull
#define KEEL_CELL_GUEST		0x1000000000ull	/* guest-physical address 0 */
#define KEEL_CELL_GUEST_MAX	0x10000000000ull	/* 1 TiB */

#define KEEL_CELL_MAGIC		0x6c6c65634c45454bull	/* "KEELcell" */

/* First bytes of the image. Sections are whole pages, in this order; the hypervisor maps them R-X, R--, RW-. */
struct keel_cell_header {
	uint64_t magic;
	uint64_t entry;		/* virtual address */
	uint32_t text_pages;	/* this header included */
	uint32_t rodata_pages;
	uint32_t data_pages;	/* in the flat file */
	uint32_t bss_pages;	/* after it; zero */
};

/* Context numbers: vCPU i is i. */
#define KEEL_CONTEXT_EVENT	KEEL_MAX_VCPUS

/* Why the cell was entered. */
enum keel_exit_kind {
	/* No exit. The vCPU is about to enter the guest and was kicked, reached its deadline, or runs for the first time. */
	KEEL_EXIT_POLL = 0,
	KEEL_EXIT_IO,		/* IN, OUT, INS, OUTS */
	KEEL_EXIT_MMIO,		/* access to an address without memory, or a write to read-only memory */
	KEEL_EXIT_HLT,
	KEEL_EXIT_RDMSR,	/* the MSRs that belong to the device model: local APIC, and KEEL_MSR_* */
	KEEL_EXIT_WRMSR,
	KEEL_EXIT_WINDOW,	/* the guest can take an interrupt now; asked for by KEEL_ANSWER_WINDOW */
	KEEL_EXIT_TPR,		/* the guest wrote CR8 while the answer's tpr_threshold asked for a notice, or KEEL_EXIT_F_CR8 */
	KEEL_EXIT_EVENT,	/* event context only: look at the channel */
	KEEL_EXIT_EOI,		/* the guest has ended the interrupt of a vector whose bit is set in the APIC page's TMR */
	KEEL_EXIT_APIC_WRITE,	/* the guest's value is in the APIC page's register; the instruction is done */
	/*
	 * A hardware task switch (SDM vol. 3, chapter 8) that has not been carried out, always with sregs. The device model does
	 * it: KEEL_ANSWER_SREGS, or an exception in the old task. Only where the processor does not do it by itself.
	 */
	KEEL_EXIT_TASK_SWITCH,
};

/* What a task switch is due to (SDM vol. 3, table 28-2). */
enum keel_task_source {
	KEEL_TASK_CALL,
	KEEL_TASK_IRET,
	KEEL_TASK_JMP,
	KEEL_TASK_GATE,	/* a task gate in the IDT */
};

/*
 * A vCPU's APIC page is its local APIC's registers, each at its offset (SDM vol. 3, 11.4.1). The cell keeps it. While exits
 * carry KEEL_EXIT_F_APIC the processor works with it as well (SDM vol. 3, chapter 30): between two entries of the vCPU's
 * context it delivers what IRR requests as TPR and ISR allow, keeps IRR, ISR, TPR and PPR, and lets the guest read and
 * write registers. So a context writes the pages of other vCPUs never, and its own before it answers.
 */
#define KEEL_APIC_BASE		0xfee00000ull	/* guest-physical, where KEEL_APIC_PAGE puts the registers */
/*
 * While exits carry KEEL_EXIT_F_APIC, a vCPU that is not in that mode has a page there that the VM's vCPUs share and nobody
 * else sees: such accesses do not come to the cell.
 */

/* What the timers of local APICs count before their dividers. The hypervisor tells guests in CPUID. */
#define KEEL_APIC_TIMER_KHZ	1000000u

/*
 * The MSRs that come to the cell are the local APIC's (IA32_APIC_BASE, IA32_TSC_DEADLINE, and 0x800 to 0x8ff of x2APIC mode)
 * and these: KVM's paravirtual clock, and ends of interrupts by memory, which are there without KEEL_EXIT_F_APIC alone. All
 * other MSRs are the hypervisor's.
 */
#define KEEL_MSR_WALL_CLOCK	0x4b564d00u
#define KEEL_MSR_SYSTEM_TIME	0x4b564d01u
#define KEEL_MSR_PV_EOI		0x4b564d04u

struct keel_exit {
	uint32_t kind;		/* enum keel_exit_kind */
	uint32_t context;
	uint32_t flags;		/* KEEL_EXIT_F_* */
	uint32_t tpr;		/* the guest's CR8, 0 to 15; every vCPU entry */
	/*
	 * Of IO, HLT, RDMSR, WRMSR: the instruction that follows. TASK_SWITCH: where the old task goes on, which is
	 * the instruction itself for a fault, and the next one for an instruction's switch.
	 */
	uint64_t next_rip;
	uint64_t tsc_offset;	/* guest TSC = host TSC + tsc_offset. Between two entries it changes before a POLL alone. */
	/* IO */
	uint16_t port;
	uint8_t size;		/* bytes of one element: 1, 2, 4 */
	uint8_t io;		/* KEEL_IO_* */
	/* String I/O: enum keel_segment of the memory operand, KEEL_SEG_NONE where the hardware did not say. */
	uint8_t segment;
	uint8_t address_size;	/* string I/O: 2, 4, 8; 0 where the hardware did not say */
	uint8_t insn_length;	/* MMIO: bytes in insn, 0 if the hardware gave none */
	uint8_t access;		/* MMIO: KEEL_ACCESS_* */
	/* RDMSR, WRMSR: value in EDX:EAX of regs */
	uint32_t msr;
	uint32_t apic;		/* EOI: the vector; APIC_WRITE: the register's offset in the page */
	/* MMIO */
	uint64_t gpa;
	uint8_t insn[16];	/* bytes at CS:RIP */
	/* TASK_SWITCH */
	uint32_t tss;		/* the new TSS: selector */
	uint32_t task_source;	/* enum keel_task_source */
	/* What came to a gate, in the form of KEEL_INJECT_*. It has been taken: the switch delivers it. */
	uint32_t event;
	uint32_t error_code;	/* of the event: for the new task's stack */
	/* KEEL_EXIT_F_STATE */
	uint32_t refused;	/* enum keel_state_part: what of a state was not taken; KEEL_STATE_TAKEN */
	uint32_t refused_at;	/* which of them: enum keel_segment, or an MSR */
};

#define KEEL_EXIT_F_INTERRUPTIBLE (1u << 0)	/* an external interrupt injected now is taken at the next entry */
#define KEEL_EXIT_F_SREGS	(1u << 1)	/* sregs are valid; else only regs are */
/*
 * TPR, always with sregs: the MOV to CR8 at RIP has not been executed. The device model does it: KEEL_ANSWER_TPR with
 * the value if it is new and KEEL_ANSWER_RIP past the instruction, or #GP for a value over 15.
 */
#define KEEL_EXIT_F_CR8		(1u << 2)

#define KEEL_EXIT_F_APIC	(1u << 3)	/* the processor works with the APIC page: all exits of a vCPU, or none */
#define KEEL_EXIT_F_VECTORS	(1u << 4)	/* vectors are valid: the same exit once more, after KEEL_ANSWER_WANT_VECTORS */
#define KEEL_EXIT_F_STATE	(1u << 5)	/* POLL: what the one before was answered with, STATE_OUT or _IN, is done */

#define KEEL_IO_IN		(1u << 0)
#define KEEL_IO_STRING		(1u << 1)
#define KEEL_IO_REP		(1u << 2)

#define KEEL_ACCESS_WRITE	(1u << 0)
#define KEEL_ACCESS_FETCH	(1u << 1)
#define KEEL_ACCESS_WALK	(1u << 2)	/* the guest's own page-table walk touched gpa */

/* Order of encoding (SDM vol. 2, table 2-2 and on). */
enum keel_gpr {
	KEEL_RAX,
	KEEL_RCX,
	KEEL_RDX,
	KEEL_RBX,
	KEEL_RSP,
	KEEL_RBP,
	KEEL_RSI,
	KEEL_RDI,
	KEEL_R8,
	KEEL_R9,
	KEEL_R10,
	KEEL_R11,
	KEEL_R12,
	KEEL_R13,
	KEEL_R14,
	KEEL_R15,
};

/* Order of encoding of the segment field of ModRM. */
enum keel_segment {
	KEEL_SEG_ES,
	KEEL_SEG_CS,
	KEEL_SEG_SS,
	KEEL_SEG_DS,
	KEEL_SEG_FS,
	KEEL_SEG_GS,
	KEEL_SEG_LDTR,
	KEEL_SEG_TR,
	KEEL_SEG_COUNT,
	KEEL_SEG_NONE	= 0xff,
};

struct keel_regs {
	uint64_t gpr[16];	/* enum keel_gpr */
	uint64_t rip;
	uint64_t rflags;
};

/* attributes: SVM's form: bits 0-3 type, 4 S, 5-6 DPL, 7 P, 8 AVL, 9 L, 10 D/B, 11 G (APM vol. 2, 15.5.1). P = 0: unusable. */
struct keel_segment_register {
	uint16_t selector;
	uint16_t attributes;
	uint32_t limit;		/* in bytes */
	uint64_t base;
};

struct keel_sregs {
	struct keel_segment_register seg[KEEL_SEG_COUNT];
	uint64_t gdt_base;
	uint64_t idt_base;
	uint32_t gdt_limit;
	uint32_t idt_limit;
	uint64_t cr0;
	uint64_t cr2;
	uint64_t cr3;
	uint64_t cr4;
	uint64_t efer;
	uint64_t dr6;
	uint64_t dr7;
	uint32_t cpl;
	uint32_t nmi_blocked;	/* TASK_SWITCH, and the answer to it: NMIs wait for an IRET */
	/* What follows is a part of struct keel_state alone: of no exit, and of no answer with KEEL_ANSWER_SREGS. */
	uint64_t star;
	uint64_t lstar;
	uint64_t cstar;
	uint64_t sfmask;
	uint64_t kernel_gs_base;
	uint64_t sysenter_cs;
	uint64_t sysenter_esp;
	uint64_t sysenter_eip;
	uint64_t pat;
	uint64_t pdpte[4];	/* top entries of PAE paging, where the processor keeps them: those in memory may be newer */
	uint64_t pending_debug;	/* traps that are still to come, where the processor keeps them (SDM vol. 3, 25.4.2) */
	uint32_t shadow;	/* KEEL_SHADOW_* */
	uint32_t event;		/* goes in first thing: KEEL_INJECT_*, or KEEL_EVENT_NMI; 0: nothing does */
	uint32_t event_code;	/* its error code */
	uint32_t held;		/* KEEL_INJECT_INTERRUPT: goes in when the guest takes an interrupt; 0: none */
	uint32_t tpr;		/* CR8 */
	uint32_t reserved;	/* 0 */
};

#define KEEL_SHADOW_STI		(1u << 0)	/* interrupts wait for the end of the next instruction */
#define KEEL_SHADOW_MOV_SS	(1u << 1)	/* so do most traps, after MOV or POP to SS; AMD's do not tell the two apart */

/*
 * The guest's vector registers, which stay in the processor while a cell runs. A cell that needs them answers a vCPU's exit
 * with KEEL_ANSWER_WANT_VECTORS and nothing else, and is entered again with them.
 */
#define KEEL_VECTORS		16u
#define KEEL_VECTOR_BYTES	32u
struct keel_vectors {
	uint64_t xcr0;		/* what the guest has set */
	uint16_t written;	/* 0; the cell: bit n if register n has changed */
	uint16_t whole;		/* 0; the cell: of these, those whose bits above 32 bytes become 0 */
	uint32_t reserved;
	uint8_t reg[KEEL_VECTORS][KEEL_VECTOR_BYTES];	/* YMM0 to 15; without AVX the upper halves count for nothing */
};

/*
 * Apertures: pages of the channel that the guest has at an address, as if they were memory; all that is in them is the control
 * domain's to see. Which pages each may show is settled before the start (KEEL_HC_APERTURE). Where they are, and whether, the
 * cell says with an answer: it fills in aperture[] of its context and sets the aperture's bit in answer.apertures. What has no
 * bit stays as it is; at the start none is mapped. An answer moves several at once: what one leaves another can have.
 *
 * No context is in the cell, and the guest of this one not entered, before no vCPU has a translation of what was there.
 *
 * Not allowed, as the wrong answers below are not: pages beyond the bound; an address that is not a page's, or beyond the
 * guest's address width; one where the guest has memory, the APIC's page (KEEL_APIC_BASE) or another aperture.
 */
#define KEEL_APERTURE_READONLY	(1u << 0)	/* the guest's writes come to the cell as MMIO */

struct keel_aperture {
	uint64_t gpa;
	uint32_t page;		/* the first one, counted from the channel's begin */
	uint32_t pages;		/* 0: not mapped, and the rest counts for nothing */
	uint32_t flags;		/* KEEL_APERTURE_* */
	uint32_t reserved;
};

/*
 * A vCPU's whole state, to be saved and put into a vCPU again, perhaps on another machine. What is not in it is the cell's own:
 * the local APIC, whether the vCPU is halted or waits for a SIPI, a deadline, the window that it asked for.
 *
 * The cell answers a POLL of the vCPU with KEEL_ANSWER_STATE_OUT or KEEL_ANSWER_STATE_IN and nothing else, and with the address
 * of a struct keel_vcpu_state in answer.state: in a data section of its image, aligned to pages. It is entered again with the
 * same POLL and KEEL_EXIT_F_STATE; to ask twice for one POLL is not allowed. Between the two entries other contexts may be in
 * the cell, so they share no such structure.
 *
 * A state that is put in may be anybody's work. What a guest could not have by its own instructions, and what this processor
 * does not show its guests, is refused: exit.refused tells what, and nothing has changed. What processors do not agree on in
 * segments may still be found at the entry (KEEL_END_ENTRY_FAILED). TLBs are empty behind it.
 */
struct keel_msr {
	uint32_t index;
	uint32_t reserved;	/* 0 */
	uint64_t value;
};

#define KEEL_STATE_MSRS		64u

struct keel_state {
	struct keel_regs regs;
	struct keel_sregs sregs;
	uint64_t dr[4];		/* DR0 to DR3 */
	uint64_t tsc_offset;	/* guest TSC = host TSC + tsc_offset: for another host another one, of all vCPUs */
	uint64_t xcr0;
	uint64_t xstate_bv;	/* components that are in xstate; the others are in their initial state (SDM vol. 1, 13.4.2) */
	uint32_t nmi_pending;	/* an NMI waits for the guest to take it: 0, 1 */
	uint32_t msrs;		/* entries in msr */
	/* MSRs that Keel keeps for the guest, in any order. One that is missing keeps its value. */
	struct keel_msr msr[KEEL_STATE_MSRS];
};

#define KEEL_XSTATE_BYTES	4096u

struct keel_vcpu_state {
	struct keel_state state;
	/*
	 * An XSAVE area of the standard form, with offsets as CPUID tells them (SDM vol. 1, 13.4). Its header, which xcr0 and
	 * xstate_bv say all of, is 0 and is not read.
	 */
	uint8_t xstate[KEEL_XSTATE_BYTES] __attribute__((aligned(4096)));
};

/* What of a state was refused. */
enum keel_state_part {
	KEEL_STATE_TAKEN = 0,
	KEEL_STATE_RIP,		/* not canonical, or beyond the mode's width */
	KEEL_STATE_RFLAGS,
	KEEL_STATE_SEGMENT,	/* attributes, base or limit; refused_at: which */
	KEEL_STATE_TABLES,	/* base or limit of GDT or IDT */
	KEEL_STATE_CR0,
	KEEL_STATE_CR3,
	KEEL_STATE_CR4,
	KEEL_STATE_EFER,	/* or it does not go with CR0 and CR4 */
	KEEL_STATE_DEBUG,	/* DR6, DR7 or pending_debug */
	KEEL_STATE_CPL,
	KEEL_STATE_CR8,
	KEEL_STATE_PDPTE,
	KEEL_STATE_EVENT,	/* event, held, shadow, nmi_blocked or nmi_pending */
	KEEL_STATE_MSR,		/* refused_at: which */
	KEEL_STATE_XCR0,
	KEEL_STATE_XSTATE,	/* xstate_bv, or what the processor would not load */
	KEEL_STATE_RESERVED,
};

enum keel_action {
	KEEL_ACTION_RESUME = 0,	/* enter the guest (vCPU), or done (event) */
	KEEL_ACTION_WAIT,	/* nothing to run until a kick or the deadline */
	KEEL_ACTION_END,	/* the VM ends: answer.end, answer.detail */
};

struct keel_answer {
	uint32_t action;	/* enum keel_action */
	uint32_t flags;		/* KEEL_ANSWER_* */
	uint32_t inject;	/* KEEL_INJECT_*; taken at the next entry */
	uint32_t error_code;	/* of an exception that has one */
	uint32_t tpr_threshold;	/* 1 to 15: notify when the guest writes CR8; 0: do not, as always with KEEL_EXIT_F_APIC */
	uint32_t end;		/* END: KEEL_END_POWEROFF, RESET or CELL_REFUSED */
	uint64_t detail;	/* END with CELL_REFUSED */
	uint64_t kick;		/* vCPUs that must poll, bit mask */
	uint64_t deadline;	/* host TSC when this vCPU must poll; all ones: never. Event context: ignored */
	uint32_t tpr;		/* KEEL_ANSWER_TPR: the guest's CR8 from now on, 0 to 15 */
	uint32_t apic;		/* KEEL_ANSWER_APIC: KEEL_APIC_*, which replace what an earlier answer said */
	uint32_t apertures;	/* those of the context's aperture[] that are new, bit mask */
	uint32_t reserved;
	uint64_t state;		/* KEEL_ANSWER_STATE_OUT, _IN: address of a struct keel_vcpu_state in the cell */
};

#define KEEL_ANSWER_REGS	(1u << 0)	/* regs.gpr changed */
/*
 * The instruction is done, regs.rip is the next one's: its interrupt shadow ends, and if RFLAGS.TF is set, the
 * hypervisor raises the trap. Also behind one iteration of a repeated instruction, of which there is one an entry
 * then.
 */
#define KEEL_ANSWER_RIP		(1u << 1)
#define KEEL_ANSWER_RFLAGS	(1u << 2)	/* the arithmetic flags, DF excluded, changed */
#define KEEL_ANSWER_SREGS	(1u << 3)	/* regs, rip, rflags, sregs replace the whole state (reset, SIPI, task switch) */
#define KEEL_ANSWER_WINDOW	(1u << 4)	/* tell me when the guest can take an interrupt; none is delivered before */
#define KEEL_ANSWER_DOORBELL	(1u << 5)	/* wake the resource half */
#define KEEL_ANSWER_NMI		(1u << 6)	/* deliver an NMI when the guest can take it */
#define KEEL_ANSWER_CR2		(1u << 7)	/* sregs.cr2 changed (with an injected page fault) */
#define KEEL_ANSWER_TPR		(1u << 8)	/* tpr is new: the local APIC's register changed */

#define KEEL_ANSWER_APIC	(1u << 9)	/* apic is new; without KEEL_EXIT_F_APIC only KEEL_APIC_OFF counts in it */
#define KEEL_ANSWER_WANT_VECTORS (1u << 10)	/* alone: nothing was done, enter again with vectors; once an exit */
#define KEEL_ANSWER_VECTORS	(1u << 11)	/* vectors.written says which changed; only after KEEL_EXIT_F_VECTORS */
/* Alone, and only of a POLL without KEEL_EXIT_F_STATE: see struct keel_vcpu_state. */
#define KEEL_ANSWER_STATE_OUT	(1u << 12)
#define KEEL_ANSWER_STATE_IN	(1u << 13)

#define KEEL_APIC_REQUESTED	0xffu		/* the highest vector in the page's IRR, 0: none */
#define KEEL_APIC_IN_SERVICE_SHIFT 8		/* the highest vector in its ISR, 8 bits, 0: none */
#define KEEL_APIC_X2		(1u << 16)	/* x2APIC mode: MSRs go to the page as far as the processor can */
#define KEEL_APIC_PAGE		(1u << 17)	/* xAPIC mode, registers at KEEL_APIC_BASE: accesses go to the page likewise */
#define KEEL_APIC_EOI_EXITS	(1u << 18)	/* the page's TMR has changed: it says which ends of interrupts exit */
#define KEEL_APIC_OFF		(1u << 19)	/* switched off in IA32_APIC_BASE: CPUID does not show it */

#define KEEL_INJECT_VALID	(1u << 31)
#define KEEL_INJECT_ERROR_CODE	(1u << 11)
#define KEEL_INJECT_INTERRUPT	(0u << 8)	/* external interrupt: only with KEEL_EXIT_F_INTERRUPTIBLE */
#define KEEL_INJECT_EXCEPTION	(3u << 8)
#define KEEL_INJECT_VECTOR	0xffu

/* Types of a task switch's event beside those two. */
#define KEEL_EVENT_TYPE		(7u << 8)
#define KEEL_EVENT_NMI		(2u << 8)	/* of a state's event alone */
#define KEEL_EVENT_INT_N	(4u << 8)
#define KEEL_EVENT_INT3		(6u << 8)	/* and INTO */

/*
 * What has come to a context since its VM was created, for people to look at. Nothing is decided by it, and the cell can write
 * there what it likes: the figures are the guest's own. The hypervisor counts what does not come to the cell, the cell the rest.
 */
enum keel_count {
	KEEL_COUNT_RUN,		/* stays: calls of RUN or EVENT that got to the guest or its cell, or were to */
	KEEL_COUNT_BUSY,	/* of these, those that ended because another context was in the cell */
	KEEL_COUNT_SUSPENDED,	/* that ended by an interrupt while the cell was at work */
	/* Exits of the guest. */
	KEEL_COUNT_INTERRUPT,	/* for the control domain */
	KEEL_COUNT_CPUID,
	KEEL_COUNT_RDMSR,	/* of what the hypervisor keeps, or refuses; likewise: */
	KEEL_COUNT_WRMSR,
	KEEL_COUNT_XSETBV,
	KEEL_COUNT_PAUSE,
	KEEL_COUNTS,
};

#define KEEL_EXIT_KINDS		16u		/* room for those of enum keel_exit_kind; a power of two */

struct keel_counters {
	uint64_t count[KEEL_COUNTS];		/* the hypervisor's */
	uint64_t exits[KEEL_EXIT_KINDS];	/* the cell's: what it was entered for, polls and events among it */
	/* Ticks of the TSC, the hypervisor's, of stays that began while the cell wanted time to be measured: */
	uint64_t stays;				/* from begin to end, */
	uint64_t guest;				/* in the guest, with the switch to it and back, */
	uint64_t cell;				/* and in the cell */
	uint32_t measure;			/* the cell's: 1 as long as it wants that */
	uint32_t reserved;
};

/* One page for each context. The hypervisor writes exit, regs (and sregs) before entry and reads answer after it. */
struct keel_context {
	struct keel_exit exit;
	struct keel_regs regs;
	struct keel_answer answer;
	struct keel_sregs sregs;
	struct keel_vectors vectors;
	struct keel_aperture aperture[KEEL_APERTURES];	/* the cell's to fill in */
	struct keel_counters counters;
};

#endif
