# SPDX-License-Identifier: GPL-2.0
# keel_dsdt(FOLDER): FOLDER/dsdt.hex, the AML of bios/dsdt.asl as a C array. iasl has a preprocessor of its own, with other rules.
find_program(IASL iasl REQUIRED)

function(keel_dsdt folder)
	file(MAKE_DIRECTORY ${folder})
	add_custom_command(
		OUTPUT ${folder}/dsdt.hex
		COMMAND ${CMAKE_C_COMPILER} -E -P -undef -x c -I ${KEEL_ROOT}/devmodel -o ${folder}/dsdt.asl
			${KEEL_ROOT}/bios/dsdt.asl
		COMMAND ${IASL} -ve -tc -p ${folder}/dsdt ${folder}/dsdt.asl
			> ${folder}/iasl.log || (cat ${folder}/iasl.log && false)
		DEPENDS ${KEEL_ROOT}/bios/dsdt.asl ${KEEL_ROOT}/devmodel/shared/pc_map.h
		COMMENT "Compiling bios/dsdt.asl")
endfunction()
