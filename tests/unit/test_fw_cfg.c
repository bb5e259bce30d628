/* SPDX-License-Identifier: GPL-2.0 */
/* fw_cfg as its specification (QEMU, docs/specs/fw_cfg) tells firmware to use it. */
#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "chip/fw_cfg.h"
#include "roundtrip.h"
#include "suite.h"

#define MEMORY		0x40000u
#define DESCRIPTOR	0x100u
#define BUFFER		0x1000u

/* Control bits of a descriptor. */
#define ERROR	1u
#define READ	2u
#define SKIP	4u
#define SELECT	8u
#define WRITE	16u

static struct gmem mem;
static struct fw_cfg *cfg;
static const uint8_t blob[] = "0123456789";
static uint8_t e820[40], tables[300];

static void setup(void)
{
	mem = (struct gmem){ .base = calloc(1, MEMORY), .count = 1, .range = { { 0, MEMORY, false } } };
	cfg = calloc(1, sizeof(*cfg));
	cfg->mem = &mem;
	for (unsigned int i = 0; i < sizeof(tables); i++)
		tables[i] = (uint8_t)(i ^ 0x5a);
	fw_cfg_clear(cfg);
	ck_assert(fw_cfg_add_value(cfg, FW_CFG_NB_CPUS, 4, 2));
	ck_assert(fw_cfg_add(cfg, 0x8003, blob, 10));
	ck_assert(fw_cfg_add_file(cfg, "etc/e820", e820, sizeof(e820)));
	ck_assert(fw_cfg_add_file(cfg, "bootorder", blob, 3));
	ck_assert(fw_cfg_add_file(cfg, "etc/acpi/tables", tables, sizeof(tables)));
	fw_cfg_init(cfg);
}

static void teardown(void)
{
	free(cfg);
	free(mem.base);
}

static void select_item(uint16_t key)
{
	fw_cfg_io.write(cfg, 0, 2, key);
}

static uint8_t read_data(void)
{
	return (uint8_t)fw_cfg_io.read(cfg, 1, 1);
}

static uint32_t read_dma(unsigned int offset)
{
	return (uint32_t)fw_cfg_dma_io.read(cfg, offset, 4);
}

static void write_dma(unsigned int offset, uint32_t value)
{
	fw_cfg_dma_io.write(cfg, offset, 4, value);
}

static void read_bytes(void *buf, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		((uint8_t *)buf)[i] = read_data();
}

/* Returns the control word that the device leaves. */
static uint32_t dma_at(uint32_t gpa, uint32_t control, uint32_t length, uint64_t address)
{
	uint32_t descriptor[4] = { htonl(control), htonl(length), htonl((uint32_t)(address >> 32)),
				   htonl((uint32_t)address) };

	memcpy(mem.base + gpa, descriptor, sizeof(descriptor));
	write_dma(4, htonl(gpa));
	memcpy(descriptor, mem.base + gpa, sizeof(descriptor));
	return ntohl(descriptor[0]);
}

static uint32_t dma(uint32_t control, uint32_t length, uint64_t address)
{
	return dma_at(DESCRIPTOR, control, length, address);
}

START_TEST(signature_and_id)
{
	uint8_t buf[6];

	select_item(FW_CFG_SIGNATURE);
	read_bytes(buf, 6);
	ck_assert_int_eq(memcmp(buf, "QEMU\0\0", 6), 0);
	select_item(FW_CFG_ID);
	read_bytes(buf, 5);
	ck_assert_int_eq(memcmp(buf, "\3\0\0\0\0", 5), 0);
	select_item(FW_CFG_NB_CPUS);
	read_bytes(buf, 3);
	ck_assert_int_eq(memcmp(buf, "\4\0\0", 3), 0);
	ck_assert_uint_eq(read_dma(0), htonl(0x51454d55));
	ck_assert_uint_eq(read_dma(4), htonl(0x20434647));
}
END_TEST

