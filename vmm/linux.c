/* SPDX-License-Identifier: GPL-2.0 */
/* Loads Linux by its 32-bit boot protocol and describes the machine to it without Keel's memory. */
#include "linux.h"

#include <stddef.h>

#include "bootmem.h"
#include "efi.h"
#include "memory.h"
#include "string.h"

#define SECTOR		512u

#define BOOT_FLAG	0xaa55u
#define HEADER_MAGIC	0x53726448u	/* "HdrS" */
#define PROTOCOL_MIN	0x020cu		/* 2.12: xloadflags */
#define LOADER_OTHER	0xffu
#define LOADED_HIGH	0x01u
#define XLF_KERNEL_64	0x0001u
#define XLF_ABOVE_4G	0x0002u
#define DEFAULT_SETUP_SECTORS	4u

#define E820_ENTRIES	128u
#define SETUP_E820_EXT	1u

#define EFI_SIGNATURE	0x34364c45u	/* "EL64" */

#define VIDEO_VGA_TEXT	0x01u
#define VIDEO_VLFB	0x23u
#define VIDEO_EFI	0x70u
#define VIDEO_64BIT	0x02u
#define VGA_TEXT_MODE	3u
#define VLFB_UNIT	0x10000u	/* lfb_size counts 64 KiB for VLFB, bytes for EFI */

/* boot.rst, "The Real-Mode Kernel Header": at the same offset of the image and of the zero page. */
#define HEADER_OFFSET	0x1f1u
#define HEADER_JUMP	0x202u		/* the byte before it says how far the header reaches from here */
#define HEADER_ROOM	0x290u		/* end of its room in the zero page */

struct setup_header {
	uint8_t setup_sectors;
	uint8_t unused1f2[0xc];
	uint16_t boot_flag;
	uint8_t jump_opcode;
	uint8_t jump_length;
	uint32_t magic;
	uint16_t version;
	uint8_t unused208[8];
	uint8_t loader_type;
	uint8_t load_flags;
	uint16_t setup_move_size;
	uint32_t code32_start;
	uint32_t ramdisk_image;
	uint32_t ramdisk_size;
	uint8_t unused220[8];
	uint32_t cmdline_pointer;
	uint32_t initrd_max;
	uint32_t alignment;
	uint8_t relocatable;
	uint8_t min_alignment;
	uint16_t xload_flags;
	uint32_t cmdline_size;
	uint8_t unused23c[0x14];
	uint64_t setup_data;
	uint64_t pref_address;
	uint32_t init_size;
	uint32_t handover_offset;
} __attribute__((packed));

_Static_assert(HEADER_OFFSET + offsetof(struct setup_header, magic) == 0x202, "boot.rst");
_Static_assert(HEADER_OFFSET + offsetof(struct setup_header, setup_data) == 0x250, "boot.rst");
_Static_assert(HEADER_OFFSET + sizeof(struct setup_header) == 0x268, "boot.rst");

struct screen_info {
	uint8_t unused0[6];
	uint8_t mode;
	uint8_t columns;
	uint8_t unused8[6];
	uint8_t lines;
	uint8_t type;
	uint16_t points;
	uint16_t width;
	uint16_t height;
	uint16_t depth;
	uint32_t base;
	uint32_t size;
	uint32_t unused20;
	uint16_t pitch;
	uint8_t red_size;
	uint8_t red_position;
	uint8_t green_size;
	uint8_t green_position;
	uint8_t blue_size;
	uint8_t blue_position;
	uint8_t reserved_size;
	uint8_t reserved_position;
	uint8_t unused2e[8];
	uint32_t capabilities;
	uint32_t base_high;
	uint16_t unused3e;
} __attribute__((packed));

_Static_assert(sizeof(struct screen_info) == 0x40, "include/uapi/linux/screen_info.h");

struct efi_info {
	uint32_t signature;
	uint32_t system_table;
	uint32_t descriptor_size;
	uint32_t descriptor_version;
	uint32_t map;
	uint32_t map_size;
	uint32_t system_table_high;
	uint32_t map_high;
} __attribute__((packed));

