# SPDX-License-Identifier: GPL-2.0
# What the hypervisor reads from its loader and hands to Linux.
keel_unit_test(multiboot2
	SOURCES tests/unit/test_multiboot2.c vmm/multiboot2.c vmm/bootmem.c
	INCLUDES vmm arch/x86)
keel_unit_test(linux
	SOURCES tests/unit/test_linux.c vmm/linux.c vmm/bootmem.c
	INCLUDES vmm arch/x86)
keel_unit_test(bootmem
	SOURCES tests/unit/test_bootmem.c vmm/bootmem.c
	INCLUDES vmm arch/x86)
keel_unit_test(clear
	SOURCES tests/unit/test_clear.c vmm/clear.c vmm/bootmem.c
	INCLUDES vmm arch/x86)
