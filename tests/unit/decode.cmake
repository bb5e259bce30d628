# SPDX-License-Identifier: GPL-2.0
# Instruction decoder, page walk and emulator.
find_library(ZYDIS_LIBRARY Zydis REQUIRED)

keel_unit_test(decode
	SOURCES tests/unit/test_decode.c devmodel/cell/vcpu/decode.c devmodel/cell/vcpu/decode_vector.c
	LIBS ${ZYDIS_LIBRARY})
keel_unit_test(walk
	SOURCES tests/unit/test_walk.c devmodel/cell/vcpu/walk.c devmodel/cell/core/gmem.c)
keel_unit_test(emulate
	SOURCES tests/unit/test_emulate.c ${KEEL_EMULATE_SOURCES})
keel_unit_test(emulate_native
	SOURCES tests/unit/test_emulate_native.c ${KEEL_EMULATE_SOURCES})
keel_unit_test(emulate_vector
	SOURCES tests/unit/test_emulate_vector.c ${KEEL_EMULATE_SOURCES})
keel_unit_test(task_switch
	SOURCES tests/unit/test_task_switch.c devmodel/cell/vcpu/task_switch.c devmodel/cell/vcpu/walk.c
		devmodel/cell/core/gmem.c)
