#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A guest's life as its owner sees it: started, listed, shut down, rebooted, ended; its console; its disk.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

truncate -s 1M "$WORK/disk.img"
manifest life '"disks": [ { "file": "disk.img" } ]'
check "create" keel create "$WORK/life.json"
check "the device model ran" noted life start
check "list has the guest" says '^life +running' keel list
check "a second one of its name is refused" exits 7 keel create "$WORK/life.json"

order life 'say hello\n'
check "output is kept" soon says hello keel console --log life
order life 'write 0 512 512 170'
check "a write is answered" noted life 'done 0 0 aaaaaaaaaaaaaaaa'
check "and in the image" soon cmp -n 512 -i 512:0 "$WORK/disk.img" <(head -c 512 /dev/zero | tr '\0' '\252')
order life 'read 0 1048576 512'
check "a read behind the end fails" noted life 'done 1 1 .*'

keel shutdown --timeout 20 life >"$WORK/shutdown" 2>&1 &
check "shutdown presses the power button" noted life 'power button'
order life 'end 1'
check "and waits for the end" wait $!
check "and says why" grep -q 'switched its machine off' "$WORK/shutdown"
check "the guest's folder is gone" soon never test -e "$KEEL_RUN_DIR/life"

# Memory that takes its time to be given back.
manifest large
check "create a large one" keel create "$WORK/large.json"
order large 'scrub 5'
order large 'end 2'
check "its record says that it is restarted" soon grep -q '"state":"restarting"' "$KEEL_RUN_DIR/.ended/large"
check "it starts again" noted large start 2
check "and its record says that it runs" soon grep -q '"state":"running"' "$KEEL_RUN_DIR/.ended/large"
order large 'end 1'
check "it ends" soon grep -q '"state":"ended"' "$KEEL_RUN_DIR/.ended/large"
check "it is known to be about to end" says '^large +ending' keel list
check "which is no failure" keel list
check "it is gone then" soon never test -e "$KEEL_RUN_DIR/large"

manifest other
mkdir -p "$WORK/guests/other"
echo 'start 5' >"$WORK/guests/other/faults"
check "a start that fails is told" says 'cannot start the VM: Input/output error' keel create "$WORK/other.json"
check "nothing of it is left" never test -e "$KEEL_RUN_DIR/other"

manifest flood
check "a guest whose device model gives no rest" keel create "$WORK/flood.json"
order flood flood
sleep 0.5
# Each try waits for some seconds; where nothing is looked at, none is ever answered.
is_answered() {
	local _
	for _ in 1 2 3 4 5 6 7 8; do
		keel info "$1" && return
	done
	return 1
}
check "is told of" is_answered flood
check "and can be destroyed" timeout 20 keel destroy flood
finish
