/* SPDX-License-Identifier: GPL-2.0 */
/* The Linux loader with made-up kernels; the zero page is read by the offsets of zero-page.rst and boot.rst. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <keel/macros.h>

#include "bootmem.h"
#include "linux.h"
#include "memory.h"
#include "suite.h"

#define MIB		(UINT64_C(1) << 20)
#define RAM_END		(128 * MIB)
#define KERNEL		(32 * MIB)
#define KERNEL_SIZE	0x20000u
#define SETUP_SIZE	(5 * 512u)
#define INITRD		(40 * MIB)
#define INITRD_SIZE	0x12345u
#define PREF		(16 * MIB)
#define INIT_SIZE	(3 * MIB)

uint8_t *memory_test_arena;

static struct boot_info boot;
static struct boot_range hidden[LINUX_HIDDEN];
static struct linux_entry entry;

static void put(uint64_t pa, uint64_t value, unsigned bytes)
{
	memcpy(memory_test_arena + pa, &value, bytes);
}

static uint64_t get(uint64_t pa, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, memory_test_arena + pa, bytes);
	return value;
}

static void make_kernel(void)
{
	for (uint32_t i = 0; i < KERNEL_SIZE; i++)
		memory_test_arena[KERNEL + i] = (uint8_t)(i * 7 + i / 256);
	memset(memory_test_arena + KERNEL + 0x1f1, 0, 0x2a0 - 0x1f1);
	put(KERNEL + 0x1f1, 4, 1);
	put(KERNEL + 0x1fe, 0xaa55, 2);
	put(KERNEL + 0x201, 0x6a, 1);
	put(KERNEL + 0x202, 0x53726448, 4);
	put(KERNEL + 0x206, 0x20f, 2);
	put(KERNEL + 0x211, 0, 1);
	put(KERNEL + 0x22c, 0x7fffffff, 4);
	put(KERNEL + 0x230, 2 * MIB, 4);
	put(KERNEL + 0x234, 1, 1);
	put(KERNEL + 0x236, 0x3f, 2);
	put(KERNEL + 0x238, 2047, 4);
	put(KERNEL + 0x258, PREF, 8);
	put(KERNEL + 0x260, INIT_SIZE, 4);
	put(KERNEL + 0x264, 0x190, 4);
}

static void setup(void)
{
	memory_test_arena = mmap(NULL, RAM_END, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert(memory_test_arena != MAP_FAILED);
	memset(&boot, 0, sizeof(boot));
	boot.map[0] = (struct boot_range){ 0, 0x9f000, BOOT_RAM };
	boot.map[1] = (struct boot_range){ 0xf0000, MIB, BOOT_RESERVED };
	boot.map[2] = (struct boot_range){ MIB, RAM_END, BOOT_RAM };
	boot.map_count = 3;
	boot.module[0] = (struct boot_module){ KERNEL, KERNEL + KERNEL_SIZE, "root=/dev/sda1 quiet" };
	boot.module[1] = (struct boot_module){ INITRD, INITRD + INITRD_SIZE, "" };
	boot.module_count = 2;
	make_kernel();
	memset(memory_test_arena + INITRD, 0x3c, INITRD_SIZE);
	hidden[0] = (struct boot_range){ 2 * MIB, 4 * MIB, 0 };
	hidden[1] = (struct boot_range){ 120 * MIB, RAM_END, 0 };
}

/* What the loader and Keel have taken, and nothing of an earlier attempt. */
static const char *load(void)
{
	boot.taken_count = 0;
	bootmem_init(&boot);
	bootmem_take(&boot, 0x9000, 0xa000);
	for (unsigned i = 0; i < boot.module_count; i++)
		bootmem_take(&boot, boot.module[i].start, boot.module[i].end);
	for (unsigned i = 0; i < LINUX_HIDDEN; i++)
		bootmem_take(&boot, hidden[i].start, hidden[i].end);
	return linux_load(&boot, hidden, &entry);
}

static void teardown(void)
{
	munmap(memory_test_arena, RAM_END);
}

static bool clash(uint64_t start, uint64_t end, uint64_t other, uint64_t other_end)
{
	return start < other_end && end > other;
}

