/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control domain's processors and exits, with a processor, its local APIC and its TLB that are models. For the TLB every
 * state is tried that three processors and a page can come to: a frame that is in use has no translation left where the control
 * domain runs.
 */
#include <check.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <keel/hypercall.h>

#include "cpu.h"

#define cpu_stop() control_stopped()
static __attribute__((noreturn)) void control_stopped(void);

#include "../../vmm/control_cpus.c"
#include "../../vmm/control.c"
#include "../../vmm/control_start.c"
#include "../../vmm/hypercall.c"

#include "error.h"
#include "suite.h"

/* Of the hypercalls only FLUSH is made here, and nothing ends early. */
#pragma weak console_loud
#pragma weak console_quiet
#pragma weak log_read
#pragma weak takeover_attach
#pragma weak takeover_attached
#pragma weak vcpu_run
#pragma weak vm_assign
#pragma weak vm_cell_image_pages
#pragma weak vm_create
#pragma weak vm_donate
#pragma weak vm_event
#pragma weak vm_free_slots
#pragma weak vm_tell_faults
#pragma weak iommu_faults
#pragma weak iommu_works
#pragma weak vm_get
#pragma weak vm_kill
#pragma weak vm_map
#pragma weak vm_reclaim
#pragma weak vm_share
#pragma weak vm_start
#pragma weak vm_take_dirty

#define CPUS		3u
#define SPARE		2u	/* not there at the start */
#define VECTOR		0x9au
#define APIC		0xfee00000ull
#define STORE_RIP	0x1000u
#define INSN		0x2000u
#define RAX_JUNK	0xabcdef0100000000ull

uint8_t *memory_test_arena;
struct cpu *cpus[MAX_CPUS];
unsigned int cpu_count;
const struct hv_ops *hv;

static struct cpu cpu_memory[CPUS];

/* What the processors are like. */
enum place { NOWHERE, DOMAIN, PARKED, STOPPED };

static struct processor {
	enum place place;
	bool nmi;		/* waits at the local APIC */
	bool flush;		/* before the control domain is entered next */
	bool stale;		/* there may be a translation of the page */
} processors[CPUS];

/* The page that goes to guests and comes back. */
static bool mapped, in_use;
static uint64_t donations, donated;

static struct cpu *self;
static const struct hv_exit *exit_now;
static jmp_buf out;
static bool violated;

static struct hv_control_state state;
static uint64_t apic_base_msr;
static uint32_t icr_high;

/* What came of an exit. */
static struct {
	unsigned int faults, vector, code, advanced, nmis, inits, sets, lines, resets;
	uint64_t rip, cr2;
	unsigned int sends, writes;		/* of the local APIC, but for NMIs of Keel's own */
	uint32_t reg, value, destination, icr;
	unsigned int starts, start_init;	/* real INIT and SIPI */
	unsigned int msr_writes;
	uint64_t msr_value;
} seen;

/* As ck_assert(), which is too slow for what is asked millions of times. */
static void require(bool condition, const char *what)
{
	if (!condition)
		ck_abort_msg("%s", what);
}

static struct processor *model_of(const struct cpu *cpu)
{
	return &processors[cpu - cpu_memory];
}

/* The local APICs. */

bool apic_x2apic(void)
{
	return apic_base_msr & APIC_BASE_X2APIC;
}

uint64_t apic_base(void)
{
	return apic_base_msr & APIC_BASE_ADDRESS;
}

uint32_t apic_read(uint32_t reg)
{
	return reg == APIC_REG_ICR_HIGH ? icr_high : 0;
}

void apic_write(uint32_t reg, uint32_t value)
{
	seen.writes++;
	seen.reg = reg;
	seen.value = value;
}

void apic_send(uint32_t destination, uint32_t icr)
{
	for (unsigned int i = 0; i < cpu_count; i++) {
		if (cpus[i]->apic_id == destination && icr == (ICR_MODE_NMI | ICR_ASSERT)) {
			processors[i].nmi = true;
			return;
		}
	}
	seen.sends++;
	seen.destination = destination;
	seen.icr = icr;
}

void apic_reset(void)
{
	require(model_of(self)->place == DOMAIN, "INIT of a processor that does not run");
	seen.inits++;
}

void smp_send(struct cpu *cpu, bool init)
{
	(void)cpu;
	seen.starts++;
	seen.start_init += init;
}

struct cpu *smp_find(uint32_t apic_id)
{
	for (unsigned int i = 0; i < cpu_count; i++) {
		if (cpus[i]->apic_id == apic_id)
			return cpus[i];
	}
	return NULL;
}

uint64_t rdmsr(uint32_t msr)
{
	require(msr == MSR_APIC_BASE, "an MSR that was not to be touched");
	return apic_base_msr | (self == cpus[0] ? APIC_BASE_BSP : 0);
}

