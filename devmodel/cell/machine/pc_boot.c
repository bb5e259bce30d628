// SPDX-License-Identifier: GPL-2.0
/* What firmware is told about the machine: CMOS memory and fw_cfg. */
#include "machine/pc.h"

#include "disk/ata_identify.h"
#include "shared/pc_map.h"

/* CMOS bytes beyond the clock's (IBM AT; from CMOS_HIGH on and the boot order: Bochs and SeaBIOS). Sizes have two bytes. */
#define CMOS_FLOPPIES		0x10u
#define CMOS_DISKS		0x12u
#define CMOS_EQUIPMENT		0x14u
#define CMOS_BASE_KIB		0x15u
#define CMOS_EXTENDED_KIB	0x17u
#define CMOS_DISK_TYPE		0x19u	/* a byte a drive */
#define CMOS_DISK_GEOMETRY	0x1bu	/* GEOMETRY_BYTES a drive */
#define CMOS_EXTENDED_KIB_2	0x30u
#define CMOS_ABOVE_16M		0x34u	/* in 64 KiB */
#define CMOS_BOOT_THIRD		0x38u
#define CMOS_TRANSLATION	0x39u	/* two bits a drive */
#define CMOS_BOOT		0x3du	/* first device in the low half, second in the high half */
#define CMOS_HIGH		0x5bu	/* from 4 GiB on, in 64 KiB; three bytes */
#define CMOS_APS		0x5fu

#define EQUIPMENT		0x06u	/* FPU, mouse */
#define DISK_TYPE_EXTENDED	0xf0u
#define DISK_TYPE_USER		47u	/* the geometry is in CMOS */
#define DISKS_IN_CMOS		2u
#define GEOMETRY_BYTES		9u
#define GEOMETRY_HEADS		2u
#define GEOMETRY_PRECOMPENSATION 3u	/* the first cylinder with it: none */
#define GEOMETRY_CONTROL	5u
#define GEOMETRY_LANDING	6u
#define GEOMETRY_SECTORS	8u
#define CONTROL_NO_RETRIES	0xc0u
#define CONTROL_MANY_HEADS	0x08u	/* more than 8 */
#define BOOT_DISK		2u
#define BOOT_CDROM		3u
#define BOOT_SECOND_SHIFT	4
#define TRANSLATION_LBA		1u
#define CHS_BYTES_MOST		(1024ull * 16 * 63 * 512)

#define KIB			1024ull
#define MIB			(1024 * KIB)

static void poke(struct pc *pc, unsigned int index, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		mc146818_poke(&pc->rtc, index + i, (uint8_t)(value >> (8 * i)));
}

static uint64_t units_of(uint64_t bytes, uint64_t from, uint64_t unit, uint64_t most)
{
	uint64_t units = bytes > from ? (bytes - from) / unit : 0;

	return units < most ? units : most;
}

static void describe_memory(struct pc *pc)
{
	const struct keel_machine *m = &pc->machine;
	uint64_t extended = units_of(m->low_memory, MIB, KIB, UINT16_MAX);

	poke(pc, CMOS_BASE_KIB, PC_VGA_HOLE / KIB, 2);
	poke(pc, CMOS_EXTENDED_KIB, extended, 2);
	poke(pc, CMOS_EXTENDED_KIB_2, extended, 2);
	poke(pc, CMOS_ABOVE_16M, units_of(m->low_memory, 16 * MIB, 64 * KIB, UINT16_MAX), 2);
	poke(pc, CMOS_HIGH, m->high_memory / (64 * KIB), 3);
}

/* What a BIOS of the AT's time took for the geometry: IDENTIFY's. */
static void describe_geometry(struct pc *pc, unsigned int disk, uint64_t bytes)
{
	unsigned int at = CMOS_DISK_GEOMETRY + disk * GEOMETRY_BYTES;
	uint32_t cylinders = ata_default_cylinders(bytes);

	poke(pc, CMOS_DISK_TYPE + disk, DISK_TYPE_USER, 1);
	poke(pc, at, cylinders, 2);
	poke(pc, at + GEOMETRY_HEADS, ATA_DEFAULT_HEADS, 1);
	poke(pc, at + GEOMETRY_PRECOMPENSATION, UINT16_MAX, 2);
	poke(pc, at + GEOMETRY_CONTROL, CONTROL_NO_RETRIES | CONTROL_MANY_HEADS, 1);
	poke(pc, at + GEOMETRY_LANDING, cylinders, 2);
	poke(pc, at + GEOMETRY_SECTORS, ATA_DEFAULT_SECTORS, 1);
}

/* Disks that a BIOS cannot reach by plain cylinders, heads and sectors are translated. */
static void describe_disks(struct pc *pc)
{
	uint8_t translation = 0, types = 0;

	for (unsigned int i = 0; i < KEEL_DRIVES; i++) {
		uint64_t bytes = pc->drive[i] ? link_block_sectors(pc->drive[i]) * KEEL_SECTOR : 0;

		if (!pc->drive[i] || pc->drive[i]->type != KEEL_DEVICE_IDE_DISK)
			continue;
		if (bytes > CHS_BYTES_MOST)
			translation |= (uint8_t)(TRANSLATION_LBA << (2 * i));
		if (i >= DISKS_IN_CMOS)
			continue;
		types |= (uint8_t)(DISK_TYPE_EXTENDED >> (4 * i));
		describe_geometry(pc, i, bytes);
	}
	poke(pc, CMOS_FLOPPIES, 0, 1);
	poke(pc, CMOS_DISKS, types, 1);
	poke(pc, CMOS_TRANSLATION, translation, 1);
}

static void describe_machine(struct pc *pc)
{
	describe_memory(pc);
	describe_disks(pc);
	poke(pc, CMOS_EQUIPMENT, EQUIPMENT, 1);
	poke(pc, CMOS_BOOT, BOOT_DISK | BOOT_CDROM << BOOT_SECOND_SHIFT, 1);
	poke(pc, CMOS_BOOT_THIRD, 0, 1);
	poke(pc, CMOS_APS, pc->machine.vcpus - 1, 1);
}

static bool add_item(struct pc *pc, const struct keel_item *item)
{
	const uint8_t *data = link_bytes(&pc->link, item->offset);

	if (item->name[0])
		return fw_cfg_add_file(&pc->fw_cfg, item->name, data, item->size);
	return item->key <= UINT16_MAX && fw_cfg_add(&pc->fw_cfg, (uint16_t)item->key, data, item->size);
}

unsigned int pc_boot_init(struct pc *pc)
{
	struct fw_cfg *cfg = &pc->fw_cfg;

	describe_machine(pc);
	cfg->mem = &pc->mem;
	fw_cfg_clear(cfg);
	fw_cfg_add_value(cfg, FW_CFG_NB_CPUS, pc->machine.vcpus, sizeof(uint16_t));
	/* Firmware takes it for the end of the APIC identifiers. */
	fw_cfg_add_value(cfg, FW_CFG_MAX_CPUS, pc->vcpu[pc->machine.vcpus - 1].lapic.id + 1, sizeof(uint16_t));
	fw_cfg_add_value(cfg, FW_CFG_IRQ0_OVERRIDE, true, sizeof(uint8_t));
	for (unsigned int i = 0; i < pc->machine.items; i++)
		if (!add_item(pc, &pc->machine.item[i]))
			return CELL_REFUSED_ITEM;
	fw_cfg_init(cfg);
	return 0;
}
