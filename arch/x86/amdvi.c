// SPDX-License-Identifier: GPL-2.0
// AMD-Vi (AMD I/O Virtualization Technology, 48882, revision 3.08): one domain, host page tables of four levels.

#include "iommu.h"

#include <stddef.h>

#include "acpi.h"
#include "cpu.h"
#include "memory.h"
#include "string.h"

/* The IVRS table (5.2): blocks of type, flags, length of 16 bits. */
#define IVRS_BLOCKS		48u
#define IVRS_UNIT		0x10u	/* and with more about it the next; both may be there for one unit */
#define IVRS_UNIT_EXTENDED	0x11u
#define IVRS_UNIT_ACPI		0x40u
#define IVRS_UNIT_BYTES		24u
#define IVRS_UNIT_LONG_BYTES	40u	/* of the other two types */
#define IVRS_DEVICE_NAMED	240u	/* the one kind of entry whose length is not in its kind: 22 and what byte 21 says */
#define IVRS_DEVICE_SYSTEM_SHIFT 4	/* of byte 3: system management messages, 2 bits */
#define IVRS_UNIT_BASE		8u
#define IVRS_UNIT_FLAGS		4u	/* HtTunEn, PassPW, ResPassPW, Isoc: for the control register */
#define IVRS_REGION		0x20u	/* for all devices, for one, for some */
#define IVRS_REGION_LAST	0x22u
#define IVRS_REGION_BYTES	32u
#define IVRS_REGION_START	16u
#define IVRS_REGION_LENGTH	24u

/* Registers (3.4). */
#define AMDVI_DEVICE_TABLE	0x0000u
#define AMDVI_COMMANDS		0x0008u
#define AMDVI_EVENTS		0x0010u
#define AMDVI_CONTROL		0x0018u
#define AMDVI_EXCLUSION		0x0020u
#define AMDVI_FEATURES		0x0030u
#define AMDVI_COMMAND_HEAD	0x2000u
#define AMDVI_COMMAND_TAIL	0x2008u
#define AMDVI_EVENT_HEAD	0x2010u
#define AMDVI_EVENT_TAIL	0x2018u
#define AMDVI_STATUS		0x2020u
#define REGISTER_BYTES		0x4000u
#define REGISTER_BYTES_COUNTERS	0x80000u

#define CONTROL_ENABLE		(1ull << 0)
#define CONTROL_EVENTS		(1ull << 2)
#define CONTROL_COHERENT	(1ull << 10)
#define CONTROL_COMMANDS	(1ull << 12)
#define FEATURE_INVALIDATE_ALL	(1ull << 6)
#define FEATURE_COUNTERS	(1ull << 9)
#define STATUS_OVERFLOW		(1ull << 0)
#define STATUS_EVENTS		(1ull << 3)
#define STATUS_COMMANDS		(1ull << 4)
#define RING_256		(8ull << 56)	/* length of both rings: 256 entries, one page */
#define RING_SLOTS		256u
#define RING_OFFSET		0xff0u		/* of head and tail registers */

/* Device table (2.2.2). Devices may not translate by themselves, and may not send INIT. */
#define DEVICES			65536u
#define DEVICE_TABLE_PAGES	512u
#define DEVICE_VALID		3ull		/* V, TV */
#define DEVICE_LEVELS		(4ull << 9)
#define DEVICE_RIGHTS		(3ull << 61)
#define DEVICE_DOMAIN		1ull
#define DEVICE_SYSTEM_SHIFT	40	/* of the second word */
#define DEVICE_MESSAGES		(6ull << 56 | 3ull << 62)	/* ExtINT, NMI, LINT0, LINT1 */

/* Entries of the table (2.2.3): present, readable and writable. */
#define TABLE_RIGHTS		(1ull | 3ull << 61)
#define TABLE_LEVEL		(1ull << 9)
#define LEAF_COHERENT		(1ull << 60)	/* a device does not get past the caches, whatever it asks for */

