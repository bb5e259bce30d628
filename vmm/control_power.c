// SPDX-License-Identifier: GPL-2.0
/*
 * What ends the machine's run, as far as it passes Keel: sleeping states, which are refused but for power-off, and resets. No
 * guest's data may outlive either.
 */

#include "control.h"

#include <keel/macros.h>

#include "acpi.h"
#include "apic.h"
#include "console.h"
#include "cpu.h"
#include "hv.h"
#include "smp.h"
#include "string.h"
#include "trap.h"
#include "vm.h"

/* In the second byte of PM1 control and status, and in the sleep control register (ACPI 6.4, 4.8.3). */
#define SLEEP_ENABLE		(1u << 5)
#define SLEEP_TYPE_SHIFT	2
#define SLEEP_TYPE		7u
#define WAKE_STATUS		(1u << 7)

#define PORT_KEYBOARD		0x64u	/* commands of the keyboard controller; F0 to FF pulse its outputs, bit 0 the reset */
#define KEYBOARD_PULSE		0xf0u
#define KEYBOARD_NO_RESET	(1u << 0)
#define PORT_FAST_INIT		0x92u
#define FAST_INIT		(1u << 0)
#define PORT_RESET		0xcf9u	/* of chipsets */
#define PORT_PCI_ADDRESS	0xcf8u
#define RESET_CPU		(1u << 2)
#define RESET_SYSTEM		(1u << 1)

#define STOP_MS			100u
#define RESET_MS		50u

static struct acpi_power power;
static struct cpu *leaving;	/* the CPU that is about to reset the machine or to switch it off */
static bool woken;		/* a sleep was refused, and PM1 status says that it is over */

static void watch(uint16_t port)
{
	if (port)
		hv->control.watch_port(port);
}

void control_power_init(const struct acpi_power *found)
{
	unsigned int i;

	power = *found;
	for (i = 0; i < 2; i++) {
		/* Both bytes, and of the status the one with the bit. */
		if (power.control[i]) {
			watch(power.control[i]);
			watch(power.control[i] + 1);
		}
		if (power.status[i])
			watch(power.status[i] + 1);
	}
	watch(power.sleep);
	watch(power.reset);
	watch(PORT_KEYBOARD);
	watch(PORT_FAST_INIT);
	watch(PORT_RESET);
	if ((power.control[0] || power.sleep) && power.off[0] < 0)
		print("Keel: the firmware does not tell how to switch the machine off (\\_S5): software cannot\n");
}

/* Whether what is written to this port is among the bytes of the access, and which. */
static bool byte_of(const struct keel_exit *exit, uint32_t value, uint16_t port, uint8_t *byte)
{
	unsigned int at = port - exit->port;

	if (!port || port < exit->port || at >= exit->size)
		return false;
	*byte = (uint8_t)(value >> 8 * at);
	return true;
}

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
	if (power.reset)
		outb(power.reset, power.reset_value);
	smp_delay(RESET_MS);
	outb(PORT_RESET, RESET_SYSTEM);
	outb(PORT_RESET, RESET_SYSTEM | RESET_CPU);
	smp_delay(RESET_MS);
	outb(PORT_KEYBOARD, (uint8_t)~KEYBOARD_NO_RESET);
	smp_delay(RESET_MS);
	panic("the machine does not reset");
}

/* True: a sleeping state is asked for that Keel's memory and processors would not come out of in its hands. */
static bool refused(const struct keel_exit *exit, uint32_t value)
{
	const uint16_t ports[] = {
		power.control[0] ? power.control[0] + 1 : 0, power.control[1] ? power.control[1] + 1 : 0, power.sleep,
	};
	const int off[] = { power.off[0], power.off[1], power.off[0] };
	unsigned int i;
	uint8_t byte;

	for (i = 0; i < ARRAY_SIZE(ports); i++)
		if (byte_of(exit, value, ports[i], &byte) && byte & SLEEP_ENABLE &&
		    (int)(byte >> SLEEP_TYPE_SHIFT & SLEEP_TYPE) != off[i])
			return true;
	return false;
}

/* PCI's configuration address, in which the port of resets lies, takes 32 bits at once and nothing else. */
static bool is_pci_address(const struct keel_exit *exit)
{
	return exit->port == PORT_PCI_ADDRESS && exit->size == 4;
}

/* Whether this switches the machine off or resets it. */
static bool is_end(const struct keel_exit *exit, uint32_t value)
{
	unsigned int i;
	uint8_t byte;

	for (i = 0; i < 2; i++)
		if (power.control[i] && byte_of(exit, value, power.control[i] + 1, &byte) && byte & SLEEP_ENABLE)
			return true;
	return (byte_of(exit, value, power.sleep, &byte) && byte & SLEEP_ENABLE) ||
	       (!is_pci_address(exit) && byte_of(exit, value, power.reset, &byte) && byte == power.reset_value) ||
	       (!is_pci_address(exit) && byte_of(exit, value, PORT_RESET, &byte) && byte & RESET_CPU) ||
	       (byte_of(exit, value, PORT_KEYBOARD, &byte) && byte >= KEYBOARD_PULSE && !(byte & KEYBOARD_NO_RESET)) ||
	       (byte_of(exit, value, PORT_FAST_INIT, &byte) && byte & FAST_INIT);
}

static void write_port(struct cpu *cpu, const struct keel_exit *exit)
{
	uint32_t value = (uint32_t)cpu->control.gpr[KEEL_RAX];
	unsigned int i;
	uint8_t byte;

	if (refused(exit, value)) {
		print("Keel: the control domain's sleeping state is refused: guests' memory would be open when it wakes up\n");
		woken = true;	/* and that is what it finds in the status */
		return;
	}
	for (i = 0; i < 2; i++)
		if (power.status[i] && byte_of(exit, value, power.status[i] + 1, &byte) && byte & WAKE_STATUS)
			woken = false;
	if (is_end(exit, value))
		leave(cpu);
	switch (exit->size) {
	case 1:
		outb(exit->port, (uint8_t)value);
		break;
	case 2:
		outw(exit->port, (uint16_t)value);
		break;
	default:
		outl(exit->port, value);
		break;
	}
}

/* After a sleep that was refused the status says that the machine has woken up, which is what its operating system waits for. */
static void read_port(struct cpu *cpu, const struct keel_exit *exit)
{
	uint64_t *rax = &cpu->control.gpr[KEEL_RAX], mask = UINT32_MAX >> (32 - 8 * exit->size);
	uint32_t value;
	unsigned int i;
	uint8_t byte;

	value = exit->size == 1 ? inb(exit->port) : exit->size == 2 ? inw(exit->port) : inl(exit->port);
	for (i = 0; i < 2; i++)
		if (woken && power.status[i] && byte_of(exit, value, power.status[i] + 1, &byte))
			value |= WAKE_STATUS << 8 * (power.status[i] + 1u - exit->port);
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
