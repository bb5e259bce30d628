# SPDX-License-Identifier: GPL-2.0
# Interrupt controllers of the APIC family, clocks, ACPI power management.
set(lapic devmodel/chip/lapic.c devmodel/chip/lapic_bus.c devmodel/chip/lapic_pv_eoi.c devmodel/chip/lapic_timer.c
	devmodel/core/gmem.c devmodel/core/state.c)
keel_unit_test(lapic SOURCES tests/unit/test_lapic.c ${lapic})
keel_unit_test(lapic_page SOURCES tests/unit/test_lapic_page.c ${lapic})
keel_unit_test(ioapic SOURCES tests/unit/test_ioapic.c devmodel/chip/ioapic.c ${lapic})
keel_unit_test(piix4_pm
	SOURCES tests/unit/test_piix4_pm.c devmodel/chip/piix4_pm.c devmodel/chip/reset_control.c devmodel/core/state.c)
keel_unit_test(hpet SOURCES tests/unit/test_hpet.c devmodel/chip/hpet.c devmodel/core/state.c)
keel_unit_test(kvmclock
	SOURCES tests/unit/test_kvmclock.c devmodel/chip/kvmclock.c devmodel/core/gmem.c devmodel/core/state.c)
