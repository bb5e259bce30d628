# SPDX-License-Identifier: GPL-2.0
# PCI bus and chip set functions.
keel_unit_test(pci
	SOURCES tests/unit/test_pci.c devmodel/pci/pci.c devmodel/pci/i440fx.c devmodel/pci/piix3.c
		devmodel/pci/piix4_acpi.c devmodel/core/state.c)
