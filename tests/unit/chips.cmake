# SPDX-License-Identifier: GPL-2.0
# Saved state and the chips of the PC's mainboard.
keel_unit_test(state
	SOURCES tests/unit/test_state.c devmodel/cell/core/state.c)
foreach(chip i8042 i8254 i8259 mc146818 ns16550)
	keel_unit_test(${chip}
		SOURCES tests/unit/test_${chip}.c devmodel/cell/chip/${chip}.c devmodel/cell/core/state.c)
endforeach()