START_TEST(selecting_rewinds)
{
	uint8_t buf[12];

	select_item(0x8003);
	read_bytes(buf, 4);
	select_item(0x8003);
	read_bytes(buf, sizeof(buf));
	ck_assert_int_eq(memcmp(buf, "0123456789\0\0", sizeof(buf)), 0);
	select_item(0x1234);
	ck_assert_uint_eq(read_data(), 0);
}
END_TEST

START_TEST(directory)
{
	static const struct {
		const char *name;
		uint32_t size;
	} expected[] = { { "bootorder", 3 }, { "etc/acpi/tables", 300 }, { "etc/e820", 40 } };
	uint32_t count;
	struct fw_cfg_file file;

	select_item(FW_CFG_FILE_DIR);
	read_bytes(&count, sizeof(count));
	ck_assert_uint_eq(ntohl(count), 3);
	for (uint16_t i = 0; i < 3; i++) {
		read_bytes(&file, sizeof(file));
		ck_assert_str_eq(file.name, expected[i].name);
		ck_assert_uint_eq(ntohl(file.size), expected[i].size);
		ck_assert_uint_eq(ntohs(file.key), FW_CFG_FILE_FIRST + i);
	}
	ck_assert_uint_eq(read_data(), 0);
	select_item(FW_CFG_FILE_FIRST + 1);
	ck_assert_uint_eq(read_data(), tables[0]);
	ck_assert_uint_eq(read_data(), tables[1]);
	select_item(FW_CFG_FILE_FIRST + 3);
	ck_assert_uint_eq(read_data(), 0);
}
END_TEST

START_TEST(names_that_are_refused)
{
	char longest[FW_CFG_NAME_BYTES];

	memset(longest, 'x', sizeof(longest));
	ck_assert(!fw_cfg_add_file(cfg, longest, blob, 1));
	longest[FW_CFG_NAME_BYTES - 1] = 0;
	ck_assert(fw_cfg_add_file(cfg, longest, blob, 1));
	ck_assert(!fw_cfg_add_file(cfg, longest, blob, 1));
	ck_assert(!fw_cfg_add_file(cfg, "", blob, 1));
	ck_assert(!fw_cfg_add(cfg, FW_CFG_NB_CPUS, blob, 1));
	ck_assert(!fw_cfg_add(cfg, FW_CFG_FILE_DIR, blob, 1));
	ck_assert(!fw_cfg_add(cfg, FW_CFG_FILE_FIRST + 7, blob, 1));
	ck_assert_uint_eq(cfg->files, 4);
}
END_TEST

START_TEST(room_ends)
{
	char name[FW_CFG_NAME_BYTES] = { 0 };
	unsigned int added = 0;

	for (unsigned int i = 0; i < 2 * FW_CFG_ITEMS; i++) {
		name[0] = (char)('a' + i / 26 % 26);
		name[1] = (char)('a' + i % 26);
		added += fw_cfg_add_file(cfg, name, blob, 1);
	}
	ck_assert_uint_eq(added, FW_CFG_ITEMS - 3);
	for (unsigned int i = 1; i < cfg->files; i++)
		ck_assert_int_lt(strcmp(cfg->directory.file[i - 1].name, cfg->directory.file[i].name), 0);
}
END_TEST

START_TEST(dma_reads)
{
	ck_assert_uint_eq(dma(READ | SELECT | (FW_CFG_FILE_FIRST + 1) << 16, sizeof(tables), BUFFER), 0);
	ck_assert_int_eq(memcmp(mem.base + BUFFER, tables, sizeof(tables)), 0);
	ck_assert_uint_eq(mem.base[BUFFER + sizeof(tables)], 0);

	/* Select, skip, read on; zeros after the end. */
	memset(mem.base + BUFFER, 0xff, 16);
	ck_assert_uint_eq(dma(SELECT | 0x8003u << 16, 0, 0), 0);
	ck_assert_uint_eq(dma(SKIP, 4, 0), 0);
	ck_assert_uint_eq(dma(READ, 2, BUFFER), 0);
	ck_assert_uint_eq(dma(READ, 10, BUFFER + 2), 0);
	ck_assert_int_eq(memcmp(mem.base + BUFFER, "456789\0\0\0\0\0\0\xff", 13), 0);
	ck_assert_uint_eq(dma(SKIP, UINT32_MAX, 0), 0);
	ck_assert_uint_eq(dma(READ, 1, BUFFER), 0);
	ck_assert_uint_eq(mem.base[BUFFER], 0);
}
END_TEST

