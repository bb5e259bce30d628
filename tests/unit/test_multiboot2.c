/* SPDX-License-Identifier: GPL-2.0 */
/* The multiboot2 parser with well-formed and hostile information. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "error.h"
#include "memory.h"
#include "multiboot2.h"
#include "suite.h"

#define MIB	(UINT64_C(1) << 20)
#define GIB	(UINT64_C(1) << 30)
#define INFO	UINT64_C(0x1000)

uint8_t *memory_test_arena;

static uint8_t info[4096];
static uint32_t used;
static struct boot_info boot;

static void begin(void)
{
	memset(info, 0, sizeof(info));
	used = 8;
}

static void tag(uint32_t type, const void *body, uint32_t size)
{
	uint32_t header[2] = { type, size + 8 };

	memcpy(info + used, header, 8);
	memcpy(info + used + 8, body, size);
	used += (size + 8 + 7) & ~7u;
}

static void add_map(void)
{
	const struct {
		uint32_t entry_size, version;
		struct { uint64_t base, length; uint32_t type, zero; } entry[5];
	} map = { 24, 0, { { 0, 0x9fc00, 1, 0 }, { 0x9fc00, 0x400, 2, 0 }, { MIB, 2 * GIB - MIB, 1, 0 },
			   { 4 * GIB, 2 * GIB, 1, 0 }, { 7 * GIB, 0, 1, 0 } } };

	tag(6, &map, sizeof(map));
}

static void end(void)
{
	uint32_t size;

	tag(0, info, 0);
	size = used;
	memcpy(info, &size, 4);
}

/* The arena ends exactly where the information does, so that ASan sees a byte read too many. */
static int parse(uint32_t bytes)
{
	int error;

	memory_test_arena = malloc(INFO + bytes);
	ck_assert_ptr_nonnull(memory_test_arena);
	memset(memory_test_arena, 0xa5, INFO);
	memcpy(memory_test_arena + INFO, info, bytes);
	error = multiboot2_parse(INFO, &boot);
	free(memory_test_arena);
	return error;
}

static const struct { uint64_t address; uint32_t pitch, width, height; uint8_t rest[4], color[6], pad[2]; }
	framebuffer = { 0x80000000, 4096, 1024, 768, { 32, 1, 0, 0 }, { 16, 8, 8, 8, 0, 8 }, { 0, 0 } };

static void full(void)
{
	static const struct { uint32_t start, end; char string[13]; } module = {
		0x200000, 0x300000, "root=/dev/sda" };
	static const uint64_t table = 0x7fe00000;
	uint32_t efi[2 + 24] = { 48, 1 };
	uint8_t rsdp[36] = "RSD PTR ", module_bytes[8 + 14] = { 0 };

	begin();
	tag(1, "console=com1", 13);
	memcpy(module_bytes, &module, 8 + sizeof(module.string));
	tag(3, module_bytes, sizeof(module_bytes));
	add_map();
	tag(8, &framebuffer, 30);
	tag(12, &table, 8);
	rsdp[15] = 2;
	tag(15, rsdp, 36);
	rsdp[15] = 0;
	tag(14, rsdp, 20);
	tag(17, efi, sizeof(efi));
	tag(21, &table, 4);
	end();
}

START_TEST(well_formed)
{
	full();
	ck_assert_int_eq(parse(used), 0);
	ck_assert_ptr_nonnull(boot.command_line);
	ck_assert_uint_eq(boot.taken_count, 2);
	ck_assert_uint_eq(boot.taken[0].start, INFO);
	ck_assert_uint_eq(boot.taken[0].end, INFO + used);
	ck_assert_uint_eq(boot.taken[1].start, 0x200000);
	ck_assert_uint_eq(boot.taken[1].end, 0x300000);
	ck_assert_uint_eq(boot.module_count, 1);
	ck_assert_uint_eq(boot.module[0].start, 0x200000);
	ck_assert_uint_eq(boot.module[0].end, 0x300000);
	ck_assert_uint_eq(boot.map_count, 4);
	ck_assert_uint_eq(boot.map[2].end, 2 * GIB);
	ck_assert_uint_eq(boot.map[1].type, BOOT_RESERVED);
	ck_assert(boot.framebuffer.present);
	ck_assert_uint_eq(boot.framebuffer.width, 1024);
	ck_assert_uint_eq(boot.framebuffer.bits, 32);
	ck_assert_uint_eq(boot.framebuffer.red_position, 16);
	ck_assert_uint_eq(boot.framebuffer.blue_size, 8);
	ck_assert_uint_eq(boot.efi.system_table, 0x7fe00000);
	ck_assert_uint_eq(boot.efi.descriptor_size, 48);
	ck_assert_uint_eq(boot.efi.map_size, 96);
	ck_assert(!boot.efi.services_running);
	ck_assert_uint_eq(boot.rsdp_size, 36);
	ck_assert_uint_eq(boot.rsdp[15], 2);
}
END_TEST

