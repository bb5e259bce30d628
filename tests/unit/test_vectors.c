// SPDX-License-Identifier: GPL-2.0
/* A guest's vector registers on their way to a cell and back, on a model of a processor's extended state. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "cpu.h"
#include "suite.h"
#include "xstate.h"

#define YMM_OFFSET	576u
#define ZMM_OFFSET	1152u
#define AREA_BYTES	(3 * 4096u)
#define REGISTERS	16u

/* What the processor has: each register's 64 bytes, and the x87 control word for all else. */
static struct {
	uint64_t cr0, xcr0, supported, in_use;
	uint8_t reg[REGISTERS][64];
	uint32_t mxcsr;
	unsigned int switches;
} cpu_model;

static uint64_t model_read_cr0(void)
{
	return cpu_model.cr0;
}

static void model_write_cr0(uint64_t value)
{
	cpu_model.cr0 = value;
}

static uint64_t model_xgetbv(void)
{
	return cpu_model.xcr0;
}

static void model_xsetbv(uint64_t value)
{
	ck_assert_uint_eq(value & ~cpu_model.supported, 0);
	cpu_model.xcr0 = value;
	cpu_model.switches++;
}

static struct cpuid model_cpuid(uint32_t leaf, uint32_t subleaf)
{
	ck_assert_uint_eq(leaf, CPUID_XSTATE);
	return (struct cpuid){ .ebx = subleaf == 2 ? YMM_OFFSET : subleaf == 6 ? ZMM_OFFSET : 0 };
}

/* TS makes it a fault, and so does a state that XCR0 has off: it is passed over, to be exact. */
static uint64_t reached(uint64_t mask)
{
	ck_assert_uint_eq(cpu_model.cr0 & CR0_TS, 0);
	return mask & cpu_model.xcr0;
}

static void model_xsave(void *area, uint64_t mask)
{
	uint64_t header;
	uint8_t *a = area;

	mask = reached(mask);
	for (unsigned int i = 0; i < REGISTERS; i++) {
		if (mask & XCR0_SSE)
			memcpy(a + 160 + 16 * i, cpu_model.reg[i], 16);
		if (mask & XCR0_AVX)
			memcpy(a + YMM_OFFSET + 16 * i, cpu_model.reg[i] + 16, 16);
		if (mask & 1 << 6)
			memcpy(a + ZMM_OFFSET + 32 * i, cpu_model.reg[i] + 32, 32);
	}
	memcpy(a + XSAVE_MXCSR, &cpu_model.mxcsr, 4);
	memcpy(&header, a + 512, 8);
	header = (header & ~mask) | (mask & cpu_model.in_use);
	memcpy(a + 512, &header, 8);
}

static void model_xrstor(const void *area, uint64_t mask)
{
	const uint8_t *a = area;
	uint64_t header;

	mask = reached(mask);
	memcpy(&header, a + 512, 8);
	for (unsigned int i = 0; i < REGISTERS; i++) {
		static const uint8_t initial[32];

		if (mask & XCR0_SSE)
			memcpy(cpu_model.reg[i], header & XCR0_SSE ? a + 160 + 16 * i : initial, 16);
		if (mask & XCR0_AVX)
			memcpy(cpu_model.reg[i] + 16, header & XCR0_AVX ? a + YMM_OFFSET + 16 * i : initial, 16);
		if (mask & 1 << 6)
			memcpy(cpu_model.reg[i] + 32, header & 1 << 6 ? a + ZMM_OFFSET + 32 * i : initial, 32);
	}
	memcpy(&cpu_model.mxcsr, a + XSAVE_MXCSR, 4);
	cpu_model.in_use = (cpu_model.in_use & ~mask) | (header & mask);
}

#define read_cr0 model_read_cr0
#define write_cr0 model_write_cr0
#define xgetbv model_xgetbv
#define xsetbv model_xsetbv
#define cpuid(leaf, subleaf) model_cpuid(leaf, subleaf)
#define xsave model_xsave
#define xrstor model_xrstor
#include "../../arch/x86/vectors.c"