/* Commands (2.4) and events (2.5), of 16 bytes; the kind is in bits 63 to 60. */
#define KIND_SHIFT		60
#define COMMAND_WAIT		(1ull << KIND_SHIFT | 1)	/* stores a word */
#define COMMAND_DEVICE		(2ull << KIND_SHIFT)
#define COMMAND_PAGES		(3ull << KIND_SHIFT | DEVICE_DOMAIN << 32)
#define COMMAND_PAGES_ALL	0x7ffffffffffff003ull		/* of all addresses, and what points to tables */
#define COMMAND_ALL		(8ull << KIND_SHIFT)
#define EVENT_PAGE_FAULT	2u
#define EVENT_WRITE		(1ull << 53)

static const uint8_t control_bits[IVRS_UNIT_FLAGS] = { 1, 8, 9, 11 };

struct entry {
	uint64_t low;
	uint64_t high;
};

struct device {
	uint64_t root;
	uint64_t domain;
	uint64_t messages;
	uint64_t rest;
};

static struct unit {
	uint8_t *registers;
	uint64_t features;
	uint64_t control;
	struct entry *commands;
	struct entry *events;
	volatile uint64_t *done;
	uint64_t number;		/* of the last wait */
	uint32_t tail;
} units[IOMMU_UNITS];

static uint64_t device_table;
/*
 * How devices send those of system management, as the firmware wants it: blocked, all that are posted pass, interrupt
 * pins alone do, translated. All devices get what the one with the most wants.
 */
static unsigned int system_messages;
static const uint8_t system_rank[4] = { 0, 3, 1, 2 };

static const char *read_unit(const uint8_t *block, struct iommu_machine *machine)
{
	uint64_t base = acpi_get64(block + IVRS_UNIT_BASE);
	unsigned int i, number = machine->units;
	struct unit *unit = &units[number];

	for (i = 0; i < number; i++)
		if (machine->unit[i].base == base)
			return NULL;
	if (number == IOMMU_UNITS)
		return "this machine has too many IOMMUs";
	if (!base || base % REGISTER_BYTES || base > SIZE_4G - REGISTER_BYTES_COUNTERS)
		return "an IOMMU has its registers where Keel does not reach them, above 4 GiB";
	unit->registers = phys_to_virt(base);
	unit->features = mmio_read64(unit->registers + AMDVI_FEATURES);
	if (unit->features == UINT64_MAX)
		return "an IOMMU that ACPI names does not answer";
	unit->control = CONTROL_COHERENT;
	for (i = 0; i < IVRS_UNIT_FLAGS; i++)
		if (block[1] & 1u << i)
			unit->control |= 1ull << control_bits[i];
	machine->unit[number].base = base;
	machine->unit[number].bytes = unit->features & FEATURE_COUNTERS ? REGISTER_BYTES_COUNTERS : REGISTER_BYTES;
	machine->units++;
	return NULL;
}

/* The entries for devices behind a unit's description (5.2.2.1): their kind says how long they are. */
static void read_devices(const uint8_t *at, const uint8_t *end)
{
	unsigned int system;
	int bytes;

	for (; end - at >= 4; at += bytes) {
		bytes = 4 << (*at >> 6);
		if (*at == IVRS_DEVICE_NAMED)
			bytes = end - at > 21 ? 22 + at[21] : 22;
		if (bytes > end - at)
			return;
		system = at[3] >> IVRS_DEVICE_SYSTEM_SHIFT & 3;
		if (*at && system_rank[system] > system_rank[system_messages])
			system_messages = system;
	}
}

static const char *read_region(const uint8_t *block, struct iommu_machine *machine)
{
	uint64_t start = acpi_get64(block + IVRS_REGION_START), length = acpi_get64(block + IVRS_REGION_LENGTH);

	if (machine->regions == IOMMU_REGIONS)
		return "ACPI names too many regions that devices use";
	if (start >> 52 || length >> 52)
		return "ACPI names a region that devices use, and it is nowhere";
	if (length)
		machine->region[machine->regions++] = (struct iommu_region){
			start & ~(PAGE_SIZE - 1), round_up(start + length, PAGE_SIZE),
		};
	return NULL;
}

static const char *read_block(const uint8_t *block, const uint8_t *end, struct iommu_machine *machine)
{
	unsigned int header = *block == IVRS_UNIT ? IVRS_UNIT_BYTES : IVRS_UNIT_LONG_BYTES;

	if (end - block >= header)
		read_devices(block + header, end);
	return read_unit(block, machine);
}

