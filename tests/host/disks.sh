#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Disks are what they seem: one guest's own by whatever name, writable, raw, and as long as they are now.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

attach() {
	losetup -f --show "$@" || die "cannot attach $*"
}

# shellcheck disable=SC2317
detach_all() {
	local device
	umount "$WORK/mnt" 2>/dev/null
	for device in $(losetup -n -O NAME,BACK-FILE | grep -F "$WORK/" | cut -d' ' -f1); do
		umount "$device"* 2>/dev/null
		losetup -d "$device"
	done
	clean_up
}

# guest NAME FILE [MODE]: a manifest with this disk
guest() {
	manifest "$1" "\"disks\": [ { \"file\": \"$2\", \"mode\": \"${3:-rw}\" } ]"
}

# refused NAME STATUS PATTERN: nothing starts, and the reason has the pattern.
refused() {
	exits "$2" keel create "$WORK/$1.json" >"$WORK/refused" 2>&1 || { cat "$WORK/refused"; return 1; }
	grep -Eq "$3" "$WORK/refused" || { cat "$WORK/refused"; return 1; }
	[ ! -e "$KEEL_RUN_DIR/$1" ]
}

runs() {
	keel create "$WORK/$1.json"
}

ends() {
	keel destroy "$1" >/dev/null
}

# hold FILE SECONDS: another program has it locked meanwhile.
hold() {
	python3 -c 'import fcntl, sys, time
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
open(sys.argv[3], "w").close()
time.sleep(float(sys.argv[2]))' "$1" "$2" "$WORK/held" &
	soon test -e "$WORK/held"
	rm "$WORK/held"
}

truncate -s 8M "$WORK/a.img"
ln "$WORK/a.img" "$WORK/link.img"
guest own "$WORK/a.img"
guest rival "$WORK/link.img" ro
check "a guest on a file" runs own
check "has it for itself" refused rival 7 'in use by guest "own"'
manifest writer '"serial": { "type": "file", "path": "link.img" }'
check "nor does another's serial port write into it" refused writer 7 'link.img, the file of the serial port, is in use'
check "the image is whole" cmp "$WORK/a.img" <(head -c 8M /dev/zero)
pid=$(cat "$KEEL_RUN_DIR/own/pid")
kill -KILL "$pid"
check "an image of a process that was killed just now is free" runs rival
ends rival
check "and again" runs own
pid=$(cat "$KEEL_RUN_DIR/own/pid")
kill -KILL "$(ps -o ppid= -p "$pid")"
soon never kill -0 "$pid"
hold "$WORK/a.img" 3
check "one that others hold is not said to be in use by a guest that is gone" \
	refused rival 7 'link.img is locked by another program'
wait
hold "$WORK/a.img" 0.5
check "what is locked for a moment is waited for" runs rival
ends rival
wait

guest self "$WORK/a.img" snapshot
sed -i 's/ }$/, "serial": { "type": "file", "path": "link.img" } }/' "$WORK/self.json"
check "the serial file is not a disk" refused self 3 'link.img is also disks/0'
for log in log/logs.log run/logs/console.log run/logs/firmware.log; do
	manifest logs "\"serial\": { \"type\": \"file\", \"path\": \"$log\", \"log\": true }"
	check "nor is it $log" refused logs 1 'is a log of this guest'
done

# To open some files is to do something, such as arming a watchdog.
mkfifo "$WORK/fifo"
manifest opens '"serial": { "type": "file", "path": "fifo" }'
(cat "$WORK/fifo"; touch "$WORK/opened") &
opener=$!
check "what is neither a file nor a terminal is refused" \
	refused opens 1 'fifo, for what the serial port says, is neither a file nor'
sleep 0.3
check "without having been opened" never test -e "$WORK/opened"
pkill -P $opener
kill $opener 2>/dev/null
wait $opener 2>/dev/null
manifest opens '"serial": { "type": "file", "path": "/dev/zero" }'
check "so is a device that is no terminal" refused opens 1 '/dev/zero, for what the serial port says, is neither'
manifest opens '"serial": { "type": "file", "path": "/dev/null" }'
check "but not /dev/null" runs opens
ends opens
manifest opens '"serial": { "type": "file", "path": "terminal" }'
python3 -c 'import os, pty, sys
master, slave = pty.openpty()
os.symlink(os.ttyname(slave), sys.argv[1])
os.write(1, os.read(master, 5))' "$WORK/terminal" >"$WORK/heard" &
soon test -L "$WORK/terminal"
check "nor a terminal" runs opens
order opens 'say heard'
check "which hears the guest" soon grep -qx heard "$WORK/heard"
ends opens
wait

guest qcow "$WORK/q.img"
printf 'QFI\373\0\0\0\003' >"$WORK/q.img"
truncate -s 1M "$WORK/q.img"
check "another format is found by check" says "qemu-img convert -f qcow2 -O raw '.*/q.img'" keel check "$WORK/qcow.json"
check "and by create" refused qcow 3 'in the format qcow2'

