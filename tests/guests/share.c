// SPDX-License-Identifier: GPL-2.0
/*
 * Registers that each processor has for itself, in which all have other values while they take turns, on one CPU at best:
 * control, debug and model-specific registers, x87 and SSE. Each has a breakpoint of its own, and writes where the others have
 * theirs.
 */
#include "cpus.h"

#include <x86/cpuid.h>

#define MOST_CPUS	8u
#define ROUNDS		200u
#define SPINS		50
#define OWN_WRITES	8u			/* rounds from one write to the processor's own place to the next */
#define RARE		16u			/* rounds from one look at the MSRs to the next */
#define DR7_WRITE0	(DR7_RESET | 2 | 0xdu << 16)	/* breakpoint 0, 4 bytes */
#define PATTERN		0x0000101010101000u	/* times the processor's number and 1: an address */
#define PAT_LOW		0x00070406u
#define PAT_HIGH	0x00070404u		/* its lowest entry is 4 to 7 */
#define HAS_RDTSCP	27			/* bit of EDX, leaf 8000_0001h */

/* MSRs with 64 bits and those with fewer, of which QEMU has 16. They hold the pattern and their place in the list. */
static const uint32_t msrs64[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
};
static const uint32_t msrs32[] = { MSR_SFMASK, MSR_SYSENTER_CS };

static volatile uint64_t watched[MOST_CPUS];
static volatile uint32_t hits[MOST_CPUS];
static volatile uint32_t go, done;
static uint32_t hits_wanted;
static uint64_t dr7_value = DR7_RESET;
static bool has_tsc_aux;

static void hook(struct frame *frame)
{
	if (frame->vector != EXC_DB)
		return;
	hits[this_cpu()]++;
	write_dr6(DR6_RESET);
}

static void own(bool condition, const char *text)
{
	check(condition, "not this processor's own: %s", text);
}

static uint64_t pat_of(uint32_t number)
{
	return (uint64_t)(PAT_HIGH + number % 4) << 32 | PAT_LOW;
}

static void write_msrs(uint32_t number, uint64_t pattern)
{
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(msrs64); i++)
		wrmsr(msrs64[i], pattern + i);
	for (i = 0; i < ARRAY_SIZE(msrs32); i++)
		wrmsr(msrs32[i], (uint16_t)(pattern + i));
	wrmsr(MSR_PAT, pat_of(number));
	if (has_tsc_aux)
		wrmsr(MSR_TSC_AUX, (uint32_t)pattern);
}

static uint32_t rdtscp_aux(void)
{
	uint32_t low, high, aux;

	asm volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
	return aux;
}

static void check_msrs(uint32_t number, uint64_t pattern)
{
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(msrs64); i++)
		own(rdmsr(msrs64[i]) == pattern + i, "an MSR of 64 bits");
	for (i = 0; i < ARRAY_SIZE(msrs32); i++)
		own((uint32_t)rdmsr(msrs32[i]) == (uint16_t)(pattern + i), "an MSR of few bits");
	own(rdmsr(MSR_PAT) == pat_of(number), "PAT");
	if (has_tsc_aux)
		own(rdtscp_aux() == (uint32_t)pattern, "TSC_AUX");
}

#define XMM_EACH(MOVE) \
	MOVE(0) MOVE(1) MOVE(2) MOVE(3) MOVE(4) MOVE(5) MOVE(6) MOVE(7) \
	MOVE(8) MOVE(9) MOVE(10) MOVE(11) MOVE(12) MOVE(13) MOVE(14) MOVE(15)
#define XMM_LOAD(i)	"movq " #i "*8(%0), %%xmm" #i "\n\t"
#define XMM_STORE(i)	"movq %%xmm" #i ", " #i "*8(%0)\n\t"

static uint32_t mxcsr_of(uint32_t number)
{
	return MXCSR_RESET | (number & 3) << 13;	/* rounding */
}

static uint16_t control_word_of(uint32_t number)
{
	return (uint16_t)(0x37f | (number & 3) << 10);
}

