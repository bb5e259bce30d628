#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Disks without the host's page cache: what they can move past it goes past it, the rest is right nevertheless.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# has_cached FILE LEAST MOST: whether the page cache has so many of its pages.
has_cached() {
	local pages
	pages=$(fincore -nbo PAGES "$1" | tr -d ' ')
	echo "$pages"
	[ "$pages" -ge "$2" ] && [ "$pages" -le "$3" ]
}

# wrote FILE OFFSET COUNT BYTE: whether this is there, BYTE in octal.
wrote() {
	cmp <(tail -c "+$(($2 + 1))" "$1" | head -c "$3") <(head -c "$3" /dev/zero | tr '\0' "\\$4")
}

head -c 1M /dev/zero >"$WORK/cached.img"
cp "$WORK/cached.img" "$WORK/direct.img"
manifest wrong '"disks": [ { "file": "direct.img", "mode": "snapshot", "cache": "none" } ]'
check "a snapshot has a cache" says 'disks/0: "cache": "none" is not for "mode": "snapshot"' keel check "$WORK/wrong.json"
manifest guest '"disks": [
	{ "bus": "virtio", "file": "cached.img" }, { "bus": "virtio", "file": "direct.img", "cache": "none" },
	{ "file": "ide.img", "cache": "none" } ]'
truncate -s 1M "$WORK/ide.img"
if ! keel create "$WORK/guest.json" >"$WORK/created" 2>&1; then
	check "a file system without direct I/O is told" grep -q 'no direct I/O is possible' "$WORK/created"
	finish
fi
check "a guest runs" noted guest start
check "one disk has a cache" says '^virtio-0 .* writeback +good' keel disk-list guest
check "others have none" says '^virtio-1 .* none +good' keel disk-list guest
sync "$WORK/cached.img" "$WORK/direct.img"
for file in cached direct; do
	dd of="$WORK/$file.img" oflag=nocache conv=notrunc,fdatasync count=0 status=none
done
order guest 'write 4 0 131072 17'
order guest 'write 5 0 131072 17'
check "one is written to" noted guest 'done 0 0 .*'
check "and the other" noted guest 'done 1 0 .*'
if command -v fincore >/dev/null; then
	check "by the page cache" has_cached "$WORK/cached.img" 32 256
	check "and past it" has_cached "$WORK/direct.img" 0 0
else
	printf 'what the page cache has is not looked at: this takes fincore\n'
fi
order guest 'read 5 4096 4096'
check "it is read" noted guest 'done 2 0 (11)+'
order guest 'flush 5'
check "and flushed" noted guest 'done 3 0 .*'
check "it is there" wrote "$WORK/direct.img" 0 131072 21
order guest 'write 5 512 512 34'
check "a sector is written" noted guest 'done 4 0 .*'
order guest 'write 5 4096 4096 51'
check "and a page behind it" noted guest 'done 5 0 .*'
order guest 'read 5 512 512'
check "the sector is there" noted guest 'done 6 0 (22)+'
check "alone" wrote "$WORK/direct.img" 0 512 21
check "and what is behind it" wrote "$WORK/direct.img" 1024 3072 21
check "and the page" wrote "$WORK/direct.img" 4096 4096 63
order guest 'discard 5 0 65536'
check "it is discarded from" noted guest 'done 7 0 .*'
check "and has zeroes" wrote "$WORK/direct.img" 0 65536 0
order guest 'write 0 0 4096 68'
check "one on IDE is written to" noted guest 'done 8 0 .*'
check "and has it" wrote "$WORK/ide.img" 0 4096 104
check "it grows" keel disk-resize guest virtio-1 2M
order guest 'write 5 1048576 4096 85'
check "and is written to behind its former end" noted guest 'done 9 0 .*'
check "end" keel destroy guest

if [ "$(id -u)" -ne 0 ] || ! losetup -f >/dev/null 2>&1; then
	printf 'block devices are not tested: this takes root and loop devices\n'
	finish
fi
# shellcheck disable=SC2317
detach_all() {
	losetup -n -O NAME,BACK-FILE | grep -F "$WORK/" | cut -d' ' -f1 | xargs -r -n 1 losetup -d
	clean_up
}
trap detach_all EXIT
truncate -s 8M "$WORK/under.img"
device=$(losetup -f --show --sector-size 4096 "$WORK/under.img") || die "cannot attach a device"
if [ "$(blockdev --getss "$device")" -ne 4096 ]; then
	printf 'sectors of 4096 bytes are not tested: loop devices have none here\n'
	finish
fi
# What follows is the same with the page cache and without.
for cache in none writeback; do
	forget large
	head -c 8M /dev/zero | tr '\0' x >"$device"
	manifest large "\"disks\": [ { \"bus\": \"virtio\", \"file\": \"$device\", \"cache\": \"$cache\" } ]"
	check "a device with sectors of 4096 bytes, $cache" keel create "$WORK/large.json"
	order large 'write 4 4096 8192 17'
	check "whole ones are written" noted large 'done 0 0 .*'
	order large 'write 4 512 512 34'
	check "a part of one, too" noted large 'done 1 0 .*'
	order large 'write 4 1024 4096 51'
	check "and one over the end of one" noted large 'done 2 0 .*'
	order large 'read 4 512 512'
	check "they are read" noted large 'done 3 0 (22)+'
	order large 'zeroes 4 12288 512 0'
	check "zeroes are written" noted large 'done 4 0 .*'
	order large 'discard 4 65536 65536'
	check "some is discarded" noted large 'done 5 0 .*'
	order large 'discard 4 131072 1024'
	check "less than a sector is none" noted large 'done 6 [02] .*'
	order large 'flush 4'
	check "and flushed" noted large 'done 7 0 .*'
	keel destroy large >/dev/null
	check "all is there" wrote "$device" 0 512 170
	check "the sector" wrote "$device" 512 512 42
	check "and the part of one and the next" wrote "$device" 1024 4096 63
	check "what is behind" wrote "$device" 5120 7168 21
	check "the zeroes" wrote "$device" 12288 512 0
	check "and no more" wrote "$device" 12800 512 170
done
finish
