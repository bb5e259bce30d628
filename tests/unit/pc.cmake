# SPDX-License-Identifier: GPL-2.0
# The machine: bus, guest memory, fw_cfg, wiring and entries.
keel_unit_test(bus SOURCES tests/unit/test_bus.c devmodel/cell/core/bus.c)
keel_unit_test(gmem SOURCES tests/unit/test_gmem.c devmodel/cell/core/gmem.c)
keel_unit_test(fw_cfg SOURCES
	tests/unit/test_fw_cfg.c devmodel/cell/chip/fw_cfg.c devmodel/cell/core/gmem.c devmodel/cell/core/state.c)

keel_unit_test(pc SOURCES tests/unit/test_pc.c ${KEEL_PC_SOURCES})
keel_unit_test(pc_apic SOURCES tests/unit/test_pc_apic.c ${KEEL_PC_SOURCES})
keel_unit_test(pc_model SOURCES tests/unit/test_pc_model.c ${KEEL_PC_SOURCES})
keel_unit_test(save SOURCES tests/unit/test_save.c ${KEEL_PC_SOURCES})
keel_unit_test(transfer SOURCES tests/unit/test_transfer.c ${KEEL_PC_SOURCES})
keel_unit_test(pc_pci SOURCES tests/unit/test_pc_pci.c ${KEEL_PC_SOURCES})
keel_unit_test(pc_apertures SOURCES tests/unit/test_pc_apertures.c ${KEEL_PC_SOURCES})
keel_unit_test(virtio SOURCES tests/unit/test_virtio.c ${KEEL_PC_SOURCES})
keel_unit_test(virtio_net SOURCES
	tests/unit/test_virtio_net.c tests/unit/virtio_rig.c
	devmodel/cell/virtio/net.c devmodel/cell/virtio/virtio.c devmodel/cell/virtio/virtio_pci.c
	devmodel/cell/virtio/virtio_queue.c devmodel/cell/pci/msi.c devmodel/cell/pci/pci.c devmodel/cell/core/bus.c
	devmodel/cell/core/gmem.c devmodel/cell/core/state.c devmodel/shared/vq_device.c devmodel/shared/vq_driver.c)
keel_unit_test(virtio_blk SOURCES tests/unit/test_virtio_blk.c tests/unit/virtio_rig.c
	devmodel/cell/virtio/blk.c devmodel/cell/virtio/virtio.c devmodel/cell/virtio/virtio_pci.c
	devmodel/cell/virtio/virtio_queue.c devmodel/cell/pci/msi.c devmodel/cell/pci/pci.c devmodel/cell/core/bus.c
	devmodel/cell/core/gmem.c devmodel/cell/core/state.c devmodel/shared/vq_device.c devmodel/shared/vq_driver.c)
keel_unit_test(virtio_held SOURCES tests/unit/test_virtio_held.c tests/unit/virtio_rig.c
	devmodel/cell/virtio/blk.c devmodel/cell/virtio/net.c devmodel/cell/virtio/rng.c
	devmodel/cell/virtio/virtio.c devmodel/cell/virtio/virtio_pci.c
	devmodel/cell/virtio/virtio_queue.c devmodel/cell/pci/msi.c devmodel/cell/pci/pci.c devmodel/cell/core/bus.c
	devmodel/cell/core/gmem.c devmodel/cell/core/state.c devmodel/shared/vq_device.c devmodel/shared/vq_driver.c)

# The image itself, in a process. Its addresses are the sanitizers' too, so it is built without: here, if nobody has one.
set(KEEL_CELL_BIN "" CACHE FILEPATH "The cell's image, if another build makes it (cell.bin); empty: this one does")
if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR AND NOT KEEL_CELL_BIN)
	add_subdirectory(${KEEL_ROOT}/devmodel/cell ${CMAKE_CURRENT_BINARY_DIR}/devmodel/cell)
endif()
if(TARGET keel_cell)
	get_target_property(cell_bin keel_cell KEEL_CELL_BIN)
else()
	set(cell_bin ${KEEL_CELL_BIN})
endif()
if(cell_bin)
	add_executable(unit-cell_image test_cell_image.c)
	target_include_directories(unit-cell_image PRIVATE ${KEEL_ROOT}/include ${KEEL_ROOT}/devmodel ${KEEL_ROOT}/devmodel/cell)
	target_compile_definitions(unit-cell_image PRIVATE _GNU_SOURCE)
	target_compile_options(unit-cell_image PRIVATE
		-std=gnu11 -O2 -g -Wall -Wextra -Werror -Wmissing-prototypes -Wshadow -Wstrict-prototypes -Wundef -fPIE)
	target_link_options(unit-cell_image PRIVATE -pie)
	target_link_libraries(unit-cell_image PRIVATE PkgConfig::CHECK)
	if(TARGET keel_cell)
		add_dependencies(unit-cell_image keel_cell)
	endif()
	add_test(NAME unit-cell_image COMMAND unit-cell_image ${cell_bin})
	set_tests_properties(unit-cell_image PROPERTIES TIMEOUT 300 LABELS unit)
endif()
