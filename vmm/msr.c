// SPDX-License-Identifier: GPL-2.0
// Model-specific registers of guests that belong neither to the world switch nor to the device model.

#include "vm.h"

#include <stddef.h>

#include "cpu.h"
#include "hv.h"

enum policy {
	MSR_ZERO,	/* reads 0, writes vanish */
	MSR_CONSTANT,	/* reads value, writes vanish */
	MSR_STORAGE,	/* keeps what is written */
};

struct rule {
	uint32_t first, last;
	enum policy policy;
	uint64_t value;
};

#define MTRR_CAP	0x508ull	/* 8 variable ranges, fixed ranges, write-combining */
#define MISC_ENABLE	0x1ull		/* fast strings */

/* MSRs that systems read or write before they have a handler for #GP, or whatever CPUID says. */
static const struct rule rules[] = {
	{ 0x17, 0x17, MSR_ZERO, 0 },			/* platform ID */
	{ 0x3a, 0x3a, MSR_CONSTANT, 1 },		/* feature control: locked, VMX off */
	{ 0x3b, 0x3b, MSR_STORAGE, 0 },			/* TSC adjust: hidden by CPUID, kept for those who do not look */
	{ 0x79, 0x79, MSR_ZERO, 0 },			/* microcode update */
	{ 0x8b, 0x8b, MSR_ZERO, 0 },			/* microcode revision */
	{ 0xce, 0xce, MSR_ZERO, 0 },			/* platform information */
	{ 0xe2, 0xe2, MSR_ZERO, 0 },			/* C-state control */
	{ 0xfe, 0xfe, MSR_CONSTANT, MTRR_CAP },
	{ 0x140, 0x140, MSR_ZERO, 0 },			/* miscellaneous features */
	{ 0x179, 0x17b, MSR_ZERO, 0 },			/* machine check: no banks */
	{ 0x186, 0x187, MSR_ZERO, 0 },			/* performance counters */
	{ 0x198, 0x199, MSR_ZERO, 0 },			/* P-state */
	{ 0x19a, 0x19c, MSR_ZERO, 0 },			/* thermal */
	{ 0x1a0, 0x1a0, MSR_CONSTANT, MISC_ENABLE },
	{ 0x1d9, 0x1d9, MSR_ZERO, 0 },			/* debug control */
	{ 0x1db, 0x1de, MSR_ZERO, 0 },			/* last branch */
	{ 0x200, 0x20f, MSR_STORAGE, 0 },		/* variable MTRRs */
	{ 0x250, 0x250, MSR_STORAGE, 0 },		/* fixed MTRRs */
	{ 0x258, 0x259, MSR_STORAGE, 0 },
	{ 0x268, 0x26f, MSR_STORAGE, 0 },
	{ 0x2ff, 0x2ff, MSR_STORAGE, 0 },		/* MTRR default type */
	{ 0x400, 0x41f, MSR_ZERO, 0 },			/* machine-check banks */
	{ 0x606, 0x606, MSR_ZERO, 0 },			/* RAPL unit */
	{ 0xc0010000, 0xc0010007, MSR_ZERO, 0 },	/* AMD performance counters */
	{ 0xc0010010, 0xc0010010, MSR_ZERO, 0 },	/* SYSCFG */
	{ 0xc0010015, 0xc0010015, MSR_STORAGE, 0 },	/* HWCR */
	{ 0xc001001a, 0xc001001a, MSR_ZERO, 0 },	/* TOP_MEM */
	{ 0xc001001d, 0xc001001d, MSR_ZERO, 0 },	/* TOP_MEM2 */
	{ 0xc001001f, 0xc001001f, MSR_ZERO, 0 },	/* northbridge configuration */
	{ 0xc0010055, 0xc0010055, MSR_ZERO, 0 },	/* interrupt pending message */
	{ 0xc0010058, 0xc0010058, MSR_ZERO, 0 },	/* MMIO configuration base */
	{ 0xc0010061, 0xc0010068, MSR_ZERO, 0 },	/* P-states */
	{ 0xc0010112, 0xc0010113, MSR_ZERO, 0 },	/* SMM ranges */
	{ 0xc0010114, 0xc0010114, MSR_CONSTANT, 0x18 },	/* VM_CR: SVM locked off */
	{ 0xc0010140, 0xc0010141, MSR_ZERO, 0 },	/* OS visible workarounds */
	{ 0xc0011020, 0xc001102f, MSR_ZERO, 0 },	/* load-store, decode and cache configuration */
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
	if (msr == MSR_TSC_AUX && cpuid_guest_tsc_aux()) {
		*value = vcpu->tsc_aux;
		return true;
	}
	rule = find(msr, &slot);
	if (!rule)
		return hv->vcpu_rdmsr && hv->vcpu_rdmsr(vcpu, msr, value);
	*value = rule->policy == MSR_STORAGE ? vcpu->misc[slot] : rule->value;
	return true;
}

bool msr_guest_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	const struct rule *rule;
	unsigned int slot;

	if (msr == MSR_TSC) {
		vcpu->tsc_offset = value - rdtsc();
		hv->vcpu_set_tsc_offset(vcpu, vcpu->tsc_offset);
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
	if (!rule)
		return hv->vcpu_wrmsr && hv->vcpu_wrmsr(vcpu, msr, value);
	if (rule->policy == MSR_STORAGE)
		vcpu->misc[slot] = value;
	return true;
}
