// SPDX-License-Identifier: GPL-2.0
/*
 * ACPI and SMBIOS tables as the firmware will see them: the loader script is executed as its specification says, on memory
 * at made-up addresses; then everything is reached from the RSDP and checked against the ACPI and SMBIOS specifications.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/firmware/acpi.h"
#include "host/firmware/items.h"
#include "host/firmware/smbios.h"
#include "suite.h"

#define FSEG_ADDRESS		0xf5a40ull
#define HIGH_ADDRESS		0xbffe1000ull
#define ROOM			65536

/* Offsets of the specification, written down once more and independently of the code under test. */
#define RSDP_RSDT		16
#define RSDP_LENGTH		20
#define RSDP_XSDT		24
#define TABLE_LENGTH		4
#define TABLE_REVISION		8
#define TABLE_ENTRIES		36
#define FADT_FACS		36
#define FADT_DSDT		40
#define FADT_SCI		46
#define FADT_SMI		48
#define FADT_PM1A_EVENT		56
#define FADT_PM1A_CONTROL	64
#define FADT_PM_TIMER		76
#define FADT_GPE0		80
#define FADT_C2_LATENCY		96
#define FADT_CENTURY		108
#define FADT_FLAGS		112
#define FADT_RESET		116
#define FADT_RESET_VALUE	128
#define FADT_X_DSDT		140
#define FADT_X_PM_TIMER		208

struct file {
	const char *name;
	uint64_t address;
	uint8_t bytes[ROOM];
	size_t size;
};

static struct file files[2];
static struct acpi_tables acpi;

static struct file *file_named(const char *name)
{
	ck_assert_ptr_nonnull(memchr(name, '\0', ACPI_LOADER_NAME));
	for (int i = 0; i < 2; i++)
		if (files[i].name && !strcmp(files[i].name, name))
			return &files[i];
	ck_abort_msg("the script uses %s before it allocates it", name);
	return NULL;
}

static uint64_t get(const void *from, unsigned int size)
{
	uint64_t value = 0;

	memcpy(&value, from, size);
	return value;
}

static uint8_t sum(const uint8_t *bytes, size_t count)
{
	uint8_t total = 0;

	while (count--)
		total = (uint8_t)(total + *bytes++);
	return total;
}

static void run_allocate(const struct acpi_loader_entry *e)
{
	bool rsdp = !strcmp(e->allocate.file, ACPI_FILE_RSDP);
	const struct blob *from = rsdp ? &acpi.rsdp : &acpi.tables;
	struct file *f = &files[rsdp];

	ck_assert_ptr_null(f->name);
	ck_assert_str_eq(e->allocate.file, rsdp ? ACPI_FILE_RSDP : ACPI_FILE_TABLES);
	ck_assert_int_eq(e->allocate.zone, rsdp ? ACPI_LOADER_FSEG : ACPI_LOADER_HIGH);
	ck_assert_uint_eq(e->allocate.align & (e->allocate.align - 1), 0);
	f->name = rsdp ? ACPI_FILE_RSDP : ACPI_FILE_TABLES;
	f->address = (rsdp ? FSEG_ADDRESS : HIGH_ADDRESS) & ~(uint64_t)(e->allocate.align - 1);
	f->size = from->bytes;
	memcpy(f->bytes, from->data, from->bytes);
}

static void run_pointer(const struct acpi_loader_entry *e)
{
	struct file *f = file_named(e->pointer.file), *target = file_named(e->pointer.target);
	uint64_t value;

	ck_assert(e->pointer.size == 4 || e->pointer.size == 8);
	ck_assert_uint_le(e->pointer.offset + e->pointer.size, f->size);
	value = get(f->bytes + e->pointer.offset, e->pointer.size);
	ck_assert_uint_lt(value, target->size);
	value += target->address;
	memcpy(f->bytes + e->pointer.offset, &value, e->pointer.size);
}

static void run_checksum(const struct acpi_loader_entry *e)
{
	struct file *f = file_named(e->checksum.file);

	ck_assert_uint_lt(e->checksum.offset, f->size);
	ck_assert_uint_le(e->checksum.start + e->checksum.length, f->size);
	f->bytes[e->checksum.offset] =
		(uint8_t)(f->bytes[e->checksum.offset] - sum(f->bytes + e->checksum.start, e->checksum.length));
}

