#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# DKMS takes the driver's sources and builds the module for the stock kernel, in folders of its own.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

mkdir -p "$logs" "$TESTS"
version=$(cat "$("$ROOT/tools/lib/kernel.sh")/version")
release=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$ROOT/linux/dkms.conf")
work=$TESTS/dkms
rm -rf "$work"
mkdir -p "$work/tree"

dkms_does() {
	/usr/sbin/dkms "$@" -m keel -v "$release" --sourcetree "$work/src" --dkmstree "$work/tree" >>"$logs/dkms.log" 2>&1
}

built() {
	find "$work/tree/keel/$release/$version" -name 'keel.ko*' | grep .
}

module_is_for_kernel() {
	/sbin/modinfo -F vermagic "$(built)" | grep -F "$version "
}

check "the sources" "$ROOT/tools/lib/driver-source.sh" "$work/src/keel-$release"
check "dkms add" dkms_does add
check "dkms build" dkms_does build -k "$version"
check "the module is for the stock kernel" module_is_for_kernel
check "dkms remove" dkms_does remove --all
finish