/* On some processors the local APIC is locked in x2APIC mode, and the write that would leave it faults. */
static bool apic_locked;

bool apic_set_base(uint64_t value)
{
	if (apic_locked)
		return false;
	seen.msr_writes++;
	seen.msr_value = value;
	return true;
}

bool wrmsr_safe(uint32_t msr, uint64_t value)
{
	require(msr == MSR_X2APIC_ICR && apic_x2apic(), "an MSR that was not to be touched");
	apic_send((uint32_t)(value >> 32), (uint32_t)value);
	return true;
}

/* Another processor asks for a flush, just before the NMI is taken that it comes with. */
static bool asked_late;

void cpu_open_window(void)
{
	struct processor *model = model_of(self);

	if (asked_late) {
		asked_late = false;
		control_flushed(self, donations);
	}
	if (model->nmi)
		self->nmi_seen = 1;
	model->nmi = false;
}

/* The one who waits comes back when there is a request: the test calls again then. */
void cpu_park_wait(const uint32_t *request)
{
	if (*request == 0) {
		model_of(self)->place = PARKED;
		longjmp(out, 1);
	}
	model_of(self)->nmi = false;
}

void cpu_rest(void)
{
	control_stopped();
}

static void control_stopped(void)
{
	model_of(self)->place = STOPPED;
	longjmp(out, 1);
}

/* The rest of Keel. */

uint64_t vm_donations(void)
{
	return donations;
}

int own_trap_writes(uint64_t hpa)
{
	ck_assert_uint_eq(hpa, APIC);
	return 0;
}

static struct own_frame frame_there;

struct own_frame own_query(uint64_t hpa)
{
	(void)hpa;
	return frame_there;
}

static bool takes_over;

bool takeover_fault(struct cpu *cpu, uint64_t hpa)
{
	(void)cpu;
	(void)hpa;
	return takes_over;
}

static bool io_allowed;

bool control_io(struct cpu *cpu, const struct hv_exit *exit)
{
	(void)cpu;
	(void)exit;
	return io_allowed;
}

void control_reset(const char *why)
{
	(void)why;
	seen.resets++;
	longjmp(out, 1);
}

void panic(const char *message)
{
	ck_abort_msg("panic: %s", message);
	abort();
}

void print(const char *format, ...)
{
	(void)format;
	seen.lines++;
}

void console_loud(void)
{
}

void console_quiet(void)
{
}

static struct control_store store;
static bool store_known;

bool control_decode_store(struct cpu *cpu, struct control_store *result)
{
	(void)cpu;
	*result = store;
	return store_known;
}

static uint64_t load_address;

bool control_decode_load(struct cpu *cpu, uint64_t *address)
{
	(void)cpu;
	*address = load_address;
	return load_address != 0;
}

struct cpuid control_cpuid(uint32_t leaf, uint32_t subleaf, uint64_t cr4)
{
	return (struct cpuid){ leaf, subleaf, (uint32_t)cr4, 4 };
}

static bool msr_taken;

bool control_rdmsr(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	(void)cpu;
	*value = 0x1122334455667788ull + msr;
	return msr_taken;
}

bool control_wrmsr(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	(void)cpu;
	(void)msr;
	seen.msr_value = value;
	return msr_taken;
}

void control_tell_exit(const struct cpu *cpu, const struct hv_exit *exit)
{
	(void)cpu;
	(void)exit;
	seen.lines++;
}

void control_entry_failed(const struct cpu *cpu, const struct hv_exit *exit)
{
	(void)cpu;
	(void)exit;
	seen.lines++;
}

/* The vendor's side. */

static void hv_set(struct cpu *cpu, const struct keel_sregs *sregs)
{
	(void)cpu;
	seen.sets++;
	require(sregs->cr0 & CR0_ET, "not as after INIT");
}

static void hv_enter(struct cpu *cpu, struct hv_exit *exit)
{
	struct processor *model = model_of(cpu);

	if (exit_now) {
		*exit = *exit_now;
		exit_now = NULL;
		return;
	}
	if (model->flush)
		model->stale = false;
	model->flush = false;
	violated |= in_use && model->stale;
	model->stale |= mapped;
	model->place = DOMAIN;
	longjmp(out, 1);
}

static void hv_get(struct cpu *cpu, struct hv_control_state *result)
{
	(void)cpu;
	*result = state;
}

static void hv_advance(struct cpu *cpu, uint64_t rip)
{
	(void)cpu;
	seen.advanced++;
	seen.rip = rip;
}

static void hv_inject(struct cpu *cpu, uint32_t inject, uint32_t error_code)
{
	(void)cpu;
	require(inject & KEEL_INJECT_VALID && inject & KEEL_INJECT_EXCEPTION && !error_code, "no fault");
	seen.faults++;
	seen.vector = inject & KEEL_INJECT_VECTOR;
	seen.code = !!(inject & KEEL_INJECT_ERROR_CODE);
}

