/* SPDX-License-Identifier: GPL-2.0 */
/* Reset control register of the PIIX3. */
#include "chip/reset_control.h"

#define HARD_RESET	(1u << 1)	/* the kind that the next reset will be */
#define RESET_CPU	(1u << 2)	/* its rise resets */

static const struct state_field fields[] = {
	STATE_FIELD(struct reset_control_state, value),
};

const struct state_table reset_control_state_table = {
	.name = "reset_control",
	.version = 1,
	.fields = fields,
	.count = sizeof(fields) / sizeof(fields[0]),
};

void reset_control_init(struct reset_control *chip)
{
	chip->s = (struct reset_control_state){ 0 };
}

uint8_t reset_control_read(const struct reset_control *chip)
{
	return chip->s.value;
}

void reset_control_write(struct reset_control *chip, uint8_t value)
{
	bool rise = value & RESET_CPU && !(chip->s.value & RESET_CPU);

	chip->s.value = value & (HARD_RESET | RESET_CPU);
	if (!rise)
		return;
	line_set(&chip->reset, true);
	line_set(&chip->reset, false);
}
