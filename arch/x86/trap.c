// SPDX-License-Identifier: GPL-2.0
// Descriptor tables, and the end of the road for faults of Keel's own.

#include "trap.h"

#include <stddef.h>

#include <keel/macros.h>

#include "apic.h"
#include "cell_frame.h"
#include "console.h"
#include "cpu.h"
#include "hv.h"
#include "image.h"
#include "paging.h"
#include "string.h"
#include "symbols.h"

#define VECTORS		256u
#define STUB_BYTES	16u
#define GATE_INTERRUPT	0x8eu		/* present, DPL 0, 64-bit interrupt gate */
#define GATE_DPL3	(3u << 5)
#define IST_FAULT	1u
#define IO_MAP_NONE	sizeof(struct tss)

#define GDT_CODE	0x00af9b000000ffffull	/* 64-bit, DPL 0 */
#define GDT_DATA	0x00cf93000000ffffull
#define GDT_USER_CODE	0x00affb000000ffffull	/* DPL 3 */
#define GDT_USER_DATA	0x00cff3000000ffffull
#define GDT_TSS_TYPE	0x89ull			/* available 64-bit TSS, present */

#define BACKTRACE_DEPTH	16u

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};

struct table_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

_Static_assert(PERCPU_BASE == 0xffffffffc0000000ull && PERCPU_STRIDE == 1u << 16, "percpu.inc: PERCPU_BASE, PERCPU_SHIFT");
_Static_assert(PERCPU_STACK_END == 0x7000 && PERCPU_DATA == 0xe000, "percpu.inc: PERCPU_STACK_END, PERCPU_DATA");
_Static_assert(offsetof(struct cpu, nmi_seen) == 0, "percpu.inc: CPU_NMI_SEEN");
_Static_assert(offsetof(struct cpu, tss) + offsetof(struct tss, rsp) == 28, "percpu.inc: CPU_TSS_RSP0");
_Static_assert(offsetof(struct cell_frame, vector) == 15 * 8, "trap.asm: FRAME_VECTOR");
_Static_assert(KEEL_CELL_GATE == 31, "trap.asm: ANSWER");
_Static_assert(sizeof(struct cell_frame) == 22 * 8, "trap.asm: FRAME_BYTES");

static struct gate idt[VECTORS], drain_idt[VECTORS];

extern const uint8_t trap_stubs[VECTORS][STUB_BYTES], trap_answer[], trap_drained[], trap_drained_security[];
struct patch {
	uint64_t place;
	uint64_t kind;
};
extern const struct patch patches_start[], patches_end[];

static const char *const names[] = {
	"divide error", "debug", "NMI", "breakpoint", "overflow", "bound", "invalid opcode", "no FPU", "double fault",
	"", "invalid TSS", "segment not present", "stack fault", "general protection", "page fault", "", "x87",
	"alignment check", "machine check", "SIMD",
};

void trap_patch(void)
{
	/* STGI, CLGI, STI: in the order of vendor.inc. */
	static const uint8_t code[][3] = { { 0x0f, 0x01, 0xdc }, { 0x0f, 0x01, 0xdd }, { 0xfb, 0x66, 0x90 } };
	const struct patch *patch;

	for (patch = patches_start; hv->holds_nmis && patch < patches_end; patch++)
		memcpy((void *)(uintptr_t)patch->place, code[patch->kind], sizeof(code[0]));
}

static void set_gate(struct gate *gate, const uint8_t *entry, unsigned int type, unsigned int ist)
{
	uint64_t offset = (uint64_t)(uintptr_t)entry;

	*gate = (struct gate){
		.offset_low = (uint16_t)offset, .offset_middle = (uint16_t)(offset >> 16),
		.offset_high = (uint32_t)(offset >> 32), .selector = SEL_KERNEL_CODE, .ist = (uint8_t)ist,
		.type = (uint8_t)type,
	};
}

void trap_init(void)
{
	unsigned int vector;

	for (vector = 0; vector < VECTORS; vector++) {
		set_gate(&idt[vector], trap_stubs[vector], GATE_INTERRUPT, vector == EXC_DF ? IST_FAULT : 0);
		set_gate(&drain_idt[vector], trap_drained, GATE_INTERRUPT, 0);
	}
	set_gate(&idt[KEEL_CELL_GATE], trap_answer, GATE_INTERRUPT | GATE_DPL3, 0);
	drain_idt[EXC_NMI] = idt[EXC_NMI];
	drain_idt[EXC_MC] = idt[EXC_MC];
	set_gate(&drain_idt[EXC_SX], trap_drained_security, GATE_INTERRUPT, 0);
}

static void load_idt(const struct gate *table)
{
	struct table_register idtr = { sizeof(idt) - 1, (uint64_t)(uintptr_t)table };

	__asm__ volatile("lidt %0" : : "m"(idtr));
}

void trap_drain(void)
{
	load_idt(drain_idt);
	trap_drain_window();
	load_idt(idt);
}

uint64_t trap_idt(void)
{
	return (uint64_t)(uintptr_t)idt;
}

