#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Errors of the host are told to whoever looks, and can hold a guest's disk until they are mended.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

log() {
	grep -aEq "$2" "$KEEL_LOG_DIR/$1.log"
}

truncate -s 1M "$WORK/told.img"
manifest told '"disks": [ { "file": "told.img" } ]'
check "a guest starts" keel create "$WORK/told.json"
check "without errors" says '^io errors 0' keel info told
truncate -s 64K "$WORK/told.img"
for i in 1 2 3; do
	order told "read 0 $((524288 * (i % 2))) 4096"
done
check "a request behind the end of an image that was cut off fails" noted told 'done 0 1 .*'
check "one before it does not" noted told 'done 1 0 .*'
check "and the next fails" noted told 'done 2 1 .*'
check "the log has the first" soon log told \
	'told: primary-master \(.*/told.img\): read of 4096 bytes at 524288: the image ends before that'
check "info has their number" says '^io errors 2' keel info told
check "and the last" says '^the last .*Z told: primary-master .*the image ends before' keel info told
check "in JSON, too" says '"io_errors": ?2,.*"device": ?"primary-master"' keel info --json told
check "list has a mark" says '^told +running .* 2 I/O errors' keel list
check "there is nothing to unpause" exits 1 keel unpause told
keel destroy told >/dev/null
check "the log has one line" test "$(grep -c 'the image ends' "$KEEL_LOG_DIR/told.log")" = 2
check "and the number of the rest" log told '1 like this were not told'

truncate -s 1M "$WORK/held.img"
manifest held '"disks": [ { "file": "held.img", "on_error": "stop" }, { "file": "told.img" } ]'
check "a guest whose disk stops at errors" keel create "$WORK/held.json"
truncate -s 64K "$WORK/held.img"
order held 'read 0 524288 4096'
check "stands still" soon says '^held +io-error' keel list
check "and says why" says '^reason .*the image ends before that.*; keel unpause' keel info held
check "the guest has no answer" never has_lines "$WORK/guests/held/notes" 'done .*' 1
order held 'read 1 0 512'
check "its other disk works" noted held 'done 1 0 0+'
check "shutdown is refused" says 'keel unpause tries it once more' keel shutdown --timeout 1 held
check "so is reboot" exits 1 keel reboot --timeout 1 held
check "unpause, while nothing is mended, fails" says 'it failed again: .*the image ends before' keel unpause held
check "and holds it further" says '^held +io-error' keel list
truncate -s 1M "$WORK/held.img"
check "once that is mended" says 'held: goes on' keel resume held
check "the request is answered" noted held 'done 0 0 0+'
check "and the guest runs" says '^held +running' keel list
truncate -s 64K "$WORK/held.img"
order held 'read 0 524288 4096'
check "it stands still again" soon says '^held +io-error' keel list
check "a reset gives the request up" keel reboot --force held
check "and the guest runs anew" noted held start 2
check "without an error" says '^held +running' keel list
truncate -s 1M "$WORK/held.img"
keel reboot --force held >/dev/null
truncate -s 64K "$WORK/held.img"
order held 'read 0 524288 4096'
check "a guest that stands still" soon says '^held +io-error' keel list
check "can be destroyed" keel destroy held

manifest full '"serial": { "type": "file", "path": "/dev/full" }'
check "a guest with a serial file that is full" keel create "$WORK/full.json"
order full 'say lost\n'
check "that is told" soon log full 'serial \(/dev/full\): No space left on device'
check "and the guest goes on" says '^full +running .* 1 I/O error:' keel list
order full 'say again\n'
check "it is tried again" soon says '^io errors 2' keel info full
keel destroy full >/dev/null

mkdir "$WORK/small"
if ! mount -t tmpfs -o size=1M none "$WORK/small" 2>/dev/null; then
	printf 'full file systems are not tested: this takes root\n'
	finish
fi
# shellcheck disable=SC2317
unmount() {
	umount -l "$WORK/small"
	clean_up
}
trap unmount EXIT

truncate -s 4M "$WORK/small/disk.img"
manifest space '"disks": [ { "file": "small/disk.img", "on_error": "stop" } ]'
head -c 900K /dev/zero >"$WORK/small/filler"
check "a guest on a sparse image" keel create "$WORK/space.json"
order space 'write 0 0 131072 1'
check "stands still when its file system is full" soon says '^space +io-error' keel list
check "and says so" says 'write of .*: No space left on device' keel info space
rm "$WORK/small/filler"
check "after room was made" keel unpause space
check "it goes on" noted space 'done 0 0 0101.*'
check "and nothing is lost" cmp -n 131072 "$WORK/small/disk.img" <(head -c 131072 /dev/zero | tr '\0' '\1')
head -c 1M /dev/zero >"$WORK/small/filler" 2>/dev/null
order space 'write 0 1048576 131072 9'
check "it stands still again" soon says '^space +io-error' keel list
kill -TERM "$(cat "$KEEL_RUN_DIR/space/pid")"
sleep 1.1
kill -TERM "$(cat "$KEEL_RUN_DIR/space/pid")"
check "and ends by signals" soon never test -e "$KEEL_RUN_DIR/space"
finish