static void hv_inject_nmi(struct cpu *cpu)
{
	/* With GIF it is pending, and taken natively. */
	model_of(cpu)->nmi = false;
	seen.nmis++;
}

static void hv_set_cr2(struct cpu *cpu, uint64_t cr2)
{
	(void)cpu;
	seen.cr2 = cr2;
}

static void hv_flush(struct cpu *cpu)
{
	model_of(cpu)->flush = true;
}

static struct hv_ops ops = {
	.control_set = hv_set, .control_enter = hv_enter, .control_get = hv_get, .control_advance = hv_advance,
	.control_inject = hv_inject, .control_inject_nmi = hv_inject_nmi, .control_set_cr2 = hv_set_cr2,
	.control_flush = hv_flush,
};

/* A processor goes on: from an exit, or from where it waits, to the control domain or to where it waits next. */
static void go_on(struct cpu *cpu, const struct hv_exit *exit)
{
	self = cpu;
	exit_now = exit;
	if (setjmp(out))
		return;
	if (model_of(cpu)->place != DOMAIN)
		control_park(cpu);
	control_run(cpu);
}

static void take_exit(struct cpu *cpu, enum hv_exit_reason reason)
{
	const struct hv_exit exit = { .reason = reason, .next_rip = INSN };

	go_on(cpu, &exit);
}

static void set_up(void)
{
	memset(cpu_memory, 0, sizeof(cpu_memory));
	memset(processors, 0, sizeof(processors));
	memset(&seen, 0, sizeof(seen));
	cpu_count = CPUS;
	for (unsigned int i = 0; i < CPUS; i++) {
		cpus[i] = &cpu_memory[i];
		cpu_memory[i].index = i;
		cpu_memory[i].apic_id = 2 * i + 1;
	}
	hv = &ops;
	ops.has_gif = false;
	state = (struct hv_control_state){ .efer = EFER_LMA };
	apic_base_msr = APIC | APIC_BASE_ENABLE;
	mapped = true;
	in_use = violated = false;
	donations = donated = 0;
	exit_now = NULL;
	takes_over = io_allowed = msr_taken = store_known = apic_locked = false;
	load_address = 0;
	frame_there = (struct own_frame){ .owner = 1, .state = OWN_RAM };
	/* The first runs, the second waits, the third is not there. */
	self = cpus[0];
	if (!setjmp(out)) {
		cpus[0]->online = 1;
		control_start_linux(cpus[0], 0x100000, 0x7000);
		control_run(cpus[0]);
	}
	go_on(cpus[1], NULL);
	memset(&seen, 0, sizeof(seen));
}

/* ICR: who is reached. */

struct command {
	bool x2apic;
	uint32_t mode, bits, destination;
};

static void send(struct cpu *cpu, const struct command *command)
{
	uint32_t icr = command->mode | command->bits | VECTOR;
	struct hv_exit exit = { .next_rip = INSN };

	if (command->x2apic) {
		apic_base_msr |= APIC_BASE_X2APIC;
		exit.reason = HV_EXIT_WRMSR;
		cpu->control.gpr[KEEL_RCX] = MSR_X2APIC_ICR;
		cpu->control.gpr[KEEL_RAX] = RAX_JUNK | icr;
		cpu->control.gpr[KEEL_RDX] = RAX_JUNK | command->destination;
	} else {
		apic_base_msr &= ~(uint64_t)APIC_BASE_X2APIC;
		exit.reason = HV_EXIT_MEMORY;
		exit.gpa = APIC + APIC_REG_ICR_LOW;
		exit.access = KEEL_ACCESS_WRITE;
		icr_high = command->destination << 24;
		store = (struct control_store){ icr, STORE_RIP };
		store_known = true;
	}
	go_on(cpu, &exit);
}

/* The second is made to run, by INIT and SIPI, as an operating system does it. */
static void run_second(void)
{
	send(cpus[0], &(struct command){ true, ICR_MODE_INIT, ICR_ASSERT, cpus[1]->apic_id });
	send(cpus[0], &(struct command){ true, ICR_MODE_SIPI, 0, cpus[1]->apic_id });
	go_on(cpus[1], NULL);
	ck_assert_int_eq(processors[1].place, DOMAIN);
	memset(&seen, 0, sizeof(seen));
}

#define MODES		8u
#define SHORTHANDS	4u
#define DESTINATIONS	5u

static bool is_named(const struct command *command, unsigned int number)
{
	bool others = (command->bits & ICR_SHORTHAND) == ICR_ALL_BUT_SELF && number != SPARE;
	bool one = !(command->bits & (ICR_SHORTHAND | ICR_LOGICAL)) && cpus[number]->apic_id == command->destination;

	return number != 0 && (command->mode == ICR_MODE_INIT || command->mode == ICR_MODE_SIPI) && (others || one);
}

