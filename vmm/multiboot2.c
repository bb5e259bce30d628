/* SPDX-License-Identifier: GPL-2.0 */
/* Reads what the multiboot2 loader left, and finds free memory by it. */
#include "multiboot2.h"

#include "error.h"
#include "memory.h"
#include "string.h"

#define INFO_MAX	(UINT64_C(16) << 20)	/* far beyond any real one */
#define TAG_ALIGN	8u

#define LOW_MEMORY_END	(UINT64_C(1) << 20)	/* firmware's data, trampolines, video */
#define FOUR_GIB	(UINT64_C(1) << 32)

/* Multiboot2 Specification 2.0, 3.6. */
enum tag_type {
	TAG_END = 0,
	TAG_CMDLINE = 1,
	TAG_MODULE = 3,
	TAG_MAP = 6,
	TAG_FRAMEBUFFER = 8,
	TAG_EFI64 = 12,
	TAG_ACPI_OLD = 14,
	TAG_ACPI_NEW = 15,
	TAG_EFI_MAP = 17,
	TAG_EFI_SERVICES = 18,
};

struct info_header {
	uint32_t total_size;
	uint32_t reserved;
};

struct tag_header {
	uint32_t type;
	uint32_t size;
};

struct tag_module {
	struct tag_header header;
	uint32_t start;
	uint32_t end;
};

struct tag_map {
	struct tag_header header;
	uint32_t entry_size;
	uint32_t entry_version;
};

struct map_entry {
	uint64_t base;
	uint64_t length;
	uint32_t type;
	uint32_t reserved;
};

struct tag_framebuffer {
	struct tag_header header;
	uint64_t address;
	uint32_t pitch;
	uint32_t width;
	uint32_t height;
	uint8_t bits;
	uint8_t type;
	uint16_t reserved;
};

struct framebuffer_colors {
	uint8_t red_position, red_size, green_position, green_size, blue_position, blue_size;
};

struct tag_efi64 {
	struct tag_header header;
	uint64_t pointer;
};

struct tag_efi_map {
	struct tag_header header;
	uint32_t descriptor_size;
	uint32_t descriptor_version;
};

_Static_assert(sizeof(struct tag_framebuffer) == 32 && sizeof(struct map_entry) == 24, "as specified");

#define FRAMEBUFFER_RGB		1u
#define EFI_DESCRIPTOR_MIN	40u	/* UEFI 2.10, 7.2.3: EFI_MEMORY_DESCRIPTOR */

/* A tag in the loader's memory; size is known to lie within the information. */
struct tag {
	uint64_t pa;
	uint32_t size;
};

static bool tag_read(const struct tag *tag, uint32_t offset, void *to, uint32_t size)
{
	if (offset > tag->size || size > tag->size - offset)
		return false;
	memcpy(to, phys_to_virt(tag->pa + offset), size);
	return true;
}

/* NULL: the string does not end within the tag. */
static const char *tag_string(const struct tag *tag, uint32_t offset)
{
	const char *string = phys_to_virt(tag->pa + offset);

	for (uint32_t i = offset; i < tag->size; i++) {
		if (string[i - offset] == '\0')
			return string;
	}
	return NULL;
}

static bool parse_cmdline(const struct tag *tag, struct boot_info *boot)
{
	const char *string = tag_string(tag, sizeof(struct tag_header));

	if (string == NULL || strlen(string) >= sizeof(boot->cmdline))
		return false;
	memcpy(boot->cmdline, string, strlen(string) + 1);
	return true;
}

static bool parse_module(const struct tag *tag, struct boot_info *boot)
{
	const char *string = tag_string(tag, sizeof(struct tag_module));
	struct tag_module module;

	if (!tag_read(tag, 0, &module, sizeof(module)) || string == NULL || module.end < module.start ||
	    boot->module_count == BOOT_MODULES)
		return false;
	boot->module[boot->module_count++] = (struct boot_module){ module.start, module.end, string };
	return true;
}

