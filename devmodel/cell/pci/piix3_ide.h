/* SPDX-License-Identifier: GPL-2.0 */
/*
 * IDE function of Intel 82371SB (PIIX3), 8086:7010, function 1 beside the ISA bridge (data sheet 290550, 2.3 and 2.7): two
 * channels at the legacy ports and the bus-master registers behind BAR 4. The timing registers are kept and change nothing; both
 * channels answer whatever their decode-enable bits say.
 */
#ifndef KEEL_PIIX3_IDE_H
#define KEEL_PIIX3_IDE_H

#include "disk/ide.h"
#include "pci/pci.h"

#define PIIX3_IDE_BM_BAR	4u
#define PIIX3_IDE_BM_PORTS	16u
#define PIIX3_IDE_CHANNELS	2u

struct piix3_ide {
	struct pci_function pci;	/* BAR 4: the bus-master block, 16 ports that take 1, 2 or 4 bytes */
	struct ide_channel channel[PIIX3_IDE_CHANNELS];
};

void piix3_ide_init(void *ide);
extern const struct device_ops piix3_ide_device;

#endif