static void check_command(const struct command *command, bool runs)
{
	bool init = command->mode == ICR_MODE_INIT, sipi = command->mode == ICR_MODE_SIPI, own = init || sipi;
	uint32_t icr = command->mode | command->bits | VECTOR, asked;

	send(cpus[0], command);
	ck_assert(seen.faults == 0 && seen.advanced == 1 && seen.rip == (command->x2apic ? INSN : STORE_RIP));
	/* All others are the APIC's to carry out, as they are. */
	ck_assert_uint_eq(seen.sends, !own && command->x2apic);
	ck_assert_uint_eq(seen.writes, !own && !command->x2apic);
	if (seen.sends)
		ck_assert(seen.destination == command->destination && seen.icr == icr);
	if (seen.writes)
		ck_assert(seen.reg == APIC_REG_ICR_LOW && seen.value == icr);
	/* One that runs, or waits: a SIPI is only heard by the latter. */
	asked = !is_named(command, 1) ? 0 : init ? CPU_REQUEST_INIT : runs ? 0 : CPU_REQUEST_SIPI | VECTOR;
	ck_assert_uint_eq(cpus[1]->request, asked);
	ck_assert_int_eq(processors[1].nmi, asked != 0);
	/* One that is not there yet: the real thing brings it to Keel. */
	ck_assert_uint_eq(seen.starts, is_named(command, SPARE));
	ck_assert_uint_eq(seen.start_init, is_named(command, SPARE) && init);
	ck_assert_uint_eq(cpus[SPARE]->request, is_named(command, SPARE) && sipi ? CPU_REQUEST_SIPI | VECTOR : 0);
	/* Not oneself, whatever the name. */
	ck_assert(cpus[0]->request == 0 && processors[0].place == DOMAIN);
}

/* Every mode, shorthand, destination mode and destination, in both modes of the APIC, to processors in all states. */
START_TEST(commands)
{
	const uint32_t destinations[] = {
		cpus[0]->apic_id, cpus[1]->apic_id, cpus[SPARE]->apic_id, 0x77, _i & 1 ? 0xffffffff : 0xff,
	};

	for (unsigned int n = 0; n < MODES * SHORTHANDS * DESTINATIONS * 2; n++) {
		const struct command command = {
			.x2apic = _i & 1, .mode = n / 2 % MODES << 8, .destination = destinations[n / 2 / MODES / SHORTHANDS],
			.bits = (n / 2 / MODES % SHORTHANDS << 18) | (_i & 2 ? ICR_LOGICAL : 0) | ICR_ASSERT,
		};

		set_up();
		if (n & 1)
			run_second();
		check_command(&command, n & 1);
	}
}
END_TEST

/* The end of INIT's level, of old kernels, is no command. */
START_TEST(deassert)
{
	send(cpus[0], &(struct command){ _i, ICR_MODE_INIT, ICR_LEVEL, cpus[1]->apic_id });
	ck_assert(seen.sends == 0 && seen.writes == 0 && seen.faults == 0 && cpus[1]->request == 0);
	ck_assert_uint_eq(seen.advanced, 1);
}
END_TEST

/* What the processor would refuse as well. */
START_TEST(bad_commands)
{
	struct hv_exit exit = { .reason = HV_EXIT_WRMSR, .next_rip = INSN };

	/* In xAPIC mode there is no such MSR; and reserved bits. */
	cpus[0]->control.gpr[KEEL_RCX] = MSR_X2APIC_ICR;
	cpus[0]->control.gpr[KEEL_RAX] = ICR_MODE_INIT | ICR_ASSERT;
	cpus[0]->control.gpr[KEEL_RDX] = cpus[1]->apic_id;
	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 1 && seen.vector == EXC_GP && seen.code && !seen.advanced);
	apic_base_msr |= APIC_BASE_X2APIC;
	for (unsigned int bit = 0; bit < 32; bit++) {
		if (ICR_WRITABLE >> bit & 1)
			continue;
		seen.faults = 0;
		cpus[0]->control.gpr[KEEL_RAX] = 1u << bit;
		go_on(cpus[0], &exit);
		ck_assert_uint_eq(seen.faults, 1);
	}
	ck_assert(seen.advanced == 0 && seen.sends == 0 && cpus[1]->request == 0);
}
END_TEST

/* Stores to the page in xAPIC mode: passed on; in the other mode, or by instructions that are not known, refused. */
START_TEST(stores)
{
	struct hv_exit exit = { .reason = HV_EXIT_MEMORY, .gpa = APIC + APIC_REG_EOI, .access = KEEL_ACCESS_WRITE };

	store = (struct control_store){ 0x55, STORE_RIP };
	store_known = true;
	go_on(cpus[0], &exit);
	ck_assert(seen.writes == 1 && seen.reg == APIC_REG_EOI && seen.value == 0x55 && seen.rip == STORE_RIP && !seen.faults);
	exit.gpa++;
	go_on(cpus[0], &exit);
	exit.gpa--;
	store_known = false;
	go_on(cpus[0], &exit);
	store_known = true;
	apic_base_msr |= APIC_BASE_X2APIC;
	go_on(cpus[0], &exit);
	ck_assert(seen.writes == 1 && seen.faults == 3 && seen.vector == EXC_GP && seen.advanced == 1);
}
END_TEST