truncate -s 1M "$WORK/grow.img"
manifest grows '"disks": [ { "file": "grow.img" }, { "file": "grow2.img", "mode": "snapshot" } ]'
head -c 6144 /dev/zero | tr '\0' '\21' >"$WORK/grow2.img"
check "a guest starts" runs grows
check "on disks of some size" noted grows 'drive [01] (1048576|6144)' 2
order grows 'write 1 5632 512 34'
check "writes behind the last whole block of a snapshot" noted grows 'done 0 0 2+'
truncate -s 2M "$WORK/grow.img"
head -c 2148 /dev/zero | tr '\0' '\63' >>"$WORK/grow2.img"
check "images that grew" keel reboot --force grows
check "are seen after a reset" noted grows 'drive 0 2097152'
check "in whole sectors" noted grows 'drive 1 8192'
order grows 'read 0 2096640 512'
check "and read to their end" noted grows 'done 1 0 0+'
order grows 'read 1 6144 512'
check "so is what grew within a block of a snapshot" noted grows 'done 2 0 3+'
order grows 'read 1 5632 512'
check "which keeps what was written" noted grows 'done 3 0 2+'
truncate -s 512K "$WORK/grow.img"
order grows 'end 2'
check "an image that shrank is seen when the guest resets itself" noted grows 'drive 0 524288'
check "and told" soon grep -q 'had 2097152 bytes and has 524288 now' "$KEEL_LOG_DIR/grows.log"
truncate -s 0 "$WORK/grow.img"
check "one that is gone is an error" says 'become shorter than a sector' keel reboot --force grows

if [ "$(id -u)" -ne 0 ] || ! losetup -f >/dev/null 2>&1; then
	printf 'block devices are not tested: this takes root and loop devices\n'
	finish
fi
trap detach_all EXIT
mkdir "$WORK/mnt"

guest device "$WORK/device"
ln -s "$(attach "$WORK/a.img")" "$WORK/device"
device=$(readlink "$WORK/device")
mknod "$WORK/second" b "$((0x$(stat -c %t "$device")))" "$((0x$(stat -c %T "$device")))"
guest second "$WORK/second"
guest reader "$WORK/second" ro
guest under "$WORK/a.img"
check "a file under a loop device is refused" refused under 7 "attached to $device; losetup -d"
check "a guest on a loop device" runs device
check "refuses a second node of it" refused second 7 'in use by guest "device"'
check "for reading as well" refused reader 7 'in use by guest "device"'
check "and the file under it" refused under 7 'in use by guest "device"'
ends device

mkfs.ext4 -q "$device" && mount "$device" "$WORK/mnt"
check "a mounted device is refused" refused device 7 "mounted on $WORK/mnt; unmount it"
check "by another node, too" refused second 7 "mounted on $WORK/mnt"
umount "$WORK/mnt"
check "and free when it is not mounted any more" runs device
check "mount is refused then" never mount "$device" "$WORK/mnt"
ends device
losetup -d "$device"
check "a guest on the file" runs under
rm "$WORK/device"
ln -s "$(attach "$WORK/a.img")" "$WORK/device"
check "refuses a loop device over it" refused device 7 'a.img, which .*/device lies in, is in use by guest "under"'
ends under
losetup -d "$(readlink "$WORK/device")"

readonly_device=$(attach -r "$WORK/a.img")
guest locked "$readonly_device"
check "a read-only device in mode rw is found by check" \
	says 'is a read-only device; give it "mode"' keel check "$WORK/locked.json"
guest locked "$readonly_device" ro
check "and is good in mode ro" runs locked
ends locked
losetup -d "$readonly_device"

truncate -s 16M "$WORK/parts.img"
printf 'label: dos\n2048,8192,83\n12288,8192,83\n' | sfdisk -q "$WORK/parts.img" 2>/dev/null
disk=$(attach -P "$WORK/parts.img")
partx -a "$disk" 2>/dev/null
if [ ! -b "${disk}p2" ]; then
	printf 'partitions are not tested: %s has none\n' "$disk"
	finish
fi
guest whole "$disk"
guest first "${disk}p1"
guest other "${disk}p2"
guest peeks "$disk" ro
check "a guest on a partition" runs first
check "does not mind one on another" runs other
check "but one on the whole disk" refused whole 7 "in use"
check "though it only reads" refused peeks 7 'in use by guest'
ends first
ends other
check "a guest on the whole disk" runs whole
check "minds one on a partition" refused first 7 'in use'
ends whole
mkfs.ext4 -q "${disk}p1" && mount "${disk}p1" "$WORK/mnt"
check "a disk with a mounted partition is refused" refused whole 7 "mounted on $WORK/mnt"
check "another partition of it is not" runs other
ends other
finish
