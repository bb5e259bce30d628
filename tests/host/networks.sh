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

# vlans INTERFACE VLAN: whether the port is in this one alone.
vlans() {
	bridge vlan show dev "$1" | awk -v port="$1" 'NR > 1 && NF { if ($1 == port) $1 = ""; $0 = $0; $1 = $1; print }' \
		>"$WORK/vlans"
	cat "$WORK/vlans"
	[ "$(cat "$WORK/vlans")" = "$2" ]
}

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
	manifest vlan "\"networks\": [ { \"bridge\": \"$bridge\", \"vlan\": 42 }, { \"bridge\": \"$bridge\" } ]"
	check "a bridge that does not tell VLANs apart" says "ip link set $bridge type bridge vlan_filtering 1 has it do so" \
		keel create "$WORK/vlan.json"
	check "nothing is left of it" never ip link show t0-vlan
	if ip link set "$bridge" type bridge vlan_filtering 1 2>/dev/null; then
		check "one that does" keel create "$WORK/vlan.json"
		check "its port is in that VLAN, without tags" vlans t0-vlan '42 PVID Egress Untagged'
		check "the other one in that of new ports" vlans t1-vlan '1 PVID Egress Untagged'
		keel destroy vlan >/dev/null
	else
		echo "skipped: the VLAN of a port, for want of bridges that filter by it (CONFIG_BRIDGE_VLAN_FILTERING)"
	fi
	check "a cable of a bridge's port" keel create "$WORK/net.json"
	check "is plugged in" soon sh -c 'ip link show t1-net | grep LOWER_UP'
	check "pulled out, by the interface's name" keel network-link net t1-net down
	check "the guest's host sees it" sh -c 'ip link show t1-net | grep NO-CARRIER'
	check "and in again" keel network-link net 1 up
	check "it sees that, too" sh -c 'ip link show t1-net | grep LOWER_UP'
	order net 'frames 1 60 1'
	check "a guest that sends" noted net 'sent 1'
	check "its interface is taken out of the bridge" ip link set t0-net nomaster
	check "the guest hears of it" noted net 'link down'
	check "it is shown" says '^0 .* unplugged ' keel network-list net
	check "not for the other one" says '^1 .* up ' keel network-list net
	check "put into it again" ip link set t0-net master "$bridge"
	check "it hears of that, too" noted net 'link up'
	check "one that is deleted" ip link del t1-net
	check "is lost" soon sh -c "keel network-list net | grep '^1 .* lost '"
	check "and nothing else" sh -c "keel network-list net | grep '^0 .* up ' && keel list | grep '^net *running'"
	check "the bridge is deleted" ip link del "$bridge"
	check "the guest hears of that" noted net 'link down' 2
	check "and goes on" says '^net +running' keel list
	keel destroy net >/dev/null
	tap=ktt$$
	if ip tuntap add dev "$tap" mode tap; then
		manifest own "\"networks\": [ { \"tap\": \"$tap\", \"mtu\": 9000 } ]"
		check "an interface that was there before" keel create "$WORK/own.json"
		check "has the MTU" sh -c "ip link show $tap | grep 'mtu 9000'"
		check "is listed" says "^0 .* tap +$tap +$tap +up" keel network-list own
		keel destroy own >/dev/null
		check "and stays" ip link del "$tap"
	fi
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

# fields NAME KEY...: of each of the guest's networks, by lines.
fields() {
	keel network-list --json "$1" | python3 -c 'import json, sys
for network in json.load(sys.stdin)["networks"]:
    print(" ".join(str(network.get(key)) for key in sys.argv[1:]))' "${@:2}"
}

# through NAME BYTE: whether a frame goes out and comes back.
through() {
	order "$1" "frames 1 100 $2"
	noted "$1" "frame 100 $2"
}

