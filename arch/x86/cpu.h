/* SPDX-License-Identifier: GPL-2.0 */
/* Instructions of the processor (SDM vol. 2, APM vol. 3). */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/cpuid.h>
#include <x86/msr.h>
#include <x86/registers.h>

#define EFER_GUEST	(EFER_SCE | EFER_LME | EFER_NXE)	/* what guests may set */

/* Of 48 bits: no more are shown to guests, and Keel's own tables have no more. */
static inline bool is_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

struct cpuid {
	uint32_t eax;
	uint32_t ebx;
	uint32_t ecx;
	uint32_t edx;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "0"(leaf), "2"(subleaf));
	return r;
}

/* Family, model, stepping: what EDX has after INIT. */
static inline uint32_t cpu_signature(void)
{
	return cpuid(CPUID_FEATURES, 0).eax;
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

/* The upper halves of both registers are 0 (SDM vol. 2, RDTSC). */
static inline uint64_t rdtsc(void)
{
	uint64_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return high << 32 | low;
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
CPU_REGISTER(cr3)
CPU_REGISTER(cr4)
CPU_REGISTER(cr8)
CPU_REGISTER(dr0)
CPU_REGISTER(dr1)
CPU_REGISTER(dr2)
CPU_REGISTER(dr3)
CPU_REGISTER(dr6)
#ifdef KEEL_HOST_TEST
uint64_t read_cr2(void);
void write_cr2(uint64_t value);
#else
CPU_REGISTER(cr2)
#endif
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
