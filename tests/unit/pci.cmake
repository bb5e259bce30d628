# SPDX-License-Identifier: GPL-2.0
# PCI bus, chip set functions and IDE.
keel_unit_test(pci
	SOURCES tests/unit/test_pci.c devmodel/pci/pci.c devmodel/pci/i440fx.c devmodel/pci/piix3.c
		devmodel/pci/piix4_acpi.c devmodel/core/state.c)

set(KEEL_IDE_SOURCES devmodel/pci/pci.c devmodel/pci/piix3_ide.c devmodel/chip/ide.c devmodel/chip/ide_drive.c
	devmodel/chip/bmide.c devmodel/chip/ata.c devmodel/chip/ata_identify.c devmodel/chip/atapi.c
	devmodel/chip/atapi_reply.c devmodel/core/gmem.c devmodel/core/state.c)
keel_unit_test(ide SOURCES tests/unit/test_ide.c ${KEEL_IDE_SOURCES})
keel_unit_test(atapi SOURCES tests/unit/test_atapi.c ${KEEL_IDE_SOURCES})
