#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What a guest can make grow on the host is bounded, and told: snapshots, the serial port's file, the log.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

truncate -s 4M "$WORK/disk.img"
manifest limited '"disks": [ { "file": "disk.img", "mode": "snapshot", "snapshot_limit": "1M" } ]'
check "a snapshot with a limit" keel create "$WORK/limited.json"
for i in 0 1 2 3 4 5 6 7; do
	order limited "write 0 $((i * 131072)) 131072 $((i + 1))"
	check "takes write $i" noted limited "done $i 0 .*"
done
order limited 'write 0 2097152 4096 9'
check "and no more than that" noted limited 'done 8 1 .*'
check "which is told" says 'write of 4096 bytes at 2097152: the snapshot has reached its limit' keel info limited
order limited 'write 0 0 131072 17'
check "what is in it can be written again" noted limited 'done 9 0 .*'
order limited 'read 0 2097152 512'
check "what is not in it is the image's" noted limited 'done 10 0 0+'
check "a reset" keel reboot --force limited
order limited 'read 0 0 512'
check "keeps the snapshot" noted limited 'done 11 0 1111.*'
keel destroy limited >/dev/null
check "the image is as it was" cmp "$WORK/disk.img" <(head -c 4M /dev/zero)

# A file without a hole, which is 1 GiB long.
serial=$WORK/serial.txt
truncate -s 1073741820 "$serial"
manifest talks '"serial": { "type": "file", "path": "serial.txt" }'
check "a guest with a serial file that is nearly full" keel create "$WORK/talks.json"
order talks 'say more than four\n'
check "is told of" soon says 'serial .*serial.txt.: it has 1 GiB, the most that is kept' keel info talks
check "and writes no more" test "$(stat -c %s "$serial")" = 1073741820
: >"$serial"
order talks 'say afterwards\n'
check "until the file is made shorter" soon grep -q afterwards "$serial"
keel destroy talks >/dev/null

manifest resets
check "a guest that resets all the time" keel create "$WORK/resets.json"
for i in $(seq 20); do
	order resets 'end 2'
done
check "does so" noted resets start 21
keel destroy resets >/dev/null
check "and fills no log with that" test "$(grep -c 'restarted' "$KEEL_LOG_DIR/resets.log")" = 2
check "which has the number" grep -q 'restarted: .*19 like this were not told' "$KEEL_LOG_DIR/resets.log"

if ! unshare -m true 2>/dev/null; then
	printf 'a full /var/tmp is not tested: this takes root\n'
	finish
fi

# elsewhere OPTIONS COMMAND...: with another /var/tmp.
elsewhere() {
	local options=$1
	shift
	# shellcheck disable=SC2016
	unshare -m sh -c 'mount -t tmpfs -o "$0" none /var/tmp && exec "$@"' "$options" "$@"
}

manifest small '"disks": [ { "file": "disk.img", "mode": "snapshot" } ]'
check "a snapshot without room in /var/tmp is refused" \
	says '/var/tmp, where .* is kept, has 1024 KiB left: make room there' elsewhere size=1M keel create "$WORK/small.json"
# shellcheck disable=SC2016
check "so is one without /var/tmp" says 'cannot make a file in /var/tmp for the snapshot' \
	unshare -m sh -c 'mount -t tmpfs -o ro none /var/tmp && exec keel create "$0"' "$WORK/small.json"
check "nothing is left of it" never test -e "$KEEL_RUN_DIR/small"
truncate -s 64M "$WORK/disk.img"
check "one with some room is not" elsewhere size=17M keel create "$WORK/small.json"
check "but the log says how much" grep -q 'may be 64 MiB, and /var/tmp has 17 MiB left' "$KEEL_LOG_DIR/small.log"
check "and that it is memory" grep -q "takes the host's memory" "$KEEL_LOG_DIR/small.log"
for i in $(seq 0 136); do
	order small "write 0 $((i * 131072)) 131072 1"
	noted small "done $i .*" || break
done
check "when it is full the guest gets an error" noted small 'done 136 1 .*'
check "and the owner a reason" says 'No space left on device; what the guest writes is kept in /var/tmp' keel info small
keel destroy small >/dev/null
finish
