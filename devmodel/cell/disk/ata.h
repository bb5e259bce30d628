/* SPDX-License-Identifier: GPL-2.0 */
/* The command set of an ATA disk (ATA/ATAPI-6, T13 1410D). */
#ifndef KEEL_ATA_H
#define KEEL_ATA_H

#include "disk/ide_drive.h"

void ata_power_on(struct ide_drive *d);
/* SET FEATURES, of disks and CD-ROM drives alike. */
void ata_set_features(struct ide_drive *d);
/* A command for this disk, which is neither busy nor in a data transfer. */
void ata_command(struct ide_drive *d, uint8_t command);
/* The host could not do what was asked. */
void ata_host_failed(struct ide_drive *d);

#endif