static const char *amdvi_read(const uint8_t *table, uint32_t length, struct iommu_machine *machine)
{
	const uint8_t *at = table + IVRS_BLOCKS, *end = table + length;
	const char *error = NULL;
	uint16_t bytes;

	system_messages = 0;
	machine->format = (struct own_io_format){ .rights = TABLE_RIGHTS, .leaf = LEAF_COHERENT, .level = TABLE_LEVEL,
						  .coherent = true };
	machine->snoops = true;
	machine->width = IOMMU_WIDTH_MOST;
	for (; end - at >= 4 && acpi_get16(at + 2) >= 4 && acpi_get16(at + 2) <= end - at && !error; at += bytes) {
		bytes = acpi_get16(at + 2);
		if ((*at == IVRS_UNIT || *at == IVRS_UNIT_EXTENDED || *at == IVRS_UNIT_ACPI) && bytes >= IVRS_UNIT_BYTES)
			error = read_block(at, at + bytes, machine);
		else if (*at >= IVRS_REGION && *at <= IVRS_REGION_LAST && bytes >= IVRS_REGION_BYTES)
			error = read_region(at, machine);
	}
	if (!error && !machine->units)
		error = "ACPI has a table of IOMMUs that names none";
	return error;
}

static uint64_t amdvi_pages(const struct iommu_machine *machine)
{
	return DEVICE_TABLE_PAGES + 1 + 2ull * machine->units;
}

/* All devices are in the same domain and have the same table. */
static void amdvi_prepare(const struct iommu_machine *machine, uint64_t memory)
{
	struct device *device = phys_to_virt(memory);
	unsigned int i;

	device_table = memory;
	for (i = 0; i < DEVICES; i++)
		device[i] = (struct device){ own_io_root(4) | DEVICE_VALID | DEVICE_LEVELS | DEVICE_RIGHTS,
					     DEVICE_DOMAIN | (uint64_t)system_messages << DEVICE_SYSTEM_SHIFT,
					     DEVICE_MESSAGES, 0 };
	memory += DEVICE_TABLE_PAGES * PAGE_SIZE;
	for (i = 0; i < machine->units; i++) {
		units[i].done = (volatile uint64_t *)phys_to_virt(memory) + i;
		units[i].commands = phys_to_virt(memory + (1 + 2ull * i) * PAGE_SIZE);
		units[i].events = phys_to_virt(memory + (2 + 2ull * i) * PAGE_SIZE);
	}
}

static bool wait_status(const struct unit *unit, uint64_t bits, uint64_t value)
{
	uint64_t since = 0;

	while ((mmio_read64(unit->registers + AMDVI_STATUS) & bits) != value)
		if (!iommu_waits(&since))
			return false;
	return true;
}

static void submit(struct unit *unit, uint64_t low, uint64_t high)
{
	unit->commands[unit->tail] = (struct entry){ low, high };
	unit->tail = (unit->tail + 1) % RING_SLOTS;
}

static void submit_wait(struct unit *unit)
{
	unit->number++;
	submit(unit, COMMAND_WAIT | virt_to_phys((const void *)unit->done), unit->number);
	mmio_write64(unit->registers + AMDVI_COMMAND_TAIL, unit->tail * sizeof(struct entry));
}

static bool amdvi_flushed(unsigned int number)
{
	return *units[number].done == units[number].number;
}

static void amdvi_flush(unsigned int number)
{
	submit(&units[number], COMMAND_PAGES, COMMAND_PAGES_ALL);
	submit_wait(&units[number]);
}

/* Of the device table, too: that takes a command for each device where the unit has none for all. */
static bool forget_all(unsigned int number)
{
	struct unit *unit = &units[number];
	unsigned int i;
	bool done = true;

	if (unit->features & FEATURE_INVALIDATE_ALL)
		submit(unit, COMMAND_ALL, 0);
	for (i = 0; !(unit->features & FEATURE_INVALIDATE_ALL) && done && i < DEVICES; i++) {
		submit(unit, COMMAND_DEVICE | i, 0);
		if (i % (RING_SLOTS / 2) == RING_SLOTS / 2 - 1) {
			submit_wait(unit);
			done = iommu_wait_flushed(&amdvi_ops, number);
		}
	}
	amdvi_flush(number);
	return done && iommu_wait_flushed(&amdvi_ops, number);
}