uint64_t cpuid_guest_xcr0(void)
{
	return cpu_model.supported;
}

/* As XRSTOR does it: bits of MXCSR that there are not, and a header with more than the processor has (SDM vol. 1, 13.8.1). */
bool xrstor_safe(const void *from, uint64_t mask)
{
	const uint8_t *a = from;
	uint32_t mxcsr;
	uint64_t header[8];

	memcpy(&mxcsr, a + XSAVE_MXCSR, sizeof(mxcsr));
	memcpy(header, a + XSAVE_HEADER, sizeof(header));
	if (mxcsr >> 16 || header[0] & ~cpu_model.xcr0 || header[1] || header[2])
		return false;
	model_xrstor(from, mask);
	return true;
}

static struct vcpu vcpu;
static struct keel_context page;
static _Alignas(64) uint8_t area[AREA_BYTES];

static const struct {
	uint64_t supported, xcr0;
} processors[] = { { 0xe7, 0xe7 }, { 0xe7, 7 }, { 0xe7, 1 }, { 7, 7 }, { 7, 3 }, { 3, 3 }, { 3, 1 } };
#define PROCESSORS ((int)(ARRAY_SIZE(processors)))

static void start(int i)
{
	memset(&cpu_model, 0, sizeof(cpu_model));
	memset(&page, 0xa5, sizeof(page));
	memset(area, 0x5a, sizeof(area));
	memset(area + 512, 0, 64);
	cpu_model.cr0 = 0x80050033 | CR0_TS;
	cpu_model.supported = cpu_model.in_use = processors[i].supported;
	cpu_model.xcr0 = processors[i].xcr0;
	cpu_model.mxcsr = 0x1f80;
	srand(1);
	for (unsigned int n = 0; n < REGISTERS; n++)
		for (unsigned int byte = 0; byte < 64; byte++)
			cpu_model.reg[n][byte] = (uint8_t)rand();
	vcpu = (struct vcpu){ .xstate = area, .cell = { .page = &page } };
}

/* What they are when all is over: the guest's XCR0, and FPU instructions of the cell's fault. */
static void check_closed(int i)
{
	ck_assert_uint_eq(cpu_model.xcr0, processors[i].xcr0);
	ck_assert_uint_eq(cpu_model.cr0, 0x80050033 | CR0_TS);
	ck_assert_uint_eq(cpu_model.mxcsr, 0x1f80);
}

static unsigned int bytes_there(void)
{
	return cpu_model.supported & XCR0_AVX ? 32 : 16;
}

START_TEST(given)
{
	static const uint8_t zeros[16];

	start(_i);
	vectors_give(&vcpu);
	check_closed(_i);
	ck_assert_uint_eq(page.vectors.xcr0, processors[_i].xcr0);
	ck_assert_uint_eq(page.vectors.written | page.vectors.whole | page.vectors.reserved, 0);
	for (unsigned int n = 0; n < REGISTERS; n++) {
		ck_assert_mem_eq(page.vectors.reg[n], cpu_model.reg[n], bytes_there());
		if (bytes_there() == 16)
			ck_assert_mem_eq(page.vectors.reg[n] + 16, zeros, 16);
	}
	/* XCR0 changes hands only where the guest has less on. */
	ck_assert_uint_eq(cpu_model.switches, processors[_i].supported == processors[_i].xcr0 ? 0 : 2);
}
END_TEST