/* Memory that was given away. */
START_TEST(foreign_memory)
{
	static const uint32_t access[] = { 0, KEEL_ACCESS_WRITE, KEEL_ACCESS_FETCH, KEEL_ACCESS_WALK };
	struct hv_exit exit = { .reason = HV_EXIT_MEMORY, .gpa = 0x123456000, .access = access[_i] };

	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 1 && seen.vector == EXC_GP && seen.code && !seen.advanced && !seen.cr2);
	/* A word that begins in the page before: a page fault, in the foreign page. */
	load_address = 0xffff888000001ffd;
	go_on(cpus[0], &exit);
	ck_assert_uint_eq(seen.faults, 2);
	ck_assert_uint_eq(seen.vector, _i ? EXC_GP : EXC_PF);
	ck_assert_uint_eq(seen.cr2, _i ? 0 : 0xffff888000002000);
	load_address = 0xffff888000001ff8;
	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 3 && seen.vector == EXC_GP);
	/* It was another kernel's, and comes back. */
	takes_over = true;
	go_on(cpus[0], &exit);
	ck_assert_uint_eq(seen.faults, 3);
	ck_assert_uint_eq(seen.advanced, 0);
}
END_TEST

/* An entry that a processor still had in a cache of tables, or that another processor has mended meanwhile: it tries again. */
START_TEST(stale_faults)
{
	struct hv_exit exit = { .reason = HV_EXIT_MEMORY, .gpa = 0x123456000, .access = _i ? KEEL_ACCESS_WRITE : 0 };

	frame_there = (struct own_frame){ .owner = OWN_CONTROL, .state = OWN_MAPPED };
	go_on(cpus[0], &exit);
	frame_there = (struct own_frame){ .owner = 1, .state = OWN_SHARED };
	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 0 && seen.advanced == 0);
	/* Not where it would come again. */
	frame_there = (struct own_frame){ .owner = OWN_DEVICE, .state = OWN_TRAPPED };
	exit.access = KEEL_ACCESS_WRITE;
	go_on(cpus[0], &exit);
	ck_assert_uint_eq(seen.faults, 1);
}
END_TEST

START_TEST(msrs)
{
	struct hv_exit exit = { .reason = HV_EXIT_RDMSR, .next_rip = INSN };
	struct keel_regs *regs = &cpus[0]->control;

	regs->gpr[KEEL_RCX] = RAX_JUNK | MSR_EFER;
	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 1 && seen.vector == EXC_GP && seen.code && !seen.advanced);
	msr_taken = true;
	go_on(cpus[0], &exit);
	ck_assert_uint_eq(regs->gpr[KEEL_RDX] << 32 | regs->gpr[KEEL_RAX], 0x1122334455667788ull + MSR_EFER);
	ck_assert(seen.faults == 1 && seen.advanced == 1 && seen.rip == INSN);
	exit.reason = HV_EXIT_WRMSR;
	regs->gpr[KEEL_RAX] = RAX_JUNK | 0xd01;
	regs->gpr[KEEL_RDX] = RAX_JUNK | 5;
	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 1 && seen.advanced == 2 && seen.msr_value == (5ull << 32 | 0xd01));
	msr_taken = false;
	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 2 && seen.vector == EXC_GP && seen.advanced == 2);
}
END_TEST

