// SPDX-License-Identifier: GPL-2.0
// The control domain's exits.

#include "control.h"

#include "apic.h"
#include "console.h"
#include "control_decode.h"
#include "cpu.h"
#include "error.h"
#include "hv.h"
#include "own.h"
#include "smp.h"
#include "spinlock.h"
#include "string.h"
#include "trap.h"
#include "vm.h"

#define CPUID_X2APIC		(1u << 21)	/* leaf 1 ECX */

#define WORD			8u

#define REAL_MODE_LIMIT		0xffffu
#define SEGMENT_CODE32		0xc9bu	/* 4 GiB, 32-bit, execute and read, accessed */
#define SEGMENT_DATA32		0xc93u
#define SEGMENT_CODE16		0x09bu
#define SEGMENT_DATA16		0x093u
#define SEGMENT_LDT		0x082u
#define SEGMENT_TSS_BUSY	0x08bu

#define RESET_PORT		0xcf9u
#define RESET_FULL		0x6u

struct page_table control_table;

static struct spinlock trap_lock;
static uint64_t *apic_slot;	/* the entry of the local APIC's page */

void control_init(void)
{
	struct pt_place place;

	if (own_trap_writes(apic_base()) || !pt_lookup(&control_table, apic_base(), &place))
		panic("the local APIC is not in the control domain's map");
	apic_slot = place.slot;
}

static void set_trapped(struct cpu *cpu, bool on)
{
	hv->control_trap(cpu, on);
	__atomic_store_n(&cpu->trapped, on, __ATOMIC_RELEASE);
}

bool control_flushed(struct cpu *cpu, uint64_t donation)
{
	if (!__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE) || __atomic_load_n(&cpu->parked, __ATOMIC_ACQUIRE) ||
	    __atomic_load_n(&cpu->flushed, __ATOMIC_ACQUIRE) >= donation)
		return true;
	/* The control domain cannot make a CPU flush that it has put off line; while there is one, all are trapped. */
	if (__atomic_load_n(&cpu->trapped, __ATOMIC_ACQUIRE)) {
		__atomic_or_fetch(&cpu->request, CPU_REQUEST_FLUSH, __ATOMIC_ACQ_REL);
		apic_send(cpu->apic_id, ICR_MODE_NMI | ICR_ASSERT);
	}
	return false;
}

/* Those, too, that Keel could not start or has no room for: without the trap the control domain could start them outside Keel. */
static bool every_cpu_runs(void)
{
	unsigned int i, running = 0;

	for (i = 0; i < cpu_count; i++)
		running += cpus[i]->online && !__atomic_load_n(&cpus[i]->parked, __ATOMIC_ACQUIRE);
	return running == cpu_count && cpu_count >= cpus_listed;
}

static uint32_t take_requests(struct cpu *cpu)
{
	return __atomic_fetch_and(&cpu->request, ~CPU_REQUEST_FLUSH, __ATOMIC_ACQ_REL);
}

int control_set_trap(struct cpu *cpu, bool on)
{
	int error = 0;

	spin_lock(&trap_lock);
	if (!on && !every_cpu_runs()) {
		error = -EBUSY;
	} else {
		*apic_slot = on ? *apic_slot & ~hv->second_level->write : *apic_slot | hv->second_level->write;
		take_requests(cpu);	/* a stale one, whose NMI went to the control domain as the trap was lifted */
		set_trapped(cpu, on);
		hv->control_flush(cpu);
	}
	spin_unlock(&trap_lock);
	return error;
}

