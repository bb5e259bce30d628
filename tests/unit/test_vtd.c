/* SPDX-License-Identifier: GPL-2.0 */
/*
 * VT-d without a machine: the table that names units, which may say anything, and units that are a model of the manual's
 * registers: they take their queue, walk root, context and tables as hardware does, and may be dead, or left on by the firmware.
 */
#include "iommu_rig.h"

#define STRUCTURES	48u
#define REGISTERS(n)	(0x1000000u + (n) * 0x2000u)
#define UNITS		3u
#define QUEUE_BYTES	4096u

/* What a unit is, and what it knows. */
static struct model {
	uint64_t cap, ecap, root, queue, tail, head, record[2];
	uint32_t status, faults, control, protected;
	bool dead;			/* takes nothing out of its queue */
	uint32_t refuses;		/* commands that it does not carry out */
	unsigned int contexts, iotlbs;	/* times that all were forgotten */
	bool stale;			/* translations were not forgotten since the tables changed */
	uint64_t current, current_root;	/* root in use, and its register */
} model[UNITS];

static struct model *unit_of(const void *address, uint64_t *offset)
{
	uint64_t pa = (uint64_t)((const uint8_t *)address - memory_test_arena);

	ck_assert_uint_ge(pa, REGISTERS(0));
	ck_assert_uint_lt(pa, REGISTERS(UNITS));
	*offset = (pa - REGISTERS(0)) % 0x2000;
	return &model[(pa - REGISTERS(0)) / 0x2000];
}

/* VT-d 6.5.2: the queue up to its tail. */
static void take_queue(struct model *unit)
{
	while (!unit->dead && unit->status & 1u << 26 && unit->head != unit->tail) {
		uint64_t at = (unit->queue & ~0xfffull) + unit->head, low = memory64(at), high = memory64(at + 8);

		switch (low & 0xf) {
		case 1:
			ck_assert_uint_eq(low, 0x11);
			unit->contexts++;
			break;
		case 2:
			ck_assert_uint_eq(low & ~0xc0ull, 0x12);
			ck_assert_uint_eq(low >> 6 & 1, unit->cap >> 54 & 1);
			ck_assert_uint_eq(low >> 7 & 1, unit->cap >> 55 & 1);
			unit->iotlbs++;
			unit->stale = false;
			break;
		case 5:
			ck_assert_uint_eq(low & 0xffffffff, 0x65);
			ck_assert_uint_eq(high % 4, 0);
			memcpy(memory_test_arena + high, (const uint8_t *)&low + 4, 4);
			break;
		default:
			ck_abort_msg("descriptor %lx", (unsigned long)low);
		}
		unit->head = (unit->head + 16) % QUEUE_BYTES;
	}
}

static void take_command(struct model *unit, uint32_t command)
{
	static const uint32_t once = 1u << 30 | 1u << 29 | 1u << 27 | 1u << 24;
	uint32_t keeps = (unit->status ^ command) & unit->refuses;

	if (command & 1u << 30 && !(unit->refuses & 1u << 30)) {
		ck_assert_msg(!(unit->status >> 31) || !((unit->root ^ unit->current_root) >> 10 & 3),
			      "another kind of table while translating");
		unit->current_root = unit->root;
		unit->current = unit->root;
		unit->status |= 1u << 30;
		unit->stale = true;
	}
	if ((unit->status ^ command) & ~keeps & 1u << 26) {
		ck_assert_msg(unit->head == unit->tail, "the queue is switched while it is at work");
		unit->head = 0;
	}
	unit->status = (unit->status & (once | keeps)) | (command & ~once & ~keeps);
	if (command & unit->refuses & 1u << 30)
		unit->status &= ~(1u << 30);
	take_queue(unit);
}

uint32_t mmio_read32(const void *address)
{
	uint64_t offset;
	struct model *unit = unit_of(address, &offset);

	switch (offset) {
	case 0x1c:
		return unit->status;
	case 0x34:
		return unit->faults | (unit->record[1] >> 63 ? 2 : 0);
	case 0x64:
		return unit->protected;
	case 0x40c:
		return (uint32_t)(unit->record[1] >> 32);
	}
	ck_abort_msg("32 bits read at %lx", (unsigned long)offset);
}

