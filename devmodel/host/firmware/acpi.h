/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest's ACPI tables and the script by which the firmware places them: three files of fw_cfg,
 * "etc/acpi/rsdp", "etc/acpi/tables" and "etc/table-loader".
 */
#ifndef KEEL_ACPI_TABLES_H
#define KEEL_ACPI_TABLES_H

#include <keel/topology.h>

#include "host/firmware/blob.h"

#define ACPI_FILE_RSDP		"etc/acpi/rsdp"
#define ACPI_FILE_TABLES	"etc/acpi/tables"
#define ACPI_FILE_LOADER	"etc/table-loader"

/* One command of the script (QEMU's linker/loader interface), little-endian. */
enum acpi_loader_command {
	ACPI_LOADER_ALLOCATE = 1,
	ACPI_LOADER_ADD_POINTER,
	ACPI_LOADER_ADD_CHECKSUM,
};

enum acpi_loader_zone {
	ACPI_LOADER_HIGH = 1,
	ACPI_LOADER_FSEG,	/* 0xf0000 to 1 MiB */
};

#define ACPI_LOADER_NAME	56

struct acpi_loader_entry {
	uint32_t command;
	union {
		struct {
			char file[ACPI_LOADER_NAME];
			uint32_t align;
			uint8_t zone;
		} __attribute__((packed)) allocate;
		struct {
			char file[ACPI_LOADER_NAME];	/* that holds the pointer, */
			char target[ACPI_LOADER_NAME];	/* that it points into */
			uint32_t offset;
			uint8_t size;
		} __attribute__((packed)) pointer;
		struct {
			char file[ACPI_LOADER_NAME];
			uint32_t offset;		/* of the sum, */
			uint32_t start;			/* and of what it is of */
			uint32_t length;
		} __attribute__((packed)) checksum;
		uint8_t room[124];
	};
} __attribute__((packed));

struct acpi_tables {
	struct blob rsdp;
	struct blob tables;
	struct blob loader;
};

void acpi_build(struct acpi_tables *acpi, unsigned int vcpus, const struct keel_topology *topology);
void acpi_free(struct acpi_tables *acpi);

#endif