struct e820_entry {
	uint64_t start;
	uint64_t size;
	uint32_t type;
} __attribute__((packed));

/* Documentation/arch/x86/zero-page.rst */
struct boot_params {
	struct screen_info screen;
	uint8_t unused040[0x30];
	uint64_t rsdp;
	uint8_t unused078[0x148];
	struct efi_info efi;
	uint8_t unused1e0[8];
	uint8_t e820_count;
	uint8_t unused1e9[8];
	struct setup_header header;
	uint8_t unused268[0x68];
	struct e820_entry e820[E820_ENTRIES];
	uint8_t unusedcd0[0x330];
} __attribute__((packed));

_Static_assert(offsetof(struct boot_params, rsdp) == 0x070, "zero-page.rst");
_Static_assert(offsetof(struct boot_params, efi) == 0x1c0, "zero-page.rst");
_Static_assert(offsetof(struct boot_params, e820_count) == 0x1e8, "zero-page.rst");
_Static_assert(offsetof(struct boot_params, header) == HEADER_OFFSET, "zero-page.rst");
_Static_assert(offsetof(struct boot_params, e820) == 0x2d0, "zero-page.rst");
_Static_assert(sizeof(struct boot_params) == 4096, "zero-page.rst");

struct setup_data {
	uint64_t next;
	uint32_t type;
	uint32_t length;
};

/* What overlays the firmware's maps: Keel's ranges, and in the EFI map the block; the RSDP's page in both. */
#define OVERLAYS	(LINUX_HIDDEN + 2u)

struct loader {
	struct boot_info *boot;
	struct linux_entry *entry;
	const struct boot_module *kernel;
	const struct setup_header *header;	/* in that module, as is the protected-mode part */
	uint64_t image;
	struct boot_params *params;
	struct boot_range overlay[OVERLAYS];	/* type: as in E820 */
	unsigned overlay_count;
	uint64_t cmdline_pa;
	uint64_t rsdp_pa;
	uint64_t e820_pa;
	uint64_t efi_pa;
};

static void add_overlay(struct loader *loader, uint64_t start, uint64_t end, uint32_t type)
{
	loader->overlay[loader->overlay_count++] = (struct boot_range){ start, end, type };
}

static const char *read_kernel(struct loader *loader)
{
	const struct boot_module *kernel = loader->kernel;
	const struct setup_header *header = loader->header;
	uint32_t sectors;

	if (kernel->end - kernel->start < HEADER_OFFSET + sizeof(*header))
		return "the kernel module is too short";
	if (header->boot_flag != BOOT_FLAG || header->magic != HEADER_MAGIC || header->version < PROTOCOL_MIN)
		return "the kernel module is not a bzImage of boot protocol 2.12 or later";
	if (header->relocatable == 0 || (header->xload_flags & XLF_KERNEL_64) == 0 || header->alignment < PAGE_SIZE ||
	    (header->alignment & (header->alignment - 1)) != 0)
		return "the kernel is not a relocatable 64-bit one";
	sectors = header->setup_sectors != 0 ? header->setup_sectors : DEFAULT_SETUP_SECTORS;
	loader->image = kernel->start + (sectors + 1) * SECTOR;
	if (loader->image >= kernel->end || header->init_size < kernel->end - loader->image)
		return "the kernel module is damaged";
	return NULL;
}

static const char *place_kernel(struct loader *loader)
{
	const struct setup_header *header = loader->header;
	uint64_t load = header->pref_address, size = round_up(header->init_size, PAGE_SIZE);

	if (load % header->alignment != 0 || load >= SIZE_4G - size || !bootmem_is_free(loader->boot, load, load + size))
		load = bootmem_choose(loader->boot, size, header->alignment, SIZE_4G);
	if (load == 0)
		return "no room for the kernel below 4 GiB";
	loader->entry->load = load;
	loader->entry->load_end = load + size;
	bootmem_take(loader->boot, load, load + size);
	memcpy(phys_to_virt(load), phys_to_virt(loader->image), loader->kernel->end - loader->image);
	return NULL;
}

