/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Power management of the PIIX4, function 3: Intel 82371AB data sheet (290562-001), chapter 7, and ACPI 4.8.
 * The 64-byte block of I/O registers and the two APM ports; the PCI function around it is not here.
 *
 * The only sleeping state is S5 with type 0. There is no SMM: the APM control port switches ACPI mode by itself.
 */
#ifndef KEEL_CHIP_PIIX4_PM_H
#define KEEL_CHIP_PIIX4_PM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bus.h"
#include "core/device.h"
#include "core/line.h"
#include "core/state.h"
#include "shared/pc_map.h"

#define PIIX4_APM_PORTS		2u	/* control (0xb2) and status (0xb3) */
#define PIIX4_PM_TIMER_HZ	3579545u

struct piix4_pm_state {
	uint64_t toggles;	/* of the timer's highest bit, that are in status */
	uint16_t status, enable, control;
	uint16_t gpe_status, gpe_enable;
	uint8_t apm_control, apm_status;
};

struct piix4_pm {
	const uint64_t *now;	/* wiring, as is what follows */
	struct line sci;	/* level */
	struct line poweroff;	/* raised once when the guest enters S5 */
	struct line button_taken;	/* raised once when the guest's handler takes a press of the power button */
	bool timer_32bit;	/* TMR_VAL_EXT of the FADT; else 24 bits */
	struct piix4_pm_state s;
};

extern const struct state_table piix4_pm_state_table;

/*
 * The devices of these are a struct piix4_pm. The deadline is the overflow of the timer, where it interrupts. What of the
 * block is no register reads 0 and ignores writes.
 */
extern const struct device_ops piix4_pm_device;
extern const struct io_ops piix4_pm_io, piix4_apm_io;

/* The owner of the machine pressed the button. */
void piix4_pm_power_button(struct piix4_pm *chip);
/* A general-purpose event, 0 to 15, rises; sink is a struct piix4_pm. */
void piix4_pm_set_gpe(void *sink, unsigned int pin, bool level);

#endif
