# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The last part of network-guest.sh, behind console.sh: a guest in user mode. What serves it puts a root of its own in place of
# its own, which the first one of a kernel does not let it do.
mkdir -p /other
mount -t tmpfs tmpfs /other
cp -a /bin /sbin /usr /lib /lib64 /etc /root /keel /keel-test /www /other/
for folder in dev proc sys run tmp; do
	mkdir "/other/$folder"
	mount --move "/$folder" "/other/$folder"
done
mkdir -p /other/var/tmp
cat >/other/keel-test/user <<'USER'
# It is a user's that has no rights.
echo 'nobody:x:65534:65534::/nonexistent:/bin/false' >>/etc/passwd
chmod 755 /usr/bin/passt
# A bridge that has had interfaces and has none has no address of its own either.
ip link set br0 address 02:00:00:00:00:fe
ip route add default via 10.0.0.1 dev br0
brctl addbr br1
ip addr add 10.1.0.1/24 dev br1
ip link set br1 up
cat >/tmp/net3.json <<-'MANIFEST'
	{
		"version": 1, "name": "net3", "memory": "128M", "boot": ["cdrom"], "cdrom": { "file": "/keel-test/network.iso" },
		"networks": [ {
			"user": true, "mac": "02:00:00:00:00:03", "forward": [ { "host": 8080, "guest": 80 } ]
		} ]
	}
MANIFEST
start() {
	keel create /tmp/net3.json || { cat /var/log/keel/net3.log; return 1; }
}
check "in user mode: starts" start
check "serves" shows net3 NETWORK-SERVES 1 400
check "what it has is got through a port of the control domain" wget -q -O /tmp/blob http://127.0.0.1:8080/blob
check "as it was" [ "$(md5sum </tmp/blob)" = "$(cat /www/sum)" ]
check "comes to its end" shows net3 NETWORK-END 1 100
keel console --log net3 | tr -d '\r' | grep -aoE '(not )?ok - .*'
check "its program has no rights" sh -c '
	for process in /proc/[0-9]*; do
		[ "$(cat $process/comm)" = passt ] || [ "$(cat $process/comm)" = passt.avx2 ] || continue
		echo "$process $(grep -E "Uid|CapEff" $process/status)"
		grep -E "^CapEff:.0000000000000000$" $process/status && exit
	done
	exit 1'
check "destroyed" keel destroy net3
check "the program is gone" sh -c 'sleep 1; ! cat /proc/[0-9]*/comm | grep passt'
echo "tests: end"
USER
cat /keel-test/console.sh /other/keel-test/user >/other/keel-test/part
cd /other || exit
mount --move . /
exec chroot . /bin/sh /keel-test/part
