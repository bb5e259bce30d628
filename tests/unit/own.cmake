# SPDX-License-Identifier: GPL-2.0
# Page tables and frame ownership of the hypervisor.
set(formats arch/x86/pt_format.c arch/x86/svm/npt.c arch/x86/vmx/ept.c)
keel_unit_test(pagetable
	SOURCES tests/unit/test_pagetable.c vmm/pagetable.c ${formats}
	INCLUDES vmm arch/x86)
keel_unit_test(own
	SOURCES tests/unit/test_own.c vmm/own.c vmm/pagetable.c ${formats}
	INCLUDES vmm arch/x86)
# Every state of small machines; the number is the logarithm of a table's entries, 9 in the real one.
# With tables of the real size it takes six times as long under sanitizers, which see the same code in the small ones.
set(unchecked_9 UNCHECKED)
foreach(scale 1 2 9)
	keel_unit_test(own_machines${scale} LONG ${unchecked_${scale}}
		SOURCES tests/unit/test_own_machines.c ${formats}
		INCLUDES vmm arch/x86
		DEFINES SCALE=${scale})
endforeach()
# The longest: first.
set_tests_properties(unit-own_machines1 PROPERTIES COST 100)
foreach(scale 1 2)
	keel_unit_test(pagetable_machines${scale} LONG
		SOURCES tests/unit/test_pagetable_machines.c ${formats}
		INCLUDES vmm arch/x86
		DEFINES SCALE=${scale})
endforeach()
foreach(vendor vtd amdvi)
	keel_unit_test(${vendor}
		SOURCES tests/unit/test_${vendor}.c arch/x86/acpi.c arch/x86/amdvi.c arch/x86/vtd.c vmm/own.c vmm/pagetable.c
			arch/x86/svm/npt.c
		INCLUDES vmm arch/x86)
endforeach()
