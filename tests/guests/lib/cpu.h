/* SPDX-License-Identifier: GPL-2.0 */
/* Instructions that C has no words for. */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include <stdbool.h>
#include <stdint.h>

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
	return r;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline uint64_t xgetbv(uint32_t number)
{
	uint32_t low, high;

	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(number));
	return (uint64_t)high << 32 | low;
}

static inline void xsetbv(uint32_t number, uint64_t value)
{
	asm volatile("xsetbv" : : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

#define CPU_IN(name, type, size) \
	static inline type name(uint16_t port) \
	{ \
		type value; \
		\
		asm volatile("in" size " %1, %0" : "=a"(value) : "Nd"(port) : "memory"); \
		return value; \
	}
#define CPU_OUT(name, type, size) \
	static inline void name(uint16_t port, type value) \
	{ \
		asm volatile("out" size " %0, %1" : : "a"(value), "Nd"(port) : "memory"); \
	}

CPU_IN(inb, uint8_t, "b")
CPU_IN(inw, uint16_t, "w")
CPU_IN(inl, uint32_t, "l")
CPU_OUT(outb, uint8_t, "b")
CPU_OUT(outw, uint16_t, "w")
CPU_OUT(outl, uint32_t, "l")

#define CPU_REGISTER(name) \
	static inline uint64_t read_##name(void) \
	{ \
		uint64_t value; \
		\
		asm volatile("mov %%" #name ", %0" : "=r"(value) : : "memory"); \
		return value; \
	} \
	\
	static inline void write_##name(uint64_t value) \
	{ \
		asm volatile("mov %0, %%" #name : : "r"(value) : "memory"); \
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
CPU_REGISTER(dr7)

/* Registers of devices: one access of 32 bits, or of 64. */
static inline uint32_t mmio_read(uint64_t address)
{
	uint32_t value;

	asm volatile("movl (%1), %0" : "=r"(value) : "r"(address) : "memory");
	return value;
}

static inline void mmio_write(uint64_t address, uint32_t value)
{
	asm volatile("movl %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline uint64_t mmio_read64(uint64_t address)
{
	uint64_t value;

	asm volatile("movq (%1), %0" : "=r"(value) : "r"(address) : "memory");
	return value;
}

static inline void mmio_write64(uint64_t address, uint64_t value)
{
	asm volatile("movq %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline void invalidate_page(uint64_t address)
{
	asm volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static inline void load_idt(const void *pointer)
{
	asm volatile("lidt (%0)" : : "r"(pointer) : "memory");
}

static inline void interrupts_off(void)
{
	asm volatile("cli" : : : "memory");
}

static inline void interrupts_on(void)
{
	asm volatile("sti" : : : "memory");
}

/* The shadow of STI covers the HLT: no interrupt comes between them. */
static inline void halt_once(void)
{
	asm volatile("sti\n\thlt\n\tcli" : : : "memory");
}

/* Interrupts on for an instruction that exits, and off: long enough for one that is due. */
static inline void interrupt_window(void)
{
	asm volatile("sti\n\tinb $0x80, %%al\n\tnop\n\tcli" : : : "memory", "rax");
}

/* The same without an exit. */
static inline void short_window(void)
{
	asm volatile("sti\n\tnop\n\tnop\n\tcli" : : : "memory");
}

static inline bool bit_of(uint64_t word, unsigned int bit)
{
	return word >> bit & 1;
}

static inline __attribute__((noreturn)) void stop(void)
{
	while (true)
		asm volatile("cli\n\thlt" : : : "memory");
}

#endif
