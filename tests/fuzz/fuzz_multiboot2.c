// SPDX-License-Identifier: GPL-2.0
/* Fuzz target of what Keel reads of its loader's information, and of the memory that it finds by it. */
#include <keel/macros.h>

#include "bootmem.h"
#include "efi.h"
#include "fuzz.h"
#include "memory.h"
#include "multiboot2.h"

#define SYSTEM		0x100u		/* the firmware's table, and the names that it lists */
#define NAMES		0x200u
#define NAMES_MOST	8u
#define INFO		0x1000u
#define HEADER		8u
#define INPUT_BYTES	2048u
#define LOW_END		(UINT64_C(1) << 20)
#define CHOSEN		(UINT64_C(4) * PAGE_SIZE)
#define STEPS_MOST	(4 * BOOT_RANGES)

uint8_t *memory_test_arena;

static struct boot_info boot;

/* Of the input's first bytes; the rest is the loader's. */
struct shape {
	uint8_t names, with_efi;
	uint8_t pad[6];
	uint64_t name[NAMES_MOST];
};

/* The arena ends where the information does, so that the sanitizer watches there. */
static void make_arena(const struct shape *shape, const uint8_t *info, size_t size)
{
	const uint64_t signature = UINT64_C(0x5453595320494249), count = shape->names % (NAMES_MOST + 1), names = NAMES;
	uint32_t told;

	memory_test_arena = malloc(INFO + size);
	require(memory_test_arena != NULL, "no memory");
	memset(memory_test_arena, 0xa5, INFO);
	memcpy(memory_test_arena + SYSTEM, &signature, 8);
	memcpy(memory_test_arena + SYSTEM + 104, &count, 8);
	memcpy(memory_test_arena + SYSTEM + 112, &names, 8);
	for (unsigned int i = 0; i < NAMES_MOST; i++)
		memcpy(memory_test_arena + NAMES + 24 * i + 16, &shape->name[i], 8);
	memcpy(memory_test_arena + INFO, info, size);
	/* A loader's word for the whole size is taken. */
	memcpy(&told, info, sizeof(told));
	if (told > size)
		memcpy(memory_test_arena + INFO, &(uint32_t){ (uint32_t)size }, sizeof(told));
}

/* It is so many bytes behind the begin of its tag. */
static void check_string(const char *string, unsigned int offset, size_t size)
{
	const char *tag = string - offset, *end = (const char *)memory_test_arena + INFO + size;
	uint32_t bytes;

	require(tag > (const char *)memory_test_arena + INFO && string < end, "a string from elsewhere");
	memcpy(&bytes, tag + 4, sizeof(bytes));
	require(bytes > offset && memchr(string, 0, bytes - offset), "a string that its tag does not end");
}

static void check_information(size_t size)
{
	require(boot.map_count && boot.map_count <= BOOT_RANGES && boot.module_count <= BOOT_MODULES, "counts");
	require(boot.taken_count == boot.module_count + 1, "modules that are not taken");
	require(boot.rsdp_size <= sizeof(boot.rsdp), "a root pointer that is too long");
	for (unsigned int i = 0; i < boot.map_count; i++)
		require(boot.map[i].start < boot.map[i].end, "an empty range");
	for (unsigned int i = 0; i < boot.module_count; i++) {
		require(boot.module[i].start <= boot.module[i].end, "a module of less than nothing");
		check_string(boot.module[i].string, 16, size);
	}
	if (boot.command_line)
		check_string(boot.command_line, 8, size);
	multiboot2_option(&boot, "noiommu");
	if (boot.efi.map)
		require(boot.efi.map >= INFO && boot.efi.map + boot.efi.map_size <= INFO + size &&
			boot.efi.descriptor_size >= sizeof(struct efi_descriptor), "a map from elsewhere");
}

static bool is_ram(uint64_t address)
{
	for (unsigned int i = 0; i < boot.map_count; i++)
		if (boot.map[i].type == BOOT_RAM && address >= boot.map[i].start && address < boot.map[i].end)
			return true;
	return false;
}

static bool is_taken(uint64_t start, uint64_t end)
{
	for (unsigned int i = 0; i < boot.taken_count; i++)
		if (boot_range_overlaps(&boot.taken[i], start, end))
			return true;
	return false;
}

static void check_memory(void)
{
	uint64_t end = LOW_END;

	require(boot.memory_count <= BOOT_RANGES, "more memory than there is room for");
	for (unsigned int i = 0; i < boot.memory_count; i++) {
		const struct boot_range *range = &boot.memory[i];

		require(range->start >= end && range->start < range->end, "ranges out of order");
		require(range->start % PAGE_SIZE == 0 && range->end % PAGE_SIZE == 0, "a part of a page");
		require(range->type == BOOT_RAM || range->type == BOOT_LOADER, "what is no memory");
		require(is_ram(range->start) && is_ram(range->end - 1), "what the loader does not call memory");
		end = range->end;
	}
}

