// SPDX-License-Identifier: GPL-2.0
/* SMBIOS structures (DMTF DSP0134, 2.8). */
#include "host/firmware/smbios.h"
#include "shared/pc_map.h"

#include <assert.h>
#include <string.h>

#include <keel/macros.h>

#define PACKED			__attribute__((packed))

#define MIB			(1ull << 20)
#define KIB_SHIFT		10

#define HANDLE_BIOS		0x0000u
#define HANDLE_SYSTEM		0x0100u
#define HANDLE_CHASSIS		0x0300u
#define HANDLE_PROCESSOR	0x0400u		/* + number */
#define HANDLE_ARRAY		0x1000u
#define HANDLE_DEVICE		0x1100u
#define HANDLE_MAPPED		0x1300u		/* + number */
#define HANDLE_BOOT		0x2000u
#define HANDLE_END		0x7f00u
#define HANDLE_NONE		0xfffeu

#define BIOS_CHARACTERISTICS	(1ull << 3)	/* none of the list is told */
#define BIOS_VIRTUAL_MACHINE	(1u << 4)	/* extension byte 2 */
#define NO_VERSION		0xffu
#define WAKE_POWER_SWITCH	6u
#define CHASSIS_OTHER		1u
#define STATE_SAFE		3u
#define SECURITY_UNKNOWN	2u
#define PROCESSOR_CENTRAL	3u
#define PROCESSOR_OTHER		1u
#define PROCESSOR_FAMILY	1u		/* other */
#define PROCESSOR_ENABLED	0x41u		/* socket populated, enabled */
#define CACHE_NONE		0xffffu
#define PROCESSOR_64_BIT	(1u << 2)
#define PROCESSOR_MULTI_CORE	(1u << 3)
#define PROCESSOR_THREADS	(1u << 4)
#define ARRAY_BOARD		1u
#define ARRAY_SYSTEM_MEMORY	3u
#define ARRAY_MULTI_BIT_ECC	6u
#define ARRAY_EXTENDED		0x80000000u	/* capacity: in the extended field */
#define DEVICE_DIMM		9u
#define DEVICE_RAM		7u
#define DEVICE_UNKNOWN		2u		/* type detail */
#define DEVICE_SIZE_EXTENDED	0x7fffu
#define MAPPED_EXTENDED		0xffffffffu

struct structure {
	uint8_t type, length;
	uint16_t handle;
} PACKED;

struct bios {
	struct structure header;
	uint8_t vendor, version;
	uint16_t segment;
	uint8_t date, rom_size;
	uint64_t characteristics;
	uint8_t extension[2], major, minor, ec_major, ec_minor;
} PACKED;

struct system {
	struct structure header;
	uint8_t maker, product, version, serial;
	uint8_t uuid[SMBIOS_UUID_BYTES];
	uint8_t wake, sku, family;
} PACKED;

struct chassis {
	struct structure header;
	uint8_t maker, type, version, serial, asset, boot_state, power_state, thermal_state, security;
	uint32_t oem;
	uint8_t height, cords, elements, element_bytes, sku;
} PACKED;

struct processor {
	struct structure header;
	uint8_t socket, type, family, maker;
	uint64_t id;
	uint8_t version, voltage;
	uint16_t clock, max_speed, speed;
	uint8_t status, upgrade;
	uint16_t l1, l2, l3;
	uint8_t serial, asset, part, cores, enabled, threads;
	uint16_t characteristics, family2;
} PACKED;

struct memory_array {
	struct structure header;
	uint8_t location, use, correction;
	uint32_t capacity_kib;
	uint16_t error, devices;
	uint64_t capacity;
} PACKED;

struct memory_device {
	struct structure header;
	uint16_t array, error, total_width, data_width, size;
	uint8_t form, set, locator, bank, type;
	uint16_t detail, speed;
	uint8_t maker, serial, asset, part, attributes;
	uint32_t extended_mib;
	uint16_t configured_speed, voltage_min, voltage_max, voltage;
} PACKED;

struct memory_mapped {
	struct structure header;
	uint32_t start_kib, end_kib;
	uint16_t array;
	uint8_t width;
	uint64_t start, end;
} PACKED;

struct boot_status {
	struct structure header;
	uint8_t reserved[6], status;
} PACKED;

