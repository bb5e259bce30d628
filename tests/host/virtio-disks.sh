#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Virtio disks are served as IDE's are: modes, claims, errors; and with discard and write zeroes. Their numbers are 4 and on.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# holes FILE KIB: it takes no more room than this.
holes() {
	[ "$(du -k "$1" | cut -f 1)" -le "$2" ]
}

zeroes() {
	cmp -n "$3" -i "$2:0" "$1" /dev/zero
}

head -c 4M /dev/zero | tr '\0' 'x' >"$WORK/rw.img"
cp "$WORK/rw.img" "$WORK/ro.img"
cp "$WORK/rw.img" "$WORK/snapshot.img"
truncate -s 1M "$WORK/ide.img"
manifest disks '"disks": [
	{ "bus": "virtio", "file": "rw.img" }, { "file": "ide.img" },
	{ "bus": "virtio", "file": "ro.img", "mode": "ro" },
	{ "bus": "virtio", "file": "snapshot.img", "mode": "snapshot", "snapshot_limit": "1M" } ]'
check "a guest with disks on both buses" keel create "$WORK/disks.json"
check "has IDE's in its place" noted disks 'drive 0 1048576'
for i in 4 5 6; do
	check "and virtio's behind: $i" noted disks "drive $i 4194304"
done
manifest rival '"disks": [ { "bus": "virtio", "file": "rw.img", "mode": "ro" } ]'
check "which nobody else has" exits 7 keel create "$WORK/rival.json"
order disks 'write 4 4096 4096 17'
check "one takes writes" noted disks 'done 0 0 .*'
order disks 'read 4 4096 512'
check "and has them" noted disks 'done 1 0 1111111111111111'
order disks 'flush 4'
check "and is flushed" noted disks 'done 2 0 .*'
order disks 'discard 4 1048576 2097152'
check "it is discarded from" noted disks 'done 3 0 .*'
check "and takes less room" holes "$WORK/rw.img" 2100
check "zeroes are there" zeroes "$WORK/rw.img" 1048576 2097152
check "and no more" test "$(tail -c +1048576 "$WORK/rw.img" | head -c 1)" = x
order disks 'zeroes 4 512 1024 0'
check "it gets zeroes" noted disks 'done 4 0 .*'
check "which are there" zeroes "$WORK/rw.img" 512 1024
order disks 'zeroes 4 3145728 1048576 1'
check "and some that need no room" noted disks 'done 5 0 .*'
check "which are there, too" zeroes "$WORK/rw.img" 3145728 1048576
order disks 'zeroes 4 0 512 2'
check "a flag that nobody knows is refused" noted disks 'done 6 2 .*'
order disks 'zeroes 4 4194304 512 0'
check "and a place behind the end" noted disks 'done 7 1 .*'
for what in 'write 5 0 512 1' 'discard 5 0 512' 'zeroes 5 0 512 0'; do
	order disks "$what"
done
for i in 8 9 10; do
	check "one that is read-only is not changed: $i" noted disks "done $i 1 .*"
done
order disks 'discard 6 0 4096'
check "a snapshot has no discard" noted disks 'done 11 2 .*'
order disks 'zeroes 6 1536 262144 1'
check "but zeroes" noted disks 'done 12 0 .*'
order disks 'read 6 1024 512'
check "where they belong" noted disks 'done 13 0 7878787878787878'
order disks 'read 6 1536 512'
check "from there on" noted disks 'done 14 0 0000000000000000'
order disks 'read 6 263168 512'
check "to the last" noted disks 'done 15 0 0000000000000000'
order disks 'read 6 263680 512'
check "and no further" noted disks 'done 16 0 7878787878787878'
order disks 'zeroes 6 0 4194304 1'
check "within its limit" noted disks 'done 17 1 .*'
check "which is told by name" \
	says 'virtio-2 .*write of zeroes of 4194304 bytes at 0: the snapshot has reached its limit' keel info disks
truncate -s 5M "$WORK/rw.img"
order disks 'end 2'
check "it starts again" noted disks start 2
check "and sees what has grown" noted disks 'drive 4 5242880'
order disks 'read 4 4096 512'
check "with its disks" noted disks 'done 18 0 1111111111111111'
keel destroy disks >/dev/null
check "what is read-only is as it was" cmp "$WORK/ro.img" "$WORK/snapshot.img"
check "and so is the snapshot's" test "$(tr -d x <"$WORK/snapshot.img" | wc -c)" = 0

head -c 4M /dev/zero | tr '\0' 'x' >"$WORK/whole.img"
manifest whole '"disks": [ { "bus": "virtio", "file": "whole.img", "discard": false } ]'
check "one that gives nothing back" keel create "$WORK/whole.json"
order whole 'discard 4 0 4194304'
check "has no discard" noted whole 'done 0 2 .*'
order whole 'zeroes 4 0 4194304 1'
check "but zeroes" noted whole 'done 1 0 .*'
check "that are there" zeroes "$WORK/whole.img" 0 4194304
check "and take as much room" never holes "$WORK/whole.img" 4095
keel destroy whole >/dev/null

manifest held '"disks": [ { "bus": "virtio", "file": "rw.img", "on_error": "stop" } ]'
check "one that stops at errors" keel create "$WORK/held.json"
truncate -s 64K "$WORK/rw.img"
order held 'read 4 524288 4096'
check "stands still" soon says '^held +io-error' keel list
check "by name" says 'virtio-0 .*the image ends before that' keel info held
truncate -s 4M "$WORK/rw.img"
check "and goes on" keel unpause held
check "with an answer" noted held 'done 0 0 .*'
keel destroy held >/dev/null
finish
