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

#include "core/line.h"
#include "core/state.h"

/* What the ACPI tables say of the block. */
#define PIIX4_PM_BYTES		0x40u
#define PIIX4_PM_EVENT		0x00u	/* PM1a_EVT_BLK, 4 bytes */
#define PIIX4_PM_CONTROL	0x04u	/* PM1a_CNT_BLK, 2 bytes */
#define PIIX4_PM_TIMER		0x08u	/* PM_TMR_BLK, 4 bytes */
#define PIIX4_PM_GPE0		0x0cu	/* GPE0_BLK, 4 bytes: status, enable */
#define PIIX4_PM_ACPI_ENABLE	0xf1u	/* values for SMI_CMD, the APM control port */
#define PIIX4_PM_ACPI_DISABLE	0xf0u
#define PIIX4_PM_S5_TYPE	0u
#define PIIX4_PM_TIMER_HZ	3579545u

struct piix4_pm_state {
	uint64_t toggles;	/* of the timer's highest bit, that are in status */
	uint16_t status, enable, control;
	uint16_t gpe_status, gpe_enable;
	uint8_t apm_control, apm_status;
};

struct piix4_pm {
	struct line sci;	/* level */
	struct line poweroff;	/* raised once when the guest enters S5 */
	struct line button_taken;	/* raised once when the guest's handler takes a press of the power button */
	bool timer_32bit;	/* TMR_VAL_EXT of the FADT; else 24 bits */
	struct piix4_pm_state s;
};

extern const struct state_table piix4_pm_state_table;

void piix4_pm_init(struct piix4_pm *chip);

/* 1, 2 or 4 bytes at any offset of the block; what lies outside reads 0 and ignores writes. */
uint32_t piix4_pm_read(struct piix4_pm *chip, unsigned int offset, unsigned int bytes, uint64_t now);
void piix4_pm_write(struct piix4_pm *chip, unsigned int offset, unsigned int bytes, uint32_t value, uint64_t now);

/* APM control (offset 0, port 0xB2) and status (offset 1, port 0xB3). */
uint8_t piix4_pm_read_apm(const struct piix4_pm *chip, unsigned int offset);
void piix4_pm_write_apm(struct piix4_pm *chip, unsigned int offset, uint8_t value);

/* The owner of the machine pressed the button. */
void piix4_pm_power_button(struct piix4_pm *chip);
/* A general-purpose event, 0 to 15, rises; sink is a struct piix4_pm. */
void piix4_pm_set_gpe(void *sink, unsigned int pin, bool level);

/* Overflow of the timer, where it interrupts. */
uint64_t piix4_pm_deadline(const struct piix4_pm *chip);
void piix4_pm_advance(struct piix4_pm *chip, uint64_t now);

#endif
