/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fw_cfg, the firmware configuration device (QEMU, docs/specs/fw_cfg): items by key, a directory of named items, byte
 * by byte through a data port or by DMA. Items are read-only.
 *
 * The bytes of items belong to whoever added them, must stay where they are, and may change at any time: they are only
 * passed on. Keys of files are given out in the order of their names, from FW_CFG_FILE_FIRST on.
 */
#ifndef KEEL_FW_CFG_H
#define KEEL_FW_CFG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bus.h"
#include "core/device.h"
#include "core/gmem.h"
#include "core/state.h"

#define FW_CFG_SIGNATURE	0x00u
#define FW_CFG_ID		0x01u
#define FW_CFG_NB_CPUS		0x05u
#define FW_CFG_MAX_CPUS		0x0fu
#define FW_CFG_FILE_DIR		0x19u
#define FW_CFG_FILE_FIRST	0x20u
#define FW_CFG_IRQ0_OVERRIDE	0x8002u

#define FW_CFG_ITEMS		80u
#define FW_CFG_NAME_BYTES	56u	/* with its zero */
#define FW_CFG_VALUE_BYTES	4u
#define FW_CFG_PORTS		2u	/* selector of 16 bits, and the data port over its upper half */
#define FW_CFG_DMA_PORTS	8u	/* address, two halves of 32 bits, the high one first */

/* One entry of the directory, as the guest sees it; numbers are big-endian. */
struct fw_cfg_file {
	uint32_t size;
	uint16_t key;
	uint16_t reserved;
	char name[FW_CFG_NAME_BYTES];
};

struct fw_cfg_item {
	const uint8_t *data;
	uint32_t size;
	uint16_t key;			/* of an item without a name */
	uint8_t value[FW_CFG_VALUE_BYTES];
};

struct fw_cfg_state {
	uint16_t key;			/* selected */
	uint32_t cursor;		/* in the selected item; never beyond its size */
	uint32_t dma_high;		/* upper half of the next descriptor's address */
};

struct fw_cfg {
	const struct gmem *mem;		/* wiring */
	unsigned int keys, files;
	struct fw_cfg_item key[FW_CFG_ITEMS];
	struct fw_cfg_item file[FW_CFG_ITEMS];		/* sorted by name */
	struct {
		uint32_t count;				/* big-endian */
		struct fw_cfg_file file[FW_CFG_ITEMS];
	} directory;
	const uint8_t *data;		/* of the selected item, */
	uint32_t size;			/* follows from the state */
	struct fw_cfg_state s;
};

/* Registers at power-on; items stay. */
void fw_cfg_init(struct fw_cfg *cfg);
/* Removes all items but the signature and the identification. */
void fw_cfg_clear(struct fw_cfg *cfg);
/* False: no room, or the key is taken. */
bool fw_cfg_add(struct fw_cfg *cfg, uint16_t key, const uint8_t *data, uint32_t size);
/* A little-endian number of up to FW_CFG_VALUE_BYTES bytes. */
bool fw_cfg_add_value(struct fw_cfg *cfg, uint16_t key, uint32_t value, uint32_t bytes);
/* At most FW_CFG_NAME_BYTES of name are read. False: no room, the name is empty, does not end within them, or is taken. */
bool fw_cfg_add_file(struct fw_cfg *cfg, const char *name, const uint8_t *data, uint32_t size);

/* The devices of these are a struct fw_cfg. Power-on is fw_cfg_init, once there are items. */
extern const struct device_ops fw_cfg_device;
extern const struct io_ops fw_cfg_io, fw_cfg_dma_io;

/* After a load of the state. Items may have become shorter than what was read of them. */
void fw_cfg_restored(struct fw_cfg *cfg);

extern const struct state_table fw_cfg_state_table;

#endif