static const char *place_initrd(struct loader *loader)
{
	const struct boot_module *module = &loader->boot->module[1];
	uint64_t size = module->end - module->start, start = module->start;
	uint64_t limit = (loader->header->xload_flags & XLF_ABOVE_4G) != 0 ?
			 SIZE_4G : UINT64_C(1) + loader->header->initrd_max;

	if (loader->boot->module_count < 2 || size == 0)
		return NULL;
	if (start % PAGE_SIZE != 0 || start + size > limit) {
		start = bootmem_choose(loader->boot, round_up(size, PAGE_SIZE), PAGE_SIZE, limit);
		if (start == 0)
			return "no room for the initrd where the kernel wants it";
		bootmem_take(loader->boot, start, start + size);
		memcpy(phys_to_virt(start), phys_to_virt(module->start), size);
	}
	loader->entry->initrd = start;
	loader->entry->initrd_end = start + size;
	return NULL;
}

static uint64_t efi_map_bytes(const struct boot_info *boot)
{
	uint64_t pieces = 2 * OVERLAYS;		/* an overlay may cut a descriptor in two at each of its ends */

	return boot->efi.map_size + pieces * boot->efi.descriptor_size;
}

static bool efi_booted(const struct boot_info *boot)
{
	return boot->efi.system_table != 0 && boot->efi.map != 0 && !boot->efi.services_running;
}

/* boot_params, command line, more E820 entries, EFI map, and a page for the RSDP. */
static const char *place_block(struct loader *loader)
{
	const struct boot_info *boot = loader->boot;
	uint64_t cmdline = round_up(strlen(loader->kernel->string) + 1, PAGE_SIZE);
	uint64_t pieces = boot->map_count * (1 + OVERLAYS) + OVERLAYS;
	uint64_t e820 = round_up(sizeof(struct setup_data) + pieces * sizeof(struct e820_entry), PAGE_SIZE);
	uint64_t efi = efi_booted(boot) ? round_up(efi_map_bytes(boot), PAGE_SIZE) : 0;
	uint64_t size = PAGE_SIZE + cmdline + e820 + efi + PAGE_SIZE;
	uint64_t block;

	if (strlen(loader->kernel->string) > loader->header->cmdline_size)
		return "the kernel's command line is too long";
	block = bootmem_choose(boot, size, PAGE_SIZE, SIZE_4G);
	if (block == 0)
		return "no room for the boot parameters below 4 GiB";
	memset(phys_to_virt(block), 0, size);
	loader->entry->block = block;
	loader->entry->block_end = block + size;
	loader->params = phys_to_virt(block);
	loader->cmdline_pa = block + PAGE_SIZE;
	loader->e820_pa = loader->cmdline_pa + cmdline;
	loader->efi_pa = loader->e820_pa + e820;
	loader->rsdp_pa = loader->efi_pa + efi;
	return NULL;
}

/* Where the piece at pos ends that lies wholly in *overlay or, that being NULL, in none. */
static uint64_t piece_end(const struct loader *loader, uint64_t pos, uint64_t end, const struct boot_range **overlay)
{
	const struct boot_range *next = NULL;

	for (unsigned i = 0; i < loader->overlay_count; i++) {
		const struct boot_range *other = &loader->overlay[i];

		if (boot_range_overlaps(other, pos, end) && (next == NULL || other->start < next->start))
			next = other;
	}
	*overlay = next != NULL && next->start <= pos ? next : NULL;
	if (next == NULL)
		return end;
	if (next->start > pos)
		return next->start;
	return next->end < end ? next->end : end;
}

static void e820_add(struct loader *loader, uint64_t start, uint64_t end, uint32_t type)
{
	struct boot_params *params = loader->params;
	struct setup_data *more = phys_to_virt(loader->e820_pa);
	struct e820_entry entry = { start, end - start, type };

	if (params->e820_count < E820_ENTRIES) {
		params->e820[params->e820_count++] = entry;
	} else {
		memcpy((uint8_t *)(more + 1) + more->length, &entry, sizeof(entry));
		more->type = SETUP_E820_EXT;
		more->length += sizeof(entry);
		params->header.setup_data = loader->e820_pa;
	}
}

