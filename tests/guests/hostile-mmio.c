// SPDX-License-Identifier: GPL-2.0
/* Reads and writes addresses without memory at random: the VGA hole, IO APIC, HPET, local APIC, firmware, far above memory. */
#include "apic.h"

#define ROUNDS			8000
#define DISTANT_DIRECTORY	0x18000u
#define DISTANT_TABLE		0x19000u
#define DISTANT			(1ull << 39)	/* linear address of 512 large pages, far apart: */
#define DISTANT_FIRST		0x140000000u	/* physical ones, from there in such steps, by 40 bits */
#define DISTANT_STEP_SHIFT	31
#define PHYSICAL_MASK		0xffffe00000u
#define FIRMWARE		0xffff0000u
#define NOBODY			0xd0000000u

static const struct {
	uint64_t first, mask;			/* of the offset */
} regions[] = {
	{ PC_VGA_HOLE, 0x1ffff },
	{ PC_IOAPIC, 0xfff },
	{ PC_IOAPIC, 0x1f },
	{ PC_HPET, 0xfff },
	{ PC_HPET, 0x3ff },
	{ PC_LAPIC, 0xfff },
	{ FIRMWARE, 0xffff },
	{ PC_PCI_MEMORY, 0x0fffffff },
	{ 0xfee01000, 0xfffff },
	{ DISTANT, 0x3fffffff },
};

static uint64_t state = 0x6b65656c6d6d696fu;

static void map_far(void)
{
	uint64_t *directory = (uint64_t *)DISTANT_DIRECTORY, *table = (uint64_t *)DISTANT_TABLE;
	uint64_t i;

	((uint64_t *)PML4)[1] = DISTANT_TABLE | PAGE_PRESENT | PAGE_WRITE;
	table[0] = DISTANT_DIRECTORY | PAGE_PRESENT | PAGE_WRITE;
	for (i = 0; i < 512; i++)
		directory[i] = (((i << DISTANT_STEP_SHIFT) + DISTANT_FIRST) & PHYSICAL_MASK) |
			PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE;
	write_cr3(read_cr3());
}

/* An access of several bytes may reach it from the register before. */
static bool is_icr(uint64_t first, uint64_t offset)
{
	return first == PC_LAPIC && ((offset & 0xff0) == APIC_REG_ICR_LOW || (offset & 0xff0) == APIC_REG_ICR_LOW - 16);
}

static uint64_t choose(void)
{
	uint64_t region, offset;

	do {
		region = random_next(&state) % ARRAY_SIZE(regions);
		offset = random_next(&state) & regions[region].mask;
	} while (is_icr(regions[region].first, offset));
	return regions[region].first + offset;
}

/* Delivery mode 0: INIT and NMI are other guests' business. */
static uint64_t choose_value(void)
{
	uint64_t low = random_next(&state) & (uint32_t)~ICR_MODE;

	return low | (random_next(&state) >> 32 & (uint32_t)~ICR_MODE) << 32;
}

static void touch(uint64_t address, uint64_t value)
{
	uint64_t from = address, to = address, count;

	switch (random_next(&state) & 15) {
	case 0:
		TRY("movb (%1), %%al", : "+a"(value) : "r"(address));
		break;
	case 1:
		TRY("movw (%1), %%ax", : "+a"(value) : "r"(address));
		break;
	case 2:
		TRY("movl (%1), %%eax", : "+a"(value) : "r"(address));
		break;
	case 3:
		TRY("movq (%1), %%rax", : "+a"(value) : "r"(address));
		break;
	case 4:
		TRY("movb %%al, (%1)", : "+a"(value) : "r"(address));
		break;
	case 5:
		TRY("movw %%ax, (%1)", : "+a"(value) : "r"(address));
		break;
	case 6:
		TRY("movl %%eax, (%1)", : "+a"(value) : "r"(address));
		break;
	case 7:
		TRY("movq %%rax, (%1)", : "+a"(value) : "r"(address));
		break;
	case 8:
		TRY("xchgl %%eax, (%1)", : "+a"(value) : "r"(address));
		break;
	case 9:
		TRY("lock orq %%rax, (%1)", : "+a"(value) : "r"(address));
		break;
	case 10:
		TRY("andl %1, (%0)", : : "r"(address), "i"(~ICR_MODE));
		break;
	case 11:
		to = SCRATCH;
		count = 9;
		TRY("rep movsb", : "+S"(from), "+D"(to), "+c"(count) : );
		break;
	case 12:
		count = 3;
		TRY("rep stosl", : "+D"(to), "+c"(count) : "a"(0));
		break;
	case 13:
		TRY("lodsq", : "+S"(from), "=a"(value) : );
		break;
	case 14:
		TRY("btsq $63, (%0)", : : "r"(address));
		break;
	default:
		TRY("cmpq %%rax, (%1)", : "+a"(value) : "r"(address));
	}
}

GUEST("hostile-mmio")
{
	uint64_t firmware = mmio_read64(FIRMWARE + 0x10), address;
	unsigned int round;

	map_far();
	for (round = 0; round < ROUNDS; round++) {
		address = choose();
		touch(address, choose_value());
		/* #GP were for addresses that are not canonical, which none is. */
		require(fault_vector != EXC_GP, "#GP for an access without memory");
		require(fault_vector == NO_FAULT, "a fault for an access without memory");
	}
	require(mmio_read64(FIRMWARE + 0x10) == firmware, "the firmware changed");
	require(mmio_read64(NOBODY) == ~0ull, "far above memory something answers");
}
