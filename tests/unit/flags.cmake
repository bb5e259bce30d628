# SPDX-License-Identifier: GPL-2.0
# How unit tests and fuzz targets are compiled; lists of sources that several of them want.
set(KEEL_UNIT_FLAGS
	-std=gnu11 -O2 -g -fno-omit-frame-pointer
	-Wall -Wextra -Werror -Wmissing-prototypes -Wshadow -Wstrict-prototypes -Wundef
	-fsanitize=address,undefined -fno-sanitize-recover=all)

# keel_unit_flags(TARGET FOLDERS DEFINITIONS): how all is compiled here.
function(keel_unit_flags target includes defines)
	target_include_directories(${target} PRIVATE ${includes} ${KEEL_ROOT}/include ${KEEL_ROOT}/devmodel/cell
		${KEEL_ROOT}/devmodel ${KEEL_ROOT}/tools)
	target_compile_definitions(${target} PRIVATE _GNU_SOURCE KEEL_HOST_TEST ${defines})
	target_compile_options(${target} PRIVATE ${KEEL_UNIT_FLAGS})
endfunction()

set(KEEL_EMULATE_SOURCES devmodel/cell/vcpu/emulate.c devmodel/cell/vcpu/emulate_place.c devmodel/cell/vcpu/emulate_run.c devmodel/cell/vcpu/emulate_vector.c
	devmodel/cell/vcpu/alu.c devmodel/cell/vcpu/decode.c devmodel/cell/vcpu/decode_vector.c devmodel/cell/vcpu/walk.c
	devmodel/cell/core/bus.c devmodel/cell/core/gmem.c)
set(KEEL_IDE_SOURCES devmodel/cell/disk/ide.c devmodel/cell/disk/ide_drive.c devmodel/cell/disk/bmide.c devmodel/cell/disk/ata.c
	devmodel/cell/disk/ata_identify.c devmodel/cell/disk/atapi.c devmodel/cell/disk/atapi_reply.c devmodel/cell/core/gmem.c
	devmodel/cell/core/state.c)
set(KEEL_MANIFEST_SOURCES boot complain drive file image_format manifest position processor serial syntax want)
list(TRANSFORM KEEL_MANIFEST_SOURCES REPLACE "(.+)" "tools/manifest/\\1.c")
