#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The control domain with its interrupts remapped and its local APICs in x2APIC mode, as on newer servers, by the QEMU of
# Debian 13: every processor is under the hypervisor, when it starts and when it comes back, and a guest runs.
# long
# timeout: 900
set -uo pipefail
KEEL_RUN_OPTIONS="--emulator-suite trixie --machine q35 --qemu -device --qemu intel-iommu,intremap=on,eim=on"
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
peek=$(build_module "$ROOT/tests/integration/peek") || exit 1
script=$TESTS/x2apic-script
{
	printf 'CPUS=2 CYCLES=2\n'
	cat "$ROOT/tests/integration/peek-guest.sh"
	grep -v 'tests: end' "$ROOT/tests/integration/control-guest.sh"
	cat <<-'TEXT'
		check "the local APICs are in x2APIC mode" sh -c 'dmesg | grep "x2apic enabled\|x2apic: enabled"'
		check "interrupts are remapped" sh -c 'dmesg | grep "Enabled IRQ remapping in x2apic mode"'
		peek "after processors came back"
		cd /keel-test
		check "guest hello" ./blob --timeout 25 --expect "hello: ok" hello.bin
		check "guest smp with 4 vCPUs" ./blob --vcpus 4 --timeout 25 --expect "smp: ok" smp.bin
		check "guest apic" ./blob --timeout 25 --expect "apic: ok" apic.bin
		check "the driver goes and comes" sh -c 'rmmod keel && insmod /lib/modules/keel.ko && [ -c /dev/keel ]'
		peek "at the end"
		echo "tests: end"
	TEXT
} >"$script"
files=(--file "$peek:/keel-test/peek.ko")
for file in blob perf hello.bin smp.bin apic.bin; do
	files+=(--file "$TESTS/$file:/keel-test/$file")
done
boot x2apic 200 "$script" --keel "noclear noiommu" --smp 2 --memory 1G "${files[@]}"
judge x2apic
finish