static void check_places(void)
{
	uint64_t places[3][2] = {
		{ entry.load, entry.load_end }, { entry.initrd, entry.initrd_end }, { entry.block, entry.block_end },
	};

	for (unsigned i = 0; i < 3; i++) {
		for (unsigned j = 0; j < i; j++)
			ck_assert(!clash(places[i][0], places[i][1], places[j][0], places[j][1]));
		for (unsigned j = 0; j < LINUX_HIDDEN; j++)
			ck_assert(!clash(places[i][0], places[i][1], hidden[j].start, hidden[j].end));
		ck_assert(!clash(places[i][0], places[i][1], 0x9000, 0xa000));
	}
}

START_TEST(plain)
{
	ck_assert_ptr_null(load());
	check_places();
	ck_assert_uint_eq(entry.load, PREF);
	ck_assert_uint_eq(entry.load_end, PREF + INIT_SIZE);
	ck_assert_int_eq(memcmp(memory_test_arena + PREF, memory_test_arena + KERNEL + SETUP_SIZE,
				KERNEL_SIZE - SETUP_SIZE), 0);
	ck_assert_uint_eq(entry.initrd, INITRD);

	ck_assert_uint_eq(get(entry.block + 0x202, 4), 0x53726448);
	ck_assert_uint_eq(get(entry.block + 0x210, 1), 0xff);
	ck_assert_uint_eq(get(entry.block + 0x211, 1) & 1, 1);
	ck_assert_uint_eq(get(entry.block + 0x214, 4), PREF);
	ck_assert_uint_eq(get(entry.block + 0x218, 4), INITRD);
	ck_assert_uint_eq(get(entry.block + 0x21c, 4), INITRD_SIZE);
	ck_assert_str_eq((char *)memory_test_arena + get(entry.block + 0x228, 4), "root=/dev/sda1 quiet");
	ck_assert_uint_eq(get(entry.block + 0x250, 8), 0);
	ck_assert_uint_eq(get(entry.block + 0x264, 4), 0x190);
	/* The header ends at 0x26c; nothing of the image behind it may be copied. */
	ck_assert_uint_eq(get(entry.block + 0x26c, 8), 0);
	ck_assert_uint_eq(get(entry.block + 0x1ef, 1), 0);
	ck_assert_uint_eq(get(entry.block + 0x070, 8), 0);
	ck_assert_uint_eq(get(entry.block + 0x1c0, 4), 0);
	/* VGA text, 80 by 25. */
	ck_assert_uint_eq(get(entry.block + 0x0f, 1), 1);
	ck_assert_uint_eq(get(entry.block + 0x07, 1), 80);
	ck_assert_uint_eq(get(entry.block + 0x0e, 1), 25);
}
END_TEST

/* What the table says of an address; several answers are a failure. */
static uint32_t e820_type(uint64_t address)
{
	unsigned count = (unsigned)get(entry.block + 0x1e8, 1);
	uint64_t more = get(entry.block + 0x250, 8);
	uint32_t found = 0;

	for (uint64_t at = entry.block + 0x2d0; count > 0; count--, at += 20) {
		if (address >= get(at, 8) && address - get(at, 8) < get(at + 8, 8)) {
			ck_assert_uint_eq(found, 0);
			found = (uint32_t)get(at + 16, 4);
		}
	}
	if (more == 0)
		return found;
	ck_assert_uint_eq(get(more, 8), 0);
	ck_assert_uint_eq(get(more + 8, 4), 1);
	ck_assert_uint_eq(get(more + 12, 4) % 20, 0);
	for (uint64_t at = more + 16; at < more + 16 + get(more + 12, 4); at += 20) {
		if (address >= get(at, 8) && address - get(at, 8) < get(at + 8, 8)) {
			ck_assert_uint_eq(found, 0);
			found = (uint32_t)get(at + 16, 4);
		}
	}
	return found;
}

