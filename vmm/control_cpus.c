// SPDX-License-Identifier: GPL-2.0
/*
 * The control domain's processors: how they start, stop and are reached. What it writes to a local APIC's command register is
 * looked at from the first instruction on and for good, so that no INIT and no SIPI of its takes a processor out of Keel's
 * hands, and none starts outside them: decision 14.
 */

#include "control.h"

#include "apic.h"
#include "console.h"
#include "control_decode.h"
#include "cpu.h"
#include "donation.h"
#include "hv.h"
#include "own.h"
#include "smp.h"
#include "string.h"
#include "trap.h"

#define REAL_MODE_LIMIT		0xffffu
#define SEGMENT_CODE32		0xc9bu	/* 4 GiB, 32-bit, execute and read, accessed */
#define SEGMENT_DATA32		0xc93u
#define SEGMENT_CODE16		0x09bu
#define SEGMENT_DATA16		0x093u
#define SEGMENT_LDT		0x082u
#define SEGMENT_TSS_BUSY	0x08bu

void control_cpus_init(void)
{
	if (own_trap_writes(apic_base()))
		panic("the local APIC is not in the control domain's map");
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
	hv->control.set(cpu, &sregs);
	donation_flush(cpu);
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
	cpu->control.gpr[KEEL_RDX] = cpu_signature();
}

static bool take_sipi(struct cpu *cpu, uint8_t *vector)
{
	uint32_t request = __atomic_load_n(&cpu->request, __ATOMIC_ACQUIRE);

	if (!(request & CPU_REQUEST_SIPI)) {
		__atomic_compare_exchange_n(&cpu->request, &request, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
		return false;
	}
	__atomic_store_n(&cpu->parked, 0, __ATOMIC_RELEASE);
	/* What has come since it was looked at is still to be taken. */
	__atomic_fetch_and(&cpu->request, ~request, __ATOMIC_ACQ_REL);
	*vector = (uint8_t)request;
	return true;
}

void control_park(struct cpu *cpu)
{
	uint8_t vector;

	__atomic_store_n(&cpu->parked, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&cpu->online, 1, __ATOMIC_RELEASE);
	do {
		cpu_park_wait(&cpu->request);
	} while (!take_sipi(cpu, &vector));
	cpu->nmi_seen = cpu->init_seen = 0;
	start_sipi(cpu, vector);
}

/*
 * INIT or SIPI for one CPU (SDM vol. 3, 9.4.4: a second SIPI finds the CPU running and is ignored). One that has not been started
 * yet, as after it was plugged in, is started by Keel and finds the request when it parks.
 */
static void request(struct cpu *self, struct cpu *target, uint32_t icr)
{
	bool init = (icr & ICR_MODE) == ICR_MODE_INIT;
	uint32_t pending;

	if (!target || target == self)
		return;
	if (!__atomic_load_n(&target->online, __ATOMIC_ACQUIRE)) {
		if (!init)
			__atomic_store_n(&target->request, CPU_REQUEST_SIPI | (icr & ICR_VECTOR), __ATOMIC_RELEASE);
		smp_send(target, init);
		return;
	}
	if (init) {
		/* It overtakes a SIPI that has had no effect yet. */
		__atomic_fetch_and(&target->request, ~(CPU_REQUEST_SIPI | ICR_VECTOR), __ATOMIC_ACQ_REL);
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

/*
 * True: the command was INIT or SIPI and has been carried out. Their targets are physical destinations, as all kernels have it;
 * for a logical one nothing is done.
 */
static bool intercept_icr(struct cpu *self, uint32_t destination, uint32_t icr)
{
	uint32_t mode = icr & ICR_MODE;
	unsigned int i;

	if (mode != ICR_MODE_INIT && mode != ICR_MODE_SIPI)
		return false;
	if (mode == ICR_MODE_INIT && icr & ICR_LEVEL && !(icr & ICR_ASSERT))
		return true;
	/* A kernel that starts the other processors has its console; it may never halt, but wait by MWAIT. */
	control_is_up(self);
	if ((icr & ICR_SHORTHAND) == ICR_ALL_BUT_SELF) {
		/* None that has not been started: real ones need not be there, and kernels start those one by one. */
		for (i = 0; i < cpu_count; i++)
			if (cpus[i]->online)
				request(self, cpus[i], icr);
	} else if (!(icr & (ICR_SHORTHAND | ICR_LOGICAL))) {
		request(self, smp_find(destination), icr);
	}
	return true;
}

bool control_apic_store(struct cpu *cpu, uint32_t reg)
{
	struct control_store store;

	if (apic_x2apic() || reg & APIC_REG_UNALIGNED || !control_decode_store(cpu, &store))
		return false;
	if (reg != APIC_REG_ICR_LOW || !intercept_icr(cpu, apic_read(APIC_REG_ICR_HIGH) >> 24, store.value))
		apic_write(reg, store.value);
	hv->control.advance(cpu, store.next_rip);
	return true;
}

bool control_write_icr(struct cpu *cpu, uint64_t value)
{
	uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32);

	if (!apic_x2apic() || low & ~ICR_WRITABLE)
		return false;
	return intercept_icr(cpu, high, low) || apic_command(value);
}

static uint32_t take_requests(struct cpu *cpu)
{
	return __atomic_fetch_and(&cpu->request, ~(CPU_REQUEST_FLUSH | CPU_REQUEST_STOP), __ATOMIC_ACQ_REL);
}

/* By INIT: the request stays until then, so that a SIPI behind it is accepted. */
static void park_again(struct cpu *cpu)
{
	__atomic_or_fetch(&cpu->request, CPU_REQUEST_INIT, __ATOMIC_ACQ_REL);
	apic_reset();
	control_park(cpu);
}

/*
 * To every processor but the first one it means: wait for a SIPI. That one would start at the firmware's reset vector, which is
 * the end of the machine's run.
 */
void control_take_init(struct cpu *cpu)
{
	cpu->init_seen = 0;
	if (apic_is_first())
		control_reset("by INIT");
	/* It is pending until it is let in. */
	if (hv->holds_nmis)
		cpu_open_window();
	park_again(cpu);
}

void control_take_nmi(struct cpu *cpu)
{
	struct hv_control_state state;
	uint32_t asked;
	bool own;

	hv->control.get(cpu, &state);
	/* Where NMIs come at any time the next one notes itself again. */
	__atomic_store_n(&cpu->nmi_seen, 0, __ATOMIC_RELAXED);
	asked = take_requests(cpu);
	/* In real mode a processor has no NMI of its own yet, only the late call that started it. */
	own = !(asked & CPU_REQUEST_NMI) && state.efer & EFER_LMA;
	if (hv->holds_nmis) {
		/* It is pending still, and would exit again at once. */
		cpu_open_window();
		/* What came until now came with an NMI that is gone. */
		asked |= take_requests(cpu);
		cpu->nmi_seen = 0;
	}
	if (asked & CPU_REQUEST_STOP) {
		__atomic_store_n(&cpu->online, 0, __ATOMIC_RELEASE);
		cpu_rest();
	}
	if (asked & CPU_REQUEST_FLUSH)
		donation_flush(cpu);
	/* The first processor, too: a crash kernel that runs on another one wants it. */
	if (asked & CPU_REQUEST_INIT)
		park_again(cpu);
	else if (own)
		hv->control.inject_nmi(cpu);
}
