#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What a guest's networks are on the host: interfaces and programs come and go with the guest, however it ends.
set -uo pipefail
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# has_passt COUNT: so many of them serve guests.
has_passt() {
	[ "$(pgrep -c -f 'passt.*--fd 3' || true)" -eq "$1" ]
}

manifest none '"networks": [ { "bridge": "keel-no-br" } ]'
check "a bridge that is not there" says 'there is no bridge keel-no-br|/dev/net/tun' keel create "$WORK/none.json"
manifest notap '"networks": [ { "tap": "keel-no-tap" } ]'
check "a tap interface that is not there" says 'there is no tap interface keel-no-tap|/dev/net/tun' keel create "$WORK/notap.json"
manifest lo '"networks": [ { "tap": "lo" } ]'
check "one that is none" says 'cannot use the tap interface lo|/dev/net/tun' keel create "$WORK/lo.json"
manifest wrong '"networks": [ { "bridge": "br0", "speed": 3 } ]'
check "errors by line and column" says 'wrong.json:1:[0-9]+: unknown key "speed"' keel check "$WORK/wrong.json"
check "nothing is left" [ -z "$(ls "$KEEL_RUN_DIR")" ]

manifest missing '"networks": [ { "user": true } ]'
mkdir "$WORK/few"
ln -s "$(command -v mkdir)" "$(command -v basename)" "$WORK/few/"
check "passt missing: its package is named" says "Debian's package passt has it" \
	env PATH="$WORK/bin:$WORK/few" "$WORK/bin/keel-dm" \
	"$WORK/missing.json"

bridge=kt$$
if [ "$(id -u)" -ne 0 ] || ! [ -c /dev/net/tun ] || ! ip link add "$bridge" type bridge 2>/dev/null; then
	echo "skipped: a tap interface on a bridge, for want of root, /dev/net/tun or bridges"
else
	manifest net "\"networks\": [ { \"bridge\": \"$bridge\" }, { \"bridge\": \"$bridge\", \"mtu\": 1400 } ]"
	check "a guest on a bridge" keel create "$WORK/net.json"
	check "its interfaces are there" sh -c \
		"ip link show master $bridge | grep t0-net: && ip link show master $bridge | grep t1-net:"
	check "up, and with the MTU" sh -c 'ip link show t1-net | grep "mtu 1400" && ip link show t0-net | grep -w UP'
	order net 'end 2'
	check "it starts again" noted net start 2
	check "with the same interfaces" ip link show t0-net
	check "destroy" keel destroy net
	check "they are gone" never ip link show t0-net
	check "once more" keel create "$WORK/net.json"
	kill -KILL "$(cat "$KEEL_RUN_DIR/net/pid")"
	check "they go with a process that is killed" soon never ip link show t1-net
	ip link del "$bridge"
fi

if [ -z "$(ip route show default)" ]; then
	echo "skipped: networks in user mode, for want of a route to other hosts"
else
	before=$(pgrep -c -f 'passt.*--fd 3' || true)
	manifest user '"networks": [ { "user": true, "forward": [ { "host": 47011, "guest": 22 } ] } ]'
	check "a guest with passt" keel create "$WORK/user.json"
	check "which runs" has_passt $((before + 1))
	manifest second '"networks": [ { "user": true, "forward": [ { "host": 47011, "guest": 22 } ] } ]'
	check "a port that is taken is told" says 'passt does not start' keel create "$WORK/second.json"
	check "destroy it" keel destroy user
	check "passt is gone" soon has_passt "$before"
fi
finish
