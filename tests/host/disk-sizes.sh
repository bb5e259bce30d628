#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Disks of a guest that runs: what they are, and other sizes for them.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# size FILE BYTES
size() {
	[ "$(stat -c %s "$1")" -eq "$2" ]
}

# refused PATTERN [OPTION] ID [SIZE]: and nothing has changed.
refused() {
	local pattern=$1
	shift
	exits 1 keel disk-resize disks "$@" >"$WORK/refused" 2>&1 || { cat "$WORK/refused"; return 1; }
	grep -Eq "$pattern" "$WORK/refused" || { cat "$WORK/refused"; return 1; }
}

row() {
	says "$1" keel disk-list disks
}

head -c 1M /dev/zero | tr '\0' 'x' >"$WORK/rw.img"
cp "$WORK/rw.img" "$WORK/ro.img"
cp "$WORK/rw.img" "$WORK/snapshot.img"
cp "$WORK/rw.img" "$WORK/ide disk.img"
manifest disks '"disks": [
	{ "file": "ide disk.img" }, { "bus": "virtio", "file": "rw.img", "serial": "its own", "on_error": "stop" },
	{ "bus": "virtio", "file": "ro.img", "mode": "ro" },
	{ "bus": "virtio", "file": "snapshot.img", "mode": "snapshot" } ]' '"cdrom": {}'
check "a guest with disks" keel create "$WORK/disks.json"
check "they are listed" row '^primary-master +1M +raw +ide +rw +writeback +good +- +KEEL-0 +/.*/ide disk\.img$'
check "with the serial number that was given" row '^virtio-0 +1M +raw +virtio +rw +writeback +good +- +its own +/.*/rw\.img$'
check "or made" row '^virtio-2 +1M +raw +virtio +snapshot +writeback +good +- +KEEL-V2 +/.*/snapshot\.img$'
check "and no others" [ "$(keel disk-list disks | wc -l)" -eq 5 ]
check "nor of no guest" exits 4 keel disk-list nobody

check "a disk grows" says '^disks: virtio-0 has 2M, and had 1M$' keel disk-resize disks virtio-0 2M
check "its image, too" size "$WORK/rw.img" 2097152
check "the guest is told" noted disks 'capacity 4 2097152'
check "and it is listed" row '^virtio-0 +2M '
order disks 'write 4 2096640 512 17'
check "it reaches to the end" noted disks 'done 0 0 .*'
order disks 'write 4 2097152 512 17'
check "and no further" noted disks 'done 1 1 .*'
check "what was there is there" cmp -n 1048576 "$WORK/rw.img" "$WORK/ro.img"
check "bytes are a size" says 'virtio-0 has 2097664, and had 2M' keel disk-resize disks virtio-0 2097664
check "the size that it has is one" says 'has 2097664, and had 2097664' keel disk-resize disks virtio-0 2097664
check "half a sector is none" refused 'whole sectors of 512 bytes' virtio-0 2097665
check "nor is nothing" refused 'whole sectors of 512 bytes' virtio-0 0
check "nor more than drives have" refused 'at most 2\^48' virtio-0 1000000T
check "words are none" exits 2 keel disk-resize disks virtio-0 large
check "nor are units of others" exits 2 keel disk-resize disks virtio-0 2MB
check "nor what no number has" exits 2 keel disk-resize disks virtio-0 9999999999T
check "a disk that there is not" refused 'has no such disk; keel disk-list' virtio-7 2M
check "a CD-ROM drive is none" refused 'has no such disk' secondary-master 2M
check "shrinking is refused" refused 'virtio-0 has 2097664 bytes and would have 1048576: .* --shrink does it' virtio-0 1M
check "the image has not changed" size "$WORK/rw.img" 2097664
check "with the option it is done" says 'virtio-0 has 1M, and had 2097664' keel disk-resize --shrink disks virtio-0 1M
check "to the image, too" size "$WORK/rw.img" 1048576
check "and told" noted disks 'capacity 4 1048576'
order disks 'read 4 1048576 512'
check "behind the end is nothing any more" noted disks 'done 2 1 .*'
check "of which nobody stands still" row '^virtio-0 .* good '
truncate -s 3M "$WORK/rw.img"
check "an image that was made longer is listed" row '^virtio-0 +1M .*rw\.img \(3M now\)$'
check "a size below it is smaller" refused 'has 3145728 bytes and would have 2097152' virtio-0 2M
check "without a size it is what it is" says 'virtio-0 has 3M, and had 1M' keel disk-resize disks virtio-0
check "for the guest as well" noted disks 'capacity 4 3145728'
truncate -s 64K "$WORK/rw.img"
check "one that was cut off takes the option" refused 'has 3145728 bytes and would have 65536' virtio-0
order disks 'read 4 1048576 512'
check "one that stands still" soon row '^virtio-0 .* io-error '
check "is not made shorter" refused 'stands still after an error; keel unpause' --shrink virtio-0
truncate -s 3M "$WORK/rw.img"
check "it goes on" keel unpause disks
truncate -s 0 "$WORK/rw.img"
check "one that is empty is none" refused 'shorter than a sector' --shrink virtio-0
truncate -s 64K "$WORK/rw.img"
check "and then takes what there is" says 'virtio-0 has 64K, and had 3M' keel disk-resize --shrink disks virtio-0
check "nothing is cut" size "$WORK/rw.img" 65536

