// SPDX-License-Identifier: GPL-2.0
// Intel VT-d (Virtualization Technology for Directed I/O, revision 4.1): legacy mode, one domain, queued invalidation.

#include "iommu.h"

#include <stddef.h>

#include "acpi.h"
#include "cpu.h"
#include "memory.h"
#include "string.h"

/* The DMAR table (8.1 to 8.4): structures of type and length, both of 16 bits. */
#define DMAR_STRUCTURES		48u
#define DMAR_UNIT		0u
#define DMAR_UNIT_BYTES		16u
#define DMAR_UNIT_SIZE_MASK	0xfu		/* the registers have 2^n pages; 0 on all but the newest machines */
#define DMAR_RESERVED		1u
#define DMAR_RESERVED_BYTES	24u

/* Registers (11.4). */
#define VTD_CAPABILITY		0x08u
#define VTD_EXTENDED		0x10u
#define VTD_COMMAND		0x18u
#define VTD_STATUS		0x1cu
#define VTD_ROOT		0x20u
#define VTD_FAULT_STATUS	0x34u
#define VTD_FAULT_CONTROL	0x38u
#define VTD_PROTECTED		0x64u
#define VTD_QUEUE_HEAD		0x80u
#define VTD_QUEUE_TAIL		0x88u
#define VTD_QUEUE_ADDRESS	0x90u

#define CAP_WRITE_BUFFER	(1ull << 4)
#define CAP_PROTECTED		(3ull << 5)
#define WIDTH_39		39u
#define CAP_WIDTH_39		(1ull << 9)
#define CAP_WIDTH_48		(1ull << 10)
#define CAP_FAULT_PLACE(cap)	((cap) >> 24 & 0x3ff)	/* in units of 16 bytes */
#define CAP_PAGES_2M		(1ull << 34)
#define CAP_PAGES_1G		(1ull << 35)
#define CAP_FAULTS(cap)		(((cap) >> 40 & 0xff) + 1)
#define CAP_DRAIN_WRITES	(1ull << 54)
#define CAP_DRAIN_READS		(1ull << 55)
#define ECAP_COHERENT		(1ull << 0)
#define ECAP_QUEUE		(1ull << 1)
#define ECAP_SNOOP		(1ull << 7)
#define ECAP_IOTLB_PLACE(ecap)	((ecap) >> 8 & 0x3ff)

/* Command and status have the same bits; of the command, some act once (11.4.4). */
#define ROOT_MODE		(3ull << 10)	/* 0: legacy */
#define LEAF_SNOOP		(1ull << 11)	/* a device does not get past the caches, whatever it asks for */
#define GLOBAL_TRANSLATION	(1u << 31)
#define GLOBAL_ROOT		(1u << 30)
#define GLOBAL_WRITE_BUFFER	(1u << 27)
#define GLOBAL_QUEUE		(1u << 26)
#define GLOBAL_INTERRUPTS	(1u << 25)
#define GLOBAL_STAYS		0x96ffffffu
#define PROTECTED_STATUS	(1u << 0)
#define FAULT_STATUS_CLEAR	0x7fu
#define FAULT_PENDING		(1u << 1)
#define FAULT_OVERFLOW		(1u << 0)
#define FAULT_MASK		(1u << 31)	/* of the control register: no interrupts */

/* Fault records of 16 bytes (11.4.14); the highest 32 bits. */
#define RECORD_FAULT		(1u << 31)
#define RECORD_READ		(1u << 30)

/*
 * Entries of 16 bytes (9.1, 9.3). The context entry's translation type 0 refuses what a device says that it has
 * translated itself.
 */
#define ENTRY_PRESENT		1ull
#define CONTEXT_39		1ull		/* high half: width */
#define CONTEXT_48		2ull
#define CONTEXT_DOMAIN		(1ull << 8)	/* number 1; 0 may be reserved */

/* Descriptors of 16 bytes (6.5.2). */
#define QUEUE_SLOTS		256u
#define QUEUE_CONTEXTS		(0x1ull | 1 << 4)	/* all of them */
#define QUEUE_IOTLB		(0x2ull | 1 << 4)
#define QUEUE_DRAIN_WRITES	(1ull << 6)
#define QUEUE_DRAIN_READS	(1ull << 7)
#define QUEUE_WAIT		(0x5ull | 1 << 5 | 1 << 6)	/* status is written, in order */
#define QUEUE_STATUS_SHIFT	32

