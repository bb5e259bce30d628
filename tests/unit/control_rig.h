/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control domain's processors and exits, from the real source, with a processor, its local APIC and its TLB that are models.
 */
#ifndef KEEL_TEST_CONTROL_RIG_H
#define KEEL_TEST_CONTROL_RIG_H

#include <check.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <keel/hypercall.h>
#include <keel/macros.h>

#include "cpu.h"

#define cpu_stop() control_stopped()
static __attribute__((noreturn)) void control_stopped(void);

#include "../../vmm/control_cpus.c"
#include "../../vmm/control.c"
#include "../../vmm/control_start.c"
#include "../../vmm/donation.c"
#include "../../vmm/hypercall.c"

#include "error.h"
#include "suite.h"

/* Of the hypercalls only FLUSH is made here, nothing ends early, and devices are asked nothing. */
#pragma weak console_loud
#pragma weak console_quiet
#pragma weak log_read
#pragma weak takeover_attach
#pragma weak takeover_attached
#pragma weak vcpu_run
#pragma weak vcpu_run_event
#pragma weak vm_assign
#pragma weak vm_cell_image_pages
#pragma weak vm_create
#pragma weak vm_donate
#pragma weak vm_free_slots
#pragma weak vm_tell_faults
#pragma weak iommu_faults
#pragma weak iommu_flush
#pragma weak iommu_works
#pragma weak vm_get
#pragma weak vm_kill
#pragma weak vm_map
#pragma weak vm_reclaim
#pragma weak vm_share
#pragma weak vm_bound_aperture
#pragma weak vm_start
#pragma weak vm_take_dirty

#define CPUS		3u
#define SPARE		2u	/* not there at the start */
#define VECTOR		0x9au
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
static uint64_t donated;

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
	uint64_t msr_value;
} seen;

/* As ck_assert(), which is too slow for what is asked millions of times. */
static inline void require(bool condition, const char *what)
{
	if (!condition)
		ck_abort_msg("%s", what);
}

static inline struct processor *model_of(const struct cpu *cpu)
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
		flushed_by_cpu(self, donations);
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

static inline void control_stopped(void)
{
	model_of(self)->place = STOPPED;
	longjmp(out, 1);
}

/* The rest of Keel. */

int own_trap_writes(uint64_t hpa)
{
	ck_assert_uint_eq(hpa, APIC_BASE_RESET);
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

bool control_io(struct cpu *cpu, const struct keel_exit *exit)
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

static inline void hv_set(struct cpu *cpu, const struct keel_sregs *sregs)
{
	(void)cpu;
	seen.sets++;
	require(sregs->cr0 & CR0_ET, "not as after INIT");
}

static inline void hv_enter(struct cpu *cpu, struct hv_exit *exit)
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

static inline void hv_get(struct cpu *cpu, struct hv_control_state *result)
{
	(void)cpu;
	*result = state;
}

static inline void hv_advance(struct cpu *cpu, uint64_t rip)
{
	(void)cpu;
	seen.advanced++;
	seen.rip = rip;
}

static inline void hv_inject(struct cpu *cpu, uint32_t inject, uint32_t error_code)
{
	(void)cpu;
	require(inject & KEEL_INJECT_VALID && inject & KEEL_INJECT_EXCEPTION && !error_code, "no fault");
	seen.faults++;
	seen.vector = inject & KEEL_INJECT_VECTOR;
	seen.code = !!(inject & KEEL_INJECT_ERROR_CODE);
}

static inline void hv_inject_nmi(struct cpu *cpu)
{
	/* With GIF it is pending, and taken natively. */
	model_of(cpu)->nmi = false;
	seen.nmis++;
}

static inline void hv_set_cr2(struct cpu *cpu, uint64_t cr2)
{
	(void)cpu;
	seen.cr2 = cr2;
}

static inline void hv_flush(struct cpu *cpu)
{
	model_of(cpu)->flush = true;
}

static struct hv_ops ops = {
	.control.set = hv_set, .control.enter = hv_enter, .control.get = hv_get, .control.advance = hv_advance,
	.control.inject = hv_inject, .control.inject_nmi = hv_inject_nmi, .control.set_cr2 = hv_set_cr2,
	.control.flush = hv_flush,
};

/* A processor goes on: from an exit, or from where it waits, to the control domain or to where it waits next. */
static inline void go_on(struct cpu *cpu, const struct hv_exit *exit)
{
	self = cpu;
	exit_now = exit;
	if (setjmp(out))
		return;
	if (model_of(cpu)->place != DOMAIN)
		control_park(cpu);
	control_run(cpu);
}

static inline void take_exit(struct cpu *cpu, enum hv_exit_reason reason)
{
	struct keel_exit record = { .next_rip = INSN };
	const struct hv_exit exit = { .reason = reason, .record = &record };

	go_on(cpu, &exit);
}

static inline void set_up(void)
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
	ops.holds_nmis = false;
	state = (struct hv_control_state){ .efer = EFER_LMA };
	apic_base_msr = APIC_BASE_RESET | APIC_BASE_ENABLE;
	mapped = true;
	in_use = violated = false;
	donations = donated = 0;
	exit_now = NULL;
	takes_over = io_allowed = msr_taken = store_known = false;
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

static inline void send(struct cpu *cpu, const struct command *command)
{
	uint32_t icr = command->mode | command->bits | VECTOR;
	struct keel_exit record = { .next_rip = INSN };
	struct hv_exit exit = { .record = &record };

	if (command->x2apic) {
		apic_base_msr |= APIC_BASE_X2APIC;
		exit.reason = HV_EXIT_WRMSR;
		cpu->control.gpr[KEEL_RCX] = MSR_X2APIC_ICR;
		cpu->control.gpr[KEEL_RAX] = RAX_JUNK | icr;
		cpu->control.gpr[KEEL_RDX] = RAX_JUNK | command->destination;
	} else {
		apic_base_msr &= ~(uint64_t)APIC_BASE_X2APIC;
		exit.reason = HV_EXIT_MEMORY;
		record.gpa = APIC_BASE_RESET + APIC_REG_ICR_LOW;
		record.access = KEEL_ACCESS_WRITE;
		icr_high = command->destination << 24;
		store = (struct control_store){ icr, STORE_RIP };
		store_known = true;
	}
	go_on(cpu, &exit);
}

/* The second is made to run, by INIT and SIPI, as an operating system does it. */
static inline void run_second(void)
{
	send(cpus[0], &(struct command){ true, ICR_MODE_INIT, ICR_ASSERT, cpus[1]->apic_id });
	send(cpus[0], &(struct command){ true, ICR_MODE_SIPI, 0, cpus[1]->apic_id });
	go_on(cpus[1], NULL);
	ck_assert_int_eq(processors[1].place, DOMAIN);
	memset(&seen, 0, sizeof(seen));
}

#endif
