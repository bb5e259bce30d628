#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# kernel.sh [amd64|i386|SUITE]: puts a stock Debian kernel into the cache, not installed, and prints its folder.
# The folder holds vmlinuz, modules/ and version. amd64 is the kernel that the installed headers belong to. With i386's there is
# its busybox. The newest of another suite, like trixie, comes with a tree of that suite's compiler and headers, see suite.sh;
# it is kept, until the folder is removed.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"

kind=${1:-amd64}

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
	local state=$CACHE/apt-$kind
	mkdir -p "$state/lists/partial" "$state/archives/partial"
	printf '' >"$state/status"
	"$@" -o APT::Architecture="$kind" -o APT::Architectures="$kind" -o Dir::State="$state" \
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
	local package
	mkdir -p "$work/deb"
	(cd "$work/deb" && "download_$kind")
	for package in "$work"/deb/*.deb; do
		dpkg-deb -x "$package" "$work/tree"
	done
	[ -n "$version" ] || version=$(basename "$work"/tree/boot/vmlinuz-* | sed 's/^vmlinuz-//')
	mv "$work/tree/boot/vmlinuz-$version" "$work/vmlinuz"
	mkdir -p "$work/modules/lib"
	mv "$work/tree/lib/modules" "$work/modules/lib/"
	/sbin/depmod -b "$work/modules" "$version"
	[ ! -e "$work/tree/bin/busybox" ] || mv "$work/tree/bin/busybox" "$work/busybox"
	rm -rf "$work/deb" "$work/tree"
}

# Installed into its tree, but without an initrd.
install_suite() {
	"$ROOT/tools/lib/suite.sh" make "$work/tools" "$kind" gcc make linux-headers-amd64 linux-image-amd64
	version=$(basename "$work"/tools/boot/vmlinuz-* | sed 's/^vmlinuz-//')
	ln -s "tools/boot/vmlinuz-$version" "$work/vmlinuz"
	ln -s tools/usr "$work/modules"
}

version='' make=unpack folder=$CACHE/kernel-$kind
case $kind in
amd64)	version=$(headers_version)
	folder=$CACHE/kernel-$version ;;
i386)	;;
*)	make=install_suite ;;
esac
mkdir -p "$CACHE"
hold "$folder.lock" "the kernel $kind"
if [ ! -e "$folder/version" ]; then
	say "Fetching the stock Debian kernel (${version:-$kind})"
	work=$folder.new
	rm -rf --one-file-system "$work"
	mkdir "$work"
	"$make"
	printf '%s\n' "$version" >"$work/version"
	rm -rf "$folder" "$work/tools.lock"
	mv "$work" "$folder"
fi
printf '%s\n' "$folder"
