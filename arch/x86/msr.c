// SPDX-License-Identifier: GPL-2.0
// Model-specific registers of guests that belong neither to the world switch nor to the device model.

#include "msr.h"

#include <stddef.h>

#include <keel/macros.h>
#include <x86/msr.h>

#include "cpu.h"
#include "cpuid.h"
#include "hv.h"
#include "vcpu.h"
#include "vm.h"

enum policy {
	ABSENT,		/* #GP, and here is why */
	ZERO,		/* reads 0, writes vanish */
	CONSTANT,	/* reads value, writes vanish */
	READONLY,	/* reads value, writes are #GP */
	CORES,		/* likewise: threads, and from bit 16 on cores, of the package */
	STORAGE,	/* value at first; keeps what is written to the bits that can be */
};

struct rule {
	uint32_t first;
	uint32_t last;
	enum policy policy;
	uint64_t value;
	uint64_t writable;
};

#define ALL_BITS	(~0ull)
#define ONE(msr)	(msr), (msr)
#define MTRR_CAP	0x508ull	/* 8 variable ranges, fixed ranges, write-combining */
#define POWER_LIMIT_LOCK (1ull << 63)
#define CORES_SHIFT	16

#define MISC_FAST_STRINGS	(1ull << 0)
#define MISC_NO_TRACES		(3ull << 11)	/* no branch trace store, no PEBS: CPUID has no debug store */
#define MISC_LIMIT_CPUID	(1ull << 22)

/*
 * MSRs that systems read or write before they have a handler for #GP, or whatever CPUID says. Guests see the family and
 * model of the processor, so that registers of models before those with SVM and nested paging, or EPT, need not be there.
 */
