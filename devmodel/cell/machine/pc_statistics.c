// SPDX-License-Identifier: GPL-2.0
/* What has happened in the machine, for people to look at: nothing is added up before the resource half asks for it. */
#include "machine/pc.h"

#include "core/string.h"

static struct keel_statistics *statistics_of(struct pc *pc)
{
	return (struct keel_statistics *)(void *)link_bytes(&pc->link, pc->machine.statistics);
}

static struct keel_context *context_at(const struct pc_contexts *contexts, unsigned int number)
{
	return (struct keel_context *)(void *)(contexts->first + number * contexts->bytes);
}

static void measure(const struct pc *pc, const struct pc_contexts *contexts, bool on)
{
	for (unsigned int i = 0; i < pc->machine.vcpus; i++)
		__atomic_store_n(&context_at(contexts, i)->counters.measure, on, __ATOMIC_RELAXED);
	__atomic_store_n(&context_at(contexts, KEEL_CONTEXT_EVENT)->counters.measure, on, __ATOMIC_RELAXED);
}

static void add_context(struct keel_counters *sum, const struct keel_counters *counters)
{
	for (unsigned int i = 0; i < KEEL_COUNTS; i++)
		sum->count[i] += counters->count[i];
	for (unsigned int i = 0; i < KEEL_EXIT_KINDS; i++)
		sum->exits[i] += counters->exits[i];
	sum->stays += counters->stays;
	sum->guest += counters->guest;
	sum->cell += counters->cell;
}

/* Nothing of the channel is read back. */
struct rows {
	struct keel_device_statistics *row;
	unsigned int used;
};

static void add_row(struct rows *to, const char *name, unsigned int instance, uint64_t accesses)
{
	struct keel_device_statistics row = { .instance = instance, .accesses = accesses };

	if (!accesses || to->used == KEEL_STATISTICS_DEVICES)
		return;
	for (unsigned int i = 0; name[i] && i < sizeof(row.name) - 1; i++)
		row.name[i] = name[i];
	to->row[to->used++] = row;
}

static uint64_t count_bars(const struct pci_function *function)
{
	uint64_t accesses = 0;

	for (unsigned int i = 0; i <= PCI_BARS; i++)
		accesses += function->bar[i].range.accesses;
	return accesses;
}

/* The device of the list that something in struct pc is a part of: the last one that begins before it. */
static unsigned int device_around(size_t place)
{
	unsigned int found = 0;

	for (unsigned int i = 0; i < pc_device_count; i++)
		if (pc_devices[i].place <= place &&
		    (pc_devices[found].place > place || pc_devices[i].place > pc_devices[found].place))
			found = i;
	return found;
}

static size_t place_of(const struct pc *pc, const void *part)
{
	return (size_t)((const char *)part - (const char *)pc);
}

/* Its own registers, wherever they are. */
static void add_board(struct pc *pc, struct rows *to)
{
	uint64_t accesses[PC_DEVICES_MOST] = { 0 };

	for (unsigned int i = 0; i < PC_RANGES; i++)
		accesses[device_around(place_of(pc, pc->range[i].device))] += pc->range[i].accesses;
	accesses[device_around(place_of(pc, &pc->acpi))] += pc->acpi.block.accesses + count_bars(&pc->acpi.pci);
	accesses[device_around(place_of(pc, &pc->ide))] += count_bars(&pc->ide.pci);
	for (unsigned int i = 0; i < pc_device_count; i++)
		add_row(to, pc_devices[i].name, pc_devices[i].instance, accesses[i]);
}

static void tell_devices(struct pc *pc, struct keel_statistics *to)
{
	struct rows rows = { .row = to->device };
	uint64_t lapics = 0;

	add_board(pc, &rows);
	for (unsigned int i = 0; i < pc->virtio_devices; i++)
		add_row(&rows, pc->virtio[i]->ops->name, pc->virtio[i]->pci.slot, count_bars(&pc->virtio[i]->pci));
	for (unsigned int i = 0; i < pc->machine.vcpus; i++)
		lapics += pc->vcpu[i].lapic.range.accesses;
	add_row(&rows, "lapic", 0, lapics);
	add_row(&rows, "firmware", 0, pc->firmware.accesses);
	/* Where no device answers. */
	add_row(&rows, "nobody", 0, pc->io.nothing.accesses);
	to->devices = rows.used;
}

static void tell_contexts(const struct pc *pc, const struct pc_contexts *contexts, struct keel_statistics *to)
{
	struct keel_counters sum = { .measure = 0 };

	for (unsigned int i = 0; i < pc->machine.vcpus; i++)
		add_context(&sum, &context_at(contexts, i)->counters);
	add_context(&sum, &context_at(contexts, KEEL_CONTEXT_EVENT)->counters);
	memcpy(to->count, sum.count, sizeof(to->count));
	memcpy(to->exits, sum.exits, sizeof(to->exits));
	to->stays = sum.stays;
	to->guest = sum.guest;
	to->cell = sum.cell;
}

void pc_statistics(struct pc *pc, const struct pc_contexts *contexts)
{
	struct keel_statistics *area = statistics_of(pc);
	uint32_t commands;

	if (!pc->machine.statistics || !contexts->first || !__atomic_load_n(&area->commands, __ATOMIC_RELAXED))
		return;
	commands = __atomic_exchange_n(&area->commands, 0, __ATOMIC_ACQ_REL);
	if (commands & (KEEL_STATISTICS_MEASURE | KEEL_STATISTICS_CEASE))
		measure(pc, contexts, commands & KEEL_STATISTICS_MEASURE);
	if (!(commands & KEEL_STATISTICS_TELL))
		return;
	tell_contexts(pc, contexts, area);
	tell_devices(pc, area);
}