uint64_t mmio_read64(const void *address)
{
	uint64_t offset;
	struct model *unit = unit_of(address, &offset);

	switch (offset) {
	case 0x08:
		return unit->cap;
	case 0x10:
		return unit->ecap;
	case 0x20:
		return unit->root;
	case 0x80:
		return unit->head;
	case 0x88:
		return unit->tail;
	case 0x400:
	case 0x408:
		return unit->record[offset / 8 % 2];
	}
	ck_abort_msg("64 bits read at %lx", (unsigned long)offset);
}

void mmio_write32(void *address, uint32_t value)
{
	uint64_t offset;
	struct model *unit = unit_of(address, &offset);

	switch (offset) {
	case 0x18:
		take_command(unit, value);
		return;
	case 0x34:
		unit->faults &= ~value;
		return;
	case 0x38:
		unit->control = value;
		return;
	case 0x64:
		unit->protected = unit->refuses & 1 ? unit->protected : value & 1u << 31 ? value | 1 : 0;
		return;
	case 0x40c:
		if (value >> 31)
			unit->record[1] &= ~(1ull << 63);
		return;
	}
	ck_abort_msg("32 bits written at %lx", (unsigned long)offset);
}

void mmio_write64(void *address, uint64_t value)
{
	uint64_t offset;
	struct model *unit = unit_of(address, &offset);

	switch (offset) {
	case 0x20:
		unit->root = value;
		return;
	case 0x88:
		unit->tail = value;
		take_queue(unit);
		return;
	case 0x90:
		ck_assert_msg(!(unit->status & 1u << 26), "the queue in use gets another address");
		unit->queue = value;
		return;
	}
	ck_abort_msg("64 bits written at %lx", (unsigned long)offset);
}

static bool snoops;

/* A device's access: false, it is refused. The tables are walked anew each time. */
static bool reaches(const struct model *unit, unsigned int device, uint64_t address)
{
	uint64_t root, context, width, entry, table;
	int level;

	if (!(unit->status >> 31))
		return true;
	root = memory64(unit->current + (device >> 8) * 16);
	ck_assert_uint_eq(root & 0xfff, 1);
	context = (root & ~0xfffull) + (device & 0xff) * 16;
	ck_assert_uint_eq(memory64(context) & 0xfff, 1);
	width = memory64(context + 8) & 7;
	ck_assert_uint_ne(memory64(context + 8) >> 8 & 0xffff, 0);
	ck_assert(unit->cap >> (8 + width) & 1);
	level = (int)width + 2;
	if (address >> (12 + 9 * level))
		return false;
	for (table = memory64(context) & ~0xfffull;; table = entry & 0x000ffffffffff000ull) {
		level--;
		entry = memory64(table + (address >> (12 + 9 * level) & 511) * 8);
		if (!(entry & 3))
			return false;
		ck_assert_uint_eq(entry & 3, 3);
		if (!level || entry & 0x80) {
			ck_assert_uint_eq(entry >> 11 & 1, snoops);
			break;
		}
	}
	ck_assert_uint_eq((entry & 0x000ffffffffff000ull) + address % (4096ull << 9 * level), address);
	return true;
}

static void add_structure(unsigned int type, unsigned int length)
{
	put(acpi_end, type, 2);
	put(acpi_end + 2, length, 2);
	acpi_end += length;
}

static void add_unit(unsigned int number, unsigned int flags)
{
	put(acpi_end + 4, flags, 1);
	put(acpi_end + 8, REGISTERS(number), 8);
	add_structure(0, 24);
}

static void setup(void)
{
	rig_setup(STRUCTURES);
	snoops = false;
	for (unsigned int i = 0; i < UNITS; i++)
		model[i] = (struct model){
			/* widths of 39 and 48 bits, large pages, one record at 0x400; queue, the IOTLB's registers at 0x500 */
			.cap = 6ull << 8 | 0x40ull << 24 | 3ull << 34, .ecap = 3 | 0x50ull << 8,
		};
}