static const struct rule rules[] = {
	{ ONE(MSR_PLATFORM_ID), ZERO, 0, 0 },
	{ ONE(MSR_EBL_CR_POWERON), ABSENT, 0, 0 },			/* up to Core 2 (SDM vol. 4, 2.3) */
	{ ONE(MSR_EBC_FREQUENCY_ID), ABSENT, 0, 0 },			/* Pentium 4 (SDM vol. 4, 2.18) */
	{ ONE(MSR_SMI_COUNT), READONLY, 0, 0 },				/* SMI_COUNT, Nehalem and on: the machine has no SMM */
	{ ONE(MSR_CORE_THREAD_COUNT), CORES, 0, 0 },			/* CORE_THREAD_COUNT, Nehalem and on */
	{ ONE(MSR_FEATURE_CONTROL), CONSTANT, FEATURE_CONTROL_LOCK, 0 },	/* feature control: locked, VMX off */
	{ ONE(MSR_UCODE_WRITE), ZERO, 0, 0 },				/* microcode update */
	{ ONE(MSR_UCODE_REVISION), ZERO, 0, 0 },
	{ ONE(MSR_PLATFORM_INFO), ZERO, 0, 0 },
	{ ONE(MSR_PKG_CST_CONFIG), ZERO, 0, 0 },			/* C-state control */
	{ ONE(MSR_MTRR_CAP), CONSTANT, MTRR_CAP, 0 },
	{ ONE(MSR_BBL_CR_CTL3), ABSENT, 0, 0 },				/* P6 to Core 2 (SDM vol. 4, 2.3) */
	{ ONE(MSR_MISC_FEATURES_ENABLES), ZERO, 0, 0 },			/* miscellaneous features */
	/*
	 * CPUID announces MCE and MCA, as every system of 64 bits expects; MCG_CAP has no banks, and so the banks' registers are
	 * #GP. MCG_CTL need not be there (SDM vol. 3, 16.3.1), but Windows reads all three unasked.
	 */
	{ MSR_MCG_CAP, MSR_MCG_CTL, ZERO, 0, 0 },
	{ MSR_PERFEVTSEL0, MSR_PERFEVTSEL1, ZERO, 0, 0 },		/* performance counters */
	{ MSR_PERF_STATUS, MSR_PERF_CTL, ZERO, 0, 0 },
	{ MSR_CLOCK_MODULATION, MSR_THERM_STATUS, ZERO, 0, 0 },		/* thermal */
	/*
	 * What else can be written there belongs to what CPUID does not show (SpeedStep, MONITOR, xTPR messages) or
	 * to single models: it stays as it is. XD cannot be switched off: that bit is an offer of firmware, which
	 * none makes here.
	 */
	{ ONE(MSR_MISC_ENABLE), STORAGE, MISC_FAST_STRINGS | MISC_NO_TRACES,
	  MISC_FAST_STRINGS | MISC_LIMIT_CPUID },
	{ ONE(MSR_DEBUGCTL), ZERO, 0, 0 },
	{ MSR_LAST_BRANCH_FROM, MSR_LAST_INTERRUPT_TO, ZERO, 0, 0 },	/* last branch */
	{ MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSMASK7, STORAGE, 0, ALL_BITS },	/* variable MTRRs */
	{ ONE(MSR_MTRR_FIX64K_00000), STORAGE, 0, ALL_BITS },		/* fixed MTRRs */
	{ MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000, STORAGE, 0, ALL_BITS },
	{ MSR_MTRR_FIX4K_C0000, MSR_MTRR_FIX4K_F8000, STORAGE, 0, ALL_BITS },
	{ ONE(MSR_MTRR_DEF_TYPE), STORAGE, 0, ALL_BITS },
	{ ONE(MSR_RAPL_POWER_UNIT), ZERO, 0, 0 },
	/* Package power limit: beside the unit on all models that have it. Locked, as firmware leaves it. */
	{ ONE(MSR_PKG_POWER_LIMIT), CONSTANT, POWER_LIMIT_LOCK, 0 },
	{ MSR_K7_PERFEVTSEL0, MSR_K7_PERFCTR3, ZERO, 0, 0 },		/* AMD performance counters */
	{ ONE(MSR_SYSCFG), ZERO, 0, 0 },
	{ ONE(MSR_HWCR), STORAGE, 0, ALL_BITS },
	{ ONE(MSR_TOP_MEM), ZERO, 0, 0 },
	{ ONE(MSR_CLK_CTL), ABSENT, 0, 0 },				/* K7, which had neither long mode nor SVM */
	{ ONE(MSR_TOP_MEM2), ZERO, 0, 0 },
	{ ONE(MSR_NB_CFG), ZERO, 0, 0 },
	{ ONE(MSR_INT_PENDING), ZERO, 0, 0 },				/* interrupt pending message */
	{ ONE(MSR_MMIO_CFG_BASE), ZERO, 0, 0 },
	{ MSR_PSTATE_LIMIT, MSR_PSTATE_DEF4, ZERO, 0, 0 },		/* P-states */
	{ MSR_SMM_ADDR, MSR_SMM_MASK, ZERO, 0, 0 },
	{ ONE(MSR_VM_CR), CONSTANT, VM_CR_LOCK | VM_CR_SVMDIS, 0 },	/* SVM locked off */
	{ ONE(MSR_VM_HSAVE_PA), ABSENT, 0, 0 },				/* comes with SVM (APM vol. 2, 15.30.4) */
	{ MSR_OSVW_ID_LENGTH, MSR_OSVW_STATUS, ZERO, 0, 0 },		/* OS visible workarounds */
	{ MSR_LS_CFG, MSR_CORE_CFG_LAST, ZERO, 0, 0 },			/* load-store, decode and cache configuration */
};

/* The rules are in the order of their MSRs. */
static const struct rule *find(uint32_t msr)
{
	const struct rule *rule = rules;
	size_t left = ARRAY_SIZE(rules), half;

	for (; left > 1; left -= half) {
		half = left / 2;
		if (msr > rule[half - 1].last)
			rule += half;
	}
	return msr >= rule->first && msr <= rule->last ? rule : NULL;
}

/* Where a register is kept: behind those of the rules before. */
static unsigned int slot_of(const struct rule *rule, uint32_t msr)
{
	unsigned int slot = msr - rule->first;
	const struct rule *before;

	for (before = rules; before < rule; before++)
		if (before->policy == STORAGE)
			slot += before->last - before->first + 1;
	return slot;
}

/* What is kept is the difference from the value at first. */
static bool read_rule(const struct vcpu *vcpu, const struct rule *rule, uint32_t msr, uint64_t *value)
{
	const struct keel_topology *topology = &vcpu->vm->topology;

	switch (rule->policy) {
	case ABSENT:
		return false;
	case ZERO:
	case CONSTANT:
	case READONLY:
		*value = rule->value;
		return true;
	case CORES:
		*value = topology->cores << CORES_SHIFT | topology->cores * topology->threads;
		return true;
	case STORAGE:
		*value = rule->value ^ vcpu->misc[slot_of(rule, msr)];
		return true;
	}
	return false;
}

