/* SPDX-License-Identifier: GPL-2.0 */
/* The MSRs of guests: what is kept, what is constant, what faults, and that none of it reaches the processor. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "cpu.h"
#include "suite.h"

static uint64_t processor_tsc(void);

#define rdtsc() processor_tsc()
#include "../../arch/x86/msr.c"
#undef rdtsc

#define MARK	0x5a00000000000000ull
#define MISC_SLOTS ARRAY_SIZE(((struct vcpu *)0)->misc)

const struct hv_ops *hv;

static uint64_t tsc;
static bool tsc_aux;
static uint32_t written_msr;
static uint64_t written;
static unsigned int writes;
static uint64_t offset;
static uint32_t vendor_msr;
static uint64_t vendor_value;
static unsigned int vendor_writes;
static bool vendor_knows;
static struct vm vm;
static struct vcpu *vcpu, *other;

static uint64_t processor_tsc(void)
{
	return tsc++;
}

void wrmsr(uint32_t msr, uint64_t value)
{
	written_msr = msr;
	written = value;
	writes++;
}

bool cpuid_guest_tsc_aux(void)
{
	return tsc_aux;
}

static void tsc_moved(struct vcpu *v)
{
	offset = v->tsc_offset;
}

static bool vendor_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	vendor_msr = msr;
	*value = vendor_value;
	return vendor_knows;
}

static bool vendor_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value)
{
	(void)v;
	vendor_msr = msr;
	vendor_value = value;
	vendor_writes++;
	return vendor_knows;
}

static const struct hv_ops ops = {
	.vcpu.tsc_moved = tsc_moved, .vcpu.rdmsr = vendor_rdmsr, .vcpu.wrmsr = vendor_wrmsr,
};

static void setup(void)
{
	hv = &ops;
	tsc = 1000;
	tsc_aux = true;
	writes = vendor_writes = 0;
	vendor_knows = false;
	vcpu = calloc(1, sizeof(*vcpu));
	other = calloc(1, sizeof(*other));
	vm.vcpu_count = 12;
	vm.topology = (struct keel_topology){ 2, 3, 2 };
	vcpu->vm = other->vm = &vm;
}

static void teardown(void)
{
	free(vcpu);
	free(other);
}

/* All ranges in which processors have MSRs, and a hypervisor's. */
static const struct {
	uint32_t first, last;
} spaces[] = {
	{ 0, 0x1fff }, { 0x40000000, 0x400001ff }, { 0x4b564d00, 0x4b564dff }, { 0xc0000000, 0xc0001fff },
	{ 0xc0010000, 0xc0011fff }, { 0xfffffff0, 0xfffffffe },
};

static void for_each(void (*visit)(uint32_t msr))
{
	for (unsigned int i = 0; i < ARRAY_SIZE(spaces); i++)
		for (uint32_t msr = spaces[i].first; msr <= spaces[i].last; msr++)
			if (msr != MSR_TSC && msr != MSR_TSC_ADJUST && msr != MSR_TSC_AUX && msr != MSR_PAT &&
			    msr != MSR_MISC_ENABLE)
				visit(msr);
}

static void write_mark(uint32_t msr)
{
	msr_guest_write(vcpu, msr, MARK | msr);
}

static bool is_storage(uint32_t msr)
{
	return (msr >= MSR_MTRR_PHYSBASE0 && msr <= MSR_MTRR_PHYSMASK7) || msr == MSR_MTRR_FIX64K_00000 ||
	       msr == MSR_MTRR_FIX16K_80000 || msr == MSR_MTRR_FIX16K_A0000 ||
	       (msr >= MSR_MTRR_FIX4K_C0000 && msr <= MSR_MTRR_FIX4K_F8000) || msr == MSR_MTRR_DEF_TYPE || msr == MSR_HWCR;
}

static void read_mark(uint32_t msr)
{
	uint64_t value = 1;

	if (is_storage(msr)) {
		ck_assert(msr_guest_read(vcpu, msr, &value));
		ck_assert_msg(value == (MARK | msr), "MSR %x reads %lx", msr, value);
		ck_assert(msr_guest_read(other, msr, &value) && !value);
	} else if (msr_guest_read(vcpu, msr, &value)) {
		ck_assert_msg(value < 0x10000 || msr == MSR_CORE_THREAD_COUNT || msr == MSR_PKG_POWER_LIMIT,
			      "MSR %x reads %lx", msr, value);
	}
}

/* No two registers share a place, nothing but MTRRs and their like is kept, and the processor sees none of it. */
START_TEST(storage)
{
	for_each(write_mark);
	for_each(read_mark);
	ck_assert_uint_eq(writes, 0);
}
END_TEST

