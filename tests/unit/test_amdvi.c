/* SPDX-License-Identifier: GPL-2.0 */
/*
 * AMD-Vi without a machine: the table that names units, which may say anything, and units that are a model of the manual's
 * registers: they take their commands, walk device table and page tables as hardware does, log what they refuse, and may be dead,
 * or left on by the firmware.
 */
#include "iommu_rig.h"

#define BLOCKS		48u
#define REGISTERS(n)	(0x1000000u + (n) * 0x100000u)
#define UNITS		2u
#define RING_BYTES	4096u
#define ALL_DEVICES	65536u

static struct model {
	uint64_t devices, commands, events, control, exclusion, features, command_head, command_tail, event_head, event_tail;
	bool overflow, dead, stuck;
	unsigned int device_commands, alls, pages;
	bool stale;
} model[UNITS];

static uint64_t system_messages;		/* what the firmware wants done with them */

static struct model *unit_of(const void *address, uint64_t *offset)
{
	uint64_t pa = (uint64_t)((const uint8_t *)address - memory_test_arena);

	ck_assert_uint_ge(pa, REGISTERS(0));
	ck_assert_uint_lt(pa, REGISTERS(UNITS));
	*offset = (pa - REGISTERS(0)) % 0x100000;
	return &model[(pa - REGISTERS(0)) / 0x100000];
}

static bool runs(const struct model *unit, uint64_t ring)
{
	return unit->stuck || (unit->control & 1 && unit->control & ring);
}

static void take_commands(struct model *unit)
{
	while (!unit->dead && runs(unit, 1u << 12) && unit->command_head != unit->command_tail) {
		uint64_t at = (unit->commands & 0x000ffffffffff000ull) + unit->command_head;
		uint64_t low = memory64(at), high = memory64(at + 8);

		switch (low >> 60) {
		case 1:
			ck_assert_uint_eq(low & 7, 1);
			ck_assert_uint_eq(low >> 52 & 0xff, 0);
			memcpy(memory_test_arena + (low & 0x000ffffffffffff8ull), &high, 8);
			break;
		case 2:
			ck_assert_uint_eq(low & 0x0fffffffffff0000ull, 0);
			ck_assert_uint_eq(low & 0xffff, unit->device_commands % ALL_DEVICES);
			unit->device_commands++;
			break;
		case 3:
			/* Of the domain, all addresses, pages and what points to tables. */
			ck_assert_uint_eq(low & 0x0fffffffffffffffull, 1ull << 32);
			ck_assert_uint_eq(high & 7, 3);
			ck_assert_uint_eq(high >> 12 & 0x7ffffffffffffull, 0x7ffffffffffffull);
			unit->pages++;
			unit->stale = false;
			break;
		case 8:
			ck_assert_uint_eq(low & 0x0fffffffffffffffull, 0);
			ck_assert(unit->features & 1u << 6);
			unit->alls++;
			unit->stale = false;
			break;
		default:
			ck_abort_msg("command %lx", (unsigned long)low);
		}
		unit->command_head = (unit->command_head + 16) % RING_BYTES;
	}
}

static void log_event(struct model *unit, uint64_t low, uint64_t high)
{
	uint64_t next = (unit->event_tail + 16) % RING_BYTES, at = (unit->events & 0x000ffffffffff000ull) + unit->event_tail;

	if (!runs(unit, 1u << 2))
		return;
	if (next == unit->event_head) {
		unit->overflow = true;
		return;
	}
	memcpy(memory_test_arena + at, &low, 8);
	memcpy(memory_test_arena + at + 8, &high, 8);
	unit->event_tail = next;
}

uint32_t mmio_read32(const void *address)
{
	(void)address;
	ck_abort_msg("32 bits read");
}

void mmio_write32(void *address, uint32_t value)
{
	(void)address;
	(void)value;
	ck_abort_msg("32 bits written");
}

uint64_t mmio_read64(const void *address)
{
	uint64_t offset;
	struct model *unit = unit_of(address, &offset);

	switch (offset) {
	case 0x30:
		return unit->features;
	case 0x2010:
		return unit->event_head;
	case 0x2018:
		return unit->event_tail;
	case 0x2020:
		return unit->overflow | (runs(unit, 1u << 2) ? 8 : 0) | (runs(unit, 1u << 12) ? 16 : 0);
	}
	ck_abort_msg("64 bits read at %lx", (unsigned long)offset);
}

