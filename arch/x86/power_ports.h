/* SPDX-License-Identifier: GPL-2.0 */
/* The ports by which the control domain would have the machine sleep, switched off or reset: what an access to one of them is. */
#ifndef ARCH_POWER_PORTS_H
#define ARCH_POWER_PORTS_H

#include <stdint.h>

struct acpi_power;
struct keel_exit;

enum power_write {
	POWER_WRITE_PLAIN,
	POWER_WRITE_SLEEP,	/* a state out of which Keel would not get its memory back: not to be carried out */
	POWER_WRITE_END,	/* the machine is switched off or reset */
};

/* Before the control domain runs: has them watched. found: what ACPI's tables say. */
void power_ports_init(const struct acpi_power *found);
/*
 * exit: an access of 1, 2 or 4 bytes to a port that is watched. Each write is judged once: what it does to the status of waking
 * up, which power_ports_read tells, is noted then.
 */
enum power_write power_ports_judge(const struct keel_exit *exit, uint32_t value);
void power_ports_write(const struct keel_exit *exit, uint32_t value);
uint32_t power_ports_read(const struct keel_exit *exit);
/* Returns where the machine has not obeyed. */
void power_ports_reset(void);

#endif
