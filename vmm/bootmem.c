/* SPDX-License-Identifier: GPL-2.0 */
/* Memory before the control domain has it: what of it may be written, and places in it. */
#include "bootmem.h"

#include <stddef.h>

#include "efi.h"
#include "memory.h"
#include "string.h"

#define LOW_MEMORY_END	(UINT64_C(1) << 20)
/* From there on Linux searches all memory below 1 MiB for what a firmware may have left. */
#define REAL_MODE_END	UINT64_C(0x80000)

/* UEFI 2.10, 4.3 and 4.6, of 64-bit firmware. */
#define SYSTEM_TABLE_SIGNATURE	UINT64_C(0x5453595320494249)	/* "IBI SYST" */
#define TABLES_MOST		1024u

struct efi_system_table {
	uint64_t signature;
	uint8_t unused8[96];
	uint64_t table_count;
	uint64_t tables;
};

struct efi_configuration_table {
	uint8_t guid[16];
	uint64_t table;
};

_Static_assert(offsetof(struct efi_system_table, table_count) == 104, "UEFI 2.10, 4.3");
_Static_assert(sizeof(struct efi_configuration_table) == 24, "UEFI 2.10, 4.6");

/* What the ranges that hold an address say of it, and the next address where that may change. */
struct place {
	uint64_t address;
	uint64_t end;
	bool ram;
	bool loader;
	bool other;
	bool listed;
};

static bool place_is_in(struct place *place, uint64_t start, uint64_t end)
{
	if (start > place->address && start < place->end)
		place->end = start;
	if (end > place->address && end < place->end)
		place->end = end;
	return start <= place->address && end > place->address;
}

/* A descriptor that makes no sense says of all from its start on that it is not to be used. */
static void look_at_descriptor(struct place *place, const struct efi_descriptor *descriptor)
{
	uint64_t start = descriptor->start, end = UINT64_MAX;
	bool sound = start % PAGE_SIZE == 0 && descriptor->pages <= (UINT64_MAX - start) / PAGE_SIZE;

	if (sound)
		end = start + descriptor->pages * PAGE_SIZE;
	if (!place_is_in(place, start, end))
		return;
	place->listed = true;
	if (sound && (descriptor->type == EFI_LOADER_CODE || descriptor->type == EFI_LOADER_DATA))
		place->loader = true;
	else if (!sound || descriptor->type != EFI_CONVENTIONAL)
		place->other = true;
}

/* BOOT_RAM, BOOT_LOADER, BOOT_RESERVED for memory to be left alone, 0: no memory. Of ranges that overlap, what allows least. */
static uint32_t type_at(const struct boot_info *boot, uint64_t address, uint64_t *end)
{
	struct place place = { .address = address, .end = UINT64_MAX };

	for (unsigned i = 0; i < boot->map_count; i++) {
		if (!place_is_in(&place, boot->map[i].start, boot->map[i].end))
			continue;
		if (boot->map[i].type == BOOT_RAM)
			place.ram = true;
		else
			place.other = true;
	}
	for (uint32_t at = 0; boot->efi.map != 0 && at < boot->efi.map_size; at += boot->efi.descriptor_size)
		look_at_descriptor(&place, phys_to_virt(boot->efi.map + at));
	*end = place.end;
	if (!place.ram)
		return 0;
	if (place.other || (boot->efi.map != 0 && !place.listed))
		return BOOT_RESERVED;
	return place.loader ? BOOT_LOADER : BOOT_RAM;
}

static void add(struct boot_info *boot, uint64_t start, uint64_t end, uint32_t type)
{
	struct boot_range *last = &boot->memory[boot->memory_count];

	if (boot->memory_count > 0 && last[-1].end == start && last[-1].type == type)
		last[-1].end = end;
	else if (boot->memory_count < BOOT_RANGES)
		boot->memory[boot->memory_count++] = (struct boot_range){ start, end, type };
}

/* Whether all of it can be read at this time. */
static bool is_in_reach(uint64_t address, uint64_t bytes)
{
	return address != 0 && address < SIZE_4G && bytes <= SIZE_4G - address;
}

/* Something in [start, end) is known to the firmware under a name; true as well if that cannot be told. */
static bool holds_table(const struct boot_info *boot, uint64_t start, uint64_t end)
{
	struct efi_system_table system;
	struct efi_configuration_table entry;

	if (!is_in_reach(boot->efi.system_table, sizeof(system)))
		return true;
	memcpy(&system, phys_to_virt(boot->efi.system_table), sizeof(system));
	if (system.signature != SYSTEM_TABLE_SIGNATURE || system.table_count > TABLES_MOST ||
	    !is_in_reach(system.tables, TABLES_MOST * sizeof(entry)))
		return true;
	for (uint64_t i = 0; i < system.table_count; i++) {
		memcpy(&entry, phys_to_virt(system.tables + i * sizeof(entry)), sizeof(entry));
		if (entry.table >= start && entry.table < end)
			return true;
	}
	return false;
}

