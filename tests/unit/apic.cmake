# SPDX-License-Identifier: GPL-2.0
# Interrupt controllers of the APIC family, clocks, ACPI power management.
set(lapic devmodel/cell/vcpu/lapic.c devmodel/cell/vcpu/lapic_bus.c devmodel/cell/vcpu/lapic_pv_eoi.c
	devmodel/cell/vcpu/lapic_timer.c
	devmodel/cell/core/gmem.c devmodel/cell/core/state.c)
keel_unit_test(lapic SOURCES tests/unit/test_lapic.c ${lapic})
keel_unit_test(lapic_pv_eoi SOURCES tests/unit/test_lapic_pv_eoi.c ${lapic})
keel_unit_test(lapic_page SOURCES tests/unit/test_lapic_page.c ${lapic})
keel_unit_test(ioapic SOURCES tests/unit/test_ioapic.c devmodel/cell/chip/ioapic.c ${lapic})
keel_unit_test(piix4_pm
	SOURCES tests/unit/test_piix4_pm.c devmodel/cell/chip/piix4_pm.c devmodel/cell/chip/reset_control.c
		devmodel/cell/core/state.c)
keel_unit_test(hpet SOURCES tests/unit/test_hpet.c devmodel/cell/chip/hpet.c devmodel/cell/core/state.c)
keel_unit_test(kvmclock
	SOURCES tests/unit/test_kvmclock.c devmodel/cell/chip/kvmclock.c devmodel/cell/core/gmem.c devmodel/cell/core/state.c)
