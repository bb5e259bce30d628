# SPDX-License-Identifier: GPL-2.0
include(${KEEL_ROOT}/bios/dsdt.cmake)
keel_dsdt(${CMAKE_CURRENT_BINARY_DIR}/host)
set_source_files_properties(${KEEL_ROOT}/devmodel/host/firmware/acpi.c
	PROPERTIES OBJECT_DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/host/dsdt.hex)

keel_unit_test(acpi ALLOCATES
	SOURCES tests/unit/test_acpi.c devmodel/host/firmware/acpi.c devmodel/host/firmware/blob.c
		devmodel/host/firmware/items.c devmodel/host/firmware/smbios.c
	INCLUDES ${CMAKE_CURRENT_BINARY_DIR}/host)

# Executed by ACPICA's own interpreter.
find_program(ACPIEXEC acpiexec REQUIRED)
set_source_files_properties(test_acpi_pci.c test_acpi_board.c PROPERTIES
	OBJECT_DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/host/dsdt.hex
	COMPILE_DEFINITIONS "ACPIEXEC=\"${ACPIEXEC}\";DSDT_AML=\"${CMAKE_CURRENT_BINARY_DIR}/host/dsdt.aml\"")
keel_unit_test(acpi_pci
	SOURCES tests/unit/test_acpi_pci.c devmodel/cell/pci/msi.c devmodel/cell/pci/pci.c devmodel/cell/pci/piix3.c
		devmodel/cell/core/bus.c devmodel/cell/core/state.c)

keel_unit_test(acpi_board
	SOURCES tests/unit/test_acpi_board.c ${KEEL_PC_SOURCES})

pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(LIBURING REQUIRED IMPORTED_TARGET liburing)
keel_unit_test(vq
	SOURCES tests/unit/test_vq.c devmodel/shared/vq_device.c devmodel/shared/vq_driver.c)
keel_unit_test(devices ALLOCATES
	SOURCES tests/unit/test_devices.c devmodel/host/backend/bucket.c devmodel/host/backend/net.c
		devmodel/host/backend/net_passt.c devmodel/host/backend/net_tap.c devmodel/host/backend/net_vlan.c
		devmodel/host/backend/rng.c devmodel/host/backend/virtio_blk.c
		devmodel/host/loop.c devmodel/host/channel.c devmodel/host/devices.c devmodel/host/firmware/blob.c
		tools/common/exit.c tools/common/text.c ${KEEL_PC_SOURCES})
keel_unit_test(disk ALLOCATES
	SOURCES tests/unit/test_disk.c devmodel/host/backend/claim.c devmodel/host/backend/direct.c
		devmodel/host/backend/disk.c devmodel/host/loop.c
		${KEEL_BOARD_SOURCES} devmodel/cell/core/stream.c devmodel/shared/vq_driver.c
		tools/common/rundir.c tools/common/exit.c tools/common/text.c tools/manifest/image_format.c
	LIBS PkgConfig::JANSSON PkgConfig::LIBURING)

keel_unit_test(throttle
	SOURCES tests/unit/test_throttle.c devmodel/host/backend/block_queue.c devmodel/host/backend/bucket.c
		devmodel/host/backend/throttle.c
		devmodel/shared/vq_device.c devmodel/shared/vq_driver.c
	LIBS PkgConfig::LIBURING)

keel_unit_test(seed ALLOCATES
	SOURCES tests/unit/test_seed.c devmodel/host/seed/seed_files.c
	LIBS PkgConfig::JANSSON)

keel_unit_test(hostcheck
	SOURCES tests/unit/test_hostcheck.c tools/keel/hostcheck.c
	INCLUDES tools/keel)

keel_unit_test(ending ALLOCATES
	SOURCES tests/unit/test_ending.c devmodel/host/ending.c)

keel_unit_test(button
	SOURCES tests/unit/test_button.c devmodel/host/button.c)

keel_unit_test(bucket
	SOURCES tests/unit/test_bucket.c devmodel/host/backend/bucket.c)

keel_unit_test(notice
	SOURCES tests/unit/test_notice.c devmodel/host/backend/notice.c tools/common/text.c)

keel_unit_test(console ALLOCATES
	SOURCES tests/unit/test_console.c devmodel/host/backend/console.c devmodel/host/control.c devmodel/host/backend/logfile.c
		devmodel/host/loop.c tools/common/exit.c tools/common/text.c
	LIBS PkgConfig::JANSSON util)

# The driver's file, with a stand-in for the kernel's headers; names of variables are of 16-bit characters.
keel_unit_test(mor
	SOURCES tests/unit/test_mor.c
	INCLUDES tests/unit/kernel)
target_compile_options(unit-mor PRIVATE -fshort-wchar)

# The same; the test itself has all that this one takes, so that the headers are empty.
set(empty ${CMAKE_CURRENT_BINARY_DIR}/kernel_run)
foreach(header asm/tsc linux/delay linux/eventfd linux/hrtimer linux/kref linux/list linux/math64 linux/mm_types linux/mutex
		linux/sched linux/sched/signal linux/spinlock linux/types linux/wait)
	if(NOT EXISTS ${empty}/${header}.h)
		file(WRITE ${empty}/${header}.h "")
	endif()
endforeach()
keel_unit_test(run
	SOURCES tests/unit/test_run.c
	INCLUDES ${empty})
