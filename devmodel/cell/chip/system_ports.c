// SPDX-License-Identifier: GPL-2.0
/* System control port A and the register for power-on tests. */
#include <keel/macros.h>

#include "chip/system_ports.h"

#define CONTROL_RESET	(1u << 0)	/* its rise resets */
#define CONTROL_A20	(1u << 1)

static const struct state_field fields[] = {
	STATE_FIELD(struct system_ports_state, control_a),
	STATE_FIELD(struct system_ports_state, post_code),
};

const struct state_table system_ports_state_table = {
	.name = "system_ports",
	.version = 1,
	.fields = fields,
	.count = ARRAY_SIZE(fields),
};

static void init(void *device)
{
	struct system_ports *ports = device;

	ports->s = (struct system_ports_state){ 0 };
}

static uint64_t control_read(void *device, uint64_t offset, unsigned int bytes)
{
	const struct system_ports *ports = device;

	(void)offset;
	(void)bytes;
	return ports->s.control_a | CONTROL_A20;
}

static void control_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct system_ports *ports = device;
	bool rise = value & CONTROL_RESET && !(ports->s.control_a & CONTROL_RESET);

	(void)offset;
	(void)bytes;
	ports->s.control_a = (uint8_t)value;
	if (!rise)
		return;
	line_set(&ports->reset, true);
	line_set(&ports->reset, false);
}

static uint64_t post_read(void *device, uint64_t offset, unsigned int bytes)
{
	const struct system_ports *ports = device;

	(void)offset;
	(void)bytes;
	return ports->s.post_code;
}

static void post_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct system_ports *ports = device;

	(void)offset;
	(void)bytes;
	ports->s.post_code = (uint8_t)value;
}

static const struct device_part parts[] = {
	DEVICE_PART(system_ports_state_table, 0, struct system_ports, s),
};

const struct device_ops system_ports_device = { .init = init, DEVICE_PARTS(parts) };
const struct io_ops system_ports_control_io = { .read = control_read, .write = control_write, .widest = 1 };
const struct io_ops system_ports_post_io = { .read = post_read, .write = post_write, .widest = 1 };
