#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# packages.sh [PACKAGE...]: installs the Debian packages that building, running and testing need, and those that are named, as far
# as they are missing.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"

build_packages=(
	gcc g++ make cmake ninja-build nasm binutils pkg-config acpica-tools clang libclang-rt-dev clang-format clang-tidy
	shellcheck check libburn-dev libisofs-dev libjansson-dev liburing-dev
	libzydis-dev libseccomp-dev
)
image_packages=(
	linux-headers-amd64 dkms busybox-static seabios grub-common grub-pc-bin grub-efi-amd64-bin
	xorriso mtools cpio kmod xz-utils zstd lz4 fdisk e2fsprogs
)
emulator_packages=(
	qemu-system-x86 qemu-utils ovmf bochs bochsbios vgabios socat
)
guest_packages=(
	mmdebstrap memtest86+ ipxe passt pciutils python3 python3-jsonschema python3-prometheus-client python3-yaml procps mount
)

# One dpkg-query for all: it names what it does not know on standard error only.
missing_packages() {
	local -A present=()
	local package state
	while read -r package state; do
		[ "$state" = installed ] && present[$package]=1
	done < <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
	for package in "$@"; do
		[ -n "${present[$package]:-}" ] || printf '%s\n' "$package"
	done
}

mapfile -t missing < <(missing_packages "${build_packages[@]}" "${image_packages[@]}" \
	"${emulator_packages[@]}" "${guest_packages[@]}" "$@")
[ ${#missing[@]} -gt 0 ] || exit 0
[ "$(id -u)" -eq 0 ] || die "not root, and these packages are missing: ${missing[*]}"

say "Installing packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
logged "$BUILD/logs/apt-update.log" apt-get -q update
logged "$BUILD/logs/apt-install.log" apt-get -q install -y --no-install-recommends "${missing[@]}"