static void check_places(void)
{
	struct boot_range next = { 0 };
	uint64_t chosen = bootmem_choose(&boot, CHOSEN, PAGE_SIZE, UINT64_MAX), low = bootmem_low_page(&boot), at = 0;
	unsigned int steps = 0;

	require(!chosen || (chosen % PAGE_SIZE == 0 && bootmem_is_free(&boot, chosen, chosen + CHOSEN)),
		"a place that is in use");
	require(!low || (low < LOW_END && low % PAGE_SIZE == 0 && is_ram(low) && !is_taken(low, low + PAGE_SIZE)),
		"a low page that is in use");
	for (; bootmem_next(&boot, at, &next); at = next.end) {
		require(next.start >= at && next.start < next.end, "a stretch that is none");
		require(!is_taken(next.start, next.end), "what is taken would be cleared");
		require(++steps < STEPS_MOST, "stretches without an end");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct shape shape;

	if (size < sizeof(shape) + HEADER)
		return 0;
	memcpy(&shape, data, sizeof(shape));
	size -= sizeof(shape);
	make_arena(&shape, data + sizeof(shape), size);
	if (!multiboot2_parse(INFO, &boot)) {
		check_information(size);
		/* The address that the loader tells is read; here the table is where this says. */
		boot.efi.system_table = shape.with_efi & 1 ? SYSTEM : 0;
		bootmem_init(&boot);
		check_memory();
		check_places();
	}
	free(memory_test_arena);
	return 0;
}

static size_t put(uint8_t *input, size_t at, uint64_t value, unsigned int bytes)
{
	memcpy(input + at, &value, bytes);
	return at + bytes;
}

/* An address near others, mostly at a page. */
static uint64_t address(uint64_t *state)
{
	static const uint64_t near[] = { 0, 0x7f000, 0x100000, 0x101000, 0x200000, 0x40000000, 0x100000000, UINT64_MAX - 0xfff };
	uint64_t place = near[next(state) % ARRAY_SIZE(near)] + next(state) % 8 * PAGE_SIZE;

	return next(state) % 8 ? place : place + next(state) % 64;
}

static size_t make_entries(uint8_t *input, size_t at, uint32_t type, uint64_t *state)
{
	static const uint8_t efi_types[] = {
		EFI_CONVENTIONAL, EFI_CONVENTIONAL, EFI_LOADER_DATA, EFI_LOADER_CODE, EFI_SERVICES_DATA,
	};
	uint32_t step = type == 6 ? 24 : 48;

	at = put(input, at, step, 4);
	at = put(input, at, 0, 4);
	for (unsigned int i = next(state) % 12; i; i--) {
		uint64_t start = address(state);

		memset(input + at, 0, step);
		if (type == 6) {
			put(input, at, start, 8);
			put(input, at + 8, next(state) % 4 ? address(state) : next(state), 8);
			put(input, at + 16, next(state) % 4 ? BOOT_RAM : next(state) % 6, 4);
		} else {
			put(input, at, efi_types[next(state) % sizeof(efi_types)], 4);
			put(input, at + 8, start, 8);
			put(input, at + 24, next(state) % 16 ? next(state) % 2048 : next(state), 8);
		}
		at += step;
	}
	return at;
}

/* Tags as a loader would write them, of lengths that mostly are right. */
static size_t make_input(uint8_t *input, uint64_t *state)
{
	static const uint8_t types[] = { 1, 3, 6, 6, 6, 8, 12, 14, 15, 17, 17, 18, 99 };
	size_t at = sizeof(struct shape) + HEADER;

	for (size_t i = 0; i < INPUT_BYTES; i++)
		input[i] = next(state) % 2 ? 0 : (uint8_t)(next(state) >> 24);
	for (unsigned int i = 0; i < NAMES_MOST; i++)
		put(input, offsetof(struct shape, name) + 8 * i, address(state), 8);
	for (unsigned int tags = next(state) % 8; tags && at + 700 < INPUT_BYTES; tags--) {
		size_t tag = at;
		uint32_t type = types[next(state) % sizeof(types)];

		at = put(input, at, type, 8);
		at = type == 6 || type == 17 ? make_entries(input, at, type, state) : at + next(state) % 48;
		put(input, tag + 4, next(state) % 32 ? at - tag : next(state) % 64, 4);
		at = (at + 7) & ~(size_t)7;
	}
	at = put(input, at, (uint64_t)HEADER << 32, 8);
	put(input, sizeof(struct shape), next(state) % 32 ? at - sizeof(struct shape) : next(state), 4);
	return at;
}

const struct fuzz_target fuzz_target = { 6000, INPUT_BYTES, make_input };