static void load_spread(unsigned int vcpus, uint32_t packed)
{
	struct keel_topology topology = keel_topology(packed, vcpus);

	ck_assert_uint_ne(topology.sockets, 0);
	memset(files, 0, sizeof(files));
	acpi_build(&acpi, vcpus, &topology);
	ck_assert_uint_eq(sizeof(struct acpi_loader_entry), 128);
	ck_assert_uint_eq(acpi.loader.bytes % sizeof(struct acpi_loader_entry), 0);
	for (size_t at = 0; at < acpi.loader.bytes; at += sizeof(struct acpi_loader_entry)) {
		const struct acpi_loader_entry *e = (const void *)(acpi.loader.data + at);

		switch (e->command) {
		case ACPI_LOADER_ALLOCATE:
			run_allocate(e);
			break;
		case ACPI_LOADER_ADD_POINTER:
			run_pointer(e);
			break;
		case ACPI_LOADER_ADD_CHECKSUM:
			run_checksum(e);
			break;
		default:
			ck_abort_msg("command %u", e->command);
		}
	}
}

static void load(unsigned int vcpus)
{
	load_spread(vcpus, 0);
}

/* The bytes at a guest address. */
static uint8_t *at(uint64_t address, size_t bytes)
{
	struct file *f = &files[0];

	ck_assert_uint_ge(address, f->address);
	ck_assert_uint_le(address + bytes, f->address + f->size);
	return f->bytes + (address - f->address);
}

/* A whole table whose sum is right; NULL signature: any. */
static uint8_t *table_at(uint64_t address, const char *signature)
{
	uint8_t *t = at(address, TABLE_ENTRIES);
	size_t length = get(t + TABLE_LENGTH, 4);

	if (signature)
		ck_assert_msg(!memcmp(t, signature, 4), "%.4s where %s should be", (char *)t, signature);
	at(address, length);
	ck_assert_msg(sum(t, length) == 0, "checksum of %.4s", (char *)t);
	return t;
}

static uint8_t *root(void)
{
	uint8_t *rsdp = files[1].bytes;

	ck_assert_int_eq(memcmp(rsdp, "RSD PTR ", 8), 0);
	return table_at(get(rsdp + RSDP_XSDT, 8), "XSDT");
}

static uint8_t *find_table(const char *signature)
{
	uint8_t *xsdt = root();

	for (size_t i = TABLE_ENTRIES; i < get(xsdt + TABLE_LENGTH, 4); i += 8) {
		uint8_t *t = table_at(get(xsdt + i, 8), NULL);

		if (!memcmp(t, signature, 4))
			return t;
	}
	ck_abort_msg("no %s", signature);
	return NULL;
}

START_TEST(rsdp_and_roots)
{
	uint8_t *rsdp = files[1].bytes, *rsdt, *xsdt;

	load(2);
	ck_assert_uint_eq(files[1].size, 36);
	ck_assert_uint_eq(sum(rsdp, 20), 0);
	ck_assert_uint_eq(sum(rsdp, 36), 0);
	ck_assert_uint_eq(rsdp[15], 2);
	ck_assert_uint_eq(get(rsdp + RSDP_LENGTH, 4), 36);
	rsdt = table_at(get(rsdp + RSDP_RSDT, 4), "RSDT");
	xsdt = root();
	ck_assert_uint_eq((get(rsdt + TABLE_LENGTH, 4) - 36) / 4, (get(xsdt + TABLE_LENGTH, 4) - 36) / 8);
	for (size_t i = 0; i < (get(rsdt + TABLE_LENGTH, 4) - 36) / 4; i++) {
		table_at(get(rsdt + 36 + 4 * i, 4), NULL);
		ck_assert_uint_eq(get(rsdt + 36 + 4 * i, 4), get(xsdt + 36 + 8 * i, 8));
	}
	acpi_free(&acpi);
}
END_TEST

