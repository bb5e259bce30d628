// SPDX-License-Identifier: GPL-2.0
/* The time of the machine: that of an entry, that of day, and when its devices want to act. */
#include "machine/pc.h"

int64_t pc_wall(const struct pc *pc, uint64_t tsc)
{
	struct clock clock = pc->clock;

	clock.start = pc->machine.wall_tsc;
	clock.origin = 0;
	if (tsc < clock.start)
		return pc->machine.wall_ns;
	return (int64_t)((uint64_t)pc->machine.wall_ns + clock_ns(&clock, tsc));
}

static uint64_t deadline_of(struct pc *pc, const struct device *device)
{
	return device->ops->deadline ? device->ops->deadline(pc_device(pc, device)) : TIME_NEVER;
}

static uint64_t earliest(struct pc *pc)
{
	uint64_t first = TIME_NEVER;

	for (unsigned int i = 0; i < pc_device_count; i++) {
		uint64_t own = deadline_of(pc, &pc_devices[i]);

		if (own < first)
			first = own;
	}
	return first;
}

uint64_t pc_deadline(struct pc *pc)
{
	if (pc->io.timed) {
		pc->deadline = earliest(pc);
		pc->io.timed = false;
	}
	return pc->deadline;
}

void pc_set_time(struct pc *pc, unsigned int context, uint64_t tsc)
{
	uint64_t now = clock_ns(&pc->clock, tsc);

	pc->current = context;
	pc->tsc = tsc;
	/* TSCs of different CPUs may differ by a little. */
	if (tsc >= pc->clock.start && now > pc->now)
		pc->now = now;
}

void pc_advance(struct pc *pc)
{
	if (pc->now < pc->deadline)
		return;
	for (unsigned int i = 0; i < pc_device_count; i++)
		if (pc_devices[i].ops->advance)
			pc_devices[i].ops->advance(pc_device(pc, &pc_devices[i]));
	pc->io.timed = true;
}
