// SPDX-License-Identifier: GPL-2.0
/*
 * What the guest is told of time, and how it moves its TSC: TSC_ADJUST, the paravirtual clock that follows it; and ends of
 * interrupts by memory.
 */
#include "apic.h"

#include <keel/cell.h>
#include <x86/cpuid.h>

/* The paravirtual interface (Linux: Documentation/virt/kvm/x86/cpuid.rst, msr.rst). */
#define CPUID_HYPERVISOR	0x40000000u
#define CPUID_PV_FEATURES	0x40000001u
#define CPUID_FREQUENCIES	0x40000010u
#define FEATURE_CLOCK		(1u << 3)
#define FEATURE_PV_EOI		(1u << 6)
#define ENABLED			1u
#define TSC_ADJUST		1		/* bit of EBX, leaf 7 */

#define FAR_AWAY		PC_IOAPIC	/* no memory */
#define LONG_AGO		1600000000u
#define VECTOR_SELF		0x51u
#define ROUNDS			100

struct clock {
	uint32_t version, padding;
	uint64_t tsc, time;
	uint32_t multiplier;
	uint8_t shift, flags;
};

static volatile struct clock *const clock = (volatile struct clock *)SCRATCH;
static volatile uint32_t *const wall = (volatile uint32_t *)(SCRATCH + 0x40);	/* version, seconds */
static volatile uint32_t *const eoi_word = (volatile uint32_t *)(SCRATCH + 0x80);
static uint32_t features;
static volatile uint32_t by_memory;

static void hook(struct frame *frame)
{
	bool ended;

	if (frame->vector == EXC_NMI)
		return;
	asm volatile("lock btrl $0, %0" : "+m"(*eoi_word), "=@ccc"(ended));
	if (ended)
		by_memory++;
	else
		apic_end();
}

static void refuse(uint32_t msr, uint32_t value, const char *text)
{
	TRY("wrmsr", : : "c"(msr), "a"(value), "d"(0));
	require(fault_vector == EXC_GP, "%s", text);
}

static void check_told(void)
{
	struct cpuid frequencies;
	uint32_t low, high;

	require(cpuid(CPUID_HYPERVISOR, 0).eax >= CPUID_FREQUENCIES, "no leaf with the frequency of the TSC");
	frequencies = cpuid(CPUID_FREQUENCIES, 0);
	require(frequencies.eax >= 100000, "the frequency of the TSC is none");
	require(frequencies.ebx == 1000000, "the frequency of the local APIC's timer");
	features = cpuid(CPUID_PV_FEATURES, 0).eax;
	require(features & FEATURE_CLOCK, "no paravirtual clock");
	require(bit_of(cpuid(CPUID_FEATURES_7, 0).ebx, TSC_ADJUST), "no TSC_ADJUST");
	require((uint32_t)rdmsr(MSR_CORE_THREAD_COUNT) == (1 << 16 | 1), "not one core with one thread");
	TRY("rdmsr", : "=a"(low), "=d"(high) : "c"(MSR_MC0_CTL));
	require(fault_vector == EXC_GP, "a bank of machine checks answers");
}

static void check_tsc(void)
{
	const uint64_t far = 1ull << 40;
	uint64_t first, moved;

	require(rdmsr(MSR_TSC_ADJUST) == 0, "TSC_ADJUST is not 0 at first");
	wrmsr(KEEL_MSR_SYSTEM_TIME, SCRATCH | ENABLED);
	require(clock->version, "the clock was not written");
	require(!(clock->version & 1), "the clock's version stays odd");
	require(clock->flags == 1, "the clock is not said to be stable");
	first = clock->tsc;
	/* Forward by 2^40 ticks ... */
	wrmsr(MSR_TSC_ADJUST, far);
	require(clock->tsc - first == far, "the clock does not follow TSC_ADJUST");
	require(rdtsc() >= far, "the TSC does not follow TSC_ADJUST");
	/* ... and back to 0, before where it began. */
	wrmsr(MSR_TSC, 0);
	require(rdtsc() < far / 2, "the TSC is not what was written");
	moved = rdmsr(MSR_TSC_ADJUST);
	require(moved == clock->tsc - first, "TSC_ADJUST and the clock do not follow the TSC");
	require((int64_t)moved < 0, "TSC_ADJUST is not negative");
	wrmsr(KEEL_MSR_WALL_CLOCK, (uint64_t)wall);
	require(!(wall[0] & 1), "the wall clock's version stays odd");
	require(wall[1] >= LONG_AGO, "the wall clock is wrong by years");
	refuse(KEEL_MSR_SYSTEM_TIME, FAR_AWAY | ENABLED, "a clock where there is no memory");
	refuse(KEEL_MSR_WALL_CLOCK, FAR_AWAY, "a wall clock where there is no memory");
}

static void check_ends(void)
{
	unsigned int round;

	if (!(features & FEATURE_PV_EOI)) {
		refuse(KEEL_MSR_PV_EOI, (uint32_t)(uint64_t)eoi_word | ENABLED,
			"ends of interrupts by memory are not announced, and there");
		return;
	}
	refuse(KEEL_MSR_PV_EOI, FAR_AWAY | ENABLED, "ends of interrupts where there is no memory");
	interrupt_hook = hook;
	apic_write(APIC_REG_SPURIOUS, SPURIOUS_ENABLE | SPURIOUS_RESET);
	wrmsr(KEEL_MSR_PV_EOI, (uint64_t)eoi_word | ENABLED);
	for (round = 0; round < ROUNDS; round++) {
		apic_write(APIC_REG_ICR_LOW, ICR_SELF | ICR_ASSERT | VECTOR_SELF);
		short_window();
	}
	require(counts[VECTOR_SELF] == ROUNDS, "an interrupt did not come, or came twice");
	require(by_memory == ROUNDS, "an interrupt could not be ended by memory");
	require(!apic_read(APIC_REG_ISR + VECTOR_SELF / 32 * 16), "an interrupt that was ended is in service");
}

GUEST("clock")
{
	check_told();
	check_tsc();
	check_ends();
}