fake_passt
manifest cable '"networks": [ { "user": true, "mac": "02:00:00:00:00:07", "mtu": 1400 }, { "user": true } ]'
manifest bare
check "a guest with two cards" keel create "$WORK/cable.json"
check "they are listed" says '^0 +02:00:00:00:00:07 user +passt +up +0 +0$' keel network-list cable
check "both" says '^1 +[0-9a-f:]{17} user +passt +up ' keel network-list cable
check "with what the manifest says" [ "$(fields cable id kind mtu link | sed -n 1p)" = "0 user 1400 up" ]
check "a frame goes through" through cable 7
check "and is counted" says '^0 .* up +100 +100$' keel network-list cable
check "the cable is pulled out" keel network-link cable 0 down
check "the guest hears of it" noted cable 'link down'
check "it is shown" says '^0 .* down +100 +100$' keel network-list cable
check "the other one is as it was" says '^1 .* up ' keel network-list cable
order cable 'frames 3 100 8'
check "what the guest sends then is taken" noted cable 'sent 3'
check "and lost" [ "$(fields cable sent | sed -n 1p)" = "{'frames': 1, 'bytes': 100, 'dropped': 3}" ]
echo "60 9" >"$WORK/send" && mv "$WORK/send" "$WORK/passt-0-send"
# shellcheck disable=SC2317
lost() {
	[ "$(fields cable received | sed -n 1p)" = "{'frames': 1, 'bytes': 100, 'dropped': $1}" ]
}
check "so is what comes for it" soon lost 1
check "down once more is no fault" keel network-link cable 02:00:00:00:00:07 down
check "it starts again" order cable 'end 2'
check "with its cable still pulled out" noted cable 'link down' 2
check "plugged in, by the card's address" keel network-link cable 02:00:00:00:00:07 up
check "it hears of that" noted cable 'link up'
check "frames go through again" through cable 10
check "none of those between has come" never has_lines "$WORK/guests/cable/notes" 'frame .* [89]' 1
check "the log tells" says 'cable: network 0: the link is down' keel log cable
cat "$WORK"/passt-*-pid | xargs kill -KILL
check "what is behind the cards ends: the link is down" noted cable 'link down' 3
check "the guest goes on" says '^cable +running' keel list
check "and it is shown" says '^0 .* lost ' keel network-list cable
check "a cable to nowhere" exits 1 keel network-link cable 0 up
check "no such network" says 'has no such network; keel network-list' keel network-link cable 2 up
check "neither up nor down" exits 2 keel network-link cable 0 sideways
check "a guest without networks" keel create "$WORK/bare.json"
check "has none" says 'the guest has no networks' keel network-link bare 0 up
check "of no guest" exits 4 keel network-list none
keel destroy cable bare >/dev/null

# slow N FRAMES: whether as many of 1012 bytes have come to the N-th passt, and in no less time than their limit has them take.
# shellcheck disable=SC2317
slow() {
	soon has_lines "$WORK/passt-$1-frames" '.* 1012 .*' "$2" || return 1
	awk -v rate=65536 -v burst=4096 'NR == 1 { first = $1 } { bytes += $2; last = $1 }
		END { print bytes, last - first; exit !(last - first >= (bytes - burst - 2 * $2) / rate - 0.05) }' \
		"$WORK/passt-$1-frames"
}

# ticks NAME: of a hundredth of a second, that its process has had a processor.
ticks() {
	sed 's/.*) //' "/proc/$(cat "$KEEL_RUN_DIR/$1/pid")/stat" | awk '{ print $12 + $13 }'
}

manifest slow '"networks": [ { "user": true, "rate": { "transmit": "64K", "burst": "4K" } } ]'
manifest late '"networks": [ { "user": true, "rate": { "receive": "64K", "burst": "4K" } } ]'
check "a guest that sends slowly" keel create "$WORK/slow.json"
before=$(ticks slow)
begin=$EPOCHREALTIME
order slow 'frames 100 1012 3'
check "has all sent" noted slow 'sent 100'
check "in its time" slow 2 100
check "nobody was busy with that" awk -v begin="$begin" -v end="$EPOCHREALTIME" -v ticks=$(($(ticks slow) - before)) \
	'BEGIN { print end - begin, ticks; exit !(ticks < (end - begin) * 50) }'
check "what comes back is not slowed down, nor lost" noted slow 'frame 1012 3' 100
check "a guest that receives slowly" keel create "$WORK/late.json"
begin=$EPOCHREALTIME
for _ in $(seq 100); do
	echo "1012 5"
done >"$WORK/send" && mv "$WORK/send" "$WORK/passt-3-send"
check "has all that comes" noted late 'frame 1012 5' 100
check "in its time" awk -v begin="$begin" -v end="$EPOCHREALTIME" 'BEGIN { print end - begin; exit end - begin < 1.4 }'
keel destroy slow late >/dev/null
finish