START_TEST(fadt)
{
	uint8_t *t, *facs;

	load(1);
	t = find_table("FACP");
	ck_assert_uint_eq(get(t + TABLE_LENGTH, 4), 244);
	ck_assert_uint_ge(t[TABLE_REVISION], 3);
	facs = at(get(t + FADT_FACS, 4), 64);
	ck_assert_int_eq(memcmp(facs, "FACS", 4), 0);
	ck_assert_uint_eq(get(t + FADT_FACS, 4) % 64, 0);
	table_at(get(t + FADT_DSDT, 4), "DSDT");
	ck_assert_uint_eq(get(t + FADT_X_DSDT, 8), get(t + FADT_DSDT, 4));
	ck_assert_uint_eq(get(t + FADT_SCI, 2), 9);
	ck_assert_uint_eq(get(t + FADT_SMI, 4), 0xb2);
	ck_assert_uint_eq(get(t + FADT_SMI + 4, 2), 0xf0f1);
	ck_assert_uint_eq(get(t + FADT_PM1A_EVENT, 4), 0x600);
	ck_assert_uint_eq(get(t + FADT_PM1A_CONTROL, 4), 0x604);
	ck_assert_uint_eq(get(t + FADT_PM_TIMER, 4), 0x608);
	ck_assert_uint_eq(get(t + FADT_GPE0, 4), 0x60c);
	ck_assert_uint_eq(get(t + FADT_C2_LATENCY, 4), 0x0fff0fff);
	ck_assert_uint_eq(t[FADT_CENTURY], 0x32);
	/* WBINVD, C1, no sleep button, no fixed RTC wake, reset register; a fixed power button; a 24-bit timer. */
	ck_assert_uint_eq(get(t + FADT_FLAGS, 4), 0x465);
	ck_assert_uint_eq(t[FADT_RESET], 1);
	ck_assert_uint_eq(get(t + FADT_RESET + 4, 8), 0xcf9);
	ck_assert_uint_eq(t[FADT_RESET_VALUE], 6);
	ck_assert_uint_eq(t[FADT_X_PM_TIMER], 1);
	ck_assert_uint_eq(get(t + FADT_X_PM_TIMER + 4, 8), 0x608);
	acpi_free(&acpi);
}
END_TEST

/* Counts the entries of each type of a MADT; all of them have to fit. */
static void count_madt(const uint8_t *t, unsigned int *count)
{
	size_t length = get(t + TABLE_LENGTH, 4), i;

	for (i = 44; i < length; i += t[i + 1]) {
		ck_assert_uint_ge(t[i + 1], 2);
		ck_assert_uint_lt(t[i], 8);
		count[t[i]]++;
	}
	ck_assert_uint_eq(i, length);
}

START_TEST(madt)
{
	static const unsigned int sizes[] = { 1, 2, 8, 9, 64 };
	unsigned int vcpus = sizes[_i], count[8] = { 0 };
	uint8_t *t;

	load(vcpus);
	t = find_table("APIC");
	ck_assert_uint_eq(get(t + 36, 4), 0xfee00000);
	ck_assert_uint_eq(get(t + 40, 4), 1);
	count_madt(t, count);
	ck_assert_uint_eq(count[0], vcpus);
	ck_assert_uint_eq(count[1], 1);
	ck_assert_uint_eq(count[2], 5);
	ck_assert_uint_eq(count[4], 1);
	for (unsigned int i = 0; i < vcpus; i++) {
		const uint8_t *local = t + 44 + 8 * i;

		ck_assert_uint_eq(local[2], i);
		ck_assert_uint_eq(local[3], i);
		ck_assert_uint_eq(get(local + 4, 4), 1);
	}
	/* ISA interrupt 0 is pin 2; more than 8 processors need physical destinations. */
	ck_assert_uint_eq(get(t + 44 + 8 * vcpus + 12, 8), 0x0000000200000a02ull);
	ck_assert_uint_eq(get(find_table("FACP") + FADT_FLAGS, 4) >> 19 & 1, vcpus > 8);
	acpi_free(&acpi);
}
END_TEST

/* Two sockets of three cores of two threads: a gap before the second socket. */
START_TEST(madt_of_sockets)
{
	uint8_t *t;

	load_spread(12, KEEL_TOPOLOGY(3, 2));
	t = find_table("APIC");
	for (unsigned int i = 0; i < 12; i++) {
		ck_assert_uint_eq(t[44 + 8 * i + 2], i);
		ck_assert_uint_eq(t[44 + 8 * i + 3], i < 6 ? i : i + 2);
	}
	acpi_free(&acpi);
}
END_TEST