check "one that is read-only has no size" refused 'not written to in mode "ro"' virtio-1 2M
truncate -s 2M "$WORK/ro.img"
check "but takes its image's" says 'virtio-1 has 2M, and had 1M' keel disk-resize disks virtio-1
check "for the guest, too" noted disks 'capacity 5 2097152'
check "a snapshot has none either" refused 'not written to in mode "snapshot"' virtio-2 2M
head -c 1M /dev/zero | tr '\0' 'y' >>"$WORK/snapshot.img"
check "and takes its image's" says 'virtio-2 has 2M' keel disk-resize disks virtio-2
order disks 'write 6 1048064 1024 51'
check "it is written to" noted disks 'done 4 0 .*'
order disks 'read 6 1048576 512'
check "over its former end" noted disks 'done 5 0 3333333333333333'
order disks 'read 6 1049088 512'
check "behind which is what grew" noted disks 'done 6 0 7979797979797979'
truncate -s 1M "$WORK/snapshot.img"
check "it is not made shorter" refused 'a snapshot, cannot become shorter' --shrink virtio-2
truncate -s 2M "$WORK/snapshot.img"

check "a disk on IDE" says 'primary-master has 2M, and had 1M; the guest sees it from its next reset on' \
	keel disk-resize disks primary-master 2M
check "has its image" size "$WORK/ide disk.img" 2097152
check "and is listed as it is" row '^primary-master +1M .*ide disk\.img \(2M now\)$'
order disks 'read 0 1048576 512'
check "for now" noted disks 'done 7 1 .*'
check "it is not made shorter" refused 'an IDE disk, cannot become shorter' --shrink primary-master 512K
check "reset" keel reset disks
check "has it larger" noted disks 'drive 0 2097152'
check "and the others as they are" noted disks 'drive 4 65536'
check "the read-only one, too" noted disks 'drive 5 2097152'
check "the log has it" grep -aq 'virtio-0: it had 1048576 bytes and has 2097152 now' "$KEEL_LOG_DIR/disks.log"
check "and IDE's" grep -aq 'primary-master: it had 1048576 bytes and has 2097152 from the next start on' "$KEEL_LOG_DIR/disks.log"
keel destroy disks >/dev/null

forget disks
truncate -s 4M "$WORK/rw.img"
manifest disks '"disks": [ { "bus": "virtio", "file": "rw.img" } ]' '"on_poweroff": "preserve"'
keel create "$WORK/disks.json" >/dev/null
order disks 'end 1'
check "a guest that is kept" soon says '^disks +preserved' keel list
check "can have a larger disk" says 'virtio-0 has 8M, and had 4M; .* next reset' keel disk-resize disks virtio-0 8M
check "for its next start" keel reset disks
check "which has it" noted disks 'drive 4 8388608'
keel destroy disks >/dev/null

forget disks
manifest disks '"cloud_init": { "hostname": "disks" }'
check "a disk that is made for its guest" keel create "$WORK/disks.json"
check "is listed without a file" row '^virtio-15 +[0-9]+K +raw +virtio +ro +writeback +good +- +cidata +\(cloud-init\)$'
check "in JSON, too" says '"file":null' keel disk-list --json disks
check "and has the size that it has" says 'virtio-15 has ([0-9]+K), and had \1$' keel disk-resize disks virtio-15
check "and no other" refused 'not written to in mode "ro"' virtio-15 1G
keel destroy disks >/dev/null

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
truncate -s 4M "$WORK/under.img"
device=$(losetup -f --show "$WORK/under.img") || die "cannot attach a device"
forget disks
manifest disks "\"disks\": [ { \"bus\": \"virtio\", \"file\": \"$device\" } ]"
check "a block device" keel create "$WORK/disks.json"
check "has no other size than its own" refused 'is a block device' virtio-0 8M
truncate -s 8M "$WORK/under.img"
losetup -c "$device"
check "which it takes" says 'virtio-0 has 8M, and had 4M' keel disk-resize disks virtio-0
check "and tells" noted disks 'capacity 4 8388608'
keel destroy disks >/dev/null
finish