struct anchor {
	char signature[4];
	uint8_t checksum, length, major, minor;
	uint16_t largest;
	uint8_t revision, formatted[5];
	char middle[5];
	uint8_t middle_checksum;
	uint16_t bytes;
	uint32_t address;
	uint16_t count;
	uint8_t bcd;
} PACKED;
static_assert(sizeof(struct anchor) == 31, "SMBIOS 2.1 entry point");
static_assert(sizeof(struct bios) == 24 && sizeof(struct system) == 27 && sizeof(struct chassis) == 22, "types 0, 1, 3");
static_assert(sizeof(struct processor) == 42 && sizeof(struct memory_array) == 23, "types 4, 16");
static_assert(sizeof(struct memory_device) == 40 && sizeof(struct memory_mapped) == 31, "types 17, 19");

struct builder {
	struct blob *tables;
	uint16_t count, largest;
};

#define HEADER(what, number, name)	{ .type = (number), .length = sizeof(what), .handle = (uint16_t)(name) }

/* A structure and its strings, which its fields number from 1: "first\0second\0". */
static void add(struct builder *b, const void *structure, size_t bytes, const char *const *strings, unsigned int count)
{
	static const char zeros[2];
	size_t start = blob_add(b->tables, structure, bytes);

	for (unsigned int i = 0; i < count; i++)
		blob_add(b->tables, strings[i], strlen(strings[i]) + 1);
	blob_add(b->tables, zeros, count ? 1 : 2);
	if (b->tables->bytes - start > b->largest)
		b->largest = (uint16_t)(b->tables->bytes - start);
	b->count++;
}

#define ADD(b, s, ...) do {									\
		const char *const strings_[] = { __VA_ARGS__ };					\
		add(b, &(s), sizeof(s), strings_, ARRAY_SIZE(strings_));	\
	} while (0)

/* Since 2.6 the first three fields of the UUID are little-endian (7.2.1). */
static void swap_uuid(uint8_t *to, const uint8_t *from)
{
	static const uint8_t order[SMBIOS_UUID_BYTES] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

	for (unsigned int i = 0; i < SMBIOS_UUID_BYTES; i++)
		to[i] = from[order[i]];
}

static void add_identity(struct builder *b, const struct smbios_machine *m)
{
	struct bios bios = {
		.header = HEADER(bios, 0, HANDLE_BIOS), .vendor = 1, .version = 2, .segment = PC_BIOS_SEGMENT, .date = 3,
		.characteristics = BIOS_CHARACTERISTICS, .extension = { 0, BIOS_VIRTUAL_MACHINE },
		.ec_major = NO_VERSION, .ec_minor = NO_VERSION,
	};
	struct system system = {
		.header = HEADER(system, 1, HANDLE_SYSTEM), .maker = 1, .product = 2, .version = 3, .serial = 4,
		.wake = WAKE_POWER_SWITCH,
	};
	struct chassis chassis = {
		.header = HEADER(chassis, 3, HANDLE_CHASSIS), .maker = 1, .type = CHASSIS_OTHER, .version = 2,
		.boot_state = STATE_SAFE, .power_state = STATE_SAFE, .thermal_state = STATE_SAFE,
		.security = SECURITY_UNKNOWN,
	};

	swap_uuid(system.uuid, m->uuid);
	ADD(b, bios, "SeaBIOS", "1", "04/01/2014");
	ADD(b, system, "Keel", "pc", "1", m->name);
	ADD(b, chassis, "Keel", "pc");
}

/* One structure a socket. */
static void add_processors(struct builder *b, const struct keel_topology *t)
{
	for (unsigned int i = 0; i < t->sockets; i++) {
		struct processor processor = {
			.header = HEADER(processor, 4, HANDLE_PROCESSOR + i), .socket = 1, .type = PROCESSOR_CENTRAL,
			.family = PROCESSOR_FAMILY, .maker = 2, .version = 3,
			.status = PROCESSOR_ENABLED, .upgrade = PROCESSOR_OTHER,
			.l1 = CACHE_NONE, .l2 = CACHE_NONE, .l3 = CACHE_NONE,
			.cores = (uint8_t)t->cores, .enabled = (uint8_t)t->cores, .threads = (uint8_t)(t->cores * t->threads),
			.characteristics = PROCESSOR_64_BIT | (t->cores > 1 ? PROCESSOR_MULTI_CORE : 0) |
					   (t->threads > 1 ? PROCESSOR_THREADS : 0),
			 .family2 = PROCESSOR_FAMILY,
		};
		const char socket[] = { 'C', 'P', 'U', ' ', (char)('0' + i / 10), (char)('0' + i % 10), '\0' };

		ADD(b, processor, socket, "Keel", "pc");
	}
}

