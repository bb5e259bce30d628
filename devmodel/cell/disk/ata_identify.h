/* SPDX-License-Identifier: GPL-2.0 */
/* What drives tell about themselves: IDENTIFY DEVICE and IDENTIFY PACKET DEVICE (ATA/ATAPI-6, 8.15 and 8.16). */
#ifndef KEEL_ATA_IDENTIFY_H
#define KEEL_ATA_IDENTIFY_H

#include "disk/ide_drive.h"

#define ATA_DEFAULT_HEADS	16u
#define ATA_DEFAULT_SECTORS	63u

/* Transfer modes as SET FEATURES takes them: kind | number. */
#define ATA_MODE_KIND		0xf8u
#define ATA_MODE_PIO_DEFAULT	0x00u
#define ATA_MODE_PIO		0x08u
#define ATA_MODE_MWDMA		0x20u
#define ATA_MODE_UDMA		0x40u

/* Of a disk in the default translation. */
uint32_t ata_default_cylinders(uint64_t bytes);
bool ata_mode_supported(uint8_t mode);
/* Each fills the first 512 bytes of the drive's buffer. */
void ata_identify(struct ide_drive *d);
void ata_identify_packet(struct ide_drive *d);

#endif
