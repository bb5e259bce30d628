/* SPDX-License-Identifier: GPL-2.0 */
/* Power management of the PIIX4: ACPI registers, PM timer, SCI. Sections are those of ACPI 4.0a. */
#include "chip/piix4_pm.h"

#include <keel/macros.h>

#include "core/time.h"

enum {
	REG_STATUS = PC_PM_EVENT,
	REG_ENABLE = PC_PM_EVENT + 2,
	REG_CONTROL = PC_PM_CONTROL,
	REG_TIMER = PC_PM_TIMER,
	REG_GPE_STATUS = PC_PM_GPE0,
	REG_GPE_ENABLE = PC_PM_GPE0 + 2,
};

/* 4.7.3.1: status and enable have the same layout. */
#define EVENT_TIMER	(1u << 0)
#define EVENT_GLOBAL	(1u << 5)
#define EVENT_BUTTON	(1u << 8)
#define EVENT_RTC	(1u << 10)
#define EVENTS		(EVENT_TIMER | EVENT_GLOBAL | EVENT_BUTTON | EVENT_RTC)

/* 4.7.3.2 */
#define CONTROL_SCI	(1u << 0)
#define CONTROL_RELOAD	(1u << 1)
#define CONTROL_TYPE_SHIFT 10
#define CONTROL_TYPE	(7u << CONTROL_TYPE_SHIFT)
#define CONTROL_SLEEP	(1u << 13)
#define CONTROL_KEPT	(CONTROL_SCI | CONTROL_RELOAD | CONTROL_TYPE)

#define GPES		16
#define BYTE_MASK	0xffu
#define APM_CONTROL	0

static const struct state_field fields[] = {
	STATE_FIELD(struct piix4_pm_state, toggles),
	STATE_FIELD_MOST(struct piix4_pm_state, status, EVENTS),
	STATE_FIELD_MOST(struct piix4_pm_state, enable, EVENTS),
	STATE_FIELD_MOST(struct piix4_pm_state, control, CONTROL_KEPT),
	STATE_FIELD(struct piix4_pm_state, gpe_status),
	STATE_FIELD(struct piix4_pm_state, gpe_enable),
	STATE_FIELD(struct piix4_pm_state, apm_control),
	STATE_FIELD(struct piix4_pm_state, apm_status),
};

const struct state_table piix4_pm_state_table = {
	.name = "piix4_pm",
	.version = 1,
	.fields = fields,
	.count = ARRAY_SIZE(fields),
};

/* In legacy mode events raise SMIs, which this machine does not have. */
static void update_sci(struct piix4_pm *chip)
{
	const struct piix4_pm_state *s = &chip->s;
	bool event = s->status & s->enable || s->gpe_status & s->gpe_enable;

	line_set(&chip->sci, event && s->control & CONTROL_SCI);
}

static void init(void *device)
{
	struct piix4_pm *chip = device;

	chip->s = (struct piix4_pm_state){ 0 };
	update_sci(chip);
}

static uint64_t timer_ticks(uint64_t now)
{
	return time_scale(now, PIIX4_PM_TIMER_HZ, NSEC_PER_SEC);
}

static unsigned int timer_highest_bit(const struct piix4_pm *chip)
{
	return chip->timer_32bit ? 31 : 23;
}

/* 4.7.3.3: the status is set each time the highest bit changes, in either direction. */
static void advance(void *device)
{
	struct piix4_pm *chip = device;
	uint64_t toggles = timer_ticks(*chip->now) >> timer_highest_bit(chip);

	if (toggles == chip->s.toggles)
		return;
	chip->s.toggles = toggles;
	chip->s.status |= EVENT_TIMER;
	update_sci(chip);
}

static uint64_t deadline(const void *device)
{
	const struct piix4_pm *chip = device;
	const struct piix4_pm_state *s = &chip->s;
	uint64_t ticks = (s->toggles + 1) << timer_highest_bit(chip);

	if (!(s->enable & EVENT_TIMER) || s->status & EVENT_TIMER || !(s->control & CONTROL_SCI))
		return TIME_NEVER;
	return time_scale(ticks, NSEC_PER_SEC, PIIX4_PM_TIMER_HZ) + 1;
}

/* Registers are pairs of 16 bits; the parts of the block that are not here read 0. */
static uint32_t read_dword(const struct piix4_pm *chip, unsigned int offset)
{
	const struct piix4_pm_state *s = &chip->s;

	switch (offset) {
	case REG_STATUS:
		return s->status | (uint32_t)s->enable << 16;
	case REG_CONTROL:
		return s->control;
	case REG_TIMER:
		return timer_ticks(*chip->now) & ((2ull << timer_highest_bit(chip)) - 1);
	case REG_GPE_STATUS:
		return s->gpe_status | (uint32_t)s->gpe_enable << 16;
	default:
		return 0;
	}
}