static bool write_rule(struct vcpu *vcpu, const struct rule *rule, uint32_t msr, uint64_t value)
{
	if (rule->policy == STORAGE)
		vcpu->misc[slot_of(rule, msr)] = (rule->value ^ value) & rule->writable;
	if (rule->first == MSR_MISC_ENABLE)
		vcpu->cpuid_limited = value & MISC_LIMIT_CPUID;
	return rule->policy == ZERO || rule->policy == CONSTANT || rule->policy == STORAGE;
}

/*
 * What is added to the TSC is added to TSC_ADJUST too, and the other way round (SDM vol. 3, 18.17.3). The cell, which has a
 * timer and a clock that go by the guest's TSC, has its turn before the guest goes on.
 */
static void move_tsc(struct vcpu *vcpu, uint64_t by)
{
	vcpu->tsc_offset += by;
	vcpu->tsc_adjust += by;
	hv->vcpu.tsc_moved(vcpu);
	__atomic_store_n(&vcpu->poll, 1, __ATOMIC_RELAXED);
}

bool msr_pat_is_valid(uint64_t value)
{
	unsigned int i, type;

	for (i = 0; i < 8; i++, value >>= 8) {
		type = value & 0xff;
		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

bool msr_guest_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	const struct rule *rule;

	if (msr == MSR_TSC) {
		*value = rdtsc() + vcpu->tsc_offset;
		return true;
	}
	if (msr == MSR_TSC_ADJUST) {
		*value = vcpu->tsc_adjust;
		return true;
	}
	rule = find(msr);
	if (rule)
		return read_rule(vcpu, rule, msr, value);
	if (msr == MSR_TSC_AUX && cpuid_guest_tsc_aux()) {
		*value = vcpu->tsc_aux;
		return true;
	}
	return hv->vcpu.rdmsr && hv->vcpu.rdmsr(vcpu, msr, value);
}

bool msr_guest_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	const struct rule *rule;

	if (msr == MSR_TSC) {
		move_tsc(vcpu, value - (rdtsc() + vcpu->tsc_offset));
		return true;
	}
	if (msr == MSR_TSC_ADJUST) {
		move_tsc(vcpu, value - vcpu->tsc_adjust);
		return true;
	}
	if (msr == MSR_TSC_AUX && cpuid_guest_tsc_aux()) {
		if (value >> 32)
			return false;
		vcpu->tsc_aux = value;
		wrmsr(MSR_TSC_AUX, value);
		return true;
	}
	if (msr == MSR_PAT && !msr_pat_is_valid(value))
		return false;
	rule = find(msr);
	if (rule)
		return write_rule(vcpu, rule, msr, value);
	return hv->vcpu.wrmsr && hv->vcpu.wrmsr(vcpu, msr, value);
}

static struct keel_msr *append(struct keel_msr *next, uint32_t msr, uint64_t value)
{
	*next = (struct keel_msr){ .index = msr, .value = value };
	return next + 1;
}

unsigned int msr_guest_save(const struct vcpu *vcpu, struct keel_msr list[KEEL_STATE_MSRS])
{
	struct keel_msr *next = list;
	unsigned int slot = 0;
	uint32_t msr;
	size_t i;

	next = append(next, MSR_TSC_ADJUST, vcpu->tsc_adjust);
	if (cpuid_guest_tsc_aux())
		next = append(next, MSR_TSC_AUX, vcpu->tsc_aux);
	for (i = 0; i < ARRAY_SIZE(rules); i++)
		for (msr = rules[i].first; rules[i].policy == STORAGE && msr <= rules[i].last; msr++)
			next = append(next, msr, rules[i].value ^ vcpu->misc[slot++]);
	return (unsigned int)(next - list);
}

bool msr_guest_may_load(uint32_t msr, uint64_t value)
{
	const struct rule *rule;

	if (msr == MSR_TSC_ADJUST)
		return true;
	if (msr == MSR_TSC_AUX)
		return cpuid_guest_tsc_aux() && !(value >> 32);
	rule = find(msr);
	return rule && rule->policy == STORAGE && !((rule->value ^ value) & ~rule->writable);
}

void msr_guest_load(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	/* All others are as if the guest wrote them; this one would move its TSC. */
	if (msr == MSR_TSC_ADJUST)
		vcpu->tsc_adjust = value;
	else
		msr_guest_write(vcpu, msr, value);
}
