/* SPDX-License-Identifier: GPL-2.0 */
/* Reads what the multiboot2 loader left. */
#include "multiboot2.h"

#include <stddef.h>

#include <keel/macros.h>

#include "bootmem.h"
#include "efi.h"
#include "error.h"
#include "memory.h"
#include "string.h"

#define INFO_MAX	(UINT64_C(16) << 20)	/* far beyond any real one */
#define HEADER		8u	/* bytes before the first tag, and of a tag before its contents */
#define TAG_ALIGN	8u
#define ADDRESS_END	(UINT64_C(1) << 52)	/* no processor has physical addresses from there on (SDM vol. 3, 4.1.4) */

/* Multiboot2 Specification 2.0, 3.6. */
enum tag_type {
	TAG_END			= 0,
	TAG_COMMAND_LINE,
	TAG_MODULE		= 3,
	TAG_MAP			= 6,
	TAG_FRAMEBUFFER		= 8,
	TAG_EFI64		= 12,
	TAG_ACPI_OLD		= 14,
	TAG_ACPI_NEW		= 15,
	TAG_EFI_MAP		= 17,
	TAG_EFI_SERVICES	= 18,
};

/* In the loader's memory, at a multiple of 8. It is known to lie within the information and to hold its fixed part. */
struct tag {
	uint32_t type;
	uint32_t size;
	union {
		struct {
			uint32_t start;
			uint32_t end;
		} module;				/* and a string */
		struct {
			uint32_t entry_size;
			uint32_t entry_version;
		} map;					/* and entries */
		uint8_t framebuffer[offsetof(struct boot_framebuffer, red_position)];	/* and colours, if RGB */
		uint64_t efi64;
		struct {
			uint32_t descriptor_size;
			uint32_t descriptor_version;
		} efi_map;				/* and descriptors */
		uint8_t rsdp[1];			/* and the rest of it */
	};
};

struct map_entry {
	uint64_t base;
	uint64_t length;
	uint32_t type;
	uint32_t reserved;
} __attribute__((packed));

_Static_assert(offsetof(struct boot_framebuffer, red_position) == 24, "as specified");
_Static_assert(sizeof(struct map_entry) == 24, "as specified");

/* The string ends within the tag. */
static bool string_ends(const char *string, const struct tag *tag)
{
	const char *end = (const char *)tag + tag->size;

	while (string < end && *string != '\0')
		string++;
	return string < end;
}

static void parse_command_line(const struct tag *tag, struct boot_info *boot)
{
	if (string_ends((const char *)tag + HEADER, tag))
		boot->command_line = (const char *)tag + HEADER;
}

static void parse_module(const struct tag *tag, struct boot_info *boot)
{
	uint64_t start = tag->module.start, end = tag->module.end;
	const char *string = (const char *)(&tag->module + 1);

	if (end < start || boot->module_count == BOOT_MODULES || !string_ends(string, tag))
		return;
	boot->module[boot->module_count++] = (struct boot_module){ start, end, string };
	bootmem_take(boot, start, end);
}

/* What does not end within physical addresses is none: the rest of Keel rounds ends up to pages and more. */
static void parse_map(const struct tag *tag, struct boot_info *boot)
{
	uint32_t step = tag->map.entry_size;

	if (step < sizeof(struct map_entry) || step > tag->size)
		return;
	for (uint32_t at = HEADER + sizeof(tag->map); at + sizeof(struct map_entry) <= tag->size; at += step) {
		const struct map_entry *entry = (const void *)((const uint8_t *)tag + at);
		uint64_t end = entry->base + entry->length;

		if (end > entry->base && end <= ADDRESS_END && boot->map_count < BOOT_RANGES)
			boot->map[boot->map_count++] = (struct boot_range){ entry->base, end, entry->type };
	}
}

