# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Runs in the control domain, behind console.sh: two guests on a bridge, and in a VLAN of another one.

# guest NUMBER: starts it.
guest() {
	printf '{ "version": 1, "name": "net%s", "memory": "128M", "boot": ["cdrom"],
		"cdrom": { "file": "%s" }, "networks": [ { "bridge": "br0", "mac": "02:00:00:00:00:0%s" },
			{ "bridge": "br7", "vlan": 7, "mtu": 1400 } ] }' "$1" /keel-test/network.iso "$1" >"/tmp/net$1.json"
	keel create "/tmp/net$1.json"
}

# given_back NUMBER: the file that the guest has sent is the one that it got.
given_back() {
	[ "$(md5sum <"/tmp/back$1")" = "$(cat /www/sum)" ]
}

mkdir -p /www
head -c 1048576 /dev/urandom >/www/blob
md5sum </www/blob >/www/sum
printf '{ "version": 1, "name": "none", "memory": "16M", "networks": [ { "bridge": "br0" } ] }' >/tmp/none.json
printf '{ "version": 1, "name": "vlan", "memory": "16M", "networks": [ { "bridge": "br7", "vlan": 7 } ] }' >/tmp/vlan.json
check "without the bridge a guest is refused" sh -c \
	'! keel create /tmp/none.json >/tmp/refused 2>&1 && grep "there is no bridge br0" /tmp/refused'
brctl addbr br0
ip addr add 10.0.0.254/24 dev br0
ip link set br0 up
brctl addbr br7
ip addr add 10.7.0.254/24 dev br7
ip link set br7 up
check "with a bridge that does not tell VLANs apart, too" sh -c \
	'! keel create /tmp/vlan.json >/tmp/refused 2>&1 && grep "bridge br7 does not tell VLANs apart" /tmp/refused'
echo 1 >/sys/class/net/br7/bridge/vlan_filtering
httpd -p 8000 -h /www
for number in 1 2; do
	# It ends what it says at the end of its input, and the other end takes that for the end of all.
	tail -f /dev/null | nc -l -p "900$number" >"/tmp/back$number" &
done
for number in 1 2; do
	check "guest $number starts" guest $number
done
check "the interfaces are the bridge's" ls /sys/class/net/br0/brif/t0-net1 /sys/class/net/br0/brif/t0-net2
check "guest 1 has a cable to be pulled out" shows net1 PULL-CABLE 1 400
check "it is" keel network-link net1 1 down
check "the host's side sees it" grep -x 0 /sys/class/net/t1-net1/carrier
check "guest 1 has it to be plugged in" shows net1 PLUG-CABLE 1 100
check "it is" keel network-link net1 1 up
for number in 1 2; do
	check "guest $number comes to its end" shows net$number NETWORK-END 1 400
	keel console --log net$number | tr -d '\r' | grep -aoE '(not )?ok - .*'
	check "guest $number has given the file back" given_back $number
done
check "one is destroyed" keel destroy net1
check "its interface is gone" sh -c '! ip link show t0-net1'
kill -KILL "$(cat /run/keel/net2/pid)"
for _ in $(seq 60); do
	[ -e /sys/class/net/t0-net2 ] || break
	sleep 1
done
check "that of a guest whose process is killed, too" [ ! -e /sys/class/net/t0-net2 ]
check "the bridge is free" [ -z "$(ls /sys/class/net/br0/brif)" ]
# The rest begins with a root of its own.
. /keel-test/user
