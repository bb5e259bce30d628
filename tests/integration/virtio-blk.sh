#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Virtio disks: a guest starts from one by SeaBIOS and GRUB, and Debian's driver uses them, read-write, read-only and as
# a snapshot.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
"$ROOT/tools/lib/guests.sh" "$KEEL_BUILD/guests/virtio-blk.iso"
cat "$ROOT/tests/integration/console.sh" "$ROOT/tests/integration/virtio-blk-guest.sh" >"$TESTS/virtio-blk-script"
boot virtio-blk 700 "$TESTS/virtio-blk-script" --file "$KEEL_BUILD/guests/virtio-blk.iso:/keel-test/virtio-blk.iso"
judge virtio-blk
finish
