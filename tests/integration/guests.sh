#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Unmodified operating systems to their prompts: the small ones by what they print, Debian by hand: log in, reboot, power off.
# timeout: 1500
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests

# guest NAME REGEX [tools/run option...]
guest() {
	local guest=$1 regex=$2
	shift 2
	check "$guest" "$ROOT/tools/run" --no-build "$ROOT/guests/$guest.json" --expect "$regex" --timeout 120 \
		--logs "$logs/$guest" "$@"
}

# A script for the control domain that knows where the manifests are.
script_for() {
	local script=$TESTS/guests-$1
	printf 'manifest=%q\n' "$ROOT/guests/$2.json" >"$script"
	cat "$ROOT/tests/integration/console.sh" "$ROOT/tests/integration/$1-guest.sh" >>"$script"
	printf '%s\n' "$script"
}

guest tiny 'GUEST-UP [0-9.]+'
guest i386 'GUEST-UP [0-9.]+'
guest memtest 'Memtest86\+.*Pass'
guest grub 'Press enter to boot the selected OS'
guest ipxe 'iPXE initialising devices'
boot pair 200 "$(script_for pair tiny)" "$ROOT/guests/tiny.json" --smp 2 --file "$TESTS/spin.bin:/keel-test/spin.bin"
judge pair
boot debian 700 "$(script_for debian debian)" "$ROOT/guests/debian.json" --smp 2
judge debian
finish