START_TEST(taken)
{
	uint8_t expected[REGISTERS][64];

	start(_i);
	vectors_give(&vcpu);
	memcpy(expected, cpu_model.reg, sizeof(expected));
	memset(page.vectors.reg, 0xee, sizeof(page.vectors.reg));
	page.vectors.written = 1 << 3 | 1 << 15;
	page.vectors.whole = 1 << 15 | 1 << 2;			/* 2 was not written */
	/* Another CPU took the vCPU meanwhile: what the area held is not what counts. */
	memset(area + 160, 0x77, 256);
	vectors_take(&vcpu);
	check_closed(_i);
	for (unsigned int n = 3; n < REGISTERS; n += 12)
		memset(expected[n], 0xee, bytes_there());
	if (cpu_model.supported & 1 << 6)
		memset(expected[15] + 32, 0, 32);
	ck_assert_mem_eq(cpu_model.reg, expected, sizeof(expected));
}
END_TEST

/* A state that was in its initial configuration is not any more. */
START_TEST(taken_into_the_initial_state)
{
	start(_i);
	memset(cpu_model.reg, 0, sizeof(cpu_model.reg));
	cpu_model.in_use = XCR0_X87;
	vectors_give(&vcpu);
	for (unsigned int byte = 0; byte < 32; byte++)
		ck_assert_uint_eq(page.vectors.reg[7][byte], 0);
	memset(page.vectors.reg[7], 0x42, 32);
	page.vectors.written = 1 << 7;
	vectors_take(&vcpu);
	for (unsigned int byte = 0; byte < bytes_there(); byte++)
		ck_assert_uint_eq(cpu_model.reg[7][byte], 0x42);
	ck_assert_uint_eq(cpu_model.in_use & XCR0_SSE, XCR0_SSE);
	ck_assert_uint_eq(cpu_model.in_use & ~cpu_model.supported, 0);
	check_closed(_i);
}
END_TEST

/* Out, and in again after another guest's: the registers are what they were, whatever the header said. */
START_TEST(out_and_in)
{
	static struct keel_state state;
	uint8_t before[REGISTERS][64];
	unsigned int bytes = cpu_model.supported & 1 << 6 ? 64 : bytes_there();

	start(_i);
	cpu_model.in_use = processors[_i].xcr0;
	memcpy(before, cpu_model.reg, sizeof(before));
	vectors_out(&vcpu, &state);
	check_closed(_i);
	ck_assert_uint_eq(state.xcr0, processors[_i].xcr0);
	ck_assert_uint_eq(state.xstate_bv, processors[_i].xcr0);
	memcpy(vectors_staged(&vcpu), area, KEEL_XSTATE_BYTES);
	memset((uint8_t *)vectors_staged(&vcpu) + XSAVE_HEADER, 0xff, 64);
	memset(cpu_model.reg, 0x11, sizeof(cpu_model.reg));
	cpu_model.xcr0 = XCR0_X87;
	vcpu.xcr0 = XCR0_X87;
	ck_assert(vectors_in(&vcpu, &state));
	check_closed(_i);
	ck_assert_uint_eq(vcpu.xcr0, processors[_i].xcr0);
	for (unsigned int n = 0; n < REGISTERS && processors[_i].xcr0 == processors[_i].supported; n++)
		ck_assert_mem_eq(cpu_model.reg[n], before[n], bytes);
}
END_TEST

START_TEST(refused)
{
	struct keel_state state = { .xcr0 = XCR0_X87, .xstate_bv = XCR0_X87 | XCR0_SSE };
	const uint32_t mxcsr = 0x10000;
	uint8_t before[REGISTERS][64];

	start(_i);
	memcpy(before, cpu_model.reg, sizeof(before));
	memcpy((uint8_t *)vectors_staged(&vcpu) + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
	ck_assert(!vectors_in(&vcpu, &state));
	check_closed(_i);
	ck_assert_mem_eq(cpu_model.reg, before, sizeof(before));
}
END_TEST

SUITE("vectors", tests)
{
	tcase_add_loop_test(tests, given, 0, PROCESSORS);
	tcase_add_loop_test(tests, taken, 0, PROCESSORS);
	tcase_add_loop_test(tests, taken_into_the_initial_state, 0, PROCESSORS);
	tcase_add_loop_test(tests, out_and_in, 0, PROCESSORS);
	tcase_add_loop_test(tests, refused, 0, PROCESSORS);
}