static void parse_framebuffer(const struct tag *tag, struct boot_info *boot)
{
	uint32_t bytes = sizeof(tag->framebuffer);

	if (tag->framebuffer[offsetof(struct boot_framebuffer, type)] == FRAMEBUFFER_RGB)
		bytes = offsetof(struct boot_framebuffer, present);
	if (tag->size - HEADER < bytes)
		return;
	memcpy(&boot->framebuffer, tag->framebuffer, bytes);
	boot->framebuffer.present = true;
}

static void parse_efi64(const struct tag *tag, struct boot_info *boot)
{
	boot->efi.system_table = tag->efi64;
}

static void parse_efi_map(const struct tag *tag, struct boot_info *boot)
{
	uint32_t step = tag->efi_map.descriptor_size, bytes = tag->size - HEADER - sizeof(tag->efi_map);

	if (step < sizeof(struct efi_descriptor) || step > tag->size || step % TAG_ALIGN != 0)
		return;
	boot->efi.map = virt_to_phys(&tag->efi_map + 1);
	boot->efi.map_size = bytes - bytes % step;
	boot->efi.descriptor_size = step;
	boot->efi.descriptor_version = tag->efi_map.descriptor_version;
}

static void parse_efi_services(const struct tag *tag, struct boot_info *boot)
{
	(void)tag;
	boot->efi.services_running = true;
}

static void parse_rsdp(const struct tag *tag, struct boot_info *boot)
{
	uint32_t bytes = tag->size - HEADER;

	if (bytes > sizeof(boot->rsdp) || (tag->type == TAG_ACPI_OLD && boot->rsdp_size != 0))
		return;
	memcpy(boot->rsdp, tag->rsdp, bytes);
	boot->rsdp_size = bytes;
}

#define FIXED(member)	sizeof(((struct tag *)0)->member)

/* Those that Keel has a use for, and the bytes of their fixed parts. */
static const struct {
	enum tag_type type;
	uint32_t least;
	void (*parse)(const struct tag *tag, struct boot_info *boot);
} kinds[] = {
	{ TAG_COMMAND_LINE, 0, parse_command_line },
	{ TAG_MODULE, FIXED(module), parse_module },
	{ TAG_MAP, FIXED(map), parse_map },
	{ TAG_FRAMEBUFFER, FIXED(framebuffer), parse_framebuffer },
	{ TAG_EFI64, FIXED(efi64), parse_efi64 },
	{ TAG_ACPI_OLD, FIXED(rsdp), parse_rsdp },
	{ TAG_ACPI_NEW, FIXED(rsdp), parse_rsdp },
	{ TAG_EFI_MAP, FIXED(efi_map), parse_efi_map },
	{ TAG_EFI_SERVICES, 0, parse_efi_services },
};

int multiboot2_parse(uint64_t pa, struct boot_info *boot)
{
	const struct tag *tag;
	uint32_t size;

	memset(boot, 0, sizeof(*boot));
	memcpy(&size, phys_to_virt(pa), sizeof(size));
	if (size < HEADER || size > INFO_MAX)
		return -EINVAL;
	bootmem_take(boot, pa, pa + size);
	for (uint64_t at = HEADER; at + HEADER <= size; at += round_up(tag->size, TAG_ALIGN)) {
		tag = phys_to_virt(pa + at);
		if (tag->type == TAG_END || tag->size < HEADER || tag->size > size - at)
			break;
		for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
			if (tag->type == kinds[i].type && tag->size >= HEADER + kinds[i].least)
				kinds[i].parse(tag, boot);
		}
	}
	return boot->map_count > 0 ? 0 : -EINVAL;
}

bool multiboot2_option(const struct boot_info *boot, const char *word)
{
	const char *at = boot->command_line;
	size_t length = strlen(word), i;

	while (at != NULL && *at != '\0') {
		for (i = 0; i < length && at[i] == word[i]; i++)
			;
		if (i == length && (at[i] == ' ' || at[i] == '\0'))
			return true;
		while (*at != ' ' && *at != '\0')
			at++;
		while (*at == ' ')
			at++;
	}
	return false;
}