static void check_reach(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		for (unsigned int device = 0; device < 0x10000; device += 0xff) {
			ck_assert(reaches(&model[i], device, 0x3000));
			ck_assert(!reaches(&model[i], device, TABLE));
			ck_assert(!reaches(&model[i], device, MEMORY + 8));
			ck_assert(!reaches(&model[i], device, REGISTERS(i)));
			ck_assert(!reaches(&model[i], device, REGISTERS(i) + 0x500));
			ck_assert(reaches(&model[i], device, REGISTERS(UNITS)));
		}
		ck_assert(!model[i].stale);
		ck_assert_uint_ge(model[i].contexts, 1);
		ck_assert_uint_eq(model[i].control >> 31, 1);
	}
}

/* _i: widths 39, 48, and both; firmware that has left nothing, or all, on. */
START_TEST(starts)
{
	static const uint64_t widths[] = { 2ull << 8, 4ull << 8, 6ull << 8 };

	add_unit(0, 0);
	add_unit(1, 1);
	for (unsigned int i = 0; i < 2; i++) {
		model[i].cap = (model[i].cap & ~(0x1full << 8)) | widths[_i % 3] | (i ? 3ull << 54 | 3ull << 5 : 1ull << 4);
		if (_i / 3) {
			model[i].status = 1u << 31 | 1u << 30 | 1u << 26 | 1u << 25;
			model[i].queue = FIRMWARE;
			model[i].head = model[i].tail = 0x40;
			model[i].protected = i ? 1u << 31 | 1 : 0;
			model[i].faults = 1;
			model[i].record[1] = 1ull << 63;
			/* Everything is refused; the second one has tables of scalable mode. */
			model[i].current = FIRMWARE + 0x1000;
			model[i].root = model[i].current_root = model[i].current | (i ? 1u << 10 : 0);
		}
	}
	for (unsigned int i = 0; i < 2; i++)
		model[i].ecap |= _i / 3 || i ? 0x80 : 0;
	snoops = _i / 3;
	begin("DMAR");
	ck_assert(iommu_works());
	ck_assert(iommu_reads_past_caches() == !snoops);
	ck_assert_ptr_nonnull(strstr(said, "DMA protection by 2 units of VT-d"));
	check_reach();
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert_uint_eq(model[i].status & ~(1u << 30), 1u << 31 | 1u << 26);
		ck_assert_uint_eq(model[i].protected, 0);
		ck_assert_uint_eq(model[i].queue & 0xfff, 0);
		ck_assert_uint_eq(own_query(model[i].queue).owner, OWN_KEEL);
		ck_assert_uint_eq(own_query(REGISTERS(i)).owner, OWN_KEEL);
	}
	/* The control domain looks for a table of that name, and finds none; what is there still has its sum. */
	ck_assert_ptr_null(acpi_table(&acpi, "DMAR", &acpi_end));
	ck_assert_ptr_nonnull(acpi_table(&acpi, "XMAR", &acpi_end));
	iommu_tell_faults();
	ck_assert_uint_eq(iommu_faults(), 0);
}
END_TEST

START_TEST(follows)
{
	add_unit(0, 1);
	add_unit(1, 0);
	begin("DMAR");
	for (unsigned int round = 0; round < 600; round++) {
		ck_assert_int_eq(own_donate(0x1a00000, 9, 3), 0);
		model[0].stale = model[1].stale = true;
		ck_assert(iommu_flush());
		ck_assert(!model[0].stale && !model[1].stale);
		ck_assert(!reaches(&model[0], 0x123, 0x1a01000) && !reaches(&model[1], 0x123, 0x1bff000));
		ck_assert_int_eq(own_reclaim(0x1a00000, 9, 3), 0);
		ck_assert(reaches(&model[0], 0x123, 0x1a01000));
	}
	model[1].dead = true;
	ck_assert(!iommu_flush());
	ck_assert_ptr_nonnull(strstr(said, "the IOMMU at 1002000 does not answer any more"));
	model[1].dead = false;
	/* It stays so: what it has missed is not known. */
	ck_assert(!iommu_flush());
}
END_TEST