/* SDM vol. 3, 11.12.5: xAPIC to x2APIC, x2APIC to off, xAPIC to off and back; the address stays. */
START_TEST(apic_modes)
{
	static const struct {
		uint64_t from, to;
	} bad[] = {
		{ APIC_BASE_ENABLE, APIC_BASE_X2APIC }, { 0, APIC_BASE_ENABLE | APIC_BASE_X2APIC },
		{ APIC_BASE_ENABLE | APIC_BASE_X2APIC, APIC_BASE_ENABLE }, { APIC_BASE_ENABLE, APIC_BASE_ENABLE | 0x1000 },
		{ APIC_BASE_ENABLE, APIC_BASE_ENABLE | 1 }, { APIC_BASE_ENABLE, APIC_BASE_ENABLE | 1ull << 40 },
	};
	static const struct {
		uint64_t from, to;
	} good[] = { { APIC_BASE_ENABLE, 0 }, { 0, APIC_BASE_ENABLE }, { APIC_BASE_ENABLE | APIC_BASE_X2APIC, 0 } };
	struct hv_exit exit = { .reason = HV_EXIT_WRMSR, .next_rip = INSN };
	unsigned int i;

	cpus[0]->control.gpr[KEEL_RCX] = MSR_APIC_BASE;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		apic_base_msr = APIC | bad[i].from;
		cpus[0]->control.gpr[KEEL_RAX] = (uint32_t)(APIC | APIC_BASE_BSP | bad[i].to);
		cpus[0]->control.gpr[KEEL_RDX] = bad[i].to >> 32;
		go_on(cpus[0], &exit);
		ck_assert_uint_eq(seen.faults, i + 1);
	}
	ck_assert_uint_eq(seen.msr_writes, 0);
	cpus[0]->control.gpr[KEEL_RDX] = 0;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		apic_base_msr = APIC | good[i].from;
		cpus[0]->control.gpr[KEEL_RAX] = APIC | APIC_BASE_BSP | good[i].to;
		go_on(cpus[0], &exit);
		ck_assert_uint_eq(seen.msr_writes, i + 1);
		ck_assert_uint_eq(seen.msr_value, APIC | APIC_BASE_BSP | good[i].to);
	}
	ck_assert_uint_eq(seen.advanced, i);
	seen.faults = 0;
	apic_locked = true;
	apic_base_msr = APIC | APIC_BASE_ENABLE | APIC_BASE_X2APIC;
	cpus[0]->control.gpr[KEEL_RAX] = APIC | APIC_BASE_BSP;
	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 1 && seen.vector == EXC_GP && seen.advanced == i && seen.msr_writes == i);
}
END_TEST

/* Only ring 0 of 64-bit mode has hypercalls. */
START_TEST(hypercalls_of_ring_0)
{
	donations = 1;
	cpus[0]->control.gpr[KEEL_RAX] = KEEL_HC_FLUSH;
	state.cpl = 3;
	take_exit(cpus[0], HV_EXIT_HYPERCALL);
	ck_assert(seen.faults == 1 && seen.vector == EXC_UD && !seen.code && !seen.advanced);
	state = (struct hv_control_state){ 0 };
	take_exit(cpus[0], HV_EXIT_HYPERCALL);
	ck_assert(seen.faults == 2 && cpus[0]->flushed == 0);
	state.efer = EFER_LMA;
	take_exit(cpus[0], HV_EXIT_HYPERCALL);
	ck_assert(seen.faults == 2 && seen.advanced == 1 && cpus[0]->control.gpr[KEEL_RAX] == 0);
	ck_assert(cpus[0]->flushed == 1 && control_flushed(cpus[0], 1));
}
END_TEST

START_TEST(other_exits)
{
	struct keel_regs *regs = &cpus[0]->control;

	regs->gpr[KEEL_RAX] = RAX_JUNK | 7;
	regs->gpr[KEEL_RCX] = RAX_JUNK | 1;
	state.cr4 = 3;
	take_exit(cpus[0], HV_EXIT_CPUID);
	ck_assert(regs->gpr[KEEL_RAX] == 7 && regs->gpr[KEEL_RBX] == 1 && regs->gpr[KEEL_RCX] == 3 && regs->gpr[KEEL_RDX] == 4);
	ck_assert_uint_eq(seen.advanced, 1);
	take_exit(cpus[0], HV_EXIT_UNDEFINED);
	ck_assert(seen.faults == 1 && seen.vector == EXC_UD && !seen.code);
	take_exit(cpus[0], HV_EXIT_IO);
	ck_assert(seen.faults == 2 && seen.vector == EXC_GP);
	io_allowed = true;
	take_exit(cpus[0], HV_EXIT_IO);
	ck_assert_uint_eq(seen.faults, 2);
	take_exit(cpus[0], HV_EXIT_MACHINE_CHECK);
	ck_assert(seen.faults == 3 && seen.vector == EXC_MC && !seen.code && !seen.lines);
	take_exit(cpus[0], HV_EXIT_TRIPLE_FAULT);
	ck_assert_uint_eq(seen.resets, 1);
}
END_TEST

/* No exit ends the machine: what nobody knows does not exist, and a state that cannot be entered is as good as a triple fault. */
START_TEST(unexpected_exits)
{
	static const enum hv_exit_reason reasons[] = {
		HV_EXIT_UNKNOWN, HV_EXIT_PAUSE, HV_EXIT_WINDOW, HV_EXIT_TPR, HV_EXIT_EOI, HV_EXIT_APIC_WRITE,
		HV_EXIT_CR8_WRITE, HV_EXIT_TASK_SWITCH, HV_EXIT_XSETBV, HV_EXIT_INTERRUPT,
	};
	unsigned int i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		take_exit(cpus[0], reasons[i]);
		ck_assert(seen.faults == i + 1 && seen.vector == EXC_UD && !seen.code && seen.lines == i + 1);
	}
	ck_assert(!seen.advanced && !seen.resets);
	take_exit(cpus[0], HV_EXIT_ENTRY_FAILED);
	ck_assert(seen.resets == 1 && seen.faults == i && seen.lines == i + 1);
}
END_TEST