void trap_reload(struct cpu *cpu)
{
	struct table_register gdtr = { sizeof(cpu->gdt) - 1, (uint64_t)(uintptr_t)cpu->gdt };

	__asm__ volatile("lgdt %0" : : "m"(gdtr));
	load_idt(idt);
}

void trap_init_cpu(struct cpu *cpu)
{
	uint64_t tss = (uint64_t)(uintptr_t)&cpu->tss;
	uint64_t area = (uint64_t)(uintptr_t)cpu - PERCPU_DATA;

	cpu->tss.io_map = IO_MAP_NONE;
	cpu->tss.ist[IST_FAULT - 1] = area + PERCPU_FAULT_END;
	cpu->gdt[SEL_KERNEL_CODE / 8] = GDT_CODE;
	cpu->gdt[SEL_KERNEL_DATA / 8] = GDT_DATA;
	cpu->gdt[SEL_USER_CODE / 8] = GDT_USER_CODE;
	cpu->gdt[SEL_USER_DATA / 8] = GDT_USER_DATA;
	cpu->gdt[SEL_TSS / 8] = (sizeof(struct tss) - 1) | (tss & 0xffffff) << 16 | GDT_TSS_TYPE << 40 |
				(tss >> 24 & 0xff) << 56;
	cpu->gdt[SEL_TSS / 8 + 1] = tss >> 32;
	trap_reload(cpu);
	__asm__ volatile("pushq %0\n\t"
			 "leaq 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\tmov %1, %%ds\n\t"
			 "mov %1, %%es\n\t"
			 "mov %1, %%ss\n\t"
			 "mov %2, %%fs\n\t"
			 "mov %2, %%gs\n\t"
			 "ltr %w3"
			 : : "i"(SEL_KERNEL_CODE), "r"(SEL_KERNEL_DATA), "r"(0), "r"(SEL_TSS) : "rax", "memory");
}

static void print_place(uint64_t rip)
{
	uint64_t offset;
	const char *name = symbols_find(rip, &offset);

	print("  %016lx %s+%lx\n", rip, name, offset);
}

/* Without frame pointers, which every exit would pay for: whatever on this CPU's stack looks like a return address. */
static void backtrace(uint64_t rip, uint64_t rsp)
{
	const uint64_t *end = (const uint64_t *)((rsp & ~(PERCPU_STRIDE - 1)) + PERCPU_STACK_END);
	const uint64_t *at = (const uint64_t *)(rsp & ~7ull);
	unsigned int depth = 0;

	print_place(rip);
	if (rsp < PERCPU_BASE || rsp % PERCPU_STRIDE < PERCPU_STACK)
		return;
	for (; at < end && depth < BACKTRACE_DEPTH; at++) {
		if (*at < (uint64_t)(uintptr_t)text_start || *at >= (uint64_t)(uintptr_t)text_end)
			continue;
		print_place(*at);
		depth++;
	}
}

static __attribute__((noreturn)) void stop(void)
{
	print("The machine has stopped. Reset it; please report the lines above.\n");
	cpu_stop();
}

/* The screen is in the main address space only. */
static void be_heard(void)
{
	if (paging_main.root)
		write_cr3(paging_main.root);
	console_loud();
}

void panic(const char *message)
{
	be_heard();
	print("\nKeel panic: %s\n", message);
	backtrace((uint64_t)(uintptr_t)__builtin_return_address(0), (uint64_t)(uintptr_t)__builtin_frame_address(0));
	stop();
}

__attribute__((noreturn)) void trap_kernel(const struct cell_frame *f);
void trap_kernel(const struct cell_frame *f)
{
	uint64_t cr3 = read_cr3();

	be_heard();
	print("\nKeel panic: %s (vector %lu, error %lx) on CPU %u\n",
	      f->vector < ARRAY_SIZE(names) ? names[f->vector] : "unexpected interrupt", f->vector,
	      f->error_code, this_cpu()->index);
	print("rip %016lx rsp %016lx rfl %016lx cr2 %016lx cr3 %016lx\n", f->rip, f->rsp, f->rflags, read_cr2(),
	      cr3);
	print("rax %016lx rbx %016lx rcx %016lx rdx %016lx rsi %016lx\n", f->rax, f->rbx, f->rcx, f->rdx, f->rsi);
	print("rdi %016lx rbp %016lx r8  %016lx r9  %016lx r10 %016lx\n", f->rdi, f->rbp, f->r8, f->r9, f->r10);
	print("r11 %016lx r12 %016lx r13 %016lx r14 %016lx r15 %016lx\n", f->r11, f->r12, f->r13, f->r14, f->r15);
	backtrace(f->rip, f->rsp);
	stop();
}

void trap_init_signal(const struct cell_frame *f);
void trap_init_signal(const struct cell_frame *f)
{
	if (!hv || !hv->holds_nmis)
		trap_kernel(f);
	this_cpu()->init_seen = 1;
}

/* An NMI in ring 0: noted, for who looks before the next entry. */
void trap_nmi(void);
void trap_nmi(void)
{
	__atomic_store_n(&this_cpu()->nmi_seen, 1, __ATOMIC_RELAXED);
}
