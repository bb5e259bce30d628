# SPDX-License-Identifier: GPL-2.0
# keel_names(FOLDER HEADER...): FOLDER/names.inc, for assembly: the names of all of include/x86 and of these headers.
function(keel_names folder)
	set(lib ${CMAKE_CURRENT_FUNCTION_LIST_DIR})
	file(GLOB headers CONFIGURE_DEPENDS ${lib}/../../include/x86/*.h)
	list(APPEND headers ${ARGN})
	file(MAKE_DIRECTORY ${folder})
	add_custom_command(OUTPUT ${folder}/names.inc
		COMMAND ${CMAKE_COMMAND} -E env CC=${CMAKE_C_COMPILER} sh ${lib}/names.sh ${headers} > ${folder}/names.inc
		DEPENDS ${lib}/names.sh ${headers} VERBATIM)
endfunction()
