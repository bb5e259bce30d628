#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The control domain on four processors, emulated by four threads: nothing is lost by running below the hypervisor.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
packing=()
script=$TESTS/control-4
{ printf 'CPUS=4 CYCLES=5\n'; cat "$ROOT/tests/integration/control-guest.sh"; } >"$script"
boot four 300 "$script" --smp 4 --accel tcg,thread=multi --file "$TESTS/perf:/keel-test/perf"
judge four
# How the kernel is packed and what is cleared was seen in the first boot.
soon=(--lz4 --keel noclear)
# The machine ends by itself when the control domain switches it off, and when it resets it: the emulator runs without reboot.
reboots() {
	rm -f "$logs/reboot/host.log"
	mkdir -p "$logs/reboot"
	"$ROOT/tools/run" --no-build "${soon[@]}" --command ". /keel-test/script" --patience 200 \
		--file "$TESTS/control-reboot:/keel-test/script" --logs "$logs/reboot" >"$logs/reboot/run.log" 2>&1 || true
	grep -aq 'reboot: Restarting system' "$logs/reboot/host.log" &&
		grep 'the machine switched itself off or reset itself' "$logs/reboot/run.log"
}
printf 'reboot -f\nsleep 300\n' >"$TESTS/control-reboot"
check "reboot" reboots
check "power-off" "$ROOT/tools/run" --no-build "${soon[@]}" --command "true" --patience 200 --logs "$logs/poweroff"
finish
