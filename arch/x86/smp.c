// SPDX-License-Identifier: GPL-2.0
// Starts the other processors (SDM vol. 3, 9.4.4).

#include "smp.h"

#include "apic.h"
#include "console.h"
#include "cpu.h"
#include "image.h"
#include "memory.h"
#include "string.h"

#define PIT_CHANNEL2	0x42u
#define PIT_COMMAND	0x43u
#define PIT_ONE_SHOT	0xb0u	/* channel 2, low then high byte, mode 0 */
#define PORT_B		0x61u
#define PORT_B_GATE	1u
#define PORT_B_OUT	(1u << 5)
#define PIT_HZ		1193182u

#define START_TRIES	200u	/* milliseconds */
#define XAPIC_BROADCAST	255u
#define PORT_READS	16u	/* in a tick of the counter, at most: hardware takes most of a microsecond for each */

/* Physical addresses: boot.asm puts them into the start-up section. */
extern uint8_t ap_trampoline[], ap_trampoline_end[];
extern uint64_t ap_stack, ap_cpu, ap_cr3;

/* At most 50 ms, which is what the counter holds. */
static void delay(uint32_t milliseconds)
{
	uint32_t ticks = milliseconds * PIT_HZ / 1000, reads;

	outb(PORT_B, (uint8_t)((inb(PORT_B) & ~2u) | PORT_B_GATE));
	outb(PIT_COMMAND, PIT_ONE_SHOT);
	outb(PIT_CHANNEL2, (uint8_t)ticks);
	outb(PIT_CHANNEL2, (uint8_t)(ticks >> 8));
	/* Not for ever: chipsets can switch the counter's clock off. */
	for (reads = 0; reads < ticks * PORT_READS && !(inb(PORT_B) & PORT_B_OUT); reads++)
		cpu_pause();
}

static uint64_t *boot_variable(uint64_t *physical)
{
	return phys_to_virt((uint64_t)(uintptr_t)physical);
}

static bool wait_online(const struct cpu *cpu, unsigned int milliseconds)
{
	while (milliseconds-- && !__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE))
		delay(1);
	return __atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE);
}

static bool start(struct cpu *cpu, uint64_t trampoline)
{
	uint32_t sipi = ICR_MODE_SIPI | ICR_ASSERT | (uint32_t)(trampoline >> PAGE_SHIFT);

	/* Which no xAPIC can address, and its broadcast. */
	if (cpu->apic_id >= XAPIC_BROADCAST && !apic_x2apic())
		return false;
	*boot_variable(&ap_stack) = (uint64_t)(uintptr_t)cpu - PERCPU_DATA + PERCPU_STACK_END;
	*boot_variable(&ap_cpu) = (uint64_t)(uintptr_t)cpu;
	*boot_variable(&ap_cr3) = cpu->main_cr3;
	apic_send(cpu->apic_id, ICR_MODE_INIT | ICR_ASSERT | ICR_LEVEL);
	delay(10);
	apic_send(cpu->apic_id, sipi);
	if (wait_online(cpu, 20))
		return true;
	apic_send(cpu->apic_id, sipi);
	return wait_online(cpu, START_TRIES);
}

void smp_start(uint64_t trampoline)
{
	static uint8_t saved[PAGE_SIZE];
	uint8_t *place = phys_to_virt(trampoline);
	unsigned int i;

	memcpy(saved, place, PAGE_SIZE);
	memcpy(place, phys_to_virt((uint64_t)(uintptr_t)ap_trampoline), (size_t)(ap_trampoline_end - ap_trampoline));
	for (i = 1; i < cpu_count; i++)
		if (!start(cpus[i], trampoline))
			print("Keel: processor %u (APIC %u) does not start and stays unused\n", i, cpus[i]->apic_id);
	memcpy(place, saved, PAGE_SIZE);
}

struct cpu *smp_find(uint32_t apic_id)
{
	unsigned int i;

	for (i = 0; i < cpu_count; i++)
		if (cpus[i]->apic_id == apic_id && cpus[i]->online)
			return cpus[i];
	return NULL;
}