START_TEST(hpet_and_waet)
{
	uint8_t *t;

	load(1);
	t = find_table("HPET");
	ck_assert_uint_eq(get(t + TABLE_LENGTH, 4), 56);
	ck_assert_uint_eq(get(t + 36, 4), 0x8086a201);
	ck_assert_uint_eq(t[40], 0);
	ck_assert_uint_eq(get(t + 44, 8), 0xfed00000);
	t = find_table("WAET");
	ck_assert_uint_eq(get(t + 36, 4), 2);
	acpi_free(&acpi);
}
END_TEST

static void disassemble(const uint8_t *table, const char *name, char *text, size_t room)
{
	char path[] = "/tmp/keel-acpi-XXXXXX", command[256];
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(path));
	snprintf(command, sizeof(command), "%s/%s.aml", path, name);
	f = fopen(command, "w");
	ck_assert_ptr_nonnull(f);
	fwrite(table, 1, get(table + TABLE_LENGTH, 4), f);
	fclose(f);
	snprintf(command, sizeof(command), "iasl -d %s/%s.aml >%s/log 2>&1 && cat %s/%s.dsl", path, name, path, path, name);
	f = popen(command, "r");
	text[fread(text, 1, room - 1, f)] = '\0';
	ck_assert_int_eq(pclose(f), 0);
	snprintf(command, sizeof(command), "rm -rf %s", path);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(aml)
{
	static char text[1 << 18];
	uint8_t *facp;

	load(64);
	facp = find_table("FACP");
	disassemble(table_at(get(facp + FADT_DSDT, 4), "DSDT"), "dsdt", text, sizeof(text));
	for (const char *const *word = (const char *const []){ "_S5", "PNP0A03", "LNKD", "PNP0501", "0x001FFFFF", NULL };
	     *word; word++)
		ck_assert_msg(strstr(text, *word) != NULL, "no %s in the DSDT", *word);
	disassemble(find_table("SSDT"), "ssdt", text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "Processor (CP00, 0x00, 0x00000000, 0x00)"));
	ck_assert_ptr_nonnull(strstr(text, "Processor (CP3F, 0x3F, 0x00000000, 0x00)"));
	acpi_free(&acpi);
}
END_TEST

/* The structure after this one; NULL at the end of the tables. */
static const uint8_t *next_structure(const uint8_t *s, const uint8_t *end)
{
	const uint8_t *p = s + s[1];

	while (p + 1 < end && (p[0] || p[1]))
		p++;
	ck_assert(p + 1 < end);
	return p + 2 < end ? p + 2 : NULL;
}

START_TEST(smbios)
{
	struct smbios_machine machine = {
		.name = "guest", .uuid = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
		.topology = { .sockets = 3, .cores = 4, .threads = 2 },
		.low_memory = 3ull << 30, .high_memory = 61ull << 30,
	};
	static const uint8_t swapped[] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	static const uint8_t single[] = { 0, 1, 3, 16, 17, 32, 127 };
	unsigned int count[128] = { 0 }, structures = 0;
	struct smbios_tables t;

	smbios_build(&t, &machine);
	for (const uint8_t *s = t.tables.data; s; s = next_structure(s, t.tables.data + t.tables.bytes)) {
		ck_assert_uint_lt(s[0], 128);
		count[s[0]]++;
		structures++;
		if (s[0] == 1)
			ck_assert_int_eq(memcmp(s + 8, swapped, sizeof(swapped)), 0);
		if (s[0] == 4) {
			ck_assert_uint_eq(s[35], 4);		/* cores, */
			ck_assert_uint_eq(s[36], 4);		/* enabled, */
			ck_assert_uint_eq(s[37], 8);		/* threads */
			ck_assert_uint_eq(get(s + 38, 2), 0x1c);
		}
		if (s[0] == 16)
			ck_assert_uint_eq(get(s + 7, 4), 64u << 20);
		if (s[0] == 17) {
			ck_assert_uint_eq(get(s + 12, 2), 0x7fff);
			ck_assert_uint_eq(get(s + 28, 4), 65536);
		}
	}
	for (size_t i = 0; i < sizeof(single); i++)
		ck_assert_uint_eq(count[single[i]], 1);
	ck_assert_uint_eq(count[4], 3);
	ck_assert_uint_eq(count[19], 2);
	ck_assert_uint_eq(t.anchor.bytes, 31);
	ck_assert_int_eq(memcmp(t.anchor.data, "_SM_", 4), 0);
	ck_assert_int_eq(memcmp(t.anchor.data + 16, "_DMI_", 5), 0);
	ck_assert_uint_eq(get(t.anchor.data + 22, 2), t.tables.bytes);
	ck_assert_uint_eq(get(t.anchor.data + 28, 2), structures);
	smbios_free(&t);
}
END_TEST

