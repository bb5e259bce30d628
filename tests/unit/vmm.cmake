# SPDX-License-Identifier: GPL-2.0
# The hypervisor above its page tables: VMs, what guests see of the processor, what the control domain does to it.
find_library(ZYDIS_LIBRARY Zydis REQUIRED)

keel_unit_test(control_decode
	SOURCES tests/unit/test_control_decode.c arch/x86/control_decode.c arch/x86/pt_format.c vmm/pagetable.c
	LIBS ${ZYDIS_LIBRARY}
	INCLUDES vmm arch/x86)
# The following include the source that they test: to stand in for instructions, or to look at what it keeps to itself.
keel_unit_test(vm
	SOURCES tests/unit/test_vm.c vmm/own.c vmm/pagetable.c arch/x86/pt_format.c arch/x86/svm/npt.c
	INCLUDES vmm arch/x86)
keel_unit_test(control
	SOURCES tests/unit/test_control.c
	INCLUDES vmm arch/x86)
keel_unit_test(control_states
	SOURCES tests/unit/test_control_states.c
	INCLUDES vmm arch/x86)
keel_unit_test(vcpu
	SOURCES tests/unit/test_vcpu.c
	INCLUDES vmm arch/x86)
keel_unit_test(control_power
	SOURCES tests/unit/test_control_power.c
	INCLUDES vmm arch/x86)
keel_unit_test(cpuid
	SOURCES tests/unit/test_cpuid.c
	INCLUDES vmm arch/x86)
keel_unit_test(guest_state
	SOURCES tests/unit/test_guest_state.c
	INCLUDES vmm arch/x86)
keel_unit_test(vcpu_state
	SOURCES tests/unit/test_vcpu_state.c
	INCLUDES vmm arch/x86)
keel_unit_test(vectors
	SOURCES tests/unit/test_vectors.c
	INCLUDES vmm arch/x86)
keel_unit_test(cell
	SOURCES tests/unit/test_cell.c
	INCLUDES vmm arch/x86)
keel_unit_test(control_policy
	SOURCES tests/unit/test_control_policy.c arch/x86/control_msr.c
	INCLUDES vmm arch/x86)
keel_unit_test(speculation
	SOURCES tests/unit/test_speculation.c
	INCLUDES vmm arch/x86)
keel_unit_test(msr
	SOURCES tests/unit/test_msr.c
	INCLUDES vmm arch/x86)
keel_unit_test(msr_numbers
	SOURCES tests/unit/test_msr_numbers.c)
keel_unit_test(string
	SOURCES tests/unit/test_string.c
	INCLUDES vmm)
keel_unit_test(acpi_madt
	SOURCES tests/unit/test_acpi_madt.c arch/x86/acpi.c
	INCLUDES vmm arch/x86)
keel_unit_test(acpi_hostile
	SOURCES tests/unit/test_acpi_hostile.c arch/x86/acpi.c
	INCLUDES vmm arch/x86)
keel_unit_test(mtrr
	SOURCES tests/unit/test_mtrr.c
	INCLUDES vmm arch/x86)
keel_unit_test(vmx_caps
	SOURCES tests/unit/test_vmx_caps.c arch/x86/vmx/vmx_caps.c
	INCLUDES vmm arch/x86/vmx)
keel_unit_test(svm
	SOURCES tests/unit/test_svm.c arch/x86/control_msr.c arch/x86/svm/svm_event.c arch/x86/svm/svm_exit.c
	INCLUDES vmm arch/x86 arch/x86/svm)
keel_unit_test(svm_guest
	SOURCES tests/unit/test_svm_guest.c tests/unit/guest_rig.c arch/x86/control_msr.c arch/x86/svm/svm.c
		arch/x86/svm/svm_control.c arch/x86/svm/svm_event.c arch/x86/svm/svm_exit.c arch/x86/svm/svm_vcpu.c
	INCLUDES vmm arch/x86 arch/x86/svm)
keel_unit_test(svm_vcpu
	SOURCES tests/unit/test_svm_vcpu.c
	INCLUDES vmm arch/x86 arch/x86/svm)
keel_unit_test(vmx_msrs
	SOURCES tests/unit/test_vmx_msrs.c arch/x86/vmx/ept.c arch/x86/vmx/vmx_caps.c vmm/pagetable.c
	INCLUDES vmm arch/x86 arch/x86/vmx)
keel_unit_test(vmx_vcpu
	SOURCES tests/unit/test_vmx_vcpu.c
	INCLUDES vmm arch/x86 arch/x86/vmx)
keel_unit_test(vmx
	SOURCES tests/unit/test_vmx.c tests/unit/guest_rig.c arch/x86/control_msr.c arch/x86/vmx/ept.c arch/x86/vmx/vmx.c
		arch/x86/vmx/vmx_caps.c arch/x86/vmx/vmx_control.c arch/x86/vmx/vmx_event.c arch/x86/vmx/vmx_exit.c
		arch/x86/vmx/vmx_state.c arch/x86/vmx/vmx_vcpu.c vmm/pagetable.c
	INCLUDES vmm arch/x86 arch/x86/vmx)
keel_unit_test(control_start
	SOURCES tests/unit/test_control_start.c vmm/control_start.c
	INCLUDES vmm arch/x86)