#define FIXED_PAGES		5u		/* root and context for either width, the words that waits write */

struct entry {
	uint64_t low;
	uint64_t high;
};

static struct unit {
	uint8_t *registers;
	uint64_t cap;
	uint64_t ecap;
	struct entry *queue;
	volatile uint32_t *status;
	uint32_t tail;
	uint32_t number;
} units[IOMMU_UNITS];

static uint64_t roots[2];			/* of widths 39 and 48 */

static uint64_t largest_of(uint64_t left, uint64_t right)
{
	return left > right ? left : right;
}

/* All that its registers must have for Keel, and how far they go. */
static const char *probe(struct iommu_unit *found, struct unit *unit, struct iommu_machine *machine)
{
	uint64_t end;

	unit->registers = phys_to_virt(found->base);
	unit->cap = mmio_read64(unit->registers + VTD_CAPABILITY);
	unit->ecap = mmio_read64(unit->registers + VTD_EXTENDED);
	if (unit->cap == UINT64_MAX || !unit->cap)
		return "an IOMMU that ACPI names does not answer";
	if (!(unit->ecap & ECAP_QUEUE) || !(unit->cap & (CAP_WIDTH_39 | CAP_WIDTH_48)) || !(unit->cap & CAP_PAGES_2M))
		return "an IOMMU of this machine is too old: it lacks queued invalidation, large pages, or a width of 39 or "
		       "48 bits";
	end = largest_of(CAP_FAULT_PLACE(unit->cap) + CAP_FAULTS(unit->cap), ECAP_IOTLB_PLACE(unit->ecap) + 1) * 16;
	found->bytes = largest_of(found->bytes, round_up(end, PAGE_SIZE));
	if (found->bytes > SIZE_4G - found->base)
		return "an IOMMU has its registers where Keel does not reach them, above 4 GiB";
	machine->format.coherent &= unit->ecap & ECAP_COHERENT;
	machine->snoops &= (unit->ecap & ECAP_SNOOP) != 0;
	if (!(unit->cap & CAP_WIDTH_48))
		machine->width = WIDTH_39;
	if (!(unit->cap & CAP_PAGES_1G))
		machine->largest = PT_ORDER_2M;
	return NULL;
}

static const char *read_unit(const uint8_t *entry, struct iommu_machine *machine)
{
	struct iommu_unit found = { acpi_get64(entry + 8), PAGE_SIZE << (entry[5] & DMAR_UNIT_SIZE_MASK) };
	unsigned int number = machine->units;

	if (number == IOMMU_UNITS)
		return "this machine has too many IOMMUs";
	if (!found.base || found.base % PAGE_SIZE || found.base >= SIZE_4G || found.bytes > SIZE_4G - found.base)
		return "an IOMMU has its registers where Keel does not reach them, above 4 GiB";
	machine->unit[number] = found;
	machine->units++;
	return probe(&machine->unit[number], &units[number], machine);
}

static const char *read_region(const uint8_t *entry, struct iommu_machine *machine)
{
	struct iommu_region region = { acpi_get64(entry + 8), acpi_get64(entry + 16) };

	if (machine->regions == IOMMU_REGIONS)
		return "ACPI names too many regions that devices use";
	if (region.end < region.start || region.end >> 52)
		return "ACPI names a region that devices use, and its end is before its start";
	region.start &= ~(PAGE_SIZE - 1);
	region.end = round_up(region.end + 1, PAGE_SIZE);
	machine->region[machine->regions++] = region;
	return NULL;
}

static const char *vtd_read(const uint8_t *table, uint32_t length, struct iommu_machine *machine)
{
	const uint8_t *at = table + DMAR_STRUCTURES, *end = table + length;
	const char *error = NULL;

	machine->format = (struct own_io_format){ .rights = 3, .large = 0x80, .coherent = true };
	machine->snoops = true;
	machine->width = IOMMU_WIDTH_MOST;
	for (; end - at >= 4 && acpi_get16(at + 2) >= 4 && acpi_get16(at + 2) <= end - at && !error; at += acpi_get16(at + 2)) {
		if (acpi_get16(at) == DMAR_UNIT && acpi_get16(at + 2) >= DMAR_UNIT_BYTES)
			error = read_unit(at, machine);
		else if (acpi_get16(at) == DMAR_RESERVED && acpi_get16(at + 2) >= DMAR_RESERVED_BYTES)
			error = read_region(at, machine);
	}
	if (!error && !machine->units)
		error = "ACPI has a table of IOMMUs that names none";
	if (machine->snoops)
		machine->format.leaf = LEAF_SNOOP;
	return error;
}