static const char *amdvi_start(unsigned int number)
{
	struct unit *unit = &units[number];

	mmio_write64(unit->registers + AMDVI_CONTROL, 0);
	if (!wait_status(unit, STATUS_COMMANDS | STATUS_EVENTS, 0))
		return "does not leave the firmware's rings";
	unit->tail = 0;
	mmio_write64(unit->registers + AMDVI_DEVICE_TABLE, device_table | (DEVICE_TABLE_PAGES - 1));
	mmio_write64(unit->registers + AMDVI_COMMANDS, virt_to_phys(unit->commands) | RING_256);
	mmio_write64(unit->registers + AMDVI_EVENTS, virt_to_phys(unit->events) | RING_256);
	mmio_write64(unit->registers + AMDVI_COMMAND_HEAD, 0);
	mmio_write64(unit->registers + AMDVI_COMMAND_TAIL, 0);
	mmio_write64(unit->registers + AMDVI_EVENT_HEAD, 0);
	mmio_write64(unit->registers + AMDVI_EVENT_TAIL, 0);
	mmio_write64(unit->registers + AMDVI_EXCLUSION, 0);
	mmio_write64(unit->registers + AMDVI_STATUS, STATUS_OVERFLOW);
	unit->control |= CONTROL_EVENTS | CONTROL_COMMANDS;
	mmio_write64(unit->registers + AMDVI_CONTROL, unit->control);
	unit->control |= CONTROL_ENABLE;
	mmio_write64(unit->registers + AMDVI_CONTROL, unit->control);
	/* The rings are at work when the unit is. */
	if (!wait_status(unit, STATUS_COMMANDS | STATUS_EVENTS, STATUS_COMMANDS | STATUS_EVENTS))
		return "does not take rings";
	return forget_all(number) ? NULL : "does not carry out what it is told";
}

static void amdvi_stop(unsigned int number)
{
	mmio_write64(units[number].registers + AMDVI_CONTROL, 0);
}

/* A ring that was full stands still until it is begun anew. */
static void restart_events(struct unit *unit)
{
	mmio_write64(unit->registers + AMDVI_CONTROL, unit->control & ~CONTROL_EVENTS);
	if (!wait_status(unit, STATUS_EVENTS, 0))
		return;
	mmio_write64(unit->registers + AMDVI_EVENT_HEAD, 0);
	mmio_write64(unit->registers + AMDVI_EVENT_TAIL, 0);
	mmio_write64(unit->registers + AMDVI_STATUS, STATUS_OVERFLOW);
	mmio_write64(unit->registers + AMDVI_CONTROL, unit->control);
}

static bool amdvi_fault(unsigned int number, struct iommu_fault *fault)
{
	struct unit *unit = &units[number];
	uint64_t head = mmio_read64(unit->registers + AMDVI_EVENT_HEAD) & RING_OFFSET;
	uint64_t tail = mmio_read64(unit->registers + AMDVI_EVENT_TAIL) & RING_OFFSET;
	struct entry event;

	if (head != tail) {
		event = unit->events[head / sizeof(event)];
		mmio_write64(unit->registers + AMDVI_EVENT_HEAD, (head + sizeof(event)) & RING_OFFSET);
		*fault = (struct iommu_fault){ 0, (uint16_t)event.low, event.low & EVENT_WRITE, event.high };
		if (event.low >> KIND_SHIFT != EVENT_PAGE_FAULT)
			fault->other = (unsigned int)(event.low >> KIND_SHIFT) + 1;
		return true;
	}
	if (mmio_read64(unit->registers + AMDVI_STATUS) & STATUS_OVERFLOW)
		restart_events(unit);
	return false;
}

const struct iommu_ops amdvi_ops = {
	.name = "AMD-Vi",
	.signature = "IVRS",
	.read = amdvi_read,
	.pages = amdvi_pages,
	.prepare = amdvi_prepare,
	.start = amdvi_start,
	.stop = amdvi_stop,
	.flush = amdvi_flush,
	.flushed = amdvi_flushed,
	.fault = amdvi_fault,
};