START_TEST(e820_hides_keel)
{
	boot.rsdp_size = 36;
	memcpy(boot.rsdp, "RSD PTR ", 8);
	ck_assert_ptr_null(load());
	ck_assert_uint_eq(e820_type(0), BOOT_RAM);
	ck_assert_uint_eq(e820_type(0x9efff), BOOT_RAM);
	ck_assert_uint_eq(e820_type(0x9f000), 0);
	ck_assert_uint_eq(e820_type(0xf0000), BOOT_RESERVED);
	ck_assert_uint_eq(e820_type(2 * MIB - 1), BOOT_RAM);
	ck_assert_uint_eq(e820_type(2 * MIB), BOOT_RESERVED);
	ck_assert_uint_eq(e820_type(4 * MIB - 1), BOOT_RESERVED);
	ck_assert_uint_eq(e820_type(4 * MIB), BOOT_RAM);
	ck_assert_uint_eq(e820_type(120 * MIB - PAGE_SIZE * 2), BOOT_RAM);
	ck_assert_uint_eq(e820_type(120 * MIB), BOOT_RESERVED);
	ck_assert_uint_eq(e820_type(RAM_END - 1), BOOT_RESERVED);
	ck_assert_uint_eq(e820_type(RAM_END), 0);
	ck_assert_uint_eq(e820_type(get(entry.block + 0x070, 8)), BOOT_ACPI);
	ck_assert_int_eq(memcmp(memory_test_arena + get(entry.block + 0x070, 8), "RSD PTR ", 8), 0);
	ck_assert_uint_eq(e820_type(entry.block), BOOT_RAM);
}
END_TEST

START_TEST(e820_of_many_entries)
{
	boot.map_count = 2;
	for (unsigned i = 0; i < 254; i++) {
		boot.map[boot.map_count++] = (struct boot_range){
			i < 253 ? MIB + i * 0x2000 : 96 * MIB, i < 253 ? MIB + i * 0x2000 + 0x1000 : RAM_END, BOOT_RAM };
	}
	boot.map[boot.map_count++] = (struct boot_range){ 4 * MIB, 96 * MIB, BOOT_RAM };
	ck_assert_ptr_null(load());
	ck_assert_uint_eq(get(entry.block + 0x1e8, 1), 128);
	ck_assert(get(entry.block + 0x250, 8) != 0);
	for (unsigned i = 0; i < 253; i++) {
		uint64_t at = MIB + i * 0x2000;

		ck_assert_uint_eq(e820_type(at), at >= 2 * MIB ? BOOT_RESERVED : BOOT_RAM);
		ck_assert_uint_eq(e820_type(at + 0x1000), at + 0x1000 >= 2 * MIB && at + 0x1000 < 4 * MIB ? 2 : 0);
	}
	ck_assert_uint_eq(e820_type(100 * MIB), BOOT_RAM);
	ck_assert_uint_eq(e820_type(125 * MIB), BOOT_RESERVED);
}
END_TEST

static void efi_descriptor(unsigned index, uint32_t type, uint64_t start, uint64_t pages)
{
	uint64_t at = boot.efi.map + index * 48;

	put(at, type, 4);
	put(at + 8, start, 8);
	put(at + 24, pages, 8);
	put(at + 32, 0xf, 8);
	put(at + 40, 0x5a5a5a5a, 8);
}

static uint32_t efi_type_at(uint64_t address)
{
	uint64_t map = get(entry.block + 0x1d0, 4), size = get(entry.block + 0x1d4, 4);
	uint32_t found = 0xffff;

	for (uint64_t at = map; at < map + size; at += 48) {
		uint64_t first = get(at + 8, 8), pages = get(at + 24, 8);

		ck_assert_uint_gt(pages, 0);
		ck_assert_uint_eq(get(at + 32, 8), 0xf);
		ck_assert_uint_eq(get(at + 40, 8), 0x5a5a5a5a);
		if (address >= first && address - first < pages * PAGE_SIZE) {
			ck_assert_uint_eq(found, 0xffff);
			found = (uint32_t)get(at, 4);
		}
	}
	return found;
}

