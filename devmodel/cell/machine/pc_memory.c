// SPDX-License-Identifier: GPL-2.0
/* The memory of the machine, firmware at its end, and apertures between. */
#include "machine/pc.h"

#include "shared/pc_map.h"

/* Firmware is memory, but what a guest writes to it comes to the bus, where no BAR may be in front of it. */
static uint64_t firmware_read(void *device, uint64_t offset, unsigned int bytes)
{
	(void)device;
	(void)offset;
	(void)bytes;
	return UINT64_MAX;
}

static void firmware_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	(void)device;
	(void)offset;
	(void)bytes;
	(void)value;
}

void pc_map_firmware(struct pc *pc)
{
	static const struct io_ops ops = { .read = firmware_read, .write = firmware_write, .widest = sizeof(uint64_t) };
	uint32_t bytes = pc->machine.firmware_bytes;

	pc->firmware = (struct io_range){
		.base = PC_HIGH_MEMORY - bytes, .bytes = bytes, .ops = &ops, .rank = BUS_RANK_FIXED,
	};
	bus_map(&pc->io, BUS_MEMORY_SPACE, &pc->firmware);
}

static void add_memory(struct pc *pc, uint64_t first, uint64_t end, bool readonly)
{
	if (end > first)
		pc->mem.range[pc->mem.count++] = (struct gmem_range){ first, end - first, readonly };
}

unsigned int pc_init_memory(struct pc *pc, uint8_t *guest)
{
	uint32_t bytes = pc->machine.firmware_bytes, copy = bytes < PC_BIOS_COPY_MOST ? bytes : PC_BIOS_COPY_MOST;
	const uint8_t *firmware = link_bytes(&pc->link, pc->machine.firmware);

	pc->mem = (struct gmem){ .base = guest };
	add_memory(pc, PC_VGA_HOLE_END, pc->machine.low_memory, false);
	add_memory(pc, PC_HIGH_MEMORY, PC_HIGH_MEMORY + pc->machine.high_memory, false);
	add_memory(pc, 0, PC_VGA_HOLE, false);
	add_memory(pc, PC_HIGH_MEMORY - bytes, PC_HIGH_MEMORY, true);
	if (!gmem_load(&pc->mem, PC_HIGH_MEMORY - bytes, firmware, bytes) ||
	    !gmem_load(&pc->mem, PC_BIOS_COPY_END - copy, firmware + bytes - copy, copy))
		return CELL_REFUSED_FIRMWARE;
	return 0;
}

static bool is_lapic(void *owner, uint64_t first, uint64_t last)
{
	const struct pc *pc = owner;

	for (unsigned int i = 0; i < pc->machine.vcpus; i++) {
		const struct io_range *range = &pc->vcpu[i].lapic.range;

		if (range->bytes > 0 && range->base <= last && first < range->base + range->bytes)
			return true;
	}
	return false;
}

void pc_init_apertures(struct pc *pc)
{
	pc->apertures = (struct apertures){
		.bus = &pc->io, .mem = &pc->mem, .channel = link_bytes(&pc->link, 0), .limit = 1ull << PC_ADDRESS_BITS,
		.covered = is_lapic, .owner = pc,
	};
}
