#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Host image, driver and guest images in a build whose path has a space and a comma; tools-test.sh has a tree with one.
# shellcheck disable=SC2317
set -uo pipefail
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

for file in cache keel.elf; do
	[ -e "$KEEL_BUILD/$file" ] || { echo "no $file in $KEEL_BUILD"; exit 77; }
done
build="$WORK/a build, with everything"
mkdir -p "$build/tools/keel" "$build/devmodel/host"
cp "$KEEL_BUILD/keel.elf" "$build/"
cp "$KEEL_BUILD/tools/keel/keel" "$build/tools/keel/"
cp "$KEEL_BUILD/devmodel/host/keel-dm" "$build/devmodel/host/"
ln -s "$KEEL_BUILD/cache" "$build/cache"
export KEEL_BUILD=$build

has() {
	xorriso -indev "$1" -find / -type f 2>/dev/null | grep -F "'$2'"
}

check "the host image" exits 0 "$ROOT/tools/lib/image.sh"
check "it has what it boots" has "$build/image/host.iso" /boot/keel.elf
check "the driver" test -s "$build/linux/keel.ko"
check "the modules of the control domain" test -s "$build/image/system/lib/modules/virtio_blk.ko"
check "a guest image" exits 0 "$ROOT/tools/lib/guests.sh" "$build/guests/tiny.iso"
check "it has what it boots" has "$build/guests/tiny.iso" /boot/vmlinuz
finish
