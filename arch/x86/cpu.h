/* SPDX-License-Identifier: GPL-2.0 */
/* Processor instructions and register bits (SDM vol. 3 and 4, APM vol. 2). */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include <stdint.h>

#define CR0_PE		(1u << 0)
#define CR0_MP		(1u << 1)
#define CR0_TS		(1u << 3)
#define CR0_ET		(1u << 4)
#define CR0_NE		(1u << 5)
#define CR0_WP		(1u << 16)
#define CR0_AM		(1u << 18)
#define CR0_NW		(1u << 29)
#define CR0_CD		(1u << 30)
#define CR0_PG		(1u << 31)
#define CR4_CLASSIC	0x7ffu		/* VME to OSXMMEXCPT */
#define CR4_PAE		(1u << 5)
#define CR4_MCE		(1u << 6)
#define CR4_OSFXSR	(1u << 9)
#define CR4_OSXMMEXCPT	(1u << 10)
#define CR4_UMIP	(1u << 11)
#define CR4_LA57	(1u << 12)
#define CR4_FSGSBASE	(1u << 16)
#define CR4_PCIDE	(1u << 17)
#define CR4_OSXSAVE	(1u << 18)
#define CR4_SMEP	(1u << 20)
#define CR4_SMAP	(1u << 21)
#define CR4_PKE		(1u << 22)
#define CR4_CET		(1u << 23)
#define CR4_LASS	(1u << 27)
#define CR4_LAM_SUP	(1u << 28)

#define EFER_SCE	(1u << 0)
#define EFER_LME	(1u << 8)
#define EFER_LMA	(1u << 10)
#define EFER_NXE	(1u << 11)
#define EFER_SVME	(1u << 12)
#define EFER_FFXSR	(1u << 14)
#define EFER_TCE	(1u << 15)
#define EFER_MCOMMIT	(1u << 17)
#define EFER_INTWB	(1u << 18)
#define EFER_UAIE	(1u << 20)
#define EFER_AIBRSE	(1u << 21)
#define EFER_GUEST	(EFER_SCE | EFER_LME | EFER_NXE)	/* what guests may set */

#define RFLAGS_FIXED	(1u << 1)
#define RFLAGS_TF	(1u << 8)
#define RFLAGS_IF	(1u << 9)
#define RFLAGS_DF	(1u << 10)
#define RFLAGS_NT	(1u << 14)
#define RFLAGS_RF	(1u << 16)
#define RFLAGS_VM	(1u << 17)
#define RFLAGS_AC	(1u << 18)
#define RFLAGS_ARITHMETIC 0x8d5u	/* CF PF AF ZF SF OF */

#define MSR_TSC			0x10u
#define MSR_APIC_BASE		0x1bu
#define MSR_TSC_ADJUST		0x3bu
#define MSR_DEBUGCTL		0x1d9u
#define DEBUGCTL_BTF		(1u << 1)
#define MSR_PAT			0x277u
#define MSR_X2APIC_ICR		0x830u
#define MSR_EFER		0xc0000080u
#define MSR_TSC_AUX		0xc0000103u
#define MSR_SYSCFG		0xc0010010u	/* AMD */

#define APIC_BASE_BSP		(1u << 8)
#define APIC_BASE_X2APIC	(1u << 10)
#define APIC_BASE_ENABLE	(1u << 11)
#define APIC_BASE_ADDRESS	0x000ffffffffff000ull

#define PAT_RESET	0x0007040600070406ull
#define DR6_RESET	0xffff0ff0u
#define DR6_B0_B3	0xfu
#define DR6_BS		(1u << 14)
#define DR7_ENABLE	0xffu		/* L0 to G3 */
#define DR7_GD		(1u << 13)
#define DR7_RESET	0x400u

