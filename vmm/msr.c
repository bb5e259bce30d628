// SPDX-License-Identifier: GPL-2.0
// Model-specific registers of guests that belong neither to the world switch nor to the device model.

#include "vm.h"

#include <stddef.h>

#include "cpu.h"
#include "hv.h"

enum policy {
	MSR_ABSENT,	/* #GP, and here is why */
	MSR_ZERO,	/* reads 0, writes vanish */
	MSR_CONSTANT,	/* reads value, writes vanish */
	MSR_READONLY,	/* reads value, writes are #GP */
	MSR_CORES,	/* likewise: threads, and from bit 16 on cores, of the package */
	MSR_STORAGE,	/* value at first; keeps what is written to the bits that can be */
};

struct rule {
	uint32_t first, last;
	enum policy policy;
	uint64_t value, writable;
};

#define ALL_BITS	(~0ull)
#define MTRR_CAP	0x508ull	/* 8 variable ranges, fixed ranges, write-combining */
#define POWER_LIMIT_LOCK (1ull << 63)
#define CORES_SHIFT	16

#define MSR_MISC_ENABLE		0x1a0u
#define MISC_FAST_STRINGS	(1ull << 0)
#define MISC_NO_TRACES		(3ull << 11)	/* no branch trace store, no PEBS: CPUID has no debug store */
#define MISC_LIMIT_CPUID	(1ull << 22)

/*
 * MSRs that systems read or write before they have a handler for #GP, or whatever CPUID says. Guests see the family and
 * model of the processor, so that registers of models before those with SVM and nested paging, or EPT, need not be there.
 */
static const struct rule rules[] = {
	{ 0x17, 0x17, MSR_ZERO, 0, 0 },			/* platform ID */
	{ 0x2a, 0x2a, MSR_ABSENT, 0, 0 },		/* EBL_CR_POWERON: up to Core 2 (SDM vol. 4, 2.3) */
	{ 0x2c, 0x2c, MSR_ABSENT, 0, 0 },		/* EBC_FREQUENCY_ID: Pentium 4 (SDM vol. 4, 2.18) */
	{ 0x34, 0x34, MSR_READONLY, 0, 0 },		/* SMI_COUNT, Nehalem and on: the machine has no SMM */
	{ 0x35, 0x35, MSR_CORES, 0, 0 },		/* CORE_THREAD_COUNT, Nehalem and on */
	{ 0x3a, 0x3a, MSR_CONSTANT, 1, 0 },		/* feature control: locked, VMX off */
	{ 0x79, 0x79, MSR_ZERO, 0, 0 },			/* microcode update */
	{ 0x8b, 0x8b, MSR_ZERO, 0, 0 },			/* microcode revision */
	{ 0xce, 0xce, MSR_ZERO, 0, 0 },			/* platform information */
	{ 0xe2, 0xe2, MSR_ZERO, 0, 0 },			/* C-state control */
	{ 0xfe, 0xfe, MSR_CONSTANT, MTRR_CAP, 0 },
	{ 0x11e, 0x11e, MSR_ABSENT, 0, 0 },		/* BBL_CR_CTL3: P6 to Core 2 (SDM vol. 4, 2.3) */
	{ 0x140, 0x140, MSR_ZERO, 0, 0 },		/* miscellaneous features */
	/*
	 * CPUID announces MCE and MCA, as every system of 64 bits expects; MCG_CAP has no banks, and so the banks' registers are
	 * #GP. MCG_CTL need not be there (SDM vol. 3, 16.3.1), but Windows reads all three unasked.
	 */
	{ 0x179, 0x17b, MSR_ZERO, 0, 0 },
	{ 0x186, 0x187, MSR_ZERO, 0, 0 },		/* performance counters */
	{ 0x198, 0x199, MSR_ZERO, 0, 0 },		/* P-state */
	{ 0x19a, 0x19c, MSR_ZERO, 0, 0 },		/* thermal */
	/*
	 * What else can be written there belongs to what CPUID does not show (SpeedStep, MONITOR, xTPR messages) or to single models:
	 * it stays as it is. XD cannot be switched off: that bit is an offer of firmware, which none makes here.
	 */
	{ MSR_MISC_ENABLE, MSR_MISC_ENABLE, MSR_STORAGE, MISC_FAST_STRINGS | MISC_NO_TRACES,
	  MISC_FAST_STRINGS | MISC_LIMIT_CPUID },
	{ 0x1d9, 0x1d9, MSR_ZERO, 0, 0 },		/* debug control */
	{ 0x1db, 0x1de, MSR_ZERO, 0, 0 },		/* last branch */
	{ 0x200, 0x20f, MSR_STORAGE, 0, ALL_BITS },	/* variable MTRRs */
	{ 0x250, 0x250, MSR_STORAGE, 0, ALL_BITS },	/* fixed MTRRs */
	{ 0x258, 0x259, MSR_STORAGE, 0, ALL_BITS },
	{ 0x268, 0x26f, MSR_STORAGE, 0, ALL_BITS },
	{ 0x2ff, 0x2ff, MSR_STORAGE, 0, ALL_BITS },	/* MTRR default type */
	{ 0x606, 0x606, MSR_ZERO, 0, 0 },		/* RAPL unit */
	/* Package power limit: beside the unit on all models that have it. Locked, as firmware leaves it. */
	{ 0x610, 0x610, MSR_CONSTANT, POWER_LIMIT_LOCK, 0 },
	{ 0xc0010000, 0xc0010007, MSR_ZERO, 0, 0 },	/* AMD performance counters */
	{ 0xc0010010, 0xc0010010, MSR_ZERO, 0, 0 },	/* SYSCFG */
	{ 0xc0010015, 0xc0010015, MSR_STORAGE, 0, ALL_BITS },	/* HWCR */
	{ 0xc001001a, 0xc001001a, MSR_ZERO, 0, 0 },	/* TOP_MEM */
	{ 0xc001001b, 0xc001001b, MSR_ABSENT, 0, 0 },	/* CLK_CTL: K7, which had neither long mode nor SVM */
	{ 0xc001001d, 0xc001001d, MSR_ZERO, 0, 0 },	/* TOP_MEM2 */
	{ 0xc001001f, 0xc001001f, MSR_ZERO, 0, 0 },	/* northbridge configuration */
	{ 0xc0010055, 0xc0010055, MSR_ZERO, 0, 0 },	/* interrupt pending message */
	{ 0xc0010058, 0xc0010058, MSR_ZERO, 0, 0 },	/* MMIO configuration base */
	{ 0xc0010061, 0xc0010068, MSR_ZERO, 0, 0 },	/* P-states */
	{ 0xc0010112, 0xc0010113, MSR_ZERO, 0, 0 },	/* SMM ranges */
	{ 0xc0010114, 0xc0010114, MSR_CONSTANT, 0x18, 0 },	/* VM_CR: SVM locked off */
	{ 0xc0010117, 0xc0010117, MSR_ABSENT, 0, 0 },	/* VM_HSAVE_PA: comes with SVM (APM vol. 2, 15.30.4) */
	{ 0xc0010140, 0xc0010141, MSR_ZERO, 0, 0 },	/* OS visible workarounds */
	{ 0xc0011020, 0xc001102f, MSR_ZERO, 0, 0 },	/* load-store, decode and cache configuration */
};