/* Overlays are cut out, not laid over: the decompressor places the kernel by the RAM entries alone. */
static void build_e820(struct loader *loader)
{
	const struct boot_range *range, *overlay;

	for (unsigned i = 0; i < loader->boot->map_count; i++) {
		range = &loader->boot->map[i];
		for (uint64_t end, pos = range->start; pos < range->end; pos = end) {
			end = piece_end(loader, pos, range->end, &overlay);
			if (overlay == NULL)
				e820_add(loader, pos, end, range->type);
		}
	}
	for (unsigned i = 0; i < loader->overlay_count; i++)
		e820_add(loader, loader->overlay[i].start, loader->overlay[i].end, loader->overlay[i].type);
}

static bool efi_usable(uint32_t type)
{
	return type == EFI_LOADER_CODE || type == EFI_LOADER_DATA || type == EFI_SERVICES_CODE ||
	       type == EFI_SERVICES_DATA || type == EFI_CONVENTIONAL;
}

static uint32_t efi_type(uint32_t type)
{
	return type == BOOT_RAM ? EFI_LOADER_DATA : type == BOOT_ACPI ? EFI_ACPI_RECLAIM : EFI_RESERVED;
}

/* A descriptor of [start, end) with everything else as the firmware gave it. */
static void efi_add(struct loader *loader, const void *from, uint64_t start, uint64_t end, uint32_t type)
{
	struct efi_info *efi = &loader->params->efi;
	uint32_t size = loader->boot->efi.descriptor_size;
	struct efi_descriptor *descriptor = phys_to_virt(loader->efi_pa + efi->map_size);

	if (efi->map_size + size > efi_map_bytes(loader->boot))
		return;
	memcpy(descriptor, from, size);
	descriptor->type = type;
	descriptor->start = start;
	descriptor->pages = (end - start) / PAGE_SIZE;
	efi->map_size += size;
}

static void efi_cut(struct loader *loader, const struct efi_descriptor *descriptor)
{
	uint64_t pos = descriptor->start, last = pos + descriptor->pages * PAGE_SIZE, end = last;
	const struct boot_range *overlay = NULL;

	for (; pos < last; pos = end) {
		if (efi_usable(descriptor->type))
			end = piece_end(loader, pos, last, &overlay);
		efi_add(loader, descriptor, pos, end, overlay != NULL ? efi_type(overlay->type) : descriptor->type);
	}
}

/*
 * The block is the loader's data there: with a conventional range in its place, the decompressor could choose
 * it for the kernel and overwrite this very map.
 */
static void build_efi(struct loader *loader)
{
	struct efi_info *info = &loader->params->efi;
	const struct boot_efi *efi = &loader->boot->efi;

	add_overlay(loader, loader->entry->block, loader->rsdp_pa, BOOT_RAM);
	for (uint32_t at = 0; at < efi->map_size; at += efi->descriptor_size) {
		const struct efi_descriptor *descriptor = phys_to_virt(efi->map + at);

		if (descriptor->pages <= (UINT64_MAX - descriptor->start) / PAGE_SIZE)
			efi_cut(loader, descriptor);
	}
	info->signature = EFI_SIGNATURE;
	info->system_table = (uint32_t)efi->system_table;
	info->system_table_high = (uint32_t)(efi->system_table >> 32);
	info->descriptor_size = efi->descriptor_size;
	info->descriptor_version = efi->descriptor_version;
	info->map = (uint32_t)loader->efi_pa;
}

static void build_framebuffer(struct screen_info *screen, const struct boot_framebuffer *buffer, bool efi)
{
	uint64_t bytes = (uint64_t)buffer->pitch * buffer->height;

	screen->type = efi ? VIDEO_EFI : VIDEO_VLFB;
	screen->width = (uint16_t)buffer->width;
	screen->height = (uint16_t)buffer->height;
	screen->depth = buffer->bits;
	screen->pitch = (uint16_t)buffer->pitch;
	screen->base = (uint32_t)buffer->address;
	screen->base_high = (uint32_t)(buffer->address >> 32);
	screen->capabilities = screen->base_high != 0 ? VIDEO_64BIT : 0;
	screen->size = (uint32_t)(efi ? bytes : (bytes + VLFB_UNIT - 1) / VLFB_UNIT);
	screen->red_size = buffer->red_size;
	screen->red_position = buffer->red_position;
	screen->green_size = buffer->green_size;
	screen->green_position = buffer->green_position;
	screen->blue_size = buffer->blue_size;
	screen->blue_position = buffer->blue_position;
	if (buffer->bits == 32) {
		screen->reserved_size = 8;
		screen->reserved_position = 24;
	}
}

