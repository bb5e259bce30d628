// SPDX-License-Identifier: GPL-2.0
/* Reads and writes MSRs at random, known ranges and unknown: each gives a value or #GP. */
#include "apic.h"

#include <keel/cell.h>

#define ROUNDS		6000
#define ICR_HARMLESS	0x0008f0ffu	/* no INIT, SIPI or NMI: those are other guests' business */

static const struct {
	uint32_t first, mask;		/* of the offset */
} ranges[] = {
	{ 0, 0x1fff },
	{ MSR_TSC, 0xf },
	{ MSR_APIC_BASE, 0 },
	{ MSR_SYSENTER_CS, 3 },
	{ MSR_DEBUGCTL - 1, 7 },
	{ MSR_MTRR_PHYSBASE0, 0x7f },
	{ MSR_PAT, 0 },
	{ MSR_MC0_CTL, 0x3f },
	{ MSR_VMX_BASIC, 0x1f },
	{ MSR_TSC_DEADLINE, 0 },
	{ MSR_X2APIC_FIRST, 0xff },
	{ MSR_L3_QOS_CFG - 1, 0xff },	/* quality of service */
	{ 0x40000000, 0x1ff },		/* hypervisors' */
	{ KEEL_MSR_WALL_CLOCK, 0xf },	/* KVM's */
	{ MSR_EFER, 0xff },
	{ MSR_FS_BASE, 7 },
	{ MSR_AMD_FIRST, 0xfff },
	{ MSR_SMM_ADDR - 2, 0xf },	/* and VM_CR */
	{ MSR_AMD_FIRST + 0x1000, 0xfff },
	{ 0, 0xffffffff },
	{ 0xfffff000, 0xfff },
};

static uint64_t state = 0x6b65656c6d737201u;

static uint32_t choose(void)
{
	uint64_t range = random_next(&state) % ARRAY_SIZE(ranges);

	return ((uint32_t)random_next(&state) & ranges[range].mask) + ranges[range].first;
}

static bool try_read(uint32_t msr, uint64_t *value)
{
	uint32_t low = 0, high = 0;

	TRY("rdmsr", : "+a"(low), "+d"(high) : "c"(msr));
	*value = (uint64_t)high << 32 | low;
	return fault_vector == NO_FAULT;
}

static void expect_value_or_fault(void)
{
	require(fault_vector == NO_FAULT || fault_vector == EXC_GP, "a fault that is not #GP");
}

/* What is there with one bit changed, a canonical address, none, or what it was. */
static uint64_t like(uint32_t msr, uint64_t random)
{
	uint64_t kind = random_next(&state), value;

	if (!(kind & 3))
		return random;
	if (kind & 1)
		return try_read(msr, &value) ? value ^ 1ull << random % 64 : random;
	return kind & 4 ? 0x1000 : 0;
}

static uint64_t choose_value(uint32_t msr)
{
	uint64_t value = like(msr, random_next(&state));

	return msr == MSR_X2APIC_ICR ? value & ICR_HARMLESS : value;
}

GUEST("hostile-msr")
{
	uint64_t value;
	unsigned int round;
	uint32_t msr;

	for (round = 0; round < ROUNDS; round++) {
		msr = choose();
		try_read(msr, &value);
		expect_value_or_fault();
		value = choose_value(msr);
		TRY("wrmsr", : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
		expect_value_or_fault();
	}
}