/* An INIT from hardware: the first processor is the machine's reset, another waits for a SIPI. */
START_TEST(hardware_init)
{
	run_second();
	take_exit(cpus[1], HV_EXIT_INIT);
	ck_assert_int_eq(processors[1].place, PARKED);
	ck_assert(seen.inits == 1 && seen.resets == 0 && cpus[1]->parked);
	take_exit(cpus[0], HV_EXIT_INIT);
	ck_assert_uint_eq(seen.resets, 1);
}
END_TEST

/* The NMI of the control domain's own is passed on; one that Keel sent is not, but what it came for is done. */
START_TEST(nmis)
{
	ops.has_gif = _i & 1;
	processors[0].nmi = ops.has_gif;
	take_exit(cpus[0], HV_EXIT_NMI);
	ck_assert_uint_eq(seen.nmis, 1);
	/* In real mode there is none. */
	state.efer = 0;
	processors[0].nmi = ops.has_gif;
	take_exit(cpus[0], HV_EXIT_NMI);
	ck_assert_uint_eq(seen.nmis, 1);
	state.efer = EFER_LMA;
	donations = 1;
	ck_assert(!control_flushed(cpus[0], 1));
	ck_assert(processors[0].nmi);
	processors[0].nmi = ops.has_gif;
	take_exit(cpus[0], HV_EXIT_NMI);
	ck_assert_uint_eq(seen.nmis, 1);
	ck_assert(control_flushed(cpus[0], 1));
	/* Nor is anything lost that comes with an NMI that is taken for another one. */
	donations = 2;
	asked_late = ops.has_gif;
	state.efer = 0;
	processors[0].nmi = ops.has_gif;
	take_exit(cpus[0], HV_EXIT_NMI);
	ck_assert_int_eq(cpus[0]->flushed == 2, ops.has_gif);
	state.efer = EFER_LMA;
	/* One that came while a guest or Keel ran. */
	cpus[0]->nmi_seen = 1;
	take_exit(cpus[0], HV_EXIT_NONE);
	ck_assert_uint_eq(seen.nmis, 2);
	ck_assert(!cpus[0]->nmi_seen);
	donations = 3;
	control_flushed(cpus[0], 3);
	processors[0].nmi = false;
	cpus[0]->nmi_seen = 1;
	take_exit(cpus[0], HV_EXIT_NONE);
	ck_assert_uint_eq(seen.nmis, 2);
	ck_assert(control_flushed(cpus[0], 3));
	/* The machine is about to be reset. */
	cpus[0]->request = CPU_REQUEST_STOP;
	take_exit(cpus[0], HV_EXIT_NMI);
	ck_assert(processors[0].place == STOPPED && !cpus[0]->online);
}
END_TEST

/* Every state: a key says all of it. */

#define KEYS		(1u << 21)
#define DONATIONS	2u

static uint64_t *keys, *queue;
static size_t key_count;

static uint64_t key_of(void)
{
	uint64_t key = 1;

	for (unsigned int i = 0; i < CPUS; i++) {
		const struct cpu *cpu = cpus[i];
		const struct processor *p = &processors[i];

		key = key << 2 | p->place;
		key = key << 3 | (unsigned int)(p->nmi << 2 | p->flush << 1 | p->stale);
		key = key << 2 | (cpu->online << 1 | cpu->parked);
		key = key << 3 | cpu->request >> 29;
		key = key << 2 | cpu->flushed;
		key = key << 2 | (cpu->nmi_seen << 1 | cpu->init_seen);
	}
	return key << 6 | (unsigned int)(mapped << 5 | in_use << 4) | donations << 2 | donated;
}

static void set_key(uint64_t key)
{
	donated = key & 3;
	donations = key >> 2 & 3;
	in_use = key >> 4 & 1;
	mapped = key >> 5 & 1;
	key >>= 6;
	for (unsigned int i = CPUS; i-- > 0; key >>= 14) {
		struct processor *p = &processors[i];

		cpus[i]->init_seen = key & 1;
		cpus[i]->nmi_seen = key >> 1 & 1;
		cpus[i]->flushed = key >> 2 & 3;
		cpus[i]->request = (uint32_t)(key >> 4 & 7) << 29 | (key >> 5 & 1 ? VECTOR : 0);
		cpus[i]->parked = key >> 7 & 1;
		cpus[i]->online = key >> 8 & 1;
		p->stale = key >> 9 & 1;
		p->flush = key >> 10 & 1;
		p->nmi = key >> 11 & 1;
		p->place = key >> 12 & 3;
	}
}

static void add_key(uint64_t key)
{
	size_t at = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 30) % KEYS;

	for (; keys[at] != 0; at = (at + 1) % KEYS) {
		if (keys[at] == key)
			return;
	}
	keys[at] = queue[key_count++] = key;
	require(key_count <= KEYS / 2, "more states than there is room for");
}

