// SPDX-License-Identifier: GPL-2.0
// The ports by which a machine sleeps, is switched off or is reset: ACPI's, and those of all mainboards.

#include "power_ports.h"

#include <keel/cell.h>
#include <keel/macros.h>
#include <x86/ports.h>

#include "acpi.h"
#include "console.h"
#include "cpu.h"
#include "hv.h"
#include "smp.h"

/* In the second byte of PM1 control and status, and in the sleep control register (ACPI 6.4, 4.8.3). */
#define SLEEP_ENABLE		(1u << 5)
#define SLEEP_TYPE_SHIFT	2
#define SLEEP_TYPE		7u
#define WAKE_STATUS		(1u << 7)

#define RESET_MS		50u

static struct acpi_power power;
static bool woken;		/* a sleep was refused, and PM1 status says that it is over */

static void watch(uint16_t port)
{
	if (port)
		hv->control.watch_port(port);
}

void power_ports_init(const struct acpi_power *found)
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

enum power_write power_ports_judge(const struct keel_exit *exit, uint32_t value)
{
	unsigned int i;
	uint8_t byte;

	if (refused(exit, value)) {
		woken = true;	/* and that is what it finds in the status */
		return POWER_WRITE_SLEEP;
	}
	for (i = 0; i < 2; i++)
		if (power.status[i] && byte_of(exit, value, power.status[i] + 1, &byte) && byte & WAKE_STATUS)
			woken = false;
	return is_end(exit, value) ? POWER_WRITE_END : POWER_WRITE_PLAIN;
}

void power_ports_write(const struct keel_exit *exit, uint32_t value)
{
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
uint32_t power_ports_read(const struct keel_exit *exit)
{
	uint32_t value = exit->size == 1 ? inb(exit->port) : exit->size == 2 ? inw(exit->port) : inl(exit->port);
	unsigned int i;
	uint8_t byte;

	for (i = 0; i < 2; i++)
		if (woken && power.status[i] && byte_of(exit, value, power.status[i] + 1, &byte))
			value |= WAKE_STATUS << 8 * (power.status[i] + 1u - exit->port);
	return value;
}

void power_ports_reset(void)
{
	if (power.reset)
		outb(power.reset, power.reset_value);
	smp_delay(RESET_MS);
	outb(PORT_RESET, RESET_SYSTEM);
	outb(PORT_RESET, RESET_SYSTEM | RESET_CPU);
	smp_delay(RESET_MS);
	outb(PORT_KEYBOARD, (uint8_t)~KEYBOARD_NO_RESET);
	smp_delay(RESET_MS);
}
