#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# kernel.sh [amd64|i386]: puts the stock Debian kernel into the cache, not installed, and prints its folder.
# The folder holds vmlinuz, modules/ and version, for i386 busybox as well. The amd64 kernel is the one that the installed
# headers belong to.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"

arch=${1:-amd64}

# The newest headers that linux-headers-amd64 brought: /lib/modules/VERSION/build.
headers_version() {
	local build newest=
	for build in /lib/modules/*-amd64/build; do
		[ -e "$build/Makefile" ] && newest=$build
	done
	[ -n "$newest" ] || die "no kernel headers: install linux-headers-amd64"
	basename "$(dirname "$newest")"
}

# apt with a state of its own, so that a foreign architecture leaves the machine's configuration alone.
foreign_apt() {
	local state=$CACHE/apt-$arch
	mkdir -p "$state/lists/partial" "$state/archives/partial"
	printf '' >"$state/status"
	"$@" -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Dir::State="$state" \
		-o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status" -o Dir::Cache="$state" \
		-o APT::Sandbox::User=root -o Debug::NoLocking=1
}

download_amd64() {
	local package="linux-image-$version"
	apt-cache show "$package" >/dev/null 2>&1 || logged "$BUILD/logs/apt-update.log" apt-get -q update
	logged "$BUILD/logs/kernel-download.log" apt-get -q -o APT::Sandbox::User=root download "$package"
}

download_i386() {
	local package
	# An index that cannot be had, as while a mirror is being updated, does no harm if another one knows the kernel.
	mkdir -p "$BUILD/logs"
	foreign_apt apt-get -q update >"$BUILD/logs/apt-update-i386.log" 2>&1 || true
	package=$(foreign_apt apt-cache depends linux-image-686-pae | awk '/Depends: linux-image-/ { print $2; exit }')
	[ -n "$package" ] || die "apt knows no linux-image-686-pae:i386"
	logged "$BUILD/logs/kernel-download.log" foreign_apt apt-get -q download "$package" busybox-static
}

unpack() {
	local work=$CACHE/kernel-$arch.new package
	rm -rf "$work"
	mkdir -p "$work/deb"
	(cd "$work/deb" && "download_$arch")
	for package in "$work"/deb/*.deb; do
		dpkg-deb -x "$package" "$work/tree"
	done
	[ "$arch" = amd64 ] || version=$(basename "$work"/tree/boot/vmlinuz-* | sed 's/^vmlinuz-//')
	mv "$work/tree/boot/vmlinuz-$version" "$work/vmlinuz"
	mkdir -p "$work/modules/lib"
	mv "$work/tree/lib/modules" "$work/modules/lib/"
	/sbin/depmod -b "$work/modules" "$version"
	[ ! -e "$work/tree/bin/busybox" ] || mv "$work/tree/bin/busybox" "$work/busybox"
	rm -rf "$work/deb" "$work/tree"
	printf '%s\n' "$version" >"$work/version"
	rm -rf "$folder"
	mv "$work" "$folder"
}

case $arch in
amd64)	version=$(headers_version)
	folder=$CACHE/kernel-$version ;;
i386)	version=
	folder=$CACHE/kernel-i386 ;;
*)	die "unknown architecture $arch" ;;
esac
if [ ! -e "$folder/version" ]; then
	say "Fetching the stock Debian kernel (${version:-$arch})"
	mkdir -p "$CACHE"
	unpack
fi
printf '%s\n' "$folder"