/* Whole pages, and of the loader's memory only what nobody needs any more. */
static bool trim(const struct boot_info *boot, struct boot_range *range)
{
	uint64_t start = round_up(range->start, PAGE_SIZE);

	if (start < range->start)	/* no page is behind it */
		return false;
	range->start = start;
	range->end &= ~(PAGE_SIZE - 1);
	return range->start < range->end && (range->type == BOOT_RAM || !holds_table(boot, range->start, range->end));
}

void bootmem_init(struct boot_info *boot)
{
	unsigned kept = 0;
	uint64_t end;

	boot->memory_count = 0;
	boot->memory_kept = 0;
	for (uint64_t at = LOW_MEMORY_END; at != UINT64_MAX; at = end) {
		uint32_t type = type_at(boot, at, &end);

		if (type == BOOT_RESERVED)
			boot->memory_kept += end - at;
		else if (type != 0)
			add(boot, at, end, type);
	}
	for (unsigned i = 0; i < boot->memory_count; i++) {
		if (trim(boot, &boot->memory[i]))
			boot->memory[kept++] = boot->memory[i];
	}
	boot->memory_count = kept;
}

void bootmem_take(struct boot_info *boot, uint64_t start, uint64_t end)
{
	boot->taken[boot->taken_count++] = (struct boot_range){ .start = start, .end = end };
}

/* What is taken of [start, end), or NULL. */
static const struct boot_range *obstacle(const struct boot_info *boot, uint64_t start, uint64_t end)
{
	for (unsigned i = 0; i < boot->taken_count; i++) {
		if (boot_range_overlaps(&boot->taken[i], start, end))
			return &boot->taken[i];
	}
	return NULL;
}

bool bootmem_is_free(const struct boot_info *boot, uint64_t start, uint64_t end)
{
	if (end <= start || obstacle(boot, start, end) != NULL)
		return false;
	for (unsigned i = 0; i < boot->memory_count; i++) {
		const struct boot_range *range = &boot->memory[i];

		if (range->type == BOOT_RAM && start >= range->start && end <= range->end)
			return true;
	}
	return false;
}

/* The highest place in one range, stepping below whatever is in the way; 0: none. */
static uint64_t choose_in(const struct boot_info *boot, const struct boot_range *range, uint64_t bytes, uint64_t align,
			  uint64_t below)
{
	uint64_t top = range->end < below ? range->end : below;

	while (top >= bytes) {
		uint64_t start = (top - bytes) & ~(align - 1);
		const struct boot_range *other = obstacle(boot, start, start + bytes);

		if (start < range->start)
			return 0;
		if (other == NULL)
			return start;
		top = other->start;
	}
	return 0;
}

uint64_t bootmem_choose(const struct boot_info *boot, uint64_t bytes, uint64_t align, uint64_t below)
{
	uint64_t best = 0;

	if (bytes == 0)
		return 0;
	if (below > SIZE_4G) {
		best = bootmem_choose(boot, bytes, align, SIZE_4G);
		if (best != 0)
			return best;
	}
	for (unsigned i = 0; i < boot->memory_count; i++) {
		uint64_t place;

		if (boot->memory[i].type != BOOT_RAM)
			continue;
		place = choose_in(boot, &boot->memory[i], bytes, align, below);
		if (place > best)
			best = place;
	}
	return best;
}

uint64_t bootmem_low_page(const struct boot_info *boot)
{
	uint64_t at, end;
	uint32_t type;

	for (at = REAL_MODE_END - PAGE_SIZE; at != 0; at -= PAGE_SIZE) {
		type = type_at(boot, at, &end);
		/* UEFI's GRUB has taken all of it, and has no use for it any more. */
		if ((type == BOOT_RAM || type == BOOT_LOADER) && end >= at + PAGE_SIZE &&
		    obstacle(boot, at, at + PAGE_SIZE) == NULL)
			return at;
	}
	return 0;
}

/* What is left of [at, end) below and above what is taken of it; empty: nothing. */
static struct boot_range step_over(const struct boot_info *boot, uint64_t at, uint64_t end)
{
	const struct boot_range *other;
	bool moved = true;

	while (moved && at < end) {
		moved = false;
		for (unsigned i = 0; i < boot->taken_count; i++) {
			other = &boot->taken[i];
			if (other->start <= at && other->end > at) {
				at = other->end;
				moved = true;
			}
		}
	}
	for (unsigned i = 0; i < boot->taken_count; i++) {
		other = &boot->taken[i];
		if (other->start > at && other->start < end)
			end = other->start;
	}
	return (struct boot_range){ .start = at, .end = end };
}

bool bootmem_next(const struct boot_info *boot, uint64_t at, struct boot_range *next)
{
	for (unsigned i = 0; i < boot->memory_count; i++) {
		const struct boot_range *range = &boot->memory[i];

		*next = step_over(boot, at > range->start ? at : range->start, range->end);
		if (next->start < next->end) {
			next->type = range->type;
			return true;
		}
	}
	return false;
}