void mmio_write64(void *address, uint64_t value)
{
	uint64_t offset;
	struct model *unit = unit_of(address, &offset);

	switch (offset) {
	case 0x00:
		ck_assert_msg(!(unit->control & 1), "the device table in use gets another address");
		unit->devices = value;
		return;
	case 0x08:
		ck_assert(!runs(unit, 1u << 12));
		unit->commands = value;
		return;
	case 0x10:
		ck_assert(!runs(unit, 1u << 2));
		unit->events = value;
		return;
	case 0x18:
		if (value & 1 && !(unit->control & 1))
			unit->stale = true;
		unit->control = value;
		take_commands(unit);
		return;
	case 0x20:
		unit->exclusion = value;
		return;
	case 0x2000:
		unit->command_head = value;
		return;
	case 0x2008:
		unit->command_tail = value;
		take_commands(unit);
		return;
	case 0x2010:
		unit->event_head = value;
		return;
	case 0x2018:
		unit->event_tail = value;
		return;
	case 0x2020:
		unit->overflow &= !(value & 1);
		return;
	}
	ck_abort_msg("64 bits written at %lx", (unsigned long)offset);
}

/* A device's access: false, it is refused, and logged. */
static bool reaches(struct model *unit, unsigned int device, uint64_t address, bool write)
{
	uint64_t at = (unit->devices & 0x000ffffffffff000ull) + device * 32, entry = memory64(at), table;
	unsigned int level = entry >> 9 & 7, next;

	ck_assert_uint_eq(unit->devices & 0x1ff, 511);
	ck_assert_uint_eq(entry & 0x1ff, 3);
	ck_assert_uint_eq(entry >> 52, 0x600);
	ck_assert_uint_eq(memory64(at + 8), 1 | system_messages << 40);
	ck_assert_uint_eq(memory64(at + 24), 0);
	ck_assert_uint_eq(memory64(at + 16), 0xc600000000000000ull);	/* INIT does not pass; 59 is reserved */
	for (table = entry & 0x000ffffffffff000ull;; table = entry & 0x000ffffffffff000ull, level = next) {
		entry = address >> 48 ? 0 : memory64(table + (address >> (3 + 9 * level) & 511) * 8);
		if (!(entry & 1)) {
			log_event(unit, 2ull << 60 | (write ? 1ull << 53 : 0) | 1ull << 32 | device, address);
			return false;
		}
		next = entry >> 9 & 7;
		/* Leaves force coherence. */
		ck_assert_uint_eq(entry >> 52, next ? 0x600 : 0x700);
		ck_assert_uint_eq(entry & 0x1fe, 0);
		if (!next)
			break;
		ck_assert_uint_eq(next, level - 1);
	}
	ck_assert_uint_eq((entry & 0x000ffffffffff000ull) + address % (4096ull << 9 * (level - 1)), address);
	return true;
}

static void add_block(unsigned int type, unsigned int flags, unsigned int length)
{
	put(acpi_end, type, 1);
	put(acpi_end + 1, flags, 1);
	put(acpi_end + 2, length, 2);
	acpi_end += length;
}

static void add_unit(unsigned int type, unsigned int number, unsigned int flags)
{
	put(acpi_end + 8, REGISTERS(number), 8);
	add_block(type, flags, type == 0x10 ? 28 : 40);
}

static void add_region(uint64_t start, uint64_t length)
{
	put(acpi_end + 16, start, 8);
	put(acpi_end + 24, length, 8);
	add_block(0x21, 1, 32);
}

static void setup(void)
{
	rig_setup(BLOCKS);
	system_messages = 0;
	memset(model, 0, sizeof(model));
}

