/* SPDX-License-Identifier: GPL-2.0 */
/* Reset control register of the PIIX3. */
#include <keel/macros.h>
#include <x86/ports.h>

#include "chip/reset_control.h"
#include "shared/pc_map.h"

_Static_assert(PC_RESET_HARD == (RESET_SYSTEM | RESET_CPU), "the value that ACPI tells to write");

static const struct state_field fields[] = {
	STATE_FIELD_MOST(struct reset_control_state, value, RESET_SYSTEM | RESET_CPU),
};

const struct state_table reset_control_state_table = {
	.name = "reset_control",
	.version = 1,
	.fields = fields,
	.count = ARRAY_SIZE(fields),
};

static void init(void *device)
{
	struct reset_control *chip = device;

	chip->s = (struct reset_control_state){ 0 };
}

static uint64_t io_read(void *device, uint64_t offset, unsigned int bytes)
{
	const struct reset_control *chip = device;

	(void)offset;
	(void)bytes;
	return chip->s.value;
}

static void io_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct reset_control *chip = device;
	bool rise = value & RESET_CPU && !(chip->s.value & RESET_CPU);

	(void)offset;
	(void)bytes;
	chip->s.value = value & (RESET_SYSTEM | RESET_CPU);
	if (!rise)
		return;
	line_set(&chip->reset, true);
	line_set(&chip->reset, false);
}

static const struct device_part parts[] = {
	DEVICE_PART(reset_control_state_table, 0, struct reset_control, s),
};

const struct device_ops reset_control_device = { .init = init, DEVICE_PARTS(parts) };
const struct io_ops reset_control_io = { .read = io_read, .write = io_write, .widest = 1 };