static uint64_t io_read(void *device, uint64_t offset, unsigned int bytes)
{
	const struct piix4_pm *chip = device;
	unsigned int first = offset & ~3u, within = offset & 3;
	uint64_t value;

	advance(device);
	value = read_dword(chip, first);
	if (within + bytes > sizeof(uint32_t))
		value |= (uint64_t)read_dword(chip, first + sizeof(uint32_t)) << 32;
	return value >> within * 8;
}

static void pulse(const struct line *line)
{
	line_set(line, true);
	line_set(line, false);
}

/* Systems that only take ACPI over clear the button's status before they enable it: nobody has heard of the press then. */
static void clear_status(struct piix4_pm *chip, uint32_t bits)
{
	struct piix4_pm_state *s = &chip->s;
	bool heard = s->status & s->enable & bits & EVENT_BUTTON && s->control & CONTROL_SCI;

	s->status &= ~bits;
	if (heard)
		pulse(&chip->button_taken);
}

static void write_control(struct piix4_pm *chip, uint16_t value)
{
	chip->s.control = value & CONTROL_KEPT;
	if (value & CONTROL_SLEEP && (value & CONTROL_TYPE) >> CONTROL_TYPE_SHIFT == PC_PM_S5_TYPE)
		pulse(&chip->poweroff);
}

static void set_byte(uint16_t *reg, unsigned int byte, uint8_t value, uint16_t writable)
{
	uint16_t mask = writable & BYTE_MASK << byte * 8;

	*reg = (*reg & ~mask) | ((uint32_t)value << byte * 8 & mask);
}

/* Accesses may be of any size (4.7.3): bytes have no effect on each other. */
static void write_byte(struct piix4_pm *chip, unsigned int offset, uint8_t value)
{
	struct piix4_pm_state *s = &chip->s;
	unsigned int byte = offset % 2;
	uint16_t control;

	switch (offset - byte) {
	case REG_STATUS:
		clear_status(chip, (uint32_t)value << byte * 8);
		break;
	case REG_ENABLE:
		set_byte(&s->enable, byte, value, EVENTS);
		break;
	case REG_CONTROL:
		control = s->control;
		set_byte(&control, byte, value, CONTROL_KEPT | CONTROL_SLEEP);
		write_control(chip, control);
		break;
	case REG_GPE_STATUS:
		s->gpe_status &= ~((uint32_t)value << byte * 8);
		break;
	case REG_GPE_ENABLE:
		set_byte(&s->gpe_enable, byte, value, UINT16_MAX);
		break;
	default:
		break;		/* the timer is read-only, the rest is not here */
	}
}

static void io_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	advance(device);
	for (unsigned int i = 0; i < bytes; i++)
		write_byte(device, (unsigned int)offset + i, (uint8_t)(value >> i * 8));
	update_sci(device);
}

static uint64_t apm_read(void *device, uint64_t offset, unsigned int bytes)
{
	const struct piix4_pm *chip = device;

	(void)bytes;
	return offset == APM_CONTROL ? chip->s.apm_control : chip->s.apm_status;
}

static void apm_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct piix4_pm *chip = device;

	(void)bytes;
	if (offset != APM_CONTROL) {
		chip->s.apm_status = (uint8_t)value;
		return;
	}
	chip->s.apm_control = (uint8_t)value;
	if (value == PC_PM_ACPI_ENABLE)
		chip->s.control |= CONTROL_SCI;
	else if (value == PC_PM_ACPI_DISABLE)
		chip->s.control &= ~CONTROL_SCI;
	update_sci(chip);
}

void piix4_pm_power_button(struct piix4_pm *chip)
{
	chip->s.status |= EVENT_BUTTON;
	update_sci(chip);
}

void piix4_pm_set_gpe(void *sink, unsigned int pin, bool level)
{
	struct piix4_pm *chip = sink;

	if (!level || pin >= GPES)
		return;
	chip->s.gpe_status |= 1u << pin;
	update_sci(chip);
}

static const char *valid(const void *device, const void *const *states, uint64_t now)
{
	const struct piix4_pm *chip = device;
	const struct piix4_pm_state *s = states[0];

	if (s->toggles > timer_ticks(now) >> timer_highest_bit(chip))
		return "toggles";
	if (s->status & ~EVENTS)
		return "status";
	if (s->enable & ~EVENTS)
		return "enable";
	return s->control & ~CONTROL_KEPT ? "control" : NULL;
}

static const struct device_part parts[] = {
	DEVICE_PART(piix4_pm_state_table, 0, struct piix4_pm, s),
};

const struct device_ops piix4_pm_device = {
	.init = init, .advance = advance, .deadline = deadline, DEVICE_PARTS(parts), .valid = valid,
};
/* A timer that reads show to have overflowed was due before, if its overflow has a deadline. */
const struct io_ops piix4_pm_io = { .read = io_read, .write = io_write, .widest = 4, .timed = true };
const struct io_ops piix4_apm_io = { .read = apm_read, .write = apm_write, .widest = 1, .timed = true };
