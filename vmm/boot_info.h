/* SPDX-License-Identifier: GPL-2.0 */
/* What the loader has told, as a structure of fixed size: read by multiboot2.c, its memory worked out by bootmem.c. */
#ifndef VMM_BOOT_INFO_H
#define VMM_BOOT_INFO_H

#include <stdbool.h>
#include <stdint.h>

#define BOOT_RANGES	512u
#define BOOT_MODULES	8u
#define BOOT_TAKEN	(BOOT_MODULES + 8u + 64u)	/* modules, a few of Keel's own, regions that devices use */
#define BOOT_RSDP	64u

/* Types of memory, as in E820. */
#define BOOT_RAM	1u
#define BOOT_RESERVED	2u
#define BOOT_ACPI	3u
#define BOOT_NVS	4u
#define BOOT_LOADER	0x100u	/* not of E820's: the loader's own memory, which is no longer in use */

struct boot_range {
	uint64_t start;
	uint64_t end;		/* exclusive */
	uint32_t type;
};

struct boot_module {
	uint64_t start;
	uint64_t end;
	const char *string;	/* in the loader's memory; never NULL */
};

/* But for the last field as in the loader's tag. */
struct boot_framebuffer {
	uint64_t address;
	uint32_t pitch;
	uint32_t width;
	uint32_t height;
	uint8_t bits;
	uint8_t type;
	uint16_t reserved;
	uint8_t red_position;
	uint8_t red_size;
	uint8_t green_position;
	uint8_t green_size;
	uint8_t blue_position;
	uint8_t blue_size;
	bool present;
};

#define FRAMEBUFFER_RGB		1u
#define FRAMEBUFFER_TEXT	2u

struct boot_efi {
	uint64_t system_table;	/* 64-bit table; 0: not booted by 64-bit UEFI */
	uint64_t map;		/* physical address of the descriptors; 0: none */
	uint32_t map_size;
	uint32_t descriptor_size;
	uint32_t descriptor_version;
	bool services_running;	/* boot services were not exited (tag 18) */
};

struct boot_info {
	const char *command_line;		/* Keel's own, in the loader's memory; NULL: none */
	struct boot_range map[BOOT_RANGES];	/* as the loader gave it; entries of no length left out */
	unsigned map_count;
	struct boot_range memory[BOOT_RANGES];	/* by bootmem_init(): in order, disjoint, whole pages; BOOT_RAM or BOOT_LOADER */
	unsigned memory_count;
	uint64_t memory_kept;			/* bytes of RAM above 1 MiB that are in use by the firmware */
	struct boot_range taken[BOOT_TAKEN];	/* this information, modules, what bootmem_take() adds; no types */
	unsigned taken_count;
	struct boot_module module[BOOT_MODULES];
	unsigned module_count;
	struct boot_framebuffer framebuffer;
	struct boot_efi efi;
	uint8_t rsdp[BOOT_RSDP];		/* copy of the ACPI root pointer; the newer one if there are two */
	uint32_t rsdp_size;			/* 0: none */
};

static inline bool boot_range_overlaps(const struct boot_range *range, uint64_t start, uint64_t end)
{
	return range->start < end && range->end > start;
}

#endif