START_TEST(dma_refuses)
{
	uint32_t select = SELECT | 0x8003u << 16;

	ck_assert_uint_eq(dma(select | WRITE, 4, BUFFER), ERROR);
	ck_assert_uint_eq(dma(select | READ, 10, MEMORY - 9), ERROR);
	ck_assert_uint_eq(dma(select | READ, 12, MEMORY - 10), ERROR);
	ck_assert_uint_eq(dma(select | READ, 10, UINT64_MAX - 4), ERROR);
	ck_assert_uint_eq(dma(select | READ, UINT32_MAX, 0), ERROR);
	ck_assert_uint_eq(dma(0x1234u << 16 | SELECT | READ, UINT32_MAX, 0), ERROR);
	/* The item is still there. */
	ck_assert_uint_eq(dma(select | READ, 10, BUFFER), 0);
	ck_assert_int_eq(memcmp(mem.base + BUFFER, blob, 10), 0);
}
END_TEST

START_TEST(dma_descriptor_outside_memory)
{
	uint8_t *before = malloc(MEMORY);

	memset(mem.base, 0xff, MEMORY);
	memcpy(before, mem.base, MEMORY);
	write_dma(4, htonl(MEMORY - 15));
	write_dma(4, htonl(UINT32_MAX));
	/* The upper half counts, and is used up. */
	write_dma(0, htonl(1));
	write_dma(4, htonl(DESCRIPTOR));
	ck_assert_int_eq(memcmp(before, mem.base, MEMORY), 0);
	ck_assert_uint_eq(dma(SELECT | READ | 0x8003u << 16, 10, BUFFER), 0);
	ck_assert_int_eq(memcmp(mem.base + BUFFER, blob, 10), 0);
	free(before);
}
END_TEST

/* The descriptor lies in the buffer: what was decided on was copied first. */
START_TEST(dma_over_its_descriptor)
{
	ck_assert_uint_eq(dma_at(BUFFER, SELECT | READ | (FW_CFG_FILE_FIRST + 1) << 16, 300, BUFFER - 8), 0);
	ck_assert_int_eq(memcmp(mem.base + BUFFER + 4, tables + 12, 288), 0);
}
END_TEST

START_TEST(state)
{
	struct fw_cfg_state before;

	select_item(0x8003);
	read_data();
	write_dma(0, htonl(5));
	before = cfg->s;
	fw_cfg_init(cfg);
	roundtrip(&fw_cfg_state_table, 0, &before, &cfg->s);
	fw_cfg_restored(cfg);
	ck_assert_uint_eq(cfg->s.dma_high, 5);
	ck_assert_uint_eq(read_data(), '1');
	cfg->s.cursor = 5000;
	fw_cfg_restored(cfg);
	ck_assert_uint_eq(read_data(), 0);
}
END_TEST

SUITE("fw_cfg", tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, signature_and_id);
	tcase_add_test(tests, selecting_rewinds);
	tcase_add_test(tests, directory);
	tcase_add_test(tests, names_that_are_refused);
	tcase_add_test(tests, room_ends);
	tcase_add_test(tests, dma_reads);
	tcase_add_test(tests, dma_refuses);
	tcase_add_test(tests, dma_descriptor_outside_memory);
	tcase_add_test(tests, dma_over_its_descriptor);
	tcase_add_test(tests, state);
}
