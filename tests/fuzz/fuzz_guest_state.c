// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of a vCPU's state on its way in: a cell puts changed states in, from any address, and changes them again while
 * they are looked at. What is taken can be written to this model of a processor, which faults where ring 0 would, comes out
 * as it went in, and is taken once more; what is refused has changed nothing.
 */
#include "fuzz.h"

#include <keel/macros.h>

#include "cpu.h"
#include "memory.h"

static uint64_t cr3, dr_now[4];
static void write_dr(unsigned int number, uint64_t value);

#define read_dr0() dr_now[0]
#define read_dr1() dr_now[1]
#define read_dr2() dr_now[2]
#define read_dr3() dr_now[3]
#define write_dr0(value) write_dr(0, value)
#define write_dr1(value) write_dr(1, value)
#define write_dr2(value) write_dr(2, value)
#define write_dr3(value) write_dr(3, value)
#define write_cr3(value) (cr3 = (value))
#include "../../vmm/vcpu_state.c"

#define MAIN_CR3	0x1000u
#define CELL_CR3	0x2000u
#define ADDRESS		0x500000u
#define PAGES		2u
#define GUEST_XCR0	(XCR0_X87 | XCR0_SSE | XCR0_AVX)
#define GUEST_CR4	(CR4_CLASSIC | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP)
#define XSTATE_BYTES	832u
#define MXCSR_RESERVED	0xffff0000u
#define CHANGES_MOST	12u
#define INPUT_MOST	200u
#define HIGH		0xffff800000000000ull

uint8_t *memory_test_arena;
static _Alignas(4096) uint8_t arena[(PAGES + 1) * 4096];
static _Alignas(4096) uint8_t area[VCPU_XSTATE_PAGES * 4096];
static struct cpu cpu;
static struct vm vm;
static struct vcpu vcpu;
static struct keel_context page;
static struct keel_sregs hardware;
static uint64_t xcr0, in_use;
static uint32_t mxcsr;
/* What another context of the cell does meanwhile. */
static struct bytes *meanwhile;

static void write_dr(unsigned int number, uint64_t value)
{
	dr_now[number] = value;
}

static struct keel_vcpu_state *buffer(void)
{
	return (struct keel_vcpu_state *)(arena + 4096);
}

static void be_another_context(void)
{
	if (meanwhile)
		arena[4096 + take16(meanwhile) % (PAGES * 4096)] = take8(meanwhile);
}

uint64_t cpuid_guest_xcr0(void)
{
	be_another_context();
	return GUEST_XCR0;
}

uint64_t cpuid_guest_cr4(void)
{
	be_another_context();
	return GUEST_CR4;
}

uint32_t cpuid_guest_xstate_bytes(void)
{
	return XSTATE_BYTES;
}

bool cpuid_guest_tsc_aux(void)
{
	return true;
}

uint64_t rdmsr(uint32_t msr)
{
	(void)msr;
	require(false, "an MSR is read");
	return 0;
}

void wrmsr(uint32_t msr, uint64_t value)
{
	require(msr == MSR_TSC_AUX, "an MSR is written that is none of the guest's");
	require(!(value >> 32), "a write of TSC_AUX faults");
}

uint64_t vm_cell_data_page(const struct vm *v, uint64_t va)
{
	(void)v;
	require(cr3 == MAIN_CR3, "a page is looked for in the cell's address space");
	return va < ADDRESS || va % 4096 || va - ADDRESS >= PAGES * 4096 ? 0 : va - ADDRESS + 4096;
}