static bool parse_map(const struct tag *tag, struct boot_info *boot)
{
	struct tag_map map;
	struct map_entry entry;

	if (!tag_read(tag, 0, &map, sizeof(map)) || map.entry_size < sizeof(entry) || map.entry_size > tag->size)
		return false;
	for (uint32_t at = sizeof(map); tag_read(tag, at, &entry, sizeof(entry)); at += map.entry_size) {
		uint64_t end = entry.base + entry.length;

		if (entry.length == 0)
			continue;
		if (end < entry.base || boot->map_count == BOOT_RANGES) {
			boot->lost++;
			continue;
		}
		boot->map[boot->map_count++] = (struct boot_range){ entry.base, end, entry.type };
	}
	return true;
}

static bool parse_framebuffer(const struct tag *tag, struct boot_info *boot)
{
	struct framebuffer_colors colors = { 0 };
	struct tag_framebuffer found;

	if (!tag_read(tag, 0, &found, sizeof(found)))
		return false;
	if (found.type == FRAMEBUFFER_RGB && !tag_read(tag, sizeof(found), &colors, sizeof(colors)))
		return false;
	boot->framebuffer = (struct boot_framebuffer){
		.present = true,
		.address = found.address,
		.pitch = found.pitch,
		.width = found.width,
		.height = found.height,
		.bits = found.bits,
		.type = found.type,
		.red_position = colors.red_position,
		.red_size = colors.red_size,
		.green_position = colors.green_position,
		.green_size = colors.green_size,
		.blue_position = colors.blue_position,
		.blue_size = colors.blue_size,
	};
	return true;
}

static bool parse_efi64(const struct tag *tag, struct boot_info *boot)
{
	struct tag_efi64 efi;

	if (!tag_read(tag, 0, &efi, sizeof(efi)))
		return false;
	boot->efi.system_table = efi.pointer;
	return true;
}

static bool parse_efi_map(const struct tag *tag, struct boot_info *boot)
{
	struct tag_efi_map map;

	if (!tag_read(tag, 0, &map, sizeof(map)) || map.descriptor_size < EFI_DESCRIPTOR_MIN ||
	    map.descriptor_size > tag->size || map.descriptor_size % TAG_ALIGN != 0)
		return false;
	boot->efi.map = tag->pa + sizeof(map);
	boot->efi.map_size = tag->size - sizeof(map);
	boot->efi.map_size -= boot->efi.map_size % map.descriptor_size;
	boot->efi.descriptor_size = map.descriptor_size;
	boot->efi.descriptor_version = map.descriptor_version;
	return true;
}

static bool parse_rsdp(const struct tag *tag, struct boot_info *boot)
{
	uint32_t size = tag->size - sizeof(struct tag_header);

	if (size == 0 || size > sizeof(boot->rsdp))
		return false;
	boot->rsdp_size = size;
	return tag_read(tag, sizeof(struct tag_header), boot->rsdp, size);
}

static bool parse_tag(uint32_t type, const struct tag *tag, struct boot_info *boot)
{
	switch (type) {
	case TAG_CMDLINE:
		return parse_cmdline(tag, boot);
	case TAG_MODULE:
		return parse_module(tag, boot);
	case TAG_MAP:
		return parse_map(tag, boot);
	case TAG_FRAMEBUFFER:
		return parse_framebuffer(tag, boot);
	case TAG_EFI64:
		return parse_efi64(tag, boot);
	case TAG_ACPI_OLD:
		return boot->rsdp_size != 0 || parse_rsdp(tag, boot);
	case TAG_ACPI_NEW:
		return parse_rsdp(tag, boot);
	case TAG_EFI_MAP:
		return parse_efi_map(tag, boot);
	case TAG_EFI_SERVICES:
		boot->efi.services_running = true;
		return true;
	default:
		return true;	/* tags that Keel has no use for */
	}
}

