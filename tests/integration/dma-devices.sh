#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Behind IOMMUs of either vendor's the control domain's devices work as before: disks on AHCI and NVMe, a virtio disk that wants
# to be translated, an e1000e on a network.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
kernel=$("$ROOT/tools/lib/kernel.sh")
files=()
modules=
while read -r file; do
	files+=(--file "$file:/keel-test/$(basename "$file")")
	modules+=" $(basename "$file")"
done < <(/sbin/modprobe -d "$kernel/modules" -S "$(cat "$kernel/version")" --show-depends -a ahci sd_mod nvme e1000e |
	sed -nE 's/^insmod (.*\.ko(\.[a-z]+)?)( .*)?$/\1/p' | awk '!seen[$0]++')
mkdir -p "$logs"
dd if=/dev/urandom of="$logs/content" bs=1M count=24 status=none

# machine LABEL QEMU-DEVICE
machine() {
	local disk devices=
	for disk in ahci nvme virtio; do
		cp "$logs/content" "$logs/$disk.img"
		devices+=" -drive if=none,id=$disk,format=raw,file=$(printf %q "$logs/$disk.img")"
	done
	{
		printf 'MODULES=%q SUM=%s\n' "$modules" "$(sha256sum <"$logs/content" | cut -d' ' -f1)"
		cat "$ROOT/tests/integration/dma-devices-guest.sh"
	} >"$TESTS/dma-devices-$1"
	boot "$1" 240 "$TESTS/dma-devices-$1" --smp 2 --memory 1G --machine q35 --qemu "-device $2 $devices" \
		--qemu "-device ide-hd,drive=ahci,bus=ide.0 -device nvme,drive=nvme,serial=nvme" \
		--qemu "-device virtio-blk-pci,drive=virtio,serial=virtio,disable-legacy=on,iommu_platform=on" \
		--qemu "-netdev user,id=net -device e1000e,netdev=net" "${files[@]}"
	judge "$1"
	for disk in ahci nvme virtio; do
		check "$1: what was written is on the $disk disk" \
			sh -c 'tail -c 16777216 "$1" | tr -d "\132" | wc -c | grep -x 0' sh "$logs/$disk.img"
	done
}

machine vtd intel-iommu,aw-bits=48
machine amdvi amd-iommu
finish
