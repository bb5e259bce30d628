// SPDX-License-Identifier: GPL-2.0
/* fw_cfg: items, directory, data port and DMA. */
#include "chip/fw_cfg.h"

#include <keel/macros.h>

#include "core/string.h"

#define SIGNATURE		"QEMU"
#define ID_TRADITIONAL		0x1u
#define ID_DMA			0x2u

/* The DMA address register reads as this: a second way to find the interface. */
#define SELECTOR_OFFSET		0u
#define DATA_OFFSET		1u

#define DMA_SIGNATURE_HIGH	0x51454d55u	/* "QEMU" */
#define DMA_SIGNATURE_LOW	0x20434647u	/* " CFG" */
#define DMA_HALF_HIGH		0u
#define DMA_HALF_LOW		4u

#define DMA_ERROR		0x01u
#define DMA_READ		0x02u
#define DMA_SKIP		0x04u
#define DMA_SELECT		0x08u
#define DMA_WRITE		0x10u
#define DMA_KEY_SHIFT		16

/* Firmware may ask for a little more than there is, and gets zeros; what goes far beyond is a mistake. */
#define DMA_EXCESS_MOST		0x10000u

#define NOTHING_SELECTED	0xffffu

/* A DMA descriptor; all big-endian. */
struct dma_descriptor {
	uint32_t control;
	uint32_t length;
	uint64_t address;
};

static const struct state_field fw_cfg_fields[] = {
	STATE_FIELD(struct fw_cfg_state, key),
	STATE_FIELD(struct fw_cfg_state, cursor),
	STATE_FIELD(struct fw_cfg_state, dma_high),
};

const struct state_table fw_cfg_state_table = {
	"fw_cfg", 1, fw_cfg_fields, ARRAY_SIZE(fw_cfg_fields)
};

static void find(struct fw_cfg *cfg, uint16_t key)
{
	const struct fw_cfg_item *item = NULL;

	if (key == FW_CFG_FILE_DIR) {
		cfg->data = (const uint8_t *)&cfg->directory;
		cfg->size = (uint32_t)(sizeof(cfg->directory.count) + cfg->files * sizeof(struct fw_cfg_file));
		return;
	}
	if (key >= FW_CFG_FILE_FIRST && key - FW_CFG_FILE_FIRST < cfg->files)
		item = &cfg->file[key - FW_CFG_FILE_FIRST];
	for (unsigned int i = 0; !item && i < cfg->keys; i++)
		if (cfg->key[i].key == key)
			item = &cfg->key[i];
	cfg->size = item ? item->size : 0;
	cfg->data = item && item->data ? item->data : item ? item->value : NULL;
}

static void select_item(struct fw_cfg *cfg, uint16_t key)
{
	cfg->s.key = key;
	cfg->s.cursor = 0;
	find(cfg, key);
}

void fw_cfg_init(struct fw_cfg *cfg)
{
	cfg->s.dma_high = 0;
	select_item(cfg, NOTHING_SELECTED);
}

void fw_cfg_restored(struct fw_cfg *cfg)
{
	find(cfg, cfg->s.key);
	if (cfg->s.cursor > cfg->size)
		cfg->s.cursor = cfg->size;
}

void fw_cfg_clear(struct fw_cfg *cfg)
{
	cfg->keys = 0;
	cfg->files = 0;
	memset(&cfg->directory, 0, sizeof(cfg->directory));
	fw_cfg_add(cfg, FW_CFG_SIGNATURE, (const uint8_t *)SIGNATURE, sizeof(SIGNATURE) - 1);
	fw_cfg_add_value(cfg, FW_CFG_ID, ID_TRADITIONAL | ID_DMA, sizeof(uint32_t));
}

static bool key_is_free(const struct fw_cfg *cfg, uint16_t key)
{
	for (unsigned int i = 0; i < cfg->keys; i++)
		if (cfg->key[i].key == key)
			return false;
	return key != FW_CFG_FILE_DIR && (key < FW_CFG_FILE_FIRST || key >= FW_CFG_FILE_FIRST + FW_CFG_ITEMS);
}

bool fw_cfg_add(struct fw_cfg *cfg, uint16_t key, const uint8_t *data, uint32_t size)
{
	if (cfg->keys == FW_CFG_ITEMS || !key_is_free(cfg, key))
		return false;
	cfg->key[cfg->keys++] = (struct fw_cfg_item){ .data = data, .size = size, .key = key };
	return true;
}

bool fw_cfg_add_value(struct fw_cfg *cfg, uint16_t key, uint32_t value, uint32_t bytes)
{
	if (bytes > FW_CFG_VALUE_BYTES || !fw_cfg_add(cfg, key, NULL, bytes))
		return false;
	memcpy(cfg->key[cfg->keys - 1].value, &value, sizeof(value));
	return true;
}

static void number_files(struct fw_cfg *cfg)
{
	cfg->directory.count = __builtin_bswap32(cfg->files);
	for (unsigned int i = 0; i < cfg->files; i++)
		cfg->directory.file[i].key = __builtin_bswap16((uint16_t)(FW_CFG_FILE_FIRST + i));
}