static uint64_t vtd_pages(const struct iommu_machine *machine)
{
	return FIXED_PAGES + machine->units;
}

static void written(const void *start, uint64_t bytes)
{
	cache_write_back(start, bytes);
}

/* One context table for all buses, one table of second level for all devices. */
static uint64_t build_root(uint64_t memory, unsigned int levels)
{
	struct entry *root = phys_to_virt(memory), *context = phys_to_virt(memory + PAGE_SIZE);
	unsigned int i;

	for (i = 0; i < PAGE_SIZE / sizeof(*root); i++) {
		root[i].low = virt_to_phys(context) | ENTRY_PRESENT;
		context[i].low = own_io_root(levels) | ENTRY_PRESENT;
		context[i].high = CONTEXT_DOMAIN | (levels == 3 ? CONTEXT_39 : CONTEXT_48);
	}
	written(root, 2 * PAGE_SIZE);
	return memory;
}

static void vtd_prepare(const struct iommu_machine *machine, uint64_t memory)
{
	unsigned int i;

	roots[0] = build_root(memory, 3);
	roots[1] = build_root(memory + 2 * PAGE_SIZE, 4);
	for (i = 0; i < machine->units; i++) {
		units[i].status = (volatile uint32_t *)phys_to_virt(memory + (FIXED_PAGES - 1) * PAGE_SIZE) + i;
		units[i].queue = phys_to_virt(memory + (FIXED_PAGES + i) * PAGE_SIZE);
	}
}

/* Waits until these bits of the register are as given. */
static bool wait(const struct unit *unit, unsigned int offset, uint32_t bits, uint32_t value)
{
	uint64_t since = 0;

	while ((mmio_read32(unit->registers + offset) & bits) != value)
		if (!iommu_waits(&since))
			return false;
	return true;
}

static bool command(const struct unit *unit, uint32_t clear, uint32_t set)
{
	uint32_t now = mmio_read32(unit->registers + VTD_STATUS) & GLOBAL_STAYS;

	mmio_write32(unit->registers + VTD_COMMAND, (now & ~clear) | set);
	return wait(unit, VTD_STATUS, clear | set, set & ~GLOBAL_WRITE_BUFFER);
}

static void submit(struct unit *unit, uint64_t low, uint64_t high)
{
	struct entry *slot = &unit->queue[unit->tail];

	slot->low = low;
	slot->high = high;
	if (!(unit->ecap & ECAP_COHERENT))
		written(slot, sizeof(*slot));
	unit->tail = (unit->tail + 1) % QUEUE_SLOTS;
}

static bool vtd_flushed(unsigned int number)
{
	return *units[number].status == units[number].number;
}

/* The write buffer of old units holds entries back that were not present before (6.8). */
static void forget(struct unit *unit, bool contexts)
{
	uint64_t drain = (unit->cap & CAP_DRAIN_WRITES ? QUEUE_DRAIN_WRITES : 0) |
			 (unit->cap & CAP_DRAIN_READS ? QUEUE_DRAIN_READS : 0);

	if (unit->cap & CAP_WRITE_BUFFER)
		command(unit, 0, GLOBAL_WRITE_BUFFER);
	if (contexts)
		submit(unit, QUEUE_CONTEXTS, 0);
	submit(unit, QUEUE_IOTLB | drain, 0);
	unit->number++;
	submit(unit, QUEUE_WAIT | (uint64_t)unit->number << QUEUE_STATUS_SHIFT, virt_to_phys((const void *)unit->status));
	mmio_write64(unit->registers + VTD_QUEUE_TAIL, (uint64_t)unit->tail * sizeof(struct entry));
}

static void vtd_flush(unsigned int number)
{
	forget(&units[number], false);
}

/*
 * What the firmware has left on goes off. Translation is replaced while it is on, so that no device is let through in
 * between, but for tables of another kind, which may only change when it is off (11.4.5).
 */
