# SPDX-License-Identifier: GPL-2.0
# PCI bus, chip set functions and IDE.
set(pci devmodel/cell/pci/i440fx.c devmodel/cell/pci/msi.c devmodel/cell/pci/pci.c devmodel/cell/pci/piix3.c
	devmodel/cell/pci/piix4_acpi.c devmodel/cell/core/bus.c devmodel/cell/core/state.c)
keel_unit_test(pci SOURCES tests/unit/test_pci.c ${pci})
keel_unit_test(pci_bars SOURCES tests/unit/test_pci_bars.c ${pci})
keel_unit_test(pci_msi SOURCES tests/unit/test_pci_msi.c ${pci})

set(ide devmodel/cell/pci/msi.c devmodel/cell/pci/pci.c devmodel/cell/pci/piix3_ide.c devmodel/cell/core/bus.c
	${KEEL_IDE_SOURCES})
keel_unit_test(ide SOURCES tests/unit/test_ide.c ${ide})
keel_unit_test(ide_dma SOURCES tests/unit/test_ide_dma.c ${ide})
keel_unit_test(atapi SOURCES tests/unit/test_atapi.c ${ide})
