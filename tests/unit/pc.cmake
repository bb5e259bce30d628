# SPDX-License-Identifier: GPL-2.0
# The machine: guest memory, fw_cfg, wiring and entries.
keel_unit_test(gmem SOURCES tests/unit/test_gmem.c devmodel/core/gmem.c)
keel_unit_test(fw_cfg SOURCES
	tests/unit/test_fw_cfg.c devmodel/chip/fw_cfg.c devmodel/core/gmem.c devmodel/core/state.c)

set(machine
	entry link pc pc_boot pc_ports reset
	core/decode core/emulate core/gmem core/state core/walk
	chip/ata chip/ata_identify chip/atapi chip/atapi_reply chip/bmide chip/debugport chip/fw_cfg chip/hpet
	chip/i8042 chip/i8254 chip/i8259 chip/ide chip/ide_drive chip/ioapic chip/lapic chip/mc146818 chip/ns16550
	chip/piix4_pm chip/reset_control
	pci/i440fx pci/pci pci/piix3 pci/piix3_ide pci/piix4_acpi)
list(TRANSFORM machine REPLACE "(.+)" "devmodel/\\1.c")
keel_unit_test(pc SOURCES tests/unit/test_pc.c ${machine} DEFINES _GNU_SOURCE)
