# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Runs in the control domain, behind console.sh: two guests on a bridge.

# guest NUMBER: starts it.
guest() {
	printf '{ "version": 1, "name": "net%s", "memory": "128M", "boot": ["cdrom"],
		"cdrom": { "file": "%s" }, "networks": [ { "bridge": "br0", "mac": "02:00:00:00:00:0%s" } ] }' \
		"$1" /keel-test/network.iso "$1" >"/tmp/net$1.json"
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
check "without the bridge a guest is refused" sh -c \
	'! keel create /tmp/none.json >/tmp/refused 2>&1 && grep "there is no bridge br0" /tmp/refused'
brctl addbr br0
ip addr add 10.0.0.254/24 dev br0
ip link set br0 up
httpd -p 8000 -h /www
for number in 1 2; do
	# It ends what it says at the end of its input, and the other end takes that for the end of all.
	tail -f /dev/null | nc -l -p "900$number" >"/tmp/back$number" &
done
for number in 1 2; do
	check "guest $number starts" guest $number
done
check "the interfaces are the bridge's" ls /sys/class/net/br0/brif/t0-net1 /sys/class/net/br0/brif/t0-net2
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
