// SPDX-License-Identifier: GPL-2.0
/* The extended state across exits: rules of XCR0, and every register from x87 to AVX while the guest leaves for others. */
#include "avx.h"

#include <x86/cpuid.h>
#include <x86/msr.h>

#define RIGHTS		0xa5a5a5a0u	/* of protection keys; key 0, which all pages have, has all */
#define EXITS		50
#define SPIN		30000000u	/* long enough for the host to need its processor back */
#define XSAVE_BYTES	832u		/* of x87, SSE and AVX */
#define XSTATE_PKRU	9
/* Bits of CPUID: leaf 1, ECX; leaf 7, ECX. */
#define HAS_XSAVE	26
#define SHOWS_OSXSAVE	27
#define HAS_PKU		3
#define SHOWS_OSPKE	4
#define X87_CONDITION	0x4500u		/* C3, C2 and C0 of the status word, */
#define X87_EQUAL	0x4000u		/* and after a comparison of equals */

static void leave_often(void)
{
	unsigned int i;

	for (i = 0; i < EXITS; i++) {
		inb(PC_PORT_POST);
		mmio_read(PC_VGA_HOLE);
		cpuid(CPUID_VENDOR, 0);
		rdmsr(MSR_TSC);
	}
	for (i = 0; i < SPIN; i++)
		asm volatile("");
}

static void refuse_xsetbv(uint32_t number, uint32_t value, const char *text)
{
	TRY("xsetbv", : : "c"(number), "a"(value), "d"(0));
	require(fault_vector == EXC_GP, "XSETBV of %s", text);
}

static void check_across_exits(void)
{
	uint16_t status;

	asm volatile("fninit\n\tfldpi");
	avx_fill(scratch);
	leave_often();
	require(xgetbv(0) == (XCR0_X87 | XCR0_SSE | XCR0_AVX), "XCR0 changed");
	require(avx_holds(scratch, scratch + 0x1000), "a vector register changed");
	asm volatile("fldpi\n\tfcompp\n\tfnstsw %0" : "=a"(status));
	require((status & X87_CONDITION) == X87_EQUAL, "the x87 stack changed");
}

static void check_xstate(void)
{
	require(bit_of(cpuid(CPUID_FEATURES, 0).ecx, HAS_XSAVE), "CPUID shows no XSAVE");
	write_cr4(read_cr4() | CR4_OSXSAVE);
	require(bit_of(cpuid(CPUID_FEATURES, 0).ecx, SHOWS_OSXSAVE), "CPUID does not follow CR4.OSXSAVE");
	refuse_xsetbv(0, 0, "nothing, x87 not even");
	refuse_xsetbv(0, XCR0_X87 | XCR0_AVX, "AVX without SSE");
	refuse_xsetbv(1, XCR0_X87, "XCR1");
	if (!(cpuid(CPUID_XSTATE, 0).eax & XCR0_AVX)) {
		print("xstate: no AVX here\n");
		return;
	}
	avx_enable();
	require(xgetbv(0) == (XCR0_X87 | XCR0_SSE | XCR0_AVX), "XGETBV after XSETBV");
	require(cpuid(CPUID_XSTATE, 0).ebx == XSAVE_BYTES, "CPUID 0xd: size of x87, SSE and AVX");
	check_across_exits();
}

static uint32_t rdpkru(void)
{
	uint32_t rights, none;

	asm volatile("rdpkru" : "=a"(rights), "=d"(none) : "c"(0));
	return rights;
}

/* PKRU, which supervisors are subject to on pages of users, across the same. */
static void check_keys(void)
{
	uint32_t shown = cpuid(CPUID_FEATURES_7, 0).ecx;

	if (!bit_of(shown, HAS_PKU)) {
		print("xstate: no protection keys here\n");
		return;
	}
	require(!bit_of(shown, SHOWS_OSPKE), "OSPKE before CR4.PKE");
	write_cr4(read_cr4() | CR4_PKE);
	require(bit_of(cpuid(CPUID_FEATURES_7, 0).ecx, SHOWS_OSPKE), "CPUID does not follow CR4.PKE");
	require(rdpkru() == 0, "PKRU is not 0 at first");
	asm volatile("wrpkru" : : "a"(RIGHTS), "c"(0), "d"(0) : "memory");
	leave_often();
	require(rdpkru() == RIGHTS, "PKRU changed");
	require(cpuid(CPUID_XSTATE, XSTATE_PKRU).eax == 8, "CPUID 0xd: size of PKRU");
	xsetbv(0, xgetbv(0) | XCR0_PKRU);
	require(xgetbv(0) & XCR0_PKRU, "XCR0 does not take PKRU");
}

GUEST("xstate")
{
	check_xstate();
	check_keys();
}