void vectors_out(struct vcpu *v, struct keel_state *state)
{
	memset(v->xstate, 0, XSTATE_BYTES);
	memcpy((uint8_t *)v->xstate + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
	state->xcr0 = xcr0;
	state->xstate_bv = in_use;
}

void *vectors_staged(struct vcpu *v)
{
	return (uint8_t *)v->xstate + KEEL_XSTATE_BYTES;
}

bool vectors_in(struct vcpu *v, const struct keel_state *state)
{
	uint32_t value;

	memcpy(&value, (uint8_t *)vectors_staged(v) + XSAVE_MXCSR, sizeof(value));
	require(state->xcr0 & XCR0_X87 && !(state->xcr0 & ~GUEST_XCR0) && (!(state->xcr0 & XCR0_AVX) || state->xcr0 & XCR0_SSE),
		"XSETBV faults");
	require(!(state->xstate_bv & ~GUEST_XCR0), "XRSTOR loads what guests do not have");
	if (value & MXCSR_RESERVED)
		return false;
	xcr0 = state->xcr0;
	in_use = state->xstate_bv;
	mxcsr = value;
	return true;
}

static void state_out(struct vcpu *v, unsigned int parts, struct keel_sregs *sregs)
{
	(void)v;
	require(parts == HV_STATE_ALL, "a part of a state");
	*sregs = hardware;
}

static bool all_canonical(const struct keel_sregs *s)
{
	return is_canonical(s->lstar) && is_canonical(s->cstar) && is_canonical(s->kernel_gs_base) &&
	       is_canonical(s->sysenter_esp) && is_canonical(s->sysenter_eip) && is_canonical(s->gdt_base) &&
	       is_canonical(s->idt_base) && is_canonical(s->seg[KEEL_SEG_FS].base) && is_canonical(s->seg[KEEL_SEG_GS].base) &&
	       is_canonical(s->seg[KEEL_SEG_TR].base) && is_canonical(s->seg[KEEL_SEG_LDTR].base);
}

static bool pat_is_good(uint64_t pat)
{
	for (unsigned int i = 0; i < 64; i += 8)
		if ((pat >> i & 0xff) > 7 || (pat >> i & 0xfe) == 2)
			return false;
	return true;
}

/* What would fault in ring 0, or give the guest what is the host's. */
static bool state_in(struct cpu *c, struct vcpu *v, unsigned int parts, const struct keel_sregs *s)
{
	bool long_mode = s->cr0 & CR0_PG && s->efer & EFER_LME;

	(void)c;
	(void)v;
	require(parts == HV_STATE_ALL && cr3 == CELL_CR3, "a part of a state, or another address space");
	require(all_canonical(s), "an address that no MSR and no descriptor table takes");
	require(!(s->sfmask >> 32) && pat_is_good(s->pat), "a write of an MSR faults");
	require(!(s->dr6 >> 32) && !(s->dr7 >> 32), "a write of a debug register faults");
	require(!(s->cr4 & ~GUEST_CR4), "CR4 has what guests are not shown");
	require(!(s->efer & ~(EFER_GUEST | EFER_LMA)), "EFER is not a guest's");
	require(!!(s->efer & EFER_LMA) == long_mode && (!long_mode || s->cr4 & CR4_PAE), "long mode without its conditions");
	require(!(s->cr0 & CR0_PG) || s->cr0 & CR0_PE, "paging without protection");
	require(!(s->cr0 & CR0_NW) || s->cr0 & CR0_CD, "caches that cannot be");
	require(s->cpl <= 3 && s->tpr <= 15, "a privilege or a priority that is none");
	hardware = *s;
	return true;
}

static void tsc_moved(struct vcpu *v)
{
	(void)v;
}

static const struct hv_ops ops = { .vcpu.state_out = state_out, .vcpu.state_in = state_in, .vcpu.tsc_moved = tsc_moved };
const struct hv_ops *hv = &ops;

static void set_segment(struct keel_state *state, enum keel_segment which, uint16_t selector, uint16_t attributes,
			uint32_t limit)
{
	state->sregs.seg[which] = (struct keel_segment_register){ selector, attributes, limit, 0 };
}

/* A program of 64 bits; of 32 bits with PAE; or the state behind INIT. */
static void make_good(struct keel_state *state, unsigned int mode)
{
	struct keel_sregs *s = &state->sregs;

	memset(state, 0, sizeof(*state));
	for (unsigned int i = 0; i < KEEL_SEG_COUNT; i++)
		set_segment(state, (enum keel_segment)i, 0x2b, mode == 2 ? 0x93 : 0xcf3, UINT32_MAX);
	set_segment(state, KEEL_SEG_CS, 0x33, mode == 0 ? 0xafb : mode == 1 ? 0xcfb : 0x9b, UINT32_MAX);
	set_segment(state, KEEL_SEG_LDTR, 0, 0x82, 0x17);
	set_segment(state, KEEL_SEG_TR, 0x40, 0x8b, 0x206f);
	s->cr0 = mode == 2 ? CR0_ET : CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	s->cr4 = mode == 2 ? 0 : CR4_PAE | CR4_OSXSAVE;
	s->efer = mode == 0 ? EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE : 0;
	s->gdt_base = s->idt_base = mode == 0 ? HIGH : 0;
	s->dr6 = DR6_RESET;
	s->dr7 = DR7_RESET;
	s->cpl = mode == 2 ? 0 : 3;
	s->pat = PAT_RESET;
	state->regs.rip = 0x401000;
	state->regs.rflags = RFLAGS_FIXED | RFLAGS_IF;
	state->xcr0 = GUEST_XCR0;
	state->xstate_bv = XCR0_X87;
	state->msrs = 2;
	state->msr[0] = (struct keel_msr){ .index = MSR_TSC_AUX, .value = 3 };
	state->msr[1] = (struct keel_msr){ .index = MSR_TSC_ADJUST, .value = 77 };
}

static const uint64_t values[] = {
	0, 1, 2, 3, 15, 16, 0x80000000u, 0x80000b0eu, 0x80000202u, UINT32_MAX, 1ull << 32, HIGH - 1, HIGH, 0x800000000000ull,
	1ull << 40, 1ull << 52, UINT64_MAX, MSR_TSC, MSR_PAT, MSR_EFER, MSR_MISC_ENABLE, MSR_HWCR, MSR_MTRR_DEF_TYPE,
	0x0007040600070406ull, CR0_PG, CR0_CD | CR0_NW, CR4_PCIDE, CR4_VMXE, EFER_LME, EFER_LMA, EFER_SVME, RFLAGS_VM,
};

/* Bits, bytes, and whole fields of what may matter. */
static void change(struct bytes *b, struct keel_vcpu_state *to)
{
	uint8_t how = take8(b);
	unsigned int at = take16(b) % sizeof(to->state);
	uint8_t *byte = (uint8_t *)&to->state + at;
	uint64_t value;

	switch (how % 4) {
	case 0:
		*byte ^= (uint8_t)(1u << (how >> 2) % 8);
		break;
	case 1:
		*byte = take8(b);
		break;
	case 2:
		value = values[take8(b) % ARRAY_SIZE(values)];
		memcpy((uint8_t *)&to->state + (at & ~7u), &value, sizeof(value));
		break;
	case 3:
		to->xstate[at % KEEL_XSTATE_BYTES] = take8(b);
		break;
	}
}

/* All that is to be seen of the vCPU. */
struct seen {
	struct keel_state state;
	uint64_t misc[ARRAY_SIZE(vcpu.misc)];
	uint32_t mxcsr;
};

static void look(struct seen *seen)
{
	memset(seen, 0, sizeof(*seen));
	seen->state.regs = page.regs;
	seen->state.sregs = hardware;
	memcpy(seen->state.dr, vcpu.debug_registers ? dr_now : vcpu.dr, sizeof(seen->state.dr));
	seen->state.tsc_offset = vcpu.tsc_offset;
	seen->state.xcr0 = xcr0;
	seen->state.xstate_bv = in_use;
	seen->state.nmi_pending = vcpu.nmi_pending;
	seen->state.msr[0].value = vcpu.tsc_aux;
	seen->state.msr[1].value = vcpu.tsc_adjust;
	memcpy(seen->misc, vcpu.misc, sizeof(seen->misc));
	seen->mxcsr = mxcsr;
}

static void start(struct bytes *b)
{
	uint8_t how = take8(b);

	memory_test_arena = arena;
	memset(arena, 0xee, sizeof(arena));
	memset(area, 0, sizeof(area));
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&page, 0, sizeof(page));
	memset(&hardware, 0, sizeof(hardware));
	memset(dr_now, 0, sizeof(dr_now));
	cpu.main_cr3 = MAIN_CR3;
	vm.cell_table.root = cr3 = CELL_CR3;
	vcpu.vm = &vm;
	vcpu.cell.page = &page;
	vcpu.xstate = area;
	vcpu.debug_registers = how & 1;
	xcr0 = in_use = XCR0_X87;
	mxcsr = 0x1f80;
	memset(buffer(), 0, sizeof(*buffer()));
	make_good(&buffer()->state, (how >> 1) % 3);
}

