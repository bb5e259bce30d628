/* SPDX-License-Identifier: GPL-2.0 */
/* A channel whose first drive is a disk. */
#ifndef KEEL_TEST_IDE_DISK_RIG_H
#define KEEL_TEST_IDE_DISK_RIG_H

#include "ide_rig.h"

#define DISK_SECTORS	4096u
#define DISK_BYTES	(DISK_SECTORS * 512ull)
#define TABLE		0x2000u

static uint8_t data[0x200000];

static inline void set_up(void)
{
	rig_begin();
	rig_drive(0, KEEL_DEVICE_IDE_DISK, DISK_BYTES);
	rig_drive(1, KEEL_DEVICE_IDE_DISK, DISK_BYTES);
	rig.ch->drive[1].flags = KEEL_DEVICE_READONLY;
	rig_power_on();
}

static inline const uint8_t *image(uint64_t lba)
{
	return rig.disk[0].image + lba * 512;
}

static inline uint16_t word(unsigned int i)
{
	return (uint16_t)(data[2 * i] | data[2 * i + 1] << 8);
}

static inline void identify(void)
{
	out(7, 0xec);
	ck_assert_uint_eq(interrupt(), READY | DRQ);
	read_data(data, 512);
	ck_assert_uint_eq(status(), READY);
	ck_assert(!rig.level);
}

#endif
