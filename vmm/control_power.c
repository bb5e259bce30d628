// SPDX-License-Identifier: GPL-2.0
/*
 * What ends the machine's run, as far as it passes Keel: sleeping states, which are refused but for power-off, and resets. No
 * guest's data may outlive either.
 */

#include "control.h"

#include <stddef.h>

#include "apic.h"
#include "console.h"
#include "cpu.h"
#include "hv.h"
#include "power_ports.h"
#include "smp.h"
#include "trap.h"
#include "vm.h"

#define STOP_MS			100u

static struct cpu *leaving;	/* the CPU that is about to reset the machine or to switch it off */

/* Every CPU but this one comes to a stop: with its guest, if it runs one. One that does not answer soon is not waited for. */
static void stop_others(struct cpu *cpu)
{
	unsigned int i, tries, running = 1;

	for (i = 0; i < cpu_count; i++) {
		if (cpus[i] == cpu || !cpus[i]->online || cpus[i]->parked)
			continue;
		__atomic_or_fetch(&cpus[i]->request, CPU_REQUEST_STOP, __ATOMIC_ACQ_REL);
		apic_send(cpus[i]->apic_id, ICR_MODE_NMI | ICR_ASSERT);
	}
	for (tries = 0; running && tries < STOP_MS; tries++) {
		running = 0;
		for (i = 0; i < cpu_count; i++)
			running += cpus[i] != cpu && __atomic_load_n(&cpus[i]->online, __ATOMIC_ACQUIRE) &&
				   !cpus[i]->parked;
		if (running)
			smp_delay(1);
	}
}

/*
 * Where there is a guest, this is the last that the control domain does, on one CPU. If the machine stays on, that
 * one goes on to the next port or way that it knows. A reset does not write caches back, and zeros that never came to
 * memory have scrubbed nothing.
 */
static void leave(struct cpu *cpu)
{
	struct cpu *first = NULL;

	if (vm_end_all()) {
		if (__atomic_compare_exchange_n(&leaving, &first, cpu, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			stop_others(cpu);
			vm_scrub_all();
		} else if (first != cpu) {
			__atomic_store_n(&cpu->online, 0, __ATOMIC_RELEASE);
			cpu_rest();
		}
	}
	cpu_write_back();
}

void control_reset(const char *why)
{
	print("Keel: the control domain is reset %s\n", why);
	leave(this_cpu());
	power_ports_reset();
	panic("the machine does not reset");
}

static void write_port(struct cpu *cpu, const struct keel_exit *exit)
{
	uint32_t value = (uint32_t)cpu->control.gpr[KEEL_RAX];
	enum power_write what = power_ports_judge(exit, value);

	if (what == POWER_WRITE_SLEEP) {
		print("Keel: the control domain's sleeping state is refused: guests' memory would be open when it wakes up\n");
		return;
	}
	if (what == POWER_WRITE_END)
		leave(cpu);
	power_ports_write(exit, value);
}

static void read_port(struct cpu *cpu, const struct keel_exit *exit)
{
	uint64_t *rax = &cpu->control.gpr[KEEL_RAX], mask = UINT32_MAX >> (32 - 8 * exit->size);
	uint32_t value = power_ports_read(exit);

	/* 32 bits take the upper half of the register with them. */
	*rax = exit->size == 4 ? value : (*rax & ~mask) | (value & mask);
}

bool control_io(struct cpu *cpu, const struct keel_exit *exit)
{
	if (exit->io & KEEL_IO_STRING || (exit->size != 1 && exit->size != 2 && exit->size != 4))
		return false;
	if (exit->io & KEEL_IO_IN)
		read_port(cpu, exit);
	else
		write_port(cpu, exit);
	hv->control.advance(cpu, exit->next_rip);
	return true;
}
