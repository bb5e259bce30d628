/* SPDX-License-Identifier: GPL-2.0 */
/* A vCPU's state on its way to its cell's memory and back: nothing is lost, nothing is put in before all was looked at. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "memory.h"
#include "suite.h"

static uint64_t cr3, dr_now[4];

#define read_dr0() dr_now[0]
#define read_dr1() dr_now[1]
#define read_dr2() dr_now[2]
#define read_dr3() dr_now[3]
#define write_dr0(value) (dr_now[0] = (value))
#define write_dr1(value) (dr_now[1] = (value))
#define write_dr2(value) (dr_now[2] = (value))
#define write_dr3(value) (dr_now[3] = (value))
#define write_cr3(value) (cr3 = (value))
#include "../../vmm/vcpu_state.c"

#define MAIN_CR3	0x1000u
#define CELL_CR3	0x2000u
#define ADDRESS		0x500000u
#define XSTATE		832u
#define PAGES		2u

uint8_t *memory_test_arena;
static _Alignas(4096) uint8_t arena[(PAGES + 1) * 4096];
static struct cpu cpu;
static struct vm vm;
static struct vcpu vcpu;
static struct keel_context page;
static _Alignas(4096) uint8_t area[3 * 4096];
/* Of the vCPU below Keel's own code. */
static struct keel_sregs hardware;
static struct keel_msr msrs[2];
static uint64_t xcr0, in_use;
static enum keel_state_part verdict;
static bool xstate_good;
static unsigned int pages_there, moves, checks;

uint32_t cpuid_guest_xstate_bytes(void)
{
	return XSTATE;
}

/* Frames follow each other. Both of them are in the main address space alone. */
uint64_t vm_cell_data_page(const struct vm *v, uint64_t va)
{
	ck_assert_ptr_eq(v, &vm);
	ck_assert_uint_eq(cr3, MAIN_CR3);
	if (va < ADDRESS || va % 4096 || va - ADDRESS >= pages_there * 4096)
		return 0;
	return va - ADDRESS + 4096;
}

unsigned int msr_guest_save(const struct vcpu *v, struct keel_msr list[KEEL_STATE_MSRS])
{
	ck_assert_ptr_eq(v, &vcpu);
	memcpy(list, msrs, sizeof(msrs));
	return 2;
}

void msr_guest_load(struct vcpu *v, uint32_t msr, uint64_t value)
{
	ck_assert_ptr_eq(v, &vcpu);
	ck_assert_uint_eq(cr3, CELL_CR3);
	for (unsigned int i = 0; i < 2; i++)
		if (msrs[i].index == msr)
			msrs[i].value = value;
}

void vectors_out(struct vcpu *v, struct keel_state *state)
{
	ck_assert_ptr_eq(v, &vcpu);
	state->xcr0 = xcr0;
	state->xstate_bv = in_use;
	memset(v->xstate, 0x42, 4096);
}

void *vectors_staged(struct vcpu *v)
{
	return (uint8_t *)v->xstate + 4096;
}

bool vectors_in(struct vcpu *v, const struct keel_state *state)
{
	const uint8_t *staged = vectors_staged(v);

	ck_assert_ptr_eq(state, &vcpu.state);
	ck_assert_uint_eq(checks, 1);
	ck_assert_uint_eq(staged[0], 0x42);
	ck_assert_uint_eq(staged[XSTATE - 1], 0x42);
	if (!xstate_good)
		return false;
	xcr0 = state->xcr0;
	in_use = state->xstate_bv;
	return true;
}

enum keel_state_part guest_state_check(const struct keel_state *state, uint32_t *at)
{
	/* A copy that nobody else can write. */
	ck_assert_ptr_eq(state, &vcpu.state);
	checks++;
	*at = verdict == KEEL_STATE_MSR ? 0x1234 : 0;
	return verdict;
}

static void state_out(struct vcpu *v, unsigned int parts, struct keel_sregs *sregs)
{
	ck_assert_ptr_eq(v, &vcpu);
	ck_assert_uint_eq(parts, HV_STATE_ALL);
	*sregs = hardware;
}

static bool state_in(struct cpu *c, struct vcpu *v, unsigned int parts, const struct keel_sregs *sregs)
{
	ck_assert(c == &cpu && v == &vcpu);
	ck_assert_uint_eq(parts, HV_STATE_ALL);
	ck_assert_uint_eq(cr3, CELL_CR3);
	hardware = *sregs;
	/* RFLAGS are looked at with it. */
	ck_assert_mem_eq(&page.regs, &vcpu.state.regs, sizeof(page.regs));
	return true;
}

static void tsc_moved(struct vcpu *v)
{
	ck_assert_uint_eq(v->tsc_offset, vcpu.state.tsc_offset);
	moves++;
}

static const struct hv_ops ops = { .vcpu.state_out = state_out, .vcpu.state_in = state_in, .vcpu.tsc_moved = tsc_moved };
const struct hv_ops *hv = &ops;

static void randomise(void *what, size_t bytes)
{
	uint8_t *byte = what;

	while (bytes--)
		*byte++ = (uint8_t)rand();
}

