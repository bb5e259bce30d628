# SPDX-License-Identifier: GPL-2.0
# How unit tests and fuzz targets are compiled; lists of sources that several of them want.
set(KEEL_UNIT_FLAGS
	-std=gnu11 -O2 -g1 -fno-omit-frame-pointer
	-Wall -Wextra -Werror -Wmissing-prototypes -Wshadow -Wstrict-prototypes -Wundef
	-fsanitize=address,undefined -fno-sanitize-recover=all)

# keel_unit_flags(TARGET FOLDERS DEFINITIONS): how all is compiled here.
function(keel_unit_flags target includes defines)
	target_include_directories(${target} PRIVATE ${includes} ${KEEL_ROOT}/include ${KEEL_ROOT}/devmodel/cell
		${KEEL_ROOT}/devmodel ${KEEL_ROOT}/tools)
	target_compile_definitions(${target} PRIVATE _GNU_SOURCE KEEL_HOST_TEST ${defines})
	target_compile_options(${target} PRIVATE ${KEEL_UNIT_FLAGS})
endfunction()

# keel_shared_sources(TARGET FOLDERS DEFINITIONS FILES): gives it these files of the tree. What several want in the same way is
# compiled once.
function(keel_shared_sources target includes defines files)
	foreach(file ${files})
		string(SHA1 key "${file};${includes};${defines}")
		string(SUBSTRING ${key} 0 12 key)
		if(NOT TARGET object-${key})
			add_library(object-${key} OBJECT ${KEEL_ROOT}/${file})
			keel_unit_flags(object-${key} "${includes}" "${defines}")
		endif()
		target_sources(${target} PRIVATE $<TARGET_OBJECTS:object-${key}>)
	endforeach()
endfunction()

set(KEEL_EMULATE_SOURCES devmodel/cell/vcpu/emulate.c devmodel/cell/vcpu/emulate_integer.c devmodel/cell/vcpu/emulate_place.c
	devmodel/cell/vcpu/emulate_run.c devmodel/cell/vcpu/emulate_string.c devmodel/cell/vcpu/emulate_vector.c
	devmodel/cell/vcpu/alu.c devmodel/cell/vcpu/decode.c devmodel/cell/vcpu/decode_vector.c devmodel/cell/vcpu/walk.c
	devmodel/cell/core/bus.c devmodel/cell/core/gmem.c)
set(KEEL_IDE_SOURCES devmodel/cell/disk/ide.c devmodel/cell/disk/ide_drive.c devmodel/cell/disk/bmide.c devmodel/cell/disk/ata.c
	devmodel/cell/disk/ata_identify.c devmodel/cell/disk/atapi.c devmodel/cell/disk/atapi_reply.c devmodel/cell/core/gmem.c
	devmodel/cell/core/state.c)
# The machine: all of a cell but its frame.
set(KEEL_PC_SOURCES
	core/aperture core/bus core/gmem core/state core/stream
	chip/debugport chip/fw_cfg chip/hpet chip/i8042 chip/i8254 chip/i8259 chip/ioapic chip/kvmclock chip/mc146818 chip/ns16550
	chip/piix4_pm chip/reset_control chip/system_ports
	disk/ata disk/ata_identify disk/atapi disk/atapi_reply disk/block disk/bmide disk/ide disk/ide_drive
	pci/i440fx pci/msi pci/pci pci/piix3 pci/piix3_ide pci/piix4_acpi
	virtio/blk virtio/net virtio/rng virtio/virtio virtio/virtio_pci virtio/virtio_queue
	vcpu/alu vcpu/decode vcpu/decode_vector
	vcpu/emulate vcpu/emulate_integer vcpu/emulate_place vcpu/emulate_run vcpu/emulate_string vcpu/emulate_vector
	vcpu/entry vcpu/lapic vcpu/lapic_bus vcpu/lapic_pv_eoi vcpu/lapic_timer vcpu/reset vcpu/task_switch vcpu/walk
	machine/link machine/pc machine/pc_boot machine/pc_console machine/pc_debug machine/pc_drive machine/pc_host
	machine/pc_irq machine/pc_memory machine/pc_panel machine/pc_statistics machine/pc_time machine/pc_virtio
	machine/save machine/save_text machine/transfer)
list(TRANSFORM KEEL_PC_SOURCES REPLACE "(.+)" "devmodel/cell/\\1.c")
list(APPEND KEEL_PC_SOURCES devmodel/shared/vq_driver.c)
# The other end of the channel, which their rig has.
set(KEEL_BOARD_SOURCES devmodel/host/board.c devmodel/host/board_messages.c devmodel/host/board_streams.c
	devmodel/host/backend/stream.c
	devmodel/shared/vq_device.c)
list(APPEND KEEL_PC_SOURCES ${KEEL_BOARD_SOURCES})
set(KEEL_MANIFEST_SOURCES boot cloud_init complain drive file image_format manifest network position processor serial ssh_key
	syntax want)
list(TRANSFORM KEEL_MANIFEST_SOURCES REPLACE "(.+)" "tools/manifest/\\1.c")