/* _i: units that forget all by one command or not; firmware that has left nothing, or all, on. */
START_TEST(starts)
{
	add_unit(0x10, 0, 0x0d);
	add_unit(0x11, 0, 0x0d);
	if (_i % 2) {
		/* A range, an alias, one with a name, and one that its block does not have whole. */
		put(acpi_end + 40, 0x10000003, 4);
		put(acpi_end + 44, 0x20000042, 4);
		put(acpi_end + 52, 0x000000f0, 4);
		put(acpi_end + 52 + 21, 3, 1);
		put(acpi_end + 52 + 25, 0x300000f0, 4);
		system_messages = 1;
		put(acpi_end + 8, REGISTERS(1), 8);
		add_block(0x40, 0x42, 40 + 12 + 25 + 4);
	}
	add_unit(0x40, 1, 0x42);
	for (unsigned int i = 0; i < UNITS; i++) {
		model[i].features = (_i % 2 ? 1u << 6 : 0) | (i ? 1u << 9 : 0);
		if (_i / 2) {
			model[i].control = 1 | 1u << 2 | 1u << 12 | 1u << 13;
			model[i].commands = model[i].events = model[i].devices = FIRMWARE;
			model[i].command_head = model[i].command_tail = 0x40;
			model[i].event_head = 0x10;
			model[i].overflow = true;
			model[i].exclusion = 3;
		}
	}
	begin("IVRS");
	ck_assert_msg(iommu_works(), "%s", said);
	ck_assert_ptr_nonnull(strstr(said, "DMA protection by 2 units of AMD-Vi"));
	/* HtTunEn, ResPassPW and Isoc; PassPW. */
	ck_assert_uint_eq(model[0].control, 1 | 1u << 1 | 1u << 2 | 1u << 9 | 1u << 10 | 1u << 11 | 1u << 12);
	ck_assert_uint_eq(model[1].control, 1 | 1u << 2 | 1u << 8 | 1u << 10 | 1u << 12);
	for (unsigned int i = 0; i < UNITS; i++) {
		ck_assert(!model[i].stale && !model[i].overflow);
		ck_assert_uint_eq(model[i].exclusion, 0);
		ck_assert_uint_eq(model[i].alls, _i % 2);
		ck_assert_uint_eq(model[i].device_commands, _i % 2 ? 0 : ALL_DEVICES);
		ck_assert_uint_eq(model[i].commands >> 56, 8);
		ck_assert_uint_eq(model[i].events >> 56, 8);
		ck_assert_uint_eq(own_query(model[i].devices & 0x000ffffffffff000ull).owner, OWN_KEEL);
		for (unsigned int device = 0; device < ALL_DEVICES; device += 0xff) {
			ck_assert(reaches(&model[i], device, 0x3000, true));
			ck_assert(!reaches(&model[i], device, TABLE, false));
			ck_assert(!reaches(&model[i], device, MEMORY + 8, true));
			ck_assert(!reaches(&model[i], device, REGISTERS(i) + 0x3000, true));
			ck_assert(reaches(&model[i], device, REGISTERS(i) + 0x4000, true) == !i);
			ck_assert(reaches(&model[i], device, 0x1900000, true));
			ck_assert(!reaches(&model[i], device, 1ull << 48, true));
		}
	}
	ck_assert_ptr_null(acpi_table(&acpi, "IVRS", &acpi_end));
	ck_assert_ptr_nonnull(acpi_table(&acpi, "XVRS", &acpi_end));
}
END_TEST

START_TEST(follows)
{
	add_unit(0x11, 0, 0);
	begin("IVRS");
	for (unsigned int round = 0; round < 600; round++) {
		ck_assert_int_eq(own_donate(0x1a00000, 9, 3), 0);
		model[0].stale = true;
		ck_assert(iommu_flush());
		ck_assert(!model[0].stale);
		ck_assert(!reaches(&model[0], 0x123, 0x1a01000, true));
		iommu_tell_faults();
		ck_assert_int_eq(own_reclaim(0x1a00000, 9, 3), 0);
		ck_assert(reaches(&model[0], 0x123, 0x1a01000, true));
	}
	ck_assert_uint_eq(iommu_faults(), 600);
	ck_assert_ptr_nonnull(strstr(said, "device 01:04.3 was refused a write at 1a01000, which is of VM 3\n"));
	model[0].dead = true;
	ck_assert(!iommu_flush());
	ck_assert_ptr_nonnull(strstr(said, "does not answer any more"));
}
END_TEST

/* A log that is full stands still until it is begun anew; what is no refusal is told as what it is. */
START_TEST(events)
{
	add_unit(0x11, 0, 0);
	begin("IVRS");
	ck_assert_int_eq(own_donate(0x1a00000, 0, 7), 0);
	log_event(&model[0], 1ull << 60 | 0x0321, 0);
	for (unsigned int i = 0; i < 400; i++)
		ck_assert(!reaches(&model[0], 0x0321, i % 2 ? 0x1a00000 : TABLE, !(i % 2)));
	ck_assert(model[0].overflow);
	for (unsigned int i = 0; i < 40; i++)
		iommu_tell_faults();
	ck_assert(!model[0].overflow);
	ck_assert_uint_eq(iommu_faults(), 255);
	ck_assert_ptr_nonnull(strstr(said, "an IOMMU tells of event 1, device 03:04.1\n"));
	ck_assert_ptr_nonnull(strstr(said, "device 03:04.1 was refused a read at 1a00000, which is of VM 7\n"));
	ck_assert_ptr_nonnull(strstr(said, "device 03:04.1 was refused a write at 100000, which is Keel's\n"));
	ck_assert_ptr_nonnull(strstr(said, "more of them are only counted\n"));
	ck_assert(!reaches(&model[0], 0x0321, TABLE, true));
	iommu_tell_faults();
	ck_assert_uint_eq(iommu_faults(), 256);
	ck_assert(iommu_flush());
}
END_TEST