static void come_and_go(void)
{
	struct seen one, two;

	look(&one);
	require(vcpu_state_out(&cpu, &vcpu, ADDRESS), "a state does not come out");
	require(vcpu_state_in(&cpu, &vcpu, ADDRESS) && page.exit.refused == KEEL_STATE_TAKEN,
		"a state that was taken is refused");
	look(&two);
	require(!memcmp(&one, &two, sizeof(one)), "a state is another one when it comes back");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };
	struct seen before, after;
	unsigned int changes;
	uint64_t address;

	start(&b);
	changes = take8(&b);
	address = changes & 0x80 ? take64(&b) : ADDRESS;
	for (changes %= CHANGES_MOST; changes; changes--)
		change(&b, buffer());
	look(&before);
	meanwhile = &b;
	if (vcpu_state_in(&cpu, &vcpu, address) && page.exit.refused == KEEL_STATE_TAKEN) {
		meanwhile = NULL;
		come_and_go();
	} else {
		meanwhile = NULL;
		look(&after);
		require(!memcmp(&before, &after, sizeof(before)), "what is refused has changed something");
	}
	require(cr3 == CELL_CR3, "the address space is not the cell's");
	return 0;
}

/* Few changes, so that some are taken. */
static size_t make_input(uint8_t *input, uint64_t *state)
{
	size_t bytes = fuzz_make_bytes(input, INPUT_MOST, state);

	if (bytes > 1)
		input[1] = (uint8_t)(next(state) % 4 | (next(state) % 16 ? 0 : 0x80));
	return bytes;
}

const struct fuzz_target fuzz_target = { 20000, INPUT_MOST, make_input };