START_TEST(storage_fits)
{
	const struct rule *last = &rules[ARRAY_SIZE(rules) - 1];

	ck_assert_uint_le(slot_of(last, last->last), MISC_SLOTS - 1);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		ck_assert_uint_le(rules[i].first, rules[i].last);
		ck_assert(!i || rules[i - 1].last < rules[i].first);
	}
}
END_TEST

/* No handler for #GP is there yet when systems touch these. */
START_TEST(early_registers_do_not_fault)
{
	static const struct {
		uint32_t msr;
		uint64_t value;
	} known[] = {
		{ MSR_PLATFORM_ID, 0 }, { MSR_FEATURE_CONTROL, 1 }, { MSR_UCODE_WRITE, 0 }, { MSR_UCODE_REVISION, 0 },
		{ MSR_PLATFORM_INFO, 0 }, { MSR_MTRR_CAP, 0x508 }, { MSR_MISC_FEATURES_ENABLES, 0 }, { MSR_MCG_CAP, 0 },
		{ MSR_MCG_STATUS, 0 }, { MSR_MCG_CTL, 0 }, { MSR_PERF_STATUS, 0 }, { MSR_PERF_CTL, 0 },
		{ MSR_MISC_ENABLE, 0x1801 }, { MSR_DEBUGCTL, 0 }, { MSR_MTRR_DEF_TYPE, 0 }, { MSR_RAPL_POWER_UNIT, 0 },
		{ MSR_PKG_POWER_LIMIT, 1ull << 63 }, { 0xc0010004, 0 }, { MSR_SYSCFG, 0 }, { MSR_HWCR, 0 },
		{ MSR_INT_PENDING, 0 }, { MSR_PSTATE_CTL, 0 }, { MSR_VM_CR, 0x18 }, { MSR_OSVW_ID_LENGTH, 0 },
		{ 0xc0011029, 0 },
	};
	uint64_t value;

	for (unsigned int i = 0; i < ARRAY_SIZE(known); i++) {
		value = ~0ull;
		ck_assert_msg(msr_guest_read(vcpu, known[i].msr, &value), "MSR %x", known[i].msr);
		ck_assert_uint_eq(value, known[i].value);
		ck_assert(msr_guest_write(vcpu, known[i].msr, value));
	}
	ck_assert_uint_eq(writes + vendor_writes, 0);
}
END_TEST

/*
 * Virtualisation, counters, tracing, speculation control, banks of machine checks: CPUID or MCG_CAP does not show them.
 * Older processors' registers, which those that Keel runs on do not have. The clock's come to the cell, not here.
 */
START_TEST(hidden_registers_fault)
{
	static const uint32_t absent[] = {
		MSR_SPEC_CTRL, MSR_PRED_CMD, MSR_PMC0, MSR_ARCH_CAPABILITIES, MSR_FLUSH_CMD, MSR_TSX_CTRL, MSR_FIXED_CTR0,
		MSR_FIXED_CTR_CTRL, 0x38f, MSR_VMX_BASIC, MSR_VMX_SECONDARY, 0x570, MSR_U_CET, 0xd90, MSR_XSS, 0x11, 0x12,
		MSR_MC0_CTL, 0x401, 0x41f, MSR_MC0_CTL2, MSR_EBL_CR_POWERON, MSR_EBC_FREQUENCY_ID, MSR_BBL_CR_CTL3,
		MSR_CLK_CTL, 0x40000000, 0x40000020, 0x4b564d00, 0x4b564d01, 0x4b564d02, MSR_TSC_RATIO, MSR_VM_HSAVE_PA,
		0xc0010116, 0xc0010118, 0xc0010131, 0xc0011030, 0xffffffff,
	};
	uint64_t value;

	for (unsigned int i = 0; i < ARRAY_SIZE(absent); i++) {
		ck_assert_msg(!msr_guest_read(vcpu, absent[i], &value), "MSR %x", absent[i]);
		ck_assert_msg(!msr_guest_write(vcpu, absent[i], 0), "MSR %x", absent[i]);
	}
	ck_assert_uint_eq(writes, 0);
}
END_TEST

