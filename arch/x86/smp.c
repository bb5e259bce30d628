// SPDX-License-Identifier: GPL-2.0
// Starts the other processors (SDM vol. 3, 9.4.4).

#include "smp.h"

#include <x86/ports.h>

#include "apic.h"
#include "console.h"
#include "cpu.h"
#include "image.h"
#include "memory.h"
#include "string.h"

#define START_TRIES	200u	/* milliseconds */
#define PORT_READS	16u	/* in a tick of the counter, at most: hardware takes most of a microsecond for each */

/* Physical addresses: boot.asm puts them into the start-up section. */
extern uint8_t ap_trampoline[], ap_trampoline_end[];
extern uint32_t ap_ids[MAX_CPUS], ap_count;
extern uint64_t ap_cr3;

struct cpu *cpus[MAX_CPUS];
unsigned int cpu_count;

static uint32_t start_page;	/* number of the trampoline's page, which is a SIPI's vector; 0: none */

void smp_delay(uint32_t milliseconds)
{
	uint32_t ticks = milliseconds * PIT_HZ / 1000, reads;

	outb(PORT_B, (uint8_t)((inb(PORT_B) & ~PORT_B_SPEAKER) | PORT_B_GATE));
	outb(PORT_PIT_COMMAND, PIT_CHANNEL2_ONE_SHOT);
	outb(PORT_PIT_CHANNEL2, (uint8_t)ticks);
	outb(PORT_PIT_CHANNEL2, (uint8_t)(ticks >> 8));
	/* Not for ever: chipsets can switch the counter's clock off. */
	for (reads = 0; reads < ticks * PORT_READS && !(inb(PORT_B) & PORT_B_OUT); reads++)
		cpu_pause();
}

static void *boot_variable(void *physical)
{
	return phys_to_virt((uint64_t)(uintptr_t)physical);
}

static bool wait_online(const struct cpu *cpu, unsigned int milliseconds)
{
	while (milliseconds-- && !__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE))
		smp_delay(1);
	return __atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE);
}

static bool can_start(const struct cpu *cpu)
{
	/* An xAPIC addresses none above, and takes 255 for all. */
	return start_page && (cpu->apic_id <= XAPIC_ID_MOST || apic_x2apic());
}

void smp_send(struct cpu *cpu, bool init)
{
	if (can_start(cpu))
		apic_send(cpu->apic_id, init ? ICR_MODE_INIT | ICR_ASSERT | ICR_LEVEL :
					       ICR_MODE_SIPI | ICR_ASSERT | start_page);
}

static bool start(struct cpu *cpu)
{
	if (!can_start(cpu))
		return false;
	smp_send(cpu, true);
	smp_delay(10);
	smp_send(cpu, false);
	if (wait_online(cpu, 20))
		return true;
	smp_send(cpu, false);
	return wait_online(cpu, START_TRIES);
}

void smp_start(uint64_t trampoline)
{
	uint32_t *ids = boot_variable(ap_ids);
	unsigned int i;

	for (i = 0; i < cpu_count; i++)
		ids[i] = cpus[i]->apic_id;
	*(uint32_t *)boot_variable(&ap_count) = cpu_count;
	*(uint64_t *)boot_variable(&ap_cr3) = cpus[0]->main_cr3;
	start_page = (uint32_t)(trampoline >> PAGE_SHIFT);
	if (trampoline)
		memcpy(phys_to_virt(trampoline), phys_to_virt((uint64_t)(uintptr_t)ap_trampoline),
		       (size_t)(ap_trampoline_end - ap_trampoline));
	for (i = 1; i < cpu_count; i++)
		if (cpus[i]->enabled && !start(cpus[i]))
			print("Keel: processor %u (APIC %u) does not start and stays unused\n", i, cpus[i]->apic_id);
}

struct cpu *smp_find(uint32_t apic_id)
{
	unsigned int i;

	for (i = 0; i < cpu_count; i++)
		if (cpus[i]->apic_id == apic_id)
			return cpus[i];
	return NULL;
}
