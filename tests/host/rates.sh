#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limits of a disk's rate: requests wait and do not fail, in their order, and nobody else waits for them.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

now_ms() {
	date +%s%3N
}

# ticks NAME: processor time of its process.
ticks() {
	awk '{ print $14 + $15 }' "/proc/$(cat "$KEEL_RUN_DIR/$1/pid")/stat"
}

at_least() {
	[ "$1" -ge "$2" ] || { printf '%d, of at least %d\n' "$1" "$2"; return 1; }
}

at_most() {
	[ "$1" -le "$2" ] || { printf '%d, of at most %d\n' "$1" "$2"; return 1; }
}

truncate -s 8M "$WORK/slow.img" "$WORK/fast.img" "$WORK/bytes.img"
manifest limited '"disks": [
	{ "bus": "virtio", "file": "slow.img", "rate": { "operations": 10, "operations_burst": 1 } },
	{ "bus": "virtio", "file": "bytes.img", "rate": { "bytes": "1M" } },
	{ "file": "fast.img" } ]'
check "a guest with limits" keel create "$WORK/limited.json"
check "of operations" says '^virtio-0 .* good +- 10 +KEEL' keel disk-list limited
check "and of bytes" says '^virtio-1 .* good +1M - +KEEL' keel disk-list limited
check "and none" says '^primary-master .* good +- +KEEL' keel disk-list limited
check "in JSON, too" says '"rate":\{"operations":10,"operations_burst":1\}' keel disk-list --json limited
check "it runs" noted limited start
started=$(now_ms) spent=$(ticks limited)
for i in $(seq 0 20); do
	order limited "write 4 $((i * 4096)) 512 $i"
done
order limited 'read 0 0 512'
check "one without a limit does not wait" noted limited 'done 21 0 .*'
check "while others do" never has_lines "$WORK/guests/limited/notes" 'done 20 .*' 1
check "nor does whoever asks" says '^limited +running' keel list
check "each is answered" noted limited 'done [0-9]+ 0 .*' 22
took=$(($(now_ms) - started)) spent=$(($(ticks limited) - spent))
check "after a tenth of a second for each" at_least "$took" 1990
check "without that somebody looks at the clock all the time" at_most "$((spent * 1000 / $(getconf CLK_TCK)))" "$((took / 2))"
check "in their order" [ "$(sed -nE 's/^done ([0-9]+) .*/\1/p' "$WORK/guests/limited/notes" | grep -vx 21 | paste -sd ' ')" = \
	"$(seq -s ' ' 0 20)" ]
started=$(now_ms)
for i in $(seq 16); do
	order limited "write 5 $((i * 131072)) 131072 $i"
done
check "bytes" noted limited 'done [0-9]+ 0 .*' 38
check "take their time behind the burst" at_least "$(($(now_ms) - started))" 870
order limited 'write 5 0 131072 7'
order limited 'write 5 0 131072 7'
order limited 'discard 5 0 4194304'
order limited 'flush 5'
check "a discard and a flush are no bytes" noted limited 'done 41 0 .*'

order limited 'write 4 0 512 99'
for i in $(seq 50); do
	order limited "write 4 $((i * 512)) 512 99"
done
order limited 'end 2'
check "a reset" noted limited start 2
order limited 'read 4 25600 8'
check "forgets what waited" noted limited 'done [0-9]+ 1 .*'
order limited 'read 4 25600 512'
check "of which nothing comes later" soon has_lines "$WORK/guests/limited/notes" 'done [0-9]+ 0 0000000000000000' 1
check "end" keel destroy limited
finish