/* Cut off anywhere, whatever the total size says of the rest. */
START_TEST(truncated)
{
	full();
	for (uint32_t size = 8; size < used; size++) {
		memcpy(info, &size, 4);
		parse(size);
		ck_assert(boot.module_count <= 1);
	}
	for (uint32_t size = 0; size < 8; size++) {
		memcpy(info, &size, 4);
		ck_assert_int_eq(parse(8), -EINVAL);
	}
	memset(info, 0xff, 4);
	ck_assert_int_eq(parse(8), -EINVAL);
}
END_TEST

/* Each 32-bit word in turn replaced by values that lengths are broken with. */
START_TEST(hostile_words)
{
	static const uint32_t values[] = { 0, 1, 7, 8, 9, 23, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff };

	full();
	for (uint32_t at = 8; at < used; at += 4) {
		for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
			full();
			memcpy(info + at, &values[i], 4);
			parse(used);
			ck_assert(boot.map_count <= BOOT_RANGES && boot.rsdp_size <= BOOT_RSDP);
			for (unsigned m = 0; m < boot.module_count; m++)
				ck_assert(boot.module[m].start <= boot.module[m].end);
			if (boot.efi.map != 0)
				ck_assert(boot.efi.map + boot.efi.map_size <= INFO + used);
		}
	}
}
END_TEST

START_TEST(options)
{
	static const struct { const char *line; bool there; } lines[] = {
		{ NULL, false }, { "", false }, { "noclear", true }, { "keel noclear", true }, { "keel  noclear quiet", true },
		{ "noclea", false }, { "noclears", false }, { "anoclear", false },
		{ " noclear", true }, { "keel no clear ", false },
	};

	memset(&boot, 0, sizeof(boot));
	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
		boot.command_line = lines[i].line;
		ck_assert_int_eq(multiboot2_option(&boot, "noclear"), lines[i].there);
	}
}
END_TEST

START_TEST(strings_that_do_not_end)
{
	begin();
	tag(1, "noclear", 7);
	tag(3, "\0\0\0\0\0\0\0\0xyzw", 12);
	add_map();
	end();
	ck_assert_int_eq(parse(used), 0);
	ck_assert_uint_eq(boot.module_count, 0);
	ck_assert_ptr_null(boot.command_line);
}
END_TEST

START_TEST(too_many)
{
	static struct { uint32_t start, end; char string[8]; } module = { 0x1000, 0x2000, "m" };

	begin();
	for (unsigned i = 0; i < BOOT_MODULES + 3; i++)
		tag(3, &module, sizeof(module));
	add_map();
	end();
	ck_assert_int_eq(parse(used), 0);
	ck_assert_uint_eq(boot.module_count, BOOT_MODULES);
	begin();
	end();
	ck_assert_int_eq(parse(used), -EINVAL);
}
END_TEST

START_TEST(memory_that_cannot_be)
{
	static const struct {
		uint32_t entry_size, version;
		struct { uint64_t base, length; uint32_t type, zero; } entry[6];
	} map = { 24, 0, { { UINT64_MAX - 0xff, 0x24, BOOT_RAM, 0 }, { UINT64_MAX - 0xff, 0x200, BOOT_RAM, 0 },
			   { UINT64_C(1) << 51, UINT64_C(1) << 51, BOOT_RESERVED, 0 }, { 0, 2 * GIB, BOOT_RAM, 0 },
			   { UINT64_C(1) << 51, (UINT64_C(1) << 51) + 1, BOOT_RAM, 0 },
			   { UINT64_C(1) << 52, 4096, BOOT_RAM, 0 } } };

	begin();
	tag(6, &map, sizeof(map));
	end();
	ck_assert_int_eq(parse(used), 0);
	ck_assert_uint_eq(boot.map_count, 2);
	ck_assert_uint_eq(boot.map[0].end, UINT64_C(1) << 52);
	ck_assert_uint_eq(boot.map[1].end, 2 * GIB);
}
END_TEST

SUITE("multiboot2", tests)
{
	tcase_add_test(tests, well_formed);
	tcase_add_test(tests, truncated);
	tcase_add_test(tests, hostile_words);
	tcase_add_test(tests, options);
	tcase_add_test(tests, strings_that_do_not_end);
	tcase_add_test(tests, too_many);
	tcase_add_test(tests, memory_that_cannot_be);
}