static const struct items_entry *item(const struct items *items, const char *name)
{
	for (unsigned int i = 0; i < items->count; i++)
		if (!strcmp(items->entry[i].name, name))
			return &items->entry[i];
	ck_abort_msg("no item %s", name);
	return NULL;
}

START_TEST(firmware_items)
{
	struct manifest m = {
		.name = (char *)"g", .vcpus = 1, .boot = { MANIFEST_BOOT_CDROM, MANIFEST_BOOT_DISK }, .boots = 2,
		.drives = { { .kind = MANIFEST_DRIVE_DISK }, { .kind = MANIFEST_DRIVE_NONE }, { .kind = MANIFEST_DRIVE_CDROM },
			    { .kind = MANIFEST_DRIVE_DISK }, { .kind = MANIFEST_DRIVE_DISK, .bus = MANIFEST_BUS_VIRTIO },
			    [MANIFEST_SEED_VIRTIO] = { .kind = MANIFEST_DRIVE_DISK, .bus = MANIFEST_BUS_VIRTIO, .seed = true } },
	};
	static struct devices devices = { .count = 2 };
	const struct items_entry *e;
	struct items items;

	devices.entry[1].plan = (struct backend_plan){ .drive = &m.drives[MANIFEST_IDE_DRIVES], .boot = "scsi@10/disk@0,0" };
	items_build(&items, &m, &devices, 3ull << 30, 1ull << 30);
	e = item(&items, "etc/e820");
	ck_assert_uint_eq(e->data.bytes, 40);
	ck_assert_uint_eq(get(e->data.data + 8, 8), 3ull << 30);
	ck_assert_uint_eq(get(e->data.data + 20, 8), 1ull << 32);
	ck_assert_uint_eq(get(e->data.data + 36, 4), 1);
	e = item(&items, "bootorder");
	ck_assert_str_eq((char *)e->data.data, "/pci@i0cf8/ide@1,1/drive@1/disk@0\n/pci@i0cf8/ide@1,1/drive@0/disk@0\n"
			 "/pci@i0cf8/ide@1,1/drive@1/disk@1\n/pci@i0cf8/scsi@10/disk@0,0");
	ck_assert_uint_eq(e->data.bytes, strlen((char *)e->data.data) + 1);
	ck_assert_uint_eq(get(item(&items, "etc/sercon-port")->data.data, 8), 0x3f8);
	for (unsigned int i = 0; i < items.count; i++)
		for (unsigned int j = 0; j < i; j++)
			ck_assert(items.entry[i].name[0] ? strcmp(items.entry[i].name, items.entry[j].name) :
				  items.entry[j].name[0] || items.entry[i].key != items.entry[j].key);
	items_free(&items);
	items_build(&items, &m, &devices, 1ull << 30, 0);
	ck_assert_uint_eq(item(&items, "etc/e820")->data.bytes, 20);
	items_free(&items);
}
END_TEST

SUITE("acpi", tests)
{
	tcase_add_test(tests, rsdp_and_roots);
	tcase_add_test(tests, fadt);
	tcase_add_loop_test(tests, madt, 0, 5);
	tcase_add_test(tests, madt_of_sockets);
	tcase_add_test(tests, hpet_and_waet);
	tcase_add_test(tests, aml);
	tcase_add_test(tests, smbios);
	tcase_add_test(tests, firmware_items);
}