/* Without a framebuffer a machine with a BIOS is in VGA text mode, and one with UEFI has no screen. */
static void build_screen(struct screen_info *screen, const struct boot_info *boot)
{
	const struct boot_framebuffer *buffer = &boot->framebuffer;

	if (buffer->present && buffer->type == FRAMEBUFFER_RGB) {
		build_framebuffer(screen, buffer, efi_booted(boot));
	} else if (!efi_booted(boot)) {
		bool text = buffer->present && buffer->type == FRAMEBUFFER_TEXT;

		screen->type = VIDEO_VGA_TEXT;
		screen->mode = VGA_TEXT_MODE;
		screen->columns = text ? (uint8_t)buffer->width : 80;
		screen->lines = text ? (uint8_t)buffer->height : 25;
		screen->points = 16;
	}
}

static void build_header(struct loader *loader)
{
	struct setup_header *header = &loader->params->header;
	const struct linux_entry *entry = loader->entry;
	uint32_t bytes = HEADER_JUMP + loader->header->jump_length - HEADER_OFFSET;

	if (bytes > HEADER_ROOM - HEADER_OFFSET)
		bytes = HEADER_ROOM - HEADER_OFFSET;
	memcpy(header, loader->header, bytes);
	header->loader_type = LOADER_OTHER;
	header->load_flags |= LOADED_HIGH;
	header->code32_start = (uint32_t)entry->load;
	header->ramdisk_image = (uint32_t)entry->initrd;
	header->ramdisk_size = (uint32_t)(entry->initrd_end - entry->initrd);
	header->cmdline_pointer = (uint32_t)loader->cmdline_pa;
	header->setup_data = 0;
	memcpy(phys_to_virt(loader->cmdline_pa), loader->kernel->string, strlen(loader->kernel->string) + 1);
}

/* The loader hands on a copy of the RSDP; Linux wants an address, in memory that it keeps. */
static void build_rsdp(struct loader *loader)
{
	const struct boot_info *boot = loader->boot;

	if (boot->rsdp_size == 0)
		return;
	memcpy(phys_to_virt(loader->rsdp_pa), boot->rsdp, boot->rsdp_size);
	loader->params->rsdp = loader->rsdp_pa;
	add_overlay(loader, loader->rsdp_pa, loader->rsdp_pa + PAGE_SIZE, BOOT_ACPI);
}

const char *linux_load(struct boot_info *boot, const struct boot_range hidden[LINUX_HIDDEN], struct linux_entry *entry)
{
	struct loader loader = {
		.boot = boot,
		.entry = entry,
		.kernel = &boot->module[0],
		.header = phys_to_virt(boot->module[0].start + HEADER_OFFSET),
	};
	const char *error;

	memset(entry, 0, sizeof(*entry));
	if (boot->module_count == 0)
		return "the loader gave no Linux kernel. In the boot menu, 'module2' lines must name the kernel and the initrd.";
	for (unsigned i = 0; i < LINUX_HIDDEN; i++)
		if (hidden[i].start < hidden[i].end)
			add_overlay(&loader, hidden[i].start, hidden[i].end, BOOT_RESERVED);
	error = read_kernel(&loader) ?: place_kernel(&loader) ?: place_initrd(&loader) ?: place_block(&loader);
	if (error != NULL)
		return error;
	build_header(&loader);
	build_rsdp(&loader);
	build_e820(&loader);
	if (efi_booted(boot))
		build_efi(&loader);
	build_screen(&loader.params->screen, boot);
	return NULL;
}
