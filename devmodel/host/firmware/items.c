// SPDX-License-Identifier: GPL-2.0
/* Items of fw_cfg that stock SeaBIOS and OVMF read (QEMU, docs/specs/fw_cfg; SeaBIOS, docs/Runtime_config). */
#include "host/firmware/items.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "host/firmware/acpi.h"
#include "host/firmware/smbios.h"
#include "shared/pc_map.h"

#define KEY_UUID		0x02
#define KEY_NOGRAPHIC		0x04
#define KEY_NUMA		0x0d
#define KEY_BOOT_MENU		0x0e

#define E820_RAM		1u
#define BOOT_MENU_MS		5000u
#define BOOT_FAIL_STAY		0xffffffffu	/* say so and stay, do not reboot in circles */
#define STATE_SUPPORTED		0x80u		/* of "etc/system-states": one byte each for S0 to S5 */

struct e820 {
	uint64_t address, bytes;
	uint32_t type;
} __attribute__((packed));
static_assert(sizeof(struct e820) == 20, "entry of etc/e820");

static struct items_entry *add(struct items *items, const char *name, uint32_t key, const void *data, size_t bytes)
{
	struct items_entry *e = &items->entry[items->count++];

	snprintf(e->name, sizeof(e->name), "%s", name);
	e->key = key;
	blob_add(&e->data, data, bytes);
	return e;
}

static void add_number(struct items *items, const char *name, uint64_t value)
{
	add(items, name, 0, &value, sizeof(value));
}

/* Takes the blob over. */
static void add_blob(struct items *items, const char *name, struct blob *blob)
{
	add(items, name, 0, NULL, 0)->data = *blob;
	*blob = (struct blob){ 0 };
}

static void add_memory(struct items *items, uint64_t low, uint64_t high)
{
	struct e820 map[] = { { 0, low, E820_RAM }, { PC_HIGH_MEMORY, high, E820_RAM } };

	add(items, "etc/e820", 0, map, high ? sizeof(map) : sizeof(map[0]));
}

static void name_drive(char *name, size_t room, const struct manifest *m, const struct devices *devices, unsigned int drive)
{
	if (drive < MANIFEST_IDE_DRIVES)
		snprintf(name, room, "/pci@i%04x/ide@%x,%x/drive@%u/disk@%u", PC_PORT_PCI, PC_SLOT_ISA_BRIDGE, PC_FUNCTION_IDE,
			 drive / 2, drive % 2);
	for (unsigned int i = 0; i < devices->count; i++)
		if (devices->entry[i].plan.drive == &m->drives[drive])
			snprintf(name, room, "/pci@i%04x/%s", PC_PORT_PCI, devices->entry[i].plan.boot);
}

/* Open Firmware names of the drives to start from; SeaBIOS wants lines, the last one without a newline but with a zero. */
static void add_boot_order(struct items *items, const struct manifest *m, const struct devices *devices)
{
	static const enum manifest_drive_kind kinds[] = { MANIFEST_DRIVE_DISK, MANIFEST_DRIVE_CDROM };
	char order[MANIFEST_DRIVES * 64] = "";

	for (unsigned int b = 0; b < m->boots; b++)
		for (unsigned int i = 0; i < MANIFEST_DRIVES; i++) {
			char name[64] = "";

			if (m->drives[i].kind != kinds[m->boot[b]] || m->drives[i].seed)
				continue;
			name_drive(name, sizeof(name), m, devices, i);
			snprintf(order + strlen(order), sizeof(order) - strlen(order), "%s%s", order[0] ? "\n" : "", name);
		}
	add(items, "bootorder", 0, order, strlen(order) + 1);
}

/* The same name is the same machine to its operating system. FNV-1a, in the form of RFC 9562's version 8. */
static void make_uuid(uint8_t *uuid, const char *name)
{
	uint64_t hash[2] = { 0xcbf29ce484222325ull, 0x6c62272e07bb0142ull };

	for (const char *c = name; *c; c++)
		for (int i = 0; i < 2; i++)
			hash[i] = (hash[i] ^ (uint8_t)*c) * 0x100000001b3ull;
	memcpy(uuid, hash, SMBIOS_UUID_BYTES);
	uuid[6] = (uint8_t)(0x80 | (uuid[6] & 0x0f));
	uuid[8] = (uint8_t)(0x80 | (uuid[8] & 0x3f));
}

static void add_tables(struct items *items, const struct manifest *m, const struct smbios_machine *machine)
{
	struct acpi_tables acpi;
	struct smbios_tables smbios;

	acpi_build(&acpi, m->vcpus, &machine->topology);
	add_blob(items, ACPI_FILE_RSDP, &acpi.rsdp);
	add_blob(items, ACPI_FILE_TABLES, &acpi.tables);
	add_blob(items, ACPI_FILE_LOADER, &acpi.loader);
	smbios_build(&smbios, machine);
	add_blob(items, SMBIOS_FILE_ANCHOR, &smbios.anchor);
	add_blob(items, SMBIOS_FILE_TABLES, &smbios.tables);
}

void items_build(struct items *items, const struct manifest *m, const struct devices *devices, uint64_t low_memory,
		 uint64_t high_memory)
{
	static const uint8_t states[] = { STATE_SUPPORTED, 0, 0, 1, 2, STATE_SUPPORTED };
	static const uint16_t nographic = 1;
	static const uint64_t numa_nodes;
	struct smbios_machine machine = {
		.name = m->name, .topology = keel_topology(m->topology, m->vcpus),
		.low_memory = low_memory, .high_memory = high_memory,
	};
	uint16_t menu = m->boot_menu;

	memset(items, 0, sizeof(*items));
	make_uuid(machine.uuid, m->name);
	add_memory(items, low_memory, high_memory);
	add_tables(items, m, &machine);
	add_boot_order(items, m, devices);
	add_number(items, "etc/sercon-port", PC_PORT_SERIAL);
	add_number(items, "etc/boot-menu-wait", m->boot_menu ? BOOT_MENU_MS : 0);
	add_number(items, "etc/boot-fail-wait", BOOT_FAIL_STAY);
	add(items, "etc/system-states", 0, states, sizeof(states));
	add(items, "", KEY_UUID, machine.uuid, sizeof(machine.uuid));
	add(items, "", KEY_NOGRAPHIC, &nographic, sizeof(nographic));
	add(items, "", KEY_NUMA, &numa_nodes, sizeof(numa_nodes));
	add(items, "", KEY_BOOT_MENU, &menu, sizeof(menu));
}

void items_free(struct items *items)
{
	for (unsigned int i = 0; i < items->count; i++)
		blob_free(&items->entry[i].data);
	items->count = 0;
}