enum exception {
	EXC_DE, EXC_DB, EXC_NMI, EXC_BP, EXC_OF, EXC_BR, EXC_UD, EXC_NM, EXC_DF,
	EXC_TS = 10, EXC_NP, EXC_SS, EXC_GP, EXC_PF, EXC_MF = 16, EXC_AC, EXC_MC, EXC_XM, EXC_CP = 21, EXC_SX = 30,
};

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "0"(leaf), "2"(subleaf));
	return r;
}

#ifdef KEEL_HOST_TEST
uint64_t rdmsr(uint32_t msr);
void wrmsr(uint32_t msr, uint64_t value);
#else
static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}
#endif

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline uint64_t xgetbv(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

static inline void xsetbv(uint64_t value)
{
	__asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

#define CPU_REGISTER(name) \
	static inline uint64_t read_##name(void) \
	{ \
		uint64_t value; \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(value)); \
		return value; \
	} \
	static inline void write_##name(uint64_t value) \
	{ \
		__asm__ volatile("mov %0, %%" #name : : "r"(value) : "memory"); \
	}
CPU_REGISTER(cr0)
CPU_REGISTER(cr2)
CPU_REGISTER(cr3)
CPU_REGISTER(cr4)
CPU_REGISTER(cr8)
CPU_REGISTER(dr0)
CPU_REGISTER(dr1)
CPU_REGISTER(dr2)
CPU_REGISTER(dr3)
CPU_REGISTER(dr6)
#undef CPU_REGISTER

/* All caches, to memory. */
#ifdef KEEL_HOST_TEST
void cpu_write_back(void);
#else
static inline void cpu_write_back(void)
{
	__asm__ volatile("wbinvd" : : : "memory");
}
#endif

/* The lines of this memory, to it, for those who read it past the caches. */
static inline void cache_write_back(const void *start, uint64_t bytes)
{
	const uint64_t line = 64;
	uint64_t at = (uint64_t)(uintptr_t)start & ~(line - 1), end = (uint64_t)(uintptr_t)start + bytes;

	for (; at < end; at += line)
		__asm__ volatile("clflush (%0)" : : "r"(at) : "memory");
	__asm__ volatile("mfence" : : : "memory");
}

static inline void cpu_pause(void)
{
	__asm__ volatile("pause" : : : "memory");
}

static inline __attribute__((noreturn)) void cpu_stop(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* Registers of devices, in memory that is not cached. */
#ifdef KEEL_HOST_TEST
uint32_t mmio_read32(const void *address);
uint64_t mmio_read64(const void *address);
void mmio_write32(void *address, uint32_t value);
void mmio_write64(void *address, uint64_t value);
#else
#define CPU_MMIO(bits) \
	static inline uint##bits##_t mmio_read##bits(const void *address) \
	{ \
		return *(const volatile uint##bits##_t *)address; \
	} \
	static inline void mmio_write##bits(void *address, uint##bits##_t value) \
	{ \
		__asm__ volatile("" : : : "memory"); \
		*(volatile uint##bits##_t *)address = value; \
	}
CPU_MMIO(32)
CPU_MMIO(64)
#undef CPU_MMIO
#endif

#ifdef KEEL_HOST_TEST
void outb(uint16_t port, uint8_t value);
uint8_t inb(uint16_t port);
void outw(uint16_t port, uint16_t value);
uint16_t inw(uint16_t port);
void outl(uint16_t port, uint32_t value);
uint32_t inl(uint16_t port);
#else
#define CPU_PORT(suffix, type) \
	static inline void out##suffix(uint16_t port, type value) \
	{ \
		__asm__ volatile("out" #suffix " %0, %1" : : "a"(value), "Nd"(port)); \
	} \
	static inline type in##suffix(uint16_t port) \
	{ \
		type value; \
		__asm__ volatile("in" #suffix " %1, %0" : "=a"(value) : "Nd"(port)); \
		return value; \
	}
CPU_PORT(b, uint8_t)
CPU_PORT(w, uint16_t)
CPU_PORT(l, uint32_t)
#undef CPU_PORT
#endif

#endif