START_TEST(tells)
{
	add_unit(0, 1);
	begin("DMAR");
	ck_assert_int_eq(own_donate(0x1a00000, 0, 7), 0);
	for (unsigned int i = 0; i < 100; i++) {
		model[0].record[0] = i % 2 ? 0x1a00000 : TABLE;
		model[0].record[1] = 1ull << 63 | (i % 2 ? 1ull << 62 : 0) | 0x0321;
		iommu_tell_faults();
		ck_assert_uint_eq(model[0].record[1] >> 63, 0);
	}
	ck_assert_uint_eq(iommu_faults(), 100);
	ck_assert_ptr_nonnull(strstr(said, "device 03:04.1 was refused a read at 1a00000, which is of VM 7\n"));
	ck_assert_ptr_nonnull(strstr(said, "device 03:04.1 was refused a write at 100000, which is Keel's\n"));
	ck_assert_ptr_nonnull(strstr(said, "more of them are only counted\n"));
	ck_assert_uint_lt(strlen(said), 4000);
}
END_TEST

/* Each thing that a unit may not do: it is told, and the machine goes on without protection. */
START_TEST(fails)
{
	static const struct {
		uint32_t refuses;
		bool dead, left_on;
		const char *words;
	} cases[] = {
		{ 1u << 26, false, false, "does not take a queue" },
		{ 1u << 26, false, true, "does not leave the firmware's queue" },
		{ 1u << 30, false, false, "does not take a table" }, { 0, true, false, "does not carry out" },
		{ 1u << 31, false, false, "does not begin to translate" }, { 1u << 25, false, true, "remapping of interrupts" },
		{ 1, false, true, "protected memory" },
	};

	add_unit(1, 0);
	add_unit(0, 1);
	model[0].cap |= 3ull << 5;
	model[0].refuses = cases[_i].refuses;
	model[0].dead = cases[_i].dead;
	if (cases[_i].left_on) {
		model[0].status = 1u << 26 | 1u << 25;
		model[0].protected = 1u << 31 | 1;
	}
	begin("DMAR");
	ck_assert_msg(strstr(said, cases[_i].words), "%s", said);
	ck_assert_ptr_nonnull(strstr(said, "the IOMMU at 1000000 "));
	ck_assert_ptr_nonnull(strstr(said, "no DMA protection"));
	ck_assert(!iommu_works());
	ck_assert(iommu_flush());
	/* Those that had begun are off again. */
	ck_assert(!(model[0].status >> 31) || model[0].refuses >> 31);
	ck_assert(!(model[1].status >> 31));
}
END_TEST

/* Memory that a unit of 39 bits does not reach. */
START_TEST(too_much)
{
	add_unit(0, 1);
	model[0].cap = (model[0].cap & ~(0x1full << 8)) | 2ull << 8;
	open_acpi("DMAR");
	ck_assert_ptr_null(iommu_find(&acpi, (1ull << 39) + 4096));
	ck_assert_ptr_nonnull(strstr(said, "does not reach all of its memory"));
	said[0] = 0;
	ck_assert_ptr_nonnull(iommu_find(&acpi, 1ull << 39));
}
END_TEST

