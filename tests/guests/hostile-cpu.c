// SPDX-License-Identifier: GPL-2.0
/*
 * Misuse of the processor, which the machine must survive. With STATE, another guest: control and debug registers that a
 * processor refuses, but not every emulator of one, so that it may end its own machine.
 */
#include "guest.h"

#include <x86/cpuid.h>
#include <x86/msr.h>

#define ROUNDS		3000
#define NESTED_ROUNDS	200
#define VECTOR_SOFT	0x80
#define STORM		20000u
#define HAS_XSAVE	26			/* bit of ECX, leaf 1 */
#define NO_COUNTER	7u			/* of RDPMC */
#define NOT_CANONICAL	0x8000000000000000u
#define NOT_MAPPED	0x7fffffff0000u
#define CR0_KEEP	(CR0_PG | CR0_PE)
#define CR4_KEEP	CR4_PAE
#define EFER_KEEP	(EFER_LME | EFER_LMA)
#define EFER_FEW	0xfffu
#ifdef STATE
#define NAME		"hostile-state"
#define ANY_STATE	true
#define CR0_BITS	~0ull
#define CR4_BITS	~0ull
#define DR7_BITS	~0ull
#else
#define NAME		"hostile-cpu"
#define ANY_STATE	false
#define CR0_BITS	0x4005003full		/* all but NW, which needs CD, so that CD alone may change */
#define CR4_BITS	0x507dfull		/* what takes nothing away from this guest: no SMEP, SMAP, PCIDE */
#define DR7_BITS	0xffffdf00ull		/* no breakpoint, no general detect: the addresses are anybody's */
#endif

static uint64_t state = 0x6b65656c63707530u;

#define EXPECT_UD(instruction, rax) \
	do { \
		TRY(instruction, : : "a"(rax), "c"(0), "d"(0)); \
		require(fault_vector == EXC_UD, "%s did not raise #UD", instruction); \
	} while (0)

/* Instructions of virtualisation and monitoring, and those that the policy refuses. */
static void check_undefined(void)
{
	EXPECT_UD("vmmcall", SCRATCH);
	EXPECT_UD("vmcall", SCRATCH);
	EXPECT_UD("vmrun", SCRATCH);
	EXPECT_UD("vmload", SCRATCH);
	EXPECT_UD("vmsave", SCRATCH);
	EXPECT_UD("stgi", SCRATCH);
	EXPECT_UD("clgi", SCRATCH);
	EXPECT_UD("invlpga", SCRATCH);
	EXPECT_UD("skinit", SCRATCH);
	EXPECT_UD("vmlaunch", SCRATCH);
	EXPECT_UD("vmresume", SCRATCH);
	EXPECT_UD("vmxoff", SCRATCH);
	EXPECT_UD("ud2", SCRATCH);
	EXPECT_UD("monitor", SCRATCH);
	EXPECT_UD("mwait", 0);
}

static void check_others(void)
{
	uint32_t low, high;

	TRY("rsm", : :);
	require(fault_vector != NO_FAULT, "RSM outside of SMM");
	TRY("invd", : :);
	require(fault_vector == NO_FAULT, "INVD");
	TRY("wbinvd", : :);
	require(fault_vector == NO_FAULT, "WBINVD");
	TRY("rdpmc", : "=a"(low), "=d"(high) : "c"(NO_COUNTER));
	require(fault_vector != NO_FAULT, "RDPMC of a counter that is not there");
}

static void try_wrmsr(uint32_t msr, uint64_t value)
{
	TRY("wrmsr", : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

/* All bits at random or, now and then, few. */
static uint64_t random_cr4(void)
{
	uint64_t many = random_next(&state) | CR4_KEEP, few = random_next(&state) & many;

	return ((bit_of(few, 8) ? few : many) & CR4_BITS) | CR4_KEEP;
}

static uint64_t random_cr0(void)
{
	uint64_t value = random_next(&state);

	if (value & 1)
		value = (uint32_t)value;
	return (value & CR0_BITS) | CR0_KEEP;
}

static uint64_t random_efer(void)
{
	uint64_t value = random_next(&state);

	if (value & 1)
		value &= EFER_FEW;
	return value | EFER_KEEP;
}

static void write_debug_registers(void)
{
	uint64_t value = random_next(&state) & DR7_BITS;

	TRY("mov %0, %%dr7", : : "r"(value));
	TRY("mov %0, %%dr6", : : "r"(value));
	write_dr7(DR7_RESET);
}

/* Whatever is written, the machine goes on with what it had before. */
static void write_control(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	uint64_t value = random_cr4();

	TRY("mov %0, %%cr4", : : "r"(value));
	write_cr4(cr4);
	value = random_cr0();
	TRY("mov %0, %%cr0", : : "r"(value));
	write_cr0(cr0);
	try_wrmsr(MSR_EFER, random_efer());
	wrmsr(MSR_EFER, efer);
	value = random_next(&state);
	TRY("mov %0, %%cr8", : : "r"(value));
	write_cr8(0);
	write_debug_registers();
}

static void random_control(void)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4(), efer = rdmsr(MSR_EFER);
	unsigned int round;

	for (round = 0; round < ROUNDS; round++)
		write_control(cr0, cr4, efer);
	if (ANY_STATE) {
		/* Away from paging in 64-bit mode: #GP, but for an emulated processor, which goes astray. */
		TRY("mov %0, %%cr0", : : "r"(CR0_PE));
		require(fault_vector == EXC_GP, "CR0.PG cleared in 64-bit mode");
	}
	try_wrmsr(MSR_EFER, 0);
	require(fault_vector == EXC_GP, "EFER.LME cleared with paging on");
}

static void random_xcr0(void)
{
	unsigned int round;
	uint64_t value;

	if (!bit_of(cpuid(CPUID_FEATURES, 0).ecx, HAS_XSAVE))
		return;
	write_cr4(read_cr4() | CR4_OSXSAVE);
	for (round = 0; round < ROUNDS; round++) {
		value = random_next(&state);
		if (bit_of(value, 6))
			value &= 0xff;
		TRY("xsetbv", : : "c"((uint32_t)bit_of(value, 9)), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
	}
	xsetbv(0, XCR0_X87);
}

static void interrupt_storm(void)
{
	unsigned int i;

	for (i = 0; i < STORM; i++)
		asm volatile("int %0" : : "i"(VECTOR_SOFT) : "memory");
	require(counts[VECTOR_SOFT] == STORM, "INT n lost or doubled");
}

/* A stack that cannot be used makes a double fault, which has a stack of its own. */
static void nested_faults(void)
{
	unsigned int round;
	uint64_t value;

	for (round = 0; round < NESTED_ROUNDS; round++) {
		TRY("mov %0, %%rsp\n\tud2", : : "r"(NOT_CANONICAL));
		require(fault_vector == EXC_DF, "no double fault");
		TRY("mov (%1), %0", : "=r"(value) : "r"(NOT_MAPPED));
		require(fault_vector == EXC_PF, "no page fault");
	}
}

GUEST(NAME)
{
	if (ANY_STATE) {
		random_control();
		return;
	}
	check_undefined();
	check_others();
	random_control();
	print("hostile-cpu: control registers\n");
	random_xcr0();
	interrupt_storm();
	nested_faults();
}