static bool take_sipi(struct cpu *cpu, uint8_t *vector)
{
	uint32_t request = __atomic_load_n(&cpu->request, __ATOMIC_ACQUIRE);

	if (!(request & CPU_REQUEST_SIPI)) {
		__atomic_compare_exchange_n(&cpu->request, &request, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
		return false;
	}
	__atomic_store_n(&cpu->parked, 0, __ATOMIC_RELEASE);
	__atomic_fetch_and(&cpu->request, ~(CPU_REQUEST_NMI | CPU_REQUEST_SIPI | ICR_VECTOR), __ATOMIC_ACQ_REL);
	*vector = (uint8_t)request;
	return true;
}

/* As after INIT (SDM vol. 3, table 10-1), but for what is given. */
static void start(struct cpu *cpu, const struct keel_segment_register *code, const struct keel_segment_register *data,
		  uint64_t cr0, uint64_t rip)
{
	struct keel_sregs sregs = {
		.gdt_limit = REAL_MODE_LIMIT, .idt_limit = REAL_MODE_LIMIT, .cr0 = CR0_ET | cr0, .dr6 = DR6_RESET,
		.dr7 = DR7_RESET,
	};
	unsigned int i;

	for (i = 0; i < KEEL_SEG_COUNT; i++)
		sregs.seg[i] = *data;
	sregs.seg[KEEL_SEG_CS] = *code;
	sregs.seg[KEEL_SEG_LDTR] = (struct keel_segment_register){ 0, SEGMENT_LDT, REAL_MODE_LIMIT, 0 };
	sregs.seg[KEEL_SEG_TR] = (struct keel_segment_register){ 0, SEGMENT_TSS_BUSY, REAL_MODE_LIMIT, 0 };
	memset(&cpu->control, 0, sizeof(cpu->control));
	cpu->control.rip = rip;
	hv->control_set(cpu, &sregs);
}

/* The 32-bit boot protocol of Linux. */
void control_start_linux(struct cpu *cpu, uint32_t entry, uint32_t boot_params)
{
	static const struct keel_segment_register code = { 0x10, SEGMENT_CODE32, 0xffffffffu, 0 };
	static const struct keel_segment_register data = { 0x18, SEGMENT_DATA32, 0xffffffffu, 0 };

	start(cpu, &code, &data, CR0_PE, entry);
	cpu->control.gpr[KEEL_RSI] = boot_params;
}

static void start_sipi(struct cpu *cpu, uint8_t vector)
{
	const struct keel_segment_register code = { (uint16_t)(vector << 8), SEGMENT_CODE16, REAL_MODE_LIMIT,
						    (uint64_t)vector << 12 };
	static const struct keel_segment_register data = { 0, SEGMENT_DATA16, REAL_MODE_LIMIT, 0 };

	start(cpu, &code, &data, 0, 0);
	cpu->control.gpr[KEEL_RDX] = cpuid(1, 0).eax;
}

void control_park(struct cpu *cpu)
{
	uint8_t vector;

	__atomic_store_n(&cpu->parked, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&cpu->online, 1, __ATOMIC_RELEASE);
	do {
		cpu_park_wait(&cpu->request);
	} while (!take_sipi(cpu, &vector));
	cpu->nmi_seen = 0;
	cpu->flushed = vm_donations();
	set_trapped(cpu, true);
	start_sipi(cpu, vector);
}

/* INIT or SIPI for one CPU (SDM vol. 3, 9.4.4: a second SIPI finds the CPU running and is ignored). */
static void request(struct cpu *self, struct cpu *target, uint32_t icr)
{
	uint32_t pending;

	if (!target || target == self)
		return;
	if ((icr & ICR_MODE) == ICR_MODE_INIT) {
		__atomic_or_fetch(&target->request, CPU_REQUEST_INIT, __ATOMIC_ACQ_REL);
	} else {
		pending = __atomic_load_n(&target->request, __ATOMIC_ACQUIRE);
		if (!(pending & CPU_REQUEST_INIT) && !__atomic_load_n(&target->parked, __ATOMIC_ACQUIRE))
			return;
		if (pending & CPU_REQUEST_SIPI)
			return;
		__atomic_or_fetch(&target->request, CPU_REQUEST_SIPI | (icr & ICR_VECTOR), __ATOMIC_ACQ_REL);
	}
	apic_send(target->apic_id, ICR_MODE_NMI | ICR_ASSERT);
}

/* True: the command was INIT or SIPI and has been carried out. */
static bool intercept_icr(struct cpu *self, uint32_t destination, uint32_t icr)
{
	uint32_t mode = icr & ICR_MODE;
	unsigned int i;

	if (mode != ICR_MODE_INIT && mode != ICR_MODE_SIPI)
		return false;
	if (mode == ICR_MODE_INIT && icr & ICR_LEVEL && !(icr & ICR_ASSERT))
		return true;
	if ((icr & ICR_SHORTHAND) == ICR_ALL_BUT_SELF) {
		for (i = 0; i < cpu_count; i++)
			if (cpus[i]->online)
				request(self, cpus[i], icr);
	} else if (!(icr & ICR_SHORTHAND)) {
		request(self, smp_find(destination), icr);
	}
	return true;
}

static void inject_fault(struct cpu *cpu, unsigned int vector, bool error_code)
{
	hv->control_inject(cpu, KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | vector |
			   (error_code ? KEEL_INJECT_ERROR_CODE : 0), 0);
}

static void exit_cpuid(struct cpu *cpu, const struct hv_exit *exit)
{
	struct keel_regs *regs = &cpu->control;
	struct hv_control_state state;
	struct cpuid r;

	hv->control_get(cpu, &state);
	r = cpuid_control((uint32_t)regs->gpr[KEEL_RAX], (uint32_t)regs->gpr[KEEL_RCX], state.cr4);
	regs->gpr[KEEL_RAX] = r.eax;
	regs->gpr[KEEL_RBX] = r.ebx;
	regs->gpr[KEEL_RCX] = r.ecx;
	regs->gpr[KEEL_RDX] = r.edx;
	hv->control_advance(cpu, exit->next_rip);
}

static void exit_rdmsr(struct cpu *cpu, const struct hv_exit *exit)
{
	uint64_t value;

	if (!hv->control_rdmsr(cpu, (uint32_t)cpu->control.gpr[KEEL_RCX], &value)) {
		inject_fault(cpu, EXC_GP, true);
		return;
	}
	cpu->control.gpr[KEEL_RAX] = (uint32_t)value;
	cpu->control.gpr[KEEL_RDX] = value >> 32;
	hv->control_advance(cpu, exit->next_rip);
}

/* What the processor would take (SDM vol. 3, 11.12.5), at the place where writes of the registers are watched. */
static bool apic_base_ok(uint64_t value)
{
	uint64_t old = rdmsr(MSR_APIC_BASE), modes = APIC_BASE_ENABLE | APIC_BASE_X2APIC;

	if ((value ^ old) & ~modes || (value & modes) == APIC_BASE_X2APIC)
		return false;
	if (value & APIC_BASE_X2APIC)
		return old & APIC_BASE_ENABLE && cpuid(1, 0).ecx & CPUID_X2APIC;
	return !(old & APIC_BASE_X2APIC) || !(value & APIC_BASE_ENABLE);
}

static void exit_wrmsr(struct cpu *cpu, const struct hv_exit *exit)
{
	uint32_t msr = (uint32_t)cpu->control.gpr[KEEL_RCX];
	uint32_t low = (uint32_t)cpu->control.gpr[KEEL_RAX], high = (uint32_t)cpu->control.gpr[KEEL_RDX];

	if (msr == MSR_X2APIC_ICR && apic_x2apic() && !(low & ~ICR_WRITABLE)) {
		if (!intercept_icr(cpu, high, low))
			apic_send(high, low);
	} else if (msr == MSR_APIC_BASE && apic_base_ok((uint64_t)high << 32 | low)) {
		wrmsr(msr, (uint64_t)high << 32 | low);
	} else if (!hv->control_wrmsr || !hv->control_wrmsr(cpu, msr, (uint64_t)high << 32 | low)) {
		inject_fault(cpu, EXC_GP, true);
		return;
	}
	hv->control_advance(cpu, exit->next_rip);
}

/* A write of the local APIC, which is passed on, or memory that is not the control domain's, which faults. */
static void exit_memory(struct cpu *cpu, const struct hv_exit *exit)
{
	struct control_store store;
	uint32_t reg = (uint32_t)(exit->gpa & (KEEL_PAGE_SIZE - 1));

	uint64_t va;

	/*
	 * A word that runs over the end of the control domain's memory is how Linux reads names (load_unaligned_zeropad): it is
	 * ready for a page fault there, but not for #GP.
	 */
	if (!exit->access && control_decode_load(cpu, &va) && va % KEEL_PAGE_SIZE > KEEL_PAGE_SIZE - WORD) {
		hv->control_set_cr2(cpu, (va | (WORD - 1)) + 1);
		inject_fault(cpu, EXC_PF, true);
		return;
	}
	if ((exit->gpa & ~(KEEL_PAGE_SIZE - 1)) != apic_base() || apic_x2apic() || reg & APIC_REG_UNALIGNED ||
	    exit->access != KEEL_ACCESS_WRITE || !control_decode_store(cpu, &store)) {
		inject_fault(cpu, EXC_GP, true);
		return;
	}
	if (reg != APIC_REG_ICR_LOW || !intercept_icr(cpu, apic_read(APIC_REG_ICR_HIGH) >> 24, store.value))
		apic_write(reg, store.value);
	hv->control_advance(cpu, store.next_rip);
}

static void exit_nmi(struct cpu *cpu)
{
	struct hv_control_state state;
	uint32_t asked;
	bool own;

	hv->control_get(cpu, &state);
	asked = take_requests(cpu);
	/* In real mode a processor has no NMI of its own yet, only the late call that started it. */
	own = !(asked & CPU_REQUEST_NMI) && state.efer & EFER_LMA;
	if (!own && hv->has_gif) {
		cpu_open_window();
		/* What came until now came with an NMI that is gone. */
		asked |= take_requests(cpu);
	}
	cpu->nmi_seen = 0;
	if (asked & CPU_REQUEST_FLUSH) {
		__atomic_store_n(&cpu->flushed, vm_donations(), __ATOMIC_RELEASE);
		hv->control_flush(cpu);
	}
	if (asked & CPU_REQUEST_INIT)
		control_park(cpu);
	else if (own)
		hv->control_inject_nmi(cpu);
}

static void exit_hypercall(struct cpu *cpu, const struct hv_exit *exit)
{
	struct hv_control_state state;

	hv->control_get(cpu, &state);
	if (state.cpl || !(state.efer & EFER_LMA)) {
		inject_fault(cpu, EXC_UD, false);
		return;
	}
	hv->control_advance(cpu, exit->next_rip);
	hypercall(cpu);
}

static __attribute__((noreturn)) void reset_machine(void)
{
	outb(RESET_PORT, RESET_FULL);
	panic("the control domain asked for a reset by triple fault, and the machine does not reset");
}

void control_run(struct cpu *cpu)
{
	struct hv_exit exit;

	for (;;) {
		if (cpu->nmi_seen) {
			/* Taken while a guest or its cell ran: raise it again, for the control domain. */
			cpu->nmi_seen = 0;
			apic_send(cpu->apic_id, ICR_MODE_NMI | ICR_ASSERT);
		}
		hv->control_enter(cpu, &exit);
		if (exit.reason != HV_EXIT_CPUID && exit.reason != HV_EXIT_HYPERCALL)
			cpu->exits++;
		switch (exit.reason) {
		case HV_EXIT_CPUID:
			exit_cpuid(cpu, &exit);
			break;
		case HV_EXIT_HYPERCALL:
			exit_hypercall(cpu, &exit);
			break;
		case HV_EXIT_RDMSR:
			exit_rdmsr(cpu, &exit);
			break;
		case HV_EXIT_WRMSR:
			exit_wrmsr(cpu, &exit);
			break;
		case HV_EXIT_MEMORY:
			exit_memory(cpu, &exit);
			break;
		case HV_EXIT_NMI:
			exit_nmi(cpu);
			break;
		case HV_EXIT_NONE:
			break;
		case HV_EXIT_UNDEFINED:
			inject_fault(cpu, EXC_UD, false);
			break;
		case HV_EXIT_TRIPLE_FAULT:
			reset_machine();
		default:
			print("Keel: control domain: exit %u, code %lx, rip %lx\n", exit.reason, exit.detail,
			      cpu->control.rip);
			panic("the control domain cannot go on");
		}
	}
}
