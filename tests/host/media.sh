#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Media of a CD-ROM drive: put in and taken out while the guest runs, by whoever has the right to, and nothing else.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# sector FILE BYTE: a medium of two sectors of this byte, as octal.
sector() {
	head -c 4096 /dev/zero | tr '\0' "\\$2" >"$WORK/$1"
}

# What another process has open is root's to see.
check_as_root() {
	[ "$(id -u)" -ne 0 ] || check "$@"
}

# holds NAME PATTERN: whether the guest's process or its keeper has a file open that is this.
holds() {
	local pid
	pid=$(cat "$KEEL_RUN_DIR/$1/pid")
	find "/proc/$pid/fd" "/proc/$(awk '$1 == "PPid:" { print $2 }' "/proc/$pid/status")/fd" -lname "$2" | grep .
}

# The same of its process alone.
holds_itself() {
	find "/proc/$(cat "$KEEL_RUN_DIR/$1/pid")/fd" -lname "$2" | grep .
}

# descriptors NAME: how many its process has.
descriptors() {
	find "/proc/$(cat "$KEEL_RUN_DIR/$1/pid")/fd" -type l | wc -l
}

# free FILE: whether nobody has locked it.
free() {
	python3 -c 'import fcntl, sys
fcntl.lockf(open(sys.argv[1], "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB)' "$1"
}

has_descriptors() {
	[ "$(descriptors "$1")" -eq "$2" ]
}

# said NAME TEXT [KIND...]: what its control socket answers.
said() {
	local guest=$1
	shift
	python3 "$ROOT/tests/host/descriptors.py" "$KEEL_RUN_DIR/$guest/control" "$@"
}

# drive NAME FILE: whether this is what is in its drive.
drive() {
	says "\"cdroms\":\[{\"slot\":\"secondary-master\",\"file\":$2}\]" keel info --json "$1"
}

sector first.iso 021
sector second.iso 042
sector "third one.iso" 063
truncate -s 1M "$WORK/disk.img"
manifest guest '"cdrom": { "file": "first.iso" }' '"disks": [ { "file": "disk.img" } ]'
manifest empty '"cdrom": {}'
manifest bare
manifest writer '"disks": [ { "file": "second.iso" } ]'
check "a guest with a medium" keel create "$WORK/guest.json"
check "info has it" says '^cd-rom +secondary-master: /.*/first.iso$' keel info guest
check "in JSON, too" drive guest '"/[^"]*/first.iso"'
order guest 'read 2 0 2048'
check "the guest reads it" noted guest 'done 0 0 (11)+'
check "another takes its place" says '^guest: /.*/second.iso is in its CD-ROM drive$' keel cd-insert guest "$WORK/second.iso"
check "the guest hears of it" noted guest 'medium 2 4096'
order guest 'read 2 2048 2048'
check "and reads that" noted guest 'done 1 0 (22)+'
check "info has it now" drive guest '"/[^"]*/second.iso"'
check_as_root "the former one is let go of" never holds guest '*/first.iso'
check "and free for others" free "$WORK/first.iso"
check "without a note of it" never grep -q " $(stat -c %i "$WORK/first.iso")\$" "$KEEL_RUN_DIR/guest/disks"
check "of the other one there is a note" grep -q " $(stat -c %i "$WORK/second.iso")\$" "$KEEL_RUN_DIR/guest/disks"
check "and it is locked" never free "$WORK/second.iso"
check "no other guest writes to it" says 'in use by guest "guest"' keel create "$WORK/writer.json"
check "a relative name" sh -c 'cd "$1" && keel cd-insert guest "third one.iso"' - "$WORK"
check "is told in full" drive guest '"/[^"]*/third one.iso"'
check "reset" keel reset guest
check "leaves it in" noted guest 'drive 2 4096' 2
order guest 'read 2 0 2048'
check "for the guest as well" noted guest 'done 2 0 (33)+'
check "so does a reset of its own" sh -c 'echo "end 2" >>"$1"' - "$WORK/guests/guest/orders"
check "the third start" noted guest start 3
check "has it" drive guest '"/[^"]*/third one.iso"'

check "eject" says '^guest: its CD-ROM drive is empty$' keel cd-eject guest
check "the guest hears of it" noted guest 'medium 2 0'
order guest 'read 2 0 2048'
check "and has nothing to read" noted guest 'done 3 1 .*'
check "info has none" drive guest null
check_as_root "nobody holds it" never holds guest '*/third one.iso'
check "nor has it locked" free "$WORK/third one.iso"
check "eject of nothing" says 'its CD-ROM drive is empty; keel cd-insert' keel cd-eject guest
check "is a failure" exits 1 keel cd-eject guest
check_as_root "the disk is what it was" holds guest '*/disk.img'
order guest 'read 0 0 512'
check "and works" noted guest 'done 4 0 0+'
check "a guest that had none" keel create "$WORK/empty.json"
check "is told so" says '^cd-rom +secondary-master: empty$' keel info empty
check "gets one" keel cd-insert empty "$WORK/second.iso"
check "two can have the same" keel cd-insert guest "$WORK/second.iso"
check "again, which is another for the guest" keel cd-insert guest "$WORK/second.iso"
check "without a number more of notes" [ "$(wc -l <"$KEEL_RUN_DIR/guest/disks")" -eq 2 ]
check "eject of several" sh -c 'keel cd-eject guest empty | grep -c "is empty$" | grep -x 2'
check "the log has it" grep -aq 'secondary-master: the medium is now /.*/second.iso' "$KEEL_LOG_DIR/guest.log"

keel cd-insert guest "$WORK/first.iso" >/dev/null
order guest 'lock 2'
order guest 'read 2 0 2048'
check "a guest locks the door" noted guest 'done 5 0 (11)+'
check "eject is refused" says 'keeps the door .* locked, .*: try again, unmount it there, or use --force' keel cd-eject guest
check "but the guest is asked" noted guest 'eject button'
check "so is another medium" says 'keeps the door .* locked' keel cd-insert guest "$WORK/second.iso"
check_as_root "which nobody holds then" never holds guest '*/second.iso'
check "the former is in" drive guest '"/[^"]*/first.iso"'
check "by force another comes in" keel cd-insert --force guest "$WORK/second.iso"
check "and out" keel cd-eject guest --force
check "into a drive that is empty any comes" keel cd-insert guest "$WORK/first.iso"
order guest 'unlock 2'
order guest 'read 2 0 2048'
check "a guest unlocks the door" noted guest 'done 6 0 (11)+'
check "eject is none of its business then" keel cd-eject guest
keel cd-insert guest "$WORK/second.iso" >/dev/null
order guest 'open 2'
check "a guest ejects its medium" soon drive guest null
check "which is free then" free "$WORK/second.iso"
check "and gets another" keel cd-insert guest "$WORK/second.iso"
order guest 'read 2 0 2048'
check "which stays" noted guest 'done 7 0 (22)+'
order guest 'open 2'
order guest 'end 2'
check "one that ejects it and resets itself" noted guest start 4
check "starts without it" noted guest 'drive 2 0'

# refused STATUS PATTERN FILE [NAME]: and the drive is as it was.
refused() {
	exits "$1" keel cd-insert "${4:-guest}" "$3" >"$WORK/refused" 2>&1 || { cat "$WORK/refused"; return 1; }
	grep -Eq "$2" "$WORK/refused" || { cat "$WORK/refused"; return 1; }
}

keel cd-insert guest "$WORK/first.iso" >/dev/null
keel create "$WORK/bare.json" >/dev/null
check "no such guest" refused 4 'no guest "none" is running' "$WORK/second.iso" none
check "a guest without a drive" refused 1 'has no CD-ROM drive; "cdrom": \{\} in its manifest' "$WORK/second.iso" bare
check "eject of it as well" says 'has no CD-ROM drive' keel cd-eject bare
check "no such file" refused 1 'cannot open /.*/none.iso: No such file' "$WORK/none.iso"
check "a folder" refused 1 'neither a regular file nor a block device' "$WORK"
mkfifo "$WORK/pipe"
(: >"$WORK/pipe"; touch "$WORK/opened") &
opener=$!
check "a pipe, without waiting" refused 1 'neither a regular file' "$WORK/pipe"
sleep 0.3
check "and without opening it, which may do something" never test -e "$WORK/opened"
kill $opener 2>/dev/null
check "a device that is none of blocks" refused 1 'neither a regular file' /dev/zero
printf 'QFI\373\0\0\0\003' >"$WORK/q.iso"
truncate -s 1M "$WORK/q.iso"
check "another format" refused 1 "qemu-img convert -f qcow2 -O raw '/.*/q.iso'" "$WORK/q.iso"
: >"$WORK/none"
check "an empty file" refused 1 'is empty; a CD-ROM drive takes an ISO image' "$WORK/none"
truncate -s 2560 "$WORK/odd.iso"
check "a size of no whole sectors" refused 1 'whole sectors of 2048 bytes: truncate -s %2048' "$WORK/odd.iso"
check "a disk of the guest's own" refused 7 'disk.img is in use by guest "guest"' "$WORK/disk.img"
keel create "$WORK/writer.json" >/dev/null
check "a disk of another guest's" refused 7 'second.iso is in use by guest "writer"' "$WORK/second.iso"
check "after all that the drive has what it had" drive guest '"/[^"]*/first.iso"'
order guest 'read 2 0 2048'
check "and works" noted guest 'done 8 0 (11)+'

insert='{"command":"cd-insert","file":"x"}\n'
keel destroy writer >/dev/null
check "no descriptor" says 'expected the name of a medium, and one descriptor' said guest "$insert"
many=$(descriptors guest 2>/dev/null)
check "two" says 'one descriptor of it' said guest "$insert" "r:$WORK/second.iso" "r:$WORK/second.iso"
mapfile -t hundred < <(yes "r:$WORK/second.iso" | head -n 100)
check "many" says 'one descriptor of it' said guest "$insert" "${hundred[@]}"
check "one in each of several pieces" says 'one descriptor of it' said guest "$insert" "r:$WORK/second.iso" +3
check "no name" says 'the name of a medium' said guest '{"command":"cd-insert"}\n' "r:$WORK/second.iso"
check "a name that is none" says 'the name of a medium' said guest '{"command":"cd-insert","file":7}\n' "r:$WORK/second.iso"
check "a descriptor for writing" says 'x is not open for reading alone' said guest "$insert" "w:$WORK/second.iso"
check "one that is a name alone" says 'x is not open for reading alone' said guest "$insert" "path:$WORK/second.iso"
for kind in pipe socket event "r:$WORK" r:/dev/zero; do
	check "what is no file: $kind" says 'x is neither a regular file nor a block device' said guest "$insert" "$kind"
done
check "another format" says 'image in the format qcow2' said guest "$insert" "r:$WORK/q.iso"
check "an odd size" says 'whole sectors' said guest "$insert" "r:$WORK/odd.iso"
check "a descriptor that nobody asked for" says '"ok": ?true' said guest '{"command":"status"}\n' "r:$WORK/second.iso"
check "one with what is no request" says 'expected a JSON object' said guest 'x\n' "r:$WORK/second.iso"
for _ in 1 2 3; do
	said guest '{"command":' "r:$WORK/second.iso"
done
check_as_root "none of them is kept" soon has_descriptors guest "$many"
check_as_root "nor that file" never holds guest '*/second.iso'
check "the drive has what it had" drive guest '"/[^"]*/first.iso"'
check "one that is right is taken" says '"ok": ?true' said guest "$insert" "r:$WORK/second.iso"
check "as it is called" drive guest '"x"'
check_as_root "and is as many as there were" soon has_descriptors guest "$many"
order guest 'read 2 0 2048'
check "it is that file" noted guest 'done 9 0 (22)+'
kill -STOP "$(cat "$KEEL_RUN_DIR/empty/pid")"
check "a process that hangs" exits 6 keel cd-eject empty
kill -CONT "$(cat "$KEEL_RUN_DIR/empty/pid")"
keel destroy guest empty bare >/dev/null
check "all is free in the end" free "$WORK/second.iso"

if [ "$(id -u)" -ne 0 ] || ! losetup -f >/dev/null 2>&1; then
	printf 'block devices are not tested: this takes root and loop devices\n'
	finish
fi
# shellcheck disable=SC2317
detach_all() {
	umount "$WORK/mnt" 2>/dev/null
	losetup -n -O NAME,BACK-FILE | grep -F "$WORK/" | cut -d' ' -f1 | xargs -r -n 1 losetup -d
	clean_up
}
trap detach_all EXIT
forget empty
keel create "$WORK/empty.json" >/dev/null
truncate -s 8M "$WORK/under.img"
device=$(losetup -f --show "$WORK/under.img") || die "cannot attach a device"
mkdir "$WORK/mnt"
mknod "$WORK/node" b "$((0x$(stat -c %t "$device")))" "$((0x$(stat -c %T "$device")))"
manifest under '"disks": [ { "file": "under.img" } ]'
manifest beside "\"disks\": [ { \"file\": \"$device\" } ]"
check "a block device" keel cd-insert empty "$WORK/node"
check "is as long as it is" noted empty 'medium 2 8388608'
check "it is no other guest's" says 'in use by guest "empty"' keel create "$WORK/beside.json"
check "nor is the file under it" says 'in use by guest "empty"' keel create "$WORK/under.json"
check "which the guest's process has not open" never holds_itself empty '*/under.img'
check "but its keeper" holds empty '*/under.img'
check "eject" keel cd-eject empty
check "lets go of both" never holds empty '*/under.img'
check "another guest can have it" keel create "$WORK/beside.json"
check "and is in the way then" refused 7 'node is in use by guest "beside"' "$WORK/node" empty
keel destroy beside >/dev/null
mkfs.ext4 -q "$device" && mount "$device" "$WORK/mnt"
check "one that is mounted and written to" refused 7 "mounted on $WORK/mnt, which this host writes to" "$device" empty
umount "$WORK/mnt"
mount -t tmpfs none "$WORK/mnt"
cp "$WORK/first.iso" "$WORK/mnt/away.iso"
check "a medium in a file system" keel cd-insert empty "$WORK/mnt/away.iso"
check "keeps it mounted" never umount "$WORK/mnt"
order empty 'read 2 0 2048'
check "while it is read" noted empty 'done 0 0 (11)+'
keel cd-eject empty >/dev/null
check "and no longer" umount "$WORK/mnt"
finish