/* What may answer at all, and everything else faults. What the vendor's side has is its own affair. */
START_TEST(allow_list)
{
	static const struct {
		uint32_t first, last;
	} known[] = {
		{ MSR_TSC, MSR_TSC }, { MSR_PLATFORM_ID, MSR_PLATFORM_ID }, { MSR_SMI_COUNT, MSR_CORE_THREAD_COUNT },
		{ MSR_FEATURE_CONTROL, MSR_TSC_ADJUST }, { MSR_UCODE_WRITE, MSR_UCODE_WRITE },
		{ MSR_UCODE_REVISION, MSR_UCODE_REVISION }, { MSR_PLATFORM_INFO, MSR_PLATFORM_INFO },
		{ MSR_PKG_CST_CONFIG, MSR_PKG_CST_CONFIG }, { MSR_MTRR_CAP, MSR_MTRR_CAP },
		{ MSR_MISC_FEATURES_ENABLES, MSR_MISC_FEATURES_ENABLES }, { MSR_MCG_CAP, MSR_MCG_CTL },
		{ MSR_PERFEVTSEL0, MSR_PERFEVTSEL1 }, { MSR_PERF_STATUS, MSR_THERM_STATUS },
		{ MSR_MISC_ENABLE, MSR_MISC_ENABLE }, { MSR_DEBUGCTL, MSR_DEBUGCTL },
		{ MSR_LAST_BRANCH_FROM, MSR_LAST_INTERRUPT_TO }, { MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSMASK7 },
		{ MSR_MTRR_FIX64K_00000, MSR_MTRR_FIX64K_00000 }, { MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000 },
		{ MSR_MTRR_FIX4K_C0000, MSR_MTRR_FIX4K_F8000 }, { MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE },
		{ MSR_RAPL_POWER_UNIT, MSR_RAPL_POWER_UNIT }, { MSR_PKG_POWER_LIMIT, MSR_PKG_POWER_LIMIT },
		{ MSR_TSC_AUX, MSR_TSC_AUX }, { MSR_K7_PERFEVTSEL0, MSR_K7_PERFCTR3 }, { MSR_SYSCFG, MSR_SYSCFG },
		{ MSR_HWCR, MSR_HWCR }, { MSR_TOP_MEM, MSR_TOP_MEM }, { MSR_TOP_MEM2, MSR_TOP_MEM2 },
		{ MSR_NB_CFG, MSR_NB_CFG }, { MSR_INT_PENDING, MSR_INT_PENDING }, { MSR_MMIO_CFG_BASE, MSR_MMIO_CFG_BASE },
		{ MSR_PSTATE_LIMIT, MSR_PSTATE_DEF4 }, { MSR_SMM_ADDR, MSR_VM_CR }, { MSR_OSVW_ID_LENGTH, MSR_OSVW_STATUS },
		{ MSR_LS_CFG, MSR_CORE_CFG_LAST },
	};
	uint64_t value;

	for (unsigned int i = 0; i < ARRAY_SIZE(spaces); i++)
		for (uint32_t msr = spaces[i].first; msr <= spaces[i].last; msr++) {
			bool is_known = false;

			for (unsigned int n = 0; n < ARRAY_SIZE(known); n++)
				is_known |= msr >= known[n].first && msr <= known[n].last;
			ck_assert_msg(msr_guest_read(vcpu, msr, &value) == is_known, "MSR %x", msr);
			/* Read-only ones alone answer and cannot be written. */
			is_known &= msr != MSR_SMI_COUNT && msr != MSR_CORE_THREAD_COUNT;
			ck_assert_msg(msr_guest_write(vcpu, msr, 0) == is_known, "MSR %x", msr);
		}
}
END_TEST

START_TEST(read_only)
{
	uint64_t value;

	ck_assert(msr_guest_read(vcpu, MSR_SMI_COUNT, &value) && value == 0);
	ck_assert(!msr_guest_write(vcpu, MSR_SMI_COUNT, 0));
	ck_assert(msr_guest_read(vcpu, MSR_CORE_THREAD_COUNT, &value) && value == (3u << 16 | 6));
	ck_assert(!msr_guest_write(vcpu, MSR_CORE_THREAD_COUNT, value));
}
END_TEST

/* SDM vol. 4, table 2-2: of IA32_MISC_ENABLE fast strings and the limit of CPUID can be written, the latter acts. */
START_TEST(misc_enable)
{
	static const struct {
		uint64_t write, read;
	} cases[] = {
		{ 0x1801, 0x1801 }, { 0, 0x1800 }, { 1u << 22, 0x401800 }, { ~0ull, 0x401801 },
		{ 1ull << 34 | 1, 0x1801 }, { 1u << 18 | 1u << 16 | 1u << 3 | 1, 0x1801 },
	};
	uint64_t value;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		ck_assert(msr_guest_write(vcpu, MSR_MISC_ENABLE, cases[i].write));
		ck_assert(msr_guest_read(vcpu, MSR_MISC_ENABLE, &value));
		ck_assert_uint_eq(value, cases[i].read);
		ck_assert_int_eq(vcpu->cpuid_limited, (value & 1u << 22) != 0);
		ck_assert(!other->cpuid_limited);
	}
}
END_TEST