static int name_order(const char *a, const char *b)
{
	return memcmp(a, b, FW_CFG_NAME_BYTES);
}

bool fw_cfg_add_file(struct fw_cfg *cfg, const char *name, const uint8_t *data, uint32_t size)
{
	struct fw_cfg_file file = { .size = __builtin_bswap32(size) };
	unsigned int length = 0, at = cfg->files;

	while (length < FW_CFG_NAME_BYTES && name[length])
		length++;
	if (cfg->files == FW_CFG_ITEMS || !length || length == FW_CFG_NAME_BYTES)
		return false;
	memcpy(file.name, name, length);
	for (unsigned int i = 0; i < cfg->files; i++)
		if (!name_order(cfg->directory.file[i].name, file.name))
			return false;

	for (; at > 0 && name_order(cfg->directory.file[at - 1].name, file.name) > 0; at--) {
		cfg->directory.file[at] = cfg->directory.file[at - 1];
		cfg->file[at] = cfg->file[at - 1];
	}
	cfg->directory.file[at] = file;
	cfg->file[at] = (struct fw_cfg_item){ .data = data, .size = size };
	cfg->files++;
	number_files(cfg);
	return true;
}

static uint64_t io_read(void *device, uint64_t offset, unsigned int bytes)
{
	struct fw_cfg *cfg = device;

	if (offset != DATA_OFFSET || bytes != 1 || cfg->s.cursor >= cfg->size)
		return 0;
	return cfg->data[cfg->s.cursor++];
}

static void io_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	if (offset == SELECTOR_OFFSET && bytes == sizeof(uint16_t))
		select_item(device, (uint16_t)value);
}

static bool fill_zeros(struct fw_cfg *cfg, uint64_t address, uint32_t bytes)
{
	static const uint8_t zeros[256];

	while (bytes) {
		uint32_t piece = bytes < sizeof(zeros) ? bytes : (uint32_t)sizeof(zeros);

		if (!gmem_write(cfg->mem, address, zeros, piece))
			return false;
		address += piece;
		bytes -= piece;
	}
	return true;
}

static bool transfer(struct fw_cfg *cfg, uint32_t control, uint64_t address, uint32_t length)
{
	uint32_t left = cfg->size - cfg->s.cursor;
	uint32_t bytes = length < left ? length : left;
	bool good = true;

	if (control & DMA_READ) {
		good = length - bytes <= DMA_EXCESS_MOST &&
		       (!bytes || gmem_write(cfg->mem, address, cfg->data + cfg->s.cursor, bytes)) &&
		       fill_zeros(cfg, address + bytes, length - bytes);
	} else if (!(control & DMA_SKIP)) {
		return !(control & DMA_WRITE);
	}
	if (good)
		cfg->s.cursor += bytes;
	return good;
}

static void run_dma(struct fw_cfg *cfg, uint64_t gpa)
{
	struct dma_descriptor d;
	uint32_t control;
	bool good;

	if (!gmem_read(cfg->mem, gpa, &d, sizeof(d)))
		return;
	control = __builtin_bswap32(d.control);
	if (control & DMA_SELECT)
		select_item(cfg, (uint16_t)(control >> DMA_KEY_SHIFT));
	good = transfer(cfg, control, __builtin_bswap64(d.address), __builtin_bswap32(d.length));
	control = good ? 0 : __builtin_bswap32(DMA_ERROR);
	gmem_write(cfg->mem, gpa, &control, sizeof(control));
}

static uint64_t dma_read(void *device, uint64_t offset, unsigned int bytes)
{
	(void)device;
	if (bytes != sizeof(uint32_t))
		return UINT64_MAX;
	return __builtin_bswap32(offset == DMA_HALF_HIGH ? DMA_SIGNATURE_HIGH : DMA_SIGNATURE_LOW);
}

static void dma_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct fw_cfg *cfg = device;
	uint32_t half = __builtin_bswap32((uint32_t)value);
	uint64_t high = cfg->s.dma_high;

	if (bytes != sizeof(half))
		return;
	if (offset == DMA_HALF_HIGH) {
		cfg->s.dma_high = half;
	} else if (offset == DMA_HALF_LOW) {
		cfg->s.dma_high = 0;
		run_dma(cfg, high << 32 | half);
	}
}

static void restored(void *device)
{
	fw_cfg_restored(device);
}

static const struct device_part parts[] = {
	DEVICE_PART(fw_cfg_state_table, 0, struct fw_cfg, s),
};

const struct device_ops fw_cfg_device = { DEVICE_PARTS(parts), .restored = restored };
const struct io_ops fw_cfg_io = { .read = io_read, .write = io_write, .widest = sizeof(uint16_t) };
const struct io_ops fw_cfg_dma_io = { .read = dma_read, .write = dma_write, .widest = sizeof(uint32_t) };