START_TEST(unfit)
{
	static const char *const words[] = {
		"names none", "4 GiB", "4 GiB", "too many regions", "nowhere", "does not answer",
		"does not leave the firmware's rings", "does not carry out",
	};

	if (_i)
		add_unit(0x10, 0, 0);
	switch (_i) {
	case 1:
		put(acpi_end - 28 + 12, 1, 4);
		break;
	case 2:
		put(acpi_end - 28 + 8, REGISTERS(0) + 0x1000, 8);
		break;
	case 3:
		for (unsigned int i = 0; i <= IOMMU_REGIONS; i++)
			add_region(0x3000, 0x1000);
		break;
	case 4:
		add_region(1ull << 60, 0x1000);
		break;
	case 5:
		model[0].features = UINT64_MAX;
		break;
	case 6:
		model[0].stuck = true;
		break;
	case 7:
		model[0].dead = true;
		break;
	}
	if (_i < 6) {
		open_acpi("IVRS");
		ck_assert_ptr_null(iommu_find(&acpi, LIMIT));
	} else {
		begin("IVRS");
	}
	ck_assert_msg(strstr(said, words[_i]), "%s", said);
	ck_assert_ptr_nonnull(strstr(said, "no DMA protection"));
	ck_assert(iommu_flush() && !iommu_works());
	ck_assert(!(model[0].control & 1));
}
END_TEST

START_TEST(regions)
{
	const struct iommu_machine *machine;

	add_region(0x5010, 0x2ff0);
	add_region(0x9000, 0);
	add_unit(0x10, 0, 0);
	open_acpi("IVRS");
	machine = iommu_find(&acpi, LIMIT);
	ck_assert_ptr_nonnull(machine);
	ck_assert_uint_eq(machine->regions, 1);
	ck_assert_uint_eq(machine->region[0].start, 0x5000);
	ck_assert_uint_eq(machine->region[0].end, 0x8000);
	ck_assert_uint_eq(machine->largest, PT_ORDER_1G);
}
END_TEST

START_TEST(damage)
{
	uint32_t length, at;

	srandom((unsigned int)_i);
	add_unit(0x10, 0, 0);
	add_region(0x5000, 0x1000);
	add_unit(0x40, 1, 0);
	for (unsigned int i = 0; i < 4; i++) {
		at = (uint32_t)random() % (acpi_end - TABLE_ACPI - BLOCKS);
		/* Where registers are is probed: that stays. */
		if (at < 8 || (at >= 16 && at < 68) || at >= 76)
			put(TABLE_ACPI + BLOCKS + at, (uint64_t)random(), 1);
	}
	/* What is a unit by now, and where its registers would be, is not known: only those that are there are. */
	for (at = 0; at < 4 && memory_test_arena[TABLE_ACPI + BLOCKS + 28] != 0x21; at++)
		put(TABLE_ACPI + BLOCKS + 28, 0x21, 1);
	if (_i % 3 == 0)
		acpi_end -= (uint32_t)random() % 28;
	length = acpi_end - TABLE_ACPI;
	memmove(memory_test_arena + LIMIT - length, memory_test_arena + TABLE_ACPI, length);
	/* Lengths that are wrong may make a unit of anything, but for registers that are above all memory here. */
	open_acpi("IVRS");
	put(XSDT + 36, LIMIT - length, 8);
	close_table(XSDT, "XSDT", 44);
	put(LIMIT - length + BLOCKS + 2, 28, 2);
	if (length > BLOCKS + 32)
		put(LIMIT - length + BLOCKS + 30, 32, 2);
	close_table(LIMIT - length, "IVRS", length);
	if (!iommu_find(&acpi, LIMIT))
		ck_assert_ptr_nonnull(strstr(said, "no DMA protection"));
}
END_TEST

SUITE("amdvi", tests)
{
	tcase_add_checked_fixture(tests, setup, rig_teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, starts, 0, 4);
	tcase_add_test(tests, follows);
	tcase_add_test(tests, events);
	tcase_add_loop_test(tests, unfit, 0, 8);
	tcase_add_test(tests, regions);
	tcase_add_loop_test(tests, damage, 0, 200);
}