static void add_mapped(struct builder *b, unsigned int number, uint64_t start, uint64_t bytes)
{
	uint64_t end = start + bytes - 1;
	struct memory_mapped mapped = {
		.header = HEADER(mapped, 19, HANDLE_MAPPED + number), .array = HANDLE_ARRAY, .width = 1,
		.start_kib = (uint32_t)(start >> KIB_SHIFT), .end_kib = (uint32_t)(end >> KIB_SHIFT),
	};

	if (end >> KIB_SHIFT >= MAPPED_EXTENDED) {
		mapped.start_kib = mapped.end_kib = MAPPED_EXTENDED;
		mapped.start = start;
		mapped.end = end;
	}
	add(b, &mapped, sizeof(mapped), NULL, 0);
}

static void add_memory(struct builder *b, const struct smbios_machine *m)
{
	uint64_t bytes = m->low_memory + m->high_memory;
	struct memory_array array = {
		.header = HEADER(array, 16, HANDLE_ARRAY), .location = ARRAY_BOARD, .use = ARRAY_SYSTEM_MEMORY,
		.correction = ARRAY_MULTI_BIT_ECC, .error = HANDLE_NONE, .devices = 1,
		.capacity_kib = (uint32_t)(bytes >> KIB_SHIFT),
	};
	struct memory_device device = {
		.header = HEADER(device, 17, HANDLE_DEVICE), .array = HANDLE_ARRAY, .error = HANDLE_NONE,
		.total_width = 64, .data_width = 64, .size = (uint16_t)(bytes / MIB),
		.form = DEVICE_DIMM, .locator = 1, .type = DEVICE_RAM, .detail = DEVICE_UNKNOWN, .maker = 2,
	};

	if (bytes >> KIB_SHIFT >= ARRAY_EXTENDED) {
		array.capacity_kib = ARRAY_EXTENDED;
		array.capacity = bytes;
	}
	if (bytes / MIB >= DEVICE_SIZE_EXTENDED) {
		device.size = DEVICE_SIZE_EXTENDED;
		device.extended_mib = (uint32_t)(bytes / MIB);
	}
	add(b, &array, sizeof(array), NULL, 0);
	ADD(b, device, "DIMM 0", "Keel");
	add_mapped(b, 0, 0, m->low_memory);
	if (m->high_memory)
		add_mapped(b, 1, PC_HIGH_MEMORY, m->high_memory);
}

/* The checksums and the address are the firmware's to fill in. */
static void add_anchor(struct smbios_tables *smbios, const struct builder *b)
{
	struct anchor anchor = {
		.signature = { '_', 'S', 'M', '_' }, .length = sizeof(anchor), .major = 2, .minor = 8,
		.largest = b->largest, .middle = { '_', 'D', 'M', 'I', '_' },
		.bytes = (uint16_t)smbios->tables.bytes, .count = b->count, .bcd = 0x28,
	};

	blob_add(&smbios->anchor, &anchor, sizeof(anchor));
}

void smbios_build(struct smbios_tables *smbios, const struct smbios_machine *machine)
{
	struct builder b = { .tables = &smbios->tables };
	struct boot_status boot = { .header = HEADER(boot, 32, HANDLE_BOOT) };
	struct structure end = HEADER(end, 127, HANDLE_END);

	*smbios = (struct smbios_tables){ 0 };
	add_identity(&b, machine);
	add_processors(&b, &machine->topology);
	add_memory(&b, machine);
	add(&b, &boot, sizeof(boot), NULL, 0);
	add(&b, &end, sizeof(end), NULL, 0);
	add_anchor(smbios, &b);
}

void smbios_free(struct smbios_tables *smbios)
{
	blob_free(&smbios->anchor);
	blob_free(&smbios->tables);
}