static void write_others(uint32_t number, uint64_t pattern)
{
	uint32_t mxcsr = mxcsr_of(number), i;
	uint16_t control_word = control_word_of(number);
	uint64_t xmm[16];

	write_cr2(pattern);
	write_cr8(number + 1);
	write_dr0((uint64_t)&watched[number]);
	write_dr1(pattern + 1);
	write_dr2(pattern + 2);
	write_dr3(~(pattern + 2));
	write_dr6(DR6_RESET);
	write_dr7(dr7_value);
	asm volatile("ldmxcsr %0" : : "m"(mxcsr));
	asm volatile("fninit\n\tfldcw %0" : : "m"(control_word));
	for (i = 0; i < ARRAY_SIZE(xmm); i++)
		xmm[i] = pattern + i;
	asm volatile(XMM_EACH(XMM_LOAD) : : "r"(xmm) : "memory");
}

static void check_others(uint32_t number, uint64_t pattern)
{
	uint32_t mxcsr, i;
	uint16_t control_word;
	uint64_t xmm[16];

	own(read_cr2() == pattern, "CR2");
	own(read_cr8() == number + 1, "CR8");
	own(read_dr0() == (uint64_t)&watched[number], "DR0");
	own(read_dr1() == pattern + 1, "DR1");
	own(read_dr2() == pattern + 2, "DR2");
	own(read_dr3() == ~(pattern + 2), "DR3");
	own(read_dr6() == DR6_RESET, "DR6");
	own(read_dr7() == dr7_value, "DR7");
	asm volatile("stmxcsr %0" : "=m"(mxcsr));
	own(mxcsr == mxcsr_of(number), "MXCSR");
	asm volatile("fnstcw %0" : "=m"(control_word));
	own(control_word == control_word_of(number), "the x87's control word");
	asm volatile(XMM_EACH(XMM_STORE) : : "r"(xmm) : "memory");
	for (i = 0; i < ARRAY_SIZE(xmm); i++)
		check(xmm[i] == pattern + i, "not this processor's own: XMM%u", i);
}

/* Something that exits, in turn. */
static void leave(uint32_t round)
{
	unsigned int i;

	switch (round % 4) {
	case 0:
		inb(PC_PORT_POST);
		break;
	case 1:
		cpuid(CPUID_VENDOR, 0);
		break;
	case 2:
		rdmsr(MSR_APIC_BASE);
		break;
	default:
		for (i = 0; i < SPINS; i++)
			asm volatile("pause");
	}
}

/* Where the others look, and now and then where this one does. */
static void write_places(uint32_t number, uint32_t round)
{
	uint32_t i;

	for (i = 0; i < MOST_CPUS; i++)
		if (i != number)
			watched[i] = round;
	if (round % OWN_WRITES == 0)
		watched[number] = round;
}

static void run(uint32_t number)
{
	uint64_t pattern = PATTERN * (number + 1);
	uint32_t round;

	write_msrs(number, pattern);
	write_others(number, pattern);
	for (round = ROUNDS; round && !failures; round--) {
		leave(round);
		write_places(number, round);
		check_others(number, pattern);
		if (round % RARE == 0)
			check_msrs(number, pattern);
	}
	if (!failures)
		check(hits[number] == hits_wanted, "hits of a processor's own breakpoint");
	write_dr7(DR7_RESET);
	write_cr8(0);
	asm volatile("lock incl %0" : "+m"(done));
}

void cpu_main(void)
{
	while (!go)
		asm volatile("pause");
	run(this_cpu());
}

GUEST("share")
{
	interrupt_hook = hook;
	count_faults = true;
	has_tsc_aux = bit_of(cpuid(CPUID_EXTENDED_FEATURES, 0).edx, HAS_RDTSCP);
	/* On QEMU a breakpoint stays on past the exit, and its owner's place stops whoever else writes there, for good. */
	if (!on_qemu()) {
		dr7_value = DR7_WRITE0;
		hits_wanted = ROUNDS / OWN_WRITES;
	}
	start_all();
	require(cpus <= MOST_CPUS, "more processors than places");
	go = 1;
	run(0);
	await(&done, cpus, "a processor has not come to its end");
}
