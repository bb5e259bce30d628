/* SPDX-License-Identifier: GPL-2.0 */
/* SMBIOS 2.8 tables: the entry point and the structures, as the firmware takes them from fw_cfg. */
#ifndef KEEL_SMBIOS_H
#define KEEL_SMBIOS_H

#include <keel/topology.h>

#include "host/firmware/blob.h"

#define SMBIOS_FILE_ANCHOR	"etc/smbios/smbios-anchor"
#define SMBIOS_FILE_TABLES	"etc/smbios/smbios-tables"
#define SMBIOS_UUID_BYTES	16

struct smbios_machine {
	const char *name;
	uint8_t uuid[SMBIOS_UUID_BYTES];	/* as RFC 4122 writes it */
	struct keel_topology topology;
	uint64_t low_memory;			/* bytes from 0 */
	uint64_t high_memory;			/* bytes from 4 GiB */
};

struct smbios_tables {
	struct blob anchor;
	struct blob tables;
};

void smbios_build(struct smbios_tables *smbios, const struct smbios_machine *machine);
void smbios_free(struct smbios_tables *smbios);

#endif
