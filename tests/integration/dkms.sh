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

# takes WISH VERSION...: what dkms.conf says to kernels of these versions.
takes() {
	local wish=$1 version result
	shift
	for version in "$@"; do
		result=no
		# DKMS sets what the file refers to.
		# shellcheck source=linux/dkms.conf
		(set +u && . "$ROOT/linux/dkms.conf" && [[ $version =~ $BUILD_EXCLUSIVE_KERNEL ]]) && result=yes
		[ "$result" = "$wish" ] || return 1
	done
}

check "kernels from 6.1 on are taken" takes yes "$version" 6.1-rc8 6.9.7 6.12.43+deb13-amd64 7.0.1 10.0.0-1-amd64
check "older ones are not" takes no 3.16.0-4-amd64 4.19.0-27-amd64 5.10.0-35-amd64 6.0.12-1-amd64
check "the sources" "$ROOT/tools/lib/driver-source.sh" "$work/src/keel-$release"
check "dkms add" dkms_does add
check "dkms build" dkms_does build -k "$version"
check "the module is for the stock kernel" module_is_for_kernel
check "dkms remove" dkms_does remove --all
finish