/* What is saved is all that a guest may have written, and goes into another vCPU as it was. */
START_TEST(saved_and_loaded)
{
	struct keel_msr list[KEEL_STATE_MSRS], again[KEEL_STATE_MSRS];
	unsigned int count;
	uint64_t value;

	tsc_aux = _i;
	for_each(write_mark);
	ck_assert(msr_guest_write(vcpu, MSR_MISC_ENABLE, 1u << 22));
	ck_assert(msr_guest_write(vcpu, MSR_TSC_ADJUST, 4711));
	ck_assert_int_eq(msr_guest_write(vcpu, MSR_TSC_AUX, 0x77), _i);
	count = msr_guest_save(vcpu, list);
	ck_assert_uint_eq(count, 31 + (unsigned int)_i);
	offset = other->tsc_offset = 9;
	for (unsigned int i = 0; i < count; i++) {
		ck_assert(msr_guest_may_load(list[i].index, list[i].value));
		ck_assert_uint_eq(list[i].reserved, 0);
		ck_assert_msg(msr_guest_read(vcpu, list[i].index, &value) && value == list[i].value, "MSR %x", list[i].index);
		msr_guest_load(other, list[i].index, list[i].value);
	}
	ck_assert_uint_eq(msr_guest_save(other, again), count);
	ck_assert_mem_eq(list, again, count * sizeof(list[0]));
	ck_assert(other->cpuid_limited);
	/* TSC_ADJUST says what was added, and adds nothing here. */
	ck_assert(offset == 9 && other->tsc_offset == 9);
}
END_TEST

static void may_load_storage(uint32_t msr)
{
	ck_assert_msg(msr_guest_may_load(msr, MARK) == is_storage(msr), "MSR %x", msr);
}

START_TEST(nothing_else_is_loaded)
{
	for_each(may_load_storage);
	ck_assert(!msr_guest_may_load(MSR_TSC, 0));
	ck_assert(!msr_guest_may_load(MSR_PAT, 0));
	ck_assert(!msr_guest_may_load(MSR_EFER, 0));
	ck_assert(!msr_guest_may_load(MSR_MISC_ENABLE, 0));
	ck_assert(msr_guest_may_load(MSR_MISC_ENABLE, 0x1800));
	ck_assert(!msr_guest_may_load(MSR_MISC_ENABLE, 0x1801 | 1ull << 34));
	ck_assert(msr_guest_may_load(MSR_TSC_AUX, UINT32_MAX) && !msr_guest_may_load(MSR_TSC_AUX, 1ull << 32));
	tsc_aux = false;
	ck_assert(!msr_guest_may_load(MSR_TSC_AUX, 0));
}
END_TEST

/* Writes of constants vanish. */
START_TEST(constants)
{
	static const uint32_t constant[] = {
		MSR_FEATURE_CONTROL, MSR_MTRR_CAP, MSR_PKG_POWER_LIMIT, MSR_VM_CR, MSR_UCODE_WRITE, MSR_PERF_CTL,
	};
	uint64_t before, after;

	for (unsigned int i = 0; i < ARRAY_SIZE(constant); i++) {
		ck_assert(msr_guest_read(vcpu, constant[i], &before));
		ck_assert(msr_guest_write(vcpu, constant[i], ~0ull));
		ck_assert(msr_guest_read(vcpu, constant[i], &after));
		ck_assert_uint_eq(before, after);
	}
}
END_TEST

START_TEST(time_stamp_counter)
{
	static const uint64_t values[] = { 0, 1, 500, 1ull << 40, UINT64_MAX };
	uint64_t value;

	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
		ck_assert(msr_guest_write(vcpu, MSR_TSC, values[i]));
		ck_assert_uint_eq(offset, vcpu->tsc_offset);
		tsc += 100;
		ck_assert(msr_guest_read(vcpu, MSR_TSC, &value));
		ck_assert_uint_eq(value, values[i] + 101);
	}
	ck_assert_uint_eq(writes + vendor_writes, 0);
}
END_TEST

