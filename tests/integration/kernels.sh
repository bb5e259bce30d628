#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The driver builds without a warning for the kernel of the installed headers and for that of Debian 13.
set -uo pipefail
kernels=${kernels:-amd64 trixie}
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

# From nothing, so that what was built before hides no warning.
builds() {
	local work=$TESTS/driver-$1
	rm -rf "$work"
	mkdir -p "$work"
	"$ROOT/tools/lib/driver-source.sh" "$work" &&
		"$ROOT/tools/lib/kernel-make.sh" "$1" "$work" >"$logs/$1.log" 2>&1
}

quiet() {
	! grep -iE 'warning|error' "$logs/$1.log"
}

# It is for that kernel and no other: one that was built by mistake for the machine's own would pass all else.
built_for() {
	/sbin/modinfo -F vermagic "$TESTS/driver-$1/keel.ko" |
		grep -F "$(cat "$("$ROOT/tools/lib/kernel.sh" "$1")/version") "
}

mkdir -p "$logs"
for kernel in $kernels; do
	"$ROOT/tools/lib/kernel.sh" "$kernel" >/dev/null || die "no kernel $kernel"
	version=$(cat "$("$ROOT/tools/lib/kernel.sh" "$kernel")/version")
	check "the driver builds for $version" builds "$kernel"
	check "without a warning" quiet "$kernel"
	check "the module is for that kernel" built_for "$kernel"
done
finish