int multiboot2_parse(uint64_t pa, struct boot_info *boot)
{
	struct info_header info;
	uint64_t at = pa + sizeof(info);

	memset(boot, 0, sizeof(*boot));
	memcpy(&info, phys_to_virt(pa), sizeof(info));
	if (info.total_size < sizeof(info) || info.total_size > INFO_MAX)
		return -EINVAL;
	boot->start = pa;
	boot->end = pa + info.total_size;
	while (boot->end - at >= sizeof(struct tag_header)) {
		struct tag_header header;
		struct tag tag = { .pa = at };

		memcpy(&header, phys_to_virt(at), sizeof(header));
		if (header.type == TAG_END)
			break;
		if (header.size < sizeof(header) || header.size > boot->end - at) {
			boot->lost++;
			break;
		}
		tag.size = header.size;
		if (!parse_tag(header.type, &tag, boot))
			boot->lost++;
		at += (header.size + UINT64_C(7)) & ~(uint64_t)(TAG_ALIGN - 1);
		if (at > boot->end)
			break;
	}
	return boot->map_count > 0 ? 0 : -EINVAL;
}

/* Two ranges meet; blocker: where the other one begins. */
static bool overlap(uint64_t start, uint64_t end, uint64_t other_start, uint64_t other_end, uint64_t *blocker)
{
	if (other_start >= end || other_end <= start)
		return false;
	*blocker = other_start;
	return true;
}

static bool blocked(const struct boot_info *boot, const struct boot_range *hidden, unsigned hidden_count,
		    uint64_t start, uint64_t end, uint64_t *blocker)
{
	if (overlap(start, end, boot->start, boot->end, blocker))
		return true;
	for (unsigned i = 0; i < boot->module_count; i++) {
		if (overlap(start, end, boot->module[i].start, boot->module[i].end, blocker))
			return true;
	}
	for (unsigned i = 0; i < hidden_count; i++) {
		if (overlap(start, end, hidden[i].start, hidden[i].end, blocker))
			return true;
	}
	for (unsigned i = 0; i < boot->map_count; i++) {
		if (boot->map[i].type != BOOT_RAM &&
		    overlap(start, end, boot->map[i].start, boot->map[i].end, blocker))
			return true;
	}
	return false;
}

bool memory_is_free(const struct boot_info *boot, const struct boot_range *hidden, unsigned hidden_count,
		    uint64_t start, uint64_t end)
{
	uint64_t blocker;

	if (start < LOW_MEMORY_END || end <= start || blocked(boot, hidden, hidden_count, start, end, &blocker))
		return false;
	for (unsigned i = 0; i < boot->map_count; i++) {
		const struct boot_range *range = &boot->map[i];

		if (range->type == BOOT_RAM && start >= range->start && end <= range->end)
			return true;
	}
	return false;
}

/* The highest place in one range, stepping below whatever is in the way; 0: none. */
static uint64_t choose_in(const struct boot_info *boot, const struct boot_range *hidden,
			  unsigned hidden_count, const struct boot_range *range, uint64_t bytes,
			  uint64_t align, uint64_t below)
{
	uint64_t top = range->end < below ? range->end : below;

	while (top >= bytes) {
		uint64_t start = (top - bytes) & ~(align - 1);

		if (start < range->start || start < LOW_MEMORY_END)
			return 0;
		if (!blocked(boot, hidden, hidden_count, start, start + bytes, &top))
			return start;
	}
	return 0;
}

uint64_t memory_choose(const struct boot_info *boot, const struct boot_range *hidden, unsigned hidden_count,
		       uint64_t bytes, uint64_t align, uint64_t below)
{
	uint64_t best = 0;

	if (bytes == 0)
		return 0;
	if (below > FOUR_GIB) {
		best = memory_choose(boot, hidden, hidden_count, bytes, align, FOUR_GIB);
		if (best != 0)
			return best;
	}
	for (unsigned i = 0; i < boot->map_count; i++) {
		uint64_t place;

		if (boot->map[i].type != BOOT_RAM)
			continue;
		place = choose_in(boot, hidden, hidden_count, &boot->map[i], bytes, align, below);
		if (place > best)
			best = place;
	}
	return best;
}