/* Machines that are not protected, each for a reason that is told. */
START_TEST(unfit)
{
	static const char *const words[] = {
		"names no IOMMU;", "names none", "too old", "too old", "too old", "too old", "does not answer", "4 GiB",
		"too many IOMMUs", "too many regions", "end is before", "4 GiB", "names no IOMMU;",
	};

	if (_i > 1)
		add_unit(0, 1);
	switch (_i) {
	case 2:
		model[0].ecap = 0;
		break;
	case 3:
		model[0].ecap &= ~2ull;
		break;
	case 4:
		model[0].cap &= ~(6ull << 8);
		break;
	case 5:
		model[0].cap &= ~(1ull << 34);
		break;
	case 6:
		model[0].cap = UINT64_MAX;
		break;
	case 7:
		put(acpi_end - 24 + 12, 1, 4);
		break;
	case 8:
		for (unsigned int i = 0; i < IOMMU_UNITS; i++)
			add_unit(1, 0);
		break;
	case 9:
		for (unsigned int i = 0; i <= IOMMU_REGIONS; i++) {
			put(acpi_end + 16, 0xfff, 8);
			add_structure(1, 24);
		}
		break;
	case 10:
		put(acpi_end + 8, 0x5000, 8);
		put(acpi_end + 16, 0x3000, 8);
		add_structure(1, 24);
		break;
	case 11:
		put(acpi_end - 24 + 8, REGISTERS(0) + 8, 8);
		break;
	}
	open_acpi("DMAR");
	if (_i == 0 || _i == 12)
		put(TABLE_ACPI + 10, 0x77, 1);
	ck_assert_ptr_null(iommu_find(&acpi, LIMIT));
	ck_assert_msg(strstr(said, words[_i]), "%s", said);
	ck_assert_ptr_nonnull(strstr(said, "no DMA protection"));
	ck_assert_uint_eq(iommu_pages(), 0);
	iommu_start(&acpi, MEMORY);
	ck_assert(iommu_flush() && !iommu_works());
}
END_TEST

START_TEST(regions)
{
	const struct iommu_machine *machine;

	add_unit(0, 1);
	put(acpi_end + 8, 0x5010, 8);
	put(acpi_end + 16, 0x8fff, 8);
	add_structure(1, 40);
	model[0].cap &= ~(1ull << 35);
	open_acpi("DMAR");
	machine = iommu_find(&acpi, LIMIT);
	ck_assert_ptr_nonnull(machine);
	ck_assert_uint_eq(machine->regions, 1);
	ck_assert_uint_eq(machine->region[0].start, 0x5000);
	ck_assert_uint_eq(machine->region[0].end, 0x9000);
	ck_assert_uint_eq(machine->largest, PT_ORDER_2M);
	ck_assert(machine->format.coherent);
}
END_TEST

/* Damage of all kinds, at the end of memory, where the sanitizer watches. Registers elsewhere read as zero. */
START_TEST(damage)
{
	uint32_t length, at;

	srandom((unsigned int)_i);
	add_unit(0, 1);
	put(acpi_end + 8, 0x5000, 8);
	put(acpi_end + 16, 0x8fff, 8);
	add_structure(1, 24);
	add_unit(1, 0);
	for (unsigned int i = 0; i < 4; i++) {
		at = TABLE_ACPI + STRUCTURES + (uint32_t)random() % (acpi_end - TABLE_ACPI - STRUCTURES);
		/* Where registers are is probed: that stays. */
		if ((at - TABLE_ACPI - STRUCTURES) % 24 < 8)
			put(at, (uint64_t)random(), 1);
	}
	if (_i % 3 == 0)
		acpi_end -= (uint32_t)random() % 24;
	length = acpi_end - TABLE_ACPI;
	memmove(memory_test_arena + LIMIT - length, memory_test_arena + TABLE_ACPI, length);
	open_acpi("DMAR");
	put(XSDT + 36, LIMIT - length, 8);
	close_table(XSDT, "XSDT", 44);
	close_table(LIMIT - length, "DMAR", length);
	if (!iommu_find(&acpi, LIMIT))
		ck_assert_ptr_nonnull(strstr(said, "no DMA protection"));
}
END_TEST

SUITE("vtd", tests)
{
	tcase_add_checked_fixture(tests, setup, rig_teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, starts, 0, 6);
	tcase_add_test(tests, follows);
	tcase_add_test(tests, tells);
	tcase_add_loop_test(tests, fails, 0, 7);
	tcase_add_loop_test(tests, unfit, 0, 13);
	tcase_add_test(tests, regions);
	tcase_add_test(tests, too_much);
	tcase_add_loop_test(tests, damage, 0, 200);
}
