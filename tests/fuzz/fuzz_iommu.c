// SPDX-License-Identifier: GPL-2.0
/* Fuzz target of the readers of DMAR and IVRS: any bytes behind the header, registers that read as anything. */
#include "cpu.h"
#include "fuzz.h"
#include "iommu.h"
#include "memory.h"

#define HEADER		48u
#define TABLE_MOST	4096u
#define INPUT_BYTES	640u
#define PAGES_MOST	1024u

uint8_t *memory_test_arena;

static uint64_t registers;		/* what they read as follows from it */

/* Nothing but registers below 4 GiB, which the direct map has. */
static uint64_t reg(const void *address)
{
	uint64_t pa = virt_to_phys(address);

	require(pa < SIZE_4G && pa % 4 == 0, "what is no register is read");
	return registers ^ (registers << 7) * pa;
}

uint32_t mmio_read32(const void *address)
{
	return (uint32_t)reg(address);
}

uint64_t mmio_read64(const void *address)
{
	return reg(address);
}

void mmio_write32(void *address, uint32_t value)
{
	(void)address;
	(void)value;
	require(false, "a register is written");
}

void mmio_write64(void *address, uint64_t value)
{
	mmio_write32(address, (uint32_t)value);
}

bool iommu_waits(uint64_t *since)
{
	(void)since;
	return false;
}

bool iommu_wait_flushed(const struct iommu_ops *ops, unsigned int unit)
{
	(void)ops;
	(void)unit;
	return false;
}

uint64_t own_io_root(unsigned int levels)
{
	return levels;
}

static void check(const struct iommu_machine *machine, const struct iommu_ops *ops)
{
	require(machine->units && machine->units <= IOMMU_UNITS && machine->regions <= IOMMU_REGIONS, "counts");
	require(machine->width == 39 || machine->width == IOMMU_WIDTH_MOST, "width");
	require(machine->largest == PT_ORDER_1G || machine->largest == PT_ORDER_2M, "largest leaf");
	for (unsigned int i = 0; i < machine->units; i++)
		require(machine->unit[i].base && machine->unit[i].base % PAGE_SIZE == 0 && machine->unit[i].bytes &&
			machine->unit[i].bytes % PAGE_SIZE == 0 && machine->unit[i].base + machine->unit[i].bytes <= SIZE_4G,
			"registers");
	for (unsigned int i = 0; i < machine->regions; i++)
		require(machine->region[i].start < machine->region[i].end && machine->region[i].start % PAGE_SIZE == 0 &&
			machine->region[i].end % PAGE_SIZE == 0, "a region");
	require(ops->pages(machine) <= PAGES_MOST, "memory");
}

/* The table is a piece of its own, at whose end the sanitizer watches. */
static void read_table(const struct iommu_ops *ops, const uint8_t *data, size_t size)
{
	struct iommu_machine machine = { .largest = PT_ORDER_1G };
	uint8_t *table = calloc(1, HEADER + size);

	require(table != NULL, "no memory");
	memcpy(table + HEADER, data, size);
	if (!ops->read(table, (uint32_t)(HEADER + size), &machine))
		check(&machine, ops);
	free(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < sizeof(registers) || size > TABLE_MOST)
		return 0;
	memcpy(&registers, data, sizeof(registers));
	data += sizeof(registers);
	size -= sizeof(registers);
	read_table(&vtd_ops, data, size);
	read_table(&amdvi_ops, data, size);
	return 0;
}

/* Structures that are all but right: kinds, lengths and places of registers that the readers know, between random bytes. */
static size_t make_input(uint8_t *input, uint64_t *state)
{
	static const uint8_t kinds[] = { 0, 1, 2, 0x10, 0x11, 0x20, 0x21, 0x22, 0x40 };
	size_t at = sizeof(registers), bytes;

	for (size_t i = 0; i < INPUT_BYTES; i++)
		input[i] = next(state) % 3 ? 0 : (uint8_t)(next(state) >> 24);
	/* Registers as most units have them. */
	if (next(state) % 2)
		memcpy(input, &(uint64_t){ 0x00c0000c20660482ull | next(state) % 2 << 35 }, sizeof(registers));
	while (at + 48 < INPUT_BYTES && next(state) % 16) {
		bytes = 16 + next(state) % 5 * 8;
		input[at] = kinds[next(state) % sizeof(kinds)];
		input[at + 1] = 0;
		input[at + 2] = (uint8_t)(next(state) % 32 ? bytes : next(state));
		input[at + 3] = 0;
		if (next(state) % 8)
			memcpy(&input[at + 8], &(uint64_t){ (next(state) % 0xfffff + 1) << 12 }, 8);
		if (next(state) % 4)
			memcpy(&input[at + 16], &(uint64_t){ next(state) >> (next(state) % 64) }, 8);
		at += bytes;
	}
	return at + next(state) % 8;
}

const struct fuzz_target fuzz_target = { 20000, INPUT_BYTES, make_input };
