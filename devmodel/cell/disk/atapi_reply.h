/* SPDX-License-Identifier: GPL-2.0 */
/* What an ATAPI CD-ROM drive answers about itself and its medium. Each puts a reply into the buffer and returns its length. */
#ifndef KEEL_ATAPI_REPLY_H
#define KEEL_ATAPI_REPLY_H

#include "disk/ide_drive.h"

#define ATAPI_SECTOR		2048u

/* Media events of GET EVENT STATUS NOTIFICATION (MMC-3, table 97). */
#define ATAPI_EVENT_EJECT_REQUEST 0x01u
#define ATAPI_EVENT_NEW_MEDIUM	0x02u
#define ATAPI_EVENT_REMOVED	0x03u
#define ATAPI_EVENT_HEADER	4u

/* Of the medium that can be read now: 0 without one or with an open tray. */
uint64_t atapi_sectors(const struct ide_drive *d);

uint32_t atapi_reply_sense(struct ide_drive *d);
uint32_t atapi_reply_capacity(struct ide_drive *d);
uint32_t atapi_reply_disc_information(struct ide_drive *d);
uint32_t atapi_reply_mechanism(struct ide_drive *d);
/* These return 0 for what the drive does not know. packet: 12 bytes, not in the buffer. */
uint32_t atapi_reply_inquiry(struct ide_drive *d, const uint8_t *packet);
uint32_t atapi_reply_mode_sense(struct ide_drive *d, const uint8_t *packet, bool ten);
uint32_t atapi_reply_toc(struct ide_drive *d, const uint8_t *packet);
uint32_t atapi_reply_configuration(struct ide_drive *d, const uint8_t *packet);
uint32_t atapi_reply_event(struct ide_drive *d, const uint8_t *packet);

#endif