/* SDM vol. 3, 18.17.3: whatever one of the two is given, the other follows by as much. */
START_TEST(tsc_adjust)
{
	uint64_t value, before;

	ck_assert(msr_guest_read(vcpu, MSR_TSC_ADJUST, &value) && value == 0);
	ck_assert(msr_guest_read(vcpu, MSR_TSC, &before));
	vcpu->poll = 0;
	ck_assert(msr_guest_write(vcpu, MSR_TSC_ADJUST, 5000));
	ck_assert_uint_eq(offset, 5000);
	ck_assert_uint_eq(vcpu->tsc_offset, 5000);
	/* The cell sees it before the guest goes on. */
	ck_assert_uint_eq(vcpu->poll, 1);
	ck_assert(msr_guest_read(vcpu, MSR_TSC, &value) && value == before + 5001);
	ck_assert(msr_guest_read(vcpu, MSR_TSC_ADJUST, &value) && value == 5000);
	ck_assert(msr_guest_write(vcpu, MSR_TSC_ADJUST, (uint64_t)-300));
	ck_assert_uint_eq(offset, (uint64_t)-300);
	vcpu->poll = 0;
	ck_assert(msr_guest_write(vcpu, MSR_TSC, tsc + 7000));
	ck_assert_uint_eq(offset, 7000);
	ck_assert_uint_eq(vcpu->poll, 1);
	ck_assert(msr_guest_read(vcpu, MSR_TSC_ADJUST, &value) && value == 7000);
	/* Back to where it was, as Linux does at its start. */
	ck_assert(msr_guest_write(vcpu, MSR_TSC_ADJUST, 0));
	ck_assert_uint_eq(offset, 0);
	ck_assert(msr_guest_read(other, MSR_TSC_ADJUST, &value) && value == 0);
	ck_assert_uint_eq(writes + vendor_writes, 0);
}
END_TEST

START_TEST(tsc_aux_register)
{
	uint64_t value;

	ck_assert(msr_guest_write(vcpu, MSR_TSC_AUX, 0xffffffff));
	ck_assert(writes == 1 && written_msr == MSR_TSC_AUX && written == 0xffffffff);
	ck_assert(msr_guest_read(vcpu, MSR_TSC_AUX, &value) && value == 0xffffffff);
	ck_assert(!msr_guest_write(vcpu, MSR_TSC_AUX, 1ull << 32));
	ck_assert(writes == 1 && vcpu->tsc_aux == 0xffffffff);
	tsc_aux = false;
	ck_assert(!msr_guest_write(vcpu, MSR_TSC_AUX, 0));
	ck_assert(!msr_guest_read(vcpu, MSR_TSC_AUX, &value));
	ck_assert_uint_eq(writes, 1);
}
END_TEST

/* SDM vol. 3, 11.12.2: types 2, 3 and from 8 on do not exist. */
START_TEST(page_attribute_table)
{
	uint64_t value;

	vendor_knows = true;
	for (unsigned int place = 0; place < 8; place++)
		for (uint64_t type = 0; type < 256; type++) {
			bool good = type == 0 || type == 1 || (type >= 4 && type <= 7);

			value = (PAT_RESET & ~(0xffull << 8 * place)) | type << 8 * place;
			vendor_writes = 0;
			ck_assert_int_eq(msr_guest_write(vcpu, MSR_PAT, value), good);
			ck_assert_uint_eq(vendor_writes, good);
			ck_assert(!good || (vendor_msr == MSR_PAT && vendor_value == value));
		}
	vendor_value = PAT_RESET;
	ck_assert(msr_guest_read(vcpu, MSR_PAT, &value) && value == PAT_RESET);
	ck_assert_uint_eq(writes, 0);
}
END_TEST

START_TEST(vendor_has_the_rest)
{
	uint64_t value;

	vendor_knows = true;
	vendor_value = 0x501;
	ck_assert(msr_guest_read(vcpu, MSR_EFER, &value) && value == 0x501);
	ck_assert(msr_guest_write(vcpu, MSR_EFER, 0xd01));
	ck_assert(vendor_msr == MSR_EFER && vendor_value == 0xd01);
	vendor_knows = false;
	ck_assert(!msr_guest_write(vcpu, MSR_EFER, ~0ull));
}
END_TEST

SUITE("msr", tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, storage);
	tcase_add_test(tests, storage_fits);
	tcase_add_test(tests, early_registers_do_not_fault);
	tcase_add_test(tests, hidden_registers_fault);
	tcase_add_test(tests, allow_list);
	tcase_add_test(tests, read_only);
	tcase_add_test(tests, misc_enable);
	tcase_add_test(tests, constants);
	tcase_add_test(tests, nothing_else_is_loaded);
	tcase_add_loop_test(tests, saved_and_loaded, 0, 2);
	tcase_add_test(tests, time_stamp_counter);
	tcase_add_test(tests, tsc_adjust);
	tcase_add_test(tests, tsc_aux_register);
	tcase_add_test(tests, page_attribute_table);
	tcase_add_test(tests, vendor_has_the_rest);
}
