/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The command set of an ATAPI CD-ROM drive: ATA/ATAPI-6 for the registers, MMC-3 and SPC-3 for the packets. A medium is one
 * data track of 2048-byte sectors; one larger than a CD is shown as a DVD-ROM.
 */
#ifndef KEEL_ATAPI_H
#define KEEL_ATAPI_H

#include "disk/ide_drive.h"

#define ATAPI_DEVICE_RESET	0x08u	/* the one command that a busy drive obeys */

void atapi_power_on(struct ide_drive *d);
/* A command for this drive, which is neither busy nor in a data transfer. */
void atapi_command(struct ide_drive *d, uint8_t command);
/* The packet is in the buffer. */
void atapi_packet(struct ide_drive *d);
/* The host could not do what was asked; the bus master could not reach memory. */
void atapi_host_failed(struct ide_drive *d);
void atapi_bus_failed(struct ide_drive *d);
/* Another medium (bytes is rounded down to whole sectors), or none (0). A read that is going on fails. */
void atapi_medium_changed(struct ide_drive *d, uint64_t bytes);
/* Somebody presses the button of the drive: the guest may eject the medium. */
void atapi_eject_request(struct ide_drive *d);

#endif