/* Another guest's registers, as far as Keel has them. */
static void other_guest(void)
{
	randomise(&page.regs, sizeof(page.regs));
	randomise(&hardware, sizeof(hardware));
	randomise(dr_now, sizeof(dr_now));
	randomise(vcpu.dr, sizeof(vcpu.dr));
	randomise(&vcpu.tsc_offset, sizeof(vcpu.tsc_offset));
	randomise(&msrs[0].value, sizeof(msrs[0].value));
	randomise(&msrs[1].value, sizeof(msrs[1].value));
	randomise(&xcr0, sizeof(xcr0));
	randomise(&in_use, sizeof(in_use));
	vcpu.nmi_pending = !vcpu.nmi_pending;
}

static void set_up(void)
{
	memory_test_arena = arena;
	memset(arena, 0xee, sizeof(arena));
	memset(&vcpu, 0, sizeof(vcpu));
	memset(area, 0, sizeof(area));
	srand(7);
	cpu.main_cr3 = MAIN_CR3;
	vm.cell_table.root = cr3 = CELL_CR3;
	vcpu.vm = &vm;
	vcpu.cell.page = &page;
	vcpu.xstate = area;
	msrs[0].index = 0x200;
	msrs[1].index = 0x3b;
	verdict = KEEL_STATE_TAKEN;
	xstate_good = true;
	pages_there = PAGES;
	moves = checks = 0;
	other_guest();
}

static struct keel_vcpu_state *buffer(void)
{
	return (struct keel_vcpu_state *)(arena + 4096);
}

/* Everything that is to be seen of the vCPU, in a place of its own. */
static void snapshot(struct keel_state *state)
{
	memset(state, 0, sizeof(*state));
	state->regs = page.regs;
	state->sregs = hardware;
	memcpy(state->dr, vcpu.debug_registers ? dr_now : vcpu.dr, sizeof(state->dr));
	state->tsc_offset = vcpu.tsc_offset;
	state->xcr0 = xcr0;
	state->xstate_bv = in_use;
	state->nmi_pending = vcpu.nmi_pending;
	state->msrs = 2;
	memcpy(state->msr, msrs, sizeof(msrs));
}

START_TEST(out_and_in)
{
	struct keel_state before, after;

	vcpu.debug_registers = _i & 1;
	snapshot(&before);
	page.exit.refused = KEEL_STATE_CR4;
	ck_assert(vcpu_state_out(&cpu, &vcpu, ADDRESS));
	ck_assert_uint_eq(page.exit.refused, KEEL_STATE_TAKEN);
	ck_assert_uint_eq(cr3, CELL_CR3);
	ck_assert_mem_eq(&buffer()->state, &before, sizeof(before));
	/* Of the area what guests have, without a header. */
	for (unsigned int i = 0; i < KEEL_XSTATE_BYTES; i++)
		ck_assert_uint_eq(buffer()->xstate[i], i < XSTATE && (i < 512 || i >= 576) ? 0x42 : 0);
	/* On a vCPU that uses debug registers or does not, whatever that was. */
	other_guest();
	vcpu.debug_registers = _i & 2;
	ck_assert(vcpu_state_in(&cpu, &vcpu, ADDRESS));
	ck_assert_uint_eq(cr3, CELL_CR3);
	ck_assert_uint_eq(page.exit.refused, KEEL_STATE_TAKEN);
	ck_assert_uint_eq(moves, 1);
	snapshot(&after);
	ck_assert_mem_eq(&after, &before, sizeof(before));
}
END_TEST

START_TEST(refused)
{
	struct keel_state before, after;

	ck_assert(vcpu_state_out(&cpu, &vcpu, ADDRESS));
	other_guest();
	snapshot(&before);
	verdict = _i == 0 ? KEEL_STATE_CR4 : _i == 1 ? KEEL_STATE_MSR : KEEL_STATE_TAKEN;
	xstate_good = false;
	ck_assert(vcpu_state_in(&cpu, &vcpu, ADDRESS));
	ck_assert_uint_eq(page.exit.refused, _i == 2 ? KEEL_STATE_XSTATE : verdict);
	ck_assert_uint_eq(page.exit.refused_at, _i == 1 ? 0x1234 : 0);
	snapshot(&after);
	ck_assert_mem_eq(&after, &before, sizeof(before));
	ck_assert_uint_eq(moves, 0);
	ck_assert_uint_eq(cr3, CELL_CR3);
}
END_TEST

/* Only where both pages are the cell's to write. */
START_TEST(places)
{
	static const uint64_t addresses[] = {
		0, ADDRESS - 4096, ADDRESS + 4096, ADDRESS + 64, ADDRESS + 8192, UINT64_MAX - 4095, UINT64_MAX,
	};
	struct keel_state before, after;

	snapshot(&before);
	ck_assert(!vcpu_state_out(&cpu, &vcpu, addresses[_i]));
	ck_assert(!vcpu_state_in(&cpu, &vcpu, addresses[_i]));
	snapshot(&after);
	ck_assert_mem_eq(&after, &before, sizeof(before));
	for (unsigned int i = 0; i < sizeof(arena); i++)
		ck_assert_uint_eq(arena[i], 0xee);
	ck_assert_uint_eq(cr3, CELL_CR3);
}
END_TEST

SUITE("vcpu_state", tests)
{
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_loop_test(tests, out_and_in, 0, 4);
	tcase_add_loop_test(tests, refused, 0, 3);
	tcase_add_loop_test(tests, places, 0, 7);
}
