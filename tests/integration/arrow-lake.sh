#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A newer Intel processor with the kernel of Debian 13, by the Bochs of Debian 13: IBPB, VERW, PML, TSC scaling, XSAVES and posted
# interrupts are there.
set -uo pipefail
KEEL_RUN_OPTIONS="--emulator bochs --emulator-suite trixie --cpu arrow_lake --suite trixie"
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
script=$TESTS/arrow-lake-script
{
	printf 'CPUS=2 CYCLES=1\n'
	grep -v 'tests: end' "$ROOT/tests/integration/control-guest.sh"
	cat <<-'TEXT'
		uname -r
		grep -m 1 flags /proc/cpuinfo
		keel dmesg
		cd /keel-test
		for guest in hello modes xstate hostile-msr tpr apic; do
			check "guest $guest" ./blob --timeout 60 --expect "$guest: ok" $guest.bin
		done
		check "guest smp with 4 vCPUs" ./blob --vcpus 4 --timeout 60 --expect "smp: ok" smp.bin
		check "the driver goes and comes" sh -c 'rmmod keel && insmod /lib/modules/keel.ko && [ -c /dev/keel ]'
		echo "tests: end"
	TEXT
} >"$script"
files=()
for file in blob hello.bin modes.bin xstate.bin hostile-msr.bin tpr.bin apic.bin smp.bin; do
	files+=(--file "$TESTS/$file:/keel-test/$file")
done
boot arrow-lake 900 "$script" --smp 2 --append "clearcpuid=fsrm" "${files[@]}"
judge arrow-lake
finish