START_TEST(efi_hides_keel)
{
	boot.efi = (struct boot_efi){ UINT64_C(0x123456789), 0x9100, 5 * 48, 48, 1, false };
	boot.rsdp_size = 20;
	efi_descriptor(0, 7, 0, 0x9f);
	efi_descriptor(1, 3, MIB, 0x200);			/* boot services' code, 1 to 3 MiB */
	efi_descriptor(2, 7, 3 * MIB, 117 * 256 + 128);		/* reaches into Keel's second range */
	efi_descriptor(3, 6, 120 * MIB + 128 * PAGE_SIZE, 16);	/* runtime data stays */
	efi_descriptor(4, 7, 121 * MIB, 7 * 256);
	ck_assert_ptr_null(load());
	check_places();
	ck_assert_uint_eq(get(entry.block + 0x1c0, 4), 0x34364c45);
	ck_assert_uint_eq(get(entry.block + 0x1c4, 4), 0x23456789);
	ck_assert_uint_eq(get(entry.block + 0x1d8, 4), 1);
	ck_assert_uint_eq(get(entry.block + 0x1c8, 4), 48);
	ck_assert_uint_eq(get(entry.block + 0x1cc, 4), 1);
	ck_assert_uint_eq(get(entry.block + 0x1dc, 4), 0);

	ck_assert_uint_eq(efi_type_at(0), 7);
	ck_assert_uint_eq(efi_type_at(2 * MIB - 1), 3);
	ck_assert_uint_eq(efi_type_at(2 * MIB), 0);
	ck_assert_uint_eq(efi_type_at(3 * MIB - 1), 0);
	ck_assert_uint_eq(efi_type_at(3 * MIB), 0);
	ck_assert_uint_eq(efi_type_at(4 * MIB - 1), 0);
	ck_assert_uint_eq(efi_type_at(4 * MIB), 7);
	ck_assert_uint_eq(efi_type_at(120 * MIB), 0);
	ck_assert_uint_eq(efi_type_at(120 * MIB + 128 * PAGE_SIZE), 6);
	ck_assert_uint_eq(efi_type_at(RAM_END - 1), 0);
	ck_assert_uint_eq(efi_type_at(entry.block), 2);
	ck_assert_uint_eq(efi_type_at(get(entry.block + 0x1d0, 4)), 2);
	ck_assert_uint_eq(efi_type_at(entry.block - 1), 7);
	ck_assert_uint_eq(efi_type_at(get(entry.block + 0x070, 8)), 9);
	/* No screen was handed over: none is announced. */
	ck_assert_uint_eq(get(entry.block + 0x0f, 1), 0);
}
END_TEST

/* Where the firmware had its boot services, its tables stay; nothing of the kernel's goes there. */
START_TEST(efi_places)
{
	boot.efi = (struct boot_efi){ 0, 0x9100, 5 * 48, 48, 1, false };
	efi_descriptor(0, 4, MIB, 49 * 256);		/* boot services' data, the preferred address among it */
	efi_descriptor(1, 7, 50 * MIB, 10 * 256);
	efi_descriptor(2, 2, 60 * MIB, 30 * 256);	/* the loader's data */
	efi_descriptor(3, 7, 90 * MIB, 256);
	efi_descriptor(4, 3, 91 * MIB, 37 * 256);
	boot.module[1].start += 16;			/* the initrd is to be moved */
	boot.module[1].end += 16;
	ck_assert_ptr_null(load());
	check_places();
	ck_assert_uint_eq(entry.load, 56 * MIB);
	ck_assert_uint_ge(entry.initrd, 90 * MIB);
	ck_assert_uint_le(entry.initrd_end, 91 * MIB);
	ck_assert_uint_ge(entry.block, 90 * MIB);
	ck_assert_uint_le(entry.block_end, 91 * MIB);
}
END_TEST

START_TEST(framebuffer)
{
	boot.framebuffer = (struct boot_framebuffer){
		UINT64_C(0x4080000000), 4096, 1024, 768, 32, 1, 0, 16, 8, 8, 8, 0, 8, true };
	ck_assert_ptr_null(load());
	ck_assert_uint_eq(get(entry.block + 0x0f, 1), 0x23);
	ck_assert_uint_eq(get(entry.block + 0x1c, 4), 48);
	ck_assert_uint_eq(get(entry.block + 0x12, 2), 1024);
	ck_assert_uint_eq(get(entry.block + 0x14, 2), 768);
	ck_assert_uint_eq(get(entry.block + 0x16, 2), 32);
	ck_assert_uint_eq(get(entry.block + 0x18, 4), 0x80000000);
	ck_assert_uint_eq(get(entry.block + 0x24, 2), 4096);
	ck_assert_uint_eq(get(entry.block + 0x26, 4), 0x08081008);
	ck_assert_uint_eq(get(entry.block + 0x2a, 4), 0x18080008);
	ck_assert_uint_eq(get(entry.block + 0x36, 4), 2);
	ck_assert_uint_eq(get(entry.block + 0x3a, 4), 0x40);

	boot.efi = (struct boot_efi){ 0x1000, 0x9100, 48, 48, 1, false };
	efi_descriptor(0, 7, MIB, 127 * 256);
	ck_assert_ptr_null(load());
	ck_assert_uint_eq(get(entry.block + 0x0f, 1), 0x70);
	ck_assert_uint_eq(get(entry.block + 0x1c, 4), 4096 * 768);
}
END_TEST