static const char *quieten(struct unit *unit)
{
	uint64_t since = 0;

	if (mmio_read32(unit->registers + VTD_STATUS) & GLOBAL_TRANSLATION &&
	    mmio_read64(unit->registers + VTD_ROOT) & ROOT_MODE &&
	    !command(unit, GLOBAL_TRANSLATION, 0))
		return "does not end the firmware's translation";
	mmio_write32(unit->registers + VTD_FAULT_CONTROL, FAULT_MASK);
	if (mmio_read32(unit->registers + VTD_STATUS) & GLOBAL_QUEUE) {
		while (mmio_read64(unit->registers + VTD_QUEUE_HEAD) != mmio_read64(unit->registers + VTD_QUEUE_TAIL) &&
		       iommu_waits(&since))
			;
		if (!command(unit, GLOBAL_QUEUE, 0))
			return "does not leave the firmware's queue";
	}
	if (mmio_read32(unit->registers + VTD_STATUS) & GLOBAL_INTERRUPTS && !command(unit, GLOBAL_INTERRUPTS, 0))
		return "does not end the firmware's remapping of interrupts";
	return NULL;
}

static void clear_faults(struct unit *unit)
{
	unsigned int i;

	for (i = 0; i < CAP_FAULTS(unit->cap); i++)
		mmio_write32(unit->registers + (CAP_FAULT_PLACE(unit->cap) + i) * 16 + 12, RECORD_FAULT);
	mmio_write32(unit->registers + VTD_FAULT_STATUS, FAULT_STATUS_CLEAR);
}

static const char *vtd_start(unsigned int number)
{
	struct unit *unit = &units[number];
	const char *error = quieten(unit);

	if (error)
		return error;
	clear_faults(unit);
	unit->tail = 0;
	mmio_write64(unit->registers + VTD_QUEUE_TAIL, 0);
	mmio_write64(unit->registers + VTD_QUEUE_ADDRESS, virt_to_phys(unit->queue));
	if (!command(unit, 0, GLOBAL_QUEUE))
		return "does not take a queue";
	mmio_write64(unit->registers + VTD_ROOT, roots[unit->cap & CAP_WIDTH_48 ? 1 : 0]);
	if (!command(unit, 0, GLOBAL_ROOT))
		return "does not take a table";
	forget(unit, true);
	if (!iommu_wait_flushed(&vtd_ops, number))
		return "does not carry out what it is told";
	if (!command(unit, 0, GLOBAL_TRANSLATION))
		return "does not begin to translate";
	if (unit->cap & CAP_PROTECTED) {
		mmio_write32(unit->registers + VTD_PROTECTED, 0);
		if (!wait(unit, VTD_PROTECTED, PROTECTED_STATUS, 0))
			return "does not open the firmware's protected memory";
	}
	return NULL;
}

static void vtd_stop(unsigned int number)
{
	command(&units[number], GLOBAL_TRANSLATION, 0);
}

/* The records are a ring, but the next one may be anywhere in it: they are few. */
static bool vtd_fault(unsigned int number, struct iommu_fault *fault)
{
	struct unit *unit = &units[number];
	uint8_t *record;
	uint32_t high;
	unsigned int i;

	if (!(mmio_read32(unit->registers + VTD_FAULT_STATUS) & (FAULT_PENDING | FAULT_OVERFLOW)))
		return false;
	for (i = 0; i < CAP_FAULTS(unit->cap); i++) {
		record = unit->registers + (CAP_FAULT_PLACE(unit->cap) + i) * 16;
		high = mmio_read32(record + 12);
		if (!(high & RECORD_FAULT))
			continue;
		fault->other = 0;
		fault->address = mmio_read64(record) & ~(PAGE_SIZE - 1);
		fault->device = (uint16_t)mmio_read64(record + 8);
		fault->write = !(high & RECORD_READ);
		mmio_write32(record + 12, RECORD_FAULT);
		return true;
	}
	mmio_write32(unit->registers + VTD_FAULT_STATUS, FAULT_STATUS_CLEAR);
	return false;
}

const struct iommu_ops vtd_ops = {
	.name = "VT-d",
	.signature = "DMAR",
	.read = vtd_read,
	.pages = vtd_pages,
	.prepare = vtd_prepare,
	.start = vtd_start,
	.stop = vtd_stop,
	.flush = vtd_flush,
	.flushed = vtd_flushed,
	.fault = vtd_fault,
};