enum event { FLUSH_CALL, OWN_NMI, NMI_EXIT, WAKE, OTHER_EXIT, HARDWARE_INIT, INIT_IPI, SIPI_IPI, EVENTS };

/* False: it cannot happen now. */
static bool happen(unsigned int event, unsigned int number)
{
	struct cpu *cpu = cpus[number], *other = cpus[(number + 1) % CPUS];
	struct processor *p = &processors[number];

	if (event == WAKE) {
		/* From its wait; or it comes for the first time, after a SIPI from Keel that it had been asked for. */
		if (p->place != PARKED && !(p->place == NOWHERE && cpu->request & CPU_REQUEST_SIPI))
			return false;
		go_on(cpu, NULL);
		return true;
	}
	if (p->place != DOMAIN)
		return false;
	switch (event) {
	case FLUSH_CALL:
		cpu->control.gpr[KEEL_RAX] = KEEL_HC_FLUSH;
		take_exit(cpu, HV_EXIT_HYPERCALL);
		break;
	case OWN_NMI:
		if (number != 1)
			return false;
		p->nmi = true;
		break;
	case NMI_EXIT:
		if (!p->nmi)
			return false;
		/* Without GIF it is over with the exit; else it stays pending. */
		p->nmi = ops.has_gif;
		take_exit(cpu, HV_EXIT_NMI);
		break;
	case OTHER_EXIT:
		take_exit(cpu, HV_EXIT_UNDEFINED);
		break;
	case HARDWARE_INIT:
		if (number != 1)
			return false;
		take_exit(cpu, HV_EXIT_INIT);
		break;
	case INIT_IPI:
		if (number == SPARE)
			return false;
		send(cpu, &(struct command){ true, ICR_MODE_INIT, ICR_ASSERT, other->apic_id });
		break;
	default:
		if (number == SPARE)
			return false;
		send(cpu, &(struct command){ true, ICR_MODE_SIPI, 0, other->apic_id });
		break;
	}
	return true;
}

/* The page goes to a guest, or comes back. */
static bool page_moves(void)
{
	bool all = true;

	if (mapped && donations < DONATIONS) {
		mapped = false;
		donated = ++donations;
	} else if (in_use) {
		in_use = false;
		mapped = true;
	} else if (!mapped) {
		for (unsigned int i = 0; i < CPUS; i++)
			all &= control_flushed(cpus[i], donated);
		in_use = all;
	} else {
		return false;
	}
	return true;
}

/* What must hold wherever the processors are. */
static void check_state(void)
{
	require(!violated, "the control domain runs with an old translation of a frame that is in use");
	for (unsigned int i = 0; i < CPUS; i++) {
		if (processors[i].place != DOMAIN)
			continue;
		require(!(cpus[i]->request & CPU_REQUEST_NMI) || processors[i].nmi, "a request's NMI is gone, it is not");
		require(!cpus[i]->parked && cpus[i]->online, "a processor runs that does not count");
	}
}

START_TEST(every_state)
{
	uint64_t uses = 0;

	keys = calloc(KEYS, sizeof(*keys));
	queue = calloc(KEYS, sizeof(*queue));
	ops.has_gif = _i & 1;
	key_count = 0;
	add_key(key_of());
	for (size_t at = 0; at < key_count; at++) {
		for (unsigned int i = 0; i <= EVENTS * CPUS; i++) {
			set_key(queue[at]);
			seen.resets = 0;
			if (i < EVENTS * CPUS ? !happen(i / CPUS, i % CPUS) : !page_moves())
				continue;
			/* The first processor's INIT is the end of all. */
			if (seen.resets)
				continue;
			check_state();
			uses += in_use;
			add_key(key_of());
		}
	}
	ck_assert_uint_gt(key_count, 1000);
	ck_assert_uint_gt(uses, 1000);
	free(keys);
	free(queue);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control");
	TCase *tests = tcase_create("tests");

	tcase_set_timeout(tests, 110);
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_loop_test(tests, commands, 0, 4);
	tcase_add_loop_test(tests, deassert, 0, 2);
	tcase_add_test(tests, bad_commands);
	tcase_add_test(tests, stores);
	tcase_add_loop_test(tests, foreign_memory, 0, 4);
	tcase_add_loop_test(tests, stale_faults, 0, 2);
	tcase_add_test(tests, msrs);
	tcase_add_test(tests, apic_modes);
	tcase_add_test(tests, hypercalls_of_ring_0);
	tcase_add_test(tests, other_exits);
	tcase_add_test(tests, unexpected_exits);
	tcase_add_test(tests, hardware_init);
	tcase_add_loop_test(tests, nmis, 0, 2);
	tcase_add_loop_test(tests, every_state, 0, 2);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