START_TEST(places_in_use)
{
	/* Keel where the kernel wants to be, the initrd not on a page. */
	hidden[0] = (struct boot_range){ PREF + MIB, PREF + 2 * MIB, 0 };
	boot.module[1].start = 100 * MIB + 16;
	boot.module[1].end = 100 * MIB + 16 + INITRD_SIZE;
	memset(memory_test_arena + boot.module[1].start, 0x77, INITRD_SIZE);
	ck_assert_ptr_null(load());
	check_places();
	ck_assert_uint_ne(entry.load, PREF);
	ck_assert_uint_eq(entry.load % (2 * MIB), 0);
	ck_assert_int_eq(memcmp(memory_test_arena + entry.load, memory_test_arena + KERNEL + SETUP_SIZE,
				KERNEL_SIZE - SETUP_SIZE), 0);
	ck_assert_uint_eq(entry.initrd % PAGE_SIZE, 0);
	ck_assert_uint_eq(entry.initrd_end - entry.initrd, INITRD_SIZE);
	ck_assert_int_eq(memcmp(memory_test_arena + entry.initrd, memory_test_arena + boot.module[1].start,
				INITRD_SIZE), 0);

	/* An initrd above the kernel's limit comes down. */
	setup();
	put(KERNEL + 0x236, 1, 2);
	put(KERNEL + 0x22c, 39 * MIB - 1, 4);
	ck_assert_ptr_null(load());
	check_places();
	ck_assert_uint_le(entry.initrd_end, 39 * MIB);
	ck_assert_uint_eq(get(entry.initrd + INITRD_SIZE - 1, 1), 0x3c);

	boot.module_count = 1;
	ck_assert_ptr_null(load());
	ck_assert_uint_eq(entry.initrd_end, 0);
	ck_assert_uint_eq(get(entry.block + 0x21c, 4), 0);
}
END_TEST

START_TEST(refusals)
{
	static const struct { uint32_t offset; uint64_t value; unsigned bytes; const char *error; } bad[] = {
		{ 0x1fe, 0, 2, "protocol" },		/* boot flag */
		{ 0x202, 0, 4, "protocol" },		/* magic */
		{ 0x206, 0x20b, 2, "protocol" },
		{ 0x234, 0, 1, "relocatable" },
		{ 0x236, 0x3e, 2, "64-bit" },
		{ 0x230, 0, 4, "relocatable" },		/* alignment */
		{ 0x230, 3 * MIB, 4, "relocatable" },
		{ 0x1f1, 255, 1, "damaged" },		/* setup part as long as the file */
		{ 0x260, 0x1000, 4, "damaged" },	/* smaller than the image */
		{ 0x238, 5, 4, "command line" },	/* too long */
		{ 0x260, 512 * MIB, 4, "no room" },
		{ 0x260, UINT32_MAX, 4, "no room" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *error;

		make_kernel();
		put(KERNEL + bad[i].offset, bad[i].value, bad[i].bytes);
		error = load();
		ck_assert_ptr_nonnull(error);
		ck_assert_ptr_nonnull(strstr(error, bad[i].error));
	}
	make_kernel();
	boot.module[0].end = KERNEL + 0x200;
	ck_assert_ptr_nonnull(strstr(load(), "too short"));
	boot.module_count = 0;
	ck_assert_ptr_nonnull(strstr(load(), "no Linux kernel"));
}
END_TEST

SUITE("linux", tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, plain);
	tcase_add_test(tests, e820_hides_keel);
	tcase_add_test(tests, e820_of_many_entries);
	tcase_add_test(tests, efi_hides_keel);
	tcase_add_test(tests, efi_places);
	tcase_add_test(tests, framebuffer);
	tcase_add_test(tests, places_in_use);
	tcase_add_test(tests, refusals);
}