static const struct rule *find(uint32_t msr, unsigned int *slot)
{
	size_t i;

	*slot = 0;
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (msr >= rules[i].first && msr <= rules[i].last) {
			*slot += msr - rules[i].first;
			return &rules[i];
		}
		if (rules[i].policy == MSR_STORAGE)
			*slot += rules[i].last - rules[i].first + 1;
	}
	return NULL;
}

/* What is kept is the difference from the value at first. */
static bool read_rule(const struct vcpu *vcpu, const struct rule *rule, unsigned int slot, uint64_t *value)
{
	const struct keel_topology *topology = &vcpu->vm->topology;

	switch (rule->policy) {
	case MSR_ABSENT:
		return false;
	case MSR_ZERO:
	case MSR_CONSTANT:
	case MSR_READONLY:
		*value = rule->value;
		return true;
	case MSR_CORES:
		*value = topology->cores << CORES_SHIFT | topology->cores * topology->threads;
		return true;
	case MSR_STORAGE:
		*value = rule->value ^ vcpu->misc[slot];
		return true;
	}
	return false;
}

static bool write_rule(struct vcpu *vcpu, const struct rule *rule, unsigned int slot, uint64_t value)
{
	if (rule->policy == MSR_STORAGE)
		vcpu->misc[slot] = (rule->value ^ value) & rule->writable;
	if (rule->first == MSR_MISC_ENABLE)
		vcpu->cpuid_limited = value & MISC_LIMIT_CPUID;
	return rule->policy == MSR_ZERO || rule->policy == MSR_CONSTANT || rule->policy == MSR_STORAGE;
}

bool msr_guest_limits_cpuid(const struct vcpu *vcpu)
{
	return vcpu->cpuid_limited;
}

/*
 * What is added to the TSC is added to TSC_ADJUST too, and the other way round (SDM vol. 3, 18.17.3). The cell, which has a
 * timer and a clock that go by the guest's TSC, has its turn before the guest goes on.
 */
static void move_tsc(struct vcpu *vcpu, uint64_t by)
{
	vcpu->tsc_offset += by;
	vcpu->tsc_adjust += by;
	hv->vcpu_set_tsc_offset(vcpu, vcpu->tsc_offset);
	__atomic_store_n(&vcpu->poll, 1, __ATOMIC_RELAXED);
}

static bool pat_is_valid(uint64_t value)
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
	unsigned int slot;

	if (msr == MSR_TSC) {
		*value = rdtsc() + vcpu->tsc_offset;
		return true;
	}
	if (msr == MSR_TSC_ADJUST) {
		*value = vcpu->tsc_adjust;
		return true;
	}
	if (msr == MSR_TSC_AUX && cpuid_guest_tsc_aux()) {
		*value = vcpu->tsc_aux;
		return true;
	}
	rule = find(msr, &slot);
	if (rule)
		return read_rule(vcpu, rule, slot, value);
	return hv->vcpu_rdmsr && hv->vcpu_rdmsr(vcpu, msr, value);
}

bool msr_guest_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	const struct rule *rule;
	unsigned int slot;

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
	if (msr == MSR_PAT && !pat_is_valid(value))
		return false;
	rule = find(msr, &slot);
	if (rule)
		return write_rule(vcpu, rule, slot, value);
	return hv->vcpu_wrmsr && hv->vcpu_wrmsr(vcpu, msr, value);
}
